/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of `mob bench store` about durable stores: a sync of what has changed,
 * beside a synced commit of the same rows by LMDB alone; and what comes back. */
#define _GNU_SOURCE
#include "bench_scale.h"

#include <mobula/store.h>

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define CHANGES 100u
#define OBJECTS 100000u
#define BYTES 100u

struct state {
	struct mob_store *store;
	MDB_env *env;
	char dir[64];
	char name[64];
	uint32_t n;
};

static const char *disk(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir == '/' ? dir : "/var/tmp";
}

static struct mob_store_opts opts_of(const struct state *s)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;

	o.flags = MOB_STORE_DURABLE | MOB_STORE_SPILL_ANYWHERE;
	o.dir = s->dir;
	o.arena_bytes = 64 * MIB;
	return o;
}

static int put_named(struct bench *b, uint32_t n)
{
	struct state *s = b->state;
	unsigned char bytes[BYTES] = { 0 };
	struct mob_ref r;
	char as[32];
	int rc;

	(void)snprintf(as, sizeof(as), "n%u", n);
	memcpy(bytes, &s->n, sizeof(s->n));
	s->n++;
	rc = mob_object_put(s->store, bytes, BYTES, MOB_TYPE_BYTES, &r);
	if (rc >= 0) {
		rc = mob_name_put(s->store, as, r, MOB_NAME_REPLACE, NULL);
		(void)mob_object_release(s->store, r);
	}
	return rc < 0 ? bench_fail_rc(b, rc, "mob_name_put") : 0;
}

static int open_lmdb(struct bench *b)
{
	struct state *s = b->state;
	char path[80];
	int rc = mdb_env_create(&s->env);

	(void)snprintf(path, sizeof(path), "%s/raw.mdb", s->dir);
	rc = rc ? rc : mdb_env_set_mapsize(s->env, 256 * MIB);
	rc = rc ? rc : mdb_env_open(s->env, path, MDB_NOSUBDIR, 0600);
	return rc ? bench_fail(b, "LMDB: %s", mdb_strerror(rc)) : 0;
}

int bench_setup_durable(struct bench *b)
{
	struct state *s = calloc(1, sizeof(*s));
	struct mob_store_opts o;
	int rc;

	b->state = s;
	if (!s) {
		return bench_fail(b, "out of memory");
	}
	(void)snprintf(s->dir, sizeof(s->dir), "%.40s/mob-bench-XXXXXX",
		       disk());
	if (!mkdtemp(s->dir)) {
		s->dir[0] = 0;
		return bench_fail(b, "%s: %s", disk(), strerror(errno));
	}
	(void)snprintf(s->name, sizeof(s->name), "bench-%d", (int)getpid());
	o = opts_of(s);
	rc = mob_store_create(s->name, &o, &s->store);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_create") : open_lmdb(b);
}

void bench_durable_teardown(struct bench *b)
{
	struct state *s = b->state;
	static const char *const left[] = { "raw.mdb", "raw.mdb-lock" };

	if (!s) {
		return;
	}
	mob_store_close(s->store);
	if (s->name[0] && mob_store_remove(s->name) < 0 && s->store) {
		(void)bench_fail(b, "store %s is left", s->name);
	}
	if (s->env) {
		mdb_env_close(s->env);
	}
	for (int i = 0; i < 2 && s->dir[0]; i++) {
		char path[80];

		(void)snprintf(path, sizeof(path), "%s/%s", s->dir, left[i]);
		(void)unlink(path);
	}
	if (s->dir[0]) {
		char path[96];

		(void)snprintf(path, sizeof(path), "%s/mobula-durable-%u",
			       s->dir, (unsigned)geteuid());
		(void)rmdir(path);
		(void)rmdir(s->dir);
	}
	free(s);
}

/* A sync after a hundred names got other objects. */
int bench_sync(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, 20);
	int rc = 0;

	(void)out_value;
	for (uint32_t i = 0; i < n && !rc; i++) {
		uint64_t t;

		for (uint32_t k = 0; k < CHANGES && !rc; k++) {
			rc = put_named(b, k);
		}
		t = bench_now();
		if (!rc && mob_store_sync(s->store) < 0) {
			rc = bench_fail_rc(b, MOB_E_IO, "mob_store_sync");
		}
		bench_sample(b, bench_now() - t);
	}
	return rc;
}

static int commit_rows(struct state *s)
{
	unsigned char bytes[BYTES] = { 0 };
	MDB_txn *txn;
	MDB_dbi dbi;
	int rc = mdb_txn_begin(s->env, NULL, 0, &txn);

	if (rc) {
		return rc;
	}
	rc = mdb_dbi_open(txn, NULL, 0, &dbi);
	for (uint32_t k = 0; k < CHANGES && !rc; k++) {
		char as[32];
		MDB_val key = { 0, as };
		MDB_val val = { BYTES, bytes };

		key.mv_size = (size_t)snprintf(as, sizeof(as), "n%u", k);
		memcpy(bytes, &s->n, sizeof(s->n));
		s->n++;
		rc = mdb_put(txn, dbi, &key, &val, 0);
	}
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

int bench_sync_raw(struct bench *b, double *out_value)
{
	uint32_t n = (uint32_t)bench_n(b, 20);
	int rc = 0;

	(void)out_value;
	for (uint32_t i = 0; i < n && !rc; i++) {
		uint64_t t = bench_now();

		rc = commit_rows(b->state);
		bench_sample(b, bench_now() - t);
	}
	return rc ? bench_fail(b, "LMDB: %s", mdb_strerror(rc)) : 0;
}

/* The session is gone; 100,000 named objects come back. */
int bench_reopen(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, OBJECTS);
	struct mob_store_opts o = opts_of(s);
	uint64_t t;
	int rc = 0;

	for (uint32_t i = s->n; i < n && !rc; i++) {
		rc = put_named(b, i);
	}
	if (rc) {
		return rc;
	}
	mob_store_close(s->store);
	s->store = NULL;
	rc = mob_store_unload(s->name);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_store_unload");
	}
	t = bench_now();
	rc = mob_store_restore(s->name, &o, NULL, NULL, &s->store);
	*out_value = (double)(bench_now() - t);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_restore") : 0;
}
