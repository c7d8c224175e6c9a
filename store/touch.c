/* SPDX-License-Identifier: Apache-2.0 */
/* Faults of large blocks, taken in one call. */
#include "touch.h"

#include "os_shm.h"

/* A bit a part; a part that memory was taken from in the meantime (trim) is
 * faulted in page by page again, no harm done. */
#define PART_SHIFT 16
#define LARGE (UINT64_C(256) << 10)

static bool test_and_set(mobi_a64 *bits, uint64_t part)
{
	/* A hint of this process: no order is needed. */
	return mobi_load_relaxed(&bits[part / 64]) & MOBI_BIT(part % 64) ?
		       true :
		       (mobi_fetch_or(&bits[part / 64], MOBI_BIT(part % 64)) &
			MOBI_BIT(part % 64)) != 0;
}

void mobi_touch(struct mob_store *s, void *at, uint64_t off, uint64_t size)
{
	unsigned char *base = at;
	uint64_t first = off >> PART_SHIFT;
	uint64_t end = (off + size) >> PART_SHIFT; /* whole parts only */
	uint64_t from = end;

	if (size < LARGE) {
		return;
	}
	base -= off;
	for (uint64_t p = first; p < end; p++) {
		bool has = test_and_set(s->touched, p);

		if (!has && from == end) {
			from = p;
		} else if (has && from != end) {
			mobi_shm_populate(base + (from << PART_SHIFT),
					  (size_t)(p - from) << PART_SHIFT);
			from = end;
		}
	}
	if (from != end) {
		mobi_shm_populate(base + (from << PART_SHIFT),
				  (size_t)(end - from) << PART_SHIFT);
	}
}
