/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of units.
 *
 * A run is claimed first unit first: the word of that unit says who claims and
 * how many units. The others follow in ascending order, each by CAS; a group
 * all of whose units belong to the run is taken by its own word instead, which
 * makes a run of 1 GiB cheap:
 *
 *   who takes a group              who takes a unit
 *   group: FREE -> TAKEN           unit: FREE -> CLAIM or BODY
 *   all units FREE? else undo      group TAKEN? then undo
 *
 * Both are sequentially consistent, so at least one of two sees the other.
 * A run is given back in any order, its first unit last. So whatever of a run
 * a killed process had, the first unit names that process and all units that
 * may be concerned: mobi_arena_reap takes that word over and ends the run.
 */
#include "arena_run.h"

#include "fault.h"
#include "os_shm.h"

#include <inttypes.h>

#define GROW_GROUPS 16u
/* Searches of the whole arena while somebody else is changing it. */
#define SEARCHES 4

static void groups_mark(struct mobi_arena *a, uint64_t unit, uint64_t n)
{
	uint64_t last = (unit + n - 1) / MOBI_GROUP_UNITS;

	for (uint64_t g = unit / MOBI_GROUP_UNITS; g <= last; g++) {
		mobi_hint_set(&a->free_groups[g / 64], MOBI_BIT(g % 64));
	}
}

bool mobi_run_grow(struct mobi_arena *a)
{
	uint64_t from = mobi_load(&a->head->ready);
	uint64_t to = from + GROW_GROUPS;
	uint64_t at = mobi_meta_off(a, a->groups);

	if (from >= a->n_groups) {
		return false;
	}
	if (to > a->n_groups) {
		to = a->n_groups;
	}
	if (MOBI_FAULT_ERR("arena.back_groups") ||
	    mobi_shm_back(a->ctl_fd,
			  at + from * sizeof(struct mobi_arena_group),
			  (to - from) * sizeof(struct mobi_arena_group)) < 0) {
		return false;
	}
	groups_mark(a, from * MOBI_GROUP_UNITS, (to - from) * MOBI_GROUP_UNITS);
	(void)mobi_cas64(&a->head->ready, &from, to);
	return true;
}

static uint32_t log2_of(uint64_t n)
{
	return 63u - (uint32_t)__builtin_clzll(n | 1);
}

/* What was given back is the first place to look for runs up to as long. */
static void cursors_lower(struct mobi_arena *a, uint64_t unit, uint64_t n)
{
	uint64_t g = unit / MOBI_GROUP_UNITS;

	for (uint32_t i = 0; i <= log2_of(n); i++) {
		/* Private to the process and a hint: no order is needed. */
		if (mobi_load_relaxed(&a->cursor[i]) > g) {
			mobi_store_relaxed(&a->cursor[i], g);
		}
	}
}

static void recent_push(struct mobi_arena *a, uint64_t unit, uint64_t n)
{
	uint64_t at = mobi_fetch_add(&a->head->recent_at, 1);

	mobi_store_release(&a->head->recent[at % MOBI_RECENT], unit << 32 | n);
}

static bool group_take(struct mobi_arena_group *g, uint64_t first)
{
	uint64_t w = mobi_load(&g->word);

	if (MOBI_UKIND(w) == MOBI_U_TAKEN ||
	    !mobi_cas64(&g->word, &w,
			MOBI_UWORD(MOBI_U_TAKEN, 0, 0, first,
				   MOBI_UGEN(w) + 1))) {
		return false;
	}
	for (uint32_t i = 0; i < MOBI_GROUP_UNITS; i++) {
		if (MOBI_UKIND(mobi_load(&g->unit[i])) != MOBI_U_FREE) {
			return false;
		}
	}
	return true;
}

/* True if place i of a run of n that starts at unit is that of a group taken
 * as a whole. */
static bool place_is_group(uint64_t unit, uint64_t n, uint64_t i)
{
	return (unit + i) % MOBI_GROUP_UNITS == 0 && n - i >= MOBI_GROUP_UNITS;
}

/* The units after the first; false if somebody else has one of them. */
static bool bodies_claim(struct mobi_arena *a, uint64_t unit, uint64_t n)
{
	uint64_t i = 1;

	while (i < n) {
		struct mobi_arena_group *g = mobi_group(a, unit + i);
		mobi_a64 *at = mobi_unit(a, unit + i);
		uint64_t w;

		if (place_is_group(unit, n, i)) {
			if (!group_take(g, unit)) {
				return false;
			}
			i += MOBI_GROUP_UNITS;
			continue;
		}
		w = mobi_load(at);
		if (MOBI_UKIND(w) != MOBI_U_FREE ||
		    !mobi_cas64(at, &w,
				MOBI_UWORD(MOBI_U_BODY, 0, 0, i,
					   MOBI_UGEN(w) + 1))) {
			return false;
		}
		i++;
		if (((unit + i) % MOBI_GROUP_UNITS == 0 || i == n) &&
		    MOBI_UKIND(mobi_load(&g->word)) == MOBI_U_TAKEN) {
			return false;
		}
	}
	return true;
}

static void bodies_release(struct mobi_arena *a, uint64_t unit, uint64_t n)
{
	uint64_t i = 1;

	while (i < n) {
		struct mobi_arena_group *g = mobi_group(a, unit + i);
		mobi_a64 *at = mobi_unit(a, unit + i);
		uint64_t w;

		/* What says that it belongs to this run is changed by nobody
		 * but the owner of the first unit: stores will do. */
		if (place_is_group(unit, n, i)) {
			w = mobi_load(&g->word);
			if (MOBI_UKIND(w) == MOBI_U_TAKEN &&
			    MOBI_UARG(w) == unit) {
				mobi_store_release(&g->word,
						   MOBI_UWORD(MOBI_U_FREE, 0, 0,
							      0, MOBI_UGEN(w)));
			}
			i += MOBI_GROUP_UNITS;
			continue;
		}
		w = mobi_load(at);
		if (MOBI_UKIND(w) == MOBI_U_BODY && MOBI_UARG(w) == i) {
			mobi_store_release(at, MOBI_UWORD(MOBI_U_FREE, 0, 0, 0,
							  MOBI_UGEN(w)));
		}
		i++;
	}
}

void mobi_run_release(struct mobi_arena *a, uint64_t unit, uint64_t word,
		      bool reuse)
{
	uint64_t n = MOBI_UARG(word);

	bodies_release(a, unit, n);
	MOBI_FAULT("arena.release");
	mobi_store(mobi_unit(a, unit),
		   MOBI_UWORD(MOBI_U_FREE, 0, 0, 0, MOBI_UGEN(word)));
	groups_mark(a, unit, n);
	cursors_lower(a, unit, n);
	if (reuse) {
		recent_push(a, unit, n);
	}
}

bool mobi_run_claim_at(struct mobi_arena *a, uint64_t unit, uint64_t n,
		       uint32_t class, uint64_t *out_word)
{
	mobi_a64 *at = mobi_unit(a, unit);
	uint64_t w = mobi_load(at);
	uint64_t claim = MOBI_UWORD(MOBI_U_CLAIM, a->client, class, n,
				    MOBI_UGEN(w) + 1);

	if (MOBI_UKIND(w) != MOBI_U_FREE || !mobi_cas64(at, &w, claim)) {
		return false;
	}
	if (MOBI_UKIND(mobi_load(&mobi_group(a, unit)->word)) == MOBI_U_TAKEN ||
	    !bodies_claim(a, unit, n)) {
		mobi_run_release(a, unit, claim, false);
		return false;
	}
	*out_word = claim;
	return true;
}

/* Takes what was given back last, if it is long enough, and not so long that
 * it had better be kept whole. */
static bool claim_recent(struct mobi_arena *a, uint64_t n, uint32_t class,
			 uint64_t *out_unit, uint64_t *out_word)
{
	uint64_t at = mobi_load(&a->head->recent_at);

	for (uint64_t i = 1; i <= MOBI_RECENT; i++) {
		mobi_a64 *hint = &a->head->recent[(at - i) % MOBI_RECENT];
		uint64_t h = mobi_load(hint);
		uint64_t unit = h >> 32;
		uint64_t have = (uint32_t)h;

		if (have < n || have > 2 * n + 15 ||
		    unit + n > mobi_units_ready(a) ||
		    !mobi_cas64(hint, &h, 0) ||
		    !mobi_run_claim_at(a, unit, n, class, out_word)) {
			continue;
		}
		if (have > n) {
			recent_push(a, unit + n, have - n);
		}
		*out_unit = unit;
		return true;
	}
	return false;
}

/* A search for n free units in a row. */
struct search {
	uint64_t n;
	uint64_t from; /* first of the free ones at hand */
	uint64_t run;  /* how many these are */
	uint64_t skip; /* unit before which nothing is free */
	uint32_t class;
	bool all;
	bool busy; /* somebody was changing something */
	uint64_t word;
};

static bool search_group(struct mobi_arena *a, uint64_t g, struct search *s)
{
	uint64_t base = g * MOBI_GROUP_UNITS;
	uint64_t end = base + MOBI_GROUP_UNITS;
	uint64_t u = s->skip > base ? s->skip : base;
	bool some = false;

	end = end < a->units ? end : a->units;
	if (MOBI_UKIND(mobi_load(&a->groups[g].word)) == MOBI_U_TAKEN) {
		u = end;
		s->run = 0;
	}
	while (u < end) {
		uint64_t w = mobi_load(mobi_unit(a, u));
		uint32_t kind = MOBI_UKIND(w);

		if (kind != MOBI_U_FREE) {
			s->busy |= kind == MOBI_U_CLAIM ||
				   kind == MOBI_U_SHUT ||
				   kind == MOBI_U_RELEASE;
			s->run = 0;
			u += mobi_unit_first(w) ? MOBI_UARG(w) : 1;
			s->skip = u;
			continue;
		}
		some = true;
		if (s->run == 0) {
			s->from = u;
		}
		s->run++;
		u++;
		if (s->run == s->n) {
			if (mobi_run_claim_at(a, s->from, s->n, s->class,
					      &s->word)) {
				return true;
			}
			s->busy = true;
			s->run = 0;
		}
	}
	if (!some) {
		/* Looked at again after the bit is gone, as somebody may have
		 * set it and freed a unit in between. */
		(void)mobi_fetch_and(&a->free_groups[g / 64],
				     ~MOBI_BIT(g % 64));
		for (u = base; u < end; u++) {
			if (MOBI_UKIND(mobi_load(mobi_unit(a, u))) ==
				    MOBI_U_FREE &&
			    MOBI_UKIND(mobi_load(&a->groups[g].word)) !=
				    MOBI_U_TAKEN) {
				groups_mark(a, u, 1);
				break;
			}
		}
	}
	return false;
}

/* From group g on; grow: more of the arena comes into use if need be. */
static bool search(struct mobi_arena *a, struct search *s, uint64_t g,
		   bool grow)
{
	s->run = 0;
	s->skip = 0;
	while (g < mobi_load(&a->head->ready) || (grow && mobi_run_grow(a))) {
		uint64_t hints = mobi_load(&a->free_groups[g / 64]);

		if (s->all || hints >> g % 64 & 1) {
			if (search_group(a, g, s)) {
				return true;
			}
			g++;
		} else {
			s->run = 0;
			g = hints >> g % 64 ? g + 1 : (g / 64 + 1) * 64;
			if (g > mobi_load(&a->head->ready)) {
				g = mobi_load(&a->head->ready);
			}
		}
	}
	return false;
}

bool mobi_run_claim(struct mobi_arena *a, uint64_t n, uint32_t class, bool all,
		    uint64_t *out_unit, uint64_t *out_word)
{
	struct search s = { .n = n, .class = class, .all = all };
	mobi_a64 *cursor = &a->cursor[log2_of(n)];

	if (n == 0 || n > a->units) {
		return false;
	}
	if (claim_recent(a, n, class, out_unit, out_word)) {
		return true;
	}
	for (int i = 0; i < SEARCHES; i++) {
		uint64_t g = mobi_load_relaxed(cursor);

		s.busy = false;
		if ((g != 0 && search(a, &s, g, false)) ||
		    search(a, &s, 0, true)) {
			mobi_store_relaxed(cursor, s.from / MOBI_GROUP_UNITS);
			*out_unit = s.from;
			*out_word = s.word;
			return true;
		}
		if (!s.busy) {
			break;
		}
		mobi_relax();
	}
	return false;
}
