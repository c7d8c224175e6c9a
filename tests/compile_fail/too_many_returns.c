/* SPDX-License-Identifier: Apache-2.0 */
/* A task has more returns than there may be. */
/* expect: too many returns */
#include <mobula/mobula.h>

#ifdef WRONG
MOB_TASK_N(f, (int, a, int, b, int, c, int, d, int, e), void)
{
	*a = *b = *c = *d = *e = 1;
}
#else
MOB_TASK_N(f, (int, a, int, b, int, c, int, d), void)
{
	*a = *b = *c = *d = 1;
}
#endif
