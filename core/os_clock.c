/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks of Linux. */
#define _GNU_SOURCE

#include "os_clock.h"

#include "err.h"

#include <time.h>

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	MOB_ASSERT(clock_gettime(id, &t) == 0);
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

uint64_t mobi_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t mobi_coarse_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t mobi_wall_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

uint64_t mobi_cpu_ns_of(int pid)
{
	struct timespec t;
	clockid_t id;

	if (pid <= 0 || clock_getcpuclockid(pid, &id) != 0 ||
	    clock_gettime(id, &t) != 0) {
		return 0;
	}
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}
