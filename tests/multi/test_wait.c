/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting: get, get_all, wait and queues, with time-outs, from drivers, threads
 * and tasks. What blocks gives its CPU back, and at the bound of workers it
 * runs what it waits for itself.
 */
#include "live.h"

#include "fault.h"
#include "os_run.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

MOB_TASK(int64_t, w_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(int64_t, w_fail, void)
{
	mob_fail(4, "on purpose");
	return 0;
}

/* Ends when there is a file of that name. */
MOB_TASK(int64_t, w_gate, mob_str, path, int64_t, x)
{
	while (access(path, F_OK)) {
		mobi_pause_ns(MOB_MS / 2);
	}
	return x;
}

static char gate_path[300];

static void gate_close(void)
{
	static int serial;

	(void)snprintf(gate_path, sizeof(gate_path), "%s/gate-%d",
		       mobi_rt.store->path, serial++);
}

static void gate_open(void)
{
	FILE *f = fopen(gate_path, "w");

	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
}

/* ---- arguments ---- */

static void test_semantics_2_wait_arguments_are_checked(void **state)
{
	mob_ref r[3] = { mob_put(1), mob_put(2), mob_put(3) };
	mob_ref twice[2] = { r[0], r[0] };
	bool ready[3];
	int x;

	(void)state;
	assert_int_equal(mob_wait(r, 3, 0, 0, ready), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "mob_wait: n_ready"));
	mob_error_clear();
	assert_int_equal(mob_wait(r, 3, 4, 0, ready), MOB_E_INVAL);
	mob_error_clear();
	assert_int_equal(mob_wait(r, 3, 1, -2, ready), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "mob_wait: timeout"));
	mob_error_clear();
	assert_int_equal(mob_wait(twice, 2, 1, 0, ready), MOB_E_INVAL);
	mob_error_clear();
	assert_int_equal(mob_wait(NULL, 0, 0, 0, NULL), 0);
	assert_int_equal(mob_wait(NULL, 0, 1, MOB_FOREVER, NULL), 0);
	assert_int_equal(mob_get_timeout(r[0], -7, &x), MOB_E_INVAL);
	assert_int_equal(x, 0);
	assert_non_null(strstr(mob_error(), "timeout"));
	mob_error_clear();
	assert_int_equal(mob_get_all((mob_ref *)NULL, 0, (int *)NULL), 0);
	assert_int_equal(mob_error_code(), 0);
}

static void
test_semantics_1_wait_marks_at_most_what_was_asked_in_order(void **state)
{
	mob_ref r[5];
	bool ready[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		r[i] = mob_put((int64_t)i);
	}
	assert_int_equal(mob_wait(r, 5, 3, MOB_FOREVER, ready), 3);
	assert_true(ready[0] && ready[1] && ready[2]);
	assert_false(ready[3] || ready[4]);
	assert_int_equal(mob_wait(r, 5, 5, 0, NULL), 5);
	/* Where they are in the list, also after a wait. */
	gate_close();
	r[0] = mob_submit(w_gate, gate_path, 1);
	r[2] = mob_submit(w_add, r[0], 1);
	assert_int_equal(mob_wait(r, 5, 4, 3 * MOB_MS, ready), 3);
	assert_true(ready[1] && ready[3] && ready[4]);
	assert_false(ready[0] || ready[2]);
	gate_open();
	assert_int_equal(mob_wait(r, 5, 5, MOB_FOREVER, NULL), 5);
}

static void test_semantics_3_time_outs_leave_nothing_pending(void **state)
{
	mob_ref r[3];
	bool ready[3];
	int64_t x = 5;

	(void)state;
	gate_close();
	r[0] = mob_submit(w_gate, gate_path, 11);
	r[1] = mob_put(INT64_C(12));
	r[2] = mob_submit(w_add, r[0], 1);
	assert_int_equal(mob_get_timeout(r[0], 0, &x), MOB_E_TIMEOUT);
	assert_int_equal(x, 0);
	assert_int_equal(mob_get_timeout(r[2], 3 * MOB_MS, &x), MOB_E_TIMEOUT);
	assert_int_equal(mob_wait(r, 3, 2, 0, ready), 1);
	assert_true(ready[1] && !ready[0] && !ready[2]);
	assert_int_equal(mob_wait(r, 3, 3, 3 * MOB_MS, ready), 1);
	assert_int_equal(mob_error_code(), 0);
	gate_open();
	/* The tasks went on. */
	assert_int_equal(mob_wait(r, 3, 3, MOB_FOREVER, ready), 3);
	assert_int_equal(mob_get(r[2], &x), 0);
	assert_int_equal(x, 12);
	/* An error counts as resolved, before a wait and in it. */
	r[1] = mob_submit(w_fail);
	assert_int_equal(mob_wait(r, 3, 3, MOB_FOREVER, ready), 3);
	assert_int_equal(mob_wait(r, 3, 3, 0, ready), 3);
	assert_int_equal(mob_error_code(), 0);
}

static void test_semantics_6_get_all_fails_fast_and_clears_all(void **state)
{
	mob_ref r[4];
	int64_t x[4] = { 1, 1, 1, 1 };

	(void)state;
	gate_close();
	r[0] = mob_submit(w_gate, gate_path, 1);
	r[1] = mob_put(INT64_C(2));
	r[2] = mob_submit(w_fail);
	r[3] = mob_submit(w_add, r[0], 1);
	/* Though r[0] goes on. */
	assert_int_equal(mob_get_all(r, 4, x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), 4);
	mob_error_clear();
	for (int i = 0; i < 4; i++) {
		assert_int_equal(x[i], 0);
	}
	assert_int_equal(mob_get_timeout(r[0], 0, &x[0]), MOB_E_TIMEOUT);
	gate_open();
	r[2] = r[1];
	assert_int_equal(mob_get_all(r, 4, x), 0);
	assert_true(x[0] == 1 && x[1] == 2 && x[2] == 2 && x[3] == 2);
}

#ifdef MOB_FAILPOINTS
/* Fails when the ledger says so. */
MOB_TASK(int64_t, w_fail_later, mob_str, path)
{
	while (!live_ledger_get(path, 0)) {
		mobi_pause_ns(MOB_MS / 2);
	}
	mob_fail(4, "on purpose");
	return 0;
}

MOB_TASK(int64_t, w_note, mob_str, path)
{
	(void)live_ledger_add(path, 1);
	return 0;
}

/* A child of fork: while its parent is stopped, the task fails, and the worker goes
 * on to the next. */
static void fail_while_stopped(struct live_ledger *l, int parent)
{
	char path[64];
	char line[400];
	char *state = NULL;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", parent);
	while (!state || state[2] != 'T') {
		FILE *f = fopen(path, "r");

		state = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') :
							    NULL;
		if (f) {
			(void)fclose(f);
		}
	}
	l->at[0] = 1;
	while (!l->at[1]) {
		mobi_pause_ns(MOB_MS / 2);
	}
	(void)kill(parent, SIGCONT);
	_exit(0);
}
#endif

/* Between the first look and the queue it is in neither. */
static void test_wait_get_all_sees_what_fails_as_it_begins(void **state)
{
	(void)state;
#ifndef MOB_FAILPOINTS
	skip();
#else
	struct live_ledger l;
	mob_ref r[2];
	int64_t x[2];
	int pid;

	gate_close();
	live_ledger_open(&l, 2);
	r[0] = mob_submit(w_gate, gate_path, 1);
	r[1] = mob_submit(w_fail_later, l.path);
	/* Runs where the one before it ran, as the other worker waits. */
	(void)mob_submit(w_note, l.path);
	mobi_fault_arm("get.all=stop");
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fail_while_stopped(&l, getppid());
	}
	/* Not when r[0] ends, which is never before it. */
	assert_int_equal(mob_get_all(r, 2, x), MOB_E_TASK);
	mob_error_clear();
	mobi_fault_arm("");
	assert_int_equal(live_collect(pid), 0);
	gate_open();
	assert_int_equal(mob_get(r[0], &x[0]), 0);
	live_ledger_close(&l);
#endif
}

/* ---- cancelled ---- */

static void *cancels_soon(void *arg)
{
	const struct timespec pause = { .tv_nsec = 20000000 };

	(void)nanosleep(&pause, NULL);
	mob_cancel(arg);
	return NULL;
}

/* As a time-out is, it is no error of the task or of what it waits for. */
static void test_wait_cancelled_is_no_pending_error(void **state)
{
	struct mob_cancel *token;
	struct mob_queue *q;
	pthread_t thread;
	mob_ref r[2];
	mob_ref out;
	int64_t x[2] = { 7, 7 };

	(void)state;
	gate_close();
	assert_int_equal(mob_cancel_new(&token), 0);
	assert_int_equal(mob_queue_open(&q), 0);
	r[0] = mob_submit(w_gate, gate_path, 1);
	r[1] = mob_submit(w_add, r[0], 1);
	(void)mob_cancel_use(token);
	assert_int_equal(pthread_create(&thread, NULL, cancels_soon, token), 0);
	assert_int_equal(mob_get(r[1], &x[0]), MOB_E_INTERRUPTED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(mob_get_all(r, 2, x), MOB_E_INTERRUPTED);
	assert_int_equal(mob_wait(r, 2, 2, MOB_FOREVER, NULL),
			 MOB_E_INTERRUPTED);
	assert_int_equal(mob_queue_add(q, r[1], 0), 0);
	assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &out, NULL),
			 MOB_E_INTERRUPTED);
	assert_int_equal(mob_error_code(), 0);
	mob_cancel_reset(token);
	gate_open();
	assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &out, NULL), 1);
	assert_int_equal(mob_get(out, &x[1]), 0);
	assert_int_equal(x[1], 2);
	(void)mob_cancel_use(NULL);
	mob_queue_close(q);
	mob_cancel_free(token);
}

/* ---- queues ---- */

static void test_semantics_5_queue_yields_in_order_of_completion(void **state)
{
	struct mob_queue *q;
	mob_ref chain[4];
	mob_ref slow;
	mob_ref got;
	uint64_t tag = 0;

	(void)state;
	gate_close();
	assert_int_equal(mob_queue_open(&q), 0);
	slow = mob_submit(w_gate, gate_path, 5);
	assert_int_equal(mob_queue_add(q, slow, 99), 0);
	assert_int_equal(mob_queue_pop(q, 0, &got, &tag), MOB_E_TIMEOUT);
	assert_int_equal(mob_queue_pop(q, 2 * MOB_MS, &got, &tag),
			 MOB_E_TIMEOUT);
	assert_int_equal(mob_error_code(), 0);
	for (uint64_t i = 0; i < 50; i++) {
		assert_int_equal(mob_queue_add(q, mob_put((int64_t)i), i), 0);
	}
	for (uint64_t i = 0; i < 50; i++) {
		assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &got, &tag), 1);
		assert_int_equal(tag, i);
	}
	assert_int_equal(mob_queue_outstanding(q), 1);
	/* The last to be completed are added first. */
	chain[0] = slow;
	for (int i = 1; i < 4; i++) {
		chain[i] = mob_submit(w_add, chain[i - 1], 1);
	}
	for (uint64_t i = 3; i > 0; i--) {
		assert_int_equal(mob_queue_add(q, chain[i], 99 + i), 0);
	}
	gate_open();
	assert_int_equal(mob_wait(chain, 4, 4, MOB_FOREVER, NULL), 4);
	for (uint64_t i = 0; i < 4; i++) {
		assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &got, &tag), 1);
		assert_int_equal(tag, 99 + i);
	}
	assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &got, &tag), 0);
	mob_queue_close(q);
}

struct poppers {
	struct mob_queue *q;
	_Atomic uint64_t sum;
	_Atomic uint64_t wrong;
};

static void *pop_all(void *arg)
{
	struct poppers *p = arg;
	mob_ref r;
	uint64_t tag;
	int rc;

	while ((rc = mob_queue_pop(p->q, MOB_FOREVER, &r, &tag)) == 1) {
		int64_t x = 0;

		if (mob_take(r, &x) || (uint64_t)x != tag + 1) {
			p->wrong++;
		}
		p->sum += tag;
	}
	p->wrong += rc != 0;
	return NULL;
}

static void test_wait_queue_is_popped_by_several_threads(void **state)
{
	struct poppers p = { 0 };
	pthread_t t[3];

	(void)state;
	assert_int_equal(mob_queue_open(&p.q), 0);
	for (int64_t i = 0; i < 3000; i++) {
		assert_int_equal(mob_queue_add(p.q, mob_submit(w_add, i, 1),
					       (uint64_t)i),
				 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, pop_all, &p), 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
	}
	assert_int_equal(p.wrong, 0);
	assert_int_equal(p.sum, 2999 * 3000 / 2);
	mob_queue_close(p.q);
}

static void test_wait_threads_on_one_object(void **state)
{
	struct poppers p = { 0 };
	mob_ref slow;
	pthread_t t[8];
	int64_t x;

	(void)state;
	gate_close();
	slow = mob_submit(w_gate, gate_path, 5);
	assert_int_equal(mob_queue_open(&p.q), 0);
	for (int i = 0; i < 8; i++) {
		/* All of one task, each its own. */
		assert_int_equal(
			mob_queue_add(p.q, mob_submit(w_add, slow, 1), 5), 0);
		assert_int_equal(pthread_create(&t[i], NULL, pop_all, &p), 0);
	}
	gate_open();
	assert_int_equal(mob_get(slow, &x), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
	}
	assert_int_equal(p.wrong, 0);
	assert_int_equal(p.sum, 40);
	mob_queue_close(p.q);
}

/* ---- inside tasks ---- */

MOB_TASK(int64_t, w_nest, int64_t, depth)
{
	int64_t x = 0;

	if (depth > 0) {
		mob_get(mob_submit(w_nest, depth - 1), &x);
	}
	return x + 1;
}

MOB_TASK(int64_t, w_tree, int64_t, depth, int32_t, how)
{
	mob_ref r[3];
	int64_t x[3] = { 0 };
	struct mob_queue *q;
	mob_ref got;

	if (depth == 0) {
		return 1;
	}
	for (int i = 0; i < 3; i++) {
		r[i] = mob_submit(w_tree, depth - 1, how);
	}
	switch (how) {
	case 0:
		mob_get_all(r, 3, x);
		break;
	case 1:
		mob_wait(r, 3, 3, MOB_FOREVER, NULL);
		mob_get_all(r, 3, x);
		break;
	default:
		if (mob_queue_open(&q)) {
			return 0;
		}
		for (int i = 0; i < 3; i++) {
			mob_queue_add(q, r[i], (uint64_t)i);
		}
		for (int i = 0; i < 3; i++) {
			if (mob_queue_pop(q, MOB_FOREVER, &got, NULL) == 1) {
				mob_take(got, &x[i]);
			}
		}
		mob_queue_close(q);
		break;
	}
	return x[0] + x[1] + x[2];
}

MOB_TASK(int64_t, w_chain_inside, int64_t, n)
{
	mob_ref r = mob_put(INT64_C(0));
	int64_t x;

	for (int64_t i = 0; i < n; i++) {
		r = mob_submit(w_add, r, 1);
	}
	mob_get(r, &x);
	return x;
}

MOB_TASK(int64_t, w_patient, mob_str, gate)
{
	mob_ref r = mob_submit(w_gate, gate, 5);
	int64_t x;
	int rc = mob_get_timeout(r, 2 * MOB_MS, &x);

	/* A wait that may end early starts nothing that may not. */
	return rc == MOB_E_TIMEOUT ? 1 : rc;
}

/* One worker, and no more may be started. */
static void test_semantics_8_one_worker_ends_a_tree_of_any_depth(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start(1);
	assert_int_equal(live_workers(), 1);
	MOB_SCOPE
	{
		assert_int_equal(mob_get(mob_submit(w_nest, 2000), &x), 0);
		assert_int_equal(x, 2001);
		assert_int_equal(mob_get(mob_submit(w_chain_inside, 100), &x),
				 0);
		assert_int_equal(x, 100);
		for (int how = 0; how < 3; how++) {
			assert_int_equal(
				mob_get(mob_submit(w_tree, 5, how), &x), 0);
			assert_int_equal(x, 243);
		}
		gate_close();
		assert_int_equal(mob_get(mob_submit(w_patient, gate_path), &x),
				 0);
		assert_int_equal(x, 1);
		gate_open();
		assert_int_equal(live_workers(), 1);
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
}

/* Opens the gate. */
MOB_TASK(int64_t, w_open, mob_str, path, int64_t, x)
{
	FILE *f = fopen(path, "w");

	if (!f || fclose(f)) {
		mob_fail(5, "cannot open the gate");
	}
	return x;
}

/* Waits for a task that ends only after the next one has run. */
MOB_TASK(int64_t, w_forks, mob_str, gate)
{
	mob_ref first = mob_submit(w_gate, gate, 1);
	mob_ref second = mob_submit(w_open, gate, 2);
	int64_t a = 0;
	int64_t b = 0;

	mob_get(first, &a);
	mob_get(second, &b);
	return a + b;
}

/* Two workers and no more: one is at the gate, the other waits for that, and
 * has submitted what opens it. */
static void test_wait_blocked_task_runs_what_it_submitted(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start_with(2, "fifo");
	MOB_SCOPE
	{
		gate_close();
		assert_int_equal(mob_get(mob_submit(w_forks, gate_path), &x),
				 0);
		assert_int_equal(x, 3);
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
}

/* Waits at a gate outside the library, then for the task, inside it. */
MOB_TASK(int64_t, w_busy_then_waits, mob_str, gate, mob_ref, r)
{
	int64_t x = 0;

	while (access(gate, F_OK)) {
		mobi_pause_ns(MOB_MS / 2);
	}
	mob_get(r, &x);
	return x;
}

static bool three_places(void *arg)
{
	(void)arg;
	return live_workers() == 3;
}

/* When w_forks got blocked both processors were in use. Then one is let go, by
 * a worker that can run nothing itself. */
static void test_wait_who_blocks_wakes_who_can_run_something(void **state)
{
	char outer[300];
	int64_t x;
	int64_t y;

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "1", 1), 0);
	live_start_with(2, "fifo");
	MOB_SCOPE
	{
		mob_ref forks;
		mob_ref busy;

		gate_close();
		(void)snprintf(outer, sizeof(outer), "%s", gate_path);
		gate_close();
		forks = mob_submit(w_forks, gate_path);
		busy = mob_submit(w_busy_then_waits, outer, forks);
		assert_true(live_await(three_places, NULL));
		(void)snprintf(gate_path, sizeof(gate_path), "%s", outer);
		gate_open();
		assert_int_equal(mob_get(busy, &x), 0);
		assert_int_equal(mob_get(forks, &y), 0);
		assert_int_equal(x, 3);
		assert_int_equal(y, 3);
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
}

/* The blocked ones do not count: two more run meanwhile. */
static void test_semantics_8_blocked_task_gives_its_cpu_to_another(void **state)
{
	int64_t x;

	(void)state;
	live_start(1);
	MOB_SCOPE
	{
		assert_int_equal(mob_get(mob_submit(w_nest, 5), &x), 0);
		assert_int_equal(x, 6);
		assert_true(live_workers() > 1);
		for (int how = 0; how < 3; how++) {
			assert_int_equal(
				mob_get(mob_submit(w_tree, 6, how), &x), 0);
			assert_int_equal(x, 729);
		}
		assert_true(live_workers() <= 5); /* and 4 more, by default */
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

static void *nest_in_thread(void *arg)
{
	int64_t *x = arg;

	mob_get(mob_submit(w_nest, 20), x);
	return NULL;
}

MOB_TASK(int64_t, w_threads_wait, void)
{
	int64_t x[4] = { 0 };
	pthread_t t[4];

	for (int i = 0; i < 4; i++) {
		if (pthread_create(&t[i], NULL, nest_in_thread, &x[i])) {
			mob_fail(1, "no thread");
		}
	}
	for (int i = 0; i < 4; i++) {
		(void)pthread_join(t[i], NULL);
	}
	return x[0] + x[1] + x[2] + x[3];
}

/* All queues of the session are open: there is none to wait with. */
static void test_wait_get_all_without_a_queue_is_an_error(void **state)
{
	static struct mob_queue *q[1000];
	mob_ref r[2];
	int64_t x[2];
	uint32_t n = 0;

	(void)state;
	gate_close();
	r[0] = mob_submit(w_gate, gate_path, 1);
	r[1] = mob_submit(w_gate, gate_path, 2);
	while (mob_queue_open(&q[n]) == 0) {
		n++;
		assert_true(n < 1000);
	}
	assert_int_equal(mob_error_code(), MOB_E_LIMIT);
	mob_error_clear();
	assert_int_equal(mob_get_all(r, 2, x), MOB_E_LIMIT);
	mob_error_clear();
	while (n) {
		mob_queue_close(q[--n]);
	}
	gate_open();
	assert_int_equal(mob_get_all(r, 2, x), 0);
	assert_int_equal(x[0] + x[1], 3);
}

static void test_wait_threads_of_a_task_wait_too(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(w_threads_wait), &x), 0);
	assert_int_equal(x, 84);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(
			test_semantics_8_one_worker_ends_a_tree_of_any_depth),
		cmocka_unit_test(
			test_semantics_8_blocked_task_gives_its_cpu_to_another),
		cmocka_unit_test(test_wait_blocked_task_runs_what_it_submitted),
		cmocka_unit_test(
			test_wait_who_blocks_wakes_who_can_run_something),
	};
	const struct CMUnitTest tests[] = {
		T(test_semantics_2_wait_arguments_are_checked),
		T(test_semantics_1_wait_marks_at_most_what_was_asked_in_order),
		T(test_semantics_3_time_outs_leave_nothing_pending),
		T(test_semantics_6_get_all_fails_fast_and_clears_all),
		T(test_wait_get_all_sees_what_fails_as_it_begins),
		T(test_wait_cancelled_is_no_pending_error),
		T(test_semantics_5_queue_yields_in_order_of_completion),
		T(test_wait_queue_is_popped_by_several_threads),
		T(test_wait_threads_on_one_object),
		T(test_wait_threads_of_a_task_wait_too),
		T(test_wait_get_all_without_a_queue_is_an_error),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	return failed +
	       cmocka_run_group_tests(tests, live_start_two, live_leave);
}
