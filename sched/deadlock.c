/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that can never end: who is about to sleep looks whether it closes a cycle
 * (waits.h), and its wait ends in an error then. Two that close one at the same time
 * both see it: who gets the lock first ends its own wait, and the other looks again,
 * and sleeps.
 *
 * A process tells what its thread sleeps for; the rest is in the tables as it is. So
 * there is nothing to be repaired after a kill: the janitor ends the wait of a dead
 * process, and who was about to end a deadlock has either ended its wait or not.
 *
 * A wait that may be ended otherwise is not published: one with a time-out, or of a
 * thread that has a token.
 *
 * In a process that is no worker one thread at a time tells for what it waits, and not
 * before it has waited for a while: what is short costs it nothing.
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

/* Of the worker's thread, or of the one that has published. */
static struct {
	uint64_t next_ns; /* while the same is waited for */
	uint64_t free_ns; /* before that not even for something new */
} look;

/* Of a process that is no worker. */
static mobi_a32 taken; /* by the thread that has published */
static _Thread_local struct {
	uint64_t since_ns; /* when this wait began; 0: there is none */
	bool mine;
} outside;

static struct mobi_wait_shared *wait_of(const struct mob_store *s,
					uint32_t client)
{
	struct mobi_sched *sh = s->sched;

	return &sh->wait[client % MOBI_CLIENTS];
}

static void publish(struct mob_store *s, const struct mobi_context *c,
		    const struct mobi_wait *w)
{
	struct mobi_wait_shared *p = wait_of(s, s->me);
	uint32_t need = w->need < MOBI_WAIT_NEED_MAX ? w->need :
						       MOBI_WAIT_NEED_MAX;
	uint64_t task = 0;

	if (c) {
		uint32_t rec = (uint32_t)c->task;

		task = MOBI_ANN(MOBI_VERSION(mobi_load(&s->recs[rec].word)),
				rec);
		MOBI_FAULT("deadlock.publish");
	}
	mobi_store(&p->task, task);
	mobi_store(&p->how, MOBI_WAIT_HOW(need, w->kind));
	mobi_store(&p->id, w->id);
	mobi_store(&p->seq, mobi_load(&p->seq) + 1);
	if (c) {
		MOBI_FAULT("deadlock.published");
	}
}

static bool is_published(const struct mob_store *s)
{
	return mobi_load(&wait_of(s, s->me)->seq) & 1;
}

void mobi_deadlock_wake(struct mob_store *s, uint32_t client)
{
	struct mobi_wait_shared *p = wait_of(s, client);
	uint64_t seq = mobi_load(&p->seq);

	if (seq & 1) {
		mobi_store(&p->seq, seq + 1);
	}
}

/* True, and the cycle in words, if the process is in one. decides: so that its wait
 * may be ended for it. *out_work: how many objects were looked at. */
static bool find(struct mob_store *s, uint32_t client, bool decides, char *out,
		 size_t size, uint64_t *out_work)
{
	struct mobi_waits k;
	uint8_t cycle[MOBI_CLIENTS];
	uint32_t n;

	mobi_waits_open(&k, s, decides);
	n = mobi_waits_cycle(&k, client, cycle);
	k.decides = false;
	if (n && size) {
		mobi_waits_text(&k, cycle, n, out, size);
	}
	mobi_waits_close(&k);
	*out_work = k.work;
	return n != 0;
}

/* Looks again under the lock, as another may have ended it. */
static int end_wait(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	char text[480];
	uint64_t work;
	int rc = 0;

	if (mobi_lock_acquire(&sh->deadlock, LOCK_NS) < 0) {
		return 0; /* whoever has it is stopped: the next look is near */
	}
	MOBI_FAULT("deadlock.locked");
	if (find(s, s->me, true, text, sizeof(text), &work)) {
		mobi_deadlock_wake(s, s->me);
		MOBI_FAULT("deadlock.ended");
		rc = mobi_err(MOB_E_DEADLOCK, "deadlock: %s", text);
	}
	mobi_lock_release(&sh->deadlock);
	return rc;
}

static bool is_for_ever(const struct mobi_wait *w)
{
	return (w->timeout_ns == MOB_FOREVER || w->kind == MOBI_WAIT_ROOM) &&
	       !mobi_cancel_has_token();
}

/* c: of the task that sleeps; NULL: no task does. */
static int tell_and_look(struct mob_store *s, const struct mobi_context *c,
			 const struct mobi_wait *w)
{
	uint64_t began = mobi_now_ns();
	uint64_t work;
	int rc = 0;

	if (is_published(s)) {
		if (began < look.next_ns) {
			return 0;
		}
	} else {
		publish(s, c, w);
		look.next_ns = look.free_ns;
		if (began < look.free_ns) {
			return 0;
		}
	}
	if (find(s, s->me, false, NULL, 0, &work)) {
		MOBI_FAULT("deadlock.found");
		rc = end_wait(s);
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

int mobi_deadlock_sleep(struct mob_store *s, const struct mobi_context *c,
			const struct mobi_wait *w)
{
	return is_for_ever(w) ? tell_and_look(s, c, w) : 0;
}

int mobi_deadlock_sleep_outside(struct mob_store *s, const struct mobi_wait *w)
{
	uint64_t now;
	uint32_t nobody = 0;

	if (s != mobi_rt.store || mobi_rt.role != MOBI_ROLE_DRIVER ||
	    !is_for_ever(w)) {
		return 0;
	}
	now = mobi_now_ns();
	if (!outside.since_ns) {
		outside.since_ns = now;
	}
	if (now - outside.since_ns < AGAIN_NS) {
		return 0;
	}
	outside.mine = outside.mine || mobi_cas32(&taken, &nobody, 1u);
	return outside.mine ? tell_and_look(s, NULL, w) : 0;
}

void mobi_deadlock_wake_outside(struct mob_store *s)
{
	outside.since_ns = 0;
	if (outside.mine) {
		outside.mine = false;
		mobi_deadlock_wake(s, s->me);
		mobi_store(&taken, 0u);
	}
}

bool mobi_deadlock_text(struct mob_store *s, uint32_t client, char *out,
			size_t size)
{
	uint64_t work;

	return client && client < MOBI_CLIENTS &&
	       find(s, client, false, out, size, &work);
}
