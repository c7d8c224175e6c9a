/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing events and counting them.
 *
 * The price is paid for every task, so: no clock is read where the time is known
 * anyway; one fetch_add gives a place to write to, and the rest are plain stores;
 * counters are those of the thread. A ring of the usual size stays in the cache of
 * its processor.
 */
#include "record.h"

#include "conf.h"
#include "count.h"
#include "domain.h"
#include "err.h"
#include "fault.h"
#include "log.h"
#include "os_clock.h"
#include "place.h"
#include "task.h"
#include "wait.h"

/* Arguments of one task that are told. */
#define NEEDS_MAX 16u
/* How far back the janitor looks for the last word of a dead process. */
#define LAST_WORDS 16u

#define KIND_BITS 8
#define SUM_BITS 16

/* ---- memory ---- */

static struct mobi_record_head *head_of(const struct mob_store *s,
					uint32_t client)
{
	const struct mobi_sched *sh = s->sched;

	return (void *)((unsigned char *)s->sched + MOBI_RECORD_OFF +
			client * mobi_record_bytes(sh->record_events));
}

int mobi_record_init(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	uint64_t events;
	int rc = mobi_conf_u64(MOBI_CONF_ID_record_events, &events);

	if (rc < 0) {
		return rc;
	}
	sh->record_events = events ? 1 : 0;
	while (sh->record_events < events) {
		sh->record_events *= 2;
	}
	MOB_ASSERT((unsigned char *)mobi_gen_queues(s, MOBI_GENS) <=
			   (unsigned char *)s->sched + MOBI_RECORD_OFF &&
		   MOBI_RECORD_OFF +
				   MOBI_CLIENTS * mobi_record_bytes(
							  sh->record_events) <=
			   MOBI_SCHED_BYTES);
	return 0;
}

void mobi_record_open(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_record_head *h = head_of(s, s->me);
	uint64_t w = mobi_load(&s->clients[s->me].word);
	uint64_t off = (uint64_t)((unsigned char *)h - (unsigned char *)s->hdr);
	int rc = mobi_ctl_back(s, off, mobi_record_bytes(sh->record_events));

	if (rc < 0) {
		mobi_log(MOBI_LOG_WARN,
			 "what happens to tasks is not recorded: %s",
			 mob_err_detail(rc));
		return;
	}
	s->record.mask = sh->record_events - UINT64_C(1);
	s->record.events = sh->record_events ? h + 1 : NULL;
	s->record.head = h;
	mobi_store(&h->owner, (uint64_t)s->clients[s->me].proc.pid << 32 |
				      (uint32_t)mobi_load(&h->next));
	mobi_record_put(s, MOB_EVENT_JOINED, mobi_now_ns(), 0,
			MOBI_EV_MORE(MOBI_ROLE(w), 0, 0,
				     s->clients[s->me].proc.pid));
}

/* ---- counting ---- */

/* hot */
static struct mobi_meter *meter_of(struct mob_store *s)
{
	struct mobi_record_head *h = s->record.head;
	const struct mobi_count_row *first = s->counts +
					     (size_t)s->me * MOBI_COUNT_ROWS;

	return &h->meter[mobi_count_row(s) - first];
}

/* hot */
static void add(mobi_a64 *at, uint64_t n)
{
	if (mobi_count_here.shared) {
		(void)mobi_fetch_add(at, n);
	} else {
		/* One writer; who reads wants a number of about now. */
		mobi_store_relaxed(at, mobi_load_relaxed(at) + n);
	}
}

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t b = ns ? 64 - (uint32_t)__builtin_clzll(ns) : 0;

	return b < MOB_HISTOGRAM_BUCKETS ? b : MOB_HISTOGRAM_BUCKETS - 1;
}

/* ---- events ---- */

/* hot */
static void put(struct mob_store *s, struct mobi_meter *m, uint32_t kind,
		uint64_t ns, uint64_t task, uint64_t more)
{
	struct mobi_record_head *h = s->record.head;
	struct mobi_event *e = s->record.events;
	uint64_t when = ns << KIND_BITS | kind;
	uint64_t place;

	add(&m->n[kind % MOBI_METER_KINDS], 1);
	if (!e) {
		return;
	}
	place = mobi_fetch_add(&h->next, UINT64_C(1));
	e += place & s->record.mask;
	MOBI_FAULT("record.claimed");
	/* Whoever sees one of the new words sees seq at 0, or what comes last. */
	mobi_store_relaxed(&e->seq, UINT64_C(0));
	mobi_store_release(&e->when, when);
	MOBI_FAULT("record.half");
	mobi_store_release(&e->task, task);
	mobi_store_release(&e->more, more);
	mobi_store_release(&e->seq, (place + 1) << SUM_BITS |
					    mobi_event_sum(when, task, more));
}

static uint64_t more_of(const struct mobi_task *t, uint64_t w, uint32_t arg)
{
	return MOBI_EV_MORE(t->fn, t->name, MOBI_ATTEMPT(w), arg);
}

static uint64_t id_of(uint32_t rec, uint64_t w)
{
	return (uint64_t)MOBI_GEN(w) << 32 | (rec + 1);
}

void mobi_record_put(struct mob_store *s, uint32_t kind, uint64_t ns,
		     uint64_t task, uint64_t more)
{
	if (s->record.head) {
		put(s, meter_of(s), kind, ns, task, more);
	}
}

/* hot */
void mobi_record(struct mob_store *s, uint32_t kind, uint64_t ns, uint32_t rec,
		 uint64_t w, uint32_t arg)
{
	if (s->record.head) {
		put(s, meter_of(s), kind, ns, id_of(rec, w),
		    more_of(mobi_task_at(s, rec), w, arg));
	}
}

void mobi_record_needs(struct mob_store *s, uint32_t rec, uint32_t gen,
		       uint64_t id)
{
	static _Thread_local struct {
		uint64_t task;
		uint32_t n;
	} last __attribute__((tls_model("initial-exec")));
	uint64_t task = (uint64_t)gen << 32 | (rec + 1);
	uint64_t producer = mobi_load(&s->slots[(uint32_t)id].producer);

	if (!producer) {
		return;
	}
	if (last.task != task) {
		last.task = task;
		last.n = 0;
	}
	if (last.n++ < NEEDS_MAX) {
		mobi_record_put(s, MOB_EVENT_NEEDS, mobi_quick_ns(), task,
				producer);
	}
}

/* hot */
void mobi_record_queued(struct mob_store *s, uint32_t rec, uint64_t now)
{
	struct mobi_task *t = mobi_task_at(s, rec);
	uint64_t was = mobi_load_relaxed(&t->run_ns); /* the CAS orders it */

	if (was) {
		return; /* it is known: who put it back, or queued it before */
	}
	/* It may have been submitted since the turn began. */
	now = now > t->submit_ns ? now : t->submit_ns;
	/* Once it runs, run_ns is not ours any more. */
	if (MOBI_STATE(mobi_load(&s->recs[rec].word)) == MOBI_T_READY) {
		(void)mobi_cas64(&t->run_ns, &was, now);
	}
}

/* hot */
void mobi_record_started(struct mob_store *s, uint32_t rec, uint64_t w,
			 uint64_t began_ns)
{
	const struct mobi_task *t = mobi_task_at(s, rec);
	uint64_t kept = mobi_load_relaxed(&t->run_ns); /* by who queued it */
	uint64_t queued = kept                    ? kept :
			  t->submit_ns > began_ns ? t->submit_ns :
						    began_ns;
	uint64_t waited = queued < began_ns ? began_ns - queued : 0;
	uint32_t told = (uint32_t)waited + 1;
	struct mobi_meter *m;

	if (!s->record.head) {
		return;
	}
	m = meter_of(s);
	add(&m->wait[bucket_of(waited)], 1);
	add(&m->wait_ns, waited);
	if (waited >= UINT32_MAX) {
		put(s, m, MOB_EVENT_QUEUED, queued, id_of(rec, w),
		    more_of(t, w, 0));
		told = 0;
	}
	put(s, m, MOB_EVENT_STARTED, began_ns > queued ? began_ns : queued,
	    id_of(rec, w), more_of(t, w, told));
}

/* hot */
void mobi_record_ended(struct mob_store *s, uint32_t kind, uint32_t rec,
		       uint64_t w, uint64_t ran_ns, int code)
{
	const struct mobi_task *t = mobi_task_at(s, rec);
	uint64_t began = mobi_load_relaxed(&t->run_ns); /* our own */
	struct mobi_meter *m;

	if (!s->record.head) {
		return;
	}
	m = meter_of(s);
	add(&m->run[bucket_of(ran_ns)], 1);
	add(&m->run_ns, ran_ns);
	put(s, m, kind, began + ran_ns, id_of(rec, w),
	    more_of(t, w, (uint32_t)code));
}

void mobi_record_blocked(struct mob_store *s, uint64_t task, uint64_t id)
{
	uint64_t producer = 0;

	if (id && !mobi_is_any(id)) {
		producer = mobi_load(
			&s->slots[(uint32_t)id % MOBI_SLOTS].producer);
	}
	mobi_record_put(s, MOB_EVENT_BLOCKED, mobi_quick_ns(), task + 1,
			producer);
}

void mobi_record_resumed(struct mob_store *s, uint64_t task)
{
	mobi_record_put(s, MOB_EVENT_RESUMED, mobi_quick_ns(), task + 1, 0);
}

/* ---- of the dead ---- */

static bool is_end(uint32_t kind)
{
	return kind == MOB_EVENT_FINISHED || kind == MOB_EVENT_FAILED ||
	       kind == MOB_EVENT_CANCELLED;
}

/* Has the dead process told that this attempt ended? */
static bool has_told(const struct mob_store *s, uint32_t client, uint64_t task,
		     uint32_t attempt)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_record_head *h = mobi_record_at(s, client);
	uint64_t next = h ? mobi_load(&h->next) : 0;
	uint64_t from = next > LAST_WORDS ? next - LAST_WORDS : 0;
	struct mobi_event_read e;

	for (uint64_t i = from; i < next; i++) {
		if (mobi_event_read(h, sh->record_events, i, &e) ==
			    MOBI_EVENT_WHOLE &&
		    is_end(e.when & 255u) && e.task == task &&
		    (uint32_t)(e.more >> 32 & 255u) == attempt) {
			return true;
		}
	}
	return false;
}

void mobi_record_finished_for(struct mob_store *s, uint32_t rec, uint64_t w)
{
	uint64_t task = (uint64_t)MOBI_GEN(w) << 32 | (rec + 1);
	uint32_t ret = (uint32_t)mobi_load(&s->recs[rec].edge[0].ref);
	bool failed = MOBI_STATE(mobi_load(&s->slots[ret % MOBI_SLOTS].word)) ==
		      MOBI_S_FAILED;

	if (!has_told(s, MOBI_ROWNER(w) % MOBI_CLIENTS, task,
		      MOBI_ATTEMPT(w))) {
		mobi_record(s, failed ? MOB_EVENT_FAILED : MOB_EVENT_FINISHED,
			    mobi_quick_ns(), rec, w, 0);
	}
}

/* As waitpid tells it; 0: nobody has seen it. */
static uint32_t status_of(const struct mob_store *s,
			  const struct mobi_place_shared *p, uint32_t client)
{
	uint32_t status;

	return mobi_place_status(s, p, client, &status) ? status : 0;
}

void mobi_record_crashed(struct mob_store *s, uint32_t rec, uint64_t w)
{
	struct mobi_sched *sh = s->sched;
	uint32_t status = 0;

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		if (mobi_load(&sh->place[i].client) == MOBI_ROWNER(w)) {
			status = status_of(s, &sh->place[i], MOBI_ROWNER(w));
		}
	}
	mobi_record(s, MOB_EVENT_CRASHED, mobi_quick_ns(), rec, w, status);
}

void mobi_record_died(struct mob_store *s, const struct mobi_place_shared *p,
		      uint32_t client)
{
	mobi_record_put(s, MOB_EVENT_DIED, mobi_now_ns(), 0,
			MOBI_EV_MORE(0, client, 0, status_of(s, p, client)));
}
