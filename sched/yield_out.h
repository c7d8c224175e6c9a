/* SPDX-License-Identifier: Apache-2.0 */
/* The producing end of a stream, inside: what a task that yields has of it. */
#ifndef MOBI_YIELD_OUT_H
#define MOBI_YIELD_OUT_H

#include "yield.h"

struct mobi_stream_out {
	uint64_t id;    /* the stream: not held, so that it can be let go */
	uint64_t node;  /* that is written, held */
	uint64_t first; /* number of its first item */
	uint64_t n;     /* items in it */
	uint64_t cap;
	uint64_t keeps; /* bytes of the objects in it */
	unsigned char *at;
	uint32_t edge;  /* hint: a free one */
	uint32_t shift; /* the bounds are so many times doubled */
	uint32_t quiet; /* so often nothing was read while it slept */
	uint64_t index; /* yields of this attempt */
	uint64_t skip;  /* so many items were there when it began */
	uint64_t bytes; /* of all items so far */
	uint64_t max_items;
	uint64_t max_bytes;
	const struct mob_task_def *def;
	bool cancel;
	bool gone; /* nobody has the stream any more */
};

/* Nobody has the stream any more. */
bool mobi_stream_is_gone(const struct mob_store *s,
			 struct mobi_stream_out *out);

/* Waits until an item of so many bytes may be added, or the stream is gone. DEADLOCK:
 * whoever may read waits for what only this task can end. */
int mobi_stream_await_room(struct mob_store *s, struct mobi_context *c,
			   uint64_t bytes, int64_t timeout_ns);

#endif /* MOBI_YIELD_OUT_H */
