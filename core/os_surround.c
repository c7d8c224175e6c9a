/* SPDX-License-Identifier: Apache-2.0 */
/* Environment and working directory of this process, for a while. */
#define _GNU_SOURCE
#include "os_surround.h"

#include "err.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A variable as it was. */
struct was {
	struct was *next; /* set before this one */
	char *value;      /* NULL: it was not there */
	char name[];
};

static struct was *first;
/* By its path: a task may have closed any descriptor. "": not changed. */
static char dir[PATH_MAX];

static bool set_one(const char *entry)
{
	const char *eq = strchr(entry, '=');
	size_t n = eq ? (size_t)(eq - entry) : 0;
	struct was *w = eq ? malloc(sizeof(*w) + n + 1) : NULL;
	const char *value;

	if (!w) {
		return false;
	}
	memcpy(w->name, entry, n);
	w->name[n] = '\0';
	value = getenv(w->name);
	w->value = value ? strdup(value) : NULL;
	if ((value && !w->value) || setenv(w->name, eq + 1, 1)) {
		free(w->value);
		free(w);
		return false;
	}
	w->next = first;
	first = w;
	return true;
}

static int change_dir(const char *to)
{
	char was[PATH_MAX];
	int rc = 0;

	if (!getcwd(was, sizeof(was))) {
		return mobi_err_errno("cannot tell the working directory");
	}
	if (chdir(to)) {
		rc = errno == ENOENT || errno == ENOTDIR ?
			     mobi_err(MOB_E_NOT_FOUND,
				      "cwd is %.200s, which is no directory",
				      to) :
			     mobi_err_errno("cannot change to %.200s", to);
	} else {
		memcpy(dir, was, sizeof(dir));
	}
	return rc;
}

int mobi_os_surround(const char *text, size_t len)
{
	size_t at = strnlen(text, len) + 1;
	int rc = 0;

	if (*text) {
		rc = change_dir(text);
	}
	while (rc >= 0 && at < len) {
		if (!set_one(text + at)) {
			rc = mobi_err(MOB_E_NOMEM, "out of memory");
		}
		at += strnlen(text + at, len - at) + 1;
	}
	if (rc < 0) {
		struct mobi_err_last why;

		mobi_err_save(&why);
		mobi_os_surround_undo();
		mobi_err_restore(&why);
	}
	return rc;
}

void mobi_os_surround_undo(void)
{
	/* The last one that was set is the first here. */
	while (first) {
		struct was *w = first;

		first = w->next;
		if (w->value) {
			(void)setenv(w->name, w->value, 1);
		} else {
			(void)unsetenv(w->name);
		}
		free(w->value);
		free(w);
	}
	if (dir[0]) {
		(void)!chdir(dir);
		dir[0] = '\0';
	}
}
