/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has happened to the tasks of a session: events, as far back as they are
 * kept, and counts and histograms of everything since the session began.
 *
 * Each process that takes part has a ring of the last MOBULA_RECORD_EVENTS events
 * in shared memory. It stays when the process dies; the next one with the same
 * number goes on in it. Made for `mob timeline`, `mob summary` and `mob metrics`,
 * and for monitoring programs. As with all of session.h, nothing is locked and no
 * process of the session is disturbed.
 */
#ifndef MOBULA_RECORD_H
#define MOBULA_RECORD_H

#include <mobula/session.h>

MOB_EXTERN_C_BEGIN

enum mob_event_kind {
	MOB_EVENT_SUBMITTED = 1,
	MOB_EVENT_NEEDS = 2,   /* an argument is made by task `other`: the first
				 16 of a task */
	MOB_EVENT_QUEUED = 3,  /* its arguments are there, the policy placed it;
				 once more after a swap of policies */
	MOB_EVENT_STARTED = 4, /* a worker took it, and runs it */
	MOB_EVENT_BLOCKED = 5, /* it waits in get or wait; `other`: for that
				  task's result, if for one */
	MOB_EVENT_RESUMED = 6,
	MOB_EVENT_FINISHED = 7,
	MOB_EVENT_FAILED = 8,     /* code: of its error */
	MOB_EVENT_RETRIED = 9,    /* this attempt ended, there will be another;
				     code: why */
	MOB_EVENT_CANCELLED = 10, /* before it ran or in this attempt */
	MOB_EVENT_CRASHED = 11, /* its worker died in it; told by who saw it */
	MOB_EVENT_JOINED = 12,  /* a process; code: 1 a tool, 2 a driver, 3 a
				     worker, 4 the daemon. This and what follows
				     have no task */
	MOB_EVENT_LEFT = 13,    /* a worker that was not needed any more */
	MOB_EVENT_DIED = 14,    /* the worker `of` died; told by who saw it */
	MOB_EVENT_REMADE = 15,  /* it runs again, for a result that is lost or
				   went to make room */
	MOB_EVENT_KINDS
};
/* "submitted"; "?" for no kind. Owner: static. Thread: any. Since 0.1. */
MOB_API const char *mob_event_kind_name(uint32_t kind);

/* Grows at the end only; struct_size is the library's. */
struct mob_event {
	uint32_t struct_size;
	uint32_t kind;    /* enum mob_event_kind */
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t task;    /* id as in struct mob_task_info, or 0 */
	uint64_t other;   /* id of another task, or 0 */
	const char
		*name; /* of the task; "" with NEEDS, BLOCKED and RESUMED, and
			     of a process. Borrowed until fn returns */
	uint32_t process; /* number of the process that tells this */
	uint32_t pid;     /* of that process; 0: not known */
	uint32_t of;      /* DIED: number of the worker, else as process */
	uint32_t attempt; /* 1: the first; 0: of none */
	int32_t code; /* FAILED, RETRIED: of the error; CRASHED, DIED: exit code;
			 JOINED: what it is */
	uint32_t
		signal; /* CRASHED, DIED: that ended the worker; 0: none, or not
			    known */
};

/*
 * Calls fn for every event that is kept, in the order of their times, until it
 * returns nonzero; returns that, or 0. What comes while they are read may be among them.
 * Errors: CLOSED, NOMEM. Thread: one at a time for each session. Blocks: no. Since 0.1.
 */
MOB_API int mob_session_events(struct mob_session *session,
			       int (*fn)(const struct mob_event *, void *arg),
			       void *arg);

/* How much is kept. */
struct mob_record {
	uint32_t struct_size;
	uint32_t events_max; /* of one process; 0: none are kept */
	uint64_t written;    /* since the session began */
	uint64_t kept;
	uint64_t lost;   /* overwritten by later ones */
	uint64_t torn;   /* begun by a process that was killed then, or not yet
			  whole */
	uint64_t now_ns; /* CLOCK_MONOTONIC, after all that was read */
	/* From this time on no event of any process is lost; 0: none is. Who looks again
	 * and again has missed some if this is later than now_ns of the look before. */
	uint64_t whole_ns;
};
#define MOB_RECORD_INIT                                                        \
	{                                                                      \
		(uint32_t)sizeof(struct mob_record), 0, 0, 0, 0, 0, 0, 0       \
	}

/*
 * mob_session_events that also fills *io_record, whose struct_size the caller has set,
 * before it calls fn: of the same reading, so that kept are those that fn is told of (it
 * is told of QUEUED beside, where the start of the task tells since when), and lost and
 * torn those that it is not. Errors: CLOSED, NOMEM, VERSION; then fn was not called.
 * Thread: one at a time for each session. Blocks: no. Since 0.1.
 */
MOB_API int mob_session_events_with(struct mob_session *session,
				    int (*fn)(const struct mob_event *,
					      void *arg),
				    void *arg, struct mob_record *io_record);

/* Fills *io_record, whose struct_size the caller has set. Errors: CLOSED, VERSION.
 * Thread: any. Blocks: no. Since 0.1. */
MOB_API MOB_NODISCARD int mob_session_record(struct mob_session *session,
					     struct mob_record *io_record);

/* Durations: bucket n counts those below 2^n ns that are in no bucket before; the
 * last one has all that are longer, too. */
#define MOB_HISTOGRAM_BUCKETS 40
struct mob_histogram {
	uint64_t bucket[MOB_HISTOGRAM_BUCKETS];
	uint64_t sum_ns;
};

/* Counted since the session began, by all processes that there ever were. Grows at
 * the end only. */
struct mob_metrics {
	uint32_t struct_size;
	uint32_t reserved;
	uint64_t events[16]; /* by enum mob_event_kind, also where none are
				kept */
	struct mob_histogram wait; /* from QUEUED to STARTED */
	struct mob_histogram run;  /* of attempts that ended */
};
#define MOB_METRICS_INIT                                                       \
	{                                                                      \
		(uint32_t)sizeof(struct mob_metrics), 0, { 0 }, { { 0 }, 0 },  \
		{                                                              \
			{ 0 }, 0                                               \
		}                                                              \
	}

/*
 * Fills *io_metrics, whose struct_size the caller has set. What a process counts is
 * in shared memory at once and outlives it; one that is killed between two
 * instructions may leave one event counted that it did not write. Errors: CLOSED,
 * VERSION. Thread: any. Blocks: no. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_session_metrics(struct mob_session *session,
					      struct mob_metrics *io_metrics);

MOB_EXTERN_C_END

#endif /* MOBULA_RECORD_H */
