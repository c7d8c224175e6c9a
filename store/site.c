/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of places: looked for once a process and place. */
#include "site.h"

#include "err.h"
#include "slot.h"

#include <mobula/memory.h>

#include <stdio.h>
#include <string.h>

/* Numbers given in this process; a forked child goes on from its parent's. */
static mobi_a32 numbers;

/* The number of a place, from 1 on; 0: all are given. */
static uint32_t number_of(struct mob_site *site)
{
	uint32_t had = __atomic_load_n(&site->number, __ATOMIC_RELAXED);
	uint32_t n;

	if (had) {
		return had % MOBI_SITES;
	}
	if (mobi_load(&numbers) >= MOBI_SITES - 1) {
		return 0;
	}
	n = mobi_fetch_add(&numbers, 1u) + 1;
	if (n >= MOBI_SITES) {
		return 0;
	}
	return __atomic_compare_exchange_n(&site->number, &had, n, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) ?
		       n :
		       had;
}

/* The end of a path that a row has room for. */
static const char *tail_of(const char *file)
{
	size_t n = strlen(file);

	return n < MOBI_SITE_FILE ? file : file + n - (MOBI_SITE_FILE - 1);
}

uint32_t mobi_site_find(struct mob_store *s, struct mob_site *site)
{
	const char *file = tail_of(site->file);
	uint32_t n = number_of(site);

	if (!n) {
		return 0;
	}
	for (uint32_t i = 0; i < MOBI_SITES; i++) {
		struct mobi_site_row *r = &s->sites[i];
		uint32_t st = mobi_load(&r->state);

		if (st == MOBI_SITE_FREE &&
		    mobi_cas32(&r->state, &st, MOBI_SITE_WRITING)) {
			r->line = site->line;
			memcpy(r->file, file, strlen(file) + 1);
			mobi_store(&r->state, MOBI_SITE_READY);
			st = MOBI_SITE_READY;
		}
		/* Two processes may each write a row of the same place. */
		if (st == MOBI_SITE_READY && r->line == site->line &&
		    strcmp(r->file, file) == 0) {
			mobi_store(&s->site_row[n], i + 1);
			return i + 1;
		}
	}
	mobi_store(&s->site_row[n], MOBI_SITES + 1); /* no text is found */
	return MOBI_SITES + 1;
}

int mob_site_text(struct mob_store *store, uint32_t site, char *out,
		  size_t size)
{
	const struct mobi_site_row *r;
	int n;

	MOBI_ENTER(store);
	if (size) {
		out[0] = 0;
	}
	if (!site || site > MOBI_SITES ||
	    mobi_load(&store->sites[site - 1].state) != MOBI_SITE_READY) {
		return 0;
	}
	r = &store->sites[site - 1];
	n = snprintf(out, size, "%.*s:%u", (int)MOBI_SITE_FILE - 1, r->file,
		     r->line);
	return n < 0 ? 0 : n;
}
