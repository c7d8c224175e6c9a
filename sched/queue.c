/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues ordered by (rank, arrival).
 *
 * Ranks mostly come in order: rising (submission order, deadlines of equal
 * tasks), falling (newest first), or few different ones (priorities, learned
 * costs). So the order of one shape has two parts. The *run* is a sorted list:
 * a rank that is not below its last is appended, one that is below its first is
 * put in front, each in O(1). Everything else goes into the *tree*, a treap
 * with one leader for each different rank; tasks with the rank of a leader
 * hang on its ring, in order of arrival. The best is the smaller of the two
 * fronts. The weight of a treap node is a bijective hash of its rank: equal
 * ranks have equal weights, so that the next on the ring takes the leader's
 * place as it is, and two runs of a program build the same tree. Its depth is
 * logarithmic on average, and no operation is put off to be paid at once later.
 *
 * A list by arrival goes through both parts, for thieves.
 */
#include "queue.h"

#include "err.h"
#include "queue_node.h"

#include <string.h>

/* ---- run ---- */

/* Puts i between its neighbours if the rank belongs at one of the ends. */
static bool run_push(struct mobi_queues *q, struct mobi_queue_head *h,
		     uint32_t i)
{
	uint64_t rank = rank_of(q, i);

	if (h->run_last == NIL) {
		h->run_first = i;
		h->run_last = i;
	} else if (rank >= rank_of(q, h->run_last)) {
		set(q, h->run_last, NEXT, i);
		set(q, i, PREV, h->run_last);
		h->run_last = i;
	} else if (rank < rank_of(q, h->run_first)) {
		set(q, h->run_first, PREV, i);
		set(q, i, NEXT, h->run_first);
		h->run_first = i;
	} else {
		return false;
	}
	set_part(q, i, IN_RUN);
	return true;
}

static void run_remove(struct mobi_queues *q, struct mobi_queue_head *h,
		       uint32_t i)
{
	uint32_t prev = get(q, i, PREV);
	uint32_t next = get(q, i, NEXT);

	if (prev == NIL) {
		h->run_first = next;
	} else {
		set(q, prev, NEXT, next);
	}
	if (next == NIL) {
		h->run_last = prev;
	} else {
		set(q, next, PREV, prev);
	}
}

/* ---- tree ---- */

/* Where a node hangs: the link of a parent, or the root. */
struct spot {
	uint32_t parent;
	unsigned side;
};

static void spot_set(struct mobi_queues *q, struct mobi_queue_head *h,
		     struct spot s, uint32_t i)
{
	if (s.parent == NIL) {
		h->root = i;
	} else {
		set(q, s.parent, s.side, i);
	}
}

/* The spot of the leader of this rank, which is in the tree. */
static struct spot tree_find(const struct mobi_queues *q,
			     const struct mobi_queue_head *h, uint64_t rank)
{
	struct spot s = { NIL, LEFT };
	uint32_t n = h->root;

	while (rank_of(q, n) != rank) {
		s.parent = n;
		s.side = rank < rank_of(q, n) ? LEFT : RIGHT;
		n = get(q, n, s.side);
	}
	return s;
}

/* Hangs what is below and above the rank of i under i. */
static void tree_split(struct mobi_queues *q, struct mobi_queue_head *h,
		       uint32_t n, uint32_t i)
{
	struct spot below = { i, LEFT };
	struct spot above = { i, RIGHT };
	uint64_t rank = rank_of(q, i);

	while (n != NIL) {
		if (rank_of(q, n) < rank) {
			spot_set(q, h, below, n);
			below = (struct spot){ n, RIGHT };
			n = get(q, n, RIGHT);
		} else {
			spot_set(q, h, above, n);
			above = (struct spot){ n, LEFT };
			n = get(q, n, LEFT);
		}
	}
	spot_set(q, h, below, NIL);
	spot_set(q, h, above, NIL);
}

static void ring_push(struct mobi_queues *q, uint32_t leader, uint32_t i)
{
	uint32_t last = get_raw(q, leader, PREV);

	set(q, i, PREV, last);
	set(q, i, NEXT, leader);
	set(q, last, NEXT, i);
	set(q, leader, PREV, i);
	set_part(q, i, ON_RING);
}

static void tree_push(struct mobi_queues *q, struct mobi_queue_head *h,
		      uint32_t i)
{
	uint64_t rank = rank_of(q, i);
	uint64_t w = weight(rank);
	struct spot s = { NIL, LEFT };
	uint32_t n = h->root;

	while (n != NIL && weight(rank_of(q, n)) >= w) {
		if (rank_of(q, n) == rank) {
			ring_push(q, n, i);
			return;
		}
		s.parent = n;
		s.side = rank < rank_of(q, n) ? LEFT : RIGHT;
		n = get(q, n, s.side);
	}
	tree_split(q, h, n, i);
	spot_set(q, h, s, i);
	set_part(q, i, LEADER);
	if (h->least == NIL || rank < rank_of(q, h->least)) {
		h->least = i;
	}
}

/* The leader after the least one, which hangs at s and has none below it. */
static uint32_t tree_second(const struct mobi_queues *q, struct spot s,
			    uint32_t least)
{
	uint32_t n = get(q, least, RIGHT);

	if (n == NIL) {
		return s.parent;
	}
	for (uint32_t l = get(q, n, LEFT); l != NIL; l = get(q, n, LEFT)) {
		n = l;
	}
	return n;
}

static void tree_remove(struct mobi_queues *q, struct mobi_queue_head *h,
			uint32_t i)
{
	struct spot s = tree_find(q, h, rank_of(q, i));
	uint32_t l = get(q, i, LEFT);
	uint32_t r = get(q, i, RIGHT);

	if (h->least == i) {
		h->least = tree_second(q, s, i);
	}
	while (l != NIL && r != NIL) {
		if (weight(rank_of(q, l)) >= weight(rank_of(q, r))) {
			spot_set(q, h, s, l);
			s = (struct spot){ l, RIGHT };
			l = get(q, l, RIGHT);
		} else {
			spot_set(q, h, s, r);
			s = (struct spot){ r, LEFT };
			r = get(q, r, LEFT);
		}
	}
	spot_set(q, h, s, l != NIL ? l : r);
}

/* The next on the ring takes the leader's place in the tree. */
static void ring_promote(struct mobi_queues *q, struct mobi_queue_head *h,
			 uint32_t leader, uint32_t next)
{
	spot_set(q, h, tree_find(q, h, rank_of(q, leader)), next);
	set(q, next, LEFT, get(q, leader, LEFT));
	set(q, next, RIGHT, get(q, leader, RIGHT));
	set_part(q, next, LEADER);
	if (h->least == leader) {
		h->least = next;
	}
}

static void ring_remove(struct mobi_queues *q, struct mobi_queue_head *h,
			uint32_t i)
{
	uint32_t prev = get_raw(q, i, PREV);
	uint32_t next = get_raw(q, i, NEXT);

	if (next == i) {
		tree_remove(q, h, i);
		return;
	}
	if (part_of(q, i) == LEADER) {
		ring_promote(q, h, i, next);
	}
	set(q, prev, NEXT, next);
	set(q, next, PREV, prev);
}

/* ---- arrival ---- */

static void arrival_push(struct mobi_queues *q, struct mobi_queue_head *h,
			 uint32_t i)
{
	if (h->newest == NIL) {
		h->oldest = i;
	} else {
		set(q, h->newest, NEWER, i);
		set(q, i, OLDER, h->newest);
	}
	h->newest = i;
}

static void arrival_remove(struct mobi_queues *q, struct mobi_queue_head *h,
			   uint32_t i)
{
	uint32_t before = get(q, i, OLDER);
	uint32_t after = get(q, i, NEWER);

	if (before == NIL) {
		h->oldest = after;
	} else {
		set(q, before, NEWER, after);
	}
	if (after == NIL) {
		h->newest = before;
	} else {
		set(q, after, OLDER, before);
	}
}

/* ---- memory ---- */

static uint64_t round64(uint64_t n)
{
	return (n + 63) & ~UINT64_C(63);
}

/* Fills in where the parts are; returns where the nodes start. */
static uint64_t lay_out(uint32_t workers, uint32_t jobs,
			struct mobi_queues *out_at)
{
	uint64_t n = 1 + (uint64_t)workers + jobs;

	MOB_ASSERT(jobs >= 1 && n <= MOBI_QUEUE_QUEUES_MAX);
	out_at->n_queues = (uint32_t)n;
	out_at->len_off = round64(sizeof(struct mobi_queues));
	out_at->shapes_off = round64(out_at->len_off + n * sizeof(uint32_t));
	out_at->heads_off = round64(out_at->shapes_off + n * sizeof(uint64_t));
	out_at->nodes_off =
		round64(out_at->heads_off +
			n * MOBI_QUEUE_SHAPES * sizeof(struct mobi_queue_head));
	return out_at->nodes_off;
}

uint64_t mobi_queues_head_bytes(uint32_t workers, uint32_t jobs)
{
	struct mobi_queues at;

	return lay_out(workers, jobs, &at);
}

uint64_t mobi_queues_bytes(uint32_t tasks, uint32_t workers, uint32_t jobs)
{
	return mobi_queues_head_bytes(workers, jobs) +
	       (uint64_t)tasks * sizeof(struct mobi_queue_node);
}

uint64_t mobi_queues_node_range(const struct mobi_queues *q, uint32_t first,
				uint32_t n, uint64_t *out_off)
{
	*out_off = q->nodes_off +
		   (uint64_t)first * sizeof(struct mobi_queue_node);
	return (uint64_t)n * sizeof(struct mobi_queue_node);
}

void mobi_queues_init(struct mobi_queues *q, uint32_t tasks, uint32_t workers,
		      uint32_t jobs)
{
	MOB_ASSERT(tasks <= MOBI_QUEUE_TASKS_MAX);
	(void)lay_out(workers, jobs, q);
	q->tasks = tasks;
	q->workers = workers;
	q->jobs = jobs;
	mobi_queues_reset(q, 1);
}

void mobi_queues_reset(struct mobi_queues *q, uint32_t gen)
{
	MOB_ASSERT(gen != 0);
	mobi_store(&q->total, 0);
	q->gen = gen;
	q->passed = 0;
	memset(q->shape_len, 0, sizeof(q->shape_len));
	memset(len_at(q, 0), 0, q->n_queues * sizeof(uint32_t));
	memset(shapes_at(q, 0), 0, q->n_queues * sizeof(uint64_t));
}

/* ---- use ---- */

static void entry_of(const struct mobi_queues *q, uint32_t i,
		     struct mobi_queue_entry *out_entry)
{
	const struct mobi_queue_node *n = node_at(q, i);

	out_entry->task = i;
	out_entry->version = n->version;
	out_entry->queue = (uint32_t)(n->meta >> QUEUE_SHIFT) & QUEUE_MASK;
	out_entry->shape = (uint32_t)(n->meta >> SHAPE_SHIFT) & SHAPE_MASK;
	out_entry->rank = n->rank;
}

static void count(struct mobi_queues *q, uint32_t queue, uint32_t shape,
		  uint32_t by)
{
	*len_at(q, queue) += by;
	q->shape_len[shape] += by;
	/* seq_cst: a worker that parks sets its idle bit, then looks here. */
	mobi_store(&q->total, mobi_load_relaxed(&q->total) + by);
}

/* Out of everything, with the counts. */
static void take_out(struct mobi_queues *q, uint32_t i, uint32_t queue,
		     uint32_t shape)
{
	struct mobi_queue_head *h = head_at(q, queue, shape);

	if (part_of(q, i) == IN_RUN) {
		run_remove(q, h, i);
	} else {
		ring_remove(q, h, i);
	}
	arrival_remove(q, h, i);
	node_at(q, i)->gen = 0;
	if (h->oldest == NIL) {
		*shapes_at(q, queue) &= ~MOBI_BIT(shape);
	}
	count(q, queue, shape, UINT32_MAX);
	if (q->shape_len[shape] == 0) {
		q->passed &= ~MOBI_BIT(shape);
	}
}

bool mobi_queues_push(struct mobi_queues *q, const struct mobi_queue_entry *e)
{
	struct mobi_queue_node *n = node_at(q, e->task);
	struct mobi_queue_head *h = head_at(q, e->queue, e->shape);
	uint64_t *shapes = shapes_at(q, e->queue);

	MOB_ASSERT(e->task < q->tasks && e->queue < q->n_queues &&
		   e->shape < MOBI_QUEUE_SHAPES);
	if (queued(q, e->task)) {
		if ((int32_t)(e->version - n->version) <= 0) {
			return false;
		}
		(void)mobi_queues_remove(q, e->task);
	}
	if (!(*shapes & MOBI_BIT(e->shape))) {
		*shapes |= MOBI_BIT(e->shape);
		*h = (struct mobi_queue_head){ NIL, NIL, NIL, NIL, NIL, NIL };
	}
	n->rank = e->rank;
	n->meta = q->arrivals++ << ARRIVAL_SHIFT |
		  (uint64_t)e->queue << QUEUE_SHIFT |
		  (uint64_t)e->shape << SHAPE_SHIFT;
	n->version = e->version;
	/* Every link to itself: none. */
	n->link[0] = (uint64_t)e->task * (1 | UINT64_C(1) << LINK_BITS |
					  UINT64_C(1) << 2 * LINK_BITS);
	n->link[1] = n->link[0];
	if (!run_push(q, h, e->task)) {
		tree_push(q, h, e->task);
	}
	arrival_push(q, h, e->task);
	n->gen = q->gen;
	count(q, e->queue, e->shape, 1);
	return true;
}

static uint32_t front(const struct mobi_queues *q, uint32_t queue,
		      uint32_t shape, bool oldest)
{
	const struct mobi_queue_head *h = head_at(q, queue, shape);

	if (oldest) {
		return h->oldest;
	}
	if (h->run_first == NIL || h->least == NIL) {
		return h->run_first == NIL ? h->least : h->run_first;
	}
	return better(q, h->run_first, h->least) ? h->run_first : h->least;
}

static bool comes_first(const struct mobi_queues *q, uint32_t a, uint32_t b,
			bool oldest)
{
	return oldest ? older(q, a, b) : better(q, a, b);
}

/* Marks the shapes of `others` whose front comes before best (NIL: all). */
static void mark_passed(struct mobi_queues *q,
			const struct mobi_queue_want *want, uint64_t others,
			uint32_t best)
{
	for (; others; others &= others - 1) {
		uint32_t s = (uint32_t)__builtin_ctzll(others);
		uint32_t i = front(q, want->queue, s, want->oldest);

		if (best == NIL || comes_first(q, i, best, want->oldest)) {
			q->passed |= MOBI_BIT(s);
			q->passed_ns[s] = want->now_ns;
		}
	}
}

/* The best of the shapes that fit; NIL: there is none. */
static uint32_t best_of(const struct mobi_queues *q,
			const struct mobi_queue_want *want)
{
	uint32_t best = NIL;

	for (uint64_t m = mobi_queues_shapes(q, want->queue) & want->fits; m;
	     m &= m - 1) {
		uint32_t s = (uint32_t)__builtin_ctzll(m);
		uint32_t i = front(q, want->queue, s, want->oldest);

		if (best == NIL || comes_first(q, i, best, want->oldest)) {
			best = i;
		}
	}
	return best;
}

bool mobi_queues_peek(const struct mobi_queues *q,
		      const struct mobi_queue_want *want,
		      struct mobi_queue_entry *out_entry)
{
	uint32_t best = best_of(q, want);

	if (best == NIL) {
		return false;
	}
	entry_of(q, best, out_entry);
	return true;
}

bool mobi_queues_pop(struct mobi_queues *q, const struct mobi_queue_want *want,
		     struct mobi_queue_entry *out_entry)
{
	uint64_t shapes = *shapes_at(q, want->queue);
	uint32_t best = best_of(q, want);

	mark_passed(q, want, shapes & ~want->fits & ~q->passed, best);
	if (best == NIL) {
		return false;
	}
	entry_of(q, best, out_entry);
	take_out(q, best, out_entry->queue, out_entry->shape);
	q->passed &= ~MOBI_BIT(out_entry->shape);
	return true;
}

bool mobi_queues_remove(struct mobi_queues *q, uint32_t task)
{
	struct mobi_queue_entry e;

	if (!mobi_queues_find(q, task, &e)) {
		return false;
	}
	take_out(q, task, e.queue, e.shape);
	return true;
}

bool mobi_queues_find(const struct mobi_queues *q, uint32_t task,
		      struct mobi_queue_entry *out_entry)
{
	if (task >= q->tasks || !queued(q, task)) {
		return false;
	}
	entry_of(q, task, out_entry);
	return true;
}

bool mobi_queues_before(const struct mobi_queues *q, uint32_t a, uint32_t b)
{
	return better(q, a, b);
}

uint64_t mobi_queues_shapes(const struct mobi_queues *q, uint32_t queue)
{
	return *shapes_at(q, queue);
}

uint64_t mobi_queues_passed_ns(const struct mobi_queues *q, uint32_t shape)
{
	return q->passed & MOBI_BIT(shape) ? q->passed_ns[shape] : 0;
}

int mobi_queues_each(struct mobi_queues *q, uint32_t queue,
		     int (*fn)(const struct mobi_queue_entry *, void *arg),
		     void *arg)
{
	for (uint64_t m = *shapes_at(q, queue); m; m &= m - 1) {
		uint32_t s = (uint32_t)__builtin_ctzll(m);

		for (uint32_t i = head_at(q, queue, s)->oldest; i != NIL;) {
			struct mobi_queue_entry e;
			uint32_t next = get(q, i, NEWER);
			int rc;

			entry_of(q, i, &e);
			rc = fn(&e, arg);
			if (rc != 0) {
				return rc;
			}
			i = next;
		}
	}
	return 0;
}
