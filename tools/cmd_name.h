/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of `mob object` that are about names and pins. */
#ifndef MOBI_CMD_NAME_H
#define MOBI_CMD_NAME_H

#include "cmd.h"

int cmd_name_put(struct cli *c);
int cmd_name_remove(struct cli *c);
int cmd_name_list(struct cli *c);
int cmd_name_pin(struct cli *c);
int cmd_name_unpin(struct cli *c);
int cmd_name_free(struct cli *c);

/* Gives an object the name of --name (with --replace) and the pin of --pin, if
 * these are given. Returns 0 or an exit code after it has said why. */
int cmd_name_keep(struct cli *c, struct mob_store *store, struct mob_ref ref);

#endif /* MOBI_CMD_NAME_H */
