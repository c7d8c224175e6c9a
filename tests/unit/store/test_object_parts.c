/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of parts, parts of objects, other sizes, headers, tensors. */
#define _GNU_SOURCE

#include "one_store.h"

#include <mobula/object.h>

static struct mob_view view_of(struct mob_ref r)
{
	struct mob_view v;

	assert_ok(mob_object_get(s, r, 0, &v));
	return v;
}

static uint64_t block_bytes(struct mob_ref r)
{
	return mobi_arena_block_bytes(s->arena, mobi_load(&slot_at(s, r)->loc));
}

/* ---- parts ---- */

static void test_parts_are_put_one_after_the_other(void **state)
{
	static unsigned char bytes[100000];
	static const uint64_t cuts[][4] = {
		{ 0, 0, 0, 0 },    { 10, 0, 20, 18 },      { 48, 1, 0, 0 },
		{ 1, 2, 3, 4000 }, { 7, 65530, 0, 30000 },
	};

	(void)state;
	fill(bytes, sizeof(bytes), 5);
	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		struct mob_part parts[4];
		struct mob_ref r;
		struct mob_view v;
		uint64_t n = 0;

		for (int k = 0; k < 4; k++) {
			parts[k].at = cuts[i][k] ? bytes + n : NULL;
			parts[k].size = cuts[i][k];
			n += cuts[i][k];
		}
		assert_ok(mob_object_put_parts(s, parts, 4, 77, NULL, &r));
		v = view_of(r);
		assert_int_equal(v.size, n);
		assert_int_equal(v.type, 77);
		assert_memory_equal(v.at, bytes, n);
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r));
	}
}

static void test_parts_of_more_than_a_number_inval(void **state)
{
	const struct mob_part parts[] = { { "a", 1 }, { "b", UINT64_MAX } };
	struct mob_ref r;

	(void)state;
	assert_int_equal(mob_object_put_parts(s, parts, 2, 1, NULL, &r),
			 MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "part 1"));
	assert_int_equal(mob_object_put_parts(s, parts + 1, 1, 1, NULL, &r),
			 MOB_E_STORE_FULL);
}

/* ---- ranges ---- */

static void check_range(struct mob_ref r, const unsigned char *from,
			uint64_t off, uint64_t size)
{
	struct mob_view v = view_of(r);

	assert_int_equal(v.size, size);
	assert_int_equal(v.type, 9);
	assert_ptr_equal(v.at, from + off);
	mob_view_release(s, &v);
}

static void ranges_of(uint64_t size)
{
	struct mob_ref whole = put_filled(s, size, 2);
	struct mob_view v = view_of(whole);
	const unsigned char *at = v.at;
	struct mob_ref r[4];

	mob_view_release(s, &v);
	assert_ok(mob_object_range(s, whole, 0, size, 9, &r[0]));
	assert_ok(mob_object_range(s, whole, size, 0, 9, &r[1]));
	assert_ok(mob_object_range(s, whole, size / 4, size / 2, 9, &r[2]));
	/* Of a part: of the whole. */
	assert_ok(mob_object_range(s, r[2], 3, size / 4, 9, &r[3]));
	assert_ok(mob_object_release(s, r[2]));
	/* They keep the whole alive. */
	assert_ok(mob_object_release(s, whole));
	assert_int_equal(mob_object_state(s, whole), MOB_OBJECT_SEALED);
	check_range(r[0], at, 0, size);
	check_range(r[1], at, size, 0);
	check_range(r[3], at, size / 4 + 3, size / 4);
	v = view_of(r[3]);
	assert_ok(mob_object_release(s, r[0]));
	assert_ok(mob_object_release(s, r[1]));
	assert_ok(mob_object_release(s, r[3]));
	/* A view too. */
	assert_int_equal(mob_object_state(s, whole), MOB_OBJECT_SEALED);
	assert_ptr_equal(v.at, at + size / 4 + 3);
	mob_view_release(s, &v);
	assert_int_equal(mob_object_state(s, whole), MOB_OBJECT_GONE);
}

static void test_range_is_the_bytes_of_the_whole(void **state)
{
	(void)state;
	ranges_of(40);
	ranges_of(4000);
	ranges_of(3 * MIB);
}

static void test_range_bad_arguments_told(void **state)
{
	struct mob_ref whole = put_filled(s, 100, 2);
	struct mob_ref pending = make_pending(s);
	struct mob_ref r = MOB_REF_NONE;

	(void)state;
	assert_int_equal(mob_object_range(s, whole, 101, 0, 9, &r),
			 MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "has 100"));
	assert_int_equal(mob_object_range(s, whole, 1, 100, 9, &r),
			 MOB_E_INVAL);
	assert_int_equal(mob_object_range(s, whole, UINT64_MAX, 2, 9, &r),
			 MOB_E_INVAL);
	assert_int_equal(mob_object_range(s, pending, 0, 1, 9, &r),
			 MOB_E_STATE);
	assert_ok(mob_object_abort(s, pending));
	assert_int_equal(mob_object_range(s, pending, 0, 1, 9, &r),
			 MOB_E_CANCELLED);
	assert_ok(mob_object_release(s, pending));
	assert_ok(mob_object_release(s, whole));
	assert_int_equal(mob_object_range(s, whole, 0, 1, 9, &r),
			 MOB_E_BAD_REF);
}

/* ---- sizes ---- */

static void test_resize_keeps_what_fits(void **state)
{
	static const uint64_t sizes[] = { 0,       10,    48,   49,     1000,
					  2 * MIB, 70000, 4096, 100000, 30,
					  0,       5000,  47 };
	const struct counts was = counts_of(s);

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
			uint64_t keeps = sizes[i] < sizes[k] ? sizes[i] :
							       sizes[k];
			struct mob_ref r;
			struct mob_view v;
			void *at;

			assert_ok(mob_object_create(s, sizes[i], 3, &r, &at));
			fill(at, sizes[i], i);
			assert_ok(mob_object_resize(s, r, sizes[k], &at));
			assert_true(filled(at, keeps, i));
			fill(at, sizes[k], k);
			assert_ok(mob_object_seal(s, r));
			v = view_of(r);
			assert_int_equal(v.size, sizes[k]);
			assert_int_equal(v.type, 3);
			assert_true(filled(v.at, v.size, k));
			mob_view_release(s, &v);
			/* Memory that is too much is given back. */
			assert_true(block_bytes(r) <= 1024 ||
				    block_bytes(r) <= 2 * sizes[k] + 64 * KIB);
			assert_ok(mob_object_release(s, r));
		}
	}
	assert_int_equal(counts_differ(was, counts_of(s)), 0);
}

static void test_append_builds_what_was_appended(void **state)
{
	static unsigned char piece[1000];
	struct mob_ref r;
	struct mob_view v;
	uint64_t n = 0;
	uint64_t moves = 0;
	uint64_t last = 0;
	void *at;

	(void)state;
	assert_ok(mob_object_create(s, 0, MOB_TYPE_BYTES, &r, &at));
	while (n < 4 * MIB) {
		uint64_t size = n % 997 + 1;

		for (uint64_t i = 0; i < size; i++) {
			piece[i] = (unsigned char)((n + i) * 7);
		}
		assert_ok(mob_object_append(s, r, piece, size));
		n += size;
		moves += mobi_load(&slot_at(s, r)->loc) != last;
		last = mobi_load(&slot_at(s, r)->loc);
	}
	/* A constant number of copies of each byte. */
	assert_in_range(moves, 1, 60);
	assert_ok(mob_object_append(s, r, NULL, 0));
	assert_ok(mob_object_seal(s, r));
	v = view_of(r);
	assert_int_equal(v.size, n);
	assert_true(filled(v.at, v.size, 0));
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
}

static void test_resize_without_room_changes_nothing(void **state)
{
	struct mob_ref r;
	struct mob_view v;
	void *at;
	void *now = NULL;

	(void)state;
	assert_ok(mob_object_create(s, 6 * MIB, MOB_TYPE_BYTES, &r, &at));
	fill(at, 6 * MIB, 1);
	assert_int_equal(mob_object_resize(s, r, 12 * MIB, &now),
			 MOB_E_STORE_FULL);
	assert_int_equal(mob_object_resize(s, r, UINT64_MAX, &now),
			 MOB_E_STORE_FULL);
	assert_int_equal(mob_object_append(s, r, at, UINT64_MAX), MOB_E_INVAL);
	assert_null(now);
	assert_ok(mob_object_resize(s, r, 6 * MIB, &now));
	assert_ptr_equal(now, at);
	assert_ok(mob_object_seal(s, r));
	v = view_of(r);
	assert_true(v.size == 6 * MIB && filled(v.at, v.size, 1));
	mob_view_release(s, &v);
	assert_int_equal(mob_object_resize(s, r, 1, &now), MOB_E_STATE);
	assert_int_equal(mob_object_append(s, r, at, 1), MOB_E_STATE);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_resize(s, r, 1, &now), MOB_E_BAD_REF);
}

static int resizes_parents(void *arg)
{
	struct mob_store *own = child_open(mob_store_name(s));
	void *at;
	int rc = mob_object_resize(own, cell_wait(arg), 1, &at);

	mob_store_close(own);
	return rc == MOB_E_STATE ? 0 : 1;
}

static void test_resize_by_another_process_state(void **state)
{
	struct cell *cell = shared_memory(sizeof(*cell));
	struct mob_ref r = make_pending(s);

	(void)state;
	cell_set(cell, r);
	assert_int_equal(child_result(child_start(resizes_parents, cell)), 0);
	assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	assert_ok(mob_object_abort(s, r));
	assert_ok(mob_object_release(s, r));
}

/* ---- headers ---- */

static struct mob_object_header matrix(uint64_t rows, uint64_t columns)
{
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;

	h.ndim = 2;
	h.shape[0] = rows;
	h.shape[1] = columns;
	h.dtype = (struct mob_dtype){ MOB_DTYPE_FLOAT, 64, 1 };
	h.content_type = "application/x-matrix";
	h.user = "units: metres";
	h.user_size = 13;
	return h;
}

static void check_matrix(const struct mob_view *v, uint64_t rows,
			 uint64_t columns)
{
	struct mob_object_header h;

	assert_int_equal(mob_view_header(v, &h), 1);
	assert_int_equal(h.ndim, 2);
	assert_int_equal(h.shape[0], rows);
	assert_int_equal(h.shape[1], columns);
	assert_int_equal(h.dtype.code, MOB_DTYPE_FLOAT);
	assert_int_equal(h.dtype.bits, 64);
	assert_int_equal(h.dtype.lanes, 1);
	assert_string_equal(h.content_type, "application/x-matrix");
	assert_int_equal(h.user_size, 13);
	assert_memory_equal(h.user, "units: metres", 13);
}

static int reads_matrix(void *arg)
{
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_view v;

	if (mob_object_get(own, cell_wait(arg), MOB_FOREVER, &v) < 0) {
		return 1;
	}
	check_matrix(&v, 3, 4);
	mob_view_release(own, &v);
	mob_store_close(own);
	return 0;
}

static void test_header_arrives_with_the_object(void **state)
{
	struct mob_object_header h = matrix(3, 4);
	struct cell *cell = shared_memory(sizeof(*cell));
	struct mob_ref r;
	struct mob_view v;
	void *at;

	(void)state;
	assert_ok(mob_object_create_with(s, 96, MOB_TYPE_BYTES, &h, &r, &at));
	assert_int_equal((uintptr_t)at % 64, 0);
	fill(at, 96, 4);
	assert_ok(mob_object_seal(s, r));
	v = view_of(r);
	assert_int_equal(v.size, 96);
	assert_true(filled(v.at, 96, 4));
	check_matrix(&v, 3, 4);
	mob_view_release(s, &v);
	cell_set(cell, r);
	assert_int_equal(child_result(child_start(reads_matrix, cell)), 0);
	assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	assert_ok(mob_object_release(s, r));
	/* The next object of the slot has none. */
	r = put_filled(s, 96, 1);
	v = view_of(r);
	assert_int_equal(mob_view_header(&v, &h), 0);
	assert_int_equal(h.ndim, 0);
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
}

static void test_header_of_small_and_large_and_resized(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 8, 31, 48, 5000, 3 * MIB };
	struct mob_object_header h = MOB_OBJECT_HEADER_INIT;

	(void)state;
	h.content_type = "x";
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
			struct mob_object_header is;
			struct mob_ref r;
			struct mob_view v;
			void *at;

			assert_ok(mob_object_create_with(s, sizes[i], 1, &h, &r,
							 &at));
			assert_ok(mob_object_resize(s, r, sizes[k], &at));
			fill(at, sizes[k], 6);
			assert_ok(mob_object_append(s, r, "yz", 2));
			assert_ok(mob_object_seal(s, r));
			v = view_of(r);
			assert_int_equal(v.size, sizes[k] + 2);
			assert_true(filled(v.at, sizes[k], 6));
			assert_int_equal(mob_view_header(&v, &is), 1);
			assert_string_equal(is.content_type, "x");
			assert_null(is.user);
			mob_view_release(s, &v);
			assert_ok(mob_object_release(s, r));
		}
	}
}

static void test_header_of_array_fixes_its_size(void **state)
{
	struct mob_object_header h = matrix(2, 2);
	struct mob_ref r;
	void *at;

	(void)state;
	assert_ok(mob_object_create_with(s, 32, 1, &h, &r, &at));
	assert_int_equal(mob_object_resize(s, r, 64, &at), MOB_E_STATE);
	assert_int_equal(mob_object_append(s, r, "", 1), MOB_E_STATE);
	assert_ok(mob_object_abort(s, r));
	assert_ok(mob_object_release(s, r));
}

static void bad_header(struct mob_object_header h, uint64_t size,
		       const char *word)
{
	struct mob_ref r;
	void *at;

	assert_int_equal(mob_object_create_with(s, size, 1, &h, &r, &at),
			 MOB_E_INVAL);
	if (!strstr(mob_err_detail(MOB_E_INVAL), word)) {
		fail_msg("no '%s' in: %s", word, mob_err_detail(MOB_E_INVAL));
	}
}

static void test_header_bad_told(void **state)
{
	char text[MOB_CONTENT_TYPE_MAX + 2];
	struct mob_object_header h = matrix(3, 4);

	(void)state;
	bad_header(h, 95, "96 bytes, the object 95");
	h.shape[0] = UINT64_MAX;
	bad_header(h, 96, "the object 96");
	h = matrix(3, 4);
	h.ndim = 9;
	bad_header(h, 96, "header.ndim is 9");
	h = matrix(3, 4);
	h.dtype.bits = 12;
	bad_header(h, 96, "12 bits");
	h.dtype.bits = 0;
	bad_header(h, 96, "without a dtype");
	h = matrix(3, 4);
	h.dtype.code = 3;
	bad_header(h, 96, "code 3");
	h = matrix(3, 4);
	h.user = NULL;
	bad_header(h, 96, "user is NULL");
	h.user = "";
	h.user_size = MOB_HEADER_USER_MAX + 1;
	bad_header(h, 96, "4097");
	h = matrix(3, 4);
	(void)memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = 0;
	h.content_type = text;
	bad_header(h, 96, "128 bytes");
	h = matrix(3, 4);
	h.struct_size = 8;
	bad_header(h, 96, "struct_size is 8");
}

/* Any byte of it may have been changed by who wrote to a store's files. */
static void test_header_corrupt_told(void **state)
{
	struct mob_object_header h = matrix(3, 4);
	unsigned char bytes[256];
	struct mob_view v;
	struct mob_view copy;
	struct mob_ref r;
	void *at;

	(void)state;
	assert_ok(mob_object_create_with(s, 96, 1, &h, &r, &at));
	assert_ok(mob_object_seal(s, r));
	v = view_of(r);
	assert_in_range(v.size + v.header_size, 1, sizeof(bytes));
	for (uint64_t i = v.size; i < v.size + v.header_size; i++) {
		for (int bit = 0; bit < 8; bit++) {
			memcpy(bytes, v.at, v.size + v.header_size);
			bytes[i] = (unsigned char)(bytes[i] ^ 1u << bit);
			copy = v;
			copy.at = bytes;
			if (mob_view_header(&copy, &h) == 1) {
				assert_true(h.ndim <= MOB_ARRAY_DIMS);
				assert_true(strlen(h.content_type) < 128);
			}
		}
	}
	copy = v;
	for (copy.header_size = 1; copy.header_size < v.header_size;
	     copy.header_size++) {
		assert_int_equal(mob_view_header(&copy, &h), MOB_E_CORRUPT);
	}
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
}

/* ---- tensors ---- */

static void test_dlpack_describes_the_array_and_keeps_it(void **state)
{
	struct mob_object_header h = matrix(3, 4);
	struct mob_dlpack *t = NULL;
	struct mob_view v;
	struct mob_ref r;
	const void *bytes;
	void *at;

	(void)state;
	assert_ok(mob_object_create_with(s, 96, 1, &h, &r, &at));
	fill(at, 96, 4);
	assert_ok(mob_object_seal(s, r));
	v = view_of(r);
	bytes = v.at;
	assert_ok(mob_view_dlpack(s, &v, &t));
	assert_null(v.at);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_SEALED);
	assert_int_equal(t->version_major, 1);
	assert_int_equal(t->flags, 1);
	assert_ptr_equal(t->tensor.data, bytes);
	assert_int_equal(t->tensor.device_type, 1);
	assert_int_equal(t->tensor.ndim, 2);
	assert_int_equal(t->tensor.shape[0], 3);
	assert_int_equal(t->tensor.shape[1], 4);
	assert_int_equal(t->tensor.strides[0], 4);
	assert_int_equal(t->tensor.strides[1], 1);
	assert_int_equal(t->tensor.dtype.bits, 64);
	assert_true(filled(t->tensor.data, 96, 4));
	t->deleter(t);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

static void test_dlpack_of_no_array_type(void **state)
{
	struct mob_ref r = put_filled(s, 96, 1);
	struct mob_view v = view_of(r);
	struct mob_dlpack *t = NULL;

	(void)state;
	assert_int_equal(mob_view_dlpack(s, &v, &t), MOB_E_TYPE);
	assert_non_null(v.at);
	mob_view_release(s, &v);
	assert_ok(mob_object_release(s, r));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_parts_are_put_one_after_the_other),
		TEST(test_parts_of_more_than_a_number_inval),
		TEST(test_range_is_the_bytes_of_the_whole),
		TEST(test_range_bad_arguments_told),
		TEST(test_resize_keeps_what_fits),
		TEST(test_append_builds_what_was_appended),
		TEST(test_resize_without_room_changes_nothing),
		TEST(test_resize_by_another_process_state),
		TEST(test_header_arrives_with_the_object),
		TEST(test_header_of_small_and_large_and_resized),
		TEST(test_header_of_array_fixes_its_size),
		TEST(test_header_bad_told),
		TEST(test_header_corrupt_told),
		TEST(test_dlpack_describes_the_array_and_keeps_it),
		TEST(test_dlpack_of_no_array_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
