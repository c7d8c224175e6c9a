/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases that put large values, of Mobula's store and of others: the put alone is
 * timed, beside a memcpy of the same bytes to memory that is warm. The state of such
 * a case begins with a struct bench_large.
 */
#ifndef MOBI_BENCH_LARGE_H
#define MOBI_BENCH_LARGE_H

#include "bench.h"
#include "bench_raw.h"

struct bench_large {
	struct raw_copy copy;
	uint64_t copies; /* in a round */
};

enum bench_large_size { BENCH_1MIB, BENCH_1GIB };

/* For setup: the bytes, 16 MiB instead of 1 GiB if only a try is wanted. Teardown
 * closes it; one that is zeroed, too. */
int bench_large_open(struct bench *b, enum bench_large_size size);
void bench_large_close(struct bench_large *l);
/* One round: put and drop return 0, or nonzero after bench_fail. */
int bench_large_put(struct bench *b,
		    int (*put)(struct bench *b, void *from, size_t size),
		    int (*drop)(struct bench *b));
/* The memcpy. */
int bench_large_copy(struct bench *b, double *out_value);

#endif /* MOBI_BENCH_LARGE_H */
