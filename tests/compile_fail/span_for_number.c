/* SPDX-License-Identifier: Apache-2.0 */
/* A span is given for a number. */
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
	mob_submit(twice, mob_i64s_of(NULL, 0));
#else
	mob_submit(twice, 1);
#endif
}
