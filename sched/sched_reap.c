/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler's part of the janitor's work: domains of dead lock owners,
 * places, tasks that ran in dead workers, bits on the board. Every step may be
 * cut short and done again.
 */
#include "sched_reap.h"

#include "board.h"
#include "deadlock.h"
#include "domain.h"
#include "edge.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "lineage.h"
#include "os_clock.h"
#include "os_run.h"
#include "place.h"
#include "pool.h"
#include "pressure.h"
#include "record.h"
#include "resources.h"
#include "retry.h"
#include "slot.h"
#include "task.h"
#include "task_cancel.h"
#include "time_limits.h"
#include "timer.h"
#include "unread.h"
#include "yield.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_dead(uint64_t dead, uint32_t client)
{
	return client && client < MOBI_CLIENTS && (dead & MOBI_BIT(client));
}

static void pending_one(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	bool *pending = arg;

	(void)i;
	*pending |= !mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word));
}

/* What the process said of it before, if it could. */
static void add_fault(const struct mobi_place_shared *p, char *out, size_t size)
{
	size_t n = strlen(out);
	unsigned long long addr = mobi_load(&p->fault_addr);

	switch (mobi_load(&p->fault)) {
	case MOBI_FAULT_STACK:
		(void)snprintf(out + n, size - n, ": stack overflow");
		break;
	case MOBI_FAULT_STORE:
		(void)snprintf(out + n, size - n,
			       ": it wrote to an object of the store, which is "
			       "read only, at %#llx",
			       addr);
		break;
	case MOBI_FAULT_NULL:
		(void)snprintf(out + n, size - n, ": null pointer, at %#llx",
			       addr);
		break;
	case MOBI_FAULT_MEMORY:
		(void)snprintf(out + n, size - n,
			       ": no memory behind the mapping, at %#llx",
			       addr);
		break;
	case MOBI_FAULT_LIMIT:
		(void)snprintf(out + n, size - n,
			       ": it had %llu bytes of private memory, more "
			       "than MOBULA_WORKER_MEMORY_MAX",
			       addr);
		break;
	case MOBI_FAULT_OTHER:
		(void)snprintf(out + n, size - n,
			       addr == UINT64_MAX ? ": bad address" :
						    ": bad address %#llx",
			       addr);
		break;
	default:
		break;
	}
}

/* How the worker that ran the task ended, as far as it is known. Returns the code
 * for it. */
static int how(struct mob_store *s, uint32_t client, char *out, size_t size)
{
	struct mobi_sched *sh = s->sched;
	uint32_t status;

	(void)snprintf(out, size, "a cause that nobody saw");
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		struct mobi_place_shared *p = &sh->place[i];

		if (mobi_load(&p->client) != client) {
			continue;
		}
		if (mobi_place_status(s, p, client, &status)) {
			mobi_status_text((int)status, out, size);
		}
		add_fault(p, out, size);
		return mobi_load(&p->fault) == MOBI_FAULT_LIMIT ? MOB_E_NOMEM :
								  MOB_E_CRASHED;
	}
	return MOB_E_CRASHED;
}

static void give_up(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_task *t = mobi_task_at(s, rec);
	const struct mobi_place_shared *pressed = mobi_pressure_note(s, rec, w);
	char cause[200];
	char text[700];
	struct mobi_error like = { .attempt = MOBI_ATTEMPT(w) + 1,
				   .worker = MOBI_ROWNER(w) };
	struct mobi_error *e;
	int rc = MOB_E_NOMEM;

	if (pressed) {
		mobi_pressure_text(sh, t, pressed, text, sizeof(text));
		(void)mobi_fetch_add(&sh->pressure.kills, UINT64_C(1));
	} else {
		rc = how(s, MOBI_ROWNER(w), cause, sizeof(cause));
		(void)snprintf(text, sizeof(text),
			       "task %s: its worker died by %s, attempt %u of "
			       "%u",
			       mobi_task_name(sh, t), cause,
			       mobi_retry_charged(t, w) + 1,
			       mobi_retry_given(t) + 1);
	}
	like.pid = s->clients[like.worker].proc.pid;
	e = mobi_error_make(
		rc, rc,
		&(struct mobi_error_parts){ .text = text,
					    .name = mobi_task_name(sh, t) },
		&like);
	mobi_task_fail(s, rec, e);
	mobi_error_free(e);
	mobi_stream_over(s, rec);
	mobi_record(s, MOB_EVENT_FAILED, mobi_quick_ns(), rec, w, (uint32_t)rc);
	(void)mobi_task_retire(s, rec, w);
}

static void note(struct mobi_sched *sh, const struct mobi_task *t, uint64_t w,
		 const struct mob_store *s)
{
	struct mobi_crash *c = &sh->crash;
	uint32_t status = 0; /* nobody saw */

	mobi_store(&c->pid, s->clients[MOBI_ROWNER(w)].proc.pid);
	mobi_store(&c->fn, t->fn);
	mobi_store(&c->attempt, MOBI_ATTEMPT(w));
	mobi_store(&c->seq, t->seq);
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		if (mobi_load(&sh->place[i].client) == MOBI_ROWNER(w)) {
			(void)mobi_place_status(s, &sh->place[i],
						MOBI_ROWNER(w), &status);
		}
	}
	mobi_store(&c->status, status);
	(void)mobi_fetch_add(&c->count, UINT64_C(1));
}

/* So often; a task may be the cause of what kills its worker, each time anew. */
#define SPARES 16u

/*
 * Did the task only share the process of another that is the cause of its end? One
 * that was killed on purpose; or, unless nothing was announced, the one that was
 * not blocked.
 */
static bool only_shared(const struct mobi_sched *sh, uint32_t rec, uint64_t w)
{
	uint64_t ann = MOBI_ANN(MOBI_VERSION(w), rec);

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		const struct mobi_place_shared *p = &sh->place[i];

		if (mobi_load(&p->client) == MOBI_ROWNER(w)) {
			uint64_t runs = mobi_load(&p->ann);

			return mobi_load(&p->shot) || (runs && runs != ann);
		}
	}
	return false;
}

/* RUN of a dead process -> its next attempt, unless it was told to end meanwhile. */
static void run_again(struct mob_store *s, uint32_t rec, uint64_t w,
		      enum mobi_retry_how when)
{
	struct mobi_sched *sh = s->sched;
	uint64_t next;

	do {
		if ((w & MOBI_TF_TOLD) && !mobi_limits_again(s, rec, w)) {
			mobi_task_end_cancelled(s, rec, w);
			return;
		}
		if (w & MOBI_TF_LATE) {
			mobi_task_cancel_children(s, rec, w);
		}
		next = mobi_retry_next(sh, mobi_task_at(s, rec), w, when);
		MOBI_FAULT("reap.run");
	} while (!mobi_cas64(&s->recs[rec].word, &w, next));
	(void)mobi_fetch_add(&sh->retried, UINT64_C(1));
	if (when == MOBI_RETRY_PRESSED) {
		(void)mobi_fetch_add(&sh->pressure.kills, UINT64_C(1));
	}
}

/* Is the attempt, which cannot be held to be the cause, followed by another without a
 * charge? */
static bool spared(const struct mobi_sched *sh, uint32_t rec, uint64_t w,
		   const struct mobi_task *t)
{
	uint32_t tries = mobi_load(&t->tries);
	uint32_t n = (MOBI_TRIES_SPARED(tries) - MOBI_TRIES_PRESSED(tries)) &
		     255u;

	return !(w & MOBI_TF_LATE) && n < SPARES && only_shared(sh, rec, w);
}

/* RUN by a dead process. */
static void reap_run(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_task *t = mobi_task_at(s, rec);
	bool pending = false;
	enum mobi_retry_how when = MOBI_RETRY_PLANNED;
	uint32_t why = (uint32_t)MOB_E_CRASHED;

	mobi_task_returns(s, rec, pending_one, &pending);
	if (!pending) {
		mobi_stream_over(s, rec);
		mobi_record_finished_for(s, rec, w);
		(void)mobi_fetch_add(&sh->finished_for, UINT64_C(1));
		(void)mobi_task_retire(s, rec, w);
		return;
	}
	if ((w & MOBI_TF_TOLD) && !mobi_limits_again(s, rec, w)) {
		mobi_task_end_cancelled(s, rec, w);
		return;
	}
	mobi_record_crashed(s, rec, w);
	if (mobi_pressure_note(s, rec, w)) {
		if (!mobi_pressure_again(sh, t, w)) {
			give_up(s, rec, w);
			return;
		}
		mobi_retry_press(t, w);
		when = MOBI_RETRY_PRESSED;
		why = (uint32_t)MOB_E_NOMEM;
	} else if (spared(sh, rec, w, t)) {
		mobi_retry_spare(t, w);
		when = MOBI_RETRY_AT_ONCE;
	} else {
		note(sh, t, w, s);
		if (!mobi_retry_left(t, w)) {
			give_up(s, rec, w);
			return;
		}
	}
	MOBI_FAULT("reap.counted");
	mobi_record(s, MOB_EVENT_RETRIED, mobi_quick_ns(), rec, w, why);
	run_again(s, rec, w, when);
}

static void reap_tasks(struct mob_store *s, uint64_t dead)
{
	struct mobi_sched *sh = s->sched;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);

	for (uint32_t r = 0; r < end; r++) {
		uint64_t w = mobi_load(&s->recs[r].word);

		if (MOBI_STATE(w) == MOBI_T_RUN &&
		    is_dead(dead, MOBI_ROWNER(w))) {
			mobi_stream_reap_task(s, r);
			reap_run(s, r, w);
			w = mobi_load(&s->recs[r].word);
		}
		/* Placed twice is harmless, not at all would not be. */
		if (MOBI_STATE(w) == MOBI_T_WAITING ||
		    MOBI_STATE(w) == MOBI_T_READY) {
			mobi_board_mark(s, r);
		}
		if (mobi_limits_watched(sh, mobi_task_at(s, r), w)) {
			mobi_timer_set(s, r);
		}
	}
	mobi_lineage_reap(s, dead);
	mobi_unread_reap(s, dead);
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		if (is_dead(dead, i)) {
			mobi_deadlock_wake(s, i);
		}
	}
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		struct mobi_place_shared *p = &sh->place[i];
		uint32_t client = mobi_load(&p->client);

		if (is_dead(dead, client)) {
			mobi_record_died(s, p, client);
			mobi_store(&p->ann, UINT64_C(0));
			mobi_store(&p->blocked, 0u);
			mobi_store(&p->exit_pid, 0u);
			mobi_store(&p->fault, 0u);
			mobi_store(&p->press, UINT64_C(0));
			mobi_resources_clear(p);
			(void)mobi_cas32(&p->client, &client, 0);
		}
	}
}

static uint32_t no_room(const struct mob_store *s, uint32_t rec)
{
	const struct mobi_task *t = mobi_task_at(s, rec);
	uint32_t tries = mobi_load(&t->tries);
	uint32_t state = MOBI_STATE(mobi_load(&s->recs[rec].word));

	/* KEPT: what it counted was of the last time, and begins anew. */
	return state != MOBI_R_KEPT &&
			       (MOBI_TRIES_KIDS(tries) & MOBI_KIDS_REMADE) ?
		       MOBI_TRIES_PRESSED(tries) :
		       0;
}

static const struct mobi_reap_hooks hooks = {
	.domains = mobi_domain_reap,
	.stream = mobi_stream_reap,
	.tasks = reap_tasks,
	.kept = mobi_lineage_look,
	.evict = mobi_lineage_evict,
	.take = mobi_lineage_take,
	.give = mobi_lineage_give,
	.no_room = no_room,
};

void mobi_sched_reap_init(struct mob_store *s)
{
	s->hooks = &hooks;
	s->wake = mobi_wake_worker;
	mobi_unread_init(s);
	mobi_record_open(s);
}
