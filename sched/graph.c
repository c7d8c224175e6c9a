/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs, for who has one: the capture's begin and end, runs, inputs and results.
 *
 * A run has ended when each of its runners has. One that is queued behind other work
 * is cancelled as soon as nothing is left to run, so that nobody waits for it.
 */
#include "graph.h"

#include "err.h"
#include "error.h"
#include "frame.h"
#include "get.h"
#include "map.h"
#include "object.h"
#include "os_clock.h"
#include "os_run.h"
#include "slot.h"
#include "value.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- capture ---- */

int mob_capture_begin(struct mob_graph **out_graph)
{
	static mobi_a32 tags;
	struct mobi_context *c = mobi_context();
	struct mob_graph *g = NULL;
	int rc = mobi_rt_check("mob_capture_begin");

	if (rc >= 0 && c && mobi_graph_records(c)) {
		rc = mobi_err(MOB_E_STATE, "mob_capture_begin: this thread "
					   "records already; "
					   "call mob_capture_end first");
	}
	if (rc >= 0) {
		g = calloc(1, sizeof(*g));
		if (!g || !c) {
			rc = mobi_err(MOB_E_NOMEM, "mob_capture_begin: out of "
						   "memory");
		}
	}
	if (rc < 0) {
		free(g);
		return mobi_error_pend_rc(rc);
	}
	g->serial = mobi_rt_serial();
	g->tag = mobi_fetch_add(&tags, 1u) | MOBI_REF_CAPTURE;
	g->n_workers = mobi_rt.sched->n_workers;
	g->records = true;
	c->capture = g;
	*out_graph = g;
	return 0;
}

static void drop_ids(struct mobi_graph_list *l)
{
	const uint64_t *id = l->at;

	for (uint32_t i = 0; i < l->n; i++) {
		(void)mobi_slot_release(mobi_rt.store, id[i]);
	}
	l->n = 0;
}

int mob_capture_end(struct mob_graph *g)
{
	struct mobi_context *c = mobi_context();
	int rc = mobi_rt_check("mob_capture_end");

	if (rc >= 0 && (!c || !mobi_graph_records(c) || c->capture != g)) {
		rc = mobi_err(MOB_E_STATE, "mob_capture_end: this thread does "
					   "not record "
					   "this graph");
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	c->capture = NULL;
	g->records = false;
	rc = g->rc < 0 ? mobi_err(g->rc, "%s", g->why) : mobi_graph_build(g);
	if (rc < 0) {
		drop_ids(&g->refs);
	}
	/* From now on the object keeps them, and a run those that it reads. */
	drop_ids(&g->kept);
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}

/* ---- runs ---- */

static struct mobi_graph_head *head(const struct mob_graph *g)
{
	return (void *)g->at;
}

/* A view of the graph as those that run it have. */
static struct mobi_graph_run view_of(const struct mob_graph *g)
{
	struct mobi_graph_run r = { .at = g->at, .h = head(g), .run = g->run };

	r.node = (void *)(g->at + r.h->node);
	return r;
}

static int check(const struct mob_graph *g, const char *call, bool runs)
{
	int rc = mobi_rt_check(call);

	if (rc >= 0 && g->serial != mobi_rt_serial()) {
		rc = mobi_err(MOB_E_STATE,
			      "%s: the graph is of a session that has ended; "
			      "close it",
			      call);
	}
	if (rc >= 0 && !g->made) {
		rc = mobi_err(MOB_E_STATE,
			      g->records ? "%s: the graph is being recorded; "
					   "call mob_capture_end first" :
					   "%s: the capture of the graph has "
					   "failed; close it",
			      call);
	}
	if (rc >= 0 && g->runs && !runs) {
		rc = mobi_err(MOB_E_STATE,
			      "%s: the graph runs; call mob_graph_wait first",
			      call);
	}
	if (rc >= 0 && !g->runs && runs) {
		rc = mobi_err(MOB_E_STATE,
			      "%s: the graph does not run; call "
			      "mob_graph_start first",
			      call);
	}
	return rc;
}

static int check_inputs(const struct mob_graph *g)
{
	const struct mobi_graph_value *v = g->values.at;
	uint32_t input = 0;

	for (uint32_t i = 0; i < g->values.n; i++) {
		if (v[i].call != MOBI_GRAPH_INPUT) {
			continue;
		}
		input++;
		if (!v[i].set) {
			return mobi_err(MOB_E_STATE,
					"mob_graph_start: input %u (%s) of the "
					"graph was never set; call "
					"mob_graph_set",
					input, v[i].type->name);
		}
	}
	return 0;
}

/* Numbers of runs are used up: nodes are as new again. */
static void begin_anew(struct mob_graph *g)
{
	struct mobi_graph_run r = view_of(g);
	uint32_t n = r.h->n_ends;

	for (uint32_t i = 0; i < r.h->n_nodes; i++) {
		mobi_store(&r.node[i].word, UINT64_C(0));
	}
	for (uint32_t level = 0; level < r.h->n_levels; level++) {
		mobi_a64 *at = (void *)(g->at + r.h->end[level]);

		n = (n + MOBI_GRAPH_FAN - 1) / MOBI_GRAPH_FAN;
		for (uint32_t i = 0; i < n; i++) {
			mobi_store(&at[i], UINT64_C(0));
		}
	}
	mobi_store(&r.h->over, 0u);
	mobi_store(&r.h->done, 0u);
	mobi_store(&r.h->failed, UINT64_C(0));
	g->run = 0;
}

/* Those without inputs are READY. Nobody else looks yet. */
static void prepare(struct mob_graph *g)
{
	struct mobi_graph_run r;
	const uint32_t *root;

	if (g->run == UINT32_MAX) {
		begin_anew(g);
	}
	g->run++;
	r = view_of(g);
	root = (void *)(g->at + r.h->root);
	mobi_store(&r.h->begun, UINT64_C(0));
	mobi_store(&r.h->hungry, UINT64_C(0));
	mobi_store(&r.h->asleep, 0u);
	mobi_store(&r.h->run, g->run);
	for (uint32_t i = 0; i < r.h->n_roots; i++) {
		mobi_store_relaxed(&r.node[root[i]].word,
				   MOBI_N_WORD(g->run, 0, 0, 0, MOBI_N_READY));
		mobi_graph_offer(&r, root[i]);
	}
}

static int submit_runner(struct mob_graph *g, const struct mob_ref *refs)
{
	const struct mob_task_opts opts = MOB_OPTS(.retries = -1, .name = "grap"
									  "h");
	struct mob_ref self = mobi_ref_of(mobi_rt.store, g->id);
	struct mob_args outer = { refs, NULL, g->refs.n };
	struct mob_arg args[4] = { { .value = &self },
				   { .value = &g->run },
				   { .value = &g->n_runners },
				   { .value = &outer } };
	struct mob_ref ref;
	int rc = mob_submit_raw(&mobi_graph_runner_def, &opts, 4, args, 1,
				&ref);

	if (rc < 0) {
		char why[400];

		(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
		/* It is read: nobody is to be told. */
		(void)mob_join(ref);
		mob_error_clear();
		(void)mob_release(ref);
		return mobi_err(rc, "%s", why);
	}
	return mobi_map_own(ref, &g->runner[g->n_runners++]);
}

/* Collects the results that are there; an error ends the run. n: that are not. */
static struct mobi_error *collect(struct mob_graph *g, uint32_t *out_n)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_error *first = NULL;

	*out_n = 0;
	for (uint32_t i = 0; i < g->n_runners; i++) {
		struct mob_view v;
		struct mobi_error *e;
		uint64_t id = g->runner[i];

		if (!id) {
			continue;
		}
		if (!mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
			++*out_n;
			continue;
		}
		e = mobi_map_look(id, &v);
		mob_view_release(s, &v);
		(void)mobi_slot_release(s, id);
		g->runner[i] = 0;
		/* One that was cancelled says nothing of why. */
		if (first && first->rc == MOB_E_CANCELLED) {
			free(first);
			first = NULL;
		}
		if (first) {
			free(e);
		} else {
			first = e;
		}
	}
	return first;
}

static void cancel(struct mob_graph *g)
{
	for (uint32_t i = 0; i < g->n_runners; i++) {
		if (g->runner[i]) {
			mobi_map_cancel(g->runner[i]);
		}
	}
}

/* Waits for one runner or more that have not ended. */
static int wait_some(struct mob_graph *g, int64_t timeout_ns)
{
	struct mob_ref refs[MOBI_GRAPH_RUNNERS];
	bool ready[MOBI_GRAPH_RUNNERS];
	uint64_t one = 0;
	size_t n = 0;
	int rc;

	for (uint32_t i = 0; i < g->n_runners; i++) {
		if (g->runner[i]) {
			one = g->runner[i];
			refs[n++] = mobi_ref_of(mobi_rt.store, one);
		}
	}
	if (n == 1) {
		return mobi_wait_one(mobi_rt.store, one, timeout_ns);
	}
	rc = mob_object_wait(mobi_rt.store, refs, n, 1, timeout_ns, ready);
	if (rc == 0) {
		return mobi_err(MOB_E_TIMEOUT, "the graph still runs");
	}
	return rc < 0 ? rc : 0;
}

/* Ends the run, and waits for those that run. */
static void stop(struct mob_graph *g)
{
	struct mobi_graph_run r = view_of(g);
	uint32_t left;

	mobi_store(&r.h->over, g->run);
	mobi_graph_ring(&r);
	cancel(g);
	free(collect(g, &left));
	while (left) {
		/* What cuts the wait short does not end those that run. */
		int rc = wait_some(g, 10 * MOB_MS);

		if (rc == MOB_E_CLOSED) {
			break;
		}
		if (rc == MOB_E_INTERRUPTED) {
			mobi_pause_ns(MOB_MS / 5);
		}
		free(collect(g, &left));
	}
	for (uint32_t i = 0; i < g->n_runners; i++) {
		if (g->runner[i]) {
			(void)mobi_slot_release(mobi_rt.store, g->runner[i]);
		}
	}
	g->n_runners = 0;
	g->runs = false;
}

int mob_graph_start(struct mob_graph *g)
{
	struct mobi_context *c = mobi_context();
	const uint64_t *id = g->refs.at;
	struct mob_ref *refs = NULL;
	uint32_t n = g->width < g->n_workers ? g->width : g->n_workers;
	int rc = check(g, "mob_graph_start", false);

	if (rc >= 0 && c && mobi_graph_records(c)) {
		rc = mobi_err(MOB_E_STATE, "mob_graph_start: this thread "
					   "records; a run is "
					   "no part of a graph");
	}
	if (rc >= 0) {
		rc = check_inputs(g);
	}
	if (rc >= 0) {
		refs = malloc((g->refs.n + (size_t)1) * sizeof(*refs));
		if (!refs) {
			rc = mobi_err(MOB_E_NOMEM, "mob_graph_start: out of "
						   "memory");
		}
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	for (uint32_t i = 0; i < g->refs.n; i++) {
		refs[i] = mobi_ref_of(mobi_rt.store, id[i]);
	}
	prepare(g);
	g->ran = false;
	g->runs = true;
	n = n < MOBI_GRAPH_RUNNERS ? n : MOBI_GRAPH_RUNNERS;
	while (rc >= 0 && g->n_runners < n) {
		rc = submit_runner(g, refs);
	}
	free(refs);
	if (rc < 0) {
		stop(g);
		return mobi_error_pend_rc(rc);
	}
	return 0;
}

/* What is left of a time-out that ends at `end`. */
static int64_t left_of(int64_t timeout_ns, int64_t end)
{
	int64_t left = end - (int64_t)mobi_now_ns();

	return timeout_ns <= 0 ? timeout_ns : left > 0 ? left : 0;
}

int mob_graph_wait(struct mob_graph *g, int64_t timeout_ns)
{
	int64_t end = mobi_deadline(timeout_ns);
	struct mobi_error *e;
	uint32_t left;
	int rc = check(g, "mob_graph_wait", true);

	if (rc >= 0 && timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		rc = mobi_err(MOB_E_INVAL,
			      "mob_graph_wait: timeout_ns is %lld; at least 0, "
			      "or MOB_FOREVER",
			      (long long)timeout_ns);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	for (;;) {
		e = collect(g, &left);
		if (e || !left || mobi_load(&head(g)->done) == g->run) {
			break;
		}
		rc = wait_some(g, left_of(timeout_ns, end));
		if (rc < 0) {
			return mobi_wait_failed(rc);
		}
	}
	stop(g);
	if (e) {
		rc = mobi_map_pend(e);
		free(e);
		return rc;
	}
	g->ran = true;
	return 0;
}

int mob_graph_run(struct mob_graph *g)
{
	int rc = mob_graph_start(g);

	if (rc < 0) {
		return rc;
	}
	rc = mob_graph_wait(g, MOB_FOREVER);
	if (g->runs) {
		stop(g);
	}
	return rc;
}

/* ---- inputs and results ---- */

static int check_type(const struct mobi_graph_value *v,
		      const struct mob_type *type, const char *call)
{
	return v->type->id == type->id && v->type->size == type->size ?
		       0 :
		       mobi_err(MOB_E_TYPE, "%s: it is a %s, given a %s", call,
				v->type->name, type->name);
}

int mob_graph_set_raw(struct mob_graph *g, struct mob_ref input,
		      const struct mob_type *type, const void *value)
{
	struct mobi_graph_value *v = NULL;
	int rc = check(g, "mob_graph_set", false);

	if (rc >= 0) {
		rc = mobi_graph_value_of(g, input, "mob_graph_set", &v);
	}
	if (rc >= 0 && v->call != MOBI_GRAPH_INPUT) {
		rc = mobi_err(MOB_E_BAD_REF, "mob_graph_set: the ref is of a "
					     "result; only "
					     "inputs are set");
	}
	if (rc >= 0) {
		rc = check_type(v, type, "mob_graph_set");
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	memcpy(g->at + v->off, value, type->size);
	v->set = true;
	return 0;
}

int mob_graph_get_raw(struct mob_graph *g, struct mob_ref ref,
		      const struct mob_type *type, void *out)
{
	struct mobi_graph_value *v = NULL;
	int rc = check(g, "mob_graph_get", false);

	if (type->size) {
		memset(out, 0, type->size);
	}
	if (rc >= 0) {
		rc = mobi_graph_value_of(g, ref, "mob_graph_get", &v);
	}
	if (rc >= 0) {
		rc = check_type(v, type, "mob_graph_get");
	}
	if (rc >= 0 && v->call == MOBI_GRAPH_INPUT ? !v->set :
						     rc >= 0 && !g->ran) {
		rc = mobi_err(MOB_E_STATE, "mob_graph_get: there is no value: "
					   "the graph has "
					   "not run, or its last run has "
					   "failed");
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	if (type->size) {
		memcpy(out, g->at + v->off, type->size);
	}
	return 0;
}

/* ---- close ---- */

void mob_graph_close(struct mob_graph *g)
{
	struct mobi_context *c = mobi_context();

	if (!g) {
		return;
	}
	if (c && c->capture == g) {
		c->capture = NULL;
	}
	if (g->serial == mobi_rt_serial() && mobi_rt.store) {
		if (g->runs) {
			stop(g);
		}
		drop_ids(&g->refs);
		drop_ids(&g->kept);
		if (g->made) {
			(void)mobi_slot_release(mobi_rt.store, g->id);
		}
	}
	free(g->values.at);
	free(g->calls.at);
	free(g->consts.at);
	free(g->outers.at);
	free(g->refs.at);
	free(g->kept.at);
	free(g);
}
