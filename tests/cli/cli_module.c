/* SPDX-License-Identifier: Apache-2.0 */
/* A module for `mob run`. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_TASK(int64_t, module_sum, mob_i64s, xs)
{
	int64_t sum = 0;

	for (size_t i = 0; i < xs.n; i++) {
		sum += xs.at[i];
	}
	return sum;
}

MOB_TASK(mob_bytes, module_upper, mob_bytes, in)
{
	const char *from = in.at;
	char *to = mob_new(in.n);

	for (size_t i = 0; to && i < in.n; i++) {
		to[i] = (char)(from[i] >= 'a' && from[i] <= 'z' ?
				       from[i] - 'a' + 'A' :
				       from[i]);
	}
	return mob_bytes_of(to, to ? in.n : 0);
}

MOB_TASK(mob_str, module_greet, mob_str, name, double, x, bool, yes)
{
	static char text[128];

	(void)snprintf(text, sizeof(text), "%s %g %s", name, x,
		       yes ? "true" : "false");
	return text;
}

MOB_TASK(int32_t, module_fails, int32_t, x)
{
	if (x == 7) {
		mob_fail(7, "seven is not allowed");
	}
	return x;
}

/* Not to its end, if that is 3. */
MOB_TASK_STREAM(int64_t, module_count, int32_t, n)
{
	for (int32_t i = 0; i < n; i++) {
		(void)mob_yield(i);
	}
	if (n == 3) {
		mob_fail(3, "three is the end");
	}
}
