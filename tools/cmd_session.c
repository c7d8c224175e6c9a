/* SPDX-License-Identifier: Apache-2.0 */
/* mob session: the sessions of this user. */
#include "cmd.h"
#include "cmd_logs.h"
#include "out.h"

#include <mobula/types.h>

static const struct out_col cols[] = {
	{ "name", "NAME", OUT_TEXT },
	{ "state", "STATE", OUT_TEXT },
	{ "program", "PROGRAM", OUT_TEXT },
	{ "driver_pid", "DRIVER", OUT_COUNT },
	{ "daemon_pid", "DAEMON", OUT_COUNT },
	{ "workers", "WORKERS", OUT_COUNT },
	{ "processes", "PROCESSES", OUT_COUNT },
	{ "age_ns", "AGE", OUT_NS },
	{ "file_bytes", "MEMORY", OUT_BYTES },
	{ "path", NULL, OUT_TEXT },
	{ "program_build", NULL, OUT_TEXT },
	{ "module", NULL, OUT_TEXT },
	{ "module_build", NULL, OUT_TEXT },
	{ "built_anew", NULL, OUT_TEXT },
	{ 0 },
};

static const struct out_col show_cols[] = {
	{ "name", "name", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "program", "program", OUT_TEXT },
	{ "driver_pid", "driver", OUT_COUNT },
	{ "daemon_pid", "daemon", OUT_COUNT },
	{ "workers", "workers", OUT_COUNT },
	{ "processes", "processes", OUT_COUNT },
	{ "age_ns", "age", OUT_NS },
	{ "file_bytes", "memory", OUT_BYTES },
	{ "path", "directory", OUT_TEXT },
	{ "program_build", "build of the program", OUT_TEXT },
	{ "module", "module", OUT_TEXT },
	{ "module_build", "build of the module", OUT_TEXT },
	{ "built_anew", "built anew since", OUT_TEXT },
	{ 0 },
};

static const char *some(const char *text)
{
	return text && *text ? text : NULL;
}

static int print(const struct mob_session_info *s, void *arg)
{
	static const char *const changed[] = { NULL, "program", "module",
					       "program, module" };
	struct out *o = arg;

	out_text(o, s->name);
	out_text(o, mob_session_state_name(s->state));
	out_text(o, some(s->program));
	out_u64_some(o, s->driver_pid);
	out_u64_some(o, s->daemon_pid);
	out_u64(o, s->workers);
	out_u64(o, s->processes);
	out_u64(o, s->age_ns);
	out_u64(o, s->file_bytes);
	out_text(o, s->path);
	out_text(o, some(s->program_build));
	out_text(o, some(s->module));
	out_text(o, some(s->module_build));
	out_text(o, changed[s->changed & 3u]);
	out_end_row(o);
	return 0;
}

static int run_list(struct cli *c)
{
	struct out o;
	int rc;

	(void)c;
	out_begin(&o, cols);
	rc = mob_session_each(print, &o);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	return rc < 0 ? cli_fail_rc(rc, "sessions") : CLI_DONE;
}

/* Looks for one session among all, so that a store alone is found as well. */
struct find {
	const char *name;
	struct out *out;
	bool found;
};

static int print_named(const struct mob_session_info *s, void *arg)
{
	struct find *f = arg;

	for (size_t i = 0; s->name[i] == f->name[i]; i++) {
		if (!s->name[i]) {
			f->found = true;
			return print(s, f->out);
		}
	}
	return 0;
}

static int run_show(struct cli *c)
{
	char name[CMD_SESSION_MAX];
	struct out o;
	struct find f = { name, &o, false };
	int rc = cmd_session_name(c, c->n_args ? c->args[0] : NULL, name);

	if (rc) {
		return rc;
	}
	out_begin_one(&o, show_cols);
	rc = mob_session_each(print_named, &f);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	if (rc < 0) {
		return cli_fail_rc(rc, name);
	}
	return f.found ? CLI_DONE :
			 cli_fail(CLI_NOT_FOUND,
				  "'mob session list' shows those there are",
				  "no session '%s'", name);
}

/* ---- stat ---- */

static const struct out_col stat_cols[] = {
	{ "tasks_run", "tasks run", OUT_COUNT },
	{ "retried", "put back, as a worker died", OUT_COUNT },
	{ "finished_for_dead", "finished for a dead worker", OUT_COUNT },
	{ "crashes", "workers that died in a task", OUT_COUNT },
	{ "crash_task", "task of the last one", OUT_TEXT },
	{ "crash_attempt", "its attempt", OUT_COUNT },
	{ "crash_signal", "its signal", OUT_COUNT },
	{ "crash_code", "its exit code", OUT_COUNT },
	{ "swaps", "policies asked for", OUT_COUNT },
	{ "ejections", "policies thrown out", OUT_COUNT },
	{ "bypasses", "lock holders gone round", OUT_COUNT },
	{ "kept", "ended, kept for their results", OUT_COUNT },
	{ "forgotten", "of them, gone for others", OUT_COUNT },
	{ "evicted", "results gone for room", OUT_COUNT },
	{ "remade", "runs that made some again", OUT_COUNT },
	{ "mismatches", "made again, not as before", OUT_COUNT },
	{ "memory_limit", "tightest limit of memory", OUT_BYTES },
	{ "memory_use", "in use of it", OUT_BYTES },
	{ "memory_kills", "attempts killed for lack of it", OUT_COUNT },
	{ "memory_replaced", "idle workers replaced for it", OUT_COUNT },
	{ "repeated", "large arguments given again", OUT_COUNT },
	{ 0 },
};

static int run_stat(struct cli *c)
{
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;
	struct mob_session *session;
	struct out o;
	int rc = cmd_session_open(c, c->n_args ? c->args[0] : NULL, &session);

	if (rc) {
		return rc;
	}
	rc = mob_session_stats(session, &st);
	if (rc < 0) {
		rc = cli_fail_rc(rc, c->n_args ? c->args[0] : "session");
		mob_session_close(session);
		return rc;
	}
	out_begin_one(&o, stat_cols);
	out_u64(&o, st.tasks_run);
	out_u64(&o, st.retried);
	out_u64(&o, st.finished_for_dead);
	out_u64(&o, st.crashes);
	if (st.crashes) {
		out_text(&o, st.crash_task);
		out_u64(&o, st.crash_attempt);
		out_u64(&o, st.crash_signal);
		out_u64(&o, st.crash_code);
	} else {
		for (int i = 0; i < 4; i++) {
			out_none(&o);
		}
	}
	out_u64(&o, st.swaps);
	out_u64(&o, st.ejections);
	out_u64(&o, st.bypasses);
	out_u64(&o, st.kept);
	out_u64(&o, st.forgotten);
	out_u64(&o, st.evicted);
	out_u64(&o, st.remade);
	out_u64(&o, st.mismatches);
	out_u64(&o, st.memory_limit);
	out_u64(&o, st.memory_use);
	out_u64(&o, st.memory_kills);
	out_u64(&o, st.memory_replaced);
	out_u64(&o, st.repeated);
	out_end_row(&o);
	mob_session_close(session);
	return out_end(&o);
}

static const struct out_col resource_cols[] = {
	{ "resource", "RESOURCE", OUT_TEXT },
	{ "total", "TOTAL", OUT_REAL },
	{ "used", "USED", OUT_REAL },
	{ "devices", NULL, OUT_BOOL },
	{ "in_use", "DEVICES", OUT_TEXT },
	{ "workers", "WORKERS", OUT_TEXT },
	{ 0 },
};

/* "0 2 3" */
static void bits_text(uint64_t bits, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (; bits && n < size; bits &= bits - 1) {
		n += (size_t)snprintf(out + n, size - n, "%s%d", n ? " " : "",
				      __builtin_ctzll(bits));
	}
}

static int print_resource(const struct mob_resource_info *r, void *arg)
{
	char text[200];

	out_text(arg, r->name);
	out_real(arg, r->total / 10000.0);
	out_real(arg, r->used / 10000.0);
	out_bool(arg, r->has_devices);
	bits_text(r->devices_used, text, sizeof(text));
	out_text(arg, r->has_devices ? text : NULL);
	bits_text(r->holders, text, sizeof(text));
	out_text(arg, text);
	out_end_row(arg);
	return 0;
}

static int run_resources(struct cli *c)
{
	struct mob_session *session = NULL;
	struct out o;
	int rc = cmd_session_open(c, c->n_args ? c->args[0] : NULL, &session);

	if (rc) {
		return rc;
	}
	out_begin(&o, resource_cols);
	rc = mob_session_resources(session, print_resource, &o);
	mob_session_close(session);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	return rc < 0 ? cli_fail_rc(rc, "resources") : CLI_DONE;
}

static int run_stop(struct cli *c)
{
	int rc = mob_session_stop(c->args[0], cli_timeout(c, "timeout"));

	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	cli_say("session %s has ended", c->args[0]);
	return CLI_DONE;
}

static int print_stale(const struct mob_session_info *s, void *arg)
{
	return s->state == MOB_SESSION_STALE ? print(s, arg) : 0;
}

int cmd_session_gc(struct cli *c)
{
	struct out o;
	int rc;

	out_begin(&o, cols);
	rc = cli_flag(c, "dry-run") ? mob_session_each(print_stale, &o) :
				      mob_session_gc(print, &o);
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	if (rc < 0) {
		return cli_fail_rc(rc, "sessions");
	}
	if (!cli_flag(c, "dry-run")) {
		cli_say("removed: %d", rc);
	}
	return CLI_DONE;
}

static const struct cli_opt stop_opts[] = {
	{ "timeout", 't', CLI_DURATION, "TIME", "5s",
	  "kill what has not ended by then" },
	{ 0 },
};

const struct cli_opt cmd_gc_opts[] = {
	{ "dry-run", 'n', CLI_FLAG, NULL, NULL, "show, remove nothing" },
	{ 0 },
};

const struct cli_cmd cmd_session[] = {
	{ .name = "list",
	  .args = "",
	  .help = "the sessions of this user and how they are",
	  .run = run_list },
	{ .name = "show",
	  .args = "[NAME]",
	  .help = "one session",
	  .run = run_show,
	  .args_max = 1,
	  .complete = CLI_SESSION },
	{ .name = "stat",
	  .args = "[NAME]",
	  .help = "what has happened in a session: tasks, deaths, policies",
	  .run = run_stat,
	  .args_max = 1,
	  .complete = CLI_SESSION },
	{ .name = "resources",
	  .args = "[NAME]",
	  .help = "what tasks can wish for beside processors, and who has it",
	  .run = run_resources,
	  .args_max = 1,
	  .complete = CLI_SESSION },
	{ .name = "logs",
	  .args = "[NAME]",
	  .help = "what its workers have printed, by task and process",
	  .opts = cmd_logs_opts,
	  .run = cmd_session_logs,
	  .args_max = 1,
	  .complete = CLI_SESSION },
	{ .name = "stop",
	  .args = "NAME",
	  .help = "end a session: its daemon, its workers, its directory",
	  .opts = stop_opts,
	  .run = run_stop,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_PLAIN,
	  .complete = CLI_SESSION },
	{ .name = "gc",
	  .args = "",
	  .help = "remove what sessions left whose processes are all dead",
	  .opts = cmd_gc_opts,
	  .run = cmd_session_gc },
	{ 0 },
};
