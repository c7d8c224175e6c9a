/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One spilled object in one file: its bytes, in blocks of 256 KiB as they are or
 * compressed with LZ4; then for each block its length and checksum (four
 * CRC-32Cs); then a fixed record. So the bytes begin at a page, and go out in one
 * piece if they are not compressed. Whether that is worth it is tried on the first
 * 32 KiB.
 *
 * A file an object from 4 KiB on: the file system finds and frees space already, and
 * nothing has to be moved when an object goes. Smaller ones share one.
 */
#include "spill_file.h"

#include "crc32c.h"
#include "err.h"
#include "os_dir.h"
#include "os_file.h"

#include <lz4.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK ((uint64_t)256 << 10)
#define TRY ((uint64_t)32 << 10)
#define MAGIC UINT64_C(0x314c4c4950534f4d) /* "MOSPILL1" */

struct block {
	uint32_t stored;
	uint32_t crc; /* of what is stored */
};

/* Memory that writing and reading need. */
struct work {
	struct block *table;
	uint32_t blocks;
	char *room; /* one compressed block */
};

void mobi_spill_name(char out[MOBI_SPILL_NAME], uint64_t id)
{
	(void)snprintf(out, MOBI_SPILL_NAME, "%u.%u", (uint32_t)id,
		       (uint32_t)(id >> 32));
}

static size_t block_of(uint64_t left)
{
	return (size_t)(left < BLOCK ? left : BLOCK);
}

static int work_begin(struct work *w, uint64_t n)
{
	w->blocks = (uint32_t)((n + BLOCK - 1) / BLOCK);
	w->table = calloc((size_t)w->blocks + 1, sizeof(*w->table));
	w->room = malloc((size_t)LZ4_compressBound((int)BLOCK));
	return w->table && w->room ? 0 :
				     mobi_err(MOB_E_NOMEM, "no memory to move "
							   "an object of "
							   "the spill "
							   "directory");
}

static void work_end(struct work *w)
{
	free(w->table);
	free(w->room);
}

static uint32_t end_crc(const struct mobi_spill_end *e)
{
	return mobi_crc32c(0, e, offsetof(struct mobi_spill_end, crc));
}

void mobi_spill_end_make(struct mobi_spill_end *end, const void *table,
			 size_t n)
{
	end->magic = MAGIC;
	end->table_crc = mobi_crc32c(0, table, n);
	end->crc = end_crc(end);
}

int mobi_spill_damaged(const char *name)
{
	return mobi_err(MOB_E_CORRUPT,
			"the spilled object in file %s is damaged: its "
			"checksum does not match",
			name);
}

int mobi_spill_end_read(int fd, const char *name, struct mobi_spill_end *out,
			uint64_t *out_size)
{
	uint64_t size = 0;
	int rc = mobi_fd_size(fd, &size);

	if (rc >= 0 && size < sizeof(*out)) {
		return mobi_spill_damaged(name);
	}
	if (rc >= 0) {
		rc = mobi_fd_read_at(fd, out, sizeof(*out),
				     size - sizeof(*out));
	}
	if (rc < 0) {
		return rc;
	}
	*out_size = size;
	return out->magic == MAGIC && out->crc == end_crc(out) ?
		       0 :
		       mobi_spill_damaged(name);
}

static size_t table_bytes(const struct work *w)
{
	return w->blocks * sizeof(*w->table);
}

/* ---- out ---- */

/* Less than seven eighths: reading it back is faster then, too. */
static uint32_t method_for(const struct work *w, const char *at, uint64_t n)
{
	int some = (int)(n < TRY ? n : TRY);
	int to = some ? LZ4_compress_default(at, w->room, some,
					     LZ4_compressBound((int)BLOCK)) :
			0;

	return to > 0 && to * 8 < some * 7 ? MOBI_SPILL_LZ4 : MOBI_SPILL_RAW;
}

static int write_raw(int fd, struct work *w, const char *at, uint64_t n)
{
	for (uint32_t i = 0; i < w->blocks; i++) {
		size_t part = block_of(n - i * BLOCK);

		w->table[i].stored = (uint32_t)part;
		w->table[i].crc = mobi_crc32c_parts(at + i * BLOCK, part);
	}
	return mobi_file_write(fd, at, n);
}

static int write_lz4(int fd, struct work *w, const char *at, uint64_t n,
		     uint64_t *out_stored)
{
	int rc = 0;

	*out_stored = 0;
	for (uint32_t i = 0; i < w->blocks && rc >= 0; i++) {
		int size = LZ4_compress_default(at + i * BLOCK, w->room,
						(int)block_of(n - i * BLOCK),
						LZ4_compressBound((int)BLOCK));

		if (size <= 0) {
			return mobi_err(MOB_E_IO, "LZ4 failed");
		}
		w->table[i].stored = (uint32_t)size;
		w->table[i].crc = mobi_crc32c_parts(w->room, (size_t)size);
		*out_stored += (uint64_t)size;
		rc = mobi_file_write(fd, w->room, (size_t)size);
	}
	return rc;
}

int mobi_spill_write(int dirfd, uint64_t id, const void *at, uint64_t n)
{
	struct mobi_spill_end e = { .bytes = n, .stored = n };
	char name[MOBI_SPILL_NAME];
	struct work w;
	int fd = -1;
	int rc = work_begin(&w, n);

	mobi_spill_name(name, id);
	if (rc >= 0) {
		fd = mobi_file_create_at(dirfd, name);
		rc = fd;
	}
	if (rc >= 0) {
		e.method = method_for(&w, at, n);
		rc = e.method == MOBI_SPILL_RAW ?
			     write_raw(fd, &w, at, n) :
			     write_lz4(fd, &w, at, n, &e.stored);
	}
	if (rc >= 0) {
		mobi_spill_end_make(&e, w.table, table_bytes(&w));
		rc = mobi_file_write_two(fd, w.table, table_bytes(&w), &e,
					 sizeof(e));
	}
	work_end(&w);
	mobi_fd_close(fd);
	if (rc < 0 && fd >= 0) {
		(void)mobi_file_remove_at(dirfd, name);
	}
	return rc < 0 ? rc : 0;
}

/* ---- back ---- */

/* The table; all lengths add up. */
static int read_table(int fd, const char *name, uint64_t n, struct work *w,
		      const struct mobi_spill_end *e, uint64_t size)
{
	uint64_t ends = table_bytes(w) + sizeof(*e);
	uint64_t sum = 0;
	int rc;

	if (e->bytes != n || size < ends || e->stored != size - ends) {
		return mobi_spill_damaged(name);
	}
	rc = mobi_fd_read_at(fd, w->table, table_bytes(w), size - ends);
	if (rc < 0) {
		return rc;
	}
	if (e->table_crc != mobi_crc32c(0, w->table, table_bytes(w))) {
		return mobi_spill_damaged(name);
	}
	for (uint32_t i = 0; i < w->blocks; i++) {
		if (w->table[i].stored >
		    (uint32_t)LZ4_compressBound((int)BLOCK)) {
			return mobi_spill_damaged(name);
		}
		sum += w->table[i].stored;
	}
	return sum == e->stored && (e->method == MOBI_SPILL_LZ4 || sum == n) ?
		       0 :
		       mobi_spill_damaged(name);
}

static int read_raw(int fd, const char *name, const struct work *w, char *to,
		    uint64_t n)
{
	int rc = mobi_fd_read_at(fd, to, n, 0);

	for (uint32_t i = 0; i < w->blocks && rc >= 0; i++) {
		size_t part = block_of(n - i * BLOCK);

		if (mobi_crc32c_parts(to + i * BLOCK, part) !=
		    w->table[i].crc) {
			rc = mobi_spill_damaged(name);
		}
	}
	return rc;
}

static int read_lz4(int fd, const char *name, const struct work *w, char *to,
		    uint64_t n)
{
	uint64_t off = 0;
	int rc = 0;

	for (uint32_t i = 0; i < w->blocks && rc >= 0; i++) {
		const struct block *b = &w->table[i];
		int part = (int)block_of(n - i * BLOCK);

		rc = mobi_fd_read_at(fd, w->room, b->stored, off);
		if (rc >= 0 &&
		    (mobi_crc32c_parts(w->room, b->stored) != b->crc ||
		     LZ4_decompress_safe(w->room, to + i * BLOCK,
					 (int)b->stored, part) != part)) {
			rc = mobi_spill_damaged(name);
		}
		off += b->stored;
	}
	return rc;
}

static int read_own(int fd, const char *name, const struct mobi_spill_end *e,
		    uint64_t size, void *at, uint64_t n)
{
	struct work w;
	int rc = work_begin(&w, n);

	if (rc >= 0) {
		rc = read_table(fd, name, n, &w, e, size);
	}
	if (rc >= 0 && at) {
		rc = e->method == MOBI_SPILL_RAW ?
			     read_raw(fd, name, &w, at, n) :
			     read_lz4(fd, name, &w, at, n);
	}
	work_end(&w);
	return rc;
}

int mobi_spill_read(int dirfd, uint64_t id, void *at, uint64_t n)
{
	struct mobi_spill_end e = { 0 };
	char name[MOBI_SPILL_NAME];
	uint64_t size = 0;
	int fd;
	int rc;

	mobi_spill_name(name, id);
	fd = mobi_file_open_at(dirfd, name);
	if (fd < 0) {
		return fd;
	}
	rc = mobi_spill_end_read(fd, name, &e, &size);
	if (rc >= 0) {
		rc = e.method == MOBI_SPILL_CONTAINER ?
			     mobi_container_read(fd, name, &e, size, id, at,
						 n) :
			     read_own(fd, name, &e, size, at, n);
	}
	mobi_fd_close(fd);
	return rc < 0 ? rc : 0;
}

int mobi_spill_verify(int dirfd, uint64_t id, uint64_t n, bool all)
{
	struct mobi_spill_end e = { 0 };
	char name[MOBI_SPILL_NAME];
	uint64_t size = 0;
	void *to = NULL;
	int fd;
	int rc;

	mobi_spill_name(name, id);
	if (all && !(to = malloc(n ? n : 1))) {
		return mobi_err(MOB_E_NOMEM, "no memory to read file %s", name);
	}
	fd = mobi_file_open_at(dirfd, name);
	rc = fd < 0 ? fd : mobi_spill_end_read(fd, name, &e, &size);
	if (rc >= 0) {
		rc = e.method == MOBI_SPILL_CONTAINER ?
			     mobi_spill_damaged(name) :
			     read_own(fd, name, &e, size, to, n);
	}
	mobi_fd_close(fd);
	free(to);
	return rc < 0 ? rc : 0;
}
