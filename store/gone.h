/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that are gone and can be made again: lineage, as seen by the store.
 *
 * The record of a task that has ended may stay, KEPT, as long as something that it
 * made is there. Its edges on its arguments are then WEAK: they keep the rows of
 * these objects, not their values. So an object has three ways to go:
 *
 *   nothing but weak edges is left     its value goes, the row stays
 *   room is needed                     the same, if the task can surely run again
 *   its file cannot be read            the same
 *
 * Word flag GONE: the value is gone or going.
 *
 *   drop     CAS LOCK(me); CAS GONE in, while no bit (or no view) is set, which
 *            DIRTY tells; free the value; CAS SEALED -> PENDING, or LOST if its
 *            record is not there; is somebody waiting: want.
 *   want     of one that is PENDING with GONE: CAS WANT into the word of its record
 *            in KEPT; who owns that, or takes it, has the task run again.
 *   janitor  takes LOCK(dead) with SEALED and GONE over: goes on with drop.
 *
 * Who waits pushes an edge and then reads the word; who drops writes the word and
 * then looks for edges: so one of both has the task run. tests/models/gone.pml.
 *
 * The idea is that of Ray (Moritz and others, OSDI 2018, section 4.2), where a task
 * is kept as long as its outputs are referred to and is run again for what was lost,
 * after those that made its arguments.
 */
#ifndef MOBI_GONE_H
#define MOBI_GONE_H

#include "segment.h"

static inline struct mobi_weak *mobi_weak_of(struct mobi_slot *o)
{
	return (void *)o->value;
}

/* Has it a value that could go without its row? Of one that is resolved, or GONE. */
static inline bool mobi_gone_can(const struct mobi_slot *o, uint64_t w)
{
	uint64_t loc = mobi_load(&o->loc);

	return (w & MOBI_F_GONE) ||
	       (MOBI_STATE(w) == MOBI_S_SEALED && loc &&
		loc != MOBI_LOC_INLINE && loc != MOBI_LOC_RANGE &&
		mobi_load(&o->type) != MOBI_TYPE_INTERNAL);
}

/* By the hints: nothing but weak edges. */
static inline bool mobi_gone_likely(const struct mobi_slot *o)
{
	const struct mobi_weak *weak = (const void *)o->value;
	uint64_t w = mobi_load(&o->word);

	return mobi_gone_can(o, w) && !(w & MOBI_F_GONE) &&
	       !(mobi_load(&o->hold) | mobi_load(&o->view)) &&
	       (uint64_t)mobi_load(&weak->n) + mobi_load(&o->n_dead) >=
		       mobi_load(&o->n_edges);
}

/* Is its record one of a task that will make it, or can? */
bool mobi_will_produce(const struct mob_store *s, uint64_t producer);

/* Under LOCK(me), with no bits and no DIRTY in w: is no edge but weak ones left? */
bool mobi_gone_unneeded(struct mob_store *s, uint32_t slot, uint64_t w);
/* Under LOCK(me): CAS w -> with GONE, and all that follows. False: the word was
 * another. */
bool mobi_gone_drop(struct mob_store *s, uint32_t slot, uint64_t w);
/* Under LOCK(me), with SEALED and GONE: all that follows. */
void mobi_gone_finish(struct mob_store *s, uint32_t slot);
/* Drops the value of an object that nobody views, waits for or looks into by a
 * range, of whose task the caller has the record. cheaply: also not if a task that
 * has not begun needs it. True: it is gone. */
bool mobi_gone_evict(struct mob_store *s, uint64_t id, bool cheaply);
/* Is somebody waiting for it? */
bool mobi_gone_wanted(const struct mob_store *s, const struct mobi_slot *o);
/* The object is needed: if it is GONE, its task is to run again. */
void mobi_gone_want(struct mob_store *s, uint64_t id);
/* Under LOCK(me): has it an edge of a range, whose readers look into it? */
bool mobi_has_range(const struct mob_store *s, const struct mobi_slot *o);
/* How often there was no room to make it again, which is tried again later; 0 of what
 * is not GONE. */
uint32_t mobi_gone_tries(const struct mob_store *s, uint64_t id);
/* Records that there was none: STORE_FULL. */
int mobi_gone_full(uint64_t id);
/* An object that `producer` made is no more. */
void mobi_gone_freed(struct mob_store *s, uint64_t producer);
/* The file of a spilled object cannot be read, under LOCK(me). 1: it is GONE, for its
 * task to make it again; 0: that may be so soon, as the task is run for something
 * else; -1: nobody can make it. */
int mobi_gone_unreadable(struct mob_store *s, uint32_t slot);
/* What was GONE is about to be LOST, for lack of room even for an error. */
void mobi_gone_no_room(struct mob_store *s, uint64_t id);
/* Of a value: CRC32C of at most 8 KiB that are spread over it; not 0. */
uint32_t mobi_gone_sum(const void *at, uint64_t size);

/* Drops values for bytes bytes together, or as many as there are; how many. */
int mobi_gone_some(struct mob_store *s, uint64_t bytes, bool cheaply);

#endif /* MOBI_GONE_H */
