/* SPDX-License-Identifier: Apache-2.0 */
/* A parameter of a type that was not declared. */
/* expect: mobi_type_points */
#include <mobula/mobula.h>

struct points {
	const double *at;
	size_t n;
};

#ifdef WRONG
typedef struct points points;
MOB_TASK(size_t, count, points, v)
{
	return v.n;
}
#else
MOB_TASK(size_t, count, mob_f64s, v)
{
	return v.n;
}
#endif
