/* SPDX-License-Identifier: Apache-2.0 */
/* Options as defaults of a function, and those of a call on top; memory. */
#include "live.h"

#include "os_run.h"

#include <mobula/graph.h>
#include <mobula/map.h>

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS, OPEN, BEGAN, AGAIN, SHARED, RIGHT, WRONG, WORDS };
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

/* The same without options. */
MOB_TASK(mob_str, d_plain, void)
{
	const char *v = getenv("TEST_DEFAULT");

	return v ? v : "none";
}

static const char *const env_of_op[] = { "TEST_DEFAULT=operator", NULL };

/* What is around where two values become one. */
MOB_TASK(mob_str, d_op, mob_str, a, mob_str, b)
{
	const char *v = getenv("TEST_DEFAULT");

	(void)a;
	(void)b;
	return v ? v : "none";
}
MOB_TASK_DEFAULTS(d_op, .env = env_of_op);

/* Turns in which it is as it should be, and those in which it is not; the second half
 * is given away before the first has ended. */
MOB_TASK(void, d_turns, int64_t, lo, int64_t, hi, mob_str, path, mob_str, want)
{
	const char *v = getenv("TEST_DEFAULT");
	bool right = !strcmp(v ? v : "none", want);

	for (int64_t i = lo; i < hi; i++) {
		(void)live_ledger_add(path, right ? RIGHT : WRONG);
		if (i >= 500) {
			(void)live_ledger_add(path, SHARED);
		} else if (!live_ledger_get(path, SHARED)) {
			mobi_pause_ns(MOB_MS);
		}
	}
}
MOB_TASK_DEFAULTS(d_turns, .env = env, .cwd = "/");

/* Dies once. */
MOB_TASK(void, d_turn_dies, int64_t, lo, int64_t, hi, mob_str, path)
{
	(void)lo;
	(void)hi;
	if (!live_ledger_add(path, RUNS)) {
		(void)raise(SIGKILL);
	}
}
MOB_TASK_DEFAULTS(d_turn_dies, .retries = 0);

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

/* ---- maps, folds, loops ---- */

static void expect_next(struct mob_map *m, const char *want)
{
	mob_str got;

	assert_int_equal(mob_map_next(m, &got), 1);
	assert_string_equal(got, want);
}

/* n calls, chunk by chunk; those of another function have nothing of them. */
static void expect_map(const struct mob_task_opts *task, uint32_t chunk,
		       const char *want, const char *plain)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;

	o.task = task;
	o.chunk = chunk;
	o.window = 100;
	assert_int_equal(mob_map_open(&o, &m), 0);
	/* Beyond the window of before the first result is known. */
	assert_int_equal(mob_map_add(m, d_env), 0);
	expect_next(m, want);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_map_add(m, d_env), 0);
	}
	assert_int_equal(mob_map_add(m, d_plain), 0);
	for (int i = 0; i < 20; i++) {
		expect_next(m, want);
	}
	expect_next(m, plain);
	mob_map_close(m);
}

static void test_defaults_are_those_of_the_calls_of_a_map(void **state)
{
	struct mob_task_opts call = MOB_OPTS(.env = env_of_call);
	struct mob_task_opts other = MOB_OPTS(.priority = 3);
	struct mob_task_opts alone = MOB_OPTS(.alone = 1);

	(void)state;
	for (uint32_t chunk = 0; chunk < 8; chunk += 3) {
		expect_map(NULL, chunk, "function", "none");
		expect_map(&other, chunk, "function", "none");
		expect_map(&call, chunk, "call", "call");
		expect_map(&alone, chunk, "none", "none");
	}
}

static void test_defaults_of_a_map_say_how_often_it_is_retried(void **state)
{
	struct mob_task_opts twice = MOB_OPTS(.retries = 2);
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;

	(void)state;
	for (int call = 0; call < 2; call++) {
		struct mob_map *m;
		int64_t x;

		o.task = call ? &twice : NULL;
		ledger.at[RUNS] = 0;
		assert_int_equal(mob_map_open(&o, &m), 0);
		assert_int_equal(mob_map_add(m, d_dies, ledger.path, 2), 0);
		assert_int_equal(mob_map_next(m, &x), call ? 1 : MOB_E_CRASHED);
		mob_error_clear();
		assert_int_equal(ledger.at[RUNS], call ? 3 : 1);
		assert_int_equal(mob_map_add(m, d_bad), 0);
		assert_int_equal(mob_map_next(m, &x), call ? 1 : MOB_E_INVAL);
		mob_error_clear();
		mob_map_close(m);
	}
}

/* One that is not to be retried is not looked for in a chunk whose worker died; not
 * even when the map has gone on to another function. */
static void test_defaults_of_a_map_say_what_becomes_of_a_chunk(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;
	mob_str text;
	int64_t x;

	(void)state;
	o.chunk = 4;
	o.chunk_ns = 60 * (uint64_t)MOB_SEC; /* none is kept back too long */
	ledger.at[RUNS] = 0;
	assert_int_equal(mob_map_open(&o, &m), 0);
	assert_int_equal(mob_map_add(m, d_plain), 0);
	assert_int_equal(mob_map_next(m, &text), 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mob_map_add(m, d_dies, ledger.path, 1), 0);
	}
	assert_int_equal(mob_map_add(m, d_plain), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mob_map_next(m, &x), MOB_E_CRASHED);
		mob_error_clear();
	}
	expect_next(m, "none");
	assert_int_equal(ledger.at[RUNS], 1);
	mob_map_close(m);
}

static void test_defaults_of_an_operator_are_those_of_folds(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;
	mob_ref refs[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		refs[i] = mob_submit(d_plain);
	}
	expect_env(mob_reduce(d_op, refs, 5), "operator");
	o.chunk = 1;
	assert_int_equal(mob_map_open(&o, &m), 0);
	assert_int_equal(mob_map_fold(m, d_op), 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(mob_map_add(m, d_plain), 0);
	}
	expect_next(m, "operator");
	mob_map_close(m);
}

static void expect_turns(int rc)
{
	assert_int_equal(rc, 0);
	assert_int_equal(ledger.at[RIGHT], 1000);
	assert_int_equal(ledger.at[WRONG], 0);
	ledger.at[RIGHT] = ledger.at[SHARED] = 0;
}

static void test_defaults_are_those_of_a_loop(void **state)
{
	const char *own = "function";

	(void)state;
	memset(ledger.at, 0, WORDS * sizeof(*ledger.at));
	for (int i = 0; i < 10; i++) {
		expect_turns(mob_for(d_turns, 0, 1000, ledger.path, own));
		expect_turns(mob_for_with(MOB_OPTS(.env = env_of_call), d_turns,
					  0, 1000, ledger.path, "call"));
		expect_turns(mob_for_with(MOB_OPTS(.alone = 1), d_turns, 0,
					  1000, ledger.path, "none"));
	}
	assert_int_equal(mob_for(d_turn_dies, 0, 1, ledger.path),
			 MOB_E_CRASHED);
	mob_error_clear();
	ledger.at[RUNS] = 0;
	assert_int_equal(mob_for_with(MOB_OPTS(.retries = 1), d_turn_dies, 0, 1,
				      ledger.path),
			 0);
	assert_int_equal(ledger.at[RUNS], 2);
}

/* ---- memory ---- */

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
	/* The other worker is free, and what needs none of it goes past. (What does
	 * might not: some may be kept for the one that has waited for long.) */
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mob_get(mob_submit(d_quick), &x), 0);
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
		cmocka_unit_test(test_defaults_are_those_of_the_calls_of_a_map),
		cmocka_unit_test(
			test_defaults_of_a_map_say_how_often_it_is_retried),
		cmocka_unit_test(
			test_defaults_of_a_map_say_what_becomes_of_a_chunk),
		cmocka_unit_test(
			test_defaults_of_an_operator_are_those_of_folds),
		cmocka_unit_test(test_defaults_are_those_of_a_loop),
		cmocka_unit_test(test_options_memory_bounds_what_runs_at_once),
		cmocka_unit_test(test_options_memory_bad_wishes_are_refused),
	};
	const struct CMUnitTest own[] = {
		cmocka_unit_test(test_options_memory_is_there_without_a_word),
	};
	int failed = cmocka_run_group_tests(tests, start, stop);

	return failed ? failed : cmocka_run_group_tests(own, NULL, NULL);
}
