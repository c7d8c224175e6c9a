/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts, made from the tables of the command line. */
#ifndef MOBI_CLI_COMPLETE_H
#define MOBI_CLI_COMPLETE_H

#include <stdbool.h>
#include <stdio.h>

/* shell: bash, zsh or fish. False: no such shell. */
bool cli_complete_script(FILE *f, const char *shell);

#endif /* MOBI_CLI_COMPLETE_H */
