/* SPDX-License-Identifier: Apache-2.0 */
/* mob plugin: what can be loaded, and whether it keeps the rules. */
#include "cmd_plugin.h"

#include "cmd.h"
#include "os_trial.h"
#include "out.h"
#include "plugin.h"
#include "policy.h"

#include <mobula/err.h>
#include <mobula/sched.h>

#include <stdio.h>
#include <string.h>

/* What one check of a policy may take. */
#define CHECK_CPU_S 30
#define CHECK_WALL_MS 120000

static const struct out_col cols[] = {
	{ "name", "NAME", OUT_TEXT },
	{ "kind", "KIND", OUT_TEXT },
	{ "version", "VERSION", OUT_TEXT },
	{ "usable", "USABLE", OUT_BOOL },
	{ "summary", "SUMMARY", OUT_TEXT },
	{ "license", NULL, OUT_TEXT },
	{ "abi", NULL, OUT_COUNT },
	{ "path", NULL, OUT_TEXT },
	{ 0 },
};

static const struct out_col show_cols[] = {
	{ "name", "name", OUT_TEXT },
	{ "kind", "kind", OUT_TEXT },
	{ "version", "version", OUT_TEXT },
	{ "usable", "usable", OUT_BOOL },
	{ "summary", "summary", OUT_TEXT },
	{ "license", "license", OUT_TEXT },
	{ "abi", "plugin ABI", OUT_COUNT },
	{ "path", "file", OUT_TEXT },
	{ 0 },
};

static const char *kind_name(uint32_t kind)
{
	return kind == MOB_PLUGIN_SCHED ? "sched" : "?";
}

/* ---- list ---- */

struct listing {
	struct out out;
	uint32_t bad;
};

static void print(struct out *o, const struct mob_plugin *p, const char *path)
{
	out_text(o, p->name);
	out_text(o, kind_name(p->kind));
	out_text(o, p->version);
	out_bool(o, true);
	out_text(o, p->summary);
	out_text(o, p->license);
	out_u64(o, p->abi);
	out_text(o, path);
	out_end_row(o);
}

/* A file that is no usable plugin: its name, and why. */
static void print_bad(struct out *o, const struct mobi_plugin_info *i)
{
	const char *base = strrchr(i->path, '/');

	out_text(o, base ? base + 1 : i->path);
	out_none(o);
	out_none(o);
	out_bool(o, false);
	out_text(o,
		 i->detail && *i->detail ? i->detail : mob_err_message(i->rc));
	out_none(o);
	out_none(o);
	out_text(o, i->path);
	out_end_row(o);
}

static int print_listed(const struct mobi_plugin_info *i, void *arg)
{
	struct listing *l = arg;

	if (!i->plugin) {
		l->bad++;
		print_bad(&l->out, i);
		return 0;
	}
	if (strcmp(i->plugin->name, mobi_policy_fallback().plugin->name)) {
		print(&l->out, i->plugin, i->path);
	}
	return 0;
}

int cmd_plugin_list(struct cli *c)
{
	struct listing l = { .bad = 0 };
	int rc;

	(void)c;
	out_begin(&l.out, cols);
	/* It wins over a file of the same name. */
	print(&l.out, mobi_policy_fallback().plugin, "built in");
	rc = mobi_plugin_each(print_listed, &l);
	if (out_end(&l.out)) {
		return CLI_FAILED;
	}
	if (rc < 0) {
		return cli_fail_rc(rc, "plugins");
	}
	if (l.bad) {
		cli_say("%u not usable", l.bad);
	}
	return CLI_DONE;
}

/* ---- show ---- */

static int run_show(struct cli *c)
{
	struct mobi_policy policy;
	char path[4096];
	struct out o;
	int rc = mobi_policy_load(c->args[0], &policy);

	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	if (policy.plugin == mobi_policy_fallback().plugin ||
	    mobi_plugin_find(MOB_PLUGIN_SCHED, c->args[0], path, sizeof(path)) <
		    0) {
		(void)snprintf(path, sizeof(path), "built in");
	}
	out_begin_one(&o, show_cols);
	print(&o, policy.plugin, path);
	return out_end(&o);
}

/* ---- check ---- */

static const struct out_col check_cols[] = {
	{ "check", "CHECK", OUT_TEXT },
	{ "passed", "PASSED", OUT_BOOL },
	{ "reason", "REASON", OUT_TEXT },
	{ 0 },
};

/* Number of the check that is the loading itself. */
#define CHECK_LOAD UINT32_MAX

struct check {
	const char *name;
	uint32_t number;
};

/* In a child: a plugin that crashes or loops takes only that with it. */
static int one_check(void *arg)
{
	const struct check *check = arg;
	struct mobi_policy policy;
	int rc = mobi_policy_load(check->name, &policy);

	if (rc == 0 && check->number != CHECK_LOAD) {
		rc = mobi_policy_check_one(policy.plugin, check->number);
	}
	return rc;
}

static int try_check(const char *name, uint32_t number,
		     struct mobi_trial_end *out_end)
{
	struct check check = { name, number };

	return mobi_trial(one_check, &check, CHECK_CPU_S, CHECK_WALL_MS,
			  out_end);
}

static int run_check(struct cli *c)
{
	struct mobi_trial_end end;
	uint32_t failed = 0;
	struct out o;
	int rc = try_check(c->args[0], CHECK_LOAD, &end);

	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	out_begin(&o, check_cols);
	for (uint32_t i = 0; mobi_policy_check_name(i); i++) {
		const char *name = mobi_policy_check_name(i);

		cli_progress("%s", name);
		rc = try_check(c->args[0], i, &end);
		cli_progress(NULL);
		failed += rc != 0;
		out_text(&o, name);
		out_bool(&o, rc == 0);
		out_text(&o, rc ? end.detail : NULL);
		out_end_row(&o);
	}
	if (out_end(&o)) {
		return CLI_FAILED;
	}
	if (failed) {
		return cli_fail(CLI_FAILED, NULL, "%s: %u checks failed",
				c->args[0], failed);
	}
	cli_say("%s keeps the rules", c->args[0]);
	return CLI_DONE;
}

const struct cli_cmd cmd_plugin[] = {
	{ .name = "list",
	  .args = "",
	  .help = "the plugins that are found, usable or not",
	  .run = cmd_plugin_list },
	{ .name = "show",
	  .args = "NAME|PATH",
	  .help = "one plugin",
	  .run = run_show,
	  .args_min = 1,
	  .args_max = 1,
	  .complete = CLI_POLICY },
	{ .name = "check",
	  .args = "NAME|PATH",
	  .help = "run the checks that a policy must pass before it may decide",
	  .run = run_check,
	  .args_min = 1,
	  .args_max = 1,
	  .complete = CLI_POLICY },
	{ 0 },
};
