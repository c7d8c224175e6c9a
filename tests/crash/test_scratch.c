/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests leave: nothing, also after one that failed, and what one that was killed has
 * left goes with the next.
 */
#define _GNU_SOURCE

#include "durable_fixture.h"

/* Where they lie; and what a child has made there. */
static struct {
	char base[64];
	char memory[64];
} * left;

static void note(void)
{
	memcpy(left->base, base, sizeof(base));
	memcpy(left->memory, memory, sizeof(memory));
}

static bool is_there(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* ---- of a test that fails ---- */

static int begin_apart(void **state)
{
	(void)state;
	return begin_apart_in("/dev/shm");
}

static void fails_with_an_open_store(void **state)
{
	(void)state;
	(void)create();
	note();
	assert_true(false);
}

static int fail_in_child(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fails_with_an_open_store,
						begin_apart, finish),
	};

	/* What it says is no failure of this program. */
	(void)freopen("/dev/null", "w", stdout);
	(void)freopen("/dev/null", "w", stderr);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

static void test_scratch_of_a_test_that_failed_is_removed(void **state)
{
	(void)state;
	/* The child has ended, in main. */
	assert_string_not_equal(left->base, "");
	assert_string_not_equal(left->memory, "");
	assert_false(is_there(left->base));
	assert_false(is_there(left->memory));
}

/* ---- of one that is killed ---- */

static void test_scratch_of_the_dead_goes_with_the_next(void **state)
{
	char dir[64];
	char mine[128];
	char next[128];
	char file[160];
	char other[160];
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(scratch_make(dir, sizeof(dir), "/dev/shm", "scratch"));
	assert_non_null(scratch_make(mine, sizeof(mine), dir, "x"));
	pid = fork();
	if (!pid) {
		if (scratch_make(left->base, sizeof(left->base), dir, "x")) {
			(void)snprintf(file, sizeof(file), "%s/file",
				       left->base);
			(void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC,
					 0600));
		}
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(is_there(left->base));
	/* Of the same process, but of another kind, or not made by this. */
	(void)snprintf(other, sizeof(other), "%s/mob-xy-%ld-000000", dir,
		       (long)pid);
	assert_int_equal(mkdir(other, 0700), 0);
	(void)snprintf(file, sizeof(file), "%s/mob-x-%ld", dir, (long)pid);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_non_null(scratch_make(next, sizeof(next), dir, "x"));
	assert_false(is_there(left->base));
	assert_true(is_there(mine) && is_there(next));
	assert_true(is_there(other) && is_there(file));
	assert_ok(mobi_dir_remove(dir));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scratch_of_a_test_that_failed_is_removed),
		cmocka_unit_test(test_scratch_of_the_dead_goes_with_the_next),
	};
	pid_t pid;

	left = shared_memory(sizeof(*left));
	pid = fork();
	if (pid == 0) {
		_exit(fail_in_child());
	}
	return pid < 0 || child_result(pid) == 0 ?
		       1 :
		       cmocka_run_group_tests_name("crash.scratch", tests, NULL,
						   NULL);
}
