/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: calls that fail, each at its place, and calls of the library that make no
 * sense.
 */
#include "map_fixture.h"

#include "os_run.h"

#include <stdio.h>
#include <string.h>

#define MANY 1000

/* Words of the ledger. */
enum { STARTED, WORDS = 8 };
static struct live_ledger ledger;

MOB_TASK(int64_t, f_square, int64_t, x)
{
	return x * x;
}

MOB_TASK(int64_t, f_odd_fails, int64_t, x)
{
	if (x % 7 == 3) {
		mob_fail_with((int)x + 1, &x, sizeof(x), "odd %d", (int)x);
	}
	return x * x;
}

MOB_TASK(mob_str, f_odd_fails_str, int64_t, x)
{
	if (x % 7 == 3) {
		mob_fail((int)x + 1, "odd %d", (int)x);
	}
	return "fine";
}

/* Fails the first two times. */
MOB_TASK(int64_t, f_fails_twice, mob_str, path, int64_t, x)
{
	if (x == 5 && live_ledger_add(path, STARTED) < 2) {
		mob_fail(9, "not yet");
	}
	return x * x;
}

MOB_TASK(int64_t, f_hangs, int64_t, x)
{
	while (x == 5 && !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return x * x;
}

MOB_TASK_N(f_two, (int64_t, x, int64_t, y), int64_t, z)
{
	*x = *y = z;
}

MOB_TASK_STREAM(int64_t, f_yields, int64_t, n)
{
	(void)mob_yield(n);
}

/* ---- errors of calls ---- */

static void expect_odd(int64_t i)
{
	struct mob_error_info e = MOB_ERROR_INFO_INIT;
	char text[32];

	assert_true(mob_error_info(&e));
	assert_int_equal(e.rc, MOB_E_TASK);
	assert_int_equal(e.code, i + 1);
	assert_int_equal(e.attempt, 1);
	assert_true(e.worker > 0);
	assert_true(e.line > 0);
	assert_non_null(strstr(e.task, "f_odd_fails"));
	(void)snprintf(text, sizeof(text), "odd %d (task f_odd", (int)i);
	assert_non_null(strstr(e.text, text));
	assert_null(strstr(e.text, "map_run.c"));
	mob_error_clear();
}

static void test_map_error_is_at_its_place(void **state)
{
	static const uint32_t chunks[] = { 0, 1, 5, 64 };
	int64_t *xs = numbers(MANY);
	mob_str str;
	int64_t y;

	(void)state;
	for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct mob_map *m;

		o.chunk = chunks[k];
		m = map_with(o);
		(void)mob_map_over(m, f_odd_fails, MANY, xs);
		for (int64_t i = 0; i < MANY; i++) {
			int rc = mob_map_next(m, &y);

			assert_int_equal(rc, i % 7 == 3 ? MOB_E_TASK : 1);
			assert_int_equal(y, i % 7 == 3 ? 0 : i * i);
			assert_int_equal(mob_map_index(m), i);
			if (rc < 0) {
				expect_odd(i);
			}
		}
		assert_int_equal(mob_map_step(m), 0);
		(void)mob_map_over(m, f_odd_fails_str, 100, xs);
		for (int64_t i = 0; i < 100; i++) {
			int rc = mob_map_next(m, &str);

			assert_int_equal(rc, i % 7 == 3 ? MOB_E_TASK : 1);
			if (rc < 0) {
				assert_null(str);
				expect_odd(i);
			} else {
				assert_string_equal(str, "fine");
			}
		}
		mob_map_close(m);
	}
	free(xs);
}

/* An argument that holds an error, one that is not there yet, and one that cannot be
 * submitted: each at its place. */
static void test_map_errors_of_arguments_are_at_their_places(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	mob_ref bad = mob_submit_with(MOB_OPTS(.retries = 0), f_odd_fails, 3);
	struct mob_map *m;
	int64_t y;

	(void)state;
	assert_int_equal(mob_join(bad), MOB_E_TASK);
	mob_error_clear();
	o.chunk = 8;
	o.window = 100;
	m = map_with(o);
	for (int i = 0; i < 50; i++) { /* the window opens */
		(void)mob_map_add(m, f_square, i);
		assert_int_equal(mob_map_next(m, &y), 1);
	}
	for (int i = 0; i < 10; i++) {
		(void)mob_map_add(m, f_square, i);
		(void)mob_map_add(m, f_square, bad);
		(void)mob_map_add(m, f_square, MOB_REF_NONE);
		(void)mob_map_add(m, f_square, mob_submit(f_odd_fails, 10));
		(void)mob_map_add(m, f_square, mob_submit(f_square, i));
	}
	for (int i = 0; i < 10; i++) {
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i * i);
		assert_int_equal(mob_map_next(m, &y), MOB_E_TASK);
		live_pends(4, "<- f_square");
		assert_int_equal(mob_map_next(m, &y), MOB_E_BAD_REF);
		live_pends(MOB_E_BAD_REF, "argument 1 of task f_square");
		assert_int_equal(mob_map_next(m, &y), MOB_E_TASK);
		live_pends(11, "<- f_square");
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i * i * i * i);
	}
	assert_int_equal(mob_map_step(m), 0);
	mob_map_close(m);
}

static void test_map_result_of_another_type_is_an_error(void **state)
{
	static const uint32_t chunks[] = { 1, 4 };
	int64_t *xs = numbers(8);

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct mob_map *m;
		double d;
		int64_t y;

		o.chunk = chunks[k];
		m = map_with(o);
		(void)mob_map_over(m, f_square, 8, xs);
		for (int i = 0; i < 8; i += 2) {
			d = 1;
			assert_int_equal(mob_map_next(m, &d), MOB_E_TYPE);
			live_pends(MOB_E_TYPE, "expected double");
			assert_true(d <= 0 && d >= 0);
			assert_int_equal(mob_map_next(m, &y), 1);
			assert_int_equal(y, (i + 1) * (i + 1));
		}
		mob_map_close(m);
	}
	free(xs);
}

static void test_map_errors_are_retried_if_asked_for(void **state)
{
	static const uint32_t chunks[] = { 0, 10 };
	int64_t *xs = numbers(20);
	int64_t y;

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct mob_map_opts o = MOB_MAP_OPTS_INIT;
		struct mob_task_opts t = MOB_OPTS(.retry_errors = 1);
		const char **path;
		struct mob_map *m;

		live_ledger_open(&ledger, WORDS);
		path = same(ledger.path, 20);
		o.chunk = chunks[k];
		o.task = &t;
		m = map_with(o);
		(void)mob_map_over(m, f_fails_twice, 20, path, xs);
		for (int i = 0; i < 20; i++) {
			assert_int_equal(mob_map_next(m, &y), 1);
			assert_int_equal(y, i * i);
		}
		assert_int_equal(ledger.at[STARTED], 3);
		mob_map_close(m);
		/* When none is left, it is an error of the call alone. */
		ledger.at[STARTED] = 0;
		t.retries = 1;
		m = map_with(o);
		(void)mob_map_over(m, f_fails_twice, 20, path, xs);
		for (int i = 0; i < 20; i++) {
			int rc = mob_map_next(m, &y);

			assert_int_equal(rc, i == 5 ? MOB_E_TASK : 1);
			if (rc < 0) {
				live_pends(9, "not yet");
			}
		}
		mob_map_close(m);
		live_ledger_close(&ledger);
		free(path);
	}
	free(xs);
}

static void test_map_timeout_is_of_the_call(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_task_opts t = MOB_OPTS(.timeout_ns = 50 * MOB_MS);
	int64_t *xs = numbers(20);
	struct mob_map *m;
	int64_t y;

	(void)state;
	o.task = &t;
	m = map_with(o);
	(void)mob_map_over(m, f_hangs, 20, xs);
	for (int i = 0; i < 20; i++) {
		int rc = mob_map_next(m, &y);

		assert_int_equal(rc, i == 5 ? MOB_E_TIMEOUT : 1);
		if (rc < 0) {
			live_pends(MOB_E_TIMEOUT, "f_hangs");
		}
	}
	mob_map_close(m);
	free(xs);
}

/* ---- bad calls ---- */

static void refused(struct mob_map_opts o, const char *part)
{
	struct mob_map *m = NULL;
	int rc = mob_map_open(&o, &m);

	assert_true(rc == MOB_E_INVAL || rc == MOB_E_VERSION);
	assert_null(m);
	live_pends(rc, part);
}

static void test_map_bad_options_are_refused(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map_opts bad = o;
	struct mob_task_opts t = MOB_OPTS(.retries = 1);

	(void)state;
	bad.struct_size--;
	refused(bad, "MOB_MAP_OPTS_INIT");
	bad = o;
	bad.flags = 2;
	refused(bad, "MOB_MAP_UNORDERED");
	bad = o;
	bad.reserved = 1;
	refused(bad, "reserved");
	bad = o;
	bad.window = 1048577;
	refused(bad, "at most 1048576");
	bad = o;
	bad.chunk = 65537;
	refused(bad, "65536");
	bad = o;
	bad.chunk_ns = 61 * (uint64_t)MOB_SEC;
	refused(bad, "a minute");
	bad = o;
	bad.task = &t;
	t.struct_size--;
	refused(bad, "MOB_OPTS");
	t.struct_size++;
	t.n_retry_codes = 9;
	refused(bad, "at most 8");
}

static int gives_nothing(struct mob_map *m, void *ctx)
{
	(void)m;
	(void)ctx;
	return 1;
}

/* Three calls, then an error. */
static int gives_up(struct mob_map *m, void *ctx)
{
	int *n = ctx;
	int64_t y;

	if ((*n)++ == 3) {
		return MOB_E_NOT_FOUND;
	}
	assert_int_equal(mob_map_next(m, &y), MOB_E_STATE);
	live_pends(MOB_E_STATE, "not in the function");
	(void)mob_map_add(m, f_square, *n);
	return 1;
}

static void test_map_bad_sources_are_refused(void **state)
{
	struct mob_map *m = map_new();
	int64_t *xs = numbers(4);
	mob_ref two[2];
	struct mob_arg arg = { .value = xs };
	int64_t y;
	int n = 0;

	(void)state;
	assert_int_equal(mob_map_add_raw(m, &f_two_def, 1, &arg), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "f_two");
	assert_int_equal(mob_map_add(m, f_yields, 1), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "f_yields yields a stream");
	assert_int_equal(mob_map_add_raw(m, &f_square_def, 2, &arg),
			 MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "takes 1 arguments");
	assert_int_equal(mob_map_over(m, f_square, 4, (int64_t *)NULL),
			 MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "array 1 is NULL");
	assert_int_equal(mob_map_from(m, NULL, NULL), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "fn is NULL");
	assert_int_equal(mob_map_next_timeout(m, -5, &y), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "MOB_FOREVER");
	/* One source at a time. */
	assert_int_equal(mob_map_over(m, f_square, 4, xs), 0);
	assert_int_equal(mob_map_add(m, f_square, 1), MOB_E_STATE);
	live_pends(MOB_E_STATE, "elsewhere");
	assert_int_equal(mob_map_over(m, f_square, 4, xs), MOB_E_STATE);
	live_pends(MOB_E_STATE, "elsewhere");
	assert_int_equal(mob_map_from(m, gives_nothing, NULL), MOB_E_STATE);
	live_pends(MOB_E_STATE, "elsewhere");
	for (int i = 0; i < 4; i++) {
		assert_int_equal(mob_map_next(m, &y), 1);
	}
	assert_int_equal(mob_map_step(m), 0);
	/* A function that gives nothing, and one that fails. */
	assert_int_equal(mob_map_from(m, gives_nothing, NULL), 0);
	assert_int_equal(mob_map_step(m), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "given no call");
	assert_int_equal(mob_map_step(m), 0);
	assert_int_equal(mob_map_from(m, gives_up, &n), 0);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(mob_map_next(m, &y), 1);
		assert_int_equal(y, i * i);
	}
	assert_int_equal(mob_map_step(m), MOB_E_NOT_FOUND);
	live_pends(MOB_E_NOT_FOUND, "");
	assert_int_equal(mob_map_step(m), 0);
	mob_map_close(m);
	(void)mob_submit_n(two, 2, f_two, 1);
	free(xs);
}

/* A map that outlives its session is an error, and can be closed. */
static void test_map_outlives_its_session(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m[2];
	int64_t *xs = numbers(1000);
	int64_t y;

	(void)state;
	assert_int_equal(mob_map_open(NULL, &m[0]), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_map_open");
	live_start(1);
	for (int k = 0; k < 2; k++) {
		o.flags = k ? MOB_MAP_UNORDERED : 0;
		m[k] = map_with(o);
		(void)mob_map_over(m[k], f_square, 1000, xs);
		assert_int_equal(mob_map_next(m[k], &y), 1);
	}
	mob_shutdown();
	live_start(1);
	for (int k = 0; k < 2; k++) {
		assert_int_equal(mob_map_next(m[k], &y), MOB_E_STATE);
		live_pends(MOB_E_STATE, "session");
		assert_int_equal(mob_map_add(m[k], f_square, 1), MOB_E_STATE);
		live_pends(MOB_E_STATE, "session");
		assert_int_equal(mob_map_room(m[k]), 0);
		mob_map_close(m[k]);
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
	free(xs);
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(test_map_##name, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(error_is_at_its_place),
		T(errors_of_arguments_are_at_their_places),
		T(result_of_another_type_is_an_error),
		T(errors_are_retried_if_asked_for),
		T(timeout_is_of_the_call),
		T(bad_options_are_refused),
		T(bad_sources_are_refused),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_teardown(test_map_outlives_its_session,
					  live_leave),
	};
	int failed = cmocka_run_group_tests(alone, NULL, NULL);

	return failed +
	       cmocka_run_group_tests(tests, live_start_two, live_leave);
}
