/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loops whose turns run in parallel, by lazy binary splitting.
 *
 * A task has a range. It calls the body for a few turns of it after the other, and
 * looks in between: if a worker is idle, and what it gave away last has begun, it
 * gives the upper half of the rest to a task like itself. So there are about as
 * many tasks as it takes to keep the workers busy, whatever a turn costs, and one
 * if all others have enough to do.
 *
 *   a loop   {batch with one call, options} in an object that every task of it has
 *   a task   lo, hi, {that object, objects that the body waits for}
 *   results  how many turns; refs of both results of each task that it has made
 *
 * Nobody waits for a task in another task: who called the loop reads from the
 * results which there are. Only one that fails does, as its results are its error: it
 * resolves the loop's stop object, at which all look between turns, and waits for what
 * it gave away. So nothing of a loop that failed runs on. One that is run again cancels
 * what the attempt before gave away, which may overlap with it for a moment. What one
 * gave away whose worker died once too often is cancelled by who called.
 */
#include "map.h"

#include "args.h"
#include "board.h"
#include "err.h"
#include "error.h"
#include "module.h"
#include "os_clock.h"
#include "slot.h"
#include "surround.h"
#include "task_cancel.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_NS 20000u /* between two looks */

/* ---- running a range ---- */

struct loop {
	struct mobi_context *c;
	const struct mob_args *with; /* the loop, and what it waits for */
	struct mobi_loop_opts opts;
	const char *env[sizeof(((struct mobi_surround *)0)->text) / 3 + 1];
	struct mobi_args_ready ready;
	struct mobi_call_ret ret;
	uint64_t lo;
	uint64_t hi;
	uint64_t some; /* turns between two looks */
	uint64_t done;
	struct mob_ref *kid; /* two a task */
	size_t n_kids;
	size_t max_kids;
};

/* The object of a loop, checked. */
static const struct mob_task_def *read_loop(struct loop *l)
{
	const struct mob_view *v = &l->with->views[0];
	const unsigned char *at = v->at;
	const struct mob_task_def *def;
	struct mobi_error *e = NULL;
	struct mobi_batch b;
	struct mobi_call call;
	uint64_t head = sizeof(b) + sizeof(call);
	int rc = 0;

	if (v->type != mobi_type_mobi_map_calls.id ||
	    v->size < head + sizeof(l->opts)) {
		rc = mobi_err(MOB_E_CORRUPT, "a loop is damaged");
	}
	if (rc >= 0) {
		memcpy(&b, at, sizeof(b));
		memcpy(&call, at + sizeof(b), sizeof(call));
		if (call.len > v->size - head - sizeof(l->opts)) {
			rc = mobi_err(MOB_E_CORRUPT, "a loop is damaged");
		}
	}
	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
		return NULL;
	}
	memcpy(&l->opts, at + head + mobi_up16(call.len), sizeof(l->opts));
	l->opts.o.name = l->opts.name;
	l->opts.o.retry_codes = l->opts.codes;
	l->opts.o.resources = l->opts.resources[0] ? l->opts.resources : NULL;
	mobi_surround_decode(&l->opts.around, l->env,
			     sizeof(l->env) / sizeof(l->env[0]), &l->opts.o);
	def = mobi_call_def(b.fn);
	if (!def) {
		return NULL;
	}
	rc = mobi_args_load(def, at + head, call.len, &l->ready, &e);
	if (e) {
		mobi_error_pend(l->c, e);
	} else if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
	}
	return rc < 0 ? NULL : def;
}

/* The task with that result has not begun. */
static bool is_queued(struct mob_ref ref)
{
	const struct mob_store *s = mobi_rt.store;
	const struct mobi_slot *o = &s->slots[(uint32_t)ref.lo % MOBI_SLOTS];
	uint64_t producer = mobi_load(&o->producer);
	uint64_t w =
		mobi_load(&s->recs[((uint32_t)producer - 1) % MOBI_RECS].word);

	return producer && MOBI_GEN(w) == MOBI_GEN(producer) &&
	       (MOBI_STATE(w) == MOBI_T_READY ||
		MOBI_STATE(w) == MOBI_T_WAITING ||
		MOBI_STATE(w) == MOBI_T_DELAY);
}

static bool wants_split(const struct loop *l)
{
	uint64_t left = l->hi - l->lo;

	return mobi_load(&mobi_rt.store->board->idle) && left >= 2 &&
	       (l->some == 1 || left > l->some) &&
	       !(l->n_kids && is_queued(l->kid[l->n_kids - 2]));
}

static bool room_for_kid(struct loop *l)
{
	if (l->n_kids == l->max_kids) {
		size_t max = l->max_kids ? 2 * l->max_kids : 16;
		struct mob_ref *kid = realloc(l->kid, max * sizeof(*kid));

		if (!kid) {
			return false;
		}
		l->kid = kid;
		l->max_kids = max;
	}
	return true;
}

/* Gives the upper half away. What cannot be given is run here. */
static void split(struct loop *l)
{
	uint64_t mid = l->lo + (l->hi - l->lo) / 2;
	struct mob_ref ref[2];

	if (!room_for_kid(l)) {
		return;
	}
	if (mobi_loop_submit(&l->opts.o, mid, l->hi, l->with, ref) < 0) {
		mobi_loop_drop(ref);
		return;
	}
	l->kid[l->n_kids] = ref[0];
	l->kid[l->n_kids + 1] = ref[1];
	l->n_kids += 2;
	l->hi = mid;
}

/* One call of the body. False: it failed. */
static bool turn(struct loop *l, uint64_t n)
{
	uint32_t size = l->ret.def->args[0]->size;
	uint64_t end = l->lo + n;
	uint32_t lo32 = (uint32_t)l->lo;
	uint32_t end32 = (uint32_t)end;
	const void *arg[MOB_ARGS_MAX];
	uint64_t began = mobi_quick_ns();
	uint64_t took;
	bool ok;

	memcpy(arg, l->ready.arg, sizeof(arg));
	arg[0] = size == sizeof(lo32) ? (const void *)&lo32 : &l->lo;
	arg[1] = size == sizeof(lo32) ? (const void *)&end32 : &end;
	ok = mobi_call_enter(&l->ret, arg, NULL);
	mobi_call_leave(&l->ret);
	took = mobi_quick_ns();
	took = took > began ? took - began : 0;
	l->lo = end;
	l->done += n;
	if (took * 2 < LOOK_NS) {
		l->some *= 2;
	} else if (took > LOOK_NS && l->some > 1) {
		l->some = l->some * LOOK_NS / took;
		l->some = l->some ? l->some : 1;
	}
	return ok;
}

static bool is_stopped(const struct loop *l)
{
	const struct mob_store *s = mobi_rt.store;
	uint32_t slot = (uint32_t)l->opts.stop % MOBI_SLOTS;

	return mobi_resolved(mobi_load(&s->slots[slot].word));
}

/* It failed. The loop ends, and what this one gave away has ended before it; unless
 * it is run again, and gives away anew. */
static void end_kids(struct loop *l)
{
	struct mobi_error *e = NULL;

	if (mobi_call_again(l->c)) {
		for (size_t i = 0; i < l->n_kids; i += 2) {
			mobi_map_cancel(l->kid[i].lo);
		}
		return;
	}
	mobi_loop_stop(&l->opts);
	(void)mobi_loop_join(&l->opts, l->kid, l->n_kids, &e);
	mobi_error_free(e);
}

static struct mob_refs kids_of(struct loop *l)
{
	struct mob_refs refs = { NULL, 0 };
	void *at;

	if (l->n_kids) {
		at = mob_new_raw(&mobi_type_mob_refs, l->n_kids);
		if (at) {
			memcpy(at, l->kid, l->n_kids * sizeof(*l->kid));
			refs.at = at;
			refs.n = l->n_kids;
		}
	}
	return refs;
}

MOB_TASK_N(mobi_map_loop, (int64_t, done, mob_refs, kids), uint64_t, lo,
	   uint64_t, hi, mob_args, with)
{
	struct mob_store *s = mobi_rt.store;
	struct loop l = { .c = mobi_context(),
			  .with = &with,
			  .lo = lo,
			  .hi = hi,
			  .some = 1 };
	const struct mob_task_def *def = read_loop(&l);
	uint32_t rec = (uint32_t)l.c->task;
	int rc = def ? mobi_call_begin(&l.ret, def) : 0;
	bool ok = def && rc >= 0;

	if (rc < 0) {
		(void)mobi_error_pend_rc(rc);
	}
	/* What an attempt before has given away, if there was one: their numbers begin
	 * anew after 256. */
	mobi_task_cancel_children(s, rec, mobi_load(&s->recs[rec].word));
	while (ok && l.lo != l.hi && !is_stopped(&l) && !mob_task_cancelled()) {
		uint64_t left;

		if (wants_split(&l)) {
			split(&l);
		}
		left = l.hi - l.lo;
		ok = turn(&l, l.some < left ? l.some : left);
	}
	if (!ok && def) {
		l.c->as = def;
		end_kids(&l);
	}
	*done = (int64_t)l.done;
	*kids = kids_of(&l);
	free(l.kid);
	mobi_call_end(&l.ret);
	mobi_args_drop(&l.ready);
}

void mobi_loop_stop(const struct mobi_loop_opts *l)
{
	(void)mobi_slot_resolve_made(mobi_rt.store, l->stop, l->maker,
				     MOBI_S_CANCELLED);
}

void mobi_loop_drop(const struct mob_ref *refs)
{
	for (int i = 0; i < 2; i++) {
		struct mob_view v;

		/* It is read: nobody is to be told. */
		mobi_error_free(mobi_map_look(refs[i].lo, &v));
		mob_view_release(mobi_rt.store, &v);
		(void)mob_release(refs[i]);
	}
}

int mobi_loop_submit(const struct mob_task_opts *o, uint64_t lo, uint64_t hi,
		     const struct mob_args *with, struct mob_ref *out_refs)
{
	struct mob_args list = { with->refs, NULL, with->n };
	struct mob_arg args[3] = { { .value = &lo },
				   { .value = &hi },
				   { .value = &list } };

	return mob_submit_raw(&mobi_map_loop_def, o, 3, args, 2, out_refs);
}
