/* SPDX-License-Identifier: Apache-2.0 */
/* A value is given for a plain ref. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_TASK(mob_ref, pass, mob_ref, r)
{
	return r;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(pass, 1);
#else
	mob_submit(pass, mob_put(1));
#endif
}
