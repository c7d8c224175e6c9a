/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `mob bench store` that Redis can do, over a unix socket, without
 * persistence; the place is the socket. It has no spilling: a full one refuses, or
 * forgets. */
#define _GNU_SOURCE
#include "peer.h"

#include <hiredis/hiredis.h>

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each is a way to the server and back. */
#define REDIS_PUTS (PUTS / 10)
#define REDIS_KEPT (KEPT / 10)

struct link {
	redisContext *c;
	const char *prefix; /* of the keys of this process */
};

struct state {
	struct bench_large large;
	struct link link;
	struct raw_peer peer;
};

static unsigned char bytes[SMALL];

static bool connected(struct link *l)
{
	l->c = redisConnectUnix(peer_place);
	return l->c && !l->c->err;
}

/* The command was carried out. Frees the reply. */
static bool ok(void *reply)
{
	redisReply *r = reply;
	bool good = r && r->type != REDIS_REPLY_ERROR;

	if (r && !good) {
		(void)fprintf(stderr, "redis: %s\n", r->str);
	}
	freeReplyObject(r);
	return good;
}

static int failed(struct bench *b, const char *command)
{
	const struct state *s = b->state;

	return bench_fail(b, "%s: %s", command,
			  s->link.c ? s->link.c->errstr : "out of memory");
}

/* ---- setup and teardown ---- */

static struct state *state_new(struct bench *b)
{
	struct state *s = calloc(1, sizeof(*s));

	b->state = s;
	if (!s) {
		(void)bench_fail(b, "out of memory");
		return NULL;
	}
	s->link.prefix = "a";
	return s;
}

static int setup(struct bench *b)
{
	struct state *s = state_new(b);

	return !s ? -1 : connected(&s->link) ? 0 : failed(b, "connect");
}

static void teardown(struct bench *b)
{
	struct state *s = b->state;

	if (!s) {
		return;
	}
	raw_peer_stop(&s->peer);
	bench_large_close(&s->large);
	if (s->link.c) {
		(void)ok(redisCommand(s->link.c, "FLUSHALL"));
		redisFree(s->link.c);
	}
	free(s);
}

/* ---- put ---- */

static bool set(struct link *l, uint32_t key, const void *data, size_t size)
{
	return ok(
		redisCommand(l->c, "SET %s%u %b", l->prefix, key, data, size));
}

static bool del(struct link *l, uint32_t key)
{
	return ok(redisCommand(l->c, "DEL %s%u", l->prefix, key));
}

static bool put_small(void *arg, uint32_t n)
{
	struct link *l = arg;

	for (uint32_t i = 0; i < n; i++) {
		if (!set(l, i, bytes, SMALL) || !del(l, i)) {
			return false;
		}
	}
	return true;
}

static int put_100b(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, REDIS_PUTS);
	uint64_t t = bench_now();

	if (!put_small(&s->link, n)) {
		return failed(b, "SET");
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	return 0;
}

static int flushed(struct bench *b)
{
	struct state *s = b->state;

	return ok(redisCommand(s->link.c, "FLUSHALL")) ? 0 :
							 failed(b, "FLUSHALL");
}

static int put_kept(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, REDIS_KEPT);
	uint64_t t = bench_now();

	for (uint32_t i = 0; i < n; i++) {
		if (!set(&s->link, i, bytes, SMALL)) {
			return failed(b, "SET");
		}
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	return flushed(b);
}

/* 1,000 commands on their way at a time. */
static bool set_many(struct link *l, const char *prefix, uint32_t n)
{
	bool good = true;

	for (uint32_t i = 0; i < n && good; i += BATCH) {
		for (uint32_t k = 0; k < BATCH && good; k++) {
			good = redisAppendCommand(l->c, "SET %s%07u %b", prefix,
						  i + k, bytes,
						  (size_t)SMALL) == REDIS_OK;
		}
		for (uint32_t k = 0; k < BATCH && good; k++) {
			void *r = NULL;

			(void)redisGetReply(l->c, &r);
			good = ok(r);
		}
	}
	return good;
}

static int put_kept_in_batches(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, KEPT);
	uint64_t t = bench_now();

	if (!set_many(&s->link, "a", n)) {
		return failed(b, "SET");
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	return flushed(b);
}

/* ---- a second process ---- */

static void second_puts(struct raw_page *page, uint32_t what)
{
	static struct link l = { .prefix = "b" };

	(void)what;
	if (!l.c && !connected(&l)) {
		_Exit(1);
	}
	peer_second(page, put_small, &l);
}

/* Blocked in the pop of a list, n times. */
static void second_pops(struct raw_page *page, uint32_t what)
{
	static struct link l;

	(void)what;
	if (!l.c && !connected(&l)) {
		_Exit(1);
	}
	for (uint32_t i = 1; i <= page->n; i++) {
		redisReply *r;

		raw_wait_until(&page->ping, i, false);
		atomic_store(&page->armed, i);
		r = redisCommand(l.c, "BLPOP queue 0");
		page->t = bench_now();
		if (!ok(r)) {
			_Exit(1);
		}
		raw_set(&page->pong, i);
	}
}

static int setup_second(struct bench *b,
			void (*other)(struct raw_page *page, uint32_t what))
{
	struct state *s = state_new(b);

	if (!s) {
		return -1;
	}
	if (raw_peer_start(&s->peer, other)) {
		return bench_fail(b, "fork: %s", strerror(errno));
	}
	return connected(&s->link) ? 0 : failed(b, "connect");
}

static int setup_2proc(struct bench *b)
{
	return setup_second(b, second_puts);
}

static int put_2proc(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	return peer_both(b, &s->peer, (uint32_t)bench_n(b, REDIS_PUTS),
			 put_small, &s->link, out_value);
}

static int setup_wake(struct bench *b)
{
	return setup_second(b, second_pops);
}

/* The server knows that the second process is blocked. */
static bool is_blocked(struct link *l)
{
	redisReply *r = redisCommand(l->c, "INFO clients");
	bool yes = r && r->type == REDIS_REPLY_STRING &&
		   strstr(r->str, "blocked_clients:1\r");

	freeReplyObject(r);
	return yes;
}

/* As wake_once in bench_store.c: from before the push to the second process, seen
 * asleep, with what it waited for. */
static int wake_once(struct bench *b, uint32_t i)
{
	struct state *s = b->state;
	struct raw_page *page = s->peer.page;
	uint64_t end = bench_now() + UINT64_C(10000000000);
	uint64_t t;

	raw_set(&page->ping, i);
	while (atomic_load(&page->armed) != i || !is_blocked(&s->link)) {
		if (bench_now() > end) {
			return bench_fail(b, "the waiter is not seen blocked");
		}
		(void)sched_yield();
	}
	if (raw_peer_asleep(&s->peer, RAW_IN_SOCKET)) {
		return bench_fail(b, "the waiter is not seen asleep");
	}
	t = bench_now();
	if (!ok(redisCommand(s->link.c, "RPUSH queue 12345678"))) {
		return failed(b, "RPUSH");
	}
	raw_wait_until(&page->pong, i, false);
	bench_sample(b, page->t > t ? page->t - t : 0);
	return 0;
}

static int wake(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, WAKES);

	(void)out_value;
	raw_peer_tell(&s->peer, RAW_OTHER, n);
	for (uint32_t i = 1; i <= n; i++) {
		if (wake_once(b, i)) {
			return -1;
		}
	}
	return raw_peer_wait(&s->peer) ? bench_fail(b, "BLPOP failed") : 0;
}

static int wake_raw(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	(void)out_value;
	return raw_wake(b, &s->peer, (uint32_t)bench_n(b, WAKES));
}

/* ---- large values ---- */

static int setup_large(struct bench *b, enum bench_large_size size)
{
	struct state *s = state_new(b);

	if (!s || bench_large_open(b, size)) {
		return -1;
	}
	return connected(&s->link) ? 0 : failed(b, "connect");
}

static int setup_1mib(struct bench *b)
{
	return setup_large(b, BENCH_1MIB);
}

/* The server is started with a limit above that; by itself it takes 512 MiB. */
static int setup_1gib(struct bench *b)
{
	return setup_large(b, BENCH_1GIB);
}

static int large_put(struct bench *b, void *from, size_t size)
{
	struct state *s = b->state;

	return set(&s->link, 1, from, size) ? 0 : failed(b, "SET");
}

static int large_drop(struct bench *b)
{
	struct state *s = b->state;

	return del(&s->link, 1) ? 0 : failed(b, "DEL");
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
	return set_many(&s->link, "get/", READ) ? 0 : failed(b, "SET");
}

static int get(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, READ);
	uint32_t key = 1;
	uint64_t t = bench_now();

	for (uint32_t i = 0; i < n; i++) {
		redisReply *r;
		bool there;

		key = (key * 1103515245u + 12345u) % READ;
		r = redisCommand(s->link.c, "GET get/%07u", key);
		there = r && r->type == REDIS_REPLY_STRING && r->len == SMALL;
		freeReplyObject(r);
		if (!there) {
			return bench_fail(b, "GET does not find key %u", key);
		}
	}
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	return 0;
}

static int setup_list(struct bench *b)
{
	struct state *s;

	if (setup(b)) {
		return -1;
	}
	s = b->state;
	return set_many(&s->link, "list/", (uint32_t)bench_n(b, LISTED)) ?
		       0 :
		       failed(b, "SET");
}

static int list(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	char cursor[32] = "0";
	uint64_t n = 0;
	uint64_t t = bench_now();

	do {
		redisReply *r = redisCommand(
			s->link.c, "SCAN %s MATCH list/* COUNT 1000", cursor);

		if (!r || r->type != REDIS_REPLY_ARRAY) {
			freeReplyObject(r);
			return failed(b, "SCAN");
		}
		(void)snprintf(cursor, sizeof(cursor), "%s",
			       r->element[0]->str);
		n += r->element[1]->elements;
		freeReplyObject(r);
	} while (strcmp(cursor, "0") != 0);
	*out_value = (double)n * 1e9 / (double)(bench_now() - t);
	/* One that moves meanwhile may be seen twice. */
	return n >= bench_n(b, LISTED) ?
		       0 :
		       bench_fail(b, "%llu keys", (unsigned long long)n);
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
	{ "store.wake", "futex wake", BENCH_NS, BENCH_ON_VALUE, 0, setup_wake,
	  wake, wake_raw, teardown, 0 },
	{ "store.list", NULL, BENCH_RATE, BENCH_ON_VALUE, 0, setup_list, list,
	  NULL, teardown, 0 },
	{ 0 },
};

int main(int argc, char **argv)
{
	return peer_main(argc, argv, cases);
}
