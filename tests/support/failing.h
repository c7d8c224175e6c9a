/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of the C library that fail at the n-th time, for every caller in this
 * process: the program's own definitions take the place of the library's. Calls
 * that the library makes of itself are its own, but for those of malloc and its
 * like. One thread arms and asks; any may call.
 */
#ifndef FAILING_H
#define FAILING_H

#include <stdbool.h>

enum failing {
	FAIL_FSTAT,
	FAIL_MADVISE,
	FAIL_LINK,
	FAIL_SYSTEM, /* any of the calls on files and memory that the store makes:
		      * open, mmap, fallocate, write and so on; with the error
		      * that is likely there */
	FAIL_ALLOC, /* malloc, calloc, realloc, posix_memalign; not where
		     * FAILING_ALLOC is 0 */
	FAIL_CALLS
};

/* The sanitizers have an allocator of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FAILING_ALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FAILING_ALLOC 0
#endif
#endif
#ifndef FAILING_ALLOC
#define FAILING_ALLOC 1
#endif

/* After n more calls, one fails with this errno (allocations: ENOMEM), or, by
 * failing_from, all do, until failing_stop. */
void failing_nth(enum failing call, unsigned long n, int error);
void failing_from(enum failing call, unsigned long n, int error);
/* Nothing fails any more. Has anything? */
bool failing_stop(enum failing call);
/* Blocks of malloc and its like that have not been freed. */
long failing_blocks(void);

#endif /* FAILING_H */
