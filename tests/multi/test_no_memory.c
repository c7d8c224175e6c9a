/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that there is no memory for: what failed has failed all the same, and its
 * codes are told. */
#include "live.h"

#include "error.h"
#include "failing.h"

#include <errno.h>
#include <string.h>

MOB_TASK(int64_t, n_fail, int64_t, code, int, without)
{
	if (without) {
		failing_from(FAIL_ALLOC, 0, ENOMEM);
	}
	mob_fail((int)code, "it says no");
	(void)failing_stop(FAIL_ALLOC);
	return 5;
}

MOB_TASK(void, n_fail_void, int64_t, code)
{
	mob_fail((int)code, "it says no");
}

static bool no_tasks(void *arg)
{
	(void)arg;
	return live_tasks() == 0;
}

static void begin(void)
{
	failing_from(FAIL_ALLOC, 0, ENOMEM);
}

static void has_failed(int rc, int want, int code)
{
	assert_true(failing_stop(FAIL_ALLOC));
	assert_int_equal(rc, want);
	assert_int_equal(mob_error_code(), code);
	assert_non_null(strstr(mob_error(), "out of memory"));
	mob_error_clear();
}

static void test_no_memory_for_an_error_that_is_reported(void **state)
{
	struct mob_error_info info = MOB_ERROR_INFO_INIT;

	(void)state;
	begin();
	mob_fail(42, "it says %s", "no");
	assert_true(mob_error_info(&info));
	assert_int_equal(info.rc, MOB_E_TASK);
	assert_int_equal(info.payload_size, 0);
	has_failed(MOB_E_TASK, MOB_E_TASK, 42);
	begin();
	has_failed(mob_get(MOB_REF_NONE, &(int64_t){ 0 }), MOB_E_BAD_REF,
		   MOB_E_BAD_REF);
}

static void test_no_memory_for_the_error_of_a_task_it_failed(void **state)
{
	int64_t x = 9;

	(void)state;
	assert_int_equal(mob_get(mob_submit(n_fail, 42, 1), &x), MOB_E_TASK);
	assert_int_equal(x, 0);
	assert_int_equal(mob_error_code(), 42);
	assert_non_null(strstr(mob_error(), "out of memory"));
	/* There is memory for where it arose. */
	assert_non_null(strstr(mob_error(), "n_fail"));
	mob_error_clear();
}

static void test_no_memory_to_read_an_error(void **state)
{
	mob_ref r = mob_submit(n_fail, 42, 0);
	int64_t x = 9;
	int rc;

	(void)state;
	assert_int_equal(mob_wait(&r, 1, 1, MOB_FOREVER, NULL), 1);
	begin();
	rc = mob_get(r, &x);
	has_failed(rc, MOB_E_TASK, 42);
	assert_int_equal(x, 0);
	/* It is not lost. */
	assert_int_equal(mob_get(r, &x), MOB_E_TASK);
	assert_non_null(strstr(mob_error(), "it says no"));
	mob_error_clear();
}

static void test_no_memory_to_read_an_error_of_a_map(void **state)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m = NULL;
	int rc;

	(void)state;
	o.chunk = 1;
	assert_int_equal(mob_map_open(&o, &m), 0);
	assert_int_equal(mob_map_add(m, n_fail_void, 42), 0);
	assert_true(live_await(no_tasks, NULL));
	begin();
	rc = mob_map_step(m);
	has_failed(rc, MOB_E_TASK, 42);
	mob_map_close(m);
}

/* More are held than there is room for: all are errors. */
static void test_no_memory_for_many_errors(void **state)
{
	enum { MANY = 100 };
	struct mobi_error *e[MANY];
	int own[2] = { 0, 0 };

	(void)state;
	for (int round = 0; round < 2; round++) {
		begin();
		for (int i = 0; i < MANY; i++) {
			e[i] = mobi_error_new(MOB_E_TASK, i + 1, "no");
		}
		assert_true(failing_stop(FAIL_ALLOC));
		for (int i = 0; i < MANY; i++) {
			assert_non_null(e[i]);
			assert_non_null(strstr(e[i]->text, "out of memory"));
			own[round] += e[i]->code == i + 1;
			assert_true(e[i]->code == i + 1 ||
				    e[i]->code == MOB_E_NOMEM);
		}
		for (int i = 0; i < MANY; i++) {
			mobi_error_free(e[i]);
		}
	}
	assert_in_range(own[0], 32, MANY - 1);
	assert_int_equal(own[0], own[1]); /* they are given back */
}

static int start(void **state)
{
	(void)state;
	live_start(2);
	return 0;
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_memory_for_an_error_that_is_reported),
		T(test_no_memory_for_the_error_of_a_task_it_failed),
		T(test_no_memory_to_read_an_error),
		T(test_no_memory_to_read_an_error_of_a_map),
		T(test_no_memory_for_many_errors),
	};

	return cmocka_run_group_tests(tests, start, live_leave);
}
