/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of `mob`: one table a command, which feeds parsing, --help,
 * completion and the option list of the man pages.
 *
 *   mob NOUN VERB [OPTION...] [ARGUMENT...]
 *
 * stdout is data and nothing else; what is said about it goes to stderr.
 */
#ifndef MOBI_CLI_H
#define MOBI_CLI_H

#include <mobula/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What `mob` exits with. */
enum cli_exit {
	CLI_DONE = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_REFUSED = 4,
	CLI_TIMEOUT = 5,
	CLI_INTERRUPTED = 130
};

/* How the value of an option is checked, and what completion offers. */
enum cli_kind {
	CLI_FLAG,
	CLI_TEXT,
	CLI_NUMBER,   /* 0 and above */
	CLI_BYTES,    /* K, M, G, T suffixes */
	CLI_DURATION, /* "5s", "200ms", "forever"; kept as ns */
	CLI_CHOICE,   /* one of the words of arg, '|' between them */
	CLI_FILE,
	CLI_SESSION,
	CLI_POLICY
};

struct cli_opt {
	const char *name; /* long name */
	char letter;      /* 0: none */
	enum cli_kind kind;
	const char *arg; /* what help calls the value; CLI_CHOICE: the words */
	const char *def; /* value if it is not given, NULL: none */
	const char *help;
};

struct cli;

struct cli_cmd {
	const char *name; /* verb; NULL: the noun alone is the command */
	const char *args; /* as help shows them, "" none */
	const char *help; /* one line */
	const struct cli_opt *opts; /* ends with a name of NULL; or NULL */
	int (*run)(struct cli *c);
	uint32_t args_min;
	uint32_t args_max;
	uint32_t flags;         /* CLI_F_* */
	enum cli_kind complete; /* of its arguments */
};
#define CLI_F_HIDDEN 1u  /* not shown, not completed */
#define CLI_F_PASS 2u    /* all after the first argument is arguments */
#define CLI_F_SESSION 4u /* takes --session */
#define CLI_F_PLAIN 8u   /* prints no table: no --json, no --no-header */

#define CLI_ARGS_ANY UINT32_MAX

struct cli_noun {
	const char *name;
	const char *help;           /* NULL: not shown, not completed */
	const struct cli_cmd *cmds; /* ends with run of NULL */
};

/* All nouns; ends with a name of NULL. In mob.c. */
extern const struct cli_noun cli_nouns[];

#define CLI_OPTS_MAX 24

/* A command line that was parsed. */
struct cli {
	const struct cli_noun *noun;
	const struct cli_cmd *cmd;
	const struct cli_opt *opt[CLI_OPTS_MAX]; /* own ones, then common */
	const char *value[CLI_OPTS_MAX];         /* as given, or the default */
	bool given[CLI_OPTS_MAX];
	size_t n_opts;
	char *const *args;
	uint32_t n_args;
};

/* Runs the command line; returns what to exit with. */
int cli_main(int argc, char **argv);

/* ---- values of options; the name must be in the command's table ---- */
bool cli_flag(const struct cli *c, const char *name);
/* True if it was written on the command line. */
bool cli_given(const struct cli *c, const char *name);
/* NULL if it was not given and has no default. */
const char *cli_text(const struct cli *c, const char *name);
/* Of CLI_NUMBER, CLI_BYTES and CLI_DURATION (ns, UINT64_MAX for "forever");
 * 0 without a value. */
uint64_t cli_number(const struct cli *c, const char *name);
/* The same as a time-out: MOB_FOREVER for "forever". */
int64_t cli_timeout(const struct cli *c, const char *name);

/* ---- talk, on stderr ---- */

/* Prints "mob: text" and, if hint is not NULL, "hint: hint"; returns code. */
int cli_fail(int code, const char *hint, const char *fmt, ...) MOB_PRINTF(3, 4);
/*
 * The same for a MOB_E_* of the library: "mob: what: detail", the detail cut at
 * its "; ", whose rest is the hint. Returns the exit code that fits rc.
 */
int cli_fail_rc(int rc, const char *what);
int cli_exit_of(int rc);
/* One line on stderr unless --quiet. */
void cli_say(const char *fmt, ...) MOB_PRINTF(1, 2);
/* A line that the next one overwrites: on a terminal only, unless --quiet.
 * NULL erases it. */
void cli_progress(const char *fmt, ...) MOB_PRINTF(1, 2);

#endif /* MOBI_CLI_H */
