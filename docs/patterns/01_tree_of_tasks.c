/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: tree of tasks. See 01_tree_of_tasks.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seconds.h"

static int compare(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

/* Copies v without its last element, the pivot, to part: first what is not
 * above the pivot. Returns how much that is. */
static size_t partition(mob_i32s v, int32_t *part)
{
	int32_t pivot = v.at[v.n - 1];
	size_t lesser = 0, greater = v.n - 1;

	for (size_t i = 0; i < v.n - 1; i++) {
		size_t above = v.at[i] > pivot;

		greater -= above;
		part[above ? greater : lesser] = v.at[i];
		lesser += 1 - above;
	}
	return lesser;
}

MOB_TASK(mob_i32s, quick_sort_distributed, mob_i32s, v)
{
	int32_t *out, *part;
	mob_i32s a, b;

	if (v.n <= 200000) { /* tiny tasks are an antipattern */
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
	size_t n = partition(v, part);
	mob_ref parts = mob_seal(mob_i32s_of(part, v.n - 1));
	mob_ref lesser = mob_submit(quick_sort_distributed,
				    mob_slice(parts, 0, n));
	mob_ref greater = mob_submit(quick_sort_distributed,
				     mob_slice(parts, n, v.n - 1 - n));
	mob_get(lesser, &a);
	mob_get(greater, &b);
	mob_release(parts); /* its space is used again for out */
	out = mob_new_of(mob_i32s, a.n + 1 + b.n);
	if (out) {
		memcpy(out, a.at, a.n * sizeof(*out));
		out[a.n] = v.at[v.n - 1];
		memcpy(out + a.n + 1, b.at, b.n * sizeof(*out));
	}
	return mob_i32s_of(out, a.n + 1 + b.n);
}

MOB_MAIN(void)
{
	static int32_t unsorted[4000000];
	const size_t n = sizeof(unsorted) / sizeof(*unsorted);
	double before, after, start;
	mob_i32s sorted;

	if (mob_init(NULL)) {
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		unsorted[i] = rand() % 1000000;
	}
	start = seconds();
	mob_ref in = mob_put(mob_i32s_of(unsorted, n));
	if (mob_get(mob_submit(quick_sort_distributed, in), &sorted)) {
		return 1;
	}
	after = seconds() - start;

	start = seconds();
	qsort(unsorted, n, sizeof(*unsorted), compare);
	before = seconds() - start;
	if (sorted.n != n ||
	    memcmp(sorted.at, unsorted, sizeof(unsorted)) != 0) {
		return 1;
	}
	printf("%zu numbers, sorted; one process takes %.1f times as long\n",
	       sorted.n, before / after);
	return 0;
}
