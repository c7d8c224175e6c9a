/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and pins: what keeps an object although no process needs it. The public
 * half is in <mobula/store.h>.
 *
 * LMDB is the truth. Its three tables change in one transaction:
 *
 *   name   name -> {generation, slot, version}
 *   named  {slot, generation, name} -> nothing: the names of an object
 *   keep   slot -> {generation, names, pins}: how many it has
 *
 * In the tables of the control segment a row of `keep` is the HOLD bit of client
 * 0, who is nobody: the rules of a hold are those of any other
 * (docs/shared-memory.md). The bit changes only under the lock of the catalogue's
 * writer, while that holds the object itself: it is set before the commit that adds
 * the row, and cleared after the commit that takes it away. So what has a row is
 * kept at every moment; a kill in between leaves a bit without a row, which a
 * recount takes away.
 */
#ifndef MOBI_NAME_H
#define MOBI_NAME_H

#include "segment.h"

#define MOBI_KEPT MOBI_BIT(0) /* in mobi_slot.hold */

/* Takes the names of an object away that is kept by cached ones alone, at most; so
 * it goes, unless somebody needs it. 1: done; 0: it is not such a one. */
int mobi_name_drop_cached(struct mob_store *s, uint64_t id);

/* Makes bits and rows agree again if a death has put that in question. */
int mobi_name_recount(struct mob_store *s);

/* Every row against the bits and back, when nothing else runs. Calls fn (may be
 * NULL) with a line for each finding; returns how many, or an error. */
int mobi_name_check(struct mob_store *s, void (*fn)(const char *, void *),
		    void *arg);

#endif /* MOBI_NAME_H */
