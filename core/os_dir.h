/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and plain file descriptors. */
#ifndef MOBI_OS_DIR_H
#define MOBI_OS_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Effective user of this process. */
uint32_t mobi_user_id(void);

/* Makes sure that path is a directory of this user that nobody else may
 * enter. MOB_E_PERM if it is somebody else's. */
int mobi_dir_private(const char *path);
/* Descriptor (CLOEXEC) of an existing directory, not through a link. */
int mobi_dir_open(const char *path);
/* MOB_E_PERM if the open directory is another user's, or others may enter. */
int mobi_dir_own(int dirfd, const char *path);
/* Makes a directory, 0700; a descriptor. */
int mobi_dir_make(const char *path);
int mobi_dir_make_at(int dirfd, const char *name);
/* Removes a directory and what is in it. */
int mobi_dir_remove(const char *path);
/* Removes what is in an open directory, then path, unless another directory
 * has taken its place there, which is left alone. */
int mobi_dir_remove_open(int dirfd, const char *path);
/* Was the open directory removed? */
bool mobi_dir_removed(int dirfd);
/* Is there surely nothing of that name? */
bool mobi_dir_gone(const char *path);
/* Renames; MOB_E_EXISTS if there is something already. */
int mobi_dir_rename(const char *from, const char *to);
/* Calls fn with every name of a directory but "." and "..", until it returns
 * nonzero. */
int mobi_dir_each(const char *path, int (*fn)(const char *name, void *arg),
		  void *arg);
/* Is there nothing in it but entries of these names (to a NULL) and sockets? */
bool mobi_dir_holds_only(int dirfd, const char *const *names);
/* Free and total bytes of the file system that holds path. */
int mobi_dir_space(const char *path, uint64_t *out_free, uint64_t *out_total);

/* Memory that what is below a directory takes in the file system: of name in
 * dirfd ("." is itself). 0 if there is none. */
uint64_t mobi_dir_bytes(int dirfd, const char *name);
/* The same of an open file. */
uint64_t mobi_fd_bytes(int fd);

/* Path of what a descriptor is of, as the kernel tells it. */
int mobi_fd_path(int fd, char *out_path, size_t out_size);
/* Are both open on the same file or directory? */
bool mobi_fd_same(int a, int b);
void mobi_fd_close(int fd);
/* Takes the descriptors 0 to 2 where they are closed, so that no file of ours gets
 * one of them, which others read and write. They stay of no use: reading 0 and
 * writing 1 and 2 fail as before, and what is executed does not have them. */
void mobi_fd_reserve(void);
/* Reads exactly n bytes at off. MOB_E_CORRUPT if the file is shorter. */
int mobi_fd_read_at(int fd, void *out, size_t n, uint64_t off);
/* Size of a file. Errors: NOMEM, SYS; they say nothing about the file. */
int mobi_fd_size(int fd, uint64_t *out_bytes);

#endif /* MOBI_OS_DIR_H */
