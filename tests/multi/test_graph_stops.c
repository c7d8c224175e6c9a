/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of graphs that are ended, and runners that fail of themselves: what was waited
 * for stays, and no other run has anything of it.
 */
#include "channels.h"

#include "failing.h"
#include "fault.h"
#include "graph.h"
#include "os_run.h"
#include "slot.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

/* x + 1, when CH_MAY_END is more than x. */
MOB_TASK(uint64_t, s_gate, mob_str, path, uint64_t, x, uint64_t, more)
{
	(void)live_ledger_add(path, CH_STARTED);
	while (live_ledger_get(path, CH_MAY_END) <= x &&
	       !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return x + 1 + more;
}

/* The next runner that its worker begins with fails. */
MOB_TASK(int32_t, s_arm, int32_t, x)
{
#ifdef MOB_FAILPOINTS
	mobi_fault_arm("graph.outer=error@1");
#endif
	return x;
}

static const struct mobi_graph_head *head(const struct mob_graph *g)
{
	return (const void *)g->at;
}

/* The last run that began is done. */
static bool is_done(void *arg)
{
	const struct mob_graph *g = arg;

	return mobi_load(&mobi_graph_lane(head(g), g->lane)->done) == g->run;
}

static bool no_runner(void *arg)
{
	const struct mob_graph *g = arg;

	return !(uint32_t)mobi_load(&head(g)->crew);
}

static void begin_run(struct mob_graph *g, mob_ref in, uint64_t x)
{
	assert_int_equal(mob_graph_set(g, in, &x), 0);
	ch_start(g);
}

static void gives(struct mob_graph *g, mob_ref y, uint64_t want)
{
	uint64_t got = 0;

	assert_int_equal(mob_graph_get(g, y, &got), 0);
	assert_int_equal(got, want);
}

/* ---- what was waited for last ---- */

struct gates {
	struct mob_graph *g;
	mob_ref in;
	mob_ref ch;
	mob_ref y;
	mob_ref z;
};

/* With a window of 2: a gate, and what a channel and the gate give. */
static struct gates record_gates(void)
{
	struct gates t = { .g = ch_begin(2) };

	t.in = mob_graph_input(uint64_t);
	t.ch = mob_graph_channel(uint64_t);
	t.y = mob_submit(s_gate, ch_ledger.path, t.in, 0);
	t.z = mob_submit(c_step, t.ch, t.y);
	assert_int_equal(mob_graph_write(t.ch, t.z), 0);
	assert_int_equal(mob_capture_end(t.g), 0);
	return t;
}

static void first_run(struct gates *t)
{
	uint64_t state = 5;

	assert_int_equal(mob_graph_set(t->g, t->ch, &state), 0);
	ch_ledger.at[CH_MAY_END] = 1;
	begin_run(t->g, t->in, 0);
	ch_wait(t->g);
	gives(t->g, t->y, 1);
	gives(t->g, t->z, 16);
}

/* Two more, while which the first is there as before. */
static void next_runs(struct gates *t)
{
	uint64_t state = 7;

	ch_ledger.at[CH_STARTED] = 0;
	assert_int_equal(mob_graph_set(t->g, t->ch, &state), 0);
	begin_run(t->g, t->in, 2);
	begin_run(t->g, t->in, 3);
	assert_true(live_ledger_await(&ch_ledger, CH_STARTED, 2));
	gives(t->g, t->y, 1);
	gives(t->g, t->z, 16);
	ch_ledger.at[CH_MAY_END] = 4;
	ch_wait(t->g);
	gives(t->g, t->y, 3);
	gives(t->g, t->z, 24);
	ch_wait(t->g);
	gives(t->g, t->y, 4);
	gives(t->g, t->z, 76);
}

static void test_stop_of_a_run_leaves_what_was_waited_for(void **state)
{
	struct mob_cancel *token = NULL;
	struct gates t;
	uint64_t x = 1;

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS);
	assert_int_equal(mob_cancel_new(&token), 0);
	mob_cancel(token);
	t = record_gates();
	for (int i = 0; i < 4; i++) {
		first_run(&t);
		assert_int_equal(mob_graph_set(t.g, t.in, &x), 0);
		(void)mob_cancel_use(token);
		assert_int_equal(mob_graph_run(t.g), MOB_E_INTERRUPTED);
		(void)mob_cancel_use(NULL);
		gives(t.g, t.y, 1);
		/* The run that was ended has written nothing to the channel. */
		assert_int_equal(mob_graph_start(t.g), MOB_E_STATE);
		live_pends(MOB_E_STATE, "the run before was ended");
		next_runs(&t);
	}
	mob_graph_close(t.g);
	mob_cancel_free(token);
	live_ledger_close(&ch_ledger);
}

/* As one without runners, which end those in flight. */
static void test_stop_by_a_start_that_fails_leaves_it_too(void **state)
{
	struct gates t;

	(void)state;
	if (!FAILING_ALLOC) {
		skip();
	}
	live_ledger_open(&ch_ledger, CH_WORDS);
	t = record_gates();
	for (int i = 0; i < 4; i++) {
		first_run(&t);
		begin_run(t.g, t.in, 0);
		assert_true(live_await(is_done, t.g));
		assert_true(live_await(no_runner, t.g));
		failing_from(FAIL_ALLOC, 0, ENOMEM);
		assert_int_equal(mob_graph_start(t.g), MOB_E_NOMEM);
		assert_true(failing_stop(FAIL_ALLOC));
		mob_error_clear();
		gives(t.g, t.y, 1);
		assert_int_equal(mob_graph_wait(t.g, 0), MOB_E_STATE);
		live_pends(MOB_E_STATE, "does not run");
		next_runs(&t);
	}
	mob_graph_close(t.g);
	live_ledger_close(&ch_ledger);
}

static void test_stop_error_that_there_is_no_memory_for_is_told(void **state)
{
	struct mob_graph *g;
	mob_ref in;
	mob_ref y;

	(void)state;
	if (!FAILING_ALLOC) {
		skip();
	}
	g = ch_begin(2);
	in = mob_graph_input(uint64_t);
	y = mob_submit(c_fails_at, in, 3);
	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 3; i++) {
		uint64_t out;

		begin_run(g, in, 3);
		assert_true(live_await(is_done, g));
		failing_from(FAIL_ALLOC, 0, ENOMEM);
		assert_int_equal(mob_graph_wait(g, MOB_FOREVER), MOB_E_TASK);
		assert_true(failing_stop(FAIL_ALLOC));
		live_pends(42, "out of memory");
		assert_int_equal(mob_graph_get(g, y, &out), MOB_E_STATE);
		live_pends(MOB_E_STATE, "last run has failed");
		begin_run(g, in, 4);
		ch_wait(g);
		gives(g, y, 8);
	}
	mob_graph_close(g);
}

/* ---- runners that fail ---- */

static bool has_broken(void *arg)
{
	const struct mob_graph *g = arg;
	const struct mob_store *s = mobi_rt.store;

	for (uint32_t i = 0; i < MOBI_GRAPH_RUNNERS; i++) {
		uint64_t id = g->runner[i];

		if (id &&
		    mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
			return true;
		}
	}
	return false;
}

/* So many gates, all of which read an object as well. */
static struct mob_graph *with_object(uint32_t window, int n, mob_ref *out_in,
				     mob_ref *out_y)
{
	struct mob_graph *g;
	mob_ref object = mob_put((uint64_t)100);

	g = ch_begin(window);
	*out_in = mob_graph_input(uint64_t);
	for (int i = 0; i < n; i++) {
		*out_y = mob_submit(s_gate, ch_ledger.path, *out_in, object);
	}
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_release(object), 0);
	return g;
}

/* The next that is submitted fails, which is one of the next run. */
static void arm(struct mob_graph *g)
{
	int32_t x;

	assert_true(live_await(no_runner, g));
	assert_int_equal(mob_take(mob_submit(s_arm, 0), &x), 0);
}

/* Two workers and no more, so that one of them is armed. */
static const struct live_session two_workers = { .workers = 2,
						 .ledger = &ch_ledger,
						 .words = CH_WORDS };

static void start_two(void)
{
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_begin(&two_workers);
}

static void end_two(void)
{
	live_end(&two_workers);
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
}

/* The others do what it would have done. In the next run there is another. */
static void test_runner_that_fails_is_not_missed(void **state)
{
	mob_ref in;
	mob_ref y;
	struct mob_graph *g;

	(void)state;
	if (!LIVE_FAILPOINTS) {
		skip();
	}
	start_two();
	g = with_object(1, 2, &in, &y);
	for (uint64_t i = 0; i < 3; i++) {
		ch_ledger.at[CH_MAY_END] = 0;
		arm(g);
		begin_run(g, in, 0);
		assert_true(live_await(has_broken, g));
		if (i) {
			assert_int_equal(mob_graph_wait(g, MOB_MS),
					 MOB_E_TIMEOUT);
		}
		ch_ledger.at[CH_MAY_END] = 1;
		assert_true(live_await(is_done, g));
		ch_wait(g);
		gives(g, y, 101);
		ch_ledger.at[CH_STARTED] = 0;
		begin_run(g, in, 1);
		assert_int_equal(mob_graph_wait(g, MOB_MS), MOB_E_TIMEOUT);
		/* By two again. */
		assert_true(live_ledger_await(&ch_ledger, CH_STARTED, 2));
		ch_ledger.at[CH_MAY_END] = 2;
		ch_wait(g);
		gives(g, y, 102);
	}
	mob_graph_close(g);
	end_two();
}

static void test_runner_that_fails_is_no_matter_of_later_runs(void **state)
{
	mob_ref in;
	mob_ref y;
	struct mob_graph *g;

	(void)state;
	if (!LIVE_FAILPOINTS) {
		skip();
	}
	start_two();
	g = with_object(2, 1, &in, &y);
	for (int i = 0; i < 3; i++) {
		ch_ledger.at[CH_MAY_END] = ch_ledger.at[CH_STARTED] = 0;
		arm(g);
		begin_run(g, in, 0);
		assert_true(live_await(has_broken, g));
		begin_run(g, in, 1);
		ch_ledger.at[CH_MAY_END] = 1;
		ch_wait(g);
		gives(g, y, 101);
		/* Now there are two again: the third begins beside the second. */
		begin_run(g, in, 1);
		assert_int_equal(mob_graph_wait(g, MOB_MS), MOB_E_TIMEOUT);
		assert_true(live_ledger_await(&ch_ledger, CH_STARTED, 3));
		ch_ledger.at[CH_MAY_END] = 2;
		for (int k = 0; k < 2; k++) {
			ch_wait(g);
			gives(g, y, 102);
		}
	}
	mob_graph_close(g);
	end_two();
}

/* If there is no other, the runs in flight have its error, and no run after them. */
static void test_runner_that_fails_alone_fails_its_runs(void **state)
{
	const struct live_session session = { .workers = 1,
					      .fault = "graph.outer=error@1",
					      .ledger = &ch_ledger,
					      .words = CH_WORDS };
	mob_ref in;
	mob_ref y;
	struct mob_graph *g;
	int failed = 0;

	(void)state;
	if (!LIVE_FAILPOINTS) {
		skip();
	}
	live_begin(&session);
	ch_ledger.at[CH_MAY_END] = 1;
	g = with_object(2, 1, &in, &y);
	begin_run(g, in, 0);
	begin_run(g, in, 0);
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), MOB_E_NOMEM);
	live_pends(MOB_E_NOMEM, "no memory for 2 arguments");
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not run");
	/* Other workers may have been started, each of which fails once. */
	while (failed < 8) {
		begin_run(g, in, 0);
		if (!mob_graph_wait(g, MOB_FOREVER)) {
			break;
		}
		mob_error_clear();
		failed++;
	}
	gives(g, y, 101);
	mob_graph_close(g);
	live_end(&session);
}

/* ---- runners that leave ---- */

/* A worker that a failpoint has stopped is continued. */
static bool continues(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < live_workers(); i++) {
		int pid = live_worker(i);

		if (pid > 0 && live_is_stopped(pid)) {
			assert_int_equal(kill(pid, SIGCONT), 0);
			return true;
		}
	}
	return false;
}

static bool is_hungry(void *arg)
{
	const struct mob_graph *g = arg;

	return mobi_load(&head(g)->hungry) && mobi_load(&head(g)->asleep);
}

/* What one does that has left is not done to the one that has its number now. */
static void test_runner_that_left_leaves_its_successor_alone(void **state)
{
	const struct live_session session = { .workers = 2,
					      .fault = "graph.idle=stop@1" };
	struct mobi_graph_run r;
	struct mobi_graph_lane *l;
	struct mob_graph *g;

	(void)state;
	if (!LIVE_FAILPOINTS) {
		skip();
	}
	live_begin(&session);
	g = ch_begin(1);
	(void)mob_submit(c_step, 1, 2);
	assert_int_equal(mob_capture_end(g), 0);
	ch_start(g);
	assert_true(live_await(is_done, g));
	assert_true(live_await(no_runner, g));
	ch_wait(g);
	/* It has left, and is stopped. A run without nodes for its successor. */
	r = mobi_graph_view(g);
	l = mobi_graph_lane(r.h, g->lane);
	mobi_store(&l->run, g->run + 1);
	assert_int_equal(mobi_graph_man(g), 0);
	assert_true(live_await(is_hungry, g));
	assert_true(live_await(continues, NULL));
	assert_true(live_await_tasks(1));
	assert_int_equal(mobi_load(&r.h->hungry), 1);
	mobi_store(&l->run, g->run);
	mobi_graph_ring(&r);
	assert_true(live_await(continues, NULL));
	assert_int_equal(mobi_load(&r.h->hungry), 0);
	mob_graph_close(g);
	live_end(&session);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)
#define ALONE(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_stop_of_a_run_leaves_what_was_waited_for),
		T(test_stop_by_a_start_that_fails_leaves_it_too),
		T(test_stop_error_that_there_is_no_memory_for_is_told),
	};
	const struct CMUnitTest alone[] = {
		ALONE(test_runner_that_fails_is_not_missed),
		ALONE(test_runner_that_fails_is_no_matter_of_later_runs),
		ALONE(test_runner_that_fails_alone_fails_its_runs),
		ALONE(test_runner_that_left_leaves_its_successor_alone),
	};

	(void)argc;
	(void)argv;
	return cmocka_run_group_tests(alone, NULL, NULL) +
	       cmocka_run_group_tests(tests, live_start_two, live_leave);
}
