/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of tasks.
 *
 *   stream --> node --> node --> node (pending: what is yielded next)
 *     |  ^head
 *     +--> the return of the task
 *
 * A task that yields has one return, as any other: pending until the task is over,
 * then the number of items, or the error. The caller gets the stream, an object that
 * keeps this return alive, and the nodes from `head` on, where its only reader is. It
 * moves its edge from node to node; what it has passed is freed, and when the stream
 * is let go, so is all the rest.
 *
 *   yield   the item into the pending node; THEN its count.
 *   next    a new node; an edge of the old one on it; THEN `next` of the old one;
 *           THEN the old one is SEALED.
 *   end     the return is resolved; THEN the last node is SEALED, without a next.
 *   read    the item; an edge of the stream on the next node; THEN head; THEN the
 *           edge on the old one is released.
 *
 * Who waits for an item waits for its node, which is pending: the reader names it in
 * `wanted` and looks at the count again; the producer raises the count and then looks
 * at `wanted`, and begins a new node for who waits. So many items share a node as
 * long as nobody waits, and none waits for others to come.
 *
 * A producer that dies leaves a pending node, whose task is run again or ended by the
 * janitor: the next attempt walks from `head` to the last node, counts the items, and
 * throws as many away before it adds more; who ends the task walks there, too, and
 * seals it. What it had not yet published (an item beyond the count, a node that no
 * `next` names) is kept by an edge of the node and goes with it. A reader that dies
 * leaves edges on one or two nodes.
 */
#include "yield.h"

#include "args.h"
#include "edge.h"
#include "err.h"
#include "fault.h"
#include "mend.h"
#include "module.h"
#include "object.h"
#include "site.h"
#include "slot.h"
#include "task.h"

#include <string.h>

_Static_assert(MOBI_TYPE_STREAM == MOB_TYPE_STREAM, "of both layers");

/* Less would be inside the slot, where the head of the node is. */
#define BLOCK_MIN (MOBI_INLINE_MAX + 16u)

int mobi_stream_check(const struct mob_task_def *def,
		      const struct mob_task_opts *o)
{
	if (def->n_rets != MOB_RETS_STREAM &&
	    (o->stream_items || o->stream_bytes || o->stream_cancel)) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: stream_items, stream_bytes and "
				"stream_cancel are for tasks that yield a "
				"stream; %s does not",
				def->name);
	}
	return 0;
}

static uint32_t entry_size(const struct mob_type *type)
{
	return type->kind == MOB_KIND_POD &&
			       type->size <= MOBI_STREAM_VALUE_MAX ?
		       type->size :
		       0;
}

int mobi_stream_node_new(struct mob_store *s, const struct mob_type *type,
			 uint64_t producer, uint64_t first, uint32_t cap,
			 uint64_t *out_id, void **out_at)
{
	struct mobi_stream_node *n;
	uint32_t size = entry_size(type);
	uint64_t bytes = (uint64_t)cap * (size ? size : sizeof(uint64_t));
	int rc = mobi_slot_new(s, 0, out_id);

	if (rc < 0) {
		return rc;
	}
	/* INTERNAL: it is never spilled. */
	rc = mobi_slot_value(s, *out_id, bytes < BLOCK_MIN ? BLOCK_MIN : bytes,
			     MOBI_TYPE_INTERNAL, out_at);
	n = mobi_stream_node_at(s, *out_id);
	mobi_store_relaxed(&n->next, UINT64_C(0)); /* the unlock publishes */
	mobi_store_relaxed(&n->count, UINT64_C(0));
	n->first = first;
	n->type = type->id;
	n->size = size;
	n->cap = cap;
	n->reserved = 0;
	/* Under the LOCK of birth, too. */
	mobi_store_relaxed(&s->slots[(uint32_t)*out_id].producer, producer);
	mobi_slot_unlock(s, *out_id);
	if (rc < 0) {
		(void)mobi_slot_resolve(s, *out_id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, *out_id);
	}
	return rc;
}

int mobi_stream_keep(struct mob_store *s, uint64_t of, uint64_t id,
		     uint32_t *inout_hint)
{
	uint32_t c = mobi_load(&s->slots[(uint32_t)of].nested);
	struct mob_ref ref = mobi_ref_of(s, id);

	for (uint32_t k = *inout_hint; c && k < MOBI_EDGE_CHUNK; k++) {
		uint32_t n = MOBI_EDGE_OF_CHUNK(c - 1, k);

		if (MOBI_STATE(mobi_load(&mobi_edge_at(s, n)->word)) ==
		    MOBI_E_FREE) {
			mobi_edge_push(
				s, n,
				MOBI_GEN(mobi_load(&s->chunks[c - 1].word)),
				MOBI_EF_QUIET, id);
			*inout_hint = k + 1;
			return 0;
		}
	}
	*inout_hint = 1; /* of a new chunk, whose first edge this is */
	return mobi_object_nest(s, of, &ref, 1);
}

static int seal_stream(struct mob_store *s, uint64_t id, uint64_t producer,
		       uint64_t ret, uint64_t node)
{
	struct mobi_stream *st;
	struct mob_ref refs[2] = { mobi_ref_of(s, ret), mobi_ref_of(s, node) };
	void *at;
	int rc = mobi_slot_value(s, id, sizeof(*st), MOB_TYPE_STREAM, &at);

	if (rc >= 0) {
		rc = mobi_object_nest(s, id, refs, 2);
	}
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(s, id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, id);
		return rc;
	}
	st = mobi_stream_at(s, id);
	memset(at, 0, sizeof(*st));
	mobi_store_relaxed(&st->head, node + 1); /* the seal publishes */
	mobi_store_relaxed(&s->slots[(uint32_t)id].producer, producer);
	mobi_slot_seal_unseen(s, id);
	return 0;
}

int mobi_stream_make(struct mob_store *s, const struct mob_task_def *def,
		     uint64_t producer, uint64_t ret, uint64_t *out_id)
{
	uint64_t node;
	void *at;
	int rc = mobi_stream_node_new(s, def->rets[0], producer, 0,
				      MOBI_STREAM_CAP_MIN, &node, &at);

	if (rc < 0) {
		return rc;
	}
	rc = mobi_slot_new(s, MOBI_F_OWNED, out_id);
	if (rc >= 0) {
		mobi_site_set(s, *out_id,
			      mobi_site_row_of(s, mobi_module_site(def)));
		rc = seal_stream(s, *out_id, producer, ret, node);
	}
	if (rc < 0) {
		(void)mobi_slot_resolve(s, node, MOBI_S_CANCELLED);
	}
	(void)mobi_slot_release(s, node);
	return rc;
}

uint64_t mobi_stream_return(const struct mob_store *s, uint64_t id)
{
	uint32_t c = mobi_load(&s->slots[(uint32_t)id].nested);
	uint32_t next;

	/* The first edge of the first chunk, which is the list's end. */
	while ((next = mobi_load(&s->chunks[c - 1].next))) {
		c = next;
	}
	return mobi_load(&mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(c - 1, 0))->ref);
}

bool mobi_stream_tail(struct mob_store *s, uint64_t id, uint64_t *out_tail)
{
	struct mobi_stream *st = mobi_stream_at(s, id);
	uint64_t at;
	uint64_t next;

	do {
		at = mobi_load(&st->head);
		if (!at) {
			return false;
		}
		/* The reader may have passed it: it is further on then. */
	} while (mobi_slot_hold(s, at - 1) < 0);
	while ((next = mobi_load(&mobi_stream_node_at(s, at - 1)->next))) {
		int rc = mobi_slot_hold(s, next - 1);

		MOB_ASSERT(rc == 0); /* the one before, held, keeps it */
		(void)mobi_slot_resolve(s, at - 1, MOBI_S_SEALED);
		(void)mobi_slot_release(s, at - 1);
		at = next;
	}
	*out_tail = at - 1;
	return true;
}

static void mend_one(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	(void)i;
	(void)arg;
	if (!mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
		mobi_mend_edges(s, id);
	}
}

void mobi_stream_reap_task(struct mob_store *s, uint32_t rec)
{
	uint64_t id = mobi_args_stream(s, rec);
	uint64_t tail;

	mobi_task_returns(s, rec, mend_one, NULL);
	if (!id || mobi_slot_hold(s, id - 1) < 0) {
		return;
	}
	if (mobi_stream_tail(s, id - 1, &tail)) {
		mobi_mend_edges(s, tail);
		(void)mobi_slot_release(s, tail);
	}
	(void)mobi_slot_release(s, id - 1);
}

void mobi_stream_over(struct mob_store *s, uint32_t rec)
{
	uint64_t id = mobi_args_stream(s, rec);
	uint64_t tail;

	if (!id || mobi_slot_hold(s, id - 1) < 0) {
		return; /* it has none, or nobody wants it */
	}
	MOBI_FAULT("stream.over");
	if (mobi_stream_tail(s, id - 1, &tail)) {
		(void)mobi_slot_resolve(s, tail, MOBI_S_SEALED);
		(void)mobi_slot_release(s, tail);
	}
	(void)mobi_slot_release(s, id - 1);
}
