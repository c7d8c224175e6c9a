/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many tasks: trees and chains of them, from several threads, in tasks with threads of
 * their own and in those that fork.
 */
#include "live.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

MOB_TASK(int64_t, t_add, int64_t, a, int64_t, b)
{
	return a + b;
}

/* ---- deep and wide ---- */

MOB_TASK(int64_t, t_fib, int64_t, n)
{
	int64_t a;
	int64_t b;
	mob_ref left;

	if (n < 2) {
		return n;
	}
	left = mob_submit(t_fib, n - 1);
	mob_get(mob_submit(t_fib, n - 2), &b);
	mob_get(left, &a);
	return a + b;
}

static void test_task_tree_of_tasks_that_wait_for_tasks(void **state)
{
	int64_t x;

	(void)state;
	assert_int_equal(mob_get(mob_submit(t_fib, 13), &x), 0);
	assert_int_equal(x, 233);
}

static void test_task_chain_of_five_thousand(void **state)
{
	int64_t x;

	(void)state;
	MOB_SCOPE
	{
		mob_ref r = mob_put((int64_t)0);

		for (int i = 0; i < 5000; i++) {
			mob_ref next = mob_submit(t_add, r, 1);

			assert_int_equal(mob_release(r), 0);
			r = next;
		}
		assert_int_equal(mob_get(r, &x), 0);
		assert_int_equal(x, 5000);
	}
}

#define THREADS 4
#define EACH 3000

struct thread_result {
	int wrong;
	int64_t base;
};

static void *submit_and_get(void *arg)
{
	struct thread_result *t = arg;
	mob_ref ref[50];

	for (int k = 0; k < EACH / 50; k++) {
		for (int i = 0; i < 50; i++) {
			ref[i] = mob_submit(t_add, t->base + i, k);
		}
		for (int i = 0; i < 50; i++) {
			int64_t x = -1;

			if (mob_take(ref[i], &x) || x != t->base + i + k) {
				t->wrong++;
			}
		}
	}
	/* What is left here goes with the thread. */
	(void)mob_submit(t_add, 1, 2);
	(void)mob_put("left behind");
	return NULL;
}

static void test_task_threads_submit_at_once(void **state)
{
	struct thread_result res[THREADS];
	pthread_t t[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		res[i] = (struct thread_result){ 0, 1000 * i };
		assert_int_equal(pthread_create(&t[i], NULL, submit_and_get,
						&res[i]),
				 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(res[i].wrong, 0);
	}
}

/* ---- a task with threads of its own ---- */

static void *inside(void *arg)
{
	struct thread_result *t = arg;
	int64_t x = 0;

	t->wrong += mob_get(mob_submit(t_add, t->base, 5), &x) != 0;
	t->wrong += x != t->base + 5;
	/* Its error is its own: the task does not end with it. */
	mob_fail(7, "only mine");
	t->wrong += mob_error_code() != 7;
	return NULL;
}

MOB_TASK(int64_t, t_threads, int64_t, base)
{
	struct thread_result res[2] = { { 0, base }, { 0, base + 1 } };
	pthread_t t[2];

	for (int i = 0; i < 2; i++) {
		if (pthread_create(&t[i], NULL, inside, &res[i])) {
			mob_fail(1, "no thread");
			return -1;
		}
	}
	for (int i = 0; i < 2; i++) {
		(void)pthread_join(t[i], NULL);
	}
	return res[0].wrong + res[1].wrong;
}

static void *long_after(void *arg)
{
	mob_ref *ref = arg;
	int64_t x;

	/* Goes on when the task is gone; its ref was kept for it. */
	if (!mob_get(*ref, &x) && x == 77) {
		(void)mob_release(*ref);
	}
	free(ref);
	return NULL;
}

MOB_TASK(int64_t, t_leaves_thread, void)
{
	mob_ref *ref = malloc(sizeof(*ref));
	pthread_t t;

	if (!ref) {
		return 1;
	}
	*ref = mob_submit(t_add, 70, 7);
	if (mob_keep(*ref) || pthread_create(&t, NULL, long_after, ref)) {
		mob_fail(1, "no thread");
		return 1;
	}
	(void)pthread_detach(t);
	return 0;
}

static void test_task_thread_of_a_task_submits_and_fails_alone(void **state)
{
	int64_t x;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_get(mob_submit(t_threads, i), &x), 0);
		assert_int_equal(x, 0);
	}
}

static void test_task_thread_may_outlive_its_task(void **state)
{
	int64_t x;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(mob_take(mob_submit(t_leaves_thread), &x), 0);
		assert_int_equal(x, 0);
	}
}

/* ---- forks ---- */

/* As a program does that starts another which is not there. */
MOB_TASK(int64_t, t_forks, int64_t, x)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl("/no/such/program", "none", (char *)NULL);
		return -1;
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		mob_fail(1, "no child");
	}
	return WIFEXITED(status) ? x : -2;
}

static void test_task_forked_child_that_returns_is_no_worker(void **state)
{
	uint32_t crashes = (uint32_t)mobi_load(&mobi_rt.sched->retried);
	int64_t x;

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(mob_take(mob_submit(t_forks, i), &x), 0);
		assert_int_equal(x, i);
	}
	assert_int_equal(mobi_load(&mobi_rt.sched->retried), crashes);
}

/* ---- for whom ---- */

MOB_TASK(int64_t, t_job, int32_t, depth)
{
	int64_t x = 0;

	if (depth) {
		mob_get(mob_submit(t_job, depth - 1), &x);
		return x;
	}
	return mobi_task_at(mobi_rt.store, (uint32_t)mobi_context()->task)->job;
}

static void test_task_of_a_task_is_of_the_same_driver(void **state)
{
	int64_t x;

	(void)state;
	for (int depth = 0; depth < 4; depth++) {
		assert_int_equal(mob_take(mob_submit(t_job, depth), &x), 0);
		assert_int_equal(x, mobi_rt.store->me);
	}
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_task_tree_of_tasks_that_wait_for_tasks),
		T(test_task_chain_of_five_thousand),
		T(test_task_threads_submit_at_once),
		T(test_task_thread_of_a_task_submits_and_fails_alone),
		T(test_task_thread_may_outlive_its_task),
		T(test_task_forked_child_that_returns_is_no_worker),
		T(test_task_of_a_task_is_of_the_same_driver),
	};

	return cmocka_run_group_tests(tests, live_start_two, NULL);
}
