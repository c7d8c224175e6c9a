/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: limit the number of tasks in flight. See 03_limit_in_flight.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <threads.h>

#define CALLS 300
#define WINDOW 20

MOB_TASK(double, heavy_compute, mob_f64s, large_array)
{
	double sum = 0;

	/* takes a long time */
	thrd_sleep(&(struct timespec){ .tv_nsec = MOB_MS }, NULL);
	for (size_t i = 0; i < large_array.n; i++) {
		sum += large_array.at[i];
	}
	return sum;
}

/* How many of n refs have no result yet. */
static size_t unfinished(const mob_ref *refs, size_t n)
{
	int done = n ? mob_wait(refs, n, n, 0, NULL) : 0;

	return done < 0 ? 0 : n - (size_t)done;
}

MOB_MAIN(void)
{
	static double ones[100000];
	struct mob_map_opts opts = MOB_MAP_OPTS_INIT;
	struct mob_map *in_flight;
	double x, total = 0;
	size_t most = 0;
	static mob_ref refs[CALLS];

	opts.flags = MOB_MAP_UNORDERED;
	opts.window = WINDOW;
	if (mob_init(NULL) || mob_map_open(&opts, &in_flight)) {
		return 1;
	}
	for (int i = 0; i < 100000; i++) {
		ones[i] = 1;
	}
	/* before: all arrays are made before most of them are used */
	for (size_t i = 0; i < CALLS; i++) {
		refs[i] = mob_submit(heavy_compute, mob_f64s_of(ones, 100000));
	}
	most = unfinished(refs, CALLS);
	for (size_t i = 0; i < CALLS; i++) {
		mob_take(refs[i], &x);
		total += x;
	}

	/* after: at most WINDOW large arrays at a time */
	for (int i = 0; i < CALLS; i++) {
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
	printf("total %.0f; without a window there are %.1f times as many "
	       "arrays\n",
	       total, (double)most / WINDOW);
	return total < 2e5 * CALLS || total > 2e5 * CALLS;
}
