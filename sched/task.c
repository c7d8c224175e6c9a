/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submitting tasks, and when they are ready.
 *
 *   submit  record FREE -> BUILD(me); each return slot PENDING with LOCK(me),
 *           its producer is the record; edges: first the returns, then the
 *           objects among the arguments; the returns are unlocked; record ->
 *           READY or WAITING: from here on the task is the table's; its bit on
 *           the board; a worker is woken.
 *
 * A submitter that dies in BUILD leaves a record that the janitor retires, and
 * returns that nobody will make: freed, or LOST for who waits.
 * tests/models/submit.pml.
 */
#include "task.h"

#include "args.h"
#include "board.h"
#include "domain.h"
#include "edge.h"
#include "err.h"
#include "error.h"
#include "frame.h"
#include "gone.h"
#include "graph.h"
#include "lineage.h"
#include "module.h"
#include "opts.h"
#include "os_clock.h"
#include "record.h"
#include "repeat.h"
#include "resources.h"
#include "retry.h"
#include "site.h"
#include "slot.h"
#include "task_cancel.h"
#include "time_limits.h"
#include "timer.h"
#include "yield.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hands out the edges of a record in BUILD: its own first, then chunks. */
struct edger {
	struct mob_store *s;
	uint32_t rec;
	uint32_t gen;
	uint32_t n;     /* handed out */
	uint32_t chunk; /* current */
	uint32_t chunk_gen;
	uint32_t first; /* + 1: the list's head */
	bool needs;     /* some argument is an object */
};

static int link_edge(struct edger *g, uint64_t flags, uint64_t id)
{
	uint32_t k = g->n - MOBI_REC_EDGES;

	if (g->n < MOBI_REC_EDGES) {
		mobi_edge_push(g->s, MOBI_EDGE_OF_REC(g->rec, g->n), g->gen,
			       flags, id);
		g->n++;
		return 0;
	}
	if (k % MOBI_EDGE_CHUNK == 0) {
		int rc = mobi_chunk_new(g->s, &g->chunk, &g->chunk_gen);

		if (rc < 0) {
			return rc;
		}
		mobi_chunk_live(g->s, g->chunk, MOBI_CK_REC,
				(uint64_t)g->gen << 32 | g->rec, g->first);
		g->first = g->chunk + 1;
		mobi_task_at(g->s, g->rec)->chunk = g->first;
	}
	mobi_edge_push(g->s, MOBI_EDGE_OF_CHUNK(g->chunk, k % MOBI_EDGE_CHUNK),
		       g->chunk_gen, flags, id);
	g->n++;
	return 0;
}

/* An edge on an object of the arguments, which the caller should hold. */
static int link_arg(uint64_t id, bool needed, uint32_t arg, void *ctx)
{
	struct edger *g = ctx;
	int rc = mobi_slot_hold(g->s, id);

	(void)arg;
	g->needs |= needed;
	if (rc >= 0) {
		if (needed) {
			mobi_record_needs(g->s, g->rec, g->gen, id);
		}
		rc = link_edge(g, needed ? 0 : MOBI_EF_QUIET, id);
		(void)mobi_slot_release(g->s, id);
	}
	return rc;
}

/* ---- options ---- */

/* Before a wish can be queued. */
static void raise_max(struct mobi_sched *sh, const struct mobi_shape *wish)
{
	uint32_t max = mobi_load(&sh->max_wish);

	while (max < wish->cpu && !mobi_cas32(&sh->max_wish, &max, wish->cpu)) {
	}
	if (wish->some) {
		mobi_store(&sh->has_wishes, 1u);
	}
}

static int shape_of(struct mobi_sched *sh, const struct mob_task_opts *o,
		    struct mobi_task *t)
{
	struct mobi_shape wish = { .cpu = t->cpu };
	int rc = mobi_resources_wish(sh, o->resources, o->memory, wish.amount);

	if (rc < 0) {
		return rc;
	}
	for (uint32_t r = 0; r < MOBI_RESOURCES; r++) {
		wish.some |= wish.amount[r] != 0;
	}
	for (uint32_t i = 0; i < MOBI_SHAPES; i++) {
		struct mobi_shape *h = &sh->shape[i];
		uint32_t st = mobi_load(&h->state);

		/* A row whose writer died is passed over, as of functions. */
		if (st == MOBI_FN_FREE &&
		    mobi_cas32(&h->state, &st, MOBI_FN_WRITING)) {
			h->cpu = wish.cpu;
			h->some = wish.some;
			memcpy(h->amount, wish.amount, sizeof(h->amount));
			raise_max(sh, &wish);
			mobi_store(&h->state, MOBI_FN_READY);
			st = MOBI_FN_READY;
		}
		if (st == MOBI_FN_READY && h->cpu == wish.cpu &&
		    !memcmp(h->amount, wish.amount, sizeof(h->amount))) {
			t->shape = (uint8_t)i;
			return 0;
		}
	}
	return mobi_err(MOB_E_LIMIT,
			"mob_submit: %u different wishes for cpus and "
			"resources in one session, the most it can have",
			MOBI_SHAPES);
}

/* Client of the driver for which c works in the end. */
static uint32_t job_of(const struct mobi_context *c)
{
	const struct mob_store *s = mobi_rt.store;

	return c->def ? mobi_task_at(s, (uint32_t)c->task)->job : s->me;
}

/* The task that c runs, which has a child from now on; 0: none. */
static uint64_t parent_of(const struct mobi_context *c)
{
	struct mobi_task *t;

	if (!c->def) {
		return 0;
	}
	t = mobi_task_at(mobi_rt.store, (uint32_t)c->task);
	if (!(MOBI_TRIES_KIDS(mobi_load_relaxed(&t->tries)) & MOBI_KIDS_SOME)) {
		(void)mobi_fetch_or(&t->tries,
				    MOBI_TRIES(0, 0, 0, MOBI_KIDS_SOME, 0));
	}
	return c->task + 1;
}

uint8_t mobi_task_name_row(struct mobi_sched *sh, const char *name)
{
	char text[sizeof(sh->name[0].text)] = "";

	(void)snprintf(text, sizeof(text), "%s", name);
	for (uint32_t i = 0; i < MOBI_NAMES; i++) {
		struct mobi_name_shared *r = &sh->name[i];
		uint32_t st = mobi_load(&r->state);

		/* A row whose writer died is passed over, as of functions. */
		if (st == MOBI_FN_FREE &&
		    mobi_cas32(&r->state, &st, MOBI_FN_WRITING)) {
			memcpy(r->text, text, sizeof(text));
			mobi_store(&r->state, MOBI_FN_READY);
			st = MOBI_FN_READY;
		}
		if (st == MOBI_FN_READY && !strcmp(r->text, text)) {
			return (uint8_t)(i + 1);
		}
	}
	return 0;
}

/* ---- submit ---- */

static int fill_task(struct mobi_task *t, const struct mobi_context *c,
		     const struct mob_task_def *def,
		     const struct mob_task_opts *o, size_t n_rets)
{
	struct mobi_sched *sh = mobi_rt.sched;
	uint64_t now = mobi_quick_ns();
	uint32_t fn;
	int rc = mobi_module_number(sh, def, &fn);

	if (rc >= 0) {
		rc = mobi_retry_plan(sh, o, &t->plan);
	}
	if (rc < 0) {
		return rc;
	}
	t->fn = (uint16_t)fn;
	t->cpu = (uint32_t)(o->cpus * MOBI_CPU_UNIT + 0.5);
	rc = shape_of(sh, o, t);
	if (rc < 0) {
		return rc;
	}
	t->submit_ns = now;
	t->deadline_ns = o->deadline_ns ? now + o->deadline_ns : 0;
	mobi_store_relaxed(&t->run_ns, UINT64_C(0));
	/* Published by the record's word. */
	mobi_store_relaxed(&t->tries, o->retries < 0 ? MOBI_FOR_EVER :
						       (uint32_t)o->retries);
	t->priority = o->priority;
	t->hint = o->policy_hint;
	t->n_rets = (uint32_t)n_rets;
	t->chunk = 0;
	t->args_id = 0;
	/* Published by the record's word, too. */
	mobi_store_relaxed(&t->parent, parent_of(c));
	mobi_store_relaxed(&t->scan, 0u); /* of no matter which generation */
	t->from = (uint8_t)(mobi_rt.place == MOBI_NO_PLACE ? 0 :
							     mobi_rt.place + 1);
	t->job = (uint8_t)job_of(c);
	t->name = o->name ? mobi_task_name_row(sh, o->name) : 0;
	t->seq = mobi_fetch_add(&sh->ticket, UINT64_C(1));
	return 0;
}

/* The return slots: made, linked, and held by the caller. */
static int make_returns(struct edger *g, const struct mob_task_def *def,
			size_t n, uint64_t *ids, size_t *out_made)
{
	uint64_t producer = (uint64_t)g->gen << 32 | (g->rec + 1);
	uint32_t row = mobi_site_row_of(g->s, mobi_module_site(def));

	for (size_t i = 0; i < n; i++) {
		int rc = mobi_slot_new(g->s, 0, &ids[i]);

		if (rc < 0) {
			return rc;
		}
		/* Under the LOCK of birth: the CAS that ends it publishes. */
		mobi_store_relaxed(&g->s->slots[(uint32_t)ids[i]].producer,
				   producer);
		mobi_site_set(g->s, ids[i], row);
		*out_made = i + 1;
		rc = link_edge(g, MOBI_EF_QUIET, ids[i]);
		if (rc < 0) {
			return rc;
		}
	}
	return 0;
}

/* Encodes into the record, or into an object that the record needs. */
static int place_args(struct edger *g, const struct mobi_args_plan *p)
{
	struct mobi_task *t = mobi_task_at(g->s, g->rec);
	uint64_t id;
	void *at;
	int rc;

	t->args_len = 0; /* who reads a task that is gone finds nothing */
	if (p->total <= MOBI_TASK_INLINE) {
		t->args_len = (uint32_t)p->total;
		mobi_args_encode(p, t->args);
		return 0;
	}
	if (p->total > UINT32_MAX) {
		return mobi_err(MOB_E_LIMIT,
				"mob_submit: arguments of %llu "
				"bytes",
				(unsigned long long)p->total);
	}
	rc = mobi_slot_new(g->s, MOBI_F_OWNED, &id);
	if (rc < 0) {
		return rc;
	}
	rc = mobi_repeat_slot_value(g->s, id, p->total, MOBI_TYPE_INTERNAL,
				    &at);
	if (rc >= 0) {
		mobi_args_encode(p, at);
		mobi_slot_seal_unseen(g->s, id);
		rc = link_edge(g, MOBI_EF_QUIET, id);
		t->args_id = id;
		t->args_len = (uint32_t)p->total;
	} else {
		(void)mobi_slot_resolve_owned(g->s, id, MOBI_S_CANCELLED);
	}
	(void)mobi_slot_release(g->s, id);
	return rc;
}

uint32_t mobi_task_scanned(const struct mob_store *s, uint32_t rec,
			   uint32_t gen)
{
	uint32_t scan = mobi_load(&mobi_task_at(s, rec)->scan);

	return scan >> 20 == (gen & 0xfffu) ? scan & MOBI_SCAN_MAX : 0;
}

bool mobi_task_waits_for(const struct mob_store *s, uint32_t rec, uint32_t gen,
			 uint64_t *out_id)
{
	struct mobi_task *t = mobi_task_at(s, rec);
	struct mobi_args_walk w = { NULL, 0, 0, 0 };
	uint32_t scan = mobi_task_scanned(s, rec, gen);
	uint64_t id;

	w.at = mobi_args_at(s, rec, &w.len);
	if (!w.at) {
		return false;
	}
	for (uint32_t i = 0; mobi_args_next(&w, &id); i++) {
		if (i < scan) {
			continue;
		}
		if (!mobi_resolved(mobi_load(
			    &s->slots[(uint32_t)id % MOBI_SLOTS].word)) &&
		    MOBI_GEN(mobi_load(
			    &s->slots[(uint32_t)id % MOBI_SLOTS].word)) ==
			    MOBI_GEN(id)) {
			if (i <= MOBI_SCAN_MAX) {
				mobi_store_relaxed(
					&t->scan, MOBI_SCAN(gen, i)); /* hint */
			}
			*out_id = id;
			return true;
		}
	}
	return false;
}

/* What it needs and is GONE is to be made again: all at once. */
static void want_gone(struct mob_store *s, uint32_t rec, uint64_t first)
{
	struct mobi_args_walk w = { NULL, 0, 0, 0 };
	uint64_t id;

	if (!(mobi_load(&s->slots[(uint32_t)first % MOBI_SLOTS].word) &
	      MOBI_F_GONE)) {
		return;
	}
	w.at = mobi_args_at(s, rec, &w.len);
	while (w.at && mobi_args_next(&w, &id)) {
		mobi_gone_want(s, id);
	}
}

bool mobi_task_evaluate(struct mob_store *s, uint32_t rec)
{
	uint64_t w = mobi_load(&s->recs[rec].word);
	uint64_t id;

	if (MOBI_STATE(w) == MOBI_R_KEPT && (w & MOBI_KF_LOOK)) {
		/* It may be long: not under the lock that this one has. */
		mobi_timer_set(s, rec);
		return false;
	}
	if (MOBI_STATE(w) == MOBI_T_WAITING) {
		if (mobi_task_waits_for(s, rec, MOBI_GEN(w), &id)) {
			want_gone(s, rec, id);
			return false;
		}
		(void)mobi_cas64(&s->recs[rec].word, &w,
				 MOBI_RWORD(MOBI_GEN(w), MOBI_ATTEMPT(w), 0,
					    MOBI_T_READY));
		w = mobi_load(&s->recs[rec].word);
	}
	return MOBI_STATE(w) == MOBI_T_READY;
}

/* BUILD -> WAITING or READY, and tells the workers. */
static void hand_over(struct mob_store *s, uint32_t rec, uint32_t gen,
		      bool needs)
{
	uint64_t w = MOBI_RWORD(gen, 0, s->me, MOBI_R_BUILD);
	uint64_t id;
	bool waits = needs && mobi_task_waits_for(s, rec, gen, &id);

	mobi_record(s, MOB_EVENT_SUBMITTED, mobi_task_at(s, rec)->submit_ns,
		    rec, w, waits);
	MOB_ASSERT(mobi_cas64(
		&s->recs[rec].word, &w,
		MOBI_RWORD(gen, 0, 0, waits ? MOBI_T_WAITING : MOBI_T_READY)));
	/* What was resolved while it was in BUILD was not heard. */
	if (waits && mobi_task_waits_for(s, rec, gen, &id)) {
		want_gone(s, rec, id);
	} else {
		mobi_board_set(s, rec);
		if (s->is_worker) {
			/* This one is busy with the task that submits. */
			mobi_wake_worker(s);
		}
	}
}

/* Who cancelled the task that submits, and looked for its children, may have done
 * so before this one was there. */
static void follow_parent(struct mob_store *s, const struct mobi_context *c,
			  uint32_t rec, uint32_t gen)
{
	uint64_t w;

	if (c->def) {
		w = mobi_load(&s->recs[(uint32_t)c->task].word);
		if ((w & MOBI_TF_TOLD) && !(w & MOBI_TF_ALONE)) {
			(void)mobi_task_cancel(s, rec, gen, 0);
		}
	}
}

struct submit {
	const struct mobi_context *c;
	struct edger g;
	uint64_t *ids;
	size_t made;
	size_t n;
	uint64_t stream; /* + 1 */
};

/* The stream of a task that yields, which the caller is given in place of the
 * return. */
static int make_stream(struct submit *b, const struct mob_task_def *def,
		       struct mobi_args_plan *plan)
{
	uint64_t producer = (uint64_t)b->g.gen << 32 | (b->g.rec + 1);
	uint64_t id;
	int rc;

	if (def->n_rets != MOB_RETS_STREAM) {
		return 0;
	}
	rc = mobi_stream_make(b->g.s, def, producer, b->ids[0], &id);
	if (rc >= 0) {
		b->stream = plan->stream = id + 1;
	}
	return rc;
}

/* It was submitted: what the caller has a hold on. */
static void swap_stream(struct submit *b)
{
	if (b->stream) {
		(void)mobi_slot_release(b->g.s, b->ids[0]);
		b->ids[0] = b->stream - 1;
	}
}

static int build(struct submit *b, const struct mob_task_def *def,
		 const struct mob_task_opts *o, const struct mob_arg *args)
{
	struct mob_store *s = b->g.s;
	struct mobi_args_plan plan;
	int rc = mobi_args_plan(&plan, def, args);

	if (rc < 0) {
		return rc;
	}
	rc = mobi_rec_new(s, &b->g.rec, &b->g.gen);
	if (rc >= 0) {
		rc = fill_task(mobi_task_at(s, b->g.rec), b->c, def, o, b->n);
		if (rc >= 0) {
			rc = make_returns(&b->g, def, b->n, b->ids, &b->made);
		}
		if (rc >= 0) {
			rc = make_stream(b, def, &plan);
		}
		if (rc >= 0) {
			rc = place_args(&b->g, &plan);
		}
		if (rc >= 0) {
			rc = mobi_args_refs(&plan, link_arg, &b->g);
		}
		for (size_t i = 0; i < b->made; i++) {
			mobi_slot_unlock(s, b->ids[i]);
		}
		if (rc >= 0) {
			hand_over(s, b->g.rec, b->g.gen, b->g.needs);
			if (o->deadline_ns && !o->soft_deadline) {
				mobi_timer_set(s, b->g.rec);
			}
			follow_parent(s, b->c, b->g.rec, b->g.gen);
		}
	}
	mobi_args_end(&plan);
	return rc;
}

/* The submit failed: its returns hold the error, the record goes. */
static void undo(struct submit *b, int rc)
{
	struct mob_store *s = b->g.s;
	const char *detail = mob_err_detail(rc);
	struct mobi_error *e = mobi_error_new(
		rc, rc, detail[0] ? detail : mob_err_message(rc));

	for (size_t i = 0; i < b->made; i++) {
		(void)mobi_error_resolve(s, b->ids[i], e);
	}
	mobi_error_free(e);
	if (b->stream) {
		(void)mobi_slot_release(s, b->stream - 1);
	}
	if (b->g.s && b->g.gen != UINT32_MAX) {
		(void)mobi_rec_retire(s, b->g.rec,
				      MOBI_RWORD(b->g.gen, 0, s->me,
						 MOBI_R_BUILD),
				      mobi_task_at(s, b->g.rec)->chunk);
	}
}

static int check_call(const struct mob_task_def *def,
		      const struct mob_task_opts *o, uint32_t n_args,
		      size_t n_refs)
{
	int rc = mobi_rt_check("mob_submit");
	uint32_t rets;

	if (rc < 0) {
		return rc;
	}
	rets = def->n_rets == MOB_RETS_STREAM ? 1 : def->n_rets;
	if (n_args != def->n_args || n_refs == 0 || n_refs > INT32_MAX ||
	    (rets != MOB_RETS_MANY && n_refs != rets)) {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: task %s takes %u arguments and "
				"gives %u results; given %u and %zu",
				def->name, def->n_args, rets, n_args, n_refs);
	}
	rc = mobi_opts_check(o);
	return rc < 0 ? rc : mobi_stream_check(def, o);
}

int mob_submit_raw(const struct mob_task_def *def,
		   const struct mob_task_opts *opts, uint32_t n_args,
		   const struct mob_arg *args, size_t n_refs,
		   struct mob_ref *out_refs)
{
	struct mob_task_opts space;
	const struct mob_task_opts *o = mobi_opts_of(def, opts, &space);
	struct mobi_context *c = mobi_context();
	uint64_t one;
	struct submit b = { c, { 0 }, &one, 0, n_refs, 0 };
	int rc = check_call(def, o, n_args, n_refs);

	b.g.s = mobi_rt.store;
	b.g.gen = UINT32_MAX;
	if (rc >= 0 && c && c->capture && mobi_graph_records(c)) {
		return mobi_graph_record(c, def, o, args, n_refs, out_refs);
	}
	if (rc >= 0 && n_refs > 1) {
		b.ids = malloc(n_refs * sizeof(*b.ids));
		if (!b.ids) {
			rc = mobi_err(MOB_E_NOMEM, "mob_submit: out of memory");
		}
	}
	if (rc >= 0 && !c) {
		rc = mobi_err(MOB_E_NOMEM, "mob_submit: out of memory");
	}
	if (rc >= 0) {
		rc = build(&b, def, o, args);
		if (rc < 0) {
			undo(&b, rc);
		} else {
			swap_stream(&b);
		}
	}
	for (size_t i = 0; i < n_refs; i++) {
		if (i >= b.made) {
			out_refs[i] = mobi_error_ref(rc);
		} else if (mobi_frame_add(c->frame, b.ids[i], MOBI_HAS_HOLD) <
			   0) {
			(void)mobi_slot_release(b.g.s, b.ids[i]);
			out_refs[i] = MOB_REF_NONE;
		} else {
			out_refs[i] = mobi_ref_of(b.g.s, b.ids[i]);
		}
	}
	if (b.ids != &one) {
		free(b.ids);
	}
	return rc < 0 ? rc : 0;
}

const char *mobi_task_name(const struct mobi_sched *sh,
			   const struct mobi_task *t)
{
	if (t->name) {
		return sh->name[t->name - 1].text;
	}
	return t->fn < MOBI_FUNCTIONS ? sh->fn[t->fn].name : "?";
}
