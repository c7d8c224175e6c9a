/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs whose runs hand values on, and overlap: channels, runs in flight, and what
 * calls are refused.
 */
#include "channels.h"

#include "graph.h"
#include "os_run.h"

#include <mobula/store.h>

#include <stdlib.h>
#include <string.h>

#define READERS 5

struct row {
	uint64_t run;
	double at[40];
	uint64_t sum;
};
MOB_STRUCT(row);

MOB_TASK(uint64_t, c_mix, uint64_t, a, uint64_t, b, uint64_t, c)
{
	return (a ^ b * 5) + c * 7;
}

/* Reads one of a channel; must be one that was not torn. */
MOB_TASK(row, c_row, row, was, uint64_t, x)
{
	row out = { was.run + 1, { 0 }, 0 };
	uint64_t sum = 0;

	for (int i = 0; i < 40; i++) {
		sum += (uint64_t)was.at[i];
	}
	if (sum != was.sum) {
		mob_fail(77, "torn");
	}
	for (int i = 0; i < 40; i++) {
		out.at[i] = (double)(x + (uint64_t)i +
				     (uint64_t)was.at[39 - i] % 1000);
		out.sum += (uint64_t)out.at[i];
	}
	return out;
}

/* Counts that it ran; and the last stage waits until the first of the next run has,
 * of n runs. */
MOB_TASK(uint64_t, c_first, mob_str, path, uint64_t, x)
{
	(void)live_ledger_add(path, CH_STARTED);
	return x;
}
MOB_TASK(uint64_t, c_last, mob_str, path, uint64_t, n, uint64_t, x)
{
	uint64_t want = x + 2 < n ? x + 2 : n;

	while (live_ledger_get(path, CH_STARTED) < want &&
	       !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, CH_ENDED);
	return x;
}

/* ---- a loop whose state goes round, with readers, and the same in plain C ---- */

struct loop {
	struct mob_graph *g;
	uint32_t window;
	mob_ref in;
	mob_ref state;
	mob_ref next;
	mob_ref out[READERS];
	mob_ref rows;
	mob_ref row;
	uint64_t s; /* in plain C */
	row r;
};

static void record_loop(struct loop *l, uint32_t window)
{
	memset(l, 0, sizeof(*l));
	l->window = window;
	l->g = ch_begin(window);
	l->in = mob_graph_input(uint64_t);
	l->state = mob_graph_channel(uint64_t);
	l->rows = mob_graph_channel(row);
	/* Readers of the run before, of both, and of this run. */
	for (uint64_t i = 0; i < READERS - 1; i++) {
		l->out[i] = mob_submit(c_mix, l->state, i, l->in);
	}
	l->next = mob_submit(c_step, l->state, l->in);
	l->out[READERS - 1] = mob_submit(c_mix, l->state, l->next, l->state);
	l->row = mob_submit(c_row, l->rows, l->in);
	assert_int_equal(mob_graph_write(l->state, l->next), 0);
	assert_int_equal(mob_graph_write(l->rows, l->row), 0);
	assert_int_equal(mob_capture_end(l->g), 0);
}

static void set_loop(struct loop *l, uint64_t s)
{
	l->s = s;
	memset(&l->r, 0, sizeof(l->r));
	assert_int_equal(mob_graph_set(l->g, l->state, &s), 0);
	assert_int_equal(mob_graph_set_as(row, l->g, l->rows, &l->r), 0);
}

static void start_loop(struct loop *l, uint64_t x)
{
	assert_int_equal(mob_graph_set(l->g, l->in, &x), 0);
	ch_start(l->g);
}

/* Waits for run x; all it gave is as in plain C. */
static void wait_loop(struct loop *l, uint64_t x)
{
	row before = l->r;
	row got;
	uint64_t y;

	ch_wait(l->g);
	for (uint64_t i = 0; i < READERS - 1; i++) {
		assert_int_equal(mob_graph_get(l->g, l->out[i], &y), 0);
		assert_int_equal(y, (l->s ^ i * 5) + x * 7);
	}
	assert_int_equal(mob_graph_get(l->g, l->next, &y), 0);
	assert_int_equal(y, l->s * 3 + x);
	assert_int_equal(mob_graph_get(l->g, l->out[READERS - 1], &y), 0);
	assert_int_equal(y, (l->s ^ (l->s * 3 + x) * 5) + l->s * 7);
	l->s = l->s * 3 + x;
	l->r.run++;
	l->r.sum = 0;
	for (int i = 0; i < 40; i++) {
		l->r.at[i] = (double)(x + (uint64_t)i +
				      (uint64_t)before.at[39 - i] % 1000);
		l->r.sum += (uint64_t)l->r.at[i];
	}
	assert_int_equal(mob_graph_get_as(row, l->g, l->row, &got), 0);
	assert_memory_equal(&got, &l->r, sizeof(got));
}

static void run_loop(struct loop *l, uint64_t from, uint64_t n)
{
	uint64_t waited = from;

	for (uint64_t x = from; x < from + n; x++) {
		if (x - waited == l->window) {
			wait_loop(l, waited++);
		}
		start_loop(l, x);
	}
	for (; waited < from + n; waited++) {
		wait_loop(l, waited);
	}
}

static void test_channel_brings_a_result_to_the_next_run(void **state)
{
	static const uint32_t windows[] = { 1, 2, 3, 7, MOB_GRAPH_WINDOW_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		struct loop l;

		record_loop(&l, windows[i]);
		set_loop(&l, 5);
		run_loop(&l, 0, 100);
		/* Set again: the next run has that, and those after it go on. */
		set_loop(&l, 11);
		run_loop(&l, 100, 50);
		mob_graph_close(l.g);
		assert_int_equal(live_audit(0), 0);
	}
}

/* While runs that write to it are in flight. */
static void test_channel_that_is_set_is_for_the_next_run_only(void **state)
{
	struct mob_graph *g = ch_begin(4);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y = mob_submit(c_step, ch, 1);
	uint64_t want[4] = { 1, 4, 61, 184 };
	uint64_t x = 0;

	(void)state;
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (int k = 0; k < 50; k++) {
		x = 0;
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		ch_start(g);
		ch_start(g);
		x = 20;
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		ch_start(g);
		ch_start(g);
		for (int i = 0; i < 4; i++) {
			ch_wait(g);
			assert_int_equal(mob_graph_get(g, y, &x), 0);
			assert_int_equal(x, want[i]);
		}
	}
	mob_graph_close(g);
}

static struct mob_store_stat stat_now(void)
{
	struct mob_store_stat st;

	assert_true(live_await_tasks(0));
	assert_int_equal(mob_store_stat(mobi_rt.store, &st), 0);
	return st;
}

/* Many more runs than there is room for, in the same memory. */
static void test_channel_runs_without_end_take_no_more_memory(void **state)
{
	uint64_t runs = test_count("MOB_TEST_RUNS", 10000 / LIVE_SLOW, 100000);
	struct mob_store_stat before;
	struct mob_store_stat after;
	struct loop l;
	uint32_t slots;

	(void)state;
	record_loop(&l, 4);
	set_loop(&l, 1);
	run_loop(&l, 0, 200);
	before = stat_now();
	slots = live_slots_used();
	run_loop(&l, 200, runs);
	after = stat_now();
	/* Results of runners may be there, or not yet. */
	assert_true(after.objects <= before.objects + 2);
	assert_true(after.arena_used_bytes <= before.arena_used_bytes + 4096);
	assert_true(live_slots_used() <= slots + 64);
	mob_graph_close(l.g);
}

/* Numbers of runs are used up while they are in flight. */
static void test_channel_goes_on_when_the_numbers_of_runs_wrap(void **state)
{
	struct loop l;

	(void)state;
	record_loop(&l, 3);
	l.g->run = UINT32_MAX - 20;
	mobi_graph_reset(l.g);
	set_loop(&l, 9);
	run_loop(&l, 0, 60);
	mob_graph_close(l.g);
}

/* ---- runs in flight ---- */

/* The last stage of each run waits until the next run has begun: with one in flight it
 * would never end. */
static void test_window_lets_runs_overlap(void **state)
{
	enum { RUNS = 40 };
	struct mob_graph *g = ch_begin(2);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref a;
	mob_ref b;
	mob_ref c;
	uint64_t want = 0;
	uint64_t y;

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS);
	a = mob_submit(c_first, ch_ledger.path, in);
	b = mob_submit(c_last, ch_ledger.path, RUNS, a);
	/* One after the other all the same. */
	c = mob_submit(c_step, ch, b);
	assert_int_equal(mob_graph_write(ch, c), 0);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_set(g, ch, &want), 0);
	for (uint64_t x = 0; x <= RUNS; x++) {
		if (x < RUNS) {
			assert_int_equal(mob_graph_set(g, in, &x), 0);
			ch_start(g);
		}
		if (x) {
			ch_wait(g);
			want = want * 3 + x - 1;
			assert_int_equal(mob_graph_get(g, c, &y), 0);
			assert_int_equal(y, want);
		}
	}
	assert_int_equal(ch_ledger.at[CH_STARTED], RUNS);
	assert_int_equal(ch_ledger.at[CH_ENDED], RUNS);
	mob_graph_close(g);
	live_ledger_close(&ch_ledger);
}

/* Who is ahead of what reads it is told so, and nothing is lost by that. */
static void test_window_that_is_full_is_backpressure(void **state)
{
	struct mob_graph *g = ch_begin(3);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref out;
	uint64_t x;
	uint64_t y;

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS);
	out = mob_submit(c_slow, ch_ledger.path, in);
	assert_int_equal(mob_capture_end(g), 0);
	for (x = 0; x < 3; x++) {
		assert_int_equal(mob_graph_set(g, in, &x), 0);
		ch_start(g);
	}
	assert_int_equal(mob_graph_set(g, in, &x), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mob_graph_start(g), MOB_E_STATE);
		live_pends(MOB_E_STATE, "3 runs are in flight, as many as");
	}
	assert_int_equal(mob_graph_run(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_graph_run: the graph runs");
	assert_int_equal(mob_graph_get(g, out, &y), MOB_E_STATE);
	live_pends(MOB_E_STATE, "has not run");
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_TIMEOUT);
	assert_int_equal(mob_graph_wait(g, MOB_MS), MOB_E_TIMEOUT);
	mob_error_clear();
	ch_ledger.at[CH_MAY_END] = 1;
	ch_wait(g);
	ch_start(g);
	/* What was waited for last is there while others run. */
	assert_int_equal(mob_graph_get(g, out, &y), 0);
	assert_int_equal(y, 0);
	for (x = 1; x < 4; x++) {
		ch_wait(g);
		assert_int_equal(mob_graph_get(g, out, &y), 0);
		assert_int_equal(y, x);
	}
	assert_int_equal(ch_ledger.at[CH_STARTED], 4);
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not run");
	mob_graph_close(g);
	live_ledger_close(&ch_ledger);
}

/* On one worker, whose task waits for its own graph. */
MOB_TASK(uint64_t, c_has_loop, uint64_t, n)
{
	struct mob_graph *g;
	mob_ref ch;
	mob_ref y;
	uint64_t x = 1;

	if (mob_capture_begin(&g)) {
		return 0;
	}
	(void)mob_graph_window(g, 3);
	ch = mob_graph_channel(uint64_t);
	y = mob_submit(c_step, ch, 1);
	(void)mob_graph_write(ch, y);
	(void)mob_capture_end(g);
	(void)mob_graph_set(g, ch, &x);
	for (uint64_t i = 0; i < n + 3; i++) {
		if (i >= 3) {
			if (mob_graph_wait(g, MOB_FOREVER)) {
				break;
			}
			(void)mob_graph_get(g, y, &x);
		}
		if (i < n) {
			(void)mob_graph_start(g);
		}
	}
	mob_graph_close(g);
	return x;
}

static void test_window_of_a_task_on_one_worker(void **state)
{
	uint64_t want = 1;
	uint64_t x;

	(void)state;
	for (int i = 0; i < 30; i++) {
		want = want * 3 + 1;
	}
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start(1);
	for (int i = 0; i < 5; i++) {
		mob_ref a = mob_submit(c_has_loop, 30);
		mob_ref b = mob_submit(c_has_loop, 30);

		assert_int_equal(mob_take(a, &x), 0);
		assert_int_equal(x, want);
		assert_int_equal(mob_take(b, &x), 0);
		assert_int_equal(x, want);
	}
	assert_int_equal(live_audit(0), 0);
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
	mob_shutdown();
}

/* ---- bad calls ---- */

static void test_channel_bad_calls_are_refused(void **state)
{
	struct mob_graph *g = ch_begin(2);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y = mob_submit(c_step, ch, in);
	uint64_t x = 3;

	(void)state;
	assert_int_equal(mob_graph_window(g, 0), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "0 runs in flight; 1 to 32");
	assert_int_equal(mob_graph_window(g, 33), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "33 runs");
	assert_int_equal(mob_join(mob_graph_channel(mob_str)), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "no fixed size");
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_window(g, 2), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_graph_write(ch, y), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_join(mob_graph_channel(uint64_t)), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_graph_set(g, in, &x), 0);
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "channel 1 (uint64_t) of the graph has "
				"nothing");
	assert_int_equal(mob_graph_set(g, ch, &x), 0);
	assert_int_equal(mob_graph_run(g), 0);
	assert_int_equal(mob_graph_get(g, ch, &x), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "the ref is of a channel");
	mob_graph_close(g);
}

static void refused(mob_ref ch, mob_ref y, int code, const char *part,
		    struct mob_graph *g)
{
	assert_int_equal(mob_graph_write(ch, y), code);
	live_pends(code, part);
	assert_int_equal(mob_capture_end(g), code);
	live_pends(code, part);
	mob_graph_close(g);
}

static void test_channel_bad_writes_are_refused(void **state)
{
	struct mob_graph *g = ch_begin(2);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y = mob_submit(c_step, ch, in);

	(void)state;
	assert_int_equal(mob_graph_write(ch, y), 0);
	refused(ch, y, MOB_E_STATE, "it has one writer", g);
	g = ch_begin(2);
	in = mob_graph_input(uint64_t);
	ch = mob_graph_channel(uint64_t);
	refused(ch, in, MOB_E_BAD_REF, "the result of a call", g);
	g = ch_begin(2);
	in = mob_graph_input(uint64_t);
	y = mob_submit(c_step, in, in);
	refused(in, y, MOB_E_BAD_REF, "not of a channel", g);
	g = ch_begin(2);
	ch = mob_graph_channel(row);
	y = mob_submit(c_step, 1, 1);
	refused(ch, y, MOB_E_TYPE, "the channel is of row, given a uint64_t",
		g);
	g = ch_begin(2);
	refused(mob_put(1), y, MOB_E_BAD_REF, "not one of a capture", g);
	/* Nobody writes to it. */
	g = ch_begin(2);
	ch = mob_graph_channel(uint64_t);
	(void)mob_submit(c_step, ch, 1);
	assert_int_equal(mob_capture_end(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "nothing is written to channel 1 (uint64_t)");
	mob_graph_close(g);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)
#define ALONE(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_channel_brings_a_result_to_the_next_run),
		T(test_channel_that_is_set_is_for_the_next_run_only),
		T(test_channel_runs_without_end_take_no_more_memory),
		T(test_channel_goes_on_when_the_numbers_of_runs_wrap),
		T(test_window_lets_runs_overlap),
		T(test_window_that_is_full_is_backpressure),
		T(test_channel_bad_calls_are_refused),
		T(test_channel_bad_writes_are_refused),
	};
	const struct CMUnitTest alone[] = {
		ALONE(test_window_of_a_task_on_one_worker),
	};

	(void)argc;
	(void)argv;
	return cmocka_run_group_tests(alone, NULL, NULL) +
	       cmocka_run_group_tests(tests, live_start_two, live_leave);
}
