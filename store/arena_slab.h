/* SPDX-License-Identifier: Apache-2.0 */
/* Slabs: runs cut in blocks of one class. */
#ifndef MOBI_ARENA_SLAB_H
#define MOBI_ARENA_SLAB_H

#include "arena_local.h"

/* Puts free blocks of a class, whose list is empty, on it: from slabs that are
 * known to have some. False: there are none. */
bool mobi_slab_refill(struct mobi_arena *a, struct mobi_arena_local *l,
		      uint32_t class);
/* The same from a new slab. all: as mobi_run_claim. 1: done; 0: no run of
 * units is free; or a negative error: it could not be backed. */
int mobi_slab_new(struct mobi_arena *a, struct mobi_arena_local *l,
		  uint32_t class, bool all);
/* The same from any slab, whoever may have its free blocks on a list; looks at
 * a part of a large arena only. backed: only blocks that are backed, and what
 * is on the list is let go before. */
bool mobi_slab_sweep(struct mobi_arena *a, struct mobi_arena_local *l,
		     uint32_t class, bool backed);

/* Frees a block of the slab whose first unit is unit, with word w. */
bool mobi_slab_free(struct mobi_arena *a, uint64_t unit, uint64_t w,
		    uint64_t off, uint64_t tag);

/* Makes free units of all slabs that are empty. */
void mobi_slab_release_empty(struct mobi_arena *a);
/* Ends the release of a slab (SHUT of this client) that did not come to its
 * end: it is a slab again. */
void mobi_slab_reopen(struct mobi_arena *a, uint64_t unit, uint64_t w);
/* Takes a slab from an owner that is gone. */
void mobi_slab_disown(struct mobi_arena *a, uint64_t unit, uint64_t w);

/* Leaves all blocks on this thread's lists to others. */
void mobi_slab_flush_all(struct mobi_arena *a, struct mobi_arena_local *l);

#endif /* MOBI_ARENA_SLAB_H */
