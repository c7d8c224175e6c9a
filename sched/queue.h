/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queues of one domain in one generation: shared, per worker, per job.
 *
 * Lives in shared memory (indexes and fixed-width integers only) or, in the
 * simulator and the checks, in private memory. Everything is used under the
 * lock of its domain; only `total` is read by others. A holder that is killed
 * leaves it in any state: nothing is repaired, mobi_queues_reset makes it
 * empty without touching the nodes, and it is filled again from the records.
 *
 * Inside a queue, tasks with the same wish for resources (a shape) are ordered
 * by (rank, arrival), and the bits of the shapes that fit now choose among
 * them: a wish that does not fit neither blocks the others nor costs a scan.
 */
#ifndef MOBI_QUEUE_H
#define MOBI_QUEUE_H

#include "atomic.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOBI_QUEUE_TASKS_MAX (1u << 21)
#define MOBI_QUEUE_QUEUES_MAX (1u << 17)
#define MOBI_QUEUE_SHAPES 64u

/* Numbers of queues. The names of the policy ABI are turned into them by
 * policy.c. */
#define MOBI_QUEUE_SHARED 0u
static inline uint32_t mobi_queue_of_worker(uint32_t w)
{
	return 1 + w;
}

/*
 * One per task record; queued if gen is that of the queues, else its other
 * fields mean nothing. A link takes 21 bits; one to itself is none. Arrivals
 * are compared by their difference, so they may wrap.
 */
struct mobi_queue_node {
	uint64_t rank;
	uint64_t meta;    /* {arrival 39, queue 17, shape 6, part 2} */
	uint64_t link[2]; /* {left, right, older}, {previous, next, newer} */
	uint32_t version;
	uint32_t gen;
};
_Static_assert(sizeof(struct mobi_queue_node) == 40, "node");

/* The order of one shape in one queue. Valid if the bit of the shape is set in
 * `shapes` of the queue. */
struct mobi_queue_head {
	uint32_t run_first, run_last; /* sorted list: most pushes end here */
	uint32_t root, least;         /* tree of ranks that came out of order */
	uint32_t oldest, newest;      /* all of it by arrival */
};
_Static_assert(sizeof(struct mobi_queue_head) == 24, "head");

struct mobi_queues {
	mobi_a32 total; /* queued tasks; others look at it without the lock */
	uint32_t reserved0[15];

	uint32_t gen;                  /* never 0 */
	uint32_t tasks, workers, jobs; /* geometry */
	uint32_t n_queues;
	uint32_t reserved1;
	uint64_t arrivals; /* pushes so far */

	/* Shapes whose best task was passed over because it did not fit, and
	 * since when. */
	uint64_t passed;
	uint64_t passed_ns[MOBI_QUEUE_SHAPES];
	uint32_t shape_len[MOBI_QUEUE_SHAPES];

	/* Offsets from this struct: uint32_t len[n_queues], uint64_t
	 * shapes[n_queues], heads [n_queues][SHAPES], nodes [tasks]. */
	uint64_t len_off, shapes_off, heads_off, nodes_off;
};
_Static_assert(offsetof(struct mobi_queues, gen) == 64, "total apart");
_Static_assert(sizeof(struct mobi_queues) == 64 + 32 + 8 + 768 + 32, "queues");

/* A task to queue, and what is handed back. */
struct mobi_queue_entry {
	uint32_t task;    /* index of its record */
	uint32_t version; /* the caller's stamp of this incarnation, rising */
	uint32_t queue;
	uint32_t shape;
	uint64_t rank;
};

/* ---- memory ----
 * The head must be backed before init; the node of a task before its push.
 */

/* Bytes from the start: all of it, and the head. At most TASKS_MAX tasks and
 * QUEUES_MAX queues (1 + workers + jobs); jobs is at least 1. */
uint64_t mobi_queues_bytes(uint32_t tasks, uint32_t workers, uint32_t jobs);
uint64_t mobi_queues_head_bytes(uint32_t workers, uint32_t jobs);
/* The bytes [off, off + returned) from the start hold the nodes of the tasks
 * [first, first + n). */
uint64_t mobi_queues_node_range(const struct mobi_queues *q, uint32_t first,
				uint32_t n, uint64_t *out_off);

/* Writes the geometry into zeroed memory aligned to 64; then generation 1. */
void mobi_queues_init(struct mobi_queues *q, uint32_t tasks, uint32_t workers,
		      uint32_t jobs);
/* Makes all queues empty, whatever state they are in. Costs the number of
 * queues, not of tasks. gen is not 0 and was not used in this memory before. */
void mobi_queues_reset(struct mobi_queues *q, uint32_t gen);

/* ---- use, under the lock ---- */

/*
 * Queues a task. The same task and version that is already queued, or a newer
 * one, stays as it is: returns false. An older one is replaced.
 */
bool mobi_queues_push(struct mobi_queues *q, const struct mobi_queue_entry *e);

struct mobi_queue_want {
	uint32_t queue;
	bool oldest;     /* the first to arrive, not the least rank */
	uint64_t fits;   /* bit s: shape s fits now */
	uint64_t now_ns; /* for passed_ns */
};

/*
 * Takes the best entry of the shapes in want->fits out. Returns false if the
 * queue has none. A shape outside fits whose best came before it is marked as
 * passed over, from now_ns on, until one of that shape is popped or none is
 * left.
 */
bool mobi_queues_pop(struct mobi_queues *q, const struct mobi_queue_want *want,
		     struct mobi_queue_entry *out_entry);

/* What pop would take now; nothing changes. */
bool mobi_queues_peek(const struct mobi_queues *q,
		      const struct mobi_queue_want *want,
		      struct mobi_queue_entry *out_entry);

/* Takes a task out wherever it is; false if it is not queued. */
bool mobi_queues_remove(struct mobi_queues *q, uint32_t task);

/* Is it queued, and how? */
bool mobi_queues_find(const struct mobi_queues *q, uint32_t task,
		      struct mobi_queue_entry *out_entry);

/* Both are queued: does a come before b in the order of ranks? */
bool mobi_queues_before(const struct mobi_queues *q, uint32_t a, uint32_t b);

/* Shapes that have entries in the queue. */
uint64_t mobi_queues_shapes(const struct mobi_queues *q, uint32_t queue);

/* When the best of this shape was first passed over; 0 if it was not. */
uint64_t mobi_queues_passed_ns(const struct mobi_queues *q, uint32_t shape);

/*
 * Calls fn for the entries of a queue, of each shape in order of arrival, until
 * it returns nonzero, which is returned. fn may remove the entry that it is
 * given, and no other.
 */
int mobi_queues_each(struct mobi_queues *q, uint32_t queue,
		     int (*fn)(const struct mobi_queue_entry *, void *arg),
		     void *arg);

/* Checks every invariant; NULL, or what is broken. Slow: for tests. */
const char *mobi_queues_check(const struct mobi_queues *q);

static inline const uint32_t *mobi_queues_lens(const struct mobi_queues *q)
{
	return (const uint32_t *)(const void *)((const char *)q + q->len_off);
}

static inline uint32_t mobi_queues_len(const struct mobi_queues *q,
				       uint32_t queue)
{
	return mobi_queues_lens(q)[queue];
}

/* Number of the queue of a job. */
static inline uint32_t mobi_queue_of_job(const struct mobi_queues *q,
					 uint32_t job)
{
	return 1 + q->workers + job % q->jobs;
}

#endif /* MOBI_QUEUE_H */
