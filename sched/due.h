/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When which record is due: a binary heap in private memory that knows where each
 * record stands in it, so that one can be moved (as the priority queue of Sedgewick
 * and Wayne, "Algorithms", 4th edition, section 2.4, IndexMinPQ). For one thread.
 */
#ifndef MOBI_DUE_H
#define MOBI_DUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mobi_due_entry {
	uint64_t at_ns; /* UINT64_MAX: never */
	uint64_t
		step_ns; /* of one that is told to end: when its next step is */
	uint32_t rec;
	uint32_t version; /* the attempt that is told */
	uint32_t step;    /* 0: not told */
};

/* All zero: empty. */
struct mobi_due {
	struct mobi_due_entry *heap;
	uint32_t *place; /* of a record: index + 1, or 0 */
	uint32_t n;
	uint32_t size;   /* of heap */
	uint32_t places; /* of place */
};

/* What is known of a record; one that is never due if nothing is. */
struct mobi_due_entry mobi_due_get(const struct mobi_due *d, uint32_t rec);
/* In the place of what is known of e->rec; at_ns UINT64_MAX forgets it. False:
 * no memory, then nothing is known of it. */
bool mobi_due_put(struct mobi_due *d, const struct mobi_due_entry *e);
/* Takes the earliest one if it is due by now. */
bool mobi_due_pop(struct mobi_due *d, uint64_t now, struct mobi_due_entry *out);
/* When the earliest one is due, or UINT64_MAX. */
uint64_t mobi_due_next(const struct mobi_due *d);
void mobi_due_free(struct mobi_due *d);

#endif /* MOBI_DUE_H */
