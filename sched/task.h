/* SPDX-License-Identifier: Apache-2.0 */
/* Task records: from submit to the end. */
#ifndef MOBI_TASK_H
#define MOBI_TASK_H

#include "runtime.h"

struct mobi_error;

/* WAITING and all its arguments are resolved -> READY. True if it is READY
 * now. Anybody may ask, at any time. */
bool mobi_task_evaluate(struct mob_store *s, uint32_t rec);

/* So many of the objects that a task waits for are passed over: what was resolved
 * once stays so. */
uint32_t mobi_task_scanned(const struct mob_store *s, uint32_t rec,
			   uint32_t gen);
/* First object that the task of that generation waits for, or false. The record
 * may be another task's by now: then the answer means nothing. */
bool mobi_task_waits_for(const struct mob_store *s, uint32_t rec, uint32_t gen,
			 uint64_t *out_id);

/* Runs the task whose record is RUN(me) with word w since began_ns, and ends
 * it. Returns how long it ran; out_rc (may be NULL): 0, or the MOB_E_* that it
 * ended with. */
uint64_t mobi_task_run(struct mob_store *s, uint32_t rec, uint64_t w,
		       uint64_t began_ns, int *out_rc);

/* RUN with the flags that w has or has got since -> RETIRED, and all that follows.
 * False: it was not RUN by who w says. */
bool mobi_task_retire(struct mob_store *s, uint32_t rec, uint64_t w);

/* Calls fn for every return i of a record that is RUN: but for those, of a task that
 * runs to make something again, that are no more. */
void mobi_task_returns(struct mob_store *s, uint32_t rec,
		       void (*fn)(struct mob_store *s, uint64_t id, uint32_t i,
				  void *arg),
		       void *arg);

/* All returns of a record that is RUN hold the error. */
void mobi_task_fail(struct mob_store *s, uint32_t rec, struct mobi_error *e);

/* An edge of a record: its number, the generation of what it lies in, and its place
 * among all of the record, the returns first. */
struct mobi_task_edge {
	uint32_t n;
	uint32_t gen;
	uint32_t i;
};
/* Calls fn for every edge of a record that nobody else changes, also those that are
 * not in use. */
void mobi_task_edges(struct mob_store *s, uint32_t rec, uint32_t gen,
		     void (*fn)(struct mob_store *s,
				const struct mobi_task_edge *e, void *arg),
		     void *arg);

/* The error with where it arose: in a task of that name, which def defines.
 * Takes e, and gives another. */
struct mobi_error *mobi_task_place_error(struct mobi_error *e,
					 const struct mob_task_def *def,
					 const char *name, uint32_t attempt);

/* Name under which it is listed. */
/* Row + 1 of a name; 0 if there are too many, then the function's serves. */
uint8_t mobi_task_name_row(struct mobi_sched *sh, const char *name);
const char *mobi_task_name(const struct mobi_sched *sh,
			   const struct mobi_task *t);

#endif /* MOBI_TASK_H */
