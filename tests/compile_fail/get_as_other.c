/* SPDX-License-Identifier: Apache-2.0 */
/* A value is read into a variable of another type. */
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
	double p;

	mob_get_as(point, mob_put(1), &p);
#else
	point p;

	mob_get_as(point, mob_put(1), &p);
#endif
}
