/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: state from run to run. See 18_state_between_runs.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#define AHEAD 4

MOB_TASK(int64_t, load, int64_t, i)
{
	return i * i;
}

MOB_TASK(int64_t, add, int64_t, total, int64_t, x)
{
	return total + x;
}

MOB_MAIN(void)
{
	int64_t n = 10000, total = 0;
	struct mob_graph *g;
	mob_ref i, state, next;

	if (mob_init(NULL) || mob_capture_begin(&g)) {
		return 1;
	}

	/* record once: what next is in a run, state is in the next one */
	mob_graph_window(g, AHEAD);
	i = mob_graph_input(int64_t);
	state = mob_graph_channel(int64_t);
	next = mob_submit(add, state, mob_submit(load, i));
	mob_graph_write(state, next);
	if (mob_capture_end(g)) {
		return 1;
	}

	/* a few runs in flight: the oldest is waited for before one more begins */
	mob_graph_set(g, state, &total);
	for (int64_t k = 0; k < n + AHEAD; k++) {
		if (k >= AHEAD && mob_graph_wait(g, MOB_FOREVER)) {
			return 1; /* the error of that run */
		}
		if (k < n && (mob_graph_set(g, i, &k) || mob_graph_start(g))) {
			return 1;
		}
	}
	mob_graph_get(g, next, &total);
	mob_graph_close(g);

	printf("%d runs, sum %lld\n", (int)n, (long long)total);
	return total != (n - 1) * n * (2 * n - 1) / 6;
}
