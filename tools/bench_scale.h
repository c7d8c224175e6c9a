/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of `mob bench store` with many objects, and with files. */
#ifndef MOBI_BENCH_SCALE_H
#define MOBI_BENCH_SCALE_H

#include "bench.h"

void bench_scale_teardown(struct bench *b);

int bench_setup_names(struct bench *b);
int bench_list(struct bench *b, double *out_value);

int bench_setup_any(struct bench *b);
int bench_wait_any(struct bench *b, double *out_value);
int bench_wait_any_raw(struct bench *b, double *out_value);

int bench_setup_million(struct bench *b);
int bench_attach(struct bench *b, double *out_value);
int bench_attach_check(struct bench *b, double *out_value);
int bench_recover(struct bench *b, double *out_value);
int bench_recover_attached(struct bench *b, double *out_value);

int bench_setup_empty(struct bench *b);
int bench_curve(struct bench *b, double *out_value);
int bench_bytes_per_object(struct bench *b, double *out_value);

int bench_setup_spill(struct bench *b);
void bench_spill_teardown(struct bench *b);
int bench_spill(struct bench *b, double *out_value);
int bench_spill_raw(struct bench *b, double *out_value);
int bench_restore(struct bench *b, double *out_value);
int bench_restore_raw(struct bench *b, double *out_value);

int bench_setup_evict_zipf(struct bench *b);
int bench_setup_evict_loop(struct bench *b);
void bench_evict_teardown(struct bench *b);
int bench_evict(struct bench *b, double *out_value);
int bench_evict_raw(struct bench *b, double *out_value);

int bench_setup_durable(struct bench *b);
void bench_durable_teardown(struct bench *b);
int bench_sync(struct bench *b, double *out_value);
int bench_sync_raw(struct bench *b, double *out_value);
int bench_reopen(struct bench *b, double *out_value);

#endif /* MOBI_BENCH_SCALE_H */
