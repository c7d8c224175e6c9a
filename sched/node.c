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
#include "node_impl.h"

#include "board.h"
#include "domain.h"
#include "err.h"
#include "log.h"
#include "name.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_huge.h"
#include "os_run.h"
#include "os_sock.h"
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
#define LOOK_NS (500 * (uint64_t)MOB_MS)
#define HUNG_UP_NS (uint64_t) MOB_SEC
#define WEIGH_NS (20 * MOB_MS)
#define LAST_SWEEP_NS (5 * MOB_SEC)
#define DYING_NS (10 * (uint64_t)MOB_SEC)
#define WARM_BYTES (UINT64_C(8) << 20)
#define KEEP_BYTES (UINT64_C(256) << 20)
#define TRIM_NS (10 * MOB_SEC)

/* ---- the end ---- */

/* This daemon is to end its session: a signal, or its directory was removed. */
static mobi_a32 end_asked;

static void on_end(int sig)
{
	(void)sig;
	mobi_store(&end_asked, 1u);
}

void mobi_node_heed_signals(bool serves)
{
	mobi_on_end_signals(serves, on_end);
}

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

static void end_session(struct mobi_node *n)
{
	struct mob_store *s = n->s;

	n->over = true;
	mobi_store(&n->sh->stopping, 1u);
	mobi_store(&s->hdr->ending, 1u);
	if (mobi_load(&end_asked)) {
		for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
			mobi_client_ring(s, i); /* who sleeps is told */
		}
	}
	mobi_end_workers(s);
	for (uint32_t i = 0; i < n->n; i++) {
		if (n->child[i].pidfd < 0) {
			(void)mobi_kill(n->child[i].pid, 9);
		}
	}
}

static bool driver_dead(const struct mobi_node *n)
{
	return n->sh->driver.pid && !mobi_proc_alive(&n->sh->driver);
}

/* ---- loop ---- */

static void serve(struct mobi_node *n, uint64_t tag)
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
		mobi_node_orphan_ended(n, fd);
		break;
	default:
		break;
	}
}

/* Those who are not children: drivers, and tools, which do not connect. */
static void look_dead(struct mobi_node *n)
{
	uint64_t now = mobi_now_ns();

	if (now - n->last_look >= LOOK_NS || now - n->hung_up < HUNG_UP_NS) {
		n->last_look = now;
		mobi_outlog_look(n->log);
		if (mobi_dir_removed(n->s->dir_fd)) {
			/* Nobody can come any more, not even to end it. */
			mobi_store(&end_asked, 1u);
		}
		if (mobi_load(&n->sh->daemons) > 1) {
			mobi_node_adopt(
				n); /* who came up when there was no daemon */
		}
		if (n->strays_at && now >= n->strays_at) {
			n->strays_at = 0;
			mobi_node_find_strays(n);
		}
		(void)mobi_reap(n->s);
	}
}

/* Memory ahead of use, so that a first touch is seldom on anybody's path, and
 * back to the system when much of it lies idle. */
static void memory(struct mobi_node *n, uint64_t now)
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

static void catalogue(struct mobi_node *n)
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
static void weigh(struct mobi_node *n)
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
static int tick_ms(struct mobi_node *n)
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

static void loop(struct mobi_node *n)
{
	while (!n->over) {
		uint64_t tags[32];
		int k = mobi_poll_wait(n->poll, tags, 32, tick_ms(n));

		for (int i = 0; i < k; i++) {
			serve(n, tags[i]);
		}
		n->printed = mobi_outlog_turn(n->log);
		mobi_node_collect(n);
		look_dead(n);
		if (driver_dead(n) || mobi_load(&end_asked) ||
		    mobi_load(&n->sh->stopping) ||
		    mobi_load(&n->s->hdr->ending)) {
			end_session(n);
			break;
		}
		if (mobi_load(&n->s->hdr->leftover)) {
			(void)mobi_reap(n->s);
		}
		mobi_node_keep_workers(n);
		mobi_node_shrink(n);
		weigh(n);
		mobi_pressure_watch(n->s, &n->pressure);
		mobi_domain_watch(n->s);
		mobi_unread_watch(n->s, false);
		mobi_build_watch(n->s, &n->builds);
		catalogue(n);
	}
}

static int set_up(struct mobi_node *n)
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
static void wait_dead(struct mobi_node *n)
{
	uint64_t tags[32];
	int pid = mobi_child_dead();
	int k;

	if (pid > 0) {
		mobi_node_collect_one(n, pid);
		return;
	}
	k = mobi_poll_wait(n->poll, tags, 32, 5);
	for (int i = 0; i < k; i++) {
		serve(n, tags[i]);
	}
}

/* Nothing of the session is left when this process is gone. */
static void end_all(struct mobi_node *n)
{
	uint64_t end;

	while (n->n) {
		wait_dead(n);
		end_session(n);
	}
	/* What is left of tasks; what that leaves becomes a child. */
	end = mobi_now_ns() + (uint64_t)LAST_SWEEP_NS;
	while (mobi_has_children() && mobi_now_ns() < end) {
		mobi_node_sweep(n, true);
		wait_dead(n);
	}
	if (mobi_load(&n->sh->daemons) > 1) {
		mobi_strays_find(n->s,
				 NULL); /* of workers that were no children */
	}
}

int mobi_node_main(const char *path, bool serves)
{
	struct mobi_node n = { 0 };
	bool is_private;
	char *remove;
	int rc;

	mobi_node_heed_signals(serves);
	rc = mobi_store_open(path, MOBI_ROLE_DAEMON, &n.s);
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
	mobi_node_watch_reaping(&n);
	rc = set_up(&n);
	if (rc < 0) {
		mobi_log(MOBI_LOG_ERROR, "daemon: %s", mob_err_detail(rc));
		return rc;
	}
	(void)mobi_limits_parse(n.sh->worker_limits.text, &n.limits);
	mobi_node_adopt(&n);
	/* Before all that is long: if each daemon were killed before it came to that,
	 * the places of the dead would be used up. */
	(void)mobi_reap(n.s);
	mobi_store(&n.sh->daemon_pid, mobi_proc_self().pid);
	mobi_outlog_open(n.s, &n.log);
	if (mobi_load(&n.sh->daemons) > 1) {
		mobi_node_find_strays_twice(
			&n); /* of who died without a daemon */
	}
	mobi_pressure_begin(n.s, &n.pressure);
	loop(&n);
	mobi_pressure_end(&n.pressure);
	end_all(&n);
	/* What it tells is for the log, too. */
	mobi_unread_watch(n.s, true);
	mobi_outlog_close(n.log);
	mobi_due_free(&n.due);
	is_private = (n.s->hdr->flags & MOB_STORE_PRIVATE) != 0;
	remove = is_private ? strdup(n.s->path) : NULL;
	if (remove) {
		(void)mobi_session_remove(remove);
		free(remove);
	} else if (mobi_load(&end_asked)) {
		(void)mobi_session_remove_open(n.s->dir_fd, n.s->path);
	}
	mob_store_close(n.s);
	return 0;
}
