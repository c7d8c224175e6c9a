/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: limit the number of tasks in flight. See 03_limit_in_flight.md. */
#include <mobula/mobula.h>

#include <stdio.h>

MOB_TASK(double, heavy_compute, mob_f64s, large_array)
{
	double sum = 0;

	for (size_t i = 0; i < large_array.n; i++) {
		sum += large_array.at[i];
	}
	return sum;
}

MOB_MAIN(void)
{
	static double ones[100000];
	struct mob_queue *in_flight;
	double x, total = 0;
	mob_ref ref;

	if (mob_init(NULL) || mob_queue_open(&in_flight)) {
		return 1;
	}
	for (int i = 0; i < 100000; i++) {
		ones[i] = 1;
	}
	for (int i = 0; i < 1000; i++) {
		/* At most 20 large arrays at a time. */
		if (i >= 20 &&
		    mob_queue_pop(in_flight, MOB_FOREVER, &ref, NULL) > 0) {
			mob_take(ref, &x);
			total += x;
		}
		ref = mob_submit(heavy_compute, mob_f64s_of(ones, 100000));
		mob_queue_add(in_flight, ref, 0);
	}
	while (mob_queue_pop(in_flight, MOB_FOREVER, &ref, NULL) > 0) {
		mob_take(ref, &x);
		total += x;
	}
	mob_queue_close(in_flight);
	printf("total %.0f\n", total);
	return total < 1e8 || total > 1e8;
}
