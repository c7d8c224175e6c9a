/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policies of a session. A row holds the full path, so every process loads the
 * same file whatever its search path is.
 */
#include "policy_row.h"

#include "err.h"
#include "plugin.h"
#include "sched_layout.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Seconds of CPU time that the check of a policy may use. */
#define CHECK_CPU_S 10u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mobi_policy loaded[MOBI_POLICIES];
static mobi_a32 is_loaded[MOBI_POLICIES];

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
			rc = mobi_policy_load(sh->policy[row].path[0] ?
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
		   uint32_t *out_row)
{
	for (uint32_t i = 1; i < MOBI_POLICIES; i++) {
		struct mobi_policy_row *r = &sh->policy[i];
		uint32_t st = mobi_load(&r->state);

		if (st == MOBI_FN_FREE &&
		    mobi_cas32(&r->state, &st, MOBI_FN_WRITING)) {
			(void)snprintf(r->name, sizeof(r->name), "%s", name);
			(void)snprintf(r->path, sizeof(r->path), "%s", path);
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

/* Is it known already, and has it not been thrown out? */
static bool known(const struct mobi_sched *sh, const char *name,
		  const char *path, uint32_t *out_row)
{
	for (uint32_t i = 1; i < MOBI_POLICIES; i++) {
		const struct mobi_policy_row *r = &sh->policy[i];

		if (mobi_load(&r->state) == MOBI_FN_READY &&
		    !mobi_load(&r->strikes) && !strcmp(r->name, name) &&
		    !strcmp(r->path, path)) {
			*out_row = i;
			return true;
		}
	}
	return false;
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
			bool check, uint32_t *out_row)
{
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
	name_of(path, name, sizeof(name));
	if (known(s->sched, name, path, out_row)) {
		return 0;
	}
	if (check) {
		rc = mobi_policy_try(name_or_path, MOBI_POLICY_CHECK_ALL,
				     CHECK_CPU_S);
		if (rc < 0) {
			return rc;
		}
	}
	return new_row(s->sched, name, path, out_row);
}

void mobi_policy_rows_forget(void)
{
	(void)pthread_mutex_lock(&lock);
	for (uint32_t i = 0; i < MOBI_POLICIES; i++) {
		mobi_store(&is_loaded[i], 0u);
	}
	(void)pthread_mutex_unlock(&lock);
}
