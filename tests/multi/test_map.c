/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: where calls come from, the order of results, arguments and results of every
 * kind.
 */
#include "map_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 20000

struct pair {
	int64_t a;
	double b;
	char c;
};
MOB_STRUCT(pair);

MOB_TASK(pair, m_pair, int64_t, a, double, b, char, c)
{
	struct pair p = { a, b, c };

	return p;
}

MOB_TASK(mob_str, m_greet, mob_str, name, int32_t, n)
{
	char *to = mob_new(strlen(name) + 16);

	if (to) {
		(void)snprintf(to, strlen(name) + 16, "%s-%d", name, n);
	}
	return to;
}

MOB_FUNCTION_TYPE(m_unary, int64_t, int64_t);

MOB_TASK(int64_t, m_apply, m_unary, f, mob_args, xs)
{
	int64_t sum = 0;

	for (size_t i = 0; i < xs.n; i++) {
		int64_t x;

		(void)mob_args_get(xs, i, &x);
		sum += f(x);
	}
	return sum;
}

MOB_TASK(mob_ref, m_made, int64_t, x)
{
	return mob_put(x);
}

MOB_TASK(mob_refs, m_listed, int64_t, x)
{
	mob_ref *to = mob_new_raw(&mobi_type_mob_refs, 2);

	if (to) {
		to[0] = mob_put(x);
		to[1] = mob_put(x + 1);
	}
	return mob_refs_of(to, to ? 2 : 0);
}

MOB_TASK(int64_t, m_behind, mob_ref, r)
{
	int64_t x = 0;

	(void)mob_get(r, &x);
	return x;
}

MOB_TASK(void, m_count, mob_str, path, int64_t, at)
{
	(void)live_ledger_add(path, (uint64_t)at);
}

MOB_TASK(int64_t, m_seven, void)
{
	return 7;
}

/* ---- order and sources ---- */

static void test_map_arrays_give_results_in_order(void **state)
{
	int64_t *xs = numbers(MANY);
	struct mob_map *m = map_new();

	(void)state;
	assert_int_equal(mob_map_over(m, m_square, MANY, xs), 0);
	takes_squares(m, MANY);
	/* It goes on with more calls. */
	assert_int_equal(mob_map_over(m, m_square, 0, xs), 0);
	assert_int_equal(mob_map_step(m), 0);
	assert_int_equal(mob_map_over(m, m_square, 3, xs + 5), 0);
	for (int64_t i = 5; i < 8; i++) {
		int64_t y;

		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i * i);
	}
	assert_int_equal(mob_map_step(m), 0);
	mob_map_close(m);
	free(xs);
}

struct source {
	int64_t i;
	int64_t n;
};

static int give_next(struct mob_map *m, void *ctx)
{
	struct source *s = ctx;

	if (s->i == s->n) {
		return 0;
	}
	assert_true(mob_map_room(m) >= 1);
	return mob_map_add(m, m_square, s->i++) < 0 ? -1 : 1;
}

static void test_map_function_gives_calls(void **state)
{
	struct source s = { .n = MANY };
	struct mob_map *m = map_new();

	(void)state;
	assert_int_equal(mob_map_from(m, give_next, &s), 0);
	takes_squares(m, MANY);
	mob_map_close(m);
}

static void test_map_calls_are_added_one_by_one(void **state)
{
	struct mob_map *m = map_new();
	int64_t taken = 0;
	int64_t y;

	(void)state;
	for (int64_t i = 0; i < MANY; i++) {
		while (!mob_map_room(m)) {
			assert_int_equal(mob_map_next(m, &y), 1);
			assert_int_equal(y, taken * taken);
			taken++;
		}
		assert_int_equal(mob_map_add(m, m_square, i), 0);
	}
	for (; mob_map_next(m, &y) > 0; taken++) {
		assert_int_equal(y, taken * taken);
	}
	assert_int_equal(taken, MANY);
	mob_map_close(m);
}

static void test_map_unordered_gives_each_once(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	unsigned char *seen = calloc(1, MANY);
	int64_t *xs = numbers(MANY);
	struct mob_map *m;
	uint64_t n = 0;
	int64_t y;

	(void)state;
	o.flags = MOB_MAP_UNORDERED;
	m = map_with(o);
	assert_int_equal(mob_map_over(m, m_square, MANY, xs), 0);
	for (; mob_map_next(m, &y) > 0; n++) {
		uint64_t i = mob_map_index(m);

		assert_true(i < MANY);
		assert_int_equal(y, i * i);
		assert_int_equal(seen[i]++, 0);
	}
	assert_int_equal(n, MANY);
	mob_map_close(m);
	free(xs);
	free(seen);
}

/* One that runs long does not keep the others back. */
static void test_map_unordered_does_not_wait_for_the_first(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;
	mob_ref gate = mob_put(INT64_C(5));
	mob_ref late;
	int64_t y;

	(void)state;
	/* What the first call waits for runs when the second has been taken. */
	o.flags = MOB_MAP_UNORDERED;
	m = map_with(o);
	late = mob_submit_with(MOB_OPTS(.backoff_ns = 0, .priority = 0),
			       m_behind, gate);
	assert_int_equal(mob_map_add(m, m_behind, late), 0);
	assert_int_equal(mob_map_add(m, m_behind, gate), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, 5);
	}
	assert_int_equal(mob_map_step(m), 0);
	mob_map_close(m);
}

/* ---- kinds ---- */

static void test_map_takes_arguments_of_several_arrays(void **state)
{
	enum { N = 500 };
	int64_t a[N];
	double b[N];
	char c[N];
	struct pair p;
	struct mob_map *m = map_new();

	(void)state;
	for (int i = 0; i < N; i++) {
		a[i] = i;
		b[i] = i * 0.5;
		c[i] = (char)('a' + i % 26);
	}
	assert_int_equal(mob_map_over(m, m_pair, N, a, b, c), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(mob_map_next_as(pair, m, &p), 1);
		assert_int_equal(p.a, a[i]);
		assert_true(p.b >= b[i] && p.b <= b[i]);
		assert_int_equal(p.c, c[i]);
	}
	mob_map_close(m);
}

/* Of a chunk, and of a task of its own. */
static void gives_strings_and_spans(uint32_t chunk)
{
	enum { N = 300 };
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	const char *names[N];
	int32_t n[N];
	int64_t *xs = numbers(N);
	struct mob_map *m;
	char want[32];

	o.chunk = chunk;
	m = map_with(o);
	for (int i = 0; i < N; i++) {
		names[i] = i % 2 ? "even" : "a longer name";
		n[i] = i;
	}
	assert_int_equal(mob_map_over(m, m_greet, N, names, n), 0);
	for (int i = 0; i < N; i++) {
		mob_str got;

		assert_int_equal(mob_map_next(m, &got), 1);
		(void)snprintf(want, sizeof(want), "%s-%d", names[i], i);
		assert_string_equal(got, want);
	}
	for (int i = 0; i < N; i++) {
		mob_i64s got;

		while (mob_map_room(m) && i + (int)mob_map_room(m) > N) {
			break;
		}
		assert_int_equal(
			mob_map_add(m, m_twice, mob_i64s_of(xs, (size_t)i)), 0);
		assert_int_equal(mob_map_next(m, &got), 1);
		assert_int_equal(got.n, 2 * i);
		for (size_t k = 0; k < got.n; k++) {
			assert_int_equal(got.at[k], k / 2);
		}
	}
	mob_map_close(m);
	free(xs);
}

static void test_map_gives_strings_and_spans(void **state)
{
	(void)state;
	gives_strings_and_spans(0);
	gives_strings_and_spans(1);
	gives_strings_and_spans(7);
}

/* Values, refs and parts of spans, mixed, of which several make a chunk. */
static void test_map_takes_refs_and_parts(void **state)
{
	enum { N = 200 };
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	int64_t *xs = numbers(1000);
	mob_ref all = mob_put(mob_i64s_of(xs, 1000));
	struct mob_map *m;
	int64_t y;

	(void)state;
	o.chunk = 16;
	o.window = N;
	m = map_with(o);
	for (int64_t i = 0; i < N; i++) {
		mob_ref two = mob_put(i * 2);

		while (!mob_map_room(m)) { /* the first result is not there */
			break;
		}
		if (i % 3 == 0) {
			(void)mob_map_add(m, m_sum,
					  mob_slice(all, (uint64_t)i, 2), 0);
		} else if (i % 3 == 1) {
			(void)mob_map_add(m, m_sum, mob_i64s_of(xs + i, 2),
					  two);
		} else {
			(void)mob_map_add(m, m_sum, all, two);
		}
		/* The map holds it. */
		assert_int_equal(mob_release(two), 0);
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i % 3 == 0 ? 2 * i + 1 :
				    i % 3 == 1 ? 4 * i + 1 :
						 999 * 500 + 2 * i);
	}
	mob_map_close(m);
	free(xs);
}

static void test_map_takes_refs_in_chunks(void **state)
{
	enum { N = 300 };
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	mob_ref refs[N];
	struct mob_map *m;
	uint64_t before;
	int64_t y;

	(void)state;
	o.chunk = 50;
	m = map_with(o);
	for (int64_t i = 0; i < N; i++) {
		refs[i] = mob_put(i);
	}
	before = tasks_so_far();
	assert_int_equal(mob_map_over(m, m_square, N, refs), 0);
	takes_squares(m, N);
	assert_true(tasks_so_far() - before < N / 10);
	/* Functions, lists of arguments, and refs that are passed on. */
	for (int i = 0; i < 10; i++) {
		assert_int_equal(mob_map_add(m, m_apply, m_square,
					     mob_args_of(refs + i, 4)),
				 0);
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i * i + (i + 1) * (i + 1) +
					    (i + 2) * (i + 2) +
					    (i + 3) * (i + 3));
		assert_int_equal(mob_map_add(m, m_behind, refs[i]), 0);
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i);
	}
	mob_map_close(m);
}

/* A large value is an object of its own, of which the batch keeps hold. */
static void test_map_takes_large_values(void **state)
{
	enum { N = 100, WORDS = 4000 };
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	int64_t *xs = numbers(N + WORDS);
	struct mob_map *m;
	int64_t given = 0;
	int64_t y;

	(void)state;
	o.chunk = 8;
	m = map_with(o);
	for (int64_t i = 0; i < N; i++) {
		while (given < N && mob_map_room(m)) {
			assert_int_equal(
				mob_map_add(m, m_sum,
					    mob_i64s_of(xs + given, WORDS),
					    given),
				0);
			given++;
		}
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, (int64_t)WORDS * (WORDS - 1) / 2 +
					    i * WORDS + i);
	}
	mob_map_close(m);
	free(xs);
}

/* What is read belongs to the caller's frame, and outlives the map. */
static void test_map_gives_refs(void **state)
{
	enum { N = 50 };
	int64_t *xs = numbers(N);
	mob_ref got[N];
	mob_refs two;
	struct mob_map *m = map_new();
	int64_t y;

	(void)state;
	assert_int_equal(mob_map_over(m, m_made, N, xs), 0);
	for (int64_t i = 0; i < N; i++) {
		assert_int_equal(mob_map_next(m, &got[i]), 1);
	}
	assert_int_equal(mob_map_over(m, m_listed, N, xs), 0);
	for (int64_t i = 0; i < N; i++) {
		assert_int_equal(mob_map_next(m, &two), 1);
		assert_int_equal(two.n, 2);
		assert_int_equal(mob_take(two.at[1], &y), 0);
		assert_int_equal(y, i + 1);
	}
	mob_map_close(m);
	for (int64_t i = 0; i < N; i++) {
		assert_int_equal(mob_get(got[i], &y), 0);
		assert_int_equal(y, i);
	}
	free(xs);
}

static void test_map_runs_what_returns_nothing(void **state)
{
	enum { N = 400 };
	struct live_ledger l;
	const char *path[N];
	int64_t *xs = numbers(N);
	struct mob_map *m = map_new();
	int n = 0;

	(void)state;
	live_ledger_open(&l, N);
	for (int i = 0; i < N; i++) {
		path[i] = l.path;
	}
	assert_int_equal(mob_map_over(m, m_count, N, path, xs), 0);
	while (mob_map_step(m) > 0) {
		n++;
	}
	assert_int_equal(n, N);
	for (int i = 0; i < N; i++) {
		assert_int_equal(l.at[i], 1);
	}
	for (int i = 0; i < 3; i++) {
		int64_t y;

		assert_int_equal(mob_map_add(m, m_seven), 0);
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, 7);
	}
	mob_map_close(m);
	live_ledger_close(&l);
	free(xs);
}

static void test_map_takes_calls_of_different_functions(void **state)
{
	struct mob_map *m = map_new();
	int64_t *xs = numbers(8);
	struct pair p;
	int64_t y;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mob_map_add(m, m_square, i), 0);
		assert_int_equal(mob_map_add(m, m_pair, i, 0.5, 'x'), 0);
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i * i);
		assert_int_equal(mob_map_next_as(pair, m, &p), 1);
		assert_int_equal(p.a, i);
	}
	mob_map_close(m);
	free(xs);
}

static void test_map_all_fills_an_array(void **state)
{
	int64_t *xs = numbers(MANY);
	int64_t *ys = numbers(MANY);
	mob_i64s none = { NULL, 3 };

	(void)state;
	assert_int_equal(mob_map_all(m_square, MANY, ys, xs), 0);
	for (int64_t i = 0; i < MANY; i++) {
		assert_int_equal(ys[i], i * i);
	}
	assert_int_equal(mob_map_all(m_square, 0, ys, xs), 0);
	assert_int_equal(ys[2], 4);
	/* An error of one is the error of all. */
	assert_int_equal(mob_map_all(m_sum, 1, ys, &none, xs), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "is NULL"));
	mob_error_clear();
	assert_int_equal(ys[0], 0);
	free(xs);
	free(ys);
}

/* ---- inside tasks ---- */

MOB_TASK(int64_t, m_nested, int64_t, n, int32_t, depth)
{
	struct mob_map *m;
	int64_t sum = 0;
	int64_t y;

	if (mob_map_open(NULL, &m)) {
		return 0;
	}
	for (int64_t i = 0; i < n; i++) {
		while (!mob_map_room(m) && mob_map_next(m, &y) > 0) {
			sum += y;
		}
		if (depth > 0) {
			(void)mob_map_add(m, m_nested, n, depth - 1);
		} else {
			(void)mob_map_add(m, m_square, i);
		}
	}
	while (mob_map_next(m, &y) > 0) {
		sum += y;
	}
	mob_map_close(m);
	return sum;
}

static void test_map_runs_inside_tasks(void **state)
{
	int64_t y;

	(void)state;
	/* 6 + 1 maps, 6 times 6 calls. */
	assert_int_equal(mob_get(mob_submit(m_nested, 6, 1), &y), 0);
	assert_int_equal(y, 6 * (1 + 4 + 9 + 16 + 25));
	assert_int_equal(mob_get(mob_submit(m_nested, 3, 3), &y), 0);
	assert_int_equal(y, 27 * 5);
}

static void test_map_runs_inside_tasks_on_one_worker(void **state)
{
	test_map_runs_inside_tasks(state);
}

/* ---- sessions ---- */

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(test_map_##name, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest two[] = {
		T(arrays_give_results_in_order),
		T(function_gives_calls),
		T(calls_are_added_one_by_one),
		T(unordered_gives_each_once),
		T(unordered_does_not_wait_for_the_first),
		T(takes_arguments_of_several_arrays),
		T(gives_strings_and_spans),
		T(takes_refs_and_parts),
		T(takes_refs_in_chunks),
		T(takes_large_values),
		T(gives_refs),
		T(runs_what_returns_nothing),
		T(takes_calls_of_different_functions),
		T(all_fills_an_array),
		T(runs_inside_tasks),
	};
	const struct CMUnitTest one[] = {
		T(runs_inside_tasks_on_one_worker),
		T(arrays_give_results_in_order),
		T(unordered_gives_each_once),
	};
	int rc = cmocka_run_group_tests_name("multi.map", two, live_start_two,
					     live_leave);

	return rc + cmocka_run_group_tests_name("multi.map, one worker", one,
						live_start_one, live_leave);
}
