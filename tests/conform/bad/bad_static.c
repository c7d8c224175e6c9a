/* SPDX-License-Identifier: Apache-2.0 */
/* Broken on purpose: its state is a static variable, one for each process. */
#include <mobula/sched.h>

static uint64_t places;

static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	return mob_place(MOB_Q_SHARED, places++ % 7 + t->seq % 3);
}

static const struct mob_sched_ops ops = { MOB_SCHED_OPS, .place = place };

MOB_PLUGIN_DEFINE(bad_static, MOB_PLUGIN_SCHED, &ops,
		  .summary = "broken on purpose: static state");
