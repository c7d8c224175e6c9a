/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The macros of task.h, which includes this file. They check types and counts
 * and build the tables and argument lists that the functions of task.h take;
 * there is no allocation and no state here.
 *
 * How a type is found: T is one identifier, and for each there are
 *   mobi_type_T     its description, a struct mob_type
 *   mobi_conv_T     what a value given for it may be: a table of functions, one
 *                   for each class of values, of which _Generic picks one
 *   mobi_ret_T      T itself, if a task may return it
 * so that a type that was not declared does not compile.
 *
 * For each parameter of a task f, numbered i, there are mobi_t_i_f (its C
 * type), mobi_x_i_f (its type, if it is one of functions) and mobi_c_i_f (its
 * mobi_conv_T); a call of mob_submit(f, ...) finds them by f and i.
 */
#ifndef MOBULA_TASK_MACROS_H
#define MOBULA_TASK_MACROS_H

#include <mobula/task.h>

#ifndef __cplusplus

/* The formatter takes _Generic and the bodies that macros make apart. */
/* clang-format off */

#define MOBI_HIDDEN __attribute__((visibility("hidden")))

/* ---- lists of macro arguments ---- */

#define MOBI_CAT_(a, b) a##b
#define MOBI_CAT(a, b) MOBI_CAT_(a, b)
#define MOBI_FIRST_(a, ...) a
#define MOBI_FIRST(...) MOBI_FIRST_(__VA_ARGS__, 0)
#define MOBI_SECOND_(a, b, ...) b
#define MOBI_SECOND(...) MOBI_SECOND_(__VA_ARGS__, 0, 0)
#define MOBI_COUNT(...)                                                        \
	MOBI_COUNT_(__VA_ARGS__, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6,   \
		    5, 4, 3, 2, 1, 0)
#define MOBI_COUNT_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, x, ...) x
#define MOBI_BY(m, ...) MOBI_CAT(m, MOBI_COUNT(__VA_ARGS__))
#define MOBI_STRIP(...) __VA_ARGS__

/* 1 if R is void, else 0. */
#define MOBI_VOID_void ~, 1
#define MOBI_IS_VOID(R) MOBI_SECOND(MOBI_VOID_##R, 0)

/*
 * MOBI_EACH(m, s, f, T, a, U, b, ...): m(f, 0, T, a) s() m(f, 1, U, b) ...
 * and m_NONE for the parameter list void.
 */
#define MOBI_COMMA() ,
#define MOBI_NOTHING()
#define MOBI_EACH(m, s, f, ...)                                                \
	MOBI_BY(MOBI_EACH, __VA_ARGS__)(m, s, f, __VA_ARGS__)
#define MOBI_EACH1(m, s, f, v) m##_NONE
#define MOBI_EACH2(m, s, f, T, a) m(f, 0, T, a)
#define MOBI_EACH4(m, s, f, T, a, U, b) m(f, 0, T, a) s() m(f, 1, U, b)
#define MOBI_EACH6(m, s, f, T, a, U, b, V, c)                                  \
	MOBI_EACH4(m, s, f, T, a, U, b) s() m(f, 2, V, c)
#define MOBI_EACH8(m, s, f, T, a, U, b, V, c, W, d)                            \
	MOBI_EACH6(m, s, f, T, a, U, b, V, c) s() m(f, 3, W, d)
#define MOBI_EACH10(m, s, f, T, a, U, b, V, c, W, d, X, e)                     \
	MOBI_EACH8(m, s, f, T, a, U, b, V, c, W, d) s() m(f, 4, X, e)
#define MOBI_EACH12(m, s, f, T, a, U, b, V, c, W, d, X, e, Y, g)               \
	MOBI_EACH10(m, s, f, T, a, U, b, V, c, W, d, X, e) s() m(f, 5, Y, g)
#define MOBI_EACH14(m, s, f, T, a, U, b, V, c, W, d, X, e, Y, g, Z, h)         \
	MOBI_EACH12(m, s, f, T, a, U, b, V, c, W, d, X, e, Y, g)               \
	s() m(f, 6, Z, h)
#define MOBI_EACH16(m, s, f, T, a, U, b, V, c, W, d, X, e, Y, g, Z, h, S, i)   \
	MOBI_EACH14(m, s, f, T, a, U, b, V, c, W, d, X, e, Y, g, Z, h)         \
	s() m(f, 7, S, i)

/* What is made of each parameter. */
#define MOBI_PARAM(f, i, T, a) T a
#define MOBI_PARAM_NONE void
#define MOBI_MORE(f, i, T, a) , T a
#define MOBI_MORE_NONE
#define MOBI_OUT(f, i, T, a) mobi_ret_##T *a
#define MOBI_DESC(f, i, T, a) &mobi_type_##T
#define MOBI_DESC_NONE NULL
#define MOBI_LOAD(f, i, T, a) *(const T *)arg[i]
#define MOBI_LOAD_NONE
#define MOBI_LOAD_MORE(f, i, T, a) , *(const T *)arg[i]
#define MOBI_LOAD_MORE_NONE
#define MOBI_LOAD_OUT(f, i, T, a) (T *)ret[i]
#define MOBI_TAKES(f, i, T, a)                                                 \
	typedef T mobi_t_##i##_##f;                                            \
	typedef mobi_function_##T mobi_x_##i##_##f;                            \
	static const struct mobi_conv_##T *const mobi_c_##i##_##f MOB_UNUSED = \
		&mobi_conv_##T;
#define MOBI_TAKES_NONE
#define MOBI_N(...) (MOBI_COUNT(__VA_ARGS__) / 2)

/* ---- arguments of a call ---- */

/* Named in the compiler's message when an argument is of the wrong type. */
struct mobi_argument_of_wrong_type {
	char none;
};

#define MOBI_ARG(f, i, x)                                                      \
	_Generic((x),                                                          \
		struct mob_ref: mobi_c_##i##_##f->ref,                         \
		struct mob_slice: mobi_c_##i##_##f->slice,                     \
		bool: mobi_c_##i##_##f->number,                                \
		char: mobi_c_##i##_##f->number,                                \
		signed char: mobi_c_##i##_##f->number,                         \
		unsigned char: mobi_c_##i##_##f->number,                       \
		short: mobi_c_##i##_##f->number,                               \
		unsigned short: mobi_c_##i##_##f->number,                      \
		int: mobi_c_##i##_##f->number,                                 \
		unsigned: mobi_c_##i##_##f->number,                            \
		long: mobi_c_##i##_##f->number,                                \
		unsigned long: mobi_c_##i##_##f->number,                       \
		long long: mobi_c_##i##_##f->number,                           \
		unsigned long long: mobi_c_##i##_##f->number,                  \
		float: mobi_c_##i##_##f->number,                               \
		double: mobi_c_##i##_##f->number,                              \
		char *: mobi_c_##i##_##f->string,                              \
		const char *: mobi_c_##i##_##f->string,                        \
		mobi_x_##i##_##f: mobi_c_##i##_##f->function,                  \
		default: mobi_c_##i##_##f->other)                              \
	(&(mobi_t_##i##_##f){ 0 }, x)

#define MOBI_ARGS1(f)                                                          \
	{                                                                      \
		NULL, { 0, 0 }, 0, 0, 0, 0                                     \
	}
#define MOBI_ARGS2(f, a) MOBI_ARG(f, 0, a)
#define MOBI_ARGS3(f, a, b) MOBI_ARGS2(f, a), MOBI_ARG(f, 1, b)
#define MOBI_ARGS4(f, a, b, c) MOBI_ARGS3(f, a, b), MOBI_ARG(f, 2, c)
#define MOBI_ARGS5(f, a, b, c, d) MOBI_ARGS4(f, a, b, c), MOBI_ARG(f, 3, d)
#define MOBI_ARGS6(f, a, b, c, d, e)                                           \
	MOBI_ARGS5(f, a, b, c, d), MOBI_ARG(f, 4, e)
#define MOBI_ARGS7(f, a, b, c, d, e, g)                                        \
	MOBI_ARGS6(f, a, b, c, d, e), MOBI_ARG(f, 5, g)
#define MOBI_ARGS8(f, a, b, c, d, e, g, h)                                     \
	MOBI_ARGS7(f, a, b, c, d, e, g), MOBI_ARG(f, 6, h)
#define MOBI_ARGS9(f, a, b, c, d, e, g, h, i)                                  \
	MOBI_ARGS8(f, a, b, c, d, e, g, h), MOBI_ARG(f, 7, i)
#define MOBI_ARGS(...)                                                         \
	(const struct mob_arg[])                                               \
	{                                                                      \
		MOBI_BY(MOBI_ARGS, __VA_ARGS__)(__VA_ARGS__)                   \
	}

/* The number of arguments, if it is that of the task's parameters. */
#define MOBI_GIVEN(...) MOBI_GIVEN_(MOBI_FIRST(__VA_ARGS__), __VA_ARGS__)
#define MOBI_GIVEN_(f, ...)                                                    \
	((uint32_t)(MOBI_COUNT(__VA_ARGS__) - 1 +                              \
		    0 * sizeof(struct {                                        \
			    _Static_assert(MOBI_COUNT(__VA_ARGS__) - 1 ==      \
						   MOBI_CAT(mobi_n_args_, f),  \
					   "wrong number of arguments for "    \
					   "this task");                       \
			    char none;                                         \
		    })))

/* The definition of the task; by _ONE only if it has one return. */
#define MOBI_DEF(...) (&MOBI_CAT(MOBI_FIRST(__VA_ARGS__), _def))
#define MOBI_DEF_ONE(...) MOBI_DEF_ONE_(MOBI_FIRST(__VA_ARGS__))
#define MOBI_DEF_ONE_(f)                                                       \
	(&MOBI_CAT(f, _def) +                                                  \
	 0 * sizeof(struct {                                                   \
		 _Static_assert(MOBI_CAT(mobi_n_rets_, f) == 1, "a task with " \
								"several "     \
								"returns "     \
								"needs "       \
								"mob_submit_"  \
								"n");          \
		 char none;                                                    \
	 }))

static inline struct mob_ref mobi_submit_one(const struct mob_task_def *def,
					     const struct mob_task_opts *opts,
					     uint32_t n_args,
					     const struct mob_arg *args)
{
	struct mob_ref ref = MOB_REF_NONE;

	(void)mob_submit_raw(def, opts, n_args, args, 1, &ref);
	return ref;
}

/*
 * mob_submit(f, arguments...): runs task f somewhere, once all arguments are
 * resolved. Each argument is a value of the parameter's type or a ref to one; a
 * part of a span (mob_slice) may stand for a span. Values are copied before
 * mob_submit returns; what is large, or goes to several tasks, is put or sealed
 * once and its ref given. Gives the ref of the result, always; an error is in
 * it (see mob_submit_raw). Thread: any. Since 0.1.
 */
#define mob_submit(...)                                                        \
	mobi_submit_one(MOBI_DEF_ONE(__VA_ARGS__), NULL,                       \
			MOBI_GIVEN(__VA_ARGS__), MOBI_ARGS(__VA_ARGS__))

/* mob_submit_with(MOB_OPTS(.retries = 0), f, arguments...) */
#define mob_submit_with(opts, ...)                                             \
	mobi_submit_one(MOBI_DEF_ONE(__VA_ARGS__),                             \
			(const struct mob_task_opts[1]){ opts },               \
			MOBI_GIVEN(__VA_ARGS__), MOBI_ARGS(__VA_ARGS__))

/* mob_submit_n(refs, n, f, arguments...): for a task with n returns. Writes n
 * refs, returns as mob_submit_raw. */
#define mob_submit_n(refs, n, ...)                                             \
	mob_submit_raw(MOBI_DEF(__VA_ARGS__), NULL, MOBI_GIVEN(__VA_ARGS__),   \
		       MOBI_ARGS(__VA_ARGS__), n, refs)
#define mob_submit_n_with(opts, refs, n, ...)                                  \
	mob_submit_raw(MOBI_DEF(__VA_ARGS__),                                  \
		       (const struct mob_task_opts[1]){ opts },                \
		       MOBI_GIVEN(__VA_ARGS__), MOBI_ARGS(__VA_ARGS__), n,     \
		       refs)

/* MOB_OPTS(.retries = 0, .priority = 5): a struct mob_task_opts with defaults
 * where nothing is said. Not at file scope: use MOB_TASK_OPTS_INIT there. */
#define MOB_OPTS(...)                                                          \
	__extension__({                                                        \
		struct mob_task_opts mobi_o = MOB_TASK_OPTS_INIT;              \
		MOBI_BY(MOBI_SET, __VA_ARGS__)(__VA_ARGS__) mobi_o;            \
	})
#define MOBI_SET1(a) mobi_o a;
#define MOBI_SET2(a, b)                                                        \
	mobi_o a;                                                              \
	mobi_o b;
#define MOBI_SET3(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET2(__VA_ARGS__)
#define MOBI_SET4(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET3(__VA_ARGS__)
#define MOBI_SET5(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET4(__VA_ARGS__)
#define MOBI_SET6(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET5(__VA_ARGS__)
#define MOBI_SET7(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET6(__VA_ARGS__)
#define MOBI_SET8(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET7(__VA_ARGS__)
#define MOBI_SET9(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET8(__VA_ARGS__)
#define MOBI_SET10(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET9(__VA_ARGS__)
#define MOBI_SET11(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET10(__VA_ARGS__)
#define MOBI_SET12(a, ...)                                                      \
	mobi_o a;                                                              \
	MOBI_SET11(__VA_ARGS__)

/* ---- definition of tasks ---- */

/*
 * MOB_TASK_DEFAULTS(f, .retries = 0, .cpus = 2); after MOB_TASK of f, in the same
 * file: options of each mob_submit of f. What a call says itself (MOB_OPTS) goes
 * before, one by one; a call with .alone = 1 leaves them aside. Those of maps, folds and
 * loops go before in the same way; of a task that folds, they are the operator's. What
 * the options point to has to be static. Wrong ones are an error of the submit; of a
 * map, of each call. Of a call that is recorded: graph.h. Since 0.1.
 */
#define MOB_TASK_DEFAULTS(f, ...)                                              \
	__attribute__((constructor)) static void mobi_defaults_##f(void)       \
	{                                                                      \
		struct mob_task_opts mobi_o = MOB_TASK_OPTS_INIT;              \
                                                                               \
		MOBI_BY(MOBI_SET, __VA_ARGS__)(__VA_ARGS__) mobi_opts_##f =    \
			mobi_o;                                                \
	}                                                                      \
	struct mob_task_opts

/* Bounds of this module's definitions; the linker makes them. */
extern const struct mob_task_def *const __start_mob_tasks[] MOBI_HIDDEN;
extern const struct mob_task_def *const __stop_mob_tasks[] MOBI_HIDDEN;

#define MOBI_DECLARE(f, n, ...)                                                \
	extern const struct mob_task_def f##_def MOBI_HIDDEN;                  \
	enum { mobi_n_args_##f = MOBI_N(__VA_ARGS__), mobi_n_rets_##f = n };   \
	MOBI_EACH(MOBI_TAKES, MOBI_NOTHING, f, __VA_ARGS__)                    \
	struct mob_task_def

#define MOBI_DEFINE(f, n, rets_, ...)                                          \
	static struct mob_task_opts mobi_opts_##f;                             \
	static const struct mob_type *const mobi_args_##f[] = { MOBI_EACH(     \
		MOBI_DESC, MOBI_COMMA, f, __VA_ARGS__) };                      \
	static const struct mob_type *const mobi_rets_##f[] = {                \
		MOBI_STRIP rets_                                               \
	};                                                                     \
	const struct mob_task_def f##_def = { (uint32_t)sizeof(                \
						      struct mob_task_def),    \
					      mobi_n_args_##f,                 \
					      n,                               \
					      __LINE__,                        \
					      #f,                              \
					      __FILE__,                        \
					      mobi_args_##f,                   \
					      mobi_rets_##f,                   \
					      mobi_run_##f,                    \
					      (void (*)(void))f,               \
					      &mobi_opts_##f };                \
	static const struct mob_task_def *const mobi_entry_##f                 \
		__attribute__((section("mob_tasks"), used)) = &f##_def;        \
	__attribute__((constructor)) static void mobi_register_##f(void)       \
	{                                                                      \
		mob_module_register_raw(__start_mob_tasks, __stop_mob_tasks);  \
	}

#define MOBI_RUN(f)                                                            \
	static void mobi_run_##f(const void *const *arg, void *const *ret,     \
				 size_t n_ret)
#define MOBI_NOT_USED                                                          \
	(void)arg;                                                             \
	(void)ret;                                                             \
	(void)n_ret;
#define MOBI_STORE0(R) *(R *)ret[0] =
#define MOBI_STORE1(R)

/*
 * MOB_TASK(R, f, T, a, U, b, ...) { body }
 * MOB_TASK(R, f, void) { body }
 *
 * Defines task f: an ordinary function R f(T a, U b, ...), which can also be
 * called as one, and its definition f_def. Up to MOB_ARGS_MAX parameters; R is
 * void or a type that is not mob_args or one of functions. A name is used once
 * in a program or module.
 *
 * A result that is a value is copied. One that is a span, a string or a list
 * and begins at space of mob_new is made the object as it is; another one is
 * copied when the task returns, so its bytes must outlive the body: static, an
 * argument, a view; not a local array, nor memory that nobody frees.
 *
 * The function may be run again if its worker dies (.retries), so it must be
 * able to run twice.
 */
#define MOB_TASK(R, f, ...)                                                    \
	MOB_TASK_DECLARE(R, f, __VA_ARGS__);                                   \
	MOB_TASK_DEFINE(R, f, __VA_ARGS__)

/* The two halves of MOB_TASK: MOB_TASK_DECLARE(...); in a header, and
 * MOB_TASK_DEFINE(...) { body } in one file, for a task that several submit. */
#define MOB_TASK_DECLARE(R, f, ...)                                            \
	MOBI_HIDDEN MOBI_CAT(mobi_ret_, R)                                     \
		f(MOBI_EACH(MOBI_PARAM, MOBI_COMMA, f, __VA_ARGS__));          \
	MOBI_DECLARE(f, 1, __VA_ARGS__)
#define MOB_TASK_DEFINE(R, f, ...)                                             \
	MOBI_RUN(f)                                                            \
	{                                                                      \
		MOBI_NOT_USED                                                  \
		MOBI_CAT(MOBI_STORE, MOBI_IS_VOID(R))                          \
		(R) f(MOBI_EACH(MOBI_LOAD, MOBI_COMMA, f, __VA_ARGS__));       \
	}                                                                      \
	MOBI_DEFINE(f, 1, (&MOBI_CAT(mobi_type_, R)), __VA_ARGS__)             \
	R f(MOBI_EACH(MOBI_PARAM, MOBI_COMMA, f, __VA_ARGS__))

/*
 * MOB_TASK_N(f, (R, x, S, y, ...), T, a, ...) { *x = ...; *y = ...; }
 *
 * A task with 2 to MOB_RETS_MAX returns: the function is
 * void f(R *x, S *y, ..., T a, ...) and fills them; what it does not fill is
 * zero bytes, but a string has to be filled: NULL is the error of the task. Each
 * becomes an object of its own: mob_submit_n(refs, 2, f, ...).
 */
#define MOB_TASK_N(f, outs, ...)                                               \
	_Static_assert((MOBI_N outs) <= MOB_RETS_MAX, "too many returns");     \
	MOBI_HIDDEN MOBI_PROTO_N(f, outs, __VA_ARGS__);                        \
	MOBI_DECLARE(f, MOBI_N outs, __VA_ARGS__);                             \
	MOBI_RUN(f)                                                            \
	{                                                                      \
		MOBI_NOT_USED                                                  \
		f(MOBI_EACH_OF(MOBI_LOAD_OUT, f, MOBI_STRIP outs) MOBI_EACH(   \
			MOBI_LOAD_MORE, MOBI_NOTHING, f, __VA_ARGS__));        \
	}                                                                      \
	MOBI_DEFINE(f, MOBI_N outs,                                            \
		    (MOBI_EACH_OF(MOBI_DESC, f, MOBI_STRIP outs)),             \
		    __VA_ARGS__)                                               \
	MOBI_PROTO_N(f, outs, __VA_ARGS__)
#define MOBI_PROTO_N(f, outs, ...)                                             \
	void f(MOBI_EACH_OF(MOBI_OUT, f, MOBI_STRIP outs)                      \
		       MOBI_EACH(MOBI_MORE, MOBI_NOTHING, f, __VA_ARGS__))
#define MOBI_EACH_OF(m, f, ...) MOBI_EACH(m, MOBI_COMMA, f, __VA_ARGS__)

/*
 * MOB_TASK_MANY(R, f, T, a, ...) { for (...) out[i] = ...; }
 *
 * A task with as many returns as its caller asks for: the function is
 * void f(R *out, size_t n_out, T a, ...); mob_submit_n(refs, 3000, f, ...).
 */
#define MOB_TASK_MANY(R, f, ...)                                               \
	MOBI_HIDDEN MOBI_PROTO_MANY(R, f, __VA_ARGS__);                        \
	MOBI_DECLARE(f, -1, __VA_ARGS__);                                      \
	MOBI_RUN(f)                                                            \
	{                                                                      \
		MOBI_NOT_USED                                                  \
		f((R *)ret[0], n_ret MOBI_EACH(MOBI_LOAD_MORE, MOBI_NOTHING,   \
					       f, __VA_ARGS__));               \
	}                                                                      \
	MOBI_DEFINE(f, MOB_RETS_MANY, (&MOBI_CAT(mobi_type_, R)), __VA_ARGS__) \
	MOBI_PROTO_MANY(R, f, __VA_ARGS__)
#define MOBI_PROTO_MANY(R, f, ...)                                             \
	void f(MOBI_CAT(mobi_ret_, R) * out,                                   \
	       size_t n_out MOBI_EACH(MOBI_MORE, MOBI_NOTHING, f,              \
				      __VA_ARGS__))

/* ---- entry ---- */

/*
 * MOB_MAIN(int argc, char **argv) { ... } or MOB_MAIN(void) { ... } instead of
 * int main: it returns int, and runs in the program that the user started, not
 * in those that the library starts from the same file (see mob_main).
 */
#define MOB_MAIN(...)                                                          \
	static int mobi_user_main(__VA_ARGS__);                                \
	static int mobi_enter(int argc, char **argv)                           \
	{                                                                      \
		(void)argc;                                                    \
		(void)argv;                                                    \
		return mobi_user_main(MOBI_BY(MOBI_MAIN_ARGS, __VA_ARGS__));   \
	}                                                                      \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		return mob_main(argc, argv, mobi_enter);                       \
	}                                                                      \
	static int mobi_user_main(__VA_ARGS__)
#define MOBI_MAIN_ARGS1
#define MOBI_MAIN_ARGS2 argc, argv

/* MOB_SCOPE { ... }: a frame of its own. break, return and goto out of it end
 * it too; a value that is returned must not be a view of one of its refs. */
#define MOB_SCOPE MOBI_SCOPE(MOBI_CAT(mobi_scope_, __LINE__))
#define MOBI_SCOPE(s)                                                          \
	for (struct mob_scope s                                                \
	     __attribute__((cleanup(mob_scope_close))) = mob_scope_open();     \
	     s.open; s.open = false)

#include <mobula/task_types.h>

/* clang-format on */

#endif /* __cplusplus */

#endif /* MOBULA_TASK_MACROS_H */
