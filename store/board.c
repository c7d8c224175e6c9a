/* SPDX-License-Identifier: Apache-2.0 */
/* The board of records to look at, and the bells of idle workers. */
#include "board.h"

#include "os_futex.h"

void mobi_client_ring(struct mob_store *s, uint32_t client)
{
	struct mobi_client *c = &s->clients[client];
	uint32_t seat = mobi_load(&c->seat);

	(void)mobi_fetch_add(&c->bell, 1u);
	if (mobi_load(&c->asleep)) {
		(void)mobi_futex_wake(&c->bell, 1);
	}
	if (seat && seat <= MOBI_EDGE_CHUNKS) {
		struct mobi_chunk *k = &s->chunks[seat - 1];

		(void)mobi_fetch_add(&k->bell, 1u);
		if (mobi_load(&k->asleep)) {
			(void)mobi_futex_wake(&k->bell, 1);
		}
	}
}

bool mobi_board_wake(struct mob_store *s)
{
	uint64_t m = mobi_load(&s->board->idle);
	uint32_t spinner = mobi_load(&s->board->spinner) % MOBI_CLIENTS;

	/* It costs no system call to tell one that looks. */
	if ((m & MOBI_BIT(spinner)) &&
	    (mobi_fetch_and(&s->board->idle, ~MOBI_BIT(spinner)) &
	     MOBI_BIT(spinner))) {
		mobi_client_ring(s, spinner);
		return true;
	}
	for (; m; m &= m - 1) {
		uint32_t c = (uint32_t)__builtin_ctzll(m);

		if (mobi_fetch_and(&s->board->idle, ~MOBI_BIT(c)) &
		    MOBI_BIT(c)) {
			mobi_client_ring(s, c);
			return true;
		}
	}
	return false;
}

void mobi_board_mark(struct mob_store *s, uint32_t rec)
{
	struct mobi_board *b = s->board;
	uint32_t leaf = rec / 64;
	uint32_t mid = leaf / 64;
	uint32_t root = mid / 64;

	(void)mobi_fetch_or(&b->leaf[leaf], MOBI_BIT(rec % 64));
	if (!(mobi_load(&b->mid[mid]) & MOBI_BIT(leaf % 64))) {
		(void)mobi_fetch_or(&b->mid[mid], MOBI_BIT(leaf % 64));
	}
	if (!(mobi_load(&b->root[root]) & MOBI_BIT(mid % 64))) {
		(void)mobi_fetch_or(&b->root[root], MOBI_BIT(mid % 64));
	}
}

/* Straight to who is idle; false if nobody is or all words are taken. */
static bool hand(struct mobi_board *b, uint32_t rec)
{
	if (!mobi_load(&b->idle)) {
		return false;
	}
	for (uint32_t i = 0; i < MOBI_BOARD_NOW; i++) {
		uint32_t none = 0;

		if (!mobi_load(&b->now[i]) &&
		    mobi_cas32(&b->now[i], &none, rec + 1)) {
			return true;
		}
	}
	return false;
}

void mobi_board_set(struct mob_store *s, uint32_t rec)
{
	if (s->is_worker || !hand(s->board, rec)) {
		mobi_board_mark(s, rec);
	}
	/* A worker looks itself, and wakes another when there is more than it
	 * takes. */
	if (!s->is_worker) {
		if (s->wake) {
			s->wake(s);
		} else {
			(void)mobi_board_wake(s);
		}
	}
}

/* Takes the bits below one mid word. Returns false when out is full: what was
 * not taken has its bits set again. */
static bool take_mid(struct mobi_board *b, uint32_t mid, uint32_t *out,
		     uint32_t max, uint32_t *n)
{
	uint64_t m = mobi_exchange(&b->mid[mid], UINT64_C(0));

	while (m) {
		uint32_t leaf = mid * 64 + (uint32_t)__builtin_ctzll(m);
		uint64_t bits;

		if (max - *n < 64) {
			(void)mobi_fetch_or(&b->mid[mid], m);
			(void)mobi_fetch_or(&b->root[mid / 64],
					    MOBI_BIT(mid % 64));
			return false;
		}
		m &= m - 1;
		bits = mobi_exchange(&b->leaf[leaf], UINT64_C(0));
		for (; bits; bits &= bits - 1) {
			out[(*n)++] = leaf * 64 +
				      (uint32_t)__builtin_ctzll(bits);
		}
	}
	return true;
}

uint32_t mobi_board_take(struct mob_store *s, uint32_t *out_recs, uint32_t max)
{
	struct mobi_board *b = s->board;
	uint32_t n = 0;

	for (uint32_t i = 0; i < MOBI_BOARD_NOW; i++) {
		uint32_t rec = mobi_load(&b->now[i]);

		if (rec) {
			rec = mobi_exchange(&b->now[i], 0u);
		}
		if (rec && rec <= MOBI_RECS) {
			out_recs[n++] = rec - 1;
		}
	}
	for (uint32_t i = 0; i < MOBI_BOARD_ROOT; i++) {
		uint64_t r = mobi_load(&b->root[i]);

		if (r) {
			r = mobi_exchange(&b->root[i], UINT64_C(0));
		}
		while (r) {
			uint32_t mid = i * 64 + (uint32_t)__builtin_ctzll(r);

			r &= r - 1;
			if (!take_mid(b, mid, out_recs, max, &n)) {
				if (r) {
					(void)mobi_fetch_or(&b->root[i], r);
				}
				return n;
			}
		}
	}
	return n;
}
