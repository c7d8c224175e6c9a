/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancelling tasks: those that wait, those that run, with force, with what they
 * have submitted; its races with the end and the death of a task; and who cancels
 * dying at each of its steps.
 */
#include "live.h"

#include "os_clock.h"
#include "os_proc.h"
#include "os_run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Words of the ledger. */
enum { GATE, STARTED, RAN, SAW, RC, WORDS = 16 };
static struct live_ledger ledger;

MOB_TASK(int64_t, k_add, mob_str, path, int64_t, a, int64_t, b)
{
	(void)live_ledger_add(path, RAN);
	return a + b;
}

/* Until the gate opens, whatever it is told. */
MOB_TASK(int64_t, k_stubborn, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!live_ledger_get(path, GATE)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return 7;
}

/* Until it is told; what it returns then is no result. */
MOB_TASK(int64_t, k_heeds, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, SAW);
	return 8;
}

static void await_started(uint64_t n)
{
	assert_true(live_ledger_await(&ledger, STARTED, n));
}

static void expect_cancelled(mob_ref r, const char *part)
{
	int64_t x = 5;

	assert_int_equal(mob_get(r, &x), MOB_E_CANCELLED);
	assert_int_equal(x, 0);
	live_pends(MOB_E_CANCELLED, part);
}

static void test_semantics_19_pending_task_never_runs(void **state)
{
	mob_ref gate[2];
	mob_ref ready;
	mob_ref waits;
	mob_ref after;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (int i = 0; i < 2; i++) {
		gate[i] = mob_submit(k_stubborn, ledger.path);
	}
	await_started(2);
	ready = mob_submit(k_add, ledger.path, 1, 2);
	waits = mob_submit(k_add, ledger.path, gate[0], 2);
	after = mob_submit(k_add, ledger.path, ready, 2);
	assert_int_equal(mob_task_cancel(ready, 0), 1);
	assert_int_equal(mob_task_cancel(waits, 0), 1);
	/* At once: both workers are busy yet. */
	expect_cancelled(ready, "task k_add was cancelled before attempt 1");
	expect_cancelled(ready, "task k_add was cancelled before attempt 1");
	expect_cancelled(waits, "cancelled before attempt 1");
	ledger.at[GATE] = 1;
	expect_cancelled(after, "cancelled before attempt 1 <- k_add");
	assert_int_equal(mob_get(gate[0], &x), 0);
	assert_int_equal(x, 7);
	/* What was queued after them runs: their entries are passed over. */
	assert_int_equal(mob_get(mob_submit(k_add, ledger.path, 1, 1), &x), 0);
	assert_int_equal(ledger.at[RAN], 1);
	live_ledger_close(&ledger);
}

static void test_semantics_19_finished_task_is_left_alone(void **state)
{
	mob_ref r;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(k_add, ledger.path, 20, 22);
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(mob_task_cancel(r, 0), 0);
	assert_int_equal(mob_task_cancel(r, MOB_CANCEL_FORCE), 0);
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(x, 42);
	live_ledger_close(&ledger);
}

static void test_semantics_19_running_task_sees_the_flag(void **state)
{
	mob_ref r;

	(void)state;
	assert_false(mob_task_cancelled());
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(k_heeds, ledger.path);
	await_started(1);
	assert_int_equal(mob_task_cancel(r, 0), 1);
	(void)mob_task_cancel(r, 0); /* 0 if it was quick */
	expect_cancelled(r, "task k_heeds was cancelled in attempt 1");
	assert_int_equal(ledger.at[SAW], 1);
	assert_int_equal(ledger.at[STARTED], 1);
	live_ledger_close(&ledger);
}

/* Waits for what never comes, in one of the ways to wait. */
enum { BY_GET, BY_JOIN, BY_GET_ALL, BY_WAIT, BY_QUEUE, BY_TIMED, WAYS };
MOB_TASK(int64_t, k_waits, mob_str, path, mob_ref, never, int32_t, how)
{
	struct mob_queue *q = NULL;
	mob_ref both[2] = { never, mob_put(INT64_C(1)) };
	bool is[2];
	int64_t x[2];
	mob_ref r;
	int rc = -1;

	(void)live_ledger_add(path, STARTED);
	switch (how) {
	case BY_GET:
		rc = mob_get(never, x);
		break;
	case BY_JOIN:
		rc = mob_join(never);
		break;
	case BY_GET_ALL:
		rc = mob_get_all(both, 2, x);
		break;
	case BY_WAIT:
		rc = mob_wait(both, 2, 2, MOB_FOREVER, is);
		break;
	case BY_QUEUE:
		if (mob_queue_open(&q) == 0 &&
		    mob_queue_add(q, never, 0) == 0) {
			rc = mob_queue_pop(q, MOB_FOREVER, &r, NULL);
		}
		mob_queue_close(q);
		break;
	default:
		rc = mob_get_timeout(never, 3600 * MOB_SEC, x);
		break;
	}
	if (rc == MOB_E_CANCELLED && mob_error_code() == MOB_E_CANCELLED) {
		(void)live_ledger_add(path, SAW);
	}
	mob_error_clear();
	return 9;
}

static void test_semantics_19_waits_of_a_cancelled_task_end(void **state)
{
	mob_ref never;
	mob_ref r;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	never = mob_submit(k_stubborn, ledger.path);
	await_started(1);
	for (int how = 0; how < WAYS; how++) {
		r = mob_submit(k_waits, ledger.path, never, how);
		await_started((uint64_t)how + 2);
		/* Once before it sleeps, most likely, and once in its sleep. */
		if (how % 2) {
			mobi_pause_ns(20 * MOB_MS);
		}
		assert_int_equal(mob_task_cancel(r, 0), 1);
		expect_cancelled(r, "task k_waits was cancelled in attempt 1");
		if (ledger.at[SAW] != (uint64_t)how + 1) {
			fail_msg("way %d did not end in MOB_E_CANCELLED", how);
		}
	}
	ledger.at[GATE] = 1;
	assert_int_equal(mob_get(never, &x), 0);
	live_ledger_close(&ledger);
}

static void test_semantics_19_force_kills_the_worker(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit_with(MOB_OPTS(.retries = -1), k_stubborn, ledger.path);
	await_started(1);
	assert_int_equal(mob_task_cancel(r, MOB_CANCEL_FORCE), 1);
	expect_cancelled(r, "task k_stubborn was cancelled in attempt 1");
	assert_int_equal(ledger.at[STARTED], 1);
	live_ledger_close(&ledger);
}

/* Flagged first, and dead afterwards: not run again. */
MOB_TASK(int64_t, k_heeds_and_dies, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)raise(SIGKILL);
	return 0;
}

static void test_semantics_19_cancelled_task_is_never_retried(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit_with(MOB_OPTS(.retries = -1), k_heeds_and_dies,
			    ledger.path);
	await_started(1);
	assert_int_equal(mob_task_cancel(r, 0), 1);
	expect_cancelled(r, "cancelled in attempt 1");
	assert_int_equal(ledger.at[STARTED], 1);
	live_ledger_close(&ledger);
}

/* ---- what a task has submitted ---- */

MOB_TASK(int64_t, k_leaf, mob_str, path)
{
	(void)live_ledger_add(path, RAN);
	while (!mob_task_cancelled() && !live_ledger_get(path, GATE)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	if (mob_task_cancelled()) {
		(void)live_ledger_add(path, SAW);
	}
	return 1;
}

/* Two, of which each has two, and so on. */
MOB_TASK(int64_t, k_tree, mob_str, path, int32_t, depth)
{
	mob_ref r[2];
	int64_t x[2];

	for (int i = 0; i < 2; i++) {
		r[i] = depth ? mob_submit(k_tree, path, depth - 1) :
			       mob_submit(k_leaf, path);
	}
	(void)live_ledger_add(path, STARTED);
	mob_get_all(r, 2, x);
	return x[0] + x[1];
}

static void test_semantics_19_children_are_cancelled_too(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(k_tree, ledger.path, 3);
	assert_true(live_ledger_await(&ledger, RAN, 1));
	assert_int_equal(mob_task_cancel(r, 0), 1);
	expect_cancelled(r, "task k_tree was cancelled");
	/* The gate is shut: no leaf ends but by being told. */
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[SAW], ledger.at[RAN]);
	assert_true(ledger.at[RAN] < 16);
	live_ledger_close(&ledger);
}

static void test_semantics_19_children_go_on_if_it_is_alone(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(k_tree, ledger.path, 0);
	assert_true(live_ledger_await(&ledger, RAN, 1));
	assert_int_equal(mob_task_cancel(r, MOB_CANCEL_ALONE), 1);
	expect_cancelled(r, "task k_tree was cancelled");
	ledger.at[GATE] = 1;
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[RAN], 2);
	assert_int_equal(ledger.at[SAW], 0);
	live_ledger_close(&ledger);
}

/* Goes on submitting after it was told. */
MOB_TASK(void, k_submits_on, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	for (int i = 0; i < 10; i++) {
		(void)mob_submit(k_add, path, 1, 2);
	}
}

static void test_semantics_19_children_submitted_later_too(void **state)
{
	mob_ref gate;
	mob_ref r;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	/* The other worker is busy: what is submitted is pending. */
	gate = mob_submit(k_stubborn, ledger.path);
	r = mob_submit(k_submits_on, ledger.path);
	await_started(2);
	assert_int_equal(mob_task_cancel(r, 0), 1);
	assert_int_equal(mob_join(r), MOB_E_CANCELLED);
	mob_error_clear();
	ledger.at[GATE] = 1;
	assert_int_equal(mob_get(gate, &x), 0);
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[RAN], 0);
	live_ledger_close(&ledger);
}

/* ---- those that share a process ---- */

MOB_TASK(int64_t, k_inner, mob_str, path, uint64_t, run, int32_t, dies)
{
	if (run) {
		return 5;
	}
	(void)live_ledger_add(path, STARTED);
	if (dies) {
		(void)raise(SIGKILL);
	}
	for (;;) {
		mobi_pause_ns(MOB_MS);
	}
}

/* Its inner one runs on this stack: there is no other worker. */
MOB_TASK(int64_t, k_outer, mob_str, path, int32_t, dies)
{
	uint64_t run = live_ledger_add(path, RAN);
	mob_ref r = mob_submit_with(MOB_OPTS(.retries = 0, .name = "inner"),
				    k_inner, path, run, dies);
	int64_t x;

	mob_get(r, &x);
	return x + (int64_t)run;
}

static int find_inner(const struct mob_task_info *t, void *arg)
{
	uint64_t *id = arg;

	if (!strcmp(t->name, "inner") && t->state == MOB_TASK_STATE_RUNNING) {
		*id = t->id;
		return 1;
	}
	return 0;
}

static void shares(int32_t dies)
{
	struct mob_session *s;
	uint64_t id = 0;
	mob_ref r;
	int64_t x;

	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start(1);
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
	live_ledger_open(&ledger, WORDS);
	r = mob_submit_with(MOB_OPTS(.retries = 0), k_outer, ledger.path, dies);
	if (!dies) {
		await_started(1);
		assert_int_equal(mob_session_current(&s), 0);
		assert_int_equal(mob_session_tasks(s, find_inner, &id), 1);
		assert_int_equal(
			mob_session_task_cancel(s, id, MOB_CANCEL_FORCE), 0);
		assert_int_equal(
			mob_session_task_cancel(s, id + (UINT64_C(9) << 32), 0),
			MOB_E_NOT_FOUND);
		mob_session_close(s);
	}
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(x, 6);
	assert_int_equal(ledger.at[RAN], 2);
	assert_int_equal(ledger.at[STARTED], 1);
	live_ledger_close(&ledger);
	mob_shutdown();
}

static void test_semantics_19_force_spares_who_shared_the_worker(void **state)
{
	(void)state;
	shares(0);
}

static void test_semantics_16_crash_spares_who_shared_the_worker(void **state)
{
	(void)state;
	shares(1);
}

/* Dies a hundred times; then it would not any more. */
MOB_TASK(int64_t, k_dies_long, uint64_t, run)
{
	if (run < 100) {
		(void)raise(SIGKILL);
	}
	return 5;
}

MOB_TASK(int64_t, k_asks_for_death, mob_str, path)
{
	uint64_t run = live_ledger_add(path, RAN);
	mob_ref r = mob_submit_with(MOB_OPTS(.retries = 0), k_dies_long, run);
	int64_t x;

	mob_get(r, &x);
	return x;
}

/* One that makes what kills its worker, each time anew, ends. */
static void test_semantics_16_crash_spares_so_often_only(void **state)
{
	mob_ref r;
	int64_t x;

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start(1);
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(k_asks_for_death, ledger.path);
	assert_int_not_equal(mob_get(r, &x), 0);
	mob_error_clear();
	assert_true(ledger.at[RAN] < 30);
	live_ledger_close(&ledger);
	mob_shutdown();
}

/* ---- races ---- */

MOB_TASK(int64_t, k_short, mob_str, path, uint64_t, i)
{
	(void)live_ledger_add(path, i);
	return (int64_t)i;
}

static void test_semantics_19_cancel_at_the_end_of_a_task(void **state)
{
	enum { N = 3000 };
	uint64_t seed = live_seed("cancel at the end");
	uint64_t ended[2] = { 0, 0 };

	(void)state;
	live_ledger_open(&ledger, N);
	for (uint64_t i = 0; i < N; i++) {
		MOB_SCOPE
		{
			mob_ref r = mob_submit(k_short, ledger.path, i);
			uint64_t spins = live_random(&seed) % 3000;
			int64_t x;
			int told;
			int rc;

			for (uint64_t k = 0; k < spins; k++) {
				mobi_relax();
			}
			told = mob_task_cancel(r, 0);
			rc = mob_get(r, &x);
			if (rc == 0) {
				assert_int_equal(x, i);
				assert_int_equal(ledger.at[i], 1);
			} else {
				assert_int_equal(rc, MOB_E_CANCELLED);
				assert_int_equal(told, 1);
				assert_true(ledger.at[i] <= 1);
				mob_error_clear();
			}
			ended[rc != 0]++;
		}
	}
	print_message("%d ended, %d cancelled\n", (int)ended[0], (int)ended[1]);
	assert_true(live_await_tasks(0));
	live_ledger_close(&ledger);
}

/* Kills its worker at random moments, or ends. */
MOB_TASK(int64_t, k_maybe_dies, mob_str, path, uint64_t, i, uint64_t, dies)
{
	(void)live_ledger_add(path, i);
	if (dies) {
		(void)raise(SIGKILL);
	}
	return (int64_t)i;
}

static void test_semantics_19_cancel_at_a_retry(void **state)
{
	enum { N = 60 };
	uint64_t seed = live_seed("cancel at a retry");

	(void)state;
	live_ledger_open(&ledger, N);
	for (uint64_t i = 0; i < N; i++) {
		mob_ref r = mob_submit_with(MOB_OPTS(.retries = -1),
					    k_maybe_dies, ledger.path, i, 1);
		int64_t x;
		uint64_t ran;

		mobi_pause_ns((int64_t)(live_random(&seed) % (10 * MOB_MS)));
		assert_int_equal(mob_task_cancel(r, 0), 1);
		/* Without end, if it were not. */
		assert_int_equal(mob_get(r, &x), MOB_E_CANCELLED);
		mob_error_clear();
		ran = ledger.at[i];
		mobi_pause_ns(MOB_MS);
		assert_int_equal(ledger.at[i], ran);
		assert_int_equal(mob_release(r), 0);
	}
	live_ledger_close(&ledger);
}

/* ---- who cancels dies ---- */

/* In a process of its own: cancels the task that has the id in the text. */
static int child_cancels(const char *text)
{
	char name[64];
	unsigned rec;
	unsigned gen;
	struct mob_session *s;
	int rc;

	if (sscanf(text, "%63[^:]:%u.%u", name, &rec, &gen) != 3 ||
	    mob_session_open(name, &s)) {
		return 2;
	}
	rc = mob_session_task_cancel(s, (uint64_t)gen << 32 | rec, 0);
	print_message("not killed: %s\n", mob_err_detail(rc));
	return rc < 0 ? 3 : 0;
}

struct named {
	const char *name;
	uint64_t id;
};

static int find_named(const struct mob_task_info *t, void *arg)
{
	struct named *n = arg;

	if (!strcmp(t->name, n->name)) {
		n->id = t->id;
		return 1;
	}
	return 0;
}

static uint64_t task_named(const char *name)
{
	struct named n = { name, 0 };
	struct mob_session *s;

	assert_int_equal(mob_session_current(&s), 0);
	assert_int_equal(mob_session_tasks(s, find_named, &n), 1);
	mob_session_close(s);
	return n.id;
}

static void killed_at(const char *session, const char *task, const char *point)
{
	char text[120];
	char fault[80];
	uint64_t id = task_named(task);
	int pid;
	int rc;

	(void)snprintf(text, sizeof(text), "%s:%u.%u", session, (uint32_t)id,
		       (uint32_t)(id >> 32));
	(void)snprintf(fault, sizeof(fault), "%s=kill", point);
	assert_int_equal(setenv("MOBULA_FAULT", fault, 1), 0);
	pid = live_spawn("cancel", text);
	assert_int_equal(unsetenv("MOBULA_FAULT"), 0);
	rc = live_collect(pid);
	if (rc != -SIGKILL) {
		fail_msg("%s: the process ended with %d", point, rc);
	}
}

static void test_semantics_19_who_cancels_is_killed(void **state)
{
	static const char *const pending[] = { "task.cancel.taken",
					       "task.cancel.resolve",
					       "task.cancel.retire" };
	const struct live_session session = { .name = live_session_name(),
					      .workers = 1,
					      .ledger = &ledger,
					      .words = WORDS };
	mob_ref gate;
	mob_ref r;
	int64_t x;

	(void)state;
	if (!LIVE_FAILPOINTS) {
		skip();
	}
	live_begin(&session);
	gate = mob_submit(k_stubborn, ledger.path);
	await_started(1);
	for (size_t i = 0; i < sizeof(pending) / sizeof(pending[0]); i++) {
		/* Names of their own: the one before may still be there when
		 * its result is. */
		static const char *const names[] = { "victim0", "victim1",
						     "victim2" };
		char text[64];

		r = mob_submit_with(MOB_OPTS(.name = names[i]), k_add,
				    ledger.path, 1, 2);
		killed_at(session.name, names[i], pending[i]);
		(void)snprintf(text, sizeof(text),
			       "task %s was cancelled before", names[i]);
		expect_cancelled(r, text);
		assert_int_equal(mob_release(r), 0);
	}
	ledger.at[GATE] = 1;
	assert_int_equal(mob_get(gate, &x), 0);
	assert_int_equal(ledger.at[RAN], 0);
	/* The janitor has done the rest. */
	assert_true(live_await_tasks(0));
	/* One that runs is flagged, and nobody has told its children. */
	ledger.at[GATE] = 0;
	r = mob_submit_with(MOB_OPTS(.name = "victim"), k_tree, ledger.path, 0);
	assert_true(live_ledger_await(&ledger, RAN, 1));
	killed_at(session.name, "victim", "task.cancel.flagged");
	expect_cancelled(r, "task victim was cancelled in attempt 1");
	assert_true(live_await_tasks(0));
	assert_int_equal(ledger.at[SAW], ledger.at[RAN]);
	live_end(&session);
}

/* ---- bad input ---- */

static void test_task_cancel_bad_arguments_are_refused(void **state)
{
	mob_ref r = mob_put(INT64_C(5));

	(void)state;
	assert_int_equal(mob_task_cancel(r, 8), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "MOB_CANCEL_FORCE"));
	mob_error_clear();
	assert_int_equal(mob_task_cancel(r, MOB_CANCEL_FORCE |
						    MOB_CANCEL_ESCALATE),
			 MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "give one of them"));
	mob_error_clear();
	assert_int_equal(mob_task_cancel(r, 0), 0);
	assert_int_equal(mob_task_cancel(MOB_REF_NONE, 0), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(mob_task_cancel(r, 0), MOB_E_BAD_REF);
	mob_error_clear();
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_19_pending_task_never_runs),
		T(test_semantics_19_finished_task_is_left_alone),
		T(test_semantics_19_running_task_sees_the_flag),
		T(test_semantics_19_waits_of_a_cancelled_task_end),
		T(test_semantics_19_force_kills_the_worker),
		T(test_semantics_19_cancelled_task_is_never_retried),
		T(test_semantics_19_children_are_cancelled_too),
		T(test_semantics_19_children_go_on_if_it_is_alone),
		T(test_semantics_19_children_submitted_later_too),
		T(test_semantics_19_cancel_at_the_end_of_a_task),
		T(test_semantics_19_cancel_at_a_retry),
		T(test_task_cancel_bad_arguments_are_refused),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_teardown(
			test_semantics_19_force_spares_who_shared_the_worker,
			live_leave),
		cmocka_unit_test_teardown(
			test_semantics_16_crash_spares_who_shared_the_worker,
			live_leave),
		cmocka_unit_test_teardown(
			test_semantics_16_crash_spares_so_often_only,
			live_leave),
		cmocka_unit_test_teardown(
			test_semantics_19_who_cancels_is_killed, live_leave),
	};
	int failed;

	if (argc > 2 && !strcmp(argv[1], "cancel")) {
		return child_cancels(argv[2]);
	}
	failed = cmocka_run_group_tests(alone, NULL, NULL);
	return failed + cmocka_run_group_tests(tests, live_start_two, NULL);
}
