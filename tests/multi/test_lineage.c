/* SPDX-License-Identifier: Apache-2.0 */
/* What went of the results of tasks is made again by them, as far as it is kept how. */
#include "lineage_fixture.h"

#include "pool.h"

#include <sched.h>

#define MANY 200u /* objects of 1 MiB */
#define BATCH 16u
#define DEEP 20000u

/* ---- tasks ---- */

/* Each time another value; the size stays, or not. */
MOB_TASK(mob_i64s, l_other, mob_str, path, int64_t, grows)
{
	size_t runs = (size_t)live_ledger_add(path, RUNS);
	size_t n = SIZE / 8 + (grows ? runs : 0);
	int64_t *p = mob_new_of(mob_i64s, n);

	if (!p) {
		return mob_i64s_of(NULL, 0);
	}
	fill(p, n, (int64_t)runs);
	return mob_i64s_of(p, n);
}

MOB_TASK_MANY(mob_i64s, l_several, mob_str, path, int64_t, first)
{
	(void)live_ledger_add(path, RUNS);
	for (size_t k = 0; k < n_out; k++) {
		int64_t *p = mob_new_of(mob_i64s, SIZE / 8);

		if (!p) {
			return;
		}
		fill(p, SIZE / 8, first + (int64_t)k);
		out[k] = mob_i64s_of(p, SIZE / 8);
	}
}

/* Refs of its own making, others each time. */
MOB_TASK(mob_refs, l_refs, mob_str, path, int64_t, n)
{
	static struct mob_ref r[600];

	(void)live_ledger_add(path, RUNS);
	for (int64_t i = 0; i < n; i++) {
		r[i] = mob_put(i);
	}
	return mob_refs_of(r, (size_t)n);
}

/* As many numbers as there are refs in it. */
MOB_TASK(mob_i64s, l_of_refs, mob_str, path, mob_refs, r)
{
	int64_t *p = mob_new_of(mob_i64s, r.n);

	if (!p) {
		return mob_i64s_of(NULL, 0);
	}
	(void)live_ledger_add(path, OTHER);
	fill(p, r.n, 1);
	return mob_i64s_of(p, r.n);
}

MOB_TASK(int64_t, l_last, mob_i64s, a)
{
	return a.at[a.n - 1];
}

/* Runs until it is let go. */
MOB_TASK(int64_t, l_gate, mob_str, path)
{
	while (!live_ledger_get(path, LAST)) {
		(void)sched_yield();
	}
	return 1;
}

/* Waits inside for what it was passed. */
MOB_TASK(int64_t, l_inside, mob_ref, r)
{
	mob_i64s a;

	return mob_get(r, &a) ? -1 : a.at[a.n - 1];
}

/* ---- what the driver sees ---- */

static bool is_gone(mob_ref r)
{
	return mobi_load(&slot_of(r)->word) & MOBI_F_GONE;
}

static uint64_t free_bytes(void)
{
	struct mob_store_stat st;

	assert_int_equal(mob_store_stat(mobi_rt.store, &st), 0);
	return st.arena_bytes - st.arena_used_bytes;
}

static uint32_t kept(void)
{
	const struct mob_store *s = mobi_rt.store;
	uint32_t n = 0;

	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_REC); i++) {
		n += MOBI_STATE(mobi_load(&s->recs[i].word)) == MOBI_R_KEPT;
	}
	return n;
}

/* Its value goes now, as for room. */
static bool goes(mob_ref r)
{
	return mobi_rt.store->hooks->evict(mobi_rt.store, r.lo, false);
}

static bool has_gone(void *arg)
{
	const mob_ref *r = arg;

	return goes(*r);
}

/* Its value goes, once those that read it have ended. */
static bool evicted(mob_ref r)
{
	until_ended(r);
	return live_await(has_gone, &r);
}

/* ---- gone for room ---- */

static void test_semantics_30_result_that_went_is_made_again(void **state)
{
	mob_ref r = make(RUNS, 5, SIZE);
	uint64_t before;

	(void)state;
	until_ended(r);
	before = free_bytes();
	assert_int_equal(runs(), 1);
	assert_true(evicted(r));
	assert_true(free_bytes() > before);
	assert_int_equal(mob_object_state(mobi_rt.store, r),
			 MOB_OBJECT_PENDING);
	holds(r, SIZE / 8, 5, 0);
	assert_int_equal(runs(), 2);
	/* And once more. */
	assert_true(evicted(r));
	holds(r, SIZE / 8, 5, 0);
	assert_int_equal(runs(), 3);
	assert_int_equal(mobi_load(&mobi_rt.sched->mismatches), 0);
}

/* All that can wait for it starts it. */
static void test_lineage_every_kind_of_wait_has_it_made(void **state)
{
	mob_ref r = make(RUNS, 7, SIZE);
	int64_t want[SIZE / 8];
	struct mob_queue *q;
	uint64_t tag;
	bool ready = false;
	int64_t x;

	(void)state;
	fill(want, SIZE / 8, 7);
	assert_true(evicted(r));
	assert_int_equal(mob_wait(&r, 1, 1, MOB_FOREVER, &ready), 1);
	assert_int_equal(runs(), 2);
	assert_true(evicted(r));
	assert_int_equal(mob_take(mob_submit(l_last, r), &x), 0);
	assert_int_equal(x, want[SIZE / 8 - 1]);
	assert_int_equal(runs(), 3);
	assert_true(evicted(r));
	assert_int_equal(mob_take(mob_submit(l_inside, r), &x), 0);
	assert_int_equal(x, want[SIZE / 8 - 1]);
	assert_int_equal(runs(), 4);
	assert_true(evicted(r));
	assert_int_equal(mob_queue_open(&q), 0);
	assert_int_equal(mob_queue_add(q, r, 3), 0);
	assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &r, &tag), 1);
	assert_int_equal(tag, 3);
	mob_queue_close(q);
	assert_int_equal(runs(), 5);
	holds(r, SIZE / 8, 7, 0);
}

static void test_lineage_of_a_result_that_is_viewed_stays(void **state)
{
	mob_ref r = make(RUNS, 9, SIZE);
	mob_i64s a;

	(void)state;
	assert_int_equal(mob_get(r, &a), 0);
	until_ended(r);
	assert_false(goes(r));
	assert_int_equal(a.n, SIZE / 8);
	assert_int_equal(runs(), 1);
}

#define MIB ((size_t)1 << 20)

/* Views so much that r, which has gone, cannot be made. */
static void no_room_for(mob_ref r)
{
	static char other[MIB];
	mob_bytes b;
	mob_i64s a;

	while (mob_get(mob_put_bytes(other, MIB), &b) == 0) {
		assert_int_equal(b.n, MIB);
	}
	assert_int_equal(mob_error_code(), MOB_E_STORE_FULL);
	mob_error_clear();
	assert_int_equal(mob_get(r, &a), MOB_E_STORE_FULL);
	mob_error_clear();
	assert_int_equal(mob_object_state(mobi_rt.store, r),
			 MOB_OBJECT_PENDING);
}

/* Who views what fills the store is told, and has it when there is room again. */
static void test_lineage_that_finds_no_room_is_tried_again(void **state)
{
	mob_ref r = make(RUNS, 5, MIB);

	(void)state;
	/* The second time it begins anew. */
	for (uint64_t round = 0; round < 2; round++) {
		assert_true(evicted(r));
		MOB_SCOPE
		{
			no_room_for(r);
		}
		holds(r, MIB / 8, 5, 0);
		assert_int_equal(runs(), round + 2);
	}
}

/* A store that holds a third of them, all of which the driver has refs of. */
static void test_lineage_more_than_fits_without_a_spill_directory(void **state)
{
	mob_ref *r = calloc(MANY, sizeof(*r));
	size_t n = ((size_t)1 << 20) / 8;

	(void)state;
	assert_non_null(r);
	for (uint32_t i = 0; i < MANY; i++) {
		r[i] = make(i, i, n * 8);
	}
	for (uint32_t i = 0; i < MANY; i += BATCH) {
		for (uint32_t k = i; k < MANY && k < i + BATCH; k++) {
			holds(r[k], n, k, 0);
		}
	}
	assert_true(mobi_load(&mobi_rt.sched->evicted) >=
		    MANY - STORE / (n * 8));
	for (uint32_t i = 0; i < MANY; i++) {
		assert_true(ledger.at[i] >= 1);
		assert_int_equal(mob_release(r[i]), 0);
	}
	free(r);
}

/* What a queued task needs went: it holds nothing while that is made again. */
static void
test_lineage_argument_that_went_is_made_before_the_task(void **state)
{
	struct mob_task_opts gpu = MOB_OPTS(.resources = "gpu=1");
	mob_ref a = mob_submit_with(gpu, l_make, ledger.path, RUNS, 3,
				    (int64_t)SIZE);
	mob_ref gate;
	mob_ref b;
	int64_t want[SIZE / 8];
	int64_t x;

	(void)state;
	fill(want, SIZE / 8, 3);
	until_ended(a);
	gate = mob_submit_with(gpu, l_gate, ledger.path);
	b = mob_submit_with(gpu, l_last, a);
	assert_true(live_await(has_gone, &a));
	ledger.at[LAST] = 1;
	assert_int_equal(mob_take(b, &x), 0);
	assert_int_equal(x, want[SIZE / 8 - 1]);
	assert_int_equal(runs(), 2);
	assert_int_equal(mob_take(gate, &x), 0);
	ledger.at[LAST] = 0;
}

/* The same of a call of a map, whose task is there before it went. */
static void
test_lineage_argument_of_a_map_that_went_is_made_for_it(void **state)
{
	struct mob_task_opts gpu = MOB_OPTS(.resources = "gpu=1");
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;
	int64_t want[SIZE / 8];
	mob_ref a[3];
	mob_ref gate;
	int64_t x;

	(void)state;
	for (int64_t i = 0; i < 3; i++) {
		a[i] = make(RUNS + i, i + 3, SIZE);
		until_ended(a[i]);
	}
	gate = mob_submit_with(gpu, l_gate, ledger.path);
	o.chunk = 3;
	o.task = &gpu;
	assert_int_equal(mob_map_open(&o, &m), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_map_add(m, l_last, a[i]), 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_true(live_await(has_gone, &a[i]));
	}
	ledger.at[LAST] = 1;
	for (int64_t i = 0; i < 3; i++) {
		fill(want, SIZE / 8, i + 3);
		assert_int_equal(mob_map_next(m, &x), 1);
		assert_int_equal(x, want[SIZE / 8 - 1]);
		assert_int_equal(ledger.at[RUNS + i], 2);
	}
	assert_int_equal(mob_map_next(m, &x), 0);
	mob_map_close(m);
	assert_int_equal(mob_take(gate, &x), 0);
	ledger.at[LAST] = 0;
}

/* ---- what it is made of ---- */

static void test_semantics_30_intermediate_results_are_made_again(void **state)
{
	mob_ref a = make(RUNS, 3, SIZE);
	mob_ref b = mob_submit(l_next, ledger.path, OTHER, a);
	mob_ref c = mob_submit(l_next, ledger.path, LAST, b);
	uint64_t with;

	(void)state;
	until_ended(c);
	until_ended(b);
	with = free_bytes();
	/* Their values go at once, though c could be made again of them. */
	assert_int_equal(mob_release(a), 0);
	assert_int_equal(mob_release(b), 0);
	assert_true(free_bytes() >= with + 2 * SIZE);
	/* The rows of all three, and what each was called with. */
	assert_int_equal(live_objects(), 6);
	assert_true(evicted(c));
	holds(c, SIZE / 8, 3, 2);
	assert_int_equal(ledger.at[RUNS], 2);
	assert_int_equal(ledger.at[OTHER], 2);
	assert_int_equal(ledger.at[LAST], 2);
}

/* What was put is not made again: so what depends on it does not go. */
static void test_lineage_put_arguments_are_kept_for_what_went(void **state)
{
	int64_t v[SIZE / 8];
	mob_ref x;
	mob_ref y;

	(void)state;
	fill(v, SIZE / 8, 4);
	x = mob_put(mob_i64s_of(v, SIZE / 8));
	y = mob_submit(l_next, ledger.path, RUNS, x);
	assert_true(evicted(y));
	assert_int_equal(mob_release(x), 0);
	assert_int_equal(mob_object_state(mobi_rt.store, x),
			 MOB_OBJECT_SEALED); /* y needs it */
	assert_true(is_gone(y));
	holds(y, SIZE / 8, 4, 1);
	assert_int_equal(runs(), 2);
	/* Not any more: it went with the end of that run. */
	until_ended(y);
	assert_false(goes(y));
	holds(y, SIZE / 8, 4, 1);
	assert_int_equal(runs(), 2);
}

/* Its own refs are others then, which is no other value. */
static void test_lineage_of_refs_is_made_again(void **state)
{
	mob_ref a = mob_submit(l_refs, ledger.path, 600);
	mob_ref b = mob_submit(l_of_refs, ledger.path, a);

	(void)state;
	until_ended(a);
	until_ended(b);
	assert_int_equal(mob_release(a), 0);
	assert_true(live_objects() < 20);
	assert_true(evicted(b));
	holds(b, 600, 1, 0);
	assert_int_equal(runs(), 2);
	assert_int_equal(ledger.at[OTHER], 2);
	assert_int_equal(mobi_load(&mobi_rt.sched->mismatches), 0);
}

static void test_lineage_of_several_results_only_what_is_gone(void **state)
{
	struct mob_ref r[3];
	struct mob_store *s = mobi_rt.store;

	(void)state;
	assert_int_equal(mob_submit_n(r, 3, l_several, ledger.path, 20), 0);
	for (int i = 0; i < 3; i++) {
		until_ended(r[i]);
	}
	assert_true(s->hooks->evict(s, r[1].lo, false));
	assert_int_equal(mob_release(r[0]), 0);
	holds(r[2], SIZE / 8, 22, 0);
	assert_int_equal(runs(), 1);
	holds(r[1], SIZE / 8, 21, 0);
	assert_int_equal(runs(), 2);
}

static void test_lineage_goes_with_the_last_result(void **state)
{
	mob_ref a = make(RUNS, 1, SIZE);
	mob_ref b = mob_submit(l_next, ledger.path, OTHER, a);

	(void)state;
	until_ended(b);
	until_ended(a);
	assert_int_equal(kept(), 2);
	assert_int_equal(mob_release(a), 0);
	assert_int_equal(kept(), 2);
	assert_int_equal(mob_release(b), 0);
	assert_int_equal(kept(), 0);
	assert_int_equal(live_objects(), 0);
}

/* A chain of any length goes without recursion. */
static void test_lineage_of_a_long_chain_goes_at_once(void **state)
{
	mob_ref r = make(RUNS, 2, 8192);

	(void)state;
	for (uint32_t i = 0; i < DEEP; i++) {
		mob_ref next = mob_submit(l_next, ledger.path, OTHER, r);

		assert_int_equal(mob_release(r), 0);
		r = next;
	}
	holds(r, 1024, 2, DEEP);
	until_ended(r);
	assert_int_equal(kept(), DEEP + 1);
	assert_int_equal(mob_release(r), 0);
	assert_int_equal(kept(), 0);
}

/* The whole chain runs again, from its beginning. */
static void test_lineage_of_a_chain_is_made_again(void **state)
{
	struct mob_ref r[11];

	(void)state;
	r[0] = make(RUNS, 6, SIZE);
	for (int i = 1; i <= 10; i++) {
		r[i] = mob_submit(l_next, ledger.path, OTHER, r[i - 1]);
	}
	until_ended(r[10]);
	for (int i = 0; i < 10; i++) {
		until_ended(r[i]);
		assert_int_equal(mob_release(r[i]), 0);
	}
	assert_true(evicted(r[10]));
	holds(r[10], SIZE / 8, 6, 10);
	assert_int_equal(ledger.at[RUNS], 2);
	assert_int_equal(ledger.at[OTHER], 20);
}

/* ---- what is not made again ---- */

static void test_lineage_of_a_task_that_runs_once_is_not_kept(void **state)
{
	mob_ref r = mob_submit_with(MOB_OPTS(.retries = 0), l_make, ledger.path,
				    RUNS, 1, (int64_t)SIZE);

	(void)state;
	until_ended(r);
	assert_int_equal(kept(), 0);
	assert_false(goes(r));
	holds(r, SIZE / 8, 1, 0);
	assert_int_equal(runs(), 1);
}

static void test_semantics_30_other_value_than_before_is_told(void **state)
{
	for (int64_t grows = 0; grows < 2; grows++) {
		uint32_t before = mobi_load(&mobi_rt.sched->mismatches);
		mob_ref r = mob_submit(l_other, ledger.path, grows);
		mob_i64s a;

		(void)state;
		assert_true(evicted(r));
		assert_int_equal(mob_get(r, &a), 0);
		assert_int_equal(mobi_load(&mobi_rt.sched->mismatches),
				 before + 1);
	}
}

/* ---- bounds ---- */

/* A session that keeps four records. */
static void test_lineage_is_bounded(void **state)
{
	struct mob_ref r[32];

	(void)state;
	for (int i = 0; i < 32; i++) {
		r[i] = make(RUNS, i, SIZE);
	}
	for (int i = 0; i < 32; i++) {
		until_ended(r[i]);
	}
	assert_int_equal(kept(), 4);
	assert_int_equal(mobi_load(&mobi_rt.sched->forgotten), 28);
	for (int i = 0; i < 32; i++) {
		assert_int_equal(mob_release(r[i]), 0);
	}
	assert_int_equal(kept(), 0);
}

/* What went for room is not forgotten for others. */
static void test_lineage_of_what_went_is_not_forgotten(void **state)
{
	mob_ref r = make(RUNS, 3, SIZE);

	(void)state;
	assert_true(evicted(r));
	for (int i = 0; i < 32; i++) {
		mob_ref other = make(OTHER, i, SIZE);

		until_ended(other);
	}
	assert_true(is_gone(r));
	holds(r, SIZE / 8, 3, 0);
	assert_int_equal(runs(), 2);
}

static void test_lineage_can_be_off(void **state)
{
	mob_ref r = make(RUNS, 3, SIZE);

	(void)state;
	until_ended(r);
	assert_int_equal(kept(), 0);
	assert_false(goes(r));
}

/* ---- sessions ---- */

static int start(void **state)
{
	(void)state;
	return start_with(STORE, NULL, NULL);
}

static int start_bounded(void **state)
{
	(void)state;
	return start_with(STORE, NULL, "4");
}

static int start_off(void **state)
{
	(void)state;
	return start_with(STORE, NULL, "0");
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_one, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_30_result_that_went_is_made_again),
		T(test_lineage_every_kind_of_wait_has_it_made),
		T(test_lineage_of_a_result_that_is_viewed_stays),
		T(test_lineage_that_finds_no_room_is_tried_again),
		T(test_lineage_more_than_fits_without_a_spill_directory),
		T(test_lineage_argument_that_went_is_made_before_the_task),
		T(test_lineage_argument_of_a_map_that_went_is_made_for_it),
		T(test_semantics_30_intermediate_results_are_made_again),
		T(test_lineage_put_arguments_are_kept_for_what_went),
		T(test_lineage_of_refs_is_made_again),
		T(test_lineage_of_several_results_only_what_is_gone),
		T(test_lineage_goes_with_the_last_result),
		T(test_lineage_of_a_long_chain_goes_at_once),
		T(test_lineage_of_a_chain_is_made_again),
		T(test_lineage_of_a_task_that_runs_once_is_not_kept),
		T(test_semantics_30_other_value_than_before_is_told),
	};
	const struct CMUnitTest bounded[] = {
		T(test_lineage_is_bounded),
		T(test_lineage_of_what_went_is_not_forgotten),
	};
	const struct CMUnitTest off[] = {
		T(test_lineage_can_be_off),
	};
	int failed = cmocka_run_group_tests(tests, start, leave);

	failed += cmocka_run_group_tests(bounded, start_bounded, leave);
	return failed + cmocka_run_group_tests(off, start_off, leave);
}
