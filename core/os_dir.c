/* SPDX-License-Identifier: Apache-2.0 */
/* Directories and plain file descriptors. */
#define _GNU_SOURCE
#include "os_dir.h"

#include "err.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

uint32_t mobi_user_id(void)
{
	return (uint32_t)geteuid();
}

static int check_own(const struct stat *st, const char *path)
{
	if (!S_ISDIR(st->st_mode) || st->st_uid != geteuid() ||
	    (st->st_mode & 077)) {
		return mobi_err(MOB_E_PERM,
				"%s must be a directory of user %u with mode "
				"0700; remove or correct it",
				path, (unsigned)geteuid());
	}
	return 0;
}

int mobi_dir_private(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) && errno != EEXIST) {
		return mobi_err_errno("cannot make directory %s", path);
	}
	if (lstat(path, &st)) {
		return mobi_err_errno("cannot look at directory %s", path);
	}
	return check_own(&st, path);
}

int mobi_dir_own(int dirfd, const char *path)
{
	struct stat st;

	if (fstat(dirfd, &st)) {
		return mobi_err_errno("cannot look at directory %s", path);
	}
	return check_own(&st, path);
}

int mobi_dir_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0) {
		return errno == ENOENT || errno == ENOTDIR ?
			       mobi_err(MOB_E_NOT_FOUND, "no directory %s",
					path) :
			       mobi_err_errno("cannot open directory %s", path);
	}
	return fd;
}

int mobi_dir_make(const char *path)
{
	if (mkdir(path, 0700)) {
		return mobi_err_errno("cannot make directory %s", path);
	}
	return mobi_dir_open(path);
}

int mobi_dir_make_at(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700)) {
		return mobi_err_errno("cannot make directory %s", name);
	}
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	if (remove(path) && errno != ENOENT) {
		return -1;
	}
	return 0;
}

int mobi_dir_remove(const char *path)
{
	struct stat st;

	/* A file may appear or go while we are at it: a socket, say, or what
	 * another process removes at the same time. */
	for (int tries = 0; tries < 10; tries++) {
		(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		if (lstat(path, &st) && errno == ENOENT) {
			return 0;
		}
	}
	(void)rmdir(path);
	return mobi_err_errno("cannot remove directory %s", path);
}

static int remove_below(const char *path, const struct stat *st, int flag,
			struct FTW *ftw)
{
	return ftw->level ? remove_one(path, st, flag, ftw) : 0;
}

/* Is it still this directory that the path names? */
static bool names(const char *path, int dirfd)
{
	struct stat there;
	struct stat open_one;

	return !lstat(path, &there) && !fstat(dirfd, &open_one) &&
	       there.st_dev == open_one.st_dev &&
	       there.st_ino == open_one.st_ino;
}

int mobi_dir_remove_open(int dirfd, const char *path)
{
	char below[40];

	/* "/." because nftw drops a trailing slash, and would see a link. */
	(void)snprintf(below, sizeof(below), "/proc/self/fd/%d/.", dirfd);
	for (int tries = 0; tries < 10; tries++) {
		(void)nftw(below, remove_below, 16, FTW_DEPTH | FTW_PHYS);
		if (!names(path, dirfd) || !rmdir(path)) {
			return 0;
		}
	}
	return mobi_err_errno("cannot remove directory %s", path);
}

bool mobi_dir_removed(int dirfd)
{
	struct stat st;

	return !fstat(dirfd, &st) && st.st_nlink == 0;
}

bool mobi_dir_gone(const char *path)
{
	struct stat st;

	return lstat(path, &st) && errno == ENOENT;
}

int mobi_dir_rename(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE)) {
		return errno == EEXIST ?
			       mobi_err(MOB_E_EXISTS, "%s exists", to) :
			       mobi_err_errno("cannot rename %s to %s", from,
					      to);
	}
	return 0;
}

int mobi_dir_each(const char *path, int (*fn)(const char *name, void *arg),
		  void *arg)
{
	DIR *d = opendir(path);
	int rc = 0;

	if (!d) {
		return mobi_err_errno("cannot read directory %s", path);
	}
	while (rc == 0) {
		struct dirent *e = readdir(d);

		if (!e) {
			break;
		}
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0) {
			rc = fn(e->d_name, arg);
		}
	}
	(void)closedir(d);
	return rc;
}

static bool is_among(const char *name, const char *const *names)
{
	while (*names && strcmp(*names, name) != 0) {
		names++;
	}
	return *names != NULL;
}

bool mobi_dir_holds_only(int dirfd, const char *const *names)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	bool only = true;
	struct dirent *e;
	struct stat st;

	if (!d) {
		mobi_fd_close(fd);
		return false;
	}
	while (only && (e = readdir(d)) != NULL) {
		only = strcmp(e->d_name, ".") == 0 ||
		       strcmp(e->d_name, "..") == 0 ||
		       is_among(e->d_name, names) ||
		       (!fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			S_ISSOCK(st.st_mode));
	}
	(void)closedir(d);
	return only;
}

int mobi_dir_space(const char *path, uint64_t *out_free, uint64_t *out_total)
{
	struct statvfs v;

	if (statvfs(path, &v)) {
		return mobi_err_errno("cannot look at the file system of %s",
				      path);
	}
	*out_free = (uint64_t)v.f_bavail * v.f_frsize;
	*out_total = (uint64_t)v.f_blocks * v.f_frsize;
	return 0;
}

#define DEPTH_MAX 8

/* What is in the directory; fd is closed.
 * NOLINTNEXTLINE(misc-no-recursion): DEPTH_MAX levels */
static uint64_t bytes_below(int fd, int depth)
{
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	uint64_t sum = 0;

	if (!d) {
		mobi_fd_close(fd);
		return 0;
	}
	while ((e = readdir(d)) != NULL) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 ||
		    strcmp(e->d_name, "..") == 0 ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW)) {
			continue;
		}
		sum += (uint64_t)st.st_blocks * 512;
		if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
			sum += bytes_below(openat(fd, e->d_name,
						  O_RDONLY | O_DIRECTORY |
							  O_CLOEXEC |
							  O_NOFOLLOW),
					   depth + 1);
		}
	}
	(void)closedir(d);
	return sum;
}

uint64_t mobi_dir_bytes(int dirfd, const char *name)
{
	return bytes_below(openat(dirfd, name,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC |
					  O_NOFOLLOW),
			   0);
}

uint64_t mobi_fd_bytes(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

int mobi_fd_path(int fd, char *out_path, size_t out_size)
{
	char link[40];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out_path, out_size);
	if (n < 0) {
		return mobi_err_errno("cannot find the path of descriptor %d",
				      fd);
	}
	if ((size_t)n == out_size) {
		return mobi_err(MOB_E_LIMIT,
				"the path of descriptor %d has more than %zu "
				"bytes",
				fd, out_size - 1);
	}
	out_path[n] = '\0';
	return 0;
}

void mobi_fd_close(int fd)
{
	if (fd >= 0) {
		(void)close(fd);
	}
}

void mobi_fd_reserve(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF) {
			/* The lowest that is free, so this one. */
			int how = fd ? O_RDONLY : O_WRONLY;
			int got = open("/dev/null", how | O_CLOEXEC);

			if (got > STDERR_FILENO) {
				(void)close(got);
			}
		}
	}
}

int mobi_fd_read_at(int fd, void *out, size_t n, uint64_t off)
{
	unsigned char *at = out;

	while (n) {
		ssize_t k = pread(fd, at, n, (off_t)off);

		if (k < 0 && errno == EINTR) {
			continue;
		}
		if (k < 0) {
			return mobi_err_errno("cannot read");
		}
		if (k == 0) {
			return mobi_err(MOB_E_CORRUPT, "the file ends early");
		}
		at += k;
		off += (uint64_t)k;
		n -= (size_t)k;
	}
	return 0;
}

int mobi_fd_size(int fd, uint64_t *out_bytes)
{
	struct stat st;

	if (fstat(fd, &st)) {
		return mobi_err_errno("cannot find the size of a file");
	}
	*out_bytes = (uint64_t)st.st_size;
	return 0;
}

bool mobi_fd_same(int a, int b)
{
	struct stat x;
	struct stat y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}
