/* SPDX-License-Identifier: Apache-2.0 */
#include "crc32c.h"

#include "atomic.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* bits reversed */

static uint32_t by_table(uint32_t crc, const unsigned char *p, size_t n)
{
	static uint32_t table[256];
	static mobi_a32 ready; /* made twice, it is the same */

	if (!mobi_load(&ready)) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int k = 0; k < 8; k++) {
				c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
			}
			__atomic_store_n(&table[i], c, __ATOMIC_RELAXED);
		}
		mobi_store(&ready, 1u);
	}
	for (size_t i = 0; i < n; i++) {
		crc = crc >> 8 ^ __atomic_load_n(&table[(crc ^ p[i]) & 255],
						 __ATOMIC_RELAXED);
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const unsigned char *p, size_t n)
{
	uint64_t c = crc;

	for (; n >= 8; n -= 8, p += 8) {
		uint64_t v;

		memcpy(&v, p, sizeof(v));
		c = __builtin_ia32_crc32di(c, v);
	}
	crc = (uint32_t)c;
	for (; n; n--, p++) {
		crc = __builtin_ia32_crc32qi(crc, *p);
	}
	return crc;
}

static bool has_instruction(void)
{
	return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t by_instruction(uint32_t crc, const unsigned char *p, size_t n)
{
	return by_table(crc, p, n);
}

static bool has_instruction(void)
{
	return false;
}
#endif

uint32_t mobi_crc32c(uint32_t crc, const void *at, size_t n)
{
	return ~(has_instruction() ? by_instruction(~crc, at, n) :
				     by_table(~crc, at, n));
}
