/* SPDX-License-Identifier: Apache-2.0 */
#include "prefetch.h"

#include "args.h"
#include "conf.h"
#include "domain.h"
#include "edge.h"
#include "slot.h"
#include "spill.h"
#include "task.h"

#include <string.h>

/* Bounds of all looks for one task that is taken. */
#define ARGS_MAX 4096u
#define EDGES_MAX 64u
/* A task that waits for more than this is not read ahead for yet. */
#define NEAR 16u
/* Looks that are remembered, of so many tasks. */
#define SEEN 64u
#define NEVER UINT32_MAX

/* What may be read ahead yet, for one task that is taken. */
struct ahead {
	struct mob_store *s;
	uint32_t self; /* record of the task */
	uint32_t args; /* to look at */
	struct mobi_file_ahead files;
};

/* A look at a task that is not taken yet: it is not done again before so many more
 * occasions, as a task that waits for n others comes up n times. */
struct seen {
	uint32_t rec;
	uint32_t version;
	uint32_t skip;
};

/* Only the thread that takes tasks comes here. */
static struct seen seen[SEEN];

static struct seen *seen_of(uint32_t rec, uint64_t w)
{
	struct seen *n = &seen[rec % SEEN];

	if (n->rec != rec || n->version != MOBI_VERSION(w)) {
		*n = (struct seen){ rec, MOBI_VERSION(w), 0 };
	}
	return n;
}

void mobi_prefetch_begin(void)
{
	/* A wrong value was told when the session was made. */
	if (mobi_conf_u64(MOBI_CONF_ID_prefetch_bytes,
			  &mobi_rt.prefetch_bytes) < 0) {
		mobi_rt.prefetch_bytes = 0;
	}
}

static struct mobi_slot *slot_of(const struct ahead *a, uint64_t id)
{
	return &a->s->slots[(uint32_t)id % MOBI_SLOTS];
}

/* Until the bound is reached. */
static void read_ahead(struct ahead *a, struct mobi_args_walk w)
{
	uint64_t id;

	while (a->args > 0 && a->files.bytes && mobi_args_next(&w, &id)) {
		a->args--;
		(void)mobi_spill_prefetch(a->s, id, &a->files);
	}
}

/* Objects that the task waits for. */
static uint32_t count_pending(struct ahead *a, struct mobi_args_walk w,
			      uint32_t skip)
{
	uint32_t n = 0;
	uint64_t id;

	for (uint32_t i = 0; a->args > 0 && mobi_args_next(&w, &id); i++) {
		if (i >= skip) {
			uint64_t word = mobi_load(&slot_of(a, id)->word);

			a->args--;
			n += !mobi_resolved(word) &&
			     MOBI_GEN(word) == MOBI_GEN(id);
		}
	}
	return n;
}

/* Of one that waits, so much is resolved before it is near: half of that is this
 * worker's share before it looks again. */
static void walk(struct ahead *a, uint32_t rec, uint64_t w,
		 struct mobi_args_walk args)
{
	struct seen *n = seen_of(rec, w);
	uint32_t workers = mobi_load_relaxed(&a->s->board->workers);
	uint32_t pending = 0;

	if (MOBI_STATE(w) == MOBI_T_WAITING) {
		pending = count_pending(
			a, args, mobi_task_scanned(a->s, rec, MOBI_GEN(w)));
	}
	if (pending > NEAR) {
		n->skip = (pending - NEAR) / (workers ? 2 * workers : 2);
		return;
	}
	n->skip = NEVER;
	read_ahead(a, args);
}

/* One load of a word that who ends the task may write meanwhile. */
static uint64_t args_id_of(const struct mobi_task *t)
{
	return *(const volatile uint64_t *)&t->args_id;
}

/* Another may take and end the task meanwhile: arguments in the record are then
 * some other bytes, whose refs are checked; those in an object are held. */
static void look(struct ahead *a, uint32_t rec, uint64_t w)
{
	const struct mobi_task *t = mobi_task_at(a->s, rec);
	uint64_t args_id = args_id_of(t);
	struct mobi_args_walk args = { NULL, 0, 0, 0 };

	if (args_id && mobi_slot_hold(a->s, args_id) < 0) {
		return;
	}
	args.at = mobi_args_at(a->s, rec, &args.len);
	if (args.at && args_id_of(t) == args_id &&
	    MOBI_GEN(mobi_load(&a->s->recs[rec].word)) == MOBI_GEN(w) &&
	    (!args_id || args.len <= mobi_load(&slot_of(a, args_id)->size))) {
		if (rec == a->self) {
			read_ahead(a, args);
		} else {
			walk(a, rec, w, args);
		}
	}
	if (args_id) {
		(void)mobi_slot_release(a->s, args_id);
	}
}

/* At a task that is not taken yet. */
static void look_early(struct ahead *a, uint32_t rec, uint64_t w)
{
	struct seen *n = seen_of(rec, w);

	if (n->skip == 0) {
		look(a, rec, w);
	} else if (n->skip != NEVER) {
		n->skip--;
	}
}

static bool is_coming(uint64_t w)
{
	return MOBI_STATE(w) == MOBI_T_WAITING || MOBI_STATE(w) == MOBI_T_READY;
}

/* Record in which an edge lies, or whose chunk it is in; false: it is no task's. */
static bool rec_of_edge(const struct mob_store *s, uint32_t n,
			uint32_t *out_rec)
{
	const struct mobi_chunk *c;

	if (n < MOBI_EDGE_REC_END) {
		*out_rec = (n - 1) / MOBI_REC_EDGES;
		return true;
	}
	c = &s->chunks[(n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK];
	*out_rec = (uint32_t)mobi_load(&c->of) % MOBI_RECS;
	return MOBI_CKIND(mobi_load(&c->word)) == MOBI_CK_REC;
}

/* Tasks that need a result. The list may change under the walk, which then sees
 * edges of another: a hint is lost, or a wrong one taken. */
static void look_waiting(struct ahead *a, uint64_t result)
{
	const struct mobi_slot *o = &a->s->slots[(uint32_t)result % MOBI_SLOTS];
	uint32_t n = mobi_load(&o->head);

	for (uint32_t i = 0; n && i < EDGES_MAX && a->args > 0; i++) {
		uint32_t rec;

		if (rec_of_edge(a->s, n, &rec) && rec != a->self) {
			uint64_t w = mobi_load(&a->s->recs[rec].word);

			if (MOBI_STATE(w) == MOBI_T_WAITING) {
				look_early(a, rec, w);
			}
		}
		n = mobi_load(&mobi_edge_at(a->s, n)->next);
	}
}

void mobi_task_prefetch(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct ahead a = { .s = s,
			   .self = rec,
			   .args = ARGS_MAX,
			   .files = { .bytes = mobi_rt.prefetch_bytes } };
	const struct mobi_task *t = mobi_task_at(s, rec);
	uint32_t next;
	uint32_t version;

	if (!a.files.bytes || !mobi_has_spilled(s)) {
		return;
	}
	look(&a, rec, w);
	if (mobi_domain_after(s, &next, &version)) {
		w = mobi_load(&s->recs[next].word);
		if (is_coming(w) && MOBI_VERSION(w) == version) {
			look_early(&a, next, w);
		}
	}
	for (uint32_t i = 0; i < t->n_rets && i < MOBI_REC_EDGES; i++) {
		look_waiting(&a, mobi_load(&s->recs[rec].edge[i].ref));
	}
}

size_t mobi_refs_prefetch(struct mob_store *s, const struct mob_ref *refs,
			  size_t n)
{
	struct mobi_file_ahead files = { .bytes = mobi_rt.prefetch_bytes };
	size_t i = 0;

	if (!files.bytes || !mobi_has_spilled(s)) {
		return n;
	}
	for (; i < n && files.bytes; i++) {
		uint64_t id;

		if (mobi_slot_of(s, refs[i], &id) >= 0) {
			(void)mobi_spill_prefetch(s, id, &files);
		}
	}
	/* The last was too large: it comes first the next time. */
	return !files.bytes && i > 1 ? i - 1 : i;
}
