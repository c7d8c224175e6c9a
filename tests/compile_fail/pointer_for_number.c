/* SPDX-License-Identifier: Apache-2.0 */
/* A pointer is given for a number. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

void check(void);
void check(void)
{
#ifdef WRONG
	int64_t x = 1;

	mob_submit(twice, &x);
#else
	int64_t x = 1;

	mob_submit(twice, x);
#endif
}
