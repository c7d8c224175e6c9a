/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench task` about spilled arguments: tasks that each work for a
 * millisecond on an object of 1 MiB, which is in a file that the kernel has not in
 * its cache. Beside it the same without reading ahead.
 */
#define _GNU_SOURCE
#include "bench_ahead.h"

#include <mobula/mobula.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define TASKS 48u
#define FILLERS 96u /* of 1 MiB, more than the store has room for */
#define WORK_NS 1000000u
#define LEAVES 1000u

struct state {
	char dir[64];
	unsigned char *bytes;
	struct bench_env
		env; /* how much is read ahead, while a session is there */
	mob_ref refs[TASKS + FILLERS];
};

MOB_TASK(int64_t, bench_ahead_work, int64_t, before, mob_bytes, b)
{
	uint64_t end = bench_now() + WORK_NS;
	const unsigned char *p = b.at;
	int64_t sum = before;

	for (size_t i = 0; i < b.n; i += 64) {
		sum += p[i] & 1;
	}
	while (bench_now() < end) {
	}
	return sum;
}

MOB_TASK(int64_t, bench_ahead_leaf, int64_t, i)
{
	return i;
}

MOB_TASK(int64_t, bench_ahead_join, mob_args, list)
{
	int64_t sum = 0;

	for (size_t i = LEAVES; i < list.n; i++) {
		mob_bytes b;

		if (mob_args_get(list, i, &b)) {
			return -1;
		}
		sum += *(const unsigned char *)b.at;
	}
	return sum;
}

int bench_ahead_setup(struct bench *b)
{
	const char *dir = getenv("TMPDIR");
	struct state *s = calloc(1, sizeof(*s));
	uint64_t x = 88172645463325252;

	b->state = s;
	if (!s || !(s->bytes = malloc(MIB))) {
		return bench_fail(b, "out of memory");
	}
	for (size_t i = 0; i < MIB; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		s->bytes[i] = (unsigned char)x;
	}
	(void)snprintf(s->dir, sizeof(s->dir), "%.40s/mob-bench-XXXXXX",
		       dir && *dir == '/' ? dir : "/var/tmp");
	if (!mkdtemp(s->dir)) {
		s->dir[0] = 0;
		return bench_fail(b, "mkdtemp: %s", strerror(errno));
	}
	return 0;
}

void bench_ahead_teardown(struct bench *b)
{
	struct state *s = b->state;

	if (s) {
		mob_shutdown();
		if (s->dir[0]) {
			(void)rmdir(s->dir);
		}
		free(s->bytes);
		free(s);
	}
}

/* fn closes what it is given. */
static void each_below(int dirfd, void (*fn)(int fd))
{
	DIR *d = fdopendir(dirfd);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		int fd = e->d_name[0] == '.' ?
				 -1 :
				 openat(dirfd, e->d_name, O_RDONLY | O_CLOEXEC);

		if (fd >= 0) {
			fn(fd);
		}
	}
	if (d) {
		(void)closedir(d);
	}
}

static void drop_file(int fd)
{
	(void)fdatasync(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	(void)close(fd);
}

static void drop_session(int fd)
{
	each_below(fd, drop_file);
}

/* Writes back and drops what the kernel has of the files of the sessions that
 * spill to an open directory, which is closed. */
static void drop_cache(int dirfd)
{
	each_below(dirfd, drop_session);
}

static int begin(struct bench *b, uint32_t n, bool ahead)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	struct state *s = b->state;
	mob_bytes bytes = { s->bytes, MIB };
	int rc;

	if (bench_env_set(b, &s->env, "MOBULA_PREFETCH_BYTES",
			  ahead ? "64M" : "0")) {
		bench_env_back(&s->env);
		return -1;
	}
	opts.workers = 1;
	opts.store_bytes = 80 * MIB;
	opts.spill_dir = s->dir;
	rc = mob_init(&opts);
	bench_env_back(&s->env);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_init");
	}
	for (uint32_t i = 0; i < n + FILLERS; i++) {
		s->refs[i] = mob_put(bytes);
	}
	/* Room to come back to. */
	for (uint32_t i = n; i < n + FILLERS; i++) {
		(void)mob_release(s->refs[i]);
	}
	drop_cache(open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	return 0;
}

/* One session: as many tasks as a chain, or all at once. */
static int run(struct bench *b, bool chain, bool ahead, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, TASKS);
	mob_ref last[TASKS];
	int64_t sum;
	uint64_t t;
	int rc = 0;

	n = n < 4 ? 4 : n;
	if (begin(b, n, ahead)) {
		return -1;
	}
	t = bench_now();
	for (uint32_t i = 0; i < n; i++) {
		last[i] = chain && i ?
				  mob_submit(bench_ahead_work, last[i - 1],
					     s->refs[i]) :
				  mob_submit(bench_ahead_work, 0, s->refs[i]);
	}
	for (uint32_t i = 0; i < n && !rc; i++) {
		rc = mob_get(last[i], &sum) ? bench_fail(b, "%s", mob_error()) :
					      0;
	}
	*out_value = (double)(bench_now() - t) / n;
	mob_shutdown();
	return rc;
}

int bench_ahead(struct bench *b, double *out_value)
{
	return run(b, false, true, out_value);
}

int bench_ahead_raw(struct bench *b, double *out_value)
{
	return run(b, false, false, out_value);
}

int bench_ahead_chain(struct bench *b, double *out_value)
{
	return run(b, true, true, out_value);
}

int bench_ahead_chain_raw(struct bench *b, double *out_value)
{
	return run(b, true, false, out_value);
}

/* A task that waits for many and has all objects, too: for each of the many. */
static int fan_in(struct bench *b, bool ahead, double *out_value)
{
	struct state *s = b->state;
	mob_ref list[LEAVES + TASKS];
	mob_ref joined;
	int64_t sum;
	uint64_t t;
	int rc;

	if (begin(b, TASKS, ahead)) {
		return -1;
	}
	memcpy(list + LEAVES, s->refs, TASKS * sizeof(*list));
	t = bench_now();
	for (uint32_t i = 0; i < LEAVES; i++) {
		list[i] = mob_submit(bench_ahead_leaf, i);
	}
	joined = mob_submit(bench_ahead_join,
			    mob_args_of(list, LEAVES + TASKS));
	rc = mob_get(joined, &sum);
	*out_value = (double)(bench_now() - t) / LEAVES;
	if (rc || sum < 0) {
		rc = bench_fail(b, "%s", mob_error());
	}
	mob_shutdown();
	return rc;
}

int bench_ahead_fan_in(struct bench *b, double *out_value)
{
	return fan_in(b, true, out_value);
}

int bench_ahead_fan_in_raw(struct bench *b, double *out_value)
{
	return fan_in(b, false, out_value);
}
