/* SPDX-License-Identifier: Apache-2.0 */
/* Every invariant of the queues, for tests and for the audit. */
#include "queue.h"

#include "queue_node.h"

#include <string.h>

/* Length of the run; or, above q->tasks, that it is broken. */
static uint32_t check_run(const struct mobi_queues *q,
			  const struct mobi_queue_head *h)
{
	uint32_t n = 0;
	uint32_t prev = NIL;

	for (uint32_t i = h->run_first; i != NIL; i = get(q, i, NEXT)) {
		if (++n > q->tasks || !queued(q, i) ||
		    part_of(q, i) != IN_RUN || get(q, i, PREV) != prev ||
		    (prev != NIL && !better(q, prev, i))) {
			return NIL;
		}
		prev = i;
	}
	return prev == h->run_last ? n : NIL;
}

static uint32_t check_ring(const struct mobi_queues *q, uint32_t leader)
{
	uint32_t n = 1;
	uint32_t prev = leader;

	for (uint32_t i = get_raw(q, leader, NEXT); i != leader;
	     i = get_raw(q, i, NEXT)) {
		if (++n > q->tasks || !queued(q, i) ||
		    part_of(q, i) != ON_RING || get_raw(q, i, PREV) != prev ||
		    !better(q, prev, i) ||
		    rank_of(q, i) != rank_of(q, leader)) {
			return NIL;
		}
		prev = i;
	}
	return get_raw(q, leader, PREV) == prev ? n : NIL;
}

/* The leader with the least rank of at least `from`. */
static uint32_t tree_from(const struct mobi_queues *q,
			  const struct mobi_queue_head *h, uint64_t from)
{
	uint32_t found = NIL;

	for (uint32_t n = h->root; n != NIL;) {
		if (rank_of(q, n) >= from) {
			found = n;
			n = get(q, n, LEFT);
		} else {
			n = get(q, n, RIGHT);
		}
	}
	return found;
}

static bool check_child(const struct mobi_queues *q, uint32_t i, unsigned side)
{
	uint32_t c = get(q, i, side);

	return c == NIL || (weight(rank_of(q, c)) < weight(rank_of(q, i)) &&
			    (rank_of(q, c) < rank_of(q, i)) == (side == LEFT));
}

static uint32_t check_tree(const struct mobi_queues *q,
			   const struct mobi_queue_head *h)
{
	uint32_t n = 0;
	uint32_t i = tree_from(q, h, 0);

	if (i != h->least) {
		return NIL;
	}
	while (i != NIL) {
		uint32_t ring = check_ring(q, i);

		if (ring == NIL || !queued(q, i) || part_of(q, i) != LEADER ||
		    !check_child(q, i, LEFT) || !check_child(q, i, RIGHT)) {
			return NIL;
		}
		n += ring;
		i = rank_of(q, i) == UINT64_MAX ?
			    NIL :
			    tree_from(q, h, rank_of(q, i) + 1);
	}
	return n;
}

static uint32_t check_arrivals(const struct mobi_queues *q,
			       const struct mobi_queue_head *h, uint32_t queue,
			       uint32_t shape)
{
	struct mobi_queue_entry e;
	uint32_t n = 0;
	uint32_t prev = NIL;

	for (uint32_t i = h->oldest; i != NIL; i = get(q, i, NEWER)) {
		if (++n > q->tasks || !mobi_queues_find(q, i, &e) ||
		    e.queue != queue || e.shape != shape ||
		    get(q, i, OLDER) != prev ||
		    (prev != NIL && !older(q, prev, i))) {
			return NIL;
		}
		prev = i;
	}
	return prev == h->newest ? n : NIL;
}

static const char *check_head(const struct mobi_queues *q, uint32_t queue,
			      uint32_t shape, uint32_t *n)
{
	const struct mobi_queue_head *h = head_at(q, queue, shape);
	uint32_t run = check_run(q, h);
	uint32_t tree = check_tree(q, h);

	*n = check_arrivals(q, h, queue, shape);
	if (run == NIL) {
		return "a run is broken or not sorted";
	}
	if (tree == NIL) {
		return "a tree is broken or not sorted";
	}
	if (*n == NIL) {
		return "a list of arrivals is broken";
	}
	if (*n == 0 || *n != run + tree) {
		return "run and tree are not what arrived";
	}
	return NULL;
}

const char *mobi_queues_check(const struct mobi_queues *q)
{
	uint32_t by_shape[MOBI_QUEUE_SHAPES] = { 0 };
	uint32_t total = 0;

	for (uint32_t k = 0; k < q->n_queues; k++) {
		uint32_t len = 0;

		for (uint64_t m = *shapes_at(q, k); m; m &= m - 1) {
			uint32_t s = (uint32_t)__builtin_ctzll(m);
			uint32_t n = 0;
			const char *what = check_head(q, k, s, &n);

			if (what) {
				return what;
			}
			len += n;
			by_shape[s] += n;
		}
		if (len != *len_at(q, k)) {
			return "the length of a queue is wrong";
		}
		total += len;
	}
	if (memcmp(by_shape, q->shape_len, sizeof(by_shape)) != 0) {
		return "the length of a shape is wrong";
	}
	return total == mobi_load(&q->total) ? NULL : "the total is wrong";
}
