/* SPDX-License-Identifier: Apache-2.0 */
/* What a program is started with: descriptors that are closed, or pipes that somebody
 * reads to their end. */
#define _GNU_SOURCE
#include "live.h"

#include "os_dir.h"
#include "os_proc.h"
#include "os_run.h"

#include <mobula/output.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

MOB_TASK(int64_t, a_square, int64_t, x)
{
	return x * x;
}

/* Is it /dev/null? */
static bool is_null(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(1, 3);
}

/* None of the standard descriptors is a file of the session, and they fail as closed
 * ones do. Number of the check that failed. */
static int closed_are_of_no_use(void)
{
	char c;

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (!is_null(fd)) {
			return 10 + fd;
		}
	}
	if (read(0, &c, 1) != -1 || errno != EBADF) {
		return 20;
	}
	for (int fd = 1; fd <= STDERR_FILENO; fd++) {
		if (write(fd, "x", 1) != -1 || errno != EBADF) {
			return 20 + fd;
		}
	}
	return 0;
}

static int child_without_descriptors(void)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_ref ref;
	int64_t x = 0;
	int rc;

	o.workers = 1;
	o.store_bytes = 16 << 20;
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		(void)close(fd);
	}
	if (mob_init(&o)) {
		return 2;
	}
	rc = closed_are_of_no_use();
	if (rc) {
		return rc;
	}
	/* Writes to the catalogue, too. */
	ref = mob_put((int64_t)5);
	if (mob_name_put(mobi_rt.store, "five", ref, 0, NULL)) {
		return 3;
	}
	if (mob_get(mob_submit(a_square, ref), &x) || x != 25) {
		return 4;
	}
	return closed_are_of_no_use();
}

static int child_opens_a_store(const char *name)
{
	struct mob_store *s;
	int rc;

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		(void)close(fd);
	}
	if (mob_store_open(name, &s)) {
		return 2;
	}
	rc = closed_are_of_no_use();
	mob_store_close(s);
	return rc;
}

static int child_makes_a_store(void)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	struct mob_store *s;
	int rc;

	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		(void)close(fd);
	}
	o.arena_bytes = MOB_STORE_MIN_BYTES;
	o.flags = MOB_STORE_PRIVATE;
	if (mob_store_create(NULL, &o, &s)) {
		return 2;
	}
	rc = closed_are_of_no_use();
	mob_store_close(s);
	return rc;
}

static void test_ambient_closed_descriptors_are_no_files_of_ours(void **state)
{
	(void)state;
	assert_int_equal(live_collect(live_spawn("closed", NULL)), 0);
	assert_int_equal(live_collect(live_spawn("makes", NULL)), 0);
	live_start(1);
	assert_int_equal(live_collect(live_spawn("opens", mobi_rt.store->name)),
			 0);
	mob_shutdown();
}

/* ---- who reads what the program prints ---- */

MOB_TASK(void, a_fails, void)
{
	mob_fail(1, "nobody asks for it");
}

static struct mob_init_opts named(const char *name)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	o.session = name;
	o.workers = 1;
	o.store_bytes = 16 << 20;
	return o;
}

static bool daemon_is_another(void *arg)
{
	const int *was = arg;
	int now = live_daemon();

	return now > 0 && now != *was;
}

/* May descriptors of other processes be had here? */
static bool may_ask(int pid)
{
	struct mobi_proc p;
	int fd = mobi_proc_of(pid, &p) < 0 ? -1 : mobi_proc_fd(&p, 2);

	mobi_fd_close(fd);
	return fd >= 0;
}

/* Have both the same stderr? */
static bool same_stderr(int pid)
{
	struct stat a;
	struct stat b;
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/2", pid);
	return !fstat(STDERR_FILENO, &a) && !stat(path, &b) &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Its first daemon, which has what it had, goes on. */
static int child_leaves_session(const char *name)
{
	struct mob_init_opts o = named(name);
	int64_t x = 0;

	return mob_init(&o) || mob_get(mob_submit(a_square, 5), &x) || x != 25;
}

static int child_makes_session(const char *name)
{
	struct mob_init_opts o = named(name);
	int64_t x = 0;
	int was;

	if (mob_init(&o) || mob_get(mob_submit(a_square, 5), &x) || x != 25) {
		return 2;
	}
	was = live_daemon();
	if (!same_stderr(was)) {
		return 3;
	}
	/* The next one has it, too, as long as this process lives. */
	(void)kill(was, SIGKILL);
	if (!live_await(daemon_is_another, &was)) {
		return 4;
	}
	if (may_ask(live_daemon()) && !same_stderr(live_daemon())) {
		return 5;
	}
	return mob_get(mob_submit(a_square, 6), &x) || x != 36 ? 6 : 0;
}

static int is_it(const struct mob_output_line *l, void *arg)
{
	bool *found = arg;

	*found |= strstr(l->text, "nobody asks for it") != NULL;
	return 0;
}

static bool log_has_it(void *arg)
{
	struct mob_output_pos from = { 0 };
	bool found = false;

	(void)mob_session_output(arg, &from, is_it, &found);
	return found;
}

static bool has_no_reader(void *arg)
{
	struct pollfd p = { .fd = *(int *)arg, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

/* Runs `what` with a pipe as stdout and stderr and another as stdin, reads the one to
 * its end, collects what ran, and waits until nobody reads the other. */
static int run_in_pipe(const char *what, const char *name)
{
	int keep[3] = { dup(STDIN_FILENO), dup(STDOUT_FILENO),
			dup(STDERR_FILENO) };
	int pipes[2];
	int in[2];
	char c[256];
	int pid;
	int rc;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	(void)fflush(NULL);
	(void)dup2(in[0], STDIN_FILENO);
	(void)dup2(pipes[1], STDOUT_FILENO);
	(void)dup2(pipes[1], STDERR_FILENO);
	pid = live_spawn(what, name);
	for (int i = 0; i < 3; i++) {
		(void)dup2(keep[i], i);
		(void)close(keep[i]);
	}
	(void)close(in[0]);
	(void)close(pipes[1]);
	while (read(pipes[0], c, sizeof(c)) > 0) {
	}
	(void)close(pipes[0]);
	rc = live_collect(pid);
	assert_true(live_await(has_no_reader, &in[1]));
	(void)close(in[1]);
	return rc;
}

static void test_ambient_session_that_goes_on_holds_no_pipe(void **state)
{
	struct mob_init_opts o;
	struct mob_session *s;
	char name[64];
	int n = snprintf(name, sizeof(name), "ambient-%d", (int)getpid());

	(void)state;
	assert_in_range(n, 1, (int)sizeof(name) - 1);
	assert_int_equal(run_in_pipe("leaves", name), 0);
	assert_int_equal(mob_session_stop(name, MOB_FOREVER), 0);
	assert_int_equal(run_in_pipe("names", name), 0);
	/* It goes on; and what its daemon says, it says in the log. */
	o = named(name);
	assert_int_equal(mob_init(&o), 0);
	MOB_SCOPE
	{
		(void)mob_submit_with(MOB_OPTS(.retries = 0), a_fails);
	}
	assert_int_equal(mob_session_current(&s), 0);
	assert_true(live_await(log_has_it, s));
	mob_session_close(s);
	mob_shutdown();
	assert_int_equal(mob_session_stop(name, MOB_FOREVER), 0);
}

/* ---- a daemon that is told to end ---- */

MOB_TASK(void, a_for_ever, void)
{
	for (;;) {
		mobi_pause_ns(MOB_SEC);
	}
}

static bool is_gone(void *arg)
{
	return access(arg, F_OK) != 0;
}

static void test_ambient_daemon_ends_its_session_when_told(void **state)
{
	char path[512];
	struct mob_ref ref;

	(void)state;
	live_start(1);
	(void)snprintf(path, sizeof(path), "%s", mobi_rt.store->path);
	ref = mob_submit(a_for_ever);
	assert_int_equal(mob_get_raw(ref, NULL, 0, NULL), MOB_E_TIMEOUT);
	assert_int_equal(kill(live_daemon(), SIGTERM), 0);
	assert_int_equal(mob_join(ref), MOB_E_CLOSED);
	mob_error_clear();
	assert_true(live_await(is_gone, path));
	mob_shutdown();
}

static bool is_dead(void *arg)
{
	return !mobi_proc_alive(arg);
}

/* Its processes do not stay where nobody finds them. */
static void test_ambient_session_without_its_directory_ends(void **state)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct mob_session *s;
	struct mobi_proc daemon;
	char name[64];

	(void)state;
	(void)snprintf(name, sizeof(name), "removed-%d", (int)getpid());
	assert_int_equal(live_collect(live_spawn("names", name)), 0);
	assert_int_equal(mob_session_open(name, &s), 0);
	assert_int_equal(mob_session_describe(s, &info), 0);
	assert_int_equal(mobi_proc_of((int)info.daemon_pid, &daemon), 0);
	assert_int_equal(mobi_dir_remove(info.path), 0);
	assert_true(live_await(is_dead, &daemon));
	mob_session_close(s);
}

/* ---- limits ---- */

static bool init_says(int want, const char *part)
{
	struct mob_init_opts o = named(NULL);
	int rc = mob_init(&o);

	if (rc != want || !strstr(mob_error(), part)) {
		(void)fprintf(stderr, "%d: %s\n", rc, mob_error());
		return false;
	}
	mob_error_clear();
	return true;
}

static int child_with_limit(const char *what)
{
	bool files = !strcmp(what, "fsize");
	struct rlimit max;

	max.rlim_cur = max.rlim_max = (rlim_t)(files ? 1 << 20 : 1 << 30);
	if (setrlimit(files ? RLIMIT_FSIZE : RLIMIT_AS, &max)) {
		return 2;
	}
	return files ? !init_says(MOB_E_LIMIT, "ulimit -f") :
		       !init_says(MOB_E_NOMEM, "ulimit -v");
}

/* As a user who may not start another process. */
static int child_that_starts_nothing(void)
{
	const struct rlimit none = { 0, 0 };

	if (geteuid() == 0 && setresuid(65534, 65534, 65534)) {
		return 2;
	}
	if (setrlimit(RLIMIT_NPROC, &none)) {
		return 3;
	}
	return !init_says(MOB_E_SYS, "ulimit -u");
}

/* Not a signal, not just "a system call failed". */
static void test_ambient_limits_are_named(void **state)
{
	(void)state;
	assert_int_equal(live_collect(live_spawn("limit", "fsize")), 0);
#if LIVE_SLOW == 1 /* a sanitizer maps more than that itself */
	assert_int_equal(live_collect(live_spawn("limit", "as")), 0);
#endif
	assert_int_equal(live_collect(live_spawn("nothing", NULL)), 0);
}

/* In a store without room for anything the error is told once by the log, and who
 * has the ref is told what it is. */
static void test_ambient_ref_that_names_nothing_says_so(void **state)
{
	int64_t x;

	(void)state;
	live_start(1);
	assert_int_equal(mob_get(MOB_REF_NONE, &x), MOB_E_BAD_REF);
	assert_non_null(strstr(mob_error(), "MOB_REF_NONE"));
	mob_error_clear();
	mob_shutdown();
}

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			test_ambient_closed_descriptors_are_no_files_of_ours,
			live_leave),
		cmocka_unit_test_teardown(
			test_ambient_session_that_goes_on_holds_no_pipe,
			live_leave),
		cmocka_unit_test_teardown(
			test_ambient_daemon_ends_its_session_when_told,
			live_leave),
		cmocka_unit_test_teardown(
			test_ambient_session_without_its_directory_ends,
			live_leave),
		cmocka_unit_test_teardown(test_ambient_limits_are_named,
					  live_leave),
		cmocka_unit_test_teardown(
			test_ambient_ref_that_names_nothing_says_so,
			live_leave),
	};
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "closed")) {
		return child_without_descriptors();
	}
	if (!strcmp(what, "makes")) {
		return child_makes_a_store();
	}
	if (!strcmp(what, "opens")) {
		return child_opens_a_store(argv[2]);
	}
	if (!strcmp(what, "leaves")) {
		return child_leaves_session(argv[2]);
	}
	if (!strcmp(what, "names")) {
		return child_makes_session(argv[2]);
	}
	if (!strcmp(what, "limit")) {
		_exit(child_with_limit(argv[2]));
	}
	if (!strcmp(what, "nothing")) {
		/* A leak check would start a process. */
		_exit(child_that_starts_nothing());
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
