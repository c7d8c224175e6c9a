/* SPDX-License-Identifier: Apache-2.0 */
/* What `mob policy` shares with `mob plugin`. */
#ifndef MOBI_CMD_PLUGIN_H
#define MOBI_CMD_PLUGIN_H

#include "cli.h"

/* mob plugin list, mob policy list. */
int cmd_plugin_list(struct cli *c);

#endif /* MOBI_CMD_PLUGIN_H */
