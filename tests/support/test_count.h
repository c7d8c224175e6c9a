/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a random test goes on, and its seed.
 *
 *   MOB_TEST_LONG=1        the counts of a long run, in every test
 *   MOB_TEST_<WHAT>=n      this count of this test, whatever else is set
 *   MOB_TEST_SEED=n        repeats the order of events
 */
#ifndef TEST_COUNT_H
#define TEST_COUNT_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t test_count(const char *name, uint64_t usual,
				  uint64_t in_long_run)
{
	const char *text = getenv(name);
	const char *all = getenv("MOB_TEST_LONG");

	if (text && text[0]) {
		return strtoull(text, NULL, 0);
	}
	return all && all[0] && all[0] != '0' ? in_long_run : usual;
}

/* Never 0; printed. */
static inline uint64_t test_seed(void)
{
	const char *text = getenv("MOB_TEST_SEED");
	struct timespec t;
	uint64_t seed;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	seed = text && text[0] ?
		       strtoull(text, NULL, 0) :
		       (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	seed = seed ? seed : 1;
	(void)printf("MOB_TEST_SEED=%" PRIu64 "\n", seed);
	(void)fflush(stdout);
	return seed;
}

#endif /* TEST_COUNT_H */
