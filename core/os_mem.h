/* SPDX-License-Identifier: Apache-2.0 */
/* Private memory from the system, and random bits. */
#ifndef MOBI_OS_MEM_H
#define MOBI_OS_MEM_H

#include <stddef.h>
#include <stdint.h>

/* Reserves zeroed private memory that is only paid for when touched; NULL if
 * there is no address space. Given back by mobi_mem_free. */
void *mobi_mem_reserve(size_t bytes);
void mobi_mem_free(void *at, size_t bytes);
/* Makes a forked child see zeros in [at, at + bytes). 0 or MOB_E_SYS. */
int mobi_mem_wipe_on_fork(void *at, size_t bytes);
/* A stack with a guard page below it; the lowest usable address. */
void *mobi_stack_map(size_t bytes);
void mobi_stack_unmap(void *at, size_t bytes);
/* 64 random bits. */
uint64_t mobi_random(void);

#endif /* MOBI_OS_MEM_H */
