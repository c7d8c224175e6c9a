/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that nobody reads. */
#include "unread.h"

#include "error.h"
#include "log.h"
#include "os_clock.h"
#include "slot.h"

#include <stdio.h>
#include <stdlib.h>

#define GRACE_NS (uint64_t) MOB_SEC

enum { FREE = 0, READY = 1, WRITING = 2 };
#define ROW(state, client) ((uint32_t)(client) << 8 | (state))

/* Tasks of which some result was read. A later one may take the place: then an error
 * is told that needed not be. */
static mobi_a64 *seen_at(struct mobi_unread *u, uint64_t task)
{
	return &u->seen[(task * UINT64_C(0x9e3779b97f4a7c15)) >> 32 &
			(MOBI_UNREAD_SEEN - 1)];
}

void mobi_unread_seen(struct mob_store *s, uint64_t id)
{
	struct mobi_sched *sh = s->sched;
	uint64_t task = mobi_load(&s->slots[(uint32_t)id].producer);

	if (task) {
		mobi_store(seen_at(&sh->unread, task), task);
	}
}

static bool is_seen(struct mobi_unread *u, uint64_t task)
{
	return task && mobi_load(seen_at(u, task)) == task;
}

/* Is there a row of another result of this task? */
static bool has_row(struct mobi_unread *u, uint64_t task)
{
	for (uint32_t i = 0; task && i < MOBI_UNREAD_ROWS; i++) {
		if ((mobi_load(&u->row[i].state) & 255u) == READY &&
		    mobi_load(&u->row[i].task) == task) {
			return true;
		}
	}
	return false;
}

static void note(struct mob_store *s, uint64_t task, const char *text)
{
	struct mobi_unread *u = &((struct mobi_sched *)s->sched)->unread;

	for (uint32_t i = 0; i < MOBI_UNREAD_ROWS; i++) {
		struct mobi_unread_row *r = &u->row[i];
		uint32_t st = FREE;

		if (mobi_load(&r->state) == FREE &&
		    mobi_cas32(&r->state, &st, ROW(WRITING, s->me))) {
			mobi_store(&r->task, task);
			r->due_ns = mobi_now_ns() + GRACE_NS;
			(void)snprintf(r->text, sizeof(r->text), "%s", text);
			mobi_store(&r->state, READY);
			mobi_store(&u->some, 1u);
			return;
		}
	}
	(void)mobi_fetch_add(&u->left_out, 1u);
	mobi_store(&u->some, 1u);
}

/* An object with an error is freed, and was never viewed. */
static void dropped(struct mob_store *s, uint32_t slot)
{
	struct mobi_unread *u = &((struct mobi_sched *)s->sched)->unread;
	const struct mobi_slot *o = &s->slots[slot];
	uint64_t task = mobi_load(&o->producer);
	struct mob_view v = { .at = mobi_slot_bytes(s, slot),
			      .size = mobi_load(&o->size),
			      .type = mobi_load(&o->type) };
	struct mobi_error *e;

	if (!v.at || is_seen(u, task) || has_row(u, task)) {
		return;
	}
	e = mobi_error_read(&v);
	/* What was cancelled was cancelled by somebody. */
	if (e->rc != MOB_E_CANCELLED && e->rc != MOB_E_CLOSED) {
		note(s, task, e->text);
	}
	mobi_error_free(e);
}

void mobi_unread_init(struct mob_store *s)
{
	s->unread = dropped;
}

void mobi_unread_reap(struct mob_store *s, uint64_t dead)
{
	struct mobi_unread *u = &((struct mobi_sched *)s->sched)->unread;

	for (uint32_t i = 0; i < MOBI_UNREAD_ROWS; i++) {
		uint32_t st = mobi_load(&u->row[i].state);

		if ((st & 255u) == WRITING &&
		    (dead & MOBI_BIT((st >> 8) % MOBI_CLIENTS))) {
			(void)mobi_cas32(&u->row[i].state, &st, FREE);
		}
	}
	mobi_store(&u->some, 1u); /* a daemon that died may have cleared it */
}

void mobi_unread_watch(struct mob_store *s, bool at_the_end)
{
	struct mobi_unread *u = &((struct mobi_sched *)s->sched)->unread;
	uint64_t now = mobi_now_ns();
	bool some = false;
	uint32_t left;

	if (!mobi_load(&u->some)) {
		return;
	}
	mobi_store(&u->some, 0u);
	for (uint32_t i = 0; i < MOBI_UNREAD_ROWS; i++) {
		struct mobi_unread_row *r = &u->row[i];

		if ((mobi_load(&r->state) & 255u) != READY) {
			continue;
		}
		if (!at_the_end && now < r->due_ns) {
			some = true;
			continue;
		}
		if (!is_seen(u, mobi_load(&r->task))) {
			r->text[sizeof(r->text) - 1] = '\0';
			mobi_log(MOBI_LOG_WARN, "nobody read this error: %s",
				 r->text);
		}
		mobi_store(&r->state, FREE);
	}
	left = mobi_exchange(&u->left_out, 0u);
	if (left) {
		mobi_log(MOBI_LOG_WARN, "and %u more errors", left);
	}
	if (some) {
		mobi_store(&u->some, 1u);
	}
}
