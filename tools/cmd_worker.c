/* SPDX-License-Identifier: Apache-2.0 */
/* mob worker: the processes that run tasks. */
#include "cmd.h"
#include "out.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

static const struct out_col cols[] = {
	{ "worker", "WORKER", OUT_COUNT },
	{ "pid", "PID", OUT_COUNT },
	{ "state", "STATE", OUT_TEXT },
	{ "task", "TASK", OUT_TEXT },
	{ "task_name", "NAME", OUT_TEXT },
	{ "tasks", "DONE", OUT_COUNT },
	{ "busy_ns", "BUSY", OUT_NS },
	{ "age_ns", "AGE", OUT_NS },
	{ "private_bytes", "PRIVATE", OUT_BYTES },
	{ "threads", "THREADS", OUT_COUNT },
	{ 0 },
};

static const struct out_col show_cols[] = {
	{ "worker", "worker", OUT_COUNT },
	{ "pid", "pid", OUT_COUNT },
	{ "state", "state", OUT_TEXT },
	{ "task", "task", OUT_TEXT },
	{ "task_name", "name", OUT_TEXT },
	{ "tasks", "attempts ended", OUT_COUNT },
	{ "busy_ns", "busy", OUT_NS },
	{ "age_ns", "age", OUT_NS },
	{ "private_bytes", "private memory", OUT_BYTES },
	{ "threads", "threads", OUT_COUNT },
	{ 0 },
};

static int print(const struct mob_worker_info *w, void *arg)
{
	char text[CMD_REF_MAX];
	struct out *o = arg;

	out_u64(o, w->number);
	out_u64(o, w->pid);
	out_text(o, mob_worker_state_name(w->state));
	out_text(o, w->task ? cmd_task_text(text, w->task) : NULL);
	out_text(o, w->task ? w->task_name : NULL);
	out_u64(o, w->tasks);
	out_u64(o, w->busy_ns);
	out_u64(o, w->age_ns);
	out_u64_some(o, w->private_bytes);
	out_u64_some(o, w->threads);
	out_end_row(o);
	return 0;
}

static int run_list(struct cli *c)
{
	struct mob_session *s;
	struct out o;
	int rc = cmd_session_open(c, NULL, &s);

	if (rc) {
		return rc;
	}
	out_begin(&o, cols);
	rc = mob_session_workers(s, print, &o);
	mob_session_close(s);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	return rc < 0 ? cli_fail_rc(rc, "workers") : CLI_DONE;
}

struct wanted {
	struct out *out;
	uint32_t number;
	bool found;
};

static int print_wanted(const struct mob_worker_info *w, void *arg)
{
	struct wanted *want = arg;

	if (w->number != want->number) {
		return 0;
	}
	want->found = true;
	(void)print(w, want->out);
	return 1;
}

static int run_show(struct cli *c)
{
	struct mob_session *s;
	struct out o;
	struct wanted want = { .out = &o };
	char *end;
	unsigned long n = strtoul(c->args[0], &end, 10);
	int rc;

	if (end == c->args[0] || *end || n > UINT32_MAX) {
		return cli_fail(CLI_USAGE,
				"a worker is a number; 'mob worker list' shows "
				"those there are",
				"'%s' is no worker", c->args[0]);
	}
	want.number = (uint32_t)n;
	rc = cmd_session_open(c, NULL, &s);
	if (rc) {
		return rc;
	}
	out_begin_one(&o, show_cols);
	rc = mob_session_workers(s, print_wanted, &want);
	mob_session_close(s);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	if (rc < 0) {
		return cli_fail_rc(rc, "workers");
	}
	if (!want.found) {
		return cli_fail(CLI_NOT_FOUND,
				"'mob worker list' shows those there are",
				"no worker has the number %lu", n);
	}
	return CLI_DONE;
}

const struct cli_cmd cmd_worker[] = {
	{ .name = "list",
	  .args = "",
	  .help = "the workers: what they run, time busy, memory",
	  .run = run_list,
	  .flags = CLI_F_SESSION },
	{ .name = "show",
	  .args = "WORKER",
	  .help = "one worker, by its number",
	  .run = run_show,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION },
	{ 0 },
};
