/* SPDX-License-Identifier: Apache-2.0 */
/* When which record is due. */
#include "due.h"

#include <stdlib.h>
#include <string.h>

static void set(struct mobi_due *d, uint32_t i, const struct mobi_due_entry *e)
{
	d->heap[i] = *e;
	d->place[e->rec] = i + 1;
}

/* Finds the place of e, from the hole i upwards, then downwards. */
static void sift(struct mobi_due *d, uint32_t i, const struct mobi_due_entry *e)
{
	while (i && d->heap[(i - 1) / 2].at_ns > e->at_ns) {
		set(d, i, &d->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint32_t k = 2 * i + 1;

		if (k + 1 < d->n && d->heap[k + 1].at_ns < d->heap[k].at_ns) {
			k++;
		}
		if (k >= d->n || d->heap[k].at_ns >= e->at_ns) {
			break;
		}
		set(d, i, &d->heap[k]);
		i = k;
	}
	set(d, i, e);
}

static void take_out(struct mobi_due *d, uint32_t i)
{
	struct mobi_due_entry last = d->heap[d->n - 1];

	d->place[d->heap[i].rec] = 0;
	d->n--;
	if (i < d->n) {
		sift(d, i, &last);
	}
}

static bool make_room(struct mobi_due *d, uint32_t rec)
{
	if (rec >= d->places) {
		uint32_t want = d->places ? d->places : 1024;
		uint32_t *more;

		while (want <= rec) {
			want *= 2;
		}
		more = realloc(d->place, want * sizeof(*more));
		if (!more) {
			return false;
		}
		memset(more + d->places, 0, (want - d->places) * sizeof(*more));
		d->place = more;
		d->places = want;
	}
	if (d->n == d->size) {
		uint32_t want = d->size ? 2 * d->size : 64;
		struct mobi_due_entry *more = realloc(d->heap,
						      want * sizeof(*more));

		if (!more) {
			return false;
		}
		d->heap = more;
		d->size = want;
	}
	return true;
}

struct mobi_due_entry mobi_due_get(const struct mobi_due *d, uint32_t rec)
{
	if (rec < d->places && d->place[rec]) {
		return d->heap[d->place[rec] - 1];
	}
	return (struct mobi_due_entry){ .at_ns = UINT64_MAX, .rec = rec };
}

bool mobi_due_put(struct mobi_due *d, const struct mobi_due_entry *e)
{
	uint32_t at = e->rec < d->places ? d->place[e->rec] : 0;

	if (e->at_ns == UINT64_MAX) {
		if (at) {
			take_out(d, at - 1);
		}
		return true;
	}
	if (!at) {
		if (!make_room(d, e->rec)) {
			return false;
		}
		at = ++d->n;
	}
	sift(d, at - 1, e);
	return true;
}

bool mobi_due_pop(struct mobi_due *d, uint64_t now, struct mobi_due_entry *out)
{
	if (!d->n || d->heap[0].at_ns > now) {
		return false;
	}
	*out = d->heap[0];
	take_out(d, 0);
	return true;
}

uint64_t mobi_due_next(const struct mobi_due *d)
{
	return d->n ? d->heap[0].at_ns : UINT64_MAX;
}

void mobi_due_free(struct mobi_due *d)
{
	free(d->heap);
	free(d->place);
	memset(d, 0, sizeof(*d));
}
