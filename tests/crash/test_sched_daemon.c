/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of the daemon, again and again, while tasks run: each time there is another,
 * results are right, and at the end nothing is left.
 *
 *   MOB_TEST_DAEMON_KILLS=n MOB_TEST_SEED=n test_crash_sched_daemon
 */
#define _GNU_SOURCE
#include "live.h"

#include "os_clock.h"

#include <signal.h>

#define TASKS 8

MOB_TASK(int64_t, d_twice, int64_t, x)
{
	return 2 * x;
}

static bool is_another(void *arg)
{
	const int *was = arg;
	int is = live_daemon();

	return is && is != *was;
}

static void test_daemon_killed_another_is_there(void **state)
{
	uint64_t n = test_count("MOB_TEST_DAEMON_KILLS",
				LIVE_SLOW > 1 ? 10 : 1000, 10000);
	uint64_t seed = live_seed("daemon");

	(void)state;
	live_start(2);
	for (uint64_t i = 0; i < n; i++) {
		int64_t at = (int64_t)(live_random(&seed) % TASKS);
		int pid = 0;

		assert_true(live_await(is_another, &pid));
		pid = live_daemon();
		MOB_SCOPE
		{
			mob_ref r[TASKS];
			int64_t x;

			for (int64_t k = 0; k < TASKS; k++) {
				if (k == at) {
					assert_int_equal(kill(pid, SIGKILL), 0);
				}
				r[k] = mob_submit(d_twice, k);
			}
			for (int64_t k = 0; k < TASKS; k++) {
				assert_int_equal(mob_get(r[k], &x), 0);
				assert_int_equal(x, 2 * k);
			}
		}
		assert_true(live_await(is_another, &pid));
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
	print_message("%llu daemons killed\n", (unsigned long long)n);
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_daemon_killed_another_is_there),
	};

	return cmocka_run_group_tests_name("crash.sched_daemon", tests, NULL,
					   NULL);
}
