/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The places in the source that make objects. A place is a static struct of the
 * program, numbered once in the process; each store that the process is attached
 * to has a row with its text, found or made at the first use. The number of the row
 * stands in the slots.
 */
#ifndef MOBI_SITE_H
#define MOBI_SITE_H

#include "segment.h"

/* Numbers the place and finds its row. 0, or a number of no row: there is no room
 * for another. */
uint32_t mobi_site_find(struct mob_store *s, struct mob_site *site);

/* Row + 1 of a place (NULL: unknown) in this store, 0 if it has none. Asked for
 * first thing, so that its loads are over before the CAS of the new slot. hot */
static inline uint32_t mobi_site_row_of(struct mob_store *s,
					struct mob_site *site)
{
	uint32_t row;

	if (!site) {
		return 0;
	}
	/* The row of number 0 is 0; what is found is the same each time. */
	row = mobi_load_relaxed(
		&s->site_row[__atomic_load_n(&site->number, __ATOMIC_RELAXED) %
			     MOBI_SITES]);
	return row ? row : mobi_site_find(s, site);
}

/* The new slot, which is this process's LOCKed, was made at the place of a row.
 * hot */
static inline void mobi_site_set(struct mob_store *s, uint64_t id, uint32_t row)
{
	if (row) {
		/* The CAS that resolves publishes it. */
		mobi_store_relaxed(&s->slots[(uint32_t)id].creator,
				   MOBI_CREATOR_AT(s->me, row));
	}
}

#endif /* MOBI_SITE_H */
