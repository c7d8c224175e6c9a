/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests share that see sessions from outside.
 *
 * All sessions of a program are in a directory of its own. A task that is to last reads
 * from a named pipe: opening the other end proves that it runs, closing it ends it.
 */
#ifndef MOBI_TEST_INSPECT_FIXTURE_H
#define MOBI_TEST_INSPECT_FIXTURE_H

#include "live.h"

#include "os_dir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory of all sessions of this program. */
static char dir[64] = "/dev/shm/mob-inspect-XXXXXX";

MOB_TASK(int64_t, hold, mob_str, gate)
{
	char c;
	int fd = open(gate, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &c, 1) < 0) {
		mob_fail(1, "no gate");
	}
	(void)close(fd);
	return 1;
}

/* ---- gates ---- */

struct gate {
	char path[96];
};

static inline struct gate gate_make(const char *name)
{
	struct gate g;

	(void)snprintf(g.path, sizeof(g.path), "%s/%s", dir, name);
	(void)unlink(g.path);
	assert_int_equal(mkfifo(g.path, 0600), 0);
	return g;
}

/* Returns when the task is there, and lets it go. */
static inline void gate_open(const struct gate *g)
{
	int fd = open(g->path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
}

/* ---- looking ---- */

struct found {
	const char *name;
	uint32_t driver_pid; /* 0: by name */
	bool there;
	uint32_t state;
	uint32_t daemon_pid;
	uint32_t workers;
	uint32_t processes;
	uint64_t age_ns;
	uint64_t file_bytes;
	char program[64];
	char path[256];
	char own_name[64];
};

static inline int find_session(const struct mob_session_info *s, void *arg)
{
	struct found *f = arg;

	if (f->driver_pid ? s->driver_pid != f->driver_pid :
			    strcmp(s->name, f->name) != 0) {
		return 0;
	}
	f->there = true;
	f->state = s->state;
	f->daemon_pid = s->daemon_pid;
	f->workers = s->workers;
	f->processes = s->processes;
	f->age_ns = s->age_ns;
	f->file_bytes = s->file_bytes;
	(void)snprintf(f->program, sizeof(f->program), "%s", s->program);
	(void)snprintf(f->path, sizeof(f->path), "%s", s->path);
	(void)snprintf(f->own_name, sizeof(f->own_name), "%s", s->name);
	return 7;
}

/* Is it there, with two workers? */
static inline bool runs(void *arg)
{
	struct found *f = arg;

	f->there = false;
	(void)mob_session_each(find_session, f);
	return f->there && f->state == MOB_SESSION_RUNNING && f->workers == 2;
}

static inline struct mob_session *current(void)
{
	struct mob_session *s = NULL;

	assert_int_equal(mob_session_current(&s), 0);
	return s;
}

/* The tasks of a session, those of each name one row. */
#define ROWS 16
struct rows {
	struct mob_task_info task[ROWS];
	char name[ROWS][32];
	uint32_t n;
};

static inline int add_row(const struct mob_task_info *t, void *arg)
{
	struct rows *r = arg;

	if (r->n < ROWS && t->state != MOB_TASK_STATE_DONE) {
		r->task[r->n] = *t;
		(void)snprintf(r->name[r->n], sizeof(r->name[0]), "%s",
			       t->name);
		r->n++;
	}
	return 0;
}

static inline const struct mob_task_info *row_of(const struct rows *r,
						 const char *name)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (strcmp(r->name[i], name) == 0) {
			return &r->task[i];
		}
	}
	return NULL;
}

struct want {
	struct mob_session *s;
	struct rows rows;
	const char *name;
	uint32_t state;
	uint32_t waits;
	bool (*more)(struct want *w);
};

/* Is there a task of this name in this state that waits for so many? */
static inline bool is_so(void *arg)
{
	struct want *w = arg;
	const struct mob_task_info *t;

	w->rows.n = 0;
	if (mob_session_tasks(w->s, add_row, &w->rows)) {
		return false;
	}
	t = row_of(&w->rows, w->name);
	return t && t->state == w->state && t->waits == w->waits &&
	       (!w->more || w->more(w));
}

struct crew {
	uint32_t n;
	uint32_t blocked;
	uint32_t pid[8];
	char blocked_name[32];
	bool ok;
};

static inline int add_worker(const struct mob_worker_info *w, void *arg)
{
	struct crew *c = arg;

	c->pid[c->n++ % 8] = w->pid;
	c->ok &= w->struct_size == sizeof(*w) && w->number > 0 &&
		 w->number < 64 && w->threads >= 1 &&
		 w->private_bytes >= 4096 && w->private_bytes < 1u << 30 &&
		 w->age_ns > 0 && w->state >= MOB_WORKER_STARTING &&
		 w->state <= MOB_WORKER_BLOCKED;
	if (w->state == MOB_WORKER_BLOCKED) {
		c->blocked++;
		c->ok &= w->task != 0;
		(void)snprintf(c->blocked_name, sizeof(c->blocked_name), "%s",
			       w->task_name);
	}
	return 0;
}

/* ---- the group ---- */

static inline int group_open(void **state)
{
	(void)state;
	return mkdtemp(dir) ? setenv("MOBULA_SESSION_DIR", dir, 1) : -1;
}

static inline int group_close(void **state)
{
	(void)state;
	return mobi_dir_remove(dir);
}

/* A test that failed has not left its session. */
#define TEST(fn) cmocka_unit_test_teardown(fn, live_leave)

#endif /* MOBI_TEST_INSPECT_FIXTURE_H */
