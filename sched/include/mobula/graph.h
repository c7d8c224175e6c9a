/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs: calls that are recorded once and replayed many times.
 *
 *   struct mob_graph *g;
 *
 *   mob_capture_begin(&g);
 *   struct mob_ref x = mob_graph_input(int64_t);
 *   struct mob_ref y = mob_submit(add, mob_submit(square, x), 1);
 *   mob_capture_end(g);
 *   for (int64_t i = 0; i < 1000; i++) {
 *           mob_graph_set(g, x, &i);
 *           mob_graph_run(g);
 *           mob_graph_get(g, y, &sum);
 *   }
 *   mob_graph_close(g);
 *
 * RECORDING. Between mob_capture_begin and mob_capture_end the calls of mob_submit
 * of this thread (of this task, if it is one) do not run. Each becomes a node of the
 * graph, and its ref stands for what the node gives in each run. Such a ref is of the
 * capture: it may be an argument of further calls in it, and is read by
 * mob_graph_get. Anything else that is given one says MOB_E_BAD_REF. A node comes
 * after those whose refs it has, so a graph has no cycles.
 *
 * NODES. Results have fixed sizes: numbers, types of MOB_STRUCT, and nothing (void); or
 * a bound, mob_graph_room: strings and spans, which are copied once, from where the
 * function has them, and are views for those that take them. A larger one is the error of
 * its node (LIMIT).
 * An argument is a value; an input; a result of the same type; or an object of the
 * session, which the graph keeps, and whose value is read in each run. Lists of
 * arguments, lists of refs, slices and functions are no arguments of nodes.
 *
 * OPTIONS of a call, and those of its function (MOB_TASK_DEFAULTS), are kept if they
 * are name, which its errors have, and retries, 0 to 14 or -1. Another one that says
 * anything is refused: .alone = 1 leaves those of the function aside. Maps, folds and
 * loops are no part of a graph: mob_for, mob_reduce, a call of a map, and reading the
 * fold of one are MOB_E_STATE, and the capture goes on as if they had not been called.
 *
 * RUNNING. A run is done by as many tasks as the graph is wide, at most one a worker,
 * which call the functions of the nodes. All that a run needs, the place of each result
 * included, was reserved when the capture ended. A node is called once in a run; if
 * its worker dies meanwhile, it is called again, up to 3 times (retries), as with a
 * task. What a node submits, gets and fails is as in a task. What a node
 * gives that fails is its error: who reads it fails, too, without a call; the other
 * nodes run. The run fails with the error that came first, and the graph can be run
 * again.
 *
 * CHANNELS. A channel brings what a run gives to the next one:
 *
 *   mob_graph_window(g, 4);
 *   struct mob_ref state = mob_graph_channel(double);
 *   struct mob_ref y = mob_submit(step, state, x);
 *   mob_graph_write(state, y);
 *   ...
 *   mob_graph_set(g, state, &first);
 *
 * It has one writer, and any number of readers. What is set is read by one run instead
 * of what the run before gives: the first has nothing else. It goes the way of any
 * value: its room was reserved, is used again, and is as large as its type, or as
 * mob_graph_room said; a node that is called again reads the same.
 *
 * RUNS IN FLIGHT. With a window of n, up to n runs may have begun and not been waited
 * for. A node of a run is called as soon as there is what it reads, whether or not the
 * runs before are done; so what needs its predecessor in time says so by a channel. Each
 * run has its own inputs and results. mob_graph_wait waits for the oldest, and its
 * results are read until the next mob_graph_wait. The error of a run is that run's; the
 * next have it only where a channel brings it.
 *
 * A graph belongs to who opened it until mob_graph_close. One thread at a time uses
 * it, in the driver or in a task.
 */
#ifndef MOBULA_GRAPH_H
#define MOBULA_GRAPH_H

#include <mobula/task.h>

MOB_EXTERN_C_BEGIN

struct mob_graph;

/* Nodes of a graph, and values: results, inputs. */
#define MOB_GRAPH_NODES_MAX 1048576u
/* Bytes of a string or a span. */
#define MOB_GRAPH_ROOM_MAX 268435456u
/* Runs in flight. */
#define MOB_GRAPH_WINDOW_MAX 32u

/*
 * Opens a graph and records the calls of this thread from now on. Owner: the caller,
 * until mob_graph_close. Returns 0. Errors, pending: STATE (no session; this thread
 * records already), NOMEM. Thread: any. Blocks: no. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_capture_begin(struct mob_graph **out_graph);

/*
 * Ends the recording of this thread and makes the graph, which can be run from now
 * on. On failure it can only be closed. Returns 0. Errors, pending: the first of a
 * call that could not be recorded (its ref holds it, too); STORE_FULL, NOMEM; LIMIT
 * (MOB_GRAPH_NODES_MAX, or 2 GiB, the values of all runs in flight included); STATE (this
 * thread does not record this graph; nothing is written to a channel). Blocks: until there is room in the store. Since 0.1.
 */
MOB_API int mob_capture_end(struct mob_graph *graph);

/*
 * Ends the recording, ends runs that are going on (nodes that run are told, as tasks
 * that are cancelled; no more begin; it waits for those), and releases all that the
 * graph has. NULL is allowed; so is a graph whose session has ended. Thread: one at a
 * time; while it records, the one that does. Blocks: until no node runs. Since 0.1.
 */
MOB_API void mob_graph_close(struct mob_graph *graph);

/*
 * A value that is set from outside, while recording; mob_graph_input(T) gives the
 * type. Returns its ref, of the capture; on failure one that holds the error: STATE
 * (this thread does not record), INVAL (a type without a fixed size), LIMIT. Thread:
 * the one that records. Since 0.1.
 */
MOB_API struct mob_ref mob_graph_input_raw(const struct mob_type *type);

/*
 * Lets so many runs be in flight; 1 if it is not called. The graph takes room for one
 * more. While recording. Returns 0. Errors, pending: INVAL (not 1 to
 * MOB_GRAPH_WINDOW_MAX), STATE (this thread does not record this graph). Thread: the
 * one that records. Since 0.1.
 */
MOB_API int mob_graph_window(struct mob_graph *graph, uint32_t runs);

/*
 * Lets strings and spans be values of the graph, of up to so many bytes each (a string
 * with its NUL): results, inputs and channels that are recorded from now on. The graph
 * takes that room for each of them, in each run in flight. 0, as at the beginning: they
 * are not. While recording. Returns 0. Errors, pending: INVAL (more than
 * MOB_GRAPH_ROOM_MAX), STATE (this thread does not record this graph). Thread: the one
 * that records. Since 0.1.
 */
MOB_API int mob_graph_room(struct mob_graph *graph, uint64_t bytes);

/*
 * A channel, while recording; mob_graph_channel(T) gives the type. Its ref is of the
 * capture, and stands for what the run before has written. Returns the ref; on failure
 * one that holds the error: as mob_graph_input_raw. Thread: the one that records.
 * Since 0.1.
 */
MOB_API struct mob_ref mob_graph_channel_raw(const struct mob_type *type);

/*
 * Has each run write a result to a channel, for the next run, while recording. Returns
 * 0. Errors, pending, and the capture fails: BAD_REF (not a channel of this capture; not
 * the result of a call), TYPE (of another type), STATE (the channel has a writer; this
 * thread does not record). Thread: the one that records. Since 0.1.
 */
MOB_API int mob_graph_write(struct mob_ref channel, struct mob_ref result);

/*
 * Sets an input for the runs that begin from now on, or a channel for the next one;
 * mob_graph_set has types checked. value is copied. Returns 0. Errors, pending: BAD_REF
 * (neither of this graph), TYPE (another type than it has), LIMIT (of a string or a
 * span: more bytes than mob_graph_room allowed), INVAL (a string or a span is NULL),
 * STATE (it records; it runs, and has a window of 1; its session has ended). Thread: one at a time. Blocks: no.
 * Since 0.1.
 */
MOB_API int mob_graph_set_raw(struct mob_graph *graph, struct mob_ref input,
			      const struct mob_type *type, const void *value);

/*
 * Begins a run. Returns 0. Errors, pending: STATE (it records; as many runs as the
 * window allows are in flight: mob_graph_wait first; an input was never set; a channel
 * has nothing for this run; its session has ended), or those of a submit, and then
 * nothing runs, and what was in flight has ended. Thread: one at a time. Blocks: no.
 * Since 0.1.
 */
MOB_API int mob_graph_start(struct mob_graph *graph);

/*
 * Waits until the oldest run in flight is done. Returns 0. Errors: TIMEOUT, INTERRUPTED
 * (it goes on; wait again); pending: that of the node that failed first, CRASHED (a node
 * whose worker died each time); CANCELLED, that of an object among the arguments, or another for which no task
 * can run the graph, and then all runs have ended; STATE (none is in flight). Thread: one
 * at a time. Blocks: up to the time-out. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_graph_wait(struct mob_graph *graph,
					 int64_t timeout_ns);

/* mob_graph_start, then mob_graph_wait without a time-out; STATE if a run is in flight.
 * Interrupted, it ends the run before it returns. Since 0.1. */
MOB_API int mob_graph_run(struct mob_graph *graph);

/*
 * Reads what a node gave in the run that was waited for last, or an input;
 * mob_graph_get has types checked. A string or a span is a view, borrowed until the
 * next mob_graph_start, mob_graph_wait, mob_graph_set or mob_graph_close of the graph.
 * Returns 0. Errors, pending, and *out is zero bytes:
 * BAD_REF (not of this graph; of a channel), TYPE, STATE (none was waited for, or that
 * one failed; it runs, and has a window of 1). Thread: one at a time. Blocks: no.
 * Since 0.1.
 */
MOB_API int mob_graph_get_raw(struct mob_graph *graph, struct mob_ref ref,
			      const struct mob_type *type, void *out);

MOB_EXTERN_C_END

#ifndef __cplusplus

/* clang-format off */

/* mob_graph_input(int64_t): see mob_graph_input_raw. */
#define mob_graph_input(T) mob_graph_input_raw(MOBI_TYPE_OF(T))

/* mob_graph_channel(int64_t): see mob_graph_channel_raw. */
#define mob_graph_channel(T) mob_graph_channel_raw(MOBI_TYPE_OF(T))

/* mob_graph_set(g, input, &x): x is a number, a string or a built-in span;
 * mob_graph_set_as(T, g, input, &x): of any type that is a value of a graph. */
#define mob_graph_set(graph, input, value)                                     \
	mob_graph_set_raw(graph, input, MOBI_TYPE_AT(value), value)
#define mob_graph_set_as(T, graph, input, value)                               \
	mob_graph_set_raw(graph, input, MOBI_TYPE_OF(T), MOBI_TO(T, value))

/* mob_graph_get(g, ref, &x), mob_graph_get_as(T, g, ref, &x): likewise. */
#define mob_graph_get(graph, ref, out)                                         \
	mob_graph_get_raw(graph, ref, MOBI_TYPE_AT(out), out)
#define mob_graph_get_as(T, graph, ref, out)                                   \
	mob_graph_get_raw(graph, ref, MOBI_TYPE_OF(T), MOBI_TO(T, out))

/* clang-format on */

#endif /* __cplusplus */

#endif /* MOBULA_GRAPH_H */
