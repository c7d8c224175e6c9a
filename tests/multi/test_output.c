/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers print: each line once in the log, with the task that printed it,
 * whoever is killed; and on the driver's own stdout.
 */
#define _GNU_SOURCE
#include "live.h"

#include "os_run.h"

#include <mobula/output.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct live_ledger ledger;

/* Prints its number in four ways: each line has its name in it. */
MOB_TASK(int64_t, u_prints, int64_t, i)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "raw n%d\n", (int)i);

	printf("stdio n%d\n", (int)i);
	fprintf(stderr, "stderr n%d\n", (int)i);
	n = (int)write(STDOUT_FILENO, line, (size_t)n);
	printf("rest n%d", (int)i);
	return n;
}

MOB_TASK(int64_t, u_child, int64_t, i)
{
	char command[64];

	(void)snprintf(command, sizeof(command), "echo child n%d", (int)i);
	return system(command); /* NOLINT(cert-env33-c) */
}

MOB_TASK(int64_t, u_dies, int64_t, i)
{
	(void)i;
	if (write(STDOUT_FILENO, "first\nlast wo", 13) == 13) {
		(void)raise(SIGKILL);
	}
	return 0;
}

MOB_TASK(int64_t, u_nothing, int64_t, i)
{
	return i;
}

MOB_TASK(int64_t, u_inner, int64_t, i)
{
	printf("inner n%d\n", (int)i);
	return i;
}

MOB_TASK(int64_t, u_outer, int64_t, i)
{
	int64_t x = 0;

	printf("before n%d", (int)i);
	mob_get(mob_submit(u_inner, i), &x);
	printf("after n%d", (int)i);
	return x;
}

/* Prints lines until word 0 says that it is enough; at least n. */
MOB_TASK(int64_t, u_floods, mob_str, path, uint64_t, n)
{
	uint64_t i = 0;

	while (i < n || !live_ledger_get(path, 0)) {
		printf("flood %llu of lines that nobody reads\n",
		       (unsigned long long)i++);
	}
	return (int64_t)i;
}

MOB_TASK(int64_t, u_numbers, int64_t, from, int64_t, n)
{
	for (int64_t i = from; i < from + n; i++) {
		printf("number %d\n", (int)i);
		(void)fflush(stdout);
	}
	return n;
}

/* ---- the log ---- */

#define LINES 20000
static struct {
	char name[32];
	char text[64];
	uint64_t task;
	uint32_t pid;
	uint32_t stream;
} got[LINES];
static uint32_t n_got;
static uint64_t n_lines;
static const char *skip; /* lines that begin so are only counted */
static bool only_one;    /* as are all after the first */
static struct mob_output_pos pos;
static struct mob_session *session;

static int note(const struct mob_output_line *l, void *arg)
{
	(void)arg;
	n_lines++;
	if ((skip && !strncmp(l->text, skip, strlen(skip))) ||
	    (only_one && n_got)) {
		return 0;
	}
	assert_true(n_got < LINES);
	(void)snprintf(got[n_got].name, sizeof(got->name), "%s", l->name);
	(void)snprintf(got[n_got].text, sizeof(got->text), "%s", l->text);
	got[n_got].task = l->task;
	got[n_got].pid = l->pid;
	got[n_got].stream = l->stream;
	n_got++;
	return 0;
}

static bool has_lines(void *arg)
{
	const uint32_t *n = arg;

	assert_int_equal(mob_session_output(session, &pos, note, NULL), 0);
	return n_got >= *n;
}

/* Reads on until there are so many. */
static void read_lines(uint32_t n)
{
	if (!live_await(has_lines, &n)) {
		fail_msg("%u lines, not %u", n_got, n);
	}
	assert_int_equal(n_got, n);
}

/* The same, of those that are only counted, too. */
static bool has_counted(void *arg)
{
	const uint64_t *n = arg;

	assert_int_equal(mob_session_output(session, &pos, note, NULL), 0);
	return n_lines >= *n;
}

static uint32_t find(const char *text)
{
	for (uint32_t i = 0; i < n_got; i++) {
		if (!strcmp(got[i].text, text)) {
			return i;
		}
	}
	fail_msg("no line '%s'", text);
	return 0;
}

/* Reads from the first line on. */
static void look(void)
{
	n_got = 0;
	n_lines = 0;
	skip = NULL;
	memset(&pos, 0, sizeof(pos));
	assert_int_equal(mob_session_current(&session), 0);
}

static void begin(int32_t workers)
{
	live_start(workers);
	look();
}

static void end(void)
{
	mob_session_close(session);
	mob_shutdown();
}

static void set(const char *name, const char *value)
{
	assert_int_equal(setenv(name, value, 1), 0);
}

static int plain(void **state)
{
	(void)state;
	(void)unsetenv("MOBULA_LOG_BYTES");
	(void)unsetenv("MOBULA_LOG_FILES");
	(void)unsetenv("MOBULA_LOG_DIR");
	(void)unsetenv("MOBULA_FAULT");
	(void)unsetenv("MOBULA_EXTRA_WORKERS");
	return setenv("MOBULA_OUTPUT", "log", 1);
}

/* ---- whose a line is ---- */

static void test_output_lines_are_of_their_task(void **state)
{
	enum { N = 200, KINDS = 5 };
	static const char *const kind[KINDS] = { "stdio", "raw", "stderr",
						 "rest", "child" };
	char text[64];
	char name[32];
	int64_t x;

	(void)state;
	begin(2);
	for (int64_t i = 0; i < N; i++) {
		(void)snprintf(name, sizeof(name), "t%d x", (int)i);
		mob_release(mob_submit(u_nothing, i));
		assert_int_equal(mob_get(mob_submit_with(MOB_OPTS(.name = name),
							 u_prints, i),
					 &x),
				 0);
		mob_release(
			mob_submit_with(MOB_OPTS(.name = name), u_child, i));
	}
	read_lines(N * KINDS);
	for (int i = 0; i < N; i++) {
		(void)snprintf(name, sizeof(name), "t%d_x", i);
		for (int k = 0; k < KINDS; k++) {
			uint32_t at;

			(void)snprintf(text, sizeof(text), "%s n%d", kind[k],
				       i);
			at = find(text);
			assert_string_equal(got[at].name, name);
			assert_int_equal(got[at].stream,
					 k == 2 ? MOB_OUTPUT_STDERR :
						  MOB_OUTPUT_STDOUT);
			assert_true(got[at].task != 0);
			assert_int_equal(kill((pid_t)got[at].pid, 0), 0);
		}
		(void)snprintf(text, sizeof(text), "stdio n%d", i);
		(void)snprintf(name, sizeof(name), "rest n%d", i);
		assert_int_equal(got[find(text)].task, got[find(name)].task);
	}
	end();
}

static void test_output_inside_a_wait_is_the_inner_tasks(void **state)
{
	int64_t x;

	(void)state;
	set("MOBULA_EXTRA_WORKERS", "0");
	begin(1);
	assert_int_equal(mob_get(mob_submit(u_outer, 1), &x), 0);
	read_lines(3);
	assert_string_equal(got[0].text, "before n1");
	assert_string_equal(got[0].name, "u_outer");
	assert_string_equal(got[1].text, "inner n1");
	assert_string_equal(got[1].name, "u_inner");
	assert_string_equal(got[2].text, "after n1");
	assert_string_equal(got[2].name, "u_outer");
	assert_int_equal(got[0].task, got[2].task);
	end();
}

/* While it runs, too, and nothing has marked it. */
static void test_output_of_a_running_task_is_its_own(void **state)
{
	mob_ref r;
	int64_t x;

	(void)state;
	begin(1);
	live_ledger_open(&ledger, 1);
	skip = "flood";
	r = mob_submit(u_floods, ledger.path, 1);
	while (n_lines < 100) {
		assert_int_equal(mob_session_output(session, &pos, note, NULL),
				 0);
	}
	skip = NULL;
	only_one = true;
	while (!n_got) {
		assert_int_equal(mob_session_output(session, &pos, note, NULL),
				 0);
		mobi_pause_ns(MOB_MS);
	}
	only_one = false;
	assert_string_equal(got[0].name, "u_floods");
	(void)live_ledger_add(ledger.path, 0);
	n_got = 0;
	skip = "flood";
	assert_int_equal(mob_get(r, &x), 0);
	live_ledger_close(&ledger);
	end();
}

static void test_output_last_words_of_a_killed_worker_are_kept(void **state)
{
	int64_t x;

	(void)state;
	begin(2);
	assert_int_equal(
		mob_get(mob_submit_with(MOB_OPTS(.retries = 1), u_dies, 1), &x),
		MOB_E_CRASHED);
	mob_error_clear();
	read_lines(4);
	for (int i = 0; i < 4; i++) {
		assert_string_equal(got[i].text, i % 2 ? "last wo" : "first");
		assert_string_equal(got[i].name, "u_dies");
		assert_int_equal(got[i].task, got[0].task);
	}
	assert_int_equal(got[0].pid, got[1].pid);
	assert_int_not_equal(got[0].pid, got[2].pid);
	end();
}

/* ---- much ---- */

/* Bytes that the files take to which workers print. */
static uint64_t spool_bytes(void)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < MOBI_SPOOLS; i++) {
		const struct mobi_spool *sp = &mobi_rt.sched->output.spool[i];
		char path[512];
		struct stat st;

		(void)snprintf(path, sizeof(path), "%s/out/%llu.out",
			       mobi_rt.store->path,
			       (unsigned long long)mobi_load(&sp->serial));
		if (mobi_load(&sp->serial) && !stat(path, &st)) {
			sum += (uint64_t)st.st_blocks * 512;
		}
	}
	return sum;
}

static void test_output_flood_costs_others_nothing(void **state)
{
	enum { N = 2000 };
	char text[64];
	uint64_t all;
	mob_ref r;
	int64_t x;

	(void)state;
	set("MOBULA_LOG_BYTES", "1G");
	begin(2);
	live_ledger_open(&ledger, 1);
	skip = "flood";
	r = mob_submit(u_floods, ledger.path, 200000);
	for (int64_t i = 0; i < N; i += 10) {
		assert_int_equal(mob_get(mob_submit(u_numbers, i, 10), &x), 0);
	}
	(void)live_ledger_add(ledger.path, 0);
	assert_int_equal(mob_get(r, &x), 0);
	read_lines(N);
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(text, sizeof(text), "number %u", i);
		assert_string_equal(got[find(text)].name, "u_numbers");
	}
	all = N + (uint64_t)x;
	assert_true(live_await(has_counted, &all));
	assert_int_equal(n_lines, all);
	/* What was read is given back. */
	assert_in_range(spool_bytes(), 1, 3 << 20);
	live_ledger_close(&ledger);
	end();
}

static void test_output_log_has_a_bound(void **state)
{
	char path[512];
	int64_t x;

	(void)state;
	set("MOBULA_LOG_BYTES", "8K");
	set("MOBULA_LOG_FILES", "3");
	begin(1);
	assert_int_equal(mob_get(mob_submit(u_numbers, 0, 5000), &x), 0);
	do {
		n_got = n_got > 10000 ? 0 : n_got;
		(void)mob_session_output(session, &pos, note, NULL);
	} while (!n_got || strcmp(got[n_got - 1].text, "number 4999") != 0);
	assert_true(pos.file > 3);
	for (uint64_t n = 1; n <= pos.file; n++) {
		(void)snprintf(path, sizeof(path), "%s/out/log.%llu",
			       mobi_rt.store->path, (unsigned long long)n);
		assert_int_equal(access(path, F_OK) == 0, n + 3 > pos.file);
	}
	/* Who comes late gets what is there, up to the last. */
	memset(&pos, 0, sizeof(pos));
	n_got = 0;
	assert_int_equal(mob_session_output(session, &pos, note, NULL), 0);
	assert_true(n_got > 0 && n_got < 5000);
	assert_string_equal(got[n_got - 1].text, "number 4999");
	end();
}

static void test_output_log_outlives_the_session(void **state)
{
	char dir[] = "/tmp/mob-output-XXXXXX";
	char path[512];
	char text[512];
	int64_t x;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	set("MOBULA_LOG_DIR", dir);
	begin(1);
	(void)snprintf(path, sizeof(path), "%s/%s/log.1", dir,
		       mobi_rt.store->name);
	assert_int_equal(mob_get(mob_submit(u_numbers, 7, 1), &x), 0);
	end();
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	assert_non_null(strstr(text, " u_numbers number 7\n"));
	(void)fclose(f);
	(void)snprintf(text, sizeof(text), "rm -r %s", dir);
	assert_int_equal(system(text), 0); /* NOLINT(cert-env33-c) */
}

/* ---- kills ---- */

static void prints_numbers(size_t k)
{
	enum { N = 300 };
	int first = live_daemon();
	char text[64];
	int64_t x;

	(void)k;
	look();
	for (int64_t i = 0; i < N; i += 10) {
		assert_int_equal(mob_get(mob_submit(u_numbers, i, 10), &x), 0);
		read_lines((uint32_t)i + 10);
	}
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(text, sizeof(text), "number %u", i);
		assert_string_equal(got[find(text)].name, "u_numbers");
	}
	assert_int_not_equal(live_daemon(), first);
	mob_session_close(session);
}

/* The daemon is killed at each step, again and again, and goes on. */
static void test_output_each_line_once_whoever_is_killed(void **state)
{
	static const char *const faults[] = { "output.intent=kill@3",
					      "output.log=kill@3",
					      "output.done=kill@3" };
	const struct live_session two = { .workers = 2 };

	(void)state;
	live_each_fault(&two, faults, 3, prints_numbers);
}

/* ---- the driver ---- */

/* A driver that has tasks print; how: what for. */
static int driver(const char *how)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	int64_t x = 0;
	int rc;

	opts.workers = 1;
	opts.store_bytes = 64 << 20;
	opts.output = !strcmp(how, "inherit") ? MOB_OUTPUT_INHERIT :
						MOB_OUTPUT_DRIVER;
	rc = mob_init(&opts);
	if (rc >= 0 && !strcmp(how, "kill")) {
		/* The next one is a worker's child, and shows all the same. */
		int was = live_daemon();

		rc = kill(was, SIGKILL);
		while (rc >= 0 && (!live_daemon() || live_daemon() == was)) {
			mobi_pause_ns(MOB_MS);
		}
	}
	if (rc >= 0 && !strcmp(how, "flood")) {
		rc = mob_get(mob_submit(u_numbers, 0, 300000), &x);
		/* The daemon does its work: one that was killed is replaced. */
		rc = rc < 0 ? rc :
			      mob_get(mob_submit_with(MOB_OPTS(.retries = 0),
						      u_dies, 1),
				      &x) != MOB_E_CRASHED;
		mob_error_clear();
	}
	if (rc >= 0) {
		rc = mob_get(mob_submit(u_prints, 3), &x);
	}
	mob_shutdown();
	return rc < 0 || x != 7;
}

static int spawn_driver(const char *how, int *out_fd, int *out_err)
{
	int out[2];
	int err[2];
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		(void)dup2(out[1], STDOUT_FILENO);
		(void)dup2(err[1], STDERR_FILENO);
		(void)execl("/proc/self/exe", "test-child", "driver", how,
			    (char *)NULL);
		_exit(126);
	}
	assert_true(pid > 0);
	(void)close(out[1]);
	(void)close(err[1]);
	*out_fd = out[0];
	*out_err = err[0];
	return pid;
}

static void read_to_end(int fd, char *out, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while ((r = read(fd, out + n, size - 1 - n)) > 0) {
		n += (size_t)r;
	}
	assert_int_equal(r, 0);
	out[n] = '\0';
	(void)close(fd);
}

static void expect_shown(const char *how)
{
	char out[4096];
	char err[4096];
	int fd[2];
	int pid = spawn_driver(how, &fd[0], &fd[1]);
	bool raw = !strcmp(how, "inherit");

	/* Its end is seen when no process of the session has it any more. */
	read_to_end(fd[0], out, sizeof(out));
	read_to_end(fd[1], err, sizeof(err));
	assert_int_equal(live_collect(pid), 0);
	if (raw) {
		assert_non_null(strstr(out, "raw n3\n"));
		assert_null(strstr(out, "(u_prints"));
		return;
	}
	if (!strstr(out, "(u_prints pid=") || !strstr(out, ") stdio n3\n") ||
	    !strstr(out, ") raw n3\n") || !strstr(out, ") rest n3\n") ||
	    !strstr(err, ") stderr n3\n")) {
		fail_msg("out: %s\nerr: %s", out, err);
	}
}

static void test_output_is_shown_by_the_driver(void **state)
{
	(void)state;
	expect_shown("show");
}

static void test_output_is_shown_after_the_daemon_died(void **state)
{
	(void)state;
	expect_shown("kill");
}

static void test_output_may_be_inherited(void **state)
{
	(void)state;
	expect_shown("inherit");
}

/* Who reads nothing of what the driver shows stops nobody. */
static void test_output_that_nobody_reads_stops_nobody(void **state)
{
	int fd[2];
	int pid;

	(void)state;
	pid = spawn_driver("flood", &fd[0], &fd[1]);
	assert_int_equal(live_collect(pid), 0);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static void test_output_bad_settings_are_refused(void **state)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;

	(void)state;
	opts.output = 9;
	assert_int_equal(mob_init(&opts), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "output is 9"));
	mob_error_clear();
	set("MOBULA_OUTPUT", "paper");
	assert_int_equal(mob_init(NULL), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "auto, driver, log or inherit"));
	mob_error_clear();
	set("MOBULA_OUTPUT", "inherit");
	set("MOBULA_LOG_DIR", "/nowhere");
	assert_int_equal(mob_init(NULL), MOB_E_NOT_FOUND);
	mob_error_clear();
	(void)unsetenv("MOBULA_LOG_DIR");
	begin(1);
	assert_int_equal(mob_session_output(session, &pos, note, NULL),
			 MOB_E_STATE);
	end();
}

#define T(test) cmocka_unit_test_setup(test, plain)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_output_lines_are_of_their_task),
		T(test_output_inside_a_wait_is_the_inner_tasks),
		T(test_output_of_a_running_task_is_its_own),
		T(test_output_last_words_of_a_killed_worker_are_kept),
		T(test_output_flood_costs_others_nothing),
		T(test_output_log_has_a_bound),
		T(test_output_log_outlives_the_session),
		T(test_output_each_line_once_whoever_is_killed),
		T(test_output_is_shown_by_the_driver),
		T(test_output_is_shown_after_the_daemon_died),
		T(test_output_may_be_inherited),
		T(test_output_that_nobody_reads_stops_nobody),
		T(test_output_bad_settings_are_refused),
	};

	if (argc == 3 && !strcmp(argv[1], "driver")) {
		return driver(argv[2]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
