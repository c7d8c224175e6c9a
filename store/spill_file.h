/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the spill directory and of a durable store's copy (spill_file.c), and
 * containers, files of several small objects (spill_container.c).
 *
 * The file of an object is named after it. A container is one file with a name, a
 * hard link, for each of its objects: removing the object's name is all that has to
 * be done when the object goes, and when the last goes the file system frees the
 * container. So there is no count that a kill could make wrong.
 */
#ifndef MOBI_SPILL_FILE_H
#define MOBI_SPILL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOBI_SPILL_NAME 32
/* "<slot>.<generation>" of an id. */
void mobi_spill_name(char out[MOBI_SPILL_NAME], uint64_t id);

/* Writes the n bytes of an object to a new file. Errors: DISK_FULL, NOMEM, SYS,
 * IO. */
int mobi_spill_write(int dirfd, uint64_t id, const void *at, uint64_t n);
/* Reads them back, from a file of its own or a container. Errors: CORRUPT,
 * NOT_FOUND, NOMEM, SYS. */
int mobi_spill_read(int dirfd, uint64_t id, void *at, uint64_t n);
/* Is this a file of its own of an object of n bytes: its end, or all of it?
 * Errors: those of reading; CORRUPT for a container. */
int mobi_spill_verify(int dirfd, uint64_t id, uint64_t n, bool all);

/* ---- the end of every file ---- */

enum { MOBI_SPILL_RAW = 0, MOBI_SPILL_LZ4 = 1, MOBI_SPILL_CONTAINER = 2 };

struct mobi_spill_end {
	uint64_t magic;
	uint64_t bytes;  /* of the object; objects of a container */
	uint64_t stored; /* before the table */
	uint32_t method;
	uint32_t table_crc;
	uint32_t reserved;
	uint32_t crc; /* of the fields before */
};

/* Fills in what is not given yet. table: n bytes. */
void mobi_spill_end_make(struct mobi_spill_end *end, const void *table,
			 size_t n);
/* The end of a file that has *out_size bytes. Errors: CORRUPT, NOMEM, SYS. */
int mobi_spill_end_read(int fd, const char *name, struct mobi_spill_end *out,
			uint64_t *out_size);
/* The error of a file that is not what was written. */
int mobi_spill_damaged(const char *name);

/* ---- containers ---- */

#define MOBI_CONTAINER_ITEMS 256u
#define MOBI_CONTAINER_BYTES (UINT64_C(256) << 10) /* about so many at most */

/* In the table of the file. */
struct mobi_item {
	uint64_t id;
	uint32_t off;
	uint32_t bytes;
	uint32_t crc;
	uint32_t reserved;
};

/* What a container holds, or is to hold. */
struct mobi_container {
	uint32_t n;
	size_t used; /* bytes of data */
	size_t room;
	unsigned char *data; /* owned */
	struct mobi_item item[MOBI_CONTAINER_ITEMS];
};

void mobi_container_end(struct mobi_container *c);
/* Adds an object to one that is not full. crc: of its bytes, as they were written
 * before; NULL: that of at. Error: NOMEM. */
int mobi_container_add(struct mobi_container *c, uint64_t id, const void *at,
		       uint32_t bytes, const uint32_t *crc);
/* Writes a file of that name. Errors: those of mobi_spill_write. */
int mobi_container_write(int dirfd, const char *name,
			 const struct mobi_container *c);
/* Reads all of a container into an empty one, and checks the table, not the
 * objects. Errors: those of mobi_spill_read; CORRUPT for a file that is none. */
int mobi_container_load(int fd, const char *name, struct mobi_container *out);
/* Reads one object of a container that has this end. */
int mobi_container_read(int fd, const char *name,
			const struct mobi_spill_end *end, uint64_t size,
			uint64_t id, void *at, uint64_t n);

#endif /* MOBI_SPILL_FILE_H */
