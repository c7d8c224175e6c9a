/* SPDX-License-Identifier: Apache-2.0 */
/* A function of another type is given. */
/* expect: incompatible type */
#include <mobula/mobula.h>

MOB_FUNCTION_TYPE(unary, int64_t, int64_t);

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

MOB_TASK(int64_t, half, int32_t, x)
{
	return x / 2;
}

MOB_TASK(int64_t, map, int64_t, x, unary, f)
{
	return f(x);
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(map, 1, half);
#else
	mob_submit(map, 1, twice);
#endif
}
