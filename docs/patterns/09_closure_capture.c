/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: a large object in every call. See 09_closure_capture.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define N 1000000
#define CALLS 10

MOB_TASK(int64_t, count_at, mob_i64s, big, int64_t, i)
{
	return big.at[i] + (int64_t)big.n;
}

/* What makes the object, for a task that makes its own. */
MOB_FUNCTION_TYPE(creator, mob_i64s, int64_t);

MOB_TASK(mob_i64s, numbers, int64_t, n)
{
	int64_t *out = mob_new_of(mob_i64s, (size_t)n);

	for (int64_t i = 0; out && i < n; i++) {
		out[i] = i;
	}
	return mob_i64s_of(out, (size_t)n);
}

MOB_TASK(int64_t, count_at_made, creator, make, int64_t, i)
{
	return count_at(make(N), i);
}

MOB_MAIN(void)
{
	static int64_t big_object[N];
	int64_t copied[CALLS], shared[CALLS], made[CALLS];
	double before, after, start;
	mob_ref refs[CALLS], big;
	int wrong = 0;

	if (mob_init(NULL)) {
		return 1;
	}
	for (int64_t i = 0; i < N; i++) {
		big_object[i] = i;
	}

	/* antipattern: each call compares the object with the last one */
	start = seconds();
	for (int i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(count_at, mob_i64s_of(big_object, N), i);
	}
	mob_get_all(refs, CALLS, copied);
	before = seconds() - start;

	/* better: it is put once, and calls have its ref */
	start = seconds();
	big = mob_put(mob_i64s_of(big_object, N));
	for (int i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(count_at, big, i);
	}
	mob_get_all(refs, CALLS, shared);
	after = seconds() - start;

	/* better, if it is easily made: calls have what makes it */
	for (int i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(count_at_made, numbers, i);
	}
	mob_get_all(refs, CALLS, made);

	for (int i = 0; i < CALLS; i++) {
		wrong += copied[i] != i + N || shared[i] != i + N ||
			 made[i] != i + N;
	}
	printf("%d calls, %d wrong; by value takes %.1f times as long\n",
	       3 * CALLS, wrong, before / after);
	return wrong != 0;
}
