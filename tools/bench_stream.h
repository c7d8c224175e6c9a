/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of `mob bench task` about streams. */
#ifndef MOBI_BENCH_STREAM_H
#define MOBI_BENCH_STREAM_H

#include "bench.h"

/* Items of 8 bytes a second, from a worker to this process. */
int bench_stream(struct bench *b, double *out_value);
/* The same to a task on the other worker, at most 1,000 ahead of it. */
int bench_stream_task(struct bench *b, double *out_value);

#endif /* MOBI_BENCH_STREAM_H */
