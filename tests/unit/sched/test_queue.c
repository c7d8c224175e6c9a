/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues against an oracle that keeps an unsorted array and scans it, and the
 * price of a push and a pop, printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "os_clock.h"
#include "queue.h"
#include "test_count.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 400u
#define WORKERS 4u
#define JOBS 3u
#define QUEUES (1u + WORKERS + JOBS)
#define ALL UINT64_MAX

static struct mobi_queues *make(uint32_t tasks)
{
	uint64_t n = mobi_queues_bytes(tasks, WORKERS, JOBS);
	struct mobi_queues *q = aligned_alloc(64, (n + 63) & ~UINT64_C(63));

	if (q) {
		memset(q, 0, n);
		mobi_queues_init(q, tasks, WORKERS, JOBS);
	}
	return q;
}

static uint64_t seed;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static bool push(struct mobi_queues *q, uint32_t task, uint64_t rank)
{
	struct mobi_queue_entry e = { .task = task, .rank = rank };

	return mobi_queues_push(q, &e);
}

static uint32_t pop(struct mobi_queues *q, bool oldest)
{
	struct mobi_queue_want want = { .fits = ALL, .oldest = oldest };
	struct mobi_queue_entry e;

	return mobi_queues_pop(q, &want, &e) ? e.task : UINT32_MAX;
}

static void assert_valid(const struct mobi_queues *q)
{
	const char *what = mobi_queues_check(q);

	if (what) {
		fail_msg("%s", what);
	}
}

/* ---- one behaviour each ---- */

static void test_queue_equal_ranks_come_in_order_of_arrival(void **state)
{
	struct mobi_queues *q = make(TASKS);

	(void)state;
	assert_non_null(q);
	for (uint32_t i = 0; i < 10; i++) {
		assert_true(push(q, 9 - i, 7));
	}
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(pop(q, false), 9 - i);
	}
	assert_int_equal(pop(q, false), UINT32_MAX);
	free(q);
}

static void test_queue_lowest_rank_comes_first_and_oldest_on_request(void **s)
{
	static const uint64_t ranks[] = { 50, 70, 60, UINT64_MAX, 0, 60 };
	struct mobi_queues *q = make(TASKS);

	(void)s;
	assert_non_null(q);
	for (uint32_t i = 0; i < 6; i++) {
		assert_true(push(q, i, ranks[i]));
	}
	assert_valid(q);
	assert_int_equal(pop(q, false), 4);
	assert_int_equal(pop(q, true), 0);
	assert_int_equal(pop(q, false), 2);
	assert_int_equal(pop(q, false), 5);
	assert_int_equal(pop(q, true), 1);
	assert_int_equal(pop(q, false), 3);
	assert_int_equal(mobi_load(&q->total), 0);
	free(q);
}

static void test_queue_same_task_twice_is_queued_once(void **state)
{
	struct mobi_queues *q = make(TASKS);
	struct mobi_queue_entry e = { .task = 5, .version = 3, .rank = 1 };
	struct mobi_queue_entry got;

	(void)state;
	assert_non_null(q);
	assert_true(mobi_queues_push(q, &e));
	assert_false(mobi_queues_push(q, &e));
	e.version = 2;
	assert_false(mobi_queues_push(q, &e));
	e.version = 4;
	e.queue = 1;
	e.rank = 9;
	assert_true(mobi_queues_push(q, &e));
	assert_int_equal(mobi_load(&q->total), 1);
	assert_int_equal(mobi_queues_len(q, 0), 0);
	assert_true(mobi_queues_find(q, 5, &got));
	assert_memory_equal(&got, &e, sizeof(e));
	assert_true(mobi_queues_remove(q, 5));
	assert_false(mobi_queues_remove(q, 5));
	assert_true(mobi_queues_push(q, &e));
	assert_valid(q);
	free(q);
}

static void test_queue_version_wraps_newer_replaces(void **state)
{
	struct mobi_queues *q = make(TASKS);
	struct mobi_queue_entry e = { .task = 1, .version = UINT32_MAX };

	(void)state;
	assert_non_null(q);
	assert_true(mobi_queues_push(q, &e));
	e.version = 0;
	assert_true(mobi_queues_push(q, &e));
	e.version = UINT32_MAX;
	assert_false(mobi_queues_push(q, &e));
	free(q);
}

static void test_queue_arrivals_wrap_order_stays(void **state)
{
	struct mobi_queues *q = make(TASKS);

	(void)state;
	assert_non_null(q);
	q->arrivals = (UINT64_C(1) << 39) - 3;
	for (uint32_t i = 0; i < 6; i++) {
		struct mobi_queue_entry e = { .task = i, .shape = i % 3 };

		assert_true(mobi_queues_push(q, &e));
	}
	assert_valid(q);
	for (uint32_t i = 0; i < 6; i++) {
		assert_int_equal(pop(q, i & 1), i);
	}
	free(q);
}

static void test_queue_unfit_shape_is_passed_over_and_remembered(void **state)
{
	struct mobi_queues *q = make(TASKS);
	struct mobi_queue_want want = { .fits = 1, .now_ns = 100 };
	struct mobi_queue_entry e = { .task = 1, .shape = 5, .rank = 10 };
	struct mobi_queue_entry got;

	(void)state;
	assert_non_null(q);
	assert_true(mobi_queues_push(q, &e));
	assert_true(push(q, 2, 5));
	assert_true(push(q, 3, 20));
	assert_int_equal(mobi_queues_shapes(q, 0), 1 | 1 << 5);

	/* Rank 5 before 10: nobody was passed over. */
	assert_true(mobi_queues_pop(q, &want, &got));
	assert_int_equal(got.task, 2);
	assert_int_equal(mobi_queues_passed_ns(q, 5), 0);

	want.now_ns = 200;
	assert_true(mobi_queues_pop(q, &want, &got));
	assert_int_equal(got.task, 3);
	assert_int_equal(mobi_queues_passed_ns(q, 5), 200);

	want.now_ns = 300;
	assert_false(mobi_queues_pop(q, &want, &got));
	assert_int_equal(mobi_queues_passed_ns(q, 5), 200);

	/* One of the shape is popped: what waits on was not passed over. */
	e.task = 4;
	assert_true(mobi_queues_push(q, &e));
	want.fits = ALL;
	assert_true(mobi_queues_pop(q, &want, &got));
	assert_int_equal(got.task, 1);
	assert_int_equal(mobi_queues_passed_ns(q, 5), 0);
	free(q);
}

static void test_queue_last_of_passed_shape_removed_is_forgotten(void **state)
{
	struct mobi_queues *q = make(TASKS);
	struct mobi_queue_want want = { .fits = 1, .now_ns = 100 };
	struct mobi_queue_entry e = { .task = 1, .shape = 5 };
	struct mobi_queue_entry got;

	(void)state;
	assert_non_null(q);
	assert_true(mobi_queues_push(q, &e));
	assert_false(mobi_queues_pop(q, &want, &got));
	assert_int_equal(mobi_queues_passed_ns(q, 5), 100);
	assert_true(mobi_queues_remove(q, 1));
	assert_int_equal(mobi_queues_passed_ns(q, 5), 0);
	free(q);
}

static void test_queue_reset_of_a_torn_state_makes_it_empty(void **state)
{
	struct mobi_queues *q = make(TASKS);

	(void)state;
	assert_non_null(q);
	for (uint32_t g = 2; g < 6; g++) {
		uint64_t bytes = mobi_queues_head_bytes(WORKERS, JOBS);
		char *lens = (char *)q + q->len_off;

		seed = g;
		for (uint32_t i = 0; i < TASKS; i++) {
			(void)push(q, i, rnd() % 50);
		}
		/* What a kill can leave: anything in lengths, bits, heads. */
		for (uint64_t i = 0; i < bytes - q->len_off; i++) {
			lens[i] = (char)rnd();
		}
		q->passed = ALL;
		q->passed_ns[3] = 5;
		mobi_queues_reset(q, g);
		assert_valid(q);
		assert_int_equal(mobi_queues_passed_ns(q, 3), 0);
		assert_int_equal(mobi_load(&q->total), 0);
		for (uint32_t i = 0; i < TASKS; i++) {
			assert_true(push(q, i, i));
		}
		assert_valid(q);
		assert_int_equal(mobi_queues_len(q, 0), TASKS);
	}
	free(q);
}

static int count_and_remove(const struct mobi_queue_entry *e, void *arg)
{
	struct mobi_queues *q = arg;

	return e->task % 2 && !mobi_queues_remove(q, e->task);
}

static int stop_at_7(const struct mobi_queue_entry *e, void *arg)
{
	(void)arg;
	return e->task >= 7 ? (int)e->task : 0;
}

static void test_queue_each_may_remove_what_it_is_given(void **state)
{
	struct mobi_queues *q = make(TASKS);

	(void)state;
	assert_non_null(q);
	for (uint32_t i = 0; i < 100; i++) {
		struct mobi_queue_entry e = { .task = i, .shape = i % 7 };

		assert_true(mobi_queues_push(q, &e));
	}
	assert_int_equal(mobi_queues_each(q, 0, count_and_remove, q), 0);
	assert_int_equal(mobi_queues_len(q, 0), 50);
	assert_valid(q);
	assert_int_not_equal(mobi_queues_each(q, 0, stop_at_7, NULL), 0);
	free(q);
}

static void test_queue_node_range_covers_every_node(void **state)
{
	uint64_t head = mobi_queues_head_bytes(WORKERS, JOBS);
	struct mobi_queues *q = make(TASKS);
	uint64_t off = 0;
	uint64_t n;

	(void)state;
	assert_non_null(q);
	n = mobi_queues_node_range(q, 0, TASKS, &off);
	assert_int_equal(off, head);
	assert_int_equal(off + n, mobi_queues_bytes(TASKS, WORKERS, JOBS));
	n = mobi_queues_node_range(q, 10, 2, &off);
	assert_int_equal(off, head + 400);
	assert_int_equal(n, 80);
	free(q);
}

/* The last index of the largest table: links hold 21 bits. */
static void test_queue_largest_index_links_hold(void **state)
{
	static const uint32_t task[] = { MOBI_QUEUE_TASKS_MAX - 1, 0,
					 MOBI_QUEUE_TASKS_MAX - 2, 1 };
	struct mobi_queues *q;
	uint64_t n = mobi_queues_bytes(MOBI_QUEUE_TASKS_MAX, WORKERS, JOBS);

	(void)state;
	q = calloc(1, n);
	assert_non_null(q);
	mobi_queues_init(q, MOBI_QUEUE_TASKS_MAX, WORKERS, JOBS);
	for (uint32_t i = 0; i < 4; i++) {
		assert_true(push(q, task[i], (i * 7) % 4));
	}
	assert_valid(q);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(pop(q, true), task[i]);
	}
	free(q);
}

/* ---- oracle ---- */

struct oracle {
	struct mobi_queue_entry e[TASKS];
	uint64_t arrival[TASKS];
	bool in[TASKS];
	uint64_t arrivals;
	uint32_t n;
};

static bool oracle_before(const struct oracle *o, uint32_t a, uint32_t b,
			  bool oldest)
{
	if (oldest || o->e[a].rank == o->e[b].rank) {
		return o->arrival[a] < o->arrival[b];
	}
	return o->e[a].rank < o->e[b].rank;
}

static uint32_t oracle_pop(struct oracle *o, const struct mobi_queue_want *w)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = 0; i < TASKS; i++) {
		if (!o->in[i] || o->e[i].queue != w->queue ||
		    !(w->fits >> o->e[i].shape & 1)) {
			continue;
		}
		if (best == UINT32_MAX ||
		    oracle_before(o, i, best, w->oldest)) {
			best = i;
		}
	}
	if (best != UINT32_MAX) {
		o->in[best] = false;
		o->n--;
	}
	return best;
}

enum { RANK_RISING, RANK_FALLING, RANK_FEW, RANK_RANDOM, RANK_NEAR, RANK_MIX };

static uint64_t next_rank(int kind, uint64_t step)
{
	switch (kind) {
	case RANK_RISING:
		return step;
	case RANK_FALLING:
		return UINT64_MAX - step;
	case RANK_FEW:
		return rnd() % 5;
	case RANK_RANDOM:
		return rnd();
	case RANK_NEAR:
		return step + rnd() % 16;
	default:
		return next_rank((int)(rnd() % RANK_MIX), step);
	}
}

static void oracle_push(struct mobi_queues *q, struct oracle *o, int kind,
			uint64_t step, uint32_t n_shapes)
{
	uint32_t t = (uint32_t)(rnd() % TASKS);
	uint32_t version = o->e[t].version + (uint32_t)(rnd() % 2);
	struct mobi_queue_entry e = {
		.task = t,
		.version = version,
		.queue = (uint32_t)(rnd() % QUEUES),
		.shape = (uint32_t)(rnd() % n_shapes) * 9 % 64,
		.rank = next_rank(kind, step),
	};
	bool want = !o->in[t] || version != o->e[t].version;

	assert_int_equal(mobi_queues_push(q, &e), want);
	if (want) {
		o->n += !o->in[t];
		o->e[t] = e;
		o->in[t] = true;
		o->arrival[t] = o->arrivals++;
	}
}

static void oracle_take(struct mobi_queues *q, struct oracle *o)
{
	struct mobi_queue_entry e;
	struct mobi_queue_want w = {
		.queue = (uint32_t)(rnd() % QUEUES),
		.oldest = rnd() % 3 == 0,
		.fits = rnd() % 3 == 0 ? ALL : rnd(),
		.now_ns = 1,
	};
	uint32_t want = oracle_pop(o, &w);

	assert_int_equal(mobi_queues_pop(q, &w, &e), want != UINT32_MAX);
	if (want != UINT32_MAX) {
		assert_int_equal(e.task, want);
		assert_memory_equal(&e, &o->e[want], sizeof(e));
	}
}

static void oracle_remove(struct mobi_queues *q, struct oracle *o)
{
	uint32_t t = (uint32_t)(rnd() % TASKS);

	assert_int_equal(mobi_queues_remove(q, t), o->in[t]);
	o->n -= o->in[t];
	o->in[t] = false;
}

static void oracle_compare(const struct mobi_queues *q, const struct oracle *o)
{
	uint32_t len[QUEUES] = { 0 };

	assert_valid(q);
	assert_int_equal(mobi_load(&q->total), o->n);
	for (uint32_t i = 0; i < TASKS; i++) {
		struct mobi_queue_entry e;

		assert_int_equal(mobi_queues_find(q, i, &e), o->in[i]);
		len[o->e[i].queue] += o->in[i];
	}
	for (uint32_t k = 0; k < QUEUES; k++) {
		assert_int_equal(mobi_queues_len(q, k), len[k]);
	}
}

static void oracle_run(int kind, uint32_t n_shapes)
{
	struct mobi_queues *q = make(TASKS);
	struct oracle *o = calloc(1, sizeof(*o));
	uint32_t gen = 1;

	assert_non_null(q);
	assert_non_null(o);
	for (uint64_t step = 0; step < 6000; step++) {
		/* Fills up and drains in turns. */
		uint64_t more = step / 1000 % 2 ? 30 : 60;
		uint64_t what = rnd() % 100;

		if (what < more) {
			oracle_push(q, o, kind, step, n_shapes);
		} else if (what < 92) {
			oracle_take(q, o);
		} else {
			oracle_remove(q, o);
		}
		if (step % 97 == 0) {
			oracle_compare(q, o);
		}
		if (step % 2500 == 2499) {
			mobi_queues_reset(q, ++gen);
			memset(o->in, 0, sizeof(o->in));
			o->n = 0;
		}
	}
	oracle_compare(q, o);
	free(o);
	free(q);
}

static void test_queue_random_operations_agree_with_a_scan(void **state)
{
	(void)state;
	seed = test_seed();
	for (int kind = RANK_RISING; kind <= RANK_MIX; kind++) {
		oracle_run(kind, 1);
		oracle_run(kind, 3);
		oracle_run(kind, 64);
	}
}

/* ---- price, printed and not judged; MOB_TEST_QUEUE_LARGE=1 adds 1,000,000 ---- */

static const char *const kind_name[] = { "fifo",   "lifo", "few",
					 "random", "near", "mix" };

static double fill_and_drain(struct mobi_queues *q, uint32_t n, int kind,
			     uint32_t rounds)
{
	uint64_t t0 = mobi_now_ns();

	for (uint32_t r = 0; r < rounds; r++) {
		for (uint32_t i = 0; i < n; i++) {
			(void)push(q, i, next_rank(kind, i));
		}
		for (uint32_t i = 0; i < n; i++) {
			(void)pop(q, false);
		}
	}
	return (double)(mobi_now_ns() - t0) / n / rounds;
}

/* n stay queued; each step takes one and queues it again. */
static double steady(struct mobi_queues *q, uint32_t n, int kind,
		     uint32_t steps)
{
	uint64_t t0;
	double ns;

	for (uint32_t i = 0; i < n; i++) {
		(void)push(q, i, next_rank(kind, i));
	}
	t0 = mobi_now_ns();
	for (uint32_t i = 0; i < steps; i++) {
		(void)push(q, pop(q, false), next_rank(kind, n + i));
	}
	ns = (double)(mobi_now_ns() - t0) / steps;
	for (uint32_t i = 0; i < n; i++) {
		(void)pop(q, false);
	}
	return ns;
}

static void test_queue_price_is_printed_and_nothing_is_lost(void **state)
{
	static const uint32_t sizes[] = { 1000, 100000, 1000000 };
	static const int kinds[] = { RANK_RISING, RANK_FALLING, RANK_FEW,
				     RANK_NEAR, RANK_RANDOM };
	struct mobi_queues *q = make(1000000);
	bool all = test_count("MOB_TEST_QUEUE_LARGE", 0, 1);

	(void)state;
	assert_non_null(q);
	seed = 88172645463325252u;
	for (unsigned s = 0; s < (all ? 3 : 2); s++) {
		uint32_t n = sizes[s];

		for (unsigned k = 0; k < 5; k++) {
			uint32_t rounds = n < 100000 ? 10 : 1;
			double a;
			double b;

			a = fill_and_drain(q, n, kinds[k], rounds);
			b = steady(q, n, kinds[k], all ? 100000 : 10000);
			printf("%-6s %7u: fill and drain %6.0f, "
			       "steady %6.0f ns a push and pop\n",
			       kind_name[kinds[k]], n, a, b);
			assert_int_equal(mobi_load(&q->total), 0);
		}
	}
	free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_queue_equal_ranks_come_in_order_of_arrival),
		cmocka_unit_test(
			test_queue_lowest_rank_comes_first_and_oldest_on_request),
		cmocka_unit_test(test_queue_same_task_twice_is_queued_once),
		cmocka_unit_test(test_queue_version_wraps_newer_replaces),
		cmocka_unit_test(test_queue_arrivals_wrap_order_stays),
		cmocka_unit_test(
			test_queue_unfit_shape_is_passed_over_and_remembered),
		cmocka_unit_test(
			test_queue_last_of_passed_shape_removed_is_forgotten),
		cmocka_unit_test(
			test_queue_reset_of_a_torn_state_makes_it_empty),
		cmocka_unit_test(test_queue_each_may_remove_what_it_is_given),
		cmocka_unit_test(test_queue_node_range_covers_every_node),
		cmocka_unit_test(test_queue_largest_index_links_hold),
		cmocka_unit_test(
			test_queue_random_operations_agree_with_a_scan),
		cmocka_unit_test(
			test_queue_price_is_printed_and_nothing_is_lost),
	};

	return cmocka_run_group_tests_name("sched.queue", tests, NULL, NULL);
}
