/* SPDX-License-Identifier: Apache-2.0 */
/* Antipattern: fetching too many results at once. See 10_fetch_in_batches.md. */
#include <mobula/mobula.h>

#include <stdio.h>
#include <stdlib.h>

#define BIG (1 << 20)
#define BATCH 16

MOB_TASK(mob_bytes, return_big_object, int, i)
{
	unsigned char *out = mob_new_of(mob_bytes, BIG);
	uint64_t x = (uint64_t)i + 1;

	for (size_t k = 0; out && k < BIG; k++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		out[k] = k == 0 ? (unsigned char)i : (unsigned char)(x >> 33);
	}
	return mob_bytes_of(out, BIG);
}

MOB_MAIN(int argc, char **argv)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	int n = argc > 1 ? atoi(argv[1]) / BATCH * BATCH : 192, wrong = 0;
	mob_ref *refs = calloc((size_t)n, sizeof(*refs));
	mob_bytes *results = calloc((size_t)n, sizeof(*results));

	opts.store_bytes = 64 << 20; /* objects beyond that go to /var/tmp */
	opts.spill_dir = "/var/tmp";
	if (!refs || !results || mob_init(&opts)) {
		return 1;
	}
	for (int i = 0; i < n; i++) {
		refs[i] = mob_submit(return_big_object, i);
	}

	/* antipattern: all at once need more memory than the store has */
	if (mob_get_all(refs, (size_t)n, results) != MOB_E_STORE_FULL) {
		return 1;
	}
	mob_error_clear();

	/* better: a batch at a time */
	for (int i = 0; i < n; i += BATCH) {
		if (mob_get_all(refs + i, BATCH, results)) {
			return 1;
		}
		for (int k = 0; k < BATCH; k++) {
			const unsigned char *at = results[k].at;

			wrong += at[0] != (unsigned char)(i + k);
			mob_release(refs[i + k]);
		}
	}
	printf("%d objects of 1 MiB in a store of 64, %d wrong; all at once "
	       "need %.1f times as much as a batch, and do not fit\n",
	       n, wrong, (double)n / BATCH);
	return wrong != 0;
}
