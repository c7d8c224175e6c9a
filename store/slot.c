/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one slot.
 *
 * Every change of the word is a CAS. LOCK, its owner and DIRTY stand in the
 * word; nobody waits for a LOCK: who finds it taken sets DIRTY and leaves, and
 * the owner looks again before it lets go. NOTIFY is a duty of the LOCK owner.
 *
 * The local word of a slot holds the counts behind this process's two bits:
 * {views 32, holds 31, BUSY 1}. The shared bit changes only under BUSY, so
 * that threads do not undo each other; while a count is above 0 the object
 * cannot go, and the count alone changes.
 */
#include "slot.h"

#include "count.h"
#include "edge.h"
#include "err.h"
#include "evict.h"
#include "gone.h"
#include "guard.h"
#include "pool.h"
#include "room.h"
#include "spill.h"
#include "touch.h"

#include <string.h>

#define L_BUSY UINT64_C(1)
#define L_HOLD UINT64_C(2)
#define L_VIEW (UINT64_C(1) << 32)
#define L_HOLDS(v) ((uint32_t)(v) >> 1)
#define L_VIEWS(v) ((uint32_t)((v) >> 32))

int mobi_slot_of(const struct mob_store *s, struct mob_ref ref,
		 uint64_t *out_id)
{
	if ((uint32_t)(ref.hi >> 32) != s->epoch || (uint32_t)ref.hi ||
	    (uint32_t)ref.lo >= mobi_pool_used(s, MOBI_POOL_SLOT)) {
		if (ref.hi >> 32 == s->epoch && (ref.hi & MOBI_REF_CAPTURE)) {
			return mobi_err(MOB_E_BAD_REF, "the ref is of a "
						       "capture: use it in "
						       "submits until "
						       "mob_capture_end, and "
						       "in "
						       "mob_graph_get after");
		}
		if (mob_ref_is_none(ref)) {
			return mobi_err(MOB_E_BAD_REF,
					"the ref is MOB_REF_NONE, which names "
					"nothing: it was never set, or the "
					"call that gave it failed and there "
					"was no room even for its error");
		}
		return mobi_err(MOB_E_BAD_REF,
				"ref %016llx:%016llx is not one of session %s",
				(unsigned long long)ref.hi,
				(unsigned long long)ref.lo, s->name);
	}
	*out_id = ref.lo;
	return 0;
}

static int gone(uint64_t id)
{
	return mobi_err(MOB_E_BAD_REF,
			"object %u of generation %u is gone: its last "
			"reference was released",
			(uint32_t)id, MOBI_GEN(id));
}

/* Takes BUSY of the local word; returns what it was, without BUSY. */
static uint64_t local_lock(mobi_a64 *l)
{
	uint64_t v = mobi_load(l);

	for (;;) {
		v &= ~L_BUSY;
		if (mobi_cas64(l, &v, v | L_BUSY)) {
			return v;
		}
		mobi_relax();
	}
}

static uint64_t born_word(const struct mob_store *s, uint32_t gen,
			  uint64_t flags)
{
	return MOBI_WORD(gen, s->me,
			 MOBI_F_LOCK |
				 (flags ? MOBI_MADE_BY(s->me) : UINT64_C(0)),
			 MOBI_S_PENDING);
}

/* The word is born; the rest follows. */
static void born(struct mob_store *s, uint32_t n)
{
	struct mobi_slot *o = &s->slots[n];

	(void)local_lock(&s->local[n]);
	(void)mobi_fetch_or(&o->hold, MOBI_BIT(s->me));
	mobi_store_release(&s->local[n], L_HOLD);
	mobi_store_relaxed(&o->creator, s->me);
	mobi_store_relaxed(&o->born_ms, 0u); /* with its value */
	mobi_store_relaxed(&o->header, 0u);
}

int mobi_slot_new(struct mob_store *s, uint64_t flags, uint64_t *out_id)
{
	for (;;) {
		struct mobi_slot *o;
		uint64_t w;
		uint32_t gen;
		uint32_t n;
		int rc = mobi_pool_take(s, MOBI_POOL_SLOT, &n);

		if (rc < 0) {
			return rc;
		}
		o = &s->slots[n];
		w = mobi_load(&o->word);
		gen = w ? MOBI_GEN(w) : s->gen_base;
		if (MOBI_STATE(w) != MOBI_S_FREE ||
		    !mobi_cas64(&o->word, &w, born_word(s, gen, flags))) {
			continue; /* the hint was wrong */
		}
		born(s, n);
		*out_id = (uint64_t)gen << 32 | n;
		return 0;
	}
}

void mobi_slot_revive(struct mob_store *s, uint64_t id)
{
	mobi_store(&s->slots[(uint32_t)id].word,
		   born_word(s, MOBI_GEN(id), MOBI_F_OWNED));
	born(s, (uint32_t)id);
}

void mobi_slot_unlock(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);

	if ((w & MOBI_F_DIRTY) || mobi_resolved(w) ||
	    !mobi_cas64(&o->word, &w,
			MOBI_WORD(MOBI_GEN(id), 0, 0, MOBI_KEEP(w)))) {
		mobi_slot_locked_exit(s, (uint32_t)id);
	}
}

/* Sets one of my bits and validates: the generation lives, and a LOCK owner
 * will look again. False: it is gone, the bit is off. */
static bool set_bit(struct mob_store *s, uint64_t id, mobi_a64 *bits)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);

	if (MOBI_GEN(w) != MOBI_GEN(id) || !mobi_living(w)) {
		return false;
	}
	(void)mobi_fetch_or(bits, MOBI_BIT(s->me));
	w = mobi_load(&o->word);
	for (;;) {
		if (MOBI_GEN(w) != MOBI_GEN(id) || !mobi_living(w)) {
			(void)mobi_fetch_and(bits, ~MOBI_BIT(s->me));
			/* My passing bit may have kept the one that is there
			 * now: a load from before the clear would not do. */
			w = mobi_load(&o->word);
			mobi_slot_look(s, (uint32_t)id, MOBI_GEN(w));
			return false;
		}
		if (!(w & MOBI_F_LOCK) || (w & MOBI_F_DIRTY) ||
		    mobi_cas64(&o->word, &w, w | MOBI_F_DIRTY)) {
			return true;
		}
	}
}

static int count_down(struct mob_store *s, uint64_t id, uint64_t unit,
		      mobi_a64 *bits);

/*
 * One more was counted without BUSY. The count keeps the generation that is
 * there now, but another thread may have released mine, and a new object with
 * the same count be born, just before: then it is given back.
 */
static int counted(struct mob_store *s, uint64_t id, uint64_t unit,
		   mobi_a64 *bits)
{
	uint64_t w = mobi_load(&s->slots[(uint32_t)id].word);

	if (MOBI_GEN(w) == MOBI_GEN(id)) {
		return 0;
	}
	(void)count_down(s, (uint64_t)MOBI_GEN(w) << 32 | (uint32_t)id, unit,
			 bits);
	return gone(id);
}

static int too_many(uint64_t id)
{
	return mobi_err(MOB_E_LIMIT,
			"object %u has all the holds (2^31 - 1) or views (2^32 "
			"- 1) of this process that can be counted; release "
			"some",
			(uint32_t)id);
}

/* Adds one to the count of `unit`; the first sets the bit. */
static int count_up(struct mob_store *s, uint64_t id, uint64_t unit,
		    mobi_a64 *bits)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	mobi_a64 *l = &s->local[(uint32_t)id];
	uint64_t v = mobi_load(l);
	uint64_t mask = unit == L_HOLD ? UINT64_C(0xfffffffe) :
					 ~UINT64_C(0xffffffff);

	while (!(v & L_BUSY) && (v & mask)) {
		if (MOBI_GEN(mobi_load(&o->word)) != MOBI_GEN(id)) {
			return gone(id);
		}
		if ((v & mask) == mask) {
			return too_many(id);
		}
		if (mobi_cas64(l, &v, v + unit)) {
			return counted(s, id, unit, bits);
		}
	}
	v = local_lock(l);
	if (v & mask) {
		bool same = MOBI_GEN(mobi_load(&o->word)) == MOBI_GEN(id);
		bool full = (v & mask) == mask;

		mobi_store(l, same && !full ? v + unit : v);
		return !same ? gone(id) : full ? too_many(id) : 0;
	}
	if (!set_bit(s, id, bits)) {
		mobi_store(l, v);
		return gone(id);
	}
	mobi_store(l, v + unit);
	return 0;
}

static int count_down(struct mob_store *s, uint64_t id, uint64_t unit,
		      mobi_a64 *bits)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	mobi_a64 *l = &s->local[(uint32_t)id];
	uint64_t mask = unit == L_HOLD ? UINT64_C(0xfffffffe) :
					 ~UINT64_C(0xffffffff);
	uint64_t v = mobi_load(l);
	uint64_t left;

	while (!(v & L_BUSY) && (v & mask) > unit) {
		if (MOBI_GEN(mobi_load(&o->word)) != MOBI_GEN(id)) {
			return gone(id);
		}
		if (mobi_cas64(l, &v, v - unit)) {
			return 0;
		}
	}
	v = local_lock(l);
	if (!(v & mask) || MOBI_GEN(mobi_load(&o->word)) != MOBI_GEN(id)) {
		mobi_store(l, v);
		return gone(id);
	}
	if ((v & mask) > unit) {
		mobi_store(l, v - unit);
		return 0;
	}
	left = mobi_fetch_and(bits, ~MOBI_BIT(s->me)) & ~MOBI_BIT(s->me);
	mobi_store(l, v - unit);
	if (!left &&
	    (2 * (uint64_t)mobi_load(&o->n_dead) >= mobi_load(&o->n_edges) ||
	     mobi_gone_likely(o))) {
		mobi_slot_look(s, (uint32_t)id, MOBI_GEN(id));
	}
	return 0;
}

int mobi_slot_hold(struct mob_store *s, uint64_t id)
{
	return count_up(s, id, L_HOLD, &s->slots[(uint32_t)id].hold);
}

int mobi_slot_release(struct mob_store *s, uint64_t id)
{
	return count_down(s, id, L_HOLD, &s->slots[(uint32_t)id].hold);
}

int mobi_slot_view(struct mob_store *s, uint64_t id)
{
	return count_up(s, id, L_VIEW, &s->slots[(uint32_t)id].view);
}

void mobi_slot_unview(struct mob_store *s, uint64_t id)
{
	int rc = count_down(s, id, L_VIEW, &s->slots[(uint32_t)id].view);

	MOB_ASSERT(rc == 0);
}

uint32_t mobi_slot_holds(struct mob_store *s, uint32_t slot)
{
	return L_HOLDS(mobi_load(&s->local[slot]));
}

/* ---- resolving ---- */

/* Before the state changes: afterwards the block may be another's. */
static void close_window(struct mob_store *s, uint64_t id, uint32_t state)
{
	const struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w;

	if (!s->check_writes || state != MOBI_S_SEALED) {
		return;
	}
	w = mobi_load(&o->word);
	if (MOBI_GEN(w) == MOBI_GEN(id) && MOBI_STATE(w) == MOBI_S_PENDING) {
		mobi_guard_close(s, mobi_load(&o->loc));
	}
}

/* Who has a value was stamped when it got it; reading the clock twice would
 * show in a put. */
static void stamp_unvalued(struct mob_store *s, struct mobi_slot *o,
			   uint32_t state)
{
	if (state != MOBI_S_SEALED && state != MOBI_S_FAILED) {
		mobi_store_relaxed(&o->born_ms, mobi_session_ms(s));
	}
}

/* From `pending` (state, and maker if it has one). The catalogue is told after
 * the state has changed: told before, it would look, see nothing, and never
 * look again. A kill in between is made good by the janitor. */
static bool resolve(struct mob_store *s, uint64_t id, uint32_t state,
		    uint64_t pending)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint32_t gen = MOBI_GEN(id);
	uint64_t w = mobi_load(&o->word);
	uint64_t set;
	bool mine;

	close_window(s, id, state);
	stamp_unvalued(s, o, state);
	do {
		if (MOBI_GEN(w) != gen ||
		    (MOBI_KEEP(w) & ~MOBI_F_GONE) != pending) {
			return false;
		}
		mine = !(w & MOBI_F_LOCK);
		/* Another's LOCK: its owner notifies, or else the janitor. */
		set = mine ? MOBI_WORD(gen, s->me, MOBI_F_LOCK | MOBI_F_NOTIFY,
				       state) :
			     MOBI_WORD(gen, MOBI_OWNER(w),
				       MOBI_F_LOCK | MOBI_F_DIRTY |
					       MOBI_F_NOTIFY,
				       state);
	} while (!mobi_cas64(&o->word, &w, set));
	mobi_catalogue_touch(s->cat_shared, (uint32_t)id);
	if (mine) {
		mobi_slot_locked_exit(s, (uint32_t)id);
	}
	return true;
}

bool mobi_slot_resolve(struct mob_store *s, uint64_t id, uint32_t state)
{
	return resolve(s, id, state, MOBI_S_PENDING);
}

bool mobi_slot_resolve_made(struct mob_store *s, uint64_t id, uint32_t maker,
			    uint32_t state)
{
	return resolve(s, id, state, MOBI_S_PENDING | MOBI_MADE_BY(maker));
}

bool mobi_slot_resolve_owned(struct mob_store *s, uint64_t id, uint32_t state)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint32_t gen = MOBI_GEN(id);
	uint64_t w = mobi_load(&o->word);

	close_window(s, id, state);
	stamp_unvalued(s, o, state);
	do {
		if (MOBI_GEN(w) != gen ||
		    MOBI_KEEP(w) != (MOBI_S_PENDING | MOBI_MADE_BY(s->me)) ||
		    !(w & MOBI_F_LOCK) || MOBI_OWNER(w) != s->me) {
			return false;
		}
	} while (!mobi_cas64(&o->word, &w,
			     MOBI_WORD(gen, s->me,
				       MOBI_F_LOCK | MOBI_F_NOTIFY |
					       (w & MOBI_F_DIRTY),
				       state)));
	mobi_catalogue_touch(s->cat_shared, (uint32_t)id);
	mobi_slot_locked_exit(s, (uint32_t)id);
	return true;
}

void mobi_slot_seal_unseen(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = born_word(s, MOBI_GEN(id), MOBI_F_OWNED);

	close_window(s, id, MOBI_S_SEALED);
	/* Who comes by a stale ref sets DIRTY under my LOCK. */
	if (mobi_cas64(&o->word, &w,
		       MOBI_WORD(MOBI_GEN(id), 0, 0, MOBI_S_SEALED))) {
		mobi_catalogue_touch(s->cat_shared, (uint32_t)id);
	} else {
		MOB_ASSERT(mobi_slot_resolve_owned(s, id, MOBI_S_SEALED));
	}
}

/* ---- values ---- */

static void drop_block(struct mob_store *s, uint32_t slot, uint32_t gen)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t loc = mobi_load(&o->loc);

	if (loc == MOBI_LOC_SPILLED) {
		mobi_spill_forget(s, (uint64_t)gen << 32 | slot);
	} else if (loc > MOBI_LOC_INLINE) {
		(void)mobi_arena_free(s->arena, loc,
				      mobi_slot_tag((uint64_t)gen << 32 |
						    slot));
	}
	if (loc) {
		mobi_store(&o->loc, UINT64_C(0));
	}
}

void mobi_slot_drop_block(struct mob_store *s, uint64_t id)
{
	drop_block(s, (uint32_t)id, MOBI_GEN(id));
}

/* True: it is worth to try again; else *inout_rc may be why not. */
static bool make_room(struct mob_store *s, uint64_t size,
		      struct mobi_room *room, int *inout_rc)
{
	int rc;

	if (size > s->hdr->arena_bytes || mobi_room_forbidden()) {
		return false; /* it never fits: nothing is moved for it */
	}
	/* A scan that finds nothing is long: not at every turn. What costs least
	 * goes first. */
	if (room->turns % 16 == 0 &&
	    (mobi_evict_some(s, size) > 0 ||
	     mobi_gone_some(s, size, true) > 0 ||
	     (mobi_spills(s) && mobi_spill_some(s, size) > 0) ||
	     mobi_gone_some(s, size, false) > 0)) {
		return true;
	}
	rc = mobi_room_next(s, room);
	if (rc == MOB_E_INTERRUPTED || rc == MOB_E_CLOSED) {
		*inout_rc = rc;
	}
	return rc == 0;
}

static int give_block(struct mob_store *s, uint64_t id, uint64_t size,
		      bool apart, void **out_at)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t tag = mobi_slot_tag(id);
	uint64_t loc;
	struct mobi_room room = mobi_room_begin();
	int rc = 0;

	do {
		rc = apart ? mobi_arena_alloc_apart(s->arena, size, tag,
						    &o->loc) :
			     mobi_arena_alloc(s->arena, size, tag, &o->loc);
	} while ((rc == MOB_E_STORE_FULL || rc == MOB_E_DISK_FULL) &&
		 make_room(s, size, &room, &rc));
	mobi_room_end(s, &room);
	if (rc < 0) {
		mobi_store(&o->loc, UINT64_C(0));
		return rc;
	}
	loc = mobi_load(&o->loc);
	if (s->check_writes) {
		mobi_guard_open(s, loc);
	}
	*out_at = mobi_arena_rw(s->arena, loc);
	mobi_touch(s, *out_at, mobi_arena_off(loc), size);
	return 0;
}

static int give_value(struct mob_store *s, uint64_t id, uint64_t size,
		      mob_type_id type, bool apart, void **out_at)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	bool again = mobi_load_relaxed(&o->word) & MOBI_F_GONE;

	if (mobi_load(&o->loc)) {
		drop_block(s, (uint32_t)id, MOBI_GEN(id));
	}
	/* What is made again has a block again: the row counts its weak edges. */
	if (size <= MOBI_INLINE_MAX && !apart && !again) {
		/* No block, no tag: the CAS that resolves publishes it. */
		mobi_store_relaxed(&o->loc, MOBI_LOC_INLINE);
		*out_at = o->value;
	} else {
		int rc;

		if (!again) {
			mobi_store_relaxed(&mobi_weak_of(o)->n, 0u);
		}
		rc = give_block(s, id, size, apart, out_at);
		if (rc < 0) {
			return rc;
		}
	}
	mobi_count(s, MOBI_N_PUT_BYTES, size);
	mobi_store_relaxed(&o->size, size);
	mobi_store_relaxed(&o->type, type);
	mobi_store_relaxed(&o->born_ms, mobi_session_ms(s));
	return 0;
}

int mobi_slot_value(struct mob_store *s, uint64_t id, uint64_t size,
		    mob_type_id type, void **out_at)
{
	return give_value(s, id, size, type, false, out_at);
}

int mobi_slot_value_apart(struct mob_store *s, uint64_t id, uint64_t size,
			  mob_type_id type, void **out_at)
{
	return give_value(s, id, size, type, true, out_at);
}

bool mobi_slot_move_block(struct mob_store *s, uint64_t from, uint64_t to)
{
	struct mobi_slot *a = &s->slots[(uint32_t)from];
	struct mobi_slot *b = &s->slots[(uint32_t)to];
	uint64_t loc = mobi_load(&a->loc);

	if (loc == MOBI_LOC_INLINE || loc == MOBI_LOC_RANGE) {
		return false;
	}
	drop_block(s, (uint32_t)to, MOBI_GEN(to));
	if (!(mobi_load(&b->word) & MOBI_F_GONE)) {
		mobi_store_relaxed(&mobi_weak_of(b)->n, 0u);
	}
	mobi_store(&b->loc, loc);
	if (!mobi_arena_retag(s->arena, loc, mobi_slot_tag(from),
			      mobi_slot_tag(to))) {
		mobi_store(&b->loc, UINT64_C(0));
		return false;
	}
	mobi_store(&a->loc, UINT64_C(0));
	return true;
}

void mobi_slot_value_inside(struct mob_store *s, uint64_t id)
{
	drop_block(s, (uint32_t)id, MOBI_GEN(id));
	mobi_store(&s->slots[(uint32_t)id].loc, MOBI_LOC_INLINE);
}

void mobi_slot_value_range(struct mob_store *s, uint64_t id, uint64_t base,
			   uint64_t off, uint64_t size, mob_type_id type)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	const struct mobi_range range = { base, off };

	memcpy(o->value, &range, sizeof(range));
	mobi_store_relaxed(&o->loc, MOBI_LOC_RANGE);
	mobi_store_relaxed(&o->size, size);
	mobi_store_relaxed(&o->type, type);
	mobi_store_relaxed(&o->born_ms, mobi_session_ms(s));
}

/* Of a value inside the slot, or in a block. */
static const unsigned char *whole_bytes(const struct mob_store *s,
					uint32_t slot, uint64_t loc)
{
	if (loc == MOBI_LOC_INLINE) {
		return s->ro + s->hdr->section[MOBI_SEC_SLOTS].off +
		       (uint64_t)slot * sizeof(struct mobi_slot) +
		       offsetof(struct mobi_slot, value);
	}
	return loc ? mobi_arena_ro(s->arena, loc) : NULL;
}

const void *mobi_slot_bytes(const struct mob_store *s, uint32_t slot)
{
	const struct mobi_slot *o = &s->slots[slot];
	uint64_t loc = mobi_load(&o->loc);
	struct mobi_range range;
	uint32_t base;

	if (loc != MOBI_LOC_RANGE) {
		return whole_bytes(s, slot, loc);
	}
	memcpy(&range, o->value, sizeof(range));
	base = (uint32_t)range.base;
	return whole_bytes(s, base, mobi_load(&s->slots[base].loc)) + range.off;
}

/* ---- freeing ---- */

void mobi_slot_finish_free(struct mob_store *s, uint32_t slot, uint32_t gen)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t w = MOBI_WORD(gen, s->me, 0, MOBI_S_FREEING);
	uint32_t nested = mobi_load(&o->nested);
	uint64_t producer = mobi_load(&o->producer);
	bool inside = mobi_load(&o->loc) == MOBI_LOC_INLINE;
	/* Of a session before this one: past what that may have given out. */
	uint32_t next = gen < s->gen_base ? s->gen_base : gen + 1;

	MOB_ASSERT(!mobi_load(&o->head));
	if (mobi_load_relaxed(&o->type) == MOB_TYPE_ERROR && s->unread &&
	    mobi_load(&o->loc) &&
	    !(mobi_load(&o->creator) & MOBI_CREATOR_USED)) {
		s->unread(s, slot);
	}
	drop_block(s, slot, gen);
	if (nested) {
		mobi_chunks_retire(s, nested, MOBI_CK_SLOT,
				   (uint64_t)gen << 32 | slot);
		mobi_store(&o->nested, 0u);
	}
	mobi_store_relaxed(&o->producer, UINT64_C(0));
	mobi_store_relaxed(&o->n_edges, 0u);
	mobi_store_relaxed(&o->n_dead, 0u);
	MOB_ASSERT(mobi_cas64(&o->word, &w,
			      gen == UINT32_MAX ?
				      MOBI_WORD(gen, 0, 0, MOBI_S_WORN) :
				      MOBI_WORD(next, 0, 0, MOBI_S_FREE)));
	if (mobi_load(&s->cat_shared->indexed[slot])) {
		mobi_catalogue_touch(s->cat_shared, slot);
	}
	if (gen != UINT32_MAX) {
		mobi_pool_hint(s, MOBI_POOL_SLOT, slot);
	}
	if (producer && !inside) {
		mobi_gone_freed(s, producer);
	}
}

void mobi_slot_locked_exit(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];

	for (;;) {
		uint64_t w = mobi_load(&o->word);
		uint64_t bits;

		if (w & MOBI_F_DIRTY) {
			(void)mobi_cas64(&o->word, &w, w & ~MOBI_F_DIRTY);
			continue;
		}
		if (w & MOBI_F_NOTIFY) {
			mobi_edge_notify(s, slot);
			while (!mobi_cas64(&o->word, &w, w & ~MOBI_F_NOTIFY)) {
			}
			continue;
		}
		mobi_edge_sweep(s, slot);
		/* [slot.B1] The bits first, then the list: an edge is pushed
		 * under a bit. */
		bits = mobi_load(&o->hold) | mobi_load(&o->view);
		if (!bits && mobi_load(&o->head) &&
		    mobi_gone_unneeded(s, slot, w)) {
			(void)mobi_gone_drop(s, slot, w);
			continue;
		}
		if (bits || mobi_load(&o->head) || (w & MOBI_F_OWNED)) {
			/* A maker writes as long as it is pending. */
			if (mobi_cas64(&o->word, &w,
				       MOBI_WORD(MOBI_GEN(w), 0, 0,
						 MOBI_KEEP(w)))) {
				return;
			}
		} else if (mobi_cas64(&o->word, &w,
				      MOBI_WORD(MOBI_GEN(w), s->me, 0,
						MOBI_S_FREEING))) {
			mobi_slot_finish_free(s, slot, MOBI_GEN(w));
			return;
		}
	}
}

void mobi_slot_look(struct mob_store *s, uint32_t slot, uint32_t gen)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t w = mobi_load(&o->word);

	for (;;) {
		if (MOBI_GEN(w) != gen || !mobi_living(w)) {
			return;
		}
		if (w & MOBI_F_LOCK) {
			if ((w & MOBI_F_DIRTY) ||
			    mobi_cas64(&o->word, &w, w | MOBI_F_DIRTY)) {
				return;
			}
		} else if (mobi_cas64(&o->word, &w,
				      MOBI_WORD(gen, s->me, MOBI_F_LOCK,
						MOBI_KEEP(w)))) {
			break;
		}
	}
	mobi_slot_locked_exit(s, slot);
}
