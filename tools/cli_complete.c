/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts for bash, zsh and fish. Names of sessions and policies
 * come from `mob` itself when the key is pressed. */
#include "cli_complete.h"

#include "cli_help.h"

#include <string.h>

#define SESSIONS "mob session list --no-header 2>/dev/null | cut -d' ' -f1"
#define POLICIES "mob plugin list --no-header 2>/dev/null | cut -d' ' -f1"

static bool shown(const struct cli_cmd *cmd)
{
	return !(cmd->flags & CLI_F_HIDDEN);
}

/* Calls fn for every command that is shown. */
static void each(FILE *f, void (*fn)(FILE *, const struct cli_noun *,
				     const struct cli_cmd *))
{
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		for (const struct cli_cmd *c = n->cmds; c->run; c++) {
			if (n->help && shown(c)) {
				fn(f, n, c);
			}
		}
	}
}

/* Prints text with each of the given signs replaced by its escape. */
static void escaped(FILE *f, const char *text, const char *signs,
		    const char *escape)
{
	for (; *text; text++) {
		if (strchr(signs, *text)) {
			(void)fputs(escape, f);
		}
		(void)fputc(*text, f);
	}
}

/* "a|b" as "a b". */
static void words(FILE *f, const char *choice)
{
	for (; *choice; choice++) {
		(void)fputc(*choice == '|' ? ' ' : *choice, f);
	}
}

/* ---- bash ---- */

static void bash_values(FILE *f, const struct cli_opt *o)
{
	(void)fprintf(f, "\t\t--%s)", o->name);
	switch (o->kind) {
	case CLI_CHOICE:
		(void)fputs(" words='", f);
		words(f, o->arg);
		(void)fputs("' ;;\n", f);
		return;
	case CLI_SESSION:
		(void)fputs(" words=$(" SESSIONS ") ;;\n", f);
		return;
	case CLI_POLICY:
		(void)fputs(" words=$(" POLICIES ") ;;\n", f);
		return;
	case CLI_FILE:
		(void)fputs(" files=1 ;;\n", f);
		return;
	default:
		(void)fputs(" words= ;;\n", f);
	}
}

static void bash_args(FILE *f, const struct cli_cmd *c)
{
	switch (c->complete) {
	case CLI_SESSION:
		(void)fputs(" words=$(" SESSIONS ")", f);
		break;
	case CLI_POLICY:
		(void)fputs(" words=$(" POLICIES ") files=1", f);
		break;
	case CLI_FILE:
		(void)fputs(" files=1", f);
		break;
	default:
		break;
	}
}

static void bash_cmd(FILE *f, const struct cli_noun *n, const struct cli_cmd *c)
{
	const struct cli_opt *opts[CLI_OPTS_MAX];
	size_t count = cli_all_opts(c, opts);

	(void)fprintf(f, "\t'%s%s%s')\n\t\topts='", n->name, c->name ? " " : "",
		      c->name ? c->name : "");
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(f, "%s--%s", i ? " " : "", opts[i]->name);
	}
	(void)fputs("'\n\t\tcase $prev in\n", f);
	for (size_t i = 0; i < count; i++) {
		if (opts[i]->kind != CLI_FLAG) {
			bash_values(f, opts[i]);
		}
	}
	(void)fputs("\t\t*)", f);
	bash_args(f, c);
	(void)fputs(" words=\"$words $opts\" ;;\n\t\tesac\n\t\t;;\n", f);
}

static void bash_nouns(FILE *f)
{
	(void)fputs("\t1) words='help", f);
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		(void)fprintf(f, "%s%s", n->help ? " " : "",
			      n->help ? n->name : "");
	}
	(void)fputs("' ;;\n", f);
}

static void bash(FILE *f)
{
	(void)fputs("# Completion of mob for bash.\n_mob() {\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=\n"
		    "\tlocal words='' opts='' files='' cmd=${COMP_WORDS[1]}\n"
		    "\t[ \"$COMP_CWORD\" -gt 1 ] && "
		    "prev=${COMP_WORDS[COMP_CWORD - 1]}\n"
		    "\tcase $cmd in\n",
		    f);
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		if (n->cmds[0].name) {
			(void)fprintf(f,
				      "\t%s)\n\t\t[ \"$COMP_CWORD\" -eq 2 ]"
				      " && words='",
				      n->name);
			for (const struct cli_cmd *c = n->cmds; c->run; c++) {
				(void)fprintf(f, "%s%s", shown(c) ? " " : "",
					      shown(c) ? c->name : "");
			}
			(void)fputs("'\n\t\t[ \"$COMP_CWORD\" -gt 2 ] && "
				    "cmd=\"$cmd ${COMP_WORDS[2]}\"\n\t\t;;\n",
				    f);
		}
	}
	(void)fputs("\tesac\n\tcase $COMP_CWORD in\n", f);
	bash_nouns(f);
	(void)fputs("\t*) case $cmd in\n", f);
	each(f, bash_cmd);
	(void)fputs("\tesac ;;\n\tesac\n"
		    "\tmapfile -t COMPREPLY < "
		    "<(compgen -W \"$words\" -- \"$cur\")\n"
		    "\tif [ -n \"$files\" ]; then\n"
		    "\t\tcompopt -o filenames\n"
		    "\t\tmapfile -t -O \"${#COMPREPLY[@]}\" COMPREPLY < "
		    "<(compgen -f -- \"$cur\")\n"
		    "\tfi\n}\ncomplete -F _mob mob\n",
		    f);
}

/* ---- zsh ---- */

static void zsh_action(FILE *f, const char *message, enum cli_kind kind,
		       const char *choice)
{
	(void)fputc(':', f);
	escaped(f, message, ":'\\", "\\");
	switch (kind) {
	case CLI_CHOICE:
		(void)fputs(":(", f);
		words(f, choice);
		(void)fputs(")", f);
		break;
	case CLI_SESSION:
		(void)fputs(":($(" SESSIONS "))", f);
		break;
	case CLI_POLICY:
		(void)fputs(":($(" POLICIES "))", f);
		break;
	case CLI_FILE:
		(void)fputs(":_files", f);
		break;
	default:
		(void)fputs(":( )", f);
	}
}

static void zsh_cmd(FILE *f, const struct cli_noun *n, const struct cli_cmd *c)
{
	const struct cli_opt *opts[CLI_OPTS_MAX];
	size_t count = cli_all_opts(c, opts);

	(void)fprintf(f, "\t'%s%s%s')\n\t\t_arguments", n->name,
		      c->name ? " " : "", c->name ? c->name : "");
	for (size_t i = 0; i < count; i++) {
		(void)fprintf(f, " \\\n\t\t\t\"--%s[", opts[i]->name);
		escaped(f, opts[i]->help, "[]:\"\\", "\\");
		(void)fputs("]", f);
		if (opts[i]->kind != CLI_FLAG) {
			zsh_action(f, "value", opts[i]->kind, opts[i]->arg);
		}
		(void)fputs("\"", f);
	}
	(void)fputs(" \\\n\t\t\t\"*:", f);
	zsh_action(f, "argument", c->complete, "");
	(void)fputs("\"\n\t\t;;\n", f);
}

static void zsh_describe(FILE *f, const char *name, const char *help)
{
	(void)fprintf(f, " \\\n\t\t\t'%s:", name);
	escaped(f, help, "\\", "\\");
	(void)fputs("'", f);
}

static void zsh(FILE *f)
{
	(void)fputs("#compdef mob\n# Completion of mob for zsh.\n_mob() {\n"
		    "\tlocal -a list\n\tlocal cmd=$words[2]\n"
		    "\tif (( CURRENT == 2 )); then\n\t\tlist=(",
		    f);
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		if (n->help) {
			zsh_describe(f, n->name, n->help);
		}
	}
	(void)fputs(")\n\t\t_describe command list\n\t\treturn\n\tfi\n"
		    "\tcase $words[2] in\n",
		    f);
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		if (!n->cmds[0].name) {
			continue;
		}
		(void)fprintf(f, "\t%s)\n\t\tlist=(", n->name);
		for (const struct cli_cmd *c = n->cmds; c->run; c++) {
			if (shown(c)) {
				zsh_describe(f, c->name, c->help);
			}
		}
		(void)fputs(")\n\t\tif (( CURRENT == 3 )); then\n"
			    "\t\t\t_describe verb list\n\t\t\treturn\n"
			    "\t\tfi\n\t\tcmd=\"$cmd $words[3]\"\n"
			    "\t\tshift words\n\t\t(( CURRENT-- ))\n\t\t;;\n",
			    f);
	}
	(void)fputs("\tesac\n\tshift words\n\t(( CURRENT-- ))\n"
		    "\tcase $cmd in\n",
		    f);
	each(f, zsh_cmd);
	(void)fputs("\tesac\n}\n_mob \"$@\"\n", f);
}

/* ---- fish ---- */

static void fish_text(FILE *f, const char *text)
{
	(void)fputs(" -d '", f);
	escaped(f, text, "'\\", "\\");
	(void)fputs("'\n", f);
}

static void fish_values(FILE *f, enum cli_kind kind, const char *choice)
{
	switch (kind) {
	case CLI_CHOICE:
		(void)fputs(" -xa '", f);
		words(f, choice);
		(void)fputs("'", f);
		break;
	case CLI_SESSION:
		(void)fputs(" -xa \"(" SESSIONS ")\"", f);
		break;
	case CLI_POLICY:
		(void)fputs(" -xa \"(" POLICIES ")\"", f);
		break;
	case CLI_FILE:
		(void)fputs(" -rF", f);
		break;
	default:
		(void)fputs(" -x", f);
	}
}

/* The condition: the words behind mob begin with this command. */
static void fish_when(FILE *f, const struct cli_noun *n,
		      const struct cli_cmd *c)
{
	(void)fprintf(f, "complete -c mob -n '__mob_at %s%s%s'", n->name,
		      c->name ? " " : "", c->name ? c->name : "");
}

static void fish_cmd(FILE *f, const struct cli_noun *n, const struct cli_cmd *c)
{
	const struct cli_opt *opts[CLI_OPTS_MAX];
	size_t count = cli_all_opts(c, opts);

	for (size_t i = 0; i < count; i++) {
		fish_when(f, n, c);
		(void)fprintf(f, " -l %s", opts[i]->name);
		if (opts[i]->letter) {
			(void)fprintf(f, " -s %c", opts[i]->letter);
		}
		if (opts[i]->kind != CLI_FLAG) {
			fish_values(f, opts[i]->kind, opts[i]->arg);
		}
		fish_text(f, opts[i]->help);
	}
	if (c->complete == CLI_FILE || c->complete == CLI_POLICY) {
		fish_when(f, n, c);
		(void)fputs(" -F\n", f);
	}
	if (c->complete == CLI_SESSION || c->complete == CLI_POLICY) {
		fish_when(f, n, c);
		(void)fprintf(f, " -a \"(%s)\"\n",
			      c->complete == CLI_SESSION ? SESSIONS : POLICIES);
	}
}

static void fish(FILE *f)
{
	(void)fputs("# Completion of mob for fish.\n"
		    "function __mob_at\n"
		    "\tset -l words (commandline -opc)\n"
		    "\ttest (count $words) -gt (count $argv); or return 1\n"
		    "\tset -l last (math 1 + (count $argv))\n"
		    "\ttest \"$words[2..$last]\" = \"$argv\"\nend\n"
		    "function __mob_verb\n"
		    "\tset -l words (commandline -opc)\n"
		    "\ttest (count $words) -eq 2; and "
		    "test $words[2] = $argv[1]\nend\n"
		    "complete -c mob -f\n",
		    f);
	for (const struct cli_noun *n = cli_nouns; n->name; n++) {
		if (!n->help) {
			continue;
		}
		(void)fprintf(f,
			      "complete -c mob -n __fish_use_subcommand"
			      " -a %s",
			      n->name);
		fish_text(f, n->help);
		for (const struct cli_cmd *c = n->cmds; c->run; c++) {
			if (c->name && shown(c)) {
				(void)fprintf(f,
					      "complete -c mob -n "
					      "'__mob_verb %s' -a %s",
					      n->name, c->name);
				fish_text(f, c->help);
			}
		}
	}
	each(f, fish_cmd);
}

bool cli_complete_script(FILE *f, const char *shell)
{
	if (strcmp(shell, "bash") == 0) {
		bash(f);
	} else if (strcmp(shell, "zsh") == 0) {
		zsh(f);
	} else if (strcmp(shell, "fish") == 0) {
		fish(f);
	} else {
		return false;
	}
	return true;
}
