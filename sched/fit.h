/* SPDX-License-Identifier: Apache-2.0 */
/* What fits beside what runs, and taking a record only if it does. */
#ifndef MOBI_FIT_H
#define MOBI_FIT_H

#include "resources.h"
#include "runtime.h"

/* What is free at a moment. */
struct mobi_room {
	uint32_t cpu;
	uint32_t amount[MOBI_RESOURCES];
};

/* Can so many workers run at once, whatever tasks they take? There are processors for
 * them, and no task wishes for anything else. Then nothing has to be summed. */
bool mobi_fit_is_roomy(const struct mobi_sched *sh, uint32_t workers);
/* For this worker. roomy: mobi_fit_is_roomy; then nothing is summed. */
struct mobi_room mobi_fit_room(const struct mob_store *s, bool roomy);
/* A bit for each shape whose wish fits in the room. */
uint64_t mobi_fit_shapes(const struct mobi_sched *sh,
			 const struct mobi_room *room);
/* Those that would take of what one lacks that does not fit in the room: of the
 * resources that it lacks, or else of the processors. */
uint64_t mobi_fit_rivals(const struct mobi_sched *sh,
			 const struct mobi_shape *starved,
			 const struct mobi_room *room);
enum mobi_fit_look {
	MOBI_FIT_SUM,
	MOBI_FIT_ROOMY, /* is_roomy, known under the lock of the domain */
	MOBI_FIT_LOOK   /* whether it is so is looked at, without the lock */
};
/* Announces, sums, and only then takes: READY of that version -> RUN(me). False: it is
 * not that any more, or does not fit. */
bool mobi_fit_take(struct mob_store *s, uint32_t rec, uint32_t version,
		   enum mobi_fit_look look, uint64_t *out_w);
/* READY -> RUN(me) of a task of this generation that this process wants itself
 * (block.c), without asking for a processor. */
bool mobi_fit_claim(struct mob_store *s, uint32_t rec, uint32_t gen,
		    uint64_t *out_w);

#endif /* MOBI_FIT_H */
