/* SPDX-License-Identifier: Apache-2.0 */
/* A session with tasks for cases of `mob bench task`. */
#define _GNU_SOURCE
#include "bench_session.h"

#include <mobula/mobula.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Keeps a worker busy until it is let go, without waiting in the library. */
struct bench_gate {
	_Alignas(64) raw_word inside;
	_Alignas(64) raw_word open;
};

MOB_TASK(int32_t, bench_empty, void)
{
	return 0;
}

void *bench_shm_map(const char *name, int flags, size_t size)
{
	int fd = shm_open(name, O_RDWR | flags, 0600);
	void *at = MAP_FAILED;

	if (fd >= 0 && !(flags && ftruncate(fd, (off_t)size))) {
		at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  0);
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	return at == MAP_FAILED ? NULL : at;
}

MOB_TASK(int32_t, bench_wait_inside, mob_str, name)
{
	struct bench_gate *gate = bench_shm_map(name, 0, sizeof(*gate));

	if (!gate) {
		mob_fail(errno, "%s: %s", name, strerror(errno));
		return 0;
	}
	(void)atomic_fetch_add(&gate->inside, 1);
	raw_wait_until(&gate->open, 1, false);
	(void)munmap(gate, sizeof(*gate));
	return 0;
}

struct bench_session *bench_session_new(struct bench *b)
{
	b->state = calloc(1, sizeof(struct bench_session));
	if (!b->state) {
		(void)bench_fail(b, "out of memory");
	}
	return b->state;
}

int bench_session_start(struct bench *b, size_t n_refs)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	struct bench_session *s = b->state;
	int rc;

	opts.workers = BENCH_WORKERS;
	rc = mob_init(&opts);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_init");
	}
	s->started = true;
	s->n_refs = n_refs;
	s->refs = calloc(n_refs + 1, sizeof(*s->refs));
	s->values = calloc(n_refs + 1, sizeof(*s->values));
	return s->refs && s->values ? 0 : bench_fail(b, "out of memory");
}

static void gate_unmap(struct bench_session *s)
{
	if (s->gate) {
		(void)munmap(s->gate, sizeof(*s->gate));
		s->gate = NULL;
	}
}

void bench_session_end(struct bench *b)
{
	struct bench_session *s = b->state;

	if (!s) {
		return;
	}
	raw_peer_stop(&s->peer);
	bench_gate_open(s);
	gate_unmap(s);
	if (s->started) {
		mob_shutdown();
	}
	free(s->refs);
	free(s->values);
	free(s);
}

int bench_get_failed(struct bench *b)
{
	return bench_fail(b, "%s", mob_error());
}

int bench_take_all(struct bench *b, size_t n)
{
	struct bench_session *s = b->state;

	for (size_t i = 0; i < n; i++) {
		int32_t x;

		if (mob_take(s->refs[i], &x)) {
			return bench_get_failed(b);
		}
	}
	return 0;
}

struct mob_ref bench_submit_one(void)
{
	return mob_submit(bench_empty);
}

void bench_submit_empty(struct bench *b, size_t n)
{
	struct bench_session *s = b->state;

	for (size_t i = 0; i < n; i++) {
		s->refs[i] = bench_submit_one();
	}
}

int bench_gate_close(struct bench *b, struct mob_ref busy[BENCH_WORKERS])
{
	struct bench_session *s = b->state;
	char name[64];

	(void)snprintf(name, sizeof(name), "/mob-bench-%ld", (long)getpid());
	s->gate = bench_shm_map(name, O_CREAT | O_EXCL, sizeof(*s->gate));
	if (!s->gate) {
		return bench_fail(b, "%s: %s", name, strerror(errno));
	}
	for (int i = 0; i < BENCH_WORKERS; i++) {
		busy[i] = mob_submit(bench_wait_inside, name);
	}
	while (atomic_load(&s->gate->inside) < BENCH_WORKERS) {
		(void)sched_yield();
	}
	(void)shm_unlink(name);
	return 0;
}

void bench_gate_open(struct bench_session *s)
{
	for (int i = 0; s->gate && i < BENCH_WORKERS; i++) {
		raw_set(&s->gate->open, 1); /* wakes one each time */
	}
}

int bench_gate_drop(struct bench *b, const struct mob_ref busy[BENCH_WORKERS])
{
	int rc = 0;

	for (int i = 0; i < BENCH_WORKERS && !rc; i++) {
		int32_t x;

		rc = mob_take(busy[i], &x) ? bench_get_failed(b) : 0;
	}
	gate_unmap(b->state);
	return rc;
}
