/* SPDX-License-Identifier: Apache-2.0 */
/* Values in C and their bytes in objects. */
#ifndef MOBI_VALUE_H
#define MOBI_VALUE_H

#include "runtime.h"

/* Any span or list: what {at, n} structs have in common. */
struct mobi_span {
	const void *at;
	size_t n;
};

/* Bytes that the value takes when stored; MOB_E_LIMIT if they overflow. */
int mobi_value_bytes(const struct mob_type *type, const void *value,
		     uint64_t *out_bytes);
/* Writes them. */
void mobi_value_store(const struct mob_type *type, const void *value, void *to);
/* Refs inside the value: {NULL, 0} but for refs and lists of them. */
struct mobi_span mobi_value_refs(const struct mob_type *type,
				 const void *value);

/* Reads stored bytes as a value. `given` is the type id of the object. Spans,
 * strings and lists point into the bytes. TYPE, with both names. what: "argument
 * 2 of task f", for the message. */
int mobi_value_load(const struct mob_type *type, const void *at, uint64_t size,
		    mob_type_id given, const char *what, void *out);

/* Is the object a value of this POD type? */
int mobi_value_type(const struct mob_type *type, uint64_t size,
		    mob_type_id given, const char *what);

/* Makes the pending return `id` (only the caller may) this value. A span, string
 * or list that begins at space of mob_new becomes the object itself. */
int mobi_value_return(struct mobi_context *c, uint64_t id,
		      const struct mob_type *type, const void *value);

/* A sealed object of a copy, with one hold of the caller; site may be NULL. */
int mobi_value_put(const struct mob_type *type, const void *value,
		   struct mob_site *site, uint64_t *out_id);

/* Name of a type id as far as it is known; static or `buf`. */
const char *mobi_type_name(mob_type_id id, char *buf, size_t size);

#endif /* MOBI_VALUE_H */
