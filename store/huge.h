/* SPDX-License-Identifier: Apache-2.0 */
/* Huge pages of the arena (ADR 14). */
#ifndef MOBI_HUGE_H
#define MOBI_HUGE_H

#include "segment.h"

/* The arena is open: asks for huge pages for it, if its file system gives them to
 * who asks, and MOBULA_HUGE_PAGES lets it. Errors: INVAL. */
int mobi_huge_use(struct mob_store *s);
/* UNSUPPORTED if no session can be in a directory because its file system has
 * nothing but huge pages. */
int mobi_huge_check_dir(const char *dir);

#endif /* MOBI_HUGE_H */
