/* SPDX-License-Identifier: Apache-2.0 */
/* A task is defined in a function. */
/* expect: invalid storage class for function|function definition is not allowed here */
#include <mobula/mobula.h>

MOB_TASK(int64_t, f, int64_t, x)
{
	return x;
}

MOB_MAIN(void)
{
#ifdef WRONG
	for (int64_t i = 0; i < 10; i++) {
		MOB_TASK(int64_t, g, int64_t, x)
		{
			return x * i;
		}
		mob_submit(g, i);
	}
#else
	for (int64_t i = 0; i < 10; i++) {
		mob_submit(f, i);
	}
#endif
	return 0;
}
