/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `mob bench store` that Redis can do, over a unix socket, without
 * persistence. PLACE: the socket. */
#include "peer.h"

#include <hiredis/hiredis.h>

#include <pthread.h>

#define WAKES 500

static redisContext *c;
static const char *place;
static char bytes[1u << 20];

static redisContext *connect_to(const char *path)
{
	redisContext *r = redisConnectUnix(path);

	if (!r || r->err) {
		peer_die("redis", r ? r->errstr : "out of memory");
	}
	return r;
}

static redisReply *good(redisReply *r)
{
	if (!r || r->type == REDIS_REPLY_ERROR) {
		peer_die("redis", r ? r->str : c->errstr);
	}
	return r;
}

static void set(uint32_t key, size_t size)
{
	freeReplyObject(good(redisCommand(c, "SET k%u %b", key, bytes, size)));
}

static double put_and_delete(size_t size, uint32_t n, bool as_time)
{
	uint64_t t = peer_now();

	for (uint32_t i = 0; i < n; i++) {
		set(i, size);
		freeReplyObject(good(redisCommand(c, "DEL k%u", i)));
	}
	return as_time ? (double)(peer_now() - t) / n : peer_rate(n, t);
}

static double put_100b(void *arg)
{
	(void)arg;
	return put_and_delete(SMALL, PUTS / 10, false);
}

static double put_1mib(void *arg)
{
	(void)arg;
	return put_and_delete(MIB, LARGE, true);
}

static void flush(void)
{
	freeReplyObject(good(redisCommand(c, "FLUSHALL")));
}

static double put_kept(void *arg)
{
	uint64_t t = peer_now();
	double rate;

	(void)arg;
	for (uint32_t i = 0; i < KEPT / 10; i++) {
		set(i, SMALL);
	}
	rate = peer_rate(KEPT / 10, t);
	flush();
	return rate;
}

static double get(void *arg)
{
	uint32_t key = 1;
	uint64_t t;
	double rate;

	(void)arg;
	for (uint32_t i = 0; i < READ; i++) {
		set(i, SMALL);
	}
	t = peer_now();
	for (uint32_t i = 0; i < READ; i++) {
		key = (key * 1103515245u + 12345u) % READ;
		freeReplyObject(good(redisCommand(c, "GET k%u", key)));
	}
	rate = peer_rate(READ, t);
	flush();
	return rate;
}

static uint64_t popped_ns;

static void *waits(void *arg)
{
	redisContext *r = connect_to(place);

	for (int i = 0; i < WAKES; i++) {
		redisReply *reply = redisCommand(r, "BLPOP queue 0");

		__atomic_store_n(&popped_ns, peer_now(), __ATOMIC_SEQ_CST);
		freeReplyObject(reply);
	}
	redisFree(r);
	return arg;
}

/* From a push to the return of a blocked pop. */
static double wake(void *arg)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	double v[WAKES];
	pthread_t thread;

	(void)arg;
	if (pthread_create(&thread, NULL, waits, NULL)) {
		peer_die("redis", "no thread");
	}
	for (int i = 0; i < WAKES; i++) {
		uint64_t t;

		(void)nanosleep(&pause, NULL); /* it sleeps by then */
		__atomic_store_n(&popped_ns, 0, __ATOMIC_SEQ_CST);
		t = peer_now();
		freeReplyObject(good(redisCommand(c, "RPUSH queue x")));
		while (!__atomic_load_n(&popped_ns, __ATOMIC_SEQ_CST)) {
			(void)nanosleep(&pause, NULL);
		}
		v[i] = (double)(popped_ns - t);
	}
	(void)pthread_join(thread, NULL);
	qsort(v, WAKES, sizeof(v[0]), peer_order);
	return v[WAKES / 2];
}

static double list(void *arg)
{
	char cursor[32] = "0";
	uint64_t n = 0;
	uint64_t t = peer_now();

	(void)arg;
	do {
		redisReply *r = good(redisCommand(
			c, "SCAN %s MATCH list/* COUNT 1000", cursor));

		(void)snprintf(cursor, sizeof(cursor), "%s",
			       r->element[0]->str);
		n += r->element[1]->elements;
		freeReplyObject(r);
	} while (strcmp(cursor, "0") != 0);
	return n >= LISTED ? peer_rate(n, t) : 0;
}

static void fill_list(void)
{
	for (uint32_t i = 0; i < LISTED; i++) {
		(void)redisAppendCommand(c, "SET list/%07u x", i);
		if (i % 1000 == 999) {
			for (int k = 0; k < 1000; k++) {
				redisReply *r = NULL;

				(void)redisGetReply(c, (void **)&r);
				freeReplyObject(good(r));
			}
		}
	}
}

int main(int argc, char **argv)
{
	struct peer p = peer_args(argc, argv);

	place = p.place;
	c = connect_to(place);
	peer_case(&p, "store.put_100b", "1/s", put_100b, NULL);
	peer_case(&p, "store.put_100b_kept", "1/s", put_kept, NULL);
	peer_case(&p, "store.get", "1/s", get, NULL);
	peer_case(&p, "store.put_1mib", "ns", put_1mib, NULL);
	peer_case(&p, "store.wake", "ns", wake, NULL);
	if (peer_wants(&p, "store.list")) {
		fill_list();
		peer_case(&p, "store.list", "1/s", list, NULL);
		flush();
	}
	redisFree(c);
	return 0;
}
