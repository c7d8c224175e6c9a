/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The LMDB environment under the catalogue: opened late, once a process and
 * directory, reopened when LMDB gives it up, left alone in a forked child.
 */
#ifndef MOBI_CATALOGUE_ENV_H
#define MOBI_CATALOGUE_ENV_H

#include "catalogue.h"

#include <lmdb.h>
#include <stdbool.h>
#include <sys/types.h>

#define MOBI_CAT_CHUNKS (MOBI_SLOTS / MOBI_SLOT_CHUNK)
_Static_assert(MOBI_SLOT_CHUNK == 64, "a word has a bit for each slot");

/* The environment of one directory in this process. */
struct mobi_cat_env {
	struct mobi_cat_env *next;
	dev_t dev;
	ino_t ino;
	pid_t pid;
	unsigned forks;
	unsigned refs;  /* catalogues */
	unsigned users; /* transactions */
	bool broken;    /* LMDB says MDB_PANIC: to be reopened */
	MDB_env *mdb;   /* NULL until first use */
	MDB_dbi dbi;    /* of rows */
	MDB_dbi name;
	MDB_dbi named;
	MDB_dbi keep;    /* of names and pins: name.h */
	MDB_dbi index;   /* catalogue_index.h */
	MDB_dbi changed; /* durable.h */
	int fd;          /* of the directory: path goes through it */
	char path[40];
};

struct mobi_catalogue {
	struct mobi_cat_env *env;
	struct mobi_cat_shared *shared;
	struct mobi_slot *slots;
	uint64_t began_ns;
	int64_t patience_ns;
};

/* Makes c->env->mdb usable until leave. Errors: FORKED, AGAIN, those of LMDB. */
int mobi_cat_enter(struct mobi_catalogue *c);
/* mdb_rc: what LMDB said last; MDB_PANIC has it reopened. */
void mobi_cat_leave(struct mobi_catalogue *c, int mdb_rc);
/* mobi_cat_enter and mdb_txn_begin; mobi_cat_leave after its end. */
int mobi_cat_begin(struct mobi_catalogue *c, unsigned flags, MDB_txn **out_txn);
/*
 * The same for writing; every transaction that may be committed begins so. What
 * a writer that was killed had taken from the dirty bits is marked again: only
 * the next transaction can tell that it did not commit. Ended by
 * mobi_cat_end_write. Errors: BUSY, TIMEOUT: another process, perhaps stopped,
 * is at it.
 */
int mobi_cat_begin_write(struct mobi_catalogue *c, MDB_txn **out_txn);
/* mdb_txn_commit or mdb_txn_abort; returns a code of LMDB. mobi_cat_leave is
 * still to come. */
int mobi_cat_end_write(struct mobi_catalogue *c, MDB_txn *txn, bool commit);
/* The last step of that, for who has ended the transaction by LMDB itself: until then
 * no other writer begins. */
void mobi_cat_unlock_write(struct mobi_catalogue *c);
/* Takes a lock of the catalogue; `what` its owner does. */
int mobi_cat_lock(struct mobi_catalogue *c, struct mobi_lock *l,
		  const char *what);
/* Turns a code of LMDB into one of ours, with a detail. */
int mobi_cat_fail(int mdb_rc, const char *what);

/* Milliseconds since the session began. */
uint64_t mobi_cat_now_ms(const struct mobi_catalogue *c);
/* The row that an object with this word should have. */
void mobi_cat_row_of(struct mobi_slot *o, uint64_t word,
		     struct mobi_cat_row *out_row);
/* How old what the catalogue says is at most. */
uint64_t mobi_cat_lag_ms(const struct mobi_catalogue *c);
/* A row as it is told to people. */
void mobi_cat_info(const struct mobi_cat_row *r, uint32_t epoch, uint32_t slot,
		   struct mob_object_info *out_info);
/* Rows of the chunk's slots; *out_have has a bit for each there is. Returns a
 * code of LMDB. */
int mobi_cat_read_rows(MDB_cursor *cur, uint32_t chunk,
		       struct mobi_cat_row out_rows[MOBI_SLOT_CHUNK],
		       uint64_t *out_have);

#endif /* MOBI_CATALOGUE_ENV_H */
