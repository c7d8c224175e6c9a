/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes and the detail of the last failure. */
#define _GNU_SOURCE

#include "err.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_err_numbers_never_change(void **state)
{
	(void)state;
	/* A few that are on the wire; the last stands for their number. */
	assert_int_equal(MOB_OK, 0);
	assert_int_equal(MOB_E_INVAL, -1);
	assert_int_equal(MOB_E_AGAIN, -6);
	assert_int_equal(MOB_E_LOST, -15);
	assert_int_equal(MOB_E_PLUGIN, -22);
	assert_int_equal(MOB_E_DISK_FULL, -28);
}

static void test_err_every_code_has_a_name_and_a_message(void **state)
{
	(void)state;
	for (int rc = MOB_E_DISK_FULL; rc < 0; rc++) {
		assert_int_equal(strncmp(mob_err_name(rc), "MOB_E_", 6), 0);
		assert_string_not_equal(mob_err_name(rc), "MOB_E_?");
		assert_true(strlen(mob_err_message(rc)) > 3);
		assert_true(mob_err_errno(rc) > 0);
		for (int other = rc + 1; other < 0; other++) {
			assert_string_not_equal(mob_err_name(rc),
						mob_err_name(other));
			assert_string_not_equal(mob_err_message(rc),
						mob_err_message(other));
		}
	}
	assert_string_equal(mob_err_name(MOB_E_DISK_FULL), "MOB_E_DISK_FULL");
	assert_int_equal(mob_err_errno(MOB_E_TIMEOUT), ETIMEDOUT);
}

static void test_err_success_and_counts_are_ok(void **state)
{
	(void)state;
	assert_string_equal(mob_err_name(0), "MOB_OK");
	assert_string_equal(mob_err_name(7), "MOB_OK");
	assert_int_equal(mob_err_errno(0), 0);
	assert_int_equal(mob_err_errno(7), 0);
	assert_string_equal(mob_err_detail(0), "");
}

static void test_err_unknown_code_is_named_so(void **state)
{
	(void)state;
	assert_string_equal(mob_err_name(-12345), "MOB_E_?");
	assert_true(strlen(mob_err_message(-12345)) > 3);
	assert_int_equal(mob_err_errno(-12345), EIO);
}

static void test_detail_answers_only_for_its_code(void **state)
{
	(void)state;
	assert_int_equal(mobi_err(MOB_E_INVAL, "f: n is %d", 3), MOB_E_INVAL);
	assert_string_equal(mob_err_detail(MOB_E_INVAL), "f: n is 3");
	assert_string_equal(mob_err_detail(MOB_E_NOMEM), "");
	assert_int_equal(mobi_err(MOB_E_NOMEM, "g"), MOB_E_NOMEM);
	assert_string_equal(mob_err_detail(MOB_E_INVAL), "");
	assert_string_equal(mob_err_detail(MOB_E_NOMEM), "g");
}

static void test_detail_of_itself_as_argument_is_kept(void **state)
{
	(void)state;
	(void)mobi_err(MOB_E_PLUGIN, "inner");
	(void)mobi_err(MOB_E_PLUGIN, "outer: %s", mob_err_detail(MOB_E_PLUGIN));
	assert_string_equal(mob_err_detail(MOB_E_PLUGIN), "outer: inner");
}

static void test_detail_too_long_is_cut(void **state)
{
	char text[2000];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)mobi_err(MOB_E_INVAL, "%s", text);
	assert_int_equal(strlen(mob_err_detail(MOB_E_INVAL)), 511);
	errno = ENOENT;
	assert_int_equal(mobi_err_errno("%s", text), MOB_E_SYS);
	assert_int_equal(strlen(mob_err_detail(MOB_E_SYS)), 511);
}

struct seen {
	char before[8];
	char after[8];
};

static void *record_in_thread(void *arg)
{
	struct seen *seen = arg;

	strncpy(seen->before, mob_err_detail(MOB_E_INVAL), 7);
	(void)mobi_err(MOB_E_INVAL, "thread");
	strncpy(seen->after, mob_err_detail(MOB_E_INVAL), 7);
	return NULL;
}

static void test_detail_is_of_its_thread(void **state)
{
	struct seen seen = { "", "" };
	pthread_t thread;

	(void)state;
	(void)mobi_err(MOB_E_INVAL, "main");
	assert_int_equal(pthread_create(&thread, NULL, record_in_thread, &seen),
			 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(seen.before, "");
	assert_string_equal(seen.after, "thread");
	assert_string_equal(mob_err_detail(MOB_E_INVAL), "main");
}

static void test_err_errno_chooses_the_code(void **state)
{
	static const struct {
		int e;
		int rc;
	} rows[] = {
		{ ENOSPC, MOB_E_DISK_FULL }, { ENOMEM, MOB_E_NOMEM },
		{ EACCES, MOB_E_PERM },      { EPERM, MOB_E_PERM },
		{ EIO, MOB_E_SYS },          { ENOENT, MOB_E_SYS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[128];

		errno = rows[i].e;
		assert_int_equal(mobi_err_errno("open '%s'", "a"), rows[i].rc);
		assert_int_equal(errno, rows[i].e);
		(void)snprintf(want, sizeof(want), "open 'a': %s",
			       strerror(rows[i].e));
		assert_string_equal(mob_err_detail(rows[i].rc), want);
	}
}

static void test_err_keeps_errno(void **state)
{
	(void)state;
	errno = EXDEV;
	(void)mobi_err(MOB_E_INVAL, "%d", 1);
	assert_int_equal(errno, EXDEV);
}

static void test_panic_says_where_and_aborts(void **state)
{
	char text[256];
	size_t len = 0;
	ssize_t n = 0;
	int status = 0;
	int fds[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(fds[1], STDERR_FILENO);
		mobi_panic("file.c", 12, "n is %d", 5);
	}
	(void)close(fds[1]);
	while ((n = read(fds[0], text + len, sizeof(text) - 1 - len)) > 0) {
		len += (size_t)n;
	}
	text[len] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_string_equal(text, "mobula: panic at file.c:12: n is 5\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_err_numbers_never_change),
		cmocka_unit_test(test_err_every_code_has_a_name_and_a_message),
		cmocka_unit_test(test_err_success_and_counts_are_ok),
		cmocka_unit_test(test_err_unknown_code_is_named_so),
		cmocka_unit_test(test_detail_answers_only_for_its_code),
		cmocka_unit_test(test_detail_of_itself_as_argument_is_kept),
		cmocka_unit_test(test_detail_too_long_is_cut),
		cmocka_unit_test(test_detail_is_of_its_thread),
		cmocka_unit_test(test_err_errno_chooses_the_code),
		cmocka_unit_test(test_err_keeps_errno),
		cmocka_unit_test(test_panic_says_where_and_aborts),
	};

	return cmocka_run_group_tests_name("core.err", tests, NULL, NULL);
}
