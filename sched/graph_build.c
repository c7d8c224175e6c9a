/* SPDX-License-Identifier: Apache-2.0 */
/* Making the object of a graph out of what was recorded. */
#include "graph.h"

#include "err.h"
#include "module.h"
#include "object.h"
#include "repeat.h"
#include "slot.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_BYTES UINT64_C(0x7fffffff)

/* What is worked out before there is room. */
struct plan {
	struct mob_graph *g;
	struct mobi_graph_head h;
	uint64_t size;
	uint32_t consts; /* offsets */
	uint32_t inputs; /* in the first lane */
	uint32_t results;
	uint32_t n_next;  /* of all nodes */
	uint32_t n_later; /* likewise */
};

/* Sections, each on lines of its own. */
static uint32_t section(struct plan *p, uint64_t bytes)
{
	uint64_t at = (p->size + MOBI_CACHELINE - 1) / MOBI_CACHELINE *
		      MOBI_CACHELINE;

	p->size = at + bytes;
	return (uint32_t)at;
}

static uint64_t results_of(const struct mob_graph *g,
			   const struct mobi_graph_call *call)
{
	const struct mobi_graph_value *v = g->values.at;
	uint64_t size = 0;

	for (uint32_t i = 0; i < call->def->n_rets; i++) {
		size += v[call->first + i].size;
	}
	return size;
}

/* The call whose result argument i is; of the run before if a channel brings it:
 * *out_later. NULL: none. */
static struct mobi_graph_call *giver(const struct mob_graph *g,
				     const struct mobi_graph_call *call,
				     uint32_t i, bool *out_later)
{
	const struct mobi_graph_value *v = g->values.at;
	struct mobi_graph_call *calls = g->calls.at;

	*out_later = false;
	if (call->kind[i] != MOBI_GA_VALUE ||
	    v[call->arg[i]].call == MOBI_GRAPH_INPUT) {
		return NULL;
	}
	v = &v[call->arg[i]];
	if (v->call == MOBI_GRAPH_CHANNEL) {
		*out_later = true;
		v = (const struct mobi_graph_value *)g->values.at + v->from;
	}
	return &calls[v->call];
}

/* The arguments of a call that come from the same, in the same way, as argument i; 0
 * if one before i does, too. */
static uint32_t args_of(const struct mob_graph *g,
			const struct mobi_graph_call *call, uint32_t i)
{
	bool later;
	bool too;
	const struct mobi_graph_call *from = giver(g, call, i, &later);
	uint32_t bits = 0;

	for (uint32_t k = 0; from && k < call->def->n_args; k++) {
		if (giver(g, call, k, &too) == from && too == later) {
			bits |= 1u << k;
		}
	}
	return bits & ((1u << i) - 1) ? 0 : bits;
}

static void count_next(struct plan *p)
{
	struct mobi_graph_call *calls = p->g->calls.at;

	for (uint32_t n = 0; n < p->g->calls.n; n++) {
		bool root = true;
		bool tail = false;

		for (uint32_t i = 0; i < calls[n].def->n_args; i++) {
			bool later;
			struct mobi_graph_call *from = giver(p->g, &calls[n], i,
							     &later);

			root &= !from;
			tail |= later;
			if (!from || !args_of(p->g, &calls[n], i)) {
				continue;
			}
			from->n_next += !later;
			p->n_next += !later;
			from->n_later += later;
			p->n_later += later;
		}
		p->h.n_roots += root;
		p->h.n_tails += tail;
	}
	for (uint32_t n = 0; n < p->g->calls.n; n++) {
		p->h.n_ends += !calls[n].n_next;
	}
}

static int find_width(struct mob_graph *g)
{
	const struct mobi_graph_call *calls = g->calls.at;
	uint32_t *n_of = calloc(g->calls.n + (size_t)1, sizeof(*n_of));

	if (!n_of) {
		return mobi_err(MOB_E_NOMEM, "out of memory for a graph");
	}
	for (uint32_t n = 0; n < g->calls.n; n++) {
		uint32_t here = ++n_of[calls[n].level];

		g->width = here > g->width ? here : g->width;
	}
	free(n_of);
	return 0;
}

/* What each run has of its own. */
static void lay_out_lane(struct plan *p)
{
	const struct mob_graph *g = p->g;
	const struct mobi_graph_call *calls = g->calls.at;
	uint32_t words = (g->calls.n + 63) / 64;
	uint64_t results = 0;

	p->size = sizeof(struct mobi_graph_lane);
	p->h.node = section(p, g->calls.n * sizeof(struct mobi_graph_node));
	p->h.ready = section(p, words * sizeof(uint64_t));
	p->h.some = section(p, (words + 63) / 64 * sizeof(uint64_t));
	for (uint32_t n = p->h.n_ends; n; n = n == 1 ? 0 : n) {
		n = (n + MOBI_GRAPH_FAN - 1) / MOBI_GRAPH_FAN;
		p->h.end[p->h.n_levels++] = section(p, n * sizeof(uint64_t));
	}
	p->h.error = section(p,
			     p->h.n_runners * sizeof(struct mobi_graph_error));
	p->inputs = section(p, g->stage.n);
	for (uint32_t n = 0; n < g->calls.n; n++) {
		results += results_of(g, &calls[n]);
	}
	p->results = section(p, results);
	p->size = section(p, 0);
}

static int lay_out(struct plan *p)
{
	const struct mob_graph *g = p->g;
	uint64_t lane;

	count_next(p);
	p->h.magic = MOBI_GRAPH_MAGIC;
	p->h.n_nodes = g->calls.n;
	p->h.n_outer = g->outers.n;
	p->h.n_runners = g->n_workers < MOBI_GRAPH_RUNNERS ? g->n_workers :
							     MOBI_GRAPH_RUNNERS;
	p->h.n_lanes = g->window + (g->window > 1 || p->h.n_tails);
	lay_out_lane(p);
	lane = p->size;
	p->size = sizeof(p->h);
	p->h.next = section(p, ((uint64_t)p->n_next + p->n_later) *
				       sizeof(uint32_t));
	p->h.root = section(p, p->h.n_roots * sizeof(uint32_t));
	p->h.tail = section(p, p->h.n_tails * sizeof(uint32_t));
	p->h.outer = section(p, g->outers.n * sizeof(struct mobi_graph_outer));
	p->h.opts = section(p, g->calls.n * sizeof(struct mobi_graph_opts));
	p->consts = section(p, g->consts.n);
	p->h.lane = section(p, 0);
	p->h.lane_size = (uint32_t)lane;
	p->size = p->h.lane + lane * p->h.n_lanes;
	p->h.size = p->size;
	return p->size > SIZE_MAX_BYTES || lane > SIZE_MAX_BYTES ?
		       mobi_err(MOB_E_LIMIT,
				"a graph of %llu bytes, with %u times its "
				"values; at most %llu",
				(unsigned long long)p->size, p->h.n_lanes,
				(unsigned long long)SIZE_MAX_BYTES) :
		       0;
}

/* Where each value is in the first lane. */
static void place_values(struct plan *p)
{
	struct mobi_graph_value *v = p->g->values.at;
	const struct mobi_graph_call *calls = p->g->calls.at;
	uint32_t result = p->h.lane + p->results;

	for (uint32_t i = 0; i < p->g->values.n; i++) {
		if (v[i].call == MOBI_GRAPH_INPUT ||
		    v[i].call == MOBI_GRAPH_CHANNEL) {
			v[i].off = p->h.lane + p->inputs + v[i].room;
		}
	}
	for (uint32_t n = 0; n < p->g->calls.n; n++) {
		for (uint32_t i = 0; i < calls[n].def->n_rets; i++) {
			v[calls[n].first + i].off += result;
		}
		result += (uint32_t)results_of(p->g, &calls[n]);
	}
}

static uint32_t arg_at(const struct plan *p, const struct mobi_graph_call *call,
		       uint32_t i)
{
	const struct mobi_graph_value *v = p->g->values.at;

	switch (call->kind[i]) {
	case MOBI_GA_CONST:
		return p->consts + call->arg[i];
	case MOBI_GA_VALUE:
		return v[call->arg[i]].off;
	default:
		return MOBI_GRAPH_OUTER | call->arg[i];
	}
}

/* Where the arguments of call n are, and that it follows from what gives them. */
static void write_args(struct plan *p, unsigned char *at, uint32_t n)
{
	struct mobi_graph_call *calls = p->g->calls.at;
	struct mobi_graph_call *call = &calls[n];
	struct mobi_graph_node *node = (void *)(at + p->h.lane + p->h.node);
	uint32_t *next = (void *)(at + p->h.next);

	for (uint32_t i = 0; i < call->def->n_args; i++) {
		bool later;
		struct mobi_graph_call *from = giver(p->g, call, i, &later);
		uint32_t bits = from ? args_of(p->g, call, i) : 0;

		node[n].arg[i] = arg_at(p, call, i);
		node[n].need |= (uint8_t)(from ? 1u << i : 0);
		node[n].set |= (uint8_t)(later ? 1u << i : 0);
		if (bits && later) {
			next[node[from - calls].later + from->n_later++] =
				MOBI_GRAPH_NEXT(n, bits);
		} else if (bits) {
			next[node[from - calls].next + from->n_next++] =
				MOBI_GRAPH_NEXT(n, bits);
		}
	}
}

/* The nodes of the first lane. n_next and n_later of the calls are used up. A channel
 * may bring what a later call gives, so those that follow come after all. */
static int write_nodes(struct plan *p, unsigned char *at)
{
	struct mobi_graph_call *calls = p->g->calls.at;
	const struct mobi_graph_value *v = p->g->values.at;
	struct mobi_graph_node *node = (void *)(at + p->h.lane + p->h.node);
	uint32_t *root = (void *)(at + p->h.root);
	uint32_t *tail = (void *)(at + p->h.tail);
	struct mobi_graph_opts *opts = (void *)(at + p->h.opts);
	uint32_t n_next = 0;
	uint32_t n_later = p->n_next;
	uint32_t n_ends = 0;

	for (uint32_t n = 0; n < p->g->calls.n; n++) {
		uint32_t fn;
		int rc = mobi_module_number(mobi_rt.sched, calls[n].def, &fn);

		if (rc < 0) {
			return rc;
		}
		opts[n] = calls[n].opts;
		node[n].fn = (uint16_t)fn;
		node[n].ret = v[calls[n].first].off;
		node[n].n_next = calls[n].n_next;
		node[n].next = calls[n].n_next ? n_next : n_ends++;
		node[n].n_later = calls[n].n_later;
		node[n].later = n_later;
		n_next += calls[n].n_next;
		n_later += calls[n].n_later;
		calls[n].n_next = 0;
		calls[n].n_later = 0;
	}
	for (uint32_t n = 0; n < p->g->calls.n; n++) {
		write_args(p, at, n);
		if (!node[n].need) {
			*root++ = n;
		}
		if (node[n].set) {
			*tail++ = MOBI_GRAPH_NEXT(n, node[n].set);
		}
	}
	return 0;
}

/* How large results may be, that have no fixed size. */
static void write_sizes(const struct plan *p, unsigned char *at)
{
	const struct mobi_graph_value *v = p->g->values.at;

	for (uint32_t i = 0; i < p->g->values.n; i++) {
		struct mobi_graph_sized s = { 0, v[i].max };

		if (mobi_graph_is_sized(v[i].type)) {
			memcpy(at + v[i].off, &s, sizeof(s));
		}
	}
}

/* The other lanes are as the first, and their offsets into themselves. */
static void write_lanes(const struct plan *p, unsigned char *at)
{
	const struct mobi_graph_call *calls = p->g->calls.at;

	for (uint32_t lane = 1; lane < p->h.n_lanes; lane++) {
		uint32_t by = lane * p->h.lane_size;
		unsigned char *to = at + p->h.lane + by;
		struct mobi_graph_node *node = (void *)(to + p->h.node);

		memcpy(to, at + p->h.lane, p->h.lane_size);
		for (uint32_t n = 0; n < p->h.n_nodes; n++) {
			node[n].ret += by;
			for (uint32_t i = 0; i < calls[n].def->n_args; i++) {
				node[n].arg[i] +=
					calls[n].kind[i] == MOBI_GA_VALUE ? by :
									    0;
			}
		}
	}
}

/* Other objects live as long as the graph does. */
static int nest(const struct plan *p, const struct mobi_graph_list *l)
{
	const uint64_t *id = l->at;
	struct mob_ref *refs = malloc((l->n + (size_t)1) * sizeof(*refs));
	int rc;

	if (!refs) {
		return mobi_err(MOB_E_NOMEM, "out of memory for a graph");
	}
	for (uint32_t i = 0; i < l->n; i++) {
		refs[i] = mobi_ref_of(mobi_rt.store, id[i]);
	}
	rc = l->n ? mobi_object_nest(mobi_rt.store, p->g->id, refs, l->n) : 0;
	free(refs);
	return rc;
}

static int fill(struct plan *p, unsigned char *at)
{
	int rc;

	memset(at, 0, p->size);
	memcpy(at, &p->h, sizeof(p->h));
	if (p->g->consts.n) {
		memcpy(at + p->consts, p->g->consts.at, p->g->consts.n);
	}
	if (p->g->outers.n) {
		memcpy(at + p->h.outer, p->g->outers.at,
		       p->g->outers.n * sizeof(struct mobi_graph_outer));
	}
	rc = write_nodes(p, at);
	if (rc >= 0) {
		write_sizes(p, at);
		write_lanes(p, at);
		rc = nest(p, &p->g->refs);
	}
	if (rc >= 0) {
		rc = nest(p, &p->g->kept);
	}
	return rc;
}

int mobi_graph_build(struct mob_graph *g)
{
	struct mob_store *s = mobi_rt.store;
	struct plan p = { .g = g };
	void *at;
	int rc = lay_out(&p);

	if (rc >= 0) {
		rc = find_width(g);
	}
	if (rc >= 0) {
		rc = mobi_slot_new(s, MOBI_F_OWNED, &g->id);
	}
	if (rc < 0) {
		return rc;
	}
	place_values(&p);
	rc = mobi_repeat_slot_value(s, g->id, p.size, MOBI_TYPE_INTERNAL, &at);
	if (rc >= 0) {
		rc = fill(&p, at);
	}
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(s, g->id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(s, g->id);
		return rc;
	}
	mobi_slot_seal_unseen(s, g->id);
	g->at = at;
	g->made = true;
	return 0;
}
