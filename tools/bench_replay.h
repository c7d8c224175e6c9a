/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `mob bench task` about graphs that are replayed (bench_replay.c). */
#ifndef MOBI_BENCH_REPLAY_H
#define MOBI_BENCH_REPLAY_H

#include "bench.h"

int bench_replay_setup(struct bench *b);
void bench_replay_teardown(struct bench *b);
int bench_replay(struct bench *b, double *out_value);
/* The same graph, each of its tasks submitted each time. */
int bench_replay_raw(struct bench *b, double *out_value);
/* Stages with a state, 8 runs in flight. */
int bench_channel_setup(struct bench *b);
int bench_channel(struct bench *b, double *out_value);
/* One run after the other, the state in the driver. */
int bench_channel_raw(struct bench *b, double *out_value);

#endif /* MOBI_BENCH_REPLAY_H */
