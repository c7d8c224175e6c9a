/* SPDX-License-Identifier: Apache-2.0 */
/* A task is given too few arguments. */
/* expect: wrong number of arguments */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(twice);
#else
	mob_submit(twice, 1);
#endif
}
