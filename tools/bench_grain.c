/* SPDX-License-Identifier: Apache-2.0 */
/* The shortest task that is worth it. */
#include "bench_grain.h"

#include <math.h>

static const double step_us[] = { 512, 128, 32,  16,   8,   5.6,  4,   2.8,
				  2,   1.4, 1.0, 0.71, 0.5, 0.35, 0.25 };
#define STEPS (sizeof(step_us) / sizeof(step_us[0]))
/* Work of both workers together at one step. */
#define WORK_NS 40e6

void bench_spin_for(uint64_t ns)
{
	uint64_t end = bench_now() + ns;

	while (bench_now() < end) {
	}
}

/* Part of the processors' time that tasks of ns each use; negative if one
 * failed. */
static double
efficiency(struct bench *b,
	   uint64_t (*run)(struct bench *b, size_t n, uint64_t ns), double ns)
{
	size_t n = (size_t)bench_n(b, (uint64_t)(WORK_NS / ns));
	uint64_t t;

	n = n > BENCH_METG_TASKS ? BENCH_METG_TASKS : n;
	t = run(b, n, (uint64_t)ns);
	return t ? (double)n * ns / (BENCH_WORKERS * (double)t) : -1;
}

/* Between two steps. */
int bench_metg(struct bench *b,
	       uint64_t (*run)(struct bench *b, size_t n, uint64_t ns),
	       double *out_value)
{
	double longer = 0;
	double longer_e = 1;

	*out_value = 0;
	if (b->last) {
		bench_note(b, "task.metg curve:");
	}
	for (size_t i = 0; i < STEPS; i++) {
		double ns = step_us[i] * 1e3;
		double e = efficiency(b, run, ns);

		if (e < 0) {
			return -1;
		}
		if (b->last) {
			bench_note(b, " %g us %.0f %%%s", step_us[i], e * 100,
				   i + 1 < STEPS ? "," : "");
		}
		if (e < 0.5 && *out_value <= 0) {
			double part = (longer_e - 0.5) / (longer_e - e);

			*out_value = longer > 0 ?
					     longer * pow(ns / longer, part) :
					     ns;
		}
		longer = ns;
		longer_e = e;
	}
	if (*out_value <= 0) {
		*out_value = longer; /* every step was above a half */
	}
	return 0;
}
