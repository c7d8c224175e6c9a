/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of counters. The first threads of an attachment have one each as long as
 * it lasts, all others the last one together: a row is not given back when its
 * thread ends, as nothing tells its store of that on the way.
 */
#include "count.h"

_Thread_local struct mobi_count_here mobi_count_here
	__attribute__((tls_model("initial-exec")));

static mobi_a64 ids;

uint64_t mobi_count_id(void)
{
	return mobi_fetch_add(&ids, 1) + 1;
}

void mobi_count_find(struct mob_store *s)
{
	uint32_t last = MOBI_COUNT_ROWS - 1;
	uint32_t n = mobi_load(&s->count_rows);

	while (n < last && !mobi_cas32(&s->count_rows, &n, n + 1)) {
	}
	mobi_count_here.id = s->count_id;
	mobi_count_here.row = &s->counts[s->me * MOBI_COUNT_ROWS + n];
	mobi_count_here.shared = n == last;
}

uint64_t mobi_count_of(const struct mob_store *s, uint32_t client,
		       uint32_t what)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < MOBI_COUNT_ROWS; i++) {
		sum += mobi_load(
			&s->counts[client * MOBI_COUNT_ROWS + i].n[what]);
	}
	return sum;
}
