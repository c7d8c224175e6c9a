/* SPDX-License-Identifier: Apache-2.0 */
/* mob object: single objects. */
#define _GNU_SOURCE
#include "cmd_name.h"
#include "cmd_put.h"
#include "out.h"

#include <mobula/err.h>
#include <mobula/object.h>
#include <mobula/types.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *type_name(char buf[16], mob_type_id type)
{
	static const char *const name[] = { "?", "bytes", "error", "refs" };

	if (type < sizeof(name) / sizeof(name[0])) {
		return name[type];
	}
	(void)snprintf(buf, 16, "%08x", type);
	return buf;
}

static const struct out_col cols[] = {
	{ "ref", "REF", OUT_TEXT },
	{ "state", "STATE", OUT_TEXT },
	{ "size_bytes", "SIZE", OUT_BYTES },
	{ "type", "TYPE", OUT_TEXT },
	{ "creator", "CREATOR", OUT_COUNT },
	{ "born_ms", "BORN MS", OUT_COUNT },
	{ 0 },
};

/* All but the end of the row. */
static void print(struct out *o, const struct mob_object_info *i)
{
	char ref[CMD_REF_MAX];
	char type[16];

	out_text(o, cmd_ref_text(ref, i->ref));
	out_text(o, cmd_state_name(i->state));
	out_u64(o, i->size);
	out_text(o, type_name(type, i->type));
	out_u64(o, i->creator);
	out_u64(o, i->born_ms);
}

/* ---- list ---- */

struct listing {
	struct out out;
	uint64_t limit; /* 0: none */
	uint64_t n;
};

static int print_listed(const struct mob_object_info *i, void *arg)
{
	struct listing *l = arg;

	if (l->limit && l->n == l->limit) {
		return 1;
	}
	l->n++;
	print(&l->out, i);
	out_end_row(&l->out);
	return 0;
}

/* How old something is in the time of the session, in ms. */
static uint64_t born_before(uint64_t age_ms, uint64_t ns)
{
	return ns / 1000000 < age_ms ? age_ms - ns / 1000000 : 0;
}

static uint32_t state_of(const char *name)
{
	for (uint32_t s = 0; s <= MOB_OBJECT_LOST; s++) {
		if (strcmp(cmd_state_name(s), name) == 0) {
			return s;
		}
	}
	return 0; /* the table of options has the names */
}

/* What the options ask for. */
static int query_of(const struct cli *c, struct mob_store *store,
		    struct mob_object_query *q)
{
	struct mob_store_stat st = { 0 };
	int rc = 0;

	q->creator = (uint32_t)cli_number(c, "creator");
	if (cli_given(c, "state")) {
		q->states = MOB_QUERY_STATE(state_of(cli_text(c, "state")));
	}
	q->size_min = cli_number(c, "min-size");
	if (cli_given(c, "max-size")) {
		q->size_max = cli_number(c, "max-size");
	}
	if (cli_given(c, "older") || cli_given(c, "younger")) {
		rc = mob_store_stat(store, &st);
	}
	if (cli_given(c, "older")) {
		q->born_max_ms = born_before(st.age_ms, cli_number(c, "older"));
	}
	if (cli_given(c, "younger")) {
		q->born_min_ms = born_before(st.age_ms, cli_number(c, "younge"
								      "r"));
	}
	return rc;
}

static int run_list(struct cli *c)
{
	struct mob_object_query q = MOB_OBJECT_QUERY_INIT;
	struct mob_store *store;
	struct listing l = { .limit = cli_number(c, "limit") };
	uint64_t lag = 0;
	int rc;

	if (cli_given(c, "creator") &&
	    (cli_number(c, "creator") == 0 || cli_number(c, "creator") > 63)) {
		return cli_fail(CLI_USAGE, NULL,
				"--creator is %llu; a process has a number "
				"from 1 to 63",
				(unsigned long long)cli_number(c, "creator"));
	}
	rc = cmd_store_open(c, NULL, &store);

	if (rc) {
		return rc;
	}
	rc = cli_flag(c, "sync") ? mob_store_sync(store) : 0;
	rc = rc ? rc : query_of(c, store, &q);
	if (rc == 0) {
		bool all = !q.creator && !q.states && !q.size_min &&
			   q.size_max == UINT64_MAX && !q.born_min_ms &&
			   q.born_max_ms == UINT64_MAX;

		out_begin(&l.out, cols);
		rc = all ? mob_store_list(store, print_listed, &l, &lag) :
			   mob_store_find(store, &q, print_listed, &l, &lag);
		if (out_end(&l.out)) {
			mob_store_close(store);
			return CLI_FAILED;
		}
	}
	if (rc < 0) {
		rc = cli_fail_rc(rc, mob_store_name(store));
	} else {
		cli_say("objects: %llu%s; catalogue at most %llu ms old",
			(unsigned long long)l.n, rc > 0 ? " and more" : "",
			(unsigned long long)lag);
		rc = CLI_DONE;
	}
	mob_store_close(store);
	return rc;
}

/* ---- show ---- */

static const struct out_col show_cols[] = {
	{ "ref", "ref", OUT_TEXT },
	{ "state", "state", OUT_TEXT },
	{ "size_bytes", "size", OUT_BYTES },
	{ "type", "type", OUT_TEXT },
	{ "creator", "creator", OUT_COUNT },
	{ "born_ms", "born ms", OUT_COUNT },
	{ "names", "names", OUT_COUNT },
	{ "pins", "pins", OUT_COUNT },
	{ "site", "made at", OUT_TEXT },
	{ "content_type", "content type", OUT_TEXT },
	{ "dtype", "dtype", OUT_TEXT },
	{ "shape", "shape", OUT_TEXT },
	{ "user_bytes", "user bytes", OUT_BYTES },
	{ 0 },
};

/* What its header says, of a sealed one. */
static void print_header(struct out *o, struct mob_store *store,
			 struct mob_ref ref)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	char text[CMD_ARRAY_MAX];
	struct mob_view v;
	int rc = mob_object_get(store, ref, 0, &v);

	if (rc == 0 && mob_view_header(&v, &h) == 1) {
		out_text(o, h.content_type);
		out_text(o, cmd_dtype_text(text, h.dtype));
		out_text(o, h.dtype.bits ? cmd_shape_text(text, &h) : NULL);
		out_u64(o, h.user_size);
	} else {
		for (int i = 0; i < 4; i++) {
			out_none(o);
		}
	}
	if (rc == 0 || rc == MOB_E_TASK) {
		mob_view_release(store, &v);
	}
}

static int show(struct mob_store *store, struct mob_ref ref)
{
	struct mob_object_info info;
	char text[CMD_REF_MAX];
	char site[MOB_SITE_TEXT];
	struct out o;
	uint32_t names = 0;
	uint32_t pins = 0;
	int rc = mob_object_stat(store, ref, &info);

	if (rc == MOB_E_BAD_REF) {
		return cli_fail(CLI_NOT_FOUND,
				"'mob object list' shows those there are",
				"%s: no such object", cmd_ref_text(text, ref));
	}
	rc = rc < 0 ? rc : mob_object_kept(store, ref, &names, &pins);
	if (rc < 0) {
		return cli_fail_rc(rc, cmd_ref_text(text, ref));
	}
	out_begin_one(&o, show_cols);
	print(&o, &info);
	out_u64(&o, names);
	out_u64(&o, pins);
	out_text(&o, cmd_site_text(site, store, info.site));
	print_header(&o, store, ref);
	out_end_row(&o);
	return out_end(&o);
}

static int run_show(struct cli *c)
{
	struct mob_store *store;
	struct mob_ref ref;
	int rc = cmd_store_open(c, NULL, &store);

	if (rc) {
		return rc;
	}
	rc = cmd_object_arg(c, 0, store, &ref);
	rc = rc ? rc : show(store, ref);
	mob_store_close(store);
	return rc;
}

/* ---- get ---- */

static int write_all(int fd, const char *name, const void *at, uint64_t n)
{
	const char *p = at;

	while (n > 0) {
		size_t part = n > (1u << 30) ? 1u << 30 : (size_t)n;
		ssize_t w = write(fd, p, part);

		if (w < 0 && errno == EINTR) {
			continue;
		}
		if (w <= 0) {
			return cli_fail(CLI_FAILED, NULL, "%s: %s", name,
					strerror(errno));
		}
		p += w;
		n -= (uint64_t)w;
	}
	return 0;
}

static int write_view(const char *path, const struct mob_view *v)
{
	int fd = STDOUT_FILENO;
	int rc;

	if (path) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (fd < 0) {
			return cli_fail(CLI_FAILED, NULL, "%s: %s", path,
					strerror(errno));
		}
	}
	rc = write_all(fd, path ? path : "standard output", v->at, v->size);
	if (path && close(fd) && !rc) {
		rc = cli_fail(CLI_FAILED, NULL, "%s: %s", path,
			      strerror(errno));
	}
	return rc;
}

static int run_get(struct cli *c)
{
	struct mob_store *store;
	struct mob_view view;
	struct mob_ref ref;
	int rc = cmd_store_open(c, NULL, &store);

	if (rc) {
		return rc;
	}
	rc = cmd_object_arg(c, 0, store, &ref);
	if (rc) {
		mob_store_close(store);
		return rc;
	}
	rc = mob_object_get(store, ref, cli_timeout(c, "timeout"), &view);
	if (rc == 0) {
		rc = write_view(cli_text(c, "output"), &view);
	} else {
		bool failed = rc == MOB_E_TASK;

		rc = cli_fail_rc(rc, c->args[0]);
		if (!failed) {
			mob_store_close(store);
			return rc;
		}
	}
	mob_view_release(store, &view);
	mob_store_close(store);
	return rc;
}

/* ---- wait ---- */

static int print_waited(struct mob_store *store, const struct mob_ref *refs,
			const bool *ready, uint32_t n)
{
	static const struct out_col wait_cols[] = {
		{ "ref", "REF", OUT_TEXT },
		{ "state", "STATE", OUT_TEXT },
		{ "ready", "READY", OUT_BOOL },
		{ 0 },
	};
	char text[CMD_REF_MAX];
	struct out o;

	out_begin(&o, wait_cols);
	for (uint32_t i = 0; i < n; i++) {
		out_text(&o, cmd_ref_text(text, refs[i]));
		out_text(&o, cmd_state_name(mob_object_state(store, refs[i])));
		out_bool(&o, ready[i]);
		out_end_row(&o);
	}
	return out_end(&o);
}

static int wait_for(struct cli *c, struct mob_store *store,
		    const struct mob_ref *refs, bool *ready)
{
	uint64_t count = cli_given(c, "count") ? cli_number(c, "count") :
						 c->n_args;
	int rc;

	if (count == 0 || count > c->n_args) {
		return cli_fail(CLI_USAGE, NULL,
				"--count is %llu, with %u refs it is 1 to %u",
				(unsigned long long)count, c->n_args,
				c->n_args);
	}
	rc = mob_object_wait(store, refs, c->n_args, (size_t)count,
			     cli_timeout(c, "timeout"), ready);
	if (rc < 0 && rc != MOB_E_TIMEOUT) {
		return cli_fail_rc(rc, mob_store_name(store));
	}
	if (print_waited(store, refs, ready, c->n_args)) {
		return CLI_FAILED;
	}
	if (rc >= 0 && (uint64_t)rc >= count) {
		return CLI_DONE;
	}
	return cli_fail(CLI_TIMEOUT, NULL, "timed out with %d of %llu ready",
			rc < 0 ? 0 : rc, (unsigned long long)count);
}

static int run_wait(struct cli *c)
{
	struct mob_store *store;
	struct mob_ref *refs = calloc(c->n_args, sizeof(*refs));
	bool *ready = calloc(c->n_args, sizeof(*ready));
	int rc;

	if (!refs || !ready) {
		free(refs);
		free(ready);
		return cli_fail(CLI_FAILED, NULL, "out of memory");
	}
	rc = cmd_store_open(c, NULL, &store);
	if (!rc) {
		for (uint32_t i = 0; i < c->n_args && !rc; i++) {
			rc = cmd_object_arg(c, i, store, &refs[i]);
		}
		rc = rc ? rc : wait_for(c, store, refs, ready);
		mob_store_close(store);
	}
	free(refs);
	free(ready);
	return rc;
}

static const struct cli_opt list_opts[] = {
	{ "sync", 0, CLI_FLAG, NULL, NULL,
	  "bring the catalogue up to date first" },
	{ "limit", 'n', CLI_NUMBER, "N", NULL, "at most so many" },
	{ "state", 0, CLI_CHOICE, "sealed|failed|cancelled|lost", NULL,
	  "only those in this state" },
	{ "creator", 0, CLI_NUMBER, "N", NULL,
	  "only those that this process made" },
	{ "min-size", 0, CLI_BYTES, "BYTES", NULL, "only those as large" },
	{ "max-size", 0, CLI_BYTES, "BYTES", NULL, "only those no larger" },
	{ "older", 0, CLI_DURATION, "TIME", NULL,
	  "only those made longer ago" },
	{ "younger", 0, CLI_DURATION, "TIME", NULL,
	  "only those made since then" },
	{ 0 },
};
static const struct cli_opt get_opts[] = {
	{ "timeout", 't', CLI_DURATION, "TIME", "forever",
	  "how long to wait for it" },
	{ "output", 'o', CLI_FILE, "FILE", NULL,
	  "write to a file, not to standard output" },
	{ 0 },
};
static const struct cli_opt name_opts[] = {
	{ "cached", 0, CLI_FLAG, NULL, NULL,
	  "with a name: it may go when room is needed" },
	{ "replace", 0, CLI_FLAG, NULL, NULL,
	  "take the name from the object that has it" },
	{ 0 },
};
static const struct cli_opt wait_opts[] = {
	{ "timeout", 't', CLI_DURATION, "TIME", "forever", "how long to wait" },
	{ "count", 'c', CLI_NUMBER, "N", NULL,
	  "how many must be resolved; without it all" },
	{ 0 },
};

const struct cli_cmd cmd_object[] = {
	{ .name = "list",
	  .args = "",
	  .help = "the objects of the catalogue: those older than moments",
	  .opts = list_opts,
	  .run = run_list,
	  .flags = CLI_F_SESSION },
	{ .name = "show",
	  .args = "REF|NAME",
	  .help = "one object",
	  .run = run_show,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION },
	{ .name = "get",
	  .args = "REF|NAME",
	  .help = "wait for an object and write its bytes",
	  .opts = get_opts,
	  .run = run_get,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN },
	{ .name = "put",
	  .args = "[FILE]",
	  .help = "store a file or standard input, print the ref, and keep the "
		  "object until the command ends",
	  .opts = cmd_put_opts,
	  .run = cmd_put,
	  .args_max = 1,
	  .flags = CLI_F_SESSION,
	  .complete = CLI_FILE },
	{ .name = "wait",
	  .args = "REF|NAME...",
	  .help = "wait until objects are resolved",
	  .opts = wait_opts,
	  .run = run_wait,
	  .args_min = 1,
	  .args_max = CLI_ARGS_ANY,
	  .flags = CLI_F_SESSION },
	{ .name = "name",
	  .args = "NAME REF|NAME",
	  .help = "give an object a name, which keeps it",
	  .opts = name_opts,
	  .run = cmd_name_put,
	  .args_min = 2,
	  .args_max = 2,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN },
	{ .name = "unname",
	  .args = "NAME",
	  .help = "remove a name",
	  .run = cmd_name_remove,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN },
	{ .name = "names",
	  .args = "[PREFIX]",
	  .help = "the names of a store, or those that begin with a prefix",
	  .run = cmd_name_list,
	  .args_max = 1,
	  .flags = CLI_F_SESSION },
	{ .name = "pin",
	  .args = "REF|NAME",
	  .help = "keep an object until the pin is taken away; pins are "
		  "counted",
	  .run = cmd_name_pin,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN },
	{ .name = "unpin",
	  .args = "REF|NAME",
	  .help = "take a pin away",
	  .run = cmd_name_unpin,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION | CLI_F_PLAIN },
	{ .name = "rm",
	  .args = "REF|NAME",
	  .help = "take all names and pins of an object away, and say whether "
		  "it "
		  "is freed",
	  .run = cmd_name_free,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_SESSION },
	{ 0 },
};
