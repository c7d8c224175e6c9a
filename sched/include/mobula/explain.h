/* SPDX-License-Identifier: Apache-2.0 */
/* Why a task does not run: the first thing that it lacks. As with all of session.h,
 * nothing is locked, so the answer is of about now. */
#ifndef MOBULA_EXPLAIN_H
#define MOBULA_EXPLAIN_H

#include <mobula/session.h>

MOB_EXTERN_C_BEGIN

/* In the order in which they are asked. */
enum mob_why {
	MOB_WHY_RUNS = 1,      /* it does */
	MOB_WHY_BLOCKED = 2,   /* it does, and waits in get or wait */
	MOB_WHY_DONE = 3,      /* it has ended, its record goes in a moment */
	MOB_WHY_ARGUMENT = 4,  /* one is not resolved */
	MOB_WHY_DELAYED = 5,   /* the time of its next attempt has not come */
	MOB_WHY_TOO_LARGE = 6, /* it wishes for more than there is */
	MOB_WHY_NO_WORKER = 7, /* none lives */
	MOB_WHY_UNSEEN = 8,    /* no worker has looked at it yet */
	MOB_WHY_QUEUED = 9,    /* others are before it in its queue */
	MOB_WHY_NO_ROOM =
		10,        /* it is the next there, and the processors that it
				 wishes for are not free */
	MOB_WHY_NEXT = 11, /* it is, and they are: a worker will take it */
	MOB_WHY_NO_RESOURCE = 12, /* as NO_ROOM: not processors */
	MOB_WHY_AGAIN =
		13 /* it has ended, and a process is about to have it run again
			      for what went of its results */
};
/* "argument"; "?" for none of these. Owner: static. Thread: any. Since 0.1. */
MOB_API const char *mob_why_name(uint32_t why);

#define MOB_QUEUE_SHARED 0u /* one for all */
#define MOB_QUEUE_WORKER 1u /* of a worker */
#define MOB_QUEUE_JOB 2u    /* of a driver and all that it submits */

/* Grows at the end only; struct_size is the library's. */
struct mob_explanation {
	uint32_t struct_size;
	uint32_t why; /* enum mob_why */
	uint64_t task;
	const char *name;       /* of the task; borrowed until fn returns */
	struct mob_ref object;  /* ARGUMENT, BLOCKED: the first, or none */
	uint64_t maker;         /* task that makes it, or 0 */
	uint32_t maker_process; /* number of the process that does, if no task
				   does; 0: not known */
	uint32_t objects;       /* how many it waits for */
	uint64_t in_ns;         /* DELAYED: until its next attempt */
	uint32_t attempt;       /* that runs or will be next; 1: the first */
	uint32_t cpus;          /* that it wishes for, in 1/10,000 */
	uint32_t cpus_free;     /* likewise */
	uint32_t cpus_all;
	const char *policy; /* that decides; borrowed as name */
	uint32_t queue;     /* MOB_QUEUE_* from UNSEEN on, if it is in one */
	uint32_t queue_of;  /* number of the worker or driver */
	uint64_t before;    /* tasks of that queue that come before it */
	uint64_t queued_ns; /* for how long; 0: it is in none */
	uint32_t workers;   /* that live */
	uint32_t worker; /* RUNS, BLOCKED: its number; NEXT: of who has taken it
			       to run it next, or 0; AGAIN: of the process */
	/* TOO_LARGE, NO_RESOURCE: that it lacks, if it is not processors, and how
	 * much, in 1/10,000; or NULL. Borrowed as name. */
	const char *resource;
	uint32_t resource_wish;
	uint32_t resource_free;
	uint32_t resource_all;
	uint32_t
		pid; /* of worker, or if that is 0 of maker_process; 0: of neither */
	/* BLOCKED: the cycle of waits that it is in and that nobody has ended yet,
	 * or NULL. Borrowed as name. */
	const char *deadlock;
	/* Stopped by a signal or a debugger: nothing goes on before that does. */
	uint32_t is_stopped;       /* worker */
	uint32_t maker_is_stopped; /* maker_process */
};

/*
 * Calls fn with why the task with this id does not run. Returns what fn returned.
 * Errors: NOT_FOUND (no such task, or it has ended), CLOSED. Thread: one at a time
 * for each session. Blocks: no. Since 0.1.
 */
MOB_API int mob_session_explain(struct mob_session *session, uint64_t id,
				int (*fn)(const struct mob_explanation *,
					  void *arg),
				void *arg);

MOB_EXTERN_C_END

#endif /* MOBULA_EXPLAIN_H */
