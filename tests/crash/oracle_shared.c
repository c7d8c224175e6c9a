/* SPDX-License-Identifier: Apache-2.0 */
/* What a process does that others depend on: names, pins, holds of what another made.
 * The oracle's lock is held meanwhile, so that both see the same order. */
#define _GNU_SOURCE

#include "oracle_worker.h"

static const char *name_of(uint64_t i, char out[ORACLE_NAME])
{
	(void)snprintf(out, ORACLE_NAME, "%c%s/%u", (int)('a' + i % 3),
		       i % 2 ? "b" : "", (unsigned)i);
	return out;
}

/* Names of an object that room was made of go in the oracle, too. */
static void look_evicted(struct worker *w, uint64_t id, bool was_cached)
{
	if (!compare_evicted(w->s, &w->o, id, was_cached)) {
		FAIL(w, "a name is lost");
	}
}

/* The store says that an object is gone: so must the oracle. */
static void expect_gone(struct worker *w, uint64_t id)
{
	struct oracle_row r;

	if (!compare_evicted_all(w->s, &w->o)) {
		FAIL(w, "a name is lost");
	}
	if (oracle_get(&w->o, id, &r)) {
		FAIL(w,
		     "object %#" PRIx64 " is gone; holds %u edges %u names "
		     "%u pins %u",
		     id, r.holds, r.edges, r.names, r.pins);
	}
}

/* The store finds no such name: nor must the oracle. */
static void expect_no_name(struct worker *w, const char *name)
{
	struct oracle_name nm;

	if (oracle_name_get(&w->o, name, &nm)) {
		look_evicted(w, nm.id, false);
	}
	if (oracle_name_get(&w->o, name, &nm)) {
		FAIL(w, "'%s' is not found", name);
	}
}

#define NO_OBJECT UINT64_MAX

/* One that is there, whoever has it; within a transaction. */
static uint64_t any_at_all(struct worker *w)
{
	static struct oracle_row row[ORACLE_MAX];
	uint32_t n = oracle_rows(&w->o, row);

	return n ? row[rnd(w, n)].id : NO_OBJECT;
}

static uint64_t any_object(struct worker *w)
{
	return w->n_mine && rnd(w, 2) ? any_of_mine(w).lo : any_at_all(w);
}

/* ---- under the oracle's lock ---- */

void oracle_do_seal(struct worker *w)
{
	struct draft *d = &w->draft;
	struct mob_object_info info;

	if (!w->has_draft) {
		return;
	}
	random_bytes(w, d->at, d->size);
	w->has_draft = false;
	begin(w);
	if (rnd(w, 6)) {
		EXPECT(w, mob_object_seal(w->s, d->ref));
		EXPECT(w, mob_object_stat(w->s, d->ref, &info));
		oracle_resolve(&w->o, d->ref.lo, MOB_OBJECT_SEALED,
			       info.born_ms, d->at, d->size);
	} else {
		EXPECT(w, mob_object_abort(w->s, d->ref));
		EXPECT(w, mob_object_stat(w->s, d->ref, &info));
		oracle_resolve(&w->o, d->ref.lo, MOB_OBJECT_CANCELLED,
			       info.born_ms, NULL, 0);
	}
	commit(w);
	keep(w, d->ref);
}

void oracle_do_hold(struct worker *w)
{
	uint64_t id;
	int rc;

	begin(w);
	id = any_at_all(w);
	rc = id == NO_OBJECT ? 0 : mob_object_hold(w->s, ref_of_id(w->s, id));
	if (rc == MOB_E_BAD_REF) {
		expect_gone(w, id);
	} else if (id != NO_OBJECT) {
		EXPECT(w, rc);
		oracle_keep(&w->o, id, w->proc, w->s->me, 1, 0);
		keep(w, ref_of_id(w->s, id));
	}
	commit(w);
}

/* A name was given: is that what the oracle would have done? */
static void note_name(struct worker *w, uint64_t i, uint64_t id, uint32_t flags,
		      uint64_t version, const struct oracle_name *old)
{
	char name[ORACLE_NAME];
	struct oracle_row before = { 0 };
	struct oracle_row of_old = { 0 };

	(void)name_of(i, name);
	(void)oracle_get(&w->o, id, &before);
	if (old && old->id == id && old->version == version) {
		if (!(flags & MOB_NAME_CACHED)) {
			oracle_name_stays(&w->o, id);
		}
		look_evicted(w, id, before.cached);
		return;
	}
	if (version <= mobi_load(&w->sh->version[i])) {
		FAIL(w, "'%s' gets version %" PRIu64 " after %" PRIu64, name,
		     version, mobi_load(&w->sh->version[i]));
	}
	mobi_store(&w->sh->version[i], version);
	if (old) {
		(void)oracle_get(&w->o, old->id, &of_old);
		if ((old->id == id || !(flags & MOB_NAME_REPLACE)) &&
		    !(of_old.exposed && of_old.cached)) {
			FAIL(w, "'%s' was taken, and is given again", name);
		}
	}
	oracle_name_put(&w->o, name, id, version, flags & MOB_NAME_CACHED);
	look_evicted(w, id, before.cached);
	if (old) {
		look_evicted(w, old->id, of_old.cached);
	}
}

void oracle_do_name_put(struct worker *w)
{
	uint32_t flags = (rnd(w, 2) ? MOB_NAME_REPLACE : 0) |
			 (rnd(w, 3) == 0 ? MOB_NAME_CACHED : 0);
	uint64_t i = rnd(w, NAMES);
	char name[ORACLE_NAME];
	struct oracle_name old;
	struct oracle_row r;
	uint64_t version = 0;
	uint64_t id;
	bool had;
	int rc;

	begin(w);
	id = any_object(w);
	if (oracle_name_get(&w->o, name_of(i, name), &old)) {
		look_evicted(w, old.id, false);
	}
	had = oracle_name_get(&w->o, name, &old);
	look_evicted(w, id, false);
	if (oracle_get(&w->o, id, &r)) {
		rc = mob_name_put(w->s, name, ref_of_id(w->s, id), flags,
				  &version);
		if (rc == MOB_E_BAD_REF) {
			expect_gone(w, id);
		} else if (rc == MOB_E_EXISTS) {
			if (!had || (flags & MOB_NAME_REPLACE) ||
			    old.id == id) {
				FAIL(w, "'%s' is taken", name);
			}
		} else {
			EXPECT(w, rc);
			note_name(w, i, id, flags, version, had ? &old : NULL);
		}
	}
	commit(w);
}

void oracle_do_name_get(struct worker *w)
{
	char name[ORACLE_NAME];
	struct oracle_name nm;
	uint64_t version;
	struct mob_ref ref;
	bool had;
	int rc;

	begin(w);
	(void)name_of(rnd(w, NAMES), name);
	rc = mob_name_get(w->s, name, &ref, &version);
	had = oracle_name_get(&w->o, name, &nm);
	if (rc == MOB_E_NOT_FOUND) {
		expect_no_name(w, name);
	} else {
		EXPECT(w, rc);
		if (!had || ref.lo != nm.id || version != nm.version) {
			FAIL(w, "'%s' names %#" PRIx64 " of version %" PRIu64,
			     name, ref.lo, version);
		}
		oracle_keep(&w->o, ref.lo, w->proc, w->s->me, 1, 0);
		keep(w, ref);
	}
	commit(w);
}

void oracle_do_name_remove(struct worker *w)
{
	uint64_t i = rnd(w, NAMES);
	char name[ORACLE_NAME];
	struct oracle_name nm;
	bool had;
	int rc;

	begin(w);
	rc = mob_name_remove(w->s, name_of(i, name));
	had = oracle_name_get(&w->o, name, &nm);
	if (rc == MOB_E_NOT_FOUND) {
		expect_no_name(w, name);
	} else {
		EXPECT(w, rc);
		/* A row may be there yet of what went with a kill. */
		if (!had && !w->o.evicted && !mobi_load(&w->sh->evicted)) {
			FAIL(w, "'%s' is removed, and was not there", name);
		}
		if (had) {
			oracle_name_del(&w->o, name);
		}
	}
	commit(w);
}

static void pin(struct worker *w, int by)
{
	struct oracle_row r = { 0 };
	uint64_t id;
	int rc;

	begin(w);
	id = any_object(w);
	if (id == NO_OBJECT) {
		commit(w);
		return;
	}
	look_evicted(w, id, false);
	rc = by > 0 ? mob_object_pin(w->s, ref_of_id(w->s, id)) :
		      mob_object_unpin(w->s, ref_of_id(w->s, id));
	if (rc == MOB_E_BAD_REF) {
		expect_gone(w, id);
	} else if (!oracle_get(&w->o, id, &r)) {
		FAIL(w, "pin of object %#" PRIx64 ", which is gone", id);
	} else if (rc == MOB_E_STATE) {
		if (by > 0 || r.pins) {
			FAIL(w, "it has %u pins: %s", r.pins,
			     mob_err_detail(rc));
		}
	} else {
		EXPECT(w, rc);
		if (by < 0 && !r.pins) {
			FAIL(w, "object %#" PRIx64 " had no pin", id);
		}
		oracle_pin(&w->o, id, by);
		look_evicted(w, id, r.cached);
	}
	commit(w);
}

void oracle_do_pin(struct worker *w)
{
	/* As many as are taken away, about. */
	if (rnd(w, 2)) {
		pin(w, 1);
	}
}

void oracle_do_unpin(struct worker *w)
{
	pin(w, -1);
}

void oracle_do_free(struct worker *w)
{
	struct oracle_row r;
	struct mob_ref ref;
	uint32_t i;
	int rc;

	if (!w->n_mine) {
		return;
	}
	i = (uint32_t)rnd(w, w->n_mine);
	ref = w->mine[i];
	forget(w, i);
	begin(w);
	look_evicted(w, ref.lo, false);
	rc = mob_object_free(w->s, ref);
	EXPECT(w, rc);
	oracle_free(&w->o, ref.lo, w->proc);
	/* The other way round, another is about to let it go. */
	if (rc == 0 && oracle_get(&w->o, ref.lo, &r)) {
		expect_gone(w, ref.lo);
	}
	commit(w);
}
