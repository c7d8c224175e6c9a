/* SPDX-License-Identifier: Apache-2.0 */
/* The case of `mob bench task` that says what recording costs. */
#ifndef MOBI_BENCH_RECORD_H
#define MOBI_BENCH_RECORD_H

#include "bench.h"

int bench_record_setup(struct bench *b);
int bench_record_on(struct bench *b, double *out_value);
int bench_record_off(struct bench *b, double *out_value);
void bench_record_teardown(struct bench *b);

#endif /* MOBI_BENCH_RECORD_H */
