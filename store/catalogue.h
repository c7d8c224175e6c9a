/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalogue: an LMDB index of the objects that live longer than moments.
 *
 * It is fed by bits, not by events. Who has resolved an object, or freed one
 * that is in the catalogue, sets the dirty bit of its chunk of 64 slots AFTER
 * the CAS on the slot's word (usually it is set already: three loads). The
 * index writer - the daemon, or any process in sync - takes a bit, compares
 * the 64 slots with their rows, and writes the difference, up to 1,024 rows a
 * transaction. Every step may be cut short and done again. What a killed
 * writer had taken is found and marked again by the next one; what a killed
 * sealer or freer did not mark, the janitor does (mobi_catalogue_reset).
 * Design and proofs: catalogue.c; reasons: docs/adr/0002.
 */
#ifndef MOBI_CATALOGUE_H
#define MOBI_CATALOGUE_H

#include "store_layout.h"

#include <mobula/store.h>

/* Shared part, in the control segment. */
struct mobi_cat_shared {
	mobi_a64 drained_ms; /* complete for all before it, session time */
	mobi_a64 doing;      /* what the writer has taken; see catalogue.c */
	mobi_a32 has_names;  /* there may be names or pins */
	mobi_a32 recount;    /* bits and rows of these may disagree: name.h */
	mobi_a32 has_cached; /* there may be objects that can be evicted */
	uint32_t reserved;
	mobi_a64 evicted;         /* objects so far */
	struct mobi_lock opening; /* one process at a time opens LMDB */
	/* And one writes. LMDB's own lock survives a death; for one that is
	 * stopped it makes all others wait, and cannot be tried. */
	struct mobi_lock writing;
	mobi_a64 root; /* a bit for each word of mid */
	mobi_a64 mid[MOBI_SLOTS / MOBI_SLOT_CHUNK / 64 / 64]; /* of leaf */
	mobi_a64 leaf[MOBI_SLOTS / MOBI_SLOT_CHUNK /
		      64]; /* a bit a slot chunk */
	/* Not 0 if LMDB may have a row of the slot; else its generation. */
	mobi_a32 indexed[MOBI_SLOTS];
};

/* A row. The key is the slot, a 32-bit number of the machine's byte order. */
struct mobi_cat_row {
	uint32_t gen;
	uint32_t state;
	uint64_t size; /* 0 if the object has no value */
	uint32_t type;
	uint32_t born_ms;
	uint32_t creator;
	uint32_t reserved;
};
MOBI_SIZE(struct mobi_cat_row, 32);

struct mobi_catalogue; /* a user of this process's LMDB environment */

/*
 * idx: the session's directory for LMDB, below dir_fd; it exists, and may be
 * moved later. slots, shared: the mapped tables. The environment is opened at
 * first use, and once a process for all catalogues of one directory. A forked
 * child gets MOB_E_FORKED and opens its own.
 * Errors: NOT_FOUND, NOMEM, SYS.
 */
int mobi_catalogue_open(int dir_fd, const char *idx,
			struct mobi_cat_shared *shared, struct mobi_slot *slots,
			uint64_t session_began_ns,
			struct mobi_catalogue **out_cat);
/* Not while another thread uses it. NULL is allowed. */
void mobi_catalogue_close(struct mobi_catalogue *c);

/* hot: called after the CAS that resolved the slot's object, and after the CAS
 * that freed it if indexed[slot] is not 0. */
static inline void mobi_catalogue_touch(struct mobi_cat_shared *c,
					uint32_t slot)
{
	uint32_t chunk = slot / MOBI_SLOT_CHUNK;
	uint32_t leaf = chunk / 64;
	uint32_t mid = leaf / 64;

	if (!(mobi_load(&c->leaf[leaf]) & MOBI_BIT(chunk % 64))) {
		(void)mobi_fetch_or(&c->leaf[leaf], MOBI_BIT(chunk % 64));
	}
	if (!(mobi_load(&c->mid[mid]) & MOBI_BIT(leaf % 64))) {
		(void)mobi_fetch_or(&c->mid[mid], MOBI_BIT(leaf % 64));
	}
	if (!(mobi_load(&c->root) & MOBI_BIT(mid))) {
		(void)mobi_fetch_or(&c->root, MOBI_BIT(mid));
	}
}

/*
 * Records and removes what the bits say; objects younger than min_age_ms are
 * left for later (their bits are set again). When it returns 0, all that was
 * resolved and touched before the call, and is old enough, is in LMDB, also
 * what other writers were doing. Serialised by LMDB's own writer lock, so it
 * waits for a stopped writer. Clears the reader slots of dead processes.
 * *out_rows (may be NULL): rows written and removed. After an error nothing is
 * lost: the next call does it.
 * Errors: DISK_FULL, LIMIT (map full), IO, SYS, NOMEM, CORRUPT, FORKED, TIMEOUT
 * (10 s: a stopped process is opening LMDB), AGAIN (another thread still uses
 * an environment that must be reopened).
 */
int mobi_catalogue_drain(struct mobi_catalogue *c, uint64_t min_age_ms,
			 uint64_t *out_rows);
/* After a death: sets the bit of every chunk below used_chunks, so that the
 * next drain looks at all of them. */
void mobi_catalogue_reset(struct mobi_cat_shared *c, uint32_t used_chunks);

/*
 * Calls fn for each row in the order of slots until it returns nonzero, and
 * returns that. fn may call any function of the store: no transaction is open
 * meanwhile. A row that is written or removed during the call may or may not
 * be seen. *out_lag_ms (may be NULL): what was resolved or freed longer ago
 * is up to date.
 */
int mobi_catalogue_list(struct mobi_catalogue *c, uint32_t epoch,
			int (*fn)(const struct mob_object_info *, void *),
			void *arg, uint64_t *out_lag_ms);
/* The same for those that a query wants, through an index. */
int mobi_catalogue_find(struct mobi_catalogue *c, uint32_t epoch,
			const struct mob_object_query *q,
			int (*fn)(const struct mob_object_info *, void *),
			void *arg, uint64_t *out_lag_ms);
/* How long to wait for another process that opens or writes; 0: not at all, then
 * MOB_E_BUSY. 10 s at first. */
void mobi_catalogue_patience(struct mobi_catalogue *c, int64_t ns);
/* Has anybody written to it yet? */
bool mobi_catalogue_is_made(const struct mobi_catalogue *c);
/* Rows in LMDB, counted by LMDB. */
int mobi_catalogue_rows(struct mobi_catalogue *c, uint64_t *out_rows);
/*
 * Every row against the slots below used_slots and back, but for those that are
 * marked as out of date; complete only when quiescent and drained with
 * min_age_ms 0. Calls fn (may be NULL) with a line for each finding; returns how
 * many, or an error.
 */
int mobi_catalogue_check(struct mobi_catalogue *c, uint32_t used_slots,
			 void (*fn)(const char *, void *), void *arg);

#endif /* MOBI_CATALOGUE_H */
