/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench store` with many objects: listing, attaching, recovery,
 * one of many, what an object costs, and how costs grow.
 */
#define _GNU_SOURCE
#include "bench_scale.h"
#include "bench_raw.h"

#include <mobula/store.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SMALL 100u
#define MILLION 1000000u
#define SCATTER UINT64_C(611953) /* a prime: has no factor of a power of ten */
#define ANY 10000u
#define WAKES 200u
#define KEPT 200000u
#define HELD 1000u
#define GIB (UINT64_C(1) << 30)

/* Refs and what the second process says, in memory of both. */
struct shared {
	char name[MOB_STORE_NAME_MAX + 1];
	int rc;
	uint32_t popped; /* which of the objects */
	struct mob_ref ref[ANY];
};

struct state {
	struct mob_store *store;
	struct raw_peer peer;
	struct shared *shared;
	struct mob_ref *refs;
	uint64_t n_refs;
};

void bench_scale_teardown(struct bench *b)
{
	struct state *s = b->state;

	if (!s) {
		return;
	}
	raw_peer_stop(&s->peer);
	mob_store_close(s->store);
	if (s->shared) {
		(void)munmap(s->shared, sizeof(*s->shared));
	}
	free(s->refs);
	free(s);
}

static int begin(struct bench *b, uint64_t bytes)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct state *s = calloc(1, sizeof(*s));
	int rc;

	b->state = s;
	if (!s) {
		return bench_fail(b, "out of memory");
	}
	s->refs = calloc(MILLION, sizeof(*s->refs));
	if (!s->refs) {
		return bench_fail(b, "out of memory");
	}
	opts.flags = MOB_STORE_PRIVATE;
	opts.arena_bytes = bytes;
	rc = mob_store_create(NULL, &opts, &s->store);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_create") : 0;
}

/* Objects of 100 bytes, until there are n. */
static int put_up_to(struct bench *b, uint64_t n)
{
	struct state *s = b->state;
	unsigned char from[SMALL];

	memset(from, 7, sizeof(from));
	for (; s->n_refs < n; s->n_refs++) {
		int rc = mob_object_put(s->store, from, SMALL, MOB_TYPE_BYTES,
					&s->refs[s->n_refs]);

		if (rc < 0) {
			return bench_fail_rc(b, rc, "mob_object_put");
		}
	}
	return 0;
}

static int synced(struct bench *b)
{
	struct state *s = b->state;
	int rc = mob_store_sync(s->store);

	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_sync") : 0;
}

int bench_setup_empty(struct bench *b)
{
	return begin(b, GIB);
}

int bench_setup_million(struct bench *b)
{
	return begin(b, GIB) || put_up_to(b, bench_n(b, MILLION)) || synced(b);
}

/* ---- listing by name ---- */

/* Each object has a name of its own. */
int bench_setup_names(struct bench *b)
{
	struct state *s;
	uint64_t n = bench_n(b, MILLION);

	if (begin(b, GIB) || put_up_to(b, n)) {
		return -1;
	}
	s = b->state;
	for (uint64_t i = 0; i < n; i++) {
		char name[40];
		int rc;

		(void)snprintf(name, sizeof(name), "list/%07llu",
			       (unsigned long long)i);
		/* Not in the order of the table. */
		rc = mob_name_put(s->store, name, s->refs[i * SCATTER % n], 0,
				  NULL);
		if (rc < 0) {
			return bench_fail_rc(b, rc, "mob_name_put");
		}
	}
	return 0;
}

struct listing {
	uint64_t first;
	uint64_t n;
};

static int note_row(const struct mob_name_info *info, void *arg)
{
	struct listing *l = arg;

	(void)info;
	if (l->n++ == 0) {
		l->first = bench_now();
	}
	return 0;
}

int bench_list(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	struct listing l = { 0, 0 };
	uint64_t t = bench_now();
	int rc = mob_name_list(s->store, "list/", note_row, &l);
	uint64_t took = bench_now() - t;

	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_name_list");
	}
	if (l.n != bench_n(b, MILLION)) {
		return bench_fail(b, "%llu names", (unsigned long long)l.n);
	}
	*out_value = (double)l.n * 1e9 / (double)took;
	if (b->last) {
		bench_note(b, "the first row after %.0f us",
			   (double)(l.first - t) / 1e3);
	}
	/* A first row that is late is a miss of the case. */
	if (l.first - t > 5000000) {
		*out_value = 0;
	}
	return 0;
}

/* ---- one of many ---- */

/* In the second process: a queue of all, then the next that is sealed. */
static void peer_any(struct raw_page *page, uint32_t what)
{
	struct shared *sh;
	struct mob_store *store = NULL;
	struct mob_cq *q = NULL;

	(void)what;
	memcpy(&sh, page->other, sizeof(sh));
	sh->rc = mob_store_open(sh->name, &store);
	if (sh->rc >= 0) {
		sh->rc = mob_cq_open(store, &q);
	}
	for (uint32_t i = 0; i < ANY && sh->rc >= 0; i++) {
		sh->rc = mob_cq_add(q, sh->ref[i], i);
	}
	for (uint32_t i = 1; i <= page->n && sh->rc >= 0; i++) {
		struct mob_cq_entry e;

		raw_wait_until(&page->ping, i, false);
		atomic_store(&page->armed, i);
		sh->rc = mob_cq_pop(q, MOB_FOREVER, &e);
		page->t = bench_now();
		if (sh->rc > 0) {
			(void)mob_object_release(store, e.ref);
			sh->popped = (uint32_t)e.user;
		}
		raw_set(&page->pong, i);
	}
	mob_cq_close(q);
	mob_store_close(store);
}

int bench_setup_any(struct bench *b)
{
	struct shared *sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct raw_peer peer = { 0 };
	struct state *s;

	if (sh == MAP_FAILED || setenv("MOBULA_SPIN", "0", 1)) {
		return bench_fail(b, "mmap: %s", strerror(errno));
	}
	if (raw_peer_start(&peer, peer_any)) {
		return bench_fail(b, "fork: %s", strerror(errno));
	}
	memcpy(peer.page->other, &sh, sizeof(sh));
	if (begin(b, GIB)) {
		raw_peer_stop(&peer);
		return -1;
	}
	s = b->state;
	s->shared = sh;
	s->peer = peer;
	(void)snprintf(sh->name, sizeof(sh->name), "%s",
		       mob_store_name(s->store));
	return 0;
}

static int pending(struct bench *b, struct mob_ref *out)
{
	struct state *s = b->state;
	void *at;
	int rc = mob_object_create(s->store, 8, MOB_TYPE_BYTES, out, &at);

	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_object_create");
	}
	memset(at, 1, 8);
	return 0;
}

/* Seals object i while the second process sleeps. */
static int seal_one(struct bench *b, uint32_t round, uint32_t i)
{
	struct state *s = b->state;
	struct raw_page *page = s->peer.page;
	uint64_t t;
	int rc;

	raw_set(&page->ping, round);
	while (atomic_load(&page->armed) != round) {
		(void)sched_yield();
	}
	if (raw_peer_asleep(&s->peer, RAW_IN_FUTEX)) {
		return bench_fail(b, "the waiter is not seen in a futex wait");
	}
	t = bench_now();
	rc = mob_object_seal(s->store, s->shared->ref[i]);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_object_seal");
	}
	raw_wait_until(&page->pong, round, false);
	bench_sample(b, page->t > t ? page->t - t : 0);
	return s->shared->popped == i ? 0 :
					bench_fail(b, "another object was "
						      "popped");
}

int bench_wait_any(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, WAKES);
	int rc = 0;

	(void)out_value;
	for (uint32_t i = 0; i < ANY && !rc; i++) {
		rc = pending(b, &s->shared->ref[i]);
	}
	if (rc) {
		return rc;
	}
	raw_peer_tell(&s->peer, RAW_OTHER, n);
	for (uint32_t i = 1; i <= n && !rc; i++) {
		rc = seal_one(b, i, i * 37 % ANY);
	}
	if (!rc && raw_peer_wait(&s->peer)) {
		rc = bench_fail(b, "the second process died");
	}
	for (uint32_t i = 0; i < ANY; i++) {
		(void)mob_object_abort(s->store, s->shared->ref[i]);
		(void)mob_object_release(s->store, s->shared->ref[i]);
	}
	return rc;
}

int bench_wait_any_raw(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	(void)out_value;
	return raw_wake(b, &s->peer, (uint32_t)bench_n(b, WAKES));
}

/* ---- attach and recover ---- */

static void print_finding(const char *line, void *arg)
{
	(void)arg;
	(void)fprintf(stderr, "%s\n", line);
}

/* Opens the store once more; *out_ns is how long that took. */
static int open_again(struct bench *b, bool check, double *out_ns)
{
	struct state *s = b->state;
	struct mob_store *again;
	int rc = synced(b); /* or the check finds what is not written yet */
	int bad = 0;
	uint64_t t;

	if (rc) {
		return rc;
	}
	t = bench_now();
	rc = mob_store_open(mob_store_name(s->store), &again);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_store_open");
	}
	if (check) {
		bad = mob_store_check(again, print_finding, NULL);
	}
	*out_ns = (double)(bench_now() - t);
	mob_store_close(again);
	return bad ? bench_fail(b, "mob_store_check: %d", bad) : 0;
}

int bench_attach(struct bench *b, double *out_value)
{
	return open_again(b, false, out_value);
}

int bench_attach_check(struct bench *b, double *out_value)
{
	return open_again(b, true, out_value);
}

/* In the process that is killed: it holds, views and makes objects. */
static void hold_until_killed(const struct state *s, int ready)
{
	struct mob_store *own = NULL;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mob_store_open(mob_store_name(s->store), &own) < 0) {
		_exit(1);
	}
	for (uint64_t i = 0; i < HELD && i < s->n_refs; i++) {
		struct mob_view v;
		struct mob_ref r;
		void *at;

		if (mob_object_get(own, s->refs[i], 0, &v) < 0 ||
		    mob_object_hold(own, s->refs[i]) < 0 ||
		    mob_object_create(own, 5000, 1, &r, &at) < 0) {
			_exit(1);
		}
	}
	(void)write(ready, "r", 1);
	for (;;) {
		(void)pause();
	}
}

/* Returns when it has what it is to have; 0 if it did not come to that. */
static pid_t victim(struct bench *b)
{
	int ready[2];
	char byte;
	pid_t pid;
	bool good;

	if (pipe2(ready, O_CLOEXEC)) {
		(void)bench_fail(b, "pipe: %s", strerror(errno));
		return 0;
	}
	pid = fork();
	if (pid == 0) {
		hold_until_killed(b->state, ready[1]);
	}
	(void)close(ready[1]);
	good = pid > 0 && read(ready[0], &byte, 1) == 1;
	(void)close(ready[0]);
	if (!good) {
		if (pid > 0) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, NULL, 0);
		}
		(void)bench_fail(b, "the second process did not start");
		return 0;
	}
	return pid;
}

/* A process that has the store open, or a newcomer, cleans up after one that is
 * killed: from the kill until nothing is left of it. The death itself is part of
 * that, as the kernel takes the dead one's memory down first. */
static int recover(struct bench *b, bool newcomer, double *out_ns)
{
	struct state *s = b->state;
	struct mob_store_stat before;
	struct mob_store_stat after;
	struct mob_store *other = NULL;
	uint64_t t;
	uint64_t died;
	pid_t pid;
	int rc = newcomer ? 0 :
			    mob_store_open(mob_store_name(s->store), &other);

	if (rc >= 0) {
		/* It has read all tables, as who was there for a while. */
		rc = mob_store_stat(other ? other : s->store, &before);
	}
	if (rc < 0) {
		mob_store_close(other);
		return bench_fail_rc(b, rc, "mob_store_open");
	}
	pid = victim(b);
	if (pid <= 0) {
		mob_store_close(other);
		return -1;
	}
	t = bench_now();
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	died = bench_now();
	if (newcomer) {
		rc = mob_store_open(mob_store_name(s->store), &other);
	} else {
		mob_store_close(other);
		other = NULL;
	}
	*out_ns = (double)(bench_now() - t);
	if (b->last) {
		bench_note(b, "the death itself took %.0f us",
			   (double)(died - t) / 1e3);
	}
	if (rc >= 0) {
		rc = mob_store_stat(s->store, &after);
	}
	mob_store_close(other);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_store_open");
	}
	return after.reaps > before.reaps && after.objects == before.objects ?
		       0 :
		       bench_fail(b, "the dead process was not cleaned up");
}

int bench_recover(struct bench *b, double *out_value)
{
	return recover(b, true, out_value);
}

int bench_recover_attached(struct bench *b, double *out_value)
{
	return recover(b, false, out_value);
}

/* ---- what one costs ---- */

int bench_bytes_per_object(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint64_t n = bench_n(b, KEPT);
	uint64_t end = s->n_refs + n;
	struct mob_store_stat before;
	struct mob_store_stat after;
	int rc = mob_store_stat(s->store, &before);

	if (rc < 0 || put_up_to(b, end) || synced(b)) {
		return -1;
	}
	rc = mob_store_stat(s->store, &after);
	*out_value = (double)(after.file_bytes - before.file_bytes) /
			     (double)n -
		     SMALL;
	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_stat") : 0;
}

/* ns for a put, get and release while others live. */
static int one_cycle(struct bench *b, double *out_ns)
{
	struct state *s = b->state;
	unsigned char from[SMALL] = { 0 };
	uint64_t n = bench_n(b, 200000);
	uint64_t t = bench_now();

	for (uint64_t i = 0; i < n; i++) {
		struct mob_view v;
		struct mob_ref r;
		int rc = mob_object_put(s->store, from, SMALL, MOB_TYPE_BYTES,
					&r);

		if (rc >= 0) {
			rc = mob_object_get(s->store, r, 0, &v);
		}
		if (rc < 0) {
			return bench_fail_rc(b, rc, "put and get");
		}
		mob_view_release(s->store, &v);
		(void)mob_object_release(s->store, r);
	}
	*out_ns = (double)(bench_now() - t) / (double)n;
	return 0;
}

/* How many times dearer the dearest is than the cheapest. */
int bench_curve(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	double low = 0;
	double high = 0;

	if (b->last) {
		bench_note(b, "store.curve:");
	}
	for (uint64_t n = 1000; n <= bench_n(b, MILLION); n *= 10) {
		double ns = 0;

		if (put_up_to(b, n) || synced(b) || one_cycle(b, &ns)) {
			return -1;
		}
		low = low <= 0 || ns < low ? ns : low;
		high = ns > high ? ns : high;
		if (b->last) {
			bench_note(b, " %llu objects %.0f ns",
				   (unsigned long long)n, ns);
		}
	}
	while (s->n_refs) {
		(void)mob_object_release(s->store, s->refs[--s->n_refs]);
	}
	*out_value = high / low;
	return 0;
}
