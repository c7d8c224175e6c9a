/* SPDX-License-Identifier: Apache-2.0 */
/* Bitmap indexes of the catalogue. */
#include "catalogue_index.h"

#include "err.h"

#include <stdio.h>
#include <string.h>

uint32_t mobi_index_size(uint64_t size)
{
	uint32_t log;

	if (size < 4) {
		return (uint32_t)size;
	}
	log = 63u - (uint32_t)__builtin_clzll(size);
	return 4 * (log - 1) + ((uint32_t)(size >> (log - 2)) & 3u);
}

/* The value of a row in an index. */
static uint32_t value_of(enum mobi_index_kind kind,
			 const struct mobi_cat_row *row)
{
	switch (kind) {
	case MOBI_BY_CREATOR:
		return row->creator;
	case MOBI_BY_STATE:
		return row->state;
	case MOBI_BY_SIZE:
		return mobi_index_size(row->size);
	default:
		return row->born_ms >> 10;
	}
}

static void put32(unsigned char *to, uint32_t v)
{
	for (int i = 0; i < 4; i++) {
		to[i] = (unsigned char)(v >> (24 - 8 * i));
	}
}

static uint32_t get32(const unsigned char *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
	       (uint32_t)at[2] << 8 | at[3];
}

void mobi_index_key(unsigned char out[MOBI_INDEX_KEY],
		    enum mobi_index_kind kind, uint32_t value, uint32_t chunk)
{
	out[0] = (unsigned char)kind;
	put32(out + 1, value);
	put32(out + 5, chunk);
}

bool mobi_index_parse(const MDB_val *key, enum mobi_index_kind kind,
		      uint32_t *out_value, uint32_t *out_chunk)
{
	const unsigned char *at = key->mv_data;

	if (key->mv_size != MOBI_INDEX_KEY || at[0] != (unsigned char)kind) {
		return false;
	}
	*out_value = get32(at + 1);
	*out_chunk = get32(at + 5);
	return *out_chunk < MOBI_CAT_CHUNKS;
}

/* ---- changing ---- */

static void note(struct mobi_index_change *x, int k, uint32_t value,
		 uint64_t set, uint64_t clear)
{
	uint32_t n = x->n[k];

	/* The last one is the likeliest. */
	for (uint32_t i = n; i-- > 0;) {
		if (x->e[k][i].value == value) {
			x->e[k][i].set |= set;
			x->e[k][i].clear |= clear;
			return;
		}
	}
	x->e[k][n].value = value;
	x->e[k][n].set = set;
	x->e[k][n].clear = clear;
	x->n[k]++;
}

void mobi_index_note(struct mobi_index_change *x, uint32_t i,
		     const struct mobi_cat_row *old,
		     const struct mobi_cat_row *now)
{
	for (int k = 0; k < MOBI_INDEXES; k++) {
		enum mobi_index_kind kind = (enum mobi_index_kind)(k + 1);
		uint32_t was = old ? value_of(kind, old) : 0;
		uint32_t is = now ? value_of(kind, now) : 0;

		if (old && now && was == is) {
			continue;
		}
		if (old) {
			note(x, k, was, 0, MOBI_BIT(i));
		}
		if (now) {
			note(x, k, is, MOBI_BIT(i), 0);
		}
	}
}

int mobi_index_write(const struct mobi_index_change *x, MDB_txn *txn,
		     MDB_dbi dbi, uint32_t chunk)
{
	int rc = 0;

	for (int k = 0; k < MOBI_INDEXES; k++) {
		for (uint32_t i = 0; i < x->n[k] && !rc; i++) {
			unsigned char at[MOBI_INDEX_KEY];
			MDB_val key = { sizeof(at), at };
			uint64_t bits = 0;
			uint64_t had;
			MDB_val val;

			mobi_index_key(at, (enum mobi_index_kind)(k + 1),
				       x->e[k][i].value, chunk);
			rc = mdb_get(txn, dbi, &key, &val);
			if (!rc && val.mv_size == sizeof(bits)) {
				memcpy(&bits, val.mv_data, sizeof(bits));
			}
			if (rc && rc != MDB_NOTFOUND) {
				return rc;
			}
			had = rc ? 0 : bits;
			bits = (bits & ~x->e[k][i].clear) | x->e[k][i].set;
			val.mv_size = sizeof(bits);
			val.mv_data = &bits;
			if (bits == had && !rc) {
				continue;
			}
			if (bits) {
				rc = mdb_put(txn, dbi, &key, &val, 0);
			} else {
				rc = rc ? 0 : mdb_del(txn, dbi, &key, NULL);
			}
		}
	}
	return rc;
}

/* ---- check ---- */

struct check {
	MDB_txn *txn;
	const struct mobi_cat_env *env;
	uint64_t rows;
	uint64_t lacking;
	uint64_t bits;
};

static bool has_bit(const struct check *k, enum mobi_index_kind kind,
		    const struct mobi_cat_row *row, uint32_t slot)
{
	unsigned char at[MOBI_INDEX_KEY];
	MDB_val key = { sizeof(at), at };
	uint64_t bits = 0;
	MDB_val val;

	mobi_index_key(at, kind, value_of(kind, row), slot / MOBI_SLOT_CHUNK);
	if (mdb_get(k->txn, k->env->index, &key, &val) ||
	    val.mv_size != sizeof(bits)) {
		return false;
	}
	memcpy(&bits, val.mv_data, sizeof(bits));
	return bits & MOBI_BIT(slot % MOBI_SLOT_CHUNK);
}

static int check_rows(struct check *k)
{
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	int rc = mdb_cursor_open(k->txn, k->env->dbi, &cur);

	if (rc) {
		return rc;
	}
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct mobi_cat_row row;
		uint32_t slot;

		if (key.mv_size != sizeof(slot) || val.mv_size != sizeof(row)) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(&slot, key.mv_data, sizeof(slot));
		memcpy(&row, val.mv_data, sizeof(row));
		k->rows++;
		for (int i = 1; i <= MOBI_INDEXES; i++) {
			k->lacking += !has_bit(k, (enum mobi_index_kind)i, &row,
					       slot);
		}
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int check_bits(struct check *k)
{
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	int rc = mdb_cursor_open(k->txn, k->env->index, &cur);

	if (rc) {
		return rc;
	}
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		uint64_t bits = 0;

		if (key.mv_size != MOBI_INDEX_KEY ||
		    val.mv_size != sizeof(bits)) {
			rc = MDB_CORRUPTED;
			break;
		}
		memcpy(&bits, val.mv_data, sizeof(bits));
		k->bits += (uint64_t)__builtin_popcountll(bits);
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int mobi_index_check(struct mobi_catalogue *c, void (*fn)(const char *, void *),
		     void *arg)
{
	struct check k = { .env = c->env };
	char line[160];
	int rc = mobi_cat_begin(c, MDB_RDONLY, &k.txn);

	if (rc < 0) {
		return rc;
	}
	rc = check_rows(&k);
	rc = rc ? rc : check_bits(&k);
	mdb_txn_abort(k.txn);
	mobi_cat_leave(c, rc);
	if (rc) {
		return mobi_cat_fail(rc, "checking indexes");
	}
	if (!k.lacking && k.bits == k.rows * MOBI_INDEXES) {
		return 0;
	}
	(void)snprintf(line, sizeof(line),
		       "catalogue: indexes: %llu rows with %llu entries "
		       "lacking; %llu entries in all",
		       (unsigned long long)k.rows,
		       (unsigned long long)k.lacking,
		       (unsigned long long)k.bits);
	if (fn) {
		fn(line, arg);
	}
	return 1;
}
