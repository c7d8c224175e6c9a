/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting what a process does, for people who look on. A thread has a row of its
 * own in the shared table, which it finds without a lock and writes without a
 * read-modify-write; a seat would do, but looking it up costs more than the count.
 */
#ifndef MOBI_COUNT_H
#define MOBI_COUNT_H

#include "segment.h"

/* The row that this thread counted in last. */
struct mobi_count_here {
	uint64_t id; /* count_id of its store; 0: none */
	struct mobi_count_row *row;
	bool shared; /* with other threads */
};
/* Few bytes, so that there is room for them in a library that is loaded later. */
extern _Thread_local struct mobi_count_here mobi_count_here
	__attribute__((tls_model("initial-exec")));

/* Gives this thread a row of the store. */
void mobi_count_find(struct mob_store *s);
/* A number that no other store of this process has had. */
uint64_t mobi_count_id(void);

/* The sum of all rows of a process's number. */
uint64_t mobi_count_of(const struct mob_store *s, uint32_t client,
		       uint32_t what);

/* hot */
static inline struct mobi_count_row *mobi_count_row(struct mob_store *s)
{
	if (mobi_count_here.id != s->count_id) {
		mobi_count_find(s);
	}
	return mobi_count_here.row;
}

/* hot */
static inline void mobi_count(struct mob_store *s, uint32_t what, uint64_t n)
{
	mobi_a64 *at = &mobi_count_row(s)->n[what];

	if (mobi_count_here.shared) {
		(void)mobi_fetch_add(at, n);
	} else {
		/* One writer; who reads wants a number of about now. */
		mobi_store_relaxed(at, mobi_load_relaxed(at) + n);
	}
}

#endif /* MOBI_COUNT_H */
