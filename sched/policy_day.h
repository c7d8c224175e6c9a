/* SPDX-License-Identifier: Apache-2.0 */
/* A made-up day of one domain in virtual time, for the check of a policy. */
#ifndef MOBI_POLICY_DAY_H
#define MOBI_POLICY_DAY_H

#include "policy.h"

struct mobi_day;

/*
 * A day of `workers` (at most 7) with 10,000 tasks. name is that of the check,
 * for messages. If moves is set, the state of the policy changes its address
 * every 64 calls. NULL: out of memory.
 */
struct mobi_day *mobi_day_create(const struct mobi_policy *policy,
				 const char *name, uint32_t workers,
				 bool moves);
void mobi_day_destroy(struct mobi_day *d);

/* Plays the day. Returns 0, or MOB_E_PLUGIN with a detail that says what the
 * policy did wrong. *out_trace is a hash of what ran where and when. */
int mobi_day_run(struct mobi_day *d, uint64_t *out_trace);

/* Starts the policy and calls dump with a buffer of size bytes. */
int mobi_day_dump(struct mobi_day *d, size_t size);

#endif /* MOBI_POLICY_DAY_H */
