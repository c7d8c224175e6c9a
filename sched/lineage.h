/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks that have ended and may run again for what they made: see gone.h. */
#ifndef MOBI_LINEAGE_H
#define MOBI_LINEAGE_H

#include "runtime.h"

/* Of a new session: MOBULA_LINEAGE. */
int mobi_lineage_init(struct mobi_sched *sh);

/* RUN(me), its returns sealed -> KEPT, and its edges on its arguments are weak.
 * False: it is to be retired. */
bool mobi_lineage_keep(struct mob_store *s, uint32_t rec, uint64_t w);
/* The record may have got a flag: it runs again if that is wanted, and goes if
 * nothing is left of what it made. */
void mobi_lineage_look(struct mob_store *s, uint32_t rec);
/* As mobi_reap_hooks.evict. */
bool mobi_lineage_evict(struct mob_store *s, uint64_t id, bool cheaply);
/* As mobi_reap_hooks.take and .give. */
bool mobi_lineage_take(struct mob_store *s, uint64_t producer);
void mobi_lineage_give(struct mob_store *s, uint64_t producer);
/* The janitor's part. */
void mobi_lineage_reap(struct mob_store *s, uint64_t dead);

/* The value that is GONE. */
struct mobi_lineage_was {
	uint64_t size;
	uint32_t type;
	uint32_t sum; /* 0: not known */
	bool gone;
};
struct mobi_lineage_was mobi_lineage_was(const struct mob_store *s,
					 uint64_t id);
/* Tells once a task if the new value, which is not sealed yet, is another. */
void mobi_lineage_compare(struct mob_store *s, uint32_t rec, uint64_t id,
			  const struct mobi_lineage_was *was);

#endif /* MOBI_LINEAGE_H */
