/* SPDX-License-Identifier: Apache-2.0 */
/* A result of a type that was not declared. */
/* expect: mobi_ret_short */
#include <mobula/mobula.h>

#ifdef WRONG
MOB_TASK(short, one, void)
{
	return 1;
}
#else
MOB_TASK(int, one, void)
{
	return 1;
}
#endif
