/* SPDX-License-Identifier: Apache-2.0 */
/* When which record is due: against a plain list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "due.h"
#include "test_count.h"

enum { RECS = 5000 };

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void test_due_earliest_comes_first_whatever_was_moved(void **state)
{
	struct mobi_due d = { 0 };
	static uint64_t at[RECS]; /* UINT64_MAX: not there */
	uint64_t seed = test_seed();
	uint64_t now = 0;

	(void)state;
	for (uint32_t i = 0; i < RECS; i++) {
		at[i] = UINT64_MAX;
	}
	for (uint32_t turn = 0; turn < 200000; turn++) {
		uint32_t rec = (uint32_t)(next_random(&seed) % RECS);
		struct mobi_due_entry e;

		switch (next_random(&seed) % 4) {
		case 0:
		case 1:
			at[rec] = now + next_random(&seed) % 10000;
			e = (struct mobi_due_entry){ .at_ns = at[rec],
						     .rec = rec,
						     .step = rec };
			assert_true(mobi_due_put(&d, &e));
			break;
		case 2:
			e = mobi_due_get(&d, rec);
			assert_true(e.at_ns == at[rec]);
			assert_int_equal(e.rec, rec);
			e.at_ns = UINT64_MAX;
			assert_true(mobi_due_put(&d, &e));
			at[rec] = UINT64_MAX;
			break;
		default:
			now += next_random(&seed) % 20;
			while (mobi_due_pop(&d, now, &e)) {
				assert_true(e.at_ns <= now);
				assert_true(e.at_ns == at[e.rec]);
				assert_int_equal(e.step, e.rec);
				assert_true(mobi_due_next(&d) >= e.at_ns);
				at[e.rec] = UINT64_MAX;
			}
			assert_true(mobi_due_next(&d) > now);
		}
	}
	/* Nothing was passed over. */
	for (uint32_t i = 0; i < RECS; i++) {
		assert_true(mobi_due_get(&d, i).at_ns == at[i]);
		assert_true(at[i] == UINT64_MAX || at[i] > now);
	}
	mobi_due_free(&d);
	assert_true(mobi_due_next(&d) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_due_earliest_comes_first_whatever_was_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
