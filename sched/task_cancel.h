/* SPDX-License-Identifier: Apache-2.0 */
/* Cancelling tasks. */
#ifndef MOBI_TASK_CANCEL_H
#define MOBI_TASK_CANCEL_H

#include "runtime.h"

/*
 * Cancels the task of that generation, as mob_task_cancel. Returns 1; 0 if it is
 * over, or another's record by now.
 */
int mobi_task_cancel(struct mob_store *s, uint32_t rec, uint32_t gen,
		     uint32_t flags);

/* Cancels what the task that w is of has submitted, unless it was to be cancelled
 * alone. Who runs w may call it, and who holds the record. */
void mobi_task_cancel_children(struct mob_store *s, uint32_t rec, uint64_t w);
/* The same for one that is over: {gen, record + 1}. */
void mobi_task_cancel_below(struct mob_store *s, uint64_t task);

/*
 * The time of the task with word w is over: pending, it ends; running, it is told.
 * For the daemon. False: the word has changed.
 */
bool mobi_task_late(struct mob_store *s, uint32_t rec, uint64_t w);

/* Sends a deadly signal to the worker that runs the attempt of word w: not to one
 * that has gone on to something else. What else it runs is spared. True: it was
 * sent. */
bool mobi_task_shoot(struct mob_store *s, uint32_t rec, uint64_t w, int sig);

/* What the returns of a task hold that was cancelled, or late, in state w. */
struct mobi_error *mobi_task_cancelled_error(const struct mob_store *s,
					     uint32_t rec, uint64_t w);

/* Ends RUN with CANCEL or LATE, of this process or of a dead one: its children, then its
 * returns, then the record. May be done again after a kill. */
void mobi_task_end_cancelled(struct mob_store *s, uint32_t rec, uint64_t w);

#endif /* MOBI_TASK_CANCEL_H */
