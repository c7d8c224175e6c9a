/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#include "cancel.h"
#include "conf.h"
#include "err.h"
#include "os_clock.h"
#include "os_run.h"
#include "wait.h"

#define LOOK_NS MOB_MS

static int begin_wait(struct mob_store *s, struct mobi_room *r)
{
	uint64_t ms = 0;
	int rc = mobi_conf_u64(MOBI_CONF_ID_room_wait_ms, &ms);
	uint32_t ticket;

	if (rc < 0) {
		return rc;
	}
	if (!ms) {
		return MOB_E_STORE_FULL;
	}
	/* One thread of a process stands in the line at a time. */
	(void)pthread_mutex_lock(&s->room_lock);
	r->waits = true;
	r->end_ns = mobi_now_ns() + ms * MOB_MS;
	do {
		ticket = mobi_fetch_add(&s->hdr->room_tickets, 1u) + 1;
	} while (!ticket);
	mobi_store(&s->clients[s->me].room, ticket);
	return 0;
}

static bool is_first(const struct mob_store *s)
{
	uint32_t mine = mobi_load(&s->clients[s->me].room);

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint32_t other = mobi_load(&s->clients[i].room);

		if (other && (int32_t)(other - mine) < 0 &&
		    MOBI_STATE(mobi_load(&s->clients[i].word)) ==
			    MOBI_CLIENT_LIVE) {
			return false;
		}
	}
	return true;
}

int mobi_room_next(struct mob_store *s, struct mobi_room *r)
{
	if (!r->waits) {
		int rc = begin_wait(s, r);

		if (rc < 0) {
			return rc;
		}
	}
	do {
		if (mobi_cancelled()) {
			return mobi_err(MOB_E_INTERRUPTED, "the cancellation "
							   "token of this "
							   "thread "
							   "is set");
		}
		if (mobi_now_ns() >= r->end_ns) {
			return MOB_E_STORE_FULL;
		}
		mobi_pause_ns(LOOK_NS);
		mobi_look_around(s);
	} while (!is_first(s));
	return 0;
}

void mobi_room_end(struct mob_store *s, struct mobi_room *r)
{
	if (r->waits) {
		mobi_store(&s->clients[s->me].room, 0u);
		(void)pthread_mutex_unlock(&s->room_lock);
	}
}
