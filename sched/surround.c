/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What surrounds a task.
 *
 * A worker runs one function at a time; one that runs inside a wait of another ends
 * before that goes on. So the process has what surrounds the innermost, and what it
 * had before is put back when that ends: each is put on a process that has nothing of
 * any other.
 */
#include "surround.h"

#include "err.h"
#include "os_surround.h"
#include "retry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what the options ask for ---- */

static int bad_env(const char *entry)
{
	return mobi_err(MOB_E_INVAL,
			"mob_submit: env has '%.80s'; each is NAME=VALUE, with "
			"a name, and not one of MOBULA_",
			entry);
}

static int too_long(void)
{
	return mobi_err(MOB_E_INVAL,
			"mob_submit: env and cwd have more than %zu bytes "
			"together",
			sizeof(((struct mobi_surround *)0)->text));
}

/* The directory, "" if there is none, then the entries; a NUL behind each. */
int mobi_surround_encode(const struct mob_task_opts *o,
			 struct mobi_surround *out)
{
	size_t n = o->cwd ? strlen(o->cwd) + 1 : 1;

	if (o->cwd && o->cwd[0] != '/') {
		return mobi_err(MOB_E_INVAL,
				"mob_submit: cwd is '%.80s'; it begins with "
				"'/'",
				o->cwd);
	}
	if (n > sizeof(out->text)) {
		return too_long();
	}
	memcpy(out->text, o->cwd ? o->cwd : "", n);
	for (const char *const *e = o->env; e && *e; e++) {
		const char *eq = strchr(*e, '=');
		size_t len = strlen(*e) + 1;

		if (!eq || eq == *e || !strncmp(*e, "MOBULA_", 7)) {
			return bad_env(*e);
		}
		if (len > sizeof(out->text) - n) {
			return too_long();
		}
		memcpy(out->text + n, *e, len);
		n += len;
	}
	out->len = (uint32_t)n;
	return 0;
}

void mobi_surround_decode(const struct mobi_surround *s, const char **env,
			  size_t max, struct mob_task_opts *out)
{
	/* One that is damaged is empty. */
	bool good = s->len && s->len <= sizeof(s->text) && !s->text[s->len - 1];
	const char *at = good ? s->text : "";
	const char *end = good ? at + s->len : at;
	size_t n = 0;

	out->cwd = *at ? at : NULL;
	for (at += strlen(at) + 1; at < end && n + 1 < max;
	     at += strlen(at) + 1) {
		env[n++] = at;
	}
	env[n] = NULL;
	out->env = n ? env : NULL;
}

int mobi_surround_row(struct mobi_sched *sh, const struct mob_task_opts *o,
		      uint32_t *out_row)
{
	struct mobi_surround want;
	int rc;

	*out_row = 0;
	if (!o->cwd && (!o->env || !*o->env)) {
		return 0;
	}
	memset(&want, 0, sizeof(want));
	rc = mobi_surround_encode(o, &want);
	if (rc < 0) {
		return rc;
	}
	for (uint32_t i = 0; i < MOBI_SURROUNDS; i++) {
		struct mobi_surround *r = &sh->surround[i];
		uint32_t st = mobi_load(&r->state);

		/* A row whose writer died is passed over, as of functions. */
		if (st == MOBI_FN_FREE &&
		    mobi_cas32(&r->state, &st, MOBI_FN_WRITING)) {
			r->len = want.len;
			memcpy(r->text, want.text, sizeof(r->text));
			mobi_store(&r->state, MOBI_FN_READY);
			st = MOBI_FN_READY;
		}
		if (st == MOBI_FN_READY && r->len == want.len &&
		    !memcmp(r->text, want.text, want.len)) {
			*out_row = i + 1;
			return 0;
		}
	}
	return mobi_err(MOB_E_LIMIT,
			"mob_submit: %u different env and cwd in one session, "
			"the most it can have",
			MOBI_SURROUNDS);
}

/* ---- in a worker ---- */

static uint32_t now; /* row + 1 of what this process has */

static int put_on(const struct mobi_sched *sh, uint32_t row)
{
	const struct mobi_surround *r;

	if (!row) {
		return 0;
	}
	r = &sh->surround[(row - 1) % MOBI_SURROUNDS];
	return mobi_os_surround(r->text, r->len);
}

int mobi_surround_enter(const struct mobi_sched *sh, uint32_t row,
			uint32_t *out_before)
{
	int rc;

	*out_before = now;
	if (row == now) {
		return 0;
	}
	mobi_os_surround_undo();
	now = 0;
	rc = put_on(sh, row);
	if (rc < 0) {
		struct mobi_err_last why;

		mobi_err_save(&why);
		mobi_surround_leave(sh, *out_before);
		mobi_err_restore(&why);
		return rc;
	}
	now = row;
	return 0;
}

void mobi_surround_leave(const struct mobi_sched *sh, uint32_t before)
{
	if (before == now) {
		return;
	}
	mobi_os_surround_undo();
	/* It could be put on before; a directory that has gone since is the loss
	 * of who waits for this one. */
	(void)put_on(sh, before);
	now = before;
}
