/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edges, chunks and records.
 *
 * An edge that is RELEASED after a sweep under LOCK is off the list. A record
 * or chunk is free when all its edges are; who frees the last one frees it.
 * Sweeps are lazy, by two hints a slot (linked, released): a sweep at every
 * release would make an object with n readers cost n squared.
 */
#include "edge.h"

#include "board.h"
#include "cq.h"
#include "err.h"
#include "gone.h"
#include "os_futex.h"
#include "pool.h"
#include "slot.h"

#include <stdlib.h>

void mobi_edge_push(struct mob_store *s, uint32_t n, uint32_t gen,
		    uint64_t flags, uint64_t ref)
{
	struct mobi_edge *e = mobi_edge_at(s, n);
	struct mobi_slot *o = &s->slots[(uint32_t)ref];
	uint64_t use = (mobi_load(&e->word) + MOBI_EUSE) & MOBI_EUSE_MASK;
	uint32_t head;

	/* Nobody follows the edge before the CAS, which publishes it. */
	mobi_store_release(&e->ref, ref);
	mobi_store_release(&e->word, MOBI_EWORD(gen, use | flags, MOBI_E_LIVE));
	(void)mobi_fetch_add(&o->n_edges, 1u);
	head = mobi_load(&o->head);
	do {
		mobi_store_relaxed(&e->next, head);
	} while (!mobi_cas32(&o->head, &head, n));
}

void mobi_edge_release(struct mob_store *s, uint32_t n, uint32_t gen)
{
	struct mobi_edge *e = mobi_edge_at(s, n);
	uint64_t ref = mobi_load(&e->ref);
	struct mobi_slot *o = &s->slots[(uint32_t)ref];
	uint64_t w = mobi_load(&e->word);
	uint32_t dead;

	do {
		if (MOBI_GEN(w) != gen || (MOBI_STATE(w) != MOBI_E_LIVE &&
					   MOBI_STATE(w) != MOBI_E_FIRED)) {
			return;
		}
	} while (!mobi_cas64(&e->word, &w,
			     MOBI_ESTATE(w, MOBI_E_RELEASED) |
				     (w & MOBI_EF_WEAK)));
	dead = mobi_fetch_add(&o->n_dead, 1u) + 1;
	/* Otherwise a later release looks. */
	if (2 * (uint64_t)dead >= mobi_load(&o->n_edges) ||
	    (!(w & MOBI_EF_WEAK) && mobi_gone_likely(o))) {
		mobi_slot_look(s, (uint32_t)ref, MOBI_GEN(ref));
	}
}

void mobi_edge_weaken(struct mob_store *s, uint32_t n, uint32_t gen)
{
	struct mobi_edge *e = mobi_edge_at(s, n);
	uint64_t ref = mobi_load(&e->ref);
	struct mobi_slot *o = &s->slots[(uint32_t)ref];
	uint64_t w = mobi_load(&e->word);

	if (MOBI_GEN(w) != gen || MOBI_STATE(w) != MOBI_E_LIVE ||
	    (w & MOBI_EF_WEAK) || !mobi_cas64(&e->word, &w, w | MOBI_EF_WEAK)) {
		return;
	}
	(void)mobi_fetch_add(&mobi_weak_of(o)->n, 1u);
	if (mobi_gone_likely(o)) {
		mobi_slot_look(s, (uint32_t)ref, MOBI_GEN(ref));
	}
}

void mobi_edge_strengthen(struct mob_store *s, uint32_t n, uint32_t gen)
{
	struct mobi_edge *e = mobi_edge_at(s, n);
	struct mobi_slot *o = &s->slots[(uint32_t)mobi_load(&e->ref)];
	uint64_t w = mobi_load(&e->word);

	if (MOBI_GEN(w) == gen && MOBI_STATE(w) == MOBI_E_LIVE &&
	    (w & MOBI_EF_WEAK) && mobi_cas64(&e->word, &w, w & ~MOBI_EF_WEAK)) {
		(void)mobi_fetch_sub(&mobi_weak_of(o)->n, 1u);
	}
}

static void edge_freed(struct mob_store *s, uint32_t n)
{
	if (n < MOBI_EDGE_REC_END) {
		mobi_rec_try_free(s, (n - 1) / MOBI_REC_EDGES);
	} else {
		mobi_chunk_try_free(s,
				    (n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK);
	}
}

void mobi_edge_sweep(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];
	uint32_t prev = 0;
	uint32_t n = mobi_load(&o->head);
	uint32_t gone = 0;
	uint32_t weak = 0;

	while (n) {
		struct mobi_edge *e = mobi_edge_at(s, n);
		uint64_t w = mobi_load(&e->word);
		uint32_t next = mobi_load(&e->next);

		if (MOBI_STATE(w) != MOBI_E_RELEASED) {
			prev = n;
			n = next;
			continue;
		}
		if (prev) {
			mobi_store(&mobi_edge_at(s, prev)->next, next);
		} else {
			uint32_t head = n;

			if (!mobi_cas32(&o->head, &head, next)) {
				/* Pushed meanwhile: find n again from there. */
				n = head;
				continue;
			}
		}
		mobi_store(&e->next, 0u);
		gone++;
		/* Here, as long as the edge keeps the row from being another's. */
		weak += (w & MOBI_EF_WEAK) != 0;
		/* From here on the referrer may use it again. */
		(void)mobi_cas64(&e->word, &w, MOBI_ESTATE(w, MOBI_E_FREE));
		edge_freed(s, n);
		n = next;
	}
	if (gone) {
		(void)mobi_fetch_sub(&o->n_edges, gone);
		(void)mobi_fetch_sub(&o->n_dead, gone);
	}
	if (weak) {
		(void)mobi_fetch_sub(&mobi_weak_of(o)->n, weak);
	}
}

static void ring_seat(struct mobi_chunk *c)
{
	(void)mobi_fetch_add(&c->bell, 1u);
	if (mobi_load(&c->asleep)) {
		(void)mobi_futex_wake(&c->bell, 1);
	}
}

/* Tells one referrer. Its chunk cannot be reused meanwhile: the edge is linked
 * and only this LOCK owner unlinks. */
static void tell(struct mob_store *s, uint32_t n, struct mobi_edge *e,
		 uint64_t w)
{
	uint32_t c;
	struct mobi_chunk *ch;

	if (w & (MOBI_EF_QUIET | MOBI_EF_WEAK)) {
		return;
	}
	if (n < MOBI_EDGE_REC_END) {
		mobi_board_set(s, (n - 1) / MOBI_REC_EDGES);
		return;
	}
	c = (n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK;
	ch = &s->chunks[c];
	switch (MOBI_CKIND(mobi_load(&ch->word))) {
	case MOBI_CK_REC:
		mobi_board_set(s, (uint32_t)mobi_load(&ch->of));
		break;
	case MOBI_CK_SEAT:
		ring_seat(ch);
		break;
	case MOBI_CK_CQ:
		mobi_cq_fire(s, c, (n - MOBI_EDGE_REC_END) % MOBI_EDGE_CHUNK, e,
			     w);
		break;
	default:
		break;
	}
}

void mobi_edge_notify(struct mob_store *s, uint32_t slot)
{
	struct mobi_slot *o = &s->slots[slot];

	for (uint32_t n = mobi_load(&o->head); n;) {
		struct mobi_edge *e = mobi_edge_at(s, n);
		uint64_t w = mobi_load(&e->word);
		uint32_t next = mobi_load(&e->next);

		if (MOBI_STATE(w) == MOBI_E_LIVE ||
		    MOBI_STATE(w) == MOBI_E_FIRED) {
			tell(s, n, e, w);
		}
		n = next;
	}
}

/* ---- chunks ---- */

int mobi_chunk_new(struct mob_store *s, uint32_t *out_chunk, uint32_t *out_gen)
{
	for (;;) {
		uint32_t c;
		uint64_t w;
		int rc = mobi_pool_take(s, MOBI_POOL_CHUNK, &c);

		if (rc < 0) {
			return rc;
		}
		w = mobi_load(&s->chunks[c].word);
		if (MOBI_STATE(w) != MOBI_C_FREE ||
		    !mobi_cas64(&s->chunks[c].word, &w,
				MOBI_CWORD(MOBI_GEN(w), s->me, 0,
					   MOBI_C_BUILD))) {
			continue; /* the hint was wrong */
		}
		mobi_store(&s->chunks[c].of, UINT64_C(0));
		mobi_store(&s->chunks[c].ready, UINT64_C(0));
		mobi_store(&s->chunks[c].next, 0u);
		mobi_store(&s->chunks[c].asleep, 0u);
		*out_chunk = c;
		*out_gen = MOBI_GEN(w);
		return 0;
	}
}

void mobi_chunk_live(struct mob_store *s, uint32_t chunk, uint32_t kind,
		     uint64_t of, uint32_t next)
{
	struct mobi_chunk *c = &s->chunks[chunk];
	uint64_t w = mobi_load(&c->word);

	mobi_store(&c->of, of);
	mobi_store(&c->next, next);
	MOB_ASSERT(MOBI_STATE(w) == MOBI_C_BUILD && MOBI_COWNER(w) == s->me);
	MOB_ASSERT(
		mobi_cas64(&c->word, &w,
			   MOBI_CWORD(MOBI_GEN(w), s->me, kind, MOBI_C_LIVE)));
}

void mobi_chunk_try_free(struct mob_store *s, uint32_t chunk)
{
	struct mobi_chunk *c = &s->chunks[chunk];
	uint64_t w = mobi_load(&c->word);

	if (MOBI_STATE(w) != MOBI_C_RETIRED) {
		return;
	}
	for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
		struct mobi_edge *e =
			mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(chunk, i));

		if (MOBI_STATE(mobi_load(&e->word)) != MOBI_E_FREE) {
			return;
		}
	}
	if (mobi_cas64(&c->word, &w,
		       MOBI_CWORD(MOBI_GEN(w) + 1, 0, 0, MOBI_C_FREE))) {
		mobi_pool_hint(s, MOBI_POOL_CHUNK, chunk);
	}
}

/* The janitor may have done it meanwhile, and the chunk be another's: only
 * edges of this generation count. */
void mobi_chunk_release(struct mob_store *s, uint32_t chunk, uint32_t gen)
{
	for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
		uint32_t n = MOBI_EDGE_OF_CHUNK(chunk, i);

		if (MOBI_STATE(mobi_load(&mobi_edge_at(s, n)->word)) !=
		    MOBI_E_FREE) {
			mobi_edge_release(s, n, gen);
		}
	}
	mobi_chunk_try_free(s, chunk);
}

/*
 * Releasing the edges of a chunk may free objects whose own chunks come here
 * again. The outermost call releases its own, and then works those off from a
 * list of the thread, so that nesting of any depth needs no stack. Records whose
 * last object goes come here, too. Without memory for the list the chunk or record
 * stays RETIRED(me) with LIVE edges; `leftover` calls the janitor for it.
 */
static int later_push(struct mobi_seat *seat, uint32_t chunk, uint32_t gen)
{
	if (seat->n_later == seat->max_later) {
		uint32_t max = seat->max_later ? 2 * seat->max_later : 64;
		uint64_t *list = realloc(seat->later, max * sizeof(*list));

		if (!list) {
			return MOB_E_NOMEM;
		}
		seat->later = list;
		seat->max_later = max;
	}
	seat->later[seat->n_later++] = (uint64_t)gen << 32 | chunk;
	return 0;
}

#define LATER_REC 0x80000000u /* it is a record */

/* The edges in a record that is RETIRED in this generation. */
static void rec_release(struct mob_store *s, uint32_t rec, uint32_t gen)
{
	for (uint32_t k = 0; k < MOBI_REC_EDGES; k++) {
		uint32_t n = MOBI_EDGE_OF_REC(rec, k);
		uint64_t e = mobi_load(&mobi_edge_at(s, n)->word);

		if (MOBI_STATE(e) != MOBI_E_FREE) {
			mobi_edge_release(s, n, gen);
		}
	}
	mobi_rec_try_free(s, rec);
}

static void release_one(struct mob_store *s, uint32_t what, uint32_t gen)
{
	if (what & LATER_REC) {
		rec_release(s, what & ~LATER_REC, gen);
	} else {
		mobi_chunk_release(s, what, gen);
	}
}

static void release_later(struct mob_store *s, uint32_t what, uint32_t gen)
{
	struct mobi_seat *seat = mobi_seat(s);

	if (!seat || (seat->draining && later_push(seat, what, gen) < 0)) {
		mobi_store(&s->hdr->leftover, 1u);
		return;
	}
	if (seat->draining) {
		return;
	}
	seat->draining = true;
	release_one(s, what, gen);
	while (seat->n_later) {
		uint64_t next = seat->later[--seat->n_later];

		release_one(s, (uint32_t)next, MOBI_GEN(next));
	}
	seat->draining = false;
}

void mobi_chunk_retire(struct mob_store *s, uint32_t chunk, uint32_t gen)
{
	struct mobi_chunk *c = &s->chunks[chunk];
	uint64_t w = mobi_load(&c->word);

	do {
		if (MOBI_GEN(w) != gen || (MOBI_STATE(w) != MOBI_C_LIVE &&
					   MOBI_STATE(w) != MOBI_C_BUILD)) {
			return;
		}
	} while (!mobi_cas64(&c->word, &w,
			     MOBI_CWORD(gen, s->me, MOBI_CKIND(w),
					MOBI_C_RETIRED)));
	release_later(s, chunk, gen);
}

void mobi_chunks_retire(struct mob_store *s, uint32_t first, uint32_t kind,
			uint64_t of)
{
	while (first && first <= MOBI_EDGE_CHUNKS) {
		struct mobi_chunk *c = &s->chunks[first - 1];
		uint64_t w = mobi_load(&c->word);
		uint32_t next = mobi_load(&c->next);

		if (MOBI_STATE(w) != MOBI_C_LIVE || MOBI_CKIND(w) != kind ||
		    mobi_load(&c->of) != of) {
			return; /* done before; the rest is the janitor's */
		}
		mobi_chunk_retire(s, first - 1, MOBI_GEN(w));
		first = next;
	}
}

/* ---- records ---- */

int mobi_rec_new(struct mob_store *s, uint32_t *out_rec, uint32_t *out_gen)
{
	for (;;) {
		uint32_t r;
		uint64_t w;
		int rc = mobi_pool_take(s, MOBI_POOL_REC, &r);

		if (rc < 0) {
			return rc;
		}
		w = mobi_load(&s->recs[r].word);
		if (MOBI_STATE(w) == MOBI_R_FREE &&
		    mobi_cas64(&s->recs[r].word, &w,
			       MOBI_RWORD(MOBI_GEN(w), 0, s->me,
					  MOBI_R_BUILD))) {
			*out_rec = r;
			*out_gen = MOBI_GEN(w);
			return 0;
		}
	}
}

bool mobi_rec_retire(struct mob_store *s, uint32_t rec, uint64_t want,
		     uint32_t chunk)
{
	uint32_t gen = MOBI_GEN(want);
	uint64_t w = want;

	if (!mobi_cas64(&s->recs[rec].word, &w,
			MOBI_RWORD(gen, MOBI_ATTEMPT(want), s->me,
				   MOBI_R_RETIRED))) {
		return false;
	}
	mobi_chunks_retire(s, chunk, MOBI_CK_REC, (uint64_t)gen << 32 | rec);
	rec_release(s, rec, gen);
	return true;
}

bool mobi_rec_retire_flat(struct mob_store *s, uint32_t rec, uint64_t want,
			  uint32_t chunk,
			  void (*first)(struct mob_store *s, uint32_t rec,
					uint32_t gen))
{
	uint32_t gen = MOBI_GEN(want);
	uint64_t w = want;

	if (!mobi_cas64(&s->recs[rec].word, &w,
			MOBI_RWORD(gen, MOBI_ATTEMPT(want), s->me,
				   MOBI_R_RETIRED))) {
		return false;
	}
	if (first) {
		first(s, rec, gen);
	}
	mobi_chunks_retire(s, chunk, MOBI_CK_REC, (uint64_t)gen << 32 | rec);
	release_later(s, rec | LATER_REC, gen);
	return true;
}

void mobi_rec_try_free(struct mob_store *s, uint32_t rec)
{
	struct mobi_rec *r = &s->recs[rec];
	uint64_t w = mobi_load(&r->word);

	if (MOBI_STATE(w) != MOBI_R_RETIRED) {
		return;
	}
	for (uint32_t k = 0; k < MOBI_REC_EDGES; k++) {
		if (MOBI_STATE(mobi_load(&r->edge[k].word)) != MOBI_E_FREE) {
			return;
		}
	}
	if (mobi_cas64(&r->word, &w,
		       MOBI_RWORD(MOBI_GEN(w) + 1, 0, 0, MOBI_R_FREE))) {
		mobi_pool_hint(s, MOBI_POOL_REC, rec);
	}
}
