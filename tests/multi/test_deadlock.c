/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that can never end: cycles through all calls that wait end at once in one
 * error that tells them, whoever is killed meanwhile.
 */
#include "wait_graph.h"

#include "deadlock.h"

#include <mobula/explain.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* One wait ended, and all got its error, which names all of them. */
static void is_one_deadlock(const struct wg *g)
{
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
	for (uint32_t i = 0; i < g->n; i++) {
		assert_int_equal(g->rc[i], MOB_E_DEADLOCK);
		assert_non_null(strstr(g->text[i], "deadlock: task d_node ("));
		for (uint32_t k = 0; k < g->n; k++) {
			char object[32];

			(void)snprintf(object, sizeof(object), "object %u of",
				       (uint32_t)g->result[k].lo);
			assert_non_null(strstr(g->text[i], object));
		}
	}
}

/* ---- cycles ---- */

static void test_semantics_10_cycles_through_get(void **state)
{
	struct wg g;

	(void)state;
	for (uint32_t n = 1; n <= WG_NODES; n++) {
		MOB_SCOPE
		{
			wg_ring(&g, n, WG_GET);
			wg_run(&g);
			if (n <= 4) {
				is_one_deadlock(&g);
			}
			assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
			assert_int_equal(wg_ledger.at[WG_DONE], 0);
		}
	}
}

static void test_semantics_10_cycles_through_other_calls(void **state)
{
	static const uint32_t kinds[] = { WG_WAIT, WG_ARGUMENT, WG_QUEUE };
	struct wg g;

	(void)state;
	for (size_t k = 0; k < (WG_HAS_THREAD ? 2 : 3); k++) {
		for (uint32_t n = 1; n <= 3; n++) {
			MOB_SCOPE
			{
				wg_ring(&g, n, kinds[k]);
				wg_run(&g);
				assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
				/* An error is ready for wait and queue. */
				assert_int_equal(
					wg_ledger.at[WG_DONE],
					kinds[k] == WG_ARGUMENT ? 0 : n - 1);
			}
		}
	}
}

static void test_semantics_10_cycle_of_get_wait_and_queue(void **state)
{
	struct wg g = { .n = 3 };
	char all[3 * 1024] = "";

	(void)state;
	wg_link_node(&g, 0, WG_GET, 1);
	wg_link_node(&g, 1, WG_WAIT, 2);
	wg_link_node(&g, 2, WG_HAS_THREAD ? WG_GET : WG_QUEUE, 0);
	wg_run(&g);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
	for (uint32_t i = 0; i < g.n; i++) {
		(void)strcat(all, g.text[i]);
	}
	assert_non_null(strstr(all, "waits in get for"));
	assert_non_null(strstr(all, "waits in wait for"));
	assert_true(WG_HAS_THREAD || strstr(all, "waits in queue_pop for"));
}

/* For all of several: one that never comes is enough, whatever the others do. */
static void test_semantics_10_get_all_needs_each(void **state)
{
	struct wg g = { .n = 3 };

	(void)state;
	wg_link_two(&g, 0, WG_GET_ALL, 2, 1, 2);
	wg_link_node(&g, 1, WG_GET, 0);
	g.plan[2][0] = wg_plan(WG_STAND, 0, 0, NULL);
	wg_submit(&g);
	assert_int_equal(mob_wait(g.result, 2, 2, MOB_FOREVER, NULL), 2);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
	wg_ledger.at[WG_FREE] = 1;
	wg_collect(&g);
	assert_int_equal(g.rc[0], MOB_E_DEADLOCK);
	assert_int_equal(g.rc[1], MOB_E_DEADLOCK);
	assert_int_equal(g.rc[2], 0);
}

static void test_semantics_10_cycle_through_stream_and_object(void **state)
{
	struct wg g = { .n = 3, .makers = true };
	char all[3 * 1024] = "";

	(void)state;
	if (WG_HAS_THREAD) {
		skip();
	}
	wg_link_node(&g, 0, WG_STREAM, 1);
	wg_link_node(&g, 1, WG_OBJECT, 2);
	wg_link_node(&g, 2, WG_GET, 0);
	wg_run(&g);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
	for (uint32_t i = 0; i < g.n; i++) {
		(void)strcat(all, g.text[i]);
	}
	assert_non_null(strstr(all, "waits in stream for"));
	assert_non_null(strstr(all, "the process of task d_maker"));
}

/* Yields an item, then waits for who reads them. */
MOB_TASK_STREAM(int64_t, d_yields, mob_str, path)
{
	int64_t x;

	wg_await_word(path, WG_GO, 1);
	(void)mob_yield(INT64_C(1));
	if (wg_is_victim(mob_get(wg_ref_of(path, 0), &x))) {
		(void)live_ledger_add(path, WG_VICTIMS);
	}
}

MOB_TASK(int64_t, d_reads, mob_str, path, mob_ref, in)
{
	int64_t sum = 0;
	int64_t x;
	int rc;

	wg_await_word(path, WG_GO, 1);
	while ((rc = mob_next(in, &x)) == 1) {
		sum += x;
	}
	if (wg_is_victim(rc)) {
		(void)live_ledger_add(path, WG_VICTIMS);
	}
	return sum;
}

static void test_semantics_10_cycle_through_stream_of_a_task(void **state)
{
	mob_ref in = mob_submit(d_yields, wg_ledger.path);
	mob_ref r = mob_submit(d_reads, wg_ledger.path, in);
	int64_t x;

	(void)state;
	wg_ledger.at[WG_REFS] = r.lo;
	wg_ledger.at[WG_REFS + 1] = r.hi;
	wg_ledger.at[WG_GO] = 1;
	assert_int_equal(mob_get(r, &x), MOB_E_DEADLOCK);
	assert_non_null(strstr(mob_error(), "waits in stream for object"));
	assert_non_null(strstr(mob_error(), "waits in get for object"));
	mob_error_clear();
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
}

static void test_semantics_10_several_at_once(void **state)
{
	struct wg g = { .n = WG_NODES };

	(void)state;
	for (int i = 0; i < 20; i++) {
		MOB_SCOPE
		{
			for (uint32_t k = 0; k < WG_NODES; k++) {
				wg_link_node(&g, k, k % 3 ? WG_GET : WG_WAIT,
					     k ^ 1);
			}
			wg_run(&g);
			assert_int_equal(wg_ledger.at[WG_VICTIMS],
					 WG_NODES / 2);
		}
	}
}

/* ---- workers ---- */

/* Each waits for the one that it submits, the last for the first. */
MOB_TASK(int64_t, d_deep, mob_str, path, int64_t, depth)
{
	int64_t x = 0;
	int rc;

	wg_await_word(path, WG_GO, 1);
	rc = mob_get(depth ? mob_submit(d_deep, path, depth - 1) :
			     wg_ref_of(path, 0),
		     &x);
	if (wg_is_victim(rc)) {
		(void)live_ledger_add(path, WG_VICTIMS);
	}
	return x;
}

static void test_semantics_10_cycle_on_one_worker(void **state)
{
	mob_ref r;
	int64_t x;

	(void)state;
	r = mob_submit(d_deep, wg_ledger.path, 100);
	wg_ledger.at[WG_REFS] = r.lo;
	wg_ledger.at[WG_REFS + 1] = r.hi;
	wg_ledger.at[WG_GO] = 1;
	assert_int_equal(mob_get(r, &x), MOB_E_DEADLOCK);
	assert_non_null(strstr(mob_error(), "cannot go on before another"));
	mob_error_clear();
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
}

MOB_TASK(int64_t, d_leaf, void)
{
	return 1;
}

/* Holds one device and waits for a task that wishes for one, too. */
MOB_TASK(int64_t, d_holds, mob_str, path, uint64_t, n)
{
	int64_t x = 0;
	int rc;

	(void)live_ledger_add(path, WG_BEGUN);
	wg_await_word(path, WG_BEGUN, n);
	rc = mob_get(mob_submit_with(MOB_OPTS(.resources = "gpu=1"), d_leaf),
		     &x);
	if (wg_is_victim(rc)) {
		(void)live_ledger_add(path, WG_VICTIMS);
	}
	return x;
}

MOB_TASK(int64_t, d_stands, mob_str, path)
{
	(void)live_ledger_add(path, WG_BEGUN);
	wg_await_word(path, WG_FREE, 1);
	return 1;
}

static void test_semantics_10_holders_of_all_devices(void **state)
{
	int64_t x[2];
	mob_ref r[2];

	(void)state;
	for (uint64_t i = 0; i < 2; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.resources = "gpu=1"), d_holds,
				       wg_ledger.path, 2);
	}
	assert_int_equal(mob_wait(r, 2, 2, MOB_FOREVER, NULL), 2);
	/* One of the two ends in it, and the other has a device then. */
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
	assert_int_equal(mob_get_all(r, 2, x), MOB_E_DEADLOCK);
	assert_non_null(strstr(mob_error(), "wishes for what is held on"));
	mob_error_clear();
}

static void test_deadlock_holder_that_goes_on_is_none(void **state)
{
	int64_t x[2];
	mob_ref r[2];

	(void)state;
	r[0] = mob_submit_with(MOB_OPTS(.resources = "gpu=1"), d_stands,
			       wg_ledger.path);
	r[1] = mob_submit_with(MOB_OPTS(.resources = "gpu=1"), d_holds,
			       wg_ledger.path, 2);
	wg_sleep_well(1);
	wg_ledger.at[WG_FREE] = 1;
	assert_int_equal(mob_get_all(r, 2, x), 0);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
}

/* The cycle closes when one of them has been killed and runs again. */
static void test_semantics_10_one_of_a_cycle_was_killed(void **state)
{
	struct wg g;

	(void)state;
	for (int i = 0; i < 5; i++) {
		MOB_SCOPE
		{
			uint32_t w;

			wg_ring(&g, 3, WG_GET);
			g.plan[2][1] = g.plan[2][0];
			g.plan[2][0] = wg_plan(WG_STAND, 0, 0, NULL);
			wg_submit(&g);
			wg_sleep_well(2);
			w = wg_worker_of(g.result[1]);
			assert_int_equal(
				kill((pid_t)mobi_rt.store->clients[w].proc.pid,
				     SIGKILL),
				0);
			wg_await_word(wg_ledger.path, WG_BEGUN, 4);
			wg_ledger.at[WG_FREE] = 1;
			wg_collect(&g);
			is_one_deadlock(&g);
		}
	}
}

static void ends_somehow(size_t k)
{
	struct wg g;

	(void)k;
	wg_ring(&g, 3, WG_GET);
	wg_run(&g);
	for (uint32_t i = 0; i < g.n; i++) {
		assert_true(g.rc[i] == MOB_E_DEADLOCK ||
			    g.rc[i] == MOB_E_CRASHED);
	}
}

/* Killed at each step of it: nobody waits for ever. */
static void test_semantics_10_killed_at_each_step(void **state)
{
	static const char *const faults[] = { "deadlock.publish=kill@1",
					      "deadlock.published=kill@1",
					      "deadlock.found=kill@1",
					      "deadlock.locked=kill@1",
					      "deadlock.ended=kill@1" };

	(void)state;
	live_each_fault(&wg_four, faults, sizeof(faults) / sizeof(faults[0]),
			ends_somehow);
}

static int keep_text(const struct mob_explanation *e, void *arg)
{
	if (e->deadlock) {
		(void)snprintf(arg, 512, "%s", e->deadlock);
	}
	return 0;
}

struct wish {
	uint64_t task;
	char text[512];
};

static bool is_explained(void *arg)
{
	struct wish *w = arg;
	struct mob_session *s;

	assert_int_equal(mob_session_current(&s), 0);
	(void)mob_session_explain(s, w->task, keep_text, w->text);
	mob_session_close(s);
	return w->text[0] != '\0';
}

static bool is_stopped(void *arg)
{
	const struct wg *g = arg;

	return wg_is_stopped(g->result[0]) && wg_is_stopped(g->result[1]);
}

static bool is_told(mob_ref r)
{
	char text[512];

	return mobi_deadlock_text(mobi_rt.store, wg_worker_of(r), text,
				  sizeof(text));
}

static void go_on(const struct wg *g)
{
	while (mob_wait(g->result, g->n, g->n, MOB_MS, NULL) < (int)g->n) {
		for (uint32_t i = 0; i < live_workers(); i++) {
			(void)kill(live_worker(i), SIGCONT);
		}
	}
}

/* 2 and 3 wait for each other; 0 and 1, too, but 0 would be content with 2. */
static void other_is_a_way_out(size_t i)
{
	struct wg g = { .n = 4 };
	uint32_t n = 4;

	(void)i;
	wg_link_two(&g, 0, WG_WAIT, 1, 1, 2);
	wg_link_node(&g, 1, WG_GET, 0);
	wg_link_node(&g, 2, WG_GET, 3);
	wg_link_node(&g, 3, WG_GET, 2);
	wg_submit(&g);
	assert_true(live_await(wg_so_many_sleep, &n));
	assert_true(is_told(g.result[2]) && is_told(g.result[3]));
	assert_false(is_told(g.result[0]) || is_told(g.result[1]));
	go_on(&g);
	wg_collect(&g);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
	assert_int_equal(g.rc[0], 0);
	assert_int_equal(g.rc[1], 0);
	assert_int_equal(g.rc[2], MOB_E_DEADLOCK);
}

static void cycle_is_explained(size_t i)
{
	struct wish w = { 0 };
	struct wg g;

	(void)i;
	wg_ring(&g, 2, WG_GET);
	wg_submit(&g);
	w.task = mobi_load(
		&mobi_rt.store->slots[(uint32_t)g.result[0].lo].producer);
	/* Both have found it. */
	assert_true(live_await(is_stopped, &g));
	assert_true(live_await(is_explained, &w));
	assert_non_null(strstr(w.text, "waits in get for object"));
	go_on(&g);
	wg_collect(&g);
	is_one_deadlock(&g);
}

/* Whoever has found it is stopped. */
static const char *const stopped[] = { "deadlock.found=stop@1" };

static void test_deadlock_other_one_is_a_way_out(void **state)
{
	(void)state;
	live_each_fault(&wg_four, stopped, 1, other_is_a_way_out);
}

static void test_semantics_10_explain_tells_the_cycle(void **state)
{
	(void)state;
	live_each_fault(&wg_four, stopped, 1, cycle_is_explained);
}

#define T(test, open) cmocka_unit_test_setup_teardown(test, open, wg_close_test)
#define ALONE(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_10_cycles_through_get, wg_open_many),
		T(test_semantics_10_cycles_through_other_calls, wg_open_many),
		T(test_semantics_10_cycle_of_get_wait_and_queue, wg_open_many),
		T(test_semantics_10_get_all_needs_each, wg_open_many),
		T(test_semantics_10_cycle_through_stream_and_object,
		  wg_open_many),
		T(test_semantics_10_cycle_through_stream_of_a_task,
		  wg_open_many),
		T(test_semantics_10_several_at_once, wg_open_many),
		T(test_semantics_10_cycle_on_one_worker, wg_open_one),
		T(test_semantics_10_holders_of_all_devices, wg_open_devices),
		T(test_deadlock_holder_that_goes_on_is_none, wg_open_devices),
		T(test_semantics_10_one_of_a_cycle_was_killed, wg_open_many),
		ALONE(test_semantics_10_killed_at_each_step),
		ALONE(test_deadlock_other_one_is_a_way_out),
		ALONE(test_semantics_10_explain_tells_the_cycle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
