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
	struct mob_map_opts opts = MOB_MAP_OPTS_INIT;
	struct mob_map *in_flight;
	double x, total = 0;

	opts.flags = MOB_MAP_UNORDERED;
	opts.window = 20;
	if (mob_init(NULL) || mob_map_open(&opts, &in_flight)) {
		return 1;
	}
	for (int i = 0; i < 100000; i++) {
		ones[i] = 1;
	}
	for (int i = 0; i < 1000; i++) {
		/* At most 20 large arrays at a time. */
		while (!mob_map_room(in_flight) &&
		       mob_map_next(in_flight, &x) > 0) {
			total += x;
		}
		mob_map_add(in_flight, heavy_compute,
			    mob_f64s_of(ones, 100000));
	}
	while (mob_map_next(in_flight, &x) > 0) {
		total += x;
	}
	mob_map_close(in_flight);
	printf("total %.0f\n", total);
	return total < 1e8 || total > 1e8;
}
