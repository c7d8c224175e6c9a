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

/* One takes three cycles to end, and one can begin in each cycle. */
__attribute__((target("sse4.2"))) static void
parts_by_instruction(uint32_t crc[4], const unsigned char *p, size_t part)
{
	uint64_t c0 = crc[0];
	uint64_t c1 = crc[1];
	uint64_t c2 = crc[2];
	uint64_t c3 = crc[3];

	for (const unsigned char *end = p + part; p < end; p += 8) {
		uint64_t v[4];

		memcpy(&v[0], p, 8);
		memcpy(&v[1], p + part, 8);
		memcpy(&v[2], p + 2 * part, 8);
		memcpy(&v[3], p + 3 * part, 8);
		c0 = __builtin_ia32_crc32di(c0, v[0]);
		c1 = __builtin_ia32_crc32di(c1, v[1]);
		c2 = __builtin_ia32_crc32di(c2, v[2]);
		c3 = __builtin_ia32_crc32di(c3, v[3]);
	}
	crc[0] = (uint32_t)c0;
	crc[1] = (uint32_t)c1;
	crc[2] = (uint32_t)c2;
	crc[3] = (uint32_t)c3;
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

static void parts_by_instruction(uint32_t crc[4], const unsigned char *p,
				 size_t part)
{
	for (size_t k = 0; k < 4; k++) {
		crc[k] = by_table(crc[k], p + k * part, part);
	}
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

uint32_t mobi_crc32c_parts(const void *at, size_t n)
{
	const unsigned char *p = at;
	size_t part = n / 32 * 8; /* each a multiple of 8 */
	uint32_t crc[4] = { ~0u, ~0u, ~0u, ~0u };

	if (has_instruction()) {
		parts_by_instruction(crc, p, part);
	} else {
		for (size_t k = 0; k < 4; k++) {
			crc[k] = by_table(crc[k], p + k * part, part);
		}
	}
	for (size_t k = 0; k < 4; k++) {
		crc[k] = ~crc[k];
	}
	crc[3] = mobi_crc32c(crc[3], p + 4 * part, n - 4 * part);
	return mobi_crc32c(0, crc, sizeof(crc));
}
