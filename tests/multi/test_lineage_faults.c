/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results that are lost with the files they were in are made again, and what makes
 * them again survives kills at each step.
 */
#include "lineage_fixture.h"

#include "os_file.h"
#include "spill.h"
#include "spill_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

/* Turns a bit of its file. */
static void damage(mob_ref r)
{
	char name[MOBI_SPILL_NAME];
	struct stat st;
	unsigned char c;
	int fd;

	assert_true(mobi_load(&slot_of(r)->word) & MOBI_F_SPILL);
	mobi_spill_name(name, r.lo);
	fd = openat(mobi_rt.store->spill_fd, name, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &c, 1, st.st_size / 2), 1);
	c ^= 4;
	assert_int_equal(pwrite(fd, &c, 1, st.st_size / 2), 1);
	assert_int_equal(close(fd), 0);
}

static void spill(mob_ref r)
{
	while (!(mobi_load(&slot_of(r)->word) & MOBI_F_SPILL)) {
		assert_true(mobi_spill_some(mobi_rt.store, 1) > 0);
	}
}

static void test_semantics_30_damaged_file_is_made_again(void **state)
{
	mob_ref r = make(RUNS, 8, SIZE);

	(void)state;
	until_ended(r);
	spill(r);
	damage(r);
	holds(r, SIZE / 8, 8, 0);
	assert_int_equal(runs(), 2);
}

/* A process that has no descriptor left reads it another time. */
static void test_lineage_file_that_is_whole_is_not_lost(void **state)
{
	mob_ref r = make(RUNS, 8, SIZE);
	struct rlimit was;
	struct rlimit none;
	struct mob_view v;

	(void)state;
	until_ended(r);
	spill(r);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_true(mob_object_get(mobi_rt.store, r, MOB_FOREVER, &v) < 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	holds(r, SIZE / 8, 8, 0);
	assert_int_equal(runs(), 1);
}

/* With its argument, of which only the lineage is left. */
static void test_semantics_30_damaged_file_after_its_argument_went(void **state)
{
	mob_ref a = make(RUNS, 8, SIZE);
	mob_ref b = mob_submit(l_next, ledger.path, OTHER, a);

	(void)state;
	until_ended(a);
	until_ended(b);
	assert_int_equal(mob_release(a), 0);
	spill(b);
	damage(b);
	holds(b, SIZE / 8, 8, 1);
	assert_int_equal(runs(), 2);
	assert_int_equal(ledger.at[OTHER], 2);
}

static void test_semantics_30_put_objects_are_not_made_again(void **state)
{
	int64_t v[SIZE / 8];
	mob_ref x;
	mob_ref y;

	(void)state;
	fill(v, SIZE / 8, 4);
	x = mob_put(mob_i64s_of(v, SIZE / 8));
	spill(x);
	damage(x);
	fails(x, MOB_E_CORRUPT, "");
	assert_int_equal(mob_release(x), 0);
	x = mob_put(mob_i64s_of(v, SIZE / 8));
	y = mob_submit(l_next, ledger.path, RUNS, x);
	until_ended(y);
	assert_int_equal(mob_release(x), 0);
	spill(y);
	damage(y);
	fails(y, MOB_E_LOST, "no task made it");
	assert_int_equal(runs(), 1);
}

/* ---- kills ---- */

/* Reads more than fits, again and again; every value is right. */
static void read_all(uint32_t n, bool kill_some, uint64_t *seed)
{
	size_t len = ((size_t)1 << 20) / 8;
	mob_ref *r = calloc(n, sizeof(*r));

	assert_non_null(r);
	for (uint32_t i = 0; i < n; i++) {
		mob_ref a = mob_submit_with(MOB_OPTS(.retries = -1), l_make,
					    ledger.path, i, i,
					    (int64_t)len * 8);

		r[i] = mob_submit_with(MOB_OPTS(.retries = -1), l_next,
				       ledger.path, n + i, a);
		assert_int_equal(mob_release(a), 0);
	}
	for (uint32_t k = 0; k < 2 * n; k++) {
		uint32_t i = (uint32_t)(live_random(seed) % n);
		int pid = kill_some && k % 4 == 0 ? live_worker(0) : 0;

		if (pid) {
			(void)kill(pid, SIGKILL);
		}
		holds(r[i], len, i, 1);
	}
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(mob_release(r[i]), 0);
	}
	free(r);
}

static void test_lineage_survives_kills_of_workers(void **state)
{
	uint64_t seed = live_seed("lineage");

	(void)state;
	read_all(24, true, &seed);
	assert_int_equal(live_audit(0), 0);
}

static void reads_all(size_t i)
{
	uint64_t seed = live_seed("lineage");

	(void)i;
	read_all(16, false, &seed);
}

/* Every worker dies at its third pass of a point. */
static void test_lineage_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"gone.marked=kill@3",    "gone.dropped=kill@3",
		"gone.left=kill@3",      "gone.told=kill@3",
		"lineage.kept=kill@3",   "lineage.taken=kill@3",
		"lineage.linked=kill@3", "lineage.again=kill@3",
		"lineage.secured=kill@3"
	};
	const struct live_session session = { .workers = 2,
					      .store_bytes = 16 << 20,
					      .ledger = &ledger,
					      .words = WORDS };

	(void)state;
	live_each_fault(&session, faults, sizeof(faults) / sizeof(faults[0]),
			reads_all);
}

/* ---- sessions ---- */

static const char *spill_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir == '/' ? dir : "/var/tmp";
}

static int start_spilling(void **state)
{
	(void)state;
	return start_with(STORE, spill_dir(), NULL);
}

static int start_small(void **state)
{
	(void)state;
	return start_with(16 << 20, NULL, NULL);
}

#define T(test) cmocka_unit_test_setup_teardown(test, open_one, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest spilling[] = {
		T(test_semantics_30_damaged_file_is_made_again),
		T(test_lineage_file_that_is_whole_is_not_lost),
		T(test_semantics_30_damaged_file_after_its_argument_went),
		T(test_semantics_30_put_objects_are_not_made_again),
	};
	const struct CMUnitTest killed[] = {
		T(test_lineage_survives_kills_of_workers),
	};
	const struct CMUnitTest steps[] = {
		cmocka_unit_test_teardown(
			test_lineage_survives_a_kill_at_each_step, live_leave),
	};
	int failed = 0;

	if (!mobi_dir_in_memory(spill_dir())) {
		failed = cmocka_run_group_tests(spilling, start_spilling,
						leave);
	}
	failed += cmocka_run_group_tests(killed, start_small, leave);
	return failed + cmocka_run_group_tests(steps, NULL, NULL);
}
