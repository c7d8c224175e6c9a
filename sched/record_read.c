/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what is recorded. The rings are read while they are written: an event is
 * copied, and taken only if its seq was the same before and after and fits its
 * place and its words.
 */
#include "record.h"

#include "err.h"
#include "fault.h"
#include "inspect.h"
#include "os_clock.h"
#include "os_run.h"
#include "task.h"

#include <stdlib.h>
#include <string.h>

#define SUM_BITS 16
#define PLACE_MASK ((UINT64_C(1) << 48) - 1)

const char *mob_event_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		[MOB_EVENT_SUBMITTED] = "submitted",
		[MOB_EVENT_NEEDS] = "needs",
		[MOB_EVENT_QUEUED] = "queued",
		[MOB_EVENT_STARTED] = "started",
		[MOB_EVENT_BLOCKED] = "blocked",
		[MOB_EVENT_RESUMED] = "resumed",
		[MOB_EVENT_FINISHED] = "finished",
		[MOB_EVENT_FAILED] = "failed",
		[MOB_EVENT_RETRIED] = "retried",
		[MOB_EVENT_CANCELLED] = "cancelled",
		[MOB_EVENT_CRASHED] = "crashed",
		[MOB_EVENT_JOINED] = "joined",
		[MOB_EVENT_LEFT] = "left",
		[MOB_EVENT_DIED] = "died",
		[MOB_EVENT_REMADE] = "remade",
	};

	return kind && kind < sizeof(names) / sizeof(names[0]) ? names[kind] :
								 "?";
}

/* ---- rings ---- */

static bool backed(const struct mob_store *s, uint64_t off, uint64_t len)
{
	for (uint64_t x = off / MOBI_EXTENT; x <= (off + len - 1) / MOBI_EXTENT;
	     x++) {
		if (!(mobi_load(&s->hdr->backed[x / 64]) & MOBI_BIT(x % 64))) {
			return false;
		}
	}
	return true;
}

const struct mobi_record_head *mobi_record_at(const struct mob_store *s,
					      uint32_t client)
{
	const struct mobi_sched *sh = s->sched;
	uint32_t events = sh->record_events;
	uint64_t bytes;
	const unsigned char *at;

	if (!client || client >= MOBI_CLIENTS ||
	    events > MOBI_RECORD_EVENTS_MAX || (events & (events - 1))) {
		return NULL;
	}
	bytes = mobi_record_bytes(events);
	at = (const unsigned char *)s->sched + MOBI_RECORD_OFF + client * bytes;
	return backed(s, (uint64_t)(at - (const unsigned char *)s->hdr),
		      bytes) ?
		       (const void *)at :
		       NULL;
}

enum mobi_event_state mobi_event_read(const struct mobi_record_head *h,
				      uint32_t events, uint64_t place,
				      struct mobi_event_read *out)
{
	const struct mobi_event *e = (const void *)(h + 1);
	uint64_t seq;
	uint64_t again;

	e += place & (events - 1);
	seq = mobi_load_acquire(&e->seq);
	out->when = mobi_load_acquire(&e->when);
	out->task = mobi_load_acquire(&e->task);
	out->more = mobi_load_acquire(&e->more);
	again = mobi_load_relaxed(&e->seq); /* after the three */
	if (seq == again && seq >> SUM_BITS == ((place + 1) & PLACE_MASK) &&
	    (seq & 0xffffu) ==
		    mobi_event_sum(out->when, out->task, out->more)) {
		return MOBI_EVENT_WHOLE;
	}
	/* A round later? */
	return mobi_load(&h->next) > place + events ? MOBI_EVENT_LOST :
						      MOBI_EVENT_TORN;
}

/* ---- all events of a session, by time ---- */

struct row {
	struct mobi_event_read e;
	uint64_t place;
	uint32_t client;
	uint32_t pid;
};

struct rows {
	struct row *at;
	size_t n;
	size_t size;
	bool counts;    /* nothing else is wanted */
	bool no_memory; /* for all of them */
	struct mob_record sum;
};

static uint64_t ns_of(const struct row *r)
{
	return r->e.when >> 8;
}

static uint32_t kind_of(const struct row *r)
{
	return (uint32_t)r->e.when & 255u;
}

static int earlier(const void *a, const void *b)
{
	const struct row *x = a;
	const struct row *y = b;

	if (ns_of(x) != ns_of(y)) {
		return ns_of(x) < ns_of(y) ? -1 : 1;
	}
	if (kind_of(x) != kind_of(y)) {
		return kind_of(x) < kind_of(y) ? -1 : 1;
	}
	if (x->client != y->client) {
		return x->client < y->client ? -1 : 1;
	}
	return x->place < y->place ? -1 : x->place > y->place;
}

/* More may come while they are read than there were at first. */
static void add_row(struct rows *rows, const struct row *r)
{
	if (rows->n == rows->size) {
		size_t size = rows->size ? 2 * rows->size : 4096;
		struct row *at = realloc(rows->at, size * sizeof(*at));

		if (!at) {
			rows->no_memory = true;
			return;
		}
		rows->at = at;
		rows->size = size;
	}
	rows->at[rows->n++] = *r;
}

/* One that started tells since when it was queued. */
static void add_queued(struct rows *rows, const struct row *started)
{
	struct row r = *started;
	uint32_t told = (uint32_t)r.e.more;

	if (kind_of(&r) == MOB_EVENT_STARTED && told) {
		r.e.when = (ns_of(&r) - (told - 1)) << 8 | MOB_EVENT_QUEUED;
		add_row(rows, &r);
	}
}

/* A process has lost what was before. */
static void whole_from(struct rows *rows, uint64_t ns)
{
	rows->sum.whole_ns = ns > rows->sum.whole_ns ? ns : rows->sum.whole_ns;
}

static void read_ring(const struct mob_store *s, uint32_t client,
		      struct rows *rows)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_record_head *h = mobi_record_at(s, client);
	uint32_t events = sh->record_events;
	uint64_t next = h && events ? mobi_load(&h->next) : 0;
	uint64_t from = next > events ? next - events : 0;
	uint64_t owner = h ? mobi_load(&h->owner) : 0;
	bool lost = from > 0; /* one before what is next */
	uint32_t pid = 0;

	rows->sum.written += next;
	rows->sum.lost += from;
	for (uint64_t p = from; p < next; p++) {
		struct row r = { .place = p, .client = client };
		enum mobi_event_state st = mobi_event_read(h, events, p, &r.e);

		rows->sum.lost += st == MOBI_EVENT_LOST;
		rows->sum.torn += st == MOBI_EVENT_TORN;
		rows->sum.kept += st == MOBI_EVENT_WHOLE;
		lost |= st == MOBI_EVENT_LOST;
		if (st != MOBI_EVENT_WHOLE) {
			continue;
		}
		if (lost) {
			whole_from(rows, ns_of(&r));
			lost = false;
		}
		if (rows->counts) {
			continue;
		}
		if (kind_of(&r) == MOB_EVENT_JOINED) {
			pid = (uint32_t)r.e.more;
		}
		r.pid = (uint32_t)((uint32_t)p - (uint32_t)owner) <= INT32_MAX ?
				(uint32_t)(owner >> 32) :
				pid;
		add_queued(rows, &r);
		add_row(rows, &r);
	}
	if (lost) {
		whole_from(rows, mobi_now_ns());
	}
}

static void read_all(const struct mob_store *s, struct rows *rows)
{
	const struct mobi_sched *sh = s->sched;

	rows->sum.struct_size = (uint32_t)sizeof(rows->sum);
	rows->sum.events_max = sh->record_events;
	for (uint32_t c = 1; c < MOBI_CLIENTS && !rows->no_memory; c++) {
		MOBI_FAULT("record.read");
		read_ring(s, c, rows);
	}
	rows->sum.now_ns = mobi_now_ns(); /* after all of them */
}

/* The text of a row of names or functions, "?" if there is none. */
static void name_of(const struct mobi_sched *sh, uint64_t more, char *out,
		    size_t size)
{
	uint32_t fn = (uint32_t)(more >> 48);
	uint32_t own = (uint32_t)(more >> 40) & 255u;

	if (own) {
		mobi_session_text(out, size, sh->name[own - 1].text,
				  sizeof(sh->name[0].text));
	} else if (fn < MOBI_FUNCTIONS) {
		mobi_session_text(out, size, sh->fn[fn].name,
				  sizeof(sh->fn[0].name));
	} else {
		mobi_session_text(out, size, "?", 1);
	}
}

static void tell(struct mob_session *session, const struct row *r,
		 struct mob_event *out)
{
	uint32_t kind = kind_of(r);
	uint64_t more = r->e.more;

	memset(out, 0, sizeof(*out));
	out->struct_size = (uint32_t)sizeof(*out);
	out->kind = kind;
	out->time_ns = ns_of(r);
	out->task = r->e.task;
	out->process = r->client;
	out->of = r->client;
	out->pid = r->pid;
	session->task[0] = '\0';
	out->name = session->task;
	switch (kind) {
	case MOB_EVENT_NEEDS:
	case MOB_EVENT_BLOCKED:
	case MOB_EVENT_RESUMED:
		out->other = more;
		return;
	case MOB_EVENT_JOINED:
		out->code = (int32_t)(more >> 48);
		return;
	case MOB_EVENT_LEFT:
		return;
	case MOB_EVENT_DIED:
		out->of = (uint32_t)(more >> 40) & 255u;
		mobi_status_split((int)(uint32_t)more, &out->signal,
				  (uint32_t *)&out->code);
		return;
	default:
		break;
	}
	name_of(session->sh, more, session->task, sizeof(session->task));
	if (kind != MOB_EVENT_SUBMITTED && kind != MOB_EVENT_QUEUED) {
		out->attempt = ((uint32_t)(more >> 32) & 255u) + 1;
	}
	if (kind == MOB_EVENT_CRASHED) {
		mobi_status_split((int)(uint32_t)more, &out->signal,
				  (uint32_t *)&out->code);
	} else if (kind == MOB_EVENT_FAILED || kind == MOB_EVENT_RETRIED) {
		out->code = (int32_t)(uint32_t)more;
	}
}

int mob_session_events_with(struct mob_session *session,
			    int (*fn)(const struct mob_event *, void *arg),
			    void *arg, struct mob_record *io_record)
{
	struct rows rows = { 0 };
	struct mob_event out;
	int rc = mobi_session_check(session, "mob_session_events");

	if (rc < 0) {
		return rc;
	}
	read_all(session->s, &rows);
	if (rows.no_memory) {
		rc = mobi_err(MOB_E_NOMEM,
			      "mob_session_events: no memory for more than %zu "
			      "events",
			      rows.n);
	} else {
		rc = mobi_session_fill("mob_session_events", io_record,
				       &rows.sum, (uint32_t)sizeof(rows.sum));
	}
	if (rc >= 0 && rows.n) {
		qsort(rows.at, rows.n, sizeof(*rows.at), earlier);
	}
	for (size_t i = 0; i < rows.n && rc == 0; i++) {
		tell(session, &rows.at[i], &out);
		rc = fn(&out, arg);
	}
	free(rows.at);
	return rc;
}

int mob_session_events(struct mob_session *session,
		       int (*fn)(const struct mob_event *, void *arg),
		       void *arg)
{
	struct mob_record sum = MOB_RECORD_INIT;

	return mob_session_events_with(session, fn, arg, &sum);
}

int mob_session_record(struct mob_session *session,
		       struct mob_record *io_record)
{
	struct rows rows = { .counts = true };
	int rc = mobi_session_check(session, "mob_session_record");

	if (rc < 0) {
		return rc;
	}
	read_all(session->s, &rows);
	return mobi_session_fill("mob_session_record", io_record, &rows.sum,
				 (uint32_t)sizeof(rows.sum));
}
