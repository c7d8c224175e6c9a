/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "failing.h"

#include <mobula/export.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
	atomic_ulong left; /* calls until it fails, + 1; 0: never */
	atomic_bool all;   /* those after it too */
	atomic_bool failed;
	atomic_int error;
} plan[FAIL_CALLS];

static void arm(enum failing call, unsigned long n, int error, bool all)
{
	atomic_store(&plan[call].failed, false);
	atomic_store(&plan[call].error, error);
	atomic_store(&plan[call].all, all);
	atomic_store(&plan[call].left, n + 1);
}

void failing_nth(enum failing call, unsigned long n, int error)
{
	arm(call, n, error, false);
}

void failing_from(enum failing call, unsigned long n, int error)
{
	arm(call, n, error, true);
}

bool failing_stop(enum failing call)
{
	atomic_store(&plan[call].left, 0);
	return atomic_load(&plan[call].failed);
}

static bool fails(enum failing call)
{
	unsigned long left = atomic_load(&plan[call].left);

	if (!left) {
		return false;
	}
	if (left > 1 || !atomic_load(&plan[call].all)) {
		atomic_fetch_sub(&plan[call].left, 1);
	}
	if (left > 1) {
		return false;
	}
	atomic_store(&plan[call].failed, true);
	errno = atomic_load(&plan[call].error);
	return true;
}

MOB_API int fstat(int fd, struct stat *st)
{
	return fails(FAIL_FSTAT) ? -1 : fstatat(fd, "", st, AT_EMPTY_PATH);
}

MOB_API int madvise(void *at, size_t n, int advice)
{
	return fails(FAIL_MADVISE) ? -1 :
				     (int)syscall(SYS_madvise, at, n, advice);
}

/* ---- any of those that the store makes ---- */

static bool system_fails(int error)
{
	if (!fails(FAIL_SYSTEM)) {
		return false;
	}
	errno = error;
	return true;
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(ap, unsigned) : 0;
}

MOB_API int openat(int dirfd, const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return system_fails(EMFILE) ?
		       -1 :
		       (int)syscall(SYS_openat, dirfd, name, flags, mode);
}

MOB_API int open(const char *name, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return system_fails(ENFILE) ?
		       -1 :
		       (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

MOB_API void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
	long got = system_fails(ENOMEM) ?
			   -1 :
			   syscall(SYS_mmap, at, n, prot, flags, fd, off);

	return (void *)got;
}

MOB_API int fallocate(int fd, int mode, off_t off, off_t n)
{
	return system_fails(ENOSPC) ?
		       -1 :
		       (int)syscall(SYS_fallocate, fd, mode, off, n);
}

MOB_API int ftruncate(int fd, off_t n)
{
	return system_fails(EFBIG) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

MOB_API ssize_t write(int fd, const void *at, size_t n)
{
	return system_fails(ENOSPC) ? -1 : syscall(SYS_write, fd, at, n);
}

MOB_API ssize_t pwrite(int fd, const void *at, size_t n, off_t off)
{
	return system_fails(EIO) ? -1 : syscall(SYS_pwrite64, fd, at, n, off);
}

MOB_API ssize_t pread(int fd, void *at, size_t n, off_t off)
{
	return system_fails(EIO) ? -1 : syscall(SYS_pread64, fd, at, n, off);
}

MOB_API ssize_t writev(int fd, const struct iovec *v, int n)
{
	return system_fails(ENOSPC) ? -1 : syscall(SYS_writev, fd, v, n);
}

MOB_API int mkdir(const char *name, mode_t mode)
{
	return system_fails(ENOSPC) ? -1 : (int)syscall(SYS_mkdir, name, mode);
}

MOB_API int mkdirat(int dirfd, const char *name, mode_t mode)
{
	return system_fails(ENOSPC) ?
		       -1 :
		       (int)syscall(SYS_mkdirat, dirfd, name, mode);
}

MOB_API int linkat(int from_fd, const char *from, int to_fd, const char *to,
		   int flags)
{
	return fails(FAIL_LINK) || system_fails(EMLINK) ?
		       -1 :
		       (int)syscall(SYS_linkat, from_fd, from, to_fd, to,
				    flags);
}

MOB_API int link(const char *from, const char *to)
{
	return system_fails(ENOSPC) ? -1 : (int)syscall(SYS_link, from, to);
}

MOB_API int symlinkat(const char *target, int dirfd, const char *name)
{
	return system_fails(ENOSPC) ?
		       -1 :
		       (int)syscall(SYS_symlinkat, target, dirfd, name);
}

MOB_API int fsync(int fd)
{
	return system_fails(EIO) ? -1 : (int)syscall(SYS_fsync, fd);
}

MOB_API int syncfs(int fd)
{
	return system_fails(EIO) ? -1 : (int)syscall(SYS_syncfs, fd);
}

MOB_API int fdatasync(int fd)
{
	return system_fails(EIO) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

MOB_API int flock(int fd, int what)
{
	return system_fails(ENOLCK) ? -1 : (int)syscall(SYS_flock, fd, what);
}

MOB_API int socket(int domain, int type, int protocol)
{
	return system_fails(EMFILE) ?
		       -1 :
		       (int)syscall(SYS_socket, domain, type, protocol);
}

/* ---- allocations ---- */

static atomic_long blocks;

long failing_blocks(void)
{
	return atomic_load(&blocks);
}

#if FAILING_ALLOC
/* Those of glibc below the names that a program may define. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *at, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *at);

static void *counted(void *at)
{
	if (at) {
		atomic_fetch_add(&blocks, 1);
	}
	return at;
}

MOB_API void *malloc(size_t n)
{
	return fails(FAIL_ALLOC) ? NULL : counted(__libc_malloc(n));
}

MOB_API void *calloc(size_t n, size_t size)
{
	return fails(FAIL_ALLOC) ? NULL : counted(__libc_calloc(n, size));
}

MOB_API void *realloc(void *at, size_t n)
{
	void *to;

	if (fails(FAIL_ALLOC)) {
		return NULL;
	}
	to = __libc_realloc(at, n);
	return at ? to : counted(to);
}

MOB_API int posix_memalign(void **out, size_t align, size_t n)
{
	void *at = fails(FAIL_ALLOC) ? NULL :
				       counted(__libc_memalign(align, n));

	if (!at) {
		return ENOMEM;
	}
	*out = at;
	return 0;
}

MOB_API void free(void *at)
{
	if (at) {
		atomic_fetch_sub(&blocks, 1);
	}
	__libc_free(at);
}
#endif
