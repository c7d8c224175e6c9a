/* SPDX-License-Identifier: Apache-2.0 */
/* mob memory: every byte of a store, and what keeps it. */
#include "cmd.h"
#include "out.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CREATORS 64u /* numbers of processes, and 0 */

struct sum {
	uint64_t objects;
	uint64_t size;
	uint64_t in_blocks; /* of that size */
	uint64_t blocks;
};

struct memory {
	struct sum kind[MOB_MEMORY_KINDS];
	struct sum creator[CREATORS];
	struct sum all;
	struct mob_memory_info *object; /* if they are wanted */
	size_t n;
	size_t max;
	bool keep;
	bool failed;
};

static void add_to(struct sum *s, const struct mob_memory_info *i)
{
	/* One that is being written has a block, and no size yet. */
	uint64_t size = i->size || i->state != MOB_OBJECT_PENDING ?
				i->size :
				i->block_bytes;

	s->objects++;
	s->size += size;
	s->in_blocks += i->block_bytes ? size : 0;
	s->blocks += i->block_bytes;
}

static int add(const struct mob_memory_info *i, void *arg)
{
	struct memory *m = arg;

	add_to(&m->kind[i->kind % MOB_MEMORY_KINDS], i);
	add_to(&m->creator[i->creator % CREATORS], i);
	add_to(&m->all, i);
	if (!m->keep) {
		return 0;
	}
	if (m->n == m->max) {
		size_t max = m->max ? 2 * m->max : 1024;
		struct mob_memory_info *more = realloc(m->object,
						       max * sizeof(*more));

		if (!more) {
			m->failed = true;
			return 1;
		}
		m->object = more;
		m->max = max;
	}
	m->object[m->n++] = *i;
	return 0;
}

/* ---- by kind ---- */

static const struct out_col kind_cols[] = {
	{ "kind", "KIND", OUT_TEXT },
	{ "objects", "OBJECTS", OUT_COUNT },
	{ "size_bytes", "VALUES", OUT_BYTES },
	{ "memory_bytes", "MEMORY", OUT_BYTES },
	{ 0 },
};

static void print_rest(struct out *o, const char *kind, uint64_t bytes)
{
	out_text(o, kind);
	out_none(o);
	out_none(o);
	out_u64(o, bytes);
	out_end_row(o);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0; /* they were not read at the same moment */
}

static int print_kinds(const struct memory *m, const struct mob_store_stat *st)
{
	struct out o;

	out_begin(&o, kind_cols);
	for (uint32_t k = 0; k < MOB_MEMORY_KINDS; k++) {
		out_text(&o, mob_memory_kind_name(k));
		out_u64(&o, m->kind[k].objects);
		out_u64(&o, m->kind[k].size);
		out_u64(&o, m->kind[k].in_blocks);
		out_end_row(&o);
	}
	print_rest(&o, "fragmentation", less(m->all.blocks, m->all.in_blocks));
	print_rest(&o, "free", less(st->arena_backed_bytes, m->all.blocks));
	print_rest(&o, "tables", less(st->file_bytes, st->arena_backed_bytes));
	print_rest(&o, "total", st->file_bytes);
	cli_say("the arena may grow by %llu bytes more",
		(unsigned long long)less(st->arena_bytes,
					 st->arena_backed_bytes));
	return out_end(&o);
}

/* ---- by creator ---- */

static int print_creators(const struct memory *m)
{
	static const struct out_col cols[] = {
		{ "creator", "CREATOR", OUT_COUNT },
		{ "objects", "OBJECTS", OUT_COUNT },
		{ "size_bytes", "VALUES", OUT_BYTES },
		{ "block_bytes", "BLOCKS", OUT_BYTES },
		{ 0 },
	};
	struct out o;

	out_begin(&o, cols);
	for (uint32_t c = 0; c < CREATORS; c++) {
		if (m->creator[c].objects) {
			out_u64(&o, c);
			out_u64(&o, m->creator[c].objects);
			out_u64(&o, m->creator[c].size);
			out_u64(&o, m->creator[c].blocks);
			out_end_row(&o);
		}
	}
	return out_end(&o);
}

/* ---- by object ---- */

static int by_size(const void *a, const void *b)
{
	const struct mob_memory_info *x = a;
	const struct mob_memory_info *y = b;
	uint64_t xs = x->block_bytes ? x->block_bytes : x->size;
	uint64_t ys = y->block_bytes ? y->block_bytes : y->size;

	if (xs != ys) {
		return xs < ys ? 1 : -1;
	}
	return x->ref.lo < y->ref.lo ? -1 : x->ref.lo > y->ref.lo;
}

static int print_objects(struct memory *m, uint64_t limit, uint64_t age_ms)
{
	static const struct out_col cols[] = {
		{ "ref", "REF", OUT_TEXT },
		{ "kind", "KIND", OUT_TEXT },
		{ "size_bytes", "SIZE", OUT_BYTES },
		{ "block_bytes", "BLOCK", OUT_BYTES },
		{ "state", "STATE", OUT_TEXT },
		{ "creator", "CREATOR", OUT_COUNT },
		{ "age_ns", "AGE", OUT_NS },
		{ "processes", "PROCESSES", OUT_COUNT },
		{ "edges", "EDGES", OUT_COUNT },
		{ "names", "NAMES", OUT_COUNT },
		{ "pins", "PINS", OUT_COUNT },
		{ 0 },
	};
	struct out o;

	if (m->n) {
		qsort(m->object, m->n, sizeof(*m->object), by_size);
	}
	out_begin(&o, cols);
	for (size_t i = 0; i < m->n && (!limit || i < limit); i++) {
		const struct mob_memory_info *x = &m->object[i];
		char text[CMD_REF_MAX];

		out_text(&o, cmd_ref_text(text, x->ref));
		out_text(&o, mob_memory_kind_name(x->kind));
		out_u64(&o, x->size);
		out_u64(&o, x->block_bytes);
		out_text(&o, cmd_state_name(x->state));
		out_u64(&o, x->creator);
		out_u64_some(&o, x->born_ms ?
					 less(age_ms, x->born_ms) * 1000000 :
					 0);
		out_u64(&o, x->processes);
		out_u64(&o, x->edges);
		out_u64(&o, x->names);
		out_u64(&o, x->pins);
		out_end_row(&o);
	}
	cli_say("objects: %zu", m->n);
	return out_end(&o);
}

static int run(struct cli *c)
{
	const char *by = cli_text(c, "by");
	struct memory *m = calloc(1, sizeof(*m));
	struct mob_store_stat st;
	struct mob_store *store;
	int rc;

	if (!m) {
		return cli_fail(CLI_FAILED, NULL, "out of memory");
	}
	rc = cmd_store_open(c, c->n_args ? c->args[0] : NULL, &store);
	if (rc) {
		free(m);
		return rc;
	}
	m->keep = strcmp(by, "object") == 0;
	rc = mob_store_memory(store, add, m);
	rc = rc < 0 ? rc : mob_store_stat(store, &st);
	if (rc < 0) {
		rc = cli_fail_rc(rc, mob_store_name(store));
	} else if (m->failed) {
		rc = cli_fail(CLI_FAILED, NULL, "out of memory");
	} else if (m->keep) {
		rc = print_objects(m, cli_number(c, "limit"), st.age_ms);
	} else if (strcmp(by, "creator") == 0) {
		rc = print_creators(m);
	} else {
		rc = print_kinds(m, &st);
	}
	mob_store_close(store);
	free(m->object);
	free(m);
	return rc;
}

static const struct cli_opt opts[] = {
	{ "by", 0, CLI_CHOICE, "kind|creator|object", "kind",
	  "a line for each of these" },
	{ "limit", 'n', CLI_NUMBER, "N", NULL,
	  "by object: at most so many, the largest" },
	{ 0 },
};

const struct cli_cmd cmd_memory[] = {
	{ .args = "[NAME]",
	  .help = "every byte of a store, and what keeps it",
	  .opts = opts,
	  .run = run,
	  .args_max = 1,
	  .flags = CLI_F_SESSION,
	  .complete = CLI_SESSION },
	{ 0 },
};
