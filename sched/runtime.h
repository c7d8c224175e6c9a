/* SPDX-License-Identifier: Apache-2.0 */
/* The run-time of this process: its session, its role, what it runs. */
#ifndef MOBI_RUNTIME_H
#define MOBI_RUNTIME_H

#include "sched_layout.h"
#include "segment.h"

#include <mobula/task.h>

#define MOBI_NO_PLACE UINT32_MAX

struct mobi_frame;
struct mobi_stream_out;

/* What a thread is doing. One a thread, and one more for each task that runs
 * inside a wait of another (block.c). */
struct mobi_context {
	struct mobi_context *outer;
	struct mobi_frame *frame;       /* innermost */
	struct mobi_error *error;       /* pending, or NULL */
	const struct mob_task_def *def; /* the task that runs, or NULL */
	uint64_t task;                  /* {gen, record} */
	/* A task of the library that stands for another: where its error arose, and
	 * whose result as_value is, if that is not NULL (map.h). */
	const struct mob_task_def *as;
	const void *as_value;
	const uint64_t *devices;     /* of the task, by resource: a bit each */
	struct mobi_stream_out *out; /* of a task that yields (yield.h) */
	struct mob_graph *capture;   /* records what is submitted; NULL: none */
	uint32_t attempt;
	bool reads;     /* a stream, which it could not read again */
	bool aside;     /* it cannot begin: an argument is to be made again */
	bool ran;       /* its function has returned */
	bool cancelled; /* its function has ended, and it was cancelled by then */
	bool blocked;   /* it waits, and its processor is another's */
	bool looked;    /* since then it looked for what it can run (block.c) */
	bool told;      /* since then others were woken to do so */
};

struct mobi_runtime {
	struct mob_store *store; /* NULL: no session */
	struct mobi_sched *sched;
	uint32_t role;
	uint32_t place; /* of a worker, else MOBI_NO_PLACE */
	int daemon_fd;  /* connection to the daemon, or -1 */
	bool entered;   /* through MOB_MAIN */
	bool private_session;
	pthread_t worker_thread;
	uint64_t prefetch_bytes; /* prefetch.h */
};
extern struct mobi_runtime mobi_rt;

/* This thread's context, made at first use; NULL without memory. */
struct mobi_context *mobi_context(void);
/* Puts ctx on top of this thread, takes the top off. */
void mobi_context_push(struct mobi_context *ctx);
void mobi_context_pop(struct mobi_context *ctx);
/* Ends the innermost frame, which a scope opened. */
void mobi_scope_drop(struct mobi_context *ctx);
/* Drops all frames of this thread. */
void mobi_context_clear(void);

static inline struct mobi_task *mobi_task_at(const struct mob_store *s,
					     uint32_t rec)
{
	return (struct mobi_task *)(void *)s->recs[rec].body;
}

/* Differs for each session that this process is or was in. */
uint64_t mobi_rt_serial(void);
/* STATE if there is no session. */
int mobi_rt_check(const char *call);

/* VERSION if the session is of a build whose tables are laid out otherwise. */
int mobi_rt_check_layout(const struct mob_store *s);

#endif /* MOBI_RUNTIME_H */
