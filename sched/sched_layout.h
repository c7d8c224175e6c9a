/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of what the scheduler shares: the body of a task record, and the
 * section MOBI_SEC_SCHED of the control segment.
 */
#ifndef MOBI_SCHED_LAYOUT_H
#define MOBI_SCHED_LAYOUT_H

#include "policy.h"
#include "queue.h"
#include "store_layout.h"

/* ---- state of a task, in the word of its record ----
 *
 *   BUILD(submitter) -> WAITING -> READY -> RUN(worker) -> RETIRED -> FREE
 *                                   ^         |
 *                                   +---------+  its worker died: attempt + 1
 *
 * WAITING: an argument is not resolved. A worker that looks at the record (its
 * bit on the board is set whenever an argument is resolved) makes it READY.
 * RUN of a dead worker: its returns are still pending -> READY, else the rest
 * of finishing is done for it.
 *
 * DELAY: RUN -> DELAY with attempt + 1, if the next attempt is to wait until run_ns;
 * its bit among the timers; the daemon makes it READY (retry.c).
 *
 * Cancelled: RUN gets the flag CANCEL, and ends as cancelled, whoever ends it,
 * unless its results are there already. WAITING, READY or DELAY -> RUN(who cancels)
 * with CANCEL, in one CAS: it never runs, and who cancels ends it.
 *
 * RUN -> KEPT -> WAITING with attempt + 1: lineage.c.
 *
 * Late (time_limits.c): the same by the daemon with the flag LATE, which is of one
 * attempt: unless CANCEL is set, too, another may follow.
 */
enum { MOBI_T_WAITING = 2, MOBI_T_READY = 3, MOBI_T_RUN = 4, MOBI_T_DELAY = 5 };

/* Flags of RUN. */
#define MOBI_TF_CANCEL (UINT64_C(1) << 8)
#define MOBI_TF_ALONE (UINT64_C(1) << 9) /* the tasks that it submitted go on */
#define MOBI_TF_TAKEN (UINT64_C(1) << 10) /* it never ran: who cancels has it */
#define MOBI_TF_LATE (UINT64_C(1) << 11)  /* its time is over */
#define MOBI_TF_TIMED                                                          \
	(UINT64_C(1) << 12) /* run_ns is of this attempt: it has a
					   * timeout from then on */
#define MOBI_TF_STOP                                                           \
	(UINT64_C(1) << 13) /* cancelled: to be killed in the end */
#define MOBI_TF_TOLD (MOBI_TF_CANCEL | MOBI_TF_LATE)
#define MOBI_TF_MASK UINT64_C(0xff00)

#define MOBI_TASK_INLINE 64u /* bytes of encoded arguments inside a record */
#define MOBI_FUNCTIONS 1024u
#define MOBI_SHAPES MOBI_QUEUE_SHAPES
#define MOBI_CPU_UNIT 10000u /* of one core */

#define MOBI_FOR_EVER 255u

/* {gen 12, n 20}: the first n objects that a task of this generation waits for
 * are resolved. Who looks may write it late, into the next task's record. */
#define MOBI_SCAN_MAX ((1u << 20) - 1)
#define MOBI_SCAN(gen, n) ((uint32_t)(gen) << 20 | (n))

/* What retries need to know of a task, in one word, so that no kill leaves a part of
 * a change: {attempt + 1 8, spared 8, pressed 6, kids 2, retries 8}. `spared` attempts
 * up to that one ended without a charge against retries; `pressed` of these were
 * killed for lack of memory. */
#define MOBI_TRIES(next, spared, pressed, kids, retries)                       \
	((uint32_t)(next) << 24 | (uint32_t)(spared) << 16 |                   \
	 (uint32_t)(pressed) << 10 | (uint32_t)(kids) << 8 |                   \
	 (uint32_t)(retries))
#define MOBI_TRIES_NEXT(t) ((t) >> 24)
#define MOBI_TRIES_SPARED(t) ((t) >> 16 & 255u)
#define MOBI_TRIES_PRESSED(t) ((t) >> 10 & 63u)
#define MOBI_TRIES_KIDS(t) ((t) >> 8 & 3u)
#define MOBI_TRIES_RETRIES(t) ((t)&255u)
#define MOBI_KIDS_SOME 1u   /* it has submitted tasks */
#define MOBI_KIDS_REMADE 2u /* it has ended once, and is not to be cancelled */
struct mobi_task {
	uint64_t seq; /* order of submission */
	uint64_t submit_ns;
	uint64_t deadline_ns; /* when; 0: none */
	/* When this attempt began; READY: was queued, or could be; DELAY: will
	 * begin. */
	mobi_a64 run_ns;
	uint64_t args_id; /* object with the encoded arguments, or 0 */
	mobi_a64
		parent; /* {gen, record + 1} of the task that submitted it, 0 */
	uint16_t fn;    /* index of its function */
	uint16_t plan;  /* row of how it is retried and limited + 1, or 0 */
	uint32_t args_len;
	uint32_t chunk; /* first edge chunk + 1 */
	uint32_t n_rets;
	mobi_a32 tries; /* MOBI_TRIES */
	uint32_t cpu;   /* wanted, MOBI_CPU_UNIT a core */
	int32_t priority;
	uint32_t hint;
	mobi_a32 scan; /* MOBI_SCAN: hint of who looked last */
	uint8_t from;  /* place of the worker that submitted it + 1 */
	uint8_t shape;
	uint8_t job;  /* client of the submitting driver */
	uint8_t name; /* row of its own name + 1, or 0 */
	/* aligned to 64, so that values in it are aligned as encoded */
	unsigned char args[MOBI_TASK_INLINE];
};
_Static_assert(sizeof(struct mobi_task) <= MOBI_REC_BYTES, "fits a record");
_Static_assert((104 + offsetof(struct mobi_task, args)) % 16 == 0, "arguments "
								   "are "
								   "aligned to "
								   "16");

/* ---- functions ---- */
enum { MOBI_FN_FREE = 0, MOBI_FN_WRITING = 1, MOBI_FN_READY = 2 };
struct mobi_fn_shared {
	mobi_a32 state;
	uint32_t reserved;
	uint64_t hash;    /* of name and types */
	mobi_a64 cost_ns; /* learned: a moving mean of its run time */
	mobi_a64 runs;
	char name[96];
};
MOBI_SIZE(struct mobi_fn_shared, 128);

/* ---- names that options gave to tasks; never forgotten ---- */
#define MOBI_NAMES 255u
struct mobi_name_shared {
	mobi_a32 state; /* as of functions */
	char text[60];
};
MOBI_SIZE(struct mobi_name_shared, 64);

/* ---- how tasks are retried and limited; never forgotten ---- */
#define MOBI_PLANS 2047u
#define MOBI_RETRY_CODES 8u
struct mobi_plan {
	uint64_t backoff_ns; /* before the first retry; 0: none */
	uint64_t backoff_max_ns;
	uint32_t jitter; /* part of it that is random, 1/10,000 */
	uint32_t errors; /* all errors of the task */
	uint32_t n_codes;
	int32_t codes[MOBI_RETRY_CODES]; /* or these */
	uint32_t soft;                   /* the deadline is a wish only */
	uint64_t timeout_ns;             /* of an attempt; 0: none */
	uint64_t grace_ns;  /* between two steps of ending one that is told */
	uint32_t max_calls; /* then the worker is replaced; 0: never */
	uint32_t stream_items;
	uint64_t stream_bytes;
	uint32_t stream_cancel;
	uint32_t surround; /* row of what surrounds it + 1, or 0 */
};
struct mobi_plan_shared {
	mobi_a32 state; /* as of functions */
	uint32_t reserved;
	struct mobi_plan plan;
};
MOBI_SIZE(struct mobi_plan_shared, 112);

/* ---- timers: a bit for each record that the daemon is to look at ---- */
struct mobi_timers {
	mobi_a32 some; /* hint: some bit is set */
	mobi_a64 mid[MOBI_RECS / 64 / 64];
	mobi_a64 leaf[MOBI_RECS / 64];
};

/* ---- what tasks wish for; never forgotten ---- */
#define MOBI_RESOURCES 8u
#define MOBI_RESOURCE_NAME 32
struct mobi_shape {
	mobi_a32 state; /* as of functions */
	uint32_t cpu;
	uint32_t some; /* 1: some amount is not 0 */
	uint32_t reserved;
	uint32_t amount[MOBI_RESOURCES];
};
MOBI_SIZE(struct mobi_shape, 48);

/* ---- resources beside processors: resources.c ---- */
struct mobi_resource {
	char name[MOBI_RESOURCE_NAME];
	uint32_t total;   /* MOBI_CPU_UNIT each */
	uint16_t devices; /* 1: they have numbers */
	uint16_t implied; /* 1: nobody has said how much */
};
MOBI_SIZE(struct mobi_resource, 40);

/* ---- errors that nobody read: unread.c ---- */
#define MOBI_UNREAD_ROWS 32u
#define MOBI_UNREAD_SEEN 256u
struct mobi_unread_row {
	mobi_a32 state; /* {client 24, state 8} */
	uint32_t reserved;
	mobi_a64 task; /* that made the object, or 0 */
	uint64_t due_ns;
	char text[488];
};
MOBI_SIZE(struct mobi_unread_row, 512);
struct mobi_unread {
	mobi_a32 some;     /* hint: there is a row, or left_out */
	mobi_a32 left_out; /* for lack of a row */
	mobi_a64 seen[MOBI_UNREAD_SEEN];
	struct mobi_unread_row row[MOBI_UNREAD_ROWS];
};

/* ---- places: where a worker stands ---- */
#define MOBI_PLACES 64u
struct mobi_place_shared {
	mobi_a32 client;  /* 0: nobody */
	mobi_a32 blocked; /* its task waits; its CPU is another's */
	/* What it runs or is about to take: {version 32, record + 1 32}. Counts
	 * while the record is RUN by it or READY, with that version. */
	mobi_a64 ann;
	/* As ann: the attempt for whose sake this process is killed. What else
	 * it runs is run again without a charge. */
	mobi_a64 shot;
	mobi_a64 busy_ns;
	mobi_a64 runs;
	mobi_a32 exit_status; /* of the last process here, from waitpid */
	mobi_a32 exit_pid;
	mobi_a32 leave; /* the worker is not needed any more */
	mobi_a32 helps; /* blocked: it has refs of tasks that it may run */
	/* blocked: what it waits for without end, an object or MOBI_ANY_OF; 0 */
	mobi_a64 waits;
	/* Of an access to memory that ends its process: MOBI_FAULT_*, and where. */
	mobi_a32 fault;
	uint32_t reserved;
	mobi_a64 fault_addr;
	/* What its tasks hold, those that wait, too: only it writes them. */
	mobi_a32 held[MOBI_RESOURCES];
	mobi_a64 devices[MOBI_RESOURCES]; /* a bit each */
	/* As ann: the attempt that is killed for lack of memory; how many private
	 * bytes its worker had, and what was in use of which limit. */
	mobi_a64 press;
	mobi_a64 press_bytes;
	mobi_a64 press_use;
	mobi_a64 press_limit;
	uint64_t reserved3[6];
};
MOBI_SIZE(struct mobi_place_shared, 256);
/* Tasks that a worker has taken out of a queue in one go and not begun: bundle.h. */
#define MOBI_BUNDLE_TASKS 7u
struct mobi_bundle {
	/* As ann, in order. Only its owner writes: 0, it has begun. */
	mobi_a64 task[MOBI_BUNDLE_TASKS];
	mobi_a64 since_ns; /* its owner came to it last */
};
MOBI_SIZE(struct mobi_bundle, 64);
enum {
	MOBI_FAULT_STACK = 1, /* its stack ran over */
	MOBI_FAULT_STORE = 2, /* a write to an object that is sealed */
	MOBI_FAULT_NULL = 3,
	MOBI_FAULT_OTHER = 4, /* UINT64_MAX: not known where */
	MOBI_FAULT_MEMORY =
		5, /* a file was cut off, or its file system is full */
	MOBI_FAULT_LIMIT = 6 /* killed: the bytes that it had were too many */
};
#define MOBI_VERSION(w) (MOBI_GEN(w) << 8 | MOBI_ATTEMPT(w))
#define MOBI_ANN(version, rec) ((uint64_t)(version) << 32 | ((rec) + 1))

/* ---- waits without another way out, by client: waits.h ---- */
struct mobi_wait_shared {
	/* Odd: a thread of the client sleeps until `id` is resolved, or so many of
	 * it. Grows only. */
	mobi_a64 seq;
	mobi_a64 id;   /* an object, or MOBI_ANY_OF */
	mobi_a64 task; /* as ann: that sleeps; 0: no task does */
	mobi_a32 how;  /* MOBI_WAIT_HOW */
	uint32_t reserved;
	uint64_t reserved2[4];
};
MOBI_SIZE(struct mobi_wait_shared, 64);
#define MOBI_WAIT_NEED_MAX ((1u << 24) - 1)
#define MOBI_WAIT_HOW(need, kind) ((kind) << 24 | (need))

/* ---- what surrounds tasks: surround.h; never forgotten ---- */
#define MOBI_SURROUNDS 31u
struct mobi_surround {
	mobi_a32 state; /* as of functions */
	uint32_t len;
	char text[1016]; /* directory, NUL, "NAME=VALUE", NUL, ... */
};
MOBI_SIZE(struct mobi_surround, 1024);

/* ---- what workers print: output.h ---- */
#define MOBI_SPOOLS 96u
enum {
	MOBI_SPOOL_FREE = 0,
	MOBI_SPOOL_LIVE = 1,
	MOBI_SPOOL_DEAD = 2 /* its worker has ended, and not all is read */
};
/* A worker's files. Written by the worker: what it runs. Its daemon: the rest. */
struct mobi_spool {
	mobi_a64 task; /* that it runs: {gen 32, record + 1 32}; 0: none */
	mobi_a32 what; /* {name's row + 1 8, function 16} of it */
	mobi_a32 state;
	mobi_a64 marks; /* how often it has marked what is there as a task's */
	mobi_a64 done[2]; /* bytes of its files that are in the log */
	mobi_a64 serial;  /* in the names of its files */
	mobi_a32 pid;
	uint32_t reserved;
	uint64_t reserved2;
};
MOBI_SIZE(struct mobi_spool, 64);
struct mobi_output {
	uint32_t mode;  /* MOB_OUTPUT_* but not AUTO */
	uint32_t files; /* log files kept */
	uint64_t bytes; /* of one of them */
	struct mobi_proc maker;
	char dir[1024];  /* of the logs; "": in the session's own */
	mobi_a64 serial; /* of the last spool */
	mobi_a64 last;   /* number of the log file that is written to */
	/* What is about to be appended, as {spool 32, stream + 1 32}; 0: nothing.
	 * Who dies at it leaves the log longer than `at`, or not. */
	mobi_a64 intent;
	mobi_a64 at;
	mobi_a64 length;
	mobi_a64 done;
	mobi_a64 lost; /* bytes that were left out */
	_Alignas(64) struct mobi_spool spool[MOBI_SPOOLS];
};

/* ---- policies of the session ---- */
#define MOBI_POLICIES 32u
struct mobi_policy_row {
	mobi_a32 state; /* as of functions */
	mobi_a32 strikes;
	uint64_t stamp[4]; /* of the file: struct mobi_dl_stamp */
	char name[32];
	char path[440];
};
MOBI_SIZE(struct mobi_policy_row, 512);

/* ---- generations of the domain ---- */
#define MOBI_GENS 4u
struct mobi_gen {
	mobi_a32 lock;    /* client, or 0 */
	mobi_a32 filling; /* records from `fill` on are not looked at yet */
	uint32_t gen;
	uint32_t policy; /* row; 0: the compiled-in fallback */
	uint32_t fill;
	uint32_t started; /* the policy's start was called */
	uint64_t up;      /* places that the policy knows of */
	uint64_t rnd;
	mobi_a64 since_ns;
	mobi_a64 last_take_ns;
	mobi_a64 unfit; /* something is queued that did not fit */
	uint64_t last_tick_ns;
	struct mobi_policy_stamp stamp;
	_Alignas(64) unsigned char state[MOB_SCHED_STATE_MAX];
};

struct mobi_crash {
	mobi_a32 pid;
	mobi_a32 status; /* of waitpid */
	mobi_a32 fn;
	mobi_a32 attempt;
	mobi_a64 seq; /* of the task */
	mobi_a64 count;
};

struct mobi_worker_limits {
	uint64_t memory;     /* private bytes: replaced after a task; 0: none */
	uint64_t memory_max; /* killed; 0: none */
	char text[256];      /* of setrlimit (os_limits.h) */
};

/* pressure.h */
struct mobi_pressure_shared {
	uint64_t limit; /* of the session's own bytes; 0: none */
	uint32_t
		percent; /* of each limit that may be in use; 0: nobody looks */
	uint32_t retries; /* of a task that was killed for it */
	mobi_a64
		seen_limit; /* the tightest one, as of the last look; 0: none */
	mobi_a64 seen_use;
	mobi_a64 kills;
	mobi_a64 replaced; /* idle workers */
	char where[256];   /* that limit, as of the last kill */
};

/* ---- builds: build.h ---- */
struct mobi_build {
	uint64_t code[2]; /* struct mobi_code */
	mobi_a32 changed; /* the file is another by now, which was told */
	uint32_t reserved;
};
MOBI_SIZE(struct mobi_build, 24);

struct mobi_sched {
	mobi_a32 ready;         /* 1: set up */
	uint32_t n_workers;     /* wanted */
	uint32_t max_places;    /* workers and extra ones at most */
	uint32_t record_events; /* of each process; a power of two, or 0 */
	uint32_t capacity;      /* MOBI_CPU_UNIT x workers */
	uint32_t n_resources;
	struct mobi_resource resource[MOBI_RESOURCES];
	mobi_a32 wanted_extra;     /* hint: the daemon was asked for one more */
	struct mobi_proc driver;   /* pid 0: none is needed */
	struct mobi_lock daemon;   /* held by the daemon while it lives */
	struct mobi_lock deadlock; /* of who ends one */
	mobi_a32 daemon_pid;
	mobi_a32 stopping;
	char program[1024]; /* what workers and the daemon are started from */
	char module[1024];  /* "" : none */
	struct mobi_build program_build;
	struct mobi_build module_build;
	/* Each on lines of their own: written by submitters, by nobody, and by
	 * workers, for every task. */
	_Alignas(64) mobi_a64 ticket; /* of tasks, in order of submission */
	_Alignas(64) mobi_a64 cur;    /* {generation 32, index of gens 32} */
	struct mobi_shape shape[MOBI_SHAPES];
	mobi_a32 max_wish;   /* the most processors of them so far */
	mobi_a32 has_wishes; /* some is for more than processors */
	mobi_a32 wanted_policy;
	_Alignas(64) mobi_a64 placed;
	mobi_a64 swaps;
	mobi_a64 swap_queued;  /* at the commit of the last one */
	mobi_a64 swap_running; /* likewise */
	mobi_a64 ejections;
	mobi_a64 bypasses;
	mobi_a64 retried;
	mobi_a64 finished_for; /* runs whose end was done for a dead worker */
	mobi_a64 ran;
	/* lineage.c */
	uint32_t lineage_max; /* records KEPT at most */
	mobi_a32 kept;        /* about so many are */
	mobi_a32 kept_chunks; /* and have so many chunks of edges */
	uint32_t reserved3;
	mobi_a32 kept_hand;  /* where to look for one that may go */
	mobi_a32 mismatches; /* values made again that were not as before */
	mobi_a64 remade;     /* runs to make something again */
	mobi_a64 evicted;    /* values dropped to make room */
	mobi_a64 forgotten;  /* records that went for others */
	mobi_a64 ejected_ns;
	mobi_a32 ejected_policy;
	uint32_t reserved;
	char ejected_reason[256];
	struct mobi_crash crash;
	_Alignas(64) struct mobi_place_shared place[MOBI_PLACES];
	struct mobi_bundle bundle[MOBI_PLACES]; /* of each place */
	struct mobi_wait_shared wait[MOBI_CLIENTS];
	struct mobi_fn_shared fn[MOBI_FUNCTIONS];
	struct mobi_name_shared name[MOBI_NAMES];
	struct mobi_plan_shared plan[MOBI_PLANS];
	struct mobi_policy_row policy[MOBI_POLICIES];
	_Alignas(64) struct mobi_gen gens[MOBI_GENS];
	_Alignas(64) struct mobi_timers timers;
	struct mobi_unread unread;
	struct mobi_output output;
	struct mobi_surround surround[MOBI_SURROUNDS];
	struct mobi_worker_limits worker_limits;
	uint64_t inline_gets; /* 1: not only at the bound of workers */
	struct mobi_pressure_shared pressure;
	mobi_a64 repeated; /* large arguments that shared an object: repeat.c */
	mobi_a64 starts;   /* of workers; each has its number */
	/* Workers that ended before they stood in a place, one after the other,
	 * while none stood; why the last one did. */
	mobi_a32 start_deaths;
	mobi_a32 start_told; /* the text is whole */
	char start_why[400];
	mobi_a32 daemons; /* that the session has had */
	/* struct mobi_queues, one a generation, follow at MOBI_QUEUES_OFF, and
	 * what record.h tells of at MOBI_RECORD_OFF. */
};
#define MOBI_QUEUES_OFF (UINT64_C(1) << 20)
#define MOBI_RECORD_OFF (UINT64_C(512) << 20)
_Static_assert(sizeof(struct mobi_sched) <= MOBI_QUEUES_OFF, "sched head");
/* In has_sched of the header: unlike builds do not mix. Not 0. */
#define MOBI_SCHED_LAYOUT                                                      \
	((uint32_t)((((sizeof(struct mobi_sched) * 31 +                        \
		       offsetof(struct mobi_sched, place)) *                   \
			      31 +                                             \
		      sizeof(struct mobi_place_shared)) *                      \
			     31 +                                              \
		     sizeof(struct mobi_plan_shared)) *                        \
			    31 +                                               \
		    sizeof(struct mobi_task) +                                 \
		    offsetof(struct mobi_task, args)) |                        \
	 1u)
#define MOBI_CUR(gen, index) ((uint64_t)(gen) << 32 | (index))
#define MOBI_CUR_INDEX(c) ((uint32_t)(c) % MOBI_GENS)
#define MOBI_CUR_GEN(c) ((uint32_t)((c) >> 32))

#endif /* MOBI_SCHED_LAYOUT_H */
