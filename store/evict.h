/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that are kept by cached names alone go when room is needed. */
#ifndef MOBI_EVICT_H
#define MOBI_EVICT_H

#include "segment.h"

/* Evicts objects of bytes bytes together, or as many as there are; how many. */
int mobi_evict_some(struct mob_store *s, uint64_t bytes);

#endif /* MOBI_EVICT_H */
