/* SPDX-License-Identifier: Apache-2.0 */
/* Why a task does not run: one test for each thing that it can lack. */
#include "live.h"

#include "fault.h"
#include "os_run.h"

#include <mobula/explain.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GO = 0, FIRST = 1, THIRD = 2, WORDS = 16 };
static struct live_ledger ledger;

/* Stands until word `go` lets it. */
MOB_TASK(int64_t, e_stand, mob_str, path, uint64_t, go)
{
	while (!live_ledger_get(path, go)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return 1;
}

MOB_TASK(int64_t, e_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(int64_t, e_waits, mob_str, path)
{
	int64_t x = 0;

	mob_get(mob_submit(e_stand, path, GO), &x);
	return x;
}

MOB_TASK(int64_t, e_fails, int64_t, x)
{
	mob_fail(1, "no");
	return x;
}

static struct mob_explanation seen;
static char name[96];
static char policy[32];

static int keep(const struct mob_explanation *e, void *arg)
{
	(void)arg;
	seen = *e;
	(void)snprintf(name, sizeof(name), "%s", e->name);
	(void)snprintf(policy, sizeof(policy), "%s", e->policy);
	return 0;
}

static uint64_t task_of(mob_ref r)
{
	return mobi_load(
		&mobi_rt.store->slots[(uint32_t)r.lo % MOBI_SLOTS].producer);
}

static int explain(uint64_t task)
{
	struct mob_session *s;
	int rc;

	assert_int_equal(mob_session_current(&s), 0);
	rc = mob_session_explain(s, task, keep, NULL);
	mob_session_close(s);
	return rc;
}

struct wish {
	uint64_t task;
	uint32_t why;
};

static bool is_so(void *arg)
{
	const struct wish *w = arg;

	return explain(w->task) == 0 && seen.why == w->why;
}

/* In the end it is for this that the task does not run. */
static void because(mob_ref r, uint32_t why)
{
	struct wish w = { task_of(r), why };

	if (!live_await(is_so, &w)) {
		fail_msg("it is because of %s, not %s", mob_why_name(seen.why),
			 mob_why_name(why));
	}
	assert_int_equal(seen.task, w.task);
}

static bool waits_for_a_task(void *arg)
{
	const uint64_t *task = arg;

	return explain(*task) == 0 && seen.why == MOB_WHY_BLOCKED && seen.maker;
}

static mob_ref stand(void)
{
	mob_ref r = mob_submit(e_stand, ledger.path, GO);

	because(r, MOB_WHY_RUNS);
	return r;
}

static void let_go(mob_ref *r, int n)
{
	int64_t x;

	(void)live_ledger_add(ledger.path, GO);
	for (int i = 0; i < n; i++) {
		assert_int_equal(mob_get(r[i], &x), 0);
	}
}

#define QUEUED 6

static void test_semantics_38_explain_queue_and_room(void **state)
{
	mob_ref first = mob_submit(e_stand, ledger.path, FIRST);
	mob_ref r[QUEUED + 1];

	(void)state;
	because(first, MOB_WHY_RUNS);
	assert_string_equal(name, "e_stand");
	assert_string_equal(policy, "fifo");
	r[QUEUED] = mob_submit(e_stand, ledger.path, GO);
	for (int i = 0; i < QUEUED; i++) {
		r[i] = mob_submit(e_add, i, 1);
		because(r[i], MOB_WHY_UNSEEN);
	}
	/* The worker looks at them when it takes the second that stands. */
	(void)live_ledger_add(ledger.path, FIRST);
	because(r[QUEUED], MOB_WHY_RUNS);
	for (int i = 1; i < QUEUED; i++) {
		because(r[i], MOB_WHY_QUEUED);
		assert_int_equal(seen.before, i);
		assert_int_equal(seen.queue, MOB_QUEUE_SHARED);
		assert_true(seen.queued_ns > 0);
	}
	because(r[0], MOB_WHY_NO_ROOM);
	assert_int_equal(seen.cpus, 10000);
	assert_int_equal(seen.cpus_free, 0);
	assert_int_equal(seen.cpus_all, 10000);
	assert_int_equal(seen.workers, 1);
	assert_int_equal(seen.attempt, 1);
	let_go(r, QUEUED + 1);
}

static bool is_queued_for_long(void *arg)
{
	const uint64_t *task = arg;

	return explain(*task) == 0 && seen.queued_ns > 300 * MOB_MS;
}

static bool has_other_daemon(void *arg)
{
	int pid = live_daemon();

	return pid > 0 && pid != *(const int *)arg;
}

static bool is_reaped(void *arg)
{
	return mobi_load(&mobi_rt.store->hdr->reaps) > *(uint64_t *)arg;
}

/* Since when it is queued is not forgotten when a process dies. */
static void test_semantics_38_explain_queued_since(void **state)
{
	uint64_t reaps = mobi_load(&mobi_rt.store->hdr->reaps);
	int daemon = live_daemon();
	mob_ref r[4];
	uint64_t task;
	uint64_t was;
	int64_t x;

	(void)state;
	r[0] = mob_submit(e_stand, ledger.path, FIRST);
	because(r[0], MOB_WHY_RUNS);
	r[1] = mob_submit(e_stand, ledger.path, THIRD);
	r[2] = mob_submit(e_stand, ledger.path, GO);
	r[3] = mob_submit(e_add, 1, 2);
	task = task_of(r[3]);
	(void)live_ledger_add(ledger.path, FIRST);
	assert_true(live_await(is_queued_for_long, &task));
	was = seen.queued_ns;
	assert_int_equal(kill(daemon, SIGKILL), 0);
	assert_true(live_await(has_other_daemon, &daemon));
	assert_true(live_await(is_reaped, &reaps));
	/* The worker looks at what is to be queued, and takes the next. */
	(void)live_ledger_add(ledger.path, THIRD);
	because(r[2], MOB_WHY_RUNS);
	assert_int_equal(explain(task), 0);
	assert_true(seen.queued_ns >= was);
	let_go(r, 3);
	assert_int_equal(mob_get(r[3], &x), 0);
}

static void test_semantics_38_explain_argument(void **state)
{
	mob_ref r[3] = { stand() };

	(void)state;
	r[1] = mob_submit(e_add, r[0], 1);
	r[2] = mob_submit(e_add, r[1], r[0]);
	because(r[1], MOB_WHY_ARGUMENT);
	assert_int_equal(seen.maker, task_of(r[0]));
	assert_int_equal(seen.object.lo, r[0].lo);
	assert_int_equal(seen.objects, 1);
	because(r[2], MOB_WHY_ARGUMENT);
	assert_int_equal(seen.maker, task_of(r[1]));
	assert_int_equal(seen.objects, 2);
	let_go(r, 3);
}

static void test_semantics_38_explain_blocked(void **state)
{
	mob_ref r = mob_submit(e_waits, ledger.path);
	uint64_t inner;

	(void)state;
	/* It is blocked a moment before it is known for what. */
	inner = task_of(r);
	assert_true(live_await(waits_for_a_task, &inner));
	inner = seen.maker;
	assert_int_not_equal(seen.worker, 0);
	assert_int_equal(explain(inner), 0);
	assert_string_equal(name, "e_stand");
	let_go(&r, 1);
}

static void test_semantics_38_explain_too_large(void **state)
{
	mob_ref r = mob_submit_with(MOB_OPTS(.cpus = 1.5), e_add, 1, 2);

	(void)state;
	because(r, MOB_WHY_TOO_LARGE);
	assert_int_equal(seen.cpus, 15000);
	assert_int_equal(seen.cpus_all, 10000);
	assert_true(mob_task_cancel(r, 0) >= 0);
}

static void test_semantics_38_explain_delayed(void **state)
{
	mob_ref r = mob_submit_with(
		MOB_OPTS(.retry_errors = 1,
			 .backoff_ns = 3600 * (uint64_t)MOB_SEC),
		e_fails, 1);

	(void)state;
	because(r, MOB_WHY_DELAYED);
	assert_true(seen.in_ns > 1800 * (uint64_t)MOB_SEC);
	assert_int_equal(seen.attempt, 2);
	assert_true(mob_task_cancel(r, 0) >= 0);
}

static void test_semantics_38_explain_ended(void **state)
{
	mob_ref r = mob_submit(e_add, 1, 2);
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(r, &x), 0);
	while (explain(task_of(r)) == 0) {
		mobi_pause_ns(MOB_MS / 5);
	}
	assert_int_equal(explain(task_of(r)), MOB_E_NOT_FOUND);
}

/* ---- processes that are stopped ---- */

static void send_signal(uint32_t client, int sig)
{
	assert_int_equal(
		kill((pid_t)mobi_rt.store->clients[client].proc.pid, sig), 0);
}

static bool is_stopped(void *arg)
{
	struct mobi_proc p = mobi_rt.store->clients[*(uint32_t *)arg].proc;

	return mobi_proc_stopped(&p);
}

static int note_state(const struct mob_worker_info *w, void *arg)
{
	struct mob_worker_info *out = arg;

	if (w->number == out->number) {
		out->state = w->state;
	}
	return 0;
}

static void test_semantics_38_explain_stopped_worker(void **state)
{
	mob_ref r = stand();
	struct mob_session *s;
	struct mob_worker_info how = { .number = seen.worker };
	uint32_t worker = seen.worker;

	(void)state;
	assert_int_equal(seen.pid, mobi_rt.store->clients[worker].proc.pid);
	assert_int_equal(seen.is_stopped, 0);
	send_signal(worker, SIGSTOP);
	assert_true(live_await(is_stopped, &worker));
	because(r, MOB_WHY_RUNS);
	assert_int_equal(seen.is_stopped, 1);
	assert_int_equal(mob_session_current(&s), 0);
	assert_int_equal(mob_session_workers(s, note_state, &how), 0);
	mob_session_close(s);
	assert_int_equal(how.state, MOB_WORKER_STOPPED);
	send_signal(worker, SIGCONT);
	let_go(&r, 1);
}

/* Creates an object that it seals when it is let go. */
MOB_TASK(int64_t, e_seals, mob_str, path)
{
	struct mob_store *s = mobi_rt.store;
	mob_ref object;
	void *at;

	if (mob_object_create(s, 8, MOB_TYPE_I64, &object, &at) < 0 ||
	    mob_name_put(s, "e_object", object, 0, NULL) < 0) {
		return 0;
	}
	memset(at, 0, 8);
	(void)live_ledger_add(path, FIRST);
	while (!live_ledger_get(path, GO)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	if (mob_object_seal(s, object) == 0) {
		(void)mob_object_release(s, object);
	}
	return 1;
}

static bool is_made(void *arg)
{
	(void)arg;
	return ledger.at[FIRST];
}

static void test_semantics_38_explain_stopped_maker(void **state)
{
	mob_ref r[2] = { mob_submit(e_seals, ledger.path) };
	uint32_t worker;
	mob_ref object;

	(void)state;
	because(r[0], MOB_WHY_RUNS);
	worker = seen.worker;
	assert_true(live_await(is_made, NULL));
	assert_int_equal(mob_name_get(mobi_rt.store, "e_object", &object, NULL),
			 0);
	r[1] = mob_submit(e_add, object, 1);
	because(r[1], MOB_WHY_ARGUMENT);
	assert_int_equal(seen.maker_process, worker);
	assert_int_equal(seen.maker_is_stopped, 0);
	send_signal(worker, SIGSTOP);
	assert_true(live_await(is_stopped, &worker));
	because(r[1], MOB_WHY_ARGUMENT);
	assert_int_equal(seen.maker_is_stopped, 1);
	assert_int_equal(seen.pid, mobi_rt.store->clients[worker].proc.pid);
	send_signal(worker, SIGCONT);
	let_go(r, 2);
	assert_int_equal(mob_name_remove(mobi_rt.store, "e_object"), 0);
	(void)mob_object_release(mobi_rt.store, object);
}

#ifdef MOB_FAILPOINTS
MOB_TASK(mob_bytes, e_makes, void)
{
	void *p = mob_new(65536);

	if (p) {
		memset(p, 7, 65536);
	}
	return mob_bytes_of(p, p ? 65536 : 0);
}

MOB_TASK(int64_t, e_needs, mob_ref, of)
{
	return mob_join(of) == 0;
}

static bool has_gone(void *arg)
{
	return mobi_rt.store->hooks->evict(mobi_rt.store, ((mob_ref *)arg)->lo,
					   false);
}

static bool is_again(void *arg)
{
	return explain(*(uint64_t *)arg) == 0 && seen.why == MOB_WHY_AGAIN &&
	       seen.is_stopped;
}

/* Another worker may come by there, too, and is stopped. */
static bool all_go_on(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < live_workers(); i++) {
		int pid = live_worker(i);

		if (pid > 0) {
			(void)kill(pid, SIGCONT);
		}
	}
	return live_tasks() == 0;
}

/* Who was about to have a task run again for what went is stopped: so says who looks
 * why others wait for that. */
static void test_semantics_38_explain_again(void **state)
{
	uint64_t task;
	uint64_t waits;
	mob_ref made;
	mob_ref r[2];
	int64_t x[2];

	(void)state;
	assert_int_equal(setenv("MOBULA_FAULT", "lineage.taken=stop@1", 1), 0);
	live_start_with(2, "fifo");
	assert_int_equal(unsetenv("MOBULA_FAULT"), 0);
	mobi_fault_arm(""); /* this process goes on */
	live_ledger_open(&ledger, WORDS);
	MOB_SCOPE
	{
		made = mob_submit(e_makes);
		assert_int_equal(mob_join(made), 0);
		assert_true(live_await(has_gone, &made));
		task = task_of(made);
		assert_int_equal(explain(task), MOB_E_NOT_FOUND);
		r[0] = mob_submit(e_needs, made);
		assert_true(live_await(is_again, &task));
		assert_string_equal(name, "e_makes");
		assert_int_equal(seen.attempt, 2);
		r[1] = mob_submit(e_needs, made);
		waits = task_of(r[1]);
		assert_true(live_await(waits_for_a_task, &waits));
		assert_int_equal(seen.maker, task);
		assert_int_equal(explain(task), 0);
		send_signal(seen.worker, SIGCONT);
		assert_int_equal(mob_get_all(r, 2, x), 0);
		assert_int_equal(x[0] + x[1], 2);
	}
	assert_true(live_await(all_go_on, NULL));
	assert_int_equal(live_audit(0), 0);
	live_ledger_close(&ledger);
	mob_shutdown();
}
#endif

static int open_test(void **state)
{
	live_ledger_open(&ledger, WORDS);
	return live_open(state);
}

static int close_test(void **state)
{
	int rc = live_clean(state);

	live_ledger_close(&ledger);
	return rc;
}

static int start(void **state)
{
	(void)state;
	live_start_with(1, "fifo");
	return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_test, close_test)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_38_explain_queue_and_room),
		T(test_semantics_38_explain_queued_since),
		T(test_semantics_38_explain_argument),
		T(test_semantics_38_explain_blocked),
		T(test_semantics_38_explain_too_large),
		T(test_semantics_38_explain_delayed),
		T(test_semantics_38_explain_ended),
		T(test_semantics_38_explain_stopped_worker),
		T(test_semantics_38_explain_stopped_maker),
	};
#ifdef MOB_FAILPOINTS
	const struct CMUnitTest alone[] = {
		cmocka_unit_test(test_semantics_38_explain_again),
	};
	int rc = cmocka_run_group_tests(alone, NULL, NULL);

	if (rc) {
		return rc;
	}
#endif
	return cmocka_run_group_tests(tests, start, live_leave);
}
