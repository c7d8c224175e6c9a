/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The domain: queues and policy state, in generations. Only workers lock it.
 * A lock holder that died, was stopped, or burns its CPU time inside a policy
 * is gone round by a new generation, which is filled from the records a piece
 * at a time; what the old one still does fails at the CAS on the record.
 */
#ifndef MOBI_DOMAIN_H
#define MOBI_DOMAIN_H

#include "place.h"
#include "runtime.h"

struct mobi_queues *mobi_gen_queues(struct mob_store *s, uint32_t index);
/* Lays out the section of a new session. */
int mobi_domain_init(struct mob_store *s, uint32_t policy);

/* Is there anything to place or to take? */
bool mobi_domain_work(const struct mob_store *s);
/* Tasks that are queued. */
uint32_t mobi_domain_queued(const struct mob_store *s);

/* What this worker would take next, as it was when it took a task last; false:
 * nothing, or the store has no spill directory. */
bool mobi_domain_after(const struct mob_store *s, uint32_t *out_rec,
		       uint32_t *out_version);

/*
 * One turn of the worker at this place: places what is on the board and takes a
 * task. Returns true with its record, its word (RUN(me)) and the time, or false;
 * *out_more: come again at once.
 */
bool mobi_domain_take(struct mob_store *s, uint32_t *out_rec, uint64_t *out_w,
		      uint64_t *out_now_ns, bool *out_more);
/* What was taken last has run for so long and ended with rc: the policy is told
 * at the next turn. */
void mobi_domain_ran(uint64_t ran_ns, int rc);

/*
 * A new generation with this policy, if `cur` is still the current one.
 * MOB_E_AGAIN: another was quicker.
 */
int mobi_domain_next(struct mob_store *s, uint64_t cur, uint32_t policy);
/* Throws the policy of generation cur out: a strike, the fallback, a note. Errors
 * as mobi_domain_next; then nothing was done. */
int mobi_domain_eject(struct mob_store *s, uint64_t cur, const char *reason);
/* After deaths: generations whose lock holder is dead are gone round. */
void mobi_domain_reap(struct mob_store *s, uint64_t dead);
/* What a process saw of the holder of the current lock; all 0 at first. */
struct mobi_stuck {
	uint32_t owner;
	uint64_t busy;
	uint64_t cpu_ns;
	uint64_t since_ns;
	bool seen;
};

/* Looks at the holder of the current lock again; goes round it if it is
 * stopped, or has burnt 20 ms of CPU time inside one policy call. False: it is,
 * and there is no structure left to go on with. */
bool mobi_domain_look_stuck(struct mob_store *s, struct mobi_stuck *k);
/* Looks for starvation and for a holder that is stuck; for the daemon. */
void mobi_domain_watch(struct mob_store *s);

#endif /* MOBI_DOMAIN_H */
