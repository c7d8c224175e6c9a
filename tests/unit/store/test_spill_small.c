/* SPDX-License-Identifier: Apache-2.0 */
/* Small objects that are spilled many to a file: containers, and how they are kept
 * from being empty. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <mobula/object.h>

#include "spill.h"
#include "spill_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ARENA (4 * MIB)
#define ONE 1000u
#define MANY 12000u /* nearly two arenas */
#define FILES_MAX 4096u

static char dir[64];
static struct mob_store *s;
static struct mob_ref r[MANY];

static int begin(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/mob-small-XXXXXX");
	assert_non_null(mkdtemp(dir));
	opts.arena_bytes = ARENA;
	opts.flags = MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE;
	opts.spill_dir = dir;
	assert_ok(mob_store_create(NULL, &opts, &s));
	return 0;
}

struct disk {
	uint32_t names;
	uint32_t files;
	uint64_t bytes;
};

/* What is in the spill directory. */
static struct disk look(void)
{
	static ino_t seen[FILES_MAX];
	struct disk d = { 0 };
	int fd = openat(s->spill_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *at = fdopendir(fd);
	struct dirent *e;

	assert_non_null(at);
	while ((e = readdir(at))) {
		struct stat st;
		uint32_t k = 0;

		if (e->d_name[0] == '.') {
			continue;
		}
		d.names++;
		assert_int_equal(fstatat(fd, e->d_name, &st, 0), 0);
		while (k < d.files && seen[k] != st.st_ino) {
			k++;
		}
		if (k == d.files) {
			assert_true(d.files < FILES_MAX);
			seen[d.files++] = st.st_ino;
			d.bytes += (uint64_t)st.st_size;
		}
	}
	(void)closedir(at);
	return d;
}

static int finish(void **state)
{
	(void)state;
	assert_int_equal(look().names, 0);
	store_end(s);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static bool is_spilled(struct mob_ref ref)
{
	return mobi_load(&slot_at(s, ref)->word) & MOBI_F_SPILL;
}

static void put_many(void)
{
	for (uint32_t i = 0; i < MANY; i++) {
		r[i] = put_filled(s, 60 + i % ONE, i);
	}
}

static void check_one(uint32_t i)
{
	struct mob_view v;

	assert_ok(mob_object_get(s, r[i], 0, &v));
	assert_int_equal(v.size, 60 + i % ONE);
	assert_true(filled(v.at, v.size, i));
	mob_view_release(s, &v);
}

static uint32_t spilled(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MANY; i++) {
		n += is_spilled(r[i]);
	}
	return n;
}

static void release_all(void)
{
	for (uint32_t i = 0; i < MANY; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
}

/* Several times what fits is put, and all is there. */
static void test_spill_small_more_than_fits_is_all_there(void **state)
{
	struct disk d;

	(void)state;
	put_many();
	assert_true(spilled() > MANY / 4);
	d = look();
	assert_int_equal(d.names, spilled());
	assert_true(d.files <= d.names / 100);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		check_one((i * 7919) % MANY);
	}
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(look().names, spilled());
	release_all();
}

/* Files shrink as their objects go, in whatever order. */
static void test_spill_small_room_on_the_disk_is_given_back(void **state)
{
	uint64_t seed = now_ns() | 1;
	uint64_t alive = 0;
	uint32_t n = 0;
	struct disk d;

	(void)state;
	print_message("seed %" PRIu64 "\n", seed);
	put_many();
	for (uint32_t i = 0; i < MANY; i++) {
		if (!is_spilled(r[i]) || next_random(&seed) % 8) {
			assert_ok(mob_object_release(s, r[i]));
			r[i] = (struct mob_ref){ 0 };
		} else {
			alive += 60 + i % ONE;
			n++;
		}
	}
	d = look();
	print_message("%" PRIu64 " bytes in %u files for %u objects of %" PRIu64
		      "\n",
		      d.bytes, d.files, n, alive);
	assert_int_equal(d.names, n);
	/* Half of each, but for one; and the tables. */
	assert_true(d.bytes <= 3 * alive + 2 * MOBI_CONTAINER_BYTES);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	for (uint32_t i = 0; i < MANY; i++) {
		if (!mob_ref_is_none(r[i])) {
			check_one(i);
			assert_ok(mob_object_release(s, r[i]));
		}
	}
}

#define ODD 1100u /* 238 of them to a container, which is no power of two */

static void test_spill_small_containers_of_any_number_are_merged(void **state)
{
	uint64_t seed = now_ns() | 1;
	uint64_t alive = 0;
	struct disk d;

	(void)state;
	print_message("seed %" PRIu64 "\n", seed);
	for (uint32_t i = 0; i < MANY; i++) {
		r[i] = put_filled(s, ODD, i);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		if (!is_spilled(r[i]) || next_random(&seed) % 10 >= 3) {
			assert_ok(mob_object_release(s, r[i]));
			r[i] = (struct mob_ref){ 0 };
		} else {
			alive += ODD;
		}
	}
	d = look();
	print_message("%" PRIu64 " bytes in %u files for %" PRIu64 "\n",
		      d.bytes, d.files, alive);
	/* Half of each, but for one; and the tables. */
	assert_true(d.bytes <= alive / 10 * 22 + 2 * MOBI_CONTAINER_BYTES);
	for (uint32_t i = 0; i < MANY; i++) {
		if (!mob_ref_is_none(r[i])) {
			struct mob_view v;

			assert_ok(mob_object_get(s, r[i], 0, &v));
			assert_true(filled(v.at, ODD, i));
			mob_view_release(s, &v);
			assert_ok(mob_object_release(s, r[i]));
		}
	}
}

/* Of each of several containers one object is left: two of them get together. */
static void test_spill_small_the_last_of_a_container_is_merged(void **state)
{
	const uint32_t each = 3;
	const uint32_t n = 40;

	(void)state;
	for (uint32_t k = 0; k < n; k++) {
		for (uint32_t i = 0; i < each; i++) {
			r[k * each + i] = put_filled(s, ODD, k * each + i);
		}
		assert_int_equal(mobi_spill_some(s, 1), each);
	}
	assert_int_equal(look().files, n);
	for (uint32_t k = 0; k < n; k++) {
		for (uint32_t i = 1; i < each; i++) {
			assert_ok(mob_object_release(s, r[k * each + i]));
		}
	}
	print_message("%u files\n", look().files);
	assert_int_equal(look().names, n);
	/* But for one that waits for another. */
	assert_true(look().files <= n / 2 + 1);
	for (uint32_t k = 0; k < n; k++) {
		struct mob_view v;

		assert_ok(mob_object_get(s, r[k * each], 0, &v));
		assert_true(filled(v.at, ODD, k * each));
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r[k * each]));
	}
}

/* A container is read ahead once for all its objects, and counts with all that it
 * has. */
static void test_spill_small_read_ahead_counts_the_container(void **state)
{
	enum { N = 100 };
	struct mobi_file_ahead little = { .bytes = 10 * ODD };
	struct mobi_file_ahead enough = { .bytes = 2 * N * ODD };
	struct mob_store_stat st;
	struct disk d;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		r[i] = put_filled(s, ODD, i);
	}
	assert_int_equal(mobi_spill_some(s, 1), N);
	d = look();
	assert_int_equal(mob_object_prefetch(s, r, N), N);
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.prefetches, 1);
	assert_false(mobi_spill_prefetch(s, r[0].lo, &little));
	assert_int_equal(little.bytes, 0);
	for (uint32_t i = 0; i < N; i++) {
		assert_true(mobi_spill_prefetch(s, r[i].lo, &enough));
	}
	assert_int_equal(enough.bytes, 2 * N * ODD - d.bytes);
	for (uint32_t i = 0; i < N; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
}

/* Changes a byte of the first place where an object's bytes are in a file. */
static void damage(uint32_t i)
{
	unsigned char want[ONE + 60];
	unsigned char *all;
	char name[MOBI_SPILL_NAME];
	struct stat st;
	int fd;
	void *at;

	fill(want, 60 + i % ONE, i);
	mobi_spill_name(name, r[i].lo);
	fd = openat(s->spill_fd, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	all = malloc((size_t)st.st_size);
	assert_non_null(all);
	assert_int_equal(pread(fd, all, (size_t)st.st_size, 0), st.st_size);
	at = memmem(all, (size_t)st.st_size, want, 60 + i % ONE);
	assert_non_null(at);
	want[17] ^= 4;
	assert_int_equal(pwrite(fd, want, 60 + i % ONE,
				(unsigned char *)at - all),
			 60 + i % ONE);
	free(all);
	(void)close(fd);
}

/* Damage is the error of one object, also when its container is merged. */
static void test_spill_small_damage_is_that_objects_error(void **state)
{
	struct mob_view v;
	uint32_t k = 0;

	(void)state;
	put_many();
	while (!is_spilled(r[k])) {
		assert_true(++k < MANY);
	}
	damage(k);
	assert_int_equal(mob_object_get(s, r[k], 0, &v), MOB_E_CORRUPT);
	for (uint32_t i = 0; i < MANY; i++) {
		if (i != k && i % 8) {
			check_one(i);
			assert_ok(mob_object_release(s, r[i]));
		}
	}
	assert_int_equal(mob_object_get(s, r[k], 0, &v), MOB_E_CORRUPT);
	for (uint32_t i = 0; i < MANY; i++) {
		if (i != k && i % 8 == 0) {
			check_one(i);
			assert_ok(mob_object_release(s, r[i]));
		}
	}
	assert_ok(mob_object_release(s, r[k]));
}

/* Several processes restore, spill, release and merge at the same time. */
static int works(void *arg)
{
	const struct mob_ref *refs = arg;
	struct mob_store *own = child_open(mob_store_name(s));
	uint64_t seed = (uint64_t)getpid();

	for (uint32_t i = 0; i < (SANITIZED ? 1000 : 6000); i++) {
		uint32_t k = (uint32_t)(next_random(&seed) % MANY);
		unsigned char bytes[900];
		struct mob_view v;
		struct mob_ref mine;

		if (mob_object_get(own, refs[k], 0, &v) < 0 ||
		    v.size != 60 + k % ONE || !filled(v.at, v.size, k)) {
			return 1;
		}
		mob_view_release(own, &v);
		fill(bytes, sizeof(bytes), i);
		if (mob_object_put(own, bytes, sizeof(bytes), MOB_TYPE_BYTES,
				   &mine) < 0 ||
		    mob_object_release(own, mine) < 0) {
			return 2;
		}
	}
	mob_store_close(own);
	return 0;
}

static void test_spill_small_by_several_processes_at_once(void **state)
{
	struct mob_ref *shared = shared_memory(sizeof(r));
	pid_t pid[3];

	(void)state;
	put_many();
	memcpy(shared, r, sizeof(r));
	for (int i = 0; i < 3; i++) {
		pid[i] = child_start(works, shared);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(look().names, spilled());
	for (uint32_t i = 0; i < MANY; i++) {
		check_one(i);
	}
	release_all();
	assert_int_equal(munmap(shared, sizeof(r)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spill_small_more_than_fits_is_all_there),
		TEST(test_spill_small_room_on_the_disk_is_given_back),
		TEST(test_spill_small_containers_of_any_number_are_merged),
		TEST(test_spill_small_the_last_of_a_container_is_merged),
		TEST(test_spill_small_read_ahead_counts_the_container),
		TEST(test_spill_small_damage_is_that_objects_error),
		TEST(test_spill_small_by_several_processes_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
