/* SPDX-License-Identifier: Apache-2.0 */
/* What workers print: settings of a session, and a worker's own files. */
#include "output.h"

#include "conf.h"
#include "err.h"
#include "os_dir.h"
#include "os_out.h"
#include "task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- of a session ---- */

void mobi_output_path(const struct mob_store *s, uint64_t serial, uint32_t i,
		      char *out, size_t size)
{
	(void)snprintf(out, size, "%s/out/%llu.%s", s->path,
		       (unsigned long long)serial, i ? "err" : "out");
}

void mobi_output_log_path(const struct mob_store *s, uint64_t number, char *out,
			  size_t size)
{
	const struct mobi_sched *sh = s->sched;

	if (sh->output.dir[0]) {
		(void)snprintf(out, size, "%s/%s/log.%llu", sh->output.dir,
			       s->name, (unsigned long long)number);
	} else {
		(void)snprintf(out, size, "%s/out/log.%llu", s->path,
			       (unsigned long long)number);
	}
}

static int configured_mode(const struct mob_store *s, uint32_t *out_mode)
{
	static const char *const names[] = { "auto", "driver", "log",
					     "inherit" };
	const char *text;
	int rc = mobi_conf_str(MOBI_CONF_ID_output, &text);

	if (rc < 0) {
		return rc;
	}
	for (uint32_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		if (!strcmp(text, names[i])) {
			*out_mode = i;
			if (i == MOB_OUTPUT_AUTO) {
				*out_mode = s->hdr->flags & MOB_STORE_PRIVATE ?
						    MOB_OUTPUT_DRIVER :
						    MOB_OUTPUT_LOG;
			}
			return 0;
		}
	}
	return mobi_err(MOB_E_INVAL,
			"MOBULA_OUTPUT is '%s'; it must be auto, driver, log "
			"or "
			"inherit",
			text);
}

static int log_dir(struct mobi_output *o)
{
	const char *dir;
	int n;
	int fd;
	int rc = mobi_conf_str(MOBI_CONF_ID_log_dir, &dir);

	if (rc < 0 || !*dir) {
		return rc;
	}
	fd = mobi_dir_open(dir);
	if (fd < 0) {
		return fd;
	}
	mobi_fd_close(fd);
	n = snprintf(o->dir, sizeof(o->dir), "%s", dir);
	if (n < 0 || (size_t)n >= sizeof(o->dir) || dir[0] != '/') {
		return mobi_err(MOB_E_INVAL,
				"MOBULA_LOG_DIR is '%s'; it must begin with "
				"'/' "
				"and have less than %zu bytes",
				dir, sizeof(o->dir));
	}
	return 0;
}

int mobi_output_init(struct mob_store *s, uint32_t mode)
{
	struct mobi_output *o = &((struct mobi_sched *)s->sched)->output;
	uint64_t files = 0;
	int rc = 0;

	if (mode > MOB_OUTPUT_INHERIT) {
		return mobi_err(MOB_E_INVAL,
				"mob_init: output is %u; a MOB_OUTPUT_* from 0 "
				"to %u",
				mode, MOB_OUTPUT_INHERIT);
	}
	if (mode == MOB_OUTPUT_AUTO) {
		rc = configured_mode(s, &mode);
	}
	if (rc >= 0) {
		rc = log_dir(o);
	}
	if (rc >= 0) {
		rc = mobi_conf_u64(MOBI_CONF_ID_log_bytes, &o->bytes);
	}
	if (rc >= 0) {
		rc = mobi_conf_u64(MOBI_CONF_ID_log_files, &files);
	}
	if (rc >= 0) {
		o->mode = mode;
		o->files = (uint32_t)files;
		o->maker = mobi_proc_self();
	}
	return rc;
}

/* ---- a worker's own files ---- */

static struct {
	struct mobi_spool *sp; /* NULL: it has none */
	struct mobi_peek peek[2];
	uint64_t size[2]; /* up to which it has looked */
	char path[2][4200];
	int keep[2]; /* stdout and stderr of the daemon */
	struct mobi_fd_id id[2];
	bool kept; /* they were given */
} mine = { .keep = { -1, -1 } };

/* A mark of `text` ("": none), and where the file ends then. */
static bool mark(uint32_t i, const char *text)
{
	char line[MOBI_MARK_MAX];
	int n = snprintf(line, sizeof(line), MOBI_MARK "%s%c", text,
			 MOBI_MARK_END);
	/* By its name: a task may have closed all descriptors, or have others
	 * in their place. */
	int fd = mobi_out_open(mine.path[i]);
	bool ok = fd >= 0 && n > 0 && mobi_out_append(fd, line, (size_t)n);

	if (ok) {
		(void)mobi_fetch_add(&mine.sp->marks, UINT64_C(1));
		mine.size[i] = mobi_out_size(fd);
		ok = mobi_peek_open(&mine.peek[i], fd, mine.size[i]);
		if (!ok && mobi_out_append(fd, MOBI_MARK "\x03", 3)) {
			/* It ended with a page. */
			mine.size[i] = mobi_out_size(fd);
			ok = mobi_peek_open(&mine.peek[i], fd, mine.size[i]);
		}
	}
	mobi_fd_close(fd);
	return ok;
}

static const char *name_of(uint32_t what)
{
	const struct mobi_sched *sh = mobi_rt.sched;
	uint32_t fn = what & 0xffffu;

	if (what >> 16) {
		return sh->name[((what >> 16) - 1) % MOBI_NAMES].text;
	}
	return fn < MOBI_FUNCTIONS ? sh->fn[fn].name : "?";
}

static void mark_as_running(uint32_t i)
{
	uint64_t task = mobi_load_relaxed(&mine.sp->task); /* this process's */
	char text[MOBI_MARK_MAX - 8];

	if (task) {
		(void)snprintf(text, sizeof(text), "%llx %s",
			       (unsigned long long)task,
			       name_of(mobi_load_relaxed(&mine.sp->what)));
	} else {
		(void)snprintf(text, sizeof(text), "0 -");
	}
	if (!mark(i, text)) {
		mobi_output_detach(); /* it cannot be told whose it is */
	}
}

void mobi_output_mark(void)
{
	if (!mine.sp) {
		return;
	}
	mobi_stdout_flush();
	for (uint32_t i = 0; i < 2 && mine.sp; i++) {
		/* The daemon gives back what it has read, and zeros are there
		 * then: it is behind the place where this looks. */
		if (*mine.peek[i].at ||
		    mobi_load_relaxed(&mine.sp->done[i]) > mine.size[i]) {
			mark_as_running(i);
		}
	}
}

static void run_now(uint64_t task, uint32_t what)
{
	mobi_store(&mine.sp->task, UINT64_C(0)); /* never with another's name */
	mobi_store(&mine.sp->what, what);
	mobi_store(&mine.sp->task, task);
}

struct mobi_output_task mobi_output_enter(uint64_t task, uint32_t what)
{
	struct mobi_output_task before = { 0, 0 };

	mobi_output_mark();
	if (mine.sp) {
		before.task = mobi_load_relaxed(&mine.sp->task);
		before.what = mobi_load_relaxed(&mine.sp->what);
		run_now(task, what);
	}
	return before;
}

void mobi_output_leave(struct mobi_output_task before)
{
	if (mine.sp) {
		run_now(before.task, before.what);
	}
}

static void keep(uint32_t i, int fd)
{
	if (fd >= 0 && mobi_fd_identity(fd, &mine.id[i])) {
		mine.keep[i] = fd;
		mobi_fd_no_exec(fd);
	}
}

void mobi_output_attach(struct mob_store *s)
{
	struct mobi_output *o = &((struct mobi_sched *)s->sched)->output;
	const char *text = getenv(MOBI_ENV_OUTPUT);
	unsigned long row;
	char *at;
	int fd[2];

	if (!text) {
		return;
	}
	row = strtoul(text, &at, 10);
	for (uint32_t i = 0; i < 2; i++) {
		fd[i] = (int)strtol(at, &at, 10);
	}
	if (row >= MOBI_SPOOLS) {
		return;
	}
	(void)unsetenv(MOBI_ENV_OUTPUT); /* not for what tasks start */
	mine.kept = true;
	mine.sp = &o->spool[row];
	mobi_store(&mine.sp->pid, mobi_proc_self().pid);
	mobi_stdout_by_line();
	for (uint32_t i = 0; i < 2; i++) {
		keep(i, fd[i]);
		mobi_output_path(s, mobi_load(&mine.sp->serial), i,
				 mine.path[i], sizeof(mine.path[i]));
	}
	/* What constructors printed is nobody's. */
	if (!mark(0, "0 -") || !mark(1, "0 -")) {
		mobi_output_detach();
	}
}

void mobi_output_detach(void)
{
	mine.sp = NULL;
	mobi_peek_close(&mine.peek[0]);
	mobi_peek_close(&mine.peek[1]);
}

/* Of a session with a name, as long as who made it lives: nobody else keeps what is
 * that one's. */
static void stdio_of_maker(const struct mobi_proc *maker,
			   struct mobi_run_how *io_how)
{
	int *to[2] = { &io_how->out, &io_how->err };

	for (int i = 0; i < 2; i++) {
		*to[i] = mobi_proc_fd(maker, i + 1);
		if (*to[i] < 0) {
			*to[i] = mobi_out_open("/dev/null");
		}
	}
}

void mobi_output_stdio(const struct mob_store *s, struct mobi_run_how *io_how)
{
	const struct mobi_output *o = &((struct mobi_sched *)s->sched)->output;
	const struct mobi_proc self = mobi_proc_self();
	struct mobi_fd_id now;
	int *to[2] = { &io_how->out, &io_how->err };

	if (!(s->hdr->flags & MOB_STORE_PRIVATE) &&
	    o->mode != MOB_OUTPUT_INHERIT) {
		if (o->maker.pid != self.pid ||
		    o->maker.start_time != self.start_time) {
			stdio_of_maker(&o->maker, io_how);
		}
		return;
	}
	for (uint32_t i = 0; i < 2 && mine.kept; i++) {
		/* A task may have put another file there. */
		*to[i] = mine.keep[i] >= 0 &&
					 mobi_fd_identity(mine.keep[i], &now) &&
					 now.dev == mine.id[i].dev &&
					 now.ino == mine.id[i].ino ?
				 mine.keep[i] :
				 mobi_out_open("/dev/null");
	}
}

void mobi_output_stdio_end(const struct mobi_run_how *how)
{
	if (how->out != mine.keep[0]) {
		mobi_fd_close(how->out);
	}
	if (how->err != mine.keep[1]) {
		mobi_fd_close(how->err);
	}
}
