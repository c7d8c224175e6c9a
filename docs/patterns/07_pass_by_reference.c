/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: unnecessary get; passing by reference. See the .md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define N 1000000
#define ROUNDS 10

MOB_TASK(mob_f64s, generate_rollout, void)
{
	double *ones = mob_new_of(mob_f64s, N);

	for (size_t i = 0; ones && i < N; i++) {
		ones[i] = 1;
	}
	return mob_f64s_of(ones, N);
}

MOB_TASK(double, reduce, mob_f64s, rollout)
{
	double sum = 0;

	for (size_t i = 0; i < rollout.n; i++) {
		sum += rollout.at[i];
	}
	return sum;
}

/* A list of plain refs: of all rollouts, only the chosen one is waited for. */
MOB_TASK(double, reduce_one, mob_refs, rollouts, int, chosen)
{
	mob_f64s rollout;

	mob_get(rollouts.at[chosen], &rollout);
	return reduce(rollout);
}

MOB_MAIN(void)
{
	double copied, passed, one;
	mob_ref refs[2];
	double before, after, start;
	mob_f64s rollout;

	if (mob_init(NULL)) {
		return 1;
	}

	/* antipattern: the result comes here, and goes back as a copy */
	start = seconds();
	for (int i = 0; i < ROUNDS; i++) {
		MOB_SCOPE
		{
			mob_get(mob_submit(generate_rollout), &rollout);
			mob_get(mob_submit(reduce, rollout), &copied);
		}
	}
	before = seconds() - start;

	/* better: the rollout is passed by reference, it never comes here */
	start = seconds();
	for (int i = 0; i < ROUNDS; i++) {
		MOB_SCOPE
		{
			mob_ref made = mob_submit(generate_rollout);
			mob_get(mob_submit(reduce, made), &passed);
		}
	}
	after = seconds() - start;

	/* refs in a list stay refs */
	refs[0] = mob_submit(generate_rollout);
	refs[1] = mob_submit(generate_rollout);
	mob_get(mob_submit(reduce_one, mob_refs_of(refs, 2), 1), &one);

	printf("sums %.0f %.0f %.0f; with the copy it takes %.1f times as "
	       "long\n",
	       copied, passed, one, before / after);
	return copied < N || passed < N || one < N;
}
