/* SPDX-License-Identifier: Apache-2.0 */
/* mob session logs, a verb of cmd_session.c. */
#ifndef MOBI_CMD_LOGS_H
#define MOBI_CMD_LOGS_H

#include "cli.h"

int cmd_session_logs(struct cli *c);
extern const struct cli_opt cmd_logs_opts[];

#endif /* MOBI_CMD_LOGS_H */
