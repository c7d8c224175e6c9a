/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: formatted in one buffer, written with one write(2). */
#define _POSIX_C_SOURCE 200809L

#include "log.h"

#include "conf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_SIZE 1024

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static atomic_flag complained = ATOMIC_FLAG_INIT;

static void line_write(enum mobi_log_level level, const char *text)
{
	char line[LINE_SIZE];
	int n = snprintf(line, sizeof(line) - 1, "mobula[%ld] %s: %s",
			 (long)getpid(), level_names[level], text);
	size_t len = 0;

	if (n < 0) {
		return;
	}
	len = strlen(line);
	for (size_t i = 0; i < len; i++) {
		/* One call is one line, whatever the text holds. */
		if ((unsigned char)line[i] < ' ') {
			line[i] = ' ';
		}
	}
	line[len] = '\n';
	/* A log that cannot be written has nowhere to say so. */
	ssize_t written = write(STDERR_FILENO, line, len + 1);
	(void)written;
}

static enum mobi_log_level level_configured(void)
{
	const char *name = NULL;
	char text[LINE_SIZE / 2];

	(void)mobi_conf_str(MOBI_CONF_ID_log_level, &name);
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(*level_names);
	     i++) {
		if (strcmp(name, level_names[i]) == 0) {
			return (enum mobi_log_level)i;
		}
	}
	if (!atomic_flag_test_and_set_explicit(&complained,
					       memory_order_seq_cst)) {
		(void)snprintf(text, sizeof(text),
			       "MOBULA_LOG_LEVEL is '%s'; it must be error, "
			       "warn, info or debug; warn is used",
			       name);
		line_write(MOBI_LOG_WARN, text);
	}
	return MOBI_LOG_WARN;
}

void mobi_log(enum mobi_log_level level, const char *fmt, ...)
{
	int saved = errno;
	char text[LINE_SIZE];
	va_list args;

	if (level <= level_configured()) {
		va_start(args, fmt);
		if (vsnprintf(text, sizeof(text), fmt, args) >= 0) {
			line_write(level, text);
		}
		va_end(args);
	}
	errno = saved;
}
