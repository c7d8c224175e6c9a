/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd.h"

#include "cli_text.h"
#include "out.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The sessions that may be meant when none is named. */
struct candidates {
	char first[CMD_SESSION_MAX];
	char names[512];
	uint32_t n;
};

static int add_candidate(const struct mob_session_info *s, void *arg)
{
	struct candidates *c = arg;
	size_t used = strlen(c->names);

	if (s->state != MOB_SESSION_RUNNING && s->state != MOB_SESSION_STORE) {
		return 0;
	}
	if (c->n++ == 0) {
		(void)snprintf(c->first, sizeof(c->first), "%s", s->name);
	}
	(void)snprintf(c->names + used, sizeof(c->names) - used, "%s%s",
		       used ? ", " : "", s->name);
	return 0;
}

static bool has_session(const struct cli *c)
{
	return (c->cmd->flags & CLI_F_SESSION) != 0;
}

int cmd_session_name(const struct cli *c, const char *given,
		     char out_name[CMD_SESSION_MAX])
{
	struct candidates all = { .n = 0 };
	int rc;

	if (!given && has_session(c)) {
		given = cli_text(c, "session");
	}
	if (given) {
		if (strlen(given) >= CMD_SESSION_MAX) {
			return cli_fail(CLI_USAGE, NULL,
					"the name of the session is longer "
					"than %d bytes",
					CMD_SESSION_MAX - 1);
		}
		(void)snprintf(out_name, CMD_SESSION_MAX, "%s", given);
		return 0;
	}
	rc = mob_session_each(add_candidate, &all);
	if (rc < 0) {
		return cli_fail_rc(rc, "sessions");
	}
	if (all.n == 0) {
		return cli_fail(CLI_NOT_FOUND,
				"start a program that uses Mobula, or make a "
				"store: mob store create NAME",
				"no session of this user is running");
	}
	if (all.n > 1) {
		return cli_fail(CLI_USAGE,
				has_session(c) ? "name it: --session NAME" :
						 "name it as the argument",
				"which session? there are %s", all.names);
	}
	(void)snprintf(out_name, CMD_SESSION_MAX, "%s", all.first);
	return 0;
}

int cmd_session_open(const struct cli *c, const char *given,
		     struct mob_session **out_session)
{
	char name[CMD_SESSION_MAX];
	int rc = cmd_session_name(c, given, name);

	if (rc) {
		return rc;
	}
	rc = mob_session_open(name, out_session);
	return rc ? cli_fail_rc(rc, name) : 0;
}

int cmd_store_open(const struct cli *c, const char *given,
		   struct mob_store **out_store)
{
	char name[CMD_SESSION_MAX];
	int rc = cmd_session_name(c, given, name);

	if (rc) {
		return rc;
	}
	rc = mob_store_open(name, out_store);
	return rc ? cli_fail_rc(rc, name) : 0;
}

/* ---- refs and ids ---- */

char *cmd_ref_text(char buf[CMD_REF_MAX], struct mob_ref ref)
{
	(void)snprintf(buf, CMD_REF_MAX, "%08" PRIx32 "-%" PRIu32 ".%" PRIu32,
		       (uint32_t)(ref.hi >> 32), (uint32_t)ref.lo,
		       (uint32_t)(ref.lo >> 32));
	return buf;
}

/* "SLOT.GENERATION" as {generation, slot}. */
static bool parse_pair(const char *text, uint64_t *out)
{
	char slot[16];
	size_t n = strcspn(text, ".");
	uint64_t low;
	uint64_t high;

	if (text[n] != '.' || n >= sizeof(slot)) {
		return false;
	}
	memcpy(slot, text, n);
	slot[n] = 0;
	if (!cli_parse_number(slot, &low) ||
	    !cli_parse_number(text + n + 1, &high) || low > UINT32_MAX ||
	    high > UINT32_MAX) {
		return false;
	}
	*out = high << 32 | low;
	return true;
}

bool cmd_ref_parse(const char *text, struct mob_ref *out_ref)
{
	uint64_t lo;

	if (strspn(text, "0123456789abcdef") != 8 || text[8] != '-' ||
	    !parse_pair(text + 9, &lo)) {
		return false;
	}
	out_ref->hi = (uint64_t)strtoul(text, NULL, 16) << 32;
	out_ref->lo = lo;
	return true;
}

int cmd_object_arg(const struct cli *c, uint32_t i, struct mob_store *store,
		   struct mob_ref *out_ref)
{
	int rc;

	if (cmd_ref_parse(c->args[i], out_ref)) {
		/* Of one that is gone the call it is for says so. */
		rc = mob_object_hold(store, *out_ref);
		(void)rc;
		return 0;
	}
	rc = mob_name_get(store, c->args[i], out_ref, NULL);
	if (rc == MOB_E_NOT_FOUND) {
		return cli_fail(CLI_NOT_FOUND,
				"a ref looks like 5f3a91c2-17.3; 'mob object "
				"list' shows those there are, and 'mob object "
				"names' the names",
				"'%s' is no ref, and no object has that name",
				c->args[i]);
	}
	return rc < 0 ? cli_fail_rc(rc, c->args[i]) : 0;
}

const char *cmd_site_text(char buf[MOB_SITE_TEXT], struct mob_store *store,
			  uint32_t site)
{
	return mob_site_text(store, site, buf, MOB_SITE_TEXT) > 0 ? buf : NULL;
}

const char *cmd_state_name(uint32_t state)
{
	static const char *const name[] = { "gone",   "pending",   "sealed",
					    "failed", "cancelled", "lost" };

	return state < sizeof(name) / sizeof(name[0]) ? name[state] : "?";
}

char *cmd_task_text(char buf[CMD_REF_MAX], uint64_t id)
{
	(void)snprintf(buf, CMD_REF_MAX, "%" PRIu32 ".%" PRIu32, (uint32_t)id,
		       (uint32_t)(id >> 32));
	return buf;
}

bool cmd_task_parse(const char *text, uint64_t *out_id)
{
	return parse_pair(text, out_id);
}
