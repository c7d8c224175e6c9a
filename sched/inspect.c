/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions seen from outside: which there are, how they are, ending them, and
 * removing what dead ones left.
 *
 * The tables of a session are mapped without joining it. So nothing that is
 * read may be relied on: indexes are checked before use, and only memory that
 * the session has backed is touched, as a read of a hole would take memory of
 * the file system.
 */
#include "inspect.h"

#include "board.h"
#include "err.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_run.h"
#include "runtime.h"
#include "strays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4096
/* How long a process that was killed may take to end. */
#define DEATH_NS (10 * MOB_SEC)
#define LOOK_NS MOB_MS

const char *mob_session_state_name(uint32_t state)
{
	static const char *const names[] = {
		[MOB_SESSION_RUNNING] = "running",
		[MOB_SESSION_STORE] = "store",
		[MOB_SESSION_STALE] = "stale",
		[MOB_SESSION_FOREIGN] = "foreign",
	};

	return state && state < sizeof(names) / sizeof(names[0]) ?
		       names[state] :
		       "?";
}

/* ---- helpers ---- */

int mobi_session_fill(const char *call, void *io, const void *from,
		      uint32_t size)
{
	uint32_t room;

	memcpy(&room, io, sizeof(room));
	if (room < sizeof(room)) {
		return mobi_err(MOB_E_VERSION,
				"%s: struct_size is %u; start from the _INIT "
				"macro of the struct",
				call, room);
	}
	room = room < size ? room : size;
	memcpy(io, from, room);
	memcpy(io, &room, sizeof(room));
	return 0;
}

void mobi_session_text(char *out, size_t out_size, const char *from,
		       size_t from_size)
{
	size_t n = strnlen(from, from_size);

	n = n < out_size ? n : out_size - 1;
	memcpy(out, from, n);
	out[n] = '\0';
}

int mobi_session_check(const struct mob_session *session, const char *call)
{
	if (mobi_load(&session->s->hdr->ending)) {
		return mobi_err(MOB_E_CLOSED, "%s: session %s has ended", call,
				session->s->name);
	}
	return 0;
}

void mobi_session_count(const struct mob_store *s,
			struct mobi_session_count *out_count)
{
	memset(out_count, 0, sizeof(*out_count));
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint64_t w = mobi_load(&s->clients[i].word);
		struct mobi_proc p = s->clients[i].proc;

		if (MOBI_STATE(w) != MOBI_CLIENT_LIVE || !mobi_proc_alive(&p)) {
			continue;
		}
		out_count->processes++;
		out_count->workers += MOBI_ROLE(w) == MOBI_ROLE_WORKER;
		if (MOBI_ROLE(w) == MOBI_ROLE_DRIVER &&
		    !out_count->driver_pid) {
			out_count->driver_pid = p.pid;
		}
	}
}

/* ---- what a session is ---- */

static bool has_sched(const struct mob_store *s)
{
	return mobi_load(&s->hdr->has_sched) == MOBI_SCHED_LAYOUT;
}

static void build_text(const struct mobi_build *b, char out[MOBI_CODE_TEXT])
{
	struct mobi_code c;

	memcpy(c.word, b->code, sizeof(c.word));
	mobi_code_text(&c, out);
}

static void builds_of(const struct mob_store *s, struct mobi_session_texts *to,
		      struct mob_session_info *out)
{
	const struct mobi_sched *sh = s->sched;
	const char *base;

	mobi_session_text(to->module, sizeof(to->module), sh->program,
			  sizeof(sh->program));
	base = strrchr(to->module, '/');
	(void)snprintf(to->program, sizeof(to->program), "%s",
		       base ? base + 1 : to->module);
	mobi_session_text(to->module, sizeof(to->module), sh->module,
			  sizeof(sh->module));
	build_text(&sh->program_build, to->program_build);
	if (to->module[0]) {
		build_text(&sh->module_build, to->module_build);
	}
	out->changed = (mobi_load(&sh->program_build.changed) ?
				MOB_SESSION_CHANGED_PROGRAM :
				0) |
		       (mobi_load(&sh->module_build.changed) ?
				MOB_SESSION_CHANGED_MODULE :
				0);
}

static void borrow(const struct mobi_session_texts *texts,
		   struct mob_session_info *out)
{
	out->program = texts->program;
	out->program_build = texts->program_build;
	out->module = texts->module;
	out->module_build = texts->module_build;
}

/* texts: space that *out borrows. */
static void info_of(struct mob_store *s, struct mobi_session_texts *texts,
		    struct mob_session_info *out)
{
	const struct mobi_sched *sh = s->sched;
	struct mobi_session_count n;
	bool in_use = mobi_store_in_use(s);

	mobi_session_count(s, &n);
	*out = (struct mob_session_info)MOB_SESSION_INFO_INIT;
	memset(texts, 0, sizeof(*texts));
	borrow(texts, out);
	if (has_sched(s)) {
		builds_of(s, texts, out);
		if (mobi_lock_held(&sh->daemon)) {
			out->daemon_pid = mobi_load(&sh->daemon_pid);
		}
	}
	out->name = s->name;
	out->path = s->path;
	out->driver_pid = n.driver_pid;
	out->workers = n.workers;
	out->processes = n.processes;
	out->age_ns = mobi_now_ns() - s->began_ns;
	out->file_bytes = mobi_dir_bytes(s->dir_fd, ".");
	if ((s->hdr->flags & MOB_STORE_PRIVATE) && !in_use) {
		out->state = MOB_SESSION_STALE;
	} else if (out->daemon_pid || out->workers) {
		out->state = MOB_SESSION_RUNNING;
	} else {
		out->state = MOB_SESSION_STORE;
	}
}

/* ---- all of them ---- */

struct names {
	char **name;
	size_t n;
	size_t max;
};

static int add_name(const char *name, void *arg)
{
	struct names *a = arg;

	if (a->n == a->max) {
		size_t max = a->max ? 2 * a->max : 16;
		char **more = realloc(a->name, max * sizeof(*more));

		if (!more) {
			return mobi_err(MOB_E_NOMEM, "out of memory");
		}
		a->name = more;
		a->max = max;
	}
	a->name[a->n] = strdup(name);
	if (!a->name[a->n]) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	a->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a;
	const char *const *y = b;

	return strcmp(*x, *y);
}

static int tell(const char *user, const char *name,
		int (*fn)(const struct mob_session_info *, void *), void *arg)
{
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	char path[PATH_SIZE];
	struct mobi_session_texts texts = { .program = "" };
	struct mob_store *s = NULL;
	int rc = 0;

	if (snprintf(path, sizeof(path), "%s/%s", user, name) >=
		    (int)sizeof(path) ||
	    (name[0] == '.' && !mobi_building_left(name))) {
		return 0; /* being made, not yet left half built */
	}
	info.name = name;
	info.path = path;
	borrow(&texts, &info);
	info.state = name[0] == '.' ? MOB_SESSION_STALE : MOB_SESSION_FOREIGN;
	if (name[0] != '.') {
		rc = mobi_store_look(path, false, &s);
		if (rc == MOB_E_NOT_FOUND) {
			return 0; /* it has just gone */
		}
		if (rc >= 0) {
			info_of(s, &texts, &info);
		}
	}
	rc = fn(&info, arg);
	mobi_store_unlook(s);
	return rc;
}

int mob_session_each(int (*fn)(const struct mob_session_info *, void *arg),
		     void *arg)
{
	struct names all = { 0 };
	char user[PATH_SIZE];
	int rc = mobi_user_path(user, sizeof(user));
	int dir;

	if (rc < 0) {
		return rc;
	}
	dir = mobi_dir_open(user);
	if (dir < 0) {
		return dir == MOB_E_NOT_FOUND ? 0 : dir;
	}
	mobi_fd_close(dir);
	rc = mobi_dir_each(user, add_name, &all);
	if (rc >= 0 && all.n) {
		qsort(all.name, all.n, sizeof(*all.name), by_name);
	}
	for (size_t i = 0; i < all.n; i++) {
		if (rc == 0) {
			rc = tell(user, all.name[i], fn, arg);
		}
		free(all.name[i]);
	}
	free(all.name);
	return rc;
}

struct removal {
	int (*fn)(const struct mob_session_info *, void *arg);
	void *arg;
	int removed;
	int rc;
};

static int remove_stale(const struct mob_session_info *info, void *arg)
{
	struct removal *r = arg;
	int rc;

	if (info->state != MOB_SESSION_STALE ||
	    (r->fn && r->fn(info, r->arg))) {
		return 0;
	}
	rc = mob_store_remove(info->path);
	if (rc == MOB_E_BUSY || rc == MOB_E_NOT_FOUND) {
		return 0; /* somebody came, or removed it */
	}
	if (rc < 0) {
		r->rc = rc;
	} else {
		r->removed++;
	}
	return 0;
}

int mob_session_gc(int (*fn)(const struct mob_session_info *, void *arg),
		   void *arg)
{
	struct removal r = { fn, arg, 0, 0 };
	int rc = mob_session_each(remove_stale, &r);

	rc = rc < 0 ? rc : r.rc;
	return rc < 0 ? rc : r.removed;
}

/* ---- stop ---- */

/* The daemon and workers that were seen. */
struct crew {
	struct mobi_proc proc[4 * MOBI_CLIENTS];
	uint32_t n;
};

static void remember(struct crew *c, struct mobi_proc p)
{
	uint32_t i = 0;

	while (i < c->n && (c->proc[i].pid != p.pid ||
			    c->proc[i].start_time != p.start_time)) {
		i++;
	}
	if (i == c->n && c->n < sizeof(c->proc) / sizeof(c->proc[0]) &&
	    p.pid != mobi_proc_self().pid) {
		c->proc[c->n++] = p;
	}
}

static bool of_crew(uint64_t w)
{
	return MOBI_ROLE(w) == MOBI_ROLE_WORKER ||
	       MOBI_ROLE(w) == MOBI_ROLE_DAEMON;
}

/* Looks who is there; how many of all that were seen live. */
static uint32_t look_crew(const struct mob_store *s, struct crew *c)
{
	uint32_t live = 0;

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint64_t w = mobi_load(&s->clients[i].word);

		if (!of_crew(w)) {
			continue;
		}
		if (MOBI_STATE(w) == MOBI_CLIENT_LIVE ||
		    MOBI_STATE(w) == MOBI_CLIENT_DEAD) {
			remember(c, s->clients[i].proc);
		} else {
			/* Joining: its process is not written yet. */
			live += mobi_lock_held(&s->hdr->attach);
		}
	}
	for (uint32_t i = 0; i < c->n; i++) {
		live += mobi_proc_alive(&c->proc[i]);
	}
	return live;
}

/* Waits until all are gone; kills after timeout_ns. */
static int end_crew(const struct mob_store *s, struct crew *c,
		    int64_t timeout_ns)
{
	uint64_t began = mobi_now_ns();

	while (look_crew(s, c)) {
		uint64_t passed = mobi_now_ns() - began;

		if (timeout_ns != MOB_FOREVER &&
		    passed >= (uint64_t)timeout_ns) {
			if (passed - (uint64_t)timeout_ns >=
			    (uint64_t)DEATH_NS) {
				return mobi_err(MOB_E_TIMEOUT,
						"session %s: a process that "
						"was killed has not ended",
						s->name);
			}
			for (uint32_t i = 0; i < c->n; i++) {
				(void)mobi_proc_signal(&c->proc[i], 9);
			}
		}
		mobi_pause_ns(LOOK_NS);
	}
	return 0;
}

int mob_session_stop(const char *name, int64_t timeout_ns)
{
	struct crew c = { .n = 0 };
	struct mob_store *s;
	int rc;

	if (timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		return mobi_err(MOB_E_INVAL,
				"mob_session_stop: timeout_ns is %lld; at "
				"least 0, or MOB_FOREVER",
				(long long)timeout_ns);
	}
	rc = mobi_store_look(name, true, &s);
	if (rc < 0) {
		return rc;
	}
	/* Before they are told: who leaves at once is waited for as well. */
	(void)look_crew(s, &c);
	if (has_sched(s)) {
		struct mobi_sched *sh = s->sched;

		mobi_store(&sh->stopping, 1u);
	}
	mobi_store(&s->hdr->ending, 1u);
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		mobi_client_ring(s, i);
	}
	rc = end_crew(s, &c, timeout_ns);
	if (rc >= 0 && has_sched(s)) {
		mobi_strays_find(s, NULL);
	}
	if (rc >= 0) {
		/* By descriptor: another may have removed it, and a new one
		 * have its name. */
		rc = mobi_session_remove_open(s->dir_fd, s->path);
	}
	mobi_store_unlook(s);
	return rc;
}

/* ---- one ---- */

int mob_session_open(const char *name, struct mob_session **out_session)
{
	struct mob_session *ses = calloc(1, sizeof(*ses));
	int rc;

	if (!ses) {
		return mobi_err(MOB_E_NOMEM, "mob_session_open: out of memory");
	}
	rc = mobi_store_look(name, false, &ses->s);
	if (rc >= 0) {
		rc = mobi_rt_check_layout(ses->s);
	}
	if (rc >= 0 && !has_sched(ses->s)) {
		rc = mobi_err(MOB_E_STATE,
			      "mob_session_open: '%s' is a store without a "
			      "scheduler; it has neither tasks nor workers",
			      name);
	}
	if (rc < 0) {
		mob_session_close(ses);
		return rc;
	}
	ses->sh = ses->s->sched;
	if (mobi_fd_path(ses->s->dir_fd, ses->dir, sizeof(ses->dir)) < 0) {
		ses->dir[0] = '\0';
	}
	*out_session = ses;
	return 0;
}

int mob_session_current(struct mob_session **out_session)
{
	int rc = mobi_rt_check("mob_session_current");

	return rc < 0 ? rc : mob_session_open(mobi_rt.store->path, out_session);
}

void mob_session_close(struct mob_session *session)
{
	if (session) {
		mobi_store_unlook(session->s);
		free(session);
	}
}

int mob_session_describe(struct mob_session *session,
			 struct mob_session_info *io_info)
{
	struct mob_session_info info;

	info_of(session->s, &session->texts, &info);
	return mobi_session_fill("mob_session_describe", io_info, &info,
				 (uint32_t)sizeof(info));
}

int mob_session_stats(struct mob_session *session,
		      struct mob_session_stats *io_stats)
{
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;
	struct mobi_sched *sh = session->sh;
	const struct mobi_crash *c = &sh->crash;
	uint32_t fn = 0;
	int rc = mobi_session_check(session, "mob_session_stats");

	if (rc < 0) {
		return rc;
	}
	st.tasks_run = mobi_load(&sh->ran);
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		st.tasks_run += mobi_load(&sh->place[i].runs);
	}
	st.retried = mobi_load(&sh->retried);
	st.finished_for_dead = mobi_load(&sh->finished_for);
	st.swaps = mobi_load(&sh->swaps);
	st.swap_queued = mobi_load(&sh->swap_queued);
	st.swap_running = mobi_load(&sh->swap_running);
	st.ejections = mobi_load(&sh->ejections);
	st.bypasses = mobi_load(&sh->bypasses);
	st.kept = mobi_load(&sh->kept);
	st.forgotten = mobi_load(&sh->forgotten);
	st.evicted = mobi_load(&sh->evicted);
	st.remade = mobi_load(&sh->remade);
	st.mismatches = mobi_load(&sh->mismatches);
	st.memory_limit = mobi_load(&sh->pressure.seen_limit);
	st.memory_use = mobi_load(&sh->pressure.seen_use);
	st.memory_kills = mobi_load(&sh->pressure.kills);
	st.memory_replaced = mobi_load(&sh->pressure.replaced);
	st.repeated = mobi_load(&sh->repeated);
	/* The count is raised last: read again if one came meanwhile. */
	do {
		st.crashes = mobi_load(&c->count);
		st.crash_pid = mobi_load(&c->pid);
		mobi_status_split((int)mobi_load(&c->status), &st.crash_signal,
				  &st.crash_code);
		st.crash_attempt = mobi_load(&c->attempt) + 1;
		fn = mobi_load(&c->fn) % MOBI_FUNCTIONS;
	} while (mobi_load(&c->count) != st.crashes);
	session->task[0] = '\0';
	st.crash_task = session->task;
	if (st.crashes) {
		mobi_session_text(session->task, sizeof(session->task),
				  sh->fn[fn].name, sizeof(sh->fn[fn].name));
	} else {
		st.crash_attempt = 0;
	}
	return mobi_session_fill("mob_session_stats", io_stats, &st,
				 (uint32_t)sizeof(st));
}
