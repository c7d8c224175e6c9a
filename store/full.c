/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a full store says of itself. It looks at every tag and every slot for that,
 * which takes 20 ms in a store of 2 million objects: a program that tries again and
 * again until there is room would do little else. So a look that took long is good
 * for a while.
 */
#include "full.h"

#include "err.h"
#include "os_clock.h"
#include "pool.h"
#include "spill.h"

#include <stdio.h>

/* One that takes less is done each time; else it is good for so many times as long. */
#define LOOK_QUICK_NS ((uint64_t)MOB_MS)
#define LOOK_REST 16u

/* The process that keeps most bytes where they are by its views. */
static void top_viewer(struct mob_store *s, struct mobi_full *f)
{
	uint64_t bytes[MOBI_CLIENTS] = { 0 };
	uint32_t top = 0;

	for (uint32_t i = 0; i < mobi_pool_used(s, MOBI_POOL_SLOT); i++) {
		uint64_t view = mobi_load(&s->slots[i].view);
		uint64_t n = view ? mobi_arena_block_bytes(
					    s->arena,
					    mobi_load(&s->slots[i].loc)) :
				    0;

		for (; n && view; view &= view - 1) {
			bytes[__builtin_ctzll(view)] += n;
		}
	}
	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		top = bytes[i] > bytes[top] ? i : top;
	}
	f->viewer = bytes[top] ? s->clients[top].proc.pid : 0;
	f->viewed_bytes = bytes[top];
}

/* Under the lock. */
static void look(struct mob_store *s, struct mobi_full *f)
{
	uint64_t now = mobi_now_ns();

	if (f->looked_ns && now < f->next_ns) {
		return;
	}
	f->looked_ns = now;
	mobi_arena_stat(s->arena, &f->stat);
	top_viewer(s, f);
	now = mobi_now_ns() - f->looked_ns;
	f->next_ns = f->looked_ns + (now < LOOK_QUICK_NS ? 0 : now * LOOK_REST);
}

int mobi_full_error(struct mob_store *s, uint64_t size)
{
	int why = -(int)mobi_load(&s->spill_rc);
	struct mobi_full f;
	char viewer[80] = "";

	(void)pthread_mutex_lock(&s->full_lock);
	look(s, &s->full);
	f = s->full;
	(void)pthread_mutex_unlock(&s->full_lock);
	if (f.viewed_bytes) {
		(void)snprintf(viewer, sizeof(viewer),
			       "; process %u views %llu of them", f.viewer,
			       (unsigned long long)f.viewed_bytes);
	}
	return mobi_err(MOB_E_STORE_FULL,
			"no room for an object of %llu bytes: %llu of %llu "
			"bytes of the store are in use in %llu blocks%s; "
			"release objects%s or make the store larger%s%s",
			(unsigned long long)size,
			(unsigned long long)f.stat.used_bytes,
			(unsigned long long)f.stat.bytes,
			(unsigned long long)f.stat.blocks, viewer,
			mobi_spills(s) ? " and views" : "",
			why ? "; spilling failed last: " : "",
			why ? mob_err_message(why) : "");
}
