/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside queue.c and queue_check.c: the fields of nodes and heads. How they
 * make an order is told in queue.c.
 */
#ifndef MOBI_QUEUE_NODE_H
#define MOBI_QUEUE_NODE_H

#include "queue.h"

#define NIL UINT32_MAX

enum { LEFT, RIGHT, OLDER, PREV, NEXT, NEWER };
enum { IN_RUN, LEADER, ON_RING };

#define LINK_BITS 21
#define LINK_MASK (MOBI_QUEUE_TASKS_MAX - 1u)
#define ARRIVAL_SHIFT 25
#define QUEUE_SHIFT 8
#define QUEUE_MASK (MOBI_QUEUE_QUEUES_MAX - 1u)
#define SHAPE_SHIFT 2
#define SHAPE_MASK (MOBI_QUEUE_SHAPES - 1u)
#define PART_MASK 3u

static inline struct mobi_queue_node *node_at(const struct mobi_queues *q,
					      uint32_t i)
{
	return (struct mobi_queue_node *)((uintptr_t)q + q->nodes_off) + i;
}

static inline struct mobi_queue_head *head_at(const struct mobi_queues *q,
					      uint32_t queue, uint32_t shape)
{
	return (struct mobi_queue_head *)((uintptr_t)q + q->heads_off) +
	       (size_t)queue * MOBI_QUEUE_SHAPES + shape;
}

static inline uint64_t *shapes_at(const struct mobi_queues *q, uint32_t queue)
{
	return (uint64_t *)((uintptr_t)q + q->shapes_off) + queue;
}

static inline uint32_t *len_at(const struct mobi_queues *q, uint32_t queue)
{
	return (uint32_t *)((uintptr_t)q + q->len_off) + queue;
}

/* ---- links ---- */

static inline uint32_t get_raw(const struct mobi_queues *q, uint32_t i,
			       unsigned k)
{
	return (uint32_t)(node_at(q, i)->link[k / 3] >> LINK_BITS * (k % 3)) &
	       LINK_MASK;
}

static inline uint32_t get(const struct mobi_queues *q, uint32_t i, unsigned k)
{
	uint32_t to = get_raw(q, i, k);

	return to == i ? NIL : to;
}

static inline void set(struct mobi_queues *q, uint32_t i, unsigned k,
		       uint32_t to)
{
	uint64_t *word = &node_at(q, i)->link[k / 3];
	unsigned shift = LINK_BITS * (k % 3);

	*word = (*word & ~((uint64_t)LINK_MASK << shift)) |
		(uint64_t)(to == NIL ? i : to) << shift;
}

static inline uint64_t rank_of(const struct mobi_queues *q, uint32_t i)
{
	return node_at(q, i)->rank;
}

static inline uint32_t part_of(const struct mobi_queues *q, uint32_t i)
{
	return (uint32_t)node_at(q, i)->meta & PART_MASK;
}

static inline void set_part(struct mobi_queues *q, uint32_t i, uint32_t part)
{
	struct mobi_queue_node *n = node_at(q, i);

	n->meta = (n->meta & ~(uint64_t)PART_MASK) | part;
}

/* The lower bits do not reach the sign of a difference of arrivals. */
static inline bool older(const struct mobi_queues *q, uint32_t a, uint32_t b)
{
	uint64_t x = node_at(q, a)->meta >> ARRIVAL_SHIFT;
	uint64_t y = node_at(q, b)->meta >> ARRIVAL_SHIFT;

	return (int64_t)((x - y) << ARRIVAL_SHIFT) < 0;
}

static inline bool better(const struct mobi_queues *q, uint32_t a, uint32_t b)
{
	uint64_t x = rank_of(q, a);
	uint64_t y = rank_of(q, b);

	return x != y ? x < y : older(q, a, b);
}

/* The finaliser of splitmix64: a bijection. */
static inline uint64_t weight(uint64_t rank)
{
	rank = (rank ^ rank >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	rank = (rank ^ rank >> 27) * UINT64_C(0x94d049bb133111eb);
	return rank ^ rank >> 31;
}

static inline bool queued(const struct mobi_queues *q, uint32_t task)
{
	return node_at(q, task)->gen == q->gen;
}

#endif /* MOBI_QUEUE_NODE_H */
