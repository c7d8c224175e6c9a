/* SPDX-License-Identifier: Apache-2.0 */
/* Objects, inside. The public half is <mobula/store.h>. */
#ifndef MOBI_OBJECT_H
#define MOBI_OBJECT_H

#include "segment.h"

/* A slot with room for size bytes, PENDING|OWNED with LOCK(me) from its birth:
 * nobody is told of it before resolve_owned or seal_unseen. */
int mobi_object_new(struct mob_store *s, uint64_t size, mob_type_id type,
		    uint64_t *out_id, void **out_at);
/* Views a resolved object: as mob_object_get without waiting. */
int mobi_object_view(struct mob_store *s, uint64_t id,
		     struct mob_view *out_view);
/* The same; the time-out is for one that is being spilled or brought back. */
int mobi_object_view_in(struct mob_store *s, uint64_t id, int64_t timeout_ns,
			struct mob_view *out_view);
/* The same at once: 1 if its value is GONE. */
int mobi_object_view_now(struct mob_store *s, uint64_t id,
			 struct mob_view *out_view);
/* The same without a VIEW, for a sealed value inside the slot: the caller holds
 * the object, and releases no view. False: it is none of these. */
bool mobi_object_peek(struct mob_store *s, uint64_t id,
		      struct mob_view *out_view);
/* Makes the pending object `id`, which only the caller may resolve, keep n
 * others alive. The caller holds them. */
int mobi_object_nest(struct mob_store *s, uint64_t id,
		     const struct mob_ref *refs, uint64_t n);

/* mob_object_wait, whose errors name the call. */
int mobi_object_wait(struct mob_store *store, const char *call,
		     const struct mob_ref *refs, size_t n, size_t n_ready,
		     int64_t timeout_ns, bool *out_ready);

#endif /* MOBI_OBJECT_H */
