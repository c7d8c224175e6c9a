/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the arena: what arena.c and arena_*.c share. */
#ifndef MOBI_ARENA_IMPL_H
#define MOBI_ARENA_IMPL_H

#include "arena.h"
#include "arena_class.h"
#include "arena_layout.h"
#include "err.h"

#define MOBI_CURSORS 64u

struct mobi_arena {
	struct mobi_arena_head *head;
	mobi_a64 *free_groups;  /* hint: a bit a group with free units */
	mobi_a64 *avail_groups; /* hint: class by class, a bit a group */
	struct mobi_arena_group *groups;
	mobi_a64 *coarse;
	mobi_a64 *fine;
	uint64_t units;
	uint64_t n_groups;
	uint64_t group_words; /* of free_groups and each class */
	unsigned char *rw;
	unsigned char *ro;
	/* Of a huge page, in units, if the mappings asked for these; 0: not. */
	uint64_t huge;
	int fd;
	int ctl_fd;
	unsigned char *meta;
	uint64_t meta_off;
	uint32_t client;
	/* Where this process's last search for 2^n units or more, below 2^(n+1),
	 * came to an end: a group. */
	mobi_a64 cursor[MOBI_CURSORS];
	uint64_t id; /* of all arenas that this process ever opened */
	struct mobi_arena_local *locals; /* arena_local.c, under its lock */
	struct mobi_class class[MOBI_CLASSES];
};

/* Location of a block: its offset, and 2, so that it is neither 0 nor 1. */
#define MOBI_LOC_BLOCK UINT64_C(2)
#define MOBI_LOC_LOW UINT64_C(63)

static inline struct mobi_arena_group *mobi_group(const struct mobi_arena *a,
						  uint64_t unit)
{
	return &a->groups[unit / MOBI_GROUP_UNITS];
}

static inline mobi_a64 *mobi_unit(const struct mobi_arena *a, uint64_t unit)
{
	return &mobi_group(a, unit)->unit[unit % MOBI_GROUP_UNITS];
}

/* Units that are in use at all: the words of later ones are not backed. */
static inline uint64_t mobi_units_ready(const struct mobi_arena *a)
{
	uint64_t n = mobi_load(&a->head->ready) * MOBI_GROUP_UNITS;

	return n < a->units ? n : a->units;
}

/* Tags of the slab or run that starts at this unit. */
static inline mobi_a64 *mobi_tags(const struct mobi_arena *a, uint64_t unit,
				  uint32_t class)
{
	return class < MOBI_CLASS_COARSE ? a->fine + unit * MOBI_TAGS_FINE :
					   a->coarse + unit * MOBI_TAGS_COARSE;
}

/* Offset in the control segment of a word of the arena's part. */
static inline uint64_t mobi_meta_off(const struct mobi_arena *a,
				     const volatile void *at)
{
	return a->meta_off + ((uintptr_t)at - (uintptr_t)a->meta);
}

static inline void mobi_hint_set(mobi_a64 *word, uint64_t bits)
{
	if ((mobi_load(word) & bits) != bits) {
		(void)mobi_fetch_or(word, bits);
	}
}

/* True if the first unit of a run. */
static inline bool mobi_unit_first(uint64_t w)
{
	uint32_t kind = MOBI_UKIND(w);

	return kind != MOBI_U_FREE && kind != MOBI_U_BODY;
}

#endif /* MOBI_ARENA_IMPL_H */
