/* SPDX-License-Identifier: Apache-2.0 */
/* A struct of another type is given. */
/* expect: incompatible type */
#include <mobula/mobula.h>

struct point {
	double x, y;
};
struct size {
	double x, y;
};
MOB_STRUCT(point);
MOB_STRUCT(size);

MOB_TASK(double, get_x, point, p)
{
	return p.x;
}

void check(void);
void check(void)
{
#ifdef WRONG
	mob_submit(get_x, (size){ 0 });
#else
	mob_submit(get_x, (point){ 0 });
#endif
}
