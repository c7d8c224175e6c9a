/* SPDX-License-Identifier: Apache-2.0 */
/* A map is given a call with an argument of another type. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

void check(struct mob_map *m);
void check(struct mob_map *m)
{
#ifdef WRONG
	mob_map_add(m, twice, "3");
#else
	mob_map_add(m, twice, 3);
#endif
}
