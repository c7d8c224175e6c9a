/* SPDX-License-Identifier: Apache-2.0 */
/* Small objects among large ones in a full store: what goes with them, and what has
 * to wait for them. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <mobula/object.h>

#include "fault.h"
#include "spill.h"

#define ARENA (64 * MIB)
#define LARGE MIB
#define SMALL 1000u
#define MANY 80u /* more large ones than fit */

static char dir[64];
static struct mob_store *s;
static struct mob_ref r[MANY];
static uint32_t n;

static int begin(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/mob-mixed-XXXXXX");
	assert_non_null(mkdtemp(dir));
	opts.arena_bytes = ARENA;
	opts.flags = MOB_STORE_PRIVATE | MOB_STORE_SPILL_ANYWHERE;
	opts.spill_dir = dir;
	assert_ok(mob_store_create(NULL, &opts, &s));
	n = 0;
	return 0;
}

static int finish(void **state)
{
	(void)state;
	while (n > 0) {
		assert_ok(mob_object_release(s, r[--n]));
	}
	store_end(s);
	assert_int_equal(rmdir(dir), 0);
	return 0;
}

static bool is_spilled(struct mob_ref ref)
{
	return mobi_load(&slot_at(s, ref)->word) & MOBI_F_SPILL;
}

static void view(struct mob_ref ref)
{
	struct mob_view v;

	assert_ok(mob_object_get(s, ref, 0, &v));
	mob_view_release(s, &v);
}

static struct mob_store_stat stat_now(void)
{
	struct mob_store_stat st;

	assert_ok(mob_store_stat(s, &st));
	return st;
}

static void put_next(uint64_t size)
{
	assert_true(n < MANY);
	r[n] = put_filled(s, size, n);
	n++;
}

/* A small one, then large ones until one of them finds no room. but: those before
 * it are not viewed. */
static void fill_up(uint32_t but)
{
	put_next(SMALL);
	while (!stat_now().spilled_objects) {
		put_next(LARGE);
		if (n > but && !stat_now().spilled_objects) {
			view(r[n - 1]);
		}
	}
}

static void all_is_there(void)
{
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	for (uint32_t i = 0; i < n; i++) {
		struct mob_view v;

		assert_ok(mob_object_get(s, r[i], 0, &v));
		assert_true(filled(v.at, v.size, i));
		mob_view_release(s, &v);
	}
}

/* ---- tests ---- */

static void test_spill_mixed_a_small_one_takes_no_large_one_along(void **state)
{
	(void)state;
	fill_up(MANY);
	print_message("%" PRIu64 " bytes of %u objects\n",
		      stat_now().spilled_bytes, n);
	assert_true(stat_now().spilled_bytes <= 2 * LARGE);
	all_is_there();
}

static void test_spill_mixed_what_was_viewed_stays(void **state)
{
	(void)state;
	/* All but the small one and a large one. */
	fill_up(2);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(is_spilled(r[i]), i < 2);
	}
	all_is_there();
}

/* Nor do small ones that were viewed go with those that were not. */
static void test_spill_mixed_a_container_has_no_viewed_ones(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 32; i++) {
		put_next(SMALL);
		if (i % 2) {
			view(r[i]);
		}
	}
	assert_int_equal(mobi_spill_some(s, 1), 16);
	for (uint32_t i = 0; i < n; i++) {
		assert_int_equal(is_spilled(r[i]), i % 2 == 0);
	}
	all_is_there();
}

#ifdef MOB_FAILPOINTS
static int spill_and_die(void *arg)
{
	struct mob_store *own = child_open(arg);

	mobi_fault_arm("spill.freeing=kill@1");
	return mobi_spill_some(own, LARGE);
}

/* While large ones are written, whoever gets a small one need not wait. */
static void test_spill_mixed_a_small_one_waits_for_no_large_one(void **state)
{
	char name[64];
	pid_t pid;

	(void)state;
	(void)snprintf(name, sizeof(name), "%s", mob_store_name(s));
	put_next(SMALL);
	put_next(LARGE);
	pid = child_start(spill_and_die, name);
	assert_int_equal(child_result(pid), -SIGKILL);
	/* It died with the large one. */
	assert_true(mobi_load(&slot_at(s, r[1])->word) & MOBI_F_LOCK);
	assert_false(mobi_load(&slot_at(s, r[0])->word) & MOBI_F_LOCK);
	reap_until(s, MOBI_BIT(s->me));
	assert_true(is_spilled(r[1]));
	all_is_there();
}
#endif

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_spill_mixed_a_small_one_takes_no_large_one_along),
		TEST(test_spill_mixed_what_was_viewed_stays),
		TEST(test_spill_mixed_a_container_has_no_viewed_ones),
#ifdef MOB_FAILPOINTS
		TEST(test_spill_mixed_a_small_one_waits_for_no_large_one),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
