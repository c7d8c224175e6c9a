/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon of a session, and how processes start and find each other. */
#ifndef MOBI_NODE_H
#define MOBI_NODE_H

#include "os_run.h"
#include "runtime.h"

/* Starts the daemon of this session, unless it lives. */
int mobi_node_start(struct mob_store *s);
/* Connects to the daemon. */
int mobi_node_connect(struct mob_store *s);
/* The same for a worker, in a signal handler: the end of the connection comes
 * as a signal. The descriptor, or negative. */
int mobi_node_reconnect(struct mob_store *s);
/* Asks the daemon for one more worker; a hint, cheap if asked already. */
void mobi_node_want_worker(struct mob_store *s);
/* For sleepers: if the daemon is dead, starts one and looks for the dead. */
void mobi_node_poll(struct mob_store *s);
/* Kills the workers of a session that ends. */
void mobi_end_workers(struct mob_store *s);

/* What the process started as a daemon does, until the session ends: 0, or a
 * negative MOB_E_*. path: the session directory. serves: it has just made it, and is
 * not its program. */
int mobi_node_main(const char *path, bool serves);
/* From now on signals that end a process end the session, when this is its daemon. */
void mobi_node_heed_signals(bool serves);
/* The same as a worker; returns its exit code. */
int mobi_worker_main(const char *path);

/* So many workers in a row that never come up are told of as a failure. */
#define MOBI_START_TRIES 5u
#define MOBI_SOCKET "mobd"

/* Environment of started processes. */
#define MOBI_ENV_ROLE "MOBULA_ROLE"
#define MOBI_ENV_SESSION "MOBULA_SESSION_PATH"
/* Starts a process of the session in a role ("daemon", "worker"), with up to two
 * more entries (NULL: none) in its environment. The pid of a worker, 0 for a daemon,
 * which is nobody's child, or negative. */
int mobi_node_run(struct mob_store *s, const char *role,
		  const struct mobi_run_how *how, char *const more[2]);

/* This worker has run a task of the function. */
void mobi_worker_ran(uint32_t fn, const struct mobi_plan *p);

#endif /* MOBI_NODE_H */
