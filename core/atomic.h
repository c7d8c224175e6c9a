/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Atomics of shared words. Everything two processes race on is sequentially
 * consistent until a litmus test says that less is enough (see
 * docs/memory-order.md); the order is in the name so that a reader sees it.
 */
#ifndef MOBI_ATOMIC_H
#define MOBI_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t mobi_a64;
typedef _Atomic uint32_t mobi_a32;

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are lock-free");
_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "32-bit atomics are lock-free");

#define MOBI_CACHELINE 64
#define MOBI_BIT(n) (UINT64_C(1) << (n))

/* In a build of its own, a test chooses before each access which process goes on
 * (tests/crash/test_interleave.c). */
#ifdef MOBI_INTERLEAVED
void mobi_before_access(uintptr_t word);
void mobi_before_spin(void);
#define MOBI_ACCESS(p, access) (mobi_before_access((uintptr_t)(p)), (access))
#else
#define MOBI_ACCESS(p, access) (access)
#endif

#define MOBI_LOAD_AS(p, order) MOBI_ACCESS(p, atomic_load_explicit((p), order))
#define MOBI_STORE_AS(p, v, order)                                             \
	MOBI_ACCESS(p, atomic_store_explicit((p), (v), order))
#define mobi_load(p) MOBI_LOAD_AS(p, memory_order_seq_cst)
#define mobi_store(p, v) MOBI_STORE_AS(p, v, memory_order_seq_cst)
#define mobi_load_acquire(p) MOBI_LOAD_AS(p, memory_order_acquire)
#define mobi_store_release(p, v) MOBI_STORE_AS(p, v, memory_order_release)
/* Only where a comment says why no order is needed. */
#define mobi_load_relaxed(p) MOBI_LOAD_AS(p, memory_order_relaxed)
#define mobi_store_relaxed(p, v) MOBI_STORE_AS(p, v, memory_order_relaxed)
#define MOBI_CHANGE_BY(p, v, op)                                               \
	MOBI_ACCESS(p, atomic_##op##_explicit((p), (v), memory_order_seq_cst))
#define mobi_fetch_add(p, v) MOBI_CHANGE_BY(p, v, fetch_add)
#define mobi_fetch_sub(p, v) MOBI_CHANGE_BY(p, v, fetch_sub)
#define mobi_fetch_or(p, v) MOBI_CHANGE_BY(p, v, fetch_or)
#define mobi_fetch_and(p, v) MOBI_CHANGE_BY(p, v, fetch_and)
#define mobi_exchange(p, v) MOBI_CHANGE_BY(p, v, exchange)

/* Writes what was found to *want if it fails, as compare_exchange does. */
static inline bool mobi_cas64(mobi_a64 *p, uint64_t *want, uint64_t set)
{
	return MOBI_ACCESS(p, atomic_compare_exchange_strong_explicit(
				      p, want, set, memory_order_seq_cst,
				      memory_order_seq_cst));
}

static inline bool mobi_cas32(mobi_a32 *p, uint32_t *want, uint32_t set)
{
	return MOBI_ACCESS(p, atomic_compare_exchange_strong_explicit(
				      p, want, set, memory_order_seq_cst,
				      memory_order_seq_cst));
}

/* For spin loops: gives the sibling hardware thread a turn. */
static inline void mobi_relax(void)
{
#ifdef MOBI_INTERLEAVED
	mobi_before_spin();
#endif
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif /* MOBI_ATOMIC_H */
