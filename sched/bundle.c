/* SPDX-License-Identifier: Apache-2.0 */
/* Several tiny tasks in one go; see bundle.h. */
#include "bundle.h"

#include "board.h"
#include "err.h"
#include "fault.h"
#include "fit.h"
#include "os_clock.h"
#include "place.h"
#include "task.h"
#include "time_limits.h"

/* Where this worker is in its own: only the thread that takes tasks comes here. */
static struct {
	uint32_t next;
	uint32_t end;
} own;

/* Takes of a function that blocked until it is followed by others again: what would be
 * given back at once costs more than it saves. */
#define SHY 255u
static uint8_t shy[MOBI_FUNCTIONS];

static struct mobi_bundle *bundle_of(const struct mob_store *s, uint32_t place)
{
	return &((struct mobi_sched *)s->sched)->bundle[place];
}

uint32_t mobi_bundle_room(const struct mob_store *s, uint32_t fn,
			  uint32_t queued, uint64_t cost_ns)
{
	const struct mobi_sched *sh = s->sched;
	uint64_t n = queued / (2 * sh->n_workers);
	uint64_t can = cost_ns ? MOBI_BUNDLE_NS / cost_ns : 0;

	if (n && shy[fn % MOBI_FUNCTIONS]) {
		shy[fn % MOBI_FUNCTIONS]--;
		return 0;
	}
	n = can < n ? can : n;
	return n < MOBI_BUNDLE_TASKS ? (uint32_t)n : MOBI_BUNDLE_TASKS;
}

void mobi_bundle_put(struct mob_store *s, uint32_t rec, uint32_t version)
{
	struct mobi_bundle *b = bundle_of(s, mobi_rt.place);

	if (own.next == own.end) {
		own.next = 0;
		own.end = 0;
		mobi_store_relaxed(&b->since_ns, mobi_quick_ns());
	}
	MOB_ASSERT(own.end < MOBI_BUNDLE_TASKS);
	mobi_store_release(&b->task[own.end++], MOBI_ANN(version, rec));
	MOBI_FAULT("bundle.put");
}

/* Of an entry, whose task has not begun and is no other by now. */
static bool is_ready(const struct mob_store *s, uint64_t e)
{
	uint64_t w;

	if (!e) {
		return false;
	}
	w = mobi_load(&s->recs[((uint32_t)e - 1) % MOBI_RECS].word);
	return MOBI_STATE(w) == MOBI_T_READY &&
	       MOBI_VERSION(w) == (uint32_t)(e >> 32);
}

bool mobi_bundle_next(struct mob_store *s, uint32_t *out_rec, uint64_t *out_w,
		      uint64_t *io_now_ns)
{
	struct mobi_bundle *b = bundle_of(s, mobi_rt.place);

	while (own.next < own.end) {
		mobi_a64 *at = &b->task[own.next++];
		uint64_t e = mobi_load_relaxed(at);
		bool took;

		*out_rec = (uint32_t)e - 1;
		took = mobi_fit_take(s, *out_rec, (uint32_t)(e >> 32),
				     MOBI_FIT_LOOK, out_w);
		MOBI_FAULT("bundle.taken");
		if (took) {
			const struct mobi_task *t = mobi_task_at(s, *out_rec);

			/* Where it matters, it did not begin when the one before
			 * it ended: this worker may have been stopped. */
			if (mobi_limits_watched(s->sched, t, *out_w)) {
				*io_now_ns = mobi_quick_ns();
			}
			mobi_store_relaxed(&b->since_ns, *io_now_ns);
		} else {
			/* There is no room by now, or it is not what it was. */
			mobi_board_mark(s, *out_rec);
		}
		/* Not before: were this one stopped, nobody would know of it. */
		mobi_store_release(at, UINT64_C(0));
		if (took) {
			return true;
		}
	}
	return false;
}

bool mobi_bundle_peek(const struct mob_store *s, uint32_t *out_rec,
		      uint32_t *out_version)
{
	uint64_t e =
		own.next < own.end ?
			mobi_load(
				&bundle_of(s, mobi_rt.place)->task[own.next]) :
			0;

	*out_rec = (uint32_t)e - 1;
	*out_version = (uint32_t)(e >> 32);
	return e != 0;
}

/* Marks on the board what is there of it. Its words are its owner's: what others do
 * meanwhile is done to records. */
static bool mark(struct mob_store *s, const struct mobi_bundle *b)
{
	bool some = false;

	for (uint32_t i = 0; i < MOBI_BUNDLE_TASKS; i++) {
		uint64_t e = mobi_load(&b->task[i]);

		if (is_ready(s, e)) {
			mobi_board_mark(s, (uint32_t)e - 1);
			MOBI_FAULT("bundle.out");
			some = true;
		}
	}
	return some;
}

void mobi_bundle_blocks(struct mob_store *s, uint32_t fn)
{
	if (own.next < own.end) {
		shy[fn % MOBI_FUNCTIONS] = SHY;
		mobi_bundle_give_back(s);
	}
}

void mobi_bundle_give_back(struct mob_store *s)
{
	struct mobi_bundle *b = bundle_of(s, mobi_rt.place);

	if (own.next == own.end) {
		return;
	}
	if (mark(s, b)) {
		mobi_wake_worker(s);
	}
	while (own.next < own.end) {
		mobi_store_release(&b->task[own.next++], UINT64_C(0));
	}
}

static bool has_some(const struct mob_store *s, const struct mobi_bundle *b)
{
	for (uint32_t i = MOBI_BUNDLE_TASKS; i-- > 0;) {
		if (is_ready(s, mobi_load(&b->task[i]))) {
			return true;
		}
	}
	return false;
}

bool mobi_bundle_some(const struct mob_store *s)
{
	const struct mobi_sched *sh = s->sched;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		if (i != mobi_rt.place && mobi_load(&sh->place[i].client) &&
		    has_some(s, &sh->bundle[i])) {
			return true;
		}
	}
	return false;
}

bool mobi_bundle_reclaim(struct mob_store *s)
{
	const struct mobi_sched *sh = s->sched;
	uint64_t now = mobi_quick_ns();
	bool some = false;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		const struct mobi_bundle *b = &sh->bundle[i];
		uint64_t since = mobi_load_relaxed(&b->since_ns);

		if (i != mobi_rt.place && mobi_load(&sh->place[i].client) &&
		    now > since + MOBI_BUNDLE_AGE_NS) {
			some = mark(s, b) || some;
		}
	}
	return some;
}

bool mobi_bundle_find(const struct mob_store *s, uint32_t rec, uint32_t version,
		      uint32_t *out_place)
{
	const struct mobi_sched *sh = s->sched;

	for (uint32_t i = 0; i < sh->max_places; i++) {
		if (!mobi_load(&sh->place[i].client)) {
			continue;
		}
		for (uint32_t k = 0; k < MOBI_BUNDLE_TASKS; k++) {
			if (mobi_load(&sh->bundle[i].task[k]) ==
			    MOBI_ANN(version, rec)) {
				*out_place = i;
				return true;
			}
		}
	}
	return false;
}
