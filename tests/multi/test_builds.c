/* SPDX-License-Identifier: Apache-2.0 */
/* Builds of a program and of modules: a session has one, and goes on with it. */
#define _GNU_SOURCE
#include "live.h"

#include "module.h"
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

static char dir[64];
static char module[100];
static char session[40];

/* What a build of a file has in its place; as a linker does it, by a new file. */
static void put_in_place(const char *from, const char *at)
{
	char fresh[128];
	char buf[65536];
	size_t n;
	FILE *in = fopen(from, "rb");
	FILE *out;

	(void)snprintf(fresh, sizeof(fresh), "%s.new", at);
	out = fopen(fresh, "wb");
	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(buf, 1, sizeof(buf), in)) > 0) {
		assert_int_equal(fwrite(buf, 1, n, out), n);
	}
	(void)fclose(in);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod(fresh, 0700), 0);
	assert_int_equal(rename(fresh, at), 0);
}

static struct mob_init_opts with_module(void)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	o.workers = 1;
	o.store_bytes = 16 << 20;
	o.module = module;
	return o;
}

static int is_answer(const struct mob_task_def *def, void *arg)
{
	const struct mob_task_def **out = arg;

	if (strcmp(def->name, "module_answer") != 0) {
		return 0;
	}
	*out = def;
	return 1;
}

/* By a worker that was started a moment ago. */
static int64_t ask(void)
{
	struct mob_task_opts o = MOB_OPTS(.max_calls = 1);
	const struct mob_task_def *def = NULL;
	struct mob_ref ref;
	int64_t got = 0;

	assert_int_equal(mobi_module_each(is_answer, &def), 1);
	assert_true(mob_submit_raw(def, &o, 0, NULL, 1, &ref) >= 0);
	assert_int_equal(mob_get(ref, &got), 0);
	return got;
}

static void expect_init(const struct mob_init_opts *o, int want,
			const char *part, const char *part2)
{
	int rc = mob_init(o);

	if (rc != want || !strstr(mob_error(), part) ||
	    !strstr(mob_error(), part2)) {
		fail_msg("%s instead of %s: %s", mob_err_name(rc),
			 mob_err_name(want), mob_error());
	}
	mob_error_clear();
	assert_null(mobi_rt.store);
}

static int shell(const char *how, const char *program, const char *more)
{
	char cmd[400];
	int status;

	(void)snprintf(cmd, sizeof(cmd), "exec %s %s %s", program, how, more);
	status = system(cmd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the program ---- */

static void
test_builds_session_goes_on_when_its_program_is_built_anew(void **state)
{
	char program[100];
	char other[100];
	char more[200];

	(void)state;
	(void)snprintf(program, sizeof(program), "%s/prog", dir);
	(void)snprintf(other, sizeof(other), "%s/next", dir);
	(void)snprintf(more, sizeof(more), "%s %s", other, session);
	put_in_place(TEST_PROGRAM_1, program);
	put_in_place(TEST_PROGRAM_2, other);
	assert_int_equal(shell("rebuilt", program, more), 0);
	/* The file is the other build by now, the session the first. */
	assert_int_equal(shell("attach", program, session), 0);
	assert_int_equal(mob_session_stop(session, 0), 0);
}

struct crew {
	int pid[8];
	int n;
};

static int add_worker(const struct mob_worker_info *w, void *arg)
{
	struct crew *c = arg;

	assert_true(c->n < 8);
	c->pid[c->n++] = (int)w->pid;
	return 0;
}

static bool is_up(void *arg)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;

	assert_int_equal(mob_session_describe(arg, &info), 0);
	return info.daemon_pid && info.workers;
}

static bool is_down(void *arg)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;

	assert_int_equal(mob_session_describe(arg, &info), 0);
	return !info.daemon_pid && !info.workers;
}

/* All at once, so that nobody starts another from its own program. */
static void kill_crew(const char *name)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct mob_session *ses;
	struct crew c = { .n = 0 };

	assert_int_equal(mob_session_open(name, &ses), 0);
	assert_true(live_await(is_up, ses));
	assert_int_equal(mob_session_describe(ses, &info), 0);
	c.pid[c.n++] = (int)info.daemon_pid;
	assert_int_equal(kill(c.pid[0], SIGSTOP), 0);
	assert_int_equal(mob_session_workers(ses, add_worker, &c), 0);
	assert_true(c.n > 1);
	for (int sig = SIGSTOP, round = 0; round < 2; round++, sig = SIGKILL) {
		for (int i = 0; i < c.n; i++) {
			assert_int_equal(kill(c.pid[i], sig), 0);
		}
	}
	assert_true(live_await(is_down, ses));
	mob_session_close(ses);
}

/* A driver that is another program has none but the file to start a daemon from. */
static void test_builds_no_daemon_from_another_build(void **state)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_session *ses;
	char program[100];

	(void)state;
	(void)snprintf(program, sizeof(program), "%s/prog", dir);
	put_in_place(TEST_PROGRAM_1, program);
	assert_int_equal(shell("begin", program, session), 0);
	put_in_place(TEST_PROGRAM_2, program);
	kill_crew(session);
	o.session = session;
	expect_init(&o, MOB_E_VERSION, program, "put the old file back");
	put_in_place(TEST_PROGRAM_1, program);
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(mob_session_current(&ses), 0);
	assert_true(live_await(is_up, ses));
	mob_session_close(ses);
	mob_shutdown();
	assert_int_equal(mob_session_stop(session, 0), 0);
}

/* ---- a module ---- */

struct lines {
	int pid[256];
	size_t n;
};

static void read_ledger(const char *path, struct lines *l)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	l->n = 0;
	while (l->n < 256 && fscanf(f, "%d", &l->pid[l->n]) == 1) {
		l->n++;
	}
	(void)fclose(f);
}

static void test_builds_worker_loads_a_module_once(void **state)
{
	struct mob_init_opts o = with_module();
	const struct mob_task_def *def = NULL;
	struct mob_ref refs[64];
	int64_t got[64];
	struct lines l;
	char ledger[100];
	int fd;

	(void)state;
	(void)snprintf(ledger, sizeof(ledger), "%s/ledger", dir);
	fd = open(ledger, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	(void)setenv("TEST_MODULE_LEDGER", ledger, 1);
	put_in_place(TEST_MODULE_1, module);
	o.workers = 2;
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(mobi_module_each(is_answer, &def), 1);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 64; i++) {
			assert_true(mob_submit_raw(def, NULL, 0, NULL, 1,
						   &refs[i]) >= 0);
		}
		assert_int_equal(mob_get_all(refs, 64, got), 0);
	}
	(void)unsetenv("TEST_MODULE_LEDGER");
	read_ledger(ledger, &l);
	assert_true(l.n >= 2); /* the driver, and a worker */
	for (size_t i = 0; i < l.n; i++) {
		for (size_t k = 0; k < i; k++) {
			assert_int_not_equal(l.pid[i], l.pid[k]);
		}
	}
	mob_shutdown();
}

static bool is_noticed(void *arg)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct mob_session *ses;

	(void)arg;
	assert_int_equal(mob_session_current(&ses), 0);
	assert_int_equal(mob_session_describe(ses, &info), 0);
	assert_string_equal(info.module, module);
	assert_int_equal(strlen(info.module_build), 32);
	mob_session_close(ses);
	return info.changed == MOB_SESSION_CHANGED_MODULE;
}

static void
test_builds_session_goes_on_when_its_module_is_built_anew(void **state)
{
	struct mob_init_opts o = with_module();

	(void)state;
	put_in_place(TEST_MODULE_1, module);
	o.session = session;
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(ask(), 1);
	assert_int_equal(ask(), 1);
	assert_false(is_noticed(NULL));
	put_in_place(TEST_MODULE_2, module);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ask(), 1);
	}
	assert_true(live_await(is_noticed, NULL));
	assert_int_equal(live_collect(live_spawn("attach", session)), 0);
	/* Nor if it is not there at all. */
	assert_int_equal(unlink(module), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ask(), 1);
	}
	mob_shutdown();
	assert_int_equal(mob_session_stop(session, 0), 0);
	/* This process has the old one. */
	put_in_place(TEST_MODULE_2, module);
	o.session = NULL;
	expect_init(&o, MOB_E_BUSY, "built anew", "start the program again");
}

/* One that says nothing of its build is known by its bytes, those of the copy, too. */
static void test_builds_module_without_a_build_id(void **state)
{
	struct mob_init_opts o = with_module();

	(void)state;
	put_in_place(TEST_MODULE_6, module);
	o.session = session;
	assert_int_equal(mob_init(&o), 0);
	assert_int_equal(ask(), 6);
	put_in_place(TEST_MODULE_2, module);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ask(), 6);
	}
	mob_shutdown();
	assert_int_equal(mob_session_stop(session, 0), 0);
}

/* The same bytes in another file are the same build. */
static void test_builds_file_that_is_only_touched_is_the_same(void **state)
{
	struct mob_init_opts o = with_module();

	(void)state;
	put_in_place(TEST_MODULE_1, module);
	o.session = session;
	assert_int_equal(mob_init(&o), 0);
	put_in_place(TEST_MODULE_1, module);
	assert_int_equal(ask(), 1);
	assert_int_equal(ask(), 1);
	assert_int_equal(live_collect(live_spawn("same", session)), 0);
	assert_false(is_noticed(NULL));
	mob_shutdown();
	assert_int_equal(mob_session_stop(session, 0), 0);
}

/* As another process: a session with that module, build 1. */
static int child_attaches(const char *name, bool same)
{
	struct mob_init_opts o = with_module();
	int rc;

	o.session = name;
	rc = mob_init(&o);
	if (same) {
		return rc;
	}
	return rc == MOB_E_VERSION && strstr(mob_error(), module) &&
			       strstr(mob_error(), "two builds do not mix") ?
		       0 :
		       2;
}

static void test_builds_module_that_is_none_is_told(void **state)
{
	struct mob_init_opts o = with_module();
	FILE *f;

	(void)state;
	expect_init(&o, MOB_E_NOT_FOUND, module, "there is no file");
	f = fopen(module, "w");
	assert_non_null(f);
	(void)fprintf(f, "no code\n");
	assert_int_equal(fclose(f), 0);
	expect_init(&o, MOB_E_PLUGIN, module, "loads here");
	o.module = dir;
	expect_init(&o, MOB_E_SYS, dir, "");
}

static void test_builds_module_of_another_version_is_told(void **state)
{
	struct mob_init_opts o = with_module();

	(void)state;
	put_in_place(TEST_MODULE_3, module);
	expect_init(&o, MOB_E_VERSION, module, "compile it again");
	/* It was tried elsewhere: this process has none of it. */
	o.module = NULL;
	assert_int_equal(mob_init(&o), 0);
	mob_shutdown();
}

static void test_builds_module_that_ends_its_process_is_told(void **state)
{
	struct mob_init_opts o = with_module();

	(void)state;
	put_in_place(TEST_MODULE_4, module);
	expect_init(&o, MOB_E_PLUGIN, module, "constructor");
	put_in_place(TEST_MODULE_5, module);
	expect_init(&o, MOB_E_PLUGIN, module, "signal 6");
}

/* ---- */

static int begin(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/mob-builds-XXXXXX");
	if (!mkdtemp(dir)) {
		return -1;
	}
	(void)snprintf(module, sizeof(module), "%s/tasks.so", dir);
	(void)setenv("TEST_MODULE_PATH", module, 1);
	(void)snprintf(session, sizeof(session), "builds-%d", (int)getpid());
	return 0;
}

static int leave(void **state)
{
	char cmd[100];

	(void)state;
	mob_shutdown();
	mob_error_clear();
	(void)unsetenv("TEST_MODULE_LEDGER");
	if (mob_session_stop(session, 0) == 0) {
		(void)fprintf(stderr, "session %s was left\n", session);
	}
	(void)snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

#define T(test) cmocka_unit_test_setup_teardown(test, begin, leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_builds_session_goes_on_when_its_program_is_built_anew),
		T(test_builds_no_daemon_from_another_build),
		T(test_builds_module_that_is_none_is_told),
		T(test_builds_module_of_another_version_is_told),
		T(test_builds_module_that_ends_its_process_is_told),
	};
	/* What a process has loaded it keeps, so each has one of its own. */
	const struct CMUnitTest once[] = {
		T(test_builds_worker_loads_a_module_once),
	};
	const struct CMUnitTest touched[] = {
		T(test_builds_file_that_is_only_touched_is_the_same),
	};
	const struct CMUnitTest anew[] = {
		T(test_builds_session_goes_on_when_its_module_is_built_anew),
	};
	const struct CMUnitTest bare[] = {
		T(test_builds_module_without_a_build_id),
	};
	const char *what = argc > 1 ? argv[1] : "";
	const char *path = getenv("TEST_MODULE_PATH");

	if (argc > 2 && path) {
		(void)snprintf(module, sizeof(module), "%s", path);
		return child_attaches(argv[2], !strcmp(what, "same"));
	}
	if (!strcmp(what, "once")) {
		return cmocka_run_group_tests(once, NULL, NULL);
	}
	if (!strcmp(what, "touched")) {
		return cmocka_run_group_tests(touched, NULL, NULL);
	}
	if (!strcmp(what, "anew")) {
		return cmocka_run_group_tests(anew, NULL, NULL);
	}
	if (!strcmp(what, "bare")) {
		return cmocka_run_group_tests(bare, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
