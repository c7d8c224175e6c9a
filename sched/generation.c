/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generations of the domain: the next one, policies that are thrown out, holders
 * that died, are stopped or do not end, and policies that let work starve.
 *
 * A generation's structure is taken by its own lock, and there are MOBI_GENS of
 * them: with two, a stopped holder would come back into one that is in use. With
 * as many holders stopped as there are structures, all wait until one of them
 * goes on or dies.
 */
#include "domain.h"

#include "board.h"
#include "err.h"
#include "os_clock.h"
#include "os_proc.h"
#include "os_run.h"
#include "place.h"
#include "policy.h"
#include "queue.h"

#include <stdio.h>
#include <string.h>

static struct mobi_sched *sched_of(const struct mob_store *s)
{
	return s->sched;
}

/* Makes a structure whose lock is held an empty one of the next generation. */
static void renew(struct mob_store *s, uint32_t at, uint32_t gen,
		  uint32_t policy)
{
	struct mobi_gen *g = &sched_of(s)->gens[at];

	g->gen = gen;
	g->policy = policy;
	g->fill = 0;
	g->started = 0;
	g->up = 0;
	g->rnd = mobi_now_ns() | 1;
	g->last_tick_ns = 0;
	memset(&g->stamp, 0, sizeof(g->stamp));
	memset(g->state, 0, sizeof(g->state));
	mobi_store(&g->unfit, UINT64_C(0));
	mobi_store(&g->since_ns, mobi_now_ns());
	mobi_store(&g->last_take_ns, mobi_now_ns());
	mobi_store(&g->filling, 1u);
	mobi_queues_reset(mobi_gen_queues(s, at), gen);
}

int mobi_domain_next(struct mob_store *s, uint64_t cur, uint32_t policy)
{
	struct mobi_sched *sh = sched_of(s);

	for (uint32_t i = 0; i < MOBI_GENS * 64; i++) {
		uint32_t at = i % MOBI_GENS;
		struct mobi_gen *g = &sh->gens[at];
		uint32_t nobody = 0;
		bool done;

		if (at == MOBI_CUR_INDEX(cur) ||
		    !mobi_cas32(&g->lock, &nobody, s->me)) {
			continue;
		}
		if (MOBI_CUR_INDEX(mobi_load(&sh->cur)) == at) {
			mobi_store(&g->lock, 0u);
			return MOB_E_AGAIN;
		}
		renew(s, at, MOBI_CUR_GEN(cur) + 1, policy);
		done = mobi_cas64(&sh->cur, &cur,
				  MOBI_CUR(MOBI_CUR_GEN(cur) + 1, at));
		mobi_store(&g->lock, 0u);
		return done ? 0 : MOB_E_AGAIN;
	}
	return mobi_err(MOB_E_BUSY, "all %u structures of generations are held",
			MOBI_GENS);
}

/* The holder is proved dead, and all other structures are held by who was
 * stopped: this one goes on as the next generation. */
static void next_in_place(struct mob_store *s, uint32_t dead, uint64_t cur,
			  uint32_t policy)
{
	struct mobi_sched *sh = sched_of(s);
	uint32_t at = MOBI_CUR_INDEX(cur);
	struct mobi_gen *g = &sh->gens[at];

	/* From here on this process is who may be found dead in there. */
	if (!mobi_cas32(&g->lock, &dead, s->me)) {
		return;
	}
	if (mobi_load(&sh->cur) == cur) {
		renew(s, at, MOBI_CUR_GEN(cur) + 1, policy);
		(void)mobi_cas64(&sh->cur, &cur,
				 MOBI_CUR(MOBI_CUR_GEN(cur) + 1, at));
	}
	mobi_store(&g->lock, 0u);
}

static void note_ejection(struct mob_store *s, uint32_t row, const char *reason)
{
	struct mobi_sched *sh = sched_of(s);

	(void)mobi_fetch_add(&sh->policy[row].strikes, 1u);
	(void)snprintf(sh->ejected_reason, sizeof(sh->ejected_reason), "%s",
		       reason);
	mobi_store(&sh->ejected_policy, row);
	mobi_store(&sh->ejected_ns, mobi_now_ns());
	(void)mobi_fetch_add(&sh->ejections, UINT64_C(1));
	(void)mobi_board_wake(s);
}

int mobi_domain_eject(struct mob_store *s, uint64_t cur, const char *reason)
{
	uint32_t row = sched_of(s)->gens[MOBI_CUR_INDEX(cur)].policy;
	int rc = mobi_domain_next(s, cur, 0);

	if (rc == 0) {
		note_ejection(s, row, reason);
	}
	return rc;
}

/* Died of itself. SIGKILL is no policy's doing; and of a worker whose daemon
 * died with it nobody knows. */
static bool has_crashed(const struct mob_store *s, uint32_t client)
{
	const struct mobi_sched *sh = s->sched;

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		const struct mobi_place_shared *p = &sh->place[i];
		uint32_t status;
		uint32_t sig;
		uint32_t code;

		if (mobi_load(&p->client) == client &&
		    mobi_place_status(s, p, client, &status)) {
			mobi_status_split((int)status, &sig, &code);
			return sig != 9;
		}
	}
	return false;
}

/* The holder of the current structure died: what is in it may be half done. */
static void replace(struct mob_store *s, uint32_t owner, uint64_t cur)
{
	struct mobi_sched *sh = sched_of(s);
	struct mobi_gen *g = &sh->gens[MOBI_CUR_INDEX(cur)];
	uint32_t row = g->policy;
	struct mobi_policy_seen seen;
	char why[200];
	int rc;

	if (mobi_policy_look(&g->stamp, &seen) && row &&
	    has_crashed(s, owner)) {
		(void)snprintf(why, sizeof(why),
			       "a worker died inside its op %s",
			       mobi_policy_op_name(seen.op));
		rc = mobi_domain_eject(s, cur, why);
		if (rc == MOB_E_BUSY) {
			next_in_place(s, owner, cur, 0);
			note_ejection(s, row, why);
		}
	} else {
		rc = mobi_domain_next(s, cur, row);
		if (rc == MOB_E_BUSY) {
			next_in_place(s, owner, cur, row);
		}
	}
	(void)mobi_fetch_add(&sh->bypasses, UINT64_C(1));
}

void mobi_domain_reap(struct mob_store *s, uint64_t dead)
{
	struct mobi_sched *sh = sched_of(s);

	for (uint32_t i = 0; i < MOBI_GENS; i++) {
		struct mobi_gen *g = &sh->gens[i];
		uint32_t owner = mobi_load(&g->lock);
		uint64_t cur = mobi_load(&sh->cur);

		if (!owner || owner >= MOBI_CLIENTS ||
		    !(dead & MOBI_BIT(owner))) {
			continue;
		}
		if (MOBI_CUR_INDEX(cur) == i) {
			replace(s, owner, cur);
		}
		/* No longer the current one: nobody relies on its inside. */
		(void)mobi_cas32(&g->lock, &owner, 0);
	}
}

/* ---- a holder that is stuck ---- */

#define STUCK_CPU_NS UINT64_C(20000000)
#define STUCK_LOOK_NS UINT64_C(5000000)

/* A process that is gone has 0: it is the janitor's. */
static bool has_burnt(const struct mobi_stuck *k, uint64_t cpu_ns)
{
	return cpu_ns >= k->cpu_ns && cpu_ns - k->cpu_ns >= STUCK_CPU_NS;
}

bool mobi_domain_look_stuck(struct mob_store *s, struct mobi_stuck *k)
{
	struct mobi_sched *sh = sched_of(s);
	uint64_t cur = mobi_load(&sh->cur);
	struct mobi_gen *g = &sh->gens[MOBI_CUR_INDEX(cur)];
	uint32_t owner = mobi_load(&g->lock);
	uint64_t now = mobi_now_ns();
	struct mobi_policy_seen seen = { 0 };
	struct mobi_proc *p;
	char why[200];
	int rc = 0;

	if (!owner || owner >= MOBI_CLIENTS || owner == s->me) {
		k->owner = 0;
		return true;
	}
	p = &s->clients[owner].proc;
	(void)mobi_policy_look(&g->stamp, &seen);
	if (k->owner != owner || k->busy != seen.busy || !k->seen) {
		k->owner = owner;
		k->busy = seen.busy;
		k->seen = true;
		k->since_ns = now;
		k->cpu_ns = mobi_cpu_ns_of((int)p->pid);
		return true;
	}
	if (now - k->since_ns < STUCK_LOOK_NS) {
		return true;
	}
	if (mobi_proc_stopped(p)) {
		rc = mobi_domain_next(s, cur, g->policy);
		if (rc == 0) {
			(void)mobi_fetch_add(&sh->bypasses, UINT64_C(1));
			(void)mobi_board_wake(s);
		}
	} else if (seen.busy && g->policy &&
		   has_burnt(k, mobi_cpu_ns_of((int)p->pid))) {
		(void)snprintf(why, sizeof(why),
			       "its op %s burnt more than 20 ms of CPU time in "
			       "process %u",
			       mobi_policy_op_name(seen.op), p->pid);
		rc = mobi_domain_eject(s, cur, why);
		(void)mobi_fetch_add(&sh->bypasses, UINT64_C(1));
		/* It would loop for ever: its task is run again. */
		(void)mobi_proc_signal(p, 9);
	} else {
		return true;
	}
	k->owner = 0;
	k->seen = false;
	return rc != MOB_E_BUSY;
}

/*
 * A holder of a structure that is not the current one. Its policy was swapped
 * out while it did not end, so nobody waits for that lock and sees it: it would
 * loop for ever, and its session lack a worker.
 */
static void look_left_behind(struct mob_store *s, uint32_t at,
			     struct mobi_stuck *k)
{
	struct mobi_sched *sh = sched_of(s);
	struct mobi_gen *g = &sh->gens[at];
	uint32_t owner = mobi_load(&g->lock);
	struct mobi_policy_seen seen = { 0 };
	struct mobi_proc *p;

	if (!owner || owner >= MOBI_CLIENTS || owner == s->me ||
	    !mobi_policy_look(&g->stamp, &seen) || !g->policy ||
	    MOBI_CUR_INDEX(mobi_load(&sh->cur)) == at) {
		k->owner = 0;
		return;
	}
	p = &s->clients[owner].proc;
	if (k->owner != owner || k->busy != seen.busy) {
		k->owner = owner;
		k->busy = seen.busy;
		k->cpu_ns = mobi_cpu_ns_of((int)p->pid);
	} else if (has_burnt(k, mobi_cpu_ns_of((int)p->pid))) {
		(void)mobi_fetch_add(&sh->policy[g->policy].strikes, 1u);
		(void)mobi_proc_signal(p, 9);
		k->owner = 0;
	}
}

/* ---- starvation ---- */

struct starved {
	uint64_t cur;
	uint64_t last_take_ns;
	uint64_t since_ns;
	uint64_t calls; /* of the policy, until then */
};

#define STARVED_NS (100 * UINT64_C(1000000))
#define STARVED_CALLS 3u

/* Nobody runs anything. Workers that look for work all the time do not count:
 * that is what they do while the policy hides it. */
static bool all_idle(const struct mobi_sched *sh)
{
	uint32_t up = 0;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		if (mobi_load(&sh->place[i].client)) {
			up++;
			if (mobi_load(&sh->place[i].ann)) {
				return false;
			}
		}
	}
	return up > 0;
}

/* Work that fits is queued, all are idle, and though the policy was asked again
 * and again nothing is taken. */
static void look_starved(struct mob_store *s, struct starved *k)
{
	struct mobi_sched *sh = sched_of(s);
	uint64_t cur = mobi_load(&sh->cur);
	struct mobi_gen *g = &sh->gens[MOBI_CUR_INDEX(cur)];
	uint64_t take = mobi_load(&g->last_take_ns);
	uint64_t calls = mobi_load(&g->stamp.busy) >> 32;
	uint64_t now = mobi_now_ns();

	if (!g->policy || !mobi_domain_queued(s) || mobi_load(&g->unfit) ||
	    mobi_load(&g->filling) || !all_idle(sh)) {
		k->since_ns = 0;
		return;
	}
	if (!k->since_ns || k->cur != cur || k->last_take_ns != take) {
		k->cur = cur;
		k->last_take_ns = take;
		k->since_ns = now;
		k->calls = calls;
		return;
	}
	if (now - k->since_ns > STARVED_NS &&
	    calls - k->calls > STARVED_CALLS) {
		(void)mobi_domain_eject(s, cur,
					"starvation: tasks are queued, all "
					"workers "
					"are idle, and its op pick names no "
					"queue "
					"that has one");
	}
}

void mobi_domain_watch(struct mob_store *s)
{
	static struct mobi_stuck stuck;
	static struct mobi_stuck left[MOBI_GENS];
	static struct starved starved;

	(void)mobi_domain_look_stuck(s, &stuck);
	for (uint32_t i = 0; i < MOBI_GENS; i++) {
		look_left_behind(s, i, &left[i]);
	}
	look_starved(s, &starved);
}
