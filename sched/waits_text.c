/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cycle of waits in words:
 *
 *   task a (5.1), which waits in get for object 12 of task b (6.1), which waits in
 *   wait for object 13 and 2 more of task c (7.1), which needs object 14 of task a
 *   (5.1)
 */
#include "waits.h"

#include "cq.h"
#include "task.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

/* Of a long cycle these are told. */
#define HEAD 4u
#define TAIL 2u
#define PART 240u

struct parts {
	char head[HEAD][PART];
	char tail[TAIL][PART];
	uint32_t n;
};

static void add_part(struct parts *t, const char *part)
{
	char *to = t->n < HEAD ? t->head[t->n] : t->tail[(t->n - HEAD) % TAIL];

	(void)snprintf(to, PART, "%s", part);
	t->n++;
}

static void join_parts(const struct parts *t, char *out, size_t size)
{
	uint32_t kept = t->n < HEAD + TAIL ? t->n : HEAD + TAIL;
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < kept && at < size; i++) {
		uint32_t n = i < HEAD ? i : t->n - kept + i;

		if (i == HEAD && t->n > kept) {
			at += (size_t)snprintf(out + at, size - at,
					       ", ... (%u more) ...",
					       t->n - kept);
		}
		if (at < size) {
			at += (size_t)snprintf(
				out + at, size - at, "%s%s", i ? ", " : "",
				n < HEAD ? t->head[n] :
					   t->tail[(n - HEAD) % TAIL]);
		}
	}
}

/* ---- tasks ---- */

/* "task name (17.3)" */
static const char *name_task(const struct mob_store *s, uint32_t rec,
			     char out[64])
{
	(void)snprintf(out, 64, "task %.20s (%u.%u)",
		       mobi_task_name(s->sched, mobi_task_at(s, rec)), rec + 1,
		       MOBI_GEN(mobi_load(&s->recs[rec].word)));
	return out;
}

/* The task that sleeps there; not of a driver. */
static uint32_t sleeper(const struct mobi_waits *k, uint32_t executor)
{
	return ((uint32_t)k->at[executor].task - 1) % MOBI_RECS;
}

static const char *name_sleeper(const struct mobi_waits *k, uint32_t executor,
				char out[64])
{
	if (k->at[executor].task) {
		return name_task(k->s, sleeper(k, executor), out);
	}
	(void)snprintf(out, 64, "the driver (process %u)",
		       k->s->clients[executor].proc.pid);
	return out;
}

static const char *call_of(uint32_t kind)
{
	static const char *const names[] = {
		[MOBI_WAIT_GET] = "get",       [MOBI_WAIT_ALL] = "get_all",
		[MOBI_WAIT_SOME] = "wait",     [MOBI_WAIT_QUEUE] = "queue_pop",
		[MOBI_WAIT_STREAM] = "stream", [MOBI_WAIT_ROOM] = "yield",
	};

	return kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

/* ---- from one executor to the next ---- */

/* The way from what an executor waits for to the next one. */
struct way {
	struct mobi_waits *k;
	uint32_t to;
	bool found;
	struct mobi_maker maker;
	uint64_t object; /* that it makes */
	uint32_t from;   /* the last step of it + 1, or 0 */
};

static bool leads_there(void *arg, struct mobi_maker m, uint64_t id,
			uint32_t from)
{
	struct way *w = arg;

	w->found = m.kind == MOBI_MAKER_SHAPE ?
			   (mobi_waits_holders(w->k, m.index) &
			    MOBI_BIT(w->to)) != 0 :
			   m.index == w->to;
	if (w->found) {
		w->maker = m;
		w->object = id;
		w->from = from;
	}
	return w->found;
}

static void try_reader(void *arg, struct mobi_maker m)
{
	struct way *w = arg;

	if (!w->found) {
		mobi_waits_walk_from(w->k, m, leads_there, w);
	}
}

static bool try_entry(void *arg, uint64_t id, bool fired)
{
	struct way *w = arg;

	if (!fired) {
		mobi_waits_walk(w->k, id, leads_there, w);
	}
	return !w->found;
}

static void find_way(struct way *w, uint32_t from)
{
	const struct mobi_wait_at *a = &w->k->at[from];

	if (mobi_is_any(a->id)) {
		mobi_cq_entries(w->k->s, mobi_queue_of_any(a->id), try_entry,
				w);
	} else if (a->kind == MOBI_WAIT_ROOM) {
		(void)mobi_waits_room(w->k, a, try_reader, w);
	} else {
		(void)try_entry(w, a->id, false);
	}
}

/* How many pending tasks there are on the way. */
static uint32_t way_length(const struct way *w)
{
	uint32_t n = 0;

	for (uint32_t i = w->from; i; i = w->k->step[i - 1].from) {
		n++;
	}
	return n;
}

/* The i-th of them. */
static const struct mobi_wait_step *way_step(const struct way *w, uint32_t n,
					     uint32_t i)
{
	uint32_t at = w->from;

	for (uint32_t j = n - 1; j > i; j--) {
		at = w->k->step[at - 1].from;
	}
	return &w->k->step[at - 1];
}

/* How many objects more an executor waits for than the one that is told. */
static uint32_t others(const struct mobi_waits *k, uint32_t executor)
{
	const struct mobi_wait_at *a = &k->at[executor];
	uint32_t n = 0;

	for (uint32_t i = a->first; i < a->first + a->n; i++) {
		n += k->choice[i].n;
	}
	return n + a->able ? n + a->able - 1 : 0;
}

/* Who makes the last object of the way, or reads: "task b (6.1)" if that is who sleeps
 * there, else how it depends on who does. */
static const char *maker_text(const struct way *w, char *out, size_t size)
{
	const struct mobi_waits *k = w->k;
	uint32_t rec = w->maker.rec;
	char task[64];
	char who[64];

	(void)name_sleeper(k, w->to, who);
	if (!k->at[w->to].task ||
	    (w->maker.kind != MOBI_MAKER_SHAPE && rec == sleeper(k, w->to))) {
		(void)snprintf(out, size, "%s", who);
	} else if (rec == MOBI_RECS) {
		(void)snprintf(out, size, "the process of %s", who);
	} else {
		(void)snprintf(out, size, "%s, %s worker %u, %s",
			       name_task(k->s, rec, task),
			       w->maker.kind == MOBI_MAKER_SHAPE ?
				       "which wishes for what is held on" :
				       "which cannot go on before another on",
			       w->to, who);
	}
	return out;
}

static void tell_room(const struct mobi_waits *k, const struct mobi_wait_at *a,
		      const char *by, char part[PART])
{
	uint64_t id = 0;

	(void)mobi_waits_stream(k, a, &id);
	(void)snprintf(part, PART,
		       "which waits in %s for room in stream %u, which is for "
		       "%s to read",
		       call_of(a->kind), (uint32_t)id, by);
}

/* From one executor to the next, a part for each task on the way. */
static void tell_way(struct parts *t, const struct way *w, uint32_t from)
{
	const struct mobi_waits *k = w->k;
	uint32_t n = way_length(w);
	uint32_t more = others(k, from);
	char part[PART];
	char task[64];
	char maker[140];
	char and_more[32] = "";

	if (more) {
		(void)snprintf(and_more, sizeof(and_more), " and %u more",
			       more);
	}
	for (uint32_t i = 0; i <= n; i++) {
		uint64_t object = i < n ? way_step(w, n, i)->object : w->object;
		const char *by = i < n ? name_task(k->s, way_step(w, n, i)->rec,
						   task) :
					 maker_text(w, maker, sizeof(maker));

		if (i == 0 && k->at[from].kind == MOBI_WAIT_ROOM) {
			tell_room(k, &k->at[from], by, part);
		} else if (i == 0) {
			(void)snprintf(part, sizeof(part),
				       "which waits in %s for object %u%s of "
				       "%s",
				       call_of(k->at[from].kind),
				       (uint32_t)object, and_more, by);
		} else {
			(void)snprintf(part, sizeof(part),
				       "which needs object %u of %s",
				       (uint32_t)object, by);
		}
		add_part(t, part);
	}
}

void mobi_waits_text(struct mobi_waits *k, const uint8_t *cycle, uint32_t n,
		     char *out, size_t size)
{
	struct parts t = { .n = 0 };
	char first[64];
	int at;

	for (uint32_t i = 0; i < n; i++) {
		struct way w = { .k = k, .to = cycle[(i + 1) % n] };

		find_way(&w, cycle[i]);
		if (!w.found) {
			break; /* not while all of them wait */
		}
		tell_way(&t, &w, cycle[i]);
	}
	at = snprintf(out, size, "%s, ", name_sleeper(k, cycle[0], first));
	if (at > 0 && (size_t)at < size) {
		join_parts(&t, out + at, size - (size_t)at);
	}
}
