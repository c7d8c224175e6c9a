/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free entries of the tables (slots, records, edge chunks). A table is cut in
 * groups of 64; a process owns groups and hands their entries to its threads.
 * Hints say which entries are worth trying; the entry's own word decides. So
 * nothing here is ever the truth: a lost hint is set again by the janitor, a
 * wrong one costs a failed CAS.
 */
#ifndef MOBI_POOL_H
#define MOBI_POOL_H

#include "segment.h"

/* Sets up this process's side. */
int mobi_pool_init(struct mobi_pool *p, struct mobi_pool_shared *shared,
		   struct mobi_group *group, uint32_t n_groups,
		   const void *rows, uint32_t row_bytes,
		   int (*back)(struct mob_store *, uint32_t), const char *what);
void mobi_pool_fini(struct mobi_pool *p);

/* An entry that may be free; the caller claims it by a CAS on its word, or
 * comes again. MOB_E_LIMIT if the table is full. */
int mobi_pool_take(struct mob_store *s, uint32_t which, uint32_t *out_entry);
/* Says that an entry has become free. */
void mobi_pool_hint(struct mob_store *s, uint32_t which, uint32_t entry);
/* Makes the first n entries claimable by number. Only in a session that nobody
 * else sees yet; mobi_pool_reap says afterwards which are free. */
int mobi_pool_reserve(struct mob_store *s, uint32_t which, uint32_t n);
/* Entries below this index may have been claimed. */
uint32_t mobi_pool_used(const struct mob_store *s, uint32_t which);

/* Gives a seat's entries at hand back. */
void mobi_pool_return(struct mob_store *s, struct mobi_seat *seat);
/* This process leaves: its groups become orphans. */
void mobi_pool_leave(struct mob_store *s);
/* The dead own no groups; every entry that free_of says gets its hint. free_of
 * returns a bit for each free entry of a group. */
void mobi_pool_reap(struct mob_store *s, uint32_t which, uint64_t dead,
		    uint64_t (*free_of)(struct mob_store *, uint32_t group));

#endif /* MOBI_POOL_H */
