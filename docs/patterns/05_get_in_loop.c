/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: calling get in a loop. See 05_get_in_loop.md. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_TASK(int64_t, f, int64_t, i)
{
	return i;
}

MOB_MAIN(void)
{
	int64_t one_by_one[100], together[100];
	mob_ref refs[100];
	int wrong = 0;

	if (mob_init(NULL)) {
		return 1;
	}

	/* antipattern: no parallelism because of the get inside the loop */
	for (int i = 0; i < 100; i++) {
		mob_get(mob_submit(f, i), &one_by_one[i]);
	}

	/* better: parallelism because all tasks are submitted first */
	for (int i = 0; i < 100; i++) {
		refs[i] = mob_submit(f, i);
	}
	mob_get_all(refs, 100, together);

	for (int i = 0; i < 100; i++) {
		wrong += one_by_one[i] != i || together[i] != i;
	}
	printf("100 results, %d wrong\n", wrong);
	return wrong != 0;
}
