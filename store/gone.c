/* SPDX-License-Identifier: Apache-2.0 */
#include "gone.h"

#include "board.h"
#include "crc32c.h"
#include "edge.h"
#include "err.h"
#include "evict.h"
#include "fault.h"
#include "name.h"
#include "pool.h"
#include "slot.h"
#include "victim.h"

#define SUM_PARTS 16u
#define SUM_PART 512u
/* What is smaller is not worth a task. */
#define EVICT_MIN 4096u
/* So many rows are looked at for one that goes cheaply: it is looked for each time
 * that something is to be spilled. */
#define CHEAP_LOOKS 2048u

static uint32_t rec_of(uint64_t producer)
{
	return ((uint32_t)producer - 1) % MOBI_RECS;
}

bool mobi_will_produce(const struct mob_store *s, uint64_t producer)
{
	uint64_t w;

	if (!producer) {
		return false;
	}
	w = mobi_load(&s->recs[rec_of(producer)].word);
	return MOBI_GEN(w) == MOBI_GEN(producer) &&
	       MOBI_STATE(w) != MOBI_R_FREE && MOBI_STATE(w) != MOBI_R_RETIRED;
}

uint32_t mobi_gone_sum(const void *at, uint64_t size)
{
	const unsigned char *p = at;
	uint32_t sum = 0;

	if (size <= (uint64_t)SUM_PARTS * SUM_PART) {
		sum = mobi_crc32c(0, p, (size_t)size);
	} else {
		for (uint64_t i = 0; i < SUM_PARTS; i++) {
			/* The first and the last bytes are among them. */
			uint64_t off = (size - SUM_PART) / (SUM_PARTS - 1) * i;

			off = i + 1 == SUM_PARTS ? size - SUM_PART : off;
			sum = mobi_crc32c(sum, p + off, SUM_PART);
		}
	}
	return sum ? sum : 1;
}

/* ---- edges ---- */

/* Calls for each edge until one says so. */
static bool any_edge(const struct mob_store *s, const struct mobi_slot *o,
		     bool (*is)(const struct mob_store *s, uint32_t n,
				uint64_t w))
{
	for (uint32_t n = mobi_load(&o->head); n;) {
		const struct mobi_edge *e = mobi_edge_at(s, n);

		if (is(s, n, mobi_load(&e->word))) {
			return true;
		}
		n = mobi_load(&e->next);
	}
	return false;
}

static bool is_strong(const struct mob_store *s, uint32_t n, uint64_t w)
{
	(void)s;
	(void)n;
	return (MOBI_STATE(w) == MOBI_E_LIVE ||
		MOBI_STATE(w) == MOBI_E_FIRED) &&
	       !(w & MOBI_EF_WEAK);
}

/* An edge of a record is none of one who waits: the task asks for what is GONE when
 * it looks whether it can run, or when it runs. */
static bool is_waiting(const struct mob_store *s, uint32_t n, uint64_t w)
{
	uint32_t kind;

	if (n < MOBI_EDGE_REC_END || MOBI_STATE(w) != MOBI_E_LIVE ||
	    (w & MOBI_EF_QUIET)) {
		return false;
	}
	kind = MOBI_CKIND(mobi_load(
		&s->chunks[(n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK].word));
	return kind == MOBI_CK_SEAT || kind == MOBI_CK_CQ;
}

/* Of a task that has not begun. */
static bool is_argument(const struct mob_store *s, uint32_t n, uint64_t w)
{
	(void)s;
	(void)n;
	return MOBI_STATE(w) == MOBI_E_LIVE &&
	       !(w & (MOBI_EF_WEAK | MOBI_EF_QUIET));
}

/* Of a range, whose readers look into it. */
static bool is_range(const struct mob_store *s, uint32_t n, uint64_t w)
{
	const struct mobi_chunk *c;
	uint32_t of;

	if (n < MOBI_EDGE_REC_END || MOBI_STATE(w) != MOBI_E_LIVE) {
		return false;
	}
	c = &s->chunks[(n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK];
	of = (uint32_t)mobi_load(&c->of) % MOBI_SLOTS;
	return MOBI_CKIND(mobi_load(&c->word)) == MOBI_CK_SLOT &&
	       mobi_load(&s->slots[of].loc) == MOBI_LOC_RANGE;
}

bool mobi_gone_wanted(const struct mob_store *s, const struct mobi_slot *o)
{
	return any_edge(s, o, is_waiting);
}

uint32_t mobi_gone_tries(const struct mob_store *s, uint64_t id)
{
	const struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);
	uint64_t producer = mobi_load(&o->producer);
	uint32_t rec;

	if (!s->hooks || MOBI_GEN(w) != MOBI_GEN(id) || !(w & MOBI_F_GONE) ||
	    !producer) {
		return 0;
	}
	rec = rec_of(producer);
	return MOBI_GEN(mobi_load(&s->recs[rec].word)) == MOBI_GEN(producer) ?
		       s->hooks->no_room(s, rec) :
		       0;
}

int mobi_gone_full(uint64_t id)
{
	return mobi_err(MOB_E_STORE_FULL,
			"object %u went, and there is no room to make it "
			"again, which is tried again; release views, or make "
			"the store larger",
			(uint32_t)id);
}

bool mobi_has_range(const struct mob_store *s, const struct mobi_slot *o)
{
	return any_edge(s, o, is_range);
}

bool mobi_gone_unneeded(struct mob_store *s, uint32_t slot, uint64_t w)
{
	struct mobi_slot *o = &s->slots[slot];

	return !(w & MOBI_F_GONE) && mobi_gone_can(o, w) &&
	       mobi_load(&mobi_weak_of(o)->n) && !any_edge(s, o, is_strong);
}

/* ---- dropping ---- */

/* SEALED with GONE -> PENDING, or LOST if nobody can make it. */
static void leave(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t producer = mobi_load(&o->producer);
	uint64_t w = mobi_load(&o->word);
	uint64_t set;

	do {
		bool can = mobi_will_produce(s, producer);

		if (!can) {
			mobi_store_relaxed(&o->type,
					   producer ? MOBI_TYPE_WHY_LOST :
						      MOBI_TYPE_WHY_PUT);
			mobi_store_relaxed(&o->size, UINT64_C(0));
		}
		set = MOBI_WORD(MOBI_GEN(w), s->me,
				MOBI_F_LOCK | (w & MOBI_F_DIRTY) |
					(can ? MOBI_F_GONE : MOBI_F_NOTIFY),
				can ? MOBI_S_PENDING : MOBI_S_LOST);
	} while (!mobi_cas64(&o->word, &w, set));
	mobi_catalogue_touch(s->cat_shared, slot);
}

void mobi_gone_finish(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t id = (uint64_t)MOBI_GEN(mobi_load(&o->word)) << 32 | slot;
	uint32_t nested = mobi_load(&o->nested);

	if (nested) {
		mobi_chunks_retire(s, nested, MOBI_CK_SLOT, id);
		mobi_store(&o->nested, 0u);
	}
	mobi_slot_drop_block(s, id);
	MOBI_FAULT("gone.dropped");
	leave(s, slot);
	MOBI_FAULT("gone.left");
	/* Its record may have gone since, or somebody have come to wait. */
	if (!mobi_will_produce(s, mobi_load(&o->producer))) {
		(void)mobi_slot_resolve(s, id, MOBI_S_LOST);
	} else if (mobi_gone_wanted(s, o)) {
		mobi_gone_want(s, id);
	}
}

bool mobi_gone_drop(struct mob_store *s, uint32_t slot, uint64_t w)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t loc = mobi_load(&o->loc);

	/* Refs in it are others each time. */
	mobi_store_relaxed(&mobi_weak_of(o)->sum,
			   loc == MOBI_LOC_SPILLED || mobi_load(&o->nested) ||
					   !mobi_load(&o->producer) ?
				   0u :
				   mobi_gone_sum(mobi_slot_bytes(s, slot),
						 mobi_load(&o->size)));
	if (!mobi_cas64(&o->word, &w, w | MOBI_F_GONE)) {
		return false;
	}
	MOBI_FAULT("gone.marked");
	mobi_gone_finish(s, slot);
	return true;
}

bool mobi_gone_evict(struct mob_store *s, uint64_t id, bool cheaply)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);
	bool gone = false;

	if (MOBI_GEN(w) != MOBI_GEN(id) || !mobi_gone_can(o, w) ||
	    (w & (MOBI_F_LOCK | MOBI_F_NOTIFY | MOBI_F_SPILL | MOBI_F_GONE)) ||
	    !mobi_cas64(&o->word, &w,
			MOBI_WORD(MOBI_GEN(w), s->me, MOBI_F_LOCK,
				  MOBI_KEEP(w)))) {
		return false;
	}
	w = mobi_load(&o->word);
	while (!gone && !mobi_load(&o->view) && !mobi_has_range(s, o) &&
	       !any_edge(s, o, cheaply ? is_argument : is_waiting)) {
		if (w & MOBI_F_DIRTY) {
			(void)mobi_cas64(&o->word, &w, w & ~MOBI_F_DIRTY);
			w = mobi_load(&o->word);
			continue; /* the bits once more */
		}
		gone = mobi_gone_drop(s, (uint32_t)id, w);
		w = mobi_load(&o->word);
	}
	mobi_slot_locked_exit(s, (uint32_t)id);
	return gone;
}

int mobi_gone_unreadable(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t producer = mobi_load(&o->producer);
	uint64_t w = mobi_load(&o->word);

	if (!s->hooks || !mobi_will_produce(s, producer) ||
	    mobi_load(&o->nested) || mobi_has_range(s, o)) {
		return -1;
	}
	/* Of a task that runs, only it changes the results. */
	if (!s->hooks->take(s, producer)) {
		return 0;
	}
	mobi_store_relaxed(&mobi_weak_of(o)->sum, 0u);
	while (!mobi_cas64(&o->word, &w, w | MOBI_F_GONE)) {
	}
	mobi_gone_finish(s, slot);
	s->hooks->give(s, producer);
	return 1;
}

void mobi_gone_no_room(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];

	if (mobi_load(&o->word) & MOBI_F_GONE) {
		mobi_store_relaxed(&o->type, MOBI_TYPE_WHY_ROOM);
		mobi_store_relaxed(&o->size, UINT64_C(0));
	}
}

/* ---- the record ---- */

/* Sets a flag of a record that is KEPT, and has somebody look. */
static void tell_record(struct mob_store *s, uint64_t producer, uint64_t flag)
{
	uint32_t rec = rec_of(producer);
	uint64_t w = mobi_load(&s->recs[rec].word);

	do {
		if (MOBI_GEN(w) != MOBI_GEN(producer) ||
		    MOBI_STATE(w) != MOBI_R_KEPT) {
			return;
		}
	} while (!mobi_cas64(&s->recs[rec].word, &w, w | flag | MOBI_KF_LOOK));
	MOBI_FAULT("gone.told");
	if (s->hooks) {
		s->hooks->kept(s, rec);
	} else {
		mobi_board_set(s, rec);
	}
}

void mobi_gone_want(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	uint64_t w = mobi_load(&o->word);

	if (MOBI_GEN(w) == MOBI_GEN(id) && (w & MOBI_F_GONE) &&
	    MOBI_STATE(w) == MOBI_S_PENDING) {
		tell_record(s, mobi_load(&o->producer), MOBI_KF_WANT);
	}
}

void mobi_gone_freed(struct mob_store *s, uint64_t producer)
{
	tell_record(s, producer, 0);
}

/* ---- for room ---- */

static bool is_candidate(const struct mobi_slot *o, uint64_t w)
{
	return MOBI_STATE(w) == MOBI_S_SEALED &&
	       !(w &
		 (MOBI_F_LOCK | MOBI_F_NOTIFY | MOBI_F_SPILL | MOBI_F_GONE)) &&
	       mobi_load(&o->producer) && mobi_load(&o->size) >= EVICT_MIN &&
	       mobi_gone_can(o, w) && !mobi_load(&o->view) &&
	       !(mobi_load(&o->hold) & MOBI_KEPT) && !mobi_load(&o->nested);
}

static uint64_t evict(struct mob_store *s, uint32_t slot, bool cheaply)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t id = (uint64_t)MOBI_GEN(mobi_load(&o->word)) << 32 | slot;
	uint64_t room = mobi_arena_block_bytes(s->arena, mobi_load(&o->loc));

	return s->hooks->evict(s, id, cheaply) ? room : 0;
}

/* A hand of its own goes round, a part of the way each time, and leaves the marks of
 * who was viewed to those that decide what is spilled. */
static int some_cheaply(struct mob_store *s, uint64_t bytes)
{
	struct mobi_hand *hand = &s->hdr->hand[MOBI_HAND_CHEAP];
	uint32_t end = mobi_pool_used(s, MOBI_POOL_SLOT);
	uint64_t freed = 0;
	int n = 0;

	for (uint32_t i = 0; i < CHEAP_LOOKS && i < end && freed < bytes; i++) {
		uint32_t slot = mobi_fetch_add(&hand->met, 1u) % end;
		const struct mobi_slot *o = &s->slots[slot];
		uint64_t room;

		if (!is_candidate(o, mobi_load(&o->word)) ||
		    (mobi_load(&o->creator) & MOBI_CREATOR_USED)) {
			continue;
		}
		room = evict(s, slot, true);
		freed += room;
		n += room != 0;
	}
	return n;
}

int mobi_gone_some(struct mob_store *s, uint64_t bytes, bool cheaply)
{
	struct mobi_search q = mobi_victim_search(s, MOBI_HAND_GONE,
						  is_candidate);
	uint64_t freed = 0;
	uint32_t slot;
	int n = 0;

	if (!s->hooks || !mobi_load(&s->hdr->has_kept)) {
		return 0;
	}
	if (cheaply) {
		return some_cheaply(s, bytes);
	}
	while (freed < bytes && mobi_victim_next(&q, &slot)) {
		uint64_t room = evict(s, slot, false);

		freed += room;
		n += room != 0;
	}
	return n;
}
