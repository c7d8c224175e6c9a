/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scheduling policy to copy: rename the file, "template" at the end and the
 * rule, and throw out what you do not need. Without any op it is first come,
 * first served.
 *
 * This one: urgent tasks first, and of equal ones the job that has had the
 * fewest.
 */
#include <mobula/sched.h>

#define JOBS 64u

/* Zeroed shared memory, one for each domain. No pointers. */
struct state {
	uint64_t tasks_of[JOBS];
};

/* Where does a ready task wait? The least rank of a queue is taken first. */
static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *t)
{
	const struct state *s = state;
	uint64_t urgency = (uint64_t)(INT32_MAX - (int64_t)t->priority);
	uint32_t had = (uint32_t)s->tasks_of[t->job % JOBS];

	(void)h;
	return mob_place(MOB_Q_SHARED, urgency << 32 | had);
}

/* Which queues may this worker take from, best first? */
static uint32_t pick(const struct mob_sched_host *h, void *state,
		     uint32_t worker, uint32_t *queues, uint32_t max)
{
	(void)h;
	(void)state;
	(void)worker;
	(void)max; /* never below 1 + workers + jobs */
	queues[0] = MOB_Q_SHARED;
	return 1;
}

/* A run ended. */
static void done(const struct mob_sched_host *h, void *state,
		 const struct mob_sched_task *t,
		 const struct mob_sched_run *run)
{
	struct state *s = state;

	(void)h;
	(void)run;
	s->tasks_of[t->job % JOBS]++;
}

static const struct mob_sched_ops ops = {
	MOB_SCHED_OPS,  .state_bytes = sizeof(struct state),
	.place = place, .pick = pick,
	.done = done,
};

MOB_PLUGIN_DEFINE(template, MOB_PLUGIN_SCHED, &ops, .version = "0.1.0",
		  .license = "Apache-2.0",
		  .summary = "urgent first, then the job that ran least");
