/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where lines of workers go.
 *
 *   commit  intent: where the log ends, how much comes, and how far the worker's
 *           file is read then; the log; the file's `done`; no intent.
 *
 * So a line is in the log once, whenever the daemon is killed: who comes next finds
 * the intent, and the log as long as it was (nothing was done), longer by all (only
 * `done` is missing), or by a part, which is cut off. What the driver is shown is
 * not repeated: one part may lack there.
 */
#include "output_sink.h"

#include "err.h"
#include "fault.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_MAX 220u /* of a line, before its text */
/* With so much that the driver's terminal or pipe does not take, nothing is read. */
#define WAITING_MAX ((size_t)1 << 20)

/* ---- text that grows ---- */

static bool text_add(struct mobi_text *t, const void *at, size_t n)
{
	if (!n) {
		return true; /* there may be no memory yet */
	}
	if (t->room - t->n < n) {
		size_t room = (t->n + n) * 2;
		char *more = realloc(t->at, room);

		if (!more) {
			return false;
		}
		t->at = more;
		t->room = room;
	}
	memcpy(t->at + t->n, at, n);
	t->n += n;
	return true;
}

static void text_drop(struct mobi_text *t, size_t n)
{
	t->n -= n;
	memmove(t->at, t->at + n, t->n);
}

/* ---- the log ---- */

static int open_log(struct mobi_sink *k, uint64_t number)
{
	char path[4200];
	int fd;

	mobi_output_log_path(k->s, number, path, sizeof(path));
	fd = mobi_out_open(path);
	if (fd < 0) {
		return mobi_err_errno("cannot open %s", path);
	}
	mobi_fd_close(k->fd);
	k->fd = fd;
	k->size = mobi_out_size(fd);
	mobi_store(&k->out->last, number);
	return 0;
}

static void next_log(struct mobi_sink *k)
{
	uint64_t number = mobi_load(&k->out->last) + 1;
	char path[4200];

	if (open_log(k, number) >= 0 && number > k->out->files) {
		mobi_output_log_path(k->s, number - k->out->files, path,
				     sizeof(path));
		(void)mobi_out_remove(path);
	}
}

static int newest(const char *name, void *arg)
{
	uint64_t *last = arg;
	uint64_t n = strncmp(name, "log.", 4) ? 0 :
						strtoull(name + 4, NULL, 10);

	if (n > *last) {
		*last = n;
	}
	return 0;
}

static struct mobi_spool *spool_of_intent(struct mobi_sink *k,
					  uint32_t *out_stream)
{
	uint64_t intent = mobi_load(&k->out->intent);

	*out_stream = (uint32_t)intent - 1;
	return intent && (uint32_t)intent <= 2 && intent >> 32 < MOBI_SPOOLS ?
		       &k->out->spool[intent >> 32] :
		       NULL;
}

/* What a daemon that was killed left. */
static void finish_intent(struct mobi_sink *k)
{
	uint32_t i;
	struct mobi_spool *sp = spool_of_intent(k, &i);
	uint64_t at = mobi_load(&k->out->at);

	if (sp && k->size == at + mobi_load(&k->out->length)) {
		mobi_store(&sp->done[i], mobi_load(&k->out->done));
	} else if (sp && k->size > at && mobi_out_cut(k->fd, at)) {
		k->size = at;
	}
	mobi_store(&k->out->intent, UINT64_C(0));
}

void mobi_sink_commit(struct mobi_sink *k, uint32_t spool, uint32_t i,
		      uint64_t done)
{
	struct mobi_output *out = k->out;
	size_t n = k->lines.n;

	if (n && k->size && k->size + n > out->bytes) {
		next_log(k);
	}
	mobi_store(&out->at, k->size);
	mobi_store(&out->length, (uint64_t)n);
	mobi_store(&out->done, done);
	mobi_store(&out->intent, (uint64_t)spool << 32 | (i + 1));
	MOBI_FAULT("output.intent");
	if (n && mobi_out_append(k->fd, k->lines.at, n)) {
		k->size += n;
	} else if (n) {
		/* No room in the file system. */
		(void)mobi_out_cut(k->fd, k->size);
		(void)mobi_fetch_add(&out->lost, (uint64_t)n);
	}
	MOBI_FAULT("output.log");
	mobi_store(&out->spool[spool].done[i], done);
	MOBI_FAULT("output.done");
	mobi_store(&out->intent, UINT64_C(0));
	k->lines.n = 0;
	if (k->driver[i] >= 0) {
		(void)text_add(&k->shown[i], k->to_show.at, k->to_show.n);
	}
	k->to_show.n = 0;
}

/* ---- the driver ---- */

static void show(struct mobi_sink *k, uint32_t i)
{
	struct mobi_text *t = &k->shown[i];

	while (t->n && k->driver[i] >= 0) {
		ssize_t w = mobi_out_try(k->driver[i], t->at, t->n);

		if (w < 0) {
			mobi_fd_close(k->driver[i]);
			k->driver[i] = -1; /* nobody reads there any more */
			t->n = 0;
		}
		if (w <= 0) {
			return;
		}
		text_drop(t, (size_t)w);
	}
}

void mobi_sink_show(struct mobi_sink *k)
{
	show(k, 0);
	show(k, 1);
}

bool mobi_sink_stuck(const struct mobi_sink *k)
{
	return k->shown[0].n > WAITING_MAX || k->shown[1].n > WAITING_MAX;
}

static void find_driver(struct mobi_sink *k)
{
	for (int i = 0; i < 2; i++) {
		k->stdio[i] = k->s->hdr->flags & MOB_STORE_PRIVATE ?
				      mobi_fd_copy(i + 1) :
				      -1;
		k->driver[i] = k->out->mode == MOB_OUTPUT_DRIVER ?
				       mobi_out_no_wait(i + 1) :
				       -1;
	}
}

void mobi_sink_leave(struct mobi_sink *k)
{
	for (int i = 0; i < 2; i++) {
		mobi_fd_close(k->driver[i]);
		k->driver[i] = -1;
		k->shown[i].n = 0;
	}
}

/* ---- lines ---- */

void mobi_sink_line(struct mobi_sink *k, const struct mobi_line_of *w,
		    const void *at, size_t n)
{
	uint64_t us = mobi_wall_ns() / 1000;
	char name[MOBI_MARK_MAX];
	char head[HEAD_MAX];
	int h;

	(void)snprintf(name, sizeof(name), "%s", w->name);
	for (char *p = name; *p; p++) {
		if ((unsigned char)*p <= ' ') {
			*p = '_'; /* a blank ends it */
		}
	}
	if (n && ((const char *)at)[n - 1] == '\r') {
		n--;
	}
	h = snprintf(head, sizeof(head), "%llu.%06llu %u %s %u.%u %s ",
		     (unsigned long long)(us / 1000000),
		     (unsigned long long)(us % 1000000), w->pid,
		     w->stream ? "err" : "out", (uint32_t)w->task,
		     (uint32_t)(w->task >> 32), name);
	(void)(text_add(&k->lines, head, (size_t)h) &&
	       text_add(&k->lines, at, n) && text_add(&k->lines, "\n", 1));
	if (k->driver[w->stream] < 0) {
		return;
	}
	h = w->task ?
		    snprintf(head, sizeof(head), "(%s pid=%u) ", name, w->pid) :
		    snprintf(head, sizeof(head), "(pid=%u) ", w->pid);
	(void)(text_add(&k->to_show, head, (size_t)h) &&
	       text_add(&k->to_show, at, n) && text_add(&k->to_show, "\n", 1));
}

/* ---- begin and end ---- */

static int set_up(struct mobi_sink *k)
{
	struct mobi_output *out = k->out;
	char path[4200];
	uint64_t last = mobi_load(&out->last);
	int rc;

	(void)snprintf(path, sizeof(path), "%s/out", k->s->path);
	rc = mobi_dir_private(path);
	if (rc >= 0 && out->dir[0]) {
		(void)snprintf(path, sizeof(path), "%s/%s", out->dir,
			       k->s->name);
		rc = mobi_dir_private(path);
	}
	if (rc >= 0 && !last) {
		/* Behind those of an earlier session of this name. */
		rc = mobi_dir_each(path, newest, &last);
		last++;
	}
	return rc < 0 ? rc : open_log(k, last);
}

int mobi_sink_open(struct mobi_sink *k, struct mob_store *s)
{
	int rc;

	memset(k, 0, sizeof(*k));
	k->s = s;
	k->out = &((struct mobi_sched *)s->sched)->output;
	k->fd = -1;
	rc = set_up(k);
	if (rc >= 0) {
		mobi_out_no_sigpipe();
		find_driver(k);
		finish_intent(k);
	}
	return rc;
}

void mobi_sink_close(struct mobi_sink *k)
{
	mobi_sink_leave(k);
	for (int i = 0; i < 2; i++) {
		free(k->shown[i].at);
		mobi_fd_close(k->stdio[i]);
	}
	free(k->lines.at);
	free(k->to_show.at);
	mobi_fd_close(k->fd);
}
