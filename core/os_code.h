/* SPDX-License-Identifier: Apache-2.0 */
/* Which build of its code a program or a shared object is. */
#ifndef MOBI_OS_CODE_H
#define MOBI_OS_CODE_H

#include "os_dl.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Identity of the content of a file of code: the first 16 bytes of the build id
 * that the linker has made of it (as `file` and `readelf -n` show it), else the
 * FNV-1a hash of 128 bits of the file's bytes. All zero: not known.
 */
struct mobi_code {
	uint64_t word[2];
};
#define MOBI_CODE_TEXT 33 /* bytes of its text, with the end */

bool mobi_code_same(const struct mobi_code *a, const struct mobi_code *b);
/* 32 hexadecimal digits. */
void mobi_code_text(const struct mobi_code *c, char out[MOBI_CODE_TEXT]);

/* Of a file. NOT_FOUND, SYS. */
int mobi_code_of_file(const char *path, struct mobi_code *out);
/* Of the running program, also if its file has been replaced. */
int mobi_code_of_program(struct mobi_code *out);
/* Of what was loaded (mobi_dl_open), which may not be what its file is now: by its
 * build id in memory, else by the file at path. */
int mobi_code_of_loaded(void *handle, const char *path, struct mobi_code *out);

/* Tells cheaply whether a file may be another than before; false: there is none. */
bool mobi_code_stamp(const char *path, struct mobi_dl_stamp *out);

/* The running program as a path that can be executed, whatever has become of its
 * file. */
#define MOBI_CODE_SELF "/proc/self/exe"

/* Copies the file at path to a new one in a directory; SYS, EXISTS. */
int mobi_code_keep_at(const char *path, int dirfd, const char *name);
/* Loads such a copy, which may lie where nothing can be executed. */
int mobi_code_load_at(int dirfd, const char *name, void **out_handle);

#endif /* MOBI_OS_CODE_H */
