/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of workers: memory, at which one is replaced when its task has ended, or
 * killed; and those of setrlimit.
 */
#ifndef MOBI_WORKER_LIMITS_H
#define MOBI_WORKER_LIMITS_H

#include "os_limits.h"
#include "segment.h"

/* Of a new session, from the configuration. Errors: INVAL. */
int mobi_worker_limits_init(struct mob_store *s);
/* Has this worker more memory of its own than it may have at the end of a task?
 * Looks no more than ten times a second. */
bool mobi_worker_leaks(const struct mob_store *s);
/* Kills the worker pid, in this place, if it has more than it may ever have; says so
 * to who reaps it. By the daemon. */
void mobi_worker_limit_kill(struct mob_store *s, uint32_t place);

#endif /* MOBI_WORKER_LIMITS_H */
