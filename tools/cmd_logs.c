/* SPDX-License-Identifier: Apache-2.0 */
/* mob session logs: what the workers of a session have printed. */
#define _GNU_SOURCE
#include "cmd_logs.h"

#include "cmd.h"
#include "out.h"

#include <mobula/output.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LOOK_MS 50

static const struct out_col cols[] = {
	{ "wall_ns", NULL, OUT_NS },
	{ "pid", NULL, OUT_COUNT },
	{ "stream", NULL, OUT_TEXT },
	{ "task", NULL, OUT_TEXT },
	{ "name", NULL, OUT_TEXT },
	{ "text", NULL, OUT_TEXT },
	{ 0 },
};

struct want {
	struct out out;
	uint64_t task; /* 0: all */
	uint64_t pid;
	const char *name;
	const char *stream;
};

static const char *stream_name(const struct mob_output_line *l)
{
	return l->stream == MOB_OUTPUT_STDERR ? "err" : "out";
}

/* The line for people: it is not known what columns are to come. */
static void print_plain(const struct mob_output_line *l, const char *task)
{
	time_t s = (time_t)(l->wall_ns / 1000000000u);
	char when[32] = "";
	struct tm tm;

	if (localtime_r(&s, &tm)) {
		(void)strftime(when, sizeof(when), "%F %T", &tm);
	}
	(void)printf("%s.%06u %u %s %s %s ", when,
		     (unsigned)(l->wall_ns % 1000000000u / 1000), l->pid,
		     stream_name(l), task ? task : "-", l->name);
	(void)fwrite(l->text, 1, l->len, stdout);
	(void)putchar('\n');
}

static int print(const struct mob_output_line *l, void *arg)
{
	struct want *w = arg;
	char text[CMD_REF_MAX];
	const char *task = l->task ? cmd_task_text(text, l->task) : NULL;

	if ((w->task && l->task != w->task) || (w->pid && l->pid != w->pid) ||
	    (w->name && strcmp(l->name, w->name) != 0) ||
	    (w->stream && strcmp(w->stream, stream_name(l)) != 0)) {
		return 0;
	}
	if (!out_style.json) {
		print_plain(l, task);
		return 0;
	}
	out_u64(&w->out, l->wall_ns);
	out_u64(&w->out, l->pid);
	out_text(&w->out, stream_name(l));
	out_text(&w->out, task);
	out_text(&w->out, strcmp(l->name, "-") != 0 ? l->name : NULL);
	out_text(&w->out, l->text);
	out_end_row(&w->out);
	return 0;
}

static int parse_want(const struct cli *c, struct want *w)
{
	const char *task = cli_text(c, "task");

	memset(w, 0, sizeof(*w));
	w->pid = cli_number(c, "pid");
	w->name = cli_text(c, "name");
	w->stream = cli_text(c, "stream");
	if (task && !cmd_task_parse(task, &w->task)) {
		return cli_fail(CLI_USAGE,
				"a task is two numbers, as in 17.3; 'mob task "
				"list' shows those there are",
				"'%s' is no task", task);
	}
	return 0;
}

int cmd_session_logs(struct cli *c)
{
	const struct timespec pause = { 0, LOOK_MS * 1000000L };
	struct mob_output_pos pos = { 0, 0 };
	struct mob_session *s = NULL;
	struct want w;
	int rc = parse_want(c, &w);

	if (!rc) {
		rc = cmd_session_open(c, c->n_args ? c->args[0] : NULL, &s);
	}
	if (rc) {
		return rc;
	}
	if (out_style.json) {
		out_begin(&w.out, cols);
	}
	do {
		rc = mob_session_output(s, &pos, print, &w);
		if (!out_flush()) {
			break;
		}
		if (cli_flag(c, "follow") && !rc) {
			(void)nanosleep(&pause, NULL);
		}
	} while (cli_flag(c, "follow") && !rc);
	mob_session_close(s);
	if (out_style.json && out_end(&w.out)) {
		return CLI_FAILED;
	}
	if (rc == MOB_E_CLOSED && cli_flag(c, "follow")) {
		return CLI_DONE; /* it has ended: that is all */
	}
	return rc < 0 ? cli_fail_rc(rc, "logs") : CLI_DONE;
}

const struct cli_opt cmd_logs_opts[] = {
	{ "follow", 'f', CLI_FLAG, NULL, NULL, "go on until the session ends" },
	{ "task", 't', CLI_TEXT, "TASK", NULL, "only what this task printed" },
	{ "name", 'n', CLI_TEXT, "NAME", NULL,
	  "only what tasks of this name printed" },
	{ "pid", 'p', CLI_NUMBER, "PID", NULL,
	  "only what this worker process printed" },
	{ "stream", 0, CLI_CHOICE, "out|err", NULL,
	  "only stdout, or only stderr" },
	{ 0 },
};
