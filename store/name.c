/* SPDX-License-Identifier: Apache-2.0 */
/* Names and pins. name.h says how they are kept. */
#include "name_rows.h"

#include "durable.h"
#include "err.h"
#include "fault.h"
#include "gone.h"

static int check_name(const char *call, const char *name, size_t *out_n)
{
	size_t n = strnlen(name, MOB_NAME_MAX + 1);
	bool ok = n >= 1 && n <= MOB_NAME_MAX;

	for (size_t i = 0; ok && i < n; i++) {
		ok = (unsigned char)name[i] >= 0x20 && name[i] != 0x7f;
	}
	if (!ok) {
		return mobi_err(MOB_E_INVAL,
				"%s: name is '%.80s'%s; 1 to %d bytes without "
				"control characters",
				call, n ? name : "",
				n > MOB_NAME_MAX ? "..." : "", MOB_NAME_MAX);
	}
	*out_n = n;
	return 0;
}

/* ---- one transaction ---- */

/* An object whose names or pins change; held by this process meanwhile. */
struct kept {
	uint64_t id;
	bool held;
	bool was; /* it had a row */
	bool is;  /* it will have one */
};

struct change {
	struct mob_store *s;
	MDB_txn *txn;
	struct kept kept[2];
	uint32_t n;
};

static int begin(struct change *g, struct mob_store *s)
{
	memset(g, 0, sizeof(*g));
	g->s = s;
	/* From now on the janitor asks for a recount. */
	mobi_store(&s->cat_shared->has_names, 1u);
	return mobi_cat_begin_write(s->cat, &g->txn);
}

/* All names of an object have changed for the copy. A code of LMDB. */
static int note_names(struct change *g, uint64_t id)
{
	struct mobi_named_key head = mobi_named_key(id, "", 0);
	MDB_val key = mobi_val(head.at, head.n);
	MDB_val val;
	MDB_cursor *cur;
	int rc = mdb_cursor_open(g->txn, g->s->cat->env->named, &cur);

	if (rc) {
		return rc;
	}
	rc = mdb_cursor_get(cur, &key, &val, MDB_SET_RANGE);
	while (!rc && key.mv_size > 8 && !memcmp(key.mv_data, head.at, 8)) {
		rc = mobi_durable_note_name(g->s, g->txn,
					    (const char *)key.mv_data + 8,
					    key.mv_size - 8);
		rc = rc ? rc : mdb_cursor_get(cur, &key, &val, MDB_NEXT);
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* What a name says of its object; without a name nothing is said. */
enum cached { STAYS, CACHED };

/* Adds to the counts of an object. Returns a code of LMDB. */
static int keep_add(struct change *g, uint64_t id, int names, int pins,
		    enum cached cached)
{
	MDB_dbi dbi = g->s->cat->env->keep;
	struct kept *k = &g->kept[g->n];
	uint32_t slot = (uint32_t)id;
	MDB_val key = mobi_val(&slot, sizeof(slot));
	struct mobi_keep_row row = { MOBI_GEN(id), 0, 0, 0 };
	struct mobi_keep_row row_before;
	bool was_cached;
	MDB_val val;
	int rc = mdb_get(g->txn, dbi, &key, &val);

	if (!rc && val.mv_size == sizeof(row)) {
		memcpy(&row, val.mv_data, sizeof(row));
	}
	if (rc && rc != MDB_NOTFOUND) {
		return rc;
	}
	k->id = id;
	k->was = !rc && row.gen == MOBI_GEN(id);
	if (!rc && !k->was) {
		/* Left by a kill; nothing else will say that it went. */
		rc = mobi_durable_note_keep(g->s, g->txn,
					    (uint64_t)row.gen << 32 | slot);
		if (rc) {
			return rc;
		}
	}
	if (!k->was) {
		row = (struct mobi_keep_row){ MOBI_GEN(id), 0, 0, 0 };
	}
	row_before = row;
	/* Counts that a kill left too low do not wrap. */
	row.names = names < 0 && !row.names ? 0 : row.names + (uint32_t)names;
	row.pins = pins < 0 && !row.pins ? 0 : row.pins + (uint32_t)pins;
	was_cached = k->was && mobi_is_cached(&row_before);
	k->is = row.names || row.pins;
	/* One that something keeps for good is never cached again. */
	if (names >= 0 && pins == 0) {
		row.cached = cached == CACHED && (row.cached || !k->was);
	}
	/* One that is gone needs no bit, only its rows go. */
	k->held = mobi_slot_hold(g->s, id) >= 0;
	g->n++;
	if (k->is) {
		rc = mobi_keep_row_put(g->s->cat->env, g->txn, id, &row);
	} else {
		rc = k->was ? mdb_del(g->txn, dbi, &key, NULL) : 0;
	}
	rc = rc ? rc : mobi_durable_note_keep(g->s, g->txn, id);
	if (!rc && k->was && mobi_is_durable(g->s) &&
	    was_cached != mobi_is_cached(&row)) {
		rc = note_names(g, id);
	}
	return rc;
}

static void end_holds(struct change *g)
{
	for (uint32_t i = 0; i < g->n; i++) {
		if (g->kept[i].held) {
			(void)mobi_slot_release(g->s, g->kept[i].id);
		}
	}
}

/* Before the commit: what is to be kept is. */
static void set_bits(struct change *g)
{
	for (uint32_t i = 0; i < g->n; i++) {
		if (g->kept[i].held && g->kept[i].is) {
			mobi_keep_set(g->s, g->kept[i].id);
		}
		MOBI_FAULT("name.bit");
	}
}

/* After it, and no other writer is at it yet: what is not kept, now or still. A
 * commit that failed may have come as far as the disk: the recount says. */
static void clear_bits(struct change *g, bool committed)
{
	for (uint32_t i = 0; i < g->n; i++) {
		const struct kept *k = &g->kept[i];

		if (k->held && (committed ? !k->is : !k->was)) {
			mobi_keep_clear(g->s, k->id);
		}
		MOBI_FAULT("name.clear");
	}
	if (!committed && g->n) {
		mobi_store(&g->s->cat_shared->recount, 1u);
	}
}

/* Ends the transaction; mdb_rc: what went wrong before, or 0. `what` names the
 * call. */
static int end(struct change *g, int mdb_rc, const char *what)
{
	int rc = mdb_rc;

	if (rc) {
		mdb_txn_abort(g->txn);
	} else {
		set_bits(g);
		rc = mdb_txn_commit(g->txn);
		MOBI_FAULT("name.commit");
		clear_bits(g, !rc);
	}
	mobi_cat_unlock_write(g->s->cat);
	MOBI_FAULT("name.end");
	end_holds(g);
	mobi_cat_leave(g->s->cat, rc);
	return rc ? mobi_cat_fail(rc, what) : 0;
}

/* Gives up without a change, with an error of ours. */
static int give_up(struct change *g, int rc)
{
	(void)mobi_cat_end_write(g->s->cat, g->txn, false);
	end_holds(g);
	mobi_cat_leave(g->s->cat, 0);
	return rc;
}

/* ---- names ---- */

static int name_find(MDB_txn *txn, MDB_dbi dbi, const char *name, size_t n,
		     struct mobi_name_row *out_row)
{
	MDB_val key = mobi_val(name, n);
	MDB_val val;
	int rc = mdb_get(txn, dbi, &key, &val);

	if (rc) {
		return rc;
	}
	if (val.mv_size != sizeof(*out_row)) {
		return MDB_CORRUPTED;
	}
	memcpy(out_row, val.mv_data, sizeof(*out_row));
	return out_row->slot < MOBI_SLOTS ? 0 : MDB_CORRUPTED;
}

/* Takes a name away from an object, in both directions but the counts. */
static int name_del(struct change *g, const char *name, size_t n, uint64_t id)
{
	const struct mobi_cat_env *e = g->s->cat->env;
	struct mobi_named_key k = mobi_named_key(id, name, n);
	MDB_val key = mobi_val(name, n);
	MDB_val named = mobi_val(k.at, k.n);
	int rc = mdb_del(g->txn, e->name, &key, NULL);

	if (!rc) {
		rc = mdb_del(g->txn, e->named, &named, NULL);
	}
	rc = rc == MDB_NOTFOUND ? 0 : rc;
	return rc ? rc : mobi_durable_note_name(g->s, g->txn, name, n);
}

int mobi_keep_row_put(const struct mobi_cat_env *e, MDB_txn *txn, uint64_t id,
		      const struct mobi_keep_row *row)
{
	uint32_t slot = (uint32_t)id;
	MDB_val key = mobi_val(&slot, sizeof(slot));
	MDB_val val = mobi_val(row, sizeof(*row));

	return mdb_put(txn, e->keep, &key, &val, 0);
}

int mobi_name_row_put(const struct mobi_cat_env *e, MDB_txn *txn,
		      const char *name, size_t n, uint64_t id, uint64_t version)
{
	struct mobi_name_row row = { MOBI_GEN(id), (uint32_t)id, version };
	struct mobi_named_key k = mobi_named_key(id, name, n);
	MDB_val key = mobi_val(name, n);
	MDB_val val = mobi_val(&row, sizeof(row));
	MDB_val named = mobi_val(k.at, k.n);
	MDB_val none = mobi_val("", 0);
	int rc = mdb_put(txn, e->name, &key, &val, 0);

	return rc ? rc : mdb_put(txn, e->named, &named, &none, 0);
}

static uint64_t version_of(const struct change *g)
{
	return g->s->hdr->version_base + mdb_txn_id(g->txn);
}

static int name_add(struct change *g, const char *name, size_t n, uint64_t id)
{
	int rc = mobi_name_row_put(g->s->cat->env, g->txn, name, n, id,
				   version_of(g));

	return rc ? rc : mobi_durable_note_name(g->s, g->txn, name, n);
}

static int check_flags(uint32_t flags)
{
	return flags & ~(MOB_NAME_REPLACE | MOB_NAME_CACHED) ?
		       mobi_err(MOB_E_INVAL,
				"mob_name_put: flags are %#x; of "
				"MOB_NAME_REPLACE and MOB_NAME_CACHED",
				flags) :
		       0;
}

int mob_name_put(struct mob_store *store, const char *name, struct mob_ref ref,
		 uint32_t flags, uint64_t *out_version)
{
	enum cached cached = flags & MOB_NAME_CACHED ? CACHED : STAYS;
	struct mobi_name_row old = { 0 };
	struct change g;
	uint64_t version;
	uint64_t id;
	size_t n;
	int found;
	int rc;

	MOBI_ENTER(store);
	rc = check_name("mob_name_put", name, &n);
	rc = rc < 0 ? rc : check_flags(flags);
	if (rc >= 0) {
		rc = mobi_slot_of(store, ref, &id);
	}
	if (rc >= 0) {
		rc = mobi_name_recount(store);
	}
	if (rc >= 0) {
		rc = mobi_slot_hold(store, id);
	}
	if (rc < 0) {
		return rc;
	}
	rc = begin(&g, store);
	if (rc < 0) {
		(void)mobi_slot_release(store, id);
		return rc;
	}
	if (cached == CACHED) {
		mobi_store(&store->cat_shared->has_cached, 1u);
		/* Before the commit: it is looked at then, at the least. */
		(void)mobi_fetch_or(&store->slots[(uint32_t)id].creator,
				    MOBI_CREATOR_CACHED);
	}
	version = version_of(&g);
	found = name_find(g.txn, store->cat->env->name, name, n, &old);
	if (!found && mobi_name_id(&old) == id) {
		version = old.version;
		/* It has it already: what is new is that it stays. */
		rc = cached == CACHED ? give_up(&g, 0) :
					end(&g, keep_add(&g, id, 0, 0, STAYS),
					    "mob_name_put");
	} else if (!found && !(flags & MOB_NAME_REPLACE) &&
		   mobi_is_alive(store, mobi_name_id(&old))) {
		rc = give_up(&g, mobi_err(MOB_E_EXISTS,
					  "mob_name_put: '%s' names object %u "
					  "already; remove it first, or use "
					  "MOB_NAME_REPLACE",
					  name, old.slot));
	} else {
		int mdb_rc = found == MDB_NOTFOUND ? 0 : found;

		if (!found) {
			mdb_rc = name_del(&g, name, n, mobi_name_id(&old));
			mdb_rc = mdb_rc ? mdb_rc :
					  keep_add(&g, mobi_name_id(&old), -1,
						   0, STAYS);
		}
		mdb_rc = mdb_rc ? mdb_rc : name_add(&g, name, n, id);
		mdb_rc = mdb_rc ? mdb_rc : keep_add(&g, id, 1, 0, cached);
		rc = end(&g, mdb_rc, "mob_name_put");
	}
	(void)mobi_slot_release(store, id);
	if (rc >= 0 && out_version) {
		*out_version = version;
	}
	return rc;
}

static int no_name(const char *call, const char *name)
{
	return mobi_err(MOB_E_NOT_FOUND, "%s: no object is named '%s'", call,
			name);
}

/* The row of a name now. Returns an error of ours. */
static int name_read(struct mob_store *s, const char *call, const char *name,
		     size_t n, struct mobi_name_row *out_row)
{
	MDB_txn *txn;
	int rc = mobi_cat_begin(s->cat, MDB_RDONLY, &txn);

	if (rc < 0) {
		return rc;
	}
	rc = name_find(txn, s->cat->env->name, name, n, out_row);
	mdb_txn_abort(txn);
	mobi_cat_leave(s->cat, rc);
	if (rc == MDB_NOTFOUND) {
		return no_name(call, name);
	}
	return rc ? mobi_cat_fail(rc, call) : 0;
}

int mob_name_get(struct mob_store *store, const char *name,
		 struct mob_ref *out_ref, uint64_t *out_version)
{
	struct mobi_name_row row = { 0 };
	uint64_t before = 0;
	size_t n;
	int rc;

	MOBI_ENTER(store);
	rc = check_name("mob_name_get", name, &n);
	while (rc >= 0) {
		rc = name_read(store, "mob_name_get", name, n, &row);
		if (rc < 0) {
			break;
		}
		if (mobi_slot_hold(store, mobi_name_id(&row)) >= 0) {
			*out_ref = mobi_ref_of(store, mobi_name_id(&row));
			if (out_version) {
				*out_version = row.version;
			}
			return 0;
		}
		/* Replaced since it was read: again. The same row: its object
		 * went with a kill, and the row goes at the next recount. */
		if (row.version == before) {
			return no_name("mob_name_get", name);
		}
		before = row.version;
	}
	return rc;
}

int mob_name_remove(struct mob_store *store, const char *name)
{
	struct mobi_name_row row = { 0 };
	struct change g;
	size_t n;
	int mdb_rc;
	int rc;

	MOBI_ENTER(store);
	rc = check_name("mob_name_remove", name, &n);
	if (rc >= 0) {
		rc = mobi_name_recount(store);
	}
	if (rc >= 0) {
		rc = begin(&g, store);
	}
	if (rc < 0) {
		return rc;
	}
	mdb_rc = name_find(g.txn, store->cat->env->name, name, n, &row);
	if (mdb_rc == MDB_NOTFOUND) {
		return give_up(&g, no_name("mob_name_remove", name));
	}
	if (!mdb_rc) {
		mdb_rc = name_del(&g, name, n, mobi_name_id(&row));
	}
	if (!mdb_rc) {
		mdb_rc = keep_add(&g, mobi_name_id(&row), -1, 0, STAYS);
	}
	return end(&g, mdb_rc, "mob_name_remove");
}

/* ---- pins ---- */

static int pin(struct mob_store *s, struct mob_ref ref, int by,
	       const char *call)
{
	struct mobi_keep_row row;
	struct change g;
	uint64_t id;
	int mdb_rc;
	int rc;

	MOBI_ENTER(s);
	rc = mobi_slot_of(s, ref, &id);
	if (rc >= 0) {
		rc = mobi_name_recount(s);
	}
	if (rc >= 0) {
		rc = mobi_slot_hold(s, id);
	}
	if (rc < 0) {
		return rc;
	}
	rc = begin(&g, s);
	if (rc < 0) {
		(void)mobi_slot_release(s, id);
		return rc;
	}
	mdb_rc = mobi_keep_read(g.txn, s->cat->env->keep, id, &row);
	if (!mdb_rc && by < 0 && !row.pins) {
		rc = give_up(&g,
			     mobi_err(MOB_E_STATE, "%s: object %u has no pin",
				      call, (uint32_t)id));
	} else {
		mdb_rc = mdb_rc ? mdb_rc : keep_add(&g, id, 0, by, STAYS);
		rc = end(&g, mdb_rc, call);
	}
	(void)mobi_slot_release(s, id);
	return rc;
}

int mob_object_pin(struct mob_store *store, struct mob_ref ref)
{
	return pin(store, ref, 1, "mob_object_pin");
}

int mob_object_unpin(struct mob_store *store, struct mob_ref ref)
{
	return pin(store, ref, -1, "mob_object_unpin");
}

/* ---- freeing by hand ---- */

/* Takes all names of an object away. Returns a code of LMDB. */
static int names_del_all(struct change *g, uint64_t id)
{
	const struct mobi_cat_env *e = g->s->cat->env;
	struct mobi_named_key head = mobi_named_key(id, "", 0);
	int rc = 0;

	for (;;) {
		char name[MOB_NAME_MAX];
		MDB_val key = mobi_val(head.at, head.n);
		MDB_val val;
		MDB_cursor *cur;
		size_t n;

		rc = mdb_cursor_open(g->txn, e->named, &cur);
		if (rc) {
			return rc;
		}
		rc = mdb_cursor_get(cur, &key, &val, MDB_SET_RANGE);
		if (rc || key.mv_size < 8 || key.mv_size > 8 + sizeof(name) ||
		    memcmp(key.mv_data, head.at, 8) != 0) {
			mdb_cursor_close(cur);
			return rc == MDB_NOTFOUND ? 0 : rc;
		}
		n = key.mv_size - 8;
		memcpy(name, (const char *)key.mv_data + 8, n);
		mdb_cursor_close(cur);
		rc = name_del(g, name, n, id);
		if (rc) {
			return rc;
		}
	}
}

/* What needs the object yet: processes, and edges. */
static int needed_by(const struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t bits = mobi_load(&o->hold) | mobi_load(&o->view);
	uint32_t linked = mobi_load(&o->n_edges);
	uint32_t dead = mobi_load(&o->n_dead);
	uint64_t w = mobi_load(&o->word);
	int n = __builtin_popcountll(bits);

	/* Its value went with the last hold: weak edges keep the row alone. */
	if (!mobi_is_alive(s, id) ||
	    (!n && ((w & MOBI_F_GONE) ||
		    (MOBI_STATE(w) == MOBI_S_LOST &&
		     mobi_load(&o->type) == MOBI_TYPE_WHY_PUT)))) {
		return 0;
	}
	n += (int)(linked > dead ? linked - dead : 0);
	return n ? n : 1;
}

int mob_object_free(struct mob_store *store, struct mob_ref ref)
{
	struct mobi_keep_row row = { 0 };
	struct change g;
	uint64_t id;
	int mdb_rc;
	int rc;

	MOBI_ENTER(store);
	rc = mobi_slot_of(store, ref, &id);
	if (rc >= 0 && !mobi_is_alive(store, id)) {
		rc = mobi_err(MOB_E_BAD_REF,
			      "mob_object_free: object %u is "
			      "gone",
			      (uint32_t)id);
	}
	if (rc >= 0 && !mobi_slot_holds(store, (uint32_t)id)) {
		rc = mobi_err(MOB_E_BAD_REF,
			      "mob_object_free: this process has no hold of "
			      "object %u; take one with mob_object_hold first",
			      (uint32_t)id);
	}
	if (rc >= 0 &&
	    (mobi_load(&store->slots[(uint32_t)id].hold) & MOBI_KEPT)) {
		rc = begin(&g, store);
		if (rc >= 0) {
			mdb_rc = mobi_keep_read(g.txn, store->cat->env->keep,
						id, &row);
			mdb_rc = mdb_rc ? mdb_rc : names_del_all(&g, id);
			mdb_rc = mdb_rc ? mdb_rc :
					  keep_add(&g, id, -(int)row.names,
						   -(int)row.pins, STAYS);
			rc = end(&g, mdb_rc, "mob_object_free");
		}
	}
	if (rc < 0) {
		return rc;
	}
	rc = mobi_slot_release(store, id);
	if (rc < 0) {
		return rc; /* another thread had released the caller's hold */
	}
	return needed_by(store, id);
}

int mobi_name_drop_cached(struct mob_store *s, uint64_t id)
{
	struct mobi_keep_row row = { 0 };
	struct change g;
	int mdb_rc;
	int rc = mobi_slot_hold(s, id);

	if (rc < 0) {
		return 0; /* it is gone */
	}
	rc = begin(&g, s);
	if (rc < 0) {
		(void)mobi_slot_release(s, id);
		return rc;
	}
	mdb_rc = mobi_keep_read(g.txn, s->cat->env->keep, id, &row);
	if (!mdb_rc && !mobi_is_cached(&row)) {
		/* Not again, until it gets a cached name, which waits for this. */
		(void)mobi_fetch_and(&s->slots[(uint32_t)id].creator,
				     ~MOBI_CREATOR_CACHED);
		rc = give_up(&g, 0);
	} else {
		mdb_rc = mdb_rc ? mdb_rc : names_del_all(&g, id);
		mdb_rc = mdb_rc ? mdb_rc :
				  keep_add(&g, id, -(int)row.names, 0, STAYS);
		rc = end(&g, mdb_rc, "evicting");
		rc = rc < 0 ? rc : 1;
	}
	/* Its last hold, unless somebody has come for it meanwhile. */
	(void)mobi_slot_release(s, id);
	return rc;
}
