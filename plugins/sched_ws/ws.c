/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work stealing (Blumofe and Leiserson, 1999): a task waits on the worker that
 * made it; a worker runs its newest, and steals the oldest of another, which is
 * the largest piece of a divided problem. What a driver submits is shared, in
 * its order.
 */
#include <mobula/sched.h>

static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *t)
{
	(void)h;
	(void)state;
	return t->from == MOB_NO_WORKER ?
		       mob_place(MOB_Q_SHARED, t->seq) :
		       mob_place(MOB_Q_WORKER(t->from), ~t->seq);
}

static uint32_t pick(const struct mob_sched_host *h, void *state,
		     uint32_t worker, uint32_t *queues, uint32_t max)
{
	uint32_t victim = (uint32_t)(h->rnd(h) % h->workers);
	uint32_t n = 0;

	(void)state;
	(void)max;
	queues[n++] = MOB_Q_WORKER(worker);
	queues[n++] = MOB_Q_SHARED;
	for (uint32_t i = 0; i < h->workers; i++) {
		uint32_t v = (victim + i) % h->workers;

		if (v != worker && h->worker_len[v]) {
			queues[n++] = MOB_Q_WORKER(v) | MOB_Q_OLDEST;
		}
	}
	return n;
}

static const struct mob_sched_ops ops = {
	MOB_SCHED_OPS,
	.place = place,
	.pick = pick,
};

MOB_PLUGIN_DEFINE(ws, MOB_PLUGIN_SCHED, &ops, .version = "0.1.0",
		  .license = "Apache-2.0",
		  .summary = "own newest first, steal the oldest of others");
