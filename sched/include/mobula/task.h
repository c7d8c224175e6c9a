/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: functions that run in other processes, their arguments and results
 * objects in shared memory.
 *
 *   #include <mobula/mobula.h>
 *   #include <stdio.h>
 *
 *   MOB_TASK(int64_t, square, int64_t, x) { return x * x; }
 *   MOB_TASK(int64_t, add, int64_t, a, int64_t, b) { return a + b; }
 *
 *   MOB_MAIN(void)
 *   {
 *           int64_t sum;
 *
 *           if (mob_init(NULL)) {
 *                   return 1;
 *           }
 *           mob_get(mob_submit(add, mob_submit(square, 3), 16), &sum);
 *           printf("%d\n", (int)sum);
 *           return sum != 25;
 *   }
 *
 * REFS AND FRAMES. A ref names an object: a value, or the error in place of
 * one. Every ref that a call returns belongs to a frame, and is released when
 * the frame ends; so is every view of its bytes. Frames are
 *   - the body of a task, from its first line to its return;
 *   - MOB_SCOPE { }, from its first line to where it is left, in any way;
 *   - for a thread outside a task, the thread: until it ends or mob_shutdown.
 * A ref goes to the innermost frame of the thread that made the call. A frame
 * has a ref once, however often it came. What leaves a frame before its end:
 *   - what the task returns (a ref, a list of refs): the result keeps it alive;
 *   - mob_release(ref): the ref and its views are gone;
 *   - mob_take(ref, &x): it is read, then released;
 *   - mob_queue_add(q, ref, tag): it is the queue's until it is popped, then
 *     of the frame that popped it;
 *   - mob_keep(ref): it lives, with its views, until mob_release, in whatever
 *     frame or thread that is called. Each mob_keep is ended by one.
 * A kept ref may come again, out of an object or a queue: then it is in that frame,
 * too, and mob_release there ends what the frame has, not what others keep; a second
 * one, or one where no frame has it, ends a mob_keep.
 * A loop that makes refs without end uses one of these, and then runs in
 * constant memory. Refs that come as arguments (mob_ref, mob_refs) are borrowed
 * until the task ends, refs that are read out of an object as long as that
 * object's ref is there; mob_keep makes them last. A ref is a plain value that
 * may be given to any thread; it is good there as long as its frame has it.
 *
 * VIEWS. Spans and strings that are read (an argument, mob_get) point to the
 * bytes of the object itself. They are read only: a write through them faults.
 * They are valid as long as the frame has the ref; arguments until the task
 * ends. A view of a ref that no frame has belongs to the innermost frame.
 *
 * ERRORS are in refs. A call that returns a ref always returns one; if it
 * failed, the ref holds the error, whoever gets it is told, and a task that
 * has it as an argument does not run but ends with that error itself. If not
 * even that is possible, the ref is MOB_REF_NONE, which is MOB_E_BAD_REF.
 * A call that fails to give a value (mob_get, mob_new, mob_args_get and their
 * kin) sets what it should have written to zero bytes and leaves its error
 * pending: mob_error() tells it. A task that returns with an error pending
 * ends with that error, whatever it returns; mob_error_clear() prevents it. So
 * a result is never computed from a value that was not there, and the return
 * code of a get needs no test in a task that has no other use for the values.
 * The first error stays pending until it is cleared. A time-out is an answer
 * and leaves nothing pending.
 *
 * THREADS. Everything may be called from any thread. A pending error is the
 * thread's own. A thread that a task has started is a thread outside the task:
 * it has a frame of its own, its errors and mob_fail do not end the task, and
 * it may outlive the task; but the task's refs and views are then gone, unless
 * they were kept.
 *
 * TIME-OUTS are in nanoseconds. 0 looks and does not wait, MOB_FOREVER waits
 * for ever, another negative one is MOB_E_INVAL.
 *
 * The macros need C11; the functions can be called from C++11.
 */
#ifndef MOBULA_TASK_H
#define MOBULA_TASK_H

#include <mobula/err.h>
#include <mobula/store.h>
#include <mobula/types.h>

MOB_EXTERN_C_BEGIN

/* ---- program and session ---- */

/*
 * What MOB_MAIN calls. The same program is started again as a worker and as the
 * daemon of its session; in these processes the function does its part, runs
 * tasks, and exits: user_main is never called there, so nothing before mob_init
 * runs twice. Constructors of C and of shared libraries do run in every one
 * of the processes, before this function. In any other process it calls
 * user_main, and mob_shutdown if that has not, and returns what user_main
 * returned; if that is not 0 and an error is pending, it prints the error on
 * stderr. Thread: main. Blocks: yes. Since 0.1.
 */
MOB_API int mob_main(int argc, char **argv,
		     int (*user_main)(int argc, char **argv));

/* Grows at the end only; start from MOB_INIT_OPTS_INIT, then set fields. */
struct mob_init_opts {
	uint32_t struct_size;
	uint32_t flags;       /* 0 */
	const char *session;  /* attach to it, or make it; NULL: private */
	const char *policy;   /* name or path; NULL: configuration policy */
	const char *module;   /* .so with more tasks, which workers load
			       * too; NULL: those of the program alone.
			       * Tried in a child before it is loaded */
	uint64_t store_bytes; /* 0: configuration store_bytes */
	int32_t workers;      /* -1: configuration workers, or one a core */
	uint32_t reserved;    /* 0 */
	/* Where objects go that nobody views when the store is full, as
	 * mob_store_opts.spill_dir; NULL: configuration spill_dir. */
	const char *spill_dir;
	/*
	 * What tasks can wish for beside processors, as in
	 * "memory_gb=12,license=1.5,gpu:2": at most 8, to 1/10,000; with ':' whole
	 * devices, at most 64, that have numbers from 0 on. Only names to the
	 * run-time, which counts. NULL: configuration resources.
	 */
	const char *resources;
	uint32_t output;    /* where what workers print goes: MOB_OUTPUT_* of
			     * output.h; 0: configuration output */
	uint32_t reserved2; /* 0 */
};
#define MOB_INIT_OPTS_INIT                                                     \
	{                                                                      \
		(uint32_t)sizeof(struct mob_init_opts), 0, 0, 0, 0, 0, -1, 0,  \
			0, 0, 0, 0                                             \
	}

/*
 * Starts a private session, which ends with this process; or, with a name,
 * attaches to the session of that name, or makes it if there is none. NULL: the
 * defaults. Once a process, until mob_shutdown; an attached process that calls
 * it again gets STATE. In a task it does nothing and returns 0. An error is
 * pending, too.
 * Errors: STATE (attached already; or the program was not entered by
 * MOB_MAIN), INVAL (0 workers; a size or name out of range, with the
 * limits), EXISTS (the session has other settings than those that are asked
 * for), VERSION (the session has another build of the program or module),
 * NOT_FOUND (no such module), PLUGIN (no such policy; the module does not load),
 * BUSY (this process has an older build of the module), DISK_FULL, PERM; LIMIT,
 * NOMEM, SYS (a limit of this process, which the text names). Thread: any. Blocks:
 * until the first worker is there. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_init(const struct mob_init_opts *opts);

/*
 * Makes the session that opts names, and is its daemon until it is stopped
 * (`mob session stop`, or SIGTERM, SIGINT or SIGHUP to this process: it takes these
 * signals over, but SIGINT and SIGHUP where they are ignored): for mobd and programs
 * like it. Workers are started from
 * mob-worker beside the running program, else from the program itself. Errors:
 * those of mob_init; EXISTS if there is a session of that name. Thread: main.
 * Blocks: until the session ends. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_session_serve(const struct mob_init_opts *opts);

/*
 * Releases all refs and views of this process and detaches; a private session
 * ends, with the tasks that still run. Without a session it does nothing. Not
 * while another thread is in a call. Thread: one at a time. Since 0.1.
 */
MOB_API void mob_shutdown(void);

/* ---- types ----
 *
 * A type is written as one identifier, in parameter lists and where a macro
 * asks for one:
 *   int int32_t int64_t unsigned uint32_t uint64_t size_t
 *   float double bool char       a value
 *   mob_str                      const char *, ends in NUL, never NULL
 *   mob_bytes                    any bytes; reads an object of any type
 *   mob_i32s mob_i64s mob_f32s mob_f64s     spans {at, n} of numbers
 *   mob_ref                      an object that is not read: a plain ref
 *   mob_refs                     a list of plain refs
 *   mob_args                     a list of arguments: their values
 * and what a program adds by MOB_STRUCT, MOB_ARRAY and MOB_FUNCTION_TYPE.
 * Integer types of one width and sign are one type. Another type does not
 * compile, nor does a value of another type where one of these is asked for;
 * numbers convert to each other as in a call of a function. A ref takes the
 * place of any value but one of type mob_args or a function. That its object
 * has just the right type (nothing converts here) is checked when the task
 * reads it, and the error names task, position, expected and given type.
 */

/* How a value of a type is stored. */
enum mob_kind {
	MOB_KIND_VOID = 1, /* nothing: an object of 0 bytes */
	MOB_KIND_POD,      /* its bytes */
	MOB_KIND_STR,      /* the characters and the NUL */
	MOB_KIND_SPAN,     /* the elements; value: {const void *at; size_t n} */
	MOB_KIND_REF,      /* a ref; the object keeps its object alive */
	MOB_KIND_REFS,     /* refs; value: struct mob_refs */
	MOB_KIND_ARGS,     /* only in tasks: refs; value: struct mob_args */
	MOB_KIND_FUNCTION  /* only in tasks: number of its definition; value:
			    * pointer to a function that is registered */
};

/* Ids of the types that are built in; MOB_TYPE_BYTES, _ERROR and _REFS are in
 * store.h. Ids of other types have MOB_TYPE_USER set, the other bits are a hash
 * of the name. */
#define MOB_TYPE_VOID 4u
#define MOB_TYPE_STR 5u
#define MOB_TYPE_REF 6u
#define MOB_TYPE_ARGS 7u
#define MOB_TYPE_BOOL 8u
#define MOB_TYPE_CHAR 9u
#define MOB_TYPE_I32 10u
#define MOB_TYPE_U32 11u
#define MOB_TYPE_I64 12u
#define MOB_TYPE_U64 13u
#define MOB_TYPE_F32 14u
#define MOB_TYPE_F64 15u
#define MOB_TYPE_I32S 16u
#define MOB_TYPE_I64S 17u
#define MOB_TYPE_F32S 18u
#define MOB_TYPE_F64S 19u
#define MOB_TYPE_STREAM 20u /* of a task: task_stream.h */
#define MOB_TYPE_USER 0x80000000u

/* A type. Two are the same if their ids are. */
struct mob_type {
	const char *name; /* at most 31 characters */
	mob_type_id id;
	uint32_t kind;      /* enum mob_kind */
	uint32_t size;      /* of a value in C */
	uint32_t elem_size; /* of an element of a span or list, else 0 */
};

struct mob_i32s {
	const int32_t *at;
	size_t n;
};

struct mob_i64s {
	const int64_t *at;
	size_t n;
};

struct mob_f32s {
	const float *at;
	size_t n;
};

struct mob_f64s {
	const double *at;
	size_t n;
};

/* A list of refs. An object that holds one keeps their objects alive. */
struct mob_refs {
	const struct mob_ref *at;
	size_t n;
};

/*
 * A list of arguments. The caller gives refs (mob_args_of); the task starts
 * when all are resolved, and reads their values by mob_args_get. views is set
 * by the run-time; NULL if the task was called as a function.
 */
struct mob_args {
	const struct mob_ref *refs;
	const struct mob_view *views;
	size_t n;
};

/* Elements first to first + n of the span in ref, as an argument: the task
 * sees them in place. Past the end is an error of the task. */
struct mob_slice {
	struct mob_ref ref;
	uint64_t first;
	uint64_t n;
};

/* ---- definitions of tasks, for the run-time ---- */

#define MOB_ARGS_MAX 8
#define MOB_RETS_MAX 4
/* n_rets of a task whose caller says how many returns it has. */
#define MOB_RETS_MANY UINT32_MAX
/* n_rets of a task that yields a stream of rets[0]: task_stream.h. Submitted, it has
 * one ref. */
#define MOB_RETS_STREAM (UINT32_MAX - 1)

struct mob_task_opts;

/*
 * One task, made by MOB_TASK. Constant, one a name in a program or module.
 * run calls the function: arg[i] points to a value of the type args[i], ret[i]
 * to zeroed space for one of rets[i]. With MOB_RETS_MANY rets has one type and
 * ret one pointer, to n_ret values in a row. A task without a result has one
 * return of kind VOID, whose ret is not touched. With MOB_RETS_STREAM ret is NULL.
 */
struct mob_task_def {
	uint32_t struct_size;
	uint32_t n_args;
	uint32_t n_rets;
	uint32_t line;
	const char *name;
	const char *file;
	const struct mob_type *const *args;
	const struct mob_type *const *rets;
	void (*run)(const void *const *arg, void *const *ret, size_t n_ret);
	void (*fn)(void); /* the function itself, to know it as a value */
	/* MOB_TASK_DEFAULTS; struct_size 0 in it, or NULL: there are none. */
	const struct mob_task_opts *opts;
};

/*
 * Tells the run-time of the definitions of a program or module, [begin, end).
 * Called by constructors, more than once for each: the bounds of one module are
 * always the same, a second call with them does nothing. Nothing is looked at
 * before mob_init; two definitions of one name are an error there. Thread: any.
 * Since 0.1.
 */
MOB_API void mob_module_register_raw(const struct mob_task_def *const *begin,
				     const struct mob_task_def *const *end);

/* ---- submit ---- */

/*
 * Options of one submit, given by value: MOB_OPTS(.retries = 0, .cpus = 0.5).
 * What is not named, or has the value that MOB_TASK_OPTS_INIT gives, is as
 * MOB_TASK_DEFAULTS says of the function, else as said here. Grows at the end only.
 */
struct mob_task_opts {
	uint32_t struct_size;
	int32_t retries; /* after a worker died, and of errors that are retried:
			  * 3; 0 none, -1 for ever. What was killed for lack of
			  * memory is not charged, but MOBULA_MEMORY_RETRIES (15)
			  * times at most is it run again, and not with 0 */
	double cpus;     /* 1; 0 and fractions to 1/10,000 */
	uint64_t
		deadline_ns; /* when it has to have ended, after submit; policies
			       * see it, too; 0: none */
	const char *name; /* in lists and errors; NULL: the task's. Copied, up
			   * to 59 characters; the 256th different one of a
			   * session and later ones are not told */
	int32_t priority; /* higher is more urgent; 0 */
	uint32_t policy_hint; /* handed to the policy; 0 */
	/* Errors that the task reports are retried, too: all, or those with one
	 * of at most 8 codes (of mob_fail, or MOB_E_*). They count against
	 * retries. Not the errors of its arguments, nor what is cancelled. */
	uint32_t retry_errors;  /* 1: all; 0 */
	uint32_t n_retry_codes; /* 0 */
	const int *retry_codes; /* copied; NULL */
	/* A retry waits so long before it may run, twice as long each time, and
	 * at most backoff_max_ns; of that, a random part of at most `jitter` is
	 * left out. It has no worker while it waits. Kept to 10 ms. With retries
	 * of -1 it begins anew after each 256 attempts. A session can have 2,047
	 * different sets of these, of the above, and of timeout_ns, grace_ns,
	 * soft_deadline, max_calls, env and cwd. */
	uint64_t backoff_ns;     /* 0: retried at once; at most a day */
	uint64_t backoff_max_ns; /* 0: a minute */
	double jitter;           /* 0.5; 0 to 1 */
	/*
	 * How long an attempt may run, its waits included; 0: without end. One that
	 * runs longer, or beyond the deadline, is told, as one that is cancelled;
	 * grace_ns later its worker gets SIGTERM, and as long after that SIGKILL.
	 * Its results are MOB_E_TIMEOUT, and what it has submitted is cancelled. A
	 * task whose deadline passes before it runs never does. A timeout is
	 * retried as an error of the task is, if MOB_E_TIMEOUT is among
	 * retry_codes, or with retry_errors; not after the deadline. Kept to 10 ms,
	 * and rounded up by at most a 20th.
	 */
	uint64_t timeout_ns;
	uint64_t grace_ns; /* a second; 0: SIGKILL at once; a day at most, or
			    * MOB_GRACE_NONE: it is only told */
	uint32_t
		soft_deadline; /* 1: the deadline is only a wish for policies */
	/* The worker is replaced after so many runs of tasks of this function that
	 * say so, once what it runs has ended: for functions that leak, or leave
	 * something behind. 0: it is not. */
	uint32_t max_calls;
	/*
	 * What else it wishes for of what the session has: "gpu=1,license=0.5". It
	 * runs when all of it is free, and keeps it until it ends, also while it
	 * waits. A wish for more than there is stays queued (mob task explain). A
	 * session can have 64 different wishes for cpus and resources. NULL:
	 * nothing.
	 */
	const char *resources;
	/*
	 * Of a task that yields a stream (task_stream.h): it waits while so many items,
	 * or so many bytes of items, were yielded and not read; 0: without bound. With
	 * stream_cancel 1 it is cancelled when the last ref of the stream is gone: at
	 * its next mob_yield, or before it runs.
	 */
	uint64_t stream_bytes;
	uint32_t stream_items;
	uint32_t stream_cancel;
	/*
	 * Variables of the environment, "NAME=VALUE" each, NULL at the end, and the
	 * working directory, absolute, that its worker has while its function runs;
	 * what was before is put back, and what another task has that runs inside a
	 * wait is that one's own. Other threads of the worker see it, too; what read
	 * its environment when the process began (the loader, libraries) does not. A
	 * directory that is not there is the error of the task. Copied; a session can
	 * have 31 different sets, of 1,016 bytes each. NULL: as the worker has it.
	 */
	const char *const *env;
	const char *cwd;
	/*
	 * Bytes of memory that it is expected to need beside the store: a wish for the
	 * resource "memory", which is counted in GiB and kept like one of `resources`,
	 * where it may not be named too. The session has seven tenths of the machine's
	 * memory if its own resources do not say how much. Only reserved, not
	 * enforced. 0: none.
	 */
	uint64_t memory;
	uint32_t
		alone; /* 1: a function's MOB_TASK_DEFAULTS are left aside; 0 */
	uint32_t reserved; /* 0 */
};
#define MOB_GRACE_NONE UINT64_MAX
#define MOB_TASK_OPTS_INIT                                                     \
	{                                                                      \
		(uint32_t)sizeof(struct mob_task_opts), 3, 1.0, 0, 0, 0, 0, 0, \
			0, 0, 0, 0, 0.5, 0, UINT64_C(1000000000), 0, 0, 0, 0,  \
			0, 0, 0, 0, 0, 0, 0                                    \
	}

/* How an argument is given. */
enum mob_arg_kind {
	MOB_ARG_VALUE = 0, /* value points to it; copied before return */
	MOB_ARG_REF = 1,   /* the object of ref, when it is resolved */
	MOB_ARG_SLICE = 2  /* elements first to first + n of that object */
};

struct mob_arg {
	const void *value;
	struct mob_ref ref;
	uint64_t first;
	uint64_t n;
	uint32_t kind; /* enum mob_arg_kind */
	uint32_t reserved;
};

/*
 * Submits a task: writes n_refs refs of its results, in the caller's frame.
 * opts NULL: defaults. The arguments are borrowed until the function returns.
 * On failure each ref holds the error; the code is returned too.
 * Errors: INVAL (not the number of results of the definition; an option out of
 * range), TYPE (a function that is not registered), BAD_REF (naming the
 * argument), STORE_FULL, LIMIT, STATE (no session). Thread: any. Blocks: no.
 * Since 0.1.
 */
MOB_API int mob_submit_raw(const struct mob_task_def *def,
			   const struct mob_task_opts *opts, uint32_t n_args,
			   const struct mob_arg *args, size_t n_refs,
			   struct mob_ref *out_refs);

/* ---- cancel ---- */

#define MOB_CANCEL_FORCE 1u    /* kill the worker of a task that runs */
#define MOB_CANCEL_ALONE 2u    /* not what the task has submitted */
#define MOB_CANCEL_ESCALATE 4u /* tell, then SIGTERM, then SIGKILL */

/*
 * Cancels the task that makes the object of ref; for a task with several results,
 * any of them names it. A task that does not run yet never will: its results are
 * MOB_E_CANCELLED at once, and so are those of tasks that have them as arguments.
 * One that runs is told: mob_task_cancelled() is true in it, its calls that wait
 * end in MOB_E_CANCELLED, and when its function returns its results are
 * MOB_E_CANCELLED, whatever it returned. A cancelled task is never run again. With
 * MOB_CANCEL_FORCE its worker is killed; other tasks that this process had in hand
 * run again, and it does not count against their retries. With MOB_CANCEL_ESCALATE
 * it is told first; if it runs on after its grace_ns (of the options), its worker
 * gets SIGTERM, and as long after that SIGKILL. Tasks that it has submitted are
 * cancelled in the same way, and those that they have, unless flags say
 * MOB_CANCEL_ALONE.
 * Returns 1 if it is cancelled, or told, by this call or before; 0 if it was over,
 * which changes nothing. One that is about to end when it is told may end with its
 * results after all. Errors, pending: BAD_REF, INVAL (flags; the object is not the
 * result of a task). Thread: any. Blocks: no. Since 0.1.
 */
MOB_API int mob_task_cancel(struct mob_ref ref, uint32_t flags);

/* True in a task that was cancelled, or is late: it should return, with what does
 * not matter.
 * Costs a few ns. False outside a task. Thread: any. Blocks: no. Since 0.1. */
MOB_API bool mob_task_cancelled(void);

/*
 * Numbers of the devices of a resource that the task of this thread has, for as long as
 * it runs: writes at most n, from the smallest on, and returns how many there are.
 * Errors, pending: INVAL (not a resource of the session that has devices), STATE (not
 * in a task). Thread: that of the task. Blocks: no. Since 0.1.
 */
MOB_API int mob_devices(const char *name, uint32_t *out, size_t n);

/* ---- objects ---- */

/*
 * Stores a copy of *value. Always returns a ref, of the caller's frame; it
 * holds the error of a put that failed (STORE_FULL, LIMIT; BAD_REF for a list
 * with a bad ref; INVAL for a type that cannot be stored). Thread: any. Blocks:
 * no. Since 0.1.
 */
MOB_API struct mob_ref mob_put_raw(const struct mob_type *type,
				   const void *value);
/* The same with the place in the source that is shown for the object; it is static,
 * or NULL. mob_put and its kin give their own; a result has that of its task's
 * definition. Since 0.1. */
MOB_API struct mob_ref mob_put_raw_from(const struct mob_type *type,
					const void *value,
					struct mob_site *site);

/*
 * Waits for the object and reads it into *out as a value of the type: a copy,
 * or for strings and spans a view. type NULL reads nothing and only answers
 * how the object ended. In a task that waits, the worker's CPU is free for
 * others. Returns 0. Errors, all but the first pending: TIMEOUT; TASK (reported
 * by the task, mob_error_code() is its code), CRASHED, CANCELLED, LOST, DEADLOCK
 * (it would wait for ever, or who makes the object would; the text tells the
 * cycle; outside of a task only after a while), STORE_FULL (the value went, and
 * its task found no room for it just now; it is tried again), TYPE, BAD_REF,
 * STATE. On failure *out is set to zero bytes. Thread: any. Blocks: up to the
 * time-out. Since 0.1.
 */
MOB_API int mob_get_raw(struct mob_ref ref, const struct mob_type *type,
			int64_t timeout_ns, void *out);

/*
 * As mob_get_raw, for ever, for n refs and an array of n values. Fails fast:
 * returns the first error that is known, even if others still run; all of out
 * is zero bytes then, and no view is left. Since 0.1.
 */
MOB_API int mob_get_all_raw(const struct mob_ref *refs, size_t n,
			    const struct mob_type *type, void *out);

/* Reads argument i of a list as a value of the type, as mob_get_raw does. Does
 * not wait in a task that was submitted. Errors: INVAL (no such argument), and
 * those of mob_get_raw. Thread: any. Since 0.1. */
MOB_API int mob_args_get_raw(const struct mob_args *args, size_t i,
			     const struct mob_type *type, void *out);

/*
 * Waits until the object is resolved and returns 0 or its error, which is then
 * pending, as mob_get does; for tasks that return nothing. Thread: any. Blocks:
 * yes. Since 0.1.
 */
MOB_API int mob_join(struct mob_ref ref);

/*
 * Waits until n_ready of n objects are resolved (an error counts), or the time
 * is up. ready[i], if ready is not NULL, says whether refs[i] is among them;
 * never more than n_ready are. Returns how many, also after the time-out; n = 0
 * returns 0. Frees the worker's CPU as mob_get does. Errors: INVAL (n_ready is
 * 0 or more than n, a ref twice, the time-out), BAD_REF, DEADLOCK (fewer than
 * n_ready can ever be resolved), STORE_FULL (fewer can without room for values that
 * went, and whose tasks found none just now; it is tried again). Thread: any. Blocks:
 * up to the time-out. Since 0.1.
 */
MOB_API int mob_wait(const struct mob_ref *refs, size_t n, size_t n_ready,
		     int64_t timeout_ns, bool *ready);

/* Takes the ref out of the innermost frame of this thread that has it; if none has, ends
 * one mob_keep. The views of it there end. The object is freed if nothing else keeps
 * it. Errors: BAD_REF (neither in a frame of
 * this thread nor kept). Thread: any. Blocks: no. Since 0.1. */
MOB_API int mob_release(struct mob_ref ref);

/* Takes the ref, with its views, out of its frame: it lives until mob_release.
 * A borrowed ref gets a hold of its own. Errors: BAD_REF. Thread: any. Blocks:
 * no. Since 0.1. */
MOB_API MOB_NODISCARD int mob_keep(struct mob_ref ref);

/* ---- results in place ---- */

/*
 * Space in the store, aligned to 64, not zeroed, of the innermost frame. It
 * becomes an object without a copy in one of two ways: the task returns a span
 * that begins at it (it is the result, cut to the span's length), or mob_seal.
 * Otherwise it is freed when the frame ends; what a task returns is therefore
 * made outside of MOB_SCOPE. 0 bytes are allowed. Returns NULL if there is no
 * room, with the error (STORE_FULL, STATE) pending. Owner: the frame. Thread:
 * any. Blocks: no. Since 0.1.
 */
MOB_API void *mob_new(size_t bytes);

/* As mob_new for n elements of a span type; checks the product. */
MOB_API void *mob_new_raw(const struct mob_type *type, size_t n);

/*
 * Makes an object of the span that *value holds, without a copy: it begins at
 * space of mob_new of this thread's frames, and is cut to the span's length.
 * The space must not be written afterwards; reading it is fine as long as the
 * ref lives. Always returns a ref, of the innermost frame. Errors (in the ref):
 * INVAL (not such space, or longer than it). Thread: any. Since 0.1.
 */
MOB_API struct mob_ref mob_seal_raw(const struct mob_type *type,
				    const void *value);

/* ---- errors ---- */

/*
 * Ends the task with an error: sets the error that is pending, in place of one
 * that is. It does not return from the task for you; write `return` after it.
 * Getters of the task's results get MOB_E_TASK, mob_error_code() the code, and
 * mob_error() the text with the task's name, file and line. code: not 0, the
 * program's own. Outside a task it only sets the pending error. Without memory the
 * error has its code, and says so in place of the text. Thread: any.
 * Blocks: no. Since 0.1.
 */
MOB_API void mob_fail(int code, const char *fmt, ...) MOB_PRINTF(2, 3);

/*
 * The same with bytes of the program's own, copied, for who handles the error
 * (mob_error_info). At most MOB_ERROR_PAYLOAD_MAX; more is left out, and the text says
 * so. Since 0.1.
 */
MOB_API void mob_fail_with(int code, const void *payload, size_t size,
			   const char *fmt, ...) MOB_PRINTF(4, 5);
#define MOB_ERROR_PAYLOAD_MAX (1u << 20)

/* The pending error, in parts. Strings and payload are borrowed as that of
 * mob_error. Grows at the end only; start from MOB_ERROR_INFO_INIT. */
struct mob_error_info {
	uint32_t struct_size;
	int rc;           /* MOB_E_TASK: the task reported it; or another */
	int code;         /* as mob_error_code */
	uint32_t attempt; /* that failed; 1: the first run */
	uint32_t pid;     /* of the process in which it arose */
	uint32_t worker;  /* its number in mob worker list; 0: not a worker's */
	uint32_t line;    /* of the task's definition; 0: not a task's */
	uint32_t reserved;
	const char *text;    /* as mob_error */
	const char *task;    /* its name; "": not a task's */
	const char *file;    /* of its definition; "" */
	const void *payload; /* aligned to 1; NULL: none */
	size_t payload_size;
};
#define MOB_ERROR_INFO_INIT                                                    \
	{                                                                      \
		(uint32_t)sizeof(struct mob_error_info), 0, 0, 0, 0, 0, 0, 0,  \
			0, 0, 0, 0, 0                                          \
	}
/* Fills in as much as struct_size says that there is room for. False if none is
 * pending; then all else is 0 and NULL. Thread: any. Blocks: no. Since 0.1. */
MOB_API bool mob_error_info(struct mob_error_info *out);

/* Text of the pending error: what failed, and through which tasks the error
 * came here; "" if none is pending. Owner: borrowed until the thread's next
 * error or mob_error_clear. Thread: any. Since 0.1. */
MOB_API const char *mob_error(void);

/* Code of the pending error: what mob_fail was given, or a MOB_E_*; 0: none. */
MOB_API int mob_error_code(void);

/* No error is pending any more. */
MOB_API void mob_error_clear(void);

/* ---- frames ---- */

/* What MOB_SCOPE opens and closes. */
struct mob_scope {
	uint64_t id; /* 0: none */
	bool open;
};

/* Opens a frame inside the innermost one of this thread. Never fails. */
MOB_API struct mob_scope mob_scope_open(void);

/* Releases what the frame has, and what frames inside it have, and removes it.
 * A frame that is closed already is left alone. Thread: the one that opened. */
MOB_API void mob_scope_close(struct mob_scope *scope);

/* ---- completion order ---- */

/* A queue of refs that yields them in the order in which they are resolved, at
 * O(1) each. Owner: the caller, until mob_queue_close, also after the end of the
 * session, when all else is STATE; no frame. All its functions: Thread: any, also several at once. Since 0.1. */
struct mob_queue;

/* Errors: LIMIT (256 queues a session), STATE. Blocks: no. */
MOB_API MOB_NODISCARD int mob_queue_open(struct mob_queue **out_queue);

/* Moves the ref from its frame into the queue, with a number of the caller's. A
 * kept or borrowed ref stays what it is. Errors: BAD_REF, LIMIT (1,048,576
 * outstanding). Blocks: no. */
MOB_API int mob_queue_add(struct mob_queue *queue, struct mob_ref ref,
			  uint64_t tag);

/* Takes the next resolved ref; it goes to the innermost frame of the caller.
 * out_tag may be NULL. Returns 1; 0 if nothing is outstanding. Frees the
 * worker's CPU as mob_get does. Errors: TIMEOUT, INVAL, DEADLOCK (none can ever
 * be resolved; the queue stays as it is), STORE_FULL (all that are left are values
 * that went, and whose tasks found no room just now: they stay in the queue, and it is
 * tried again). Blocks: up to the time-out. */
MOB_API MOB_NODISCARD int mob_queue_pop(struct mob_queue *queue,
					int64_t timeout_ns,
					struct mob_ref *out_ref,
					uint64_t *out_tag);

/* How many were added and not yet popped. Blocks: no. */
MOB_API size_t mob_queue_outstanding(const struct mob_queue *queue);

/* A descriptor for poll(2) and its kin, readable when a pop may have something.
 * Pop with time-out 0 until TIMEOUT, then poll again. Owner: the queue. Errors:
 * SYS. Blocks: no. */
MOB_API MOB_NODISCARD int mob_queue_fd(struct mob_queue *queue);

/* Releases what is in it. NULL is allowed. Not while another thread uses it.
 * Blocks: no. */
MOB_API void mob_queue_close(struct mob_queue *queue);

MOB_EXTERN_C_END

/* Empty in C++, which has neither _Generic nor compound literals. */
#include <mobula/task_macros.h>

#endif /* MOBULA_TASK_H */
