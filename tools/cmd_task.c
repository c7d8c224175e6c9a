/* SPDX-License-Identifier: Apache-2.0 */
/* mob task: what runs, what waits for what, what has happened; cancelling. */
#include "cmd_record.h"
#include "out.h"

#include <mobula/task.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct out_col cols[] = {
	{ "id", "ID", OUT_TEXT },
	{ "name", "NAME", OUT_TEXT },
	{ "state", "STATE", OUT_TEXT },
	{ "attempt", "ATTEMPT", OUT_COUNT },
	{ "worker", "WORKER", OUT_COUNT },
	{ "worker_pid", NULL, OUT_COUNT },
	{ "age_ns", "AGE", OUT_NS },
	{ "run_ns", "RUNS", OUT_NS },
	{ "waits", NULL, OUT_COUNT },
	{ "waits_for", "WAITS FOR", OUT_TEXT },
	{ "waits_for_task", NULL, OUT_TEXT },
	{ "return", NULL, OUT_TEXT },
	{ "args", NULL, OUT_COUNT },
	{ "returns", NULL, OUT_COUNT },
	{ "priority", NULL, OUT_REAL },
	{ "attempts_max", NULL, OUT_COUNT },
	{ 0 },
};

static const struct out_col show_cols[] = {
	{ "id", "id", OUT_TEXT },
	{ "name", "name", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "attempt", "attempt", OUT_COUNT },
	{ "worker", "worker", OUT_COUNT },
	{ "worker_pid", "pid of the worker", OUT_COUNT },
	{ "age_ns", "age", OUT_NS },
	{ "run_ns", "runs since", OUT_NS },
	{ "waits", "objects it waits for", OUT_COUNT },
	{ "waits_for", "the first", OUT_TEXT },
	{ "waits_for_task", "made by task", OUT_TEXT },
	{ "return", "first return", OUT_TEXT },
	{ "args", "refs among arguments", OUT_COUNT },
	{ "returns", "returns", OUT_COUNT },
	{ "priority", "priority", OUT_REAL },
	{ "attempts_max", "attempts at most", OUT_COUNT },
	{ 0 },
};

static void out_ref(struct out *o, struct mob_ref ref)
{
	char text[CMD_REF_MAX];

	out_text(o, mob_ref_is_none(ref) ? NULL : cmd_ref_text(text, ref));
}

static void out_id(struct out *o, uint64_t id)
{
	char text[CMD_REF_MAX];

	out_text(o, id ? cmd_task_text(text, id) : NULL);
}

static void print(struct out *o, const struct mob_task_info *t)
{
	out_id(o, t->id);
	out_text(o, t->name);
	out_text(o, mob_task_state_name(t->state));
	out_u64_some(o, t->attempt);
	out_u64_some(o, t->worker);
	out_u64_some(o, t->worker_pid);
	out_u64(o, t->age_ns);
	out_u64_some(o, t->run_ns);
	out_u64(o, t->waits);
	out_ref(o, t->waits_for);
	out_id(o, t->waits_for_task);
	out_ref(o, t->ret);
	out_u64(o, t->n_args);
	out_u64(o, t->n_returns);
	out_real(o, t->priority);
	out_u64_some(o, t->attempts_max == UINT32_MAX ? 0 : t->attempts_max);
	out_end_row(o);
}

struct listing {
	struct out out;
	const char *state; /* NULL: all */
	uint64_t limit;    /* 0: none */
	uint64_t n;
};

static int print_listed(const struct mob_task_info *t, void *arg)
{
	struct listing *l = arg;

	if (l->state && strcmp(l->state, mob_task_state_name(t->state)) != 0) {
		return 0;
	}
	if (l->limit && l->n == l->limit) {
		return 1;
	}
	l->n++;
	print(&l->out, t);
	return 0;
}

static int run_list(struct cli *c)
{
	struct listing l = { .state = cli_text(c, "state"),
			     .limit = cli_number(c, "limit") };
	struct mob_session *s;
	int rc = cmd_session_open(c, NULL, &s);

	if (rc) {
		return rc;
	}
	out_begin(&l.out, cols);
	rc = mob_session_tasks(s, print_listed, &l);
	mob_session_close(s);
	if (out_end(&l.out)) {
		return CLI_FAILED;
	}
	if (rc < 0) {
		return cli_fail_rc(rc, "tasks");
	}
	cli_say("tasks: %llu%s", (unsigned long long)l.n,
		rc > 0 ? " and more" : "");
	return CLI_DONE;
}

static int print_one(const struct mob_task_info *t, void *arg)
{
	print(arg, t);
	return 0;
}

/* The session, and the task that the first argument names. */
static int open_for_task(struct cli *c, uint64_t *out_id,
			 struct mob_session **out_s)
{
	if (!cmd_task_parse(c->args[0], out_id)) {
		return cli_fail(CLI_USAGE,
				"an id looks like 17.3; 'mob task list' shows "
				"those there are",
				"'%s' is no id of a task", c->args[0]);
	}
	return cmd_session_open(c, NULL, out_s);
}

/* ---- what is recorded of a task ---- */

static const struct out_col history_cols[] = {
	{ "after_ns", "AFTER", OUT_NS }, /* the first event that is kept */
	{ "time_ns", NULL, OUT_NS },
	{ "event", "EVENT", OUT_TEXT },
	{ "attempt", "ATTEMPT", OUT_COUNT },
	{ "process", "PROCESS", OUT_COUNT },
	{ "pid", "PID", OUT_COUNT },
	{ "other_task", "OTHER TASK", OUT_TEXT },
	{ "code", "CODE", OUT_REAL },
	{ "signal", "SIGNAL", OUT_COUNT },
	{ 0 },
};

static int print_history(const struct mob_event *const *e, size_t n)
{
	struct out o;

	out_begin(&o, history_cols);
	for (size_t i = 0; i < n; i++) {
		out_u64(&o, e[i]->time_ns - e[0]->time_ns);
		out_u64(&o, e[i]->time_ns);
		out_text(&o, mob_event_kind_name(e[i]->kind));
		out_u64_some(&o, e[i]->attempt);
		out_u64(&o, e[i]->process);
		out_u64_some(&o, e[i]->pid);
		out_id(&o, e[i]->other);
		out_real(&o, e[i]->code ? (double)e[i]->code : (double)NAN);
		out_u64_some(&o, e[i]->signal);
		out_end_row(&o);
	}
	return out_end(&o) ? CLI_FAILED : CLI_DONE;
}

/* One that has ended: what its events say. */
static int print_ended(const struct mob_event *const *e, size_t n,
		       uint64_t now_ns)
{
	const struct mob_event *last = e[n - 1];
	const struct mob_event *first = e[0];
	uint64_t needs = 0;
	struct out o;

	for (size_t i = 0; i < n; i++) {
		needs += e[i]->kind == MOB_EVENT_NEEDS;
	}
	out_begin_one(&o, show_cols);
	out_id(&o, last->task);
	out_text(&o, last->name);
	out_text(&o, mob_event_kind_name(last->kind));
	out_u64_some(&o, last->attempt);
	out_u64_some(&o, last->process);
	out_u64_some(&o, last->pid);
	out_u64(&o, now_ns > first->time_ns ? now_ns - first->time_ns : 0);
	out_none(&o);
	out_u64(&o, 0);
	for (int i = 0; i < 3; i++) {
		out_none(&o);
	}
	out_u64(&o, needs);
	for (int i = 0; i < 3; i++) {
		out_none(&o);
	}
	out_end_row(&o);
	return out_end(&o) ? CLI_FAILED : CLI_DONE;
}

static int show_recorded(struct cli *c, struct mob_session *s, uint64_t id,
			 bool history)
{
	const struct mob_event *const *e;
	struct rec r = { 0 };
	size_t n;
	int rc = rec_load(s, &r);

	if (rc) {
		return rc;
	}
	n = rec_of_task(&r, id, &e);
	if (!n) {
		rc = cli_fail(CLI_NOT_FOUND,
			      "it ended long ago, or there never was one",
			      "nothing is kept of a task %s", c->args[0]);
	} else {
		rc = history ? print_history(e, n) :
			       print_ended(e, n, r.sum.now_ns);
	}
	rec_say_missing(&r);
	rec_free(&r);
	return rc;
}

static int run_show(struct cli *c)
{
	bool history = cli_flag(c, "history");
	struct mob_session *s = NULL;
	struct out o;
	uint64_t id = 0;
	int rc = open_for_task(c, &id, &s);

	if (rc) {
		return rc;
	}
	if (!history) {
		out_begin_one(&o, show_cols);
		rc = mob_session_task(s, id, print_one, &o);
		if (out_end(&o)) {
			mob_session_close(s);
			return CLI_FAILED;
		}
	}
	if (history || rc == MOB_E_NOT_FOUND) {
		rc = show_recorded(c, s, id, history);
	} else if (rc < 0) {
		rc = cli_fail_rc(rc, c->args[0]);
	}
	mob_session_close(s);
	return rc;
}

static int run_cancel(struct cli *c)
{
	struct mob_session *s = NULL;
	uint32_t flags = (cli_flag(c, "force") ? MOB_CANCEL_FORCE : 0) |
			 (cli_flag(c, "escalate") ? MOB_CANCEL_ESCALATE : 0) |
			 (cli_flag(c, "alone") ? MOB_CANCEL_ALONE : 0);
	uint64_t id = 0;
	int rc = open_for_task(c, &id, &s);

	if (rc) {
		return rc;
	}
	rc = mob_session_task_cancel(s, id, flags);
	mob_session_close(s);
	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	cli_say("task %s is cancelled", c->args[0]);
	return CLI_DONE;
}

static const struct cli_opt cancel_opts[] = {
	{ "force", 'f', CLI_FLAG, NULL, NULL,
	  "kill the worker of a task that runs" },
	{ "escalate", 'e', CLI_FLAG, NULL, NULL,
	  "tell it, then SIGTERM to its worker, then SIGKILL" },
	{ "alone", 0, CLI_FLAG, NULL, NULL, "not what the task has submitted" },
	{ 0 },
};

static const struct cli_opt show_opts[] = {
	{ "history", 0, CLI_FLAG, NULL, NULL,
	  "what has happened to it, as far as that is kept" },
	{ 0 },
};

static const struct cli_opt list_opts[] = {
	{ "state", 0, CLI_CHOICE,
	  "waiting|ready|queued|running|blocked|done|delayed", NULL,
	  "only those in this state" },
	{ "limit", 'n', CLI_NUMBER, "N", NULL, "at most so many" },
	{ 0 },
};

const struct cli_cmd cmd_task[] = {
	{ .name = "list",
	  .args = "",
	  .help = "the tasks that are not over: state, worker, what they wait "
		  "for",
	  .opts = list_opts,
	  .run = run_list,
	  .flags = CLI_F_SESSION },
	{ .name = "show",
	  .args = "ID",
	  .help = "one task, also one that has ended, or its history",
	  .opts = show_opts,
	  .run = run_show,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION },
	{ .name = "explain",
	  .args = "ID",
	  .help = "why it does not run, and why not what it waits for",
	  .run = cmd_task_explain,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION },
	{ .name = "cancel",
	  .args = "ID",
	  .help = "a task that waits never runs, one that runs is told",
	  .opts = cancel_opts,
	  .run = run_cancel,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION },
	{ 0 },
};
