/* SPDX-License-Identifier: Apache-2.0 */
/* Options of nodes, of a call or of its function: those that are kept, and the others. */
#include "channels.h"

#include <mobula/map.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = CH_WORDS, WORDS };

static const char *const env[] = { "TEST_GRAPH=1", NULL };
static const int codes[] = { 42 };

/* Its worker dies n times in a row. */
MOB_TASK(uint64_t, o_dies, mob_str, path, uint64_t, n)
{
	if (live_ledger_add(path, CALLS) < n) {
		(void)raise(SIGKILL);
	}
	return 7;
}

/* The same, not to be called again. */
MOB_TASK(uint64_t, o_dies_once, mob_str, path, uint64_t, n)
{
	if (live_ledger_add(path, CALLS) < n) {
		(void)raise(SIGKILL);
	}
	return 8;
}
MOB_TASK_DEFAULTS(o_dies_once, .retries = 0, .name = "once only");

MOB_TASK(uint64_t, o_fails, uint64_t, x)
{
	mob_fail(42, "cannot do %u", (unsigned)x);
	return 0;
}
MOB_TASK_DEFAULTS(o_fails, .name = "of the function");

MOB_TASK(uint64_t, o_wishes, uint64_t, x)
{
	return x + 1;
}
MOB_TASK_DEFAULTS(o_wishes, .cpus = 2, .name = "wishes");

/* ---- those that are kept ---- */

/* What its error says of a node that fails. */
static void fails_as(mob_ref y, struct mob_graph *g, const char *name)
{
	struct mob_error_info info = MOB_ERROR_INFO_INIT;

	(void)y;
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_run(g), MOB_E_TASK);
	assert_true(mob_error_info(&info));
	assert_string_equal(info.task, name);
	assert_non_null(strstr(mob_error(), name));
	live_pends(42, "cannot do 3");
	mob_graph_close(g);
}

static void test_graph_option_name_is_that_of_errors(void **state)
{
	struct mob_graph *g = ch_begin(1);

	(void)state;
	fails_as(mob_submit(o_fails, 3), g, "of the function");
	g = ch_begin(1);
	fails_as(mob_submit_with(MOB_OPTS(.name = "of the call"), o_fails, 3),
		 g, "of the call");
	g = ch_begin(1);
	fails_as(mob_submit_with(MOB_OPTS(.alone = 1), o_fails, 3), g,
		 "o_fails");
}

/* A run of a node that dies n times, and may be called again `retries` times. */
static void dies(mob_ref y, struct mob_graph *g, uint64_t n, uint64_t retries)
{
	uint64_t got;

	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 2; i++) {
		ch_ledger.at[CALLS] = 0;
		if (n <= retries) {
			assert_int_equal(mob_graph_run(g), 0);
			assert_int_equal(mob_graph_get(g, y, &got), 0);
			assert_int_equal(ch_ledger.at[CALLS], n + 1);
			continue;
		}
		assert_int_equal(mob_graph_run(g), MOB_E_CRASHED);
		live_pends(MOB_E_CRASHED, "its worker died");
		assert_int_equal(ch_ledger.at[CALLS], retries + 1);
	}
	mob_graph_close(g);
}

static void
test_graph_option_retries_is_how_often_a_node_is_called_again(void **state)
{
	const char *path;
	struct mob_graph *g;

	(void)state;
	live_ledger_open(&ch_ledger, WORDS);
	path = ch_ledger.path;
	for (uint64_t n = 0; n < 3; n++) {
		g = ch_begin(1);
		dies(mob_submit_with(MOB_OPTS(.retries = 1), o_dies, path, n),
		     g, n, 1);
	}
	g = ch_begin(1);
	dies(mob_submit_with(MOB_OPTS(.retries = 0), o_dies, path, 1), g, 1, 0);
	g = ch_begin(1);
	dies(mob_submit_with(MOB_OPTS(.retries = 14), o_dies, path, 9), g, 9,
	     14);
	/* More often than is counted. */
	g = ch_begin(1);
	dies(mob_submit_with(MOB_OPTS(.retries = -1), o_dies, path, 17), g, 17,
	     UINT64_MAX);
	g = ch_begin(1);
	dies(mob_submit(o_dies, path, 4), g, 4, 3);
	/* Of the function, and of the call instead. */
	g = ch_begin(1);
	dies(mob_submit(o_dies_once, path, 1), g, 1, 0);
	g = ch_begin(1);
	dies(mob_submit_with(MOB_OPTS(.retries = 1), o_dies_once, path, 1), g,
	     1, 1);
	live_ledger_close(&ch_ledger);
}

/* ---- the others ---- */

static void refused(struct mob_task_opts o, const char *part)
{
	struct mob_graph *g = ch_begin(1);

	assert_int_equal(mob_join(mob_submit_with(o, c_step, 1, 2)),
			 MOB_E_INVAL);
	live_pends(MOB_E_INVAL, part);
	assert_int_equal(mob_capture_end(g), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, part);
	mob_graph_close(g);
}

static void test_graph_options_that_cannot_be_kept_are_refused(void **state)
{
	(void)state;
	refused(MOB_OPTS(.cpus = 0.5), "a call of c_step that is recorded has "
				       "cpus");
	refused(MOB_OPTS(.deadline_ns = 1), "has deadline_ns");
	refused(MOB_OPTS(.priority = -1), "has priority");
	refused(MOB_OPTS(.policy_hint = 1), "has policy_hint");
	refused(MOB_OPTS(.retry_errors = 1), "has retry_errors");
	refused(MOB_OPTS(.n_retry_codes = 1, .retry_codes = codes), "has "
								    "retry_"
								    "codes");
	refused(MOB_OPTS(.backoff_ns = 1), "has backoff_ns");
	refused(MOB_OPTS(.timeout_ns = 1), "has timeout_ns");
	refused(MOB_OPTS(.max_calls = 1), "has max_calls");
	refused(MOB_OPTS(.resources = "gpu=1"), "has resources");
	refused(MOB_OPTS(.env = env), "has env");
	refused(MOB_OPTS(.cwd = "/"), "has cwd");
	refused(MOB_OPTS(.memory = 1), "has memory");
	refused(MOB_OPTS(.retries = 15), "retries is 15 for a call of c_step "
					 "that is recorded; 0 to 14");
}

/* As those of the call, unless they are left aside. */
static void test_graph_options_of_a_function_that_cannot_be_kept(void **state)
{
	struct mob_graph *g = ch_begin(1);
	uint64_t got;
	mob_ref y;

	(void)state;
	assert_int_equal(mob_join(mob_submit(o_wishes, 1)), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "a call of o_wishes that is recorded has cpus, "
				"of its options or of its function's");
	assert_int_equal(mob_capture_end(g), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "give .alone = 1");
	mob_graph_close(g);
	g = ch_begin(1);
	y = mob_submit_with(MOB_OPTS(.alone = 1), o_wishes, 1);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_run(g), 0);
	assert_int_equal(mob_graph_get(g, y, &got), 0);
	assert_int_equal(got, 2);
	mob_graph_close(g);
}

/* They are not recorded, one by one or several at a time, and nor are they run. */
static void test_graph_calls_of_a_map_are_no_part_of_it(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	uint64_t x;

	(void)state;
	for (uint32_t chunk = 1; chunk < 5; chunk += 3) {
		struct mob_map *m;
		struct mob_graph *g;
		mob_ref y;

		o.chunk = chunk;
		assert_int_equal(mob_map_open(&o, &m), 0);
		g = ch_begin(1);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(mob_map_add(m, c_step, 1, 2), 0);
			assert_int_equal(mob_map_next(m, &x), MOB_E_STATE);
			live_pends(MOB_E_STATE, "no part of a graph");
		}
		y = mob_submit(c_step, 1, 2);
		assert_int_equal(mob_capture_end(g), 0);
		assert_int_equal(mob_map_add(m, c_step, 1, 2), 0);
		assert_int_equal(mob_map_next(m, &x), 1);
		assert_int_equal(x, 5);
		assert_int_equal(mob_graph_run(g), 0);
		assert_int_equal(mob_graph_get(g, y, &x), 0);
		assert_int_equal(x, 5);
		mob_graph_close(g);
		mob_map_close(m);
	}
}

MOB_TASK(uint64_t, o_sum, uint64_t, a, uint64_t, b)
{
	return a + b;
}

MOB_TASK(void, o_turns, int64_t, lo, int64_t, hi, mob_str, path)
{
	for (int64_t i = lo; i < hi; i++) {
		(void)live_ledger_add(path, CALLS);
	}
}

/* What submits tasks of the library fails at its call, and the capture goes on. */
static void test_graph_loops_and_folds_are_no_part_of_it(void **state)
{
	struct mob_graph *g;
	mob_ref refs[2];
	mob_ref y;
	uint64_t x = 9;

	(void)state;
	live_ledger_open(&ch_ledger, WORDS + 1);
	for (uint64_t i = 0; i < 2; i++) {
		refs[i] = mob_put(i + 4);
	}
	g = ch_begin(1);
	assert_int_equal(mob_for(o_turns, 0, 10, ch_ledger.path), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_for: no part of a graph");
	y = mob_reduce(o_sum, refs, 2);
	assert_int_equal(mob_get(y, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_reduce: no part of a graph");
	y = mob_submit(c_step, 1, 2);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_run(g), 0);
	assert_int_equal(mob_graph_get(g, y, &x), 0);
	assert_int_equal(x, 5);
	mob_graph_close(g);
	/* And now they are done. */
	assert_int_equal(mob_for(o_turns, 0, 10, ch_ledger.path), 0);
	assert_int_equal(ch_ledger.at[CALLS], 10);
	assert_int_equal(mob_get(mob_reduce(o_sum, refs, 2), &x), 0);
	assert_int_equal(x, 9);
	live_ledger_close(&ch_ledger);
}

/* A map that folds what was called before can be asked again. */
static void test_graph_fold_of_a_map_is_no_part_of_it(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_graph *g;
	struct mob_map *m;
	uint64_t x;

	(void)state;
	o.chunk = 1;
	for (int early = 1; early >= 0; early--) {
		assert_int_equal(mob_map_open(&o, &m), 0);
		assert_int_equal(mob_map_fold(m, o_sum), 0);
		if (!early) {
			g = ch_begin(1);
		}
		for (uint64_t i = 0; i < 3; i++) {
			assert_int_equal(mob_map_add(m, c_step, 1, i), 0);
		}
		if (early) {
			g = ch_begin(1);
		}
		assert_int_equal(mob_map_next(m, &x), MOB_E_STATE);
		live_pends(MOB_E_STATE, "no part of a graph");
		(void)mob_submit(c_step, 1, 2);
		assert_int_equal(mob_capture_end(g), 0);
		if (early) {
			assert_int_equal(mob_map_next(m, &x), 1);
			assert_int_equal(x, 12);
		} else {
			assert_int_equal(mob_map_next(m, &x), MOB_E_STATE);
			live_pends(MOB_E_STATE, "no part of a graph");
		}
		assert_int_equal(mob_map_next(m, &x), 0);
		mob_map_close(m);
		mob_graph_close(g);
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_graph_option_name_is_that_of_errors),
		T(test_graph_option_retries_is_how_often_a_node_is_called_again),
		T(test_graph_options_that_cannot_be_kept_are_refused),
		T(test_graph_options_of_a_function_that_cannot_be_kept),
		T(test_graph_calls_of_a_map_are_no_part_of_it),
		T(test_graph_loops_and_folds_are_no_part_of_it),
		T(test_graph_fold_of_a_map_is_no_part_of_it),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
