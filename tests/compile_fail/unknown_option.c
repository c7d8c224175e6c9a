/* SPDX-License-Identifier: Apache-2.0 */
/* An option that is not there. */
/* expect: no member named */
#include <mobula/mobula.h>

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit_with(MOB_OPTS(.tries = 0), twice, 1);
#else
	mob_submit_with(MOB_OPTS(.retries = 0), twice, 1);
#endif
}
