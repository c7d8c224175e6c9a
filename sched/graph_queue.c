/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes of a graph can run, and what follows from one that is done.
 *
 * A runner keeps what it makes READY in its hand, and no other hears of it, unless
 * one has nothing: then half of the hand gets bits. A runner that finds no bit
 * looks at the nodes before it sleeps, and gives bits to all that are READY, those in
 * the hands of others too: who claims one first has it. So a hand, like a bit, is a
 * hint, and what a runner has in it when it dies is not lost.
 */
#include "graph.h"

#include "fault.h"
#include "os_futex.h"

#include <limits.h>
#include <string.h>

static mobi_a64 *words_at(const struct mobi_graph_run *r, uint32_t lane,
			  uint32_t off)
{
	return mobi_graph_in(mobi_graph_lane_of(r, lane), off);
}

void mobi_graph_offer(const struct mobi_graph_run *r, struct mobi_graph_at n)
{
	mobi_a64 *word = words_at(r, n.lane, r->h->ready) + n.n / 64;
	mobi_a64 *some = words_at(r, n.lane, r->h->some) + n.n / 4096;
	uint64_t bit = MOBI_BIT(n.n / 64 % 64);

	(void)mobi_fetch_or(word, MOBI_BIT(n.n % 64));
	/* Who takes the bit of `some` away looks at the word again. */
	if (!(mobi_load(some) & bit)) {
		(void)mobi_fetch_or(some, bit);
	}
}

void mobi_graph_ring(const struct mobi_graph_run *r)
{
	/* The bell first: one that goes to sleep meanwhile sees that it changed. */
	(void)mobi_fetch_add(&r->h->bell, 1u);
	if (mobi_load(&r->h->asleep)) {
		(void)mobi_futex_wake(&r->h->bell, INT_MAX);
	}
}

uint32_t mobi_graph_look(const struct mobi_graph_run *r)
{
	struct mobi_graph_at n = { 0, 0 };
	uint32_t found = 0;

	for (; n.lane < r->h->n_lanes; n.lane++) {
		const struct mobi_graph_lane *l = mobi_graph_lane_of(r, n.lane);
		uint32_t run = mobi_load(&l->run);

		if (!mobi_graph_at_work(l)) {
			continue;
		}
		for (n.n = 0; n.n < r->h->n_nodes; n.n++) {
			uint64_t w = mobi_load(&mobi_graph_node(r, n)->word);

			if (MOBI_N_OF_RUN(w) == run &&
			    MOBI_N_STATE(w) == MOBI_N_READY) {
				mobi_graph_offer(r, n);
				found++;
			}
		}
	}
	return found;
}

/* Half of the nodes of a word of bits, at least one, into the hand, which is
 * empty. */
static bool take_word(struct mobi_graph_run *r, uint32_t lane, uint32_t word)
{
	mobi_a64 *at = words_at(r, lane, r->h->ready) + word;
	uint64_t bits = mobi_load(at);
	uint32_t want = ((uint32_t)__builtin_popcountll(bits) + 1) / 2;
	uint64_t mine = 0;

	for (; want; want--) {
		mine |= bits & -bits;
		bits &= bits - 1;
	}
	mine &= mine ? mobi_fetch_and(at, ~mine) : 0;
	MOBI_FAULT("graph.taken");
	/* The lowest is run first. */
	while (mine) {
		uint32_t top = 63 - (uint32_t)__builtin_clzll(mine);

		r->hand[r->n].lane = lane;
		r->hand[r->n++].n = word * 64 + top;
		mine &= ~MOBI_BIT(top);
	}
	return r->n > 0;
}

/* From the words that one of `some` stands for. */
static bool take_some(struct mobi_graph_run *r, uint32_t lane, uint32_t i)
{
	mobi_a64 *some = words_at(r, lane, r->h->some) + i;
	uint64_t bits = mobi_load(some);

	while (bits) {
		uint32_t k = (uint32_t)__builtin_ctzll(bits);
		mobi_a64 *word = words_at(r, lane, r->h->ready) +
				 (size_t)i * 64 + k;

		bits &= bits - 1;
		if (mobi_load(word)) {
			if (take_word(r, lane, i * 64 + k)) {
				return true;
			}
			continue;
		}
		(void)mobi_fetch_and(some, ~MOBI_BIT(k));
		if (mobi_load(word)) { /* put since then */
			(void)mobi_fetch_or(some, MOBI_BIT(k));
		}
	}
	return false;
}

static bool take_lane(struct mobi_graph_run *r, uint32_t lane)
{
	uint32_t n = (r->h->n_nodes + 4095) / 4096;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t at = (r->cursor + i) % n;

		if (take_some(r, lane, at)) {
			r->cursor = at;
			return true;
		}
	}
	return false;
}

bool mobi_graph_take(struct mobi_graph_run *r)
{
	uint32_t lane = r->lane;

	/* A run that is older is in a lane before; those that are over go out of
	 * the way. */
	for (uint32_t i = 0; i < r->h->n_lanes; i++) {
		const struct mobi_graph_lane *l = mobi_graph_lane_of(r, lane);

		if (mobi_graph_at_work(l)) {
			if (take_lane(r, lane)) {
				return true;
			}
		} else if (lane == r->lane) {
			r->lane = mobi_graph_lane_after(r->h, lane);
		}
		lane = mobi_graph_lane_after(r->h, lane);
	}
	return false;
}

bool mobi_graph_arrive(struct mobi_graph_node *node, uint32_t run,
		       uint32_t args, bool bad)
{
	uint64_t w = mobi_load(&node->word);
	uint64_t set;

	do {
		uint32_t here = args;
		uint32_t of_bad = bad ? args : 0;

		if (mobi_graph_newer(MOBI_N_OF_RUN(w), run)) {
			return false;
		}
		if (MOBI_N_OF_RUN(w) == run) {
			here |= MOBI_N_HERE(w);
			of_bad |= MOBI_N_BAD(w);
			if (MOBI_N_STATE(w) != MOBI_N_WAITING ||
			    here == MOBI_N_HERE(w)) {
				return false;
			}
		}
		set = MOBI_N_WORD(run, here, 0, of_bad, 0,
				  here == node->need ? MOBI_N_READY :
						       MOBI_N_WAITING);
	} while (!mobi_cas64(&node->word, &w, set));
	return MOBI_N_STATE(set) == MOBI_N_READY;
}

/* End k of a run is reached: up the tree, as far as all that is below has been. */
static void reach(struct mobi_graph_run *r, uint32_t lane, uint32_t run,
		  uint32_t k)
{
	mobi_a32 *done = &mobi_graph_lane_of(r, lane)->done;
	uint32_t was = mobi_load(done);
	uint32_t n = r->h->n_ends; /* children of the level */

	for (uint32_t level = 0; level < r->h->n_levels; level++) {
		uint32_t i = k / MOBI_GRAPH_FAN;
		uint32_t left = n - i * MOBI_GRAPH_FAN;
		uint64_t all = left < MOBI_GRAPH_FAN ? MOBI_BIT(left) - 1 :
						       UINT32_MAX;
		mobi_a64 *at = words_at(r, lane, r->h->end[level]) + i;
		uint64_t w = mobi_load(at);
		uint64_t set;

		do {
			if (mobi_graph_newer(MOBI_N_OF_RUN(w), run)) {
				return;
			}
			set = (MOBI_N_OF_RUN(w) == run ? w :
							 (uint64_t)run << 32) |
			      MOBI_BIT(k % MOBI_GRAPH_FAN);
		} while (!mobi_cas64(at, &w, set));
		if (set != w) { /* not by one that died here */
			MOBI_FAULT("graph.reach");
		}
		if ((uint32_t)set != all) {
			return;
		}
		k = i;
		n = (n + MOBI_GRAPH_FAN - 1) / MOBI_GRAPH_FAN;
	}
	while (mobi_graph_newer(run, was) && !mobi_cas32(done, &was, run)) {
	}
	r->ended = true;
	MOBI_FAULT("graph.over");
	mobi_graph_ring(r);
}

/* A node is READY: into the hand, while there is room. */
static void keep(struct mobi_graph_run *r, struct mobi_graph_at n)
{
	if (r->n < MOBI_GRAPH_HAND) {
		r->hand[r->n++] = n;
	} else {
		mobi_graph_offer(r, n);
	}
}

/* To those that read it in the next run. If that has not begun, who begins it comes
 * upon those that are READY. */
static void give_later(struct mobi_graph_run *r,
		       const struct mobi_graph_node *node, uint32_t lane,
		       uint64_t w)
{
	const uint32_t *next = (const void *)(r->at + r->h->next);
	uint32_t run = MOBI_N_OF_RUN(w) + 1;
	const struct mobi_graph_lane *l = mobi_graph_lane_of(r, lane);

	for (uint32_t i = 0; i < node->n_later; i++) {
		struct mobi_graph_at to = { lane, next[node->later + i] >> 8 };

		if (mobi_graph_arrive(mobi_graph_node(r, to), run,
				      next[node->later + i] & 255u,
				      MOBI_N_STATE(w) == MOBI_N_FAILED)) {
			MOBI_FAULT("graph.later");
			if (mobi_load(&l->run) == run) {
				keep(r, to);
			}
		}
	}
}

void mobi_graph_follow(struct mobi_graph_run *r, struct mobi_graph_at n,
		       uint64_t w)
{
	const struct mobi_graph_node *node = mobi_graph_node(r, n);
	const uint32_t *next =
		(const uint32_t *)(const void *)(r->at + r->h->next) +
		node->next;

	/* Before any of this run: when it is done the next one has been told. */
	give_later(r, node, mobi_graph_lane_after(r->h, n.lane), w);
	if (!node->n_next) {
		reach(r, n.lane, MOBI_N_OF_RUN(w), node->next);
	}
	for (uint32_t i = 0; i < node->n_next; i++) {
		struct mobi_graph_at to = { n.lane, next[i] >> 8 };

		if (mobi_graph_arrive(mobi_graph_node(r, to), MOBI_N_OF_RUN(w),
				      next[i] & 255u,
				      MOBI_N_STATE(w) == MOBI_N_FAILED)) {
			MOBI_FAULT("graph.follow");
			keep(r, to);
		}
	}
}

void mobi_graph_share(struct mobi_graph_run *r, bool all)
{
	uint32_t n = all ? r->n : r->n / 2;

	if (!n || !(all || mobi_load(&r->h->hungry))) {
		return;
	}
	MOBI_FAULT("graph.share");
	/* The oldest. */
	for (uint32_t i = 0; i < n; i++) {
		mobi_graph_offer(r, r->hand[i]);
	}
	r->n -= n;
	memmove(r->hand, r->hand + n, r->n * sizeof(*r->hand));
	mobi_graph_ring(r);
}
