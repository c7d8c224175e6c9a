/* SPDX-License-Identifier: Apache-2.0 */
/* An error goes through tasks, and is told to who asks for the result. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_TASK(double, divide, double, a, double, b)
{
	if (b == 0) {
		mob_fail(1, "cannot divide %g by zero", a);
		return 0;
	}
	return a / b;
}

MOB_TASK(double, twice, double, x)
{
	return 2 * x;
}

MOB_MAIN(void)
{
	double y;

	if (mob_init(NULL)) {
		return 1;
	}
	if (mob_get(mob_submit(twice, mob_submit(divide, 1.0, 0.0)), &y)) {
		printf("%s\n", mob_error());
		mob_error_clear();
	}
	mob_get(mob_submit(twice, mob_submit(divide, 1.0, 4.0)), &y);
	printf("%g\n", y);
	return y != 0.5;
}
