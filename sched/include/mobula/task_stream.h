/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that yield: their results are a stream of unknown length, which is read
 * while they run.
 *
 *   MOB_TASK_STREAM(int64_t, numbers, int64_t, n)
 *   {
 *           for (int64_t i = 0; i < n; i++) {
 *                   mob_yield(i);
 *           }
 *   }
 *
 *   mob_ref stream = mob_submit(numbers, 1000);
 *   int64_t x;
 *
 *   while (mob_next(stream, &x) == 1) {
 *           ... x ...
 *   }
 *
 * STREAMS. The ref of a stream is a ref as any other: it belongs to a frame, and it
 * can be an argument of type mob_ref of another task, which reads it then. A stream
 * is read once, from its beginning, by one reader: a task, or a process outside of
 * its tasks, there by one thread at a time. Items that were read are freed. When the
 * last ref of a stream is gone, so are the items that were not read; the task goes on
 * and its items are thrown away, unless .stream_cancel is set.
 *
 * HOW FAR AHEAD. .stream_items and .stream_bytes of the options bound what is yielded
 * and not read; then mob_yield waits, its worker's CPU is free for others, and one
 * item always passes. Without them the task runs ahead as far as the store has room;
 * items up to 256 bytes of fixed size stay in memory then, others may be spilled.
 * Where MOBULA_EXTRA_WORKERS are all there and all blocked, nobody might be left to
 * read: then the bounds are doubled whenever nothing was read for 20 ms (a second, if
 * no task waits for a worker), until the reader has caught up.
 *
 * ERRORS. What was yielded before an error stays readable; then mob_next tells the
 * error, once, and then comes the end. A task that is run again yields its items
 * from the first on: as many as are in the stream already are left out, so it must
 * yield the same again.
 */
#ifndef MOBULA_TASK_STREAM_H
#define MOBULA_TASK_STREAM_H

#include <mobula/task.h>

MOB_EXTERN_C_BEGIN

/*
 * Adds a copy of *value, of the type of the task's stream, behind the others. A span
 * or string that begins at space of mob_new becomes the item without a copy. Returns
 * 0; 1 if nobody has the stream any more and the item was thrown away: the task may
 * return. Errors, all but the first pending: TIMEOUT (not added: the reader is too far
 * behind); CANCELLED (the task is; or the stream was let go and .stream_cancel set),
 * STATE (not in such a task, or in another thread), TYPE, STORE_FULL, LIMIT, DEADLOCK
 * (whoever may read waits for what only this task can end).
 * Thread: that of the task. Blocks: up to the time-out, if the stream is bounded.
 * Since 0.1.
 */
MOB_API int mob_yield_raw(const struct mob_type *type, const void *value,
			  int64_t timeout_ns);

/*
 * Waits for the next item and reads it into *out as a value of the type: as
 * mob_get_raw; a view belongs to the innermost frame. Returns 1; 0 at the end of the
 * stream, as often as it is called. Errors, all but TIMEOUT pending: TIMEOUT; the
 * error of the task, after its last item, once; TYPE (the item stays the next; or the
 * ref is no stream), STATE (another has begun to read the stream), LOST (an attempt
 * of this task, or a process, that read it has died), BAD_REF. On failure and at the
 * end *out is zero bytes. Thread: one at a time for each stream. Blocks: up to the
 * time-out. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_next_raw(struct mob_ref stream,
				       const struct mob_type *type,
				       int64_t timeout_ns, void *out);

/*
 * The same, but gives a ref of the item, in the caller's frame, to pass it on or to
 * get it. The error of the task is an item here: a ref that holds it. Returns and
 * errors as mob_next_raw, STORE_FULL. Thread: as mob_next_raw. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_next_ref(struct mob_ref stream,
				       struct mob_ref *out_ref);
/* As mob_next_ref, and returns TIMEOUT if it takes longer. Since 0.1. */
MOB_API MOB_NODISCARD int mob_next_ref_timeout(struct mob_ref stream,
					       int64_t timeout_ns,
					       struct mob_ref *out_ref);

/*
 * A ref that is resolved as soon as mob_next need not wait, for mob_wait and queues;
 * one for each item that is waited for. It holds nothing of use. The caller becomes
 * the stream's reader. Errors, in the ref and pending: those of mob_next. Thread, as
 * mob_next. Blocks: no. Since 0.1.
 */
MOB_API struct mob_ref mob_stream_ready(struct mob_ref stream);

/*
 * The ref of what the task ends with: how many items it has yielded, a uint64_t, or
 * its error. For mob_get, mob_join, or as an argument; by any number of processes.
 * Errors, in the ref: TYPE (no stream), BAD_REF. Thread: any. Blocks: no. Since 0.1.
 */
MOB_API struct mob_ref mob_stream_result(struct mob_ref stream);

MOB_EXTERN_C_END

#ifndef __cplusplus

/* The formatter takes _Generic and the bodies that macros make apart. */
/* clang-format off */

/*
 * MOB_TASK_STREAM(R, f, T, a, ...) { ... mob_yield(x); ... }
 *
 * A task that yields a stream of R, as MOB_TASK otherwise. mob_submit(f, ...) gives
 * the ref of the stream. The body returns nothing, and cannot be called as a
 * function.
 */
#define MOB_TASK_STREAM(R, f, ...)                                             \
	MOBI_HIDDEN MOBI_PROTO_STREAM(R, f, __VA_ARGS__);                      \
	MOBI_DECLARE(f, 1, __VA_ARGS__);                                       \
	static int mobi_yield_##f(MOBI_CAT(mobi_ret_, R) v, int64_t ns)        \
	{                                                                      \
		return mob_yield_raw(MOBI_TYPE_OF(R), &v, ns);                 \
	}                                                                      \
	MOBI_RUN(f)                                                            \
	{                                                                      \
		MOBI_NOT_USED                                                  \
		f(mobi_yield_##f MOBI_EACH(MOBI_LOAD_MORE, MOBI_NOTHING, f,    \
					   __VA_ARGS__));                      \
	}                                                                      \
	MOBI_DEFINE(f, MOB_RETS_STREAM, (&MOBI_CAT(mobi_type_, R)),            \
		    __VA_ARGS__)                                               \
	MOBI_PROTO_STREAM(R, f, __VA_ARGS__)
#define MOBI_PROTO_STREAM(R, f, ...)                                           \
	void f(int (*mobi_yields)(MOBI_CAT(mobi_ret_, R), int64_t) MOB_UNUSED   \
		       MOBI_EACH(MOBI_MORE, MOBI_NOTHING, f, __VA_ARGS__))

/*
 * mob_yield(x), in the body of a task of MOB_TASK_STREAM: see mob_yield_raw. x is
 * converted to the type of the stream as an argument of a function is.
 * mob_yield_timeout(x, timeout_ns). In a function that the body calls it is
 * mob_yield_as(R, x), where R is that type.
 */
#define mob_yield(x) (mobi_yields)(x, MOB_FOREVER)
#define mob_yield_timeout(x, timeout_ns) (mobi_yields)(x, timeout_ns)
#define mob_yield_as(R, x)                                                     \
	mob_yield_raw(MOBI_TYPE_OF(R),                                         \
		      (const MOBI_CAT(mobi_ret_, R)[1]){ x }, MOB_FOREVER)

/*
 * mob_next(stream, &x): 1 and the next item; 0 at the end; or an error. See
 * mob_next_raw. The type of x says how, as in mob_get; mob_next_as(T, stream, &x)
 * for any type. mob_next_timeout(stream, timeout_ns, &x): MOB_E_TIMEOUT if it takes
 * longer.
 */
#define mob_next(stream, out)                                                  \
	mob_next_raw(stream, MOBI_TYPE_AT(out), MOB_FOREVER, out)
#define mob_next_as(T, stream, out)                                            \
	mob_next_raw(stream, MOBI_TYPE_OF(T), MOB_FOREVER, MOBI_TO(T, out))
#define mob_next_timeout(stream, timeout_ns, out)                              \
	mob_next_raw(stream, MOBI_TYPE_AT(out), timeout_ns, out)
#define mob_next_timeout_as(T, stream, timeout_ns, out)                        \
	mob_next_raw(stream, MOBI_TYPE_OF(T), timeout_ns, MOBI_TO(T, out))

/* clang-format on */

#endif /* __cplusplus */

#endif /* MOBULA_TASK_STREAM_H */
