/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancelling tasks.
 *
 *   pending  WAITING, READY or DELAY -> RUN(me) with CANCEL, so that no worker
 *            can take it; then what ends any task: children, returns, edges, record. What
 *            its queue has of it fails at the CAS of who pops it.
 *   running  CANCEL is set in the word; its worker gets a signal, whose handler
 *            rings the bell that the task sleeps on. The task ends as cancelled,
 *            if it has not sealed its returns before.
 *   children are found by the parent in their records, by who cancels and again by
 *            who ends the parent; one that is submitted after that look finds the
 *            flag of its parent.
 *
 * Killed in between: RUN with CANCEL of a dead process is ended by the janitor, as
 * cancelled, and never run again. tests/models/cancel.pml.
 *
 * Late: the same with LATE, by the daemon; the children of one that runs are left to
 * who ends it, as the next attempt may have others.
 */
#include "task_cancel.h"

#include "edge.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "inspect.h"
#include "os_clock.h"
#include "os_run.h"
#include "pool.h"
#include "record.h"
#include "slot.h"
#include "task.h"
#include "time_limits.h"
#include "timer.h"
#include "yield.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define FLAGS (MOB_CANCEL_FORCE | MOB_CANCEL_ALONE | MOB_CANCEL_ESCALATE)

/* ---- ending ---- */

struct mobi_error *mobi_task_cancelled_error(const struct mob_store *s,
					     uint32_t rec, uint64_t w)
{
	const struct mobi_task *t = mobi_task_at(s, rec);
	int code = w & MOBI_TF_CANCEL ? MOB_E_CANCELLED : MOB_E_TIMEOUT;
	char text[300];
	const struct mobi_error like = { .attempt = MOBI_ATTEMPT(w) + 1 };

	if (w & MOBI_TF_CANCEL) {
		(void)snprintf(text, sizeof(text),
			       "task %s was cancelled %s attempt %u",
			       mobi_task_name(s->sched, t),
			       w & MOBI_TF_TAKEN ? "before" : "in",
			       MOBI_ATTEMPT(w) + 1);
	} else {
		mobi_limits_text(s, rec, w, text, sizeof(text));
	}
	return mobi_error_make(code, code,
			       &(struct mobi_error_parts){
				       .text = text,
				       .name = mobi_task_name(s->sched, t) },
			       &like);
}

static void end_one(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	(void)i;
	(void)mobi_error_resolve(s, id, arg);
}

/* RUN of this process or of a dead one: its children are seen to. */
static void end_task(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct mobi_error *e = mobi_task_cancelled_error(s, rec, w);

	MOBI_FAULT("task.cancel.resolve");
	mobi_task_returns(s, rec, end_one, e);
	mobi_error_free(e);
	mobi_stream_over(s, rec);
	mobi_record(s,
		    w & MOBI_TF_CANCEL ? MOB_EVENT_CANCELLED : MOB_EVENT_FAILED,
		    mobi_quick_ns(), rec, w,
		    w & MOBI_TF_CANCEL ? 0 : (uint32_t)MOB_E_TIMEOUT);
	MOBI_FAULT("task.cancel.retire");
	(void)mobi_task_retire(s, rec, w);
}

/* ---- one task ---- */

/* Tasks whose children are to be cancelled; those that are TAKEN end after that. */
static uint32_t kids_of(const struct mob_store *s, uint32_t rec)
{
	return MOBI_TRIES_KIDS(mobi_load(&mobi_task_at(s, rec)->tries));
}

struct parent {
	uint64_t id;
	uint64_t taken; /* its word, or 0 */
};
struct parents {
	struct parent *at;
	size_t n;
	size_t size;
};

/* False without memory: the children of one that runs are left to who ends it. */
static bool add_parent(struct parents *p, uint64_t id, uint64_t taken)
{
	if (p->n == p->size) {
		size_t size = p->size ? 2 * p->size : 16;
		struct parent *more = realloc(p->at, size * sizeof(*more));

		if (!more) {
			return false;
		}
		p->at = more;
		p->size = size;
	}
	p->at[p->n].id = id;
	p->at[p->n].taken = taken;
	p->n++;
	return true;
}

/* It is not running: takes it, so that it never will. An attempt before may have
 * had children. */
static bool take_pending(struct mob_store *s, uint32_t rec, uint64_t w,
			 uint64_t flags, struct parents *p)
{
	uint64_t mine = MOBI_RWORD(MOBI_GEN(w), MOBI_ATTEMPT(w), s->me,
				   MOBI_T_RUN) |
			MOBI_TF_TAKEN | flags;

	if (!mobi_cas64(&s->recs[rec].word, &w, mine)) {
		return false;
	}
	MOBI_FAULT("task.cancel.taken");
	if (!kids_of(s, rec) || (flags & MOBI_TF_ALONE) ||
	    !add_parent(p, mobi_task_id(mine, rec), mine)) {
		end_task(s, rec, mine);
	}
	return true;
}

bool mobi_task_shoot(struct mob_store *s, uint32_t rec, uint64_t w, int sig)
{
	uint32_t owner = MOBI_ROWNER(w) % MOBI_CLIENTS;
	struct mobi_proc proc = s->clients[owner].proc;
	struct mobi_place_shared *p = mobi_place_of(s->sched, owner);
	uint64_t mark = MOBI_ANN(MOBI_VERSION(w), rec);
	uint64_t now;

	if (!p) {
		return false;
	}
	mobi_store(&p->shot, mark);
	now = mobi_load(&s->recs[rec].word);
	if (((now ^ w) & ~MOBI_TF_MASK) || mobi_proc_signal(&proc, sig) < 0) {
		/* Unless another shoots at another task of it. */
		(void)mobi_cas64(&p->shot, &mark, UINT64_C(0));
		return false;
	}
	return true;
}

/* Not one that has gone on, and whose number another process may have. */
static void tell_worker(struct mob_store *s, uint32_t rec, uint64_t w)
{
	uint32_t owner = MOBI_ROWNER(w) % MOBI_CLIENTS;
	struct mobi_proc proc = s->clients[owner].proc;

	if (!((mobi_load(&s->recs[rec].word) ^ w) & ~MOBI_TF_MASK)) {
		(void)mobi_proc_signal(&proc, mobi_news_signal());
	}
}

/* RUN with word w gets the flags that it has not. False: the word has changed. */
static bool add_flags(struct mob_store *s, uint32_t rec, uint64_t w,
		      uint64_t bits)
{
	if (w & MOBI_TF_CANCEL) {
		bits &= MOBI_TF_STOP; /* ALONE is the first one's to say */
	}
	return (w & bits) == bits ||
	       mobi_cas64(&s->recs[rec].word, &w, w | bits);
}

/* Cancels one; *p gets it if its children are to follow. 1, or 0: it is over. */
static int cancel_one(struct mob_store *s, uint32_t rec, uint32_t gen,
		      uint32_t flags, struct parents *p)
{
	uint64_t bits = MOBI_TF_CANCEL |
			(flags & MOB_CANCEL_ALONE ? MOBI_TF_ALONE : 0) |
			(flags & MOB_CANCEL_ESCALATE ? MOBI_TF_STOP : 0);

	for (;;) {
		uint64_t w = mobi_load(&s->recs[rec].word);

		if (MOBI_GEN(w) != gen ||
		    (kids_of(s, rec) & MOBI_KIDS_REMADE)) {
			return 0;
		}
		switch (MOBI_STATE(w)) {
		case MOBI_T_WAITING:
		case MOBI_T_READY:
		case MOBI_T_DELAY:
			if (take_pending(s, rec, w, bits, p)) {
				return 1;
			}
			continue;
		case MOBI_T_RUN:
			if (w & MOBI_TF_TAKEN) {
				return (w & MOBI_TF_CANCEL) != 0;
			}
			if (!add_flags(s, rec, w, bits)) {
				continue;
			}
			MOBI_FAULT("task.cancel.flagged");
			if (flags & MOB_CANCEL_ESCALATE) {
				mobi_timer_set(s, rec);
			}
			if (flags & MOB_CANCEL_FORCE) {
				mobi_task_shoot(s, rec, w, SIGKILL);
			} else {
				tell_worker(s, rec, w);
			}
			if (!(flags & MOB_CANCEL_ALONE)) {
				(void)add_parent(p, mobi_task_id(w, rec), 0);
			}
			return 1;
		default:
			return 0;
		}
	}
}

/* ---- children ---- */

static void cancel_children_of(struct mob_store *s, uint64_t parent,
			       uint32_t flags, struct parents *p)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);

	for (uint32_t r = 0; r < end; r++) {
		const struct mobi_task *t = mobi_task_at(s, r);
		uint64_t w = mobi_load(&s->recs[r].word);

		if (MOBI_STATE(w) < MOBI_T_WAITING ||
		    MOBI_STATE(w) > MOBI_T_DELAY ||
		    mobi_load(&t->parent) != parent ||
		    MOBI_GEN(mobi_load(&s->recs[r].word)) != MOBI_GEN(w)) {
			continue;
		}
		if ((w & MOBI_TF_CANCEL) &&
		    !(flags & (MOB_CANCEL_FORCE | MOB_CANCEL_ESCALATE))) {
			continue; /* who set it sees to the children */
		}
		(void)cancel_one(s, r, MOBI_GEN(w), flags, p);
	}
}

/* The children of those in p, and theirs; then what was taken ends. */
static void cancel_below(struct mob_store *s, uint32_t flags, struct parents *p)
{
	for (size_t i = 0; i < p->n; i++) {
		cancel_children_of(s, p->at[i].id, flags, p);
	}
	for (size_t i = p->n; i-- > 0;) {
		if (p->at[i].taken) {
			end_task(s, (uint32_t)p->at[i].id - 1, p->at[i].taken);
		}
	}
	free(p->at);
}

void mobi_task_cancel_children(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct parents p = { 0 };

	if (kids_of(s, rec) && !(w & MOBI_TF_ALONE)) {
		(void)add_parent(&p, mobi_task_id(w, rec), 0);
		cancel_below(s, 0, &p);
	}
}

void mobi_task_cancel_below(struct mob_store *s, uint64_t task)
{
	struct parents p = { 0 };

	if (add_parent(&p, task, 0)) {
		cancel_below(s, 0, &p);
	}
}

void mobi_task_end_cancelled(struct mob_store *s, uint32_t rec, uint64_t w)
{
	mobi_task_cancel_children(s, rec, w);
	end_task(s, rec, w);
}

int mobi_task_cancel(struct mob_store *s, uint32_t rec, uint32_t gen,
		     uint32_t flags)
{
	struct parents p = { 0 };
	int rc = cancel_one(s, rec, gen, flags, &p);

	cancel_below(s, flags, &p);
	return rc;
}

bool mobi_task_late(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct parents p = { 0 };

	if (MOBI_STATE(w) == MOBI_T_RUN) {
		if (!mobi_cas64(&s->recs[rec].word, &w, w | MOBI_TF_LATE)) {
			return false;
		}
		MOBI_FAULT("task.late.flagged");
		tell_worker(s, rec, w);
		return true;
	}
	if (!take_pending(s, rec, w, MOBI_TF_LATE, &p)) {
		return false;
	}
	cancel_below(s, 0, &p);
	return true;
}

/* ---- public ---- */

static int check_flags(const char *call, uint32_t flags)
{
	if (flags & ~FLAGS) {
		return mobi_err(MOB_E_INVAL,
				"%s: flags are %#x; MOB_CANCEL_FORCE or "
				"MOB_CANCEL_ESCALATE, and MOB_CANCEL_ALONE",
				call, flags);
	}
	if ((flags & MOB_CANCEL_FORCE) && (flags & MOB_CANCEL_ESCALATE)) {
		return mobi_err(MOB_E_INVAL,
				"%s: MOB_CANCEL_FORCE kills at once and "
				"MOB_CANCEL_ESCALATE after a while; give one "
				"of them",
				call);
	}
	return 0;
}

/* The task that makes an object: 0 and no generation if that is resolved. */
static int maker_of(struct mob_store *s, uint64_t id, uint64_t *out_task)
{
	const struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t producer = mobi_load(&o->producer);
	uint64_t w = mobi_load(&o->word);

	*out_task = 0;
	if (MOBI_GEN(w) != MOBI_GEN(id)) {
		return mobi_err(MOB_E_BAD_REF,
				"mob_task_cancel: object %u was released",
				(uint32_t)id);
	}
	if (mobi_resolved(w) &&
	    mobi_load_relaxed(&o->type) != MOB_TYPE_STREAM) {
		return 0;
	}
	if (!producer) {
		return mobi_err(MOB_E_INVAL,
				"mob_task_cancel: object %u is not the result "
				"of a task",
				(uint32_t)id);
	}
	*out_task = producer;
	return 0;
}

int mob_task_cancel(struct mob_ref ref, uint32_t flags)
{
	struct mob_store *s = mobi_rt.store;
	uint64_t task = 0;
	uint64_t id;
	int rc = mobi_rt_check("mob_task_cancel");

	if (rc >= 0) {
		rc = check_flags("mob_task_cancel", flags);
	}
	if (rc >= 0) {
		rc = mobi_slot_of(s, ref, &id);
	}
	if (rc >= 0) {
		rc = maker_of(s, id, &task);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	return task ? mobi_task_cancel(s, (uint32_t)task - 1, MOBI_GEN(task),
				       flags) :
		      0;
}

bool mob_task_cancelled(void)
{
	const struct mobi_context *c = mobi_context();

	return c && c->def &&
	       (mobi_load(&mobi_rt.store->recs[(uint32_t)c->task].word) &
		MOBI_TF_TOLD);
}

struct cancel_call {
	uint64_t id;
	uint32_t flags;
};

static int cancel_joined(struct mob_store *s, void *arg)
{
	const struct cancel_call *k = arg;
	uint32_t rec = (uint32_t)k->id - 1;
	int rc = 0;

	if (k->id && rec < mobi_pool_used(s, MOBI_POOL_REC)) {
		rc = mobi_task_cancel(s, rec, MOBI_GEN(k->id), k->flags);
	}
	return rc ? rc :
		    mobi_err(MOB_E_NOT_FOUND,
			     "no task %u.%u in session %s; it has ended, or "
			     "there never was one",
			     (uint32_t)k->id, MOBI_GEN(k->id), s->name);
}

int mob_session_task_cancel(struct mob_session *session, uint64_t id,
			    uint32_t flags)
{
	struct cancel_call k = { id, flags };
	int rc = mobi_session_check(session, "mob_session_task_cancel");

	if (rc >= 0) {
		rc = check_flags("mob_session_task_cancel", flags);
	}
	if (rc >= 0) {
		rc = mobi_session_join(session, cancel_joined, &k);
	}
	return rc < 0 ? rc : 0;
}
