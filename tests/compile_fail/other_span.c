/* SPDX-License-Identifier: Apache-2.0 */
/* A span of another element type is given. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_TASK(size_t, count, mob_i32s, v)
{
	return v.n;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(count, mob_f32s_of(NULL, 0));
#else
	mob_submit(count, mob_i32s_of(NULL, 0));
#endif
}
