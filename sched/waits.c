/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for whom.
 *
 * Nothing is locked. A deadlock that is found is one for all that: the sequence
 * number of each executor in it was read before anything else and again at the end.
 * It changes whenever the executor begins or ends a wait, so all of them waited all
 * the time; and none of what was read in between (this object is not resolved, this
 * task runs on that executor, that one is pending for this object) can change but by
 * one of them going on. What others did meanwhile does not matter.
 *
 * None is missed: who is about to sleep publishes its wait and then looks, in that
 * order (all accesses are sequentially consistent). The last of a cycle to publish
 * sees all others. tests/models/deadlock.pml. What closes one without a wait (a
 * process loses its second thread) is seen by who looks again (deadlock.c).
 */
#include "waits.h"

#include "cq.h"
#include "pool.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 4

void mobi_waits_open(struct mobi_waits *k, struct mob_store *s, bool decides)
{
	const struct mobi_sched *sh = s->sched;

	memset(k, 0, sizeof(*k));
	k->s = s;
	k->decides = decides;
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		const struct mobi_wait_shared *p = &sh->wait[i];
		struct mobi_wait_at *a = &k->at[i];
		uint32_t how;

		a->seq = mobi_load(&p->seq);
		if (!(a->seq & 1)) {
			continue;
		}
		a->id = mobi_load(&p->id);
		a->task = mobi_load(&p->task);
		how = mobi_load(&p->how);
		a->need = how & MOBI_WAIT_NEED_MAX;
		a->kind = how >> 24;
		k->waiting |= MOBI_BIT(i);
	}
	/* After that: who waits stands where it stood. */
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		uint32_t c = mobi_load(&sh->place[i].client);

		k->place_of[c % MOBI_CLIENTS] = (uint8_t)(i + 1);
	}
}

void mobi_waits_close(struct mobi_waits *k)
{
	free(k->choice);
	free(k->step);
	free(k->seen);
}

/* ---- executors ---- */

static bool add_maker(void *arg, struct mobi_maker m, uint64_t id,
		      uint32_t from)
{
	struct mobi_makers *by = arg;

	(void)id;
	(void)from;
	if (m.kind == MOBI_MAKER_SHAPE) {
		by->shapes |= MOBI_BIT(m.index);
	} else if (m.kind == MOBI_MAKER_PROC) {
		by->procs |= MOBI_BIT(m.index);
	} else {
		by->threads |= MOBI_BIT(m.index);
	}
	return false;
}

/* One of those that the executor waits for. */
static void add_choice(struct mobi_waits *k, struct mobi_wait_at *a,
		       const struct mobi_makers *by)
{
	struct mobi_choice *c;

	if (!(by->threads | by->procs | by->shapes)) {
		a->able++;
		return;
	}
	for (uint32_t i = a->first; i < k->n_choice; i++) {
		if (!memcmp(&k->choice[i].by, by, sizeof(*by))) {
			k->choice[i].n++;
			return;
		}
	}
	c = mobi_waits_grown(k->choice, k->n_choice, &k->max_choice,
			     sizeof(*c));
	if (!c) {
		k->failed = true;
		return;
	}
	k->choice = c;
	c[k->n_choice++] = (struct mobi_choice){ *by, 1 };
	a->n++;
}

static void add_object(struct mobi_waits *k, struct mobi_wait_at *a,
		       uint64_t id)
{
	struct mobi_makers by = { 0 };

	mobi_waits_walk(k, id, add_maker, &by);
	add_choice(k, a, &by);
}

struct entry {
	struct mobi_waits *k;
	struct mobi_wait_at *a;
};

static bool add_entry(void *arg, uint64_t id, bool fired)
{
	const struct entry *e = arg;

	if (fired) {
		e->a->able++;
	} else {
		add_object(e->k, e->a, id);
	}
	return e->a->able < e->a->need && !e->k->failed;
}

/* Those of which one makes room are choices, those of which all must are one. */
struct room {
	struct mobi_waits *k;
	struct mobi_wait_at *a;
	struct mobi_makers all;
};

static void add_reader(void *arg, struct mobi_maker m)
{
	struct room *r = arg;
	struct mobi_makers by = { 0 };

	mobi_waits_walk_from(r->k, m, add_maker, &by);
	r->all.threads |= by.threads;
	r->all.procs |= by.procs;
	r->all.shapes |= by.shapes;
	add_choice(r->k, r->a, &by);
}

static void add_room(struct mobi_waits *k, struct mobi_wait_at *a)
{
	struct room r = { .k = k, .a = a };

	if (mobi_waits_room(k, a, add_reader, &r)) {
		k->n_choice = a->first;
		a->n = 0;
		a->able = 0;
		add_choice(k, a, &r.all);
	}
}

static uint64_t held_by(const struct mobi_waits *k, uint32_t executor,
			uint32_t resource)
{
	const struct mobi_sched *sh = k->s->sched;
	uint32_t p = k->place_of[executor];

	return p ? mobi_load(&sh->place[p - 1].held[resource]) : 0;
}

uint64_t mobi_waits_holders(const struct mobi_waits *k, uint32_t shape)
{
	const struct mobi_sched *sh = k->s->sched;
	uint64_t holders = 0;

	for (uint64_t b = k->waiting; b; b &= b - 1) {
		uint32_t e = (uint32_t)__builtin_ctzll(b);

		for (uint32_t r = 0; r < sh->n_resources; r++) {
			if (sh->shape[shape].amount[r] && held_by(k, e, r)) {
				holders |= MOBI_BIT(e);
			}
		}
	}
	return holders;
}

/* The task that sleeps is told to end: its wait is over. */
static bool is_told(const struct mobi_waits *k, const struct mobi_wait_at *a)
{
	uint32_t rec = (uint32_t)a->task - 1;

	return a->task && (rec >= mobi_pool_used(k->s, MOBI_POOL_REC) ||
			   (mobi_load(&k->s->recs[rec].word) & MOBI_TF_TOLD));
}

/* Who makes what the executor waits for; these are to be looked at next. */
static uint64_t look_at(struct mobi_waits *k, uint32_t executor)
{
	struct mobi_wait_at *a = &k->at[executor];
	struct entry e = { k, a };
	uint64_t next = 0;
	uint64_t shapes = 0;

	a->first = k->n_choice;
	a->n = 0;
	a->able = 0;
	if (is_told(k, a)) {
		a->able = a->need;
	} else if (mobi_is_any(a->id)) {
		mobi_cq_entries(k->s, mobi_queue_of_any(a->id), add_entry, &e);
	} else if (a->kind == MOBI_WAIT_ROOM) {
		add_room(k, a);
	} else {
		add_object(k, a, a->id);
	}
	if (a->able >= a->need) {
		k->n_choice = a->first;
		a->n = 0;
		return 0;
	}
	k->stuck |= MOBI_BIT(executor);
	for (uint32_t i = a->first; i < a->first + a->n; i++) {
		next |= k->choice[i].by.threads | k->choice[i].by.procs;
		shapes |= k->choice[i].by.shapes;
	}
	for (uint64_t b = shapes & ~k->shapes; b; b &= b - 1) {
		next |= mobi_waits_holders(k, (uint32_t)__builtin_ctzll(b));
	}
	k->shapes |= shapes;
	return next;
}

/* ---- reduction ---- */

/* Can nobody run a task of this shape before one that is stuck gives something
 * back? What there never is enough of is no deadlock. */
static bool shape_stuck(const struct mobi_waits *k, uint32_t shape)
{
	const struct mobi_sched *sh = k->s->sched;
	bool stuck = false;

	for (uint32_t r = 0; r < sh->n_resources; r++) {
		uint64_t amount = sh->shape[shape].amount[r];
		uint64_t held = 0;

		for (uint64_t b = k->stuck; b; b &= b - 1) {
			held += held_by(k, (uint32_t)__builtin_ctzll(b), r);
		}
		if (amount > sh->resource[r].total) {
			return false;
		}
		stuck |= amount && held + amount > sh->resource[r].total;
	}
	return stuck;
}

static bool choice_stuck(const struct mobi_waits *k,
			 const struct mobi_choice *c)
{
	return (c->by.threads & k->stuck) ||
	       (c->by.procs & k->stuck & ~k->threads) ||
	       (c->by.shapes & k->stuck_shapes);
}

static bool is_stuck(const struct mobi_waits *k, uint32_t executor)
{
	const struct mobi_wait_at *a = &k->at[executor];
	uint64_t able = a->able;

	if (a->kind == MOBI_WAIT_QUEUE && (k->threads & MOBI_BIT(executor))) {
		return false; /* another may add to the queue */
	}
	for (uint32_t i = a->first; i < a->first + a->n; i++) {
		able += choice_stuck(k, &k->choice[i]) ? 0 : k->choice[i].n;
	}
	return able < a->need;
}

static void reduce(struct mobi_waits *k)
{
	bool changed = true;

	while (changed) {
		changed = false;
		for (uint64_t b = k->stuck_shapes; b; b &= b - 1) {
			if (!shape_stuck(k, (uint32_t)__builtin_ctzll(b))) {
				k->stuck_shapes &= ~(b & -b);
				changed = true;
			}
		}
		for (uint64_t b = k->stuck; b; b &= b - 1) {
			if (!is_stuck(k, (uint32_t)__builtin_ctzll(b))) {
				k->stuck &= ~(b & -b);
				changed = true;
			}
		}
	}
}

/* Of those that are left: the dead are not stuck, they will be run again. True:
 * something was learned. */
static bool look_at_processes(struct mobi_waits *k)
{
	uint64_t stuck = k->stuck;
	uint64_t threads = k->threads;

	for (uint64_t b = stuck; b; b &= b - 1) {
		uint32_t c = (uint32_t)__builtin_ctzll(b);
		struct mobi_proc proc = k->s->clients[c].proc;

		if (!mobi_proc_alive(&proc)) {
			k->stuck &= ~(b & -b);
		} else if (mobi_proc_threads(&proc) != 1) {
			k->threads |= b & -b;
		}
	}
	return k->stuck != stuck || k->threads != threads;
}

/* ---- the cycle ---- */

static uint64_t stuck_makers(const struct mobi_waits *k, uint32_t executor)
{
	const struct mobi_wait_at *a = &k->at[executor];
	uint64_t next = 0;

	for (uint32_t i = a->first; i < a->first + a->n; i++) {
		const struct mobi_makers *by = &k->choice[i].by;

		next |= by->threads | (by->procs & ~k->threads);
		for (uint64_t b = by->shapes & k->stuck_shapes; b; b &= b - 1) {
			next |= mobi_waits_holders(
				k, (uint32_t)__builtin_ctzll(b));
		}
	}
	return next & k->stuck;
}

/*
 * Those that the executor waits for in the end; 0 unless all of these wait for it,
 * too. If they do not, there is another deadlock below: one of that will end it, and
 * this one may go on then.
 */
static uint64_t knot(const struct mobi_waits *k, uint32_t executor)
{
	uint64_t next[MOBI_CLIENTS];
	uint64_t below = 0; /* that it waits for */
	uint64_t above = MOBI_BIT(executor);
	uint64_t more = k->stuck & MOBI_BIT(executor);

	while (more) {
		uint32_t p = (uint32_t)__builtin_ctzll(more);

		more &= more - 1;
		next[p] = stuck_makers(k, p);
		more |= next[p] & ~below & ~MOBI_BIT(executor);
		below |= next[p];
	}
	do {
		more = 0;
		for (uint64_t b = below & ~above; b; b &= b - 1) {
			if (next[__builtin_ctzll(b)] & above) {
				more |= b & -b;
			}
		}
		above |= more;
	} while (more);
	return below & ~above || !(below & MOBI_BIT(executor)) ? 0 : below;
}

/* Breadth first from the executor until it comes back. */
static uint32_t find_cycle(const struct mobi_waits *k, uint32_t executor,
			   uint8_t out[MOBI_CLIENTS])
{
	uint8_t queue[MOBI_CLIENTS] = { (uint8_t)executor };
	uint8_t before[MOBI_CLIENTS] = { 0 };
	uint64_t met = 0;
	uint32_t end = 1;

	for (uint32_t i = 0; i < end; i++) {
		uint64_t next = stuck_makers(k, queue[i]) & ~met;
		uint32_t n = 1;

		if (next & MOBI_BIT(executor)) {
			for (uint32_t p = queue[i]; p != executor;
			     p = before[p]) {
				n++;
			}
			for (uint32_t p = queue[i], j = n; j-- > 0;
			     p = before[p]) {
				out[j] = (uint8_t)p;
			}
			return n;
		}
		met |= next;
		for (; next; next &= next - 1) {
			uint8_t p = (uint8_t)__builtin_ctzll(next);

			before[p] = queue[i];
			queue[end++] = p;
		}
	}
	return 0;
}

/* All of these have waited since they were copied. */
static bool still_wait(const struct mobi_waits *k, uint64_t executors)
{
	const struct mobi_sched *sh = k->s->sched;

	for (uint64_t b = executors; b; b &= b - 1) {
		uint32_t e = (uint32_t)__builtin_ctzll(b);

		if (mobi_load(&sh->wait[e].seq) != k->at[e].seq) {
			return false;
		}
	}
	return true;
}

static void find_stuck(struct mobi_waits *k, uint32_t executor)
{
	uint64_t next = k->waiting & MOBI_BIT(executor);

	k->stuck = k->looked = k->shapes = k->threads = 0;
	k->n_choice = 0;
	while (next && !k->failed) {
		uint32_t p = (uint32_t)__builtin_ctzll(next);

		k->looked |= MOBI_BIT(p);
		next |= look_at(k, p);
		next &= ~k->looked;
	}
	k->stuck_shapes = k->shapes;
	reduce(k);
	while ((k->stuck & MOBI_BIT(executor)) && look_at_processes(k)) {
		reduce(k);
	}
}

uint32_t mobi_waits_cycle(struct mobi_waits *k, uint32_t executor,
			  uint8_t out[MOBI_CLIENTS])
{
	for (int i = 0; i < TRIES; i++) {
		struct mob_store *s = k->s;
		bool decides = k->decides;
		uint64_t all;

		find_stuck(k, executor);
		all = k->failed ? 0 : knot(k, executor);
		if (!all) {
			return 0;
		}
		if (still_wait(k, all)) {
			return find_cycle(k, executor, out);
		}
		mobi_waits_close(k);
		mobi_waits_open(k, s, decides);
	}
	return 0; /* it moves */
}
