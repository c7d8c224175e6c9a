/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that yield: what is read, in order, by whom, and errors. */
#include "yield_fixture.h"

#include <string.h>

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

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
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
	};

	return cmocka_run_group_tests(tests, live_start_two, NULL);
}
