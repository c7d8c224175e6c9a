/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: a get in a task that needs no value. See 13_get_in_task.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define N 1000

MOB_TASK(int64_t, load, int64_t, i)
{
	return i;
}

MOB_TASK(int64_t, add_one, int64_t, x)
{
	return x + 1;
}

/* antipattern: holds a worker while it waits for each step */
MOB_TASK(int64_t, steps_got, int64_t, i)
{
	int64_t x;

	mob_get(mob_submit(load, i), &x);
	mob_get(mob_submit(add_one, x), &x);
	return x;
}

/* better: the steps know each other; nobody waits */
MOB_TASK(mob_ref, steps_passed, int64_t, i)
{
	return mob_submit(add_one, mob_submit(load, i));
}

MOB_MAIN(void)
{
	mob_ref refs[N], last[N];
	int64_t got[N], passed[N];
	double before, after, start;
	int wrong = 0;

	if (mob_init(NULL)) {
		return 1;
	}
	start = seconds();
	for (int i = 0; i < N; i++) {
		refs[i] = mob_submit(steps_got, i);
	}
	mob_get_all(refs, N, got);
	before = seconds() - start;

	start = seconds();
	for (int i = 0; i < N; i++) {
		refs[i] = mob_submit(steps_passed, i);
	}
	mob_get_all(refs, N, last);
	mob_get_all(last, N, passed);
	after = seconds() - start;

	for (int i = 0; i < N; i++) {
		wrong += got[i] != i + 1 || passed[i] != i + 1;
	}
	printf("%d results, %d wrong; with gets in tasks it takes %.1f times "
	       "as long\n",
	       2 * N, wrong, before / after);
	return wrong != 0;
}
