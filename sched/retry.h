/* SPDX-License-Identifier: Apache-2.0 */
/* Whether and when a task is run again. */
#ifndef MOBI_RETRY_H
#define MOBI_RETRY_H

#include "runtime.h"

struct mobi_error;

/* Row + 1 of how the options want it retried and limited; 0 for those that say
 * nothing of it. INVAL, LIMIT. */
int mobi_retry_plan(struct mobi_sched *sh, const struct mob_task_opts *o,
		    uint16_t *out_row);
/* NULL: it has none. */
const struct mobi_plan *mobi_retry_plan_of(const struct mobi_sched *sh,
					   const struct mobi_task *t);

/* Attempts before this one that count against the retries. */
static inline uint32_t mobi_retry_charged(const struct mobi_task *t, uint64_t w)
{
	return (MOBI_ATTEMPT(w) - mobi_load(&t->spared)) & 255u;
}

/* Is one more attempt left, after that of word w? */
static inline bool mobi_retry_left(const struct mobi_task *t, uint64_t w)
{
	return t->retries == MOBI_FOR_EVER ||
	       mobi_retry_charged(t, w) < t->retries;
}

/* Does not count this attempt. May be done again, by who does what one did that was
 * killed. */
void mobi_retry_spare(struct mobi_task *t, uint64_t w);

/* Is the task that ended with e to be run again? */
bool mobi_retry_wanted(const struct mobi_sched *sh, const struct mobi_task *t,
		       uint64_t w, const struct mobi_error *e);

/*
 * The word of the next attempt after that of word w: READY, or DELAY, whose end is
 * written to the record. Who has the record RUN, or reaps it, may call it; the
 * caller CASes it in; then the board, or mobi_timer_set.
 */
uint64_t mobi_retry_next(const struct mobi_sched *sh, struct mobi_task *t,
			 uint64_t w, bool at_once);

#endif /* MOBI_RETRY_H */
