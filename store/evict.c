/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cached objects go when room is needed: those that nothing keeps but cached
 * names, in the order that the policy wants (victim.h).
 *
 * The tables say who may go (a lone bit of names), the catalogue whether its names
 * are cached; they are taken away in one transaction, as mob_object_free does.
 */
#include "evict.h"

#include "name_rows.h"
#include "victim.h"

static bool is_candidate(const struct mobi_slot *o, uint64_t w)
{
	uint64_t loc = mobi_load(&o->loc);

	/* What is spilled has no room to give. */
	return MOBI_STATE(w) == MOBI_S_SEALED &&
	       !(w & (MOBI_F_LOCK | MOBI_F_NOTIFY | MOBI_F_SPILL)) &&
	       mobi_load(&o->hold) == MOBI_KEPT && !mobi_load(&o->view) &&
	       !mobi_load(&o->head) && loc && loc != MOBI_LOC_INLINE &&
	       loc != MOBI_LOC_RANGE &&
	       (mobi_load(&o->creator) & MOBI_CREATOR_CACHED);
}

int mobi_evict_some(struct mob_store *s, uint64_t bytes)
{
	struct mobi_cat_shared *shared = s->cat_shared;
	struct mobi_search q = mobi_victim_search(s, MOBI_HAND_EVICT,
						  is_candidate);
	uint64_t freed = 0;
	uint32_t slot;
	int n = 0;

	if (!mobi_load(&shared->has_cached)) {
		return 0;
	}
	while (freed < bytes && mobi_victim_next(&q, &slot)) {
		struct mobi_slot *o = &s->slots[slot];
		uint64_t w = mobi_load(&o->word);
		uint64_t room;
		int rc;

		if (mobi_load(&shared->recount)) {
			/* One that was killed in here left what has no name. */
			if (mobi_name_recount(s) < 0) {
				break; /* the catalogue cannot be written now */
			}
			n++; /* there may be room now */
		}
		room = mobi_arena_block_bytes(s->arena, mobi_load(&o->loc));
		rc = mobi_name_drop_cached(s,
					   (uint64_t)MOBI_GEN(w) << 32 | slot);
		if (rc < 0) {
			break; /* the catalogue cannot be written now */
		}
		if (rc > 0) {
			(void)mobi_fetch_add(&shared->evicted, UINT64_C(1));
			freed += room;
			n++;
		}
	}
	return n;
}
