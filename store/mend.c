/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An edge is written and then linked (edge.c); a chunk is LIVE and then listed by its
 * object (object.c). What lies between when a process dies goes with the object if
 * that goes, too. If it does not, nobody would find it later: the edge would wait for
 * a sweep of a list that it is not on. New edges are in the first chunk only.
 */
#include "mend.h"

#include "edge.h"
#include "slot.h"

/* Takes the LOCK of a living object; false: it is gone, or another has it. */
static bool lock(struct mob_store *s, uint64_t id)
{
	mobi_a64 *word = &s->slots[(uint32_t)id % MOBI_SLOTS].word;
	uint64_t w = mobi_load(word);

	do {
		if (MOBI_GEN(w) != MOBI_GEN(id) || !mobi_living(w) ||
		    (w & MOBI_F_LOCK)) {
			return false;
		}
	} while (!mobi_cas64(word, &w,
			     MOBI_WORD(MOBI_GEN(w), s->me, MOBI_F_LOCK,
				       MOBI_KEEP(w))));
	return true;
}

static bool is_linked(const struct mob_store *s, uint32_t slot, uint32_t edge)
{
	uint32_t n = mobi_load(&s->slots[slot].head);

	while (n && n != edge) {
		n = mobi_load(&mobi_edge_at(s, n)->next);
	}
	return n != 0;
}

/* One that is LIVE. */
static void mend_edge(struct mob_store *s, uint32_t n, uint64_t w)
{
	struct mobi_edge *e = mobi_edge_at(s, n);
	uint64_t ref = mobi_load(&e->ref);
	uint64_t now = mobi_load(&s->slots[(uint32_t)ref % MOBI_SLOTS].word);
	bool gone = MOBI_GEN(now) != MOBI_GEN(ref) || !mobi_living(now);
	bool locked = !gone && lock(s, ref);

	/* An object that an edge is linked to is not gone. */
	if (gone || (locked && !is_linked(s, (uint32_t)ref, n))) {
		(void)mobi_cas64(&e->word, &w, MOBI_ESTATE(w, MOBI_E_RELEASED));
	}
	if (locked) {
		mobi_slot_locked_exit(s, (uint32_t)ref);
	}
}

void mobi_mend_edges(struct mob_store *s, uint64_t id)
{
	const struct mobi_slot *o = &s->slots[(uint32_t)id % MOBI_SLOTS];
	uint32_t c = mobi_load(&o->nested);

	if (MOBI_GEN(mobi_load(&o->word)) != MOBI_GEN(id) || !c) {
		return;
	}
	for (uint32_t k = 0; k < MOBI_EDGE_CHUNK; k++) {
		uint32_t n = MOBI_EDGE_OF_CHUNK(c - 1, k);
		uint64_t w = mobi_load(&mobi_edge_at(s, n)->word);

		if (MOBI_STATE(w) == MOBI_E_LIVE) {
			mend_edge(s, n, w);
		}
	}
}

bool mobi_mend_unlisted(const struct mob_store *s, uint32_t chunk, uint64_t of)
{
	const struct mobi_slot *o = &s->slots[(uint32_t)of % MOBI_SLOTS];
	uint32_t c;

	/* One that is sealed has all, unless it is a stream. */
	if (MOBI_STATE(mobi_load(&o->word)) != MOBI_S_PENDING &&
	    mobi_load_relaxed(&o->type) != MOBI_TYPE_STREAM) {
		return false;
	}
	for (c = mobi_load(&o->nested); c && c != chunk + 1;) {
		c = mobi_load(&s->chunks[c - 1].next);
	}
	return !c;
}
