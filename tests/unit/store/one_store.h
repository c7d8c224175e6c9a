/* SPDX-License-Identifier: Apache-2.0 */
/* Set-up and tear-down of tests each of which has a store of 16 MiB, s. */
#ifndef MOBI_TEST_ONE_STORE_H
#define MOBI_TEST_ONE_STORE_H

#include "store_fixture.h"

static struct mob_store *s;

static inline int begin(void **state)
{
	(void)state;
	s = store_new(NULL, 16 * MIB);
	return 0;
}

/* Every test leaves an empty store. */
static inline int finish(void **state)
{
	(void)state;
	store_end(s);
	return 0;
}

#endif /* MOBI_TEST_ONE_STORE_H */
