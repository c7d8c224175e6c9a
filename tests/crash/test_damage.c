/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a store that nobody is attached to, and of a durable copy, are damaged:
 * a bit is flipped, or the end is cut off. Then a process opens it, checks, lists,
 * reads, writes and removes.
 *
 * It never crashes or hangs; each call succeeds, or says what is wrong; the store
 * can be removed. In a copy each value is what it was, or an error. Memory has no
 * checksums: a bit flipped in the values of a session is another value.
 *
 *   MOB_TEST_DAMAGE=times MOB_TEST_SEED=seed test_crash_damage    (of each kind)
 */
#define _GNU_SOURCE

#include "durable_fixture.h"

#include <mobula/memory.h>

#define OBJECTS 24u
#define SESSION "s"

static uint64_t seed;
static uint64_t times;    /* each kind of damage */
static char work_dir[64]; /* where the damaged ones lie */

static uint64_t size_of(uint32_t i)
{
	static const uint64_t sizes[] = { 0, 40, 300, 1500, 5000, 70000 };

	return sizes[i % 6];
}

/* ---- files ---- */

struct extent {
	off_t at;
	size_t n;
	unsigned char *bytes;
};

/* A file as it was, without its holes. */
struct file {
	char path[64]; /* its end */
	off_t size;
	struct extent extent[256];
	uint32_t n;
	uint64_t bytes; /* in the extents */
};

static void file_read(struct file *f, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	off_t at = 0;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	memset(f, 0, sizeof(*f));
	f->size = st.st_size;
	while (at < st.st_size && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		off_t end = lseek(fd, at, SEEK_HOLE);
		struct extent *e = &f->extent[f->n++];

		assert_true(f->n < 256 && end > at);
		e->at = at;
		e->n = (size_t)(end - at);
		e->bytes = malloc(e->n);
		assert_non_null(e->bytes);
		assert_int_equal(pread(fd, e->bytes, e->n, at), (ssize_t)e->n);
		f->bytes += e->n;
		at = end;
	}
	(void)close(fd);
}

static void file_write(const struct file *f, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, f->size), 0);
	for (uint32_t i = 0; i < f->n; i++) {
		const struct extent *e = &f->extent[i];

		assert_int_equal(pwrite(fd, e->bytes, e->n, e->at),
				 (ssize_t)e->n);
	}
	(void)close(fd);
}

static void flip_bit(const char *path, off_t at, unsigned bit)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	unsigned char c;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	c ^= (unsigned char)(1u << bit);
	assert_int_equal(pwrite(fd, &c, 1, at), 1);
	(void)close(fd);
}

/* The n-th byte that is no hole. */
static off_t place_of(const struct file *f, uint64_t n)
{
	for (uint32_t i = 0; i < f->n; i++) {
		if (n < f->extent[i].n) {
			return f->extent[i].at + (off_t)n;
		}
		n -= f->extent[i].n;
	}
	return 0;
}

/* A place that has something, as most have not. */
static off_t used_place_of(const struct file *f, uint64_t from, uint64_t to)
{
	for (int i = 0; i < 100000; i++) {
		uint64_t n = from + next_random(&seed) % (to - from);
		uint64_t m = n;

		for (uint32_t k = 0; k < f->n; k++) {
			if (m < f->extent[k].n) {
				if (f->extent[k].bytes[m]) {
					return place_of(f, n);
				}
				break;
			}
			m -= f->extent[k].n;
		}
	}
	return place_of(f, from);
}

/* ---- what a process does with it ---- */

struct outcome {
	mobi_a32 errors;  /* calls that failed, and said why */
	mobi_a32 silent;  /* that did not */
	mobi_a32 wrong;   /* values */
	mobi_a32 refused; /* it could not be opened */
	mobi_a32 kept;    /* it could not be removed */
	mobi_a32 found;   /* by the check, or told by a restore */
	mobi_a32 step;
};

static struct outcome *out;
static bool verify;

static bool good(int rc)
{
	if (rc >= 0) {
		return true;
	}
	if (mob_err_detail(rc)[0]) {
		(void)mobi_fetch_add(&out->errors, 1u);
	} else {
		mobi_store(&out->silent, (uint32_t)-rc);
	}
	return false;
}

static int look_at_info(const struct mob_object_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

static int look_at_memory(const struct mob_memory_info *info, void *arg)
{
	(void)info;
	(void)arg;
	return 0;
}

static int read_named(const struct mob_name_info *info, void *arg)
{
	struct mob_store *s = arg;
	unsigned long i = strtoul(info->name + 1, NULL, 10);
	struct mob_view v;

	if (good(mob_object_get(s, info->ref, 0, &v))) {
		bool same = v.size == size_of((uint32_t)i) &&
			    filled(v.at, v.size, i);

		if (verify && !same) {
			mobi_store(&out->wrong, (uint32_t)i + 1);
		}
		mob_view_release(s, &v);
	}
	return 0;
}

static void tell_line(const char *line, void *arg)
{
	(void)line;
	(void)arg;
	(void)mobi_fetch_add(&out->found, 1u);
}

static void use(struct mob_store *s)
{
	struct mob_object_query q = MOB_OBJECT_QUERY_INIT;
	struct mob_memory_sums sums;
	struct mob_store_stat st;
	struct mob_ref r;
	char at[3000];

	mobi_store(&out->step, 10u);
	/* What the check tells is not used any more; what it does not, must
	 * work. */
	if (!good(mob_store_check(s, tell_line, NULL)) ||
	    mobi_load(&out->found)) {
		return;
	}
	mobi_store(&out->step, 11u);
	(void)good(mob_name_list(s, NULL, read_named, s));
	mobi_store(&out->step, 12u);
	(void)good(mob_store_list(s, look_at_info, NULL, NULL));
	q.size_min = 10;
	mobi_store(&out->step, 13u);
	(void)good(mob_store_find(s, &q, look_at_info, NULL, NULL));
	mobi_store(&out->step, 14u);
	(void)good(mob_store_stat(s, &st));
	(void)good(mob_store_memory(s, look_at_memory, NULL));
	mobi_store(&out->step, 15u);
	(void)good(mob_store_memory_sums(s, &sums));
	mobi_store(&out->step, 16u);
	memset(at, 1, sizeof(at));
	if (good(mob_object_put(s, at, sizeof(at), MOB_TYPE_BYTES, &r))) {
		mobi_store(&out->step, 17u);
		(void)good(mob_name_put(s, "n0", r, MOB_NAME_REPLACE, NULL));
		(void)good(mob_object_release(s, r));
	}
	mobi_store(&out->step, 18u);
	(void)good(mob_name_remove(s, "n1"));
	mobi_store(&out->step, 19u);
	(void)good(mob_store_sync(s));
	mobi_store(&out->step, 20u);
}

static void reset_signals(void)
{
	/* cmocka's would go on as the runner. */
	for (int i = 1; i < 32; i++) {
		(void)signal(i, SIG_DFL);
	}
}

static int use_session(void *arg)
{
	struct mob_store *s;
	const char *path = arg;

	reset_signals();
	mobi_store(&out->step, 1u);
	if (good(mob_store_open(path, &s))) {
		use(s);
		mob_store_close(s);
	} else {
		mobi_store(&out->refused, 1u);
	}
	mobi_store(&out->step, 30u);
	if (!good(mob_store_remove(path))) {
		mobi_store(&out->kept, 1u);
	}
	return 0;
}

/* ---- sessions ---- */

static struct file ctl;
static struct file arena;
static struct file data;
static struct file lock;

static void make_objects(struct mob_store *s)
{
	for (uint32_t i = 0; i < OBJECTS; i++) {
		char as[16];

		(void)snprintf(as, sizeof(as), "n%u", i);
		(void)named(s, as, size_of(i), i);
	}
	assert_ok(mob_store_sync(s));
}

static void make_session(void)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;
	char path[600];
	char file[700];

	o.arena_bytes = 4 * MIB;
	(void)name_new(name, sizeof(name), "damage");
	assert_ok(mob_store_create(name, &o, &s));
	make_objects(s);
	(void)snprintf(path, sizeof(path), "%s", s->path);
	mob_store_close(s);
	(void)snprintf(file, sizeof(file), "%s/ctl", path);
	file_read(&ctl, file);
	(void)snprintf(file, sizeof(file), "%s/arena", path);
	file_read(&arena, file);
	(void)snprintf(file, sizeof(file), "%s/idx/data.mdb", path);
	file_read(&data, file);
	(void)snprintf(file, sizeof(file), "%s/idx/lock.mdb", path);
	file_read(&lock, file);
	assert_ok(mob_store_remove(name));
}

static void copy_session(const char *path)
{
	char file[700];

	(void)mobi_dir_remove(path);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/ctl", path);
	file_write(&ctl, file);
	(void)snprintf(file, sizeof(file), "%s/arena", path);
	file_write(&arena, file);
	(void)snprintf(file, sizeof(file), "%s/idx", path);
	assert_int_equal(mkdir(file, 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/idx/data.mdb", path);
	file_write(&data, file);
	(void)snprintf(file, sizeof(file), "%s/idx/lock.mdb", path);
	file_write(&lock, file);
}

/* ---- copies on disk ---- */

static struct file state;
static struct file object[OBJECTS];
static uint32_t n_objects;

static void read_object(const char *path)
{
	file_read(&object[n_objects], path);
	(void)snprintf(object[n_objects].path, sizeof(object[0].path), "%s",
		       strrchr(path, '/') + 1);
	n_objects++;
}

/* In memory: a sync of a disk takes longer than all the rest. */
static int begin_copy(void **unused)
{
	(void)unused;
	assert_non_null(scratch_make(base, sizeof(base), "/dev/shm", "damage"));
	(void)name_new(name, sizeof(name), "damage");
	(void)snprintf(copy, sizeof(copy), "%s/mobula-durable-%u/%s", base,
		       (unsigned)geteuid(), name);
	return 0;
}

static void make_copy(void)
{
	struct mob_store *s = create();
	char path[400];
	struct dirent *e;
	DIR *d;

	make_objects(s);
	reboot(s);
	(void)snprintf(path, sizeof(path), "%s/state.mdb", copy);
	file_read(&state, path);
	(void)snprintf(path, sizeof(path), "%s/data", copy);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] != '.') {
			char file[700];

			(void)snprintf(file, sizeof(file), "%s/%s", path,
				       e->d_name);
			read_object(file);
		}
	}
	(void)closedir(d);
	assert_true(n_objects > 0);
}

static void copy_copy(void)
{
	char file[700];

	(void)mobi_dir_remove(copy);
	assert_int_equal(mkdir(copy, 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/state.mdb", copy);
	file_write(&state, file);
	(void)snprintf(file, sizeof(file), "%s/data", copy);
	assert_int_equal(mkdir(file, 0700), 0);
	for (uint32_t i = 0; i < n_objects; i++) {
		(void)snprintf(file, sizeof(file), "%s/data/%s", copy,
			       object[i].path);
		file_write(&object[i], file);
	}
}

static int use_copy(void *arg)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *s;

	reset_signals();
	o.flags |= arg ? MOB_STORE_READ_ALL : 0;
	if (good(mob_store_restore(name, &o, tell_line, NULL, &s))) {
		uint32_t told = mobi_exchange(&out->found, 0u);

		use(s);
		mob_store_close(s);
		(void)mobi_fetch_add(&out->found, told);
		if (!good(mob_store_remove(name))) {
			mobi_store(&out->kept, 1u);
		}
	} else {
		mobi_store(&out->refused, 1u);
		if (!good(mob_store_remove_copy(name, base))) {
			mobi_store(&out->kept, 1u);
		}
	}
	return 0;
}

/* ---- one damage after the other ---- */

struct sum {
	uint32_t refused;
	uint32_t kept;
	uint32_t told; /* by a call, or by the check */
};

static void judge(struct sum *sum, int rc, const char *what, off_t at, int bit)
{
	if (rc || mobi_load(&out->silent) || mobi_load(&out->wrong)) {
		print_error("%s, %s at %ld (bit %d): exit %d in step %u, error "
			    "%u without a word, object %u wrong\n",
			    what, bit < 0 ? "cut" : "flipped", (long)at, bit,
			    rc, mobi_load(&out->step), mobi_load(&out->silent),
			    mobi_load(&out->wrong));
	}
	assert_int_equal(rc, 0);
	assert_int_equal(mobi_load(&out->silent), 0);
	assert_int_equal(mobi_load(&out->wrong), 0);
	sum->refused += mobi_load(&out->refused);
	sum->kept += mobi_load(&out->kept);
	sum->told += mobi_load(&out->errors) || mobi_load(&out->found);
}

/* Half of the flips where there is something. */
static off_t damage(const struct file *f, const char *path, uint64_t from,
		    uint64_t to, int *bit)
{
	uint64_t r = next_random(&seed);
	off_t at;

	*bit = -1;
	if (from == to) {
		at = (off_t)(r % (uint64_t)f->size);
		assert_int_equal(truncate(path, at), 0);
		return at;
	}
	at = r & 1 ? place_of(f, from + (r >> 1) % (to - from)) :
		     used_place_of(f, from, to);
	*bit = (int)(next_random(&seed) % 8);
	flip_bit(path, at, (unsigned)*bit);
	return at;
}

/* Flips bits in [from, to) of what is in the file; from == to: cuts it. */
static struct sum damage_session(const struct file *f, const char *rel,
				 uint64_t from, uint64_t to)
{
	struct sum sum = { 0, 0, 0 };
	char path[600];
	char file[700];

	(void)snprintf(path, sizeof(path), "%s/" SESSION, work_dir);
	(void)snprintf(file, sizeof(file), "%s/%s", path, rel);
	verify = false;
	for (uint64_t i = 0; i < times; i++) {
		off_t at;
		int bit;

		copy_session(path);
		at = damage(f, file, from, to, &bit);
		memset(out, 0, sizeof(*out));
		judge(&sum, child_result(child_start(use_session, path)), rel,
		      at, bit);
	}
	(void)mobi_dir_remove(path);
	print_message("%s: %" PRIu64 " %s, %u refused, %u told, %u could not "
		      "be removed\n",
		      rel, times, from == to ? "cuts" : "flips", sum.refused,
		      sum.told, sum.kept);
	return sum;
}

static struct sum damage_copy(const struct file *f, const char *rel, bool cut,
			      bool read_all)
{
	static char yes;
	struct sum sum = { 0, 0, 0 };
	char file[700];

	verify = true;
	for (uint64_t i = 0; i < times; i++) {
		const struct file *of = f ? f : &object[i % n_objects];
		off_t at;
		int bit;

		(void)snprintf(file, sizeof(file), "%s/%s%s", copy, rel,
			       f ? "" : of->path);
		copy_copy();
		at = damage(of, file, 0, cut ? 0 : of->bytes, &bit);
		memset(out, 0, sizeof(*out));
		judge(&sum,
		      child_result(
			      child_start(use_copy, read_all ? &yes : NULL)),
		      file, at, bit);
	}
	print_message("copy, %s: %" PRIu64 " %s, %u refused, %u told, %u could "
		      "not be removed\n",
		      rel, times, cut ? "cuts" : "flips", sum.refused, sum.told,
		      sum.kept);
	return sum;
}

/* Each bit of the two heads of LMDB's file, or under a sanitizer some of them. */
static void test_damage_of_each_bit_of_the_heads_ends_no_process(void **unused)
{
	const uint64_t bytes = 16 + 136; /* of a page: what LMDB reads */
	struct sum sum = { 0, 0, 0 };
	char path[600];
	char file[700];

	(void)unused;
	make_session();
	(void)snprintf(path, sizeof(path), "%s/" SESSION, work_dir);
	(void)snprintf(file, sizeof(file), "%s/idx/data.mdb", path);
	verify = false;
	for (uint64_t i = 0; i < 2 * 8 * bytes; i += SANITIZED ? 37 : 1) {
		off_t at = (off_t)(i / 8 % bytes);
		int bit = (int)(i % 8);

		at += i / 8 < bytes ? 0 : 4096;
		copy_session(path);
		flip_bit(file, at, (unsigned)bit);
		memset(out, 0, sizeof(*out));
		judge(&sum, child_result(child_start(use_session, path)),
		      "idx/data.mdb", at, bit);
	}
	(void)mobi_dir_remove(path);
	print_message("%u told, %u refused\n", sum.told, sum.refused);
	assert_true(sum.told > 0);
	assert_int_equal(sum.kept, 0);
}

static void test_damage_of_a_session_ends_no_process(void **unused)
{
	const uint64_t head = offsetof(struct mobi_header, backed);
	struct sum sum;

	(void)unused;
	make_session();
	sum = damage_session(&ctl, "ctl", 0, head);
	assert_true(sum.refused > times / 3);
	sum = damage_session(&ctl, "ctl", head, ctl.bytes);
	assert_true(sum.told > 0);
	assert_int_equal(damage_session(&ctl, "ctl", 0, 0).refused, times);
	/* Values have no checksum in memory, and nothing else is in there. */
	assert_int_equal(damage_session(&arena, "arena", 0, arena.bytes).told,
			 0);
	assert_int_equal(damage_session(&arena, "arena", 0, 0).refused, times);
	sum = damage_session(&data, "idx/data.mdb", 0, data.bytes);
	assert_true(sum.told > 0);
	assert_int_equal(sum.kept, 0);
	sum = damage_session(&data, "idx/data.mdb", 0, 0);
	assert_true(sum.told > times / 2);
	assert_int_equal(sum.kept, 0);
	sum = damage_session(&lock, "idx/lock.mdb", 0, lock.bytes);
	assert_int_equal(sum.kept, 0);
	sum = damage_session(&lock, "idx/lock.mdb", 0, 0);
	assert_int_equal(sum.kept, 0);
}

static void test_damage_of_a_copy_gives_no_wrong_value(void **unused)
{
	struct sum sum;

	(void)unused;
	make_copy();
	sum = damage_copy(&state, "state.mdb", false, false);
	assert_true(sum.told > 0);
	assert_int_equal(sum.kept, 0);
	sum = damage_copy(&state, "state.mdb", true, false);
	assert_true(sum.told > times / 2);
	assert_int_equal(sum.kept, 0);
	for (int i = 0; i < 3; i++) {
		/* Every bit has a checksum. */
		sum = damage_copy(NULL, "data/", i == 2, i == 1);
		assert_int_equal(sum.told, times);
		assert_int_equal(sum.kept, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_damage_of_each_bit_of_the_heads_ends_no_process),
		cmocka_unit_test(test_damage_of_a_session_ends_no_process),
		cmocka_unit_test_setup_teardown(
			test_damage_of_a_copy_gives_no_wrong_value, begin_copy,
			finish),
	};
	int rc;

	seed = test_seed();
	times = test_count("MOB_TEST_DAMAGE", SANITIZED ? 30 : 720, 7200);
	out = shared_memory(sizeof(*out));
	assert_non_null(
		scratch_make(work_dir, sizeof(work_dir), "/dev/shm", "damage"));
	rc = cmocka_run_group_tests_name("crash.damage", tests, NULL, NULL);
	(void)mobi_dir_remove(work_dir);
	return rc;
}
