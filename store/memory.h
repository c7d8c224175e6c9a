/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at the memory of one object; the public half is <mobula/memory.h>. */
#ifndef MOBI_MEMORY_H
#define MOBI_MEMORY_H

#include "segment.h"

#include <mobula/memory.h>

/* 1: *out is the object of the slot; 0: there is none any more; or an error of
 * the catalogue. */
int mobi_memory_look(struct mob_store *s, uint32_t slot,
		     struct mob_memory_info *out);

#endif /* MOBI_MEMORY_H */
