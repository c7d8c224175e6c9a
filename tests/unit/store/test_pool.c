/* SPDX-License-Identifier: Apache-2.0 */
/* Free entries of the tables: groups that change owners, hints that are lost
 * or wrong, limits. */
#define _GNU_SOURCE

#include "one_store.h"

#define N 640u /* ten groups */

static uint32_t used(void)
{
	return mobi_pool_used(s, MOBI_POOL_SLOT);
}

static void put_all(struct mob_store *by, struct mob_ref *r)
{
	for (uint64_t i = 0; i < N; i++) {
		r[i] = put_filled(by, 8, i);
	}
}

static void check_all(const struct mob_ref *r)
{
	for (uint64_t i = 0; i < N; i++) {
		struct mob_view v;

		assert_ok(mob_object_get(s, r[i], 0, &v));
		assert_true(filled(v.at, v.size, i));
		mob_view_release(s, &v);
	}
}

static void release_all(struct mob_store *by, const struct mob_ref *r)
{
	for (uint64_t i = 0; i < N; i++) {
		assert_ok(mob_object_release(by, r[i]));
	}
}

static void test_groups_of_a_leaver_are_used_again(void **state)
{
	static struct mob_ref r[N];

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct mob_store *other;

		assert_ok(mob_store_open(mob_store_name(s), &other));
		put_all(other, r);
		release_all(other, r);
		mob_store_close(other);
	}
	put_all(s, r);
	release_all(s, r);
	assert_true(used() <= N + 2 * MOBI_GROUP);
}

/* The leaver's groups have nothing free when it leaves, and nobody owns them
 * when they get something. */
static void test_groups_freed_after_their_owner_left_are_found(void **state)
{
	static struct mob_ref r[N];
	static struct mob_ref more[N];

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct mob_store *other;

		assert_ok(mob_store_open(mob_store_name(s), &other));
		put_all(other, r);
		for (uint32_t i = 0; i < N; i++) {
			assert_ok(mob_object_hold(s, r[i]));
		}
		mob_store_close(other);
		/* Somebody looks for them in vain. */
		put_all(s, more);
		check_all(r);
		release_all(s, r);
		release_all(s, more);
	}
	assert_true(used() <= 2 * N + 3 * MOBI_GROUP);
}

static int dies(void *arg)
{
	(void)arg;
	(void)child_open(mob_store_name(s));
	(void)kill(getpid(), SIGKILL);
	return 1;
}

static void reap_one(void)
{
	assert_int_equal(child_result(child_start(dies, NULL)), -SIGKILL);
	reap_until(s, MOBI_BIT(s->me));
}

/* A process was killed between freeing entries of ours and saying so. */
static void test_hints_lost_come_back_after_a_death(void **state)
{
	static struct mob_ref r[N];
	struct mobi_pool *p = &s->pool[MOBI_POOL_SLOT];
	uint32_t was;

	(void)state;
	put_all(s, r);
	release_all(s, r);
	was = used();
	for (uint32_t g = 0; g < was / MOBI_GROUP; g++) {
		mobi_store(&p->group[g].hint, UINT64_C(0));
	}
	mobi_store(&p->shared->mid[0], UINT64_C(0));
	reap_one();
	assert_int_equal(counts_of(s).unhinted, 0);
	put_all(s, r);
	check_all(r);
	release_all(s, r);
	assert_int_equal(used(), was);
}

static void test_hints_wrong_cost_nothing_but_a_try(void **state)
{
	static struct mob_ref r[N];
	static struct mob_ref more[N];
	struct mobi_pool *p = &s->pool[MOBI_POOL_SLOT];

	(void)state;
	put_all(s, r);
	for (uint32_t g = 0; g < used() / MOBI_GROUP; g++) {
		mobi_store(&p->group[g].hint, ~UINT64_C(0));
	}
	mobi_store(&p->shared->mid[0], ~UINT64_C(0));
	put_all(s, more);
	check_all(r);
	check_all(more);
	release_all(s, r);
	release_all(s, more);
}

static void test_table_full_limit_until_something_is_free(void **state)
{
	static struct mob_ref r[N];
	uint32_t was = s->pool[MOBI_POOL_SLOT].n_groups;
	struct mob_ref none = MOB_REF_NONE;
	uint32_t n = 0;

	(void)state;
	/* A small table instead of four million objects. */
	s->pool[MOBI_POOL_SLOT].n_groups = 3;
	while (mob_object_put(s, "x", 1, 1, &r[n]) == 0) {
		n++;
		assert_true(n < N);
	}
	assert_int_equal(n, 3 * MOBI_GROUP);
	assert_int_equal(mob_object_put(s, "x", 1, 1, &none), MOB_E_LIMIT);
	assert_non_null(strstr(mob_err_detail(MOB_E_LIMIT), "192"));
	assert_true(mob_ref_is_none(none));
	assert_ok(mob_object_release(s, r[--n]));
	assert_ok(mob_object_put(s, "x", 1, 1, &r[n++]));
	assert_int_equal(mob_object_put(s, "x", 1, 1, &none), MOB_E_LIMIT);
	while (n) {
		assert_ok(mob_object_release(s, r[--n]));
	}
	s->pool[MOBI_POOL_SLOT].n_groups = was;
}

/* The limit is on what lives, not on the sum of what each process once had. */
static void test_table_full_of_free_groups_of_others_has_room(void **state)
{
	static struct mob_ref r[3 * MOBI_GROUP];
	uint32_t was = s->pool[MOBI_POOL_SLOT].n_groups;
	struct mob_store *b;

	(void)state;
	assert_ok(mob_store_open(mob_store_name(s), &b));
	b->pool[MOBI_POOL_SLOT].n_groups = 3;
	s->pool[MOBI_POOL_SLOT].n_groups = 3;
	for (uint32_t i = 0; i < 3 * MOBI_GROUP; i++) {
		r[i] = put_filled(b, 8, i);
	}
	for (uint32_t i = 0; i < 3 * MOBI_GROUP; i++) {
		assert_ok(mob_object_release(b, r[i]));
	}
	for (uint32_t i = 0; i < 3 * MOBI_GROUP; i++) {
		r[i] = put_filled(s, 8, i);
	}
	assert_int_equal(mob_object_put(s, "x", 1, 1, &r[0]), MOB_E_LIMIT);
	for (uint32_t i = 0; i < 3 * MOBI_GROUP; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
	s->pool[MOBI_POOL_SLOT].n_groups = was;
	mob_store_close(b);
}

static void test_reuse_goes_round(void **state)
{
	uint32_t first = 0;
	uint32_t again = 0;

	(void)state;
	/* A slot comes back only after the others of its group. */
	for (uint32_t i = 0; i < 2 * MOBI_GROUP; i++) {
		struct mob_ref r = put_filled(s, 8, 1);

		if (!i) {
			first = (uint32_t)r.lo;
		} else if (!again && (uint32_t)r.lo == first) {
			again = i;
		}
		assert_ok(mob_object_release(s, r));
	}
	assert_int_equal(again, MOBI_GROUP);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_groups_of_a_leaver_are_used_again),
		TEST(test_groups_freed_after_their_owner_left_are_found),
		TEST(test_hints_lost_come_back_after_a_death),
		TEST(test_hints_wrong_cost_nothing_but_a_try),
		TEST(test_table_full_limit_until_something_is_free),
		TEST(test_table_full_of_free_groups_of_others_has_room),
		TEST(test_reuse_goes_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
