/* SPDX-License-Identifier: Apache-2.0 */
/* Every documented error of task.h: its code, what its text names, and that it
 * pends or does not. */
#include "live.h"

#include "os_run.h"

#include <signal.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct pair {
	int64_t a, b;
};
MOB_STRUCT(pair);

MOB_TASK(int64_t, e_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(uint64_t, e_len, mob_str, s)
{
	return strlen(s);
}

MOB_TASK(uint64_t, e_count, int64_t, first, mob_i32s, v)
{
	(void)first;
	return v.n;
}

MOB_TASK(int64_t, e_fail, int64_t, code, mob_str, text)
{
	mob_fail((int)code, "it says %s", text);
	return 5;
}

/* File and line of that task, as its errors tell it. */
static const char *fail_line(void)
{
	static char text[300];

	(void)snprintf(text, sizeof(text), "test_errors.c:%u", e_fail_def.line);
	return text;
}

MOB_TASK(int64_t, e_through, int64_t, x)
{
	return x + 1;
}

MOB_TASK(int64_t, e_notes, mob_str, path, int64_t, x)
{
	(void)live_ledger_add(path, 0);
	return x;
}

MOB_TASK(int64_t, e_through_list, mob_args, xs)
{
	return (int64_t)xs.n;
}

static void expect(int rc, int want, const char *part)
{
	if (rc != want) {
		fail_msg("%s instead of %s: %s", mob_err_name(rc),
			 mob_err_name(want), mob_error());
	}
	if (part && !strstr(mob_error(), part)) {
		fail_msg("'%s' is not in: %s", part, mob_error());
	}
	mob_error_clear();
	assert_string_equal(mob_error(), "");
	assert_int_equal(mob_error_code(), 0);
}

/* ---- what a task reports ---- */

static void test_errors_fail_tells_code_text_file_and_line(void **state)
{
	mob_ref r = mob_submit(e_fail, 42, "no");
	int64_t x = 9;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mob_get(r, &x), MOB_E_TASK);
		assert_int_equal(x, 0);
		assert_int_equal(mob_error_code(), 42);
		assert_non_null(strstr(mob_error(), "it says no"));
		assert_non_null(strstr(mob_error(), "e_fail"));
		expect(MOB_E_TASK, MOB_E_TASK, fail_line());
	}
	assert_int_equal(mob_join(r), MOB_E_TASK);
	mob_error_clear();
	/* 0 is no code. */
	assert_int_equal(mob_get(mob_submit(e_fail, 0, ""), &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), MOB_E_TASK);
	mob_error_clear();
}

static void test_errors_long_text_is_cut_and_ends(void **state)
{
	static char text[20000];
	int64_t x;

	(void)state;
	memset(text, 'y', sizeof(text) - 1);
	assert_int_equal(mob_get(mob_submit(e_fail, 1, text), &x), MOB_E_TASK);
	assert_true(strlen(mob_error()) >= 3000);
	mob_error_clear();
}

static void
test_semantics_12_errors_go_through_dependents_that_do_not_run(void **state)
{
	mob_ref r = mob_submit(e_fail, 42, "no");
	struct live_ledger runs;
	mob_ref list[3];
	int64_t x;

	(void)state;
	live_ledger_open(&runs, 1);
	assert_int_equal(mob_get(mob_submit(e_notes, runs.path, r), &x),
			 MOB_E_TASK);
	expect(MOB_E_TASK, MOB_E_TASK, " <- e_notes");
	assert_int_equal(runs.at[0], 0);
	live_ledger_close(&runs);
	r = mob_submit(e_through, mob_submit(e_through, r));
	assert_int_equal(mob_get(r, &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), 42);
	assert_non_null(strstr(mob_error(), fail_line()));
	/* The way it came: through two tasks. */
	expect(MOB_E_TASK, MOB_E_TASK, " <- e_through <- e_through");
	list[0] = mob_put(INT64_C(1));
	list[1] = r;
	list[2] = mob_put(INT64_C(1));
	assert_int_equal(
		mob_get(mob_submit(e_through_list, mob_args_of(list, 3)), &x),
		MOB_E_TASK);
	expect(MOB_E_TASK, MOB_E_TASK, " <- e_through_list");
}

/* ---- pending errors ---- */

MOB_TASK(int64_t, e_ignores, int64_t, code)
{
	int64_t x = 3;

	mob_get(mob_submit(e_fail, code, "inner"), &x);
	return x + 1000; /* of a value that was not there */
}

MOB_TASK(int64_t, e_clears, int64_t, code)
{
	int64_t x = 3;
	int rc = mob_get(mob_submit(e_fail, code, "inner"), &x);

	if (rc == MOB_E_TASK && mob_error_code() == code && x == 0) {
		mob_error_clear();
		return 1000;
	}
	return -1;
}

MOB_TASK(int64_t, e_first_stays, void)
{
	int64_t x;

	mob_get(mob_submit(e_fail, 1, "first"), &x);
	mob_get(mob_submit(e_fail, 2, "second"), &x);
	return 0;
}

MOB_TASK(int64_t, e_replaces, void)
{
	int64_t x;

	mob_get(mob_submit(e_fail, 1, "first"), &x);
	mob_fail(77, "in its place");
	return 0;
}

MOB_TASK(int64_t, e_times_out, void)
{
	int64_t x;
	/* Waits for a ref that is never resolved while it runs. */
	mob_ref never = mob_submit(e_through, mob_submit(e_ignores, 1));

	for (int i = 0; i < 100; i++) {
		if (mob_get_timeout(never, 0, &x) == MOB_E_TIMEOUT) {
			return mob_error_code();
		}
	}
	mob_error_clear();
	return 0;
}

static void test_errors_pending_one_fails_the_task(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(e_ignores, 8), &x), MOB_E_TASK);
	assert_int_equal(x, 0);
	assert_int_equal(mob_error_code(), 8);
	/* From where it arose to where it went. */
	assert_non_null(strstr(mob_error(), "e_fail"));
	expect(MOB_E_TASK, MOB_E_TASK, "e_ignores");
	assert_int_equal(mob_get(mob_submit(e_clears, 8), &x), 0);
	assert_int_equal(x, 1000);
	assert_int_equal(mob_get(mob_submit(e_first_stays), &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), 1);
	mob_error_clear();
	assert_int_equal(mob_get(mob_submit(e_replaces), &x), MOB_E_TASK);
	assert_int_equal(mob_error_code(), 77);
	mob_error_clear();
	assert_int_equal(mob_get(mob_submit(e_times_out), &x), 0);
	assert_int_equal(x, 0);
}

static void test_errors_pending_one_of_a_thread_is_its_own(void **state)
{
	(void)state;
	mob_fail(5, "outside of a %s", "task");
	assert_int_equal(mob_error_code(), 5);
	expect(MOB_E_TASK, MOB_E_TASK, "outside of a task");
}

/* ---- wrong types ---- */

static void test_errors_wrong_type_names_task_position_and_both(void **state)
{
	mob_ref text = mob_put("text");
	struct pair p = { 1, 2 };
	int64_t x;
	int32_t i;
	uint64_t n;
	const char *s;
	mob_i64s v;

	(void)state;
	assert_int_equal(mob_get(mob_submit(e_add, 1, text), &x), MOB_E_TYPE);
	assert_non_null(strstr(mob_error(), "argument 2 of task e_add"));
	assert_non_null(strstr(mob_error(), "int64"));
	expect(MOB_E_TYPE, MOB_E_TYPE, "str");
	assert_int_equal(mob_get(mob_submit(e_len, mob_put(5)), &n),
			 MOB_E_TYPE);
	expect(MOB_E_TYPE, MOB_E_TYPE, "argument 1 of task e_len");
	assert_int_equal(mob_get(mob_submit(e_add, mob_put_as(pair, p), 1), &x),
			 MOB_E_TYPE);
	expect(MOB_E_TYPE, MOB_E_TYPE, "argument 1 of task e_add");
	/* One width is not another. */
	assert_int_equal(mob_get(mob_submit(e_add, mob_put(5), 1), &x),
			 MOB_E_TYPE);
	mob_error_clear();
	assert_int_equal(mob_get(text, &i), MOB_E_TYPE);
	assert_int_equal(i, 0);
	expect(MOB_E_TYPE, MOB_E_TYPE, "str");
	assert_int_equal(mob_get(mob_submit(e_add, 1, 1), &s), MOB_E_TYPE);
	assert_null(s);
	mob_error_clear();
	assert_int_equal(mob_get(text, &v), MOB_E_TYPE);
	assert_true(v.at == NULL && v.n == 0);
	mob_error_clear();
	assert_int_equal(mob_get_as(pair, text, &p), MOB_E_TYPE);
	assert_true(p.a == 0 && p.b == 0);
	mob_error_clear();
}

MOB_TASK(int64_t, e_reads_list, mob_args, xs)
{
	int64_t x;

	mob_args_get(xs, xs.n - 1, &x);
	return x;
}

MOB_TASK(int64_t, e_reads_past, mob_args, xs)
{
	int64_t x;

	mob_args_get(xs, xs.n, &x);
	return x;
}

static void test_errors_of_lists_name_the_element(void **state)
{
	mob_ref xs[2] = { mob_put(INT64_C(5)), mob_put("text") };
	mob_args as_function = mob_args_of(xs, 2);
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(e_reads_list, mob_args_of(xs, 2)),
				 &x),
			 MOB_E_TYPE);
	mob_error_clear();
	assert_int_equal(mob_get(mob_submit(e_reads_past, mob_args_of(xs, 1)),
				 &x),
			 MOB_E_INVAL);
	expect(MOB_E_INVAL, MOB_E_INVAL, "argument 1 of 1");
	/* Called as a function it reads the refs. */
	assert_int_equal(e_reads_list(mob_args_of(xs, 1)), 5);
	assert_int_equal(mob_args_get(as_function, 2, &x), MOB_E_INVAL);
	mob_error_clear();
}

static void test_errors_slice_out_of_range(void **state)
{
	int32_t v[10] = { 0 };
	mob_ref r = mob_put(mob_i32s_of(v, 10));
	static const struct {
		uint64_t first, n;
	} bad[] = { { 0, 11 },         { 11, 0 },
		    { 10, 1 },         { 1, UINT64_MAX },
		    { UINT64_MAX, 1 }, { UINT64_MAX, UINT64_MAX } };
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(mob_get(mob_submit(e_count, 1,
						    mob_slice(r, bad[i].first,
							      bad[i].n)),
					 &n),
				 MOB_E_INVAL);
		expect(MOB_E_INVAL, MOB_E_INVAL, "argument 2 of task e_count");
	}
	assert_int_equal(
		mob_get(mob_submit(e_count, 1, mob_slice(mob_put("x"), 0, 1)),
			&n),
		MOB_E_TYPE);
	mob_error_clear();
}

/* ---- refs ---- */

static void test_errors_ref_of_another_session(void **state)
{
	mob_ref r = mob_put(INT64_C(5));
	mob_ref other = r;
	mob_ref far = r;
	mob_ref odd = r;
	mob_ref bad[3];
	int64_t x;

	(void)state;
	other.hi ^= UINT64_C(1) << 40;
	odd.hi ^= 1;
	far.lo |= 0xffffffffu;
	bad[0] = other;
	bad[1] = odd;
	bad[2] = far;
	for (int i = 0; i < 3; i++) {
		mob_ref list[2] = { r, bad[i] };
		bool ready[2];

		assert_int_equal(mob_get(bad[i], &x), MOB_E_BAD_REF);
		expect(MOB_E_BAD_REF, MOB_E_BAD_REF, "session");
		assert_int_equal(mob_get(mob_submit(e_add, 1, bad[i]), &x),
				 MOB_E_BAD_REF);
		expect(MOB_E_BAD_REF, MOB_E_BAD_REF,
		       "argument 2 of task e_add");
		assert_int_equal(mob_get(mob_submit(e_through_list,
						    mob_args_of(list, 2)),
					 &x),
				 MOB_E_BAD_REF);
		expect(MOB_E_BAD_REF, MOB_E_BAD_REF,
		       "argument 1 of task e_through_list");
		assert_int_equal(mob_join(mob_put(mob_refs_of(list, 2))),
				 MOB_E_BAD_REF);
		mob_error_clear();
		assert_int_equal(mob_wait(list, 2, 1, 0, ready), MOB_E_BAD_REF);
		mob_error_clear();
		assert_int_equal(mob_get_all(list, 2, (int64_t[2]){ 0 }),
				 MOB_E_BAD_REF);
		mob_error_clear();
		assert_int_equal(mob_keep(bad[i]), MOB_E_BAD_REF);
		mob_error_clear();
		assert_int_equal(mob_release(bad[i]), MOB_E_BAD_REF);
		mob_error_clear();
	}
	assert_int_equal(mob_get(MOB_REF_NONE, &x), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_join(mob_submit(e_add, MOB_REF_NONE, 1)),
			 MOB_E_BAD_REF);
	mob_error_clear();
}

static void test_errors_released_ref(void **state)
{
	mob_ref r = mob_put(INT64_C(5));
	int64_t x = 3;

	(void)state;
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(mob_get(r, &x), MOB_E_BAD_REF);
	assert_int_equal(x, 0);
	mob_error_clear();
	/* Its place is used again: the old ref does not find the new object. */
	for (int i = 0; i < 300; i++) {
		(void)mob_put(INT64_C(6));
	}
	assert_int_equal(mob_get(r, &x), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_get(mob_submit(e_add, r, 1), &x), MOB_E_BAD_REF);
	expect(MOB_E_BAD_REF, MOB_E_BAD_REF, "argument 1 of task e_add");
	assert_int_equal(mob_keep(r), MOB_E_BAD_REF);
	mob_error_clear();
}

/* ---- submit ---- */

static void run_nothing(const void *const *arg, void *const *ret, size_t n)
{
	(void)arg;
	(void)ret;
	(void)n;
}

static void test_semantics_14_wrong_count_is_an_error_in_each(void **state)
{
	mob_ref r[2];
	int64_t one = 1;
	struct mob_arg a[2] = { { .value = &one }, { .value = &one } };

	(void)state;
	assert_int_equal(mob_submit_raw(&e_add_def, NULL, 2, a, 2, r),
			 MOB_E_INVAL);
	/* Each ref holds it. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mob_join(r[i]), MOB_E_INVAL);
		expect(MOB_E_INVAL, MOB_E_INVAL, "task e_add");
	}
	assert_int_equal(mob_submit_raw(&e_add_def, NULL, 1, a, 1, r),
			 MOB_E_INVAL);
	assert_int_equal(mob_submit_raw(&e_add_def, NULL, 2, a, 0, r),
			 MOB_E_INVAL);
	a[1].kind = 9;
	assert_int_equal(mob_submit_raw(&e_add_def, NULL, 2, a, 1, r),
			 MOB_E_INVAL);
	assert_int_equal(mob_join(r[0]), MOB_E_INVAL);
	expect(MOB_E_INVAL, MOB_E_INVAL, "argument 2 of task e_add");
}

static void test_errors_task_that_no_worker_knows(void **state)
{
	static const struct mob_type *const rets[] = { &mobi_type_int64_t };
	struct mob_task_def def = e_add_def;
	mob_ref r;
	int64_t x;

	(void)state;
	def.name = "e_unknown";
	def.n_args = 0;
	def.rets = rets;
	def.run = run_nothing;
	(void)mob_submit_raw(&def, NULL, 0, NULL, 1, &r);
	assert_true(mob_get(r, &x) < 0);
	expect(0, 0, "e_unknown");
}

static void test_errors_values_that_cannot_be_stored(void **state)
{
	const char *none = NULL;
	mob_args list = { 0 };
	uint64_t n;

	(void)state;
	assert_int_equal(mob_join(mob_put(none)), MOB_E_INVAL);
	mob_error_clear();
	assert_int_equal(mob_get(mob_submit(e_len, none), &n), MOB_E_INVAL);
	expect(MOB_E_INVAL, MOB_E_INVAL, "argument 1 of task e_len");
	assert_int_equal(mob_join(mob_put(mob_i32s_of(NULL, 5))), MOB_E_INVAL);
	mob_error_clear();
	assert_int_equal(mob_join(mob_put_raw(&mobi_type_mob_args, &list)),
			 MOB_E_INVAL);
	mob_error_clear();
	/* More than any store has. */
	assert_int_equal(
		mob_join(mob_put(mob_i64s_of((int64_t *)&list, SIZE_MAX / 4))),
		MOB_E_LIMIT);
	mob_error_clear();
}

/* ---- results ---- */

MOB_TASK(mob_str, e_null_string, void)
{
	return NULL;
}

MOB_TASK(mob_ref, e_bad_ref, void)
{
	return MOB_REF_NONE;
}

MOB_TASK(mob_bytes, e_too_large, void)
{
	return mob_bytes_of(mob_new((size_t)1 << 40), (size_t)1 << 40);
}

MOB_TASK_N(e_second_bad, (int64_t, good, mob_ref, bad), int64_t, x)
{
	*good = x;
	*bad = MOB_REF_NONE;
}

static void test_errors_results_that_cannot_be_stored(void **state)
{
	mob_ref r[2];
	mob_ref inner;
	mob_bytes b;
	const char *s;
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(e_null_string), &s), MOB_E_INVAL);
	expect(MOB_E_INVAL, MOB_E_INVAL, "e_null_string");
	assert_int_equal(mob_get(mob_submit(e_bad_ref), &inner), MOB_E_BAD_REF);
	expect(MOB_E_BAD_REF, MOB_E_BAD_REF, "e_bad_ref");
	assert_int_equal(mob_get(mob_submit(e_too_large), &b),
			 MOB_E_STORE_FULL);
	expect(MOB_E_STORE_FULL, MOB_E_STORE_FULL, "e_too_large");
	/* All or none. */
	assert_int_equal(mob_submit_n(r, 2, e_second_bad, 4), 0);
	assert_int_equal(mob_get(r[0], &x), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_get(r[1], &inner), MOB_E_BAD_REF);
	mob_error_clear();
}

/* ---- fork ---- */

/* What a child of fork that did not attach may do: be told so. */
static int in_child(mob_ref r, mob_ref view_of)
{
	struct mob_queue *q;
	int64_t x = 7;
	bool ready;
	mob_ref s;

	if (mob_get(r, &x) != MOB_E_FORKED || x != 0 ||
	    !strstr(mob_error(), "mob_get: ") ||
	    !strstr(mob_error(), "mob_shutdown")) {
		return 2;
	}
	mob_error_clear();
	s = mob_submit(e_add, 1, 2);
	if (!mob_ref_is_none(s) || !mob_ref_is_none(mob_put(5)) || mob_new(5)) {
		return 3;
	}
	if (mob_release(r) != MOB_E_FORKED || mob_keep(r) != MOB_E_FORKED ||
	    mob_wait(&r, 1, 1, 0, &ready) != MOB_E_FORKED ||
	    mob_queue_open(&q) != MOB_E_FORKED ||
	    mob_get_all(&r, 1, &x) != MOB_E_FORKED) {
		return 4;
	}
	if (mob_release(view_of) != MOB_E_FORKED) {
		return 5;
	}
	mob_shutdown();
	return 0;
}

static void test_errors_forked_child_is_told_and_harms_nobody(void **state)
{
	const char *text;
	mob_ref v = mob_put("a text that is much longer than the room in a "
			    "slot of the table");
	mob_ref r = mob_put(INT64_C(5));
	uint32_t before = live_objects();
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(v, &text), 0);
	for (int how = 0; how < 2; how++) {
		struct mob_scope scope = mob_scope_open();
		mob_ref in = mob_put(INT64_C(6));
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			int rc = how ? 0 : in_child(r, v);

			/* Its copy of the frame is not its own to end. */
			mob_scope_close(&scope);
			_exit(rc);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		assert_int_equal(mob_get(in, &x), 0);
		assert_int_equal(x, 6);
		mob_scope_close(&scope);
		assert_int_equal(live_objects(), before);
	}
	assert_int_equal(strncmp(text, "a text that is", 14), 0);
	assert_int_equal(mob_get(mob_submit(e_add, r, 1), &x), 0);
	assert_int_equal(x, 6);
}

MOB_TASK(int64_t, e_forks, void)
{
	mob_ref r = mob_put(INT64_C(3));
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int64_t x;

		_exit(mob_get(r, &x) == MOB_E_FORKED ? 0 : 1);
	}
	if (waitpid(pid, &status, 0) != pid || status) {
		mob_fail(1, "child: %d", status);
	}
	return status;
}

static void test_errors_fork_in_a_task(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(e_forks), &x), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

/* ---- a full store ---- */

#define FILLERS 20000u

MOB_TASK(int64_t, e_forever, void)
{
	for (;;) {
		(void)pause();
	}
}

static bool anybody_runs(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		if (mobi_load(&mobi_rt.sched->place[i].ann)) {
			return true;
		}
	}
	return false;
}

static bool waits_in_line(void *arg)
{
	struct mob_store *s = arg;

	return mobi_load(&s->clients[s->me].room) != 0;
}

static void *waits_for_room(void *arg)
{
	struct mob_ref r;
	void *at;
	int *rc = arg;

	*rc = mob_object_create(mobi_rt.store, 1 << 20, 1, &r, &at);
	return NULL;
}

/* Not even an error of a hundred bytes has room after it. */
static uint32_t fill_store(struct mob_store *s, struct mob_ref *refs)
{
	uint32_t n = 0;
	void *at;

	for (uint64_t size = 32 << 20; size > 48; size /= 2) {
		while (n < FILLERS &&
		       mob_object_create(s, size, 1, &refs[n], &at) >= 0) {
			n++;
		}
	}
	return n;
}

/* The driver waits for room, and is the only one to notice that the daemon and the
 * worker are dead: it makes the error of the task, which waits for nothing. */
static void
test_errors_janitor_that_waits_for_room_makes_the_error(void **state)
{
	struct mob_store *s;
	pthread_t thread;
	static struct mob_ref filler[FILLERS];
	uint32_t n;
	mob_ref r;
	int64_t x;
	int rc = 0;
	int daemon;
	int worker;

	(void)state;
	mob_shutdown();
	live_start(1);
	s = mobi_rt.store;
	r = mob_submit_with(MOB_OPTS(.retries = 0), e_forever);
	assert_true(live_await(anybody_runs, NULL));
	n = fill_store(s, filler);
	assert_in_range(n, 1, FILLERS - 1);
	assert_int_equal(setenv("MOBULA_ROOM_WAIT_MS", "3000", 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, waits_for_room, &rc), 0);
	assert_true(live_await(waits_in_line, s));
	daemon = live_daemon();
	worker = live_worker(0);
	assert_true(daemon > 0 && worker > 0);
	assert_int_equal(kill(daemon, SIGKILL), 0);
	assert_int_equal(kill(worker, SIGKILL), 0);
	/* Nobody else looks meanwhile. */
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(rc, MOB_E_STORE_FULL);
	assert_int_equal(mob_get(r, &x), MOB_E_CRASHED);
	mob_error_clear();
	for (uint32_t i = 0; i < n; i++) {
		(void)mob_object_abort(s, filler[i]);
		assert_int_equal(mob_object_release(s, filler[i]), 0);
	}
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(unsetenv("MOBULA_ROOM_WAIT_MS"), 0);
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_errors_fail_tells_code_text_file_and_line),
		T(test_errors_long_text_is_cut_and_ends),
		T(test_semantics_12_errors_go_through_dependents_that_do_not_run),
		T(test_errors_pending_one_fails_the_task),
		T(test_errors_pending_one_of_a_thread_is_its_own),
		T(test_errors_wrong_type_names_task_position_and_both),
		T(test_errors_of_lists_name_the_element),
		T(test_errors_slice_out_of_range),
		T(test_errors_ref_of_another_session),
		T(test_errors_released_ref),
		T(test_semantics_14_wrong_count_is_an_error_in_each),
		T(test_errors_task_that_no_worker_knows),
		T(test_errors_values_that_cannot_be_stored),
		T(test_errors_results_that_cannot_be_stored),
		T(test_errors_forked_child_is_told_and_harms_nobody),
		T(test_errors_fork_in_a_task),
		T(test_errors_janitor_that_waits_for_room_makes_the_error),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
