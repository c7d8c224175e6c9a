/* SPDX-License-Identifier: Apache-2.0 */
/* mob summary: the tasks of a session, by function: how many, and how long. */
#include "cmd_record.h"
#include "out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct out_col cols[] = {
	{ "name", "NAME", OUT_TEXT },        { "waiting", "WAIT", OUT_COUNT },
	{ "queued", "QUEUE", OUT_COUNT },    { "running", "RUN", OUT_COUNT },
	{ "finished", "DONE", OUT_COUNT },   { "failed", "FAIL", OUT_COUNT },
	{ "cancelled", NULL, OUT_COUNT },    { "retried", "RETRY", OUT_COUNT },
	{ "crashed", NULL, OUT_COUNT },      { "wait_mean_ns", NULL, OUT_NS },
	{ "wait_p50_ns", "QUEUED", OUT_NS }, { "wait_p99_ns", "P99", OUT_NS },
	{ "run_mean_ns", NULL, OUT_NS },     { "run_p50_ns", "RUNS", OUT_NS },
	{ "run_p99_ns", "P99", OUT_NS },     { 0 },
};

struct times {
	uint64_t *ns;
	size_t n;
	size_t size;
};

/* What is known of the tasks of one name. */
struct line {
	char *name;
	uint64_t now[MOB_TASK_STATE_DELAYED + 1]; /* living, by state */
	uint64_t ended[MOB_EVENT_KINDS];          /* by how */
	uint64_t retried;
	uint64_t crashed;
	struct times wait;
	struct times run;
};

struct summary {
	struct line *line;
	size_t n;
	bool no_memory;
};

static struct line *line_of(struct summary *s, const char *name)
{
	struct line *more;

	for (size_t i = 0; i < s->n; i++) {
		if (!strcmp(s->line[i].name, name)) {
			return &s->line[i];
		}
	}
	more = realloc(s->line, (s->n + 1) * sizeof(*more));
	if (more) {
		s->line = more;
		memset(&more[s->n], 0, sizeof(*more));
		more[s->n].name = strdup(name);
	}
	if (!more || !more[s->n].name) {
		s->no_memory = true;
		return NULL;
	}
	return &s->line[s->n++];
}

static void add_time(struct summary *s, struct times *t, uint64_t ns)
{
	if (t->n == t->size) {
		size_t size = t->size ? 2 * t->size : 64;
		uint64_t *more = realloc(t->ns, size * sizeof(*more));

		if (!more) {
			s->no_memory = true;
			return;
		}
		t->ns = more;
		t->size = size;
	}
	t->ns[t->n++] = ns;
}

/* ---- what has ended, from the record ---- */

static void add_run(const struct rec_run *run, void *arg)
{
	struct summary *s = arg;
	struct line *l = line_of(s, run->name);

	if (!l) {
		return;
	}
	if (run->queued_ns) {
		add_time(s, &l->wait, run->start_ns - run->queued_ns);
	}
	if (run->end && run->end != MOB_EVENT_CRASHED) {
		add_time(s, &l->run, run->end_ns - run->start_ns);
	}
}

static void add_task(const struct mob_event *const *e, size_t n, void *arg)
{
	struct summary *s = arg;
	const struct mob_event *end = NULL;
	struct line *l;

	rec_runs(e, n, add_run, s);
	for (size_t i = 0; i < n; i++) {
		uint32_t kind = e[i]->kind;

		if (kind == MOB_EVENT_FINISHED || kind == MOB_EVENT_FAILED ||
		    kind == MOB_EVENT_CANCELLED) {
			end = e[i]; /* once, however often it was told */
		}
		if (kind != MOB_EVENT_RETRIED && kind != MOB_EVENT_CRASHED) {
			continue;
		}
		l = line_of(s, e[i]->name);
		if (l) {
			l->retried += kind == MOB_EVENT_RETRIED;
			l->crashed += kind == MOB_EVENT_CRASHED;
		}
	}
	l = end ? line_of(s, end->name) : NULL;
	if (l) {
		l->ended[end->kind]++;
	}
}

/* ---- what lives, from the tables ---- */

static int add_living(const struct mob_task_info *t, void *arg)
{
	struct summary *s = arg;
	struct line *l = line_of(s, t->name);

	if (l && t->state <= MOB_TASK_STATE_DELAYED) {
		l->now[t->state]++;
	}
	return 0;
}

/* ---- printing ---- */

static int less(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The least that at least the part `of` 1,000 is not above. */
static uint64_t at(const struct times *t, uint64_t of)
{
	return t->ns[(t->n * of + 999) / 1000 - 1];
}

static void out_times(struct out *o, struct times *t)
{
	double sum = 0;

	if (!t->n) {
		out_none(o);
		out_none(o);
		out_none(o);
		return;
	}
	qsort(t->ns, t->n, sizeof(*t->ns), less);
	for (size_t i = 0; i < t->n; i++) {
		sum += (double)t->ns[i];
	}
	out_u64(o, (uint64_t)llround(sum / (double)t->n));
	out_u64(o, at(t, 500));
	out_u64(o, at(t, 990));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct line *)a)->name,
		      ((const struct line *)b)->name);
}

static int print(struct summary *s)
{
	struct out o;

	if (s->n) {
		qsort(s->line, s->n, sizeof(*s->line), by_name);
	}
	out_begin(&o, cols);
	for (size_t i = 0; i < s->n; i++) {
		struct line *l = &s->line[i];

		out_text(&o, l->name);
		out_u64(&o, l->now[MOB_TASK_STATE_WAITING]);
		out_u64(&o, l->now[MOB_TASK_STATE_READY] +
				    l->now[MOB_TASK_STATE_QUEUED] +
				    l->now[MOB_TASK_STATE_DELAYED]);
		out_u64(&o, l->now[MOB_TASK_STATE_RUNNING] +
				    l->now[MOB_TASK_STATE_BLOCKED]);
		out_u64(&o, l->ended[MOB_EVENT_FINISHED]);
		out_u64(&o, l->ended[MOB_EVENT_FAILED]);
		out_u64(&o, l->ended[MOB_EVENT_CANCELLED]);
		out_u64(&o, l->retried);
		out_u64(&o, l->crashed);
		out_times(&o, &l->wait);
		out_times(&o, &l->run);
		out_end_row(&o);
	}
	return out_end(&o) ? CLI_FAILED : CLI_DONE;
}

static void forget(struct summary *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->line[i].name);
		free(s->line[i].wait.ns);
		free(s->line[i].run.ns);
	}
	free(s->line);
}

static int run_summary(struct cli *c)
{
	struct summary sum = { 0 };
	struct mob_session *s;
	struct rec r = { 0 };
	int rc = cmd_session_open(c, NULL, &s);

	if (rc) {
		return rc;
	}
	rc = mob_session_tasks(s, add_living, &sum);
	rc = rc < 0 ? cli_fail_rc(rc, "tasks") : rec_load(s, &r);
	mob_session_close(s);
	if (rc) {
		forget(&sum);
		return rc;
	}
	rec_tasks(&r, add_task, &sum);
	rc = sum.no_memory ? cli_fail_rc(MOB_E_NOMEM, "summary") : print(&sum);
	if (rc == CLI_DONE) {
		rec_say_missing(&r);
	}
	rec_free(&r);
	forget(&sum);
	return rc;
}

const struct cli_cmd cmd_summary[] = {
	{ .args = "",
	  .help = "the tasks of each function: how many, how long they took",
	  .run = run_summary,
	  .flags = CLI_F_SESSION },
	{ 0 },
};
