/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob: the command line of Mobula. All that it can do stands in the tables of
 * cmd_<noun>.c; `mob` is also a program with tasks (those of bench_task.c), so
 * its workers are `mob` started again.
 */
#include "cli.h"
#include "cli_complete.h"
#include "cli_help.h"
#include "cmd.h"
#include "out.h"
#include "store_layout.h"

#include <mobula/mobula.h>
#include <mobula/plugin.h>
#include <mobula/version.h>

/* Version of what --json prints: keys are added, never changed or removed. */
#define JSON_VERSION 1

static int run_version(struct cli *c)
{
	static const struct out_col cols[] = {
		{ "version", "mobula", OUT_TEXT },
		{ "abi", "library ABI", OUT_COUNT },
		{ "format", "session format", OUT_COUNT },
		{ "plugin_abi", "plugin ABI", OUT_COUNT },
		{ "json", "JSON output", OUT_COUNT },
		{ 0 },
	};
	struct out o;

	(void)c;
	out_begin_one(&o, cols);
	out_text(&o, mob_version());
	out_u64(&o, MOB_ABI);
	out_u64(&o, MOBI_FORMAT);
	out_u64(&o, MOB_PLUGIN_ABI);
	out_u64(&o, JSON_VERSION);
	out_end_row(&o);
	return out_end(&o);
}

static const struct cli_cmd cmd_version[] = {
	{ .args = "",
	  .help = "print the versions of the library, its files and plugins",
	  .run = run_version },
	{ 0 },
};

static int run_completion(struct cli *c)
{
	if (!cli_complete_script(stdout, c->args[0])) {
		return cli_fail(CLI_USAGE, "bash, zsh or fish",
				"no completion for '%s'", c->args[0]);
	}
	return CLI_DONE;
}

static const struct cli_cmd cmd_completion[] = {
	{ .args = "SHELL",
	  .help = "print the completion script for bash, zsh or fish",
	  .run = run_completion,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_PLAIN },
	{ 0 },
};

/* Used by the build: fills the lists of options into a man page. */
static int run_man(struct cli *c)
{
	unsigned line;

	(void)c;
	if (!cli_man(stdin, stdout, &line)) {
		return cli_fail(CLI_FAILED, NULL, "line %u: no such command",
				line);
	}
	return CLI_DONE;
}

static const struct cli_cmd cmd_man[] = {
	{ .args = "",
	  .help = "copy a man page, filling in lists of options",
	  .run = run_man,
	  .flags = CLI_F_PLAIN | CLI_F_HIDDEN },
	{ 0 },
};

const struct cli_noun cli_nouns[] = {
	{ "session", "the sessions of this user", cmd_session },
	{ "object", "objects of a store", cmd_object },
	{ "task", "tasks of a session", cmd_task },
	{ "top", "what the tasks do, again and again", cmd_task_top },
	{ "summary", "the tasks of each function", cmd_summary },
	{ "timeline", "what ran when and where", cmd_timeline },
	{ "metrics", "counters, for Prometheus", cmd_metrics },
	{ "worker", "processes that run tasks", cmd_worker },
	{ "policy", "what decides which task runs", cmd_policy },
	{ "plugin", "what can be loaded", cmd_plugin },
	{ "store", "a store as a whole", cmd_store },
	{ "memory", "every byte of a store", cmd_memory },
	{ "run", "a program, or a task of a module", cmd_run },
	{ "bench", "speed beside the raw primitives", cmd_bench },
	{ "version", "versions", cmd_version },
	{ "completion", "completion for bash, zsh, fish", cmd_completion },
	{ "man-options", NULL, cmd_man },
	{ 0 },
};

MOB_MAIN(int argc, char **argv)
{
	return cli_main(argc, argv);
}
