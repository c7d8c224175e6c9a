/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: arguments and results of every type, and several results. */
#include "live.h"

#include <mobula/memory.h>

#include <stdio.h>
#include <string.h>

struct point {
	double x, y;
	int32_t tag;
};
MOB_STRUCT(point);
MOB_ARRAY(points, struct point);
MOB_FUNCTION_TYPE(unary, int64_t, int64_t);

/* ---- values of every type ---- */

MOB_TASK(int64_t, t_all, bool, b, char, c, int32_t, i, uint32_t, u, int64_t, l,
	 uint64_t, m, float, f, double, d)
{
	return (b ? 1 : 0) + c + i + (int64_t)u + l + (int64_t)m + (int64_t)f +
	       (int64_t)d;
}

MOB_TASK(uint64_t, t_len, mob_str, s)
{
	return strlen(s);
}

MOB_TASK(mob_str, t_echo, mob_str, s)
{
	return s;
}

MOB_TASK(int64_t, t_sum32, mob_i32s, v)
{
	int64_t sum = 0;

	for (size_t i = 0; i < v.n; i++) {
		sum += v.at[i];
	}
	return sum;
}

MOB_TASK(double, t_sums, mob_i64s, a, mob_f32s, b, mob_f64s, c, mob_bytes, d)
{
	double sum = 0;

	for (size_t i = 0; i < a.n; i++) {
		sum += (double)a.at[i];
	}
	for (size_t i = 0; i < b.n; i++) {
		sum += (double)b.at[i];
	}
	for (size_t i = 0; i < c.n; i++) {
		sum += c.at[i];
	}
	for (size_t i = 0; i < d.n; i++) {
		sum += ((const unsigned char *)d.at)[i];
	}
	/* Each is aligned for its elements. */
	if ((uintptr_t)a.at % 8 || (uintptr_t)b.at % 4 || (uintptr_t)c.at % 8) {
		mob_fail(9, "not aligned");
	}
	return sum;
}

MOB_TASK(point, t_move, point, p, double, by)
{
	p.x += by;
	p.y -= by;
	p.tag++;
	return p;
}

MOB_TASK(points, t_shift, points, in, double, by)
{
	struct point *out = mob_new_of(points, in.n);

	for (size_t i = 0; out && i < in.n; i++) {
		out[i] = in.at[i];
		out[i].x += by;
	}
	return points_of(out, in.n);
}

MOB_TASK(int64_t, t_twice, int64_t, x)
{
	return 2 * x;
}

MOB_TASK(int64_t, t_plus, int64_t, x)
{
	return x + 1;
}

MOB_TASK(int64_t, t_apply, unary, f, int64_t, x)
{
	return f(x);
}

MOB_TASK(int64_t, t_add, int64_t, a, int64_t, b)
{
	return a + b;
}

static int64_t not_registered(int64_t x)
{
	return x;
}

/* "file:line" of the call or definition that made it, without the folders. */
static void site_of(mob_ref r, char out[MOB_SITE_TEXT])
{
	char text[MOB_SITE_TEXT];
	struct mob_object_info info;
	const char *slash;

	assert_int_equal(mob_object_stat(mobi_rt.store, r, &info), 0);
	assert_true(mob_site_text(mobi_rt.store, info.site, text,
				  sizeof(text)) > 0);
	slash = strrchr(text, '/');
	(void)snprintf(out, MOB_SITE_TEXT, "%s", slash ? slash + 1 : text);
}

enum { HERE = __LINE__ + 1 };
MOB_TASK(mob_bytes, t_here, mob_bytes, b)
{
	return b;
}

static void test_task_place_of_puts_and_results(void **state)
{
	static unsigned char bytes[10000];
	char want[MOB_SITE_TEXT];
	char have[MOB_SITE_TEXT];
	const int at = __LINE__ + 1;
	mob_ref put = mob_put(7);
	mob_ref put_bytes = mob_put_bytes(bytes, sizeof(bytes));
	mob_ref result = mob_submit(t_here, put_bytes);

	(void)state;
	(void)snprintf(want, sizeof(want), "test_task.c:%d", at);
	site_of(put, have);
	assert_string_equal(have, want);
	(void)snprintf(want, sizeof(want), "test_task.c:%d", at + 1);
	site_of(put_bytes, have);
	assert_string_equal(have, want);
	/* Pending or not: it is the task's place, whoever runs it. */
	(void)snprintf(want, sizeof(want), "test_task.c:%d", HERE);
	site_of(result, have);
	assert_string_equal(have, want);
	assert_int_equal(mob_join(result), 0);
	site_of(result, have);
	assert_string_equal(have, want);
}

static void test_task_arguments_of_each_number_type_arrive(void **state)
{
	int64_t sum;

	(void)state;
	assert_int_equal(mob_get(mob_submit(t_all, true, 'a', -3, 4u, -5, 6u,
					    7.5f, 8.25),
				 &sum),
			 0);
	assert_int_equal(sum, 1 + 'a' - 3 + 4 - 5 + 6 + 7 + 8);
}

static void test_task_strings_of_any_length_go_and_come_back(void **state)
{
	static char text[300000];
	static const size_t lens[] = { 0,  1,  7,    8,    47,   48,
				       63, 64, 4095, 4096, 5000, 299999 };

	(void)state;
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		MOB_SCOPE
		{
			const char *back;
			uint64_t n;

			memset(text, 'a' + (int)i, lens[i]);
			text[lens[i]] = 0;
			assert_int_equal(mob_get(mob_submit(t_len, text), &n),
					 0);
			assert_int_equal(n, lens[i]);
			assert_int_equal(
				mob_get(mob_submit(t_echo, text), &back), 0);
			assert_string_equal(back, text);
			/* Through an object, and the object of a result. */
			assert_int_equal(
				mob_get(mob_submit(t_echo,
						   mob_submit(t_echo,
							      mob_put(text))),
					&back),
				0);
			assert_string_equal(back, text);
		}
	}
}

static void test_task_spans_of_any_length_arrive_aligned(void **state)
{
	static int32_t v[100000];
	static const size_t lens[] = { 0, 1, 2, 3, 5, 13, 100, 1025, 100000 };

	(void)state;
	for (size_t k = 0; k < sizeof(lens) / sizeof(lens[0]); k++) {
		int64_t want = 0;
		int64_t sum;

		for (size_t i = 0; i < lens[k]; i++) {
			v[i] = (int32_t)(i * 7);
			want += v[i];
		}
		assert_int_equal(
			mob_get(mob_submit(t_sum32, mob_i32s_of(v, lens[k])),
				&sum),
			0);
		assert_int_equal(sum, want);
	}
}

static void test_task_spans_of_four_types_in_one_call(void **state)
{
	static const int64_t a[] = { 1, -2, 3 };
	static const float b[] = { 0.5f };
	static const double c[] = { 1.25, 2.5 };
	double sum;

	(void)state;
	assert_int_equal(mob_get(mob_submit(t_sums, mob_i64s_of(a, 3),
					    mob_f32s_of(b, 1),
					    mob_f64s_of(c, 2),
					    mob_bytes_of("\1\2\3", 3)),
				 &sum),
			 0);
	assert_true(sum == 2 + 0.5 + 3.75 + 6);
}

static void test_task_structs_and_arrays_of_them(void **state)
{
	struct point in[500];
	struct point p = { 1, 2, 3 };
	points out;

	(void)state;
	for (int i = 0; i < 500; i++) {
		in[i] = (struct point){ i, -i, i };
	}
	assert_int_equal(mob_get_as(point, mob_submit(t_move, p, 0.5), &p), 0);
	assert_true(p.x == 1.5 && p.y == 1.5 && p.tag == 4);
	assert_int_equal(
		mob_get_as(point, mob_submit(t_move, mob_put_as(point, p), 1.0),
			   &p),
		0);
	assert_true(p.x == 2.5 && p.tag == 5);
	assert_int_equal(
		mob_get_as(points, mob_submit(t_shift, points_of(in, 500), 2.0),
			   &out),
		0);
	assert_int_equal(out.n, 500);
	assert_true(out.at[499].x == 501 && out.at[499].y == -499);
}

static void test_task_a_function_is_a_value(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(t_apply, t_twice, 21), &x), 0);
	assert_int_equal(x, 42);
	assert_int_equal(mob_get(mob_submit(t_apply, t_plus, 21), &x), 0);
	assert_int_equal(x, 22);
}

static void test_task_function_that_is_not_registered_is_refused(void **state)
{
	int64_t x = 5;

	(void)state;
	assert_int_equal(mob_get(mob_submit(t_apply, not_registered, 1), &x),
			 MOB_E_TYPE);
	assert_int_equal(x, 0);
	assert_non_null(strstr(mob_error(), "argument 1 of task t_apply"));
	assert_non_null(strstr(mob_error(), "MOB_TASK"));
	mob_error_clear();
}

/* ---- several results ---- */

MOB_TASK_N(t_divide, (int64_t, quotient, int64_t, rest), int64_t, a, int64_t, b)
{
	if (!b) {
		mob_fail(33, "division by zero");
		return;
	}
	*quotient = a / b;
	*rest = a % b;
}

MOB_TASK_N(t_four, (mob_str, name, mob_i32s, many, point, p, double, none),
	   int32_t, n)
{
	int32_t *v = mob_new_of(mob_i32s, (size_t)n);

	for (int32_t i = 0; v && i < n; i++) {
		v[i] = i;
	}
	*name = "four";
	*many = mob_i32s_of(v, (size_t)n);
	p->x = n;
	(void)none; /* stays zero */
}

MOB_TASK_MANY(int64_t, t_many, int64_t, base)
{
	for (size_t i = 0; i < n_out; i++) {
		out[i] = base + (int64_t)i;
	}
}

MOB_TASK_MANY(mob_str, t_same, mob_str, s)
{
	size_t n = strlen(s) + 1;
	char *copy = mob_new(n);

	if (copy) {
		memcpy(copy, s, n);
	}
	/* One space, many results: the first has it, the others a copy. */
	for (size_t i = 0; i < n_out; i++) {
		out[i] = copy;
	}
}

MOB_TASK(void, t_nothing, void)
{
}

static void test_task_several_returns_are_objects_of_their_own(void **state)
{
	mob_ref ref[4];
	const char *name;
	mob_i32s many;
	struct point p;
	double none = 1;
	int64_t x;

	(void)state;
	assert_int_equal(mob_submit_n(ref, 2, t_divide, 17, 5), 0);
	assert_int_equal(mob_get(ref[1], &x), 0);
	assert_int_equal(x, 2);
	assert_int_equal(mob_release(ref[1]), 0);
	assert_int_equal(mob_get(mob_submit(t_add, ref[0], 1), &x), 0);
	assert_int_equal(x, 4);
	assert_int_equal(mob_submit_n(ref, 4, t_four, 1000), 0);
	assert_int_equal(mob_get(ref[0], &name), 0);
	assert_string_equal(name, "four");
	assert_int_equal(mob_get(ref[1], &many), 0);
	assert_true(many.n == 1000 && many.at[999] == 999);
	assert_int_equal(mob_get_as(point, ref[2], &p), 0);
	assert_true(p.x == 1000);
	assert_int_equal(mob_get(ref[3], &none), 0);
	assert_true(none == 0);
}

static void test_semantics_15_error_is_in_each_of_its_returns(void **state)
{
	mob_ref ref[2];
	int64_t x;

	(void)state;
	assert_int_equal(mob_submit_n(ref, 2, t_divide, 17, 0), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mob_get(ref[i], &x), MOB_E_TASK);
		assert_int_equal(mob_error_code(), 33);
		mob_error_clear();
	}
}

static void test_task_three_thousand_returns(void **state)
{
	static mob_ref ref[3000];
	static int64_t x[3000];
	const char *text;

	(void)state;
	assert_int_equal(mob_submit_n(ref, 3000, t_many, 50), 0);
	assert_int_equal(mob_get_all(ref, 3000, x), 0);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(x[i], 50 + i);
	}
	assert_int_equal(mob_submit_n(ref, 1, t_many, 7), 0);
	assert_int_equal(mob_get(ref[0], &x[0]), 0);
	assert_int_equal(x[0], 7);
	/* As many as fit in a record, and one more. */
	for (size_t n = 3; n < 6; n++) {
		assert_int_equal(mob_submit_n(ref, n, t_same, "the same"), 0);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(mob_get(ref[i], &text), 0);
			assert_string_equal(text, "the same");
		}
	}
}

static void
test_semantics_14_task_that_returns_nothing_can_be_joined(void **state)
{
	mob_ref r = mob_submit(t_nothing);

	(void)state;
	assert_int_equal(mob_join(r), 0);
	assert_int_equal(mob_get_raw(r, &mobi_type_void, MOB_FOREVER, NULL), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_task_place_of_puts_and_results),
		T(test_task_arguments_of_each_number_type_arrive),
		T(test_task_strings_of_any_length_go_and_come_back),
		T(test_task_spans_of_any_length_arrive_aligned),
		T(test_task_spans_of_four_types_in_one_call),
		T(test_task_structs_and_arrays_of_them),
		T(test_task_a_function_is_a_value),
		T(test_task_function_that_is_not_registered_is_refused),
		T(test_task_several_returns_are_objects_of_their_own),
		T(test_semantics_15_error_is_in_each_of_its_returns),
		T(test_task_three_thousand_returns),
		T(test_semantics_14_task_that_returns_nothing_can_be_joined),
	};

	return cmocka_run_group_tests(tests, live_start_two, NULL);
}
