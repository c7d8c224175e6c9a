/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MOB_TEST_FILTER: only the tests of that name run; * and ? stand for any text and
 * any letter. Part of every test that is a program, so that one can be run alone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Before any main, as some tests have none of their own. */
__attribute__((constructor)) static void filter_tests(void)
{
	const char *pattern = getenv("MOB_TEST_FILTER");

	if (pattern && pattern[0]) {
		cmocka_set_test_filter(pattern);
	}
}
