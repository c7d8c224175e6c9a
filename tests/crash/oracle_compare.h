/* SPDX-License-Identifier: Apache-2.0 */
/* A store beside its oracle. */
#ifndef ORACLE_COMPARE_H
#define ORACLE_COMPARE_H

#include "oracle.h"
#include "store_fixture.h"

/* The names of an object that may be evicted are asked for, and those that are gone
 * are taken away in the oracle. was_cached: they could go until just now. False:
 * names are gone that nobody was allowed to take. Within a transaction. */
bool compare_evicted(struct mob_store *s, struct oracle *o, uint64_t id,
		     bool was_cached);
bool compare_evicted_all(struct mob_store *s, struct oracle *o);

/* All of the store against the oracle, while nothing else runs: how many things
 * differ, each printed. Spilled objects are read back by it; may_be_full: if there
 * is room for them. */
int compare_all(struct mob_store *s, struct oracle *o, bool may_be_full,
		uint64_t *random);

static inline struct mob_ref ref_of_id(const struct mob_store *s, uint64_t id)
{
	struct mob_ref r = { .hi = (uint64_t)s->epoch << 32, .lo = id };

	return r;
}

#endif /* ORACLE_COMPARE_H */
