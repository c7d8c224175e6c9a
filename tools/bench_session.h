/* SPDX-License-Identifier: Apache-2.0 */
/* A session with tasks for cases of `mob bench task`: its start and end, plain
 * tasks, and a gate that keeps its workers busy. */
#ifndef MOBI_BENCH_SESSION_H
#define MOBI_BENCH_SESSION_H

#include "bench.h"
#include "bench_grain.h"
#include "bench_raw.h"

#include <mobula/task.h>

struct bench_gate;

/* The state of a case. */
struct bench_session {
	struct raw_peer peer; /* of cases that compare with a second process */
	struct mob_ref *refs;
	int32_t *values;
	size_t n_refs;
	struct bench_gate *gate;
	bool started;
};

/* NULL after bench_fail. */
struct bench_session *bench_session_new(struct bench *b);
/* Two workers, and room for n_refs. */
int bench_session_start(struct bench *b, size_t n_refs);
/* Teardown of such a case. */
void bench_session_end(struct bench *b);

/* A get that failed: bench_fail with the pending error. */
int bench_get_failed(struct bench *b);
struct mob_ref bench_submit_one(void); /* an empty task */
/* Submits n empty tasks to refs; takes the results of n tasks, int32_t. */
void bench_submit_empty(struct bench *b, size_t n);
int bench_take_all(struct bench *b, size_t n);

/* Sends every worker into the gate, and waits until they are inside. Its name is
 * gone then, so that nothing is left behind whatever happens. */
int bench_gate_close(struct bench *b, struct mob_ref busy[BENCH_WORKERS]);
void bench_gate_open(struct bench_session *s);
/* After it was opened: the workers have left it. */
int bench_gate_drop(struct bench *b, const struct mob_ref busy[BENCH_WORKERS]);

/* Maps size bytes of a POSIX shared memory object; flags O_CREAT | O_EXCL make
 * it, zeroed. NULL with errno set. */
void *bench_shm_map(const char *name, int flags, size_t size);

#endif /* MOBI_BENCH_SESSION_H */
