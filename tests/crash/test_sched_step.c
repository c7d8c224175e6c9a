/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kill after every write to the tables of the session and after every system
 * call of a worker (take, run, seal, notify, finish) and of a submitter (put,
 * put, submit, cancel, release, get, release), in a session that goes on: the result is
 * right, nobody hangs, the audit is clean. The instructions in between change
 * nothing that another process can see, so that this is as good as a kill after
 * every instruction.
 */
#define _GNU_SOURCE
#include "live.h"
#include "traced.h"

#include "os_clock.h"
#include "os_run.h"

#include <errno.h>
#include <inttypes.h>
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

MOB_TASK(int64_t, c_add, int64_t, a, int64_t, b)
{
	live_once();
	return a + b;
}

MOB_TASK(mob_i64s, c_row, int64_t, a, mob_ref, other)
{
	int64_t *v = mob_new_of(mob_i64s, 100);

	live_once();
	(void)other;
	for (int64_t i = 0; v && i < 100; i++) {
		v[i] = a + i;
	}
	return mob_i64s_of(v, 100);
}

/* More than runs of tasks in a complete test of a worker. */
#define WAY_MARKS 2000000

static bool is_reaped(void *arg)
{
	const uint64_t *reaps = arg;

	return mobi_load(&mobi_rt.store->hdr->reaps) > *reaps;
}

static uint64_t reaps_now(void)
{
	return mobi_load(&mobi_rt.store->hdr->reaps);
}

/* ---- the worker ---- */

struct way {
	mob_ref r[3];
	struct mob_scope scope;
};

/* Two tasks and one that waits for both, arguments inside and as objects. */
static void submit_way(struct way *w)
{
	mob_ref a = mob_put(INT64_C(40));

	w->r[0] = mob_submit(c_add, a, 2);
	w->r[1] = mob_submit(c_row, w->r[0], a);
	w->r[2] = mob_submit(c_add, w->r[0], a);
	assert_int_equal(mob_release(a), 0);
}

static void check_way(struct way *w)
{
	mob_i64s v;
	int64_t x;

	assert_int_equal(mob_get(w->r[2], &x), 0);
	assert_int_equal(x, 82);
	assert_int_equal(mob_get(w->r[1], &v), 0);
	assert_true(v.n == 100 && v.at[99] == 141);
	assert_int_equal(mob_get(w->r[0], &x), 0);
	assert_int_equal(x, 42);
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

/* Stops the worker, gives it work, kills it after n writes and system calls. How
 * many it took. */
static long worker_point(long n)
{
	uint64_t reaps = reaps_now();
	struct way w = { .scope = mob_scope_open() };
	struct traced t;
	int status;
	long took;
	int pid;

	/* Once before, so that what is done once a process is not stepped. */
	assert_true(live_await(has_worker, &pid));
	submit_way(&w);
	check_way(&w);
	mob_scope_close(&w.scope);
	w.scope = mob_scope_open();
	assert_true(live_await(no_tasks, NULL));
	if (ptrace(PTRACE_ATTACH, pid, NULL, NULL)) {
		print_message("no ptrace here: %s\n", strerror(errno));
		exit(77);
	}
	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	t = traced_from_here(pid);
	submit_way(&w);
	took = traced_follow(&t, n, no_tasks, NULL);
	if (took < 0) {
		fail_msg("the worker ended by itself after %ld steps",
			 -took - 1);
	}
	traced_kill(&t);
	assert_true(live_await(is_reaped, &reaps));
	check_way(&w);
	mob_scope_close(&w.scope);
	return took;
}

static void test_step_worker_killed_anywhere_loses_nothing(void **state)
{
	uint64_t marks;
	uint64_t twice;
	long all;
	long n;

	(void)state;
	assert_int_equal(setenv("MOBULA_SPIN", "0", 1), 0);
	live_start_with(1, "fifo");
	live_once_begin(WAY_MARKS);
	all = worker_point(LONG_MAX);
	for (n = 0; n < all; n++) {
		(void)worker_point(n);
		if (live_audit(0)) {
			fail_msg("after a kill at step %ld", n);
		}
	}
	marks = live_once_end(&twice);
	print_message("worker: killed after each of %ld steps, all right; "
		      "%" PRIu64 " runs, %" PRIu64 " of an attempt that had "
		      "run\n",
		      all, marks, twice);
	assert_true(marks > (uint64_t)all);
	assert_int_equal(twice, 0);
	mob_shutdown();
}

/* ---- the submitter ---- */

static int put_and_submit(void)
{
	int64_t x = 0;
	mob_ref a = mob_put(INT64_C(1));
	mob_ref b = mob_put("a string that is so long that it needs a block of "
			    "the arena, and not only the slot");
	mob_ref r = mob_submit(c_add, a, 5);
	mob_ref late = mob_submit(c_add, r, 5);
	int rc;

	/* Before it runs, while it runs or after that. */
	if (mob_task_cancel(late, 0) < 0) {
		return 4;
	}
	rc = mob_get(late, &x);
	if (rc == MOB_E_CANCELLED) {
		mob_error_clear();
	} else if (rc || x != 11) {
		return 5;
	}
	(void)mob_release(late);
	(void)mob_release(a);
	(void)mob_release(b);
	if (mob_get(r, &x) || x != 6) {
		return 3;
	}
	return mob_release(r);
}

static int child_submits(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	int rc;

	o.session = session;
	if (mob_init(&o) || put_and_submit()) {
		return 2;
	}
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL)) {
		return 77;
	}
	(void)raise(SIGSTOP);
	rc = put_and_submit();
	(void)raise(SIGSTOP);
	return rc;
}

static long submitter_point(const char *session, long n)
{
	uint64_t reaps = reaps_now();
	int pid = live_spawn("submit", session);
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

static void test_step_submitter_killed_anywhere_leaves_nothing(void **state)
{
	const struct live_session session = { .name = live_session_name(),
					      .workers = 1,
					      .policy = "fifo",
					      .store_bytes = 32 << 20 };
	long all;

	(void)state;
	live_begin(&session);
	all = submitter_point(session.name, LONG_MAX);
	for (long n = 0; n < all; n++) {
		(void)submitter_point(session.name, n);
		if (live_audit(0)) {
			fail_msg("after a kill at step %ld", n);
		}
	}
	print_message("submitter: killed after each of %ld steps, all right\n",
		      all);
	live_end(&session);
}

#define T(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_step_worker_killed_anywhere_loses_nothing),
		T(test_step_submitter_killed_anywhere_leaves_nothing),
	};

	if (argc > 2 && !strcmp(argv[1], "submit")) {
		return child_submits(argv[2]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
