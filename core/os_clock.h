/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks. */
#ifndef MOBI_OS_CLOCK_H
#define MOBI_OS_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC, ns: the same for all processes of one boot. */
uint64_t mobi_now_ns(void);
/* The same clock as it stood at the last tick, a few ms ago at most; a quarter
 * of the cost. */
uint64_t mobi_coarse_ns(void);
/* The same clock, from a counter of the processor where the kernel trusts that one:
 * half the cost of mobi_now_ns. Within a microsecond of it, so it may go back by as
 * little. */
uint64_t mobi_quick_ns(void);
/* CLOCK_REALTIME, ns since 1970. */
uint64_t mobi_wall_ns(void);
/* CPU time that process pid has used so far, ns; 0 if it cannot be told. */
uint64_t mobi_cpu_ns_of(int pid);

#endif /* MOBI_OS_CLOCK_H */
