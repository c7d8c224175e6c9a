/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: resources that the program names. See 11_custom_resources.md. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_TASK(int64_t, simulate, int64_t, x)
{
	/* Only two may run at a time, however many processors there are. */
	return x * x;
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

MOB_MAIN(void)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	int64_t x[200], total = 0;
	mob_ref r[200];

	o.resources = "license=2,gpu:3";
	if (mob_init(&o)) {
		return 1;
	}
	for (int i = 0; i < 100; i++) {
		r[i] = mob_submit_with(MOB_OPTS(.cpus = 0, .resources = "licens"
									"e=1"),
				       simulate, i);
		r[100 + i] = mob_submit_with(
			MOB_OPTS(.cpus = 0, .resources = "gpu=1"), train, i);
	}
	mob_get_all(r, 200, x);
	for (int i = 0; i < 200; i++) {
		total += x[i];
	}
	printf("total %lld\n", (long long)total);
	return total != 333400;
}
