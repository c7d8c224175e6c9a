/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who makes an object: the only place that knows of tasks. From an object over pending
 * tasks, breadth first, each once, to the executors that make it.
 */
#include "waits.h"

#include "edge.h"
#include "pool.h"

#include <stdlib.h>

/* Objects looked at in one go. */
#define WORK_MAX ((uint64_t)MOBI_RECS)

void *mobi_waits_grown(void *old, uint32_t n, uint32_t *io_max, size_t size)
{
	uint32_t max = *io_max ? 2 * *io_max : 64;
	void *at;

	if (n < *io_max) {
		return old;
	}
	at = realloc(old, max * size);
	if (at) {
		*io_max = max;
	}
	return at;
}

/* ---- tasks ---- */

bool mobi_waits_unresolved(const struct mob_store *s, uint64_t id)
{
	uint32_t slot = (uint32_t)id;
	uint64_t w;

	if (slot >= mobi_pool_used(s, MOBI_POOL_SLOT)) {
		return false;
	}
	w = mobi_load(&s->slots[slot].word);
	return MOBI_GEN(w) == MOBI_GEN(id) && MOBI_STATE(w) == MOBI_S_PENDING;
}

/* The executor of a process, if it waits; 0. */
static uint32_t waiting(const struct mobi_waits *k, uint32_t client)
{
	return k->waiting & MOBI_BIT(client % MOBI_CLIENTS) ? client : 0;
}

static struct mobi_maker task_maker(const struct mobi_waits *k, uint32_t rec,
				    uint64_t w)
{
	const struct mobi_sched *sh = k->s->sched;
	const struct mobi_maker none = { MOBI_MAKER_NONE, 0, rec };
	uint32_t i;

	switch (MOBI_STATE(w)) {
	case MOBI_T_WAITING:
		return (struct mobi_maker){ MOBI_MAKER_TASK, rec, rec };
	case MOBI_T_READY:
		i = mobi_task_at(k->s, rec)->shape % MOBI_SHAPES;
		return sh->shape[i].some &&
				       mobi_load(&k->s->recs[rec].word) == w ?
			       (struct mobi_maker){ MOBI_MAKER_SHAPE, i, rec } :
			       none;
	case MOBI_T_RUN:
		i = waiting(k, MOBI_ROWNER(w));
		return i && !(w & MOBI_TF_TAKEN) ?
			       (struct mobi_maker){ MOBI_MAKER_THREAD, i,
						    rec } :
			       none;
	default:
		return none;
	}
}

struct mobi_maker mobi_waits_task(const struct mobi_waits *k, uint32_t rec)
{
	return task_maker(k, rec, mobi_load(&k->s->recs[rec].word));
}

struct mobi_maker mobi_waits_process(const struct mobi_waits *k,
				     uint32_t client)
{
	uint32_t e = waiting(k, client);

	return (struct mobi_maker){ e ? MOBI_MAKER_PROC : MOBI_MAKER_NONE, e,
				    MOBI_RECS };
}

struct mobi_maker mobi_waits_maker(const struct mobi_waits *k, uint64_t id)
{
	const struct mob_store *s = k->s;
	struct mobi_maker m = { MOBI_MAKER_NONE, 0, 0 };
	const struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	uint64_t producer;
	uint64_t w;
	uint32_t rec;

	if (!mobi_waits_unresolved(s, id)) {
		return m;
	}
	producer = mobi_load(&o->producer);
	w = mobi_load(&o->word);
	if (producer) {
		rec = (uint32_t)producer - 1;
		if (rec < mobi_pool_used(s, MOBI_POOL_REC)) {
			w = mobi_load(&s->recs[rec].word);
			if (MOBI_GEN(w) == MOBI_GEN(producer)) {
				return task_maker(k, rec, w);
			}
		}
	} else if (w & MOBI_F_OWNED) {
		return mobi_waits_process(k, MOBI_MAKER(w));
	}
	return m;
}

/* An edge on what a record needs. False: no more is wanted. */
static bool arg_edge(const struct mobi_waits *k, const struct mobi_edge *e,
		     bool (*fn)(void *arg, uint64_t id), void *arg)
{
	uint64_t w = mobi_load(&e->word);
	uint64_t id = mobi_load(&e->ref);

	return MOBI_STATE(w) != MOBI_E_LIVE || (w & MOBI_EF_QUIET) ||
	       !mobi_waits_unresolved(k->s, id) || fn(arg, id);
}

void mobi_waits_args(const struct mobi_waits *k, uint32_t rec,
		     bool (*fn)(void *arg, uint64_t id), void *arg)
{
	const struct mob_store *s = k->s;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_CHUNK);
	uint64_t of = (uint64_t)MOBI_GEN(mobi_load(&s->recs[rec].word)) << 32 |
		      rec;
	uint32_t c = mobi_task_at(s, rec)->chunk;
	bool more = true;

	for (uint32_t i = 0; i < MOBI_REC_EDGES && more; i++) {
		more = arg_edge(k, &s->recs[rec].edge[i], fn, arg);
	}
	for (uint32_t n = 0; more && n < end && c && c <= end; n++) {
		const struct mobi_chunk *h = &s->chunks[c - 1];
		uint64_t w = mobi_load(&h->word);

		if (MOBI_STATE(w) != MOBI_C_LIVE ||
		    MOBI_CKIND(w) != MOBI_CK_REC || mobi_load(&h->of) != of) {
			return;
		}
		for (uint32_t i = 0; i < MOBI_EDGE_CHUNK && more; i++) {
			more = arg_edge(
				k,
				mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(c - 1, i)),
				fn, arg);
		}
		c = mobi_load(&h->next);
	}
}

/* ---- the walk over pending tasks ---- */

static uint64_t *seen_at(uint64_t *seen, uint32_t size, uint32_t round,
			 const struct mobi_wait_step *step, uint32_t rec)
{
	uint32_t i = (uint32_t)(rec * UINT64_C(0x9e3779b1)) & (size - 1);

	while ((uint32_t)(seen[i] >> 32) == round &&
	       step[(uint32_t)seen[i] - 1].rec != rec) {
		i = (i + 1) & (size - 1);
	}
	return &seen[i];
}

/* Twice as many places as steps at least. */
static bool seen_grow(struct mobi_waits *k)
{
	uint32_t size = k->max_seen ? 2 * k->max_seen : 128;
	uint64_t *seen;

	if (2 * (k->n_step + 1) <= k->max_seen) {
		return true;
	}
	seen = calloc(size, sizeof(*seen));
	if (!seen) {
		return false;
	}
	for (uint32_t i = 0; i < k->n_step; i++) {
		*seen_at(seen, size, k->round, k->step,
			 k->step[i].rec) = (uint64_t)k->round << 32 | (i + 1);
	}
	free(k->seen);
	k->seen = seen;
	k->max_seen = size;
	return true;
}

/* A pending task that was not met before in this walk is one more step. */
static void add_step(struct mobi_waits *k, uint32_t rec, uint64_t object,
		     uint32_t from)
{
	struct mobi_wait_step *step = mobi_waits_grown(
		k->step, k->n_step, &k->max_step, sizeof(*step));
	uint64_t *at;

	if (step) {
		k->step = step;
	}
	if (!step || !seen_grow(k)) {
		k->failed = true;
		return;
	}
	at = seen_at(k->seen, k->max_seen, k->round, step, rec);
	if ((uint32_t)(*at >> 32) != k->round) {
		step[k->n_step] = (struct mobi_wait_step){ object, rec, from };
		*at = (uint64_t)k->round << 32 | ++k->n_step;
	}
}

struct walk {
	struct mobi_waits *k;
	bool (*found)(void *arg, struct mobi_maker m, uint64_t id,
		      uint32_t from);
	void *arg;
	uint32_t from;
	bool end;
};

static bool walk_maker(struct walk *w, struct mobi_maker m, uint64_t id)
{
	if (m.kind == MOBI_MAKER_TASK) {
		add_step(w->k, m.index, id, w->from);
	} else if (m.kind != MOBI_MAKER_NONE) {
		w->end = w->found(w->arg, m, id, w->from);
	}
	w->k->failed |= ++w->k->work > WORK_MAX;
	return !w->end && !w->k->failed;
}

static bool walk_object(void *arg, uint64_t id)
{
	struct walk *w = arg;

	return walk_maker(w, mobi_waits_maker(w->k, id), id);
}

static void walk_on(struct walk *w, struct mobi_maker m, uint64_t id)
{
	struct mobi_waits *k = w->k;

	k->n_step = 0;
	k->round++;
	(void)walk_maker(w, m, id);
	for (uint32_t i = 0; i < k->n_step && !w->end && !k->failed; i++) {
		w->from = i + 1;
		mobi_waits_args(k, k->step[i].rec, walk_object, w);
	}
}

void mobi_waits_walk_from(struct mobi_waits *k, struct mobi_maker m,
			  bool (*found)(void *arg, struct mobi_maker m,
					uint64_t id, uint32_t from),
			  void *arg)
{
	struct walk w = { k, found, arg, 0, false };

	walk_on(&w, m, 0);
}

void mobi_waits_walk(struct mobi_waits *k, uint64_t id,
		     bool (*found)(void *arg, struct mobi_maker m, uint64_t id,
				   uint32_t from),
		     void *arg)
{
	struct walk w = { k, found, arg, 0, false };

	walk_on(&w, mobi_waits_maker(k, id), id);
}
