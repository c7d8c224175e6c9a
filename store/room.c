/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#include "cancel.h"
#include "conf.h"
#include "count.h"
#include "err.h"
#include "os_clock.h"
#include "os_run.h"
#include "wait.h"

#define LOOK_NS MOB_MS

static _Thread_local uint32_t forbidden;

void mobi_room_forbid(void)
{
	forbidden++;
}

void mobi_room_allow(void)
{
	forbidden--;
}

bool mobi_room_forbidden(void)
{
	return forbidden != 0;
}

/* One thread of a process stands in the line at a time. */
static void draw(struct mob_store *s, struct mobi_room *r)
{
	struct mobi_client *c = &s->clients[s->me];
	uint32_t ticket;

	if (pthread_mutex_trylock(&s->room_lock)) {
		return;
	}
	r->ticket = true;
	mobi_store(&c->room_end_ns, r->end_ns);
	do {
		ticket = mobi_fetch_add(&s->hdr->room_tickets, 1u) + 1;
	} while (!ticket);
	mobi_store(&c->room, ticket);
}

static bool is_first(const struct mob_store *s, uint64_t now)
{
	uint32_t mine = mobi_load(&s->clients[s->me].room);

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		const struct mobi_client *c = &s->clients[i];
		uint32_t other = mobi_load(&c->room);

		if (other && (int32_t)(other - mine) < 0 &&
		    mobi_load(&c->room_end_ns) > now &&
		    MOBI_STATE(mobi_load(&c->word)) == MOBI_CLIENT_LIVE) {
			return false;
		}
	}
	return true;
}

int mobi_room_next(struct mob_store *s, struct mobi_room *r)
{
	uint64_t now = mobi_now_ns();

	if (!r->end_ns) {
		uint64_t ms = 0;
		int rc = mobi_room_forbidden() ?
				 0 :
				 mobi_conf_u64(MOBI_CONF_ID_room_wait_ms, &ms);

		if (rc < 0 || !ms) {
			return rc < 0 ? rc : MOB_E_STORE_FULL;
		}
		r->end_ns = now + ms * MOB_MS;
		mobi_count(s, MOBI_N_ROOM, 1);
	}
	if (r->over) {
		return MOB_E_STORE_FULL;
	}
	r->turns++;
	for (;;) {
		if (mobi_cancelled()) {
			return mobi_err(MOB_E_INTERRUPTED, "the cancellation "
							   "token of this "
							   "thread "
							   "is set");
		}
		if (mobi_load(&s->hdr->ending)) {
			/* Who would make room is gone, or going. */
			return mobi_err(MOB_E_CLOSED, "session %s has ended",
					s->name);
		}
		if (!r->ticket) {
			draw(s, r);
		}
		mobi_pause_ns(LOOK_NS);
		mobi_look_around(s);
		now = mobi_now_ns();
		if (now >= r->end_ns) {
			r->over = true; /* one try more */
			return 0;
		}
		if (r->ticket && is_first(s, now)) {
			return 0;
		}
	}
}

void mobi_room_end(struct mob_store *s, struct mobi_room *r)
{
	if (r->ticket) {
		mobi_store(&s->clients[s->me].room, 0u);
		(void)pthread_mutex_unlock(&s->room_lock);
	}
}
