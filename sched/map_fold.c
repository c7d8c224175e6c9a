/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding results: a tree of tasks, each of which folds a few neighbours.
 *
 * The tree grows like a counter: level 0 has the parts that chunks made, and as
 * soon as a level has as many as a task takes, a task folds them into one part of
 * the next level. So there are few of each level at a time, of parts that lie
 * next to each other. A map that keeps order puts a chunk into the tree when it is
 * handed over, the task waits for it; another one when the chunk has ended. Tasks
 * that fold and have not ended are bounded, too: an operator may be slower than the
 * function.
 */
#include "map.h"

#include "err.h"
#include "error.h"
#include "frame.h"
#include "get.h"
#include "graph.h"
#include "module.h"
#include "opts.h"
#include "slot.h"
#include "unread.h"
#include "value.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

#define TASK_NS 50000u /* aim for a task that folds */
#define LATE 4u        /* of them a worker */

static int check_op(const char *call, const struct mob_task_def *op)
{
	const struct mob_type *t = op->n_rets == 1 ? op->rets[0] : NULL;

	if (!t || op->n_args != 2 || op->args[0]->id != t->id ||
	    op->args[1]->id != t->id) {
		return mobi_err(MOB_E_INVAL,
				"%s: task %s is not R %s(R, R): an operator "
				"takes two values of the type that it returns",
				call, op->name, op->name);
	}
	if (t->kind == MOB_KIND_REF || t->kind == MOB_KIND_REFS) {
		return mobi_err(MOB_E_INVAL,
				"%s: task %s folds refs; fold the values", call,
				op->name);
	}
	return 0;
}

/* Parts of one task. */
static uint32_t parts_of(uint32_t fn)
{
	uint64_t cost = mobi_load_relaxed(&mobi_rt.sched->fn[fn].cost_ns);
	uint64_t n = cost ? TASK_NS / cost : 0; /* a hint */

	return n < 2 ? 2 : n > MOBI_FOLD_MAX ? MOBI_FOLD_MAX : (uint32_t)n;
}

/* A task that folds n objects; its result is held. */
static int submit(const struct mob_task_def *op, const struct mob_task_opts *o,
		  const struct mob_ref *refs, uint32_t n, uint64_t *out_id)
{
	struct mob_task_opts opts;
	struct mob_args list = { refs, NULL, n };
	struct mob_ref ref = MOB_REF_NONE;
	uint32_t fn;
	struct mob_arg args[2] = { { .value = &fn }, { .value = &list } };
	int rc = mobi_module_number(mobi_rt.sched, op, &fn);

	if (rc < 0) {
		return rc;
	}
	rc = mobi_graph_refuses("a fold of a map");
	if (rc < 0) {
		return mobi_map_own(mobi_error_ref(rc), out_id);
	}
	mobi_opts_copy(op, o, &opts);
	opts.name = opts.name ? opts.name : op->name;
	(void)mob_submit_raw(&mobi_map_parts_def, &opts, 2, args, 1, &ref);
	return mobi_map_own(ref, out_id);
}

/* The same of objects that are held, whose holds it takes. */
static int fold_ids(const struct mob_task_def *op,
		    const struct mob_task_opts *o, const uint64_t *ids,
		    uint32_t n, uint64_t *out_id)
{
	struct mob_ref refs[MOBI_FOLD_MAX] = { 0 };
	int rc;

	for (uint32_t i = 0; i < n; i++) {
		refs[i] = mobi_ref_of(mobi_rt.store, ids[i]);
	}
	rc = submit(op, o, refs, n, out_id);
	for (uint32_t i = 0; i < n; i++) {
		(void)mobi_slot_release(mobi_rt.store, ids[i]);
	}
	return rc;
}

/* Folds n neighbours that are held, k at a time; *out_n are left, held too. */
static int next_level(const struct mob_task_def *op,
		      const struct mob_task_opts *o, uint64_t *ids, size_t n,
		      uint32_t k, size_t *out_n)
{
	int rc = 0;

	*out_n = 0;
	for (size_t i = 0; i < n; i += k) {
		size_t some = n - i < k ? n - i : k;
		uint64_t one = ids[i];

		if (rc < 0) {
			for (size_t j = 0; j < some; j++) {
				(void)mobi_slot_release(mobi_rt.store,
							ids[i + j]);
			}
			continue;
		}
		if (some > 1) {
			rc = fold_ids(op, o, ids + i, (uint32_t)some, &one);
		}
		if (rc >= 0) {
			ids[(*out_n)++] = one;
		}
	}
	return rc;
}

/* ---- the tree ---- */

int mob_map_fold_raw(struct mob_map *m, const struct mob_task_def *op)
{
	int rc = 0;

	if (m->serial != mobi_rt_serial() || m->over || m->fold || m->n_given ||
	    m->source) {
		rc = mobi_err(MOB_E_STATE, "mob_map_fold: the map has calls, "
					   "or an operator, or is over");
	}
	if (rc >= 0) {
		rc = check_op("mob_map_fold", op);
	}
	if (rc >= 0) {
		m->fold = calloc(1, sizeof(*m->fold));
		if (m->fold) {
			m->fold->max_late = LATE * m->workers;
			m->fold->late = calloc(m->fold->max_late,
					       sizeof(*m->fold->late));
		}
		if (!m->fold || !m->fold->late) {
			free(m->fold);
			m->fold = NULL;
			rc = mobi_err(MOB_E_NOMEM, "mob_map_fold: out of "
						   "memory");
		}
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	m->fold->op = op;
	return 0;
}

/* One more task that folds: waits for the oldest if there are many. */
static int add_late(struct mobi_fold *f, uint64_t id)
{
	uint64_t *at = &f->late[f->n_late % f->max_late];
	int rc = 0;

	if (f->n_late >= f->max_late) {
		rc = mobi_wait_one(mobi_rt.store, *at - 1, MOB_FOREVER);
		if (rc < 0) {
			return mobi_wait_failed(rc);
		}
		(void)mobi_slot_release(mobi_rt.store, *at - 1);
		*at = 0;
	}
	rc = mobi_slot_hold(mobi_rt.store, id);
	if (rc >= 0) {
		*at = id + 1;
		f->n_late++;
	}
	return rc;
}

/* One more part, whose hold it takes. */
static int add_part(struct mob_map *m, uint64_t id)
{
	struct mobi_fold *f = m->fold;
	uint32_t fn;
	int rc = mobi_module_number(mobi_rt.sched, f->op, &fn);

	for (uint32_t l = 0; rc >= 0; l++) {
		MOB_ASSERT(l < MOBI_FOLD_LEVELS);
		f->level[l].id[f->level[l].n++] = id;
		if (f->level[l].n < parts_of(fn)) {
			break;
		}
		rc = fold_ids(f->op, &m->given, f->level[l].id, f->level[l].n,
			      &id);
		f->level[l].n = 0;
		if (rc >= 0) {
			rc = add_late(f, id);
			if (rc < 0) {
				(void)mobi_slot_release(mobi_rt.store, id);
			}
		}
	}
	return rc;
}

int mobi_fold_sent(struct mob_map *m, struct mobi_map_task *c)
{
	int rc = mobi_slot_hold(mobi_rt.store, c->id);

	return rc < 0 ? rc : add_part(m, c->id);
}

/* A chunk failed: the fold has this error. */
static int fail(struct mob_map *m, struct mobi_map_task *c,
		struct mobi_error *e)
{
	m->over = true;
	m->error = e;
	for (struct mobi_map_task *k = m->tail; k; k = k->prev) {
		mobi_map_cancel(k->id);
		mobi_unread_seen(mobi_rt.store, k->id);
	}
	mobi_map_drop(m, c);
	return e->rc;
}

/* Waits for a chunk. 1; 0: there is none. */
static int end_one(struct mob_map *m, int64_t timeout_ns)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_map_task *c;
	struct mob_view v = { 0 };
	struct mobi_error *e = NULL;
	int rc = mobi_map_await(m, timeout_ns, &c);

	if (rc <= 0) {
		return rc;
	}
	if (MOBI_STATE(mobi_load(&s->slots[(uint32_t)c->id].word)) !=
	    MOBI_S_SEALED) {
		e = mobi_map_look(c->id, &v);
		mob_view_release(s, &v);
	}
	if (e) {
		return fail(m, c, e);
	}
	m->sized = true;
	m->grown = c->n > m->grown ? c->n : m->grown;
	m->n_out -= c->n;
	if (m->cq) {
		rc = mobi_slot_hold(s, c->id);
		if (rc >= 0) {
			rc = add_part(m, c->id);
		}
		m->over |= rc < 0;
	}
	mobi_map_drop(m, c);
	mobi_map_plan(m);
	return rc < 0 ? rc : 1;
}

int mobi_fold_room(struct mob_map *m)
{
	int rc = 1;

	while (rc > 0 && !mobi_map_has_room(m)) {
		rc = end_one(m, MOB_FOREVER);
	}
	return rc < 0 ? rc : 0;
}

/* What is left in the tree, in order, becomes one part: level[0].id[0]. */
static int close_tree(struct mob_map *m)
{
	uint64_t id[MOBI_FOLD_LEVELS * MOBI_FOLD_MAX];
	struct mobi_fold *f = m->fold;
	size_t n = 0;
	uint32_t fn = 0;
	int rc = mobi_module_number(mobi_rt.sched, f->op, &fn);

	for (uint32_t l = MOBI_FOLD_LEVELS; l-- > 0;) {
		for (uint32_t i = 0; i < f->level[l].n; i++) {
			id[n++] = f->level[l].id[i];
		}
		f->level[l].n = 0;
	}
	while (n > 1 && rc >= 0) {
		rc = next_level(f->op, &m->given, id, n, parts_of(fn), &n);
	}
	for (size_t i = 0; rc < 0 && i < n; i++) {
		(void)mobi_slot_release(mobi_rt.store, id[i]);
	}
	if (rc >= 0 && n == 1) {
		f->level[0].id[0] = id[0];
		f->level[0].n = 1;
	}
	return rc;
}

/* ---- the result ---- */

static int take(struct mob_map *m, const struct mob_type *type,
		int64_t timeout_ns, void *out)
{
	uint64_t id = m->fold->level[0].id[0];
	struct mobi_error *e;
	int rc = mobi_wait_one(mobi_rt.store, id, timeout_ns);

	if (rc < 0) {
		rc = mobi_wait_failed(rc);
		m->over |= rc != MOB_E_TIMEOUT && rc != MOB_E_INTERRUPTED;
		return rc;
	}
	m->fold->given = true;
	e = mobi_map_look(id, &m->view);
	if (e) {
		rc = mobi_map_pend(e);
		mobi_error_free(e);
		return rc;
	}
	rc = type ? mobi_get_load(mobi_context(), type, &m->view,
				  "mob_map_next", out) :
		    0;
	return rc < 0 ? mobi_error_pend_rc(rc) : 1;
}

static int end_all(struct mob_map *m, int64_t timeout_ns)
{
	int rc = 1;

	while (rc > 0 && !m->over) {
		rc = mobi_map_fill(m);
		if (rc < 0) {
			return mobi_error_pend_rc(rc);
		}
		rc = end_one(m, timeout_ns);
	}
	return m->error ? 0 : rc;
}

int mobi_fold_next(struct mob_map *m, const struct mob_type *type,
		   int64_t timeout_ns, void *out)
{
	struct mobi_fold *f = m->fold;
	int rc;

	if (f->given) {
		return 0;
	}
	rc = mobi_graph_refuses("mob_map_next of a fold");
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	rc = end_all(m, timeout_ns);
	if (rc < 0) {
		return rc;
	}
	if (m->error || m->over || m->failed) {
		f->given = true;
		m->over = true;
		return m->error  ? mobi_map_pend(m->error) :
		       m->failed ? mobi_error_pend_rc(m->failed) :
				   0;
	}
	rc = close_tree(m);
	if (rc < 0) {
		m->over = true;
		return mobi_error_pend_rc(rc);
	}
	if (!f->level[0].n) { /* there was no call */
		return 0;
	}
	rc = take(m, type, timeout_ns, out);
	if (rc < 0 && type && type->size) {
		memset(out, 0, type->size);
	}
	return rc;
}

/* A task of the tree. If the fold has failed, the error of another is no news. */
static void drop_task(const struct mob_map *m, uint64_t id)
{
	mobi_map_cancel(id);
	if (m->error || m->fold->given) {
		mobi_unread_seen(mobi_rt.store, id);
	}
	(void)mobi_slot_release(mobi_rt.store, id);
}

void mobi_fold_drop(struct mob_map *m)
{
	struct mobi_fold *f = m->fold;

	if (!f) {
		return;
	}
	mob_view_release(mobi_rt.store, &m->view);
	for (uint32_t l = 0; l < MOBI_FOLD_LEVELS; l++) {
		for (uint32_t i = 0; i < f->level[l].n; i++) {
			drop_task(m, f->level[l].id[i]);
		}
	}
	for (uint32_t i = 0; i < f->max_late; i++) {
		if (f->late[i]) {
			drop_task(m, f->late[i] - 1);
		}
	}
	mobi_error_free(m->error);
	free(f->late);
	free(f);
}

/* ---- refs that are there ---- */

/* Folds n refs, k at a time, into ids; returns how many. */
static int first_level(const struct mob_task_def *op,
		       const struct mob_task_opts *o,
		       const struct mob_ref *refs, size_t n, uint32_t k,
		       uint64_t *ids, size_t *out_n)
{
	int rc = 0;

	*out_n = 0;
	for (size_t i = 0; i < n && rc >= 0; i += k) {
		size_t some = n - i < k ? n - i : k;

		rc = submit(op, o, refs + i, (uint32_t)some, &ids[*out_n]);
		*out_n += rc >= 0;
	}
	return rc;
}

static int reduce(const struct mob_task_def *op, const struct mob_task_opts *o,
		  const struct mob_ref *refs, size_t n, uint64_t *out_id)
{
	uint64_t *ids = malloc((n / 2 + 1) * sizeof(*ids));
	uint32_t fn;
	uint32_t k;
	int rc;

	if (!ids) {
		return mobi_err(MOB_E_NOMEM, "mob_reduce: out of memory");
	}
	rc = mobi_module_number(mobi_rt.sched, op, &fn);
	n = rc < 0 ? 0 : n;
	k = rc < 0 ? 2 : parts_of(fn);
	if (rc >= 0) {
		rc = first_level(op, o, refs, n, k, ids, &n);
	}
	while (rc >= 0 && n > 1) {
		rc = next_level(op, o, ids, n, k, &n);
	}
	if (rc >= 0) {
		*out_id = ids[0];
	}
	for (size_t i = 0; rc < 0 && i < n; i++) {
		(void)mobi_slot_release(mobi_rt.store, ids[i]);
	}
	free(ids);
	return rc;
}

struct mob_ref mob_reduce_raw(const struct mob_task_def *op,
			      const struct mob_task_opts *opts,
			      const struct mob_ref *refs, size_t n)
{
	struct mobi_context *c = mobi_context();
	uint64_t id = 0;
	int rc = mobi_rt_check("mob_reduce");

	if (rc >= 0) {
		rc = mobi_graph_refuses("mob_reduce");
	}
	if (rc >= 0) {
		rc = check_op("mob_reduce", op);
	}
	if (rc >= 0 && (n == 0 || !refs)) {
		rc = mobi_err(MOB_E_INVAL, "mob_reduce: %zu refs; at least one",
			      n);
	}
	if (rc >= 0 && opts && opts->struct_size != sizeof(*opts)) {
		rc = mobi_err(MOB_E_VERSION,
			      "mob_reduce: options of %u bytes; this library "
			      "knows %zu; start from MOB_OPTS",
			      opts->struct_size, sizeof(*opts));
	}
	if (rc >= 0) {
		rc = reduce(op, opts, refs, n, &id);
	}
	if (rc >= 0 && mobi_frame_add(c->frame, id, MOBI_HAS_HOLD) < 0) {
		(void)mobi_slot_release(mobi_rt.store, id);
		rc = MOB_E_NOMEM;
	}
	return rc < 0 ? mobi_error_ref(rc) : mobi_ref_of(mobi_rt.store, id);
}
