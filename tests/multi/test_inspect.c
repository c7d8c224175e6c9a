/* SPDX-License-Identifier: Apache-2.0 */
/* What tools see of a session and of its tasks while it runs. */
#include "inspect_fixture.h"

/* ---- tasks ---- */

MOB_TASK(int64_t, hold_below, mob_str, gate)
{
	int64_t x = 0;

	mob_get(mob_submit(hold, gate), &x);
	return x + 1;
}

MOB_TASK(int64_t, add, int64_t, a, int64_t, b)
{
	return a + b;
}

/* Another queue is open meanwhile, on which nobody sleeps. */
MOB_TASK(int64_t, hold_two, mob_str, one, mob_str, two)
{
	mob_ref refs[2] = { mob_submit(hold, one), mob_submit(hold, two) };
	int64_t x[2] = { 0, 0 };
	struct mob_queue *other;

	if (mob_queue_open(&other)) {
		return -1;
	}
	mob_queue_add(other, mob_submit(add, refs[1], 1), 0);
	mob_get_all(refs, 2, x);
	mob_queue_close(other);
	return x[0] + x[1];
}

/* Reads x, and not what the plain ref names. */
MOB_TASK(int64_t, total, mob_args, list, mob_ref, plain, int64_t, x)
{
	int64_t sum = x + mob_ref_is_none(plain);

	for (size_t i = 0; i < list.n; i++) {
		int64_t v;

		mob_args_get(list, i, &v);
		sum += v;
	}
	return sum;
}

/* ---- listing ---- */

static void test_session_running_is_listed_with_workers(void **state)
{
	struct found f = { .driver_pid = (uint32_t)getpid() };
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct crew c = { .ok = true };
	struct mob_session *s;

	(void)state;
	live_start(2);
	assert_true(live_await(runs, &f));
	assert_string_equal(f.program, "test_multi_inspect");
	assert_true(f.daemon_pid > 0);
	assert_int_equal(f.processes, 4);
	assert_true(f.age_ns > 0);
	assert_true(f.file_bytes > 1 << 20);
	s = current();
	assert_int_equal(mob_session_workers(s, add_worker, &c), 0);
	assert_int_equal(c.n, 2);
	assert_true(c.ok);
	assert_int_not_equal(c.pid[0], c.pid[1]);
	assert_int_equal(mob_session_describe(s, &info), 0);
	assert_int_equal(info.driver_pid, getpid());
	assert_int_equal(info.workers, 2);
	assert_string_equal(info.path, f.path);
	mob_session_close(s);
	assert_int_equal(mob_session_open(f.own_name, &s), 0);
	mob_session_close(s);
	mob_shutdown();
	f.there = false;
	assert_int_equal(mob_session_each(find_session, &f), 0);
	assert_false(f.there);
}

static void test_describe_short_struct_is_not_overrun(void **state)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct mob_session *s;

	(void)state;
	live_start(1);
	s = current();
	info.struct_size = 8;
	info.name = "kept";
	assert_int_equal(mob_session_describe(s, &info), 0);
	assert_int_equal(info.struct_size, 8);
	assert_int_equal(info.state, MOB_SESSION_RUNNING);
	assert_string_equal(info.name, "kept");
	info.struct_size = 0;
	assert_int_equal(mob_session_describe(s, &info), MOB_E_VERSION);
	mob_session_close(s);
	mob_shutdown();
}

/* `add` waits for the first hold, `hold_below` for the one that it made. */
static bool others_are_so(struct want *w)
{
	const struct mob_task_info *add_row_ = row_of(&w->rows, "add");

	return add_row_ && add_row_->state == MOB_TASK_STATE_WAITING;
}

struct one {
	uint64_t id;
	int calls;
};

static int see_one(const struct mob_task_info *t, void *arg)
{
	struct one *o = arg;

	o->calls++;
	return t->id == o->id ? 42 : 0;
}

static void check_waits(struct want *w, mob_ref first)
{
	const struct mob_task_info *below = row_of(&w->rows, "hold_below");
	const struct mob_task_info *sum = row_of(&w->rows, "add");
	const struct mob_task_info *maker = NULL;
	struct one o = { .calls = 0 };

	assert_true(mob_ref_equal(sum->waits_for, first));
	assert_int_equal(sum->waits, 1);
	assert_int_equal(sum->n_args, 1);
	assert_int_equal(sum->n_returns, 1);
	assert_int_equal(sum->attempt, 0);
	assert_int_equal(sum->worker, 0);
	assert_int_equal(below->n_args, 0);
	assert_int_equal(below->attempt, 1);
	assert_true(below->worker_pid > 0);
	assert_true(below->run_ns > 0);
	assert_true(below->age_ns >= below->run_ns);
	for (uint32_t i = 0; i < w->rows.n; i++) {
		const struct mob_task_info *t = &w->rows.task[i];

		if (t->id == below->waits_for_task) {
			maker = t;
		}
		if (t->id == sum->waits_for_task) {
			assert_true(mob_ref_equal(t->ret, first));
			o.calls++;
		}
	}
	assert_int_equal(o.calls, 1);
	assert_non_null(maker);
	assert_true(mob_ref_equal(maker->ret, below->waits_for));
	o.calls = 0;
	o.id = sum->id;
	assert_int_equal(mob_session_task(w->s, sum->id, see_one, &o), 42);
	assert_int_equal(o.calls, 1);
	assert_int_equal(mob_session_task(w->s, sum->id + (UINT64_C(1) << 32),
					  see_one, &o),
			 MOB_E_NOT_FOUND);
	assert_int_equal(mob_session_task(w->s, 0, see_one, &o),
			 MOB_E_NOT_FOUND);
	assert_int_equal(o.calls, 1);
}

static void test_task_blocked_shows_what_it_waits_for(void **state)
{
	struct gate one = gate_make("one");
	struct gate two = gate_make("two");
	struct want w = { .name = "hold_below",
			  .state = MOB_TASK_STATE_BLOCKED,
			  .waits = 1,
			  .more = others_are_so };
	struct crew c = { .ok = true };
	mob_ref first, below, sum;
	int64_t x = 0;

	(void)state;
	live_start(2);
	w.s = current();
	first = mob_submit(hold, (mob_str)one.path);
	below = mob_submit(hold_below, (mob_str)two.path);
	sum = mob_submit(add, first, 5);
	assert_true(live_await(is_so, &w));
	check_waits(&w, first);
	assert_int_equal(mob_session_workers(w.s, add_worker, &c), 0);
	assert_true(c.ok);
	assert_int_equal(c.blocked, 1);
	assert_string_equal(c.blocked_name, "hold_below");
	gate_open(&one);
	gate_open(&two);
	assert_int_equal(mob_get(sum, &x), 0);
	assert_int_equal(x, 6);
	assert_int_equal(mob_get(below, &x), 0);
	assert_int_equal(x, 2);
	mob_session_close(w.s);
	mob_shutdown();
}

static void test_task_blocked_on_many_shows_how_many(void **state)
{
	struct gate one = gate_make("one");
	struct gate two = gate_make("two");
	struct want w = { .name = "hold_two",
			  .state = MOB_TASK_STATE_BLOCKED,
			  .waits = 2 };
	const struct mob_task_info *t;
	mob_ref both;
	int64_t x = 0;

	(void)state;
	live_start(2);
	w.s = current();
	both = mob_submit(hold_two, (mob_str)one.path, (mob_str)two.path);
	assert_true(live_await(is_so, &w));
	t = row_of(&w.rows, "hold_two");
	assert_false(mob_ref_is_none(t->waits_for));
	assert_true(t->waits_for_task != 0);
	w.waits = 1;
	gate_open(&one);
	assert_true(live_await(is_so, &w));
	gate_open(&two);
	assert_int_equal(mob_get(both, &x), 0);
	assert_int_equal(x, 2);
	mob_session_close(w.s);
	mob_shutdown();
}

#define MANY 150
#define PUT 10

static void test_task_with_many_arguments_shows_the_first(void **state)
{
	struct gate one = gate_make("one");
	struct gate two = gate_make("two");
	struct want w = { .name = "total",
			  .state = MOB_TASK_STATE_WAITING,
			  .waits = MANY - PUT };
	const struct mob_task_info *t;
	mob_ref refs[MANY];
	mob_ref sum;
	int64_t x = 0;

	(void)state;
	live_start(2);
	w.s = current();
	for (size_t i = 0; i < PUT; i++) {
		refs[i] = mob_put((int64_t)1);
	}
	refs[PUT] = mob_submit(hold, (mob_str)one.path);
	refs[PUT + 1] = mob_submit(hold, (mob_str)two.path);
	for (size_t i = PUT + 2; i < MANY; i++) {
		refs[i] = refs[PUT + 1];
	}
	sum = mob_submit(total, mob_args_of(refs, MANY), refs[PUT], 5);
	assert_true(live_await(is_so, &w));
	t = row_of(&w.rows, "total");
	assert_int_equal(t->n_args, MANY + 1);
	assert_true(mob_ref_equal(t->waits_for, refs[PUT]));
	gate_open(&one);
	w.waits = MANY - PUT - 1;
	assert_true(live_await(is_so, &w));
	t = row_of(&w.rows, "total");
	assert_true(mob_ref_equal(t->waits_for, refs[PUT + 1]));
	gate_open(&two);
	assert_int_equal(mob_get(sum, &x), 0);
	assert_int_equal(x, MANY + 5);
	mob_session_close(w.s);
	mob_shutdown();
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_session_running_is_listed_with_workers),
		TEST(test_describe_short_struct_is_not_overrun),
		TEST(test_task_blocked_shows_what_it_waits_for),
		TEST(test_task_blocked_on_many_shows_how_many),
		TEST(test_task_with_many_arguments_shows_the_first),
	};

	return cmocka_run_group_tests_name("multi.inspect", tests, group_open,
					   group_close);
}
