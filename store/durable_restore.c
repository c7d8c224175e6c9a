/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session from the copy of a durable store (durable.h). Nobody else sees it yet:
 * slots are filled one by one, without a race.
 *
 * What is damaged is told and left out: an object that others refer to is lost, so
 * that their refs stay what they were; a name of it goes.
 */
#include "durable.h"

#include "err.h"
#include "name_rows.h"
#include "object.h"
#include "object_header.h"
#include "os_dir.h"
#include "os_file.h"
#include "os_mem.h"
#include "pool.h"
#include "reap.h"
#include "spill.h"
#include "spill_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Generations that a new life skips: at least and at most. */
#define GEN_SKIP_MIN (UINT32_C(1) << 16)
#define GEN_SKIP_MAX (UINT32_C(1) << 18)

static void tell(struct mobi_restore *r, const char *fmt, ...) MOB_PRINTF(2, 3);
static void tell(struct mobi_restore *r, const char *fmt, ...)
{
	char line[MOB_NAME_MAX + 256];
	va_list ap;

	r->told = true;
	if (!r->fn) {
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	r->fn(line, r->arg);
}

/* Calls fn for each row of a table, until it fails. */
static int each(struct mobi_restore *r, MDB_dbi dbi,
		int (*fn)(struct mobi_restore *r, MDB_val *key, MDB_val *val,
			  void *arg),
		void *arg)
{
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	int rc = mdb_cursor_open(r->d.txn, dbi, &cur);

	if (rc) {
		return mobi_durable_fail(rc, "reading its rows");
	}
	while (!(rc = mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		int done = fn(r, &key, &val, arg);

		if (done < 0) {
			mdb_cursor_close(cur);
			return done;
		}
	}
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 :
				    mobi_durable_fail(rc, "reading its rows");
}

/* ---- what is there ---- */

static int look_at_row(struct mobi_restore *r, MDB_val *key, MDB_val *val,
		       void *arg)
{
	struct mobi_durable_row *row;
	uint64_t id;
	int rc = mobi_durable_row_of(key, val, &id, &row);

	(void)arg;
	free(row);
	if (rc < 0) {
		return rc == MOB_E_CORRUPT ? 0 :
					     rc; /* told when it is filled */
	}
	r->gen_max = MOBI_GEN(id) > r->gen_max ? MOBI_GEN(id) : r->gen_max;
	r->slots = (uint32_t)id >= r->slots ? (uint32_t)id + 1 : r->slots;
	return 0;
}

static int look_at_name(struct mobi_restore *r, MDB_val *key, MDB_val *val,
			void *arg)
{
	struct mobi_durable_name n;

	(void)arg;
	if (mobi_durable_name_of(key, val, &n) && n.version > r->version) {
		r->version = n.version;
	}
	return 0;
}

int mobi_restore_look(struct mobi_restore *r)
{
	int rc;

	r->gen_max = r->meta.gen_max;
	r->version = r->meta.version_max;
	r->slots = 0;
	rc = each(r, r->d.object, look_at_row, NULL);
	return rc < 0 ? rc : each(r, r->d.name, look_at_name, NULL);
}

uint32_t mobi_restore_gen(const struct mobi_restore *r)
{
	uint32_t skip = GEN_SKIP_MIN +
			(uint32_t)mobi_random() % (GEN_SKIP_MAX - GEN_SKIP_MIN);

	return r->gen_max < UINT32_MAX - skip ? r->gen_max + skip : UINT32_MAX;
}

/* ---- objects ---- */

/* No slot has this number. */
#define NO_ID UINT64_MAX

struct fill {
	struct mob_store *s;
	MDB_txn *txn;    /* of the catalogue */
	uint64_t *id;    /* of each slot, or NO_ID */
	uint32_t *names; /* of each slot */
	uint32_t *outer; /* of each slot: rows that have it inside */
	uint64_t *bases; /* a bit a slot: something is a part of it */
	uint64_t n_rows; /* in the copy */
};

/* Readers of a part look into its object, which is never spilled, therefore. */
static int note_base(struct mobi_restore *r, MDB_val *key, MDB_val *val,
		     void *arg)
{
	struct fill *f = arg;
	struct mobi_durable_row *row;
	uint64_t id;
	int rc = mobi_durable_row_of(key, val, &id, &row);

	f->n_rows++;
	if (rc < 0) {
		return rc == MOB_E_CORRUPT ? 0 : rc;
	}
	if (row->form == MOBI_DURABLE_RANGE && row->n_inside == 1) {
		uint32_t base = (uint32_t)mobi_durable_inside(row)[0];

		if (base < r->slots) {
			f->bases[base / 64] |= MOBI_BIT(base % 64);
		}
	}
	free(row);
	return 0;
}

static int value_of_file(struct mobi_restore *r, struct fill *f, uint64_t id,
			 const struct mobi_durable_row *row, uint64_t bytes)
{
	uint32_t slot = (uint32_t)id;
	char name[MOBI_SPILL_NAME];
	void *at;
	int rc;

	mobi_spill_name(name, id);
	if (f->bases[slot / 64] & MOBI_BIT(slot % 64)) {
		rc = mobi_slot_value(f->s, id, bytes, row->type, &at);
		return rc < 0 ? rc :
				mobi_spill_read(r->d.data_fd, id, at, bytes);
	}
	rc = mobi_spill_verify(r->d.data_fd, id, bytes, r->read_all);
	if (rc < 0) {
		return rc;
	}
	if (!mobi_file_link_at(r->d.data_fd, name, f->s->spill_fd, name)) {
		return mobi_err(MOB_E_SYS, "file %s cannot be linked", name);
	}
	mobi_spill_adopt(f->s, slot, row->type);
	return 0;
}

/* The bytes of an object: why it has none here. */
static int value_of(struct mobi_restore *r, struct fill *f, uint64_t id,
		    const struct mobi_durable_row *row)
{
	uint64_t bytes = mobi_object_bytes(row->size, row->header);
	void *at;
	int rc;

	switch (row->form) {
	case MOBI_DURABLE_ROW:
		if (bytes != row->n_bytes) {
			break;
		}
		rc = mobi_slot_value(f->s, id, bytes, row->type, &at);
		if (rc >= 0 && bytes) {
			memcpy(at, mobi_durable_bytes(row), bytes);
		}
		return rc;
	case MOBI_DURABLE_FILE:
		return value_of_file(r, f, id, row, bytes);
	case MOBI_DURABLE_RANGE:
		if (row->n_inside != 1) {
			break;
		}
		mobi_slot_value_range(f->s, id, mobi_durable_inside(row)[0],
				      row->range_off, row->size, row->type);
		return 0;
	case MOBI_DURABLE_NONE:
		return 0;
	default:
		break;
	}
	return mobi_err(MOB_E_CORRUPT, "its row makes no sense");
}

/* Is what went wrong that object's, not everybody's? */
static bool is_damage(int rc)
{
	return rc == MOB_E_CORRUPT || rc == MOB_E_NOT_FOUND;
}

/* Gives it a slot, pending. */
static int fill_object(struct mobi_restore *r, MDB_val *key, MDB_val *val,
		       void *arg)
{
	struct fill *f = arg;
	struct mobi_durable_row *row;
	struct mobi_slot *o;
	uint64_t id;
	int rc = mobi_durable_row_of(key, val, &id, &row);

	if (rc == MOB_E_CORRUPT) {
		tell(r, "object %u is dropped: its row is damaged",
		     (uint32_t)id);
		return 0;
	}
	if (rc < 0) {
		return rc;
	}
	if (f->id[(uint32_t)id] != NO_ID) {
		tell(r,
		     "object %u of generation %u is dropped: another has "
		     "its slot",
		     (uint32_t)id, MOBI_GEN(id));
		free(row);
		return 0;
	}
	o = &f->s->slots[(uint32_t)id];
	mobi_slot_revive(f->s, id);
	f->id[(uint32_t)id] = id;
	rc = value_of(r, f, id, row);
	if (is_damage(rc)) {
		tell(r, "object %u of %llu bytes is lost: %s", (uint32_t)id,
		     (unsigned long long)row->size, mob_err_detail(rc));
		mobi_slot_value_inside(f->s, id); /* its block goes */
		mobi_store(&o->loc, UINT64_C(0));
		rc = 0;
	}
	if (rc >= 0) {
		mobi_store(&o->size, row->size);
		mobi_store(&o->header, row->header);
	}
	free(row);
	return rc;
}

static int nest(struct fill *f, uint64_t id, const struct mobi_durable_row *row)
{
	struct mob_ref *refs = calloc(row->n_inside + (size_t)1, sizeof(*refs));
	int rc;

	if (!refs) {
		return mobi_err(MOB_E_NOMEM, "restore: no memory");
	}
	for (uint32_t i = 0; i < row->n_inside; i++) {
		refs[i] = mobi_ref_of(f->s, mobi_durable_inside(row)[i]);
	}
	rc = mobi_object_nest(f->s, id, refs, row->n_inside);
	free(refs);
	return rc;
}

/* The state that it gets. */
static uint32_t state_of(struct mobi_restore *r, const struct fill *f,
			 uint64_t id, const struct mobi_durable_row *row)
{
	if (row->form != MOBI_DURABLE_NONE &&
	    !mobi_load(&f->s->slots[(uint32_t)id].loc)) {
		return MOBI_S_LOST;
	}
	for (uint32_t i = 0; i < row->n_inside; i++) {
		uint64_t in = mobi_durable_inside(row)[i];

		if ((uint32_t)in >= r->slots || f->id[(uint32_t)in] != in) {
			tell(r,
			     "object %u is lost: object %u, which it refers "
			     "to, is not there",
			     (uint32_t)id, (uint32_t)in);
			return MOBI_S_LOST;
		}
		if (row->form == MOBI_DURABLE_RANGE &&
		    !mobi_load(&f->s->slots[(uint32_t)in].loc)) {
			tell(r,
			     "object %u is lost: it is a part of object %u, "
			     "which is",
			     (uint32_t)id, (uint32_t)in);
			return MOBI_S_LOST;
		}
	}
	return row->state == MOBI_S_CANCELLED || row->state == MOBI_S_FAILED ||
			       row->state == MOBI_S_LOST ?
		       row->state :
		       MOBI_S_SEALED;
}

/* What is inside it gets its edges; then it is what it was. */
static int seal_object(struct mobi_restore *r, MDB_val *key, MDB_val *val,
		       void *arg)
{
	struct fill *f = arg;
	struct mobi_durable_row *row;
	struct mobi_slot *o;
	uint32_t state;
	uint64_t id;
	int rc = mobi_durable_row_of(key, val, &id, &row);

	if (rc < 0) {
		return rc == MOB_E_CORRUPT ? 0 : rc;
	}
	if (f->id[(uint32_t)id] != id) {
		free(row);
		return 0;
	}
	o = &f->s->slots[(uint32_t)id];
	state = state_of(r, f, id, row);
	rc = state != MOBI_S_LOST && row->n_inside ? nest(f, id, row) : 0;
	if (rc >= 0) {
		MOB_ASSERT(mobi_slot_resolve_owned(f->s, id, state));
		if (state != MOBI_S_LOST &&
		    mobi_load(&o->loc) == MOBI_LOC_SPILLED) {
			(void)mobi_fetch_or(&o->word, MOBI_F_SPILL);
		}
	}
	free(row);
	return rc;
}

/* ---- names and pins ---- */

static int restore_name(struct mobi_restore *r, MDB_val *key, MDB_val *val,
			void *arg)
{
	struct fill *f = arg;
	struct mobi_durable_name n;
	int len = (int)(key->mv_size < MOB_NAME_MAX ? key->mv_size :
						      MOB_NAME_MAX);
	const char *name = key->mv_data;
	uint32_t slot;
	int rc;

	if (!mobi_durable_name_of(key, val, &n)) {
		tell(r, "name '%.*s' is dropped: its row is damaged", len,
		     name);
		return 0;
	}
	slot = (uint32_t)n.id;
	if (slot >= r->slots || f->id[slot] != n.id ||
	    MOBI_STATE(mobi_load(&f->s->slots[slot].word)) == MOBI_S_LOST) {
		tell(r, "name '%.*s' is dropped: its object %u is not there",
		     len, name, slot);
		return 0;
	}
	rc = mobi_name_row_put(f->s->cat->env, f->txn, name, (size_t)len, n.id,
			       n.version);
	if (rc) {
		return mobi_cat_fail(rc, "restoring a name");
	}
	f->names[slot]++;
	return 0;
}

static int restore_pins(struct mobi_restore *r, MDB_val *key, MDB_val *val,
			void *arg)
{
	struct fill *f = arg;
	struct mobi_durable_row *row;
	uint64_t id;
	int rc = mobi_durable_row_of(key, val, &id, &row);
	uint32_t slot = (uint32_t)id;

	if (rc < 0) {
		return rc == MOB_E_CORRUPT ? 0 : rc;
	}
	rc = 0;
	if (f->id[slot] == id && (f->names[slot] || row->pins)) {
		if (MOBI_STATE(mobi_load(&f->s->slots[slot].word)) ==
			    MOBI_S_LOST &&
		    row->form != MOBI_DURABLE_NONE) {
			tell(r, "%u pins of object %u are dropped: it is lost",
			     row->pins, slot);
		} else {
			const struct mobi_keep_row keep = { MOBI_GEN(id),
							    f->names[slot],
							    row->pins, 0 };

			rc = mobi_keep_row_put(f->s->cat->env, f->txn, id,
					       &keep);
			if (!rc) {
				mobi_keep_set(f->s, id);
			}
			rc = rc ? mobi_cat_fail(rc, "restoring a pin") : 0;
		}
	}
	free(row);
	return rc;
}

static int restore_kept(struct mobi_restore *r, struct fill *f)
{
	struct mobi_catalogue *cat = f->s->cat;
	int rc;
	int ended;

	mobi_store(&f->s->cat_shared->has_names, 1u);
	rc = mobi_cat_begin_write(cat, &f->txn);
	if (rc < 0) {
		return rc;
	}
	rc = each(r, r->d.name, restore_name, f);
	if (rc >= 0) {
		rc = each(r, r->d.object, restore_pins, f);
	}
	ended = mobi_cat_end_write(cat, f->txn, rc >= 0);
	mobi_cat_leave(cat, ended);
	return rc < 0 || !ended ? rc : mobi_cat_fail(ended, "restoring names");
}

/* ---- the copy says what was restored ---- */

/* What was left out goes from the copy, too: its slots are used again. */
struct tidy {
	struct mobi_restore *r;
	struct fill *f;
	struct mobi_ids drop;
	struct mobi_ids change;
	struct name_left *names;
};

struct name_left {
	struct name_left *next;
	size_t n;
	char name[];
};

static bool is_there(const struct fill *f, uint64_t id, uint32_t slots)
{
	uint32_t slot = (uint32_t)id;
	uint64_t w;

	if (slot >= slots || f->id[slot] != id) {
		return false;
	}
	w = mobi_load(&f->s->slots[slot].word);
	return MOBI_GEN(w) == MOBI_GEN(id) && mobi_living(w);
}

static bool became_lost(const struct fill *f, uint64_t id,
			const struct mobi_durable_row *row)
{
	uint64_t w = mobi_load(&f->s->slots[(uint32_t)id].word);

	return row->form != MOBI_DURABLE_NONE && MOBI_STATE(w) == MOBI_S_LOST;
}

static int count_outer(struct mobi_restore *r, MDB_val *key, MDB_val *val,
		       void *arg)
{
	struct tidy *t = arg;
	struct mobi_durable_row *row;
	uint64_t id;
	int rc = mobi_durable_row_of(key, val, &id, &row);

	if (rc < 0) {
		return rc == MOB_E_CORRUPT ? 0 : rc;
	}
	if (is_there(t->f, id, r->slots) && !became_lost(t->f, id, row)) {
		for (uint32_t i = 0; i < row->n_inside; i++) {
			t->f->outer[(uint32_t)mobi_durable_inside(row)[i]]++;
		}
	}
	free(row);
	return 0;
}

static int judge_row(struct mobi_restore *r, MDB_val *key, MDB_val *val,
		     void *arg)
{
	struct tidy *t = arg;
	struct mobi_durable_row *row;
	uint64_t id;
	int rc = mobi_durable_row_of(key, val, &id, &row);

	if (rc < 0 && rc != MOB_E_CORRUPT) {
		return rc;
	}
	rc = rc >= 0 && is_there(t->f, id, r->slots) ?
		     mobi_ids_push(&t->change, id) :
		     mobi_ids_push(&t->drop, id);
	free(row);
	return rc;
}

static int write_anew(struct tidy *t, uint64_t id)
{
	uint32_t slot = (uint32_t)id;
	struct mobi_durable_row *row;
	int rc = mobi_durable_row_get(&t->r->d, id, &row);

	if (rc <= 0) {
		return rc;
	}
	if (became_lost(t->f, id, row)) {
		row->form = MOBI_DURABLE_NONE;
		row->state = MOBI_S_LOST;
		row->size = 0;
		row->header = 0;
		row->n_bytes = 0;
		row->n_inside = 0;
		row->pins = 0;
	}
	row->names = t->f->names[slot];
	row->outer = t->f->outer[slot];
	rc = mobi_durable_row_put(&t->r->d, id, row, mobi_durable_inside(row),
				  mobi_durable_bytes(row));
	free(row);
	return rc;
}

static int tidy_names(struct mobi_restore *r, MDB_val *key, MDB_val *val,
		      void *arg)
{
	struct tidy *t = arg;
	struct mobi_durable_name n;
	struct name_left *left;

	if (mobi_durable_name_of(key, val, &n) &&
	    is_there(t->f, n.id, r->slots) &&
	    MOBI_STATE(mobi_load(&t->f->s->slots[(uint32_t)n.id].word)) !=
		    MOBI_S_LOST) {
		return 0;
	}
	left = malloc(sizeof(*left) + key->mv_size);
	if (!left) {
		return mobi_err(MOB_E_NOMEM, "restore: no memory");
	}
	left->n = key->mv_size;
	memcpy(left->name, key->mv_data, left->n);
	left->next = t->names;
	t->names = left;
	return 0;
}

static int tidy_copy(struct mobi_restore *r, struct fill *f)
{
	struct tidy t = { .r = r, .f = f };
	int rc = each(r, r->d.object, count_outer, &t);

	if (rc >= 0) {
		rc = each(r, r->d.object, judge_row, &t);
	}
	if (rc >= 0) {
		rc = each(r, r->d.name, tidy_names, &t);
	}
	for (size_t i = 0; i < t.change.n && rc >= 0; i++) {
		rc = write_anew(&t, t.change.at[i]);
	}
	for (size_t i = 0; i < t.drop.n && rc >= 0; i++) {
		rc = mobi_durable_row_del(&r->d, t.drop.at[i]);
	}
	while (t.names) {
		struct name_left *left = t.names;

		if (rc >= 0) {
			rc = mobi_durable_name_del(&r->d, left->name, left->n);
		}
		t.names = left->next;
		free(left);
	}
	free(t.change.at);
	free(t.drop.at);
	return rc;
}

/* ---- files that no row refers to ---- */

static int remove_stray(const char *name, void *arg)
{
	struct mobi_restore *r = arg;
	struct mobi_durable_row *row;
	char *end;
	uint64_t slot = strtoul(name, &end, 10);
	uint64_t gen = *end == '.' ? strtoul(end + 1, &end, 10) : 0;

	if (*end || slot >= MOBI_SLOTS || gen > UINT32_MAX ||
	    mobi_durable_row_get(&r->d, gen << 32 | slot, &row) < 0) {
		return 0;
	}
	if (!row || row->form != MOBI_DURABLE_FILE) {
		(void)mobi_file_remove_at(r->d.data_fd, name);
	}
	free(row);
	return 0;
}

static void remove_strays(struct mobi_restore *r)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", r->d.data_fd);
	(void)mobi_dir_each(path, remove_stray, r);
}

/* ---- the whole ---- */

static int fill_all(struct mobi_restore *r, struct fill *f)
{
	uint64_t there = 0;
	int rc = mobi_pool_reserve(f->s, MOBI_POOL_SLOT, r->slots);

	if (rc >= 0) {
		rc = each(r, r->d.object, note_base, f);
	}
	if (rc >= 0) {
		rc = each(r, r->d.object, fill_object, f);
	}
	if (rc >= 0) {
		rc = each(r, r->d.object, seal_object, f);
	}
	if (rc >= 0) {
		rc = restore_kept(r, f);
	}
	for (uint32_t i = 0; i < r->slots && rc >= 0; i++) {
		if (f->id[i] != NO_ID) {
			(void)mobi_slot_release(f->s, f->id[i]);
		}
	}
	for (uint32_t i = 0; i < r->slots; i++) {
		there += f->id[i] != NO_ID && is_there(f, f->id[i], r->slots);
	}
	if (rc >= 0 && (r->told || there != f->n_rows)) {
		rc = tidy_copy(r, f);
	}
	if (rc >= 0) {
		mobi_pool_reap(f->s, MOBI_POOL_SLOT, 0, mobi_slots_free);
		remove_strays(r);
	}
	return rc;
}

int mobi_restore_fill(struct mobi_restore *r, struct mob_store *s)
{
	bool check_writes = s->check_writes;
	size_t n = r->slots + (size_t)1;
	struct fill f = { .s = s };
	MDB_stat st = { 0 };
	int rc;

	f.id = malloc(n * sizeof(*f.id));
	f.names = calloc(n, sizeof(*f.names));
	f.outer = calloc(n, sizeof(*f.outer));
	f.bases = calloc(n / 64 + 1, sizeof(*f.bases));
	if (!f.id || !f.names || !f.outer || !f.bases) {
		rc = mobi_err(MOB_E_NOMEM, "restore: no memory");
	} else {
		memset(f.id, 0xff, n * sizeof(*f.id));
		s->check_writes = false; /* there is no window to take away */
		rc = fill_all(r, &f);
		s->check_writes = check_writes;
	}
	free(f.id);
	free(f.names);
	free(f.outer);
	free(f.bases);
	if (rc >= 0) {
		(void)mdb_stat(r->d.txn, r->d.object, &st);
		mobi_store(&s->hdr->durable_objects, (uint64_t)st.ms_entries);
		r->meta.life = s->hdr->life;
		r->meta.gen_max = s->gen_base;
		r->meta.version_max = r->version;
		rc = mobi_durable_meta_put(&r->d, &r->meta);
	}
	return rc < 0 ? rc : mobi_durable_commit(&r->d);
}
