/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs whose runs hand values on, and overlap: errors stay where they belong, and
 * nothing is lost while workers and drivers are killed.
 */
#include "channels.h"

#include "os_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Counts that stage `stage` ran in run `x`. */
MOB_TASK(uint64_t, c_stage, mob_str, path, uint64_t, stage, uint64_t, x,
	 uint64_t, before, uint64_t, state)
{
	(void)live_ledger_add(path, CH_WORDS + x * 4 + stage);
	return before + state * 3 + stage;
}

MOB_TASK(uint64_t, c_dies, mob_str, path, uint64_t, x, uint64_t, bad, uint64_t,
	 state)
{
	(void)live_ledger_add(path, CH_WORDS + x);
	if (x == bad) {
		(void)raise(SIGKILL);
	}
	return state + 1;
}

/* ---- errors ---- */

static void test_channel_error_is_that_of_its_run(void **state)
{
	enum { RUNS = 12, BAD = 5, WINDOW = 3 };
	struct mob_graph *g = ch_begin(WINDOW);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref fails;
	mob_ref after;
	mob_ref other;

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS + 4 * RUNS);
	fails = mob_submit(c_fails_at, in, BAD);
	after = mob_submit(c_stage, ch_ledger.path, 0, in, fails, 0);
	/* Of the same run, and of the next, but not of what fails. */
	other = mob_submit(c_stage, ch_ledger.path, 1, in, 0, ch);
	assert_int_equal(mob_graph_write(ch, other), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t x = 0, want = 0, w = 0; x < RUNS + WINDOW; x++) {
		uint64_t y;

		if (x == 0) {
			assert_int_equal(mob_graph_set(g, ch, &x), 0);
		}
		if (x >= WINDOW && w != BAD) {
			ch_wait(g);
			assert_int_equal(mob_graph_get(g, after, &y), 0);
			assert_int_equal(y, w * 2);
		} else if (x >= WINDOW) {
			assert_int_equal(mob_graph_wait(g, MOB_FOREVER),
					 MOB_E_TASK);
			assert_non_null(strstr(mob_error(), "c_fails_at"));
			live_pends(42, "cannot do 5");
			assert_int_equal(mob_graph_get(g, after, &y),
					 MOB_E_STATE);
			live_pends(MOB_E_STATE, "last run has failed");
		}
		if (x >= WINDOW) {
			want = want * 3 + 1;
			if (w != BAD) {
				assert_int_equal(mob_graph_get(g, other, &y),
						 0);
				assert_int_equal(y, want);
			}
			w++;
		}
		if (x < RUNS) {
			assert_int_equal(mob_graph_set(g, in, &x), 0);
			ch_start(g);
		}
	}
	for (uint64_t x = 0; x < RUNS; x++) {
		assert_int_equal(ch_ledger.at[CH_WORDS + x * 4], x != BAD);
		assert_int_equal(ch_ledger.at[CH_WORDS + x * 4 + 1], 1);
	}
	mob_graph_close(g);
	live_ledger_close(&ch_ledger);
}

/* What a channel would bring is an error then, until it is set. */
static void test_channel_brings_an_error_until_it_is_set(void **state)
{
	struct mob_graph *g = ch_begin(2);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y = mob_submit(c_fails_at, ch, 8);
	uint64_t x = 1;

	(void)state;
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (int k = 0; k < 20; k++) {
		x = 1;
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		for (uint64_t want = 2; want <= 8; want *= 2) {
			ch_start(g);
			ch_wait(g);
			assert_int_equal(mob_graph_get(g, y, &x), 0);
			assert_int_equal(x, want);
		}
		ch_start(g); /* fails */
		ch_start(g); /* has its error */
		for (int i = 0; i < 4; i++) {
			assert_int_equal(mob_graph_wait(g, MOB_FOREVER),
					 MOB_E_TASK);
			assert_non_null(strstr(mob_error(), "c_fails_at"));
			live_pends(42, "cannot do 8");
			if (i < 2) {
				ch_start(g);
			}
		}
		/* What is set meanwhile is read in spite of it. */
		x = 0;
		ch_start(g);
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		ch_start(g);
		assert_int_equal(mob_graph_wait(g, MOB_FOREVER), MOB_E_TASK);
		live_pends(42, "cannot do 8");
		ch_wait(g);
		assert_int_equal(mob_graph_get(g, y, &x), 0);
		assert_int_equal(x, 0);
	}
	mob_graph_close(g);
}

/* ---- kills ---- */

#define STAGES 3
#define KILL_RUNS 24u

/* Three stages in a row, the first of which has what the last gave before. */
struct stages {
	struct mob_graph *g;
	mob_ref in;
	mob_ref ch;
	mob_ref out[STAGES];
};

static void record_stages(struct stages *t, uint32_t window)
{
	t->g = ch_begin(window);
	t->in = mob_graph_input(uint64_t);
	t->ch = mob_graph_channel(uint64_t);
	for (uint64_t i = 0; i < STAGES; i++) {
		t->out[i] = i ? mob_submit(c_stage, ch_ledger.path, i, t->in,
					   t->out[i - 1], t->ch) :
				mob_submit(c_stage, ch_ledger.path, i, t->in, 1,
					   t->ch);
	}
	assert_int_equal(mob_graph_write(t->ch, t->out[STAGES - 1]), 0);
	assert_int_equal(mob_capture_end(t->g), 0);
}

/* All runs, with so many in flight; fn is called after each start. Executions. */
static uint64_t run_stages(struct stages *t, uint32_t window, uint64_t runs,
			   void (*fn)(void *arg), void *arg)
{
	uint64_t want = 1;
	uint64_t sum = 0;
	uint64_t y;

	assert_int_equal(mob_graph_set(t->g, t->ch, &want), 0);
	for (uint64_t x = 0; x < runs + window; x++) {
		if (x >= window) {
			uint64_t v = 1;

			ch_wait(t->g);
			for (uint64_t i = 0; i < STAGES; i++) {
				v += want * 3 + i;
				assert_int_equal(
					mob_graph_get(t->g, t->out[i], &y), 0);
				assert_int_equal(y, v);
			}
			want = v;
		}
		if (x < runs) {
			assert_int_equal(mob_graph_set(t->g, t->in, &x), 0);
			ch_start(t->g);
		}
		if (fn) {
			fn(arg);
		}
	}
	for (uint64_t x = 0; x < runs; x++) {
		for (uint64_t i = 0; i < STAGES; i++) {
			uint64_t times = ch_ledger.at[CH_WORDS + x * 4 + i];

			assert_true(times >= 1);
			sum += times;
			ch_ledger.at[CH_WORDS + x * 4 + i] = 0;
		}
	}
	return sum;
}

static const struct live_session two_workers = {
	.workers = 2, .ledger = &ch_ledger, .words = CH_WORDS + 4 * KILL_RUNS
};

/* Exactly the results; no node more often than its workers died. */
static void runs_stages(size_t i)
{
	uint32_t window = 1 + (uint32_t)i % 4;
	struct stages t;

	record_stages(&t, window);
	assert_true(run_stages(&t, window, KILL_RUNS, NULL, NULL) <=
		    4 * STAGES * KILL_RUNS);
	mob_graph_close(t.g);
}

/* Each worker dies when it passes a point the n-th time. */
static void test_channel_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"graph.claimed=kill@7", "graph.done=kill@7",
		"graph.later=kill@3",   "graph.follow=kill@5",
		"graph.reach=kill@3",   "graph.over=kill@2",
		"graph.taken=kill@3",   "graph.left=kill@1",
		"graph.left=kill@2",    "graph.share=kill@1",
		"graph.leaves=kill@1",  "graph.found_none=kill@3",
		"graph.claimed=kill@3", "graph.over=kill@1",
	};

	(void)state;
	live_each_fault(&two_workers, faults,
			sizeof(faults) / sizeof(faults[0]), runs_stages);
}

/* Each fourth run fails. */
static void runs_with_errors(size_t i)
{
	struct mob_graph *g = ch_begin(3);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y;

	(void)i;
	(void)mob_submit(c_fails_at, in, 3);
	(void)mob_submit(c_fails_at, in, 3);
	y = mob_submit(c_step, ch, in);
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t x = 0, s = 0, v; x < 12; x++) {
		uint64_t bad = x % 4;

		if (!x) {
			assert_int_equal(mob_graph_set(g, ch, &s), 0);
		}
		assert_int_equal(mob_graph_set(g, in, &bad), 0);
		ch_start(g);
		s = s * 3 + bad;
		if (bad == 3) {
			assert_int_equal(mob_graph_wait(g, MOB_FOREVER),
					 MOB_E_TASK);
			live_pends(42, "cannot do 3");
			continue;
		}
		ch_wait(g);
		assert_int_equal(mob_graph_get(g, y, &v), 0);
		assert_int_equal(v, s);
	}
	mob_graph_close(g);
}

/* A run fails, and who tells dies at each step of that; the next runs go on. */
static void test_channel_errors_survive_kills(void **state)
{
	static const char *const faults[] = { "graph.error=kill@2",
					      "graph.failed=kill@2",
					      "graph.error=kill@3",
					      "graph.failed=kill@3" };

	(void)state;
	live_each_fault(&two_workers, faults,
			sizeof(faults) / sizeof(faults[0]), runs_with_errors);
}

struct storm {
	uint64_t seed;
	uint64_t killed;
};

static void kill_one(void *arg)
{
	struct storm *st = arg;
	int pid;

	if (live_random(&st->seed) % 3) {
		return;
	}
	pid = live_worker((uint32_t)(live_random(&st->seed) % 2));
	mobi_pause_ns((int64_t)(live_random(&st->seed) % (MOB_MS / 2)));
	st->killed += pid > 0 && !kill(pid, SIGKILL);
}

static void test_channel_survives_a_storm_of_kills(void **state)
{
	uint64_t rounds = test_count("MOB_TEST_RUNS", 12 / LIVE_SLOW + 1, 100);
	struct storm st = { live_seed("channels"), 0 };
	uint64_t n = STAGES * KILL_RUNS;
	struct stages t;

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS + 4 * KILL_RUNS);
	record_stages(&t, 4);
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t was = st.killed;

		assert_true(run_stages(&t, 4, KILL_RUNS, kill_one, &st) <=
			    n + (st.killed - was));
	}
	assert_true(st.killed >= rounds);
	/* After it all is as before: each node once. */
	assert_int_equal(run_stages(&t, 4, KILL_RUNS, NULL, NULL), n);
	mob_graph_close(t.g);
	assert_int_equal(live_audit(0), 0);
	live_ledger_close(&ch_ledger);
}

/* A node that always kills its worker is an error of its run. */
static void test_channel_node_that_kills_its_workers_fails_its_run(void **state)
{
	struct mob_graph *g = ch_begin(3);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y;
	uint64_t v;

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS + 4);
	(void)mob_submit(c_dies, ch_ledger.path, in, 1, 0);
	y = mob_submit(c_step, ch, in);
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t x = 0; x < 3; x++) {
		if (!x) {
			assert_int_equal(mob_graph_set(g, ch, &x), 0);
		}
		assert_int_equal(mob_graph_set(g, in, &x), 0);
		ch_start(g);
	}
	ch_wait(g);
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), MOB_E_CRASHED);
	assert_non_null(strstr(mob_error(), "c_dies"));
	live_pends(MOB_E_CRASHED, "died 4 times");
	ch_wait(g);
	assert_int_equal(mob_graph_get(g, y, &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(ch_ledger.at[CH_WORDS], 1);
	assert_int_equal(ch_ledger.at[CH_WORDS + 1], 4);
	assert_int_equal(ch_ledger.at[CH_WORDS + 2], 1);
	mob_graph_close(g);
	live_ledger_close(&ch_ledger);
}

static void test_window_closed_while_runs_are_in_flight(void **state)
{
	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS);
	for (uint64_t i = 0; i < 8; i++) {
		struct mob_graph *g = ch_begin(4);
		mob_ref ch = mob_graph_channel(uint64_t);
		mob_ref y = mob_submit(c_slow, ch_ledger.path, ch);
		uint64_t x = i;

		(void)mob_submit(c_slow, ch_ledger.path, 1);
		ch_ledger.at[CH_STARTED] = ch_ledger.at[CH_ENDED] = 0;
		assert_int_equal(mob_graph_write(ch, y), 0);
		assert_int_equal(mob_capture_end(g), 0);
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		for (int k = 0; k < 4; k++) {
			ch_start(g);
		}
		assert_true(
			live_ledger_await(&ch_ledger, CH_STARTED, 1 + i % 2));
		mob_graph_close(g);
		assert_int_equal(ch_ledger.at[CH_STARTED],
				 ch_ledger.at[CH_ENDED]);
		assert_int_equal(live_audit(0), 0);
	}
	live_ledger_close(&ch_ledger);
}

/* ---- drivers ---- */

static int child_runs(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_graph *g;
	const char *path = getenv("GRAPH_LEDGER");
	uint64_t x = 1;
	mob_ref ch;
	mob_ref y;

	o.session = session;
	if (mob_init(&o) || mob_capture_begin(&g)) {
		return 2;
	}
	(void)mob_graph_window(g, 4);
	ch = mob_graph_channel(uint64_t);
	y = mob_submit(c_slow, path, ch);
	if (mob_graph_write(ch, y) || mob_capture_end(g) ||
	    mob_graph_set(g, ch, &x)) {
		return 3;
	}
	for (int i = 0; i < 4; i++) {
		if (mob_graph_start(g)) {
			return 4;
		}
	}
	return mob_graph_wait(g, MOB_FOREVER) ? 5 : 0;
}

static void test_channel_of_a_driver_that_is_killed_is_freed(void **state)
{
	const struct live_session session = { .name = live_session_name(),
					      .workers = 2,
					      .ledger = &ch_ledger,
					      .words = CH_WORDS +
						       4 * KILL_RUNS };

	(void)state;
	live_begin(&session);
	assert_int_equal(setenv("GRAPH_LEDGER", ch_ledger.path, 1), 0);
	for (int i = 0; i < 3; i++) {
		struct stages t;
		int pid;

		ch_ledger.at[CH_STARTED] = ch_ledger.at[CH_MAY_END] = 0;
		pid = live_spawn("runs", session.name);
		assert_true(live_ledger_await(&ch_ledger, CH_STARTED, 1));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(live_collect(pid), -SIGKILL);
		ch_ledger.at[CH_MAY_END] = 1;
		/* Others have graphs as before. */
		record_stages(&t, 2);
		assert_int_equal(run_stages(&t, 2, KILL_RUNS, NULL, NULL),
				 STAGES * KILL_RUNS);
		mob_graph_close(t.g);
		assert_int_equal(live_audit(0), 0);
	}
	live_end(&session);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)
#define ALONE(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_channel_error_is_that_of_its_run),
		T(test_channel_brings_an_error_until_it_is_set),
		T(test_channel_survives_a_storm_of_kills),
		T(test_channel_node_that_kills_its_workers_fails_its_run),
		T(test_window_closed_while_runs_are_in_flight),
	};
	const struct CMUnitTest alone[] = {
		ALONE(test_channel_survives_a_kill_at_each_step),
		ALONE(test_channel_errors_survive_kills),
		ALONE(test_channel_of_a_driver_that_is_killed_is_freed),
	};

	if (argc > 2 && !strcmp(argv[1], "runs")) {
		return child_runs(argv[2]);
	}
	return cmocka_run_group_tests(alone, NULL, NULL) +
	       cmocka_run_group_tests(tests, live_start_two, live_leave);
}
