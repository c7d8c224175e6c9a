/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timeouts and deadlines: of tasks that wait and that run, that heed and that do not,
 * with retries, children, and the daemon dying; and cancelling that escalates.
 */
#include "live.h"

#include "os_run.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>

/* Words of the ledger. */
enum { GATE, STARTED, RAN, SAW, TERMED, RC, WORDS = 16 };
static struct live_ledger ledger;

MOB_TASK(int64_t, t_add, mob_str, path, int64_t, a, int64_t, b)
{
	(void)live_ledger_add(path, RAN);
	return a + b;
}

/* Until the gate opens, whatever it is told. */
MOB_TASK(int64_t, t_stubborn, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!live_ledger_get(path, GATE)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return 7;
}

/* Until it is told. */
MOB_TASK(int64_t, t_heeds, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, SAW);
	return 8;
}

static volatile sig_atomic_t termed;

static void on_term(int sig)
{
	(void)sig;
	termed = 1;
}

/* Notes in which order it is told; leaves only if `leaves`. */
MOB_TASK(int64_t, t_traps, mob_str, path, uint64_t, leaves)
{
	bool told = false;
	bool noted = false;

	termed = 0;
	(void)signal(SIGTERM, on_term);
	(void)live_ledger_add(path, STARTED);
	for (;;) {
		if (!told && mob_task_cancelled()) {
			told = true;
			(void)live_ledger_add(path, SAW);
		}
		if (!noted && termed) {
			noted = true;
			(void)live_ledger_add(path, TERMED);
			if (leaves) {
				break;
			}
		}
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)signal(SIGTERM, SIG_DFL);
	return 9;
}

/* Hangs in its first `hangs` runs: until told, or until killed. */
MOB_TASK(int64_t, t_hangs_at_first, mob_str, path, uint64_t, hangs, uint64_t,
	 heeds)
{
	uint64_t run = live_ledger_add(path, STARTED);

	while (run < hangs && !(heeds && mob_task_cancelled())) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return (int64_t)run;
}

static void await_started(uint64_t n)
{
	assert_true(live_ledger_await(&ledger, STARTED, n));
}

static void fails(mob_ref r, int code, const char *part)
{
	int64_t x = 5;

	assert_int_equal(mob_get(r, &x), code);
	assert_int_equal(x, 0);
	live_pends(code, part);
}

static void gives(mob_ref r, int64_t value)
{
	int64_t x;

	if (mob_get(r, &x)) {
		fail_msg("%s", mob_error());
	}
	assert_int_equal(x, value);
}

/* ---- a task that runs ---- */

static void
test_semantics_19_late_task_is_told_then_termed_then_killed(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit_with(MOB_OPTS(.timeout_ns = 20 * MOB_MS,
				     .grace_ns = 20 * MOB_MS),
			    t_traps, ledger.path, 0);
	fails(r, MOB_E_TIMEOUT,
	      "task t_traps ran longer than its timeout of 20 ms, in attempt "
	      "1");
	assert_int_equal(ledger.at[SAW], 1);
	assert_int_equal(ledger.at[TERMED], 1);
	/* A timeout is not retried by default, as errors are not. */
	assert_int_equal(ledger.at[STARTED], 1);
	live_ledger_close(&ledger);
}

static bool has_workers(void *arg)
{
	(void)arg;
	return live_workers() == 2;
}

static void test_time_limits_who_leaves_in_time_keeps_its_worker(void **state)
{
	int pid[2];
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	assert_true(live_await(has_workers, NULL));
	pid[0] = live_worker(0);
	pid[1] = live_worker(1);
	r = mob_submit_with(MOB_OPTS(.timeout_ns = 20 * MOB_MS), t_heeds,
			    ledger.path);
	fails(r, MOB_E_TIMEOUT, "its timeout of 20 ms, in attempt 1");
	/* At SIGTERM. */
	r = mob_submit_with(MOB_OPTS(.timeout_ns = 20 * MOB_MS,
				     .grace_ns = 300 * MOB_MS),
			    t_traps, ledger.path, 1);
	fails(r, MOB_E_TIMEOUT, "task t_traps ran longer");
	assert_int_equal(ledger.at[TERMED], 1);
	/* Told only, whatever the time. */
	r = mob_submit_with(MOB_OPTS(.timeout_ns = MOB_MS,
				     .grace_ns = MOB_GRACE_NONE),
			    t_stubborn, ledger.path);
	await_started(3);
	fails(mob_submit_with(MOB_OPTS(.timeout_ns = 40 * MOB_MS), t_heeds,
			      ledger.path),
	      MOB_E_TIMEOUT, "of 40 ms");
	ledger.at[GATE] = 1;
	fails(r, MOB_E_TIMEOUT, "its timeout of 1 ms");
	assert_int_equal(live_worker(0), pid[0]);
	assert_int_equal(live_worker(1), pid[1]);
	live_ledger_close(&ledger);
}

MOB_TASK(int64_t, t_waits, mob_str, path, mob_refs, never)
{
	int64_t x;

	(void)live_ledger_add(path, STARTED);
	live_ledger_max(path, RC, (uint64_t)-mob_get(never.at[0], &x));
	mob_error_clear();
	return 1;
}

static void test_time_limits_waits_of_a_late_task_end(void **state)
{
	mob_ref gate;
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	gate = mob_submit(t_stubborn, ledger.path);
	await_started(1);
	r = mob_submit_with(MOB_OPTS(.timeout_ns = 20 * MOB_MS), t_waits,
			    ledger.path, mob_refs_of(&gate, 1));
	fails(r, MOB_E_TIMEOUT, "task t_waits ran longer");
	assert_int_equal(ledger.at[RC], -MOB_E_CANCELLED);
	ledger.at[GATE] = 1;
	gives(gate, 7);
	live_ledger_close(&ledger);
}

/* Waits in the queue are not counted. */
static void test_time_limits_timeout_counts_from_the_start(void **state)
{
	mob_ref gate[2];
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (int i = 0; i < 2; i++) {
		gate[i] = mob_submit(t_stubborn, ledger.path);
	}
	await_started(2);
	r = mob_submit_with(MOB_OPTS(.timeout_ns = 40 * MOB_MS), t_add,
			    ledger.path, 1, 2);
	/* A clock. */
	fails(mob_submit_with(MOB_OPTS(.deadline_ns = 50 * MOB_MS), t_add,
			      ledger.path, 1, 1),
	      MOB_E_TIMEOUT, "its deadline, 50 ms after its submit");
	ledger.at[GATE] = 1;
	gives(r, 3);
	for (int i = 0; i < 2; i++) {
		gives(gate[i], 7);
	}
	assert_int_equal(ledger.at[RAN], 1);
	live_ledger_close(&ledger);
}

/* What is left of some time is a new timeout for each task. */
static void test_time_limits_thousands_of_timeouts(void **state)
{
	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (uint64_t i = 0; i < 3000; i++) {
		MOB_SCOPE
		{
			gives(mob_submit_with(
				      MOB_OPTS(.timeout_ns = 9 * MOB_SEC -
							     i * 1234567),
				      t_add, ledger.path, 1, 2),
			      3);
		}
	}
	live_ledger_close(&ledger);
}

/* ---- deadlines ---- */

static void test_semantics_19_deadline_passes_before_it_runs(void **state)
{
	struct mob_task_opts o = MOB_OPTS(.deadline_ns = 10 * MOB_MS);
	mob_ref gate[2];
	mob_ref ready;
	mob_ref waits;
	mob_ref after;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (int i = 0; i < 2; i++) {
		gate[i] = mob_submit(t_stubborn, ledger.path);
	}
	await_started(2);
	ready = mob_submit_with(o, t_add, ledger.path, 1, 2);
	waits = mob_submit_with(o, t_add, ledger.path, gate[0], 2);
	after = mob_submit(t_add, ledger.path, ready, 2);
	/* Both workers are busy yet. */
	fails(ready, MOB_E_TIMEOUT, "passed before attempt 1");
	fails(waits, MOB_E_TIMEOUT, "passed before attempt 1");
	ledger.at[GATE] = 1;
	fails(after, MOB_E_TIMEOUT,
	      "task t_add: its deadline, 10 ms after its submit, passed "
	      "before attempt 1 <- t_add");
	for (int i = 0; i < 2; i++) {
		gives(gate[i], 7);
	}
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[RAN], 0);
	live_ledger_close(&ledger);
}

static void test_semantics_19_deadline_passes_while_it_runs(void **state)
{
	(void)state;
	live_ledger_open(&ledger, WORDS);
	fails(mob_submit_with(MOB_OPTS(.deadline_ns = 30 * MOB_MS), t_heeds,
			      ledger.path),
	      MOB_E_TIMEOUT, "30 ms after its submit, passed in attempt 1");
	/* Whatever comes first. */
	fails(mob_submit_with(MOB_OPTS(.deadline_ns = 60 * MOB_SEC,
				       .timeout_ns = 10 * MOB_MS),
			      t_heeds, ledger.path),
	      MOB_E_TIMEOUT, "its timeout of 10 ms");
	/* In time. */
	gives(mob_submit_with(MOB_OPTS(.deadline_ns = 60 * MOB_SEC,
				       .timeout_ns = 60 * MOB_SEC),
			      t_add, ledger.path, 2, 3),
	      5);
	/* Only a wish. */
	gives(mob_submit_with(MOB_OPTS(.deadline_ns = 1, .soft_deadline = 1),
			      t_add, ledger.path, 2, 4),
	      6);
	live_ledger_close(&ledger);
}

/* Thousands, in no order; some are cancelled or gone before. */
static void test_time_limits_many_deadlines(void **state)
{
	enum { N = 3000 };
	static mob_ref r[N];
	uint64_t seed = live_seed("many deadlines");
	mob_ref gate;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	gate = mob_submit(t_stubborn, ledger.path);
	for (int i = 0; i < N; i++) {
		r[i] = mob_submit_with(
			MOB_OPTS(.deadline_ns = 1 + live_random(&seed) %
							    (60 * MOB_MS)),
			t_add, ledger.path, gate, i);
		if (i % 7 == 0) {
			(void)mob_task_cancel(r[i], 0);
		}
	}
	for (int i = 0; i < N; i++) {
		int64_t x;
		int rc = mob_get(r[i], &x);

		if (rc != MOB_E_TIMEOUT &&
		    !(rc == MOB_E_CANCELLED && i % 7 == 0)) {
			fail_msg("task %d: %d %s", i, rc, mob_error());
		}
		mob_error_clear();
	}
	ledger.at[GATE] = 1;
	gives(gate, 7);
	assert_int_equal(ledger.at[RAN], 0);
	live_ledger_close(&ledger);
}

/* ---- retries ---- */

static void test_semantics_16_timeouts_are_retried_if_asked_for(void **state)
{
	static const int codes[] = { 5, MOB_E_TIMEOUT };
	struct mob_task_opts o = MOB_OPTS(.timeout_ns = 20 * MOB_MS,
					  .grace_ns = 0, .retry_codes = codes,
					  .n_retry_codes = 2);

	(void)state;
	for (uint64_t heeds = 0; heeds < 2; heeds++) {
		live_ledger_open(&ledger, WORDS);
		/* One that heeds is told only. */
		o.grace_ns = heeds ? MOB_GRACE_NONE : 0;
		gives(mob_submit_with(o, t_hangs_at_first, ledger.path, 2,
				      heeds),
		      2);
		assert_int_equal(ledger.at[STARTED], 3);
		o.retries = 1;
		fails(mob_submit_with(o, t_hangs_at_first, ledger.path, 99,
				      heeds),
		      MOB_E_TIMEOUT, "its timeout of 20 ms, in attempt 2");
		assert_int_equal(ledger.at[STARTED], 5);
		/* Not after the deadline. */
		o.retries = -1;
		o.deadline_ns = 60 * MOB_MS;
		fails(mob_submit_with(o, t_hangs_at_first, ledger.path, 99999,
				      heeds),
		      MOB_E_TIMEOUT, "its deadline, 60 ms after its submit");
		o.deadline_ns = 0;
		o.retries = 3;
		live_ledger_close(&ledger);
	}
}

/* A retry that waits beyond the deadline never comes. */
static void test_time_limits_deadline_ends_a_retry_that_waits(void **state)
{
	(void)state;
	live_ledger_open(&ledger, WORDS);
	fails(mob_submit_with(MOB_OPTS(.timeout_ns = 5 * MOB_MS,
				       .deadline_ns = 100 * MOB_MS,
				       .retry_errors = 1,
				       .backoff_ns = 3600 * MOB_SEC,
				       .backoff_max_ns = 3600 * MOB_SEC),
			      t_hangs_at_first, ledger.path, 1, 1),
	      MOB_E_TIMEOUT, "passed before attempt 2");
	assert_int_equal(ledger.at[STARTED], 1);
	live_ledger_close(&ledger);
}

/* A retry of a late attempt is put back, and waits behind others. */
static void test_time_limits_deadline_of_a_retry_in_the_queue(void **state)
{
	static const uint64_t grace[] = { MOB_GRACE_NONE, 60 * MOB_SEC };
	struct mob_task_opts o = MOB_OPTS(.timeout_ns = 20 * MOB_MS,
					  .deadline_ns = 150 * MOB_MS,
					  .retry_errors = 1, .retries = -1);

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start_with(1, "fifo");
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
	for (size_t i = 0; i < 2; i++) {
		mob_ref late;
		mob_ref gate;

		live_ledger_open(&ledger, WORDS);
		o.grace_ns = grace[i];
		late = mob_submit_with(o, t_hangs_at_first, ledger.path, 99999,
				       1);
		/* Before its second attempt, and until the gate opens. */
		gate = mob_submit(t_stubborn, ledger.path);
		fails(late, MOB_E_TIMEOUT, "its deadline, 150 ms");
		ledger.at[GATE] = 1;
		gives(gate, 7);
		live_ledger_close(&ledger);
	}
	mob_shutdown();
}

/* ---- children ---- */

MOB_TASK(int64_t, t_parent, mob_str, path)
{
	int64_t x;

	mob_get(mob_submit(t_heeds, path), &x);
	mob_error_clear();
	return 1;
}

static bool child_saw(void *arg)
{
	(void)arg;
	return ledger.at[SAW] == 1;
}

static void test_time_limits_children_of_a_late_task_are_cancelled(void **state)
{
	(void)state;
	live_ledger_open(&ledger, WORDS);
	fails(mob_submit_with(MOB_OPTS(.timeout_ns = 50 * MOB_MS), t_parent,
			      ledger.path),
	      MOB_E_TIMEOUT, "task t_parent ran longer");
	if (ledger.at[STARTED]) {
		assert_true(live_await(child_saw, NULL));
	}
	assert_true(live_await_tasks(0));
	live_ledger_close(&ledger);
}

/* ---- cancelling that escalates ---- */

static void test_semantics_19_cancel_escalates(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit_with(MOB_OPTS(.grace_ns = 20 * MOB_MS), t_traps,
			    ledger.path, 0);
	await_started(1);
	assert_int_equal(mob_task_cancel(r, MOB_CANCEL_ESCALATE), 1);
	fails(r, MOB_E_CANCELLED, "task t_traps was cancelled in attempt 1");
	assert_int_equal(ledger.at[SAW], 1);
	assert_int_equal(ledger.at[TERMED], 1);
	assert_int_equal(ledger.at[STARTED], 1);
	/* One that was only told before. */
	r = mob_submit_with(MOB_OPTS(.grace_ns = 5 * MOB_MS), t_stubborn,
			    ledger.path);
	await_started(2);
	assert_int_equal(mob_task_cancel(r, 0), 1);
	assert_int_equal(mob_task_cancel(r, MOB_CANCEL_ESCALATE), 1);
	fails(r, MOB_E_CANCELLED, "task t_stubborn was cancelled");
	live_ledger_close(&ledger);
}

MOB_TASK(int64_t, t_stubborn_parent, mob_str, path)
{
	int64_t x;

	mob_get(mob_submit_with(MOB_OPTS(.grace_ns = 5 * MOB_MS), t_stubborn,
				path),
		&x);
	mob_error_clear();
	return 1;
}

static void test_semantics_19_cancel_escalates_to_children(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(t_stubborn_parent, ledger.path);
	await_started(1);
	assert_int_equal(mob_task_cancel(r, MOB_CANCEL_ESCALATE), 1);
	fails(r, MOB_E_CANCELLED, "task t_stubborn_parent was cancelled");
	assert_true(live_await_tasks(0)); /* the gate is shut */
	live_ledger_close(&ledger);
}

/* ---- deaths ---- */

static bool has_daemon(void *arg)
{
	*(int *)arg = live_daemon();
	return *(int *)arg > 0;
}

static void test_time_limits_survive_the_daemon(void **state)
{
	struct mob_task_opts o = MOB_OPTS(.timeout_ns = 150 * MOB_MS,
					  .grace_ns = 10 * MOB_MS);
	mob_ref runs;
	mob_ref waits;
	int pid;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	runs = mob_submit_with(o, t_stubborn, ledger.path);
	await_started(1);
	waits = mob_submit_with(MOB_OPTS(.deadline_ns = 150 * MOB_MS), t_add,
				ledger.path, runs, 1);
	for (int i = 0; i < 2; i++) {
		assert_true(live_await(has_daemon, &pid));
		assert_int_equal(kill(pid, SIGKILL), 0);
	}
	fails(waits, MOB_E_TIMEOUT, "t_add");
	fails(runs, MOB_E_TIMEOUT, "its timeout of 150 ms");
	live_ledger_close(&ledger);
}

static void both_are_late(size_t i)
{
	mob_ref runs = mob_submit_with(MOB_OPTS(.timeout_ns = 10 * MOB_MS,
						.grace_ns = 5 * MOB_MS,
						.retries = -1),
				       t_stubborn, ledger.path);
	mob_ref waits = mob_submit_with(MOB_OPTS(.deadline_ns = 20 * MOB_MS),
					t_add, ledger.path, runs, 1);

	(void)i;
	fails(waits, MOB_E_TIMEOUT, "t_");
	fails(runs, MOB_E_TIMEOUT, "its timeout of 10 ms");
}

/* Every daemon dies at its first pass of a point. */
static void test_time_limits_survive_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = { "task.late.flagged=kill", "task."
									"cancel"
									".taken"
									"=kil"
									"l" };
	const struct live_session session = { .workers = 2,
					      .ledger = &ledger,
					      .words = WORDS };

	(void)state;
	live_each_fault(&session, faults, 2, both_are_late);
}

/* ---- bad input ---- */

static void test_time_limits_bad_options_are_refused(void **state)
{
	const struct {
		struct mob_task_opts o;
		const char *part;
	} bad[] = {
		{ MOB_OPTS(.timeout_ns = UINT64_MAX), "timeout_ns is" },
		{ MOB_OPTS(.deadline_ns = UINT64_MAX), "at most 365 days" },
		{ MOB_OPTS(.grace_ns = 2 * 86400 * MOB_SEC), "MOB_GRACE_NONE" },
		{ MOB_OPTS(.soft_deadline = 1), "no deadline_ns" },
		{ MOB_OPTS(.cpus = 0.00001), "cpus is 1e-05; 0, or at least" },
		{ MOB_OPTS(.cpus = -1), "cpus is -1" },
		{ MOB_OPTS(.cpus = NAN), "cpus is" },
	};

	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fails(mob_submit_with(bad[i].o, t_add, ledger.path, 1, 1),
		      MOB_E_INVAL, bad[i].part);
	}
	assert_int_equal(ledger.at[RAN], 0);
	live_ledger_close(&ledger);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_19_late_task_is_told_then_termed_then_killed),
		T(test_time_limits_who_leaves_in_time_keeps_its_worker),
		T(test_time_limits_waits_of_a_late_task_end),
		T(test_time_limits_timeout_counts_from_the_start),
		T(test_time_limits_thousands_of_timeouts),
		T(test_semantics_19_deadline_passes_before_it_runs),
		T(test_semantics_19_deadline_passes_while_it_runs),
		T(test_time_limits_many_deadlines),
		T(test_semantics_16_timeouts_are_retried_if_asked_for),
		T(test_time_limits_deadline_ends_a_retry_that_waits),
		T(test_time_limits_children_of_a_late_task_are_cancelled),
		T(test_semantics_19_cancel_escalates),
		T(test_semantics_19_cancel_escalates_to_children),
		T(test_time_limits_survive_the_daemon),
		T(test_time_limits_bad_options_are_refused),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(test_time_limits_survive_a_kill_at_each_step),
		cmocka_unit_test(
			test_time_limits_deadline_of_a_retry_in_the_queue),
	};
	int failed = cmocka_run_group_tests(tests, live_start_two, live_leave);

	return failed + cmocka_run_group_tests(alone, NULL, NULL);
}
