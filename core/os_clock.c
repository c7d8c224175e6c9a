/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks of Linux. */
#define _GNU_SOURCE

#include "os_clock.h"

#include "err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
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

/* ---- the counter of the processor ---- */

#if defined(__x86_64__)

#define SPAN_NS UINT64_C(1000000)  /* the two are compared again after this */
#define SLOPE_NS UINT64_C(1000000) /* the least from which a slope is taken */
#define BETWEEN_TICKS 2000u /* more: it was interrupted between the two */

/* What both clocks showed last, and how the counter goes since. */
struct pair {
	uint64_t ticks;
	uint64_t ns;
	uint64_t slope; /* ns a tick, in 1/2^32 */
	uint64_t span;  /* ticks for which that is good; 0: not known yet */
};
static _Thread_local struct pair pair __attribute__((tls_model("initial-"
							       "exec")));

static pthread_once_t trust_once = PTHREAD_ONCE_INIT;
static bool trusted;

/* The kernel keeps its own time by the counter only if that is the same on all
 * processors and never stands still. */
static void ask_trust(void)
{
	FILE *f = fopen("/sys/devices/system/clocksource/clocksource0/"
			"current_clocksource",
			"re");
	char name[32] = "";

	if (f) {
		(void)fscanf(f, "%31s", name);
		(void)fclose(f);
	}
	trusted = !strcmp(name, "tsc");
}

static uint64_t compare(void)
{
	uint64_t before;
	uint64_t ticks;
	uint64_t ns;

	(void)pthread_once(&trust_once, ask_trust);
	if (!trusted) {
		return mobi_now_ns();
	}
	before = __builtin_ia32_rdtsc();
	ns = mobi_now_ns();
	ticks = __builtin_ia32_rdtsc();
	if (ticks - before > BETWEEN_TICKS) {
		return ns; /* the next call tries again */
	}
	ticks -= (ticks - before) / 2;
	if (!pair.ticks || ns - pair.ns > 1000 * SPAN_NS ||
	    ticks <= pair.ticks) {
		pair.span = 0; /* the first, or of long ago: as the first */
	} else if (ns - pair.ns >= SLOPE_NS) {
		uint64_t d = ticks - pair.ticks;

		pair.slope = ((ns - pair.ns) << 32) / d;
		pair.span = d * SPAN_NS / (ns - pair.ns);
	} else {
		return ns;
	}
	pair.ticks = ticks;
	pair.ns = ns;
	return ns;
}

uint64_t mobi_quick_ns(void)
{
	uint64_t d = __builtin_ia32_rdtsc() - pair.ticks;

	return d < pair.span ? pair.ns + (d * pair.slope >> 32) : compare();
}

#else

uint64_t mobi_quick_ns(void)
{
	return mobi_now_ns();
}

#endif

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
