/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock  CLOCK (Corbato 1968), which comes near to LRU: what was viewed since the
 *        hand came by last is passed over once.
 *
 * sieve  SIEVE (Zhang and others, NSDI 2024). There a hand goes from the oldest
 *        object to the newest, and then begins again; what it passes over stays in
 *        its place, new ones come behind. So what was viewed once is not looked at
 *        again while it sorts out new ones, and a scan pushes out the scan.
 *        Here is no list in the order of age, which would need a lock or grow with
 *        each put: a bit says that the hand has passed over the object (SETTLED),
 *        and rounds of the hand are of two kinds. In one it looks at those that it
 *        has not passed over yet, and passes over, once and for all, those that
 *        were viewed. Such rounds follow each other while they find enough. In the
 *        other it looks at the settled ones: those viewed since are passed over,
 *        the others go.
 */
#include "victim.h"

#include "conf.h"
#include "err.h"
#include "pool.h"

#include <stdio.h>
#include <string.h>

/* How often a search comes by each object: twice as the policy wants it, which
 * takes back all chances; then it takes what there is. */
#define ROUNDS 3u

/* Kinds of rounds, of sieve. */
enum { NEW = 0, SETTLED = 1 };
/* One new object of so many is enough for another round of them. */
#define ENOUGH 16u

/* ---- clock ---- */

static bool clock_wants(const struct mobi_slot *o, uint32_t round)
{
	(void)round;
	return !(mobi_load(&o->creator) & MOBI_CREATOR_USED);
}

static void clock_spares(struct mobi_slot *o, uint32_t round)
{
	(void)round;
	(void)mobi_fetch_and(&o->creator, ~MOBI_CREATOR_USED);
}

static uint32_t clock_turns(const struct mobi_hand *h, uint32_t round)
{
	(void)h;
	return round;
}

/* ---- sieve ---- */

static bool is_of_round(const struct mobi_slot *o, uint32_t round)
{
	bool settled = mobi_load(&o->creator) & MOBI_CREATOR_SETTLED;

	return settled == (round == SETTLED);
}

static bool sieve_wants(const struct mobi_slot *o, uint32_t round)
{
	return is_of_round(o, round) &&
	       !(mobi_load(&o->creator) & MOBI_CREATOR_USED);
}

static void sieve_spares(struct mobi_slot *o, uint32_t round)
{
	if (is_of_round(o, round)) {
		(void)mobi_fetch_or(&o->creator, MOBI_CREATOR_SETTLED);
		(void)mobi_fetch_and(&o->creator, ~MOBI_CREATOR_USED);
	}
}

static uint32_t sieve_turns(const struct mobi_hand *h, uint32_t round)
{
	return round == NEW && (uint64_t)mobi_load(&h->taken) * ENOUGH <=
				       mobi_load(&h->met) ?
		       SETTLED :
		       NEW;
}

/* As one that is new. */
static void sieve_back(struct mobi_slot *o)
{
	(void)mobi_fetch_and(&o->creator,
			     ~(MOBI_CREATOR_SETTLED | MOBI_CREATOR_USED));
}

/* ---- the table of them ---- */

/* The header of a session has the row. */
static const struct mobi_victim_policy policies[] = {
	{ "sieve", sieve_wants, sieve_spares, sieve_turns, sieve_back },
	{ "clock", clock_wants, clock_spares, clock_turns, mobi_victim_used },
};
#define POLICIES (sizeof(policies) / sizeof(*policies))

static const struct mobi_victim_policy *policy_of(const struct mob_store *s)
{
	return &policies[s->hdr->eviction % POLICIES];
}

const char *mobi_victim_name(const struct mob_store *s)
{
	return policy_of(s)->name;
}

int mobi_victim_choose(struct mob_store *s)
{
	const char *name;
	int rc = mobi_conf_str(MOBI_CONF_ID_eviction, &name);

	for (uint32_t i = 0; rc >= 0 && i < POLICIES; i++) {
		if (strcmp(name, policies[i].name) == 0) {
			s->hdr->eviction = i;
			return 0;
		}
	}
	return rc < 0 ? rc :
			mobi_err(MOB_E_INVAL,
				 "MOBULA_EVICTION is '%.80s'; it must be %s or "
				 "%s",
				 name, policies[0].name, policies[1].name);
}

void mobi_victim_back(struct mob_store *s, struct mobi_slot *o)
{
	policy_of(s)->back(o);
}

/* ---- searching ---- */

struct mobi_search mobi_victim_search(struct mob_store *s, uint32_t which,
				      bool (*may_go)(const struct mobi_slot *,
						     uint64_t))
{
	return (struct mobi_search){
		.s = s,
		.hand = &s->hdr->hand[which],
		.policy = policy_of(s),
		.may_go = may_go,
		.end = mobi_pool_used(s, MOBI_POOL_SLOT),
	};
}

/* The slot that the hand comes to; *out_round: on a round of which kind. */
static uint32_t step(struct mobi_search *q, uint32_t *out_round)
{
	uint64_t w = mobi_load(&q->hand->at);
	bool again;
	uint32_t slot;

	do {
		slot = (uint32_t)w;
		*out_round = (uint32_t)(w >> 32);
		again = slot >= q->end;
		if (again) {
			slot = 0;
			*out_round = q->policy->turns(q->hand, *out_round);
		}
	} while (!mobi_cas64(&q->hand->at, &w,
			     (uint64_t)*out_round << 32 | (slot + 1)));
	if (again) {
		mobi_store(&q->hand->met, 0u);
		mobi_store(&q->hand->taken, 0u);
	}
	return slot;
}

/* Does the policy want it, and is it counted in this round? */
static bool meet(struct mobi_hand *h, const struct mobi_victim_policy *policy,
		 const struct mobi_slot *o, uint32_t round)
{
	bool wanted = policy->wants(o, round);

	(void)mobi_fetch_add(&h->met, 1u);
	if (wanted) {
		(void)mobi_fetch_add(&h->taken, 1u);
	}
	return wanted;
}

bool mobi_victim_next(struct mobi_search *q, uint32_t *out_slot)
{
	uint64_t last = (ROUNDS - 1) * (uint64_t)q->end;

	while (q->steps < last + q->end && (q->any || q->steps < q->end)) {
		bool as_it_is = q->steps++ >= last;
		uint32_t round;
		uint32_t slot = step(q, &round);
		struct mobi_slot *o = &q->s->slots[slot];

		if (!q->may_go(o, mobi_load(&o->word))) {
			continue;
		}
		q->any = true;
		if (meet(q->hand, q->policy, o, round)) {
			*out_slot = slot;
			return true;
		}
		q->policy->spares(o, round);
		if (as_it_is) {
			*out_slot = slot;
			return true;
		}
	}
	return false;
}

struct mobi_ahead mobi_victim_ahead(const struct mobi_search *q,
				    bool (*may_go)(const struct mobi_slot *,
						   uint64_t),
				    uint32_t slots)
{
	uint64_t w = mobi_load(&q->hand->at);

	return (struct mobi_ahead){
		.q = q,
		.may_go = may_go,
		.slot = (uint32_t)w,
		.round = (uint32_t)(w >> 32),
		.left = slots < q->end ? slots : q->end,
	};
}

bool mobi_victim_ahead_next(struct mobi_ahead *a, uint32_t *out_slot)
{
	const struct mobi_search *q = a->q;

	while (a->left > 0) {
		const struct mobi_slot *o;

		a->left--;
		if (a->slot >= q->end) {
			a->slot = 0;
			a->round = q->policy->turns(q->hand, a->round);
		}
		o = &q->s->slots[a->slot++];
		if (a->may_go(o, mobi_load(&o->word)) &&
		    q->policy->wants(o, a->round)) {
			(void)meet(q->hand, q->policy, o, a->round);
			*out_slot = a->slot - 1;
			return true;
		}
	}
	return false;
}
