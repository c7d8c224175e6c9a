/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of tasks: what a task yields while it runs. yield.c says how. */
#ifndef MOBI_YIELD_H
#define MOBI_YIELD_H

#include "runtime.h"
#include "yield_layout.h"

struct mob_task_def;
struct mob_task_opts;

/* A value up to this size lies in the node, unless it is kept as an object for
 * another reason. */
#define MOBI_STREAM_VALUE_MAX 256u
/* Items of a first node. */
#define MOBI_STREAM_CAP_MIN 8u

/* ids here are {gen, slot}. */
static inline struct mobi_stream *mobi_stream_at(const struct mob_store *s,
						 uint64_t id)
{
	return (struct mobi_stream *)(void *)s->slots[(uint32_t)id].value;
}

static inline struct mobi_stream_node *
mobi_stream_node_at(const struct mob_store *s, uint64_t id)
{
	return (struct mobi_stream_node *)(void *)s->slots[(uint32_t)id].value;
}

/* ---- both ends ---- */

/* INVAL: options of streams for a task that has none. */
int mobi_stream_check(const struct mob_task_def *def,
		      const struct mob_task_opts *o);

/*
 * The stream of a task in BUILD(me) whose return is `ret`, which the caller holds:
 * SEALED, with one hold of the caller; it keeps ret alive. STORE_FULL, LIMIT.
 */
int mobi_stream_make(struct mob_store *s, const struct mob_task_def *def,
		     uint64_t producer, uint64_t ret, uint64_t *out_id);

/* An empty pending node that the caller holds, and what it writes to. */
int mobi_stream_node_new(struct mob_store *s, const struct mob_type *type,
			 uint64_t producer, uint64_t first, uint32_t cap,
			 uint64_t *out_id, void **out_at);

/* Makes `of`, which nobody else changes, keep `id` alive, too, which the caller
 * holds. *inout_hint: 0 at first. */
int mobi_stream_keep(struct mob_store *s, uint64_t of, uint64_t id,
		     uint32_t *inout_hint);

/* The node that is written next, held; who is between two nodes is helped. False:
 * the stream was read to the error at its end. For who ends the task or runs it; the
 * caller holds the stream. */
bool mobi_stream_tail(struct mob_store *s, uint64_t id, uint64_t *out_tail);

/* The return of its task; the stream keeps it alive. */
uint64_t mobi_stream_return(const struct mob_store *s, uint64_t id);

/* The returns of the task are resolved: so is the end of its stream, if it has one.
 * Before the record goes; by whoever ends it. */
void mobi_stream_over(struct mob_store *s, uint32_t rec);

/* The janitor's part, before the tasks of the dead are run again or ended: what the
 * reader of a stream was linking is undone, if it is dead. */
void mobi_stream_reap(struct mob_store *s, uint64_t id, uint64_t dead);
/* The same for what a task was linking that ran in one of them: in its returns, too. */
void mobi_stream_reap_task(struct mob_store *s, uint32_t rec);

/* Who reads in this context. */
uint64_t mobi_stream_reader(const struct mob_store *s,
			    const struct mobi_context *c);
/* Is the reader there no more? */
bool mobi_stream_reader_is_gone(const struct mob_store *s, uint64_t r);

/* ---- the reader ---- */

/* The stream of ref, held, and read by this context from now on. An object that holds
 * an error gives that; errors are pending: STATE (another reads it), LOST, TYPE,
 * BAD_REF. */
int mobi_stream_open(struct mobi_context *c, struct mob_ref ref,
		     const char *call, uint64_t *out_id);

/* ---- the producer ---- */

/* The context is going to run a task that yields; it goes on where an attempt
 * before it ended. */
int mobi_stream_begin(struct mob_store *s, struct mobi_context *c,
		      const struct mob_task_def *def, uint64_t w);
/* It has; over: the task is, and its returns are resolved. */
void mobi_stream_stop(struct mob_store *s, struct mobi_context *c, bool over);
/* How many items it has yielded. */
uint64_t mobi_stream_yielded(const struct mobi_context *c);

#endif /* MOBI_YIELD_H */
