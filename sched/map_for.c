/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops whose turns run in parallel, for who calls one: makes its object, submits the
 * task that begins with all of it, and reads which tasks there are from the results of
 * those that have ended, until none is left. See map_loop.c.
 */
#include "map.h"

#include "args.h"
#include "err.h"
#include "error.h"
#include "get.h"
#include "graph.h"
#include "module.h"
#include "object.h"
#include "opts.h"
#include "repeat.h"
#include "slot.h"
#include "surround.h"
#include "task_cancel.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_integer(mob_type_id id)
{
	return id == MOB_TYPE_I32 || id == MOB_TYPE_U32 || id == MOB_TYPE_I64 ||
	       id == MOB_TYPE_U64;
}

static int check_body(const struct mob_task_def *d, uint32_t n_args,
		      const struct mob_arg *args)
{
	if (d->n_args < 2 || d->n_rets != 1 ||
	    d->rets[0]->kind != MOB_KIND_VOID || !is_integer(d->args[0]->id) ||
	    d->args[1]->id != d->args[0]->id) {
		return mobi_err(MOB_E_INVAL,
				"mob_for: task %s is not void %s(T lo, T hi, "
				"...) with T an integer type",
				d->name, d->name);
	}
	if (n_args != d->n_args || args[0].kind != MOB_ARG_VALUE ||
	    args[1].kind != MOB_ARG_VALUE) {
		return mobi_err(MOB_E_INVAL,
				"mob_for: task %s takes %u arguments, given "
				"%u; the range is given by values",
				d->name, d->n_args, n_args);
	}
	return 0;
}

/* Those that each task of the loop has, which other processes have to read. */
static int take_opts(const struct mob_task_def *body,
		     const struct mob_task_opts *o, struct mob_task_opts *out)
{
	if (o && o->struct_size != sizeof(*o)) {
		return mobi_err(MOB_E_VERSION,
				"mob_for: options of %u bytes; this library "
				"knows %zu; start from MOB_OPTS",
				o->struct_size, sizeof(*o));
	}
	mobi_opts_copy(body, o, out);
	out->name = out->name ? out->name : body->name;
	if (out->n_retry_codes > 8 ||
	    (out->resources && strlen(out->resources) >= 512)) {
		return mobi_err(MOB_E_INVAL, "mob_for: at most 8 retry_codes, "
					     "and 511 "
					     "characters of resources");
	}
	return 0;
}

static uint64_t read_integer(const struct mob_type *t, const void *at)
{
	uint64_t v64;
	uint32_t v32;

	if (t->size == sizeof(v64)) {
		memcpy(&v64, at, sizeof(v64));
		return v64;
	}
	memcpy(&v32, at, sizeof(v32));
	return t->id == MOB_TYPE_I32 ? (uint64_t)(int64_t)(int32_t)v32 : v32;
}

static bool is_empty(const struct mob_type *t, uint64_t lo, uint64_t hi)
{
	return t->id == MOB_TYPE_I32 || t->id == MOB_TYPE_I64 ?
		       (int64_t)lo >= (int64_t)hi :
		       lo >= hi;
}

static int pack_opts(struct mobi_loop_opts *to, const struct mob_task_opts *o)
{
	memset(to, 0, sizeof(*to));
	to->o = *o;
	(void)snprintf(to->name, sizeof(to->name), "%s", o->name);
	if (o->resources) {
		(void)snprintf(to->resources, sizeof(to->resources), "%s",
			       o->resources);
	}
	for (uint32_t i = 0; o->retry_codes && i < o->n_retry_codes; i++) {
		to->codes[i] = o->retry_codes[i];
	}
	if (!o->retry_codes) {
		to->o.n_retry_codes = 0;
	}
	/* Pointers of this process are none of another's. */
	to->o.name = NULL;
	to->o.resources = NULL;
	to->o.retry_codes = NULL;
	to->o.env = NULL;
	to->o.cwd = NULL;
	return mobi_surround_encode(o, &to->around);
}

/* Refs: of the loop's object first, then those that the body waits for; and, for the
 * object to keep alive, all. */
struct gather {
	struct mob_ref *need;
	size_t n_need;
	struct mob_ref *all;
	size_t n_all;
	size_t max;
};

static int gather_ref(uint64_t id, bool needed, uint32_t arg, void *ctx)
{
	struct gather *g = ctx;

	(void)arg;
	if (g->n_all == g->max) {
		size_t max = g->max ? 2 * g->max : 16;
		struct mob_ref *all = realloc(g->all, max * sizeof(*all));
		struct mob_ref *need;

		if (all) {
			g->all = all;
		}
		need = realloc(g->need, (max + 1) * sizeof(*need));
		if (need) {
			g->need = need;
		}
		if (!all || !need) {
			return mobi_err(MOB_E_NOMEM, "mob_for: out of memory");
		}
		g->max = max;
	}
	g->all[g->n_all++] = mobi_ref_of(mobi_rt.store, id);
	if (needed) {
		g->need[++g->n_need] = mobi_ref_of(mobi_rt.store, id);
	}
	return 0;
}

/* The object of a loop, held. */
static int store_loop(const struct mobi_args_plan *p,
		      const struct mobi_loop_opts *l, const struct gather *g,
		      uint64_t *out_id)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_batch b = { .n = 1 };
	struct mobi_call call = { p->total, 0 };
	uint64_t size = sizeof(b) + sizeof(call) + mobi_up16(p->total);
	unsigned char *to;
	void *at;
	int rc = mobi_module_number(mobi_rt.sched, p->def, &b.fn);

	if (rc >= 0) {
		rc = mobi_repeat_object_new(s, size + sizeof(*l),
					    mobi_type_mobi_map_calls.id, out_id,
					    &at);
	}
	if (rc < 0) {
		return rc;
	}
	to = at;
	memset(to, 0, size);
	memcpy(to, &b, sizeof(b));
	memcpy(to + sizeof(b), &call, sizeof(call));
	mobi_args_encode(p, to + sizeof(b) + sizeof(call));
	memcpy(to + size, l, sizeof(*l));
	if (g->n_all) {
		rc = mobi_object_nest(s, *out_id, g->all, g->n_all);
	}
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(s, *out_id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, *out_id);
		return rc;
	}
	mobi_slot_seal_unseen(s, *out_id);
	return 0;
}

/* Submits the task that begins with all of the range. */
static int begin_loop(const struct mob_task_def *body,
		      const struct mob_task_opts *o,
		      const struct mobi_loop_opts *l,
		      const struct mob_arg *args, uint64_t lo, uint64_t hi,
		      struct mob_ref *out_refs)
{
	struct gather g = { .need = malloc(sizeof(*g.need)) };
	struct mobi_args_plan p;
	char why[400];
	uint64_t id;
	int rc = mobi_args_plan(&p, body, args);

	if (rc < 0) {
		free(g.need);
		return rc;
	}
	if (!g.need) {
		rc = mobi_err(MOB_E_NOMEM, "mob_for: out of memory");
	}
	if (rc >= 0) {
		rc = mobi_args_refs(&p, gather_ref, &g);
	}
	if (rc == 0) {
		rc = gather_ref(l->stop, false, 0, &g);
	}
	if (rc >= 0) {
		rc = store_loop(&p, l, &g, &id);
	}
	mobi_args_end(&p);
	if (rc >= 0) {
		struct mob_args with = { g.need, NULL, g.n_need + 1 };

		g.need[0] = mobi_ref_of(mobi_rt.store, id);
		rc = mobi_loop_submit(o, lo, hi, &with, out_refs);
		if (rc < 0) {
			(void)snprintf(why, sizeof(why), "%s",
				       mob_err_detail(rc));
			mobi_loop_drop(out_refs);
			rc = mobi_err(rc, "%s", why);
		}
		(void)mobi_slot_release(mobi_rt.store, id);
	}
	free(g.need);
	free(g.all);
	return rc;
}

/* Tasks of the loop whose results are to be read: two refs each. */
struct join {
	struct mob_ref *at;
	size_t n;
	size_t max;
	const struct mobi_loop_opts *l;
	struct mobi_error *error; /* the first */
};

static int add_refs(struct join *j, const struct mob_ref *refs, size_t n)
{
	if (j->n + n > j->max) {
		size_t max = 2 * (j->n + n);
		struct mob_ref *at = realloc(j->at, max * sizeof(*at));

		if (!at) {
			return mobi_err(MOB_E_NOMEM, "mob_for: out of memory");
		}
		j->at = at;
		j->max = max;
	}
	if (n) {
		memcpy(j->at + j->n, refs, n * sizeof(*refs));
		j->n += n;
	}
	return 0;
}

/* The last task of the list has ended. */
static int join_one(struct join *j)
{
	struct mob_store *s = mobi_rt.store;
	struct mob_ref ended = j->at[j->n - 2];
	struct mob_ref made = j->at[j->n - 1];
	struct mob_refs kids = { NULL, 0 };
	struct mob_view v;
	struct mobi_error *e = mobi_map_look(ended.lo, &v);
	int rc = 0;

	mob_view_release(s, &v);
	j->n -= 2;
	if (!e) {
		rc = mob_get_raw(made, &mobi_type_mob_refs, MOB_FOREVER, &kids);
		return rc < 0 ? rc : add_refs(j, kids.at, kids.n);
	}
	mobi_loop_stop(j->l);
	if (e->rc == MOB_E_CRASHED) {
		mobi_task_cancel_below(
			s, mobi_load(&s->slots[(uint32_t)ended.lo].producer));
	}
	if (j->error) {
		mobi_error_free(e);
	} else {
		j->error = e;
	}
	return 0;
}

int mobi_loop_join(const struct mobi_loop_opts *l, const struct mob_ref *refs,
		   size_t n, struct mobi_error **out_error)
{
	struct join j = { .l = l };
	int rc = add_refs(&j, refs, n);

	while (rc >= 0 && j.n) {
		rc = mobi_wait_one(mobi_rt.store, j.at[j.n - 2].lo,
				   MOB_FOREVER);
		if (rc >= 0) {
			rc = mobi_wait_one(mobi_rt.store, j.at[j.n - 1].lo,
					   MOB_FOREVER);
		}
		rc = rc < 0 ? mobi_wait_failed(rc) : join_one(&j);
	}
	if (rc < 0) {
		mobi_loop_stop(l);
		for (size_t i = 0; i < j.n; i += 2) {
			mobi_map_cancel(j.at[i].lo);
		}
	}
	free(j.at);
	*out_error = j.error;
	return rc;
}

/* With the object that ends it. */
static int run_loop(const struct mob_task_def *body,
		    const struct mob_task_opts *opts,
		    const struct mob_arg *args, uint64_t lo, uint64_t hi)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_loop_opts l;
	struct mobi_error *e = NULL;
	struct mob_ref root[2];
	int rc;

	rc = pack_opts(&l, opts);
	if (rc >= 0) {
		l.maker = s->me;
		rc = mobi_slot_new(s, MOBI_F_OWNED, &l.stop);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	mobi_slot_unlock(s, l.stop);
	rc = begin_loop(body, opts, &l, args, lo, hi, root);
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
	} else {
		rc = mobi_loop_join(&l, root, 2, &e);
		if (rc >= 0 && e) {
			rc = mobi_map_pend(e);
		}
		mobi_error_free(e);
	}
	mobi_loop_stop(&l);
	(void)mobi_slot_release(s, l.stop);
	return rc;
}

int mob_for_raw(const struct mob_task_def *body,
		const struct mob_task_opts *opts, uint32_t n_args,
		const struct mob_arg *args)
{
	struct mob_task_opts o;
	struct mob_scope scope;
	uint64_t lo;
	uint64_t hi;
	int rc = mobi_rt_check("mob_for");

	if (rc >= 0) {
		rc = mobi_graph_refuses("mob_for");
	}
	if (rc >= 0) {
		rc = check_body(body, n_args, args);
	}
	if (rc >= 0) {
		rc = take_opts(body, opts, &o);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	lo = read_integer(body->args[0], args[0].value);
	hi = read_integer(body->args[1], args[1].value);
	if (is_empty(body->args[0], lo, hi)) {
		return 0;
	}
	scope = mob_scope_open();
	rc = run_loop(body, &o, args, lo, hi);
	mob_scope_close(&scope);
	return rc;
}
