/* SPDX-License-Identifier: Apache-2.0 */
/* Cancellation tokens, inside. The public half is <mobula/cancel.h>. */
#ifndef MOBI_CANCEL_H
#define MOBI_CANCEL_H

#include "atomic.h"

#include <mobula/cancel.h>

/* A thread that is about to sleep on a bell (a futex that changes when it is
 * rung). It lies on the sleeper's stack. */
struct mobi_cancel_sleeper {
	mobi_a32 *bell;
	struct mobi_cancel_sleeper *next;
	struct mobi_cancel_sleeper **prev; /* as next: under the token's lock */
	bool listed;                       /* the sleeper's own */
	bool watches;                      /* likewise */
};

/*
 * A word of shared memory, of which one of these bits cancels this thread, too;
 * word NULL: none. Of one thread of a process at a time. Who sets the bit sends a
 * signal, whose handler calls mobi_cancel_ring.
 */
struct mobi_cancel_watch {
	const mobi_a64 *word;
	uint64_t bits;
};
/* Sets that of this thread; returns the one before. */
struct mobi_cancel_watch mobi_cancel_watch(struct mobi_cancel_watch watch);
/* Wakes the thread that watches, if it sleeps. In a signal handler, too. */
void mobi_cancel_ring(void);

/* Has this thread a token that somebody may set? */
bool mobi_cancel_has_token(void);
/* Is the token of this thread set, or the bit that it watches? */
bool mobi_cancelled(void);
/* Around a sleep: the bell was read before. False: it is set, do not sleep. */
bool mobi_cancel_enter(struct mobi_cancel_sleeper *me, mobi_a32 *bell);
void mobi_cancel_leave(struct mobi_cancel_sleeper *me);

#endif /* MOBI_CANCEL_H */
