/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs, for who has one: the capture's begin and end, and the graph's end. */
#include "graph.h"

#include "err.h"
#include "error.h"
#include "slot.h"

#include <stdlib.h>

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
	g->window = 1;
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

static int check_channels(const struct mob_graph *g)
{
	const struct mobi_graph_value *v = g->values.at;
	uint32_t channel = 0;

	for (uint32_t i = 0; i < g->values.n; i++) {
		channel += v[i].call == MOBI_GRAPH_CHANNEL;
		if (v[i].call == MOBI_GRAPH_CHANNEL &&
		    v[i].from == MOBI_GRAPH_NOBODY) {
			return mobi_err(MOB_E_STATE,
					"mob_capture_end: nothing is written "
					"to channel %u (%s) of the graph; call "
					"mob_graph_write",
					channel, v[i].type->name);
		}
	}
	return 0;
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
	rc = g->rc < 0 ? mobi_err(g->rc, "%s", g->why) : check_channels(g);
	if (rc >= 0) {
		rc = mobi_graph_build(g);
	}
	if (rc < 0) {
		drop_ids(&g->refs);
	}
	/* From now on the object keeps them, and a run those that it reads. */
	drop_ids(&g->kept);
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}

/* Does this thread record g? */
static int check_records(const struct mob_graph *g, const char *call)
{
	struct mobi_context *c = mobi_context();
	int rc = mobi_rt_check(call);

	if (rc >= 0 && (!c || !mobi_graph_records(c) || c->capture != g)) {
		rc = mobi_err(MOB_E_STATE,
			      "%s: this thread does not record this graph; it "
			      "is called before mob_capture_end",
			      call);
	}
	return rc;
}

int mob_graph_window(struct mob_graph *g, uint32_t runs)
{
	int rc = check_records(g, "mob_graph_window");

	if (rc >= 0 && (!runs || runs > MOB_GRAPH_WINDOW_MAX)) {
		rc = mobi_err(MOB_E_INVAL,
			      "mob_graph_window: %u runs in flight; 1 to %u",
			      runs, MOB_GRAPH_WINDOW_MAX);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	g->window = runs;
	return 0;
}

int mob_graph_room(struct mob_graph *g, uint64_t bytes)
{
	int rc = check_records(g, "mob_graph_room");

	if (rc >= 0 && bytes > MOB_GRAPH_ROOM_MAX) {
		rc = mobi_err(MOB_E_INVAL,
			      "mob_graph_room: %llu bytes; at most %u",
			      (unsigned long long)bytes, MOB_GRAPH_ROOM_MAX);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	g->room_max = (uint32_t)bytes;
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
		if (g->made) {
			mobi_graph_stop(g);
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
	free(g->inputs.at);
	free(g->stage.at);
	free(g);
}
