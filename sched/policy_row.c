/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies of a session. A row holds the full path, so every process loads the
 * same file whatever its search path is.
 */
#include "policy_row.h"

#include "err.h"
#include "os_dl.h"
#include "plugin.h"
#include "sched_layout.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

_Static_assert(sizeof(((struct mobi_policy_row *)0)->stamp) ==
		       sizeof(struct mobi_dl_stamp),
	       "a row holds the stamp of its file");

/* Seconds of CPU time that the check of a policy may use. */
#define CHECK_CPU_S 10u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mobi_policy loaded[MOBI_POLICIES];
static mobi_a32 is_loaded[MOBI_POLICIES];

/* A process that loaded a file cannot unload it. */
static int changed(const char *path)
{
	return mobi_err(MOB_E_BUSY,
			"policy file '%s' was changed after this session first "
			"used it; give the new one another name",
			path);
}

/* Is the file of a row what it was when it was let in? */
static int check_stamp(const struct mobi_policy_row *r)
{
	struct mobi_dl_stamp now;
	int rc;

	if (!r->path[0]) {
		return 0;
	}
	rc = mobi_dl_check_file(r->path, &now);
	if (rc >= 0 && memcmp(&now, r->stamp, sizeof(now)) != 0) {
		rc = changed(r->path);
	}
	return rc;
}

int mobi_policy_row_get(struct mob_store *s, uint32_t row,
			struct mobi_policy *out_policy)
{
	struct mobi_sched *sh = s->sched;
	int rc = 0;

	if (row == 0 || row >= MOBI_POLICIES) {
		*out_policy = mobi_policy_fallback();
		return 0;
	}
	if (!mobi_load(&is_loaded[row])) {
		(void)pthread_mutex_lock(&lock);
		if (mobi_load(&sh->policy[row].state) != MOBI_FN_READY) {
			rc = mobi_err(MOB_E_NOT_FOUND, "no policy in row %u",
				      row);
		} else {
			rc = check_stamp(&sh->policy[row]);
			rc = rc < 0 ? rc :
				      mobi_policy_load(
					      sh->policy[row].path[0] ?
						      sh->policy[row].path :
						      sh->policy[row].name,
					      &loaded[row]);
		}
		if (rc >= 0) {
			mobi_store(&is_loaded[row], 1u);
		}
		(void)pthread_mutex_unlock(&lock);
		if (rc < 0) {
			return rc;
		}
	}
	*out_policy = loaded[row];
	return 0;
}

static int new_row(struct mobi_sched *sh, const char *name, const char *path,
		   const struct mobi_dl_stamp *stamp, uint32_t *out_row)
{
	for (uint32_t i = 1; i < MOBI_POLICIES; i++) {
		struct mobi_policy_row *r = &sh->policy[i];
		uint32_t st = mobi_load(&r->state);

		if (st == MOBI_FN_FREE &&
		    mobi_cas32(&r->state, &st, MOBI_FN_WRITING)) {
			(void)snprintf(r->name, sizeof(r->name), "%s", name);
			(void)snprintf(r->path, sizeof(r->path), "%s", path);
			memcpy(r->stamp, stamp, sizeof(*stamp));
			mobi_store(&r->state, MOBI_FN_READY);
			st = MOBI_FN_READY;
		}
		if (st == MOBI_FN_READY && !strcmp(r->name, name) &&
		    !strcmp(r->path, path)) {
			*out_row = i;
			return 0;
		}
	}
	return mobi_err(MOB_E_LIMIT,
			"the session has used %u policies, the most it can",
			MOBI_POLICIES - 1);
}

/* 1: it is known already, and has not been thrown out; 0: it is not. Negative:
 * it is known as another file. */
static int known(const struct mobi_sched *sh, const char *name,
		 const char *path, const struct mobi_dl_stamp *stamp,
		 uint32_t *out_row)
{
	for (uint32_t i = 1; i < MOBI_POLICIES; i++) {
		const struct mobi_policy_row *r = &sh->policy[i];

		if (mobi_load(&r->state) != MOBI_FN_READY ||
		    strcmp(r->name, name) != 0 || strcmp(r->path, path) != 0) {
			continue;
		}
		if (memcmp(r->stamp, stamp, sizeof(*stamp)) != 0) {
			return changed(path);
		}
		if (!mobi_load(&r->strikes)) {
			*out_row = i;
			return 1;
		}
	}
	return 0;
}

/* sched_ws.so is listed as ws. */
static void name_of(const char *path, char *out, size_t size)
{
	const char *base = strrchr(path, '/');
	const char *cut;

	base = base ? base + 1 : path;
	cut = strchr(base, '_');
	cut = cut ? cut + 1 : base;
	(void)snprintf(out, size, "%.*s", (int)strcspn(cut, "."), cut);
}

int mobi_policy_row_add(struct mob_store *s, const char *name_or_path,
			enum mobi_policy_trial check, uint32_t *out_row)
{
	struct mobi_dl_stamp stamp;
	char path[sizeof(((struct mobi_policy_row *)0)->path)];
	char name[sizeof(((struct mobi_policy_row *)0)->name)];
	int rc;

	if (!strcmp(name_or_path, "fifo")) {
		*out_row = 0;
		return 0;
	}
	rc = mobi_plugin_find(MOB_PLUGIN_SCHED, name_or_path, path,
			      sizeof(path));
	if (rc < 0) {
		return rc;
	}
	rc = mobi_dl_check_file(path, &stamp);
	if (rc < 0) {
		return rc;
	}
	name_of(path, name, sizeof(name));
	rc = known(s->sched, name, path, &stamp, out_row);
	if (rc != 0) {
		return rc < 0 ? rc : 0;
	}
	if (check == MOBI_POLICY_TRIAL ||
	    (check == MOBI_POLICY_TRIAL_UNLESS_OURS &&
	     !mobi_plugin_is_ours(path))) {
		rc = mobi_policy_try(name_or_path, MOBI_POLICY_CHECK_ALL,
				     CHECK_CPU_S);
		if (rc < 0) {
			return rc;
		}
	}
	return new_row(s->sched, name, path, &stamp, out_row);
}

void mobi_policy_rows_forget(void)
{
	(void)pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < MOBI_POLICIES; i++) {
		mobi_store(&is_loaded[i], 0u);
	}
	(void)pthread_mutex_unlock(&lock);
}
