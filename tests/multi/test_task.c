/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks: arguments and results of every kind, many of them, from threads. */
#include "live.h"

#include "os_run.h"

#include <mobula/memory.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- deep and wide ---- */

MOB_TASK(int64_t, t_fib, int64_t, n)
{
	int64_t a;
	int64_t b;
	mob_ref left;

	if (n < 2) {
		return n;
	}
	left = mob_submit(t_fib, n - 1);
	mob_get(mob_submit(t_fib, n - 2), &b);
	mob_get(left, &a);
	return a + b;
}

static void test_task_tree_of_tasks_that_wait_for_tasks(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(t_fib, 13), &x), 0);
	assert_int_equal(x, 233);
}

static void test_task_chain_of_five_thousand(void **state)
{
	int64_t x;

	(void)state;
	MOB_SCOPE
	{
		mob_ref r = mob_put((int64_t)0);

		for (int i = 0; i < 5000; i++) {
			mob_ref next = mob_submit(t_add, r, 1);

			assert_int_equal(mob_release(r), 0);
			r = next;
		}
		assert_int_equal(mob_get(r, &x), 0);
		assert_int_equal(x, 5000);
	}
}

#define THREADS 4
#define EACH 3000

struct thread_result {
	int wrong;
	int64_t base;
};

static void *submit_and_get(void *arg)
{
	struct thread_result *t = arg;
	mob_ref ref[50];

	for (int k = 0; k < EACH / 50; k++) {
		for (int i = 0; i < 50; i++) {
			ref[i] = mob_submit(t_add, t->base + i, k);
		}
		for (int i = 0; i < 50; i++) {
			int64_t x = -1;

			if (mob_take(ref[i], &x) || x != t->base + i + k) {
				t->wrong++;
			}
		}
	}
	/* What is left here goes with the thread. */
	(void)mob_submit(t_add, 1, 2);
	(void)mob_put("left behind");
	return NULL;
}

static void test_task_threads_submit_at_once(void **state)
{
	struct thread_result res[THREADS];
	pthread_t t[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		res[i] = (struct thread_result){ 0, 1000 * i };
		assert_int_equal(pthread_create(&t[i], NULL, submit_and_get,
						&res[i]),
				 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(res[i].wrong, 0);
	}
}

/* ---- a task with threads of its own ---- */

static void *inside(void *arg)
{
	struct thread_result *t = arg;
	int64_t x = 0;

	t->wrong += mob_get(mob_submit(t_add, t->base, 5), &x) != 0;
	t->wrong += x != t->base + 5;
	/* Its error is its own: the task does not end with it. */
	mob_fail(7, "only mine");
	t->wrong += mob_error_code() != 7;
	return NULL;
}

MOB_TASK(int64_t, t_threads, int64_t, base)
{
	struct thread_result res[2] = { { 0, base }, { 0, base + 1 } };
	pthread_t t[2];

	for (int i = 0; i < 2; i++) {
		if (pthread_create(&t[i], NULL, inside, &res[i])) {
			mob_fail(1, "no thread");
			return -1;
		}
	}
	for (int i = 0; i < 2; i++) {
		(void)pthread_join(t[i], NULL);
	}
	return res[0].wrong + res[1].wrong;
}

static void *long_after(void *arg)
{
	mob_ref *ref = arg;
	int64_t x;

	/* Goes on when the task is gone; its ref was kept for it. */
	if (!mob_get(*ref, &x) && x == 77) {
		(void)mob_release(*ref);
	}
	free(ref);
	return NULL;
}

MOB_TASK(int64_t, t_leaves_thread, void)
{
	mob_ref *ref = malloc(sizeof(*ref));
	pthread_t t;

	if (!ref) {
		return 1;
	}
	*ref = mob_submit(t_add, 70, 7);
	if (mob_keep(*ref) || pthread_create(&t, NULL, long_after, ref)) {
		mob_fail(1, "no thread");
		return 1;
	}
	(void)pthread_detach(t);
	return 0;
}

static void test_task_thread_of_a_task_submits_and_fails_alone(void **state)
{
	int64_t x;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_get(mob_submit(t_threads, i), &x), 0);
		assert_int_equal(x, 0);
	}
}

static void test_task_thread_may_outlive_its_task(void **state)
{
	int64_t x;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_take(mob_submit(t_leaves_thread), &x), 0);
		assert_int_equal(x, 0);
	}
}

/* ---- forks ---- */

/* As a program does that starts another which is not there. */
MOB_TASK(int64_t, t_forks, int64_t, x)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/no/such/program", "none", (char *)NULL);
		return -1;
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		mob_fail(1, "no child");
	}
	return WIFEXITED(status) ? x : -2;
}

static void test_task_forked_child_that_returns_is_no_worker(void **state)
{
	uint32_t crashes = (uint32_t)mobi_load(&mobi_rt.sched->retried);
	int64_t x;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(mob_take(mob_submit(t_forks, i), &x), 0);
		assert_int_equal(x, i);
	}
	assert_int_equal(mobi_load(&mobi_rt.sched->retried), crashes);
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

/* ---- for whom ---- */

MOB_TASK(int64_t, t_job, int32_t, depth)
{
	int64_t x = 0;

	if (depth) {
		mob_get(mob_submit(t_job, depth - 1), &x);
		return x;
	}
	return mobi_task_at(mobi_rt.store, (uint32_t)mobi_context()->task)->job;
}

static void test_task_of_a_task_is_of_the_same_driver(void **state)
{
	int64_t x;

	(void)state;
	for (int depth = 0; depth < 4; depth++) {
		assert_int_equal(mob_take(mob_submit(t_job, depth), &x), 0);
		assert_int_equal(x, mobi_rt.store->me);
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_task_arguments_of_each_number_type_arrive),
		T(test_task_place_of_puts_and_results),
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
		T(test_semantics_11_list_of_ten_thousand_arguments),
		T(test_task_lists_among_other_arguments),
		T(test_task_one_ref_as_many_arguments),
		T(test_task_slice_is_seen_in_place),
		T(test_task_result_keeps_the_objects_of_its_refs),
		T(test_semantics_11_refs_in_objects_keep_them_alive),
		T(test_task_tree_of_tasks_that_wait_for_tasks),
		T(test_task_chain_of_five_thousand),
		T(test_task_threads_submit_at_once),
		T(test_task_thread_of_a_task_submits_and_fails_alone),
		T(test_task_thread_may_outlive_its_task),
		T(test_task_forked_child_that_returns_is_no_worker),
		T(test_semantics_11_ref_that_is_passed_raw_is_not_waited_for),
		T(test_semantics_11_refs_that_are_passed_are_kept_alive),
		T(test_task_of_a_task_is_of_the_same_driver),
	};

	return cmocka_run_group_tests(tests, live_start_two, NULL);
}
