/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readers of the catalogue. A read transaction is over before anybody is
 * called back: one that stays open keeps every page written since, and the
 * file grows without bound.
 */
#include "catalogue_index.h"

#include "err.h"
#include "fault.h"
#include "pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_ROWS 1024u /* read at a time */

void mobi_cat_info(const struct mobi_cat_row *r, uint32_t epoch, uint32_t slot,
		   struct mob_object_info *out_info)
{
	_Static_assert((int)MOBI_S_SEALED == (int)MOB_OBJECT_SEALED &&
			       (int)MOBI_S_LOST == (int)MOB_OBJECT_LOST,
		       "states are the same numbers");

	*out_info = (struct mob_object_info){
		.ref = { .hi = (uint64_t)epoch << 32,
			 .lo = (uint64_t)r->gen << 32 | slot },
		.size = r->size,
		.born_ms = r->born_ms,
		.type = r->type,
		.state = r->state,
		.creator = r->creator,
	};
}

/* Copies rows from slot `from` on. Returns how many, or an error of ours. */
static int list_some(struct mobi_catalogue *c, uint32_t epoch, uint32_t from,
		     struct mob_object_info *out_infos)
{
	MDB_val key = { sizeof(from), &from };
	MDB_val val;
	MDB_txn *txn;
	MDB_cursor *cur;
	uint32_t n = 0;
	int rc = mobi_cat_begin(c, MDB_RDONLY, &txn);

	if (rc < 0) {
		return rc;
	}
	rc = mdb_cursor_open(txn, c->env->dbi, &cur);
	if (!rc) {
		MOBI_FAULT("catalogue.read");
		rc = mdb_cursor_get(cur, &key, &val, MDB_SET_RANGE);
		while (!rc && n < LIST_ROWS) {
			struct mobi_cat_row row;
			uint32_t slot;

			if (val.mv_size != sizeof(row)) {
				rc = MDB_CORRUPTED;
				break;
			}
			memcpy(&slot, key.mv_data, sizeof(slot));
			memcpy(&row, val.mv_data, sizeof(row));
			mobi_cat_info(&row, epoch, slot, &out_infos[n++]);
			rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT);
		}
		mdb_cursor_close(cur);
	}
	mdb_txn_abort(txn);
	mobi_cat_leave(c, rc);
	return rc && rc != MDB_NOTFOUND ? mobi_cat_fail(rc, "reading") : (int)n;
}

int mobi_catalogue_list(struct mobi_catalogue *c, uint32_t epoch,
			int (*fn)(const struct mob_object_info *, void *),
			void *arg, uint64_t *out_lag_ms)
{
	struct mob_object_info *infos = calloc(LIST_ROWS, sizeof(*infos));
	uint64_t lag_ms = mobi_cat_lag_ms(c);
	uint32_t from = 0;
	int n = 0;
	int rc = 0;

	if (!infos) {
		return mobi_err(MOB_E_NOMEM, "catalogue: list");
	}
	do {
		n = list_some(c, epoch, from, infos);
		for (int i = 0; i < n && !rc; i++) {
			rc = fn(&infos[i], arg);
		}
		if (n > 0) {
			from = (uint32_t)infos[n - 1].ref.lo + 1;
		}
	} while (!rc && n == (int)LIST_ROWS);
	free(infos);
	if (n < 0) {
		return n;
	}
	if (out_lag_ms) {
		*out_lag_ms = lag_ms;
	}
	return rc;
}

int mobi_catalogue_rows(struct mobi_catalogue *c, uint64_t *out_rows)
{
	MDB_stat st;
	MDB_txn *txn;
	int rc = mobi_cat_begin(c, MDB_RDONLY, &txn);

	if (rc < 0) {
		return rc;
	}
	rc = mdb_stat(txn, c->env->dbi, &st);
	mdb_txn_abort(txn);
	mobi_cat_leave(c, rc);
	if (rc) {
		return mobi_cat_fail(rc, "counting");
	}
	*out_rows = st.ms_entries;
	return 0;
}

/* ---- check ---- */

struct check {
	struct mobi_catalogue *c;
	void (*fn)(const char *, void *);
	void *arg;
	uint32_t used_slots;
	int found;
};

static void finding(struct check *k, uint32_t n, const char *what)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "catalogue: %u: %s", n, what);
	if (k->fn) {
		k->fn(line, k->arg);
	}
	k->found++;
}

static void check_slot(struct check *k, uint32_t slot,
		       const struct mobi_cat_row *row)
{
	struct mobi_cat_row want;
	uint64_t w = 0;

	if (slot < k->used_slots) {
		w = mobi_load(&k->c->slots[slot].word);
	}
	if (row && !mobi_resolved(w)) {
		finding(k, slot, "slot has a row but no resolved object");
	} else if (!row && mobi_resolved(w)) {
		finding(k, slot, "slot has a resolved object but no row");
	} else if (row) {
		mobi_cat_row_of(&k->c->slots[slot], w, &want);
		if (memcmp(row, &want, sizeof(want))) {
			finding(k, slot, "slot and its row differ");
		}
	}
	if (row && !mobi_load(&k->c->shared->indexed[slot])) {
		finding(k, slot, "slot has a row but no mark");
	}
}

/* A chunk whose bit no drain would find. */
static void check_bits(struct check *k, uint32_t chunk)
{
	struct mobi_cat_shared *s = k->c->shared;
	uint32_t leaf = chunk / 64;
	uint32_t mid = leaf / 64;

	if ((mobi_load(&s->leaf[leaf]) & MOBI_BIT(chunk % 64)) &&
	    (!(mobi_load(&s->mid[mid]) & MOBI_BIT(leaf % 64)) ||
	     !(mobi_load(&s->root) & MOBI_BIT(mid)))) {
		finding(k, chunk, "chunk is dirty and its upper bits are not");
	}
}

/* Is the chunk still to be written, or was it to be by a writer that did not
 * commit? Its rows may be anything. */
static bool is_due(const struct mobi_catalogue *c, MDB_txn *txn, uint32_t chunk)
{
	uint64_t doing = mobi_load(&c->shared->doing);
	bool undone = doing &&
		      (uint32_t)(doing >> 32) > (uint32_t)mdb_txn_id(txn);

	return (mobi_load(&c->shared->leaf[chunk / 64]) &
		MOBI_BIT(chunk % 64)) ||
	       (undone && chunk >= (doing >> 16 & 0xffff) &&
		chunk <= (doing & 0xffff));
}

static int check_chunk(struct check *k, uint32_t chunk)
{
	struct mobi_cat_row rows[MOBI_SLOT_CHUNK];
	uint64_t have = 0;
	MDB_txn *txn;
	MDB_cursor *cur;
	bool due;
	int rc = mobi_cat_begin(k->c, MDB_RDONLY, &txn);

	if (rc < 0) {
		return rc;
	}
	due = is_due(k->c, txn, chunk);
	rc = mdb_cursor_open(txn, k->c->env->dbi, &cur);
	if (!rc) {
		rc = mobi_cat_read_rows(cur, chunk, rows, &have);
		mdb_cursor_close(cur);
	}
	mdb_txn_abort(txn);
	mobi_cat_leave(k->c, rc);
	if (rc) {
		return mobi_cat_fail(rc, "checking");
	}
	for (uint32_t i = 0; i < MOBI_SLOT_CHUNK && !due; i++) {
		check_slot(k, chunk * MOBI_SLOT_CHUNK + i,
			   have & MOBI_BIT(i) ? &rows[i] : NULL);
	}
	return 0;
}
static int beyond(const struct mob_object_info *info, void *arg)
{
	struct check *k = arg;

	if ((uint32_t)info->ref.lo / MOBI_SLOT_CHUNK * MOBI_SLOT_CHUNK >=
	    k->used_slots) {
		finding(k, (uint32_t)info->ref.lo,
			"slot has a row but was never used");
	}
	return 0;
}

#define PAGES_TRIES 8

/* Pages before rows: a wrong one would end the process. Those that writers do not
 * leave alone for so long are not looked at. */
static int check_pages(struct mobi_catalogue *c)
{
	int rc = MOB_E_AGAIN;

	for (int i = 0; i < PAGES_TRIES && rc == MOB_E_AGAIN; i++) {
		MDB_txn *txn;
		int fd = -1;
		int mdb_rc;

		rc = mobi_cat_begin(c, MDB_RDONLY, &txn);
		if (rc < 0) {
			return rc;
		}
		mdb_rc = mdb_env_get_fd(c->env->mdb, &fd);
		rc = mdb_rc ? mobi_cat_fail(mdb_rc, "checking") :
			      mobi_pages_check(fd, mdb_txn_id(txn), true,
					       "catalogue");
		mdb_txn_abort(txn);
		mobi_cat_leave(c, 0);
	}
	return rc == MOB_E_AGAIN ? 0 : rc;
}

int mobi_catalogue_check(struct mobi_catalogue *c, uint32_t used_slots,
			 void (*fn)(const char *, void *), void *arg)
{
	struct check k = {
		.c = c, .fn = fn, .arg = arg, .used_slots = used_slots
	};
	int rc = check_pages(c);

	for (uint32_t n = 0; n * MOBI_SLOT_CHUNK < used_slots && !rc; n++) {
		check_bits(&k, n);
		rc = check_chunk(&k, n);
	}
	if (!rc) {
		rc = mobi_catalogue_list(c, 0, beyond, &k, NULL);
	}
	if (!rc) {
		rc = mobi_index_check(c, fn, arg);
		k.found += rc > 0 ? rc : 0;
	}
	return rc < 0 ? rc : k.found;
}
