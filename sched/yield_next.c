/* SPDX-License-Identifier: Apache-2.0 */
/* The reading end of a stream. */
#include "yield.h"

#include "arena.h"
#include "edge.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "frame.h"
#include "get.h"
#include "object.h"
#include "os_clock.h"
#include "repeat.h"
#include "slot.h"
#include "task.h"
#include "value.h"
#include "wait.h"

#include <mobula/task_stream.h>

#include <string.h>

/* Looks at the count before it waits: the producer may be quicker than that. */
#define LOOKS 100

/* What comes next. */
enum { END = 0, ITEM = 1, ERROR = 2 };
struct item {
	uint64_t node;
	uint64_t at; /* index in it */
};

/* ---- going on ---- */

/* Gives back the edges on a node that the stream has passed. */
static void let_go(struct mob_store *s, uint64_t id, uint64_t node)
{
	uint32_t c = mobi_load(&s->slots[(uint32_t)id].nested);

	for (; c; c = mobi_load(&s->chunks[c - 1].next)) {
		uint32_t gen = MOBI_GEN(mobi_load(&s->chunks[c - 1].word));

		for (uint32_t k = 0; k < MOBI_EDGE_CHUNK; k++) {
			uint32_t n = MOBI_EDGE_OF_CHUNK(c - 1, k);
			struct mobi_edge *e = mobi_edge_at(s, n);

			if (MOBI_STATE(mobi_load(&e->word)) == MOBI_E_LIVE &&
			    mobi_load(&e->ref) == node) {
				mobi_edge_release(s, n, gen);
				return;
			}
		}
	}
}

static int step(struct mob_store *s, uint64_t id, uint64_t node, uint64_t next)
{
	uint32_t hint = 0;
	int rc = mobi_slot_hold(s, next); /* kept by node, which we keep */

	if (rc < 0) {
		return rc;
	}
	rc = mobi_stream_keep(s, id, next, &hint);
	if (rc >= 0) {
		MOBI_FAULT("stream.step");
		mobi_store(&mobi_stream_at(s, id)->head, next + 1);
		MOBI_FAULT("stream.stepped");
		let_go(s, id, node);
	}
	(void)mobi_slot_release(s, next);
	return rc;
}

/* The last node has no next: how has the task ended? */
static int ended(struct mob_store *s, uint64_t id, int64_t timeout_ns)
{
	uint64_t ret = mobi_stream_return(s, id);
	int rc = mobi_wait_one(s, ret, timeout_ns); /* it is resolved first */

	if (rc < 0) {
		return rc;
	}
	return MOBI_STATE(mobi_load(&s->slots[(uint32_t)ret].word)) ==
			       MOBI_S_SEALED ?
		       END :
		       ERROR;
}

/* Looks for what comes next: END, ITEM, ERROR; TIMEOUT: nothing yet, *out_item has
 * the node that it will be in, and its count. */
static int look(struct mob_store *s, uint64_t id, struct item *out)
{
	struct mobi_stream *st = mobi_stream_at(s, id);

	for (;;) {
		uint64_t head = mobi_load(&st->head);
		const struct mobi_stream_node *n;
		uint64_t count;
		uint64_t read;
		uint64_t next;
		bool sealed;
		int rc;

		if (!head) {
			return END;
		}
		n = mobi_stream_node_at(s, head - 1);
		/* The state first: the count of a sealed one is the last. */
		sealed = mobi_resolved(
			mobi_load(&s->slots[(uint32_t)(head - 1)].word));
		count = mobi_load(&n->count);
		read = mobi_load(&st->read);
		out->node = head - 1;
		if (read < n->first + count) {
			out->at = read - n->first;
			return ITEM;
		}
		out->at = count;
		if (!sealed) {
			return MOB_E_TIMEOUT;
		}
		next = mobi_load(&n->next);
		if (!next) {
			return ended(s, id, MOB_FOREVER);
		}
		rc = step(s, id, head - 1, next - 1);
		if (rc < 0) {
			return rc;
		}
	}
}

static bool has_more(const struct mob_store *s, const struct item *it)
{
	return mobi_load(&mobi_stream_node_at(s, it->node)->count) != it->at ||
	       mobi_resolved(mobi_load(&s->slots[(uint32_t)it->node].word));
}

/* look, and waits. Errors are not pending yet. */
static int await(struct mob_store *s, uint64_t id, int64_t timeout_ns,
		 struct item *out)
{
	int64_t end = 0;
	uint32_t was;
	int rc;

	for (bool first = true;; first = false) {
		int64_t left = timeout_ns;

		rc = look(s, id, out);
		if (rc != MOB_E_TIMEOUT) {
			return rc;
		}
		if (timeout_ns == 0) {
			return mobi_wait_one(s, out->node, 0);
		}
		for (int i = 0; i < LOOKS && !has_more(s, out); i++) {
			mobi_relax();
		}
		/* [stream.wanted] The word, then the count again; the producer
		 * changes the count, and then looks at the word. */
		mobi_store(&mobi_stream_at(s, id)->wanted, out->node + 1);
		if (has_more(s, out)) {
			continue;
		}
		if (timeout_ns > 0) {
			end = first ? mobi_deadline(timeout_ns) : end;
			left = end - (int64_t)mobi_now_ns();
			left = left > 0 ? left : 0;
		}
		was = mobi_wait_through(MOBI_WAIT_STREAM);
		rc = mobi_wait_one(s, out->node, left);
		(void)mobi_wait_through(was);
		if (rc < 0) {
			return rc;
		}
	}
}

/* Enough is read for the producer that waits? */
static void ring_producer(struct mob_store *s, struct mobi_stream *st,
			  uint64_t read, uint64_t bytes)
{
	uint64_t bell = mobi_load(&st->room);
	uint64_t when[MOBI_ROOM_WORDS];
	const struct mobi_slot *o;
	uint64_t w;

	if (!bell) {
		return;
	}
	o = &s->slots[(uint32_t)(bell - 1)];
	w = mobi_load(&o->word);
	/* Once it is gone this may be anything: resolving it is refused then. */
	memcpy(when, o->value, sizeof(when));
	if (((read >= when[MOBI_ROOM_ITEMS] &&
	      bytes >= when[MOBI_ROOM_BYTES]) ||
	     read >= when[MOBI_ROOM_ALL] ||
	     MOBI_GEN(w) != MOBI_GEN(bell - 1)) &&
	    mobi_cas64(&st->room, &bell, UINT64_C(0))) {
		(void)mobi_slot_resolve_made(s, bell - 1, MOBI_MAKER(w),
					     MOBI_S_SEALED);
	}
}

/* The item was taken. */
static void advance(struct mob_store *s, uint64_t id, const struct item *it,
		    uint64_t bytes)
{
	struct mobi_stream *st = mobi_stream_at(s, id);
	struct mobi_stream_node *n = mobi_stream_node_at(s, it->node);
	uint64_t read = n->first + it->at + 1;
	uint64_t next;

	bytes += mobi_load_relaxed(&st->read_bytes); /* only we write it */
	mobi_store_release(&st->read_bytes, bytes);
	MOBI_FAULT("stream.read");
	mobi_store(&st->read, read);
	ring_producer(s, st, read, bytes);
	/* An object that was the last of a node goes with the user's hold. */
	if (!n->size && mobi_load(&n->count) == it->at + 1) {
		next = mobi_load(&n->next);
		if (next && mobi_resolved(mobi_load(
				    &s->slots[(uint32_t)it->node].word))) {
			(void)step(s, id, it->node, next - 1);
		}
	}
}

/* The error that ends the stream was read: then comes the end. */
static void read_error(struct mob_store *s, uint64_t id)
{
	struct mobi_stream *st = mobi_stream_at(s, id);
	uint64_t head = mobi_load(&st->head);

	mobi_store(&st->head, UINT64_C(0));
	let_go(s, id, head - 1);
}

/* ---- items ---- */

static const unsigned char *entry(const struct mob_store *s,
				  const struct item *it)
{
	const struct mobi_stream_node *n = mobi_stream_node_at(s, it->node);
	uint64_t loc = mobi_load(&s->slots[(uint32_t)it->node].loc);
	const unsigned char *at = mobi_arena_ro(s->arena, loc);

	return at + it->at * (n->size ? n->size : sizeof(uint64_t));
}

static uint64_t object_of(const struct mob_store *s, const struct item *it)
{
	uint64_t id;

	memcpy(&id, entry(s, it), sizeof(id));
	return id;
}

/* Reads an item that lies in its node. */
static int read_small(struct mob_store *s, const struct item *it,
		      const struct mob_type *type, void *out)
{
	const struct mobi_stream_node *n = mobi_stream_node_at(s, it->node);
	char buf[32];

	if (type->kind != MOB_KIND_POD) {
		return mobi_err(MOB_E_TYPE,
				"mob_next: expected %s, the stream is of %s; "
				"mob_next_ref gives an object of it",
				type->name,
				mobi_type_name(n->type, buf, sizeof(buf)));
	}
	return mobi_value_load(type, entry(s, it), n->size, n->type, "mob_next",
			       out);
}

/* Reads one that is an object: the frame gets it if the value is a view. Errors are
 * pending. */
static int read_object(struct mob_store *s, struct mobi_context *c, uint64_t id,
		       const struct mob_type *type, void *out)
{
	int rc = mobi_slot_hold(s, id);

	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	if (mobi_reads_in_place(type)) {
		rc = mobi_frame_add(c->frame, id, MOBI_HAS_HOLD);
		if (rc < 0) {
			(void)mobi_slot_release(s, id);
			return mobi_error_pend_rc(rc);
		}
		return mobi_get_value(c, id, type, out);
	}
	rc = mobi_get_value(c, id, type, out);
	(void)mobi_slot_release(s, id);
	return rc;
}

int mob_next_raw(struct mob_ref stream, const struct mob_type *type,
		 int64_t timeout_ns, void *out)
{
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct item it;
	uint64_t bytes = 0;
	uint64_t id;
	int rc;

	memset(out, 0, type->size);
	rc = mobi_check_timeout("mob_next", timeout_ns);
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	rc = mobi_stream_open(c, stream, "mob_next", &id);
	if (rc < 0) {
		return rc;
	}
	rc = await(s, id, timeout_ns, &it);
	if (rc == ITEM && mobi_stream_node_at(s, it.node)->size) {
		bytes = type->size;
		rc = read_small(s, &it, type, out);
		rc = rc < 0 ? mobi_error_pend_rc(rc) : ITEM;
	} else if (rc == ITEM) {
		uint64_t object = object_of(s, &it);

		bytes = mobi_load_relaxed(&s->slots[(uint32_t)object].size);
		rc = read_object(s, c, object, type, out);
		rc = rc < 0 ? rc : ITEM;
	} else if (rc == ERROR) {
		rc = mobi_get_value(c, mobi_stream_return(s, id), NULL, NULL);
		read_error(s, id);
	} else if (rc < 0) {
		rc = mobi_wait_failed(rc);
	}
	if (rc == ITEM) {
		advance(s, id, &it, bytes);
	} else if (rc < 0) {
		memset(out, 0, type->size);
	}
	(void)mobi_slot_release(s, id);
	return rc;
}

/* A sealed object of an item, held. */
static int ref_item(struct mob_store *s, const struct item *it,
		    uint64_t *out_object, uint64_t *out_bytes)
{
	const struct mobi_stream_node *n = mobi_stream_node_at(s, it->node);
	void *at;
	int rc;

	*out_bytes = n->size;
	if (!n->size) {
		*out_object = object_of(s, it);
		*out_bytes = mobi_load_relaxed(
			&s->slots[(uint32_t)*out_object].size);
		return mobi_slot_hold(s, *out_object);
	}
	rc = mobi_repeat_object_new(s, n->size, n->type, out_object, &at);
	if (rc >= 0) {
		memcpy(at, entry(s, it), n->size);
		mobi_slot_seal_unseen(s, *out_object);
	}
	return rc;
}

/* Gives the frame a hold that the caller has, and *out the ref. */
static int give_ref(struct mob_store *s, struct mobi_context *c, uint64_t id,
		    struct mob_ref *out)
{
	int rc = mobi_frame_add(c->frame, id, MOBI_HAS_HOLD);

	if (rc < 0) {
		(void)mobi_slot_release(s, id);
		return mobi_error_pend_rc(rc);
	}
	*out = mobi_ref_of(s, id);
	return 0;
}

int mob_next_ref_timeout(struct mob_ref stream, int64_t timeout_ns,
			 struct mob_ref *out_ref)
{
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct item it;
	uint64_t object;
	uint64_t bytes = 0;
	uint64_t id;
	int what;
	int rc = mobi_check_timeout("mob_next_ref", timeout_ns);

	*out_ref = MOB_REF_NONE;
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	rc = mobi_stream_open(c, stream, "mob_next_ref", &id);
	if (rc < 0) {
		return rc;
	}
	what = rc = await(s, id, timeout_ns, &it);
	if (what == ITEM) {
		rc = ref_item(s, &it, &object, &bytes);
		rc = rc < 0 ? mobi_error_pend_rc(rc) :
			      give_ref(s, c, object, out_ref);
	} else if (what == ERROR) {
		object = mobi_stream_return(s, id);
		rc = mobi_slot_hold(s, object); /* the stream keeps it */
		rc = rc < 0 ? mobi_error_pend_rc(rc) :
			      give_ref(s, c, object, out_ref);
	} else if (what < 0) {
		rc = mobi_wait_failed(rc);
	}
	if (rc >= 0 && what == ITEM) {
		advance(s, id, &it, bytes);
		rc = 1;
	} else if (rc >= 0 && what == ERROR) {
		read_error(s, id);
		rc = 1;
	}
	(void)mobi_slot_release(s, id);
	return rc;
}

int mob_next_ref(struct mob_ref stream, struct mob_ref *out_ref)
{
	return mob_next_ref_timeout(stream, MOB_FOREVER, out_ref);
}

/* ---- waiting beside others ---- */

struct mob_ref mob_stream_ready(struct mob_ref stream)
{
	static const struct mob_type none = { "void", MOB_TYPE_VOID,
					      MOB_KIND_VOID, 0, 0 };
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct mob_ref ref = MOB_REF_NONE;
	struct item it;
	uint64_t id;
	int rc = mobi_stream_open(c, stream, "mob_stream_ready", &id);

	if (rc < 0) {
		return mobi_error_ref(rc);
	}
	rc = look(s, id, &it);
	while (rc == MOB_E_TIMEOUT) {
		mobi_store(&mobi_stream_at(s, id)->wanted, it.node + 1);
		if (!has_more(s, &it)) { /* [stream.wanted] */
			rc = mobi_slot_hold(s, it.node);
			rc = rc < 0 ? rc : give_ref(s, c, it.node, &ref);
			(void)mobi_slot_release(s, id);
			return rc < 0 ? mobi_error_ref(rc) : ref;
		}
		rc = look(s, id, &it);
	}
	(void)mobi_slot_release(s, id);
	return rc < 0 ? mobi_error_ref(rc) : mob_put_raw(&none, &none);
}

struct mob_ref mob_stream_result(struct mob_ref stream)
{
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct mob_ref ref = MOB_REF_NONE;
	uint64_t ret;
	uint64_t id;
	int rc = mobi_rt_check("mob_stream_result");

	if (rc >= 0 && !c) {
		rc = mobi_err(MOB_E_NOMEM, "mob_stream_result: out of memory");
	}
	if (rc >= 0) {
		rc = mobi_slot_of(s, stream, &id);
	}
	if (rc >= 0) {
		rc = mobi_slot_hold(s, id);
	}
	if (rc < 0) {
		return mobi_error_ref(rc);
	}
	if (mobi_load_relaxed(&s->slots[(uint32_t)id].type) ==
		    MOB_TYPE_STREAM &&
	    MOBI_STATE(mobi_load(&s->slots[(uint32_t)id].word)) ==
		    MOBI_S_SEALED) {
		ret = mobi_stream_return(s, id);
		rc = mobi_slot_hold(s, ret);
		rc = rc < 0 ? rc : give_ref(s, c, ret, &ref);
	} else {
		rc = mobi_err(MOB_E_TYPE,
			      "mob_stream_result: object %u is no stream",
			      (uint32_t)id);
	}
	(void)mobi_slot_release(s, id);
	return rc < 0 ? mobi_error_ref(rc) : ref;
}
