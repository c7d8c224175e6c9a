/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources beside processors: never more at once than there is, devices never twice,
 * whoever is killed; wishes that cannot be, and texts that cannot be read.
 */
#include "live.h"

#include "os_clock.h"
#include "os_run.h"

#include <mobula/explain.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Words of the ledger. DEVICES and on: how many have the device now. */
enum { GATE, NOW, MOST, RAN, TWICE, STARTED, DEVICES = 8, WORDS = 80 };
static struct live_ledger ledger;

static void start_with(const char *resources, int32_t workers)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	o.workers = workers;
	o.store_bytes = 64 << 20;
	o.resources = resources;
	if (mob_init(&o)) {
		fail_msg("mob_init: %s", mob_error());
	}
}

MOB_TASK(int64_t, r_together, mob_str, path)
{
	live_ledger_max(path, MOST, live_ledger_add(path, NOW) + 1);
	mobi_pause_ns(MOB_MS);
	live_ledger_sub(path, NOW, 1);
	return 1;
}

/* So many at once of tasks that wish so, and that often. */
static void together(const char *wish, uint64_t at_most, uint64_t at_least)
{
	mob_ref r[100];
	int64_t x[100];

	live_ledger_open(&ledger, WORDS);
	MOB_SCOPE
	{
		for (int i = 0; i < 100; i++) {
			r[i] = mob_submit_with(MOB_OPTS(.cpus = 0,
							.resources = wish),
					       r_together, ledger.path);
		}
		assert_int_equal(mob_get_all(r, 100, x), 0);
	}
	if (ledger.at[MOST] > at_most || ledger.at[MOST] < at_least) {
		fail_msg("%s: %d at once", wish ? wish : "nothing",
			 (int)ledger.at[MOST]);
	}
	live_ledger_close(&ledger);
}

static void test_semantics_36_resources_bound_what_runs_at_once(void **state)
{
	(void)state;
	start_with("license=2,gpu:3,tiny=0.0001", 4);
	together("license=2", 1, 1);
	together("license=1.0001", 1, 1);
	together("license=1", 2, 1);
	together("license=0.5", 4, 2);
	together("gpu=2,license=0.1", 1, 1);
	together("gpu=1", 3, 1);
	together("tiny=0.0001", 1, 1);
	together("license=0", 4, 2);
	together(NULL, 4, 2);
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

static void use_devices(const char *path, const uint32_t *d, int n)
{
	for (int i = 0; i < n; i++) {
		if (live_ledger_add(path, DEVICES + d[i])) {
			(void)live_ledger_add(path, TWICE);
		}
	}
	mobi_pause_ns(MOB_MS / 2);
	for (int i = 0; i < n; i++) {
		live_ledger_sub(path, DEVICES + d[i], 1);
	}
}

/* Its devices; dies with them in hand the first time if it is to. */
MOB_TASK(int64_t, r_device, mob_str, path, uint64_t, i, int32_t, n, int32_t,
	 dies)
{
	uint32_t d[64];
	int have = mob_devices("gpu", d, 64);

	(void)live_ledger_add(path, RAN);
	if (have != n) {
		mob_fail(1, "%d devices, not %d", have, (int)n);
		return 0;
	}
	for (int k = 1; k < have; k++) {
		if (d[k] <= d[k - 1] || d[k] >= 5) {
			mob_fail(2, "devices %d and %d", (int)d[k - 1],
				 (int)d[k]);
		}
	}
	if (dies && live_ledger_add(path, 20 + i) == 0) {
		(void)raise(SIGKILL);
	}
	use_devices(path, d, have);
	return have;
}

static int nothing_used(const struct mob_resource_info *i, void *arg)
{
	uint32_t *n = arg;

	if (i->used || i->devices_used || i->holders) {
		print_message("%s: %u used, devices %#llx\n", i->name, i->used,
			      (unsigned long long)i->devices_used);
		return 1;
	}
	(*n)++;
	return 0;
}

static bool all_given_back(void *arg)
{
	struct mob_session *s;
	uint32_t n = 0;
	int rc;

	(void)arg;
	assert_int_equal(mob_session_current(&s), 0);
	rc = mob_session_resources(s, nothing_used, &n);
	mob_session_close(s);
	return rc == 0 && n == 3; /* memory is one */
}

static void test_resources_devices_are_never_given_twice(void **state)
{
	enum { N = 50 };
	mob_ref r[N];

	(void)state;
	start_with("gpu:5,license=3", 4);
	for (int dies = 0; dies < 2; dies++) {
		live_ledger_open(&ledger, WORDS);
		for (uint64_t i = 0; i < N; i++) {
			int32_t n = (int32_t)(i % 4);
			char wish[40];

			(void)snprintf(wish, sizeof(wish), "gpu=%d", (int)n);
			r[i] = mob_submit_with(MOB_OPTS(.cpus = 0.25,
							.retries = -1,
							.resources = wish),
					       r_device, ledger.path, i, n,
					       dies && i % 5 == 0);
		}
		for (uint64_t i = 0; i < N; i++) {
			int64_t x;

			if (mob_get(r[i], &x)) {
				fail_msg("%s", mob_error());
			}
			assert_int_equal(x, i % 4);
			assert_int_equal(mob_release(r[i]), 0);
		}
		assert_int_equal(ledger.at[TWICE], 0);
		assert_true(ledger.at[RAN] >= N);
		assert_true(live_await(all_given_back, NULL));
		live_ledger_close(&ledger);
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

MOB_TASK(int64_t, r_gate, mob_str, path)
{
	(void)live_ledger_add(path, STARTED);
	while (!live_ledger_get(path, GATE)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return 7;
}

MOB_TASK(int64_t, r_waits, mob_str, path)
{
	int64_t x;

	mob_get(mob_submit_with(MOB_OPTS(.cpus = 0), r_gate, path), &x);
	return x;
}

MOB_TASK(int64_t, r_quick, mob_str, path)
{
	(void)live_ledger_add(path, RAN);
	return 3;
}

struct why {
	uint32_t why;
	uint32_t wish, free, all;
	char resource[40];
};

static int note_why(const struct mob_explanation *e, void *arg)
{
	struct why *y = arg;

	y->why = e->why;
	y->wish = e->resource_wish;
	y->free = e->resource_free;
	y->all = e->resource_all;
	(void)snprintf(y->resource, sizeof(y->resource), "%s",
		       e->resource ? e->resource : "");
	return 0;
}

static int find_named(const struct mob_task_info *t, void *arg)
{
	uint64_t *id = arg;

	if (!strcmp(t->name, "asked")) {
		*id = t->id;
		return 1;
	}
	return 0;
}

/* Why the task named "asked" does not run. */
static struct why why_not(void)
{
	struct mob_session *s;
	struct why y = { 0 };
	uint64_t id = 0;

	assert_int_equal(mob_session_current(&s), 0);
	assert_int_equal(mob_session_tasks(s, find_named, &id), 1);
	assert_int_equal(mob_session_explain(s, id, note_why, &y), 0);
	mob_session_close(s);
	return y;
}

static bool lacks_resource(void *arg)
{
	*(struct why *)arg = why_not();
	return ((struct why *)arg)->why == MOB_WHY_NO_RESOURCE;
}

/* A resource stays with a task that waits; who needs none goes on. */
static void test_resources_stay_with_a_task_that_waits(void **state)
{
	struct why y;
	mob_ref holds;
	mob_ref asks;
	int64_t x;

	(void)state;
	start_with("license=1", 2);
	live_ledger_open(&ledger, WORDS);
	holds = mob_submit_with(MOB_OPTS(.resources = "license=0.75"), r_waits,
				ledger.path);
	while (!ledger.at[STARTED]) {
		mobi_pause_ns(MOB_MS / 5);
	}
	asks = mob_submit_with(MOB_OPTS(.resources = "license=0.5",
					.name = "asked"),
			       r_quick, ledger.path);
	assert_int_equal(mob_get(mob_submit(r_quick, ledger.path), &x), 0);
	assert_int_equal(ledger.at[RAN], 1);
	assert_true(live_await(lacks_resource, &y));
	assert_string_equal(y.resource, "license");
	assert_int_equal(y.wish, 5000);
	assert_int_equal(y.free, 2500);
	assert_int_equal(y.all, 10000);
	ledger.at[GATE] = 1;
	assert_int_equal(mob_get(asks, &x), 0);
	assert_int_equal(x, 3);
	assert_int_equal(mob_get(holds, &x), 0);
	live_ledger_close(&ledger);
	mob_shutdown();
}

/* It waits, is told why, and can be cancelled. */
static void test_semantics_36_wish_for_more_than_there_is(void **state)
{
	struct why y;
	mob_ref r;
	int64_t x;
	uint64_t n = 0;
	uint64_t end;

	(void)state;
	start_with("gpu:2", 2);
	live_ledger_open(&ledger, WORDS);
	r = mob_submit_with(MOB_OPTS(.resources = "gpu=3", .name = "asked"),
			    r_quick, ledger.path);
	/* It does not keep others out, not even after it was passed over for longer
	 * than what can run is. */
	end = mobi_now_ns() + 200 * (uint64_t)MOB_MS;
	while (n < 100 || mobi_now_ns() < end) {
		assert_int_equal(
			mob_get(mob_submit_with(MOB_OPTS(.resources = "gpu=2"),
						r_quick, ledger.path),
				&x),
			0);
		n++;
	}
	y = why_not();
	assert_int_equal(y.why, MOB_WHY_TOO_LARGE);
	assert_string_equal(y.resource, "gpu");
	assert_int_equal(y.wish, 30000);
	assert_int_equal(y.all, 20000);
	assert_int_equal(mob_task_cancel(r, 0), 1);
	assert_int_equal(mob_get(r, &x), MOB_E_CANCELLED);
	mob_error_clear();
	assert_int_equal(ledger.at[RAN], n);
	live_ledger_close(&ledger);
	mob_shutdown();
}

/* Small ones come without end until the large one has run. */
static void test_resources_large_wish_is_not_kept_out(void **state)
{
	struct mob_queue *q;
	mob_ref large;
	mob_ref r;
	int64_t x;
	bool ready = false;

	(void)state;
	start_with("license=2", 4);
	live_ledger_open(&ledger, WORDS);
	assert_int_equal(mob_queue_open(&q), 0);
	/* Always some that could go. */
	for (int i = 0; i < 64; i++) {
		r = mob_submit_with(MOB_OPTS(.cpus = 0, .resources = "license="
								     "0.5"),
				    r_together, ledger.path);
		assert_int_equal(mob_queue_add(q, r, 0), 0);
	}
	large = mob_submit_with(MOB_OPTS(.cpus = 0, .resources = "license=2"),
				r_quick, ledger.path);
	while (!ready) {
		assert_int_equal(mob_queue_pop(q, MOB_FOREVER, &r, NULL), 1);
		assert_int_equal(mob_take(r, &x), 0);
		r = mob_submit_with(MOB_OPTS(.cpus = 0, .resources = "license="
								     "0.5"),
				    r_together, ledger.path);
		assert_int_equal(mob_queue_add(q, r, 0), 0);
		assert_true(mob_wait(&large, 1, 1, 0, &ready) >= 0);
	}
	mob_queue_close(q);
	live_ledger_close(&ledger);
	mob_shutdown();
}

/* They run at once, for longer than what is passed over waits to be served. */
static void run_others(void)
{
	uint64_t end = mobi_now_ns() + 150 * MOB_MS;

	while (mobi_now_ns() < end) {
		mob_ref r = mob_submit(r_quick, ledger.path);
		int64_t x;

		assert_int_equal(mob_get(r, &x), 0);
		assert_int_equal(mob_release(r), 0);
	}
}

/* It has waited for long when others come, and needs a processor itself. */
static void test_resources_wish_that_waits_keeps_nobody_else_out(void **state)
{
	mob_ref holds;
	mob_ref asks;
	int64_t x;

	(void)state;
	start_with("license=1", 2);
	live_ledger_open(&ledger, WORDS);
	holds = mob_submit_with(MOB_OPTS(.resources = "license=1"), r_gate,
				ledger.path);
	asks = mob_submit_with(MOB_OPTS(.resources = "license=1", .name = "lat"
									  "e"),
			       r_quick, ledger.path);
	while (!ledger.at[STARTED]) {
		mobi_pause_ns(MOB_MS / 5);
	}
	run_others();
	ledger.at[GATE] = 1;
	assert_int_equal(mob_get(asks, &x), 0);
	assert_int_equal(mob_get(holds, &x), 0);
	live_ledger_close(&ledger);
	mob_shutdown();
}

MOB_TASK(int64_t, r_submits_late, mob_str, path)
{
	int64_t x;

	(void)live_ledger_add(path, STARTED);
	while (!live_ledger_get(path, GATE)) {
		mobi_pause_ns(MOB_MS / 5);
	}
	mob_get(mob_submit(r_quick, path), &x);
	return x;
}

/* Who has it can still wait for one that needs a processor. */
static void test_resources_holder_can_wait_for_others(void **state)
{
	mob_ref holds;
	mob_ref asks;
	int64_t x;

	(void)state;
	start_with("license=1", 2);
	live_ledger_open(&ledger, WORDS);
	holds = mob_submit_with(MOB_OPTS(.resources = "license=1"),
				r_submits_late, ledger.path);
	while (!ledger.at[STARTED]) {
		mobi_pause_ns(MOB_MS / 5);
	}
	asks = mob_submit_with(MOB_OPTS(.resources = "license=1"), r_quick,
			       ledger.path);
	run_others();
	ledger.at[GATE] = 1;
	assert_int_equal(mob_get(holds, &x), 0);
	assert_int_equal(mob_get(asks, &x), 0);
	live_ledger_close(&ledger);
	mob_shutdown();
}

/* ---- bad input ---- */

static void test_resources_bad_wishes_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "gpus=1", "no resource 'gpus'; it has license, gpu" },
		{ "gpu=0.5", "devices are given whole" },
		{ "gpu:1", "a task wishes with '='" },
		{ "gpu=1,gpu=1", "twice" },
		{ "gpu", "an amount is missing" },
		{ "gpu=", "not a number" },
		{ "gpu=1x", "not a number" },
		{ "license=-1", "not a number" },
		{ "license=nan", "not a number" },
		{ "license=0.00001", "less than 1/10000" },
		{ "license=1e9", "more than 100000" },
		{ "=1", "a name has" },
		{ "gpu=1,", "ends with a comma" },
	};
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	uint32_t d[1];

	(void)state;
	start_with("license=2,gpu:3", 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int64_t x;

		assert_int_equal(
			mob_get(mob_submit_with(
					MOB_OPTS(.resources = bad[i][0]),
					r_quick, ""),
				&x),
			MOB_E_INVAL);
		if (!strstr(mob_error(), bad[i][1])) {
			fail_msg("%s: %s", bad[i][0], mob_error());
		}
		mob_error_clear();
	}
	assert_int_equal(mob_devices("gpu", d, 1), MOB_E_STATE);
	mob_error_clear();
	mob_shutdown();
	o.workers = 1;
	o.resources = "a=1,b=1,c=1,d=1,e=1,f=1,g=1,h=1,i=1";
	assert_int_equal(mob_init(&o), MOB_E_LIMIT);
	mob_error_clear();
	o.resources = "gpu:65";
	assert_int_equal(mob_init(&o), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "64 at most"));
	mob_error_clear();
	o.resources = "cpu=1";
	assert_int_equal(mob_init(&o), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "processors"));
	mob_error_clear();
	o.resources = "gpu:1.5";
	assert_int_equal(mob_init(&o), MOB_E_INVAL);
	mob_error_clear();
}

static void test_resources_of_a_session_that_is_there(void **state)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	(void)state;
	o.session = live_session_name();
	o.workers = 1;
	o.store_bytes = 32 << 20;
	o.resources = "gpu:2,license=1.5";
	assert_int_equal(mob_init(&o), 0);
	mob_shutdown();
	assert_int_equal(mob_init(&o), 0);
	mob_shutdown();
	o.resources = NULL; /* whatever it has */
	assert_int_equal(mob_init(&o), 0);
	mob_shutdown();
	o.resources = "gpu:3,license=1.5";
	assert_int_equal(mob_init(&o), MOB_E_EXISTS);
	assert_non_null(strstr(mob_error(), "resources"));
	mob_error_clear();
	assert_int_equal(mob_session_stop(o.session, 0), 0);
}

#define T(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_36_resources_bound_what_runs_at_once),
		T(test_resources_devices_are_never_given_twice),
		T(test_resources_stay_with_a_task_that_waits),
		T(test_semantics_36_wish_for_more_than_there_is),
		T(test_resources_large_wish_is_not_kept_out),
		T(test_resources_wish_that_waits_keeps_nobody_else_out),
		T(test_resources_holder_can_wait_for_others),
		T(test_resources_bad_wishes_are_refused),
		T(test_resources_of_a_session_that_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
