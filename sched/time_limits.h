/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of time: the timeout of an attempt, the deadline of a task, and how one
 * that is told to end is made to.
 *
 *   told     the flag LATE, or CANCEL with STOP; its waits end
 *   grace_ns later     SIGTERM to its worker, whose default is to die of it
 *   and again later    SIGKILL
 *
 * The daemon does it. One that dies in between begins with the pause anew.
 */
#ifndef MOBI_TIME_LIMITS_H
#define MOBI_TIME_LIMITS_H

#include "due.h"
#include "runtime.h"

#define MOBI_LIMIT_DAY_NS (86400 * (uint64_t)MOB_SEC)
#define MOBI_GRACE_NS (uint64_t) MOB_SEC /* the default */

/* Of a submit. INVAL. */
int mobi_limits_check(const struct mob_task_opts *o);
/* Do they say anything that is not the default? */
static inline bool mobi_limits_given(const struct mob_task_opts *o)
{
	return o->timeout_ns || o->grace_ns != MOBI_GRACE_NS ||
	       o->soft_deadline;
}

/* Has the task a deadline after which it is ended? */
bool mobi_limits_firm(const struct mobi_sched *sh, const struct mobi_task *t);

/* Does time change the record, in state w? Then the daemon should know it. */
bool mobi_limits_watched(const struct mobi_sched *sh, const struct mobi_task *t,
			 uint64_t w);

/* This worker is about to run the record, which it has: its time runs from now on.
 * False: its deadline is over; the record has LATE and TAKEN, and is to be ended. */
bool mobi_limits_begin(struct mob_store *s, uint32_t rec, uint64_t now);

/* Is the attempt with word w, which was late and has ended, to be followed by
 * another? */
bool mobi_limits_again(const struct mob_store *s, uint32_t rec, uint64_t w);

/* What a task that is LATE and not cancelled ends with, as text. */
void mobi_limits_text(const struct mob_store *s, uint32_t rec, uint64_t w,
		      char *out, size_t size);

/* Does what is due to the record of io; returns when to look again, or UINT64_MAX.
 * For the daemon. */
uint64_t mobi_limits_look(struct mob_store *s, struct mobi_due_entry *io,
			  uint64_t now);

#endif /* MOBI_TIME_LIMITS_H */
