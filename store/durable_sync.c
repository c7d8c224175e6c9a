/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing to the copy of a durable store: what has changed since the last time
 * (durable.h).
 *
 * An object is written once all that it refers to is resolved, and with it: so the
 * copy never has a ref to what it has not. Rows are counted by the rows that have
 * them inside, and go when nothing counts them; as objects cannot refer to
 * themselves, that is exact.
 */
#include "durable.h"

#include "edge.h"
#include "err.h"
#include "fault.h"
#include "name_rows.h"
#include "object.h"
#include "object_header.h"
#include "os_dir.h"
#include "os_file.h"
#include "pool.h"
#include "spill.h"
#include "spill_file.h"
#include "spill_small.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* As many are synced one by one; for more it is the whole file system. */
#define SYNC_ONE_BY_ONE 16u
/* Who moves an object that is spilled may be stopped. */
#define VIEW_NS (10 * MOB_SEC)

/* ---- `changed`: {'n', name} or {'k', id} -> transaction ---- */

enum { OF_NAME = 'n', OF_KEEP = 'k' };

static int note(struct mob_store *s, MDB_txn *txn, char kind, const void *of,
		size_t n)
{
	char at[1 + MOB_NAME_MAX];
	uint64_t stamp = mdb_txn_id(txn);
	MDB_val key = { n + 1, at };
	MDB_val val = { sizeof(stamp), &stamp };

	if (!mobi_is_durable(s)) {
		return 0;
	}
	at[0] = kind;
	memcpy(at + 1, of, n);
	return mdb_put(txn, s->cat->env->changed, &key, &val, 0);
}

int mobi_durable_note_name(struct mob_store *s, MDB_txn *txn, const void *name,
			   size_t n)
{
	return note(s, txn, OF_NAME, name, n);
}

int mobi_durable_note_keep(struct mob_store *s, MDB_txn *txn, uint64_t id)
{
	return note(s, txn, OF_KEEP, &id, sizeof(id));
}

int mobi_durable_unsynced(struct mob_store *s, uint64_t *out_n)
{
	MDB_txn *txn;
	MDB_stat st = { 0 };
	int rc;

	*out_n = 0;
	if (!mobi_is_durable(s)) {
		return 0;
	}
	rc = mobi_cat_begin(s->cat, MDB_RDONLY, &txn);
	if (rc < 0) {
		return rc;
	}
	rc = mdb_stat(txn, s->cat->env->changed, &st);
	mdb_txn_abort(txn);
	mobi_cat_leave(s->cat, rc);
	*out_n = st.ms_entries;
	return rc ? mobi_cat_fail(rc, "counting what has changed") : 0;
}

/* What a row of `changed` is about, as it is now. */
struct change {
	struct change *next;
	uint64_t stamp;
	uint64_t id; /* of the object; of a name: that it has now */
	uint64_t version;
	uint32_t names;
	uint32_t pins;
	bool named; /* of a name: it has an object */
	bool held;
	bool done;
	size_t n; /* of key */
	char key[];
};

struct sync {
	struct mob_store *s;
	struct mobi_durable d;
	struct change *changes;
	struct change **last;
	struct mobi_ids fresh; /* objects with a new file */
	struct mobi_ids gone;  /* whose file goes */
	struct mobi_ids loose; /* rows that may have to go */
	uint64_t version;      /* no name has a higher one */
	int rc;                /* of the first object that could not be read */
	char why[160];
};

/* ---- reading what has changed ---- */

static int read_keep(struct sync *y, MDB_txn *txn, struct change *c)
{
	struct mobi_keep_row row;
	int rc;

	memcpy(&c->id, c->key + 1, sizeof(c->id));
	rc = mobi_keep_read(txn, y->s->cat->env->keep, c->id, &row);
	if (rc) {
		return rc;
	}
	if (mobi_is_cached(&row)) {
		return 0; /* what may go at any time is not copied */
	}
	/* While this has the writer's lock, who has a row is alive. */
	c->held = (row.names || row.pins) && mobi_slot_hold(y->s, c->id) >= 0;
	c->names = c->held ? row.names : 0;
	c->pins = c->held ? row.pins : 0;
	return 0;
}

static int read_name(struct sync *y, MDB_txn *txn, struct change *c)
{
	struct mobi_name_row row;
	struct mobi_keep_row keep;
	MDB_val key = { c->n - 1, c->key + 1 };
	MDB_val val;
	int rc = mdb_get(txn, y->s->cat->env->name, &key, &val);

	if (rc) {
		return rc == MDB_NOTFOUND ? 0 : rc;
	}
	if (val.mv_size != sizeof(row)) {
		return MDB_CORRUPTED;
	}
	memcpy(&row, val.mv_data, sizeof(row));
	c->id = mobi_name_id(&row);
	c->version = row.version;
	rc = mobi_keep_read(txn, y->s->cat->env->keep, c->id, &keep);
	c->named = !rc && !mobi_is_cached(&keep);
	return rc;
}

static int read_changes(struct sync *y, MDB_txn *txn, MDB_cursor *cur)
{
	MDB_val key;
	MDB_val val;
	int rc;

	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		struct change *c;

		if (key.mv_size < 2 || val.mv_size != sizeof(c->stamp)) {
			return MDB_CORRUPTED;
		}
		c = calloc(1, sizeof(*c) + key.mv_size);
		if (!c) {
			return ENOMEM;
		}
		*y->last = c;
		y->last = &c->next;
		c->n = key.mv_size;
		memcpy(c->key, key.mv_data, c->n);
		memcpy(&c->stamp, val.mv_data, sizeof(c->stamp));
		if (c->key[0] == OF_KEEP && c->n != 1 + sizeof(c->id)) {
			return MDB_CORRUPTED;
		}
		rc = c->key[0] == OF_KEEP ? read_keep(y, txn, c) :
					    read_name(y, txn, c);
		if (rc) {
			return rc;
		}
	}
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int collect(struct sync *y)
{
	struct mobi_catalogue *cat = y->s->cat;
	MDB_cursor *cur;
	MDB_txn *txn;
	int rc = mobi_name_recount(y->s);

	if (rc >= 0) {
		rc = mobi_cat_begin_write(cat, &txn);
	}
	if (rc < 0) {
		return rc;
	}
	y->version = y->s->hdr->version_base + mdb_txn_id(txn);
	rc = mdb_cursor_open(txn, cat->env->changed, &cur);
	if (!rc) {
		rc = read_changes(y, txn, cur);
		mdb_cursor_close(cur);
	}
	(void)mobi_cat_end_write(cat, txn, false);
	mobi_cat_leave(cat, rc);
	return rc ? mobi_cat_fail(rc, "reading what has changed") : 0;
}

/* ---- writing objects ---- */

static uint64_t bytes_of(const struct mobi_slot *o)
{
	return mobi_object_bytes(mobi_load(&o->size), mobi_load(&o->header));
}

/* The ids inside an object that this process keeps alive. */
static int inside_of(struct mob_store *s, uint64_t id, struct mobi_ids *out)
{
	uint32_t c = mobi_load(&s->slots[(uint32_t)id].nested);
	int rc = 0;

	for (; c && rc >= 0; c = mobi_load(&s->chunks[c - 1].next)) {
		for (uint32_t i = 0; i < MOBI_EDGE_CHUNK && rc >= 0; i++) {
			struct mobi_edge *e =
				mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(c - 1, i));

			if (MOBI_STATE(mobi_load(&e->word)) == MOBI_E_LIVE) {
				rc = mobi_ids_push(out, mobi_load(&e->ref));
			}
		}
	}
	return rc;
}

/* A spilled object may have a file of its own already. False: it has to be
 * written. */
static bool link_spilled(struct sync *y, uint64_t id, uint64_t bytes)
{
	struct mobi_slot *o = &y->s->slots[(uint32_t)id];
	char name[MOBI_SPILL_NAME];

	/* One that is small shares a file: a link would count as an object there. */
	if (!(mobi_load(&o->word) & MOBI_F_SPILL) || !mobi_spills(y->s) ||
	    mobi_spill_is_small(o)) {
		return false;
	}
	mobi_spill_name(name, id);
	/* It may be on its way: what is not whole yet is no link worth having. */
	if (mobi_file_link_at(y->s->spill_fd, name, y->d.data_fd, name) &&
	    mobi_spill_verify(y->d.data_fd, id, bytes, false) >= 0) {
		return true;
	}
	(void)mobi_file_remove_at(y->d.data_fd, name);
	return false;
}

static int write_file(struct sync *y, uint64_t id, uint64_t bytes)
{
	struct mob_view v;
	int rc;

	if (link_spilled(y, id, bytes)) {
		return mobi_ids_push(&y->fresh, id);
	}
	rc = mobi_object_view_in(y->s, id, VIEW_NS, &v);
	if (rc < 0 && rc != MOB_E_TASK) {
		return rc;
	}
	rc = mobi_spill_write(y->d.data_fd, id, v.at, bytes);
	mob_view_release(y->s, &v);
	return rc < 0 ? rc : mobi_ids_push(&y->fresh, id);
}

static int put_row(struct sync *y, uint64_t id, struct mobi_durable_row *row,
		   const struct mobi_ids *inside, uint64_t bytes)
{
	struct mob_view v;
	int rc;

	if (row->form != MOBI_DURABLE_ROW) {
		return mobi_durable_row_put(&y->d, id, row, inside->at, NULL);
	}
	rc = mobi_object_view_in(y->s, id, VIEW_NS, &v);
	if (rc < 0 && rc != MOB_E_TASK) {
		return rc;
	}
	row->n_bytes = (uint32_t)bytes;
	rc = mobi_durable_row_put(&y->d, id, row, inside->at, v.at);
	mob_view_release(y->s, &v);
	return rc;
}

/* A row that is damaged goes: it is written again if it is needed. */
static int row_of(struct sync *y, uint64_t id,
		  struct mobi_durable_row **out_row)
{
	int rc = mobi_durable_row_get(&y->d, id, out_row);

	return rc == MOB_E_CORRUPT ? mobi_durable_row_del(&y->d, id) : rc;
}

/* Adds to a count of a row that is there. */
static int count(struct sync *y, uint64_t id, int by)
{
	struct mobi_durable_row *row;
	int rc = row_of(y, id, &row);

	if (rc > 0) {
		row->outer += (uint32_t)by;
		rc = mobi_durable_row_put(&y->d, id, row,
					  mobi_durable_inside(row),
					  mobi_durable_bytes(row));
	}
	free(row);
	return rc;
}

/* All that is inside has its row. */
static int write_object(struct sync *y, uint64_t id,
			const struct mobi_ids *inside)
{
	struct mobi_slot *o = &y->s->slots[(uint32_t)id];
	uint32_t state = MOBI_STATE(mobi_load(&o->word));
	bool valued = state == MOBI_S_SEALED || state == MOBI_S_FAILED;
	uint64_t bytes = valued ? bytes_of(o) : 0;
	struct mobi_durable_row row = {
		.type = mobi_load(&o->type),
		.size = valued ? mobi_load(&o->size) : 0,
		.header = valued ? mobi_load(&o->header) : 0,
		.state = state,
		.n_inside = (uint32_t)inside->n,
	};
	int rc = mobi_ids_push(&y->loose, id); /* unless something counts it */

	if (!valued) {
		row.form = MOBI_DURABLE_NONE;
	} else if (mobi_load(&o->loc) == MOBI_LOC_RANGE) {
		struct mobi_range r;

		memcpy(&r, o->value, sizeof(r));
		row.form = MOBI_DURABLE_RANGE;
		row.range_off = r.off;
	} else if (bytes > MOBI_DURABLE_ROW_MAX &&
		   row.type != MOBI_TYPE_INTERNAL) {
		row.form = MOBI_DURABLE_FILE;
		rc = rc < 0 ? rc : write_file(y, id, bytes);
	} else {
		row.form = MOBI_DURABLE_ROW;
	}
	MOBI_FAULT("durable.file");
	if (rc >= 0) {
		rc = put_row(y, id, &row, inside, bytes);
	}
	for (size_t i = 0; i < inside->n && rc >= 0; i++) {
		rc = count(y, inside->at[i], 1);
	}
	(void)mobi_fetch_add(&y->s->hdr->durable_steps, 1u);
	return rc;
}

/* An object whose inner ones are being written. */
struct frame {
	struct frame *outer;
	uint64_t id;
	struct mobi_ids inside;
	size_t next;
};

static int enter(struct sync *y, uint64_t id, struct frame **top)
{
	struct frame *f = calloc(1, sizeof(*f));

	if (!f) {
		return mobi_err(MOB_E_NOMEM, "sync: no memory");
	}
	f->id = id;
	f->outer = *top;
	*top = f;
	return inside_of(y->s, id, &f->inside);
}

static void leave(struct frame **top)
{
	struct frame *f = *top;

	*top = f->outer;
	free(f->inside.at);
	free(f);
}

static bool has_row(struct sync *y, uint64_t id, int *out_rc)
{
	struct mobi_durable_row *row;

	*out_rc = row_of(y, id, &row);
	free(row);
	return *out_rc != 0;
}

/* Writes an object that this process keeps alive, and before it what it refers to,
 * in depth, without recursion. 1: it has its row; 0: not everything is resolved. */
static int save(struct sync *y, uint64_t id)
{
	struct frame *top = NULL;
	int rc;

	if (has_row(y, id, &rc)) {
		return rc;
	}
	rc = enter(y, id, &top);
	while (top && rc >= 0) {
		uint64_t w = mobi_load(&y->s->slots[(uint32_t)top->id].word);

		if (!mobi_resolved(w)) {
			rc = 0;
			break;
		}
		if (top->next < top->inside.n) {
			uint64_t in = top->inside.at[top->next++];

			if (!has_row(y, in, &rc)) {
				rc = enter(y, in, &top);
			}
			continue;
		}
		rc = has_row(y, top->id, &rc) ?
			     rc :
			     write_object(y, top->id, &top->inside);
		leave(&top);
		if (rc >= 0) {
			rc = 1;
		}
	}
	while (top) {
		leave(&top);
	}
	return rc;
}

/* ---- rows ---- */

static int set_keeps(struct sync *y, uint64_t id, uint32_t names, uint32_t pins)
{
	struct mobi_durable_row *row;
	int rc = row_of(y, id, &row);

	if (rc > 0) {
		row->names = names;
		row->pins = pins;
		rc = mobi_durable_row_put(&y->d, id, row,
					  mobi_durable_inside(row),
					  mobi_durable_bytes(row));
		if (rc >= 0 && !names && !pins) {
			rc = mobi_ids_push(&y->loose, id);
		}
	}
	free(row);
	return rc;
}

/* Is it about the one object, which could not be brought back to be written? */
static bool is_of_object(int rc)
{
	return rc == MOB_E_CORRUPT || rc == MOB_E_NOT_FOUND ||
	       rc == MOB_E_STORE_FULL || rc == MOB_E_TIMEOUT;
}

/* What has names or pins. */
static int apply_kept(struct sync *y, struct change *c)
{
	int rc = save(y, c->id);

	if (rc == 0) {
		return 0; /* later, when it is resolved */
	}
	if (is_of_object(rc)) {
		/* The rest goes on, and this is tried again. */
		if (!y->rc) {
			y->rc = rc;
			(void)snprintf(y->why, sizeof(y->why), "%s",
				       mob_err_detail(rc));
		}
		return 0;
	}
	c->done = true;
	return rc < 0 ? rc : set_keeps(y, c->id, c->names, c->pins);
}

/* What has none any more; later, as long as its names may have gone to what could
 * not be written. */
static int apply_let_go(struct sync *y, struct change *c)
{
	if (y->rc) {
		return 0;
	}
	c->done = true;
	return set_keeps(y, c->id, 0, 0);
}

/* After all objects: those that it may name have their rows, or are not resolved
 * yet, or could not be written. */
static int apply_name(struct sync *y, struct change *c)
{
	const char *name = c->key + 1;
	size_t n = c->n - 1;
	int rc = 0;

	if (c->named && has_row(y, c->id, &rc)) {
		c->done = true;
		return rc < 0 ? rc :
				mobi_durable_name_put(&y->d, name, n, c->id,
						      c->version);
	}
	if (c->named && y->rc) {
		return 0; /* it stays where it was */
	}
	c->done = !c->named || !mobi_is_alive(y->s, c->id);
	return mobi_durable_name_del(&y->d, name, n);
}

/* Rows that nothing counts any more, and what was inside them. */
static int drop_loose(struct sync *y)
{
	int rc = 0;

	while (y->loose.n && rc >= 0) {
		uint64_t id = y->loose.at[--y->loose.n];
		struct mobi_durable_row *row;

		rc = row_of(y, id, &row);
		if (rc > 0 && !row->names && !row->pins && !row->outer) {
			rc = mobi_durable_row_del(&y->d, id);
			if (rc >= 0 && row->form == MOBI_DURABLE_FILE) {
				rc = mobi_ids_push(&y->gone, id);
			}
			for (uint32_t i = 0; i < row->n_inside && rc >= 0;
			     i++) {
				uint64_t in = mobi_durable_inside(row)[i];

				rc = count(y, in, -1);
				if (rc >= 0) {
					rc = mobi_ids_push(&y->loose, in);
				}
			}
		}
		free(row);
	}
	return rc;
}

/* ---- the whole ---- */

static int check_life(struct sync *y, struct mobi_durable_meta *out_m)
{
	int rc = mobi_durable_meta_get(&y->d, out_m);

	if (rc >= 0 && out_m->life != y->s->hdr->life) {
		rc = mobi_err(MOB_E_STATE,
			      "the durable copy of store %s was restored as "
			      "another session since; this one cannot sync any "
			      "more",
			      y->s->name);
	}
	return rc;
}

static int apply(struct sync *y)
{
	int rc = 0;

	for (struct change *c = y->changes; c && rc >= 0; c = c->next) {
		rc = c->key[0] == OF_KEEP && c->held ? apply_kept(y, c) : 0;
	}
	for (struct change *c = y->changes; c && rc >= 0; c = c->next) {
		rc = c->key[0] == OF_KEEP && !c->held ? apply_let_go(y, c) : 0;
	}
	for (struct change *c = y->changes; c && rc >= 0; c = c->next) {
		rc = c->key[0] == OF_NAME ? apply_name(y, c) : 0;
	}
	return rc < 0 ? rc : drop_loose(y);
}

/* The bytes and the names of new files are on disk afterwards. */
static int sync_files(struct sync *y)
{
	int rc = 0;

	if (y->fresh.n > SYNC_ONE_BY_ONE) {
		return mobi_fs_sync(y->d.data_fd);
	}
	for (size_t i = 0; i < y->fresh.n && rc >= 0; i++) {
		char name[MOBI_SPILL_NAME];
		int fd;

		mobi_spill_name(name, y->fresh.at[i]);
		fd = mobi_file_open_at(y->d.data_fd, name);
		rc = fd < 0 ? fd : mobi_fd_sync(fd);
		mobi_fd_close(fd);
		(void)mobi_fetch_add(&y->s->hdr->durable_steps, 1u);
	}
	return rc < 0 || !y->fresh.n ? rc : mobi_fd_sync(y->d.data_fd);
}

static void remove_files(struct sync *y, const struct mobi_ids *of)
{
	for (size_t i = 0; i < of->n; i++) {
		char name[MOBI_SPILL_NAME];

		mobi_spill_name(name, of->at[i]);
		(void)mobi_file_remove_at(y->d.data_fd, name);
	}
}

static uint32_t gen_max(const struct mob_store *s)
{
	uint32_t max = s->gen_base;

	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_SLOT); i++) {
		uint32_t gen = MOBI_GEN(mobi_load(&s->slots[i].word));

		max = gen > max ? gen : max;
	}
	return max;
}

static int write_copy(struct sync *y)
{
	struct mobi_durable_meta m;
	MDB_stat st = { 0 };
	int rc = check_life(y, &m);

	if (rc >= 0) {
		rc = apply(y);
	}
	if (rc >= 0) {
		rc = sync_files(y);
	}
	MOBI_FAULT("durable.files");
	if (rc >= 0) {
		m.gen_max = gen_max(y->s);
		m.version_max = y->version;
		rc = mobi_durable_meta_put(&y->d, &m);
	}
	if (rc >= 0) {
		(void)mdb_stat(y->d.txn, y->d.object, &st);
	}
	if (rc < 0) {
		remove_files(y, &y->fresh);
		return rc;
	}
	rc = mobi_durable_commit(&y->d);
	if (rc < 0) {
		return rc; /* it may be there all the same */
	}
	MOBI_FAULT("durable.commit");
	remove_files(y, &y->gone);
	mobi_store(&y->s->hdr->durable_objects, (uint64_t)st.ms_entries);
	mobi_store(&y->s->hdr->durable_synced_ms,
		   mobi_cat_now_ms(y->s->cat) + 1);
	return 0;
}

/* Removes what was done from `changed`, unless it has changed since. */
static int forget_changes(struct sync *y)
{
	struct mobi_catalogue *cat = y->s->cat;
	MDB_txn *txn;
	int rc = mobi_cat_begin_write(cat, &txn);

	if (rc < 0) {
		return rc;
	}
	for (struct change *c = y->changes; c && !rc; c = c->next) {
		MDB_val key = { c->n, c->key };
		MDB_val val;
		uint64_t stamp;

		if (!c->done) {
			continue;
		}
		rc = mdb_get(txn, cat->env->changed, &key, &val);
		if (!rc && val.mv_size == sizeof(stamp)) {
			memcpy(&stamp, val.mv_data, sizeof(stamp));
			if (stamp == c->stamp) {
				rc = mdb_del(txn, cat->env->changed, &key,
					     NULL);
			}
		}
		rc = rc == MDB_NOTFOUND ? 0 : rc;
	}
	if (rc) {
		(void)mobi_cat_end_write(cat, txn, false);
	} else {
		rc = mobi_cat_end_write(cat, txn, true);
	}
	mobi_cat_leave(cat, rc);
	return rc ? mobi_cat_fail(rc, "noting what was synced") : 0;
}

static void end(struct sync *y)
{
	for (struct change *c = y->changes; c;) {
		struct change *next = c->next;

		if (c->held) {
			(void)mobi_slot_release(y->s, c->id);
		}
		free(c);
		c = next;
	}
	free(y->fresh.at);
	free(y->gone.at);
	free(y->loose.at);
	mobi_durable_end(&y->d);
}

int mobi_durable_sync(struct mob_store *s)
{
	struct sync y = { .s = s };
	int rc;

	if (s->durable_fd < 0) {
		return mobi_err(MOB_E_NOT_FOUND,
				"the durable copy of store %s is not there any "
				"more",
				s->name);
	}
	y.last = &y.changes;
	/* The lock first: what another has synced is not read again. */
	rc = mobi_durable_begin(&y.d, s->durable_fd, &s->hdr->durable_steps);
	if (rc >= 0) {
		rc = collect(&y);
	}
	if (rc >= 0) {
		rc = write_copy(&y);
	}
	if (rc >= 0 && y.changes) {
		rc = forget_changes(&y);
	}
	end(&y);
	return rc < 0 || !y.rc ?
		       rc :
		       mobi_err(y.rc, "all but this was synced: %s", y.why);
}
