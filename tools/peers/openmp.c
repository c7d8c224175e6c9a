/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks of OpenMP, as the compiler's library runs them (libgomp of gcc). With
 * OMP_WAIT_POLICY=passive its threads sleep as soon as they wait: task.sync. */
#define _GNU_SOURCE
#include "tasks.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

static bool begin(void)
{
	omp_set_dynamic(0);
	omp_set_num_threads(2);
	return true;
}

static void end(void)
{
}

/* The other thread waits where `single` ends, and runs tasks meanwhile. */
static void inside(void (*body)(void *arg), void *arg)
{
#pragma omp parallel
#pragma omp single
	body(arg);
}

/* Who makes it comes to no place where it would run one itself. */
static void give(void (*task)(void *arg), void *arg)
{
#pragma omp task firstprivate(task, arg)
	task(arg);
}

static void empty(size_t n, int32_t *out)
{
	for (size_t i = 0; i < n; i++) {
#pragma omp task firstprivate(i, out)
		out[i] = (int32_t)i;
	}
#pragma omp taskwait
}

static void spin(size_t n, uint64_t ns)
{
	for (size_t i = 0; i < n; i++) {
#pragma omp task firstprivate(ns)
		peer_spin(ns);
	}
#pragma omp taskwait
}

/* It calls itself: that is what is measured. */
static int64_t nested(int32_t depth)
{
	int64_t below = 0;

	if (depth > 0) {
#pragma omp task shared(below) firstprivate(depth)
		below = nested(depth - 1) + 1;
#pragma omp taskwait
	}
	return below;
}

/* The calling task is the root. */
static int64_t tree(int32_t depth)
{
	int64_t left = 0;
	int64_t right = 0;

	if (depth > 0) {
#pragma omp task shared(left) firstprivate(depth)
		left = tree(depth - 1);
#pragma omp task shared(right) firstprivate(depth)
		right = tree(depth - 1);
#pragma omp taskwait
	}
	return left + right + 1;
}

/* They run while the others are made: libgomp lets 64 a thread wait. */
static int64_t chain(int32_t n, uint64_t *out_ns)
{
	int64_t length = 0;
	uint64_t t = now_ns();

	for (int32_t i = 0; i < n; i++) {
#pragma omp task depend(out : length) shared(length)
		length++;
	}
#pragma omp taskwait
	*out_ns = now_ns() - t;
	return length;
}

int main(int argc, char **argv)
{
	const char *policy = getenv("OMP_WAIT_POLICY");
	struct peer_tasks ops = { .begin = begin,
				  .end = end,
				  .inside = inside,
				  .give = give,
				  .empty = empty,
				  .spin = spin,
				  .nested = nested,
				  .tree = tree,
				  .chain = chain };

	ops.sleeps = policy && strcmp(policy, "passive") == 0;
	return peer_tasks_main(argc, argv, &ops);
}
