/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking part in a session that is looked at, for as long as one call takes: its
 * tables are mapped read only until then.
 */
#include "inspect.h"

#include "err.h"
#include "runtime.h"
#include "sched_reap.h"

#include <stdio.h>

/* One at a time attaches: a process has the catalogue of a session open once
 * for the session it is in and once for one that it joins. */
static pthread_mutex_t attach_lock = PTHREAD_MUTEX_INITIALIZER;

/* True if this process is attached to that session. */
static bool is_mine(const struct mob_session *session)
{
	const struct mob_store *mine = mobi_rt.store;

	return mine && mobi_load_relaxed(mine->not_forked) &&
	       mine->epoch == session->s->epoch &&
	       mine->began_ns == session->s->began_ns;
}

int mobi_session_join(const struct mob_session *session,
		      int (*fn)(struct mob_store *s, void *arg), void *arg)
{
	struct mob_store *s;
	char why[512];
	int rc;

	if (is_mine(session)) {
		return fn(mobi_rt.store, arg);
	}
	(void)pthread_mutex_lock(&attach_lock);
	rc = mobi_store_open(session->s->path, MOBI_ROLE_TOOL, &s);
	if (rc >= 0) {
		/* What this process leaves is cleaned up by itself. */
		mobi_sched_reap_init(s);
		rc = fn(s, arg);
		(void)snprintf(why, sizeof(why), "%s", mob_err_detail(rc));
		mob_store_close(s);
		if (rc < 0) {
			rc = mobi_err(rc, "%s", why);
		}
	}
	(void)pthread_mutex_unlock(&attach_lock);
	return rc;
}
