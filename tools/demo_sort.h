/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's quicksort: one algorithm, as a tree of tasks and in place. */
#ifndef DEMO_SORT_H
#define DEMO_SORT_H

#include <mobula/mobula.h>

/* Spans of at most this are sorted by one task. */
#define SORT_LEAF 200000u

/* Partitions by the last element, in place, down to leaves. */
void demo_sort_sequential(int32_t *at, size_t n);
/* Submits the root; *at is copied into the store first. */
struct mob_ref demo_sort_submit(const int32_t *at, size_t n);

#endif /* DEMO_SORT_H */
