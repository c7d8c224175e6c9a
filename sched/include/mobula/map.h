/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many calls with a bound on what is in flight: map, fold, and loops whose turns
 * run in parallel. Built upon task.h; any MOB_TASK with one return will do.
 *
 *   MOB_TASK(int64_t, square, int64_t, x) { return x * x; }
 *   MOB_TASK(int64_t, add, int64_t, a, int64_t, b) { return a + b; }
 *
 *   struct mob_map *m;
 *
 *   if (mob_map_open(NULL, &m) == 0) {
 *           mob_map_over(m, square, n, xs);        x of an array after the other
 *           while (mob_map_next(m, &y) > 0) { }    results in their order
 *           mob_map_close(m);
 *   }
 *
 * CALLS come from arrays (mob_map_over), from a function that is asked for one
 * more whenever there is room (mob_map_from), or are given one by one
 * (mob_map_add). Their results are taken one by one (mob_map_next) in the order
 * of the calls, or, with MOB_MAP_UNORDERED, as they come.
 *
 * THE WINDOW bounds how many calls are given whose results are not taken yet, by
 * count and by bytes of their arguments and results. So a map runs in memory that
 * does not depend on how many calls there are.
 *
 * CHUNKS. Calls that take little time are handed to a worker several at a time:
 * so many that they take about chunk_ns, from what calls of the function took so
 * far, and not so many that a worker could be without. A chunk begins with one
 * call and grows at most fourfold at a time. A call is a task of its own as long as
 * its time is not known, if an argument of it is not resolved when it is given, if
 * it returns refs, and if its options (opts.task, MOB_TASK_DEFAULTS) have timeout_ns,
 * retry_errors, retry_codes, max_calls or retries of 0 and opts.chunk is 0. Options are
 * otherwise of a chunk:
 * a worker's death runs the calls of its chunk again; cpus and resources are held
 * for the chunk; timeout_ns and deadline_ns end all of it; an error that is to be
 * retried runs all of it again.
 *
 * ERRORS are of the call, at its place; the others go on. A call whose chunk dies
 * with its worker more often than it may is found by halving the chunk, unless
 * retries are 0; then each call of the chunk has that error.
 *
 * A map belongs to who opened it until mob_map_close; it is in no frame. One
 * thread at a time uses it, in the driver or in a task.
 */
#ifndef MOBULA_MAP_H
#define MOBULA_MAP_H

#include <mobula/task.h>

MOB_EXTERN_C_BEGIN

struct mob_map;

/* Results as they come. Of a fold: the operator is commutative, too. */
#define MOB_MAP_UNORDERED 1u

/* Grows at the end only; start from MOB_MAP_OPTS_INIT. */
struct mob_map_opts {
	uint32_t struct_size;
	uint32_t flags; /* MOB_MAP_UNORDERED, or 0 */
	/* Calls that are given and whose results are not taken: at most so many;
	 * 0: four chunks a worker. At most 1,048,576. */
	uint64_t window;
	/* Bytes of their arguments and results, as far as those are known: a result
	 * counts as the mean of those before it until it is there, an object that
	 * calls in a row share counts once. No call is given beyond it, but one may
	 * always be. What a worker has just ended may be there for a moment more. Until
	 * the first result is known, no more calls are given than there are workers,
	 * and one. 0: a quarter of the store. */
	uint64_t window_bytes;
	uint32_t chunk; /* calls a task; 0: from their cost; at most 65,536 */
	uint32_t reserved; /* 0 */
	uint64_t chunk_ns; /* aim for a chunk; 0: 100 us; at most a minute */
	/* Of each chunk. Copied; what it points to, but for retry_codes, is borrowed
	 * until close. What it does not say is as MOB_TASK_DEFAULTS says of the
	 * function, or of the operator of a task that folds; so is all if it is NULL.
	 * Its name is the function's if it has none. An argument that went for room
	 * and is to be made again is waited for as in a get: the chunk keeps its
	 * resources meanwhile. */
	const struct mob_task_opts *task;
};
#define MOB_MAP_OPTS_INIT                                                      \
	{                                                                      \
		(uint32_t)sizeof(struct mob_map_opts), 0, 0, 0, 0, 0, 0, 0     \
	}

/*
 * Opens a map; opts NULL: the defaults. Owner: the caller, until mob_map_close.
 * Errors, pending: INVAL (an option out of range), VERSION, LIMIT (256 queues a
 * session: an unordered map is one), NOMEM, STATE (no session). Thread: any.
 * Blocks: no. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_map_open(const struct mob_map_opts *opts,
				       struct mob_map **out_map);

/*
 * Cancels what is in flight, releases all that the map has, and frees it. Chunks
 * that run are told and stop before their next call. NULL is allowed; so is a map
 * whose session has ended. Thread: one at a time. Blocks: no. Since 0.1.
 */
MOB_API void mob_map_close(struct mob_map *map);

/* So many calls may be given now; after the last result was taken at least 1. A
 * map that folds makes room itself, and always has some. Thread: one at a time.
 * Since 0.1. */
MOB_API size_t mob_map_room(struct mob_map *map);

/*
 * One more call, as mob_submit_raw; mob_map_add gives it with types checked.
 * Arguments are copied; a ref is held until the call has ended. A call that
 * cannot be submitted is an item that fails, with that error at its place. Not
 * with mob_map_over or mob_map_from before they are through, but from within the
 * function of the latter. Returns 0. Errors, pending: LIMIT (no room: take a
 * result first), INVAL (number of arguments or of returns; it yields a stream),
 * TYPE (of a map that folds: the function returns something else than its operator
 * takes), STATE (the map is over, or its session). Thread: one at a time. Blocks:
 * no; of a map that folds, until there is room. Since 0.1.
 */
MOB_API int mob_map_add_raw(struct mob_map *map, const struct mob_task_def *def,
			    uint32_t n_args, const struct mob_arg *args);

/* Where an argument of each call is: call i has the one at at + i * stride. */
struct mob_map_column {
	const void *at;
	uint32_t stride;
	uint32_t kind; /* MOB_ARG_VALUE, or MOB_ARG_REF for an array of refs */
};

/* n calls, with arguments from arrays that are borrowed until they are through;
 * mob_map_over gives them with types checked. Errors, pending: INVAL, STATE (the
 * map has calls from elsewhere that are not through). Since 0.1. */
MOB_API int mob_map_over_raw(struct mob_map *map,
			     const struct mob_task_def *def, uint64_t n,
			     uint32_t n_args,
			     const struct mob_map_column *columns);

/*
 * From now on fn is asked for calls whenever there is room and the map is asked
 * for a result: it gives one or more by mob_map_add, within mob_map_room, and
 * returns 1; or 0: there are no more; or an error (MOB_E_*), which
 * mob_map_next returns after the results of the calls before. Errors, pending:
 * STATE, as mob_map_over_raw. Thread: one at a time; fn runs in it. Since 0.1.
 */
MOB_API int mob_map_from(struct mob_map *map,
			 int (*fn)(struct mob_map *map, void *ctx), void *ctx);

/*
 * From now on the map has one result: all results of its calls folded by the
 * operator, a task R op(R, R) that is associative. Calls of a chunk are folded
 * where they ran, then chunks are, up to 16 at a time (fewer if the operator
 * takes long), as a tree of tasks; in the order of the calls, or with
 * MOB_MAP_UNORDERED as they come. Beside the window it keeps at most 16 partial
 * results for each time that the number of chunks grows by the factor of a
 * task's parts. The first error ends it. Before the first call. Errors, pending:
 * INVAL (not such a task; R is a ref or a list of them), STATE. Since 0.1.
 */
MOB_API int mob_map_fold_raw(struct mob_map *map,
			     const struct mob_task_def *op);

/*
 * Takes the next result; what *out is, and what type NULL means, is as for
 * mob_get_raw. A view is valid until the next call that has the map; refs that
 * are read belong to the innermost frame. Returns 1; 0: there are no more now
 * (mob_map_add may give more). Errors, all but TIMEOUT and INTERRUPTED pending:
 * that of the call, or TYPE, and the next one follows; that of the function of
 * mob_map_from; CANCELLED (the task that waits is), CLOSED, NOMEM, STATE, after
 * which the map is over and gives 0; STATE of a fold while this thread records a
 * graph, after which it can be called again. On failure *out is set to zero bytes.
 * Thread: one at a time. Blocks: up to the time-out. Since 0.1.
 */
MOB_API MOB_NODISCARD int mob_map_next_raw(struct mob_map *map,
					   const struct mob_type *type,
					   int64_t timeout_ns, void *out);

/* Which call the last result, or error, was of: 0 is the first that was given.
 * UINT64_MAX: it was of none. Thread: one at a time. Since 0.1. */
MOB_API uint64_t mob_map_index(const struct mob_map *map);

/*
 * Folds n objects by the operator, in their order, as a tree of tasks, and gives
 * the ref of the result, in the caller's frame; always, an error is in it: INVAL
 * (n is 0, or not such an operator, see mob_map_fold_raw), STATE (no session; this
 * thread records a graph), or that of an object.
 * opts are of each task, as of a submit of op. Thread: any. Blocks: no. Since 0.1.
 */
MOB_API struct mob_ref mob_reduce_raw(const struct mob_task_def *op,
				      const struct mob_task_opts *opts,
				      const struct mob_ref *refs, size_t n);

/*
 * Runs body(lo, hi, ...), a task whose first two parameters are integers of one
 * type and which returns void, for ranges that together are [args[0], args[1]),
 * and waits for all. One task begins with all of it, and gives half of what is
 * left away whenever a worker is idle and nothing that it gave away waits (lazy
 * binary splitting: Tzannes, Caragea, Barua, Vishkin, PPoPP 2010); between two
 * looks it runs as many turns as take about 20 us. An empty range is nothing.
 * The first error ends the loop: no more turns begin, and when it is returned none
 * runs any more. A task that is run again (opts.retries, after the death of its
 * worker; retry_errors) begins its range anew, with what it had given away, so
 * turns of it may then run twice, and at the same time for a moment. opts are of
 * each task, as of a submit of body; timeout_ns and deadline_ns of each, not of the
 * loop. Returns 0. Errors,
 * pending: that of a turn; INVAL (not such a body); STATE (no session; this thread
 * records a graph). Thread: any. Blocks: until
 * the loop has ended. Since 0.1.
 */
MOB_API int mob_for_raw(const struct mob_task_def *body,
			const struct mob_task_opts *opts, uint32_t n_args,
			const struct mob_arg *args);

/* mob_map_over_raw into a map, then n results into an array of the type, of which
 * no value is a view. opts NULL: the defaults. Returns 0, or the first error,
 * pending; then all of out is zero bytes. Thread: any. Blocks: yes. Since 0.1. */
MOB_API int mob_map_all_raw(const struct mob_map_opts *opts,
			    const struct mob_task_def *def, uint64_t n,
			    const struct mob_type *type, void *out,
			    uint32_t n_args,
			    const struct mob_map_column *columns);

MOB_EXTERN_C_END

#ifndef __cplusplus

/* clang-format off */

/* mob_map_add(map, f, arguments...), which are those of mob_submit. */
#define mob_map_add(map, ...)                                                  \
	mob_map_add_raw(map, MOBI_DEF_ONE(__VA_ARGS__),                        \
			MOBI_GIVEN(__VA_ARGS__), MOBI_ARGS(__VA_ARGS__))

/* An array for parameter i of f: of its type, or of refs. */
#define MOBI_COLUMN_BAD 99
#define MOBI_COLUMN(f, i, x)                                                   \
	{                                                                      \
		(x), (uint32_t)sizeof(*(x)),                                   \
		_Generic(&(x)[0],                                              \
			struct mob_ref *: MOB_ARG_REF,                         \
			const struct mob_ref *: MOB_ARG_REF,                   \
			default: MOB_ARG_VALUE) +                              \
		0 * sizeof(struct {                                            \
			_Static_assert(_Generic(&(x)[0],                       \
				struct mob_ref *: MOB_ARG_REF,                 \
				const struct mob_ref *: MOB_ARG_REF,           \
				default: _Generic(&(x)[0],                     \
					mobi_t_##i##_##f *: MOB_ARG_VALUE,     \
					const mobi_t_##i##_##f *:              \
						MOB_ARG_VALUE,                 \
					default: MOBI_COLUMN_BAD)) !=          \
				MOBI_COLUMN_BAD,                               \
				"the array has another type than the parameter");  \
			char none;                                             \
		})                                                             \
	}
#define MOBI_COLUMNS2(f, a) MOBI_COLUMN(f, 0, a)
#define MOBI_COLUMNS3(f, a, b) MOBI_COLUMNS2(f, a), MOBI_COLUMN(f, 1, b)
#define MOBI_COLUMNS4(f, a, b, c)                                              \
	MOBI_COLUMNS3(f, a, b), MOBI_COLUMN(f, 2, c)
#define MOBI_COLUMNS5(f, a, b, c, d)                                           \
	MOBI_COLUMNS4(f, a, b, c), MOBI_COLUMN(f, 3, d)
#define MOBI_COLUMNS6(f, a, b, c, d, e)                                        \
	MOBI_COLUMNS5(f, a, b, c, d), MOBI_COLUMN(f, 4, e)
#define MOBI_COLUMNS7(f, a, b, c, d, e, g)                                     \
	MOBI_COLUMNS6(f, a, b, c, d, e), MOBI_COLUMN(f, 5, g)
#define MOBI_COLUMNS8(f, a, b, c, d, e, g, h)                                  \
	MOBI_COLUMNS7(f, a, b, c, d, e, g), MOBI_COLUMN(f, 6, h)
#define MOBI_COLUMNS9(f, a, b, c, d, e, g, h, i)                               \
	MOBI_COLUMNS8(f, a, b, c, d, e, g, h), MOBI_COLUMN(f, 7, i)
#define MOBI_COLUMNS(...)                                                      \
	(const struct mob_map_column[])                                        \
	{                                                                      \
		MOBI_BY(MOBI_COLUMNS, __VA_ARGS__)(__VA_ARGS__)                \
	}

/* mob_map_over(map, f, n, xs, ys, ...): f(xs[0], ys[0], ...), f(xs[1], ...) and so
 * on. An array is of the parameter's type, or of refs. See mob_map_over_raw. */
#define mob_map_over(map, f, n, ...)                                           \
	mob_map_over_raw(map, MOBI_DEF_ONE(f), n,                              \
			 MOBI_GIVEN(f, __VA_ARGS__),                           \
			 MOBI_COLUMNS(f, __VA_ARGS__))

/* mob_map_all(f, n, out, xs, ...): out[i] = f(xs[i], ...). out is an array of
 * numbers; of a type of MOB_STRUCT: mob_map_all_as(T, f, n, out, xs, ...). */
#define mob_map_all(f, n, out, ...)                                            \
	mob_map_all_raw(NULL, MOBI_DEF_ONE(f), n, MOBI_VALUE_AT(&(out)[0]),    \
			out, MOBI_GIVEN(f, __VA_ARGS__),                       \
			MOBI_COLUMNS(f, __VA_ARGS__))
#define mob_map_all_as(T, f, n, out, ...)                                      \
	mob_map_all_raw(NULL, MOBI_DEF_ONE(f), n, MOBI_TYPE_OF(T),             \
			MOBI_TO_POD(T, &(out)[0]), MOBI_GIVEN(f, __VA_ARGS__), \
			MOBI_COLUMNS(f, __VA_ARGS__))

/* The definition of an operator: two parameters and one return. */
#define MOBI_OPERATOR(op)                                                      \
	(MOBI_DEF_ONE(op) +                                                    \
	 0 * sizeof(struct {                                                   \
		 _Static_assert(MOBI_CAT(mobi_n_args_, op) == 2,               \
				"an operator has two parameters");             \
		 char none;                                                    \
	 }))

/* mob_map_fold(map, op): see mob_map_fold_raw. */
#define mob_map_fold(map, op) mob_map_fold_raw(map, MOBI_OPERATOR(op))

/* mob_map_next(map, &x), mob_map_next_as(T, map, &x): x as for mob_get.
 * mob_map_next_timeout(map, timeout_ns, &x). */
#define mob_map_next(map, out)                                                 \
	mob_map_next_raw(map, MOBI_TYPE_AT(out), MOB_FOREVER, out)
#define mob_map_next_as(T, map, out)                                           \
	mob_map_next_raw(map, MOBI_TYPE_OF(T), MOB_FOREVER, MOBI_TO(T, out))
#define mob_map_next_timeout(map, timeout_ns, out)                             \
	mob_map_next_raw(map, MOBI_TYPE_AT(out), timeout_ns, out)

/* mob_map_step(map): mob_map_next for what returns nothing. */
#define mob_map_step(map) mob_map_next_raw(map, NULL, MOB_FOREVER, NULL)

/* mob_reduce(op, refs, n): see mob_reduce_raw. */
#define mob_reduce(op, refs, n)                                                \
	mob_reduce_raw(MOBI_OPERATOR(op), NULL, refs, n)

/* mob_for(body, lo, hi, arguments...): see mob_for_raw.
 * mob_for_with(MOB_OPTS(.priority = 1), body, lo, hi, arguments...). */
#define mob_for(...)                                                           \
	mob_for_raw(MOBI_DEF_ONE(__VA_ARGS__), NULL, MOBI_GIVEN(__VA_ARGS__),  \
		    MOBI_ARGS(__VA_ARGS__))
#define mob_for_with(opts, ...)                                                \
	mob_for_raw(MOBI_DEF_ONE(__VA_ARGS__),                                 \
		    (const struct mob_task_opts[1]){ opts },                   \
		    MOBI_GIVEN(__VA_ARGS__), MOBI_ARGS(__VA_ARGS__))

/* clang-format on */

#endif /* __cplusplus */

#endif /* MOBULA_MAP_H */
