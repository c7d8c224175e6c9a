/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that wait for room of their streams: a deadlock if whoever may read waits for
 * what they alone can end, and none as long as one may go on.
 */
#include "wait_graph.h"

#include "deadlock.h"

#include <pthread.h>
#include <string.h>

/* ---- one that yields and one that should read ---- */

static const int64_t large[128];

/* Yields n numbers, or blocks of 1 KiB; a wait of its own that ends in a deadlock is
 * counted. */
MOB_TASK_STREAM(int64_t, d_numbers, mob_str, path, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		int rc = mob_yield(i);

		if (wg_is_victim(rc)) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		if (rc) {
			return;
		}
	}
	(void)live_ledger_add(path, WG_DONE);
}

MOB_TASK_STREAM(mob_i64s, d_blocks, mob_str, path, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		int rc = mob_yield(mob_i64s_of(large, 128));

		if (wg_is_victim(rc)) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		if (rc) {
			return;
		}
	}
}

static int join_counted(const char *path, mob_ref r)
{
	int rc = mob_join(r);

	if (wg_is_victim(rc)) {
		(void)live_ledger_add(path, WG_VICTIMS);
	}
	return rc;
}

/* Reads `first` of them, waits for the end of who yields, and reads the rest. */
MOB_TASK(int64_t, d_joins, mob_str, path, mob_ref, in, int64_t, first)
{
	int64_t n = 0;
	mob_ref item;

	for (; n < first && mob_next_ref(in, &item) == 1; n++) {
	}
	(void)live_ledger_add(path, WG_BEGUN);
	if (join_counted(path, mob_stream_result(in)) < 0) {
		return -1;
	}
	for (; mob_next_ref(in, &item) == 1; n++) {
	}
	return n;
}

/* Has the stream, and only waits for the end of who yields. */
MOB_TASK(int64_t, d_waits, mob_str, path, mob_ref, in)
{
	(void)live_ledger_add(path, WG_BEGUN);
	return join_counted(path, mob_stream_result(in));
}

/* Reads some and ends. */
MOB_TASK(int64_t, d_reads_some, mob_ref, in, int64_t, n)
{
	int64_t sum = 0;
	int64_t x;

	for (int64_t i = 0; i < n && mob_next(in, &x) == 1; i++) {
		sum += x;
	}
	return sum;
}

/* Reads all when it may. */
MOB_TASK(int64_t, d_stands, mob_str, path, mob_ref, in)
{
	int64_t sum = 0;
	int64_t x;

	(void)live_ledger_add(path, WG_BEGUN);
	wg_await_word(path, WG_FREE, 1);
	while (mob_next(in, &x) == 1) {
		sum += x;
	}
	return sum;
}

/* Is to read when who yields has ended. */
MOB_TASK(int64_t, d_after, mob_ref, in, uint64_t, n)
{
	return (int64_t)n + (in.lo ? 0 : 1);
}

static bool is_over(void *arg)
{
	return mob_wait(arg, 1, 1, 0, NULL) == 1;
}

/* The deadlock is told, with these words, to one of them. */
static void ends_in_one(mob_ref r, const char *words)
{
	assert_true(live_await(is_over, &r));
	assert_int_equal(mob_join(r), MOB_E_DEADLOCK);
	assert_non_null(strstr(mob_error(), words));
	assert_non_null(strstr(mob_error(), "which waits in yield for room in "
					    "stream"));
	mob_error_clear();
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
}

static mob_ref bounded(int64_t n)
{
	return mob_submit_with(MOB_OPTS(.stream_items = 4), d_numbers,
			       wg_ledger.path, n);
}

static void test_semantics_10_reader_waits_for_the_end(void **state)
{
	(void)state;
	/* Until it has begun to read, any thread of its process may. */
	for (int64_t first = WG_HAS_THREAD ? 2 : 0; first < 6; first++) {
		MOB_SCOPE
		{
			mob_ref in;
			mob_ref r;

			wg_forget();
			in = first & 1 ?
				     mob_submit_with(
					     MOB_OPTS(.stream_bytes = 4000),
					     d_blocks, wg_ledger.path, 100) :
				     bounded(100);
			r = mob_submit(d_joins, wg_ledger.path, in, first / 2);
			assert_int_equal(mob_release(in), 0);
			ends_in_one(r, "waits in get for object");
		}
	}
}

/* It is enough that a reader has begun, whoever else has the stream. */
static void test_semantics_10_reader_that_has_begun(void **state)
{
	(void)state;
	wg_forget();
	ends_in_one(mob_submit(d_joins, wg_ledger.path, bounded(100), 1), "for "
									  "task"
									  " d_"
									  "join"
									  "s "
									  "(");
}

/* Nobody can read on, and one that has the stream keeps it for ever. */
static void test_semantics_10_reader_that_has_ended(void **state)
{
	mob_ref in;
	mob_ref r;
	int64_t x;

	(void)state;
	wg_forget();
	in = bounded(100);
	assert_int_equal(mob_get(mob_submit(d_reads_some, in, 3), &x), 0);
	assert_int_equal(x, 3);
	r = mob_submit(d_waits, wg_ledger.path, in);
	ends_in_one(r, "for task d_waits (");
}

/* Whoever is to read is pending, for the end of who yields. */
static void test_semantics_10_reader_is_pending(void **state)
{
	mob_ref in;
	mob_ref r;

	(void)state;
	wg_forget();
	in = bounded(100);
	r = mob_submit(d_after, in, mob_stream_result(in));
	assert_int_equal(mob_release(in), 0);
	ends_in_one(r, "which is for task d_after (");
}

/* An object that whoever yields has to seal after that. */
MOB_TASK_STREAM(int64_t, d_seals, mob_str, path, int64_t, n)
{
	struct mob_store *s = mobi_rt.store;
	mob_ref object;
	void *at;
	int rc = mob_object_create(s, 8, 0, &object, &at);

	if (rc < 0) {
		mob_fail(1, "%s", mob_err_detail(rc));
		return;
	}
	memset(at, 0, 8);
	if (mob_name_put(s, "o0", object, 0, NULL) >= 0) {
		(void)live_ledger_add(path, WG_MADE);
	}
	for (int64_t i = 0; i < n; i++) {
		rc = mob_yield(i);
		if (wg_is_victim(rc)) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		if (rc) {
			break;
		}
	}
	if (mob_object_seal(s, object) == 0) {
		(void)mob_object_release(s, object);
	}
}

MOB_TASK(int64_t, d_looks, mob_str, path, mob_ref, in)
{
	struct mob_store *s = mobi_rt.store;
	struct mob_view v;
	mob_ref object;
	int64_t n = 0;
	int64_t x;
	int rc;

	wg_await_word(path, WG_MADE, 1);
	rc = mob_name_get(s, "o0", &object, NULL);
	if (rc >= 0) {
		rc = mob_object_get(s, object, MOB_FOREVER, &v);
		if (wg_is_victim(rc)) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		if (rc >= 0) {
			mob_view_release(s, &v);
		}
		(void)mob_object_release(s, object);
	}
	if (rc < 0) {
		mob_fail(1, "%s", mob_err_detail(rc));
		return -1;
	}
	while (mob_next(in, &x) == 1) {
		n++;
	}
	return n;
}

static void test_semantics_10_reader_waits_for_an_object(void **state)
{
	mob_ref in;
	mob_ref r;
	int64_t x;

	(void)state;
	if (WG_HAS_THREAD) {
		skip();
	}
	wg_forget();
	in = mob_submit_with(MOB_OPTS(.stream_items = 4), d_seals,
			     wg_ledger.path, 100);
	r = mob_submit(d_looks, wg_ledger.path, in);
	assert_int_equal(mob_release(in), 0);
	assert_true(live_await(is_over, &r));
	(void)mob_get(r, &x);
	mob_error_clear();
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
	assert_int_equal(mob_name_remove(mobi_rt.store, "o0"), 0);
	/* With room for all of them it is none. */
	wg_forget();
	in = mob_submit_with(MOB_OPTS(.stream_items = 100), d_seals,
			     wg_ledger.path, 100);
	assert_int_equal(mob_get(mob_submit(d_looks, wg_ledger.path, in), &x),
			 0);
	assert_int_equal(x, 100);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
	assert_int_equal(mob_name_remove(mobi_rt.store, "o0"), 0);
}

static void reader_waits_for_the_end(size_t i)
{
	mob_ref in = bounded(100);
	mob_ref r = mob_submit(d_joins, wg_ledger.path, in, 0);
	int rc;

	(void)i;
	assert_int_equal(mob_release(in), 0);
	assert_true(live_await(is_over, &r));
	rc = mob_join(r);
	mob_error_clear();
	/* When who yields was given up, the other has its error. */
	assert_true(rc == MOB_E_CRASHED || rc == MOB_E_DEADLOCK);
	assert_true(mobi_load(&mobi_rt.sched->crash.count) > 0);
}

/* Whoever decides is killed while it has the LOCK of the stream, again and again. */
static void test_semantics_10_killed_while_it_looks(void **state)
{
	static const char *const faults[] = { "deadlock.stream=kill@1" };

	(void)state;
	if (WG_HAS_THREAD) {
		skip();
	}
	live_each_fault(&wg_four, faults, 1, reader_waits_for_the_end);
}

/* ---- none ---- */

/* There is room for what is left, though who yields has not seen it yet. */
static void test_deadlock_room_that_was_made_is_none(void **state)
{
	int64_t x;

	(void)state;
	for (int64_t i = 1; i <= 4; i++) {
		MOB_SCOPE
		{
			mob_ref in;

			wg_forget();
			in = bounded(4 + i);
			assert_int_equal(mob_get(mob_submit(d_joins,
							    wg_ledger.path, in,
							    i),
						 &x),
					 0);
			assert_int_equal(x, 4 + i);
			assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
		}
	}
}

/* One that has the stream may read it yet. */
static void test_deadlock_other_reader_is_a_way_out(void **state)
{
	mob_ref in;
	mob_ref r[2];
	int64_t x;

	(void)state;
	wg_forget();
	in = bounded(100);
	r[0] = mob_submit(d_waits, wg_ledger.path, in);
	r[1] = mob_submit(d_stands, wg_ledger.path, in);
	assert_int_equal(mob_release(in), 0);
	wg_await_word(wg_ledger.path, WG_BEGUN, 2);
	wg_sleep_well(2);
	wg_ledger.at[WG_FREE] = 1;
	assert_int_equal(mob_get(r[1], &x), 0);
	assert_int_equal(x, 4950);
	assert_int_equal(mob_get(r[0], &x), 0);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* Reads in a thread of its own, and waits itself for the end of who yields. */
struct reading {
	const char *path;
	mob_ref in;
	int64_t sum;
};

static void *read_on(void *arg)
{
	struct reading *r = arg;
	int64_t x;

	(void)live_ledger_add(r->path, WG_BEGUN);
	wg_await_word(r->path, WG_FREE, 1);
	while (mob_next(r->in, &x) == 1) {
		r->sum += x;
	}
	return NULL;
}

MOB_TASK(int64_t, d_reads_aside, mob_str, path, mob_ref, in)
{
	struct reading r = { path, in, 0 };
	pthread_t thread;

	if (pthread_create(&thread, NULL, read_on, &r)) {
		mob_fail(1, "no thread");
		return 0;
	}
	if (join_counted(path, mob_stream_result(in)) < 0) {
		(void)pthread_cancel(thread);
	}
	(void)pthread_join(thread, NULL);
	return r.sum;
}

static void test_deadlock_thread_that_reads_is_a_way_out(void **state)
{
	mob_ref in;
	mob_ref r;
	int64_t x;

	(void)state;
	wg_forget();
	in = bounded(100);
	r = mob_submit(d_reads_aside, wg_ledger.path, in);
	assert_int_equal(mob_release(in), 0);
	wg_await_word(wg_ledger.path, WG_BEGUN, 1);
	wg_sleep_well(2);
	wg_ledger.at[WG_FREE] = 1;
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(x, 4950);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* So many have it that not all are looked at: one that may read is among them. */
static void test_deadlock_stream_that_many_have_is_none(void **state)
{
	mob_ref in;
	mob_ref r[202];
	int64_t x[202];

	(void)state;
	wg_forget();
	in = bounded(100);
	r[0] = mob_submit(d_stands, wg_ledger.path, in);
	wg_await_word(wg_ledger.path, WG_BEGUN, 1);
	r[1] = mob_submit(d_waits, wg_ledger.path, in);
	for (int i = 2; i < 202; i++) {
		r[i] = mob_submit(d_after, in, mob_stream_result(in));
	}
	assert_int_equal(mob_release(in), 0);
	wg_await_word(wg_ledger.path, WG_BEGUN, 2);
	wg_sleep_well(2);
	wg_ledger.at[WG_FREE] = 1;
	assert_int_equal(mob_get_all(r, 202, x), 0);
	assert_int_equal(x[0], 4950);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* As this process has it, and an object that anybody may get. */
static void test_deadlock_stream_that_others_have_is_none(void **state)
{
	mob_ref in;
	mob_ref kept;
	mob_ref r;
	int64_t sum = 0;
	int64_t x;

	(void)state;
	wg_forget();
	in = bounded(100);
	r = mob_submit(d_waits, wg_ledger.path, in);
	wg_await_word(wg_ledger.path, WG_BEGUN, 1);
	wg_sleep_well(2);
	kept = mob_put(in);
	assert_int_equal(mob_release(in), 0);
	wg_sleep_well(2);
	assert_int_equal(mob_get(kept, &in), 0);
	while (mob_next(in, &x) == 1) {
		sum += x;
	}
	assert_int_equal(sum, 4950);
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* When the last of them lets it go, who yields need not wait for anybody. */
static void test_deadlock_stream_that_is_let_go_is_none(void **state)
{
	mob_ref in;
	mob_ref end;
	uint64_t n;
	int64_t x;

	(void)state;
	wg_forget();
	in = bounded(100);
	end = mob_stream_result(in);
	assert_int_equal(mob_get(mob_submit(d_reads_some, in, 3), &x), 0);
	assert_int_equal(mob_release(in), 0);
	assert_int_equal(mob_get(end, &n), 0);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* A wait with a time-out is no wait for ever, though it is longer than one sleep. */
MOB_TASK_STREAM(int64_t, d_patient, mob_str, path, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		int rc;

		do {
			rc = mob_yield_timeout(i, 150 * MOB_MS);
			(void)live_ledger_add(path, WG_LOOPS);
		} while (rc == MOB_E_TIMEOUT &&
			 !live_ledger_get(path, WG_FREE));
		if (rc) {
			return;
		}
	}
}

static void test_deadlock_yield_with_a_time_out_is_none(void **state)
{
	mob_ref in;
	mob_ref r;
	int64_t x;

	(void)state;
	wg_forget();
	in = mob_submit_with(MOB_OPTS(.stream_items = 4), d_patient,
			     wg_ledger.path, 100);
	r = mob_submit(d_joins, wg_ledger.path, in, 1);
	assert_int_equal(mob_release(in), 0);
	wg_await_word(wg_ledger.path, WG_LOOPS, 7);
	wg_sleep_well(1);
	wg_ledger.at[WG_FREE] = 1;
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(x, 5);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

#define T(test)                                                                \
	cmocka_unit_test_setup_teardown(test, wg_open_many, wg_close_test)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_10_reader_waits_for_the_end),
		T(test_semantics_10_reader_that_has_begun),
		T(test_semantics_10_reader_that_has_ended),
		T(test_semantics_10_reader_is_pending),
		T(test_semantics_10_reader_waits_for_an_object),
		cmocka_unit_test_teardown(
			test_semantics_10_killed_while_it_looks, live_leave),
		T(test_deadlock_room_that_was_made_is_none),
		T(test_deadlock_other_reader_is_a_way_out),
		T(test_deadlock_thread_that_reads_is_a_way_out),
		T(test_deadlock_stream_that_many_have_is_none),
		T(test_deadlock_stream_that_others_have_is_none),
		T(test_deadlock_stream_that_is_let_go_is_none),
		T(test_deadlock_yield_with_a_time_out_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
