/* SPDX-License-Identifier: Apache-2.0 */
/* A map is given too few arrays. */
/* expect: wrong number of arguments */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x, int64_t, y)
{
	return x * y;
}

void check(struct mob_map *m);
void check(struct mob_map *m)
{
	static const int64_t x[2] = { 1, 2 };

#ifdef WRONG
	mob_map_over(m, twice, 2, x);
#else
	mob_map_over(m, twice, 2, x, x);
#endif
}
