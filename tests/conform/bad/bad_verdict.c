/* SPDX-License-Identifier: Apache-2.0 */
/* Broken on purpose: one task goes to a queue that does not exist. */
#include <mobula/sched.h>

static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	return mob_place(t->seq == 3000 ? 123456 : MOB_Q_SHARED, t->seq);
}

static const struct mob_sched_ops ops = { MOB_SCHED_OPS, .place = place };

MOB_PLUGIN_DEFINE(bad_verdict, MOB_PLUGIN_SCHED, &ops,
		  .summary = "broken on purpose: an unknown queue");
