/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks whose arguments and results are refs, lists of them or parts of objects; what
 * is waited for, and what is kept alive.
 */
#include "live.h"

#include "os_run.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

MOB_TASK(int64_t, t_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(int64_t, t_sum32, mob_i32s, v)
{
	int64_t sum = 0;

	for (size_t i = 0; i < v.n; i++) {
		sum += v.at[i];
	}
	return sum;
}

/* ---- lists ---- */

/* Ends when there is a file of that name. */
MOB_TASK(int64_t, t_gate, mob_str, path, int64_t, x)
{
	while (access(path, F_OK)) {
		mobi_pause_ns(MOB_MS / 2);
	}
	return x;
}

static void open_gate(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

MOB_TASK(int64_t, t_total, mob_args, xs)
{
	int64_t sum = 0;

	for (size_t i = 0; i < xs.n; i++) {
		int64_t x;

		mob_args_get(xs, i, &x);
		sum += x;
	}
	return sum;
}

MOB_TASK(int64_t, t_first_and_count, mob_refs, xs)
{
	int64_t x = 0;

	if (xs.n) {
		mob_get(xs.at[xs.n - 1], &x);
	}
	return x + (int64_t)xs.n;
}

MOB_TASK(int64_t, t_mixed, int64_t, a, mob_args, xs, mob_str, s, mob_args, ys,
	 mob_i32s, v)
{
	return a + (int64_t)(1000 * xs.n + 100000 * ys.n) + (int64_t)strlen(s) +
	       (int64_t)v.n;
}

static void test_semantics_11_list_of_ten_thousand_arguments(void **state)
{
	static mob_ref ref[10000];
	char path[300];
	mob_ref total;
	int64_t sum;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/list-gate", mobi_rt.store->path);
	MOB_SCOPE
	{
		ref[0] = mob_submit(t_gate, path, 0);
		for (int i = 1; i < 10000; i++) {
			/* Some there, some still to be made. */
			ref[i] = i % 100 ? mob_put((int64_t)i) :
					   mob_submit(t_add, i, 0);
		}
		total = mob_submit(t_total, mob_args_of(ref, 10000));
		/* Behind it in the queue, if it were to run. */
		assert_int_equal(mob_join(mob_submit(t_add, 1, 2)), 0);
		open_gate(path);
		assert_int_equal(mob_get(total, &sum), 0);
		assert_int_equal(sum, 49995000);
		assert_int_equal(mob_get(mob_submit(t_first_and_count,
						    mob_refs_of(ref, 10000)),
					 &sum),
				 0);
		assert_int_equal(sum, 9999 + 10000);
	}
	assert_int_equal(unlink(path), 0);
}

static void test_task_lists_among_other_arguments(void **state)
{
	static const int32_t v[3] = { 1, 2, 3 };
	mob_ref ref[7];
	int64_t x;

	(void)state;
	for (int i = 0; i < 7; i++) {
		ref[i] = mob_submit(t_add, i, i);
	}
	assert_int_equal(mob_get(mob_submit(t_mixed, 1, mob_args_of(ref, 7),
					    "four", mob_args_of(ref, 0),
					    mob_i32s_of(v, 3)),
				 &x),
			 0);
	assert_int_equal(x, 1 + 7000 + 4 + 3);
	assert_int_equal(mob_get(mob_submit(t_total, mob_args_of(NULL, 0)), &x),
			 0);
	assert_int_equal(x, 0);
	assert_int_equal(
		mob_get(mob_submit(t_first_and_count, mob_refs_of(NULL, 0)),
			&x),
		0);
	assert_int_equal(x, 0);
}

static void test_task_one_ref_as_many_arguments(void **state)
{
	mob_ref one = mob_submit(t_add, 2, 3);
	mob_ref same[100];
	int64_t x;

	(void)state;
	for (int i = 0; i < 100; i++) {
		same[i] = one;
	}
	assert_int_equal(
		mob_get(mob_submit(t_total, mob_args_of(same, 100)), &x), 0);
	assert_int_equal(x, 500);
	assert_int_equal(mob_get(mob_submit(t_add, one, one), &x), 0);
	assert_int_equal(x, 10);
}

/* ---- slices ---- */

static void test_task_slice_is_seen_in_place(void **state)
{
	int32_t v[100];
	int64_t sum;
	mob_ref r;

	(void)state;
	for (int i = 0; i < 100; i++) {
		v[i] = i;
	}
	r = mob_put(mob_i32s_of(v, 100));
	assert_int_equal(
		mob_get(mob_submit(t_sum32, mob_slice(r, 10, 3)), &sum), 0);
	assert_int_equal(sum, 33);
	assert_int_equal(
		mob_get(mob_submit(t_sum32, mob_slice(r, 100, 0)), &sum), 0);
	assert_int_equal(sum, 0);
	assert_int_equal(
		mob_get(mob_submit(t_sum32, mob_slice(r, 0, 100)), &sum), 0);
	assert_int_equal(sum, 4950);
}

/* ---- results that hold refs ---- */

MOB_TASK(mob_refs, t_make_some, int64_t, n)
{
	mob_ref *refs = malloc((size_t)n * sizeof(*refs));
	mob_ref *out = mob_new((size_t)n * sizeof(*out));

	for (int64_t i = 0; refs && out && i < n; i++) {
		refs[i] = i % 2 ? mob_put(i) : mob_submit(t_add, i, 0);
		out[i] = refs[i];
	}
	free(refs);
	return mob_refs_of(out, (size_t)n);
}

MOB_TASK(mob_ref, t_later, int64_t, x)
{
	return mob_submit(t_add, x, 1);
}

static void test_task_result_keeps_the_objects_of_its_refs(void **state)
{
	mob_ref outer = mob_submit(t_make_some, 200);
	mob_refs inner;
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(outer, &inner), 0);
	assert_int_equal(inner.n, 200);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(mob_get(inner.at[i], &x), 0);
		assert_int_equal(x, i);
	}
	assert_int_equal(mob_release(outer), 0);
	mob_ref deep = mob_submit(t_later, 41);
	mob_ref ref;
	assert_int_equal(mob_get(deep, &ref), 0);
	assert_int_equal(mob_get(ref, &x), 0);
	assert_int_equal(x, 42);
}

/* Only the outer object keeps the inner ones. */
static void test_semantics_11_refs_in_objects_keep_them_alive(void **state)
{
	mob_ref outer;
	int64_t x;

	(void)state;
	MOB_SCOPE
	{
		mob_ref in[70];

		for (int i = 0; i < 70; i++) {
			in[i] = mob_put((int64_t)i);
		}
		outer = mob_put(mob_refs_of(in, 70));
		assert_int_equal(mob_keep(outer), 0);
	}
	assert_true(live_objects() >= 71);
	MOB_SCOPE
	{
		mob_refs in;

		assert_int_equal(mob_get(outer, &in), 0);
		assert_int_equal(mob_get(in.at[69], &x), 0);
		assert_int_equal(x, 69);
	}
	assert_int_equal(mob_release(outer), 0);
}

/* ---- what bindings of other languages call ---- */

MOB_TASK(int64_t, t_passes, mob_ref, other, int64_t, x)
{
	return mob_ref_is_none(other) ? -1 : x;
}

/* Also when it is given as a ref, not as a value: it is not waited for. */
static void
test_semantics_11_ref_that_is_passed_raw_is_not_waited_for(void **state)
{
	char path[300];
	struct mob_arg arg[2] = { { .kind = MOB_ARG_REF },
				  { .kind = MOB_ARG_REF } };
	mob_ref out;
	int64_t x;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/raw-gate", mobi_rt.store->path);
	arg[0].ref = mob_submit(t_gate, path, 1);
	arg[1].ref = mob_submit(t_add, 40, 2);
	assert_int_equal(mob_submit_raw(&t_passes_def, NULL, 2, arg, 1, &out),
			 0);
	assert_int_equal(mob_get(out, &x), 0);
	assert_int_equal(x, 42);
	open_gate(path);
	assert_int_equal(mob_get(arg[0].ref, &x), 0);
	assert_int_equal(unlink(path), 0);
}

MOB_TASK(int64_t, t_first_after, int64_t, after, mob_ref, one, mob_refs, some)
{
	int64_t x = 0;
	int64_t y = 0;

	mob_get(one, &x);
	mob_get(some.at[0], &y);
	return after + x + y;
}

/* Nobody else has them when the task begins. */
static void test_semantics_11_refs_that_are_passed_are_kept_alive(void **state)
{
	char path[300];
	mob_ref gate;
	mob_ref out;
	int64_t x;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/kept-gate", mobi_rt.store->path);
	gate = mob_submit(t_gate, path, 1);
	MOB_SCOPE
	{
		mob_ref one = mob_put(INT64_C(20));
		mob_ref other = mob_put(INT64_C(300));

		out = mob_submit(t_first_after, gate, one,
				 mob_refs_of(&other, 1));
		assert_int_equal(mob_keep(out), 0);
	}
	open_gate(path);
	assert_int_equal(mob_get(out, &x), 0);
	assert_int_equal(x, 321);
	assert_int_equal(mob_release(out), 0);
	assert_int_equal(unlink(path), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_11_list_of_ten_thousand_arguments),
		T(test_task_lists_among_other_arguments),
		T(test_task_one_ref_as_many_arguments),
		T(test_task_slice_is_seen_in_place),
		T(test_task_result_keeps_the_objects_of_its_refs),
		T(test_semantics_11_refs_in_objects_keep_them_alive),
		T(test_semantics_11_ref_that_is_passed_raw_is_not_waited_for),
		T(test_semantics_11_refs_that_are_passed_are_kept_alive),
	};

	return cmocka_run_group_tests(tests, live_start_two, NULL);
}
