/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retries: which errors are worth one, and when it comes.
 *
 * The n-th retry waits backoff_ns * 2^(n - 1), at most backoff_max_ns, less a
 * random part of at most `jitter` of that: exponential backoff with jitter, so that
 * tasks that failed together do not come again together (M. Brooker, "Exponential
 * Backoff And Jitter", AWS Architecture Blog, 2015). What waits is a record in
 * DELAY: no worker has it, and the daemon makes it READY (time_limits.c).
 */
#include "retry.h"

#include "err.h"
#include "error.h"
#include "os_clock.h"
#include "surround.h"
#include "time_limits.h"

#include <string.h>

#define BACKOFF_MAX_NS (60 * (uint64_t)MOB_SEC)
#define PRESSED_NS (uint64_t) MOB_SEC
#define BACKOFF_LIMIT_NS MOBI_LIMIT_DAY_NS

/* ---- options ---- */

static int check_errors(const struct mob_task_opts *o)
{
	if (o->n_retry_codes > MOBI_RETRY_CODES ||
	    (o->n_retry_codes && !o->retry_codes)) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: n_retry_codes is %u; 0 to %u, and "
				"retry_codes points to them",
				o->n_retry_codes, MOBI_RETRY_CODES);
	}
	if (o->retry_errors && o->n_retry_codes) {
		return mobi_err(MOB_E_INVAL, "mob_submit: retry_errors is all "
					     "errors and retry_codes some; "
					     "give one of them");
	}
	if ((o->retry_errors || o->n_retry_codes) && o->retries == 0) {
		return mobi_err(MOB_E_INVAL, "mob_submit: errors are to be "
					     "retried, but "
					     "retries is 0; 1 to 254, or -1 "
					     "for ever");
	}
	return 0;
}

static int check_backoff(const struct mob_task_opts *o)
{
	if (o->backoff_ns > BACKOFF_LIMIT_NS ||
	    o->backoff_max_ns > BACKOFF_LIMIT_NS) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: backoff_ns is %llu and "
				"backoff_max_ns %llu; at most a day",
				(unsigned long long)o->backoff_ns,
				(unsigned long long)o->backoff_max_ns);
	}
	if (o->backoff_max_ns && o->backoff_max_ns < o->backoff_ns) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: backoff_max_ns is %llu, less than "
				"backoff_ns, which is %llu",
				(unsigned long long)o->backoff_max_ns,
				(unsigned long long)o->backoff_ns);
	}
	if (!(o->jitter >= 0.0 && o->jitter <= 1.0)) {
		return mobi_err(MOB_E_INVAL, "mob_submit: jitter is %g; 0 to 1",
				o->jitter);
	}
	return 0;
}

/* A step of splitmix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Where the search for a row begins. */
static uint32_t first_row(const struct mobi_plan *p)
{
	uint64_t word[sizeof(*p) / 8];
	uint64_t h = 0;

	memcpy(word, p, sizeof(word));
	for (size_t i = 0; i < sizeof(word) / sizeof(word[0]); i++) {
		h = mix(h ^ word[i]);
	}
	return (uint32_t)(h % MOBI_PLANS);
}

static int find_row(struct mobi_sched *sh, const struct mobi_plan *p,
		    uint16_t *out_row)
{
	uint32_t first = first_row(p);

	for (uint32_t n = 0; n < MOBI_PLANS; n++) {
		uint32_t i = (first + n) % MOBI_PLANS;
		struct mobi_plan_shared *r = &sh->plan[i];
		uint32_t st = mobi_load(&r->state);

		/* A row whose writer died is passed over, as of functions. */
		if (st == MOBI_FN_FREE &&
		    mobi_cas32(&r->state, &st, MOBI_FN_WRITING)) {
			r->plan = *p;
			mobi_store(&r->state, MOBI_FN_READY);
			st = MOBI_FN_READY;
		}
		if (st == MOBI_FN_READY && !memcmp(&r->plan, p, sizeof(*p))) {
			*out_row = (uint16_t)(i + 1);
			return 0;
		}
	}
	return mobi_err(MOB_E_LIMIT,
			"mob_submit: %u different ways to retry and to limit "
			"tasks in one session, the most it can have",
			MOBI_PLANS);
}

/* Two digits, or three from 100 to 199: of what is left of some time, which is a new
 * one with each task, there are not too many then. */
static uint64_t round_up(uint64_t ns)
{
	uint64_t step = UINT64_C(1);

	while (ns / step >= 200) {
		step *= 10;
	}
	return (ns + step - 1) / step * step;
}

int mobi_retry_plan(struct mobi_sched *sh, const struct mob_task_opts *o,
		    uint16_t *out_row)
{
	struct mobi_plan p = { 0 };
	int rc;

	*out_row = 0;
	rc = mobi_surround_row(sh, o, &p.surround);
	if (rc >= 0) {
		rc = check_errors(o);
	}
	if (rc >= 0) {
		rc = check_backoff(o);
	}
	if (rc >= 0) {
		rc = mobi_limits_check(o);
	}
	if (rc < 0 ||
	    (!o->retry_errors && !o->n_retry_codes && !o->backoff_ns &&
	     !o->max_calls && !mobi_limits_given(o) && !o->stream_items &&
	     !o->stream_bytes && !o->stream_cancel && !p.surround)) {
		return rc;
	}
	p.backoff_ns = o->backoff_ns;
	p.backoff_max_ns = o->backoff_max_ns ? o->backoff_max_ns :
					       BACKOFF_MAX_NS;
	if (p.backoff_max_ns < p.backoff_ns) {
		p.backoff_max_ns = p.backoff_ns;
	}
	p.jitter = (uint32_t)(o->jitter * 10000 + 0.5);
	p.errors = o->retry_errors != 0;
	p.n_codes = o->n_retry_codes;
	p.timeout_ns = round_up(o->timeout_ns);
	p.grace_ns = o->grace_ns == MOB_GRACE_NONE ? MOB_GRACE_NONE :
						     round_up(o->grace_ns);
	p.soft = o->soft_deadline != 0;
	p.max_calls = o->max_calls;
	p.stream_items = o->stream_items;
	p.stream_bytes = o->stream_bytes;
	p.stream_cancel = o->stream_cancel != 0;
	for (uint32_t i = 0; i < o->n_retry_codes; i++) {
		p.codes[i] = o->retry_codes[i];
	}
	return find_row(sh, &p, out_row);
}

/* ---- one more attempt ---- */

static void spare(struct mobi_task *t, uint64_t w, uint32_t pressed)
{
	uint32_t next = (MOBI_ATTEMPT(w) + 1) & 255u;
	uint32_t v = mobi_load(&t->tries);
	uint32_t set;

	do {
		if (MOBI_TRIES_NEXT(v) == next) {
			return; /* by who was killed at it */
		}
		set = MOBI_TRIES(next, (MOBI_TRIES_SPARED(v) + 1) & 255u,
				 MOBI_TRIES_PRESSED(v) + pressed,
				 MOBI_TRIES_KIDS(v), MOBI_TRIES_RETRIES(v));
	} while (!mobi_cas32(&t->tries, &v, set));
}

void mobi_retry_spare(struct mobi_task *t, uint64_t w)
{
	spare(t, w, 0);
}

void mobi_retry_press(struct mobi_task *t, uint64_t w)
{
	spare(t, w, 1);
}

const struct mobi_plan *mobi_retry_plan_of(const struct mobi_sched *sh,
					   const struct mobi_task *t)
{
	return t->plan && t->plan <= MOBI_PLANS ? &sh->plan[t->plan - 1].plan :
						  NULL;
}

bool mobi_retry_wanted(const struct mobi_sched *sh, const struct mobi_task *t,
		       uint64_t w, const struct mobi_error *e)
{
	const struct mobi_plan *p = mobi_retry_plan_of(sh, t);

	if (!p || !e || !mobi_retry_left(t, w)) {
		return false;
	}
	for (uint32_t i = 0; i < p->n_codes; i++) {
		if (p->codes[i] == e->code || p->codes[i] == e->rc) {
			return true;
		}
	}
	return p->errors != 0;
}

static uint64_t delay(const struct mobi_plan *p, uint32_t charged,
		      uint64_t seed)
{
	uint64_t ns = p->backoff_ns;

	for (uint32_t i = 0; i < charged && ns < p->backoff_max_ns; i++) {
		ns *= 2;
	}
	ns = ns < p->backoff_max_ns ? ns : p->backoff_max_ns;
	return ns - ns / 10000 * (mix(seed) % (p->jitter + 1u));
}

uint64_t mobi_retry_next(const struct mobi_sched *sh, struct mobi_task *t,
			 uint64_t w, enum mobi_retry_how how)
{
	static const struct mobi_plan pressed = { .backoff_ns = PRESSED_NS,
						  .backoff_max_ns =
							  BACKOFF_MAX_NS,
						  .jitter = 5000 };
	const struct mobi_plan *p = how == MOBI_RETRY_PRESSED ?
					    &pressed :
					    mobi_retry_plan_of(sh, t);
	uint32_t state = MOBI_T_READY;

	mobi_store_relaxed(&t->run_ns, mobi_quick_ns()); /* to be queued */
	if (p && p->backoff_ns && how != MOBI_RETRY_AT_ONCE) {
		uint64_t now = mobi_now_ns();
		uint32_t n = mobi_retry_pressed(t);
		uint32_t before = how != MOBI_RETRY_PRESSED ?
					  mobi_retry_charged(t, w) :
				  n ? n - 1 :
				      0;

		mobi_store(&t->run_ns,
			   now + delay(p, before, now ^ t->seq << 32));
		state = MOBI_T_DELAY;
	}
	return MOBI_RWORD(MOBI_GEN(w), (MOBI_ATTEMPT(w) + 1) & 255u, 0, state);
}
