/* SPDX-License-Identifier: Apache-2.0 */
/* Broken on purpose: does not return from the 5,000th place. */
#include <mobula/sched.h>

struct state {
	volatile uint64_t places;
};

static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *t)
{
	struct state *s = state;

	(void)h;
	s->places++;
	while (s->places == 5000) {
	}
	return mob_place(MOB_Q_SHARED, t->seq);
}

static const struct mob_sched_ops ops = {
	MOB_SCHED_OPS,
	.state_bytes = sizeof(struct state),
	.place = place,
};

MOB_PLUGIN_DEFINE(bad_spin, MOB_PLUGIN_SCHED, &ops,
		  .summary = "broken on purpose: an endless loop in place");
