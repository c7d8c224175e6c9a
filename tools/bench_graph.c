/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench task`: a chain, a tree, tasks that are cancelled before they
 * run, and tasks that fail twice before they succeed.
 */
#define _GNU_SOURCE
#include "bench_graph.h"
#include "bench_grain.h"
#include "bench_session.h"

#include <mobula/mobula.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define CANCELLED 100000u
#define STORM 10000u
#define ATTEMPTS 3u /* of each task of the storm */

MOB_TASK(int32_t, bench_next, int32_t, before)
{
	return before + 1;
}

/* The number of tasks in the tree. */
MOB_TASK(int64_t, bench_fan, int32_t, depth)
{
	int64_t left = 0;
	int64_t right = 0;

	if (depth > 0) {
		mob_ref a = mob_submit(bench_fan, depth - 1);
		mob_ref b = mob_submit(bench_fan, depth - 1);

		(void)mob_get(a, &left);
		(void)mob_get(b, &right);
	}
	return left + right + 1;
}

/* How often it was tried is counted in shared memory, which a worker maps once. */
MOB_TASK(int32_t, bench_flaky, mob_str, ledger, int32_t, i)
{
	static unsigned char *tries;

	if (!tries) {
		tries = bench_shm_map(ledger, 0, STORM);
	}
	if (!tries) {
		mob_fail(errno, "%s: %s", ledger, strerror(errno));
	} else if (++tries[i] % ATTEMPTS) {
		mob_fail(EAGAIN, "not yet");
	}
	return i;
}

int bench_graph_setup(struct bench *b)
{
	return bench_session_new(b) ? bench_session_start(b, BENCH_CHAIN) : -1;
}

int bench_chain(struct bench *b, double *out_value)
{
	struct mob_ref busy[BENCH_WORKERS] = { { 0, 0 } };
	uint32_t n = (uint32_t)bench_n(b, BENCH_CHAIN);
	mob_ref last;
	int32_t length;
	uint64_t t;

	if (bench_gate_close(b, busy)) {
		return -1;
	}
	last = mob_submit(bench_next, 0);
	for (uint32_t i = 1; i < n; i++) {
		mob_ref next = mob_submit(bench_next, last);

		(void)mob_release(last);
		last = next;
	}
	t = bench_now();
	bench_gate_open(b->state);
	if (mob_take(last, &length)) {
		return bench_get_failed(b);
	}
	*out_value = (double)(bench_now() - t) / n;
	if (length != (int32_t)n) {
		return bench_fail(b, "the chain has %d links", (int)length);
	}
	return bench_gate_drop(b, busy);
}

int bench_fanout(struct bench *b, double *out_value)
{
	int32_t depth = b->quick ? BENCH_TREE_QUICK : BENCH_TREE;
	int64_t n = BENCH_TREE_TASKS(depth);
	uint64_t t = bench_now();
	int64_t got;

	if (mob_take(mob_submit(bench_fan, depth), &got)) {
		return bench_get_failed(b);
	}
	*out_value = (double)(bench_now() - t) / (double)n;
	return got == n ? 0 : bench_fail(b, "the tree has other tasks");
}

/* Both workers are kept busy, so that none of the tasks runs. */
int bench_cancel(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;
	struct mob_ref busy[BENCH_WORKERS] = { { 0, 0 } };
	size_t n = (size_t)bench_n(b, CANCELLED);
	size_t cancelled = 0;
	uint64_t t;

	if (bench_gate_close(b, busy)) {
		return -1;
	}
	bench_submit_empty(b, n);
	t = bench_now();
	for (size_t i = 0; i < n; i++) {
		cancelled += mob_task_cancel(s->refs[i], 0) == 1;
	}
	*out_value = (double)(bench_now() - t);
	for (size_t i = 0; i < n; i++) {
		int32_t x;

		cancelled -= mob_take(s->refs[i], &x) == MOB_E_CANCELLED;
		mob_error_clear();
	}
	bench_gate_open(s);
	if (cancelled) {
		return bench_fail(b, "%zu tasks are not cancelled", cancelled);
	}
	return bench_gate_drop(b, busy);
}

int bench_storm(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;
	size_t n = (size_t)bench_n(b, STORM);
	unsigned char *tries;
	char name[64];
	uint64_t t;
	int rc;

	(void)snprintf(name, sizeof(name), "/mob-bench-tries-%ld",
		       (long)getpid());
	tries = bench_shm_map(name, O_CREAT, STORM);
	if (!tries) {
		return bench_fail(b, "%s: %s", name, strerror(errno));
	}
	memset(tries, 0, STORM);
	t = bench_now();
	for (size_t i = 0; i < n; i++) {
		s->refs[i] = mob_submit_with(MOB_OPTS(.retry_errors = 1),
					     bench_flaky, name, (int32_t)i);
	}
	rc = bench_take_all(b, n);
	*out_value = (double)(bench_now() - t) / (double)(n * ATTEMPTS);
	for (size_t i = 0; i < n && !rc; i++) {
		if (tries[i] != ATTEMPTS) {
			rc = bench_fail(b, "%u attempts", tries[i]);
		}
	}
	if (b->last || rc) {
		(void)shm_unlink(name);
	}
	(void)munmap(tries, STORM);
	return rc;
}

int bench_storm_raw(struct bench *b, double *out_value)
{
	size_t n = (size_t)bench_n(b, STORM) * ATTEMPTS;
	uint64_t t = bench_now();
	int rc;

	bench_submit_empty(b, n);
	rc = bench_take_all(b, n);
	*out_value = (double)(bench_now() - t) / (double)n;
	return rc;
}
