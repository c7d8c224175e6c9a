/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy ABI: what a scheduling policy is asked, and what it may know.
 *
 * The host owns every task, queue, lock and clock. A policy answers two
 * questions: where does a ready task wait (place), and which queues may an
 * idle worker take from, in which order (pick). It never holds a task, so it
 * can neither lose one nor run it twice, and it can be replaced while it works.
 *
 * Rules of every op:
 * - Thread: one call at a time for one domain, under the lock of the domain.
 *   The next call may come from another process, so a static variable of the
 *   plugin is never the state of the policy; its state is the memory it is
 *   given.
 * - Blocks: no. No lock, system call, allocation, file or thread. A call that
 *   burns 20 ms of CPU time is bypassed, the policy is thrown out.
 * - The state is state_bytes of zeroed shared memory, aligned to 64. It holds
 *   no pointers: each process maps it at its own address.
 * - Time, randomness and load come from the host alone, so that the same
 *   binary runs in virtual time (the check) and gives the same answers there.
 * - Every op may be NULL or missing; its comment says what happens then. A
 *   policy with only a name is FIFO.
 * - The task, host and arrays are borrowed until the call returns.
 *
 * docs/plugins.md is the guide, plugins/template the file to copy.
 */
#ifndef MOBULA_SCHED_H
#define MOBULA_SCHED_H

#include <mobula/export.h>
#include <mobula/plugin.h>

#include <stddef.h>
#include <stdint.h>

MOB_EXTERN_C_BEGIN

/* ---- queues ----
 *
 * The host keeps one shared queue, one for each worker and one for each job.
 * A queue is ordered by rank, the least first, then by arrival.
 */
#define MOB_Q_SHARED UINT32_C(0)
#define MOB_Q_WORKER(w) (UINT32_C(0x10000000) | (uint32_t)(w))
/* Any job number is legal; jobs that are equal modulo host->jobs share one. */
#define MOB_Q_JOB(j) (UINT32_C(0x20000000) | ((uint32_t)(j)&0x0fffffffu))
/* In pick, joined to a name: take what waits longest, not the least rank. */
#define MOB_Q_OLDEST UINT32_C(0x80000000)

#define MOB_Q_KIND(q) ((q)&UINT32_C(0x70000000))
#define MOB_Q_INDEX(q) ((q)&UINT32_C(0x0fffffff))

/* No worker: the task came from a driver, or nothing is known. */
#define MOB_NO_WORKER UINT32_MAX

/* A rank that comes after all others. */
#define MOB_RANK_LAST UINT64_MAX

/* The most that state_bytes may ask for. */
#define MOB_SCHED_STATE_MAX 65536u

/* Where a task waits. */
struct mob_place {
	uint64_t rank; /* the least is taken first; ties go by arrival */
	uint32_t queue;
	uint32_t reserved; /* 0 */
};

/*
 * Facts of one task. An amount or time of 0 is unknown, or none. Does the
 * task fit on a worker now? is the host's business: whatever the policy says,
 * a task is only taken while its resources are free.
 */
struct mob_sched_task {
	uint32_t struct_size;
	uint32_t fn;      /* number of its function in this session */
	uint64_t id;      /* unique in the session, never used again */
	uint64_t seq;     /* order of submission in the session, rising */
	uint32_t from;    /* worker here that submitted it, or MOB_NO_WORKER */
	uint32_t near;    /* worker that made its largest input, likewise */
	uint32_t job;     /* which driver's */
	uint32_t attempt; /* 0 in its first run */
	uint32_t cpu;     /* wanted, in 1/10,000 of a core */
	int32_t priority; /* the user's; higher is more urgent, 0 default */
	uint64_t deadline_ns; /* on the clock of now() */
	uint64_t ready_ns;    /* when it was placed, after its last argument */
	uint64_t cost_ns;     /* expected run time, learned */
	uint64_t in_bytes;    /* bytes of its arguments that are objects */
	uint32_t n_in;        /* number of those */
	uint32_t hint;        /* a number of the submitter's, for the policy */
};

/* One finished run of a task, for done. */
struct mob_sched_run {
	uint32_t struct_size;
	uint32_t worker;
	uint64_t ran_ns;
	int32_t rc; /* 0, or the MOB_E_* that it ended with */
	uint32_t reserved;
};

/*
 * What the host offers. The arrays are snapshots under the lock: they do not
 * change during a call. Worker numbers are 0 to workers - 1; they name places
 * in the domain, a worker that died and came back has the same.
 */
struct mob_sched_host {
	uint32_t struct_size;
	uint32_t workers;
	uint32_t jobs; /* number of job queues */
	uint32_t reserved;
	void *ctx; /* the host's own */

	/* ns, monotonic; virtual in the check. The same during one call. */
	uint64_t (*now)(const struct mob_sched_host *h);
	/* 64 random bits; seeded, so a run can be repeated. */
	uint64_t (*rnd)(const struct mob_sched_host *h);

	const uint32_t *shared_len; /* tasks in the shared queue, one number */
	const uint32_t *worker_len; /* [workers] tasks in each worker's queue */
	const uint32_t *job_len;    /* [jobs] tasks in each job's queue */
	/* [workers] when its running task is expected to end; 0: it is idle,
	 * UINT64_MAX: it is busy and nobody knows until when. */
	const uint64_t *busy_until_ns;
	/* Bit w % 64 of word w / 64: the worker is there. A task placed on one
	 * that is not goes to the shared queue; this is no fault. */
	const uint64_t *up;
};

/* The table of a policy. */
struct mob_sched_ops {
	uint32_t struct_size; /* sizeof(struct mob_sched_ops) at its build */
	uint32_t flags;       /* MOB_SCHED_* */
	uint32_t state_bytes; /* at most MOB_SCHED_STATE_MAX */
	uint32_t reserved;    /* 0 */

	/*
	 * The state is there and zeroed; sets what must not be zero. Once for
	 * each new state, before any other op. Returns 0, or a negative
	 * MOB_E_*: the policy does not start, and `fifo` decides. NULL:
	 * nothing to set.
	 */
	int (*start)(const struct mob_sched_host *h, void *state);

	/*
	 * A task is ready: where does it wait? Called again for the same task
	 * if its queue was rebuilt or its worker left, so it must not count
	 * tasks. An unknown queue becomes the shared one and counts as a
	 * strike. NULL: the shared queue, rank = seq, that is submission order.
	 */
	struct mob_place (*place)(const struct mob_sched_host *h, void *state,
				  const struct mob_sched_task *task);

	/*
	 * Worker is idle: writes the queues that it may take from into queues,
	 * best first, and returns how many, at most max; max is never below
	 * 1 + workers + jobs. The host takes the first task that fits. If a
	 * task waits that fits, all workers are idle and no pick names its
	 * queue, that is starvation, and the policy is thrown out. NULL: its
	 * own queue, the shared one, the queues of jobs that are not empty,
	 * then the oldest of other workers.
	 */
	uint32_t (*pick)(const struct mob_sched_host *h, void *state,
			 uint32_t worker, uint32_t *queues, uint32_t max);

	/*
	 * A run of the task ended. Best effort: the run of a worker that was
	 * killed is not reported. NULL: not told.
	 */
	void (*done)(const struct mob_sched_host *h, void *state,
		     const struct mob_sched_task *task,
		     const struct mob_sched_run *run);

	/* A queued task was cancelled and will not run. NULL: not told. */
	void (*remove)(const struct mob_sched_host *h, void *state,
		       const struct mob_sched_task *task);

	/* Priority or deadline of a queued task changed: where does it wait
	 * now? As place. NULL: place is asked. */
	struct mob_place (*rerank)(const struct mob_sched_host *h, void *state,
				   const struct mob_sched_task *task);

	/* Worker came (up is 1) or left (0). What waited in the queue of one
	 * that left is placed again afterwards. Not called for the workers that
	 * are there at start. NULL: not told. */
	void (*worker)(const struct mob_sched_host *h, void *state,
		       uint32_t worker, uint32_t up);

	/* About every 10 ms while the domain has work. NULL: not wanted. */
	void (*tick)(const struct mob_sched_host *h, void *state);

	/* Writes what a person wants to know of the state, as text that ends
	 * in NUL, into out. NULL: nothing to say. */
	void (*dump)(const struct mob_sched_host *h, const void *state,
		     char *out, size_t size);
};

/* flags: answers are poor without cost_ns. For people, and for hosts that know
 * no costs; this one does. */
#define MOB_SCHED_NEEDS_COST UINT32_C(1)

/* The first fields of a table: `static const struct mob_sched_ops ops = {
 * MOB_SCHED_OPS, .place = place };` */
#define MOB_SCHED_OPS .struct_size = (uint32_t)sizeof(struct mob_sched_ops)

/* Shortest table that a host accepts: up to and with reserved. */
#define MOB_SCHED_OPS_MIN ((uint32_t)offsetof(struct mob_sched_ops, start))

/* Number of tasks in a queue; 0 if there is no such queue. Thread: in an op.
 * Blocks: no. Since 0.1. */
static inline uint32_t mob_sched_len(const struct mob_sched_host *h,
				     uint32_t queue)
{
	uint32_t i = MOB_Q_INDEX(queue);

	switch (MOB_Q_KIND(queue)) {
	case MOB_Q_SHARED:
		return i == 0 ? *h->shared_len : 0;
	case MOB_Q_WORKER(0):
		return i < h->workers ? h->worker_len[i] : 0;
	case MOB_Q_JOB(0):
		return h->jobs ? h->job_len[i % h->jobs] : 0;
	default:
		return 0;
	}
}

/* True if the worker is there. Thread: in an op. Blocks: no. Since 0.1. */
static inline int mob_sched_up(const struct mob_sched_host *h, uint32_t worker)
{
	return worker < h->workers && (h->up[worker / 64] >> worker % 64 & 1);
}

/* A place in one line: `return mob_place(MOB_Q_SHARED, t->cost_ns);`. Thread:
 * any. Blocks: no. Since 0.1. */
static inline struct mob_place mob_place(uint32_t queue, uint64_t rank)
{
	struct mob_place p;

	p.rank = rank;
	p.queue = queue;
	p.reserved = 0;
	return p;
}

MOB_EXTERN_C_END

#endif /* MOBULA_SCHED_H */
