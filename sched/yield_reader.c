/* SPDX-License-Identifier: Apache-2.0 */
/* Who reads a stream: one for all of it. */
#include "err.h"
#include "error.h"
#include "get.h"
#include "mend.h"
#include "slot.h"
#include "task.h"
#include "yield.h"

#include <stdio.h>

uint64_t mobi_stream_reader(const struct mob_store *s,
			    const struct mobi_context *c)
{
	if (c->def) {
		return (c->task & ~UINT64_C(0xffffffff)) |
		       (uint64_t)c->attempt << 24 | MOBI_READER_TASK |
		       (uint32_t)c->task;
	}
	return (uint64_t)MOBI_GEN(mobi_load(&s->clients[s->me].word)) << 32 |
	       MOBI_READER_PROCESS | s->me;
}

bool mobi_stream_reader_is_gone(const struct mob_store *s, uint64_t r)
{
	uint32_t n = MOBI_READER_NUMBER(r);
	uint64_t w;

	if (MOBI_READER_KIND(r) == MOBI_READER_TASK) {
		w = mobi_load(&s->recs[n % MOBI_RECS].word);
		return MOBI_GEN(w) != MOBI_GEN(r) ||
		       MOBI_ATTEMPT(w) != (MOBI_READER_ATTEMPT(r) & 255u) ||
		       MOBI_STATE(w) != MOBI_T_RUN;
	}
	w = mobi_load(&s->clients[n % MOBI_CLIENTS].word);
	return MOBI_GEN(w) != MOBI_GEN(r) || MOBI_STATE(w) != MOBI_CLIENT_LIVE;
}

static bool is_same_task(uint64_t a, uint64_t b)
{
	return MOBI_READER_KIND(a) == MOBI_READER_TASK &&
	       MOBI_GEN(a) == MOBI_GEN(b) &&
	       MOBI_READER_NUMBER(a) == MOBI_READER_NUMBER(b) &&
	       MOBI_READER_KIND(b) == MOBI_READER_TASK;
}

static int read_twice(const struct mob_store *s, uint64_t other, uint64_t me,
		      bool gone, uint64_t read)
{
	uint32_t n = MOBI_READER_NUMBER(other);
	char who[100];

	if (is_same_task(other, me) ||
	    (gone && MOBI_READER_KIND(other) == MOBI_READER_PROCESS)) {
		return mobi_err(MOB_E_LOST,
				"mob_next: %s that read this stream has "
				"died; the %llu items that it has read are "
				"gone; a reader that is to be run again has to "
				"be "
				"given another stream",
				is_same_task(other, me) ? "an attempt of this "
							  "task" :
							  "the process",
				(unsigned long long)read);
	}
	if (MOBI_READER_KIND(other) == MOBI_READER_PROCESS) {
		(void)snprintf(who, sizeof(who), "process %u",
			       s->clients[n % MOBI_CLIENTS].proc.pid);
	} else if (gone) {
		(void)snprintf(who, sizeof(who), "a task that has ended");
	} else {
		(void)snprintf(who, sizeof(who), "task %s",
			       mobi_task_name(s->sched,
					      mobi_task_at(s, n % MOBI_RECS)));
	}
	return mobi_err(MOB_E_STATE,
			"mob_next: a stream is read once, and %s has begun to "
			"read this one (%llu items); pass the items on, or "
			"submit the task once more",
			who, (unsigned long long)read);
}

/* One reader for all of a stream, unless the one before has read nothing. */
static int claim(struct mob_store *s, uint64_t id, const struct mobi_context *c)
{
	struct mobi_stream *st = mobi_stream_at(s, id);
	uint64_t me = mobi_stream_reader(s, c);
	uint64_t r = mobi_load(&st->reader);

	while (r != me) {
		uint64_t read = mobi_load(&st->read);
		bool gone = r && mobi_stream_reader_is_gone(s, r);

		if (r && (!gone || read)) {
			return read_twice(s, r, me, gone, read);
		}
		if (mobi_cas64(&st->reader, &r, me)) {
			break;
		}
	}
	return 0;
}

int mobi_stream_open(struct mobi_context *c, struct mob_ref ref,
		     const char *call, uint64_t *out_id)
{
	struct mob_store *s = mobi_rt.store;
	const struct mobi_slot *o;
	uint64_t w;
	int rc = mobi_rt_check(call);

	if (rc >= 0 && !c) {
		rc = mobi_err(MOB_E_NOMEM, "%s: out of memory", call);
	}
	if (rc >= 0) {
		rc = mobi_slot_of(s, ref, out_id);
	}
	if (rc >= 0) {
		rc = mobi_slot_hold(s, *out_id);
	}
	if (rc < 0) {
		return mobi_error_pend_rc(rc);
	}
	o = &s->slots[(uint32_t)*out_id];
	w = mobi_load(&o->word);
	if (MOBI_STATE(w) == MOBI_S_SEALED &&
	    mobi_load_relaxed(&o->type) == MOB_TYPE_STREAM) {
		rc = claim(s, *out_id, c);
		c->reads |= rc >= 0;
	} else if (mobi_resolved(w) && MOBI_STATE(w) != MOBI_S_SEALED) {
		rc = mobi_get_value(c, *out_id, NULL, NULL);
		(void)mobi_slot_release(s, *out_id);
		return rc; /* is pending */
	} else {
		rc = mobi_err(MOB_E_TYPE,
			      "%s: object %u is no stream; a stream is what "
			      "the "
			      "submit of a task of MOB_TASK_STREAM gives",
			      call, (uint32_t)*out_id);
	}
	if (rc < 0) {
		(void)mobi_slot_release(s, *out_id);
		return mobi_error_pend_rc(rc);
	}
	return 0;
}

/* ---- readers that die ---- */

static bool reader_is_among(const struct mob_store *s, uint64_t r,
			    uint64_t dead)
{
	uint32_t n = MOBI_READER_NUMBER(r);
	uint64_t w;

	if (MOBI_READER_KIND(r) == MOBI_READER_TASK) {
		w = mobi_load(&s->recs[n % MOBI_RECS].word);
		return MOBI_GEN(w) == MOBI_GEN(r) &&
		       MOBI_STATE(w) == MOBI_T_RUN &&
		       (dead & MOBI_BIT(MOBI_ROWNER(w) % MOBI_CLIENTS));
	}
	return r && (dead & MOBI_BIT(n % MOBI_CLIENTS));
}

void mobi_stream_reap(struct mob_store *s, uint64_t id, uint64_t dead)
{
	if (mobi_slot_hold(s, id) < 0) {
		return;
	}
	if (reader_is_among(s, mobi_load(&mobi_stream_at(s, id)->reader),
			    dead)) {
		mobi_mend_edges(s, id);
	}
	(void)mobi_slot_release(s, id);
}
