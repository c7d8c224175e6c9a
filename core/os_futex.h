/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping on a word of shared memory. */
#ifndef MOBI_OS_FUTEX_H
#define MOBI_OS_FUTEX_H

#include "atomic.h"

/*
 * Sleeps while *word == value, until a wake, a signal, or timeout_ns
 * (negative: for ever). Returns 0 after any of these except the time-out,
 * which is MOB_E_TIMEOUT; the caller looks again in either case.
 */
int mobi_futex_wait(mobi_a32 *word, uint32_t value, int64_t timeout_ns);

/* Wakes at most n sleepers; returns how many. */
int mobi_futex_wake(mobi_a32 *word, int n);

#endif /* MOBI_OS_FUTEX_H */
