/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lock in shared memory that survives its owner: the word names the owner's
 * process, a contender that finds it dead takes the lock over and is told so.
 * For rare work (attach, the janitor's role, starting the daemon); nothing on
 * a hot path takes it. All processes of one lock are of one pid name space.
 */
#ifndef MOBI_LOCK_H
#define MOBI_LOCK_H

#include "atomic.h"

#include <stdbool.h>

/* {pid 32, low bits of its start time 31, CONTENDED 1}; 0 is free. */
struct mobi_lock {
	mobi_a64 word;
	mobi_a32 bell; /* futex of those who wait */
	uint32_t reserved;
};

enum { MOBI_LOCK_CLEAN = 0, MOBI_LOCK_OWNER_DIED = 1 };

/* Both return MOBI_LOCK_CLEAN, or MOBI_LOCK_OWNER_DIED: the caller has the
 * lock and must repair what it guards. try_: MOB_E_BUSY if a living process
 * has it. lock waits at most timeout_ns (MOB_E_TIMEOUT); not recursive. A
 * second thread of the owning process waits as any other. */
int mobi_lock_try(struct mobi_lock *l);
int mobi_lock_acquire(struct mobi_lock *l, int64_t timeout_ns);
void mobi_lock_release(struct mobi_lock *l);
/* Pid of who has it, dead or alive; 0: nobody. */
uint32_t mobi_lock_pid(const struct mobi_lock *l);
/* True if a living process has it. */
bool mobi_lock_held(const struct mobi_lock *l);

#endif /* MOBI_LOCK_H */
