/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Free entries of the tables.
 *
 * Reuse goes round the groups of the process, so it is close to first in,
 * first out and a generation does not wrap in minutes.
 *
 * `used` is raised before a group below it is claimed: the janitor looks at
 * groups below `used` only.
 *
 * A process keeps the groups that it claimed until it leaves. When no other
 * group is left, the entries that are free in those of others are used too.
 */
#include "pool.h"

#include "err.h"

int mobi_pool_init(struct mobi_pool *p, struct mobi_pool_shared *shared,
		   struct mobi_group *group, uint32_t n_groups,
		   const void *rows, uint32_t row_bytes,
		   int (*back)(struct mob_store *, uint32_t), const char *what)
{
	p->shared = shared;
	p->rows = rows;
	p->row_bytes = row_bytes;
	p->group = group;
	p->n_groups = n_groups;
	p->back = back;
	p->what = what;
	p->cursor = 0;
	for (uint32_t i = 0; i < 1024; i++) {
		p->mine[i] = 0;
	}
	if (pthread_mutex_init(&p->lock, NULL)) {
		return mobi_err(MOB_E_NOMEM, "pthread_mutex_init failed");
	}
	return 0;
}

void mobi_pool_fini(struct mobi_pool *p)
{
	if (p->shared) {
		(void)pthread_mutex_destroy(&p->lock);
		p->shared = NULL;
	}
}

static void set_hint(struct mobi_pool *p, uint32_t g, uint64_t bits)
{
	(void)mobi_fetch_or(&p->group[g].hint, bits);
	if (!(mobi_load(&p->shared->mid[g / 64]) & MOBI_BIT(g % 64))) {
		(void)mobi_fetch_or(&p->shared->mid[g / 64], MOBI_BIT(g % 64));
	}
}

/* Takes what group g has. The mid bit goes first: a hint that is set in
 * between sets it again. */
static uint64_t grab(struct mobi_pool *p, uint32_t g)
{
	(void)mobi_fetch_and(&p->shared->mid[g / 64], ~MOBI_BIT(g % 64));
	return mobi_exchange(&p->group[g].hint, UINT64_C(0));
}

/* Looks through the groups of this process that have hints, from the cursor
 * on, once round. Under the pool's lock. */
static bool take_mine(struct mobi_pool *p, uint32_t *out_g, uint64_t *out_mask)
{
	uint32_t words = (mobi_load(&p->shared->used) + 63) / 64;
	uint32_t w = p->cursor / 64;
	uint64_t from = ~UINT64_C(0) << (p->cursor % 64);

	for (uint32_t k = 0; words && k <= words; k++) {
		uint64_t m;

		if (w >= words) {
			w = 0;
		}
		m = mobi_load(&p->shared->mid[w]) & p->mine[w] & from;
		while (m) {
			uint32_t g = w * 64 + (uint32_t)__builtin_ctzll(m);
			uint64_t mask = grab(p, g);

			m &= m - 1;
			if (mask) {
				p->cursor = g + 1;
				*out_g = g;
				*out_mask = mask;
				return true;
			}
		}
		from = ~UINT64_C(0);
		w++;
	}
	return false;
}

static bool claim(struct mobi_pool *p, uint32_t me, uint32_t g)
{
	uint32_t nobody = 0;

	if (mobi_load(&p->group[g].owner) ||
	    !mobi_cas32(&p->group[g].owner, &nobody, me)) {
		return false;
	}
	p->mine[g / 64] |= MOBI_BIT(g % 64);
	return true;
}

/* A group below `used` that nobody owns and that has hints. */
static bool take_orphan(struct mob_store *s, struct mobi_pool *p,
			uint32_t *out_g, uint64_t *out_mask)
{
	uint32_t used = mobi_load(&p->shared->used);

	for (uint32_t g = 0; g < used; g++) {
		if (mobi_load(&p->group[g].hint) && claim(p, s->me, g)) {
			*out_g = g;
			*out_mask = grab(p, g);
			if (*out_mask) {
				return true;
			}
		}
	}
	return false;
}

/* What any group has: another process owns it, but has no use for its hints
 * now. They are never the truth, so that both may try the same entry. */
static bool take_others(struct mobi_pool *p, uint32_t *out_g,
			uint64_t *out_mask)
{
	uint32_t used = mobi_load(&p->shared->used);

	for (uint32_t g = 0; g < used; g++) {
		if (mobi_load(&p->group[g].hint)) {
			*out_mask = grab(p, g);
			*out_g = g;
			if (*out_mask) {
				return true;
			}
		}
	}
	return false;
}

/* A group that nobody owns: one that a process left, else a fresh one. */
static int take_new(struct mob_store *s, struct mobi_pool *p, uint32_t *out_g,
		    uint64_t *out_mask)
{
	uint32_t used = mobi_load(&p->shared->used);
	int rc;

	/* It goes only when there are none, and then one looks once more, for
	 * those of who set it meanwhile. Others look as long as it is set:
	 * whoever found it away here would take a fresh group. */
	if (mobi_load(&p->shared->orphans)) {
		if (take_orphan(s, p, out_g, out_mask)) {
			return 0;
		}
		mobi_store(&p->shared->orphans, 0u);
		if (take_orphan(s, p, out_g, out_mask)) {
			mobi_store(&p->shared->orphans, 1u);
			return 0;
		}
	}
	for (uint32_t g = used; g < p->n_groups; g++) {
		rc = p->back(s, g);
		if (rc < 0) {
			return take_orphan(s, p, out_g, out_mask) ||
					       take_others(p, out_g, out_mask) ?
				       0 :
				       rc;
		}
		while (used <= g &&
		       !mobi_cas32(&p->shared->used, &used, g + 1)) {
		}
		if (claim(p, s->me, g)) {
			(void)grab(p, g);
			*out_g = g;
			*out_mask = ~UINT64_C(0);
			return 0;
		}
	}
	/* The flag may have been lost with who had it. */
	if (take_orphan(s, p, out_g, out_mask) ||
	    take_others(p, out_g, out_mask)) {
		return 0;
	}
	return mobi_err(MOB_E_LIMIT,
			"the table of %s is full (%u); release what is no "
			"longer needed",
			p->what, p->n_groups * MOBI_GROUP);
}

/* The row that is taken next: another process freed it, so its lines are in
 * another processor's cache. hot */
static void fetch_next(const struct mobi_pool *p, uint32_t g, uint64_t mask)
{
	const unsigned char *row;

	if (!mask) {
		return;
	}
	row = p->rows +
	      ((uint64_t)g * MOBI_GROUP + (uint32_t)__builtin_ctzll(mask)) *
		      p->row_bytes;
	for (uint32_t i = 0; i < p->row_bytes; i += MOBI_CACHELINE) {
		__builtin_prefetch(row + i, 1);
	}
}

int mobi_pool_take(struct mob_store *s, uint32_t which, uint32_t *out_entry)
{
	struct mobi_pool *p = &s->pool[which];
	struct mobi_seat *seat = mobi_seat(s);
	int rc = 0;

	if (!seat) {
		return mobi_err(MOB_E_NOMEM, "no memory for this thread");
	}
	if (!seat->take[which].mask) {
		uint32_t g = 0;
		uint64_t mask = 0;

		(void)pthread_mutex_lock(&p->lock);
		if (!take_mine(p, &g, &mask)) {
			rc = take_new(s, p, &g, &mask);
		}
		(void)pthread_mutex_unlock(&p->lock);
		if (rc < 0) {
			return rc;
		}
		seat->take[which].group = g;
		seat->take[which].mask = mask;
	}
	*out_entry = seat->take[which].group * MOBI_GROUP +
		     (uint32_t)__builtin_ctzll(seat->take[which].mask);
	seat->take[which].mask &= seat->take[which].mask - 1;
	fetch_next(p, seat->take[which].group, seat->take[which].mask);
	return 0;
}

void mobi_pool_hint(struct mob_store *s, uint32_t which, uint32_t entry)
{
	struct mobi_pool *p = &s->pool[which];
	uint32_t g = entry / MOBI_GROUP;

	set_hint(p, g, MOBI_BIT(entry % MOBI_GROUP));
	if (!mobi_load(&p->group[g].owner) && !mobi_load(&p->shared->orphans)) {
		mobi_store(&p->shared->orphans, 1u);
	}
}

int mobi_pool_reserve(struct mob_store *s, uint32_t which, uint32_t n)
{
	struct mobi_pool *p = &s->pool[which];
	uint32_t groups = (n + MOBI_GROUP - 1) / MOBI_GROUP;
	int rc = 0;

	for (uint32_t g = 0; g < groups && rc >= 0; g++) {
		rc = p->back(s, g);
	}
	if (rc >= 0 && mobi_load(&p->shared->used) < groups) {
		mobi_store(&p->shared->used, groups);
	}
	return rc;
}

uint32_t mobi_pool_used(const struct mob_store *s, uint32_t which)
{
	return mobi_load(&s->pool[which].shared->used) * MOBI_GROUP;
}

void mobi_pool_return(struct mob_store *s, struct mobi_seat *seat)
{
	for (uint32_t i = 0; i < MOBI_POOLS; i++) {
		if (seat->take[i].mask) {
			set_hint(&s->pool[i], seat->take[i].group,
				 seat->take[i].mask);
			seat->take[i].mask = 0;
		}
	}
}

void mobi_pool_leave(struct mob_store *s)
{
	for (uint32_t i = 0; i < MOBI_POOLS; i++) {
		struct mobi_pool *p = &s->pool[i];
		uint32_t used = mobi_load(&p->shared->used);
		bool some = false;

		for (uint32_t g = 0; g < used; g++) {
			uint32_t me = s->me;

			if (p->mine[g / 64] & MOBI_BIT(g % 64)) {
				some = true;
				(void)mobi_cas32(&p->group[g].owner, &me, 0);
			}
		}
		if (some) {
			mobi_store(&p->shared->orphans, 1u);
		}
	}
}

void mobi_pool_reap(struct mob_store *s, uint32_t which, uint64_t dead,
		    uint64_t (*free_of)(struct mob_store *, uint32_t group))
{
	struct mobi_pool *p = &s->pool[which];
	uint32_t used = mobi_load(&p->shared->used);
	bool some = false;

	for (uint32_t g = 0; g < used; g++) {
		uint32_t owner = mobi_load(&p->group[g].owner);
		uint64_t bits;

		/* A dead one may have freed an entry of a group of the living
		 * and not said so. What the living have at hand gets its hint
		 * too: a wrong one is harmless. */
		bits = free_of(s, g);
		if (bits & ~mobi_load(&p->group[g].hint)) {
			set_hint(p, g, bits);
		}
		if (owner && (dead & MOBI_BIT(owner % MOBI_CLIENTS))) {
			(void)mobi_cas32(&p->group[g].owner, &owner, 0);
		}
		some |= bits && !mobi_load(&p->group[g].owner);
	}
	if (some) {
		mobi_store(&p->shared->orphans, 1u);
	}
}
