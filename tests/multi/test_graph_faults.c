/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs whose processes die: workers at each step of a run, in storms and by what
 * the nodes do; and drivers. Runs that are closed early.
 */
#include "graph_fixture.h"

#include "os_clock.h"
#include "os_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LAYERS 20
#define WIDTH 40
#define NODES (LAYERS * WIDTH)

/* Words of the ledger. */
enum { STARTED, ENDED, DIED, MAY_END, WORDS = 8 };
static struct live_ledger ledger;

/* Counts itself, and takes a while. */
MOB_TASK(uint64_t, k_mix, mob_str, path, uint64_t, n, uint64_t, a, uint64_t, b,
	 uint64_t, c)
{
	uint64_t end = mobi_now_ns() + 3000;

	(void)live_ledger_add(path, WORDS + n);
	while (mobi_now_ns() < end) {
	}
	return (a ^ b * 5) + c * 3 + n;
}

MOB_TASK(uint64_t, k_dies, mob_str, path, uint64_t, times, uint64_t, x)
{
	if (live_ledger_add(path, DIED) < times) {
		(void)raise(SIGKILL);
	}
	return x + 1;
}

MOB_TASK(int64_t, k_heeds, mob_str, path, int64_t, x)
{
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled() && !live_ledger_get(path, MAY_END)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, ENDED);
	return x;
}

MOB_TASK(int64_t, k_fails, int64_t, x)
{
	mob_fail(7, "no");
	return x;
}

/* ---- a graph of layers, and the same in plain C ---- */

struct layers {
	struct mob_graph *g;
	mob_ref in;
	mob_ref out[NODES];
};

static uint32_t of(uint32_t n, uint32_t i)
{
	return (n / WIDTH - 1) * WIDTH + (n * 13 + i * 17) % WIDTH;
}

static void record(struct layers *l)
{
	l->g = begin();
	l->in = mob_graph_input(uint64_t);
	for (uint32_t n = 0; n < NODES; n++) {
		l->out[n] =
			n < WIDTH ?
				mob_submit(k_mix, ledger.path, n, l->in, 1, 2) :
				mob_submit(k_mix, ledger.path, n,
					   l->out[of(n, 0)], l->out[of(n, 1)],
					   l->out[of(n, 2)]);
	}
	assert_int_equal(mob_capture_end(l->g), 0);
}

static void compare(struct layers *l, uint64_t x)
{
	static uint64_t v[NODES];

	for (uint32_t n = 0; n < NODES; n++) {
		uint64_t got;
		uint64_t a = n < WIDTH ? x : v[of(n, 0)];
		uint64_t b = n < WIDTH ? 1 : v[of(n, 1)];
		uint64_t c = n < WIDTH ? 2 : v[of(n, 2)];

		v[n] = (a ^ b * 5) + c * 3 + n;
		assert_int_equal(mob_graph_get(l->g, l->out[n], &got), 0);
		if (got != v[n]) {
			fail_msg("node %u of input %u differs", n, (unsigned)x);
		}
	}
}

/* Executions of all nodes since the last call; each at least once. */
static uint64_t executions(void)
{
	uint64_t sum = 0;

	for (uint32_t n = 0; n < NODES; n++) {
		uint64_t times = ledger.at[WORDS + n];

		assert_true(times >= 1);
		sum += times;
		ledger.at[WORDS + n] = 0;
	}
	return sum;
}

static void run_and_compare(struct layers *l, uint64_t x)
{
	assert_int_equal(mob_graph_set(l->g, l->in, &x), 0);
	if (mob_graph_run(l->g)) {
		fail_msg("mob_graph_run: %s", mob_error());
	}
	compare(l, x);
}

/* ---- kills ---- */

/* Workers are killed as fast as they come back, while runs go on. */
static void test_graph_survives_a_storm_of_kills(void **state)
{
	uint64_t runs = test_count("MOB_TEST_RUNS", 40 / LIVE_SLOW + 1, 400);
	uint64_t seed = live_seed("storm");
	uint64_t killed = 0;
	struct layers *l = malloc(sizeof(*l));

	(void)state;
	assert_non_null(l);
	live_ledger_open(&ledger, WORDS + NODES);
	record(l);
	for (uint64_t x = 0; x < runs; x++) {
		int rc = MOB_E_TIMEOUT;

		assert_int_equal(mob_graph_set(l->g, l->in, &x), 0);
		assert_int_equal(mob_graph_start(l->g), 0);
		for (int i = 0; i < 3 && rc == MOB_E_TIMEOUT; i++) {
			int pid =
				live_worker((uint32_t)(live_random(&seed) % 2));

			mobi_pause_ns(
				(int64_t)(live_random(&seed) % (MOB_MS / 2)));
			killed += pid > 0 && !kill(pid, SIGKILL);
			rc = mob_graph_wait(l->g, 0);
		}
		if (rc == MOB_E_TIMEOUT) {
			rc = mob_graph_wait(l->g, MOB_FOREVER);
		}
		if (rc < 0) {
			fail_msg("run %u: %s", (unsigned)x, mob_error());
		}
		compare(l, x);
		/* What a worker that was killed was running runs once more. */
		assert_true(executions() <= NODES + 3);
	}
	assert_true(killed >= runs / 2);
	/* After it all is as before. */
	for (uint64_t x = 0; x < 5; x++) {
		run_and_compare(l, x);
		assert_int_equal(executions(), NODES);
	}
	mob_graph_close(l->g);
	assert_int_equal(live_audit(0), 0);
	live_ledger_close(&ledger);
	free(l);
}

static void test_graph_node_that_kills_its_worker_is_run_again(void **state)
{
	struct mob_graph *g;
	mob_ref r;
	uint64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	r = mob_submit(k_dies, ledger.path, 3, 1);
	r = mob_submit(k_dies, ledger.path, 0, r);
	assert_int_equal(mob_capture_end(g), 0);
	if (mob_graph_run(g)) {
		fail_msg("%s", mob_error());
	}
	assert_int_equal(mob_graph_get(g, r, &x), 0);
	assert_int_equal(x, 3);
	assert_int_equal(ledger.at[DIED], 5);
	mob_graph_close(g);
	/* Once more often than it may. */
	ledger.at[DIED] = 0;
	g = begin();
	r = mob_submit(k_dies, ledger.path, 4, 1);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_run(g), MOB_E_CRASHED);
	assert_non_null(strstr(mob_error(), "k_dies"));
	live_pends(MOB_E_CRASHED, "died 4 times");
	assert_int_equal(ledger.at[DIED], 4);
	/* The next run begins anew. */
	assert_int_equal(mob_graph_run(g), 0);
	assert_int_equal(mob_graph_get(g, r, &x), 0);
	assert_int_equal(x, 2);
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static void runs_layers(size_t i)
{
	struct layers *l = malloc(sizeof(*l));
	uint64_t times = 0;

	(void)i;
	assert_non_null(l);
	record(l);
	for (uint64_t x = 0; x < 3; x++) {
		run_and_compare(l, x);
		times += executions();
	}
	assert_true(times >= 3 * NODES);
	mob_graph_close(l->g);
	free(l);
}

/* A run has failed, and who would tell dies: it fails again. */
static void fails_again(size_t i)
{
	struct mob_graph *g = begin();

	(void)i;
	(void)mob_submit(k_fails, 1);
	assert_int_equal(mob_capture_end(g), 0);
	for (int k = 0; k < 8; k++) {
		assert_int_equal(mob_graph_run(g), MOB_E_TASK);
		live_pends(7, "k_fails");
	}
	mob_graph_close(g);
}

/* Each worker dies when it passes a point the n-th time. */
static void test_graph_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"graph.claimed=kill@60", "graph.done=kill@60",
		"graph.follow=kill@60",  "graph.reach=kill@4",
		"graph.taken=kill@6",    "graph.share=kill@2",
	};
	static const char *const failed[] = { "graph.failed=kill@2" };
	const struct live_session session = { .workers = 2,
					      .ledger = &ledger,
					      .words = WORDS + NODES };

	(void)state;
	live_each_fault(&session, faults, sizeof(faults) / sizeof(faults[0]),
			runs_layers);
	live_each_fault(&session, failed, 1, fails_again);
}

/* ---- closing ---- */

static void test_graph_closed_while_it_runs(void **state)
{
	struct mob_graph *g;
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (int i = 0; i < 10; i++) {
		ledger.at[STARTED] = ledger.at[ENDED] = 0;
		g = begin();
		r = mob_submit(k_heeds, ledger.path, 0);
		r = mob_submit(k_heeds, ledger.path, r);
		for (int k = 0; k < 50; k++) {
			(void)mob_submit(k_heeds, ledger.path, k);
		}
		assert_int_equal(mob_capture_end(g), 0);
		assert_int_equal(mob_graph_start(g), 0);
		if (i % 2) {
			assert_true(live_ledger_await(&ledger, STARTED, 1));
		}
		mob_graph_close(g);
		/* What ran was told and has ended, and nothing began after. */
		assert_int_equal(ledger.at[STARTED], ledger.at[ENDED]);
		assert_true(ledger.at[STARTED] <= 2);
	}
	assert_int_equal(live_audit(0), 0);
	live_ledger_close(&ledger);
}

/* A task that waits for its graph, and is cancelled. */
MOB_TASK(int64_t, k_has_graph, mob_str, path)
{
	struct mob_graph *g;

	if (mob_capture_begin(&g)) {
		return 0;
	}
	(void)mob_submit(k_heeds, path, mob_submit(k_heeds, path, 1));
	(void)mob_capture_end(g);
	if (mob_graph_run(g) == MOB_E_CANCELLED) {
		(void)live_ledger_add(path, DIED);
	}
	mob_graph_close(g);
	return 1;
}

static void test_graph_of_a_task_that_is_cancelled(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(k_has_graph, ledger.path);
	assert_true(live_ledger_await(&ledger, STARTED, 1));
	assert_int_equal(mob_task_cancel(r, 0), 1);
	assert_int_equal(mob_join(r), MOB_E_CANCELLED);
	mob_error_clear();
	assert_int_equal(live_audit(1), 0);
	assert_int_equal(ledger.at[DIED], 1);
	assert_int_equal(ledger.at[STARTED], 1);
	assert_int_equal(ledger.at[ENDED], 1);
	live_ledger_close(&ledger);
}

/* ---- drivers ---- */

static int child_runs(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_graph *g;
	const char *path = getenv("GRAPH_LEDGER");
	mob_ref r;

	o.session = session;
	if (mob_init(&o) || mob_capture_begin(&g)) {
		return 2;
	}
	r = mob_submit(k_heeds, path, mob_put(INT64_C(3)));
	(void)mob_submit(k_heeds, path, r);
	if (mob_capture_end(g) || mob_graph_run(g)) {
		return 3;
	}
	return 0;
}

static void test_graph_of_a_driver_that_is_killed_is_freed(void **state)
{
	const struct live_session session = { .name = live_session_name(),
					      .workers = 2,
					      .ledger = &ledger,
					      .words = WORDS };

	(void)state;
	live_begin(&session);
	assert_int_equal(setenv("GRAPH_LEDGER", ledger.path, 1), 0);
	for (int i = 0; i < 3; i++) {
		struct mob_graph *g;
		mob_ref r;
		int64_t x;
		int pid;

		ledger.at[STARTED] = ledger.at[MAY_END] = 0;
		pid = live_spawn("runs", session.name);
		assert_true(live_ledger_await(&ledger, STARTED, 1));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(live_collect(pid), -SIGKILL);
		ledger.at[MAY_END] = 1;
		/* Others have graphs as before. */
		g = begin();
		r = mob_submit(k_heeds, ledger.path, i);
		assert_int_equal(mob_capture_end(g), 0);
		assert_int_equal(mob_graph_run(g), 0);
		assert_int_equal(mob_graph_get(g, r, &x), 0);
		assert_int_equal(x, i);
		mob_graph_close(g);
		assert_int_equal(live_audit(0), 0);
	}
	live_end(&session);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_graph_survives_a_storm_of_kills),
		T(test_graph_node_that_kills_its_worker_is_run_again),
		T(test_graph_closed_while_it_runs),
		T(test_graph_of_a_task_that_is_cancelled),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_teardown(
			test_graph_survives_a_kill_at_each_step, live_leave),
		cmocka_unit_test_teardown(
			test_graph_of_a_driver_that_is_killed_is_freed,
			live_leave),
	};

	if (argc > 2 && !strcmp(argv[1], "runs")) {
		return child_runs(argv[2]);
	}
	return cmocka_run_group_tests(alone, NULL, NULL) +
	       cmocka_run_group_tests(tests, live_start_two, live_leave);
}
