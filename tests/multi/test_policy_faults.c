/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies that go wrong in a living session: thrown out, the fallback goes on,
 * nothing is lost and nothing is run twice. Each task counts its runs in a file
 * that outlives whoever is killed.
 */
#include "live.h"

#include "os_run.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TASKS 1500

MOB_TASK(int64_t, p_run, mob_str, ledger, uint64_t, i, int64_t, x)
{
	(void)live_ledger_add(ledger, i);
	return x + 1;
}

/* Ends when n of them run at once. */
MOB_TASK(int64_t, p_meet, mob_str, ledger, uint64_t, n)
{
	(void)live_ledger_add(ledger, 0);
	while (live_ledger_get(ledger, 0) < n) {
		(void)sched_yield();
	}
	return 1;
}

/* A task that waits for tasks while the policy goes. */
MOB_TASK(int64_t, p_nest, mob_str, ledger, uint64_t, i)
{
	int64_t a;
	int64_t b;
	mob_ref left = mob_submit(p_run, ledger, i + 1, 10);

	(void)live_ledger_add(ledger, i);
	mob_get(mob_submit(p_run, ledger, i + 2, 20), &b);
	mob_get(left, &a);
	return a + b;
}

struct fault {
	const char *file;
	const char *reason; /* part of it */
};

static const struct fault faults[] = {
	{ "turns_bad_1", "op pick" },    { "turns_bad_2", "op place" },
	{ "turns_bad_3", "op pick" },    { "turns_bad_4", "op place" },
	{ "turns_bad_5", "starvation" }, { "turns_bad_6", "op place" },
	{ "turns_bad_7", "op pick" },    { "turns_bad_8", "op pick" },
	{ "turns_bad_9", "op start" },
};
#define FAULTS (sizeof(faults) / sizeof(faults[0]))

static void path_of(char *out, size_t size, const char *file)
{
	(void)snprintf(out, size, "%s/sched_%s.so", TEST_PLUGINS, file);
}

static bool is_ejected(void *arg)
{
	const uint64_t *before = arg;

	return live_ejections() > *before;
}

/* Tasks until it has gone wrong, and all that were submitted meanwhile. */
static void load_of(struct live_ledger *l, mob_ref *r)
{
	mob_ref first = mob_submit(p_run, l->path, 0, 0);

	for (uint64_t i = 1; i < TASKS; i++) {
		if (i % 50 == 10 && i + 2 < TASKS) {
			r[i] = mob_submit(p_nest, l->path, i);
			r[i + 1] = r[i + 2] = r[i];
			i += 2;
		} else if (i % 3 == 0) {
			r[i] = mob_submit(p_run, l->path, i, first);
		} else {
			r[i] = mob_submit(p_run, l->path, i, (int64_t)i);
		}
	}
	r[0] = first;
}

static void check(struct live_ledger *l, const mob_ref *r)
{
	for (uint64_t i = 0; i < TASKS; i++) {
		int64_t x;

		assert_int_equal(mob_get(r[i], &x), 0);
		if (i == 0 ||
		    (i % 3 == 0 && !mob_ref_equal(r[i], r[i - 1]) &&
		     (i + 1 >= TASKS || !mob_ref_equal(r[i], r[i + 1])))) {
			assert_int_equal(x, i ? 2 : 1);
		}
	}
	for (uint64_t i = 0; i < TASKS; i++) {
		if (mobi_load(&l->at[i]) != 1) {
			fail_msg("task %u ran %u times", (unsigned)i,
				 (unsigned)mobi_load(&l->at[i]));
		}
	}
}

static void run_fault(const struct fault *f, int32_t workers)
{
	static mob_ref r[TASKS];
	struct live_ledger l;
	char path[512];
	uint64_t before;

	path_of(path, sizeof(path), f->file);
	live_start_with(workers, "fifo");
	before = live_ejections();
	MOB_SCOPE
	{
		live_ledger_open(&l, TASKS);
		assert_int_equal(live_swap(path, false), 0);
		load_of(&l, r);
		check(&l, r);
		assert_true(live_await(is_ejected, &before));
		assert_string_equal(live_policy(), "fifo");
		/* What was placed wrongly is not picked either: who has one
		 * worker may see that first. */
		if (!strstr(mobi_rt.sched->ejected_reason, f->reason) &&
		    !(strstr(f->reason, "place") &&
		      strstr(mobi_rt.sched->ejected_reason, "starvation"))) {
			fail_msg("%s: '%s' is not in: %s", f->file, f->reason,
				 mobi_rt.sched->ejected_reason);
		}
		/* And it goes on. */
		memset((void *)(uintptr_t)l.at, 0, l.n * sizeof(*l.at));
		load_of(&l, r);
		check(&l, r);
		assert_int_equal(live_ejections(), before + 1);
		live_ledger_close(&l);
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

static void test_policy_faults_are_thrown_out_under_load(void **state)
{
	(void)state;
	for (size_t i = 0; i < FAULTS; i++) {
		run_fault(&faults[i], 2);
	}
}

/* Nobody else is there to notice but the daemon. */
static void test_policy_faults_with_one_worker(void **state)
{
	(void)state;
	for (size_t i = 0; i < FAULTS; i++) {
		run_fault(&faults[i], 1);
	}
}

/* Swapped in again and again, with good ones in between. */
static void test_policy_faults_in_turn_in_one_session(void **state)
{
	static mob_ref r[TASKS];
	struct live_ledger l;

	(void)state;
	live_start_with(2, "ws");
	for (size_t i = 0; i < 2 * FAULTS; i++) {
		MOB_SCOPE
		{
			char path[512];

			live_ledger_open(&l, TASKS);
			path_of(path, sizeof(path), faults[i % FAULTS].file);
			load_of(&l, r);
			assert_int_equal(
				live_swap(i % 2 ? "ws" : "lifo", false), 0);
			assert_int_equal(live_swap(path, false), 0);
			check(&l, r);
			live_ledger_close(&l);
		}
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

static void test_policy_faults_are_found_by_the_check(void **state)
{
	/* bad_spin, which costs 10 s of CPU time, is in tests/conform. */
	static const char *const bad[] = { "bad_crash", "bad_overrun",
					   "bad_starve", "bad_static",
					   "bad_verdict" };
	struct mob_session *session;
	static mob_ref r[TASKS];
	struct live_ledger l;

	(void)state;
	live_start_with(2, "ws");
	assert_int_equal(mob_session_current(&session), 0);
	MOB_SCOPE
	{
		live_ledger_open(&l, TASKS);
		load_of(&l, r);
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			char path[512];
			int rc;

			(void)snprintf(path, sizeof(path), "%s/sched_%s.so",
				       TEST_BAD, bad[i]);
			rc = mob_policy_swap(session, path, NULL);
			if (rc != MOB_E_PLUGIN) {
				fail_msg("%s: %s: %s", bad[i], mob_err_name(rc),
					 mob_err_detail(rc));
			}
			assert_string_equal(live_policy(), "ws");
		}
		assert_int_equal(mob_policy_swap(session, "no_such_policy",
						 NULL),
				 MOB_E_NOT_FOUND);
		check(&l, r);
		live_ledger_close(&l);
	}
	assert_int_equal(live_ejections(), 0);
	mob_session_close(session);
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

/* ---- files ---- */

/* Also where it is found by name: only what comes with the library is trusted. */
static void test_policy_faults_first_policy_is_tried(void **state)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	int64_t x;

	(void)state;
	o.store_bytes = 64 << 20;
	o.workers = 1;
	o.policy = "bad_crash";
	assert_int_equal(setenv("MOBULA_PLUGIN_PATH", TEST_BAD, 1), 0);
	assert_int_equal(mob_init(&o), MOB_E_PLUGIN);
	mob_error_clear();
	assert_int_equal(unsetenv("MOBULA_PLUGIN_PATH"), 0);
	o.policy = "lifo";
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(mob_get(mob_submit(p_run, "", 0, 1), &x), 0);
	assert_int_equal(x, 2);
	mob_shutdown();
}

static void copy_file(const char *from, const char *to)
{
	char command[2400];

	(void)snprintf(command, sizeof(command),
		       "cp -f '%s' '%s.new' && mv '%s.new' '%s'", from, to, to,
		       to);
	/* NOLINTNEXTLINE(cert-env33-c): names of this test */
	assert_int_equal(system(command), 0);
}

/* Some workers have the old one, and cannot unload it. */
static void test_policy_faults_file_that_changes_needs_a_name(void **state)
{
	char path[512];
	char other[520];
	char from[512];
	struct mob_session *session;
	struct live_ledger l;
	mob_ref met;
	int64_t x;

	(void)state;
	live_start_with(2, "ws");
	live_ledger_open(&l, 1);
	assert_int_equal(mob_session_current(&session), 0);
	(void)snprintf(path, sizeof(path), "%s/sched_mine.so",
		       mobi_rt.store->path);
	(void)snprintf(other, sizeof(other), "%s/sched_mine2.so",
		       mobi_rt.store->path);
	(void)snprintf(from, sizeof(from), "%s/sched_ws.so", TEST_OURS);
	copy_file(from, path);
	assert_int_equal(mob_policy_swap(session, path, NULL), 0);
	assert_int_equal(mob_policy_swap(session, path, NULL), 0);
	/* Each of the workers has decided by it, and so has loaded it. */
	met = mob_submit(p_meet, l.path, 2);
	assert_int_equal(mob_get(mob_submit(p_meet, l.path, 2), &x), 0);
	assert_int_equal(mob_get(met, &x), 0);
	live_ledger_close(&l);
	(void)snprintf(from, sizeof(from), "%s/sched_bad_crash.so", TEST_BAD);
	copy_file(from, path);
	assert_int_equal(mob_policy_swap(session, path, NULL), MOB_E_BUSY);
	assert_non_null(strstr(mob_err_detail(MOB_E_BUSY), "another name"));
	assert_string_equal(live_policy(), "mine");
	copy_file(from, other);
	assert_int_equal(mob_policy_swap(session, other, NULL), MOB_E_PLUGIN);
	assert_int_equal(mob_get(mob_submit(p_run, "", 0, 1), &x), 0);
	if (live_ejections()) {
		fail_msg("%s", mobi_rt.sched->ejected_reason);
	}
	mob_session_close(session);
	mob_shutdown();
}

/* ---- all structures of generations held ---- */

static int child_holds(const char *path)
{
	struct mob_store *s;
	char *colon = strchr(path, ':');
	char session[256];

	(void)snprintf(session, sizeof(session), "%.*s", (int)(colon - path),
		       path);
	if (mob_store_open(session, &s)) {
		return 1;
	}
	(void)live_ledger_add(colon + 1, 0);
	live_ledger_max(colon + 1, 1, s->me);
	(void)raise(SIGSTOP);
	return 0;
}

/* A process that is attached, and stopped. */
static int holder(struct live_ledger *l, uint32_t *out_client)
{
	char arg[600];
	int status;
	int pid;

	l->at[1] = 0;
	(void)snprintf(arg, sizeof(arg), "%s:%s", mobi_rt.store->path, l->path);
	pid = live_spawn("holds", arg);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	*out_client = (uint32_t)l->at[1];
	assert_true(*out_client > 0);
	return pid;
}

static void take_lock(struct mobi_gen *g, uint32_t client)
{
	uint32_t nobody = 0;

	while (!mobi_cas32(&g->lock, &nobody, client)) {
		nobody = 0;
		mobi_pause_ns(1000);
	}
}

/*
 * Three processes are stopped, each in one structure, and the one in the fourth
 * is killed: what it left half done is not gone on with.
 */
static void test_policy_faults_dead_holder_among_stopped_ones(void **state)
{
	struct mobi_sched *sh;
	struct live_ledger l;
	int pid[MOBI_GENS];
	uint32_t client[MOBI_GENS];
	uint32_t cur;
	uint32_t gen;
	int64_t x;

	(void)state;
	live_start_with(2, "ws");
	live_ledger_open(&l, 2);
	sh = mobi_rt.sched;
	assert_int_equal(mob_take(mob_submit(p_run, "", 0, 1), &x), 0);
	for (uint32_t i = 0; i < MOBI_GENS; i++) {
		pid[i] = holder(&l, &client[i]);
	}
	cur = MOBI_CUR_INDEX(mobi_load(&sh->cur));
	gen = MOBI_CUR_GEN(mobi_load(&sh->cur));
	for (uint32_t i = 0; i < MOBI_GENS; i++) {
		if (i != cur) {
			take_lock(&sh->gens[i], client[i]);
		}
	}
	take_lock(&sh->gens[cur], client[cur]);
	assert_int_equal(kill(pid[cur], SIGKILL), 0);
	assert_true(live_collect(pid[cur]) != 0);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mob_take(mob_submit(p_run, "", 0, i), &x), 0);
		assert_int_equal(x, i + 1);
	}
	assert_true(MOBI_CUR_GEN(mobi_load(&sh->cur)) > gen);
	for (uint32_t i = 0; i < MOBI_GENS; i++) {
		if (i != cur) {
			assert_int_equal(kill(pid[i], SIGKILL), 0);
			assert_true(live_collect(pid[i]) != 0);
		}
	}
	live_ledger_close(&l);
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
}

/* What a test that failed left in the way of the next. */
#define T(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_policy_faults_are_thrown_out_under_load),
		T(test_policy_faults_with_one_worker),
		T(test_policy_faults_in_turn_in_one_session),
		T(test_policy_faults_are_found_by_the_check),
		T(test_policy_faults_first_policy_is_tried),
		T(test_policy_faults_file_that_changes_needs_a_name),
		T(test_policy_faults_dead_holder_among_stopped_ones),
	};

	if (argc > 2 && !strcmp(argv[1], "holds")) {
		return child_holds(argv[2]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
