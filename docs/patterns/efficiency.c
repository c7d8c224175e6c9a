/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of the processors' time is left for the work if tasks do little of it;
 * see 04_fine_grained.md. Prints a line for each length of a task: microseconds,
 * and percent of the time for a task each, and for calls of a map.
 */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define WORKERS 2
#define ROUNDS 3 /* the best counts: other work on the machine does not */
#define TASKS 20000
#define WORK_US 100000 /* of all tasks of one length, at most */

MOB_TASK(int64_t, spin, int64_t, ns)
{
	double end = seconds() + (double)ns * 1e-9;

	while (seconds() < end) {
	}
	return ns;
}

static double tasks(size_t n, const int64_t *ns, int64_t *out)
{
	static mob_ref refs[TASKS];
	double start = seconds();

	for (size_t i = 0; i < n; i++) {
		refs[i] = mob_submit(spin, ns[i]);
	}
	mob_get_all(refs, n, out);
	return seconds() - start;
}

static double calls(size_t n, const int64_t *ns, int64_t *out)
{
	double start = seconds();

	mob_map_all(spin, n, out, ns);
	return seconds() - start;
}

static double least(double a, double b)
{
	return a < b ? a : b;
}

MOB_MAIN(void)
{
	static const double length_us[] = { 1000, 300, 100, 30,  10,
					    3,    1,   0.5, 0.25 };
	const size_t lengths = sizeof(length_us) / sizeof(*length_us);
	static int64_t ns[TASKS], out[TASKS];
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;

	opts.workers = WORKERS;
	if (mob_init(&opts)) {
		return 1;
	}
	for (size_t k = 0; k < lengths; k++) {
		double us = length_us[k], part = 100 * us * 1e-6 / WORKERS;
		size_t n = (size_t)(WORK_US / us);
		double one = 1e9, mapped = 1e9;

		n = n > TASKS ? TASKS : n;
		for (size_t i = 0; i < n; i++) {
			ns[i] = (int64_t)(us * 1000);
		}
		for (int r = 0; r < ROUNDS; r++) {
			MOB_SCOPE
			{
				one = least(one, tasks(n, ns, out));
				mapped = least(mapped, calls(n, ns, out));
			}
		}
		for (size_t i = 0; i < n; i++) {
			if (out[i] != ns[i]) {
				return 1;
			}
		}
		printf("%g %.0f %.0f\n", us, part * (double)n / one,
		       part * (double)n / mapped);
	}
	return 0;
}
