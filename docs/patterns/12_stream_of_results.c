/* SPDX-License-Identifier: Apache-2.0 */
/* Pattern: results while the task runs. See 12_stream_of_results.md. */
#include <mobula/mobula.h>

#include <stdio.h>

#include "seconds.h"

#define BIG (1 << 17)
#define AHEAD 8
#define FIT 64

/* antipattern: all results at its end */
MOB_TASK_MANY(mob_i64s, all_blocks, int64_t, first)
{
	for (size_t i = 0; i < n_out; i++) {
		int64_t *block = mob_new_of(mob_i64s, BIG);

		for (size_t k = 0; block && k < BIG; k++) {
			block[k] = first + (int64_t)i;
		}
		out[i] = mob_i64s_of(block, BIG);
	}
}

MOB_TASK_STREAM(mob_i64s, blocks, int64_t, n)
{
	for (int64_t i = 0; i < n; i++) {
		int64_t *block = mob_new_of(mob_i64s, BIG);

		if (!block) {
			return; /* the error is the last item */
		}
		for (size_t k = 0; k < BIG; k++) {
			block[k] = i;
		}
		mob_yield(mob_i64s_of(block, BIG));
	}
}

MOB_MAIN(void)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	int64_t n = 400, total = 0;
	mob_i64s block;
	mob_ref stream, item, refs[FIT];
	double before, after = 0, start;

	opts.store_bytes = 80 << 20;
	if (mob_init(&opts)) {
		return 1;
	}

	/* all that fit, at once: no work until the last is made */
	start = seconds();
	mob_submit_n(refs, FIT, all_blocks, 0);
	if (mob_get(refs[0], &block)) {
		return 1;
	}
	before = seconds() - start;
	for (int i = 0; i < FIT; i++) {
		mob_release(refs[i]);
	}

	/* each result as soon as it is there, a few at a time */
	start = seconds();
	stream = mob_submit_with(MOB_OPTS(.stream_items = AHEAD), blocks, n);
	while (mob_next_ref(stream, &item) == 1) {
		if (mob_get(item, &block)) {
			return 1; /* the error of the task */
		}
		if (after <= 0) {
			after = seconds() - start;
		}
		total += block.at[BIG - 1];
		mob_release(item);
	}

	printf("%d blocks of 1 MiB through a store of 80, sum %d; with %d at "
	       "the end the first takes %.1f times as long\n",
	       (int)n, (int)total, FIT, before / after);
	return total != n * (n - 1) / 2;
}
