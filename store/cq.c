/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Completion queues.
 *
 * A queue owns chunks of 64 edges. Who resolves an object turns the edge from
 * LIVE to FIRED and gives it the next ticket, sets its bit in the chunk's
 * ready word and, upwards, in the queue's two levels, then rings. Each step may
 * be done twice: a killed resolver's work is done again by the janitor. A
 * popper takes the bits from the top down and sorts what it found by ticket,
 * so the order is that of completion.
 *
 * Who waits for n entries and none before is not woken by the first n - 1: the
 * queue says from which ticket on it wants to be rung. What counts is the
 * number of tickets drawn, not the own one: who drew the last may be done before
 * who drew the one before. tests/models/seal_wait.pml, ALL.
 *
 * docs/adr/0003: an intrusive list of completed entries would be shorter, but
 * leaves the question "is it on the list?" behind every killed pusher.
 */
#include "cq.h"

#include "edge.h"
#include "err.h"
#include "fault.h"
#include "gone.h"
#include "os_clock.h"
#include "os_futex.h"
#include "os_sock.h"
#include "pool.h"
#include "slot.h"
#include "wait.h"

#include <stdlib.h>
#include <string.h>

enum { CQ_FREE = 0, CQ_OPEN = 1, CQ_CLOSING = 2 };
#define CQ_WORD(gen, owner, state)                                             \
	((uint64_t)(gen) << 32 | (uint64_t)(owner) << 8 | (state))
#define CQ_OWNER(w) ((uint32_t)((w) >> 8) & 255u)

#define CQ_CHUNKS (MOBI_CQ_MID * 64u)
/* Who sleeps looks again so often whether something finds no room. */
#define LOOK_NS (200 * (uint64_t)MOB_MS)

/* An entry that completed and waits in this process to be popped. */
struct done {
	uint32_t seq;
	uint32_t edge; /* index in the queue: chunk place * 64 + i */
};

struct mob_cq {
	struct mob_store *store;
	struct mobi_cq_shared *shared;
	uint32_t index;
	pthread_mutex_t lock;
	uint32_t *chunk; /* chunk number of each place */
	uint32_t *gen;   /* and its generation */
	uint32_t n_chunks;
	uint32_t max_chunks;
	uint64_t *user; /* of each edge */
	uint8_t *
		no_room; /* of each edge: mobi_gone_tries, as it was told last */
	uint32_t *free_at; /* stack of free edges */
	uint32_t n_free;
	struct done *heap; /* least ticket first */
	uint32_t n_heap;
	uint64_t outstanding;
	uint64_t popped;
	uint32_t want; /* of mobi_cq_ring_from; 0: of the program */
	uint32_t kind;
	uint64_t look_ns; /* when to look next for what finds no room */
	int fd;
};

/* ---- the resolver's side ---- */

/* Two threads may make one at the same time: the first stays. */
static int pinger(struct mob_store *s)
{
	uint32_t have = mobi_load(&s->notify_fd);

	if (!have) {
		int fd = mobi_sock_pinger();

		if (fd < 0) {
			return -1;
		}
		if (mobi_cas32(&s->notify_fd, &have, (uint32_t)fd + 1)) {
			return fd;
		}
		mobi_sock_close(fd);
	}
	return (int)have - 1;
}

static void send_datagram(struct mob_store *s, uint32_t cq)
{
	char name[64];

	mobi_sock_name(name, sizeof(name), "cq", cq);
	mobi_sock_ping(s->dir_fd, pinger(s), name);
}

void mobi_cq_ring(struct mob_store *s, uint32_t index)
{
	struct mobi_cq_shared *q = &s->cqs[index];

	(void)mobi_fetch_add(&q->bell, 1u);
	if (mobi_load(&q->sleepers)) {
		(void)mobi_futex_wake(&q->bell, 1);
	}
	if (mobi_load(&q->armed) && mobi_exchange(&q->armed, 0u)) {
		send_datagram(s, index);
	}
}

static void set_ready(struct mob_store *s, uint32_t index, uint32_t chunk,
		      uint64_t bits)
{
	struct mobi_chunk *c = &s->chunks[chunk];
	uint32_t place = mobi_load(&c->place);
	uint32_t mid = place / 64;

	struct mobi_cq_shared *q;

	(void)mobi_fetch_or(&c->ready, bits);
	if (index >= MOBI_CQS || mid >= MOBI_CQ_MID) {
		return; /* the chunk is another's meanwhile */
	}
	q = &s->cqs[index];
	if (!(mobi_load(&q->mid[mid]) & MOBI_BIT(place % 64))) {
		(void)mobi_fetch_or(&q->mid[mid], MOBI_BIT(place % 64));
	}
	if (!(mobi_load(&q->root[mid / 64]) & MOBI_BIT(mid % 64))) {
		(void)mobi_fetch_or(&q->root[mid / 64], MOBI_BIT(mid % 64));
	}
}

/* Something other than a value is told at once. */
static bool wants_ring(struct mob_store *s, uint32_t index, uint64_t ref)
{
	struct mobi_cq_shared *q = &s->cqs[index];
	uint32_t from = mobi_load(&q->ring_from);

	return mobi_load(&q->ticket) >= from ||
	       MOBI_STATE(mobi_load(&s->slots[(uint32_t)ref].word)) !=
		       MOBI_S_SEALED;
}

void mobi_cq_fire(struct mob_store *s, uint32_t chunk, uint32_t i,
		  struct mobi_edge *e, uint64_t w)
{
	uint32_t index = (uint32_t)mobi_load(&s->chunks[chunk].of);

	if (index >= MOBI_CQS) {
		return;
	}
	if (MOBI_STATE(w) == MOBI_E_LIVE) {
		/* The ticket is written first: a second resolver of the same
		 * edge (the janitor for a dead one) may write another; the
		 * popper reads it once, after the CAS. */
		mobi_store(&e->seq, mobi_fetch_add(&s->cqs[index].ticket, 1u));
		if (!mobi_cas64(&e->word, &w, MOBI_ESTATE(w, MOBI_E_FIRED)) &&
		    MOBI_STATE(w) != MOBI_E_FIRED) {
			return;
		}
	}
	set_ready(s, index, chunk, MOBI_BIT(i));
	if (wants_ring(s, index, mobi_load(&e->ref))) {
		mobi_cq_ring(s, index);
	}
}

void mobi_cq_reap(struct mob_store *s, uint64_t dead)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_CHUNK);

	for (uint32_t c = 0; c < end; c++) {
		uint64_t w = mobi_load(&s->chunks[c].word);
		uint64_t bits = 0;

		if (MOBI_STATE(w) != MOBI_C_LIVE ||
		    MOBI_CKIND(w) != MOBI_CK_CQ) {
			continue;
		}
		for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
			struct mobi_edge *e =
				mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(c, i));

			if (MOBI_STATE(mobi_load(&e->word)) == MOBI_E_FIRED) {
				bits |= MOBI_BIT(i);
			}
		}
		if (bits) {
			set_ready(s, (uint32_t)mobi_load(&s->chunks[c].of), c,
				  bits);
		}
	}
	for (uint32_t i = 0; i < MOBI_CQS; i++) {
		uint64_t w = mobi_load(&s->cqs[i].word);

		if (MOBI_STATE(w) == CQ_FREE) {
			continue;
		}
		if (dead & MOBI_BIT(CQ_OWNER(w) % MOBI_CLIENTS)) {
			char name[64];

			mobi_sock_name(name, sizeof(name), "cq", i);
			mobi_sock_remove(s->dir_fd, name);
			(void)mobi_cas64(&s->cqs[i].word, &w,
					 CQ_WORD(MOBI_GEN(w) + 1, 0, CQ_FREE));
		} else {
			/* A ping may have been taken and not sent. */
			mobi_store(&s->cqs[i].armed, 1u);
			mobi_cq_ring(s, i);
		}
	}
}

uint32_t mobi_cq_owner(const struct mob_store *s, uint32_t index)
{
	uint64_t w = mobi_load(&s->cqs[index].word);

	return MOBI_STATE(w) == CQ_FREE ? 0 : CQ_OWNER(w);
}

void mobi_cq_entries(const struct mob_store *s, uint32_t index,
		     bool (*fn)(void *arg, uint64_t id, bool fired), void *arg)
{
	uint32_t end = mobi_pool_used(s, MOBI_POOL_CHUNK);
	uint32_t c = mobi_load(&s->cqs[index].chunks);

	for (uint32_t n = 0; n < CQ_CHUNKS && c && c <= end; n++) {
		const struct mobi_chunk *k = &s->chunks[c - 1];
		uint64_t w = mobi_load(&k->word);

		if (MOBI_STATE(w) != MOBI_C_LIVE ||
		    MOBI_CKIND(w) != MOBI_CK_CQ || mobi_load(&k->of) != index) {
			return; /* it is closed meanwhile */
		}
		for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
			const struct mobi_edge *e =
				mobi_edge_at(s, MOBI_EDGE_OF_CHUNK(c - 1, i));
			uint32_t st = MOBI_STATE(mobi_load(&e->word));

			if ((st == MOBI_E_LIVE || st == MOBI_E_FIRED) &&
			    !fn(arg, mobi_load(&e->ref), st == MOBI_E_FIRED)) {
				return;
			}
		}
		c = mobi_load(&k->next);
	}
}

/* ---- the owner's side ---- */

static int cq_claim(struct mob_store *s, uint32_t *out_index)
{
	uint64_t off = s->hdr->section[MOBI_SEC_CQS].off;

	for (uint32_t i = 0; i < MOBI_CQS; i++) {
		struct mobi_cq_shared *q = &s->cqs[i];
		uint64_t w;
		int rc = mobi_ctl_back(s, off + i * sizeof(*q), sizeof(*q));

		if (rc < 0) {
			return rc;
		}
		w = mobi_load(&q->word);
		if (MOBI_STATE(w) == CQ_FREE &&
		    mobi_cas64(&q->word, &w,
			       CQ_WORD(MOBI_GEN(w), s->me, CQ_OPEN))) {
			mobi_store(&q->armed, 0u);
			mobi_store(&q->sleepers, 0u);
			mobi_store(&q->ring_from, 0u);
			mobi_store(&q->ticket, 0u);
			mobi_store(&q->chunks, 0u);
			for (uint32_t k = 0; k < MOBI_CQ_MID / 64; k++) {
				mobi_store(&q->root[k], UINT64_C(0));
			}
			for (uint32_t k = 0; k < MOBI_CQ_MID; k++) {
				mobi_store(&q->mid[k], UINT64_C(0));
			}
			*out_index = i;
			return 0;
		}
	}
	return mobi_err(MOB_E_LIMIT,
			"mob_cq_open: all %u completion queues of the session "
			"are open; close some",
			MOBI_CQS);
}

int mob_cq_open(struct mob_store *store, struct mob_cq **out_cq)
{
	struct mob_cq *q;
	int rc;

	MOBI_ENTER(store);
	q = calloc(1, sizeof(*q));
	if (!q || pthread_mutex_init(&q->lock, NULL)) {
		free(q);
		return mobi_err(MOB_E_NOMEM, "mob_cq_open: out of memory");
	}
	rc = cq_claim(store, &q->index);
	if (rc < 0) {
		(void)pthread_mutex_destroy(&q->lock);
		free(q);
		return rc;
	}
	q->store = store;
	q->shared = &store->cqs[q->index];
	q->fd = -1;
	*out_cq = q;
	return 0;
}

void mobi_cq_ring_from(struct mob_cq *cq, uint32_t n, uint32_t kind)
{
	cq->want = n;
	cq->kind = kind;
	mobi_store(&cq->shared->ring_from, n);
}

void mob_cq_close(struct mob_cq *cq)
{
	struct mob_store *s;
	uint64_t w;

	if (!cq) {
		return;
	}
	s = cq->store;
	if (mobi_load_relaxed(s->not_forked)) {
		for (uint32_t i = 0; i < cq->n_chunks; i++) {
			mobi_chunk_retire(s, cq->chunk[i], cq->gen[i]);
		}
		if (cq->fd >= 0) {
			char name[64];

			mobi_sock_name(name, sizeof(name), "cq", cq->index);
			mobi_sock_remove(s->dir_fd, name);
		}
		w = mobi_load(&cq->shared->word);
		(void)mobi_cas64(&cq->shared->word, &w,
				 CQ_WORD(MOBI_GEN(w) + 1, 0, CQ_FREE));
	}
	mobi_cq_forget(cq);
}

void mobi_cq_forget(struct mob_cq *cq)
{
	if (cq->fd >= 0) {
		mobi_sock_close(cq->fd);
	}
	(void)pthread_mutex_destroy(&cq->lock);
	free(cq->chunk);
	free(cq->gen);
	free(cq->user);
	free(cq->no_room);
	free(cq->free_at);
	free(cq->heap);
	free(cq);
}

/* Makes room in the private arrays for one chunk more. */
static int grow(struct mob_cq *q)
{
	uint32_t max = q->max_chunks ? 2 * q->max_chunks : 4;
	uint32_t *chunk = realloc(q->chunk, max * sizeof(*chunk));
	uint32_t *gen = realloc(q->gen, max * sizeof(*gen));
	uint64_t *user = realloc(q->user, (size_t)max * 64 * sizeof(*user));
	uint8_t *no_room = realloc(q->no_room, (size_t)max * 64);
	uint32_t *free_at = realloc(q->free_at,
				    (size_t)max * 64 * sizeof(*free_at));
	struct done *heap = realloc(q->heap, (size_t)max * 64 * sizeof(*heap));

	q->chunk = chunk ? chunk : q->chunk;
	q->gen = gen ? gen : q->gen;
	q->user = user ? user : q->user;
	q->no_room = no_room ? no_room : q->no_room;
	q->free_at = free_at ? free_at : q->free_at;
	q->heap = heap ? heap : q->heap;
	if (!chunk || !gen || !user || !no_room || !free_at || !heap) {
		return mobi_err(MOB_E_NOMEM, "mob_cq_add: out of memory");
	}
	q->max_chunks = max;
	return 0;
}

static int add_chunk(struct mob_cq *q)
{
	struct mob_store *s = q->store;
	uint32_t c;
	uint32_t gen;
	int rc = 0;

	if (q->n_chunks == CQ_CHUNKS) {
		return mobi_err(MOB_E_LIMIT,
				"mob_cq_add: %u entries are outstanding, the "
				"most a queue has; pop some",
				CQ_CHUNKS * MOBI_EDGE_CHUNK);
	}
	if (q->n_chunks == q->max_chunks) {
		rc = grow(q);
	}
	if (rc >= 0) {
		rc = mobi_chunk_new(s, &c, &gen);
	}
	if (rc < 0) {
		return rc;
	}
	mobi_store(&s->chunks[c].place, q->n_chunks);
	mobi_chunk_live(s, c, MOBI_CK_CQ, q->index,
			mobi_load(&q->shared->chunks));
	mobi_store(&q->shared->chunks, c + 1);
	q->chunk[q->n_chunks] = c;
	q->gen[q->n_chunks] = gen;
	for (uint32_t i = MOBI_EDGE_CHUNK; i-- > 0;) {
		q->free_at[q->n_free++] = q->n_chunks * MOBI_EDGE_CHUNK + i;
	}
	q->n_chunks++;
	return 0;
}

static uint32_t edge_number(const struct mob_cq *q, uint32_t at)
{
	return MOBI_EDGE_OF_CHUNK(q->chunk[at / MOBI_EDGE_CHUNK],
				  at % MOBI_EDGE_CHUNK);
}

/* An edge whose object was released is free once it is off the list; until
 * then it is passed over and comes back to the end of the stack. */
static int take_edge(struct mob_cq *q, uint32_t *out_at)
{
	for (uint32_t tries = 0;; tries++) {
		uint32_t at;
		struct mobi_edge *e;

		if (!q->n_free || tries == 64) {
			int rc = add_chunk(q);

			if (rc < 0) {
				return rc;
			}
			tries = 0;
		}
		at = q->free_at[q->n_free - 1];
		e = mobi_edge_at(q->store, edge_number(q, at));
		if (MOBI_STATE(mobi_load(&e->word)) == MOBI_E_FREE) {
			q->n_free--;
			*out_at = at;
			return 0;
		}
		q->free_at[q->n_free - 1] = q->free_at[tries % q->n_free];
		q->free_at[tries % q->n_free] = at;
	}
}

int mob_cq_add(struct mob_cq *cq, struct mob_ref ref, uint64_t user)
{
	struct mob_store *s = cq->store;
	uint64_t id;
	uint32_t at = 0;
	bool gone = false;
	int rc;

	MOBI_ENTER(s);
	rc = mobi_slot_of(s, ref, &id);
	if (rc < 0) {
		return rc;
	}
	rc = mobi_slot_hold(s, id);
	if (rc < 0) {
		return rc;
	}
	(void)pthread_mutex_lock(&cq->lock);
	rc = take_edge(cq, &at);
	if (rc >= 0) {
		uint32_t c = cq->chunk[at / MOBI_EDGE_CHUNK];
		uint32_t gen = cq->gen[at / MOBI_EDGE_CHUNK];
		uint32_t n = edge_number(cq, at);
		struct mobi_edge *e = mobi_edge_at(s, n);

		cq->user[at] = user;
		cq->no_room[at] = (uint8_t)mobi_gone_tries(s, id);
		cq->outstanding++;
		mobi_edge_push(s, n, gen, 0, id);
		/* Resolved before the push was seen: I fire it myself. */
		if (mobi_resolved(mobi_load(&s->slots[(uint32_t)id].word))) {
			mobi_cq_fire(s, c, at % MOBI_EDGE_CHUNK, e,
				     mobi_load(&e->word));
		}
		gone = mobi_load(&s->slots[(uint32_t)id].word) & MOBI_F_GONE;
	}
	(void)pthread_mutex_unlock(&cq->lock);
	if (gone) {
		mobi_gone_want(s, id);
	}
	(void)mobi_slot_release(s, id);
	return rc < 0 ? rc : 0;
}

/* ---- popping ---- */

static void heap_push(struct mob_cq *q, struct done d)
{
	uint32_t i = q->n_heap++;

	while (i) {
		uint32_t p = (i - 1) / 2;

		if ((int32_t)(d.seq - q->heap[p].seq) >= 0) {
			break;
		}
		q->heap[i] = q->heap[p];
		i = p;
	}
	q->heap[i] = d;
}

static struct done heap_pop(struct mob_cq *q)
{
	struct done top = q->heap[0];
	struct done last = q->heap[--q->n_heap];
	uint32_t i = 0;

	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c >= q->n_heap) {
			break;
		}
		if (c + 1 < q->n_heap &&
		    (int32_t)(q->heap[c + 1].seq - q->heap[c].seq) < 0) {
			c++;
		}
		if ((int32_t)(q->heap[c].seq - last.seq) >= 0) {
			break;
		}
		q->heap[i] = q->heap[c];
		i = c;
	}
	q->heap[i] = last;
	return top;
}

static void collect_chunk(struct mob_cq *q, uint32_t place)
{
	struct mob_store *s = q->store;
	uint64_t bits;

	if (place >= q->n_chunks) {
		return;
	}
	bits = mobi_exchange(&s->chunks[q->chunk[place]].ready, UINT64_C(0));
	for (; bits; bits &= bits - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(bits);
		uint32_t at = place * MOBI_EDGE_CHUNK + i;
		struct mobi_edge *e = mobi_edge_at(s, edge_number(q, at));
		uint64_t w = mobi_load(&e->word);
		struct done d = { mobi_load(&e->seq), at };

		/* A bit that was set twice finds another state or QUIET. */
		if (MOBI_STATE(w) == MOBI_E_FIRED && !(w & MOBI_EF_QUIET) &&
		    mobi_cas64(&e->word, &w, w | MOBI_EF_QUIET)) {
			heap_push(q, d);
		}
	}
}

static void collect(struct mob_cq *q)
{
	struct mobi_cq_shared *sh = q->shared;

	for (uint32_t k = 0; k < MOBI_CQ_MID / 64; k++) {
		uint64_t r = mobi_load(&sh->root[k]);

		if (r) {
			r = mobi_exchange(&sh->root[k], UINT64_C(0));
		}
		for (; r; r &= r - 1) {
			uint32_t mid = k * 64 + (uint32_t)__builtin_ctzll(r);
			uint64_t m = mobi_exchange(&sh->mid[mid], UINT64_C(0));

			for (; m; m &= m - 1) {
				collect_chunk(
					q, mid * 64 + (uint32_t)__builtin_ctzll(
							      m));
			}
		}
	}
}

/* 1: an entry; 0: none outstanding; AGAIN. Under the lock. slept: others have been told
 * that this thread waits for what the queue has. */
static int try_pop(struct mob_cq *q, bool slept, struct mob_cq_entry *out)
{
	struct mob_store *s = q->store;
	struct done d;
	uint32_t n;
	uint64_t id;

	collect(q);
	if (!q->n_heap) {
		return q->outstanding ? MOB_E_AGAIN : 0;
	}
	d = heap_pop(q);
	n = edge_number(q, d.edge);
	id = mobi_load(&mobi_edge_at(s, n)->ref);
	/* The edge keeps it alive until the caller's hold does. */
	MOB_ASSERT(mobi_slot_hold(s, id) == 0);
	out->ref = mobi_ref_of(s, id);
	out->user = q->user[d.edge];
	/* Before it leaves the queue: without it who looks might take what is left
	 * for all that is waited for. */
	if (slept && mobi_block_hooks) {
		mobi_block_hooks->resumed(s);
	}
	mobi_edge_release(s, n, q->gen[d.edge / MOBI_EDGE_CHUNK]);
	MOBI_FAULT("cq.popped");
	q->free_at[q->n_free++] = d.edge;
	q->popped++;
	if (--q->outstanding == 0 && mobi_load(&q->shared->sleepers)) {
		/* Others that wait learn that nothing is left. */
		(void)mobi_fetch_add(&q->shared->bell, 1u);
		(void)mobi_futex_wake(&q->shared->bell, INT32_MAX);
	}
	return 1;
}

static int check_timeout(const char *call, int64_t timeout_ns)
{
	if (timeout_ns < 0 && timeout_ns != MOB_FOREVER) {
		return mobi_err(MOB_E_INVAL,
				"%s: timeout_ns is %lld; at least 0, or "
				"MOB_FOREVER",
				call, (long long)timeout_ns);
	}
	return 0;
}

/* The next object after edge *at that is not resolved yet. */
static bool next_live(struct mob_cq *q, uint32_t *at, uint64_t *out_id)
{
	bool found = false;

	(void)pthread_mutex_lock(&q->lock);
	for (; !found && *at < q->n_chunks * MOBI_EDGE_CHUNK; (*at)++) {
		struct mobi_edge *e = mobi_edge_at(q->store,
						   edge_number(q, *at));

		if (MOBI_STATE(mobi_load(&e->word)) == MOBI_E_LIVE) {
			*out_id = mobi_load(&e->ref);
			found = true;
		}
	}
	(void)pthread_mutex_unlock(&q->lock);
	return found;
}

/* How many entries a pop needs to go on, of those that are left. */
static uint32_t needed(const struct mob_cq *q)
{
	/* One popper; the popped ones it has. */
	return q->want > q->popped ? q->want - (uint32_t)q->popped : 1;
}

/* Of those that are left, how many found no room since that was told last; told: it is
 * now. */
static uint64_t count_full(struct mob_cq *q, bool told, uint64_t *out_first)
{
	struct mob_store *s = q->store;
	uint64_t n = 0;

	for (uint32_t at = 0; at < q->n_chunks * MOBI_EDGE_CHUNK; at++) {
		const struct mobi_edge *e = mobi_edge_at(s, edge_number(q, at));
		uint64_t id = mobi_load(&e->ref);
		uint32_t tries;

		if (MOBI_STATE(mobi_load(&e->word)) != MOBI_E_LIVE) {
			continue;
		}
		tries = mobi_gone_tries(s, id);
		if (tries > q->no_room[at]) {
			*out_first = n++ ? *out_first : id;
			q->no_room[at] = told ? (uint8_t)tries : q->no_room[at];
		}
	}
	return n;
}

/*
 * What went and finds no room when it is made again may come yet, but whoever waits may
 * be who views what fills the store. If fewer than are needed can come without, that is
 * told: once for each time that was tried.
 */
static int find_no_room(struct mob_cq *q)
{
	uint64_t first = 0;
	uint64_t full = count_full(q, false, &first);

	if (!full || q->outstanding >= full + needed(q)) {
		return 0;
	}
	(void)count_full(q, true, &first);
	return mobi_gone_full(first);
}

/* Now and then, as it looks at all of them. */
static int look_for_room(struct mob_cq *q)
{
	uint64_t now;
	int rc = 0;

	if (!mobi_load_relaxed(&q->store->hdr->has_kept)) {
		return 0;
	}
	now = mobi_now_ns();
	(void)pthread_mutex_lock(&q->lock);
	if (now >= q->look_ns) {
		q->look_ns = now + LOOK_NS;
		rc = find_no_room(q);
	}
	(void)pthread_mutex_unlock(&q->lock);
	return rc;
}

/* About to sleep in a task: sched may have to run one of the things that are
 * waited for right here. 1: look again; 0: sleep; or its error. */
static int block(struct mob_cq *q, int64_t timeout_ns)
{
	const struct mobi_block_hooks *h = mobi_block_hooks;
	struct mobi_wait w = { MOBI_ANY_OF(q->index), 1, MOBI_WAIT_QUEUE,
			       timeout_ns };
	uint32_t at = 0;
	uint64_t id;
	int rc;

	if (!h || timeout_ns == 0) {
		return 0;
	}
	if (q->want) {
		w.need = needed(q);
		w.kind = q->kind;
	}
	rc = h->blocking(q->store, &w);
	if (rc <= 0) {
		return rc;
	}
	while (next_live(q, &at, &id)) {
		if (h->run_for(q->store, id)) {
			return 1;
		}
	}
	return h->run_none(q->store, &w);
}

static int pop_wait(struct mob_cq *cq, int64_t timeout_ns, int64_t end,
		    struct mob_cq_entry *out_entry)
{
	for (bool slept = false;; slept = true) {
		uint32_t bell = mobi_load(&cq->shared->bell);
		int rc;

		(void)pthread_mutex_lock(&cq->lock);
		if (cq->fd >= 0) {
			/* Before the look: what completes later rings again. */
			mobi_sock_drain(cq->fd);
			mobi_store(&cq->shared->armed, 1u);
		}
		rc = try_pop(cq, slept, out_entry);
		(void)pthread_mutex_unlock(&cq->lock);
		if (rc != MOB_E_AGAIN) {
			return rc;
		}
		rc = block(cq, timeout_ns);
		if (rc < 0) {
			return rc;
		}
		if (rc > 0 ||
		    (timeout_ns != 0 && mobi_spin(&cq->shared->bell, bell))) {
			continue;
		}
		rc = mobi_sleep_on(cq->store, &cq->shared->bell,
				   &cq->shared->sleepers, bell, timeout_ns,
				   end);
		rc = rc < 0 ? rc : look_for_room(cq);
		if (rc < 0) {
			return rc;
		}
	}
}

int mob_cq_pop(struct mob_cq *cq, int64_t timeout_ns,
	       struct mob_cq_entry *out_entry)
{
	struct mob_store *s = cq->store;
	int rc;

	MOBI_ENTER(s);
	rc = check_timeout("mob_cq_pop", timeout_ns);
	if (rc < 0) {
		return rc;
	}
	rc = pop_wait(cq, timeout_ns, mobi_deadline(timeout_ns), out_entry);
	if (mobi_block_hooks) {
		mobi_block_hooks->resumed(s);
	}
	return rc;
}

uint64_t mob_cq_outstanding(const struct mob_cq *cq)
{
	struct mob_cq *q;
	uint64_t n;

	memcpy(&q, &cq, sizeof(q));
	(void)pthread_mutex_lock(&q->lock);
	n = q->outstanding;
	(void)pthread_mutex_unlock(&q->lock);
	return n;
}

int mob_cq_fd(struct mob_cq *cq)
{
	struct mob_store *s = cq->store;
	int rc;

	MOBI_ENTER(s);
	(void)pthread_mutex_lock(&cq->lock);
	rc = cq->fd;
	if (rc < 0) {
		char name[64];

		mobi_sock_name(name, sizeof(name), "cq", cq->index);
		rc = mobi_sock_open(s->dir_fd, name);
		if (rc >= 0) {
			cq->fd = rc;
			mobi_store(&cq->shared->armed, 1u);
			/* What completed before must be seen too. */
			mobi_cq_ring(s, cq->index);
		}
	}
	(void)pthread_mutex_unlock(&cq->lock);
	return rc;
}
