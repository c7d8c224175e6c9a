/* SPDX-License-Identifier: Apache-2.0 */
/* The lock that survives its owner: between threads, processes, and kills. */
#define _GNU_SOURCE

#include "err.h"
#include "lock.h"
#include "os_clock.h"
#include "os_proc.h"

#include <mobula/types.h>

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define CONTENDED UINT64_C(1)

/* Shared by this test and its children. */
struct arena {
	struct mobi_lock lock;
	mobi_a32 ready;
	mobi_a32 stop;
	mobi_a64 rounds;
	/* Guarded by the lock: equal whenever nobody has it. */
	uint64_t a, b;
};

static struct arena *arena;

static int arena_map(void **state)
{
	(void)state;
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return arena == MAP_FAILED ? -1 : 0;
}

static int arena_unmap(void **state)
{
	(void)state;
	return munmap(arena, sizeof(*arena));
}

static int arena_clear(void **state)
{
	(void)state;
	memset((void *)arena, 0, sizeof(*arena));
	return 0;
}

/* A child that has the lock and waits for its end. */
static pid_t spawn_owner(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (mobi_lock_acquire(&arena->lock, MOB_FOREVER) < 0) {
			_exit(1);
		}
		mobi_store(&arena->ready, 1);
		for (;;) {
			(void)pause();
		}
	}
	while (mobi_load(&arena->ready) == 0) {
		(void)sched_yield();
	}
	return pid;
}

/* A child that waits for the lock and exits with what it was told. */
static pid_t spawn_waiter(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		int rc = mobi_lock_acquire(&arena->lock, MOB_FOREVER);

		mobi_lock_release(&arena->lock);
		_exit(rc < 0 ? 99 : rc);
	}
	return pid;
}

static void wait_contended(void)
{
	while ((mobi_load(&arena->lock.word) & CONTENDED) == 0) {
		(void)sched_yield();
	}
}

static int reap(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_lock_free_is_taken_clean(void **state)
{
	(void)state;
	assert_false(mobi_lock_held(&arena->lock));
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_CLEAN);
	assert_true(mobi_lock_held(&arena->lock));
	mobi_lock_release(&arena->lock);
	assert_false(mobi_lock_held(&arena->lock));
	assert_int_equal(mobi_lock_acquire(&arena->lock, 0), MOBI_LOCK_CLEAN);
	mobi_lock_release(&arena->lock);
	assert_int_equal(mobi_load(&arena->lock.word), 0);
}

static void test_lock_of_living_process_is_busy(void **state)
{
	char pid_text[16];
	pid_t owner = spawn_owner();

	(void)state;
	(void)snprintf(pid_text, sizeof(pid_text), " %d ", owner);
	assert_int_equal(mobi_lock_try(&arena->lock), MOB_E_BUSY);
	assert_non_null(strstr(mob_err_detail(MOB_E_BUSY), pid_text));
	assert_int_equal(mobi_lock_acquire(&arena->lock, 0), MOB_E_TIMEOUT);
	assert_non_null(strstr(mob_err_detail(MOB_E_TIMEOUT), pid_text));
	assert_true(mobi_lock_held(&arena->lock));
	(void)kill(owner, SIGKILL);
	(void)reap(owner);
}

static void test_lock_acquire_waits_out_its_time(void **state)
{
	const int64_t ns = 120 * MOB_MS; /* beyond the looks in between */
	pid_t owner = spawn_owner();
	uint64_t before = mobi_now_ns();

	(void)state;
	assert_int_equal(mobi_lock_acquire(&arena->lock, ns), MOB_E_TIMEOUT);
	assert_true(mobi_now_ns() - before >= (uint64_t)ns);
	(void)kill(owner, SIGKILL);
	(void)reap(owner);
}

static void test_lock_owner_killed_is_taken_over(void **state)
{
	pid_t owner = spawn_owner();

	(void)state;
	assert_int_equal(kill(owner, SIGKILL), 0);
	assert_int_equal(WTERMSIG(reap(owner)), SIGKILL);
	assert_false(mobi_lock_held(&arena->lock));
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_OWNER_DIED);
	assert_true(mobi_lock_held(&arena->lock));
	mobi_lock_release(&arena->lock);
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_CLEAN);
	mobi_lock_release(&arena->lock);
}

static void test_lock_owner_zombie_is_taken_over(void **state)
{
	siginfo_t info;
	pid_t owner = spawn_owner();

	(void)state;
	assert_int_equal(kill(owner, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)owner, &info, WEXITED | WNOWAIT),
			 0);
	assert_int_equal(mobi_lock_acquire(&arena->lock, 0),
			 MOBI_LOCK_OWNER_DIED);
	mobi_lock_release(&arena->lock);
	(void)reap(owner);
}

static void test_lock_owner_stopped_keeps_it(void **state)
{
	int status = 0;
	pid_t owner = spawn_owner();

	(void)state;
	assert_int_equal(kill(owner, SIGSTOP), 0);
	assert_int_equal(waitpid(owner, &status, WUNTRACED), owner);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(mobi_lock_try(&arena->lock), MOB_E_BUSY);
	assert_true(mobi_lock_held(&arena->lock));
	(void)kill(owner, SIGKILL);
	(void)reap(owner);
}

static void test_lock_pid_used_again_is_taken_over(void **state)
{
	struct mobi_proc self = mobi_proc_self();
	uint64_t start = (self.start_time - 1) & 0x7fffffff;

	(void)state;
	/* Our pid, but of a process that started one tick before us. */
	mobi_store(&arena->lock.word, (uint64_t)self.pid << 32 | start << 1);
	assert_false(mobi_lock_held(&arena->lock));
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_OWNER_DIED);
	mobi_lock_release(&arena->lock);
}

static void test_lock_taken_over_still_wakes_sleepers(void **state)
{
	(void)state;
	/* Nobody has the highest pid that a word can hold. */
	mobi_store(&arena->lock.word,
		   (uint64_t)INT32_MAX << 32 | UINT64_C(9) << 1 | CONTENDED);
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_OWNER_DIED);
	assert_int_equal(mobi_load(&arena->lock.word) & CONTENDED, CONTENDED);
	mobi_lock_release(&arena->lock);
	assert_int_equal(mobi_load(&arena->lock.bell), 1);
}

static void test_lock_who_slept_wakes_the_next(void **state)
{
	pid_t pid;

	(void)state;
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_CLEAN);
	pid = fork();
	if (pid == 0) {
		uint64_t word = 0;

		if (mobi_lock_acquire(&arena->lock, MOB_FOREVER) < 0) {
			_exit(1);
		}
		word = mobi_load(&arena->lock.word);
		mobi_lock_release(&arena->lock);
		_exit(word & CONTENDED ? 0 : 2);
	}
	wait_contended();
	mobi_lock_release(&arena->lock);
	assert_int_equal(reap(pid), 0);
	assert_int_equal(mobi_load(&arena->lock.bell), 2);
}

static void test_lock_waiter_sees_owner_die(void **state)
{
	pid_t owner = spawn_owner();
	pid_t waiter = spawn_waiter();

	(void)state;
	wait_contended();
	assert_int_equal(kill(owner, SIGKILL), 0);
	(void)reap(owner);
	assert_int_equal(WEXITSTATUS(reap(waiter)), MOBI_LOCK_OWNER_DIED);
	assert_int_equal(mobi_load(&arena->lock.word), 0);
}

static void test_lock_killed_waiter_hinders_nobody(void **state)
{
	pid_t waiter;

	(void)state;
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_CLEAN);
	waiter = spawn_waiter();
	wait_contended();
	assert_int_equal(kill(waiter, SIGKILL), 0);
	(void)reap(waiter);
	mobi_lock_release(&arena->lock);
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_CLEAN);
	mobi_lock_release(&arena->lock);
}

struct thread_result {
	pthread_t thread;
	int rc;
};

static void *wait_in_thread(void *arg)
{
	struct thread_result *r = arg;

	r->rc = mobi_lock_acquire(&arena->lock, MOB_FOREVER);
	mobi_lock_release(&arena->lock);
	return NULL;
}

static void test_lock_second_thread_waits(void **state)
{
	struct thread_result r[2];

	(void)state;
	assert_int_equal(mobi_lock_try(&arena->lock), MOBI_LOCK_CLEAN);
	for (int i = 0; i < 2; i++) {
		r[i].rc = 99;
		assert_int_equal(pthread_create(&r[i].thread, NULL,
						wait_in_thread, &r[i]),
				 0);
	}
	wait_contended();
	assert_int_equal(mobi_lock_try(&arena->lock), MOB_E_BUSY);
	mobi_lock_release(&arena->lock);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(r[i].thread, NULL), 0);
		assert_int_equal(r[i].rc, MOBI_LOCK_CLEAN);
	}
	assert_int_equal(mobi_load(&arena->lock.word), 0);
}

#define COUNTS 2000

static void *count_in_thread(void *arg)
{
	struct thread_result *r = arg;

	r->rc = 0;
	for (int i = 0; i < COUNTS; i++) {
		r->rc |= mobi_lock_acquire(&arena->lock, MOB_FOREVER);
		arena->a++;
		mobi_lock_release(&arena->lock);
	}
	return NULL;
}

static void test_lock_threads_exclude_each_other(void **state)
{
	struct thread_result r[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&r[i].thread, NULL,
						count_in_thread, &r[i]),
				 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(r[i].thread, NULL), 0);
		assert_int_equal(r[i].rc, MOBI_LOCK_CLEAN);
	}
	assert_int_equal(arena->a, 3 * COUNTS);
}

static pid_t spawn_counter(void)
{
	pid_t pid = fork();

	if (pid != 0) {
		return pid;
	}
	while (mobi_load(&arena->stop) == 0) {
		int rc = mobi_lock_acquire(&arena->lock, MOB_FOREVER);

		if (rc == MOBI_LOCK_OWNER_DIED) {
			/* a is written first: at most one ahead. */
			if (arena->a - arena->b > 1) {
				_exit(1);
			}
			arena->b = arena->a;
		}
		if (rc < 0 || arena->a != arena->b) {
			_exit(2);
		}
		*(volatile uint64_t *)&arena->a += 1;
		*(volatile uint64_t *)&arena->b += 1;
		mobi_lock_release(&arena->lock);
		(void)mobi_fetch_add(&arena->rounds, 1);
	}
	_exit(0);
}

static void test_lock_storm_of_kills_keeps_data_whole(void **state)
{
	enum { COUNTERS = 3, KILLS = 60 };
	pid_t pids[COUNTERS];
	unsigned seed = (unsigned)mobi_now_ns();

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < COUNTERS; i++) {
		pids[i] = spawn_counter();
	}
	for (int i = 0; i < KILLS; i++) {
		int victim = (int)(random() % COUNTERS);
		uint64_t until = mobi_load(&arena->rounds) +
				 (uint64_t)random() % 400;

		while (mobi_load(&arena->rounds) < until) {
			(void)sched_yield();
		}
		assert_int_equal(kill(pids[victim], SIGKILL), 0);
		assert_int_equal(WTERMSIG(reap(pids[victim])), SIGKILL);
		pids[victim] = spawn_counter();
	}
	mobi_store(&arena->stop, 1);
	for (int i = 0; i < COUNTERS; i++) {
		assert_int_equal(reap(pids[i]), 0);
	}
	/* The last kill may have hit an owner, with nobody after it. */
	if (mobi_lock_try(&arena->lock) == MOBI_LOCK_CLEAN) {
		assert_int_equal(arena->a, arena->b);
	}
}

static void test_lock_release_of_free_lock_is_a_bug(void **state)
{
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)close(STDERR_FILENO);
		mobi_lock_release(&arena->lock);
		_exit(0);
	}
	status = reap(pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

#define LOCK_TEST(fn) cmocka_unit_test_setup((fn), arena_clear)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOCK_TEST(test_lock_free_is_taken_clean),
		LOCK_TEST(test_lock_of_living_process_is_busy),
		LOCK_TEST(test_lock_acquire_waits_out_its_time),
		LOCK_TEST(test_lock_owner_killed_is_taken_over),
		LOCK_TEST(test_lock_owner_zombie_is_taken_over),
		LOCK_TEST(test_lock_owner_stopped_keeps_it),
		LOCK_TEST(test_lock_pid_used_again_is_taken_over),
		LOCK_TEST(test_lock_taken_over_still_wakes_sleepers),
		LOCK_TEST(test_lock_who_slept_wakes_the_next),
		LOCK_TEST(test_lock_waiter_sees_owner_die),
		LOCK_TEST(test_lock_killed_waiter_hinders_nobody),
		LOCK_TEST(test_lock_second_thread_waits),
		LOCK_TEST(test_lock_threads_exclude_each_other),
		LOCK_TEST(test_lock_storm_of_kills_keeps_data_whole),
		LOCK_TEST(test_lock_release_of_free_lock_is_a_bug),
	};

	return cmocka_run_group_tests_name("core.lock", tests, arena_map,
					   arena_unmap);
}
