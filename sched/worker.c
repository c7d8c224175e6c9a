/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker: takes tasks and runs them.
 *
 * Idle: it sets its bit on the board, looks once more, then sleeps on its bell.
 * Who has work claims the bit and rings. A worker whose daemon dies is told by
 * a signal: it starts another one, or connects to the one that was started.
 */
#include "block.h"
#include "board.h"
#include "build.h"
#include "bundle.h"
#include "cancel.h"
#include "domain.h"
#include "err.h"
#include "log.h"
#include "node.h"
#include "os_crash.h"
#include "os_futex.h"
#include "os_run.h"
#include "os_sock.h"
#include "output.h"
#include "prefetch.h"
#include "reap.h"
#include "sched_reap.h"
#include "spill.h"
#include "strays.h"
#include "task.h"
#include "wait.h"
#include "worker_limits.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An idle worker looks again this often, and sooner when something that did
 * not fit waits: who freed the room may have been stopped before it rang. */
#define IDLE_SLICE (500 * MOB_MS)
#define UNFIT_SLICE (20 * MOB_MS)
/* Another has tasks which it may not come to. */
#define BUNDLE_SLICE MOB_MS

/* ---- news of the daemon ---- */

static char **news_env; /* for execve in the signal handler */
static char *news_argv[3];
static const char *news_program;

static void look_daemon(void)
{
	struct mobi_run_how how = MOBI_RUN_HOW_INIT;
	char byte;

	/* Only calls that a handler may make. A daemon may die before the
	 * connection to it is made to signal: it is read after that. */
	for (int tries = 0; tries < 3; tries++) {
		if (mobi_rt.daemon_fd < 0) {
			mobi_rt.daemon_fd = mobi_node_reconnect(mobi_rt.store);
		}
		if (mobi_rt.daemon_fd < 0) {
			break;
		}
		if (mobi_sock_read(mobi_rt.daemon_fd, &byte, 1) ==
		    MOB_E_AGAIN) {
			return; /* it lives */
		}
		mobi_sock_close(mobi_rt.daemon_fd);
		mobi_rt.daemon_fd = -1;
	}
	/* One that was started by another worker listens a moment later, and
	 * signals then. */
	mobi_output_stdio(mobi_rt.store, &how);
	(void)mobi_run_detached(news_program, news_argv, news_env, &how);
	mobi_output_stdio_end(&how);
}

static void on_news(int sig)
{
	int saved = errno;

	(void)sig;
	mobi_cancel_ring(); /* the task that runs may be cancelled */
	if (mobi_rt.store) {
		look_daemon();
	}
	errno = saved;
}

static int prepare_news(struct mob_store *s)
{
	static char role[] = MOBI_ENV_ROLE "=daemon";
	static char argv0[] = "mobula-daemon";
	static char tag[MOBI_TAG_ENV];
	char *env[4] = { role, NULL, tag, NULL };
	size_t n = strlen(s->path) + sizeof(MOBI_ENV_SESSION) + 2;

	mobi_strays_daemon_env(s, tag);
	env[1] = malloc(n);
	if (!env[1]) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	(void)snprintf(env[1], n, "%s=%s", MOBI_ENV_SESSION, s->path);
	news_program = mobi_build_program(s->sched);
	news_env = mobi_env_with(env);
	news_argv[0] = argv0;
	news_argv[1] = s->name;
	if (!news_env) {
		free(env[1]);
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	mobi_on_signal(mobi_news_signal(), on_news);
	return 0;
}

/* ---- the end of this process ---- */

/* In a signal handler. */
static void tell_fault(enum mobi_fault_kind what, uint64_t addr)
{
	const struct mob_store *s = mobi_rt.store;
	struct mobi_place_shared *p;
	uint32_t fault = MOBI_FAULT_OTHER;

	if (!s || mobi_rt.place == MOBI_NO_PLACE ||
	    !mobi_load_relaxed(s->not_forked)) {
		return;
	}
	if (what == MOBI_CRASH_NO_MEMORY) {
		fault = MOBI_FAULT_MEMORY;
	} else if (what == MOBI_CRASH_NOWHERE) {
		addr = UINT64_MAX;
	} else if (mobi_segment_has(s, addr)) {
		fault = MOBI_FAULT_STORE;
	} else if (what == MOBI_CRASH_NEAR_STACK) {
		fault = MOBI_FAULT_STACK;
	} else if (addr < 4096) {
		fault = MOBI_FAULT_NULL;
	}
	p = &mobi_rt.sched->place[mobi_rt.place];
	mobi_store(&p->fault_addr, addr);
	mobi_store(&p->fault, fault);
}

/* ---- loop ---- */

/* Looks at its bell for a while; only one idle worker does, or they would take
 * the processors from those who work. Not at its idle bit: who claims that
 * writes the same line twice before, and would lose it in between. */
static bool spin(struct mob_store *s, mobi_a32 *bell, uint32_t value)
{
	uint32_t now = mobi_load(&s->board->spinner);
	uint32_t me = s->me;

	/* One that was woken stays the spinner until another needs it: its line
	 * is not written for that. */
	if (now != me && ((now && (mobi_load(&s->board->idle) &
				   MOBI_BIT(now % MOBI_CLIENTS))) ||
			  !mobi_cas32(&s->board->spinner, &now, me))) {
		return false;
	}
	if (mobi_spin(bell, value)) {
		__builtin_prefetch(s->board, 1);
		return true;
	}
	(void)mobi_cas32(&s->board->spinner, &me, 0);
	return false;
}

/* A daemon that died before it said that it is there leaves nobody who is told of
 * its death; nor is a worker told whose task has closed the connection, or has
 * blocked the signal, and left it so: such a one looks now and then. In the handler, for the same may come in between. */
static void miss_daemon(bool timed_out)
{
	if ((mobi_rt.daemon_fd < 0 || timed_out) &&
	    !mobi_lock_held(&mobi_rt.sched->daemon)) {
		mobi_signal_unblock(mobi_news_signal());
		(void)raise(mobi_news_signal());
	}
}

/* Turns that find queued work that is not for this worker, before it sleeps. */
#define FRUITLESS 4u

/* *io_fruitless counts turns that took nothing though there was something. */
static void idle(struct mob_store *s, uint32_t *io_fruitless)
{
	struct mobi_client *me = &s->clients[s->me];
	struct mobi_sched *sh = mobi_rt.sched;
	struct mobi_gen *g = &sh->gens[MOBI_CUR_INDEX(mobi_load(&sh->cur))];
	uint32_t bell = mobi_load(&me->bell);
	bool short_sleep = mobi_load(&g->unfit) != 0;
	bool queued;
	bool timed_out;

	(void)mobi_fetch_or(&s->board->idle, MOBI_BIT(s->me));
	queued = mobi_domain_queued(s) && !short_sleep;
	if (!queued) {
		*io_fruitless = 0;
	} else if (++*io_fruitless > FRUITLESS) {
		/* It is other workers', by the policy's will. */
		*io_fruitless = 0;
		short_sleep = true;
		queued = false;
	}
	if (mobi_board_some(s) || mobi_load(&sh->stopping) ||
	    mobi_load(&g->filling) || queued) {
		(void)mobi_fetch_and(&s->board->idle, ~MOBI_BIT(s->me));
		return;
	}
	if (spin(s, &me->bell, bell)) {
		if (mobi_load(&s->board->idle) & MOBI_BIT(s->me)) {
			(void)mobi_fetch_and(&s->board->idle, ~MOBI_BIT(s->me));
		}
		return;
	}
	mobi_store(&me->asleep, 1u);
	timed_out = mobi_futex_wait(&me->bell, bell,
				    mobi_bundle_some(s) ? BUNDLE_SLICE :
				    short_sleep         ? UNFIT_SLICE :
						  IDLE_SLICE) == MOB_E_TIMEOUT;
	if (timed_out) {
		mobi_stacks_drop(); /* their memory is for who works */
	}
	mobi_store(&me->asleep, 0u);
	(void)mobi_fetch_and(&s->board->idle, ~MOBI_BIT(s->me));
	miss_daemon(timed_out);
}

/* Runs of each function whose tasks say after how many the worker is to go. */
static uint32_t calls[MOBI_FUNCTIONS];

void mobi_worker_ran(uint32_t fn, const struct mobi_plan *p)
{
	struct mobi_place_shared *place = &mobi_rt.sched->place[mobi_rt.place];

	if (p && p->max_calls && ++calls[fn % MOBI_FUNCTIONS] >= p->max_calls) {
		mobi_store(&place->leave, 1u);
	}
}

/* Returns when it ended. */
static uint64_t run_one(struct mob_store *s, uint32_t rec, uint64_t w,
			uint64_t taken_ns)
{
	struct mobi_place_shared *p = &mobi_rt.sched->place[mobi_rt.place];
	uint64_t ran_ns;
	int rc;

	if (mobi_spills(s)) {
		mobi_task_prefetch(s, rec, w);
	}
	ran_ns = mobi_task_run(s, rec, w, taken_ns, &rc);

	mobi_store(&p->ann, UINT64_C(0));
	mobi_domain_ran(ran_ns ? ran_ns : 1, rc);
	/* For lists: only this worker writes it. */
	mobi_store_relaxed(&p->busy_ns,
			   mobi_load_relaxed(&p->busy_ns) + ran_ns);
	return taken_ns + ran_ns;
}

/* Another takes the place of a worker that has grown too large. */
static void replace_leak(struct mob_store *s)
{
	if (mobi_worker_leaks(s)) {
		mobi_store(&mobi_rt.sched->place[mobi_rt.place].leave, 1u);
	}
}

static void loop(struct mob_store *s)
{
	struct mobi_sched *sh = mobi_rt.sched;
	uint32_t empty = 0;
	uint32_t fruitless = 0;
	uint64_t now = 0;

	while (!mobi_load(&sh->stopping) && !mobi_load(&s->hdr->ending) &&
	       !mobi_load(&sh->place[mobi_rt.place].leave)) {
		uint32_t rec;
		uint64_t w;
		bool more;

		if (mobi_bundle_next(s, &rec, &w, &now) ||
		    mobi_domain_take(s, &rec, &w, &now, &more)) {
			now = run_one(s, rec, w, now);
			replace_leak(s);
			empty = 0;
			fruitless = 0;
			continue;
		}
		if (more && ++empty < 1000) {
			continue;
		}
		empty = 0;
		idle(s, &fruitless);
		replace_leak(s); /* not each run is followed by a look */
	}
}

int mobi_worker_main(const char *path)
{
	struct mob_store *s;
	int rc = mobi_store_open(path, MOBI_ROLE_WORKER, &s);

	if (rc < 0) {
		/* The session ended while this process started. */
		return rc == MOB_E_NOT_FOUND || rc == MOB_E_CLOSED ? 0 : 1;
	}
	rc = mobi_rt_check_layout(s);
	if (rc < 0) {
		/* The program was built anew since the session began. */
		mobi_log(MOBI_LOG_ERROR, "worker: %s", mob_err_detail(rc));
		mob_store_close(s);
		return 1;
	}
	mobi_set_name("mob-worker");
	s->is_worker = true;
	mobi_rt.store = s;
	mobi_prefetch_begin();
	mobi_rt.sched = s->sched;
	mobi_rt.role = MOBI_ROLE_WORKER;
	mobi_rt.worker_thread = pthread_self();
	mobi_output_attach(s);
	mobi_sched_reap_init(s);
	s->poll = mobi_node_poll;
	mobi_block_init();
	rc = mobi_build_worker(s);
	if (rc >= 0) {
		rc = prepare_news(s);
	}
	if (rc >= 0) {
		rc = mobi_place_take(s, &mobi_rt.place);
	}
	if (rc < 0) {
		if (rc != MOB_E_CLOSED) {
			mobi_log(MOBI_LOG_ERROR, "worker: %s",
				 mob_err_detail(rc));
		}
		mobi_rt.store = NULL;
		mob_store_close(s);
		return rc != MOB_E_CLOSED;
	}
	mobi_crash_watch(tell_fault);
	mobi_forks_die_with_me();
	/* Connects, as if the daemon were new; in the handler, for the same may
	 * come in between. */
	(void)raise(mobi_news_signal());
	loop(s);
	mobi_bundle_give_back(s);
	mobi_place_leave(s, mobi_rt.place);
	mobi_wake_worker(s); /* for what this one would have taken */
	mobi_sock_close(mobi_rt.daemon_fd);
	mobi_rt.daemon_fd = -1;
	mobi_context_clear();
	mobi_output_mark();
	mobi_output_detach();
	mobi_rt.store = NULL; /* of the handler of news, too */
	mob_store_close(s);
	return 0;
}
