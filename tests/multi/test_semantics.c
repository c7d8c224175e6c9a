/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of docs/semantics.md that belong to no other file. */
#include "live.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

#define LARGE ((size_t)1 << 20)

enum { OPEN = 0, WORDS = 8 };
static struct live_ledger ledger;

/* Runs until it is let go. */
MOB_TASK(int64_t, s_gate, mob_str, path)
{
	while (!live_ledger_get(path, OPEN)) {
		(void)sched_yield();
	}
	return 7;
}

MOB_TASK(int64_t, s_sum, int64_t, after, mob_bytes, b)
{
	const unsigned char *p = b.at;
	int64_t sum = after;

	for (size_t i = 0; i < b.n; i++) {
		sum += p[i];
	}
	return sum;
}

MOB_TASK(int64_t, s_fail, void)
{
	mob_fail(41, "as asked for");
	return 0;
}

MOB_TASK(int64_t, s_dies, void)
{
	(void)raise(SIGKILL);
	return 0;
}

MOB_TASK(mob_bytes, s_too_large, void)
{
	size_t n = (size_t)1 << 40;

	return mob_bytes_of(mob_new_of(mob_bytes, n), n);
}

static void
test_semantics_7_get_that_times_out_leaves_the_task_running(void **state)
{
	mob_ref r;
	int64_t x = 5;

	(void)state;
	ledger.at[OPEN] = 0;
	r = mob_submit(s_gate, ledger.path);
	assert_int_equal(mob_get_timeout(r, 3 * MOB_MS, &x), MOB_E_TIMEOUT);
	assert_int_equal(x, 0);
	assert_int_equal(mob_error_code(), 0);
	ledger.at[OPEN] = 1;
	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(x, 7);
}

/* One object has it, however many tasks are given it and whatever happens to them. */
static void test_semantics_13_large_value_is_put_once(void **state)
{
	enum { TASKS = 8 };
	static unsigned char bytes[LARGE];
	uint64_t before;
	int64_t want = 7;
	int64_t x;
	mob_ref gate;
	mob_ref r[TASKS];
	mob_ref other;

	(void)state;
	ledger.at[OPEN] = 0;
	gate = mob_submit(s_gate, ledger.path);
	for (size_t i = 0; i < LARGE; i++) {
		bytes[i] = (unsigned char)(i * 7);
		want += bytes[i];
	}
	before = live_used_bytes();
	for (int i = 0; i < TASKS; i++) {
		r[i] = mob_submit(s_sum, gate, mob_bytes_of(bytes, LARGE));
		assert_true(live_used_bytes() - before >= LARGE);
		assert_true(live_used_bytes() - before < LARGE + LARGE / 4);
	}
	memset(bytes, 0, LARGE); /* they have their own */
	other = mob_submit(s_sum, gate, mob_bytes_of(bytes, LARGE));
	assert_true(live_used_bytes() - before >= 2 * LARGE);
	ledger.at[OPEN] = 1;
	for (int i = 0; i < TASKS; i++) {
		assert_int_equal(mob_get(r[i], &x), 0);
		assert_int_equal(x, want);
	}
	assert_int_equal(mob_get(other, &x), 0);
	assert_int_equal(x, 7);
}

/* Reads it, and gives the code that is pending then. */
static int code_of(mob_ref r)
{
	int64_t x;
	int code;

	assert_int_not_equal(mob_get(r, &x), 0);
	code = mob_error_code();
	mob_error_clear();
	return code;
}

static void test_semantics_17_families_are_told_apart(void **state)
{
	mob_bytes b;
	mob_ref r;

	(void)state;
	ledger.at[OPEN] = 0;
	r = mob_submit(s_gate, ledger.path);
	assert_int_equal(code_of(mob_submit(s_fail)), 41);
	assert_int_equal(
		code_of(mob_submit_with(MOB_OPTS(.retries = 0), s_dies)),
		MOB_E_CRASHED);
	assert_int_equal(code_of(mob_submit_with(MOB_OPTS(.timeout_ns = MOB_MS,
							  .grace_ns = MOB_MS),
						 s_gate, ledger.path)),
			 MOB_E_TIMEOUT);
	assert_int_equal(mob_get(mob_submit(s_too_large), &b),
			 MOB_E_STORE_FULL);
	mob_error_clear();
	assert_int_equal(mob_task_cancel(r, 0), 1);
	ledger.at[OPEN] = 1;
	assert_int_equal(code_of(r), MOB_E_CANCELLED);
}

static int start(void **state)
{
	(void)state;
	live_start(2);
	live_ledger_open(&ledger, WORDS);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	live_ledger_close(&ledger);
	mob_shutdown();
	return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_7_get_that_times_out_leaves_the_task_running),
		T(test_semantics_13_large_value_is_put_once),
		T(test_semantics_17_families_are_told_apart),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
