/* SPDX-License-Identifier: Apache-2.0 */
/* Broken on purpose: counts jobs beyond the end of its state. */
#include <mobula/sched.h>

struct state {
	uint64_t tasks_of[2];
};

static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *t)
{
	uint64_t *tasks_of = state;

	(void)h;
	return mob_place(MOB_Q_JOB(t->job), tasks_of[t->job]++);
}

static const struct mob_sched_ops ops = {
	MOB_SCHED_OPS,
	.state_bytes = sizeof(struct state),
	.place = place,
};

MOB_PLUGIN_DEFINE(bad_overrun, MOB_PLUGIN_SCHED, &ops,
		  .summary = "broken on purpose: writes beyond its state");
