/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "failing.h"

#include <mobula/export.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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
