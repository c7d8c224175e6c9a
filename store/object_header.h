/* SPDX-License-Identifier: Apache-2.0 */
/* Headers of objects as bytes. They begin at the next multiple of 8 after the
 * value. The public half is in <mobula/object.h>. */
#ifndef MOBI_OBJECT_HEADER_H
#define MOBI_OBJECT_HEADER_H

#include <mobula/object.h>

#define MOBI_HEADER_AT(size) (((size) + 7) & ~UINT64_C(7))

/* Of a value and its header. */
static inline uint64_t mobi_object_bytes(uint64_t size, uint32_t header)
{
	return header ? MOBI_HEADER_AT(size) + header : size;
}

/* Bytes that it takes, 0 for NULL, or an error: of an object of size bytes. */
int mobi_header_check(const struct mob_object_header *h, uint64_t size,
		      const char *call, uint32_t *out_bytes);
/* Writes it. */
void mobi_header_write(const struct mob_object_header *h, void *at);
/* Does it say that the object is an array? bytes: of a header that was written
 * here, or NULL. */
bool mobi_header_is_array(const void *bytes);

#endif /* MOBI_OBJECT_HEADER_H */
