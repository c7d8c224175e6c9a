/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that are stopped from outside, what the dead have left is removed, and what
 * is no session stays.
 */
#include "inspect_fixture.h"

#include "os_run.h"

#include <signal.h>

static bool is_dead(void *arg)
{
	const uint32_t *pid = arg;
	struct mobi_proc p;

	return mobi_proc_of((int)*pid, &p) < 0;
}

static bool there(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

static void test_stop_ends_processes_and_removes_directory(void **state)
{
	struct found f = { .name = "stopped" };
	struct want w = { .name = "hold", .state = MOB_TASK_STATE_RUNNING };
	struct crew c = { .ok = true };
	struct gate g = gate_make("serve");
	struct mob_session *s;
	int fd = open(g.path, O_RDWR | O_CLOEXEC);
	int child = live_spawn("serve", "stopped");

	(void)state;
	assert_true(fd >= 0);
	assert_true(live_await(runs, &f));
	assert_int_equal(mob_session_open("stopped", &s), 0);
	w.s = s;
	assert_true(live_await(is_so, &w));
	assert_int_equal(mob_session_workers(s, add_worker, &c), 0);
	assert_int_equal(c.n, 2);
	assert_int_equal(mob_session_stop("stopped", 30 * MOB_SEC), 0);
	assert_true(is_dead(&f.daemon_pid));
	assert_true(is_dead(&c.pid[0]));
	assert_true(is_dead(&c.pid[1]));
	assert_false(there(f.path));
	/* Who was looking is told; who was attached too. */
	assert_int_equal(mob_session_workers(s, add_worker, &c), MOB_E_CLOSED);
	assert_int_equal(mob_policy_swap(s, "fifo", NULL), MOB_E_CLOSED);
	mob_session_close(s);
	assert_int_equal(live_collect(child), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(mob_session_open("stopped", &s), MOB_E_NOT_FOUND);
	assert_int_equal(mob_session_stop("stopped", 0), MOB_E_NOT_FOUND);
	assert_int_equal(mob_session_stop("stopped", -5), MOB_E_INVAL);
}

static void test_stop_at_once_kills_a_stopped_daemon(void **state)
{
	struct found f = { .name = "stuck" };
	struct want w = { .name = "hold", .state = MOB_TASK_STATE_RUNNING };
	struct gate g = gate_make("serve");
	int fd = open(g.path, O_RDWR | O_CLOEXEC);
	int child = live_spawn("serve", "stuck");

	(void)state;
	assert_true(fd >= 0);
	assert_true(live_await(runs, &f));
	assert_int_equal(mob_session_open("stuck", &w.s), 0);
	assert_true(live_await(is_so, &w));
	mob_session_close(w.s);
	assert_int_equal(kill((pid_t)f.daemon_pid, SIGSTOP), 0);
	assert_int_equal(mob_session_stop("stuck", 0), 0);
	assert_true(is_dead(&f.daemon_pid));
	assert_false(there(f.path));
	assert_int_equal(live_collect(child), 0);
	assert_int_equal(close(fd), 0);
}

static int keep(const struct mob_session_info *s, void *arg)
{
	int *n = arg;

	*n += s->state == MOB_SESSION_STALE;
	return 1;
}

static bool is_stale(void *arg)
{
	struct found *f = arg;

	f->there = false;
	(void)mob_session_each(find_session, f);
	return f->there && f->state == MOB_SESSION_STALE;
}

static void test_gc_removes_what_a_killed_driver_left(void **state)
{
	struct crew c = { .ok = true };
	int child = live_spawn("private", "");
	struct found f = { .driver_pid = (uint32_t)child };
	struct mob_session *s;
	char name[64];
	int kept = 0;

	(void)state;
	assert_true(live_await(runs, &f));
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
	assert_int_equal(mob_session_open(f.path, &s), 0);
	assert_int_equal(mob_session_workers(s, add_worker, &c), 0);
	mob_session_close(s);
	/* All stand before one dies, so that none starts another. */
	assert_int_equal(kill((pid_t)f.daemon_pid, SIGSTOP), 0);
	for (uint32_t i = 0; i < c.n; i++) {
		assert_int_equal(kill((pid_t)c.pid[i], SIGSTOP), 0);
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(live_collect(child), -SIGKILL);
	for (uint32_t i = 0; i < c.n; i++) {
		assert_int_equal(kill((pid_t)c.pid[i], SIGKILL), 0);
	}
	assert_int_equal(kill((pid_t)f.daemon_pid, SIGKILL), 0);
	(void)snprintf(name, sizeof(name), "%s", f.own_name);
	f.driver_pid = 0;
	f.name = name;
	assert_true(live_await(is_stale, &f));
	assert_int_equal(mob_session_gc(keep, &kept), 0);
	assert_int_equal(kept, 1);
	assert_true(there(f.path));
	assert_int_equal(mob_session_gc(NULL, NULL), 1);
	assert_false(there(f.path));
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
}

static void test_store_alone_is_listed_as_store(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct found f = { .name = "alone" };
	struct mob_store *store;
	struct mob_session *s;

	(void)state;
	opts.arena_bytes = 64 << 20;
	assert_int_equal(mob_store_create("alone", &opts, &store), 0);
	mob_store_close(store);
	assert_int_equal(mob_session_each(find_session, &f), 7);
	assert_int_equal(f.state, MOB_SESSION_STORE);
	assert_int_equal(mob_session_open("alone", &s), MOB_E_STATE);
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
	assert_int_equal(mob_session_stop("alone", 0), 0);
	assert_false(there(f.path));
}

static void test_other_directories_are_foreign(void **state)
{
	struct found f = { .name = "zzz" };
	char path[128];

	(void)state;
	assert_int_equal(mob_session_each(find_session, &f), 0);
	(void)snprintf(path, sizeof(path), "%s/mobula-%u/zzz", dir,
		       (unsigned)geteuid());
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/mobula-%u/zzz/ctl", dir,
		       (unsigned)geteuid());
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(mob_session_each(find_session, &f), 7);
	assert_int_equal(f.state, MOB_SESSION_FOREIGN);
	assert_int_equal(f.workers, 0);
	assert_int_equal(mob_session_gc(NULL, NULL), 0);
	assert_int_equal(mobi_dir_remove(f.path), 0);
}

/* ---- children ---- */

/* Ends when the session is stopped: 0 if that is what it was told. */
static int serve(const char *name)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	char gate[96];
	int64_t x = 0;

	opts.session = name;
	opts.workers = 2;
	opts.store_bytes = 64 << 20;
	(void)snprintf(gate, sizeof(gate), "%s/serve", dir);
	if (mob_init(&opts)) {
		return 2;
	}
	return mob_get(mob_submit(hold, (mob_str)gate), &x) == MOB_E_CLOSED ?
		       0 :
		       3;
}

/* A driver; what: "serve" with a session's name, or "private". */
static int child_main(char **argv)
{
	const char *base = getenv("MOBULA_SESSION_DIR");

	(void)snprintf(dir, sizeof(dir), "%s", base ? base : "");
	if (strcmp(argv[1], "serve") == 0) {
		return serve(argv[2]);
	}
	live_start(2);
	for (;;) {
		(void)pause();
	}
}

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stop_ends_processes_and_removes_directory),
		TEST(test_stop_at_once_kills_a_stopped_daemon),
		TEST(test_gc_removes_what_a_killed_driver_left),
		TEST(test_store_alone_is_listed_as_store),
		TEST(test_other_directories_are_foreign),
	};

	return argc > 1 ?
		       child_main(argv) :
		       cmocka_run_group_tests_name("multi.session_end", tests,
						   group_open, group_close);
}
