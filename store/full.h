/* SPDX-License-Identifier: Apache-2.0 */
/* What a full store says of itself. */
#ifndef MOBI_FULL_H
#define MOBI_FULL_H

#include "segment.h"

/* STORE_FULL: no room for size bytes; how full it is, and who keeps it so. Also for
 * DISK_FULL of the file system that holds the store. */
int mobi_full_error(struct mob_store *s, uint64_t size);

#endif /* MOBI_FULL_H */
