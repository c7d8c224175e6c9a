/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams (<mobula/stream.h>): lists of objects of two refs, item and next node,
 * sealed one after the other. The next node is made before its predecessor is
 * sealed, and pending: so who has a node can wait for it. The last one has no refs.
 */
#include <mobula/stream.h>

#include "err.h"
#include "object.h"
#include "os_clock.h"
#include "os_run.h"
#include "slot.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX (UINT64_C(1) << 20)

struct sent {
	struct mob_ref node;
	uint64_t bytes;
};

struct mob_stream {
	struct mob_store *store;
	struct mob_stream_opts opts;
	uint64_t tail; /* {gen, slot} of the node that is written next, held */
	void *tail_at;
	/* Nodes that were alive when looked at last, the oldest first. */
	struct sent *sent;
	uint64_t first;
	uint64_t n;
	uint64_t room; /* of sent, a power of two */
	uint64_t bytes;
	bool broken;
};

/* A pending node; held. */
static int node_new(struct mob_store *s, uint64_t *out_id, void **out_at)
{
	int rc = mobi_object_new(s, 2 * sizeof(struct mob_ref), MOB_TYPE_REFS,
				 out_id, out_at);

	if (rc >= 0) {
		mobi_slot_unlock(s, *out_id);
	}
	return rc;
}

int mob_stream_create(struct mob_store *store,
		      const struct mob_stream_opts *opts,
		      struct mob_stream **out_stream, struct mob_ref *out_first)
{
	static const struct mob_stream_opts def = MOB_STREAM_OPTS_INIT;
	struct mob_stream *w;
	int rc;

	MOBI_ENTER(store);
	opts = opts ? opts : &def;
	if (opts->struct_size != sizeof(*opts) || opts->reserved ||
	    opts->max_items > ITEMS_MAX) {
		return mobi_err(MOB_E_INVAL,
				"mob_stream_create: struct_size is %u (%zu), "
				"max_items %llu (at most %llu); start from "
				"MOB_STREAM_OPTS_INIT",
				opts->struct_size, sizeof(*opts),
				(unsigned long long)opts->max_items,
				(unsigned long long)ITEMS_MAX);
	}
	w = calloc(1, sizeof(*w));
	if (!w) {
		return mobi_err(MOB_E_NOMEM, "mob_stream_create: out of "
					     "memory");
	}
	w->store = store;
	w->opts = *opts;
	rc = node_new(store, &w->tail, &w->tail_at);
	/* The writer's hold, and one for the caller. */
	if (rc >= 0) {
		rc = mobi_slot_hold(store, w->tail);
	}
	if (rc < 0) {
		free(w);
		return rc;
	}
	*out_stream = w;
	*out_first = mobi_ref_of(store, w->tail);
	return 0;
}

/* ---- how far ahead ---- */

static bool is_bounded(const struct mob_stream *w)
{
	return w->opts.max_items || w->opts.max_bytes;
}

/* Forgets the oldest nodes that are gone. */
static void look_behind(struct mob_stream *w)
{
	while (w->n) {
		const struct sent *s = &w->sent[w->first & (w->room - 1)];

		if (mob_object_state(w->store, s->node) != MOB_OBJECT_GONE) {
			return;
		}
		w->bytes -= s->bytes;
		w->first++;
		w->n--;
	}
}

static bool has_room(const struct mob_stream *w, uint64_t bytes)
{
	return !w->n ||
	       ((!w->opts.max_items || w->n < w->opts.max_items) &&
		(!w->opts.max_bytes || w->bytes + bytes <= w->opts.max_bytes));
}

static int wait_for_room(struct mob_stream *w, uint64_t bytes,
			 int64_t timeout_ns)
{
	int64_t end = mobi_deadline(timeout_ns);

	for (;;) {
		int rc;

		look_behind(w);
		if (has_room(w, bytes)) {
			return 0;
		}
		if (timeout_ns == 0) {
			mobi_look_around(w->store);
		}
		/* Who asks again and again without waiting is to end, too. */
		rc = mobi_wait_over(w->store, timeout_ns ? timeout_ns : 1, end);
		if (rc < 0) {
			return rc != MOB_E_TIMEOUT ?
				       rc :
				       mobi_err(rc,
						"mob_stream_put: the reader is "
						"%llu items behind, the bound "
						"is reached",
						(unsigned long long)w->n);
		}
		mobi_pause_ns(MOB_MS);
		mobi_look_around(w->store);
	}
}

/* Room for one more in the ring. */
static int ring_grow(struct mob_stream *w)
{
	uint64_t room = w->room ? 2 * w->room : 64;
	struct sent *sent;

	if (w->n < w->room) {
		return 0;
	}
	sent = calloc((size_t)room, sizeof(*sent));
	if (!sent) {
		return mobi_err(MOB_E_NOMEM, "mob_stream_put: out of memory");
	}
	for (uint64_t i = 0; i < w->n; i++) {
		sent[(w->first + i) & (room - 1)] =
			w->sent[(w->first + i) & (w->room - 1)];
	}
	free(w->sent);
	w->sent = sent;
	w->room = room;
	return 0;
}

/* ---- writing ---- */

/* Makes the tail a node of the item, and next the tail. */
static int link_item(struct mob_stream *w, struct mob_ref item, uint64_t next,
		     void *next_at)
{
	struct mob_store *s = w->store;
	const struct mob_ref refs[2] = { item, mobi_ref_of(s, next) };
	int rc = mobi_object_nest(s, w->tail, refs, 2);

	if (rc < 0) {
		w->broken = true; /* some edges may be there */
		return rc;
	}
	memcpy(w->tail_at, refs, sizeof(refs));
	if (!mobi_slot_resolve_made(s, w->tail, s->me, MOBI_S_SEALED)) {
		w->broken = true;
		return mobi_err(MOB_E_STATE,
				"mob_stream_put: node %u was resolved by "
				"another",
				(uint32_t)w->tail);
	}
	(void)mobi_slot_release(s, w->tail);
	w->tail = next;
	w->tail_at = next_at;
	return 0;
}

int mob_stream_put(struct mob_stream *stream, struct mob_ref item,
		   int64_t timeout_ns)
{
	struct mob_store *s = stream->store;
	struct mob_object_info info;
	uint64_t node = stream->tail;
	uint64_t next;
	void *next_at;
	int rc;

	MOBI_ENTER(s);
	_Static_assert(2 * sizeof(struct mob_ref) <= MOBI_INLINE_MAX, "a node "
								      "is "
								      "inside "
								      "its "
								      "slot");
	if (stream->broken) {
		return mobi_err(MOB_E_STATE, "mob_stream_put: an earlier put "
					     "has failed; "
					     "abandon the stream");
	}
	if (timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		return mobi_err(MOB_E_INVAL,
				"mob_stream_put: timeout_ns is %lld; at least "
				"0, or MOB_FOREVER",
				(long long)timeout_ns);
	}
	rc = mob_object_stat(s, item, &info);
	if (rc >= 0 && is_bounded(stream)) {
		rc = wait_for_room(stream, info.size, timeout_ns);
		rc = rc < 0 ? rc : ring_grow(stream);
	}
	if (rc >= 0) {
		rc = node_new(s, &next, &next_at);
	}
	if (rc < 0) {
		return rc;
	}
	rc = link_item(stream, item, next, next_at);
	if (rc < 0) {
		(void)mobi_slot_resolve_made(s, next, s->me, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, next);
		return rc;
	}
	if (is_bounded(stream)) {
		stream->sent[(stream->first + stream->n) & (stream->room - 1)] =
			(struct sent){ mobi_ref_of(s, node), info.size };
		stream->n++;
		stream->bytes += info.size;
	}
	return 0;
}

static int finish(struct mob_stream *w, uint32_t state)
{
	struct mob_store *s = w->store;
	int rc = 0;

	if (mobi_load_relaxed(s->not_forked)) {
		if (state == MOBI_S_SEALED) {
			mobi_store_relaxed(&s->slots[(uint32_t)w->tail].size,
					   UINT64_C(0));
		}
		if (!mobi_slot_resolve_made(s, w->tail, s->me, state)) {
			rc = mobi_err(MOB_E_STATE,
				      "node %u was resolved by another",
				      (uint32_t)w->tail);
		}
		(void)mobi_slot_release(s, w->tail);
	}
	free(w->sent);
	free(w);
	return rc;
}

int mob_stream_end(struct mob_stream *stream)
{
	return finish(stream,
		      stream->broken ? MOBI_S_CANCELLED : MOBI_S_SEALED);
}

void mob_stream_abandon(struct mob_stream *stream)
{
	if (stream) {
		(void)finish(stream, MOBI_S_CANCELLED);
	}
}

/* ---- reading ---- */

/* 1: the refs of a node; 0: it is the end. */
static int read_node(struct mob_store *s, struct mob_ref node,
		     int64_t timeout_ns, struct mob_ref out[2])
{
	struct mob_view v;
	uint32_t was = mobi_wait_through(MOBI_WAIT_STREAM);
	int rc = mob_object_get(s, node, timeout_ns, &v);

	(void)mobi_wait_through(was);
	if (rc < 0) {
		if (rc == MOB_E_TASK) {
			mob_view_release(s, &v);
		}
		return rc;
	}
	if (v.type != MOB_TYPE_REFS ||
	    (v.size && v.size != 2 * sizeof(struct mob_ref))) {
		rc = mobi_err(MOB_E_TYPE, "object %u is no node of a stream",
			      (uint32_t)node.lo);
	} else if (v.size) {
		memcpy(out, v.at, 2 * sizeof(struct mob_ref));
		rc = 1;
	}
	mob_view_release(s, &v);
	return rc;
}

int mob_stream_next(struct mob_store *store, struct mob_ref *inout_node,
		    int64_t timeout_ns, struct mob_ref *out_item)
{
	struct mob_ref refs[2] = { MOB_REF_NONE, MOB_REF_NONE };
	int rc;

	MOBI_ENTER(store);
	rc = read_node(store, *inout_node, timeout_ns, refs);
	if (rc <= 0) {
		return rc;
	}
	/* The node keeps both alive until these holds do. */
	rc = mob_object_hold(store, refs[0]);
	if (rc < 0) {
		return rc;
	}
	rc = mob_object_hold(store, refs[1]);
	if (rc < 0) {
		(void)mob_object_release(store, refs[0]);
		return rc;
	}
	(void)mob_object_release(store, *inout_node);
	*inout_node = refs[1];
	*out_item = refs[0];
	return 1;
}

int mob_stream_item(struct mob_store *store, struct mob_ref node, uint64_t n,
		    int64_t timeout_ns, struct mob_ref *out_item)
{
	int64_t end = mobi_deadline(timeout_ns);
	struct mob_ref item = MOB_REF_NONE;
	int rc;

	MOBI_ENTER(store);
	rc = mob_object_hold(store, node);
	if (rc < 0) {
		return rc;
	}
	for (uint64_t i = 0;; i++) {
		int64_t left = timeout_ns;

		if (timeout_ns > 0) {
			left = end - (int64_t)mobi_now_ns();
			left = left < 0 ? 0 : left;
		}
		rc = mob_stream_next(store, &node, left, &item);
		if (rc <= 0 || i == n) {
			break;
		}
		(void)mob_object_release(store, item);
	}
	(void)mob_object_release(store, node);
	if (rc == 1) {
		*out_item = item;
	}
	return rc;
}
