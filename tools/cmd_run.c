/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob run: a program with settings for its session, or one task of a module
 * (a shared object with registered tasks) with arguments from the command line.
 */
#define _GNU_SOURCE
#include "cmd.h"
#include "module.h"
#include "out.h"

#include <mobula/mobula.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a program ---- */

static int set_env(const struct cli *c, const char *option, const char *name)
{
	const char *value = cli_text(c, option);

	if (value && setenv(name, value, 1)) {
		return cli_fail(CLI_FAILED, NULL, "%s: %s", name,
				strerror(errno));
	}
	return 0;
}

static int run_program(const struct cli *c)
{
	int rc;

	if (cli_given(c, "workers") && cli_number(c, "workers") == 0) {
		return cli_fail(CLI_USAGE, NULL, "--workers is 0; at least 1");
	}
	rc = set_env(c, "workers", "MOBULA_WORKERS");
	rc = rc ? rc : set_env(c, "policy", "MOBULA_POLICY");
	rc = rc ? rc : set_env(c, "store-bytes", "MOBULA_STORE_BYTES");
	if (rc) {
		return rc;
	}
	if (cli_given(c, "session") || cli_given(c, "returns")) {
		return cli_fail(CLI_USAGE, NULL,
				"--session and --returns are for modules; a "
				"program chooses its session itself");
	}
	(void)execvp(c->args[0], c->args);
	return cli_fail(errno == ENOENT ? CLI_NOT_FOUND :
			errno == EACCES ? CLI_REFUSED :
					  CLI_FAILED,
			NULL, "%s: %s", c->args[0], strerror(errno));
}

/* ---- what a module has ---- */

struct search {
	const char *name; /* NULL: none is looked for */
	const struct mob_task_def *found;
	struct out *out; /* NULL: nothing is printed */
};

/* "i64, str" of n types. */
static void type_list(char *buf, size_t size, const struct mob_type *const *t,
		      uint32_t n)
{
	size_t used = 0;

	buf[0] = 0;
	for (uint32_t i = 0; i < n && used < size; i++) {
		used += (size_t)snprintf(buf + used, size - used, "%s%s",
					 i ? ", " : "", t[i]->name);
	}
}

static int look(const struct mob_task_def *def, void *arg)
{
	struct search *s = arg;
	char args[300];
	char rets[160];

	if (s->name && strcmp(def->name, s->name) == 0) {
		s->found = def;
	}
	/* Tasks of mob itself and of the library are not of the module. */
	if (s->out && strncmp(def->name, "bench_", 6) != 0 &&
	    strncmp(def->name, "mobi_", 5) != 0) {
		bool many = def->n_rets == MOB_RETS_MANY;

		type_list(args, sizeof(args), def->args, def->n_args);
		if (def->n_rets == MOB_RETS_STREAM) {
			(void)snprintf(rets, sizeof(rets), "stream of %s",
				       def->rets[0]->name);
		} else {
			type_list(rets, sizeof(rets), def->rets,
				  many ? 1 : def->n_rets);
		}
		out_text(s->out, def->name);
		out_text(s->out, args);
		out_text(s->out, rets);
		out_bool(s->out, many);
		out_end_row(s->out);
	}
	return 0;
}

static int list_tasks(void)
{
	static const struct out_col cols[] = {
		{ "name", "TASK", OUT_TEXT },
		{ "args", "ARGUMENTS", OUT_TEXT },
		{ "returns", "RETURNS", OUT_TEXT },
		{ "returns_many", NULL, OUT_BOOL },
		{ 0 },
	};
	struct out o;
	struct search s = { .out = &o };

	out_begin(&o, cols);
	(void)mobi_module_each(look, &s);
	return out_end(&o);
}

/* ---- arguments ---- */

/* A value of one parameter and what it points to. */
struct value {
	union {
		int32_t i32;
		uint32_t u32;
		int64_t i64;
		uint64_t u64;
		float f32;
		double f64;
		bool b;
		char c;
		const char *str;
		struct mob_bytes span;
	} u;
	void *map; /* file that it is in, or NULL */
	size_t map_n;
	void *heap;
};

static void drop(struct value *v)
{
	if (v->map) {
		(void)munmap(v->map, v->map_n);
	}
	free(v->heap);
}

static bool parse_int(const char *text, int64_t min, int64_t max, int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 0);
	return end > text && !*end && !errno && *out >= min && *out <= max;
}

static bool parse_uint(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	return end > text && !*end && !errno && *text != '-' && *out <= max;
}

static bool parse_real(const char *text, double *out)
{
	char *end;

	errno = 0;
	*out = strtod(text, &end);
	/* Too small for its bits is 0; too large is no number. */
	return end > text && !*end && !(errno == ERANGE && isinf(*out));
}

/* One number of a type into place; false if text is none. */
static bool parse_scalar(mob_type_id type, const char *text, void *at)
{
	uint64_t u;
	int64_t i;
	double d;
	bool ok = false;

	switch (type) {
	case MOB_TYPE_I32:
		ok = parse_int(text, INT32_MIN, INT32_MAX, &i);
		*(int32_t *)at = ok ? (int32_t)i : 0;
		return ok;
	case MOB_TYPE_I64:
		return parse_int(text, INT64_MIN, INT64_MAX, at);
	case MOB_TYPE_U32:
		ok = parse_uint(text, UINT32_MAX, &u);
		*(uint32_t *)at = ok ? (uint32_t)u : 0;
		return ok;
	case MOB_TYPE_U64:
		return parse_uint(text, UINT64_MAX, at);
	case MOB_TYPE_F32:
		ok = parse_real(text, &d) && (isinf(d) || !isinf((float)d));
		*(float *)at = ok ? (float)d : 0;
		return ok;
	case MOB_TYPE_F64:
		return parse_real(text, at);
	case MOB_TYPE_BOOL:
		*(bool *)at = strcmp(text, "true") == 0;
		return *(bool *)at || strcmp(text, "false") == 0;
	case MOB_TYPE_CHAR:
		*(char *)at = *text;
		return *text && !text[1];
	default:
		return false;
	}
}

/* Type of the elements of a span of numbers, 0 if it is none. */
static mob_type_id element_of(mob_type_id span)
{
	switch (span) {
	case MOB_TYPE_I32S:
		return MOB_TYPE_I32;
	case MOB_TYPE_I64S:
		return MOB_TYPE_I64;
	case MOB_TYPE_F32S:
		return MOB_TYPE_F32;
	case MOB_TYPE_F64S:
		return MOB_TYPE_F64;
	default:
		return 0;
	}
}

/* "1,2,3" as a span; "" is an empty one. */
static bool parse_list(const struct mob_type *t, const char *text,
		       struct value *v)
{
	size_t room = strlen(text) / 2 + 1;
	unsigned char *to = calloc(room, t->elem_size);
	char *copy = strdup(text);
	char *rest = copy;
	char *word;
	size_t n = 0;
	bool ok = to && copy;

	while (ok && *text && (word = strsep(&rest, ",")) != NULL) {
		ok = parse_scalar(element_of(t->id), word,
				  to + n++ * t->elem_size);
	}
	free(copy);
	v->heap = to;
	v->u.span.at = to;
	v->u.span.n = n;
	return ok;
}

/* The bytes of a file as a span, without reading them. */
static int map_file(const struct mob_type *t, const char *path, struct value *v)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st)) {
		int code = cli_fail(CLI_FAILED, NULL, "%s: %s", path,
				    strerror(errno));
		if (fd >= 0) {
			(void)close(fd);
		}
		return code;
	}
	v->map_n = (size_t)st.st_size;
	v->map = NULL;
	if (v->map_n) {
		v->map = mmap(NULL, v->map_n, PROT_READ, MAP_PRIVATE, fd, 0);
	}
	(void)close(fd);
	if (v->map == MAP_FAILED) {
		v->map = NULL;
		return cli_fail(CLI_FAILED, NULL, "%s: %s", path,
				strerror(errno));
	}
	if (t->elem_size > 1 && v->map_n % t->elem_size) {
		return cli_fail(CLI_USAGE, NULL,
				"%s: %zu bytes are no whole number of %s of "
				"%u bytes",
				path, v->map_n, t->name, t->elem_size);
	}
	v->u.span.at = v->map;
	v->u.span.n = v->map_n / (t->elem_size ? t->elem_size : 1);
	return 0;
}

static int parse_arg(const struct mob_task_def *def, uint32_t i,
		     const char *text, struct value *v)
{
	const struct mob_type *t = def->args[i];
	bool ok;

	if (t->kind == MOB_KIND_SPAN && *text == '@') {
		return map_file(t, text + 1, v);
	}
	if (t->kind == MOB_KIND_STR) {
		v->u.str = text;
		return 0;
	}
	if (t->id == MOB_TYPE_BYTES) {
		v->u.span.at = text;
		v->u.span.n = strlen(text);
		return 0;
	}
	if (t->kind == MOB_KIND_SPAN && element_of(t->id)) {
		ok = parse_list(t, text, v);
	} else if (t->kind == MOB_KIND_POD && !(t->id & MOB_TYPE_USER)) {
		ok = parse_scalar(t->id, text, &v->u);
	} else {
		return cli_fail(CLI_USAGE, NULL,
				"%s: argument %u is of type %s, which cannot "
				"be written on a command line",
				def->name, i + 1, t->name);
	}
	if (!ok) {
		return cli_fail(CLI_USAGE, NULL,
				"%s: argument %u: '%s' is no value of type %s",
				def->name, i + 1, text, t->name);
	}
	return 0;
}

/* ---- results ---- */

static void print_scalar(mob_type_id type, const void *at)
{
	switch (type) {
	case MOB_TYPE_I32:
		(void)printf("%ld", (long)*(const int32_t *)at);
		break;
	case MOB_TYPE_I64:
		(void)printf("%lld", (long long)*(const int64_t *)at);
		break;
	case MOB_TYPE_U32:
		(void)printf("%lu", (unsigned long)*(const uint32_t *)at);
		break;
	case MOB_TYPE_U64:
		(void)printf("%llu", (unsigned long long)*(const uint64_t *)at);
		break;
	case MOB_TYPE_F32:
		(void)printf("%.9g", (double)*(const float *)at);
		break;
	case MOB_TYPE_F64:
		(void)printf("%.17g", *(const double *)at);
		break;
	case MOB_TYPE_BOOL:
		(void)fputs(*(const bool *)at ? "true" : "false", stdout);
		break;
	default:
		(void)fputc(*(const char *)at, stdout);
	}
}

/* One line a value; bytes and types of the program as they are. */
static void print_value(const struct mob_type *t, const void *value)
{
	const struct mob_bytes *span = value;
	mob_type_id element = element_of(t->id);

	if (t->kind == MOB_KIND_VOID) {
		return;
	}
	if (t->kind == MOB_KIND_STR) {
		(void)printf("%s\n", *(const char *const *)value);
	} else if (t->kind == MOB_KIND_SPAN && !element) {
		(void)fwrite(span->at, t->elem_size ? t->elem_size : 1, span->n,
			     stdout);
	} else if (t->kind == MOB_KIND_SPAN) {
		for (size_t i = 0; i < span->n; i++) {
			print_scalar(element,
				     (const char *)span->at + i * t->elem_size);
			(void)fputc(i + 1 < span->n ? ',' : '\n', stdout);
		}
	} else if (t->id & MOB_TYPE_USER) {
		(void)fwrite(value, t->size, 1, stdout);
	} else {
		print_scalar(t->id, value);
		(void)fputc('\n', stdout);
	}
}

/* Each item when it is there. */
static int print_stream(const struct mob_task_def *def, struct mob_ref ref,
			void *value)
{
	const struct mob_type *t = def->rets[0];
	int rc = 1;

	while (rc == 1) {
		MOB_SCOPE
		{
			rc = mob_next_raw(ref, t, MOB_FOREVER, value);
			if (rc == 1) {
				print_value(t, value);
				(void)fflush(stdout);
			}
		}
	}
	return rc;
}

static int print_result(const struct mob_task_def *def, uint32_t i,
			struct mob_ref ref)
{
	bool many = def->n_rets > MOB_RETS_MAX;
	const struct mob_type *t = def->rets[many ? 0 : i];
	void *value = calloc(1, t->size ? t->size : 1);
	int rc;

	if (!value) {
		return cli_fail(CLI_FAILED, NULL, "out of memory");
	}
	if (t->kind == MOB_KIND_REF || t->kind == MOB_KIND_REFS) {
		rc = cli_fail(CLI_FAILED, NULL,
			      "%s: result %u is a ref, which ends with this "
			      "command",
			      def->name, i + 1);
	} else {
		rc = def->n_rets == MOB_RETS_STREAM ?
			     print_stream(def, ref, value) :
			     mob_get_raw(ref, t, MOB_FOREVER, value);
		if (rc < 0) {
			rc = cli_fail(cli_exit_of(rc), NULL, "%s", mob_error());
			mob_error_clear();
		} else if (def->n_rets != MOB_RETS_STREAM) {
			print_value(t, value);
		}
	}
	free(value);
	return rc;
}

/* ---- a task ---- */

static int submit(const struct mob_task_def *def, const struct value *values,
		  uint32_t n_rets)
{
	struct mob_arg args[MOB_ARGS_MAX] = { 0 };
	struct mob_ref *refs = calloc(n_rets + 1, sizeof(*refs));
	int rc = 0;

	if (!refs) {
		return cli_fail(CLI_FAILED, NULL, "out of memory");
	}
	for (uint32_t i = 0; i < def->n_args; i++) {
		args[i].value = &values[i].u;
	}
	/* A failure is in the refs, where print_result reads it. */
	rc = mob_submit_raw(def, NULL, def->n_args, args, n_rets, refs);
	if (rc < 0 && !n_rets) {
		free(refs);
		return cli_fail_rc(rc, def->name);
	}
	rc = 0;
	for (uint32_t i = 0; i < n_rets && !rc; i++) {
		rc = print_result(def, i, refs[i]);
	}
	free(refs);
	return rc;
}

static int start_session(const struct cli *c, const char *module)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	int rc;

	opts.module = module;
	opts.session = cli_text(c, "session");
	opts.policy = cli_text(c, "policy");
	opts.store_bytes = cli_number(c, "store-bytes");
	if (cli_given(c, "workers")) {
		uint64_t n = cli_number(c, "workers");

		opts.workers = n > INT32_MAX ? INT32_MAX : (int32_t)n;
	}
	rc = mob_init(&opts);
	if (rc < 0) {
		rc = cli_fail_rc(rc, module);
		mob_error_clear(); /* it has been told */
	}
	return rc;
}

static int run_task(const struct cli *c, const char *module,
		    const struct mob_task_def *def)
{
	struct value values[MOB_ARGS_MAX] = { 0 };
	uint32_t n = c->n_args - 2;
	int rc = 0;

	if (n != def->n_args) {
		return cli_fail(CLI_USAGE, NULL,
				"%s takes %u arguments, %u are given",
				def->name, def->n_args, n);
	}
	for (uint32_t i = 0; i < n && !rc; i++) {
		rc = parse_arg(def, i, c->args[2 + i], &values[i]);
	}
	rc = rc ? rc : start_session(c, module);
	if (!rc) {
		uint64_t many = cli_number(c, "returns");

		rc = submit(def, values,
			    def->n_rets == MOB_RETS_STREAM ? 1u :
			    def->n_rets != MOB_RETS_MANY   ? def->n_rets :
			    many > 1u << 20                ? 1u << 20 :
							     (uint32_t)many);
		mob_shutdown();
	}
	for (uint32_t i = 0; i < n; i++) {
		drop(&values[i]);
	}
	return rc;
}

static int run_module(const struct cli *c)
{
	struct search s = { .name = c->n_args > 1 ? c->args[1] : NULL };
	char *path = realpath(c->args[0], NULL);
	int rc;

	if (!path) {
		return cli_fail(errno == ENOENT ? CLI_NOT_FOUND : CLI_FAILED,
				NULL, "%s: %s", c->args[0], strerror(errno));
	}
	rc = mobi_module_load(path);
	if (rc < 0) {
		rc = cli_fail_rc(rc, c->args[0]);
	} else if (!s.name) {
		rc = list_tasks();
	} else {
		(void)mobi_module_each(look, &s);
		rc = s.found ? run_task(c, path, s.found) :
			       cli_fail(CLI_NOT_FOUND,
					"without TASK, mob run lists those "
					"that it has",
					"%s has no task '%s'", c->args[0],
					s.name);
	}
	free(path);
	return rc;
}

static int run(struct cli *c)
{
	size_t n = strlen(c->args[0]);

	if (n > 3 && strcmp(c->args[0] + n - 3, ".so") == 0) {
		return run_module(c);
	}
	return run_program(c);
}

static const struct cli_opt opts[] = {
	{ "workers", 'w', CLI_NUMBER, "N", NULL,
	  "worker processes; without it the configuration" },
	{ "policy", 'p', CLI_POLICY, "NAME|PATH", NULL,
	  "scheduling policy; without it the configuration" },
	{ "store-bytes", 'b', CLI_BYTES, "SIZE", NULL,
	  "size of the object arena; without it the configuration" },
	{ "session", 's', CLI_SESSION, "NAME", NULL,
	  "for a module: attach to this session, or make it" },
	{ "returns", 0, CLI_NUMBER, "N", "1",
	  "how many returns of a task that has as many as are asked for" },
	{ 0 },
};

const struct cli_cmd cmd_run[] = {
	{ .args = "PROGRAM|MODULE.so [ARGUMENT...]",
	  .help = "run a program with these settings; or, of a module, the "
		  "task that the first argument names, with the others as its "
		  "arguments (@FILE: the bytes of a file). A module alone: "
		  "list its tasks",
	  .opts = opts,
	  .run = run,
	  .args_min = 1,
	  .args_max = CLI_ARGS_ANY,
	  .flags = CLI_F_PASS,
	  .complete = CLI_FILE },
	{ 0 },
};
