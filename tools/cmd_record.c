/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what a session has recorded, for mob timeline, summary and task. */
#include "cmd_record.h"

#include <stdlib.h>
#include <string.h>

/* ---- loading ---- */

/* A session has few names, and one is often that of the event before. */
static const char *own_name(struct rec *r, const char *name)
{
	size_t i = r->n_names;
	char **more;

	while (i && strcmp(r->name[i - 1], name) != 0) {
		i--;
	}
	if (i) {
		return r->name[i - 1];
	}
	more = realloc(r->name, (r->n_names + 1) * sizeof(*more));
	if (!more) {
		return NULL;
	}
	r->name = more;
	r->name[r->n_names] = strdup(name);
	return r->name[r->n_names] ? r->name[r->n_names++] : NULL;
}

static int keep(const struct mob_event *e, void *arg)
{
	struct rec *r = arg;

	if (r->n == r->size) {
		size_t size = r->size ? 2 * r->size : 4096;
		struct mob_event *more = realloc(r->ev, size * sizeof(*more));

		if (!more) {
			return MOB_E_NOMEM;
		}
		r->ev = more;
		r->size = size;
	}
	r->ev[r->n] = *e;
	r->ev[r->n].name = own_name(r, e->name);
	return r->ev[r->n++].name ? 0 : MOB_E_NOMEM;
}

/* By task; in the order of the events among those of one. */
static int by_task(const void *a, const void *b)
{
	const struct mob_event *x = *(const struct mob_event *const *)a;
	const struct mob_event *y = *(const struct mob_event *const *)b;

	if (x->task != y->task) {
		return x->task < y->task ? -1 : 1;
	}
	return x < y ? -1 : x > y;
}

int rec_load(struct mob_session *s, struct rec *out_rec)
{
	struct rec *r = out_rec;
	int rc;

	memset(r, 0, sizeof(*r));
	r->sum = (struct mob_record)MOB_RECORD_INIT;
	rc = mob_session_events_with(s, keep, r, &r->sum);
	if (rc >= 0) {
		r->by_task = calloc(r->n + 1, sizeof(const void *));
		rc = r->by_task ? 0 : MOB_E_NOMEM;
	}
	if (rc < 0) {
		rec_free(r);
		return cli_fail_rc(rc, "events");
	}
	for (size_t i = 0; i < r->n; i++) {
		r->by_task[i] = &r->ev[i];
	}
	qsort(r->by_task, r->n, sizeof(const void *), by_task);
	return 0;
}

void rec_free(struct rec *r)
{
	for (size_t i = 0; i < r->n_names; i++) {
		free(r->name[i]);
	}
	free(r->name);
	free((void *)r->by_task);
	free(r->ev);
	memset(r, 0, sizeof(*r));
}

void rec_say_missing(const struct rec *r)
{
	if (!r->sum.events_max) {
		cli_say("nothing is recorded: MOBULA_RECORD_EVENTS was 0 when "
			"the session was made");
	} else if (r->sum.lost) {
		cli_say("%llu events were lost, overwritten by later ones; "
			"those of the last %.3g s are all there: a process "
			"keeps %u; more with MOBULA_RECORD_EVENTS",
			(unsigned long long)r->sum.lost,
			(double)(r->sum.now_ns - r->sum.whole_ns) / 1e9,
			r->sum.events_max);
	}
	if (r->sum.torn) {
		cli_say("%llu events are not whole: who wrote them was killed, "
			"or writes",
			(unsigned long long)r->sum.torn);
	}
}

/* ---- tasks and runs ---- */

size_t rec_of_task(const struct rec *r, uint64_t task,
		   const struct mob_event *const **out_first)
{
	size_t low = 0;
	size_t high = r->n;
	size_t n = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->by_task[mid]->task < task) {
			low = mid + 1;
		} else {
			high = mid;
		}
	}
	while (low + n < r->n && r->by_task[low + n]->task == task) {
		n++;
	}
	*out_first = r->by_task + low;
	return n;
}

static bool ends_run(uint32_t kind)
{
	return kind == MOB_EVENT_FINISHED || kind == MOB_EVENT_FAILED ||
	       kind == MOB_EVENT_RETRIED || kind == MOB_EVENT_CANCELLED ||
	       kind == MOB_EVENT_CRASHED;
}

void rec_runs(const struct mob_event *const *e, size_t n,
	      void (*fn)(const struct rec_run *run, void *arg), void *arg)
{
	struct rec_run run = { 0 };
	uint64_t queued = 0;

	for (size_t i = 0; i < n; i++) {
		if (e[i]->kind == MOB_EVENT_QUEUED) {
			queued = e[i]->time_ns;
		} else if (e[i]->kind == MOB_EVENT_STARTED) {
			if (run.start_ns) {
				fn(&run, arg); /* its end is lost */
			}
			run = (struct rec_run){ .task = e[i]->task,
						.name = e[i]->name,
						.attempt = e[i]->attempt,
						.process = e[i]->process,
						.pid = e[i]->pid,
						.queued_ns = queued,
						.start_ns = e[i]->time_ns };
			queued = 0;
		} else if (ends_run(e[i]->kind) && run.start_ns) {
			run.end = e[i]->kind;
			run.end_ns = e[i]->time_ns;
			run.code = e[i]->code;
			run.signal = e[i]->signal;
			fn(&run, arg);
			run.start_ns = 0;
		}
	}
	if (run.start_ns) {
		fn(&run, arg);
	}
}

void rec_tasks(const struct rec *r,
	       void (*fn)(const struct mob_event *const *e, size_t n,
			  void *arg),
	       void *arg)
{
	size_t n;

	for (size_t i = 0; i < r->n; i += n) {
		n = 1;
		while (i + n < r->n &&
		       r->by_task[i + n]->task == r->by_task[i]->task) {
			n++;
		}
		if (r->by_task[i]->task) {
			fn(r->by_task + i, n, arg);
		}
	}
}
