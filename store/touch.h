/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which parts of the arena this process has in its page tables. The first write
 * to a page that is backed costs a fault all the same, in every process; for a
 * large block they are taken in one call.
 */
#ifndef MOBI_TOUCH_H
#define MOBI_TOUCH_H

#include "segment.h"

/* The caller is about to write [at, at + size), which starts at offset off of
 * the arena. */
void mobi_touch(struct mob_store *s, void *at, uint64_t off, uint64_t size);

#endif /* MOBI_TOUCH_H */
