/* SPDX-License-Identifier: Apache-2.0 */
/* Running code that may crash or never return, in a child. */
#ifndef MOBI_OS_TRIAL_H
#define MOBI_OS_TRIAL_H

#include <stdint.h>

struct mobi_trial_end {
	int rc;           /* what fn returned, if it did */
	int sig;          /* the signal that ended the child, or 0 */
	char detail[512]; /* of rc, or of how the child ended */
};

/*
 * Calls fn(arg) in a forked child that may use cpu_s seconds of processor time
 * and wall_ms of time at all, and waits for it. fn's memory is a copy;
 * it must not use a session. Returns 0 if fn returned 0, else a negative
 * MOB_E_*: that of fn, MOB_E_CRASHED if a signal ended it, MOB_E_TIMEOUT if it
 * used up its time. The detail is recorded in this process too. A child that
 * hangs without using processor time is given up, and another one tried, three
 * in all: it may have been born with a lock that another thread had.
 */
int mobi_trial(int (*fn)(void *arg), void *arg, uint32_t cpu_s,
	       uint32_t wall_ms, struct mobi_trial_end *out_end);

#endif /* MOBI_OS_TRIAL_H */
