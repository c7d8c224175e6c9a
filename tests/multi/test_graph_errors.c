/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: errors of nodes, and calls of the library that make no sense. */
#include "graph_fixture.h"

#include <string.h>

#define WORDS 8
static struct live_ledger ledger;

MOB_TASK(uint64_t, g_seed, uint64_t, a)
{
	return a * 3 + 7;
}

MOB_TASK(mob_str, g_text, int64_t, x)
{
	(void)x;
	return "text";
}

MOB_TASK_STREAM(int64_t, g_yields, int64_t, x)
{
	mob_yield(x);
}

MOB_TASK(int64_t, g_list, mob_args, list)
{
	return (int64_t)list.n;
}

MOB_FUNCTION_TYPE(unary, uint64_t, uint64_t);
MOB_TASK(uint64_t, g_apply, unary, f, uint64_t, x)
{
	return f(x);
}

/* ---- errors ---- */

static void test_graph_error_of_a_node_ends_the_run(void **state)
{
	struct mob_graph *g;
	mob_ref in;
	mob_ref mid;
	mob_ref out;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	in = mob_graph_input(int64_t);
	mid = mob_submit(g_fails_at, in, 4);
	out = mob_submit(g_count, ledger.path, 0, mid);
	assert_int_equal(mob_capture_end(g), 0);
	for (int64_t i = 0; i < 12; i++) {
		int64_t v = i % 6;

		ledger.at[0] = 0;
		assert_int_equal(mob_graph_set(g, in, &v), 0);
		if (v != 4) {
			run(g);
			assert_int_equal(mob_graph_get(g, out, &x), 0);
			assert_int_equal(x, v * 2 + 1);
			continue;
		}
		assert_int_equal(mob_graph_run(g), MOB_E_TASK);
		assert_int_equal(ledger.at[0], 0);
		assert_non_null(strstr(mob_error(), "g_fails_at"));
		live_pends(42, "cannot do 4");
		assert_int_equal(mob_graph_get(g, out, &x), MOB_E_STATE);
		live_pends(MOB_E_STATE, "last run has failed");
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static void test_graph_error_of_an_object_is_that_of_the_run(void **state)
{
	mob_ref bad = mob_submit(g_fails_at, 3, 3);
	struct mob_graph *g = begin();

	(void)state;
	(void)mob_submit(g_fails_at, bad, -1);
	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_graph_run(g), MOB_E_TASK);
		live_pends(42, "cannot do 3");
	}
	mob_graph_close(g);
	/* Of the wrong type: only seen when it is there. */
	g = begin();
	(void)mob_submit(g_fails_at, mob_put(2.5), -1);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_run(g), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "double");
	mob_graph_close(g);
}

/* ---- bad input ---- */

/* The call is refused, and with it the capture. */
#define REFUSED(code, part, call)                                              \
	do {                                                                   \
		struct mob_graph *g_ = begin();                                \
		mob_ref in_ MOB_UNUSED = mob_graph_input(int64_t);             \
		mob_ref r_ = (call);                                           \
		assert_int_equal(mob_join(r_), code);                          \
		live_pends(code, part);                                        \
		assert_int_equal(mob_capture_end(g_), code);                   \
		live_pends(code, part);                                        \
		assert_int_equal(mob_graph_start(g_), MOB_E_STATE);            \
		live_pends(MOB_E_STATE, "capture of the graph has failed");    \
		mob_graph_close(g_);                                           \
	} while (0)

static void test_graph_bad_calls_are_refused_when_recorded(void **state)
{
	struct mob_graph *other = begin();
	mob_ref theirs = mob_graph_input(int64_t);
	mob_ref r;

	(void)state;
	assert_int_equal(mob_capture_end(other), 0);
	REFUSED(MOB_E_INVAL, "fixed size", mob_submit(g_text, 1));
	REFUSED(MOB_E_INVAL, "yields a stream", mob_submit(g_yields, 1));
	REFUSED(MOB_E_INVAL, "mob_args",
		mob_submit(g_list, mob_args_of(&in_, 1)));
	REFUSED(MOB_E_INVAL, "unary", mob_submit(g_apply, g_seed, 1));
	REFUSED(MOB_E_INVAL, "slice",
		mob_submit(g_sum, mob_slice(in_, 0, 1), "", 0));
	REFUSED(MOB_E_TYPE,
		"argument 1 of task g_sum: it is a mob_f64s, given a "
		"int64_t",
		mob_submit(g_sum, in_, "", 0));
	REFUSED(MOB_E_TYPE, "given a int64_t", mob_submit(g_seed, in_));
	REFUSED(MOB_E_BAD_REF, "of another capture",
		mob_submit(g_fails_at, theirs, 1));
	REFUSED(MOB_E_BAD_REF, "of a capture", mob_submit(g_reads_ref, in_));
	REFUSED(MOB_E_BAD_REF, "MOB_REF_NONE",
		mob_submit(g_fails_at, MOB_REF_NONE, 1));
	/* A node that would need itself: refs are of calls before only. */
	REFUSED(MOB_E_BAD_REF, "a graph has no cycles",
		(r = in_, r.lo++, mob_submit(g_fails_at, r, 1)));
	mob_graph_close(other);
}

static void test_graph_refs_of_a_capture_are_good_for_nothing_else(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	mob_ref out = mob_submit(g_fails_at, in, -1);
	struct mob_graph *second;
	int64_t x = 3;
	bool ready;

	(void)state;
	assert_int_equal(mob_get(out, &x), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "of a capture: use it in submits");
	assert_int_equal(mob_capture_begin(&second), MOB_E_STATE);
	live_pends(MOB_E_STATE, "records already");
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_capture_end first");
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_capture_end(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_join(mob_submit(g_fails_at, in, -1)),
			 MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "of a capture");
	assert_int_equal(mob_wait(&out, 1, 1, 0, &ready), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_release(out), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "of a capture");
	assert_int_equal(mob_join(mob_graph_input(int64_t)), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not record");
	mob_graph_close(g);
	/* One that is given up while it records, and one of fixed size only. */
	g = begin();
	assert_int_equal(mob_join(mob_graph_input(mob_str)), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "no fixed size");
	(void)mob_submit(g_fails_at, mob_put(INT64_C(1)), 2);
	mob_graph_close(g);
	x = 0;
	assert_int_equal(mob_take(mob_submit(g_fails_at, 1, 2), &x), 0);
	assert_int_equal(x, 2);
}

static void test_graph_bad_sets_runs_and_gets_are_refused(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	mob_ref out;
	struct mob_graph *inner;
	int64_t x = 3;
	double d = 1;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	out = mob_submit(g_slow, ledger.path, in);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "input 1 (int64_t) of the graph was never set");
	assert_int_equal(mob_graph_set(g, in, &d), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "it is a int64_t, given a double");
	assert_int_equal(mob_graph_set(g, out, &x), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "only inputs and channels are set");
	assert_int_equal(mob_graph_set(g, mob_put(x), &x), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "not one of a capture");
	assert_int_equal(mob_graph_set(g, in, &x), 0);
	assert_int_equal(mob_graph_get(g, out, &d), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "given a double");
	assert_int_equal(mob_graph_get(g, out, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "has not run");
	assert_int_equal(x, 0);
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not run");
	inner = begin();
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "no part of a graph");
	mob_graph_close(inner);
	/* While it runs nothing of it changes. */
	assert_int_equal(mob_graph_start(g), 0);
	assert_int_equal(mob_graph_set(g, in, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "the graph runs");
	assert_int_equal(mob_graph_get(g, out, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "the graph runs");
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "the graph runs");
	assert_int_equal(mob_graph_wait(g, -5), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "timeout_ns is -5");
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_TIMEOUT);
	ledger.at[1] = 1;
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), 0);
	assert_int_equal(mob_graph_get(g, out, &x), 0);
	assert_int_equal(x, 3);
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static void test_graph_of_a_session_that_has_ended(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	int64_t x = 1;

	(void)state;
	(void)mob_submit(g_fails_at, in, -1);
	assert_int_equal(mob_capture_end(g), 0);
	mob_shutdown();
	live_start(2);
	assert_int_equal(mob_graph_set(g, in, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "a session that has ended");
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "a session that has ended");
	mob_graph_close(g);
	/* One that records when it ends. */
	g = begin();
	mob_shutdown();
	live_start(2);
	assert_int_equal(mob_take(mob_submit(g_fails_at, 1, 2), &x), 0);
	assert_int_equal(mob_capture_end(g), MOB_E_STATE);
	mob_error_clear();
	mob_graph_close(g);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_graph_error_of_a_node_ends_the_run),
		T(test_graph_error_of_an_object_is_that_of_the_run),
		T(test_graph_bad_calls_are_refused_when_recorded),
		T(test_graph_refs_of_a_capture_are_good_for_nothing_else),
		T(test_graph_bad_sets_runs_and_gets_are_refused),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_setup_teardown(
			test_graph_of_a_session_that_has_ended, live_start_two,
			live_leave),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave) +
	       cmocka_run_group_tests(alone, NULL, NULL);
}
