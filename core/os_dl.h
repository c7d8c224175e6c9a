/* SPDX-License-Identifier: Apache-2.0 */
/* Shared objects as files: where they are, who may write them, loading. */
#ifndef MOBI_OS_DL_H
#define MOBI_OS_DL_H

#include <stddef.h>
#include <stdint.h>

/* Longest path, with its end, that plugins are looked for at. */
#define MOBI_PATH_SIZE 4096

/* Tells one version of a file from the next at the same path. */
struct mobi_dl_stamp {
	uint64_t dev;
	uint64_t inode;
	uint64_t size;
	int64_t mtime_ns;
};

/* Directory of the running executable; of the file that this code was loaded
 * from. 0, or MOB_E_NOT_FOUND or MOB_E_LIMIT. */
int mobi_dl_exe_dir(char *out, size_t size);
int mobi_dl_self_dir(char *out, size_t size);

/* Absolute path without links. MOB_E_NOT_FOUND: there is no such file. */
int mobi_dl_resolve(const char *path, char *out, size_t size);

/*
 * Whether code may be loaded from here: from a directory; from a regular file,
 * at a path that mobi_dl_resolve gave, and the directory that holds it. Each
 * must be of this user or root, and nobody else may write it. A group may if
 * it has the number of the owner, as the group that Debian gives each user
 * has. MOB_E_PERM if not, MOB_E_PLUGIN if it is no regular file.
 */
int mobi_dl_check_dir(const char *dir);
int mobi_dl_check_file(const char *path, struct mobi_dl_stamp *out_stamp);
struct stat;
struct mobi_dl_stamp mobi_dl_stamp_of(const struct stat *st);

/* Loads a file, resolving all its symbols now and keeping its own to itself.
 * MOB_E_PLUGIN if the loader refuses it. */
int mobi_dl_open(const char *path, void **out_handle);
void mobi_dl_close(void *handle);

/* A function of a loaded file as a pointer to any function, or NULL. */
typedef void (*mobi_dl_fn)(void);
mobi_dl_fn mobi_dl_sym(void *handle, const char *name);

/*
 * Calls fn with each file name of a directory, in order of the alphabet, until
 * it returns nonzero; returns that. A directory that is not there has no
 * names; MOB_E_PERM or MOB_E_SYS if it cannot be read.
 */
int mobi_dl_names(const char *dir, int (*fn)(const char *name, void *arg),
		  void *arg);

#endif /* MOBI_OS_DL_H */
