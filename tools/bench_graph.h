/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of `mob bench task` about tasks that depend on tasks, are cancelled, or are
 * run again (bench_graph.c). */
#ifndef MOBI_BENCH_GRAPH_H
#define MOBI_BENCH_GRAPH_H

#include "bench.h"

int bench_graph_setup(struct bench *b);
/* ns a task, from when the first may run to the last result. */
int bench_chain(struct bench *b, double *out_value);
/* ns a task, from the submit of the root to its result. */
int bench_fanout(struct bench *b, double *out_value);
/* ns of all calls. */
int bench_cancel(struct bench *b, double *out_value);
/* ns an attempt; raw: of as many tasks that succeed at once. */
int bench_storm(struct bench *b, double *out_value);
int bench_storm_raw(struct bench *b, double *out_value);

#endif /* MOBI_BENCH_GRAPH_H */
