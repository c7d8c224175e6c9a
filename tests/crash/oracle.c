/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "oracle.h"

#include <mobula/store.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MAP_BYTES ((size_t)1 << 30)

/* What may be missing is asked for by this. */
static bool found(int rc, int line)
{
	if (rc && rc != MDB_NOTFOUND) {
		(void)fprintf(stderr, "oracle: line %d: %s\n", line,
			      mdb_strerror(rc));
		abort();
	}
	return rc == 0;
}
#define FOUND(rc) found((rc), __LINE__)

static void must(bool yes, int line)
{
	if (!yes) {
		(void)fprintf(stderr, "oracle: line %d: cannot be\n", line);
		abort();
	}
}
#define MUST(yes) must((yes), __LINE__)

static MDB_val val_of(const void *at, size_t n)
{
	MDB_val v = { .mv_size = n };

	memcpy(&v.mv_data, &at, sizeof(at));
	return v;
}

/* ---- environment ---- */

void oracle_open(struct oracle *o, const char *dir)
{
	char path[256];

	memset(o, 0, sizeof(*o));
	(void)snprintf(path, sizeof(path), "%s/guard", dir);
	o->guard = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(o->guard >= 0);
	MUST(FOUND(mdb_env_create(&o->env)));
	MUST(FOUND(mdb_env_set_mapsize(o->env, MAP_BYTES)));
	MUST(FOUND(mdb_env_set_maxdbs(o->env, 4)));
	MUST(FOUND(mdb_env_open(o->env, dir, MDB_NOSYNC | MDB_NOTLS, 0600)));
	oracle_begin(o);
	MUST(FOUND(mdb_dbi_open(o->txn, "row", MDB_CREATE, &o->row)));
	MUST(FOUND(mdb_dbi_open(o->txn, "bytes", MDB_CREATE, &o->bytes)));
	MUST(FOUND(mdb_dbi_open(o->txn, "hold", MDB_CREATE, &o->hold)));
	MUST(FOUND(mdb_dbi_open(o->txn, "name", MDB_CREATE, &o->name)));
	oracle_commit(o);
}

void oracle_close(struct oracle *o)
{
	mdb_env_close(o->env);
	(void)close(o->guard);
}

/* LMDB's own lock would do, but one who is killed while it is given the lock takes
 * the waking of the next with it. */
void oracle_begin(struct oracle *o)
{
	MUST(flock(o->guard, LOCK_EX) == 0);
	MUST(FOUND(mdb_txn_begin(o->env, NULL, 0, &o->txn)));
}

void oracle_commit(struct oracle *o)
{
	MUST(FOUND(mdb_txn_commit(o->txn)));
	o->txn = NULL;
	MUST(flock(o->guard, LOCK_UN) == 0);
}

/* ---- rows ---- */

bool oracle_get(struct oracle *o, uint64_t id, struct oracle_row *out)
{
	MDB_val key = val_of(&id, sizeof(id));
	MDB_val val;

	if (!FOUND(mdb_get(o->txn, o->row, &key, &val))) {
		return false;
	}
	memcpy(out, val.mv_data, sizeof(*out));
	return true;
}

static struct oracle_row row_of(struct oracle *o, uint64_t id)
{
	struct oracle_row r;

	MUST(oracle_get(o, id, &r));
	return r;
}

static void put_row(struct oracle *o, const struct oracle_row *r)
{
	MDB_val key = val_of(&r->id, sizeof(r->id));
	MDB_val val = val_of(r, sizeof(*r));

	MUST(FOUND(mdb_put(o->txn, o->row, &key, &val, 0)));
}

static void put_bytes(struct oracle *o, uint64_t id, const void *at, size_t n)
{
	MDB_val key = val_of(&id, sizeof(id));
	MDB_val val = val_of(n ? at : "", n);

	MUST(FOUND(mdb_put(o->txn, o->bytes, &key, &val, 0)));
}

const void *oracle_bytes(struct oracle *o, uint64_t id)
{
	MDB_val key = val_of(&id, sizeof(id));
	MDB_val val;

	MUST(FOUND(mdb_get(o->txn, o->bytes, &key, &val)));
	return val.mv_data;
}

/* Copies the values of a table, of one size; at most `max`. */
static uint32_t copy_all(struct oracle *o, MDB_dbi dbi, void *out, size_t size,
			 uint32_t max)
{
	MDB_cursor *cur;
	MDB_val key;
	MDB_val val;
	uint32_t n = 0;

	MUST(FOUND(mdb_cursor_open(o->txn, dbi, &cur)));
	while (FOUND(mdb_cursor_get(cur, &key, &val, MDB_NEXT))) {
		MUST(n < max && val.mv_size == size);
		memcpy((char *)out + n++ * size, val.mv_data, size);
	}
	mdb_cursor_close(cur);
	return n;
}

uint32_t oracle_rows(struct oracle *o, struct oracle_row *out)
{
	return copy_all(o, o->row, out, sizeof(*out), ORACLE_MAX);
}

uint32_t oracle_holds(struct oracle *o, struct oracle_hold *out)
{
	return copy_all(o, o->hold, out, sizeof(*out), ORACLE_MAX);
}

/* Lets go what nothing keeps any more, and what was inside of that. */
static void settle(struct oracle *o, uint64_t id)
{
	uint64_t todo[ORACLE_MAX];
	uint32_t n = 0;

	todo[n++] = id;
	while (n) {
		struct oracle_row r;
		MDB_val key;

		if (!oracle_get(o, todo[--n], &r) || r.holds || r.edges ||
		    r.pins) {
			continue;
		}
		if (r.names) {
			r.exposed |= r.cached;
			put_row(o, &r);
			continue;
		}
		key = val_of(&r.id, sizeof(r.id));
		MUST(FOUND(mdb_del(o->txn, o->row, &key, NULL)));
		MUST(FOUND(mdb_del(o->txn, o->bytes, &key, NULL)));
		for (uint32_t i = 0; i < r.n_inner; i++) {
			struct oracle_row in = row_of(o, r.inner[i]);

			in.edges--;
			put_row(o, &in);
			MUST(n < ORACLE_MAX);
			todo[n++] = in.id;
		}
	}
}

void oracle_add(struct oracle *o, const struct oracle_row *row, const void *at,
		uint32_t number)
{
	struct oracle_row r = *row;

	MUST(!oracle_get(o, r.id, &r));
	for (uint32_t i = 0; i < r.n_inner; i++) {
		struct oracle_row in = row_of(o, r.inner[i]);

		in.edges++;
		put_row(o, &in);
	}
	put_row(o, &r);
	put_bytes(o, r.id, at, r.size);
	oracle_keep(o, r.id, r.maker, number, 1, 0);
}

void oracle_resolve(struct oracle *o, uint64_t id, uint32_t state,
		    uint64_t born_ms, const void *at, uint64_t size)
{
	struct oracle_row r = row_of(o, id);

	MUST(r.state == MOB_OBJECT_PENDING);
	r.state = state;
	r.born_ms = born_ms;
	r.size = size;
	r.type = at ? r.type : 0;
	put_row(o, &r);
	put_bytes(o, id, at, size);
}

/* ---- who holds ---- */

struct hold_key {
	uint64_t id;
	uint64_t proc;
};

void oracle_keep(struct oracle *o, uint64_t id, uint32_t proc, uint32_t number,
		 int holds, int views)
{
	struct hold_key k = { id, proc };
	struct oracle_row r = row_of(o, id);
	struct oracle_hold h = { id, proc, number, 0, 0 };
	MDB_val key = val_of(&k, sizeof(k));
	MDB_val val;

	if (FOUND(mdb_get(o->txn, o->hold, &key, &val))) {
		memcpy(&h, val.mv_data, sizeof(h));
	}
	h.holds += (uint32_t)holds;
	h.views += (uint32_t)views;
	MUST(h.holds < 1u << 16 && h.views < 1u << 16);
	r.holds += (uint32_t)(holds + views);
	put_row(o, &r);
	if (h.holds || h.views) {
		val = val_of(&h, sizeof(h));
		MUST(FOUND(mdb_put(o->txn, o->hold, &key, &val, 0)));
	} else {
		MUST(FOUND(mdb_del(o->txn, o->hold, &key, NULL)));
	}
	settle(o, id);
}

void oracle_dead(struct oracle *o, uint32_t proc)
{
	static struct oracle_row row[ORACLE_MAX];
	static struct oracle_hold hold[ORACLE_MAX];
	uint32_t n = oracle_rows(o, row);

	for (uint32_t i = 0; i < n; i++) {
		if (row[i].state == MOB_OBJECT_PENDING &&
		    row[i].maker == proc) {
			oracle_resolve(o, row[i].id, MOB_OBJECT_LOST, 0, NULL,
				       0);
		}
	}
	n = oracle_holds(o, hold);
	for (uint32_t i = 0; i < n; i++) {
		if (hold[i].proc == proc) {
			oracle_keep(o, hold[i].id, proc, 0, -(int)hold[i].holds,
				    -(int)hold[i].views);
		}
	}
}

/* ---- names and pins ---- */

bool oracle_name_get(struct oracle *o, const char *name,
		     struct oracle_name *out)
{
	MDB_val key = val_of(name, strlen(name));
	MDB_val val;

	if (!FOUND(mdb_get(o->txn, o->name, &key, &val))) {
		return false;
	}
	memcpy(out, val.mv_data, sizeof(*out));
	return true;
}

uint32_t oracle_names(struct oracle *o, const char *prefix,
		      struct oracle_name *out)
{
	uint32_t n = copy_all(o, o->name, out, sizeof(*out), ORACLE_NAMES);
	uint32_t m = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (!strncmp(out[i].name, prefix, strlen(prefix))) {
			out[m++] = out[i];
		}
	}
	return m;
}

uint32_t oracle_names_of(struct oracle *o, uint64_t id, struct oracle_name *out)
{
	uint32_t n = copy_all(o, o->name, out, sizeof(*out), ORACLE_NAMES);
	uint32_t m = 0;

	for (uint32_t i = 0; i < n; i++) {
		if (out[i].id == id) {
			out[m++] = out[i];
		}
	}
	return m;
}

/* One name less; the caller settles. */
static void unname(struct oracle *o, const struct oracle_name *nm)
{
	struct oracle_row r = row_of(o, nm->id);
	MDB_val key = val_of(nm->name, strlen(nm->name));

	MUST(r.names > 0);
	r.names--;
	put_row(o, &r);
	MUST(FOUND(mdb_del(o->txn, o->name, &key, NULL)));
}

void oracle_name_put(struct oracle *o, const char *name, uint64_t id,
		     uint64_t version, bool cached)
{
	struct oracle_name nm = { "", id, version };
	struct oracle_name old;
	MDB_val key = val_of(name, strlen(name));
	MDB_val val = val_of(&nm, sizeof(nm));
	bool had = oracle_name_get(o, name, &old);
	struct oracle_row r;

	if (had) {
		unname(o, &old);
	}
	(void)snprintf(nm.name, sizeof(nm.name), "%s", name);
	MUST(FOUND(mdb_put(o->txn, o->name, &key, &val, 0)));
	r = row_of(o, id);
	/* One that something keeps for good is never cached again. */
	r.cached = cached && (r.cached || (!r.names && !r.pins));
	r.names++;
	put_row(o, &r);
	settle(o, id);
	if (had) {
		settle(o, old.id);
	}
}

void oracle_name_stays(struct oracle *o, uint64_t id)
{
	struct oracle_row r = row_of(o, id);

	r.cached = 0;
	put_row(o, &r);
}

void oracle_name_del(struct oracle *o, const char *name)
{
	struct oracle_name nm;

	MUST(oracle_name_get(o, name, &nm));
	unname(o, &nm);
	settle(o, nm.id);
}

void oracle_evict(struct oracle *o, const struct oracle_name *name)
{
	struct oracle_row r;

	o->evicted = true;
	unname(o, name);
	r = row_of(o, name->id);
	if (!r.names) {
		r.cached = 0;
		put_row(o, &r);
	}
	settle(o, name->id);
}

void oracle_pin(struct oracle *o, uint64_t id, int by)
{
	struct oracle_row r = row_of(o, id);

	r.cached = r.names || r.pins ? r.cached : 0;
	r.pins += (uint32_t)by;
	put_row(o, &r);
	settle(o, id);
}

void oracle_free(struct oracle *o, uint64_t id, uint32_t proc)
{
	struct oracle_name nm[ORACLE_NAMES];
	uint32_t n = oracle_names_of(o, id, nm);
	struct oracle_row r;

	for (uint32_t i = 0; i < n; i++) {
		unname(o, &nm[i]);
	}
	r = row_of(o, id);
	r.pins = 0;
	put_row(o, &r);
	oracle_keep(o, id, proc, 0, -1, 0);
}
