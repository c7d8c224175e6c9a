/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of graphs, for who begins and waits for them.
 *
 * The runners of a graph are tasks like any other (graph_crew.c); each is there as long
 * as there is anything to run, and is submitted again when it is missing. Who waits for
 * a run waits for any of them to end, and says so in the crew: who does the last of that
 * run leaves. So all that holds for waiting for tasks holds here: what a worker does
 * meanwhile, cancelling, time-outs.
 */
#include "graph.h"

#include "err.h"
#include "error.h"
#include "get.h"
#include "map.h"
#include "object.h"
#include "os_clock.h"
#include "os_run.h"
#include "slot.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct mobi_graph_head *head(const struct mob_graph *g)
{
	return (void *)g->at;
}

struct mobi_graph_run mobi_graph_view(const struct mob_graph *g)
{
	struct mobi_graph_run r = { .at = g->at, .h = head(g) };

	return r;
}

int mobi_graph_check(const struct mob_graph *g, const char *call)
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
	return rc;
}

/* ---- what a run begins with ---- */

static int check_inputs(const struct mob_graph *g)
{
	const struct mobi_graph_value *v = g->values.at;
	const uint32_t *inputs = g->inputs.at;
	uint32_t n[2] = { 0, 0 }; /* inputs, channels */

	for (uint32_t i = 0; i < g->inputs.n; i++) {
		const struct mobi_graph_value *in = &v[inputs[i]];
		bool channel = in->call == MOBI_GRAPH_CHANNEL;

		n[channel]++;
		if (!in->set && !(channel && g->linked)) {
			return mobi_err(MOB_E_STATE,
					channel ? "mob_graph_start: channel %u "
						  "(%s) "
						  "of the graph has nothing "
						  "for this "
						  "run: it was never set, or "
						  "the run "
						  "before was ended; call "
						  "mob_graph_set" :
						  "mob_graph_start: input %u "
						  "(%s) of "
						  "the graph was never set; "
						  "call "
						  "mob_graph_set",
					n[channel], in->type->name);
		}
	}
	return 0;
}

/* Bytes of a value that say something. */
static size_t taken(const struct mobi_graph_value *v, const void *at)
{
	struct mobi_graph_sized s;

	if (!mobi_graph_is_sized(v->type)) {
		return v->type->size;
	}
	memcpy(&s, at, sizeof(s));
	return sizeof(s) + s.len;
}

/* What was set since the last run of this lane. */
static void copy_inputs(struct mob_graph *g)
{
	const struct mobi_graph_value *v = g->values.at;
	const uint32_t *inputs = g->inputs.at;
	unsigned char *to = g->at + (size_t)g->lane * head(g)->lane_size;

	for (uint32_t i = 0; i < g->inputs.n; i++) {
		const struct mobi_graph_value *in = &v[inputs[i]];

		if (in->set > g->copied[g->lane]) {
			const unsigned char *from =
				(unsigned char *)g->stage.at + in->room;

			memcpy(to + in->off, from, taken(in, from));
		}
	}
	g->copied[g->lane] = g->sets;
}

/* Who reads a channel has what the run before writes, or what was set. */
static void link_channels(struct mob_graph *g)
{
	const struct mobi_graph_run r = mobi_graph_view(g);
	const struct mobi_graph_call *calls = g->calls.at;
	struct mobi_graph_value *v = g->values.at;
	const uint32_t *tail = (void *)(g->at + r.h->tail);
	const uint32_t *inputs = g->inputs.at;
	uint32_t here = g->lane * r.h->lane_size;
	uint32_t before = mobi_graph_lane_before(r.h, g->lane) * r.h->lane_size;

	for (uint32_t k = 0; k < r.h->n_tails; k++) {
		struct mobi_graph_at n = { g->lane, tail[k] >> 8 };
		struct mobi_graph_node *node = mobi_graph_node(&r, n);

		for (uint32_t bits = tail[k] & 255u; bits; bits &= bits - 1) {
			uint32_t i = (uint32_t)__builtin_ctz(bits);
			const struct mobi_graph_value *c =
				&v[calls[n.n].arg[i]];

			node->arg[i] = c->set ? c->off + here :
						v[c->from].off + before;
			node->set = (uint8_t)(c->set ? node->set | 1u << i :
						       node->set & ~(1u << i));
		}
		if (!g->linked) {
			(void)mobi_graph_arrive(node, g->run, tail[k] & 255u,
						false);
		}
	}
	for (uint32_t i = 0; i < g->inputs.n; i++) {
		if (v[inputs[i]].call == MOBI_GRAPH_CHANNEL) {
			v[inputs[i]].set = 0;
		}
	}
}

/* Gives the bit of a node that is READY, and is not in anybody's hand. */
static void offer_ready(const struct mobi_graph_run *r, struct mobi_graph_at n,
			uint32_t run)
{
	uint64_t w = mobi_load(&mobi_graph_node(r, n)->word);

	if (MOBI_N_OF_RUN(w) == run && MOBI_N_STATE(w) == MOBI_N_READY) {
		mobi_graph_offer(r, n);
	}
}

/* Nobody looks at the lane before it has the number of the run; those of the run
 * before may give bits to it. */
static void prepare(struct mob_graph *g)
{
	const struct mobi_graph_run r = mobi_graph_view(g);
	const uint32_t *root = (void *)(g->at + r.h->root);
	const uint32_t *tail = (void *)(g->at + r.h->tail);
	struct mobi_graph_lane *l;
	struct mobi_graph_at n;

	g->run++;
	g->lane = mobi_graph_lane_after(r.h, g->lane);
	l = mobi_graph_lane(r.h, g->lane);
	n.lane = g->lane;
	copy_inputs(g);
	link_channels(g);
	for (uint32_t i = 0; i < r.h->n_roots; i++) {
		n.n = root[i];
		mobi_store_relaxed(&mobi_graph_node(&r, n)->word,
				   MOBI_N_WORD(g->run, 0, 0, 0, 0,
					       MOBI_N_READY));
	}
	mobi_store(&l->run, g->run);
	if (!r.h->n_nodes) {
		mobi_store(&l->done, g->run);
	}
	for (uint32_t i = 0; i < r.h->n_roots; i++) {
		n.n = root[i];
		offer_ready(&r, n, g->run);
	}
	/* Who makes one READY looks at the number after that. */
	for (uint32_t i = 0; i < r.h->n_tails; i++) {
		n.n = tail[i] >> 8;
		offer_ready(&r, n, g->run);
	}
	g->linked = true;
	g->n_flying++;
}

void mobi_graph_reset(const struct mob_graph *g)
{
	const struct mobi_graph_run r = mobi_graph_view(g);
	uint64_t fresh = MOBI_N_WORD(g->run, 0, 0, 0, 0, MOBI_N_WAITING);
	struct mobi_graph_at n = { 0, 0 };

	for (; n.lane < r.h->n_lanes; n.lane++) {
		struct mobi_graph_lane *l = mobi_graph_lane(r.h, n.lane);
		uint32_t ends = r.h->n_ends;

		for (n.n = 0; n.n < r.h->n_nodes; n.n++) {
			mobi_store(&mobi_graph_node(&r, n)->word, fresh);
		}
		for (uint32_t level = 0; level < r.h->n_levels; level++) {
			mobi_a64 *at = mobi_graph_in(l, r.h->end[level]);

			ends = (ends + MOBI_GRAPH_FAN - 1) / MOBI_GRAPH_FAN;
			for (uint32_t i = 0; i < ends; i++) {
				mobi_store(&at[i], fresh);
			}
		}
		mobi_store(&l->failed, fresh);
		mobi_store(&l->done, g->run);
		mobi_store(&l->run, g->run);
	}
	mobi_store(&r.h->crew, (uint64_t)g->run << 32);
	mobi_store(&r.h->hungry, 0u);
	mobi_store(&r.h->asleep, 0u);
	mobi_store(&r.h->stop, 0u);
}

/* ---- public ---- */

static int check_start(const struct mob_graph *g, const char *call,
		       uint32_t window)
{
	int rc = mobi_graph_check(g, call);

	if (rc >= 0 && g->n_flying >= window) {
		rc = window == 1 ? mobi_err(MOB_E_STATE,
					    "%s: the graph runs; call "
					    "mob_graph_wait "
					    "first",
					    call) :
				   mobi_err(MOB_E_STATE,
					    "%s: %u runs are in flight, as "
					    "many as "
					    "mob_graph_window allows; call "
					    "mob_graph_wait first",
					    call, g->n_flying);
	}
	if (rc >= 0) {
		rc = mobi_graph_refuses(call);
	}
	return rc >= 0 ? check_inputs(g) : rc;
}

int mob_graph_start(struct mob_graph *g)
{
	struct mobi_context *c = mobi_context();
	struct mobi_graph_run r;
	uint64_t w;
	int rc;

	if (c) {
		(void)mobi_graph_records(c); /* forgets one that has ended */
	}
	rc = check_start(g, "mob_graph_start", g->window);
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	r = mobi_graph_view(g);
	/* What is broken by now is no matter of this run. */
	mobi_graph_collect(g);
	if (!g->linked) {
		mobi_graph_reset(g);
	}
	if (g->window == 1) {
		g->ran = false;
	}
	prepare(g);
	w = mobi_load(&r.h->crew);
	while (!mobi_cas64(&r.h->crew, &w,
			   (uint64_t)g->run << 32 | (uint32_t)w)) {
	}
	mobi_graph_ring(&r);
	rc = mobi_graph_man(g);
	if (rc < 0) {
		mobi_graph_stop(g);
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

/* Sleeps until that run may be done. */
static int sleep_for(struct mob_graph *g, uint32_t lane, uint32_t run,
		     int64_t timeout_ns)
{
	struct mobi_graph_head *h = head(g);
	int rc = mobi_graph_man(g);

	if (rc < 0) {
		return rc;
	}
	mobi_store(&h->wanted, (uint64_t)run << 32 | lane);
	(void)mobi_fetch_or(&h->crew, (uint64_t)MOBI_GRAPH_WANTED);
	/* Who does the last looks after that. */
	if (mobi_load(&mobi_graph_lane(h, lane)->done) != run) {
		rc = mobi_graph_wait_some(g, timeout_ns);
	}
	(void)mobi_fetch_and(&h->crew, ~(uint64_t)MOBI_GRAPH_WANTED);
	return rc;
}

/* Until it is done, or *out_broke: nobody is left who could do it. */
static int await(struct mob_graph *g, int64_t timeout_ns, bool *out_broke)
{
	int64_t end = mobi_deadline(timeout_ns);
	uint32_t lane;
	uint32_t run = mobi_graph_oldest(g, &lane);
	const struct mobi_graph_lane *l = mobi_graph_lane(head(g), lane);
	int rc = 0;

	*out_broke = false;
	while (mobi_load(&l->done) != run) {
		if (rc < 0) {
			return rc;
		}
		mobi_graph_collect(g);
		/* Who does the last of it may leave the crew after that. */
		if (mobi_graph_broke(g) && mobi_load(&l->done) != run) {
			*out_broke = true;
			return 0;
		}
		rc = sleep_for(g, lane, run, left_of(timeout_ns, end));
	}
	return 0;
}

/* The oldest run is over; all are if the runners broke. */
static int end_run(struct mob_graph *g, bool broke)
{
	struct mobi_error *e = NULL;
	bool failed = broke;
	uint32_t lane;
	uint32_t run = mobi_graph_oldest(g, &lane);
	int rc = 0;

	if (broke) {
		e = mobi_graph_why(g);
		mobi_graph_stop(g);
	} else {
		failed = mobi_graph_failed(head(g), lane, run, &e);
		g->seen = lane;
		/* What is left goes on without who has left to say so. */
		if (--g->n_flying) {
			(void)mobi_graph_man(g);
		}
	}
	g->ran = !failed;
	if (failed) {
		rc = mobi_map_pend(e);
	}
	mobi_error_free(e);
	return rc;
}

int mob_graph_wait(struct mob_graph *g, int64_t timeout_ns)
{
	bool broke;
	int rc = mobi_graph_check(g, "mob_graph_wait");

	if (rc >= 0) {
		rc = mobi_graph_refuses("mob_graph_wait");
	}
	if (rc >= 0 && !g->n_flying) {
		rc = mobi_err(MOB_E_STATE, "mob_graph_wait: the graph does not "
					   "run; call mob_graph_start first");
	}
	if (rc >= 0) {
		rc = mobi_check_timeout("mob_graph_wait", timeout_ns);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	rc = await(g, timeout_ns, &broke);
	return rc < 0 ? mobi_wait_failed(rc) : end_run(g, broke);
}

int mob_graph_run(struct mob_graph *g)
{
	int rc = check_start(g, "mob_graph_run", 1);

	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	rc = mob_graph_start(g);
	if (rc < 0) {
		return rc;
	}
	rc = mob_graph_wait(g, MOB_FOREVER);
	if (g->n_flying) {
		mobi_graph_stop(g);
	}
	return rc;
}
