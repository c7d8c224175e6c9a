/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of `mob bench store` about spilling: 1 MiB of random bytes to a file and
 * back, beside the plain writes and reads of such files. */
#define _GNU_SOURCE
#include "bench_scale.h"

#include <mobula/store.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (UINT64_C(1) << 20)
#define FITS 24u /* objects of 1 MiB in the store, at the least */
#define FILES 100u

struct state {
	struct mob_store *store;
	char dir[64];
	unsigned char *bytes; /* 2 MiB: what is written, and room */
	struct mob_ref refs[FITS + FILES];
	uint32_t n_refs;
};

static const char *spill_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir == '/' ? dir : "/var/tmp";
}

static int put_one(struct bench *b)
{
	struct state *s = b->state;
	int rc = mob_object_put(s->store, s->bytes, MIB, MOB_TYPE_BYTES,
				&s->refs[s->n_refs]);

	s->n_refs += rc >= 0;
	return rc < 0 ? bench_fail_rc(b, rc, "mob_object_put") : 0;
}

static void drop(struct state *s, uint32_t left)
{
	while (s->n_refs > left) {
		(void)mob_object_release(s->store, s->refs[--s->n_refs]);
	}
}

int bench_setup_spill(struct bench *b)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct state *s = calloc(1, sizeof(*s));
	uint64_t x = 88172645463325252;
	int rc;

	b->state = s;
	if (!s || !(s->bytes = malloc(2 * MIB))) {
		return bench_fail(b, "out of memory");
	}
	for (size_t i = 0; i < 2 * MIB; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		s->bytes[i] = (unsigned char)x;
	}
	(void)snprintf(s->dir, sizeof(s->dir), "%.40s/mob-bench-XXXXXX",
		       spill_dir());
	if (!mkdtemp(s->dir)) {
		s->dir[0] = 0;
		return bench_fail(b, "%s: %s", spill_dir(), strerror(errno));
	}
	opts.flags = MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE;
	opts.arena_bytes = 32 * MIB;
	opts.spill_dir = s->dir;
	rc = mob_store_create(NULL, &opts, &s->store);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_store_create") : 0;
}

void bench_spill_teardown(struct bench *b)
{
	struct state *s = b->state;

	if (s) {
		mob_store_close(s->store);
		if (s->dir[0]) {
			(void)rmdir(s->dir);
		}
		free(s->bytes);
		free(s);
	}
}

/* The store is full: each put spills one. */
int bench_spill(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, FILES);
	struct mob_store_stat st;
	int rc = 0;

	(void)out_value;
	while (s->n_refs < FITS && !rc) {
		rc = put_one(b);
	}
	for (uint32_t i = 0; i < n && !rc; i++) {
		uint64_t t = bench_now();

		rc = put_one(b);
		bench_sample(b, bench_now() - t);
	}
	if (!rc && mob_store_stat(s->store, &st) >= 0 && b->last) {
		bench_note(b, "%llu of %u spilled",
			   (unsigned long long)st.spilled_objects, s->n_refs);
	}
	drop(s, 0);
	return rc;
}

static void file_name(const struct state *s, uint32_t i, char out[128])
{
	(void)snprintf(out, 128, "%s/raw-%u", s->dir, i);
}

static int write_file(struct bench *b, uint32_t i)
{
	struct state *s = b->state;
	char name[128];
	int fd;
	bool good;

	file_name(s, i, name);
	memcpy(s->bytes + MIB, s->bytes, MIB); /* as put does */
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	good = fd >= 0 && write(fd, s->bytes + MIB, MIB) == (ssize_t)MIB;
	if (fd >= 0 && close(fd)) {
		good = false;
	}
	return good ? 0 : bench_fail(b, "%s: %s", name, strerror(errno));
}

static void remove_files(const struct state *s, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		char name[128];

		file_name(s, i, name);
		(void)unlink(name);
	}
}

int bench_spill_raw(struct bench *b, double *out_value)
{
	uint32_t n = (uint32_t)bench_n(b, FILES);
	int rc = 0;

	(void)out_value;
	for (uint32_t i = 0; i < n && !rc; i++) {
		uint64_t t = bench_now();

		rc = write_file(b, i);
		bench_sample(b, bench_now() - t);
	}
	remove_files(b->state, n);
	return rc;
}

/* Objects that were spilled are viewed, one after the other. */
int bench_restore(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, FILES);
	int rc = 0;

	(void)out_value;
	while (s->n_refs < FITS + n && !rc) {
		rc = put_one(b);
	}
	/* Room to come back to: those that are in memory go. */
	drop(s, n);
	for (uint32_t i = 0; i < n && !rc; i++) {
		struct mob_view v;
		uint64_t t = bench_now();

		rc = mob_object_get(s->store, s->refs[i], 0, &v);
		bench_sample(b, bench_now() - t);
		if (rc < 0) {
			return bench_fail_rc(b, rc, "mob_object_get");
		}
		mob_view_release(s->store, &v);
		(void)mob_object_release(s->store, s->refs[i]);
	}
	s->n_refs = 0;
	return rc;
}

int bench_restore_raw(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint32_t n = (uint32_t)bench_n(b, FILES);
	int rc = 0;

	(void)out_value;
	for (uint32_t i = 0; i < n && !rc; i++) {
		rc = write_file(b, i);
	}
	for (uint32_t i = 0; i < n && !rc; i++) {
		char name[128];
		uint64_t t = bench_now();
		int fd;
		bool good;

		file_name(s, i, name);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		good = fd >= 0 && read(fd, s->bytes + MIB, MIB) == (ssize_t)MIB;
		if (fd >= 0) {
			(void)close(fd); /* only read from */
		}
		(void)unlink(name); /* as get does */
		bench_sample(b, bench_now() - t);
		rc = good ? 0 : bench_fail(b, "%s: %s", name, strerror(errno));
	}
	remove_files(s, n);
	return rc;
}
