/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for room in a full store, in order of arrival, for a bounded time
 * (configuration room_wait_ms). Who waits draws a ticket, writes it to its entry
 * of the client table and tries again whenever no living process has an earlier
 * one. A dead one's entry is another's by then, or is seen to be dead: nobody
 * waits behind it. A store that has room is not asked for tickets: who comes
 * while others wait may be quicker.
 */
#ifndef MOBI_ROOM_H
#define MOBI_ROOM_H

#include "segment.h"

struct mobi_room {
	uint64_t end_ns;
	bool waits; /* its ticket is drawn */
};

/* Before the first try. */
static inline struct mobi_room mobi_room_begin(void)
{
	return (struct mobi_room){ 0, false };
}
/* After a try that found no room: sleeps until it is worth to try again.
 * STORE_FULL: the time is over, or waiting is not configured; INTERRUPTED. */
int mobi_room_next(struct mob_store *s, struct mobi_room *r);
/* After the last try. */
void mobi_room_end(struct mob_store *s, struct mobi_room *r);

#endif /* MOBI_ROOM_H */
