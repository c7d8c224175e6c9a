/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The types of task.h, how to add to them, and what works by type: put, get and
 * their kin. Included by task_macros.h.
 */
#ifndef MOBULA_TASK_TYPES_H
#define MOBULA_TASK_TYPES_H

#include <mobula/task_macros.h>

#ifndef __cplusplus

/* The formatter takes _Generic and the bodies that macros make apart. */
/* clang-format off */

/* ---- what a value given for a parameter of type T may be ---- */

static inline struct mob_arg mobi_arg_value(const void *value)
{
	struct mob_arg a = { value, { 0, 0 }, 0, 0, MOB_ARG_VALUE, 0 };

	return a;
}

static inline struct mob_arg mobi_arg_ref(struct mob_ref ref)
{
	struct mob_arg a = { NULL, ref, 0, 0, MOB_ARG_REF, 0 };

	return a;
}

static inline struct mob_arg mobi_arg_slice(struct mob_slice s)
{
	struct mob_arg a = { NULL, s.ref, s.first, s.n, MOB_ARG_SLICE, 0 };

	return a;
}

/* A value of class c is V, and is kept in the slot until the call. */
#define MOBI_C_VALUE(T, c, V)                                                  \
	typedef V mobi_##c##_##T;                                              \
	static inline struct mob_arg mobi_##c##_of_##T(T *slot, V v)           \
	{                                                                      \
		*slot = v;                                                     \
		return mobi_arg_value(slot);                                   \
	}
/* A value of class c is not for a T: the parameter is of a type that nothing
 * has, so that the call does not compile. */
#define MOBI_C_WRONG(T, c, V)                                                  \
	typedef struct mobi_argument_of_wrong_type mobi_##c##_##T;             \
	static inline struct mob_arg mobi_##c##_of_##T(                        \
		T *slot, struct mobi_argument_of_wrong_type v)                 \
	{                                                                      \
		(void)v;                                                       \
		return mobi_arg_value(slot);                                   \
	}
/* A ref or a slice stands for a value. */
#define MOBI_C_OBJECT(T, c, V)                                                 \
	typedef V mobi_##c##_##T;                                              \
	static inline struct mob_arg mobi_##c##_of_##T(T *slot, V v)           \
	{                                                                      \
		(void)slot;                                                    \
		return mobi_arg_##c(v);                                        \
	}

#define MOBI_CONV(T, REF, SLICE, NUMBER, STRING, FUNCTION, OTHER)              \
	REF(T, ref, struct mob_ref)                                            \
	SLICE(T, slice, struct mob_slice)                                      \
	NUMBER(T, number, T)                                                   \
	STRING(T, string, const char *)                                        \
	FUNCTION(T, function, T)                                               \
	OTHER(T, other, T)                                                     \
	struct mobi_conv_##T {                                                 \
		struct mob_arg (*ref)(T *, mobi_ref_##T);                      \
		struct mob_arg (*slice)(T *, mobi_slice_##T);                  \
		struct mob_arg (*number)(T *, mobi_number_##T);                \
		struct mob_arg (*string)(T *, mobi_string_##T);                \
		struct mob_arg (*function)(T *, mobi_function_##T);            \
		struct mob_arg (*other)(T *, mobi_other_##T);                  \
	};                                                                     \
	static const struct mobi_conv_##T mobi_conv_##T MOB_UNUSED = {         \
		mobi_ref_of_##T,    mobi_slice_of_##T,    mobi_number_of_##T,  \
		mobi_string_of_##T, mobi_function_of_##T, mobi_other_of_##T    \
	};

#define MOBI_TYPE(T, id, name, kind, elem)                                     \
	static const struct mob_type mobi_type_##T MOB_UNUSED = {              \
		name, id, kind, (uint32_t)sizeof(T), elem                      \
	};

/* The kinds: what a parameter takes, a task may return, mob_put_as may put. */
#define MOBI_NUMBER(T, id, name)                                               \
	MOBI_TYPE(T, id, name, MOB_KIND_POD, 0)                                \
	MOBI_CONV(T, MOBI_C_OBJECT, MOBI_C_WRONG, MOBI_C_VALUE, MOBI_C_WRONG,  \
		  MOBI_C_WRONG, MOBI_C_WRONG)                                  \
	typedef T mobi_ret_##T;                                                \
	typedef T mobi_pod_##T;
#define MOBI_POD(T, id, name)                                                  \
	MOBI_TYPE(T, id, name, MOB_KIND_POD, 0)                                \
	MOBI_CONV(T, MOBI_C_OBJECT, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_WRONG,  \
		  MOBI_C_WRONG, MOBI_C_VALUE)                                  \
	typedef T mobi_ret_##T;                                                \
	typedef T mobi_pod_##T;                                                \
	typedef T mobi_object_##T;
#define MOBI_SPAN(T, id, name, E, elem)                                        \
	MOBI_TYPE(T, id, name, MOB_KIND_SPAN, elem)                            \
	MOBI_CONV(T, MOBI_C_OBJECT, MOBI_C_OBJECT, MOBI_C_WRONG, MOBI_C_WRONG, \
		  MOBI_C_WRONG, MOBI_C_VALUE)                                  \
	typedef T mobi_ret_##T;                                                \
	typedef T mobi_object_##T;                                             \
	typedef T mobi_span_##T;                                               \
	typedef E mobi_elem_##T;                                               \
	MOBI_OF(T, E)
#define MOBI_OF(T, E)                                                          \
	static inline T T##_of(const E *at, size_t n)                          \
	{                                                                      \
		T v = { 0 };                                                   \
		v.at = at;                                                     \
		v.n = n;                                                       \
		return v;                                                      \
	}

/* ---- the types that are there ---- */

typedef const char *mob_str;
typedef struct mob_ref mob_ref;
typedef struct mob_refs mob_refs;
typedef struct mob_args mob_args;
typedef struct mob_bytes mob_bytes;
typedef struct mob_i32s mob_i32s;
typedef struct mob_i64s mob_i64s;
typedef struct mob_f32s mob_f32s;
typedef struct mob_f64s mob_f64s;

/*
 * mob_i32s_of(at, n) is a mob_i32s; likewise mob_i64s_of, mob_f32s_of,
 * mob_f64s_of, mob_bytes_of, mob_refs_of(refs, n) and mob_args_of(refs, n), and
 * of each type of MOB_ARRAY. Nothing is copied.
 */
#define MOBI_I32(T) MOBI_NUMBER(T, MOB_TYPE_I32, "int32_t")
#define MOBI_U32(T) MOBI_NUMBER(T, MOB_TYPE_U32, "uint32_t")
#define MOBI_I64(T) MOBI_NUMBER(T, MOB_TYPE_I64, "int64_t")
#define MOBI_U64(T) MOBI_NUMBER(T, MOB_TYPE_U64, "uint64_t")

MOBI_I32(int)
MOBI_I32(int32_t)
MOBI_U32(unsigned)
MOBI_U32(uint32_t)
MOBI_I64(int64_t)
MOBI_U64(uint64_t)
MOBI_U64(size_t)
MOBI_NUMBER(float, MOB_TYPE_F32, "float")
MOBI_NUMBER(double, MOB_TYPE_F64, "double")
MOBI_NUMBER(char, MOB_TYPE_CHAR, "char")
MOBI_NUMBER(_Bool, MOB_TYPE_BOOL, "bool")
#ifndef bool /* where it is no macro, it is a name of its own */
MOBI_NUMBER(bool, MOB_TYPE_BOOL, "bool")
#endif
MOBI_SPAN(mob_bytes, MOB_TYPE_BYTES, "mob_bytes", void, 1)
MOBI_SPAN(mob_i32s, MOB_TYPE_I32S, "mob_i32s", int32_t, 4)
MOBI_SPAN(mob_i64s, MOB_TYPE_I64S, "mob_i64s", int64_t, 8)
MOBI_SPAN(mob_f32s, MOB_TYPE_F32S, "mob_f32s", float, 4)
MOBI_SPAN(mob_f64s, MOB_TYPE_F64S, "mob_f64s", double, 8)

MOBI_TYPE(mob_str, MOB_TYPE_STR, "mob_str", MOB_KIND_STR, 0)
MOBI_CONV(mob_str, MOBI_C_OBJECT, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_VALUE,
	  MOBI_C_WRONG, MOBI_C_WRONG)
typedef mob_str mobi_ret_mob_str;

MOBI_TYPE(mob_ref, MOB_TYPE_REF, "mob_ref", MOB_KIND_REF, 0)
MOBI_CONV(mob_ref, MOBI_C_VALUE, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_WRONG,
	  MOBI_C_WRONG, MOBI_C_WRONG)
typedef mob_ref mobi_ret_mob_ref;

MOBI_TYPE(mob_refs, MOB_TYPE_REFS, "mob_refs", MOB_KIND_REFS,
	  (uint32_t)sizeof(struct mob_ref))
MOBI_CONV(mob_refs, MOBI_C_OBJECT, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_WRONG,
	  MOBI_C_WRONG, MOBI_C_VALUE)
typedef mob_refs mobi_ret_mob_refs;
MOBI_OF(mob_refs, struct mob_ref)

MOBI_TYPE(mob_args, MOB_TYPE_ARGS, "mob_args", MOB_KIND_ARGS,
	  (uint32_t)sizeof(struct mob_ref))
MOBI_CONV(mob_args, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_WRONG,
	  MOBI_C_WRONG, MOBI_C_VALUE)

static inline mob_args mob_args_of(const struct mob_ref *refs, size_t n)
{
	mob_args v = { refs, NULL, n };

	return v;
}

static const struct mob_type mobi_type_void MOB_UNUSED = {
	"void", MOB_TYPE_VOID, MOB_KIND_VOID, 0, 0
};
typedef void mobi_ret_void;

/* ---- types of a program ---- */

/* Hash of the name of a type, of at most 31 characters, as a constant. */
#define MOBI_H(s, i, h)                                                        \
	((h)*16777619u +                                                       \
	 (uint32_t)(unsigned char)(s)[(i) < sizeof(s) ? (i) : 0])
#define MOBI_H4(s, i, h)                                                       \
	MOBI_H(s, i + 3, MOBI_H(s, i + 2, MOBI_H(s, i + 1, MOBI_H(s, i, h))))
#define MOBI_H16(s, i, h)                                                      \
	MOBI_H4(s, i + 12,                                                     \
		MOBI_H4(s, i + 8, MOBI_H4(s, i + 4, MOBI_H4(s, i, h))))
#define MOBI_USER_ID(s)                                                        \
	(MOB_TYPE_USER | MOBI_H16(s, 16u, MOBI_H16(s, 0u, 2166136261u)))
#define MOBI_SHORT(T)                                                          \
	_Static_assert(sizeof(#T) <= 32,                                       \
		       "the name of a type has at most 31 characters")

/*
 * MOB_STRUCT(point); makes struct point, defined before, a type named point.
 * It is copied as bytes: pointers and refs in it mean nothing elsewhere.
 */
#define MOB_STRUCT(T)                                                          \
	typedef struct T T;                                                    \
	MOBI_POD(T, MOBI_USER_ID(#T), #T)                                      \
	MOBI_SHORT(T)

/*
 * MOB_ARRAY(points, struct point); makes points a type: a span
 * {const struct point *at; size_t n}, with points_of(at, n) as mob_i32s_of.
 */
#define MOB_ARRAY(T, E)                                                        \
	typedef struct T {                                                     \
		const E *at;                                                   \
		size_t n;                                                      \
	} T;                                                                   \
	MOBI_SPAN(T, MOBI_USER_ID(#T), #T, E, (uint32_t)sizeof(E))             \
	MOBI_SHORT(T)

/*
 * MOB_FUNCTION_TYPE(unary, int64_t, int64_t); makes unary a type: a pointer to
 * a function from int64_t to int64_t; parameters in C's spelling. Its values
 * are the functions that MOB_TASK has defined (others are an error of the
 * submit), of just this type. In the task it is called as it is.
 */
#define MOB_FUNCTION_TYPE(T, R, ...)                                           \
	typedef R (*T)(__VA_ARGS__);                                           \
	MOBI_TYPE(T, MOBI_USER_ID(#T), #T, MOB_KIND_FUNCTION, 0)               \
	MOBI_CONV(T, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_WRONG, MOBI_C_WRONG,   \
		  MOBI_C_VALUE, MOBI_C_WRONG)                                  \
	MOBI_SHORT(T)

/* ---- put ---- */

#ifdef MOB_HERE
#define MOBI_HERE MOB_HERE
#else
#define MOBI_HERE NULL
#endif

#define MOBI_PUT(T)                                                            \
	static inline struct mob_ref mobi_put_##T(T v, struct mob_site *site)  \
	{                                                                      \
		return mob_put_raw_from(&mobi_type_##T, &v, site);             \
	}                                                                      \
	struct mob_type
MOBI_PUT(_Bool);
MOBI_PUT(char);
MOBI_PUT(int32_t);
MOBI_PUT(uint32_t);
MOBI_PUT(int64_t);
MOBI_PUT(uint64_t);
MOBI_PUT(float);
MOBI_PUT(double);
MOBI_PUT(mob_str);
MOBI_PUT(mob_bytes);
MOBI_PUT(mob_i32s);
MOBI_PUT(mob_i64s);
MOBI_PUT(mob_f32s);
MOBI_PUT(mob_f64s);
MOBI_PUT(mob_ref);
MOBI_PUT(mob_refs);

/*
 * mob_put(v): an object with a copy of v, of a built-in type. mob_put_as(T, v)
 * for the types of MOB_STRUCT and MOB_ARRAY. See mob_put_raw.
 */
#define mob_put(v)                                                             \
	_Generic((v),                                                          \
		bool: mobi_put__Bool,                                          \
		char: mobi_put_char,                                           \
		int: mobi_put_int32_t,                                         \
		unsigned: mobi_put_uint32_t,                                   \
		long: mobi_put_int64_t,                                        \
		unsigned long: mobi_put_uint64_t,                              \
		long long: mobi_put_int64_t,                                   \
		unsigned long long: mobi_put_uint64_t,                         \
		float: mobi_put_float,                                         \
		double: mobi_put_double,                                       \
		char *: mobi_put_mob_str,                                      \
		const char *: mobi_put_mob_str,                                \
		struct mob_bytes: mobi_put_mob_bytes,                          \
		struct mob_i32s: mobi_put_mob_i32s,                            \
		struct mob_i64s: mobi_put_mob_i64s,                            \
		struct mob_f32s: mobi_put_mob_f32s,                            \
		struct mob_f64s: mobi_put_mob_f64s,                            \
		struct mob_ref: mobi_put_mob_ref,                              \
		struct mob_refs: mobi_put_mob_refs)(v, MOBI_HERE)
#define mob_put_as(T, v)                                                       \
	mob_put_raw_from(MOBI_TYPE_OF(T),                                      \
			 (const MOBI_CAT(mobi_object_, T)[1]){ v }, MOBI_HERE)
#define MOBI_TYPE_OF(T) (&MOBI_CAT(mobi_type_, T))

/* mob_put(mob_bytes_of(at, n)) */
static inline struct mob_ref mob_put_bytes(const void *at, size_t n)
{
	return mobi_put_mob_bytes(mob_bytes_of(at, n), NULL);
}
#ifdef MOB_HERE
#define mob_put_bytes(...)                                                     \
	mobi_put_mob_bytes(mob_bytes_of(__VA_ARGS__), MOB_HERE)
#endif

/* ---- get ---- */

#define MOBI_TYPE_AT(out)                                                      \
	_Generic((out),                                                        \
		bool *: &mobi_type__Bool,                                      \
		char *: &mobi_type_char,                                       \
		int *: &mobi_type_int32_t,                                     \
		unsigned *: &mobi_type_uint32_t,                               \
		long *: &mobi_type_int64_t,                                    \
		unsigned long *: &mobi_type_uint64_t,                          \
		long long *: &mobi_type_int64_t,                               \
		unsigned long long *: &mobi_type_uint64_t,                     \
		float *: &mobi_type_float,                                     \
		double *: &mobi_type_double,                                   \
		const char **: &mobi_type_mob_str,                             \
		struct mob_bytes *: &mobi_type_mob_bytes,                      \
		struct mob_i32s *: &mobi_type_mob_i32s,                        \
		struct mob_i64s *: &mobi_type_mob_i64s,                        \
		struct mob_f32s *: &mobi_type_mob_f32s,                        \
		struct mob_f64s *: &mobi_type_mob_f64s,                        \
		struct mob_ref *: &mobi_type_mob_ref,                          \
		struct mob_refs *: &mobi_type_mob_refs)
/* The same for values that are copied out, and nothing of a view. */
#define MOBI_VALUE_AT(out)                                                     \
	_Generic((out),                                                        \
		bool *: &mobi_type__Bool,                                      \
		char *: &mobi_type_char,                                       \
		int *: &mobi_type_int32_t,                                     \
		unsigned *: &mobi_type_uint32_t,                               \
		long *: &mobi_type_int64_t,                                    \
		unsigned long *: &mobi_type_uint64_t,                          \
		long long *: &mobi_type_int64_t,                               \
		unsigned long long *: &mobi_type_uint64_t,                     \
		float *: &mobi_type_float,                                     \
		double *: &mobi_type_double)
/* out, if it points to a T; else it does not compile. */
#define MOBI_TO(T, out) _Generic((out), MOBI_CAT(mobi_ret_, T) *: (out))
#define MOBI_TO_POD(T, out) _Generic((out), MOBI_CAT(mobi_pod_, T) *: (out))

/*
 * mob_get(ref, &x) waits and reads the value into x, whose type says how: a
 * built-in type that is not mob_args. mob_get_as(T, ref, &x) for any type.
 * Returns 0 or an error, and x is then zero: see mob_get_raw.
 */
#define mob_get(ref, out) mob_get_raw(ref, MOBI_TYPE_AT(out), MOB_FOREVER, out)
#define mob_get_as(T, ref, out)                                                \
	mob_get_raw(ref, MOBI_TYPE_OF(T), MOB_FOREVER, MOBI_TO(T, out))

/* mob_get_timeout(ref, timeout_ns, &x): MOB_E_TIMEOUT if it takes longer. */
#define mob_get_timeout(ref, timeout_ns, out)                                  \
	mob_get_raw(ref, MOBI_TYPE_AT(out), timeout_ns, out)
#define mob_get_timeout_as(T, ref, timeout_ns, out)                            \
	mob_get_raw(ref, MOBI_TYPE_OF(T), timeout_ns, MOBI_TO(T, out))

/* mob_get_all(refs, n, array): n values of one type. See mob_get_all_raw. */
#define mob_get_all(refs, n, out)                                              \
	mob_get_all_raw(refs, n, MOBI_TYPE_AT(out), out)
#define mob_get_all_as(T, refs, n, out)                                        \
	mob_get_all_raw(refs, n, MOBI_TYPE_OF(T), MOBI_TO(T, out))

/*
 * mob_take(ref, &x): mob_get, then mob_release, also of a ref that holds an
 * error. For numbers, and by mob_take_as(T, ...) for the types of MOB_STRUCT.
 */
static inline int mobi_take(struct mob_ref ref, const struct mob_type *type,
			    void *out)
{
	int rc = mob_get_raw(ref, type, MOB_FOREVER, out);

	(void)mob_release(ref); /* what it may say, mob_get_raw has said */
	return rc;
}
#define mob_take(ref, out) mobi_take(ref, MOBI_VALUE_AT(out), out)
#define mob_take_as(T, ref, out)                                               \
	mobi_take(ref, MOBI_TYPE_OF(T), MOBI_TO_POD(T, out))

/* mob_args_get(args, i, &x): argument i of a list. See mob_args_get_raw. */
#define mob_args_get(args, i, out)                                             \
	mob_args_get_raw(&(args), i, MOBI_TYPE_AT(out), out)
#define mob_args_get_as(T, args, i, out)                                       \
	mob_args_get_raw(&(args), i, MOBI_TYPE_OF(T), MOBI_TO(T, out))

/* ---- results in place, parts ---- */

/* mob_new_of(mob_i32s, n): an int32_t * to space for n elements, for
 * mob_i32s_of(p, n) to be returned or sealed. See mob_new. */
#define mob_new_of(T, n)                                                       \
	((MOBI_CAT(mobi_elem_, T) *)mob_new_raw(MOBI_TYPE_OF(T), n))

/* mob_seal(mob_i32s_of(p, n)): the object that is made of the space at p. See
 * mob_seal_raw. mob_seal_as(T, span) for the types of MOB_ARRAY. */
#define mob_seal(v)                                                            \
	_Generic((v),                                                          \
		struct mob_bytes: mobi_seal_mob_bytes,                         \
		struct mob_i32s: mobi_seal_mob_i32s,                           \
		struct mob_i64s: mobi_seal_mob_i64s,                           \
		struct mob_f32s: mobi_seal_mob_f32s,                           \
		struct mob_f64s: mobi_seal_mob_f64s)(v)
#define mob_seal_as(T, v)                                                      \
	mob_seal_raw(MOBI_TYPE_OF(T), (const MOBI_CAT(mobi_span_, T)[1]){ v })
#define MOBI_SEAL(T)                                                           \
	static inline struct mob_ref mobi_seal_##T(T v)                        \
	{                                                                      \
		return mob_seal_raw(&mobi_type_##T, &v);                       \
	}                                                                      \
	struct mob_type
MOBI_SEAL(mob_bytes);
MOBI_SEAL(mob_i32s);
MOBI_SEAL(mob_i64s);
MOBI_SEAL(mob_f32s);
MOBI_SEAL(mob_f64s);

/* Elements first to first + n of the span in ref, for a parameter that is a
 * span: given by reference, nothing is copied. */
static inline struct mob_slice mob_slice(struct mob_ref ref, uint64_t first,
					 uint64_t n)
{
	struct mob_slice s = { ref, first, n };

	return s;
}

/* clang-format on */

#endif /* __cplusplus */

#endif /* MOBULA_TASK_TYPES_H */
