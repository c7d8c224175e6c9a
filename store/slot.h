/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of one slot: birth, hold, view, release, resolve, free. The steps
 * are those of docs/shared-memory.md, checked by tests/models/hold_free.pml
 * and seal_wait.pml; change one only together with its model.
 */
#ifndef MOBI_SLOT_H
#define MOBI_SLOT_H

#include "object_header.h"
#include "segment.h"

/* {gen, slot} of a ref of this session, or MOB_E_BAD_REF. */
int mobi_slot_of(const struct mob_store *s, struct mob_ref ref,
		 uint64_t *out_id);
/* In the lower half of `hi`: a ref of a capture, which the scheduler gives out
 * (graph.h), and which names no object. */
#define MOBI_REF_CAPTURE 0x80000000u
static inline struct mob_ref mobi_ref_of(const struct mob_store *s, uint64_t id)
{
	struct mob_ref r = { (uint64_t)s->epoch << 32, id };

	return r;
}

/* Tag of its block. */
static inline uint64_t mobi_slot_tag(uint64_t id)
{
	return (id & ~UINT64_C(0xffffffff)) | ((uint32_t)id + 1);
}

/* Bytes of its value and header together. */
static inline uint64_t mobi_slot_total(const struct mobi_slot *o)
{
	return mobi_object_bytes(mobi_load(&o->size), mobi_load(&o->header));
}

/* A slot PENDING with LOCK(me) and one hold of this process. flags: 0, or
 * MOBI_F_OWNED: only this process resolves it. Ends with mobi_slot_unlock,
 * resolve_owned or seal_unseen. */
int mobi_slot_new(struct mob_store *s, uint64_t flags, uint64_t *out_id);
/* The same for a slot of that number and generation, in a session that nobody else
 * sees yet. */
void mobi_slot_revive(struct mob_store *s, uint64_t id);
/* Gives the LOCK of a new slot back: a task's return, or an object whose maker
 * goes on writing, which it ends with resolve_made. */
void mobi_slot_unlock(struct mob_store *s, uint64_t id);

/* One more hold of this process. MOB_E_BAD_REF: it is gone. */
int mobi_slot_hold(struct mob_store *s, uint64_t id);
int mobi_slot_release(struct mob_store *s, uint64_t id);
/* As hold and release, for VIEW bits: pins the bytes of a resolved object. */
int mobi_slot_view(struct mob_store *s, uint64_t id);
void mobi_slot_unview(struct mob_store *s, uint64_t id);
/* Holds of this process on it, for tests and audits. */
uint32_t mobi_slot_holds(struct mob_store *s, uint32_t slot);

/*
 * PENDING -> state (SEALED, FAILED, CANCELLED or LOST) and tells everybody.
 * False if it was resolved before; then nothing is done.
 */
bool mobi_slot_resolve(struct mob_store *s, uint64_t id, uint32_t state);
/* As resolve (which leaves it alone) for one that is OWNED by maker. */
bool mobi_slot_resolve_made(struct mob_store *s, uint64_t id, uint32_t maker,
			    uint32_t state);
/* The same for a slot OWNED by this process whose LOCK the caller still has
 * from its birth. */
bool mobi_slot_resolve_owned(struct mob_store *s, uint64_t id, uint32_t state);
/* Seals a slot PENDING|OWNED|LOCK(me) whose ref nobody has been told yet. */
void mobi_slot_seal_unseen(struct mob_store *s, uint64_t id);

/*
 * Gives the slot a value of size bytes: inside it, or a block. An earlier
 * block (a dead attempt's) is freed first. Only who may resolve it calls this.
 * *out_at is the writable place.
 */
int mobi_slot_value(struct mob_store *s, uint64_t id, uint64_t size,
		    mob_type_id type, void **out_at);
/* The same with pages of its own: in the mode of guard.h. */
int mobi_slot_value_apart(struct mob_store *s, uint64_t id, uint64_t size,
			  mob_type_id type, void **out_at);
/* The value is a part of another object, which the caller makes it keep alive
 * (mobi_object_nest): off bytes into base, which is sealed and no range. */
void mobi_slot_value_range(struct mob_store *s, uint64_t id, uint64_t base,
			   uint64_t off, uint64_t size, mob_type_id type);
/* Hands the block of a pending object of this process, `from`, to another, `to`,
 * whose own is freed. Killed in between, the block is still that of one of them.
 * Only who may resolve both calls this. False: from has no block. */
bool mobi_slot_move_block(struct mob_store *s, uint64_t from, uint64_t to);
/* The value of a pending object of this process is inside its slot from now on;
 * its block is freed. */
void mobi_slot_value_inside(struct mob_store *s, uint64_t id);
/* Under LOCK(me) with GONE: its block or file is freed. */
void mobi_slot_drop_block(struct mob_store *s, uint64_t id);
/* The read-only bytes of a resolved object that the caller views or holds. */
const void *mobi_slot_bytes(const struct mob_store *s, uint32_t slot);

/* Looks whether anything still needs the slot, and frees it if not. */
void mobi_slot_look(struct mob_store *s, uint32_t slot, uint32_t gen);
/* The word has LOCK(me): does the duties, then frees or unlocks. */
void mobi_slot_locked_exit(struct mob_store *s, uint32_t slot);
/* Under FREEING(me): the rest of freeing. May be done again. */
void mobi_slot_finish_free(struct mob_store *s, uint32_t slot, uint32_t gen);

#endif /* MOBI_SLOT_H */
