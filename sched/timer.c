/* SPDX-License-Identifier: Apache-2.0 */
/* Bits of records that time changes; see tests/models/retry.pml. */
#include "timer.h"

#include "fault.h"
#include "os_clock.h"
#include "time_limits.h"

void mobi_timer_set(struct mob_store *s, uint32_t rec)
{
	struct mobi_timers *t = &((struct mobi_sched *)s->sched)->timers;

	MOBI_FAULT("timer.set");
	(void)mobi_fetch_or(&t->leaf[rec / 64], MOBI_BIT(rec % 64));
	(void)mobi_fetch_or(&t->mid[rec / 4096], MOBI_BIT(rec / 64 % 64));
	mobi_store(&t->some, 1u);
}

/* Does what is due to it, and notes when to look again. */
static void look(struct mob_store *s, struct mobi_due *due,
		 struct mobi_due_entry e, uint64_t now)
{
	e.at_ns = mobi_limits_look(s, &e, now);
	if (!mobi_due_put(due, &e)) {
		mobi_timer_set(s, e.rec); /* no memory: at the next turn */
	}
}

static void take_bits(struct mob_store *s, struct mobi_due *due, uint64_t now)
{
	struct mobi_timers *t = &((struct mobi_sched *)s->sched)->timers;

	/* First: who sets a bit from now on sets it again. */
	mobi_store(&t->some, 0u);
	for (uint32_t m = 0; m < MOBI_RECS / 4096; m++) {
		uint64_t mid = mobi_load(&t->mid[m]) ?
				       mobi_exchange(&t->mid[m], UINT64_C(0)) :
				       0;

		for (; mid; mid &= mid - 1) {
			uint32_t l = m * 64 + (uint32_t)__builtin_ctzll(mid);
			uint64_t bits = mobi_exchange(&t->leaf[l], UINT64_C(0));

			for (; bits; bits &= bits - 1) {
				look(s, due,
				     mobi_due_get(
					     due,
					     l * 64 + (uint32_t)__builtin_ctzll(
							      bits)),
				     now);
			}
		}
	}
}

uint64_t mobi_timer_watch(struct mob_store *s, struct mobi_due *due)
{
	struct mobi_sched *sh = s->sched;
	uint64_t now = mobi_now_ns();
	struct mobi_due_entry e;

	if (mobi_load(&sh->timers.some)) {
		take_bits(s, due, now);
	}
	while (mobi_due_pop(due, now, &e)) {
		look(s, due, e, now);
	}
	return mobi_load(&sh->timers.some) ? 0 : mobi_due_next(due);
}
