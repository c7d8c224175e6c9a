/* SPDX-License-Identifier: Apache-2.0 */
/* Broken on purpose: forgets the shared queue after 5,000 picks. */
#include <mobula/sched.h>

struct state {
	uint64_t picks;
};

static uint32_t pick(const struct mob_sched_host *h, void *state,
		     uint32_t worker, uint32_t *queues, uint32_t max)
{
	struct state *s = state;

	(void)h;
	(void)max;
	queues[0] = s->picks++ < 5000 ? MOB_Q_SHARED : MOB_Q_WORKER(worker);
	return 1;
}

static const struct mob_sched_ops ops = {
	MOB_SCHED_OPS,
	.state_bytes = sizeof(struct state),
	.pick = pick,
};

MOB_PLUGIN_DEFINE(bad_starve, MOB_PLUGIN_SCHED, &ops,
		  .summary = "broken on purpose: never looks again");
