/* SPDX-License-Identifier: Apache-2.0 */
/* A task yields a value of another type than its stream has. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_TASK_STREAM(mob_str, words, int64_t, n)
{
#ifdef WRONG
	mob_yield(mob_i64s_of(&n, 1));
#else
	(void)n;
	mob_yield("a");
#endif
}
