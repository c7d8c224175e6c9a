/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading spilled arguments ahead. A worker that has taken a task lets the kernel
 * begin to read the files of
 *   - its arguments, all at once, before it views one after the other;
 *   - those of the task that it would take next, and of tasks that wait for its
 *     results: while this one runs.
 * Files go into the kernel's cache, not into the arena: a full store gets no fuller,
 * nobody's object is pushed out for it, and there is no state that a death could
 * leave behind. At most prefetch_bytes of files for each task that is taken, and for
 * refs that are got together, before the next of them are looked at.
 */
#ifndef MOBI_PREFETCH_H
#define MOBI_PREFETCH_H

#include "runtime.h"

/* This process is in a session from now on: reads the configuration. */
void mobi_prefetch_begin(void);
/* Refs that are got one after the other: returns how many were looked at, 1 at least
 * if there are any; the next is to be looked at when it is got. Thread: any. */
size_t mobi_refs_prefetch(struct mob_store *s, const struct mob_ref *refs,
			  size_t n);
/* For the task with word w (RUN(me)) that mobi_domain_take gave last. */
void mobi_task_prefetch(struct mob_store *s, uint32_t rec, uint64_t w);

#endif /* MOBI_PREFETCH_H */
