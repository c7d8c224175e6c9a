/* SPDX-License-Identifier: Apache-2.0 */
/* Completion queues, inside. The public half is in <mobula/store.h>. */
#ifndef MOBI_CQ_H
#define MOBI_CQ_H

#include "segment.h"

/* The object of edge i of chunk c is resolved: LIVE -> FIRED with its place in
 * the order, then the ready bits, then the bell. Idempotent. */
void mobi_cq_fire(struct mob_store *s, uint32_t chunk, uint32_t i,
		  struct mobi_edge *e, uint64_t w);
/* After a death: the queues of the dead are closed; every other queue has its
 * ready bits set again for FIRED edges, and is rung. */
void mobi_cq_reap(struct mob_store *s, uint64_t dead);

/* The client that has the queue open, or 0. */
uint32_t mobi_cq_owner(const struct mob_store *s, uint32_t index);

/* For a queue of one popper that wants n entries and none before: it is woken
 * when n have completed since it was opened, or one that is no value. A pop
 * takes what is there, whatever woke it. Called before a pop. The queue is of a
 * call of this kind (MOBI_WAIT_ALL or _SOME), which pops until it has n. */
void mobi_cq_ring_from(struct mob_cq *cq, uint32_t n, uint32_t kind);

/* Calls fn, until it returns false, for what a queue of any process has: objects
 * that are not resolved, and those that are and were not popped (fired). Nothing is
 * locked: what changes meanwhile may be told twice or not at all. Thread: any. */
void mobi_cq_entries(const struct mob_store *s, uint32_t index,
		     bool (*fn)(void *arg, uint64_t id, bool fired), void *arg);

/* Frees a queue of this process whose store is closed already. */
void mobi_cq_forget(struct mob_cq *cq);

/* Wakes who sleeps in a pop of the queue: it looks again. */
void mobi_cq_ring(struct mob_store *s, uint32_t index);

#endif /* MOBI_CQ_H */
