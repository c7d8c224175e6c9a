/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The domain: lock, placing and taking. Generations: generation.c.
 *
 * After unlocking, a worker reads the current generation again; if it was gone
 * round meanwhile, it publishes again what it had placed.
 * tests/models/take_gen.pml.
 */
#include "domain.h"

#include "board.h"
#include "bundle.h"
#include "err.h"
#include "fit.h"
#include "os_clock.h"
#include "os_run.h"
#include "policy_row.h"
#include "pool.h"
#include "record.h"
#include "spill.h"
#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 320u
#define FILL_RECORDS 8192u
#define FILL_TASKS 256u

struct mobi_queues *mobi_gen_queues(struct mob_store *s, uint32_t index)
{
	uint64_t bytes = mobi_queues_bytes(MOBI_RECS, MOBI_PLACES,
					   MOBI_CLIENTS);

	bytes = (bytes + 65535) / 65536 * 65536;
	return (void *)((unsigned char *)s->sched + MOBI_QUEUES_OFF +
			index * bytes);
}

static uint64_t sched_off(const struct mob_store *s, const void *at)
{
	return (uint64_t)((const unsigned char *)at -
			  (const unsigned char *)s->hdr);
}

int mobi_domain_init(struct mob_store *s, uint32_t policy)
{
	struct mobi_sched *sh = s->sched;
	uint64_t end = MOBI_QUEUES_OFF +
		       MOBI_GENS * mobi_queues_bytes(MOBI_RECS, MOBI_PLACES,
						     MOBI_CLIENTS);
	int rc = 0;

	MOB_ASSERT(end + (1u << 20) < MOBI_SCHED_BYTES);
	for (uint32_t i = 0; i < MOBI_GENS && rc >= 0; i++) {
		struct mobi_queues *q = mobi_gen_queues(s, i);

		rc = mobi_ctl_back(s, sched_off(s, q),
				   mobi_queues_head_bytes(MOBI_PLACES,
							  MOBI_CLIENTS));
		if (rc >= 0) {
			mobi_queues_init(q, MOBI_RECS, MOBI_PLACES,
					 MOBI_CLIENTS);
		}
	}
	sh->gens[0].gen = 1;
	sh->gens[0].policy = policy;
	sh->gens[0].rnd = UINT64_C(0x9e3779b97f4a7c15);
	mobi_store(&sh->gens[0].since_ns, mobi_now_ns());
	mobi_store(&sh->wanted_policy, policy);
	mobi_store(&sh->cur, MOBI_CUR(1, 0));
	return rc;
}

static struct mobi_sched *sched_of(const struct mob_store *s)
{
	return s->sched;
}

bool mobi_domain_work(const struct mob_store *s)
{
	struct mobi_sched *sh = sched_of(s);
	uint32_t i = MOBI_CUR_INDEX(mobi_load(&sh->cur));
	struct mob_store *m;

	memcpy(&m, &s, sizeof(m));
	return mobi_board_some(s) || mobi_load(&mobi_gen_queues(m, i)->total) ||
	       mobi_load(&sh->gens[i].filling);
}

uint32_t mobi_domain_queued(const struct mob_store *s)
{
	struct mob_store *m;

	memcpy(&m, &s, sizeof(m));
	return mobi_load(&mobi_gen_queues(m, MOBI_CUR_INDEX(mobi_load(
						     &sched_of(s)->cur)))
				  ->total);
}

/* ---- lock ---- */

static struct mobi_gen *lock(struct mob_store *s, uint64_t *out_cur)
{
	struct mobi_sched *sh = sched_of(s);
	struct mobi_stuck k = { 0 };

	for (uint32_t n = 1;; n++) {
		uint64_t cur = mobi_load(&sh->cur);
		struct mobi_gen *g = &sh->gens[MOBI_CUR_INDEX(cur)];
		uint32_t nobody = 0;

		if (!mobi_load(&g->lock) &&
		    mobi_cas32(&g->lock, &nobody, s->me)) {
			if (mobi_load(&sh->cur) == cur) {
				*out_cur = cur;
				return g;
			}
			mobi_store(&g->lock, 0u);
		} else if (n % 128) {
			mobi_relax();
		} else {
			mobi_yield();
			if (n % 1024 == 0 && !mobi_domain_look_stuck(s, &k)) {
				/* Until one of the stopped goes on or dies. */
				mobi_pause_ns(MOB_MS);
			}
		}
	}
}

static void unlock(struct mob_store *s, struct mobi_gen *g)
{
	uint32_t me = s->me;

	(void)mobi_cas32(&g->lock, &me, 0);
}

/* ---- policy calls ---- */

struct turn {
	struct mob_store *s;
	struct mobi_sched *sh;
	struct mobi_gen *g;
	struct mobi_queues *q;
	uint64_t cur;
	uint64_t now;
	struct mobi_policy policy;
	struct mobi_policy_call call;
	uint64_t *busy; /* MOBI_PLACES: until when each place is busy */
	uint64_t up;
};

/* Which places have a worker, and until when they are busy. */
static void look_places(struct turn *t)
{
	/* Only the thread that takes tasks comes here; those behind max_places
	 * stay 0. */
	static uint64_t busy[MOBI_PLACES];
	uint32_t workers = 0;

	t->busy = busy;
	t->up = 0;
	for (uint32_t i = 0; i < t->sh->max_places; i++) {
		struct mobi_place_shared *p = &t->sh->place[i];
		uint64_t ann = mobi_load(&p->ann);

		busy[i] = 0;
		if (!mobi_load(&p->client)) {
			continue;
		}
		t->up |= MOBI_BIT(i);
		workers++;
		if (ann) {
			uint32_t rec = ((uint32_t)ann - 1) % MOBI_RECS;
			struct mobi_task *k = mobi_task_at(t->s, rec);
			uint64_t cost = mobi_load_relaxed(
				&t->sh->fn[k->fn % MOBI_FUNCTIONS].cost_ns);
			uint64_t began = mobi_load_relaxed(&k->run_ns);

			busy[i] = cost && began ? began + cost : UINT64_MAX;
		}
	}
	if (mobi_load(&t->s->board->workers) != workers) {
		mobi_store(&t->s->board->workers, workers);
	}
}

static void describe(const struct turn *t, uint32_t rec,
		     struct mob_sched_task *out)
{
	const struct mobi_task *k = mobi_task_at(t->s, rec);
	uint64_t w = mobi_load(&t->s->recs[rec].word);

	memset(out, 0, sizeof(*out));
	out->struct_size = (uint32_t)sizeof(*out);
	out->fn = k->fn;
	out->id = (uint64_t)MOBI_GEN(w) << 32 | rec;
	out->seq = k->seq;
	out->from = k->from ? k->from - 1u : MOB_NO_WORKER;
	out->near = MOB_NO_WORKER;
	out->job = k->job;
	out->attempt = MOBI_ATTEMPT(w);
	out->cpu = k->cpu;
	out->priority = k->priority;
	out->deadline_ns = k->deadline_ns;
	out->ready_ns = t->now;
	out->cost_ns =
		mobi_load_relaxed(&t->sh->fn[k->fn % MOBI_FUNCTIONS].cost_ns);
	out->hint = k->hint;
}

/* Queues a READY task. */
static void place(struct turn *t, uint32_t rec)
{
	uint64_t w = mobi_load(&t->s->recs[rec].word);
	const struct mobi_task *k = mobi_task_at(t->s, rec);
	const struct mobi_slot *ret;
	struct mobi_queue_entry e = { .task = rec,
				      .version = MOBI_VERSION(w),
				      .shape = k->shape };
	struct mobi_queue_entry have;
	struct mob_sched_task task;
	struct mob_place pl;
	uint64_t off;
	uint64_t len;

	if (MOBI_STATE(w) != MOBI_T_READY) {
		return;
	}
	ret = &t->s->slots[(uint32_t)mobi_load_relaxed(
				   &t->s->recs[rec].edge[0].ref) %
			   MOBI_SLOTS]; /* a hint */
	__builtin_prefetch(ret, 1);
	__builtin_prefetch(ret->value, 1);
	len = mobi_queues_node_range(t->q, rec / 64 * 64, 64, &off);
	if (mobi_ctl_back(t->s, sched_off(t->s, t->q) + off, len) < 0) {
		/* No memory: its bit stays for later. */
		mobi_board_mark(t->s, rec);
		return;
	}
	if (mobi_queues_find(t->q, rec, &have) && have.version == e.version) {
		return;
	}
	describe(t, rec, &task);
	pl = mobi_policy_place(&t->call, &task);
	e.queue = pl.queue;
	e.rank = pl.rank;
	(void)mobi_queues_push(t->q, &e);
	mobi_store_relaxed(&t->sh->placed,
			   mobi_load_relaxed(&t->sh->placed) + 1);
}

/* Fills a young generation, a piece a hold of the lock. WAITING ones are looked
 * at too: the bit of one that can go may be in the hands of a stopped worker. */
static void fill(struct turn *t)
{
	uint32_t end = mobi_pool_used(t->s, MOBI_POOL_REC);
	uint32_t n = 0;

	for (uint32_t i = 0;
	     i < FILL_RECORDS && n < FILL_TASKS && t->g->fill < end;
	     i++, t->g->fill++) {
		if (mobi_task_evaluate(t->s, t->g->fill)) {
			place(t, t->g->fill);
			mobi_record_queued(t->s, t->g->fill, t->now);
			n++;
		}
	}
	if (t->g->fill >= end) {
		mobi_store(&t->g->filling, 0u);
	}
}

static int replace_one(const struct mobi_queue_entry *e, void *arg)
{
	struct turn *t = arg;

	(void)mobi_queues_remove(t->q, e->task);
	mobi_board_mark(t->s, e->task);
	return 0;
}

/* Tells the policy of workers that came or left; what waited for one that left
 * is placed again. False: the policy did not start. */
static bool update_workers(struct turn *t)
{
	uint64_t changed = t->g->up ^ t->up;

	if (!t->g->started) {
		t->g->started = 1;
		t->g->up = t->up;
		if (mobi_policy_start(&t->call) < 0) {
			(void)mobi_domain_eject(t->s, t->cur,
						"its op start failed");
			return false;
		}
		return true;
	}
	t->g->up = t->up;
	for (; changed; changed &= changed - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(changed);
		bool is_up = t->up & MOBI_BIT(i);

		mobi_policy_worker(&t->call, i, is_up);
		if (!is_up) {
			(void)mobi_queues_each(t->q, mobi_queue_of_worker(i),
					       replace_one, t);
		}
	}
	return true;
}

/* ---- telling of a run that ended ---- */

/* The last run of this worker, until its policy is told. */
static struct {
	struct mob_sched_task task;
	struct mob_sched_run run;
	uint64_t cur; /* generation under which it was taken; 0: none */
} last;

void mobi_domain_ran(uint64_t ran_ns, int rc)
{
	last.run.ran_ns = ran_ns;
	last.run.rc = rc;
}

static void tell_done(struct turn *t)
{
	if (last.cur == t->cur && last.run.ran_ns) {
		mobi_policy_done(&t->call, &last.task, &last.run);
	}
	last.cur = 0;
}

static void note_taken(struct turn *t, uint32_t rec)
{
	if (!MOB_HAS(t->policy.ops, done)) {
		return;
	}
	describe(t, rec, &last.task);
	memset(&last.run, 0, sizeof(last.run));
	last.run.struct_size = (uint32_t)sizeof(last.run);
	last.run.worker = mobi_rt.place;
	last.cur = t->cur;
}

/* ---- taking ---- */

#define RESERVE_NS UINT64_C(50000000)

/*
 * What may be taken of the shapes that fit: if one that does not was passed over for
 * long, nothing that takes of what it lacks, until so much is free that it fits. Or a
 * stream of small ones would keep a large one out for ever. Processors are kept for it
 * only when all else that it wishes for is free: a resource may stay with a task for
 * long, and that may wait for one that needs a processor.
 */
static uint64_t reserve(const struct turn *t, const struct mobi_room *room,
			uint64_t fits)
{
	const struct mobi_sched *sh = t->sh;
	struct mobi_room all = { sh->capacity, { 0 } };
	uint64_t can;

	for (uint32_t r = 0; r < sh->n_resources; r++) {
		all.amount[r] = sh->resource[r].total;
	}
	can = mobi_fit_shapes(sh, &all) & ~fits;
	for (; can; can &= can - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(can);
		uint64_t since = mobi_queues_passed_ns(t->q, i);

		if (since && t->now > since + RESERVE_NS) {
			fits &= ~mobi_fit_rivals(sh, &sh->shape[i], room);
		}
	}
	return fits;
}

/* What this worker would take next, when it took one last. */
static struct {
	uint32_t
		rec; /* + 1; 0: nothing was queued, or nothing is ever spilled */
	uint32_t version;
} next;

static void note_next(const struct turn *t, const uint32_t *queues, uint32_t n,
		      uint64_t fits)
{
	next.rec = 0;
	if (!mobi_spills(t->s)) {
		return;
	}
	for (uint32_t i = 0; i < n && !next.rec; i++) {
		struct mobi_queue_want want = {
			.queue = queues[i] & ~MOB_Q_OLDEST,
			.oldest = (queues[i] & MOB_Q_OLDEST) != 0,
			.fits = fits,
		};
		struct mobi_queue_entry e;

		if (mobi_queues_peek(t->q, &want, &e)) {
			next.rec = e.task + 1;
			next.version = e.version;
		}
	}
}

/* The next ones in that queue, too, if they are tiny. */
static void take_more(struct turn *t, const struct mobi_queue_want *want,
		      uint32_t rec)
{
	const struct mobi_fn_shared *fn = t->sh->fn;
	uint32_t first = mobi_task_at(t->s, rec)->fn % MOBI_FUNCTIONS;
	uint64_t cost = mobi_load_relaxed(&fn[first].cost_ns);
	uint32_t n = mobi_bundle_room(t->s, first, mobi_load(&t->q->total),
				      cost);
	uint64_t sum = cost;
	struct mobi_queue_entry e;

	for (; n && mobi_queues_peek(t->q, want, &e); n--) {
		cost = mobi_load_relaxed(
			&fn[mobi_task_at(t->s, e.task)->fn % MOBI_FUNCTIONS]
				 .cost_ns);
		sum += cost;
		if (!cost || sum > MOBI_BUNDLE_NS) {
			break;
		}
		(void)mobi_queues_pop(t->q, want, &e);
		mobi_bundle_put(t->s, e.task, e.version);
	}
}

bool mobi_domain_after(const struct mob_store *s, uint32_t *out_rec,
		       uint32_t *out_version)
{
	if (mobi_bundle_peek(s, out_rec, out_version)) {
		return true;
	}
	*out_rec = next.rec - 1;
	*out_version = next.version;
	return next.rec != 0;
}

/* Takes the best task that the policy lets this worker have. */
static bool take(struct turn *t, uint32_t *out_rec, uint64_t *out_w)
{
	uint32_t queues[1 + MOBI_PLACES + MOBI_CLIENTS];
	uint32_t n = mobi_policy_pick(&t->call, mobi_rt.place, queues,
				      1 + MOBI_PLACES + MOBI_CLIENTS);
	bool roomy = mobi_fit_is_roomy(t->sh,
				       (uint32_t)__builtin_popcountll(t->up));
	struct mobi_room room = mobi_fit_room(t->s, roomy);
	uint64_t fits = reserve(t, &room, mobi_fit_shapes(t->sh, &room));

	for (uint32_t i = 0; i < n; i++) {
		struct mobi_queue_want want = {
			.queue = queues[i] & ~MOB_Q_OLDEST,
			.oldest = (queues[i] & MOB_Q_OLDEST) != 0,
			.fits = fits,
			.now_ns = t->now,
		};
		struct mobi_queue_entry e;

		while (mobi_queues_pop(t->q, &want, &e)) {
			if (mobi_fit_take(t->s, e.task, e.version,
					  roomy ? MOBI_FIT_ROOMY : MOBI_FIT_SUM,
					  out_w)) {
				*out_rec = e.task;
				mobi_store_relaxed(&t->g->last_take_ns, t->now);
				mobi_store_relaxed(&t->g->unfit, UINT64_C(0));
				/* A policy that is told of each run has it
				 * before the next is taken. */
				if (roomy && !MOB_HAS(t->policy.ops, done)) {
					take_more(t, &want, e.task);
				}
				note_next(t, queues + i, n - i, fits);
				return true;
			}
			if (MOBI_VERSION(mobi_load(&t->s->recs[e.task].word)) ==
				    e.version &&
			    MOBI_STATE(mobi_load(&t->s->recs[e.task].word)) ==
				    MOBI_T_READY) {
				/* It fitted a moment ago: back, and later. */
				(void)mobi_queues_push(t->q, &e);
				break;
			}
		}
	}
	mobi_store_relaxed(&t->g->unfit,
			   mobi_load(&t->q->total) ? UINT64_C(1) : UINT64_C(0));
	memset(&room, 0xff, sizeof(room));
	if (!(fits & 1) || fits != mobi_fit_shapes(t->sh, &room)) {
		return false;
	}
	/* Everything fits and yet nothing was named: not for want of room. */
	mobi_store_relaxed(&t->g->unfit, UINT64_C(0));
	return false;
}

/* Drains the board into the queues. */
static uint32_t drain(struct turn *t, uint32_t *recs)
{
	uint32_t n = mobi_board_take(t->s, recs, BATCH);

	/* They come from another processor: all lines at once. */
	for (uint32_t i = 0; i < n; i++) {
		const unsigned char *r = (void *)&t->s->recs[recs[i]];

		__builtin_prefetch(r, 1);
		__builtin_prefetch(r + 64);
		__builtin_prefetch(r + 128);
		__builtin_prefetch(r + 192);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (mobi_task_evaluate(t->s, recs[i])) {
			place(t, recs[i]);
		}
	}
	return n;
}

static bool begin(struct turn *t, struct mob_store *s)
{
	t->s = s;
	t->sh = sched_of(s);
	t->cur = mobi_load(&t->sh->cur);
	/* Loaded without the lock: dlopen takes its time. */
	if (mobi_policy_row_get(t->s,
				t->sh->gens[MOBI_CUR_INDEX(t->cur)].policy,
				&t->policy) < 0) {
		(void)mobi_domain_eject(t->s, t->cur,
					"a worker could not load its file");
		return false;
	}
	t->g = lock(t->s, &t->cur);
	t->q = mobi_gen_queues(t->s, MOBI_CUR_INDEX(t->cur));
	if (mobi_policy_row_get(t->s, t->g->policy, &t->policy) < 0) {
		unlock(t->s, t->g);
		return false;
	}
	t->now = mobi_quick_ns();
	t->call.policy = &t->policy;
	t->call.state = t->g->state;
	t->call.queues = t->q;
	t->call.stamp = &t->g->stamp;
	t->call.now_ns = t->now;
	t->call.rnd = &t->g->rnd;
	t->call.client = t->s->me;
	look_places(t);
	mobi_policy_begin(&t->call, t->busy, &t->up);
	return true;
}

#define TICK_NS UINT64_C(10000000)

static uint32_t drain_and_tick(struct turn *t, uint32_t *recs)
{
	bool ticks = t->now - t->g->last_tick_ns > TICK_NS;
	uint32_t n;

	if (ticks) {
		/* Also while there is other work, for ever perhaps. */
		(void)mobi_bundle_reclaim(t->s);
	}
	n = drain(t, recs);
	if (ticks) {
		t->g->last_tick_ns = t->now;
		mobi_policy_tick(&t->call);
	}
	return n;
}

bool mobi_domain_take(struct mob_store *s, uint32_t *out_rec, uint64_t *out_w,
		      uint64_t *out_now_ns, bool *out_more)
{
	struct turn
		t; /* begin sets it: zeroing it would take as long as a take */
	uint32_t recs[BATCH];
	uint32_t n;
	bool taken;

	*out_more = false;
	if (!mobi_domain_work(s) && !mobi_bundle_reclaim(s)) {
		return false;
	}
	if (!begin(&t, s)) {
		*out_more = true;
		return false;
	}
	if ((t.g->up != t.up || !t.g->started) && !update_workers(&t)) {
		unlock(s, t.g);
		*out_more = true;
		return false;
	}
	if (mobi_load(&t.g->filling)) {
		fill(&t);
	}
	n = drain_and_tick(&t, recs);
	if (last.cur) {
		tell_done(&t);
	}
	taken = take(&t, out_rec, out_w);
	*out_now_ns = t.now;
	if (taken) {
		note_taken(&t, *out_rec);
	}
	/* Not of the one that is taken at once: its line is far away. */
	for (uint32_t i = 0; i < n; i++) {
		if (!taken || recs[i] != *out_rec) {
			mobi_record_queued(s, recs[i], t.now);
		}
	}
	*out_more = mobi_load(&t.g->filling) || mobi_board_some(s);
	if (mobi_load(&t.g->stamp.strikes) >= 3 && t.g->policy) {
		char why[200];

		(void)snprintf(
			why, sizeof(why),
			"wrong answers: its op %s named queue %#llx",
			mobi_policy_op_name(mobi_load(&t.g->stamp.bad_op)),
			(unsigned long long)mobi_load(&t.g->stamp.bad_what));
		(void)mobi_domain_eject(s, t.cur, why);
	}
	unlock(s, t.g);
	if (mobi_load(&t.sh->cur) != t.cur) {
		/* Gone round while I placed: hand it on again. */
		for (uint32_t i = 0; i < n; i++) {
			mobi_board_mark(s, recs[i]);
		}
		*out_more = true;
	}
	if (mobi_load(&t.q->total) || *out_more) {
		mobi_wake_worker(s);
	}
	return taken;
}
