/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: a large object in every call. See 09_closure_capture.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#define N 1000000
#define CALLS 10

MOB_TASK(int64_t, count_at, mob_i64s, big, int64_t, i)
{
	return big.at[i] + (int64_t)big.n;
}

MOB_MAIN(void)
{
	static int64_t big_object[N];
	int64_t copied[CALLS], shared[CALLS];
	mob_ref refs[CALLS], big;
	int wrong = 0;

	if (mob_init(NULL)) {
		return 1;
	}
	for (int64_t i = 0; i < N; i++) {
		big_object[i] = i;
	}

	/* antipattern: each call has its own copy of the object */
	for (int i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(count_at, mob_i64s_of(big_object, N), i);
	}
	mob_get_all(refs, CALLS, copied);

	/* better: it is put once, and calls have its ref */
	big = mob_put(mob_i64s_of(big_object, N));
	for (int i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(count_at, big, i);
	}
	mob_get_all(refs, CALLS, shared);

	for (int i = 0; i < CALLS; i++) {
		wrong += copied[i] != i + N || shared[i] != i + N;
	}
	printf("%d calls, %d wrong\n", 2 * CALLS, wrong);
	return wrong != 0;
}
