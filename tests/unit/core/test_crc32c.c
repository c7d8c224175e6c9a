/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C against the values of RFC 3720, and in parts. */
#include "crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void test_crc32c_known_values(void **state)
{
	unsigned char bytes[32];

	(void)state;
	assert_int_equal(mobi_crc32c(0, "123456789", 9), 0xe3069283u);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(mobi_crc32c(0, bytes, 32), 0x8a9136aau);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(mobi_crc32c(0, bytes, 32), 0x62a8ab43u);
	for (unsigned i = 0; i < 32; i++) {
		bytes[i] = (unsigned char)i;
	}
	assert_int_equal(mobi_crc32c(0, bytes, 32), 0x46dd794eu);
	assert_int_equal(mobi_crc32c(mobi_crc32c(0, bytes, 13), bytes + 13, 19),
			 0x46dd794eu);
	assert_int_equal(mobi_crc32c(0, bytes, 0), 0);
}

/* The CRC of the four CRCs, by its definition, for every length. */
static void test_crc32c_parts_is_the_crc_of_crcs(void **state)
{
	unsigned char bytes[300];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (unsigned char)(i * 7 + i / 50);
	}
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		size_t part = n / 32 * 8;
		uint32_t crc[4];

		for (size_t k = 0; k < 4; k++) {
			crc[k] = mobi_crc32c(0, bytes + k * part,
					     k < 3 ? part : n - 3 * part);
		}
		assert_int_equal(mobi_crc32c_parts(bytes, n),
				 mobi_crc32c(0, crc, sizeof(crc)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crc32c_known_values),
		cmocka_unit_test(test_crc32c_parts_is_the_crc_of_crcs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
