/* SPDX-License-Identifier: Apache-2.0 */
/* Places: where workers stand, and waking one. */
#include "place.h"

#include "board.h"
#include "err.h"
#include "node.h"
#include "os_clock.h"
#include "os_run.h"
#include "reap.h"
#include "record.h"
#include "resources.h"

static bool place_try(struct mob_store *s, uint32_t *out_place)
{
	struct mobi_sched *sh = s->sched;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		struct mobi_place_shared *p = &sh->place[i];
		uint32_t nobody = 0;

		if (!mobi_load(&p->client) &&
		    mobi_cas32(&p->client, &nobody, s->me)) {
			mobi_store(&p->ann, UINT64_C(0));
			mobi_store(&p->blocked, 0u);
			mobi_store(&p->waits, UINT64_C(0));
			mobi_store(&p->helps, 0u);
			mobi_store(&p->leave, 0u);
			mobi_store(&p->shot, UINT64_C(0));
			mobi_store(&p->press, UINT64_C(0));
			for (uint32_t k = 0; k < MOBI_BUNDLE_TASKS; k++) {
				mobi_store(&sh->bundle[i].task[k], UINT64_C(0));
			}
			mobi_resources_clear(p);
			mobi_store_relaxed(&p->busy_ns, UINT64_C(0));
			(void)mobi_fetch_add(
				&sh->ran, mobi_exchange(&p->runs, UINT64_C(0)));
			*out_place = i;
			return true;
		}
	}
	return false;
}

int mobi_place_take(struct mob_store *s, uint32_t *out_place)
{
	/* The one that this worker replaces may not be reaped yet. */
	for (uint32_t i = 0; i < 2000 && !mobi_load(&s->hdr->ending); i++) {
		if (place_try(s, out_place)) {
			return 0;
		}
		(void)mobi_reap(s);
		mobi_pause_ns(MOB_MS);
	}
	if (mobi_load(&s->hdr->ending)) {
		return mobi_err(MOB_E_CLOSED, "the session is ending");
	}
	return mobi_err(MOB_E_LIMIT, "all %u places for workers are taken",
			((struct mobi_sched *)s->sched)->max_places);
}

bool mobi_place_status(const struct mob_store *s,
		       const struct mobi_place_shared *p, uint32_t client,
		       uint32_t *out)
{
	/* Another that stood here may have left its own. */
	if (mobi_load(&p->exit_pid) !=
	    s->clients[client % MOBI_CLIENTS].proc.pid) {
		return false;
	}
	*out = mobi_load(&p->exit_status);
	return true;
}

void mobi_place_leave(struct mob_store *s, uint32_t place)
{
	struct mobi_place_shared *p =
		&((struct mobi_sched *)s->sched)->place[place];
	uint32_t me = s->me;

	mobi_record_put(s, MOB_EVENT_LEFT, mobi_now_ns(), 0, 0);
	mobi_store(&p->ann, UINT64_C(0));
	mobi_store(&p->blocked, 0u);
	mobi_store(&p->fault, 0u);
	/* It did stand here, though by the time it ends another may. */
	mobi_store(&p->exit_status, 0u);
	mobi_store(&p->exit_pid, s->clients[me].proc.pid);
	(void)mobi_cas32(&p->client, &me, 0);
}

uint32_t mobi_domain_active(const struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	uint64_t idle = mobi_load(&s->board->idle);
	uint32_t n = 0;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		uint32_t c = mobi_load(&sh->place[i].client);

		n += c && !(idle & MOBI_BIT(c % MOBI_CLIENTS)) &&
		     !mobi_load(&sh->place[i].blocked);
	}
	return n;
}

void mobi_wake_worker(struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	bool idle = mobi_load(&s->board->idle) != 0;

	/* With extra workers around, not more than there are processors. */
	if ((idle && mobi_load(&s->board->workers) <= sh->n_workers) ||
	    mobi_domain_active(s) < sh->n_workers) {
		if (!mobi_board_wake(s) && s->is_worker) {
			/* A processor is free, and all others are blocked. */
			mobi_node_want_worker(s);
		}
	}
}
