/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of streams of tasks. Both structs lie in the 48 bytes of a slot: the
 * stream is the value of its object, the head of a node stands where a value would
 * that has no block. So neither moves, and both can be written as long as the
 * object lives.
 */
#ifndef MOBI_YIELD_LAYOUT_H
#define MOBI_YIELD_LAYOUT_H

#include "store_layout.h"

/* A stream: its object is SEALED from the submit on. Objects are {gen, slot} + 1. */
struct mobi_stream {
	mobi_a64 head; /* node that the reader is in; 0: it has read the error
			* that ends the stream */
	mobi_a64 read; /* items that were read */
	mobi_a64 read_bytes;
	mobi_a64 reader; /* who reads: MOBI_READER_*; 0: nobody yet */
	mobi_a64 wanted; /* node that the reader waits for */
	mobi_a64 room;   /* object that the producer waits for */
};
MOBI_SIZE(struct mobi_stream, MOBI_INLINE_MAX);

/*
 * A node: pending while items are added to it, SEALED once there is a next one or
 * the task is over. Its block has the items, or the ids of objects that are the
 * items, which it keeps alive, as it does the next node.
 */
struct mobi_stream_node {
	mobi_a64 next;  /* 0: none yet, or, once it is SEALED, the end */
	mobi_a64 count; /* items in it */
	uint64_t store; /* the store's, of an object with a block: mobi_weak */
	uint64_t first; /* number of its first item in the stream */
	uint32_t type;  /* mob_type_id of the items */
	uint32_t size;  /* of an item in the block; 0: the items are objects */
	uint32_t cap;   /* items that fit */
	uint32_t reserved;
};
MOBI_SIZE(struct mobi_stream_node, MOBI_INLINE_MAX);
_Static_assert(offsetof(struct mobi_stream_node, store) ==
			       offsetof(struct mobi_weak, n) &&
		       sizeof(struct mobi_weak) ==
			       offsetof(struct mobi_weak, n) + 8,
	       "a node leaves the store its words");

/* What the producer waits for has these in its value: enough is read when both of
 * the first two are reached, or the third. There is room for one item when FEW and
 * BYTES are. */
enum {
	MOBI_ROOM_ITEMS = 0,
	MOBI_ROOM_BYTES = 1,
	MOBI_ROOM_ALL = 2, /* items */
	MOBI_ROOM_FEW = 3, /* items */
	MOBI_ROOM_WORDS = 4
};

/* A reader: {gen 32, attempt 8, kind 2, number 22} of a task or a process. */
#define MOBI_READER_TASK UINT64_C(0x800000)
#define MOBI_READER_PROCESS UINT64_C(0x400000)
#define MOBI_READER_KIND(r) ((r)&UINT64_C(0xc00000))
#define MOBI_READER_NUMBER(r) ((uint32_t)(r)&0x3fffffu)
#define MOBI_READER_ATTEMPT(r) ((uint32_t)(r) >> 24)
_Static_assert(MOBI_RECS <= 0x400000u, "a record's number fits");

#endif /* MOBI_YIELD_LAYOUT_H */
