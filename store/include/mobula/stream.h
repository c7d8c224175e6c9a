/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: a sequence of objects under one ref, which readers follow while it
 * grows.
 *
 *   writer                                    reader, with the ref `at`
 *   mob_stream_create(s, NULL, &w, &at);      mob_object_hold(s, at);
 *   mob_stream_put(w, item, MOB_FOREVER);     while (mob_stream_next(s, &at,
 *   ...                                               MOB_FOREVER, &item) == 1)
 *   mob_stream_end(w);                                ... item ...
 *
 * A stream is a list of nodes, which are objects as any other: a node is pending
 * until its item is put, and then keeps the item and the next node alive. So a
 * reader is a ref of a node that is held; a node can be waited for beside other
 * objects, in queues too; whoever keeps a node (by a hold, a name, a pin) can read
 * on from there; what all readers have passed is freed. A writer that dies leaves
 * its last node lost.
 *
 * Functions on one writer are called by one thread at a time; the others from any
 * thread.
 */
#ifndef MOBULA_STREAM_H
#define MOBULA_STREAM_H

#include <mobula/store.h>

MOB_EXTERN_C_BEGIN

/* How far a writer may be ahead of the slowest reader. 0: without bound. Grows at
 * the end only; start from MOB_STREAM_OPTS_INIT. */
struct mob_stream_opts {
	uint32_t struct_size;
	uint32_t reserved;
	uint64_t max_items; /* at most 1,048,576 */
	uint64_t max_bytes; /* of items; one item always passes */
};
#define MOB_STREAM_OPTS_INIT                                                   \
	{                                                                      \
		(uint32_t)sizeof(struct mob_stream_opts), 0, 0, 0              \
	}

/* The writer's end. Owner: the caller, until end or abandon. */
struct mob_stream;

/*
 * Begins a stream. *out_first: its first node; the caller has a hold on it. opts
 * may be NULL. Errors: INVAL, NOMEM, STORE_FULL, LIMIT. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_stream_create(struct mob_store *store,
					    const struct mob_stream_opts *opts,
					    struct mob_stream **out_stream,
					    struct mob_ref *out_first);

/*
 * Appends an object, which the caller holds and goes on holding. Waits while the
 * bound is reached: until nodes have been freed, that is, passed by all who hold
 * them. Looks once in a millisecond. Errors: TIMEOUT, INTERRUPTED, CLOSED (the
 * session has ended), BAD_REF, STORE_FULL, LIMIT; nothing is appended. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_stream_put(struct mob_stream *stream,
					 struct mob_ref item,
					 int64_t timeout_ns);

/* Ends the stream: readers get 0 after the last item. The writer is gone, whatever
 * is returned. Since 0.1. */
MOB_API int mob_stream_end(struct mob_stream *stream);
/* The same, but readers get CANCELLED. NULL is allowed. Since 0.1. */
MOB_API void mob_stream_abandon(struct mob_stream *stream);

/*
 * Waits for the item of a node that the caller holds. 1: *out_item is the item, on
 * which the caller has a hold now, and *inout_node the next node, held in place of
 * the old one, which is released. 0: the stream has ended. Errors, which leave
 * both as they are: TIMEOUT, INTERRUPTED, CANCELLED, LOST (the writer died),
 * BAD_REF, TYPE (no node). Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_stream_next(struct mob_store *store,
					  struct mob_ref *inout_node,
					  int64_t timeout_ns,
					  struct mob_ref *out_item);

/* Item n of those from a held node on, which stays as it is: goes over the nodes
 * in between. 0: the stream has ended before. Otherwise as mob_stream_next. */
MOB_API MOB_NODISCARD int mob_stream_item(struct mob_store *store,
					  struct mob_ref node, uint64_t n,
					  int64_t timeout_ns,
					  struct mob_ref *out_item);

MOB_EXTERN_C_END

#endif /* MOBULA_STREAM_H */
