/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench store` about what goes from a full store: the part of the
 * requests of a trace that miss with the default policy, beside the same with
 * clock. An object of 4 KiB that is not there is made again, with a cached name.
 *
 * zipf  2,000 requests of key k = 1 .. 10,000 with a chance as 1 / k, then a scan:
 *       1,000 keys that are asked for once; and again.
 * loop  keys 1 .. 2,000 of their own round and round, and after each a request as
 *       above, without scans.
 */
#define _GNU_SOURCE
#include "bench_scale.h"

#include <mobula/store.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define KEYS 10000u
#define REQUESTS 60000u
#define BETWEEN 2000u
#define SCAN 1000u
#define LOOP 2000u
#define BYTES 4096u
#define SEED UINT64_C(88172645463325252)

struct state {
	double sum[KEYS]; /* of 1 / k, up to each key */
	uint64_t random;
	uint32_t n; /* requests so far */
	bool loop;
	double missed[2];
};

static int setup(struct bench *b, bool loop)
{
	struct state *s = calloc(1, sizeof(*s));
	double sum = 0;

	b->state = s;
	if (!s) {
		return bench_fail(b, "out of memory");
	}
	s->loop = loop;
	for (uint32_t k = 0; k < KEYS; k++) {
		sum += 1.0 / (k + 1);
		s->sum[k] = sum;
	}
	return 0;
}

int bench_setup_evict_zipf(struct bench *b)
{
	return setup(b, false);
}

int bench_setup_evict_loop(struct bench *b)
{
	return setup(b, true);
}

void bench_evict_teardown(struct bench *b)
{
	free(b->state);
}

static uint32_t zipf(struct state *s)
{
	double x;
	uint32_t low = 0;
	uint32_t high = KEYS - 1;

	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	x = (double)(s->random >> 11) / (double)(UINT64_C(1) << 53) *
	    s->sum[KEYS - 1];
	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (s->sum[mid] < x) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	return low + 1;
}

static void next_key(struct state *s, char *out, size_t size)
{
	uint32_t n = s->n++;

	if (s->loop && n % 2 == 0) {
		(void)snprintf(out, size, "l%u", n / 2 % LOOP);
	} else if (!s->loop && n % (BETWEEN + SCAN) >= BETWEEN) {
		(void)snprintf(out, size, "s%u", n);
	} else {
		(void)snprintf(out, size, "z%u", zipf(s));
	}
}

/* 1: it was there; 0: it was made again. */
static int request(struct mob_store *store, const char *as)
{
	static const unsigned char bytes[BYTES];
	struct mob_view v;
	struct mob_ref r;
	int rc = mob_name_get(store, as, &r, NULL);

	if (rc >= 0) {
		rc = mob_object_get(store, r, 0, &v);
		if (rc >= 0) {
			mob_view_release(store, &v);
		}
		(void)mob_object_release(store, r);
		return rc < 0 ? rc : 1;
	}
	if (rc != MOB_E_NOT_FOUND) {
		return rc;
	}
	rc = mob_object_put(store, bytes, BYTES, MOB_TYPE_BYTES, &r);
	if (rc >= 0) {
		rc = mob_name_put(store, as, r, MOB_NAME_CACHED, NULL);
		(void)mob_object_release(store, r);
	}
	return rc < 0 ? rc : 0;
}

static int replay(struct bench *b, const char *policy, double *out_value)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, REQUESTS);
	uint32_t missed = 0;
	struct mob_store *store;
	struct bench_env env;
	int rc;

	opts.flags = MOB_STORE_PRIVATE;
	opts.arena_bytes = 4 * MIB;
	if (bench_env_set(b, &env, "MOBULA_EVICTION", policy)) {
		bench_env_back(&env);
		return -1;
	}
	rc = mob_store_create(NULL, &opts, &store);
	bench_env_back(&env);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_store_create");
	}
	s->random = SEED;
	s->n = 0;
	for (uint32_t i = 0; i < n && rc >= 0; i++) {
		char as[32];

		next_key(s, as, sizeof(as));
		rc = request(store, as);
		missed += rc == 0;
	}
	mob_store_close(store);
	*out_value = (double)missed / n;
	return rc < 0 ? bench_fail_rc(b, rc, "a request") : 0;
}

int bench_evict(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	int rc = replay(b, NULL, out_value);

	s->missed[0] = *out_value;
	return rc;
}

int bench_evict_raw(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	int rc = replay(b, "clock", out_value);

	s->missed[1] = *out_value;
	if (!rc && b->last) {
		bench_note(b, "hits: %.1f %% by default, %.1f %% with clock",
			   100 * (1 - s->missed[0]), 100 * (1 - s->missed[1]));
	}
	return rc;
}
