/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Maps: giving calls, as long as there is room. The buffer is handed over as a chunk
 * when it has as many as planned, when nothing else is left to wait for, or when
 * calls come slowly.
 */
#include "map.h"

#include "err.h"
#include "error.h"
#include "module.h"
#include "opts.h"
#include "os_clock.h"
#include "slot.h"
#include "value.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_MAX 65536u
#define GROWTH 4u       /* a chunk to one that has ended, at most */
#define AHEAD 4u        /* chunks a worker in the window, if that is not set */
#define WORTH_NS 10000u /* a chunk is not made shorter to have more of them */

/* ---- grain and window ---- */

static uint64_t at_most(uint64_t n, uint64_t max)
{
	return n < max ? n : max ? max : 1;
}

void mobi_map_plan(struct mob_map *m)
{
	uint64_t each = m->arg_bytes + m->ret_bytes;
	uint64_t share = (uint64_t)2 * m->workers;
	uint64_t cost = 0;
	uint64_t n = 1;

	if (m->def) { /* a hint */
		cost = mobi_load_relaxed(&mobi_rt.sched->fn[m->fn].cost_ns);
	}
	if (m->o.chunk) {
		n = at_most(m->o.chunk, m->o.window ? m->o.window : UINT64_MAX);
	} else if (!m->singly && cost) {
		n = at_most(m->o.chunk_ns / cost, (uint64_t)GROWTH * m->grown);
		if (m->o.window) {
			n = at_most(n, m->o.window / share);
		}
		if (each) {
			n = at_most(n, m->o.window_bytes / share / each);
		}
		if (m->over_def) { /* the end is near: some for everybody */
			uint64_t left = m->over_n - m->over_i + m->buf.n;
			uint64_t worth = WORTH_NS / cost;

			left = (left + share - 1) / share;
			n = at_most(n, left > worth ? left : worth);
		}
	}
	m->chunk = (uint32_t)at_most(n ? n : 1, CHUNK_MAX);
	m->limit = m->o.window ? m->o.window :
				 (uint64_t)AHEAD * m->workers * m->chunk;
	if (!m->sized) {
		m->limit = at_most(m->limit, m->workers + 1);
	}
}

bool mobi_map_has_room(const struct mob_map *m)
{
	return m->n_out == 0 || (m->n_out < m->limit &&
				 m->bytes_out + m->arg_bytes + m->ret_bytes <=
					 m->o.window_bytes);
}

size_t mob_map_room(struct mob_map *m)
{
	uint64_t each = m->arg_bytes + m->ret_bytes;
	uint64_t n = 1;

	if (m->serial != mobi_rt_serial() || m->over) {
		return 0;
	}
	if (!mobi_map_has_room(m)) {
		return m->fold ? 1 : 0;
	}
	if (m->n_out < m->limit) {
		n = m->limit - m->n_out;
	}
	if (each && m->bytes_out < m->o.window_bytes) {
		n = at_most(n, (m->o.window_bytes - m->bytes_out) / each);
	}
	return (size_t)n;
}

/* ---- a call ---- */

/* What the arguments take; an object that the call before had too counts not. */
static uint64_t bytes_of(struct mob_map *m, const struct mob_arg *args)
{
	const struct mob_store *s = mobi_rt.store;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < m->def->n_args; i++) {
		const struct mob_type *t = m->def->args[i];
		uint64_t n = 0;

		if (args[i].kind == MOB_ARG_VALUE) {
			if (t->kind != MOB_KIND_ARGS &&
			    t->kind != MOB_KIND_FUNCTION &&
			    mobi_value_bytes(t, args[i].value, &n) >= 0) {
				sum += n;
			}
		} else if (mobi_slot_of(s, args[i].ref, &n) >= 0 &&
			   m->shared[i] != n + 1) {
			m->shared[i] = n + 1;
			sum += mobi_load(&s->slots[(uint32_t)n].size);
		}
	}
	return sum;
}

/* A call whose arguments are plain values is so many bytes of a batch. */
static void lay_out(struct mob_map *m)
{
	uint64_t at = 0;
	uint64_t widest = 1;

	m->plain_bytes = true;
	for (uint32_t i = 0; i < m->def->n_args; i++) {
		const struct mob_type *t = m->def->args[i];
		uint64_t align = t->size & -(uint64_t)t->size;

		align = align > 16 ? 16 : align ? align : 1;
		at = (at + align - 1) / align * align;
		m->off[i] = (uint32_t)at;
		at += t->size;
		widest = align > widest ? align : widest;
		m->plain_bytes &= t->kind == MOB_KIND_POD &&
				  at < UINT32_MAX / 2;
	}
	at = (at + widest - 1) / widest * widest;
	m->stride = (uint32_t)(at ? at : 1);
}

static int change_def(struct mob_map *m, const struct mob_task_def *def)
{
	int rc = mobi_map_flush(m);

	if (rc >= 0) {
		rc = mobi_module_number(mobi_rt.sched, def, &m->fn);
	}
	if (rc < 0) {
		return rc;
	}
	m->def = def;
	mobi_opts_copy(def, &m->given, &m->task);
	/* What is said of a call is not to be of others. */
	m->singly = m->task.timeout_ns || m->task.retry_errors ||
		    m->task.n_retry_codes || m->task.max_calls ||
		    m->task.retries == 0;
	m->grown = 1;
	m->sized = false;
	m->arg_bytes = 0;
	m->ret_bytes = 0;
	memset(m->shared, 0, sizeof(m->shared));
	lay_out(m);
	mobi_map_plan(m);
	return 0;
}

/* Calls that come slowly are not kept back: since the one before, or since there is
 * room. */
static bool is_late(struct mob_map *m)
{
	uint64_t now = mobi_quick_ns();
	uint64_t last = m->last_ns;

	m->last_ns = now;
	return now > last && now - last > m->o.chunk_ns;
}

/* An error here is of the map: it is over. */
static int give(struct mob_map *m, const struct mob_task_def *def,
		const struct mob_arg *args)
{
	uint64_t bytes;
	int rc = def != m->def ? change_def(m, def) : 0;

	if (rc >= 0) {
		m->arg_bytes = bytes_of(m, args);
		bytes = m->arg_bytes + m->ret_bytes;
		rc = mobi_map_buffer(m, args, bytes);
		if (rc == 1) {
			rc = mobi_map_alone(m, args, bytes);
		}
		m->n_given++;
		m->n_out++;
		m->bytes_out += bytes;
	}
	if (rc >= 0 && m->buf.n &&
	    (m->buf.n >= m->chunk || (!m->over_def && is_late(m)))) {
		rc = mobi_map_flush(m);
	}
	m->over |= rc < 0;
	return rc;
}

static int check_add(struct mob_map *m, const char *call,
		     const struct mob_task_def *def, uint32_t n_args)
{
	if (m->serial != mobi_rt_serial() || m->over) {
		return mobi_err(MOB_E_STATE,
				"%s: the map is over, or its session has "
				"ended; close it",
				call);
	}
	if (def->n_rets == MOB_RETS_STREAM) {
		return mobi_err(MOB_E_INVAL,
				"%s: task %s yields a stream; a map takes "
				"tasks with 1 result",
				call, def->name);
	}
	if (def->n_rets != 1 || n_args != def->n_args) {
		return mobi_err(MOB_E_INVAL,
				"%s: task %s takes %u arguments and gives %u "
				"results; given %u, and a map takes tasks with "
				"1 result",
				call, def->name, def->n_args, def->n_rets,
				n_args);
	}
	if (m->source && !m->asking) {
		return mobi_err(MOB_E_STATE,
				"%s: the map has calls from elsewhere that are "
				"not through yet",
				call);
	}
	if (m->fold && def->rets[0]->id != m->fold->op->rets[0]->id) {
		return mobi_err(MOB_E_TYPE,
				"%s: task %s returns %s, and %s folds %s", call,
				def->name, def->rets[0]->name,
				m->fold->op->name, m->fold->op->rets[0]->name);
	}
	return 0;
}

int mob_map_add_raw(struct mob_map *m, const struct mob_task_def *def,
		    uint32_t n_args, const struct mob_arg *args)
{
	int rc = check_add(m, "mob_map_add", def, n_args);

	if (rc >= 0 && m->fold) {
		rc = mobi_fold_room(m);
	}
	if (rc >= 0 && !mobi_map_has_room(m)) {
		rc = mobi_err(MOB_E_LIMIT, "mob_map_add: the window of the map "
					   "is full; take "
					   "a result by mob_map_next first");
	}
	if (rc >= 0) {
		rc = give(m, def, args);
	}
	return rc < 0 ? mobi_error_pend_rc(rc) : 0;
}

/* ---- sources ---- */

int mob_map_over_raw(struct mob_map *m, const struct mob_task_def *def,
		     uint64_t n, uint32_t n_args,
		     const struct mob_map_column *columns)
{
	int rc = check_add(m, "mob_map_over", def, n_args);

	if (rc >= 0 && m->asking) {
		rc = mobi_err(MOB_E_STATE, "mob_map_over: not in the function "
					   "of mob_map_from");
	}
	for (uint32_t i = 0; rc >= 0 && i < n_args; i++) {
		if (n && !columns[i].at) {
			rc = mobi_err(MOB_E_INVAL,
				      "mob_map_over: array %u is NULL", i + 1);
		} else if (columns[i].kind > MOB_ARG_REF) {
			rc = mobi_err(MOB_E_INVAL,
				      "mob_map_over: kind of array %u is %u; "
				      "MOB_ARG_VALUE or MOB_ARG_REF",
				      i + 1, columns[i].kind);
		}
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	for (uint32_t i = 0; i < n_args; i++) {
		m->column[i] = columns[i];
	}
	m->over_def = def;
	m->over_n = n;
	m->over_i = 0;
	m->source = n > 0;
	return 0;
}

int mob_map_from(struct mob_map *m, int (*fn)(struct mob_map *map, void *ctx),
		 void *ctx)
{
	int rc = 0;

	if (m->serial != mobi_rt_serial() || m->over || m->source) {
		rc = mobi_err(MOB_E_STATE, "mob_map_from: the map has calls "
					   "from elsewhere, "
					   "or is over, or its session has "
					   "ended");
	} else if (!fn) {
		rc = mobi_err(MOB_E_INVAL, "mob_map_from: fn is NULL");
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	m->from = fn;
	m->ctx = ctx;
	m->source = true;
	return 0;
}

static int give_row(struct mob_map *m)
{
	const struct mob_task_def *def = m->over_def;
	struct mob_arg args[MOB_ARGS_MAX] = { 0 };
	int rc;

	for (uint32_t k = 0; k < def->n_args; k++) {
		const struct mob_map_column *c = &m->column[k];
		const unsigned char *at = c->at;

		at += m->over_i * c->stride;
		args[k].kind = c->kind;
		if (c->kind == MOB_ARG_REF) {
			memcpy(&args[k].ref, at, sizeof(args[k].ref));
		} else {
			args[k].value = at;
		}
	}
	m->over_i++;
	rc = give(m, def, args);
	if (m->over_i == m->over_n) {
		m->source = false;
		m->over_def = NULL;
		rc = rc < 0 ? rc : mobi_map_flush(m);
		m->over |= rc < 0;
	}
	return rc;
}

static int ask(struct mob_map *m)
{
	uint64_t was = m->n_given;
	int rc;

	m->asking = true;
	rc = m->from(m, m->ctx);
	m->asking = false;
	if (rc > 0 && m->n_given == was) {
		rc = mobi_err(MOB_E_INVAL,
			      "the function of mob_map_from returned %d and "
			      "has "
			      "given no call; return 0 at the end",
			      rc);
	}
	if (rc <= 0) {
		m->source = false;
		m->from = NULL;
		m->failed = rc;
		rc = mobi_map_flush(m);
		m->over |= rc < 0;
	}
	return rc < 0 ? rc : 0;
}

int mobi_map_fill(struct mob_map *m)
{
	int rc = 0;

	m->last_ns = mobi_quick_ns();
	while (rc >= 0 && m->source && !m->over && mobi_map_has_room(m)) {
		rc = m->over_def ? give_row(m) : ask(m);
	}
	return rc;
}
