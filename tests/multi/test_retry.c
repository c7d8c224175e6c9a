/* SPDX-License-Identifier: Apache-2.0 */
/* Retries of errors, at once and after a while, with every process dying. */
#include "live.h"

#include "os_run.h"

#include <signal.h>
#include <string.h>

enum { N_RUNS = 0, WORDS = 16 };
static struct live_ledger ledger;

/* Reports an error the first `fails` times, of which the first `deaths` kill the
 * worker instead. */
MOB_TASK(int64_t, y_fails, mob_str, path, uint64_t, fails, int32_t, code,
	 uint64_t, deaths)
{
	uint64_t run = live_ledger_add(path, N_RUNS);

	if (run < deaths) {
		(void)raise(SIGKILL);
	}
	if (run < fails) {
		mob_fail(code, "failed in run %d", (int)run);
	}
	return (int64_t)run;
}

MOB_TASK(int64_t, y_add, int64_t, a, int64_t, b)
{
	return a + b;
}

static mob_ref submit(struct mob_task_opts o, uint64_t fails, int32_t code)
{
	ledger.at[N_RUNS] = 0;
	return mob_submit_with(o, y_fails, ledger.path, fails, code, 0);
}

static void ends_well(mob_ref r, int64_t runs)
{
	int64_t x;

	if (mob_get(r, &x)) {
		fail_msg("%s", mob_error());
	}
	assert_int_equal(x, runs - 1);
	assert_int_equal(ledger.at[N_RUNS], runs);
}

static void ends_badly(mob_ref r, int code, uint64_t runs)
{
	int64_t x;

	assert_int_equal(mob_get(r, &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), code);
	mob_error_clear();
	assert_int_equal(ledger.at[N_RUNS], runs);
}

static void test_semantics_16_errors_are_retried_if_asked_for(void **state)
{
	static const int codes[] = { 5, -77, 9 };

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* Not by default. */
	ends_badly(submit(MOB_OPTS(.retries = 3), 1, 5), 5, 1);
	ends_well(submit(MOB_OPTS(.retry_errors = 1), 3, 5), 4);
	ends_badly(submit(MOB_OPTS(.retry_errors = 1), 9, 5), 5, 4);
	ends_badly(submit(MOB_OPTS(.retry_errors = 1, .retries = 1), 9, 5), 5,
		   2);
	ends_well(submit(MOB_OPTS(.retry_errors = 1, .retries = -1), 300, 5),
		  301);
	/* Those that are listed. */
	ends_well(submit(MOB_OPTS(.retry_codes = codes, .n_retry_codes = 3), 2,
			 -77),
		  3);
	ends_badly(submit(MOB_OPTS(.retry_codes = codes, .n_retry_codes = 3), 2,
			  6),
		   6, 1);
	live_ledger_close(&ledger);
}

static void test_semantics_16_errors_of_arguments_are_not_retried(void **state)
{
	mob_ref bad;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	bad = submit(MOB_OPTS(.retries = 0), 1, 5);
	bad = mob_submit_with(MOB_OPTS(.retry_errors = 1, .retries = -1), y_add,
			      bad, 1);
	assert_int_equal(mob_get(bad, &x), MOB_E_TASK);
	assert_non_null(strstr(mob_error(), "<- y_add"));
	mob_error_clear();
	live_ledger_close(&ledger);
}

static void test_semantics_16_crashes_and_errors_share_the_retries(void **state)
{
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* Two deaths and an error are three retries. */
	assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.retry_errors = 1),
						 y_fails, ledger.path, 3, 5, 2),
				 &x),
			 0);
	assert_int_equal(x, 3);
	ledger.at[N_RUNS] = 0;
	assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.retry_errors = 1),
						 y_fails, ledger.path, 9, 5, 2),
				 &x),
			 MOB_E_TASK);
	mob_error_clear();
	assert_int_equal(ledger.at[N_RUNS], 4);
	live_ledger_close(&ledger);
}

/* ---- waiting ---- */

static int count_delayed(const struct mob_task_info *t, void *arg)
{
	uint32_t *n = arg;

	*n += t->state == MOB_TASK_STATE_DELAYED && t->attempt == 1;
	return 0;
}

static bool three_delayed(void *arg)
{
	struct mob_session *s;
	uint32_t n = 0;

	(void)arg;
	assert_int_equal(mob_session_current(&s), 0);
	assert_int_equal(mob_session_tasks(s, count_delayed, &n), 0);
	mob_session_close(s);
	return n == 3;
}

#define HOUR (3600 * (uint64_t)MOB_SEC)

static void test_semantics_16_retry_that_waits_has_no_worker(void **state)
{
	mob_ref r[3];
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* More of them than there are workers. */
	for (int i = 0; i < 3; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.retry_errors = 1,
						.backoff_ns = HOUR,
						.backoff_max_ns = 2 * HOUR),
				       y_fails, ledger.path, 9, 5, 0);
	}
	assert_true(live_await(three_delayed, NULL));
	assert_int_equal(mob_get(mob_submit(y_add, 1, 2), &x), 0);
	assert_int_equal(x, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_task_cancel(r[i], 0), 1);
		assert_int_equal(mob_get(r[i], &x), MOB_E_CANCELLED);
		assert_non_null(strstr(mob_error(), "before attempt 2"));
		mob_error_clear();
	}
	assert_int_equal(ledger.at[N_RUNS], 3);
	live_ledger_close(&ledger);
}

static void test_semantics_16_retries_that_waited_run(void **state)
{
	mob_ref r[20];
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	ends_well(submit(MOB_OPTS(.retry_errors = 1, .backoff_ns = 20 * MOB_MS,
				  .backoff_max_ns = 30 * MOB_MS),
			 3, 5),
		  4);
	/* After a death, too. */
	ledger.at[N_RUNS] = 0;
	assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.backoff_ns = MOB_MS),
						 y_fails, ledger.path, 0, 5, 2),
				 &x),
			 0);
	assert_int_equal(x, 2);
	/* Many at once, of which each fails at most 20 times. */
	ledger.at[N_RUNS] = 0;
	for (int i = 0; i < 20; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.retry_errors = 1,
						.retries = -1,
						.backoff_ns = 1000),
				       y_fails, ledger.path, 20, 5, 0);
	}
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_get(r[i], &x), 0);
	}
	assert_int_equal(ledger.at[N_RUNS], 40);
	live_ledger_close(&ledger);
}

/* ---- deaths ---- */

static bool has_daemon(void *arg)
{
	int *pid = arg;

	*pid = live_daemon();
	return *pid > 0;
}

static int find_delayed(const struct mob_task_info *t, void *arg)
{
	(void)arg;
	return t->state == MOB_TASK_STATE_DELAYED;
}

/* A daemon has noted for itself when it is due; or it is over. */
static bool is_noted(void *arg)
{
	const mob_ref *r = arg;
	struct mob_session *s;
	bool waits;

	assert_int_equal(mob_session_current(&s), 0);
	waits = mob_session_tasks(s, find_delayed, NULL) == 1 &&
		!mobi_load(&mobi_rt.sched->timers.some);
	mob_session_close(s);
	return waits ||
	       mob_object_state(mobi_rt.store, *r) != MOB_OBJECT_PENDING;
}

static void test_semantics_16_retry_survives_daemon_and_workers(void **state)
{
	int pid;
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = submit(MOB_OPTS(.retry_errors = 1, .backoff_ns = 400 * MOB_MS,
			    .backoff_max_ns = 400 * MOB_MS, .jitter = 0),
		   2, 5);
	for (int i = 0; i < 2; i++) {
		assert_true(live_await(is_noted, &r));
		assert_true(live_await(has_daemon, &pid));
		assert_int_equal(kill(pid, SIGKILL), 0);
		pid = live_worker(0);
		if (pid > 0) {
			(void)kill(pid, SIGKILL);
		}
	}
	/* A worker that was killed in an attempt counts as one more. */
	assert_true(mob_join(r) == 0);
	assert_true(ledger.at[N_RUNS] >= 3 && ledger.at[N_RUNS] <= 4);
	live_ledger_close(&ledger);
}

static void fails_three_times(size_t i)
{
	int64_t x;
	mob_ref r = mob_submit_with(MOB_OPTS(.retry_errors = 1, .retries = -1,
					     .backoff_ns = MOB_MS),
				    y_fails, ledger.path, 3, 5, 1);

	(void)i;
	if (mob_get(r, &x)) {
		fail_msg("%s", mob_error());
	}
	assert_int_equal(x + 1, ledger.at[N_RUNS]);
	assert_true(x >= 3);
}

/* Every worker, or every daemon, dies at its first pass of a point. */
static void test_semantics_16_retry_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"task.put_back=kill", "task.put_back.done=kill",
		"timer.set=kill", "timer.ready=kill", "reap.run=kill"
	};
	const struct live_session session = { .workers = 2,
					      .ledger = &ledger,
					      .words = WORDS };

	(void)state;
	live_each_fault(&session, faults, sizeof(faults) / sizeof(faults[0]),
			fails_three_times);
}

/* ---- bad input ---- */

static void refused(struct mob_task_opts o, const char *part)
{
	mob_ref r = mob_submit_with(o, y_add, 1, 2);
	int64_t x;

	assert_int_equal(mob_get(r, &x), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, part);
}

static void test_retry_bad_options_are_refused(void **state)
{
	static const int codes[] = { 5, 6 };
	double none = 0;

	(void)state;
	refused(MOB_OPTS(.retry_codes = codes, .n_retry_codes = 9), "0 to 8");
	refused(MOB_OPTS(.n_retry_codes = 1), "retry_codes");
	refused(MOB_OPTS(.retry_codes = codes, .n_retry_codes = 2,
			 .retry_errors = 1),
		"give one of them");
	refused(MOB_OPTS(.retry_errors = 1, .retries = 0), "retries is 0");
	refused(MOB_OPTS(.backoff_ns = 25 * HOUR), "a day");
	refused(MOB_OPTS(.backoff_ns = 2, .backoff_max_ns = 1), "less than");
	refused(MOB_OPTS(.jitter = -0.1), "0 to 1");
	refused(MOB_OPTS(.jitter = 1.1), "0 to 1");
	refused(MOB_OPTS(.jitter = none / none), "0 to 1");
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_teardown(
			test_semantics_16_retry_survives_a_kill_at_each_step,
			live_leave),
	};
	const struct CMUnitTest tests[] = {
		T(test_semantics_16_errors_are_retried_if_asked_for),
		T(test_semantics_16_errors_of_arguments_are_not_retried),
		T(test_semantics_16_crashes_and_errors_share_the_retries),
		T(test_semantics_16_retry_that_waits_has_no_worker),
		T(test_semantics_16_retries_that_waited_run),
		T(test_semantics_16_retry_survives_daemon_and_workers),
		T(test_retry_bad_options_are_refused),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	return failed + cmocka_run_group_tests(tests, live_start_two, NULL);
}
