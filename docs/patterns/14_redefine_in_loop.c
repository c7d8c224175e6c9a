/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: defining a task in a loop. See 14_redefine_in_loop.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define ROUNDS 10000

/* better: one definition, and what differs is an argument */
MOB_TASK(int64_t, power, int64_t, i, int64_t, j)
{
	int64_t out = 1;

	for (int64_t k = 0; k < j; k++) {
		out *= i;
	}
	return out;
}

/* antipattern, as near as C comes to it: a definition for each i */
#define DEFINE(i)                                                              \
	MOB_TASK(int64_t, raise##i, int64_t, j)                                \
	{                                                                      \
		return power(i, j);                                            \
	}
DEFINE(1)
DEFINE(2)
DEFINE(3)
DEFINE(4)
DEFINE(5)

MOB_MAIN(void)
{
	static int64_t many[5 * ROUNDS], one[5 * ROUNDS];
	static mob_ref refs[5 * ROUNDS];
	double before, after, start;
	int wrong = 0;

	if (mob_init(NULL)) {
		return 1;
	}
	start = seconds();
	for (int k = 0; k < 5 * ROUNDS; k += 5) {
		refs[k] = mob_submit(raise1, k % 10);
		refs[k + 1] = mob_submit(raise2, (k + 1) % 10);
		refs[k + 2] = mob_submit(raise3, (k + 2) % 10);
		refs[k + 3] = mob_submit(raise4, (k + 3) % 10);
		refs[k + 4] = mob_submit(raise5, (k + 4) % 10);
	}
	mob_get_all(refs, 5 * ROUNDS, many);
	before = seconds() - start;

	start = seconds();
	for (int k = 0; k < 5 * ROUNDS; k++) {
		refs[k] = mob_submit(power, k % 5 + 1, k % 10);
	}
	mob_get_all(refs, 5 * ROUNDS, one);
	after = seconds() - start;

	for (int k = 0; k < 5 * ROUNDS; k++) {
		wrong += many[k] != power(k % 5 + 1, k % 10) ||
			 one[k] != many[k];
	}
	printf("%d results, %d wrong; five definitions take %.1f times as "
	       "long as one\n",
	       10 * ROUNDS, wrong, before / after);
	return wrong != 0;
}
