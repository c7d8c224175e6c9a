/* SPDX-License-Identifier: Apache-2.0 */
/* What a session has recorded, read once: by time, and task by task. */
#ifndef MOBI_CMD_RECORD_H
#define MOBI_CMD_RECORD_H

#include "cmd.h"

#include <mobula/record.h>

struct rec {
	struct mob_event *ev; /* by time; names are those below */
	size_t n;
	size_t size;
	const struct mob_event **by_task; /* n of them: by task, then by time */
	char **name;
	size_t n_names;
	struct mob_record sum;
};

/* Returns 0, or an exit code after it has said why. */
int rec_load(struct mob_session *s, struct rec *out_rec);
void rec_free(struct rec *r);
/* Says on stderr what is missing, if anything is. */
void rec_say_missing(const struct rec *r);

/* The events of one task: number of them, the first. */
size_t rec_of_task(const struct rec *r, uint64_t task,
		   const struct mob_event *const **out_first);

/* One attempt to run a task. */
struct rec_run {
	uint64_t task;
	const char *name;
	uint32_t attempt;
	uint32_t process; /* number of the worker */
	uint32_t pid;
	uint64_t queued_ns; /* 0: not known */
	uint64_t start_ns;
	uint64_t end_ns; /* 0: it has not ended */
	/* MOB_EVENT_* that ended it; 0: none. RETRIED and CRASHED: another may
	 * follow. */
	uint32_t end;
	int32_t code;
	uint32_t signal;
};

/* Calls fn for each attempt whose start is known among n events of a task, in
 * order. */
void rec_runs(const struct mob_event *const *e, size_t n,
	      void (*fn)(const struct rec_run *run, void *arg), void *arg);
/* Calls fn for each task with its events. */
void rec_tasks(const struct rec *r,
	       void (*fn)(const struct mob_event *const *e, size_t n,
			  void *arg),
	       void *arg);

#endif /* MOBI_CMD_RECORD_H */
