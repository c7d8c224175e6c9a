/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demo's quicksort (docs/patterns/01_tree_of_tasks.md explains it): the
 * seed's tree of tasks, and the same algorithm in place.
 */
#include "demo_sort.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a;
	int32_t y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

/* ---- in place ---- */

/* As deep as the tree of tasks is.
 * NOLINTNEXTLINE(misc-no-recursion): the algorithm that is compared with */
void demo_sort_sequential(int32_t *at, size_t n)
{
	while (n > SORT_LEAF) {
		int32_t pivot = at[n - 1];
		size_t lesser = 0;

		for (size_t i = 0; i < n - 1; i++) {
			int32_t x = at[i];

			at[i] = at[lesser];
			at[lesser] = x;
			lesser += x <= pivot;
		}
		at[n - 1] = at[lesser];
		at[lesser] = pivot;
		demo_sort_sequential(at, lesser);
		at += lesser + 1;
		n -= lesser + 1;
	}
	qsort(at, n, sizeof(*at), compare);
}

/* ---- as a tree of tasks ---- */

/* Writes v without its last element, the pivot, to part: what is not above it
 * from the left, the rest from the right. Returns how many are on the left. */
static size_t partition(mob_i32s v, int32_t *part)
{
	int32_t pivot = v.at[v.n - 1];
	size_t lesser = 0;
	size_t greater = v.n - 1;

	for (size_t i = 0; i < v.n - 1; i++) {
		size_t above = v.at[i] > pivot;

		greater -= above;
		part[above ? greater : lesser] = v.at[i];
		lesser += 1 - above;
	}
	return lesser;
}

MOB_TASK(mob_i32s, quick_sort, mob_i32s, v)
{
	int32_t *out;
	int32_t *part;
	mob_i32s a;
	mob_i32s b;
	mob_ref parts;
	mob_ref lesser;
	mob_ref greater;
	size_t n;

	if (v.n <= SORT_LEAF) {
		out = mob_new_of(mob_i32s, v.n);
		if (out) {
			memcpy(out, v.at, v.n * sizeof(*out));
			qsort(out, v.n, sizeof(*out), compare);
		}
		return mob_i32s_of(out, v.n);
	}
	part = mob_new_of(mob_i32s, v.n - 1);
	if (!part) {
		return v;
	}
	n = partition(v, part);
	parts = mob_seal(mob_i32s_of(part, v.n - 1));
	lesser = mob_submit(quick_sort, mob_slice(parts, 0, n));
	greater = mob_submit(quick_sort, mob_slice(parts, n, v.n - 1 - n));
	mob_get(lesser, &a);
	mob_get(greater, &b);
	mob_release(parts);
	out = mob_new_of(mob_i32s, a.n + 1 + b.n);
	if (out && a.n + 1 + b.n == v.n) {
		memcpy(out, a.at, a.n * sizeof(*out));
		out[a.n] = v.at[v.n - 1];
		memcpy(out + a.n + 1, b.at, b.n * sizeof(*out));
	}
	return mob_i32s_of(out, a.n + 1 + b.n);
}

struct mob_ref demo_sort_submit(const int32_t *at, size_t n)
{
	return mob_submit(quick_sort, mob_put(mob_i32s_of(at, n)));
}
