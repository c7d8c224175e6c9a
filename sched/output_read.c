/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the log of what workers printed. */
#include "err.h"
#include "inspect.h"
#include "os_dir.h"
#include "os_out.h"
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF ((size_t)64 << 10)

/* The number at *io_at, which `end` follows; *io_at is behind that then, or NULL: there
 * is none. */
static uint64_t number(char **io_at, char end)
{
	char *stop = *io_at;
	uint64_t n = stop ? strtoull(stop, &stop, 10) : 0;

	*io_at = stop && stop != *io_at && *stop == end ? stop + 1 : NULL;
	return n;
}

/* "<s>.<us> <pid> out|err <record>.<gen> <name> <text>"; false: it is no line. */
static bool parse(char *line, size_t len, struct mob_output_line *out)
{
	char *at = line;
	uint64_t sec = number(&at, '.');
	uint64_t us = number(&at, ' ');
	uint64_t pid = number(&at, ' ');
	bool err = at && *at == 'e';
	uint64_t rec;
	uint64_t gen;
	char *blank;

	at = at ? strchr(at, ' ') : NULL;
	at = at ? at + 1 : NULL;
	rec = number(&at, '.');
	gen = number(&at, ' ');
	blank = at ? memchr(at, ' ', len - (size_t)(at - line)) : NULL;
	if (!blank) {
		return false;
	}
	*blank = '\0';
	*out = (struct mob_output_line){
		.struct_size = sizeof(*out),
		.stream = err ? MOB_OUTPUT_STDERR : MOB_OUTPUT_STDOUT,
		.wall_ns = sec * 1000000000u + us * 1000u,
		.task = gen << 32 | rec,
		.pid = (uint32_t)pid,
		.name = at,
		.text = blank + 1,
		.len = len - (size_t)(blank + 1 - line),
	};
	return true;
}

struct reader {
	struct mob_output_pos *pos;
	int (*fn)(const struct mob_output_line *, void *arg);
	void *arg;
	char *buf;
};

/* Tells the lines of one file from the position on. */
static int read_file(struct reader *r, int fd)
{
	for (;;) {
		ssize_t n = mobi_out_read(fd, r->buf, BUF, r->pos->off);
		char *at = r->buf;
		char *nl;

		if (n <= 0) {
			return n < 0 ? mobi_err_errno("cannot read the log") :
				       0;
		}
		while ((nl = memchr(at, '\n', (size_t)(r->buf + n - at))) !=
		       NULL) {
			struct mob_output_line line;
			int rc = 0;

			*nl = '\0';
			r->pos->off += (uint64_t)(nl + 1 - at);
			if (parse(at, (size_t)(nl - at), &line)) {
				rc = r->fn(&line, r->arg);
			}
			if (rc) {
				return rc;
			}
			at = nl + 1;
		}
		if (at == r->buf) {
			return 0; /* it has not been written to its end */
		}
	}
}

static int read_all(struct mob_session *session, struct reader *r)
{
	const struct mobi_output *o = &session->sh->output;
	int rc = 0;

	while (rc == 0) {
		uint64_t last = mobi_load(&o->last);
		uint64_t first = last > o->files ? last - o->files + 1 : 1;
		char path[4200];
		int fd;

		if (r->pos->file < first) {
			r->pos->file = first;
			r->pos->off = 0;
		}
		mobi_output_log_path(session->s, r->pos->file, path,
				     sizeof(path));
		fd = mobi_out_open_to_read(path);
		if (fd >= 0) {
			rc = read_file(r, fd);
			mobi_fd_close(fd);
		}
		if (rc || r->pos->file >= last) {
			break;
		}
		r->pos->file++;
		r->pos->off = 0;
	}
	return rc;
}

int mob_session_output(struct mob_session *session,
		       struct mob_output_pos *io_pos,
		       int (*fn)(const struct mob_output_line *, void *arg),
		       void *arg)
{
	struct reader r = { io_pos, fn, arg, NULL };
	int rc = mobi_session_check(session, "mob_session_output");

	if (rc < 0) {
		return rc;
	}
	if (session->sh->output.mode == MOB_OUTPUT_INHERIT) {
		return mobi_err(MOB_E_STATE,
				"mob_session_output: the workers of session %s "
				"print where it was made; it keeps no log",
				session->s->name);
	}
	r.buf = malloc(BUF);
	if (!r.buf) {
		return mobi_err(MOB_E_NOMEM, "mob_session_output: out of "
					     "memory");
	}
	rc = read_all(session, &r);
	free(r.buf);
	return rc;
}
