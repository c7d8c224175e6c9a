/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: too fine-grained tasks. See 04_fine_grained.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define N 10000
#define BATCH_SIZE 100

MOB_TASK(int64_t, times_two, int64_t, number)
{
	return number * 2;
}

MOB_TASK(mob_i64s, times_two_list, mob_i64s, numbers)
{
	int64_t *out = mob_new_of(mob_i64s, numbers.n);

	for (size_t i = 0; out && i < numbers.n; i++) {
		out[i] = numbers.at[i] * 2;
	}
	return mob_i64s_of(out, numbers.n);
}

MOB_MAIN(void)
{
	int64_t numbers[N], doubled[N], mapped[N];
	mob_i64s lists[N / BATCH_SIZE];
	mob_ref refs[N / BATCH_SIZE];
	double before, after, start;
	int wrong = 0;

	if (mob_init(NULL)) {
		return 1;
	}
	for (int i = 0; i < N; i++) {
		numbers[i] = i;
	}

	/* antipattern: a task for each number, and wait for each */
	start = seconds();
	for (int i = 0; i < N; i++) {
		mob_take(mob_submit(times_two, numbers[i]), &doubled[i]);
	}
	before = seconds() - start;

	/* better: a task for each 100 */
	start = seconds();
	for (size_t i = 0; i < N / BATCH_SIZE; i++) {
		refs[i] = mob_submit(times_two_list,
				     mob_i64s_of(numbers + i * BATCH_SIZE,
						 BATCH_SIZE));
	}
	mob_get_all(refs, N / BATCH_SIZE, lists);
	after = seconds() - start;

	/* best: as many at a time as is worth it */
	mob_map_all(times_two, N, mapped, numbers);

	for (size_t i = 0; i < N; i++) {
		int64_t batched = lists[i / BATCH_SIZE].at[i % BATCH_SIZE];

		wrong += doubled[i] != 2 * numbers[i] ||
			 batched != doubled[i] || mapped[i] != doubled[i];
	}
	printf("%d numbers, %d wrong; a task for each takes %.1f times as "
	       "long\n",
	       N, wrong, before / after);
	return wrong != 0;
}
