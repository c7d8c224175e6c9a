/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers that do not come up, that leak, and whose tasks do to their process what
 * can be done to one: the others go on.
 */
#define _GNU_SOURCE
#include "live.h"

#include "node.h"
#include "os_run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static struct live_ledger ledger;

static void set(const char *name, const char *value)
{
	assert_int_equal(setenv(name, value, 1), 0);
}

/* ---- that do not come up ---- */

/* Runs in every process of a session. */
__attribute__((constructor)) static void fall_over(void)
{
	const char *how = getenv("TEST_WORKER_FALLS");
	const char *role = getenv("MOBULA_ROLE");

	if (!how || !role || strcmp(role, "worker") != 0) {
		return;
	}
	(void)!write(STDERR_FILENO, "first\nno licence\n", 17);
	if (!strcmp(how, "kill")) {
		(void)raise(SIGKILL);
	}
	_exit(7);
}

static void expect_no_start(const char *how, const char *cause)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;

	opts.workers = 2;
	opts.store_bytes = 64 << 20;
	set("TEST_WORKER_FALLS", how);
	assert_int_equal(mob_init(&opts), MOB_E_CRASHED);
	if (!strstr(mob_error(), cause) || !strstr(mob_error(), "no licence") ||
	    strstr(mob_error(), "first")) {
		fail_msg("%s", mob_error());
	}
	mob_error_clear();
	assert_int_equal(unsetenv("TEST_WORKER_FALLS"), 0);
}

static void test_workers_that_do_not_come_up_are_an_error(void **state)
{
	(void)state;
	expect_no_start("exit", "exit code 7");
	expect_no_start("kill", "signal 9");
	/* Nothing is left of it. */
	live_start(1);
	mob_shutdown();
}

/* ---- memory ---- */

/* Keeps so many bytes, and returns who it is. */
MOB_TASK(int64_t, w_keeps, uint64_t, bytes)
{
	static char *volatile kept; /* or it may be left out as never read */

	kept = malloc(bytes); /* not freed: that is what it is for */
	if (!kept) {
		return 0;
	}
	memset(kept, 1, bytes);
	return getpid();
}

/* Grows until it is killed. */
MOB_TASK(int64_t, w_grows, mob_str, path)
{
	int64_t sum = 0;

	(void)live_ledger_add(path, 0);
	for (;;) {
		sum += w_keeps(1 << 20);
		mobi_pause_ns(MOB_MS / 10);
	}
	return sum;
}

MOB_TASK(int64_t, w_pid, int64_t, i)
{
	(void)i;
	return getpid();
}

MOB_TASK(int64_t, w_reads_stdin, void)
{
	char c;

	return read(STDIN_FILENO, &c, 1);
}

/* Neither does it take what its driver is to read, nor is it stopped for that. */
static void test_workers_read_nothing_from_stdin(void **state)
{
	int saved = dup(STDIN_FILENO);
	int64_t got;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], "mine", 4), 4);
	assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
	live_start(1);
	assert_int_equal(mob_get(mob_submit(w_reads_stdin), &got), 0);
	assert_int_equal(got, 0);
	mob_shutdown();
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	(void)close(saved);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* Tells who it is, and ends with its process only. */
MOB_TASK(int64_t, w_waits, mob_str, path)
{
	live_ledger_max(path, 0, (uint64_t)getpid());
	for (;;) {
		(void)pause();
	}
	return 0;
}

/* How one ended is not told of the next in its place. */
static void test_workers_end_is_its_own(void **state)
{
	int64_t first;
	int64_t x;
	mob_ref ref;
	pid_t was;

	(void)state;
	live_start(1);
	live_ledger_open(&ledger, 1);
	assert_int_equal(
		mob_get(mob_submit_with(MOB_OPTS(.max_calls = 1), w_pid, 0),
			&first),
		0); /* leaves with exit code 0 */
	ref = mob_submit_with(MOB_OPTS(.retries = 0), w_waits, ledger.path);
	while (!ledger.at[0]) {
		mobi_pause_ns(MOB_MS);
	}
	assert_int_not_equal(ledger.at[0], first);
	/* Nobody sees this one. */
	was = live_daemon();
	assert_in_range(was, 2, INT32_MAX);
	assert_int_equal(kill(was, SIGSTOP), 0);
	assert_int_equal(kill((pid_t)ledger.at[0], SIGKILL), 0);
	assert_int_equal(kill(was, SIGKILL), 0);
	assert_int_equal(mob_get(ref, &x), MOB_E_CRASHED);
	if (!strstr(mob_error(), "a cause that nobody saw")) {
		fail_msg("%s", mob_error());
	}
	mob_error_clear();
	live_ledger_close(&ledger);
	mob_shutdown();
}

static void test_workers_that_leak_are_replaced(void **state)
{
	int64_t first;
	int64_t next;

	(void)state;
	set("MOBULA_WORKER_MEMORY", "64M");
	live_start(1);
	/* One that is within it stays. */
	assert_int_equal(mob_get(mob_submit(w_keeps, 1 << 20), &first), 0);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(mob_get(mob_submit(w_pid, 0), &next), 0);
		assert_int_equal(next, first);
	}
	assert_int_equal(mob_get(mob_submit(w_keeps, 100 << 20), &next), 0);
	assert_int_equal(next, first);
	while (next == first) {
		assert_int_equal(mob_get(mob_submit(w_pid, 0), &next), 0);
	}
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_WORKER_MEMORY"), 0);
}

static void test_semantics_16_memory_limit_is_told_apart(void **state)
{
	int64_t x;

	(void)state;
	set("MOBULA_WORKER_MEMORY_MAX", "96M");
	live_start(2);
	live_ledger_open(&ledger, 1);
	assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.retries = 1),
						 w_grows, ledger.path),
				 &x),
			 MOB_E_NOMEM);
	if (!strstr(mob_error(), "bytes of private memory") ||
	    !strstr(mob_error(), "attempt 2 of 2")) {
		fail_msg("%s", mob_error());
	}
	mob_error_clear();
	assert_int_equal(ledger.at[0], 2);
	assert_int_equal(mob_get(mob_submit(w_pid, 0), &x), 0);
	live_ledger_close(&ledger);
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_WORKER_MEMORY_MAX"), 0);
}

/* ---- limits of the system ---- */

MOB_TASK(int64_t, w_limit, int32_t, what)
{
	struct rlimit l = { 0, 0 };

	(void)getrlimit((__rlimit_resource_t)what, &l);
	return (int64_t)l.rlim_cur;
}

static void test_workers_have_their_limits(void **state)
{
	int64_t x;

	(void)state;
	set("MOBULA_WORKER_LIMITS", "core=0,nofile=800,fsize=1G");
	live_start(1);
	assert_int_equal(mob_get(mob_submit(w_limit, RLIMIT_NOFILE), &x), 0);
	assert_int_equal(x, 800);
	assert_int_equal(mob_get(mob_submit(w_limit, RLIMIT_CORE), &x), 0);
	assert_int_equal(x, 0);
	assert_int_equal(mob_get(mob_submit(w_limit, RLIMIT_FSIZE), &x), 0);
	assert_int_equal(x, 1 << 30);
	mob_shutdown();
	set("MOBULA_WORKER_LIMITS", "core=0,files=3");
	assert_int_equal(mob_init(NULL), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "'files' is none of as, core"));
	mob_error_clear();
	set("MOBULA_WORKER_LIMITS", "core=0,core=1");
	assert_int_equal(mob_init(NULL), MOB_E_INVAL);
	mob_error_clear();
	assert_int_equal(unsetenv("MOBULA_WORKER_LIMITS"), 0);
}

/* ---- what a task can do to its worker ---- */

enum fault {
	F_HEAP,
	F_CLOSE,
	F_EXIT,
	F_FORK,
	F_SIGNALS,
	F_LIMITS,
	F_DUP,
	FAULTS
};

static void scribble(void)
{
	unsigned char *at[64];

	for (size_t i = 0; i < 64; i++) {
		at[i] = malloc(48 + i);
	}
	for (size_t i = 0; i < 64; i++) {
		/* Over the heads of the blocks behind it. */
		volatile unsigned char *p = at[i];

		for (size_t k = 0; p && k < 200; k++) {
			p[k] = (unsigned char)(k * 7 + i);
		}
	}
	for (size_t i = 0; i < 64; i++) {
		free(at[i]);
	}
}

static void take_descriptors(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < 1024; fd++) {
		if (fd != null && fcntl(fd, F_GETFD) >= 0) {
			(void)dup2(null, fd);
		}
	}
}

static void set_limits(void)
{
	static const int what[] = { RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_NPROC,
				    RLIMIT_CORE, RLIMIT_MEMLOCK };
	struct rlimit none = { 0, 0 };

	for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++) {
		(void)setrlimit((__rlimit_resource_t)what[i], &none);
	}
}

MOB_TASK(int64_t, w_fault, int32_t, what)
{
	sigset_t all;

	switch (what) {
	case F_HEAP:
		scribble();
		break;
	case F_CLOSE:
		for (int fd = 0; fd < 4096; fd++) {
			(void)close(fd);
		}
		break;
	case F_EXIT:
		_exit(0);
	case F_FORK:
		return fork() < 0 ? -1 : 1;
	case F_SIGNALS:
		(void)sigfillset(&all);
		(void)sigprocmask(SIG_SETMASK, &all, NULL);
		break;
	case F_LIMITS:
		set_limits();
		break;
	default:
		take_descriptors();
		break;
	}
	return 1;
}

MOB_TASK(int64_t, w_square, int64_t, i)
{
	printf("%d\n", (int)i);
	return i * i;
}

/* All others go on, in whatever worker. */
static void expect_work(void)
{
	enum { N = 200 };
	mob_ref r[N];
	int64_t x[N];

	for (int64_t i = 0; i < N; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.retries = -1), w_square, i);
	}
	assert_int_equal(mob_get_all(r, N, x), 0);
	for (int64_t i = 0; i < N; i++) {
		assert_int_equal(x[i], i * i);
		mob_release(r[i]);
	}
}

static void test_workers_go_on_whatever_a_task_does_to_one(void **state)
{
	(void)state;
	set("MOBULA_OUTPUT", "log");
	for (int32_t f = 0; f < FAULTS; f++) {
		int was;

		live_start(2);
		for (int i = 0; i < 6; i++) {
			mob_ref r = mob_submit_with(MOB_OPTS(.retries = 0),
						    w_fault, f);
			int64_t x;
			int rc = mob_get(r, &x);

			mob_release(r);
			if (rc && rc != MOB_E_CRASHED) {
				fail_msg("fault %d: %s", f, mob_error());
			}
			mob_error_clear();
			expect_work();
		}
		/* And do without the daemon, and get another. */
		was = live_daemon();
		assert_in_range(was, 2, INT32_MAX);
		assert_int_equal(kill(was, SIGKILL), 0);
		expect_work();
		while (!live_daemon() || live_daemon() == was) {
			mobi_pause_ns(MOB_MS);
		}
		expect_work();
		assert_int_equal(live_audit(0), 0);
		mob_shutdown();
	}
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workers_that_do_not_come_up_are_an_error),
		cmocka_unit_test(test_workers_read_nothing_from_stdin),
		cmocka_unit_test(test_workers_end_is_its_own),
		cmocka_unit_test(test_workers_that_leak_are_replaced),
		cmocka_unit_test(test_semantics_16_memory_limit_is_told_apart),
		cmocka_unit_test(test_workers_have_their_limits),
		cmocka_unit_test(
			test_workers_go_on_whatever_a_task_does_to_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
