/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runners of a graph, for who begins and waits for runs: submits those that are
 * missing, collects those that have ended, and ends them all.
 *
 * A runner that ends by itself has left the crew. One whose task fails has not: it is
 * broken. One that broke before it began to run nodes is not missed as long as there are
 * others, and nobody hears of it. Else, or if somebody has cancelled it, the runs fail
 * that were in flight when it broke: it may have had nodes. Once those runs have been
 * waited for, its place is free, and another takes it: a run that began later has nothing
 * to do with it.
 */
#include "graph.h"

#include "err.h"
#include "error.h"
#include "get.h"
#include "map.h"
#include "object.h"
#include "os_run.h"
#include "slot.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>

#define ALL (MOBI_GRAPH_WANTED - 1) /* bits of runners in the crew */

static struct mobi_graph_head *head(const struct mob_graph *g)
{
	return (void *)g->at;
}

uint32_t mobi_graph_oldest(const struct mob_graph *g, uint32_t *out_lane)
{
	uint32_t n = head(g)->n_lanes;

	*out_lane = (g->lane + n - (g->n_flying - 1)) % n;
	return g->run - (g->n_flying - 1);
}

static void let_go(struct mob_graph *g, uint32_t me)
{
	if (g->runner[me]) {
		(void)mobi_slot_release(mobi_rt.store, g->runner[me]);
		g->runner[me] = 0;
	}
}

/* ---- those that are broken ---- */

/* Its task has failed, with e. */
static void note_broken(struct mob_graph *g, uint32_t me, struct mobi_error *e)
{
	struct mobi_graph_broken *b = &g->broken[me];

	b->error = e;
	b->is = true;
	b->run = g->run;
	b->fatal = (e && e->rc == MOB_E_CANCELLED) ||
		   (mobi_load(&head(g)->begun) & MOBI_BIT(me));
}

static void forget_broken(struct mob_graph *g, uint32_t me)
{
	mobi_error_free(g->broken[me].error);
	g->broken[me] = (struct mobi_graph_broken){ 0 };
}

/* The places of those whose runs are over are free. */
static void replace_broken(struct mob_graph *g)
{
	struct mobi_graph_head *h = head(g);
	uint32_t lane;
	uint32_t run = g->n_flying ? mobi_graph_oldest(g, &lane) : 0;

	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		const struct mobi_graph_broken *b = &g->broken[i];

		if (b->is && (!g->n_flying || mobi_graph_newer(run, b->run))) {
			forget_broken(g, i);
			(void)mobi_fetch_and(&h->hungry,
					     ~(uint32_t)MOBI_BIT(i));
			(void)mobi_fetch_and(&h->crew, ~MOBI_BIT(i));
		}
	}
}

/* Runners that are there, and not broken. */
static uint32_t good(const struct mob_graph *g)
{
	uint32_t crew = (uint32_t)mobi_load(&head(g)->crew) & ALL;

	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		crew &= ~(g->broken[i].is ? (uint32_t)MOBI_BIT(i) : 0);
	}
	return crew;
}

bool mobi_graph_broke(const struct mob_graph *g)
{
	bool some = false;

	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		if (g->broken[i].fatal) {
			return true;
		}
		some |= g->broken[i].is;
	}
	return some && !good(g);
}

struct mobi_error *mobi_graph_why(struct mob_graph *g)
{
	struct mobi_error **first = NULL;
	struct mobi_error *e;

	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		struct mobi_error **at = &g->broken[i].error;

		/* One that was cancelled says nothing of why. */
		if (*at && (!first || (*first)->rc == MOB_E_CANCELLED)) {
			first = at;
		}
	}
	e = first ? *first : NULL;
	if (first) {
		*first = NULL;
	}
	return e;
}

/* ---- those that have ended ---- */

/* Collects the results that are there. Runners that have none yet. */
static uint32_t collect(struct mob_graph *g)
{
	struct mob_store *s = mobi_rt.store;
	uint32_t n = 0;

	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		uint64_t id = g->runner[i];
		struct mobi_error *e;
		struct mob_view v;
		uint64_t w;

		if (!id) {
			continue;
		}
		w = mobi_load(&s->slots[(uint32_t)id].word);
		if (!mobi_resolved(w)) {
			n++;
			continue;
		}
		e = mobi_map_look(id, &v);
		mob_view_release(s, &v);
		if (e || MOBI_STATE(w) != MOBI_S_SEALED) {
			note_broken(g, i, e);
		}
		let_go(g, i);
	}
	return n;
}

void mobi_graph_collect(struct mob_graph *g)
{
	(void)collect(g);
	replace_broken(g);
}

/* ---- those that are missing ---- */

static int submit(struct mob_graph *g, uint32_t me, const struct mob_ref *refs)
{
	struct mobi_graph_head *h = head(g);
	uint32_t turn = mobi_fetch_add(&h->turn[me], 1u) + 1;
	const struct mob_task_opts opts = MOB_OPTS(.retries = -1, .name = "grap"
									  "h");
	struct mob_ref self = mobi_ref_of(mobi_rt.store, g->id);
	struct mob_args outer = { refs, NULL, g->refs.n };
	struct mob_arg args[4] = { { .value = &self },
				   { .value = &turn },
				   { .value = &me },
				   { .value = &outer } };
	struct mob_ref ref;
	int rc;

	(void)mobi_fetch_and(&h->begun, ~(uint32_t)MOBI_BIT(me));
	/* The turn first: one of an earlier turn does not take this for its own. */
	(void)mobi_fetch_or(&h->crew, MOBI_BIT(me));
	rc = mob_submit_raw(&mobi_graph_runner_def, &opts, 4, args, 1, &ref);
	if (rc < 0) {
		char why[400];

		(void)mobi_fetch_and(&h->crew, ~MOBI_BIT(me));
		(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
		/* It is read: nobody is to be told. */
		(void)mob_join(ref);
		mob_error_clear();
		(void)mob_release(ref);
		return mobi_err(rc, "%s", why);
	}
	return mobi_map_own(ref, &g->runner[me]);
}

int mobi_graph_man(struct mob_graph *g)
{
	struct mobi_graph_head *h = head(g);
	uint64_t n = (uint64_t)g->width * g->window;
	const uint64_t *id = g->refs.at;
	struct mob_ref *refs = NULL;
	int rc = 0;

	replace_broken(g);
	n = n < h->n_runners ? n : h->n_runners;
	for (uint32_t me = 0; me < n && rc >= 0; me++) {
		if (mobi_load(&h->crew) & MOBI_BIT(me)) {
			continue;
		}
		let_go(g, me);
		if (!refs) {
			refs = malloc((g->refs.n + (size_t)1) * sizeof(*refs));
			if (!refs) {
				rc = mobi_err(MOB_E_NOMEM, "mob_graph_start: "
							   "out of memory");
				break;
			}
			for (uint32_t i = 0; i < g->refs.n; i++) {
				refs[i] = mobi_ref_of(mobi_rt.store, id[i]);
			}
		}
		rc = submit(g, me, refs);
	}
	free(refs);
	/* Fewer do it, too. */
	return rc < 0 && !good(g) ? rc : 0;
}

/* ---- waiting, and the end ---- */

int mobi_graph_wait_some(struct mob_graph *g, int64_t timeout_ns)
{
	struct mob_ref refs[MOBI_GRAPH_RUNNERS];
	bool ready[MOBI_GRAPH_RUNNERS];
	uint64_t one = 0;
	size_t n = 0;
	int rc;

	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
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

static void cancel(struct mob_graph *g)
{
	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		if (g->runner[i]) {
			mobi_map_cancel(g->runner[i]);
		}
	}
}

void mobi_graph_stop(struct mob_graph *g)
{
	struct mobi_graph_run r = mobi_graph_view(g);

	mobi_store(&r.h->stop, 1u);
	mobi_graph_ring(&r);
	cancel(g);
	while (collect(g)) {
		/* What cuts the wait short does not end those that run. */
		int rc = mobi_graph_wait_some(g, 10 * MOB_MS);

		if (rc == MOB_E_CLOSED) {
			break;
		}
		if (rc == MOB_E_INTERRUPTED) {
			mobi_pause_ns(MOB_MS / 5);
		}
	}
	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		let_go(g, i);
		forget_broken(g, i);
	}
	g->n_flying = 0;
	g->linked = false;
	/* The next run goes to the lane after the one that is read, as always: none
	 * that was ended has anything to read. */
	g->lane = g->seen;
}
