/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a task that another takes and ends meanwhile are any bytes: a walk of
 * them stays inside. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "args.h"
#include "os_clock.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((size_t)sysconf(_SC_PAGESIZE))

/* Bytes that end where no page is. */
static unsigned char *at_an_end(size_t n)
{
	unsigned char *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	assert_int_equal(mprotect(at + PAGE, PAGE, PROT_NONE), 0);
	return at + PAGE - n;
}

static void give_back(unsigned char *at, size_t n)
{
	assert_int_equal(munmap(at + n - PAGE, 2 * PAGE), 0);
}

static uint64_t head(uint64_t how, uint64_t bytes)
{
	return how << 56 | bytes;
}

static uint32_t count(const unsigned char *at, size_t n)
{
	struct mobi_args_walk w = { at, n, 0, 0 };
	uint32_t found = 0;
	uint64_t id;

	while (mobi_args_next(&w, &id)) {
		found++;
	}
	return found;
}

static void test_args_walk_of_a_head_without_a_body_stays_inside(void **state)
{
	const uint64_t how[] = { MOBI_ENC_OBJECT, MOBI_ENC_SLICE,
				 MOBI_ENC_LIST };
	unsigned char *at = at_an_end(8);

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		for (uint64_t bytes = 0; bytes < 32; bytes++) {
			uint64_t h = head(how[i], bytes);

			memcpy(at, &h, sizeof(h));
			assert_int_equal(count(at, 8), 0);
		}
	}
	give_back(at, 8);
}

static void test_args_walk_of_any_bytes_stays_inside(void **state)
{
	const size_t n = 64;
	unsigned char *at = at_an_end(n);
	uint64_t x = mobi_now_ns() | 1;

	(void)state;
	print_message("seed %" PRIu64 "\n", x);
	for (uint32_t i = 0; i < 200000; i++) {
		for (size_t k = 0; k < n; k += 8) {
			uint64_t v;

			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			v = head(x % 8, x >> 8 & 31);
			memcpy(at + k, &v, sizeof(v));
		}
		assert_true(count(at, n) <= n / 8);
	}
	give_back(at, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			test_args_walk_of_a_head_without_a_body_stays_inside),
		cmocka_unit_test(test_args_walk_of_any_bytes_stays_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
