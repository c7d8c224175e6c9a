/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources beside processors: names and amounts that a session has and tasks wish
 * for, to 1/10,000; or devices, which are whole, have numbers, and belong to one task
 * at a time.
 *
 * A worker writes what its tasks hold into its place, THEN sums what all places hold,
 * and takes it back if that is too much. So there is never too much, whoever dies: a
 * dead place counts until the janitor has done with its tasks. Unlike a processor, a
 * resource stays with a task that waits.
 */
#ifndef MOBI_RESOURCES_H
#define MOBI_RESOURCES_H

#include "runtime.h"

/* "gpu:2,license=1.5": those of a new session; "memory", in GiB, is there in any case
 * but that of 8 others. INVAL, LIMIT. */
int mobi_resources_define(struct mobi_sched *sh, const char *text);

/* Has the session these? Another's text is EXISTS. */
int mobi_resources_same(const struct mobi_sched *sh, const char *text);
/* "gpu=1,license=0.5", and so many bytes of memory: the wish of a task, in
 * MOBI_CPU_UNIT. NULL or "", and 0: none. INVAL, with the names that there are. */
int mobi_resources_wish(const struct mobi_sched *sh, const char *text,
			uint64_t memory, uint32_t amount[MOBI_RESOURCES]);

/* What nobody holds. */
void mobi_resources_free(const struct mobi_sched *sh,
			 uint32_t out[MOBI_RESOURCES]);
/* Does the wish fit in so much? */
static inline bool mobi_resources_fit(const struct mobi_shape *shape,
				      const uint32_t have[MOBI_RESOURCES])
{
	for (uint32_t r = 0; shape->some && r < MOBI_RESOURCES; r++) {
		if (shape->amount[r] > have[r]) {
			return false;
		}
	}
	return true;
}

/* Devices that a task has, a bit each. */
struct mobi_devices {
	uint64_t of[MOBI_RESOURCES];
};

/* For this worker; false: not now. Before the record is taken. */
bool mobi_resources_take(struct mobi_sched *sh, uint32_t place,
			 const struct mobi_shape *shape);
/* The devices of the last take, which is over. */
struct mobi_devices mobi_resources_taken(void);
void mobi_resources_give(struct mobi_sched *sh, uint32_t place,
			 const struct mobi_shape *shape,
			 const struct mobi_devices *devices);
/* Of nobody any more. */
void mobi_resources_clear(struct mobi_place_shared *p);

#endif /* MOBI_RESOURCES_H */
