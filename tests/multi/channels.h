/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of channels share: functions of nodes, and graphs that are recorded,
 * started and waited for, or the test fails.
 */
#ifndef MOBI_TEST_CHANNELS_H
#define MOBI_TEST_CHANNELS_H

#include "live.h"

/* Words of the ledger: those, then what a test counts. */
enum { CH_MAY_END, CH_STARTED, CH_ENDED, CH_WORDS = 8 };
extern struct live_ledger ch_ledger;

/* state * 3 + x. */
MOB_TASK_DECLARE(uint64_t, c_step, uint64_t, state, uint64_t, x);
/* x, when CH_MAY_END is set or it is cancelled. */
MOB_TASK_DECLARE(uint64_t, c_slow, mob_str, path, uint64_t, x);
/* x * 2; fails with 42 if x is `bad`. */
MOB_TASK_DECLARE(uint64_t, c_fails_at, uint64_t, x, uint64_t, bad);

/* Records from now on. */
struct mob_graph *ch_begin(uint32_t window);
void ch_start(struct mob_graph *g);
void ch_wait(struct mob_graph *g);

#endif /* MOBI_TEST_CHANNELS_H */
