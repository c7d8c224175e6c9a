/* SPDX-License-Identifier: Apache-2.0 */
/* A value of an unknown type is put. */
/* expect: not compatible with any */
#include <mobula/mobula.h>

struct point {
	double x, y;
};
MOB_STRUCT(point);

void check(void);
void check(void)
{
#ifdef WRONG
	point p = { 1, 2 };

	mob_put(p);
#else
	point p = { 1, 2 };

	mob_put_as(point, p);
#endif
}
