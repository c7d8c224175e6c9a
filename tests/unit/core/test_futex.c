/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping on a shared word, and the clocks that bound it. */
#define _GNU_SOURCE

#include "err.h"
#include "os_clock.h"
#include "os_futex.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void *page;
static mobi_a32 *word;

static int word_map(void **state)
{
	(void)state;
	page = mmap(NULL, sizeof(*word), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	word = page;
	return page == MAP_FAILED ? -1 : 0;
}

static int word_unmap(void **state)
{
	(void)state;
	return munmap(page, sizeof(*word));
}

static void test_wait_on_another_value_returns(void **state)
{
	(void)state;
	mobi_store(word, 5);
	assert_int_equal(mobi_futex_wait(word, 4, MOBI_CACHELINE), 0);
	assert_int_equal(mobi_futex_wait(word, 4, -1), 0);
	assert_int_equal(mobi_futex_wait(word, 4, 0), 0);
}

static void test_wait_not_woken_times_out(void **state)
{
	const int64_t ns = 3000000;
	uint64_t before = mobi_now_ns();

	(void)state;
	mobi_store(word, 5);
	/* A signal may end the sleep early: 0. */
	while (mobi_futex_wait(word, 5, ns) == 0) {
		before = mobi_now_ns();
	}
	assert_true(mobi_now_ns() - before >= (uint64_t)ns);
	assert_string_not_equal(mob_err_detail(MOB_E_TIMEOUT), "");
	assert_int_equal(mobi_futex_wait(word, 5, 0), MOB_E_TIMEOUT);
}

static void test_wake_without_sleepers_wakes_none(void **state)
{
	(void)state;
	assert_int_equal(mobi_futex_wake(word, INT_MAX), 0);
}

static void test_wake_reaches_another_process(void **state)
{
	int status = 0;
	pid_t pid;

	(void)state;
	mobi_store(word, 1);
	pid = fork();
	if (pid == 0) {
		while (mobi_load(word) == 1) {
			(void)mobi_futex_wait(word, 1, -1);
		}
		_exit(mobi_load(word) == 2 ? 0 : 1);
	}
	/* Woken with the value unchanged: it was in the kernel. */
	while (mobi_futex_wake(word, 1) == 0) {
		(void)sched_yield();
	}
	mobi_store(word, 2);
	(void)mobi_futex_wake(word, INT_MAX);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void *sleep_in_thread(void *arg)
{
	(void)arg;
	while (mobi_load(word) == 1) {
		(void)mobi_futex_wait(word, 1, -1);
	}
	return NULL;
}

static void test_wake_counts_at_most_n(void **state)
{
	pthread_t threads[3];
	int woken = 0;

	(void)state;
	mobi_store(word, 1);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL,
						sleep_in_thread, NULL),
				 0);
	}
	for (int i = 0; i < 1000 && woken < 3; i++) {
		int n = mobi_futex_wake(word, 1);

		assert_in_range(n, 0, 1);
		woken += n;
	}
	mobi_store(word, 2);
	(void)mobi_futex_wake(word, INT_MAX);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
}

static void test_clock_monotonic_never_goes_back(void **state)
{
	uint64_t last = mobi_now_ns();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint64_t now = mobi_now_ns();

		assert_true(now >= last);
		last = now;
	}
}

static void test_clock_wall_is_after_2020(void **state)
{
	(void)state;
	assert_true(mobi_wall_ns() > UINT64_C(1577836800) * 1000000000);
}

static void test_clock_cpu_of_busy_process_grows(void **state)
{
	uint64_t first = mobi_cpu_ns_of(getpid());

	(void)state;
	assert_true(first > 0);
	while (mobi_cpu_ns_of(getpid()) < first + 1000000) {
	}
	assert_int_equal(mobi_cpu_ns_of(0), 0);
	assert_int_equal(mobi_cpu_ns_of(-5), 0);
}

static void test_clock_cpu_of_dead_process_is_0(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(mobi_cpu_ns_of(pid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wait_on_another_value_returns),
		cmocka_unit_test(test_wait_not_woken_times_out),
		cmocka_unit_test(test_wake_without_sleepers_wakes_none),
		cmocka_unit_test(test_wake_reaches_another_process),
		cmocka_unit_test(test_wake_counts_at_most_n),
		cmocka_unit_test(test_clock_monotonic_never_goes_back),
		cmocka_unit_test(test_clock_wall_is_after_2020),
		cmocka_unit_test(test_clock_cpu_of_busy_process_grows),
		cmocka_unit_test(test_clock_cpu_of_dead_process_is_0),
	};

	return cmocka_run_group_tests_name("core.futex", tests, word_map,
					   word_unmap);
}
