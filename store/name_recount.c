/* SPDX-License-Identifier: Apache-2.0 */
/* Names and pins after a death, and their audit. */
#include "name_rows.h"

#include "durable.h"
#include "err.h"
#include "fault.h"

#include <stdio.h>

/* Rows whose object is gone; and what has a row gets its bit. */
static int recount_rows(struct mob_store *s, MDB_txn *txn)
{
	const struct mobi_cat_env *e = s->cat->env;
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	int rc = mdb_cursor_open(txn, e->name, &cur);

	if (rc) {
		return rc;
	}
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct mobi_name_row row = { 0 };

		if (val.mv_size == sizeof(row)) {
			memcpy(&row, val.mv_data, sizeof(row));
		}
		if (!mobi_is_alive(s, mobi_name_id(&row))) {
			struct mobi_named_key k = mobi_named_key(
				mobi_name_id(&row), key.mv_data,
				key.mv_size < MOB_NAME_MAX ? key.mv_size :
							     MOB_NAME_MAX);
			MDB_val named = mobi_val(k.at, k.n);

			rc = mobi_durable_note_name(s, txn, key.mv_data,
						    key.mv_size);
			if (!rc) {
				rc = mdb_del(txn, e->named, &named, NULL);
			}
			if (!rc || rc == MDB_NOTFOUND) {
				rc = mdb_cursor_del(cur, 0);
			}
			if (rc) {
				break;
			}
		}
	}
	mdb_cursor_close(cur);
	if (rc != MDB_NOTFOUND) {
		return rc;
	}
	rc = mdb_cursor_open(txn, e->keep, &cur);
	if (rc) {
		return rc;
	}
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct mobi_keep_row row = { 0 };
		uint32_t slot = MOBI_SLOTS;
		uint64_t id;

		if (key.mv_size == sizeof(slot) && val.mv_size == sizeof(row)) {
			memcpy(&slot, key.mv_data, sizeof(slot));
			memcpy(&row, val.mv_data, sizeof(row));
		}
		id = (uint64_t)row.gen << 32 | slot;
		if (slot < mobi_pool_used(s, MOBI_POOL_SLOT) &&
		    mobi_slot_hold(s, id) >= 0) {
			mobi_keep_set(s, id);
			(void)mobi_slot_release(s, id);
			continue;
		}
		rc = mobi_durable_note_keep(s, txn, id);
		rc = rc ? rc : mdb_cursor_del(cur, 0);
		if (rc) {
			break;
		}
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Bits without a row. */
static int recount_bits(struct mob_store *s, MDB_txn *txn)
{
	uint32_t used = mobi_pool_used(s, MOBI_POOL_SLOT);

	for (uint32_t i = 0; i < used; i++) {
		struct mobi_slot *o = &s->slots[i];
		struct mobi_keep_row row;
		uint64_t id;
		int rc;

		if (!(mobi_load(&o->hold) & MOBI_KEPT)) {
			continue;
		}
		id = (uint64_t)MOBI_GEN(mobi_load(&o->word)) << 32 | i;
		rc = mobi_keep_read(txn, s->cat->env->keep, id, &row);
		if (rc) {
			return rc;
		}
		if (!row.names && !row.pins) {
			mobi_keep_clear(s, id);
			mobi_slot_look(s, i, MOBI_GEN(id));
		}
	}
	return 0;
}

int mobi_name_recount(struct mob_store *s)
{
	struct mobi_cat_shared *shared = s->cat_shared;
	MDB_txn *txn;
	int rc;

	if (!mobi_load(&shared->recount)) {
		return 0;
	}
	rc = mobi_cat_begin_write(s->cat, &txn);
	if (rc < 0) {
		return rc;
	}
	/* Cleared first: who dies from now on sets it again. A kill in here
	 * is a death, too. */
	mobi_store(&shared->recount, 0u);
	rc = recount_rows(s, txn);
	MOBI_FAULT("name.recount");
	rc = rc ? rc : recount_bits(s, txn);
	if (rc) {
		(void)mobi_cat_end_write(s->cat, txn, false);
	} else {
		rc = mobi_cat_end_write(s->cat, txn, true);
	}
	if (rc) {
		mobi_store(&shared->recount, 1u);
	}
	mobi_cat_leave(s->cat, rc);
	return rc ? mobi_cat_fail(rc, "counting names and pins") : 0;
}

/* ---- audit ---- */

struct audit {
	struct mob_store *s;
	void (*fn)(const char *line, void *arg);
	void *arg;
	int bad;
};

static void finding(struct audit *a, uint64_t id, const char *what)
{
	char line[160];

	a->bad++;
	if (a->fn) {
		(void)snprintf(line, sizeof(line),
			       "object %u of generation %u %s", (uint32_t)id,
			       MOBI_GEN(id), what);
		a->fn(line, a->arg);
	}
}

/* Each name has its object, and is among the names of that one. */
static int audit_names(struct audit *a, MDB_txn *txn, uint64_t *out_names)
{
	const struct mobi_cat_env *e = a->s->cat->env;
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	int rc = mdb_cursor_open(txn, e->name, &cur);

	*out_names = 0;
	if (rc) {
		return rc;
	}
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct mobi_name_row row = { 0 };
		struct mobi_named_key k;
		MDB_val named;

		if (key.mv_size > MOB_NAME_MAX || val.mv_size != sizeof(row)) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(&row, val.mv_data, sizeof(row));
		k = mobi_named_key(mobi_name_id(&row), key.mv_data,
				   key.mv_size);
		named = mobi_val(k.at, k.n);
		if (!mobi_is_alive(a->s, mobi_name_id(&row))) {
			finding(a, mobi_name_id(&row),
				"has a name, and is gone");
		}
		if (mdb_get(txn, e->named, &named, &val)) {
			finding(a, mobi_name_id(&row),
				"has a name that is not among its names");
		}
		++*out_names;
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Each row of counts has its bit. *out_names: the sum of names, *out_rows how
 * many rows there are. */
static int audit_keeps(struct audit *a, MDB_txn *txn, uint64_t *out_names,
		       uint64_t *out_rows)
{
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	int rc = mdb_cursor_open(txn, a->s->cat->env->keep, &cur);

	*out_names = *out_rows = 0;
	if (rc) {
		return rc;
	}
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct mobi_keep_row row = { 0 };
		uint32_t slot = 0;
		uint64_t id;

		if (key.mv_size != sizeof(slot) || val.mv_size != sizeof(row)) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(&slot, key.mv_data, sizeof(slot));
		memcpy(&row, val.mv_data, sizeof(row));
		id = (uint64_t)row.gen << 32 | slot;
		if (!mobi_is_alive(a->s, id) ||
		    !(mobi_load(&a->s->slots[slot].hold) & MOBI_KEPT)) {
			finding(a, id, "is named or pinned, and not kept");
		}
		*out_names += row.names;
		++*out_rows;
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static uint64_t count_bits(struct mob_store *s)
{
	uint32_t used = mobi_pool_used(s, MOBI_POOL_SLOT);
	uint64_t n = 0;

	for (uint32_t i = 0; i < used; i++) {
		n += mobi_load(&s->slots[i].hold) & MOBI_KEPT;
	}
	return n;
}

int mobi_name_check(struct mob_store *s, void (*fn)(const char *, void *),
		    void *arg)
{
	struct audit a = { s, fn, arg, 0 };
	uint64_t names = 0;
	uint64_t counted = 0;
	uint64_t rows = 0;
	uint64_t bits;
	MDB_txn *txn;
	int rc;

	if (!mobi_load(&s->cat_shared->has_names)) {
		return 0;
	}
	rc = mobi_name_recount(s);
	rc = rc < 0 ? rc : mobi_cat_begin(s->cat, MDB_RDONLY, &txn);
	if (rc < 0) {
		return rc;
	}
	rc = audit_names(&a, txn, &names);
	rc = rc ? rc : audit_keeps(&a, txn, &counted, &rows);
	mdb_txn_abort(txn);
	mobi_cat_leave(s->cat, rc);
	if (rc) {
		return mobi_cat_fail(rc, "checking names and pins");
	}
	bits = count_bits(s);
	if (names != counted || bits != rows) {
		char line[160];

		a.bad++;
		(void)snprintf(line, sizeof(line),
			       "%llu names, and counts of %llu; %llu objects "
			       "kept, and %llu rows",
			       (unsigned long long)names,
			       (unsigned long long)counted,
			       (unsigned long long)bits,
			       (unsigned long long)rows);
		if (fn) {
			fn(line, arg);
		}
	}
	return a.bad;
}
