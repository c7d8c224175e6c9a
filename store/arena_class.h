/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Size classes of the arena: multiples of 64 bytes up to 1 KiB, then eight for
 * each doubling up to 512 KiB, each the largest block of which a whole number
 * fits the slab. So at most 12 % of a block is lost from 449 bytes on.
 */
#ifndef MOBI_ARENA_CLASS_H
#define MOBI_ARENA_CLASS_H

#include "arena_layout.h"

#define MOBI_CLASS_COARSE 7u /* classes from here on: coarse tags */
#define MOBI_CLASS_SMALL 40u /* from here on: slabs of many units */
#define MOBI_BLOCK_MAX (UINT64_C(512) << 10)

struct mobi_class {
	uint32_t size;     /* of a block, a multiple of 64 */
	uint32_t blocks;   /* of a slab; 0: not in an arena as small as this */
	uint32_t units;    /* of a slab */
	uint32_t list_max; /* free blocks that a thread keeps at hand */
	uint64_t recip;    /* 2^32 / (size / 64), rounded up */
};

/* The classes of an arena of so many units. Small arenas have smaller slabs,
 * or none, of the larger classes. */
void mobi_class_table(uint64_t units, struct mobi_class out[MOBI_CLASSES]);

/* Class of a size of at most MOBI_BLOCK_MAX. hot */
uint32_t mobi_class_of(uint64_t size);

/* Which block of the slab starts off bytes into it; blocks if none does. The
 * reciprocal is exact: off / 64 has 16 bits, size / 64 has 13. */
static inline uint32_t mobi_class_index(const struct mobi_class *c,
					uint64_t off)
{
	uint64_t n = (off >> 6) * c->recip >> 32;

	return n < c->blocks && n * c->size == off ? (uint32_t)n : c->blocks;
}

#endif /* MOBI_ARENA_CLASS_H */
