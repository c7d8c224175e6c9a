/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `mob bench store` that plain LMDB can do, without syncs, in memory:
 * a transaction a put, or for "in batches" one for 1,000. LMDB has no waiting. */
#include "peer.h"

#include <lmdb.h>

#define BATCH 1000u

static MDB_env *env;
static MDB_dbi dbi;
static unsigned char bytes[1u << 20];

static void check(int rc, const char *what)
{
	if (rc) {
		peer_die(what, mdb_strerror(rc));
	}
}

static MDB_txn *begin(unsigned flags)
{
	MDB_txn *txn;

	check(mdb_txn_begin(env, NULL, flags, &txn), "mdb_txn_begin");
	return txn;
}

static void put(MDB_txn *txn, uint32_t key, size_t size)
{
	MDB_val k = { sizeof(key), &key };
	MDB_val v = { size, bytes };

	check(mdb_put(txn, dbi, &k, &v, 0), "mdb_put");
}

static void del(MDB_txn *txn, uint32_t key)
{
	MDB_val k = { sizeof(key), &key };

	check(mdb_del(txn, dbi, &k, NULL), "mdb_del");
}

static void clear(void)
{
	MDB_txn *txn = begin(0);

	check(mdb_drop(txn, dbi, 0), "mdb_drop");
	check(mdb_txn_commit(txn), "mdb_txn_commit");
}

static double put_and_delete(size_t size, uint32_t n, bool as_time)
{
	uint64_t t = peer_now();

	for (uint32_t i = 0; i < n; i++) {
		MDB_txn *txn = begin(0);

		put(txn, i, size);
		check(mdb_txn_commit(txn), "mdb_txn_commit");
		txn = begin(0);
		del(txn, i);
		check(mdb_txn_commit(txn), "mdb_txn_commit");
	}
	return as_time ? (double)(peer_now() - t) / n : peer_rate(n, t);
}

static double put_100b(void *arg)
{
	(void)arg;
	return put_and_delete(SMALL, PUTS, false);
}

static double put_1mib(void *arg)
{
	(void)arg;
	return put_and_delete(MIB, LARGE, true);
}

static double put_many(uint32_t batch)
{
	uint64_t t = peer_now();
	double rate;

	for (uint32_t i = 0; i < KEPT;) {
		MDB_txn *txn = begin(0);

		for (uint32_t k = 0; k < batch && i < KEPT; k++) {
			put(txn, i++, SMALL);
		}
		check(mdb_txn_commit(txn), "mdb_txn_commit");
	}
	rate = peer_rate(KEPT, t);
	clear();
	return rate;
}

static double put_kept(void *arg)
{
	(void)arg;
	return put_many(1);
}

static double put_kept_in_batches(void *arg)
{
	(void)arg;
	return put_many(BATCH);
}

static double get(void *arg)
{
	uint32_t key = 1;
	uint64_t t;
	double rate;
	MDB_txn *txn = begin(0);

	(void)arg;
	for (uint32_t i = 0; i < READ; i++) {
		put(txn, i, SMALL);
	}
	check(mdb_txn_commit(txn), "mdb_txn_commit");
	txn = begin(MDB_RDONLY);
	t = peer_now();
	for (uint32_t i = 0; i < 10 * READ; i++) {
		MDB_val k = { sizeof(key), &key };
		MDB_val v;

		mdb_txn_reset(txn); /* a view of its own, as get has */
		check(mdb_txn_renew(txn), "mdb_txn_renew");
		key = (key * 1103515245u + 12345u) % READ;
		check(mdb_get(txn, dbi, &k, &v), "mdb_get");
	}
	rate = peer_rate(10 * READ, t);
	mdb_txn_abort(txn);
	clear();
	return rate;
}

static double list(void *arg)
{
	MDB_cursor *cur;
	MDB_val k = { 5, "list/" };
	MDB_val v;
	MDB_txn *txn = begin(MDB_RDONLY);
	uint64_t n = 0;
	uint64_t t = peer_now();
	double rate;

	(void)arg;
	check(mdb_cursor_open(txn, dbi, &cur), "mdb_cursor_open");
	for (int rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	     rc == 0 && memcmp(k.mv_data, "list/", 5) == 0;
	     rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) {
		n++;
	}
	rate = peer_rate(n, t);
	mdb_cursor_close(cur);
	mdb_txn_abort(txn);
	return n == LISTED ? rate : 0;
}

static void fill_list(void)
{
	MDB_txn *txn = begin(0);

	for (uint32_t i = 0; i < LISTED; i++) {
		char name[40];
		MDB_val k = { (size_t)snprintf(name, sizeof(name), "list/%07u",
					       i),
			      name };
		MDB_val v = { 16, bytes };

		check(mdb_put(txn, dbi, &k, &v, 0), "mdb_put");
	}
	check(mdb_txn_commit(txn), "mdb_txn_commit");
}

int main(int argc, char **argv)
{
	struct peer p = peer_args(argc, argv);
	MDB_txn *txn;

	check(mdb_env_create(&env), "mdb_env_create");
	check(mdb_env_set_mapsize(env, (size_t)2 << 30), "mdb_env_set_mapsize");
	check(mdb_env_open(env, p.place, MDB_NOSYNC | MDB_WRITEMAP, 0600), "mdb"
									   "_en"
									   "v_"
									   "ope"
									   "n");
	txn = begin(0);
	check(mdb_dbi_open(txn, NULL, 0, &dbi), "mdb_dbi_open");
	check(mdb_txn_commit(txn), "mdb_txn_commit");
	peer_case(&p, "store.put_100b", "1/s", put_100b, NULL);
	peer_case(&p, "store.put_100b_kept", "1/s", put_kept, NULL);
	peer_case(&p, "store.put_100b_kept in batches", "1/s",
		  put_kept_in_batches, NULL);
	peer_case(&p, "store.get", "1/s", get, NULL);
	peer_case(&p, "store.put_1mib", "ns", put_1mib, NULL);
	if (peer_wants(&p, "store.list")) {
		fill_list();
		peer_case(&p, "store.list", "1/s", list, NULL);
	}
	mdb_env_close(env);
	return 0;
}
