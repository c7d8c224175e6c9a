/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: supervises the workers of one session on one machine.
 *
 * It starts workers and replaces dead ones, learns of deaths at once (pidfds,
 * SIGCHLD by wait), reaps, and feeds the catalogue. Nothing goes through it:
 * killed, it is started again by the first process that notices - every worker
 * is told by a signal when the connection to it ends - and finds everything in
 * the tables. When the driver of a private session dies it ends the session:
 * kills the workers and removes the directory.
 */
#include "node.h"

#include "block.h"
#include "board.h"
#include "build.h"
#include "domain.h"
#include "err.h"
#include "log.h"
#include "name.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_huge.h"
#include "os_run.h"
#include "os_sock.h"
#include "output_log.h"
#include "pressure.h"
#include "reap.h"
#include "sched_reap.h"
#include "strays.h"
#include "timer.h"
#include "unread.h"
#include "worker_limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 10
#define CATALOGUE_MS 50u
#define CATALOGUE_AGE_MS 100u
#define EXTRA_IDLE_NS (2 * MOB_SEC)
#define LOOK_NS (500 * (uint64_t)MOB_MS)
#define HUNG_UP_NS (uint64_t) MOB_SEC
#define WEIGH_NS (20 * MOB_MS)
#define SWEEP_NS (200 * MOB_MS)
#define LAST_SWEEP_NS (5 * MOB_SEC)
#define DYING_NS (10 * (uint64_t)MOB_SEC)
#define WARM_BYTES (UINT64_C(8) << 20)
#define KEEP_BYTES (UINT64_C(256) << 20)
#define TRIM_NS (10 * MOB_SEC)

enum { TAG_LISTEN = 1, TAG_DRIVER = 2, TAG_CONN = 3, TAG_ORPHAN = 4 };
#define TAG(kind, n) ((uint64_t)(kind) << 32 | (uint32_t)(n))

/* A worker process: a child, or one that an earlier daemon left. */
struct child {
	int pid;
	int pidfd; /* of an orphan, else -1 */
	uint64_t started_ns;
	uint64_t serial; /* in its tag (strays.h); 0: not known */
};

struct node {
	struct mob_store *s;
	struct mobi_sched *sh;
	int poll;
	int listen;
	int driver; /* pidfd */
	struct child child[MOBI_PLACES];
	uint32_t n;
	uint64_t not_before; /* back-off: no worker is started earlier */
	uint32_t quick_deaths;
	uint64_t last_catalogue;
	uint64_t last_trim;
	uint64_t last_look;  /* for the dead whom nobody announced */
	uint64_t hung_up;    /* when a connection ended last */
	uint64_t extra_seen; /* when more than the wanted workers were busy */
	struct mobi_due due; /* what the timers know */
	struct mobi_limits limits; /* of workers */
	uint64_t last_weighed;
	struct mobi_pressure pressure;
	uint64_t sweep_until; /* a worker has died not long ago */
	uint64_t strays_at;   /* to look once more for what was young; or 0 */
	struct mobi_build_watch builds;
	struct mobi_outlog *log;
	bool printed; /* there is more for the log */
	bool over;
};

/* ---- workers ---- */

static struct child *child_of(struct node *n, int pid)
{
	for (uint32_t i = 0; i < n->n; i++) {
		if (n->child[i].pid == pid) {
			return &n->child[i];
		}
	}
	return NULL;
}

/* A child is reaped after it was waited for: only then it is known how it
 * ended. */
static struct node *the_node;

static bool may_reap(struct mob_store *s, uint32_t client)
{
	const struct child *c = child_of(the_node,
					 (int)s->clients[client].proc.pid);

	return !c || c->pidfd >= 0;
}

static void start_worker(struct node *n)
{
	struct mobi_run_how how = MOBI_RUN_HOW_INIT;
	uint64_t now = mobi_now_ns();
	char output[MOBI_OUTLOG_ENV];
	char tag[MOBI_TAG_ENV];
	char *more[2] = { tag, NULL };
	uint64_t serial = mobi_fetch_add(&n->sh->starts, UINT64_C(1)) + 1;
	int row;
	int pid;

	if (n->n == MOBI_PLACES || now < n->not_before) {
		return;
	}
	row = mobi_outlog_begin(n->log, &how, output);
	more[1] = row < 0 ? NULL : output;
	mobi_strays_worker_env(n->s, serial, tag);
	how.group = true;
	how.limits = &n->limits;
	pid = mobi_node_run(n->s, "worker", &how, more);
	mobi_outlog_started(n->log, row, pid);
	if (pid < 0) {
		mobi_log(MOBI_LOG_ERROR, "cannot start a worker: %s",
			 mob_err_detail(pid));
		n->not_before = now + MOB_SEC;
		return;
	}
	n->child[n->n].pid = pid;
	n->child[n->n].pidfd = -1;
	n->child[n->n].started_ns = now;
	n->child[n->n].serial = serial;
	n->n++;
}

/* Workers that neither are blocked nor have yet to come up. */
static uint32_t unblocked(const struct node *n)
{
	uint32_t blocked = 0;

	for (uint32_t i = 0; i < n->sh->max_places; i++) {
		blocked += mobi_load(&n->sh->place[i].client) &&
			   mobi_load(&n->sh->place[i].blocked);
	}
	return n->n > blocked ? n->n - blocked : 0;
}

static void keep_workers(struct node *n)
{
	/* Taken first: who asks from now on is heard next time. */
	bool extra = mobi_exchange(&n->sh->wanted_extra, 0u) != 0;

	while (!n->over && n->n < n->sh->max_places &&
	       mobi_now_ns() >= n->not_before &&
	       (n->n < n->sh->n_workers ||
		(extra && unblocked(n) < n->sh->n_workers))) {
		uint32_t had = n->n;

		start_worker(n);
		if (n->n == had) {
			break;
		}
	}
}

/* Writes down how the process in a place ended, before it is reaped. False: it
 * never came to stand in one. */
static bool note_exit(struct node *n, int pid, int status)
{
	bool stood = false;

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		struct mobi_place_shared *p = &n->sh->place[i];
		uint32_t c = mobi_load(&p->client);

		stood = stood || mobi_load(&p->exit_pid) == (uint32_t)pid;
		if (c && c < MOBI_CLIENTS &&
		    n->s->clients[c].proc.pid == (uint32_t)pid) {
			mobi_store(&p->exit_status, (uint32_t)status);
			mobi_store(&p->exit_pid, (uint32_t)pid);
			stood = true;
		}
	}
	return stood;
}

/* stood: it has worked; what a task does to its worker is its own retries'
 * business. */
static void forget(struct node *n, struct child *c, bool stood)
{
	if (stood) {
		n->quick_deaths = 0;
	} else {
		/* Never comes up, again and again: slower and slower. */
		n->quick_deaths = n->quick_deaths < 8 ? n->quick_deaths + 1 : 8;
		if (n->quick_deaths > 4) {
			n->not_before = mobi_now_ns() + ((uint64_t)(MOB_MS * 10)
							 << n->quick_deaths);
		}
	}
	if (c->pidfd >= 0) {
		mobi_poll_remove(n->poll, c->pidfd);
		mobi_fd_close(c->pidfd);
	}
	mobi_outlog_ended(n->log, c->pid);
	*c = n->child[--n->n];
}

/* ---- what workers leave ---- */

static bool knows_worker(void *arg, int pid)
{
	return child_of(arg, pid) != NULL;
}

static bool knows_serial(void *arg, uint64_t serial)
{
	const struct node *n = arg;

	for (uint32_t i = 0; i < n->n; i++) {
		if (n->child[i].serial == serial) {
			return true;
		}
	}
	return false;
}

/* What processes leave that are killed here are children a moment later. */
static void sweep(struct node *n, bool all)
{
	const struct mobi_strays_known known = { knows_worker, knows_serial,
						 n };
	uint64_t now = mobi_now_ns();

	if (mobi_strays_sweep(n->s, &known, all)) {
		n->sweep_until = now + (uint64_t)SWEEP_NS;
	}
}

/* What workers have left that were no children may be anywhere. */
static void find_strays(struct node *n)
{
	const struct mobi_strays_known known = { knows_worker, knows_serial,
						 n };

	mobi_strays_find(n->s, &known);
}

static void find_strays_twice(struct node *n)
{
	find_strays(n);
	n->strays_at = mobi_now_ns() + 2 * MOBI_STRAYS_YOUNG_NS;
}

static bool some_stands(const struct node *n)
{
	for (uint32_t i = 0; i < n->sh->max_places; i++) {
		if (mobi_load(&n->sh->place[i].client)) {
			return true;
		}
	}
	return false;
}

/* A worker ended before it stood anywhere: says so to who waits for one, and once
 * in the log of the run-time. */
static void note_start_death(struct node *n, int pid, int status)
{
	struct mobi_sched *sh = n->sh;
	char last[200];
	char how[64];

	if (n->over || some_stands(n)) {
		mobi_store(&sh->start_deaths, 0u);
		return;
	}
	mobi_status_text(status, how, sizeof(how));
	mobi_outlog_last_line(n->log, pid, last, sizeof(last));
	mobi_store(&sh->start_told, 0u);
	(void)snprintf(sh->start_why, sizeof(sh->start_why), "%s%s%s%s", how,
		       last[0] ? ", and said: '" : "", last,
		       last[0] ? "'" : "");
	mobi_store(&sh->start_told, 1u);
	if (mobi_fetch_add(&sh->start_deaths, 1u) + 1 == MOBI_START_TRIES) {
		mobi_log(MOBI_LOG_ERROR,
			 "%u workers in a row ended before they could run a "
			 "task; the last by %s",
			 MOBI_START_TRIES, sh->start_why);
	}
}

/* Collects the dead child pid. */
static void collect_one(struct node *n, int pid)
{
	struct child *c = child_of(n, pid);
	int status;
	bool stood;

	if (c) {
		mobi_kill_group(pid); /* while the number is its own */
	}
	status = mobi_child_collect(pid);
	if (c) {
		stood = note_exit(n, pid, status);
		if (!stood) {
			note_start_death(n, pid, status);
		}
		forget(n, c, stood);
		n->sweep_until = mobi_now_ns() + (uint64_t)SWEEP_NS;
	}
}

/* First how they ended, then the reaping, which tells it. */
static void collect(struct node *n)
{
	int pid;
	bool some = false;

	while ((pid = mobi_child_dead()) > 0) {
		collect_one(n, pid);
		some = true;
	}
	if (mobi_now_ns() < n->sweep_until) {
		sweep(n, false);
	}
	if (some) {
		/* What it printed is there when it is known that it ended. */
		n->printed = mobi_outlog_turn(n->log);
		(void)mobi_reap(n->s);
	}
}

/* Workers of an earlier daemon: watched by pidfd, and told to connect here. */
static void adopt(struct node *n)
{
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		uint32_t c = mobi_load(&n->sh->place[i].client);
		struct mobi_proc *p;
		int fd;

		if (!c || c >= MOBI_CLIENTS || n->n == MOBI_PLACES) {
			continue;
		}
		p = &n->s->clients[c].proc;
		if (child_of(n, (int)p->pid)) {
			continue;
		}
		fd = mobi_proc_pidfd(p);
		if (fd < 0) {
			continue;
		}
		n->child[n->n].pid = (int)p->pid;
		n->child[n->n].pidfd = fd;
		n->child[n->n].started_ns = mobi_now_ns();
		n->child[n->n].serial = mobi_strays_serial(n->s, (int)p->pid);
		(void)mobi_poll_add(n->poll, fd, TAG(TAG_ORPHAN, p->pid));
		n->n++;
		(void)mobi_proc_signal(p, mobi_news_signal());
	}
}

/* An extra worker that nobody needs any more is asked to leave: the daemon
 * kills nobody, the last idle one goes. */
static void shrink(struct node *n)
{
	uint64_t idle = mobi_load(&n->s->board->idle);
	uint64_t now = mobi_now_ns();

	if (n->n <= n->sh->n_workers || unblocked(n) <= n->sh->n_workers ||
	    mobi_domain_work(n->s)) {
		n->extra_seen = now;
		return;
	}
	if (now - n->extra_seen < (uint64_t)EXTRA_IDLE_NS) {
		return;
	}
	n->extra_seen = now;
	for (uint32_t i = n->sh->max_places; i-- > n->sh->n_workers;) {
		uint32_t c = mobi_load(&n->sh->place[i].client);

		if (c && (idle & MOBI_BIT(c)) &&
		    mobi_fetch_and(&n->s->board->idle, ~MOBI_BIT(c)) &
			    MOBI_BIT(c)) {
			mobi_store(&n->sh->place[i].leave, 1u);
			mobi_client_ring(n->s, c);
			return;
		}
	}
}

/* ---- the end ---- */

void mobi_end_workers(struct mob_store *s)
{
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		uint64_t w = mobi_load(&s->clients[i].word);

		if (MOBI_STATE(w) == MOBI_CLIENT_LIVE &&
		    MOBI_ROLE(w) == MOBI_ROLE_WORKER) {
			(void)mobi_proc_signal(&s->clients[i].proc, 9);
		}
	}
}

static void end_session(struct node *n)
{
	struct mob_store *s = n->s;

	n->over = true;
	mobi_store(&n->sh->stopping, 1u);
	mobi_store(&s->hdr->ending, 1u);
	mobi_end_workers(s);
	for (uint32_t i = 0; i < n->n; i++) {
		if (n->child[i].pidfd < 0) {
			(void)mobi_kill(n->child[i].pid, 9);
		}
	}
}

static bool driver_dead(const struct node *n)
{
	return n->sh->driver.pid && !mobi_proc_alive(&n->sh->driver);
}

/* ---- loop ---- */

static void serve(struct node *n, uint64_t tag)
{
	char byte;
	int fd = (int)(uint32_t)tag;
	int rc;

	switch (tag >> 32) {
	case TAG_LISTEN:
		rc = mobi_sock_accept(n->listen);
		if (rc >= 0 &&
		    (mobi_sock_peer(rc) < 0 ||
		     mobi_poll_add(n->poll, rc, TAG(TAG_CONN, rc)) < 0)) {
			mobi_fd_close(rc);
		}
		break;
	case TAG_CONN:
		rc = mobi_sock_read(fd, &byte, 1);
		if (rc == 0) {
			mobi_poll_remove(n->poll, fd);
			mobi_fd_close(fd);
			/* A process that ends closes its files first and is
			 * dead a moment later: look_dead. */
			n->hung_up = mobi_now_ns();
		}
		break;
	case TAG_ORPHAN:
		if (child_of(n, fd)) {
			forget(n, child_of(n, fd), true);
			find_strays_twice(n);
		}
		(void)mobi_reap(n->s);
		break;
	default:
		break;
	}
}

/* Those who are not children: drivers, and tools, which do not connect. */
static void look_dead(struct node *n)
{
	uint64_t now = mobi_now_ns();

	if (now - n->last_look >= LOOK_NS || now - n->hung_up < HUNG_UP_NS) {
		n->last_look = now;
		mobi_outlog_look(n->log);
		if (mobi_load(&n->sh->daemons) > 1) {
			adopt(n); /* who came up when there was no daemon */
		}
		if (n->strays_at && now >= n->strays_at) {
			n->strays_at = 0;
			find_strays(n);
		}
		(void)mobi_reap(n->s);
	}
}

/* Memory ahead of use, so that a first touch is seldom on anybody's path, and
 * back to the system when much of it lies idle. */
static void memory(struct node *n, uint64_t now)
{
	if (n->last_trim && now - n->last_trim < (uint64_t)TRIM_NS) {
		return;
	}
	if (n->last_trim) {
		mobi_arena_trim(n->s->arena, KEEP_BYTES);
	}
	/* Who touches memory first decides its node: on a machine with several
	 * that is left to who writes there. */
	if (mobi_node_count() == 1) {
		mobi_arena_warm(n->s->arena, WARM_BYTES);
	}
	n->last_trim = now;
}

static void catalogue(struct node *n)
{
	uint64_t now = mobi_now_ns();

	if (now - n->last_catalogue > CATALOGUE_MS * MOB_MS) {
		n->last_catalogue = now;
		(void)mobi_name_recount(n->s);
		(void)mobi_catalogue_drain(n->s->cat, CATALOGUE_AGE_MS, NULL);
		memory(n, now);
	}
}

/* Workers that have more memory than they may ever have are killed. */
static void weigh(struct node *n)
{
	uint64_t now = mobi_now_ns();

	if (!n->sh->worker_limits.memory_max ||
	    now - n->last_weighed < (uint64_t)WEIGH_NS) {
		return;
	}
	n->last_weighed = now;
	for (uint32_t i = 0; i < n->sh->max_places; i++) {
		mobi_worker_limit_kill(n->s, i);
	}
}

/* How long to wait for news: less than a tick if a task is due before. */
static int tick_ms(struct node *n)
{
	uint64_t due = mobi_timer_watch(n->s, &n->due);
	uint64_t now = mobi_now_ns();

	if (due <= now || n->printed) {
		return 0;
	}
	return due - now >= TICK_MS * (uint64_t)MOB_MS ?
		       TICK_MS :
		       (int)((due - now) / MOB_MS + 1);
}

static void loop(struct node *n)
{
	while (!n->over) {
		uint64_t tags[32];
		int k = mobi_poll_wait(n->poll, tags, 32, tick_ms(n));

		for (int i = 0; i < k; i++) {
			serve(n, tags[i]);
		}
		n->printed = mobi_outlog_turn(n->log);
		collect(n);
		look_dead(n);
		if (driver_dead(n) || mobi_load(&n->sh->stopping) ||
		    mobi_load(&n->s->hdr->ending)) {
			end_session(n);
			break;
		}
		if (mobi_load(&n->s->hdr->leftover)) {
			(void)mobi_reap(n->s);
		}
		keep_workers(n);
		shrink(n);
		weigh(n);
		mobi_pressure_watch(n->s, &n->pressure);
		mobi_domain_watch(n->s);
		mobi_unread_watch(n->s, false);
		mobi_build_watch(n->s, &n->builds);
		catalogue(n);
	}
}

static int set_up(struct node *n)
{
	struct mob_store *s = n->s;

	n->poll = mobi_poll_new();
	if (n->poll < 0) {
		return n->poll;
	}
	n->listen = mobi_sock_listen(s->dir_fd, MOBI_SOCKET);
	if (n->listen < 0) {
		return n->listen;
	}
	n->driver = -1;
	if (n->sh->driver.pid) {
		n->driver = mobi_proc_pidfd(&n->sh->driver);
		if (n->driver >= 0) {
			(void)mobi_poll_add(n->poll, n->driver,
					    TAG(TAG_DRIVER, 0));
		}
	}
	return mobi_poll_add(n->poll, n->listen, TAG(TAG_LISTEN, 0));
}

/*
 * Takes the daemon's lock. False: there is one that listens. One that is dying has
 * closed its files and is not dead yet: who started this process in its place may
 * be in a task, and will not look again.
 */
static bool become_daemon(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	uint64_t end = mobi_now_ns() + DYING_NS;

	while (mobi_lock_try(&sh->daemon) < 0) {
		int fd = mobi_sock_connect(s->dir_fd, MOBI_SOCKET);

		if (fd >= 0) {
			mobi_sock_close(fd);
			return false;
		}
		if (mobi_now_ns() > end) {
			return false;
		}
		mobi_pause_ns(MOB_MS);
	}
	return true;
}

/* Collects a dead child, or waits a little for news. */
static void wait_dead(struct node *n)
{
	uint64_t tags[32];
	int pid = mobi_child_dead();
	int k;

	if (pid > 0) {
		collect_one(n, pid);
		return;
	}
	k = mobi_poll_wait(n->poll, tags, 32, 5);
	for (int i = 0; i < k; i++) {
		serve(n, tags[i]);
	}
}

/* Nothing of the session is left when this process is gone. */
static void end_all(struct node *n)
{
	uint64_t end;

	while (n->n) {
		wait_dead(n);
		end_session(n);
	}
	/* What is left of tasks; what that leaves becomes a child. */
	end = mobi_now_ns() + (uint64_t)LAST_SWEEP_NS;
	while (mobi_has_children() && mobi_now_ns() < end) {
		sweep(n, true);
		wait_dead(n);
	}
	if (mobi_load(&n->sh->daemons) > 1) {
		mobi_strays_find(n->s,
				 NULL); /* of workers that were no children */
	}
}

int mobi_node_main(const char *path, bool serves)
{
	struct node n = { 0 };
	bool is_private;
	char *remove;
	int rc = mobi_store_open(path, MOBI_ROLE_DAEMON, &n.s);

	if (rc < 0) {
		return rc == MOB_E_NOT_FOUND || rc == MOB_E_CLOSED ? 0 : rc;
	}
	rc = mobi_rt_check_layout(n.s);
	if (rc >= 0 && !serves) {
		rc = mobi_build_daemon(n.s);
	}
	if (rc < 0) {
		mobi_log(MOBI_LOG_ERROR, "daemon: %s", mob_err_detail(rc));
		mob_store_close(n.s);
		return rc;
	}
	mobi_set_name("mobd");
	/* Who is stopped while it writes must not stop this one. */
	mobi_catalogue_patience(n.s->cat, 0);
	n.sh = n.s->sched;
	if (!become_daemon(n.s)) {
		mob_store_close(n.s); /* another was quicker */
		return 0;
	}
	mobi_rt.store = n.s;
	mobi_rt.sched = n.sh;
	mobi_rt.role = MOBI_ROLE_DAEMON;
	mobi_adopt_orphans();
	(void)mobi_fetch_add(&n.sh->daemons, 1u);
	mobi_sched_reap_init(n.s);
	the_node = &n;
	n.s->may_reap = may_reap;
	rc = set_up(&n);
	if (rc < 0) {
		mobi_log(MOBI_LOG_ERROR, "daemon: %s", mob_err_detail(rc));
		return rc;
	}
	(void)mobi_limits_parse(n.sh->worker_limits.text, &n.limits);
	adopt(&n);
	/* Before all that is long: if each daemon were killed before it came to that,
	 * the places of the dead would be used up. */
	(void)mobi_reap(n.s);
	mobi_store(&n.sh->daemon_pid, mobi_proc_self().pid);
	mobi_outlog_open(n.s, &n.log);
	if (mobi_load(&n.sh->daemons) > 1) {
		find_strays_twice(&n); /* of who died without a daemon */
	}
	mobi_pressure_begin(n.s, &n.pressure);
	loop(&n);
	mobi_pressure_end(&n.pressure);
	end_all(&n);
	mobi_outlog_close(n.log);
	mobi_unread_watch(n.s, true);
	mobi_due_free(&n.due);
	is_private = (n.s->hdr->flags & MOB_STORE_PRIVATE) != 0;
	remove = is_private ? strdup(n.s->path) : NULL;
	if (remove) {
		(void)mobi_session_remove(remove);
		free(remove);
	}
	mob_store_close(n.s);
	return 0;
}
