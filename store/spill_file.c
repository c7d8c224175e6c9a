/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One spilled object in one file: a header, then blocks of 256 KiB each with its
 * length and CRC-32C, as they are or compressed with LZ4. Whether it is worth to
 * compress is tried on the first block.
 *
 * A file an object, not containers that are filled and compacted: the file system
 * finds and frees space already, and nothing has to be moved when an object goes.
 */
#include "spill.h"

#include "crc32c.h"
#include "err.h"
#include "os_dir.h"
#include "os_file.h"

#include <lz4.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK ((uint64_t)256 << 10)
#define MAGIC UINT64_C(0x314c4c4950534f4d) /* "MOSPILL1" */

enum { RAW = 0, LZ4 = 1 };

struct file_header {
	uint64_t magic;
	uint64_t bytes;
	uint32_t method;
	uint32_t crc; /* of the fields before */
};

struct block_header {
	uint32_t stored;
	uint32_t crc; /* of what is stored */
};

void mobi_spill_name(char out[MOBI_SPILL_NAME], uint32_t slot, uint32_t gen)
{
	(void)snprintf(out, MOBI_SPILL_NAME, "%u.%u", slot, gen);
}

static size_t block_of(uint64_t left)
{
	return (size_t)(left < BLOCK ? left : BLOCK);
}

/* Less than seven eighths: reading it back is faster then, too. */
static bool shrinks(size_t from, int to)
{
	return to > 0 && (uint64_t)to * 8 < (uint64_t)from * 7;
}

/* Compressed into room behind the header, if it is LZ4; NULL of no room. */
static const void *stored(uint32_t method, const char *from, size_t n,
			  char *room, size_t *out_n)
{
	int size;

	if (method == RAW) {
		*out_n = n;
		return from;
	}
	size = LZ4_compress_default(from, room, (int)n,
				    LZ4_compressBound((int)BLOCK));
	*out_n = (size_t)size;
	return size > 0 ? room : NULL;
}

static int write_blocks(int fd, uint32_t method, const char *p, uint64_t n,
			char *room)
{
	while (n) {
		size_t part = block_of(n);
		struct block_header b;
		size_t size;
		const void *at = stored(method, p, part, room, &size);
		int rc;

		if (!at) {
			return mobi_err(MOB_E_IO, "LZ4 failed");
		}
		b.stored = (uint32_t)size;
		b.crc = mobi_crc32c(0, at, size);
		rc = mobi_file_write(fd, &b, sizeof(b));
		rc = rc < 0 ? rc : mobi_file_write(fd, at, size);
		if (rc < 0) {
			return rc;
		}
		p += part;
		n -= part;
	}
	return 0;
}

int mobi_spill_write(int dirfd, const char *name, const void *at, uint64_t n)
{
	struct file_header h = { MAGIC, n, RAW, 0 };
	char *room = malloc((size_t)LZ4_compressBound((int)BLOCK));
	int fd;
	int rc;

	if (!room) {
		return mobi_err(MOB_E_NOMEM, "no memory to spill an object");
	}
	if (n && shrinks(block_of(n),
			 LZ4_compress_default(at, room, (int)block_of(n),
					      LZ4_compressBound((int)BLOCK)))) {
		h.method = LZ4;
	}
	h.crc = mobi_crc32c(0, &h, offsetof(struct file_header, crc));
	fd = mobi_file_create_at(dirfd, name);
	rc = fd < 0 ? fd : mobi_file_write(fd, &h, sizeof(h));
	if (rc >= 0) {
		rc = write_blocks(fd, h.method, at, n, room);
	}
	free(room);
	mobi_fd_close(fd);
	if (rc < 0 && fd >= 0) {
		(void)mobi_file_remove_at(dirfd, name);
	}
	return rc;
}

static int damaged(const char *name)
{
	return mobi_err(MOB_E_CORRUPT,
			"the spilled object in file %s is damaged: its "
			"checksum does not match",
			name);
}

static int read_block(int fd, const char *name, uint32_t method, uint64_t *off,
		      char *to, size_t part, char *room)
{
	struct block_header b;
	char *into = method == RAW ? to : room;
	size_t max = method == RAW ? part :
				     (size_t)LZ4_compressBound((int)BLOCK);
	int rc = mobi_fd_read_at(fd, &b, sizeof(b), *off);

	if (rc < 0) {
		return rc;
	}
	if (b.stored > max || (method == RAW && b.stored != part)) {
		return damaged(name);
	}
	rc = mobi_fd_read_at(fd, into, b.stored, *off + sizeof(b));
	if (rc < 0) {
		return rc;
	}
	if (mobi_crc32c(0, into, b.stored) != b.crc ||
	    (method == LZ4 && LZ4_decompress_safe(room, to, (int)b.stored,
						  (int)part) != (int)part)) {
		return damaged(name);
	}
	*off += sizeof(b) + b.stored;
	return 0;
}

int mobi_spill_read(int dirfd, const char *name, void *at, uint64_t n)
{
	char *room = malloc((size_t)LZ4_compressBound((int)BLOCK));
	uint64_t off = sizeof(struct file_header);
	struct file_header h;
	char *to = at;
	int fd;
	int rc;

	if (!room) {
		return mobi_err(MOB_E_NOMEM, "no memory to bring an object "
					     "back");
	}
	fd = mobi_file_open_at(dirfd, name);
	rc = fd < 0 ? fd : mobi_fd_read_at(fd, &h, sizeof(h), 0);
	if (rc >= 0 &&
	    (h.magic != MAGIC || h.bytes != n || h.method > LZ4 ||
	     h.crc != mobi_crc32c(0, &h, offsetof(struct file_header, crc)))) {
		rc = damaged(name);
	}
	while (rc >= 0 && n) {
		size_t part = block_of(n);

		rc = read_block(fd, name, h.method, &off, to, part, room);
		to += part;
		n -= part;
	}
	mobi_fd_close(fd);
	free(room);
	return rc < 0 ? rc : 0;
}
