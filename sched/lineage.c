/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lineage: records of tasks that have ended, as long as something that they made is
 * there (gone.h has the store's side).
 *
 *   keep     RUN(me) -> KEPT(me); the edges on the returns are released, those on
 *            the arguments are made weak; KEPT(me) -> KEPT.
 *   look     KEPT -> KEPT(me), or LOOK for who has it. Nothing is left of its
 *            returns: RETIRED. One of them is GONE and wanted: strong edges on the
 *            arguments and on the returns; WAITING, attempt + 1. Else back to KEPT.
 *   evict    KEPT -> KEPT(me), strong edges; every argument has its value, or its own
 *            record, found the same way, is STRONG: the value goes. KEPT, STRONG.
 *   janitor  KEPT(dead) -> KEPT(me), and goes on as look does.
 *
 * So what was dropped for room can be made again for sure: a record that is STRONG
 * keeps the values of its arguments, or rows of objects whose records are STRONG.
 * What was lost otherwise is made again if the arguments can be.
 *
 * A task that may be run once only (retries 0) is not KEPT. At most MOBULA_LINEAGE
 * are: then one goes for each new one, unless something of it is GONE that is needed.
 */
#include "lineage.h"

#include "board.h"
#include "conf.h"
#include "edge.h"
#include "err.h"
#include "fault.h"
#include "gone.h"
#include "log.h"
#include "os_clock.h"
#include "place.h"
#include "pool.h"
#include "record.h"
#include "retry.h"
#include "slot.h"
#include "spill.h"
#include "task.h"
#include "timer.h"

/* Without a spill directory smaller values than this are never lost. */
#define KEEP_MIN 4096u
/* Records that one eviction may have to itself, and that are looked at for one that
 * may go. */
#define CLOSURE 16u
#define HAND_LOOKS 256u
/* Of records with many edges: these are for the tasks that are to run. */
#define KEPT_CHUNKS (MOBI_EDGE_CHUNKS / 16)

int mobi_lineage_init(struct mobi_sched *sh)
{
	uint64_t max;
	int rc = mobi_conf_u64(MOBI_CONF_ID_lineage, &max);

	sh->lineage_max = rc < 0 ? 0 : (uint32_t)max;
	return rc;
}

/* ---- what is left of its returns ---- */

struct left {
	uint32_t n_rets;
	bool kept;   /* some value that can be lost, or row of one */
	bool gone;   /* a value is */
	bool wanted; /* and somebody waits for it */
	bool needed; /* or somebody has a ref of it */
};

static void left_of(struct mob_store *s, const struct mobi_task_edge *e,
		    void *arg)
{
	struct left *l = arg;
	uint64_t id = mobi_load(&mobi_edge_at(s, e->n)->ref);
	struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	uint64_t w = mobi_load(&o->word);

	if (e->i >= l->n_rets || MOBI_GEN(w) != MOBI_GEN(id) ||
	    !mobi_living(w) || !mobi_gone_can(o, w)) {
		return;
	}
	l->kept = true;
	if (w & MOBI_F_GONE) {
		l->gone = true;
		l->wanted |= mobi_gone_wanted(s, o);
		l->needed |= (mobi_load(&o->hold) | mobi_load(&o->view)) ||
			     mobi_load(&mobi_weak_of(o)->n) <
				     mobi_load(&o->n_edges);
	}
}

static struct left look_left(struct mob_store *s, uint32_t rec, uint32_t gen)
{
	struct left l = { .n_rets = mobi_task_at(s, rec)->n_rets };

	mobi_task_edges(s, rec, gen, left_of, &l);
	return l;
}

/* ---- its edges ---- */

struct edges {
	uint32_t n_rets;
	bool strong;
	bool failed;
};

/* Those on returns go, those on arguments are weak unless they are to be strong. */
static void settle_one(struct mob_store *s, const struct mobi_task_edge *e,
		       void *arg)
{
	const struct edges *g = arg;
	struct mobi_edge *edge = mobi_edge_at(s, e->n);
	uint64_t w = mobi_load(&edge->word);
	uint64_t id = mobi_load(&edge->ref);
	const struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];

	if (MOBI_STATE(w) != MOBI_E_LIVE) {
		return;
	}
	if (e->i < g->n_rets) {
		mobi_edge_release(s, e->n, e->gen);
		/* To have it free when it is needed again. */
		mobi_slot_look(s, (uint32_t)id, MOBI_GEN(id));
	} else if (!g->strong && mobi_gone_can(o, mobi_load(&o->word))) {
		mobi_edge_weaken(s, e->n, e->gen);
	}
}

static void settle(struct mob_store *s, uint32_t rec, uint32_t gen, bool strong)
{
	struct edges g = { mobi_task_at(s, rec)->n_rets, strong, false };

	mobi_task_edges(s, rec, gen, settle_one, &g);
}

static void strengthen_one(struct mob_store *s, const struct mobi_task_edge *e,
			   void *arg)
{
	const struct edges *g = arg;
	const struct mobi_edge *edge = mobi_edge_at(s, e->n);
	uint64_t id = mobi_load(&edge->ref);

	if (e->i < g->n_rets || !(mobi_load(&edge->word) & MOBI_EF_WEAK)) {
		return;
	}
	/* Held: who is about to drop the value looks once more. */
	if (mobi_slot_hold(s, id) >= 0) {
		mobi_edge_strengthen(s, e->n, e->gen);
		(void)mobi_slot_release(s, id);
	}
}

static void strengthen(struct mob_store *s, uint32_t rec, uint32_t gen)
{
	struct edges g = { mobi_task_at(s, rec)->n_rets, true, false };

	mobi_task_edges(s, rec, gen, strengthen_one, &g);
}

/* An edge on each return that is there: nothing frees it while the task runs. */
static void link_return(struct mob_store *s, const struct mobi_task_edge *e,
			void *arg)
{
	struct edges *g = arg;
	struct mobi_edge *edge = mobi_edge_at(s, e->n);
	uint64_t id = mobi_load(&edge->ref);

	if (e->i >= g->n_rets || g->failed ||
	    MOBI_STATE(mobi_load(&edge->word)) == MOBI_E_LIVE) {
		return;
	}
	if (mobi_slot_hold(s, id) < 0) {
		return; /* it is no more */
	}
	if (MOBI_STATE(mobi_load(&edge->word)) != MOBI_E_FREE) {
		mobi_slot_look(s, (uint32_t)id, MOBI_GEN(id));
	}
	if (MOBI_STATE(mobi_load(&edge->word)) == MOBI_E_FREE) {
		mobi_edge_push(s, e->n, e->gen, MOBI_EF_QUIET, id);
	} else {
		g->failed = true; /* under the LOCK of another */
	}
	(void)mobi_slot_release(s, id);
}

/* ---- the record ---- */

/* KEPT without an owner -> KEPT(me). False: it is another's, who looks again, or in
 * another state. */
static bool take(struct mob_store *s, uint32_t rec, uint32_t gen, uint64_t flag)
{
	uint64_t w = mobi_load(&s->recs[rec].word);
	uint64_t to;

	do {
		if (MOBI_GEN(w) != gen || MOBI_STATE(w) != MOBI_R_KEPT) {
			return false;
		}
		to = MOBI_ROWNER(w) ? w | flag : w | (uint64_t)s->me << 16;
	} while (!mobi_cas64(&s->recs[rec].word, &w, to));
	return !MOBI_ROWNER(w);
}

/* Of a record that is RETIRED: rows of which only weak edges are left are LOST. */
static void lose_gone(struct mob_store *s, const struct mobi_task_edge *e,
		      void *arg)
{
	const struct left *l = arg;
	uint64_t id = mobi_load(&mobi_edge_at(s, e->n)->ref);
	struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	uint64_t w = mobi_load(&o->word);

	if (e->i < l->n_rets && MOBI_GEN(w) == MOBI_GEN(id) &&
	    (w & MOBI_F_GONE) && MOBI_STATE(w) == MOBI_S_PENDING) {
		mobi_store_relaxed(&o->type, MOBI_TYPE_WHY_LOST);
		mobi_store_relaxed(&o->size, UINT64_C(0));
		(void)mobi_slot_resolve(s, id, MOBI_S_LOST);
	}
}

static void take_from(mobi_a32 *count, uint32_t n)
{
	uint32_t have = mobi_load(count);

	while (!mobi_cas32(count, &have, have > n ? have - n : 0)) {
	}
}

/* Chunks of edges that a record with so many has. */
static uint32_t chunks_of(const struct mob_store *s, uint32_t rec)
{
	uint32_t n = 0;

	/* The janitor asks without having it. */
	for (uint32_t c = mobi_task_at(s, rec)->chunk;
	     c && c <= MOBI_EDGE_CHUNKS && n < MOBI_EDGE_CHUNKS;
	     c = mobi_load(&s->chunks[c - 1].next)) {
		n++;
	}
	return n;
}

/* One record less. */
static void count_out(struct mob_store *s, uint32_t chunks)
{
	struct mobi_sched *sh = s->sched;

	take_from(&sh->kept, 1);
	take_from(&sh->kept_chunks, chunks);
}

static void lose_all(struct mob_store *s, uint32_t rec, uint32_t gen)
{
	struct left l = { .n_rets = mobi_task_at(s, rec)->n_rets };

	mobi_task_edges(s, rec, gen, lose_gone, &l);
}

/* KEPT(me), under the word w -> RETIRED. */
static bool retire(struct mob_store *s, uint32_t rec, uint64_t w)
{
	uint32_t chunks = chunks_of(s, rec);

	if (!mobi_rec_retire_flat(s, rec, w, mobi_task_at(s, rec)->chunk,
				  lose_all)) {
		return false;
	}
	count_out(s, chunks);
	return true;
}

/* KEPT(me) -> WAITING. False: an edge is under the LOCK of another for now. */
static bool run_again(struct mob_store *s, uint32_t rec)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_task *t = mobi_task_at(s, rec);
	uint64_t w = mobi_load(&s->recs[rec].word);
	uint32_t next = (MOBI_ATTEMPT(w) + 1) & 255u;
	uint32_t chunks = chunks_of(s, rec);
	uint32_t tries;
	struct edges g = { t->n_rets, true, false };

	strengthen(s, rec, MOBI_GEN(w));
	mobi_task_edges(s, rec, MOBI_GEN(w), link_return, &g);
	if (g.failed) {
		return false;
	}
	MOBI_FAULT("lineage.linked");
	t->deadline_ns = 0; /* it was met */
	mobi_store(&t->parent, UINT64_C(0));
	mobi_store(&t->scan, 0u);
	mobi_store(&t->run_ns, mobi_quick_ns());
	/* No attempt before this one is charged. */
	tries = mobi_load(&t->tries);
	mobi_store(&t->tries,
		   MOBI_TRIES(next, next, 0,
			      MOBI_TRIES_KIDS(tries) | MOBI_KIDS_REMADE,
			      MOBI_TRIES_RETRIES(tries)));
	mobi_record(s, MOB_EVENT_REMADE, mobi_quick_ns(), rec, w, 0);
	while (!mobi_cas64(&s->recs[rec].word, &w,
			   MOBI_RWORD(MOBI_GEN(w), next, 0, MOBI_T_WAITING))) {
	}
	MOBI_FAULT("lineage.again");
	count_out(s, chunks);
	(void)mobi_fetch_add(&sh->remade, UINT64_C(1));
	mobi_board_set(s, rec);
	mobi_wake_worker(s);
	return true;
}

/* Ends what take began. */
static void give(struct mob_store *s, uint32_t rec)
{
	mobi_a64 *word = &s->recs[rec].word;
	bool stuck = false;

	for (;;) {
		uint64_t w = mobi_load(word);
		uint32_t gen = MOBI_GEN(w);
		uint64_t flags = 0;
		struct left l;

		if (w & MOBI_KF_LOOK) {
			(void)mobi_cas64(word, &w, w & ~MOBI_KF_LOOK);
			continue;
		}
		l = look_left(s, rec, gen);
		settle(s, rec, gen, l.gone && (w & MOBI_KF_STRONG));
		l = look_left(s, rec, gen);
		if (!l.kept) {
			if (retire(s, rec, w)) {
				return;
			}
			continue;
		}
		if (l.gone && (l.wanted || (w & MOBI_KF_WANT)) && !stuck) {
			if (run_again(s, rec)) {
				return;
			}
			stuck = true;
			continue;
		}
		flags |= l.gone ? w & MOBI_KF_STRONG : 0;
		flags |= stuck ? MOBI_KF_WANT : 0;
		if (mobi_cas64(word, &w,
			       MOBI_RWORD(gen, MOBI_ATTEMPT(w), 0,
					  MOBI_R_KEPT) |
				       flags)) {
			break;
		}
	}
	if (stuck) {
		mobi_timer_set(s, rec);
	}
}

void mobi_lineage_look(struct mob_store *s, uint32_t rec)
{
	uint64_t w = mobi_load(&s->recs[rec].word);

	if (take(s, rec, MOBI_GEN(w), MOBI_KF_LOOK)) {
		MOBI_FAULT("lineage.taken");
		give(s, rec);
	}
}

bool mobi_lineage_take(struct mob_store *s, uint64_t producer)
{
	return take(s, ((uint32_t)producer - 1) % MOBI_RECS, MOBI_GEN(producer),
		    0);
}

void mobi_lineage_give(struct mob_store *s, uint64_t producer)
{
	give(s, ((uint32_t)producer - 1) % MOBI_RECS);
}

/* ---- keeping ---- */

static void worth_one(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	bool *worth = arg;
	const struct mobi_slot *o = &s->slots[(uint32_t)id];

	(void)i;
	*worth |= mobi_gone_can(o, mobi_load(&o->word)) &&
		  (mobi_spills(s) || mobi_load(&o->size) >= KEEP_MIN);
}

/* One that may go: nothing that is GONE of it is needed by more than the lineage of
 * others. */
static bool forget_one(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);

	for (uint32_t i = 0; i < HAND_LOOKS && end; i++) {
		uint32_t rec = mobi_fetch_add(&sh->kept_hand, 1u) % end;
		uint64_t w = mobi_load(&s->recs[rec].word);
		struct left l;

		if (MOBI_STATE(w) != MOBI_R_KEPT ||
		    !take(s, rec, MOBI_GEN(w), 0)) {
			continue;
		}
		w = mobi_load(&s->recs[rec].word);
		l = look_left(s, rec, MOBI_GEN(w));
		if (!l.needed && !(w & (MOBI_KF_LOOK | MOBI_KF_STRONG))) {
			if (retire(s, rec, w)) {
				(void)mobi_fetch_add(&sh->forgotten,
						     UINT64_C(1));
				return true;
			}
		}
		give(s, rec);
	}
	return false;
}

/* One record more, if there is a place for it. */
static bool count_in(struct mob_store *s, uint32_t chunks)
{
	struct mobi_sched *sh = s->sched;

	if (mobi_fetch_add(&sh->kept_chunks, chunks) + chunks > KEPT_CHUNKS) {
		take_from(&sh->kept_chunks, chunks);
		return false;
	}
	if (mobi_fetch_add(&sh->kept, 1u) >= sh->lineage_max &&
	    !forget_one(s)) {
		count_out(s, chunks);
		return false;
	}
	return true;
}

bool mobi_lineage_keep(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct mobi_sched *sh = s->sched;
	const struct mobi_task *t = mobi_task_at(s, rec);
	bool worth = false;
	uint64_t next;

	if (!sh->lineage_max || !mobi_retry_given(t)) {
		return false;
	}
	mobi_task_returns(s, rec, worth_one, &worth);
	if (!worth || !count_in(s, chunks_of(s, rec))) {
		return false;
	}
	if (!mobi_load_relaxed(&s->hdr->has_kept)) {
		mobi_store(&s->hdr->has_kept, 1u);
	}
	w = mobi_load(&s->recs[rec].word);
	do {
		next = MOBI_RWORD(MOBI_GEN(w), MOBI_ATTEMPT(w), s->me,
				  MOBI_R_KEPT);
	} while (!mobi_cas64(&s->recs[rec].word, &w, next));
	MOBI_FAULT("lineage.kept");
	give(s, rec);
	return true;
}

/* ---- eviction ---- */

struct closure {
	struct mob_store *s;
	uint32_t n;
	uint32_t rec[CLOSURE];
	bool was_strong[CLOSURE];
	bool cheaply;
	bool failed;
	uint32_t n_rets; /* of the one that is looked at */
};

static void set_strong(struct mob_store *s, uint32_t rec, bool on)
{
	uint64_t w = mobi_load(&s->recs[rec].word);

	while (!mobi_cas64(&s->recs[rec].word, &w,
			   on ? w | MOBI_KF_STRONG : w & ~MOBI_KF_STRONG)) {
	}
}

/* One more record, that of `producer`: this process has it from now on. */
static void close_over(struct closure *c, uint64_t producer)
{
	uint32_t rec = ((uint32_t)producer - 1) % MOBI_RECS;
	uint64_t w = mobi_load(&c->s->recs[rec].word);

	for (uint32_t i = 0; i < c->n; i++) {
		if (c->rec[i] == rec) {
			return;
		}
	}
	/* Of one that nobody is about to make so, or not. */
	if (c->n && (w & MOBI_KF_STRONG) && MOBI_STATE(w) == MOBI_R_KEPT &&
	    !MOBI_ROWNER(w) && MOBI_GEN(w) == MOBI_GEN(producer)) {
		return;
	}
	if (c->n == CLOSURE || (c->n && c->cheaply) ||
	    !take(c->s, rec, MOBI_GEN(producer), 0)) {
		c->failed = true;
		return;
	}
	w = mobi_load(&c->s->recs[rec].word);
	c->was_strong[c->n] = w & MOBI_KF_STRONG;
	c->rec[c->n++] = rec;
}

/* Is the value of an argument there, or can it be made? */
static void close_arg(struct mob_store *s, const struct mobi_task_edge *e,
		      void *arg)
{
	struct closure *c = arg;
	const struct mobi_edge *edge = mobi_edge_at(s, e->n);
	uint64_t ew = mobi_load(&edge->word);
	uint64_t id = mobi_load(&edge->ref);
	const struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	uint64_t w = mobi_load(&o->word);

	if (e->i < c->n_rets || c->failed || MOBI_STATE(ew) != MOBI_E_LIVE) {
		return;
	}
	if (MOBI_STATE(w) == MOBI_S_PENDING && (w & MOBI_F_GONE)) {
		close_over(c, mobi_load(&o->producer));
	} else if (!mobi_resolved(w) || MOBI_STATE(w) != MOBI_S_SEALED) {
		c->failed = true;
	}
}

/* In less time than to a file and back, at 1 GB/s. */
static bool is_cheap(const struct mob_store *s, const struct mobi_slot *o)
{
	const struct mobi_sched *sh = s->sched;
	uint32_t rec = ((uint32_t)mobi_load(&o->producer) - 1) % MOBI_RECS;
	const struct mobi_task *t = mobi_task_at(s, rec);
	uint64_t ns = mobi_load_relaxed(
		&sh->fn[t->fn % MOBI_FUNCTIONS].cost_ns); /* a hint */

	return ns <= 2 * mobi_load(&o->size);
}

bool mobi_lineage_evict(struct mob_store *s, uint64_t id, bool cheaply)
{
	struct mobi_sched *sh = s->sched;
	const struct mobi_slot *o = &s->slots[(uint32_t)id];
	struct closure c = { .s = s, .cheaply = cheaply };
	bool gone = false;

	if (cheaply && !is_cheap(s, o)) {
		return false;
	}
	close_over(&c, mobi_load(&o->producer));
	for (uint32_t i = 0; i < c.n && !c.failed; i++) {
		const struct mobi_task *t = mobi_task_at(s, c.rec[i]);
		uint64_t w = mobi_load(&s->recs[c.rec[i]].word);

		set_strong(s, c.rec[i], true);
		strengthen(s, c.rec[i], MOBI_GEN(w));
		c.n_rets = t->n_rets;
		mobi_task_edges(s, c.rec[i], MOBI_GEN(w), close_arg, &c);
	}
	if (!c.failed && c.n) {
		MOBI_FAULT("lineage.secured");
		gone = mobi_gone_evict(s, id, cheaply);
	}
	for (uint32_t i = 0; i < c.n; i++) {
		if (!gone && !c.was_strong[i]) {
			set_strong(s, c.rec[i], false);
		}
		give(s, c.rec[i]);
	}
	if (gone) {
		(void)mobi_fetch_add(&sh->evicted, UINT64_C(1));
	}
	return gone;
}

/* ---- comparing ---- */

struct mobi_lineage_was mobi_lineage_was(const struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];

	return (struct mobi_lineage_was){
		.size = mobi_load(&o->size),
		.type = mobi_load(&o->type),
		.sum = mobi_load(&mobi_weak_of(o)->sum),
		.gone = mobi_load(&o->word) & MOBI_F_GONE,
	};
}

void mobi_lineage_compare(struct mob_store *s, uint32_t rec, uint64_t id,
			  const struct mobi_lineage_was *was)
{
	struct mobi_sched *sh = s->sched;
	const struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t size = mobi_load(&o->size);
	uint32_t type = mobi_load(&o->type);

	if (!was->gone) {
		return;
	}
	if (size == was->size && type == was->type &&
	    (!was->sum ||
	     was->sum ==
		     mobi_gone_sum(mobi_slot_bytes(s, (uint32_t)id), size))) {
		return;
	}
	(void)mobi_fetch_add(&sh->mismatches, 1u);
	mobi_log(MOBI_LOG_WARN,
		 "task %s made a result again that is not as before (%llu "
		 "bytes, %llu before%s): what it gives depends on more than "
		 "its "
		 "arguments; with retries = 0 it is never run again",
		 mobi_task_name(sh, mobi_task_at(s, rec)),
		 (unsigned long long)size, (unsigned long long)was->size,
		 size == was->size ? ", of other content" : "");
}

/* ---- the janitor ---- */

/* Who was to look may have died before. */
static bool is_due(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct left l = look_left(s, rec, MOBI_GEN(w));

	return !l.kept || (l.gone && l.wanted) ||
	       (w & (MOBI_KF_LOOK | MOBI_KF_WANT));
}

void mobi_lineage_reap(struct mob_store *s, uint64_t dead)
{
	struct mobi_sched *sh = s->sched;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);
	uint32_t n = 0;
	uint32_t chunks = 0;

	if (!mobi_load(&s->hdr->has_kept)) {
		return;
	}
	for (uint32_t rec = 0; rec < end; rec++) {
		uint64_t w = mobi_load(&s->recs[rec].word);
		uint32_t owner = MOBI_ROWNER(w);

		if (MOBI_STATE(w) != MOBI_R_KEPT) {
			continue;
		}
		if (owner && owner < MOBI_CLIENTS && (dead & MOBI_BIT(owner))) {
			uint64_t mine = (w & ~((uint64_t)255 << 16)) |
					(uint64_t)s->me << 16;

			if (mobi_cas64(&s->recs[rec].word, &w, mine)) {
				give(s, rec);
			}
		} else if (is_due(s, rec, w)) {
			/* Or who has it does. */
			mobi_lineage_look(s, rec);
		}
		if (MOBI_STATE(mobi_load(&s->recs[rec].word)) == MOBI_R_KEPT) {
			n++;
			chunks += mobi_task_at(s, rec)->chunk ?
					  chunks_of(s, rec) :
					  0;
		}
	}
	mobi_store(&sh->kept, n);
	mobi_store(&sh->kept_chunks, chunks);
}
