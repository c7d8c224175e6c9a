/* SPDX-License-Identifier: Apache-2.0 */
/* mob policy: which policy decides in a session, and swapping it. */
#include "cmd.h"
#include "cmd_plugin.h"
#include "out.h"

static const struct out_col cols[] = {
	{ "name", "policy", OUT_TEXT },
	{ "path", "file", OUT_TEXT },
	{ "wanted", "wanted", OUT_TEXT },
	{ "builtin", NULL, OUT_BOOL },
	{ "fallback", "fallback", OUT_BOOL },
	{ "generation", "generation", OUT_COUNT },
	{ "since_ns", "decides since", OUT_NS },
	{ "ready", "ready, not placed", OUT_COUNT },
	{ "queued", "queued", OUT_COUNT },
	{ "running", "running", OUT_COUNT },
	{ "placed", "placed so far", OUT_COUNT },
	{ "swaps", "swaps", OUT_COUNT },
	{ "ejections", "ejections", OUT_COUNT },
	{ "strikes", "strikes", OUT_COUNT },
	{ "last_ejected", "last ejected", OUT_TEXT },
	{ "last_reason", "because", OUT_TEXT },
	{ "last_ejected_ns", "ago", OUT_NS },
	{ 0 },
};

static void print(struct out *o, const struct mob_policy_info *p)
{
	bool ejected = p->last_ejected && *p->last_ejected;
	bool builtin = (p->flags & MOB_POLICY_BUILTIN) != 0;

	out_text(o, p->name);
	out_text(o, builtin ? "built in" : p->path);
	out_text(o, p->wanted);
	out_bool(o, builtin);
	out_bool(o, (p->flags & MOB_POLICY_FALLBACK) != 0);
	out_u64(o, p->generation);
	out_u64(o, p->since_ns);
	out_u64(o, p->ready);
	out_u64(o, p->queued);
	out_u64(o, p->running);
	out_u64(o, p->placed);
	out_u64(o, p->swaps);
	out_u64(o, p->ejections);
	out_u64(o, p->strikes);
	out_text(o, ejected ? p->last_ejected : NULL);
	out_text(o, ejected ? p->last_reason : NULL);
	if (ejected) {
		out_u64(o, p->last_ejected_ns);
	} else {
		out_none(o);
	}
	out_end_row(o);
}

static int run_show(struct cli *c)
{
	struct mob_policy_info info = MOB_POLICY_INFO_INIT;
	struct mob_session *s;
	struct out o;
	int rc = cmd_session_open(c, NULL, &s);

	if (rc) {
		return rc;
	}
	rc = mob_session_policy(s, &info);
	if (rc < 0) {
		rc = cli_fail_rc(rc, "policy");
	} else {
		out_begin_one(&o, cols);
		print(&o, &info);
		rc = out_end(&o);
	}
	mob_session_close(s);
	return rc;
}

static int run_swap(struct cli *c)
{
	struct mob_session *s;
	uint64_t generation;
	int rc = cmd_session_open(c, NULL, &s);

	if (rc) {
		return rc;
	}
	rc = mob_policy_swap(s, c->args[0], &generation);
	mob_session_close(s);
	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	cli_say("%s decides, generation %llu", c->args[0],
		(unsigned long long)generation);
	return CLI_DONE;
}

const struct cli_cmd cmd_policy[] = {
	{ .name = "list",
	  .args = "",
	  .help = "the policies there are",
	  .run = cmd_plugin_list },
	{ .name = "show",
	  .args = "",
	  .help = "which policy decides in a session, and what it has to do",
	  .run = run_show,
	  .flags = CLI_F_SESSION },
	{ .name = "swap",
	  .args = "NAME|PATH",
	  .help = "replace the policy of a running session; no task is lost",
	  .run = run_swap,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN,
	  .complete = CLI_POLICY },
	{ 0 },
};
