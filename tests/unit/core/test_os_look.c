/* SPDX-License-Identifier: Apache-2.0 */
/* How processes and directories are: age, threads, memory, how they ended. */
#define _GNU_SOURCE

#include "err.h"
#include "os_dir.h"
#include "os_proc.h"
#include "os_run.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static struct mobi_proc spawn_pausing(void)
{
	struct mobi_proc p;
	pid_t pid = fork();

	if (pid == 0) {
		for (;;) {
			(void)pause();
		}
	}
	assert_int_equal(mobi_proc_of(pid, &p), 0);
	return p;
}

static int end(const struct mobi_proc *p)
{
	int status = 0;

	assert_int_equal(kill((pid_t)p->pid, SIGKILL), 0);
	assert_int_equal(waitpid((pid_t)p->pid, &status, 0), (pid_t)p->pid);
	return status;
}

static void test_age_living_rises_dead_is_none(void **state)
{
	struct mobi_proc p = spawn_pausing();
	uint64_t first = 0;

	(void)state;
	while (!first) {
		first = mobi_proc_age_ns(&p);
	}
	while (mobi_proc_age_ns(&p) <= first) {
	}
	assert_true(mobi_proc_age_ns(&p) < UINT64_C(3600000000000));
	(void)end(&p);
	assert_int_equal(mobi_proc_age_ns(&p), 0);
	assert_int_equal(mobi_proc_threads(&p), 0);
	assert_int_equal(mobi_proc_private_bytes(&p, NULL), 0);
}

static void *wait_end(void *arg)
{
	char c;

	return read(*(int *)arg, &c, 1) == 1 ? arg : NULL;
}

static void test_threads_one_more_is_counted(void **state)
{
	struct mobi_proc self = mobi_proc_self();
	static int end_pipe[2];
	pthread_t thread[2];
	uint32_t before;

	(void)state;
	assert_true(mobi_proc_threads(&self) >= 1);
	assert_int_equal(pipe(end_pipe), 0);
	/* With the first one a sanitizer may start one of its own. */
	assert_int_equal(pthread_create(&thread[0], NULL, wait_end, end_pipe),
			 0);
	before = mobi_proc_threads(&self);
	assert_true(before >= 2);
	assert_int_equal(pthread_create(&thread[1], NULL, wait_end, end_pipe),
			 0);
	assert_int_equal(mobi_proc_threads(&self), before + 1);
	assert_int_equal(write(end_pipe[1], "xx", 2), 2);
	assert_int_equal(pthread_join(thread[0], NULL), 0);
	assert_int_equal(pthread_join(thread[1], NULL), 0);
	(void)close(end_pipe[0]);
	(void)close(end_pipe[1]);
}

/* A shared mapping of a new file of the directory, every page touched, by the
 * kernel: a sanitizer keeps memory of its own for what the program touches. */
static void *map_file(const char *dir, size_t n)
{
	char path[128];
	void *at;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/file", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n), 0);
	at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		  fd, 0);
	assert_true(at != MAP_FAILED);
	(void)close(fd);
	return at;
}

static void test_private_bytes_leave_files_of_directory_out(void **state)
{
	struct mobi_proc self = mobi_proc_self();
	char dir[] = "/tmp/mob-look-XXXXXX";
	char beside[32];
	void *at;
	uint64_t before;

	(void)state;
	assert_non_null(mkdtemp(dir));
	before = mobi_proc_private_bytes(&self, dir);
	assert_true(before > 0 && before < 4096 * (uint64_t)MIB);
	at = map_file(dir, 64 * MIB);
	assert_true(mobi_proc_private_bytes(&self, NULL) >= 64 * MIB);
	assert_true(mobi_proc_private_bytes(&self, dir) < before + 32 * MIB);
	/* A name that only begins alike is another directory. */
	(void)snprintf(beside, sizeof(beside), "%.*s", (int)strlen(dir) - 1,
		       dir);
	assert_true(mobi_proc_private_bytes(&self, beside) >=
		    before + 32 * MIB);
	assert_int_equal(munmap(at, 64 * MIB), 0);
	assert_int_equal(mobi_dir_remove(dir), 0);
}

static void test_dir_bytes_counts_memory_below(void **state)
{
	char dir[] = "/dev/shm/mob-look-XXXXXX";
	char path[128];
	char real[128];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	fd = mobi_dir_open(dir);
	assert_true(fd >= 0);
	assert_int_equal(mobi_dir_bytes(fd, "."), 0);
	(void)snprintf(path, sizeof(path), "%s/below", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(munmap(map_file(path, 2 * MIB), 2 * MIB), 0);
	assert_true(mobi_dir_bytes(fd, ".") >= 2 * MIB);
	assert_true(mobi_dir_bytes(fd, ".") < 3 * MIB);
	/* A hole takes none. */
	(void)snprintf(path, sizeof(path), "%s/below/file", dir);
	assert_int_equal(truncate(path, 64 * (off_t)MIB), 0);
	assert_true(mobi_dir_bytes(fd, ".") < 3 * MIB);
	assert_int_equal(mobi_fd_path(fd, real, sizeof(real)), 0);
	assert_string_equal(real, dir);
	assert_int_equal(mobi_fd_path(fd, real, 8), MOB_E_LIMIT);
	assert_int_equal(mobi_fd_path(-1, real, sizeof(real)), MOB_E_SYS);
	(void)close(fd);
	assert_int_equal(mobi_dir_remove(dir), 0);
}

static void test_status_split_tells_signal_and_code(void **state)
{
	struct mobi_proc p = spawn_pausing();
	uint32_t sig = 77;
	uint32_t code = 77;
	int status = end(&p);
	pid_t pid;

	(void)state;
	mobi_status_split(status, &sig, &code);
	assert_int_equal(sig, SIGKILL);
	assert_int_equal(code, 0);
	pid = fork();
	if (pid == 0) {
		_exit(3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	mobi_status_split(status, &sig, &code);
	assert_int_equal(sig, 0);
	assert_int_equal(code, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_age_living_rises_dead_is_none),
		cmocka_unit_test(test_threads_one_more_is_counted),
		cmocka_unit_test(
			test_private_bytes_leave_files_of_directory_out),
		cmocka_unit_test(test_dir_bytes_counts_memory_below),
		cmocka_unit_test(test_status_split_tells_signal_and_code),
	};

	return cmocka_run_group_tests_name("core.os_look", tests, NULL, NULL);
}
