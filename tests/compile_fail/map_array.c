/* SPDX-License-Identifier: Apache-2.0 */
/* A map is given an array of another type than its function takes. */
/* expect: another type than the parameter */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

void check(struct mob_map *m);
void check(struct mob_map *m)
{
	static const int64_t right[2] = { 1, 2 };
	static const float wrong[2] = { 1, 2 };

	(void)right;
	(void)wrong;
#ifdef WRONG
	mob_map_over(m, twice, 2, wrong);
#else
	mob_map_over(m, twice, 2, right);
#endif
}
