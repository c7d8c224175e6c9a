/* SPDX-License-Identifier: Apache-2.0 */
/* Words and values of the command line as text. */
#ifndef MOBI_CLI_TEXT_H
#define MOBI_CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The one of the words that is nearest to text, NULL if none is near. */
const char *cli_nearest(const char *text, const char *const *words, size_t n);
/* All return false if text is none. */
bool cli_parse_number(const char *text, uint64_t *out);
bool cli_parse_bytes(const char *text, uint64_t *out);
bool cli_parse_duration(const char *text, uint64_t *out_ns);
/* True if text matches pattern, in which '*' is any run of characters and '?'
 * any one. */
bool cli_glob(const char *pattern, const char *text);

#endif /* MOBI_CLI_TEXT_H */
