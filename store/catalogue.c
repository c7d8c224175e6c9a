/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer of the catalogue: makes rows equal to slots.
 *
 * A drain looks at each dirty chunk once, in ascending order, in transactions
 * of at most 1,024 rows. For one chunk it clears the chunk's bit, reads the
 * rows of its 64 slots and the slots, and writes what differs. LMDB itself
 * says which rows exist, so nothing is believed that a kill could leave wrong.
 *
 * 1. No row outlives its object. `indexed[slot]` is set BEFORE the row is put
 * and cleared only after the commit that removed it: whenever LMDB has a row
 * of a slot, or a transaction is about to commit one, indexed[slot] is not 0.
 * All of this is sequentially consistent:
 *
 *     writer: take the bit; indexed = mark; read the word; put; commit
 *     freer:  CAS the word to FREE; read indexed; not 0: set the bit
 *
 * Either the writer reads the freed word and puts nothing, or its read came
 * before the CAS; then the freer reads indexed after it was set, and sets the
 * bit after it was taken, so that a later look at the chunk removes the row.
 * It does not matter where either is killed, except for the freer between its
 * CAS and the bit: that is the janitor's (mobi_catalogue_reset). A mark left
 * without a row costs a look at the chunk, which clears it. The clearing after
 * the commit is a CAS from the mark of a generation that is gone; no writer
 * sets that mark again.
 *
 * 2. No object is forgotten. Whoever resolves one sets the bit after the CAS
 * on the word; the writer clears the bit before it reads the word. Touching
 * goes leaf, mid, root; taking goes root, mid, leaf, and then sets mid and
 * root again if there is more below. So a toucher that saw an upper bit set
 * and left saw it before it was cleared, and what it set below is seen
 * afterwards.
 *
 * 3. A transaction that does not commit undoes its takes. Bits are taken only
 * under LMDB's writer lock. Before each take the range of chunks taken so far
 * stands in `doing`, with the id of the transaction. Ids grow by one at each
 * commit that changed something. So a writer that begins and finds its own id
 * there knows that the one before neither committed nor finished - killed, or
 * failed for want of space - and sets the bits of that range again. That writer
 * may be about names (name.h): every one begins by mobi_cat_begin_write.
 * Therefore errors need no other repair: abort and leave.
 */
#include "catalogue_index.h"

#include "err.h"
#include "fault.h"

#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 1024u  /* changed in one transaction */
#define CHUNKS_MAX 256u /* looked at in one transaction */

_Static_assert(MOBI_CAT_CHUNKS <= 1u << 16, "a chunk has 16 bits of `doing`");

/* ---- bits ---- */

void mobi_catalogue_reset(struct mobi_cat_shared *c, uint32_t used_chunks)
{
	for (uint32_t leaf = 0; leaf * 64 < used_chunks; leaf++) {
		uint32_t n = used_chunks - leaf * 64;
		uint64_t bits = n < 64 ? MOBI_BIT(n) - 1 : UINT64_MAX;

		(void)mobi_fetch_or(&c->leaf[leaf], bits);
		(void)mobi_fetch_or(&c->mid[leaf / 64], MOBI_BIT(leaf % 64));
		(void)mobi_fetch_or(&c->root, MOBI_BIT(leaf / 64));
	}
}

static void touch_chunk(struct mobi_cat_shared *c, uint32_t chunk)
{
	mobi_catalogue_touch(c, chunk * MOBI_SLOT_CHUNK);
}

/* First dirty chunk from `chunk` on, or MOBI_CAT_CHUNKS. Only looks. */
static uint32_t next_dirty(struct mobi_cat_shared *c, uint32_t chunk)
{
	while (chunk < MOBI_CAT_CHUNKS) {
		uint32_t leaf = chunk / 64;
		uint32_t mid = leaf / 64;
		uint64_t bits = 0;

		if (mobi_load(&c->root) & MOBI_BIT(mid)) {
			bits = mobi_load(&c->mid[mid]) >> leaf % 64;
		}
		if (!bits) {
			chunk = (mid + 1) * 64 * 64;
			continue;
		}
		if (!(bits & 1)) {
			leaf += (uint32_t)__builtin_ctzll(bits);
			chunk = leaf * 64;
		}
		bits = mobi_load(&c->leaf[leaf]) >> chunk % 64;
		if (bits) {
			return chunk + (uint32_t)__builtin_ctzll(bits);
		}
		chunk = (leaf + 1) * 64;
	}
	return MOBI_CAT_CHUNKS;
}

/* Clears the chunk's bit; upper bits are right again afterwards. */
static void take_chunk(struct mobi_cat_shared *c, uint32_t chunk)
{
	uint32_t leaf = chunk / 64;
	uint32_t mid = leaf / 64;

	(void)mobi_fetch_and(&c->root, ~MOBI_BIT(mid));
	(void)mobi_fetch_and(&c->mid[mid], ~MOBI_BIT(leaf % 64));
	(void)mobi_fetch_and(&c->leaf[leaf], ~MOBI_BIT(chunk % 64));
	if (mobi_load(&c->leaf[leaf])) {
		(void)mobi_fetch_or(&c->mid[mid], MOBI_BIT(leaf % 64));
	}
	if (mobi_load(&c->mid[mid])) {
		(void)mobi_fetch_or(&c->root, MOBI_BIT(mid));
	}
}

/* ---- drain ---- */

/* doing = {transaction 32, first chunk 16, last chunk 16}; 0: nothing. */
static uint64_t doing_word(uint32_t txn_id, uint32_t first, uint32_t last)
{
	return (uint64_t)txn_id << 32 | (uint64_t)first << 16 | last;
}

struct stale {
	uint32_t slot;
	uint32_t mark;
};

struct drain {
	struct mobi_catalogue *c;
	MDB_txn *txn;
	MDB_cursor *cur;
	uint64_t min_age_ms;
	uint64_t began_ms;
	uint64_t rows;   /* changed so far */
	uint32_t pos;    /* chunks below have been looked at */
	uint32_t n_rows; /* changed in this transaction */
	uint32_t n_stale;
	bool done;
	struct mobi_index_change index; /* of the chunk at hand */
	struct stale stale[ROWS_MAX];   /* marks whose rows go */
};

/* What stands in indexed for a row of this generation: never 0. Generation 0
 * and the last one of a slot are never about at the same time. */
static uint32_t mark_of(uint32_t gen)
{
	return gen ? gen : UINT32_MAX;
}

#define JUST_NOW_MS 60000u

static bool young(const struct drain *d, uint32_t born_ms)
{
	/* born_ms wraps after 49 days, and may be just after began_ms. */
	uint32_t age = (uint32_t)d->began_ms - born_ms;

	return d->min_age_ms &&
	       (age < d->min_age_ms || age > UINT32_MAX - JUST_NOW_MS);
}

static int put_row(struct drain *d, uint32_t slot,
		   const struct mobi_cat_row *old, struct mobi_cat_row *row)
{
	struct mobi_cat_shared *shared = d->c->shared;
	MDB_val key = { sizeof(slot), &slot };
	MDB_val val = { sizeof(*row), row };
	uint64_t w;
	int rc;

	MOBI_FAULT("catalogue.look");
	if (mobi_load(&shared->indexed[slot]) != mark_of(row->gen)) {
		mobi_store(&shared->indexed[slot], mark_of(row->gen));
	}
	MOBI_FAULT("catalogue.indexed");
	w = mobi_load(&d->c->slots[slot].word);
	if (MOBI_GEN(w) != row->gen || MOBI_STATE(w) != row->state) {
		/* It goes while we look; what was read may be torn. */
		mobi_catalogue_touch(shared, slot);
		return 0;
	}
	rc = mdb_cursor_put(d->cur, &key, &val, 0);
	if (!rc) {
		d->n_rows++;
		mobi_index_note(&d->index, slot % MOBI_SLOT_CHUNK, old, row);
		MOBI_FAULT("catalogue.put");
	}
	return rc;
}

/* Makes the row of one slot right; old is the row there is, or NULL. */
static int drain_slot(struct drain *d, uint32_t slot,
		      const struct mobi_cat_row *old)
{
	struct mobi_slot *o = &d->c->slots[slot];
	uint64_t w = mobi_load(&o->word);
	uint32_t mark = mobi_load(&d->c->shared->indexed[slot]);
	int rc;

	if (mobi_resolved(w)) {
		struct mobi_cat_row now;

		mobi_cat_row_of(o, w, &now);
		if (old && mark == mark_of(now.gen) &&
		    !memcmp(old, &now, sizeof(now))) {
			return 0;
		}
		if ((old && old->gen == now.gen) || !young(d, now.born_ms)) {
			return put_row(d, slot, old, &now);
		}
		mobi_catalogue_touch(d->c->shared, slot);
	}
	if (old) {
		MDB_val key = { sizeof(slot), &slot };

		rc = mdb_cursor_get(d->cur, &key, NULL, MDB_SET);
		if (!rc) {
			rc = mdb_cursor_del(d->cur, 0);
		}
		if (rc) {
			return rc;
		}
		d->n_rows++;
		mobi_index_note(&d->index, slot % MOBI_SLOT_CHUNK, old, NULL);
		MOBI_FAULT("catalogue.remove");
	}
	if (mark && !(mobi_resolved(w) && mark == mark_of(MOBI_GEN(w)))) {
		d->stale[d->n_stale++] = (struct stale){ slot, mark };
	}
	return 0;
}

static int drain_chunk(struct drain *d, uint32_t chunk)
{
	struct mobi_cat_row rows[MOBI_SLOT_CHUNK];
	uint64_t have;
	int rc = mobi_cat_read_rows(d->cur, chunk, rows, &have);

	mobi_index_begin(&d->index);
	for (uint32_t i = 0; i < MOBI_SLOT_CHUNK && !rc; i++) {
		rc = drain_slot(d, chunk * MOBI_SLOT_CHUNK + i,
				have & MOBI_BIT(i) ? &rows[i] : NULL);
	}
	return rc ? rc :
		    mobi_index_write(&d->index, d->txn, d->c->env->index,
				     chunk);
}

int mobi_cat_begin_write(struct mobi_catalogue *c, MDB_txn **out_txn)
{
	struct mobi_cat_shared *shared = c->shared;
	uint64_t doing;
	int rc = mobi_cat_lock(c, &shared->writing, "writes");

	if (rc < 0) {
		return rc;
	}
	rc = mobi_cat_begin(c, 0, out_txn);
	if (rc < 0) {
		mobi_lock_release(&shared->writing);
		return rc;
	}
	doing = mobi_load(&shared->doing);
	if (doing &&
	    (uint32_t)(doing >> 32) == (uint32_t)mdb_txn_id(*out_txn)) {
		uint32_t last = doing & 0xffff;

		for (uint32_t n = doing >> 16 & 0xffff; n <= last; n++) {
			touch_chunk(shared, n);
		}
	}
	return 0;
}

int mobi_cat_end_write(struct mobi_catalogue *c, MDB_txn *txn, bool commit)
{
	int rc = 0;

	if (commit) {
		rc = mdb_txn_commit(txn);
	} else {
		mdb_txn_abort(txn);
	}
	mobi_cat_unlock_write(c);
	return rc;
}

void mobi_cat_unlock_write(struct mobi_catalogue *c)
{
	mobi_lock_release(&c->shared->writing);
}

/* Takes chunks and changes rows in d->txn until it is large enough. */
static int fill_txn(struct drain *d)
{
	struct mobi_cat_shared *shared = d->c->shared;
	uint32_t id = (uint32_t)mdb_txn_id(d->txn);
	uint32_t first = MOBI_CAT_CHUNKS;
	int rc;

	rc = mdb_cursor_open(d->txn, d->c->env->dbi, &d->cur);
	if (rc) {
		return rc;
	}
	for (uint32_t n = 0;
	     n < CHUNKS_MAX && !rc && d->n_rows + MOBI_SLOT_CHUNK <= ROWS_MAX &&
	     d->n_stale + MOBI_SLOT_CHUNK <= ROWS_MAX;
	     n++) {
		uint32_t chunk = next_dirty(shared, d->pos);

		if (chunk == MOBI_CAT_CHUNKS) {
			d->done = true;
			break;
		}
		first = first == MOBI_CAT_CHUNKS ? chunk : first;
		mobi_store(&shared->doing, doing_word(id, first, chunk));
		take_chunk(shared, chunk);
		MOBI_FAULT("catalogue.take");
		rc = drain_chunk(d, chunk);
		d->pos = chunk + 1;
	}
	mdb_cursor_close(d->cur);
	return rc;
}

/* One transaction. Returns an error of ours. */
static int drain_txn(struct drain *d)
{
	struct mobi_catalogue *c = d->c;
	int rc = mobi_cat_begin_write(c, &d->txn);

	if (rc < 0) {
		return rc;
	}
	d->n_rows = 0;
	d->n_stale = 0;
	rc = fill_txn(d);
	if (!rc && d->n_rows) {
		rc = mobi_cat_end_write(c, d->txn, true);
		MOBI_FAULT("catalogue.commit");
	} else {
		if (!rc) {
			/* Nothing to commit: all that was taken is right. */
			mobi_store(&c->shared->doing, UINT64_C(0));
		}
		(void)mobi_cat_end_write(c, d->txn, false);
	}
	mobi_cat_leave(c, rc);
	if (rc) {
		return mobi_cat_fail(rc, "writing");
	}
	for (uint32_t i = 0; i < d->n_stale; i++) {
		uint32_t mark = d->stale[i].mark;

		(void)mobi_cas32(&c->shared->indexed[d->stale[i].slot], &mark,
				 0);
	}
	d->rows += d->n_rows;
	return 0;
}

/* A process that died in a list would keep old pages for ever. */
static int clear_dead_readers(struct mobi_catalogue *c)
{
	int rc = mobi_cat_enter(c);

	if (rc < 0) {
		return rc;
	}
	rc = mdb_reader_check(c->env->mdb, NULL);
	mobi_cat_leave(c, rc);
	return rc ? mobi_cat_fail(rc, "looking for dead readers") : 0;
}

static void note_drained(struct drain *d)
{
	mobi_a64 *at = &d->c->shared->drained_ms;
	uint64_t seen = mobi_load(at);

	if (d->began_ms < d->min_age_ms) {
		return;
	}
	while (seen < d->began_ms - d->min_age_ms &&
	       !mobi_cas64(at, &seen, d->began_ms - d->min_age_ms)) {
	}
}

int mobi_catalogue_drain(struct mobi_catalogue *c, uint64_t min_age_ms,
			 uint64_t *out_rows)
{
	struct drain *d = calloc(1, sizeof(*d));
	int rc;

	if (!d) {
		return mobi_err(MOB_E_NOMEM, "catalogue: drain");
	}
	d->c = c;
	d->min_age_ms = min_age_ms < INT32_MAX ? min_age_ms : INT32_MAX;
	d->began_ms = mobi_cat_now_ms(c);
	rc = clear_dead_readers(c);
	while (!rc && !d->done) {
		rc = drain_txn(d);
	}
	if (!rc) {
		note_drained(d);
		if (out_rows) {
			*out_rows = d->rows;
		}
	}
	free(d);
	return rc;
}
