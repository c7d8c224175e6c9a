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
	uint64_t blocks;
};

/* Rows of places, and 0 for what is of none. */
#define SITES 1025u

struct site_sum {
	struct sum sum;
	uint32_t site;
};

struct memory {
	struct sum creator[CREATORS];
	struct site_sum site[SITES];
	struct mob_memory_info *object; /* if they are wanted */
	size_t n;
	size_t max;
	bool keep;
	bool failed;
};

static void add_to(struct sum *s, const struct mob_memory_info *i)
{
	s->objects++;
	s->size += i->size;
	s->blocks += i->block_bytes;
}

static int add(const struct mob_memory_info *i, void *arg)
{
	struct memory *m = arg;
	uint32_t site = i->site < SITES ? i->site : 0;

	add_to(&m->creator[i->creator % CREATORS], i);
	add_to(&m->site[site].sum, i);
	m->site[site].site = site;
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
	{ "pending_bytes", "PENDING", OUT_BYTES },
	{ "spilled_bytes", "SPILLED", OUT_BYTES },
	{ "table_bytes", NULL, OUT_BYTES },
	{ "part_bytes", NULL, OUT_BYTES },
	{ 0 },
};

static void print_objects_of(struct out *o, const char *kind,
			     const struct mob_memory_sum *s, uint64_t memory)
{
	out_text(o, kind);
	out_u64(o, s->objects);
	out_u64(o, s->size);
	out_u64(o, memory);
	out_u64(o, s->pending_bytes);
	out_u64(o, s->file_bytes);
	out_u64(o, s->inside_bytes);
	out_u64(o, s->part_bytes);
	out_end_row(o);
}

static void print_rest(struct out *o, const char *kind, uint64_t bytes)
{
	out_text(o, kind);
	out_none(o);
	out_none(o);
	out_u64(o, bytes);
	for (int i = 0; i < 4; i++) {
		out_none(o);
	}
	out_end_row(o);
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0; /* they were not read at the same moment */
}

/* Memory of the arena, as all its kinds add up to it. */
static uint64_t arena_memory(const struct mob_memory_sums *m)
{
	return m->all.used_bytes + m->all.padding_bytes + m->tail_bytes +
	       m->reserved_bytes + m->moving_bytes + m->free_bytes;
}

/* One comparison; true if the numbers are equal. */
static bool say_equal(const char *what, uint64_t sum, const char *found_by,
		      uint64_t found)
{
	if (sum == found) {
		cli_say("%s: %llu bytes, by %s too: ok", what,
			(unsigned long long)sum, found_by);
	} else {
		cli_say("%s: %llu bytes, by %s %llu: %llu bytes %s", what,
			(unsigned long long)sum, found_by,
			(unsigned long long)found,
			(unsigned long long)(sum > found ? sum - found :
							   found - sum),
			sum > found ? "too much" : "are missing");
	}
	return sum == found;
}

static int say_verdict(const struct mob_memory_sums *m)
{
	uint64_t sum = arena_memory(m);

	(void)say_equal("blocks of objects", m->all.block_bytes,
			"the tags of blocks", m->found_block_bytes);
	(void)say_equal("memory of the arena", sum, "the bits of units",
			m->found_backed_bytes);
	(void)say_equal("the arena, with what has no memory yet",
			sum + m->bare_bytes, "its size", m->found_arena_bytes);
	if (m->verdict == MOB_MEMORY_CHANGING) {
		cli_say("the store is in use: these were not read at one "
			"moment");
	}
	return m->verdict != MOB_MEMORY_WRONG ?
		       CLI_DONE :
		       cli_fail(CLI_FAILED, "'mob store check' looks for what",
				"the sums are not what is there");
}

static int print_kinds(const struct mob_memory_sums *m)
{
	struct out o;

	out_begin(&o, kind_cols);
	for (uint32_t k = 0; k < MOB_MEMORY_KINDS; k++) {
		print_objects_of(&o, mob_memory_kind_name(k), &m->kind[k],
				 m->kind[k].used_bytes);
	}
	print_rest(&o, "fragmentation", m->all.padding_bytes + m->tail_bytes);
	print_rest(&o, "reserved", m->reserved_bytes);
	print_rest(&o, "moving", m->moving_bytes);
	print_rest(&o, "free", m->free_bytes);
	print_rest(&o, "tables", m->tables_bytes);
	print_rest(&o, "catalogue", m->catalogue_bytes);
	print_objects_of(&o, "total", &m->all,
			 arena_memory(m) + m->tables_bytes +
				 m->catalogue_bytes);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	cli_say("the arena may grow by %llu bytes more",
		(unsigned long long)m->bare_bytes);
	return say_verdict(m);
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

/* ---- by holder ---- */

static int by_held(const void *a, const void *b)
{
	const struct mob_process *x = a;
	const struct mob_process *y = b;

	if (x->held_bytes != y->held_bytes) {
		return x->held_bytes < y->held_bytes ? 1 : -1;
	}
	return x->number < y->number ? -1 : x->number > y->number;
}

/* What several hold counts for each of them: no sum of it is that of the store. */
static int run_holders(struct mob_store *store)
{
	static const struct out_col cols[] = {
		{ "number", "NUMBER", OUT_COUNT },
		{ "pid", "PID", OUT_COUNT },
		{ "command", "COMMAND", OUT_TEXT },
		{ "state", "STATE", OUT_TEXT },
		{ "held_objects", "HELD", OUT_COUNT },
		{ "held_bytes", "BLOCKS", OUT_BYTES },
		{ "viewed_bytes", "VIEWED", OUT_BYTES },
		{ 0 },
	};
	static struct mob_activity act;
	struct out o;
	int rc = mob_store_activity(store, &act);

	if (rc < 0) {
		return cli_fail_rc(rc, mob_store_name(store));
	}
	qsort(act.process, act.n_processes, sizeof(act.process[0]), by_held);
	out_begin(&o, cols);
	for (uint32_t i = 0; i < act.n_processes; i++) {
		const struct mob_process *p = &act.process[i];

		out_u64(&o, p->number);
		out_u64(&o, p->pid);
		out_text(&o, p->command);
		out_text(&o, mob_process_state_name(p->state));
		out_u64(&o, p->held_objects);
		out_u64(&o, p->held_bytes);
		out_u64(&o, p->viewed_bytes);
		out_end_row(&o);
	}
	return out_end(&o);
}

/* ---- by place ---- */

static int by_blocks(const void *a, const void *b)
{
	const struct site_sum *x = a;
	const struct site_sum *y = b;

	if (x->sum.blocks != y->sum.blocks) {
		return x->sum.blocks < y->sum.blocks ? 1 : -1;
	}
	return x->site < y->site ? -1 : x->site > y->site;
}

static int print_sites(struct memory *m, struct mob_store *store)
{
	static const struct out_col cols[] = {
		{ "objects", "OBJECTS", OUT_COUNT },
		{ "size_bytes", "VALUES", OUT_BYTES },
		{ "block_bytes", "BLOCKS", OUT_BYTES },
		{ "site", "SITE", OUT_TEXT },
		{ 0 },
	};
	struct out o;

	qsort(m->site, SITES, sizeof(*m->site), by_blocks);
	out_begin(&o, cols);
	for (uint32_t i = 0; i < SITES; i++) {
		const struct site_sum *p = &m->site[i];
		char text[MOB_SITE_TEXT];

		if (p->sum.objects) {
			out_u64(&o, p->sum.objects);
			out_u64(&o, p->sum.size);
			out_u64(&o, p->sum.blocks);
			out_text(&o, cmd_site_text(text, store, p->site));
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

static int print_objects(struct memory *m, struct mob_store *store,
			 uint64_t limit, uint64_t age_ms)
{
	static const struct out_col cols[] = {
		{ "ref", "REF", OUT_TEXT },
		{ "kind", "KIND", OUT_TEXT },
		{ "size_bytes", "SIZE", OUT_BYTES },
		{ "block_bytes", "BLOCK", OUT_BYTES },
		{ "where", "WHERE", OUT_TEXT },
		{ "state", "STATE", OUT_TEXT },
		{ "creator", "CREATOR", OUT_COUNT },
		{ "age_ns", "AGE", OUT_NS },
		{ "processes", "PROCESSES", OUT_COUNT },
		{ "edges", "EDGES", OUT_COUNT },
		{ "names", "NAMES", OUT_COUNT },
		{ "pins", "PINS", OUT_COUNT },
		{ "site", "SITE", OUT_TEXT },
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
		char site[MOB_SITE_TEXT];

		out_text(&o, cmd_ref_text(text, x->ref));
		out_text(&o, mob_memory_kind_name(x->kind));
		out_u64(&o, x->size);
		out_u64(&o, x->block_bytes);
		out_text(&o, mob_memory_where_name(x->where));
		out_text(&o, cmd_state_name(x->state));
		out_u64(&o, x->creator);
		out_u64_some(&o, x->born_ms ?
					 less(age_ms, x->born_ms) * 1000000 :
					 0);
		out_u64(&o, x->processes);
		out_u64(&o, x->edges);
		out_u64(&o, x->names);
		out_u64(&o, x->pins);
		out_text(&o, cmd_site_text(site, store, x->site));
		out_end_row(&o);
	}
	cli_say("objects: %zu", m->n);
	return out_end(&o);
}

static int run_kinds(struct mob_store *store)
{
	struct mob_memory_sums sums;
	int rc = mob_store_memory_sums(store, &sums);

	return rc < 0 ? cli_fail_rc(rc, mob_store_name(store)) :
			print_kinds(&sums);
}

static int run_rows(struct cli *c, struct mob_store *store, const char *by)
{
	bool objects = strcmp(by, "object") == 0;
	struct memory *m = calloc(1, sizeof(*m));
	struct mob_store_stat st;
	int rc;

	if (!m) {
		return cli_fail(CLI_FAILED, NULL, "out of memory");
	}
	m->keep = objects;
	rc = mob_store_memory(store, add, m);
	rc = rc < 0 ? rc : mob_store_stat(store, &st);
	if (rc < 0) {
		rc = cli_fail_rc(rc, mob_store_name(store));
	} else if (m->failed) {
		rc = cli_fail(CLI_FAILED, NULL, "out of memory");
	} else {
		rc = objects ? print_objects(m, store, cli_number(c, "limit"),
					     st.age_ms) :
		     strcmp(by, "site") == 0 ? print_sites(m, store) :
					       print_creators(m);
	}
	free(m->object);
	free(m);
	return rc;
}

static int run(struct cli *c)
{
	const char *by = cli_text(c, "by");
	struct mob_store *store;
	int rc = cmd_store_open(c, c->n_args ? c->args[0] : NULL, &store);

	if (rc) {
		return rc;
	}
	rc = strcmp(by, "kind") == 0   ? run_kinds(store) :
	     strcmp(by, "holder") == 0 ? run_holders(store) :
					 run_rows(c, store, by);
	mob_store_close(store);
	return rc;
}

static const struct cli_opt opts[] = {
	{ "by", 0, CLI_CHOICE, "kind|creator|holder|site|object", "kind",
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
