/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: the table of codes and the detail of the last failure of a thread.
 *
 * The detail is thread-local and kept with the code it was recorded for, so
 * that the text of another failure is never shown for this one.
 */
#define _POSIX_C_SOURCE 200809L /* the strerror_r that returns int */

#include "err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct code {
	int rc;
	int errno_nearest;
	const char *name;
	const char *message;
};

#define CODE_(name_, number, errno_, message_)                                 \
	{ MOB_E_##name_, (errno_), "MOB_E_" #name_, (message_) },
static const struct code codes[] = { { MOB_OK, 0, "MOB_OK", "success" },
				     MOB_ERR_MAP(CODE_) };
#undef CODE_

static _Thread_local struct mobi_err_last last;

void mobi_err_save(struct mobi_err_last *out)
{
	*out = last;
}

void mobi_err_restore(const struct mobi_err_last *e)
{
	last = *e;
}

static const struct code *code_find(int rc)
{
	if (rc > 0) {
		rc = MOB_OK;
	}
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (codes[i].rc == rc) {
			return &codes[i];
		}
	}
	return NULL;
}

const char *mob_err_name(int rc)
{
	const struct code *c = code_find(rc);

	return c ? c->name : "MOB_E_?";
}

const char *mob_err_message(int rc)
{
	const struct code *c = code_find(rc);

	return c ? c->message : "an error that this build does not know";
}

const char *mob_err_detail(int rc)
{
	return rc < 0 && rc == last.rc ? last.text : "";
}

int mob_err_errno(int rc)
{
	const struct code *c = code_find(rc);

	return c ? c->errno_nearest : EIO;
}

int mobi_err(int rc, const char *fmt, ...)
{
	int saved = errno;
	/* Not into last.text: the arguments may hold the detail so far. */
	char text[MOBI_ERR_DETAIL];
	va_list args;

	MOB_ASSERT(rc < 0);
	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
		text[0] = '\0';
	}
	va_end(args);
	memcpy(last.text, text, sizeof(text));
	last.rc = rc;
	errno = saved;
	return rc;
}

static int code_of_errno(int e)
{
	switch (e) {
	case ENOSPC:
		return MOB_E_DISK_FULL;
	case ENOMEM:
		return MOB_E_NOMEM;
	case EACCES:
	case EPERM:
		return MOB_E_PERM;
	default:
		return MOB_E_SYS;
	}
}

int mobi_err_errno(const char *fmt, ...)
{
	int saved = errno;
	char text[MOBI_ERR_DETAIL];
	char why[128];
	va_list args;
	int rc;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
		text[0] = '\0';
	}
	va_end(args);
	if (strerror_r(saved, why, sizeof(why)) != 0) {
		(void)snprintf(why, sizeof(why), "errno %d", saved);
	}
	rc = mobi_err(code_of_errno(saved), "%s: %s", text, why);
	errno = saved;
	return rc;
}

void mobi_panic(const char *file, int line, const char *fmt, ...)
{
	char text[MOBI_ERR_DETAIL];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0) {
		text[0] = '\0';
	}
	va_end(args);
	(void)fprintf(stderr, "mobula: panic at %s:%d: %s\n", file, line, text);
	abort();
}
