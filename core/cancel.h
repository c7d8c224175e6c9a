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
};

/* Is the token of this thread set? */
bool mobi_cancelled(void);
/* Around a sleep: the bell was read before. False: it is set, do not sleep. */
bool mobi_cancel_enter(struct mobi_cancel_sleeper *me, mobi_a32 *bell);
void mobi_cancel_leave(struct mobi_cancel_sleeper *me);

#endif /* MOBI_CANCEL_H */
