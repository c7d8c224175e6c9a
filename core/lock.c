/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock that survives its owner.
 *
 *	word = {pid 32, low bits of start time 31, CONTENDED 1}, 0 is free
 *
 *	take      CAS 0 -> me
 *	take over CAS {dead owner} -> me; the taker is told OWNER_DIED
 *	wait      v = bell; CAS CONTENDED in; FUTEX_WAIT(bell, v)
 *	release   w = exchange 0; if CONTENDED was set: bell++, wake one
 *
 * Who has slept takes the lock with CONTENDED set, as others may sleep still.
 * A sleeper looks again after 50 ms at most: nobody rings for a dead owner,
 * or for a sleeper that was woken and died before it took the lock. A crash
 * between any two steps leaves the word free, or with a dead owner: both can
 * be taken.
 */
#include "lock.h"

#include "err.h"
#include "os_clock.h"
#include "os_futex.h"
#include "os_proc.h"

#include <inttypes.h>

#define CONTENDED MOBI_BIT(0)
#define START_MASK UINT64_C(0x7fffffff)
#define LOOK_AGAIN_NS INT64_C(50000000)

_Static_assert(sizeof(struct mobi_lock) == 16, "lives in shared memory");

static uint64_t word_of(const struct mobi_proc *p)
{
	return (uint64_t)p->pid << 32 | (p->start_time & START_MASK) << 1;
}

static uint32_t word_pid(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

static bool owner_dead(uint64_t word)
{
	struct mobi_proc who;

	if (mobi_proc_of((int)word_pid(word), &who) < 0) {
		return true;
	}
	/* A start time of 0: it could not be read, so there is no proof. */
	return who.start_time != 0 && (word & (START_MASK << 1)) != 0 &&
	       word_of(&who) != (word & ~CONTENDED);
}

/* Takes the word as it was seen, if that can be. True with the result. */
static bool word_take(struct mobi_lock *l, uint64_t *seen, uint64_t mark,
		      int *out_rc)
{
	struct mobi_proc self = mobi_proc_self();
	uint64_t mine = word_of(&self) | mark | (*seen & CONTENDED);
	bool was_free = *seen == 0;

	if (!was_free && !owner_dead(*seen)) {
		return false;
	}
	if (!mobi_cas64(&l->word, seen, mine)) {
		return false;
	}
	*out_rc = was_free ? MOBI_LOCK_CLEAN : MOBI_LOCK_OWNER_DIED;
	return true;
}

static int err_busy(int rc, uint64_t word)
{
	return mobi_err(rc, "lock: process %" PRIu32 " has it", word_pid(word));
}

int mobi_lock_try(struct mobi_lock *l)
{
	uint64_t seen = mobi_load(&l->word);

	for (;;) {
		uint64_t before = seen;
		int rc = MOBI_LOCK_CLEAN;

		if (word_take(l, &seen, 0, &rc)) {
			return rc;
		}
		if (seen == before) {
			return err_busy(MOB_E_BUSY, seen);
		}
	}
}

/* Sleeps until the bell rings, it is time to look again, or time is up. */
static void bell_wait(struct mobi_lock *l, uint64_t deadline, bool forever)
{
	uint32_t v = mobi_load(&l->bell);
	uint64_t w = mobi_load(&l->word);
	int64_t ns = LOOK_AGAIN_NS;
	uint64_t now = 0;

	if (w == 0 || ((w & CONTENDED) == 0 &&
		       !mobi_cas64(&l->word, &w, w | CONTENDED))) {
		return;
	}
	if (!forever) {
		now = mobi_now_ns();
		if (now >= deadline) {
			return;
		}
		if (deadline - now < (uint64_t)ns) {
			ns = (int64_t)(deadline - now);
		}
	}
	(void)mobi_futex_wait(&l->bell, v, ns);
}

int mobi_lock_acquire(struct mobi_lock *l, int64_t timeout_ns)
{
	bool forever = timeout_ns < 0;
	uint64_t deadline = forever ? 0 : mobi_now_ns() + (uint64_t)timeout_ns;
	uint64_t mark = 0;

	for (;;) {
		uint64_t seen = mobi_load(&l->word);
		int rc = MOBI_LOCK_CLEAN;

		if (word_take(l, &seen, mark, &rc)) {
			return rc;
		}
		if (!forever && mobi_now_ns() >= deadline) {
			return err_busy(MOB_E_TIMEOUT, seen);
		}
		bell_wait(l, deadline, forever);
		mark = CONTENDED;
	}
}

void mobi_lock_release(struct mobi_lock *l)
{
	uint64_t was = mobi_exchange(&l->word, 0);

	MOB_ASSERT(word_pid(was) == mobi_proc_self().pid);
	if (was & CONTENDED) {
		(void)mobi_fetch_add(&l->bell, 1);
		(void)mobi_futex_wake(&l->bell, 1);
	}
}

uint32_t mobi_lock_pid(const struct mobi_lock *l)
{
	return word_pid(mobi_load(&l->word));
}

bool mobi_lock_held(const struct mobi_lock *l)
{
	uint64_t word = mobi_load(&l->word);

	return word != 0 && !owner_dead(word);
}
