/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kill after every write to the tables and after every system call of a worker that
 * yields a stream, of a worker whose task reads one, and of a driver that submits,
 * reads and lets go of one: each item is read once, nobody hangs, the audit is clean.
 */
#define _GNU_SOURCE
#include "live.h"
#include "traced.h"

#include "os_clock.h"
#include "os_run.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

/* In every process: the test may trace it, wherever it was started from. */
__attribute__((constructor)) static void allow_tracer(void)
{
	(void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}

/* A node is filled, and a second begun. */
#define VALUES 10
/* The second is so large that its node is full. */
#define OBJECTS 2
#define LARGE 10000
#define FAILS_AT 2

MOB_TASK_STREAM(int64_t, z_values, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		(void)mob_yield(i);
	}
}

MOB_TASK_STREAM(mob_i64s, z_objects, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		size_t each = i % 2 ? LARGE : 2;
		int64_t *to = mob_new_of(mob_i64s, each);

		if (!to) {
			return;
		}
		to[0] = to[each - 1] = i;
		(void)mob_yield(mob_i64s_of(to, each));
	}
}

MOB_TASK_STREAM(int64_t, z_fails, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		(void)mob_yield(i);
	}
	mob_fail(7, "at its end");
}

MOB_TASK(int64_t, z_sum, mob_ref, in)
{
	int64_t sum = 0;
	int64_t x;

	while (mob_next(in, &x) == 1) {
		sum += x;
	}
	return sum;
}

static bool is_reaped(void *arg)
{
	const uint64_t *reaps = arg;

	return mobi_load(&mobi_rt.store->hdr->reaps) > *reaps;
}

static uint64_t reaps_now(void)
{
	return mobi_load(&mobi_rt.store->hdr->reaps);
}

static bool no_tasks(void *arg)
{
	(void)arg;
	return live_tasks() == 0;
}

static bool has_worker(void *arg)
{
	int *pid = arg;

	*pid = live_worker(0);
	return *pid != 0 && live_workers() == 1;
}

/* What a worker does while it is stepped, and how what it made is checked. */
struct way {
	mob_ref (*submit)(void);
	void (*check)(mob_ref r);
};

static mob_ref submit_values(void)
{
	return mob_submit(z_values, VALUES);
}

static void check_values(mob_ref r)
{
	int64_t x;

	for (int64_t i = 0; i < VALUES; i++) {
		assert_int_equal(mob_next(r, &x), 1);
		assert_int_equal(x, i);
	}
	assert_int_equal(mob_next(r, &x), 0);
}

static mob_ref submit_objects(void)
{
	return mob_submit_with(MOB_OPTS(.stream_items = 100), z_objects,
			       OBJECTS);
}

static void check_objects(mob_ref r)
{
	mob_i64s v;

	for (int64_t i = 0; i < OBJECTS; i++) {
		assert_int_equal(mob_next(r, &v), 1);
		assert_int_equal(v.n, i % 2 ? LARGE : 2);
		assert_true(v.at[0] == i && v.at[v.n - 1] == i);
	}
	assert_int_equal(mob_next(r, &v), 0);
}

static mob_ref submit_failing(void)
{
	return mob_submit(z_fails, FAILS_AT);
}

static void check_failing(mob_ref r)
{
	int64_t x;

	for (int64_t i = 0; i < FAILS_AT; i++) {
		assert_int_equal(mob_next(r, &x), 1);
		assert_int_equal(x, i);
	}
	assert_int_equal(mob_next(r, &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), 7);
	mob_error_clear();
	assert_int_equal(mob_next(r, &x), 0);
}

/* It reads what is there already: only that is stepped. */
static mob_ref submit_reader(void)
{
	return mob_submit_with(MOB_OPTS(.cpus = 0), z_sum,
			       mob_submit(z_values, VALUES));
}

static void check_reader(mob_ref r)
{
	int64_t x;
	int rc = mob_get(r, &x);

	if (rc == MOB_E_LOST) {
		mob_error_clear(); /* it had read some */
	} else {
		assert_int_equal(rc, 0);
		assert_int_equal(x, VALUES * (VALUES - 1) / 2);
	}
}

/* Stops the worker, gives it work, kills it after n writes and system calls. How
 * many it took. */
static long worker_point(const struct way *w, long n)
{
	uint64_t reaps = reaps_now();
	struct mob_scope scope = mob_scope_open();
	struct traced t;
	mob_ref r;
	int status;
	long took;
	int pid;

	/* Once before, so that what is done once a process is not stepped. */
	assert_true(live_await(has_worker, &pid));
	w->check(w->submit());
	mob_scope_close(&scope);
	scope = mob_scope_open();
	assert_true(live_await(no_tasks, NULL));
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL)) {
		print_message("no ptrace here: %s\n", strerror(errno));
		exit(77);
	}
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	t = traced_from_here(pid);
	r = w->submit();
	took = traced_follow(&t, n, no_tasks, NULL);
	if (took < 0) {
		fail_msg("the worker ended by itself after %ld steps",
			 -took - 1);
	}
	traced_kill(&t);
	assert_true(live_await(is_reaped, &reaps));
	w->check(r);
	mob_scope_close(&scope);
	return took;
}

static void worker_way(const struct way *w, const char *what)
{
	long all;

	assert_int_equal(setenv("MOBULA_SPIN", "0", 1), 0);
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start_with(1, "fifo");
	all = worker_point(w, LONG_MAX);
	for (long n = 0; n < all; n++) {
		(void)worker_point(w, n);
		if (live_audit(0)) {
			fail_msg("%s: after a kill at step %ld", what, n);
		}
	}
	print_message("%s: killed after each of %ld steps, all right\n", what,
		      all);
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
}

static void test_step_who_yields_values_killed_anywhere(void **state)
{
	(void)state;
	worker_way(&(struct way){ submit_values, check_values }, "values");
}

static void test_step_who_yields_objects_killed_anywhere(void **state)
{
	(void)state;
	worker_way(&(struct way){ submit_objects, check_objects }, "objects");
}

static void test_step_who_yields_and_fails_killed_anywhere(void **state)
{
	(void)state;
	worker_way(&(struct way){ submit_failing, check_failing }, "failing");
}

static void test_step_who_reads_killed_anywhere(void **state)
{
	(void)state;
	worker_way(&(struct way){ submit_reader, check_reader }, "reader");
}

/* ---- a driver ---- */

static int submit_and_read(void)
{
	mob_ref a = mob_submit(z_values, VALUES);
	mob_ref b = mob_submit_with(MOB_OPTS(.stream_items = 2), z_objects,
				    OBJECTS);
	mob_i64s v;
	int64_t x;
	int rc = 0;

	for (int64_t i = 0; i < VALUES && !rc; i++) {
		rc = mob_next(a, &x) != 1 || x != i;
	}
	for (int64_t i = 0; i < OBJECTS - 1 && !rc; i++) {
		mob_ref item;

		rc = mob_next_ref(b, &item) != 1 || mob_get(item, &v) ||
		     v.at[0] != i || mob_release(item);
	}
	rc = rc || mob_next(a, &x);
	/* The rest is not read. */
	return rc || mob_release(a) || mob_release(b);
}

static int child_reads(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	int rc;

	o.session = session;
	if (mob_init(&o) || submit_and_read()) {
		return 2;
	}
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
		return 77;
	}
	(void)raise(SIGSTOP);
	rc = submit_and_read();
	(void)raise(SIGSTOP);
	return rc;
}

static long driver_point(const char *session, long n)
{
	uint64_t reaps = reaps_now();
	int pid = live_spawn("read", session);
	struct traced t;
	int status;
	long took;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("no ptrace here\n");
		exit(77);
	}
	assert_true(WIFSTOPPED(status));
	t = traced_from_here(pid);
	took = traced_follow(&t, n, NULL, NULL);
	assert_true(took >= 0);
	traced_kill(&t);
	assert_true(live_await(is_reaped, &reaps));
	return took;
}

static void test_step_driver_that_reads_killed_anywhere(void **state)
{
	const struct live_session session = { .name = live_session_name(),
					      .workers = 1,
					      .policy = "fifo",
					      .store_bytes = 32 << 20 };
	long all;

	(void)state;
	live_begin(&session);
	all = driver_point(session.name, LONG_MAX);
	for (long n = 0; n < all; n++) {
		(void)driver_point(session.name, n);
		if (live_audit(0)) {
			fail_msg("after a kill at step %ld", n);
		}
	}
	print_message("driver: killed after each of %ld steps, all right\n",
		      all);
	live_end(&session);
}

#define T(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_step_who_yields_values_killed_anywhere),
		T(test_step_who_yields_objects_killed_anywhere),
		T(test_step_who_yields_and_fails_killed_anywhere),
		T(test_step_who_reads_killed_anywhere),
		T(test_step_driver_that_reads_killed_anywhere),
	};

	if (argc > 2 && !strcmp(argv[1], "read")) {
		return child_reads(argv[2]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
