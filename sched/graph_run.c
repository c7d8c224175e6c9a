/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a graph: a task that calls the functions of its nodes, and as many of it as
 * there are runners. Each has its number; a runner whose worker died is run again, as
 * a task is, and with that number finds the nodes that it was running. A runner runs
 * nodes of all runs in flight, and leaves a moment after the last of them is done.
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
#include "task.h"
#include "value.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORKED_CHILD 127 /* exit code of one that returned from a call */
#define SPIN_NS 20000u   /* without a node, before it looks at all, or leaves */
#define SLEEP_NS (100 * MOB_MS)

/* A runner at work. */
struct runner {
	struct mobi_graph_run r;
	struct mobi_context *c;
	struct mob_store *s;
	uint64_t id;             /* of the graph */
	struct mobi_frame frame; /* of the node that runs */
	struct mobi_frame *outer_frame;
	const struct mob_args *views; /* of objects */
	unsigned char *values;        /* malloc'd, of r.outer */
	uint64_t bit;                 /* of its number */
};

unsigned char *mobi_graph_of(uint64_t id)
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

static int load_one(struct runner *k, uint32_t i)
{
	const struct mobi_graph_head *h = k->r.h;
	const struct mobi_graph_outer *o =
		(const void *)(k->r.at + h->outer + i * sizeof(*o));
	const struct mobi_graph_at n = { 0, o->node };
	const struct mob_task_def *def =
		mobi_call_def(mobi_graph_node(&k->r, n)->fn);
	const struct mob_view *v = &k->views->views[o->ref];
	const struct mob_type *t;

	if (!def) {
		return MOB_E_VERSION;
	}
	t = def->args[o->arg];
	if (t->kind == MOB_KIND_POD) {
		/* A copy of the pointer: the bytes are only read. */
		memcpy(&k->r.outer[i], &v->at, sizeof(v->at));
		return mobi_value_type(t, v->size, v->type, def->name);
	}
	k->r.outer[i] = k->values + (size_t)i * 16;
	return mobi_value_load(t, v->at, v->size, v->type, def->name,
			       k->r.outer[i]);
}

static int load_outer(struct runner *k)
{
	uint32_t n = k->r.h->n_outer;
	int rc = 0;

	k->r.outer = calloc(n, sizeof(*k->r.outer));
	k->values = calloc(n, 16);
	if (!k->r.outer || !k->values || MOBI_FAULT_ERR("graph.outer")) {
		return mobi_err(MOB_E_NOMEM, "no memory for %u arguments", n);
	}
	for (uint32_t i = 0; i < n && rc >= 0; i++) {
		rc = load_one(k, i);
	}
	return rc;
}

/* ---- one node ---- */

/* READY -> RUN(me), in a run that has begun. False: another has it. */
static bool claim(const struct mobi_graph_run *r, struct mobi_graph_at n,
		  uint64_t *out_word)
{
	struct mobi_graph_node *node = mobi_graph_node(r, n);
	uint64_t w = mobi_load(&node->word);

	*out_word = MOBI_N_WORD(MOBI_N_OF_RUN(w), MOBI_N_HERE(w), r->me,
				MOBI_N_BAD(w), MOBI_N_DEATHS(w), MOBI_N_RUN);
	return MOBI_N_STATE(w) == MOBI_N_READY &&
	       MOBI_N_OF_RUN(w) ==
		       mobi_load(&mobi_graph_lane_of(r, n.lane)->run) &&
	       mobi_cas64(&node->word, &w, *out_word);
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

/* A value in C that is not the bytes themselves. */
struct in_c {
	_Alignas(16) unsigned char at[16];
};

/* Where its arguments are. Errors: pending. */
static bool find_args(struct runner *k, const struct mobi_graph_node *node,
		      const struct mob_task_def *def, struct in_c *value,
		      const void **arg)
{
	for (uint32_t i = 0; i < def->n_args; i++) {
		uint32_t off = node->arg[i];
		const struct mob_type *t = def->args[i];

		if (off & MOBI_GRAPH_OUTER) {
			arg[i] = k->r.outer[off & ~MOBI_GRAPH_OUTER];
		} else if (mobi_graph_is_sized(t)) {
			int rc = mobi_graph_load(t, k->r.at + off, def->name,
						 value[i].at);

			if (rc < 0) {
				(void)mobi_error_pend_rc(rc);
				return false;
			}
			arg[i] = value[i].at;
		} else {
			arg[i] = k->r.at + off;
		}
	}
	return true;
}

/* Where its results go: those without a fixed size are copied after the call. */
static void find_rets(struct runner *k, const struct mobi_graph_node *node,
		      const struct mob_task_def *def, struct in_c *value,
		      void **ret)
{
	unsigned char *to = k->r.at + node->ret;

	for (uint32_t i = 0; i < def->n_rets; i++) {
		struct mobi_graph_sized s;

		if (mobi_graph_is_sized(def->rets[i])) {
			memcpy(&s, to, sizeof(s));
			memset(value[i].at, 0, sizeof(value[i].at));
			ret[i] = value[i].at;
			to += sizeof(s) + mobi_graph_up(s.max, 16);
		} else {
			ret[i] = to;
			memset(to, 0, def->rets[i]->size);
			to += mobi_graph_up(def->rets[i]->size, 16);
		}
	}
}

/* Copies those. Errors: pending. */
static void keep_rets(struct runner *k, const struct mobi_graph_node *node,
		      const struct mob_task_def *def, void *const *ret)
{
	unsigned char *to = k->r.at + node->ret;

	for (uint32_t i = 0; i < def->n_rets && !k->c->error; i++) {
		struct mobi_graph_sized s;
		char what[32];
		int rc;

		if (!mobi_graph_is_sized(def->rets[i])) {
			to += mobi_graph_up(def->rets[i]->size, 16);
			continue;
		}
		memcpy(&s, to, sizeof(s));
		(void)snprintf(what, sizeof(what), "result %u", i + 1);
		rc = mobi_graph_store(def->rets[i], ret[i], to, what);
		MOBI_FAULT("graph.result");
		if (rc < 0) {
			(void)mobi_error_pend_rc(rc);
		}
		to += sizeof(s) + mobi_graph_up(s.max, 16);
	}
}

/* Calls its function. False: it failed, and the error is pending. */
static bool call(struct runner *k, const struct mobi_graph_node *node)
{
	const struct mob_task_def *def = mobi_call_def(node->fn);
	struct in_c value[MOB_ARGS_MAX + MOB_RETS_MAX];
	const void *arg[MOB_ARGS_MAX];
	void *ret[MOB_RETS_MAX];

	if (!def || !find_args(k, node, def, value, arg)) {
		return false;
	}
	find_rets(k, node, def, value + MOB_ARGS_MAX, ret);
	def->run(arg, ret, def->n_rets);
	if (!mobi_load_relaxed(k->s->not_forked)) {
		/* A child that the call forked: it is no second worker. */
		mobi_exit_now(FORKED_CHILD);
	}
	/* Before what the function has got is given back, in which they may lie. */
	keep_rets(k, node, def, ret);
	clear_frame(k);
	return !k->c->error;
}

static bool is_told(const struct runner *k)
{
	return (mobi_load(&k->s->recs[(uint32_t)k->c->task].word) &
		MOBI_TF_TOLD) ||
	       mobi_load(&k->r.h->stop);
}

/* What becomes of a node that this runner has. Nobody else changes it. */
static void end_node(struct runner *k, struct mobi_graph_at n, uint64_t w,
		     uint32_t state)
{
	w = (w & ~UINT64_C(15)) | state;
	mobi_store_release(&mobi_graph_node(&k->r, n)->word, w);
	MOBI_FAULT("graph.done");
	mobi_graph_follow(&k->r, n, w);
}

static const struct mobi_graph_opts *opts_of(const struct runner *k, uint32_t n)
{
	const struct mobi_graph_opts *o =
		(const void *)(k->r.at + k->r.h->opts);

	return &o[n];
}

/* It has failed, with the pending error. */
static void fail_node(struct runner *k, struct mobi_graph_at n, uint64_t w)
{
	const struct mob_task_def *def =
		mobi_call_def(mobi_graph_node(&k->r, n)->fn);
	uint32_t row = opts_of(k, n.n)->name;
	struct mobi_error *e = k->c->error;

	k->c->error = NULL;
	if (def) {
		e = mobi_task_place_error(
			e, def,
			row ? mobi_rt.sched->name[row - 1].text : def->name,
			MOBI_N_DEATHS(w));
	}
	mobi_graph_fail(&k->r, n.lane, MOBI_N_OF_RUN(w), e);
	mobi_error_free(e);
	end_node(k, n, w, MOBI_N_FAILED);
}

/* Its arguments have failed: of this run, which has an error then, or of the run
 * before, whose error it gets. */
static void pass_error(struct runner *k, struct mobi_graph_at n, uint64_t w)
{
	struct mobi_graph_run *r = &k->r;
	uint32_t run = MOBI_N_OF_RUN(w);
	struct mobi_error *e;

	if (!mobi_graph_failed(r->h, n.lane, run, &e)) {
		(void)mobi_graph_failed(r->h,
					mobi_graph_lane_before(r->h, n.lane),
					run - 1, &e);
	}
	/* Also if another has told one: it may take that back, as one that was
	 * killed before its node had failed, which runs again. */
	mobi_graph_fail(r, n.lane, run, e);
	mobi_error_free(e);
	end_node(k, n, w, MOBI_N_FAILED);
}

/* Runs a node if it is still there to run. */
static void run_node(struct runner *k, struct mobi_graph_at n)
{
	const struct mobi_graph_node *node = mobi_graph_node(&k->r, n);
	uint64_t w;

	if (!claim(&k->r, n, &w)) {
		return;
	}
	MOBI_FAULT("graph.claimed");
	if (MOBI_N_BAD(w) & ~(uint32_t)node->set) {
		pass_error(k, n, w);
	} else if (!call(k, node)) {
		fail_node(k, n, w);
	} else if (!is_told(k)) {
		end_node(k, n, w, MOBI_N_DONE);
	}
	/* One that was told: results may be made of what was not there. */
}

/* ---- leaving ---- */

static bool has_work(const struct mobi_graph_head *h)
{
	for (uint32_t i = 0; i < h->n_lanes; i++) {
		if (mobi_graph_at_work(mobi_graph_lane(h, i))) {
			return true;
		}
	}
	return false;
}

/* Leaves, as nothing was left to run after the crew was w: false if a run has begun
 * meanwhile. Its number may be another's from then on, so nothing of it is changed
 * later. */
static bool leave_idle(struct runner *k, uint64_t w)
{
	struct mobi_graph_head *h = k->r.h;

	(void)mobi_fetch_and(&h->hungry, ~(uint32_t)k->bit);
	MOBI_FAULT("graph.leaves");
	if (!mobi_cas64(&h->crew, &w, w & ~k->bit)) {
		return false;
	}
	MOBI_FAULT("graph.idle");
	return true;
}

/* Leaves if somebody waits for a run that is done, and nobody else did. */
static bool leave_to_wake(struct runner *k)
{
	struct mobi_graph_run *r = &k->r;
	uint64_t w = mobi_load(&r->h->crew);
	uint64_t wanted;

	r->ended = false;
	while (w & MOBI_GRAPH_WANTED) {
		wanted = mobi_load(&r->h->wanted);
		if (mobi_load(&mobi_graph_lane_of(r, (uint32_t)wanted)->done) !=
		    wanted >> 32) {
			return false;
		}
		mobi_graph_share(r, true);
		if (mobi_cas64(&r->h->crew, &w,
			       w & ~(k->bit | MOBI_GRAPH_WANTED))) {
			MOBI_FAULT("graph.left");
			return true;
		}
	}
	return false;
}

/* ---- without a node ---- */

/* Nodes may be READY in the hands of others, who are busy. False: there is no bit. */
static bool find_some(struct runner *k)
{
	uint64_t began = mobi_quick_ns();

	while (!is_told(k)) {
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

/* While the bell is as it was before this one looked. Its processor is another's
 * meanwhile. */
static int sleep_once(struct runner *k, uint32_t bell)
{
	struct mobi_graph_head *h = k->r.h;
	int rc = 0;

	if (is_told(k) || !has_work(h) || mobi_graph_take(&k->r)) {
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

/* Until there are nodes in the hand, or bits, or it has left. Who makes one READY
 * loads `hungry` then, and rings: so it is seen here, or it is shared and the bell is
 * another than it was; tests/models/crew.pml. */
static int await_node(struct runner *k, bool *out_left)
{
	struct mobi_graph_run *r = &k->r;
	uint32_t bit = (uint32_t)k->bit;
	uint32_t bell;
	uint64_t w;
	int rc = 0;

	if (mobi_graph_take(r)) {
		return 0;
	}
	(void)mobi_fetch_or(&r->h->hungry, bit);
	bell = mobi_load(&r->h->bell);
	if (!find_some(k)) {
		MOBI_FAULT("graph.found_none");
		w = mobi_load(&r->h->crew);
		if (!has_work(r->h)) {
			*out_left = leave_idle(k, w);
			return 0;
		}
		rc = sleep_once(k, bell);
	}
	(void)mobi_fetch_and(&r->h->hungry, ~bit);
	return rc;
}

/* ---- after a death ---- */

/* A node that this runner was running when its worker died. */
static void put_back(struct runner *k, struct mobi_graph_at n, uint64_t w)
{
	uint32_t retries = opts_of(k, n.n)->retries;
	uint32_t deaths = MOBI_N_DEATHS(w) + 1;

	if (deaths > retries) {
		(void)mobi_error_pend_rc(mobi_err(MOB_E_CRASHED,
						  "its worker died %u times "
						  "while it ran in a "
						  "graph",
						  deaths));
		fail_node(k, n, w);
		return;
	}
	/* For ever: they are not counted any more. */
	deaths = deaths > MOBI_GRAPH_DEATHS ? MOBI_GRAPH_DEATHS : deaths;
	mobi_store(&mobi_graph_node(&k->r, n)->word,
		   MOBI_N_WORD(MOBI_N_OF_RUN(w), MOBI_N_HERE(w), 0,
			       MOBI_N_BAD(w), deaths, MOBI_N_READY));
}

/* An error that no node of this runner has: it died in between, and the node runs
 * again. Before that others may have failed, so it is told now. */
static void check_error(struct runner *k, uint32_t lane, uint32_t run)
{
	struct mobi_graph_run *r = &k->r;
	struct mobi_graph_at n = { lane, 0 };

	for (; n.n < r->h->n_nodes; n.n++) {
		uint64_t w = mobi_load(&mobi_graph_node(r, n)->word);

		if (MOBI_N_OF_RUN(w) == run &&
		    MOBI_N_STATE(w) == MOBI_N_FAILED &&
		    MOBI_N_RUNNER(w) == r->me) {
			return;
		}
	}
	mobi_graph_unfail(r, lane, run);
}

static void recover_lane(struct runner *k, uint32_t lane)
{
	struct mobi_graph_run *r = &k->r;
	uint32_t run = mobi_load(&mobi_graph_lane_of(r, lane)->run);
	struct mobi_graph_at n = { lane, 0 };

	check_error(k, lane, run);
	for (; n.n < r->h->n_nodes; n.n++) {
		uint64_t w = mobi_load(&mobi_graph_node(r, n)->word);

		if (MOBI_N_OF_RUN(w) != run) {
			continue;
		}
		if (MOBI_N_STATE(w) == MOBI_N_RUN &&
		    MOBI_N_RUNNER(w) == r->me) {
			put_back(k, n, w);
		} else if (MOBI_N_STATE(w) >= MOBI_N_DONE) {
			mobi_graph_follow(r, n, w);
		}
	}
}

/* What the attempt before this one has left. */
static void recover(struct runner *k)
{
	struct mobi_graph_run *r = &k->r;

	(void)mobi_fetch_and(&r->h->hungry, ~(uint32_t)k->bit);
	for (uint32_t lane = 0; lane < r->h->n_lanes; lane++) {
		if (mobi_graph_at_work(mobi_graph_lane_of(r, lane))) {
			recover_lane(k, lane);
		}
	}
	(void)mobi_graph_look(r);
	mobi_graph_ring(r);
	r->ended = true; /* a run may be, and nobody told */
}

/* ---- the task ---- */

static int run_all(struct runner *k)
{
	struct mobi_graph_run *r = &k->r;
	bool left = false;
	int rc = 0;

	/* The number of the attempt begins anew after 256. */
	if (mobi_fetch_or(&r->h->begun, (uint32_t)k->bit) & k->bit) {
		recover(k);
	}
	while (rc >= 0 && !left && !is_told(k)) {
		if (r->ended && leave_to_wake(k)) {
			return 0;
		}
		if (!r->n) {
			rc = await_node(k, &left);
			continue;
		}
		r->n--;
		run_node(k, r->hand[r->n]);
		mobi_graph_share(r, false);
	}
	return rc < 0 && !is_told(k) ? mobi_error_pend_rc(rc) : 0;
}

/* Is it still the one of its number? One that had left when its worker died is not. */
static bool is_current(const struct runner *k, uint32_t turn)
{
	const struct mobi_graph_head *h = k->r.h;

	return (mobi_load(&h->crew) & k->bit) &&
	       mobi_load(&h->turn[k->r.me]) == turn;
}

MOB_TASK_DEFINE(int32_t, mobi_graph_runner, mob_ref, graph, uint32_t, turn,
		uint32_t, me, mob_args, outer)
{
	struct runner k = { .c = mobi_context(),
			    .s = mobi_rt.store,
			    .views = &outer,
			    .bit = MOBI_BIT(me) };
	int rc = mobi_slot_of(k.s, graph, &k.id);

	k.r.at = rc >= 0 ? mobi_graph_of(k.id) : NULL;
	if (!k.r.at) {
		return mobi_error_pend_rc(mobi_err(MOB_E_CORRUPT, "a graph is "
								  "damaged"));
	}
	k.r.h = (void *)k.r.at;
	k.r.me = me;
	if (!is_current(&k, turn)) {
		return 0;
	}
	if (k.r.h->n_outer) {
		rc = load_outer(&k);
	}
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
	} else {
		k.outer_frame = k.c->frame;
		mobi_frame_init(&k.frame, k.outer_frame);
		k.c->frame = &k.frame;
		(void)run_all(&k);
		clear_frame(&k);
		k.c->frame = k.outer_frame;
	}
	free(k.r.outer);
	free(k.values);
	return 0;
}
