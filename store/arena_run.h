/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of units: claimed, backed with memory, given back. */
#ifndef MOBI_ARENA_RUN_H
#define MOBI_ARENA_RUN_H

#include "arena_impl.h"

/*
 * Claims n units in a row. all: looks at every group, not only at those whose
 * hint says that they have some. On success the first unit is CLAIM, of this
 * client and class, *out_word its word.
 */
bool mobi_run_claim(struct mobi_arena *a, uint64_t n, uint32_t class, bool all,
		    uint64_t *out_unit, uint64_t *out_word);

/* The same at a place. */
bool mobi_run_claim_at(struct mobi_arena *a, uint64_t unit, uint64_t n,
		       uint32_t class, uint64_t *out_word);
/* More of the arena comes into use; false if there is no more. */
bool mobi_run_grow(struct mobi_arena *a);

/* Ends a run whose first unit is CLAIM or RELEASE of this client. reuse: it is
 * backed, the next claim may well take it. */
void mobi_run_release(struct mobi_arena *a, uint64_t unit, uint64_t word,
		      bool reuse);

/* ---- arena_back.c ---- */

/* Backs these bytes of the arena, of units that the caller has. */
int mobi_run_back(struct mobi_arena *a, uint64_t off, uint64_t bytes);
bool mobi_run_is_backed(const struct mobi_arena *a, uint64_t off,
			uint64_t bytes);
/* Backs the tags of the slab or run that starts at the unit. */
int mobi_run_back_tags(struct mobi_arena *a, uint64_t unit, uint32_t class);
/* True if a first unit's tags are backed, so that they may be read. */
bool mobi_run_has_tags(const struct mobi_arena *a, uint64_t unit,
		       uint32_t class);

/* Gives memory of free units back to the system, at most until bytes are given
 * back; returns how many were. */
uint64_t mobi_run_punch(struct mobi_arena *a, uint64_t bytes);
/* Free units that are backed. */
uint64_t mobi_run_free_backed(const struct mobi_arena *a);

#endif /* MOBI_ARENA_RUN_H */
