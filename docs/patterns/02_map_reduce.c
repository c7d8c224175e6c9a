/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: map and reduce. See 02_map_reduce.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

MOB_FUNCTION_TYPE(map_function, int64_t, int64_t);

/* How many primes there are from 3000 i on, among 3000 numbers. */
MOB_TASK(int64_t, primes, int64_t, i)
{
	int64_t n = 0;

	for (int64_t x = 3000 * i; x < 3000 * i + 3000; x++) {
		int64_t d = 2;

		while (d * d <= x && x % d) {
			d++;
		}
		n += x > 1 && d * d > x;
	}
	return n;
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
	int64_t number[100], simple, tree, folded, plain = 0;
	double before, after, start;
	struct mob_map *m;

	if (mob_init(NULL) || mob_map_open(NULL, &m)) {
		return 1;
	}
	/* before: one process */
	start = seconds();
	for (int i = 0; i < 100; i++) {
		plain += primes(i);
	}
	before = seconds() - start;

	/* map */
	start = seconds();
	for (int i = 0; i < 100; i++) {
		number[i] = i;
		element[i] = mob_submit(map, i, primes);
	}

	/* simple reduce */
	mob_get(mob_submit(sum_results, mob_args_of(element, 100)), &simple);

	/* tree reduce */
	for (size_t i = 0; i < 5; i++) {
		partial[i] = mob_submit(sum_results,
					mob_args_of(element + i * 20, 20));
	}
	mob_get(mob_submit(sum_results, mob_args_of(partial, 5)), &tree);
	after = seconds() - start;

	/* all of it: grain, window and tree are the map's */
	mob_map_fold(m, add);
	mob_map_over(m, primes, 100, number);
	if (mob_map_next(m, &folded) < 0) {
		return 1;
	}
	mob_map_close(m);

	printf("simple %d, tree %d, folded %d; one process takes %.1f times "
	       "as long\n",
	       (int)simple, (int)tree, (int)folded, before / after);
	return plain != 25997 || simple != plain || tree != plain ||
	       folded != plain;
}
