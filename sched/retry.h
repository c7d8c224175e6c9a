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

/* As its options say; MOBI_FOR_EVER. */
static inline uint32_t mobi_retry_given(const struct mobi_task *t)
{
	return MOBI_TRIES_RETRIES(mobi_load(&t->tries));
}

/* Attempts that were killed for lack of memory. */
static inline uint32_t mobi_retry_pressed(const struct mobi_task *t)
{
	return MOBI_TRIES_PRESSED(mobi_load(&t->tries));
}

/* The same, of those before that of word w. */
static inline uint32_t mobi_retry_pressed_before(const struct mobi_task *t,
						 uint64_t w)
{
	uint32_t tries = mobi_load(&t->tries);
	uint32_t pressed = MOBI_TRIES_PRESSED(tries);

	if (pressed &&
	    MOBI_TRIES_NEXT(tries) == ((MOBI_ATTEMPT(w) + 1) & 255u)) {
		pressed--; /* this one is among them */
	}
	return pressed;
}

/* Attempts before this one that count against the retries. */
static inline uint32_t mobi_retry_charged(const struct mobi_task *t, uint64_t w)
{
	uint32_t tries = mobi_load(&t->tries);
	uint32_t spared = MOBI_TRIES_SPARED(tries);

	if (spared &&
	    MOBI_TRIES_NEXT(tries) == ((MOBI_ATTEMPT(w) + 1) & 255u)) {
		spared--; /* this one is among them: who spared it was killed */
	}
	return (MOBI_ATTEMPT(w) - spared) & 255u;
}

/* Is one more attempt left, after that of word w? */
static inline bool mobi_retry_left(const struct mobi_task *t, uint64_t w)
{
	uint32_t given = mobi_retry_given(t);

	return given == MOBI_FOR_EVER || mobi_retry_charged(t, w) < given;
}

/* Does not count this attempt. May be done again, by who does what one did that was
 * killed. */
void mobi_retry_spare(struct mobi_task *t, uint64_t w);
/* The same, and counts it among those killed for lack of memory. */
void mobi_retry_press(struct mobi_task *t, uint64_t w);

/* Is the task that ended with e to be run again? */
bool mobi_retry_wanted(const struct mobi_sched *sh, const struct mobi_task *t,
		       uint64_t w, const struct mobi_error *e);

/* When the next attempt may run. */
enum mobi_retry_how {
	MOBI_RETRY_PLANNED, /* after the backoff of its options */
	MOBI_RETRY_AT_ONCE,
	MOBI_RETRY_PRESSED /* after a second; twice as long each time, less a
			    * random part */
};

/*
 * The word of the next attempt after that of word w: READY, or DELAY, whose end is
 * written to the record. Who has the record RUN, or reaps it, may call it; the
 * caller CASes it in; then the board, or mobi_timer_set.
 */
uint64_t mobi_retry_next(const struct mobi_sched *sh, struct mobi_task *t,
			 uint64_t w, enum mobi_retry_how how);

#endif /* MOBI_RETRY_H */
