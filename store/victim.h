/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which object goes next when room is needed, to be evicted or spilled: a policy
 * that a session is created with (configuration eviction), the same for all its
 * processes.
 *
 * A hand goes round the table of objects, one to evict and one to spill. A policy
 * decides of each object that the hand meets. All that it has is hints: bits of
 * `creator` in the slot and the hand, which nobody locks. A kill between any two
 * steps, or two processes at one hand, make it choose less well and nothing else:
 * in its last round a search takes whatever may go.
 */
#ifndef MOBI_VICTIM_H
#define MOBI_VICTIM_H

#include "segment.h"

struct mobi_victim_policy {
	const char *name;
	/* Does an object go that the hand meets and that may go? */
	bool (*wants)(const struct mobi_slot *o, uint32_t round);
	/* The hand passes over one that is not wanted. */
	void (*spares)(struct mobi_slot *o, uint32_t round);
	/* The hand begins the table again: what kind of round comes after this. */
	uint32_t (*turns)(const struct mobi_hand *h, uint32_t round);
	/* A view has brought the object back from its file. */
	void (*back)(struct mobi_slot *o);
};

/* It was viewed. The same for all policies, so that a view calls none. */
static inline void mobi_victim_used(struct mobi_slot *o)
{
	if (!(mobi_load_relaxed(&o->creator) & MOBI_CREATOR_USED)) {
		(void)mobi_fetch_or(&o->creator, MOBI_CREATOR_USED);
	}
}
/* It was viewed, and read back for that. */
void mobi_victim_back(struct mob_store *s, struct mobi_slot *o);

/* A search for objects that may go. */
struct mobi_search {
	struct mob_store *s;
	struct mobi_hand *hand;
	const struct mobi_victim_policy *policy;
	bool (*may_go)(const struct mobi_slot *o, uint64_t word);
	uint64_t steps; /* slots looked at */
	uint32_t end;
	bool any; /* has it met one that may go? */
};

/* which: MOBI_HAND_*. may_go: can it go at all, whatever the policy says? */
struct mobi_search mobi_victim_search(struct mob_store *s, uint32_t which,
				      bool (*may_go)(const struct mobi_slot *,
						     uint64_t));
/* The next one. False: all that may go have been offered. */
bool mobi_victim_next(struct mobi_search *q, uint32_t *out_slot);

/* A look ahead of the hand, which stays where it is, and takes no object's chance
 * away. */
struct mobi_ahead {
	const struct mobi_search *q;
	bool (*may_go)(const struct mobi_slot *o, uint64_t word);
	uint32_t slot;
	uint32_t round;
	uint32_t left; /* slots to look at */
};

/* Of so many slots, each once: those that the policy wants. */
struct mobi_ahead mobi_victim_ahead(const struct mobi_search *q,
				    bool (*may_go)(const struct mobi_slot *,
						   uint64_t),
				    uint32_t slots);
bool mobi_victim_ahead_next(struct mobi_ahead *a, uint32_t *out_slot);

/* Of a session that is being built: the configured one. Errors: INVAL, with those
 * that there are. */
int mobi_victim_choose(struct mob_store *s);
const char *mobi_victim_name(const struct mob_store *s);

#endif /* MOBI_VICTIM_H */
