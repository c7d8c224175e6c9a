/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bundles: several tiny tasks that a worker takes in one go.
 *
 * Of what its policy lets it have, a worker that has taken a task of a function whose
 * measured cost is tiny takes a few of the next ones too, and comes back to the lock
 * of the domain when they are done. They stay READY, and their order is that of the
 * queue. What is in a bundle is in shared memory, so that it is never stuck there: the
 * owner gives it back before it blocks or leaves; others that are idle, or in a turn
 * now and then, mark it on the board if its owner does not come to it; and who reaps marks every READY record. It
 * may be in a queue again then: who takes it first has it. tests/models/bundle.pml.
 */
#ifndef MOBI_BUNDLE_H
#define MOBI_BUNDLE_H

#include "sched_layout.h"
#include "segment.h"

/* Cost in ns that the tasks of a bundle have together, at most. */
#define MOBI_BUNDLE_NS UINT64_C(16000)
/* How long others leave it with its owner. */
#define MOBI_BUNDLE_AGE_NS UINT64_C(50000)

/* How many more the owner may put after a task of function fn, which costs so much, if
 * so many are queued. In the turn that took it. */
uint32_t mobi_bundle_room(const struct mob_store *s, uint32_t fn,
			  uint32_t queued, uint64_t cost_ns);
/* Out of the queue, into the bundle of this worker. */
void mobi_bundle_put(struct mob_store *s, uint32_t rec, uint32_t version);

/* Takes the next one of this worker's: READY to RUN, as mobi_fit_take does it.
 * *io_now_ns: when the last one ended; when this one begins. */
bool mobi_bundle_next(struct mob_store *s, uint32_t *out_rec, uint64_t *out_w,
		      uint64_t *io_now_ns);
/* What the next one would be. */
bool mobi_bundle_peek(const struct mob_store *s, uint32_t *out_rec,
		      uint32_t *out_version);
/* Puts what is left of this worker's back on the board, and wakes another for it. */
void mobi_bundle_give_back(struct mob_store *s);

/* The task of that function that runs is about to block: gives back, and for a while
 * leaves alone what follows its like. */
void mobi_bundle_blocks(struct mob_store *s, uint32_t fn);

/* Has another worker something in its bundle? */
bool mobi_bundle_some(const struct mob_store *s);
/* Marks on the board what others have had for longer than MOBI_BUNDLE_AGE_NS without
 * coming to it. True: there was something. */
bool mobi_bundle_reclaim(struct mob_store *s);

/* The place in whose bundle it is. False: in none. */
bool mobi_bundle_find(const struct mob_store *s, uint32_t rec, uint32_t version,
		      uint32_t *out_place);

#endif /* MOBI_BUNDLE_H */
