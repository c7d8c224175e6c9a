/* SPDX-License-Identifier: Apache-2.0 */
/* A task that is none of a stream yields. */
/* expect: mobi_yields */
#include <mobula/mobula.h>

#ifdef WRONG
MOB_TASK(int64_t, numbers, int64_t, n)
#else
MOB_TASK_STREAM(int64_t, numbers, int64_t, n)
#endif
{
	mob_yield(n);
#ifdef WRONG
	return 0;
#endif
}
