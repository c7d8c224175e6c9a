/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the macros of task.h make: descriptions of types, definitions of tasks,
 * argument lists. The functions behind them are stubs here that write down what
 * they were given.
 */
#include <mobula/mobula.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct point {
	double x, y;
	int32_t colour, size;
};
MOB_STRUCT(point);
MOB_ARRAY(points, struct point);
MOB_FUNCTION_TYPE(unary, int64_t, int64_t);

/* ---- stubs: what they were given last ---- */

static struct {
	const struct mob_task_def *const *begin, *const *end;
	unsigned registrations, moved; /* moved: other bounds than before */
	const struct mob_task_def *def;
	struct mob_task_opts opts;
	bool has_opts;
	uint32_t n_args;
	struct mob_arg args[MOB_ARGS_MAX];
	size_t n_refs;
	const struct mob_type *type;
	int64_t timeout_ns;
	unsigned char values[MOB_ARGS_MAX][64]; /* given to submit */
	unsigned char bytes[64];                /* given to put or seal */
	struct mob_ref released;
	size_t n;
	unsigned opened, closed;
	uint64_t closed_id; /* of the frame that was closed last */
	uint64_t next;      /* of the refs that are given out */
} seen;

static void see_value(const struct mob_type *type, const void *value)
{
	seen.type = type;
	memcpy(seen.bytes, value, type->size);
}

void mob_module_register_raw(const struct mob_task_def *const *begin,
			     const struct mob_task_def *const *end)
{
	seen.moved += seen.registrations > 0 &&
		      (begin != seen.begin || end != seen.end);
	seen.begin = begin;
	seen.end = end;
	seen.registrations++;
}

int mob_submit_raw(const struct mob_task_def *def,
		   const struct mob_task_opts *opts, uint32_t n_args,
		   const struct mob_arg *args, size_t n_refs,
		   struct mob_ref *out_refs)
{
	seen.def = def;
	seen.has_opts = opts;
	if (opts) {
		seen.opts = *opts;
	}
	seen.n_args = n_args;
	for (uint32_t i = 0; i < n_args; i++) {
		seen.args[i] = args[i];
		seen.args[i].value = NULL;
		if (args[i].kind == MOB_ARG_VALUE) {
			memcpy(seen.values[i], args[i].value,
			       def->args[i]->size);
		}
	}
	seen.n_refs = n_refs;
	for (size_t i = 0; i < n_refs; i++) {
		out_refs[i] = (struct mob_ref){ 7, ++seen.next };
	}
	return 0;
}

struct mob_ref mob_put_raw_from(const struct mob_type *type, const void *value,
				struct mob_site *site)
{
	(void)site;
	see_value(type, value);
	return (struct mob_ref){ 8, ++seen.next };
}

struct mob_ref mob_seal_raw(const struct mob_type *type, const void *value)
{
	see_value(type, value);
	return (struct mob_ref){ 9, ++seen.next };
}

int mob_get_raw(struct mob_ref ref, const struct mob_type *type,
		int64_t timeout_ns, void *out)
{
	(void)ref;
	seen.type = type;
	seen.timeout_ns = timeout_ns;
	memset(out, 0, type->size);
	return MOB_E_TIMEOUT;
}

int mob_get_all_raw(const struct mob_ref *refs, size_t n,
		    const struct mob_type *type, void *out)
{
	(void)refs;
	seen.type = type;
	seen.n = n;
	memset(out, 0, n * type->size);
	return 0;
}

int mob_args_get_raw(const struct mob_args *args, size_t i,
		     const struct mob_type *type, void *out)
{
	seen.type = type;
	seen.n = i;
	memset(out, 0, type->size);
	return (int)args->n;
}

int mob_release(struct mob_ref ref)
{
	seen.released = ref;
	return 0;
}

void *mob_new_raw(const struct mob_type *type, size_t n)
{
	seen.type = type;
	seen.n = n;
	return seen.bytes;
}

struct mob_scope mob_scope_open(void)
{
	return (struct mob_scope){ ++seen.opened, true };
}

void mob_scope_close(struct mob_scope *scope)
{
	seen.closed_id = scope->id;
	seen.closed++;
}

/* ---- tasks ---- */

MOB_TASK(int64_t, twice, int64_t, x)
{
	return 2 * x;
}

MOB_TASK(void, nothing, void)
{
	seen.n = 77;
}

MOB_TASK(bool, both, bool, a, mob_str, b)
{
	return a && b[0];
}

MOB_TASK(int64_t, map, int64_t, x, unary, f)
{
	return f(x);
}

MOB_TASK(points, move, points, v, point, by)
{
	struct point *out = mob_new_of(points, v.n);

	for (size_t i = 0; i < v.n; i++) {
		out[i].x = v.at[i].x + by.x;
	}
	return points_of(out, v.n);
}

MOB_TASK(mob_ref, choose, mob_ref, a, mob_refs, b, mob_args, c)
{
	return c.n ? a : b.at[0];
}

MOB_TASK(int, eight, int, a, int, b, int, c, int, d, int, e, int, f, int, g,
	 int, h)
{
	return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h;
}

MOB_TASK_N(divide, (int64_t, quotient, int32_t, remainder), int64_t, a, int64_t,
	   b)
{
	*quotient = a / b;
	*remainder = (int32_t)(a % b);
}

MOB_TASK_N(two, (bool, yes, double, half), void)
{
	*yes = true;
	*half = 0.5;
}

MOB_TASK_MANY(int64_t, count_from, int64_t, first)
{
	for (size_t i = 0; i < n_out; i++) {
		out[i] = first + (int64_t)i;
	}
}

MOB_TASK_DECLARE(int, elsewhere, int, x);

/* ---- types ---- */

static void test_type_builtin_has_its_id_kind_and_size(void **state)
{
	static const struct {
		const struct mob_type *type;
		const char *name;
		uint32_t id, kind, size, elem_size;
	} want[] = {
		{ &mobi_type_void, "void", 4, MOB_KIND_VOID, 0, 0 },
		{ &mobi_type_int, "int32_t", 10, MOB_KIND_POD, 4, 0 },
		{ &mobi_type_int32_t, "int32_t", 10, MOB_KIND_POD, 4, 0 },
		{ &mobi_type_unsigned, "uint32_t", 11, MOB_KIND_POD, 4, 0 },
		{ &mobi_type_uint32_t, "uint32_t", 11, MOB_KIND_POD, 4, 0 },
		{ &mobi_type_int64_t, "int64_t", 12, MOB_KIND_POD, 8, 0 },
		{ &mobi_type_uint64_t, "uint64_t", 13, MOB_KIND_POD, 8, 0 },
		{ &mobi_type_size_t, "uint64_t", 13, MOB_KIND_POD, 8, 0 },
		{ &mobi_type_float, "float", 14, MOB_KIND_POD, 4, 0 },
		{ &mobi_type_double, "double", 15, MOB_KIND_POD, 8, 0 },
		{ &mobi_type__Bool, "bool", 8, MOB_KIND_POD, 1, 0 },
		{ &mobi_type_char, "char", 9, MOB_KIND_POD, 1, 0 },
		{ &mobi_type_mob_str, "mob_str", 5, MOB_KIND_STR, 8, 0 },
		{ &mobi_type_mob_bytes, "mob_bytes", 1, MOB_KIND_SPAN, 16, 1 },
		{ &mobi_type_mob_i32s, "mob_i32s", 16, MOB_KIND_SPAN, 16, 4 },
		{ &mobi_type_mob_i64s, "mob_i64s", 17, MOB_KIND_SPAN, 16, 8 },
		{ &mobi_type_mob_f32s, "mob_f32s", 18, MOB_KIND_SPAN, 16, 4 },
		{ &mobi_type_mob_f64s, "mob_f64s", 19, MOB_KIND_SPAN, 16, 8 },
		{ &mobi_type_mob_ref, "mob_ref", 6, MOB_KIND_REF, 16, 0 },
		{ &mobi_type_mob_refs, "mob_refs", 3, MOB_KIND_REFS, 16, 16 },
		{ &mobi_type_mob_args, "mob_args", 7, MOB_KIND_ARGS, 24, 16 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(*want); i++) {
		assert_string_equal(want[i].type->name, want[i].name);
		assert_int_equal(want[i].type->id, want[i].id);
		assert_int_equal(want[i].type->kind, want[i].kind);
		assert_int_equal(want[i].type->size, want[i].size);
		assert_int_equal(want[i].type->elem_size, want[i].elem_size);
	}
}

static void test_type_of_program_has_kind_and_sizes(void **state)
{
	(void)state;
	assert_string_equal(mobi_type_point.name, "point");
	assert_int_equal(mobi_type_point.kind, MOB_KIND_POD);
	assert_int_equal(mobi_type_point.size, sizeof(struct point));
	assert_int_equal(mobi_type_point.elem_size, 0);
	assert_string_equal(mobi_type_points.name, "points");
	assert_int_equal(mobi_type_points.kind, MOB_KIND_SPAN);
	assert_int_equal(mobi_type_points.size, sizeof(points));
	assert_int_equal(mobi_type_points.elem_size, sizeof(struct point));
	assert_string_equal(mobi_type_unary.name, "unary");
	assert_int_equal(mobi_type_unary.kind, MOB_KIND_FUNCTION);
	assert_int_equal(mobi_type_unary.size, sizeof(unary));
}

/* The same hash, written as a loop. */
static uint32_t user_id(const char *name)
{
	char padded[32] = { 0 };
	uint32_t h = 2166136261u;

	/* What is past the end counts as the first character. */
	memset(padded, name[0], sizeof(padded));
	memcpy(padded, name, strlen(name) + 1);
	for (size_t i = 0; i < sizeof(padded); i++) {
		h = h * 16777619u + (unsigned char)padded[i];
	}
	return h | MOB_TYPE_USER;
}

static void test_type_id_of_program_is_the_hash_of_the_name(void **state)
{
	(void)state;
	assert_int_equal(mobi_type_point.id, user_id("point"));
	assert_int_equal(mobi_type_points.id, user_id("points"));
	assert_int_equal(mobi_type_unary.id, user_id("unary"));
	assert_int_equal(MOBI_USER_ID("a"), user_id("a"));
	assert_int_equal(MOBI_USER_ID("name_of_thirty_one_characters__"),
			 user_id("name_of_thirty_one_characters__"));
	assert_int_not_equal(MOBI_USER_ID("name_of_thirty_one_characters__"),
			     MOBI_USER_ID("name_of_thirty_one_characters_x"));
	assert_int_not_equal(MOBI_USER_ID("ab"), MOBI_USER_ID("ba"));
}

static void test_span_of_takes_pointer_and_count(void **state)
{
	static const struct point p[2];
	struct mob_ref refs[3] = { { 0, 0 } };

	(void)state;
	assert_ptr_equal(points_of(p, 2).at, p);
	assert_int_equal(points_of(p, 2).n, 2);
	assert_ptr_equal(mob_bytes_of(p, 9).at, p);
	assert_int_equal(mob_bytes_of(p, 9).n, 9);
	assert_ptr_equal(mob_refs_of(refs, 3).at, refs);
	assert_ptr_equal(mob_args_of(refs, 3).refs, refs);
	assert_null(mob_args_of(refs, 3).views);
	assert_int_equal(mob_args_of(refs, 3).n, 3);
}

/* ---- definitions ---- */

static void test_def_says_name_place_and_types(void **state)
{
	(void)state;
	assert_int_equal(choose_def.struct_size, sizeof(struct mob_task_def));
	assert_string_equal(choose_def.name, "choose");
	assert_non_null(strstr(choose_def.file, "test_api_types.c"));
	assert_in_range(choose_def.line, 1, __LINE__);
	assert_int_equal(choose_def.n_args, 3);
	assert_int_equal(choose_def.args[0]->id, MOB_TYPE_REF);
	assert_int_equal(choose_def.args[1]->id, MOB_TYPE_REFS);
	assert_int_equal(choose_def.args[2]->id, MOB_TYPE_ARGS);
	assert_int_equal(choose_def.n_rets, 1);
	assert_int_equal(choose_def.rets[0]->id, MOB_TYPE_REF);
	assert_true(choose_def.fn == (void (*)(void))choose);
}

static void test_def_counts_of_arguments_and_returns(void **state)
{
	(void)state;
	assert_int_equal(nothing_def.n_args, 0);
	assert_int_equal(nothing_def.n_rets, 1);
	assert_int_equal(nothing_def.rets[0]->kind, MOB_KIND_VOID);
	assert_int_equal(eight_def.n_args, MOB_ARGS_MAX);
	assert_int_equal(divide_def.n_args, 2);
	assert_int_equal(divide_def.n_rets, 2);
	assert_int_equal(divide_def.rets[0]->id, MOB_TYPE_I64);
	assert_int_equal(divide_def.rets[1]->id, MOB_TYPE_I32);
	assert_int_equal(two_def.n_args, 0);
	assert_int_equal(two_def.rets[0]->id, MOB_TYPE_BOOL);
	assert_int_equal(count_from_def.n_rets, MOB_RETS_MANY);
	assert_int_equal(count_from_def.rets[0]->id, MOB_TYPE_I64);
	assert_int_equal(elsewhere_def.n_args, 1);
}

static void test_def_all_are_registered_before_main_once(void **state)
{
	static const struct mob_task_def *const all[] = {
		&twice_def, &nothing_def,    &both_def,      &map_def,
		&move_def,  &choose_def,     &eight_def,     &divide_def,
		&two_def,   &count_from_def, &elsewhere_def,
	};
	const size_t n = sizeof(all) / sizeof(*all);

	(void)state;
	assert_in_range(seen.registrations, 1, n);
	assert_int_equal(seen.moved, 0);
	assert_int_equal(seen.end - seen.begin, n);
	for (size_t i = 0; i < n; i++) {
		unsigned found = 0;

		for (size_t j = 0; j < n; j++) {
			found += seen.begin[j] == all[i];
		}
		assert_int_equal(found, 1);
	}
}

static void test_run_calls_the_function(void **state)
{
	int64_t x = 21, y = 4, ret = 0, many[3] = { 0 };
	int v[8] = { 1, 1, 1, 1, 1, 1, 1, 2 }, sum = 0;
	int32_t remainder = 0;
	unary f = twice;
	bool yes = false, a = true;
	double half = 0;
	mob_str b = "b";

	(void)state;
	twice_def.run((const void *[]){ &x }, (void *[]){ &ret }, 1);
	assert_int_equal(ret, 42);
	map_def.run((const void *[]){ &x, &f }, (void *[]){ &ret }, 1);
	assert_int_equal(ret, 42);
	both_def.run((const void *[]){ &a, &b }, (void *[]){ &yes }, 1);
	assert_true(yes);
	nothing_def.run(NULL, NULL, 1);
	assert_int_equal(seen.n, 77);
	eight_def.run((const void *[]){ v, v + 1, v + 2, v + 3, v + 4, v + 5,
					v + 6, v + 7 },
		      (void *[]){ &sum }, 1);
	assert_int_equal(sum, 44);
	divide_def.run((const void *[]){ &x, &y },
		       (void *[]){ &ret, &remainder }, 2);
	assert_int_equal(ret, 5);
	assert_int_equal(remainder, 1);
	yes = false;
	two_def.run(NULL, (void *[]){ &yes, &half }, 2);
	assert_true(yes && half > 0.4);
	count_from_def.run((const void *[]){ &x }, (void *[]){ many }, 3);
	assert_int_equal(many[0], 21);
	assert_int_equal(many[2], 23);
}

static void test_task_is_an_ordinary_function(void **state)
{
	int64_t q;
	int32_t r;

	(void)state;
	assert_int_equal(twice(4), 8);
	assert_int_equal(map(4, twice), 8);
	divide(&q, &r, 9, 4);
	assert_int_equal(q * 10 + r, 21);
	assert_int_equal(elsewhere(1), 2);
}

/* ---- submit ---- */

static void test_submit_value_is_converted_to_the_parameter(void **state)
{
	int64_t x;
	struct mob_ref ref = mob_submit(twice, (short)-3);

	(void)state;
	assert_true(ref.hi == 7 && ref.lo == seen.next);
	assert_ptr_equal(seen.def, &twice_def);
	assert_int_equal(seen.n_args, 1);
	assert_int_equal(seen.n_refs, 1);
	assert_false(seen.has_opts);
	assert_int_equal(seen.args[0].kind, MOB_ARG_VALUE);
	memcpy(&x, seen.values[0], sizeof(x));
	assert_int_equal(x, -3);
	mob_submit(twice, 2.0);
	memcpy(&x, seen.values[0], sizeof(x));
	assert_int_equal(x, 2);
}

static void test_submit_values_of_every_class_are_passed(void **state)
{
	const struct point by = { 1, 2, 3, 4 };
	struct mob_ref refs[2] = { { 1, 2 }, { 3, 4 } };
	struct mob_args args;
	unary f;
	char text[] = "text";
	mob_str s;

	(void)state;
	mob_submit(nothing);
	assert_int_equal(seen.n_args, 0);
	mob_submit(both, true, text);
	assert_true(seen.values[0][0]);
	memcpy(&s, seen.values[1], sizeof(s));
	assert_ptr_equal(s, text);
	mob_submit(map, 1, twice);
	memcpy(&f, seen.values[1], sizeof(f));
	assert_true(f == twice);
	mob_submit(move, points_of(&by, 1), by);
	assert_memory_equal(seen.values[1], &by, sizeof(by));
	mob_submit(choose, refs[1], mob_refs_of(refs, 2), mob_args_of(refs, 1));
	memcpy(&args, seen.values[2], sizeof(args));
	assert_ptr_equal(args.refs, refs);
	mob_submit(eight, 1, 2, 3, 4, 5, 6, 7, 8);
	for (int i = 0; i < 8; i++) {
		int v;

		memcpy(&v, seen.values[i], sizeof(v));
		assert_int_equal(v, i + 1);
	}
}

static void test_submit_ref_stands_for_a_value(void **state)
{
	const struct mob_ref ref = { 5, 6 };

	(void)state;
	mob_submit(twice, ref);
	assert_int_equal(seen.args[0].kind, MOB_ARG_REF);
	assert_true(mob_ref_equal(seen.args[0].ref, ref));
	mob_submit(choose, ref, ref, mob_args_of(NULL, 0));
	assert_int_equal(seen.args[1].kind, MOB_ARG_REF);
}

static void test_submit_ref_for_a_plain_ref_is_a_value(void **state)
{
	struct mob_ref ref = { 5, 6 };

	(void)state;
	mob_submit(choose, ref, mob_refs_of(&ref, 1), mob_args_of(NULL, 0));
	assert_int_equal(seen.args[0].kind, MOB_ARG_VALUE);
	assert_memory_equal(seen.values[0], &ref, sizeof(ref));
}

static void test_submit_slice_is_a_part_of_a_ref(void **state)
{
	struct mob_ref ref = { 5, 6 };

	(void)state;
	mob_submit(move, mob_slice(ref, 10, 3), (point){ 0 });
	assert_int_equal(seen.args[0].kind, MOB_ARG_SLICE);
	assert_true(mob_ref_equal(seen.args[0].ref, ref));
	assert_int_equal(seen.args[0].first, 10);
	assert_int_equal(seen.args[0].n, 3);
}

static void test_submit_options_have_defaults_and_may_be_zero(void **state)
{
	(void)state;
	mob_submit_with(MOB_OPTS(.priority = -1), twice, 1);
	assert_true(seen.has_opts);
	assert_int_equal(seen.opts.struct_size, sizeof(struct mob_task_opts));
	assert_int_equal(seen.opts.priority, -1);
	assert_int_equal(seen.opts.retries, 3);
	assert_true(seen.opts.cpus > 0.99 && seen.opts.cpus < 1.01);
	mob_submit_with(MOB_OPTS(.retries = 0, .cpus = 0, .deadline_ns = 9,
				 .name = "n", .policy_hint = 4, .priority = 2),
			twice, 1);
	assert_int_equal(seen.opts.retries, 0);
	assert_true(seen.opts.cpus < 0.01);
	assert_int_equal(seen.opts.deadline_ns, 9);
	assert_string_equal(seen.opts.name, "n");
	assert_int_equal(seen.opts.policy_hint, 4);
	assert_int_equal(seen.opts.priority, 2);
}

static void test_submit_inside_submit_keeps_options_apart(void **state)
{
	(void)state;
	mob_submit_with(MOB_OPTS(.priority = 5), twice,
			mob_submit_with(MOB_OPTS(.priority = 6), twice, 1));
	assert_int_equal(seen.opts.priority, 5);
	assert_int_equal(seen.args[0].kind, MOB_ARG_REF);
	assert_int_equal(seen.args[0].ref.lo, seen.next - 1);
}

static void test_submit_n_gives_several_refs(void **state)
{
	struct mob_ref refs[5] = { { 0, 0 } };

	(void)state;
	assert_int_equal(mob_submit_n(refs, 2, divide, 7, 2), 0);
	assert_int_equal(seen.n_refs, 2);
	assert_int_equal(refs[1].lo, refs[0].lo + 1);
	mob_submit_n_with(MOB_OPTS(.retries = 1), refs, 5, count_from, 7);
	assert_int_equal(seen.n_refs, 5);
	assert_int_equal(seen.opts.retries, 1);
	assert_ptr_equal(seen.def, &count_from_def);
}

/* ---- put, get, frames ---- */

static void test_put_takes_the_type_of_the_value(void **state)
{
	const struct point p = { 1, 2, 3, 4 };

	(void)state;
	mob_put(-5);
	assert_ptr_equal(seen.type, &mobi_type_int32_t);
	assert_int_equal(*(int32_t *)(void *)seen.bytes, -5);
	mob_put((size_t)5);
	assert_int_equal(seen.type->id, MOB_TYPE_U64);
	mob_put(0.5f);
	assert_int_equal(seen.type->id, MOB_TYPE_F32);
	mob_put("text");
	assert_int_equal(seen.type->id, MOB_TYPE_STR);
	mob_put(MOB_REF_NONE);
	assert_int_equal(seen.type->id, MOB_TYPE_REF);
	mob_put(mob_i64s_of(NULL, 0));
	assert_int_equal(seen.type->id, MOB_TYPE_I64S);
	mob_put_bytes("abc", 3);
	assert_int_equal(seen.type->id, MOB_TYPE_BYTES);
	mob_put_as(point, p);
	assert_ptr_equal(seen.type, &mobi_type_point);
	assert_memory_equal(seen.bytes, &p, sizeof(p));
	mob_put_as(points, points_of(&p, 1));
	assert_ptr_equal(seen.type, &mobi_type_points);
	mob_seal(mob_f64s_of(NULL, 0));
	assert_int_equal(seen.type->id, MOB_TYPE_F64S);
	mob_seal_as(points, points_of(&p, 1));
	assert_ptr_equal(seen.type, &mobi_type_points);
}

static void test_get_takes_the_type_of_the_variable(void **state)
{
	struct mob_ref ref = { 1, 1 };
	struct mob_args args = { &ref, NULL, 1 };
	int64_t x = 1, all[2] = { 1, 1 };
	mob_bytes b;
	mob_str s;
	point p;

	(void)state;
	assert_int_equal(mob_get(ref, &x), MOB_E_TIMEOUT);
	assert_int_equal(seen.type->id, MOB_TYPE_I64);
	assert_int_equal(seen.timeout_ns, MOB_FOREVER);
	assert_int_equal(x, 0);
	(void)mob_get_timeout(ref, 5 * MOB_MS, &b);
	assert_int_equal(seen.type->id, MOB_TYPE_BYTES);
	assert_int_equal(seen.timeout_ns, 5000000);
	(void)mob_get(ref, &s);
	assert_int_equal(seen.type->id, MOB_TYPE_STR);
	(void)mob_get_as(point, ref, &p);
	assert_ptr_equal(seen.type, &mobi_type_point);
	assert_int_equal(mob_get_all(&ref, 2, all), 0);
	assert_int_equal(seen.type->id, MOB_TYPE_I64);
	assert_int_equal(seen.n, 2);
	(void)mob_args_get(args, 3, &x);
	assert_int_equal(seen.type->id, MOB_TYPE_I64);
	assert_int_equal(seen.n, 3);
}

static void test_take_releases_also_when_get_fails(void **state)
{
	struct mob_ref ref = { 1, 9 };
	double x;
	point p;

	(void)state;
	assert_int_equal(mob_take(ref, &x), MOB_E_TIMEOUT);
	assert_true(mob_ref_equal(seen.released, ref));
	ref.lo = 10;
	assert_int_equal(mob_take_as(point, ref, &p), MOB_E_TIMEOUT);
	assert_true(mob_ref_equal(seen.released, ref));
}

static void test_new_of_asks_for_elements(void **state)
{
	struct point *p = mob_new_of(points, 12);

	(void)state;
	assert_ptr_equal(p, seen.bytes);
	assert_ptr_equal(seen.type, &mobi_type_points);
	assert_int_equal(seen.n, 12);
}

static int leave_by_return(void)
{
	MOB_SCOPE
	{
		MOB_SCOPE
		{
			return 5;
		}
	}
	return 6;
}

static void test_scope_is_closed_however_it_is_left(void **state)
{
	unsigned turns = 0;

	(void)state;
	seen.opened = 0;
	seen.closed = 0;
	MOB_SCOPE
	{
		turns++;
		assert_int_equal(seen.opened, 1);
		assert_int_equal(seen.closed, 0);
	}
	assert_int_equal(turns, 1);
	assert_int_equal(seen.closed, 1);
	MOB_SCOPE
	{
		if (turns == 1) {
			break;
		}
		turns++;
	}
	assert_int_equal(turns, 1);
	assert_int_equal(seen.closed, 2);
	assert_int_equal(leave_by_return(), 5);
	assert_int_equal(seen.opened, 4);
	assert_int_equal(seen.closed, 4);
	assert_int_equal(seen.closed_id, 3); /* the outer one last */
}

MOB_TASK_DEFINE(int, elsewhere, int, x)
{
	return x + 1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_type_builtin_has_its_id_kind_and_size),
		cmocka_unit_test(test_type_of_program_has_kind_and_sizes),
		cmocka_unit_test(
			test_type_id_of_program_is_the_hash_of_the_name),
		cmocka_unit_test(test_span_of_takes_pointer_and_count),
		cmocka_unit_test(test_def_says_name_place_and_types),
		cmocka_unit_test(test_def_counts_of_arguments_and_returns),
		cmocka_unit_test(test_def_all_are_registered_before_main_once),
		cmocka_unit_test(test_run_calls_the_function),
		cmocka_unit_test(test_task_is_an_ordinary_function),
		cmocka_unit_test(
			test_submit_value_is_converted_to_the_parameter),
		cmocka_unit_test(test_submit_values_of_every_class_are_passed),
		cmocka_unit_test(test_submit_ref_stands_for_a_value),
		cmocka_unit_test(test_submit_ref_for_a_plain_ref_is_a_value),
		cmocka_unit_test(test_submit_slice_is_a_part_of_a_ref),
		cmocka_unit_test(
			test_submit_options_have_defaults_and_may_be_zero),
		cmocka_unit_test(test_submit_inside_submit_keeps_options_apart),
		cmocka_unit_test(test_submit_n_gives_several_refs),
		cmocka_unit_test(test_put_takes_the_type_of_the_value),
		cmocka_unit_test(test_get_takes_the_type_of_the_variable),
		cmocka_unit_test(test_take_releases_also_when_get_fails),
		cmocka_unit_test(test_new_of_asks_for_elements),
		cmocka_unit_test(test_scope_is_closed_however_it_is_left),
	};

	return cmocka_run_group_tests_name("sched.api_types", tests, NULL,
					   NULL);
}
