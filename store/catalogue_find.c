/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching the catalogue. One index is walked, that of the condition which
 * leaves least as a rule; the rows that it names decide about the others. As in a
 * listing, no transaction is open while anybody is called.
 */
#include "catalogue_index.h"

#include "err.h"

#include <stdlib.h>
#include <string.h>

#define FIND_ROWS 1024u /* read at a time, and one chunk more */

struct find {
	struct mobi_catalogue *c;
	uint32_t epoch;
	const struct mob_object_query *q;
	enum mobi_index_kind kind;
	uint32_t value; /* where to go on */
	uint32_t chunk;
	uint32_t last; /* value */
	bool done;
	uint32_t n;
	struct mob_object_info found[FIND_ROWS + MOBI_SLOT_CHUNK];
};

static bool matches(const struct mob_object_query *q,
		    const struct mobi_cat_row *r)
{
	return (!q->states || (q->states & MOB_QUERY_STATE(r->state))) &&
	       (!q->creator || q->creator == r->creator) &&
	       r->size >= q->size_min && r->size <= q->size_max &&
	       r->born_ms >= q->born_min_ms && r->born_ms <= q->born_max_ms;
}

static int add_row(struct find *f, MDB_txn *txn, uint32_t slot)
{
	MDB_val key = { sizeof(slot), &slot };
	struct mobi_cat_row row;
	MDB_val val;
	int rc = mdb_get(txn, f->c->env->dbi, &key, &val);

	if (rc) {
		return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
	}
	if (val.mv_size != sizeof(row)) {
		return MDB_CORRUPTED;
	}
	memcpy(&row, val.mv_data, sizeof(row));
	if (matches(f->q, &row)) {
		mobi_cat_info(&row, f->epoch, slot, &f->found[f->n++]);
	}
	return 0;
}

/* The rows that one entry of the index names. */
static int add_entry(struct find *f, MDB_txn *txn, uint32_t chunk,
		     const MDB_val *val)
{
	uint64_t bits = 0;
	int rc = 0;

	if (val->mv_size != sizeof(bits)) {
		return MDB_CORRUPTED;
	}
	memcpy(&bits, val->mv_data, sizeof(bits));
	for (; bits && !rc; bits &= bits - 1) {
		rc = add_row(f, txn,
			     chunk * MOBI_SLOT_CHUNK +
				     (uint32_t)__builtin_ctzll(bits));
	}
	return rc;
}

/* Fills f->found from where it stands. Returns an error of ours. */
static int find_some(struct find *f)
{
	unsigned char at[MOBI_INDEX_KEY];
	MDB_val key = { sizeof(at), at };
	MDB_val val;
	MDB_txn *txn;
	MDB_cursor *cur;
	uint32_t value;
	uint32_t chunk;
	int rc = mobi_cat_begin(f->c, MDB_RDONLY, &txn);

	if (rc < 0) {
		return rc;
	}
	f->n = 0;
	mobi_index_key(at, f->kind, f->value, f->chunk);
	rc = mdb_cursor_open(txn, f->c->env->index, &cur);
	if (!rc) {
		rc = mdb_cursor_get(cur, &key, &val, MDB_SET_RANGE);
		while (!rc && f->n < FIND_ROWS) {
			if (!mobi_index_parse(&key, f->kind, &value, &chunk) ||
			    value > f->last) {
				rc = MDB_NOTFOUND;
				break;
			}
			rc = add_entry(f, txn, chunk, &val);
			f->value = value;
			f->chunk = chunk + 1;
			rc = rc ? rc :
				  mdb_cursor_get(cur, &key, &val, MDB_NEXT);
		}
		mdb_cursor_close(cur);
	}
	f->done = rc == MDB_NOTFOUND;
	rc = f->done ? 0 : rc;
	mdb_txn_abort(txn);
	mobi_cat_leave(f->c, rc);
	return rc ? mobi_cat_fail(rc, "searching") : 0;
}

/* Which index, and the range of its values. A few states are many objects, so
 * that comes last. */
static void choose(struct find *f)
{
	const struct mob_object_query *q = f->q;

	if (q->creator) {
		f->kind = MOBI_BY_CREATOR;
		f->value = f->last = q->creator;
	} else if (q->size_min > 0 || q->size_max < UINT64_MAX) {
		f->kind = MOBI_BY_SIZE;
		f->value = mobi_index_size(q->size_min);
		f->last = mobi_index_size(q->size_max);
	} else if (q->born_min_ms > 0 || q->born_max_ms < UINT64_MAX) {
		f->kind = MOBI_BY_AGE;
		f->value = q->born_min_ms < UINT32_MAX ?
				   (uint32_t)q->born_min_ms >> 10 :
				   UINT32_MAX >> 10;
		f->last = q->born_max_ms < UINT32_MAX ?
				  (uint32_t)q->born_max_ms >> 10 :
				  UINT32_MAX >> 10;
	} else {
		f->kind = MOBI_BY_STATE;
		f->value = q->states ? (uint32_t)__builtin_ctz(q->states) : 0;
		f->last = q->states ? 31u - (uint32_t)__builtin_clz(q->states) :
				      UINT32_MAX;
	}
}

int mobi_catalogue_find(struct mobi_catalogue *c, uint32_t epoch,
			const struct mob_object_query *q,
			int (*fn)(const struct mob_object_info *, void *),
			void *arg, uint64_t *out_lag_ms)
{
	struct find *f = malloc(sizeof(*f));
	uint64_t lag_ms = mobi_cat_lag_ms(c);
	int rc = 0;

	if (!f) {
		return mobi_err(MOB_E_NOMEM, "catalogue: search");
	}
	f->c = c;
	f->epoch = epoch;
	f->q = q;
	f->chunk = 0;
	f->n = 0;
	f->done = false;
	choose(f);
	while (!rc && !f->done) {
		rc = find_some(f);
		for (uint32_t i = 0; i < f->n && !rc; i++) {
			rc = fn(&f->found[i], arg);
		}
	}
	free(f);
	if (rc >= 0 && out_lag_ms) {
		*out_lag_ms = lag_ms;
	}
	return rc;
}
