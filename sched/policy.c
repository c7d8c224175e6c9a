/* SPDX-License-Identifier: Apache-2.0 */
/* Calling policies; see policy.h. */
#include "policy.h"

#include "err.h"
#include "plugin.h"

#include <pthread.h>
#include <string.h>

#define KNOWN_FLAGS MOB_SCHED_NEEDS_COST

/* plugins/sched_fifo/fifo.c, compiled in with MOB_PLUGIN_BUILTIN. */
const struct mob_plugin *mob_plugin_builtin_fifo(void);

/* ---- loading ---- */

int mobi_policy_of(const struct mob_plugin *plugin,
		   struct mobi_policy *out_policy)
{
	const struct mob_sched_ops *ops = plugin->ops;

	if (!ops || ops->struct_size < MOB_SCHED_OPS_MIN) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s: its table has %u bytes, at least "
				"%u are needed; start it with MOB_SCHED_OPS",
				plugin->name, ops ? ops->struct_size : 0,
				MOB_SCHED_OPS_MIN);
	}
	if (ops->struct_size > sizeof(struct mob_sched_ops) ||
	    (ops->flags & ~KNOWN_FLAGS) || ops->reserved) {
		return mobi_err(MOB_E_VERSION,
				"policy %s: its table has %u bytes and flags "
				"0x%x, this Mobula knows %u bytes and flags "
				"0x%x; build it for this version",
				plugin->name, ops->struct_size, ops->flags,
				(uint32_t)sizeof(struct mob_sched_ops),
				KNOWN_FLAGS);
	}
	if (ops->state_bytes > MOB_SCHED_STATE_MAX) {
		return mobi_err(MOB_E_PLUGIN,
				"policy %s: state_bytes is %u, at most %u",
				plugin->name, ops->state_bytes,
				MOB_SCHED_STATE_MAX);
	}
	out_policy->plugin = plugin;
	out_policy->ops = ops;
	return 0;
}

static void register_builtins(void)
{
	mobi_plugin_add_builtin(mob_plugin_builtin_fifo());
}

void mobi_policy_register(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, register_builtins);
}

int mobi_policy_load(const char *name_or_path, struct mobi_policy *out_policy)
{
	const struct mob_plugin *plugin = NULL;
	int rc;

	mobi_policy_register();
	rc = mobi_plugin_load(MOB_PLUGIN_SCHED, name_or_path, MOB_SCHED_OPS_MIN,
			      &plugin);
	return rc < 0 ? rc : mobi_policy_of(plugin, out_policy);
}

struct mobi_policy mobi_policy_fallback(void)
{
	const struct mob_plugin *fifo = mob_plugin_builtin_fifo();

	return (struct mobi_policy){ .plugin = fifo, .ops = fifo->ops };
}

uint32_t mobi_policy_state_bytes(const struct mobi_policy *p)
{
	return p->ops->state_bytes;
}

/* ---- stamp ---- */

const char *mobi_policy_op_name(enum mobi_policy_op op)
{
	static const char *const names[] = {
		[MOBI_POLICY_NONE] = "none",
		[MOBI_POLICY_START] = "start",
		[MOBI_POLICY_PLACE] = "place",
		[MOBI_POLICY_PICK] = "pick",
		[MOBI_POLICY_DONE] = "done",
		[MOBI_POLICY_REMOVE] = "remove",
		[MOBI_POLICY_RERANK] = "rerank",
		[MOBI_POLICY_WORKER] = "worker",
		[MOBI_POLICY_TICK] = "tick",
		[MOBI_POLICY_DUMP] = "dump",
	};

	return (uint32_t)op < MOBI_POLICY_OPS ? names[op] : "unknown";
}

bool mobi_policy_look(const struct mobi_policy_stamp *stamp,
		      struct mobi_policy_seen *out_seen)
{
	uint64_t busy = mobi_load_acquire(&stamp->busy);
	uint64_t since = mobi_load_acquire(&stamp->since_ns);

	/* One that ended while we looked is not stuck. */
	if ((busy & 0xffff) == 0 || mobi_load_acquire(&stamp->busy) != busy) {
		return false;
	}
	out_seen->busy = busy;
	out_seen->since_ns = since;
	out_seen->client = (uint32_t)(busy >> 16) & 0xffff;
	out_seen->op = (enum mobi_policy_op)(busy & 0xffff);
	return true;
}

/*
 * Only the holder of the lock writes the stamp, so its own last value needs no
 * order. Release: since_ns is there before busy says so. A watchdog that sees
 * either late only looks once more.
 */
static void enter(struct mobi_policy_call *c, enum mobi_policy_op op)
{
	uint64_t call = (mobi_load_relaxed(&c->stamp->busy) >> 32) + 1;

	mobi_store_release(&c->stamp->since_ns, c->now_ns);
	mobi_store_release(&c->stamp->busy,
			   call << 32 | (uint64_t)(c->client & 0xffff) << 16 |
				   (uint64_t)op);
}

static void leave(struct mobi_policy_call *c)
{
	uint64_t call = mobi_load_relaxed(&c->stamp->busy) >> 32;

	mobi_store_release(&c->stamp->busy, call << 32);
}

static void strike(struct mobi_policy_call *c, enum mobi_policy_op op,
		   uint64_t what)
{
	mobi_store_release(&c->stamp->bad_op, (uint32_t)op);
	mobi_store_release(&c->stamp->bad_what, what);
	mobi_fetch_add(&c->stamp->strikes, 1);
}

/* ---- the host of a call ---- */

static uint64_t host_now(const struct mob_sched_host *h)
{
	const struct mobi_policy_call *c = h->ctx;

	return c->now_ns;
}

/* xorshift64 */
static uint64_t host_rnd(const struct mob_sched_host *h)
{
	const struct mobi_policy_call *c = h->ctx;
	uint64_t x = *c->rnd;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*c->rnd = x;
	return x;
}

/* One more than the highest worker that is there, at least 1. */
static uint32_t workers_of(const struct mobi_queues *q, const uint64_t *up)
{
	for (uint32_t i = (q->workers + 63) / 64; i-- > 0;) {
		if (up[i]) {
			return i * 64 + 64 - (uint32_t)__builtin_clzll(up[i]);
		}
	}
	return 1;
}

void mobi_policy_begin(struct mobi_policy_call *c,
		       const uint64_t *busy_until_ns, const uint64_t *up)
{
	const uint32_t *lens = mobi_queues_lens(c->queues);

	c->host = (struct mob_sched_host){
		.struct_size = (uint32_t)sizeof(struct mob_sched_host),
		.workers = workers_of(c->queues, up),
		.jobs = c->queues->jobs,
		.ctx = c,
		.now = host_now,
		.rnd = host_rnd,
		.shared_len = &lens[MOBI_QUEUE_SHARED],
		.worker_len = &lens[mobi_queue_of_worker(0)],
		.job_len = &lens[mobi_queue_of_job(c->queues, 0)],
		.busy_until_ns = busy_until_ns,
		.up = up,
	};
}

/* The number of the queue with this name; false if there is none. */
static bool queue_of(const struct mobi_queues *q, uint32_t name,
		     uint32_t *out_queue)
{
	uint32_t i = MOB_Q_INDEX(name);

	switch (name & ~UINT32_C(0x0fffffff)) {
	case MOB_Q_SHARED:
		*out_queue = MOBI_QUEUE_SHARED;
		return i == 0;
	case MOB_Q_WORKER(0):
		*out_queue = mobi_queue_of_worker(i);
		return i < q->workers;
	case MOB_Q_JOB(0):
		*out_queue = mobi_queue_of_job(q, i);
		return true;
	default:
		return false;
	}
}

/* ---- ops ---- */

int mobi_policy_start(struct mobi_policy_call *c)
{
	const struct mob_sched_ops *ops = c->policy->ops;
	int rc = 0;

	if (MOB_HAS(ops, start)) {
		enter(c, MOBI_POLICY_START);
		rc = ops->start(&c->host, c->state);
		leave(c);
	}
	if (rc < 0) {
		return mobi_err(rc, "policy %s: start answered %d",
				c->policy->plugin->name, rc);
	}
	return 0;
}

/* From the name of a queue to its number. */
static struct mob_place settle(struct mobi_policy_call *c,
			       enum mobi_policy_op op, struct mob_place p)
{
	uint32_t queue;

	if (!queue_of(c->queues, p.queue, &queue)) {
		strike(c, op, p.queue);
		queue = MOBI_QUEUE_SHARED;
	} else if (MOB_Q_KIND(p.queue) == MOB_Q_WORKER(0) &&
		   !mob_sched_up(&c->host, MOB_Q_INDEX(p.queue))) {
		queue = MOBI_QUEUE_SHARED;
	}
	return mob_place(queue, p.rank);
}

struct mob_place mobi_policy_place(struct mobi_policy_call *c,
				   const struct mob_sched_task *task)
{
	const struct mob_sched_ops *ops = c->policy->ops;
	struct mob_place p;

	if (!MOB_HAS(ops, place)) {
		return mob_place(MOBI_QUEUE_SHARED, task->seq);
	}
	enter(c, MOBI_POLICY_PLACE);
	p = ops->place(&c->host, c->state, task);
	leave(c);
	return settle(c, MOBI_POLICY_PLACE, p);
}

struct mob_place mobi_policy_rerank(struct mobi_policy_call *c,
				    const struct mob_sched_task *task)
{
	const struct mob_sched_ops *ops = c->policy->ops;
	struct mob_place p;

	if (!MOB_HAS(ops, rerank)) {
		return mobi_policy_place(c, task);
	}
	enter(c, MOBI_POLICY_RERANK);
	p = ops->rerank(&c->host, c->state, task);
	leave(c);
	return settle(c, MOBI_POLICY_RERANK, p);
}

/* Own queue, shared one, those of jobs, the oldest of others. */
static uint32_t pick_default(const struct mobi_policy_call *c, uint32_t worker,
			     uint32_t *out_queues)
{
	const struct mobi_queues *q = c->queues;
	uint32_t own = mobi_queue_of_worker(worker);
	uint32_t n = 0;

	out_queues[n++] = own;
	out_queues[n++] = MOBI_QUEUE_SHARED;
	if (mobi_queues_len(q, own) + mobi_queues_len(q, MOBI_QUEUE_SHARED) ==
	    mobi_load_relaxed(&q->total)) {
		return n; /* the lock is held: the total does not move */
	}
	for (uint32_t k = mobi_queue_of_job(q, 0); k < q->n_queues; k++) {
		if (mobi_queues_len(q, k)) {
			out_queues[n++] = k;
		}
	}
	for (uint32_t i = 1; i < q->workers; i++) {
		uint32_t k = mobi_queue_of_worker((worker + i) % q->workers);

		if (mobi_queues_len(q, k)) {
			out_queues[n++] = k | MOB_Q_OLDEST;
		}
	}
	return n;
}

uint32_t mobi_policy_pick(struct mobi_policy_call *c, uint32_t worker,
			  uint32_t *out_queues, uint32_t max)
{
	const struct mob_sched_ops *ops = c->policy->ops;
	uint32_t n;
	uint32_t kept = 0;

	if (!MOB_HAS(ops, pick)) {
		return pick_default(c, worker, out_queues);
	}
	enter(c, MOBI_POLICY_PICK);
	n = ops->pick(&c->host, c->state, worker, out_queues, max);
	leave(c);
	if (n > max) {
		strike(c, MOBI_POLICY_PICK, n);
		n = max;
	}
	for (uint32_t i = 0; i < n; i++) {
		uint32_t name = out_queues[i];
		uint32_t queue;

		if (queue_of(c->queues, name & ~MOB_Q_OLDEST, &queue)) {
			out_queues[kept++] = queue | (name & MOB_Q_OLDEST);
		} else {
			strike(c, MOBI_POLICY_PICK, name);
		}
	}
	return kept;
}

void mobi_policy_done(struct mobi_policy_call *c,
		      const struct mob_sched_task *task,
		      const struct mob_sched_run *run)
{
	const struct mob_sched_ops *ops = c->policy->ops;

	if (MOB_HAS(ops, done)) {
		enter(c, MOBI_POLICY_DONE);
		ops->done(&c->host, c->state, task, run);
		leave(c);
	}
}

void mobi_policy_remove(struct mobi_policy_call *c,
			const struct mob_sched_task *task)
{
	const struct mob_sched_ops *ops = c->policy->ops;

	if (MOB_HAS(ops, remove)) {
		enter(c, MOBI_POLICY_REMOVE);
		ops->remove(&c->host, c->state, task);
		leave(c);
	}
}

void mobi_policy_worker(struct mobi_policy_call *c, uint32_t worker, bool up)
{
	const struct mob_sched_ops *ops = c->policy->ops;

	if (MOB_HAS(ops, worker)) {
		enter(c, MOBI_POLICY_WORKER);
		ops->worker(&c->host, c->state, worker, up);
		leave(c);
	}
}

void mobi_policy_tick(struct mobi_policy_call *c)
{
	const struct mob_sched_ops *ops = c->policy->ops;

	if (MOB_HAS(ops, tick)) {
		enter(c, MOBI_POLICY_TICK);
		ops->tick(&c->host, c->state);
		leave(c);
	}
}

void mobi_policy_dump(struct mobi_policy_call *c, char *out, size_t size)
{
	const struct mob_sched_ops *ops = c->policy->ops;

	out[0] = '\0';
	if (MOB_HAS(ops, dump)) {
		enter(c, MOBI_POLICY_DUMP);
		ops->dump(&c->host, c->state, out, size);
		leave(c);
		out[size - 1] = '\0';
	}
}
