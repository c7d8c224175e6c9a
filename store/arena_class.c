/* SPDX-License-Identifier: Apache-2.0 */
/* The table of size classes. */
#include "arena_class.h"

/* Largest multiple of 64 of which n fit. */
#define FIT(bytes, n) ((uint32_t)((bytes) / (n)) / 64u * 64u)
#define SIXTEEN_UNITS (UINT32_C(16) << MOBI_UNIT_SHIFT)
#define SIXTYFOUR_UNITS (UINT32_C(64) << MOBI_UNIT_SHIFT)
#define UNIT ((uint32_t)MOBI_UNIT_BYTES)
/* Eight classes that end with bytes / (8 q). */
#define OCTAVE(bytes, q)                                                       \
	FIT(bytes, 15 * (q)), FIT(bytes, 14 * (q)), FIT(bytes, 13 * (q)),      \
		FIT(bytes, 12 * (q)), FIT(bytes, 11 * (q)),                    \
		FIT(bytes, 10 * (q)), FIT(bytes, 9 * (q)), FIT(bytes, 8 * (q))

/* Classes from MOBI_CLASS_SMALL on are made for slabs of 16 units, the last 16
 * of them for 64. */
#define CLASS_HUGE (MOBI_CLASSES - 16u)

static const uint32_t sizes[MOBI_CLASSES] = {
	64,
	128,
	192,
	256,
	320,
	384,
	448,
	512,
	576,
	640,
	704,
	768,
	832,
	896,
	960,
	1024,
	OCTAVE(UNIT, 4), /* to 2 KiB */
	OCTAVE(UNIT, 2),
	OCTAVE(UNIT, 1),          /* to 8 KiB */
	OCTAVE(SIXTEEN_UNITS, 8), /* to 16 KiB */
	OCTAVE(SIXTEEN_UNITS, 4),
	OCTAVE(SIXTEEN_UNITS, 2),
	OCTAVE(SIXTEEN_UNITS, 1),   /* to 128 KiB */
	OCTAVE(SIXTYFOUR_UNITS, 2), /* to 256 KiB */
	OCTAVE(SIXTYFOUR_UNITS, 1)  /* to 512 KiB */
};

/* One slab of each of the 32 middle classes is at most an eighth of the arena,
 * and so are those of the 16 huge ones: or objects of mixed sizes would leave it
 * full of slabs that are nearly empty. */
static uint32_t slab_units(uint32_t class, uint64_t units)
{
	bool huge = class >= CLASS_HUGE;
	uint32_t n = huge ? 64 : 16;

	if (class < MOBI_CLASS_SMALL) {
		return 1;
	}
	while (n && n > units / (huge ? 128 : 256)) {
		n /= 2;
	}
	return n;
}

static uint32_t list_max(uint32_t class, uint32_t blocks)
{
	if (class < MOBI_CLASS_SMALL) {
		return 2 * blocks;
	}
	return blocks < 16 ? blocks : 16;
}

void mobi_class_table(uint64_t units, struct mobi_class out[MOBI_CLASSES])
{
	for (uint32_t i = 0; i < MOBI_CLASSES; i++) {
		uint32_t in_64 = sizes[i] / 64;
		uint64_t n = slab_units(i, units);
		uint64_t slab = n << MOBI_UNIT_SHIFT;
		uint64_t blocks = slab / sizes[i];

		/* Where few fit, or a quarter of the slab would be lost at its
		 * end, units of their own serve better. */
		if (blocks < 2 || (slab - blocks * sizes[i]) * 4 > slab) {
			n = 0;
			blocks = 0;
		}
		out[i].size = sizes[i];
		out[i].units = (uint32_t)n;
		out[i].blocks = (uint32_t)blocks;
		out[i].recip = ((UINT64_C(1) << 32) + in_64 - 1) / in_64;
		out[i].list_max = list_max(i, out[i].blocks);
	}
}

uint32_t mobi_class_of(uint64_t size)
{
	uint32_t i;

	if (size <= 1024) {
		return size == 0 ? 0 : (uint32_t)((size - 1) / 64);
	}
	i = 63u - (uint32_t)__builtin_clzll(size - 1);
	i = 16 + (i - 10) * 8;
	while (sizes[i] < size) {
		i++;
	}
	return i;
}
