/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: opening and closing, and taking results.
 *
 *   given -> buffer -> chunk (a task, in the list) -> current chunk -> taken
 *
 * A map keeps order by waiting for the first chunk of its list; one that does not
 * has a completion queue of them, too. A chunk of several calls whose worker died
 * more often than it may is halved, in its place, until it is known which call it
 * was; the batch is kept for that until the chunk has ended.
 */
#include "map.h"

#include "cq.h"
#include "err.h"
#include "error.h"
#include "frame.h"
#include "get.h"
#include "object.h"
#include "opts.h"
#include "slot.h"
#include "task_cancel.h"
#include "unread.h"
#include "value.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_NS UINT64_C(100000)
#define CHUNK_NS_MAX (60 * (uint64_t)MOB_SEC)
#define CHUNK_MAX 65536u
#define WINDOW_MAX 1048576u
#define STORE_PART 4u /* of the store are a window, if nothing is said */

/* ---- open ---- */

static int check_opts(const struct mob_map_opts *o)
{
	if (o->struct_size != sizeof(*o)) {
		return mobi_err(MOB_E_VERSION,
				"mob_map_open: options of %u bytes; this "
				"library knows %zu; start from "
				"MOB_MAP_OPTS_INIT",
				o->struct_size, sizeof(*o));
	}
	if ((o->flags & ~MOB_MAP_UNORDERED) || o->reserved) {
		return mobi_err(MOB_E_INVAL,
				"mob_map_open: flags are %#x, reserved is %u; "
				"MOB_MAP_UNORDERED or 0, and 0",
				o->flags, o->reserved);
	}
	if (o->window > WINDOW_MAX || o->chunk > CHUNK_MAX ||
	    o->chunk_ns > CHUNK_NS_MAX) {
		return mobi_err(MOB_E_INVAL,
				"mob_map_open: window is %llu, chunk %u, "
				"chunk_ns %llu; at most %u, %u, and a minute",
				(unsigned long long)o->window, o->chunk,
				(unsigned long long)o->chunk_ns, WINDOW_MAX,
				CHUNK_MAX);
	}
	if (o->task && o->task->struct_size != sizeof(*o->task)) {
		return mobi_err(MOB_E_VERSION,
				"mob_map_open: options of tasks of %u bytes; "
				"this library knows %zu; start from MOB_OPTS",
				o->task->struct_size, sizeof(*o->task));
	}
	if (o->task && o->task->n_retry_codes > 8) {
		return mobi_err(MOB_E_INVAL,
				"mob_map_open: %u retry_codes; at most 8",
				o->task->n_retry_codes);
	}
	return 0;
}

static void set_opts(struct mob_map *m, const struct mob_map_opts *o)
{
	static const struct mob_task_opts initial = MOB_TASK_OPTS_INIT;
	const struct mob_task_opts *t = o->task ? o->task : &initial;

	m->o = *o;
	m->o.task = NULL;
	m->given = *t;
	for (uint32_t i = 0; t->retry_codes && i < t->n_retry_codes; i++) {
		m->codes[i] = t->retry_codes[i];
	}
	if (t->retry_codes) {
		m->given.retry_codes = m->codes;
	}
	if (!m->o.chunk_ns) {
		m->o.chunk_ns = CHUNK_NS;
	}
	if (!m->o.window_bytes) {
		m->o.window_bytes = mobi_rt.store->hdr->arena_bytes /
				    STORE_PART;
	}
}

int mob_map_open(const struct mob_map_opts *opts, struct mob_map **out_map)
{
	static const struct mob_map_opts defaults = MOB_MAP_OPTS_INIT;
	const struct mob_map_opts *o = opts ? opts : &defaults;
	struct mob_map *m = NULL;
	int rc = mobi_rt_check("mob_map_open");

	if (rc >= 0) {
		rc = check_opts(o);
	}
	if (rc >= 0) {
		m = calloc(1, sizeof(*m));
		if (!m || !mobi_context()) {
			rc = mobi_err(MOB_E_NOMEM, "mob_map_open: out of "
						   "memory");
		}
	}
	if (rc >= 0 && (o->flags & MOB_MAP_UNORDERED)) {
		rc = mob_cq_open(mobi_rt.store, &m->cq);
	}
	if (rc < 0) {
		free(m);
		return mobi_error_pend_rc(rc);
	}
	m->serial = mobi_rt_serial();
	m->workers = mobi_rt.sched->n_workers;
	m->index = UINT64_MAX;
	set_opts(m, o);
	mobi_map_drop_buf(m);
	mobi_map_plan(m);
	*out_map = m;
	return 0;
}

/* ---- close ---- */

void mobi_map_cancel(uint64_t id)
{
	struct mob_store *s = mobi_rt.store;
	uint64_t producer = mobi_load(&s->slots[(uint32_t)id].producer);

	if (producer &&
	    !mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
		(void)mobi_task_cancel(s, ((uint32_t)producer - 1) % MOBI_RECS,
				       MOBI_GEN(producer), 0);
	}
}

static void drop_current(struct mob_map *m)
{
	if (!m->cur) {
		return;
	}
	mob_view_release(mobi_rt.store, &m->view);
	mobi_map_drop(m, m->cur);
	mobi_error_free(m->error);
	m->error = NULL;
	m->cur = NULL;
	mobi_map_plan(m);
}

static void drop_list(struct mob_map *m)
{
	/* Those that have not begun first: none takes a worker meanwhile. */
	for (struct mobi_map_task *c = m->tail; c; c = c->prev) {
		mobi_map_cancel(c->id);
	}
	while (m->head) {
		struct mobi_map_task *c = m->head;

		m->head = c->next;
		mobi_map_drop(m, c);
	}
	m->tail = NULL;
}

/* The session of the map is gone, and with it all but memory of this process. */
static void forget(struct mob_map *m)
{
	while (m->head) {
		struct mobi_map_task *c = m->head;

		m->head = c->next;
		free(c);
	}
	free(m->cur);
	mobi_error_free(m->error);
	if (m->cq) {
		mobi_cq_forget(m->cq);
	}
	if (m->fold) {
		free(m->fold->late);
		free(m->fold);
	}
}

void mob_map_close(struct mob_map *m)
{
	if (!m) {
		return;
	}
	if (m->serial != mobi_rt_serial()) {
		forget(m);
	} else {
		drop_current(m);
		drop_list(m);
		mobi_map_drop_buf(m);
		mobi_fold_drop(m);
		mob_cq_close(m->cq);
	}
	free(m->buf.at);
	free(m->buf.refs);
	free(m);
}

/* ---- the next chunk ---- */

static void unlink_chunk(struct mob_map *m, struct mobi_map_task *c)
{
	*(c->prev ? &c->prev->next : &m->head) = c->next;
	*(c->next ? &c->next->prev : &m->tail) = c->prev;
}

static int await_first(struct mob_map *m, int64_t timeout_ns)
{
	struct mob_store *s = mobi_rt.store;
	int rc = 0;

	if (m->buf.n &&
	    (!m->head || !mobi_resolved(mobi_load(
				 &s->slots[(uint32_t)m->head->id].word)))) {
		rc = mobi_map_flush(m);
	}
	return rc < 0 || !m->head ? rc :
				    mobi_wait_one(s, m->head->id, timeout_ns);
}

static int await_any(struct mob_map *m, int64_t timeout_ns,
		     struct mobi_map_task **out_c)
{
	struct mob_cq_entry e;
	int rc = mob_cq_pop(m->cq, 0, &e);

	if (rc == MOB_E_TIMEOUT || rc == 0) {
		rc = mobi_map_flush(m);
		if (rc >= 0) {
			rc = mob_cq_pop(m->cq, timeout_ns, &e);
		}
	}
	if (rc > 0) {
		*out_c = (struct mobi_map_task *)(uintptr_t)e.user;
		(void)mob_object_release(mobi_rt.store, e.ref);
	}
	return rc;
}

int mobi_map_await(struct mob_map *m, int64_t timeout_ns,
		   struct mobi_map_task **out_c)
{
	int rc;

	*out_c = NULL;
	if (m->cq) {
		rc = await_any(m, timeout_ns, out_c);
	} else {
		rc = await_first(m, timeout_ns);
		*out_c = rc < 0 ? NULL : m->head;
	}
	if (rc < 0) {
		rc = mobi_wait_failed(rc);
		m->over |= rc != MOB_E_TIMEOUT && rc != MOB_E_INTERRUPTED;
		return rc;
	}
	if (!*out_c) {
		return 0;
	}
	unlink_chunk(m, *out_c);
	return 1;
}

/* One half of a chunk, as a task. What is one call only may be run as often as the
 * options say. */
static struct mobi_map_task *half_of(struct mob_map *m,
				     const struct mobi_map_task *c,
				     uint32_t first, uint32_t n)
{
	struct mob_task_opts opts;
	struct mobi_map_task *h = malloc(sizeof(*h));

	if (!h) {
		return NULL;
	}
	mobi_opts_copy(c->def, &m->given, &opts);
	*h = *c;
	h->first = first;
	h->n = n;
	h->index = c->index + (first - c->first);
	h->bytes = c->bytes / c->n * n;
	if (n > 1) {
		opts.retries = 0;
	}
	if (mobi_slot_hold(mobi_rt.store, c->calls - 1) < 0) {
		free(h);
		return NULL;
	}
	if (mobi_map_submit(&opts, h) < 0) {
		(void)mobi_slot_release(mobi_rt.store, c->calls - 1);
		free(h);
		return NULL;
	}
	return h;
}

/* Its calls are run again, in two halves in its place. False: they cannot be. */
static bool halve(struct mob_map *m, struct mobi_map_task *c)
{
	uint32_t n = c->n / 2;
	struct mob_task_opts opts;
	struct mobi_map_task *a;
	struct mobi_map_task *b;

	mobi_opts_copy(c->def, &m->given, &opts);
	if (c->n < 2 || !c->calls || opts.retries == 0) {
		return false;
	}
	a = half_of(m, c, c->first, n);
	b = a ? half_of(m, c, c->first + n, c->n - n) : NULL;
	if (!b) {
		if (a) {
			mobi_map_cancel(a->id);
			a->bytes = 0;
			mobi_map_drop(m, a);
		}
		return false;
	}
	m->bytes_out += a->bytes + b->bytes;
	mobi_map_drop(m, c);
	if (mobi_map_link(m, a, NULL) < 0 || mobi_map_link(m, b, a) < 0) {
		m->over = true;
	}
	return true;
}

/* The chunk is over: its result is looked at from now on. */
static void begin_chunk(struct mob_map *m, struct mobi_map_task *c,
			struct mobi_error *e)
{
	uint64_t each;

	m->cur = c;
	m->error = e;
	m->i = 0;
	m->at = 0;
	if (c->calls) {
		(void)mobi_slot_release(mobi_rt.store, c->calls - 1);
		c->calls = 0;
	}
	m->bytes_out += m->view.size - c->bytes;
	c->bytes = m->view.size;
	if (c->def == m->def) {
		each = m->view.size / c->n;
		m->ret_bytes = m->sized ? (3 * m->ret_bytes + each) / 4 : each;
		m->sized = true;
		m->grown = c->n > m->grown ? c->n : m->grown;
	}
	mobi_map_plan(m);
}

/* ---- taking ---- */

/* Nothing is in flight, and nothing is left to be given. */
static int at_end(struct mob_map *m)
{
	int rc = m->failed;

	m->failed = 0;
	m->index = UINT64_MAX;
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}

static int check_next(struct mob_map *m, const struct mob_type *type,
		      int64_t timeout_ns, void *out)
{
	int rc = 0;

	if (type && type->size) {
		memset(out, 0, type->size);
	}
	if (m->serial != mobi_rt_serial()) {
		rc = mobi_err(MOB_E_STATE, "mob_map_next: the session of this "
					   "map has ended; close the map");
	} else if (m->asking) {
		rc = mobi_err(MOB_E_STATE, "mob_map_next: not in the function "
					   "of mob_map_from");
	} else if (timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		rc = mobi_err(MOB_E_INVAL,
			      "mob_map_next: timeout_ns is %lld; at least 0, "
			      "or MOB_FOREVER",
			      (long long)timeout_ns);
	}
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}

/* The next chunk becomes the current one. 1; 0: there is none; or an error. */
static int next_chunk(struct mob_map *m, int64_t timeout_ns)
{
	struct mobi_map_task *c;
	struct mobi_error *e;
	int rc;

	for (;;) {
		if (m->over) {
			return 0;
		}
		rc = mobi_map_fill(m);
		if (rc < 0) {
			return mobi_error_pend_rc(rc);
		}
		rc = mobi_map_await(m, timeout_ns, &c);
		if (rc <= 0 || !c) {
			return rc;
		}
		e = mobi_map_look(c->id, &m->view);
		if (e && e->rc == MOB_E_CRASHED && halve(m, c)) {
			mobi_error_free(e);
			continue;
		}
		begin_chunk(m, c, e);
		return 1;
	}
}

int mob_map_next_raw(struct mob_map *m, const struct mob_type *type,
		     int64_t timeout_ns, void *out)
{
	int rc = check_next(m, type, timeout_ns, out);

	if (rc < 0) {
		return rc;
	}
	m->index = UINT64_MAX;
	if (m->fold) {
		return mobi_fold_next(m, type, timeout_ns, out);
	}
	if (m->cur && m->i == m->cur->n) {
		drop_current(m);
	}
	if (!m->cur) {
		rc = next_chunk(m, timeout_ns);
		if (rc <= 0) {
			return rc < 0 ? rc : at_end(m);
		}
	}
	m->index = m->cur->index + m->i;
	rc = mobi_map_read(m, type, out);
	m->i++;
	m->n_out--;
	if (rc < 0) {
		if (type && type->size) {
			memset(out, 0, type->size);
		}
		return rc;
	}
	return 1;
}

uint64_t mob_map_index(const struct mob_map *m)
{
	return m->index;
}

/* ---- all at once ---- */

int mob_map_all_raw(const struct mob_map_opts *opts,
		    const struct mob_task_def *def, uint64_t n,
		    const struct mob_type *type, void *out, uint32_t n_args,
		    const struct mob_map_column *columns)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	unsigned char *at = out;
	struct mob_map *m = NULL;
	uint64_t i = 0;
	int rc;

	if (opts) {
		o = *opts;
	}
	o.flags &= ~MOB_MAP_UNORDERED; /* the place of each is known */
	if (n) {
		memset(out, 0, n * type->size);
	}
	rc = mob_map_open(&o, &m);
	if (rc < 0 || !m) {
		return rc;
	}
	rc = mob_map_over_raw(m, def, n, n_args, columns);
	for (; rc >= 0 && i < n; i++) {
		rc = mob_map_next_raw(m, type, MOB_FOREVER,
				      at + i * type->size);
		if (rc == 0) {
			break;
		}
	}
	if (rc < 0 && n) {
		memset(out, 0, n * type->size);
	}
	mob_map_close(m);
	return rc < 0 ? rc : 0;
}
