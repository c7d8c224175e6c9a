/* SPDX-License-Identifier: Apache-2.0 */
/* Files of shared memory. */
#define _GNU_SOURCE

#include "err.h"
#include "os_dir.h"
#include "os_shm.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define EXIT_SKIP 77
#define MIB (UINT64_C(1) << 20)

static char dir_path[] = "/dev/shm/mobula-test-shm-XXXXXX";
static int dir = -1;

static int dir_make(void **state)
{
	(void)state;
	if (!mkdtemp(dir_path)) {
		return -1;
	}
	dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? -1 : 0;
}

static int dir_remove(void **state)
{
	(void)state;
	(void)close(dir);
	return rmdir(dir_path);
}

static int file_remove(void **state)
{
	(void)state;
	(void)unlinkat(dir, "a", 0);
	return 0;
}

static uint64_t backed_bytes(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_create_makes_a_sparse_private_file(void **state)
{
	struct stat st;
	int fd = mobi_shm_open(dir, "a", true, 64 * MIB);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 64 * MIB);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_blocks, 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	(void)close(fd);
}

static void test_create_twice_is_exists(void **state)
{
	int fd = mobi_shm_open(dir, "a", true, 4096);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(mobi_shm_open(dir, "a", true, 4096), MOB_E_EXISTS);
	assert_non_null(strstr(mob_err_detail(MOB_E_EXISTS), "'a'"));
}

static void test_create_too_large_leaves_no_file(void **state)
{
	(void)state;
	assert_int_equal(mobi_shm_open(dir, "a", true, UINT64_MAX),
			 MOB_E_INVAL);
	/* Above what any file system has; a signed size still. */
	assert_true(mobi_shm_open(dir, "a", true, INT64_MAX) < 0 ||
		    unlinkat(dir, "a", 0) == 0);
	assert_int_equal(mobi_shm_open(dir, "a", false, 0), MOB_E_NOT_FOUND);
}

static void test_open_missing_is_not_found(void **state)
{
	(void)state;
	assert_int_equal(mobi_shm_open(dir, "a", false, 0), MOB_E_NOT_FOUND);
	assert_non_null(strstr(mob_err_detail(MOB_E_NOT_FOUND), "'a'"));
}

static void test_open_too_short_is_corrupt(void **state)
{
	int fd = mobi_shm_open(dir, "a", true, 4096);

	(void)state;
	assert_true(fd >= 0);
	(void)close(fd);
	fd = mobi_shm_open(dir, "a", false, 4096);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(mobi_shm_open(dir, "a", false, 4097), MOB_E_CORRUPT);
	assert_non_null(strstr(mob_err_detail(MOB_E_CORRUPT), "4097"));
}

static void test_open_through_a_link_is_refused(void **state)
{
	(void)state;
	assert_int_equal(symlinkat("/etc/hostname", dir, "a"), 0);
	assert_true(mobi_shm_open(dir, "a", false, 0) < 0);
	assert_int_equal(mobi_shm_open(dir, "a", true, 4096), MOB_E_EXISTS);
}

static void test_map_shares_bytes_between_processes(void **state)
{
	int fd = mobi_shm_open(dir, "a", true, 4096);
	int status = 0;
	void *at = NULL;
	void *view = NULL;
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(mobi_shm_map(fd, 4096, true, &at), 0);
	assert_int_equal(mobi_shm_map(fd, 4096, false, &view), 0);
	pid = fork();
	if (pid == 0) {
		memcpy(at, "hello", 6);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_string_equal((char *)view, "hello");
	mobi_shm_unmap(view, 4096);
	mobi_shm_unmap(at, 4096);
	mobi_shm_unmap(NULL, 4096);
	(void)close(fd);
}

static void test_map_read_only_refuses_a_write(void **state)
{
	int fd = mobi_shm_open(dir, "a", true, 4096);
	int status = 0;
	void *view = NULL;
	pid_t pid;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(mobi_shm_map(fd, 4096, false, &view), 0);
	pid = fork();
	if (pid == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		*(volatile char *)view = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	mobi_shm_unmap(view, 4096);
	(void)close(fd);
}

static void test_map_bad_arguments_are_refused(void **state)
{
	void *at = &dir;

	(void)state;
	assert_int_equal(mobi_shm_map(dir, 0, true, &at), MOB_E_INVAL);
	assert_int_equal(mobi_shm_map(-1, 4096, true, &at), MOB_E_SYS);
	assert_ptr_equal(at, &dir);
}

static void test_back_and_punch_move_memory(void **state)
{
	int fd = mobi_shm_open(dir, "a", true, 4 * MIB);
	struct stat st;
	void *map = NULL;
	char *at = NULL;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(mobi_shm_map(fd, 4 * MIB, true, &map), 0);
	at = map;
	assert_int_equal(mobi_shm_back(fd, MIB, MIB), 0);
	assert_int_equal(backed_bytes(fd), MIB);
	memset(at + MIB, 'x', MIB);
	assert_int_equal(mobi_shm_back(fd, 0, 2 * MIB), 0);
	assert_int_equal(backed_bytes(fd), 2 * MIB);
	assert_int_equal(at[MIB], 'x');
	assert_int_equal(at[2 * MIB - 1], 'x');
	assert_int_equal(mobi_shm_punch(fd, MIB, MIB), 0);
	assert_int_equal(backed_bytes(fd), MIB);
	assert_int_equal(mobi_shm_back(fd, 0, 0), 0);
	assert_int_equal(mobi_shm_punch(fd, 0, 0), 0);
	assert_int_equal(backed_bytes(fd), MIB);
	/* A read is enough for tmpfs to back the page: only now. */
	assert_int_equal(at[MIB], 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 4 * MIB);
	mobi_shm_unmap(map, 4 * MIB);
	(void)close(fd);
}

static void test_back_bad_descriptor_is_an_error(void **state)
{
	(void)state;
	assert_int_equal(mobi_shm_back(-1, 0, 4096), MOB_E_SYS);
	assert_non_null(strstr(mob_err_detail(MOB_E_SYS), "4096"));
	assert_int_equal(mobi_shm_punch(-1, 0, 4096), MOB_E_SYS);
}

/*
 * Stands before the C library's: as if signals came all the time, which some
 * kernels answer with EINTR. Calls above limit are interrupted always, others
 * every second time.
 */
static uint64_t interrupt_above = UINT64_MAX;
static unsigned interrupted;

int fallocate(int fd, int mode, off_t off, off_t len)
{
	static unsigned turn;

	if ((uint64_t)len > interrupt_above ||
	    (interrupt_above != UINT64_MAX && turn++ % 2 == 0)) {
		interrupted++;
		errno = EINTR;
		return -1;
	}
	return (int)syscall(SYS_fallocate, fd, mode, off, len);
}

static void test_back_goes_on_when_signals_come(void **state)
{
	int fd = mobi_shm_open(dir, "a", true, 64 * MIB);
	int rc;

	(void)state;
	assert_true(fd >= 0);
	interrupt_above = 16 * MIB;
	interrupted = 0;
	rc = mobi_shm_back(fd, MIB, 40 * MIB);
	assert_int_equal(rc, 0);
	assert_true(interrupted >= 4);
	assert_int_equal(backed_bytes(fd), 40 * MIB);
	interrupted = 0;
	rc = mobi_shm_punch(fd, 3 * MIB, MIB) | mobi_shm_punch(fd, MIB, MIB);
	interrupt_above = UINT64_MAX;
	assert_int_equal(rc, 0);
	assert_true(interrupted >= 1);
	assert_int_equal(backed_bytes(fd), 38 * MIB);
	(void)close(fd);
}

/* On a file system of 1 MiB of its own. */
static int fill_small_fs(void)
{
	uint64_t free_bytes = 0;
	uint64_t total = 0;
	int small;
	int fd;

	if (unshare(CLONE_NEWNS) != 0 ||
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", dir_path, "tmpfs", 0, "size=1m") != 0) {
		return EXIT_SKIP;
	}
	small = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mobi_dir_space(dir_path, &free_bytes, &total) != 0 ||
	    total != MIB || free_bytes > total) {
		return 1;
	}
	fd = mobi_shm_open(small, "big", true, 4 * MIB);
	if (fd < 0) {
		return 2;
	}
	if (mobi_shm_back(fd, 0, 4 * MIB) != MOB_E_DISK_FULL ||
	    mob_err_detail(MOB_E_DISK_FULL)[0] == '\0') {
		return 3;
	}
	/* What it cannot have whole it leaves alone. */
	if (mobi_dir_space(dir_path, &free_bytes, &total) != 0 ||
	    free_bytes != total || mobi_shm_back(fd, 0, MIB / 2) != 0) {
		return 4;
	}
	if (mobi_dir_space(dir_path, &free_bytes, &total) != 0 ||
	    free_bytes != total - MIB / 2) {
		return 5;
	}
	return 0;
}

static void test_back_of_full_file_system_is_disk_full(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		_exit(fill_small_fs());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == EXIT_SKIP) {
		print_message("no right to mount\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_populate_faults_pages_in(void **state)
{
	int fd = mobi_shm_open(dir, "a", true, MIB);
	unsigned char in_core[1] = { 0 };
	size_t page = mobi_page_size();
	void *map = NULL;

	(void)state;
	assert_true(fd >= 0);
	assert_true(page >= 4096);
	assert_int_equal(page & (page - 1), 0);
	assert_int_equal(mobi_shm_map(fd, MIB, true, &map), 0);
	/* From the middle of a page to the middle of the next. */
	mobi_shm_populate((char *)map + page / 2, page);
	mobi_shm_populate(map, 0);
	assert_int_equal(mincore((char *)map + page, page, in_core), 0);
	/* 23: MADV_POPULATE_WRITE, since Linux 5.14. */
	if (madvise((char *)map + 4 * page, page, 23) == 0) {
		assert_int_equal(in_core[0] & 1, 1);
		assert_int_equal(backed_bytes(fd), 3 * page);
	} else {
		print_message("this kernel has no MADV_POPULATE_WRITE\n");
	}
	mobi_shm_unmap(map, MIB);
	(void)close(fd);
}

#define SHM_TEST(fn) cmocka_unit_test_teardown((fn), file_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SHM_TEST(test_create_makes_a_sparse_private_file),
		SHM_TEST(test_create_twice_is_exists),
		SHM_TEST(test_create_too_large_leaves_no_file),
		SHM_TEST(test_open_missing_is_not_found),
		SHM_TEST(test_open_too_short_is_corrupt),
		SHM_TEST(test_open_through_a_link_is_refused),
		SHM_TEST(test_map_shares_bytes_between_processes),
		SHM_TEST(test_map_read_only_refuses_a_write),
		SHM_TEST(test_map_bad_arguments_are_refused),
		SHM_TEST(test_back_and_punch_move_memory),
		SHM_TEST(test_back_bad_descriptor_is_an_error),
		SHM_TEST(test_back_goes_on_when_signals_come),
		SHM_TEST(test_back_of_full_file_system_is_disk_full),
		SHM_TEST(test_populate_faults_pages_in),
	};

	return cmocka_run_group_tests_name("core.shm", tests, dir_make,
					   dir_remove);
}
