/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of graphs without channels share. */
#ifndef MOBI_TEST_GRAPH_FIXTURE_H
#define MOBI_TEST_GRAPH_FIXTURE_H

#include "live.h"

#include "os_run.h"

#include <string.h>

/* Records from now on. */
static inline struct mob_graph *begin(void)
{
	struct mob_graph *g;

	assert_int_equal(mob_capture_begin(&g), 0);
	return g;
}

static inline void run(struct mob_graph *g)
{
	if (mob_graph_run(g)) {
		fail_msg("mob_graph_run: %s", mob_error());
	}
}

/* Twice x; fails with 42 if x is `bad`. */
MOB_TASK(int64_t, g_fails_at, int64_t, x, int64_t, bad)
{
	if (x == bad) {
		mob_fail(42, "cannot do %d", (int)x);
	}
	return x * 2;
}

/* One more than before; counted in word i. */
MOB_TASK(int64_t, g_count, mob_str, path, int64_t, i, int64_t, before)
{
	(void)live_ledger_add(path, (uint64_t)i);
	return before + 1;
}

/* x, when word 1 is set or it is cancelled. */
MOB_TASK(int64_t, g_slow, mob_str, path, int64_t, x)
{
	while (!live_ledger_get(path, 1) && !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return x;
}

MOB_TASK(double, g_sum, mob_f64s, v, mob_str, name, double, more)
{
	double sum = more + (double)strlen(name);

	for (size_t i = 0; i < v.n; i++) {
		sum += v.at[i];
	}
	return sum;
}

MOB_TASK(int64_t, g_reads_ref, mob_ref, r)
{
	int64_t x;

	(void)mob_get(r, &x);
	return x;
}

#endif /* MOBI_TEST_GRAPH_FIXTURE_H */
