/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs whose runs hand values on, and overlap: channels, runs in flight, errors that
 * stay where they belong, and all of it while workers and drivers are killed.
 */
#include "live.h"

#include "fault.h"
#include "graph.h"
#include "os_clock.h"
#include "os_run.h"

#include <mobula/store.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Words of the ledger: those, then executions of each stage in each run. */
enum { MAY_END, STARTED, ENDED, WORDS = 8 };
static struct live_ledger ledger;

#define READERS 5

struct row {
	uint64_t run;
	double at[40];
	uint64_t sum;
};
MOB_STRUCT(row);

MOB_TASK(uint64_t, c_step, uint64_t, state, uint64_t, x)
{
	return state * 3 + x;
}

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

/* Counts that stage `stage` ran in run `x`, of `n` stages. */
MOB_TASK(uint64_t, c_stage, mob_str, path, uint64_t, stage, uint64_t, x,
	 uint64_t, before, uint64_t, state)
{
	(void)live_ledger_add(path, WORDS + x * 4 + stage);
	return before + state * 3 + stage;
}

/* Counts that it ran; and the last stage waits until the first of the next run has,
 * of n runs. */
MOB_TASK(uint64_t, c_first, mob_str, path, uint64_t, x)
{
	(void)live_ledger_add(path, STARTED);
	return x;
}
MOB_TASK(uint64_t, c_last, mob_str, path, uint64_t, n, uint64_t, x)
{
	uint64_t want = x + 2 < n ? x + 2 : n;

	while (live_ledger_get(path, STARTED) < want && !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, ENDED);
	return x;
}

MOB_TASK(uint64_t, c_slow, mob_str, path, uint64_t, x)
{
	(void)live_ledger_add(path, STARTED);
	while (!live_ledger_get(path, MAY_END) && !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, ENDED);
	return x;
}

MOB_TASK(uint64_t, c_fails_at, uint64_t, x, uint64_t, bad)
{
	if (x == bad) {
		mob_fail(42, "cannot do %u", (unsigned)x);
	}
	return x * 2;
}

MOB_TASK(uint64_t, c_dies, mob_str, path, uint64_t, x, uint64_t, bad, uint64_t,
	 state)
{
	(void)live_ledger_add(path, WORDS + x);
	if (x == bad) {
		(void)raise(SIGKILL);
	}
	return state + 1;
}

static struct mob_graph *begin(uint32_t window)
{
	struct mob_graph *g;

	assert_int_equal(mob_capture_begin(&g), 0);
	assert_int_equal(mob_graph_window(g, window), 0);
	return g;
}

static void pends(int code, const char *part)
{
	assert_int_equal(mob_error_code(), code);
	if (!strstr(mob_error(), part)) {
		fail_msg("'%s' is not in: %s", part, mob_error());
	}
	mob_error_clear();
}

static void start_run(struct mob_graph *g)
{
	if (mob_graph_start(g)) {
		fail_msg("mob_graph_start: %s", mob_error());
	}
}

static void wait_run(struct mob_graph *g)
{
	if (mob_graph_wait(g, MOB_FOREVER)) {
		fail_msg("mob_graph_wait: %s", mob_error());
	}
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
	l->g = begin(window);
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
	start_run(l->g);
}

/* Waits for run x; all it gave is as in plain C. */
static void wait_loop(struct loop *l, uint64_t x)
{
	row before = l->r;
	row got;
	uint64_t y;

	wait_run(l->g);
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
	struct mob_graph *g = begin(4);
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
		start_run(g);
		start_run(g);
		x = 20;
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		start_run(g);
		start_run(g);
		for (int i = 0; i < 4; i++) {
			wait_run(g);
			assert_int_equal(mob_graph_get(g, y, &x), 0);
			assert_int_equal(x, want[i]);
		}
	}
	mob_graph_close(g);
}

static bool no_task(void *arg)
{
	(void)arg;
	return live_tasks() == 0;
}

static struct mob_store_stat stat_now(void)
{
	struct mob_store_stat st;

	assert_true(live_await(no_task, NULL));
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
	struct mob_graph *g = begin(2);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref a;
	mob_ref b;
	mob_ref c;
	uint64_t want = 0;
	uint64_t y;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	a = mob_submit(c_first, ledger.path, in);
	b = mob_submit(c_last, ledger.path, RUNS, a);
	/* One after the other all the same. */
	c = mob_submit(c_step, ch, b);
	assert_int_equal(mob_graph_write(ch, c), 0);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_set(g, ch, &want), 0);
	for (uint64_t x = 0; x <= RUNS; x++) {
		if (x < RUNS) {
			assert_int_equal(mob_graph_set(g, in, &x), 0);
			start_run(g);
		}
		if (x) {
			wait_run(g);
			want = want * 3 + x - 1;
			assert_int_equal(mob_graph_get(g, c, &y), 0);
			assert_int_equal(y, want);
		}
	}
	assert_int_equal(ledger.at[STARTED], RUNS);
	assert_int_equal(ledger.at[ENDED], RUNS);
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* Who is ahead of what reads it is told so, and nothing is lost by that. */
static void test_window_that_is_full_is_backpressure(void **state)
{
	struct mob_graph *g = begin(3);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref out;
	uint64_t x;
	uint64_t y;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	out = mob_submit(c_slow, ledger.path, in);
	assert_int_equal(mob_capture_end(g), 0);
	for (x = 0; x < 3; x++) {
		assert_int_equal(mob_graph_set(g, in, &x), 0);
		start_run(g);
	}
	assert_int_equal(mob_graph_set(g, in, &x), 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mob_graph_start(g), MOB_E_STATE);
		pends(MOB_E_STATE, "3 runs are in flight, as many as");
	}
	assert_int_equal(mob_graph_run(g), MOB_E_STATE);
	pends(MOB_E_STATE, "mob_graph_run: the graph runs");
	assert_int_equal(mob_graph_get(g, out, &y), MOB_E_STATE);
	pends(MOB_E_STATE, "has not run");
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_TIMEOUT);
	assert_int_equal(mob_graph_wait(g, MOB_MS), MOB_E_TIMEOUT);
	mob_error_clear();
	ledger.at[MAY_END] = 1;
	wait_run(g);
	start_run(g);
	/* What was waited for last is there while others run. */
	assert_int_equal(mob_graph_get(g, out, &y), 0);
	assert_int_equal(y, 0);
	for (x = 1; x < 4; x++) {
		wait_run(g);
		assert_int_equal(mob_graph_get(g, out, &y), 0);
		assert_int_equal(y, x);
	}
	assert_int_equal(ledger.at[STARTED], 4);
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_STATE);
	pends(MOB_E_STATE, "does not run");
	mob_graph_close(g);
	live_ledger_close(&ledger);
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

/* ---- errors ---- */

static void test_channel_error_is_that_of_its_run(void **state)
{
	enum { RUNS = 12, BAD = 5, WINDOW = 3 };
	struct mob_graph *g = begin(WINDOW);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref fails;
	mob_ref after;
	mob_ref other;

	(void)state;
	live_ledger_open(&ledger, WORDS + 4 * RUNS);
	fails = mob_submit(c_fails_at, in, BAD);
	after = mob_submit(c_stage, ledger.path, 0, in, fails, 0);
	/* Of the same run, and of the next, but not of what fails. */
	other = mob_submit(c_stage, ledger.path, 1, in, 0, ch);
	assert_int_equal(mob_graph_write(ch, other), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t x = 0, want = 0, w = 0; x < RUNS + WINDOW; x++) {
		uint64_t y;

		if (x == 0) {
			assert_int_equal(mob_graph_set(g, ch, &x), 0);
		}
		if (x >= WINDOW && w != BAD) {
			wait_run(g);
			assert_int_equal(mob_graph_get(g, after, &y), 0);
			assert_int_equal(y, w * 2);
		} else if (x >= WINDOW) {
			assert_int_equal(mob_graph_wait(g, MOB_FOREVER),
					 MOB_E_TASK);
			assert_non_null(strstr(mob_error(), "c_fails_at"));
			pends(42, "cannot do 5");
			assert_int_equal(mob_graph_get(g, after, &y),
					 MOB_E_STATE);
			pends(MOB_E_STATE, "last run has failed");
		}
		if (x >= WINDOW) {
			want = want * 3 + 1;
			if (w != BAD) {
				assert_int_equal(mob_graph_get(g, other, &y),
						 0);
				assert_int_equal(y, want);
			}
			w++;
		}
		if (x < RUNS) {
			assert_int_equal(mob_graph_set(g, in, &x), 0);
			start_run(g);
		}
	}
	for (uint64_t x = 0; x < RUNS; x++) {
		assert_int_equal(ledger.at[WORDS + x * 4], x != BAD);
		assert_int_equal(ledger.at[WORDS + x * 4 + 1], 1);
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* What a channel would bring is an error then, until it is set. */
static void test_channel_brings_an_error_until_it_is_set(void **state)
{
	struct mob_graph *g = begin(2);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y = mob_submit(c_fails_at, ch, 8);
	uint64_t x = 1;

	(void)state;
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (int k = 0; k < 20; k++) {
		x = 1;
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		for (uint64_t want = 2; want <= 8; want *= 2) {
			start_run(g);
			wait_run(g);
			assert_int_equal(mob_graph_get(g, y, &x), 0);
			assert_int_equal(x, want);
		}
		start_run(g); /* fails */
		start_run(g); /* has its error */
		for (int i = 0; i < 4; i++) {
			assert_int_equal(mob_graph_wait(g, MOB_FOREVER),
					 MOB_E_TASK);
			assert_non_null(strstr(mob_error(), "c_fails_at"));
			pends(42, "cannot do 8");
			if (i < 2) {
				start_run(g);
			}
		}
		/* What is set meanwhile is read in spite of it. */
		x = 0;
		start_run(g);
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		start_run(g);
		assert_int_equal(mob_graph_wait(g, MOB_FOREVER), MOB_E_TASK);
		pends(42, "cannot do 8");
		wait_run(g);
		assert_int_equal(mob_graph_get(g, y, &x), 0);
		assert_int_equal(x, 0);
	}
	mob_graph_close(g);
}

static void test_channel_bad_calls_are_refused(void **state)
{
	struct mob_graph *g = begin(2);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y = mob_submit(c_step, ch, in);
	uint64_t x = 3;

	(void)state;
	assert_int_equal(mob_graph_window(g, 0), MOB_E_INVAL);
	pends(MOB_E_INVAL, "0 runs in flight; 1 to 32");
	assert_int_equal(mob_graph_window(g, 33), MOB_E_INVAL);
	pends(MOB_E_INVAL, "33 runs");
	assert_int_equal(mob_join(mob_graph_channel(mob_str)), MOB_E_INVAL);
	pends(MOB_E_INVAL, "no fixed size");
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_window(g, 2), MOB_E_STATE);
	pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_graph_write(ch, y), MOB_E_STATE);
	pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_join(mob_graph_channel(uint64_t)), MOB_E_STATE);
	pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_graph_set(g, in, &x), 0);
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	pends(MOB_E_STATE, "channel 1 (uint64_t) of the graph has nothing");
	assert_int_equal(mob_graph_set(g, ch, &x), 0);
	assert_int_equal(mob_graph_run(g), 0);
	assert_int_equal(mob_graph_get(g, ch, &x), MOB_E_BAD_REF);
	pends(MOB_E_BAD_REF, "the ref is of a channel");
	mob_graph_close(g);
}

static void refused(mob_ref ch, mob_ref y, int code, const char *part,
		    struct mob_graph *g)
{
	assert_int_equal(mob_graph_write(ch, y), code);
	pends(code, part);
	assert_int_equal(mob_capture_end(g), code);
	pends(code, part);
	mob_graph_close(g);
}

static void test_channel_bad_writes_are_refused(void **state)
{
	struct mob_graph *g = begin(2);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y = mob_submit(c_step, ch, in);

	(void)state;
	assert_int_equal(mob_graph_write(ch, y), 0);
	refused(ch, y, MOB_E_STATE, "it has one writer", g);
	g = begin(2);
	in = mob_graph_input(uint64_t);
	ch = mob_graph_channel(uint64_t);
	refused(ch, in, MOB_E_BAD_REF, "the result of a call", g);
	g = begin(2);
	in = mob_graph_input(uint64_t);
	y = mob_submit(c_step, in, in);
	refused(in, y, MOB_E_BAD_REF, "not of a channel", g);
	g = begin(2);
	ch = mob_graph_channel(row);
	y = mob_submit(c_step, 1, 1);
	refused(ch, y, MOB_E_TYPE, "the channel is of row, given a uint64_t",
		g);
	g = begin(2);
	refused(mob_put(1), y, MOB_E_BAD_REF, "not one of a capture", g);
	/* Nobody writes to it. */
	g = begin(2);
	ch = mob_graph_channel(uint64_t);
	(void)mob_submit(c_step, ch, 1);
	assert_int_equal(mob_capture_end(g), MOB_E_STATE);
	pends(MOB_E_STATE, "nothing is written to channel 1 (uint64_t)");
	mob_graph_close(g);
}

/* ---- kills ---- */

#define STAGES 3
#define KILL_RUNS 24u

/* Three stages in a row, the first of which has what the last gave before. */
struct stages {
	struct mob_graph *g;
	mob_ref in;
	mob_ref ch;
	mob_ref out[STAGES];
};

static void record_stages(struct stages *t, uint32_t window)
{
	t->g = begin(window);
	t->in = mob_graph_input(uint64_t);
	t->ch = mob_graph_channel(uint64_t);
	for (uint64_t i = 0; i < STAGES; i++) {
		t->out[i] = i ? mob_submit(c_stage, ledger.path, i, t->in,
					   t->out[i - 1], t->ch) :
				mob_submit(c_stage, ledger.path, i, t->in, 1,
					   t->ch);
	}
	assert_int_equal(mob_graph_write(t->ch, t->out[STAGES - 1]), 0);
	assert_int_equal(mob_capture_end(t->g), 0);
}

/* All runs, with so many in flight; fn is called after each start. Executions. */
static uint64_t run_stages(struct stages *t, uint32_t window, uint64_t runs,
			   void (*fn)(void *arg), void *arg)
{
	uint64_t want = 1;
	uint64_t sum = 0;
	uint64_t y;

	assert_int_equal(mob_graph_set(t->g, t->ch, &want), 0);
	for (uint64_t x = 0; x < runs + window; x++) {
		if (x >= window) {
			uint64_t v = 1;

			wait_run(t->g);
			for (uint64_t i = 0; i < STAGES; i++) {
				v += want * 3 + i;
				assert_int_equal(
					mob_graph_get(t->g, t->out[i], &y), 0);
				assert_int_equal(y, v);
			}
			want = v;
		}
		if (x < runs) {
			assert_int_equal(mob_graph_set(t->g, t->in, &x), 0);
			start_run(t->g);
		}
		if (fn) {
			fn(arg);
		}
	}
	for (uint64_t x = 0; x < runs; x++) {
		for (uint64_t i = 0; i < STAGES; i++) {
			uint64_t times = ledger.at[WORDS + x * 4 + i];

			assert_true(times >= 1);
			sum += times;
			ledger.at[WORDS + x * 4 + i] = 0;
		}
	}
	return sum;
}

#ifdef MOB_FAILPOINTS
#define HAS_FAILPOINTS 1
#else
#define HAS_FAILPOINTS 0
#endif

/* Each worker dies when it passes a point the n-th time. */
static void test_channel_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"graph.claimed=kill@7", "graph.done=kill@7",
		"graph.later=kill@3",   "graph.follow=kill@5",
		"graph.reach=kill@3",   "graph.over=kill@2",
		"graph.taken=kill@3",   "graph.left=kill@1",
		"graph.left=kill@2",    "graph.share=kill@1",
		"graph.claimed=kill@3", "graph.over=kill@1",
	};

	(void)state;
	if (!HAS_FAILPOINTS) {
		skip();
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct stages t;

		assert_int_equal(setenv("MOBULA_FAULT", faults[i], 1), 0);
		live_start(2);
		live_ledger_open(&ledger, WORDS + 4 * KILL_RUNS);
		record_stages(&t, 1 + (uint32_t)i % 4);
		/* Exactly the results; no node more often than its workers died. */
		assert_true(run_stages(&t, 1 + (uint32_t)i % 4, KILL_RUNS, NULL,
				       NULL) <= 4 * STAGES * KILL_RUNS);
		mob_graph_close(t.g);
		assert_int_equal(live_audit(0), 0);
		live_ledger_close(&ledger);
		mob_shutdown();
	}
	assert_int_equal(unsetenv("MOBULA_FAULT"), 0);
}

/* A run fails, and who tells dies at each step of that; the next runs go on. */
static void test_channel_errors_survive_kills(void **state)
{
	static const char *const faults[] = { "graph.error=kill@2",
					      "graph.failed=kill@2",
					      "graph.error=kill@3",
					      "graph.failed=kill@3" };

	(void)state;
	if (!HAS_FAILPOINTS) {
		skip();
	}
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct mob_graph *g;
		mob_ref in;
		mob_ref ch;
		mob_ref y;

		assert_int_equal(setenv("MOBULA_FAULT", faults[i], 1), 0);
		live_start(2);
		g = begin(3);
		in = mob_graph_input(uint64_t);
		ch = mob_graph_channel(uint64_t);
		(void)mob_submit(c_fails_at, in, 3);
		(void)mob_submit(c_fails_at, in, 3);
		y = mob_submit(c_step, ch, in);
		assert_int_equal(mob_graph_write(ch, y), 0);
		assert_int_equal(mob_capture_end(g), 0);
		for (uint64_t x = 0, s = 0, v; x < 12; x++) {
			uint64_t bad = x % 4;

			if (!x) {
				assert_int_equal(mob_graph_set(g, ch, &s), 0);
			}
			assert_int_equal(mob_graph_set(g, in, &bad), 0);
			start_run(g);
			s = s * 3 + bad;
			if (bad == 3) {
				assert_int_equal(mob_graph_wait(g, MOB_FOREVER),
						 MOB_E_TASK);
				pends(42, "cannot do 3");
				continue;
			}
			wait_run(g);
			assert_int_equal(mob_graph_get(g, y, &v), 0);
			assert_int_equal(v, s);
		}
		mob_graph_close(g);
		assert_int_equal(live_audit(0), 0);
		mob_shutdown();
	}
	assert_int_equal(unsetenv("MOBULA_FAULT"), 0);
}

struct storm {
	uint64_t seed;
	uint64_t killed;
};

static void kill_one(void *arg)
{
	struct storm *st = arg;
	int pid;

	if (live_random(&st->seed) % 3) {
		return;
	}
	pid = live_worker((uint32_t)(live_random(&st->seed) % 2));
	mobi_pause_ns((int64_t)(live_random(&st->seed) % (MOB_MS / 2)));
	st->killed += pid > 0 && !kill(pid, SIGKILL);
}

static void test_channel_survives_a_storm_of_kills(void **state)
{
	uint64_t rounds = test_count("MOB_TEST_RUNS", 12 / LIVE_SLOW + 1, 100);
	struct storm st = { live_seed("channels"), 0 };
	uint64_t n = STAGES * KILL_RUNS;
	struct stages t;

	(void)state;
	live_ledger_open(&ledger, WORDS + 4 * KILL_RUNS);
	record_stages(&t, 4);
	for (uint64_t i = 0; i < rounds; i++) {
		uint64_t was = st.killed;

		assert_true(run_stages(&t, 4, KILL_RUNS, kill_one, &st) <=
			    n + (st.killed - was));
	}
	assert_true(st.killed >= rounds);
	/* After it all is as before: each node once. */
	assert_int_equal(run_stages(&t, 4, KILL_RUNS, NULL, NULL), n);
	mob_graph_close(t.g);
	assert_int_equal(live_audit(0), 0);
	live_ledger_close(&ledger);
}

/* A node that always kills its worker is an error of its run. */
static void test_channel_node_that_kills_its_workers_fails_its_run(void **state)
{
	struct mob_graph *g = begin(3);
	mob_ref in = mob_graph_input(uint64_t);
	mob_ref ch = mob_graph_channel(uint64_t);
	mob_ref y;
	uint64_t v;

	(void)state;
	live_ledger_open(&ledger, WORDS + 4);
	(void)mob_submit(c_dies, ledger.path, in, 1, 0);
	y = mob_submit(c_step, ch, in);
	assert_int_equal(mob_graph_write(ch, y), 0);
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t x = 0; x < 3; x++) {
		if (!x) {
			assert_int_equal(mob_graph_set(g, ch, &x), 0);
		}
		assert_int_equal(mob_graph_set(g, in, &x), 0);
		start_run(g);
	}
	wait_run(g);
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), MOB_E_CRASHED);
	assert_non_null(strstr(mob_error(), "c_dies"));
	pends(MOB_E_CRASHED, "died 4 times");
	wait_run(g);
	assert_int_equal(mob_graph_get(g, y, &v), 0);
	assert_int_equal(v, 5);
	assert_int_equal(ledger.at[WORDS], 1);
	assert_int_equal(ledger.at[WORDS + 1], 4);
	assert_int_equal(ledger.at[WORDS + 2], 1);
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static bool has_started(void *arg)
{
	return ledger.at[STARTED] >= *(const uint64_t *)arg;
}

static void test_window_closed_while_runs_are_in_flight(void **state)
{
	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (uint64_t i = 0; i < 8; i++) {
		uint64_t one = 1 + i % 2;
		struct mob_graph *g = begin(4);
		mob_ref ch = mob_graph_channel(uint64_t);
		mob_ref y = mob_submit(c_slow, ledger.path, ch);
		uint64_t x = i;

		(void)mob_submit(c_slow, ledger.path, 1);
		ledger.at[STARTED] = ledger.at[ENDED] = 0;
		assert_int_equal(mob_graph_write(ch, y), 0);
		assert_int_equal(mob_capture_end(g), 0);
		assert_int_equal(mob_graph_set(g, ch, &x), 0);
		for (int k = 0; k < 4; k++) {
			start_run(g);
		}
		assert_true(live_await(has_started, &one));
		mob_graph_close(g);
		assert_int_equal(ledger.at[STARTED], ledger.at[ENDED]);
		assert_int_equal(live_audit(0), 0);
	}
	live_ledger_close(&ledger);
}

/* ---- drivers ---- */

static int child_runs(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_graph *g;
	const char *path = getenv("GRAPH_LEDGER");
	uint64_t x = 1;
	mob_ref ch;
	mob_ref y;

	o.session = session;
	if (mob_init(&o) || mob_capture_begin(&g)) {
		return 2;
	}
	(void)mob_graph_window(g, 4);
	ch = mob_graph_channel(uint64_t);
	y = mob_submit(c_slow, path, ch);
	if (mob_graph_write(ch, y) || mob_capture_end(g) ||
	    mob_graph_set(g, ch, &x)) {
		return 3;
	}
	for (int i = 0; i < 4; i++) {
		if (mob_graph_start(g)) {
			return 4;
		}
	}
	return mob_graph_wait(g, MOB_FOREVER) ? 5 : 0;
}

static void test_channel_of_a_driver_that_is_killed_is_freed(void **state)
{
	static uint32_t serial;
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	uint64_t one = 1;
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof(name), "chan-%ld-%u", (long)getpid(),
		       ++serial);
	o.session = name;
	o.workers = 2;
	o.store_bytes = 64 << 20;
	assert_int_equal(mob_init(&o), 0);
	live_ledger_open(&ledger, WORDS + 4 * KILL_RUNS);
	assert_int_equal(setenv("GRAPH_LEDGER", ledger.path, 1), 0);
	for (int i = 0; i < 3; i++) {
		struct stages t;
		int pid;

		ledger.at[STARTED] = ledger.at[MAY_END] = 0;
		pid = live_spawn("runs", name);
		assert_true(live_await(has_started, &one));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(live_collect(pid), -SIGKILL);
		ledger.at[MAY_END] = 1;
		/* Others have graphs as before. */
		record_stages(&t, 2);
		assert_int_equal(run_stages(&t, 2, KILL_RUNS, NULL, NULL),
				 STAGES * KILL_RUNS);
		mob_graph_close(t.g);
		assert_int_equal(live_audit(0), 0);
	}
	live_ledger_close(&ledger);
	mob_shutdown();
	assert_int_equal(mob_session_stop(name, MOB_SEC), 0);
}

static int start(void **state)
{
	(void)state;
	live_start(2);
	return 0;
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
		T(test_channel_error_is_that_of_its_run),
		T(test_channel_brings_an_error_until_it_is_set),
		T(test_channel_bad_calls_are_refused),
		T(test_channel_bad_writes_are_refused),
		T(test_channel_survives_a_storm_of_kills),
		T(test_channel_node_that_kills_its_workers_fails_its_run),
		T(test_window_closed_while_runs_are_in_flight),
	};
	const struct CMUnitTest alone[] = {
		ALONE(test_channel_survives_a_kill_at_each_step),
		ALONE(test_channel_errors_survive_kills),
		ALONE(test_window_of_a_task_on_one_worker),
		ALONE(test_channel_of_a_driver_that_is_killed_is_freed),
	};

	if (argc > 2 && !strcmp(argv[1], "runs")) {
		return child_runs(argv[2]);
	}
#ifdef MOB_FAILPOINTS
	mobi_fault_arm(""); /* this process lives */
#endif
	return cmocka_run_group_tests(alone, NULL, NULL) +
	       cmocka_run_group_tests(tests, start, live_leave);
}
