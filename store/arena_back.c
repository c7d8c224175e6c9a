/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backing of units and tags with memory.
 *
 * The backed bit of a unit is set after the memory is there, and cleared before
 * it is given away, in both cases by who has the unit: a run that is claimed,
 * or a block with a tag. So no unit loses its memory under a bit that stays.
 * Memory without a bit, after a kill, is found the next time it is backed.
 * Tags, once backed, stay so.
 */
#include "arena_run.h"

#include "fault.h"
#include "os_huge.h"
#include "os_shm.h"

/* Held at a time while memory is fetched or given away, so that others do not
 * find the arena full because of it. */
#define WARM_UNITS 16u
#define PUNCH_UNITS 64u
/* Bits from..to - 1 of a word. */
static uint64_t bits_between(uint64_t from, uint64_t to)
{
	uint64_t below = to >= 64 ? ~UINT64_C(0) : MOBI_BIT(to) - 1;

	return below & ~(MOBI_BIT(from) - 1);
}

void mobi_arena_use_huge(struct mobi_arena *a, uint64_t page_bytes)
{
	mobi_huge_ask(a->rw, a->units << MOBI_UNIT_SHIFT);
	mobi_huge_ask(a->ro, a->units << MOBI_UNIT_SHIFT);
	a->huge = page_bytes >> MOBI_UNIT_SHIFT;
}

/* A writing fault gives a huge page where nothing is yet; the units beside then
 * have memory without a bit, and are backed at no cost. fallocate has no mapping
 * that could have asked. */
static int back_units(struct mobi_arena *a, uint64_t off, uint64_t len)
{
	if (a->huge && mobi_shm_back_at(a->rw + off, (size_t)len)) {
		return 0;
	}
	return mobi_shm_back(a->fd, off, len);
}

/* Units first..last of one word of bits: backs those without a bit. */
static int back_word(struct mobi_arena *a, mobi_a64 *bits, uint64_t base,
		     uint64_t from, uint64_t to)
{
	uint64_t want = bits_between(from, to) & ~mobi_load(bits);
	int rc;

	while (want) {
		uint64_t lo = (uint64_t)__builtin_ctzll(want);
		uint64_t rest = ~(want >> lo);
		uint64_t n = rest ? (uint64_t)__builtin_ctzll(rest) : 64 - lo;

		if (MOBI_FAULT_ERR("arena.back_units")) {
			return mobi_err(MOB_E_DISK_FULL, "failpoint "
							 "arena.back_units");
		}
		rc = back_units(a, (base + lo) << MOBI_UNIT_SHIFT,
				n << MOBI_UNIT_SHIFT);
		if (rc < 0) {
			return rc;
		}
		/* Killed before this, the memory is backed once more later. */
		(void)mobi_fetch_or(bits, bits_between(lo, lo + n));
		want &= ~bits_between(lo, lo + n);
	}
	return 0;
}

int mobi_run_back(struct mobi_arena *a, uint64_t off, uint64_t bytes)
{
	uint64_t u = off >> MOBI_UNIT_SHIFT;
	uint64_t end = (off + bytes + MOBI_UNIT_BYTES - 1) >> MOBI_UNIT_SHIFT;

	while (u < end) {
		struct mobi_arena_group *g = mobi_group(a, u);
		uint64_t base = u & ~UINT64_C(63);
		uint64_t to = end - base < 64 ? end - base : 64;
		int rc = back_word(a, &g->backed[u % MOBI_GROUP_UNITS / 64],
				   base, u - base, to);

		if (rc < 0) {
			return rc;
		}
		u = base + 64;
	}
	return 0;
}

static int back_tags(struct mobi_arena *a, mobi_a64 *word, uint64_t bit,
		     mobi_a64 *at, uint64_t bytes)
{
	int rc;

	if (mobi_load(word) & bit) {
		return 0;
	}
	if (MOBI_FAULT_ERR("arena.back_tags")) {
		return mobi_err(MOB_E_DISK_FULL, "failpoint arena.back_tags");
	}
	rc = mobi_shm_back(a->ctl_fd, mobi_meta_off(a, at), bytes);
	if (rc == 0) {
		(void)mobi_fetch_or(word, bit);
	}
	return rc;
}

int mobi_run_back_tags(struct mobi_arena *a, uint64_t unit, uint32_t class)
{
	struct mobi_arena_group *g = mobi_group(a, unit);
	mobi_a64 *at = mobi_tags(a, unit, class);
	uint64_t u = unit % MOBI_GROUP_UNITS;
	uint64_t half = MOBI_TAGS_FINE / 2;
	int rc;

	if (class >= MOBI_CLASS_COARSE) {
		at -= u % 64 * MOBI_TAGS_COARSE;
		return back_tags(a, &g->coarse, MOBI_BIT(u / 64), at,
				 UINT64_C(64) * MOBI_TAGS_COARSE * 8);
	}
	rc = back_tags(a, &g->fine_lo[u / 64], MOBI_BIT(u % 64), at, half * 8);
	if (rc == 0 && a->class[class].blocks > half) {
		rc = back_tags(a, &g->fine_hi[u / 64], MOBI_BIT(u % 64),
			       at + half, half * 8);
	}
	return rc;
}

bool mobi_run_has_tags(const struct mobi_arena *a, uint64_t unit,
		       uint32_t class)
{
	struct mobi_arena_group *g = mobi_group(a, unit);
	uint64_t u = unit % MOBI_GROUP_UNITS;
	uint64_t bit = MOBI_BIT(u % 64);

	if (class >= MOBI_CLASS_COARSE) {
		return mobi_load(&g->coarse) & MOBI_BIT(u / 64);
	}
	return (mobi_load(&g->fine_lo[u / 64]) & bit) &&
	       (a->class[class].blocks <= MOBI_TAGS_FINE / 2 ||
		(mobi_load(&g->fine_hi[u / 64]) & bit));
}

/* The next free units, all backed or all not, of a group from *at on. */
static uint64_t group_next_free(const struct mobi_arena *a, uint64_t end,
				bool backed, uint64_t *at)
{
	uint64_t n = 0;

	if (*at >= end ||
	    MOBI_UKIND(mobi_load(&mobi_group(a, *at)->word)) == MOBI_U_TAKEN) {
		return 0;
	}
	while (*at + n < end) {
		uint64_t u = *at + n;
		uint64_t in = u % MOBI_GROUP_UNITS;
		mobi_a64 *bits = &mobi_group(a, u)->backed[in / 64];
		bool is = mobi_load(bits) >> in % 64 & 1;

		if (MOBI_UKIND(mobi_load(mobi_unit(a, u))) == MOBI_U_FREE &&
		    is == backed) {
			n++;
		} else if (n) {
			break;
		} else {
			(*at)++;
		}
	}
	return n;
}

static uint64_t group_end(const struct mobi_arena *a, uint64_t g)
{
	uint64_t end = (g + 1) * MOBI_GROUP_UNITS;

	return end < a->units ? end : a->units;
}

/* The units are this process's, claimed. Bits first: memory that is backed
 * without a bit is only counted wrongly until it is backed again. */
static void units_punch(struct mobi_arena *a, uint64_t unit, uint64_t n)
{
	for (uint64_t u = unit; u < unit + n; u++) {
		uint64_t in = u % MOBI_GROUP_UNITS;

		(void)mobi_fetch_and(&mobi_group(a, u)->backed[in / 64],
				     ~MOBI_BIT(in % 64));
	}
	(void)mobi_shm_punch(a->fd, unit << MOBI_UNIT_SHIFT,
			     n << MOBI_UNIT_SHIFT);
}

static bool all_free(const struct mobi_arena *a, uint64_t from, uint64_t to)
{
	for (uint64_t u = from; u < to; u++) {
		if (MOBI_UKIND(mobi_load(mobi_unit(a, u))) != MOBI_U_FREE) {
			return false;
		}
	}
	return true;
}

/* Whole huge pages around free units, if all of these are free: what was never
 * used in one has memory without a bit, and half of one costs a split. */
static void widen(const struct mobi_arena *a, uint64_t end, uint64_t *at,
		  uint64_t *n)
{
	uint64_t from;
	uint64_t to;

	if (a->huge == 0 || MOBI_GROUP_UNITS % a->huge) {
		return;
	}
	from = *at / a->huge * a->huge;
	to = (*at + *n + a->huge - 1) / a->huge * a->huge;
	if (to <= end && all_free(a, from, *at) && all_free(a, *at + *n, to)) {
		*at = from;
		*n = to - from;
	}
}

bool mobi_run_is_backed(const struct mobi_arena *a, uint64_t off,
			uint64_t bytes)
{
	uint64_t end = (off + bytes + MOBI_UNIT_BYTES - 1) >> MOBI_UNIT_SHIFT;

	for (uint64_t u = off >> MOBI_UNIT_SHIFT; u < end; u++) {
		uint64_t in = u % MOBI_GROUP_UNITS;

		if (!(mobi_load(&mobi_group(a, u)->backed[in / 64]) &
		      MOBI_BIT(in % 64))) {
			return false;
		}
	}
	return true;
}

uint64_t mobi_run_punch(struct mobi_arena *a, uint64_t bytes)
{
	uint64_t g = mobi_load(&a->head->ready);
	uint64_t want = (bytes + MOBI_UNIT_BYTES - 1) >> MOBI_UNIT_SHIFT;
	uint64_t got = 0;

	while (g-- > 0 && got < want) {
		uint64_t at = g * MOBI_GROUP_UNITS;
		uint64_t n;

		while (got < want &&
		       (n = group_next_free(a, group_end(a, g), true, &at))) {
			uint64_t word;

			n = n < want - got ? n : want - got;
			n = n < PUNCH_UNITS ? n : PUNCH_UNITS;
			widen(a, group_end(a, g), &at, &n);
			if (mobi_run_claim_at(a, at, n, MOBI_CLASS_LARGE,
					      &word)) {
				units_punch(a, at, n);
				mobi_run_release(a, at, word, false);
				got += n;
			}
			at += n;
		}
	}
	return got << MOBI_UNIT_SHIFT;
}

uint64_t mobi_arena_huge_bytes(const struct mobi_arena *a, uint64_t page_bytes)
{
	uint64_t end = mobi_units_ready(a);
	uint64_t piece = page_bytes >> MOBI_UNIT_SHIFT;

	for (uint64_t u = 0; piece && u < end;) {
		uint64_t off = u << MOBI_UNIT_SHIFT;

		if (!mobi_run_is_backed(a, off, 1)) {
			u++;
			continue;
		}
		mobi_shm_populate(a->ro + off, 1);
		u = (u / piece + 1) * piece;
	}
	return mobi_huge_mapped(a->ro, a->units << MOBI_UNIT_SHIFT);
}

uint64_t mobi_run_free_backed(const struct mobi_arena *a)
{
	uint64_t ready = mobi_load(&a->head->ready);
	uint64_t sum = 0;

	for (uint64_t g = 0; g < ready; g++) {
		uint64_t at = g * MOBI_GROUP_UNITS;
		uint64_t n;

		while ((n = group_next_free(a, group_end(a, g), true, &at))) {
			sum += n;
			at += n;
		}
	}
	return sum << MOBI_UNIT_SHIFT;
}

void mobi_arena_warm(struct mobi_arena *a, uint64_t bytes)
{
	uint64_t want = (bytes + MOBI_UNIT_BYTES - 1) >> MOBI_UNIT_SHIFT;

	for (uint64_t g = 0;
	     want && (g < mobi_load(&a->head->ready) || mobi_run_grow(a));
	     g++) {
		uint64_t at = g * MOBI_GROUP_UNITS;
		uint64_t n;

		while (want &&
		       (n = group_next_free(a, group_end(a, g), false, &at))) {
			uint64_t off = at << MOBI_UNIT_SHIFT;
			uint64_t word;
			int rc = 0;

			n = n < want ? n : want;
			n = n < WARM_UNITS ? n : WARM_UNITS;
			if (mobi_run_claim_at(a, at, n, MOBI_CLASS_LARGE,
					      &word)) {
				rc = mobi_run_back(a, off,
						   n << MOBI_UNIT_SHIFT);
				if (rc == 0) {
					mobi_shm_populate(a->rw + off,
							  n << MOBI_UNIT_SHIFT);
				}
				mobi_run_release(a, at, word, false);
			}
			if (rc < 0) {
				return;
			}
			want -= n;
			at += n;
		}
	}
}
