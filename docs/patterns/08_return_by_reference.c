/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: returning refs from a task. See 08_return_by_reference.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define N 1000000
#define ROUNDS 10

MOB_TASK(mob_f64s, load_part, int, part)
{
	double *out = mob_new_of(mob_f64s, N);

	for (size_t i = 0; out && i < N; i++) {
		out[i] = part;
	}
	return mob_f64s_of(out, N);
}

MOB_TASK(double, sum, mob_f64s, part)
{
	double total = 0;

	for (size_t i = 0; i < part.n; i++) {
		total += part.at[i];
	}
	return total;
}

/* antipattern: waits for the part, and copies it into its own result */
MOB_TASK(mob_f64s, load_and_get, int, part)
{
	mob_f64s values;

	mob_get(mob_submit(load_part, part), &values);
	return values;
}

/* better: returns at once what will be the part */
MOB_TASK(mob_ref, load_by_reference, int, part)
{
	return mob_submit(load_part, part);
}

MOB_MAIN(void)
{
	double waited, passed, before, after, start;
	mob_ref part;

	if (mob_init(NULL)) {
		return 1;
	}
	start = seconds();
	for (int i = 0; i < ROUNDS; i++) {
		MOB_SCOPE
		{
			part = mob_submit(load_and_get, 3);
			mob_get(mob_submit(sum, part), &waited);
		}
	}
	before = seconds() - start;

	start = seconds();
	for (int i = 0; i < ROUNDS; i++) {
		MOB_SCOPE
		{
			mob_get(mob_submit(load_by_reference, 3), &part);
			mob_get(mob_submit(sum, part), &passed);
		}
	}
	after = seconds() - start;

	printf("sums %.0f %.0f; with the value it takes %.1f times as long\n",
	       waited, passed, before / after);
	return waited < 3 * N || passed < 3 * N;
}
