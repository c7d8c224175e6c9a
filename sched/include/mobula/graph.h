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
 * NODES. Results have fixed sizes: numbers, types of MOB_STRUCT, and nothing (void).
 * An argument is a value; an input; a result of the same type; or an object of the
 * session, which the graph keeps, and whose value is read in each run. Lists of
 * arguments, lists of refs, slices and functions are no arguments of nodes. A call
 * takes no options.
 *
 * RUNNING. A run is as many tasks as the graph is wide, at most one a worker, which
 * call the functions of the nodes. All that a run needs, the place of each result
 * included, was reserved when the capture ended. A node is called once in a run; if
 * its worker dies meanwhile, it is called again, up to 3 times, as with a
 * task. What a node submits, gets and fails is as in a task. A node that
 * fails ends the run with its error, and the graph can be run again.
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
 * (MOB_GRAPH_NODES_MAX, or 2 GiB); STATE (this thread does not record this graph).
 * Blocks: until there is room in the store. Since 0.1.
 */
MOB_API int mob_capture_end(struct mob_graph *graph);

/*
 * Ends the recording, ends a run that is going on (nodes that run are told, as tasks
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
 * Sets an input for the runs from now on; mob_graph_set has types checked. value is
 * copied. Returns 0. Errors, pending: BAD_REF (not an input of this graph), TYPE
 * (another type than the input has), STATE (it records, it runs, its session has
 * ended). Thread: one at a time. Blocks: no. Since 0.1.
 */
MOB_API int mob_graph_set_raw(struct mob_graph *graph, struct mob_ref input,
			      const struct mob_type *type, const void *value);

/*
 * Begins a run. Returns 0. Errors, pending: STATE (it records; it runs: mob_graph_wait
 * first; an input was never set; its session has ended), or those of a submit, and
 * then nothing runs. Thread: one at a time. Blocks: no. Since 0.1.
 */
MOB_API int mob_graph_start(struct mob_graph *graph);

/*
 * Waits until the run has ended. Returns 0. Errors: TIMEOUT, INTERRUPTED (it goes
 * on; wait again); pending: that of the node that failed first, CRASHED (a node whose
 * worker died each time), that of an object among the arguments, CANCELLED, STATE (it
 * does not run). Thread: one at a time. Blocks: up to the time-out. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_graph_wait(struct mob_graph *graph,
					 int64_t timeout_ns);

/* mob_graph_start, then mob_graph_wait without a time-out. Interrupted, it ends the
 * run before it returns. Since 0.1. */
MOB_API int mob_graph_run(struct mob_graph *graph);

/*
 * Reads what a node gave in the last run, or an input; mob_graph_get has types
 * checked. Returns 0. Errors, pending, and *out is zero bytes: BAD_REF (not of this
 * graph), TYPE, STATE (it runs; it has not run yet; the last run failed). Thread: one
 * at a time. Blocks: no. Since 0.1.
 */
MOB_API int mob_graph_get_raw(struct mob_graph *graph, struct mob_ref ref,
			      const struct mob_type *type, void *out);

MOB_EXTERN_C_END

#ifndef __cplusplus

/* clang-format off */

/* mob_graph_input(int64_t): see mob_graph_input_raw. */
#define mob_graph_input(T) mob_graph_input_raw(MOBI_TYPE_OF(T))

/* mob_graph_set(g, input, &x), mob_graph_set_as(T, g, input, &x): x is a number, or
 * of a type of MOB_STRUCT. */
#define mob_graph_set(graph, input, value)                                     \
	mob_graph_set_raw(graph, input, MOBI_VALUE_AT(value), value)
#define mob_graph_set_as(T, graph, input, value)                               \
	mob_graph_set_raw(graph, input, MOBI_TYPE_OF(T), MOBI_TO_POD(T, value))

/* mob_graph_get(g, ref, &x), mob_graph_get_as(T, g, ref, &x): likewise. */
#define mob_graph_get(graph, ref, out)                                         \
	mob_graph_get_raw(graph, ref, MOBI_VALUE_AT(out), out)
#define mob_graph_get_as(T, graph, ref, out)                                   \
	mob_graph_get_raw(graph, ref, MOBI_TYPE_OF(T), MOBI_TO_POD(T, out))

/* clang-format on */

#endif /* __cplusplus */

#endif /* MOBULA_GRAPH_H */
