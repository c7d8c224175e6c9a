/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the files of workers to the log of the session.
 *
 *   turn    for each file that has grown: the next mark in it is looked for; lines
 *           up to there are of its task, lines behind the last mark of the task that
 *           runs, unless a mark came in between: then they wait for the next turn.
 *
 * A part's lines and how far the file is read then are told to the log together
 * (output_sink.c).
 */
#include "output_log.h"

#include "err.h"
#include "log.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_out.h"
#include "output_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART ((size_t)256 << 10)
#define LINE_MAX_BYTES 8191u
#define PUNCH ((uint64_t)1 << 20)
/* A worker may be so far ahead; then the oldest of it is left out. */
#define AHEAD_MAX ((uint64_t)64 << 20)
#define AHEAD_KEPT ((uint64_t)1 << 20)
#define LAST_WORD_MS 3000

struct mark {
	uint64_t at;
	uint64_t end;
	uint64_t task;
	char name[MOBI_MARK_MAX];
	bool known;
};

struct stream {
	int fd;
	uint64_t seen;   /* size when all of it was done */
	uint64_t looked; /* no mark before it */
	uint64_t punched;
	struct mark mark; /* the next one */
};

struct mobi_outlog {
	struct mobi_sink k; /* first */
	struct mob_store *s;
	struct mobi_output *out;
	bool left; /* who made the session has ended */
	struct stream st[MOBI_SPOOLS][2];
	unsigned char part[PART];
};

/* ---- lines ---- */

/* Adds the lines among n bytes, and what is behind the last one if that is to be;
 * how many bytes that were. */
static size_t add_lines(struct mobi_outlog *o, const struct mobi_line_of *w,
			size_t n, bool rest)
{
	const unsigned char *at = o->part;
	size_t used = 0;

	/* No more than half a log file at a time. */
	while (used < n && o->k.lines.n < o->out->bytes / 2) {
		const unsigned char *nl = memchr(at + used, '\n', n - used);
		size_t len = nl ? (size_t)(nl - at) - used : n - used;

		if (len > LINE_MAX_BYTES) {
			mobi_sink_line(&o->k, w, at + used, LINE_MAX_BYTES);
			used += LINE_MAX_BYTES;
		} else if (nl) {
			mobi_sink_line(&o->k, w, at + used, len);
			used += len + 1;
		} else if (rest) {
			mobi_sink_line(&o->k, w, at + used, len);
			used = n;
		} else {
			break;
		}
	}
	return used;
}

/* ---- marks ---- */

/* What stands at `at`: 1 a mark, 0 something else, -1 perhaps half of one. */
static int read_mark(const struct stream *st, uint64_t at, struct mark *out)
{
	char buf[MOBI_MARK_MAX + 1];
	ssize_t n = mobi_out_read(st->fd, buf, MOBI_MARK_MAX, at);
	char *name;
	char *end;

	if (n < 3) {
		return -1;
	}
	buf[n] = '\0';
	end = memchr(buf, MOBI_MARK_END, (size_t)n);
	if (memcmp(buf, MOBI_MARK, 2) != 0 ||
	    (!end && n == (ssize_t)MOBI_MARK_MAX)) {
		return 0;
	}
	if (!end) {
		return -1;
	}
	*end = '\0';
	out->name[0] = '\0';
	out->task = strtoull(buf + 2, &name, 16);
	if (*name == ' ') {
		(void)snprintf(out->name, sizeof(out->name), "%s", name + 1);
	}
	out->at = at;
	out->end = at + (uint64_t)(end - buf) + 1;
	out->known = true;
	return 1;
}

/* Looks for the next mark in what is there. Returns how far lines may be read: to
 * the mark, or to what may become one, or to the end. */
static uint64_t find_mark(struct mobi_outlog *o, struct stream *st,
			  uint64_t size)
{
	while (!st->mark.known && st->looked < size) {
		uint64_t left = size - st->looked;
		ssize_t n = mobi_out_read(st->fd, o->part,
					  left < PART ? (size_t)left : PART,
					  st->looked);
		const unsigned char *hit;
		int is;

		if (n <= 0) {
			return st->looked;
		}
		hit = memchr(o->part, MOBI_MARK[0], (size_t)n);
		st->looked += hit ? (uint64_t)(hit - o->part) : (uint64_t)n;
		if (!hit) {
			continue;
		}
		is = read_mark(st, st->looked, &st->mark);
		if (is < 0) {
			return st->looked;
		}
		st->looked = is ? st->mark.end : st->looked + 1;
	}
	return st->mark.known ? st->mark.at : size;
}

/* ---- one file ---- */

/* The task that runs, if it is the same before and after. */
static bool running(const struct mobi_outlog *o, const struct mobi_spool *sp,
		    struct mobi_line_of *out)
{
	const struct mobi_sched *sh = o->s->sched;
	uint64_t task = mobi_load(&sp->task);
	uint32_t what = mobi_load(&sp->what);
	uint32_t fn = what & 0xffffu;

	out->task = task;
	out->name = "-";
	if (task && what >> 16) {
		out->name = sh->name[((what >> 16) - 1) % MOBI_NAMES].text;
	} else if (task && fn < MOBI_FUNCTIONS) {
		out->name = sh->fn[fn].name;
	}
	return mobi_load(&sp->task) == task;
}

/* Leaves out the oldest of a worker that is too far ahead. */
static void leave_out(struct mobi_outlog *o, uint32_t row, uint32_t i,
		      uint64_t size)
{
	struct mobi_spool *sp = &o->out->spool[row];
	struct stream *st = &o->st[row][i];
	uint64_t done = mobi_load(&sp->done[i]);
	struct mobi_line_of w = { 0, "-", mobi_load(&sp->pid), i };
	uint64_t to = size - AHEAD_KEPT;
	char text[120];
	int n;

	n = snprintf(text, sizeof(text),
		     "[%llu bytes left out: printed faster than they were "
		     "read]",
		     (unsigned long long)(to - done));
	mobi_sink_line(&o->k, &w, text, (size_t)n);
	(void)mobi_fetch_add(&o->out->lost, to - done);
	st->mark.known = false;
	st->looked = to;
	mobi_sink_commit(&o->k, row, i, to);
}

static void give_back(struct stream *st, uint64_t done, bool all)
{
	if (done - st->punched >= PUNCH || (all && done > st->punched)) {
		mobi_out_punch(st->fd, done);
		st->punched = done;
	}
}

/* Reads a part of one file. True: there is more. */
static bool read_on(struct mobi_outlog *o, uint32_t row, uint32_t i)
{
	struct mobi_spool *sp = &o->out->spool[row];
	struct stream *st = &o->st[row][i];
	bool dead = mobi_load(&sp->state) == MOBI_SPOOL_DEAD;
	uint64_t marks = mobi_load(&sp->marks);
	uint64_t size = mobi_out_size(st->fd);
	uint64_t done = mobi_load(&sp->done[i]);
	struct mobi_line_of w = { .pid = mobi_load(&sp->pid), .stream = i };
	bool sure;
	uint64_t stop;
	size_t n;
	ssize_t got;

	if (size <= done || (size == st->seen && !dead)) {
		return false;
	}
	if (size - done > AHEAD_MAX) {
		leave_out(o, row, i, size);
		return true;
	}
	stop = find_mark(o, st, size);
	sure = running(o, sp, &w) && mobi_load(&sp->marks) == marks;
	if (st->mark.known) {
		w.task = st->mark.task;
		w.name = st->mark.name;
	} else if (!sure && !dead) {
		return true; /* a task has ended meanwhile: its mark is there */
	}
	n = stop - done < PART ? (size_t)(stop - done) : PART;
	got = mobi_out_read(st->fd, o->part, n, done);
	n = got < 0 ? 0 : (size_t)got;
	n = add_lines(o, &w, n,
		      done + n == stop &&
			      (st->mark.known || (dead && stop == size)));
	done += n;
	if (st->mark.known && done == st->mark.at) {
		done = st->mark.end;
		st->mark.known = false;
	} else if (!n) {
		/* A line that has not ended, or half a mark of a dead worker. */
		st->seen = size;
		if (dead) {
			mobi_sink_commit(&o->k, row, i, size);
		}
		return false;
	}
	mobi_sink_commit(&o->k, row, i, done);
	give_back(st, done, false);
	return done < size;
}

/* ---- rows ---- */

static bool open_row(struct mobi_outlog *o, uint32_t row)
{
	struct mobi_spool *sp = &o->out->spool[row];
	char path[4200];

	for (uint32_t i = 0; i < 2; i++) {
		struct stream *st = &o->st[row][i];

		memset(st, 0, sizeof(*st));
		mobi_output_path(o->s, mobi_load(&sp->serial), i, path,
				 sizeof(path));
		st->fd = mobi_out_open(path);
		st->looked = mobi_load(&sp->done[i]);
		st->punched = st->looked;
	}
	return o->st[row][0].fd >= 0 && o->st[row][1].fd >= 0;
}

static void free_row(struct mobi_outlog *o, uint32_t row)
{
	struct mobi_spool *sp = &o->out->spool[row];
	char path[4200];

	for (uint32_t i = 0; i < 2; i++) {
		mobi_fd_close(o->st[row][i].fd);
		o->st[row][i].fd = -1;
		mobi_output_path(o->s, mobi_load(&sp->serial), i, path,
				 sizeof(path));
		(void)mobi_out_remove(path);
	}
	mobi_store(&sp->state, (uint32_t)MOBI_SPOOL_FREE);
}

int mobi_outlog_begin(struct mobi_outlog *o, struct mobi_run_how *io_how,
		      char out_env[MOBI_OUTLOG_ENV])
{
	for (uint32_t row = 0; o && row < MOBI_SPOOLS; row++) {
		struct mobi_spool *sp = &o->out->spool[row];

		if (mobi_load(&sp->state) != MOBI_SPOOL_FREE) {
			continue;
		}
		mobi_store(&sp->serial,
			   mobi_fetch_add(&o->out->serial, UINT64_C(1)) + 1);
		mobi_store(&sp->task, UINT64_C(0));
		mobi_store(&sp->done[0], UINT64_C(0));
		mobi_store(&sp->done[1], UINT64_C(0));
		mobi_store(&sp->pid, 0u);
		mobi_store(&sp->state, (uint32_t)MOBI_SPOOL_LIVE);
		if (!open_row(o, row)) {
			free_row(o, row);
			return -1;
		}
		io_how->out = o->st[row][0].fd;
		io_how->err = o->st[row][1].fd;
		io_how->keep[0] = o->k.stdio[0];
		io_how->keep[1] = o->k.stdio[1];
		(void)snprintf(out_env, MOBI_OUTLOG_ENV, "%s=%u %d %d",
			       MOBI_ENV_OUTPUT, row, o->k.stdio[0],
			       o->k.stdio[1]);
		return (int)row;
	}
	return -1;
}

void mobi_outlog_started(struct mobi_outlog *o, int row, int pid)
{
	if (o && row >= 0 && pid > 0) {
		mobi_store(&o->out->spool[row].pid, (uint32_t)pid);
	} else if (o && row >= 0) {
		free_row(o, (uint32_t)row);
	}
}

static void die(struct mobi_spool *sp)
{
	uint32_t live = MOBI_SPOOL_LIVE;

	(void)mobi_cas32(&sp->state, &live, MOBI_SPOOL_DEAD);
}

void mobi_outlog_ended(struct mobi_outlog *o, int pid)
{
	for (uint32_t row = 0; o && row < MOBI_SPOOLS; row++) {
		if (mobi_load(&o->out->spool[row].pid) == (uint32_t)pid) {
			die(&o->out->spool[row]);
		}
	}
}

void mobi_outlog_last_line(const struct mobi_outlog *o, int pid, char *out,
			   size_t size)
{
	char tail[512];
	char *line = tail;

	out[0] = '\0';
	for (uint32_t row = 0; o && row < MOBI_SPOOLS; row++) {
		const struct mobi_spool *sp = &o->out->spool[row];
		uint64_t end;
		ssize_t n;

		if (mobi_load(&sp->state) == MOBI_SPOOL_FREE ||
		    mobi_load(&sp->pid) != (uint32_t)pid) {
			continue;
		}
		end = mobi_out_size(o->st[row][1].fd);
		n = mobi_out_read(o->st[row][1].fd, tail, sizeof(tail) - 1,
				  end < sizeof(tail) ? 0 :
						       end - sizeof(tail) + 1);
		tail[n > 0 ? n : 0] = '\0';
		while (n > 0 && (unsigned char)tail[n - 1] < ' ') {
			tail[--n] = '\0';
		}
		for (char *p = tail; *p; p++) {
			line = (unsigned char)*p < ' ' ? p + 1 : line;
		}
		(void)snprintf(out, size, "%s", line);
		return;
	}
}

/*
 * Who made the session has ended, and the session goes on: whoever reads what that
 * printed is waiting for the end of it. What the daemon says goes the way of what
 * workers print.
 */
static void leave_maker(struct mobi_outlog *o)
{
	struct mobi_run_how how = MOBI_RUN_HOW_INIT;
	char env[MOBI_OUTLOG_ENV];
	int row = mobi_outlog_begin(o, &how, env);

	mobi_out_become(how.out, how.err);
	mobi_outlog_started(o, row, (int)mobi_proc_self().pid);
}

void mobi_outlog_look(struct mobi_outlog *o)
{
	for (uint32_t row = 0; o && row < MOBI_SPOOLS; row++) {
		struct mobi_spool *sp = &o->out->spool[row];
		uint32_t pid = mobi_load(&sp->pid);
		struct mobi_proc p;

		if (mobi_load(&sp->state) == MOBI_SPOOL_LIVE && pid &&
		    mobi_proc_of((int)pid, &p) < 0) {
			die(sp);
		}
	}
	if (o && !o->left && !mobi_proc_alive(&o->out->maker)) {
		o->left = true;
		mobi_sink_leave(&o->k);
		if (!(o->s->hdr->flags & MOB_STORE_PRIVATE)) {
			leave_maker(o);
		}
	}
}

/* ---- the whole ---- */

bool mobi_outlog_turn(struct mobi_outlog *o)
{
	bool more = false;

	if (!o) {
		return false;
	}
	mobi_sink_show(&o->k);
	for (uint32_t row = 0; row < MOBI_SPOOLS; row++) {
		struct mobi_spool *sp = &o->out->spool[row];
		uint32_t state = mobi_load(&sp->state);
		bool some = false;

		if (state == MOBI_SPOOL_FREE || mobi_sink_stuck(&o->k)) {
			continue;
		}
		some |= read_on(o, row, 0);
		some |= read_on(o, row, 1);
		if (!some && state == MOBI_SPOOL_DEAD) {
			free_row(o, row);
		}
		more |= some;
	}
	mobi_sink_show(&o->k);
	return more;
}

void mobi_outlog_open(struct mob_store *s, struct mobi_outlog **out)
{
	struct mobi_output *shared = &((struct mobi_sched *)s->sched)->output;
	struct mobi_outlog *o = NULL;
	int rc = MOB_E_NOMEM;

	*out = NULL;
	if (shared->mode == MOB_OUTPUT_INHERIT) {
		return;
	}
	o = calloc(1, sizeof(*o));
	if (o) {
		o->s = s;
		o->out = shared;
		rc = mobi_sink_open(&o->k, s);
	}
	if (rc < 0) {
		mobi_log(MOBI_LOG_WARN, "no log of what workers print: %s",
			 mob_err_detail(rc));
		free(o);
		return;
	}
	for (uint32_t row = 0; row < MOBI_SPOOLS; row++) {
		if (mobi_load(&shared->spool[row].state) != MOBI_SPOOL_FREE &&
		    !open_row(o, row)) {
			free_row(o, row);
		}
	}
	*out = o;
}

/* All that was printed, and what the driver takes of it within some seconds. */
static void last_word(struct mobi_outlog *o)
{
	uint64_t end = mobi_now_ns() + LAST_WORD_MS * (uint64_t)MOB_MS;

	for (uint32_t row = 0; row < MOBI_SPOOLS; row++) {
		die(&o->out->spool[row]);
	}
	while (mobi_now_ns() < end) {
		bool more = mobi_outlog_turn(o);

		if (!more && !o->k.shown[0].n && !o->k.shown[1].n) {
			return;
		}
		for (int i = 0; i < 2; i++) {
			if (o->k.shown[i].n && o->k.driver[i] >= 0) {
				mobi_out_wait(o->k.driver[i], 10);
			}
		}
	}
	mobi_sink_leave(&o->k);
	while (mobi_outlog_turn(o)) {
	}
}

void mobi_outlog_close(struct mobi_outlog *o)
{
	if (!o) {
		return;
	}
	last_word(o);
	for (uint32_t row = 0; row < MOBI_SPOOLS; row++) {
		if (mobi_load(&o->out->spool[row].state) != MOBI_SPOOL_FREE) {
			free_row(o, row);
		}
	}
	mobi_sink_close(&o->k);
	free(o);
}
