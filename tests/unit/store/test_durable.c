/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores that outlive the machine. A reboot is played by removing the session and
 * keeping the copy; a power cut by a copy of which any page may be of the last sync
 * or of what was written later.
 */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <mobula/object.h>

#include "durable.h"
#include "fault.h"
#include "os_dir.h"
#include "spill.h"

#include <fcntl.h>
#include <sys/stat.h>

#define ARENA (32 * MIB)
#define LARGE (300 * KIB)

static char base[64]; /* the disk */
static char name[64]; /* of the store */
static char copy[256];
static char lines[4096]; /* what the restore told */

static struct mob_store_opts durable_opts(void)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;

	o.flags = MOB_STORE_DURABLE | MOB_STORE_SPILL_ANYWHERE;
	o.dir = base;
	return o;
}

static struct mob_store *create(void)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *s = NULL;

	o.arena_bytes = ARENA;
	assert_ok(mob_store_create(name, &o, &s));
	return s;
}

static void note_line(const char *line, void *arg)
{
	size_t n = strlen(lines);

	(void)arg;
	(void)snprintf(lines + n, sizeof(lines) - n, "%s\n", line);
}

static int try_restore(uint32_t flags, struct mob_store **out_store)
{
	struct mob_store_opts o = durable_opts();

	o.flags |= flags;
	lines[0] = 0;
	return mob_store_restore(name, &o, note_line, NULL, out_store);
}

static struct mob_store *restore_what_is_whole(void)
{
	struct mob_store *s = NULL;

	assert_ok(try_restore(0, &s));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	return s;
}

static struct mob_store *restore(void)
{
	struct mob_store *s = restore_what_is_whole();

	assert_string_equal(lines, "");
	return s;
}

/* Everything but the copy goes. */
static void reboot(struct mob_store *s)
{
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s", s->path);
	mob_store_close(s);
	assert_ok(mobi_session_remove(path));
}

static int begin(void **state)
{
	(void)state;
	(void)snprintf(base, sizeof(base), "/tmp/mob-durable-XXXXXX");
	assert_non_null(mkdtemp(base));
	(void)name_new(name, sizeof(name), "durable");
	(void)snprintf(copy, sizeof(copy), "%s/mobula-durable-%u/%s", base,
		       (unsigned)geteuid(), name);
	return 0;
}

static int finish(void **state)
{
	int rc = mob_store_remove(name);

	(void)state;
	assert_true(rc == 0 || rc == MOB_E_NOT_FOUND);
	assert_ok(mobi_dir_remove(base));
	return 0;
}

static uint32_t files(void)
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
static struct mob_ref named(struct mob_store *s, const char *as, uint64_t size,
			    uint64_t seed)
{
	struct mob_ref r = put_filled(s, size, seed);

	assert_ok(mob_name_put(s, as, r, MOB_NAME_REPLACE, NULL));
	assert_ok(mob_object_release(s, r));
	return r;
}

static void assert_object(struct mob_store *s, struct mob_ref r, uint64_t size,
			  uint64_t seed)
{
	struct mob_view v;

	assert_ok(mob_object_get(s, r, 0, &v));
	assert_int_equal(v.size, size);
	assert_true(filled(v.at, v.size, seed));
	mob_view_release(s, &v);
}

static void assert_named(struct mob_store *s, const char *as, uint64_t size,
			 uint64_t seed)
{
	struct mob_ref r;

	assert_ok(mob_name_get(s, as, &r, NULL));
	assert_object(s, r, size, seed);
	assert_ok(mob_object_release(s, r));
}

static void assert_no_name(struct mob_store *s, const char *as)
{
	struct mob_ref r;

	assert_int_equal(mob_name_get(s, as, &r, NULL), MOB_E_NOT_FOUND);
}

/* ---- what comes back ---- */

static const uint64_t sizes[] = { 0,    1,    48,   49,    1000,       2048,
				  2049, 4096, 5000, LARGE, 3 * MIB + 1 };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void test_durable_names_and_bytes_come_back(void **state)
{
	struct mob_store *s = create();
	struct mob_ref ref[SIZES];
	uint64_t version[SIZES];
	char as[16];

	(void)state;
	for (uint32_t i = 0; i < SIZES; i++) {
		(void)snprintf(as, sizeof(as), "o%u", i);
		ref[i] = put_filled(s, sizes[i], i);
		assert_ok(mob_name_put(s, as, ref[i], 0, &version[i]));
		assert_ok(mob_object_release(s, ref[i]));
	}
	assert_ok(mob_store_sync(s));
	reboot(s);

	s = restore();
	for (uint32_t i = 0; i < SIZES; i++) {
		struct mob_ref r;
		uint64_t v;

		(void)snprintf(as, sizeof(as), "o%u", i);
		assert_named(s, as, sizes[i], i);
		assert_ok(mob_name_get(s, as, &r, &v));
		assert_memory_equal(&r, &ref[i], sizeof(r));
		assert_int_equal(v, version[i]);
		/* The name grows beyond what it had. */
		if (i == 0) {
			uint64_t next;
			struct mob_ref other = named(s, "p", 5, 5);

			assert_ok(mob_object_hold(s, other));
			assert_ok(mob_name_put(s, as, other, MOB_NAME_REPLACE,
					       &next));
			assert_true(next > version[SIZES - 1]);
			assert_ok(mob_name_remove(s, "p"));
			assert_ok(mob_object_release(s, other));
		}
		assert_ok(mob_object_release(s, r));
		assert_ok(mob_name_remove(s, as));
	}
	/* Nothing else keeps them. */
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).used_bytes, 0);
	assert_int_equal(spill_files(s), 0);
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	mob_store_close(s);
}

static void test_durable_what_it_refers_to_comes_back(void **state)
{
	struct mob_store *s = create();
	enum { INNER = 150 }; /* more than a chunk of edges */
	struct mob_ref inner[INNER];
	struct mob_ref outer;
	struct mob_ref top;
	struct mob_ref part;
	struct mob_view v;

	(void)state;
	for (uint32_t i = 0; i < INNER; i++) {
		inner[i] = put_filled(s, i % 2 ? 100 : 5000, i);
	}
	assert_ok(mob_object_put_refs(s, inner, INNER, &outer));
	assert_ok(mob_object_put_refs(s, &outer, 1, &top));
	assert_ok(mob_object_range(s, inner[2], 1000, 2000, MOB_TYPE_BYTES,
				   &part));
	assert_ok(mob_object_pin(s, top));
	assert_ok(mob_name_put(s, "part", part, 0, NULL));
	assert_ok(mob_store_sync(s));
	reboot(s);

	s = restore();
	assert_ok(mob_object_get(s, top, 0, &v));
	assert_int_equal(v.type, MOB_TYPE_REFS);
	assert_memory_equal(v.at, &outer, sizeof(outer));
	mob_view_release(s, &v);
	assert_ok(mob_object_get(s, outer, 0, &v));
	for (uint32_t i = 0; i < INNER; i++) {
		struct mob_ref r;

		memcpy(&r, (const char *)v.at + i * sizeof(r), sizeof(r));
		assert_object(s, r, i % 2 ? 100 : 5000, i);
	}
	mob_view_release(s, &v);
	/* inner[2] lives by the range alone, then. */
	assert_ok(mob_object_unpin(s, top));
	assert_int_equal(mob_object_state(s, inner[1]), MOB_OBJECT_GONE);
	assert_int_equal(mob_object_state(s, inner[2]), MOB_OBJECT_SEALED);
	assert_ok(mob_object_get(s, part, 0, &v));
	assert_int_equal(v.size, 2000);
	for (uint32_t i = 0; i < 2000; i++) {
		assert_int_equal(((const unsigned char *)v.at)[i],
				 (unsigned char)(2 * 131 + (1000 + i) * 7));
	}
	mob_view_release(s, &v);
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 1); /* of inner[2] */
	assert_ok(mob_name_remove(s, "part"));
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).edges, 0);
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	mob_store_close(s);
}

static void test_durable_headers_and_errors_come_back(void **state)
{
	static const uint64_t shape[2] = { 25, 4 };
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	struct mob_store *s = create();
	struct mob_object_header got;
	struct mob_view v;
	struct mob_ref r;
	void *at;

	(void)state;
	h.content_type = "application/x-test";
	h.dtype = (struct mob_dtype){ MOB_DTYPE_UINT, 8, 1 };
	h.ndim = 2;
	memcpy(h.shape, shape, sizeof(shape));
	assert_ok(mob_object_create_with(s, 100, MOB_TYPE_BYTES, &h, &r, &at));
	fill(at, 100, 3);
	assert_ok(mob_object_seal(s, r));
	assert_ok(mob_name_put(s, "array", r, 0, NULL));
	assert_ok(mob_store_sync(s));
	reboot(s);

	s = restore();
	assert_ok(mob_name_get(s, "array", &r, NULL));
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_true(filled(v.at, 100, 3));
	assert_ok(mob_view_header(&v, &got));
	assert_string_equal(got.content_type, "application/x-test");
	assert_int_equal(got.ndim, 2);
	assert_int_equal(got.shape[0], 25);
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
	mob_store_close(s);
}

static void test_durable_is_as_it_was_at_the_sync(void **state)
{
	struct mob_store *s = create();
	struct mob_ref later[64];
	struct mob_ref kept;
	struct mob_store_stat st;

	(void)state;
	kept = named(s, "stays", 3000, 1);
	(void)named(s, "changes", 10, 2);
	(void)named(s, "goes", LARGE, 3);
	assert_ok(mob_store_sync(s));
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.durable, 1);
	assert_int_equal(st.durable_objects, 3);
	assert_int_equal(st.durable_unsynced, 0);
	(void)named(s, "changes", 20, 4);
	assert_ok(mob_name_remove(s, "goes"));
	for (uint32_t i = 0; i < 64; i++) {
		char as[16];

		(void)snprintf(as, sizeof(as), "late%u", i);
		later[i] = named(s, as, i % 2 ? 3000 : 10, i);
	}
	assert_ok(mob_store_stat(s, &st));
	assert_true(st.durable_unsynced >= 64);
	reboot(s);

	s = restore();
	assert_named(s, "stays", 3000, 1);
	assert_named(s, "changes", 10, 2);
	assert_named(s, "goes", LARGE, 3);
	/* What was made after the sync is gone, and its refs lead to nothing,
	 * also when their slots are used again. */
	assert_no_name(s, "late7");
	for (uint32_t i = 0; i < 64; i++) {
		(void)put_filled(s, 10, i);
	}
	for (uint32_t i = 0; i < 64; i++) {
		assert_int_equal(mob_object_hold(s, later[i]), MOB_E_BAD_REF);
	}
	/* The same for a slot that was restored. */
	assert_ok(mob_name_remove(s, "stays"));
	for (uint32_t i = 0; i < 4096; i++) {
		struct mob_ref r = put_filled(s, 10, i);

		if ((uint32_t)r.lo == (uint32_t)kept.lo) {
			assert_true(MOBI_GEN(r.lo) > MOBI_GEN(kept.lo) + 1000);
		}
		assert_ok(mob_object_release(s, r));
	}
	mob_store_close(s);
}

static void test_durable_a_pending_object_comes_when_it_is_sealed(void **state)
{
	struct mob_store *s = create();
	struct mob_ref inner = make_pending(s);
	struct mob_ref outer;

	(void)state;
	(void)named(s, "x", 10, 1);
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_name_put(s, "outer", outer, 0, NULL));
	assert_ok(mob_name_put(s, "inner", inner, 0, NULL));
	assert_ok(mob_name_put(s, "x", inner, MOB_NAME_REPLACE, NULL));
	assert_ok(mob_store_sync(s));
	assert_ok(mob_object_seal(s, inner));
	/* Not yet: nothing was synced since. */
	reboot(s);
	s = restore();
	assert_no_name(s, "outer");
	assert_no_name(s, "inner");
	assert_no_name(s, "x");
	assert_int_equal(counts_of(s).objects, 0);

	inner = make_pending(s);
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_name_put(s, "outer", outer, 0, NULL));
	assert_ok(mob_store_sync(s));
	assert_ok(mob_object_seal(s, inner));
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	assert_object(s, inner, 8, 8);
	assert_object(s, inner, 8, 8);
	assert_ok(mob_name_remove(s, "outer"));
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

static void test_durable_inner_objects_go_with_the_last_outer(void **state)
{
	struct mob_store *s = create();
	struct mob_ref inner = put_filled(s, LARGE, 9);
	struct mob_ref a;
	struct mob_ref b;

	(void)state;
	assert_ok(mob_object_put_refs(s, &inner, 1, &a));
	assert_ok(mob_object_put_refs(s, &inner, 1, &b));
	assert_ok(mob_name_put(s, "a", a, 0, NULL));
	assert_ok(mob_name_put(s, "b", b, 0, NULL));
	assert_ok(mob_object_release(s, a));
	assert_ok(mob_object_release(s, b));
	assert_ok(mob_object_release(s, inner));
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 1);
	assert_ok(mob_name_remove(s, "a"));
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 1);
	reboot(s);
	s = restore();
	assert_object(s, inner, LARGE, 9);
	assert_ok(mob_name_remove(s, "b"));
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	reboot(s);
	s = restore();
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

/* What does not fit at once is spilled, synced without coming back, restored and
 * read. */
static void test_durable_more_than_fits(void **state)
{
	enum { N = 3 * (int)(ARENA / LARGE) };
	struct mob_store *s = create();
	struct mob_store_stat st;
	char as[16];

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(as, sizeof(as), "m%u", i);
		(void)named(s, as, LARGE, i);
	}
	assert_ok(mob_store_sync(s));
	assert_ok(mob_store_stat(s, &st));
	assert_true(st.spilled_objects > N / 3);
	assert_int_equal(files(), N);
	reboot(s);
	s = restore();
	for (int turn = 0; turn < 2; turn++) {
		for (uint32_t i = 0; i < N; i++) {
			(void)snprintf(as, sizeof(as), "m%u", i);
			assert_named(s, as, LARGE, i);
		}
	}
	/* Moving in and out leaves the copy as it is. */
	reboot(s);
	s = restore();
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(as, sizeof(as), "m%u", i);
		assert_named(s, as, LARGE, i);
		assert_ok(mob_name_remove(s, as));
	}
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

/* ---- damage ---- */

static void path_of_object(char *out, size_t size, struct mob_ref r)
{
	(void)snprintf(out, size, "%s/data/%u.%u", copy, (uint32_t)r.lo,
		       MOBI_GEN(r.lo));
}

static void flip(const char *path, off_t at)
{
	unsigned char c;
	int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= 0x10;
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	(void)close(fd);
}

static void test_durable_damage_is_told_and_left_out(void **state)
{
	struct mob_store *s = create();
	struct mob_store *same;
	char path[400];
	struct mob_ref cut = named(s, "cut", LARGE, 1);
	struct mob_ref gone = named(s, "gone", LARGE, 2);
	struct mob_ref inner = put_filled(s, LARGE, 3);
	struct mob_ref bad = named(s, "bad", LARGE, 4);
	struct mob_ref outer;
	struct mob_view v;

	(void)state;
	(void)named(s, "good", LARGE, 5);
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_name_put(s, "outer", outer, 0, NULL));
	assert_ok(mob_store_sync(s));
	reboot(s);
	path_of_object(path, sizeof(path), cut);
	assert_int_equal(truncate(path, 1000), 0);
	path_of_object(path, sizeof(path), gone);
	assert_int_equal(unlink(path), 0);
	path_of_object(path, sizeof(path), inner);
	assert_int_equal(truncate(path, 0), 0);
	path_of_object(path, sizeof(path), bad);
	flip(path, 100);

	s = restore_what_is_whole();
	assert_non_null(strstr(lines, "name 'cut' is dropped"));
	assert_non_null(strstr(lines, "name 'gone' is dropped"));
	assert_null(strstr(lines, "'outer'"));
	assert_null(strstr(lines, "'good'"));
	assert_named(s, "good", LARGE, 5);
	assert_no_name(s, "cut");
	assert_no_name(s, "gone");
	/* Its ref is what it was, and says that it is lost. */
	assert_ok(mob_object_get(s, outer, 0, &v));
	assert_memory_equal(v.at, &inner, sizeof(inner));
	mob_view_release(s, &v);
	assert_int_equal(mob_object_get(s, inner, 0, &v), MOB_E_LOST);
	/* Only reading it all finds a flipped bit, at the latest its reader. */
	assert_null(strstr(lines, "'bad'"));
	assert_int_equal(mob_object_get(s, bad, 0, &v), MOB_E_CORRUPT);
	assert_ok(mob_store_open(name, &same));
	mob_store_close(same);
	reboot(s);

	assert_ok(try_restore(MOB_STORE_READ_ALL, &s));
	assert_non_null(strstr(lines, "name 'bad' is dropped"));
	assert_named(s, "good", LARGE, 5);
	mob_store_close(s);
}

static void
test_durable_object_that_cannot_be_read_does_not_stop_the_sync(void **state)
{
	struct mob_store *s = create();
	struct mob_ref bad = named(s, "bad", LARGE, 1);
	char path[400];
	char at[64];

	(void)state;
	assert_true(mobi_spill_some(s, LARGE) > 0);
	(void)snprintf(at, sizeof(at), "%u.%u", (uint32_t)bad.lo,
		       MOBI_GEN(bad.lo));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", s->spill_fd,
		       at);
	assert_int_equal(truncate(path, 1000), 0);
	(void)named(s, "good", LARGE, 2);
	assert_int_equal(mob_store_sync(s), MOB_E_CORRUPT);
	assert_non_null(strstr(mob_err_detail(MOB_E_CORRUPT), "all but this"));
	reboot(s);
	s = restore();
	assert_named(s, "good", LARGE, 2);
	assert_no_name(s, "bad");
	mob_store_close(s);
}

/* ---- power cuts ---- */

static void write_file(const char *path, const unsigned char *at, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, at, n), (ssize_t)n);
	(void)close(fd);
}

#ifdef MOB_FAILPOINTS
struct bytes {
	unsigned char *at;
	size_t n;
};

static struct bytes read_file(const char *path)
{
	struct bytes b = { NULL, 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return b;
	}
	assert_int_equal(fstat(fd, &st), 0);
	b.n = (size_t)st.st_size;
	b.at = malloc(b.n + 1);
	assert_non_null(b.at);
	assert_int_equal(pread(fd, b.at, b.n, 0), (ssize_t)b.n);
	(void)close(fd);
	return b;
}

#define PAGE 4096u
#define METAS 2u /* pages of LMDB that its commit writes last */

/* Each page of the file as it was before or after; those beyond the end of what
 * was synced may also be missing. */
static void mix(const char *path, struct bytes was, struct bytes is,
		uint64_t *seed)
{
	size_t pages = (is.n > was.n ? is.n : was.n) / PAGE;
	unsigned char *to = calloc(pages, PAGE);
	size_t n = was.n;

	assert_non_null(to);
	for (size_t i = 0; i < pages; i++) {
		bool new = i >= METAS &&next_random(seed) % 2;
		struct bytes from = new ? is : was;

		if ((i + 1) * PAGE <= from.n) {
			memcpy(to + i * PAGE, from.at + i * PAGE, PAGE);
			n = (i + 1) * PAGE > n ? (i + 1) * PAGE : n;
		}
	}
	write_file(path, to, n);
	free(to);
}

static void change_much(struct mob_store *s, uint64_t *seed)
{
	for (int i = 0; i < 200; i++) {
		uint64_t n = next_random(seed);
		char as[16];

		(void)snprintf(as, sizeof(as), "c%u", (unsigned)(n % 100));
		if (n >> 8 & 1) {
			(void)named(s, as, n % 7 ? n >> 16 & 1023 : 5000, n);
		} else {
			int rc = mob_name_remove(s, as);

			assert_true(rc == 0 || rc == MOB_E_NOT_FOUND);
		}
	}
}

/* In a child: the state of the store is synced, and this dies at `fault`. */
static int sync_and_die(void *arg)
{
	struct mob_store *s = child_open(name);

	mobi_fault_arm(arg);
	return mob_store_sync(s) < 0 ? 1 : 0;
}

static void test_durable_power_cut_keeps_the_last_sync(void **state)
{
	static char fault[] = "durable.commit=kill";
	uint64_t seed = 88172645463325252u;
	struct mob_store *s = create();
	char path[300];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/state.mdb", copy);
	change_much(s, &seed);
	assert_ok(mob_store_sync(s));
	for (int turn = 0; turn < 20; turn++) {
		struct bytes was;
		struct bytes is;
		char as[20];

		(void)snprintf(as, sizeof(as), "synced%d", turn);
		(void)named(s, as, turn % 2 ? 100 : LARGE, (uint64_t)turn);
		change_much(s, &seed);
		assert_ok(mob_store_sync(s));
		was = read_file(path);
		/* Another sync: its pages are on disk or not, and those that
		 * would say so are not. */
		assert_ok(mob_name_remove(s, as));
		change_much(s, &seed);
		assert_int_equal(child_result(child_start(sync_and_die, fault)),
				 -SIGKILL);
		is = read_file(path);
		assert_true(is.n > 0 && was.n > 0);
		reboot(s);
		mix(path, was, is, &seed);
		free(was.at);
		free(is.at);
		s = restore();
		for (int i = 0; i <= turn; i++) {
			(void)snprintf(as, sizeof(as), "synced%d", i);
			assert_named(s, as, i % 2 ? 100 : LARGE, (uint64_t)i);
		}
	}
	mob_store_close(s);
}

enum { SET = 10 };

/* All names of a set get objects of one number, and are synced. */
static int set_all(struct mob_store *s, uint64_t n)
{
	for (int i = 0; i < SET; i++) {
		char as[16];
		uint64_t size = i % 3 ? 10 + (uint64_t)i : 3000;
		char at[3000];
		struct mob_ref r;

		(void)snprintf(as, sizeof(as), "set%d", i);
		fill(at, size, n);
		if (mob_object_put(s, at, size, MOB_TYPE_BYTES, &r) < 0 ||
		    mob_name_put(s, as, r, MOB_NAME_REPLACE, NULL) < 0 ||
		    mob_object_release(s, r) < 0) {
			return 1;
		}
	}
	return mob_store_sync(s) < 0 ? 1 : 0;
}

struct job {
	const char *fault;
	uint64_t n;
};

static int set_and_die(void *arg)
{
	const struct job *j = arg;
	struct mob_store *s = child_open(name);

	mobi_fault_arm(j->fault);
	return set_all(s, j->n);
}

/* Which number the set has: one, or the other, never a mixture. */
static uint64_t number_of_set(struct mob_store *s, uint64_t a, uint64_t b)
{
	uint64_t found = 0;

	for (int i = 0; i < SET; i++) {
		char as[16];
		struct mob_ref r;
		struct mob_view v;
		uint64_t n;

		(void)snprintf(as, sizeof(as), "set%d", i);
		assert_ok(mob_name_get(s, as, &r, NULL));
		assert_ok(mob_object_get(s, r, 0, &v));
		n = filled(v.at, v.size, a) ? a : b;
		assert_true(filled(v.at, v.size, n));
		assert_true(!found || found == n);
		found = n;
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r));
	}
	return found;
}

static void test_durable_killed_at_every_failpoint(void **state)
{
	static const char *const point[] = { "durable.file", "durable.files",
					     "durable.commit", "name.commit",
					     "catalogue.commit" };
	struct mob_store *s = create();
	uint64_t now = 1;

	(void)state;
	assert_int_equal(set_all(s, now), 0);
	for (size_t p = 0; p < sizeof(point) / sizeof(point[0]); p++) {
		for (uint64_t nth = 1; nth <= 20; nth += nth < 4 ? 1 : 8) {
			char fault[64];
			struct job j = { fault, now + 1 };
			int rc;

			(void)snprintf(fault, sizeof(fault), "%s=kill@%d",
				       point[p], (int)nth);
			rc = child_result(child_start(set_and_die, &j));
			assert_true(rc == 0 || rc == -SIGKILL);
			reboot(s);
			s = restore();
			now = number_of_set(s, now, now + 1);
			/* And what was cut short does not stand in the way. */
			now += 2;
			assert_int_equal(set_all(s, now), 0);
			assert_int_equal(files(), 4);
		}
	}
	mob_store_close(s);
}
#endif

/* ---- several processes ---- */

/* One of two names has an object at any time, a new one each time. */
static int swing(void *arg)
{
	struct mob_store *s = child_open(name);
	const char *const as[2] = { "tick", "tock" };
	struct mob_ref r;
	char at[5000];

	(void)arg;
	fill(at, sizeof(at), 1);
	for (uint32_t i = 1;; i++) {
		int rc = mob_object_put(s, at, sizeof(at), MOB_TYPE_BYTES, &r);

		rc = rc < 0 ? rc :
			      mob_name_put(s, as[i % 2], r, MOB_NAME_REPLACE,
					   NULL);
		rc = rc < 0 ? rc : mob_object_release(s, r);
		rc = rc < 0 ? rc : mob_name_remove(s, as[(i + 1) % 2]);
		if (rc < 0) {
			return 2;
		}
	}
}

static int sync_again_and_again(void *arg)
{
	struct mob_store *s = child_open(name);

	(void)arg;
	for (;;) {
		if (mob_store_sync(s) < 0) {
			return 1;
		}
	}
}

static bool has_name(struct mob_store *s, const char *as)
{
	struct mob_ref r;

	if (mob_name_get(s, as, &r, NULL) < 0) {
		return false;
	}
	assert_object(s, r, 5000, 1);
	assert_ok(mob_object_release(s, r));
	return true;
}

static void test_durable_sync_is_of_one_moment(void **state)
{
	struct mob_store *s = create();

	(void)state;
	for (int turn = 0; turn < 12; turn++) {
		bool ticks;
		bool tocks;
		pid_t p[3];

		(void)named(s, "tick", 5000, 1);
		assert_ok(mob_store_sync(s));
		p[0] = child_start(swing, NULL);
		p[1] = child_start(sync_again_and_again, NULL);
		p[2] = child_start(sync_again_and_again, NULL);
		(void)usleep(100000);
		for (int i = 0; i < 3; i++) {
			child_kill(p[i]);
		}
		reap_until(s, MOBI_BIT(s->me));
		if (turn % 2) {
			/* What the last sync has to say is all there is. */
			assert_ok(mob_store_sync(s));
		}
		ticks = has_name(s, "tick");
		tocks = has_name(s, "tock");
		reboot(s);
		s = restore();
		assert_true(has_name(s, "tick") || has_name(s, "tock"));
		if (turn % 2) {
			assert_int_equal(has_name(s, "tick"), ticks);
			assert_int_equal(has_name(s, "tock"), tocks);
		}
	}
	mob_store_close(s);
}

/* All processes die, the machine does not: the session is there. */
static int name_and_die(void *arg)
{
	struct mob_store *s = child_open(name);

	(void)arg;
	(void)named(s, "unsynced", 100, 7);
	(void)raise(SIGKILL);
	return 0;
}

static void test_durable_session_that_lives_is_attached_to(void **state)
{
	struct mob_store *s = create();
	pid_t pid;

	(void)state;
	mob_store_close(s);
	pid = child_start(name_and_die, NULL);
	assert_int_equal(child_result(pid), -SIGKILL);
	s = restore();
	assert_named(s, "unsynced", 100, 7);
	mob_store_close(s);
}

static void test_durable_session_restored_elsewhere_cannot_sync(void **state)
{
	struct mob_store *s = create();
	struct mob_store *other;
	struct mob_ref held;
	char dir[80];

	(void)state;
	(void)named(s, "x", LARGE, 1);
	assert_ok(mob_store_sync(s));
	held = put_filled(s, LARGE, 2);
	assert_int_equal(mobi_spill_some(s, 2 * LARGE), 2);
	(void)snprintf(dir, sizeof(dir), "%s/elsewhere", base);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(setenv("MOBULA_SESSION_DIR", dir, 1), 0);
	other = restore();
	assert_named(other, "x", LARGE, 1);
	(void)named(s, "y", 10, 1);
	assert_int_equal(mob_store_sync(s), MOB_E_STATE);
	/* It loses nothing else, also not what it has spilled. */
	assert_object(s, held, LARGE, 2);
	(void)named(other, "z", 10, 1);
	assert_ok(mob_store_sync(other));
	mob_store_close(other);
	assert_ok(mob_store_unload(name));
	assert_int_equal(unsetenv("MOBULA_SESSION_DIR"), 0);
	reboot(s);
	s = restore();
	assert_no_name(s, "y");
	assert_named(s, "z", 10, 1);
	mob_store_close(s);
}

/* ---- the rest of its life ---- */

static void test_durable_unload_and_remove(void **state)
{
	struct mob_store *s = create();
	struct mob_store *plain;
	char other[64];

	(void)state;
	(void)named(s, "x", LARGE, 1);
	assert_int_equal(mob_store_unload(name), MOB_E_BUSY);
	assert_int_equal(mob_store_remove_copy(name, base), MOB_E_BUSY);
	mob_store_close(s);
	assert_ok(mob_store_unload(name)); /* it syncs */
	assert_int_equal(mob_store_open(name, &s), MOB_E_NOT_FOUND);
	s = restore();
	assert_named(s, "x", LARGE, 1);
	mob_store_close(s);
	assert_ok(mob_store_remove(name));
	assert_int_equal(access(copy, F_OK), -1);
	assert_int_equal(try_restore(0, &s), MOB_E_NOT_FOUND);
	s = create();
	mob_store_close(s);
	assert_ok(mob_store_unload(name));
	assert_ok(mob_store_remove_copy(name, base));
	assert_int_equal(mob_store_remove_copy(name, base), MOB_E_NOT_FOUND);
	plain = store_new(name_new(other, sizeof(other), "plain"), ARENA);
	assert_int_equal(mob_store_unload(other), MOB_E_INVAL);
	mob_store_close(plain);
}

#ifdef MOB_FAILPOINTS
/* In a child. */
static int unload_and_die(void *arg)
{
	mobi_fault_arm(arg);
	return mob_store_unload(name) < 0 ? 1 : 0;
}

static void test_durable_killed_in_unload_nothing_is_lost(void **state)
{
	static char files_written[] = "durable.files=kill";
	static char committed[] = "durable.commit=kill";
	char *const faults[] = { files_written, committed };
	struct mob_store *s = create();

	(void)state;
	for (int i = 0; i < 2; i++) {
		(void)named(s, i ? "b" : "a", LARGE, (uint64_t)i);
		mob_store_close(s);
		assert_int_equal(
			child_result(child_start(unload_and_die, faults[i])),
			-SIGKILL);
		s = restore();
		assert_named(s, i ? "b" : "a", LARGE, (uint64_t)i);
	}
	mob_store_close(s);
	assert_ok(mob_store_unload(name));
	s = restore();
	assert_named(s, "a", LARGE, 0);
	assert_named(s, "b", LARGE, 1);
	mob_store_close(s);
}
#endif

static int create_with(uint32_t flags, const char *dir, const char *spill_dir,
		       const char *as)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;
	int rc;

	o.arena_bytes = ARENA;
	o.flags = MOB_STORE_DURABLE | flags;
	o.dir = dir;
	o.spill_dir = spill_dir;
	rc = mob_store_create(as, &o, &s);
	if (rc >= 0) {
		mob_store_close(s);
	}
	return rc;
}

static void test_durable_bad_input(void **state)
{
	struct mob_store *s;
	char path[300];

	(void)state;
	assert_int_equal(create_with(0, NULL, NULL, name), MOB_E_INVAL);
	assert_int_equal(create_with(0, base, NULL, NULL), MOB_E_INVAL);
	assert_int_equal(create_with(MOB_STORE_PRIVATE, base, NULL, name),
			 MOB_E_INVAL);
	assert_int_equal(create_with(0, base, "/tmp", name), MOB_E_INVAL);
	assert_int_equal(create_with(0, "/dev/shm", NULL, name), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "in memory"));
	assert_int_equal(create_with(0, "relative", NULL, name), MOB_E_INVAL);
	assert_true(create_with(0, "/no/such/directory", NULL, name) < 0);
	assert_int_equal(mob_store_open(name, &s), MOB_E_NOT_FOUND);
	s = create();
	mob_store_close(s);
	assert_int_equal(create_with(MOB_STORE_SPILL_ANYWHERE, base, NULL,
				     name),
			 MOB_E_EXISTS);
	assert_ok(mob_store_unload(name));
	/* The copy is not overwritten. */
	assert_int_equal(create_with(MOB_STORE_SPILL_ANYWHERE, base, NULL,
				     name),
			 MOB_E_EXISTS);
	assert_non_null(strstr(mob_err_detail(MOB_E_EXISTS), "restore"));
	/* A copy that cannot be read is an error, and is left alone. */
	(void)snprintf(path, sizeof(path), "%s/state.mdb", copy);
	write_file(path, (const unsigned char *)"no database", 11);
	assert_true(try_restore(0, &s) < 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(mob_store_open(name, &s), MOB_E_NOT_FOUND);
	assert_ok(mob_store_remove_copy(name, base));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_durable_names_and_bytes_come_back),
		TEST(test_durable_what_it_refers_to_comes_back),
		TEST(test_durable_headers_and_errors_come_back),
		TEST(test_durable_is_as_it_was_at_the_sync),
		TEST(test_durable_a_pending_object_comes_when_it_is_sealed),
		TEST(test_durable_inner_objects_go_with_the_last_outer),
		TEST(test_durable_more_than_fits),
		TEST(test_durable_damage_is_told_and_left_out),
		TEST(test_durable_object_that_cannot_be_read_does_not_stop_the_sync),
#ifdef MOB_FAILPOINTS
		TEST(test_durable_power_cut_keeps_the_last_sync),
		TEST(test_durable_killed_at_every_failpoint),
		TEST(test_durable_killed_in_unload_nothing_is_lost),
#endif
		TEST(test_durable_sync_is_of_one_moment),
		TEST(test_durable_session_that_lives_is_attached_to),
		TEST(test_durable_session_restored_elsewhere_cannot_sync),
		TEST(test_durable_unload_and_remove),
		TEST(test_durable_bad_input),
	};

	return cmocka_run_group_tests_name("store.durable", tests, NULL, NULL);
}
