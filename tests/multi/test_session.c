/* SPDX-License-Identifier: Apache-2.0 */
/* Entering and leaving sessions: every error of mob_init, names, stale ones. */
#define _GNU_SOURCE
#include "live.h"

#include "catalogue_env.h"
#include "os_clock.h"
#include "os_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

MOB_TASK(int64_t, s_add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_TASK(int64_t, s_init, void)
{
	return mob_init(NULL);
}

MOB_TASK(void, s_for_ever, void)
{
	for (;;) {
		mobi_pause_ns(MOB_SEC);
	}
}

static void expect_init(const struct mob_init_opts *o, int want,
			const char *part)
{
	int rc = mob_init(o);

	if (rc != want) {
		fail_msg("%s instead of %s: %s", mob_err_name(rc),
			 mob_err_name(want), mob_err_detail(rc));
	}
	/* It is told, and pends. */
	if (!strstr(mob_err_detail(rc), part) || !strstr(mob_error(), part)) {
		fail_msg("'%s' is not in: %s; %s", part, mob_err_detail(rc),
			 mob_error());
	}
	assert_int_equal(mob_error_code(), want);
	mob_error_clear();
	assert_null(mobi_rt.store);
}

static struct mob_init_opts small(void)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	o.workers = 1;
	o.store_bytes = 16 << 20;
	return o;
}

/* A name that no other run has. */
static char name[64];

static const char *fresh(void)
{
	static int serial;

	(void)snprintf(name, sizeof(name), "test-%d-%d", (int)getpid(),
		       serial++);
	return name;
}

static void test_session_calls_without_one_are_told(void **state)
{
	struct mob_queue *q;
	int64_t x = 4;
	mob_ref r = s_add(1, 2) == 3 ? mob_submit(s_add, 1, 2) : MOB_REF_NONE;

	(void)state;
	assert_true(mob_ref_is_none(r));
	assert_true(mob_ref_is_none(mob_put(5)));
	assert_int_equal(mob_get(r, &x), MOB_E_STATE);
	assert_int_equal(x, 0);
	assert_non_null(strstr(mob_error(), "mob_init"));
	mob_error_clear();
	assert_null(mob_new(10));
	assert_int_equal(mob_error_code(), MOB_E_STATE);
	mob_error_clear();
	assert_int_equal(mob_queue_open(&q), MOB_E_STATE);
	mob_error_clear();
	assert_int_equal(mob_wait(&r, 1, 1, 0, NULL), MOB_E_STATE);
	mob_error_clear();
	assert_int_equal(mob_release(r), MOB_E_STATE);
	mob_error_clear();
	MOB_SCOPE
	{
	}
	mob_shutdown();
}

static void test_session_options_out_of_range(void **state)
{
	struct mob_init_opts o = small();

	(void)state;
	o.workers = 0;
	expect_init(&o, MOB_E_INVAL, "workers is 0");
	o.workers = -2;
	expect_init(&o, MOB_E_INVAL, "workers is -2");
	o.workers = 1000;
	expect_init(&o, MOB_E_INVAL, "workers is 1000");
	o = small();
	o.store_bytes = 4096;
	expect_init(&o, MOB_E_INVAL, "4096");
	o.store_bytes = (UINT64_C(4) << 20) - 1;
	expect_init(&o, MOB_E_INVAL, "4194304");
	o.store_bytes = UINT64_C(1) << 60;
	expect_init(&o, MOB_E_INVAL, "/dev/shm");
	o = small();
	o.flags = 1;
	expect_init(&o, MOB_E_VERSION, "MOB_INIT_OPTS_INIT");
	o = small();
	o.struct_size = 1;
	expect_init(&o, MOB_E_VERSION, "MOB_INIT_OPTS_INIT");
}

static void test_session_names_that_are_none(void **state)
{
	static const char *const bad[] = { "",    ".",   "..", ".x",
					   "a/b", "a b", "\n", "\303\244" };
	char too_long[80];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct mob_init_opts o = small();

		o.session = bad[i];
		expect_init(&o, MOB_E_INVAL, "name");
	}
	memset(too_long, 'n', sizeof(too_long));
	too_long[64] = 0;
	struct mob_init_opts o = small();
	o.session = too_long;
	expect_init(&o, MOB_E_INVAL, "63");
}

static void test_session_configuration_is_checked(void **state)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	(void)state;
	assert_int_equal(setenv("MOBULA_WORKERS", "many", 1), 0);
	expect_init(&o, MOB_E_INVAL, "MOBULA_WORKERS");
	assert_int_equal(setenv("MOBULA_WORKERS", "1", 1), 0);
	assert_int_equal(setenv("MOBULA_STORE_BYTES", "1K", 1), 0);
	expect_init(&o, MOB_E_INVAL, "1024");
	assert_int_equal(setenv("MOBULA_STORE_BYTES", "32M", 1), 0);
	assert_int_equal(setenv("MOBULA_POLICY", "nobody_has_this", 1), 0);
	expect_init(&o, MOB_E_PLUGIN, "nobody_has_this");
	assert_int_equal(setenv("MOBULA_POLICY", "fifo", 1), 0);
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(live_workers(), 1);
	assert_string_equal(live_policy(), "fifo");
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_WORKERS"), 0);
	assert_int_equal(unsetenv("MOBULA_STORE_BYTES"), 0);
	assert_int_equal(unsetenv("MOBULA_POLICY"), 0);
	/* Another directory for sessions, which must be there. */
	assert_int_equal(setenv("MOBULA_SESSION_DIR", "/nowhere/at/all", 1), 0);
	int rc = mob_init(&o);
	assert_true(rc < 0);
	assert_non_null(strstr(mob_error(), "/nowhere/at/all"));
	mob_error_clear();
	assert_int_equal(unsetenv("MOBULA_SESSION_DIR"), 0);
}

static void test_session_policy_that_is_no_plugin(void **state)
{
	struct mob_init_opts o = small();
	char dir[] = "/tmp/mob-test-XXXXXX";
	char path[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/sched_none.so", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "no plugin\n", 10), 10);
	(void)close(fd);
	o.policy = "no_such_policy";
	expect_init(&o, MOB_E_PLUGIN, "no_such_policy");
	o.policy = path;
	expect_init(&o, MOB_E_PLUGIN, path);
	o.policy = "/no/such/file.so";
	expect_init(&o, MOB_E_PLUGIN, "/no/such/file.so");
	o.policy = TEST_LIBRARY; /* a library that has no such entry */
	expect_init(&o, MOB_E_PLUGIN, TEST_LIBRARY);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_session_once_until_it_is_shut_down(void **state)
{
	struct mob_init_opts o = small();
	mob_ref old = MOB_REF_NONE;
	int64_t x;

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct mob_queue *q;
		struct stat st;
		char *path;

		assert_int_equal(mob_init(&o), 0);
		path = strdup(mobi_rt.store->path);
		assert_non_null(path);
		assert_int_equal(mob_init(&o), MOB_E_STATE);
		assert_non_null(strstr(mob_error(), "mob_shutdown"));
		mob_error_clear();
		/* Refs of the one before mean nothing here. */
		if (i) {
			assert_int_equal(mob_get(old, &x), MOB_E_BAD_REF);
			mob_error_clear();
		}
		old = mob_submit(s_add, i, 1);
		assert_int_equal(mob_get(old, &x), 0);
		assert_int_equal(x, i + 1);
		assert_int_equal(mob_get(mob_submit(s_init), &x), 0);
		assert_int_equal(x, 0);
		/* Left as it is: a scope, a queue, a task that never ends. */
		(void)mob_scope_open();
		(void)mob_put("in a scope");
		assert_int_equal(mob_queue_open(&q), 0);
		assert_int_equal(mob_queue_add(q, mob_put(1), 1), 0);
		assert_int_equal(mob_keep(mob_put(2)), 0);
		(void)mob_submit(s_for_ever);
		mob_shutdown();
		assert_int_equal(stat(path, &st), -1);
		free(path);
	}
}

static void test_session_queue_that_outlives_it_is_told(void **state)
{
	struct mob_init_opts o = small();
	struct mob_queue *q;
	mob_ref r;

	(void)state;
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(mob_queue_open(&q), 0);
	assert_int_equal(mob_queue_add(q, mob_put(1), 1), 0);
	mob_shutdown();
	for (int again = 0; again < 2; again++) {
		assert_int_equal(mob_queue_pop(q, 0, &r, NULL), MOB_E_STATE);
		assert_non_null(strstr(mob_error(), "session"));
		mob_error_clear();
		assert_int_equal(mob_queue_add(q, MOB_REF_NONE, 0),
				 MOB_E_STATE);
		mob_error_clear();
		assert_int_equal(mob_queue_fd(q), MOB_E_STATE);
		mob_error_clear();
		assert_int_equal(mob_queue_outstanding(q), 0);
		/* Nor is it one of the next session. */
		assert_int_equal(mob_init(&o), again ? MOB_E_STATE : 0);
		mob_error_clear();
	}
	mob_queue_close(q);
	mob_shutdown();
}

/* ---- a process that is stopped ---- */

static int child_stops_in_a_write(const char *session)
{
	struct mob_store *s;
	MDB_txn *txn;

	if (mob_store_open(session, &s) || mobi_cat_begin_write(s->cat, &txn)) {
		return 1;
	}
	(void)raise(SIGSTOP);
	(void)mobi_cat_end_write(s->cat, txn, false);
	mobi_cat_leave(s->cat, 0);
	mob_store_close(s);
	return 0;
}

/* It has the lock of the catalogue. The daemon sees a worker die, and starts
 * another. */
static void test_session_writer_that_is_stopped_stops_nobody(void **state)
{
	struct mob_init_opts o = small();
	int64_t x;
	int status;
	int pid;

	(void)state;
	o.workers = 1;
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(mob_get(mob_submit(s_add, 1, 1), &x), 0);
	pid = live_spawn("stops", mobi_rt.store->path);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	/* Something for the daemon to write. */
	for (int i = 0; i < 100; i++) {
		(void)mob_put(i);
	}
	mobi_pause_ns(MOB_SEC);
	for (int i = 0; i < 3; i++) {
		int worker = live_worker(0);

		assert_true(worker > 0);
		assert_int_equal(kill(worker, SIGKILL), 0);
		assert_int_equal(mob_get(mob_submit(s_add, i, 1), &x), 0);
		assert_int_equal(x, i + 1);
	}
	/* Who wants to write as well is told, not stopped. */
	mobi_catalogue_patience(mobi_rt.store->cat, MOB_MS);
	assert_int_equal(mob_store_sync(mobi_rt.store), MOB_E_TIMEOUT);
	assert_non_null(strstr(mob_err_detail(MOB_E_TIMEOUT), "stopped"));
	assert_int_equal(kill(pid, SIGCONT), 0);
	assert_int_equal(live_collect(pid), 0);
	mobi_catalogue_patience(mobi_rt.store->cat, 10 * MOB_SEC);
	assert_int_equal(mob_store_sync(mobi_rt.store), 0);
	mob_shutdown();
}

/* ---- names ---- */

static void test_session_name_of_a_store_is_in_use(void **state)
{
	struct mob_init_opts o = small();
	struct mob_store *s;

	(void)state;
	o.session = fresh();
	assert_int_equal(mob_store_create(o.session, NULL, &s), 0);
	expect_init(&o, MOB_E_EXISTS, o.session);
	mob_store_close(s);
	assert_int_equal(mob_store_remove(o.session), 0);
}

static int child_attaches(const char *session)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	mob_ref r;
	int64_t x;

	o.session = session;
	if (mob_init(&o)) {
		return 2;
	}
	if (live_workers() != 1) {
		return 3;
	}
	r = mob_submit(s_add, 40, 2);
	if (mob_get(r, &x) || x != 42) {
		return 4;
	}
	mob_shutdown();
	/* Once more, with a wish that this session does not fulfil. */
	o.workers = 7;
	if (mob_init(&o) != MOB_E_EXISTS || !strstr(mob_error(), "1 workers")) {
		return 5;
	}
	mob_error_clear();
	o.workers = 1;
	o.store_bytes = UINT64_C(1) << 29;
	if (mob_init(&o) != MOB_E_EXISTS) {
		return 6;
	}
	mob_error_clear();
	o.store_bytes = 0;
	o.policy = "lifo";
	if (mob_init(&o) != MOB_E_EXISTS || !strstr(mob_error(), "policy ws, "
								 "not lifo")) {
		return 9;
	}
	mob_error_clear();
	/* It ends by a signal, attached, with a task that goes on. */
	o.policy = "ws";
	if (mob_init(&o)) {
		return 7;
	}
	(void)mob_put("nobody's then");
	(void)mob_submit(s_add, 1, 1);
	(void)raise(SIGKILL);
	return 8;
}

/* As if the program had been built anew, with other tables, while it runs. */
static void test_session_of_another_layout_is_refused(void **state)
{
	struct mob_init_opts o = small();
	struct mob_session *ses;
	struct mob_store *s;

	(void)state;
	o.session = fresh();
	assert_int_equal(mob_init(&o), 0);
	mob_shutdown();
	assert_int_equal(mobi_store_open(o.session, MOBI_ROLE_TOOL, &s), 0);
	assert_int_equal(mobi_load(&s->hdr->has_sched), MOBI_SCHED_LAYOUT);
	mobi_store(&s->hdr->has_sched, MOBI_SCHED_LAYOUT ^ 2u);
	expect_init(&o, MOB_E_VERSION, "another build of the scheduler");
	assert_int_equal(mob_session_open(o.session, &ses), MOB_E_VERSION);
	mobi_store(&s->hdr->has_sched, MOBI_SCHED_LAYOUT);
	mob_store_close(s);
	assert_int_equal(mob_session_open(o.session, &ses), 0);
	mob_session_close(ses);
	assert_int_equal(mob_session_stop(o.session, MOB_SEC), 0);
}

static void test_session_with_a_name_is_shared(void **state)
{
	struct mob_init_opts o = small();
	int64_t x;

	(void)state;
	o.session = fresh();
	assert_int_equal(mob_init(&o), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(live_collect(live_spawn("attach", o.session)),
				 -SIGKILL);
		assert_int_equal(mob_take(mob_submit(s_add, 1, 2), &x), 0);
		assert_int_equal(x, 3);
	}
	/* Of the dead nothing is left. */
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
	/* It goes on without us, and ends when it is told to. */
	assert_int_equal(live_collect(live_spawn("attach", o.session)),
			 -SIGKILL);
	assert_int_equal(mob_session_stop(o.session, MOB_SEC), 0);
	assert_int_equal(mob_store_remove(o.session), MOB_E_NOT_FOUND);
}

/* ---- stale ones ---- */

static int child_waits(const char *report)
{
	struct mob_init_opts o = small();
	FILE *f;

	if (mob_init(&o)) {
		return 2;
	}
	(void)mob_submit(s_for_ever);
	f = fopen(report, "w");
	if (!f ||
	    fprintf(f, "%s\n%d\n%d\n", mobi_rt.store->path, live_daemon(),
		    live_worker(0)) < 0 ||
	    fclose(f)) {
		return 3;
	}
	(void)pause();
	return 4;
}

struct other {
	char file[64];
	char path[256];
	int driver, daemon, worker;
};

static bool has_reported(void *arg)
{
	struct other *c = arg;
	FILE *f = fopen(c->file, "r");
	bool done;

	if (!f) {
		return false;
	}
	done = fscanf(f, "%255s%d%d", c->path, &c->daemon, &c->worker) == 3 &&
	       c->daemon && c->worker;
	(void)fclose(f);
	return done;
}

/* Dead, whether somebody has collected it or not. */
static bool is_dead(int pid)
{
	struct mobi_proc p;

	return mobi_proc_of(pid, &p) == MOB_E_NOT_FOUND;
}

static bool is_gone(void *arg)
{
	const struct other *c = arg;
	struct stat st;

	return stat(c->path, &st) && errno == ENOENT && is_dead(c->daemon) &&
	       is_dead(c->worker);
}

/* For whoever reads it: the driver was killed a moment before. */
static void await_gone(struct other *c)
{
	uint64_t began = mobi_now_ns();

	assert_true(live_await(is_gone, c));
	print_message("all was gone within %llu ms\n",
		      (unsigned long long)(mobi_now_ns() - began) / MOB_MS);
}

static void start_other(struct other *c)
{
	(void)snprintf(c->file, sizeof(c->file), "/dev/shm/%.40s", fresh());
	c->driver = live_spawn("wait", c->file);
	assert_true(live_await(has_reported, c));
	assert_int_equal(unlink(c->file), 0);
}

static void test_session_of_a_killed_driver_ends(void **state)
{
	struct other c;

	(void)state;
	start_other(&c);
	assert_int_equal(kill(c.driver, SIGKILL), 0);
	assert_int_equal(live_collect(c.driver), -SIGKILL);
	await_gone(&c);
}

static void test_session_of_a_killed_driver_and_daemon_ends(void **state)
{
	struct other c;

	(void)state;
	start_other(&c);
	assert_int_equal(kill(c.daemon, SIGKILL), 0);
	assert_int_equal(kill(c.driver, SIGKILL), 0);
	assert_int_equal(live_collect(c.driver), -SIGKILL);
	await_gone(&c);
}

static bool is_running(void *arg)
{
	(void)arg;
	return mobi_load(&mobi_rt.sched->place[0].ann) != 0;
}

static bool has_another_daemon(void *arg)
{
	const int *old = arg;

	return live_daemon() && live_daemon() != *old;
}

/* A daemon that is dying has closed its files before it is dead. The worker that
 * notices is in a task: the daemon that it starts must not give up. */
static void test_session_next_daemon_waits_for_a_dying_one(void **state)
{
	struct mob_init_opts o = small();
	struct mobi_sched *sh;
	int daemon;

	(void)state;
	assert_int_equal(mob_init(&o), 0);
	sh = mobi_rt.sched;
	(void)mob_submit(s_for_ever);
	assert_true(live_await(is_running, NULL));
	daemon = live_daemon();
	assert_int_equal(kill(daemon, SIGKILL), 0);
	/* This process plays the one that lingers. */
	while (mobi_lock_try(&sh->daemon) < 0) {
		int other = live_daemon();

		if (other && other != daemon) {
			(void)kill(other, SIGKILL); /* it was quicker */
			daemon = other;
		}
	}
	mobi_pause_ns(200 * MOB_MS); /* the next one finds it meanwhile */
	mobi_lock_release(&sh->daemon);
	assert_true(live_await(has_another_daemon, &daemon));
	mob_shutdown();
}

static void test_session_stale_one_is_removed_by_the_next(void **state)
{
	struct mob_init_opts o = small();
	struct other c;
	struct stat st;

	(void)state;
	start_other(&c);
	/* All at once, so that nobody can clean up. */
	assert_int_equal(kill(c.daemon, SIGSTOP), 0);
	assert_int_equal(kill(c.worker, SIGSTOP), 0);
	assert_int_equal(kill(c.driver, SIGKILL), 0);
	assert_int_equal(kill(c.daemon, SIGKILL), 0);
	assert_int_equal(kill(c.worker, SIGKILL), 0);
	assert_int_equal(live_collect(c.driver), -SIGKILL);
	assert_int_equal(stat(c.path, &st), 0);
	while (!is_dead(c.daemon) || !is_dead(c.worker)) {
		mobi_pause_ns(MOB_MS);
	}
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(stat(c.path, &st), -1);
	mob_shutdown();
}

/* ---- programs ---- */

static void test_session_program_without_mob_main_is_told(void **state)
{
	int status = system(TEST_PLAIN " >/dev/null");

	(void)state;
	assert_int_equal(status, 0);
}

static void test_session_program_that_fails_prints_its_error(void **state)
{
	char line[200] = "";
	FILE *f;
	char cmd[300];

	(void)state;
	(void)snprintf(cmd, sizeof(cmd), "exec '%s' fail 2>&1",
		       program_invocation_name);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && !strstr(line, "why it failed")) {
	}
	assert_non_null(strstr(line, "why it failed"));
	while (fgets(line, sizeof(line), f)) {
	}
	assert_int_equal(WEXITSTATUS(pclose(f)), 7);
}

static int child_doubles(void)
{
	struct mob_task_def same = s_add_def;
	const struct mob_task_def *list[1] = { &same };

	mob_module_register_raw(list, list + 1);
	if (mob_init(NULL) != MOB_E_EXISTS || !strstr(mob_error(), "s_add is "
								   "defined "
								   "twice")) {
		return 2;
	}
	return 0;
}

static int child_old(void)
{
	static const struct mob_task_def old = { .struct_size = 1,
						 .name = "old",
						 .file = "old.c" };
	const struct mob_task_def *list[1] = { &old };

	mob_module_register_raw(list, list + 1);
	if (mob_init(NULL) != MOB_E_VERSION || !strstr(mob_error(), "task "
								    "old")) {
		return 2;
	}
	return 0;
}

static void test_session_definitions_are_checked(void **state)
{
	(void)state;
	assert_int_equal(live_collect(live_spawn("doubles", NULL)), 0);
	assert_int_equal(live_collect(live_spawn("old", NULL)), 0);
}

/* What a test that failed left in the way of the next. */
static int leave(void **state)
{
	(void)state;
	mob_shutdown();
	mob_error_clear();
	if (name[0] && mob_session_stop(name, 0) == 0) {
		(void)fprintf(stderr, "session %s was left\n", name);
	}
	(void)unsetenv("MOBULA_WORKERS");
	(void)unsetenv("MOBULA_STORE_BYTES");
	(void)unsetenv("MOBULA_POLICY");
	(void)unsetenv("MOBULA_SESSION_DIR");
	return 0;
}

#define T(test) cmocka_unit_test_teardown(test, leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_session_calls_without_one_are_told),
		T(test_session_options_out_of_range),
		T(test_session_names_that_are_none),
		T(test_session_configuration_is_checked),
		T(test_session_policy_that_is_no_plugin),
		T(test_session_once_until_it_is_shut_down),
		T(test_session_queue_that_outlives_it_is_told),
		T(test_session_writer_that_is_stopped_stops_nobody),
		T(test_session_name_of_a_store_is_in_use),
		T(test_session_of_another_layout_is_refused),
		T(test_session_with_a_name_is_shared),
		T(test_session_of_a_killed_driver_ends),
		T(test_session_of_a_killed_driver_and_daemon_ends),
		T(test_session_next_daemon_waits_for_a_dying_one),
		T(test_session_stale_one_is_removed_by_the_next),
		T(test_session_program_without_mob_main_is_told),
		T(test_session_program_that_fails_prints_its_error),
		T(test_session_definitions_are_checked),
	};
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "attach")) {
		return child_attaches(argv[2]);
	}
	if (!strcmp(what, "wait")) {
		return child_waits(argv[2]);
	}
	if (!strcmp(what, "stops")) {
		return child_stops_in_a_write(argv[2]);
	}
	if (!strcmp(what, "doubles")) {
		return child_doubles();
	}
	if (!strcmp(what, "old")) {
		return child_old();
	}
	if (!strcmp(what, "fail")) {
		mob_fail(5, "this is why it failed");
		return 7;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
