/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store should have in it, kept in LMDB alone: values, who holds and views
 * them, what is inside them, names, pins. It frees nothing lazily and knows no
 * blocks, files or bits, only these rules: an object goes when nothing keeps it;
 * what was inside goes with it.
 *
 * A transaction is open from oracle_begin to oracle_commit; there is one at a time
 * among all processes, so it is a lock, too. What goes wrong here ends the process.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <lmdb.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ORACLE_INNER 6u
#define ORACLE_NAME 32u
#define ORACLE_MAX 4096u /* objects */
#define ORACLE_NAMES 64u

struct oracle {
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi row;
	MDB_dbi bytes;
	MDB_dbi hold;
	MDB_dbi name;
	int guard;    /* a file that is locked while a transaction is open */
	bool evicted; /* by oracle_evict, since this was cleared */
};

/* An object; id: {generation, slot}, as in refs. */
struct oracle_row {
	uint64_t id;
	uint64_t size;
	uint64_t born_ms;
	uint32_t type;
	uint32_t state;   /* enum mob_object_state */
	uint32_t creator; /* number in the store */
	uint32_t maker;   /* process, of a pending one */
	uint32_t holds;   /* and views, of all processes */
	uint32_t edges;   /* of objects that have it inside */
	uint32_t names;
	uint32_t pins;
	uint32_t cached;  /* its names are, unless it has a pin */
	uint32_t exposed; /* there was a moment when only cached names kept it,
			     which may be gone since */
	uint32_t is_range;
	uint32_t n_inner;
	uint64_t inner[ORACLE_INNER];
};

/* Who holds or views an object. */
struct oracle_hold {
	uint64_t id;
	uint32_t proc; /* one that had its number before is another */
	uint32_t number;
	uint32_t holds;
	uint32_t views;
};

struct oracle_name {
	char name[ORACLE_NAME];
	uint64_t id;
	uint64_t version;
};

void oracle_open(struct oracle *o, const char *dir);
void oracle_close(struct oracle *o);
void oracle_begin(struct oracle *o);
void oracle_commit(struct oracle *o);

bool oracle_get(struct oracle *o, uint64_t id, struct oracle_row *out);
/* Of the open transaction. */
const void *oracle_bytes(struct oracle *o, uint64_t id);
/* All that are there; at most ORACLE_MAX, which is more than enough. */
uint32_t oracle_rows(struct oracle *o, struct oracle_row *out);
uint32_t oracle_holds(struct oracle *o, struct oracle_hold *out);
/* In the order of bytes: those with a prefix; those of an object. */
uint32_t oracle_names(struct oracle *o, const char *prefix,
		      struct oracle_name *out);
uint32_t oracle_names_of(struct oracle *o, uint64_t id,
			 struct oracle_name *out);
bool oracle_name_get(struct oracle *o, const char *name,
		     struct oracle_name *out);

/* A new one, which its maker holds. */
void oracle_add(struct oracle *o, const struct oracle_row *row, const void *at,
		uint32_t number);
/* A pending one gets its value, or ends without. */
void oracle_resolve(struct oracle *o, uint64_t id, uint32_t state,
		    uint64_t born_ms, const void *at, uint64_t size);
void oracle_keep(struct oracle *o, uint64_t id, uint32_t proc, uint32_t number,
		 int holds, int views);
void oracle_name_put(struct oracle *o, const char *name, uint64_t id,
		     uint64_t version, bool cached);
/* The name has this object already, and is no cached one from now on. */
void oracle_name_stays(struct oracle *o, uint64_t id);
void oracle_name_del(struct oracle *o, const char *name);
void oracle_pin(struct oracle *o, uint64_t id, int by);
/* Names and pins of it go, and one hold. */
void oracle_free(struct oracle *o, uint64_t id, uint32_t proc);
/* A name was taken away because room was needed. */
void oracle_evict(struct oracle *o, const struct oracle_name *name);
/* What a dead process held is let go; what it was making is lost. */
void oracle_dead(struct oracle *o, uint32_t proc);

#endif /* ORACLE_H */
