/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a task and ending it.
 *
 *   finish  seal the returns; THEN release the edges; THEN the record goes, or it is
 *           KEPT (lineage.c).
 *
 * So a return that is pending means that the task has not ended: the janitor
 * runs it again for a dead worker only then.
 */
#include "args.h"
#include "board.h"
#include "cancel.h"
#include "domain.h"
#include "edge.h"
#include "err.h"
#include "error.h"
#include "fault.h"
#include "frame.h"
#include "lineage.h"
#include "module.h"
#include "node.h"
#include "os_clock.h"
#include "os_run.h"
#include "output.h"
#include "record.h"
#include "resources.h"
#include "retry.h"
#include "slot.h"
#include "surround.h"
#include "task.h"
#include "task_cancel.h"
#include "time_limits.h"
#include "timer.h"
#include "value.h"
#include "yield.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So often it is tried to make again what found no room: for about ten minutes. */
#define NO_ROOM_TRIES 15u
#define FORKED_CHILD 127 /* exit code of one that returned from a task */

void mobi_task_edges(struct mob_store *s, uint32_t rec, uint32_t gen,
		     void (*fn)(struct mob_store *s,
				const struct mobi_task_edge *e, void *arg),
		     void *arg)
{
	uint32_t chunk = mobi_task_at(s, rec)->chunk;
	uint32_t end = MOBI_REC_EDGES;

	for (uint32_t k = 0; k < MOBI_REC_EDGES; k++) {
		fn(s,
		   &(struct mobi_task_edge){ MOBI_EDGE_OF_REC(rec, k), gen, k },
		   arg);
	}
	/* The list starts with the last chunk. */
	for (uint32_t c = chunk; c; c = mobi_load(&s->chunks[c - 1].next)) {
		end += MOBI_EDGE_CHUNK;
	}
	for (uint32_t c = chunk; c; c = mobi_load(&s->chunks[c - 1].next)) {
		uint32_t of = MOBI_GEN(mobi_load(&s->chunks[c - 1].word));

		end -= MOBI_EDGE_CHUNK;
		for (uint32_t k = 0; k < MOBI_EDGE_CHUNK; k++) {
			fn(s,
			   &(struct mobi_task_edge){
				   MOBI_EDGE_OF_CHUNK(c - 1, k), of, end + k },
			   arg);
		}
	}
}

struct returns {
	uint32_t n;
	void (*fn)(struct mob_store *s, uint64_t id, uint32_t i, void *arg);
	void *arg;
};

static void each_return(struct mob_store *s, const struct mobi_task_edge *e,
			void *arg)
{
	const struct returns *r = arg;
	const struct mobi_edge *edge = mobi_edge_at(s, e->n);

	if (e->i < r->n && MOBI_STATE(mobi_load(&edge->word)) == MOBI_E_LIVE) {
		r->fn(s, mobi_load(&edge->ref), e->i, r->arg);
	}
}

void mobi_task_returns(struct mob_store *s, uint32_t rec,
		       void (*fn)(struct mob_store *s, uint64_t id, uint32_t i,
				  void *arg),
		       void *arg)
{
	struct returns r = { mobi_task_at(s, rec)->n_rets, fn, arg };

	mobi_task_edges(s, rec, 0, each_return, &r);
}

static void fail_one(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	(void)i;
	(void)mobi_error_resolve(s, id, arg);
}

bool mobi_task_retire(struct mob_store *s, uint32_t rec, uint64_t w)
{
	uint32_t chunk = mobi_task_at(s, rec)->chunk;

	while (!mobi_rec_retire(s, rec, w, chunk)) {
		uint64_t now = mobi_load(&s->recs[rec].word);

		if ((now ^ w) & ~MOBI_TF_MASK) {
			return false;
		}
		w = now;
	}
	return true;
}

void mobi_task_fail(struct mob_store *s, uint32_t rec, struct mobi_error *e)
{
	mobi_task_returns(s, rec, fail_one, e);
}

struct mobi_error *mobi_task_place_error(struct mobi_error *e,
					 const struct mob_task_def *def,
					 const char *name, uint32_t attempt)
{
	char text[MOBI_ERROR_TEXT_MAX + 1];
	struct mobi_error *out;
	struct mobi_error like = { .attempt = attempt + 1,
				   .worker = mobi_rt.store->me,
				   .line = def->line };

	(void)snprintf(text, sizeof(text), "%s (task %s, %s:%u)", e->text, name,
		       def->file, def->line);
	if (e->name_len) { /* it came from another task: that is its place */
		out = mobi_error_retold(e, text);
		mobi_error_free(e);
		return out;
	}
	out = mobi_error_make(e->rc, e->code,
			      &(struct mobi_error_parts){ text, name, def->file,
							  mobi_error_payload(e),
							  e->payload_len },
			      &like);
	mobi_error_free(e);
	return out;
}

/* ---- results ---- */

struct collect {
	struct mobi_context *c;
	const struct mob_task_def *def;
	unsigned char *at; /* values in a row, or NULL */
	void *const *ret;
	uint32_t rec;
	int rc;
};

/* Puts one value in its return, not sealed yet. */
static void store_one(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	struct collect *k = arg;
	const struct mob_type *t =
		k->def->rets[k->def->n_rets == MOB_RETS_MANY ? 0 : i];
	const void *value = k->at ? k->at + (size_t)i * t->size : k->ret[i];
	struct mobi_lineage_was was;

	if (k->c->as_value) {
		t = k->c->as->rets[0];
		value = k->c->as_value;
	}
	/* An attempt before this one may have died among its seals. */
	if (k->rc >= 0 &&
	    !mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
		was = mobi_lineage_was(s, id);
		k->rc = mobi_value_return(k->c, id, t, value);
		if (k->rc >= 0) {
			mobi_lineage_compare(s, k->rec, id, &was);
		}
	}
}

/* The return of one that yielded: how many items. */
static void store_count(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	struct collect *k = arg;
	uint64_t n = mobi_stream_yielded(k->c);
	void *at;

	(void)i;

	if (!mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
		k->rc = mobi_slot_value(s, id, sizeof(n), MOB_TYPE_U64, &at);
		if (k->rc >= 0) {
			memcpy(at, &n, sizeof(n));
		}
	}
}

static void seal_one(struct mob_store *s, uint64_t id, uint32_t i, void *arg)
{
	(void)i;
	(void)arg;
	(void)mobi_slot_resolve(s, id, MOBI_S_SEALED);
}

/* Calls the function with its results' space; 0 or an error of the results. */
static int call(struct mobi_context *c, const struct mob_task_def *def,
		uint32_t rec, struct mobi_args_ready *args)
{
	struct mob_store *s = mobi_rt.store;
	uint32_t n = mobi_task_at(s, rec)->n_rets;
	bool many = def->n_rets == MOB_RETS_MANY;
	bool stream = def->n_rets == MOB_RETS_STREAM;
	size_t size = 0;
	uint32_t kinds = stream ? 0 : many ? 1 : def->n_rets;
	_Alignas(16) unsigned char small[512];
	unsigned char *space = small;
	void *ret[MOB_RETS_MAX];
	struct collect k = { c, def, NULL, ret, rec, 0 };
	struct mob_cancel *was;
	struct mobi_cancel_watch watched;

	for (uint32_t i = 0; i < kinds; i++) {
		size += ((size_t)def->rets[i]->size + 15u) / 16u * 16u;
	}
	if (many) {
		size = (size_t)n * def->rets[0]->size;
	}
	if (size > sizeof(small)) {
		space = malloc(size);
		if (!space) {
			return mobi_err(MOB_E_NOMEM,
					"no memory for %zu bytes of results",
					size);
		}
	}
	memset(space, 0, size);
	for (uint32_t i = 0, at = 0; i < kinds; i++) {
		ret[i] = space + at;
		at += (def->rets[i]->size + 15u) / 16u * 16u;
	}
	k.at = many ? space : NULL;
	/* One that waits may run this one: its token is its own. */
	was = mob_cancel_use(NULL);
	watched = mobi_cancel_watch(
		(struct mobi_cancel_watch){ &s->recs[rec].word, MOBI_TF_TOLD });
	def->run(args->arg, ret, n);
	c->ran = true;
	(void)mobi_cancel_watch(watched);
	(void)mob_cancel_use(was);
	if (!mobi_load_relaxed(s->not_forked)) {
		/* A child that the task forked comes back here too: it is no
		 * second worker. */
		mobi_exit_now(FORKED_CHILD);
	}
	mobi_output_mark(); /* before anybody can see that it has ended */
	/* What it returns then may be made of values that were not there. */
	c->cancelled = (mobi_load(&s->recs[rec].word) & MOBI_TF_TOLD) != 0;
	if (!c->error && !c->cancelled) {
		mobi_task_returns(s, rec, stream ? store_count : store_one, &k);
		if (k.rc >= 0) {
			mobi_task_returns(s, rec, seal_one, NULL);
		}
	}
	if (space != small) {
		free(space);
	}
	return k.rc;
}

/* What is in files is waited for. A task that is told to end meanwhile does. */
static int load_args(struct mob_store *s, uint32_t rec, struct mobi_context *c,
		     const struct mob_task_def *def,
		     struct mobi_args_ready *args,
		     struct mobi_error **out_error)
{
	struct mob_cancel *was = mob_cancel_use(NULL);
	struct mobi_cancel_watch watched = mobi_cancel_watch(
		(struct mobi_cancel_watch){ &s->recs[rec].word, MOBI_TF_TOLD });
	const unsigned char *at;
	uint64_t len;
	int rc;

	at = mobi_args_at(s, rec, &len);
	rc = mobi_args_load(def, at, len, args, out_error);
	(void)mobi_cancel_watch(watched);
	(void)mob_cancel_use(was);
	if (rc < 0 && (mobi_load(&s->recs[rec].word) & MOBI_TF_TOLD)) {
		c->cancelled = true;
		mobi_error_free(*out_error);
		*out_error = NULL;
	}
	return rc;
}

/* The same, with what surrounds the task. */
static int call_inside(struct mobi_context *c, const struct mob_task_def *def,
		       uint32_t rec, struct mobi_args_ready *args)
{
	const struct mobi_sched *sh = mobi_rt.sched;
	const struct mobi_plan *p =
		mobi_retry_plan_of(sh, mobi_task_at(mobi_rt.store, rec));
	uint32_t before;
	int rc = mobi_surround_enter(sh, p ? p->surround : 0, &before);

	if (rc >= 0) {
		rc = call(c, def, rec, args);
		mobi_surround_leave(sh, before);
	}
	return rc;
}

/* Runs it; the error that its returns are to hold, or NULL if they are sealed, or it
 * has been put aside. *out_failed: they are not sealed. */
static struct mobi_error *attempt(struct mob_store *s, uint32_t rec, uint64_t w,
				  struct mobi_context *c, bool *out_failed)
{
	struct mobi_task *t = mobi_task_at(s, rec);
	const struct mob_task_def *def = mobi_module_def(mobi_rt.sched, t->fn);
	const char *name = mobi_task_name(mobi_rt.sched, t);
	struct mobi_args_ready args;
	struct mobi_error *e = NULL;
	int rc;

	*out_failed = true;
	if (!def) {
		char text[200];

		(void)snprintf(text, sizeof(text),
			       "worker %u does not know task %s: it was "
			       "started "
			       "from another build",
			       mobi_proc_self().pid, name);
		return mobi_error_new(MOB_E_VERSION, MOB_E_VERSION, text);
	}
	c->def = def;
	rc = load_args(s, rec, c, def, &args, &e);
	if (rc == MOBI_ARGS_GONE && !c->cancelled) {
		c->aside = true;
		mobi_args_drop(&args);
		return NULL;
	}
	if (rc >= 0 && def->n_rets == MOB_RETS_STREAM) {
		rc = mobi_stream_begin(s, c, def, w);
		/* It may be cancelled by that. */
		c->cancelled = (mobi_load(&s->recs[rec].word) & MOBI_TF_TOLD) !=
			       0;
	}
	if (c->cancelled) {
		e = mobi_task_cancelled_error(s, rec,
					      mobi_load(&s->recs[rec].word));
	} else if (rc >= 0) {
		rc = call_inside(c, def, rec, &args);
		if (c->cancelled) {
			e = mobi_task_cancelled_error(
				s, rec, mobi_load(&s->recs[rec].word));
		} else if (c->error) {
			e = mobi_task_place_error(c->error, c->as ? c->as : def,
						  c->as ? c->as->name : name,
						  MOBI_ATTEMPT(w));
			c->error = NULL;
		} else if (rc >= 0) {
			*out_failed = false;
		}
	}
	if (rc < 0 && !e && *out_failed && !c->cancelled) {
		e = mobi_task_place_error(mobi_error_new(rc, rc,
							 mob_err_detail(rc)),
					  def, name, MOBI_ATTEMPT(w));
	}
	mobi_args_drop(&args);
	return e;
}

static void learn(struct mobi_sched *sh, uint32_t fn, uint64_t ns)
{
	struct mobi_fn_shared *f = &sh->fn[fn % MOBI_FUNCTIONS];
	uint64_t old = mobi_load_relaxed(&f->cost_ns); /* a hint */
	uint64_t mean = old ? old - old / 8 + ns / 8 : ns;

	mobi_store_relaxed(&f->cost_ns, mean ? mean : 1); /* a hint */
	mobi_store_relaxed(&f->runs, mobi_load_relaxed(&f->runs) + 1);
}

/* Why a task that has run is to run again. */
enum again {
	AGAIN_NOT,
	AGAIN_PLANNED, /* as its options say */
	AGAIN_ASIDE, /* an argument is GONE: WAITING, without a charge; who looks
			* at it then has that made again. It holds no resources
			* meanwhile, which that may need */
	AGAIN_NO_ROOM /* for what it makes again: DELAY, without a charge */
};

/* RUN(me) -> READY, DELAY or WAITING with attempt + 1; if it was told to end
 * meanwhile, it does. */
static void put_back(struct mob_store *s, uint32_t rec, enum again again)
{
	struct mobi_sched *sh = mobi_rt.sched;
	struct mobi_task *t = mobi_task_at(s, rec);
	uint64_t w = mobi_load(&s->recs[rec].word);
	uint64_t next;

	MOBI_FAULT("task.put_back");
	do {
		if ((w & MOBI_TF_CANCEL) ||
		    ((w & MOBI_TF_LATE) && !mobi_limits_again(s, rec, w))) {
			mobi_task_end_cancelled(s, rec, w);
			return;
		}
		if (w & MOBI_TF_LATE) {
			mobi_task_cancel_children(s, rec, w);
		}
		if (again == AGAIN_ASIDE) {
			mobi_retry_spare(t, w);
			mobi_store(&t->scan, 0u);
			next = MOBI_RWORD(MOBI_GEN(w),
					  (MOBI_ATTEMPT(w) + 1) & 255u, 0,
					  MOBI_T_WAITING);
		} else if (again == AGAIN_NO_ROOM) {
			mobi_retry_press(t, w);
			next = mobi_retry_next(sh, t, w, MOBI_RETRY_PRESSED);
		} else {
			next = mobi_retry_next(sh, t, w, MOBI_RETRY_PLANNED);
		}
	} while (!mobi_cas64(&s->recs[rec].word, &w, next));
	MOBI_FAULT("task.put_back.done");
	if (mobi_limits_watched(sh, mobi_task_at(s, rec), next)) {
		mobi_timer_set(s, rec);
	}
	if (MOBI_STATE(next) != MOBI_T_DELAY) {
		mobi_board_set(s, rec);
		mobi_wake_worker(s);
	}
	(void)mobi_fetch_add(&sh->retried, UINT64_C(1));
}

/* Is there to be another attempt after this one, which ended with e? */
static bool wants_again(struct mob_store *s, uint32_t rec,
			const struct mobi_context *c,
			const struct mobi_error *e)
{
	uint64_t w = mobi_load(&s->recs[rec].word);

	if (c->cancelled) {
		return mobi_limits_again(s, rec, w);
	}
	return c->ran &&
	       mobi_retry_wanted(mobi_rt.sched, mobi_task_at(s, rec), w, e);
}

/* It was to make again what has gone, and found no room: the store is full for a
 * while. Were this the error of its results, they would be lost for good. That is no
 * fault of its own, nor a kill for lack of memory: neither of their limits is its. */
static bool finds_no_room(const struct mobi_context *c,
			  const struct mobi_task *t, uint64_t w, int code)
{
	return code == MOB_E_STORE_FULL && !c->cancelled &&
	       (MOBI_TRIES_KIDS(mobi_load(&t->tries)) & MOBI_KIDS_REMADE) &&
	       mobi_retry_pressed_before(t, w) < NO_ROOM_TRIES;
}

static uint32_t end_kind(bool failed, bool again, int code)
{
	if (!failed) {
		return MOB_EVENT_FINISHED;
	}
	if (again) {
		return MOB_EVENT_RETRIED;
	}
	return code == MOB_E_CANCELLED ? MOB_EVENT_CANCELLED : MOB_EVENT_FAILED;
}

/* What the place and the function learn of a run that has ended. */
static void count_run(const struct mobi_context *c, const struct mobi_task *t,
		      uint32_t rec, uint64_t w, uint64_t ran_ns)
{
	struct mobi_sched *sh = mobi_rt.sched;
	struct mobi_place_shared *p = &sh->place[mobi_rt.place];

	if (c->ran) {
		learn(sh, t->fn, ran_ns);
		mobi_worker_ran(t->fn, mobi_retry_plan_of(sh, t));
	}
	/* Only this worker writes it. */
	mobi_store_relaxed(&p->runs, mobi_load_relaxed(&p->runs) + 1);
	/* It was to be killed, and has lived through it. */
	if (mobi_load_relaxed(&p->shot)) {
		uint64_t mark = MOBI_ANN(MOBI_VERSION(w), rec);

		(void)mobi_cas64(&p->shot, &mark, UINT64_C(0));
	}
}

/* Its returns are resolved, unless it is to be run again. */
static void end_stream(struct mob_store *s, struct mobi_context *c,
		       uint32_t rec, bool again)
{
	if (c->out) {
		mobi_stream_stop(s, c, !again);
	} else if (!again && (!c->def || c->def->n_rets == MOB_RETS_STREAM)) {
		mobi_stream_over(s, rec); /* it did not begin */
	}
}

uint64_t mobi_task_run(struct mob_store *s, uint32_t rec, uint64_t w,
		       uint64_t began_ns, int *out_rc)
{
	struct mobi_task *t = mobi_task_at(s, rec);
	struct mobi_frame frame;
	struct mobi_context c = { 0 };
	struct mobi_devices devices = mobi_resources_taken();
	struct mobi_output_task before;
	struct mobi_error *e;
	uint64_t ran;
	bool failed;
	enum again again;
	int code;

	mobi_record_started(s, rec, w, began_ns);
	mobi_store_relaxed(&t->run_ns, began_ns); /* for lists */
	mobi_frame_init(&frame, NULL);
	c.frame = &frame;
	c.task = (uint64_t)MOBI_GEN(w) << 32 | rec;
	c.attempt = MOBI_ATTEMPT(w);
	c.devices = devices.of;
	mobi_context_push(&c);
	before = mobi_output_enter((uint64_t)MOBI_GEN(w) << 32 | (rec + 1),
				   (uint32_t)t->name << 16 | t->fn);
	if (mobi_limits_begin(s, rec, began_ns)) {
		e = attempt(s, rec, w, &c, &failed);
	} else {
		failed = true;
		c.cancelled = true;
		e = mobi_task_cancelled_error(s, rec,
					      mobi_load(&s->recs[rec].word));
	}
	if (out_rc) {
		*out_rc = !failed ? 0 : e ? e->rc : MOB_E_LOST;
	}
	code = !failed ? 0 : e ? e->code : MOB_E_LOST;
	if (c.cancelled) {
		mobi_task_cancel_children(s, rec,
					  mobi_load(&s->recs[rec].word));
	}
	again = c.aside                                 ? AGAIN_ASIDE :
		failed && finds_no_room(&c, t, w, code) ? AGAIN_NO_ROOM :
		failed && wants_again(s, rec, &c, e)    ? AGAIN_PLANNED :
							  AGAIN_NOT;
	if (failed && !again) {
		mobi_task_fail(s, rec, e);
	}
	mobi_error_free(e);
	end_stream(s, &c, rec, again);
	while (c.frame != &frame) {
		mobi_scope_drop(&c);
	}
	mobi_frame_end(&frame);
	mobi_context_pop(&c);
	mobi_output_leave(before);
	mobi_error_free(c.error);
	ran = mobi_quick_ns();
	ran = ran > began_ns ? ran - began_ns : 0;
	count_run(&c, t, rec, w, ran);
	mobi_record_ended(s, end_kind(failed, again, code), rec, w, ran, code);
	MOBI_FAULT("task.told");
	mobi_resources_give(mobi_rt.sched, mobi_rt.place,
			    &mobi_rt.sched->shape[t->shape % MOBI_SHAPES],
			    &devices);
	if (again) {
		put_back(s, rec, again);
	} else if (failed || c.reads || !mobi_lineage_keep(s, rec, w)) {
		MOB_ASSERT(mobi_task_retire(s, rec, w));
	}
	return ran;
}
