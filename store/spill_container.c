/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of several small objects: their bytes, then for each its id, place and
 * checksum (four CRC-32Cs), then the end that all files have. Not compressed: an
 * object is read alone.
 */
#include "spill_file.h"

#include "crc32c.h"
#include "err.h"
#include "os_dir.h"
#include "os_file.h"

#include <stdlib.h>
#include <string.h>

void mobi_container_end(struct mobi_container *c)
{
	free(c->data);
	c->data = NULL;
	c->n = 0;
}

static int no_memory(void)
{
	return mobi_err(MOB_E_NOMEM, "no memory to move small objects of the "
				     "spill "
				     "directory");
}

int mobi_container_add(struct mobi_container *c, uint64_t id, const void *at,
		       uint32_t bytes, const uint32_t *crc)
{
	struct mobi_item *i = &c->item[c->n];

	if (c->used + bytes > c->room) {
		size_t room = c->room ? 2 * c->room : MOBI_CONTAINER_BYTES;
		unsigned char *data = realloc(c->data, room);

		if (!data) {
			return no_memory();
		}
		c->data = data;
		c->room = room;
	}
	i->id = id;
	i->off = (uint32_t)c->used;
	i->bytes = bytes;
	i->crc = crc ? *crc : mobi_crc32c_parts(at, bytes);
	i->reserved = 0;
	memcpy(c->data + c->used, at, bytes);
	c->used += bytes;
	c->n++;
	return 0;
}

static size_t table_bytes(uint64_t n)
{
	return (size_t)n * sizeof(struct mobi_item);
}

int mobi_container_write(int dirfd, const char *name,
			 const struct mobi_container *c)
{
	struct mobi_spill_end end = { .bytes = c->n,
				      .stored = c->used,
				      .method = MOBI_SPILL_CONTAINER };
	int fd = mobi_file_create_at(dirfd, name);
	int rc;

	if (fd < 0) {
		return fd;
	}
	mobi_spill_end_make(&end, c->item, table_bytes(c->n));
	rc = mobi_file_write(fd, c->data, c->used);
	if (rc >= 0) {
		rc = mobi_file_write_two(fd, c->item, table_bytes(c->n), &end,
					 sizeof(end));
	}
	mobi_fd_close(fd);
	if (rc < 0) {
		(void)mobi_file_remove_at(dirfd, name);
	}
	return rc < 0 ? rc : 0;
}

static int read_table(int fd, const char *name,
		      const struct mobi_spill_end *end, uint64_t size,
		      struct mobi_item item[MOBI_CONTAINER_ITEMS])
{
	uint64_t ends = table_bytes(end->bytes) + sizeof(*end);
	int rc;

	if (end->method != MOBI_SPILL_CONTAINER ||
	    end->bytes > MOBI_CONTAINER_ITEMS || size < ends ||
	    end->stored != size - ends) {
		return mobi_spill_damaged(name);
	}
	rc = mobi_fd_read_at(fd, item, table_bytes(end->bytes), size - ends);
	if (rc < 0) {
		return rc;
	}
	if (mobi_crc32c(0, item, table_bytes(end->bytes)) != end->table_crc) {
		return mobi_spill_damaged(name);
	}
	for (uint32_t i = 0; i < end->bytes; i++) {
		if (item[i].off > end->stored ||
		    item[i].bytes > end->stored - item[i].off) {
			return mobi_spill_damaged(name);
		}
	}
	return 0;
}

int mobi_container_load(int fd, const char *name, struct mobi_container *out)
{
	struct mobi_spill_end end = { 0 };
	uint64_t size = 0;
	int rc = mobi_spill_end_read(fd, name, &end, &size);

	if (rc >= 0) {
		rc = read_table(fd, name, &end, size, out->item);
	}
	if (rc < 0) {
		return rc;
	}
	out->n = (uint32_t)end.bytes;
	out->used = end.stored;
	out->room = end.stored;
	out->data = malloc(end.stored ? end.stored : 1);
	return out->data ? mobi_fd_read_at(fd, out->data, out->used, 0) :
			   no_memory();
}

int mobi_container_read(int fd, const char *name,
			const struct mobi_spill_end *end, uint64_t size,
			uint64_t id, void *at, uint64_t n)
{
	struct mobi_item item[MOBI_CONTAINER_ITEMS] = { { 0 } };
	int rc = read_table(fd, name, end, size, item);

	for (uint32_t i = 0; rc >= 0 && i < end->bytes; i++) {
		if (item[i].id != id || item[i].bytes != n) {
			continue;
		}
		rc = mobi_fd_read_at(fd, at, n, item[i].off);
		return rc < 0 || mobi_crc32c_parts(at, n) == item[i].crc ?
			       rc :
			       mobi_spill_damaged(name);
	}
	return rc < 0 ? rc : mobi_spill_damaged(name);
}
