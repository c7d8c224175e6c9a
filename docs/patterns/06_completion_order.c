/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: results in order of submission. See 06_completion_order.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <stdlib.h>
#include <threads.h>

#include "seconds.h"

static void sleep_ms(int64_t ms)
{
	thrd_sleep(&(struct timespec){ .tv_nsec = ms * MOB_MS }, NULL);
}

MOB_TASK(int64_t, f, int64_t, ms)
{
	sleep_ms(ms);
	return ms;
}

MOB_MAIN(void)
{
	int64_t ms[100], result, sum = 0;
	struct mob_queue *unfinished;
	mob_ref refs[100], finished;
	double before, after, start;
	uint64_t i;

	if (mob_init(NULL) || mob_queue_open(&unfinished)) {
		return 1;
	}
	for (i = 0; i < 100; i++) {
		ms[i] = i == 0 ? 150 : rand() % 3; /* the first is slow */
	}

	/* antipattern: process results in the order they were submitted */
	start = seconds();
	for (i = 0; i < 100; i++) {
		refs[i] = mob_submit(f, ms[i]);
	}
	for (i = 0; i < 100; i++) {
		mob_take(refs[i], &result);
		sum += result - ms[i];
		sleep_ms(1); /* process the result */
	}
	before = seconds() - start;

	/* better: process results in the order that they finish */
	start = seconds();
	for (i = 0; i < 100; i++) {
		mob_queue_add(unfinished, mob_submit(f, ms[i]), i);
	}
	while (mob_queue_pop(unfinished, MOB_FOREVER, &finished, &i) > 0) {
		mob_take(finished, &result);
		sum += result - ms[i];
		sleep_ms(1);
	}
	after = seconds() - start;
	mob_queue_close(unfinished);
	printf("200 results, sum of differences %d; in order of submission it "
	       "takes %.1f times as long\n",
	       (int)sum, before / after);
	return sum != 0;
}
