/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs that are recorded once and replayed: each node once in each run, by all
 * workers, all kinds of arguments, and graphs in tasks.
 */
#include "graph_fixture.h"

#include "graph.h"
#include "os_clock.h"

#include <string.h>

#define WORDS 4096
static struct live_ledger ledger;

/* The same, after a while. */
MOB_TASK(int64_t, g_takes, mob_str, path, int64_t, i, int64_t, ns, int64_t,
	 before)
{
	uint64_t end = mobi_now_ns() + (uint64_t)ns;

	while (mobi_now_ns() < end) {
	}
	(void)live_ledger_add(path, (uint64_t)i);
	return before + 1;
}

MOB_TASK(void, g_nothing, mob_str, path, int64_t, x)
{
	(void)live_ledger_add(path, (uint64_t)x);
}

MOB_TASK(int64_t, g_tree, int64_t, depth)
{
	int64_t a = 0;
	int64_t b = 0;

	if (depth > 0) {
		mob_ref l = mob_submit(g_tree, depth - 1);
		mob_ref r = mob_submit(g_tree, depth - 1);

		(void)mob_get(l, &a);
		(void)mob_get(r, &b);
	}
	return a + b + 1;
}

/* Until as many as this have come. */
MOB_TASK(int64_t, g_meet, mob_str, path, int64_t, n, int64_t, before)
{
	(void)live_ledger_add(path, 0);
	while (live_ledger_get(path, 0) < (uint64_t)n &&
	       !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return before;
}

/* ---- each node once ---- */

/* Layers that need each other, so that many shapes of readiness come up. */
static void test_graph_calls_each_node_once_in_a_run(void **state)
{
	enum { LAYERS = 12, WIDTH = 80, RUNS = 30 };
	struct mob_graph *g;
	mob_ref r[LAYERS][WIDTH];
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	for (int k = 0; k < LAYERS; k++) {
		for (int i = 0; i < WIDTH; i++) {
			int64_t at = k * WIDTH + i;

			r[k][i] =
				k ? mob_submit(g_count, ledger.path, at,
					       r[k - 1][(i * 7 + k) % WIDTH]) :
				    mob_submit(g_count, ledger.path, at, 0);
		}
	}
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t run_i = 1; run_i <= RUNS; run_i++) {
		run(g);
		for (uint64_t i = 0; i < LAYERS * WIDTH; i++) {
			assert_int_equal(ledger.at[i], run_i);
		}
		for (int i = 0; i < WIDTH; i++) {
			assert_int_equal(mob_graph_get(g, r[LAYERS - 1][i], &x),
					 0);
			assert_int_equal(x, LAYERS);
		}
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* Nodes are taken out of the hand of one that is busy with another; it comes upon them
 * while they run, and after. */
static void test_graph_takes_nodes_from_a_runner_that_is_busy(void **state)
{
	enum { FAN = 60, RUNS = 20 };
	uint64_t seed = live_seed("busy");
	struct mob_graph *g;
	mob_ref first;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	first = mob_submit(g_fails_at, 1, -1);
	for (int64_t i = 0; i < FAN; i++) {
		int64_t ns = (int64_t)(live_random(&seed) % 400000);

		(void)mob_submit(g_takes, ledger.path, i, ns, first);
	}
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t k = 1; k <= RUNS; k++) {
		run(g);
		for (uint64_t i = 0; i < FAN; i++) {
			assert_int_equal(ledger.at[i], k);
		}
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* Runs have numbers; after the last one nodes are as new. */
static void
test_graph_goes_on_when_the_numbers_of_runs_are_used_up(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	mob_ref out[100];

	(void)state;
	for (int i = 0; i < 100; i++) {
		out[i] = mob_submit(g_fails_at, i % 10 ? out[i - 1] : in, -1);
	}
	assert_int_equal(mob_capture_end(g), 0);
	g->run = UINT32_MAX - 3;
	mobi_graph_reset(g);
	for (int64_t x = 1; x < 8; x++) {
		int64_t y;

		assert_int_equal(mob_graph_set(g, in, &x), 0);
		run(g);
		assert_int_equal(mob_graph_get(g, out[99], &y), 0);
		assert_int_equal(y, x * 1024);
	}
	mob_graph_close(g);
}

/* ---- more than one worker ---- */

/* Both can run as soon as one node is done, and each waits for the other. */
static void test_graph_runs_nodes_at_the_same_time(void **state)
{
	struct mob_graph *g;
	mob_ref first;
	mob_ref a;
	mob_ref b;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	first = mob_submit(g_fails_at, 4, -1);
	a = mob_submit(g_meet, ledger.path, 2, first);
	b = mob_submit(g_meet, ledger.path, 2, first);
	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 20; i++) {
		ledger.at[0] = 0;
		run(g);
		assert_int_equal(mob_graph_get(g, a, &x), 0);
		assert_int_equal(x, 8);
		assert_int_equal(mob_graph_get(g, b, &x), 0);
		assert_int_equal(x, 8);
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* One of two workers is busy with something else for as long as the run takes. */
static void test_graph_does_not_wait_for_a_worker_that_is_busy(void **state)
{
	struct mob_graph *g;
	mob_ref busy;
	mob_ref out[50];
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	for (int i = 0; i < 50; i++) {
		out[i] = mob_submit(g_fails_at, i, -1);
	}
	assert_int_equal(mob_capture_end(g), 0);
	busy = mob_submit(g_slow, ledger.path, 3);
	for (int k = 0; k < 5; k++) {
		run(g);
		for (int i = 0; i < 50; i++) {
			assert_int_equal(mob_graph_get(g, out[i], &x), 0);
			assert_int_equal(x, i * 2);
		}
	}
	ledger.at[1] = 1;
	assert_int_equal(mob_get(busy, &x), 0);
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* ---- arguments ---- */

static void test_graph_takes_objects_and_values_of_any_size(void **state)
{
	double v[1000];
	struct mob_graph *g = NULL;
	mob_ref span;
	mob_ref later;
	mob_ref a;
	mob_ref b;
	mob_ref c;
	double sum = 0;
	double x;
	int64_t y;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (int i = 0; i < 1000; i++) {
		v[i] = i;
		sum += i;
	}
	MOB_SCOPE
	{
		span = mob_put(mob_f64s_of(v, 1000));
		later = mob_submit(g_slow, ledger.path, 5);
		g = begin();
		a = mob_submit(g_sum, span, "four", 1.0);
		b = mob_submit(g_sum, mob_f64s_of(v, 3), mob_put("seven.."), a);
		c = mob_submit(g_fails_at, later, -1);
		(void)mob_submit(g_reads_ref, later);
		(void)mob_submit(g_nothing, ledger.path, 7);
		assert_int_equal(mob_capture_end(g), 0);
	}
	/* The refs of the scope are gone: the graph has them. It waits for what is
	 * not there yet. */
	assert_int_equal(mob_graph_start(g), 0);
	assert_int_equal(mob_graph_wait(g, 20 * MOB_MS), MOB_E_TIMEOUT);
	assert_int_equal(ledger.at[7], 0);
	ledger.at[1] = 1;
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), 0);
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_equal(mob_graph_get(g, a, &x), 0);
		assert_true(x == sum + 5);
		assert_int_equal(mob_graph_get(g, b, &x), 0);
		assert_true(x == sum + 5 + 3 + 7);
		assert_int_equal(mob_graph_get(g, c, &y), 0);
		assert_int_equal(y, 10);
		assert_int_equal(ledger.at[7], i);
		run(g);
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static void test_graph_nodes_submit_and_wait(void **state)
{
	struct mob_graph *g = begin();
	mob_ref a = mob_submit(g_tree, 5);
	mob_ref b = mob_submit(g_tree, mob_submit(g_tree, 2));
	int64_t x;

	(void)state;
	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 5; i++) {
		run(g);
		assert_int_equal(mob_graph_get(g, a, &x), 0);
		assert_int_equal(x, 63);
		assert_int_equal(mob_graph_get(g, b, &x), 0);
		assert_int_equal(x, 255);
	}
	mob_graph_close(g);
}

/* A task may have a graph, too; and one without nodes has nothing to do. */
MOB_TASK(int64_t, g_has_graph, int64_t, x)
{
	struct mob_graph *g;
	mob_ref r;
	int64_t y = 0;

	if (mob_capture_begin(&g)) {
		return 0;
	}
	r = mob_submit(g_fails_at, mob_submit(g_fails_at, x, -1), -1);
	(void)mob_capture_end(g);
	for (int i = 0; i < 10; i++) {
		(void)mob_graph_run(g);
	}
	(void)mob_graph_get(g, r, &y);
	mob_graph_close(g);
	return y;
}

static void test_graph_in_a_task_and_an_empty_one(void **state)
{
	struct mob_graph *g = begin();
	int64_t x;

	(void)state;
	assert_int_equal(mob_capture_end(g), 0);
	run(g);
	run(g);
	mob_graph_close(g);
	mob_graph_close(NULL);
	assert_int_equal(mob_take(mob_submit(g_has_graph, 5), &x), 0);
	assert_int_equal(x, 20);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_graph_calls_each_node_once_in_a_run),
		T(test_graph_takes_nodes_from_a_runner_that_is_busy),
		T(test_graph_goes_on_when_the_numbers_of_runs_are_used_up),
		T(test_graph_runs_nodes_at_the_same_time),
		T(test_graph_does_not_wait_for_a_worker_that_is_busy),
		T(test_graph_takes_objects_and_values_of_any_size),
		T(test_graph_nodes_submit_and_wait),
		T(test_graph_in_a_task_and_an_empty_one),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
