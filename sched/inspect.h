/* SPDX-License-Identifier: Apache-2.0 */
/* An open look at a session: what inspect*.c, join.c and their callers share. */
#ifndef MOBI_INSPECT_H
#define MOBI_INSPECT_H

#include "os_code.h"
#include "sched_layout.h"
#include "segment.h"

#include <mobula/session.h>

/* Texts that a mob_session_info points to. */
struct mobi_session_texts {
	char program[1024];
	char program_build[MOBI_CODE_TEXT];
	char module[1024];
	char module_build[MOBI_CODE_TEXT];
};

struct mob_session {
	struct mob_store *s; /* of mobi_store_look, read only */
	struct mobi_sched *sh;
	char dir[4096]; /* as the kernel names it, "" if it cannot be told */
	struct mobi_session_texts texts;
	/* What the last answer points to. */
	char policy[32];
	char path[472];
	char wanted[32];
	char ejected[32];
	char reason[256];
	char task[96];
};

/* CLOSED if the session has ended. */
int mobi_session_check(const struct mob_session *session, const char *call);

/* Calls fn with the session's store, writable: this process's own if it is in the
 * session, else joined until fn returns. Returns what fn does, or why it cannot
 * be joined. */
int mobi_session_join(const struct mob_session *session,
		      int (*fn)(struct mob_store *s, void *arg), void *arg);

/* Writes what the caller's struct has room for; VERSION if it has none. */
int mobi_session_fill(const char *call, void *io, const void *from,
		      uint32_t size);

/* Copies a text of shared memory, which may lack its end. */
void mobi_session_text(char *out, size_t out_size, const char *from,
		       size_t from_size);

/* Processes of the session that live. */
struct mobi_session_count {
	uint32_t processes;
	uint32_t workers;
	uint32_t driver_pid; /* of the first, or 0 */
};
void mobi_session_count(const struct mob_store *s,
			struct mobi_session_count *out_count);

/* ---- a walk over the tasks (inspect_task.c) ---- */

struct mobi_task_walk {
	struct mob_store *s;
	struct mobi_sched *sh;
	uint64_t now;
	char name[96]; /* of the task that was told last */
	/* The task that each client began last, record + 1: of those of a
	 * worker that are blocked, the one that waits. */
	bool has_newest;
	uint32_t newest[MOBI_CLIENTS];
};
void mobi_task_walk_init(struct mobi_task_walk *k, struct mob_store *s);
/* What client `worker` runs: record + 1, or 0. */
uint32_t mobi_task_walk_of(struct mobi_task_walk *k, uint32_t worker);
/* The place of a client, or NULL. */
struct mobi_place_shared *mobi_place_of(struct mobi_sched *sh, uint32_t client);
/* Id of the task in a record of this generation. */
static inline uint64_t mobi_task_id(uint64_t word, uint32_t rec)
{
	return (uint64_t)MOBI_GEN(word) << 32 | (rec + 1);
}

/* Has the task ended, and a process (MOBI_ROWNER) decides whether it runs again for what
 * went of its results? */
static inline bool mobi_task_remakes(uint64_t word)
{
	return MOBI_STATE(word) == MOBI_R_KEPT && MOBI_ROWNER(word);
}

/* True if it is in the queues of the current generation, and how. */
bool mobi_task_queued(struct mob_store *s, uint32_t rec, uint32_t version,
		      struct mobi_queue_entry *out);

struct mobi_task_count {
	uint64_t ready; /* not placed */
	uint64_t running;
};
void mobi_task_count(struct mob_store *s, struct mobi_task_count *out_count);

#endif /* MOBI_INSPECT_H */
