/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A made-up day of one domain in virtual time: tasks come from a driver and
 * from other tasks, have jobs, priorities, deadlines and costs (some unknown),
 * are cancelled and get new ranks while they wait; workers leave, with the task
 * they run, and come back. The queues and the calls are the real ones. Every
 * step looks for what a policy can do wrong: answer with a queue that does not
 * exist, starve what waits, write beyond its state or into a task. A day in
 * which the state moves about must be like one in which it does not, or the
 * policy keeps pointers or static variables.
 */
#include "policy_day.h"

#include "err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 10000u
#define WORKERS_MAX 7u
#define JOBS 8u
#define GUARD 256u
#define GUARD_BYTE 0xa5
#define MOVE_EVERY 64u
#define NO_TASK UINT32_MAX

enum { WAITING, QUEUED, RUNNING, DONE, CANCELLED };
enum { ARRIVE, END, LEAVE, RETURN, CANCEL, RERANK, TICK };

struct event {
	uint64_t at;
	uint32_t kind;
	uint32_t what;
	uint32_t attempt; /* END: of the task */
};

struct task {
	struct mob_sched_task t;
	uint64_t run_ns;
	uint32_t state;
	uint32_t first_child, next_child;
	uint32_t worker;
};

struct mobi_day {
	const char *name; /* of the check */
	struct mobi_policy policy;
	struct mobi_policy_call call;
	struct mobi_policy_stamp stamp;
	struct mobi_queues *queues;
	unsigned char *home[2]; /* {guard, state, guard} */
	uint32_t at_home;
	bool moves;
	uint32_t calls;
	uint32_t workers;
	uint64_t seed, rnd;
	uint64_t trace; /* hash of what ran where and when */
	struct task task[TASKS];
	struct event heap[3 * TASKS + 64];
	uint32_t n_events;
	uint64_t now, up, busy_until[WORKERS_MAX];
	uint32_t running[WORKERS_MAX];
};

/* ---- helpers ---- */

static uint64_t day_rnd(struct mobi_day *d)
{
	d->seed ^= d->seed << 13;
	d->seed ^= d->seed >> 7;
	d->seed ^= d->seed << 17;
	return d->seed;
}

static void event_push(struct mobi_day *d, struct event e)
{
	uint32_t i = d->n_events++;

	while (i) {
		uint32_t up = (i - 1) / 2;

		if (d->heap[up].at <= e.at) {
			break;
		}
		d->heap[i] = d->heap[up];
		i = up;
	}
	d->heap[i] = e;
}

static struct event event_pop(struct mobi_day *d)
{
	struct event top = d->heap[0];
	struct event last = d->heap[--d->n_events];
	uint32_t i = 0;

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c + 1 < d->n_events && d->heap[c + 1].at < d->heap[c].at) {
			c++;
		}
		if (c >= d->n_events || d->heap[c].at >= last.at) {
			break;
		}
		d->heap[i] = d->heap[c];
		i = c;
	}
	d->heap[i] = last;
	return top;
}

static bool guarded(const struct mobi_day *d)
{
	const unsigned char *b = d->home[d->at_home];
	uint32_t n = mobi_policy_state_bytes(&d->policy);

	for (uint32_t i = 0; i < GUARD; i++) {
		if (b[i] != GUARD_BYTE || b[GUARD + n + i] != GUARD_BYTE) {
			return false;
		}
	}
	return true;
}

/* The state to the other home; what was left behind is made unusable. */
static void move_state(struct mobi_day *d)
{
	uint32_t n = mobi_policy_state_bytes(&d->policy);
	unsigned char *old = d->home[d->at_home];
	unsigned char *new = d->home[1 - d->at_home];

	memcpy(new, old, n + 2 * GUARD);
	memset(old, 0xdd, n + 2 * GUARD);
	d->at_home = 1 - d->at_home;
	d->call.state = new + GUARD;
}

static void before(struct mobi_day *d)
{
	d->call.now_ns = d->now;
	mobi_policy_begin(&d->call, d->busy_until, &d->up);
	if (d->moves && d->calls % MOVE_EVERY == MOVE_EVERY - 1) {
		move_state(d);
	}
	d->calls++;
}

/* What one call did. before_call: the task as it was, or NULL. */
static int after(struct mobi_day *d, enum mobi_policy_op op,
		 const struct task *t, const struct mob_sched_task *before_call)
{
	const char *name = d->policy.plugin->name;
	unsigned long long what = mobi_load(&d->stamp.bad_what);

	if (mobi_load(&d->stamp.strikes) && op == MOBI_POLICY_PICK) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s, %s: pick answered 0x%llx, which is "
				"no queue, or a count above max",
				name, d->name, what);
	}
	if (mobi_load(&d->stamp.strikes)) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s, %s: %s answered queue 0x%llx for "
				"task %llu; there is no such queue",
				name, d->name, mobi_policy_op_name(op), what,
				t ? (unsigned long long)t->t.id : 0);
	}
	if (!guarded(d)) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s, %s: %s wrote outside its state of "
				"%u bytes; set state_bytes",
				name, d->name, mobi_policy_op_name(op),
				mobi_policy_state_bytes(&d->policy));
	}
	if (before_call && memcmp(before_call, &t->t, sizeof(t->t)) != 0) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s, %s: %s wrote into task %llu", name,
				d->name, mobi_policy_op_name(op),
				(unsigned long long)before_call->id);
	}
	return 0;
}

/* ---- what happens to a task ---- */

static int queue_task(struct mobi_day *d, uint32_t i, enum mobi_policy_op op)
{
	struct task *t = &d->task[i];
	struct mob_sched_task was;
	struct mob_place p;
	int rc;

	t->t.ready_ns = d->now;
	was = t->t;
	before(d);
	p = op == MOBI_POLICY_RERANK ? mobi_policy_rerank(&d->call, &t->t) :
				       mobi_policy_place(&d->call, &t->t);
	rc = after(d, op, t, &was);
	if (rc < 0) {
		return rc;
	}
	t->state = QUEUED;
	(void)mobi_queues_push(d->queues, &(struct mobi_queue_entry){
						  .task = i,
						  .version = t->t.attempt,
						  .queue = p.queue,
						  .rank = p.rank,
					  });
	return 0;
}

static int cancel_task(struct mobi_day *d, uint32_t i)
{
	struct task *t = &d->task[i];
	struct mob_sched_task was = t->t;

	if (t->state != QUEUED) {
		return 0;
	}
	(void)mobi_queues_remove(d->queues, i);
	t->state = CANCELLED;
	before(d);
	mobi_policy_remove(&d->call, &t->t);
	return after(d, MOBI_POLICY_REMOVE, t, &was);
}

static int rerank_task(struct mobi_day *d, uint32_t i)
{
	struct task *t = &d->task[i];

	if (t->state != QUEUED) {
		return 0;
	}
	(void)mobi_queues_remove(d->queues, i);
	t->t.priority += 3;
	t->t.deadline_ns = d->now + 1000000;
	return queue_task(d, i, MOBI_POLICY_RERANK);
}

static void start_task(struct mobi_day *d, uint32_t i, uint32_t w)
{
	struct task *t = &d->task[i];

	t->state = RUNNING;
	t->worker = w;
	d->running[w] = i;
	d->busy_until[w] = t->t.cost_ns ? d->now + t->t.cost_ns : UINT64_MAX;
	d->trace = (d->trace ^ i ^ (uint64_t)w << 32 ^ d->now) *
		   UINT64_C(0x100000001b3);
	event_push(d, (struct event){ .at = d->now + t->run_ns,
				      .kind = END,
				      .what = i,
				      .attempt = t->t.attempt });
}

static int end_task(struct mobi_day *d, uint32_t i)
{
	struct task *t = &d->task[i];
	struct mob_sched_task was = t->t;
	struct mob_sched_run run = {
		.struct_size = (uint32_t)sizeof(run),
		.worker = t->worker,
		.ran_ns = t->run_ns,
	};
	int rc;

	t->state = DONE;
	d->busy_until[t->worker] = 0;
	d->running[t->worker] = NO_TASK;
	before(d);
	mobi_policy_done(&d->call, &t->t, &run);
	rc = after(d, MOBI_POLICY_DONE, t, &was);
	for (uint32_t c = t->first_child; rc == 0 && c != NO_TASK;
	     c = d->task[c].next_child) {
		d->task[c].t.from = t->worker;
		d->task[c].t.near = t->worker;
		rc = queue_task(d, c, MOBI_POLICY_PLACE);
	}
	return rc;
}

/* ---- what happens to a worker ---- */

static int take_out(const struct mobi_queue_entry *e, void *arg)
{
	struct mobi_day *d = arg;

	(void)mobi_queues_remove(d->queues, e->task);
	d->task[e->task].state = WAITING;
	return 0;
}

static int change_worker(struct mobi_day *d, uint32_t w, bool up)
{
	uint32_t i = d->running[w];
	int rc;

	d->up = up ? d->up | MOBI_BIT(w) : d->up & ~MOBI_BIT(w);
	d->busy_until[w] = 0;
	d->running[w] = NO_TASK;
	before(d);
	mobi_policy_worker(&d->call, w, up);
	rc = after(d, MOBI_POLICY_WORKER, NULL, NULL);
	if (rc < 0 || up) {
		return rc;
	}
	if (i != NO_TASK) {
		d->task[i].t.attempt++;
		d->task[i].state = WAITING;
	}
	(void)mobi_queues_each(d->queues, mobi_queue_of_worker(w), take_out, d);
	for (uint32_t k = 0; rc == 0 && k < TASKS; k++) {
		/* Ready once and waiting again: it was taken out here. */
		if (d->task[k].state == WAITING && d->task[k].t.ready_ns) {
			rc = queue_task(d, k, MOBI_POLICY_PLACE);
		}
	}
	return rc;
}

/* 1 if it took a task, 0, or an error. */
static int offer(struct mobi_day *d, uint32_t w)
{
	uint32_t queues[1 + WORKERS_MAX + JOBS];
	uint32_t n;
	int rc;

	before(d);
	n = mobi_policy_pick(&d->call, w, queues, d->queues->n_queues);
	rc = after(d, MOBI_POLICY_PICK, NULL, NULL);
	for (uint32_t i = 0; rc == 0 && i < n; i++) {
		struct mobi_queue_entry e;
		struct mobi_queue_want want = {
			.queue = queues[i] & ~MOB_Q_OLDEST,
			.oldest = (queues[i] & MOB_Q_OLDEST) != 0,
			.fits = UINT64_MAX,
		};

		if (mobi_queues_pop(d->queues, &want, &e)) {
			start_task(d, e.task, w);
			return 1;
		}
	}
	return rc;
}

static int starved(const struct mobi_day *d)
{
	const struct mobi_queues *q = d->queues;
	char where[48] = "the shared queue";
	uint32_t k = 0;

	while (mobi_queues_len(q, k) == 0) {
		k++;
	}
	if (k > q->workers) {
		(void)snprintf(where, sizeof(where), "the queue of job %u",
			       k - 1 - q->workers);
	} else if (k > 0) {
		(void)snprintf(where, sizeof(where), "the queue of worker %u",
			       k - 1);
	}
	return mobi_err(MOB_E_PLUGIN,
			"policy %s, %s: starvation: %u tasks wait, %u of them "
			"in %s, all workers are idle, and no pick names it",
			d->policy.plugin->name, d->name, mobi_load(&q->total),
			mobi_queues_len(q, k), where);
}

/* Idle workers take what they can. */
static int dispatch(struct mobi_day *d)
{
	bool took = true;
	bool busy = d->up == 0;

	while (took && mobi_load(&d->queues->total)) {
		took = false;
		for (uint32_t w = 0; w < d->workers; w++) {
			int rc = 0;

			if ((d->up & MOBI_BIT(w)) && d->running[w] == NO_TASK) {
				rc = offer(d, w);
			}
			if (rc < 0) {
				return rc;
			}
			took = took || rc;
		}
	}
	for (uint32_t w = 0; w < d->workers; w++) {
		busy = busy || d->running[w] != NO_TASK;
	}
	return busy || mobi_load(&d->queues->total) == 0 ? 0 : starved(d);
}

/* ---- the day ---- */

static int tick(struct mobi_day *d)
{
	before(d);
	mobi_policy_tick(&d->call);
	if (d->n_events) {
		event_push(d, (struct event){ .at = d->now + UINT64_C(10000000),
					      .kind = TICK });
	}
	return after(d, MOBI_POLICY_TICK, NULL, NULL);
}

static int happen(struct mobi_day *d, const struct event *e)
{
	const struct task *t = &d->task[e->what];

	switch (e->kind) {
	case ARRIVE:
		return queue_task(d, e->what, MOBI_POLICY_PLACE);
	case END:
		/* Else its worker left meanwhile, and it runs again. */
		return t->state == RUNNING && t->t.attempt == e->attempt ?
			       end_task(d, e->what) :
			       0;
	case LEAVE:
		return change_worker(d, e->what, false);
	case RETURN:
		return change_worker(d, e->what, true);
	case CANCEL:
		return cancel_task(d, e->what);
	case RERANK:
		return rerank_task(d, e->what);
	default:
		return tick(d);
	}
}

/* A third of the tasks comes from the driver, the rest are children of it. */
static void plan_task(struct mobi_day *d, uint32_t i, uint64_t *at)
{
	struct task *t = &d->task[i];
	uint32_t parent = i ? (uint32_t)(day_rnd(d) % i) : 0;
	uint64_t kind = day_rnd(d) % 100;

	t->run_ns = 1000 + day_rnd(d) % 200000;
	t->first_child = NO_TASK;
	t->next_child = NO_TASK;
	t->t = (struct mob_sched_task){
		.struct_size = (uint32_t)sizeof(t->t),
		.fn = (uint32_t)(day_rnd(d) % 8),
		.id = UINT64_C(0x100000000) + i,
		.seq = i,
		.from = MOB_NO_WORKER,
		.near = MOB_NO_WORKER,
		.job = (uint32_t)(day_rnd(d) % 5),
		.cpu = 10000,
		.priority = (int32_t)(day_rnd(d) % 7) - 3,
		.cost_ns = day_rnd(d) % 4 ? t->run_ns : 0,
	};
	if (i > 0 && kind < 66) {
		t->t.n_in = 1;
		t->t.in_bytes = day_rnd(d) % 1000000;
		t->next_child = d->task[parent].first_child;
		d->task[parent].first_child = i;
		return;
	}
	*at += day_rnd(d) % (600000 / d->workers);
	t->t.deadline_ns = kind < 80 ? *at + 10 * t->run_ns : 0;
	event_push(d, (struct event){ .at = *at, .kind = ARRIVE, .what = i });
	if (kind >= 97) {
		event_push(d,
			   (struct event){ .at = *at + day_rnd(d) % 100000,
					   .kind = kind == 97 ? CANCEL : RERANK,
					   .what = i });
	}
}

static void plan(struct mobi_day *d)
{
	uint64_t at = 1;

	for (uint32_t i = 0; i < TASKS; i++) {
		plan_task(d, i, &at);
	}
	for (uint32_t i = 0; d->workers > 1 && i < 10; i++) {
		uint32_t w = (uint32_t)(day_rnd(d) % d->workers);

		event_push(d, (struct event){ .at = at * (i + 1) / 12,
					      .kind = LEAVE,
					      .what = w });
		event_push(d, (struct event){ .at = at * (2 * i + 3) / 24,
					      .kind = RETURN,
					      .what = w });
	}
	event_push(d, (struct event){ .at = 1, .kind = TICK });
}

/* The children of what was cancelled never became ready. */
static int account(const struct mobi_day *d)
{
	uint32_t open = 0;

	for (uint32_t i = 0; i < TASKS; i++) {
		const struct task *t = &d->task[i];

		open += t->state == QUEUED || t->state == RUNNING ||
			(t->state == WAITING && t->t.ready_ns);
	}
	if (open || mobi_load(&d->queues->total)) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s, %s: %u tasks were never run",
				d->policy.plugin->name, d->name, open);
	}
	return 0;
}

void mobi_day_destroy(struct mobi_day *d)
{
	if (d) {
		free(d->home[0]);
		free(d->home[1]);
		free(d->queues);
		free(d);
	}
}

/* {guard, zeroed state, guard}, or NULL. */
static unsigned char *make_home(uint32_t state_bytes)
{
	size_t n = (state_bytes + 2 * GUARD + 63) & ~(size_t)63;
	unsigned char *home = aligned_alloc(64, n);

	if (home) {
		memset(home, GUARD_BYTE, n);
		memset(home + GUARD, 0, state_bytes);
	}
	return home;
}

static struct mobi_queues *make_queues(uint32_t workers)
{
	uint64_t n = mobi_queues_bytes(TASKS, workers, JOBS);
	struct mobi_queues *q = aligned_alloc(64, (n + 63) & ~UINT64_C(63));

	if (q) {
		memset(q, 0, n);
		mobi_queues_init(q, TASKS, workers, JOBS);
	}
	return q;
}

struct mobi_day *mobi_day_create(const struct mobi_policy *policy,
				 const char *name, uint32_t workers, bool moves)
{
	struct mobi_day *d = calloc(1, sizeof(*d));

	MOB_ASSERT(workers >= 1 && workers <= WORKERS_MAX);
	if (!d) {
		return NULL;
	}
	d->queues = make_queues(workers);
	d->home[0] = make_home(mobi_policy_state_bytes(policy));
	d->home[1] = make_home(mobi_policy_state_bytes(policy));
	if (!d->queues || !d->home[0] || !d->home[1]) {
		mobi_day_destroy(d);
		return NULL;
	}
	d->name = name;
	d->policy = *policy;
	d->moves = moves;
	d->workers = workers;
	d->up = MOBI_BIT(workers) - 1;
	d->seed = UINT64_C(0x9e3779b97f4a7c15);
	d->rnd = UINT64_C(88172645463325252);
	memset(d->running, 0xff, sizeof(d->running));
	d->call = (struct mobi_policy_call){
		.policy = &d->policy,
		.state = d->home[0] + GUARD,
		.queues = d->queues,
		.stamp = &d->stamp,
		.rnd = &d->rnd,
		.client = 1,
	};
	return d;
}

static int start(struct mobi_day *d)
{
	int rc;

	before(d);
	rc = mobi_policy_start(&d->call);
	return rc < 0 ? rc : after(d, MOBI_POLICY_START, NULL, NULL);
}

int mobi_day_run(struct mobi_day *d, uint64_t *out_trace)
{
	int rc;

	plan(d);
	rc = start(d);
	while (rc == 0 && d->n_events) {
		struct event e = event_pop(d);

		d->now = e.at;
		rc = happen(d, &e);
		if (rc == 0) {
			rc = dispatch(d);
		}
	}
	if (rc == 0) {
		rc = account(d);
	}
	if (rc == 0) {
		*out_trace = d->trace;
	}
	return rc;
}

int mobi_day_dump(struct mobi_day *d, size_t size)
{
	char out[4096 + 1];
	int rc = start(d);

	MOB_ASSERT(size < sizeof(out));
	if (rc < 0) {
		return rc;
	}
	memset(out, GUARD_BYTE, sizeof(out));
	before(d);
	mobi_policy_dump(&d->call, out, size);
	if ((unsigned char)out[size] != GUARD_BYTE) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s, %s: dump wrote more than the %zu "
				"bytes that it was given",
				d->policy.plugin->name, d->name, size);
	}
	return after(d, MOBI_POLICY_DUMP, NULL, NULL);
}
