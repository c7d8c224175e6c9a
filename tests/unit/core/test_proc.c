/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is, and the proof that it is dead. */
#define _GNU_SOURCE

#include "err.h"
#include "os_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define EXIT_SKIP 77

static pid_t spawn_pausing(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;) {
			(void)pause();
		}
	}
	return pid;
}

static int reap(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void kill_and_reap(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
}

static struct mobi_proc proc_of(pid_t pid)
{
	struct mobi_proc p;

	memset(&p, 0, sizeof(p));
	assert_int_equal(mobi_proc_of(pid, &p), 0);
	return p;
}

static void test_self_is_this_process(void **state)
{
	struct mobi_proc self = mobi_proc_self();
	struct mobi_proc again = mobi_proc_self();
	struct mobi_proc seen = proc_of(getpid());

	(void)state;
	assert_int_equal(self.pid, getpid());
	assert_true(self.start_time > 0);
	assert_true(self.pid_ns > 0);
	assert_memory_equal(&self, &again, sizeof(self));
	assert_memory_equal(&self, &seen, sizeof(self));
	assert_true(mobi_proc_alive(&self));
}

/* Reports what a child and its child say of themselves. */
static void tell_self(int fd)
{
	struct mobi_proc p = mobi_proc_self();

	if (write(fd, &p, sizeof(p)) != sizeof(p)) {
		_exit(1);
	}
}

static void test_self_after_fork_is_the_child(void **state)
{
	struct mobi_proc self = mobi_proc_self();
	struct mobi_proc told;
	int fds[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		tell_self(fds[1]);
		for (;;) {
			(void)pause();
		}
	}
	assert_int_equal(read(fds[0], &told, sizeof(told)), sizeof(told));
	assert_int_equal(told.pid, pid);
	assert_true(told.start_time >= self.start_time);
	assert_int_equal(told.pid_ns, self.pid_ns);
	assert_true(mobi_proc_alive(&told));
	kill_and_reap(pid);
	assert_false(mobi_proc_alive(&told));
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/*
 * In a new pid name space, the first process has pid 1 and makes another, whose
 * first process has pid 1 again: its own number must not hide the change.
 */
static int first_of_name_space(void)
{
	struct mobi_proc outer = mobi_proc_self();
	struct mobi_proc inner;
	int status = 0;
	pid_t pid;

	if (outer.pid != 1 || unshare(CLONE_NEWPID) != 0) {
		return 2;
	}
	pid = fork();
	if (pid == 0) {
		inner = mobi_proc_self();
		if (inner.pid != 1 || inner.pid_ns == outer.pid_ns) {
			_exit(3);
		}
		/* Out of sight: there is no proof that it is dead. */
		if (!mobi_proc_alive(&outer)) {
			_exit(4);
		}
		if (mobi_proc_pidfd(&outer) != MOB_E_UNSUPPORTED) {
			_exit(5);
		}
		/* /proc is of another name space: no start time to judge by. */
		_exit(mobi_proc_alive(&inner) ? 0 : 6);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		       WEXITSTATUS(status) :
		       7;
}

static void test_self_in_other_pid_ns_is_told_apart(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		int inner = 0;

		if (unshare(CLONE_NEWPID) != 0) {
			_exit(EXIT_SKIP);
		}
		(void)mobi_proc_self();
		pid = fork();
		if (pid == 0) {
			_exit(first_of_name_space());
		}
		if (waitpid(pid, &inner, 0) != pid || !WIFEXITED(inner)) {
			_exit(8);
		}
		_exit(WEXITSTATUS(inner));
	}
	status = reap(pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == EXIT_SKIP) {
		print_message("no right to make a pid name space\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_of_dead_pid_is_not_found(void **state)
{
	struct mobi_proc p = { .pid = 77 };
	pid_t pid = spawn_pausing();

	(void)state;
	kill_and_reap(pid);
	assert_int_equal(mobi_proc_of(pid, &p), MOB_E_NOT_FOUND);
	assert_int_equal(mobi_proc_of(0, &p), MOB_E_NOT_FOUND);
	assert_int_equal(mobi_proc_of(-1, &p), MOB_E_NOT_FOUND);
	assert_string_not_equal(mob_err_detail(MOB_E_NOT_FOUND), "");
	assert_int_equal(p.pid, 77);
}

static void test_alive_no_process_is_dead(void **state)
{
	struct mobi_proc p = { .pid = 0 };

	(void)state;
	assert_false(mobi_proc_alive(&p));
	p.pid = UINT32_MAX;
	assert_false(mobi_proc_alive(&p));
}

static void test_alive_zombie_is_dead(void **state)
{
	siginfo_t info;
	pid_t pid = spawn_pausing();
	struct mobi_proc p = proc_of(pid);

	(void)state;
	assert_true(mobi_proc_alive(&p));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(kill(pid, 0), 0);
	assert_false(mobi_proc_alive(&p));
	assert_int_equal(mobi_proc_of(pid, &p), MOB_E_NOT_FOUND);
	(void)reap(pid);
	assert_false(mobi_proc_alive(&p));
}

static void test_alive_stopped_is_alive(void **state)
{
	int status = 0;
	pid_t pid = spawn_pausing();
	struct mobi_proc p = proc_of(pid);

	(void)state;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_true(mobi_proc_alive(&p));
	kill_and_reap(pid);
}

static void test_alive_other_start_time_is_dead(void **state)
{
	struct mobi_proc p = mobi_proc_self();

	(void)state;
	p.start_time--;
	assert_false(mobi_proc_alive(&p));
	p.start_time += 2;
	assert_false(mobi_proc_alive(&p));
	p.start_time = 0; /* was not to be read */
	assert_true(mobi_proc_alive(&p));
}

static void test_alive_other_pid_ns_is_alive(void **state)
{
	struct mobi_proc p = mobi_proc_self();

	(void)state;
	p.start_time--;
	p.pid_ns++;
	assert_true(mobi_proc_alive(&p));
	assert_int_equal(mobi_proc_pidfd(&p), MOB_E_UNSUPPORTED);
}

static void *pause_in_thread(void *arg)
{
	(void)arg;
	for (;;) {
		(void)pause();
	}
	return NULL;
}

static char state_of(pid_t pid)
{
	char path[64];
	char buf[512];
	char *at = NULL;
	ssize_t n = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, buf, sizeof(buf) - 1);
	(void)close(fd);
	assert_true(n > 0);
	buf[n] = '\0';
	at = strrchr(buf, ')');
	assert_non_null(at);
	return at[2];
}

static void test_alive_first_thread_ended_is_alive(void **state)
{
	struct mobi_proc p;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, pause_in_thread, NULL) != 0) {
			_exit(1);
		}
		pthread_exit(NULL);
	}
	p = proc_of(pid);
	while (state_of(pid) != 'Z') {
		(void)sched_yield();
	}
	assert_true(mobi_proc_alive(&p));
	kill_and_reap(pid);
	assert_false(mobi_proc_alive(&p));
}

static void test_alive_name_with_parentheses_is_read(void **state)
{
	int fds[2];
	char byte = 0;
	struct mobi_proc p;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		static const char name[] = "a) Z 1 (b";
		int fd = open("/proc/self/comm", O_WRONLY | O_CLOEXEC);

		if (write(fd, name, sizeof(name) - 1) < 0 ||
		    write(fds[1], "", 1) < 0) {
			_exit(1);
		}
		for (;;) {
			(void)pause();
		}
	}
	assert_int_equal(read(fds[0], &byte, 1), 1);
	p = proc_of(pid);
	assert_true(p.start_time >= mobi_proc_self().start_time);
	assert_true(mobi_proc_alive(&p));
	kill_and_reap(pid);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void test_alive_without_descriptors_is_alive(void **state)
{
	struct mobi_proc p = mobi_proc_self();
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)mobi_proc_self();
		while (dup(STDIN_FILENO) >= 0) {
		}
		_exit(errno == EMFILE && mobi_proc_alive(&p) ? 0 : 1);
	}
	status = reap(pid);
	assert_int_equal(status, 0);
}

static void test_pidfd_tells_of_the_end(void **state)
{
	pid_t pid = spawn_pausing();
	struct mobi_proc p = proc_of(pid);
	int fd = mobi_proc_pidfd(&p);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	(void)state;
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(poll(&poll_fd, 1, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(poll(&poll_fd, 1, -1), 1);
	(void)reap(pid);
	(void)close(fd);
	assert_int_equal(mobi_proc_pidfd(&p), MOB_E_NOT_FOUND);
}

static void test_signal_reaches_only_that_process(void **state)
{
	pid_t pid = spawn_pausing();
	struct mobi_proc p = proc_of(pid);
	struct mobi_proc earlier = p;

	(void)state;
	earlier.start_time--;
	assert_int_equal(mobi_proc_signal(&earlier, SIGKILL), MOB_E_NOT_FOUND);
	assert_true(mobi_proc_alive(&p));
	assert_int_equal(mobi_proc_signal(&p, SIGKILL), 0);
	assert_int_equal(WTERMSIG(reap(pid)), SIGKILL);
	assert_int_equal(mobi_proc_signal(&p, SIGKILL), MOB_E_NOT_FOUND);
}

static void test_boot_id_is_of_this_boot(void **state)
{
	uint64_t id[2];
	char text[64];
	char want[64] = "";
	char file[64] = "";
	size_t n = 0;
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	(void)state;
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	(void)fclose(f);
	for (const char *at = text; *at != '\0'; at++) {
		if (*at != '-' && *at != '\n') {
			file[n++] = *at;
		}
	}
	mobi_boot_id(id);
	(void)snprintf(want, sizeof(want), "%016llx%016llx",
		       (unsigned long long)id[0], (unsigned long long)id[1]);
	assert_string_equal(want, file);
}

static void test_cpu_count_follows_affinity(void **state)
{
	uint32_t all = mobi_cpu_count();
	int status = 0;
	pid_t pid;

	(void)state;
	assert_true(all >= 1);
	assert_true(all <= (uint32_t)sysconf(_SC_NPROCESSORS_CONF));
	pid = fork();
	if (pid == 0) {
		cpu_set_t set;
		int cpu = sched_getcpu();

		CPU_ZERO(&set);
		CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &set);
		if (sched_setaffinity(0, sizeof(set), &set) != 0) {
			_exit(2);
		}
		_exit(mobi_cpu_count() == 1 ? 0 : 1);
	}
	status = reap(pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self_is_this_process),
		cmocka_unit_test(test_self_after_fork_is_the_child),
		cmocka_unit_test(test_self_in_other_pid_ns_is_told_apart),
		cmocka_unit_test(test_of_dead_pid_is_not_found),
		cmocka_unit_test(test_alive_no_process_is_dead),
		cmocka_unit_test(test_alive_zombie_is_dead),
		cmocka_unit_test(test_alive_stopped_is_alive),
		cmocka_unit_test(test_alive_other_start_time_is_dead),
		cmocka_unit_test(test_alive_other_pid_ns_is_alive),
		cmocka_unit_test(test_alive_first_thread_ended_is_alive),
		cmocka_unit_test(test_alive_name_with_parentheses_is_read),
		cmocka_unit_test(test_alive_without_descriptors_is_alive),
		cmocka_unit_test(test_pidfd_tells_of_the_end),
		cmocka_unit_test(test_signal_reaches_only_that_process),
		cmocka_unit_test(test_boot_id_is_of_this_boot),
		cmocka_unit_test(test_cpu_count_follows_affinity),
	};

	return cmocka_run_group_tests_name("core.proc", tests, NULL, NULL);
}
