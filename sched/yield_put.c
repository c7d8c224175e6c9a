/* SPDX-License-Identifier: Apache-2.0 */
/* The producing end of a stream: a task that yields. */
#include "yield_out.h"

#include "arena.h"
#include "args.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "get.h"
#include "guard.h"
#include "module.h"
#include "object.h"
#include "retry.h"
#include "site.h"
#include "slot.h"
#include "task_cancel.h"
#include "value.h"

#include <mobula/task_stream.h>

#include <stdlib.h>
#include <string.h>

/* Bytes of the block of a node that is filled before anybody waits. */
#define NODE_BYTES 4096u
/* A node that keeps so many bytes of objects is full: who has passed it has freed
 * them. And so many objects, which the edges of one chunk keep, and the next node. */
#define NODE_KEEPS (UINT64_C(64) << 10)
#define NODE_OBJECTS (MOBI_EDGE_CHUNK - 2u)

/* ---- where it is ---- */

/* Bytes of the items that were not read yet, up to the end of node `tail`. The
 * caller holds the stream. */
static uint64_t unread_bytes(struct mob_store *s, uint64_t id, uint64_t read)
{
	uint64_t at = mobi_load(&mobi_stream_at(s, id)->head);
	uint64_t sum = 0;

	while (at && mobi_slot_hold(s, at - 1) >= 0) {
		const struct mobi_stream_node *n = mobi_stream_node_at(s,
								       at - 1);
		uint64_t next = mobi_load(&n->next);
		uint64_t count = mobi_load(&n->count);
		uint64_t i = read > n->first ? read - n->first : 0;
		const uint64_t *ids = mobi_arena_ro(
			s->arena, mobi_load(&s->slots[(uint32_t)(at - 1)].loc));

		for (; i < count; i++) {
			sum += n->size ? n->size :
					 mobi_load_relaxed(
						 &s->slots[(uint32_t)ids[i]]
							  .size);
		}
		(void)mobi_slot_release(s, at - 1);
		at = next;
	}
	return sum;
}

/* Where an attempt before this one was. The caller holds the stream. */
static void attach(struct mob_store *s, struct mobi_stream_out *out)
{
	struct mobi_stream *st = mobi_stream_at(s, out->id);
	const struct mobi_stream_node *n;
	uint64_t loc;
	uint64_t read;

	if (!mobi_stream_tail(s, out->id, &out->node)) {
		out->gone = true;
		return;
	}
	n = mobi_stream_node_at(s, out->node);
	loc = mobi_load(&s->slots[(uint32_t)out->node].loc);
	if (s->check_writes) {
		mobi_guard_open(s, loc);
	}
	out->at = mobi_arena_rw(s->arena, loc);
	out->first = n->first;
	out->n = mobi_load(&n->count);
	out->cap = n->cap;
	out->skip = out->first + out->n;
	if (!out->skip) {
		return;
	}
	/* The reader may go on meanwhile; that it does for ever makes the bound a
	 * little tighter. */
	for (int i = 0; i < 8; i++) {
		read = mobi_load(&st->read);
		out->bytes = mobi_load(&st->read_bytes) +
			     unread_bytes(s, out->id, read);
		if (mobi_load(&st->read) == read) {
			return;
		}
	}
}

void mobi_stream_stop(struct mob_store *s, struct mobi_context *c, bool over)
{
	struct mobi_stream_out *out = c->out;

	if (!out) {
		return;
	}
	c->out = NULL;
	if (over) {
		MOBI_FAULT("stream.ended");
	}
	if (out->at) {
		if (over) {
			(void)mobi_slot_resolve(s, out->node, MOBI_S_SEALED);
		}
		(void)mobi_slot_release(s, out->node);
	}
	free(out);
}

uint64_t mobi_stream_yielded(const struct mobi_context *c)
{
	return c->out ? c->out->index : 0;
}

/* ---- items ---- */

/* Begins a new node, and seals the one before. */
static int next_node(struct mob_store *s, struct mobi_context *c, bool full)
{
	struct mobi_stream_out *out = c->out;
	const struct mob_type *type = out->def->rets[0];
	struct mobi_stream_node *old = mobi_stream_node_at(s, out->node);
	uint64_t most = old->size ? NODE_BYTES / old->size : NODE_OBJECTS;
	uint64_t cap = full ? 2 * out->cap : 2 * out->n;
	uint64_t producer = (c->task & ~UINT64_C(0xffffffff)) |
			    ((uint32_t)c->task + 1);
	uint64_t next;
	void *at;
	int rc;

	cap = cap < most ? cap : most;
	cap = cap > MOBI_STREAM_CAP_MIN ? cap : MOBI_STREAM_CAP_MIN;
	rc = mobi_stream_node_new(s, type, producer, out->first + out->n,
				  (uint32_t)cap, &next, &at);
	if (rc < 0) {
		return rc;
	}
	rc = mobi_stream_keep(s, out->node, next, &out->edge);
	if (rc < 0) {
		(void)mobi_slot_resolve(s, next, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, next);
		return rc;
	}
	MOBI_FAULT("stream.kept");
	mobi_store(&old->next, next + 1);
	MOBI_FAULT("stream.linked");
	(void)mobi_slot_resolve(s, out->node, MOBI_S_SEALED);
	(void)mobi_slot_release(s, out->node);
	out->node = next;
	out->first += out->n;
	out->n = 0;
	out->cap = cap;
	out->keeps = 0;
	out->at = at;
	out->edge = 0;
	return 0;
}

int mobi_stream_begin(struct mob_store *s, struct mobi_context *c,
		      const struct mob_task_def *def, uint64_t w)
{
	uint32_t rec = (uint32_t)c->task;
	const struct mobi_plan *p = mobi_retry_plan_of(mobi_rt.sched,
						       mobi_task_at(s, rec));
	struct mobi_stream_out *out = calloc(1, sizeof(*out));
	int rc = 0;

	if (!out) {
		return mobi_err(MOB_E_NOMEM, "no memory for a stream");
	}
	out->def = def;
	out->id = mobi_args_stream(s, rec) - 1;
	if (p) {
		out->max_items = p->stream_items;
		out->max_bytes = p->stream_bytes;
		out->cancel = p->stream_cancel != 0;
	}
	c->out = out;
	if (mobi_slot_hold(s, out->id) < 0) {
		out->gone = true;
		if (out->cancel) {
			(void)mobi_task_cancel(s, rec, MOBI_GEN(w), 0);
		}
		return 0;
	}
	attach(s, out);
	if (!out->gone && out->n &&
	    mobi_load(&mobi_stream_at(s, out->id)->wanted) == out->node + 1) {
		/* Who died before had not looked yet. */
		rc = next_node(s, c, false);
	}
	(void)mobi_slot_release(s, out->id);
	return rc < 0 ? rc : 0;
}

/* A sealed object of the value, which the caller holds. */
static int make_item(struct mob_store *s, struct mobi_context *c,
		     const void *value, uint64_t *out_id)
{
	const struct mob_task_def *def = c->out->def;
	int rc = mobi_slot_new(s, MOBI_F_OWNED, out_id);

	if (rc < 0) {
		return rc;
	}
	mobi_site_set(s, *out_id, mobi_site_row_of(s, mobi_module_site(def)));
	rc = mobi_value_return(c, *out_id, def->rets[0], value);
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(s, *out_id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, *out_id);
		return rc;
	}
	mobi_slot_seal_unseen(s, *out_id);
	return 0;
}

/* Writes the item behind the others, not counted yet. */
static int write_item(struct mob_store *s, struct mobi_stream_out *out,
		      const void *value, uint64_t item)
{
	uint32_t size = mobi_stream_node_at(s, out->node)->size;
	int rc;

	if (size) {
		memcpy(out->at + out->n * size, value, size);
		return 0;
	}
	rc = mobi_stream_keep(s, out->node, item, &out->edge);
	if (rc >= 0) {
		memcpy(out->at + out->n * sizeof(item), &item, sizeof(item));
	}
	return rc;
}

/* item: its object, if it is one. */
static int add_item(struct mob_store *s, struct mobi_context *c,
		    const void *value, uint64_t item, uint64_t bytes)
{
	struct mobi_stream_out *out = c->out;
	uint64_t wanted;
	int rc = 0;

	if (out->n == out->cap) { /* left by an attempt that died */
		rc = next_node(s, c, true);
	}
	if (rc >= 0) {
		rc = write_item(s, out, value, item);
	}
	if (rc < 0) {
		return rc;
	}
	out->n++;
	out->bytes += bytes;
	out->keeps += mobi_stream_node_at(s, out->node)->size ? 0 : bytes;
	MOBI_FAULT("stream.item");
	mobi_store(&mobi_stream_node_at(s, out->node)->count, out->n);
	MOBI_FAULT("stream.counted");
	/* Of a stream that is gone it is another object's, and means nothing. */
	wanted = mobi_load(&mobi_stream_at(s, out->id)->wanted);
	if (out->n == out->cap || out->keeps >= NODE_KEEPS ||
	    wanted == out->node + 1) {
		rc = next_node(s, c, wanted != out->node + 1);
	}
	return rc;
}

/* ---- public ---- */

static int told_to_end(void)
{
	return mobi_err(MOB_E_CANCELLED, "mob_yield: this task is cancelled");
}

/* Nobody has the stream: 1, or the task is cancelled. */
static int thrown_away(struct mob_store *s, struct mobi_context *c)
{
	struct mobi_stream_out *out = c->out;

	if (!out->cancel) {
		out->index++;
		return 1;
	}
	(void)mobi_task_cancel(s, (uint32_t)c->task, MOBI_GEN(c->task), 0);
	return told_to_end();
}

static int yield_object(struct mob_store *s, struct mobi_context *c,
			const void *value, int64_t timeout_ns)
{
	struct mobi_stream_out *out = c->out;
	uint64_t bytes;
	uint64_t item;
	int rc = mobi_value_bytes(out->def->rets[0], value, &bytes);

	if (rc >= 0 && (out->max_items || out->max_bytes)) {
		rc = mobi_stream_await_room(s, c, bytes, timeout_ns);
	}
	if (rc < 0 || mobi_stream_is_gone(s, out)) {
		return rc;
	}
	rc = make_item(s, c, value, &item);
	if (rc >= 0) {
		rc = add_item(s, c, value, item, bytes);
		(void)mobi_slot_release(s, item);
	}
	return rc;
}

static int yield_value(struct mob_store *s, struct mobi_context *c,
		       const void *value, int64_t timeout_ns)
{
	struct mobi_stream_out *out = c->out;
	uint32_t size = out->def->rets[0]->size;
	int rc = 0;

	if (out->max_items || out->max_bytes) {
		rc = mobi_stream_await_room(s, c, size, timeout_ns);
	}
	return rc < 0 || mobi_stream_is_gone(s, out) ?
		       rc :
		       add_item(s, c, value, 0, size);
}

static int check_yield(const struct mobi_context *c,
		       const struct mob_type *type, int64_t timeout_ns)
{
	if (!c || !c->out) {
		return mobi_err(MOB_E_STATE, "mob_yield: not in a task that "
					     "yields; define "
					     "it by MOB_TASK_STREAM, and yield "
					     "in the "
					     "thread "
					     "that runs it");
	}
	if (type->id != c->out->def->rets[0]->id) {
		return mobi_err(MOB_E_TYPE,
				"mob_yield: task %s yields %s, not %s",
				c->out->def->name, c->out->def->rets[0]->name,
				type->name);
	}
	return mobi_check_timeout("mob_yield", timeout_ns);
}

int mob_yield_raw(const struct mob_type *type, const void *value,
		  int64_t timeout_ns)
{
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct mobi_stream_out *out;
	int rc = mobi_rt_check("mob_yield");

	if (rc >= 0) {
		rc = check_yield(c, type, timeout_ns);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	out = c->out;
	if (mobi_load(&s->recs[(uint32_t)c->task].word) & MOBI_TF_TOLD) {
		return mobi_error_pend_rc(told_to_end());
	}
	if (out->index < out->skip) { /* an attempt before has yielded it */
		out->index++;
		return 0;
	}
	if (!mobi_stream_is_gone(s, out)) {
		rc = mobi_stream_node_at(s, out->node)->size ?
			     yield_value(s, c, value, timeout_ns) :
			     yield_object(s, c, value, timeout_ns);
		if (rc < 0) {
			return mobi_wait_failed(rc);
		}
	}
	if (mobi_stream_is_gone(s, out)) {
		rc = thrown_away(s, c);
		return rc < 0 ? mobi_error_pend_rc(rc) : rc;
	}
	out->index++;
	return 0;
}
