/* SPDX-License-Identifier: Apache-2.0 */
/* A value is read into a variable of an unknown type. */
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
	point p;

	mob_get(mob_put(1), &p);
#else
	point p;

	mob_get_as(point, mob_put(1), &p);
#endif
}
