/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tasks that run the calls of a map, in a worker.
 *
 * A chunk calls the function for one call of the batch after the other, and
 * stores each result, or the error in place of it. One that folds has the folded
 * result itself, as a task of the operator would; so does the task that folds
 * parts. An error that options want retried ends the chunk as a whole.
 */
#include "map.h"

#include "args.h"
#include "err.h"
#include "error.h"
#include "os_clock.h"
#include "task.h"
#include "value.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

void mobi_map_register(void)
{
	mob_module_register_raw(__start_mob_tasks, __stop_mob_tasks);
}

/* What others learn from: the next map begins with it. */
static void learn(uint32_t fn, uint64_t ns, uint64_t n)
{
	struct mobi_fn_shared *f = &mobi_rt.sched->fn[fn % MOBI_FUNCTIONS];
	uint64_t old = mobi_load_relaxed(&f->cost_ns); /* a hint */
	uint64_t mean = n ? ns / n : 0;

	mean = old ? old / 2 + mean / 2 : mean;
	mobi_store_relaxed(&f->cost_ns, mean ? mean : 1); /* a hint */
}

/* ---- results ---- */

struct results {
	unsigned char *row; /* in the store: a struct mobi_part, and values */
	uint64_t row_len;
	unsigned char *more; /* malloc'd: items */
	uint64_t len;
	uint64_t size;
};

static unsigned char *more(struct results *o, uint64_t n)
{
	if (n > o->size - o->len) {
		uint64_t size = o->size ? 2 * o->size : 1024;
		unsigned char *at;

		while (size - o->len < n) {
			size *= 2;
		}
		at = realloc(o->more, size);
		if (!at) {
			return NULL;
		}
		o->more = at;
		o->size = size;
	}
	memset(o->more + o->len, 0, n);
	o->len += n;
	return o->more + o->len - n;
}

static unsigned char *add_item(struct results *o, uint32_t index, uint64_t len,
			       bool failed)
{
	struct mobi_part_item item = { len, index, failed };
	unsigned char *at = more(o, sizeof(item) + mobi_up16(len));

	if (!at) {
		(void)mobi_error_pend_rc(mobi_err(MOB_E_NOMEM, "no memory for "
							       "the results "
							       "of a chunk"));
		return NULL;
	}
	memcpy(at, &item, sizeof(item));
	return at + sizeof(item);
}

static bool add_error(struct results *o, uint32_t index,
		      const struct mobi_error *e)
{
	uint64_t len = mobi_error_bytes(e);
	unsigned char *at = add_item(o, index, len, true);

	if (at) {
		memcpy(at, e, len);
	}
	return at != NULL;
}

/* The result, in space of the store; empty if there is no room, which is pending. */
static mobi_map_part join_results(struct results *o)
{
	unsigned char *at = o->row;

	if (o->len) {
		at = mob_new_of(mobi_map_part, o->row_len + o->len);
		if (at) {
			memcpy(at, o->row, o->row_len);
			memcpy(at + o->row_len, o->more, o->len);
		}
	}
	free(o->more);
	return mobi_map_part_of(at, at ? o->row_len + o->len : 0);
}

/* ---- a chunk ---- */

struct run {
	struct mobi_batch b;
	const unsigned char *at; /* the next call */
	const unsigned char *end;
	const struct mob_task_def *def;
	struct mobi_context *c;
	struct mobi_call_ret ret;
	struct results out;
	bool row;
	bool folds;
	struct mobi_acc acc;
};

static bool damaged(void)
{
	(void)mobi_error_pend_rc(mobi_err(MOB_E_CORRUPT, "the calls of a chunk "
							 "are damaged"));
	return false;
}

/* The arguments of the call at r->at, which goes on to the next one. */
static bool next_call(struct run *r, const unsigned char **out_at,
		      uint64_t *out_len)
{
	struct mobi_call call = { r->b.stride, 0 };
	uint64_t left = (uint64_t)(r->end - r->at);

	if (!r->b.stride) {
		if (left < sizeof(call)) {
			return damaged();
		}
		memcpy(&call, r->at, sizeof(call));
		r->at += sizeof(call);
		left -= sizeof(call);
	}
	if (call.len > left || (!r->b.stride && mobi_up16(call.len) > left)) {
		return damaged();
	}
	*out_at = r->at;
	*out_len = call.len;
	r->at += r->b.stride ? call.len : mobi_up16(call.len);
	return true;
}

/* The call failed, with e or what is pending: the chunk goes on with the next one,
 * unless it is to end. */
static bool failed(struct run *r, uint32_t i, struct mobi_error *e, bool ran)
{
	bool ok;

	if (r->folds || (ran && mobi_call_again(r->c))) {
		r->c->as = r->def;
		if (e) {
			mobi_error_pend(r->c, e);
		}
		return false;
	}
	if (!e) {
		e = mobi_task_place_error(r->c->error, r->def, r->def->name,
					  r->c->attempt);
		r->c->error = NULL;
	}
	ok = add_error(&r->out, i, e);
	mobi_error_free(e);
	return ok;
}

/* Stores what the function returned. */
static bool keep(struct run *r, uint32_t i)
{
	const struct mob_type *t = r->def->rets[0];
	unsigned char *at;
	uint64_t bytes;
	int rc;

	if (r->folds) {
		return mobi_acc_add(&r->acc, r->ret.at);
	}
	rc = mobi_value_bytes(t, r->ret.at, &bytes);
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
		return failed(r, i, NULL, true);
	}
	at = add_item(&r->out, i, bytes, false);
	if (at) {
		mobi_value_store(t, r->ret.at, at);
	}
	return at != NULL;
}

static bool call(struct run *r, uint32_t i, const void *const *arg)
{
	unsigned char *to = NULL;
	bool ok;

	if (r->row) {
		to = r->out.row + sizeof(struct mobi_part) +
		     (size_t)i * r->def->rets[0]->size;
	}
	ok = mobi_call_enter(&r->ret, arg, to);
	if (!ok) {
		ok = failed(r, i, NULL, true);
	} else if (!to) {
		ok = keep(r, i);
	}
	mobi_call_leave(&r->ret);
	return ok;
}

#define GONE_TRIES 16u

/* Of what a call needs some went for room after the call was given: it is waited
 * for, as in a get, and is made again. */
static int await_gone(const unsigned char *at, uint64_t len)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_args_walk w = { at, len, 0, 0 };
	uint64_t id;
	int rc = 0;

	while (rc >= 0 && mobi_args_next(&w, &id)) {
		rc = mobi_wait_one(s, id, MOB_FOREVER);
	}
	return rc;
}

/* A call whose arguments are as args.h has them. */
static bool call_loaded(struct run *r, uint32_t i, const unsigned char *at,
			uint64_t len)
{
	struct mobi_args_ready ready;
	struct mobi_error *e = NULL;
	int rc = mobi_args_load(r->def, at, len, &ready, &e);
	bool ok;

	for (uint32_t tries = 1; rc == MOBI_ARGS_GONE; tries++) {
		mobi_args_drop(&ready);
		/* Each may go for another again, if there is no room for all. */
		rc = tries < GONE_TRIES ? await_gone(at, len) :
					  mobi_err(MOB_E_STORE_FULL,
						   "the arguments of a call of "
						   "task %s do not fit in the "
						   "store at the same time; "
						   "make the store larger",
						   r->def->name);
		if (rc >= 0) {
			rc = mobi_args_load(r->def, at, len, &ready, &e);
		}
	}
	if (rc >= 0) {
		ok = call(r, i, ready.arg);
	} else {
		if (!e) {
			(void)mobi_error_pend_rc(rc);
		}
		ok = failed(r, i, e, false);
	}
	mobi_args_drop(&ready);
	return ok;
}

static bool run_calls(struct run *r, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const void *arg[MOB_ARGS_MAX];
		const unsigned char *at;
		uint64_t len;
		bool ok;

		if (mob_task_cancelled() || !next_call(r, &at, &len)) {
			return false;
		}
		if (r->b.stride) {
			for (uint32_t k = 0; k < r->def->n_args; k++) {
				arg[k] = at + r->b.off[k];
			}
			ok = call(r, i, arg);
		} else {
			ok = call_loaded(r, i, at, len);
		}
		if (!ok) {
			return false;
		}
	}
	return true;
}

/* Space for n results. False: an error is pending. */
static bool begin(struct run *r, uint32_t n)
{
	const struct mob_type *t = r->def->rets[0];
	struct mobi_part head = { .n = n };
	const struct mob_task_def *op;
	uint64_t row;
	int rc = mobi_call_begin(&r->ret, r->def);

	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
		return false;
	}
	if (r->b.op) {
		op = mobi_call_def(r->b.op - 1);
		r->folds = op != NULL;
		rc = op ? mobi_acc_begin(&r->acc, op) : 0;
		if (rc < 0) {
			(void)mobi_error_pend_rc(rc);
		}
		return op && rc >= 0;
	}
	r->row = t->kind == MOB_KIND_POD || t->kind == MOB_KIND_VOID;
	head.row = r->row;
	head.stride = r->row ? t->size : 0;
	row = (uint64_t)n * head.stride;
	r->out.row_len = mobi_up16(sizeof(head) + row);
	r->out.row = mob_new_of(mobi_map_part, r->out.row_len);
	if (!r->out.row) {
		return false;
	}
	memset(r->out.row, 0, r->out.row_len);
	memcpy(r->out.row, &head, sizeof(head));
	return true;
}

/* Where call `first` is. */
static bool go_to(struct run *r, uint32_t first)
{
	const unsigned char *at;
	uint64_t len;

	if (r->b.stride) {
		if ((uint64_t)(r->end - r->at) / r->b.stride < first) {
			return damaged();
		}
		r->at += (size_t)first * r->b.stride;
		return true;
	}
	for (uint32_t i = 0; i < first; i++) {
		if (!next_call(r, &at, &len)) {
			return false;
		}
	}
	return true;
}

MOB_TASK_DEFINE(mobi_map_part, mobi_map_chunk, mobi_map_calls, calls, uint32_t,
		first, uint32_t, n)
{
	mobi_map_part none = { NULL, 0 };
	struct run r = { .at = calls.at, .c = mobi_context() };
	uint64_t began = mobi_quick_ns();
	bool ok;

	if (calls.n < sizeof(r.b)) {
		(void)damaged();
		return none;
	}
	memcpy(&r.b, calls.at, sizeof(r.b));
	r.at += sizeof(r.b);
	r.end = calls.at + calls.n;
	r.def = mobi_call_def(r.b.fn);
	ok = r.def && begin(&r, n) && go_to(&r, first) && run_calls(&r, n);
	if (ok) {
		learn(r.b.fn, mobi_quick_ns() - began, n);
	}
	if (ok && r.folds) {
		(void)mobi_acc_return(&r.acc); /* an error is pending */
	} else if (ok) {
		none = join_results(&r.out);
		r.out.more = NULL;
	}
	free(r.out.more);
	mobi_call_end(&r.ret);
	if (r.folds) {
		mobi_acc_end(&r.acc);
	}
	return none;
}

/* ---- parts ---- */

static bool add_part(struct mobi_acc *a, const struct mob_view *v)
{
	const struct mob_type *t = a->op->rets[0];
	_Alignas(16) unsigned char value[16];
	const void *at = value;
	int rc;

	if (t->kind == MOB_KIND_POD) {
		at = v->at;
		rc = mobi_value_type(t, v->size, v->type, a->op->name);
	} else {
		rc = mobi_value_load(t, v->at, v->size, v->type, a->op->name,
				     value);
	}
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
		return false;
	}
	return mobi_acc_add(a, at);
}

MOB_TASK_DEFINE(int32_t, mobi_map_parts, uint32_t, op, mob_args, parts)
{
	const struct mob_task_def *def = mobi_call_def(op);
	uint64_t began = mobi_quick_ns();
	struct mobi_acc a;
	bool ok = true;
	int rc;

	if (!def) {
		return 0;
	}
	rc = mobi_acc_begin(&a, def);
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	for (size_t i = 0; ok && i < parts.n; i++) {
		ok = add_part(&a, &parts.views[i]);
	}
	if (ok && parts.n > 1) {
		learn(op, mobi_quick_ns() - began, parts.n - 1);
	}
	if (ok) {
		(void)mobi_acc_return(&a);
	}
	mobi_acc_end(&a);
	return 0;
}
