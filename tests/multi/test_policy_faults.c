/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies that go wrong in a living session: thrown out, the fallback goes on,
 * nothing is lost and nothing is run twice. Each task counts its runs in a file
 * that outlives whoever is killed.
 */
#include "live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 1500

MOB_TASK(int64_t, p_run, mob_str, ledger, uint64_t, i, int64_t, x)
{
	(void)live_ledger_add(ledger, i);
	return x + 1;
}

/* A task that waits for tasks while the policy goes. */
MOB_TASK(int64_t, p_nest, mob_str, ledger, uint64_t, i)
{
	int64_t a;
	int64_t b;
	mob_ref left = mob_submit(p_run, ledger, i + 1, 10);

	(void)live_ledger_add(ledger, i);
	mob_get(mob_submit(p_run, ledger, i + 2, 20), &b);
	mob_get(left, &a);
	return a + b;
}

struct fault {
	const char *file;
	const char *reason; /* part of it */
};

static const struct fault faults[] = {
	{ "turns_bad_1", "op pick" },    { "turns_bad_2", "op place" },
	{ "turns_bad_3", "op pick" },    { "turns_bad_4", "op place" },
	{ "turns_bad_5", "starvation" }, { "turns_bad_6", "op place" },
	{ "turns_bad_7", "op pick" },    { "turns_bad_8", "op pick" },
	{ "turns_bad_9", "op start" },
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void path_of(char *out, size_t size, const char *file)
{
	(void)snprintf(out, size, "%s/sched_%s.so", TEST_PLUGINS, file);
}

static bool is_ejected(void *arg)
{
	const uint64_t *before = arg;

	return live_ejections() > *before;
}

/* Tasks until it has gone wrong, and all that were submitted meanwhile. */
static void load_of(struct live_ledger *l, mob_ref *r)
{
	mob_ref first = mob_submit(p_run, l->path, 0, 0);

	for (uint64_t i = 1; i < TASKS; i++) {
		if (i % 50 == 10 && i + 2 < TASKS) {
			r[i] = mob_submit(p_nest, l->path, i);
			r[i + 1] = r[i + 2] = r[i];
			i += 2;
		} else if (i % 3 == 0) {
			r[i] = mob_submit(p_run, l->path, i, first);
		} else {
			r[i] = mob_submit(p_run, l->path, i, (int64_t)i);
		}
	}
	r[0] = first;
}

static void check(struct live_ledger *l, const mob_ref *r)
{
	for (uint64_t i = 0; i < TASKS; i++) {
		int64_t x;

		assert_int_equal(mob_get(r[i], &x), 0);
		if (i == 0 ||
		    (i % 3 == 0 && !mob_ref_equal(r[i], r[i - 1]) &&
		     (i + 1 >= TASKS || !mob_ref_equal(r[i], r[i + 1])))) {
			assert_int_equal(x, i ? 2 : 1);
		}
	}
	for (uint64_t i = 0; i < TASKS; i++) {
		if (mobi_load(&l->at[i]) != 1) {
			fail_msg("task %u ran %u times", (unsigned)i,
				 (unsigned)mobi_load(&l->at[i]));
		}
	}
}

static void run_fault(const struct fault *f, int32_t workers)
{
	static mob_ref r[TASKS];
	struct live_ledger l;
	char path[512];
	uint64_t before;

	path_of(path, sizeof(path), f->file);
	live_start_with(workers, "fifo");
	before = live_ejections();
	MOB_SCOPE
	{
		live_ledger_open(&l, TASKS);
		assert_int_equal(live_swap(path, false), 0);
		load_of(&l, r);
		check(&l, r);
		assert_true(live_await(is_ejected, &before));
		assert_string_equal(live_policy(), "fifo");
		if (!strstr(mobi_rt.sched->ejected_reason, f->reason)) {
			fail_msg("%s: '%s' is not in: %s", f->file, f->reason,
				 mobi_rt.sched->ejected_reason);
		}
		/* And it goes on. */
		memset((void *)(uintptr_t)l.at, 0, l.n * sizeof(*l.at));
		load_of(&l, r);
		check(&l, r);
		assert_int_equal(live_ejections(), before + 1);
		live_ledger_close(&l);
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

static void test_policy_faults_are_thrown_out_under_load(void **state)
{
	(void)state;
	for (size_t i = 0; i < FAULTS; i++) {
		run_fault(&faults[i], 2);
	}
}

/* Nobody else is there to notice but the daemon. */
static void test_policy_faults_with_one_worker(void **state)
{
	(void)state;
	for (size_t i = 0; i < FAULTS; i++) {
		run_fault(&faults[i], 1);
	}
}

/* Swapped in again and again, with good ones in between. */
static void test_policy_faults_in_turn_in_one_session(void **state)
{
	static mob_ref r[TASKS];
	struct live_ledger l;

	(void)state;
	live_start_with(2, "ws");
	for (size_t i = 0; i < 2 * FAULTS; i++) {
		MOB_SCOPE
		{
			char path[512];

			live_ledger_open(&l, TASKS);
			path_of(path, sizeof(path), faults[i % FAULTS].file);
			load_of(&l, r);
			assert_int_equal(
				live_swap(i % 2 ? "ws" : "lifo", false), 0);
			assert_int_equal(live_swap(path, false), 0);
			check(&l, r);
			live_ledger_close(&l);
		}
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

static void test_policy_faults_are_found_by_the_check(void **state)
{
	/* bad_spin, which costs 10 s of CPU time, is in tests/conform. */
	static const char *const bad[] = { "bad_crash", "bad_overrun",
					   "bad_starve", "bad_static",
					   "bad_verdict" };
	struct mob_session *session;
	static mob_ref r[TASKS];
	struct live_ledger l;

	(void)state;
	live_start_with(2, "ws");
	assert_int_equal(mob_session_current(&session), 0);
	MOB_SCOPE
	{
		live_ledger_open(&l, TASKS);
		load_of(&l, r);
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			char path[512];
			int rc;

			(void)snprintf(path, sizeof(path), "%s/sched_%s.so",
				       TEST_BAD, bad[i]);
			rc = mob_policy_swap(session, path, NULL);
			if (rc != MOB_E_PLUGIN) {
				fail_msg("%s: %s: %s", bad[i], mob_err_name(rc),
					 mob_err_detail(rc));
			}
			assert_string_equal(live_policy(), "ws");
		}
		assert_int_equal(mob_policy_swap(session, "no_such_policy",
						 NULL),
				 MOB_E_NOT_FOUND);
		check(&l, r);
		live_ledger_close(&l);
	}
	assert_int_equal(live_ejections(), 0);
	mob_session_close(session);
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

/* What a test that failed left in the way of the next. */
static int leave(void **state)
{
	(void)state;
	mob_shutdown();
	mob_error_clear();
	return 0;
}

#define T(test) cmocka_unit_test_teardown(test, leave)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_policy_faults_are_thrown_out_under_load),
		T(test_policy_faults_with_one_worker),
		T(test_policy_faults_in_turn_in_one_session),
		T(test_policy_faults_are_found_by_the_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
