/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may make room in the stream of a task that waits for some: the only place that
 * knows of streams. docs/adr/0020.
 *
 *   read by one that lives    that one; another is refused. It has the stream, too, or
 *                             others may let it go.
 *   read by one that is gone  nobody reads on. There is room when all have let the
 *                             stream go: one that never does is enough.
 *   not read yet              whoever has it may read, or give it to others, and so may
 *                             any thread of its process: none may be left that goes on.
 *
 * For the last, all that have it must be seen. Under the LOCK of the stream no edge is
 * unlinked: if its list begins as it did, none came. Who has it by a bit alone is in
 * the bits that were read in between. So at that moment none had it but those that
 * were seen; and if these all waited, then and later, nobody else can have got it.
 * tests/models/stream_has.pml.
 */
#include "waits.h"

#include "args.h"
#include "edge.h"
#include "fault.h"
#include "pool.h"
#include "slot.h"
#include "yield.h"

#include <string.h>

/* A stream that so many have is not looked at. */
#define HOLDERS 128u

static const struct mobi_maker none = { MOBI_MAKER_NONE, 0, 0 };

struct holders {
	struct mobi_maker at[HOLDERS];
	uint32_t n;
	bool more; /* than were seen */
};

/* ---- who has it ---- */

/* The task of an edge. An object that has the stream may be got by anybody. */
static struct mobi_maker holder_of(const struct mobi_waits *k, uint32_t n)
{
	const struct mob_store *s = k->s;
	uint32_t rec = (n - 1) / MOBI_REC_EDGES;

	if (n >= MOBI_EDGE_REC_END) {
		const struct mobi_chunk *c =
			&s->chunks[(n - MOBI_EDGE_REC_END) / MOBI_EDGE_CHUNK];

		if (MOBI_CKIND(mobi_load(&c->word)) != MOBI_CK_REC) {
			return none;
		}
		rec = (uint32_t)mobi_load(&c->of) % MOBI_RECS;
	}
	return mobi_waits_task(k, rec);
}

static void add_holder(struct holders *h, struct mobi_maker m)
{
	if (h->n < HOLDERS) {
		h->at[h->n++] = m;
	} else {
		h->more = true;
	}
}

static void see_edges(const struct mobi_waits *k, uint64_t id, uint32_t head,
		      struct holders *h)
{
	for (uint32_t n = head; n && !h->more;) {
		const struct mobi_edge *e = mobi_edge_at(k->s, n);
		uint32_t st = MOBI_STATE(mobi_load(&e->word));

		if (mobi_load(&e->ref) != id) {
			h->more = true; /* it is on another list by now */
		} else if (st == MOBI_E_LIVE || st == MOBI_E_FIRED) {
			add_holder(h, holder_of(k, n));
		}
		n = mobi_load(&e->next);
	}
}

static uint64_t bits_of(const struct mobi_waits *k, uint64_t id)
{
	const struct mobi_slot *o = &k->s->slots[(uint32_t)id];

	return mobi_load(&o->hold) | mobi_load(&o->view);
}

static bool lock(struct mob_store *s, uint64_t id)
{
	struct mobi_slot *o = &s->slots[(uint32_t)id];
	uint64_t w = mobi_load(&o->word);

	return MOBI_GEN(w) == MOBI_GEN(id) && MOBI_STATE(w) == MOBI_S_SEALED &&
	       !(w & (MOBI_F_LOCK | MOBI_F_NOTIFY)) &&
	       mobi_cas64(&o->word, &w,
			  MOBI_WORD(MOBI_GEN(w), s->me, MOBI_F_LOCK,
				    MOBI_KEEP(w)));
}

static void see_holders(const struct mobi_waits *k, uint64_t id,
			struct holders *h)
{
	const struct mobi_slot *o = &k->s->slots[(uint32_t)id];
	bool locked = k->decides && lock(k->s, id);
	uint32_t head = mobi_load(&o->head);

	if (locked) {
		MOBI_FAULT("deadlock.stream");
	}
	h->n = 0;
	h->more = k->decides && !locked;
	see_edges(k, id, head, h);
	/* Bit 0, of no process, is of a name. */
	for (uint64_t b = bits_of(k, id); b; b &= b - 1) {
		add_holder(h,
			   mobi_waits_process(k, (uint32_t)__builtin_ctzll(b)));
	}
	h->more |= mobi_load(&o->head) != head;
	if (locked) {
		mobi_slot_locked_exit(k->s, (uint32_t)id);
	}
}

/* ---- who reads it ---- */

static struct mobi_maker reader_of(const struct mobi_waits *k, uint64_t id,
				   uint64_t reader)
{
	uint64_t bits = bits_of(k, id);
	uint32_t n = MOBI_READER_NUMBER(reader);
	struct mobi_maker m;
	struct holders h = { .n = 0 };

	if (MOBI_READER_KIND(reader) == MOBI_READER_PROCESS) {
		n %= MOBI_CLIENTS;
		return bits & MOBI_BIT(n) ? mobi_waits_process(k, n) : none;
	}
	m = mobi_waits_task(k, n % MOBI_RECS);
	see_edges(k, id, mobi_load(&k->s->slots[(uint32_t)id].head), &h);
	for (uint32_t i = 0; i < h.n; i++) {
		if (h.at[i].kind == m.kind && h.at[i].rec == m.rec) {
			return m; /* it has it as an argument, until it ends */
		}
	}
	if (m.kind != MOBI_MAKER_THREAD || !(bits & MOBI_BIT(m.index))) {
		return none;
	}
	m.kind = MOBI_MAKER_PROC; /* any thread of it may let it go */
	return m;
}

/* Has enough been read? Then the task that waits will see it. */
static bool has_room(const struct mob_store *s, uint64_t id, uint64_t bell)
{
	const struct mobi_stream *st = mobi_stream_at(s, id);
	uint64_t read = mobi_load(&st->read);
	uint64_t bytes = mobi_load(&st->read_bytes);
	uint64_t when[MOBI_ROOM_WORDS];

	memcpy(when, s->slots[(uint32_t)bell].value, sizeof(when));
	return read >= when[MOBI_ROOM_ALL] ||
	       (read >= when[MOBI_ROOM_FEW] && bytes >= when[MOBI_ROOM_BYTES]);
}

bool mobi_waits_stream(const struct mobi_waits *k, const struct mobi_wait_at *a,
		       uint64_t *out_id)
{
	const struct mob_store *s = k->s;
	uint64_t id = mobi_args_stream(s, ((uint32_t)a->task - 1) % MOBI_RECS);
	uint64_t w;

	if (!id || (uint32_t)(id - 1) >= mobi_pool_used(s, MOBI_POOL_SLOT)) {
		return false;
	}
	*out_id = id - 1;
	w = mobi_load(&s->slots[(uint32_t)*out_id].word);
	return MOBI_GEN(w) == MOBI_GEN(*out_id) && mobi_living(w);
}

bool mobi_waits_room(struct mobi_waits *k, const struct mobi_wait_at *a,
		     void (*fn)(void *arg, struct mobi_maker m), void *arg)
{
	struct mob_store *s = k->s;
	struct holders h;
	uint64_t reader;
	uint64_t id;
	bool gone;
	bool all;

	if (!mobi_waits_stream(k, a, &id) || !mobi_waits_unresolved(s, a->id) ||
	    has_room(s, id, a->id)) {
		fn(arg, none);
		return false;
	}
	reader = mobi_load(&mobi_stream_at(s, id)->reader);
	gone = reader && mobi_stream_reader_is_gone(s, reader);
	if (reader && !gone) {
		fn(arg, reader_of(k, id, reader));
		return false;
	}
	all = gone && mobi_load(&mobi_stream_at(s, id)->read);
	see_holders(k, id, &h);
	if (h.more && !all) {
		fn(arg, none);
	}
	for (uint32_t i = 0; i < h.n; i++) {
		struct mobi_maker m = h.at[i];

		/* A thread of the task's own may read, but not end what it is an
		 * argument of. */
		if (!all && m.kind == MOBI_MAKER_THREAD) {
			m.kind = MOBI_MAKER_PROC;
		}
		fn(arg, m);
	}
	k->work += h.n;
	return all;
}
