/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pages of an LMDB file, looked at before LMDB uses them: it believes what it
 * reads, and a file that is cut off or has a wrong bit ends the process.
 */
#ifndef MOBI_PAGES_H
#define MOBI_PAGES_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Looks at all that the state of one transaction reaches; txn_id 0: the last one, and
 * nobody writes meanwhile. all: at every page of a tree, and the first of
 * each value that has pages of its own; otherwise only whether the file holds
 * all pages that it should, by those pages that name others, which is a hundredth of
 * them. An empty file is one that LMDB will make anew.
 * Errors: CORRUPT (says which page, and begins with `what`), AGAIN (the state is
 * overwritten by now), NOMEM, SYS.
 */
int mobi_pages_check(int fd, uint64_t txn_id, bool all, const char *what);

#endif /* MOBI_PAGES_H */
