/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at sessions from outside: what runs, what waits and for what, which
 * policy decides. Made for `mob` and for monitoring programs.
 *
 *   static int print(const struct mob_worker_info *w, void *arg)
 *   {
 *           printf("%u %s\n", w->pid, mob_worker_state_name(w->state));
 *           return 0;
 *   }
 *
 *   struct mob_session *s;
 *   if (mob_session_open("images", &s)) ...
 *   mob_session_workers(s, print, NULL);
 *   mob_session_close(s);
 *
 * An open session is only looked at: its tables are mapped read only, nothing
 * is locked, none of its 64 seats is taken, and no process of it is disturbed
 * or kept alive. Rows are read one after the other while the session runs, so
 * each row is consistent in itself, and a list is not a snapshot: a task that
 * ends while it is read is shown as it was or not at all.
 *
 * Structs of this file grow at their end only. In one that the library passes
 * to a function of the caller, struct_size is the library's size, and a field
 * beyond it (MOB_FIELD) is not there. In one that the library fills for the
 * caller, the caller sets struct_size by the _INIT macro and the library writes
 * no further than that; a size of 0 is MOB_E_VERSION.
 */
#ifndef MOBULA_SESSION_H
#define MOBULA_SESSION_H

#include <mobula/err.h>
#include <mobula/types.h>

MOB_EXTERN_C_BEGIN

/* True if the struct that p points to is long enough to have the field. */
#define MOB_FIELD(p, field)                                                    \
	((p)->struct_size >=                                                   \
	 (uint32_t)((const char *)(&(p)->field + 1) - (const char *)(p)))

/* ---- sessions of this user ---- */

enum mob_session_state {
	MOB_SESSION_RUNNING = 1, /* a scheduler: a daemon or workers live */
	MOB_SESSION_STORE = 2,   /* a store alone; processes may be attached */
	MOB_SESSION_STALE = 3,   /* private, and every process of it is dead */
	MOB_SESSION_FOREIGN = 4  /* of another version: name and path only */
};

struct mob_session_info {
	uint32_t struct_size;
	uint32_t state;      /* enum mob_session_state */
	const char *name;    /* borrowed until the function returns */
	const char *path;    /* its directory; borrowed as name */
	const char *program; /* base name of the driver's executable, or "" */
	uint32_t driver_pid; /* 0: none lives */
	uint32_t daemon_pid; /* 0: none lives */
	uint32_t workers;    /* living worker processes */
	uint32_t processes;  /* living attached processes, workers included */
	uint64_t age_ns;     /* since it was created */
	uint64_t file_bytes; /* memory that its files take in the file system */
	/* Builds that it began with, and goes on with: as build ids, which `file`
	 * and `readelf -n` show, to 32 digits, or a hash of the file if it has
	 * none; "" if there is none. */
	const char *program_build;
	const char *module; /* path of its module, or "" */
	const char *module_build;
	uint32_t changed; /* MOB_SESSION_CHANGED_*: built anew since then */
	uint32_t reserved;
};
#define MOB_SESSION_CHANGED_PROGRAM 1u
#define MOB_SESSION_CHANGED_MODULE 2u

/* Name of a state ("running"), or "?". Owner: static. Thread: any. */
MOB_API const char *mob_session_state_name(uint32_t state);

/*
 * Calls fn for every session of this user, in the order of names, until it
 * returns nonzero. Returns that, or 0. Errors: SYS (the session directory
 * cannot be read; no session at all is not an error). Thread: any. Blocks: no.
 * Since 0.1.
 */
MOB_API int mob_session_each(int (*fn)(const struct mob_session_info *,
				       void *arg),
			     void *arg);

/*
 * Ends a session: tells its daemon to end, which ends the workers, whatever
 * they run; kills those that live after timeout_ns (0: at once); removes its
 * directory. A program that is attached to it gets MOB_E_CLOSED from its next
 * call, and is not killed. Returns when no worker and no daemon of it is left.
 * Errors: NOT_FOUND, PERM, VERSION, CORRUPT, INVAL (negative timeout_ns other
 * than MOB_FOREVER), TIMEOUT (what was killed has not ended within 10 s).
 * Thread: any. Blocks: yes. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_session_stop(const char *name,
					   int64_t timeout_ns);

/*
 * Removes what dead sessions of this user left: every MOB_SESSION_STALE one.
 * Calls fn (may be NULL) with each before it is removed; nonzero keeps that
 * one. Returns how many were removed. Errors: SYS. Thread: any. Since 0.1.
 */
MOB_API int mob_session_gc(int (*fn)(const struct mob_session_info *,
				     void *arg),
			   void *arg);

/* ---- one session ---- */

/* A session that is looked at. Owner: from open until mob_session_close. */
struct mob_session;

/*
 * Opens by name, or by path if it holds a '/'. Errors: NOT_FOUND, PERM,
 * VERSION, CORRUPT, STATE (a store without a scheduler). Thread: any. Blocks:
 * no. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_session_open(const char *name,
					   struct mob_session **out_session);

/* Opens the session that this process is attached to. Errors: STATE (none),
 * FORKED, and those of open. Thread: any. Blocks: no. Since 0.1. */
MOB_API MOB_NODISCARD int mob_session_current(struct mob_session **out_session);

/* Ends the look. NULL is allowed. Since 0.1. */
MOB_API void mob_session_close(struct mob_session *session);

/* Fills *io_info, whose struct_size the caller has set, with what
 * mob_session_each tells of it; the strings are borrowed until close. Errors:
 * VERSION. Thread: any. Since 0.1. */
MOB_API MOB_NODISCARD int
mob_session_describe(struct mob_session *session,
		     struct mob_session_info *io_info);
#define MOB_SESSION_INFO_INIT                                                  \
	{                                                                      \
		(uint32_t)sizeof(struct mob_session_info), 0, 0, 0, 0, 0, 0,   \
			0, 0, 0, 0, 0, 0, 0, 0, 0                              \
	}

/* What has happened in a session so far. */
struct mob_session_stats {
	uint32_t struct_size;
	uint32_t crash_pid;         /* last worker that died in a task, or 0 */
	uint64_t tasks_run;         /* attempts that have ended */
	uint64_t retried;           /* tasks put back because a worker died */
	uint64_t finished_for_dead; /* tasks whose worker died at their end */
	uint64_t swaps;             /* policies that were asked for */
	uint64_t swap_queued;       /* tasks queued at the last swap */
	uint64_t swap_running;      /* workers in a task at the last swap */
	uint64_t ejections;         /* policies thrown out */
	uint64_t bypasses;          /* dead or stuck lock holders gone round */
	uint64_t crashes;           /* workers that died in a task */
	const char *crash_task;     /* name of that task, or "" */
	uint32_t crash_attempt;     /* of that task; 1: the first */
	uint32_t crash_signal;      /* that ended the worker; 0: none, or not
				       known */
	uint32_t crash_code;        /* it exited with */
	/* Tasks that have ended and are kept to make again what may be lost of
	 * their results; at most MOBULA_LINEAGE. */
	uint32_t kept;
	uint64_t forgotten;  /* that were, and went for others */
	uint64_t evicted;    /* results that went to make room */
	uint64_t remade;     /* runs that made results again */
	uint64_t mismatches; /* results made again that were not as before */
	/* The tightest limit of memory, as the daemon last saw it, and what of it was
	 * in use; 0: none is looked at. */
	uint64_t memory_limit;
	uint64_t memory_use;
	uint64_t memory_kills;    /* attempts killed for lack of memory */
	uint64_t memory_replaced; /* idle workers replaced for it */
	uint64_t
		repeated; /* large arguments that were given by value and shared
				the object of an earlier call */
};
#define MOB_SESSION_STATS_INIT                                                 \
	{                                                                      \
		(uint32_t)sizeof(struct mob_session_stats), 0, 0, 0, 0, 0, 0,  \
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0   \
	}

/*
 * Fills *io_stats, whose struct_size the caller has set; the string is borrowed
 * until the next call on the session. Errors: CLOSED, VERSION. Thread: one at a
 * time for each session. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_session_stats(struct mob_session *session,
					    struct mob_session_stats *io_stats);

/* ---- tasks ---- */

enum mob_task_state {
	MOB_TASK_STATE_WAITING = 1, /* an argument is not resolved yet */
	MOB_TASK_STATE_READY = 2,   /* not yet seen by a worker */
	MOB_TASK_STATE_QUEUED = 3,  /* placed by the policy */
	MOB_TASK_STATE_RUNNING = 4,
	MOB_TASK_STATE_BLOCKED = 5, /* runs, and waits in get or wait */
	MOB_TASK_STATE_DONE = 6,    /* has ended, its record is not free yet */
	MOB_TASK_STATE_DELAYED = 7  /* waits for the time of its next attempt */
};

struct mob_task_info {
	uint32_t struct_size;
	uint32_t state;     /* enum mob_task_state */
	uint64_t id;        /* {generation 32, record + 1 32}: used once */
	const char *name;   /* of its function; borrowed as in each */
	struct mob_ref ret; /* its first return, or MOB_REF_NONE */
	struct mob_ref waits_for; /* WAITING: the first argument that is not
				     resolved; BLOCKED: what it waits for, the
				     first of many; else MOB_REF_NONE */
	uint64_t waits_for_task;  /* id of the task that makes it, or 0 */
	uint64_t age_ns;          /* since submit */
	uint64_t run_ns;          /* since this attempt began; 0: not running */
	uint32_t waits;           /* how many objects it waits for */
	uint32_t attempt;         /* 1: the first run; 0: it has not run yet */
	uint32_t attempts_max;    /* 1 + retries; UINT32_MAX: no limit */
	uint32_t worker;          /* number of the worker that runs it, or 0 */
	uint32_t worker_pid;      /* 0: none */
	uint32_t n_args;          /* refs among its arguments */
	uint32_t n_returns;
	int32_t priority;
};

/* Name of a state ("waiting"), or "?". Owner: static. Thread: any. */
MOB_API const char *mob_task_state_name(uint32_t state);

/*
 * Calls fn for every living task in the order of records until it returns
 * nonzero; returns that, or 0. Errors: CLOSED (the session has ended).
 * Thread: one at a time for each session. Blocks: no. Since 0.1.
 */
MOB_API int mob_session_tasks(struct mob_session *session,
			      int (*fn)(const struct mob_task_info *,
					void *arg),
			      void *arg);

/*
 * As mob_session_tasks, for the one task with this id. Returns what fn
 * returned. Errors: NOT_FOUND (no such task, or it has ended), CLOSED. Since
 * 0.1.
 */
MOB_API int mob_session_task(struct mob_session *session, uint64_t id,
			     int (*fn)(const struct mob_task_info *, void *arg),
			     void *arg);

/*
 * Cancels the task with this id, as mob_task_cancel; flags: MOB_CANCEL_*. Joins the
 * session while it does. Errors: NOT_FOUND, INVAL (flags), CLOSED, PERM. Thread:
 * any. Blocks: no. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_session_task_cancel(struct mob_session *session,
						  uint64_t id, uint32_t flags);

/* ---- resources ---- */

struct mob_resource_info {
	uint32_t struct_size;
	uint32_t has_devices;
	const char *name;      /* borrowed until fn returns */
	uint32_t total;        /* in 1/10,000 */
	uint32_t used;         /* by tasks that run or wait in a wait */
	uint64_t devices_used; /* a bit each */
	uint64_t holders;      /* a bit for each worker's number */
};

/* Calls fn for each resource beside processors that the session has, until it returns
 * not 0, which is returned then. Errors: CLOSED. Thread: any. Blocks: no. Since 0.1. */
MOB_API int mob_session_resources(struct mob_session *session,
				  int (*fn)(const struct mob_resource_info *,
					    void *arg),
				  void *arg);

/* ---- workers ---- */

enum mob_worker_state {
	MOB_WORKER_STARTING = 1,
	MOB_WORKER_IDLE = 2,
	MOB_WORKER_RUNNING = 3,
	MOB_WORKER_BLOCKED = 4, /* its task waits; another worker has its CPU */
	MOB_WORKER_ENDING = 5,
	MOB_WORKER_DEAD = 6,   /* seen dead, not yet cleaned up */
	MOB_WORKER_STOPPED = 7 /* by a signal or a debugger, whatever it did:
				  what it runs and has waits until it goes on */
};

struct mob_worker_info {
	uint32_t struct_size;
	uint32_t state;  /* enum mob_worker_state */
	uint32_t number; /* its seat in the session, 1 to 63 */
	uint32_t pid;
	uint64_t task;          /* id of what it runs, or 0 */
	const char *task_name;  /* "" if it runs nothing; borrowed as in each */
	uint64_t age_ns;        /* since it started */
	uint64_t busy_ns;       /* spent in tasks, blocked or not */
	uint64_t tasks;         /* attempts that it has ended */
	uint64_t private_bytes; /* its own memory, the session's files left out;
				   0 if it cannot be told */
	uint32_t threads;       /* 0 if it cannot be told */
	uint32_t reserved;
};

/* Name of a state ("idle"), or "?". Owner: static. Thread: any. */
MOB_API const char *mob_worker_state_name(uint32_t state);

/* Calls fn for every worker in the order of numbers until it returns nonzero;
 * returns that, or 0. Errors: CLOSED. Thread: one at a time for each session.
 * Since 0.1. */
MOB_API int mob_session_workers(struct mob_session *session,
				int (*fn)(const struct mob_worker_info *,
					  void *arg),
				void *arg);

/* ---- the policy ---- */

struct mob_policy_info {
	uint32_t struct_size;
	uint32_t flags;      /* MOB_POLICY_* */
	const char *name;    /* of the policy that decides now */
	const char *path;    /* of its file, "" if it is compiled in */
	const char *wanted;  /* what was asked for last; not name if that was
				   ejected */
	uint64_t generation; /* counts swaps, ejections and take-overs */
	uint64_t since_ns;   /* how long this generation has decided */
	uint64_t queued;     /* tasks in its queues */
	uint64_t ready;      /* tasks not yet placed */
	uint64_t running;
	uint64_t placed;    /* answers of `place` so far, all generations */
	uint64_t swaps;     /* asked for and committed */
	uint64_t ejections; /* policies thrown out */
	uint32_t strikes;   /* faults of `wanted` that count against it */
	uint32_t reserved;
	const char *last_ejected; /* name of the last one thrown out, or "" */
	const char *last_reason;  /* why, one line, or "" */
	uint64_t last_ejected_ns; /* how long ago; 0: never */
};
#define MOB_POLICY_INFO_INIT                                                   \
	{                                                                      \
		(uint32_t)sizeof(struct mob_policy_info), 0, 0, 0, 0, 0, 0, 0, \
			0, 0, 0, 0, 0, 0, 0, 0, 0, 0                           \
	}

#define MOB_POLICY_BUILTIN 1u  /* compiled in */
#define MOB_POLICY_FALLBACK 2u /* decides because `wanted` was ejected */

/*
 * Fills *io_info, whose struct_size the caller has set; the strings are
 * borrowed until the next call on the session. Errors: CLOSED, VERSION.
 * Thread: one at a time for each session. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_session_policy(struct mob_session *session,
					     struct mob_policy_info *io_info);

/*
 * Replaces the policy of a running session: name, or path if it holds a '/'.
 * The plugin is checked first, in a process of its own; a failure keeps the
 * old one. Tasks that are queued move to the new generation, none is lost and
 * none is run twice. Returns when the new generation decides.
 * *out_generation (may be NULL): its number.
 * Errors: NOT_FOUND (no such plugin), PLUGIN (why it is not usable), VERSION
 * (of another ABI), PERM, LIMIT (32 policies were used), CLOSED, TIMEOUT (no
 * worker was free to take it over within 10 s; it decides when one is).
 * Thread: any. Blocks: yes. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_policy_swap(struct mob_session *session,
					  const char *name_or_path,
					  uint64_t *out_generation);

MOB_EXTERN_C_END

#endif /* MOBULA_SESSION_H */
