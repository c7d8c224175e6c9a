/* SPDX-License-Identifier: Apache-2.0 */
/* A view is read of a ref that is released. */
/* expect: not compatible with any */
#include <mobula/mobula.h>

void check(void);
void check(void)
{
#ifdef WRONG
	mob_bytes b;

	mob_take(mob_put_bytes("x", 1), &b);
#else
	mob_bytes b;

	mob_get(mob_put_bytes("x", 1), &b);
#endif
}
