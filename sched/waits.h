/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for whom.
 *
 * An executor is a thread that runs one thing after the other, one a process at most,
 * whose client number it has: that of a worker, or of a driver. It waits, without another way out, for
 * one object or for so many of a queue, which it has published (deadlock.h). An object
 * is made by executors:
 * by the worker that runs its task; if the task is pending, by all that make its
 * arguments; if it wishes for a resource, by those that hold it; if no task makes it,
 * by the process that has created it. Only waits_walk.c knows of tasks: what runs
 * calls of another kind is one more executor, and one more case there.
 *
 * A task that yields waits for room of its stream: for whoever may read that, or for
 * all that have it to let it go. Only waits_room.c knows of streams.
 *
 * An executor is stuck if fewer than it needs can still be made. A set of executors
 * is in deadlock if each is stuck although all others went on: the greatest such set
 * is what is left when all that can go on is taken out, until nothing changes (graph
 * reduction, which is exact for waits for k of n: Bracha and Toueg, A distributed
 * algorithm for generalized deadlock detection, 1984; for waits for all, it is
 * the cycle of Chandy, Misra and Haas, Distributed deadlock detection, 1983).
 */
#ifndef MOBI_WAITS_H
#define MOBI_WAITS_H

#include "runtime.h"

/* By whom an object is made, a bit an executor or shape; stuck if any of it is. */
struct mobi_makers {
	uint64_t threads;
	uint64_t procs;  /* unless the process has another thread */
	uint64_t shapes; /* wishes of tasks that are ready */
};

/* n of the objects that an executor waits for have these makers. */
struct mobi_choice {
	struct mobi_makers by;
	uint32_t n;
};

/* What an executor waits for, as published. */
struct mobi_wait_at {
	uint64_t seq; /* even: it does not */
	uint64_t id;
	uint64_t task; /* as published: that sleeps */
	uint32_t need;
	uint32_t kind;
	uint32_t able;  /* of the objects of a queue: are there, or will be */
	uint32_t first; /* its choices */
	uint32_t n;
};

/* A pending task on the way from an object to who makes it. */
struct mobi_wait_step {
	uint64_t object; /* that the task makes */
	uint32_t rec;
	uint32_t from; /* the step that needs the object + 1; 0: the executor */
};

struct mobi_waits {
	struct mob_store *s;
	uint8_t place_of[MOBI_CLIENTS]; /* + 1 */
	struct mobi_wait_at at[MOBI_CLIENTS];
	uint64_t waiting; /* executors that have published a wait */
	uint64_t looked;  /* of these, those that were looked at */
	uint64_t stuck;
	uint64_t shapes; /* wishes that were met */
	uint64_t stuck_shapes;
	uint64_t threads; /* whose process has more than one */
	struct mobi_choice *choice;
	uint32_t n_choice;
	uint32_t max_choice;
	struct mobi_wait_step *step;
	uint32_t n_step;
	uint32_t max_step;
	uint64_t *seen; /* {round 32, step + 1}, by record, open addressing */
	uint32_t max_seen;
	uint32_t round;
	uint64_t work; /* done so far */
	bool failed;   /* no memory, or too much work: nothing is said */
	bool decides;
};

/* Copies who waits now. Only loads from shared memory, and any process may ask, unless
 * it decides: then streams are LOCKed, each for a moment, and what is found is surely
 * true; else it might rarely not be of a stream that nobody has read yet. */
void mobi_waits_open(struct mobi_waits *k, struct mob_store *s, bool decides);
void mobi_waits_close(struct mobi_waits *k);

/*
 * The shortest cycle of executors in deadlock that begins at this one; how long it is,
 * or 0. It is true when it is returned, and stays so until one of them is
 * ended from outside.
 */
uint32_t mobi_waits_cycle(struct mobi_waits *k, uint32_t executor,
			  uint8_t out[MOBI_CLIENTS]);

/* What makes one object, by kind. */
enum mobi_maker_kind {
	MOBI_MAKER_NONE,   /* it is resolved, or whoever makes it goes on */
	MOBI_MAKER_TASK,   /* a pending task: index is its record */
	MOBI_MAKER_THREAD, /* index is an executor */
	MOBI_MAKER_PROC,   /* index is that of a process */
	MOBI_MAKER_SHAPE
};
struct mobi_maker {
	uint32_t kind;
	uint32_t index;
	uint32_t rec; /* of the task; MOBI_RECS: there is none */
};
struct mobi_maker mobi_waits_maker(const struct mobi_waits *k, uint64_t id);
/* The same for what a task ends with, and for what a process does. */
struct mobi_maker mobi_waits_task(const struct mobi_waits *k, uint32_t rec);
struct mobi_maker mobi_waits_process(const struct mobi_waits *k,
				     uint32_t client);
bool mobi_waits_unresolved(const struct mob_store *s, uint64_t id);

/* Calls fn for each unresolved object that the pending task needs, until it says
 * false. */
void mobi_waits_args(const struct mobi_waits *k, uint32_t rec,
		     bool (*fn)(void *arg, uint64_t id), void *arg);
/* Goes from an object to all executors that make it, leaving a step for each
 * pending task. Stops when `found` says true. */
void mobi_waits_walk(struct mobi_waits *k, uint64_t id,
		     bool (*found)(void *arg, struct mobi_maker m, uint64_t id,
				   uint32_t from),
		     void *arg);
/* The same from what stands for an object, or for room of a stream. */
void mobi_waits_walk_from(struct mobi_waits *k, struct mobi_maker m,
			  bool (*found)(void *arg, struct mobi_maker m,
					uint64_t id, uint32_t from),
			  void *arg);

/* The stream in which the task waits for room; false: it is gone. */
bool mobi_waits_stream(const struct mobi_waits *k, const struct mobi_wait_at *a,
		       uint64_t *out_id);
/* Calls fn for each that may make room in it; MOBI_MAKER_NONE is one that goes on, or
 * there is room. False: each of them alone can, so that all must be stuck for the
 * task to be; true: only all together can. */
bool mobi_waits_room(struct mobi_waits *k, const struct mobi_wait_at *a,
		     void (*fn)(void *arg, struct mobi_maker m), void *arg);

/* One more for an array of n that doubles; NULL without memory, and the old stays. */
void *mobi_waits_grown(void *old, uint32_t n, uint32_t *io_max, size_t size);

/* The cycle in words, at most size - 1 bytes; long ones are shortened. */
void mobi_waits_text(struct mobi_waits *k, const uint8_t *cycle, uint32_t n,
		     char *out, size_t size);
/* The executors that hold something of what the shape wishes for. */
uint64_t mobi_waits_holders(const struct mobi_waits *k, uint32_t shape);

#endif /* MOBI_WAITS_H */
