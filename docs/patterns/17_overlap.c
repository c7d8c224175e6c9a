/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: computing while the next item comes. See 17_overlap.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <threads.h>

#include "seconds.h"

#define N 50

/* Time that passes without a processor, as that of a disk or a network. */
MOB_TASK(int64_t, get_work_item, int64_t, i)
{
	thrd_sleep(&(struct timespec){ .tv_nsec = 4 * MOB_MS }, NULL);
	return i;
}

static int64_t process(int64_t item)
{
	double end = seconds() + 0.004;

	while (seconds() < end) {
	}
	return item;
}

/* before: it does nothing while the item comes */
MOB_TASK(int64_t, run_blocked, int64_t, n)
{
	int64_t item, sum = 0;

	for (int64_t i = 0; i < n; i++) {
		mob_take(mob_submit(get_work_item, i), &item);
		sum += process(item);
	}
	return sum;
}

/* after: the next item comes while it works on this one */
MOB_TASK(int64_t, run_overlapped, int64_t, n)
{
	mob_ref work = mob_submit(get_work_item, 0);
	int64_t item, sum = 0;

	for (int64_t i = 0; i < n; i++) {
		mob_take(work, &item);
		if (i + 1 < n) {
			work = mob_submit(get_work_item, i + 1);
		}
		sum += process(item);
	}
	return sum;
}

MOB_MAIN(void)
{
	double before, after, start;
	int64_t blocked, overlapped;

	if (mob_init(NULL)) {
		return 1;
	}
	start = seconds();
	mob_get(mob_submit(run_blocked, N), &blocked);
	before = seconds() - start;

	start = seconds();
	mob_get(mob_submit(run_overlapped, N), &overlapped);
	after = seconds() - start;

	printf("sums %d %d; one after the other takes %.1f times as long\n",
	       (int)blocked, (int)overlapped, before / after);
	return blocked != N * (N - 1) / 2 || overlapped != blocked;
}
