/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob top: what the tasks of a session do, again and again: of the time since the
 * picture before, from what is recorded and counted.
 */
#include "cmd_record.h"
#include "cmd_screen.h"
#include "out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LINES_ABOVE 8u
#define NAMES_MAX 64u

/* The runs of one name in the time that is looked at. */
struct line {
	char name[96];
	uint64_t ended;
	uint64_t failed; /* attempts: with an error, or by a death */
	uint64_t busy_ns;
	uint64_t run_ns; /* of those that ended */
};

struct top {
	const char *name; /* of the session */
	struct mob_session *s;
	struct cmd_screen screen;
	struct mob_metrics now;
	struct mob_metrics before;
	uint64_t now_ns;
	uint64_t before_ns; /* 0: this is the first look */
	bool missed;        /* events between the two were lost */
	uint64_t tasks[MOB_TASK_STATE_DELAYED + 1];
	struct line line[NAMES_MAX];
	uint32_t n_lines;
	struct out out;
};

/* ---- looking ---- */

static int count_task(const struct mob_task_info *info, void *arg)
{
	struct top *t = arg;

	if (info->state <= MOB_TASK_STATE_DELAYED) {
		t->tasks[info->state]++;
	}
	return 0;
}

/* NULL: too many. */
static struct line *line_of(struct top *t, const char *name)
{
	struct line *l;

	for (uint32_t i = 0; i < t->n_lines; i++) {
		if (!strcmp(t->line[i].name, name)) {
			return &t->line[i];
		}
	}
	if (t->n_lines == NAMES_MAX) {
		return NULL;
	}
	l = &t->line[t->n_lines++];
	memset(l, 0, sizeof(*l));
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	return l;
}

/* What of the run lies in the time that is looked at. */
static void add_run(const struct rec_run *run, void *arg)
{
	struct top *t = arg;
	uint64_t end = run->end ? run->end_ns : t->now_ns;
	uint64_t from = run->start_ns > t->before_ns ? run->start_ns :
						       t->before_ns;
	struct line *l;

	end = end < t->now_ns ? end : t->now_ns;
	if (end <= from) {
		return;
	}
	l = line_of(t, run->name);
	if (!l) {
		return;
	}
	l->busy_ns += end - from;
	if (run->end) {
		l->ended++;
		l->run_ns += run->end_ns - run->start_ns;
		l->failed += run->end != MOB_EVENT_FINISHED &&
			     run->end != MOB_EVENT_CANCELLED;
	}
}

static void add_task(const struct mob_event *const *e, size_t n, void *arg)
{
	rec_runs(e, n, add_run, arg);
}

static int busier(const void *a, const void *b)
{
	const struct line *x = a;
	const struct line *y = b;

	if (x->busy_ns != y->busy_ns) {
		return x->busy_ns > y->busy_ns ? -1 : 1;
	}
	return strcmp(x->name, y->name);
}

static int look(struct top *t)
{
	struct rec r = { 0 };
	int rc;

	t->before = t->now;
	t->before_ns = t->now_ns;
	t->now = (struct mob_metrics)MOB_METRICS_INIT;
	memset(t->tasks, 0, sizeof(t->tasks));
	t->n_lines = 0;
	rc = mob_session_metrics(t->s, &t->now);
	rc = rc < 0 ? rc : mob_session_tasks(t->s, count_task, t);
	if (rc < 0) {
		return cli_fail_rc(rc, t->name);
	}
	rc = rec_load(t->s, &r);
	if (rc) {
		return rc;
	}
	t->now_ns = r.sum.now_ns;
	t->missed = t->before_ns && r.sum.whole_ns > t->before_ns;
	if (t->before_ns) {
		rec_tasks(&r, add_task, t);
		qsort(t->line, t->n_lines, sizeof(t->line[0]), busier);
	}
	rec_free(&r);
	return 0;
}

static double seconds(const struct top *t)
{
	return t->before_ns ? (double)(t->now_ns - t->before_ns) / 1e9 : 0;
}

static double rate(const struct top *t, uint32_t kind)
{
	return seconds(t) > 0 ?
		       (double)(t->now.events[kind] - t->before.events[kind]) /
			       seconds(t) :
		       0;
}

/* The mean of what a histogram got in the time that is looked at; NAN: nothing. */
static double mean(const struct top *t, const struct mob_histogram *now,
		   const struct mob_histogram *before)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < MOB_HISTOGRAM_BUCKETS; i++) {
		n += now->bucket[i] - before->bucket[i];
	}
	return n && t->before_ns ?
		       (double)(now->sum_ns - before->sum_ns) / (double)n :
		       (double)NAN;
}

/* ---- pictures ---- */

static const struct out_col json_cols[] = {
	{ "row", "", OUT_TEXT },
	{ "name", "", OUT_TEXT },
	{ "submitted_per_s", "", OUT_REAL },
	{ "finished_per_s", "", OUT_REAL },
	{ "failed_per_s", "", OUT_REAL },
	{ "retried_per_s", "", OUT_REAL },
	{ "wait_mean_ns", "", OUT_REAL },
	{ "run_mean_ns", "", OUT_REAL },
	{ "waiting", "", OUT_COUNT },
	{ "queued", "", OUT_COUNT },
	{ "running", "", OUT_COUNT },
	{ "blocked", "", OUT_COUNT },
	{ "cores", "", OUT_REAL },
	{ "worker", "", OUT_COUNT },
	{ "pid", "", OUT_COUNT },
	{ "state", "", OUT_TEXT },
	{ "task", "", OUT_TEXT },
	{ 0 },
};

static void none(struct out *o, int n)
{
	for (int i = 0; i < n; i++) {
		out_none(o);
	}
}

static uint64_t queued(const struct top *t)
{
	return t->tasks[MOB_TASK_STATE_READY] +
	       t->tasks[MOB_TASK_STATE_QUEUED] +
	       t->tasks[MOB_TASK_STATE_DELAYED];
}

static double per_second(const struct top *t, uint64_t n)
{
	return seconds(t) > 0 ? (double)n / seconds(t) : 0;
}

static int json_worker(const struct mob_worker_info *w, void *arg)
{
	struct top *t = arg;
	char id[CMD_REF_MAX];

	out_text(&t->out, "worker");
	out_text(&t->out, w->task ? w->task_name : NULL);
	none(&t->out, 11);
	out_u64(&t->out, w->number);
	out_u64(&t->out, w->pid);
	out_text(&t->out, mob_worker_state_name(w->state));
	out_text(&t->out, w->task ? cmd_task_text(id, w->task) : NULL);
	out_end_row(&t->out);
	return 0;
}

static const char missed[] = "events were lost between two looks: functions "
			     "did more than is told; "
			     "keep more events (MOBULA_RECORD_EVENTS) or look "
			     "more often";

static int print_json(struct top *t)
{
	struct out *o = &t->out;

	if (t->missed) {
		cli_say("%s", missed);
	}
	out_begin(o, json_cols);
	out_text(o, "session");
	out_text(o, t->name);
	out_real(o, rate(t, MOB_EVENT_SUBMITTED));
	out_real(o, rate(t, MOB_EVENT_FINISHED));
	out_real(o, rate(t, MOB_EVENT_FAILED));
	out_real(o, rate(t, MOB_EVENT_RETRIED));
	out_real(o, mean(t, &t->now.wait, &t->before.wait));
	out_real(o, mean(t, &t->now.run, &t->before.run));
	out_u64(o, t->tasks[MOB_TASK_STATE_WAITING]);
	out_u64(o, queued(t));
	out_u64(o, t->tasks[MOB_TASK_STATE_RUNNING]);
	out_u64(o, t->tasks[MOB_TASK_STATE_BLOCKED]);
	none(o, 5);
	out_end_row(o);
	for (uint32_t i = 0; i < t->n_lines; i++) {
		const struct line *l = &t->line[i];

		out_text(o, "function");
		out_text(o, l->name);
		out_none(o);
		out_real(o, per_second(t, l->ended - l->failed));
		out_real(o, per_second(t, l->failed));
		none(o, 2);
		out_real(o, l->ended ? (double)l->run_ns / (double)l->ended :
				       (double)NAN);
		none(o, 4);
		out_real(o, per_second(t, l->busy_ns) / 1e9);
		none(o, 4);
		out_end_row(o);
	}
	(void)mob_session_workers(t->s, json_worker, t);
	return out_end(o);
}

static const char *mean_text(char buf[OUT_FORMAT_MAX], double ns)
{
	if (isnan(ns)) {
		(void)snprintf(buf, OUT_FORMAT_MAX, "-");
		return buf;
	}
	return out_format_ns(buf, (uint64_t)ns);
}

static void print_head(const struct top *t)
{
	char x[6][OUT_FORMAT_MAX];

	(void)printf("%s: %llu wait for arguments, %llu are queued, %llu run, "
		     "%llu are blocked\n",
		     t->name,
		     (unsigned long long)t->tasks[MOB_TASK_STATE_WAITING],
		     (unsigned long long)queued(t),
		     (unsigned long long)t->tasks[MOB_TASK_STATE_RUNNING],
		     (unsigned long long)t->tasks[MOB_TASK_STATE_BLOCKED]);
	(void)printf("a second: %s submitted, %s finished, %s failed, %s "
		     "retried; queued for %s, ran for %s\n",
		     out_format_rate(x[0], rate(t, MOB_EVENT_SUBMITTED)),
		     out_format_rate(x[1], rate(t, MOB_EVENT_FINISHED)),
		     out_format_rate(x[2], rate(t, MOB_EVENT_FAILED)),
		     out_format_rate(x[3], rate(t, MOB_EVENT_RETRIED)),
		     mean_text(x[4], mean(t, &t->now.wait, &t->before.wait)),
		     mean_text(x[5], mean(t, &t->now.run, &t->before.run)));
	if (t->missed) {
		(void)puts(missed);
	}
}

static int print_functions(const struct top *t)
{
	static const struct out_col cols[] = {
		{ "name", "NAME", OUT_TEXT },
		{ "cores", "CORES", OUT_REAL },
		{ "ended", "ENDED/S", OUT_TEXT },
		{ "failed", "FAILED/S", OUT_TEXT },
		{ "run", "RAN", OUT_NS },
		{ 0 },
	};
	uint32_t lines = cmd_screen_lines(&t->screen);
	uint32_t room = !lines                  ? NAMES_MAX :
			lines > 2 * LINES_ABOVE ? lines - 2 * LINES_ABOVE :
						  1;
	struct out o;

	out_begin(&o, cols);
	for (uint32_t i = 0; i < t->n_lines && i < room; i++) {
		const struct line *l = &t->line[i];
		char x[2][OUT_FORMAT_MAX];

		out_text(&o, l->name);
		out_real(&o, per_second(t, l->busy_ns) / 1e9);
		out_text(&o, out_format_rate(x[0], per_second(t, l->ended)));
		out_text(&o, out_format_rate(x[1], per_second(t, l->failed)));
		if (l->ended) {
			out_u64(&o, l->run_ns / l->ended);
		} else {
			out_none(&o);
		}
		out_end_row(&o);
	}
	return out_end(&o);
}

static int row_of_worker(const struct mob_worker_info *w, void *arg)
{
	struct top *t = arg;
	char id[CMD_REF_MAX];

	out_u64(&t->out, w->number);
	out_u64(&t->out, w->pid);
	out_text(&t->out, mob_worker_state_name(w->state));
	out_text(&t->out, w->task ? cmd_task_text(id, w->task) : NULL);
	out_text(&t->out, w->task ? w->task_name : NULL);
	out_end_row(&t->out);
	return 0;
}

static int print_workers(struct top *t)
{
	static const struct out_col cols[] = {
		{ "worker", "WORKER", OUT_COUNT }, { "pid", "PID", OUT_COUNT },
		{ "state", "STATE", OUT_TEXT },    { "task", "TASK", OUT_TEXT },
		{ "name", "NAME", OUT_TEXT },      { 0 },
	};

	out_begin(&t->out, cols);
	(void)mob_session_workers(t->s, row_of_worker, t);
	return out_end(&t->out);
}

static int print(struct top *t, bool first)
{
	int rc;

	if (out_style.json) {
		return print_json(t) ? CLI_FAILED : 0;
	}
	cmd_screen_next(&t->screen, first);
	print_head(t);
	rc = print_functions(t);
	rc = rc ? rc : print_workers(t);
	if (!rc && t->screen.on) {
		(void)printf("q: quit");
	}
	return rc || !out_flush() ? CLI_FAILED : 0;
}

/* ---- again and again ---- */

static int loop(struct top *t, uint64_t interval_ns, uint64_t rounds)
{
	int rc = look(t);

	for (uint64_t i = 0; rc == 0 && (!rounds || i < rounds); i++) {
		if (i == 0 && t->screen.on) {
			rc = print(t, true); /* at once, without rates */
		}
		if (rc ||
		    cmd_screen_wait(&t->screen, interval_ns, NULL, NULL)) {
			return rc;
		}
		rc = look(t);
		rc = rc ? rc : print(t, i == 0);
	}
	return rc;
}

static int run_top(struct cli *c)
{
	uint64_t interval;
	uint64_t rounds;
	struct mob_session_info info = MOB_SESSION_INFO_INIT;
	struct top *t;
	int rc = cmd_screen_opts(c, &interval, &rounds);

	if (rc) {
		return rc;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		return cli_fail(CLI_FAILED, NULL, "out of memory");
	}
	rc = cmd_session_open(c, NULL, &t->s);
	if (rc) {
		free(t);
		return rc;
	}
	rc = mob_session_describe(t->s, &info);
	if (rc < 0) {
		rc = cli_fail_rc(rc, "session");
	} else {
		t->name = info.name;
		cmd_screen_begin(&t->screen, !rounds && !out_style.json);
		rc = loop(t, interval, rounds);
		cmd_screen_end(&t->screen);
	}
	mob_session_close(t->s);
	free(t);
	return cmd_screen_exit(rc);
}

static const struct cli_opt top_opts[] = {
	{ "interval", 'i', CLI_DURATION, "TIME", "1s",
	  "how long between two looks" },
	{ "once", '1', CLI_FLAG, NULL, NULL,
	  "one picture after one interval, then end" },
	{ "batch", 'b', CLI_NUMBER, "N", NULL, "N pictures, then end" },
	{ 0 },
};

const struct cli_cmd cmd_task_top[] = {
	{ .args = "",
	  .help = "what the tasks do, again and again",
	  .opts = top_opts,
	  .run = run_top,
	  .flags = CLI_F_SESSION },
	{ 0 },
};
