/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `mob bench store` that plain LMDB can do, without syncs, in memory:
 * a transaction a put, or for "in batches" one for 1,000. LMDB has no waiting, and
 * what it holds is its file: there is nothing to spill. */
#define _GNU_SOURCE
#include "peer.h"

#include <lmdb.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for 1 GiB, for what a reader might still see of it, and for its successor. */
#define MAP (8 * GIB)

struct db {
	MDB_env *env;
	MDB_dbi dbi;
	int rc; /* of the last call */
	uint32_t first_key;
};

struct state {
	struct bench_large large;
	struct db db;
	struct raw_peer peer;
};

static unsigned char bytes[SMALL];

static int failed(struct bench *b, const char *call)
{
	const struct state *s = b->state;

	return bench_fail(b, "%s: %s", call, mdb_strerror(s->db.rc));
}

static bool db_open(struct db *db)
{
	MDB_txn *txn;

	db->rc = mdb_env_create(&db->env);
	db->rc = db->rc ? db->rc : mdb_env_set_mapsize(db->env, MAP);
	db->rc = db->rc ? db->rc :
			  mdb_env_open(db->env, peer_place,
				       MDB_NOSYNC | MDB_WRITEMAP, 0600);
	db->rc = db->rc ? db->rc : mdb_txn_begin(db->env, NULL, 0, &txn);
	db->rc = db->rc ? db->rc : mdb_dbi_open(txn, NULL, 0, &db->dbi);
	db->rc = db->rc ? db->rc : mdb_txn_commit(txn);
	return db->rc == 0;
}

/* Keys [from, from + n) in one transaction. */
static bool put(struct db *db, uint32_t from, uint32_t n, void *data,
		size_t size)
{
	MDB_txn *txn;

	db->rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	for (uint32_t i = from; i < from + n && !db->rc; i++) {
		MDB_val k = { sizeof(i), &i };
		MDB_val v = { size, data };

		db->rc = mdb_put(txn, db->dbi, &k, &v, 0);
	}
	db->rc = db->rc ? db->rc : mdb_txn_commit(txn);
	return db->rc == 0;
}

static bool del(struct db *db, uint32_t key)
{
	MDB_val k = { sizeof(key), &key };
	MDB_txn *txn;

	db->rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	db->rc = db->rc ? db->rc : mdb_del(txn, db->dbi, &k, NULL);
	db->rc = db->rc ? db->rc : mdb_txn_commit(txn);
	return db->rc == 0;
}

static bool clear(struct db *db)
{
	MDB_txn *txn;

	db->rc = mdb_txn_begin(db->env, NULL, 0, &txn);
	db->rc = db->rc ? db->rc : mdb_drop(txn, db->dbi, 0);
	db->rc = db->rc ? db->rc : mdb_txn_commit(txn);
	return db->rc == 0;
}

/* ---- setup and teardown ---- */

static struct state *state_new(struct bench *b)
{
	b->state = calloc(1, sizeof(struct state));
	if (!b->state) {
		(void)bench_fail(b, "out of memory");
	}
	return b->state;
}

static int setup(struct bench *b)
{
	struct state *s = state_new(b);

	return !s ? -1 : db_open(&s->db) ? 0 : failed(b, "mdb_env_open");
}

/* The next case begins with an empty file. */
static void teardown(struct bench *b)
{
	struct state *s = b->state;
	char name[300];

	if (!s) {
		return;
	}
	raw_peer_stop(&s->peer);
	bench_large_close(&s->large);
	if (s->db.env) {
		mdb_env_close(s->db.env);
	}
	(void)snprintf(name, sizeof(name), "%s/data.mdb", peer_place);
	(void)unlink(name);
	(void)snprintf(name, sizeof(name), "%s/lock.mdb", peer_place);
	(void)unlink(name);
	free(s);
}

/* ---- put ---- */

static bool put_small(void *arg, uint32_t n)
{
	struct db *db = arg;

	for (uint32_t i = db->first_key; i < db->first_key + n; i++) {
		if (!put(db, i, 1, bytes, SMALL) || !del(db, i)) {
			return false;
		}
	}
	return true;
}

static int put_100b(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, PUTS);
	uint64_t t = bench_now();

	if (!put_small(&s->db, n)) {
		return failed(b, "put");
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	return 0;
}

static bool put_nothing(void *arg, uint32_t n)
{
	(void)arg;
	(void)n;
	return false;
}

/* In the second process, which has to open the environment itself. */
static void second(struct raw_page *page, uint32_t what)
{
	static struct db db;
	static bool is_open;

	(void)what;
	if (!db.env && db_open(&db)) {
		db.first_key = 1u << 30;
		is_open = true;
	}
	peer_second(page, is_open ? put_small : put_nothing, &db);
}

static int setup_2proc(struct bench *b)
{
	struct state *s = state_new(b);

	if (!s) {
		return -1;
	}
	if (raw_peer_start(&s->peer, second)) {
		return bench_fail(b, "fork: %s", strerror(errno));
	}
	return db_open(&s->db) ? 0 : failed(b, "mdb_env_open");
}

static int put_2proc(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	return peer_both(b, &s->peer, (uint32_t)bench_n(b, PUTS), put_small,
			 &s->db, out_value);
}

static int put_many(struct bench *b, uint32_t batch, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, KEPT);
	uint64_t t = bench_now();

	for (uint32_t i = 0; i < n; i += batch) {
		if (!put(&s->db, i, batch, bytes, SMALL)) {
			return failed(b, "put");
		}
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	return clear(&s->db) ? 0 : failed(b, "mdb_drop");
}

static int put_kept(struct bench *b, double *out_value)
{
	return put_many(b, 1, out_value);
}

static int put_kept_in_batches(struct bench *b, double *out_value)
{
	return put_many(b, BATCH, out_value);
}

/* ---- large values ---- */

static int setup_large(struct bench *b, enum bench_large_size size)
{
	struct state *s = state_new(b);

	if (!s || bench_large_open(b, size)) {
		return -1;
	}
	return db_open(&s->db) ? 0 : failed(b, "mdb_env_open");
}

static int setup_1mib(struct bench *b)
{
	return setup_large(b, BENCH_1MIB);
}

static int setup_1gib(struct bench *b)
{
	return setup_large(b, BENCH_1GIB);
}

static int large_put(struct bench *b, void *from, size_t size)
{
	struct state *s = b->state;

	return put(&s->db, 1, 1, from, size) ? 0 : failed(b, "put");
}

static int large_drop(struct bench *b)
{
	struct state *s = b->state;

	return del(&s->db, 1) ? 0 : failed(b, "mdb_del");
}

static int put_large(struct bench *b, double *out_value)
{
	(void)out_value;
	return bench_large_put(b, large_put, large_drop);
}

/* ---- get and list ---- */

static int setup_get(struct bench *b)
{
	struct state *s;

	if (setup(b)) {
		return -1;
	}
	s = b->state;
	return put(&s->db, 0, READ, bytes, SMALL) ? 0 : failed(b, "put");
}

static int get(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, 10 * READ);
	uint32_t key = 1;
	MDB_txn *txn;
	uint64_t t;

	s->db.rc = mdb_txn_begin(s->db.env, NULL, MDB_RDONLY, &txn);
	if (s->db.rc) {
		return failed(b, "mdb_txn_begin");
	}
	t = bench_now();
	for (uint32_t i = 0; i < n && !s->db.rc; i++) {
		MDB_val k = { sizeof(key), &key };
		MDB_val v;

		mdb_txn_reset(txn); /* a view of its own, as get has */
		s->db.rc = mdb_txn_renew(txn);
		key = (key * 1103515245u + 12345u) % READ;
		s->db.rc = s->db.rc ? s->db.rc :
				      mdb_get(txn, s->db.dbi, &k, &v);
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	mdb_txn_abort(txn);
	return s->db.rc ? failed(b, "mdb_get") : 0;
}

static int setup_list(struct bench *b)
{
	struct state *s;
	MDB_txn *txn;

	if (setup(b)) {
		return -1;
	}
	s = b->state;
	s->db.rc = mdb_txn_begin(s->db.env, NULL, 0, &txn);
	for (uint32_t i = 0; i < bench_n(b, LISTED) && !s->db.rc; i++) {
		char name[40];
		int len = snprintf(name, sizeof(name), "list/%07u", i);
		MDB_val k = { (size_t)len, name };
		MDB_val v = { 16, bytes };

		s->db.rc = mdb_put(txn, s->db.dbi, &k, &v, 0);
	}
	s->db.rc = s->db.rc ? s->db.rc : mdb_txn_commit(txn);
	return s->db.rc ? failed(b, "mdb_put") : 0;
}

static int list(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	MDB_val k = { 5, (void *)(uintptr_t) "list/" };
	MDB_cursor *cur = NULL;
	MDB_txn *txn = NULL;
	uint64_t n = 0;
	uint64_t t = bench_now();
	MDB_val v;
	int rc = mdb_txn_begin(s->db.env, NULL, MDB_RDONLY, &txn);

	rc = rc ? rc : mdb_cursor_open(txn, s->db.dbi, &cur);
	rc = rc ? rc : mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	while (rc == 0 && k.mv_size > 5 && memcmp(k.mv_data, "list/", 5) == 0) {
		n++;
		rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	if (cur) {
		mdb_cursor_close(cur);
	}
	mdb_txn_abort(txn);
	return n == bench_n(b, LISTED) ?
		       0 :
		       bench_fail(b, "%llu names", (unsigned long long)n);
}

static const struct bench_case cases[] = {
	{ "store.put_100b", NULL, BENCH_RATE, BENCH_ON_VALUE, 0, setup,
	  put_100b, NULL, teardown, 0 },
	{ "store.put_100b_kept", NULL, BENCH_RATE, BENCH_ON_VALUE, 0, setup,
	  put_kept, NULL, teardown, 0 },
	{ "store.put_100b_kept in batches", NULL, BENCH_RATE, BENCH_ON_VALUE, 0,
	  setup, put_kept_in_batches, NULL, teardown, 0 },
	{ "store.put_100b_2proc", "one process", BENCH_RATE, BENCH_ON_VALUE, 0,
	  setup_2proc, put_2proc, put_100b, teardown, 0 },
	{ "store.get", NULL, BENCH_RATE, BENCH_ON_VALUE, 0, setup_get, get,
	  NULL, teardown, 0 },
	{ "store.put_1mib", "memcpy to warm tmpfs", BENCH_NS, BENCH_ON_VALUE, 0,
	  setup_1mib, put_large, bench_large_copy, teardown, 0 },
	{ "store.put_1gib", "memcpy to warm tmpfs", BENCH_NS, BENCH_ON_VALUE, 0,
	  setup_1gib, put_large, bench_large_copy, teardown, 0 },
	{ "store.list", NULL, BENCH_RATE, BENCH_ON_VALUE, 0, setup_list, list,
	  NULL, teardown, 0 },
	{ 0 },
};

int main(int argc, char **argv)
{
	return peer_main(argc, argv, cases);
}
