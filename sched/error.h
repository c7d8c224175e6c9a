/* SPDX-License-Identifier: Apache-2.0 */
/* Errors as values of objects, and the pending error of a thread. */
#ifndef MOBI_ERROR_H
#define MOBI_ERROR_H

#include "runtime.h"

/* Value of a FAILED object; text, name and file follow, each with its NUL, and the
 * payload. */
struct mobi_error {
	int32_t rc;       /* MOB_E_* */
	int32_t code;     /* what mobi_fail was given, else rc */
	uint32_t attempt; /* 1: the first run */
	uint32_t pid;
	uint32_t worker; /* its number; 0: none */
	uint32_t line;
	uint32_t text_len;
	uint32_t name_len; /* of the task; 0: none */
	uint32_t file_len; /* of its definition */
	uint32_t payload_len;
	char text[];
};

#define MOBI_ERROR_TEXT_MAX 4000u

/* What an error is made of; NULL is "". */
struct mobi_error_parts {
	const char *text; /* may be longer than is kept */
	const char *name;
	const char *file;
	const void *payload;
	uint32_t payload_len;
};
/*
 * For mobi_error_free; never NULL: without memory it has these codes and numbers, and says
 * that there is none for its text. like: its numbers (pid 0: of this process); or NULL.
 * What it gives is not written to.
 */
struct mobi_error *mobi_error_make(int rc, int code,
				   const struct mobi_error_parts *p,
				   const struct mobi_error *like);
/* NULL is allowed. */
void mobi_error_free(struct mobi_error *e);
/* The same of a text alone. */
struct mobi_error *mobi_error_new(int rc, int code, const char *text);
/* A copy of e with another text. */
struct mobi_error *mobi_error_retold(const struct mobi_error *e,
				     const char *text);
static inline const char *mobi_error_name(const struct mobi_error *e)
{
	return e->text + e->text_len + 1;
}
static inline const char *mobi_error_file(const struct mobi_error *e)
{
	return mobi_error_name(e) + e->name_len + 1;
}
static inline const void *mobi_error_payload(const struct mobi_error *e)
{
	return mobi_error_file(e) + e->file_len + 1;
}
static inline uint64_t mobi_error_bytes(const struct mobi_error *e)
{
	return sizeof(*e) + (uint64_t)e->text_len + 1 + e->name_len + 1 +
	       e->file_len + 1 + e->payload_len;
}

/* Of a FAILED object that the caller views; checks sizes. Never NULL. */
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
