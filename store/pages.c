/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format is that of LMDB 0.9 on a machine with 64 bits: two meta pages, of which
 * the one of the later transaction counts; a B+tree of free pages, and one of tables,
 * each a tree of its own. Keys in a page are in order; that they are so from page to
 * page is not looked at: a wrong bit there costs a row, not the process.
 */
#include "pages.h"

#include "err.h"
#include "os_dir.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0xBEEFC0DEu
#define FORMAT 1u
#define P_BRANCH 1u
#define P_LEAF 2u
#define P_OVERFLOW 4u
#define P_META 8u
#define N_BIG 1u   /* of a node: its value has pages of its own */
#define N_TABLE 2u /* its value is a tree */
/* Flags of a tree. */
#define T_INTEGER 8u
#define T_OTHERS 0x76u /* of keys and values in another order, or twice */
#define NO_PAGE UINT64_MAX
#define PAGE_MAX 65536u
#define DEPTH_MAX 32u
#define TABLES_MAX 64u
#define HEAD 16u /* of a page */
#define NODE 8u  /* head of a node */

struct tree {
	uint32_t pad; /* of free pages: the size of pages */
	uint16_t flags;
	uint16_t depth;
	uint64_t branches;
	uint64_t leaves;
	uint64_t overflows;
	uint64_t entries;
	uint64_t root;
};

struct meta {
	uint32_t magic;
	uint32_t version;
	uint64_t address;
	uint64_t map_bytes;
	struct tree tree[2]; /* free pages, tables */
	uint64_t last_page;
	uint64_t txn_id;
};

struct page_head {
	uint64_t number;
	uint16_t pad;
	uint16_t flags;
	uint16_t lower;
	uint16_t upper;
};

struct node {
	uint16_t lo;
	uint16_t hi;
	uint16_t flags;
	uint16_t key_size;
};

_Static_assert(sizeof(struct tree) == 48 && sizeof(struct meta) == 136 &&
		       sizeof(struct page_head) == HEAD &&
		       sizeof(struct node) == NODE,
	       "as LMDB has them");

/* A page to look at. */
struct todo {
	uint64_t page;
	uint32_t tree;
	uint32_t level; /* 1: a leaf */
};

struct walk {
	int fd;
	bool all;
	const char *what;
	uint32_t page_bytes;
	uint64_t pages; /* whole ones in the file */
	struct meta meta;
	struct tree tree[TABLES_MAX];
	struct tree seen[TABLES_MAX]; /* counts of what is there */
	uint32_t n_trees;
	uint64_t *used; /* a bit a page */
	struct todo *todo;
	size_t n_todo;
	size_t room;
	unsigned char *at;
};

static int damaged(const struct walk *k, uint64_t page, const char *why)
{
	return mobi_err(MOB_E_CORRUPT, "%s: page %llu of its LMDB file %s",
			k->what, (unsigned long long)page, why);
}

/* ---- meta pages ---- */

static int read_meta(const struct walk *k, uint64_t at, struct meta *out)
{
	unsigned char head[HEAD + sizeof(*out)];
	struct page_head p;
	uint64_t bytes = 0;
	int rc = mobi_fd_size(k->fd, &bytes);

	if (rc >= 0 && bytes < at + sizeof(head)) {
		return damaged(k, at != 0, "is cut off");
	}
	rc = rc < 0 ? rc : mobi_fd_read_at(k->fd, head, sizeof(head), at);
	if (rc < 0) {
		return rc;
	}
	memcpy(&p, head, sizeof(p));
	memcpy(out, head + HEAD, sizeof(*out));
	if (!(p.flags & P_META) || out->magic != MAGIC ||
	    out->version != FORMAT) {
		return damaged(k, at != 0, "is no head of a file");
	}
	if (out->tree[0].pad < 512 || out->tree[0].pad > PAGE_MAX ||
	    (out->tree[0].pad & (out->tree[0].pad - 1))) {
		return damaged(k, at != 0, "names an impossible size of pages");
	}
	return 0;
}

/* Which of the two counts. */
static int choose_meta(struct walk *k, uint64_t txn_id)
{
	struct meta m[2] = { 0 };
	int rc = read_meta(k, 0, &m[0]);

	if (rc >= 0) {
		rc = read_meta(k, m[0].tree[0].pad, &m[1]);
	}
	if (rc < 0) {
		return rc;
	}
	if (m[0].tree[0].pad != m[1].tree[0].pad) {
		return damaged(k, 1, "has another size than page 0 says");
	}
	k->meta = m[m[1].txn_id > m[0].txn_id];
	if (txn_id && k->meta.txn_id != txn_id) {
		k->meta = m[m[1].txn_id <= m[0].txn_id];
	}
	if (txn_id && k->meta.txn_id != txn_id) {
		return mobi_err(MOB_E_AGAIN, "%s: it changes", k->what);
	}
	k->page_bytes = m[0].tree[0].pad;
	return 0;
}

/* ---- pages to look at ---- */

/* Pages that somebody names: they are there, and nobody else has them. */
static int claim(struct walk *k, uint64_t first, uint64_t n)
{
	if (first < 2 || n > k->pages || first > k->pages - n) {
		return damaged(k, first, "is beyond its end");
	}
	if (first + n - 1 > k->meta.last_page) {
		return damaged(k, first, "was never used");
	}
	for (uint64_t i = first; i < first + n; i++) {
		if (k->used[i / 64] & UINT64_C(1) << i % 64) {
			return damaged(k, i, "is named twice");
		}
		k->used[i / 64] |= UINT64_C(1) << i % 64;
	}
	return 0;
}

static int push(struct walk *k, uint64_t page, uint32_t tree, uint32_t level)
{
	int rc = claim(k, page, 1);

	if (rc < 0) {
		return rc;
	}
	if (k->n_todo == k->room) {
		size_t room = k->room ? 2 * k->room : 64;
		struct todo *to = realloc(k->todo, room * sizeof(*to));

		if (!to) {
			return mobi_err(MOB_E_NOMEM, "%s: no memory", k->what);
		}
		k->todo = to;
		k->room = room;
	}
	k->todo[k->n_todo++] = (struct todo){ page, tree, level };
	return 0;
}

/* As LMDB makes the tree of free pages, which has flags of the environment, too; and
 * as ours are. */
static bool has_known_flags(const struct walk *k, const struct tree *t)
{
	return k->n_trees ? !(t->flags & ~T_INTEGER) :
			    (t->flags & (T_INTEGER | T_OTHERS)) == T_INTEGER;
}

static int push_tree(struct walk *k, uint64_t page, const struct tree *t)
{
	if ((t->root == NO_PAGE) != (t->depth == 0) || t->depth > DEPTH_MAX ||
	    k->n_trees == TABLES_MAX || !has_known_flags(k, t)) {
		return damaged(k, page, "has an impossible table");
	}
	k->tree[k->n_trees++] = *t;
	return t->depth ? push(k, t->root, k->n_trees - 1, t->depth) : 0;
}

/* ---- a page ---- */

/* Numbers of free pages: each is nobody's. */
static int look_at_free(struct walk *k, uint64_t page, const unsigned char *at,
			uint64_t size)
{
	uint64_t before = UINT64_MAX;
	uint64_t n;

	memcpy(&n, at, size < sizeof(n) ? size : sizeof(n));
	if (size < sizeof(n) || size % 8 || n > size / 8 - 1) {
		return damaged(k, page,
			       "has a list of free pages of a wrong "
			       "length");
	}
	for (uint64_t i = 0; i < n; i++) {
		uint64_t is_free;

		memcpy(&is_free, at + 8 + 8 * i, sizeof(is_free));
		/* The largest first. It may lie beyond the end: it was never
		 * written. */
		if (is_free < 2 || is_free > k->meta.last_page ||
		    is_free >= before) {
			return damaged(k, page,
				       "calls a page free that is "
				       "none");
		}
		before = is_free;
		if (is_free < k->pages && claim(k, is_free, 1) < 0) {
			return damaged(k, is_free, "is free, and in use");
		}
	}
	return 0;
}

/* A value with pages of its own. */
static int look_at_big(struct walk *k, const struct todo *t, uint64_t first,
		       uint64_t size)
{
	uint64_t n = (HEAD - 1 + size) / k->page_bytes + 1;
	struct page_head h;
	unsigned char *at;
	int rc = claim(k, first, n);

	k->seen[t->tree].overflows += n;
	if (rc >= 0) {
		rc = mobi_fd_read_at(k->fd, &h, sizeof(h),
				     first * k->page_bytes);
	}
	if (rc < 0) {
		return rc;
	}
	if (h.number != first || h.flags != P_OVERFLOW ||
	    ((uint32_t)h.upper << 16 | h.lower) != n) {
		return damaged(k, first, "is not the beginning of a value");
	}
	if (t->tree) {
		return 0;
	}
	at = malloc(size + 1);
	if (!at) {
		return mobi_err(MOB_E_NOMEM, "%s: no memory", k->what);
	}
	rc = mobi_fd_read_at(k->fd, at, size, first * k->page_bytes + HEAD);
	rc = rc < 0 ? rc : look_at_free(k, first, at, size);
	free(at);
	return rc;
}

static int look_at_value(struct walk *k, const struct todo *t,
			 const struct node *n, const unsigned char *at,
			 uint64_t room)
{
	uint64_t size = (uint64_t)n->hi << 16 | n->lo;
	struct tree table;
	uint64_t first;

	k->seen[t->tree].entries++;
	if (n->flags & N_BIG) {
		memcpy(&first, at, room < 8 ? room : 8);
		return room < 8 || n->flags != N_BIG || size > UINT32_MAX / 2 ?
			       damaged(k, t->page, "has an impossible value") :
			       look_at_big(k, t, first, size);
	}
	if (size > room || (n->flags && n->flags != N_TABLE) ||
	    (n->flags && (t->tree != 1 || size != sizeof(table))) ||
	    (!n->flags && t->tree == 1)) {
		return damaged(k, t->page, "has an impossible value");
	}
	if (n->flags) {
		memcpy(&table, at, sizeof(table));
		return push_tree(k, t->page, &table);
	}
	return t->tree ? 0 : look_at_free(k, t->page, at, size);
}

static int look_at_node(struct walk *k, const struct todo *t, uint32_t place)
{
	uint32_t end = k->page_bytes;
	struct node n;

	memcpy(&n, k->at + place, sizeof(n));
	if (place + NODE + n.key_size > end) {
		return damaged(k, t->page, "has a key that does not end");
	}
	if (t->level > 1) {
		return push(k,
			    (uint64_t)n.flags << 32 | (uint64_t)n.hi << 16 |
				    n.lo,
			    t->tree, t->level - 1);
	}
	place += NODE;
	if (!t->tree) {
		uint64_t freed_by = 0;

		memcpy(&freed_by, k->at + place,
		       n.key_size < 8 ? n.key_size : 8);
		if (n.key_size != 8 || freed_by > k->meta.txn_id) {
			return damaged(k, t->page,
				       "has pages freed by a later "
				       "transaction");
		}
	}
	place += n.key_size;
	return look_at_value(k, t, &n, k->at + place, end - place);
}

/* Is the key of a node behind that of the one before it? */
static bool in_order(const struct walk *k, const struct todo *t,
		     const unsigned char *a, size_t n_a, const unsigned char *b,
		     size_t n_b)
{
	bool integer = !t->tree || (k->tree[t->tree].flags & T_INTEGER);
	uint64_t x = 0;
	uint64_t y = 0;
	int order;

	if (integer) {
		if ((n_a != 4 && n_a != 8) || n_a != n_b) {
			return false;
		}
		memcpy(&x, a, n_a);
		memcpy(&y, b, n_b);
		return x < y;
	}
	order = memcmp(a, b, n_a < n_b ? n_a : n_b);
	return order < 0 || (order == 0 && n_a < n_b);
}

/* What an entry takes of its page. */
static uint32_t node_bytes(const struct todo *t, const struct node *n)
{
	uint32_t value = t->level > 1     ? 0 :
			 n->flags & N_BIG ? 8 :
					    (uint32_t)n->hi << 16 | n->lo;

	return (NODE + n->key_size + value + 1) / 2 * 2;
}

/* Entries fill the page from its end, without a gap; their keys are in order. */
static int look_at_keys(const struct walk *k, const struct todo *t, uint32_t n,
			uint32_t upper)
{
	const unsigned char *before = NULL;
	uint32_t bytes = 0;
	size_t n_before = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct node nd;
		uint16_t place;

		memcpy(&place, k->at + HEAD + (size_t)2 * i, sizeof(place));
		memcpy(&nd, k->at + place, sizeof(nd));
		bytes += node_bytes(t, &nd);
		if (i == 0 && t->level > 1) {
			continue; /* it stands for all that are smaller */
		}
		if (!nd.key_size ||
		    (before && !in_order(k, t, before, n_before,
					 k->at + place + NODE, nd.key_size))) {
			return damaged(k, t->page,
				       "has keys that are not in "
				       "order");
		}
		before = k->at + place + NODE;
		n_before = nd.key_size;
	}
	return bytes == k->page_bytes - upper ?
		       0 :
		       damaged(k, t->page, "has entries that overlap");
}

static int look_at_page(struct walk *k, const struct todo *t)
{
	uint32_t kind = t->level > 1 ? P_BRANCH : P_LEAF;
	struct page_head h;
	uint32_t n;
	int rc;

	/* The leaves of tables name nothing but their big values. */
	if (!k->all && t->level == 1 && t->tree > 1) {
		return 0;
	}
	rc = mobi_fd_read_at(k->fd, k->at, k->page_bytes,
			     t->page * k->page_bytes);
	if (rc < 0) {
		return rc;
	}
	memcpy(&h, k->at, sizeof(h));
	n = h.lower < HEAD ? 0 : (h.lower - HEAD) / 2u;
	if (h.number != t->page || h.flags != kind || h.lower % 2 ||
	    h.lower > h.upper || h.upper > k->page_bytes ||
	    n < (t->level > 1 && t->tree ? 2u : 1u)) {
		return damaged(k, t->page, "is not what it should be");
	}
	k->seen[t->tree].branches += t->level > 1;
	k->seen[t->tree].leaves += t->level == 1;
	for (uint32_t i = 0; i < n && rc >= 0; i++) {
		uint16_t place;

		memcpy(&place, k->at + HEAD + (size_t)2 * i, sizeof(place));
		rc = place < h.upper || place + NODE > k->page_bytes ?
			     damaged(k, t->page,
				     "has an entry outside of "
				     "it") :
			     look_at_node(k, t, place);
	}
	return rc < 0 ? rc : look_at_keys(k, t, n, h.upper);
}

/* ---- the whole ---- */

/* The counts that stand in each tree are those of its pages. */
static int compare_counts(const struct walk *k)
{
	for (uint32_t i = 0; i < k->n_trees; i++) {
		const struct tree *t = &k->tree[i];
		const struct tree *is = &k->seen[i];

		if (t->branches != is->branches || t->leaves != is->leaves ||
		    t->overflows != is->overflows ||
		    t->entries != is->entries) {
			return damaged(k, i < 2 ? 0 : k->tree[1].root,
				       "counts a table wrong");
		}
	}
	return 0;
}

static int walk_all(struct walk *k)
{
	int rc = push_tree(k, 0, &k->meta.tree[0]);

	rc = rc < 0 ? rc : push_tree(k, 0, &k->meta.tree[1]);
	while (rc >= 0 && k->n_todo) {
		struct todo t = k->todo[--k->n_todo];

		rc = look_at_page(k, &t);
	}
	return rc < 0 || !k->all ? rc : compare_counts(k);
}

int mobi_pages_check(int fd, uint64_t txn_id, bool all, const char *what)
{
	struct walk *k = calloc(1, sizeof(*k));
	uint64_t bytes = 0;
	int rc;

	if (!k) {
		return mobi_err(MOB_E_NOMEM, "%s: no memory", what);
	}
	k->fd = fd;
	k->all = all;
	k->what = what;
	rc = mobi_fd_size(fd, &bytes);
	if (rc >= 0 && bytes) {
		rc = choose_meta(k, txn_id);
		if (rc >= 0 && k->page_bytes) {
			k->pages = bytes / k->page_bytes;
			k->used = calloc(k->pages / 64 + 1, sizeof(*k->used));
			k->at = malloc(k->page_bytes);
			rc = k->used && k->at ? walk_all(k) :
						mobi_err(MOB_E_NOMEM,
							 "%s: no memory", what);
		}
	}
	free(k->used);
	free(k->at);
	free(k->todo);
	free(k);
	return rc < 0 ? rc : 0;
}
