/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of a session as text, and answering for them. */
#ifndef MOBI_CMD_METRICS_H
#define MOBI_CMD_METRICS_H

#include "cmd.h"

#include <stdio.h>

/*
 * Answers HTTP requests on a unix socket until a signal. text writes the metrics and
 * returns 0, or an error: then the answer is 503 with why, of what has this name. An
 * exit code.
 */
int cmd_metrics_serve(const char *path, const char *name,
		      int (*text)(FILE *f, void *arg), void *arg);

#endif /* MOBI_CMD_METRICS_H */
