/* SPDX-License-Identifier: Apache-2.0 */
/* mob store top. */
#ifndef MOBI_CMD_TOP_H
#define MOBI_CMD_TOP_H

#include "cmd.h"

extern const struct cli_opt cmd_top_opts[];
int cmd_top(struct cli *c);

#endif /* MOBI_CMD_TOP_H */
