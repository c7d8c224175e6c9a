/* SPDX-License-Identifier: Apache-2.0 */
/* Maps: the window, by count and by bytes, and how many calls a task gets. */
#include "map_fixture.h"

#include "os_clock.h"

#include <stdlib.h>
#include <string.h>

#define MANY 20000

MOB_TASK(int64_t, m_slow, int64_t, x)
{
	uint64_t end = mobi_now_ns() + 3 * MOB_MS;

	while (mobi_now_ns() < end) {
	}
	return x;
}

struct source {
	int64_t i;
	int64_t n;
	int64_t taken;
	int64_t most; /* given and not taken */
};

static int give_next(struct mob_map *m, void *ctx)
{
	struct source *s = ctx;

	if (s->i == s->n) {
		return 0;
	}
	assert_true(mob_map_room(m) >= 1);
	if (s->i - s->taken + 1 > s->most) {
		s->most = s->i - s->taken + 1;
	}
	return mob_map_add(m, m_square, s->i++) < 0 ? -1 : 1;
}

/* ---- window ---- */

static void test_map_window_bounds_calls(void **state)
{
	static const uint32_t chunks[] = { 0, 1, 4, 64 };

	(void)state;
	for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct source s = { .n = 2000 };
		struct mob_map *m;
		int64_t y;

		o.window = 10;
		o.chunk = chunks[k];
		m = map_with(o);
		assert_int_equal(mob_map_from(m, give_next, &s), 0);
		while (mob_map_next(m, &y) > 0) {
			s.taken++;
			/* A task and its result, and what they read; a
			 * worker may not have ended what is taken. */
			assert_true(live_objects() <= 3 * o.window);
			assert_true(live_tasks() <= o.window + 2);
		}
		assert_int_equal(s.taken, 2000);
		assert_true(s.most >= 5 && s.most <= (int64_t)o.window);
		mob_map_close(m);
	}
}

static void test_map_refuses_calls_beyond_the_window(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;
	int64_t y;
	int rc = 0;
	int n = 0;

	(void)state;
	o.window = 5;
	m = map_with(o);
	for (int i = 0; i < 100; i++) { /* until it is open wide */
		assert_int_equal(mob_map_add(m, m_square, 1), 0);
		assert_int_equal(mob_map_next(m, &y), 1);
	}
	assert_int_equal(mob_map_room(m), 5);
	while (rc == 0) {
		rc = mob_map_add(m, m_square, n);
		n += rc == 0;
		assert_int_equal(mob_map_room(m), 5 - n);
	}
	assert_int_equal(n, 5);
	assert_int_equal(rc, MOB_E_LIMIT);
	assert_non_null(strstr(mob_error(), "mob_map_next"));
	mob_error_clear();
	for (int i = 0; i < n; i++) {
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i * i);
	}
	assert_int_equal(mob_map_step(m), 0);
	mob_map_close(m);
}

#define WORDS (32 * 1024) /* 256 KiB */

struct big_source {
	const int64_t *xs;
	mob_ref shared;
	int64_t i;
	int64_t n;
	uint64_t most; /* bytes of the store */
	bool by_ref;
};

static int give_big(struct mob_map *m, void *ctx)
{
	struct big_source *s = ctx;
	uint64_t used;

	if (s->i == s->n) {
		return 0;
	}
	if (s->by_ref) {
		mob_ref r = mob_put(mob_i64s_of(s->xs, WORDS));

		(void)mob_map_add(m, m_twice, r);
		(void)mob_release(r);
	} else {
		(void)mob_map_add(m, m_twice, mob_i64s_of(s->xs, WORDS));
	}
	s->i++;
	used = live_used_bytes();
	s->most = used > s->most ? used : s->most;
	return 1;
}

/* An argument of 256 KiB and a result of 512 a call, 150 MiB in all, by at most 4
 * MiB at a time in a store of 64. */
static void test_map_window_bounds_bytes(void **state)
{
	int64_t *xs = numbers(WORDS);

	(void)state;
	for (int by_ref = 0; by_ref < 2; by_ref++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct big_source s = { .xs = xs, .n = 200, .by_ref = by_ref };
		uint64_t before = live_used_bytes();
		struct mob_map *m;
		mob_i64s y;
		int n = 0;

		o.window_bytes = 4 << 20;
		o.window = 60;
		o.chunk = 1;
		m = map_with(o);
		assert_int_equal(mob_map_from(m, give_big, &s), 0);
		while (mob_map_next(m, &y) > 0) {
			assert_int_equal(y.n, 2 * WORDS);
			assert_int_equal(y.at[2 * WORDS - 1], WORDS - 1);
			n++;
		}
		assert_int_equal(n, 200);
		assert_string_equal(mob_error(), "");
		/* One call more than fits, and what the store rounds up. */
		assert_true(s.most - before < (5 << 20) + (1 << 19));
		assert_true(s.most - before > 1 << 20);
		mob_map_close(m);
	}
	free(xs);
}

/* What all calls have in common is not what bounds them. */
static void test_map_object_that_is_shared_counts_once(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	int64_t *xs = numbers(WORDS);
	mob_ref all = mob_put(mob_i64s_of(xs, WORDS));
	struct mob_map *m;
	int64_t y;

	(void)state;
	o.window_bytes = 1 << 20;
	o.window = 20;
	o.chunk = 1;
	m = map_with(o);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(mob_map_add(m, m_sum, all, 0), 0);
		assert_int_equal(mob_map_next(m, &y), 1);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_map_add(m, m_sum, all, 0), 0);
	}
	mob_map_close(m);
	free(xs);
}

/* ---- grain ---- */

static void test_map_short_calls_share_tasks(void **state)
{
	int64_t *xs = numbers(MANY);
	uint64_t before = tasks_so_far();
	struct mob_map *m = map_new();

	(void)state;
	assert_int_equal(mob_map_over(m, m_square, MANY, xs), 0);
	takes_squares(m, MANY);
	assert_true(tasks_so_far() - before < MANY / 4);
	mob_map_close(m);
	free(xs);
}

static void test_map_long_calls_are_tasks_of_their_own(void **state)
{
	enum { N = 40 };
	int64_t *xs = numbers(N);
	uint64_t before = tasks_so_far();
	struct mob_map *m = map_new();
	int64_t y;

	(void)state;
	assert_int_equal(mob_map_over(m, m_slow, N, xs), 0);
	for (int64_t i = 0; i < N; i++) {
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i);
	}
	assert_int_equal(tasks_so_far() - before, N);
	mob_map_close(m);
	free(xs);
}

static void test_map_chunk_may_be_said(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	int64_t *xs = numbers(1000);
	uint64_t before;
	struct mob_map *m;

	(void)state;
	o.chunk = 100;
	m = map_with(o);
	before = tasks_so_far();
	assert_int_equal(mob_map_over(m, m_square, 1000, xs), 0);
	takes_squares(m, 1000);
	/* The first is shorter: the window is not open yet. */
	assert_true(tasks_so_far() - before >= 10);
	assert_true(tasks_so_far() - before <= 12);
	mob_map_close(m);
	free(xs);
}

/* What is said of each call is not to be of those beside it. */
static void test_map_options_of_a_call_make_it_a_task(void **state)
{
	static const int codes[] = { 5 };
	struct mob_task_opts each[] = {
		MOB_OPTS(.retries = 0),
		MOB_OPTS(.timeout_ns = (uint64_t)MOB_SEC * 600),
		MOB_OPTS(.retry_errors = 1),
		MOB_OPTS(.retry_codes = codes, .n_retry_codes = 1),
		MOB_OPTS(.max_calls = 1000000),
	};
	int64_t *xs = numbers(200);

	(void)state;
	for (size_t k = 0; k < sizeof(each) / sizeof(each[0]); k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		uint64_t before = tasks_so_far();
		struct mob_map *m;

		o.task = &each[k];
		m = map_with(o);
		assert_int_equal(mob_map_over(m, m_square, 200, xs), 0);
		takes_squares(m, 200);
		assert_int_equal(tasks_so_far() - before, 200);
		mob_map_close(m);
	}
	free(xs);
}

/* ---- session ---- */

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(test_map_##name, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(window_bounds_calls),
		T(refuses_calls_beyond_the_window),
		T(window_bounds_bytes),
		T(object_that_is_shared_counts_once),
		T(short_calls_share_tasks),
		T(long_calls_are_tasks_of_their_own),
		T(chunk_may_be_said),
		T(options_of_a_call_make_it_a_task),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
