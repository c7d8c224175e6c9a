/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies that decide well for a while and then go wrong, each in the way that
 * TURNS_BAD says; for sessions that load them without the check.
 */
#include <mobula/sched.h>

enum {
	CRASH_IN_PICK = 1,
	CRASH_IN_PLACE,
	LOOP_IN_PICK,
	LOOP_IN_PLACE,
	STARVE,
	WRONG_PLACE,
	WRONG_PICK,
	TOO_MANY,
	NO_START
};

#define PICKS 150
#define PLACES 400

struct state {
	uint64_t picks;
	uint64_t places;
};

static uint32_t *volatile nowhere = (uint32_t *)8;
static volatile uint32_t turns_round;

static int start(const struct mob_sched_host *h, void *state)
{
	(void)h;
	(void)state;
	return TURNS_BAD == NO_START ? -1 : 0;
}

static struct mob_place place(const struct mob_sched_host *h, void *state,
			      const struct mob_sched_task *task)
{
	struct state *s = state;

	(void)h;
	if (++s->places > PLACES) {
		if (TURNS_BAD == CRASH_IN_PLACE) {
			*nowhere = 1;
		}
		while (TURNS_BAD == LOOP_IN_PLACE) {
			turns_round++;
		}
		if (TURNS_BAD == WRONG_PLACE) {
			return mob_place(MOB_Q_WORKER(1000000), 1);
		}
	}
	return mob_place(MOB_Q_SHARED, task->seq);
}

static uint32_t pick(const struct mob_sched_host *h, void *state,
		     uint32_t worker, uint32_t *queues, uint32_t max)
{
	struct state *s = state;

	(void)h;
	(void)worker;
	queues[0] = MOB_Q_SHARED;
	if (++s->picks > PICKS) {
		if (TURNS_BAD == CRASH_IN_PICK) {
			*nowhere = 1;
		}
		while (TURNS_BAD == LOOP_IN_PICK) {
			turns_round++;
		}
		if (TURNS_BAD == STARVE) {
			return 0;
		}
		if (TURNS_BAD == WRONG_PICK) {
			queues[0] = 0x12345678;
		}
		if (TURNS_BAD == TOO_MANY) {
			return max + 1;
		}
	}
	return 1;
}

static const struct mob_sched_ops ops = {
	MOB_SCHED_OPS,  .state_bytes = sizeof(struct state),
	.start = start, .place = place,
	.pick = pick,
};

MOB_PLUGIN_DEFINE(turns_bad, MOB_PLUGIN_SCHED, &ops,
		  .summary = "goes wrong after a while");
