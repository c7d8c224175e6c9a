/* SPDX-License-Identifier: Apache-2.0 */
/* Broken on purpose: writes where nothing is mapped at the 5,000th pick. */
#include <mobula/sched.h>

struct state {
	uint64_t picks;
};

static uint32_t *volatile nowhere = (uint32_t *)8;

static uint32_t pick(const struct mob_sched_host *h, void *state,
		     uint32_t worker, uint32_t *queues, uint32_t max)
{
	struct state *s = state;

	(void)h;
	(void)worker;
	(void)max;
	if (++s->picks == 5000) {
		*nowhere = 1;
	}
	queues[0] = MOB_Q_SHARED;
	return 1;
}

static const struct mob_sched_ops ops = {
	MOB_SCHED_OPS,
	.state_bytes = sizeof(struct state),
	.pick = pick,
};

MOB_PLUGIN_DEFINE(bad_crash, MOB_PLUGIN_SCHED, &ops,
		  .summary = "broken on purpose: crashes in pick");
