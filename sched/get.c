/* SPDX-License-Identifier: Apache-2.0 */
/* Reading results: get, wait, and giving refs back. */
#include "get.h"
#include "cq.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "frame.h"
#include "object.h"
#include "os_clock.h"
#include "prefetch.h"
#include "slot.h"
#include "unread.h"
#include "value.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

/* Notes a view that the caller has on `id` where its ref is. */
static int note_view(struct mobi_context *c, uint64_t id)
{
	struct mobi_frame *f;
	uint32_t has = mobi_frame_find(c, id, &f);

	if (has) {
		return mobi_frame_add(f, id, MOBI_HAS_VIEW);
	}
	if (mobi_kept_find(id)) {
		if (!mobi_kept_view(id)) {
			mobi_slot_unview(mobi_rt.store, id);
		}
		return 0;
	}
	return mobi_frame_add(c->frame, id, MOBI_HAS_VIEW);
}

bool mobi_reads_in_place(const struct mob_type *type)
{
	return type->kind == MOB_KIND_SPAN || type->kind == MOB_KIND_STR ||
	       type->kind == MOB_KIND_REFS;
}

/* An inner ref that was read belongs to the frame: its object is held. */
static int hold_inner(struct mobi_context *c, const struct mob_type *type,
		      const void *value)
{
	struct mobi_span refs = mobi_value_refs(type, value);
	const struct mob_ref *r = refs.at;

	for (size_t i = 0; i < refs.n; i++) {
		uint64_t id;
		int rc = mobi_slot_of(mobi_rt.store, r[i], &id);

		if (rc >= 0) {
			rc = mobi_slot_hold(mobi_rt.store, id);
		}
		if (rc >= 0) {
			rc = mobi_frame_add(c->frame, id, MOBI_HAS_HOLD);
		}
		if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

int mobi_get_load(struct mobi_context *c, const struct mob_type *type,
		  const struct mob_view *v, const char *what, void *out)
{
	int rc = mobi_value_load(type, v->at, v->size, v->type, what, out);

	return rc < 0 ? rc : hold_inner(c, type, out);
}

/* Reads an object that is resolved and that the caller holds. */
int mobi_get_value(struct mobi_context *c, uint64_t id,
		   const struct mob_type *type, void *out)
{
	struct mob_store *s = mobi_rt.store;
	struct mob_view v;
	int rc;

	/* Who made it may be telling others yet: its line is left alone. */
	if (type && !mobi_reads_in_place(type) && mobi_object_peek(s, id, &v)) {
		rc = mobi_get_load(c, type, &v, "mob_get", out);
		return rc < 0 ? mobi_error_pend_rc(rc) : 0;
	}
	rc = mobi_object_view(s, id, &v);
	if (rc == MOB_E_TASK) {
		struct mobi_error *e = mobi_error_read(&v);

		mobi_unread_seen(s, id);
		mob_view_release(s, &v);
		rc = mobi_err(e->rc, "%.400s", e->text);
		mobi_error_pend(c, e);
		return rc;
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	if (!type) {
		mob_view_release(s, &v);
		return 0;
	}
	rc = mobi_get_load(c, type, &v, "mob_get", out);
	if (rc < 0 || !mobi_reads_in_place(type)) {
		mob_view_release(s, &v);
	} else {
		rc = note_view(c, id);
		if (rc < 0) {
			mob_view_release(s, &v);
		}
	}
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}

int mobi_wait_failed(int rc)
{
	if (rc == MOB_E_INTERRUPTED && mob_task_cancelled()) {
		rc = mobi_err(MOB_E_CANCELLED, "the wait was ended: this task "
					       "is cancelled");
	}
	return rc == MOB_E_TIMEOUT || rc == MOB_E_INTERRUPTED ?
		       rc :
		       mobi_error_pend_rc(rc);
}

int mobi_check_timeout(const char *call, int64_t timeout_ns)
{
	if (timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		return mobi_err(MOB_E_INVAL,
				"%s: timeout_ns is %lld; at least 0, or "
				"MOB_FOREVER",
				call, (long long)timeout_ns);
	}
	return 0;
}

int mob_get_raw(struct mob_ref ref, const struct mob_type *type,
		int64_t timeout_ns, void *out)
{
	struct mobi_context *c = mobi_context();
	uint64_t id;
	int rc = mobi_rt_check("mob_get");

	if (type && type->size) {
		memset(out, 0, type->size);
	}
	if (rc >= 0 && !c) {
		rc = mobi_err(MOB_E_NOMEM, "mob_get: out of memory");
	}
	if (rc >= 0) {
		rc = mobi_check_timeout("mob_get", timeout_ns);
	}
	if (rc >= 0) {
		rc = mobi_slot_of(mobi_rt.store, ref, &id);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	/* Kept alive by me while I wait and read. */
	rc = mobi_slot_hold(mobi_rt.store, id);
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	rc = mobi_wait_one(mobi_rt.store, id, timeout_ns);
	if (rc < 0) {
		(void)mobi_slot_release(mobi_rt.store, id);
		return mobi_wait_failed(rc);
	}
	rc = mobi_get_value(c, id, type, out);
	(void)mobi_slot_release(mobi_rt.store, id);
	if (rc < 0 && type && type->size) {
		memset(out, 0, type->size);
	}
	return rc;
}

/* The first error that is known ends it. */
static int join_all(const struct mob_ref *refs, size_t n)
{
	struct mob_store *s = mobi_rt.store;
	struct mob_cq *q = NULL;
	uint32_t added = 0;
	int rc = mob_cq_open(s, &q);

	if (rc >= 0) {
		mobi_cq_ring_from(q, UINT32_MAX, MOBI_WAIT_ALL);
	}
	MOBI_FAULT("get.all");
	for (size_t i = 0; i < n && rc >= 0; i++) {
		enum mob_object_state st = mob_object_state(s, refs[i]);

		if (st == MOB_OBJECT_PENDING) {
			rc = mob_cq_add(q, refs[i], i);
			added++;
		} else if (st != MOB_OBJECT_SEALED) {
			/* It failed since it was looked at. */
			mob_cq_close(q);
			return mob_get_raw(refs[i], NULL, 0, NULL);
		}
	}
	if (rc < 0) {
		mob_cq_close(q);
		return mobi_error_pend_rc(rc);
	}
	mobi_cq_ring_from(q, added, MOBI_WAIT_ALL);
	for (;;) {
		struct mob_cq_entry e;
		uint64_t w;

		rc = mob_cq_pop(q, MOB_FOREVER, &e);
		if (rc < 0) {
			rc = mobi_wait_failed(rc);
		}
		if (rc <= 0) {
			break;
		}
		w = mobi_load(&s->slots[(uint32_t)e.ref.lo].word);
		(void)mob_object_release(s, e.ref);
		if (mobi_resolved(w) && MOBI_STATE(w) != MOBI_S_SEALED) {
			rc = mob_get_raw(e.ref, NULL, 0, NULL);
			break;
		}
	}
	mob_cq_close(q);
	return rc;
}

/* Of these so many at most are read ahead at once, if they are spilled. */
#define AHEAD 16u

/* Which refs the thread views already: they keep it after a failure. NULL
 * without memory, or if the type is not read in place. */
static bool *viewed(const struct mob_ref *refs, size_t n,
		    const struct mob_type *type)
{
	struct mobi_context *c = mobi_context();
	bool *had = NULL;

	if (c && n > 1 && mobi_reads_in_place(type)) {
		had = calloc(n, sizeof(*had));
	}
	for (size_t i = 0; had && i < n; i++) {
		struct mobi_frame *f;

		had[i] = mobi_frame_find(c, refs[i].lo, &f) & MOBI_HAS_VIEW;
	}
	return had;
}

static void drop_views(const struct mob_ref *refs, size_t n, const bool *had)
{
	for (size_t i = 0; had && i < n; i++) {
		if (!had[i]) {
			mobi_frame_drop_view(mobi_context(), refs[i].lo);
		}
	}
}

int mob_get_all_raw(const struct mob_ref *refs, size_t n,
		    const struct mob_type *type, void *out)
{
	unsigned char *at = out;
	bool pending = false;
	int rc = mobi_rt_check("mob_get_all");

	if (n) {
		memset(out, 0, n * type->size);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	for (size_t i = 0; i < n && rc >= 0; i++) {
		enum mob_object_state state = mob_object_state(mobi_rt.store,
							       refs[i]);

		pending |= state == MOB_OBJECT_PENDING;
		if (state != MOB_OBJECT_PENDING && state != MOB_OBJECT_SEALED) {
			rc = mob_get_raw(refs[i], NULL, 0, NULL);
		}
	}
	if (rc >= 0 && pending && n > 1) {
		rc = join_all(refs, n);
	}
	if (rc >= 0) {
		bool *had = viewed(refs, n, type);
		size_t ahead = 0;
		size_t i = 0;

		for (; i < n && rc >= 0; i++) {
			if (n > 1 && i == ahead) {
				ahead += mobi_refs_prefetch(
					mobi_rt.store, refs + i,
					n - i < AHEAD ? n - i : AHEAD);
			}
			rc = mob_get_raw(refs[i], type, MOB_FOREVER,
					 at + i * type->size);
		}
		if (rc < 0) {
			drop_views(refs, i, had);
		}
		free(had);
	}
	if (rc < 0) {
		memset(out, 0, n * type->size);
	}
	return rc;
}

int mob_args_get_raw(const struct mob_args *args, size_t i,
		     const struct mob_type *type, void *out)
{
	const struct mob_view *v;
	int rc;

	if (i >= args->n) {
		if (type->size) {
			memset(out, 0, type->size);
		}
		return mobi_error_pend_rc(mobi_err(MOB_E_INVAL,
						   "mob_args_get: argument %zu "
						   "of %zu",
						   i, args->n));
	}
	if (!args->views) {
		return mob_get_raw(args->refs[i], type, MOB_FOREVER, out);
	}
	/* The view of the call pins it until the task ends. */
	v = &args->views[i];
	memset(out, 0, type->size);
	rc = mobi_value_load(type, v->at, v->size, v->type, "mob_args_get",
			     out);
	if (rc >= 0) {
		rc = hold_inner(mobi_context(), type, out);
	}
	if (rc < 0) {
		memset(out, 0, type->size);
		return mobi_error_pend_rc(rc);
	}
	return 0;
}

int mob_join(struct mob_ref ref)
{
	return mob_get_raw(ref, NULL, MOB_FOREVER, NULL);
}

int mob_wait(const struct mob_ref *refs, size_t n, size_t n_ready,
	     int64_t timeout_ns, bool *ready)
{
	bool *mine = NULL;
	int rc = mobi_rt_check("mob_wait");

	if (rc >= 0 && n == 0) {
		return 0;
	}
	if (rc >= 0 && !ready) {
		mine = malloc(n * sizeof(*mine));
		if (!mine) {
			rc = mobi_err(MOB_E_NOMEM, "mob_wait: out of memory");
		}
	}
	if (rc >= 0) {
		rc = mobi_object_wait(mobi_rt.store, "mob_wait", refs, n,
				      n_ready, timeout_ns,
				      ready ? ready : mine);
	}
	free(mine);
	return rc < 0 ? mobi_wait_failed(rc) : rc;
}

/* ---- giving back ---- */

int mob_release(struct mob_ref ref)
{
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct mobi_frame *f;
	uint64_t id;
	uint32_t has = 0;
	int rc = mobi_rt_check("mob_release");

	if (rc >= 0) {
		rc = mobi_slot_of(s, ref, &id);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	if (c) {
		has = mobi_frame_find(c, id, &f);
	}
	if (has) {
		mobi_frame_remove(f, id);
	} else {
		has = mobi_kept_remove(id);
		if (has == UINT32_MAX) {
			return 0;
		}
	}
	if (!has) {
		return mobi_error_pend_rc(mobi_err(MOB_E_BAD_REF,
						   "mob_release: object %u is "
						   "in no frame of this thread "
						   "and not kept; it was "
						   "released before, or "
						   "returned",
						   (uint32_t)id));
	}
	if (has & MOBI_HAS_VIEW) {
		mobi_slot_unview(s, id);
	}
	if (has & MOBI_HAS_HOLD) {
		(void)mobi_slot_release(s, id);
	}
	return 0;
}

int mob_keep(struct mob_ref ref)
{
	struct mobi_context *c = mobi_context();
	struct mob_store *s = mobi_rt.store;
	struct mobi_frame *f = NULL;
	uint64_t id;
	uint32_t has = 0;
	int rc = mobi_rt_check("mob_keep");

	if (rc >= 0) {
		rc = mobi_slot_of(s, ref, &id);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	if (c) {
		has = mobi_frame_find(c, id, &f);
	}
	if (!(has & MOBI_HAS_HOLD)) {
		rc = mobi_slot_hold(s, id);
		if (rc < 0) {
			return mobi_error_pend_rc(rc);
		}
	}
	rc = mobi_kept_add(id, has | MOBI_HAS_HOLD);
	if (rc < 0) {
		if (!(has & MOBI_HAS_HOLD)) {
			(void)mobi_slot_release(s, id);
		}
		return mobi_error_pend_rc(rc);
	}
	if (has) {
		mobi_frame_remove(f, id);
	}
	return 0;
}

/* ---- completion order ---- */

struct mob_queue {
	struct mob_cq *cq;
	uint64_t serial; /* of its session */
};

/* The store of a queue that outlived its session is closed. */
static int check_queue(const struct mob_queue *q, const char *call)
{
	if (q->serial != mobi_rt_serial()) {
		return mobi_err(MOB_E_STATE,
				"%s: the session of this queue has ended; "
				"close the queue",
				call);
	}
	return 0;
}

int mob_queue_open(struct mob_queue **out_queue)
{
	struct mob_queue *q;
	int rc = mobi_rt_check("mob_queue_open");

	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	q = malloc(sizeof(*q));
	if (!q) {
		return mobi_error_pend_rc(mobi_err(MOB_E_NOMEM, "mob_queue_"
								"open: out of "
								"memory"));
	}
	rc = mob_cq_open(mobi_rt.store, &q->cq);
	if (rc < 0) {
		free(q);
		return mobi_error_pend_rc(rc);
	}
	q->serial = mobi_rt_serial();
	*out_queue = q;
	return 0;
}

int mob_queue_add(struct mob_queue *queue, struct mob_ref ref, uint64_t tag)
{
	struct mobi_context *c = mobi_context();
	struct mobi_frame *f;
	uint64_t id;
	int rc = check_queue(queue, "mob_queue_add");

	if (rc >= 0) {
		rc = mob_cq_add(queue->cq, ref, tag);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	if (c && mobi_slot_of(mobi_rt.store, ref, &id) >= 0) {
		uint32_t has = mobi_frame_find(c, id, &f);

		if (has & MOBI_HAS_HOLD) {
			mobi_frame_remove(f, id);
			if (has & MOBI_HAS_VIEW) {
				mobi_slot_unview(mobi_rt.store, id);
			}
			(void)mobi_slot_release(mobi_rt.store, id);
		}
	}
	return 0;
}

int mob_queue_pop(struct mob_queue *queue, int64_t timeout_ns,
		  struct mob_ref *out_ref, uint64_t *out_tag)
{
	struct mobi_context *c = mobi_context();
	struct mob_cq_entry e;
	int rc = check_queue(queue, "mob_queue_pop");

	if (rc >= 0) {
		rc = mob_cq_pop(queue->cq, timeout_ns, &e);
	}
	if (rc <= 0) {
		return rc < 0 ? mobi_wait_failed(rc) : rc;
	}
	if (!c || mobi_frame_add(c->frame, e.ref.lo, MOBI_HAS_HOLD) < 0) {
		(void)mob_object_release(mobi_rt.store, e.ref);
		return mobi_error_pend_rc(MOB_E_NOMEM);
	}
	*out_ref = e.ref;
	if (out_tag) {
		*out_tag = e.user;
	}
	return 1;
}

size_t mob_queue_outstanding(const struct mob_queue *queue)
{
	return queue->serial == mobi_rt_serial() ?
		       (size_t)mob_cq_outstanding(queue->cq) :
		       0;
}

int mob_queue_fd(struct mob_queue *queue)
{
	int rc = check_queue(queue, "mob_queue_fd");

	if (rc >= 0) {
		rc = mob_cq_fd(queue->cq);
	}
	return rc < 0 ? mobi_error_pend_rc(rc) : rc;
}

void mob_queue_close(struct mob_queue *queue)
{
	if (!queue) {
		return;
	}
	if (queue->serial == mobi_rt_serial()) {
		mob_cq_close(queue->cq);
	} else {
		mobi_cq_forget(queue->cq);
	}
	free(queue);
}
