/* SPDX-License-Identifier: Apache-2.0 */
/* Calling functions of other definitions from within a task of the library. */
#include "map.h"

#include "err.h"
#include "error.h"
#include "frame.h"
#include "module.h"
#include "os_run.h"
#include "retry.h"
#include "value.h"

#include <mobula/cancel.h>

#include <stdlib.h>
#include <string.h>

#define FORKED_CHILD 127 /* exit code of one that returned from a call */

const struct mob_task_def *mobi_call_def(uint32_t fn)
{
	const struct mob_task_def *def = mobi_module_def(mobi_rt.sched, fn);

	if (!def) {
		(void)mobi_error_pend_rc(mobi_err(
			MOB_E_VERSION,
			"worker %u does not know task %s: it was "
			"started from another build",
			mobi_proc_self().pid,
			fn < MOBI_FUNCTIONS ? mobi_rt.sched->fn[fn].name :
					      "?"));
	}
	return def;
}

/* ---- one call ---- */

int mobi_call_begin(struct mobi_call_ret *r, const struct mob_task_def *def)
{
	memset(r, 0, sizeof(*r));
	r->def = def;
	r->c = mobi_context();
	r->at = calloc(1, def->rets[0]->size + (size_t)1);
	if (!r->at) {
		return mobi_err(MOB_E_NOMEM, "no memory for a result of %s",
				def->name);
	}
	return 0;
}

bool mobi_call_enter(struct mobi_call_ret *r, const void *const *arg, void *to)
{
	struct mobi_context *c = r->c;
	void *ret[1] = { to ? to : r->at };

	mobi_frame_init(&r->frame, c->frame);
	c->frame = &r->frame;
	if (!to) {
		memset(r->at, 0, r->def->rets[0]->size);
	}
	r->def->run(arg, ret, 1);
	if (!mobi_load_relaxed(mobi_rt.store->not_forked)) {
		/* A child that the call forked: it is no second worker. */
		mobi_exit_now(FORKED_CHILD);
	}
	return !c->error;
}

void mobi_call_leave(struct mobi_call_ret *r)
{
	struct mobi_context *c = r->c;

	while (c->frame != &r->frame) {
		mobi_scope_drop(c);
	}
	c->frame = r->frame.outer;
	mobi_frame_end(&r->frame);
	/* What one call waits with is not the next one's. */
	(void)mob_cancel_use(NULL);
}

void mobi_call_end(struct mobi_call_ret *r)
{
	free(r->at);
	r->at = NULL;
}

bool mobi_call_again(const struct mobi_context *c)
{
	struct mob_store *s = mobi_rt.store;
	uint32_t rec = (uint32_t)c->task;

	return mobi_retry_wanted(mobi_rt.sched, mobi_task_at(s, rec),
				 mobi_load(&s->recs[rec].word), c->error);
}

/* ---- folding ---- */

int mobi_acc_begin(struct mobi_acc *a, const struct mob_task_def *op)
{
	memset(a, 0, sizeof(*a));
	a->op = op;
	return mobi_call_begin(&a->ret, op);
}

/* The value as an operator takes it. */
static const void *acc_value(const struct mobi_acc *a)
{
	return a->op->rets[0]->kind == MOB_KIND_POD ? a->buf[a->in] : a->value;
}

/* A copy: what the value lies in ends with the call that it comes from. */
static int acc_set(struct mobi_acc *a, const void *value)
{
	const struct mob_type *t = a->op->rets[0];
	uint32_t to = a->some ? !a->in : 0;
	uint64_t bytes;
	int rc = mobi_value_bytes(t, value, &bytes);

	if (rc < 0) {
		return rc;
	}
	if (bytes > a->size[to] || !a->buf[to]) {
		free(a->buf[to]);
		a->buf[to] = malloc(bytes + 1);
		a->size[to] = a->buf[to] ? bytes : 0;
		if (!a->buf[to]) {
			return mobi_err(MOB_E_NOMEM,
					"no memory for a result of %s",
					a->op->name);
		}
	}
	mobi_value_store(t, value, a->buf[to]);
	if (t->kind != MOB_KIND_POD) {
		rc = mobi_value_load(t, a->buf[to], bytes, t->id, a->op->name,
				     a->value);
	}
	a->in = to;
	a->some = true;
	return rc;
}

bool mobi_acc_add(struct mobi_acc *a, const void *value)
{
	const void *arg[2] = { NULL, value };
	int rc = 0;

	if (!a->some) {
		rc = acc_set(a, value);
	} else {
		arg[0] = acc_value(a);
		if (mobi_call_enter(&a->ret, arg, NULL)) {
			rc = acc_set(a, a->ret.at);
		}
		mobi_call_leave(&a->ret);
	}
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
	}
	if (a->ret.c->error) {
		a->ret.c->as = a->op;
		return false;
	}
	return true;
}

/* In space of the task's frame, which is there until the result is stored. */
int mobi_acc_return(struct mobi_acc *a)
{
	const struct mob_type *t = a->op->rets[0];
	struct mobi_context *c = a->ret.c;
	void *value;
	void *bytes;
	uint64_t n;
	int rc = mobi_value_bytes(t, acc_value(a), &n);

	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	bytes = mob_new(n);
	value = t->kind == MOB_KIND_POD ? bytes : mob_new(sizeof(a->value));
	if (!bytes || !value) {
		return MOB_E_STORE_FULL;
	}
	mobi_value_store(t, acc_value(a), bytes);
	if (t->kind != MOB_KIND_POD) {
		rc = mobi_value_load(t, bytes, n, t->id, a->op->name, value);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	c->as = a->op;
	c->as_value = value;
	return 0;
}

void mobi_acc_end(struct mobi_acc *a)
{
	free(a->buf[0]);
	free(a->buf[1]);
	mobi_call_end(&a->ret);
}
