/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands have in common: which session, refs and ids as text. */
#ifndef MOBI_CMD_H
#define MOBI_CMD_H

#include "cli.h"

#include <mobula/memory.h>
#include <mobula/session.h>
#include <mobula/store.h>

/* One table of commands a noun; in cmd_<noun>.c. */
extern const struct cli_cmd cmd_session[];
/* A verb of stores too. */
int cmd_session_gc(struct cli *c);
extern const struct cli_opt cmd_gc_opts[];
extern const struct cli_cmd cmd_store[];
extern const struct cli_cmd cmd_memory[];
extern const struct cli_cmd cmd_metrics[];
extern const struct cli_cmd cmd_object[];
extern const struct cli_cmd cmd_task[];
/* One of its verbs (cmd_explain.c). */
int cmd_task_explain(struct cli *c);
extern const struct cli_cmd cmd_summary[];
extern const struct cli_cmd cmd_timeline[];
extern const struct cli_cmd cmd_task_top[];
extern const struct cli_cmd cmd_worker[];
extern const struct cli_cmd cmd_policy[];
extern const struct cli_cmd cmd_plugin[];
extern const struct cli_cmd cmd_run[];
extern const struct cli_cmd cmd_bench[];

/* Longest name or path of a session here, with its NUL. */
#define CMD_SESSION_MAX 4096

/*
 * The session that a command is for: given (may be NULL), else --session if
 * the command has it, else the only one of this user. Returns 0, or an exit
 * code after it has said why.
 */
int cmd_session_name(const struct cli *c, const char *given,
		     char out_name[CMD_SESSION_MAX]);
/* The same, opened. */
int cmd_session_open(const struct cli *c, const char *given,
		     struct mob_session **out_session);
int cmd_store_open(const struct cli *c, const char *given,
		   struct mob_store **out_store);

/* "5f3a91c2-17.3": session epoch, slot, generation. */
#define CMD_REF_MAX 40
char *cmd_ref_text(char buf[CMD_REF_MAX], struct mob_ref ref);
bool cmd_ref_parse(const char *text, struct mob_ref *out_ref);
/*
 * The object that argument i says: a ref, or a name; it is held until the store
 * is closed. What looks like a ref is one. Returns 0, or an exit code
 * after it has said why.
 */
int cmd_object_arg(const struct cli *c, uint32_t i, struct mob_store *store,
		   struct mob_ref *out_ref);
/* A place in the source that makes objects; NULL: unknown. */
const char *cmd_site_text(char buf[MOB_SITE_TEXT], struct mob_store *store,
			  uint32_t site);
/* Of enum mob_object_state. */
const char *cmd_state_name(uint32_t state);

/* "17.3": record and generation of a task. */
char *cmd_task_text(char buf[CMD_REF_MAX], uint64_t id);
bool cmd_task_parse(const char *text, uint64_t *out_id);

#endif /* MOBI_CMD_H */
