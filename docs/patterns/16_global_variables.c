/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: global variables in tasks. See 16_global_variables.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#define CALLS 100

static int64_t global_v = 3;

/* antipattern: reads what its own process has in the variable */
MOB_TASK(int64_t, add_global, int64_t, x)
{
	return global_v + x;
}

/* antipattern: changes the variable of its own process alone */
MOB_TASK(void, set_global, int64_t, v)
{
	global_v = v;
}

/* better: what it needs is an argument, what it changes its result */
MOB_TASK(int64_t, add, int64_t, v, int64_t, x)
{
	return v + x;
}

MOB_MAIN(void)
{
	int before = 0, after = 0;
	int64_t out;

	if (mob_init(NULL)) {
		return 1;
	}
	global_v = 4; /* no worker sees this */
	for (int i = 0; i < CALLS; i++) {
		mob_take(mob_submit(add_global, i), &out);
		before += out != 4 + i;
	}
	mob_join(mob_submit(set_global, 5)); /* and this is not seen here */
	before += global_v != 5;

	mob_ref v = mob_put(global_v);
	for (int i = 0; i < CALLS; i++) {
		mob_take(mob_submit(add, v, i), &out);
		after += out != 4 + i;
	}
	v = mob_submit(add, v, 1); /* its next value is another object */
	mob_get(v, &out);
	after += out != 5;

	printf("of %d uses %d are wrong with a global variable, %d with an "
	       "argument\n",
	       CALLS + 1, before, after);
	return before != CALLS + 1 || after != 0;
}
