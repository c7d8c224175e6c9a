/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of writes after the seal (MOBULA_CHECK_WRITES=1). A reader's mapping
 * is read only in any case; a creator writes through a window that stays open, as
 * closing it takes a system call. In the mode of this check each object that a
 * program gets space for has pages of its own, and the creator's window on them
 * is closed at the seal: who writes through a pointer that it kept gets a SIGSEGV
 * there and then. A page can be opened again by any later block at its place.
 */
#ifndef MOBI_GUARD_H
#define MOBI_GUARD_H

#include "segment.h"

/* Before a block is written to, in this mode. */
void mobi_guard_open(struct mob_store *s, uint64_t loc);
/* Before the object is sealed by who has written it, in this mode. */
void mobi_guard_close(struct mob_store *s, uint64_t loc);

#endif /* MOBI_GUARD_H */
