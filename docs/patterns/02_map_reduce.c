/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: map and reduce. See 02_map_reduce.md. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_FUNCTION_TYPE(map_function, int64_t, int64_t);

MOB_TASK(int64_t, times_two, int64_t, i)
{
	return i * 2;
}

MOB_TASK(int64_t, map, int64_t, obj, map_function, f)
{
	return f(obj);
}

MOB_TASK(int64_t, sum_results, mob_args, elements)
{
	int64_t sum = 0, x;

	for (size_t i = 0; i < elements.n; i++) {
		mob_args_get(elements, i, &x);
		sum += x;
	}
	return sum;
}

MOB_TASK(int64_t, add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_MAIN(void)
{
	mob_ref element[100], partial[5];
	int64_t number[100], simple, tree, folded;
	struct mob_map *m;

	if (mob_init(NULL) || mob_map_open(NULL, &m)) {
		return 1;
	}
	for (int i = 0; i < 100; i++) {
		number[i] = i;
		element[i] = mob_submit(map, i, times_two);
	}

	/* simple reduce */
	mob_get(mob_submit(sum_results, mob_args_of(element, 100)), &simple);

	/* tree reduce */
	for (size_t i = 0; i < 5; i++) {
		partial[i] = mob_submit(sum_results,
					mob_args_of(element + i * 20, 20));
	}
	mob_get(mob_submit(sum_results, mob_args_of(partial, 5)), &tree);

	/* all of it: grain, window and tree are the map's */
	mob_map_fold(m, add);
	mob_map_over(m, times_two, 100, number);
	if (mob_map_next(m, &folded) < 0) {
		return 1;
	}
	mob_map_close(m);

	printf("simple %d, tree %d, folded %d\n", (int)simple, (int)tree,
	       (int)folded);
	return simple != 9900 || tree != 9900 || folded != 9900;
}
