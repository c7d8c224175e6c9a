/* SPDX-License-Identifier: Apache-2.0 */
/* A fold is given a function of one parameter. */
/* expect: an operator has two parameters */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

MOB_TASK(int64_t, add, int64_t, a, int64_t, b)
{
	return a + b;
}

void check(struct mob_map *m);
void check(struct mob_map *m)
{
#ifdef WRONG
	mob_map_fold(m, twice);
#else
	mob_map_fold(m, add);
#endif
}
