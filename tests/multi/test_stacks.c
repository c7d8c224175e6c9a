/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of tasks that run while another one waits: a busy worker keeps a few, an
 * idle one none. */
#define _GNU_SOURCE
#include "live.h"
#include "os_shm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT 8 /* STACKS_KEPT of sched/block.c */
#define BIG ((size_t)600 << 10)

/* Mappings of a MiB or so above a page that nobody may touch. */
static int64_t stacks_of(int64_t pid)
{
	unsigned long guard_end = 0;
	char line[512];
	int64_t n = 0;
	FILE *f;

	(void)snprintf(line, sizeof(line), "/proc/%lld/maps", (long long)pid);
	f = fopen(line, "re");
	if (!f) {
		return -1;
	}
	while (fgets(line, sizeof(line), f)) {
		char *end = NULL;
		unsigned long from = strtoul(line, &end, 16);
		unsigned long to = strtoul(end + 1, &end, 16);
		bool usable = strncmp(end, " rw-p", 5) == 0;

		n += usable && from == guard_end && to - from >= 1u << 20 &&
		     to - from < 4u << 20;
		guard_end = strncmp(end, " ---p", 5) == 0 &&
					    to - from == mobi_page_size() ?
				    to :
				    0;
	}
	(void)fclose(f);
	return n;
}

/* Uses most of its stack, so that what was there before would be seen. */
MOB_TASK(int64_t, k_nest, int64_t, depth)
{
	volatile unsigned char big[BIG];
	int64_t below = 0;

	for (size_t i = 0; i < BIG; i += 1024) {
		big[i] = (unsigned char)depth;
	}
	if (depth > 0) {
		mob_get(mob_submit(k_nest, depth - 1), &below);
	}
	for (size_t i = 0; i < BIG; i += 1024) {
		if (big[i] != (unsigned char)depth) {
			mob_fail(5, "its stack is another's, too");
		}
	}
	return below + 1;
}

MOB_TASK(int64_t, k_pid, void)
{
	return getpid();
}

/* How many stacks its worker has after a nest, or twice that nest. */
MOB_TASK(int64_t, k_kept, int32_t, times)
{
	int64_t x = 0;

	for (int32_t i = 0; i < times; i++) {
		mob_get(mob_submit(k_nest, 20), &x);
		if (x != 21) {
			mob_fail(5, "the nest is %d deep", (int)x);
		}
	}
	return stacks_of(getpid());
}

struct expected {
	int64_t pid;
	int64_t stacks;
};

static bool has_stacks(void *arg)
{
	const struct expected *e = arg;

	return stacks_of(e->pid) == e->stacks;
}

/* One worker, and no more may be started. */
static void test_stacks_are_kept_while_busy_and_given_back_idle(void **state)
{
	struct expected e = { 0, 0 };
	int64_t kept[2] = { 0, 0 };

	(void)state;
	assert_int_equal(setenv("MOBULA_EXTRA_WORKERS", "0", 1), 0);
	live_start(1);
	MOB_SCOPE
	{
		assert_int_equal(mob_get(mob_submit(k_pid), &e.pid), 0);
		e.stacks = stacks_of(e.pid);
		assert_true(e.stacks >= 0);
		assert_int_equal(mob_get(mob_submit(k_kept, 1), &kept[0]), 0);
		assert_int_equal(mob_get(mob_submit(k_kept, 20), &kept[1]), 0);
		assert_int_equal(kept[0] - e.stacks, KEPT);
		assert_int_equal(kept[1] - e.stacks, KEPT);
		assert_true(live_await(has_stacks, &e));
	}
	assert_int_equal(live_audit(0), 0);
	mob_shutdown();
	assert_int_equal(unsetenv("MOBULA_EXTRA_WORKERS"), 0);
}

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_stacks_are_kept_while_busy_and_given_back_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
