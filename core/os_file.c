/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "os_file.h"

#include "err.h"
#include "os_clock.h"
#include "os_run.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static int told(const char *what, const char *name)
{
	if (errno == ENOSPC || errno == EDQUOT) {
		return mobi_err(MOB_E_DISK_FULL, "no space to %s %s", what,
				name);
	}
	if (errno == ENOENT) {
		return mobi_err(MOB_E_NOT_FOUND,
				"cannot %s %s: it is not there", what, name);
	}
	return mobi_err_errno("cannot %s %s", what, name);
}

int mobi_file_create_at(int dirfd, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	int fd = openat(dirfd, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(dirfd, name, 0) == 0) {
		fd = openat(dirfd, name, flags, 0600);
	}
	return fd >= 0 ? fd : told("create", name);
}

int mobi_file_open_at(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd >= 0 ? fd : told("open", name);
}

/* The kernel may cut what it is told at once to its window, which is this size
 * unless somebody has made it larger. */
#define PREFETCH ((off_t)128 << 10)

/* The names of a file come one after the other, or nearly so. */
static bool is_begun(struct mobi_file_ahead *ahead, const struct stat *st)
{
	const uint32_t room = sizeof(ahead->inode) / sizeof(*ahead->inode);

	if (st->st_nlink < 2) {
		return false;
	}
	for (uint32_t i = 0; i < room && i < ahead->n_inodes; i++) {
		if (ahead->inode[i] == st->st_ino) {
			return true;
		}
	}
	ahead->inode[ahead->n_inodes++ % room] = st->st_ino;
	return false;
}

bool mobi_file_prefetch_at(int dirfd, const char *name,
			   struct mobi_file_ahead *ahead)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	bool found;

	if (fd < 0) {
		return false;
	}
	found = fstat(fd, &st) == 0;
	if (found && is_begun(ahead, &st)) {
		(void)close(fd);
		return true;
	}
	if (found && (uint64_t)st.st_size > ahead->bytes) {
		ahead->bytes = 0;
		found = false;
	}
	if (found) {
		ahead->bytes -= (uint64_t)st.st_size;
		ahead->files++;
		for (off_t at = 0; at < st.st_size; at += PREFETCH) {
			(void)posix_fadvise(fd, at, PREFETCH,
					    POSIX_FADV_WILLNEED);
		}
	}
	(void)close(fd);
	return found;
}

int mobi_file_write(int fd, const void *at, size_t n)
{
	const char *p = at;

	while (n) {
		size_t part = n < ((size_t)1 << 30) ? n : (size_t)1 << 30;
		ssize_t w = write(fd, p, part);

		if (w < 0 && errno == EINTR) {
			continue;
		}
		if (w < 0) {
			return told("write", "a file");
		}
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

int mobi_file_write_two(int fd, const void *a, size_t n_a, const void *b,
			size_t n_b)
{
	struct iovec v[2] = { { NULL, n_a }, { NULL, n_b } };
	ssize_t w;
	size_t done;
	int rc = 0;

	memcpy(&v[0].iov_base, &a, sizeof(a)); /* it has no const */
	memcpy(&v[1].iov_base, &b, sizeof(b));
	w = writev(fd, v, 2);
	if (w < 0 && errno != EINTR) {
		return told("write", "a file");
	}
	done = w > 0 ? (size_t)w : 0;
	if (done < n_a) {
		rc = mobi_file_write(fd, (const char *)a + done, n_a - done);
		done = n_a;
	}
	done -= n_a;
	return rc < 0 || done == n_b ?
		       rc :
		       mobi_file_write(fd, (const char *)b + done, n_b - done);
}

bool mobi_file_remove_at(int dirfd, const char *name)
{
	return unlinkat(dirfd, name, 0) == 0 || errno == ENOENT;
}

bool mobi_file_link_at(int from_fd, const char *from, int to_fd, const char *to)
{
	if (linkat(from_fd, from, to_fd, to, 0) == 0) {
		return true;
	}
	return errno == EEXIST && unlinkat(to_fd, to, 0) == 0 &&
	       linkat(from_fd, from, to_fd, to, 0) == 0;
}

int mobi_file_link_error(const char *to)
{
	return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS ||
			       errno == EMLINK ?
		       0 :
		       told("link", to);
}

bool mobi_file_rename_at(int dirfd, const char *from, const char *to)
{
	return renameat(dirfd, from, dirfd, to) == 0;
}

uint64_t mobi_file_names_at(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ?
		       (uint64_t)st.st_nlink :
		       0;
}

uint64_t mobi_fd_names(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uint64_t)st.st_nlink : 0;
}

int mobi_fd_sync(int fd)
{
	return fsync(fd) == 0 ? 0 : told("sync", "a file");
}

int mobi_fs_sync(int fd)
{
	return syncfs(fd) == 0 ? 0 : told("sync", "a file system");
}

#define LOCK_PAUSE_NS 1000000

int mobi_dir_lock(int dirfd, int64_t timeout_ns)
{
	uint64_t end = mobi_now_ns() + (uint64_t)timeout_ns;

	while (flock(dirfd, LOCK_EX | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK && errno != EINTR) {
			return told("lock", "a directory");
		}
		if (mobi_now_ns() >= end) {
			return mobi_err(MOB_E_TIMEOUT, "another process has a "
						       "lock on the "
						       "directory");
		}
		mobi_pause_ns(LOCK_PAUSE_NS);
	}
	return 0;
}

void mobi_dir_unlock(int dirfd)
{
	(void)flock(dirfd, LOCK_UN);
}

int mobi_link_make_at(const char *target, int dirfd, const char *name)
{
	return symlinkat(target, dirfd, name) == 0 ? 0 : told("make", name);
}

bool mobi_link_read_at(int dirfd, const char *name, char *out, size_t size)
{
	ssize_t n = readlinkat(dirfd, name, out, size);

	if (n < 0 || (size_t)n >= size) {
		return false;
	}
	out[n] = 0;
	return true;
}

int mobi_dir_open_at(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool mobi_dir_in_memory(const char *path)
{
	struct statfs f;

	return statfs(path, &f) == 0 &&
	       (f.f_type == TMPFS_MAGIC || f.f_type == RAMFS_MAGIC);
}
