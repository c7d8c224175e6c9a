/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a thread has of an arena: for each class a list of blocks that were
 * free when it looked. Nothing of it is the truth: a block is taken by the CAS
 * of its tag, and an entry that is no longer right fails there.
 */
#ifndef MOBI_ARENA_LOCAL_H
#define MOBI_ARENA_LOCAL_H

#include "arena_impl.h"

#define MOBI_WITNESSES 64u

/* Entries: {first unit of the slab 24, block 18, generation of the slab 22}. */
#define MOBI_ENTRY(unit, block, gen)                                           \
	((uint64_t)(unit) << 40 | (uint64_t)(block) << 22 | (uint64_t)(gen))
#define MOBI_ENTRY_UNIT(e) ((e) >> 40)
#define MOBI_ENTRY_BLOCK(e) ((e) >> 22 & ((UINT64_C(1) << 18) - 1))
#define MOBI_ENTRY_GEN(e) ((e) & ((UINT64_C(1) << 22) - 1))

struct mobi_arena_list {
	uint64_t *entry; /* list_max of the class; NULL until used */
	uint32_t n;
	/* The slabs it was filled from last: 4 base + bits of the mask. */
	uint32_t base;
	uint32_t mask;
};

struct mobi_arena_local {
	mobi_a64 id; /* of the arena; 0: it is closed */
	struct mobi_arena *arena;
	struct mobi_arena_local *next_of_thread;
	struct mobi_arena_local *next_of_arena;
	uint32_t forks; /* of another process than this, its parent: unused */
	uint64_t swept; /* unit at which the next sweep begins */
	struct mobi_arena_list list[MOBI_CLASSES];
	/* A block of a slab that was taken when it was looked at last. */
	struct {
		uint32_t unit;
		uint32_t block;
	} witness[MOBI_WITNESSES];
};

extern _Thread_local struct mobi_arena_local *mobi_arena_locals;

struct mobi_arena_local *mobi_local_find(struct mobi_arena *a);

/* This thread's; made if there is none. NULL: no memory. hot */
static inline struct mobi_arena_local *mobi_local(struct mobi_arena *a)
{
	struct mobi_arena_local *l = mobi_arena_locals;

	/* Only this thread gives it an id that is not 0. */
	if (l && mobi_load_relaxed(&l->id) == a->id) {
		return l;
	}
	return mobi_local_find(a);
}

/* The number of an arena in this process. */
uint64_t mobi_local_id(void);
/* Empties the lists of all threads. None of them may be inside the arena. */
void mobi_local_flush(struct mobi_arena *a);
/* Takes the arena from all threads, without a look at what is shared. */
void mobi_local_close(struct mobi_arena *a);

#endif /* MOBI_ARENA_LOCAL_H */
