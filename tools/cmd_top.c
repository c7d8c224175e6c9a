/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob store top: what goes on in a store, again and again. On a terminal it takes
 * the whole screen (the alternate one, so that nothing is lost) and reads keys;
 * elsewhere it prints one picture after the other.
 */
#define _GNU_SOURCE
#include "cmd_top.h"

#include "cmd_screen.h"
#include "out.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_ABOVE 14u /* lines of a picture before its processes, at most */

enum sort { BY_HELD, BY_VIEWED, BY_MADE, BY_GETS, BY_PUT, SORTS };
static const char *const sort_name[SORTS] = { "held", "viewed", "made", "gets",
					      "put" };

/* One look at the store. */
struct sample {
	struct mob_activity act;
	struct mob_memory_sums sums;
	struct mob_store_stat st;
};

struct top {
	struct mob_store *store;
	struct sample now;
	struct mob_activity before;
	double seconds; /* between them */
	enum sort sort;
	struct cmd_screen screen;
};

/* ---- samples ---- */

static int take(struct top *t)
{
	int rc = mob_store_activity(t->store, &t->now.act);

	rc = rc < 0 ? rc : mob_store_memory_sums(t->store, &t->now.sums);
	rc = rc < 0 ? rc : mob_store_stat(t->store, &t->now.st);
	return rc < 0 ? cli_fail_rc(rc, mob_store_name(t->store)) : 0;
}

static double rate(const struct top *t, uint64_t now, uint64_t before)
{
	return t->seconds > 0 && now >= before ?
		       (double)(now - before) / t->seconds :
		       0;
}

/* The same process a sample ago; NULL: it was not there. */
static const struct mob_process *before_of(const struct top *t,
					   const struct mob_process *p)
{
	for (uint32_t i = 0; i < t->before.n_processes; i++) {
		const struct mob_process *q = &t->before.process[i];

		if (q->number == p->number && q->attach == p->attach) {
			return q;
		}
	}
	return NULL;
}

static double gets_of(const struct top *t, const struct mob_process *p)
{
	const struct mob_process *q = before_of(t, p);

	return q ? rate(t, p->gets, q->gets) : 0;
}

static double put_of(const struct top *t, const struct mob_process *p)
{
	const struct mob_process *q = before_of(t, p);

	return q ? rate(t, p->put_bytes, q->put_bytes) : 0;
}

static const struct top *sorted; /* for qsort */

static double weight(const struct mob_process *p)
{
	switch (sorted->sort) {
	case BY_VIEWED:
		return (double)p->viewed_bytes;
	case BY_MADE:
		return (double)p->made_bytes;
	case BY_GETS:
		return gets_of(sorted, p);
	case BY_PUT:
		return put_of(sorted, p);
	default:
		return (double)p->held_bytes;
	}
}

static int heavier(const void *a, const void *b)
{
	const struct mob_process *x = a;
	const struct mob_process *y = b;
	double xw = weight(x);
	double yw = weight(y);

	if (xw < yw || xw > yw) {
		return xw < yw ? 1 : -1;
	}
	return x->number < y->number ? -1 : x->number > y->number;
}

static void sort_processes(struct top *t)
{
	sorted = t;
	qsort(t->now.act.process, t->now.act.n_processes,
	      sizeof(t->now.act.process[0]), heavier);
}

/* "janitor+catalogue"; NULL: none. */
static const char *locks_text(char buf[64], const struct mob_process *p)
{
	static const char *const name[] = { "attach", "janitor", "catalogue" };

	buf[0] = 0;
	for (uint32_t i = 0; i < 3; i++) {
		if (p->locks >> i & 1) {
			(void)snprintf(buf + strlen(buf), 64 - strlen(buf),
				       "%s%s", buf[0] ? "+" : "", name[i]);
		}
	}
	if (p->locked_objects) {
		(void)snprintf(buf + strlen(buf), 64 - strlen(buf),
			       "%s%u objects", buf[0] ? "+" : "",
			       p->locked_objects);
	}
	return buf[0] ? buf : NULL;
}

/* ---- JSON ---- */

static const struct out_col json_cols[] = {
	{ "row", "", OUT_TEXT }, /* store, kind or process */
	{ "name", "", OUT_TEXT },
	{ "objects", "", OUT_COUNT },
	{ "memory_bytes", "", OUT_BYTES },
	{ "gets_per_s", "", OUT_REAL },
	{ "put_bytes_per_s", "", OUT_REAL },
	{ "made_per_s", "", OUT_REAL },
	{ "freed_per_s", "", OUT_REAL },
	{ "spills_per_s", "", OUT_REAL },
	{ "restores_per_s", "", OUT_REAL },
	{ "sleeps_per_s", "", OUT_REAL },
	{ "room_waits_per_s", "", OUT_REAL },
	{ "catalogue_lag_ms", "", OUT_COUNT },
	{ "number", "", OUT_COUNT },
	{ "pid", "", OUT_COUNT },
	{ "state", "", OUT_TEXT },
	{ "held_objects", "", OUT_COUNT },
	{ "held_bytes", "", OUT_BYTES },
	{ "viewed_bytes", "", OUT_BYTES },
	{ "locks", "", OUT_TEXT },
	{ 0 },
};

static void none(struct out *o, int n)
{
	for (int i = 0; i < n; i++) {
		out_none(o);
	}
}

static void json_store(struct out *o, const struct top *t)
{
	const struct mob_activity *a = &t->now.act;
	const struct mob_activity *b = &t->before;

	out_text(o, "store");
	out_text(o, mob_store_name(t->store));
	out_u64(o, t->now.sums.all.objects);
	out_u64(o, t->now.sums.all.block_bytes);
	out_real(o, rate(t, a->gets, b->gets));
	out_real(o, rate(t, a->put_bytes, b->put_bytes));
	out_real(o, rate(t, a->made, b->made));
	out_real(o, rate(t, a->freed, b->freed));
	out_real(o, rate(t, a->spills, b->spills));
	out_real(o, rate(t, a->restores, b->restores));
	out_real(o, rate(t, a->sleeps, b->sleeps));
	out_real(o, rate(t, a->room_waits, b->room_waits));
	out_u64(o, t->now.st.catalogue_lag_ms);
	none(o, 7);
	out_end_row(o);
}

static int print_json(struct top *t)
{
	struct out o;

	out_begin(&o, json_cols);
	json_store(&o, t);
	for (uint32_t k = 0; k < MOB_MEMORY_KINDS; k++) {
		out_text(&o, "kind");
		out_text(&o, mob_memory_kind_name(k));
		out_u64(&o, t->now.sums.kind[k].objects);
		out_u64(&o, t->now.sums.kind[k].block_bytes);
		none(&o, 16);
		out_end_row(&o);
	}
	for (uint32_t i = 0; i < t->now.act.n_processes; i++) {
		const struct mob_process *p = &t->now.act.process[i];
		char locks[64];

		out_text(&o, "process");
		out_text(&o, p->command);
		out_u64(&o, p->made_objects);
		out_u64(&o, p->made_bytes);
		out_real(&o, gets_of(t, p));
		out_real(&o, put_of(t, p));
		none(&o, 7);
		out_u64(&o, p->number);
		out_u64(&o, p->pid);
		out_text(&o, mob_process_state_name(p->state));
		out_u64(&o, p->held_objects);
		out_u64(&o, p->held_bytes);
		out_u64(&o, p->viewed_bytes);
		out_text(&o, locks_text(locks, p));
		out_end_row(&o);
	}
	return out_end(&o);
}

/* ---- pictures ---- */

static const char *bytes(char buf[OUT_FORMAT_MAX], uint64_t n)
{
	return out_format_bytes(buf, n);
}

static void print_rates(const struct top *t)
{
	const struct mob_activity *a = &t->now.act;
	const struct mob_activity *b = &t->before;
	char x[5][OUT_FORMAT_MAX];

	(void)printf("a second: %s made, %s freed, %s gets, %s written\n",
		     out_format_rate(x[0], rate(t, a->made, b->made)),
		     out_format_rate(x[1], rate(t, a->freed, b->freed)),
		     out_format_rate(x[2], rate(t, a->gets, b->gets)),
		     bytes(x[3],
			   (uint64_t)rate(t, a->put_bytes, b->put_bytes)));
	(void)printf("          %s spills, %s restores, %s sleeps, %s waits "
		     "for room; %llu wait for it now\n",
		     out_format_rate(x[0], rate(t, a->spills, b->spills)),
		     out_format_rate(x[1], rate(t, a->restores, b->restores)),
		     out_format_rate(x[2], rate(t, a->sleeps, b->sleeps)),
		     out_format_rate(x[3],
				     rate(t, a->room_waits, b->room_waits)),
		     (unsigned long long)a->waiting_for_room);
}

static void print_head(const struct top *t)
{
	const struct sample *n = &t->now;
	char x[4][OUT_FORMAT_MAX];

	(void)printf("%s: %llu objects in %s of %s, %s with memory; %s "
		     "spilled; catalogue %llu ms old\n",
		     mob_store_name(t->store),
		     (unsigned long long)n->sums.all.objects,
		     bytes(x[0], n->sums.all.block_bytes),
		     bytes(x[1], n->st.arena_bytes),
		     bytes(x[2], n->st.arena_backed_bytes),
		     bytes(x[3], n->sums.all.file_bytes),
		     (unsigned long long)n->st.catalogue_lag_ms);
	print_rates(t);
}

static int print_kinds(const struct top *t)
{
	static const struct out_col cols[] = {
		{ "kind", "KIND", OUT_TEXT },
		{ "objects", "OBJECTS", OUT_COUNT },
		{ "block_bytes", "BLOCKS", OUT_BYTES },
		{ 0 },
	};
	struct out o;

	out_begin(&o, cols);
	for (uint32_t k = 0; k < MOB_MEMORY_KINDS; k++) {
		if (t->now.sums.kind[k].objects) {
			out_text(&o, mob_memory_kind_name(k));
			out_u64(&o, t->now.sums.kind[k].objects);
			out_u64(&o, t->now.sums.kind[k].block_bytes);
			out_end_row(&o);
		}
	}
	return out_end(&o);
}

/* How many lines the screen has for processes. */
static uint32_t room_on_screen(const struct top *t)
{
	uint32_t lines = cmd_screen_lines(&t->screen);

	if (!lines) {
		return MOB_PROCESSES_MAX;
	}
	return lines > ROWS_ABOVE ? lines - ROWS_ABOVE : 1;
}

static int print_processes(const struct top *t)
{
	static const struct out_col cols[] = {
		{ "number", "NUMBER", OUT_COUNT },
		{ "pid", "PID", OUT_COUNT },
		{ "state", "STATE", OUT_TEXT },
		{ "held_objects", "HELD", OUT_COUNT },
		{ "held_bytes", "HELD BYTES", OUT_BYTES },
		{ "viewed_bytes", "VIEWED", OUT_BYTES },
		{ "made_bytes", "MADE", OUT_BYTES },
		{ "gets", "GETS/S", OUT_TEXT },
		{ "put", "WRITTEN/S", OUT_BYTES },
		{ "command", "COMMAND", OUT_TEXT },
		{ "locks", "LOCKS", OUT_TEXT },
		{ 0 },
	};
	uint32_t room = room_on_screen(t);
	struct out o;

	out_begin(&o, cols);
	for (uint32_t i = 0; i < t->now.act.n_processes && i < room; i++) {
		const struct mob_process *p = &t->now.act.process[i];
		char locks[64];
		char gets[OUT_FORMAT_MAX];

		out_u64(&o, p->number);
		out_u64(&o, p->pid);
		out_text(&o, mob_process_state_name(p->state));
		out_u64(&o, p->held_objects);
		out_u64(&o, p->held_bytes);
		out_u64(&o, p->viewed_bytes);
		out_u64(&o, p->made_bytes);
		out_text(&o, out_format_rate(gets, gets_of(t, p)));
		out_u64(&o, (uint64_t)put_of(t, p));
		out_text(&o, p->command);
		out_text(&o, locks_text(locks, p));
		out_end_row(&o);
	}
	return out_end(&o);
}

static int print(struct top *t, bool first)
{
	int rc;

	sort_processes(t);
	if (out_style.json) {
		return print_json(t);
	}
	cmd_screen_next(&t->screen, first);
	print_head(t);
	rc = print_kinds(t);
	rc = rc ? rc : print_processes(t);
	if (!rc && t->screen.on) {
		(void)printf("sorted by %s; s: by another, q: quit",
			     sort_name[t->sort]);
	}
	return rc || !out_flush() ? CLI_FAILED : 0;
}

/* ---- again and again ---- */

static void on_key(char c, void *arg)
{
	struct top *t = arg;

	if (c == 's') {
		t->sort = (t->sort + 1) % SORTS;
		(void)print(t, false);
	}
}

/* rounds: how many pictures, 0 for no end. */
static int loop(struct top *t, uint64_t interval_ns, uint64_t rounds)
{
	int rc = take(t);

	for (uint64_t i = 0; rc == 0 && (!rounds || i < rounds); i++) {
		t->before = t->now.act;
		if (i == 0 && t->screen.on) {
			rc = print(t, true); /* at once, without rates */
		}
		if (rc || cmd_screen_wait(&t->screen, interval_ns, on_key, t)) {
			return rc;
		}
		rc = take(t);
		t->seconds = (double)(t->now.act.at_ns - t->before.at_ns) / 1e9;
		rc = rc ? rc : print(t, i == 0);
	}
	return rc;
}

static enum sort sort_of(const char *name)
{
	for (uint32_t i = 0; i < SORTS; i++) {
		if (strcmp(name, sort_name[i]) == 0) {
			return (enum sort)i;
		}
	}
	return BY_HELD;
}

int cmd_top(struct cli *c)
{
	uint64_t interval;
	uint64_t rounds;
	struct top *t;
	int rc = cmd_screen_opts(c, &interval, &rounds);

	if (rc) {
		return rc;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		return cli_fail(CLI_FAILED, NULL, "out of memory");
	}
	rc = cmd_store_open(c, c->n_args ? c->args[0] : NULL, &t->store);
	if (rc) {
		free(t);
		return rc;
	}
	t->sort = sort_of(cli_text(c, "sort"));
	cmd_screen_begin(&t->screen, !rounds && !out_style.json);
	rc = loop(t, interval, rounds);
	cmd_screen_end(&t->screen);
	mob_store_close(t->store);
	free(t);
	return cmd_screen_exit(rc);
}

const struct cli_opt cmd_top_opts[] = {
	{ "interval", 'i', CLI_DURATION, "TIME", "1s",
	  "how long between two looks" },
	{ "once", '1', CLI_FLAG, NULL, NULL,
	  "one picture after one interval, then end" },
	{ "batch", 'b', CLI_NUMBER, "N", NULL, "N pictures, then end" },
	{ "sort", 's', CLI_CHOICE, "held|viewed|made|gets|put", "held",
	  "which processes come first" },
	{ 0 },
};
