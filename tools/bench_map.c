/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench task` about maps and loops: many calls of next to nothing, in
 * chunks that the map chooses, beside a task for each; the same folded; and a loop
 * whose turns are shared out, beside the loop in one process.
 */
#include "bench_map.h"

#include "bench_session.h"

#include <mobula/mobula.h>

#include <stdlib.h>

#define CALLS 1000000u
#define TURNS 100000u
#define TURN_NS 1000u

MOB_TASK(int64_t, bench_square, int64_t, x)
{
	return x * x;
}

MOB_TASK(int64_t, bench_plus, int64_t, a, int64_t, b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

MOB_TASK(void, bench_turns, uint64_t, lo, uint64_t, hi)
{
	bench_spin_for((hi - lo) * TURN_NS);
}

static int64_t *xs; /* of the process of a case */

int bench_map_setup(struct bench *b)
{
	xs = malloc(CALLS * sizeof(*xs));
	if (!xs) {
		return bench_fail(b, "out of memory");
	}
	for (size_t i = 0; i < CALLS; i++) {
		xs[i] = (int64_t)i;
	}
	return bench_session_new(b) ? bench_session_start(b, CALLS) : -1;
}

void bench_map_teardown(struct bench *b)
{
	bench_session_end(b);
	free(xs);
	xs = NULL;
}

int bench_map(struct bench *b, double *out_value)
{
	size_t n = (size_t)bench_n(b, CALLS);
	struct mob_map *m;
	uint64_t t = bench_now();
	int64_t want = 0;
	int64_t y;

	if (mob_map_open(NULL, &m)) {
		return bench_get_failed(b);
	}
	(void)mob_map_over(m, bench_square, n,
			   xs); /* mob_map_next fails then */
	while (mob_map_next(m, &y) > 0) {
		if (y != want * want) {
			break;
		}
		want++;
	}
	t = bench_now() - t;
	mob_map_close(m);
	if (want != (int64_t)n) {
		return bench_get_failed(b);
	}
	*out_value = (double)t / (double)n;
	return 0;
}

/* A task for each call, with all of them in flight. */
int bench_map_raw(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;
	size_t n = (size_t)bench_n(b, CALLS);
	uint64_t t = bench_now();

	for (size_t i = 0; i < n; i++) {
		s->refs[i] = mob_submit(bench_square, xs[i]);
	}
	for (size_t i = 0; i < n; i++) {
		int64_t y;

		if (mob_take(s->refs[i], &y)) {
			return bench_get_failed(b);
		}
	}
	*out_value = (double)(bench_now() - t) / (double)n;
	return 0;
}

int bench_fold(struct bench *b, double *out_value)
{
	size_t n = (size_t)bench_n(b, CALLS);
	struct mob_map *m;
	uint64_t t = bench_now();
	int64_t y;
	int rc;

	if (mob_map_open(NULL, &m)) {
		return bench_get_failed(b);
	}
	rc = mob_map_fold(m, bench_plus);
	if (rc >= 0) {
		rc = mob_map_over(m, bench_square, n, xs);
	}
	if (rc >= 0) {
		rc = mob_map_next(m, &y);
	}
	t = bench_now() - t;
	mob_map_close(m);
	if (rc <= 0) {
		return bench_get_failed(b);
	}
	*out_value = (double)t / (double)n;
	return 0;
}

int bench_for(struct bench *b, double *out_value)
{
	uint64_t n = bench_n(b, TURNS);
	uint64_t t = bench_now();

	if (mob_for(bench_turns, 0, n)) {
		return bench_get_failed(b);
	}
	*out_value = (double)(bench_now() - t) / (double)n;
	return 0;
}

int bench_for_raw(struct bench *b, double *out_value)
{
	uint64_t n = bench_n(b, TURNS);
	uint64_t t = bench_now();

	bench_spin_for(n * TURN_NS / BENCH_WORKERS);
	*out_value = (double)(bench_now() - t) / (double)n;
	return 0;
}
