/* SPDX-License-Identifier: Apache-2.0 */
/* Running code in a child that may crash or never return. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "err.h"
#include "os_trial.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static int calls;

static int fine(void *arg)
{
	calls++;
	*(int *)arg = 7;
	return 0;
}

static int refuse(void *arg)
{
	return mobi_err(MOB_E_PLUGIN, "%s is not right", (const char *)arg);
}

static int die(void *arg)
{
	raise(*(int *)arg);
	return 0;
}

static int spin(void *arg)
{
	const volatile unsigned *go_on = arg;

	while (*go_on) {
	}
	return 0;
}

static int leave(void *arg)
{
	_Exit(*(int *)arg);
}

static void test_trial_that_returns_zero_changes_nothing_here(void **state)
{
	struct mobi_trial_end end;
	int value = 1;

	(void)state;
	assert_int_equal(mobi_trial(fine, &value, 5, 60000, &end), 0);
	assert_int_equal(end.rc, 0);
	assert_int_equal(end.sig, 0);
	assert_int_equal(value, 1);
	assert_int_equal(calls, 0);
}

static void test_trial_that_fails_hands_its_detail_over(void **state)
{
	struct mobi_trial_end end;
	char what[] = "this one";
	int rc = mobi_trial(refuse, what, 5, 60000, &end);

	(void)state;
	assert_int_equal(rc, MOB_E_PLUGIN);
	assert_string_equal(end.detail, "this one is not right");
	assert_string_equal(mob_err_detail(rc), "this one is not right");
}

static void test_trial_that_crashes_names_the_signal(void **state)
{
	static const int signals[] = { SIGSEGV, SIGABRT, SIGFPE, SIGTERM };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct mobi_trial_end end;
		int sig = signals[i];

		assert_int_equal(mobi_trial(die, &sig, 5, 60000, &end),
				 MOB_E_CRASHED);
		assert_int_equal(end.sig, sig);
		assert_non_null(strstr(end.detail, "it crashed with signal"));
	}
}

static void test_trial_that_spins_runs_out_of_processor_time(void **state)
{
	struct mobi_trial_end end;
	unsigned n = 1;

	(void)state;
	assert_int_equal(mobi_trial(spin, &n, 1, 600000, &end), MOB_E_TIMEOUT);
	assert_int_equal(end.sig, SIGXCPU);
}

static void test_trial_that_sleeps_runs_out_of_time(void **state)
{
	struct mobi_trial_end end;
	int sig = SIGSTOP;

	(void)state;
	assert_int_equal(mobi_trial(die, &sig, 5, 50, &end), MOB_E_TIMEOUT);
	assert_int_equal(end.sig, SIGKILL);
}

/* The first children hang, as if somebody had had a lock at the fork. */
static int hang_twice(void *arg)
{
	_Atomic int *tries = arg;

	if (++*tries <= 2) {
		for (;;) {
			(void)pause();
		}
	}
	return 0;
}

static void test_trial_that_hangs_at_its_birth_is_tried_again(void **state)
{
	void *at = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic int *tries = at;
	struct mobi_trial_end end;

	(void)state;
	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mobi_trial(hang_twice, at, 5, 4000, &end), 0);
	assert_int_equal(*tries, 3);
	*tries = -10;
	assert_int_equal(mobi_trial(hang_twice, at, 5, 400, &end),
			 MOB_E_TIMEOUT);
	assert_int_equal(*tries, -7);
	assert_int_equal(munmap(at, sizeof(int)), 0);
}

/* ---- the pipe on which it answers ---- */

static int close_all_and_hang(void *arg)
{
	(void)arg;
	for (int fd = 3; fd < 1024; fd++) {
		(void)close(fd);
	}
	for (;;) {
		(void)pause();
	}
	return 0;
}

static void test_trial_that_closes_all_and_hangs_runs_out_of_time(void **state)
{
	struct mobi_trial_end end;

	(void)state;
	(void)alarm(300); /* of this process */
	assert_int_equal(mobi_trial(close_all_and_hang, NULL, 5, 50, &end),
			 MOB_E_TIMEOUT);
	(void)alarm(0);
	assert_int_equal(end.sig, SIGKILL);
}

/* It has the pipe, too, and lives until this process lets it go. */
static int leave_a_child(void *arg)
{
	const int *go = arg;
	char byte;
	pid_t pid = fork();

	if (pid == 0) {
		(void)close(go[1]);
		(void)!read(go[0], &byte, 1);
		_Exit(0);
	}
	return pid > 0 ? 0 : MOB_E_SYS;
}

static void test_trial_that_leaves_a_child_has_returned(void **state)
{
	struct mobi_trial_end end;
	int go[2];

	(void)state;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(mobi_trial(leave_a_child, go, 5, 20000, &end), 0);
	(void)close(go[1]);
	(void)close(go[0]);
}

/* ---- signals of this process ---- */

enum { INTERRUPTIONS = 20 };
static int enough[2];
static volatile sig_atomic_t interruptions;

static void interrupt(int sig)
{
	(void)sig;
	interruptions = interruptions + 1;
	if (interruptions == INTERRUPTIONS) {
		(void)!write(enough[1], "x", 1);
	}
}

static int until_enough(void *arg)
{
	char byte;

	(void)arg;
	return read(enough[0], &byte, 1) == 1 ? 0 : MOB_E_SYS;
}

static void test_trial_goes_on_when_signals_come(void **state)
{
	const struct sigaction sa = { .sa_handler = interrupt };
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct mobi_trial_end end;
	int rc;

	(void)state;
	assert_int_equal(pipe(enough), 0);
	assert_int_equal(sigaction(SIGALRM, &sa, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	rc = mobi_trial(until_enough, NULL, 5, 60000, &end);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(rc, 0);
	assert_true(interruptions >= INTERRUPTIONS);
	(void)signal(SIGALRM, SIG_DFL);
	(void)close(enough[0]);
	(void)close(enough[1]);
}

static void test_trial_that_ends_its_process_did_not_pass(void **state)
{
	struct mobi_trial_end end;

	(void)state;
	for (int code = 0; code < 2; code++) {
		assert_int_equal(mobi_trial(leave, &code, 5, 60000, &end),
				 MOB_E_CRASHED);
		assert_string_equal(end.detail, "it ended its process");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_trial_that_returns_zero_changes_nothing_here),
		cmocka_unit_test(test_trial_that_fails_hands_its_detail_over),
		cmocka_unit_test(test_trial_that_crashes_names_the_signal),
		cmocka_unit_test(
			test_trial_that_spins_runs_out_of_processor_time),
		cmocka_unit_test(test_trial_that_sleeps_runs_out_of_time),
		cmocka_unit_test(
			test_trial_that_hangs_at_its_birth_is_tried_again),
		cmocka_unit_test(
			test_trial_that_closes_all_and_hangs_runs_out_of_time),
		cmocka_unit_test(test_trial_that_leaves_a_child_has_returned),
		cmocka_unit_test(test_trial_goes_on_when_signals_come),
		cmocka_unit_test(test_trial_that_ends_its_process_did_not_pass),
	};

	return cmocka_run_group_tests_name("core.os_trial", tests, NULL, NULL);
}
