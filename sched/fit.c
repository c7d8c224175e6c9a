/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Take: announce {version, record} in the own place, sum the wishes of all
 * announcements that count (their record is RUN by that worker, or READY with that
 * version: its CAS may still succeed), and only then CAS READY -> RUN. So two workers
 * with two generations in hand never exceed the capacity, and a kill leaves nothing to
 * be given back.
 */
#include "fit.h"

#include "task.h"

/* Capacity that others use now. Announcements that cannot succeed any more do
 * not count. */
static uint32_t used_by_others(const struct mob_store *s)
{
	struct mobi_sched *sh = s->sched;
	uint32_t sum = 0;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		uint64_t ann = mobi_load(&sh->place[i].ann);
		uint32_t client = mobi_load(&sh->place[i].client);
		uint32_t rec;
		uint64_t w;

		if (!ann || i == mobi_rt.place) {
			continue;
		}
		rec = ((uint32_t)ann - 1) % MOBI_RECS;
		w = mobi_load(&s->recs[rec].word);
		if ((uint32_t)(ann >> 32) != MOBI_VERSION(w)) {
			continue;
		}
		if (MOBI_STATE(w) == MOBI_T_READY ||
		    (MOBI_STATE(w) == MOBI_T_RUN && MOBI_ROWNER(w) == client)) {
			sum += mobi_task_at(s, rec)->cpu;
		}
	}
	return sum;
}

bool mobi_fit_is_roomy(const struct mobi_sched *sh, uint32_t workers)
{
	return workers <= sh->n_workers &&
	       mobi_load(&sh->max_wish) <= MOBI_CPU_UNIT &&
	       !mobi_load(&sh->has_wishes);
}

struct mobi_room mobi_fit_room(const struct mob_store *s, bool roomy)
{
	const struct mobi_sched *sh = s->sched;
	struct mobi_room r = { sh->capacity, { 0 } };
	uint32_t used;

	if (!roomy) {
		used = used_by_others(s);
		r.cpu = used < r.cpu ? r.cpu - used : 0;
		if (mobi_load(&sh->has_wishes)) {
			mobi_resources_free(sh, r.amount);
		}
	}
	return r;
}

uint64_t mobi_fit_shapes(const struct mobi_sched *sh,
			 const struct mobi_room *room)
{
	uint64_t fits = 0;

	for (uint32_t i = 0; i < MOBI_SHAPES; i++) {
		const struct mobi_shape *h = &sh->shape[i];
		uint32_t st = mobi_load(&h->state);

		if (st == MOBI_FN_FREE) {
			break;
		}
		if (st == MOBI_FN_READY && h->cpu <= room->cpu &&
		    mobi_resources_fit(h, room->amount)) {
			fits |= MOBI_BIT(i);
		}
	}
	return fits;
}

uint64_t mobi_fit_rivals(const struct mobi_sched *sh,
			 const struct mobi_shape *starved,
			 const struct mobi_room *room)
{
	bool by_resource = !mobi_resources_fit(starved, room->amount);
	uint64_t rivals = 0;

	for (uint32_t i = 0; i < MOBI_SHAPES; i++) {
		const struct mobi_shape *h = &sh->shape[i];
		bool takes = !by_resource && h->cpu;

		if (mobi_load(&h->state) == MOBI_FN_FREE) {
			break;
		}
		for (uint32_t r = 0; by_resource && r < MOBI_RESOURCES; r++) {
			takes |= starved->amount[r] > room->amount[r] &&
				 h->amount[r];
		}
		rivals |= takes ? MOBI_BIT(i) : 0;
	}
	return rivals;
}

static const struct mobi_shape *shape_of(const struct mob_store *s,
					 uint32_t rec)
{
	return &((struct mobi_sched *)s->sched)
			->shape[mobi_task_at(s, rec)->shape % MOBI_SHAPES];
}

/* READY -> RUN by this worker, which has announced it. */
static bool run_it(struct mob_store *s, uint32_t rec, uint64_t w,
		   uint64_t *out_w)
{
	struct mobi_sched *sh = s->sched;
	const struct mobi_shape *shape = shape_of(s, rec);

	if (!mobi_resources_take(sh, mobi_rt.place, shape)) {
		return false;
	}
	*out_w = MOBI_RWORD(MOBI_GEN(w), MOBI_ATTEMPT(w), s->me, MOBI_T_RUN);
	if (!mobi_cas64(&s->recs[rec].word, &w, *out_w)) {
		struct mobi_devices d = mobi_resources_taken();

		mobi_resources_give(sh, mobi_rt.place, shape, &d);
		return false;
	}
	return true;
}

bool mobi_fit_take(struct mob_store *s, uint32_t rec, uint32_t version,
		   enum mobi_fit_look look, uint64_t *out_w)
{
	struct mobi_sched *sh = s->sched;
	struct mobi_place_shared *p = &sh->place[mobi_rt.place];
	uint64_t w = mobi_load(&s->recs[rec].word);
	uint32_t cpu = mobi_task_at(s, rec)->cpu;
	bool sum;

	if (MOBI_STATE(w) != MOBI_T_READY || MOBI_VERSION(w) != version) {
		return false;
	}
	mobi_store(&p->ann, MOBI_ANN(version, rec));
	/* A worker that comes writes how many there are before it sums announcements,
	 * and this one has announced before it reads that. */
	sum = cpu && look != MOBI_FIT_ROOMY &&
	      !(look == MOBI_FIT_LOOK &&
		mobi_fit_is_roomy(sh, mobi_load(&s->board->workers)));
	if ((sum && used_by_others(s) + cpu > sh->capacity) ||
	    !run_it(s, rec, w, out_w)) {
		mobi_store(&p->ann, UINT64_C(0));
		return false;
	}
	return true;
}

bool mobi_fit_claim(struct mob_store *s, uint32_t rec, uint32_t gen,
		    uint64_t *out_w)
{
	uint64_t w = mobi_load(&s->recs[rec].word);
	struct mobi_place_shared *p =
		&((struct mobi_sched *)s->sched)->place[mobi_rt.place];

	if (MOBI_STATE(w) != MOBI_T_READY || MOBI_GEN(w) != gen) {
		return false;
	}
	mobi_store(&p->ann, MOBI_ANN(MOBI_VERSION(w), rec));
	if (!run_it(s, rec, w, out_w)) {
		mobi_store(&p->ann, UINT64_C(0));
		return false;
	}
	return true;
}
