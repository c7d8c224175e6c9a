/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is started with: descriptors that are closed. */
#define _GNU_SOURCE
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

MOB_TASK(int64_t, a_square, int64_t, x)
{
	return x * x;
}

/* Is it /dev/null? */
static bool is_null(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(1, 3);
}

/* None of the standard descriptors is a file of the session, and they fail as closed
 * ones do. Number of the check that failed. */
static int closed_are_of_no_use(void)
{
	char c;

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (!is_null(fd)) {
			return 10 + fd;
		}
	}
	if (read(0, &c, 1) != -1 || errno != EBADF) {
		return 20;
	}
	for (int fd = 1; fd <= STDERR_FILENO; fd++) {
		if (write(fd, "x", 1) != -1 || errno != EBADF) {
			return 20 + fd;
		}
	}
	return 0;
}

static int child_without_descriptors(void)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_ref ref;
	int64_t x = 0;
	int rc;

	o.workers = 1;
	o.store_bytes = 16 << 20;
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		(void)close(fd);
	}
	if (mob_init(&o)) {
		return 2;
	}
	rc = closed_are_of_no_use();
	if (rc) {
		return rc;
	}
	/* Writes to the catalogue, too. */
	ref = mob_put((int64_t)5);
	if (mob_name_put(mobi_rt.store, "five", ref, 0, NULL)) {
		return 3;
	}
	if (mob_get(mob_submit(a_square, ref), &x) || x != 25) {
		return 4;
	}
	return closed_are_of_no_use();
}

static int child_opens_a_store(const char *name)
{
	struct mob_store *s;
	int rc;

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		(void)close(fd);
	}
	if (mob_store_open(name, &s)) {
		return 2;
	}
	rc = closed_are_of_no_use();
	mob_store_close(s);
	return rc;
}

static int child_makes_a_store(void)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	struct mob_store *s;
	int rc;

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		(void)close(fd);
	}
	o.arena_bytes = MOB_STORE_MIN_BYTES;
	o.flags = MOB_STORE_PRIVATE;
	if (mob_store_create(NULL, &o, &s)) {
		return 2;
	}
	rc = closed_are_of_no_use();
	mob_store_close(s);
	return rc;
}

static void test_ambient_closed_descriptors_are_no_files_of_ours(void **state)
{
	(void)state;
	assert_int_equal(live_collect(live_spawn("closed", NULL)), 0);
	assert_int_equal(live_collect(live_spawn("makes", NULL)), 0);
	live_start(1);
	assert_int_equal(live_collect(live_spawn("opens", mobi_rt.store->name)),
			 0);
	mob_shutdown();
}

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			test_ambient_closed_descriptors_are_no_files_of_ours,
			live_leave),
	};
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "closed")) {
		return child_without_descriptors();
	}
	if (!strcmp(what, "makes")) {
		return child_makes_a_store();
	}
	if (!strcmp(what, "opens")) {
		return child_opens_a_store(argv[2]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
