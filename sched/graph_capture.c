/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording: calls of mob_submit that become nodes of a graph. What is recorded is
 * private memory until the capture ends; objects among the arguments are held.
 */
#include "graph.h"

#include "err.h"
#include "error.h"
#include "module.h"
#include "slot.h"
#include "task.h"
#include "value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_BACK 16u /* objects that are compared with a new one */

void *mobi_graph_grow(struct mobi_graph_list *l, size_t size, uint32_t n,
		      uint32_t max)
{
	unsigned char *at = l->at;

	if (n > max - l->n) {
		(void)mobi_err(MOB_E_LIMIT,
			       "a graph has at most %u nodes, %u values, and "
			       "1 GiB of arguments",
			       MOB_GRAPH_NODES_MAX, MOB_GRAPH_NODES_MAX);
		return NULL;
	}
	if (l->n + n > l->max) {
		uint32_t more = l->n + n > 32 ? 2 * (l->n + n) : 64;

		at = realloc(at, more * size);
		if (!at) {
			(void)mobi_err(MOB_E_NOMEM, "out of memory for a "
						    "graph");
			return NULL;
		}
		l->at = at;
		l->max = more;
	}
	at += l->n * size;
	memset(at, 0, n * size);
	l->n += n;
	return at;
}

/* Why mobi_graph_grow gave NULL. */
static int no_room(const struct mobi_graph_list *l, uint32_t n, uint32_t max)
{
	return n > max - l->n ? MOB_E_LIMIT : MOB_E_NOMEM;
}

int mobi_graph_value_of(const struct mob_graph *g, struct mob_ref ref,
			const char *call, struct mobi_graph_value **out_value)
{
	struct mobi_graph_value *v = g->values.at;

	if (ref.hi >> 32 != mobi_rt.store->epoch ||
	    !(ref.hi & MOBI_REF_CAPTURE)) {
		return mobi_err(MOB_E_BAD_REF,
				"%s: the ref is not one of a capture", call);
	}
	if ((uint32_t)ref.hi != g->tag) {
		return mobi_err(MOB_E_BAD_REF,
				"%s: the ref is of another capture", call);
	}
	if (ref.lo >= g->values.n) {
		return mobi_err(MOB_E_BAD_REF,
				"%s: the ref is of a call that is not recorded "
				"yet; a graph has no cycles",
				call);
	}
	*out_value = &v[ref.lo];
	return 0;
}

/* ---- values ---- */

struct mob_ref mobi_graph_ref(const struct mob_graph *g, uint32_t value)
{
	struct mob_ref r = { (uint64_t)mobi_rt.store->epoch << 32 | g->tag,
			     value };

	return r;
}

int mobi_graph_add(struct mob_graph *g, uint32_t n, uint32_t call,
		   const struct mob_type *const *types)
{
	struct mobi_graph_value *v = mobi_graph_grow(&g->values, sizeof(*v), n,
						     MOB_GRAPH_NODES_MAX);
	uint32_t off = 0;

	if (!v) {
		return no_room(&g->values, n, MOB_GRAPH_NODES_MAX);
	}
	for (uint32_t i = 0; i < n; i++) {
		v[i].type = types[i];
		v[i].call = call;
		v[i].off = off;
		v[i].size = mobi_graph_up(types[i]->size, 16);
		if (mobi_graph_is_sized(types[i])) {
			v[i].max = g->room_max;
			v[i].size = (uint32_t)sizeof(struct mobi_graph_sized) +
				    mobi_graph_up(v[i].max, 16);
		}
		off += v[i].size;
	}
	return 0;
}

static bool is_fixed(const struct mob_type *t)
{
	return t->kind == MOB_KIND_POD || t->kind == MOB_KIND_VOID;
}

bool mobi_graph_records(struct mobi_context *c)
{
	if (c->capture && c->capture->serial != mobi_rt_serial()) {
		c->capture = NULL;
	}
	return c->capture != NULL;
}

int mobi_graph_refuses(const char *call)
{
	struct mobi_context *c = mobi_context();

	if (!c || !c->capture || !mobi_graph_records(c)) {
		return 0;
	}
	return mobi_err(MOB_E_STATE,
			"%s: no part of a graph, which this thread records; "
			"call it before mob_capture_begin or after "
			"mob_capture_end",
			call);
}

/* ---- arguments ---- */

struct recorder {
	struct mob_graph *g;
	struct mobi_graph_call *call;
	uint32_t i; /* argument */
};

/* One hold more, which the list has. */
static int hold(struct mobi_graph_list *l, uint64_t id, uint32_t *out_i)
{
	int rc = mobi_slot_hold(mobi_rt.store, id);
	uint64_t *at;

	if (rc < 0) {
		return rc;
	}
	at = mobi_graph_grow(l, sizeof(*at), 1, MOB_GRAPH_NODES_MAX);
	if (!at) {
		(void)mobi_slot_release(mobi_rt.store, id);
		return no_room(l, 1, MOB_GRAPH_NODES_MAX);
	}
	*at = id;
	*out_i = l->n - 1;
	return 0;
}

/* The value is that of an object, when a run begins. */
static int record_object(const struct recorder *k, uint64_t id)
{
	struct mob_graph *g = k->g;
	const uint64_t *ids = g->refs.at;
	const struct mob_type *type = k->call->def->args[k->i];
	const struct mobi_graph_call *calls = g->calls.at;
	struct mobi_graph_outer *o = g->outers.at;
	uint32_t ref = 0;
	int rc;

	k->call->kind[k->i] = MOBI_GA_OUTER;
	for (uint32_t n = g->outers.n, end = n > LOOK_BACK ? n - LOOK_BACK : 0;
	     n > end; n--) {
		const struct mobi_graph_outer *was = &o[n - 1];

		if (ids[was->ref] != id) {
			continue;
		}
		if (calls[was->node].def->args[was->arg]->id == type->id) {
			k->call->arg[k->i] = n - 1;
			return 0;
		}
	}
	rc = hold(&g->refs, id, &ref);
	if (rc < 0) {
		return rc;
	}
	o = mobi_graph_grow(&g->outers, sizeof(*o), 1, MOB_GRAPH_NODES_MAX);
	if (!o) {
		return no_room(&g->outers, 1, MOB_GRAPH_NODES_MAX);
	}
	o->ref = ref;
	o->node = (uint32_t)(k->call - calls);
	o->arg = k->i;
	k->call->arg[k->i] = g->outers.n - 1;
	return 0;
}

/* Bytes of a number, a struct, or a ref that is passed on. */
static int record_bytes(const struct recorder *k, const void *value)
{
	struct mob_graph *g = k->g;
	uint32_t size = k->call->def->args[k->i]->size;
	uint32_t n = mobi_graph_up(size, 16);
	unsigned char *at = mobi_graph_grow(&g->consts, 1, n,
					    MOBI_GRAPH_BYTES_MAX);

	if (!at) {
		return no_room(&g->consts, n, MOBI_GRAPH_BYTES_MAX);
	}
	memcpy(at, value, size);
	k->call->kind[k->i] = MOBI_GA_CONST;
	k->call->arg[k->i] = g->consts.n - n;
	return 0;
}

static int record_value(const struct recorder *k, const void *value)
{
	const struct mob_type *t = k->call->def->args[k->i];
	struct mob_ref ref;
	uint64_t id;
	uint32_t at;
	int rc;

	switch (t->kind) {
	case MOB_KIND_POD:
		return record_bytes(k, value);
	case MOB_KIND_REF:
		memcpy(&ref, value, sizeof(ref));
		rc = mobi_slot_of(mobi_rt.store, ref, &id);
		if (rc >= 0) {
			rc = hold(&k->g->kept, id, &at);
		}
		return rc < 0 ? rc : record_bytes(k, value);
	case MOB_KIND_STR:
	case MOB_KIND_SPAN:
		rc = mobi_value_put(t, value, NULL, &id);
		if (rc >= 0) {
			rc = record_object(k, id);
			(void)mobi_slot_release(mobi_rt.store, id);
		}
		return rc;
	default:
		return mobi_err(MOB_E_INVAL,
				"a %s is no argument of a call that is "
				"recorded",
				t->name);
	}
}

static int record_ref(const struct recorder *k, struct mob_ref ref)
{
	const struct mob_type *t = k->call->def->args[k->i];
	struct mobi_graph_call *calls = k->g->calls.at;
	struct mobi_graph_value *v;
	uint64_t id;
	int rc;

	if (ref.hi >> 32 != mobi_rt.store->epoch ||
	    !(ref.hi & MOBI_REF_CAPTURE)) {
		rc = mobi_slot_of(mobi_rt.store, ref, &id);
		return rc < 0 ? rc : record_object(k, id);
	}
	rc = mobi_graph_value_of(k->g, ref, "mob_submit", &v);
	if (rc < 0) {
		return rc;
	}
	if (v->type->id != t->id || v->type->size != t->size) {
		return mobi_err(MOB_E_TYPE, "it is a %s, given a %s", t->name,
				v->type->name);
	}
	k->call->kind[k->i] = MOBI_GA_VALUE;
	k->call->arg[k->i] = (uint32_t)ref.lo;
	if (v->call < MOBI_GRAPH_CHANNEL &&
	    calls[v->call].level >= k->call->level) {
		k->call->level = calls[v->call].level + 1;
	}
	return 0;
}

static int record_arg(const struct recorder *k, const struct mob_arg *arg)
{
	char why[300];
	int rc;

	if (arg->kind == MOB_ARG_REF) {
		rc = record_ref(k, arg->ref);
	} else if (arg->kind == MOB_ARG_VALUE) {
		rc = record_value(k, arg->value);
	} else {
		rc = mobi_err(MOB_E_INVAL, "a slice is no argument of a call "
					   "that is recorded");
	}
	if (rc < 0) {
		(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
		rc = mobi_err(rc, "argument %u of task %s: %s", k->i + 1,
			      k->call->def->name, why);
	}
	return rc;
}

/* ---- calls ---- */

/* An option that says what a node cannot have; NULL: there is none. Those that say
 * nothing without one of these are not looked at. */
static const char *bad_opt(const struct mob_task_opts *o)
{
	static const struct mob_task_opts initial = MOB_TASK_OPTS_INIT;
	const struct {
		bool is;
		const char *name;
	} said[] = {
		{ o->cpus < initial.cpus || o->cpus > initial.cpus, "cpus" },
		{ o->deadline_ns, "deadline_ns" },
		{ o->priority != 0, "priority" },
		{ o->policy_hint, "policy_hint" },
		{ o->retry_errors, "retry_errors" },
		{ o->n_retry_codes, "retry_codes" },
		{ o->backoff_ns || o->backoff_max_ns, "backoff_ns" },
		{ o->timeout_ns, "timeout_ns" },
		{ o->max_calls, "max_calls" },
		{ o->resources != NULL, "resources" },
		{ o->env != NULL, "env" },
		{ o->cwd != NULL, "cwd" },
		{ o->memory, "memory" },
	};

	for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
		if (said[i].is) {
			return said[i].name;
		}
	}
	return NULL;
}

static int check_opts(const struct mob_task_def *def,
		      const struct mob_task_opts *o)
{
	const char *bad = bad_opt(o);

	if (bad) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: a call of %s that is recorded has "
				"%s, of its options or of its function's "
				"(MOB_TASK_DEFAULTS); in a graph it can have "
				"name and retries: give .alone = 1, and those",
				def->name, bad);
	}
	if (o->retries > (int32_t)MOBI_GRAPH_DEATHS) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: retries is %d for a call of %s "
				"that is recorded; 0 to %u, or -1 for ever",
				o->retries, def->name, MOBI_GRAPH_DEATHS);
	}
	return 0;
}

static int check_def(const struct mob_graph *g, const struct mob_task_def *def)
{
	if (def->n_rets == MOB_RETS_STREAM) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: %s yields a stream; a call that "
				"is recorded returns numbers, types of "
				"MOB_STRUCT, or nothing",
				def->name);
	}
	if (def->n_rets == MOB_RETS_MANY) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: %s has as many results as it is "
				"asked for; a call that is recorded has a "
				"fixed number",
				def->name);
	}
	for (uint32_t i = 0; i < def->n_rets; i++) {
		bool sized = mobi_graph_is_sized(def->rets[i]);

		if (!is_fixed(def->rets[i]) && !(sized && g->room_max)) {
			return mobi_err(MOB_E_INVAL,
					sized ? "mob_submit: %s returns a %s, "
						"which "
						"has no fixed size; call "
						"mob_graph_room before" :
						"mob_submit: %s returns a %s, "
						"which "
						"has no fixed size; a call "
						"that is "
						"recorded returns numbers, "
						"types of "
						"MOB_STRUCT, strings, spans, "
						"or "
						"nothing",
					def->name, def->rets[i]->name);
		}
	}
	return 0;
}

static int record(struct mob_graph *g, const struct mob_task_def *def,
		  const struct mob_task_opts *o, const struct mob_arg *args)
{
	struct mobi_graph_call *call = mobi_graph_grow(&g->calls, sizeof(*call),
						       1, MOB_GRAPH_NODES_MAX);
	struct recorder k = { .g = g, .call = call };
	int rc;

	if (!call) {
		return no_room(&g->calls, 1, MOB_GRAPH_NODES_MAX);
	}
	call->def = def;
	call->opts.name = o->name ? mobi_task_name_row(mobi_rt.sched, o->name) :
				    0;
	call->opts.retries = (uint8_t)(o->retries < 0 ? MOBI_GRAPH_FOR_EVER :
							(uint32_t)o->retries);
	call->first = g->values.n;
	for (k.i = 0; k.i < def->n_args; k.i++) {
		rc = record_arg(&k, &args[k.i]);
		if (rc < 0) {
			return rc;
		}
	}
	return mobi_graph_add(g, def->n_rets, g->calls.n - 1, def->rets);
}

void mobi_graph_refuse(struct mob_graph *g, int rc)
{
	if (!g->rc) {
		g->rc = rc;
		(void)snprintf(g->why, sizeof(g->why), "%s",
			       mob_err_detail(rc));
	}
}

int mobi_graph_record(struct mobi_context *c, const struct mob_task_def *def,
		      const struct mob_task_opts *o, const struct mob_arg *args,
		      size_t n_refs, struct mob_ref *out_refs)
{
	struct mob_graph *g = c->capture;
	uint32_t first = g->values.n;
	uint32_t fn;
	int rc = check_def(g, def);

	if (rc >= 0) {
		rc = check_opts(def, o);
	}
	if (rc >= 0) {
		rc = mobi_module_number(mobi_rt.sched, def, &fn);
	}
	if (rc >= 0) {
		rc = record(g, def, o, args);
	}
	if (rc < 0) {
		mobi_graph_refuse(g, rc);
	}
	for (size_t i = 0; i < n_refs; i++) {
		out_refs[i] = rc < 0 ? mobi_error_ref(rc) :
				       mobi_graph_ref(g, first + (uint32_t)i);
	}
	return rc < 0 ? rc : 0;
}
