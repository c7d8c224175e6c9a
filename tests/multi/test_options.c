/* SPDX-License-Identifier: Apache-2.0 */
/* Options of a submit: retries after a worker died, CPUs, and bad values. */
#include "live.h"

#include "os_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Kills its worker the first n times that it runs, in a way. */
enum { BY_KILL, BY_TERM, BY_EXIT };
MOB_TASK(int64_t, o_dies, mob_str, ledger, uint64_t, i, uint64_t, n, int32_t,
	 how)
{
	uint64_t run = live_ledger_add(ledger, i);

	if (run < n) {
		if (how == BY_EXIT) {
			_exit(3);
		}
		(void)raise(how == BY_KILL ? SIGKILL : SIGTERM);
	}
	return (int64_t)run;
}

MOB_TASK(int64_t, o_add, int64_t, a, int64_t, b)
{
	return a + b;
}

/* Dies with results, spaces and tasks of its own in hand. */
MOB_TASK_N(o_dies_late, (mob_i32s, one, mob_refs, two), mob_str, ledger,
	   uint64_t, i, uint64_t, n)
{
	int32_t *v = mob_new_of(mob_i32s, 5000);
	mob_ref *r = mob_new(100 * sizeof(*r));
	int64_t x;

	for (int32_t k = 0; v && k < 5000; k++) {
		v[k] = k;
	}
	for (int64_t k = 0; r && k < 100; k++) {
		r[k] = mob_submit(o_add, k, 1);
	}
	mob_get(r[50], &x);
	if (live_ledger_add(ledger, i) < n) {
		(void)raise(SIGKILL);
	}
	*one = mob_i32s_of(v, 5000);
	*two = mob_refs_of(r, 100);
}

static struct live_ledger ledger;

static void expect_crash(mob_ref r, const char *cause, const char *attempts)
{
	int64_t x = 5;

	assert_int_equal(mob_get(r, &x), MOB_E_CRASHED);
	assert_int_equal(x, 0);
	assert_int_equal(mob_error_code(), MOB_E_CRASHED);
	if (!strstr(mob_error(), cause) || !strstr(mob_error(), attempts) ||
	    !strstr(mob_error(), "o_dies")) {
		fail_msg("'%s', '%s' or the task is not in: %s", cause,
			 attempts, mob_error());
	}
	mob_error_clear();
}

static void test_options_retries_are_counted(void **state)
{
	static const struct {
		int32_t retries;
		uint64_t deaths;
	} ends_well[] = { { 1, 1 }, { 3, 3 }, { -1, 6 } };
	uint64_t i = 0;
	mob_ref r;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, 32);
	r = mob_submit_with(MOB_OPTS(.retries = 0), o_dies, ledger.path, i, 1,
			    BY_KILL);
	expect_crash(r, "signal 9", "attempt 1 of 1");
	assert_int_equal(ledger.at[i++], 1);
	r = mob_submit_with(MOB_OPTS(.retries = 1), o_dies, ledger.path, i, 2,
			    BY_TERM);
	expect_crash(r, "signal 15", "attempt 2 of 2");
	assert_int_equal(ledger.at[i++], 2);
	/* The default. */
	r = mob_submit(o_dies, ledger.path, i, 4, BY_EXIT);
	expect_crash(r, "exit code 3", "attempt 4 of 4");
	assert_int_equal(ledger.at[i++], 4);
	for (size_t k = 0; k < 3; k++, i++) {
		r = mob_submit_with(MOB_OPTS(.retries = ends_well[k].retries),
				    o_dies, ledger.path, i, ends_well[k].deaths,
				    BY_KILL);
		assert_int_equal(mob_get(r, &x), 0);
		assert_int_equal(x, ends_well[k].deaths);
		assert_int_equal(ledger.at[i], ends_well[k].deaths + 1);
	}
	live_ledger_close(&ledger);
}

static void test_options_crash_goes_to_dependents(void **state)
{
	mob_ref r;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, 1);
	r = mob_submit_with(MOB_OPTS(.retries = 0), o_dies, ledger.path, 0, 1,
			    BY_KILL);
	r = mob_submit(o_add, 1, mob_submit(o_add, r, 1));
	assert_int_equal(mob_get(r, &x), MOB_E_CRASHED);
	assert_non_null(strstr(mob_error(), " <- o_add <- o_add"));
	mob_error_clear();
	live_ledger_close(&ledger);
}

/* The pids of two workers that live, into arg. */
static bool has_two(void *arg)
{
	int *pid = arg;

	for (uint32_t i = 0; i < 2; i++) {
		pid[i] = live_worker(i);
	}
	return pid[0] > 0 && pid[1] > 0 && pid[0] != pid[1];
}

/* Two, and neither of those in arg. */
static bool has_two_others(void *arg)
{
	const int *before = arg;

	for (uint32_t i = 0; i < 2; i++) {
		int pid = live_worker(i);

		if (pid <= 0 || pid == before[0] || pid == before[1]) {
			return false;
		}
	}
	return true;
}

static void test_options_dead_workers_are_replaced(void **state)
{
	int before[2];
	int64_t x;

	(void)state;
	/* Those that the tests before this one killed come back first. */
	assert_true(live_await(has_two, before));
	/* Both are known before one dies: a dead one is no longer counted. */
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(kill(before[i], SIGKILL), 0);
	}
	assert_int_equal(mob_get(mob_submit(o_add, 1, 2), &x), 0);
	assert_int_equal(x, 3);
	assert_true(live_await(has_two_others, before));
}

static void test_options_result_of_a_retry_is_right(void **state)
{
	(void)state;
	live_ledger_open(&ledger, 8);
	for (uint64_t i = 0; i < 8; i++) {
		MOB_SCOPE
		{
			mob_ref r[2];
			mob_i32s v;
			mob_refs in;
			int64_t x;

			assert_int_equal(mob_submit_n(r, 2, o_dies_late,
						      ledger.path, i, i % 3),
					 0);
			assert_int_equal(mob_get(r[0], &v), 0);
			assert_true(v.n == 5000 && v.at[4999] == 4999);
			assert_int_equal(mob_get(r[1], &in), 0);
			assert_int_equal(in.n, 100);
			assert_int_equal(mob_get(in.at[99], &x), 0);
			assert_int_equal(x, 100);
			assert_int_equal(ledger.at[i], i % 3 + 1);
		}
	}
	live_ledger_close(&ledger);
}

/* ---- CPUs ---- */

/* Counts who runs at once: word 0 now, word 1 at most. */
MOB_TASK(void, o_together, mob_str, path, uint64_t, units)
{
	uint64_t now = 0;

	for (uint64_t i = 0; i < units; i++) {
		now = live_ledger_add(path, 0) + 1;
	}
	live_ledger_max(path, 1, now);
	mobi_pause_ns(MOB_MS);
	live_ledger_sub(path, 0, units);
}

static void together(double cpus, uint64_t units, uint64_t at_most)
{
	mob_ref r[40];

	live_ledger_open(&ledger, 2);
	for (int i = 0; i < 40; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.cpus = cpus), o_together,
				       ledger.path, units);
	}
	for (int i = 0; i < 40; i++) {
		assert_int_equal(mob_join(r[i]), 0);
	}
	assert_true(ledger.at[1] <= at_most);
	live_ledger_close(&ledger);
}

static void test_options_cpus_bound_what_runs_at_once(void **state)
{
	(void)state;
	together(2, 4, 4);   /* one at a time */
	together(1.5, 3, 3); /* likewise */
	together(1, 2, 4);
	together(0.5, 1, 4);
}

static void test_options_mixed_cpus_all_run(void **state)
{
	static const double cpus[] = { 0, 0.0001, 0.3333, 1, 1.9999, 2 };
	mob_ref r[300];

	(void)state;
	for (int i = 0; i < 300; i++) {
		r[i] = mob_submit_with(
			MOB_OPTS(.cpus = cpus[i % 6], .priority = i % 7 - 3,
				 .deadline_ns = 1000, .soft_deadline = 1,
				 .policy_hint = 5),
			o_add, i, 1);
	}
	for (int i = 0; i < 300; i++) {
		int64_t x;

		assert_int_equal(mob_get(r[i], &x), 0);
		assert_int_equal(x, i + 1);
	}
}

MOB_TASK(int64_t, o_short, int64_t, x)
{
	mobi_pause_ns(MOB_MS);
	return x;
}

/* Small ones are always ready, and the four workers are never all between two of
 * them; the large one needs all. */
static void test_options_stream_of_small_ones_lets_a_large_one_in(void **state)
{
	struct mob_queue *q;
	mob_ref large;
	mob_ref r;
	int64_t x;
	uint64_t tag;
	int small = 0;

	(void)state;
	live_start(4);
	assert_int_equal(mob_queue_open(&q), 0);
	for (int i = 0; i < 24; i++) {
		mob_queue_add(q, mob_submit(o_short, 0), 0);
	}
	large = mob_submit_with(MOB_OPTS(.cpus = 4), o_short, 7);
	while (mob_get_timeout(large, 0, &x) == MOB_E_TIMEOUT && small < 8000) {
		assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &r, &tag), 1);
		assert_int_equal(mob_take(r, &x), 0);
		mob_queue_add(q, mob_submit(o_short, 0), 0);
		small++;
	}
	assert_true(small < 8000);
	assert_int_equal(mob_get(large, &x), 0);
	assert_int_equal(x, 7);
	while (mob_queue_pop(q, MOB_FOREVER, &r, &tag) == 1) {
		assert_int_equal(mob_take(r, &x), 0);
	}
	mob_queue_close(q);
	mob_shutdown();
}

/* ---- the order of policies ---- */

MOB_TASK(int64_t, o_turn, mob_str, path)
{
	return (int64_t)live_ledger_add(path, 0);
}

/* Keeps the worker until the ledger says so. */
MOB_TASK(void, o_gate, mob_str, path)
{
	(void)live_ledger_add(path, 1);
	while (live_ledger_add(path, 2) < UINT64_C(1) << 32) {
		mobi_pause_ns(MOB_MS / 4);
	}
}

enum { TURNS = 8 };

/* When each of the tasks had its turn that were queued while the only worker was
 * busy. */
static void turns_of(const char *policy, int64_t out_turn[TURNS])
{
	mob_ref r[TURNS];

	live_start_with(1, policy);
	live_ledger_open(&ledger, 3);
	MOB_SCOPE
	{
		mob_ref gate = mob_submit(o_gate, ledger.path);

		while (!ledger.at[1]) {
			mobi_pause_ns(MOB_MS / 4);
		}
		for (int i = 0; i < TURNS; i++) {
			r[i] = mob_submit(o_turn, ledger.path);
		}
		ledger.at[2] = UINT64_C(1) << 32;
		assert_int_equal(mob_join(gate), 0);
		for (int i = 0; i < TURNS; i++) {
			assert_int_equal(mob_get(r[i], &out_turn[i]), 0);
		}
	}
	live_ledger_close(&ledger);
	mob_shutdown();
}

static void test_options_policies_differ_in_their_order(void **state)
{
	int64_t fifo[TURNS];
	int64_t lifo[TURNS];
	int64_t ws[TURNS];

	(void)state;
	turns_of("fifo", fifo);
	turns_of("lifo", lifo);
	turns_of("ws", ws);
	for (int i = 0; i < TURNS; i++) {
		assert_int_equal(fifo[i], i);
		assert_int_equal(lifo[i], TURNS - 1 - i);
	}
	/* What the driver submits comes in its order. */
	assert_memory_equal(ws, fifo, sizeof(ws));
}

/* ---- names ---- */

MOB_TASK(void, o_fails, void)
{
	mob_fail(1, "as told");
}

static void test_options_name_is_told_in_errors(void **state)
{
	char name[20] = "the-first-of-many";
	mob_ref r = mob_submit_with(MOB_OPTS(.name = name), o_fails);

	(void)state;
	name[0] = 'x'; /* it was copied */
	assert_int_equal(mob_join(r), MOB_E_TASK);
	assert_non_null(strstr(mob_error(), "the-first-of-many"));
	mob_error_clear();
	live_ledger_open(&ledger, 1);
	r = mob_submit_with(MOB_OPTS(.name = "dies-as-o_dies", .retries = 0),
			    o_dies, ledger.path, 0, 1, BY_KILL);
	expect_crash(r, "dies-as-o_dies", "attempt 1 of 1");
	live_ledger_close(&ledger);
}

/* ---- bad values ---- */

static void refused(struct mob_task_opts o, int rc, const char *part)
{
	mob_ref r = mob_submit_with(o, o_add, 1, 2);
	int64_t x;

	assert_int_equal(mob_get(r, &x), rc);
	live_pends(rc, part);
}

static void test_options_out_of_range_are_refused(void **state)
{
	double none = 0;
	struct mob_task_opts old = MOB_TASK_OPTS_INIT;

	(void)state;
	refused(MOB_OPTS(.cpus = -0.5), MOB_E_INVAL, "cpus");
	refused(MOB_OPTS(.cpus = 1025), MOB_E_INVAL, "1024");
	refused(MOB_OPTS(.cpus = none / none), MOB_E_INVAL, "cpus");
	refused(MOB_OPTS(.cpus = 1 / none), MOB_E_INVAL, "cpus");
	refused(MOB_OPTS(.retries = -2), MOB_E_INVAL, "retries");
	refused(MOB_OPTS(.retries = 255), MOB_E_INVAL, "254");
	old.struct_size = 3;
	refused(old, MOB_E_VERSION, "options");
}

/* Last: a session never forgets a wish for CPUs. */
MOB_TASK(int64_t, o_pid, mob_str, path)
{
	(void)live_ledger_add(path, 0);
	return (int64_t)mobi_proc_self().pid;
}

/* It waits for others that run here, at the bound of workers. */
MOB_TASK(int64_t, o_pid_of_child, mob_str, path)
{
	int64_t x;

	mob_get(mob_submit_with(MOB_OPTS(.max_calls = 1), o_pid, path), &x);
	return (int64_t)mobi_proc_self().pid;
}

/* Until the driver has sealed it. */
MOB_TASK(int64_t, o_joins, mob_str, path, mob_ref, object)
{
	live_ledger_max(path, 1, (uint64_t)mobi_proc_self().pid);
	(void)mob_join(object);
	return 1;
}

static bool is_over(void *arg)
{
	return mob_wait(arg, 1, 1, 0, NULL) == 1;
}

static bool is_stopped(void *arg)
{
	return live_is_stopped(*(const int *)arg);
}

/* One comes in its place though the only other one is blocked and, as it is stopped,
 * cannot ask for it. */
static void test_options_worker_that_leaves_is_missed(void **state)
{
	const struct live_session session = {
		.workers = 1, .policy = "fifo", .ledger = &ledger, .words = 2
	};
	mob_ref object;
	mob_ref waits;
	mob_ref next;
	void *at;
	int64_t x;
	int pid;

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "1", 1), 0);
	live_begin(&session);
	assert_int_equal(mob_object_create(mobi_rt.store, 8, 0, &object, &at),
			 0);
	memset(at, 0, 8);
	waits = mob_submit(o_joins, ledger.path, object);
	/* By the second worker. */
	assert_int_equal(mob_get(mob_submit(o_pid, ledger.path), &x), 0);
	pid = (int)ledger.at[1];
	assert_true(pid > 0 && x != pid);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_true(live_await(is_stopped, &pid));
	assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.max_calls = 1),
						 o_pid, ledger.path),
				 &x),
			 0);
	next = mob_submit(o_pid, ledger.path);
	assert_true(live_await(is_over, &next));
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(mob_object_seal(mobi_rt.store, object), 0);
	assert_int_equal(mob_object_release(mobi_rt.store, object), 0);
	assert_int_equal(mob_get(waits, &x), 0);
	live_end(&session);
}

/* A worker goes after so many runs, and nothing is lost or run twice. */
static void test_options_worker_is_replaced_after_max_calls(void **state)
{
	enum { N = 30, CALLS = 3 };
	int64_t pid[N];
	mob_ref r[N];

	(void)state;
	live_ledger_open(&ledger, 1);
	for (int i = 0; i < N; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.max_calls = CALLS), o_pid,
				       ledger.path);
	}
	assert_int_equal(mob_get_all(r, N, pid), 0);
	assert_int_equal(ledger.at[0], N);
	for (int i = 0; i < N; i++) {
		int same = 0;

		for (int k = 0; k < N; k++) {
			same += pid[k] == pid[i];
		}
		assert_true(same <= CALLS);
	}
	/* Those that do not say so are not counted. */
	for (int i = 0; i < N; i++) {
		r[i] = mob_submit(o_pid, ledger.path);
	}
	assert_int_equal(mob_get_all(r, N, pid), 0);
	for (int i = 0, others = 0; i < N; i++) {
		others += pid[i] != pid[0] && pid[i] != pid[N - 1];
		assert_true(others < N - CALLS);
	}
	/* One that runs inside another's wait does not end that. */
	for (int i = 0; i < N; i++) {
		r[i] = mob_submit(o_pid_of_child, ledger.path);
	}
	assert_int_equal(mob_get_all(r, N, pid), 0);
	assert_int_equal(ledger.at[0], 3 * N);
	live_ledger_close(&ledger);
}

static void test_options_too_many_wishes_for_cpus_are_a_limit(void **state)
{
	int64_t x;
	int rc = 0;
	int n = 0;

	(void)state;
	for (; n < 100 && rc == 0; n++) {
		mob_ref r = mob_submit_with(MOB_OPTS(.cpus = 0.01 * (n + 3)),
					    o_add, n, 1);

		rc = mob_get(r, &x);
	}
	assert_int_equal(rc, MOB_E_LIMIT);
	assert_true(n > 40);
	mob_error_clear();
	assert_int_equal(mob_get(mob_submit(o_add, 1, 1), &x), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_options_retries_are_counted),
		T(test_options_crash_goes_to_dependents),
		T(test_options_dead_workers_are_replaced),
		T(test_options_result_of_a_retry_is_right),
		T(test_options_cpus_bound_what_runs_at_once),
		T(test_options_mixed_cpus_all_run),
		T(test_options_name_is_told_in_errors),
		T(test_options_out_of_range_are_refused),
		T(test_options_worker_is_replaced_after_max_calls),
		T(test_options_too_many_wishes_for_cpus_are_a_limit),
	};

	const struct CMUnitTest alone[] = {
		cmocka_unit_test(
			test_options_stream_of_small_ones_lets_a_large_one_in),
		cmocka_unit_test(test_options_policies_differ_in_their_order),
		cmocka_unit_test_teardown(
			test_options_worker_that_leaves_is_missed, live_leave),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	return failed + cmocka_run_group_tests(tests, live_start_two, NULL);
}
