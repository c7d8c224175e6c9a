/* SPDX-License-Identifier: Apache-2.0 */
/* Where lines of workers go: the files of the session's log, and the driver. */
#ifndef MOBI_OUTPUT_SINK_H
#define MOBI_OUTPUT_SINK_H

#include "output.h"

struct mobi_text {
	char *at;
	size_t n;
	size_t room;
};

/* One a daemon. Its functions are called by that thread alone. */
struct mobi_sink {
	struct mob_store *s;
	struct mobi_output *out;
	int fd; /* of the log */
	uint64_t size;
	int driver[2]; /* what does not wait; -1: not shown */
	/* Copies of what the daemon of a private session has, for daemons to come. */
	int stdio[2];
	struct mobi_text shown[2];
	struct mobi_text lines; /* of this part */
	struct mobi_text to_show;
};

/* Whose a line is. */
struct mobi_line_of {
	uint64_t task; /* {gen, record + 1}; 0: none */
	const char *name;
	uint32_t pid;
	uint32_t stream; /* 0: stdout, 1: stderr */
};

/* Opens the log, and ends what a daemon that was killed has begun. Errors: SYS,
 * PERM, NOMEM. */
int mobi_sink_open(struct mobi_sink *k, struct mob_store *s);
void mobi_sink_close(struct mobi_sink *k);
/* Adds a line, without its newline, to this part. */
void mobi_sink_line(struct mobi_sink *k, const struct mobi_line_of *w,
		    const void *at, size_t n);
/* Ends this part: its lines are in the log, and the file i of the spool is read up
 * to `done`, both or none, whoever is killed. */
void mobi_sink_commit(struct mobi_sink *k, uint32_t spool, uint32_t i,
		      uint64_t done);
/* Gives the driver what it takes without waiting. */
void mobi_sink_show(struct mobi_sink *k);
/* The driver has so much before it that no more is to be read. */
bool mobi_sink_stuck(const struct mobi_sink *k);
/* Shows the driver nothing from now on. */
void mobi_sink_leave(struct mobi_sink *k);

#endif /* MOBI_OUTPUT_SINK_H */
