/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tasks start ends with their worker, and with the session, whoever is killed:
 * children, children that have left the process group and their parent, and those of
 * workers whose daemon was killed before.
 */
#define _GNU_SOURCE
#include "live.h"

#include "os_run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct live_ledger ledger;

/* Ways of a child; the process that is to be found stands for ever. */
enum {
	PLAIN,   /* fork */
	SPAWN,   /* system: no handler of fork runs */
	AWAY,    /* double fork and setsid: no relation is left */
	AWAY_SH, /* the same with a shell, by system */
	WAYS
};
/* Words of the ledger: pid of each way's process, then what else is told. */
enum { W_WORKER = WAYS, W_STOP, WORDS };

static void stand(const char *path, uint64_t i)
{
	live_ledger_max(path, i, (uint64_t)getpid());
	for (;;) {
		(void)pause();
	}
}

static void start_away(const char *path)
{
	if (fork() == 0) {
		(void)setsid();
		if (fork() == 0) {
			(void)setsid();
			stand(path, AWAY);
		}
		_exit(0);
	}
}

/* Has a shell start it, between what is before and after the command. */
static void by_shell(const char *before, const char *after, const char *path,
		     int way)
{
	char self[512];
	char command[1400];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		(void)snprintf(command, sizeof(command), "%s %s stand %s %d %s",
			       before, self, path, way, after);
		(void)!system(command); /* NOLINT(cert-env33-c) */
	}
}

MOB_TASK(int64_t, n_starts, mob_str, path)
{
	if (fork() == 0) {
		stand(path, PLAIN);
	}
	by_shell("", "&", path, SPAWN);
	start_away(path);
	by_shell("setsid sh -c '", "& exit 0' &", path, AWAY_SH);
	for (uint64_t i = 0; i < WAYS; i++) {
		while (!live_ledger_get(path, i)) {
			mobi_pause_ns(MOB_MS);
		}
	}
	live_ledger_max(path, W_WORKER, (uint64_t)getpid());
	return getpid();
}

MOB_TASK(int64_t, n_starts_and_stays, mob_str, path)
{
	(void)n_starts(path);
	while (!live_ledger_get(path, W_STOP)) {
		mobi_pause_ns(MOB_MS);
	}
	return 0;
}

MOB_TASK(int64_t, n_nothing, int64_t, i)
{
	return i;
}

/* One process, and never a group. */
static void signal_one(uint64_t pid, int sig)
{
	assert_in_range(pid, 2, INT32_MAX);
	assert_int_equal(kill((pid_t)pid, sig), 0);
}

/* ---- who lives ---- */

static bool lives(uint64_t pid)
{
	struct mobi_proc p;

	return pid && mobi_proc_of((int)pid, &p) >= 0;
}

static uint32_t living(void)
{
	uint32_t n = 0;

	for (int i = 0; i < WAYS; i++) {
		n += lives(ledger.at[i]);
	}
	return n;
}

static bool none_lives(void *arg)
{
	(void)arg;
	return living() == 0;
}

static void expect_none(void)
{
	if (!live_await(none_lives, NULL)) {
		for (int i = 0; i < WAYS; i++) {
			if (lives(ledger.at[i])) {
				signal_one(ledger.at[i], SIGKILL);
				print_error("way %d lives\n", i);
			}
		}
		fail();
	}
}

static void begin(int32_t workers)
{
	live_start(workers);
	while (live_workers() < (uint32_t)workers) {
		mobi_pause_ns(MOB_MS);
	}
	live_ledger_open(&ledger, WORDS);
}

static void end(void)
{
	live_ledger_close(&ledger);
	mob_shutdown();
}

/* ---- tests ---- */

static void test_semantics_39_children_end_with_their_worker(void **state)
{
	int64_t pid;

	(void)state;
	begin(2);
	assert_int_equal(mob_get(mob_submit(n_starts, ledger.path), &pid), 0);
	assert_int_equal(living(), WAYS);
	/* Those of another worker are not touched. */
	for (uint32_t i = 0; i < 2; i++) {
		if (live_worker(i) != (int)pid) {
			int other = live_worker(i);

			signal_one((uint64_t)other, SIGKILL);
			while (lives((uint64_t)other)) {
				mobi_pause_ns(MOB_MS);
			}
			break;
		}
	}
	while (live_workers() < 2) {
		mobi_pause_ns(MOB_MS);
	}
	/* The daemon has looked by then. */
	assert_int_equal(living(), WAYS);
	signal_one((uint64_t)pid, SIGKILL);
	expect_none();
	end();
}

static void
test_semantics_39_children_of_a_worker_of_a_dead_daemon(void **state)
{
	int64_t pid;
	int was;

	(void)state;
	begin(1);
	was = live_daemon();
	assert_int_equal(mob_get(mob_submit(n_starts, ledger.path), &pid), 0);
	signal_one((uint64_t)was, SIGKILL);
	while (!live_daemon() || live_daemon() == was) {
		mobi_pause_ns(MOB_MS);
	}
	assert_int_equal(living(), WAYS);
	signal_one((uint64_t)pid, SIGKILL);
	expect_none();
	end();
}

static void test_semantics_39_children_end_with_the_session(void **state)
{
	uint64_t pid[WORDS];
	int64_t x;

	(void)state;
	begin(1);
	assert_int_equal(mob_get(mob_submit(n_starts, ledger.path), &x), 0);
	for (int i = 0; i < WORDS; i++) {
		pid[i] = ledger.at[i];
	}
	end();
	for (int i = 0; i <= W_WORKER; i++) {
		if (lives(pid[i])) {
			signal_one(pid[i], SIGKILL);
			fail_msg("way %d outlives mob_shutdown", i);
		}
	}
}

/* ---- kills from outside ---- */

/* A driver whose task has children, which stays until it is killed. */
static int driver(const char *path)
{
	mob_ref r;
	int64_t x;

	live_start(2);
	while (live_workers() < 2) {
		mobi_pause_ns(MOB_MS);
	}
	r = mob_submit(n_starts_and_stays, path);
	live_ledger_max(path, W_STOP + 1, (uint64_t)live_daemon());
	for (uint32_t i = 0; i < 2; i++) {
		live_ledger_max(path, W_STOP + 2 + i, (uint64_t)live_worker(i));
	}
	return mob_get(r, &x);
}

static struct {
	_Atomic uint64_t *at;
	char path[64];
} book;
enum { B_DAEMON = W_STOP + 1, B_WORKER, BOOK = B_WORKER + 2 };

static void book_open(void)
{
	static const uint64_t zeros[BOOK];
	int fd;

	(void)snprintf(book.path, sizeof(book.path), "/tmp/mob-book-XXXXXX");
	fd = mkstemp(book.path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, zeros, sizeof(zeros)), sizeof(zeros));
	(void)close(fd);
}

static bool has_all(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; i < BOOK; i++) {
		if (i != W_STOP && !live_ledger_get(book.path, i)) {
			return false;
		}
	}
	return true;
}

static bool all_dead(void *arg)
{
	(void)arg;
	for (uint64_t i = 0; i < BOOK; i++) {
		if (i != W_STOP && lives(live_ledger_get(book.path, i))) {
			return false;
		}
	}
	return true;
}

enum { K_DRIVER = 1, K_DAEMON = 2, K_WORKERS = 4 };

/* And what a task has forked. */
static bool crew_dead(void *arg)
{
	(void)arg;
	for (uint64_t i = B_DAEMON; i < BOOK; i++) {
		if (lives(live_ledger_get(book.path, i))) {
			return false;
		}
	}
	return !lives(live_ledger_get(book.path, PLAIN));
}

/* To the driver and those of `which`, which do nothing in between. */
static void signal_all(int driver_pid, int which, int sig)
{
	signal_one((uint64_t)driver_pid, sig);
	for (uint64_t i = B_DAEMON; i < BOOK; i++) {
		if (which & (i == B_DAEMON ? K_DAEMON : K_WORKERS)) {
			signal_one(live_ledger_get(book.path, i), sig);
		}
	}
}

/* Kills these at once; all else of the session is to end by itself. */
static void expect_all_end(int which)
{
	int pid;

	book_open();
	pid = live_spawn("driver", book.path);
	assert_true(live_await(has_all, NULL));
	signal_all(pid, which, SIGSTOP);
	signal_all(pid, which, SIGKILL);
	assert_int_equal(live_collect(pid), -SIGKILL);
	if (which & K_WORKERS) {
		/* Nobody is left; the next session of this user finds them. */
		assert_true(live_await(crew_dead, NULL));
		live_start(1);
		mob_shutdown();
	}
	if (!live_await(all_dead, NULL)) {
		for (uint64_t i = 0; i < BOOK; i++) {
			uint64_t p = live_ledger_get(book.path, i);

			if (i != W_STOP && lives(p)) {
				print_error("process %u of the book lives\n",
					    (unsigned)i);
				signal_one(p, SIGKILL);
			}
		}
		fail();
	}
	(void)unlink(book.path);
}

static void test_semantics_39_driver_is_killed(void **state)
{
	(void)state;
	expect_all_end(K_DRIVER);
}

static void test_semantics_39_driver_and_daemon_are_killed(void **state)
{
	(void)state;
	expect_all_end(K_DRIVER | K_DAEMON);
}

static void test_semantics_39_all_are_killed(void **state)
{
	(void)state;
	expect_all_end(K_DRIVER | K_DAEMON | K_WORKERS);
}

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_semantics_39_children_end_with_their_worker),
		cmocka_unit_test(
			test_semantics_39_children_of_a_worker_of_a_dead_daemon),
		cmocka_unit_test(
			test_semantics_39_children_end_with_the_session),
		cmocka_unit_test(test_semantics_39_driver_is_killed),
		cmocka_unit_test(
			test_semantics_39_driver_and_daemon_are_killed),
		cmocka_unit_test(test_semantics_39_all_are_killed),
	};

	if (argc == 4 && !strcmp(argv[1], "stand")) {
		stand(argv[2], strtoull(argv[3], NULL, 10));
	}
	if (argc == 3 && !strcmp(argv[1], "driver")) {
		return driver(argv[2]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
