/* SPDX-License-Identifier: Apache-2.0 */
/* A list of arguments as a result. */
/* expect: mobi_ret_mob_args */
#include <mobula/mobula.h>

#ifdef WRONG
MOB_TASK(mob_args, pass, mob_args, v)
{
	return v;
}
#else
MOB_TASK(mob_refs, pass, mob_refs, v)
{
	return v;
}
#endif
