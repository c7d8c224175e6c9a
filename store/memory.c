/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who keeps which memory. Read from the tables while others go on: an object
 * that went meanwhile is left out, as the generation of its word tells.
 */
#include "memory.h"

#include "catalogue_env.h"
#include "edge.h"
#include "err.h"
#include "name.h"
#include "pool.h"
#include "slot.h"

/* Edges of an object that are looked at: of more the kinds are known already. */
#define EDGES_MAX 4096u

enum { BY_TASK = 1, BY_OBJECT = 2, BY_QUEUE = 4 };

static uint32_t kind_of_edge(struct mob_store *s, uint32_t n)
{
	uint64_t w;

	if (n < MOBI_EDGE_REC_END) {
		return BY_TASK;
	}
	w = mobi_load(
		&s->chunks[(n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK].word);
	switch (MOBI_CKIND(w)) {
	case MOBI_CK_REC:
		return BY_TASK;
	case MOBI_CK_SLOT:
		return BY_OBJECT;
	case MOBI_CK_CQ:
		return BY_QUEUE;
	default:
		return 0; /* of a thread that waits, which has a hold */
	}
}

static uint32_t look_edges(struct mob_store *s, const struct mobi_slot *o,
			   uint32_t *out_edges)
{
	uint32_t by = 0;
	uint32_t n = mobi_load(&o->head);

	*out_edges = 0;
	for (uint32_t i = 0; n && i < EDGES_MAX; i++) {
		struct mobi_edge *e = mobi_edge_at(s, n);
		uint64_t w = mobi_load(&e->word);

		if (MOBI_STATE(w) == MOBI_E_LIVE ||
		    MOBI_STATE(w) == MOBI_E_FIRED) {
			by |= kind_of_edge(s, n);
			++*out_edges;
		}
		n = mobi_load(&e->next);
	}
	return by;
}

static uint32_t kind_of(const struct mob_memory_info *i, uint32_t by)
{
	if (i->names) {
		return MOB_MEMORY_NAMED;
	}
	if (i->pins) {
		return MOB_MEMORY_PINNED;
	}
	if (i->processes) {
		return MOB_MEMORY_REFERENCED;
	}
	if (by & BY_TASK) {
		return MOB_MEMORY_ARGUMENT;
	}
	if (by & BY_OBJECT) {
		return MOB_MEMORY_NESTED;
	}
	return by & BY_QUEUE ? MOB_MEMORY_QUEUED : MOB_MEMORY_LEAVING;
}

static uint32_t where_is(const struct mob_memory_info *i, uint64_t loc)
{
	switch (loc) {
	case 0:
		return MOB_MEMORY_NOWHERE;
	case MOBI_LOC_INLINE:
		return MOB_MEMORY_INSIDE;
	case MOBI_LOC_RANGE:
		return MOB_MEMORY_PART;
	case MOBI_LOC_SPILLED:
		return MOB_MEMORY_FILE;
	default:
		return i->block_bytes ? MOB_MEMORY_BLOCK : MOB_MEMORY_NOWHERE;
	}
}

/* The block of an object, and how much of it is in use. */
static void look_block(struct mob_store *s, const struct mobi_slot *o,
		       uint64_t id, struct mob_memory_info *out)
{
	uint64_t loc = mobi_load(&o->loc);
	uint64_t used = mobi_slot_total(o);

	out->block_bytes = mobi_arena_tagged_bytes(s->arena, loc,
						   mobi_slot_tag(id));
	out->used_bytes = used < out->block_bytes ? used : out->block_bytes;
	out->where = where_is(out, loc);
}

int mobi_memory_look(struct mob_store *s, uint32_t slot,
		     struct mob_memory_info *out)
{
	struct mobi_slot *o = &s->slots[slot];
	uint64_t w = mobi_load(&o->word);
	uint64_t bits;
	uint32_t by;
	int rc = 0;

	if (!mobi_living(w)) {
		return 0;
	}
	*out = (struct mob_memory_info){
		.struct_size = (uint32_t)sizeof(*out),
		.ref = mobi_ref_of(s, (uint64_t)MOBI_GEN(w) << 32 | slot),
		.state = MOBI_STATE(w),
		.type = mobi_load(&o->type),
		.creator = MOBI_CREATOR(mobi_load(&o->creator)),
		.site = MOBI_CREATOR_SITE(mobi_load(&o->creator)),
		.born_ms = mobi_load(&o->born_ms),
		.holders = mobi_load(&o->hold),
		.viewers = mobi_load(&o->view),
	};
	bits = out->holders | out->viewers;
	out->holders &= ~MOBI_KEPT;
	out->processes = (uint32_t)__builtin_popcountll(bits & ~MOBI_KEPT);
	if (MOBI_STATE(w) == MOBI_S_SEALED || MOBI_STATE(w) == MOBI_S_FAILED) {
		out->size = mobi_load(&o->size);
	}
	look_block(s, o, out->ref.lo, out);
	by = look_edges(s, o, &out->edges);
	if (bits & MOBI_KEPT) {
		rc = mob_object_kept(s, out->ref, &out->names, &out->pins);
	}
	out->kind = kind_of(out, by);
	w = mobi_load(&o->word);
	if (MOBI_GEN(w) != MOBI_GEN(out->ref.lo) || !mobi_living(w)) {
		return 0; /* also if the catalogue did not find it */
	}
	return rc < 0 ? rc : 1;
}

int mob_object_stat(struct mob_store *store, struct mob_ref ref,
		    struct mob_object_info *out)
{
	const struct mobi_slot *o;
	uint64_t id;
	int rc;

	MOBI_ENTER(store);
	rc = mobi_slot_of(store, ref, &id);
	if (rc < 0) {
		return rc;
	}
	o = &store->slots[(uint32_t)id];
	*out = (struct mob_object_info){
		.ref = ref,
		.size = mobi_load(&o->size),
		.born_ms = mobi_load(&o->born_ms),
		.type = mobi_load(&o->type),
		.creator = MOBI_CREATOR(mobi_load(&o->creator)),
		.site = MOBI_CREATOR_SITE(mobi_load(&o->creator)),
		.state = mob_object_state(store, ref), /* last */
	};
	if (out->state == MOB_OBJECT_GONE) {
		return mobi_err(MOB_E_BAD_REF,
				"mob_object_stat: object %u is gone: its last "
				"reference was released",
				(uint32_t)id);
	}
	if (out->state != MOB_OBJECT_SEALED &&
	    out->state != MOB_OBJECT_FAILED) {
		out->size = 0; /* it has no value, or not yet */
	}
	return 0;
}

int mob_store_memory(struct mob_store *store,
		     int (*fn)(const struct mob_memory_info *, void *),
		     void *arg)
{
	uint32_t end;

	MOBI_ENTER(store);
	end = mobi_pool_used(store, MOBI_POOL_SLOT);
	for (uint32_t i = 0; i < end; i++) {
		struct mob_memory_info info;
		int rc = mobi_memory_look(store, i, &info);

		if (rc == 1) {
			rc = fn(&info, arg);
		}
		if (rc) {
			return rc;
		}
	}
	return 0;
}

const char *mob_memory_kind_name(uint32_t kind)
{
	static const char *const name[] = {
		[MOB_MEMORY_NAMED] = "named",
		[MOB_MEMORY_PINNED] = "pinned",
		[MOB_MEMORY_REFERENCED] = "referenced",
		[MOB_MEMORY_ARGUMENT] = "argument",
		[MOB_MEMORY_NESTED] = "nested",
		[MOB_MEMORY_QUEUED] = "queued",
		[MOB_MEMORY_LEAVING] = "leaving",
	};

	return kind < MOB_MEMORY_KINDS ? name[kind] : "?";
}

const char *mob_memory_where_name(uint32_t where)
{
	static const char *const name[] = {
		[MOB_MEMORY_NOWHERE] = "nowhere", [MOB_MEMORY_INSIDE] = "table",
		[MOB_MEMORY_BLOCK] = "block",     [MOB_MEMORY_PART] = "part",
		[MOB_MEMORY_FILE] = "file",
	};

	return where <= MOB_MEMORY_FILE ? name[where] : "?";
}
