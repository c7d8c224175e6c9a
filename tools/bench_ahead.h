/* SPDX-License-Identifier: Apache-2.0 */
/* Cases about spilled arguments (bench_ahead.c). */
#ifndef MOBI_BENCH_AHEAD_H
#define MOBI_BENCH_AHEAD_H

#include "bench.h"

int bench_ahead_setup(struct bench *b);
void bench_ahead_teardown(struct bench *b);
/* Tasks that are queued, and a chain of them; raw: without reading ahead. */
int bench_ahead(struct bench *b, double *out_value);
int bench_ahead_raw(struct bench *b, double *out_value);
int bench_ahead_chain(struct bench *b, double *out_value);
int bench_ahead_chain_raw(struct bench *b, double *out_value);
/* A task that waits for many others and has spilled objects, too. */
int bench_ahead_fan_in(struct bench *b, double *out_value);
int bench_ahead_fan_in_raw(struct bench *b, double *out_value);

#endif /* MOBI_BENCH_AHEAD_H */
