/* SPDX-License-Identifier: Apache-2.0 */
/* Stores that outlive the machine: what comes back, and what may be asked. */
#define _GNU_SOURCE

#include "durable_fixture.h"

#include <mobula/object.h>

#include "spill.h"

/* ---- what comes back ---- */

static const uint64_t sizes[] = { 0,    1,    48,   49,    1000,       2048,
				  2049, 4096, 5000, LARGE, 3 * MIB + 1 };
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void test_durable_names_and_bytes_come_back(void **state)
{
	struct mob_store *s = create();
	struct mob_ref ref[SIZES];
	uint64_t version[SIZES];
	char as[16];

	(void)state;
	for (uint32_t i = 0; i < SIZES; i++) {
		(void)snprintf(as, sizeof(as), "o%u", i);
		ref[i] = put_filled(s, sizes[i], i);
		assert_ok(mob_name_put(s, as, ref[i], 0, &version[i]));
		assert_ok(mob_object_release(s, ref[i]));
	}
	assert_ok(mob_store_sync(s));
	reboot(s);

	s = restore();
	for (uint32_t i = 0; i < SIZES; i++) {
		struct mob_ref r;
		uint64_t v;

		(void)snprintf(as, sizeof(as), "o%u", i);
		assert_named(s, as, sizes[i], i);
		assert_ok(mob_name_get(s, as, &r, &v));
		assert_memory_equal(&r, &ref[i], sizeof(r));
		assert_int_equal(v, version[i]);
		/* The name grows beyond what it had. */
		if (i == 0) {
			uint64_t next;
			struct mob_ref other = named(s, "p", 5, 5);

			assert_ok(mob_object_hold(s, other));
			assert_ok(mob_name_put(s, as, other, MOB_NAME_REPLACE,
					       &next));
			assert_true(next > version[SIZES - 1]);
			assert_ok(mob_name_remove(s, "p"));
			assert_ok(mob_object_release(s, other));
		}
		assert_ok(mob_object_release(s, r));
		assert_ok(mob_name_remove(s, as));
	}
	/* Nothing else keeps them. */
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).used_bytes, 0);
	assert_int_equal(spill_files(s), 0);
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	mob_store_close(s);
}

static void test_durable_what_it_refers_to_comes_back(void **state)
{
	struct mob_store *s = create();
	enum { INNER = 150 }; /* more than a chunk of edges */
	struct mob_ref inner[INNER];
	struct mob_ref outer;
	struct mob_ref top;
	struct mob_ref part;
	struct mob_view v;

	(void)state;
	for (uint32_t i = 0; i < INNER; i++) {
		inner[i] = put_filled(s, i % 2 ? 100 : 5000, i);
	}
	assert_ok(mob_object_put_refs(s, inner, INNER, &outer));
	assert_ok(mob_object_put_refs(s, &outer, 1, &top));
	assert_ok(mob_object_range(s, inner[2], 1000, 2000, MOB_TYPE_BYTES,
				   &part));
	assert_ok(mob_object_pin(s, top));
	assert_ok(mob_name_put(s, "part", part, 0, NULL));
	assert_ok(mob_store_sync(s));
	reboot(s);

	s = restore();
	assert_ok(mob_object_get(s, top, 0, &v));
	assert_int_equal(v.type, MOB_TYPE_REFS);
	assert_memory_equal(v.at, &outer, sizeof(outer));
	mob_view_release(s, &v);
	assert_ok(mob_object_get(s, outer, 0, &v));
	for (uint32_t i = 0; i < INNER; i++) {
		struct mob_ref r;

		memcpy(&r, (const char *)v.at + i * sizeof(r), sizeof(r));
		assert_object(s, r, i % 2 ? 100 : 5000, i);
	}
	mob_view_release(s, &v);
	/* inner[2] lives by the range alone, then. */
	assert_ok(mob_object_unpin(s, top));
	assert_int_equal(mob_object_state(s, inner[1]), MOB_OBJECT_GONE);
	assert_int_equal(mob_object_state(s, inner[2]), MOB_OBJECT_SEALED);
	assert_ok(mob_object_get(s, part, 0, &v));
	assert_int_equal(v.size, 2000);
	for (uint32_t i = 0; i < 2000; i++) {
		assert_int_equal(((const unsigned char *)v.at)[i],
				 (unsigned char)(2 * 131 + (1000 + i) * 7));
	}
	mob_view_release(s, &v);
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 1); /* of inner[2] */
	assert_ok(mob_name_remove(s, "part"));
	assert_int_equal(counts_of(s).objects, 0);
	assert_int_equal(counts_of(s).edges, 0);
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	mob_store_close(s);
}

/* The part is what is looked at first, and its object is in a file. */
static void test_durable_part_of_a_large_object_comes_back(void **state)
{
	struct mob_store *s = create();
	struct mob_ref whole = put_filled(s, LARGE, 2);
	struct mob_ref part;
	struct mob_view v;

	(void)state;
	assert_ok(mob_object_range(s, whole, 1000, 50, MOB_TYPE_BYTES, &part));
	assert_ok(mob_name_put(s, "part", part, 0, NULL));
	assert_ok(mob_object_release(s, whole));
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	assert_ok(mob_object_get(s, part, 0, &v));
	assert_int_equal(v.size, 50);
	assert_int_equal(*(const unsigned char *)v.at,
			 (unsigned char)(2 * 131 + 1000 * 7));
	mob_view_release(s, &v);
	/* And stays where it is while others are moved. */
	(void)mobi_spill_some(s, ARENA);
	assert_ok(mob_object_get(s, part, 0, &v));
	mob_view_release(s, &v);
	assert_ok(mob_name_remove(s, "part"));
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

static void test_durable_cached_ones_are_copied_once_they_stay(void **state)
{
	struct mob_store *s = create();
	struct mob_ref a = put_filled(s, 100, 1);
	struct mob_ref b = put_filled(s, 100, 2);
	struct mob_ref c = put_filled(s, 100, 3);

	(void)state;
	assert_ok(mob_name_put(s, "a", a, MOB_NAME_CACHED, NULL));
	assert_ok(mob_name_put(s, "a2", a, MOB_NAME_CACHED, NULL));
	assert_ok(mob_name_put(s, "b", b, MOB_NAME_CACHED, NULL));
	assert_ok(mob_name_put(s, "c", c, MOB_NAME_CACHED, NULL));
	assert_ok(mob_object_pin(s, c));
	assert_ok(mob_store_sync(s));
	assert_ok(mob_name_put(s, "a", a, 0, NULL));
	assert_ok(mob_object_pin(s, b));
	assert_ok(mob_object_unpin(s, c));
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	assert_named(s, "a", 100, 1);
	assert_named(s, "a2", 100, 1);
	assert_named(s, "b", 100, 2);
	assert_no_name(s, "c");
	mob_store_close(s);
}

static void test_durable_version_grows_over_a_restore(void **state)
{
	struct mob_store *s = create();
	struct mob_ref r = put_filled(s, 10, 1);
	uint64_t before;
	uint64_t after;

	(void)state;
	for (int i = 0; i < 50; i++) {
		(void)named(s, "other", 10, (uint64_t)i);
	}
	assert_ok(mob_name_put(s, "x", r, 0, &before));
	assert_ok(mob_name_remove(s, "x"));
	assert_ok(mob_name_remove(s, "other"));
	assert_ok(mob_object_release(s, r));
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	r = put_filled(s, 10, 2);
	assert_ok(mob_name_put(s, "x", r, 0, &after));
	assert_true(after > before);
	mob_store_close(s);
}

static void test_durable_headers_and_errors_come_back(void **state)
{
	static const uint64_t shape[2] = { 25, 4 };
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;
	struct mob_store *s = create();
	struct mob_object_header got;
	struct mob_view v;
	struct mob_ref r;
	void *at;

	(void)state;
	h.content_type = "application/x-test";
	h.dtype = (struct mob_dtype){ MOB_DTYPE_UINT, 8, 1 };
	h.ndim = 2;
	memcpy(h.shape, shape, sizeof(shape));
	assert_ok(mob_object_create_with(s, 100, MOB_TYPE_BYTES, &h, &r, &at));
	fill(at, 100, 3);
	assert_ok(mob_object_seal(s, r));
	assert_ok(mob_name_put(s, "array", r, 0, NULL));
	assert_ok(mob_store_sync(s));
	reboot(s);

	s = restore();
	assert_ok(mob_name_get(s, "array", &r, NULL));
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_true(filled(v.at, 100, 3));
	assert_ok(mob_view_header(&v, &got));
	assert_string_equal(got.content_type, "application/x-test");
	assert_int_equal(got.ndim, 2);
	assert_int_equal(got.shape[0], 25);
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
	mob_store_close(s);
}

static void test_durable_is_as_it_was_at_the_sync(void **state)
{
	struct mob_store *s = create();
	struct mob_ref later[64];
	struct mob_ref kept;
	struct mob_store_stat st;

	(void)state;
	kept = named(s, "stays", 3000, 1);
	(void)named(s, "changes", 10, 2);
	(void)named(s, "goes", LARGE, 3);
	assert_ok(mob_store_sync(s));
	assert_ok(mob_store_stat(s, &st));
	assert_int_equal(st.durable, 1);
	assert_int_equal(st.durable_objects, 3);
	assert_int_equal(st.durable_unsynced, 0);
	(void)named(s, "changes", 20, 4);
	assert_ok(mob_name_remove(s, "goes"));
	for (uint32_t i = 0; i < 64; i++) {
		char as[16];

		(void)snprintf(as, sizeof(as), "late%u", i);
		later[i] = named(s, as, i % 2 ? 3000 : 10, i);
	}
	assert_ok(mob_store_stat(s, &st));
	assert_true(st.durable_unsynced >= 64);
	reboot(s);

	s = restore();
	assert_named(s, "stays", 3000, 1);
	assert_named(s, "changes", 10, 2);
	assert_named(s, "goes", LARGE, 3);
	/* What was made after the sync is gone, and its refs lead to nothing,
	 * also when their slots are used again. */
	assert_no_name(s, "late7");
	for (uint32_t i = 0; i < 64; i++) {
		(void)put_filled(s, 10, i);
	}
	for (uint32_t i = 0; i < 64; i++) {
		assert_int_equal(mob_object_hold(s, later[i]), MOB_E_BAD_REF);
	}
	/* The same for a slot that was restored. */
	assert_ok(mob_name_remove(s, "stays"));
	for (uint32_t i = 0; i < 4096; i++) {
		struct mob_ref r = put_filled(s, 10, i);

		if ((uint32_t)r.lo == (uint32_t)kept.lo) {
			assert_true(MOBI_GEN(r.lo) > MOBI_GEN(kept.lo) + 1000);
		}
		assert_ok(mob_object_release(s, r));
	}
	mob_store_close(s);
}

static void test_durable_a_pending_object_comes_when_it_is_sealed(void **state)
{
	struct mob_store *s = create();
	struct mob_ref inner = make_pending(s);
	struct mob_ref outer;

	(void)state;
	(void)named(s, "x", 10, 1);
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_name_put(s, "outer", outer, 0, NULL));
	assert_ok(mob_name_put(s, "inner", inner, 0, NULL));
	assert_ok(mob_name_put(s, "x", inner, MOB_NAME_REPLACE, NULL));
	assert_ok(mob_store_sync(s));
	assert_ok(mob_object_seal(s, inner));
	/* Not yet: nothing was synced since. */
	reboot(s);
	s = restore();
	assert_no_name(s, "outer");
	assert_no_name(s, "inner");
	assert_no_name(s, "x");
	assert_int_equal(counts_of(s).objects, 0);

	inner = make_pending(s);
	assert_ok(mob_object_put_refs(s, &inner, 1, &outer));
	assert_ok(mob_name_put(s, "outer", outer, 0, NULL));
	assert_ok(mob_store_sync(s));
	assert_ok(mob_object_seal(s, inner));
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	assert_object(s, inner, 8, 8);
	assert_object(s, inner, 8, 8);
	assert_ok(mob_name_remove(s, "outer"));
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

static void test_durable_inner_objects_go_with_the_last_outer(void **state)
{
	struct mob_store *s = create();
	struct mob_ref inner = put_filled(s, LARGE, 9);
	struct mob_ref a;
	struct mob_ref b;

	(void)state;
	assert_ok(mob_object_put_refs(s, &inner, 1, &a));
	assert_ok(mob_object_put_refs(s, &inner, 1, &b));
	assert_ok(mob_name_put(s, "a", a, 0, NULL));
	assert_ok(mob_name_put(s, "b", b, 0, NULL));
	assert_ok(mob_object_release(s, a));
	assert_ok(mob_object_release(s, b));
	assert_ok(mob_object_release(s, inner));
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 1);
	assert_ok(mob_name_remove(s, "a"));
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 1);
	reboot(s);
	s = restore();
	assert_object(s, inner, LARGE, 9);
	assert_ok(mob_name_remove(s, "b"));
	assert_ok(mob_store_sync(s));
	assert_int_equal(files(), 0);
	reboot(s);
	s = restore();
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

/* What does not fit at once is spilled, synced without coming back, restored and
 * read. */
static void test_durable_more_than_fits(void **state)
{
	enum { N = 3 * (int)(ARENA / LARGE) };
	struct mob_store *s = create();
	struct mob_store_stat st;
	char as[16];

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(as, sizeof(as), "m%u", i);
		(void)named(s, as, LARGE, i);
	}
	assert_ok(mob_store_sync(s));
	assert_ok(mob_store_stat(s, &st));
	assert_true(st.spilled_objects > N / 3);
	assert_int_equal(files(), N);
	reboot(s);
	s = restore();
	for (int turn = 0; turn < 2; turn++) {
		for (uint32_t i = 0; i < N; i++) {
			(void)snprintf(as, sizeof(as), "m%u", i);
			assert_named(s, as, LARGE, i);
		}
	}
	/* Moving in and out leaves the copy as it is. */
	reboot(s);
	s = restore();
	for (uint32_t i = 0; i < N; i++) {
		(void)snprintf(as, sizeof(as), "m%u", i);
		assert_named(s, as, LARGE, i);
		assert_ok(mob_name_remove(s, as));
	}
	assert_int_equal(counts_of(s).objects, 0);
	mob_store_close(s);
}

/* ---- the rest of its life ---- */

static void test_durable_unload_and_remove(void **state)
{
	struct mob_store *s = create();
	struct mob_store *plain;
	char other[64];

	(void)state;
	(void)named(s, "x", LARGE, 1);
	assert_int_equal(mob_store_unload(name), MOB_E_BUSY);
	assert_int_equal(mob_store_remove_copy(name, base), MOB_E_BUSY);
	mob_store_close(s);
	assert_ok(mob_store_unload(name)); /* it syncs */
	assert_int_equal(mob_store_open(name, &s), MOB_E_NOT_FOUND);
	s = restore();
	assert_named(s, "x", LARGE, 1);
	mob_store_close(s);
	assert_ok(mob_store_remove(name));
	assert_int_equal(access(copy, F_OK), -1);
	assert_int_equal(try_restore(0, &s), MOB_E_NOT_FOUND);
	s = create();
	mob_store_close(s);
	assert_ok(mob_store_unload(name));
	assert_ok(mob_store_remove_copy(name, base));
	assert_int_equal(mob_store_remove_copy(name, base), MOB_E_NOT_FOUND);
	plain = store_new(name_new(other, sizeof(other), "plain"), ARENA);
	assert_int_equal(mob_store_unload(other), MOB_E_INVAL);
	mob_store_close(plain);
}

static void test_durable_directory_has_many_paths(void **state)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *s = create();
	struct mob_store *same;
	char slash[80];
	char link[90];

	(void)state;
	(void)named(s, "x", 100, 1);
	(void)snprintf(slash, sizeof(slash), "%s//", base);
	(void)snprintf(link, sizeof(link), "%s/link", base);
	assert_int_equal(symlink(base, link), 0);
	assert_int_equal(mob_store_remove_copy(name, slash), MOB_E_BUSY);
	assert_int_equal(mob_store_remove_copy(name, link), MOB_E_BUSY);
	o.dir = slash;
	assert_ok(mob_store_restore(name, &o, NULL, NULL, &same));
	assert_named(same, "x", 100, 1);
	mob_store_close(same);
	o.dir = link;
	assert_ok(mob_store_restore(name, &o, NULL, NULL, &same));
	mob_store_close(same);
	assert_ok(mob_store_sync(s));
	reboot(s);
	s = restore();
	assert_named(s, "x", 100, 1);
	mob_store_close(s);
}

static int create_with(uint32_t flags, const char *dir, const char *spill_dir,
		       const char *as)
{
	struct mob_store_opts o = MOB_STORE_OPTS_INIT;
	struct mob_store *s = NULL;
	int rc;

	o.arena_bytes = ARENA;
	o.flags = MOB_STORE_DURABLE | flags;
	o.dir = dir;
	o.spill_dir = spill_dir;
	rc = mob_store_create(as, &o, &s);
	if (rc >= 0) {
		mob_store_close(s);
	}
	return rc;
}

static void test_durable_bad_input(void **state)
{
	struct mob_store *s;
	char path[300];

	(void)state;
	assert_int_equal(create_with(0, NULL, NULL, name), MOB_E_INVAL);
	assert_int_equal(create_with(0, base, NULL, NULL), MOB_E_INVAL);
	assert_int_equal(create_with(MOB_STORE_PRIVATE, base, NULL, name),
			 MOB_E_INVAL);
	assert_int_equal(create_with(0, base, "/tmp", name), MOB_E_INVAL);
	assert_int_equal(create_with(0, "/dev/shm", NULL, name), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "in memory"));
	assert_int_equal(create_with(0, "relative", NULL, name), MOB_E_INVAL);
	assert_true(create_with(0, "/no/such/directory", NULL, name) < 0);
	assert_int_equal(mob_store_open(name, &s), MOB_E_NOT_FOUND);
	s = create();
	mob_store_close(s);
	assert_int_equal(create_with(MOB_STORE_SPILL_ANYWHERE, base, NULL,
				     name),
			 MOB_E_EXISTS);
	assert_ok(mob_store_unload(name));
	/* The copy is not overwritten. */
	assert_int_equal(create_with(MOB_STORE_SPILL_ANYWHERE, base, NULL,
				     name),
			 MOB_E_EXISTS);
	assert_non_null(strstr(mob_err_detail(MOB_E_EXISTS), "restore"));
	/* A copy that cannot be read is an error, and is left alone. */
	(void)snprintf(path, sizeof(path), "%s/state.mdb", copy);
	write_file(path, (const unsigned char *)"no database", 11);
	assert_true(try_restore(0, &s) < 0);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(mob_store_open(name, &s), MOB_E_NOT_FOUND);
	assert_ok(mob_store_remove_copy(name, base));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_durable_names_and_bytes_come_back),
		TEST(test_durable_what_it_refers_to_comes_back),
		TEST(test_durable_headers_and_errors_come_back),
		TEST(test_durable_part_of_a_large_object_comes_back),
		TEST(test_durable_cached_ones_are_copied_once_they_stay),
		TEST(test_durable_version_grows_over_a_restore),
		TEST(test_durable_directory_has_many_paths),
		TEST(test_durable_is_as_it_was_at_the_sync),
		TEST(test_durable_a_pending_object_comes_when_it_is_sealed),
		TEST(test_durable_inner_objects_go_with_the_last_outer),
		TEST(test_durable_more_than_fits),
		TEST(test_durable_unload_and_remove),
		TEST(test_durable_bad_input),
	};

	return cmocka_run_group_tests_name("store.durable", tests, NULL, NULL);
}
