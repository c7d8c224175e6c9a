/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of maps share: maps that are open, or the test fails. */
#ifndef MOBI_TEST_MAP_FIXTURE_H
#define MOBI_TEST_MAP_FIXTURE_H

#include "live.h"

#include <stdlib.h>

MOB_TASK(int64_t, m_square, int64_t, x)
{
	return x * x;
}

MOB_TASK(mob_i64s, m_twice, mob_i64s, xs)
{
	int64_t *to = mob_new_of(mob_i64s, 2 * xs.n);

	for (size_t i = 0; to && i < 2 * xs.n; i++) {
		to[i] = xs.at[i / 2];
	}
	return mob_i64s_of(to, to ? 2 * xs.n : 0);
}

MOB_TASK(int64_t, m_sum, mob_i64s, xs, int64_t, more)
{
	int64_t sum = more;

	for (size_t i = 0; i < xs.n; i++) {
		sum += xs.at[i];
	}
	return sum;
}

static inline uint64_t tasks_so_far(void)
{
	return mobi_load(&mobi_rt.sched->ticket);
}

/* 0, 1, ... n - 1; to be freed. */
static inline int64_t *numbers(size_t n)
{
	int64_t *xs = malloc(n * sizeof(*xs));

	assert_non_null(xs);
	for (size_t i = 0; i < n; i++) {
		xs[i] = (int64_t)i;
	}
	return xs;
}

/* The same text n times; to be freed. */
static inline const char **same(const char *text, size_t n)
{
	const char **at = malloc(n * sizeof(*at));

	assert_non_null(at);
	for (size_t i = 0; i < n; i++) {
		at[i] = text;
	}
	return at;
}

static inline struct mob_map *map_with(struct mob_map_opts o)
{
	struct mob_map *m;

	assert_int_equal(mob_map_open(&o, &m), 0);
	return m;
}

static inline struct mob_map *map_new(void)
{
	return map_with((struct mob_map_opts)MOB_MAP_OPTS_INIT);
}

/* Takes n squares in order, then the end. */
static inline void takes_squares(struct mob_map *m, uint64_t n)
{
	int64_t y;

	for (uint64_t i = 0; i < n; i++) {
		if (mob_map_next(m, &y) != 1) {
			fail_msg("%d: %s", (int)i, mob_error());
		}
		assert_int_equal(mob_map_index(m), i);
		assert_int_equal(y, i * i);
	}
	assert_int_equal(mob_map_next(m, &y), 0);
	assert_int_equal(mob_map_index(m), UINT64_MAX);
	assert_int_equal(y, 0);
}

#endif /* MOBI_TEST_MAP_FIXTURE_H */
