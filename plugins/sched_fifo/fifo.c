/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First submitted, first run. All of it is what the host does when a policy
 * says nothing. Compiled in as well: it is what the host falls back to.
 */
#include <mobula/sched.h>

static const struct mob_sched_ops ops = { MOB_SCHED_OPS };

MOB_PLUGIN_DEFINE(fifo, MOB_PLUGIN_SCHED, &ops, .version = "0.1.0",
		  .license = "Apache-2.0",
		  .summary = "first submitted, first run");
