/* SPDX-License-Identifier: Apache-2.0 */
/* Plain files and links below an open directory. */
#ifndef MOBI_OS_FILE_H
#define MOBI_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Descriptors, CLOEXEC: a new file to write, 0600, in place of one of that name,
 * whose other links keep their bytes; one to read. Errors: DISK_FULL, PERM,
 * NOT_FOUND, SYS. */
int mobi_file_create_at(int dirfd, const char *name);
int mobi_file_open_at(int dirfd, const char *name);
/* What may be read ahead yet, and files with several names that are read already. */
struct mobi_file_ahead {
	uint64_t
		bytes; /* 0: no more, as the last that was asked for was too large */
	uint64_t files; /* that were begun */
	uint64_t inode[8];
	uint32_t n_inodes;
};
/* Lets the kernel begin to read a file of dirfd into its cache, and does not wait
 * for the bytes. False: there is none, or it has too many bytes. No error is
 * recorded. */
bool mobi_file_prefetch_at(int dirfd, const char *name,
			   struct mobi_file_ahead *ahead);
/* Writes all of it, or of both, one after the other. Errors: DISK_FULL, SYS. */
int mobi_file_write(int fd, const void *at, size_t n);
int mobi_file_write_two(int fd, const void *a, size_t n_a, const void *b,
			size_t n_b);
/* True also if there was none. */
bool mobi_file_remove_at(int dirfd, const char *name);
/* Another name of a file, in place of what had it. False: it is not there, or
 * on another file system, or has too many. No error is recorded. */
bool mobi_file_link_at(int from_fd, const char *from, int to_fd,
		       const char *to);
/* Right after a link that failed: 0, if the file system has no hard links, or no
 * more; else the error. Errors: DISK_FULL, NOT_FOUND, SYS. */
int mobi_file_link_error(const char *to);
/* Renames, in place of what has that name. False: it failed. No error is
 * recorded. */
bool mobi_file_rename_at(int dirfd, const char *from, const char *to);
/* How many names the file has; 0: it is not there. */
uint64_t mobi_file_names_at(int dirfd, const char *name);
uint64_t mobi_fd_names(int fd);

/* Waits until the bytes of a file, or the entries of a directory, are on their
 * disk; or all of the file system. Errors: IO, DISK_FULL, SYS. */
int mobi_fd_sync(int fd);
int mobi_fs_sync(int fd);

int mobi_link_make_at(const char *target, int dirfd, const char *name);
/* Where a link leads. False if there is none, or it is too long. No error is
 * recorded. */
bool mobi_link_read_at(int dirfd, const char *name, char *out, size_t size);
/* Descriptor of a directory, through a link; -1 if there is none. No error is
 * recorded. */
int mobi_dir_open_at(int dirfd, const char *name);
/* Locks the directory of a descriptor against all other descriptors, of any
 * process; undone by unlock, by closing, and by death. Waits timeout_ns.
 * Errors: TIMEOUT, SYS. */
int mobi_dir_lock(int dirfd, int64_t timeout_ns);
void mobi_dir_unlock(int dirfd);
/* Is what is written there kept in memory: tmpfs or ramfs? */
bool mobi_dir_in_memory(const char *path);

#endif /* MOBI_OS_FILE_H */
