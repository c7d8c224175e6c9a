/* SPDX-License-Identifier: Apache-2.0 */
/* Searching by indexes, against a plain look at all slots. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalogue_fixture.h"
#include "catalogue_index.h"

enum { SLOTS = 3000 };

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t random_number(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void make(struct fixture *f, uint32_t n)
{
	static const uint32_t states[] = { MOBI_S_SEALED, MOBI_S_SEALED,
					   MOBI_S_FAILED, MOBI_S_CANCELLED,
					   MOBI_S_LOST };
	struct mobi_slot *o = &f->slots[n];

	slot_birth(f, n);
	mobi_store(&o->size, random_number() >> random_number() % 64);
	mobi_store(&o->creator, (uint32_t)(random_number() % 5 + 1));
	mobi_store(&o->born_ms, (uint32_t)(random_number() % 9000));
	slot_resolve(f, n, states[random_number() % 5]);
}

static bool wanted(const struct mob_object_query *q,
		   const struct mobi_cat_row *r)
{
	bool in_state = false;

	for (uint32_t s = 0; s < 32; s++) {
		in_state |= (q->states >> s & 1) && r->state == s;
	}
	return (!q->states || in_state) &&
	       (!q->creator || r->creator == q->creator) &&
	       r->size >= q->size_min && r->size <= q->size_max &&
	       r->born_ms >= q->born_min_ms && r->born_ms <= q->born_max_ms;
}

struct seen {
	uint8_t slot[SLOTS];
	uint64_t n;
	uint64_t stop_at;
};

static int see(const struct mob_object_info *info, void *arg)
{
	struct seen *s = arg;

	assert_true((uint32_t)info->ref.lo < SLOTS);
	s->slot[(uint32_t)info->ref.lo]++;
	return ++s->n == s->stop_at;
}

static void compare(struct fixture *f, const struct mob_object_query *q)
{
	static struct seen seen;
	uint64_t lag;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(mobi_catalogue_find(f->cat, 7, q, see, &seen, &lag),
			 0);
	for (uint32_t i = 0; i < SLOTS; i++) {
		uint64_t w = mobi_load(&f->slots[i].word);
		struct mobi_cat_row row;
		bool want = false;

		if (mobi_resolved(w)) {
			mobi_cat_row_of(&f->slots[i], w, &row);
			want = wanted(q, &row);
		}
		if (seen.slot[i] != want) {
			fail_msg("slot %u: found %u times, wanted %d", i,
				 seen.slot[i], want);
		}
	}
}

static struct mob_object_query random_query(void)
{
	struct mob_object_query q = MOB_OBJECT_QUERY_INIT;
	uint64_t a = random_number() >> random_number() % 64;
	uint64_t b = random_number() >> random_number() % 64;

	if (random_number() % 3 == 0) {
		q.creator = (uint32_t)(random_number() % 6 + 1);
	}
	if (random_number() % 3 == 0) {
		q.states = (uint32_t)(random_number() % 64);
	}
	if (random_number() % 2 == 0) {
		q.size_min = a < b ? a : b;
		q.size_max = a < b ? b : a;
	}
	if (random_number() % 3 == 0) {
		q.born_min_ms = random_number() % 9000;
		q.born_max_ms = q.born_min_ms + random_number() % 5000;
	}
	return q;
}

static void test_find_equals_a_plain_look_at_all(void **state)
{
	struct fixture *f = *state;
	struct mob_object_query all = MOB_OBJECT_QUERY_INIT;

	compare(f, &all);
	for (int turn = 0; turn < 12; turn++) {
		for (int i = 0; i < 1500; i++) {
			uint32_t n = (uint32_t)(random_number() % SLOTS);

			if (mobi_resolved(mobi_load(&f->slots[n].word))) {
				slot_free(f, n);
			} else {
				make(f, n);
			}
		}
		assert_int_equal(mobi_catalogue_drain(f->cat, 0, NULL), 0);
		assert_int_equal(fixture_check(f, SLOTS + 64), 0);
		compare(f, &all);
		for (int k = 0; k < 40; k++) {
			struct mob_object_query q = random_query();

			compare(f, &q);
		}
	}
	for (uint32_t n = 0; n < SLOTS; n++) {
		if (mobi_resolved(mobi_load(&f->slots[n].word))) {
			slot_free(f, n);
		}
	}
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, NULL), 0);
	assert_int_equal(fixture_check(f, SLOTS + 64), 0);
	compare(f, &all);
}

static void test_find_the_callback_ends_it(void **state)
{
	struct fixture *f = *state;
	struct mob_object_query all = MOB_OBJECT_QUERY_INIT;
	static struct seen seen;

	for (uint32_t n = 0; n < SLOTS; n++) {
		make(f, n);
	}
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, NULL), 0);
	memset(&seen, 0, sizeof(seen));
	seen.stop_at = 2000;
	assert_int_equal(mobi_catalogue_find(f->cat, 7, &all, see, &seen, NULL),
			 1);
	assert_int_equal(seen.n, 2000);
}

static void test_find_size_classes_are_in_order_and_narrow(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (uint64_t size = 0; size < UINT64_C(1) << 40;
	     size += 1 + size / 50) {
		uint32_t class = mobi_index_size(size);

		assert_true(class >= last);
		assert_true(class <= last + 1 || size < 8);
		last = class;
	}
	assert_int_equal(mobi_index_size(0), 0);
	assert_true(mobi_index_size(UINT64_MAX) < 256);
	assert_int_not_equal(mobi_index_size(1024), mobi_index_size(1300));
}

#define T(test)                                                                \
	cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_find_equals_a_plain_look_at_all),
		T(test_find_the_callback_ends_it),
		T(test_find_size_classes_are_in_order_and_narrow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
