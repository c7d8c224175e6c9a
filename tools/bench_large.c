/* SPDX-License-Identifier: Apache-2.0 */
/* Cases that put large values. */
#include "bench_large.h"

#include <errno.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define MANY 200u /* of 1 MiB */

int bench_large_open(struct bench *b, enum bench_large_size size)
{
	struct bench_large *l = b->state;
	size_t bytes = size == BENCH_1MIB ? MIB : b->quick ? 16 * MIB : GIB;

	l->copies = size == BENCH_1MIB ? MANY : 1;
	return raw_copy_open(&l->copy, bytes) ?
		       bench_fail(b, "tmpfs of %zu bytes: %s", bytes,
				  strerror(errno)) :
		       0;
}

void bench_large_close(struct bench_large *l)
{
	raw_copy_close(&l->copy);
}

int bench_large_put(struct bench *b,
		    int (*put)(struct bench *b, void *from, size_t size),
		    int (*drop)(struct bench *b))
{
	const struct bench_large *l = b->state;
	int rc = 0;

	for (uint64_t i = 0; i < l->copies && !rc; i++) {
		uint64_t t = bench_now();

		rc = put(b, l->copy.from, l->copy.size);
		bench_sample(b, bench_now() - t);
		rc = rc ? rc : drop(b);
	}
	return rc;
}

int bench_large_copy(struct bench *b, double *out_value)
{
	struct bench_large *l = b->state;

	(void)out_value;
	raw_copy_times(b, &l->copy, l->copies);
	return 0;
}
