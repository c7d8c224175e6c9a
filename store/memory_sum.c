/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every byte of a store. Objects are summed from their rows, what no object has
 * from the words and tags of the arena; what the sums are compared with is found by
 * tags of blocks and bits of backed units. A snapshot in which the arena has not
 * changed between two walks, and the rows agree, is of one moment.
 */
#include "memory.h"

#include "err.h"
#include "os_dir.h"
#include "pool.h"
#include "slot.h"

#define TRIES 16

static void add(struct mob_memory_sum *s, const struct mob_memory_info *i,
		uint64_t total)
{
	s->objects++;
	s->size += i->size;
	s->block_bytes += i->block_bytes;
	s->used_bytes += i->used_bytes;
	s->padding_bytes += i->block_bytes - i->used_bytes;
	s->pending_bytes += i->state == MOB_OBJECT_PENDING ? i->block_bytes : 0;
	s->inside_bytes += i->where == MOB_MEMORY_INSIDE ? total : 0;
	s->part_bytes += i->where == MOB_MEMORY_PART ? i->size : 0;
	s->file_bytes += i->where == MOB_MEMORY_FILE ? total : 0;
}

/* Blocks that a row names beside that of its value: one being freed, or left by
 * who was killed on the way to or from a file. Nobody reads them. */
static uint64_t other_blocks(struct mob_store *s, uint32_t slot)
{
	const struct mobi_slot *o = &s->slots[slot];
	uint64_t w = mobi_load(&o->word);
	uint64_t tag = mobi_slot_tag((uint64_t)MOBI_GEN(w) << 32 | slot);
	uint64_t loc = mobi_load(&o->loc);
	const struct mobi_spilled *r = (const void *)o->value;
	uint64_t sum = 0;

	if (MOBI_STATE(w) == MOBI_S_FREEING) {
		sum = mobi_arena_tagged_bytes(s->arena, loc, tag);
	}
	if (w & MOBI_F_SPILL) {
		uint64_t old = mobi_load(&r->old);

		sum += old != loc ?
			       mobi_arena_tagged_bytes(s->arena, old, tag) :
			       0;
	}
	return sum;
}

static int sum_objects(struct mob_store *s, struct mob_memory_sums *out)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_SLOT);

	for (uint32_t i = 0; i < end; i++) {
		struct mob_memory_info info;
		int rc = mobi_memory_look(s, i, &info);
		uint64_t other = other_blocks(s, i);

		if (rc < 0) {
			return rc;
		}
		if (rc) {
			uint64_t total = mobi_slot_total(&s->slots[i]);

			add(&out->kind[info.kind], &info, total);
			add(&out->all, &info, total);
		}
		out->kind[MOB_MEMORY_LEAVING].block_bytes += other;
		out->kind[MOB_MEMORY_LEAVING].used_bytes += other;
		out->all.block_bytes += other;
		out->all.used_bytes += other;
	}
	return 0;
}

static void sum_arena(const struct mobi_arena_sums *a,
		      struct mob_memory_sums *out)
{
	for (uint32_t i = 0; i < MOBI_CLIENTS; i++) {
		out->reserved_bytes += a->reserved_bytes[i];
	}
	out->tail_bytes = a->tail_bytes;
	out->moving_bytes = a->moving_bytes;
	out->free_bytes = a->free_bytes;
	out->bare_bytes = a->bare_bytes;
	out->found_blocks = a->blocks;
	out->found_block_bytes = a->block_bytes;
	out->found_backed_bytes = a->backed_bytes;
}

static bool sums_agree(const struct mob_memory_sums *m)
{
	uint64_t backed = m->all.used_bytes + m->all.padding_bytes +
			  m->reserved_bytes + m->tail_bytes + m->moving_bytes +
			  m->free_bytes;

	return m->all.block_bytes == m->found_block_bytes &&
	       backed == m->found_backed_bytes &&
	       backed + m->bare_bytes == m->found_arena_bytes;
}

static int take(struct mob_store *s, struct mob_memory_sums *out)
{
	struct mobi_arena_sums before;
	struct mobi_arena_sums after;
	int rc;

	*out = (struct mob_memory_sums){
		.struct_size = (uint32_t)sizeof(*out),
		.found_arena_bytes = s->hdr->arena_bytes &
				     ~(UINT64_C(65536) - 1),
		.tables_bytes = mobi_fd_bytes(s->ctl_fd),
		.catalogue_bytes = mobi_dir_bytes(s->dir_fd, "idx"),
	};
	mobi_arena_sums(s->arena, &before);
	sum_arena(&before, out);
	rc = sum_objects(s, out);
	mobi_arena_sums(s->arena, &after);
	out->verdict = before.mark != after.mark ? MOB_MEMORY_CHANGING :
		       sums_agree(out)           ? MOB_MEMORY_EXACT :
						   MOB_MEMORY_WRONG;
	return rc;
}

int mob_store_memory_sums(struct mob_store *store, struct mob_memory_sums *out)
{
	int wrong = 0;

	MOBI_ENTER(store);
	for (int i = 0; i < TRIES; i++) {
		int rc = take(store, out);

		if (rc < 0 || out->verdict == MOB_MEMORY_EXACT) {
			return rc < 0 ? rc : 0;
		}
		wrong += out->verdict == MOB_MEMORY_WRONG;
	}
	/* A row that changed while it was read is not wrong each time. */
	out->verdict = wrong == TRIES ? MOB_MEMORY_WRONG : MOB_MEMORY_CHANGING;
	return 0;
}
