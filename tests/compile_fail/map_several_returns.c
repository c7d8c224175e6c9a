/* SPDX-License-Identifier: Apache-2.0 */
/* A map is given a function with two returns. */
/* expect: several returns */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

MOB_TASK_N(both, (int64_t, x, int64_t, y), int64_t, z)
{
	*x = *y = z;
}

void check(struct mob_map *m);
void check(struct mob_map *m)
{
#ifdef WRONG
	mob_map_add(m, both, 1);
#else
	mob_map_add(m, twice, 1);
#endif
}
