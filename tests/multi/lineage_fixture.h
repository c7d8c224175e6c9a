/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of lineage share: tasks that count their runs, results that are what
 * they have to be, and sessions.
 */
#ifndef MOBI_TEST_LINEAGE_FIXTURE_H
#define MOBI_TEST_LINEAGE_FIXTURE_H

#include "live.h"

#include "gone.h"
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>

#define SIZE ((size_t)64 << 10)
#define STORE ((uint64_t)64 << 20)

/* Rows of the ledger. */
enum { RUNS = 0, OTHER = 8, LAST = 64, WORDS = 1024 };
static struct live_ledger ledger;

/* Numbers that do not compress, from `first` on. */
static inline void fill(int64_t *p, size_t n, int64_t first)
{
	uint64_t x = (uint64_t)first * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (int64_t)x;
	}
}

MOB_TASK(mob_i64s, l_make, mob_str, path, int64_t, row, int64_t, first, int64_t,
	 bytes)
{
	size_t n = (size_t)bytes / 8;
	int64_t *p = mob_new_of(mob_i64s, n);

	if (!p) {
		return mob_i64s_of(NULL, 0);
	}
	(void)live_ledger_add(path, (uint64_t)row);
	fill(p, n, first);
	return mob_i64s_of(p, n);
}

/* One more than each of a. */
MOB_TASK(mob_i64s, l_next, mob_str, path, int64_t, row, mob_i64s, a)
{
	int64_t *p = mob_new_of(mob_i64s, a.n);

	if (!p) {
		return mob_i64s_of(NULL, 0);
	}
	(void)live_ledger_add(path, (uint64_t)row);
	for (size_t i = 0; i < a.n; i++) {
		p[i] = (int64_t)((uint64_t)a.at[i] + 1);
	}
	return mob_i64s_of(p, a.n);
}

static inline struct mobi_slot *slot_of(mob_ref r)
{
	return &mobi_rt.store->slots[(uint32_t)r.lo];
}

static inline bool is_ended(void *arg)
{
	const mob_ref *r = arg;
	uint64_t producer = mobi_load(&slot_of(*r)->producer);
	uint64_t w =
		mobi_load(&mobi_rt.store->recs[(uint32_t)producer - 1].word);

	return MOBI_GEN(w) != MOBI_GEN(producer) ||
	       (MOBI_STATE(w) == MOBI_R_KEPT && !MOBI_ROWNER(w));
}

/* Its value is there, and its task is over. */
static inline void until_ended(mob_ref r)
{
	assert_int_equal(mob_get_raw(r, NULL, MOB_FOREVER, NULL), 0);
	assert_true(live_await(is_ended, &r));
}

static inline void holds(mob_ref r, size_t n, int64_t first, int64_t more)
{
	int64_t *want = malloc(n * sizeof(*want));
	struct mob_view v;

	assert_non_null(want);
	if (mob_object_get(mobi_rt.store, r, MOB_FOREVER, &v)) {
		fail_msg("%s", mob_err_detail(MOB_E_LOST));
	}
	assert_int_equal(v.size, n * sizeof(*want));
	fill(want, n, first);
	for (size_t i = 0; i < n; i++) {
		want[i] = (int64_t)((uint64_t)want[i] + (uint64_t)more);
	}
	assert_memory_equal(v.at, want, n * sizeof(*want));
	mob_view_release(mobi_rt.store, &v);
	free(want);
}

static inline void fails(mob_ref r, int code, const char *part)
{
	mob_i64s a;

	assert_int_equal(mob_get(r, &a), code);
	live_pends(code, part);
}

static inline uint64_t runs(void)
{
	return ledger.at[RUNS];
}

static inline mob_ref make(int64_t row, int64_t first, size_t bytes)
{
	return mob_submit(l_make, ledger.path, row, first, (int64_t)bytes);
}

/* Set-up of a group. lineage: MOBULA_LINEAGE. */
static inline int start_with(uint64_t bytes, const char *dir,
			     const char *lineage)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;

	opts.workers = 2;
	opts.store_bytes = bytes;
	opts.spill_dir = dir;
	opts.resources = "gpu:1";
	if ((lineage && setenv("MOBULA_LINEAGE", lineage, 1)) ||
	    mob_init(&opts) < 0) {
		(void)fprintf(stderr, "mob_init: %s\n", mob_error());
		return -1;
	}
	live_ledger_open(&ledger, WORDS);
	return 0;
}

static inline int leave(void **state)
{
	(void)state;
	live_ledger_close(&ledger);
	mob_shutdown();
	return unsetenv("MOBULA_LINEAGE");
}

/* Nothing is counted yet. */
static inline int open_one(void **state)
{
	for (size_t i = 0; i < WORDS; i++) {
		ledger.at[i] = 0;
	}
	mobi_store(&mobi_rt.sched->forgotten, UINT64_C(0));
	return live_open(state);
}

#endif /* MOBI_TEST_LINEAGE_FIXTURE_H */
