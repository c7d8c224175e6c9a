/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that go to files when the store is full, and come back. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <mobula/object.h>

#include "spill.h"
#include "spill_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#define ARENA (16 * MIB)
#define ONE (256 * KIB)
#define MANY 200u /* objects of ONE: three arenas */

static char dir[64];
static struct mob_store *s;

static struct mob_store *create(const char *name)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *made = NULL;

	opts.arena_bytes = ARENA;
	opts.flags = MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE;
	opts.spill_dir = dir;
	assert_ok(mob_store_create(name, &opts, &made));
	return made;
}

static int begin(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/mob-spill-XXXXXX");
	assert_non_null(mkdtemp(dir));
	s = create(NULL);
	return 0;
}

/* Files below the spill directory; *out_dirs: directories. */
static uint32_t files(uint32_t *out_dirs)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	uint32_t n = 0;

	*out_dirs = 0;
	assert_non_null(d);
	while ((e = readdir(d))) {
		char path[512];
		struct dirent *f;
		DIR *below;

		if (e->d_name[0] == '.') {
			continue;
		}
		(*out_dirs)++;
		(void)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		below = opendir(path);
		assert_non_null(below);
		while ((f = readdir(below))) {
			n += f->d_name[0] != '.';
		}
		(void)closedir(below);
	}
	(void)closedir(d);
	return n;
}

/* Nothing is left, of the store nor on the disk. */
static int finish(void **state)
{
	uint32_t dirs;

	(void)state;
	assert_int_equal(files(&dirs), 0);
	store_end(s);
	assert_int_equal(files(&dirs), 0);
	assert_int_equal(dirs, 0);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static struct mob_ref r[MANY];

static void put_many(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		r[i] = put_filled(s, ONE, i);
	}
}

static void release_many(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
}

static bool is_spilled(struct mob_ref ref)
{
	return mobi_load(&slot_at(s, ref)->word) & MOBI_F_SPILL;
}

static uint32_t spilled(uint32_t n)
{
	uint32_t k = 0;

	for (uint32_t i = 0; i < n; i++) {
		k += is_spilled(r[i]);
	}
	return k;
}

static void check_one(struct mob_ref ref, uint64_t size, uint64_t seed)
{
	struct mob_view v;

	assert_ok(mob_object_get(s, ref, 0, &v));
	assert_int_equal(v.size, size);
	assert_true(filled(v.at, size, seed));
	mob_view_release(s, &v);
}

/* ---- tests ---- */

static void test_spill_more_than_fits_is_all_there(void **state)
{
	uint32_t dirs;

	(void)state;
	put_many(MANY);
	assert_true(spilled(MANY) >= MANY - ARENA / ONE);
	assert_int_equal(files(&dirs), spilled(MANY));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < MANY; i++) {
			check_one(r[(i * 7) % MANY], ONE, (i * 7) % MANY);
		}
	}
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(files(&dirs), spilled(MANY));
	release_many(MANY);
}

/* The seed's "fetching too many results at once", in batches. */
static void test_spill_batches_of_views_run_in_a_small_store(void **state)
{
	struct mob_view v[16];

	(void)state;
	put_many(MANY);
	for (uint32_t i = 0; i + 16 <= MANY; i += 16) {
		for (uint32_t k = 0; k < 16; k++) {
			assert_ok(mob_object_get(s, r[i + k], 0, &v[k]));
		}
		for (uint32_t k = 0; k < 16; k++) {
			assert_true(filled(v[k].at, ONE, i + k));
			mob_view_release(s, &v[k]);
		}
	}
	release_many(MANY);
}

static void test_spill_all_viewed_store_full_names_who(void **state)
{
	struct mob_view v[MANY];
	uint32_t n = 0;
	char pid[32];
	int rc = 0;

	(void)state;
	put_many(MANY);
	while (n < MANY && (rc = mob_object_get(s, r[n], 0, &v[n])) == 0) {
		n++;
	}
	assert_int_equal(rc, MOB_E_STORE_FULL);
	assert_in_range(n, 16, ARENA / ONE);
	(void)snprintf(pid, sizeof(pid), "process %d views", (int)getpid());
	if (!strstr(mob_err_detail(rc), pid)) {
		fail_msg("no '%s' in: %s", pid, mob_err_detail(rc));
	}
	/* What is viewed is not moved. */
	for (uint32_t i = 0; i < n; i++) {
		assert_true(filled(v[i].at, ONE, i));
		mob_view_release(s, &v[i]);
	}
	check_one(r[n], ONE, n);
	release_many(MANY);
}

/* Nothing is moved for what fits nowhere. */
static void test_spill_not_for_what_never_fits(void **state)
{
	struct mob_ref ref;
	void *at;

	(void)state;
	put_many(10);
	assert_int_equal(mob_object_create(s, GIB, 1, &ref, &at),
			 MOB_E_STORE_FULL);
	assert_int_equal(spilled(10), 0);
	release_many(10);
}

static void test_spill_headers_ranges_names_and_sizes(void **state)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	struct mob_ref headed;
	struct mob_ref whole;
	struct mob_ref part;
	struct mob_ref named;
	struct mob_view v;
	void *at;

	(void)state;
	h.content_type = "text/x-test";
	assert_ok(mob_object_create_with(s, 100001, 1, &h, &headed, &at));
	fill(at, 100001, 77);
	assert_ok(mob_object_seal(s, headed));
	whole = put_filled(s, ONE, 3);
	assert_ok(mob_object_range(s, whole, 1000, 2000, 1, &part));
	named = put_filled(s, 70000, 4);
	assert_ok(mob_name_put(s, "kept", named, 0, NULL));
	assert_ok(mob_object_release(s, named));
	put_many(MANY);
	assert_true(is_spilled(headed));
	assert_true(is_spilled(named));
	/* Readers of a part look into the whole. */
	assert_false(is_spilled(whole));
	assert_ok(mob_object_get(s, headed, 0, &v));
	assert_true(v.size == 100001 && filled(v.at, v.size, 77));
	assert_int_equal(mob_view_header(&v, &h), 1);
	assert_string_equal(h.content_type, "text/x-test");
	mob_view_release(s, &v);
	check_one(whole, ONE, 3);
	check_one(named, 70000, 4);
	assert_ok(mob_name_remove(s, "kept"));
	assert_int_equal(mob_object_state(s, named), MOB_OBJECT_GONE);
	assert_ok(mob_object_release(s, headed));
	assert_ok(mob_object_release(s, whole));
	assert_ok(mob_object_release(s, part));
	release_many(MANY);
}

static void spill_file(char path[512], struct mob_ref ref)
{
	char name[MOBI_SPILL_NAME];

	mobi_spill_name(name, ref.lo);
	(void)snprintf(path, 512, "/proc/self/fd/%d/%s", s->spill_fd, name);
}

/* One of size bytes, which LZ4 can make smaller or not. */
static struct mob_ref put_of_kind(uint64_t size, bool random, uint64_t *seed)
{
	unsigned char *at = malloc(size);
	struct mob_ref ref;

	assert_non_null(at);
	for (uint64_t i = 0; i < size; i++) {
		at[i] = random ? (unsigned char)next_random(seed) :
				 (unsigned char)(i / 100);
	}
	assert_ok(mob_object_put(s, at, size, MOB_TYPE_BYTES, &ref));
	free(at);
	return ref;
}

static void read_whole(const char *path, unsigned char **out_at, size_t *out_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*out_n = (size_t)st.st_size;
	*out_at = malloc(*out_n);
	assert_non_null(*out_at);
	assert_int_equal(pread(fd, *out_at, *out_n, 0), (ssize_t)*out_n);
	assert_int_equal(close(fd), 0);
}

static void write_whole(const char *path, const unsigned char *at, size_t n)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, at, n), (ssize_t)n);
	assert_int_equal(close(fd), 0);
}

/* No bit of a file can be wrong, and none of its bytes be missing or too many,
 * without the reader being told. */
static void test_spill_flipped_bit_or_cut_is_always_told(void **state)
{
	uint64_t n_flips = test_count("MOB_TEST_FLIPS", 400, 10000);
	uint64_t seed = test_seed();

	(void)state;
	for (int kind = 0; kind < 4; kind++) {
		struct mob_ref ref = put_of_kind(kind & 1 ? ONE + 777 : 5000,
						 kind & 2, &seed);
		unsigned char *at;
		char path[512];
		struct mob_view v;
		size_t n;

		assert_true(mobi_spill_some(s, 1) > 0);
		assert_true(is_spilled(ref));
		spill_file(path, ref);
		read_whole(path, &at, &n);
		for (uint64_t i = 0; i < n_flips; i++) {
			uint64_t bit = next_random(&seed) % (8 * n);
			size_t cut = next_random(&seed) % n;

			/* The record and the table at the end as often. */
			bit = i % 2 ? bit : 8 * n - 1 - bit % 512;
			at[bit / 8] ^= (unsigned char)(1u << bit % 8);
			write_whole(path, at, n);
			assert_int_equal(mob_object_get(s, ref, 0, &v),
					 MOB_E_CORRUPT);
			at[bit / 8] ^= (unsigned char)(1u << bit % 8);
			write_whole(path, at, i % 2 ? cut : n - 1 - cut % 64);
			assert_int_equal(mob_object_get(s, ref, 0, &v),
					 MOB_E_CORRUPT);
		}
		write_whole(path, at, n);
		assert_ok(mob_object_get(s, ref, 0, &v));
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, ref));
		free(at);
	}
}

/* Pages of a file that are in the kernel's cache. */
static size_t cached_pages(const char *path, size_t *out_all)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned char in[ONE / 512];
	struct stat st;
	size_t n = 0;
	void *at;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	*out_all = ((size_t)st.st_size + page - 1) / page;
	assert_true(*out_all <= sizeof(in));
	at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mincore(at, (size_t)st.st_size, in), 0);
	for (size_t i = 0; i < *out_all; i++) {
		n += in[i] & 1u;
	}
	assert_int_equal(munmap(at, (size_t)st.st_size), 0);
	assert_int_equal(close(fd), 0);
	return n;
}

/* False: the file system keeps its pages, whatever it is told. */
static bool drop_from_cache(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t all;

	assert_true(fd >= 0);
	assert_int_equal(fdatasync(fd), 0);
	assert_int_equal(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	assert_int_equal(close(fd), 0);
	return cached_pages(path, &all) == 0;
}

static uint64_t prefetches(void)
{
	struct mob_store_stat st;

	assert_ok(mob_store_stat(s, &st));
	return st.prefetches;
}

/* What has no bytes but a header is in a file like others. */
static void test_spill_prefetch_of_a_header_alone(void **state)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	struct mob_ref headed;
	void *at;

	(void)state;
	h.content_type = "text/x-a-type-that-does-not-fit-into-a-slot-of-128-"
			 "bytes";
	assert_ok(mob_object_create_with(s, 0, 1, &h, &headed, &at));
	assert_ok(mob_object_seal(s, headed));
	assert_int_equal(mobi_spill_some(s, 1), 1);
	assert_true(is_spilled(headed));
	assert_int_equal(mob_object_prefetch(s, &headed, 1), 1);
	assert_ok(mob_object_release(s, headed));
}

/* All of the file comes into the cache, and nothing of the store changes. */
static void test_spill_prefetch_reads_files_and_moves_nothing(void **state)
{
	struct mob_ref two[2];
	struct mob_ref gone;
	struct counts before;
	char path[512];
	uint64_t seed = 1;
	bool cold;

	(void)state;
	two[0] = put_of_kind(ONE, true, &seed);
	put_many(MANY);
	two[1] = r[MANY - 1];
	assert_true(is_spilled(two[0]) && !is_spilled(two[1]));
	gone = put_filled(s, 8, 1);
	assert_ok(mob_object_release(s, gone));
	spill_file(path, two[0]);
	cold = drop_from_cache(path);
	before = counts_of(s);
	assert_int_equal(mob_object_prefetch(s, &gone, 1), 0);
	assert_int_equal(prefetches(), 0);
	assert_int_equal(mob_object_prefetch(s, two, 2), 1);
	assert_int_equal(prefetches(), 1);
	if (cold) {
		uint64_t end = now_ns() + WATCHDOG_S * UINT64_C(1000000000);
		size_t all = 0;

		while (cached_pages(path, &all) < all) {
			assert_true(now_ns() < end);
			(void)sched_yield();
		}
	}
	assert_true(is_spilled(two[0]));
	assert_int_equal(counts_differ(before, counts_of(s)), 0);
	gone.hi ^= 1;
	assert_int_equal(mob_object_prefetch(s, &gone, 1), MOB_E_BAD_REF);
	/* A file that is not there is told by the get, not by this. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mob_object_prefetch(s, two, 1), 0);
	assert_ok(mob_object_release(s, two[0]));
	release_many(MANY);
}

static void test_spill_damaged_file_is_that_objects_error(void **state)
{
	char path[512];
	struct mob_view v;
	uint32_t k = 0;
	int fd;

	(void)state;
	put_many(MANY);
	while (!is_spilled(r[k])) {
		k++;
	}
	spill_file(path, r[k]);
	fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "\xff\x00\xff", 3, 50), 3);
	assert_int_equal(mob_object_get(s, r[k], 0, &v), MOB_E_CORRUPT);
	assert_non_null(strstr(mob_err_detail(MOB_E_CORRUPT), "checksum"));
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(mob_object_get(s, r[k], 0, &v), MOB_E_CORRUPT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mob_object_get(s, r[k], 0, &v), MOB_E_NOT_FOUND);
	for (uint32_t i = 0; i < MANY; i++) {
		if (i != k) {
			check_one(r[i], ONE, i);
		}
	}
	release_many(MANY);
}

static void test_spill_directory_that_takes_nothing(void **state)
{
	char path[64];
	uint32_t n = 0;
	int rc = 0;

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->spill_fd);
	assert_int_equal(chmod(path, 0500), 0);
	if (getuid() == 0) {
		/* Who may do everything needs another obstacle. */
		assert_int_equal(close(s->spill_fd), 0);
		s->spill_fd = open("/proc/self/fdinfo", O_RDONLY);
	}
	while (n < MANY) {
		void *at;

		rc = mob_object_create(s, ONE, 1, &r[n], &at);
		if (rc < 0) {
			break;
		}
		fill(at, ONE, n);
		assert_ok(mob_object_seal(s, r[n]));
		n++;
	}
	assert_int_equal(rc, MOB_E_STORE_FULL);
	for (uint32_t i = 0; i < n; i++) {
		check_one(r[i], ONE, i);
	}
	release_many(n);
	if (getuid() != 0) {
		assert_int_equal(chmod(path, 0700), 0);
	}
}

static void test_spill_to_memory_refused_unless_forced(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *made = NULL;

	(void)state;
	opts.arena_bytes = ARENA;
	opts.flags = MOB_STORE_PRIVATE;
	opts.spill_dir = "/dev/shm";
	assert_int_equal(mob_store_create(NULL, &opts, &made), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "tmpfs"));
	opts.spill_dir = "relative";
	assert_int_equal(mob_store_create(NULL, &opts, &made), MOB_E_INVAL);
	opts.spill_dir = "/no/such/directory";
	assert_true(mob_store_create(NULL, &opts, &made) < 0);
	assert_null(made);
}

/* Four processes read and put at random; each object is what was put. */
static int works(void *arg)
{
	struct mob_store *own = child_open(mob_store_name(s));
	uint64_t seed = (uint64_t)getpid();
	const struct mob_ref *refs = arg;

	for (uint32_t i = 0; i < (SANITIZED ? 100 : 400); i++) {
		uint32_t k = (uint32_t)(next_random(&seed) % MANY);
		struct mob_view v;
		struct mob_ref mine;
		void *at;
		int rc = mob_object_get(own, refs[k], 0, &v);

		if (rc < 0 || !filled(v.at, ONE, k)) {
			return 1;
		}
		mob_view_release(own, &v);
		rc = mob_object_create(own, ONE, 1, &mine, &at);
		if (rc < 0) {
			return 2;
		}
		if (mob_object_seal(own, mine) < 0 ||
		    mob_object_release(own, mine) < 0) {
			return 3;
		}
	}
	mob_store_close(own);
	return 0;
}

static void test_spill_by_several_processes_at_once(void **state)
{
	struct mob_ref *shared = shared_memory(sizeof(r));
	pid_t pid[4];

	(void)state;
	put_many(MANY);
	memcpy(shared, r, sizeof(r));
	for (int i = 0; i < 4; i++) {
		pid[i] = child_start(works, shared);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		check_one(r[i], ONE, i);
	}
	release_many(MANY);
	assert_int_equal(munmap(shared, sizeof(r)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

/* Random bytes do not shrink, zeros do. */
static void test_spill_compresses_what_shrinks(void **state)
{
	static unsigned char bytes[ONE];
	uint64_t seed = 1;
	struct mob_ref zeros;
	struct mob_ref noise;
	struct stat st;
	char path[512];

	(void)state;
	assert_ok(mob_object_put(s, bytes, ONE, 1, &zeros));
	for (uint32_t i = 0; i < ONE; i++) {
		bytes[i] = (unsigned char)next_random(&seed);
	}
	assert_ok(mob_object_put(s, bytes, ONE, 1, &noise));
	put_many(MANY);
	assert_true(is_spilled(zeros) && is_spilled(noise));
	spill_file(path, zeros);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size < (off_t)(ONE / 50));
	spill_file(path, noise);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size >= (off_t)ONE &&
		    st.st_size < (off_t)(ONE + 4096));
	assert_ok(mob_object_release(s, zeros));
	assert_ok(mob_object_release(s, noise));
	release_many(MANY);
}

/* Somebody moves the object, and is stopped meanwhile. */
static void test_spill_get_of_a_moving_object_keeps_its_time(void **state)
{
	struct mob_ref ref = put_filled(s, ONE, 1);
	struct mobi_slot *o = slot_at(s, ref);
	struct mob_cancel *token;
	uint64_t w = mobi_load(&o->word);
	struct mob_view v;
	char who[40];

	(void)state;
	mobi_store(&o->word,
		   MOBI_WORD(MOBI_GEN(w), s->me, MOBI_F_LOCK | MOBI_F_SPILL,
			     MOBI_S_SEALED));
	assert_int_equal(mob_object_get(s, ref, 0, &v), MOB_E_TIMEOUT);
	(void)snprintf(who, sizeof(who), "by process %d,", (int)getpid());
	assert_non_null(strstr(mob_err_detail(MOB_E_TIMEOUT), who));
	assert_int_equal(mob_object_get(s, ref, 2 * MOB_MS, &v), MOB_E_TIMEOUT);
	assert_ok(mob_cancel_new(&token));
	(void)mob_cancel_use(token);
	mob_cancel(token);
	assert_int_equal(mob_object_get(s, ref, MOB_FOREVER, &v),
			 MOB_E_INTERRUPTED);
	(void)mob_cancel_use(NULL);
	mob_cancel_free(token);
	mobi_store(&o->word, w);
	check_one(ref, ONE, 1);
	assert_ok(mob_object_release(s, ref));
}

static int begin_checked(void **state)
{
	assert_int_equal(setenv("MOBULA_CHECK_WRITES", "1", 1), 0);
	return begin(state);
}

static int finish_checked(void **state)
{
	assert_int_equal(unsetenv("MOBULA_CHECK_WRITES"), 0);
	return finish(state);
}

/* In the mode in which pages are closed at the seal. */
static void test_spill_with_the_check_of_writes(void **state)
{
	(void)state;
	put_many(MANY);
	assert_true(spilled(MANY) > 0);
	for (uint32_t i = 0; i < MANY; i++) {
		check_one(r[i], ONE, i);
	}
	release_many(MANY);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spill_more_than_fits_is_all_there),
		TEST(test_spill_batches_of_views_run_in_a_small_store),
		TEST(test_spill_all_viewed_store_full_names_who),
		TEST(test_spill_not_for_what_never_fits),
		TEST(test_spill_headers_ranges_names_and_sizes),
		TEST(test_spill_flipped_bit_or_cut_is_always_told),
		TEST(test_spill_prefetch_of_a_header_alone),
		TEST(test_spill_prefetch_reads_files_and_moves_nothing),
		TEST(test_spill_damaged_file_is_that_objects_error),
		TEST(test_spill_directory_that_takes_nothing),
		TEST(test_spill_to_memory_refused_unless_forced),
		TEST(test_spill_by_several_processes_at_once),
		TEST(test_spill_compresses_what_shrinks),
		TEST(test_spill_get_of_a_moving_object_keeps_its_time),
		cmocka_unit_test_setup_teardown(
			test_spill_with_the_check_of_writes, begin_checked,
			finish_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
