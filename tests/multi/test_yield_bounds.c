/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that yield: how far they run ahead of their readers, and what becomes of them
 * when a reader lets go of the stream or they are cancelled.
 */
#include "yield_fixture.h"

/* ---- how far ahead ---- */

static void test_semantics_35_bound_of_items(void **state)
{
	static const uint32_t bounds[] = { 1, 2, 10, 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		uint64_t n = bounds[i];
		mob_ref s;

		live_ledger_open(&ledger, WORDS);
		s = mob_submit_with(MOB_OPTS(.stream_items = bounds[i]),
				    s_noted, ledger.path, 5000, -1, 0, 0);
		assert_true(live_ledger_await(&ledger, N_YIELDED, n));
		assert_true(live_await(one_blocked, NULL));
		assert_int_equal(ledger.at[N_YIELDED], n);
		for (int64_t k = 0; k < 5000; k++) {
			reads(s, k, 1);
			/* One may be on its way. */
			assert_true(ledger.at[N_YIELDED] <=
				    (uint64_t)k + 1 + n);
		}
		ends(s);
		live_ledger_close(&ledger);
	}
}

MOB_TASK_STREAM(mob_i64s, s_noted_blocks, mob_str, path, int64_t, n, uint64_t,
		each)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t *to = mob_new_of(mob_i64s, each);

		to[0] = i;
		if (mob_yield(mob_i64s_of(to, each))) {
			return;
		}
		(void)live_ledger_add(path, N_YIELDED);
	}
}

/* 1 GB in all, in a store of 64 MiB. */
static void test_semantics_35_bound_of_bytes(void **state)
{
	uint64_t n = 4;
	mob_i64s block;
	mob_ref s;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	s = mob_submit_with(MOB_OPTS(.stream_bytes = 4000000), s_noted_blocks,
			    ledger.path, 1000, 125000);
	assert_true(live_ledger_await(&ledger, N_YIELDED, n));
	assert_true(live_await(one_blocked, NULL));
	assert_int_equal(ledger.at[N_YIELDED], 4);
	for (int64_t i = 0; i < 1000; i++) {
		MOB_SCOPE
		{
			assert_int_equal(mob_next(s, &block), 1);
			assert_int_equal(block.at[0], i);
		}
	}
	assert_int_equal(mob_next(s, &block), 0);
	/* One item always passes. */
	s = mob_submit_with(MOB_OPTS(.stream_bytes = 1), s_blocks, 20, 1000);
	for (int64_t i = 0; i < 20; i++) {
		assert_int_equal(mob_next(s, &block), 1);
		assert_int_equal(block.at[999], i);
	}
	assert_int_equal(mob_next(s, &block), 0);
	live_ledger_close(&ledger);
}

/* Items that were read are gone: a long stream needs no more slots than a short
 * one. */
static void test_stream_of_any_length_runs_in_constant_memory(void **state)
{
	int64_t n = (int64_t)test_count("MOB_TEST_STREAM", 300000, 10000000);
	uint32_t used = 0;
	mob_ref s = mob_submit_with(MOB_OPTS(.stream_items = 1000), s_count, n);

	(void)state;
	for (int64_t i = 0; i < n; i++) {
		reads(s, i, 1);
		if (i == n / 10) {
			used = live_slots_used();
		}
	}
	ends(s);
	assert_true(live_slots_used() <= used + 64);
}

MOB_TASK_STREAM(int64_t, s_impatient, mob_str, path)
{
	for (int64_t i = 0; i < 3; i++) {
		(void)mob_yield_timeout(i, 0);
	}
	(void)live_ledger_add(path,
			      mob_yield_timeout(9, MOB_MS) == MOB_E_TIMEOUT ?
				      N_YIELDED :
				      N_OTHER);
	(void)live_ledger_add(path, mob_error_code() ? N_OTHER : N_RUNS);
}

static void test_stream_yield_with_a_time_out(void **state)
{
	mob_ref s;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	s = mob_submit_with(MOB_OPTS(.stream_items = 3), s_impatient,
			    ledger.path);
	assert_int_equal(mob_join(mob_stream_result(s)), 0);
	assert_int_equal(ledger.at[N_YIELDED], 1);
	assert_int_equal(ledger.at[N_RUNS], 1);
	reads(s, 0, 3);
	ends(s);
	live_ledger_close(&ledger);
}

/* ---- letting go, cancelling ---- */

static void test_semantics_35_unread_items_go_with_the_stream(void **state)
{
	mob_ref s;
	mob_i64s block;

	(void)state;
	/* 40 MB, twice, in 64 MiB: of a task that has ended, */
	for (int i = 0; i < 4; i++) {
		s = mob_submit(s_blocks, 40, 125000);
		assert_int_equal(mob_join(mob_stream_result(s)), 0);
		assert_int_equal(mob_next(s, &block), 1);
		assert_int_equal(mob_release(s), 0);
	}
	/* and of one that goes on to its end: what it yields is thrown away. */
	live_ledger_open(&ledger, WORDS);
	s = mob_submit_with(MOB_OPTS(.stream_items = 5), s_noted, ledger.path,
			    1000, -1, 0, 0);
	reads(s, 0, 2);
	assert_int_equal(mob_release(s), 0);
	assert_true(live_await_tasks(0));
	assert_int_equal(mob_error_code(), 0);
	live_ledger_close(&ledger);
}

MOB_TASK_STREAM(int64_t, s_to_the_end, mob_str, path, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		(void)mob_yield(i);
	}
	(void)live_ledger_add(path, mob_task_cancelled() ? N_OTHER : N_RUNS);
}

static void test_semantics_35_task_goes_on_when_the_stream_is_gone(void **state)
{
	mob_ref s;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	s = mob_submit_with(MOB_OPTS(.stream_items = 5), s_to_the_end,
			    ledger.path, 1000);
	assert_true(live_await(one_blocked, NULL));
	assert_int_equal(mob_release(s), 0);
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[N_RUNS], 1);
	assert_int_equal(ledger.at[N_OTHER], 0);
	live_ledger_close(&ledger);
}

static void test_semantics_35_task_is_cancelled_with_the_stream(void **state)
{
	mob_ref s;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	s = mob_submit_with(MOB_OPTS(.stream_items = 5, .stream_cancel = 1),
			    s_to_the_end, ledger.path, 1000);
	reads(s, 0, 1);
	assert_true(live_await(one_blocked, NULL));
	assert_int_equal(mob_release(s), 0);
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[N_RUNS], 0);
	assert_int_equal(ledger.at[N_OTHER], 1);
	live_ledger_close(&ledger);
}

MOB_TASK_STREAM(int64_t, s_endless, mob_str, path)
{
	int64_t i = 0;
	int rc = 0;

	while (rc == 0) {
		rc = mob_yield(i);
		i++;
	}
	live_ledger_max(path, N_YIELDED, (uint64_t)-rc);
}

static void
test_semantics_35_task_never_runs_if_the_stream_is_gone(void **state)
{
	mob_ref wait;
	mob_ref s;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	wait = mob_submit(s_until_told, ledger.path);
	s = mob_submit_with(MOB_OPTS(.stream_cancel = 1), s_later, wait,
			    ledger.path);
	assert_int_equal(mob_release(s), 0);
	(void)live_ledger_add(ledger.path, N_OTHER);
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[N_RUNS], 0);
	live_ledger_close(&ledger);
}

static void test_stream_of_a_cancelled_task(void **state)
{
	mob_ref ready;
	mob_ref s;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* One that waits for its reader, */
	s = mob_submit_with(MOB_OPTS(.stream_items = 5), s_to_the_end,
			    ledger.path, 1000);
	assert_true(live_await(one_blocked, NULL));
	assert_int_equal(mob_task_cancel(s, 0), 1);
	assert_int_equal(mob_join(mob_stream_result(s)), MOB_E_CANCELLED);
	mob_error_clear();
	reads(s, 0, 5);
	assert_int_equal(mob_next(s, &x), MOB_E_CANCELLED);
	mob_error_clear();
	ends(s);
	assert_true(live_await_tasks(0));
	assert_int_equal(mob_task_cancel(s, 0), 0);
	ledger.at[N_OTHER] = 0;
	/* one that waits for nobody, */
	s = mob_submit(s_endless, ledger.path);
	reads(s, 0, 100);
	assert_int_equal(mob_task_cancel(s, 0), 1);
	assert_int_equal(mob_join(mob_stream_result(s)), MOB_E_CANCELLED);
	mob_error_clear();
	assert_int_equal(ledger.at[N_YIELDED], -MOB_E_CANCELLED);
	assert_int_equal(mob_release(s), 0);
	/* one that has not begun, */
	s = mob_submit(s_later, mob_submit(s_until_told, ledger.path),
		       ledger.path);
	ready = mob_stream_ready(s);
	assert_int_equal(mob_task_cancel(s, 0), 1);
	assert_int_equal(mob_wait(&ready, 1, 1, 0, NULL), 1);
	assert_int_equal(mob_next(s, &x), MOB_E_CANCELLED);
	mob_error_clear();
	ends(s);
	(void)live_ledger_add(ledger.path, N_OTHER);
	/* and one whose time is over. */
	s = mob_submit_with(MOB_OPTS(.stream_items = 5,
				     .timeout_ns = 20 * MOB_MS),
			    s_to_the_end, ledger.path, 1000);
	assert_int_equal(mob_join(mob_stream_result(s)), MOB_E_TIMEOUT);
	mob_error_clear();
	reads(s, 0, 5);
	assert_int_equal(mob_next(s, &x), MOB_E_TIMEOUT);
	mob_error_clear();
	ends(s);
	live_ledger_close(&ledger);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_35_bound_of_items),
		T(test_semantics_35_bound_of_bytes),
		T(test_stream_of_any_length_runs_in_constant_memory),
		T(test_stream_yield_with_a_time_out),
		T(test_semantics_35_unread_items_go_with_the_stream),
		T(test_semantics_35_task_goes_on_when_the_stream_is_gone),
		T(test_semantics_35_task_is_cancelled_with_the_stream),
		T(test_semantics_35_task_never_runs_if_the_stream_is_gone),
		T(test_stream_of_a_cancelled_task),
	};

	return cmocka_run_group_tests(tests, live_start_two, NULL);
}
