/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swapping the policy of a running session.
 *
 * The policy is tried in a process of its own, gets a row, and a new generation
 * with that row is made the current one. That is the commit: the workers fill
 * the queues of the new generation from the records, so nothing depends on who
 * asked. The rest is waiting until a worker has called its start.
 */
#include "inspect.h"

#include "board.h"
#include "domain.h"
#include "err.h"
#include "os_clock.h"
#include "os_run.h"
#include "policy_row.h"

#include <stdio.h>
#include <string.h>

#define SWAP_NS (10 * MOB_SEC)
#define LOOK_NS INT64_C(100000)

struct swap {
	struct mob_store *s;
	struct mobi_sched *sh;
	const char *name;
	uint32_t row;
	uint64_t cur; /* {generation, index} that was made */
	uint64_t began;
};

static bool late(const struct swap *w)
{
	return mobi_now_ns() - w->began > (uint64_t)SWAP_NS;
}

static int over(const struct swap *w)
{
	if (mobi_load(&w->s->hdr->ending) || mobi_load(&w->sh->stopping)) {
		return mobi_err(MOB_E_CLOSED,
				"mob_policy_swap: session %s has ended",
				w->s->name);
	}
	return 0;
}

/* Checks the policy and gives it a row. */
static int find_row(struct swap *w)
{
	char why[400];
	int rc = mobi_policy_row_add(w->s, w->name, MOBI_POLICY_TRIAL, &w->row);

	if (rc == MOB_E_CRASHED || rc == MOB_E_TIMEOUT) {
		/* The check, not the session. */
		(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
		return mobi_err(MOB_E_PLUGIN, "%s", why);
	}
	return rc;
}

static uint64_t count_running(struct mobi_sched *sh)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		n += mobi_load(&sh->place[i].client) &&
		     mobi_load(&sh->place[i].ann);
	}
	return n;
}

/* Makes the new generation. */
static int commit(struct swap *w)
{
	uint64_t queued;
	uint64_t running;
	uint64_t cur;
	int rc;

	do {
		rc = over(w);
		if (rc < 0) {
			return rc;
		}
		queued = mobi_domain_queued(w->s);
		running = count_running(w->sh);
		cur = mobi_load(&w->sh->cur);
		rc = mobi_domain_next(w->s, cur, w->row);
		if (rc == MOB_E_BUSY) {
			mobi_pause_ns(LOOK_NS);
		}
	} while ((rc == MOB_E_AGAIN || rc == MOB_E_BUSY) && !late(w));
	if (rc == MOB_E_AGAIN || rc == MOB_E_BUSY) {
		return mobi_err(MOB_E_TIMEOUT,
				"policy %s: the domain could not be had within "
				"10 s; the old policy stays",
				w->name);
	}
	if (rc < 0) {
		return rc;
	}
	mobi_store(&w->sh->wanted_policy, w->row);
	mobi_store(&w->sh->swap_queued, queued);
	mobi_store(&w->sh->swap_running, running);
	(void)mobi_fetch_add(&w->sh->swaps, UINT64_C(1));
	w->cur = MOBI_CUR_GEN(cur) + 1;
	return 0;
}

/* True if a worker has called its start and left the domain. */
static bool decides(const struct swap *w)
{
	const struct mobi_gen *g =
		&w->sh->gens[MOBI_CUR_INDEX(mobi_load(&w->sh->cur))];

	return g->started && !mobi_load(&g->lock);
}

/* Another generation has come: was ours thrown out, or replaced? */
static int replaced(const struct swap *w)
{
	char why[sizeof(w->sh->ejected_reason)];

	if (mobi_load(&w->sh->ejected_policy) != w->row ||
	    mobi_load(&w->sh->ejected_ns) < w->began) {
		return 0;
	}
	mobi_session_text(why, sizeof(why), w->sh->ejected_reason, sizeof(why));
	return mobi_err(MOB_E_PLUGIN,
			"policy %s: the session has thrown it out at once: %s",
			w->name, why);
}

static int await(const struct swap *w)
{
	while (MOBI_CUR_GEN(mobi_load(&w->sh->cur)) == w->cur) {
		int rc = over(w);

		if (rc < 0) {
			return rc;
		}
		if (decides(w)) {
			return replaced(w);
		}
		if (late(w)) {
			return mobi_err(MOB_E_TIMEOUT,
					"policy %s: no worker was free to take "
					"it over within 10 s; it decides when "
					"one is",
					w->name);
		}
		(void)mobi_board_wake(w->s);
		mobi_pause_ns(LOOK_NS);
	}
	return replaced(w);
}

static int swap_in(struct mob_store *s, const char *name, uint64_t *out_gen)
{
	struct swap w = { .s = s, .sh = s->sched, .name = name };
	int rc = find_row(&w);

	if (rc < 0) {
		return rc;
	}
	w.began = mobi_now_ns();
	rc = commit(&w);
	if (rc >= 0) {
		rc = await(&w);
	}
	if (rc >= 0) {
		*out_gen = w.cur;
	}
	return rc;
}

struct swap_call {
	const char *name;
	uint64_t gen;
};

static int swap_joined(struct mob_store *s, void *arg)
{
	struct swap_call *k = arg;

	return swap_in(s, k->name, &k->gen);
}

int mob_policy_swap(struct mob_session *session, const char *name_or_path,
		    uint64_t *out_generation)
{
	struct swap_call k = { name_or_path, 0 };
	int rc = mobi_session_check(session, "mob_policy_swap");

	if (rc >= 0) {
		rc = mobi_session_join(session, swap_joined, &k);
	}
	if (rc >= 0 && out_generation) {
		*out_generation = k.gen;
	}
	return rc < 0 ? rc : 0;
}
