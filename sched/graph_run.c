/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a graph: a task that calls the functions of its nodes, and as many of it as
 * a run has runners. Each has its number; a runner whose worker died is run again, as
 * a task is, and with that number finds the nodes that it was running.
 */
#include "graph.h"

#include "arena.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "frame.h"
#include "map.h"
#include "object.h"
#include "os_clock.h"
#include "os_run.h"
#include "slot.h"
#include "value.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

#define FORKED_CHILD 127 /* exit code of one that returned from a call */
#define SPIN_NS 20000u   /* without a node, before it looks at all of them */
#define SLEEP_NS (100 * MOB_MS)

/* A runner at work. */
struct runner {
	struct mobi_graph_run r;
	struct mobi_context *c;
	struct mob_store *s;
	uint64_t id;             /* of the graph */
	struct mobi_frame frame; /* of the node that runs */
	struct mobi_frame *outer_frame;
	unsigned char *values; /* malloc'd, of r.outer */
};

unsigned char *mobi_graph_at(uint64_t id)
{
	struct mob_store *s = mobi_rt.store;
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	unsigned char *at = mobi_arena_rw(s->arena, mobi_load(&o->loc));
	const struct mobi_graph_head *h = (const void *)at;

	return mobi_load(&o->type) == MOBI_TYPE_INTERNAL &&
			       h->magic == MOBI_GRAPH_MAGIC &&
			       h->size == mobi_load(&o->size) ?
		       at :
		       NULL;
}

/* ---- objects among the arguments ---- */

static int load_outer(struct runner *k, const struct mob_args *views)
{
	const struct mobi_graph_head *h = k->r.h;
	const struct mobi_graph_outer *o = (const void *)(k->r.at + h->outer);

	k->r.outer = calloc(h->n_outer, sizeof(*k->r.outer));
	k->values = calloc(h->n_outer, 16);
	if (!k->r.outer || !k->values) {
		return mobi_err(MOB_E_NOMEM, "no memory for %u arguments",
				h->n_outer);
	}
	for (uint32_t i = 0; i < h->n_outer; i++) {
		const struct mobi_graph_node *node = &k->r.node[o[i].node];
		const struct mob_task_def *def = mobi_call_def(node->fn);
		const struct mob_view *v = &views->views[o[i].ref];
		const struct mob_type *t;
		int rc;

		if (!def) {
			return MOB_E_VERSION;
		}
		t = def->args[o[i].arg];
		if (t->kind == MOB_KIND_POD) {
			/* A copy of the pointer: the bytes are only read. */
			memcpy(&k->r.outer[i], &v->at, sizeof(v->at));
			rc = mobi_value_type(t, v->size, v->type, def->name);
		} else {
			k->r.outer[i] = k->values + (size_t)i * 16;
			rc = mobi_value_load(t, v->at, v->size, v->type,
					     def->name, k->r.outer[i]);
		}
		if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

/* ---- one node ---- */

/* READY -> RUN(me). False: another has it. */
static bool claim(const struct mobi_graph_run *r, uint32_t n)
{
	struct mobi_graph_node *node = &r->node[n];
	uint64_t w = mobi_load(&node->word);

	return MOBI_N_OF_RUN(w) == r->run && MOBI_N_STATE(w) == MOBI_N_READY &&
	       mobi_cas64(&node->word, &w,
			  MOBI_N_WORD(r->run, MOBI_N_HERE(w), r->me,
				      MOBI_N_DEATHS(w), MOBI_N_RUN));
}

/* Gives back what the function has got. */
static void clear_frame(struct runner *k)
{
	struct mobi_context *c = k->c;

	while (c->frame != &k->frame) {
		mobi_scope_drop(c);
	}
	if (k->frame.size || k->frame.max_space) {
		mobi_frame_end(&k->frame);
	}
}

/* Calls its function. False: it failed, and the error is pending. */
static bool call(struct runner *k, const struct mobi_graph_node *node)
{
	const struct mob_task_def *def = mobi_call_def(node->fn);
	unsigned char *to = k->r.at + node->ret;
	const void *arg[MOB_ARGS_MAX];
	void *ret[MOB_RETS_MAX];

	if (!def) {
		return false;
	}
	for (uint32_t i = 0; i < def->n_args; i++) {
		uint32_t at = node->arg[i];

		arg[i] = at & MOBI_GRAPH_OUTER ?
				 k->r.outer[at & ~MOBI_GRAPH_OUTER] :
				 k->r.at + at;
	}
	for (uint32_t i = 0; i < def->n_rets; i++) {
		ret[i] = to;
		memset(to, 0, def->rets[i]->size);
		to += mobi_graph_up(def->rets[i]->size, 16);
	}
	def->run(arg, ret, def->n_rets);
	if (!mobi_load_relaxed(k->s->not_forked)) {
		/* A child that the call forked: it is no second worker. */
		mobi_exit_now(FORKED_CHILD);
	}
	clear_frame(k);
	if (k->c->error) {
		k->c->as = def;
		return false;
	}
	return true;
}

/* No other runner begins a node; who waits finds the error in this one's result. */
static void end_run(const struct mobi_graph_run *r)
{
	mobi_store(&r->h->failed, (uint64_t)r->run << 32 | (r->me + 1));
	MOBI_FAULT("graph.failed");
	mobi_store(&r->h->over, r->run);
	mobi_graph_ring(r);
}

static bool is_over(const struct runner *k)
{
	return mobi_load(&k->r.h->over) == k->r.run ||
	       (mobi_load(&k->s->recs[(uint32_t)k->c->task].word) &
		MOBI_TF_TOLD);
}

/* Runs node n if it is still there to run. False: the run has failed. */
static bool run_node(struct runner *k, uint32_t n)
{
	struct mobi_graph_run *r = &k->r;
	struct mobi_graph_node *node = &r->node[n];
	uint64_t w;

	if (!claim(r, n)) {
		return true;
	}
	MOBI_FAULT("graph.claimed");
	if (!call(k, node)) {
		end_run(r);
		return false;
	}
	if (mobi_load(&k->s->recs[(uint32_t)k->c->task].word) & MOBI_TF_TOLD) {
		return true; /* its results may be made of what was not there */
	}
	/* Nobody else changes it while it is RUN by this runner. */
	w = mobi_load(&node->word);
	mobi_store_release(&node->word,
			   MOBI_N_WORD(r->run, MOBI_N_HERE(w), r->me,
				       MOBI_N_DEATHS(w), MOBI_N_DONE));
	MOBI_FAULT("graph.done");
	mobi_graph_follow(r, n);
	return true;
}

/* ---- without a node ---- */

/* Nodes may be READY in the hands of others, who are busy. */
static bool find_some(struct runner *k)
{
	uint64_t began = mobi_quick_ns();

	while (!is_over(k)) {
		for (int i = 0; i < 16; i++) {
			if (mobi_graph_take(&k->r)) {
				return true;
			}
			mobi_relax();
		}
		if (mobi_quick_ns() - began > SPIN_NS) {
			return mobi_graph_look(&k->r) > 0;
		}
	}
	return true;
}

/* Its processor is another's meanwhile. */
static int sleep_once(struct runner *k)
{
	struct mobi_graph_head *h = k->r.h;
	uint32_t bell = mobi_load(&h->bell);
	int rc = 0;

	if (is_over(k) || mobi_graph_take(&k->r)) {
		return 0;
	}
	if (mobi_block_hooks) {
		/* It has an end, so nothing is run meanwhile. */
		(void)mobi_block_hooks->blocking(
			k->s, &(struct mobi_wait){ .id = k->id,
						   .need = 1,
						   .kind = MOBI_WAIT_GET,
						   .timeout_ns = SLEEP_NS });
	}
	rc = mobi_sleep_on(k->s, &h->bell, &h->asleep, bell, MOB_FOREVER, 0);
	if (mobi_block_hooks) {
		mobi_block_hooks->resumed(k->s);
	}
	return rc;
}

/* Until there are nodes in the hand, or bits, or the run is over. */
static int await_node(struct runner *k)
{
	struct mobi_graph_run *r = &k->r;
	int rc = 0;

	if (mobi_graph_take(r)) {
		return 0;
	}
	(void)mobi_fetch_or(&r->h->hungry, MOBI_BIT(r->me));
	if (!find_some(k)) {
		rc = sleep_once(k);
	}
	(void)mobi_fetch_and(&r->h->hungry, ~MOBI_BIT(r->me));
	return rc;
}

/* ---- after a death ---- */

/* A node that this runner was running when its worker died. False: too often. */
static bool put_back(struct runner *k, uint32_t n)
{
	struct mobi_graph_node *node = &k->r.node[n];
	uint64_t w = mobi_load(&node->word);
	uint32_t deaths = MOBI_N_DEATHS(w) + 1;
	const struct mob_task_def *def;

	if (deaths > MOBI_GRAPH_DEATHS) {
		def = mobi_call_def(node->fn);
		if (def) {
			k->c->as = def;
			(void)mobi_error_pend_rc(mobi_err(MOB_E_CRASHED,
							  "its worker died %u "
							  "times while it ran "
							  "in a "
							  "graph",
							  deaths));
		}
		return false;
	}
	mobi_store(&node->word, MOBI_N_WORD(k->r.run, MOBI_N_HERE(w), 0, deaths,
					    MOBI_N_READY));
	return true;
}

/* What the attempt before this one has left. False: the run has failed. */
static bool recover(struct runner *k)
{
	struct mobi_graph_run *r = &k->r;
	uint64_t mine = (uint64_t)r->run << 32 | (r->me + 1);

	(void)mobi_fetch_and(&r->h->hungry, ~MOBI_BIT(r->me));
	for (uint32_t n = 0; n < r->h->n_nodes; n++) {
		uint64_t w = mobi_load(&r->node[n].word);

		if (MOBI_N_OF_RUN(w) != r->run) {
			continue;
		}
		if (MOBI_N_STATE(w) == MOBI_N_RUN &&
		    MOBI_N_RUNNER(w) == r->me && !put_back(k, n)) {
			end_run(r);
			return false;
		}
		if (MOBI_N_STATE(w) == MOBI_N_DONE) {
			mobi_graph_follow(r, n);
		}
	}
	/* It ended the run, and its error went with it: the node is run again. */
	if (mobi_load(&r->h->failed) == mine &&
	    mobi_load(&r->h->done) != r->run) {
		mobi_store(&r->h->failed, UINT64_C(0));
		mobi_store(&r->h->over, r->run - 1);
	}
	(void)mobi_graph_look(r);
	mobi_graph_ring(r);
	return true;
}

/* ---- the task ---- */

static void run_all(struct runner *k)
{
	struct mobi_graph_run *r = &k->r;
	int rc = 0;

	/* The number of the attempt begins anew after 256. */
	if ((mobi_fetch_or(&r->h->begun, MOBI_BIT(r->me)) & MOBI_BIT(r->me)) &&
	    !recover(k)) {
		return;
	}
	while (rc >= 0 && !is_over(k)) {
		if (!r->n) {
			rc = await_node(k);
			continue;
		}
		r->n--;
		if (!run_node(k, r->hand[r->n])) {
			return;
		}
		mobi_graph_share(r);
	}
	if (rc < 0 && !is_over(k)) {
		(void)mobi_error_pend_rc(rc);
		end_run(r);
	}
}

MOB_TASK_DEFINE(int32_t, mobi_graph_runner, mob_ref, graph, uint32_t, run,
		uint32_t, me, mob_args, outer)
{
	struct runner k = { .c = mobi_context(), .s = mobi_rt.store };
	int rc = mobi_slot_of(k.s, graph, &k.id);

	k.r.at = rc >= 0 ? mobi_graph_at(k.id) : NULL;
	if (!k.r.at) {
		return mobi_error_pend_rc(mobi_err(MOB_E_CORRUPT, "a graph is "
								  "damaged"));
	}
	k.r.h = (void *)k.r.at;
	k.r.node = (void *)(k.r.at + k.r.h->node);
	k.r.run = run;
	k.r.me = me;
	if (mobi_load(&k.r.h->run) != run) {
		return 0; /* it is of a run that has ended */
	}
	if (k.r.h->n_outer) {
		rc = load_outer(&k, &outer);
	}
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
		end_run(&k.r);
	} else {
		k.outer_frame = k.c->frame;
		mobi_frame_init(&k.frame, k.outer_frame);
		k.c->frame = &k.frame;
		run_all(&k);
		clear_frame(&k);
		k.c->frame = k.outer_frame;
	}
	free(k.r.outer);
	free(k.values);
	return 0;
}
