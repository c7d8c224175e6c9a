/* SPDX-License-Identifier: Apache-2.0 */
#include "prefetch.h"

#include "args.h"
#include "conf.h"
#include "domain.h"
#include "edge.h"
#include "slot.h"
#include "spill.h"

#include <string.h>

/* Bounds of a look at one task, however long its lists are. */
#define ARGS_MAX 4096u
#define EDGES_MAX 64u

/* What may be read ahead yet, for one task that is taken. */
struct ahead {
	struct mob_store *s;
	uint32_t self; /* record of the task */
	uint64_t bytes;
};

static uint64_t limit(void)
{
	static uint64_t bytes;
	static bool known; /* only the thread that takes tasks comes here */

	if (!known) {
		/* A wrong value was told when the session was made. */
		if (mobi_conf_u64(MOBI_CONF_ID_prefetch_bytes, &bytes) < 0) {
			bytes = 0;
		}
		known = true;
	}
	return bytes;
}

static void walk(struct ahead *a, const unsigned char *at, uint64_t len)
{
	struct mobi_args_walk w = { at, len, 0, 0 };
	uint64_t id;

	for (uint32_t i = 0; i < ARGS_MAX && mobi_args_next(&w, &id); i++) {
		const struct mobi_slot *o =
			&a->s->slots[(uint32_t)id % MOBI_SLOTS];

		if ((mobi_load(&o->word) & MOBI_F_SPILL) &&
		    mobi_load(&o->size) <= a->bytes) {
			a->bytes -= mobi_spill_prefetch(a->s, id);
		}
	}
}

/* Another may take and end the task meanwhile: arguments in the record are then
 * some other bytes, whose refs are checked; those in an object are held. */
static void look(struct ahead *a, uint32_t rec, uint64_t w)
{
	const struct mobi_task *t = mobi_task_at(a->s, rec);
	uint64_t args_id = t->args_id;
	const unsigned char *at;
	uint64_t len;

	if (args_id && mobi_slot_hold(a->s, args_id) < 0) {
		return;
	}
	at = mobi_args_at(a->s, rec, &len);
	if (at && t->args_id == args_id &&
	    MOBI_GEN(mobi_load(&a->s->recs[rec].word)) == MOBI_GEN(w) &&
	    (!args_id ||
	     len <= mobi_load(&a->s->slots[(uint32_t)args_id].size))) {
		walk(a, at, len);
	}
	if (args_id) {
		(void)mobi_slot_release(a->s, args_id);
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

	for (uint32_t i = 0; n && i < EDGES_MAX; i++) {
		uint32_t rec;

		if (rec_of_edge(a->s, n, &rec) && rec != a->self) {
			uint64_t w = mobi_load(&a->s->recs[rec].word);

			if (MOBI_STATE(w) == MOBI_T_WAITING) {
				look(a, rec, w);
			}
		}
		n = mobi_load(&mobi_edge_at(a->s, n)->next);
	}
}

void mobi_task_prefetch(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct ahead a = { s, rec, limit() };
	const struct mobi_task *t = mobi_task_at(s, rec);
	uint32_t next;
	uint32_t version;

	if (!a.bytes) {
		return;
	}
	look(&a, rec, w);
	if (mobi_domain_after(&next, &version)) {
		w = mobi_load(&s->recs[next].word);
		if (is_coming(w) && MOBI_VERSION(w) == version) {
			look(&a, next, w);
		}
	}
	for (uint32_t i = 0; i < t->n_rets && i < MOBI_REC_EDGES; i++) {
		look_waiting(&a, mobi_load(&s->recs[rec].edge[i].ref));
	}
}
