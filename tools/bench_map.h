/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of `mob bench task` about maps and loops (bench_map.c). */
#ifndef MOBI_BENCH_MAP_H
#define MOBI_BENCH_MAP_H

#include "bench.h"

int bench_map_setup(struct bench *b);
void bench_map_teardown(struct bench *b);
/* ns a call; raw: of a task for each. */
int bench_map(struct bench *b, double *out_value);
int bench_map_raw(struct bench *b, double *out_value);
/* ns a call, the results folded. */
int bench_fold(struct bench *b, double *out_value);
/* ns a turn of a microsecond; raw: what it takes on as many processors. */
int bench_for(struct bench *b, double *out_value);
int bench_for_raw(struct bench *b, double *out_value);

#endif /* MOBI_BENCH_MAP_H */
