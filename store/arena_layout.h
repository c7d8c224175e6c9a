/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of the arena's part of the control segment. arena.c explains how it
 * is used and what a kill leaves.
 *
 *   head | groups with free units | groups with free blocks, by class
 *        | groups | coarse tags | fine tags
 *
 * The first three are backed with memory when the arena is opened, groups as
 * the arena comes into use (head.ready), tags as units do. A word that is not
 * backed is not even read: a read of a hole of a tmpfs takes a page.
 */
#ifndef MOBI_ARENA_LAYOUT_H
#define MOBI_ARENA_LAYOUT_H

#include "atomic.h"

#include <stddef.h>

/* A unit: what a run, a slab and backing are counted in. */
#define MOBI_UNIT_SHIFT 16
#define MOBI_UNIT_BYTES (UINT64_C(1) << MOBI_UNIT_SHIFT)
#define MOBI_GROUP_UNITS 256u
#define MOBI_UNITS_MAX (UINT64_C(1) << 24) /* 1 TiB */
#define MOBI_CLASSES 88u
#define MOBI_CLASS_LARGE 127u /* one block: the run */
#define MOBI_RECENT 32u

/*
 * Word of a unit: {gen 22, arg 25, class 7, owner 6, reserved 1, kind 3}.
 *
 *   FREE -> CLAIM(owner) -> SLAB -> SHUT(owner) -> RELEASE(owner) -> FREE
 *                |            ^________|               ^
 *                +--------> LARGE ---------------------+
 *   FREE -> BODY -> FREE: the units after the first of a run.
 *
 * arg of a first unit: units of its run. arg of BODY: distance to the first.
 * gen counts claims of the unit. The owner of CLAIM, SHUT and RELEASE is the
 * one client that may change the run; that of SLAB is a hint (whose threads
 * may have free blocks of it in their lists), 0 for none.
 *
 * Word of a group: FREE or TAKEN; TAKEN: all its units are inside the run that
 * starts at unit arg, and their own words stay FREE.
 */
enum {
	MOBI_U_FREE = 0,
	MOBI_U_CLAIM = 1,
	MOBI_U_BODY = 2,
	MOBI_U_SLAB = 3,
	MOBI_U_SHUT = 4,
	MOBI_U_LARGE = 5,
	MOBI_U_RELEASE = 6,
	MOBI_U_TAKEN = 7
};
#define MOBI_UKIND(w) ((uint32_t)(w)&7u)
#define MOBI_UOWNER(w) ((uint32_t)((w) >> 4) & 63u)
#define MOBI_UCLASS(w) ((uint32_t)((w) >> 10) & 127u)
#define MOBI_UARG(w) ((w) >> 17 & ((UINT64_C(1) << 25) - 1))
#define MOBI_UGEN(w) ((w) >> 42)
#define MOBI_UWORD(kind, owner, class, arg, gen)                               \
	((uint64_t)(gen) << 42 | (uint64_t)(arg) << 17 |                       \
	 (uint64_t)(class) << 10 | (uint64_t)(owner) << 4 | (uint64_t)(kind))

/*
 * Tag of a block: {x 32, y 32}. y != 0: the caller's tag, the block is taken.
 * y == 0: it is free in generation x of its slab, or, with MOBI_TAG_SHUT,
 * closed by who releases the slab.
 */
#define MOBI_TAG_FREE(gen) ((uint64_t)(gen) << 32)
#define MOBI_TAG_SHUT (UINT64_C(1) << 63)
#define MOBI_TAG_TAKEN(tag) ((uint32_t)(tag) != 0)

/* Tags of a unit: coarse for blocks from 512 bytes on, fine for smaller ones
 * (the second half is only used by blocks of 64 bytes). */
#define MOBI_TAGS_COARSE 128u
#define MOBI_TAGS_FINE 1024u

struct mobi_arena_head {
	mobi_a64 units; /* of the arena; 0: new */
	mobi_a64 ready; /* groups that are backed and in use */
	uint64_t reserved[6];
	mobi_a64 recent_at;           /* next place in recent, runs free */
	mobi_a64 recent[MOBI_RECENT]; /* hints: {first unit 32, units 32} */
};

/* 16 MiB of the arena. */
struct mobi_arena_group {
	mobi_a64 word;
	mobi_a64 coarse; /* bit n: coarse tags of units 64 n.. are backed */
	mobi_a64 backed[MOBI_GROUP_UNITS / 64]; /* a bit a unit */
	mobi_a64 fine_lo[MOBI_GROUP_UNITS / 64];
	mobi_a64 fine_hi[MOBI_GROUP_UNITS / 64];
	uint64_t reserved[2];
	mobi_a64 unit[MOBI_GROUP_UNITS];
	/* Hint: bit n: a slab of this class that starts in units 4 n.. has
	 * free blocks. */
	mobi_a64 avail[MOBI_CLASSES];
	uint64_t spare[152];
};
_Static_assert(offsetof(struct mobi_arena_head, recent_at) == 64, "head");
_Static_assert(offsetof(struct mobi_arena_group, unit) == 128, "group.unit");
_Static_assert(offsetof(struct mobi_arena_group, avail) == 2176, "group.avail");
_Static_assert(sizeof(struct mobi_arena_group) == 4096, "group");

#endif /* MOBI_ARENA_LAYOUT_H */
