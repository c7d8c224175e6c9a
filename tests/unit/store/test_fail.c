/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of the system that fail in one place of the store. All of them, in all
 * operations: tests/crash/test_crash_fail.c. */
#define _GNU_SOURCE

#include "failing.h"
#include "store_fixture.h"

#include "slot.h"
#include "spill.h"

#include <fcntl.h>
#include <sys/stat.h>

#define ONE 5000u

/* "It could not be looked at" is no proof of damage: a session that lives is
 * not swept by one who cannot look. */
static void test_fail_fstat_while_sweeping_living_session_stays(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s = store_new(NULL, 4 * MIB);
	unsigned long n = 0;
	bool failed;

	(void)state;
	opts.arena_bytes = 4 * MIB;
	opts.flags = MOB_STORE_PRIVATE;
	do {
		struct mob_store *other = NULL;
		int rc;

		failing_nth(FAIL_FSTAT, n++, ENOMEM);
		rc = mob_store_create(NULL, &opts, &other);
		failed = failing_stop(FAIL_FSTAT);
		assert_true(rc == 0 || rc == MOB_E_NOMEM);
		if (access(s->path, F_OK) != 0) {
			fail_msg("removed after %lu calls of fstat", n - 1);
		}
		mob_store_close(other);
	} while (failed);
	assert_true(n > 3);
	store_end(s);
}

static void test_fail_fstat_in_open_is_that_error(void **state)
{
	struct mob_store *s = store_new(NULL, 4 * MIB);
	unsigned long n = 0;
	bool failed;

	(void)state;
	do {
		struct mob_store *other = NULL;
		int rc;

		failing_nth(FAIL_FSTAT, n++, ENOMEM);
		rc = mob_store_open(s->path, &other);
		failed = failing_stop(FAIL_FSTAT);
		if (rc == 0) {
			mob_store_close(other);
		} else {
			assert_true(failed);
			assert_int_equal(rc, MOB_E_NOMEM);
		}
	} while (failed);
	assert_true(n > 4);
	reap_until(s, MOBI_BIT(s->me));
	store_end(s);
}

static void test_fail_fstat_of_a_spilled_file_is_not_damage(void **state)
{
	struct mob_store *s = store_new_spilling(4 * MIB);
	struct mob_ref r = put_filled(s, ONE, 3);
	struct mob_view v;

	(void)state;
	assert_int_equal(mobi_spill_some(s, 1), 1);
	failing_nth(FAIL_FSTAT, 0, ENOMEM);
	assert_int_equal(mob_object_get(s, r, 0, &v), MOB_E_NOMEM);
	assert_true(failing_stop(FAIL_FSTAT));
	assert_non_null(strstr(mob_err_detail(MOB_E_NOMEM), "size"));
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_true(filled(v.at, v.size, 3));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
	store_end(s);
}

#define LINKED 2000u
#define SMALL 1000u

/* Bytes of the files in the spill directory, however many names they have. */
static uint64_t bytes_on_disk(const struct mob_store *s)
{
	int fd = openat(s->spill_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *e;
	uint64_t sum = 0;

	assert_non_null(d);
	while ((e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] != '.') {
			assert_int_equal(fstatat(fd, e->d_name, &st, 0), 0);
			sum += (uint64_t)st.st_size / st.st_nlink;
		}
	}
	(void)closedir(d);
	return sum;
}

/* Where files have no second names, each small object has a file of its own, and
 * none has a container of others that stayed. */
static void test_fail_link_small_objects_have_files_of_their_own(void **state)
{
	static const int error[] = { EPERM, EOPNOTSUPP, EMLINK, ENOSPC };

	(void)state;
	for (size_t k = 0; k < sizeof(error) / sizeof(*error); k++) {
		struct mob_store *s = store_new_spilling(4 * MIB);
		static struct mob_ref r[LINKED];
		int n;

		for (uint32_t i = 0; i < LINKED; i++) {
			r[i] = put_filled(s, SMALL, i);
		}
		/* Some have one already. */
		failing_from(FAIL_LINK, 100, error[k]);
		n = mobi_spill_some(s, (uint64_t)SMALL * LINKED / 2);
		assert_true(failing_stop(FAIL_LINK));
		assert_int_equal(spill_files(s), n);
		/* After another error it ends: the next would be the same. */
		assert_true(error[k] == ENOSPC ? n == 101 : n >= 900);
		print_message("%d objects, %" PRIu64 " bytes\n", n,
			      bytes_on_disk(s));
		assert_true(bytes_on_disk(s) <= (uint64_t)n * 3 * SMALL);
		assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
		for (uint32_t i = 0; i < LINKED; i++) {
			struct mob_view v;

			assert_ok(mob_object_get(s, r[i], 0, &v));
			assert_true(filled(v.at, v.size, i));
			mob_view_release(s, &v);
			assert_ok(mob_object_release(s, r[i]));
		}
		assert_int_equal(spill_files(s), 0);
		store_end(s);
	}
}

static void test_fail_madvise_in_open_is_that_error(void **state)
{
	struct mob_store *s = store_new(NULL, 4 * MIB);
	struct mob_store *other = NULL;

	(void)state;
	failing_nth(FAIL_MADVISE, 0, ENOMEM);
	assert_int_equal(mob_store_open(s->path, &other), MOB_E_NOMEM);
	assert_true(failing_stop(FAIL_MADVISE));
	assert_non_null(strstr(mob_err_detail(MOB_E_NOMEM), "madvise"));
	assert_null(other);
	store_end(s);
}

/* What an object keeps goes with it, also without memory. */
static void test_fail_alloc_in_release_frees_what_it_kept(void **state)
{
	struct mob_store *s = store_new(NULL, 4 * MIB);
	struct mob_ref inner = put_filled(s, ONE, 7);
	struct mob_ref outer;

	(void)state;
	if (!FAILING_ALLOC) {
		mob_store_close(s);
		skip();
	}
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_object_release(s, inner));
	failing_from(FAIL_ALLOC, 0, ENOMEM);
	assert_ok(mob_object_release(s, outer));
	(void)failing_stop(FAIL_ALLOC);
	assert_int_equal(mob_object_state(s, inner), MOB_OBJECT_GONE);
	assert_int_equal(mobi_load(&s->hdr->leftover), 0);
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_fail_fstat_while_sweeping_living_session_stays),
		cmocka_unit_test(test_fail_fstat_in_open_is_that_error),
		cmocka_unit_test(
			test_fail_fstat_of_a_spilled_file_is_not_damage),
		cmocka_unit_test(
			test_fail_link_small_objects_have_files_of_their_own),
		cmocka_unit_test(test_fail_madvise_in_open_is_that_error),
		cmocka_unit_test(test_fail_alloc_in_release_frees_what_it_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
