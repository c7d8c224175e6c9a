/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lack of memory: before the kernel kills what it likes, the daemon ends one worker
 * after the other, by a rule.
 *
 * First an idle one that has kept much, which leaves as one that is not needed. Then
 * one with a task. Passed over are workers that have less than 16 MiB of their own, or
 * less than an eighth of what the largest has, or less than is to be freed, if one has
 * that much: their end would not help. Of the rest, if some task can be retried, only those that can. Tasks with one submitter
 * are a group; of the group that has the most memory the newest is killed. What
 * those have that are dying counts as free.
 *
 * What is killed so is noted in its place before, by version: so that who reaps it
 * knows. It has a count of retries of its own, and a backoff of its own (retry.h). A
 * task with retries 0 may run once only, and has none.
 */
#ifndef MOBI_PRESSURE_H
#define MOBI_PRESSURE_H

#include "os_pressure.h"
#include "os_proc.h"
#include "runtime.h"

/* Of a new session, from the configuration. Errors: INVAL. */
int mobi_pressure_init(struct mobi_sched *sh);

/* ---- the daemon ---- */

struct mobi_pressure {
	struct mobi_pressure_files files;
	uint64_t look_ns;    /* when to look next */
	uint64_t last_limit; /* as of the last look */
	uint64_t last_ns;
	uint64_t last_use;
	struct mobi_proc leaves; /* an idle worker; pid 0: none */
	uint64_t leaves_until;   /* not waited for longer */
	uint64_t leaves_bytes;
	bool told; /* that nobody can be ended */
};
/* Also finishes what the daemon before has begun. */
void mobi_pressure_begin(struct mob_store *s, struct mobi_pressure *p);
void mobi_pressure_end(struct mobi_pressure *p);
/* Looks, if it is time, and ends a worker if there is need. */
void mobi_pressure_watch(struct mob_store *s, struct mobi_pressure *p);

/* ---- who reaps ---- */

/* Where it is noted that the dead worker of this attempt was killed for its sake, or
 * NULL. */
const struct mobi_place_shared *mobi_pressure_note(struct mob_store *s,
						   uint32_t rec, uint64_t w);
/* May the attempt with word w be followed by another if it is killed so? Says the same
 * after mobi_retry_press. */
bool mobi_pressure_again(const struct mobi_sched *sh, const struct mobi_task *t,
			 uint64_t w);
/* What a task ends with that may not. */
void mobi_pressure_text(const struct mobi_sched *sh, const struct mobi_task *t,
			const struct mobi_place_shared *note, char *out,
			size_t size);

#endif /* MOBI_PRESSURE_H */
