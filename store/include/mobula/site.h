/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places in the source. The calls that make objects are macros as well, which tell
 * the library where they stand; `mob memory` shows it. That costs a register and a
 * load. MOB_NO_SITES, defined before the first header, leaves the plain functions:
 * for programs that must not have the names of their files inside, and inline
 * functions of C, which cannot have a static of their own.
 */
#ifndef MOBULA_SITE_H
#define MOBULA_SITE_H

#include <stdint.h>

/* One call in the source. Static: the library keeps its number in it. */
struct mob_site {
	const char *file; /* of which the last 55 bytes are kept */
	uint32_t line;
	uint32_t number; /* the library's; 0 at first */
};

/* The place of this line: a struct mob_site *. */
#if (defined(__GNUC__) || defined(__clang__)) && !defined(MOB_NO_SITES)
#define MOB_HERE                                                               \
	__extension__({                                                        \
		static struct mob_site mobi_here = { __FILE__, __LINE__, 0 };  \
		&mobi_here;                                                    \
	})
#endif

#endif /* MOBULA_SITE_H */
