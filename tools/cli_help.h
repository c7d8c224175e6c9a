/* SPDX-License-Identifier: Apache-2.0 */
/* Texts made from the tables of the command line: help and man pages. */
#ifndef MOBI_CLI_HELP_H
#define MOBI_CLI_HELP_H

#include "cli.h"

#include <stdio.h>

/* The options of a command, its own, then those that every one has. Fills
 * out_opts, which has room for CLI_OPTS_MAX, and returns how many. */
size_t cli_all_opts(const struct cli_cmd *cmd, const struct cli_opt **out_opts);

/* What `mob` alone, `mob NOUN` and `mob NOUN VERB --help` print. */
void cli_help_all(FILE *f);
void cli_help_noun(FILE *f, const struct cli_noun *noun);
void cli_help_cmd(FILE *f, const struct cli_noun *noun,
		  const struct cli_cmd *cmd);
/* "usage: mob store stat [OPTION...] NAME". */
void cli_usage(FILE *f, const struct cli_noun *noun, const struct cli_cmd *cmd);

/* Copies a man page in scdoc form from in to out; a line "@options NOUN VERB@"
 * becomes the list of the command's own options, "@options common@" that of
 * those that all have. False if a line names a command
 * that there is none of; *out_line is its number. */
bool cli_man(FILE *in, FILE *out, unsigned *out_line);

/* Finds by name; NULL if there is none. */
const struct cli_noun *cli_find_noun(const char *name);
const struct cli_cmd *cli_find_cmd(const struct cli_noun *noun,
				   const char *name);

#endif /* MOBI_CLI_HELP_H */
