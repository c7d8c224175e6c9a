/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena: blocks of shared memory for the bytes of objects.
 *
 * Every block carries a tag, {generation 32, slot + 1 32}, in a table of the
 * control segment; a low half of 0 is free. Allocating is: choose a block,
 * write its location to *loc, CAS the tag free -> tag. Freeing is CAS tag ->
 * free, by anybody, exactly once. So a killed allocator leaves either no trace,
 * or a block that the slot's loc names: the janitor frees what the slot names
 * and leaks nothing. A tag must not be on two blocks at the same time.
 *
 * A location is 64 bits, never 0 or 1. Blocks up to 512 KiB come from size
 * classes (at most an eighth is lost from 449 bytes on); larger ones take whole
 * units of 64 KiB. Arenas below 512 MiB have shorter slabs of the classes above
 * 8 KiB, or none, and use units there: one slab of each class never takes more
 * than a quarter of the arena.
 */
#ifndef MOBI_ARENA_H
#define MOBI_ARENA_H

#include "atomic.h"

#include <stdbool.h>
#include <stddef.h>

struct mobi_arena; /* this process's attachment */

/* Bytes of control segment that an arena of arena_bytes needs. They are
 * sparse: a seventh of the arena, of which a few pages are used at first. */
uint64_t mobi_arena_meta_bytes(uint64_t arena_bytes);

/*
 * Attaches. meta: its part of the control segment, mapped (zeroed when the
 * arena is new; aligned to 64), which starts at offset meta_off of ctl_fd and
 * is backed by mobi_shm_back as it comes into use. fd: the arena file, sparse,
 * of at least arena_bytes (1 TiB at most; whole units of 64 KiB are used). The
 * descriptors stay the caller's and must stay open. client: 1 to 63, this
 * process, and only this attachment. Maps the file twice: writable, and read
 * only for views. A process may have several arenas; a forked child opens its
 * own, and may only close its parent's.
 */
int mobi_arena_open(int fd, uint64_t arena_bytes, void *meta, int ctl_fd,
		    uint64_t meta_off, uint32_t client,
		    struct mobi_arena **out_arena);
/*
 * Gives back the free blocks at hand of this process's threads. The last use of
 * the arena, but for close, before the client's number may become another
 * process's; again after later use. Blocks in use stay as they are. No other
 * thread may be inside. NULL is allowed.
 */
void mobi_arena_leave(struct mobi_arena *a);
/* Unmaps it; what is shared is not touched, so a forked child may close what it
 * inherited. No thread may be inside or come later. NULL is allowed. */
void mobi_arena_close(struct mobi_arena *a);

/*
 * Takes a block of at least size bytes (aligned to 64), backed by memory. The
 * low half of the tag is not 0. *loc is written BEFORE the tag, more than once
 * perhaps; it is 0 after an error. MOB_E_STORE_FULL if no run is free or the
 * file system has no room. Thread: any.
 */
int mobi_arena_alloc(struct mobi_arena *a, uint64_t size, uint64_t tag,
		     mobi_a64 *loc);
/* The same, but whole units that no other block shares. */
int mobi_arena_alloc_apart(struct mobi_arena *a, uint64_t size, uint64_t tag,
			   mobi_a64 *loc);
/* Does the block have its units for itself? Any loc is safe. */
bool mobi_arena_is_apart(const struct mobi_arena *a, uint64_t loc);
/* CAS tag -> free; false if the block does not carry it (nothing is done then).
 * loc is checked before it is used: any 64-bit value is safe. Thread: any. */
bool mobi_arena_free(struct mobi_arena *a, uint64_t loc, uint64_t tag);

/* Hands a block to another slot: CAS from -> to. False if the block does not
 * carry `from`. Any loc is safe. */
bool mobi_arena_retag(struct mobi_arena *a, uint64_t loc, uint64_t from,
		      uint64_t to);

/* Address of the block in this process; NULL if loc is none of the arena. */
void *mobi_arena_rw(const struct mobi_arena *a, uint64_t loc);
const void *mobi_arena_ro(const struct mobi_arena *a, uint64_t loc);
/* Is the address one of its mappings in this process? */
bool mobi_arena_has(const struct mobi_arena *a, uint64_t addr);
/* Where the block starts in the arena. */
uint64_t mobi_arena_off(uint64_t loc);
/* Bytes of the block, 0 if loc names none. */
uint64_t mobi_arena_block_bytes(const struct mobi_arena *a, uint64_t loc);
/* The same, but 0 if the block does not carry the tag. */
uint64_t mobi_arena_tagged_bytes(const struct mobi_arena *a, uint64_t loc,
				 uint64_t tag);

/* Asks for huge pages, of page_bytes: memory is backed by writing faults from now
 * on, as what asks is a mapping. Before any thread is inside. */
void mobi_arena_use_huge(struct mobi_arena *a, uint64_t page_bytes);
/* Bytes of the arena that are in huge pages of page_bytes. Maps one byte of each
 * piece of that size that is backed: for people. */
uint64_t mobi_arena_huge_bytes(const struct mobi_arena *a, uint64_t page_bytes);

/* The clients in the mask are proved dead: what they had begun is undone or
 * finished, free memory at their hands is offered to others. May be cut short
 * and done again, before or after the blocks of their slots are freed. */
void mobi_arena_reap(struct mobi_arena *a, uint64_t dead_clients);

/* Gives memory of free units back to the system until at most keep_bytes of
 * free backed memory are left. */
void mobi_arena_trim(struct mobi_arena *a, uint64_t keep_bytes);
/* Backs up to bytes of free memory, and faults it in here, ahead of use. */
void mobi_arena_warm(struct mobi_arena *a, uint64_t bytes);

/* used_bytes: of blocks, as mobi_arena_block_bytes. Reads every tag: for
 * people, not for decisions. */
struct mobi_arena_stat {
	uint64_t bytes, used_bytes, backed_bytes, blocks;
};
void mobi_arena_stat(const struct mobi_arena *a, struct mobi_arena_stat *out);

/*
 * Where each byte of the arena is, by the words of units, the tags of blocks and
 * the bits of backed units. All but `bare` have memory. While others are at work
 * the parts are of different moments: `mark` is another then.
 */
struct mobi_arena_sums {
	uint64_t blocks;
	uint64_t block_bytes;        /* of blocks with a tag */
	uint64_t reserved_bytes[64]; /* free blocks of slabs, by their owner */
	uint64_t tail_bytes;         /* ends of slabs too short for a block */
	uint64_t moving_bytes;       /* runs being taken or given back */
	uint64_t free_bytes;         /* units of no run */
	uint64_t bare_bytes;         /* without memory, of any of these */
	uint64_t backed_bytes;       /* by the bits of backed units alone */
	uint64_t mark; /* mixes the words and tags that were read */
};
void mobi_arena_sums(const struct mobi_arena *a, struct mobi_arena_sums *out);

/* Calls fn(loc, tag, arg) for every tagged block. For audits. */
void mobi_arena_walk(const struct mobi_arena *a,
		     void (*fn)(uint64_t loc, uint64_t tag, void *arg),
		     void *arg);
/* Structure that cannot be while nobody is inside (a run without its first
 * unit, an owner that is nobody alive): fn (may be NULL) gets a line each;
 * returns how many. live_clients: mask. */
int mobi_arena_check(const struct mobi_arena *a, uint64_t live_clients,
		     void (*fn)(const char *line, void *arg), void *arg);

#endif /* MOBI_ARENA_H */
