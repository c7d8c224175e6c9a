/* SPDX-License-Identifier: Apache-2.0 */
/* mob store: the store of a session as a whole. */
#include "cmd.h"
#include "cmd_top.h"
#include "out.h"

#include <stdio.h>

static const struct out_col stat_cols[] = {
	{ "name", "name", OUT_TEXT },
	{ "arena_bytes", "arena", OUT_BYTES },
	{ "arena_used_bytes", "used", OUT_BYTES },
	{ "arena_backed_bytes", "backed by memory", OUT_BYTES },
	{ "huge_page_bytes", "in huge pages", OUT_BYTES },
	{ "huge_pages", "huge pages", OUT_TEXT },
	{ "objects", "objects", OUT_COUNT },
	{ "objects_pending", "pending", OUT_COUNT },
	{ "spilled_objects", "spilled", OUT_COUNT },
	{ "spilled_bytes", "bytes spilled", OUT_BYTES },
	{ "prefetches", "spilled objects read ahead", OUT_COUNT },
	{ "evicted", "cached objects evicted", OUT_COUNT },
	{ "eviction", "what goes is chosen by", OUT_TEXT },
	{ "durable_objects", "in the durable copy", OUT_COUNT },
	{ "durable_unsynced", "changed since its sync", OUT_COUNT },
	{ "clients", "processes", OUT_COUNT },
	{ "catalogue_rows", "rows in the catalogue", OUT_COUNT },
	{ "catalogue_lag_ms", "catalogue's age at most, ms", OUT_COUNT },
	{ "reaps", "dead processes cleaned up", OUT_COUNT },
	{ 0 },
};

static int run_stat(struct cli *c)
{
	struct mob_store *store;
	struct mob_store_stat st;
	uint64_t huge = 0;
	char why[512];
	struct out o;
	int rc = cmd_store_open(c, c->n_args ? c->args[0] : NULL, &store);

	if (rc) {
		return rc;
	}
	rc = mob_store_stat(store, &st);
	if (rc >= 0) {
		rc = mob_store_huge_pages(store, &huge, why, sizeof(why));
	}
	if (rc < 0) {
		rc = cli_fail_rc(rc, mob_store_name(store));
		mob_store_close(store);
		return rc;
	}
	out_begin_one(&o, stat_cols);
	out_text(&o, mob_store_name(store));
	out_u64(&o, st.arena_bytes);
	out_u64(&o, st.arena_used_bytes);
	out_u64(&o, st.arena_backed_bytes);
	out_u64(&o, huge);
	out_text(&o, why);
	out_u64(&o, st.objects);
	out_u64(&o, st.objects_pending);
	out_u64(&o, st.spilled_objects);
	out_u64(&o, st.spilled_bytes);
	out_u64(&o, st.prefetches);
	out_u64(&o, st.evicted);
	out_text(&o, st.eviction);
	out_u64(&o, st.durable_objects);
	out_u64(&o, st.durable_unsynced);
	out_u64(&o, st.clients);
	out_u64(&o, st.catalogue_rows);
	out_u64(&o, st.catalogue_lag_ms);
	out_u64(&o, st.reaps);
	out_end_row(&o);
	mob_store_close(store);
	return out_end(&o);
}

static const struct out_col check_cols[] = {
	{ "finding", "FINDING", OUT_TEXT },
	{ 0 },
};

static void print_finding(const char *line, void *arg)
{
	out_text(arg, line);
	out_end_row(arg);
}

static int run_check(struct cli *c)
{
	struct mob_store *store;
	struct out o;
	int rc = cmd_store_open(c, c->n_args ? c->args[0] : NULL, &store);
	int bad;

	if (rc) {
		return rc;
	}
	out_begin(&o, check_cols);
	rc = mob_store_check(store, print_finding, &o);
	bad = out_end(&o);
	if (rc < 0) {
		rc = cli_fail_rc(rc, mob_store_name(store));
	} else if (rc > 0) {
		rc = cli_fail(CLI_FAILED,
			      "findings may be passing states while the store "
			      "is in use; look again when it is quiet",
			      "%d findings in %s", rc, mob_store_name(store));
	} else {
		cli_say("%s: nothing wrong", mob_store_name(store));
		rc = bad;
	}
	mob_store_close(store);
	return rc;
}

static int run_create(struct cli *c)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *store;
	int rc;

	opts.arena_bytes = cli_number(c, "bytes");
	opts.dir = cli_text(c, "dir");
	opts.spill_dir = cli_text(c, "spill");
	if (cli_flag(c, "spill-anywhere")) {
		opts.flags |= MOB_STORE_SPILL_ANYWHERE;
	}
	if (cli_flag(c, "durable")) {
		opts.flags |= MOB_STORE_DURABLE;
	}
	rc = mob_store_create(c->args[0], &opts, &store);
	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	mob_store_close(store);
	cli_say("store %s is there; 'mob store remove %s' removes it",
		c->args[0], c->args[0]);
	return CLI_DONE;
}

static void say_dropped(const char *line, void *arg)
{
	uint64_t *n = arg;

	cli_say("%s", line);
	++*n;
}

static int run_restore(struct cli *c)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *store;
	struct mob_store_stat st;
	uint64_t dropped = 0;
	int rc;

	opts.arena_bytes = cli_number(c, "bytes");
	opts.dir = cli_text(c, "dir");
	opts.flags = MOB_STORE_DURABLE;
	if (cli_flag(c, "read-all")) {
		opts.flags |= MOB_STORE_READ_ALL;
	}
	if (cli_flag(c, "spill-anywhere")) {
		opts.flags |= MOB_STORE_SPILL_ANYWHERE;
	}
	rc = mob_store_restore(c->args[0], &opts, say_dropped, &dropped,
			       &store);
	if (rc >= 0) {
		rc = mob_store_stat(store, &st);
		mob_store_close(store);
	}
	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	cli_say("store %s has %llu objects", c->args[0],
		(unsigned long long)st.objects);
	return dropped ? CLI_FAILED : CLI_DONE;
}

static int run_sync(struct cli *c)
{
	struct mob_store *store;
	struct mob_store_stat st;
	int rc = cmd_store_open(c, c->n_args ? c->args[0] : NULL, &store);

	if (rc) {
		return rc;
	}
	rc = mob_store_sync(store);
	if (rc >= 0) {
		rc = mob_store_stat(store, &st);
	}
	if (rc < 0) {
		rc = cli_fail_rc(rc, mob_store_name(store));
	} else if (st.durable) {
		cli_say("%s: %llu objects are on disk", mob_store_name(store),
			(unsigned long long)st.durable_objects);
	} else {
		cli_say("%s: %llu rows are in the catalogue",
			mob_store_name(store),
			(unsigned long long)st.catalogue_rows);
	}
	mob_store_close(store);
	return rc;
}

static int run_unload(struct cli *c)
{
	int rc = mob_store_unload(c->args[0]);

	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	cli_say("store %s is on disk alone; 'mob store restore %s' brings it "
		"back",
		c->args[0], c->args[0]);
	return CLI_DONE;
}

static int run_remove(struct cli *c)
{
	const char *dir = cli_text(c, "dir");
	int rc = dir ? mob_store_remove_copy(c->args[0], dir) :
		       mob_store_remove(c->args[0]);

	if (rc < 0) {
		return cli_fail_rc(rc, c->args[0]);
	}
	cli_say("store %s is gone", c->args[0]);
	return CLI_DONE;
}

static const struct cli_opt create_opts[] = {
	{ "bytes", 'b', CLI_BYTES, "SIZE", NULL,
	  "size of the arena; without it a third of what is free" },
	{ "dir", 'd', CLI_FILE, "DIR", NULL,
	  "file system of the store, /dev/shm without it; with --durable that "
	  "of its copy" },
	{ "durable", 0, CLI_FLAG, NULL, NULL,
	  "'mob store sync' copies what has a name or pin to --dir, from where "
	  "'mob store restore' brings it back" },
	{ "spill", 0, CLI_FILE, "DIR", NULL,
	  "where objects go that nobody views when the arena is full" },
	{ "spill-anywhere", 0, CLI_FLAG, NULL, NULL,
	  "also if that is in memory (tmpfs)" },
	{ 0 },
};

static const struct cli_opt restore_opts[] = {
	{ "dir", 'd', CLI_FILE, "DIR", NULL, "where it was created; needed" },
	{ "bytes", 'b', CLI_BYTES, "SIZE", NULL,
	  "size of the arena; without it as it was" },
	{ "read-all", 0, CLI_FLAG, NULL, NULL,
	  "read every file now, to find what is damaged" },
	{ "spill-anywhere", 0, CLI_FLAG, NULL, NULL,
	  "also if the directory is in memory (tmpfs)" },
	{ 0 },
};

static const struct cli_opt remove_opts[] = {
	{ "dir", 'd', CLI_FILE, "DIR", NULL,
	  "the copy in DIR of a durable store that is not loaded" },
	{ 0 },
};

const struct cli_cmd cmd_store[] = {
	{ .name = "stat",
	  .args = "[NAME]",
	  .help = "how much is in the store",
	  .run = run_stat,
	  .args_max = 1,
	  .flags = CLI_F_SESSION,
	  .complete = CLI_SESSION },
	{ .name = "top",
	  .args = "[NAME]",
	  .help = "what goes on in the store, again and again",
	  .opts = cmd_top_opts,
	  .run = cmd_top,
	  .args_max = 1,
	  .flags = CLI_F_SESSION,
	  .complete = CLI_SESSION },
	{ .name = "check",
	  .args = "[NAME]",
	  .help = "walk all tables and say what is wrong",
	  .run = run_check,
	  .args_max = 1,
	  .flags = CLI_F_SESSION,
	  .complete = CLI_SESSION },
	{ .name = "create",
	  .args = "NAME",
	  .help = "make a store without a scheduler that outlives programs",
	  .opts = create_opts,
	  .run = run_create,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_PLAIN },
	{ .name = "gc",
	  .args = "",
	  .help = "remove what sessions and stores left whose processes are "
		  "all dead",
	  .opts = cmd_gc_opts,
	  .run = cmd_session_gc },
	{ .name = "sync",
	  .args = "[NAME]",
	  .help = "bring the catalogue up to date, and the copy of a durable "
		  "store",
	  .run = run_sync,
	  .args_max = 1,
	  .flags = CLI_F_SESSION,
	  .complete = CLI_SESSION },
	{ .name = "restore",
	  .args = "NAME",
	  .help = "bring a durable store back, and say what is damaged",
	  .opts = restore_opts,
	  .run = run_restore,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_PLAIN },
	{ .name = "unload",
	  .args = "NAME",
	  .help = "sync a durable store and give its memory back",
	  .run = run_unload,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_PLAIN,
	  .complete = CLI_SESSION },
	{ .name = "remove",
	  .args = "NAME",
	  .help = "remove a store that no process is attached to, with its "
		  "copy if it is durable",
	  .opts = remove_opts,
	  .run = run_remove,
	  .args_min = 1,
	  .args_max = 1,
	  .flags = CLI_F_PLAIN,
	  .complete = CLI_SESSION },
	{ 0 },
};
