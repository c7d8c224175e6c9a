/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store of its own for a test, what is in its tables, and children. Children
 * answer by exit code; they are killed when the test dies.
 */
#ifndef STORE_FIXTURE_H
#define STORE_FIXTURE_H

#include "edge.h"
#include "pool.h"
#include "reap.h"
#include "segment.h"
#include "slot.h"
#include "test_count.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
/* A child that is not done by then is a bug: it is killed. */
#define WATCHDOG_S (SANITIZED ? 300u : 60u)

static inline void assert_ok(int rc)
{
	if (rc < 0) {
		print_error("%s: %s\n", mob_err_name(rc), mob_err_detail(rc));
	}
	assert_true(rc >= 0);
}

static inline struct mob_store *store_new(const char *name, uint64_t bytes)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;

	opts.arena_bytes = bytes;
	opts.flags = MOB_STORE_PRIVATE;
	assert_ok(mob_store_create(name, &opts, &s));
	return s;
}

/* The same, with a directory to spill to. */
static inline struct mob_store *store_new_spilling(uint64_t bytes)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;

	opts.arena_bytes = bytes;
	opts.flags = MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE;
	opts.spill_dir = "/tmp";
	assert_ok(mob_store_create(NULL, &opts, &s));
	return s;
}

/* Objects that are spilled. */
static inline uint32_t spill_files(const struct mob_store *s)
{
	char path[64];
	struct dirent *e;
	uint32_t n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->spill_fd);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		n += e->d_name[0] != '.';
	}
	(void)closedir(d);
	return n;
}

/* A name that no other test has. */
static inline const char *name_new(char *buf, size_t size, const char *what)
{
	static unsigned n;

	(void)snprintf(buf, size, "t-%s-%d-%u", what, (int)getpid(), n++);
	return buf;
}

static inline void print_finding(const char *line, void *arg)
{
	(void)arg;
	print_error("check: %s\n", line);
}

/* ---- what is in the tables ---- */

struct counts {
	uint64_t objects;
	uint64_t records;
	uint64_t chunks;
	uint64_t edges;
	uint64_t used_bytes;
	/* Free entries without a hint: at hand of a thread, or lost. After a
	 * death all have one. */
	uint64_t unhinted;
};

static inline bool hinted(const struct mob_store *s, uint32_t pool, uint32_t n)
{
	const struct mobi_pool *p = &s->pool[pool];

	return mobi_load(&p->group[n / MOBI_GROUP].hint) &
	       MOBI_BIT(n % MOBI_GROUP);
}

static inline struct counts counts_of(struct mob_store *s)
{
	struct counts c = { 0, 0, 0, 0, 0, 0 };
	struct mobi_arena_stat st;

	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_SLOT); i++) {
		uint32_t state = MOBI_STATE(mobi_load(&s->slots[i].word));

		c.objects += state != MOBI_S_FREE && state != MOBI_S_WORN;
		c.unhinted += state == MOBI_S_FREE &&
			      !hinted(s, MOBI_POOL_SLOT, i);
	}
	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_REC); i++) {
		bool is_free = MOBI_STATE(mobi_load(&s->recs[i].word)) ==
			       MOBI_R_FREE;

		c.records += !is_free;
		c.unhinted += is_free && !hinted(s, MOBI_POOL_REC, i);
	}
	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_CHUNK); i++) {
		bool is_free = MOBI_STATE(mobi_load(&s->chunks[i].word)) ==
			       MOBI_C_FREE;

		c.chunks += !is_free;
		c.unhinted += is_free && !hinted(s, MOBI_POOL_CHUNK, i);
		for (uint32_t k = 0; k < MOBI_EDGE_CHUNK; k++) {
			struct mobi_edge *e =
				mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(i, k));

			c.edges += MOBI_STATE(mobi_load(&e->word)) !=
				   MOBI_E_FREE;
		}
	}
	mobi_arena_stat(s->arena, &st);
	c.used_bytes = st.used_bytes;
	return c;
}

/* How many of the counts differ; prints them. */
static inline int counts_differ(struct counts a, struct counts b)
{
	int n = (a.objects != b.objects) + (a.records != b.records) +
		(a.chunks != b.chunks) + (a.edges != b.edges) +
		(a.used_bytes != b.used_bytes);

	if (n) {
		print_error("before: %" PRIu64 " objects %" PRIu64 " records "
			    "%" PRIu64 " chunks %" PRIu64 " edges %" PRIu64
			    " bytes\n",
			    a.objects, a.records, a.chunks, a.edges,
			    a.used_bytes);
		print_error("after:  %" PRIu64 " objects %" PRIu64 " records "
			    "%" PRIu64 " chunks %" PRIu64 " edges %" PRIu64
			    " bytes\n",
			    b.objects, b.records, b.chunks, b.edges,
			    b.used_bytes);
	}
	return n;
}

/* Nothing lives, nothing is wrong; then the store is closed. */
static inline void store_end(struct mob_store *s)
{
	struct counts c = counts_of(s);

	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(c.objects, 0);
	assert_int_equal(c.records, 0);
	assert_int_equal(c.edges, 0);
	assert_int_equal(c.used_bytes, 0);
	mob_store_close(s);
}

static inline struct mobi_slot *slot_at(const struct mob_store *s,
					struct mob_ref r)
{
	return &s->slots[(uint32_t)r.lo];
}

/* ---- payloads that can be checked ---- */

static inline void fill(void *at, uint64_t size, uint64_t seed)
{
	unsigned char *p = at;

	for (uint64_t i = 0; i < size; i++) {
		p[i] = (unsigned char)(seed * 131 + i * 7);
	}
}

static inline bool filled(const void *at, uint64_t size, uint64_t seed)
{
	const unsigned char *p = at;

	for (uint64_t i = 0; i < size; i++) {
		if (p[i] != (unsigned char)(seed * 131 + i * 7)) {
			return false;
		}
	}
	return true;
}

static inline struct mob_ref put_filled(struct mob_store *s, uint64_t size,
					uint64_t seed)
{
	struct mob_ref r = MOB_REF_NONE;
	void *at = malloc(size + 1);

	assert_non_null(at);
	fill(at, size, seed);
	assert_ok(mob_object_put(s, at, size, MOB_TYPE_BYTES, &r));
	free(at);
	return r;
}

/* A pending object of 8 bytes. */
static inline struct mob_ref make_pending(struct mob_store *s)
{
	struct mob_ref r = MOB_REF_NONE;
	void *at = NULL;

	assert_ok(mob_object_create(s, 8, MOB_TYPE_BYTES, &r, &at));
	fill(at, 8, 8);
	return r;
}

/* ---- memory, children, time ---- */

static inline void *shared_memory(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

/* In a child: it dies with the test, or when it hangs. */
static inline void child_begin(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)alarm(WATCHDOG_S);
}

/* In a child. */
static inline struct mob_store *child_open(const char *name)
{
	struct mob_store *s = NULL;
	int rc;

	child_begin();
	rc = mob_store_open(name, &s);
	if (rc < 0) {
		(void)fprintf(stderr, "child: open: %s: %s\n", mob_err_name(rc),
			      mob_err_detail(rc));
		_exit(99);
	}
	return s;
}

/* Forks a child that runs fn and exits with what it returns. */
static inline pid_t child_start(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		child_begin();
		_exit(fn(arg));
	}
	return pid;
}

/* Exit code of a child; -signal if one ended it. */
static inline int child_result(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) != pid) {
		if (errno != EINTR) {
			return -1000;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void child_kill(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)child_result(pid);
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Waits for a byte of a pipe; false if the watchdog's time is up. */
static inline bool pipe_wait(int fd, void *out, size_t n)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, (int)WATCHDOG_S * 1000) == 1 &&
	       read(fd, out, n) == (ssize_t)n;
}

/* A ref that processes tell each other; hi 0: none yet. */
struct cell {
	mobi_a64 lo;
	mobi_a64 hi;
};

static inline void cell_set(struct cell *c, struct mob_ref r)
{
	mobi_store(&c->lo, r.lo);
	mobi_store(&c->hi, r.hi);
}

static inline struct mob_ref cell_ref(struct cell *c)
{
	struct mob_ref r;

	r.hi = mobi_load(&c->hi);
	r.lo = mobi_load(&c->lo);
	return r;
}

/* Waits until there is one. */
static inline struct mob_ref cell_wait(struct cell *c)
{
	while (!mobi_load(&c->hi)) {
		(void)sched_yield();
	}
	return cell_ref(c);
}

/* Waits until somebody has an edge on it: a sleeper, a queue. */
static inline void until_wanted(struct mob_store *s, struct mob_ref r)
{
	while (!mobi_load(&slot_at(s, r)->head)) {
		(void)sched_yield();
	}
}

static inline uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Clients that are attached, or dead and not cleaned up after. One that died
 * while it joined has nothing; the next to join takes its number. */
static inline uint64_t clients_used(const struct mob_store *s)
{
	uint64_t m = 0;

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint32_t state = MOBI_STATE(mobi_load(&s->clients[i].word));

		if (state != MOBI_CLIENT_FREE && state != MOBI_CLIENT_JOINING) {
			m |= MOBI_BIT(i);
		}
	}
	return m;
}

/* Reaps until only these are there and nothing is left over. */
static inline void reap_until(struct mob_store *s, uint64_t clients)
{
	while (clients_used(s) != clients || mobi_load(&s->hdr->leftover)) {
		if (mobi_reap(s) == 0) {
			(void)sched_yield(); /* another is at it */
		}
	}
}

#endif /* STORE_FIXTURE_H */
