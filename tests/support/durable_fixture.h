/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable store of its own for a test. A reboot is played by removing the session
 * and keeping the copy.
 */
#ifndef DURABLE_FIXTURE_H
#define DURABLE_FIXTURE_H

#include "store_fixture.h"

#include "durable.h"
#include "os_dir.h"
#include "scratch.h"

#include <fcntl.h>
#include <sys/stat.h>

#define ARENA (32 * MIB)
#define LARGE (300 * KIB)

static char base[64];   /* the disk */
static char memory[64]; /* sessions of its own; "": it has none */
static char name[64];   /* of the store */
static char copy[256];
static char lines[4096]; /* what the restore told */

static inline struct mob_store_opts durable_opts(void)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;

	o.flags = MOB_STORE_DURABLE | MOB_STORE_SPILL_ANYWHERE;
	o.dir = base;
	return o;
}

static inline struct mob_store *create(void)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *s = NULL;

	o.arena_bytes = ARENA;
	assert_ok(mob_store_create(name, &o, &s));
	return s;
}

static inline void note_line(const char *line, void *arg)
{
	size_t n = strlen(lines);

	(void)arg;
	(void)snprintf(lines + n, sizeof(lines) - n, "%s\n", line);
}

static inline int try_restore(uint32_t flags, struct mob_store **out_store)
{
	struct mob_store_opts o = durable_opts();

	o.flags |= flags;
	lines[0] = 0;
	return mob_store_restore(name, &o, note_line, NULL, out_store);
}

static inline struct mob_store *restore_what_is_whole(void)
{
	struct mob_store *s = NULL;

	assert_ok(try_restore(0, &s));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	return s;
}

static inline struct mob_store *restore(void)
{
	struct mob_store *s = restore_what_is_whole();

	assert_string_equal(lines, "");
	return s;
}

/* Everything but the copy goes. */
static inline void reboot(struct mob_store *s)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s", s->path);
	mob_store_close(s);
	assert_ok(mobi_session_remove(path));
}

static inline int begin_in(const char *dir)
{
	assert_non_null(scratch_make(base, sizeof(base), dir, "durable"));
	(void)name_new(name, sizeof(name), "durable");
	(void)snprintf(copy, sizeof(copy), "%s/mobula-durable-%u/%s", base,
		       (unsigned)geteuid(), name);
	return 0;
}

static inline int begin(void **state)
{
	(void)state;
	return begin_in("/tmp");
}

/* With sessions of its own: others of this user may be built meanwhile. */
static inline int begin_apart_in(const char *dir)
{
	(void)begin_in(dir);
	assert_non_null(
		scratch_make(memory, sizeof(memory), "/dev/shm", "sessions"));
	return setenv("MOBULA_SESSION_DIR", memory, 1);
}

/* Also of a test that has failed, and has left a store open: nothing asserts here before
 * all is removed. */
static inline int finish(void **state)
{
	int removed = mob_store_remove(name);
	int rc = mobi_dir_remove(base);

	(void)state;
	if (memory[0]) {
		int own = mobi_dir_remove(memory);

		memory[0] = 0;
		rc = rc < 0 ? rc : own;
	}
	return removed < 0 && removed != MOB_E_NOT_FOUND ? removed : rc;
}

static inline uint32_t files(void)
{
	char path[300];
	struct dirent *e;
	uint32_t n = 0;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/data", copy);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		n += e->d_name[0] != '.';
	}
	(void)closedir(d);
	return n;
}

/* A named object, which this process lets go. */
static inline struct mob_ref named(struct mob_store *s, const char *as,
				   uint64_t size, uint64_t seed)
{
	struct mob_ref r = put_filled(s, size, seed);

	assert_ok(mob_name_put(s, as, r, MOB_NAME_REPLACE, NULL));
	assert_ok(mob_object_release(s, r));
	return r;
}

static inline void assert_object(struct mob_store *s, struct mob_ref r,
				 uint64_t size, uint64_t seed)
{
	struct mob_view v;

	assert_ok(mob_object_get(s, r, 0, &v));
	assert_int_equal(v.size, size);
	assert_true(filled(v.at, v.size, seed));
	mob_view_release(s, &v);
}

static inline void assert_named(struct mob_store *s, const char *as,
				uint64_t size, uint64_t seed)
{
	struct mob_ref r;

	assert_ok(mob_name_get(s, as, &r, NULL));
	assert_object(s, r, size, seed);
	assert_ok(mob_object_release(s, r));
}

static inline void assert_no_name(struct mob_store *s, const char *as)
{
	struct mob_ref r;

	assert_int_equal(mob_name_get(s, as, &r, NULL), MOB_E_NOT_FOUND);
}

/* One that lies in data/. */
static inline void path_of_object(char *out, size_t size, struct mob_ref r)
{
	(void)snprintf(out, size, "%s/data/%u.%u", copy, (uint32_t)r.lo,
		       MOBI_GEN(r.lo));
}

static inline void write_file(const char *path, const unsigned char *at,
			      size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, at, n), (ssize_t)n);
	(void)close(fd);
}

#endif /* DURABLE_FIXTURE_H */
