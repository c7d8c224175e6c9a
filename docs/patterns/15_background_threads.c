/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: the API from background threads. See 15_background_threads.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <threads.h>

#include "seconds.h"

#define N 100
#define SLEEP_MS(n)                                                            \
	thrd_sleep(&(struct timespec){ .tv_nsec = (n)*MOB_MS }, NULL)

MOB_TASK(int64_t, fetch, int64_t, i)
{
	SLEEP_MS(2);
	return i;
}

/* The tasks one by one, as a service asks for them. */
static int poll_service(void *arg)
{
	int64_t *sum = arg, x;

	for (int i = 0; i < N; i++) {
		mob_get(mob_submit(fetch, i), &x);
		*sum += x;
	}
	return 0;
}

/* What the program does itself meanwhile. */
static void own_work(void)
{
	for (int i = 0; i < N; i++) {
		SLEEP_MS(2);
	}
}

MOB_MAIN(void)
{
	int64_t sum = 0, background = 0;
	double before, after, start;
	thrd_t thread;

	if (mob_init(NULL)) {
		return 1;
	}
	/* before: the one thread waits for the service, then works */
	start = seconds();
	poll_service(&sum);
	own_work();
	before = seconds() - start;

	/* after: a thread of its own waits */
	start = seconds();
	if (thrd_create(&thread, poll_service, &background)) {
		return 1;
	}
	own_work();
	thrd_join(thread, NULL);
	after = seconds() - start;

	printf("sums %d %d; in one thread it takes %.1f times as long\n",
	       (int)sum, (int)background, before / after);
	return sum != N * (N - 1) / 2 || background != sum;
}
