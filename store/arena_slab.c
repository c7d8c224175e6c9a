/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slabs.
 *
 * The tag of a free block holds the generation of its slab. A slab that is
 * released and cut anew has another, so a CAS that takes a block on the word
 * of an old list entry fails: lists may be as wrong as they like, and no block
 * has to be taken back from anybody.
 *
 * A slab is released by closing its tags one by one (SHUT), each by CAS from
 * free. One that is taken ends the attempt, and the others are opened again.
 * The reaper does the same for an owner of SHUT that died. When all are
 * closed the slab is a run in RELEASE.
 *
 * Hints: who empties its list fills it from slabs with an avail bit, after it
 * made itself their owner and cleared the bit; who frees a block of a slab
 * that is not its own sets the bit, before and after, so that a kill in
 * between does not hide the block. A dead owner's slabs get the bit from the
 * reaper. What is hidden all the same (two clients that own a slab in turn)
 * is found by the next free in that slab, or by a sweep.
 */
#include "arena_slab.h"

#include "arena_run.h"

#include <stdlib.h>
#include <string.h>

#define HINT_UNITS 4u
/* Slabs looked at by one sweep. */
#define SWEEP_MAX 4096u

static void avail_set(struct mobi_arena *a, uint64_t unit, uint32_t class)
{
	uint64_t g = unit / MOBI_GROUP_UNITS;

	mobi_hint_set(&a->groups[g].avail[class],
		      MOBI_BIT(unit % MOBI_GROUP_UNITS / HINT_UNITS));
	mobi_hint_set(&a->avail_groups[class * a->group_words + g / 64],
		      MOBI_BIT(g % 64));
}

static bool is_slab(uint64_t w, uint32_t class)
{
	return MOBI_UKIND(w) == MOBI_U_SLAB && MOBI_UCLASS(w) == class;
}

static uint64_t with_owner(uint64_t w, uint32_t owner)
{
	return MOBI_UWORD(MOBI_UKIND(w), owner, MOBI_UCLASS(w), MOBI_UARG(w),
			  MOBI_UGEN(w));
}

static uint64_t with_kind(uint64_t w, uint32_t kind, uint32_t owner)
{
	return with_owner((w & ~UINT64_C(7)) | kind, owner);
}

static bool list_make(struct mobi_arena *a, struct mobi_arena_list *list,
		      uint32_t class)
{
	if (!list->entry) {
		list->entry = calloc(a->class[class].list_max,
				     sizeof(*list->entry));
	}
	return list->entry != NULL;
}

/* The free blocks of a slab, highest first, so that they are taken in
 * ascending order. Sets the hint if the list does not hold all. */
static bool list_fill(struct mobi_arena *a, struct mobi_arena_list *list,
		      uint64_t unit, uint64_t w, bool backed)
{
	uint32_t class = MOBI_UCLASS(w);
	const struct mobi_class *c = &a->class[class];
	mobi_a64 *tags = mobi_tags(a, unit, class);
	uint64_t is_free = MOBI_TAG_FREE(MOBI_UGEN(w));
	uint64_t off = unit << MOBI_UNIT_SHIFT;
	uint32_t had = list->n;

	for (uint32_t i = c->blocks; i-- > 0;) {
		if (mobi_load(&tags[i]) != is_free ||
		    (backed &&
		     !mobi_run_is_backed(a, off + (uint64_t)i * c->size,
					 c->size))) {
			continue;
		}
		if (list->n == c->list_max) {
			avail_set(a, unit, class);
			break;
		}
		list->entry[list->n++] = MOBI_ENTRY(unit, i, MOBI_UGEN(w));
	}
	return list->n > had;
}

/* Makes this client the owner of a slab; its word, or 0 if it is none. */
static uint64_t own(struct mobi_arena *a, uint64_t unit, uint32_t class)
{
	mobi_a64 *at = mobi_unit(a, unit);
	uint64_t w = mobi_load(at);

	while (is_slab(w, class)) {
		uint64_t mine = with_owner(w, a->client);

		if (w == mine || mobi_cas64(at, &w, mine)) {
			return mine;
		}
	}
	return 0;
}

/* The list is empty: other clients may care for the slabs it came from. */
static void list_leave(struct mobi_arena *a, struct mobi_arena_list *list,
		       uint32_t class)
{
	for (uint32_t i = 0; i < HINT_UNITS; i++) {
		uint64_t unit = (uint64_t)list->base * HINT_UNITS + i;
		uint64_t w;

		if (!(list->mask >> i & 1)) {
			continue;
		}
		w = mobi_load(mobi_unit(a, unit));
		if (is_slab(w, class) && MOBI_UOWNER(w) == a->client) {
			(void)mobi_cas64(mobi_unit(a, unit), &w,
					 with_owner(w, 0));
		}
	}
	list->mask = 0;
}

/* From the slabs that start in the four units of one bit. */
static bool refill_bit(struct mobi_arena *a, struct mobi_arena_list *list,
		       uint32_t class, uint64_t g, uint32_t bit)
{
	uint64_t unit = g * MOBI_GROUP_UNITS + (uint64_t)bit * HINT_UNITS;
	uint64_t w[HINT_UNITS];
	bool some = false;

	for (uint32_t i = 0; i < HINT_UNITS; i++) {
		w[i] = own(a, unit + i, class);
	}
	(void)mobi_fetch_and(&a->groups[g].avail[class], ~MOBI_BIT(bit));
	list->base = (uint32_t)(unit / HINT_UNITS);
	for (uint32_t i = 0; i < HINT_UNITS; i++) {
		if (w[i] && list_fill(a, list, unit + i, w[i], false)) {
			list->mask |= 1u << i;
			some = true;
		}
	}
	return some;
}

static bool refill_group(struct mobi_arena *a, struct mobi_arena_list *list,
			 uint32_t class, uint64_t g)
{
	mobi_a64 *hints = &a->groups[g].avail[class];
	mobi_a64 *up = &a->avail_groups[class * a->group_words + g / 64];
	uint64_t bits = mobi_load(hints);

	while (bits) {
		uint32_t bit = (uint32_t)__builtin_ctzll(bits);

		if (refill_bit(a, list, class, g, bit)) {
			return true;
		}
		bits &= bits - 1;
	}
	(void)mobi_fetch_and(up, ~MOBI_BIT(g % 64));
	if (mobi_load(hints)) {
		mobi_hint_set(up, MOBI_BIT(g % 64));
	}
	return false;
}

bool mobi_slab_refill(struct mobi_arena *a, struct mobi_arena_local *l,
		      uint32_t class)
{
	struct mobi_arena_list *list = &l->list[class];
	uint64_t words = (mobi_load(&a->head->ready) + 63) / 64;

	list_leave(a, list, class);
	if (!list_make(a, list, class)) {
		return false;
	}
	for (uint64_t i = 0; i < words; i++) {
		uint64_t bits =
			mobi_load(&a->avail_groups[class * a->group_words + i]);

		while (bits) {
			uint64_t g = i * 64 + (uint64_t)__builtin_ctzll(bits);

			if (refill_group(a, list, class, g)) {
				return true;
			}
			bits &= bits - 1;
		}
	}
	return false;
}

int mobi_slab_new(struct mobi_arena *a, struct mobi_arena_local *l,
		  uint32_t class, bool all)
{
	const struct mobi_class *c = &a->class[class];
	struct mobi_arena_list *list = &l->list[class];
	uint64_t unit;
	uint64_t w;
	mobi_a64 *tags;
	int rc;

	if (!list_make(a, list, class)) {
		return mobi_err(MOB_E_NOMEM, "a thread's list of free blocks");
	}
	if (!mobi_run_claim(a, c->units, class, all, &unit, &w)) {
		return 0;
	}
	rc = mobi_run_back_tags(a, unit, class);
	if (rc == 0 && c->units == 1) {
		/* Others are backed block by block. */
		rc = mobi_run_back(a, unit << MOBI_UNIT_SHIFT, MOBI_UNIT_BYTES);
	}
	if (rc < 0) {
		mobi_run_release(a, unit, w, true);
		return rc;
	}
	tags = mobi_tags(a, unit, class);
	for (uint32_t i = 0; i < c->blocks; i++) {
		/* Published by the word of the unit. */
		mobi_store_relaxed(&tags[i], MOBI_TAG_FREE(MOBI_UGEN(w)));
	}
	w = with_kind(w, MOBI_U_SLAB, a->client);
	mobi_store(mobi_unit(a, unit), w);
	list->base = (uint32_t)(unit / HINT_UNITS);
	list->mask = 1u << unit % HINT_UNITS;
	(void)list_fill(a, list, unit, w, false);
	return 1;
}

void mobi_slab_reopen(struct mobi_arena *a, uint64_t unit, uint64_t w)
{
	uint32_t class = MOBI_UCLASS(w);
	mobi_a64 *tags = mobi_tags(a, unit, class);
	uint64_t is_free = MOBI_TAG_FREE(MOBI_UGEN(w));

	for (uint32_t i = 0; i < a->class[class].blocks; i++) {
		uint64_t shut = is_free | MOBI_TAG_SHUT;

		(void)mobi_cas64(&tags[i], &shut, is_free);
	}
	avail_set(a, unit, class);
	mobi_store(mobi_unit(a, unit), with_kind(w, MOBI_U_SLAB, 0));
	avail_set(a, unit, class);
}

/* A slab that looked empty becomes free units, if it still is. */
static bool slab_release(struct mobi_arena *a, uint64_t unit, uint64_t w)
{
	uint32_t class = MOBI_UCLASS(w);
	mobi_a64 *at = mobi_unit(a, unit);
	mobi_a64 *tags = mobi_tags(a, unit, class);
	uint64_t is_free = MOBI_TAG_FREE(MOBI_UGEN(w));
	uint64_t shut = with_kind(w, MOBI_U_SHUT, a->client);

	if (!mobi_cas64(at, &w, shut)) {
		return false;
	}
	for (uint32_t i = 0; i < a->class[class].blocks; i++) {
		uint64_t want = is_free;

		if (!mobi_cas64(&tags[i], &want, is_free | MOBI_TAG_SHUT)) {
			mobi_slab_reopen(a, unit, shut);
			return false;
		}
	}
	w = with_kind(shut, MOBI_U_RELEASE, a->client);
	mobi_store(at, w);
	mobi_run_release(a, unit, w, true);
	return true;
}

static bool tags_free(struct mobi_arena *a, uint64_t unit, uint64_t w)
{
	uint32_t class = MOBI_UCLASS(w);
	mobi_a64 *tags = mobi_tags(a, unit, class);

	for (uint32_t i = 0; i < a->class[class].blocks; i++) {
		if (MOBI_TAG_TAKEN(mobi_load(&tags[i]))) {
			return false;
		}
	}
	return true;
}

void mobi_slab_disown(struct mobi_arena *a, uint64_t unit, uint64_t w)
{
	uint64_t nobodys = with_owner(w, 0);

	avail_set(a, unit, MOBI_UCLASS(w));
	if (mobi_cas64(mobi_unit(a, unit), &w, nobodys) &&
	    tags_free(a, unit, nobodys)) {
		(void)slab_release(a, unit, nobodys);
	}
}

void mobi_slab_release_empty(struct mobi_arena *a)
{
	uint64_t ready = mobi_units_ready(a);
	uint64_t u = 0;

	while (u < ready) {
		uint64_t w = mobi_load(mobi_unit(a, u));

		if (MOBI_UKIND(w) == MOBI_U_SLAB && tags_free(a, u, w)) {
			(void)slab_release(a, u, w);
		}
		u += mobi_unit_first(w) ? MOBI_UARG(w) : 1;
	}
}

/* Whether no block is taken. Begins at one that was taken the last time, so
 * that a slab whose blocks are freed one after another is not read each time. */
static bool slab_empty(struct mobi_arena *a, struct mobi_arena_local *l,
		       uint64_t unit, uint64_t w)
{
	uint32_t class = MOBI_UCLASS(w);
	uint32_t blocks = a->class[class].blocks;
	mobi_a64 *tags = mobi_tags(a, unit, class);
	uint32_t at = 0;

	if (l->witness[unit % MOBI_WITNESSES].unit == unit &&
	    l->witness[unit % MOBI_WITNESSES].block < blocks) {
		at = l->witness[unit % MOBI_WITNESSES].block;
	}
	for (uint32_t n = 0; n < blocks; n++) {
		if (MOBI_TAG_TAKEN(mobi_load(&tags[at]))) {
			l->witness[unit % MOBI_WITNESSES].unit = (uint32_t)unit;
			l->witness[unit % MOBI_WITNESSES].block = at;
			return false;
		}
		at = at + 1 < blocks ? at + 1 : 0;
	}
	return true;
}

/* Leaves the n oldest blocks of a list to whoever wants them. */
static void list_flush(struct mobi_arena *a, struct mobi_arena_local *l,
		       uint32_t class, uint32_t n)
{
	struct mobi_arena_list *list = &l->list[class];

	for (uint32_t i = 0; i < n; i++) {
		uint64_t unit = MOBI_ENTRY_UNIT(list->entry[i]);
		uint64_t w = mobi_load(mobi_unit(a, unit));

		if (!is_slab(w, class) ||
		    MOBI_UGEN(w) != MOBI_ENTRY_GEN(list->entry[i])) {
			continue;
		}
		avail_set(a, unit, class);
		if ((MOBI_UOWNER(w) == 0 || MOBI_UOWNER(w) == a->client) &&
		    slab_empty(a, l, unit, w)) {
			(void)slab_release(a, unit, w);
		}
	}
	list->n -= n;
	if (list->n) {
		memmove(list->entry, list->entry + n,
			list->n * sizeof(*list->entry));
	}
}

bool mobi_slab_sweep(struct mobi_arena *a, struct mobi_arena_local *l,
		     uint32_t class, bool backed)
{
	struct mobi_arena_list *list = &l->list[class];
	uint64_t ready = mobi_units_ready(a);
	uint64_t u = l->swept < ready ? l->swept : 0;
	uint32_t slabs = 0;

	if (!list_make(a, list, class)) {
		return false;
	}
	if (backed) {
		list_flush(a, l, class, list->n);
	}
	for (uint64_t n = 0; n < ready && slabs < SWEEP_MAX;) {
		uint64_t w = mobi_load(mobi_unit(a, u));
		uint64_t step = mobi_unit_first(w) ? MOBI_UARG(w) : 1;

		if (is_slab(w, class)) {
			slabs++;
			w = own(a, u, class);
			if (w && list_fill(a, list, u, w, backed)) {
				l->swept = u;
				return true;
			}
		}
		n += step;
		u = u + step < ready ? u + step : 0;
	}
	l->swept = u;
	return false;
}

void mobi_slab_flush_all(struct mobi_arena *a, struct mobi_arena_local *l)
{
	for (uint32_t i = 0; i < MOBI_CLASSES; i++) {
		list_flush(a, l, i, l->list[i].n);
		list_leave(a, &l->list[i], i);
	}
}

bool mobi_slab_free(struct mobi_arena *a, uint64_t unit, uint64_t w,
		    uint64_t off, uint64_t tag)
{
	uint32_t class = MOBI_UCLASS(w);
	const struct mobi_class *c = &a->class[class];
	uint32_t i = mobi_class_index(c, off);
	uint64_t gen = MOBI_UGEN(w);
	struct mobi_arena_local *l;
	struct mobi_arena_list *list;
	mobi_a64 *at;

	if (i == c->blocks) {
		return false;
	}
	at = &mobi_tags(a, unit, class)[i];
	if (mobi_load(at) != tag) {
		return false;
	}
	l = mobi_local(a);
	if (MOBI_UOWNER(w) == 0 && MOBI_UKIND(w) == MOBI_U_SLAB) {
		/* Before the block is free, for the case of a kill. */
		w = own(a, unit, class);
		gen = w ? MOBI_UGEN(w) : gen;
	}
	if (!l || !is_slab(w, class) || MOBI_UOWNER(w) != a->client ||
	    !list_make(a, &l->list[class], class)) {
		avail_set(a, unit, class);
		if (!mobi_cas64(at, &tag, MOBI_TAG_FREE(gen))) {
			return false;
		}
		avail_set(a, unit, class);
		return true;
	}
	if (!mobi_cas64(at, &tag, MOBI_TAG_FREE(gen))) {
		return false;
	}
	list = &l->list[class];
	if (list->n == c->list_max) {
		list_flush(a, l, class, (list->n + 1) / 2);
	}
	list->entry[list->n++] = MOBI_ENTRY(unit, i, gen);
	return true;
}
