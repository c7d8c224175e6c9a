/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Immutable by mapping: a reader's write faults in the reader, and with
 * MOBULA_CHECK_WRITES a creator's does after the seal. The bytes stay as they were.
 */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <sys/resource.h>

static const uint64_t sizes[] = { 1, 48, 49, 1000, 70000, 300000 };
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* In a child, which this may end. */
static int write_to(void *arg)
{
	volatile unsigned char *at = arg;

	(void)signal(SIGSEGV, SIG_DFL); /* cmocka has its own */
	*at = 0xee;
	return 0;
}

static void assert_faults(void *at, bool faults)
{
	struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);
	assert_int_equal(child_result(child_start(write_to, at)),
			 faults ? -SIGSEGV : 0);
}

static void assert_whole(struct mob_store *s, struct mob_ref r, uint64_t size,
			 uint64_t n)
{
	struct mob_view v;

	assert_ok(mob_object_get(s, r, 0, &v));
	assert_int_equal(v.size, size);
	assert_true(filled(v.at, size, n));
	mob_view_release(s, &v);
}

static struct mob_store *open_with(const char *check)
{
	char name[64];
	struct mob_store *s;

	assert_int_equal(setenv("MOBULA_CHECK_WRITES", check, 1), 0);
	s = store_new(name_new(name, sizeof(name), "guard"), 16 * MIB);
	assert_int_equal(unsetenv("MOBULA_CHECK_WRITES"), 0);
	return s;
}

static void test_guard_reader_that_writes_faults(void **state)
{
	struct mob_store *s = open_with("0");

	(void)state;
	for (size_t i = 0; i < SIZES; i++) {
		struct mob_ref r = put_filled(s, sizes[i], i);
		struct mob_view v;
		void *at;

		assert_ok(mob_object_get(s, r, 0, &v));
		memcpy(&at, &v.at, sizeof(at));
		assert_faults(at, true);
		mob_view_release(s, &v);
		assert_whole(s, r, sizes[i], i);
		assert_ok(mob_object_release(s, r));
	}
	store_end(s);
}

/* As a creator that keeps its pointer. */
static void keep_pointer(struct mob_store *s, bool faults)
{
	for (size_t i = 0; i < SIZES; i++) {
		struct mob_ref r;
		void *at;

		assert_ok(mob_object_create(s, sizes[i], MOB_TYPE_BYTES, &r,
					    &at));
		fill(at, sizes[i], i);
		assert_faults((char *)at + sizes[i] - 1, false);
		fill(at, sizes[i], i);
		assert_ok(mob_object_seal(s, r));
		assert_faults((char *)at + sizes[i] - 1, faults);
		if (faults) {
			assert_whole(s, r, sizes[i], i);
		}
		assert_ok(mob_object_release(s, r));
	}
}

static void test_guard_creator_that_writes_after_the_seal_faults(void **state)
{
	struct mob_store *s = open_with("1");

	(void)state;
	keep_pointer(s, true);
	store_end(s);
}

/* It is the mode that does it. */
static void test_guard_without_the_mode_the_window_stays_open(void **state)
{
	struct mob_store *s = open_with("0");

	(void)state;
	keep_pointer(s, false);
	store_end(s);
}

static void test_guard_memory_that_is_used_again_is_writable(void **state)
{
	struct mob_store *s = open_with("1");
	uint64_t seed = 99;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		uint64_t size = next_random(&seed) % 200000;
		struct mob_ref r = put_filled(s, size, (uint64_t)i);
		struct mob_ref refs;

		assert_whole(s, r, size, (uint64_t)i);
		assert_ok(mob_object_put_refs(s, &r, 1, &refs));
		assert_ok(mob_object_release(s, r));
		assert_ok(mob_object_release(s, refs));
	}
	store_end(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guard_reader_that_writes_faults),
		cmocka_unit_test(
			test_guard_creator_that_writes_after_the_seal_faults),
		cmocka_unit_test(
			test_guard_without_the_mode_the_window_stays_open),
		cmocka_unit_test(
			test_guard_memory_that_is_used_again_is_writable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
