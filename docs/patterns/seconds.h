/* SPDX-License-Identifier: Apache-2.0 */
/* The clock of the programs in this folder. */
#ifndef PATTERNS_SECONDS_H
#define PATTERNS_SECONDS_H

#include <time.h>

/* Seconds since some moment. */
static inline double seconds(void)
{
	struct timespec t;

	(void)timespec_get(&t, TIME_UTC);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif /* PATTERNS_SECONDS_H */
