/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at a store: counts, and the audit that tests run after every kill.
 * The audit is complete only when nothing else runs.
 */
#include "board.h"
#include "catalogue_env.h"
#include "count.h"
#include "cq.h"
#include "durable.h"
#include "edge.h"
#include "err.h"
#include "gone.h"
#include "name.h"
#include "os_dir.h"
#include "pool.h"
#include "segment.h"
#include "slot.h"
#include "spill.h"
#include "victim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct audit {
	struct mob_store *s;
	void (*fn)(const char *line, void *arg);
	void *arg;
	uint32_t *linked; /* how many edges of a list name each slot */
	bool *has_block;  /* a block has the tag of this slot, as it should */
	uint32_t
		slots; /* those used, when it began: newer ones are passed over */
	int bad;
};

static void report(struct audit *a, const char *fmt, ...) MOB_PRINTF(2, 3);

static void report(struct audit *a, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	a->bad++;
	if (a->fn) {
		va_start(ap, fmt);
		(void)vsnprintf(line, sizeof(line), fmt, ap);
		va_end(ap);
		a->fn(line, a->arg);
	}
}

static void audit_block(uint64_t loc, uint64_t tag, void *arg)
{
	struct audit *a = arg;
	uint32_t slot = (uint32_t)tag - 1;
	struct mobi_slot *o;

	if (slot >= a->slots) {
		if (slot >= mobi_pool_used(a->s, MOBI_POOL_SLOT)) {
			report(a,
			       "block %#llx is tagged with slot %u, which "
			       "never "
			       "was",
			       (unsigned long long)loc, slot);
		}
		return;
	}
	o = &a->s->slots[slot];
	if (MOBI_GEN(mobi_load(&o->word)) != MOBI_GEN(tag) ||
	    mobi_load(&o->loc) != loc || !mobi_living(mobi_load(&o->word))) {
		report(a,
		       "block %#llx leaks: tag of slot %u generation %u, whose "
		       "word is %#llx and block %#llx",
		       (unsigned long long)loc, slot, MOBI_GEN(tag),
		       (unsigned long long)mobi_load(&o->word),
		       (unsigned long long)mobi_load(&o->loc));
		return;
	}
	a->has_block[slot] = true;
}

/* Is the part of an object that a slot stands for inside of that object? */
static void audit_range(struct audit *a, uint32_t i, uint64_t size)
{
	struct mobi_range range;
	uint32_t base;
	uint64_t whole;

	memcpy(&range, a->s->slots[i].value, sizeof(range));
	base = (uint32_t)range.base;
	if (base < a->slots && MOBI_GEN(mobi_load(&a->s->slots[base].word)) ==
				       MOBI_GEN(range.base)) {
		whole = mobi_load(&a->s->slots[base].size);
		if (range.off <= whole && size <= whole - range.off) {
			return;
		}
	}
	report(a, "slot %u is a part of what is not there", i);
}

/* The block of a slot, which was not seen when all were looked at: is it there now, or
 * has the slot another meanwhile? */
static bool has_moved(struct audit *a, uint32_t i, uint64_t word, uint64_t loc)
{
	const struct mobi_slot *o = &a->s->slots[i];
	uint64_t id = (uint64_t)MOBI_GEN(word) << 32 | i;

	return mobi_arena_tagged_bytes(a->s->arena, loc, mobi_slot_tag(id)) ||
	       mobi_load(&o->loc) != loc || mobi_load(&o->word) != word ||
	       !mobi_living(word);
}

/* Does a living process make or move it just now? loc is written before the tag. */
static bool is_at_work(struct audit *a, uint64_t word)
{
	uint32_t who = word & MOBI_F_LOCK  ? MOBI_OWNER(word) :
		       word & MOBI_F_OWNED ? MOBI_MAKER(word) :
					     0;

	return who && (mobi_clients_live(a->s) & MOBI_BIT(who % MOBI_CLIENTS));
}

static void audit_own_block(struct audit *a, uint32_t i, uint64_t word,
			    uint64_t loc)
{
	uint64_t total = mobi_slot_total(&a->s->slots[i]);

	if (!a->has_block[i] && !is_at_work(a, word) &&
	    !has_moved(a, i, word, loc)) {
		report(a, "slot %u: its block %#llx is not there", i,
		       (unsigned long long)loc);
	} else if (total > mobi_arena_block_bytes(a->s->arena, loc) &&
		   !is_at_work(a, word) &&
		   mobi_load(&a->s->slots[i].word) == word) {
		report(a, "slot %u: %llu bytes are more than its block", i,
		       (unsigned long long)total);
	}
}

/* Are the bytes of an object where its slot says? */
static void audit_place(struct audit *a, uint32_t i)
{
	struct mobi_slot *o = &a->s->slots[i];
	uint64_t w = mobi_load(&o->word);
	uint64_t loc = mobi_load(&o->loc);
	uint64_t size = mobi_load(&o->size);

	if (!loc && size && MOBI_STATE(mobi_load(&o->word)) == MOBI_S_SEALED) {
		report(a, "slot %u is sealed without its bytes", i);
	} else if (loc == MOBI_LOC_INLINE && size > MOBI_INLINE_MAX) {
		report(a, "slot %u has %llu bytes inside; there is room for %u",
		       i, (unsigned long long)size, MOBI_INLINE_MAX);
	} else if (loc == MOBI_LOC_RANGE) {
		audit_range(a, i, size);
	} else if (loc == MOBI_LOC_SPILLED) {
		if (!(mobi_load(&o->word) & MOBI_F_SPILL)) {
			report(a,
			       "slot %u has its bytes in a file, and does "
			       "not say so",
			       i);
		}
	} else if (loc && loc != MOBI_LOC_INLINE) {
		audit_own_block(a, i, w, loc);
	}
}

static void audit_slot(struct audit *a, uint32_t i, uint64_t live)
{
	struct mobi_slot *o = &a->s->slots[i];
	uint64_t w = mobi_load(&o->word);
	uint64_t bits = mobi_load(&o->hold) | mobi_load(&o->view);
	uint32_t n = 0;

	if (bits & ~live & ~MOBI_KEPT) {
		report(a, "slot %u: bits %#llx of clients that are not there",
		       i, (unsigned long long)(bits & ~live));
	}
	if (MOBI_STATE(w) == MOBI_S_FREE || MOBI_STATE(w) == MOBI_S_WORN) {
		if (bits || mobi_load(&o->head) || mobi_load(&o->loc)) {
			report(a, "slot %u is free with bits, edges or a block",
			       i);
		}
		return;
	}
	/* A maker may have its LOCK from birth to seal. */
	if (MOBI_STATE(w) == MOBI_S_FREEING || (w & MOBI_F_NOTIFY) ||
	    ((w & (MOBI_F_LOCK | MOBI_F_DIRTY)) &&
	     !((w & MOBI_F_OWNED) && MOBI_OWNER(w) == MOBI_MAKER(w)))) {
		report(a, "slot %u is left half done: word %#llx", i,
		       (unsigned long long)w);
	}
	if ((w & MOBI_F_SPILL) && !mobi_spill_is_whole(a->s, i)) {
		report(a, "slot %u is spilled, and its file is not there", i);
	}
	if (MOBI_STATE(w) == MOBI_S_PENDING &&
	    ((w & MOBI_F_OWNED) ? !(live & MOBI_BIT(MOBI_MAKER(w) % 64)) :
				  !mobi_load(&o->producer))) {
		report(a, "slot %u is pending and nobody will make it", i);
	}
	if ((w & MOBI_F_GONE) &&
	    !mobi_will_produce(a->s, mobi_load(&o->producer))) {
		report(a,
		       "slot %u: its value is gone, and no task is kept that "
		       "could make it again",
		       i);
	}
	if (!bits && !mobi_load(&o->head) && !(w & MOBI_F_OWNED)) {
		report(a, "slot %u leaks: nothing refers to it (word %#llx)", i,
		       (unsigned long long)w);
	}
	audit_place(a, i);
	for (uint32_t e = mobi_load(&o->head); e && n < 1u << 26; n++) {
		struct mobi_edge *ed = mobi_edge_at(a->s, e);

		if (mobi_load(&ed->ref) != ((uint64_t)MOBI_GEN(w) << 32 | i)) {
			report(a, "slot %u: edge %u of its list names another",
			       i, e);
			return;
		}
		e = mobi_load(&ed->next);
	}
	a->linked[i] = n;
}

/* Counts an edge that is not free against its object's list. */
static void audit_edge(struct audit *a, uint32_t n)
{
	struct mobi_edge *e = mobi_edge_at(a->s, n);
	uint64_t w = mobi_load(&e->word);
	uint64_t ref = mobi_load(&e->ref);
	uint32_t slot = (uint32_t)ref;

	if (MOBI_STATE(w) == MOBI_E_FREE) {
		return;
	}
	if (slot >= mobi_pool_used(a->s, MOBI_POOL_SLOT) ||
	    MOBI_GEN(mobi_load(&a->s->slots[slot].word)) != MOBI_GEN(ref) ||
	    !a->linked[slot]) {
		report(a, "edge %u (state %u) is on no list of slot %u", n,
		       MOBI_STATE(w), slot);
		return;
	}
	a->linked[slot]--;
}

static void audit_chunk(struct audit *a, uint32_t c, uint64_t live)
{
	uint64_t w = mobi_load(&a->s->chunks[c].word);
	uint32_t st = MOBI_STATE(w);

	if (st == MOBI_C_BUILD || st == MOBI_C_RETIRED) {
		/* Retired edges on lists that nobody swept yet are no leak. */
		bool edges = false;

		for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
			uint32_t n = MOBI_EDGE_OF_CHUNK(c, i);

			edges |= MOBI_STATE(mobi_load(
					 &mobi_edge_at(a->s, n)->word)) !=
				 MOBI_E_FREE;
		}
		if (st == MOBI_C_BUILD || !edges) {
			report(a, "chunk %u is left half done: word %#llx", c,
			       (unsigned long long)w);
		}
	}
	if (st == MOBI_C_LIVE &&
	    (MOBI_CKIND(w) == MOBI_CK_CQ || MOBI_CKIND(w) == MOBI_CK_SEAT) &&
	    !(live & MOBI_BIT(MOBI_COWNER(w) % MOBI_CLIENTS))) {
		report(a, "chunk %u belongs to client %u, who is not there", c,
		       MOBI_COWNER(w));
	}
	for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
		audit_edge(a, MOBI_EDGE_OF_CHUNK(c, i));
	}
}

static void audit_groups(struct audit *a, uint32_t which, uint64_t live)
{
	struct mobi_pool *p = &a->s->pool[which];
	uint32_t used = mobi_load(&p->shared->used);

	for (uint32_t g = 0; g < used; g++) {
		uint32_t owner = mobi_load(&p->group[g].owner);

		if (owner && !(live & MOBI_BIT(owner % MOBI_CLIENTS))) {
			report(a,
			       "group %u of the %s belongs to client %u, who "
			       "is "
			       "not there",
			       g, p->what, owner);
		}
	}
}

static void audit_queue(struct audit *a, uint32_t c, uint64_t live)
{
	struct mobi_chunk *ch = &a->s->chunks[c];
	uint64_t w = mobi_load(&ch->word);
	uint32_t queue = (uint32_t)mobi_load(&ch->of);
	uint32_t owner = 0;

	if (MOBI_STATE(w) != MOBI_C_LIVE || MOBI_CKIND(w) != MOBI_CK_CQ) {
		return;
	}
	if (queue < MOBI_CQS) {
		owner = mobi_cq_owner(a->s, queue);
	}
	if (!owner || owner != MOBI_COWNER(w)) {
		report(a,
		       "chunk %u of client %u is of queue %u, which is client "
		       "%u's",
		       c, MOBI_COWNER(w), queue, owner);
	} else if (!(live & MOBI_BIT(owner % MOBI_CLIENTS))) {
		report(a, "queue %u belongs to client %u, who is not there",
		       queue, owner);
	}
}

static void audit_board(struct audit *a, uint64_t live)
{
	uint64_t idle = mobi_load(&a->s->board->idle);

	if (idle & ~live) {
		report(a, "board: idle clients %#llx are not there",
		       (unsigned long long)(idle & ~live));
	}
	for (uint32_t i = 0; i < MOBI_BOARD_NOW; i++) {
		uint32_t rec = mobi_load(&a->s->board->now[i]);

		if (rec > mobi_pool_used(a->s, MOBI_POOL_REC)) {
			report(a, "board: record %u was never used", rec - 1);
		}
	}
}

/* What LMDB says. Not if it was never asked to: looking would make it. */
static int audit_index(struct audit *a)
{
	struct mob_store *s = a->s;
	int rc = 0;

	if (mobi_catalogue_is_made(s->cat)) {
		rc = mobi_catalogue_check(s->cat,
					  mobi_pool_used(s, MOBI_POOL_SLOT),
					  a->fn, a->arg);
		a->bad += rc > 0 ? rc : 0;
	}
	if (rc >= 0) {
		rc = mobi_name_check(s, a->fn, a->arg);
		a->bad += rc > 0 ? rc : 0;
	}
	return rc < 0 ? rc : a->bad;
}

int mob_store_check(struct mob_store *store,
		    void (*fn)(const char *line, void *), void *arg)
{
	struct audit a = { store, fn, arg, NULL, NULL, 0, 0 };
	uint64_t live;
	uint32_t slots;

	MOBI_ENTER(store);
	slots = mobi_pool_used(store, MOBI_POOL_SLOT);
	a.slots = slots;
	live = mobi_clients_live(store);
	a.linked = calloc((size_t)slots + 1, sizeof(*a.linked));
	a.has_block = calloc((size_t)slots + 1, sizeof(*a.has_block));
	if (!a.linked || !a.has_block) {
		free(a.linked);
		free(a.has_block);
		return mobi_err(MOB_E_NOMEM, "mob_store_check: out of memory");
	}
	mobi_arena_walk(store->arena, audit_block, &a);
	a.bad += mobi_arena_check(store->arena, live, fn, arg);
	for (uint32_t i = 0; i < slots; i++) {
		audit_slot(&a, i, live);
	}
	for (uint32_t r = 0; r < mobi_pool_used(store, MOBI_POOL_REC); r++) {
		uint64_t w = mobi_load(&store->recs[r].word);

		if (MOBI_STATE(w) == MOBI_R_BUILD) {
			report(&a, "record %u is left half built", r);
		}
		for (uint32_t k = 0; k < MOBI_REC_EDGES; k++) {
			audit_edge(&a, MOBI_EDGE_OF_REC(r, k));
		}
	}
	for (uint32_t c = 0; c < mobi_pool_used(store, MOBI_POOL_CHUNK); c++) {
		if (MOBI_STATE(mobi_load(&store->chunks[c].word)) !=
		    MOBI_C_FREE) {
			audit_chunk(&a, c, live);
			audit_queue(&a, c, live);
		}
	}
	for (uint32_t i = 0; i < slots; i++) {
		if (a.linked[i]) {
			report(&a, "slot %u: %u edges of its list are free", i,
			       a.linked[i]);
		}
	}
	for (uint32_t i = 0; i < MOBI_POOLS; i++) {
		audit_groups(&a, i, live);
	}
	audit_board(&a, live);
	free(a.linked);
	free(a.has_block);
	return audit_index(&a);
}

int mob_store_stat(struct mob_store *store, struct mob_store_stat *out)
{
	struct mobi_arena_stat as;
	struct mob_store_stat st = { 0 };
	uint32_t slots;
	int rc;

	MOBI_ENTER(store);
	slots = mobi_pool_used(store, MOBI_POOL_SLOT);
	mobi_arena_stat(store->arena, &as);
	st.arena_bytes = as.bytes;
	st.arena_used_bytes = as.used_bytes;
	st.arena_backed_bytes = as.backed_bytes;
	for (uint32_t i = 0; i < slots; i++) {
		uint64_t w = mobi_load(&store->slots[i].word);

		st.objects += mobi_living(w) ? 1 : 0;
		st.objects_pending += MOBI_STATE(w) == MOBI_S_PENDING;
		if (mobi_living(w) && (w & MOBI_F_SPILL)) {
			st.spilled_objects++;
			st.spilled_bytes += mobi_load(&store->slots[i].size);
		}
	}
	st.clients = (uint64_t)__builtin_popcountll(mobi_clients_live(store));
	st.reaps = mobi_load(&store->hdr->reaps);
	rc = mobi_catalogue_rows(store->cat, &st.catalogue_rows);
	if (rc < 0) {
		return rc;
	}
	st.eviction = mobi_victim_name(store);
	st.evicted = mobi_load(&store->cat_shared->evicted);
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		st.prefetches += mobi_count_of(store, i, MOBI_N_PREFETCH);
	}
	st.durable = mobi_is_durable(store);
	st.durable_objects = mobi_load(&store->hdr->durable_objects);
	st.durable_synced_ms = mobi_load(&store->hdr->durable_synced_ms);
	rc = mobi_durable_unsynced(store, &st.durable_unsynced);
	if (rc < 0) {
		return rc;
	}
	st.catalogue_lag_ms = mobi_cat_lag_ms(store->cat);
	st.age_ms = mobi_cat_now_ms(store->cat);
	st.file_bytes = mobi_dir_bytes(store->dir_fd, ".");
	*out = st;
	return 0;
}

int mob_store_sync(struct mob_store *store)
{
	int rc;

	MOBI_ENTER(store);
	rc = mobi_name_recount(store);
	rc = rc < 0 ? rc : mobi_catalogue_drain(store->cat, 0, NULL);
	return rc < 0 || !mobi_is_durable(store) ? rc :
						   mobi_durable_sync(store);
}

int mob_store_list(struct mob_store *store,
		   int (*fn)(const struct mob_object_info *, void *), void *arg,
		   uint64_t *out_lag_ms)
{
	MOBI_ENTER(store);
	return mobi_catalogue_list(store->cat, store->epoch, fn, arg,
				   out_lag_ms);
}

int mob_store_find(struct mob_store *store,
		   const struct mob_object_query *query,
		   int (*fn)(const struct mob_object_info *, void *), void *arg,
		   uint64_t *out_lag_ms)
{
	MOBI_ENTER(store);
	if (query->struct_size != sizeof(*query)) {
		return mobi_err(MOB_E_VERSION,
				"mob_store_find: struct_size is %u; this "
				"library knows %zu; start from "
				"MOB_OBJECT_QUERY_INIT",
				query->struct_size, sizeof(*query));
	}
	return mobi_catalogue_find(store->cat, store->epoch, query, fn, arg,
				   out_lag_ms);
}
