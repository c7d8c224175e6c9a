/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results that went and find no room when they are made again: who waits for them is
 * told, however it waits, and has them when there is room.
 */
#include "live.h"

#include "gone.h"
#include "os_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB ((size_t)1 << 20)
/* More than a process keeps at hand when the store is full for others. */
#define COUNT (4 * MIB / 8)

enum { RUNS = 0, OPEN = 1, WORDS = 8 };
static struct live_ledger ledger;

MOB_TASK(mob_i64s, o_make, mob_str, path, int64_t, first)
{
	int64_t *p = mob_new_of(mob_i64s, COUNT);

	if (!p) {
		return mob_i64s_of(NULL, 0);
	}
	(void)live_ledger_add(path, RUNS);
	for (size_t i = 0; i < COUNT; i++) {
		p[i] = first + (int64_t)i;
	}
	return mob_i64s_of(p, COUNT);
}

/* A number, when it is let. */
MOB_TASK(int64_t, o_gate, mob_str, path)
{
	while (!live_ledger_get(path, OPEN)) {
		mobi_pause_ns(MOB_MS);
	}
	return 1;
}

static bool has_gone(void *arg)
{
	const mob_ref *r = arg;

	return mobi_rt.store->hooks->evict(mobi_rt.store, r->lo, false);
}

/* A result that has been made and went. */
static mob_ref gone(int64_t first)
{
	mob_ref r = mob_submit(o_make, ledger.path, first);

	assert_int_equal(mob_join(r), 0);
	assert_true(live_await(has_gone, &r));
	return r;
}

/* Views so much that there is no room for another. */
static void fill_store(void)
{
	static char other[MIB];
	mob_bytes b;

	while (mob_get(mob_put_bytes(other, MIB), &b) == 0) {
		assert_int_equal(b.n, MIB);
	}
	assert_int_equal(mob_error_code(), MOB_E_STORE_FULL);
	mob_error_clear();
}

/* The error names the object. */
static void is_full(int rc, mob_ref r)
{
	char name[40];

	assert_int_equal(rc, MOB_E_STORE_FULL);
	(void)snprintf(name, sizeof(name), "object %u went", (uint32_t)r.lo);
	assert_non_null(strstr(mob_error(), name));
	mob_error_clear();
	assert_int_equal(mob_object_state(mobi_rt.store, r),
			 MOB_OBJECT_PENDING);
}

static void is_there(mob_ref r, int64_t first)
{
	mob_i64s a;

	assert_int_equal(mob_get(r, &a), 0);
	assert_int_equal(a.n, COUNT);
	assert_int_equal(a.at[0], first);
	assert_int_equal(a.at[a.n - 1], first + (int64_t)a.n - 1);
}

static void test_semantics_30_get_all_is_told_of_no_room(void **state)
{
	static const int64_t few[3] = { 1, 2, 3 };
	mob_ref r[3];
	mob_i64s a[3];

	(void)state;
	r[0] = mob_put(mob_i64s_of(few, 3));
	r[1] = gone(2);
	r[2] = mob_put(mob_i64s_of(few, 3));
	MOB_SCOPE
	{
		fill_store();
		is_full(mob_get_all(r, 3, a), r[1]);
		/* And once more, as it is tried again. */
		is_full(mob_get_all(r, 3, a), r[1]);
	}
	assert_int_equal(mob_get_all(r, 3, a), 0);
	is_there(r[1], 2);
}

/* As many as are needed can come without room: that is waited for. */
static void test_semantics_30_wait_is_told_of_no_room(void **state)
{
	mob_ref r[2];
	bool ready[2];

	(void)state;
	r[0] = gone(2);
	r[1] = mob_submit(o_gate, ledger.path);
	MOB_SCOPE
	{
		fill_store();
		is_full(mob_wait(r, 2, 2, MOB_FOREVER, ready), r[0]);
		while (mobi_gone_tries(mobi_rt.store, r[0].lo) < 2) {
			assert_int_equal(
				mob_wait(r, 2, 1, 1200 * MOB_MS, ready), 0);
		}
		ledger.at[OPEN] = 1;
		assert_int_equal(mob_wait(r, 2, 1, MOB_FOREVER, ready), 1);
		assert_false(ready[0]);
		assert_true(ready[1]);
	}
	assert_int_equal(mob_wait(r, 2, 2, MOB_FOREVER, ready), 2);
	is_there(r[0], 2);
}

/* The queue has been told of one try behind `since`. It is told once of each, though it
 * looks several times between two: those come later and later, so that in the end it is
 * told of nothing while it looks twice. */
static void is_told_once_each(struct mob_queue *q, mob_ref r, uint32_t since)
{
	uint32_t told = 1;
	int quiet = 0;

	while (quiet < 3) {
		mob_ref got;
		int rc = mob_queue_pop(q, 500 * MOB_MS, &got, NULL);
		uint32_t tries = mobi_gone_tries(mobi_rt.store, r.lo) - since;

		if (rc == MOB_E_TIMEOUT) {
			quiet++;
			continue;
		}
		is_full(rc, r);
		if (++told > tries) {
			fail_msg("told %u times of %u tries", told, tries);
		}
	}
}

static void test_semantics_30_queue_is_told_of_no_room(void **state)
{
	struct mob_queue *q;
	mob_ref r[2];
	mob_ref got;
	uint64_t tag = 0;
	uint32_t since;

	(void)state;
	r[0] = gone(2);
	r[1] = mob_submit(o_gate, ledger.path);
	assert_int_equal(mob_queue_open(&q), 0);
	MOB_SCOPE
	{
		fill_store();
		assert_int_equal(mob_queue_add(q, r[0], 7), 0);
		assert_int_equal(mob_queue_add(q, r[1], 8), 0);
		/* The other may come. */
		do {
			assert_int_equal(mob_queue_pop(q, 300 * MOB_MS, &got,
						       &tag),
					 MOB_E_TIMEOUT);
		} while (mobi_gone_tries(mobi_rt.store, r[0].lo) < 2);
		ledger.at[OPEN] = 1;
		assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &got, &tag), 1);
		assert_int_equal(tag, 8);
		/* Nothing else can. It stays in the queue, and is told once. */
		since = mobi_gone_tries(mobi_rt.store, r[0].lo) - 1;
		is_full(mob_queue_pop(q, MOB_FOREVER, &got, &tag), r[0]);
		assert_int_equal(mob_queue_outstanding(q), 1);
		is_told_once_each(q, r[0], since);
	}
	assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &got, &tag), 1);
	assert_int_equal(tag, 7);
	mob_queue_close(q);
	is_there(got, 2);
}

/* It is no kill for lack of memory, whose limit is 0 here. */
static void test_semantics_30_no_room_is_not_charged(void **state)
{
	mob_ref r = gone(2);
	mob_i64s a;

	(void)state;
	MOB_SCOPE
	{
		fill_store();
		is_full(mob_get(r, &a), r);
	}
	is_there(r, 2);
	assert_int_equal(ledger.at[RUNS], 2);
}

static int start(void **state)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;

	(void)state;
	opts.workers = 2;
	opts.store_bytes = 32 << 20;
	if (setenv("MOBULA_MEMORY_RETRIES", "0", 1) || mob_init(&opts) < 0) {
		(void)fprintf(stderr, "mob_init: %s\n", mob_error());
		return -1;
	}
	live_ledger_open(&ledger, WORDS);
	return 0;
}

static int leave(void **state)
{
	(void)state;
	live_ledger_close(&ledger);
	mob_shutdown();
	return unsetenv("MOBULA_MEMORY_RETRIES");
}

static int open_one(void **state)
{
	for (size_t i = 0; i < WORDS; i++) {
		ledger.at[i] = 0;
	}
	return live_open(state);
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_one, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_30_get_all_is_told_of_no_room),
		T(test_semantics_30_wait_is_told_of_no_room),
		T(test_semantics_30_queue_is_told_of_no_room),
		T(test_semantics_30_no_room_is_not_charged),
	};

	return cmocka_run_group_tests(tests, start, leave);
}
