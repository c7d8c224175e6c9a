/* SPDX-License-Identifier: Apache-2.0 */
/* A part of a span is given for a number. */
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
	mob_submit(twice, mob_slice(mob_submit(twice, 1), 0, 1));
#else
	mob_submit(twice, mob_submit(twice, 1));
#endif
}
