/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that look like a deadlock and are none, and random graphs, of which some are:
 * what can go on is left alone.
 */
#include "wait_graph.h"

#include "deadlock.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* ---- no cycles ---- */

static void test_deadlock_one_way_out_is_none(void **state)
{
	static const uint32_t kinds[] = { WG_WAIT, WG_QUEUE };
	struct wg g = { .n = 4 };

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		MOB_SCOPE
		{
			/* 0 and 1 wait for each other, 1 or for 3, through 2. */
			wg_link_node(&g, 0, WG_GET, 1);
			wg_link_two(&g, 1, kinds[k], 1, 0, 2);
			wg_link_node(&g, 2, WG_ARGUMENT, 3);
			g.plan[3][0] = wg_plan(WG_STAND, 0, 0, NULL);
			wg_submit(&g);
			wg_sleep_well(3);
			wg_ledger.at[WG_FREE] = 1;
			wg_is_well(&g);
		}
	}
}

/* Two of three: one that never comes is none, two are one. */
static void test_semantics_10_two_of_three(void **state)
{
	static const uint32_t to[] = { 1, 2, 3 };
	struct wg g = { .n = 4 };

	(void)state;
	g.plan[0][0] = wg_plan(WG_WAIT, 2, 3, to);
	wg_link_node(&g, 1, WG_GET, 0);
	g.plan[2][0] = wg_plan(WG_STAND, 0, 0, NULL);
	wg_submit(&g);
	wg_sleep_well(2);
	wg_ledger.at[WG_FREE] = 1;
	wg_is_well(&g);
	wg_link_node(&g, 2, WG_GET, 0);
	wg_run(&g);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
}

static void test_deadlock_time_out_is_none(void **state)
{
	struct wg g;

	(void)state;
	wg_ring(&g, 3, WG_GET);
	wg_link_node(&g, 1, WG_TIMED, 2);
	wg_submit(&g);
	wg_sleep_well(2);
	wg_await_word(wg_ledger.path, WG_LOOPS, 5);
	wg_sleep_well(2);
	assert_int_equal(mob_task_cancel(g.result[1], 0), 1);
	wg_collect(&g);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
	assert_int_equal(g.rc[0], MOB_E_CANCELLED);
}

/* The thread that runs the task of a result sleeps in a get. */
static bool is_asleep(void *arg)
{
	const struct mob_store *s = mobi_rt.store;
	uint32_t seat =
		mobi_load(&s->clients[wg_worker_of(*(mob_ref *)arg)].seat);

	return seat && mobi_load(&s->chunks[seat - 1].asleep);
}

static void test_deadlock_token_is_a_way_out(void **state)
{
	struct wg g;

	(void)state;
	wg_ring(&g, 2, WG_GET);
	wg_link_node(&g, 1, WG_TOKEN, 0);
	wg_submit(&g);
	assert_true(live_await(is_asleep, &g.result[1]));
	wg_sleep_well(1);
	assert_int_equal(mob_task_cancel(g.result[0], 0), 1);
	wg_collect(&g);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
	assert_int_equal(g.rc[1], MOB_E_CANCELLED);
}

/* What the second thread of a task does when it may. */
enum { ADDS, SEALS, ENDS };
struct helper {
	const char *path;
	struct mob_queue *queue;
	mob_ref object;
	uint64_t what;
};

static void *help(void *arg)
{
	const struct helper *h = arg;

	wg_await_word(h->path, WG_FREE, 1);
	if (h->what == ADDS) {
		(void)mob_queue_add(h->queue, mob_put(INT64_C(1)), 7);
	} else if (h->what == SEALS &&
		   mob_object_seal(mobi_rt.store, h->object)) {
		return NULL;
	}
	return NULL;
}

static int wait_helped(struct helper *h, uint64_t *tag)
{
	struct mob_view v;
	mob_ref r;
	int rc;

	if (h->what != SEALS) {
		return mob_queue_pop(h->queue, MOB_FOREVER, &r, tag);
	}
	rc = mob_object_get(mobi_rt.store, h->object, MOB_FOREVER, &v);
	if (rc >= 0) {
		*tag = 7;
		mob_view_release(mobi_rt.store, &v);
	}
	return rc;
}

/* It waits for itself, in a queue or for an object that it has made. */
MOB_TASK(int64_t, d_helped, mob_str, path, uint64_t, what)
{
	struct helper h = { path, NULL, MOB_REF_NONE, what };
	uint64_t tag = 0;
	pthread_t thread;
	void *at;

	wg_await_word(path, WG_GO, 1);
	if (mob_queue_open(&h.queue) < 0 ||
	    mob_object_create(mobi_rt.store, 8, 0, &h.object, &at) < 0) {
		return 0;
	}
	memset(at, 0, 8);
	(void)mob_queue_add(h.queue, wg_ref_of(path, 0), 1);
	if (!pthread_create(&thread, NULL, help, &h)) {
		if (wg_is_victim(wait_helped(&h, &tag))) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		(void)pthread_join(thread, NULL);
	}
	mob_queue_close(h.queue);
	(void)mob_object_abort(mobi_rt.store, h.object);
	(void)mob_object_release(mobi_rt.store, h.object);
	return (int64_t)tag;
}

static int helped(uint64_t what, int64_t *x)
{
	mob_ref r;

	/* Before there is a task that goes by them. */
	for (uint32_t i = 0; i < WG_WORDS; i++) {
		wg_ledger.at[i] = 0;
	}
	r = mob_submit(d_helped, wg_ledger.path, what);
	wg_ledger.at[WG_REFS] = r.lo;
	wg_ledger.at[WG_REFS + 1] = r.hi;
	wg_ledger.at[WG_GO] = 1;
	wg_sleep_well(1);
	wg_ledger.at[WG_FREE] = 1;
	return mob_get(r, x);
}

static void test_deadlock_other_thread_is_a_way_out(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(helped(ADDS, &x), 0);
	assert_int_equal(x, 7);
	assert_int_equal(helped(SEALS, &x), 0);
	assert_int_equal(x, 7);
}

/* Nobody begins to wait when the last way out goes. */
static void test_semantics_10_other_thread_ends(void **state)
{
	int64_t x;

	(void)state;
	if (WG_HAS_THREAD) {
		skip();
	}
	assert_int_equal(helped(ENDS, &x), MOB_E_DEADLOCK);
	mob_error_clear();
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 1);
}

/* One that is stopped will go on. */
static void test_deadlock_stopped_process_is_none(void **state)
{
	struct wg g = { .n = 2 };
	struct mobi_proc proc;

	(void)state;
	wg_link_node(&g, 0, WG_GET, 1);
	g.plan[1][0] = wg_plan(WG_STAND, 0, 0, NULL);
	wg_submit(&g);
	wg_sleep_well(1);
	proc = mobi_rt.store->clients[wg_worker_of(g.result[1])].proc;
	assert_int_equal(kill((pid_t)proc.pid, SIGSTOP), 0);
	wg_sleep_well(1);
	assert_int_equal(kill((pid_t)proc.pid, SIGCONT), 0);
	wg_ledger.at[WG_FREE] = 1;
	wg_is_well(&g);
}

static bool is_stopped(void *arg)
{
	return wg_is_stopped(*(mob_ref *)arg);
}

static void one_has_it(size_t i)
{
	struct wg g = { .n = 3 };
	char text[512];

	(void)i;
	wg_link_two(&g, 0, WG_WAIT, 1, 1, 2);
	wg_link_node(&g, 1, WG_GET, 0);
	g.plan[2][0] = wg_plan(WG_STAND, 0, 0, NULL);
	wg_submit(&g);
	wg_sleep_well(2);
	wg_ledger.at[WG_FREE] = 1;
	assert_true(live_await(is_stopped, &g.result[0]));
	assert_false(mobi_deadlock_text(
		mobi_rt.store, wg_worker_of(g.result[1]), text, sizeof(text)));
	assert_int_equal(
		kill((pid_t)mobi_rt.store->clients[wg_worker_of(g.result[0])]
			     .proc.pid,
		     SIGCONT),
		0);
	wg_is_well(&g);
}

/* 0 has what it waited for, and is stopped before it tells; 1 waits for it, and what
 * else 0 would have been content with is 1. */
static void test_deadlock_one_that_has_it_is_none(void **state)
{
	static const char *const faults[] = { "cq.popped=stop@1" };

	(void)state;
	live_each_fault(&wg_four, faults, 1, one_has_it);
}

/* ---- random graphs ---- */

/* n different numbers below `of`. */
static void draw(uint64_t *seed, uint32_t n, uint32_t of, uint32_t *out)
{
	uint32_t all[WG_NODES];

	for (uint32_t i = 0; i < of; i++) {
		all[i] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = i + (uint32_t)(live_random(seed) % (of - i));

		out[i] = all[k];
		all[k] = all[i];
	}
}

static uint64_t random_plan(uint64_t *seed, uint32_t of, bool any_kind)
{
	static const uint32_t kinds[] = { WG_GET_ALL, WG_WAIT,  WG_ARGUMENT,
					  WG_GET,     WG_QUEUE, WG_TIMED,
					  WG_TOKEN };
	uint32_t to[WG_NODES];
	uint32_t kind = kinds[live_random(seed) % (any_kind      ? 7 :
						   WG_HAS_THREAD ? 3 :
								   5)];
	uint32_t n = 1 + (uint32_t)(live_random(seed) % of);

	if (kind == WG_TIMED || kind == WG_TOKEN ||
	    (!any_kind && kind == WG_GET)) {
		n = 1; /* gets are one after the other */
	}
	draw(seed, n, of, to);
	return wg_plan(kind, 1 + (uint32_t)(live_random(seed) % n), n, to);
}

/* A node waits for nodes before it only, in an order of its own and not that of
 * submission. */
static void test_deadlock_random_acyclic_graphs(void **state)
{
	uint64_t seed = live_seed("acyclic graphs");
	struct wg g = { 0 };

	(void)state;
	for (int i = 0; i < 2000 / LIVE_SLOW; i++) {
		uint32_t order[WG_NODES];

		g.n = 2 + (uint32_t)(live_random(&seed) % (WG_NODES - 1));
		memset(g.plan, 0, sizeof(g.plan));
		draw(&seed, g.n, g.n, order);
		for (uint32_t k = 1; k < g.n; k++) {
			for (uint32_t r = 0; r < WG_ROUNDS; r++) {
				uint64_t w = random_plan(&seed, k, true);

				/* Targets are places in the order. */
				for (uint32_t j = 0; j < (w >> 16 & 255); j++) {
					uint64_t at = w >> (24 + 5 * j) & 31;

					w &= ~(UINT64_C(31) << (24 + 5 * j));
					w |= (uint64_t)order[at]
					     << (24 + 5 * j);
				}
				g.plan[order[k]][r] = w;
			}
		}
		MOB_SCOPE
		{
			wg_submit(&g);
			wg_is_well(&g);
		}
	}
}

/* How many nodes can never go on. */
static uint32_t stuck_nodes(const struct wg *g)
{
	bool able[WG_NODES] = { 0 };
	uint32_t left = g->n;
	bool more = true;

	while (more) {
		more = false;
		for (uint32_t i = 0; i < g->n; i++) {
			uint64_t w = g->plan[i][0];
			uint32_t kind = w & 255;
			uint32_t n = w >> 16 & 255;
			uint32_t need = kind == WG_WAIT || kind == WG_QUEUE ?
						w >> 8 & 255 :
						n;
			uint32_t has = 0;

			for (uint32_t j = 0; j < n; j++) {
				has += able[w >> (24 + 5 * j) & 31];
			}
			if (!able[i] && has >= need) {
				able[i] = more = true;
				left--;
			}
		}
	}
	return left;
}

/* There is an error if and only if there is a deadlock, whoever waits first. */
static void test_semantics_10_random_graphs_are_told_exactly(void **state)
{
	uint64_t seed = live_seed("graphs");
	struct wg g = { 0 };
	int with = 0;

	(void)state;
	for (int i = 0; i < 1000 / LIVE_SLOW; i++) {
		uint32_t stuck;

		g.n = 1 + (uint32_t)(live_random(&seed) % WG_NODES);
		for (uint32_t k = 0; k < g.n; k++) {
			g.plan[k][0] = live_random(&seed) % 3 ?
					       random_plan(&seed, g.n, false) :
					       0;
		}
		stuck = stuck_nodes(&g);
		with += stuck != 0;
		MOB_SCOPE
		{
			wg_run(&g);
			if (!stuck != !wg_ledger.at[WG_VICTIMS] ||
			    wg_ledger.at[WG_VICTIMS] > stuck) {
				fail_msg("graph %d: %u nodes are stuck, %u "
					 "waits ended",
					 i, stuck,
					 (unsigned)wg_ledger.at[WG_VICTIMS]);
			}
		}
	}
	assert_true(with > 100 / LIVE_SLOW && with < 900 / LIVE_SLOW);
}

#define T(test, open) cmocka_unit_test_setup_teardown(test, open, wg_close_test)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_deadlock_one_way_out_is_none, wg_open_many),
		T(test_semantics_10_two_of_three, wg_open_many),
		T(test_deadlock_time_out_is_none, wg_open_many),
		T(test_deadlock_token_is_a_way_out, wg_open_many),
		T(test_deadlock_other_thread_is_a_way_out, wg_open_many),
		T(test_semantics_10_other_thread_ends, wg_open_many),
		T(test_deadlock_stopped_process_is_none, wg_open_many),
		cmocka_unit_test_teardown(test_deadlock_one_that_has_it_is_none,
					  live_leave),
		T(test_deadlock_random_acyclic_graphs, wg_open_many),
		T(test_semantics_10_random_graphs_are_told_exactly,
		  wg_open_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
