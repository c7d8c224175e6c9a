/* SPDX-License-Identifier: Apache-2.0 */
/* An item is read into a variable of another type. */
/* expect: not compatible with any */
#include <mobula/mobula.h>

struct point {
	double x, y;
};
MOB_STRUCT(point);

int check(mob_ref stream);
int check(mob_ref stream)
{
#ifdef WRONG
	double p;
#else
	point p;
#endif
	return mob_next_as(point, stream, &p);
}
