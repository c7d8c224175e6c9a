/* SPDX-License-Identifier: Apache-2.0 */
/* The first program: two tasks, and a third that takes their results. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_TASK(int64_t, square, int64_t, x)
{
	return x * x;
}

MOB_TASK(int64_t, add, int64_t, a, int64_t, b)
{
	return a + b;
}

MOB_MAIN(void)
{
	int64_t sum;

	if (mob_init(NULL)) {
		return 1;
	}
	mob_ref a = mob_submit(square, 3); /* runs in another process */
	mob_ref b = mob_submit(square, 4);
	mob_ref c = mob_submit(add, a, b); /* starts when both are there */

	if (mob_get(c, &sum)) {
		return 1;
	}
	printf("3 * 3 + 4 * 4 = %d\n", (int)sum);
	return 0;
}
