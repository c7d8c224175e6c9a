/* SPDX-License-Identifier: Apache-2.0 */
/* What tasks have started ends with their worker. */
#include "strays.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The tags around this process. In a worker the first is its own. */
static const char *tags_around(const struct mob_store *s)
{
	const char *tags = getenv(MOBI_ENV_WORKER);
	char session[MOBI_SESSION_TAG];

	mobi_session_tag(s, session);
	if (tags && !strncmp(tags, session, strlen(session))) {
		tags = strchr(tags, ',');
		tags = tags ? tags + 1 : NULL;
	}
	return tags ? tags : "";
}

void mobi_strays_worker_env(const struct mob_store *s, uint64_t serial,
			    char out[MOBI_TAG_ENV])
{
	const char *around = tags_around(s);
	char session[MOBI_SESSION_TAG];

	mobi_session_tag(s, session);
	(void)snprintf(out, MOBI_TAG_ENV, "%s=%s%llu%s%s", MOBI_ENV_WORKER,
		       session, (unsigned long long)serial, *around ? "," : "",
		       around);
}

void mobi_strays_daemon_env(const struct mob_store *s, char out[MOBI_TAG_ENV])
{
	(void)snprintf(out, MOBI_TAG_ENV, "%s=%s", MOBI_ENV_WORKER,
		       tags_around(s));
}

/* The worker's number among tags; 0: none is of this session. */
static uint64_t serial_in(const struct mob_store *s, const char *tags)
{
	char session[MOBI_SESSION_TAG];
	size_t n;

	mobi_session_tag(s, session);
	n = strlen(session);
	while (tags) {
		if (!strncmp(tags, session, n)) {
			return strtoull(tags + n, NULL, 10);
		}
		tags = strchr(tags, ',');
		tags = tags ? tags + 1 : NULL;
	}
	return 0;
}

uint64_t mobi_strays_serial(const struct mob_store *s, int pid)
{
	char tags[MOBI_TAGS_MAX];

	return mobi_tags_of(pid, tags) ? serial_in(s, tags) : 0;
}

struct sweep {
	const struct mob_store *s;
	const struct mobi_strays_known *known;
	bool all;
	uint32_t killed;
};

static void look(int pid, void *arg)
{
	struct sweep *k = arg;
	const struct mobi_strays_known *known = k->known;
	uint64_t serial;

	if (known->worker(known->arg, pid)) {
		return;
	}
	serial = mobi_strays_serial(k->s, pid);
	/* One without a tag is left until the session ends: it may be of a
	 * worker that lives, by way of a process that has ended. */
	if (k->all || (serial && !known->serial(known->arg, serial))) {
		mobi_kill_surely(pid);
		k->killed++;
	}
}

uint32_t mobi_strays_sweep(const struct mob_store *s,
			   const struct mobi_strays_known *known, bool all)
{
	struct sweep k = { s, known, all, 0 };

	(void)mobi_children_each(look, &k);
	return k.killed;
}

/* Is it a process of the session: a worker that has come up since? */
static bool is_client(const struct mob_store *s, int pid)
{
	for (uint32_t c = 1; c < MOBI_CLIENTS; c++) {
		if (MOBI_STATE(mobi_load(&s->clients[c].word)) ==
			    MOBI_CLIENT_LIVE &&
		    s->clients[c].proc.pid == (uint32_t)pid) {
			return true;
		}
	}
	return false;
}

/* It may be becoming a worker or a daemon: who starts these is not told apart from
 * a task that forks, until they have joined the session. */
static bool is_young(int pid)
{
	struct mobi_proc p;

	return mobi_proc_of(pid, &p) < 0 ||
	       mobi_proc_age_ns(&p) < MOBI_STRAYS_YOUNG_NS;
}

static bool spare(int pid, const char *tags, void *arg)
{
	const struct sweep *k = arg;
	const struct mobi_strays_known *known = k->known;

	return is_young(pid) || known->worker(known->arg, pid) ||
	       is_client(k->s, pid) ||
	       known->serial(known->arg, serial_in(k->s, tags));
}

void mobi_strays_find(const struct mob_store *s,
		      const struct mobi_strays_known *known)
{
	struct sweep k = { s, known, false, 0 };
	char tag[MOBI_SESSION_TAG];

	mobi_session_tag(s, tag);
	(void)mobi_tagged_kill(tag, known ? spare : NULL, &k);
}
