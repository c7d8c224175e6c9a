/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: calls that take little are gathered in a buffer, which becomes an object,
 * the batch, and a task that runs it.
 */
#include "map.h"

#include "args.h"
#include "err.h"
#include "error.h"
#include "graph.h"
#include "module.h"
#include "object.h"
#include "repeat.h"
#include "site.h"
#include "slot.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(struct mobi_batch) % 16 == 0 &&
		       sizeof(struct mobi_call) % 16 == 0,
	       "arguments are aligned to 16");

/* ---- chunks ---- */

int mobi_map_own(struct mob_ref ref, uint64_t *out_id)
{
	struct mobi_context *c = mobi_context();
	struct mobi_frame *f;
	int rc = mobi_slot_of(mobi_rt.store, ref, out_id);

	if (rc >= 0) {
		MOB_ASSERT(mobi_frame_find(c, *out_id, &f) & MOBI_HAS_HOLD);
		mobi_frame_remove(f, *out_id);
	}
	return rc;
}

int mobi_map_link(struct mob_map *m, struct mobi_map_task *c,
		  struct mobi_map_task *behind)
{
	c->prev = behind;
	c->next = behind ? behind->next : m->head;
	*(c->prev ? &c->prev->next : &m->head) = c;
	*(c->next ? &c->next->prev : &m->tail) = c;
	if (m->cq) {
		return mob_cq_add(m->cq, mobi_ref_of(mobi_rt.store, c->id),
				  (uint64_t)(uintptr_t)c);
	}
	return 0;
}

void mobi_map_drop(struct mob_map *m, struct mobi_map_task *c)
{
	(void)mobi_slot_release(mobi_rt.store, c->id);
	if (c->calls) {
		(void)mobi_slot_release(mobi_rt.store, c->calls - 1);
	}
	m->bytes_out -= c->bytes;
	free(c);
}

/* A ref of what is submitted; whatever is wrong with it, the ref says. */
static struct mob_ref submit(const struct mob_task_def *def,
			     const struct mob_task_opts *o,
			     const struct mob_arg *args)
{
	struct mob_ref ref = MOB_REF_NONE;
	int rc = mobi_graph_refuses("a call of a map");

	if (rc < 0) {
		return mobi_error_ref(rc);
	}
	(void)mob_submit_raw(def, o, def->n_args, args, 1, &ref);
	return ref;
}

int mobi_map_submit(const struct mob_task_opts *o, struct mobi_map_task *c)
{
	struct mob_task_opts opts = *o;
	struct mob_arg args[3] = {
		{ .ref = mobi_ref_of(mobi_rt.store, c->calls - 1),
		  .kind = MOB_ARG_REF },
		{ .value = &c->first },
		{ .value = &c->n },
	};

	if (!opts.name) {
		opts.name = c->def->name;
	}
	return mobi_map_own(submit(&mobi_map_chunk_def, &opts, args), &c->id);
}

static struct mobi_map_task *chunk_new(struct mob_map *m, uint64_t index,
				       uint32_t n)
{
	struct mobi_map_task *c = calloc(1, sizeof(*c));

	if (c) {
		c->def = m->def;
		c->index = index;
		c->n = n;
	}
	return c;
}

/* Behind all others; of a fold that keeps order, into its tree. */
static int send(struct mob_map *m, struct mobi_map_task *c)
{
	int rc = mobi_map_link(m, c, m->tail);

	if (rc >= 0 && m->fold && !m->cq) {
		rc = mobi_fold_sent(m, c);
	}
	mobi_map_plan(m);
	return rc;
}

void mobi_map_drop_buf(struct mob_map *m)
{
	for (size_t i = 0; i < m->buf.n_refs; i++) {
		(void)mobi_slot_release(mobi_rt.store, m->buf.refs[i].lo);
	}
	m->buf.n_refs = 0;
	m->buf.n = 0;
	m->buf.bytes = 0;
	m->buf.len = sizeof(struct mobi_batch);
	memset(m->buf.last, 0, sizeof(m->buf.last));
}

/* The batch as an object; *out_calls is its id + 1. */
static int store_batch(struct mob_map *m, uint64_t *out_calls)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_batch b = { .fn = m->fn,
				.n = m->buf.n,
				.stride = m->buf.stride };
	uint64_t id;
	void *at;
	int rc = 0;

	if (m->fold) {
		uint32_t op;

		rc = mobi_module_number(mobi_rt.sched, m->fold->op, &op);
		b.op = op + 1;
	}
	if (rc >= 0) {
		rc = mobi_repeat_object_new(
			s, m->buf.len, mobi_type_mobi_map_calls.id, &id, &at);
	}
	if (rc < 0) {
		return rc;
	}
	mobi_site_set(s, id, mobi_site_row_of(s, mobi_module_site(m->def)));
	memcpy(b.off, m->off, sizeof(b.off));
	memcpy(m->buf.at, &b, sizeof(b));
	memcpy(at, m->buf.at, m->buf.len);
	if (m->buf.n_refs) {
		rc = mobi_object_nest(s, id, m->buf.refs, m->buf.n_refs);
	}
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(s, id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, id);
		return rc;
	}
	mobi_slot_seal_unseen(s, id);
	*out_calls = id + 1;
	return 0;
}

int mobi_map_flush(struct mob_map *m)
{
	struct mobi_map_task *c;
	int rc;

	if (!m->buf.n) {
		return 0;
	}
	c = chunk_new(m, m->buf.index, m->buf.n);
	if (!c) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	rc = store_batch(m, &c->calls);
	if (rc >= 0) {
		rc = mobi_map_submit(&m->task, c);
	} else { /* each of its calls has this error */
		rc = mobi_map_own(mobi_error_ref(rc), &c->id);
	}
	if (rc < 0) {
		if (c->calls) {
			(void)mobi_slot_release(mobi_rt.store, c->calls - 1);
		}
		free(c);
		return rc;
	}
	c->bytes = m->buf.bytes;
	mobi_map_drop_buf(m);
	return send(m, c);
}

/* ---- the buffer ---- */

static unsigned char *buf_more(struct mobi_map_buf *b, uint64_t n)
{
	unsigned char *at;

	if (b->len + n > b->size) {
		size_t size = b->size ? b->size : 4096;

		while (size < b->len + n) {
			size *= 2;
		}
		at = realloc(b->at, size);
		if (!at) {
			return NULL;
		}
		b->at = at;
		b->size = size;
	}
	at = b->at + b->len;
	b->len += n;
	return at;
}

/* An object that a call needs, and that is not there yet. */
static int is_awaited(uint64_t id, bool needed, uint32_t arg, void *ctx)
{
	struct mob_store *s = mobi_rt.store;

	(void)arg;
	(void)ctx;
	return needed &&
	       !mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word));
}

/* The batch is to keep it alive. */
static int hold_ref(uint64_t id, bool needed, uint32_t arg, void *ctx)
{
	struct mobi_map_buf *b = ctx;
	int rc;

	(void)needed;
	if (b->last[arg] == id + 1) {
		return 0;
	}
	if (b->n_refs == b->max_refs) {
		size_t max = b->max_refs ? 2 * b->max_refs : 64;
		struct mob_ref *refs = realloc(b->refs, max * sizeof(*refs));

		if (!refs) {
			return mobi_err(MOB_E_NOMEM, "out of memory");
		}
		b->refs = refs;
		b->max_refs = max;
	}
	rc = mobi_slot_hold(mobi_rt.store, id);
	if (rc >= 0) {
		b->refs[b->n_refs++] = mobi_ref_of(mobi_rt.store, id);
		b->last[arg] = id + 1;
	}
	return rc < 0 ? rc : 0;
}

/* The call as a task's arguments. False: no memory, or a ref is gone. */
static bool encode(struct mob_map *m, const struct mobi_args_plan *p)
{
	struct mobi_call call = { p->total, 0 };
	size_t was = m->buf.len;
	unsigned char *at;

	if (mobi_args_refs(p, hold_ref, &m->buf) < 0) {
		return false;
	}
	at = buf_more(&m->buf, sizeof(call) + mobi_up16(p->total));
	if (!at) {
		return false;
	}
	memset(at, 0, m->buf.len - was);
	memcpy(at, &call, sizeof(call));
	mobi_args_encode(p, at + sizeof(call));
	m->buf.stride = 0;
	return true;
}

/* 1: it has to be a task of its own, and that one's ref tells what is wrong. */
static int buf_encoded(struct mob_map *m, const struct mob_arg *args)
{
	struct mobi_args_plan p;
	int rc = 0;

	if (mobi_args_plan(&p, m->def, args) < 0) {
		return 1;
	}
	if (mobi_args_refs(&p, is_awaited, NULL)) {
		rc = 1;
	} else if (m->buf.n && m->buf.stride) {
		rc = mobi_map_flush(m);
	}
	if (rc == 0 && !encode(m, &p)) {
		rc = 1;
	}
	mobi_args_end(&p);
	return rc;
}

static bool all_values(const struct mob_task_def *def,
		       const struct mob_arg *args)
{
	for (uint32_t i = 0; i < def->n_args; i++) {
		if (args[i].kind != MOB_ARG_VALUE) {
			return false;
		}
	}
	return true;
}

static int buf_plain(struct mob_map *m, const struct mob_arg *args)
{
	unsigned char *at;
	int rc = m->buf.n && !m->buf.stride ? mobi_map_flush(m) : 0;

	at = rc < 0 ? NULL : buf_more(&m->buf, m->stride);
	if (!at) {
		return rc < 0 ? rc : 1;
	}
	memset(at, 0, m->stride);
	for (uint32_t i = 0; i < m->def->n_args; i++) {
		memcpy(at + m->off[i], args[i].value, m->def->args[i]->size);
	}
	m->buf.stride = m->stride;
	return 0;
}

/* ---- one call ---- */

static bool returns_refs(const struct mob_task_def *def)
{
	return def->rets[0]->kind == MOB_KIND_REF ||
	       def->rets[0]->kind == MOB_KIND_REFS;
}

int mobi_map_buffer(struct mob_map *m, const struct mob_arg *args,
		    uint64_t bytes)
{
	int rc;

	if (m->chunk == 1 || returns_refs(m->def)) {
		return 1;
	}
	rc = m->plain_bytes && all_values(m->def, args) ? buf_plain(m, args) :
							  buf_encoded(m, args);
	if (rc == 0) {
		if (m->buf.n++ == 0) {
			m->buf.index = m->n_given;
		}
		m->buf.bytes += bytes;
	}
	return rc;
}

int mobi_map_alone(struct mob_map *m, const struct mob_arg *args,
		   uint64_t bytes)
{
	struct mobi_map_task *c;
	int rc = mobi_map_flush(m);

	if (rc < 0) {
		return rc;
	}
	c = chunk_new(m, m->n_given, 1);
	if (!c) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	rc = mobi_map_own(submit(m->def, &m->task, args), &c->id);
	if (rc < 0) {
		free(c);
		return rc;
	}
	c->bytes = bytes;
	return send(m, c);
}
