/* SPDX-License-Identifier: Apache-2.0 */
/* The quick clock beside the usual one, over many of its comparisons with that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "os_clock.h"

#include <pthread.h>
#include <stdbool.h>

#define LOOK_NS UINT64_C(30000000) /* 30 comparisons */
#define OFF_NS UINT64_C(10000)

/* It lies between two looks at the other clock, but for what it may be off. */
static bool agrees(void)
{
	uint64_t end = mobi_now_ns() + LOOK_NS;
	uint64_t before = mobi_now_ns();

	while (before < end) {
		uint64_t quick = mobi_quick_ns();
		uint64_t after = mobi_now_ns();

		if (quick + OFF_NS < before || quick > after + OFF_NS) {
			return false;
		}
		before = after;
	}
	return true;
}

static void test_quick_clock_is_the_clock(void **state)
{
	(void)state;
	assert_true(agrees());
}

static void *in_thread(void *out)
{
	*(bool *)out = agrees();
	return NULL;
}

static void test_quick_clock_is_the_clock_in_each_thread(void **state)
{
	pthread_t t[3];
	bool ok[3] = { false };

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, in_thread, &ok[i]),
				 0);
	}
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_true(ok[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quick_clock_is_the_clock),
		cmocka_unit_test(test_quick_clock_is_the_clock_in_each_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
