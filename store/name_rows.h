/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of names and pins, for name.c and name_*.c. */
#ifndef MOBI_NAME_ROWS_H
#define MOBI_NAME_ROWS_H

#include "catalogue_env.h"
#include "name.h"
#include "pool.h"
#include "slot.h"

#include <string.h>

struct mobi_name_row {
	uint32_t gen;
	uint32_t slot;
	uint64_t version;
};
MOBI_SIZE(struct mobi_name_row, 16);

struct mobi_keep_row {
	uint32_t gen;
	uint32_t names;
	uint32_t pins;
	uint32_t cached; /* 1: its names go when room is needed */
};
MOBI_SIZE(struct mobi_keep_row, 16);

/* Key of `named`: numbers from the high byte on, so that the names of one object
 * are together. */
struct mobi_named_key {
	unsigned char at[8 + MOB_NAME_MAX];
	size_t n;
};

static inline struct mobi_named_key mobi_named_key(uint64_t id,
						   const char *name, size_t n)
{
	struct mobi_named_key k = { .n = 8 + n };
	uint64_t v = id << 32 | id >> 32; /* the slot, then the generation */

	for (int i = 0; i < 8; i++) {
		k.at[i] = (unsigned char)(v >> (56 - 8 * i));
	}
	if (n) {
		memcpy(k.at + 8, name, n);
	}
	return k;
}

static inline MDB_val mobi_val(const void *at, size_t n)
{
	MDB_val v = { .mv_size = n };

	memcpy(&v.mv_data, &at, sizeof(at));
	return v;
}

static inline uint64_t mobi_name_id(const struct mobi_name_row *row)
{
	return (uint64_t)row->gen << 32 | row->slot;
}

/* Both directions of a name, but for the counts; codes of LMDB. */
int mobi_name_row_put(const struct mobi_cat_env *e, MDB_txn *txn,
		      const char *name, size_t n, uint64_t id,
		      uint64_t version);
/* What keeps an object; row->gen is of id. */
int mobi_keep_row_put(const struct mobi_cat_env *e, MDB_txn *txn, uint64_t id,
		      const struct mobi_keep_row *row);

static inline bool mobi_is_alive(const struct mob_store *s, uint64_t id)
{
	uint64_t w;

	if ((uint32_t)id >= mobi_pool_used(s, MOBI_POOL_SLOT)) {
		return false;
	}
	w = mobi_load(&s->slots[(uint32_t)id].word);
	return MOBI_GEN(w) == MOBI_GEN(id) && mobi_living(w);
}

static inline int mobi_keep_read(MDB_txn *txn, MDB_dbi dbi, uint64_t id,
				 struct mobi_keep_row *out_row)
{
	uint32_t slot = (uint32_t)id;
	MDB_val key = mobi_val(&slot, sizeof(slot));
	MDB_val val;
	int rc = mdb_get(txn, dbi, &key, &val);

	memset(out_row, 0, sizeof(*out_row));
	if (!rc && val.mv_size == sizeof(*out_row)) {
		memcpy(out_row, val.mv_data, sizeof(*out_row));
	}
	if (out_row->gen != MOBI_GEN(id)) {
		memset(out_row, 0, sizeof(*out_row));
	}
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* May it go when room is needed? */
static inline bool mobi_is_cached(const struct mobi_keep_row *row)
{
	return row->cached && !row->pins;
}

static inline void mobi_keep_set(struct mob_store *s, uint64_t id)
{
	(void)mobi_fetch_or(&s->slots[(uint32_t)id].hold, MOBI_KEPT);
}

/* The caller holds the object: its release looks. */
static inline void mobi_keep_clear(struct mob_store *s, uint64_t id)
{
	(void)mobi_fetch_and(&s->slots[(uint32_t)id].hold, ~MOBI_KEPT);
}

#endif /* MOBI_NAME_ROWS_H */
