/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines, as they arrive on stderr. */
#define _GNU_SOURCE

#include "log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr = -1;
static int reader = -1;

static void capture_begin(void)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(saved_stderr >= 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(fds[1]);
	reader = fds[0];
}

/* Puts stderr back and gives what was written to it, less than a pipe holds. */
static void capture_end(char *out, size_t size)
{
	size_t len = 0;
	ssize_t n = 0;

	assert_int_equal(dup2(saved_stderr, STDERR_FILENO), STDERR_FILENO);
	(void)close(saved_stderr);
	while ((n = read(reader, out + len, size - 1 - len)) > 0) {
		len += (size_t)n;
	}
	out[len] = '\0';
	(void)close(reader);
}

static void test_log_writes_pid_level_and_text(void **state)
{
	char got[4096];
	char want[128];

	(void)state;
	(void)setenv("MOBULA_LOG_LEVEL", "info", 1);
	capture_begin();
	mobi_log(MOBI_LOG_INFO, "n is %d", 5);
	capture_end(got, sizeof(got));
	(void)snprintf(want, sizeof(want), "mobula[%ld] info: n is 5\n",
		       (long)getpid());
	assert_string_equal(got, want);
}

static void test_log_level_decides(void **state)
{
	static const char *const levels[] = { "error", "warn", "info",
					      "debug" };

	(void)state;
	for (int set = 0; set < 4; set++) {
		char got[4096];
		int lines = 0;

		(void)setenv("MOBULA_LOG_LEVEL", levels[set], 1);
		capture_begin();
		mobi_log(MOBI_LOG_ERROR, "a");
		mobi_log(MOBI_LOG_WARN, "b");
		mobi_log(MOBI_LOG_INFO, "c");
		mobi_log(MOBI_LOG_DEBUG, "d");
		capture_end(got, sizeof(got));
		for (const char *at = got; *at != '\0'; at++) {
			lines += *at == '\n';
		}
		assert_int_equal(lines, set + 1);
	}
}

static void test_log_default_is_warn(void **state)
{
	char got[4096];

	(void)state;
	(void)unsetenv("MOBULA_LOG_LEVEL");
	capture_begin();
	mobi_log(MOBI_LOG_INFO, "not seen");
	mobi_log(MOBI_LOG_WARN, "seen");
	capture_end(got, sizeof(got));
	assert_null(strstr(got, "not seen"));
	assert_non_null(strstr(got, "warn: seen\n"));
}

static void test_log_text_with_newlines_is_one_line(void **state)
{
	char got[4096];

	(void)state;
	(void)setenv("MOBULA_LOG_LEVEL", "info", 1);
	capture_begin();
	mobi_log(MOBI_LOG_INFO, "a\nmobula[1] error: forged\r\n");
	capture_end(got, sizeof(got));
	assert_ptr_equal(strchr(got, '\n'), got + strlen(got) - 1);
	assert_null(strchr(got, '\r'));
}

static void test_log_long_text_is_cut_and_ended(void **state)
{
	char text[3000];
	char got[4096];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)setenv("MOBULA_LOG_LEVEL", "info", 1);
	capture_begin();
	mobi_log(MOBI_LOG_INFO, "%s", text);
	capture_end(got, sizeof(got));
	assert_int_equal(strlen(got), 1023);
	assert_int_equal(got[1022], '\n');
	assert_int_equal(got[1021], 'x');
}

static void test_log_unknown_level_is_told_once(void **state)
{
	char got[4096];
	const char *first = NULL;

	(void)state;
	(void)setenv("MOBULA_LOG_LEVEL", "loud", 1);
	capture_begin();
	mobi_log(MOBI_LOG_INFO, "not seen");
	mobi_log(MOBI_LOG_WARN, "seen");
	capture_end(got, sizeof(got));
	first = strstr(got, "MOBULA_LOG_LEVEL is 'loud'");
	assert_non_null(first);
	assert_null(strstr(first + 1, "MOBULA_LOG_LEVEL"));
	assert_null(strstr(got, "not seen"));
	assert_non_null(strstr(got, "warn: seen\n"));
}

static void test_log_keeps_errno(void **state)
{
	int kept = 0;
	char got[4096];

	(void)state;
	(void)setenv("MOBULA_LOG_LEVEL", "info", 1);
	capture_begin();
	(void)close(STDERR_FILENO);
	errno = EXDEV;
	mobi_log(MOBI_LOG_INFO, "to a closed descriptor");
	kept = errno;
	capture_end(got, sizeof(got));
	assert_int_equal(kept, EXDEV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log_writes_pid_level_and_text),
		cmocka_unit_test(test_log_level_decides),
		cmocka_unit_test(test_log_default_is_warn),
		cmocka_unit_test(test_log_text_with_newlines_is_one_line),
		cmocka_unit_test(test_log_long_text_is_cut_and_ended),
		cmocka_unit_test(test_log_unknown_level_is_told_once),
		cmocka_unit_test(test_log_keeps_errno),
	};

	return cmocka_run_group_tests_name("core.log", tests, NULL, NULL);
}
