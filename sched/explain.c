/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a task does not run. What a task waits for and in which state it is tells
 * inspect_task.c; here, what keeps one from running that could.
 */
#include "bundle.h"
#include "deadlock.h"
#include "domain.h"
#include "inspect.h"
#include "os_clock.h"
#include "pool.h"
#include "resources.h"
#include "task.h"

#include <mobula/explain.h>

#include <string.h>

const char *mob_why_name(uint32_t why)
{
	static const char *const names[] = {
		[MOB_WHY_RUNS] = "runs",
		[MOB_WHY_BLOCKED] = "blocked",
		[MOB_WHY_DONE] = "done",
		[MOB_WHY_ARGUMENT] = "argument",
		[MOB_WHY_DELAYED] = "delayed",
		[MOB_WHY_TOO_LARGE] = "too_large",
		[MOB_WHY_NO_WORKER] = "no_worker",
		[MOB_WHY_UNSEEN] = "unseen",
		[MOB_WHY_QUEUED] = "queued",
		[MOB_WHY_NO_ROOM] = "no_room",
		[MOB_WHY_NEXT] = "next",
		[MOB_WHY_NO_RESOURCE] = "no_resource",
		[MOB_WHY_AGAIN] = "again",
	};

	return why && why < sizeof(names) / sizeof(names[0]) ? names[why] : "?";
}

/* ---- processors ---- */

/* That tasks which run do not have; the rest of what workers announce is about to
 * be taken or gone. */
static uint32_t free_cpus(const struct mob_store *s)
{
	const struct mobi_sched *sh = s->sched;
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);
	uint32_t used = 0;

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		uint64_t ann = mobi_load(&sh->place[i].ann);
		uint32_t rec = (uint32_t)ann - 1;
		uint64_t w;

		if (!ann || rec >= end) {
			continue;
		}
		w = mobi_load(&s->recs[rec].word);
		if (MOBI_STATE(w) == MOBI_T_RUN &&
		    MOBI_VERSION(w) == (uint32_t)(ann >> 32)) {
			used += mobi_task_at(s, rec)->cpu;
		}
	}
	return used < sh->capacity ? sh->capacity - used : 0;
}

/* ---- queues ---- */

static uint64_t count_before(struct mob_store *s, uint32_t rec,
			     const struct mobi_queue_entry *mine)
{
	const struct mobi_sched *sh = s->sched;
	const struct mobi_queues *q =
		mobi_gen_queues(s, MOBI_CUR_INDEX(mobi_load(&sh->cur)));
	uint32_t end = mobi_pool_used(s, MOBI_POOL_REC);
	uint64_t n = 0;

	for (uint32_t r = 0; r < end; r++) {
		uint64_t w = mobi_load(&s->recs[r].word);
		struct mobi_queue_entry e;

		n += r != rec && MOBI_STATE(w) == MOBI_T_READY &&
		     mobi_task_queued(s, r, MOBI_VERSION(w), &e) &&
		     e.queue == mine->queue && mobi_queues_before(q, r, rec);
	}
	return n;
}

/* What number of queue.h is which queue. */
static void name_queue(const struct mob_store *s, uint32_t queue,
		       struct mob_explanation *out)
{
	const struct mobi_sched *sh = s->sched;
	uint32_t place = queue - mobi_queue_of_worker(0);

	out->queue = MOB_QUEUE_SHARED;
	if (queue == MOBI_QUEUE_SHARED) {
		return;
	}
	if (place < MOBI_PLACES) {
		out->queue = MOB_QUEUE_WORKER;
		out->queue_of = mobi_load(&sh->place[place].client);
	} else {
		out->queue = MOB_QUEUE_JOB;
		out->queue_of = place - MOBI_PLACES;
	}
}

/* The first resource of which it wishes for more than there is, free or at all. */
static bool lacks(const struct mobi_sched *sh, const struct mobi_task *t,
		  bool at_all, struct mob_explanation *out)
{
	const struct mobi_shape *h = &sh->shape[t->shape % MOBI_SHAPES];
	uint32_t have[MOBI_RESOURCES];

	mobi_resources_free(sh, have);
	for (uint32_t r = 0; r < sh->n_resources; r++) {
		uint32_t all = sh->resource[r].total;

		if (h->amount[r] > (at_all ? all : have[r])) {
			out->resource = sh->resource[r].name;
			out->resource_wish = h->amount[r];
			out->resource_free = have[r];
			out->resource_all = all;
			return true;
		}
	}
	return false;
}

/* READY: the first of what it lacks. */
static void explain_ready(struct mob_store *s, uint32_t rec,
			  struct mob_explanation *out)
{
	uint64_t w = mobi_load(&s->recs[rec].word);
	uint64_t now = mobi_now_ns();
	uint64_t since = mobi_load(&mobi_task_at(s, rec)->run_ns);
	struct mobi_queue_entry e;
	uint32_t place;

	if (out->cpus > out->cpus_all ||
	    lacks(s->sched, mobi_task_at(s, rec), true, out)) {
		out->why = MOB_WHY_TOO_LARGE;
		return;
	}
	if (!out->workers) {
		out->why = MOB_WHY_NO_WORKER;
		return;
	}
	if (!mobi_task_queued(s, rec, MOBI_VERSION(w), &e)) {
		const struct mobi_sched *sh = s->sched;

		out->why = MOB_WHY_UNSEEN;
		if (mobi_bundle_find(s, rec, MOBI_VERSION(w), &place)) {
			out->worker = mobi_load(&sh->place[place].client);
			out->why = MOB_WHY_NEXT;
		}
		return;
	}
	name_queue(s, e.queue, out);
	out->before = count_before(s, rec, &e);
	out->queued_ns = since && since < now ? now - since : 1;
	/* Its like that come before it do not matter then. */
	out->why = lacks(s->sched, mobi_task_at(s, rec), false, out) ?
			   MOB_WHY_NO_RESOURCE :
		   out->before                ? MOB_WHY_QUEUED :
		   out->cpus > out->cpus_free ? MOB_WHY_NO_ROOM :
						MOB_WHY_NEXT;
}

/* ---- all ---- */

/* Number of the process that makes an object which no task makes. */
static uint32_t maker_process(const struct mob_store *s, struct mob_ref ref)
{
	uint64_t w = mobi_load(&s->slots[(uint32_t)ref.lo % MOBI_SLOTS].word);

	return MOBI_GEN(w) == MOBI_GEN(ref.lo) && (w & MOBI_F_OWNED) ?
		       MOBI_MAKER(w) :
		       0;
}

/* Who has to act, and whether it can. */
static void tell_processes(const struct mob_store *s,
			   struct mob_explanation *out)
{
	const struct mobi_client *by = s->clients;
	struct mobi_proc worker = by[out->worker % MOBI_CLIENTS].proc;
	struct mobi_proc maker = by[out->maker_process % MOBI_CLIENTS].proc;

	out->is_stopped = out->worker && mobi_proc_stopped(&worker);
	out->maker_is_stopped = out->maker_process && mobi_proc_stopped(&maker);
	out->pid = out->worker        ? worker.pid :
		   out->maker_process ? maker.pid :
					0;
}

struct call {
	struct mob_session *session;
	struct mob_explanation out;
	char name[96];
	char deadlock[480];
};

static int explain(const struct mob_task_info *t, void *arg)
{
	struct call *k = arg;
	struct mob_store *s = k->session->s;
	struct mob_explanation *out = &k->out;
	uint32_t rec = (uint32_t)t->id - 1;
	const struct mobi_task *task = mobi_task_at(s, rec);
	uint64_t due = mobi_load(&task->run_ns);
	uint64_t now = mobi_now_ns();

	mobi_session_text(k->name, sizeof(k->name), t->name,
			  sizeof(k->name) - 1);
	out->task = t->id;
	out->name = k->name;
	out->object = t->waits_for;
	out->maker = t->waits_for_task;
	out->objects = t->waits;
	out->worker = t->worker;
	out->attempt = t->attempt;
	out->cpus = task->cpu;
	if (!mob_ref_is_none(t->waits_for) && !out->maker) {
		out->maker_process = maker_process(s, t->waits_for);
	}
	switch (t->state) {
	case MOB_TASK_STATE_WAITING:
		out->why = MOB_WHY_ARGUMENT;
		break;
	case MOB_TASK_STATE_RUNNING:
		out->why = MOB_WHY_RUNS;
		return 0;
	case MOB_TASK_STATE_BLOCKED:
		out->why = MOB_WHY_BLOCKED;
		if (mobi_deadlock_text(s, t->worker, k->deadlock,
				       sizeof(k->deadlock))) {
			out->deadlock = k->deadlock;
		}
		return 0;
	case MOB_TASK_STATE_DELAYED:
		out->why = MOB_WHY_DELAYED;
		out->in_ns = due > now ? due - now : 0;
		break;
	case MOB_TASK_STATE_DONE:
		out->why = MOB_WHY_DONE;
		return 0;
	default:
		explain_ready(s, rec, out);
		break;
	}
	out->attempt = t->attempt + 1;
	return 0;
}

/* One that has ended is there for others only while it is to run again. */
static bool explain_again(struct call *k, uint64_t id)
{
	struct mob_store *s = k->session->s;
	uint32_t rec = (uint32_t)id - 1;
	const struct mobi_task *t;
	uint64_t w;

	if (rec >= mobi_pool_used(s, MOBI_POOL_REC)) {
		return false;
	}
	w = mobi_load(&s->recs[rec].word);
	if (!mobi_task_remakes(w) || mobi_task_id(w, rec) != id) {
		return false;
	}
	t = mobi_task_at(s, rec);
	mobi_session_text(k->name, sizeof(k->name), mobi_task_name(s->sched, t),
			  sizeof(k->name) - 1);
	k->out.task = id;
	k->out.name = k->name;
	k->out.why = MOB_WHY_AGAIN;
	k->out.worker = MOBI_ROWNER(w) % MOBI_CLIENTS;
	k->out.attempt = MOBI_ATTEMPT(w) + 2; /* after that which has ended */
	k->out.cpus = t->cpu;
	return true;
}

int mob_session_explain(struct mob_session *session, uint64_t id,
			int (*fn)(const struct mob_explanation *, void *arg),
			void *arg)
{
	struct call k = { .session = session };
	struct mob_policy_info policy = MOB_POLICY_INFO_INIT;
	struct mobi_session_count n;
	int rc = mob_session_policy(session, &policy);

	if (rc < 0) {
		return rc;
	}
	mobi_session_count(session->s, &n);
	k.out.struct_size = (uint32_t)sizeof(k.out);
	k.out.policy = policy.name;
	k.out.workers = n.workers;
	k.out.cpus_all = session->sh->capacity;
	k.out.cpus_free = free_cpus(session->s);
	if (!explain_again(&k, id)) {
		rc = mob_session_task(session, id, explain, &k);
	}
	if (rc < 0) {
		return rc;
	}
	tell_processes(session->s, &k.out);
	return fn(&k.out, arg);
}
