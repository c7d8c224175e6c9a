/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The janitor.
 *
 * All that are known to be dead are reaped in one pass: one of them may hold
 * what another's repair needs. A janitor that dies is among the dead of the
 * next. It never waits for a LOCK: what lies below the LOCK of a living (or
 * stopped) process is left for a later pass (`leftover`).
 *
 * The LOCKs of the janitor's own process belong to its other threads; only
 * those of the dead are taken over.
 */
#include "reap.h"

#include "board.h"
#include "cq.h"
#include "edge.h"
#include "err.h"
#include "gone.h"
#include "mend.h"
#include "os_clock.h"
#include "os_futex.h"
#include "pool.h"
#include "room.h"
#include "segment_impl.h"
#include "slot.h"
#include "spill.h"

#include <stdlib.h>

static bool is_dead(uint64_t dead, uint32_t client)
{
	return client && client < MOBI_CLIENTS && (dead & MOBI_BIT(client));
}

/*
 * What one pass over the slots has seen, a word for each group of 64: those that
 * may need a repair, and those that are free. The table is large (128 MiB for a
 * million objects), so it is read once. What becomes so afterwards is the work of
 * the living, who do it to the end. NULL without memory: all are looked at.
 */
struct mobi_scan {
	uint32_t groups;
	uint64_t *free;
	uint64_t todo[];
};

static struct mobi_scan *scan_new(struct mob_store *s)
{
	uint32_t n = mobi_pool_used(s, MOBI_POOL_SLOT) / MOBI_GROUP;
	struct mobi_scan *scan =
		calloc(1, sizeof(*scan) + 2 * (size_t)n * sizeof(uint64_t));

	if (scan) {
		scan->groups = n;
		scan->free = scan->todo + n;
	}
	return scan;
}

/* Had nobody died, would there be nothing to do? The bits of the dead are gone
 * by now. */
static bool is_sound(const struct mobi_slot *o, uint64_t w)
{
	return mobi_living(w) && MOBI_STATE(w) != MOBI_S_PENDING &&
	       mobi_load_relaxed(&o->type) != MOBI_TYPE_STREAM &&
	       !(w & MOBI_F_LOCK) && !mobi_load(&o->head) &&
	       !mobi_load(&o->n_edges) && !mobi_load(&o->n_dead) &&
	       (mobi_load(&o->hold) | mobi_load(&o->view));
}

static void reap_bits(struct mob_store *s, uint64_t dead)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_SLOT);
	struct mobi_scan *scan = s->scan;

	for (uint32_t i = 0; i < end; i++) {
		struct mobi_slot *o = &s->slots[i];
		uint64_t w = mobi_load(&o->word);
		bool had = false;

		if (mobi_load(&o->hold) & dead) {
			(void)mobi_fetch_and(&o->hold, ~dead);
			had = true;
		}
		if (mobi_load(&o->view) & dead) {
			(void)mobi_fetch_and(&o->view, ~dead);
			had = true;
		}
		if (!scan || i / MOBI_GROUP >= scan->groups) {
			continue;
		}
		if (MOBI_STATE(w) == MOBI_S_FREE && !had) {
			scan->free[i / MOBI_GROUP] |= MOBI_BIT(i % MOBI_GROUP);
		} else if (had || !is_sound(o, w)) {
			scan->todo[i / MOBI_GROUP] |= MOBI_BIT(i % MOBI_GROUP);
		}
	}
}

/* Is the referrer of a LIVE chunk gone? */
static bool orphan(struct mob_store *s, const struct mobi_chunk *c, uint64_t w,
		   uint64_t dead)
{
	uint64_t of = mobi_load(&c->of);
	uint64_t o;

	switch (MOBI_CKIND(w)) {
	case MOBI_CK_REC:
		o = mobi_load(&s->recs[(uint32_t)of % MOBI_RECS].word);
		return MOBI_GEN(o) != MOBI_GEN(of) ||
		       MOBI_STATE(o) == MOBI_R_FREE ||
		       (MOBI_STATE(o) == MOBI_R_RETIRED &&
			is_dead(dead, MOBI_ROWNER(o)));
	case MOBI_CK_SLOT:
		o = mobi_load(&s->slots[(uint32_t)of % MOBI_SLOTS].word);
		return MOBI_GEN(o) != MOBI_GEN(of) || !mobi_living(o) ||
		       (is_dead(dead, MOBI_COWNER(w)) &&
			mobi_mend_unlisted(s, (uint32_t)(c - s->chunks), of));
	default:
		return is_dead(dead, MOBI_COWNER(w));
	}
}

/* Chunks of the dead, and of referrers that are gone: their edges go. A chunk
 * under FREEING of the dead is found orphaned once the slot is free. */
static void reap_chunks(struct mob_store *s, uint64_t dead)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_CHUNK);

	for (uint32_t c = 0; c < end; c++) {
		struct mobi_chunk *ch = &s->chunks[c];
		uint64_t w = mobi_load(&ch->word);
		uint32_t st = MOBI_STATE(w);

		if (st == MOBI_C_FREE) {
			continue;
		}
		if (st == MOBI_C_RETIRED) {
			mobi_chunk_release(s, c, MOBI_GEN(w));
		} else if ((st == MOBI_C_BUILD &&
			    is_dead(dead, MOBI_COWNER(w))) ||
			   (st == MOBI_C_LIVE && orphan(s, ch, w, dead))) {
			mobi_chunk_retire(s, c, MOBI_GEN(w));
		}
	}
}

static void reap_recs(struct mob_store *s, uint64_t dead)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);

	for (uint32_t r = 0; r < end; r++) {
		uint64_t w = mobi_load(&s->recs[r].word);
		uint32_t st = MOBI_STATE(w);

		if (st == MOBI_R_BUILD && is_dead(dead, MOBI_ROWNER(w))) {
			/* Its chunks are found as orphans of a retired record
			 * when it is free. */
			(void)mobi_rec_retire(s, r, w, 0);
		} else if (st == MOBI_R_RETIRED) {
			for (uint32_t k = 0; k < MOBI_REC_EDGES; k++) {
				mobi_edge_release(s, MOBI_EDGE_OF_REC(r, k),
						  MOBI_GEN(w));
			}
			mobi_rec_try_free(s, r);
		}
	}
}

/* PENDING, and nobody will make it any more. */
static bool unmade(struct mob_store *s, const struct mobi_slot *o, uint64_t w,
		   uint64_t dead)
{
	return MOBI_STATE(w) == MOBI_S_PENDING &&
	       ((w & MOBI_F_OWNED) ?
			is_dead(dead, MOBI_MAKER(w)) :
			!mobi_will_produce(s, mobi_load(&o->producer)));
}

/* It is about to be LOST. */
static void tell_why(struct mobi_slot *o, uint64_t w)
{
	if (w & MOBI_F_GONE) {
		mobi_store_relaxed(&o->type, MOBI_TYPE_WHY_LOST);
		mobi_store_relaxed(&o->size, UINT64_C(0));
	}
}

/* LOCK(dead) -> LOCK(me). What nobody will make any more is LOST. */
static void take_over(struct mob_store *s, uint32_t slot, uint64_t w,
		      uint64_t dead)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t set;

	do {
		set = MOBI_WORD(MOBI_GEN(w), s->me,
				w & (MOBI_F_LOCK | MOBI_F_DIRTY |
				     MOBI_F_NOTIFY),
				MOBI_KEEP(w));
		if (unmade(s, o, w, dead)) {
			tell_why(o, w);
			mobi_store_relaxed(&o->born_ms, mobi_session_ms(s));
			set = MOBI_WORD(MOBI_GEN(w), s->me,
					MOBI_F_LOCK | MOBI_F_NOTIFY |
						(w & MOBI_F_DIRTY),
					MOBI_S_LOST);
		}
	} while (!mobi_cas64(&o->word, &w, set));
	if ((w & MOBI_F_GONE) && MOBI_STATE(w) == MOBI_S_SEALED) {
		mobi_gone_finish(s, slot);
	} else if (w & MOBI_F_SPILL) {
		mobi_spill_repair(s, slot);
	}
	mobi_slot_locked_exit(s, slot);
}

static void reap_slot(struct mob_store *s, uint32_t slot, uint64_t dead)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t w = mobi_load(&o->word);
	uint32_t st = MOBI_STATE(w);

	if (st == MOBI_S_FREE || st == MOBI_S_WORN) {
		return;
	}
	if (st == MOBI_S_SEALED && s->hooks &&
	    mobi_load_relaxed(&o->type) == MOBI_TYPE_STREAM) {
		s->hooks->stream(s, (uint64_t)MOBI_GEN(w) << 32 | slot, dead);
	}
	/* A hint may lack a dead one's last step: err towards looking. */
	if (mobi_load(&o->n_edges) || mobi_load(&o->n_dead)) {
		(void)mobi_fetch_add(&o->n_dead, 2u);
		if (mobi_gone_can(o, w) &&
		    mobi_load(&mobi_weak_of(o)->n) <= mobi_load(&o->n_edges)) {
			(void)mobi_fetch_add(&mobi_weak_of(o)->n, 2u);
		}
	}
	if (st == MOBI_S_FREEING) {
		if (is_dead(dead, MOBI_OWNER(w)) &&
		    mobi_cas64(&o->word, &w,
			       MOBI_WORD(MOBI_GEN(w), s->me, 0,
					 MOBI_S_FREEING))) {
			mobi_slot_finish_free(s, slot, MOBI_GEN(w));
		}
		return;
	}
	if ((w & MOBI_F_LOCK) && is_dead(dead, MOBI_OWNER(w))) {
		take_over(s, slot, w, dead);
		return;
	}
	/* A LOCKed one without a maker may be at its birth. */
	if ((w & (MOBI_F_OWNED | MOBI_F_LOCK)) != MOBI_F_LOCK &&
	    unmade(s, o, w, dead)) {
		uint64_t id = (uint64_t)MOBI_GEN(w) << 32 | slot;

		tell_why(o, w);
		(void)((w & MOBI_F_OWNED) ?
			       mobi_slot_resolve_made(s, id, MOBI_MAKER(w),
						      MOBI_S_LOST) :
			       mobi_slot_resolve(s, id, MOBI_S_LOST));
		return;
	}
	/* The last holder may have died between its bit and its look. */
	if (mobi_load(&o->head) ||
	    !(mobi_load(&o->hold) | mobi_load(&o->view))) {
		mobi_slot_look(s, slot, MOBI_GEN(w));
	}
}

static void reap_slots(struct mob_store *s, uint64_t dead)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_SLOT);
	uint32_t seen = s->scan ? s->scan->groups : 0;

	for (uint32_t g = 0; g < seen; g++) {
		for (uint64_t m = s->scan->todo[g]; m; m &= m - 1) {
			reap_slot(s,
				  g * MOBI_GROUP + (uint32_t)__builtin_ctzll(m),
				  dead);
		}
	}
	for (uint32_t i = seen * MOBI_GROUP; i < end; i++) {
		reap_slot(s, i, dead);
	}
}

/*
 * An edge that is RELEASED although a sweep under LOCK has just run is not on
 * the list: its pusher or sweeper died. False: the object is LOCKed by a living
 * process, come back later.
 */
static bool off_list(struct mob_store *s, uint32_t n)
{
	struct mobi_edge *e = mobi_edge_at(s, n);
	uint64_t w = mobi_load(&e->word);
	uint64_t ref;
	uint64_t ow;
	struct mobi_slot *o;
	bool locked = false;

	if (MOBI_STATE(w) != MOBI_E_RELEASED) {
		return true;
	}
	ref = mobi_load(&e->ref);
	if (mobi_load(&e->word) != w) {
		return true;
	}
	o = &s->slots[(uint32_t)ref % MOBI_SLOTS];
	ow = mobi_load(&o->word);
	while (MOBI_GEN(ow) == MOBI_GEN(ref) && mobi_living(ow)) {
		if (ow & MOBI_F_LOCK) {
			if ((ow & MOBI_F_DIRTY) ||
			    mobi_cas64(&o->word, &ow, ow | MOBI_F_DIRTY)) {
				return false;
			}
		} else if (mobi_cas64(&o->word, &ow,
				      MOBI_WORD(MOBI_GEN(ow), s->me,
						MOBI_F_LOCK, MOBI_KEEP(ow)))) {
			locked = true;
			break;
		}
	}
	if (locked) {
		mobi_edge_sweep(s, (uint32_t)ref);
	}
	(void)mobi_cas64(&e->word, &w, MOBI_ESTATE(w, MOBI_E_FREE));
	if (n < MOBI_EDGE_REC_END) {
		mobi_rec_try_free(s, (n - 1) / MOBI_REC_EDGES);
	} else {
		mobi_chunk_try_free(s,
				    (n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK);
	}
	if (locked) {
		mobi_slot_locked_exit(s, (uint32_t)ref);
	}
	return true;
}

static bool reap_edges(struct mob_store *s)
{
	uint32_t recs = mobi_pool_used(s, MOBI_POOL_REC);
	uint32_t chunks = mobi_pool_used(s, MOBI_POOL_CHUNK);
	bool all = true;

	for (uint32_t r = 0; r < recs; r++) {
		if (MOBI_STATE(mobi_load(&s->recs[r].word)) != MOBI_R_RETIRED) {
			continue;
		}
		for (uint32_t k = 0; k < MOBI_REC_EDGES; k++) {
			all &= off_list(s, MOBI_EDGE_OF_REC(r, k));
		}
		mobi_rec_try_free(s, r);
	}
	for (uint32_t c = 0; c < chunks; c++) {
		if (MOBI_STATE(mobi_load(&s->chunks[c].word)) == MOBI_C_FREE) {
			continue;
		}
		for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
			all &= off_list(s, MOBI_EDGE_OF_CHUNK(c, i));
		}
		mobi_chunk_try_free(s, c);
	}
	return all;
}

uint64_t mobi_slots_free(struct mob_store *s, uint32_t group)
{
	uint64_t bits = 0;

	if (s->scan && group < s->scan->groups) {
		return s->scan->free[group];
	}
	for (uint32_t i = 0; i < MOBI_GROUP; i++) {
		uint64_t w = mobi_load(&s->slots[group * MOBI_GROUP + i].word);

		bits |= MOBI_STATE(w) == MOBI_S_FREE ? MOBI_BIT(i) : 0;
	}
	return bits;
}

static uint64_t free_recs(struct mob_store *s, uint32_t group)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < MOBI_GROUP; i++) {
		uint64_t w = mobi_load(&s->recs[group * MOBI_GROUP + i].word);

		bits |= MOBI_STATE(w) == MOBI_R_FREE ? MOBI_BIT(i) : 0;
	}
	return bits;
}

static uint64_t free_chunks(struct mob_store *s, uint32_t group)
{
	uint64_t bits = 0;

	for (uint32_t i = 0; i < MOBI_GROUP; i++) {
		uint64_t w = mobi_load(&s->chunks[group * MOBI_GROUP + i].word);

		bits |= MOBI_STATE(w) == MOBI_C_FREE ? MOBI_BIT(i) : 0;
	}
	return bits;
}

/* Every bell: a claimed idle bit or a completion may lack its wake-up. */
static void ring_all(struct mob_store *s)
{
	uint32_t chunks = mobi_pool_used(s, MOBI_POOL_CHUNK);

	for (uint32_t c = 0; c < chunks; c++) {
		uint64_t w = mobi_load(&s->chunks[c].word);

		if (MOBI_STATE(w) == MOBI_C_LIVE &&
		    MOBI_CKIND(w) == MOBI_CK_SEAT) {
			(void)mobi_fetch_add(&s->chunks[c].bell, 1u);
			(void)mobi_futex_wake(&s->chunks[c].bell, 1);
		}
	}
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		if (MOBI_STATE(mobi_load(&s->clients[i].word)) ==
		    MOBI_CLIENT_LIVE) {
			mobi_client_ring(s, i);
		}
	}
}

static void reap_set(struct mob_store *s, uint64_t dead)
{
	const struct mobi_reap_hooks *h = s->hooks;
	uint32_t spinner = mobi_load(&s->board->spinner);

	(void)mobi_fetch_and(&s->board->idle, ~dead);
	if (is_dead(dead, spinner)) {
		(void)mobi_cas32(&s->board->spinner, &spinner, 0);
	}
	if (h) {
		h->domains(s, dead);
	}
	s->scan = scan_new(s);
	reap_bits(s, dead);
	reap_recs(s, dead);
	reap_chunks(s, dead);
	reap_slots(s, dead);
	if (h) {
		h->tasks(s, dead);
	}
	/* What the slots freed may have orphaned more. */
	reap_chunks(s, dead);
	mobi_cq_reap(s, dead);
	if (!reap_edges(s)) {
		mobi_store(&s->hdr->leftover, 1u);
	}
	if (mobi_load(&s->cat_shared->has_names)) {
		/* LMDB may make one wait: not here. */
		mobi_store(&s->cat_shared->recount, 1u);
	}
	mobi_arena_reap(s->arena, dead);
	mobi_catalogue_reset(s->cat_shared, mobi_pool_used(s, MOBI_POOL_SLOT) /
						    MOBI_SLOT_CHUNK);
	mobi_pool_reap(s, MOBI_POOL_SLOT, dead, mobi_slots_free);
	mobi_pool_reap(s, MOBI_POOL_REC, dead, free_recs);
	mobi_pool_reap(s, MOBI_POOL_CHUNK, dead, free_chunks);
	free(s->scan);
	s->scan = NULL;
	ring_all(s);
}

/* The clients that are proved dead, marked so. */
static uint64_t find_dead(struct mob_store *s)
{
	uint64_t dead = 0;

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		struct mobi_client *c = &s->clients[i];
		uint64_t w = mobi_load(&c->word);

		if (MOBI_STATE(w) == MOBI_CLIENT_LIVE && i != s->me &&
		    !mobi_proc_alive(&c->proc) &&
		    (!s->may_reap || s->may_reap(s, i))) {
			(void)mobi_cas64(&c->word, &w,
					 MOBI_CLIENT_WORD(MOBI_GEN(w),
							  MOBI_ROLE(w),
							  MOBI_CLIENT_DEAD));
			w = mobi_load(&c->word);
		}
		if (MOBI_STATE(w) == MOBI_CLIENT_DEAD) {
			dead |= MOBI_BIT(i);
		}
	}
	return dead;
}

static int reap_locked(struct mob_store *s)
{
	uint64_t dead = find_dead(s);
	int n = 0;

	if (!dead && !mobi_load(&s->hdr->leftover)) {
		return 0;
	}
	mobi_store(&s->hdr->leftover, 0u);
	if (!dead) {
		/* Nobody died since: only what a stopped process was in the
		 * way of. It may be stopped for hours. */
		reap_recs(s, 0);
		reap_chunks(s, 0);
		if (!reap_edges(s)) {
			mobi_store(&s->hdr->leftover, 1u);
		}
		return 0;
	}
	mobi_room_forbid();
	reap_set(s, dead);
	mobi_room_allow();
	if (is_dead(dead, s->me)) {
		/* This process leaves. What it freed just now is at its own
		 * hands again, and the number is another's in a moment. */
		mobi_arena_leave(s->arena);
	}
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint64_t w = mobi_load(&s->clients[i].word);

		if (!(dead & MOBI_BIT(i))) {
			continue;
		}
		(void)mobi_cas64(&s->clients[i].word, &w,
				 MOBI_CLIENT_WORD(MOBI_GEN(w), 0,
						  MOBI_CLIENT_FREE));
		(void)mobi_fetch_add(&s->hdr->reaps, UINT64_C(1));
		n++;
	}
	return n;
}

static bool has_place(const struct mob_store *s)
{
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		if (MOBI_STATE(mobi_load(&s->clients[i].word)) ==
		    MOBI_CLIENT_FREE) {
			return true;
		}
	}
	return false;
}

bool mobi_reap_full(struct mob_store *s)
{
	uint64_t dead;
	bool room;

	if (mobi_load(&s->hdr->has_sched) ||
	    mobi_lock_acquire(&s->hdr->janitor, 5 * MOB_SEC) < 0) {
		return false;
	}
	dead = find_dead(s);
	if (dead) {
		/* As one that leaves does it: in the place of a dead one, and
		 * if this process dies too, the next does it again. */
		s->me = (uint32_t)__builtin_ctzll(dead);
		if (mobi_segment_arena(s) >= 0) {
			(void)reap_locked(s);
			mobi_arena_close(s->arena);
			s->arena = NULL;
		}
		s->me = 0;
	}
	/* Who had the lock before may have done it. */
	room = has_place(s);
	mobi_lock_release(&s->hdr->janitor);
	return room;
}

int mobi_reap(struct mob_store *s)
{
	int n;

	if (mobi_load(&s->hdr->has_sched) && !s->hooks) {
		return 0; /* its tasks are not for this process to judge */
	}
	if (mobi_lock_try(&s->hdr->janitor) < 0) {
		return 0;
	}
	n = reap_locked(s);
	mobi_lock_release(&s->hdr->janitor);
	return n;
}

void mobi_reap_leaving(struct mob_store *s, uint64_t word)
{
	if (mobi_load(&s->hdr->has_sched) && !s->hooks) {
		return; /* the daemon does it */
	}
	if (mobi_lock_acquire(&s->hdr->janitor, 5 * MOB_SEC) >= 0) {
		/* Once another has done it the number may be somebody's. */
		if (mobi_load(&s->clients[s->me].word) == word) {
			(void)reap_locked(s);
		}
		mobi_lock_release(&s->hdr->janitor);
	}
}

void mobi_reap_poll(struct mob_store *s)
{
	if (s->poll) {
		s->poll(s);
	} else {
		(void)mobi_reap(s);
	}
}
