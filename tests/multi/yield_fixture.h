/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of tasks that yield share. All of it is in this header, as there is no
 * declaration of a MOB_TASK_STREAM.
 */
#ifndef MOBI_TEST_YIELD_FIXTURE_H
#define MOBI_TEST_YIELD_FIXTURE_H

#include "live.h"

#include "os_run.h"

#include <signal.h>

enum { N_YIELDED = 0, N_RUNS = 1, N_OTHER = 2, WORDS = 8 };
static struct live_ledger ledger;

MOB_TASK_STREAM(int64_t, s_count, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		(void)mob_yield(i);
	}
}

/* Counts what it has yielded; fails with `code` (or kills its worker: -9) in its
 * first `times` runs after so many. */
MOB_TASK_STREAM(int64_t, s_noted, mob_str, path, int64_t, n, int64_t, fails_at,
		int32_t, code, uint64_t, times)
{
	uint64_t run = live_ledger_add(path, N_RUNS);

	for (int64_t i = 0; i < n; i++) {
		int rc;

		if (i == fails_at && run < times && code == -9) {
			(void)raise(SIGKILL);
		}
		if (i == fails_at && run < times) {
			mob_fail(code, "at item %d", (int)i);
			return;
		}
		rc = mob_yield(i);
		if (rc) {
			return;
		}
		(void)live_ledger_add(path, N_YIELDED);
	}
}

MOB_TASK_STREAM(mob_i64s, s_blocks, int64_t, n, uint64_t, each)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t *to = mob_new_of(mob_i64s, each);

		if (!to) {
			return;
		}
		for (uint64_t k = 0; k < each; k++) {
			to[k] = i;
		}
		if (mob_yield(mob_i64s_of(to, each))) {
			return;
		}
	}
}

MOB_TASK(int64_t, s_sum, mob_ref, in)
{
	int64_t sum = 0;
	int64_t x;

	while (mob_next(in, &x) == 1) {
		sum += x;
	}
	return sum;
}

/* A stream of what another yields. */
MOB_TASK_STREAM(int64_t, s_doubled, mob_ref, in)
{
	int64_t x;

	while (mob_next(in, &x) == 1) {
		(void)mob_yield(2 * x);
	}
}

/* Waits for `in`, so that it begins after that. */
MOB_TASK_STREAM(int64_t, s_later, int64_t, in, mob_str, path)
{
	(void)live_ledger_add(path, N_RUNS);
	(void)mob_yield(in);
}

MOB_TASK(int64_t, s_until_told, mob_str, path)
{
	while (!live_ledger_get(path, N_OTHER)) {
		mobi_pause_ns(MOB_MS / 10);
	}
	return 1;
}

static inline int64_t sum_to(int64_t n)
{
	return n * (n - 1) / 2;
}

/* Reads n items, which are 0, 1, ... from `first` on. */
static inline void reads(mob_ref stream, int64_t first, int64_t n)
{
	for (int64_t i = first; i < first + n; i++) {
		int64_t x = -1;
		int rc = mob_next(stream, &x);

		if (rc != 1) {
			fail_msg("item %d: %d: %s", (int)i, rc, mob_error());
		}
		assert_int_equal(x, i);
	}
}

static inline void ends(mob_ref stream)
{
	int64_t x = 7;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_next(stream, &x), 0);
		assert_int_equal(x, 0);
	}
}

/* A worker waits for something. */
static inline bool one_blocked(void *arg)
{
	(void)arg;
	for (uint32_t i = 0; i < mobi_rt.sched->max_places; i++) {
		if (mobi_load(&mobi_rt.sched->place[i].blocked)) {
			return true;
		}
	}
	return false;
}

#endif /* MOBI_TEST_YIELD_FIXTURE_H */
