/* SPDX-License-Identifier: Apache-2.0 */
/* Failpoints: what a spec does, and that a wrong one is not passed over. */
#define _GNU_SOURCE

#include "fault.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#ifdef MOB_FAILPOINTS

/* As the value of argv[1]: what this program does when started by itself. */
#define READ_ENVIRONMENT "read-environment"

static int reap(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_hit_unknown_name_does_nothing(void **state)
{
	(void)state;
	mobi_fault_arm("");
	assert_false(MOBI_FAULT_ERR("a"));
	mobi_fault_arm("a.b=error");
	assert_false(MOBI_FAULT_ERR("a"));
	assert_false(MOBI_FAULT_ERR("a.bc"));
	assert_true(MOBI_FAULT_ERR("a.b"));
}

static void test_hit_error_comes_when_asked_for(void **state)
{
	static const struct {
		const char *spec;
		const char *hits; /* of six */
	} rows[] = {
		{ "a=error", "100000" },
		{ "a=error@1", "100000" },
		{ "a=error@3", "001000" },
		{ "a=error@3+", "001111" },
		{ "a=error@1+", "111111" },
		{ "b=error,a=error@2", "010000" },
		{ "a=error@2,a=error@5", "010010" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char got[7] = "";

		mobi_fault_arm(rows[i].spec);
		for (int hit = 0; hit < 6; hit++) {
			got[hit] = MOBI_FAULT_ERR("a") ? '1' : '0';
		}
		assert_string_equal(got, rows[i].hits);
	}
}

static void test_hit_kill_ends_the_process_there(void **state)
{
	char steps[8];
	int status = 0;
	int fds[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		mobi_fault_arm("step=kill@3");
		for (int i = 0; i < 5; i++) {
			MOBI_FAULT("step");
			if (write(fds[1], "x", 1) != 1) {
				_exit(1);
			}
		}
		_exit(0);
	}
	(void)close(fds[1]);
	status = reap(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGKILL);
	assert_int_equal(read(fds[0], steps, sizeof(steps)), 2);
	(void)close(fds[0]);
}

static void test_hit_stop_stops_until_continued(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		mobi_fault_arm("step=stop");
		_exit(MOBI_FAULT_ERR("step") ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(WSTOPSIG(status), SIGSTOP);
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(reap(pid), 0);
}

struct counter {
	pthread_t thread;
	int errors;
};

static void *hit_in_thread(void *arg)
{
	struct counter *c = arg;

	for (int i = 0; i < 1000; i++) {
		c->errors += MOBI_FAULT_ERR("a");
	}
	return NULL;
}

static void test_hit_of_many_threads_counts_each_once(void **state)
{
	struct counter c[4];
	int errors = 0;

	(void)state;
	mobi_fault_arm("a=error@2000,a=error@3501+");
	for (int i = 0; i < 4; i++) {
		c[i].errors = 0;
		assert_int_equal(pthread_create(&c[i].thread, NULL,
						hit_in_thread, &c[i]),
				 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(c[i].thread, NULL), 0);
		errors += c[i].errors;
	}
	assert_int_equal(errors, 1 + 500);
}

static void test_wrong_spec_aborts(void **state)
{
	static const char *const wrong[] = {
		"a",
		"a=",
		"=kill",
		"a=die",
		"a=kill@",
		"a=kill@0",
		"a=kill@x",
		"a=kill@-1",
		"a=kill@1-",
		"a=kill,",
		",",
		"a=kill,,b=kill",
		"a=kill b=kill",
		"a,b=kill",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		pid_t pid = fork();
		int status = 0;

		if (pid == 0) {
			(void)signal(SIGABRT, SIG_DFL);
			(void)close(STDERR_FILENO);
			mobi_fault_arm(wrong[i]);
			_exit(0);
		}
		status = reap(pid);
		if (!WIFSIGNALED(status)) {
			fail_msg("'%s' was taken", wrong[i]);
		}
		assert_int_equal(WTERMSIG(status), SIGABRT);
	}
}

static void test_too_many_points_abort(void **state)
{
	char spec[17 * 8 + 1] = "";
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)close(STDERR_FILENO);
		for (int i = 0; i < 16; i++) {
			strcat(spec, i > 0 ? ",a=error" : "a=error");
		}
		mobi_fault_arm(spec);
		strcat(spec, ",a=error");
		/* Sixteen were taken; this must not come back. */
		mobi_fault_arm(spec);
		_exit(0);
	}
	status = reap(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

/* Several threads meet their first failpoint at once. */
static int read_environment(void)
{
	struct counter c[4];
	int errors = 0;

	for (int i = 0; i < 4; i++) {
		c[i].errors = 0;
		if (pthread_create(&c[i].thread, NULL, hit_in_thread, &c[i]) !=
		    0) {
			return 100;
		}
	}
	for (int i = 0; i < 4; i++) {
		(void)pthread_join(c[i].thread, NULL);
		errors += c[i].errors;
	}
	return errors;
}

static void test_environment_is_read_at_the_first_hit(void **state)
{
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)setenv("MOBULA_FAULT", "a=error@7,a=error@9,b=kill", 1);
		(void)execl("/proc/self/exe", "test_fault", READ_ENVIRONMENT,
			    (char *)NULL);
		_exit(101);
	}
	assert_int_equal(WEXITSTATUS(reap(pid)), 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hit_unknown_name_does_nothing),
		cmocka_unit_test(test_hit_error_comes_when_asked_for),
		cmocka_unit_test(test_hit_kill_ends_the_process_there),
		cmocka_unit_test(test_hit_stop_stops_until_continued),
		cmocka_unit_test(test_hit_of_many_threads_counts_each_once),
		cmocka_unit_test(test_wrong_spec_aborts),
		cmocka_unit_test(test_too_many_points_abort),
		cmocka_unit_test(test_environment_is_read_at_the_first_hit),
	};

	if (argc == 2 && strcmp(argv[1], READ_ENVIRONMENT) == 0) {
		return read_environment();
	}
	return cmocka_run_group_tests_name("core.fault", tests, NULL, NULL);
}

#else

/* Compiled out, a failpoint is nothing, whatever the environment says. */
static void test_hit_without_failpoints_is_nothing(void **state)
{
	(void)state;
	(void)setenv("MOBULA_FAULT", "a=kill", 1);
	MOBI_FAULT("a");
	assert_false(MOBI_FAULT_ERR("a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hit_without_failpoints_is_nothing),
	};

	return cmocka_run_group_tests_name("core.fault", tests, NULL, NULL);
}

#endif /* MOB_FAILPOINTS */
