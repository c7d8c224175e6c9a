/* SPDX-License-Identifier: Apache-2.0 */
/* mob object: names and pins, and freeing by hand. */
#include "cmd_name.h"
#include "out.h"

#include <mobula/err.h>

static int done(struct mob_store *store, int rc, const char *what)
{
	if (rc < 0) {
		rc = cli_fail_rc(rc, what);
	}
	mob_store_close(store);
	return rc;
}

static uint32_t name_flags(struct cli *c)
{
	return (cli_flag(c, "replace") ? MOB_NAME_REPLACE : 0) |
	       (cli_flag(c, "cached") ? MOB_NAME_CACHED : 0);
}

int cmd_name_put(struct cli *c)
{
	struct mob_store *store;
	struct mob_ref ref;
	int rc = cmd_store_open(c, NULL, &store);

	if (rc) {
		return rc;
	}
	rc = cmd_object_arg(c, 1, store, &ref);
	if (rc) {
		mob_store_close(store);
		return rc;
	}
	rc = mob_name_put(store, c->args[0], ref, name_flags(c), NULL);
	return done(store, rc, c->args[0]);
}

int cmd_name_remove(struct cli *c)
{
	struct mob_store *store;
	int rc = cmd_store_open(c, NULL, &store);

	if (rc) {
		return rc;
	}
	return done(store, mob_name_remove(store, c->args[0]), c->args[0]);
}

/* ---- list ---- */

static const struct out_col cols[] = {
	{ "name", "NAME", OUT_TEXT },
	{ "ref", "REF", OUT_TEXT },
	{ "state", "STATE", OUT_TEXT },
	{ "version", "VERSION", OUT_COUNT },
	{ 0 },
};

static int print(const struct mob_name_info *i, void *arg)
{
	char ref[CMD_REF_MAX];

	out_text(arg, i->name);
	out_text(arg, cmd_ref_text(ref, i->ref));
	out_text(arg, cmd_state_name(i->state));
	out_u64(arg, i->version);
	out_end_row(arg);
	return 0;
}

int cmd_name_list(struct cli *c)
{
	struct mob_store *store;
	struct out o;
	int rc = cmd_store_open(c, NULL, &store);

	if (rc) {
		return rc;
	}
	out_begin(&o, cols);
	rc = mob_name_list(store, c->n_args ? c->args[0] : NULL, print, &o);
	if (out_end(&o)) {
		mob_store_close(store);
		return CLI_FAILED;
	}
	return done(store, rc, mob_store_name(store));
}

/* ---- pins ---- */

static int on_object(struct cli *c,
		     int (*fn)(struct mob_store *store, struct mob_ref ref))
{
	struct mob_store *store;
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
	return done(store, fn(store, ref), c->args[0]);
}

int cmd_name_pin(struct cli *c)
{
	return on_object(c, mob_object_pin);
}

int cmd_name_unpin(struct cli *c)
{
	return on_object(c, mob_object_unpin);
}

static int free_it(struct mob_store *store, struct mob_ref ref)
{
	static const struct out_col free_cols[] = {
		{ "ref", "REF", OUT_TEXT },
		{ "freed", "FREED", OUT_BOOL },
		{ "needed_by", "NEEDED BY", OUT_COUNT },
		{ 0 },
	};
	char text[CMD_REF_MAX];
	struct out o;
	int rc = mob_object_free(store, ref); /* and this command's hold */

	if (rc < 0) {
		return rc;
	}
	out_begin_one(&o, free_cols);
	out_text(&o, cmd_ref_text(text, ref));
	out_bool(&o, rc == 0);
	out_u64(&o, (uint64_t)rc);
	out_end_row(&o);
	return out_end(&o);
}

int cmd_name_free(struct cli *c)
{
	return on_object(c, free_it);
}

int cmd_name_keep(struct cli *c, struct mob_store *store, struct mob_ref ref)
{
	const char *name = cli_text(c, "name");
	int rc = 0;

	if (name) {
		rc = mob_name_put(store, name, ref, name_flags(c), NULL);
	}
	if (rc == 0 && cli_flag(c, "pin")) {
		rc = mob_object_pin(store, ref);
	}
	return rc < 0 ? cli_fail_rc(rc, name ? name : "--pin") : 0;
}
