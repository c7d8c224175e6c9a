/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers print.
 *
 * stdout and stderr of a worker are two files of its own in memory, which it, its
 * threads and its children append to: no process stands between, so none can be
 * made to wait, and what was written outlives a kill. The daemon reads on in them,
 * line by line, into the log of the session (output_log.h), and gives back what it
 * has read.
 *
 * Whose a line is: when a task ends that has printed, its worker appends a mark to
 * the file, before anybody can see that the task has ended. So a line belongs to
 * the mark behind it, or, if there is none yet, to the task that runs. That
 * something was printed is seen at the byte behind the end of the file, which is
 * mapped: a task that prints nothing pays for a few reads of memory.
 */
#ifndef MOBI_OUTPUT_H
#define MOBI_OUTPUT_H

#include "os_run.h"
#include "runtime.h"

#include <mobula/output.h>

/* Tells a worker of its files: "<row> <descriptor> <descriptor>", the last two the
 * stdout and stderr that the daemon has. */
#define MOBI_ENV_OUTPUT "MOBULA_OUTPUT_OF"

/* MOBI_MARK task and name MOBI_MARK_END; nothing in between: it says nothing. */
#define MOBI_MARK "\x1e\x02"
#define MOBI_MARK_END '\x03'
#define MOBI_MARK_MAX 128u

/* "<session>/out/<serial>.out" or ".err". */
void mobi_output_path(const struct mob_store *s, uint64_t serial, uint32_t i,
		      char *out, size_t size);
/* Settings of a new session, from its options and the configuration. Errors:
 * INVAL, NOT_FOUND (the directory for logs). */
int mobi_output_init(struct mob_store *s, uint32_t mode);
/* Writes the path of a log file. */
void mobi_output_log_path(const struct mob_store *s, uint64_t number, char *out,
			  size_t size);

/* ---- in a worker ---- */

/* This worker has the files that its environment tells of, or none. */
void mobi_output_attach(struct mob_store *s);
void mobi_output_detach(void);
/* What a daemon that is started by this process has as stdout and stderr: those of
 * who made the session, if they can be had, not this one's. Safe in a signal handler.
 * *io_how is to be given to mobi_output_stdio_end after the start. */
void mobi_output_stdio(const struct mob_store *s, struct mobi_run_how *io_how);
void mobi_output_stdio_end(const struct mobi_run_how *how);

/* What this worker's thread ran before. */
struct mobi_output_task {
	uint64_t task;
	uint32_t what;
};
/* A task begins: what was printed before is not its own. */
struct mobi_output_task mobi_output_enter(uint64_t task, uint32_t what);
/* Marks what it has printed so far as the running task's. */
void mobi_output_mark(void);
/* A task has ended, and was marked: what is printed from now on is another's. */
void mobi_output_leave(struct mobi_output_task before);

#endif /* MOBI_OUTPUT_H */
