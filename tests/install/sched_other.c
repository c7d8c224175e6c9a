/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin of somebody else: a policy that leaves everything to the host. */
#include <mobula/plugin.h>
#include <mobula/sched.h>

static const struct mob_sched_ops ops = {
	.struct_size = sizeof(struct mob_sched_ops),
};

MOB_PLUGIN_DEFINE(other, MOB_PLUGIN_SCHED, &ops, .version = "1.0",
		  .license = "Apache-2.0",
		  .summary = "whatever the host does by default");
