/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of `mob bench task`: items of 8 bytes from one process to another. */
#include "bench_stream.h"

#include "bench_session.h"

#include <mobula/mobula.h>

#define ITEMS 1000000u
#define AHEAD 1000u

MOB_TASK_STREAM(int64_t, bench_yield, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		(void)mob_yield(i);
	}
}

/* Their sum. */
MOB_TASK(int64_t, bench_read, mob_ref, in)
{
	int64_t sum = 0;
	int64_t x;

	while (mob_next(in, &x) == 1) {
		sum += x;
	}
	return sum;
}

static int right(struct bench *b, int64_t n, int64_t sum)
{
	return sum == n * (n - 1) / 2 ?
		       0 :
		       bench_fail(b, "the sum of the items is %lld",
				  (long long)sum);
}

int bench_stream(struct bench *b, double *out_value)
{
	int64_t n = (int64_t)bench_n(b, ITEMS);
	uint64_t t = bench_now();
	mob_ref stream = mob_submit(bench_yield, n);
	int64_t sum = 0;
	int64_t x;
	int rc;

	while ((rc = mob_next(stream, &x)) == 1) {
		sum += x;
	}
	t = bench_now() - t;
	if (rc < 0 || mob_release(stream) < 0) {
		return bench_get_failed(b);
	}
	*out_value = (double)n * 1e9 / (double)t;
	return right(b, n, sum);
}

int bench_stream_task(struct bench *b, double *out_value)
{
	int64_t n = (int64_t)bench_n(b, ITEMS);
	uint64_t t = bench_now();
	mob_ref stream = mob_submit_with(MOB_OPTS(.stream_items = AHEAD),
					 bench_yield, n);
	mob_ref read = mob_submit(bench_read, stream);
	int64_t sum;

	(void)mob_release(stream); /* the task keeps it */
	if (mob_take(read, &sum)) {
		return bench_get_failed(b);
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	return right(b, n, sum);
}
