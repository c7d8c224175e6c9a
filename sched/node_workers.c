/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workers that a daemon has: starting them, noting how they ended, those that an
 * earlier daemon left, and what their tasks leave behind.
 */
#include "node_impl.h"

#include "board.h"
#include "domain.h"
#include "err.h"
#include "log.h"
#include "os_clock.h"
#include "os_dir.h"
#include "os_run.h"
#include "os_sock.h"
#include "reap.h"
#include "strays.h"

#include <stdio.h>

#define EXTRA_IDLE_NS (2 * MOB_SEC)
#define SWEEP_NS (200 * MOB_MS)

static struct mobi_node_child *child_of(struct mobi_node *n, int pid)
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
static struct mobi_node *the_node;

static bool may_reap(struct mob_store *s, uint32_t client)
{
	const struct mobi_node_child *c =
		child_of(the_node, (int)s->clients[client].proc.pid);

	return !c || c->pidfd >= 0;
}

void mobi_node_watch_reaping(struct mobi_node *n)
{
	the_node = n;
	n->s->may_reap = may_reap;
}

static void start_worker(struct mobi_node *n)
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
static uint32_t unblocked(const struct mobi_node *n)
{
	uint32_t blocked = 0;

	for (uint32_t i = 0; i < n->sh->max_places; i++) {
		blocked += mobi_load(&n->sh->place[i].client) &&
			   mobi_load(&n->sh->place[i].blocked);
	}
	return n->n > blocked ? n->n - blocked : 0;
}

void mobi_node_keep_workers(struct mobi_node *n)
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
static bool note_exit(struct mobi_node *n, int pid, int status)
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
static void forget(struct mobi_node *n, struct mobi_node_child *c, bool stood)
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
	/* If the others are blocked, one comes in its place: they asked for it when
	 * they began to wait. */
	mobi_store(&n->sh->wanted_extra, 1u);
}

/* ---- what workers leave ---- */

static bool knows_worker(void *arg, int pid)
{
	return child_of(arg, pid) != NULL;
}

static bool knows_serial(void *arg, uint64_t serial)
{
	const struct mobi_node *n = arg;

	for (uint32_t i = 0; i < n->n; i++) {
		if (n->child[i].serial == serial) {
			return true;
		}
	}
	return false;
}

/* What processes leave that are killed here are children a moment later. */
void mobi_node_sweep(struct mobi_node *n, bool all)
{
	const struct mobi_strays_known known = { knows_worker, knows_serial,
						 n };
	uint64_t now = mobi_now_ns();

	if (mobi_strays_sweep(n->s, &known, all)) {
		n->sweep_until = now + (uint64_t)SWEEP_NS;
	}
}

/* What workers have left that were no children may be anywhere. */
void mobi_node_find_strays(struct mobi_node *n)
{
	const struct mobi_strays_known known = { knows_worker, knows_serial,
						 n };

	mobi_strays_find(n->s, &known);
}

void mobi_node_find_strays_twice(struct mobi_node *n)
{
	mobi_node_find_strays(n);
	n->strays_at = mobi_now_ns() + 2 * MOBI_STRAYS_YOUNG_NS;
}

static bool some_stands(const struct mobi_node *n)
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
static void note_start_death(struct mobi_node *n, int pid, int status)
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
void mobi_node_collect_one(struct mobi_node *n, int pid)
{
	struct mobi_node_child *c = child_of(n, pid);
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
void mobi_node_collect(struct mobi_node *n)
{
	int pid;
	bool some = false;

	while ((pid = mobi_child_dead()) > 0) {
		mobi_node_collect_one(n, pid);
		some = true;
	}
	if (mobi_now_ns() < n->sweep_until) {
		mobi_node_sweep(n, false);
	}
	if (some) {
		/* What it printed is there when it is known that it ended. */
		n->printed = mobi_outlog_turn(n->log);
		(void)mobi_reap(n->s);
	}
}

/* Workers of an earlier daemon: watched by pidfd, and told to connect here. */
void mobi_node_adopt(struct mobi_node *n)
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
void mobi_node_shrink(struct mobi_node *n)
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

void mobi_node_orphan_ended(struct mobi_node *n, int pid)
{
	struct mobi_node_child *c = child_of(n, pid);

	if (c) {
		forget(n, c, true);
		mobi_node_find_strays_twice(n);
	}
	(void)mobi_reap(n->s);
}
