/* SPDX-License-Identifier: Apache-2.0 */
/* Help, usage lines and the option lists of man pages. */
#include "cli_help.h"

#include "out.h"

#include <ctype.h>
#include <string.h>

#define WIDTH 80

static const struct cli_opt opt_session = {
	"session", 's',  CLI_SESSION,
	"NAME",    NULL, "the session; not needed if this user has only one"
};
static const struct cli_opt opt_json = {
	"json", 0, CLI_FLAG, NULL, NULL, "one JSON object a line"
};
static const struct cli_opt opt_no_header = {
	"no-header", 0, CLI_FLAG, NULL, NULL, "leave out the titles of columns"
};
static const struct cli_opt opt_quiet = { "quiet",  'q',
					  CLI_FLAG, NULL,
					  NULL,     "say nothing but errors" };
static const struct cli_opt opt_color = {
	"color",    0,
	CLI_CHOICE, "auto|always|never",
	"auto",     "colour; auto: on a terminal"
};
static const struct cli_opt opt_help = { "help", 'h',  CLI_FLAG,
					 NULL,   NULL, "show this help" };

size_t cli_all_opts(const struct cli_cmd *cmd, const struct cli_opt **out_opts)
{
	size_t n = 0;

	for (const struct cli_opt *o = cmd->opts; o && o->name; o++) {
		out_opts[n++] = o;
	}
	if (cmd->flags & CLI_F_SESSION) {
		out_opts[n++] = &opt_session;
	}
	if (!(cmd->flags & CLI_F_PLAIN)) {
		out_opts[n++] = &opt_json;
		out_opts[n++] = &opt_no_header;
	}
	out_opts[n++] = &opt_quiet;
	out_opts[n++] = &opt_color;
	out_opts[n++] = &opt_help;
	return n;
}

const struct cli_noun *cli_find_noun(const char *name)
{
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		if (strcmp(n->name, name) == 0) {
			return n;
		}
	}
	return NULL;
}

const struct cli_cmd *cli_find_cmd(const struct cli_noun *noun,
				   const char *name)
{
	for (const struct cli_cmd *c = noun->cmds; c->run; c++) {
		if (c->name && strcmp(c->name, name) == 0) {
			return c;
		}
	}
	return NULL;
}

/* Prints text from column at on, broken at blanks, further lines indented to
 * the same column. */
static void print_wrapped(FILE *f, int at, const char *text)
{
	int col = at;

	while (*text) {
		int n = (int)strcspn(text, " ");

		if (col > at && col + 1 + n >= WIDTH) {
			(void)fprintf(f, "\n%*s", at, "");
			col = at;
		} else if (col > at) {
			(void)fputc(' ', f);
			col++;
		}
		(void)fprintf(f, "%.*s", n, text);
		col += n;
		text += n + (text[n] == ' ');
	}
	(void)fputc('\n', f);
}

/* "  left" padded to width, then text wrapped behind it. */
static void print_item(FILE *f, const char *left, int width, const char *text)
{
	int n = (int)strlen(left);

	(void)fprintf(f, "  %s", left);
	if (n > width) {
		(void)fprintf(f, "\n%*s", width + 4, "");
	} else {
		(void)fprintf(f, "%*s", width + 2 - n, "");
	}
	print_wrapped(f, width + 4, text);
}

static bool is_hidden(const struct cli_cmd *cmd)
{
	return (cmd->flags & CLI_F_HIDDEN) != 0;
}

void cli_usage(FILE *f, const struct cli_noun *noun, const struct cli_cmd *cmd)
{
	(void)fprintf(f, "usage: mob %s%s%s [OPTION...]%s%s\n", noun->name,
		      cmd->name ? " " : "", cmd->name ? cmd->name : "",
		      *cmd->args ? " " : "", cmd->args);
}

void cli_help_all(FILE *f)
{
	char text[256];

	(void)fputs("Tasks and objects in shared memory.\n\n"
		    "usage: mob NOUN VERB [OPTION...] [ARGUMENT...]\n\n",
		    f);
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		size_t len;

		if (!n->help) {
			continue;
		}
		len = (size_t)snprintf(text, sizeof(text), "%s", n->help);
		for (const struct cli_cmd *c = n->cmds; c->run; c++) {
			if (c->name && !is_hidden(c) && len < sizeof(text)) {
				len += (size_t)snprintf(
					text + len, sizeof(text) - len, "%s%s",
					c == n->cmds ? ": " : ", ", c->name);
			}
		}
		print_item(f, n->name, 10, text);
	}
	print_item(f, "help", 10, "the help of a command: help NOUN VERB");
	(void)fputs("\nOptions follow the verb; --help shows those of a "
		    "command, mob(1) all.\n",
		    f);
}

void cli_help_noun(FILE *f, const struct cli_noun *noun)
{
	char left[64];
	int width = 8;

	(void)fprintf(f,
		      "mob %s: %s.\n\nusage: mob %s VERB [OPTION...] "
		      "[ARGUMENT...]\n\n",
		      noun->name, noun->help, noun->name);
	for (const struct cli_cmd *c = noun->cmds; c->run; c++) {
		int n = (int)(strlen(c->name) + strlen(c->args) + 1);

		if (!is_hidden(c) && n > width && n <= 28) {
			width = n;
		}
	}
	for (const struct cli_cmd *c = noun->cmds; c->run; c++) {
		if (!is_hidden(c)) {
			(void)snprintf(left, sizeof(left), "%s%s%s", c->name,
				       *c->args ? " " : "", c->args);
			print_item(f, left, width, c->help);
		}
	}
}

static void print_opt(FILE *f, const struct cli_opt *o, int width)
{
	char left[64];
	char text[512];

	(void)snprintf(left, sizeof(left), "%c%c%s --%s%s%s",
		       o->letter ? '-' : ' ', o->letter ? o->letter : ' ',
		       o->letter ? "," : " ", o->name, o->arg ? " " : "",
		       o->arg ? o->arg : "");
	(void)snprintf(text, sizeof(text), "%s%s%s%s", o->help,
		       o->def ? " (default " : "", o->def ? o->def : "",
		       o->def ? ")" : "");
	print_item(f, left, width, text);
}

void cli_help_cmd(FILE *f, const struct cli_noun *noun,
		  const struct cli_cmd *cmd)
{
	const struct cli_opt *opts[CLI_OPTS_MAX];
	size_t n = cli_all_opts(cmd, opts);
	char text[512];

	cli_usage(f, noun, cmd);
	(void)fputc('\n', f);
	(void)snprintf(text, sizeof(text), "%c%s.", toupper(cmd->help[0]),
		       cmd->help + 1);
	print_wrapped(f, 0, text);
	(void)fputs("\noptions:\n", f);
	for (size_t i = 0; i < n; i++) {
		print_opt(f, opts[i], 24);
	}
}

/* ---- man pages ---- */

/* Text with the signs that scdoc takes for mark-up escaped. */
static void man_text(FILE *f, const char *text)
{
	for (; *text; text++) {
		if (strchr("\\*_", *text)) {
			(void)fputc('\\', f);
		}
		(void)fputc(*text, f);
	}
}

static void man_opt(FILE *f, const struct cli_opt *o)
{
	if (o->letter) {
		(void)fprintf(f, "*-%c*, ", o->letter);
	}
	(void)fprintf(f, "*--%s*", o->name);
	if (o->arg) {
		(void)fputs(" _", f);
		man_text(f, o->arg);
		(void)fputs("_", f);
	}
	(void)fprintf(f, "\n\t%c", toupper(o->help[0]));
	man_text(f, o->help + 1);
	if (o->def) {
		(void)fputs(" (default ", f);
		man_text(f, o->def);
		(void)fputs(")", f);
	}
	(void)fputs(".\n\n", f);
}

static bool is_common(const struct cli_opt *o)
{
	return o == &opt_json || o == &opt_no_header || o == &opt_quiet ||
	       o == &opt_color || o == &opt_help;
}

/* line: "@options NOUN [VERB]@\n", its own options; "@options common@\n", what
 * every command has. */
static bool man_options(FILE *out, const char *line)
{
	static const struct cli_cmd none = { .args = "" };
	const struct cli_opt *opts[CLI_OPTS_MAX];
	const struct cli_noun *noun;
	const struct cli_cmd *cmd = &none;
	char n[32] = "";
	char v[32] = "";
	size_t count;

	(void)sscanf(line, "@options %31[a-z] %31[a-z]", n, v);
	if (strcmp(n, "common") != 0) {
		noun = cli_find_noun(n);
		cmd = !noun ? NULL : *v ? cli_find_cmd(noun, v) : noun->cmds;
	}
	if (!cmd) {
		return false;
	}
	count = cli_all_opts(cmd, opts);
	for (size_t i = 0; i < count; i++) {
		if (is_common(opts[i]) == (cmd == &none)) {
			man_opt(out, opts[i]);
		}
	}
	return true;
}

bool cli_man(FILE *in, FILE *out, unsigned *out_line)
{
	char line[1024];

	*out_line = 0;
	while (fgets(line, sizeof(line), in)) {
		++*out_line;
		if (strncmp(line, "@options ", 9) != 0) {
			(void)fputs(line, out);
		} else if (!man_options(out, line)) {
			return false;
		}
	}
	return true;
}
