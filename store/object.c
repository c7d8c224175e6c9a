/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: the public calls of the store. */
#include "object.h"
#include "count.h"
#include "cq.h"
#include "edge.h"
#include "err.h"
#include "full.h"
#include "name.h"
#include "os_clock.h"
#include "pool.h"
#include "segment.h"
#include "site.h"
#include "slot.h"
#include "spill.h"
#include "victim.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

int mobi_object_new(struct mob_store *s, uint64_t size, mob_type_id type,
		    uint64_t *out_id, void **out_at)
{
	int rc = mobi_slot_new(s, MOBI_F_OWNED, out_id);

	if (rc < 0) {
		return rc;
	}
	rc = s->check_writes ?
		     mobi_slot_value_apart(s, *out_id, size, type, out_at) :
		     mobi_slot_value(s, *out_id, size, type, out_at);
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(s, *out_id, MOBI_S_LOST);
		(void)mobi_slot_release(s, *out_id);
		return rc == MOB_E_STORE_FULL || rc == MOB_E_DISK_FULL ?
			       mobi_full_error(s, size) :
			       rc;
	}
	return 0;
}

int mob_object_create_from(struct mob_store *store, uint64_t size,
			   mob_type_id type, struct mob_ref *out_ref,
			   void **out_at, struct mob_site *site)
{
	uint32_t row;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	row = mobi_site_row_of(store, site);
	rc = mobi_object_new(store, size, type, &id, out_at);
	if (rc < 0) {
		return rc;
	}
	mobi_site_set(store, id, row);
	/* Who waits for it, or lets it go, finds no LOCK until the seal. */
	mobi_slot_unlock(store, id);
	*out_ref = mobi_ref_of(store, id);
	return 0;
}

int mob_object_create(struct mob_store *store, uint64_t size, mob_type_id type,
		      struct mob_ref *out_ref, void **out_at)
{
	return mob_object_create_from(store, size, type, out_ref, out_at, NULL);
}

static int resolve_mine(struct mob_store *s, struct mob_ref ref, uint32_t state,
			const char *call)
{
	uint64_t id;
	int rc;

	MOBI_ENTER(s);
	rc = mobi_slot_of(s, ref, &id);
	if (rc < 0) {
		return rc;
	}
	if (!mobi_slot_resolve_made(s, id, s->me, state)) {
		if (mob_object_state(s, ref) == MOB_OBJECT_GONE) {
			return mobi_err(MOB_E_BAD_REF,
					"%s: object %u is gone: its last "
					"reference was released",
					call, (uint32_t)id);
		}
		if (mob_object_state(s, ref) == MOB_OBJECT_PENDING) {
			return mobi_err(MOB_E_STATE,
					"%s: object %u is made by another "
					"process, which alone can seal or "
					"abort it",
					call, (uint32_t)id);
		}
		return mobi_err(MOB_E_STATE,
				"%s: object %u is sealed or aborted already; "
				"make another one",
				call, (uint32_t)id);
	}
	return 0;
}

int mob_object_seal(struct mob_store *store, struct mob_ref ref)
{
	return resolve_mine(store, ref, MOBI_S_SEALED, "mob_object_seal");
}

int mob_object_abort(struct mob_store *store, struct mob_ref ref)
{
	return resolve_mine(store, ref, MOBI_S_CANCELLED, "mob_object_abort");
}

int mob_object_put_from(struct mob_store *store, const void *at, uint64_t size,
			mob_type_id type, struct mob_ref *out_ref,
			struct mob_site *site)
{
	uint32_t row;
	uint64_t id;
	void *to;
	int rc;

	MOBI_ENTER(store);
	row = mobi_site_row_of(store, site);
	rc = mobi_object_new(store, size, type, &id, &to);
	if (rc < 0) {
		return rc;
	}
	mobi_site_set(store, id, row);
	if (size) {
		memcpy(to, at, size);
	}
	mobi_slot_seal_unseen(store, id);
	*out_ref = mobi_ref_of(store, id);
	return 0;
}

int mob_object_put(struct mob_store *store, const void *at, uint64_t size,
		   mob_type_id type, struct mob_ref *out_ref)
{
	return mob_object_put_from(store, at, size, type, out_ref, NULL);
}

/* ---- refs inside objects ---- */

/* Links n edges from the chunks of slot `id` on the objects of refs. */
int mobi_object_nest(struct mob_store *s, uint64_t id,
		     const struct mob_ref *refs, uint64_t n)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];

	for (uint64_t done = 0; done < n;) {
		uint64_t part = n - done < MOBI_EDGE_CHUNK ? n - done :
							     MOBI_EDGE_CHUNK;
		uint32_t c;
		uint32_t gen;
		int rc = mobi_chunk_new(s, &c, &gen);

		if (rc < 0) {
			return rc;
		}
		mobi_chunk_live(s, c, MOBI_CK_SLOT, id, mobi_load(&o->nested));
		mobi_store(&o->nested, c + 1);
		for (uint32_t i = 0; i < part; i++) {
			uint64_t inner;

			rc = mobi_slot_of(s, refs[done + i], &inner);
			if (rc >= 0) {
				rc = mobi_slot_hold(s, inner);
			}
			if (rc < 0) {
				return rc;
			}
			mobi_edge_push(s, MOBI_EDGE_OF_CHUNK(c, i), gen,
				       MOBI_EF_QUIET, inner);
			(void)mobi_slot_release(s, inner);
		}
		done += part;
	}
	return 0;
}

int mob_object_put_refs_from(struct mob_store *store,
			     const struct mob_ref *refs, uint64_t n,
			     struct mob_ref *out_ref, struct mob_site *site)
{
	uint32_t row;
	uint64_t id;
	void *to;
	int rc;

	MOBI_ENTER(store);
	row = mobi_site_row_of(store, site);
	if (n > UINT64_MAX / sizeof(*refs)) {
		return mobi_err(MOB_E_INVAL, "mob_object_put_refs: n is %llu",
				(unsigned long long)n);
	}
	rc = mobi_object_new(store, n * sizeof(*refs), MOB_TYPE_REFS, &id, &to);
	if (rc < 0) {
		return rc;
	}
	if (n) {
		memcpy(to, refs, n * sizeof(*refs));
	}
	mobi_site_set(store, id, row);
	rc = mobi_object_nest(store, id, refs, n);
	if (rc < 0) {
		(void)mobi_slot_resolve_owned(store, id, MOBI_S_CANCELLED);
		(void)mobi_slot_release(store, id);
		return rc;
	}
	mobi_slot_seal_unseen(store, id);
	*out_ref = mobi_ref_of(store, id);
	return 0;
}

int mob_object_put_refs(struct mob_store *store, const struct mob_ref *refs,
			uint64_t n, struct mob_ref *out_ref)
{
	return mob_object_put_refs_from(store, refs, n, out_ref, NULL);
}

/* ---- references ---- */

int mob_object_hold(struct mob_store *store, struct mob_ref ref)
{
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	rc = mobi_slot_of(store, ref, &id);
	return rc < 0 ? rc : mobi_slot_hold(store, id);
}

int mob_object_release(struct mob_store *store, struct mob_ref ref)
{
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	rc = mobi_slot_of(store, ref, &id);
	return rc < 0 ? rc : mobi_slot_release(store, id);
}

enum mob_object_state mob_object_state(struct mob_store *store,
				       struct mob_ref ref)
{
	static const enum mob_object_state of[] = {
		[MOBI_S_FREE] = MOB_OBJECT_GONE,
		[MOBI_S_PENDING] = MOB_OBJECT_PENDING,
		[MOBI_S_SEALED] = MOB_OBJECT_SEALED,
		[MOBI_S_FAILED] = MOB_OBJECT_FAILED,
		[MOBI_S_CANCELLED] = MOB_OBJECT_CANCELLED,
		[MOBI_S_LOST] = MOB_OBJECT_LOST,
		[MOBI_S_FREEING] = MOB_OBJECT_GONE,
		[MOBI_S_WORN] = MOB_OBJECT_GONE,
	};
	uint64_t id;
	uint64_t w;

	if (mobi_slot_of(store, ref, &id) < 0) {
		return MOB_OBJECT_GONE;
	}
	w = mobi_load(&store->slots[(uint32_t)id].word);
	return MOBI_GEN(w) == MOBI_GEN(id) ? of[MOBI_STATE(w) & 7u] :
					     MOB_OBJECT_GONE;
}

/* ---- get ---- */

/* Why it is lost. */
static int lost(const struct mobi_slot *o, uint64_t id)
{
	switch (mobi_load(&o->type)) {
	case MOBI_TYPE_WHY_PUT:
		return mobi_err(MOB_E_LOST,
				"object %u is lost: its last reference was "
				"released, and no task made it that could make "
				"it again",
				(uint32_t)id);
	case MOBI_TYPE_WHY_LOST:
		return mobi_err(MOB_E_LOST,
				"object %u is lost: its last reference was "
				"released, and the task that made it is not "
				"kept (its retries are 0, or MOBULA_LINEAGE is "
				"too low)",
				(uint32_t)id);
	case MOBI_TYPE_WHY_ROOM:
		return mobi_err(MOB_E_LOST,
				"object %u is lost: it went, and there was no "
				"room to make it again; release views, or make "
				"the store larger",
				(uint32_t)id);
	default:
		return mobi_err(MOB_E_LOST,
				"object %u is lost: the process that was to "
				"make it died",
				(uint32_t)id);
	}
}

static int state_error(const struct mobi_slot *o, uint64_t w, uint64_t id)
{
	switch (MOBI_STATE(w)) {
	case MOBI_S_CANCELLED:
		return mobi_err(MOB_E_CANCELLED, "object %u was cancelled",
				(uint32_t)id);
	case MOBI_S_LOST:
		return lost(o, id);
	case MOBI_S_FAILED:
		return MOB_E_TASK;
	default:
		return 0;
	}
}

static void fill_view(struct mob_store *s, uint64_t id,
		      struct mob_view *out_view)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];

	mobi_count(s, MOBI_N_GET, 1);
	out_view->at = mobi_slot_bytes(s, (uint32_t)id);
	out_view->size = mobi_load_relaxed(&o->size); /* fixed since the seal */
	out_view->type = mobi_load_relaxed(&o->type); /* likewise */
	out_view->ref = mobi_ref_of(s, id);
	out_view->header_size = mobi_load_relaxed(&o->header);
}

/* A view bit on it, and its bytes in memory, if it has any. 1: they are GONE. */
static int take_view(struct mob_store *s, uint64_t id, int64_t timeout_ns)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w;
	int rc = mobi_slot_view(s, id);

	if (rc < 0) {
		return rc;
	}
	w = mobi_load(&o->word);
	if (w & MOBI_F_GONE) {
		mobi_slot_unview(s, id);
		return 1;
	}
	if (w & MOBI_F_SPILL) {
		rc = mobi_spill_restore(s, id, timeout_ns);
		if (rc < 0) {
			rc = rc == MOB_E_STORE_FULL ?
				     mobi_full_error(s, mobi_load(&o->size)) :
				     rc;
			mobi_slot_unview(s, id);
			return rc;
		}
		if (mobi_load(&o->word) & MOBI_F_GONE) {
			mobi_slot_unview(s, id);
			return 1; /* it could not be read */
		}
		mobi_victim_back(s, o);
	} else if (mobi_spills(s) || mobi_load_relaxed(&s->hdr->has_kept) ||
		   /* Or it may be a cached one: in a line that is at hand. */
		   (mobi_load_relaxed(&o->hold) & MOBI_KEPT)) {
		mobi_victim_used(o);
	}
	return 0;
}

/* Of a time-out that began when it would end at `end`. */
static int64_t left_of(int64_t timeout_ns, int64_t end)
{
	int64_t left;

	if (timeout_ns <= 0) {
		return timeout_ns;
	}
	left = end - (int64_t)mobi_now_ns();
	return left < 0 ? 0 : left;
}

/* Waits until what is GONE is made again. */
static int wait_again(struct mob_store *s, uint64_t id, int64_t timeout_ns,
		      int64_t end)
{
	int rc = mobi_slot_hold(s, id); /* kept alive by me while I wait */

	if (rc < 0) {
		return rc;
	}
	rc = mobi_wait_one(s, id, left_of(timeout_ns, end));
	(void)mobi_slot_release(s, id);
	return rc;
}

/* Of one that has a view bit of this call. */
static int viewed(struct mob_store *s, uint64_t id, struct mob_view *out_view)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);
	int rc;

	rc = mobi_resolved(w) ? state_error(o, w, id) :
				mobi_err(MOB_E_STATE, "object %u is pending",
					 (uint32_t)id);
	if (rc < 0 && rc != MOB_E_TASK) {
		mobi_slot_unview(s, id);
		return rc;
	}
	if (rc == MOB_E_TASK) {
		mobi_victim_used(o); /* somebody has read it */
	}
	fill_view(s, id, out_view);
	return rc == MOB_E_TASK ?
		       mobi_err(rc, "object %u holds an error", (uint32_t)id) :
		       0;
}

int mobi_object_view_in(struct mob_store *s, uint64_t id, int64_t timeout_ns,
			struct mob_view *out_view)
{
	int64_t end = 0;
	int rc = take_view(s, id, timeout_ns);

	while (rc == 1) {
		end = end ? end : mobi_deadline(timeout_ns);
		rc = wait_again(s, id, timeout_ns, end);
		rc = rc < 0 ? rc : take_view(s, id, timeout_ns);
	}
	return rc < 0 ? rc : viewed(s, id, out_view);
}

int mobi_object_view_now(struct mob_store *s, uint64_t id,
			 struct mob_view *out_view)
{
	int rc = take_view(s, id, MOB_FOREVER);

	return rc ? rc : viewed(s, id, out_view);
}

int mobi_object_view(struct mob_store *s, uint64_t id,
		     struct mob_view *out_view)
{
	return mobi_object_view_in(s, id, MOB_FOREVER, out_view);
}

bool mobi_object_peek(struct mob_store *s, uint64_t id,
		      struct mob_view *out_view)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];

	if (MOBI_STATE(mobi_load(&o->word)) != MOBI_S_SEALED ||
	    mobi_load(&o->loc) != MOBI_LOC_INLINE) {
		return false;
	}
	fill_view(s, id, out_view);
	return true;
}

int mob_object_get(struct mob_store *store, struct mob_ref ref,
		   int64_t timeout_ns, struct mob_view *out_view)
{
	int64_t end;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	if (timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		return mobi_err(MOB_E_INVAL,
				"mob_object_get: timeout_ns is %lld; at least "
				"0, or MOB_FOREVER",
				(long long)timeout_ns);
	}
	rc = mobi_slot_of(store, ref, &id);
	if (rc < 0) {
		return rc;
	}
	if (!mobi_resolved(mobi_load(&store->slots[(uint32_t)id].word))) {
		/* Kept alive by me while I wait. */
		rc = mobi_slot_hold(store, id);
		if (rc < 0) {
			return rc;
		}
		end = mobi_deadline(timeout_ns);
		rc = mobi_wait_one(store, id, timeout_ns);
		if (rc >= 0) {
			rc = mobi_object_view_in(
				store, id, left_of(timeout_ns, end), out_view);
		}
		(void)mobi_slot_release(store, id);
		return rc;
	}
	return mobi_object_view_in(store, id, timeout_ns, out_view);
}

int mob_object_prefetch(struct mob_store *store, const struct mob_ref *refs,
			size_t n)
{
	struct mobi_file_ahead ahead = { .bytes = INT64_MAX };
	int found = 0;

	MOBI_ENTER(store);
	for (size_t i = 0; i < n; i++) {
		uint64_t id;
		int rc = mobi_slot_of(store, refs[i], &id);

		if (rc < 0) {
			return rc;
		}
		found += mobi_spill_prefetch(store, id, &ahead) &&
			 found < INT32_MAX;
	}
	return found;
}

void mob_view_release(struct mob_store *store, struct mob_view *view)
{
	uint64_t id;

	if (mob_ref_is_none(view->ref) ||
	    !mobi_load_relaxed(store->not_forked) ||
	    mobi_slot_of(store, view->ref, &id) < 0) {
		return;
	}
	mobi_slot_unview(store, id);
	view->at = NULL;
	view->size = 0;
	view->ref = MOB_REF_NONE;
}

/* ---- wait ---- */

static int by_ref(const void *a, const void *b)
{
	const struct mob_ref *x = a;
	const struct mob_ref *y = b;

	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Refs of this session, each once. */
static int check_refs(struct mob_store *s, const char *call,
		      const struct mob_ref *refs, size_t n)
{
	struct mob_ref *sorted;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t id;

		rc = mobi_slot_of(s, refs[i], &id);
		if (rc < 0) {
			return rc;
		}
		if (mob_object_state(s, refs[i]) == MOB_OBJECT_GONE) {
			return mobi_err(MOB_E_BAD_REF,
					"%s: refs[%zu] is gone: its last "
					"reference was released",
					call, i);
		}
	}
	sorted = malloc((n + 1) * sizeof(*sorted));
	if (!sorted) {
		return mobi_err(MOB_E_NOMEM, "%s: out of memory", call);
	}
	memcpy(sorted, refs, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_ref);
	for (size_t i = 1; i < n && rc == 0; i++) {
		if (sorted[i].lo == sorted[i - 1].lo) {
			rc = mobi_err(MOB_E_INVAL,
				      "%s: object %u is in refs more than once",
				      call, (uint32_t)sorted[i].lo);
		}
	}
	free(sorted);
	return rc;
}

static size_t mark_resolved(struct mob_store *s, const struct mob_ref *refs,
			    size_t n, size_t n_ready, bool *out_ready)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t w = mobi_load(&s->slots[(uint32_t)refs[i].lo].word);

		out_ready[i] = found < n_ready && mobi_resolved(w);
		found += out_ready[i];
	}
	return found;
}

/* The slow half: a completion queue over those that are pending. */
static int wait_queue(struct mob_store *s, const struct mob_ref *refs, size_t n,
		      size_t want, int64_t timeout_ns, bool *out_ready)
{
	struct mob_cq *q;
	int64_t end = mobi_deadline(timeout_ns);
	size_t found = 0;
	int rc = mob_cq_open(s, &q);

	if (rc < 0) {
		return rc;
	}
	mobi_cq_ring_from(q, (uint32_t)want, MOBI_WAIT_SOME);
	for (size_t i = 0; i < n && rc >= 0; i++) {
		rc = mob_cq_add(q, refs[i], i);
		out_ready[i] = false;
	}
	while (rc >= 0 && found < want) {
		struct mob_cq_entry e;
		int64_t left = timeout_ns;

		if (timeout_ns > 0) {
			left = end - (int64_t)mobi_now_ns();
			left = left < 0 ? 0 : left;
		}
		rc = mob_cq_pop(q, left, &e);
		if (rc == 1) {
			out_ready[e.user] = true;
			found++;
			(void)mob_object_release(s, e.ref);
		}
	}
	mob_cq_close(q);
	return rc < 0 && rc != MOB_E_TIMEOUT ? rc : (int)found;
}

int mobi_object_wait(struct mob_store *store, const char *call,
		     const struct mob_ref *refs, size_t n, size_t n_ready,
		     int64_t timeout_ns, bool *out_ready)
{
	size_t found;
	int rc;

	MOBI_ENTER(store);
	if (n == 0 && n_ready == 0) {
		return 0;
	}
	if (n_ready == 0 || n_ready > n || n > INT32_MAX) {
		return mobi_err(MOB_E_INVAL,
				"%s: n_ready is %zu; 1 to the %zu refs", call,
				n_ready, n);
	}
	if (timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		return mobi_err(MOB_E_INVAL,
				"%s: timeout_ns is %lld; at least 0, or "
				"MOB_FOREVER",
				call, (long long)timeout_ns);
	}
	rc = check_refs(store, call, refs, n);
	if (rc < 0) {
		return rc;
	}
	found = mark_resolved(store, refs, n, n_ready, out_ready);
	if (found == n_ready || timeout_ns == 0) {
		return (int)found;
	}
	return wait_queue(store, refs, n, n_ready, timeout_ns, out_ready);
}

int mob_object_wait(struct mob_store *store, const struct mob_ref *refs,
		    size_t n, size_t n_ready, int64_t timeout_ns,
		    bool *out_ready)
{
	return mobi_object_wait(store, "mob_object_wait", refs, n, n_ready,
				timeout_ns, out_ready);
}
