/* SPDX-License-Identifier: Apache-2.0 */
/* Folding: the results of a map, and refs that are there; order, errors, and what it
 * keeps at a time. */
#include "live.h"

#include "os_clock.h"
#include "os_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define MANY 20000

enum { STARTED, ENDED, DIED, WORDS = 8 };
static struct live_ledger ledger;

struct span {
	int64_t first;
	int64_t last;
	int64_t sum;
};
MOB_STRUCT(span);

MOB_TASK(int64_t, r_square, int64_t, x)
{
	return x * x;
}

MOB_TASK(int64_t, r_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(span, r_span, int64_t, x)
{
	struct span s = { x, x, x };

	return s;
}

/* Fails unless b begins where a ends: the order matters, and so does each call. */
MOB_TASK(span, r_join, span, a, span, b)
{
	struct span s = { a.first, b.last, a.sum + b.sum };

	if (a.last + 1 != b.first) {
		mob_fail(7, "%d to %d, then %d to %d", (int)a.first,
			 (int)a.last, (int)b.first, (int)b.last);
	}
	return s;
}

MOB_TASK(mob_i64s, r_one, int64_t, x)
{
	int64_t *to = mob_new_of(mob_i64s, 1);

	if (to) {
		to[0] = x;
	}
	return mob_i64s_of(to, to ? 1 : 0);
}

MOB_TASK(mob_i64s, r_concat, mob_i64s, a, mob_i64s, b)
{
	int64_t *to = mob_new_of(mob_i64s, a.n + b.n);

	if (to) {
		memcpy(to, a.at, a.n * sizeof(*to));
		memcpy(to + a.n, b.at, b.n * sizeof(*to));
	}
	return mob_i64s_of(to, to ? a.n + b.n : 0);
}

MOB_TASK(mob_str, r_letter, int64_t, x)
{
	static char text[2];

	text[0] = (char)('a' + x % 26);
	return text;
}

MOB_TASK(mob_str, r_append, mob_str, a, mob_str, b)
{
	char *to = mob_new(strlen(a) + strlen(b) + 1);

	if (to) {
		memcpy(to, a, strlen(a));
		memcpy(to + strlen(a), b, strlen(b) + 1);
	}
	return to;
}

MOB_TASK(int64_t, r_fails_at, int64_t, x, int64_t, bad)
{
	if (x == bad) {
		mob_fail((int)x, "no %d", (int)x);
	}
	return 1;
}

MOB_TASK(int64_t, r_bad_add, int64_t, a, int64_t, b)
{
	if (a + b > 10) {
		mob_fail(8, "%d is too much", (int)(a + b));
	}
	return a + b;
}

MOB_TASK(int64_t, r_dies, mob_str, path, int64_t, x)
{
	if (x % 100 == 50 && live_ledger_add(path, WORDS + (uint64_t)x) == 0) {
		(void)raise(SIGKILL);
	}
	return x;
}

MOB_TASK(mob_i64s, r_big, int64_t, x)
{
	enum { N = 16 * 1024 }; /* 128 KiB */
	int64_t *to = mob_new_of(mob_i64s, N);

	for (size_t i = 0; to && i < N; i++) {
		to[i] = x;
	}
	return mob_i64s_of(to, to ? N : 0);
}

/* Slower than what makes its operands. */
MOB_TASK(mob_i64s, r_big_add, mob_i64s, a, mob_i64s, b)
{
	int64_t *to = mob_new_of(mob_i64s, a.n);
	uint64_t end = mobi_now_ns() + MOB_MS / 4;

	for (size_t i = 0; to && i < a.n; i++) {
		to[i] = a.at[i] + b.at[i];
	}
	while (mobi_now_ns() < end) {
	}
	return mob_i64s_of(to, to ? a.n : 0);
}

MOB_TASK(mob_ref, r_ref, mob_ref, a, mob_ref, b)
{
	(void)b;
	return a;
}

MOB_TASK(int64_t, r_unlike, int64_t, a, double, b)
{
	return a + (int64_t)b;
}

MOB_TASK(int64_t, r_gated, mob_str, path, int64_t, x)
{
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, ENDED);
	return x;
}

static struct mob_map *map_with(uint32_t flags, uint32_t chunk)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;

	o.flags = flags;
	o.chunk = chunk;
	assert_int_equal(mob_map_open(&o, &m), 0);
	return m;
}

static int64_t *numbers(size_t n)
{
	int64_t *xs = malloc((n + 1) * sizeof(*xs));

	assert_non_null(xs);
	for (size_t i = 0; i < n; i++) {
		xs[i] = (int64_t)i;
	}
	return xs;
}

/* ---- of a map ---- */

static const uint32_t chunks[] = { 0, 1, 2, 3, 7, 100 };
#define CHUNKS (sizeof(chunks) / sizeof(chunks[0]))

static void test_fold_keeps_order_and_loses_nothing(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 16, 17, 333, 2000 };
	int64_t *xs = numbers(2000);

	(void)state;
	for (size_t k = 0; k < CHUNKS * 7; k++) {
		struct mob_map *m = map_with(0, chunks[k % CHUNKS]);
		size_t n = sizes[k / CHUNKS];
		struct span s;

		assert_int_equal(mob_map_fold(m, r_join), 0);
		assert_int_equal(mob_map_over(m, r_span, n, xs), 0);
		if (mob_map_next_as(span, m, &s) != 1) {
			fail_msg("%s", mob_error());
		}
		assert_int_equal(s.first, 0);
		assert_int_equal(s.last, n - 1);
		assert_int_equal(s.sum, n * (n - 1) / 2);
		assert_int_equal(mob_map_next_as(span, m, &s), 0);
		mob_map_close(m);
	}
	free(xs);
}

static void test_fold_of_spans_and_strings(void **state)
{
	int64_t *xs = numbers(300);

	(void)state;
	for (size_t k = 0; k < CHUNKS; k++) {
		struct mob_map *m = map_with(0, chunks[k]);
		mob_i64s got;
		mob_str text;

		(void)mob_map_fold(m, r_concat);
		(void)mob_map_over(m, r_one, 300, xs);
		assert_int_equal(mob_map_next(m, &got), 1);
		assert_int_equal(got.n, 300);
		assert_memory_equal(got.at, xs, 300 * sizeof(*xs));
		mob_map_close(m);
		m = map_with(0, chunks[k]);
		(void)mob_map_fold(m, r_append);
		(void)mob_map_over(m, r_letter, 28, xs);
		assert_int_equal(mob_map_next(m, &text), 1);
		assert_string_equal(text, "abcdefghijklmnopqrstuvwxyzab");
		mob_map_close(m);
	}
	free(xs);
}

static int64_t sum_of_squares(int64_t n)
{
	return (n - 1) * n / 2 * (2 * n - 1) / 3;
}

static void test_fold_as_they_come(void **state)
{
	int64_t *xs = numbers(MANY);
	int64_t y;

	(void)state;
	for (size_t k = 0; k < CHUNKS; k++) {
		struct mob_map *m = map_with(MOB_MAP_UNORDERED, chunks[k]);
		size_t n = chunks[k] && chunks[k] < 7 ? 1000 : MANY;

		(void)mob_map_fold(m, r_add);
		(void)mob_map_over(m, r_square, n, xs);
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, sum_of_squares((int64_t)n));
		assert_int_equal(mob_map_step(m), 0);
		mob_map_close(m);
	}
	free(xs);
}

/* Calls are folded where they ran: a task for each is not needed, nor one for each
 * pair. */
static void test_fold_needs_few_tasks(void **state)
{
	int64_t *xs = numbers(MANY);
	uint64_t before = mobi_load(&mobi_rt.sched->ticket);
	struct mob_map *m = map_with(0, 0);
	int64_t y;

	(void)state;
	(void)mob_map_fold(m, r_add);
	(void)mob_map_over(m, r_square, MANY, xs);
	assert_int_equal(mob_map_next(m, &y), 1);
	assert_int_equal(y, sum_of_squares(MANY));
	assert_true(mobi_load(&mobi_rt.sched->ticket) - before < MANY / 4);
	mob_map_close(m);
	free(xs);
}

/* Calls that are added one by one need no results to be taken. */
static void test_fold_makes_room_itself(void **state)
{
	static const uint32_t flags[] = { 0, MOB_MAP_UNORDERED };
	int64_t y;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct mob_map *m;

		o.flags = flags[k];
		o.window = 8;
		assert_int_equal(mob_map_open(&o, &m), 0);
		(void)mob_map_fold(m, r_add);
		for (int64_t i = 0; i < 3000; i++) {
			assert_true(mob_map_room(m) >= 1);
			if (i % 5) {
				(void)mob_map_add(m, r_square, i);
			} else {
				mob_ref r = mob_submit(r_add, i, 0);

				(void)mob_map_add(m, r_square, r);
				(void)mob_release(r);
			}
			assert_true(live_tasks() <= 8 + 8 + 8);
		}
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, sum_of_squares(3000));
		mob_map_close(m);
	}
}

/* 500 results of 128 KiB, 64 MiB in all, in a store of 64. */
static void test_fold_keeps_little_at_a_time(void **state)
{
	static const uint32_t flags[] = { 0, MOB_MAP_UNORDERED };
	int64_t *xs = numbers(500);
	mob_i64s sum;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct mob_map *m;

		o.flags = flags[k];
		o.chunk = 2;
		o.window_bytes = 4 << 20;
		assert_int_equal(mob_map_open(&o, &m), 0);
		(void)mob_map_fold(m, r_big_add);
		for (int64_t i = 0; i < 500; i++) {
			struct mob_store_stat st;

			assert_int_equal(mob_map_add(m, r_big, i), 0);
			assert_int_equal(mob_store_stat(mobi_rt.store, &st), 0);
			assert_true(st.arena_used_bytes < 16 << 20);
		}
		assert_int_equal(mob_map_next(m, &sum), 1);
		assert_int_equal(sum.n, 16 * 1024);
		assert_int_equal(sum.at[0], 500 * 499 / 2);
		assert_int_equal(sum.at[sum.n - 1], 500 * 499 / 2);
		mob_map_close(m);
	}
	free(xs);
}

static void test_fold_of_nothing_is_nothing(void **state)
{
	struct mob_map *m = map_with(0, 0);
	int64_t y = 1;

	(void)state;
	(void)mob_map_fold(m, r_add);
	assert_int_equal(mob_map_next(m, &y), 0);
	assert_int_equal(y, 0);
	(void)mob_map_add(m, r_square, 3);
	assert_int_equal(mob_map_next(m, &y), 1);
	assert_int_equal(y, 9);
	mob_map_close(m);
}

static void test_fold_ends_with_the_first_error(void **state)
{
	static const uint32_t flags[] = { 0, MOB_MAP_UNORDERED };
	int64_t *xs = numbers(2000);
	int64_t bad[2000];
	int64_t y;

	(void)state;
	for (size_t k = 0; k < 2 * CHUNKS; k++) {
		struct mob_map *m = map_with(flags[k % 2], chunks[k / 2]);

		for (int i = 0; i < 2000; i++) {
			bad[i] = i > 900 ? i : 777;
		}
		(void)mob_map_fold(m, r_add);
		(void)mob_map_over(m, r_fails_at, 2000, xs, bad);
		assert_int_equal(mob_map_next(m, &y), MOB_E_TASK);
		assert_int_equal(y, 0);
		assert_null(strstr(mob_error(), "map_run.c"));
		if (k % 2 == 0) {
			live_pends(777, "no 777 (task r_fails_at, ");
		}
		mob_error_clear();
		assert_int_equal(mob_map_next(m, &y), 0);
		assert_int_equal(mob_map_add(m, r_square, 1), MOB_E_STATE);
		mob_error_clear();
		mob_map_close(m);
		/* The operator's. */
		m = map_with(flags[k % 2], chunks[k / 2]);
		(void)mob_map_fold(m, r_bad_add);
		(void)mob_map_over(m, r_square, 20, xs);
		assert_int_equal(mob_map_next(m, &y), MOB_E_TASK);
		live_pends(8, "is too much (task r_bad_add, ");
		mob_map_close(m);
	}
	free(xs);
}

static void test_fold_survives_deaths(void **state)
{
	enum { N = 1000 };
	int64_t *xs = numbers(N);
	const char *path[N];
	int64_t y;

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct mob_task_opts t = MOB_OPTS(.retries = -1);
		struct mob_map *m;

		live_ledger_open(&ledger, WORDS + N);
		for (int i = 0; i < N; i++) {
			path[i] = ledger.path;
		}
		o.flags = k % 2 ? MOB_MAP_UNORDERED : 0;
		o.chunk = k / 2 ? 30 : 0;
		o.task = &t;
		assert_int_equal(mob_map_open(&o, &m), 0);
		(void)mob_map_fold(m, r_add);
		(void)mob_map_over(m, r_dies, N, path, xs);
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, N * (N - 1) / 2);
		for (int i = 50; i < N; i += 100) {
			assert_true(ledger.at[WORDS + i] >= 2);
		}
		mob_map_close(m);
		live_ledger_close(&ledger);
	}
	free(xs);
}

static void test_fold_closed_early_cancels_and_frees(void **state)
{
	int64_t *xs = numbers(100);
	const char *path[100];
	int64_t y;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct mob_map *m = map_with(k ? MOB_MAP_UNORDERED : 0, 1);

		live_ledger_open(&ledger, WORDS);
		for (int i = 0; i < 100; i++) {
			path[i] = ledger.path;
		}
		(void)mob_map_fold(m, r_add);
		(void)mob_map_over(m, r_gated, 100, path, xs);
		assert_int_equal(mob_map_next_timeout(m, 0, &y), MOB_E_TIMEOUT);
		assert_true(live_ledger_await(&ledger, STARTED, 1));
		mob_map_close(m);
		assert_int_equal(live_audit(0), 0);
		assert_int_equal(ledger.at[STARTED], ledger.at[ENDED]);
		live_ledger_close(&ledger);
	}
	free(xs);
}

static void test_fold_bad_operators_are_refused(void **state)
{
	struct mob_map *m = map_with(0, 0);
	int64_t y;

	(void)state;
	assert_int_equal(mob_map_fold(m, r_unlike), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "R r_unlike(R, R)");
	assert_int_equal(mob_map_fold_raw(m, &r_square_def), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "two values");
	assert_int_equal(mob_map_fold(m, r_ref), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "refs");
	assert_int_equal(mob_map_fold(m, r_add), 0);
	assert_int_equal(mob_map_fold(m, r_add), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_map_fold");
	assert_int_equal(mob_map_add(m, r_span, 1), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "r_span returns span");
	mob_map_close(m);
	m = map_with(0, 0);
	(void)mob_map_add(m, r_square, 1);
	assert_int_equal(mob_map_fold(m, r_add), MOB_E_STATE);
	live_pends(MOB_E_STATE, "has calls");
	assert_int_equal(mob_map_next(m, &y), 1);
	mob_map_close(m);
}

/* ---- of refs ---- */

static void test_reduce_keeps_order(void **state)
{
	static const size_t sizes[] = { 1, 2, 3, 16, 17, 100, 1000 };
	mob_ref refs[1000];
	struct span s;

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		mob_ref all;

		for (size_t i = 0; i < sizes[k]; i++) {
			refs[i] = mob_submit(r_span, (int64_t)i);
		}
		all = mob_reduce(r_join, refs, sizes[k]);
		for (size_t i = 0; i < sizes[k]; i++) {
			assert_int_equal(mob_release(refs[i]), 0);
		}
		/* As any ref of the type. */
		assert_int_equal(mob_get_as(span, all, &s), 0);
		assert_int_equal(s.last, sizes[k] - 1);
		assert_int_equal(s.sum, sizes[k] * (sizes[k] - 1) / 2);
		assert_int_equal(mob_release(all), 0);
	}
}

static void test_reduce_errors_are_in_the_ref(void **state)
{
	mob_ref refs[20];
	int64_t y;

	(void)state;
	for (int i = 0; i < 20; i++) {
		refs[i] = mob_submit(r_fails_at, i, 13);
	}
	assert_int_equal(mob_get(mob_reduce(r_add, refs, 20), &y), MOB_E_TASK);
	live_pends(13, "no 13 (task r_fails_at");
	assert_int_equal(mob_get(mob_reduce(r_add, refs, 0), &y), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "at least one");
	refs[0] = mob_reduce_raw(&r_square_def, NULL, refs, 3);
	assert_int_equal(mob_get(refs[0], &y), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "two values");
	refs[1] = mob_put(1.5);
	refs[2] = mob_put(2);
	assert_int_equal(mob_get(mob_reduce(r_add, refs + 1, 2), &y),
			 MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "expected int64_t");
	mob_error_clear();
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(test_##name, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(fold_keeps_order_and_loses_nothing),
		T(fold_of_spans_and_strings),
		T(fold_as_they_come),
		T(fold_needs_few_tasks),
		T(fold_makes_room_itself),
		T(fold_keeps_little_at_a_time),
		T(fold_of_nothing_is_nothing),
		T(fold_ends_with_the_first_error),
		T(fold_survives_deaths),
		T(fold_closed_early_cancels_and_frees),
		T(fold_bad_operators_are_refused),
		T(reduce_keeps_order),
		T(reduce_errors_are_in_the_ref),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
