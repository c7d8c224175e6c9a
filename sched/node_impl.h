/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the daemon share. */
#ifndef MOBI_NODE_IMPL_H
#define MOBI_NODE_IMPL_H

#include "build.h"
#include "due.h"
#include "node.h"
#include "output_log.h"
#include "pressure.h"

/* What the poll of the daemon tells: of what kind, and which. */
enum { TAG_LISTEN = 1, TAG_DRIVER = 2, TAG_CONN = 3, TAG_ORPHAN = 4 };
#define TAG(kind, n) ((uint64_t)(kind) << 32 | (uint32_t)(n))

/* A worker process: a child, or one that an earlier daemon left. */
struct mobi_node_child {
	int pid;
	int pidfd; /* of an orphan, else -1 */
	uint64_t started_ns;
	uint64_t serial; /* in its tag (strays.h); 0: not known */
};

struct mobi_node {
	struct mob_store *s;
	struct mobi_sched *sh;
	int poll;
	int listen;
	int driver; /* pidfd */
	struct mobi_node_child child[MOBI_PLACES];
	uint32_t n;
	uint64_t not_before; /* back-off: no worker is started earlier */
	uint32_t quick_deaths;
	uint64_t last_catalogue;
	uint64_t last_trim;
	uint64_t last_look;  /* for the dead whom nobody announced */
	uint64_t hung_up;    /* when a connection ended last */
	uint64_t extra_seen; /* when more than the wanted workers were busy */
	struct mobi_due due; /* what the timers know */
	struct mobi_limits limits; /* of workers */
	uint64_t last_weighed;
	struct mobi_pressure pressure;
	uint64_t sweep_until; /* a worker has died not long ago */
	uint64_t strays_at;   /* to look once more for what was young; or 0 */
	struct mobi_build_watch builds;
	struct mobi_outlog *log;
	bool printed; /* there is more for the log */
	bool over;
};

/* Has the janitor leave children alone that were not waited for. */
void mobi_node_watch_reaping(struct mobi_node *n);
/* Starts as many as there should be, and one more if that was asked for. */
void mobi_node_keep_workers(struct mobi_node *n);
/* Tells one that nobody needs any more to leave: the daemon kills nobody. */
void mobi_node_shrink(struct mobi_node *n);
/* Watches those of an earlier daemon, and tells them to connect here. */
void mobi_node_adopt(struct mobi_node *n);
/* One of these has ended. */
void mobi_node_orphan_ended(struct mobi_node *n, int pid);
/* Collects all dead children, or the one that is dead. */
void mobi_node_collect(struct mobi_node *n);
void mobi_node_collect_one(struct mobi_node *n, int pid);
/* What processes leave that are killed here are children a moment later; all: also
 * what living workers have started. */
void mobi_node_sweep(struct mobi_node *n, bool all);
/* What workers have left that were no children may be anywhere; twice: and once more
 * for what was young. */
void mobi_node_find_strays(struct mobi_node *n);
void mobi_node_find_strays_twice(struct mobi_node *n);

#endif /* MOBI_NODE_IMPL_H */
