/* SPDX-License-Identifier: Apache-2.0 */
/* Options as defaults of a function, and those of a call on top; memory. */
#include "live.h"

#include <mobula/graph.h>

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS, OPEN, BEGAN, AGAIN, WORDS };
static struct live_ledger ledger;

static const char *const env[] = { "TEST_DEFAULT=function", NULL };
static const char *const env_of_call[] = { "TEST_DEFAULT=call", NULL };

/* Dies n times. */
MOB_TASK(int64_t, d_dies, mob_str, path, uint64_t, n)
{
	if (live_ledger_add(path, RUNS) < n) {
		(void)raise(SIGKILL);
	}
	return 1;
}
MOB_TASK_DEFAULTS(d_dies, .retries = 0);

MOB_TASK(mob_str, d_env, void)
{
	const char *v = getenv("TEST_DEFAULT");

	return v ? v : "none";
}
MOB_TASK_DEFAULTS(d_env, .env = env, .name = "with env");

MOB_TASK(int64_t, d_bad, void)
{
	return 1;
}
MOB_TASK_DEFAULTS(d_bad, .retries = -2);

MOB_TASK(int64_t, d_waits, mob_str, path, uint64_t, word)
{
	(void)live_ledger_add(path, (uint32_t)word);
	while (!live_ledger_get(path, OPEN)) {
		(void)sched_yield();
	}
	return 1;
}

MOB_TASK(int64_t, d_quick, void)
{
	return 1;
}

static void expect_env(mob_ref r, const char *want)
{
	mob_str got;

	assert_int_equal(mob_get(r, &got), 0);
	assert_string_equal(got, want);
}

static void test_defaults_are_those_of_each_submit(void **state)
{
	int64_t x;

	(void)state;
	ledger.at[RUNS] = 0;
	assert_int_equal(mob_get(mob_submit(d_dies, ledger.path, 1), &x),
			 MOB_E_CRASHED);
	mob_error_clear();
	assert_int_equal(ledger.at[RUNS], 1);
	expect_env(mob_submit(d_env), "function");
}

static void test_defaults_give_way_to_what_a_call_says(void **state)
{
	int64_t x;

	(void)state;
	ledger.at[RUNS] = 0;
	assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.retries = 2), d_dies,
						 ledger.path, 2),
				 &x),
			 0);
	assert_int_equal(ledger.at[RUNS], 3);
	expect_env(mob_submit_with(MOB_OPTS(.env = env_of_call), d_env), "cal"
									 "l");
	/* What it does not say stays. */
	expect_env(mob_submit_with(MOB_OPTS(.priority = 5, .retries = 1),
				   d_env),
		   "function");
}

static void test_defaults_are_left_aside_if_asked_for(void **state)
{
	int64_t x;

	(void)state;
	ledger.at[RUNS] = 0;
	expect_env(mob_submit_with(MOB_OPTS(.alone = 1), d_env), "none");
	assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.alone = 1), d_dies,
						 ledger.path, 3),
				 &x),
			 0);
	assert_int_equal(ledger.at[RUNS], 4);
}

static void expect_inval(mob_ref r, const char *text)
{
	int64_t x;

	assert_int_equal(mob_get(r, &x), MOB_E_INVAL);
	if (!strstr(mob_error(), text)) {
		fail_msg("%s", mob_error());
	}
	mob_error_clear();
}

static void test_defaults_that_are_wrong_are_told_at_submit(void **state)
{
	struct mob_task_opts o = MOB_TASK_OPTS_INIT;
	int64_t x;

	(void)state;
	expect_inval(mob_submit(d_bad), "retries is -2");
	assert_int_equal(
		mob_get(mob_submit_with(MOB_OPTS(.retries = 0), d_bad), &x), 0);
	expect_inval(mob_submit_with(MOB_OPTS(.alone = 2), d_bad), "alone is "
								   "2");
	o.struct_size--;
	assert_int_equal(mob_get(mob_submit_with(o, d_bad), &x), MOB_E_VERSION);
	mob_error_clear();
}

/* Two that wish for more than half of it do not run at once. */
static void test_options_memory_bounds_what_runs_at_once(void **state)
{
	const uint64_t most = UINT64_C(6) << 28; /* of 2 GiB */
	mob_ref r[2];
	int64_t x;

	(void)state;
	memset(ledger.at, 0, WORDS * sizeof(*ledger.at));
	r[0] = mob_submit_with(MOB_OPTS(.memory = most), d_waits, ledger.path,
			       BEGAN);
	while (!live_ledger_get(ledger.path, BEGAN)) {
		(void)sched_yield();
	}
	r[1] = mob_submit_with(MOB_OPTS(.memory = most), d_waits, ledger.path,
			       AGAIN);
	/* The other worker is free, and goes past it. */
	for (int i = 0; i < 100; i++) {
		assert_int_equal(
			mob_get(mob_submit_with(MOB_OPTS(.memory = 1), d_quick),
				&x),
			0);
	}
	assert_int_equal(ledger.at[AGAIN], 0);
	ledger.at[OPEN] = 1;
	assert_int_equal(mob_get(r[0], &x), 0);
	assert_int_equal(mob_get(r[1], &x), 0);
	assert_int_equal(ledger.at[AGAIN], 1);
}

static void test_options_memory_bad_wishes_are_refused(void **state)
{
	(void)state;
	expect_inval(mob_submit_with(MOB_OPTS(.memory = 1, .resources = "memory"
									"=1"),
				     d_quick),
		     "give it once");
	expect_inval(mob_submit_with(MOB_OPTS(.memory = UINT64_MAX), d_quick),
		     "at most 100000 GiB");
}

static int start(void **state)
{
	(void)state;
	assert_int_equal(setenv("MOBULA_RESOURCES", "memory=2", 1), 0);
	live_start(2);
	live_ledger_open(&ledger, WORDS);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	live_ledger_close(&ledger);
	mob_shutdown();
	return unsetenv("MOBULA_RESOURCES");
}

/* Nobody has said how much memory there is. */
static void test_options_memory_is_there_without_a_word(void **state)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	int64_t x;

	(void)state;
	live_start(1);
	assert_int_equal(
		mob_get(mob_submit_with(MOB_OPTS(.memory = 1 << 20), d_quick),
			&x),
		0);
	mob_shutdown();
	o.workers = 1;
	o.resources = "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1";
	assert_int_equal(mob_init(&o), 0);
	expect_inval(mob_submit_with(MOB_OPTS(.memory = 1), d_quick), "no "
								      "resource"
								      " '"
								      "memory"
								      "'");
	mob_shutdown();
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults_are_those_of_each_submit),
		cmocka_unit_test(test_defaults_give_way_to_what_a_call_says),
		cmocka_unit_test(test_defaults_are_left_aside_if_asked_for),
		cmocka_unit_test(
			test_defaults_that_are_wrong_are_told_at_submit),
		cmocka_unit_test(test_options_memory_bounds_what_runs_at_once),
		cmocka_unit_test(test_options_memory_bad_wishes_are_refused),
	};
	const struct CMUnitTest own[] = {
		cmocka_unit_test(test_options_memory_is_there_without_a_word),
	};
	int failed = cmocka_run_group_tests(tests, start, stop);

	return failed ? failed : cmocka_run_group_tests(own, NULL, NULL);
}
