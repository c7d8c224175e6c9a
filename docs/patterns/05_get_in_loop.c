/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: calling get in a loop. See 05_get_in_loop.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <threads.h>

#include "seconds.h"

MOB_TASK(int64_t, f, int64_t, i)
{
	thrd_sleep(&(struct timespec){ .tv_nsec = MOB_MS }, NULL);
	return i;
}

MOB_MAIN(void)
{
	int64_t one_by_one[100], together[100];
	mob_ref refs[100];
	double before, after, start;
	int wrong = 0;

	if (mob_init(NULL)) {
		return 1;
	}

	/* antipattern: no parallelism because of the get inside the loop */
	start = seconds();
	for (int i = 0; i < 100; i++) {
		mob_get(mob_submit(f, i), &one_by_one[i]);
	}
	before = seconds() - start;

	/* better: parallelism because all tasks are submitted first */
	start = seconds();
	for (int i = 0; i < 100; i++) {
		refs[i] = mob_submit(f, i);
	}
	mob_get_all(refs, 100, together);
	after = seconds() - start;

	for (int i = 0; i < 100; i++) {
		wrong += one_by_one[i] != i || together[i] != i;
	}
	printf("100 results, %d wrong; one by one takes %.1f times as long\n",
	       wrong, before / after);
	return wrong != 0;
}
