/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at an arena: what is in use, and whether it can be. */
#include "arena.h"

#include "arena_impl.h"
#include "arena_run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define LINE_SIZE 160

struct check {
	const struct mobi_arena *a;
	uint64_t live;
	void (*fn)(const char *line, void *arg);
	void *arg;
	int found;
};

MOB_PRINTF(2, 3)
static void found(struct check *c, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	c->found++;
	if (c->fn) {
		c->fn(line, c->arg);
	}
}

/* Steps over a unit, or over the run that starts there. */
static uint64_t next_unit(const struct mobi_arena *a, uint64_t u, uint64_t w)
{
	uint64_t n = mobi_unit_first(w) ? MOBI_UARG(w) : 1;

	if (MOBI_UKIND(w) == MOBI_U_FREE &&
	    MOBI_UKIND(mobi_load(&mobi_group(a, u)->word)) == MOBI_U_TAKEN) {
		n = MOBI_GROUP_UNITS - u % MOBI_GROUP_UNITS;
	}
	return u + (n ? n : 1);
}

/* Blocks of a run whose tags may be read. */
static uint32_t run_blocks(const struct mobi_arena *a, uint64_t u, uint64_t w)
{
	uint32_t class = MOBI_UCLASS(w);
	uint32_t kind = MOBI_UKIND(w);

	if (class == MOBI_CLASS_LARGE) {
		return (kind == MOBI_U_LARGE || kind == MOBI_U_CLAIM) &&
				       mobi_run_has_tags(a, u, class) ?
			       1 :
			       0;
	}
	return (kind == MOBI_U_SLAB || kind == MOBI_U_SHUT) &&
			       class < MOBI_CLASSES &&
			       mobi_run_has_tags(a, u, class) ?
		       a->class[class].blocks :
		       0;
}

static uint64_t run_block_bytes(const struct mobi_arena *a, uint64_t w)
{
	return MOBI_UCLASS(w) == MOBI_CLASS_LARGE ?
		       MOBI_UARG(w) << MOBI_UNIT_SHIFT :
		       a->class[MOBI_UCLASS(w)].size;
}

void mobi_arena_walk(const struct mobi_arena *a,
		     void (*fn)(uint64_t loc, uint64_t tag, void *arg),
		     void *arg)
{
	uint64_t ready = mobi_units_ready(a);
	uint64_t u = 0;

	while (u < ready) {
		uint64_t w = mobi_load(mobi_unit(a, u));
		uint32_t n = run_blocks(a, u, w);

		for (uint32_t i = 0; i < n; i++) {
			uint64_t tag =
				mobi_load(&mobi_tags(a, u, MOBI_UCLASS(w))[i]);
			uint64_t off = (u << MOBI_UNIT_SHIFT) +
				       i * run_block_bytes(a, w);

			if (MOBI_TAG_TAKEN(tag)) {
				fn(off | MOBI_LOC_BLOCK, tag, arg);
			}
		}
		u = next_unit(a, u, w);
	}
}

void mobi_arena_stat(const struct mobi_arena *a, struct mobi_arena_stat *out)
{
	struct mobi_arena_stat s = { .bytes = a->units << MOBI_UNIT_SHIFT };
	uint64_t ready = mobi_load(&a->head->ready);
	uint64_t u = 0;

	while (u < mobi_units_ready(a)) {
		uint64_t w = mobi_load(mobi_unit(a, u));
		uint32_t n = run_blocks(a, u, w);

		for (uint32_t i = 0; i < n; i++) {
			if (MOBI_TAG_TAKEN(mobi_load(
				    &mobi_tags(a, u, MOBI_UCLASS(w))[i]))) {
				s.blocks++;
				s.used_bytes += run_block_bytes(a, w);
			}
		}
		u = next_unit(a, u, w);
	}
	for (uint64_t g = 0; g < ready; g++) {
		for (uint32_t i = 0; i < MOBI_GROUP_UNITS / 64; i++) {
			uint64_t bits = mobi_load(&a->groups[g].backed[i]);

			s.backed_bytes += (uint64_t)__builtin_popcountll(bits)
					  << MOBI_UNIT_SHIFT;
		}
	}
	*out = s;
}

static bool unit_is_backed(const struct mobi_arena *a, uint64_t u)
{
	uint64_t in = u % MOBI_GROUP_UNITS;

	return mobi_load(&mobi_group(a, u)->backed[in / 64]) >> in % 64 & 1;
}

/* How many of these bytes have memory; the others are bare. */
static uint64_t with_memory(const struct mobi_arena *a, uint64_t off,
			    uint64_t bytes, struct mobi_arena_sums *s)
{
	uint64_t end = off + bytes;
	uint64_t sum = 0;

	while (off < end) {
		uint64_t next = (off | (MOBI_UNIT_BYTES - 1)) + 1;
		uint64_t n = (next < end ? next : end) - off;

		if (unit_is_backed(a, off >> MOBI_UNIT_SHIFT)) {
			sum += n;
		} else {
			s->bare_bytes += n;
		}
		off += n;
	}
	return sum;
}

static void mix(struct mobi_arena_sums *s, uint64_t v)
{
	s->mark = (s->mark ^ v) * UINT64_C(0x100000001b3);
}

/* A run, or what is left of one: from its first unit on. */
static void sum_run(const struct mobi_arena *a, uint64_t u, uint64_t w,
		    uint64_t units, struct mobi_arena_sums *s)
{
	uint64_t at = u << MOBI_UNIT_SHIFT;
	uint64_t end = at + (units << MOBI_UNIT_SHIFT);
	uint32_t n = run_blocks(a, u, w);
	uint64_t bytes = n ? run_block_bytes(a, w) : 0;

	for (uint32_t i = 0; i < n && at + bytes <= end; i++) {
		uint64_t tag = mobi_load(&mobi_tags(a, u, MOBI_UCLASS(w))[i]);

		mix(s, tag);
		if (MOBI_TAG_TAKEN(tag)) {
			s->blocks++;
			s->block_bytes += bytes;
		} else if (MOBI_UCLASS(w) == MOBI_CLASS_LARGE) {
			s->moving_bytes += with_memory(a, at, bytes, s);
		} else {
			s->reserved_bytes[MOBI_UOWNER(w)] +=
				with_memory(a, at, bytes, s);
		}
		at += bytes;
	}
	*(n ? &s->tail_bytes : &s->moving_bytes) += with_memory(a, at, end - at,
								s);
}

void mobi_arena_sums(const struct mobi_arena *a, struct mobi_arena_sums *out)
{
	struct mobi_arena_sums s = { .mark = UINT64_C(0xcbf29ce484222325) };
	uint64_t ready = mobi_units_ready(a);
	struct mobi_arena_stat st;
	uint64_t u = 0;

	while (u < ready) {
		uint64_t w = mobi_load(mobi_unit(a, u));
		uint64_t next = next_unit(a, u, w);

		next = next < ready ? next : ready;
		mix(&s, w);
		if (MOBI_UKIND(w) == MOBI_U_FREE && next == u + 1) {
			s.free_bytes += with_memory(a, u << MOBI_UNIT_SHIFT,
						    MOBI_UNIT_BYTES, &s);
		} else {
			sum_run(a, u, w, next - u, &s);
		}
		u = next;
	}
	s.bare_bytes += (a->units - ready) << MOBI_UNIT_SHIFT;
	mobi_arena_stat(a, &st);
	s.backed_bytes = st.backed_bytes;
	mix(&s, st.backed_bytes);
	*out = s;
}

static void check_backed(struct check *c, uint64_t off, uint64_t bytes)
{
	uint64_t end = (off + bytes + MOBI_UNIT_BYTES - 1) >> MOBI_UNIT_SHIFT;

	for (uint64_t u = off >> MOBI_UNIT_SHIFT; u < end; u++) {
		if (!unit_is_backed(c->a, u)) {
			found(c, "unit %" PRIu64 " is in use and not backed",
			      u);
			return;
		}
	}
}

static void check_blocks(struct check *c, uint64_t u, uint64_t w)
{
	uint32_t class = MOBI_UCLASS(w);
	uint32_t n = run_blocks(c->a, u, w);

	if (n == 0) {
		found(c, "unit %" PRIu64 ": class %u has no blocks", u, class);
	}
	for (uint32_t i = 0; i < n; i++) {
		uint64_t tag = mobi_load(&mobi_tags(c->a, u, class)[i]);
		uint64_t bytes = run_block_bytes(c->a, w);

		if (MOBI_TAG_TAKEN(tag)) {
			check_backed(c, (u << MOBI_UNIT_SHIFT) + i * bytes,
				     bytes);
		} else if (class == MOBI_CLASS_LARGE) {
			found(c, "unit %" PRIu64 ": a large run without a tag",
			      u);
		} else if (tag != MOBI_TAG_FREE(MOBI_UGEN(w))) {
			found(c,
			      "unit %" PRIu64 ", block %u: free tag %" PRIx64
			      " in generation %" PRIu64,
			      u, i, tag, MOBI_UGEN(w));
		}
	}
}

/* The units after the first one. */
static void check_bodies(struct check *c, uint64_t unit, uint64_t n)
{
	uint64_t i = 1;

	while (i < n) {
		uint64_t u = unit + i;
		uint64_t w = mobi_load(mobi_unit(c->a, u));

		if (u % MOBI_GROUP_UNITS == 0 && n - i >= MOBI_GROUP_UNITS) {
			w = mobi_load(&mobi_group(c->a, u)->word);
			if (MOBI_UKIND(w) != MOBI_U_TAKEN ||
			    MOBI_UARG(w) != unit) {
				found(c,
				      "group at unit %" PRIu64 " is missing in "
				      "the run of "
				      "%" PRIu64,
				      u, unit);
			}
			i += MOBI_GROUP_UNITS;
			continue;
		}
		if (MOBI_UKIND(w) != MOBI_U_BODY || MOBI_UARG(w) != i) {
			found(c,
			      "unit %" PRIu64 " is missing in the run of "
			      "%" PRIu64,
			      u, unit);
		}
		i++;
	}
}

static void check_run(struct check *c, uint64_t u, uint64_t w)
{
	uint32_t kind = MOBI_UKIND(w);
	uint32_t owner = MOBI_UOWNER(w);
	uint32_t class = MOBI_UCLASS(w);
	uint64_t n = MOBI_UARG(w);

	if (n == 0 || u + n > mobi_units_ready(c->a)) {
		found(c, "unit %" PRIu64 ": a run of %" PRIu64 " units", u, n);
		return;
	}
	if (owner && !(c->live >> owner & 1)) {
		found(c, "unit %" PRIu64 ": state %u of client %u, not alive",
		      u, kind, owner);
	}
	if (kind == MOBI_U_SLAB || kind == MOBI_U_LARGE) {
		if (class != MOBI_CLASS_LARGE &&
		    (class >= MOBI_CLASSES || c->a->class[class].units != n)) {
			found(c,
			      "unit %" PRIu64 ": a slab of class %u and "
			      "%" PRIu64 " units",
			      u, class, n);
			return;
		}
		check_bodies(c, u, n);
		check_blocks(c, u, w);
	} else if (owner == 0) {
		found(c, "unit %" PRIu64 ": state %u of nobody", u, kind);
	}
}

int mobi_arena_check(const struct mobi_arena *a, uint64_t live_clients,
		     void (*fn)(const char *line, void *arg), void *arg)
{
	struct check c = { a, live_clients, fn, arg, 0 };
	uint64_t ready = mobi_units_ready(a);
	uint64_t u = 0;

	while (u < ready) {
		uint64_t w = mobi_load(mobi_unit(a, u));
		uint64_t group = mobi_load(&mobi_group(a, u)->word);

		if (mobi_unit_first(w)) {
			check_run(&c, u, w);
		} else if (MOBI_UKIND(w) == MOBI_U_BODY) {
			found(&c, "unit %" PRIu64 " is part of no run", u);
		}
		/* Runs are stepped over: this is the group of another. */
		if (MOBI_UKIND(group) == MOBI_U_TAKEN) {
			found(&c, "group of unit %" PRIu64 " is part of no run",
			      u);
		}
		u = next_unit(a, u, w);
	}
	return c.found;
}
