/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable stores: a copy on disk of what has a name or a pin, and of what that
 * refers to, as it was at the last mob_store_sync.
 *
 *   <dir>/mobula-durable-<uid>/<name>/
 *       state.mdb   LMDB, synced at each commit: objects, names, one meta row
 *       data/       a file for each object of more than a page or so, in the
 *                   format of spill_file.c, named <slot>.<generation>
 *       mobula-spill-<uid>-..  where the session spills to
 *
 * The tables and the arena are in memory as always; the session directory has a
 * link "durable" to the copy. Nobody reads the copy but a restore.
 *
 *   name, pin   in the transaction that changes it, a row of the catalogue's
 *               table `changed` says that it did
 *   sync        under the directory's lock: read `changed`, and hold what it is
 *               about, with nobody else writing to the catalogue; write the files
 *               of new objects; sync them; commit the rows; remove the files of
 *               objects that went; remove what was done from `changed`
 *   restore     under the same lock: a new session whose slots have the numbers
 *               and generations of the rows; objects with a file are spilled, to
 *               a link of it
 *
 * Why no kill and no power cut loses what a sync promised: a file is whole and on
 * disk before the commit that refers to it, and goes after the commit that does
 * not; it is never written to again. The commit is LMDB's, which overwrites no
 * page of the state before it. What a kill leaves in `changed` is done again,
 * which changes nothing; a file without a row goes at the next restore.
 *
 * Which session may write: one that is restored takes a new number, `life`, and
 * writes it to the meta row. Another session of the same copy, in another
 * container, say, finds that its number is not there, and cannot sync any more; of
 * the same boot its spill directory is left to it.
 *
 * docs/adr/0011-durable-stores.md says why it is a copy.
 */
#ifndef MOBI_DURABLE_H
#define MOBI_DURABLE_H

#include "segment.h"

#include <lmdb.h>

#define MOBI_DURABLE_LINK "durable"
/* An object that takes no more than this is in its row. */
#define MOBI_DURABLE_ROW_MAX 2048u

/* ---- the copy (durable_copy.c) ---- */

struct mobi_durable_meta {
	uint64_t magic;
	uint32_t format;
	uint32_t epoch;
	uint64_t arena_bytes;
	uint64_t life;
	uint64_t synced_wall; /* ns since 1970 */
	uint64_t boot[2];     /* of the machine that wrote it */
	uint64_t version_max; /* none of a name was higher */
	uint32_t gen_max;     /* the highest of a slot at the last sync */
	uint32_t crc;         /* of the fields before */
};
_Static_assert(sizeof(struct mobi_durable_meta) == 72, "in files");

enum mobi_durable_form {
	MOBI_DURABLE_ROW = 1,   /* bytes behind the row */
	MOBI_DURABLE_FILE = 2,  /* in data/ */
	MOBI_DURABLE_RANGE = 3, /* of inside[0], from range_off on */
	MOBI_DURABLE_NONE = 4   /* it has no value: cancelled, lost */
};

/* Key: slot and generation, numbers from the high byte on. Then come the ids of
 * the objects inside it, then bytes. */
struct mobi_durable_row {
	uint32_t names;
	uint32_t pins;
	uint32_t outer; /* rows that have it inside */
	uint32_t type;
	uint64_t size;
	uint64_t range_off;
	uint32_t header; /* bytes behind the value */
	uint32_t state;  /* MOBI_S_* */
	uint32_t form;
	uint32_t n_inside;
	uint32_t n_bytes;
	uint32_t crc; /* of the id and all, with 0 here */
};
_Static_assert(sizeof(struct mobi_durable_row) == 56, "in files");

struct mobi_durable_name {
	uint64_t id;
	uint64_t version;
	uint32_t crc; /* of the name and the fields before */
	uint32_t reserved;
};
_Static_assert(sizeof(struct mobi_durable_name) == 24, "in files");

/* The copy, locked and in a write transaction. */
struct mobi_durable {
	int fd; /* of its directory, with the lock */
	int data_fd;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi meta;
	MDB_dbi object;
	MDB_dbi name;
};

/* Path of the copy of `name` in dir, and its parent, made. */
int mobi_durable_path(const char *dir, const char *name, char *out_path,
		      size_t size);
/*
 * Locks the copy in dir_fd, which stays the caller's, and begins. progress (may
 * be NULL): while that grows, who has the lock is waited for. Errors: TIMEOUT (10
 * s), CORRUPT, those of LMDB.
 */
int mobi_durable_begin(struct mobi_durable *d, int dir_fd,
		       const mobi_a32 *progress);
/* Commits or gives up. The lock stays. */
int mobi_durable_commit(struct mobi_durable *d);
/* Ends it, whatever was begun; the lock goes. */
void mobi_durable_end(struct mobi_durable *d);

int mobi_durable_meta_get(struct mobi_durable *d,
			  struct mobi_durable_meta *out);
int mobi_durable_meta_put(struct mobi_durable *d, struct mobi_durable_meta *m);
/* *out_row: a copy, which the caller frees; NULL if there is none. 1: there; 0:
 * not. Errors: CORRUPT (damaged), NOMEM. */
int mobi_durable_row_get(struct mobi_durable *d, uint64_t id,
			 struct mobi_durable_row **out_row);
/* The same for one that a cursor found; *out_id is of its key. */
int mobi_durable_row_of(const MDB_val *key, const MDB_val *val,
			uint64_t *out_id, struct mobi_durable_row **out_row);
/* inside: row->n_inside ids; at: row->n_bytes. Sets row->crc. */
int mobi_durable_row_put(struct mobi_durable *d, uint64_t id,
			 struct mobi_durable_row *row, const uint64_t *inside,
			 const void *at);
int mobi_durable_row_del(struct mobi_durable *d, uint64_t id);
static inline const uint64_t *
mobi_durable_inside(const struct mobi_durable_row *row)
{
	return (const void *)(row + 1);
}
static inline const void *mobi_durable_bytes(const struct mobi_durable_row *row)
{
	return mobi_durable_inside(row) + row->n_inside;
}
int mobi_durable_name_put(struct mobi_durable *d, const void *name, size_t n,
			  uint64_t id, uint64_t version);
int mobi_durable_name_del(struct mobi_durable *d, const void *name, size_t n);
/* False: damaged. */
bool mobi_durable_name_of(const MDB_val *key, const MDB_val *val,
			  struct mobi_durable_name *out);
/* A growing list; owner: who frees `at`. Errors: NOMEM. */
struct mobi_ids {
	uint64_t *at;
	size_t n;
	size_t room;
};
int mobi_ids_push(struct mobi_ids *v, uint64_t id);
/* A code of LMDB as one of ours. */
int mobi_durable_fail(int mdb_rc, const char *what);

/* Makes an empty copy and the link to it in a session that is being built.
 * Errors: EXISTS, INVAL (in memory, and not forced), PERM, NOT_FOUND, SYS. */
int mobi_durable_make(struct mob_store *s, const char *dir, bool forced);
/* Link to a copy that is there. */
int mobi_durable_link(struct mob_store *s, const char *path);
/* Finds it, at attach. */
void mobi_durable_open(struct mob_store *s);
/* Locks the copy that a session directory has a link to; *out_fd, which its close
 * unlocks: -1 if there is none. Errors: TIMEOUT, PERM, SYS. */
int mobi_durable_hold(int session_fd, int *out_fd);
/* Removes the copy that is held; fd -1: nothing. */
int mobi_durable_remove(int session_fd, int fd);
/* Removes the copy that a create made which failed, unless another session has
 * taken it over meanwhile. */
void mobi_durable_undo(struct mob_store *s);

/* ---- what has changed (name.c calls it) ---- */

static inline bool mobi_is_durable(const struct mob_store *s)
{
	return s->hdr->flags & MOB_STORE_DURABLE;
}
/* In a write transaction of the catalogue; codes of LMDB. */
int mobi_durable_note_name(struct mob_store *s, MDB_txn *txn, const void *name,
			   size_t n);
int mobi_durable_note_keep(struct mob_store *s, MDB_txn *txn, uint64_t id);

/* ---- sync and restore ---- */

/* Errors: STATE (another session has taken the copy over), TIMEOUT, DISK_FULL,
 * STORE_FULL (no room to bring a spilled object back), IO, NOMEM, those of
 * LMDB. */
int mobi_durable_sync(struct mob_store *s);
/* How many names and objects have changed since the last sync. */
int mobi_durable_unsynced(struct mob_store *s, uint64_t *out_n);

/* A session that is made of a copy. */
struct mobi_restore {
	struct mobi_durable d;
	struct mobi_durable_meta meta;
	uint32_t gen_max; /* of rows and meta */
	uint64_t version; /* the highest of a name */
	uint32_t slots;   /* all are below */
	bool read_all;    /* files, not only their ends */
	bool told;        /* something is left out */
	void (*fn)(const char *line, void *arg); /* or NULL */
	void *arg;
};
/* Looks at the copy: sets what is above, after d and meta. */
int mobi_restore_look(struct mobi_restore *r);
/* Generation from which slots of the new session begin that have no row: beyond
 * all that a ref of the session before can have. */
uint32_t mobi_restore_gen(const struct mobi_restore *r);
/* Fills a session that nobody sees yet, and makes it the one that may sync. */
int mobi_restore_fill(struct mobi_restore *r, struct mob_store *s);

#endif /* MOBI_DURABLE_H */
