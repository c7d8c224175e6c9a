/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tasks have started ends with their worker.
 *
 * A worker has a process group of its own, and a tag in its environment that what it
 * starts gets, too (os_strays.h). When it dies, its daemon kills its process group;
 * what has left that, and is the daemon's child then, by its tag; and what is left of
 * a worker that was no child of this daemon, by a look at all processes.
 */
#ifndef MOBI_STRAYS_H
#define MOBI_STRAYS_H

#include "os_strays.h"
#include "segment.h"

#define MOBI_TAG_ENV (MOBI_TAGS_MAX + 32)
#define MOBI_STRAYS_YOUNG_NS UINT64_C(2000000000)

/* Entry of the environment of worker number `serial`; what is around this process
 * stays in it. */
void mobi_strays_worker_env(const struct mob_store *s, uint64_t serial,
			    char out[MOBI_TAG_ENV]);
/* The same for a daemon that this process starts: it is no worker's. */
void mobi_strays_daemon_env(const struct mob_store *s, char out[MOBI_TAG_ENV]);
/* The number of a worker that lives; 0: it cannot be told. */
uint64_t mobi_strays_serial(const struct mob_store *s, int pid);

/* Whom the daemon knows. */
struct mobi_strays_known {
	bool (*worker)(void *arg, int pid);
	bool (*serial)(void *arg, uint64_t serial); /* of a worker that lives */
	void *arg;
};
/*
 * Kills those children of this process, the daemon, that workers have left which are
 * dead: or, if all, each that is no worker. How many were killed; those that these
 * leave are children a moment later.
 */
uint32_t mobi_strays_sweep(const struct mob_store *s,
			   const struct mobi_strays_known *known, bool all);
/* The same wherever they are: what any worker has left which is not known, but for
 * those that began a moment ago; known NULL: all that any worker has started, and
 * workers. */
void mobi_strays_find(const struct mob_store *s,
		      const struct mobi_strays_known *known);

#endif /* MOBI_STRAYS_H */
