/* SPDX-License-Identifier: Apache-2.0 */
/* Spilled arguments are read ahead of the task that needs them. */
#include "live.h"

#include "fault.h"
#include "os_file.h"
#include "slot.h"
#include "spill.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE ((size_t)64 << 10)
#define OBJECTS 4u
#define LISTED 200u /* refs that do not fit into the record of a task */
#define LEAVES 400u

enum { INSIDE = 0, OPEN = 1, WORDS = 16 };
static struct live_ledger ledger;
static struct mob_ref spilled[OBJECTS];
static int64_t sums[OBJECTS];

/* ---- tasks ---- */

/* Says that it runs, and runs until it is let go. */
MOB_TASK(int64_t, p_gate, mob_str, path, int64_t, n)
{
	(void)live_ledger_add(path, INSIDE);
	while (live_ledger_get(path, OPEN) < (uint64_t)n) {
		(void)sched_yield();
	}
	return n;
}

static int64_t sum_of(mob_bytes b)
{
	const unsigned char *p = b.at;
	int64_t sum = 0;

	for (size_t i = 0; i < b.n; i++) {
		sum += p[i];
	}
	return sum;
}

MOB_TASK(int64_t, p_sum, int64_t, before, mob_bytes, b)
{
	return before + sum_of(b);
}

MOB_TASK(int64_t, p_sum3, mob_bytes, a, mob_bytes, b, mob_bytes, c)
{
	return sum_of(a) + sum_of(b) + sum_of(c);
}

MOB_TASK(int64_t, p_list, mob_args, list)
{
	mob_bytes last;

	return mob_args_get(list, list.n - 1, &last) ? -1 : sum_of(last);
}

MOB_TASK(int64_t, p_leaf, int64_t, n)
{
	return n;
}

/* ---- what the driver sees ---- */

static int64_t sum_at(uint32_t i)
{
	return sums[i];
}

static uint64_t prefetches(void)
{
	struct mob_store_stat st;

	return mob_store_stat(mobi_rt.store, &st) < 0 ? UINT64_MAX :
							st.prefetches;
}

static bool is_spilled(struct mob_ref r)
{
	return mobi_load(&mobi_rt.store->slots[(uint32_t)r.lo].word) &
	       MOBI_F_SPILL;
}

static bool has_prefetched(void *arg)
{
	const uint64_t *n = arg;

	return prefetches() >= *n;
}

static void until_inside(uint64_t n)
{
	assert_true(live_ledger_await(&ledger, INSIDE, n));
}

static void ends_with(mob_ref r, int64_t want)
{
	int64_t x;

	if (mob_take(r, &x)) {
		fail_msg("%s", mob_error());
	}
	assert_int_equal(x, want);
}

/* ---- tests ---- */

/* What is queued behind the task that runs. */
static void test_prefetch_of_the_next_task_while_one_runs(void **state)
{
	mob_ref hold = mob_submit(p_gate, ledger.path, 1);
	uint64_t before;
	uint64_t want;
	mob_ref gate;
	mob_ref next;

	(void)state;
	until_inside(1);
	before = prefetches();
	gate = mob_submit(p_gate, ledger.path, 2);
	next = mob_submit(p_sum, 5, spilled[0]);
	ledger.at[OPEN] = 1;
	until_inside(2);
	want = before + 1;
	assert_true(live_await(has_prefetched, &want));
	/* It began while the gate runs, and took no room. */
	assert_true(is_spilled(spilled[0]));
	assert_int_equal(ledger.at[OPEN], 1);
	ledger.at[OPEN] = 2;
	ends_with(hold, 1);
	ends_with(gate, 2);
	ends_with(next, 5 + sum_at(0));
	assert_false(is_spilled(spilled[0]));
}

/* What waits for the result of the task that runs. */
static void test_prefetch_of_a_task_that_waits_for_this_one(void **state)
{
	mob_ref hold = mob_submit(p_gate, ledger.path, 1);
	uint64_t before;
	uint64_t want;
	mob_ref first;
	mob_ref second;

	(void)state;
	until_inside(1);
	before = prefetches();
	first = mob_submit(p_gate, ledger.path, 2);
	second = mob_submit(p_sum, first, spilled[0]);
	ledger.at[OPEN] = 1;
	until_inside(2);
	want = before + 1;
	assert_true(live_await(has_prefetched, &want));
	assert_true(is_spilled(spilled[0]));
	ledger.at[OPEN] = 2;
	ends_with(hold, 1);
	ends_with(second, 2 + sum_at(0));
	assert_int_equal(mob_release(first), 0);
}

static void test_prefetch_of_all_arguments_at_once(void **state)
{
	uint64_t before = prefetches();

	(void)state;
	ends_with(mob_submit(p_sum3, spilled[0], spilled[1], spilled[2]),
		  sum_at(0) + sum_at(1) + sum_at(2));
	assert_int_equal(prefetches() - before, 3);
}

static void test_prefetch_of_refs_that_are_got_together(void **state)
{
	uint64_t before = prefetches();
	mob_bytes got[OBJECTS];

	(void)state;
	assert_int_equal(mob_get_all(spilled, OBJECTS, got), 0);
	assert_int_equal(prefetches() - before, OBJECTS);
	for (uint32_t i = 0; i < OBJECTS; i++) {
		assert_int_equal(sum_of(got[i]), sum_at(i));
	}
}

/* Leaves, and a gate after them, that a task with all spilled objects waits for. */
static void submit_fan_in(mob_ref leaf[LEAVES + 1], mob_ref *out_joined)
{
	struct mob_ref list[LEAVES + 1 + OBJECTS];

	for (uint32_t i = 0; i < LEAVES; i++) {
		leaf[i] = mob_submit(p_leaf, i);
	}
	leaf[LEAVES] = mob_submit(p_gate, ledger.path, 2);
	memcpy(list, leaf, (LEAVES + 1) * sizeof(*leaf));
	memcpy(list + LEAVES + 1, spilled, sizeof(spilled));
	*out_joined = mob_submit(p_list,
				 mob_args_of(list, LEAVES + 1 + OBJECTS));
}

/* Once for the worker that comes near to the task, and once for the task. */
static void test_prefetch_of_a_fan_in_is_not_done_by_each_leaf(void **state)
{
	mob_ref hold = mob_submit(p_gate, ledger.path, 1);
	mob_ref leaf[LEAVES + 1];
	uint64_t before = prefetches();
	uint64_t want = before + OBJECTS;
	mob_ref joined;

	(void)state;
	until_inside(1);
	submit_fan_in(leaf, &joined);
	ledger.at[OPEN] = 1;
	until_inside(2);
	/* While the last that it waits for runs. */
	assert_true(live_await(has_prefetched, &want));
	ledger.at[OPEN] = 2;
	ends_with(hold, 1);
	ends_with(joined, sum_at(OBJECTS - 1));
	print_message("%u objects, %u leaves: %llu times read ahead\n", OBJECTS,
		      LEAVES, (unsigned long long)(prefetches() - before));
	assert_true(prefetches() - before <= 2 * OBJECTS);
	for (uint32_t i = 0; i <= LEAVES; i++) {
		assert_int_equal(mob_release(leaf[i]), 0);
	}
}

/* In a session whose bound is that of one object and a half. */
static void test_prefetch_is_bounded_and_can_be_off(void **state)
{
	const char *bound = getenv("MOBULA_PREFETCH_BYTES");

	(void)state;
	ends_with(mob_submit(p_sum3, spilled[0], spilled[1], spilled[2]),
		  sum_at(0) + sum_at(1) + sum_at(2));
	assert_int_equal(prefetches(), strcmp(bound, "0") ? 1 : 0);
}

static void test_prefetch_of_refs_got_together_is_bounded_too(void **state)
{
	const char *bound = getenv("MOBULA_PREFETCH_BYTES");
	uint64_t before = prefetches();
	mob_bytes got[OBJECTS];

	(void)state;
	/* One at a time fits: each is begun when it is the next. */
	assert_int_equal(mob_get_all(spilled, OBJECTS, got), 0);
	assert_int_equal(prefetches() - before,
			 strcmp(bound, "0") ? OBJECTS : 0);
	for (uint32_t i = 0; i < OBJECTS; i++) {
		assert_int_equal(sum_of(got[i]), sum_at(i));
	}
}

/* Each worker dies at the second file that it reads ahead, with a hold of the
 * list of arguments. */
static void test_prefetch_killed_leaves_nothing(void **state)
{
	struct mob_ref list[LISTED];
	int first = live_worker(0);

	(void)state;
	for (uint32_t i = 0; i + 1 < LISTED; i++) {
		list[i] = mob_put((int64_t)i);
	}
	for (uint32_t i = 0; i < OBJECTS; i++) {
		struct mob_task_opts o = MOB_TASK_OPTS_INIT;

		o.retries = 3;
		list[LISTED - 1] = spilled[i];
		ends_with(mob_submit_with(o, p_list, mob_args_of(list, LISTED)),
			  sum_at(i));
	}
	assert_int_not_equal(live_worker(0), first);
}

/* ---- sessions ---- */

static const char *spill_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir == '/' ? dir : "/var/tmp";
}

static int open_spilled(void **state)
{
	static unsigned char bytes[SIZE];
	uint64_t x = 88172645463325252;

	if (live_open(state)) {
		return -1;
	}
	ledger.at[INSIDE] = 0;
	ledger.at[OPEN] = 0;
	for (uint32_t i = 0; i < OBJECTS; i++) {
		/* A file has as many bytes as its object: these do not shrink. */
		sums[i] = 0;
		for (size_t k = 0; k < SIZE; k++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			bytes[k] = (unsigned char)x;
			sums[i] += bytes[k];
		}
		assert_int_equal(mob_object_put(mobi_rt.store, bytes, SIZE,
						MOB_TYPE_BYTES, &spilled[i]),
				 0);
	}
	assert_int_equal(mobi_spill_some(mobi_rt.store, OBJECTS * SIZE),
			 OBJECTS);
	return 0;
}

static int close_spilled(void **state)
{
	/* Views of them are the scope's. */
	for (uint32_t i = 0; i < OBJECTS; i++) {
		(void)mob_object_release(mobi_rt.store, spilled[i]);
	}
	return live_clean(state);
}

static int start(void **state)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;

	(void)state;
	opts.workers = 1;
	opts.store_bytes = 64 << 20;
	opts.spill_dir = spill_dir();
	if (mob_init(&opts) < 0) {
		(void)fprintf(stderr, "mob_init: %s\n", mob_error());
		return -1;
	}
	live_ledger_open(&ledger, WORDS);
	return 0;
}

static int start_bounded(void **state)
{
	return setenv("MOBULA_PREFETCH_BYTES", "96K", 1) || start(state);
}

static int start_off(void **state)
{
	return setenv("MOBULA_PREFETCH_BYTES", "0", 1) || start(state);
}

static int start_killed(void **state)
{
	return setenv("MOBULA_FAULT", "spill.prefetch=kill@2", 1) ||
	       start(state);
}

static int leave(void **state)
{
	(void)state;
	live_ledger_close(&ledger);
	mob_shutdown();
	return unsetenv("MOBULA_PREFETCH_BYTES") || unsetenv("MOBULA_FAULT");
}

#define T(test)                                                                \
	cmocka_unit_test_setup_teardown(test, open_spilled, close_spilled)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_prefetch_of_the_next_task_while_one_runs),
		T(test_prefetch_of_a_task_that_waits_for_this_one),
		T(test_prefetch_of_all_arguments_at_once),
		T(test_prefetch_of_refs_that_are_got_together),
		T(test_prefetch_of_a_fan_in_is_not_done_by_each_leaf),
	};
	const struct CMUnitTest bounded[] = {
		T(test_prefetch_is_bounded_and_can_be_off),
		T(test_prefetch_of_refs_got_together_is_bounded_too),
	};
	const struct CMUnitTest killed[] = {
		T(test_prefetch_killed_leaves_nothing),
	};
	int failed;

	if (mobi_dir_in_memory(spill_dir())) {
		(void)fprintf(stderr, "skipped: %s is in memory\n",
			      spill_dir());
		return 77;
	}
#ifdef MOB_FAILPOINTS
	mobi_fault_arm(""); /* this process lives */
#endif
	failed = cmocka_run_group_tests(tests, start, leave);
	failed += cmocka_run_group_tests(bounded, start_bounded, leave);
	failed += cmocka_run_group_tests(bounded, start_off, leave);
#ifdef MOB_FAILPOINTS
	failed += cmocka_run_group_tests(killed, start_killed, leave);
#else
	(void)killed;
	(void)start_killed;
#endif
	return failed;
}
