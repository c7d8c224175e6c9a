/* SPDX-License-Identifier: Apache-2.0 */
/* Gets that run themselves what they wait for, where workers are still to be had. */
#include "live.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { OPEN, BEGAN, DEATHS, WORDS };
static struct live_ledger ledger;

MOB_TASK(int64_t, i_gate, mob_str, path)
{
	(void)live_ledger_add(path, BEGAN);
	while (!live_ledger_get(path, OPEN)) {
		(void)sched_yield();
	}
	return 1;
}

MOB_TASK(int64_t, i_pid, int64_t, after)
{
	(void)after;
	return getpid();
}

/* Is what it waits for, and what that waits for, run by its own process? */
MOB_TASK(int64_t, i_gets, int64_t, timeout)
{
	mob_ref r = mob_submit(i_pid, mob_submit(i_pid, 0));
	int64_t pid = 0;

	mob_get_timeout(r, timeout, &pid);
	return pid == getpid();
}

MOB_TASK(int64_t, i_dies_once, mob_str, path)
{
	if (live_ledger_add(path, DEATHS) == 0) {
		(void)raise(SIGKILL);
	}
	return 3;
}

MOB_TASK(int64_t, i_outer, mob_str, path)
{
	int64_t x = 0;

	mob_get(mob_submit_with(MOB_OPTS(.retries = 1), i_dies_once, path), &x);
	return x;
}

/* The one of two workers that the gate does not keep. */
static void begin(const char *inline_gets)
{
	assert_int_equal(setenv("MOBULA_INLINE_GETS", inline_gets, 1), 0);
	live_start(2);
	live_ledger_open(&ledger, WORDS);
	(void)mob_submit(i_gate, ledger.path);
	while (!live_ledger_get(ledger.path, BEGAN)) {
		(void)sched_yield();
	}
}

static void end(void)
{
	ledger.at[OPEN] = 1;
	live_ledger_close(&ledger);
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_INLINE_GETS"), 0);
}

static void expect(mob_ref r, int64_t want)
{
	int64_t x;

	assert_int_equal(mob_get(r, &x), 0);
	assert_int_equal(x, want);
}

static void test_inline_get_runs_what_nobody_runs(void **state)
{
	(void)state;
	begin("1");
	for (int i = 0; i < 100; i++) {
		expect(mob_submit(i_gets, MOB_FOREVER), 1);
	}
	end();
}

/* Nor does a get that may end early start what may not. */
static void test_inline_is_asked_for_and_not_for_time_outs(void **state)
{
	(void)state;
	begin("1");
	expect(mob_submit(i_gets, 1000 * MOB_SEC), 0);
	end();
	begin("0");
	expect(mob_submit(i_gets, MOB_FOREVER), 0);
	end();
}

static void test_inline_death_is_not_charged_to_who_waits(void **state)
{
	(void)state;
	begin("1");
	expect(mob_submit_with(MOB_OPTS(.retries = 0), i_outer, ledger.path),
	       3);
	/* The first is run again if it is not yet known that nobody waits. */
	assert_in_range(ledger.at[DEATHS], 2, 3);
	end();
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inline_get_runs_what_nobody_runs),
		cmocka_unit_test(
			test_inline_is_asked_for_and_not_for_time_outs),
		cmocka_unit_test(test_inline_death_is_not_charged_to_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
