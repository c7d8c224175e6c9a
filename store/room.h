/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for room in a full store, in order of arrival, for a bounded time
 * (configuration room_wait_ms). Who waits draws a ticket, writes it and its
 * deadline to its entry of the client table and tries again whenever no living
 * process has an earlier ticket whose time is not over; and once more at the end
 * of its own time, whoever is before it. So nobody waits for ever behind one that
 * is dead or stopped. One thread of a process has the ticket, the others of it
 * come after, within their own time. A store that has room is not asked for
 * tickets: who comes while others wait may be quicker.
 */
#ifndef MOBI_ROOM_H
#define MOBI_ROOM_H

#include "segment.h"

struct mobi_room {
	uint64_t end_ns; /* 0: not begun */
	bool ticket;     /* this thread has that of the process */
	bool over;       /* the last try was made */
	uint32_t turns;
};

/* Before the first try. */
static inline struct mobi_room mobi_room_begin(void)
{
	return (struct mobi_room){ 0, false, false, 0 };
}
/* After a try that found no room: sleeps until it is worth to try again.
 * STORE_FULL: the time is over, or there is none; INTERRUPTED; CLOSED. */
int mobi_room_next(struct mob_store *s, struct mobi_room *r);
/* After the last try. */
void mobi_room_end(struct mob_store *s, struct mobi_room *r);

/* In between this thread neither waits for room nor spills: it is the janitor, or
 * makes an error, and others wait for it. Nests. */
void mobi_room_forbid(void);
void mobi_room_allow(void);
bool mobi_room_forbidden(void);

#endif /* MOBI_ROOM_H */
