/* SPDX-License-Identifier: Apache-2.0 */
#include "channels.h"

#include "os_run.h"

struct live_ledger ch_ledger;

MOB_TASK_DEFINE(uint64_t, c_step, uint64_t, state, uint64_t, x)
{
	return state * 3 + x;
}

MOB_TASK_DEFINE(uint64_t, c_slow, mob_str, path, uint64_t, x)
{
	(void)live_ledger_add(path, CH_STARTED);
	while (!live_ledger_get(path, CH_MAY_END) && !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, CH_ENDED);
	return x;
}

MOB_TASK_DEFINE(uint64_t, c_fails_at, uint64_t, x, uint64_t, bad)
{
	if (x == bad) {
		mob_fail(42, "cannot do %u", (unsigned)x);
	}
	return x * 2;
}

struct mob_graph *ch_begin(uint32_t window)
{
	struct mob_graph *g;

	assert_int_equal(mob_capture_begin(&g), 0);
	assert_int_equal(mob_graph_window(g, window), 0);
	return g;
}

void ch_start(struct mob_graph *g)
{
	if (mob_graph_start(g)) {
		fail_msg("mob_graph_start: %s", mob_error());
	}
}

void ch_wait(struct mob_graph *g)
{
	if (mob_graph_wait(g, MOB_FOREVER)) {
		fail_msg("mob_graph_wait: %s", mob_error());
	}
}
