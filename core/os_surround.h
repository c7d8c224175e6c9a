/* SPDX-License-Identifier: Apache-2.0 */
/* Environment and working directory of this process, for a while. */
#ifndef MOBI_OS_SURROUND_H
#define MOBI_OS_SURROUND_H

#include <stddef.h>

/*
 * Sets the working directory, the first of the texts in [text, text + len), unless
 * it is "", and the variables, the others, each "NAME=VALUE" and a NUL. What was
 * before is kept for undo. Not twice without it. Errors: NOT_FOUND, SYS, NOMEM; then
 * nothing is changed.
 */
int mobi_os_surround(const char *text, size_t len);
/* Puts back what was; nothing if nothing was set. */
void mobi_os_surround_undo(void);

#endif /* MOBI_OS_SURROUND_H */
