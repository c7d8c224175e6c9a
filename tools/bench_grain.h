/* SPDX-License-Identifier: Apache-2.0 */
/* What the cases of tasks do here and in other systems alike: how much, and the
 * search for the shortest task that is worth it. */
#ifndef MOBI_BENCH_GRAIN_H
#define MOBI_BENCH_GRAIN_H

#include "bench.h"

#define BENCH_WORKERS 2
#define BENCH_SYNCS 2000u
#define BENCH_SYNCS_HOT 20000u
#define BENCH_ASYNC 100000u
#define BENCH_NESTED 10 /* deep */
#define BENCH_CHAIN 100000u
/* Of a binary tree of tasks. */
#define BENCH_TREE 16
#define BENCH_TREE_QUICK 6
#define BENCH_TREE_TASKS(depth) ((INT64_C(2) << (depth)) - 1)

/* The most tasks that bench_metg runs at once. */
#define BENCH_METG_TASKS 160000u

/* The length in ns at which half of the processors' time is work. run makes so many
 * tasks that each call bench_spin_for(ns), waits for all and returns the time that
 * it took, 0 after bench_fail. */
int bench_metg(struct bench *b,
	       uint64_t (*run)(struct bench *b, size_t n, uint64_t ns),
	       double *out_value);
void bench_spin_for(uint64_t ns);

#endif /* MOBI_BENCH_GRAIN_H */
