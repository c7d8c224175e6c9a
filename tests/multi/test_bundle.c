/* SPDX-License-Identifier: Apache-2.0 */
/* Several tiny tasks that a worker takes in one go: none is stuck, lost or run twice. */
#include "live.h"

#include "fault.h"

#include <mobula/explain.h>
#include <mobula/session.h>

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TASKS 64
enum { OPEN, HELD, GO, SEQ, RAN, WORDS = RAN + 2 * TASKS };
static struct live_ledger ledger;
static struct mob_scope scope;
static const char *armed = ""; /* in each of the first workers */

static void wait_for(const char *path, uint64_t word)
{
	while (!live_ledger_get(path, word)) {
		(void)sched_yield();
	}
}

/* In this worker, and not in the one that takes its place. */
static void arm(const char *fault)
{
	if (fault[0]) {
#ifdef MOB_FAILPOINTS
		mobi_fault_arm(fault);
#endif
	}
}

/* Keeps a worker until it is let go: the n-th when OPEN is above n. */
MOB_TASK(int64_t, b_gate, mob_str, path, uint64_t, n, mob_str, fault)
{
	arm(fault);
	(void)live_ledger_add(path, HELD);
	while (live_ledger_get(path, OPEN) <= n) {
		(void)sched_yield();
	}
	return 0;
}

MOB_TASK(int64_t, b_wide, void)
{
	return 7;
}

enum { TINY, HOLDS, STOPS };

/* Tiny, unless it is the one that is not. Counts its runs, and notes its turn. */
MOB_TASK(int64_t, b_tiny, mob_str, path, int64_t, i, int32_t, how)
{
	(void)live_ledger_add(path, RAN + (uint64_t)i);
	live_ledger_max(path, RAN + TASKS + (uint64_t)i,
			live_ledger_add(path, SEQ));
	if (how == HOLDS) {
		wait_for(path, GO);
	} else if (how == STOPS) {
		(void)raise(SIGSTOP);
	}
	return getpid();
}

/* What it has learned under load may be anything. */
static void say_tiny(void)
{
	struct mobi_sched *sh = mobi_rt.sched;

	for (uint32_t i = 0; i < MOBI_FUNCTIONS; i++) {
		if (!strcmp(sh->fn[i].name, "b_tiny")) {
			mobi_store(&sh->fn[i].cost_ns, UINT64_C(200));
			return;
		}
	}
	fail();
}

static uint32_t in_bundles(void)
{
	struct mobi_sched *sh = mobi_rt.sched;
	uint32_t n = 0;

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		for (uint32_t k = 0; k < MOBI_BUNDLE_TASKS; k++) {
			n += mobi_load(&sh->bundle[i].task[k]) != 0;
		}
	}
	return n;
}

/* All tasks wait while all workers are kept; the first is not tiny. */
static void begin(int workers, int32_t first, int retries, mob_ref refs[TASKS])
{
	int64_t pid;

	live_start(workers);
	live_ledger_open(&ledger, WORDS);
	scope = mob_scope_open();
	assert_int_equal(
		mob_take(mob_submit(b_tiny, ledger.path, 0, TINY), &pid), 0);
	ledger.at[RAN] = 0;
	ledger.at[SEQ] = 0;
	for (int i = 0; i < workers; i++) {
		(void)mob_submit(b_gate, ledger.path, (uint64_t)i, armed);
	}
	while (ledger.at[HELD] < (uint64_t)workers) {
		(void)sched_yield();
	}
	say_tiny();
	for (int i = 0; i < TASKS; i++) {
		refs[i] = mob_submit_with(MOB_OPTS(.retries = retries), b_tiny,
					  ledger.path, i, i ? TINY : first);
	}
}

static void ends(const mob_ref *refs, int from)
{
	for (int i = from; i < TASKS; i++) {
		int64_t pid;

		assert_int_equal(mob_get(refs[i], &pid), 0);
		assert_int_equal(ledger.at[RAN + i], 1);
	}
}

static void end(void)
{
	mob_scope_close(&scope);
	assert_int_equal(live_audit(0), 0);
	live_ledger_close(&ledger);
	mob_shutdown();
}

struct seen {
	struct mob_session *session;
	uint32_t next; /* READY, and next on a worker */
};

static int look_why(const struct mob_explanation *e, void *arg)
{
	struct seen *seen = arg;

	seen->next += e->why == MOB_WHY_NEXT && e->worker != 0;
	return 0;
}

static int look_task(const struct mob_task_info *t, void *arg)
{
	struct seen *seen = arg;

	return t->state == MOB_TASK_STATE_READY ?
		       mob_session_explain(seen->session, t->id, look_why,
					   arg) :
		       0;
}

static void test_bundle_keeps_the_order_of_the_queue(void **state)
{
	struct seen seen = { .next = 0 };
	mob_ref refs[TASKS];

	(void)state;
	begin(1, HOLDS, 0, refs);
	ledger.at[OPEN] = 2;
	while (!ledger.at[RAN]) {
		(void)sched_yield();
	}
	assert_int_equal(in_bundles(), MOBI_BUNDLE_TASKS);
	assert_int_equal(mob_session_current(&seen.session), 0);
	assert_int_equal(mob_session_tasks(seen.session, look_task, &seen), 0);
	mob_session_close(seen.session);
	assert_int_equal(seen.next, MOBI_BUNDLE_TASKS);
	ledger.at[GO] = 1;
	ends(refs, 0);
	for (int i = 0; i < TASKS; i++) {
		assert_int_equal(ledger.at[RAN + TASKS + i], i);
	}
	assert_int_equal(in_bundles(), 0);
	end();
}

/* The function was tiny so far. Others do what its worker would have done next. */
static void test_bundle_is_not_stuck_behind_a_long_task(void **state)
{
	mob_ref refs[TASKS];
	int64_t pid;

	(void)state;
	begin(2, HOLDS, 0, refs);
	ledger.at[OPEN] = 2;
	ends(refs, 1);
	ledger.at[GO] = 1;
	assert_int_equal(mob_get(refs[0], &pid), 0);
	end();
}

/* Nor while others look in vain for something that they can run. */
static void
test_bundle_is_not_stuck_while_something_waits_for_room(void **state)
{
	mob_ref refs[TASKS];
	mob_ref wide;
	int64_t x;

	(void)state;
	begin(2, HOLDS, 0, refs);
	ledger.at[OPEN] = 1;
	while (in_bundles() < MOBI_BUNDLE_TASKS) {
		(void)sched_yield();
	}
	wide = mob_submit_with(MOB_OPTS(.cpus = 2), b_wide);
	ledger.at[OPEN] = 2;
	ends(refs, 1);
	ledger.at[GO] = 1;
	assert_int_equal(mob_get(refs[0], &x), 0);
	assert_int_equal(mob_get(wide, &x), 0);
	assert_int_equal(x, 7);
	end();
}

static void test_bundle_is_not_stuck_with_a_stopped_worker(void **state)
{
	mob_ref refs[TASKS];
	struct mobi_sched *sh;

	(void)state;
	begin(2, STOPS, 0, refs);
	sh = mobi_rt.sched;
	ledger.at[OPEN] = 2;
	ends(refs, 1);
	for (uint32_t i = 0; i < sh->max_places; i++) {
		uint32_t c = mobi_load(&sh->place[i].client);

		if (c) {
			(void)kill((pid_t)mobi_rt.store->clients[c].proc.pid,
				   SIGCONT);
		}
	}
	ends(refs, 0);
	end();
}

/* False: nobody came by there, as on a busy machine the tasks are not tiny for long. */
static bool is_killed(const char *fault, int32_t first, int retries)
{
	mob_ref refs[TASKS];
	uint64_t starts;
	bool killed;

	armed = fault;
	begin(2, first, retries, refs);
	armed = "";
	starts = mobi_load(&mobi_rt.sched->starts);
	ledger.at[OPEN] = 2;
	ends(refs, 1);
	ledger.at[GO] = 1;
	ends(refs, 0);
	killed = mobi_load(&mobi_rt.sched->starts) > starts;
	end();
	return killed;
}

/* What is in a bundle has not begun: it is no attempt. What is taken is one. */
static void test_bundle_survives_a_kill_at_each_step(void **state)
{
	static const struct {
		const char *fault;
		int32_t first;
		int retries;
	} step[] = { { "bundle.put=kill@3", TINY, 2 },
		     { "bundle.taken=kill@3", TINY, 2 },
		     { "bundle.out=kill@2", HOLDS, 0 } };

	(void)state;
	if (!LIVE_FAILPOINTS) {
		skip();
	}
	for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
		int tries = 1;

		while (!is_killed(step[i].fault, step[i].first,
				  step[i].retries)) {
			if (++tries > 50) {
				fail_msg("nobody was killed at %s",
					 step[i].fault);
			}
		}
	}
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bundle_keeps_the_order_of_the_queue),
		cmocka_unit_test(test_bundle_is_not_stuck_behind_a_long_task),
		cmocka_unit_test(
			test_bundle_is_not_stuck_while_something_waits_for_room),
		cmocka_unit_test(
			test_bundle_is_not_stuck_with_a_stopped_worker),
		cmocka_unit_test(test_bundle_survives_a_kill_at_each_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
