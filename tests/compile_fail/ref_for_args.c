/* SPDX-License-Identifier: Apache-2.0 */
/* One ref is given for a list of arguments. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_TASK(size_t, count, mob_args, v)
{
	return v.n;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(count, mob_put(1));
#else
	mob_submit(count, mob_args_of(NULL, 0));
#endif
}
