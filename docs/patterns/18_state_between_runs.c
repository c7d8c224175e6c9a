/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: state from run to run. See 18_state_between_runs.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define N 10000
#define AHEAD 4

MOB_TASK(int64_t, load, int64_t, i)
{
	return i * i;
}

MOB_TASK(int64_t, add, int64_t, total, int64_t, x)
{
	return total + x;
}

/* before: each round is submitted, and waited for */
static int64_t run_submitted(void)
{
	int64_t total = 0;

	for (int64_t k = 0; k < N; k++) {
		mob_take(mob_submit(add, total, mob_submit(load, k)), &total);
	}
	return total;
}

/* after: recorded once; what next is in a run, state is in the next one */
static int64_t run_recorded(void)
{
	struct mob_graph *g;
	mob_ref i, state, next;
	int64_t total = 0;

	if (mob_capture_begin(&g)) {
		return 0;
	}
	mob_graph_window(g, AHEAD);
	i = mob_graph_input(int64_t);
	state = mob_graph_channel(int64_t);
	next = mob_submit(add, state, mob_submit(load, i));
	mob_graph_write(state, next);
	if (mob_capture_end(g)) {
		return 0;
	}

	/* the oldest run is waited for before one more begins */
	mob_graph_set(g, state, &total);
	for (int64_t k = 0; k < N + AHEAD; k++) {
		if (k >= AHEAD && mob_graph_wait(g, MOB_FOREVER)) {
			break; /* the error of that run is pending */
		}
		if (k < N && (mob_graph_set(g, i, &k) || mob_graph_start(g))) {
			break;
		}
	}
	mob_graph_get(g, next, &total);
	mob_graph_close(g);
	return total;
}

MOB_MAIN(void)
{
	int64_t want = (int64_t)(N - 1) * N * (2 * N - 1) / 6;
	double start, before, after;
	int64_t a, b;

	if (mob_init(NULL)) {
		return 1;
	}
	start = seconds();
	a = run_submitted();
	before = seconds() - start;
	start = seconds();
	b = run_recorded();
	after = seconds() - start;
	printf("%d runs, sums %lld %lld; submitting each takes %.0f times as "
	       "long\n",
	       N, (long long)a, (long long)b, before / after);
	return a != want || b != want;
}
