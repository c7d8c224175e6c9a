/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: resources that the program names. See 11_custom_resources.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <threads.h>

#include "seconds.h"

#define N 100

struct span {
	double begin, end;
};
MOB_STRUCT(span);

/* Only two may run at a time, however many processors there are. */
MOB_TASK(span, simulate, int64_t, x)
{
	struct span s = { seconds(), 0 };

	(void)x;
	thrd_sleep(&(struct timespec){ .tv_nsec = MOB_MS }, NULL);
	s.end = seconds();
	return s;
}

MOB_TASK(int64_t, train, int64_t, x)
{
	uint32_t gpu;

	/* Which of them is this task's alone. */
	if (mob_devices("gpu", &gpu, 1) != 1) {
		mob_fail(1, "no gpu");
	}
	return x + 1;
}

/* How many ran at the same time, at most. */
static int most_at_once(const mob_ref *refs)
{
	struct span s[N];
	int most = 0;

	for (int i = 0; i < N; i++) {
		mob_get_as(span, refs[i], &s[i]);
	}
	for (int i = 0; i < N; i++) {
		int n = 0;

		for (int k = 0; k < N; k++) {
			n += s[k].begin <= s[i].begin && s[i].begin < s[k].end;
		}
		most = n > most ? n : most;
	}
	return most;
}

MOB_MAIN(void)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	int64_t x[N], total = 0;
	mob_ref r[N];
	struct mob_task_opts license = MOB_TASK_OPTS_INIT, gpu = license;
	int before, after;

	license.resources = "license=1";
	gpu.resources = "gpu=1";
	o.workers = 4;
	o.resources = "license=2,gpu:3";
	if (mob_init(&o)) {
		return 1;
	}
	for (int i = 0; i < N; i++) {
		r[i] = mob_submit(simulate, i);
	}
	before = most_at_once(r);
	for (int i = 0; i < N; i++) {
		r[i] = mob_submit_with(license, simulate, i);
	}
	after = most_at_once(r);

	for (int i = 0; i < N; i++) {
		r[i] = mob_submit_with(gpu, train, i);
	}
	mob_get_all(r, N, x);
	for (int i = 0; i < N; i++) {
		total += x[i];
	}
	printf("total %d; without the wish %.1f times as many run at once\n",
	       (int)total, (double)before / after);
	return total != 5050 || after > 2;
}
