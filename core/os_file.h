/* SPDX-License-Identifier: Apache-2.0 */
/* Plain files and links below an open directory. */
#ifndef MOBI_OS_FILE_H
#define MOBI_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors, CLOEXEC: a new or emptied file to write, 0600; one to read.
 * Errors: DISK_FULL, PERM, NOT_FOUND, SYS. */
int mobi_file_create_at(int dirfd, const char *name);
int mobi_file_open_at(int dirfd, const char *name);
/* Writes all of it, or of both, one after the other. Errors: DISK_FULL, SYS. */
int mobi_file_write(int fd, const void *at, size_t n);
int mobi_file_write_two(int fd, const void *a, size_t n_a, const void *b,
			size_t n_b);
/* True also if there was none. */
bool mobi_file_remove_at(int dirfd, const char *name);

int mobi_link_make_at(const char *target, int dirfd, const char *name);
/* Where a link leads. False if there is none, or it is too long. No error is
 * recorded. */
bool mobi_link_read_at(int dirfd, const char *name, char *out, size_t size);
/* Descriptor of a directory, through a link; -1 if there is none. No error is
 * recorded. */
int mobi_dir_open_at(int dirfd, const char *name);
/* Is what is written there kept in memory: tmpfs or ramfs? */
bool mobi_dir_in_memory(const char *path);

#endif /* MOBI_OS_FILE_H */
