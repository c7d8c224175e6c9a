/* SPDX-License-Identifier: Apache-2.0 */
/* Last submitted, first run: its inputs are still in the cache. */
#include <mobula/sched.h>

static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	return mob_place(MOB_Q_SHARED, MOB_RANK_LAST - t->seq);
}

static const struct mob_sched_ops ops = { MOB_SCHED_OPS, .place = place };

MOB_PLUGIN_DEFINE(lifo, MOB_PLUGIN_SCHED, &ops, .version = "0.1.0",
		  .license = "Apache-2.0",
		  .summary = "last submitted, first run");
