/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of the command line, errors, values. */
#define _GNU_SOURCE
#include "cli.h"
#include "cli_help.h"
#include "cli_text.h"
#include "out.h"

#include <mobula/err.h>
#include <mobula/types.h>

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- talk ---- */

static void print_part(const char *label, const char *color, const char *text)
{
	bool c = out_style.err_color;

	(void)fprintf(stderr, "%s%s%s %s\n", c ? color : "", label,
		      c ? "\033[0m" : "", text);
}

int cli_fail(int code, const char *hint, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	cli_progress(NULL);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	print_part("mob:", "\033[1;31m", text);
	if (hint && *hint) {
		print_part("hint:", "\033[1m", hint);
	}
	return code;
}

int cli_exit_of(int rc)
{
	switch (rc) {
	case MOB_E_INVAL:
	case MOB_E_BAD_REF:
		return CLI_USAGE;
	case MOB_E_NOT_FOUND:
		return CLI_NOT_FOUND;
	case MOB_E_PERM:
	case MOB_E_VERSION:
	case MOB_E_PLUGIN:
	case MOB_E_BUSY:
	case MOB_E_EXISTS:
		return CLI_REFUSED;
	case MOB_E_TIMEOUT:
		return CLI_TIMEOUT;
	default:
		return rc < 0 ? CLI_FAILED : CLI_DONE;
	}
}

int cli_fail_rc(int rc, const char *what)
{
	char detail[600];
	const char *hint = NULL;
	char *cut;

	(void)snprintf(detail, sizeof(detail), "%s", mob_err_detail(rc));
	cut = strstr(detail, "; ");
	if (cut) {
		*cut = 0;
		hint = cut + 2;
	}
	return cli_fail(cli_exit_of(rc), hint, "%s: %s", what,
			*detail ? detail : mob_err_message(rc));
}

void cli_say(const char *fmt, ...)
{
	va_list ap;

	if (out_style.quiet) {
		return;
	}
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

void cli_progress(const char *fmt, ...)
{
	static bool shown;
	va_list ap;

	if (!fmt) {
		(void)fputs(shown ? "\r\033[K" : "", stderr);
		shown = false;
		return;
	}
	if (out_style.quiet || !isatty(STDERR_FILENO)) {
		return;
	}
	(void)fputs("\r\033[K", stderr);
	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fflush(stderr);
	shown = true;
}

/* ---- options ---- */

static size_t index_of(const struct cli *c, const char *name)
{
	for (size_t i = 0; i < c->n_opts; i++) {
		if (strcmp(c->opt[i]->name, name) == 0) {
			return i;
		}
	}
	(void)fprintf(stderr, "mob: no option %s in the table\n", name);
	abort();
}

bool cli_given(const struct cli *c, const char *name)
{
	return c->given[index_of(c, name)];
}

bool cli_flag(const struct cli *c, const char *name)
{
	for (size_t i = 0; i < c->n_opts; i++) {
		if (strcmp(c->opt[i]->name, name) == 0) {
			return c->given[i];
		}
	}
	return false; /* a common option that this command does not have */
}

const char *cli_text(const struct cli *c, const char *name)
{
	return c->value[index_of(c, name)];
}

static bool parse_value(const struct cli_opt *o, const char *text,
			uint64_t *out)
{
	switch (o->kind) {
	case CLI_NUMBER:
		return cli_parse_number(text, out);
	case CLI_BYTES:
		return cli_parse_bytes(text, out);
	case CLI_DURATION:
		return cli_parse_duration(text, out);
	default:
		return false;
	}
}

uint64_t cli_number(const struct cli *c, const char *name)
{
	size_t i = index_of(c, name);
	uint64_t v = 0;

	if (c->value[i]) {
		(void)parse_value(c->opt[i], c->value[i], &v); /* checked */
	}
	return v;
}

int64_t cli_timeout(const struct cli *c, const char *name)
{
	uint64_t ns = cli_number(c, name);

	return ns > INT64_MAX ? MOB_FOREVER : (int64_t)ns;
}

static bool is_choice(const char *words, const char *text)
{
	size_t n = strlen(text);

	while (*words) {
		size_t w = strcspn(words, "|");

		if (w == n && strncmp(words, text, n) == 0) {
			return true;
		}
		words += w + (words[w] == '|');
	}
	return false;
}

/* Checks a value against the kind of its option. */
static int check_value(const struct cli_opt *o, const char *text)
{
	uint64_t v;

	switch (o->kind) {
	case CLI_NUMBER:
		return parse_value(o, text, &v) ?
			       0 :
			       cli_fail(CLI_USAGE, "a number, for example 10",
					"--%s: '%s' is no number", o->name,
					text);
	case CLI_BYTES:
		return parse_value(o, text, &v) ?
			       0 :
			       cli_fail(CLI_USAGE,
					"a number of bytes, or with K, M, G "
					"or T, for example 512M",
					"--%s: '%s' is no size", o->name, text);
	case CLI_DURATION:
		return parse_value(o, text, &v) ?
			       0 :
			       cli_fail(CLI_USAGE,
					"seconds, or with ns, us, ms, s, m or"
					" h, or forever; for example 200ms",
					"--%s: '%s' is no duration", o->name,
					text);
	case CLI_CHOICE:
		return is_choice(o->arg, text) ?
			       0 :
			       cli_fail(CLI_USAGE, NULL,
					"--%s: '%s' is not one of %s", o->name,
					text, o->arg);
	default:
		return 0;
	}
}

/* ---- parsing ---- */

static void collect_opts(struct cli *c)
{
	c->n_opts = cli_all_opts(c->cmd, c->opt);
	for (size_t i = 0; i < c->n_opts; i++) {
		c->value[i] = c->opt[i]->def;
	}
}

static int usage_hint(const struct cli *c, const char *fmt, ...)
	MOB_PRINTF(2, 3);

/* A usage error whose hint is the usage line. */
static int usage_hint(const struct cli *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)cli_fail(CLI_USAGE, NULL, "%s", text);
	cli_usage(stderr, c->noun, c->cmd);
	return CLI_USAGE;
}

static int unknown_option(const struct cli *c, const char *word)
{
	const char *names[CLI_OPTS_MAX];
	char name[32];
	char hint[64];
	const char *near;

	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="),
		       word + 2);
	for (size_t i = 0; i < c->n_opts; i++) {
		names[i] = c->opt[i]->name;
	}
	near = cli_nearest(name, names, c->n_opts);
	if (!near) {
		return usage_hint(c, "unknown option '--%s'", name);
	}
	(void)snprintf(hint, sizeof(hint), "did you mean --%s?", near);
	return cli_fail(CLI_USAGE, hint, "unknown option '--%s'", name);
}

/* What getopt_long did not take: optopt is a letter, the number of a long
 * option, or 0 for a long one that there is not; word is where it stopped. */
static int bad_option(const struct cli *c, int found, const char *word)
{
	char name[40];

	if (optopt == 0) {
		return unknown_option(c, word);
	}
	if (optopt >= 256) {
		(void)snprintf(name, sizeof(name), "--%s",
			       c->opt[optopt - 256]->name);
	} else {
		(void)snprintf(name, sizeof(name), "-%c", optopt);
	}
	if (found == ':') {
		return usage_hint(c, "%s needs a value", name);
	}
	return usage_hint(
		c, optopt >= 256 ? "%s takes no value" : "unknown option '%s'",
		name);
}

/* Fills c->value and c->given from argv, whose first word is skipped. */
static int parse_opts(struct cli *c, int argc, char **argv)
{
	struct option longs[CLI_OPTS_MAX + 1] = { { 0 } };
	char shorts[3 + 2 * CLI_OPTS_MAX] = "";
	char *s = shorts;
	int found;
	int rc = 0;

	if (c->cmd->flags & CLI_F_PASS) {
		*s++ = '+';
	}
	*s++ = ':';
	for (size_t i = 0; i < c->n_opts; i++) {
		bool value = c->opt[i]->kind != CLI_FLAG;

		longs[i] = (struct option){ c->opt[i]->name,
					    value ? required_argument :
						    no_argument,
					    NULL, 256 + (int)i };
		if (c->opt[i]->letter) {
			*s++ = c->opt[i]->letter;
			*s = ':';
			s += value;
		}
	}
	*s = 0;
	opterr = 0;
	optind = 0;
	while (!rc &&
	       (found = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		size_t i = (size_t)(found - 256);

		if (found == '?' || found == ':') {
			return bad_option(c, found, argv[optind - 1]);
		}
		if (found < 256) {
			for (i = 0; c->opt[i]->letter != found; i++) {
			}
		}
		c->given[i] = true;
		if (c->opt[i]->kind != CLI_FLAG) {
			c->value[i] = optarg;
			rc = check_value(c->opt[i], optarg);
		}
	}
	c->args = (char *const *)&argv[optind];
	c->n_args = (uint32_t)(argc - optind);
	return rc;
}

static enum out_color color_of(const struct cli *c)
{
	const char *when = cli_text(c, "color");

	return strcmp(when, "always") == 0 ? OUT_ALWAYS :
	       strcmp(when, "never") == 0  ? OUT_NEVER :
					     OUT_AUTO;
}

static int check_args(const struct cli *c)
{
	if (c->n_args < c->cmd->args_min) {
		return usage_hint(c, "%s is missing",
				  c->n_args == 0 ? c->cmd->args :
						   "an argument");
	}
	if (c->n_args > c->cmd->args_max) {
		return usage_hint(c, "unexpected argument '%s'",
				  c->args[c->cmd->args_max]);
	}
	return 0;
}

/* argv: the last word of the command's name, then options and arguments. */
static int run_cmd(const struct cli_noun *noun, const struct cli_cmd *cmd,
		   int argc, char **argv)
{
	struct cli c = { .noun = noun, .cmd = cmd };
	int rc;

	collect_opts(&c);
	rc = parse_opts(&c, argc, argv);
	if (rc) {
		return rc;
	}
	if (cli_flag(&c, "help")) {
		cli_help_cmd(stdout, noun, cmd);
		return CLI_DONE;
	}
	out_style_init(cli_flag(&c, "json"), !cli_flag(&c, "no-header"),
		       cli_flag(&c, "quiet"), color_of(&c));
	rc = check_args(&c);
	return rc ? rc : cmd->run(&c);
}

static int unknown_word(const char *kind, const char *of, const char *word,
			const char *const *words, size_t n)
{
	const char *near = cli_nearest(word, words, n);
	char hint[96];

	if (near) {
		(void)snprintf(hint, sizeof(hint), "did you mean '%s%s%s'?", of,
			       *of ? " " : "", near);
	} else {
		(void)snprintf(hint, sizeof(hint),
			       "'mob%s%s' shows what there is", *of ? " " : "",
			       of);
	}
	return cli_fail(CLI_USAGE, hint, "unknown %s '%s'", kind, word);
}

static int unknown_noun(const char *word)
{
	const char *words[32];
	size_t n = 0;

	for (const struct cli_noun *i = cli_nouns; i->name && n < 32; i++) {
		if (i->help) {
			words[n++] = i->name;
		}
	}
	return unknown_word("command", "", word, words, n);
}

static int unknown_verb(const struct cli_noun *noun, const char *word)
{
	const char *words[32];
	char of[32];
	size_t n = 0;

	for (const struct cli_cmd *i = noun->cmds; i->run && n < 32; i++) {
		if (!(i->flags & CLI_F_HIDDEN)) {
			words[n++] = i->name;
		}
	}
	(void)snprintf(of, sizeof(of), "%s", noun->name);
	return unknown_word("verb", of, word, words, n);
}

static bool is_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 ||
	       strcmp(word, "help") == 0;
}

/* argv[0] is the noun. */
static int run_noun(int argc, char **argv)
{
	const struct cli_noun *noun = cli_find_noun(argv[0]);
	const struct cli_cmd *cmd;

	if (!noun) {
		return unknown_noun(argv[0]);
	}
	if (!noun->cmds[0].name) {
		return run_cmd(noun, &noun->cmds[0], argc, argv);
	}
	if (argc < 2 || is_help(argv[1])) {
		cli_help_noun(stdout, noun);
		return CLI_DONE;
	}
	if (argv[1][0] == '-') {
		return cli_fail(CLI_USAGE, "options follow the verb",
				"'mob %s' needs a verb before '%s'", noun->name,
				argv[1]);
	}
	cmd = cli_find_cmd(noun, argv[1]);
	if (!cmd) {
		return unknown_verb(noun, argv[1]);
	}
	return run_cmd(noun, cmd, argc - 1, argv + 1);
}

/* mob help [NOUN [VERB]]: what comes after it with --help. */
static int run_help(int argc, char **argv)
{
	const struct cli_noun *noun;
	const struct cli_cmd *cmd;

	if (argc == 0) {
		cli_help_all(stdout);
		return CLI_DONE;
	}
	noun = cli_find_noun(argv[0]);
	if (!noun) {
		return unknown_noun(argv[0]);
	}
	if (argc == 1 && noun->cmds[0].name) {
		cli_help_noun(stdout, noun);
		return CLI_DONE;
	}
	cmd = noun->cmds[0].name ? cli_find_cmd(noun, argv[1]) : noun->cmds;
	if (!cmd) {
		return unknown_verb(noun, argv[1]);
	}
	cli_help_cmd(stdout, noun, cmd);
	return CLI_DONE;
}

static int run_line(int argc, char **argv)
{
	static char version[] = "version";
	static char *version_line[] = { version, NULL };

	if (argc < 1) {
		cli_help_all(stdout);
		return CLI_DONE;
	}
	if (is_help(argv[0])) {
		return run_help(argc - 1, argv + 1);
	}
	if (strcmp(argv[0], "--version") == 0) {
		return run_noun(1, version_line);
	}
	if (argv[0][0] == '-') {
		return cli_fail(CLI_USAGE,
				"options follow the verb: mob store list "
				"--json",
				"unknown option '%s'", argv[0]);
	}
	return run_noun(argc, argv);
}

int cli_main(int argc, char **argv)
{
	int rc;

	out_style_init(false, true, false, OUT_AUTO);
	rc = run_line(argc - 1, argv + 1);
	if (!out_flush()) {
		int code = rc == CLI_DONE ? CLI_FAILED : rc;

		return cli_fail(code, NULL, "cannot write to standard output");
	}
	return rc;
}
