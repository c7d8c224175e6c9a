/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that time changes: a retry that waits, a timeout, a deadline, a task that
 * is to end. Who makes one sets its bit; the daemon takes the bits and remembers
 * when each is due, in a heap of its own.
 *
 * Bits and `some` are hints, and the heap is lost with the daemon: the janitor sets
 * the bits of all such records again whenever a process died, the daemon too.
 */
#ifndef MOBI_TIMER_H
#define MOBI_TIMER_H

#include "due.h"
#include "runtime.h"

/* The daemon is to look at the record: it has become, or may have become, one that
 * time changes. */
void mobi_timer_set(struct mob_store *s, uint32_t rec);

/* Does what is due; for the daemon. Returns when the next is, on the clock of
 * mobi_now_ns, or UINT64_MAX. */
uint64_t mobi_timer_watch(struct mob_store *s, struct mobi_due *due);

#endif /* MOBI_TIMER_H */
