/* SPDX-License-Identifier: Apache-2.0 */
/* The arena in one thread: sizes, capacity, a full file system. */
#define _GNU_SOURCE

#include "arena_fixture.h"
#include "arena_impl.h"
#include "fault.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

static void test_alloc_of_any_size_is_aligned_and_long_enough(void **state)
{
	static const uint64_t sizes[] = {
		0,      1,       63,      64,       65,       100,
		1024,   1025,    4096,    4097,     8192,     8193,
		65536,  65537,   131072,  131073,   524287,   524288,
		524289, 1048576, 1048577, 16777216, 16777217, 41943040
	};
	struct fixture f;

	(void)state;
	fixture_open(&f, 128 * MIB);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		mobi_a64 loc = 0;
		unsigned char *rw;
		const unsigned char *ro;
		uint64_t bytes;

		assert_int_equal(
			mobi_arena_alloc(f.a, sizes[i], tag_of(i), &loc), 0);
		assert_true(loc > 1);
		bytes = mobi_arena_block_bytes(f.a, loc);
		assert_true(bytes >= sizes[i] && bytes >= 64);
		rw = mobi_arena_rw(f.a, loc);
		ro = mobi_arena_ro(f.a, loc);
		assert_int_equal((uintptr_t)rw % 64, 0);
		memset(rw, (int)i + 1, bytes);
		assert_int_equal(ro[0], (int)i + 1);
		assert_int_equal(ro[bytes - 1], (int)i + 1);
		assert_true(mobi_arena_free(f.a, loc, tag_of(i)));
		assert_int_equal(mobi_arena_block_bytes(f.a, loc), 0);
	}
	assert_unused(&f);
	fixture_close(&f);
}

static void test_alloc_of_each_class_fits_exactly(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, 512 * MIB);
	for (uint32_t i = 0; i < MOBI_CLASSES; i++) {
		uint64_t size = f.a->class[i].size;
		mobi_a64 loc = 0;

		assert_int_equal(size % 64, 0);
		assert_true(i == 0 || size > f.a->class[i - 1].size);
		assert_true(f.a->class[i].blocks > 0);
		assert_int_equal(mobi_arena_alloc(f.a, size, tag_of(i), &loc),
				 0);
		assert_int_equal(mobi_arena_block_bytes(f.a, loc), size);
		assert_true(mobi_arena_free(f.a, loc, tag_of(i)));
		assert_int_equal(
			mobi_arena_alloc(f.a, size + 1, tag_of(i), &loc), 0);
		assert_true(mobi_arena_block_bytes(f.a, loc) > size);
		assert_true(mobi_arena_free(f.a, loc, tag_of(i)));
	}
	assert_unused(&f);
	fixture_close(&f);
}

/* An eighth of the block, and a 40th of the slab at its end. */
static void test_alloc_wastes_at_most_an_eighth(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, 512 * MIB);
	for (uint64_t size = 449; size < 20 * MIB; size += 1 + size / 97) {
		mobi_a64 loc = 0;
		uint64_t bytes;

		assert_int_equal(mobi_arena_alloc(f.a, size, tag_of(0), &loc),
				 0);
		bytes = mobi_arena_block_bytes(f.a, loc);
		if ((bytes - size) * 8 > bytes) {
			fail_msg("%" PRIu64 " bytes take %" PRIu64, size,
				 bytes);
		}
		assert_true(mobi_arena_free(f.a, loc, tag_of(0)));
	}
	for (uint32_t i = 0; i < MOBI_CLASSES; i++) {
		const struct mobi_class *c = &f.a->class[i];
		uint64_t slab = (uint64_t)c->units * MOBI_UNIT_BYTES;

		assert_true((slab - (uint64_t)c->blocks * c->size) * 40 <=
			    slab);
	}
	fixture_close(&f);
}

static void test_alloc_of_too_much_is_store_full(void **state)
{
	struct fixture f;
	mobi_a64 loc = 5;

	(void)state;
	fixture_open(&f, 8 * MIB);
	assert_int_equal(mobi_arena_alloc(f.a, 8 * MIB + 1, tag_of(0), &loc),
			 MOB_E_STORE_FULL);
	assert_int_equal(loc, 0);
	assert_int_equal(mobi_arena_alloc(f.a, UINT64_MAX, tag_of(0), &loc),
			 MOB_E_STORE_FULL);
	assert_int_equal(mobi_arena_alloc(f.a, 64, UINT64_C(9) << 32, &loc),
			 MOB_E_INVAL);
	assert_unused(&f);
	fixture_close(&f);
}

static void test_full_arena_takes_the_same_number_again(void **state)
{
	static const uint64_t sizes[] = { 64,     100,    1000,   5000,
					  9000,   60000,  100000, 200000,
					  500000, 600000, 3000000 };
	uint64_t bytes = (SANITIZED ? 20 : 80) * MIB;
	uint64_t max = bytes / 64;
	mobi_a64 *loc = calloc(max, sizeof(*loc));
	struct fixture f;

	(void)state;
	assert_non_null(loc);
	fixture_open(&f, bytes);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t n = fill(f.a, sizes[i], loc, max);
		mobi_a64 more = 0;

		assert_true(n * sizes[i] > bytes / 100 * 60);
		for (uint64_t again = 0; again < 3; again++) {
			drop(f.a, loc, n, again * 3 + 1);
			assert_int_equal(fill(f.a, sizes[i], loc, n), n);
		}
		assert_int_equal(mobi_arena_alloc(f.a, sizes[i], tag_of(n),
						  &more),
				 MOB_E_STORE_FULL);
		drop(f.a, loc, n, 7);
		assert_unused(&f);
	}
	fixture_close(&f);
	free(loc);
}

static uint64_t random_size(uint64_t *seed)
{
	uint64_t bits = next_random(seed) % 21;

	return next_random(seed) % (UINT64_C(2) << bits);
}

static void test_random_blocks_never_overlap(void **state)
{
	enum { N = 600 };
	static struct block b[N];
	uint64_t seed = 0x9e3779b97f4a7c15u;
	uint64_t fulls = 0;
	struct fixture f;

	(void)state;
	print_message("seed %#" PRIx64 "\n", seed);
	fixture_open(&f, 40 * MIB);
	for (int turn = 0; turn < 60000; turn++) {
		uint64_t i = next_random(&seed) % N;

		if (b[i].loc) {
			assert_true(block_marked(f.a, &b[i], i));
			assert_true(mobi_arena_free(f.a, b[i].loc, tag_of(i)));
			b[i].loc = 0;
			continue;
		}
		b[i].size = random_size(&seed);
		if (mobi_arena_alloc(f.a, b[i].size, tag_of(i), &b[i].loc) !=
		    0) {
			fulls++;
			continue;
		}
		block_mark(f.a, &b[i], i);
	}
	assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
	for (uint64_t i = 0; i < N; i++) {
		if (b[i].loc) {
			assert_true(block_marked(f.a, &b[i], i));
			assert_true(mobi_arena_free(f.a, b[i].loc, tag_of(i)));
		}
	}
	assert_true(fulls > 0);
	assert_unused(&f);
	fixture_close(&f);
}

/* Blocks of all sizes from 8 KiB to 1 MiB, never more than two fifths of the
 * arena in all, by turns of several clients: there is always room. */
static void test_arena_of_mixed_sizes_is_not_full_by_half(void **state)
{
	enum { N = 400, CLIENTS = 4 };
	static struct block b[N];
	const uint64_t arena[] = { 32 * MIB, 64 * MIB, 256 * MIB };

	(void)state;
	for (size_t k = 0; k < sizeof(arena) / sizeof(arena[0]); k++) {
		struct mobi_arena *a[CLIENTS];
		uint64_t seed = 0x9e3779b97f4a7c15u + k;
		uint64_t live = 0;
		struct fixture f;

		memset(b, 0, sizeof(b));
		fixture_open(&f, arena[k]);
		a[0] = f.a;
		for (uint32_t c = 1; c < CLIENTS; c++) {
			assert_int_equal(fixture_attach(&f, ME + c, &a[c]), 0);
		}
		for (int turn = 0; turn < 20000; turn++) {
			uint64_t i = next_random(&seed) % N;
			struct mobi_arena *by = a[next_random(&seed) % CLIENTS];

			if (b[i].loc) {
				live -= mobi_arena_block_bytes(f.a, b[i].loc);
				assert_true(mobi_arena_free(by, b[i].loc,
							    tag_of(i)));
				b[i].loc = 0;
			}
			b[i].size = (8 * KIB << next_random(&seed) % 7) +
				    next_random(&seed) % (8 * KIB);
			if (live + b[i].size > arena[k] / 5 * 2) {
				continue;
			}
			if (mobi_arena_alloc(by, b[i].size, tag_of(i),
					     &b[i].loc) != 0) {
				fail_msg("turn %d: no room for %" PRIu64
					 " bytes, %" PRIu64 " of %" PRIu64 " ar"
					 "e "
					 "in "
					 "us"
					 "e",
					 turn, b[i].size, live, arena[k]);
			}
			live += mobi_arena_block_bytes(f.a, b[i].loc);
		}
		for (uint64_t i = 0; i < N; i++) {
			if (b[i].loc) {
				assert_true(mobi_arena_free(f.a, b[i].loc,
							    tag_of(i)));
			}
		}
		for (uint32_t c = 1; c < CLIENTS; c++) {
			mobi_arena_leave(a[c]);
			mobi_arena_close(a[c]);
		}
		assert_unused(&f);
		fixture_close(&f);
	}
}

static void test_free_of_anything_else_does_nothing(void **state)
{
	static const uint64_t sizes[] = { 64, 1000, 20000, 300000, 5 * MIB };
	uint64_t seed = 42;
	mobi_a64 loc[5] = { 0 };
	uint64_t n = 0;
	struct fixture f;

	(void)state;
	fixture_open(&f, 128 * MIB);
	for (uint64_t i = 0; i < 5; i++) {
		assert_int_equal(
			mobi_arena_alloc(f.a, sizes[i], tag_of(i), &loc[i]), 0);
		assert_false(mobi_arena_free(f.a, loc[i], tag_of(i + 1)));
		assert_false(mobi_arena_free(f.a, loc[i], 0));
	}
	for (uint64_t k = 0; k < 200000; k++) {
		uint64_t i = k % 5;
		uint64_t x = next_random(&seed);
		uint64_t near = loc[i] ^ (x & 0xffffff);

		assert_false(mobi_arena_free(f.a, x, tag_of(i)));
		if (near != loc[i]) {
			assert_false(mobi_arena_free(f.a, near, tag_of(i)));
			(void)mobi_arena_block_bytes(f.a, near);
		}
		(void)mobi_arena_block_bytes(f.a, x);
	}
	assert_false(mobi_arena_free(f.a, 0, tag_of(0)));
	assert_false(mobi_arena_free(f.a, 1, tag_of(0)));
	assert_null(mobi_arena_rw(f.a, 1));
	assert_null(mobi_arena_ro(f.a, UINT64_MAX));
	assert_null(mobi_arena_ro(f.a, f.bytes | 2));
	mobi_arena_walk(f.a, count_block, &n);
	assert_int_equal(n, 5);
	for (uint64_t i = 0; i < 5; i++) {
		assert_true(mobi_arena_free(f.a, loc[i], tag_of(i)));
		assert_false(mobi_arena_free(f.a, loc[i], tag_of(i)));
	}
	assert_unused(&f);
	fixture_close(&f);
}

static void test_retag_hands_a_block_to_another_slot(void **state)
{
	static const uint64_t sizes[] = { 64, 9000, 2 * MIB };
	struct fixture f;

	(void)state;
	fixture_open(&f, 64 * MIB);
	for (uint64_t i = 0; i < 3; i++) {
		mobi_a64 loc = 0;

		assert_int_equal(
			mobi_arena_alloc(f.a, sizes[i], tag_of(0), &loc), 0);
		assert_false(mobi_arena_retag(f.a, loc, tag_of(1), tag_of(2)));
		assert_false(mobi_arena_retag(f.a, loc, tag_of(0), 0));
		assert_false(
			mobi_arena_retag(f.a, loc + 64, tag_of(0), tag_of(1)));
		assert_true(mobi_arena_retag(f.a, loc, tag_of(0), tag_of(1)));
		assert_false(mobi_arena_free(f.a, loc, tag_of(0)));
		assert_true(mobi_arena_free(f.a, loc, tag_of(1)));
		assert_false(mobi_arena_retag(f.a, loc, tag_of(1), tag_of(0)));
	}
	assert_unused(&f);
	fixture_close(&f);
}

static uint64_t unit_of(uint64_t loc)
{
	return loc >> MOBI_UNIT_SHIFT;
}

/*
 * Hints of recent runs lead past the search: a short one inside a long one that
 * holds a whole group by its word, and the long one around the short one.
 */
static void test_group_and_its_units_exclude_each_other(void **state)
{
	uint64_t u = MOBI_UNIT_BYTES;
	mobi_a64 first = 0;
	mobi_a64 part = 0;
	mobi_a64 inner = 0;
	mobi_a64 whole = 0;
	struct fixture f;

	(void)state;
	fixture_open(&f, 576 * u);
	assert_int_equal(mobi_arena_alloc(f.a, 10 * u, tag_of(0), &first), 0);
	assert_int_equal(mobi_arena_alloc(f.a, 290 * u, tag_of(1), &part), 0);
	assert_int_equal(mobi_arena_alloc(f.a, 10 * u, tag_of(2), &inner), 0);
	assert_int_equal(unit_of(inner), 300);
	assert_true(mobi_arena_free(f.a, inner, tag_of(2)));
	assert_true(mobi_arena_free(f.a, part, tag_of(1)));
	/* The long run has the group of the hint. */
	assert_int_equal(mobi_arena_alloc(f.a, 528 * u, tag_of(3), &whole), 0);
	assert_int_equal(unit_of(whole), 10);
	assert_int_equal(mobi_arena_alloc(f.a, 10 * u, tag_of(2), &part), 0);
	assert_true(unit_of(part) >= 538);
	assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
	assert_true(mobi_arena_free(f.a, part, tag_of(2)));
	assert_true(mobi_arena_free(f.a, whole, tag_of(3)));
	/* The other way round: both hints are there, the short one is first. */
	assert_int_equal(mobi_arena_alloc(f.a, 290 * u, tag_of(1), &part), 0);
	assert_int_equal(mobi_arena_alloc(f.a, 10 * u, tag_of(2), &inner), 0);
	while (unit_of(inner) != 300) {
		/* Others of ten units are nearer at hand: they stay taken. */
		assert_int_equal(
			mobi_arena_alloc(f.a, 10 * u, tag_of(2), &inner), 0);
	}
	assert_true(mobi_arena_free(f.a, inner, tag_of(2)));
	assert_true(mobi_arena_free(f.a, part, tag_of(1)));
	assert_int_equal(mobi_arena_alloc(f.a, 520 * u, tag_of(3), &whole), 0);
	assert_true(mobi_arena_free(f.a, whole, tag_of(3)));
	assert_int_equal(mobi_arena_alloc(f.a, 10 * u, tag_of(2), &inner), 0);
	assert_int_equal(unit_of(inner), 300);
	assert_int_equal(mobi_arena_alloc(f.a, 520 * u, tag_of(3), &whole),
			 MOB_E_STORE_FULL);
	assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
	fixture_close(&f);
}

static void test_stat_counts_blocks_and_memory(void **state)
{
	struct mobi_arena_stat s;
	mobi_a64 loc[3];
	struct fixture f;

	(void)state;
	fixture_open(&f, 128 * MIB);
	mobi_arena_stat(f.a, &s);
	assert_int_equal(s.bytes, 128 * MIB);
	assert_int_equal(s.blocks + s.used_bytes + s.backed_bytes, 0);
	assert_int_equal(mobi_arena_alloc(f.a, 100, tag_of(0), &loc[0]), 0);
	assert_int_equal(mobi_arena_alloc(f.a, 16 * KIB, tag_of(1), &loc[1]),
			 0);
	assert_int_equal(mobi_arena_alloc(f.a, 3 * MIB, tag_of(2), &loc[2]), 0);
	mobi_arena_stat(f.a, &s);
	assert_int_equal(s.blocks, 3);
	assert_int_equal(s.used_bytes, 128 + 16 * KIB + 3 * MIB);
	assert_int_equal(s.backed_bytes, 128 * KIB + 3 * MIB);
	drop(f.a, loc, 3, 1);
	mobi_arena_stat(f.a, &s);
	assert_int_equal(s.blocks + s.used_bytes, 0);
	assert_int_equal(s.backed_bytes, 128 * KIB + 3 * MIB);
	fixture_close(&f);
}

static uint64_t file_bytes(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void test_trim_gives_memory_back_and_warm_takes_some(void **state)
{
	uint64_t max = 20 * MIB / 1000;
	mobi_a64 *loc = calloc(max, sizeof(*loc));
	struct mobi_arena_stat s;
	struct fixture f;

	(void)state;
	assert_non_null(loc);
	fixture_open(&f, 64 * MIB);
	assert_int_equal(fill(f.a, 1000, loc, max), max);
	assert_true(file_bytes(f.fd) >= 20 * MIB);
	drop(f.a, loc, max, 1);
	assert_true(file_bytes(f.fd) >= 20 * MIB);
	mobi_arena_trim(f.a, 5 * MIB);
	mobi_arena_stat(f.a, &s);
	assert_int_equal(s.backed_bytes, 5 * MIB);
	assert_int_equal(file_bytes(f.fd), 5 * MIB);
	mobi_arena_trim(f.a, 0);
	assert_int_equal(file_bytes(f.fd), 0);
	mobi_arena_warm(f.a, 10 * MIB);
	mobi_arena_stat(f.a, &s);
	assert_int_equal(s.backed_bytes, 10 * MIB);
	assert_int_equal(file_bytes(f.fd), 10 * MIB);
	/* What is taken now is what is there. */
	assert_int_equal(mobi_arena_alloc(f.a, 9 * MIB, tag_of(0), &loc[0]), 0);
	assert_int_equal(file_bytes(f.fd), 10 * MIB);
	assert_true(mobi_arena_free(f.a, loc[0], tag_of(0)));
	assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
	fixture_close(&f);
	free(loc);
}

static void test_freed_block_is_the_next_one_taken(void **state)
{
	static const uint64_t sizes[] = { 64, 5000, 100000, 2000000 };
	struct fixture f;

	(void)state;
	fixture_open(&f, 128 * MIB);
	for (size_t i = 0; i < 4; i++) {
		mobi_a64 loc[3];

		assert_int_equal(fill(f.a, sizes[i], loc, 3), 3);
		assert_true(mobi_arena_free(f.a, loc[1], tag_of(1)));
		loc[0] = loc[1];
		assert_int_equal(
			mobi_arena_alloc(f.a, sizes[i], tag_of(1), &loc[1]), 0);
		assert_int_equal(loc[0], loc[1]);
	}
	fixture_close(&f);
}

/* The generation of a unit has 22 bits. */
static void test_generation_of_a_unit_may_wrap(void **state)
{
	uint64_t last = (UINT64_C(1) << 22) - 2;
	struct fixture f;

	(void)state;
	fixture_open(&f, 8 * MIB);
	assert_unused(&f);
	for (uint64_t u = 0; u < 8 * MIB / MOBI_UNIT_BYTES; u++) {
		mobi_store(mobi_unit(f.a, u),
			   MOBI_UWORD(MOBI_U_FREE, 0, 0, 0, last));
	}
	for (int i = 0; i < 6; i++) {
		mobi_a64 loc[100];

		assert_int_equal(fill(f.a, 1000, loc, 100), 100);
		assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
		drop(f.a, loc, 100, 1);
		assert_unused(&f);
	}
	assert_true(MOBI_UGEN(mobi_load(mobi_unit(f.a, 0))) < 100);
	fixture_close(&f);
}

static void test_open_with_bad_arguments_is_refused(void **state)
{
	struct mobi_arena *a = NULL;
	struct fixture f;

	(void)state;
	fixture_open(&f, 8 * MIB);
	assert_int_equal(mobi_arena_open(f.fd, 0, f.meta, f.ctl_fd, 0, 1, &a),
			 MOB_E_INVAL);
	assert_int_equal(mobi_arena_open(f.fd, 2048 * GIB, f.meta, f.ctl_fd, 0,
					 1, &a),
			 MOB_E_INVAL);
	assert_int_equal(mobi_arena_open(f.fd, 8 * MIB, f.meta, f.ctl_fd, 0, 0,
					 &a),
			 MOB_E_INVAL);
	assert_int_equal(mobi_arena_open(f.fd, 8 * MIB, f.meta, f.ctl_fd, 0, 64,
					 &a),
			 MOB_E_INVAL);
	assert_int_equal(mobi_arena_open(f.fd, 7 * MIB, f.meta, f.ctl_fd, 0, 1,
					 &a),
			 MOB_E_CORRUPT);
	assert_null(a);
	fixture_close(&f);
	mobi_arena_close(NULL);
}

static void test_large_arena_has_sparse_tables(void **state)
{
	static const uint64_t sizes[] = { 64, 700, 30000, 300000, 40 * MIB };
	uint64_t bytes[] = { 16 * GIB, 1024 * GIB };

	(void)state;
	/* The thread sanitizer has no room for two mappings of a TiB. */
	for (int k = 0; k < (TSAN ? 1 : 2); k++) {
		mobi_a64 loc[5];
		struct fixture f;

		fixture_open(&f, bytes[k]);
		for (uint64_t i = 0; i < 5; i++) {
			assert_int_equal(mobi_arena_alloc(f.a, sizes[i],
							  tag_of(i), &loc[i]),
					 0);
			memset(mobi_arena_rw(f.a, loc[i]), 1, sizes[i]);
		}
		assert_true(file_bytes(f.ctl_fd) < 2 * MIB);
		assert_true(file_bytes(f.fd) < 42 * MIB);
		drop(f.a, loc, 5, 1);
		assert_int_equal(mobi_arena_check(f.a, 2, print_line, NULL), 0);
		fixture_close(&f);
	}
}

static void test_two_arenas_of_a_process_are_apart(void **state)
{
	uint64_t max = 8 * MIB / 1024;
	mobi_a64 *loc = calloc(2 * max, sizeof(*loc));
	struct fixture f[2];
	uint64_t n;

	(void)state;
	assert_non_null(loc);
	for (int turn = 0; turn < 3; turn++) {
		fixture_open(&f[0], 8 * MIB);
		fixture_open(&f[1], 8 * MIB);
		n = fill(f[0].a, 1024, loc, max);
		assert_int_equal(fill(f[1].a, 1024, loc + max, max), n);
		drop(f[0].a, loc, n, 3);
		fixture_close(&f[0]);
		drop(f[1].a, loc + max, n, 3);
		assert_unused(&f[1]);
		fixture_close(&f[1]);
	}
	free(loc);
}

static void test_blocks_outlive_the_client_that_made_them(void **state)
{
	struct fixture f;
	mobi_a64 loc[40];
	uint64_t n = 0;

	(void)state;
	fixture_open(&f, 16 * MIB);
	assert_int_equal(fill(f.a, 100 * KIB, loc, 40), 40);
	mobi_arena_leave(f.a);
	mobi_arena_close(f.a);
	assert_int_equal(fixture_attach(&f, 9, &f.a), 0);
	assert_int_equal(mobi_arena_check(f.a, 0, print_line, NULL), 0);
	mobi_arena_walk(f.a, count_block, &n);
	assert_int_equal(n, 40);
	drop(f.a, loc, 40, 1);
	assert_int_equal(arena_unused(f.a, f.bytes, UINT64_C(1) << 9), 0);
	fixture_close(&f);
}

static void test_backing_that_fails_is_full_and_leaks_nothing(void **state)
{
#ifdef MOB_FAILPOINTS
	static const uint64_t sizes[] = { 64, 1000, 20000, 300000, 3 * MIB };
	static const char *const what[] = { "groups", "tags", "units" };

	(void)state;
	for (int i = 0; i < 15; i++) {
		int rc = -1;

		for (int n = 1; rc != 0; n++) {
			char spec[64];
			struct fixture f;
			mobi_a64 loc = 0;

			fixture_open(&f, 128 * MIB);
			/* From the n-th on, so that trying again fails too. */
			(void)snprintf(spec, sizeof(spec),
				       "arena.back_%s=error@%d+", what[i % 3],
				       n);
			mobi_fault_arm(spec);
			rc = mobi_arena_alloc(f.a, sizes[i / 3], tag_of(0),
					      &loc);
			mobi_fault_arm("");
			assert_true(n < 100);
			if (rc != 0) {
				assert_int_equal(rc, MOB_E_STORE_FULL);
				assert_int_equal(loc, 0);
			} else {
				assert_true(n > 1);
				assert_true(
					mobi_arena_free(f.a, loc, tag_of(0)));
			}
			assert_unused(&f);
			fixture_close(&f);
		}
	}
#else
	(void)state;
	skip();
#endif
}

/* A child with a tmpfs of its own; 77 if that is not allowed here. */
static int small_tmpfs_files(struct fixture *f)
{
	if (unshare(CLONE_NEWNS) != 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("none", "/tmp", "tmpfs", 0, "size=64m") != 0) {
		return 77;
	}
	f->bytes = 256 * MIB;
	f->meta_bytes = mobi_arena_meta_bytes(f->bytes);
	f->fd = open("/tmp/arena", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	f->ctl_fd = open("/tmp/ctl", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (f->fd < 0 || f->ctl_fd < 0 ||
	    ftruncate(f->fd, (off_t)f->bytes) != 0 ||
	    ftruncate(f->ctl_fd, (off_t)f->meta_bytes) != 0) {
		return 1;
	}
	f->meta = mmap(NULL, f->meta_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		       f->ctl_fd, 0);
	return f->meta == MAP_FAILED || fixture_attach(f, ME, &f->a) != 0;
}

/* Fills, touching every byte (no SIGBUS may come), and empties again. Returns
 * how many fitted. */
static uint64_t fill_and_touch(struct fixture *f, uint64_t size, mobi_a64 *loc,
			       uint64_t max, bool *bad)
{
	uint64_t n = fill(f->a, size, loc, max);

	for (uint64_t i = 0; i < n; i++) {
		memset(mobi_arena_rw(f->a, loc[i]), 5, size);
	}
	if (n == 0 || mobi_arena_check(f->a, 2, print_line, NULL) != 0) {
		print_error("%" PRIu64 " blocks of %" PRIu64 "\n", n, size);
		*bad = true;
	}
	for (uint64_t i = 0; i < n; i++) {
		*bad |= !mobi_arena_free(f->a, loc[i], tag_of(i));
	}
	return n;
}

static int full_tmpfs_child(void)
{
	static const uint64_t sizes[] = { 1000,   64,   100000,   3 * MIB,
					  300000, 6000, 20 * MIB, 64 };
	uint64_t max = 64 * MIB / 64;
	mobi_a64 *loc = calloc(max, sizeof(*loc));
	bool bad = false;
	struct fixture f;
	int rc = small_tmpfs_files(&f);

	if (rc != 0 || !loc) {
		return rc ? rc : 1;
	}
	for (int i = 0; i < 8; i++) {
		uint64_t n = fill_and_touch(&f, sizes[i], loc, max, &bad);
		uint64_t again = fill_and_touch(&f, sizes[i], loc, max, &bad);

		/* Not the same number: tags of units that were not used before
		 * take memory too, and keep it. */
		if (n * sizes[i] < 30 * MIB || again < n - n / 50 - 1) {
			print_error("%" PRIu64 " bytes: %" PRIu64
				    ", then %" PRIu64 "\n",
				    sizes[i], n, again);
			bad = true;
		}
	}
	free(loc);
	return bad ? 1 : 0;
}

static void test_full_tmpfs_is_store_full_and_never_a_signal(void **state)
{
	pid_t pid = fork();
	int rc;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		child_signals();
		_exit(full_tmpfs_child());
	}
	rc = child_result(pid);
	if (rc == 77) {
		skip();
	}
	assert_int_equal(rc, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_alloc_of_any_size_is_aligned_and_long_enough),
		cmocka_unit_test(test_alloc_of_each_class_fits_exactly),
		cmocka_unit_test(test_alloc_wastes_at_most_an_eighth),
		cmocka_unit_test(test_alloc_of_too_much_is_store_full),
		cmocka_unit_test(test_full_arena_takes_the_same_number_again),
		cmocka_unit_test(test_random_blocks_never_overlap),
		cmocka_unit_test(test_arena_of_mixed_sizes_is_not_full_by_half),
		cmocka_unit_test(test_free_of_anything_else_does_nothing),
		cmocka_unit_test(test_retag_hands_a_block_to_another_slot),
		cmocka_unit_test(test_group_and_its_units_exclude_each_other),
		cmocka_unit_test(test_stat_counts_blocks_and_memory),
		cmocka_unit_test(
			test_trim_gives_memory_back_and_warm_takes_some),
		cmocka_unit_test(test_freed_block_is_the_next_one_taken),
		cmocka_unit_test(test_generation_of_a_unit_may_wrap),
		cmocka_unit_test(test_open_with_bad_arguments_is_refused),
		cmocka_unit_test(test_large_arena_has_sparse_tables),
		cmocka_unit_test(test_two_arenas_of_a_process_are_apart),
		cmocka_unit_test(test_blocks_outlive_the_client_that_made_them),
		cmocka_unit_test(
			test_backing_that_fails_is_full_and_leaks_nothing),
		cmocka_unit_test(
			test_full_tmpfs_is_store_full_and_never_a_signal),
	};

	return cmocka_run_group_tests_name("store.arena", tests, NULL, NULL);
}
