/* SPDX-License-Identifier: Apache-2.0 */
/* A task with several returns is submitted as one with one. */
/* expect: mob_submit_n */
#include <mobula/mobula.h>

MOB_TASK_N(divide, (int, quotient, int, remainder), int, a, int, b)
{
	*quotient = a / b;
	*remainder = a % b;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(divide, 7, 2);
#else
	struct mob_ref refs[2];

	mob_submit_n(refs, 2, divide, 7, 2);
#endif
}
