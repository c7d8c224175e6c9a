/* SPDX-License-Identifier: Apache-2.0 */
/* Which build of its code a program or a shared object is; see os_code.h. */
#define _GNU_SOURCE
#include "os_code.h"

#include "err.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTES_MAX (UINT64_C(1) << 16)
#define PHDRS_MAX 64u
#define READ_BYTES (UINT64_C(1) << 16)

bool mobi_code_same(const struct mobi_code *a, const struct mobi_code *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1];
}

void mobi_code_text(const struct mobi_code *c, char out[MOBI_CODE_TEXT])
{
	const unsigned char *p = (const unsigned char *)c->word;

	for (size_t i = 0; i < sizeof(c->word); i++) {
		(void)snprintf(out + 2 * i, 3, "%02x", p[i]);
	}
}

/* ---- build ids ---- */

/* Looks for NT_GNU_BUILD_ID among notes of n bytes. */
static bool note_find(const unsigned char *at, size_t n, struct mobi_code *out)
{
	size_t i = 0;

	while (n - i >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) h;
		size_t name;
		size_t desc;

		memcpy(&h, at + i, sizeof(h));
		name = i + sizeof(h);
		if (h.n_namesz > n - name) {
			return false;
		}
		desc = name + ((size_t)h.n_namesz + 3) / 4 * 4;
		if (desc > n || h.n_descsz > n - desc) {
			return false;
		}
		if (h.n_type == NT_GNU_BUILD_ID && h.n_namesz == 4 &&
		    !memcmp(at + name, "GNU", 4) && h.n_descsz) {
			memset(out, 0, sizeof(*out));
			memcpy(out->word, at + desc,
			       h.n_descsz < sizeof(out->word) ?
				       h.n_descsz :
				       sizeof(out->word));
			return true;
		}
		i = desc + ((size_t)h.n_descsz + 3) / 4 * 4;
		if (i > n) {
			return false;
		}
	}
	return false;
}

static bool read_at(int fd, void *to, size_t n, uint64_t off)
{
	return pread(fd, to, n, (off_t)off) == (ssize_t)n;
}

/* The build id in a file. */
static bool file_note(int fd, struct mobi_code *out)
{
	ElfW(Ehdr) e;
	ElfW(Phdr) p;
	bool found = false;

	if (!read_at(fd, &e, sizeof(e), 0) ||
	    memcmp(e.e_ident, ELFMAG, SELFMAG) != 0 ||
	    e.e_phentsize != sizeof(p) || e.e_phnum > PHDRS_MAX) {
		return false;
	}
	for (uint32_t i = 0; i < e.e_phnum && !found; i++) {
		unsigned char *notes;

		if (!read_at(fd, &p, sizeof(p), e.e_phoff + i * sizeof(p)) ||
		    p.p_type != PT_NOTE || p.p_filesz > NOTES_MAX) {
			continue;
		}
		notes = malloc(p.p_filesz + 1);
		found = notes && read_at(fd, notes, p.p_filesz, p.p_offset) &&
			note_find(notes, p.p_filesz, out);
		free(notes);
	}
	return found;
}

/* ---- hashes ---- */

/* x = (x ^ byte) * (2^88 + 2^8 + 0x3b), modulo 2^128: FNV-1a (RFC 9923). */
static void fnv(struct mobi_code *c, const unsigned char *at, size_t n)
{
	uint64_t lo = c->word[0];
	uint64_t hi = c->word[1];

	for (size_t i = 0; i < n; i++) {
		const uint64_t k = 0x13b;
		uint64_t carry;

		lo ^= at[i];
		carry = ((lo >> 32) * k + (((lo & 0xffffffff) * k) >> 32)) >>
			32;
		hi = hi * k + carry + (lo << 24);
		lo = lo * k;
	}
	c->word[0] = lo;
	c->word[1] = hi;
}

static int file_hash(int fd, const char *path, struct mobi_code *out)
{
	unsigned char *buf = malloc(READ_BYTES);
	struct mobi_code c = { { UINT64_C(0x62b821756295c58d),
				 UINT64_C(0x6c62272e07bb0142) } };
	uint64_t off = 0;
	ssize_t n = 0;
	int rc = 0;

	if (!buf) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	while ((n = pread(fd, buf, READ_BYTES, (off_t)off)) > 0) {
		fnv(&c, buf, (size_t)n);
		off += (uint64_t)n;
	}
	if (n < 0) {
		rc = mobi_err_errno("reading '%s'", path);
	}
	free(buf);
	if (rc >= 0) {
		*out = c;
	}
	return rc;
}

/* ---- what they are of ---- */

static int open_code(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		return fd;
	}
	return errno == ENOENT || errno == ENOTDIR ?
		       mobi_err(MOB_E_NOT_FOUND, "there is no file '%s'",
				path) :
		       mobi_err_errno("opening '%s'", path);
}

int mobi_code_of_file(const char *path, struct mobi_code *out)
{
	struct mobi_code c;
	int fd = open_code(path);
	int rc;

	if (fd < 0) {
		return fd;
	}
	rc = file_note(fd, &c) ? 0 : file_hash(fd, path, &c);
	(void)close(fd);
	if (rc >= 0) {
		*out = c;
	}
	return rc;
}

int mobi_code_of_program(struct mobi_code *out)
{
	return mobi_code_of_file(MOBI_CODE_SELF, out);
}

bool mobi_code_stamp(const char *path, struct mobi_dl_stamp *out)
{
	struct stat st;

	if (stat(path, &st) != 0) {
		return false;
	}
	*out = mobi_dl_stamp_of(&st);
	return true;
}

struct look {
	ElfW(Addr) base;
	struct mobi_code *out;
};

static int look_notes(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct look *l = arg;

	(void)size;
	if (info->dlpi_addr != l->base) {
		return 0;
	}
	for (uint32_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		const unsigned char *at;
		uintptr_t where = info->dlpi_addr + p->p_vaddr;

		memcpy(&at, &where, sizeof(at));
		if (p->p_type == PT_NOTE && note_find(at, p->p_memsz, l->out)) {
			return 1;
		}
	}
	return 0;
}

int mobi_code_of_loaded(void *handle, const char *path, struct mobi_code *out)
{
	struct link_map *map = NULL;
	struct look l = { 0, out };

	if (dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map) {
		l.base = map->l_addr;
		if (dl_iterate_phdr(look_notes, &l)) {
			return 0;
		}
	}
	return mobi_code_of_file(path, out);
}

/* ---- copies ---- */

static int copy_all(int from, int to)
{
	unsigned char *buf = malloc(READ_BYTES);
	ssize_t n = 0;
	int rc = 0;

	if (!buf) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	while (rc >= 0 && (n = read(from, buf, READ_BYTES)) != 0) {
		for (ssize_t done = 0; rc >= 0 && done < n;) {
			ssize_t k = write(to, buf + done, (size_t)(n - done));

			rc = k < 0 ? mobi_err_errno("copying code") : 0;
			done += k;
		}
		rc = n < 0 ? mobi_err_errno("copying code") : rc;
	}
	free(buf);
	return rc;
}

int mobi_code_keep_at(const char *path, int dirfd, const char *name)
{
	int from = open_code(path);
	int to;
	int rc;

	if (from < 0) {
		return from;
	}
	to = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	rc = to < 0 ? mobi_err_errno("making a copy of '%s'", path) :
		      copy_all(from, to);
	(void)close(from);
	if (to >= 0) {
		(void)close(to);
	}
	return rc;
}

int mobi_code_load_at(int dirfd, const char *name, void **out_handle)
{
	char path[64];
	int from = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	int to;
	int rc;

	if (from < 0) {
		return mobi_err_errno("opening the copy of a module");
	}
	to = memfd_create("mobula-module", MFD_CLOEXEC);
	rc = to < 0 ? mobi_err_errno("memfd_create") : copy_all(from, to);
	(void)close(from);
	if (rc >= 0) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", to);
		rc = mobi_dl_open(path, out_handle);
	}
	if (to >= 0) {
		(void)close(to);
	}
	return rc;
}
