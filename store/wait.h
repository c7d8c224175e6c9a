/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping until objects are resolved. */
#ifndef MOBI_WAIT_H
#define MOBI_WAIT_H

#include "segment.h"

/*
 * One sleep of a wait: returns 0 when *bell may have changed (the caller looks
 * again) or now and then for no reason, MOB_E_TIMEOUT when `end` (ns of the
 * monotonic clock; used if timeout_ns > 0) has passed or timeout_ns is 0,
 * MOB_E_CLOSED when the session ends. *asleep is raised meanwhile.
 */
int mobi_sleep_on(struct mob_store *s, mobi_a32 *bell, mobi_a32 *asleep,
		  uint32_t value, int64_t timeout_ns, int64_t end);

/* Who waits, for anything, calls it now and then: once in a while it looks for the
 * dead, as nobody else may be about. */
void mobi_look_around(struct mob_store *s);

/* May a wait go on? Errors: TIMEOUT, INTERRUPTED, CLOSED. */
int mobi_wait_over(struct mob_store *s, int64_t timeout_ns, int64_t end);

/* When timeout_ns from now is, for mobi_sleep_on; 0 if it is not positive. */
int64_t mobi_deadline(int64_t timeout_ns);

/* Waits until the object is resolved; the caller keeps it alive. */
int mobi_wait_one(struct mob_store *s, uint64_t id, int64_t timeout_ns);

/* Looks at *word for a while that is learned (or configured), as long as it
 * equals value; true if it changed. For before a sleep. */
bool mobi_spin(mobi_a32 *word, uint32_t value);

/* In place of an object: one of those of a completion queue. */
#define MOBI_ANY_OF(queue) (UINT64_MAX - (queue))
static inline bool mobi_is_any(uint64_t id)
{
	return id > UINT64_MAX - MOBI_CQS;
}
static inline uint32_t mobi_queue_of_any(uint64_t id)
{
	return (uint32_t)(UINT64_MAX - id);
}

/* Through which call a thread waits; only to be told. */
enum mobi_wait_kind {
	MOBI_WAIT_GET,
	MOBI_WAIT_ALL,
	MOBI_WAIT_SOME,
	MOBI_WAIT_QUEUE, /* of the program: its threads may add to it */
	MOBI_WAIT_STREAM,
	MOBI_WAIT_ROOM /* for ever, though in slices, which have a time-out */
};
/* Gets of this thread are told as this kind from now on; returns the one before. */
uint32_t mobi_wait_through(uint32_t kind);

/* What a thread is about to sleep for. */
struct mobi_wait {
	uint64_t id;   /* of an object, or MOBI_ANY_OF */
	uint32_t need; /* so many of a queue have to be resolved yet; else 1 */
	uint32_t kind; /* MOBI_WAIT_* */
	int64_t timeout_ns;
};

/* How sched takes part when a thread is about to block. */
struct mobi_block_hooks {
	/* About to sleep. 1 if it ran something itself: look again; 0: sleep;
	 * MOB_E_DEADLOCK. With MOBI_ANY_OF, for one of many: 1 if nobody but a
	 * thread that waits can run what is waited for; then run_for is called
	 * for each of them until it says true, or else run_none, which returns
	 * 0 or MOB_E_DEADLOCK. */
	int (*blocking)(struct mob_store *s, const struct mobi_wait *w);
	bool (*run_for)(struct mob_store *s, uint64_t id);
	int (*run_none)(struct mob_store *s, const struct mobi_wait *w);
	/* It goes on. Called after one or more calls of blocking, before what it
	 * waited for is seen by others no more; and once more does nothing. */
	void (*resumed)(struct mob_store *s);
};
extern const struct mobi_block_hooks *mobi_block_hooks;

#endif /* MOBI_WAIT_H */
