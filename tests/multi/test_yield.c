/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that yield: what is read, how far they run ahead, who dies. */
#include "live.h"

#include "os_clock.h"
#include "os_run.h"
#include "pool.h"
#include "yield.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N_YIELDED = 0, N_RUNS = 1, N_OTHER = 2, WORDS = 8 };
static struct live_ledger ledger;

MOB_TASK_STREAM(int64_t, s_count, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		(void)mob_yield(i);
	}
}

/* Counts what it has yielded; fails with `code` (or kills its worker: -9) in its
 * first `times` runs after so many. */
MOB_TASK_STREAM(int64_t, s_noted, mob_str, path, int64_t, n, int64_t, fails_at,
		int32_t, code, uint64_t, times)
{
	uint64_t run = live_ledger_add(path, N_RUNS);

	for (int64_t i = 0; i < n; i++) {
		int rc;

		if (i == fails_at && run < times && code == -9) {
			(void)raise(SIGKILL);
		}
		if (i == fails_at && run < times) {
			mob_fail(code, "at item %d", (int)i);
			return;
		}
		rc = mob_yield(i);
		if (rc) {
			return;
		}
		(void)live_ledger_add(path, N_YIELDED);
	}
}

/* Text of another length each time: 0 to 2,000 characters. */
static size_t text_of(int64_t i, char *out)
{
	size_t n = (size_t)(i * 37 % 2001);

	memset(out, 'a' + (int)(i % 26), n);
	out[n] = '\0';
	return n;
}

MOB_TASK_STREAM(mob_str, s_text, int64_t, n)
{
	char text[2002];

	for (int64_t i = 0; i < n; i++) {
		(void)text_of(i, text);
		(void)mob_yield(text);
	}
}

MOB_TASK_STREAM(mob_i64s, s_blocks, int64_t, n, uint64_t, each)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t *to = mob_new_of(mob_i64s, each);

		if (!to) {
			return;
		}
		for (uint64_t k = 0; k < each; k++) {
			to[k] = i;
		}
		if (mob_yield(mob_i64s_of(to, each))) {
			return;
		}
	}
}

MOB_TASK_STREAM(mob_ref, s_refs, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		(void)mob_yield(mob_put(i));
	}
}

struct triple {
	int64_t a, b, c;
};
MOB_STRUCT(triple);

static void yield_triples(int64_t n)
{
	for (int64_t i = 0; i < n; i++) {
		struct triple t = { i, 2 * i, 3 * i };

		(void)mob_yield_as(triple, t);
	}
}

MOB_TASK_STREAM(triple, s_triples, int64_t, n)
{
	yield_triples(n);
}

MOB_TASK(int64_t, s_sum, mob_ref, in)
{
	int64_t sum = 0;
	int64_t x;

	while (mob_next(in, &x) == 1) {
		sum += x;
	}
	return sum;
}

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

/* A stream of what another yields. */
MOB_TASK_STREAM(int64_t, s_doubled, mob_ref, in)
{
	int64_t x;

	while (mob_next(in, &x) == 1) {
		(void)mob_yield(2 * x);
	}
}

static int64_t sum_to(int64_t n)
{
	return n * (n - 1) / 2;
}

/* Reads n items, which are 0, 1, ... from `first` on. */
static void reads(mob_ref stream, int64_t first, int64_t n)
{
	for (int64_t i = first; i < first + n; i++) {
		int64_t x = -1;
		int rc = mob_next(stream, &x);

		if (rc != 1) {
			fail_msg("item %d: %d: %s", (int)i, rc, mob_error());
		}
		assert_int_equal(x, i);
	}
}

static void ends(mob_ref stream)
{
	int64_t x = 7;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_next(stream, &x), 0);
		assert_int_equal(x, 0);
	}
}

/* ---- what is read ---- */

static void test_semantics_35_items_are_read_in_order(void **state)
{
	static const int64_t lengths[] = { 0, 1, 7, 8, 9, 100, 5000, 100000 };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		mob_ref s = mob_submit(s_count, lengths[i]);
		uint64_t n = 7;

		reads(s, 0, lengths[i]);
		ends(s);
		assert_int_equal(mob_get(mob_stream_result(s), &n), 0);
		assert_int_equal(n, lengths[i]);
	}
}

static void test_stream_after_its_task_has_ended(void **state)
{
	mob_ref s = mob_submit(s_count, 20000);

	(void)state;
	assert_int_equal(mob_join(mob_stream_result(s)), 0);
	reads(s, 0, 20000);
	ends(s);
}

static void test_stream_items_of_every_kind(void **state)
{
	mob_ref s = mob_submit(s_text, 500);
	char want[2002];
	const char *text;
	mob_i64s block;
	triple t;
	mob_ref r;
	int64_t x;

	(void)state;
	for (int64_t i = 0; i < 500; i++) {
		MOB_SCOPE
		{
			assert_int_equal(mob_next(s, &text), 1);
			(void)text_of(i, want);
			assert_string_equal(text, want);
		}
	}
	assert_int_equal(mob_next(s, &text), 0);
	s = mob_submit(s_blocks, 20, 50000);
	for (int64_t i = 0; i < 20; i++) {
		MOB_SCOPE
		{
			assert_int_equal(mob_next(s, &block), 1);
			assert_int_equal(block.n, 50000);
			assert_int_equal(block.at[0], i);
			assert_int_equal(block.at[49999], i);
		}
	}
	assert_int_equal(mob_next(s, &block), 0);
	s = mob_submit(s_triples, 1000);
	for (int64_t i = 0; i < 1000; i++) {
		assert_int_equal(mob_next_as(triple, s, &t), 1);
		assert_int_equal(t.a + t.b + t.c, 6 * i);
	}
	assert_int_equal(mob_next_as(triple, s, &t), 0);
	s = mob_submit(s_refs, 300);
	for (int64_t i = 0; i < 300; i++) {
		assert_int_equal(mob_next(s, &r), 1);
		assert_int_equal(mob_take(r, &x), 0);
		assert_int_equal(x, i);
	}
	assert_int_equal(mob_next(s, &r), 0);
}

MOB_TASK(int64_t, s_twice, int64_t, x)
{
	return 2 * x;
}

static void test_stream_items_are_passed_on_as_refs(void **state)
{
	mob_ref s = mob_submit(s_count, 100);
	mob_ref r;
	int64_t x;
	uint64_t n;

	(void)state;
	for (int64_t i = 0; i < 100; i++) {
		assert_int_equal(mob_next_ref(s, &r), 1);
		assert_int_equal(mob_take(mob_submit(s_twice, r), &x), 0);
		assert_int_equal(x, 2 * i);
	}
	assert_int_equal(mob_next_ref(s, &r), 0);
	assert_int_equal(mob_next_ref_timeout(s, 0, &r), 0);
	/* The result is a value, too. */
	assert_int_equal(mob_get(mob_stream_result(s), &n), 0);
	assert_int_equal(n, 100);
}

static void test_stream_is_read_by_a_task(void **state)
{
	int64_t x;

	(void)state;
	for (int i = 0; i < 20; i++) {
		mob_ref s = mob_submit(s_count, 1000);

		s = mob_submit(s_doubled, s);
		s = mob_submit(s_doubled, s);
		assert_int_equal(mob_get(mob_submit(s_sum, s), &x), 0);
		assert_int_equal(x, 4 * sum_to(1000));
	}
}

/* Yields one, and goes on when it is told to. */
MOB_TASK_STREAM(int64_t, s_stepwise, mob_str, path, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		while (live_ledger_get(path, N_OTHER) < (uint64_t)i) {
			mobi_pause_ns(MOB_MS / 10);
		}
		(void)mob_yield(i);
	}
}

static void test_semantics_35_item_is_there_while_the_task_runs(void **state)
{
	mob_ref s;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	s = mob_submit(s_stepwise, ledger.path, 50);
	for (int64_t i = 0; i < 50; i++) {
		reads(s, i, 1);
		if (i < 49) {
			assert_int_equal(mob_next_timeout(s, 0, &x),
					 MOB_E_TIMEOUT);
			assert_int_equal(mob_next_timeout(s, 1, &x),
					 MOB_E_TIMEOUT);
		}
		assert_int_equal(mob_error_code(), 0);
		(void)live_ledger_add(ledger.path, N_OTHER);
	}
	ends(s);
	live_ledger_close(&ledger);
}

static void test_stream_is_waited_for_beside_others(void **state)
{
	struct mob_queue *q;
	mob_ref s[3];
	mob_ref ready[3];
	bool is[3];
	int64_t next[3] = { 0 };
	uint64_t i;
	mob_ref r;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	s[0] = mob_submit(s_stepwise, ledger.path, 2);
	reads(s[0], 0, 1);
	s[1] = mob_submit(s_count, 3);
	ready[0] = mob_stream_ready(s[0]);
	ready[1] = mob_stream_ready(s[1]);
	assert_int_equal(mob_wait(ready, 2, 1, MOB_FOREVER, is), 1);
	assert_true(is[1] && !is[0]);
	reads(s[1], 0, 3);
	(void)live_ledger_add(ledger.path, N_OTHER);
	assert_int_equal(mob_wait(ready, 1, 1, MOB_FOREVER, NULL), 1);
	reads(s[0], 1, 1);
	ends(s[0]);
	/* At the end it is resolved. */
	ready[2] = mob_stream_ready(s[0]);
	assert_int_equal(mob_wait(ready + 2, 1, 1, 0, NULL), 1);
	live_ledger_close(&ledger);
	/* By a queue: each item is told once. */
	assert_int_equal(mob_queue_open(&q), 0);
	for (i = 0; i < 3; i++) {
		s[i] = mob_submit(s_count, 500);
		assert_int_equal(mob_queue_add(q, mob_stream_ready(s[i]), i),
				 0);
	}
	while (mob_queue_pop(q, MOB_FOREVER, &r, &i) == 1) {
		assert_int_equal(mob_release(r), 0);
		if (mob_next_timeout(s[i], 0, &x) == 1) {
			assert_int_equal(x, next[i]++);
			assert_int_equal(
				mob_queue_add(q, mob_stream_ready(s[i]), i), 0);
		} else {
			ends(s[i]);
		}
	}
	mob_queue_close(q);
	assert_int_equal(next[0] + next[1] + next[2], 1500);
}

/* ---- errors ---- */

static void test_semantics_35_error_is_one_more_item(void **state)
{
	static const int64_t at[] = { 0, 1, 8, 100, 4999 };
	mob_ref r;
	mob_ref s;
	int64_t x;

	(void)state;
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		live_ledger_open(&ledger, WORDS);
		s = mob_submit(s_noted, ledger.path, 5000, at[i], 42, 1);
		reads(s, 0, at[i]);
		assert_int_equal(mob_next(s, &x), MOB_E_TASK);
		assert_int_equal(mob_error_code(), 42);
		assert_non_null(strstr(mob_error(), "at item"));
		mob_error_clear();
		ends(s);
		assert_int_equal(mob_join(mob_stream_result(s)), MOB_E_TASK);
		mob_error_clear();
		live_ledger_close(&ledger);
	}
	/* As a ref, it goes on to who has it as an argument. */
	live_ledger_open(&ledger, WORDS);
	s = mob_submit(s_noted, ledger.path, 10, 3, 43, 1);
	reads(s, 0, 3);
	assert_int_equal(mob_next_ref(s, &r), 1);
	assert_int_equal(mob_get(mob_submit(s_twice, r), &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), 43);
	assert_non_null(strstr(mob_error(), "<- s_twice"));
	mob_error_clear();
	ends(s);
	/* An argument that holds one: the task does not run. */
	s = mob_submit(s_count, mob_submit(s_sum, mob_put(5)));
	assert_int_equal(mob_next(s, &x), MOB_E_TYPE);
	assert_non_null(strstr(mob_error(), "<- s_count"));
	mob_error_clear();
	ends(s);
	/* A reader that is a task ends with it. */
	ledger.at[N_RUNS] = 0;
	s = mob_submit(s_sum, mob_submit(s_noted, ledger.path, 10, 3, 44, 1));
	assert_int_equal(mob_get(s, &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), 44);
	mob_error_clear();
	live_ledger_close(&ledger);
}

static void refused(mob_ref ref, int rc, const char *text)
{
	int64_t x = 5;
	int got = mob_next(ref, &x);

	if (got != rc || !strstr(mob_error(), text)) {
		fail_msg("%d: %s; expected %d: %s", got, mob_error(), rc, text);
	}
	assert_int_equal(x, 0);
	mob_error_clear();
}

/* Reads one, and holds until it is told. */
MOB_TASK(int64_t, s_reads_one, mob_ref, in, mob_str, path)
{
	int64_t x = -1;

	if (mob_next(in, &x) == 1) {
		(void)live_ledger_add(path, N_RUNS);
		while (!live_ledger_get(path, N_OTHER)) {
			mobi_pause_ns(MOB_MS / 10);
		}
	}
	return x;
}

static void test_stream_is_read_once(void **state)
{
	mob_ref s = mob_submit(s_count, 100);
	mob_ref one;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* By us, then by a task. */
	reads(s, 0, 3);
	assert_int_equal(mob_get(mob_submit(s_sum, s), &x), MOB_E_STATE);
	assert_non_null(strstr(mob_error(), "is read once, and process"));
	assert_non_null(strstr(mob_error(), "(3 items)"));
	mob_error_clear();
	reads(s, 3, 97);
	ends(s);
	/* By a task that runs, and has ended. */
	s = mob_submit(s_count, 100);
	one = mob_submit(s_reads_one, s, ledger.path);
	assert_true(live_ledger_await(&ledger, N_RUNS, 1));
	refused(s, MOB_E_STATE, "and task s_reads_one has begun");
	(void)live_ledger_add(ledger.path, N_OTHER);
	assert_int_equal(mob_get(one, &x), 0);
	assert_true(live_await_tasks(0));
	refused(s, MOB_E_STATE, "and a task that has ended has begun");
	live_ledger_close(&ledger);
}

static void test_stream_bad_calls_are_refused(void **state)
{
	mob_ref s = mob_submit(s_count, 3);
	const char *text;
	double d;
	int64_t x;

	(void)state;
	refused(mob_put((int64_t)3), MOB_E_TYPE, "is no stream");
	refused(mob_submit(s_twice, 3), MOB_E_TYPE, "is no stream");
	refused(MOB_REF_NONE, MOB_E_BAD_REF, "");
	refused(mob_submit_with(MOB_OPTS(.retries = 999), s_count, 1),
		MOB_E_INVAL, "retries");
	refused(mob_submit_with(MOB_OPTS(.stream_items = 1), s_twice, 1),
		MOB_E_INVAL, "s_twice does not");
	/* The wrong type: the item is still the next. */
	assert_int_equal(mob_next(s, &d), MOB_E_TYPE);
	assert_non_null(strstr(mob_error(), "expected double"));
	mob_error_clear();
	assert_int_equal(mob_next(s, &text), MOB_E_TYPE);
	mob_error_clear();
	assert_int_equal(mob_next_timeout(s, -5, &x), MOB_E_INVAL);
	mob_error_clear();
	reads(s, 0, 3);
	/* A stream is no value, and no result has one. */
	assert_int_equal(mob_get(s, &x), MOB_E_TYPE);
	assert_non_null(strstr(mob_error(), "is stream"));
	mob_error_clear();
	assert_int_equal(mob_get(mob_submit(s_twice, s), &x), MOB_E_TYPE);
	mob_error_clear();
	assert_int_equal(mob_join(mob_stream_result(mob_put((int64_t)3))),
			 MOB_E_TYPE);
	mob_error_clear();
	assert_int_equal(mob_yield_as(int64_t, 3), MOB_E_STATE);
	mob_error_clear();
}

MOB_TASK_STREAM(int64_t, s_wrong_type, int64_t, n)
{
	(void)n;
	(void)mob_yield_as(double, 1.5);
}

static void test_stream_yield_of_another_type_is_refused(void **state)
{
	(void)state;
	refused(mob_submit(s_wrong_type, 1), MOB_E_TYPE,
		"yields int64_t, not double");
}

/* ---- how far ahead ---- */

static bool one_blocked(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < mobi_rt.sched->max_places; i++) {
		if (mobi_load(&mobi_rt.sched->place[i].blocked)) {
			return true;
		}
	}
	return false;
}

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

/* Waits for `in`, so that it begins after that. */
MOB_TASK_STREAM(int64_t, s_later, int64_t, in, mob_str, path)
{
	(void)live_ledger_add(path, N_RUNS);
	(void)mob_yield(in);
}

MOB_TASK(int64_t, s_until_told, mob_str, path)
{
	while (!live_ledger_get(path, N_OTHER)) {
		mobi_pause_ns(MOB_MS / 10);
	}
	return 1;
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

static void reads_three_streams(size_t i)
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
}

/* Every worker dies at one of its first passes of a point, once it has gone on. */
static void test_semantics_35_retry_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"stream.item=kill@9", "stream.counted=kill@3",
		"stream.kept=kill@2", "stream.linked=kill",
		"stream.ended=kill",  "stream.over=kill",
		"stream.step=kill",   "stream.read=kill@9",
		"stream.stepped=kill"
	};
	const struct live_session session = { .workers = 2 };

	(void)state;
	live_each_fault(&session, faults, sizeof(faults) / sizeof(faults[0]),
			reads_three_streams);
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
		T(test_semantics_35_items_are_read_in_order),
		T(test_stream_after_its_task_has_ended),
		T(test_stream_items_of_every_kind),
		T(test_stream_items_are_passed_on_as_refs),
		T(test_stream_is_read_by_a_task),
		T(test_semantics_35_item_is_there_while_the_task_runs),
		T(test_stream_is_waited_for_beside_others),
		T(test_semantics_35_error_is_one_more_item),
		T(test_stream_is_read_once),
		T(test_stream_bad_calls_are_refused),
		T(test_stream_yield_of_another_type_is_refused),
		T(test_semantics_35_bound_of_items),
		T(test_semantics_35_bound_of_bytes),
		T(test_stream_of_any_length_runs_in_constant_memory),
		T(test_stream_yield_with_a_time_out),
		T(test_semantics_35_unread_items_go_with_the_stream),
		T(test_semantics_35_task_goes_on_when_the_stream_is_gone),
		T(test_semantics_35_task_is_cancelled_with_the_stream),
		T(test_semantics_35_task_never_runs_if_the_stream_is_gone),
		T(test_stream_of_a_cancelled_task),
		T(test_semantics_35_retry_goes_on_where_it_was),
		T(test_stream_reader_that_dies),
		T(test_semantics_10_cycle_through_a_tasks_stream),
		T(test_stream_is_nothing_to_make_a_result_of_again),
		T(test_stream_killed_at_random),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	return failed + cmocka_run_group_tests(tests, live_start_two, NULL);
}
