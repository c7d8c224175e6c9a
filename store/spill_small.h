/* SPDX-License-Identifier: Apache-2.0 */
/* Small objects that are spilled several to a file (spill_small.c), and what that
 * needs of spill.c. */
#ifndef MOBI_SPILL_SMALL_H
#define MOBI_SPILL_SMALL_H

#include "slot.h"
#include "spill_file.h"

/* From here on a file of its own costs less than it frees. */
#define MOBI_SPILL_OWN 4096u

static inline bool mobi_spill_is_small(const struct mobi_slot *o)
{
	return mobi_slot_total(o) < MOBI_SPILL_OWN;
}

/* ---- spill.c: under LOCK(me), which they end, and SPILL ---- */

/* It is not moved. */
void mobi_spill_stays(struct mob_store *s, uint32_t slot);
/* Its file is there: the block is freed. Returns the bytes of that. */
uint64_t mobi_spill_goes(struct mob_store *s, uint64_t id);

/* ---- spill_small.c ---- */

/* An empty container; NULL: no memory, which is recorded. */
struct mobi_container *mobi_small_new(void);
void mobi_small_free(struct mobi_container *c);
/* Takes over a slot under LOCK(me) and SPILL into one that is not full. If there is
 * no memory, it stays. */
int mobi_small_add(struct mob_store *s, struct mobi_container *c,
		   uint32_t slot);
/* Writes them, each to a file of its own if there are no hard links, and empties c.
 * Returns 0, or why some stay; *n and *freed grow by those that went, and the bytes of
 * their blocks. */
int mobi_small_out(struct mob_store *s, struct mobi_container *c, int *n,
		   uint64_t *freed);

/* The file of an object goes, as its value does or is in memory. Two containers
 * that are half empty are made one. */
void mobi_small_remove(struct mob_store *s, uint64_t id);
/* Of an object whose mover died: what that may have left. */
void mobi_small_repair(struct mob_store *s, uint64_t id);

#endif /* MOBI_SPILL_SMALL_H */
