/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values of objects, and the pending error of a thread. */
#ifndef MOBI_ERROR_H
#define MOBI_ERROR_H

#include "runtime.h"

/* Value of a FAILED object; the text follows, with its NUL. */
struct mobi_error {
	int32_t rc;       /* MOB_E_* */
	int32_t code;     /* what mobi_fail was given, else rc */
	uint32_t attempt; /* 1: the first run */
	uint32_t pid;
	uint32_t worker;
	uint32_t line;
	uint64_t text_len;
	char text[];
};

#define MOBI_ERROR_TEXT_MAX 4000u

/* malloc'd; text may be longer than is kept. NULL without memory. */
struct mobi_error *mobi_error_new(int rc, int code, const char *text);
/* Of a FAILED object that the caller views; checks sizes. */
struct mobi_error *mobi_error_read(const struct mob_view *v);

/* Sets the pending error of ctx unless one is pending; takes e. */
void mobi_error_pend(struct mobi_context *ctx, struct mobi_error *e);
/* The same from a code and the thread's mob_err_detail; returns rc. */
int mobi_error_pend_rc(int rc);

/* Resolves a pending return as FAILED with e; false if it was resolved. */
bool mobi_error_resolve(struct mob_store *s, uint64_t id,
			const struct mobi_error *e);
/* Text of e with " <- <name> (<file>:<line>)" added: the way it came. */
struct mobi_error *mobi_error_through(const struct mobi_error *e,
				      const char *name);
/* A fresh object that holds the error; NONE if even that fails. */
struct mob_ref mobi_error_ref(int rc);

#endif /* MOBI_ERROR_H */
