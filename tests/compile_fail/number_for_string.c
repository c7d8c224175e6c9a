/* SPDX-License-Identifier: Apache-2.0 */
/* A number is given for a string. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_TASK(mob_str, echo, mob_str, s)
{
	return s;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(echo, 0);
#else
	mob_submit(echo, "0");
#endif
}
