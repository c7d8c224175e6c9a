/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that yield and their readers, when one of them dies: retries go on where the
 * stream was. And when one waits for the other: in a cycle, or on one worker.
 */
#include "yield_fixture.h"

#include "yield.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first number of the last block. */
MOB_TASK(int64_t, s_last, mob_ref, in)
{
	int64_t last = -1;
	mob_i64s block;
	int rc = 1;

	while (rc == 1) {
		MOB_SCOPE
		{
			rc = mob_next(in, &block);
			if (rc == 1) {
				last = block.at[0];
			}
		}
	}
	return last;
}

/* ---- who dies ---- */

static void test_semantics_35_retry_goes_on_where_it_was(void **state)
{
	static const int64_t at[] = { 0, 1, 7, 8, 9, 500, 1999 };
	mob_ref s;
	int64_t x;

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		live_ledger_open(&ledger, WORDS);
		/* Dies three times, and is run a fourth. */
		s = mob_submit(s_noted, ledger.path, 2000, at[i], -9, 3);
		reads(s, 0, 2000);
		ends(s);
		assert_int_equal(ledger.at[N_RUNS], 4);
		/* Bounded, and read by a task. */
		ledger.at[N_RUNS] = 0;
		s = mob_submit_with(MOB_OPTS(.stream_items = 3), s_noted,
				    ledger.path, 2000, at[i], -9, 1);
		assert_int_equal(mob_get(mob_submit(s_sum, s), &x), 0);
		assert_int_equal(x, sum_to(2000));
		/* Of an error that is retried. */
		ledger.at[N_RUNS] = 0;
		s = mob_submit_with(MOB_OPTS(.retry_errors = 1), s_noted,
				    ledger.path, 2000, at[i], 5, 3);
		reads(s, 0, 2000);
		ends(s);
		/* The last attempt: what it yielded, then its death. */
		ledger.at[N_RUNS] = 0;
		s = mob_submit_with(MOB_OPTS(.retries = 0), s_noted,
				    ledger.path, 2000, at[i], -9, 1);
		reads(s, 0, at[i]);
		assert_int_equal(mob_next(s, &x), MOB_E_CRASHED);
		mob_error_clear();
		ends(s);
		live_ledger_close(&ledger);
	}
}

/* Tells its process, and reads. */
MOB_TASK(int64_t, s_pid_and_sum, mob_ref, in, mob_str, path)
{
	live_ledger_max(path, N_YIELDED, (uint64_t)getpid());
	return s_sum(in);
}

static bool reader_waits(void *arg)
{
	const struct mobi_stream *st = arg;

	return mobi_load(&st->wanted) != 0;
}

/* Dies after it has read so many, in its first run. */
MOB_TASK(int64_t, s_dies_reading, mob_ref, in, mob_str, path, int64_t, n)
{
	bool first = live_ledger_add(path, N_RUNS) == 0;
	int64_t sum = 0;
	int64_t x;

	if (first && !n) {
		(void)raise(SIGKILL);
	}
	while (mob_next(in, &x) == 1) {
		sum += x;
		if (first && !--n) {
			(void)raise(SIGKILL);
		}
	}
	return sum;
}

static void test_stream_reader_that_dies(void **state)
{
	mob_ref sum;
	mob_ref s;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* While it waits for the first, it is run again; */
	s = mob_submit(s_later, mob_submit(s_until_told, ledger.path),
		       ledger.path);
	sum = mob_submit(s_pid_and_sum, s, ledger.path);
	assert_true(
		live_await(reader_waits, mobi_stream_at(mobi_rt.store, s.lo)));
	assert_int_equal(kill((int)ledger.at[N_YIELDED], SIGKILL), 0);
	(void)live_ledger_add(ledger.path, N_OTHER);
	assert_int_equal(mob_get(sum, &x), 0);
	assert_int_equal(x, 1);
	ledger.at[N_RUNS] = 0;
	/* so it is before it has read any; */
	s = mob_submit(s_count, 1000);
	assert_int_equal(
		mob_get(mob_submit(s_dies_reading, s, ledger.path, 0), &x), 0);
	assert_int_equal(x, sum_to(1000));
	/* afterwards it is told that some are gone. */
	for (int64_t n = 1; n < 20; n += 9) {
		ledger.at[N_RUNS] = 0;
		s = mob_submit_with(MOB_OPTS(.stream_items = 4), s_count, 1000);
		assert_int_equal(
			mob_get(mob_submit(s_dies_reading, s, ledger.path, n),
				&x),
			MOB_E_LOST);
		assert_non_null(strstr(mob_error(), "items that it has read"));
		mob_error_clear();
		assert_int_equal(mob_release(s), 0);
	}
	live_ledger_close(&ledger);
}

enum { N_HI = 3, N_LO = 4 };

/* Yields one, and then needs what its reader makes of all. */
MOB_TASK_STREAM(int64_t, s_needs_reader, mob_str, path)
{
	mob_ref ref = MOB_REF_NONE;
	int64_t x;

	(void)mob_yield(1);
	while (!live_ledger_get(path, N_OTHER)) {
		mobi_pause_ns(MOB_MS / 10);
	}
	ref.hi = live_ledger_get(path, N_HI);
	ref.lo = live_ledger_get(path, N_LO);
	(void)mob_get(ref, &x);
}

static void test_semantics_10_cycle_through_a_tasks_stream(void **state)
{
	mob_ref sum;
	mob_ref s;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	s = mob_submit(s_needs_reader, ledger.path);
	sum = mob_submit(s_sum, s);
	ledger.at[N_HI] = sum.hi;
	ledger.at[N_LO] = sum.lo;
	(void)live_ledger_add(ledger.path, N_OTHER);
	assert_int_equal(mob_get(sum, &x), MOB_E_DEADLOCK);
	assert_non_null(strstr(mob_error(), "waits in stream for"));
	assert_non_null(strstr(mob_error(), "waits in get for"));
	mob_error_clear();
	assert_int_equal(mob_join(mob_stream_result(s)), MOB_E_DEADLOCK);
	mob_error_clear();
	live_ledger_close(&ledger);
}

/* As many numbers as there are items, or none. */
MOB_TASK(mob_i64s, s_large, mob_ref, in, int64_t, n)
{
	int64_t *to = mob_new_of(mob_i64s, (size_t)n);
	int64_t x;

	for (int64_t i = 0; to && i < n && mob_next(in, &x) == 1; i++) {
		to[i] = x;
	}
	return mob_i64s_of(to, to ? (size_t)n : 0);
}

MOB_TASK(mob_i64s, s_large_alone, int64_t, n)
{
	int64_t *to = mob_new_of(mob_i64s, (size_t)n);

	memset(to, 0, (size_t)n * sizeof(*to));
	return mob_i64s_of(to, (size_t)n);
}

/* The record of a task stays as long as its result, to make that again; not of one
 * that has read a stream, which would not be there. */
static void test_stream_is_nothing_to_make_a_result_of_again(void **state)
{
	mob_ref r = mob_submit(s_large_alone, 20000);
	mob_i64s v;

	(void)state;
	assert_int_equal(mob_join(r), 0);
	assert_true(live_await_tasks(1));
	assert_int_equal(mob_release(r), 0);
	r = mob_submit(s_large, mob_submit(s_count, 20000), 20000);
	assert_int_equal(mob_join(r), 0);
	assert_true(live_await_tasks(0));
	assert_int_equal(mob_get(r, &v), 0);
	assert_true(v.n == 20000 && v.at[19999] == 19999);
}

/* Anybody who yields or reads may be killed at any time: nothing hangs or leaks, and
 * what is read is right as far as it goes. */
static void test_stream_killed_at_random(void **state)
{
	uint64_t kills = test_count("MOB_TEST_KILLS", 40, 2000);
	uint64_t seed = live_seed("kills");
	uint64_t whole = 0;

	(void)state;
	for (uint64_t i = 0; i < kills; i++) {
		struct mob_scope in = mob_scope_open();
		uint32_t bound = (uint32_t)(live_random(&seed) % 20);
		struct mob_task_opts o = MOB_OPTS(.retries = -1,
						  .stream_items = bound);
		int64_t n = (int64_t)(live_random(&seed) % 30000);
		mob_ref s = mob_submit_with(o, s_count, n);
		int64_t x;
		int pid;
		int rc;

		for (uint64_t k = live_random(&seed) % 3; k; k--) {
			s = mob_submit_with(o, s_doubled, s);
			n *= 2;
		}
		s = mob_submit_with(MOB_OPTS(.retries = -1), s_sum, s);
		mobi_pause_ns((int64_t)(live_random(&seed) % 3000000));
		pid = live_worker((uint32_t)(live_random(&seed) % 3));
		if (pid > 0) {
			(void)kill(pid, SIGKILL);
		}
		rc = mob_get(s, &x);
		whole += rc == 0;
		if (rc && rc != MOB_E_LOST) {
			fail_msg("%d: %s", rc, mob_error());
		}
		mob_error_clear();
		mob_scope_close(&in);
		if (live_audit(0)) {
			fail_msg("after kill %d", (int)i);
		}
	}
	print_message("%d of %d were read to the end\n", (int)whole,
		      (int)kills);
}

/* ---- one worker for all ---- */

/* Without another worker the bound cannot be kept: it is no deadlock. */
static void test_stream_and_its_reader_on_one_worker(void **state)
{
	static const char *const policies[] = { "fifo", "lifo" };

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	for (size_t i = 0; i < 2; i++) {
		const struct live_session session = { .workers = 1,
						      .policy = policies[i],
						      .ledger = &ledger,
						      .words = WORDS };
		mob_ref s;
		int64_t x;

		live_begin(&session);
		/* Both are queued before one runs: by lifo, the reader first. */
		(void)mob_submit(s_until_told, ledger.path);
		s = mob_submit_with(MOB_OPTS(.stream_items = 4), s_count, 2000);
		s = mob_submit_with(MOB_OPTS(.stream_items = 4), s_doubled, s);
		s = mob_submit(s_sum, s);
		(void)live_ledger_add(ledger.path, N_OTHER);
		assert_int_equal(mob_get(s, &x), 0);
		assert_int_equal(x, 2 * sum_to(2000));
		live_end(&session);
	}
}

static void reads_four_streams(size_t i)
{
	mob_ref s = mob_submit_with(MOB_OPTS(.retries = -1), s_count, 30);
	int64_t x;
	int rc;

	(void)i;
	reads(s, 0, 30);
	ends(s);
	/* Each waits for the other. */
	s = mob_submit_with(MOB_OPTS(.retries = -1, .stream_items = 1), s_count,
			    30);
	reads(s, 0, 30);
	ends(s);
	s = mob_submit_with(MOB_OPTS(.retries = -1), s_blocks, 5, 20000);
	s = mob_submit_with(MOB_OPTS(.retries = -1), s_last, s);
	rc = mob_get(s, &x);
	assert_true(rc == MOB_E_LOST || (rc == 0 && x == 4));
	mob_error_clear();
	/* A task that does not begin, as its argument holds an error. */
	s = mob_submit_with(MOB_OPTS(.retries = -1), s_count,
			    mob_submit_with(MOB_OPTS(.retries = -1), s_sum,
					    mob_put(5)));
	assert_int_equal(mob_next(s, &x), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "is no stream");
	ends(s);
}

/* Every worker dies at one of its first passes of a point, once it has gone on. */
static void test_semantics_35_retry_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"stream.item=kill@9", "stream.counted=kill@3",
		"stream.kept=kill@2", "stream.linked=kill",
		"stream.ended=kill",  "stream.over=kill",
		"stream.step=kill",   "stream.read=kill@3",
		"stream.stepped=kill"
	};
	const struct live_session session = { .workers = 2 };

	(void)state;
	live_each_fault(&session, faults, sizeof(faults) / sizeof(faults[0]),
			reads_four_streams);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_teardown(
			test_stream_and_its_reader_on_one_worker, live_leave),
		cmocka_unit_test_teardown(
			test_semantics_35_retry_survives_a_kill_at_each_step,
			live_leave),
	};
	const struct CMUnitTest tests[] = {
		T(test_semantics_35_retry_goes_on_where_it_was),
		T(test_stream_reader_that_dies),
		T(test_semantics_10_cycle_through_a_tasks_stream),
		T(test_stream_is_nothing_to_make_a_result_of_again),
		T(test_stream_killed_at_random),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	return failed + cmocka_run_group_tests(tests, live_start_two, NULL);
}
