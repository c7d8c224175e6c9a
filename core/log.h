/* SPDX-License-Identifier: Apache-2.0 */
/* Log of the run-time's own processes; libraries log nothing above debug. */
#ifndef MOBI_LOG_H
#define MOBI_LOG_H

#include <mobula/export.h>

enum mobi_log_level {
	MOBI_LOG_ERROR,
	MOBI_LOG_WARN,
	MOBI_LOG_INFO,
	MOBI_LOG_DEBUG
};

/* Writes one line "mobula[pid] level: text" to stderr with one write(2), if
 * the level is within the configured one (log_level). */
void mobi_log(enum mobi_log_level level, const char *fmt, ...) MOB_PRINTF(2, 3);

#endif /* MOBI_LOG_H */
