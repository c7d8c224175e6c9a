/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lack of memory: who is killed for it, what that costs whom; and that the kernel
 * kills nobody, in a memory group of our own.
 */
#define _GNU_SOURCE
#include "live.h"

#include "os_pressure.h"
#include "os_run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((size_t)1 << 20)
#define TASKS 8

/* The ledger: STARTS + i: attempts of task i; READY: those that have all that they
 * want at first; GO: they may end; GROW: those that grow may; CRASHES. */
enum { READY, GO, GROW, CRASHES, STARTS };
static struct live_ledger ledger;

static void set(const char *name, const char *value)
{
	assert_int_equal(setenv(name, value, 1), 0);
}

static char *take(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		return NULL;
	}
	/* Piece by piece, as programs do. */
	for (size_t i = 0; i < bytes; i += 4096) {
		((volatile char *)at)[i] = 1;
		if (i % MIB == 0) {
			mobi_pause_ns(4 * MOB_MS);
		}
	}
	return at;
}

/* Holds so many MiB until it may go; when it may grow, at most so many times 16 more. */
MOB_TASK(int64_t, p_holds, mob_str, path, int64_t, i, int64_t, mib, int64_t,
	 grows)
{
	char *at = take((size_t)mib * MIB);
	char *more[64] = { NULL };

	(void)live_ledger_add(path, STARTS + (uint64_t)i);
	(void)live_ledger_add(path, READY);
	for (size_t n = 0; !live_ledger_get(path, GO);) {
		if (n < (size_t)grows && live_ledger_get(path, GROW)) {
			more[n++] = take(16 * MIB);
		}
		mobi_pause_ns(MOB_MS);
	}
	for (size_t n = 0; n < 64 && more[n]; n++) {
		(void)munmap(more[n], 16 * MIB);
	}
	(void)munmap(at, (size_t)mib * MIB);
	return i;
}

/* Once it may go its worker dies the first time. */
MOB_TASK(int64_t, p_crashes, mob_str, path)
{
	int64_t i = p_holds(path, 0, 16, 64);

	if (!live_ledger_add(path, CRASHES)) {
		(void)raise(SIGKILL);
	}
	return i;
}

/* Submits one and waits for it. */
MOB_TASK(int64_t, p_parent, mob_str, path, int64_t, i, int64_t, mib)
{
	int64_t x = -1;

	return mob_get(mob_submit(p_holds, path, i, mib, 0), &x) ? -1 : x;
}

/* Keeps memory beyond its end; who it is. */
MOB_TASK(int64_t, p_keeps, int64_t, mib)
{
	static char *volatile kept;

	kept = take((size_t)mib * MIB);
	return kept ? getpid() : 0;
}

static uint64_t kills(void)
{
	return mobi_load(&mobi_rt.sched->pressure.kills);
}

static bool reached(void *arg)
{
	const uint64_t *want = arg;

	return mobi_load(&ledger.at[want[0]]) >= want[1];
}

static void await(uint64_t what, uint64_t n)
{
	uint64_t want[2] = { what, n };

	if (!live_await(reached, want)) {
		fail_msg("%llu is %llu, not %llu", (unsigned long long)what,
			 (unsigned long long)ledger.at[what],
			 (unsigned long long)n);
	}
}

static bool killed(void *arg)
{
	return kills() >= *(const uint64_t *)arg;
}

static void await_kills(uint64_t n)
{
	assert_true(live_await(killed, &n));
}

static void begin(int32_t workers, const char *limit)
{
	set("MOBULA_MEMORY_LIMIT", limit);
	live_start(workers);
	live_ledger_open(&ledger, STARTS + TASKS);
}

static void end(void)
{
	live_ledger_close(&ledger);
	mob_shutdown();
}

static uint64_t starts(uint64_t i)
{
	return mobi_load(&ledger.at[STARTS + i]);
}

static void gets(mob_ref ref, int64_t want)
{
	int64_t x = -1;

	if (mob_get(ref, &x)) {
		fail_msg("%s", mob_error());
	}
	assert_int_equal(x, want);
}

static void fails_for_memory(mob_ref ref, const char *why)
{
	int64_t x;

	assert_int_equal(mob_get(ref, &x), MOB_E_NOMEM);
	if (!strstr(mob_error(), "killed for lack of memory") ||
	    !strstr(mob_error(), why)) {
		fail_msg("%s", mob_error());
	}
	mob_error_clear();
}

/* ---- the rule ---- */

/*
 * The driver's tasks have the most. Of them 0 grows; 2 is newer than 1, 3 is newer
 * still and must not run twice, 4 is newer and has nothing; 5 is a task's, and the
 * newest of all.
 */
static void
test_semantics_16_newest_of_the_largest_group_is_killed(void **state)
{
	mob_ref refs[6];

	(void)state;
	begin(6, "768M");
	refs[0] = mob_submit(p_holds, ledger.path, 0, 128, 16);
	await(READY, 1);
	refs[1] = mob_submit(p_holds, ledger.path, 1, 96, 0);
	await(READY, 2);
	refs[2] = mob_submit(p_holds, ledger.path, 2, 96, 0);
	await(READY, 3);
	refs[3] = mob_submit_with(MOB_OPTS(.retries = 0), p_holds, ledger.path,
				  3, 96, 0);
	await(READY, 4);
	refs[4] = mob_submit(p_holds, ledger.path, 4, 0, 0);
	await(READY, 5);
	refs[5] = mob_submit(p_parent, ledger.path, 5, 96);
	await(READY, 6);
	assert_int_equal(kills(), 0);
	ledger.at[GROW] = 1;
	await_kills(1);
	ledger.at[GO] = 1;
	for (int i = 0; i < 6; i++) {
		gets(refs[i], i);
		mob_release(refs[i]);
	}
	/* More may have gone before the first was let go: but no other. */
	assert_true(starts(2) >= 2);
	assert_int_equal(starts(3), 1);
	assert_int_equal(starts(4), 1);
	assert_int_equal(starts(5), 1);
	end();
}

static void test_semantics_16_memory_has_retries_of_its_own(void **state)
{
	struct mob_session *session;
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;
	mob_ref ref;

	(void)state;
	begin(2, "256M");
	ledger.at[GROW] = 1;
	/* One retry, which is for the crash. */
	ref = mob_submit_with(MOB_OPTS(.retries = 1), p_crashes, ledger.path);
	await_kills(2);
	ledger.at[GO] = 1;
	gets(ref, 0);
	assert_int_equal(mobi_load(&ledger.at[CRASHES]), 2);
	assert_int_equal(mob_session_current(&session), 0);
	assert_int_equal(mob_session_stats(session, &st), 0);
	assert_true(st.memory_kills >= 2);
	assert_int_equal(st.crashes, 1);
	assert_true(st.memory_limit > 0);
	assert_true(st.memory_use > 0);
	mob_session_close(session);
	end();
}

static void test_semantics_16_memory_retries_are_used_up(void **state)
{
	(void)state;
	set("MOBULA_MEMORY_RETRIES", "1");
	begin(2, "256M");
	ledger.at[GROW] = 1;
	fails_for_memory(mob_submit_with(MOB_OPTS(.retries = -1), p_holds,
					 ledger.path, 0, 16, 64),
			 "for the 2. time, and MOBULA_MEMORY_RETRIES is 1");
	assert_int_equal(starts(0), 2);
	end();
}

static void test_semantics_16_only_task_without_retries_fails(void **state)
{
	(void)state;
	begin(2, "256M");
	ledger.at[GROW] = 1;
	fails_for_memory(mob_submit_with(MOB_OPTS(.retries = 0), p_holds,
					 ledger.path, 0, 16, 64),
			 "its retries are 0");
	assert_int_equal(starts(0), 1);
	ledger.at[GO] = 1;
	gets(mob_submit(p_parent, ledger.path, 1, 0), 1); /* all goes on */
	end();
}

static bool is_gone(void *arg)
{
	return kill(*(const pid_t *)arg, 0) < 0;
}

static void test_pressure_idle_worker_that_keeps_much_goes_first(void **state)
{
	int64_t x;
	pid_t pid;
	mob_ref ref;

	(void)state;
	begin(2, "384M");
	ref = mob_submit(p_holds, ledger.path, 0, 0, 16);
	await(READY, 1);
	assert_int_equal(mob_get(mob_submit(p_keeps, 128), &x), 0);
	pid = (pid_t)x;
	ledger.at[GROW] = 1;
	assert_true(live_await(is_gone, &pid));
	ledger.at[GO] = 1;
	gets(ref, 0);
	assert_int_equal(kills(), 0);
	assert_int_equal(starts(0), 1);
	assert_int_equal(mobi_load(&mobi_rt.sched->pressure.replaced), 1);
	end();
}

/* ---- the kernel ---- */

struct group {
	char dir[512];
	char home[256]; /* where this process was */
	bool two;
};
static struct group group; /* that this process is in; dir "": in none */

static bool read_file(const char *dir, const char *name, char *out, size_t size)
{
	char path[1024];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return false;
	}
	n = read(fd, out, size - 1);
	(void)close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n >= 0;
}

static bool write_file(const char *dir, const char *name, const char *text)
{
	char path[1024];
	ssize_t n = -1;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = write(fd, text, strlen(text));
		(void)close(fd);
	}
	return n == (ssize_t)strlen(text);
}

static int64_t kernel_kills(const struct group *g)
{
	char text[4096];
	const char *at;

	if (!read_file(g->dir, g->two ? "memory.events" : "memory.oom_control",
		       text, sizeof(text)) ||
	    !(at = strstr(text, "oom_kill "))) {
		return -1;
	}
	return strtoll(at + 9, NULL, 10);
}

/* A group inside the one that this process is in, with that limit, and this process
 * in it. False: it cannot be made here. */
static bool enter_group(struct group *g, const char *limit)
{
	struct mobi_pressure_files f;
	char pid[32];

	mobi_pressure_open(&f, "");
	if (f.n) {
		(void)snprintf(g->home, sizeof(g->home), "%s", f.level[0].dir);
		g->two = f.level[0].high >= 0;
	}
	mobi_pressure_close(&f);
	if (!g->home[0]) {
		return false;
	}
	(void)snprintf(g->dir, sizeof(g->dir), "%s/mob-pressure-%d", g->home,
		       (int)getpid());
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (mkdir(g->dir, 0755)) {
		g->dir[0] = '\0';
		return false;
	}
	if (write_file(g->dir, g->two ? "memory.max" : "memory.limit_in_bytes",
		       limit) &&
	    kernel_kills(g) >= 0 && write_file(g->dir, "cgroup.procs", pid)) {
		return true;
	}
	(void)rmdir(g->dir);
	g->dir[0] = '\0';
	return false;
}

static bool removed(void *arg)
{
	return rmdir(arg) == 0;
}

static bool leave_group(struct group *g)
{
	char pid[32];
	bool ok;

	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ok = write_file(g->home, "cgroup.procs", pid) &&
	     live_await(removed, g->dir);
	g->dir[0] = '\0';
	return ok;
}

/* Several at once want more than there is, again and again. */
static void test_semantics_16_kernel_kills_nobody_in_a_group(void **state)
{
	mob_ref refs[TASKS];
	int64_t before;

	(void)state;
	if (!enter_group(&group, "402653184")) { /* 384 MiB */
		(void)printf("no memory group can be made here\n");
		skip();
	}
	before = kernel_kills(&group);
	live_start(4);
	live_ledger_open(&ledger, STARTS + TASKS);
	ledger.at[GROW] = 1;
	for (int i = 0; i < TASKS; i++) {
		refs[i] = mob_submit_with(MOB_OPTS(.retries = 1), p_holds,
					  ledger.path, i, 96, 4);
	}
	await_kills(6);
	ledger.at[GO] = 1;
	for (int i = 0; i < TASKS; i++) {
		gets(refs[i], i);
	}
	assert_int_equal(kernel_kills(&group), before);
	assert_int_equal(mobi_load(&mobi_rt.sched->crash.count), 0);
	live_ledger_close(&ledger);
	mob_shutdown();
	assert_true(leave_group(&group));
}

/* ---- faults ---- */

static void fails_for_the_third_time(size_t i)
{
	mob_ref ref;

	(void)i;
	ledger.at[GROW] = 1;
	ref = mob_submit(p_holds, ledger.path, 0, 16, 64);
	fails_for_memory(ref, "for the 3. time, and "
			      "MOBULA_MEMORY_RETRIES is 2");
	assert_int_equal(starts(0), 3);
	assert_true(mobi_load(&mobi_rt.sched->daemons) > 1);
}

/* Each daemon dies the second time: when it has noted whom it kills, when it has
 * killed, and when it has counted that. Each attempt is counted once. */
static void test_pressure_survives_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = { "pressure.noted=kill@2",
					      "pressure.killed=kill@2",
					      "reap.counted=kill@2" };
	const struct live_session session = { .workers = 2,
					      .ledger = &ledger,
					      .words = STARTS + TASKS };

	(void)state;
	set("MOBULA_MEMORY_LIMIT", "256M");
	set("MOBULA_MEMORY_RETRIES", "2");
	live_each_fault(&session, faults, sizeof(faults) / sizeof(faults[0]),
			fails_for_the_third_time);
}

static void test_pressure_bad_settings_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{ "MOBULA_MEMORY_PERCENT", "101" },
		{ "MOBULA_MEMORY_RETRIES", "61" },
		{ "MOBULA_MEMORY_LIMIT", "many" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mob_init_opts opts = MOB_INIT_OPTS_INIT;

		set(bad[i][0], bad[i][1]);
		assert_int_equal(mob_init(&opts), MOB_E_INVAL);
		assert_non_null(strstr(mob_error(), bad[i][0]));
		mob_error_clear();
		assert_int_equal(unsetenv(bad[i][0]), 0);
	}
}

/* Twice what is allowed, and nobody looks. */
static void test_pressure_may_be_off(void **state)
{
	mob_ref ref;

	(void)state;
	set("MOBULA_MEMORY_PERCENT", "0");
	begin(2, "64M");
	ref = mob_submit(p_holds, ledger.path, 0, 128, 0);
	await(READY, 1);
	assert_int_equal(mobi_load(&mobi_rt.sched->pressure.seen_limit), 0);
	ledger.at[GO] = 1;
	gets(ref, 0);
	assert_int_equal(kills(), 0);
	end();
}

/* What a test that failed has left would fail all others. */
static int clean(void **state)
{
	static const char *const names[] = { "MOBULA_FAULT",
					     "MOBULA_MEMORY_LIMIT",
					     "MOBULA_MEMORY_PERCENT",
					     "MOBULA_MEMORY_RETRIES" };

	(void)state;
	if (mobi_rt.store) {
		mob_error_clear();
		mob_shutdown();
	}
	if (group.dir[0]) {
		(void)leave_group(&group);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)unsetenv(names[i]);
	}
	return 0;
}

#define T(f) cmocka_unit_test_teardown(f, clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_16_newest_of_the_largest_group_is_killed),
		T(test_semantics_16_memory_has_retries_of_its_own),
		T(test_semantics_16_memory_retries_are_used_up),
		T(test_semantics_16_only_task_without_retries_fails),
		T(test_pressure_idle_worker_that_keeps_much_goes_first),
		T(test_semantics_16_kernel_kills_nobody_in_a_group),
		T(test_pressure_survives_a_kill_at_each_step),
		T(test_pressure_bad_settings_are_refused),
		T(test_pressure_may_be_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
