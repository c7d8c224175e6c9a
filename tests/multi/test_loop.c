/* SPDX-License-Identifier: Apache-2.0 */
/* Parallel loops: every turn once, who shares in them, errors, kills, cancelling. */
#include "live.h"

#include "board.h"
#include "frame.h"
#include "os_clock.h"
#include "os_run.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

/* Words of the ledger; turns from TURN on. */
enum { STARTED, ENDED, GATE, DIED, PIDS, TURN = 64 };
static struct live_ledger ledger;

MOB_TASK(void, l_count, int64_t, lo, int64_t, hi, mob_str, path, int64_t, base)
{
	for (int64_t i = lo; i < hi; i++) {
		(void)live_ledger_add(path, (uint64_t)(TURN + (i - base)));
	}
}

MOB_TASK(void, l_count_u32, uint32_t, lo, uint32_t, hi, mob_str, path)
{
	for (uint32_t i = lo; i != hi; i++) {
		(void)live_ledger_add(path, TURN + (UINT32_MAX - i));
	}
}

MOB_TASK(void, l_count_int, int, lo, int, hi, mob_str, path)
{
	for (int i = lo; i < hi; i++) {
		(void)live_ledger_add(path, (uint64_t)(TURN + i + 50));
	}
}

MOB_TASK(void, l_count_size, size_t, lo, size_t, hi, mob_str, path)
{
	for (size_t i = lo; i < hi; i++) {
		(void)live_ledger_add(path, TURN + i);
	}
}

/* Turns of different length, up to 1/5 ms; who runs them is noted. */
MOB_TASK(void, l_uneven, int64_t, lo, int64_t, hi, mob_str, path)
{
	for (int64_t i = lo; i < hi; i++) {
		uint64_t end = mobi_now_ns() + (uint64_t)(i % 20) * 10000;

		while (mobi_now_ns() < end) {
		}
		(void)live_ledger_add(path, (uint64_t)(TURN + i));
	}
	(void)live_ledger_add(path, PIDS + (uint64_t)getpid() % 32);
}

/* Notes how many turns there were when it failed; those after that take long. */
MOB_TASK(void, l_fails, int64_t, lo, int64_t, hi, mob_str, path, int64_t, bad)
{
	for (int64_t i = lo; i < hi; i++) {
		if (i == bad) {
			live_ledger_max(path, DIED,
					1 + live_ledger_get(path, STARTED));
			mob_fail((int)bad, "turn %d", (int)i);
			return;
		}
		(void)live_ledger_add(path, STARTED);
		mobi_pause_ns(live_ledger_get(path, DIED) ? 5 * MOB_MS :
							    MOB_MS / 10);
	}
}

MOB_TASK(void, l_fails_once, int64_t, lo, int64_t, hi, mob_str, path)
{
	for (int64_t i = lo; i < hi; i++) {
		if (i == 300 && live_ledger_add(path, DIED) == 0) {
			mob_fail(5, "once");
			return;
		}
		(void)live_ledger_add(path, (uint64_t)(TURN + i));
		mobi_pause_ns(MOB_MS / 20);
	}
}

MOB_TASK(void, l_dies, int64_t, lo, int64_t, hi, mob_str, path, int64_t, times)
{
	for (int64_t i = lo; i < hi; i++) {
		(void)live_ledger_add(path, (uint64_t)(TURN + i));
		if (i % 200 == 150 &&
		    (int64_t)live_ledger_get(path, (uint64_t)(TURN + i)) <=
			    times) {
			(void)live_ledger_add(path, DIED);
			(void)raise(SIGKILL);
		}
	}
}

MOB_TASK(void, l_waits, int64_t, lo, int64_t, hi, mob_str, path)
{
	(void)lo;
	(void)hi;
	(void)live_ledger_add(path, STARTED);
	while (!mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	(void)live_ledger_add(path, ENDED);
}

MOB_TASK(void, l_refs, int64_t, lo, int64_t, hi, mob_str, path, mob_i64s, xs,
	 mob_ref, plain, mob_refs, list)
{
	int64_t x;
	int64_t y;

	for (int64_t i = lo; i < hi; i++) {
		(void)mob_get(plain, &x);
		(void)mob_get(list.at[i % 2], &y);
		if (xs.at[i] == i && x == 5 && y == 6 + i % 2) {
			(void)live_ledger_add(path, (uint64_t)(TURN + i));
		}
	}
}

MOB_TASK(int64_t, l_square, int64_t, x)
{
	return x * x;
}

MOB_TASK(int64_t, l_bad, int64_t, x)
{
	mob_fail(9, "bad %d", (int)x);
	return 0;
}

MOB_TASK(void, l_nested, int64_t, lo, int64_t, hi, mob_str, path, int64_t,
	 depth, int64_t, base)
{
	for (int64_t i = lo; i < hi; i++) {
		if (depth == 0) {
			(void)live_ledger_add(path,
					      (uint64_t)(TURN + base + i));
		} else {
			(void)mob_for(l_nested, 0, 10, path, depth - 1,
				      10 * (base + i));
		}
	}
}

/* Its worker dies once it has given something away, in the attempt whose number is the
 * last before they begin anew. */
MOB_TASK(void, l_wraps, int64_t, lo, int64_t, hi, mob_str, path)
{
	mobi_a64 *word =
		&mobi_rt.store->recs[(uint32_t)mobi_context()->task].word;

	(void)hi;
	if (lo >= 500) { /* was given away */
		(void)live_ledger_add(path, STARTED);
		while (!live_ledger_get(path, GATE) && !mob_task_cancelled()) {
			mobi_pause_ns(MOB_MS / 5);
		}
		if (mob_task_cancelled()) {
			(void)live_ledger_add(path, ENDED);
		}
	} else if (live_ledger_get(path, DIED)) {
		while (!live_ledger_get(path, GATE) && !mob_task_cancelled()) {
			mobi_pause_ns(MOB_MS / 5);
		}
	} else if (live_ledger_get(path, STARTED)) {
		(void)live_ledger_add(path, DIED);
		(void)mobi_fetch_or(word, UINT64_C(255) << 24);
		(void)raise(SIGKILL);
	} else {
		mobi_pause_ns(MOB_MS);
	}
}

MOB_TASK(int64_t, l_calls_wraps, mob_str, path)
{
	return mob_for_with(MOB_OPTS(.retries = -1), l_wraps, 0, 1000, path);
}

MOB_TASK(int64_t, l_calls, mob_str, path)
{
	return mob_for(l_waits, 0, 100, path);
}

MOB_TASK(int64_t, l_result, int64_t, lo, int64_t, hi)
{
	return hi - lo;
}

MOB_TASK(void, l_odd, int64_t, lo, int32_t, hi)
{
	(void)lo;
	(void)hi;
}

static void each_once(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ledger.at[TURN + i] != 1) {
			fail_msg("turn %zu: %d times", i,
				 (int)ledger.at[TURN + i]);
		}
	}
	assert_int_equal(ledger.at[TURN + n], 0);
}

/* ---- turns ---- */

static void test_for_runs_each_turn_once(void **state)
{
	static const int64_t sizes[] = { 1, 2, 3, 10, 1000, 100000 };

	(void)state;
	for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
		live_ledger_open(&ledger, TURN + (size_t)sizes[k] + 1);
		assert_int_equal(
			mob_for(l_count, -7, sizes[k] - 7, ledger.path, -7), 0);
		each_once((size_t)sizes[k]);
		live_ledger_close(&ledger);
	}
}

static void test_for_counts_in_any_integer(void **state)
{
	const int64_t top = INT64_MAX;

	(void)state;
	live_ledger_open(&ledger, TURN + 1000);
	assert_int_equal(mob_for(l_count_u32, UINT32_MAX - 99, UINT32_MAX,
				 ledger.path),
			 0);
	ledger.at[TURN] = 1; /* the last of all is not in the range */
	each_once(100);
	live_ledger_close(&ledger);
	live_ledger_open(&ledger, TURN + 1000);
	assert_int_equal(mob_for(l_count_int, -50, 50, ledger.path), 0);
	each_once(100);
	live_ledger_close(&ledger);
	live_ledger_open(&ledger, TURN + 1000);
	assert_int_equal(mob_for(l_count_size, 0, 500, ledger.path), 0);
	each_once(500);
	live_ledger_close(&ledger);
	live_ledger_open(&ledger, TURN + 1000);
	assert_int_equal(
		mob_for(l_count, top - 100, top, ledger.path, top - 100), 0);
	each_once(100);
	/* Nothing. */
	assert_int_equal(mob_for(l_count, 5, 5, ledger.path, 0), 0);
	assert_int_equal(mob_for(l_count, 5, -5, ledger.path, 0), 0);
	each_once(100);
	live_ledger_close(&ledger);
}

static bool both_idle(void *arg)
{
	(void)arg;
	return __builtin_popcountll(mobi_load(&mobi_rt.store->board->idle)) ==
	       2;
}

/* Both workers have their part, though the turns are not alike; and there are not
 * as many tasks as turns. */
static void test_for_is_shared_among_workers(void **state)
{
	enum { N = 2000 };
	uint64_t before;
	uint64_t tasks;
	int pids = 0;

	(void)state;
	live_ledger_open(&ledger, TURN + N + 1);
	assert_true(live_await(both_idle, NULL));
	before = mobi_load(&mobi_rt.sched->ticket);
	assert_int_equal(mob_for(l_uneven, 0, N, ledger.path), 0);
	each_once(N);
	for (int i = 0; i < 32; i++) {
		pids += ledger.at[PIDS + i] > 0;
	}
	tasks = mobi_load(&mobi_rt.sched->ticket) - before;
	assert_true(pids >= 2);
	assert_true(tasks >= 2);
	assert_true(tasks < N / 2);
	live_ledger_close(&ledger);
}

/* A worker that has nobody to share with goes on alone. */
static void test_for_is_one_task_on_one_worker(void **state)
{
	enum { N = 20000 };
	uint64_t before = mobi_load(&mobi_rt.sched->ticket);

	(void)state;
	live_ledger_open(&ledger, TURN + N + 1);
	assert_int_equal(mob_for(l_count, 0, N, ledger.path, 0), 0);
	each_once(N);
	assert_int_equal(mobi_load(&mobi_rt.sched->ticket) - before, 1);
	live_ledger_close(&ledger);
}

static void test_for_takes_other_arguments(void **state)
{
	enum { N = 500 };
	int64_t xs[N];
	mob_ref two[2];
	mob_ref plain;
	mob_ref span;

	(void)state;
	for (int i = 0; i < N; i++) {
		xs[i] = i;
	}
	live_ledger_open(&ledger, TURN + N + 1);
	plain = mob_put(INT64_C(5));
	two[0] = mob_put(INT64_C(6));
	two[1] = mob_put(INT64_C(7));
	span = mob_put(mob_i64s_of(xs, N));
	assert_int_equal(mob_for(l_refs, 0, N, ledger.path, span, plain,
				 mob_refs_of(two, 2)),
			 0);
	each_once(N);
	live_ledger_close(&ledger);
	live_ledger_open(&ledger, TURN + N + 1);
	assert_int_equal(mob_for(l_refs, 0, N, ledger.path, mob_i64s_of(xs, N),
				 plain, mob_refs_of(two, 2)),
			 0);
	each_once(N);
	/* It waits for what is not there yet, and has its error. */
	assert_int_equal(mob_for(l_count, 0, 10, ledger.path,
				 mob_submit(l_square, 0)),
			 0);
	assert_int_equal(mob_for(l_count, 0, 10, ledger.path,
				 mob_submit(l_bad, 3)),
			 MOB_E_TASK);
	live_pends(9, "bad 3");
	live_ledger_close(&ledger);
}

static void test_for_runs_inside_itself(void **state)
{
	(void)state;
	live_ledger_open(&ledger, TURN + 1001);
	assert_int_equal(mob_for(l_nested, 0, 10, ledger.path, 2, 0), 0);
	each_once(1000);
	live_ledger_close(&ledger);
}

static void test_for_runs_inside_itself_on_one_worker(void **state)
{
	test_for_runs_inside_itself(state);
}

/* ---- errors, kills ---- */

static void test_for_ends_with_the_first_error(void **state)
{
	(void)state;
	for (int k = 0; k < 4; k++) {
		int64_t bad = 1 + k * 480;
		uint64_t turns;

		live_ledger_open(&ledger, TURN);
		assert_int_equal(mob_for(l_fails, 0, 2000, ledger.path, bad),
				 MOB_E_TASK);
		turns = ledger.at[STARTED];
		live_pends((int)bad, "(task l_fails, ");
		/* Few turns began after it, and nothing runs any more. */
		assert_int_equal(live_audit(0), 0);
		assert_int_equal(ledger.at[STARTED], turns);
		assert_true(turns - ledger.at[DIED] + 1 < 200);
		live_ledger_close(&ledger);
	}
}

static void test_for_errors_are_retried_if_asked_for(void **state)
{
	enum { N = 500 };

	(void)state;
	live_ledger_open(&ledger, TURN + N + 1);
	assert_int_equal(mob_for_with(MOB_OPTS(.retry_errors = 1), l_fails_once,
				      0, N, ledger.path),
			 0);
	for (int i = 0; i < N; i++) {
		assert_true(ledger.at[TURN + i] >= 1);
	}
	assert_true(ledger.at[DIED] >= 2);
	live_ledger_close(&ledger);
}

static void test_for_survives_deaths_of_workers(void **state)
{
	enum { N = 2000 };

	(void)state;
	live_ledger_open(&ledger, TURN + N + 1);
	assert_int_equal(mob_for_with(MOB_OPTS(.retries = -1), l_dies, 0, N,
				      ledger.path, 1),
			 0);
	assert_int_equal(ledger.at[DIED], N / 200);
	for (int i = 0; i < N; i++) {
		assert_true(ledger.at[TURN + i] >= 1);
	}
	live_ledger_close(&ledger);
}

static void test_for_that_dies_too_often_fails(void **state)
{
	(void)state;
	live_ledger_open(&ledger, TURN + 2001);
	assert_int_equal(mob_for_with(MOB_OPTS(.retries = 1), l_dies, 0, 2000,
				      ledger.path, 1000),
			 MOB_E_CRASHED);
	live_pends(MOB_E_CRASHED, "l_dies");
	assert_int_equal(live_audit(0), 0);
	live_ledger_close(&ledger);
}

static void test_for_ends_when_its_task_is_cancelled(void **state)
{
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, TURN);
	r = mob_submit(l_calls, ledger.path);
	assert_true(live_ledger_await(&ledger, STARTED, 1));
	assert_int_equal(mob_task_cancel(r, 0), 1);
	assert_int_equal(mob_join(r), MOB_E_CANCELLED);
	mob_error_clear();
	assert_int_equal(live_audit(1), 0);
	assert_int_equal(ledger.at[STARTED], ledger.at[ENDED]);
	live_ledger_close(&ledger);
}

/* What an attempt gave away that died is cancelled by the next, whatever its number. */
static void test_for_attempts_that_begin_anew_end_those_before(void **state)
{
	int64_t rc = -1;
	bool ended;
	mob_ref r;

	(void)state;
	live_ledger_open(&ledger, TURN);
	r = mob_submit(l_calls_wraps, ledger.path);
	ended = live_ledger_await(&ledger, ENDED, 1);
	ledger.at[GATE] = 1;
	assert_int_equal(mob_take(r, &rc), 0);
	assert_int_equal(rc, 0);
	assert_true(ended);
	assert_int_equal(ledger.at[DIED], 1);
	live_ledger_close(&ledger);
}

static void test_for_bad_bodies_are_refused(void **state)
{
	struct mob_task_opts o = MOB_OPTS(.retries = -5);
	struct mob_arg arg[4] = { 0 };
	int64_t n = 3;

	(void)state;
	assert_int_equal(mob_for(l_result, 0, 5), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "void l_result(T lo, T hi");
	assert_int_equal(mob_for(l_odd, 0, 5), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "integer type");
	assert_int_equal(mob_for(l_waits, mob_put(n), 5, "x"), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "given by values");
	assert_int_equal(mob_for_raw(&l_waits_def, NULL, 2, arg), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "takes 3 arguments");
	assert_int_equal(mob_for_with(o, l_waits, 0, 5, "x"), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "retries is -5");
	o.struct_size--;
	assert_int_equal(mob_for_with(o, l_waits, 0, 5, "x"), MOB_E_VERSION);
	live_pends(MOB_E_VERSION, "MOB_OPTS");
	assert_int_equal(mob_for(l_waits, 0, 5, (const char *)NULL),
			 MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "a string is NULL");
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(test_for_##name, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest two[] = {
		T(runs_each_turn_once),
		T(counts_in_any_integer),
		T(is_shared_among_workers),
		T(takes_other_arguments),
		T(runs_inside_itself),
		T(ends_with_the_first_error),
		T(errors_are_retried_if_asked_for),
		T(survives_deaths_of_workers),
		T(attempts_that_begin_anew_end_those_before),
		T(that_dies_too_often_fails),
		T(ends_when_its_task_is_cancelled),
		T(bad_bodies_are_refused),
	};
	const struct CMUnitTest one[] = {
		T(is_one_task_on_one_worker),
		T(runs_each_turn_once),
		T(runs_inside_itself_on_one_worker),
	};
	int failed = cmocka_run_group_tests(two, live_start_two, live_leave);

	return failed + cmocka_run_group_tests(one, live_start_one, live_leave);
}
