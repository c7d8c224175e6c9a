/* SPDX-License-Identifier: Apache-2.0 */
/* Maps whose workers die, and maps that are closed or cancelled before their end. */
#include "map_fixture.h"

#include "os_run.h"

#include <signal.h>
#include <stdlib.h>

#define MANY 1000

/* Words of the ledger. */
enum { STARTED, ENDED, DIED, WORDS = 8 };
static struct live_ledger ledger;

MOB_TASK(int64_t, f_square, int64_t, x)
{
	return x * x;
}

/* Kills its worker whenever it gets to `bad`; counts what it does. */
MOB_TASK(int64_t, f_dies, mob_str, path, int64_t, x, int64_t, bad)
{
	(void)live_ledger_add(path, STARTED);
	if (x == bad) {
		(void)live_ledger_add(path, DIED);
		(void)raise(SIGKILL);
	}
	return x * x;
}

/* Kills its worker at every 50th call, the first time. */
MOB_TASK(int64_t, f_dies_at_times, mob_str, path, int64_t, x)
{
	(void)live_ledger_add(path, STARTED);
	if (x % 50 == 25 && live_ledger_add(path, WORDS + (uint64_t)x) == 0) {
		(void)live_ledger_add(path, DIED);
		(void)raise(SIGKILL);
	}
	return x * x;
}

MOB_TASK(int64_t, f_heeds, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, ENDED);
	return 1;
}

/* ---- deaths ---- */

/* Workers die again and again: each result is there once, at its place. */
static void survives_deaths(uint32_t flags, uint32_t chunk)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_task_opts t = MOB_OPTS(.retries = -1);
	unsigned char *seen = calloc(1, MANY);
	int64_t *xs = numbers(MANY);
	struct mob_map *m;
	const char **path;
	uint64_t n = 0;
	int64_t y;

	live_ledger_open(&ledger, WORDS + MANY);
	path = same(ledger.path, MANY);
	o.flags = flags;
	o.chunk = chunk;
	o.task = &t;
	m = map_with(o);
	(void)mob_map_over(m, f_dies_at_times, MANY, path, xs);
	for (; mob_map_next(m, &y) > 0; n++) {
		uint64_t i = mob_map_index(m);

		assert_true(i < MANY);
		assert_int_equal(y, i * i);
		assert_int_equal(seen[i]++, 0);
		assert_true(flags || i == n);
	}
	assert_int_equal(n, MANY);
	assert_int_equal(ledger.at[DIED], MANY / 50);
	assert_true(ledger.at[STARTED] >= MANY + ledger.at[DIED]);
	mob_map_close(m);
	live_ledger_close(&ledger);
	free(path);
	free(xs);
	free(seen);
}

static void test_map_survives_deaths_of_workers(void **state)
{
	(void)state;
	survives_deaths(0, 0);
	survives_deaths(0, 20);
	survives_deaths(MOB_MAP_UNORDERED, 20);
}

/* A call that always kills its worker is found, and the others are not lost. */
static void finds_the_bad(uint32_t flags, uint32_t chunk, int32_t retries,
			  uint64_t deaths)
{
	enum { N = 100, BAD = 37 };
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_task_opts t = MOB_OPTS(.retries = retries);
	int64_t *xs = numbers(N);
	int64_t bad[N];
	bool seen[N] = { false };
	struct mob_map *m;
	const char **path;
	int64_t y;
	int rc;

	live_ledger_open(&ledger, WORDS);
	path = same(ledger.path, N);
	for (int i = 0; i < N; i++) {
		bad[i] = BAD;
	}
	o.flags = flags;
	o.chunk = chunk;
	o.task = &t;
	m = map_with(o);
	(void)mob_map_over(m, f_dies, N, path, xs, bad);
	while ((rc = mob_map_next(m, &y)) != 0) {
		uint64_t i = mob_map_index(m);

		assert_int_equal(rc, i == BAD ? MOB_E_CRASHED : 1);
		assert_false(seen[i]);
		seen[i] = true;
		if (rc < 0) {
			live_pends(MOB_E_CRASHED, "f_dies");
		} else {
			assert_int_equal(y, i * i);
		}
	}
	for (int i = 0; i < N; i++) {
		assert_true(seen[i]);
	}
	assert_int_equal(ledger.at[DIED], deaths);
	mob_map_close(m);
	live_ledger_close(&ledger);
	free(path);
	free(xs);
}

static void test_map_call_that_crashes_is_found(void **state)
{
	(void)state;
	/* Alone: as often as it may. */
	finds_the_bad(0, 1, 1, 2);
	/* 16 calls: twice; halves of 8, 4 and 2: once each; alone: twice. */
	finds_the_bad(0, 16, 1, 2 + 3 + 2);
	finds_the_bad(MOB_MAP_UNORDERED, 16, 1, 2 + 3 + 2);
}

/* No call is run twice then: all of the chunk have the error. */
static void test_map_without_retries_runs_nothing_twice(void **state)
{
	enum { N = 64 };
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_task_opts t = MOB_OPTS(.retries = 0);
	int64_t *xs = numbers(N);
	int64_t bad[N];
	struct mob_map *m;
	const char **path;
	int failed = 0;
	int64_t y;
	int rc;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	path = same(ledger.path, N);
	for (int i = 0; i < N; i++) {
		bad[i] = 40;
	}
	o.chunk = 8;
	o.task = &t;
	m = map_with(o);
	(void)mob_map_over(m, f_dies, N, path, xs, bad);
	while ((rc = mob_map_next(m, &y)) != 0) {
		failed += rc == MOB_E_CRASHED;
		mob_error_clear();
	}
	assert_int_equal(failed, 8);
	assert_int_equal(ledger.at[DIED], 1);
	assert_true(ledger.at[STARTED] <= N);
	mob_map_close(m);
	live_ledger_close(&ledger);
	free(path);
	free(xs);
}

/* A worker dies from outside in the middle of a map that it opened in a task. */
MOB_TASK(int64_t, f_nested, mob_str, path, int64_t, n)
{
	bool first = live_ledger_add(path, STARTED) == 0;
	struct mob_map *m;
	int64_t sum = 0;
	int64_t y;

	if (mob_map_open(NULL, &m)) {
		return 0;
	}
	for (int64_t i = 0; i < n; i++) {
		while (!mob_map_room(m) && mob_map_next(m, &y) > 0) {
			sum += y;
		}
		(void)mob_map_add(m, f_square, i);
		if (first && i == n / 2) { /* with this call in flight */
			(void)raise(SIGKILL);
		}
	}
	while (mob_map_next(m, &y) > 0) {
		sum += y;
	}
	mob_map_close(m);
	return sum;
}

static void test_map_dies_with_its_task_and_is_run_again(void **state)
{
	int64_t y;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	assert_int_equal(mob_get(mob_submit(f_nested, ledger.path, 1000), &y),
			 0);
	assert_int_equal(y, 999 * 1000 / 2 * 1999 / 3);
	assert_int_equal(ledger.at[STARTED], 2);
	live_ledger_close(&ledger);
}

/* ---- closing ---- */

static void closes_early(uint32_t flags, uint32_t chunk)
{
	struct mob_map_opts o = MOB_MAP_OPTS_INIT;
	struct mob_map *m;
	const char **path;
	int64_t y;

	live_ledger_open(&ledger, WORDS);
	path = same(ledger.path, 100);
	o.flags = flags;
	o.chunk = chunk;
	o.window = 100;
	m = map_with(o);
	(void)mob_map_add(m, f_square, 1);
	assert_int_equal(mob_map_next(m, &y), 1);
	(void)mob_map_over(m, f_heeds, 100, path);
	assert_int_equal(mob_map_next_timeout(m, 0, &y), MOB_E_TIMEOUT);
	assert_true(live_ledger_await(&ledger, STARTED, 1));
	mob_map_close(m);
	/* What runs is told, and what has not begun never does. */
	assert_int_equal(live_audit(0), 0);
	assert_int_equal(ledger.at[STARTED], ledger.at[ENDED]);
	assert_true(ledger.at[STARTED] <= 2);
	live_ledger_close(&ledger);
	free(path);
}

static void test_map_closed_early_cancels_and_frees(void **state)
{
	struct mob_map *m;
	int64_t *xs = numbers(MANY);
	int64_t y;

	(void)state;
	closes_early(0, 1);
	closes_early(0, 20);
	closes_early(MOB_MAP_UNORDERED, 5);
	/* In the middle of a chunk; with calls that were not handed over. */
	m = map_new();
	(void)mob_map_over(m, f_square, MANY, xs);
	for (int i = 0; i < MANY / 2; i++) {
		assert_int_equal(mob_map_next(m, &y), 1);
	}
	mob_map_close(m);
	assert_int_equal(live_audit(0), 0);
	m = map_new();
	for (int i = 0; i < 20; i++) {
		(void)mob_map_add(m, f_square, mob_put((int64_t)i));
		assert_int_equal(mob_map_next(m, &y), 1);
	}
	(void)mob_map_add(m, f_square, 7);
	mob_map_close(m);
	mob_map_close(NULL);
	free(xs);
}

/* In a task that is cancelled the map ends. */
MOB_TASK(int64_t, f_maps_for_ever, mob_str, path)
{
	struct mob_map *m;
	int64_t y;
	int rc;

	if (mob_map_open(NULL, &m)) {
		return 0;
	}
	do {
		(void)mob_map_add(m, f_heeds, path);
		rc = mob_map_next(m, &y);
	} while (rc > 0);
	if (rc == MOB_E_CANCELLED && mob_map_step(m) == 0) {
		(void)live_ledger_add(path, DIED);
	}
	mob_map_close(m);
	return 0;
}

static void test_map_ends_when_its_task_is_cancelled(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	r = mob_submit(f_maps_for_ever, ledger.path);
	assert_true(live_ledger_await(&ledger, STARTED, 1));
	assert_int_equal(mob_task_cancel(r, 0), 1);
	assert_int_equal(mob_join(r), MOB_E_CANCELLED);
	mob_error_clear();
	assert_int_equal(live_audit(1), 0);
	assert_int_equal(ledger.at[DIED], 1);
	live_ledger_close(&ledger);
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(test_map_##name, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(survives_deaths_of_workers),
		T(call_that_crashes_is_found),
		T(without_retries_runs_nothing_twice),
		T(dies_with_its_task_and_is_run_again),
		T(closed_early_cancels_and_frees),
		T(ends_when_its_task_is_cancelled),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
