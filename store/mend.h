/* SPDX-License-Identifier: Apache-2.0 */
/* What a process leaves that dies while it makes an object keep others alive, and the
 * object stays: a return of a task that is run again, a stream. For the janitor. */
#ifndef MOBI_MEND_H
#define MOBI_MEND_H

#include "segment.h"

/* Edges of object {gen, slot} that were begun and not linked are RELEASED. Nobody
 * links any for it now. */
void mobi_mend_edges(struct mob_store *s, uint64_t id);

/* Is the chunk, whose maker is dead, of an object that does not know of it, and may
 * get more? */
bool mobi_mend_unlisted(const struct mob_store *s, uint32_t chunk, uint64_t of);

#endif /* MOBI_MEND_H */
