/* SPDX-License-Identifier: Apache-2.0 */
/* Private memory from the system, and random bits. */
#define _GNU_SOURCE
#include "os_mem.h"

#include "err.h"
#include "os_clock.h"
#include "os_shm.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

void *mobi_mem_reserve(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

void mobi_mem_free(void *at, size_t bytes)
{
	if (at) {
		(void)munmap(at, bytes);
	}
}

int mobi_mem_wipe_on_fork(void *at, size_t bytes)
{
	if (madvise(at, bytes, MADV_WIPEONFORK)) {
		return mobi_err_errno("madvise(MADV_WIPEONFORK)");
	}
	return 0;
}

void *mobi_stack_map(size_t bytes)
{
	size_t page = mobi_page_size();
	unsigned char *at = mmap(
		NULL, bytes + page, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (at == MAP_FAILED) {
		return NULL;
	}
	if (mprotect(at, page, PROT_NONE)) {
		(void)munmap(at, bytes + page);
		return NULL;
	}
	return at + page;
}

void mobi_stack_unmap(void *at, size_t bytes)
{
	size_t page = mobi_page_size();

	if (at) {
		(void)munmap((unsigned char *)at - page, bytes + page);
	}
}

uint64_t mobi_random(void)
{
	uint64_t x = 0;

	if (getrandom(&x, sizeof(x), 0) != (ssize_t)sizeof(x)) {
		x = mobi_now_ns() * UINT64_C(0x9e3779b97f4a7c15) ^
		    (uint64_t)getpid();
	}
	return x;
}
