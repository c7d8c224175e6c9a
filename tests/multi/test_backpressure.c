/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backpressure examples of "Ray Design Patterns": a loop makes a large array for
 * each call, and calls are slower than the loop. 1,000,000 calls of 8 KB and 2,000 of
 * 8 MB in long runs, 8 and 16 GB in all; in a store of 64 MiB.
 */
#include "live.h"

#include <stdlib.h>
#include <string.h>

MOB_TASK(double, b_heavy_compute, mob_f64s, large_array)
{
	double sum = 0;

	for (size_t i = 0; i < large_array.n; i++) {
		sum += large_array.at[i];
	}
	return sum;
}

MOB_TASK(double, b_add, double, a, double, b)
{
	return a + b;
}

struct source {
	uint64_t i;
	uint64_t n;
	size_t words;
	uint64_t most_bytes;
	uint32_t most_slots;
	bool in_place;
};

static void look(struct source *s)
{
	struct mob_store_stat st;

	assert_int_equal(mob_store_stat(mobi_rt.store, &st), 0);
	if (st.arena_used_bytes > s->most_bytes) {
		s->most_bytes = st.arena_used_bytes;
	}
	if (live_slots_used() > s->most_slots) {
		s->most_slots = live_slots_used();
	}
}

/* What the loop of the example does for each call: an array that begins with its
 * number, made in the store, or copied into it. */
static int give(struct mob_map *m, void *ctx)
{
	struct source *s = ctx;
	double *large;
	mob_ref ref;

	if (s->i == s->n) {
		return 0;
	}
	large = s->in_place ? mob_new_of(mob_f64s, s->words) :
			      malloc(s->words * sizeof(*large));
	if (!large) {
		return MOB_E_NOMEM;
	}
	memset(large, 0, s->words * sizeof(*large));
	large[0] = (double)s->i++;
	if (s->in_place) {
		ref = mob_seal(mob_f64s_of(large, s->words));
		(void)mob_map_add(m, b_heavy_compute, ref);
		(void)mob_release(ref);
	} else {
		(void)mob_map_add(m, b_heavy_compute,
				  mob_f64s_of(large, s->words));
		free(large);
	}
	if (s->i % 64 == 0 || s->words > 100000) {
		look(s);
	}
	return 1;
}

static void runs(struct source s, uint64_t window, uint64_t bytes_max)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;
	uint64_t n = 0;
	double y;
	double sum = 0;

	o.window = window;
	assert_int_equal(mob_map_open(&o, &m), 0);
	assert_int_equal(mob_map_from(m, give, &s), 0);
	for (; mob_map_next(m, &y) > 0; n++) {
		assert_int_equal((uint64_t)y, n);
		sum += y;
	}
	assert_string_equal(mob_error(), "");
	assert_int_equal(n, s.n);
	assert_int_equal((uint64_t)sum, n * (n - 1) / 2);
	mob_map_close(m);
	(void)printf("%d calls of %zu bytes: at most %.1f MiB, %u objects\n",
		     (int)n, s.words * sizeof(double),
		     (double)s.most_bytes / (1 << 20), s.most_slots);
	assert_true(s.most_bytes <= bytes_max);
	/* Of this session so far: an array and a result each, batches, and what is
	 * being freed. */
	assert_true(s.most_slots <= 3500);
}

static void test_backpressure_many_calls_of_8_kb_in_bounded_memory(void **state)
{
	struct source s = { .n = test_count("MOB_TEST_SMALL", 20000 / LIVE_SLOW,
					    1000000),
			    .words = 1000 };

	(void)state;
	runs(s, 1000, 12 << 20);
	s.in_place = true;
	runs(s, 1000, 12 << 20);
}

static void test_backpressure_calls_of_8_mb_in_bounded_memory(void **state)
{
	struct source s = { .n = test_count("MOB_TEST_LARGE", 40, 2000),
			    .words = 1000000 };

	(void)state;
	/* A quarter of the store, one more, and what each worker has not let go of
	 * yet when its result is taken. */
	runs(s, 20, 40 << 20);
	s.in_place = true;
	runs(s, 20, 40 << 20);
}

/* The same where only the sum is wanted. */
static void test_backpressure_calls_are_folded_in_bounded_memory(void **state)
{
	struct source s = { .n = test_count("MOB_TEST_SMALL", 20000 / LIVE_SLOW,
					    1000000),
			    .words = 1000 };
	struct mob_map *m;
	double y;

	(void)state;
	assert_int_equal(mob_map_open(NULL, &m), 0);
	assert_int_equal(mob_map_fold(m, b_add), 0);
	assert_int_equal(mob_map_from(m, give, &s), 0);
	assert_int_equal(mob_map_next(m, &y), 1);
	assert_int_equal((uint64_t)y, s.n * (s.n - 1) / 2);
	assert_true(s.most_bytes <= 20 << 20);
	mob_map_close(m);
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(test_backpressure_##name, live_open,   \
					live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(many_calls_of_8_kb_in_bounded_memory),
		T(calls_of_8_mb_in_bounded_memory),
		T(calls_are_folded_in_bounded_memory),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
