/* SPDX-License-Identifier: Apache-2.0 */
/* Shared objects on Linux. */
#define _GNU_SOURCE

#include "os_dl.h"

#include "err.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(MOBI_PATH_SIZE >= PATH_MAX, "realpath writes PATH_MAX bytes");

static int copy_out(const char *text, char *out, size_t size)
{
	size_t n = strlen(text) + 1;

	if (n > size) {
		return mobi_err(MOB_E_LIMIT,
				"path '%.200s' has %zu bytes, at most %zu",
				text, n - 1, size - 1);
	}
	memcpy(out, text, n);
	return 0;
}

int mobi_dl_resolve(const char *path, char *out, size_t size)
{
	char full[PATH_MAX];

	if (realpath(path, full)) {
		return copy_out(full, out, size);
	}
	if (errno == ENOENT || errno == ENOTDIR) {
		return mobi_err(MOB_E_NOT_FOUND, "there is no file '%s'", path);
	}
	return mobi_err_errno("looking for file '%s'", path);
}

/* Cuts an absolute path down to its directory; "" is the root. */
static void dir_cut(char *path)
{
	char *slash = strrchr(path, '/');

	MOB_ASSERT(slash);
	*slash = '\0';
}

static int dir_of(const char *path, char *out, size_t size)
{
	char full[MOBI_PATH_SIZE];
	int rc = mobi_dl_resolve(path, full, sizeof(full));

	if (rc < 0) {
		return rc;
	}
	dir_cut(full);
	return copy_out(full, out, size);
}

int mobi_dl_exe_dir(char *out, size_t size)
{
	return dir_of("/proc/self/exe", out, size);
}

int mobi_dl_self_dir(char *out, size_t size)
{
	static const char here = 0;
	Dl_info info;

	/* An executable may be named without its directory: not this one. */
	if (dladdr(&here, &info) == 0 || !info.dli_fname ||
	    !strchr(info.dli_fname, '/')) {
		return mobi_err(MOB_E_NOT_FOUND, "the file of this library is "
						 "not known");
	}
	return dir_of(info.dli_fname, out, size);
}

static int check_writers(const char *what, const char *path,
			 const struct stat *st)
{
	if (st->st_uid != geteuid() && st->st_uid != 0) {
		return mobi_err(MOB_E_PERM,
				"plugin %s '%s' belongs to user %u; it must "
				"belong to this user (%u) or root: chown it or "
				"make a copy",
				what, path, st->st_uid, geteuid());
	}
	if (st->st_mode & S_IWOTH) {
		return mobi_err(MOB_E_PERM,
				"plugin %s '%s' is world-writable; anybody "
				"could change the code: chmod o-w it",
				what, path);
	}
	if ((st->st_mode & S_IWGRP) && st->st_gid != st->st_uid) {
		return mobi_err(MOB_E_PERM,
				"plugin %s '%s' is writable for group %u, not "
				"only for its owner: chmod g-w it",
				what, path, st->st_gid);
	}
	return 0;
}

int mobi_dl_check_dir(const char *dir)
{
	struct stat st;

	if (stat(dir, &st) != 0) {
		return mobi_err_errno("looking at plugin directory '%s'", dir);
	}
	return check_writers("directory", dir, &st);
}

struct mobi_dl_stamp mobi_dl_stamp_of(const struct stat *st)
{
	return (struct mobi_dl_stamp){
		.dev = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 +
			    st->st_mtim.tv_nsec,
	};
}

int mobi_dl_check_file(const char *path, struct mobi_dl_stamp *out_stamp)
{
	char dir[MOBI_PATH_SIZE] = "";
	struct stat st;
	int rc = copy_out(path, dir, sizeof(dir));

	if (rc < 0) {
		return rc;
	}
	dir_cut(dir);
	rc = mobi_dl_check_dir(dir[0] == '\0' ? "/" : dir);
	if (rc < 0) {
		return rc;
	}
	if (stat(path, &st) != 0) {
		return mobi_err_errno("looking at plugin file '%s'", path);
	}
	if (!S_ISREG(st.st_mode)) {
		return mobi_err(MOB_E_PLUGIN,
				"plugin file '%s' is not a regular file; give "
				"the path of a shared object",
				path);
	}
	rc = check_writers("file", path, &st);
	if (rc < 0) {
		return rc;
	}
	*out_stamp = mobi_dl_stamp_of(&st);
	return 0;
}

int mobi_dl_open(const char *path, void **out_handle)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!handle) {
		const char *why = dlerror();

		return mobi_err(MOB_E_PLUGIN,
				"plugin file '%s' is not a shared object that "
				"loads here: %s; build it for this machine, "
				"and with all that it needs",
				path, why ? why : "no reason given");
	}
	*out_handle = handle;
	return 0;
}

void mobi_dl_close(void *handle)
{
	(void)dlclose(handle);
}

mobi_dl_fn mobi_dl_sym(void *handle, const char *name)
{
	void *at = dlsym(handle, name);
	mobi_dl_fn fn = NULL;

	/* POSIX: the same bytes name the object and the function. */
	_Static_assert(sizeof(fn) == sizeof(at), "POSIX");
	memcpy(&fn, &at, sizeof(fn));
	return fn;
}

int mobi_dl_names(const char *dir, int (*fn)(const char *name, void *arg),
		  void *arg)
{
	struct dirent **list = NULL;
	int n = scandir(dir, &list, NULL, alphasort);
	int rc = 0;

	if (n < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		return 0;
	}
	if (n < 0) {
		return mobi_err_errno("reading plugin directory '%s'", dir);
	}
	for (int i = 0; i < n; i++) {
		if (rc == 0) {
			rc = fn(list[i]->d_name, arg);
		}
		free(list[i]);
	}
	free(list);
	return rc;
}
