/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena.
 *
 * Units of 64 KiB. A unit is free, or belongs to a run of units in a row. A
 * run is either cut in blocks of one size class (a slab: 64 KiB for blocks up
 * to 8 KiB, 1 MiB up to 128 KiB, 4 MiB up to 512 KiB), or it is one large
 * block. Who may write what, and what a kill leaves:
 *
 * Tag of a block, the truth about it: free -> taken by CAS by anybody, on the
 * word of a list entry that may be out of date; the tag of a free block names
 * the generation of the slab, so an entry of another generation fails. taken
 * -> free by CAS by anybody, once. Killed before the first CAS: nothing
 * happened. Killed after it: the caller's word loc, written before, names the
 * block; the store's reaper frees what loc names. Killed after the second CAS:
 * the block is free; hints that would have told others are repaired by
 * mobi_arena_reap, or the block is found by a sweep (arena_slab.c).
 *
 * First unit of a run, the truth about the run; states in arena_layout.h.
 *   CLAIM(dead)    the run is half claimed, or a large block that has its tag
 *                  already. Tag taken: it becomes LARGE. Else the run ends.
 *   SLAB(dead)     the owner is only a hint: cleared, and the slab offered.
 *   SHUT(dead)     some tags are closed: they are opened, it is a SLAB.
 *   LARGE, no tag  who freed it died before the next step: the run ends.
 *   RELEASE(dead)  the run is half given back: the rest is.
 * Each is a CAS of the word by the reaper, who then is its owner, so a reaper
 * may die as well.
 *
 * Other units of a run (BODY, or TAKEN for a whole group) are changed by who
 * owns the first unit only; arena_run.c.
 *
 * backed bit of a unit: set after the memory is there, cleared before it is
 * given away, by who has the unit. So a bit never promises too much.
 *
 * Everything else - bits of groups, bits of slabs with free blocks, the ring
 * of recent runs, the owner of a slab, lists of threads - is a hint. A wrong
 * one costs time only. Before the answer is that the store is full, all slabs
 * are looked at, hints or not (in large arenas: a part of them).
 *
 * Free blocks are not poisoned for the address sanitizer: another process
 * takes and frees them without this one's knowledge, so its shadow memory
 * would accuse the innocent.
 */
#include "arena.h"

#include "arena_large.h"
#include "arena_run.h"
#include "arena_slab.h"
#include "fault.h"
#include "os_shm.h"

#include <inttypes.h>
#include <stdlib.h>

/* Places in the control segment. */
struct plan {
	uint64_t free_groups, avail_groups, groups, coarse, fine, end;
	uint64_t n_groups, group_words;
};

/* What is backed in one step begins at a multiple of this. */
static uint64_t align(uint64_t at)
{
	return (at + MOBI_UNIT_BYTES - 1) & ~(MOBI_UNIT_BYTES - 1);
}

static struct plan plan_of(uint64_t units)
{
	struct plan p;

	p.n_groups = (units + MOBI_GROUP_UNITS - 1) / MOBI_GROUP_UNITS;
	p.group_words = (p.n_groups + 63) / 64;
	p.free_groups = (sizeof(struct mobi_arena_head) + 63) & ~UINT64_C(63);
	p.avail_groups = p.free_groups + p.group_words * 8;
	p.groups = align(p.avail_groups + p.group_words * MOBI_CLASSES * 8);
	p.coarse =
		align(p.groups + p.n_groups * sizeof(struct mobi_arena_group));
	/* Whole groups: tags are backed 64 units at a time. */
	p.fine = align(p.coarse +
		       p.n_groups * MOBI_GROUP_UNITS * MOBI_TAGS_COARSE * 8);
	p.end = p.fine + p.n_groups * MOBI_GROUP_UNITS * MOBI_TAGS_FINE * 8;
	return p;
}

uint64_t mobi_arena_meta_bytes(uint64_t arena_bytes)
{
	return plan_of(arena_bytes >> MOBI_UNIT_SHIFT).end;
}

static int arena_map(struct mobi_arena *a)
{
	uint64_t bytes = a->units << MOBI_UNIT_SHIFT;
	void *at;
	int rc = mobi_shm_map(a->fd, bytes, true, &at);

	if (rc < 0) {
		return rc;
	}
	a->rw = at;
	rc = mobi_shm_map(a->fd, bytes, false, &at);
	if (rc < 0) {
		mobi_shm_unmap(a->rw, bytes);
		return rc;
	}
	a->ro = at;
	return 0;
}

static int arena_attach(struct mobi_arena *a)
{
	uint64_t had = 0;
	int rc;

	rc = mobi_shm_back(a->ctl_fd, a->meta_off,
			   mobi_meta_off(a, a->groups) - a->meta_off);
	if (rc < 0) {
		return rc;
	}
	if (!mobi_cas64(&a->head->units, &had, a->units) && had != a->units) {
		return mobi_err(MOB_E_CORRUPT,
				"mobi_arena_open: the arena has %" PRIu64
				" units in its head, %" PRIu64 " by its size",
				had, a->units);
	}
	return arena_map(a);
}

int mobi_arena_open(int fd, uint64_t arena_bytes, void *meta, int ctl_fd,
		    uint64_t meta_off, uint32_t client,
		    struct mobi_arena **out_arena)
{
	uint64_t units = arena_bytes >> MOBI_UNIT_SHIFT;
	struct plan p = plan_of(units);
	struct mobi_arena *a;
	int rc;

	if (units == 0 || units > MOBI_UNITS_MAX) {
		return mobi_err(MOB_E_INVAL,
				"mobi_arena_open: arena_bytes is %" PRIu64
				", from %" PRIu64 " to %" PRIu64,
				arena_bytes, MOBI_UNIT_BYTES,
				MOBI_UNITS_MAX << MOBI_UNIT_SHIFT);
	}
	if (client == 0 || client > 63) {
		return mobi_err(MOB_E_INVAL,
				"mobi_arena_open: client is %" PRIu32 ", from "
				"1 to 63",
				client);
	}
	if (mobi_page_size() > MOBI_UNIT_BYTES) {
		return mobi_err(MOB_E_UNSUPPORTED,
				"mobi_arena_open: pages of %zu bytes",
				mobi_page_size());
	}
	a = calloc(1, sizeof(*a));
	if (!a) {
		return mobi_err(MOB_E_NOMEM, "mobi_arena_open");
	}
	a->meta = meta;
	a->head = meta;
	a->free_groups = (void *)(a->meta + p.free_groups);
	a->avail_groups = (void *)(a->meta + p.avail_groups);
	a->groups = (void *)(a->meta + p.groups);
	a->coarse = (void *)(a->meta + p.coarse);
	a->fine = (void *)(a->meta + p.fine);
	a->units = units;
	a->n_groups = p.n_groups;
	a->group_words = p.group_words;
	a->fd = fd;
	a->ctl_fd = ctl_fd;
	a->meta_off = meta_off;
	a->client = client;
	a->id = mobi_local_id();
	mobi_class_table(units, a->class);
	rc = arena_attach(a);
	if (rc < 0) {
		free(a);
		return rc;
	}
	*out_arena = a;
	return 0;
}

void mobi_arena_leave(struct mobi_arena *a)
{
	if (a) {
		mobi_local_flush(a);
		mobi_arena_reap(a, MOBI_BIT(a->client));
	}
}

void mobi_arena_close(struct mobi_arena *a)
{
	if (!a) {
		return;
	}
	mobi_local_close(a);
	mobi_shm_unmap(a->rw, a->units << MOBI_UNIT_SHIFT);
	mobi_shm_unmap(a->ro, a->units << MOBI_UNIT_SHIFT);
	free(a);
}

/* Takes the block of a list entry. 1: done; 0: the entry is out of date;
 * negative: the block could not be backed, and is free. hot */
static int block_take(struct mobi_arena *a, uint32_t class, uint64_t entry,
		      uint64_t tag, mobi_a64 *loc)
{
	const struct mobi_class *c = &a->class[class];
	uint64_t unit = MOBI_ENTRY_UNIT(entry);
	uint64_t block = MOBI_ENTRY_BLOCK(entry);
	uint64_t off = (unit << MOBI_UNIT_SHIFT) + block * c->size;
	uint64_t is_free = MOBI_TAG_FREE(MOBI_ENTRY_GEN(entry));
	mobi_a64 *at = &mobi_tags(a, unit, class)[block];
	int rc;

	if (mobi_load(at) != is_free) {
		return 0;
	}
	/* The CAS that follows is a release of it. */
	mobi_store_release(loc, off | MOBI_LOC_BLOCK);
	if (!mobi_cas64(at, &is_free, tag)) {
		return 0;
	}
	MOBI_FAULT("arena.tagged");
	if (class < MOBI_CLASS_SMALL) {
		return 1;
	}
	/* After the tag: nobody releases or punches what has one. */
	rc = mobi_run_back(a, off, c->size);
	if (rc < 0) {
		(void)mobi_arena_free(a, off | MOBI_LOC_BLOCK, tag);
		return rc;
	}
	return 1;
}

/* Fills an empty list. 1: done; 0: nothing is free; or a negative error. */
static int list_stock(struct mobi_arena *a, struct mobi_arena_local *l,
		      uint32_t class)
{
	int rc;

	if (mobi_slab_refill(a, l, class)) {
		return 1;
	}
	rc = mobi_slab_new(a, l, class, false);
	if (rc == 1 || (rc < 0 && !mobi_no_room(rc))) {
		return rc;
	}
	if (rc < 0) {
		(void)mobi_room_make(a, MOBI_UNIT_BYTES);
	} else {
		mobi_slab_release_empty(a);
	}
	if (mobi_slab_sweep(a, l, class, false)) {
		return 1;
	}
	return mobi_slab_new(a, l, class, true);
}

static int block_alloc(struct mobi_arena *a, uint64_t size, uint64_t tag,
		       mobi_a64 *loc)
{
	uint32_t class = mobi_class_of(size);
	struct mobi_arena_local *l = mobi_local(a);
	struct mobi_arena_list *list;
	bool made_room = false;
	bool swept = class < MOBI_CLASS_SMALL;
	int rc;

	if (!l) {
		return mobi_err(MOB_E_NOMEM, "a thread's lists of free blocks");
	}
	list = &l->list[class];
	for (;;) {
		rc = list->n ? 1 : list_stock(a, l, class);
		if (rc == 1) {
			/* Others may have taken all of a new slab already. */
			rc = list->n ? block_take(a, class,
						  list->entry[--list->n], tag,
						  loc) :
				       0;
			if (rc == 1) {
				return 0;
			}
			if (rc == 0) {
				continue;
			}
		}
		if (mobi_no_room(rc) && !made_room && mobi_room_make(a, size)) {
			made_room = true;
		} else if (mobi_no_room(rc) && !swept &&
			   mobi_slab_sweep(a, l, class, true)) {
			swept = true;
		} else {
			break;
		}
	}
	/* Blocks of slabs of several units may still fit a run of their own. */
	return rc == 0 && class >= MOBI_CLASS_SMALL ?
		       mobi_large_alloc(a, size, tag, loc) :
		       mobi_full(size, rc);
}

static int alloc(struct mobi_arena *a, uint64_t size, uint64_t tag,
		 mobi_a64 *loc, bool apart)
{
	int rc;

	if (!MOBI_TAG_TAKEN(tag)) {
		return mobi_err(MOB_E_INVAL, "mobi_arena_alloc: the low half "
					     "of the tag "
					     "is 0");
	}
	rc = !apart && size <= MOBI_BLOCK_MAX &&
			     a->class[mobi_class_of(size)].blocks ?
		     block_alloc(a, size, tag, loc) :
		     mobi_large_alloc(a, size ? size : 1, tag, loc);
	if (rc < 0) {
		mobi_store(loc, 0);
	}
	return rc;
}

int mobi_arena_alloc(struct mobi_arena *a, uint64_t size, uint64_t tag,
		     mobi_a64 *loc)
{
	return alloc(a, size, tag, loc, false);
}

int mobi_arena_alloc_apart(struct mobi_arena *a, uint64_t size, uint64_t tag,
			   mobi_a64 *loc)
{
	return alloc(a, size, tag, loc, true);
}

/* The run that a location is in: its first unit, that one's word, and how far
 * into the run the location is. False if it is in none. */
static bool loc_run(const struct mobi_arena *a, uint64_t loc,
		    uint64_t *out_unit, uint64_t *out_word, uint64_t *out_off)
{
	uint64_t off = loc & ~MOBI_LOC_LOW;
	uint64_t u = off >> MOBI_UNIT_SHIFT;
	uint64_t into = 0;
	uint64_t w;
	uint32_t class;

	if ((loc & MOBI_LOC_LOW) != MOBI_LOC_BLOCK ||
	    u >= mobi_units_ready(a)) {
		return false;
	}
	w = mobi_load(mobi_unit(a, u));
	if (MOBI_UKIND(w) == MOBI_U_BODY) {
		into = MOBI_UARG(w);
		if (into > u) {
			return false;
		}
		w = mobi_load(mobi_unit(a, u - into));
	}
	class = MOBI_UCLASS(w);
	if (!mobi_unit_first(w) || into >= MOBI_UARG(w) ||
	    (class != MOBI_CLASS_LARGE &&
	     (class >= MOBI_CLASSES || !a->class[class].blocks))) {
		return false;
	}
	*out_unit = u - into;
	*out_word = w;
	*out_off = off - ((u - into) << MOBI_UNIT_SHIFT);
	return true;
}

/* The tag of the block at a location, and the word of its run; NULL if there is
 * no block. SHUT and CLAIM too: a block that has a tag is in use in these. */
static mobi_a64 *loc_tag(const struct mobi_arena *a, uint64_t loc,
			 uint64_t *out_word)
{
	uint64_t unit;
	uint64_t w;
	uint64_t off;
	uint32_t class;
	uint32_t kind;
	uint32_t i;

	if (!loc_run(a, loc, &unit, &w, &off)) {
		return NULL;
	}
	class = MOBI_UCLASS(w);
	kind = MOBI_UKIND(w);
	*out_word = w;
	if (class == MOBI_CLASS_LARGE) {
		return (kind == MOBI_U_CLAIM || kind == MOBI_U_LARGE) &&
				       off == 0 &&
				       mobi_run_has_tags(a, unit, class) ?
			       mobi_tags(a, unit, class) :
			       NULL;
	}
	i = mobi_class_index(&a->class[class], off);
	return (kind == MOBI_U_SLAB || kind == MOBI_U_SHUT) &&
			       i < a->class[class].blocks ?
		       &mobi_tags(a, unit, class)[i] :
		       NULL;
}

bool mobi_arena_free(struct mobi_arena *a, uint64_t loc, uint64_t tag)
{
	uint64_t unit;
	uint64_t w;
	uint64_t off;

	if (!MOBI_TAG_TAKEN(tag) || !loc_run(a, loc, &unit, &w, &off)) {
		return false;
	}
	switch (MOBI_UKIND(w)) {
	case MOBI_U_SLAB:
	case MOBI_U_SHUT:
		return MOBI_UCLASS(w) != MOBI_CLASS_LARGE &&
		       mobi_slab_free(a, unit, w, off, tag);
	case MOBI_U_CLAIM:
	case MOBI_U_LARGE:
		return MOBI_UCLASS(w) == MOBI_CLASS_LARGE && off == 0 &&
		       mobi_large_free(a, unit, w, tag);
	default:
		return false;
	}
}

bool mobi_arena_retag(struct mobi_arena *a, uint64_t loc, uint64_t from,
		      uint64_t to)
{
	uint64_t w;
	mobi_a64 *tag = loc_tag(a, loc, &w);

	return tag && MOBI_TAG_TAKEN(from) && MOBI_TAG_TAKEN(to) &&
	       mobi_cas64(tag, &from, to);
}

static bool loc_inside(const struct mobi_arena *a, uint64_t loc)
{
	return (loc & MOBI_LOC_LOW) == MOBI_LOC_BLOCK &&
	       loc >> MOBI_UNIT_SHIFT < a->units;
}

void *mobi_arena_rw(const struct mobi_arena *a, uint64_t loc)
{
	return loc_inside(a, loc) ? a->rw + (loc & ~MOBI_LOC_LOW) : NULL;
}

const void *mobi_arena_ro(const struct mobi_arena *a, uint64_t loc)
{
	return loc_inside(a, loc) ? a->ro + (loc & ~MOBI_LOC_LOW) : NULL;
}

bool mobi_arena_has(const struct mobi_arena *a, uint64_t addr)
{
	uint64_t bytes = a->units << MOBI_UNIT_SHIFT;

	return addr - (uint64_t)(uintptr_t)a->rw < bytes ||
	       addr - (uint64_t)(uintptr_t)a->ro < bytes;
}

uint64_t mobi_arena_off(uint64_t loc)
{
	return loc & ~MOBI_LOC_LOW;
}

static uint64_t block_bytes(const struct mobi_arena *a, uint64_t w)
{
	return MOBI_UCLASS(w) == MOBI_CLASS_LARGE ?
		       MOBI_UARG(w) << MOBI_UNIT_SHIFT :
		       a->class[MOBI_UCLASS(w)].size;
}

uint64_t mobi_arena_block_bytes(const struct mobi_arena *a, uint64_t loc)
{
	uint64_t w;
	mobi_a64 *tag = loc_tag(a, loc, &w);

	return tag && MOBI_TAG_TAKEN(mobi_load(tag)) ? block_bytes(a, w) : 0;
}

uint64_t mobi_arena_tagged_bytes(const struct mobi_arena *a, uint64_t loc,
				 uint64_t tag)
{
	uint64_t w;
	mobi_a64 *at = loc_tag(a, loc, &w);

	return at && mobi_load(at) == tag ? block_bytes(a, w) : 0;
}

bool mobi_arena_is_apart(const struct mobi_arena *a, uint64_t loc)
{
	uint64_t w;

	return loc_tag(a, loc, &w) && MOBI_UCLASS(w) == MOBI_CLASS_LARGE;
}

/* One first unit, whose word names a dead client, or is LARGE. */
static void unit_reap(struct mobi_arena *a, uint64_t unit, uint64_t w)
{
	uint32_t class = MOBI_UCLASS(w);
	mobi_a64 *at = mobi_unit(a, unit);
	uint32_t kind = MOBI_UKIND(w);
	uint64_t mine;

	if (kind == MOBI_U_SLAB) {
		mobi_slab_disown(a, unit, w);
		return;
	}
	if (class == MOBI_CLASS_LARGE && mobi_run_has_tags(a, unit, class) &&
	    MOBI_TAG_TAKEN(mobi_load(mobi_tags(a, unit, class)))) {
		if (kind == MOBI_U_CLAIM) {
			mobi_large_settle(a, unit, w);
		}
		return;
	}
	/* SHUT stays SHUT: if this process dies too, so does the next one. */
	mine = MOBI_UWORD(kind == MOBI_U_SHUT ? MOBI_U_SHUT : MOBI_U_RELEASE,
			  a->client, class, MOBI_UARG(w), MOBI_UGEN(w));
	if (!mobi_cas64(at, &w, mine)) {
		return;
	}
	if (kind == MOBI_U_SHUT) {
		mobi_slab_reopen(a, unit, mine);
	} else {
		mobi_run_release(a, unit, mine, false);
	}
}

void mobi_arena_reap(struct mobi_arena *a, uint64_t dead_clients)
{
	uint64_t ready = mobi_units_ready(a);
	uint64_t u = 0;

	dead_clients &= ~UINT64_C(1);
	while (u < ready) {
		struct mobi_arena_group *g = mobi_group(a, u);
		uint64_t w = mobi_load(mobi_unit(a, u));
		uint64_t step = 1;

		if (MOBI_UKIND(w) == MOBI_U_FREE) {
			/* Who made it free may have died before the hint. */
			mobi_hint_set(
				&a->free_groups[u / MOBI_GROUP_UNITS / 64],
				MOBI_BIT(u / MOBI_GROUP_UNITS % 64));
			if (MOBI_UKIND(mobi_load(&g->word)) == MOBI_U_TAKEN) {
				step = MOBI_GROUP_UNITS - u % MOBI_GROUP_UNITS;
			}
		} else if (mobi_unit_first(w)) {
			step = MOBI_UARG(w);
			if (MOBI_UKIND(w) == MOBI_U_LARGE ||
			    (dead_clients & MOBI_BIT(MOBI_UOWNER(w)))) {
				unit_reap(a, u, w);
			}
		}
		u += step ? step : 1;
	}
}

void mobi_arena_trim(struct mobi_arena *a, uint64_t keep_bytes)
{
	uint64_t have;

	mobi_slab_release_empty(a);
	have = mobi_run_free_backed(a);
	if (have > keep_bytes) {
		(void)mobi_run_punch(a, have - keep_bytes);
	}
}
