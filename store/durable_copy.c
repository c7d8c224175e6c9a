/* SPDX-License-Identifier: Apache-2.0 */
/* The copy of a durable store on disk: its directory, and its rows (durable.h). */
#include "durable.h"

#include "crc32c.h"
#include "err.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_file.h"
#include "os_mem.h"
#include "pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC UINT64_C(0x31525544424f4d01) /* ".MOBDUR1" */
#define FORMAT 1u
#define STATE "state.mdb"
#define DATA "data"
#define META "store"
#define MAP_BYTES ((size_t)64 << 30) /* address space, and the upper bound */
#define PATIENCE_NS (30 * MOB_SEC)   /* as long as a sync of files may take */
#define HEAD "mobula-durable-"

int mobi_durable_fail(int mdb_rc, const char *what)
{
	if (mdb_rc == MDB_MAP_FULL) {
		return mobi_err(MOB_E_LIMIT,
				"durable copy: %s: " STATE " is as large as it "
				"may be (%zu GiB)",
				what, MAP_BYTES >> 30);
	}
	if (mdb_rc == ENOSPC || mdb_rc == EDQUOT) {
		return mobi_err(MOB_E_DISK_FULL, "durable copy: %s: no space",
				what);
	}
	if (mdb_rc == MDB_VERSION_MISMATCH) {
		return mobi_err(MOB_E_VERSION,
				"durable copy: %s: made by another LMDB", what);
	}
	if (mdb_rc == ENOMEM) {
		return mobi_err(MOB_E_NOMEM, "durable copy: %s: no memory",
				what);
	}
	if (mdb_rc > 0) {
		return mobi_err(MOB_E_IO, "durable copy: %s: %s", what,
				strerror(mdb_rc));
	}
	return mobi_err(MOB_E_CORRUPT, "durable copy: %s: %s", what,
			mdb_strerror(mdb_rc));
}

/* ---- directory ---- */

static int parent_of(const char *dir, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/" HEAD "%u", dir, mobi_user_id());

	if (dir[0] != '/' || n < 0 || (size_t)n >= size) {
		return mobi_err(MOB_E_INVAL,
				"the directory of a durable store is '%.80s'; "
				"an absolute path of at most 4000 bytes",
				dir);
	}
	return 0;
}

int mobi_durable_path(const char *dir, const char *name, char *out_path,
		      size_t size)
{
	int rc = parent_of(dir, out_path, size);
	size_t at;
	int n;

	if (rc < 0) {
		return rc;
	}
	at = strlen(out_path);
	n = snprintf(out_path + at, size - at, "/%s", name);
	if (n < 0 || (size_t)n >= size - at) {
		return mobi_err(MOB_E_INVAL,
				"the directory of a durable store is '%.80s'; "
				"an absolute path of at most 4000 bytes",
				dir);
	}
	return 0;
}

int mobi_durable_link(struct mob_store *s, const char *path)
{
	return mobi_link_make_at(path, s->dir_fd, MOBI_DURABLE_LINK);
}

/* An empty copy at path. */
static int make_copy(const struct mob_store *s, const char *path)
{
	struct mobi_durable_meta m = {
		.epoch = s->hdr->epoch,
		.arena_bytes = s->hdr->arena_bytes,
		.life = s->hdr->life,
	};
	struct mobi_durable d;
	int fd = mobi_dir_make(path);
	int rc = fd;

	if (rc >= 0) {
		rc = mobi_dir_make_at(fd, DATA);
	}
	if (rc >= 0) {
		rc = mobi_durable_begin(&d, fd, NULL);
		if (rc >= 0) {
			rc = mobi_durable_meta_put(&d, &m);
		}
		if (rc >= 0) {
			rc = mobi_durable_commit(&d);
		}
		mobi_durable_end(&d);
	}
	if (rc >= 0) {
		rc = mobi_fd_sync(fd);
	}
	mobi_fd_close(fd);
	return rc < 0 ? rc : 0;
}

static int sync_dir(const char *path)
{
	int fd = mobi_dir_open(path);
	int rc = fd < 0 ? fd : mobi_fd_sync(fd);

	mobi_fd_close(fd);
	return rc;
}

int mobi_durable_make(struct mob_store *s, const char *dir, bool forced)
{
	char parent[4096];
	char path[4096];
	char name[64];
	char fresh[sizeof(parent) + sizeof(name)];
	int rc;

	if (mobi_dir_in_memory(dir) && !forced) {
		return mobi_err(MOB_E_INVAL,
				"the directory of a durable store, %s, is in "
				"memory (tmpfs) and goes with it; choose one "
				"on "
				"a disk, or set MOB_STORE_SPILL_ANYWHERE",
				dir);
	}
	rc = parent_of(dir, parent, sizeof(parent));
	if (rc >= 0) {
		rc = mobi_durable_path(dir, s->name, path, sizeof(path));
	}
	if (rc >= 0) {
		rc = mobi_dir_private(parent);
	}
	if (rc < 0) {
		return rc;
	}
	mobi_sweep(parent);
	/* As a session: under another name until it is whole. */
	mobi_building_name(name, sizeof(name));
	(void)snprintf(fresh, sizeof(fresh), "%s/%s", parent, name);
	rc = make_copy(s, fresh);
	if (rc >= 0) {
		rc = mobi_dir_rename(fresh, path);
		if (rc == MOB_E_EXISTS) {
			rc = mobi_err(MOB_E_EXISTS,
				      "there is a durable store '%s' in %s; "
				      "`mob store restore` brings it back, "
				      "`mob store remove --dir` removes it",
				      s->name, dir);
		}
	}
	if (rc < 0) {
		(void)mobi_dir_remove(fresh);
		return rc;
	}
	rc = sync_dir(parent);
	if (rc >= 0) {
		rc = sync_dir(dir); /* the parent may be new */
	}
	if (rc >= 0) {
		rc = mobi_durable_link(s, path);
	}
	if (rc < 0) {
		(void)mobi_dir_remove(path);
	}
	return rc;
}

void mobi_durable_open(struct mob_store *s)
{
	if (!mobi_is_durable(s)) {
		return;
	}
	s->durable_fd = mobi_dir_open_at(s->dir_fd, MOBI_DURABLE_LINK);
	if (s->durable_fd >= 0 &&
	    mobi_dir_own(s->durable_fd, MOBI_DURABLE_LINK) < 0) {
		mobi_fd_close(s->durable_fd);
		s->durable_fd = -1;
	}
}

static int lock_copy(int fd, const mobi_a32 *progress)
{
	for (;;) {
		uint32_t seen = progress ? mobi_load(progress) : 0;
		int rc = mobi_dir_lock(fd, PATIENCE_NS);

		if (rc != MOB_E_TIMEOUT || !progress ||
		    mobi_load(progress) == seen) {
			return rc;
		}
	}
}

/* Path of the copy of a session; false: none that was made here. */
static bool path_of_copy(int session_fd, char *out, size_t size)
{
	return mobi_link_read_at(session_fd, MOBI_DURABLE_LINK, out, size) &&
	       strstr(out, "/" HEAD);
}

int mobi_durable_hold(int session_fd, int *out_fd)
{
	char path[4096];
	int fd;
	int rc;

	*out_fd = -1;
	if (!path_of_copy(session_fd, path, sizeof(path))) {
		return 0;
	}
	fd = mobi_dir_open(path);
	if (fd < 0) {
		return fd == MOB_E_NOT_FOUND ? 0 : fd;
	}
	rc = mobi_dir_own(fd, path);
	if (rc >= 0) {
		rc = lock_copy(fd, NULL);
	}
	if (rc < 0) {
		mobi_fd_close(fd);
		return rc;
	}
	*out_fd = fd;
	return 0;
}

int mobi_durable_remove(int session_fd, int fd)
{
	char path[4096];

	return fd < 0 || !path_of_copy(session_fd, path, sizeof(path)) ?
		       0 :
		       mobi_dir_remove_open(fd, path);
}

void mobi_durable_undo(struct mob_store *s)
{
	struct mobi_durable_meta m = { 0 };
	struct mobi_durable d;
	char path[4096];
	int fd;

	if (!s->hdr || !path_of_copy(s->dir_fd, path, sizeof(path))) {
		return;
	}
	fd = mobi_dir_open(path);
	if (fd < 0) {
		return;
	}
	if (mobi_durable_begin(&d, fd, NULL) >= 0 &&
	    mobi_durable_meta_get(&d, &m) >= 0 && m.life == s->hdr->life) {
		(void)mobi_durable_remove(s->dir_fd, fd);
	}
	mobi_durable_end(&d);
	mobi_fd_close(fd);
}

/* ---- transaction ---- */

static int open_tables(struct mobi_durable *d)
{
	int rc = mdb_dbi_open(d->txn, "meta", MDB_CREATE, &d->meta);

	if (!rc) {
		rc = mdb_dbi_open(d->txn, "object", MDB_CREATE, &d->object);
	}
	return rc ? rc : mdb_dbi_open(d->txn, "name", MDB_CREATE, &d->name);
}

/* Only who has the lock opens it: LMDB needs none of its own. */
static int open_state(struct mobi_durable *d)
{
	char path[64];
	int rc = mdb_env_create(&d->env);

	if (rc) {
		return rc;
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/" STATE, d->fd);
	rc = mdb_env_set_mapsize(d->env, MAP_BYTES);
	rc = rc ? rc : mdb_env_set_maxdbs(d->env, 3);
	rc = rc ? rc :
		  mdb_env_open(d->env, path,
			       MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS |
				       MDB_NORDAHEAD,
			       0600);
	rc = rc ? rc : mdb_txn_begin(d->env, NULL, 0, &d->txn);
	return rc ? rc : open_tables(d);
}

/* Disks change bits, and LMDB ends a process that meets such a page. */
static int check_state(int fd)
{
	int state = mobi_file_open_at(fd, STATE);
	int rc;

	if (state < 0) {
		return state == MOB_E_NOT_FOUND ? 0 : state;
	}
	rc = mobi_pages_check(state, 0, true, "durable copy");
	mobi_fd_close(state);
	return rc;
}

int mobi_durable_begin(struct mobi_durable *d, int dir_fd,
		       const mobi_a32 *progress)
{
	int rc;

	*d = (struct mobi_durable){ .fd = -1, .data_fd = -1 };
	/* Of its own: a lock belongs to an open file. */
	d->fd = mobi_dir_open_at(dir_fd, ".");
	if (d->fd < 0) {
		return mobi_err_errno("cannot open the durable copy");
	}
	rc = lock_copy(d->fd, progress);
	if (rc < 0) {
		return rc == MOB_E_TIMEOUT ? mobi_err(rc, "another process "
							  "syncs or restores "
							  "the durable copy, "
							  "and does not get "
							  "on; is it "
							  "stopped?") :
					     rc;
	}
	d->data_fd = mobi_dir_open_at(d->fd, DATA);
	if (d->data_fd < 0) {
		return mobi_err(MOB_E_CORRUPT, "the durable copy has no "
					       "directory " DATA);
	}
	/* Who syncs has restored it, or made it. */
	rc = progress ? 0 : check_state(d->fd);
	if (rc < 0) {
		return rc;
	}
	rc = open_state(d);
	return rc ? mobi_durable_fail(rc, "opening it") : 0;
}

int mobi_durable_commit(struct mobi_durable *d)
{
	int rc = mdb_txn_commit(d->txn);

	d->txn = NULL;
	return rc ? mobi_durable_fail(rc, "committing") : 0;
}

void mobi_durable_end(struct mobi_durable *d)
{
	if (d->txn) {
		mdb_txn_abort(d->txn);
	}
	if (d->env) {
		mdb_env_close(d->env);
	}
	mobi_fd_close(d->data_fd);
	if (d->fd >= 0) {
		mobi_dir_unlock(d->fd); /* a forked child may have it open */
	}
	mobi_fd_close(d->fd);
	*d = (struct mobi_durable){ .fd = -1, .data_fd = -1 };
}

/* ---- rows ---- */

static MDB_val val_of(const void *at, size_t n)
{
	MDB_val v = { .mv_size = n };

	memcpy(&v.mv_data, &at, sizeof(at));
	return v;
}

static uint32_t meta_crc(const struct mobi_durable_meta *m)
{
	return mobi_crc32c(0, m, offsetof(struct mobi_durable_meta, crc));
}

int mobi_durable_meta_get(struct mobi_durable *d, struct mobi_durable_meta *out)
{
	MDB_val key = val_of(META, sizeof(META));
	MDB_val val;
	int rc = mdb_get(d->txn, d->meta, &key, &val);

	if (rc) {
		return mobi_durable_fail(rc, "reading its meta row");
	}
	if (val.mv_size != sizeof(*out)) {
		return mobi_err(MOB_E_CORRUPT, "durable copy: its meta row has "
					       "another length");
	}
	memcpy(out, val.mv_data, sizeof(*out));
	if (out->magic != MAGIC || out->crc != meta_crc(out)) {
		return mobi_err(MOB_E_CORRUPT, "durable copy: its meta row is "
					       "damaged");
	}
	if (out->format != FORMAT) {
		return mobi_err(MOB_E_VERSION,
				"durable copy: format %u; this build reads "
				"format %u",
				out->format, FORMAT);
	}
	return 0;
}

int mobi_durable_meta_put(struct mobi_durable *d, struct mobi_durable_meta *m)
{
	MDB_val key = val_of(META, sizeof(META));
	MDB_val val = val_of(m, sizeof(*m));
	int rc;

	m->magic = MAGIC;
	m->format = FORMAT;
	m->synced_wall = mobi_wall_ns();
	mobi_boot_id(m->boot);
	m->crc = meta_crc(m);
	rc = mdb_put(d->txn, d->meta, &key, &val, 0);
	return rc ? mobi_durable_fail(rc, "writing its meta row") : 0;
}

struct row_key {
	unsigned char at[8];
};

static struct row_key key_of(uint64_t id)
{
	uint64_t v = id << 32 | id >> 32; /* the slot, then the generation */
	struct row_key k;

	for (int i = 0; i < 8; i++) {
		k.at[i] = (unsigned char)(v >> (56 - 8 * i));
	}
	return k;
}

static uint32_t row_crc(uint64_t id, const struct mobi_durable_row *row,
			const void *rest, size_t n)
{
	struct mobi_durable_row head = *row;
	uint32_t crc = mobi_crc32c(0, &id, sizeof(id));

	head.crc = 0;
	return mobi_crc32c(mobi_crc32c(crc, &head, sizeof(head)), rest, n);
}

static bool is_whole(uint64_t id, const MDB_val *val)
{
	struct mobi_durable_row row;
	const char *at = val->mv_data;

	if (val->mv_size < sizeof(row)) {
		return false;
	}
	memcpy(&row, at, sizeof(row));
	return val->mv_size - sizeof(row) ==
		       row.n_inside * sizeof(uint64_t) + row.n_bytes &&
	       row.crc == row_crc(id, &row, at + sizeof(row),
				  val->mv_size - sizeof(row));
}

int mobi_durable_row_of(const MDB_val *key, const MDB_val *val,
			uint64_t *out_id, struct mobi_durable_row **out_row)
{
	const unsigned char *k = key->mv_data;
	uint64_t v = 0;

	*out_id = 0;
	*out_row = NULL;
	for (size_t i = 0; i < 8 && i < key->mv_size; i++) {
		v = v << 8 | k[i];
	}
	*out_id = v << 32 | v >> 32;
	if (key->mv_size != sizeof(struct row_key) ||
	    (uint32_t)*out_id >= MOBI_SLOTS || !is_whole(*out_id, val)) {
		return mobi_err(MOB_E_CORRUPT,
				"durable copy: the row of object %u is damaged",
				(uint32_t)*out_id);
	}
	/* LMDB aligns to 2 bytes. */
	*out_row = malloc(val->mv_size);
	if (!*out_row) {
		return mobi_err(MOB_E_NOMEM, "durable copy: no memory");
	}
	memcpy(*out_row, val->mv_data, val->mv_size);
	return 1;
}

int mobi_durable_row_get(struct mobi_durable *d, uint64_t id,
			 struct mobi_durable_row **out_row)
{
	struct row_key k = key_of(id);
	MDB_val key = val_of(k.at, sizeof(k.at));
	MDB_val val;
	uint64_t same;
	int rc = mdb_get(d->txn, d->object, &key, &val);

	*out_row = NULL;
	if (rc == MDB_NOTFOUND) {
		return 0;
	}
	return rc ? mobi_durable_fail(rc, "reading a row") :
		    mobi_durable_row_of(&key, &val, &same, out_row);
}

int mobi_durable_row_put(struct mobi_durable *d, uint64_t id,
			 struct mobi_durable_row *row, const uint64_t *inside,
			 const void *at)
{
	size_t inside_bytes = row->n_inside * sizeof(*inside);
	struct row_key k = key_of(id);
	MDB_val key = val_of(k.at, sizeof(k.at));
	MDB_val val = { sizeof(*row) + inside_bytes + row->n_bytes, NULL };
	char *to = malloc(val.mv_size);
	int rc;

	if (!to) {
		return mobi_err(MOB_E_NOMEM, "durable copy: no memory");
	}
	if (inside_bytes) {
		memcpy(to + sizeof(*row), inside, inside_bytes);
	}
	if (row->n_bytes) {
		memcpy(to + sizeof(*row) + inside_bytes, at, row->n_bytes);
	}
	row->crc = row_crc(id, row, to + sizeof(*row),
			   val.mv_size - sizeof(*row));
	memcpy(to, row, sizeof(*row));
	val.mv_data = to;
	rc = mdb_put(d->txn, d->object, &key, &val, 0);
	free(to);
	return rc ? mobi_durable_fail(rc, "writing a row") : 0;
}

int mobi_durable_row_del(struct mobi_durable *d, uint64_t id)
{
	struct row_key k = key_of(id);
	MDB_val key = val_of(k.at, sizeof(k.at));
	int rc = mdb_del(d->txn, d->object, &key, NULL);

	return rc && rc != MDB_NOTFOUND ? mobi_durable_fail(rc, "removing a "
								"row") :
					  0;
}

static uint32_t name_crc(const struct mobi_durable_name *r, const void *name,
			 size_t n)
{
	return mobi_crc32c(mobi_crc32c(0, name, n), r,
			   offsetof(struct mobi_durable_name, crc));
}

int mobi_durable_name_put(struct mobi_durable *d, const void *name, size_t n,
			  uint64_t id, uint64_t version)
{
	struct mobi_durable_name r = { id, version, 0, 0 };
	MDB_val key = val_of(name, n);
	MDB_val val = val_of(&r, sizeof(r));
	int rc;

	r.crc = name_crc(&r, name, n);
	rc = mdb_put(d->txn, d->name, &key, &val, 0);
	return rc ? mobi_durable_fail(rc, "writing a name") : 0;
}

int mobi_durable_name_del(struct mobi_durable *d, const void *name, size_t n)
{
	MDB_val key = val_of(name, n);
	int rc = mdb_del(d->txn, d->name, &key, NULL);

	return rc && rc != MDB_NOTFOUND ? mobi_durable_fail(rc, "removing a "
								"name") :
					  0;
}

bool mobi_durable_name_of(const MDB_val *key, const MDB_val *val,
			  struct mobi_durable_name *out)
{
	if (val->mv_size != sizeof(*out)) {
		return false;
	}
	memcpy(out, val->mv_data, sizeof(*out));
	return out->crc == name_crc(out, key->mv_data, key->mv_size);
}

int mobi_ids_push(struct mobi_ids *v, uint64_t id)
{
	if (v->n == v->room) {
		size_t room = v->room ? 2 * v->room : 64;
		uint64_t *at = realloc(v->at, room * sizeof(*at));

		if (!at) {
			return mobi_err(MOB_E_NOMEM, "durable copy: no memory");
		}
		v->at = at;
		v->room = room;
	}
	v->at[v->n++] = id;
	return 0;
}
