/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench store`. Each has a private store of its own. Where two
 * processes are needed, setup forks the second one before the store is opened.
 */
#define _GNU_SOURCE
#include "bench.h"
#include "bench_large.h"
#include "bench_raw.h"
#include "bench_scale.h"

#include <mobula/store.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 100u
#define PUTS 1000000u
#define KEPT 200000u
#define KEPT_NS UINT64_C(1000000000)
#define READ 10000u
#define READ_PASSES 100u
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define WAKES 500u

/* State of any of the cases; what one does not use is zero. */
struct state {
	struct bench_large large;
	struct mob_store *store;
	struct raw_peer peer;
	struct mob_ref *refs;
	uint64_t n_refs;
	struct mob_ref ref; /* of a large object */
};

/* What goes to the peer and back, in the page's `other`. */
struct talk {
	char name[MOB_STORE_NAME_MAX + 1];
	struct mob_ref ref;
	uint64_t begin;
	uint64_t end;
	int rc;
};

_Static_assert(sizeof(struct talk) <= sizeof(((struct raw_page *)0)->other),
	       "fits the page");

enum { PEER_OPEN = RAW_OTHER, PEER_PUT, PEER_GET, PEER_CLOSE };

static struct talk *talk_of(struct raw_page *page)
{
	return (struct talk *)(void *)page->other;
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

static int open_store(struct bench *b, uint64_t bytes)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct state *s = b->state;
	int rc;

	opts.flags = MOB_STORE_PRIVATE;
	opts.arena_bytes = bytes;
	rc = mob_store_create(NULL, &opts, &s->store);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_create") : 0;
}

static int setup_plain(struct bench *b)
{
	return state_new(b) ? open_store(b, GIB) : -1;
}

static void teardown(struct bench *b)
{
	struct state *s = b->state;

	if (!s) {
		return;
	}
	if (s->peer.pid && s->store && !b->failed) {
		raw_peer_tell(&s->peer, PEER_CLOSE, 0);
		(void)raw_peer_wait(&s->peer); /* it may be dead */
	}
	raw_peer_stop(&s->peer);
	bench_large_close(&s->large);
	mob_store_close(s->store);
	free(s->refs);
	free(s);
}

/* ---- put of small objects ---- */

/* Create, copy, seal, release, n times. Returns 0 or a MOB_E_*. */
static int put_small(struct mob_store *store, uint64_t n)
{
	unsigned char from[SMALL];
	struct mob_ref ref;
	void *at;

	memset(from, 7, sizeof(from));
	for (uint64_t i = 0; i < n; i++) {
		int rc = mob_object_create(store, SMALL, MOB_TYPE_BYTES, &ref,
					   &at);

		if (rc < 0) {
			return rc;
		}
		memcpy(at, from, SMALL);
		rc = mob_object_seal(store, ref);
		if (rc < 0) {
			return rc;
		}
		rc = mob_object_release(store, ref);
		if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

static int put_100b(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint64_t n = bench_n(b, PUTS);
	uint64_t t = bench_now();
	int rc = put_small(s->store, n);

	t = bench_now() - t;
	*out_value = (double)n * 1e9 / (double)t;
	return rc < 0 ? bench_fail_rc(b, rc, "put") : 0;
}

/* ---- objects that are kept ---- */

static int setup_kept(struct bench *b)
{
	struct state *s = state_new(b);

	if (!s || open_store(b, GIB)) {
		return -1;
	}
	s->refs = calloc(KEPT, sizeof(*s->refs));
	return s->refs ? 0 : bench_fail(b, "out of memory");
}

static int count_row(const struct mob_object_info *i, void *arg)
{
	uint64_t *rows = arg;

	*rows += i->state == MOB_OBJECT_SEALED && i->size == SMALL;
	return 0;
}

/* What the catalogue says must be the n objects. */
static int verify_rows(struct bench *b, uint64_t n)
{
	struct state *s = b->state;
	uint64_t rows = 0;
	int rc = mob_store_list(s->store, count_row, &rows, NULL);

	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_store_list");
	}
	if (rows != n) {
		return bench_fail(b,
				  "the catalogue has %llu rows of %llu objects",
				  (unsigned long long)rows,
				  (unsigned long long)n);
	}
	return 0;
}

static int put_kept(struct bench *b, uint64_t n)
{
	struct state *s = b->state;
	unsigned char from[SMALL];
	int rc;

	memset(from, 7, sizeof(from));
	for (s->n_refs = 0; s->n_refs < n; s->n_refs++) {
		rc = mob_object_put(s->store, from, SMALL, MOB_TYPE_BYTES,
				    &s->refs[s->n_refs]);
		if (rc < 0) {
			return bench_fail_rc(b, rc, "mob_object_put");
		}
	}
	rc = mob_store_sync(s->store);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_sync") : 0;
}

static int put_100b_kept(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint64_t n = bench_n(b, KEPT);
	uint64_t begin = bench_now();
	int rc = put_kept(b, n);
	uint64_t t = bench_now() - begin;

	*out_value = (double)n * 1e9 / (double)t;
	rc = rc ? rc : verify_rows(b, n);
	while (!rc && !b->quick && bench_now() - begin < KEPT_NS) {
		(void)sched_yield();
	}
	rc = rc ? rc : verify_rows(b, n);
	while (s->n_refs > 0) {
		(void)mob_object_release(s->store, s->refs[--s->n_refs]);
	}
	if (!rc) {
		rc = mob_store_sync(s->store);
		rc = rc < 0 ? bench_fail_rc(b, rc, "mob_store_sync") : 0;
	}
	return rc ? rc : verify_rows(b, 0);
}

/* ---- two processes ---- */

static void peer_put(struct raw_page *page, struct mob_store *store)
{
	struct talk *talk = talk_of(page);

	/* Both are hot when it begins. */
	atomic_store(&page->armed, 1);
	raw_wait_until(&page->ping, 1, true);
	talk->begin = bench_now();
	talk->rc = put_small(store, page->n);
	talk->end = bench_now();
}

static void peer_get(struct raw_page *page, struct mob_store *store)
{
	struct talk *talk = talk_of(page);

	for (uint32_t i = 1; i <= page->n && talk->rc >= 0; i++) {
		struct mob_view view;

		raw_wait_until(&page->ping, i, false);
		atomic_store(&page->armed, i);
		talk->rc = mob_object_get(store, talk->ref, MOB_FOREVER, &view);
		page->t = bench_now();
		if (talk->rc >= 0) {
			mob_view_release(store, &view);
		}
		raw_set(&page->pong, i);
	}
}

/* In the peer. */
static void peer_work(struct raw_page *page, uint32_t what)
{
	static struct mob_store *store;
	struct talk *talk = talk_of(page);

	switch (what) {
	case PEER_OPEN:
		talk->rc = mob_store_open(talk->name, &store);
		break;
	case PEER_PUT:
		peer_put(page, store);
		break;
	case PEER_GET:
		peer_get(page, store);
		break;
	default:
		mob_store_close(store);
		store = NULL;
	}
}

static int peer_answer(struct bench *b, const char *call)
{
	struct state *s = b->state;
	int rc = raw_peer_wait(&s->peer);

	if (rc) {
		return bench_fail(b, "the second process died in %s", call);
	}
	rc = talk_of(s->peer.page)->rc;
	return rc < 0 ? bench_fail(b, "%s in the second process: %s", call,
				   mob_err_message(rc)) :
			0;
}

static int setup_peer(struct bench *b)
{
	struct state *s = state_new(b);

	if (!s) {
		return -1;
	}
	if (raw_peer_start(&s->peer, peer_work)) {
		return bench_fail(b, "fork: %s", strerror(errno));
	}
	if (open_store(b, GIB)) {
		return -1;
	}
	(void)snprintf(talk_of(s->peer.page)->name,
		       sizeof(talk_of(s->peer.page)->name), "%s",
		       mob_store_name(s->store));
	raw_peer_tell(&s->peer, PEER_OPEN, 0);
	return peer_answer(b, "mob_store_open");
}

static int put_2proc(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	struct raw_page *page = s->peer.page;
	uint32_t n = (uint32_t)bench_n(b, PUTS);
	uint64_t begin;
	uint64_t end;
	int rc;

	raw_peer_tell(&s->peer, PEER_PUT, n);
	while (atomic_load(&page->armed) != 1) {
		(void)sched_yield();
	}
	raw_set(&page->ping, 1);
	begin = bench_now();
	rc = put_small(s->store, n);
	end = bench_now();
	if (peer_answer(b, "put")) {
		return -1;
	}
	if (rc < 0) {
		return bench_fail_rc(b, rc, "put");
	}
	begin = talk_of(page)->begin < begin ? talk_of(page)->begin : begin;
	end = talk_of(page)->end > end ? talk_of(page)->end : end;
	*out_value = 2.0 * n * 1e9 / (double)(end - begin);
	return 0;
}

/* ---- get ---- */

static int setup_get(struct bench *b)
{
	struct state *s = state_new(b);
	unsigned char from[SMALL] = { 0 };
	uint64_t random = 88172645463325252;

	if (!s || open_store(b, GIB)) {
		return -1;
	}
	s->refs = calloc(READ, sizeof(*s->refs));
	if (!s->refs) {
		return bench_fail(b, "out of memory");
	}
	for (; s->n_refs < READ; s->n_refs++) {
		int rc = mob_object_put(s->store, from, SMALL, MOB_TYPE_BYTES,
					&s->refs[s->n_refs]);

		if (rc < 0) {
			return bench_fail_rc(b, rc, "mob_object_put");
		}
	}
	for (size_t i = READ - 1; i > 0; i--) {
		struct mob_ref t = s->refs[i];
		size_t j;

		random ^= random << 13; /* xorshift, the same each time */
		random ^= random >> 7;
		random ^= random << 17;
		j = (size_t)(random % (i + 1));
		s->refs[i] = s->refs[j];
		s->refs[j] = t;
	}
	return 0;
}

static int get(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint64_t passes = bench_n(b, READ_PASSES);
	uint64_t t = bench_now();

	for (uint64_t p = 0; p < passes; p++) {
		for (size_t i = 0; i < READ; i++) {
			struct mob_view view;
			int rc = mob_object_get(s->store, s->refs[i], 0, &view);

			if (rc < 0) {
				return bench_fail_rc(b, rc, "mob_object_get");
			}
			mob_view_release(s->store, &view);
		}
	}
	t = bench_now() - t;
	*out_value = (double)(passes * READ) * 1e9 / (double)t;
	return 0;
}

/* ---- large objects ---- */

static int setup_large(struct bench *b, enum bench_large_size size)
{
	struct state *s = state_new(b);

	if (!s || bench_large_open(b, size)) {
		return -1;
	}
	/* Room beside the object, so that its space can be used again. */
	return open_store(b, s->large.copy.size + s->large.copy.size / 2 +
				     64 * MIB);
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
	int rc = mob_object_put(s->store, from, size, MOB_TYPE_BYTES, &s->ref);

	return rc < 0 ? bench_fail_rc(b, rc, "mob_object_put") : 0;
}

static int large_drop(struct bench *b)
{
	struct state *s = b->state;
	int rc = mob_object_release(s->store, s->ref);

	return rc < 0 ? bench_fail_rc(b, rc, "mob_object_release") : 0;
}

static int put_large(struct bench *b, double *out_value)
{
	(void)out_value;
	return bench_large_put(b, large_put, large_drop);
}

/* ---- wake ---- */

static int setup_wake(struct bench *b)
{
	/* The shortest spin there is, for both processes. */
	if (setenv("MOBULA_SPIN", "0", 1)) {
		return bench_fail(b, "setenv: %s", strerror(errno));
	}
	return setup_peer(b);
}

/* One object that the peer waits for; adds one sample. */
static int wake_once(struct bench *b, uint32_t i)
{
	struct state *s = b->state;
	struct raw_page *page = s->peer.page;
	struct mob_ref ref;
	uint64_t t;
	void *at;
	int rc = mob_object_create(s->store, 8, MOB_TYPE_BYTES, &ref, &at);

	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_object_create");
	}
	memset(at, 1, 8);
	talk_of(page)->ref = ref;
	raw_set(&page->ping, i);
	while (atomic_load(&page->armed) != i) {
		(void)sched_yield();
	}
	if (raw_peer_asleep(&s->peer, RAW_IN_FUTEX)) {
		return bench_fail(b, "the waiter is not seen in a futex wait");
	}
	t = bench_now();
	rc = mob_object_seal(s->store, ref);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_object_seal");
	}
	raw_wait_until(&page->pong, i, false);
	bench_sample(b, page->t > t ? page->t - t : 0);
	rc = mob_object_release(s->store, ref);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_object_release") : 0;
}

static int wake(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, WAKES);

	(void)out_value;
	raw_peer_tell(&s->peer, PEER_GET, n);
	for (uint32_t i = 1; i <= n; i++) {
		if (wake_once(b, i)) {
			return -1;
		}
	}
	return peer_answer(b, "mob_object_get");
}

static int wake_raw(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	(void)out_value;
	return raw_wake(b, &s->peer, (uint32_t)bench_n(b, WAKES));
}

/* ---- making of large objects, without filling them ---- */

static int setup_create(struct bench *b)
{
	return state_new(b) ? open_store(b, GIB + GIB / 2) : -1;
}

static int create_large(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	(void)out_value;
	for (uint32_t i = 0; i < 20; i++) {
		struct mob_ref ref;
		uint64_t t = bench_now();
		void *at;
		int rc = mob_object_create(s->store, b->quick ? MIB : GIB,
					   MOB_TYPE_BYTES, &ref, &at);

		if (rc >= 0) {
			rc = mob_object_seal(s->store, ref);
		}
		bench_sample(b, bench_now() - t);
		if (rc < 0) {
			return bench_fail_rc(b, rc, "mob_object_create");
		}
		(void)mob_object_release(s->store, ref);
	}
	return 0;
}

const struct bench_case bench_store_cases[] = {
	{ "store.put_100b", NULL, BENCH_RATE, BENCH_ON_VALUE, 4e6, setup_plain,
	  put_100b, NULL, teardown, 0 },
	{ "store.put_100b_kept", NULL, BENCH_RATE, BENCH_ON_VALUE, 6e5,
	  setup_kept, put_100b_kept, NULL, teardown, 0 },
	{ "store.put_100b_2proc", "one process", BENCH_RATE, BENCH_ON_RATIO,
	  1 / 1.6, setup_peer, put_2proc, put_100b, teardown, 0 },
	{ "store.get", NULL, BENCH_RATE, BENCH_ON_VALUE, 1e7, setup_get, get,
	  NULL, teardown, 0 },
	{ "store.put_1mib", "memcpy to warm tmpfs", BENCH_NS, BENCH_ON_RATIO,
	  1.25, setup_1mib, put_large, bench_large_copy, teardown, 0 },
	{ "store.put_1gib", "memcpy to warm tmpfs", BENCH_NS, BENCH_ON_RATIO,
	  1.15, setup_1gib, put_large, bench_large_copy, teardown, 0 },
	{ "store.create_1gib", NULL, BENCH_NS, BENCH_ON_VALUE, 1e5,
	  setup_create, create_large, NULL, teardown, 0 },
	{ "store.wake", "futex wake", BENCH_NS, BENCH_ON_RATIO, 1.3, setup_wake,
	  wake, wake_raw, teardown, 0 },
	{ "store.wait_any_10k", "futex wake", BENCH_NS, BENCH_ON_RATIO, 2,
	  bench_setup_any, bench_wait_any, bench_wait_any_raw,
	  bench_scale_teardown, 0 },
	{ "store.list", NULL, BENCH_RATE, BENCH_ON_VALUE, 1e6,
	  bench_setup_names, bench_list, NULL, bench_scale_teardown, 0 },
	{ "store.attach", NULL, BENCH_NS, BENCH_ON_VALUE, 5e6,
	  bench_setup_million, bench_attach, NULL, bench_scale_teardown, 0 },
	{ "store.attach_check", NULL, BENCH_NS, BENCH_ON_VALUE, 1e9,
	  bench_setup_million, bench_attach_check, NULL, bench_scale_teardown,
	  0 },
	{ "store.recover", NULL, BENCH_NS, BENCH_ON_VALUE, 2e7,
	  bench_setup_million, bench_recover, NULL, bench_scale_teardown, 0 },
	{ "store.recover_attached", NULL, BENCH_NS, BENCH_ON_VALUE, 2e7,
	  bench_setup_million, bench_recover_attached, NULL,
	  bench_scale_teardown, 0 },
	{ "store.curve", NULL, BENCH_TIMES, BENCH_ON_VALUE, 2,
	  bench_setup_empty, bench_curve, NULL, bench_scale_teardown, 3 },
	{ "store.bytes_per_object", NULL, BENCH_BYTES, BENCH_ON_VALUE, 400,
	  bench_setup_empty, bench_bytes_per_object, NULL, bench_scale_teardown,
	  1 },
	{ "store.spill", "write of files", BENCH_NS, BENCH_ON_RATIO, 1.3,
	  bench_setup_spill, bench_spill, bench_spill_raw, bench_spill_teardown,
	  0 },
	{ "store.restore", "read of files", BENCH_NS, BENCH_ON_RATIO, 1.3,
	  bench_setup_spill, bench_restore, bench_restore_raw,
	  bench_spill_teardown, 0 },
	{ "store.evict", "clock", BENCH_TIMES, BENCH_ON_RATIO, 1,
	  bench_setup_evict_zipf, bench_evict, bench_evict_raw,
	  bench_evict_teardown, 1 },
	{ "store.evict_loop", "clock", BENCH_TIMES, BENCH_ON_RATIO, 1,
	  bench_setup_evict_loop, bench_evict, bench_evict_raw,
	  bench_evict_teardown, 1 },
	{ "store.sync", "synced commit of LMDB", BENCH_NS, BENCH_ON_RATIO, 5,
	  bench_setup_durable, bench_sync, bench_sync_raw,
	  bench_durable_teardown, 0 },
	{ "store.reopen", NULL, BENCH_NS, BENCH_ON_VALUE, 1e9,
	  bench_setup_durable, bench_reopen, NULL, bench_durable_teardown, 0 },
	{ 0 },
};
