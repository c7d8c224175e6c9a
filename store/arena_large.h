/* SPDX-License-Identifier: Apache-2.0 */
/* Large blocks, each a run of its own; and what to do when there is no room. */
#ifndef MOBI_ARENA_LARGE_H
#define MOBI_ARENA_LARGE_H

#include "arena_impl.h"

int mobi_large_alloc(struct mobi_arena *a, uint64_t size, uint64_t tag,
		     mobi_a64 *loc);
/* Frees the block of the run that starts at unit, with word w, if it has the
 * tag. */
bool mobi_large_free(struct mobi_arena *a, uint64_t unit, uint64_t w,
		     uint64_t tag);

/* The run is CLAIM, of this process or of a dead one, and has its tag: it
 * becomes LARGE. */
void mobi_large_settle(struct mobi_arena *a, uint64_t unit, uint64_t w);

/* True if the error of a system call says that there is no memory. */
bool mobi_no_room(int rc);
/* Lets go of free memory for others to take; false if there is none. */
bool mobi_room_make(struct mobi_arena *a, uint64_t bytes);
/* The error of an allocation that failed with rc; 0: no run was free. */
int mobi_full(uint64_t size, int rc);

#endif /* MOBI_ARENA_LARGE_H */
