/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping until objects are resolved.
 *
 * A thread sleeps only on its own doorbell (that of its seat, or of a
 * completion queue). The order that cannot lose a wake: link the edge; then
 * again and again: read the bell, look at the word, sleep while the bell is
 * what was read. tests/models/seal_wait.pml.
 *
 * The spin before a sleep is learned: a spin shorter than a wake only costs
 * when the partner shares the core, a successful one saves 4 to 7 us.
 */
#include "wait.h"

#include "cancel.h"
#include "conf.h"
#include "count.h"
#include "edge.h"
#include "err.h"
#include "gone.h"
#include "log.h"
#include "os_clock.h"
#include "os_futex.h"
#include "reap.h"
#include "slot.h"

#include <stdlib.h>
#include <string.h>

/* A sleeper looks again this often: a process that was stopped between two
 * steps may owe it a ring, and somebody has to notice the dead. */
#define SLICE_NS (250 * MOB_MS)
/* The same when the thread has no edge left to be rung by. */
#define NO_EDGE_NS MOB_MS
#define SPIN_MAX_NS 20000u
#define SPIN_PROBE_NS 4000u
#define SPIN_PROBE_EVERY 64u

const struct mobi_block_hooks *mobi_block_hooks;

static _Thread_local uint32_t through = MOBI_WAIT_GET;

uint32_t mobi_wait_through(uint32_t kind)
{
	uint32_t was = through;

	through = kind;
	return was;
}

static int64_t configured_spin(void)
{
	static _Atomic int64_t spin = -2;     /* -2 not read, -1 auto */
	int64_t v = mobi_load_relaxed(&spin); /* set once, to the same value */

	if (v == -2) {
		const char *text = "auto";
		char *end = NULL;

		(void)mobi_conf_str(MOBI_CONF_ID_spin, &text);
		v = strtoll(text, &end, 10);
		if (end == text || *end || v < 0) {
			if (strcmp(text, "auto") != 0) {
				mobi_log(MOBI_LOG_WARN,
					 "MOBULA_SPIN is '%s'; 'auto' or a "
					 "number of ns: taken as auto",
					 text);
			}
			v = -1;
		}
		mobi_store_relaxed(&spin, v);
	}
	return v;
}

/* What a spin looks at: a bell that was read, or the word of a slot. */
struct watch {
	mobi_a32 *bell;
	uint32_t value;
	mobi_a64 *word;
};

static bool changed(const struct watch *w)
{
	if (w->bell) {
		return mobi_load(w->bell) != w->value;
	}
	return mobi_resolved(mobi_load(w->word)) != 0;
}

/* *out_took is what it took within a few hundred ns: reading the clock once more
 * would delay who is waited for no longer. */
static bool spin_for(const struct watch *w, uint64_t ns, uint64_t *out_took)
{
	uint64_t began = mobi_now_ns();
	uint64_t now = began;

	while (now - began < ns) {
		for (int i = 0; i < 32; i++) {
			if (changed(w)) {
				*out_took = now - began;
				return true;
			}
			mobi_relax();
		}
		now = mobi_now_ns();
	}
	return false;
}

static bool spin(const struct watch *w)
{
	static _Thread_local uint32_t budget = SPIN_PROBE_NS;
	static _Thread_local uint32_t idle;
	int64_t fixed = configured_spin();
	uint64_t took = 0;
	uint32_t ns = budget;

	if (fixed >= 0) {
		return fixed > 0 && spin_for(w, (uint64_t)fixed, &took);
	}
	if (!ns && ++idle % SPIN_PROBE_EVERY == 0) {
		ns = SPIN_PROBE_NS;
	}
	if (!ns) {
		return false;
	}
	if (spin_for(w, ns, &took)) {
		budget = took * 2 + 500 < SPIN_MAX_NS ?
				 (uint32_t)took * 2 + 500 :
				 SPIN_MAX_NS;
		return true;
	}
	budget = ns < 1000 ? 0 : ns / 2;
	return false;
}

bool mobi_spin(mobi_a32 *word, uint32_t value)
{
	const struct watch w = { .bell = word, .value = value };

	return spin(&w);
}

int64_t mobi_deadline(int64_t timeout_ns)
{
	int64_t now = (int64_t)mobi_now_ns();

	if (timeout_ns <= 0) {
		return 0;
	}
	return timeout_ns < INT64_MAX - now ? now + timeout_ns : INT64_MAX;
}

/* Somebody who waits looks for the dead and for what else is due, once in a
 * slice whatever its time-outs are: nobody else may be about. */
void mobi_look_around(struct mob_store *s)
{
	uint64_t now = mobi_now_ns();
	uint64_t seen = mobi_load_relaxed(&s->looked_ns);

	if (now - seen >= SLICE_NS && mobi_cas64(&s->looked_ns, &seen, now)) {
		mobi_reap_poll(s);
	}
}

/* How long to sleep now: at most a slice. */
static int time_left(struct mob_store *s, int64_t timeout_ns, int64_t end,
		     int64_t *out_slice)
{
	int64_t slice = SLICE_NS;

	if (timeout_ns == 0) {
		mobi_look_around(s);
		return mobi_err(MOB_E_TIMEOUT, "not resolved yet");
	}
	if (mobi_cancelled()) {
		return mobi_err(MOB_E_INTERRUPTED, "the cancellation token of "
						   "this thread is set, or its "
						   "task is cancelled");
	}
	if (mobi_load(&s->hdr->ending)) {
		return mobi_err(MOB_E_CLOSED, "session %s has ended", s->name);
	}
	if (timeout_ns > 0) {
		int64_t left = end - (int64_t)mobi_now_ns();

		if (left <= 0) {
			return mobi_err(MOB_E_TIMEOUT,
					"not resolved within %lld ms",
					(long long)(timeout_ns / MOB_MS));
		}
		slice = left < slice ? left : slice;
	}
	*out_slice = slice;
	return 0;
}

int mobi_wait_over(struct mob_store *s, int64_t timeout_ns, int64_t end)
{
	int64_t slice;

	return time_left(s, timeout_ns, end, &slice);
}

int mobi_sleep_on(struct mob_store *s, mobi_a32 *bell, mobi_a32 *asleep,
		  uint32_t value, int64_t timeout_ns, int64_t end)
{
	struct mobi_cancel_sleeper me;
	int64_t slice;
	int rc = time_left(s, timeout_ns, end, &slice);

	if (rc < 0) {
		return rc;
	}
	if (!mobi_cancel_enter(&me, bell)) {
		return 0; /* looked at once more, and then time_left says it */
	}
	mobi_count(s, MOBI_N_SLEEP, 1);
	(void)mobi_fetch_add(asleep, 1u);
	rc = mobi_futex_wait(bell, value, slice);
	(void)mobi_fetch_sub(asleep, 1u);
	mobi_cancel_leave(&me);
	if (rc == MOB_E_TIMEOUT) {
		mobi_look_around(s);
	}
	return 0;
}

static uint32_t free_edge(struct mob_store *s, const struct mobi_seat *seat)
{
	for (uint32_t k = 0; k < MOBI_EDGE_CHUNK; k++) {
		uint32_t n = MOBI_EDGE_OF_CHUNK(seat->chunk - 1, k);

		if (MOBI_STATE(mobi_load(&mobi_edge_at(s, n)->word)) ==
		    MOBI_E_FREE) {
			return n;
		}
	}
	return 0;
}

/* A free edge of the seat, or 0: one that was released under the LOCK of a
 * stopped process is free only when that goes on. */
static uint32_t seat_edge(struct mob_store *s, const struct mobi_seat *seat)
{
	uint32_t n = free_edge(s, seat);

	if (n) {
		return n;
	}
	/* An object with many readers is swept rarely (edge.c). */
	for (uint32_t k = 0; k < MOBI_EDGE_CHUNK; k++) {
		struct mobi_edge *e =
			mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(seat->chunk - 1, k));
		uint64_t ref = mobi_load(&e->ref);

		if (MOBI_STATE(mobi_load(&e->word)) == MOBI_E_RELEASED) {
			mobi_slot_look(s, (uint32_t)ref, MOBI_GEN(ref));
		}
	}
	return free_edge(s, seat);
}

/* One short sleep of a thread that nobody will ring. */
static int sleep_without(struct mob_store *s, struct mobi_chunk *c,
			 int64_t timeout_ns, int64_t end)
{
	uint32_t bell = mobi_load(&c->bell);
	int64_t slice;
	int rc = time_left(s, timeout_ns, end, &slice);

	if (rc == 0) {
		(void)mobi_futex_wait(&c->bell, bell,
				      slice < NO_EDGE_NS ? slice : NO_EDGE_NS);
		mobi_look_around(s);
	}
	return rc;
}

/* One sleep with an edge on the object: 1 resolved, 0 woken, or an error. */
static int sleep_once(struct mob_store *s, const struct mobi_seat *seat,
		      uint64_t id, int64_t timeout_ns, int64_t end)
{
	struct mobi_chunk *c = &s->chunks[seat->chunk - 1];
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint32_t n = seat_edge(s, seat);
	uint32_t bell;
	int rc = 1;

	if (!n) {
		return sleep_without(s, c, timeout_ns, end);
	}
	mobi_edge_push(s, n, seat->gen, 0, id);
	bell = mobi_load(&c->bell);
	if (!mobi_resolved(mobi_load(&o->word))) {
		/* After the push: who drops it now sees the edge. */
		mobi_gone_want(s, id);
		rc = mobi_sleep_on(s, &c->bell, &c->asleep, bell, timeout_ns,
				   end);
		if (rc == 0) {
			rc = mobi_resolved(mobi_load(&o->word));
		}
	}
	mobi_edge_release(s, n, seat->gen);
	return rc;
}

/* Sched may run something meanwhile: 1, or have an error. 0: sleep. */
static int before_sleep(struct mob_store *s, uint64_t id, int64_t timeout_ns)
{
	const struct mobi_wait w = { id, 1, through, timeout_ns };

	return mobi_block_hooks ? mobi_block_hooks->blocking(s, &w) : 0;
}

int mobi_wait_one(struct mob_store *s, uint64_t id, int64_t timeout_ns)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	struct mobi_seat *seat;
	uint32_t tries;
	int64_t end;
	int rc;

	if (mobi_resolved(mobi_load(&o->word))) {
		return 0;
	}
	tries = mobi_gone_tries(s, id);
	mobi_gone_want(s, id);
	if (timeout_ns == 0) {
		mobi_look_around(s);
		return mobi_err(MOB_E_TIMEOUT, "object %u is not resolved yet",
				(uint32_t)id);
	}
	if (spin(&(struct watch){ .word = &o->word })) {
		return 0; /* without an edge: nobody has to be told */
	}
	seat = mobi_seat(s);
	if (!seat) {
		return mobi_err(MOB_E_NOMEM, "no memory for this thread");
	}
	rc = mobi_seat_chunk(s, seat);
	end = mobi_deadline(timeout_ns);
	while (rc == 0 && !mobi_resolved(mobi_load(&o->word))) {
		mobi_gone_want(s, id); /* also if it went while I slept */
		/* No edge is linked while something else runs here. */
		rc = before_sleep(s, id, timeout_ns);
		if (rc == 0) {
			rc = sleep_once(s, seat, id, timeout_ns, end);
		} else if (rc > 0) {
			rc = 0;
		}
		/* Whoever waits may be who views what fills the store. */
		if (rc == 0 && mobi_gone_tries(s, id) > tries) {
			rc = mobi_gone_full(id);
		}
	}
	if (mobi_block_hooks) {
		mobi_block_hooks->resumed(s);
	}
	return rc < 0 ? rc : 0;
}
