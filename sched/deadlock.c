/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that can never end: who is about to sleep looks whether it closes a cycle
 * (waits.h), and its wait ends in an error then. Two that close one at the same time
 * both see it: who gets the lock first ends its own wait, and the other looks again,
 * and sleeps.
 *
 * The place tells what its thread sleeps for; the rest is in the tables as it is. So
 * there is nothing to be repaired after a kill: the janitor ends the wait of a dead
 * place, and who was about to end a deadlock has either ended its wait or not.
 *
 * A wait that may be ended otherwise is not published: one with a time-out, or of a
 * thread that has a token.
 */
#include "deadlock.h"

#include "cancel.h"
#include "err.h"
#include "fault.h"
#include "os_clock.h"
#include "waits.h"

/* Who sleeps looks again this often, as not every deadlock is closed by a wait. */
#define AGAIN_NS (200 * (uint64_t)MOB_MS)
/* A look at more objects than this is dear: it is not to take more than this part
 * of the time. A task may wait for each of a million in turn. */
#define DEAR 10000u
#define PART 50
#define LOCK_NS (100 * MOB_MS)

/* Of the worker's thread. */
static struct {
	uint64_t next_ns; /* while the same is waited for */
	uint64_t free_ns; /* before that not even for something new */
} look;

static void publish(struct mob_store *s, struct mobi_place_shared *p,
		    const struct mobi_context *c, const struct mobi_wait *w)
{
	uint32_t need = w->need < MOBI_WAIT_NEED_MAX ? w->need :
						       MOBI_WAIT_NEED_MAX;
	uint32_t rec = (uint32_t)c->task;

	mobi_store(&p->wait_task,
		   MOBI_ANN(MOBI_VERSION(mobi_load(&s->recs[rec].word)), rec));
	mobi_store(&p->wait_how, MOBI_WAIT_HOW(need, w->kind));
	mobi_store(&p->waits, w->id);
	MOBI_FAULT("deadlock.publish");
	mobi_store(&p->wait_seq, mobi_load(&p->wait_seq) + 1);
	MOBI_FAULT("deadlock.published");
}

static bool is_published(const struct mobi_place_shared *p)
{
	return mobi_load(&p->wait_seq) & 1;
}

void mobi_deadlock_wake(struct mobi_place_shared *p)
{
	if (is_published(p)) {
		mobi_store(&p->wait_seq, mobi_load(&p->wait_seq) + 1);
	}
}

/* True, and the cycle in words, if the place is in one. *out_work: how many objects
 * were looked at. */
static bool find(struct mob_store *s, uint32_t place, char *out, size_t size,
		 uint64_t *out_work)
{
	struct mobi_waits k;
	uint8_t cycle[MOBI_PLACES];
	uint32_t n;

	mobi_waits_open(&k, s);
	n = mobi_waits_cycle(&k, place, cycle);
	if (n && size) {
		mobi_waits_text(&k, cycle, n, out, size);
	}
	mobi_waits_close(&k);
	*out_work = k.work;
	return n != 0;
}

/* Looks again under the lock, as another may have ended it. */
static int end_wait(struct mob_store *s, uint32_t place)
{
	struct mobi_sched *sh = s->sched;
	char text[480];
	uint64_t work;
	int rc = 0;

	if (mobi_lock_acquire(&sh->deadlock, LOCK_NS) < 0) {
		return 0; /* whoever has it is stopped: the next look is near */
	}
	MOBI_FAULT("deadlock.locked");
	if (find(s, place, text, sizeof(text), &work)) {
		mobi_deadlock_wake(&sh->place[place]);
		MOBI_FAULT("deadlock.ended");
		rc = mobi_err(MOB_E_DEADLOCK, "deadlock: %s", text);
	}
	mobi_lock_release(&sh->deadlock);
	return rc;
}

int mobi_deadlock_sleep(struct mob_store *s, const struct mobi_context *c,
			const struct mobi_wait *w)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_place_shared *p = &sh->place[mobi_rt.place];
	uint64_t began = mobi_now_ns();
	uint64_t work;
	int rc = 0;

	if (w->timeout_ns != MOB_FOREVER || mobi_cancel_has_token()) {
		return 0;
	}
	if (is_published(p)) {
		if (began < look.next_ns) {
			return 0;
		}
	} else {
		publish(s, p, c, w);
		look.next_ns = look.free_ns;
		if (began < look.free_ns) {
			return 0;
		}
	}
	if (find(s, mobi_rt.place, NULL, 0, &work)) {
		MOBI_FAULT("deadlock.found");
		rc = end_wait(s, mobi_rt.place);
	}
	look.free_ns = 0;
	look.next_ns = began + AGAIN_NS;
	if (work > DEAR) {
		look.free_ns = began + PART * (mobi_now_ns() - began);
		if (look.next_ns < look.free_ns) {
			look.next_ns = look.free_ns;
		}
	}
	return rc;
}

bool mobi_deadlock_text(struct mob_store *s, uint32_t client, char *out,
			size_t size)
{
	const struct mobi_sched *sh = s->sched;
	uint64_t work;

	for (uint32_t i = 0; client && i < MOBI_PLACES; i++) {
		if (mobi_load(&sh->place[i].client) == client) {
			return find(s, i, out, size, &work);
		}
	}
	return false;
}
