/* SPDX-License-Identifier: Apache-2.0 */
/* Large values: made in place, read in place. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_TASK(mob_f64s, ramp, size_t, n)
{
	double *out = mob_new_of(mob_f64s, n); /* space in shared memory */

	for (size_t i = 0; out && i < n; i++) {
		out[i] = (double)i;
	}
	return mob_f64s_of(out, n); /* becomes the object: no copy */
}

MOB_TASK(double, mean, mob_f64s, v)
{
	double sum = 0;

	for (size_t i = 0; i < v.n; i++) { /* the object's own bytes */
		sum += v.at[i];
	}
	return v.n ? sum / (double)v.n : 0;
}

MOB_MAIN(void)
{
	double m;

	if (mob_init(NULL)) {
		return 1;
	}
	mob_get(mob_submit(mean, mob_submit(ramp, 1000001)), &m);
	printf("mean %g\n", m);
	return m != 500000;
}
