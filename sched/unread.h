/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that nobody reads: an error whose object is freed unread is told once, by the
 * daemon, a moment later, unless another result of the same task was read until then.
 * An error that was passed on to a task was read; that one's is to be read then.
 */
#ifndef MOBI_UNREAD_H
#define MOBI_UNREAD_H

#include "runtime.h"

/* This process notes what it frees unread. */
void mobi_unread_init(struct mob_store *s);
/* The error of this object is read, and so are those of all results of its task. */
void mobi_unread_seen(struct mob_store *s, uint64_t id);
/* Rows that a process in the mask was writing when it died. */
void mobi_unread_reap(struct mob_store *s, uint64_t dead);
/* Logs those that have waited long enough, or, at the end of the session, all. For the
 * daemon. */
void mobi_unread_watch(struct mob_store *s, bool at_the_end);

#endif /* MOBI_UNREAD_H */
