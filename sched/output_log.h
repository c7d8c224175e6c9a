/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's part of what workers print: files of workers -> log and driver. */
#ifndef MOBI_OUTPUT_LOG_H
#define MOBI_OUTPUT_LOG_H

#include "output.h"

/* A log that is written; one a session, by its daemon. NULL stands for none. */
struct mobi_outlog;

/* Begins, or goes on where a daemon before was killed. *out is NULL if the session
 * wants no log, or if it cannot be written, which is logged. */
void mobi_outlog_open(struct mob_store *s, struct mobi_outlog **out);

#define MOBI_OUTLOG_ENV 80
/*
 * Makes the files of a worker that is about to be started: how it is to be started,
 * and what is to be in its environment. Its row, or negative: it has none, and
 * prints where the daemon does.
 */
int mobi_outlog_begin(struct mobi_outlog *o, struct mobi_run_how *io_how,
		      char out_env[MOBI_OUTLOG_ENV]);
/* It was started, as pid; or not, 0. */
void mobi_outlog_started(struct mobi_outlog *o, int row, int pid);
/* It has ended. */
void mobi_outlog_ended(struct mobi_outlog *o, int pid);

/* The last line that it printed on stderr, "" if there is none. */
void mobi_outlog_last_line(const struct mobi_outlog *o, int pid, char *out,
			   size_t size);

/* Reads on, a bounded part. True: there is more at once. */
bool mobi_outlog_turn(struct mobi_outlog *o);
/* Workers that ended and are nobody's child. */
void mobi_outlog_look(struct mobi_outlog *o);
/* Reads all, gives it to the driver, which gets some seconds, and ends. */
void mobi_outlog_close(struct mobi_outlog *o);

#endif /* MOBI_OUTPUT_LOG_H */
