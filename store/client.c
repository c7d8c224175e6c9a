/* SPDX-License-Identifier: Apache-2.0 */
/* The table of attached processes. */
#include "err.h"
#include "reap.h"
#include "segment.h"

static int join_locked(struct mob_store *s, uint32_t role)
{
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		struct mobi_client *c = &s->clients[i];
		uint64_t w = mobi_load(&c->word);

		if (MOBI_STATE(w) != MOBI_CLIENT_FREE) {
			continue;
		}
		/* A kill from here on leaves JOINING with an old or no process
		 * in it: the next to get the lock takes it back. */
		mobi_store(&c->word, MOBI_CLIENT_WORD(MOBI_GEN(w) + 1, role,
						      MOBI_CLIENT_JOINING));
		c->proc = mobi_proc_self();
		mobi_store(&c->asleep, 0u);
		mobi_store(&c->seat, 0u);
		mobi_store(&c->room, 0u);
		mobi_store(&c->word, MOBI_CLIENT_WORD(MOBI_GEN(w) + 1, role,
						      MOBI_CLIENT_LIVE));
		s->me = i;
		return 0;
	}
	return mobi_err(MOB_E_LIMIT,
			"session %s has %u processes attached, the most it can "
			"have; close some",
			s->name, MOBI_CLIENTS - 1);
}

/* What a process killed while joining left. */
static void clear_joining(struct mob_store *s)
{
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint64_t w = mobi_load(&s->clients[i].word);

		if (MOBI_STATE(w) == MOBI_CLIENT_JOINING) {
			mobi_store(&s->clients[i].word,
				   MOBI_CLIENT_WORD(MOBI_GEN(w), 0,
						    MOBI_CLIENT_FREE));
		}
	}
}

int mobi_client_join(struct mob_store *s, uint32_t role)
{
	int rc = mobi_lock_acquire(&s->hdr->attach, 10 * MOB_SEC);

	if (rc < 0) {
		return rc;
	}
	if (rc == MOBI_LOCK_OWNER_DIED) {
		clear_joining(s);
	}
	rc = mobi_load(&s->hdr->ending) ?
		     mobi_err(MOB_E_CLOSED, "session %s is ending", s->name) :
		     join_locked(s, role);
	mobi_lock_release(&s->hdr->attach);
	return rc;
}

uint64_t mobi_client_leave(struct mob_store *s)
{
	uint64_t w = mobi_load(&s->clients[s->me].word);

	/* What this process left behind is cleaned up as for a dead one, by
	 * the janitor that it is itself once more. */
	w = MOBI_CLIENT_WORD(MOBI_GEN(w), MOBI_ROLE(w), MOBI_CLIENT_DEAD);
	mobi_store(&s->clients[s->me].word, w);
	return w;
}

uint64_t mobi_clients_live(const struct mob_store *s)
{
	uint64_t live = 0;

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint32_t st = MOBI_STATE(mobi_load(&s->clients[i].word));

		if (st == MOBI_CLIENT_LIVE || st == MOBI_CLIENT_JOINING) {
			live |= MOBI_BIT(i);
		}
	}
	return live;
}

static bool anybody_but(struct mob_store *s, uint32_t me)
{
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		if (i != me &&
		    MOBI_STATE(mobi_load(&s->clients[i].word)) ==
			    MOBI_CLIENT_LIVE &&
		    mobi_proc_alive(&s->clients[i].proc)) {
			return true;
		}
	}
	return false;
}

bool mobi_store_in_use(struct mob_store *s)
{
	return mobi_lock_held(&s->hdr->attach) || anybody_but(s, 0);
}

static bool end_but(struct mob_store *s, uint32_t me)
{
	int rc = mobi_lock_acquire(&s->hdr->attach, MOB_SEC);
	bool unused;

	if (rc < 0) {
		return false;
	}
	if (rc == MOBI_LOCK_OWNER_DIED) {
		clear_joining(s);
	}
	unused = !anybody_but(s, me);
	if (unused) {
		mobi_store(&s->hdr->ending, 1u);
	}
	mobi_lock_release(&s->hdr->attach);
	return unused;
}

void mobi_store_go_on(struct mob_store *s)
{
	if (mobi_lock_acquire(&s->hdr->attach, MOB_SEC) < 0) {
		return;
	}
	if (!anybody_but(s, 0)) {
		mobi_store(&s->hdr->ending, 0u);
	}
	mobi_lock_release(&s->hdr->attach);
}

bool mobi_store_end_unused(struct mob_store *s)
{
	return end_but(s, 0);
}

bool mobi_store_end_alone(struct mob_store *s)
{
	return end_but(s, s->me);
}
