/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edges: who needs an object. An edge lies inside its referrer (a record, or a
 * chunk that belongs to a record, an object, a completion queue or a sleeping
 * thread) and is linked on the object's list. docs/shared-memory.md.
 */
#ifndef MOBI_EDGE_H
#define MOBI_EDGE_H

#include "segment.h"

static inline struct mobi_edge *mobi_edge_at(const struct mob_store *s,
					     uint32_t n)
{
	uint32_t i = n - 1;

	if (n < MOBI_EDGE_REC_END) {
		return &s->recs[i / MOBI_REC_EDGES].edge[i % MOBI_REC_EDGES];
	}
	return &s->edges[n - MOBI_EDGE_REC_END];
}

/* Links edge n (FREE, in a referrer of generation gen that the caller owns) on
 * the list of an object that the caller holds or has LOCKed. */
void mobi_edge_push(struct mob_store *s, uint32_t n, uint32_t gen,
		    uint64_t flags, uint64_t ref);
/* LIVE or FIRED -> RELEASED, and looks whether the object can go. */
void mobi_edge_release(struct mob_store *s, uint32_t n, uint32_t gen);
/* LIVE: from now on it keeps the row of the object, not its value; and back, which
 * the caller does while it holds the object. gone.h. */
void mobi_edge_weaken(struct mob_store *s, uint32_t n, uint32_t gen);
void mobi_edge_strengthen(struct mob_store *s, uint32_t n, uint32_t gen);
/* Unlinks what was released; only under LOCK(me). */
void mobi_edge_sweep(struct mob_store *s, uint32_t slot);
/* Tells every referrer that the object is resolved; only under LOCK(me).
 * Idempotent. */
void mobi_edge_notify(struct mob_store *s, uint32_t slot);

/* ---- chunks ---- */

/* A chunk in BUILD(me), all its edges FREE. */
int mobi_chunk_new(struct mob_store *s, uint32_t *out_chunk, uint32_t *out_gen);
/* BUILD(me) -> LIVE. */
void mobi_chunk_live(struct mob_store *s, uint32_t chunk, uint32_t kind,
		     uint64_t of, uint32_t next);
/* LIVE or BUILD(me) -> RETIRED(me), then all its edges are released; never
 * recursive: inner objects that die are worked off by the outermost call. */
void mobi_chunk_retire(struct mob_store *s, uint32_t chunk, uint32_t gen);
/* Retires a list of chunks that belong to `of`. */
void mobi_chunks_retire(struct mob_store *s, uint32_t first, uint32_t kind,
			uint64_t of);
/* Releases the edges of a chunk that is RETIRED in this generation. */
void mobi_chunk_release(struct mob_store *s, uint32_t chunk, uint32_t gen);
/* RETIRED and all edges FREE: the chunk is free. */
void mobi_chunk_try_free(struct mob_store *s, uint32_t chunk);

/* ---- records ---- */

/* A record in BUILD(me), attempt 0, all its edges FREE. */
int mobi_rec_new(struct mob_store *s, uint32_t *out_rec, uint32_t *out_gen);
/* CAS want -> RETIRED(me), then its edges and those of the chunks from `chunk`
 * (+ 1) on are released. False if the word was another. */
bool mobi_rec_retire(struct mob_store *s, uint32_t rec, uint64_t want,
		     uint32_t chunk);
/* The same without recursion: what is released may free objects whose records
 * come here again. `first` (may be NULL) is called before, for the record RETIRED(me)
 * with its edges. */
bool mobi_rec_retire_flat(struct mob_store *s, uint32_t rec, uint64_t want,
			  uint32_t chunk,
			  void (*first)(struct mob_store *s, uint32_t rec,
					uint32_t gen));
void mobi_rec_try_free(struct mob_store *s, uint32_t rec);

#endif /* MOBI_EDGE_H */
