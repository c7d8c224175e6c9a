/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bitmap indexes of the catalogue (O'Neil and Quass, SIGMOD 1997): for a value,
 * the slots of a chunk of 64 whose row has it, in one word. Objects of a chunk
 * mostly have the same creator, state, size and age, so an index of a million
 * objects has some ten thousand entries, and costs a drain four writes a chunk.
 *
 *   key {kind 1, value 4, chunk 4}, numbers from the high byte on; the word
 *
 * They change in the transaction that changes the rows.
 */
#ifndef MOBI_CATALOGUE_INDEX_H
#define MOBI_CATALOGUE_INDEX_H

#include "catalogue_env.h"

enum mobi_index_kind {
	MOBI_BY_CREATOR = 1,
	MOBI_BY_STATE = 2,
	MOBI_BY_SIZE = 3, /* four classes for each doubling */
	MOBI_BY_AGE = 4,  /* 1,024 ms since the session began */
	MOBI_INDEXES = 4
};

/* Class of a size. */
uint32_t mobi_index_size(uint64_t size);

#define MOBI_INDEX_KEY 9
void mobi_index_key(unsigned char out[MOBI_INDEX_KEY],
		    enum mobi_index_kind kind, uint32_t value, uint32_t chunk);
/* False if it is none of this kind. */
bool mobi_index_parse(const MDB_val *key, enum mobi_index_kind kind,
		      uint32_t *out_value, uint32_t *out_chunk);

/* What changes in one chunk. Zero it before each chunk. */
struct mobi_index_change {
	struct {
		uint32_t value;
		uint64_t set;
		uint64_t clear;
	} e[MOBI_INDEXES][2 * MOBI_SLOT_CHUNK];
	uint32_t n[MOBI_INDEXES];
};
static inline void mobi_index_begin(struct mobi_index_change *x)
{
	for (int i = 0; i < MOBI_INDEXES; i++) {
		x->n[i] = 0;
	}
}
/* Slot i of the chunk had the row old (or NULL) and has now. */
void mobi_index_note(struct mobi_index_change *x, uint32_t i,
		     const struct mobi_cat_row *old,
		     const struct mobi_cat_row *now);
/* Writes what was noted. Returns a code of LMDB. */
int mobi_index_write(const struct mobi_index_change *x, MDB_txn *txn,
		     MDB_dbi dbi, uint32_t chunk);

/* Every row against the indexes and back: calls fn for each finding; returns how
 * many, or an error of ours. */
int mobi_index_check(struct mobi_catalogue *c, void (*fn)(const char *, void *),
		     void *arg);

#endif /* MOBI_CATALOGUE_INDEX_H */
