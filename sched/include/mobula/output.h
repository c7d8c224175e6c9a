/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workers of a session have printed: each line of their stdout and stderr,
 * with the worker's process and the task that printed it, in the log of the session.
 *
 *   static int print(const struct mob_output_line *l, void *arg)
 *   {
 *           (void)arg;
 *           printf("%s %u: %.*s\n", l->name, l->pid, (int)l->len, l->text);
 *           return 0;
 *   }
 *
 *   struct mob_output_pos pos = { 0 };
 *
 *   mob_session_output(session, &pos, print, NULL);
 *
 * A line is what is written between two newlines, by any process or thread that has
 * the worker's stdout or stderr. What a task has written without a newline when it
 * ends, or when its worker dies, is a line, too. So is what the daemon of a session
 * with a name says once the program that made it has ended. In workers stdout is
 * written line by line, as on a terminal; what a process that is killed holds back in
 * its own memory is lost. A line of more than 8,191 bytes is cut into several.
 */
#ifndef MOBULA_OUTPUT_H
#define MOBULA_OUTPUT_H

#include <mobula/err.h>
#include <mobula/session.h>
#include <mobula/types.h>

MOB_EXTERN_C_BEGIN

/* Where it goes: mob_init_opts.output, or the configuration output ("auto",
 * "driver", "log", "inherit"). */
enum mob_output_mode {
	MOB_OUTPUT_AUTO = 0,   /* as configured; that is auto by default: DRIVER
				* in a private session, else LOG */
	MOB_OUTPUT_DRIVER = 1, /* to the log, and to stdout and stderr of who
				* made the session, as long as that lives:
				* "(task pid=1234) line" */
	MOB_OUTPUT_LOG = 2,    /* to the log */
	MOB_OUTPUT_INHERIT = 3 /* workers have the stdout and stderr of who made
				* the session, also when that has ended; there is
				* no log */
};

enum mob_output_stream { MOB_OUTPUT_STDOUT = 1, MOB_OUTPUT_STDERR = 2 };

struct mob_output_line {
	uint32_t struct_size;
	uint32_t stream;  /* enum mob_output_stream */
	uint64_t wall_ns; /* when it was read, since 1970 */
	uint64_t task;    /* id of the task that printed it; 0: none of them */
	uint32_t pid;     /* of the worker */
	uint32_t reserved;
	const char
		*name; /* of the task, blanks as '_'; "-" without one. Borrowed
			   * until the function returns, as text */
	const char
		*text; /* without its newline; ends in NUL, may hold others */
	size_t len;
};

/* How far a log was read; zeros: from the oldest line that is kept. */
struct mob_output_pos {
	uint64_t file;
	uint64_t off;
};

/*
 * Calls fn with each line of the session's log from *io_pos on, oldest first, until
 * it returns nonzero or there are no more; returns that, or 0. *io_pos is then
 * behind the last line that was told, and can be given again for what comes later.
 * Of lines that are no longer kept the rest is told. Of one worker and stream the
 * lines are in their order; of several, in that in which they were read.
 * Errors: STATE (the session keeps no log), CLOSED (it has ended), NOMEM, SYS.
 * Thread: one at a time for each session. Blocks: no. Since 0.1.
 */
MOB_API int
mob_session_output(struct mob_session *session, struct mob_output_pos *io_pos,
		   int (*fn)(const struct mob_output_line *, void *arg),
		   void *arg);

MOB_EXTERN_C_END

#endif /* MOBULA_OUTPUT_H */
