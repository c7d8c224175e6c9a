/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of time. */
#include "time_limits.h"

#include "board.h"
#include "domain.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "lineage.h"
#include "os_clock.h"
#include "retry.h"
#include "task.h"
#include "task_cancel.h"
#include "timer.h"

#include <signal.h>
#include <stdio.h>

/* One that could not run again for the LOCK of a stopped process is looked at
 * again after so long. */
#define KEPT_NS (10 * (uint64_t)MOB_MS)

/* ---- options ---- */

int mobi_limits_check(const struct mob_task_opts *o)
{
	if (o->timeout_ns > MOBI_LIMIT_DAY_NS * 365 ||
	    o->deadline_ns > MOBI_LIMIT_DAY_NS * 365) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: timeout_ns is %llu and "
				"deadline_ns %llu; at most 365 days, 0 for "
				"none",
				(unsigned long long)o->timeout_ns,
				(unsigned long long)o->deadline_ns);
	}
	if (o->grace_ns > MOBI_LIMIT_DAY_NS && o->grace_ns != MOB_GRACE_NONE) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: grace_ns is %llu; at most a day, "
				"or MOB_GRACE_NONE to kill nobody",
				(unsigned long long)o->grace_ns);
	}
	if (o->soft_deadline && !o->deadline_ns) {
		return mobi_err(MOB_E_INVAL, "mob_submit: soft_deadline is "
					     "given, and no "
					     "deadline_ns");
	}
	return 0;
}

/* ---- what a task has ---- */

bool mobi_limits_firm(const struct mobi_sched *sh, const struct mobi_task *t)
{
	const struct mobi_plan *p = mobi_retry_plan_of(sh, t);

	return t->deadline_ns && !(p && p->soft);
}

static uint64_t deadline_of(const struct mobi_sched *sh,
			    const struct mobi_task *t)
{
	return mobi_limits_firm(sh, t) ? t->deadline_ns : UINT64_MAX;
}

static uint64_t timeout_of(const struct mobi_sched *sh,
			   const struct mobi_task *t)
{
	const struct mobi_plan *p = mobi_retry_plan_of(sh, t);

	return p ? p->timeout_ns : 0;
}

static uint64_t grace_of(const struct mobi_sched *sh, const struct mobi_task *t)
{
	const struct mobi_plan *p = mobi_retry_plan_of(sh, t);

	return p ? p->grace_ns : MOBI_GRACE_NS;
}

bool mobi_limits_watched(const struct mobi_sched *sh, const struct mobi_task *t,
			 uint64_t w)
{
	switch (MOBI_STATE(w)) {
	case MOBI_T_DELAY:
		return true;
	case MOBI_T_WAITING:
	case MOBI_T_READY:
		return mobi_limits_firm(sh, t);
	case MOBI_T_RUN:
		return !(w & MOBI_TF_TAKEN) &&
		       (mobi_limits_firm(sh, t) ||
			(w & (MOBI_TF_TIMED | MOBI_TF_LATE | MOBI_TF_STOP)));
	case MOBI_R_KEPT:
		return w & MOBI_KF_WANT;
	default:
		return false;
	}
}

bool mobi_limits_begin(struct mob_store *s, uint32_t rec, uint64_t now)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_task *t = mobi_task_at(s, rec);

	if (deadline_of(sh, t) <= now) {
		(void)mobi_fetch_or(&s->recs[rec].word,
				    MOBI_TF_LATE | MOBI_TF_TAKEN);
		return false;
	}
	if (timeout_of(sh, t)) {
		/* run_ns is written: THEN the flag says that it counts. */
		(void)mobi_fetch_or(&s->recs[rec].word, MOBI_TF_TIMED);
	}
	if (timeout_of(sh, t) || mobi_limits_firm(sh, t)) {
		/* Who submitted it may have been stopped before it did. */
		mobi_timer_set(s, rec);
	}
	return true;
}

bool mobi_limits_again(const struct mob_store *s, uint32_t rec, uint64_t w)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_task *t = mobi_task_at(s, rec);
	const struct mobi_error e = { .rc = MOB_E_TIMEOUT,
				      .code = MOB_E_TIMEOUT };

	return (w & (MOBI_TF_TOLD | MOBI_TF_TAKEN)) == MOBI_TF_LATE &&
	       deadline_of(sh, t) > mobi_now_ns() &&
	       mobi_retry_wanted(sh, t, w, &e);
}

void mobi_limits_text(const struct mob_store *s, uint32_t rec, uint64_t w,
		      char *out, size_t size)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_task *t = mobi_task_at(s, rec);
	const char *name = mobi_task_name(sh, t);
	const char *when = w & MOBI_TF_TAKEN ? "before" : "in";

	if (deadline_of(sh, t) <= mobi_now_ns()) {
		(void)snprintf(out, size,
			       "task %s: its deadline, %g ms after its submit, "
			       "passed %s attempt %u",
			       name,
			       (double)(t->deadline_ns - t->submit_ns) / 1e6,
			       when, MOBI_ATTEMPT(w) + 1);
	} else {
		(void)snprintf(out, size,
			       "task %s ran longer than its timeout of %g ms, "
			       "%s attempt %u",
			       name, (double)timeout_of(sh, t) / 1e6, when,
			       MOBI_ATTEMPT(w) + 1);
	}
}

/* ---- the daemon's look ---- */

enum { TOLD = 1, TERMED = 2, KILLED = 3 };

/* One that is told to end: its next step, if it is due. When the one after that
 * is. */
static uint64_t press(struct mob_store *s, struct mobi_due_entry *io,
		      uint64_t w, uint64_t grace, uint64_t now)
{
	if (!io->step || io->version != MOBI_VERSION(w)) {
		io->version = MOBI_VERSION(w);
		io->step = TOLD;
		io->step_ns = now + grace;
	}
	if (grace == MOB_GRACE_NONE || io->step == KILLED) {
		return UINT64_MAX;
	}
	if (io->step_ns > now) {
		return io->step_ns;
	}
	if (io->step == TOLD && grace) {
		mobi_task_shoot(s, io->rec, w, SIGTERM);
		io->step = TERMED;
		io->step_ns = now + grace;
		return io->step_ns;
	}
	mobi_task_shoot(s, io->rec, w, SIGKILL);
	io->step = KILLED;
	return UINT64_MAX;
}

/* RUN. False: the word has changed meanwhile. */
static bool look_run(struct mob_store *s, struct mobi_due_entry *io, uint64_t w,
		     uint64_t now, uint64_t *out_next)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_task *t = mobi_task_at(s, io->rec);
	uint64_t at = deadline_of(sh, t);
	uint64_t grace = grace_of(sh, t);

	if (w & MOBI_TF_TIMED) {
		uint64_t end = mobi_load(&t->run_ns) + timeout_of(sh, t);

		at = end < at ? end : at;
	}
	/* All this was of the task that w is of. */
	if (mobi_load(&s->recs[io->rec].word) != w) {
		return false;
	}
	if (!(w & MOBI_TF_LATE) && at <= now) {
		if (!mobi_task_late(s, io->rec, w)) {
			return false;
		}
		w |= MOBI_TF_LATE;
	}
	if (w & MOBI_TF_LATE) {
		at = UINT64_MAX; /* who puts it back sets its bit again */
	}
	if (w & (MOBI_TF_LATE | MOBI_TF_STOP)) {
		uint64_t step = press(s, io, w, grace, now);

		at = step < at ? step : at;
	}
	*out_next = at;
	return true;
}

/* WAITING, READY or DELAY. False: the word has changed, or was changed. */
static bool look_pending(struct mob_store *s, uint32_t rec, uint64_t w,
			 uint64_t now, uint64_t *out_next)
{
	const struct mobi_task *t = mobi_task_at(s, rec);
	uint64_t at = deadline_of(s->sched, t);
	uint64_t due = UINT64_MAX;

	if (MOBI_STATE(w) == MOBI_T_DELAY) {
		due = mobi_load(&t->run_ns);
	}
	if (mobi_load(&s->recs[rec].word) != w) {
		return false;
	}
	if (at <= now) {
		(void)mobi_task_late(s, rec, w);
		return false;
	}
	if (due <= now) {
		if (mobi_cas64(&s->recs[rec].word, &w,
			       MOBI_RWORD(MOBI_GEN(w), MOBI_ATTEMPT(w), 0,
					  MOBI_T_READY))) {
			MOBI_FAULT("timer.ready");
			mobi_board_mark(s, rec);
			mobi_wake_worker(s);
		}
		return false;
	}
	*out_next = due < at ? due : at;
	return true;
}

uint64_t mobi_limits_look(struct mob_store *s, struct mobi_due_entry *io,
			  uint64_t now)
{
	for (;;) {
		uint64_t w = mobi_load(&s->recs[io->rec].word);
		uint64_t next;

		switch (MOBI_STATE(w)) {
		case MOBI_T_WAITING:
		case MOBI_T_READY:
		case MOBI_T_DELAY:
			if (look_pending(s, io->rec, w, now, &next)) {
				return next;
			}
			break;
		case MOBI_T_RUN:
			if (w & MOBI_TF_TAKEN) {
				return UINT64_MAX;
			}
			if (look_run(s, io, w, now, &next)) {
				return next;
			}
			break;
		case MOBI_R_KEPT:
			mobi_lineage_look(s, io->rec);
			w = mobi_load(&s->recs[io->rec].word);
			return MOBI_STATE(w) == MOBI_R_KEPT &&
					       (w & MOBI_KF_WANT) ?
				       now + KEPT_NS :
				       UINT64_MAX;
		default:
			return UINT64_MAX;
		}
	}
}
