/* SPDX-License-Identifier: Apache-2.0 */
/* Rounds, statistics and output of the benchmarks. */
#define _GNU_SOURCE
#include "bench.h"

#include "cli.h"
#include "cli_text.h"
#include "out.h"

#include <mobula/err.h>

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Given by the build. */
#ifndef MOB_COMMIT
#define MOB_COMMIT "unknown"
#endif
#ifndef MOB_BUILD
#define MOB_BUILD "unknown"
#endif

#define ROUNDS_MAX 1000
#define SAMPLES_MAX (1u << 22)
/* A case that is not done by then is ended. */
#define CASE_LIMIT_S 900

static const double quantile[] = { 0.5, 0.9, 0.99, 0.999 };
static const char *const quantile_name[] = { "p50", "p90", "p99", "p99.9" };
#define QUANTILES 4

/* What the process of a case hands back, in shared memory. */
struct bench_result {
	double ours[ROUNDS_MAX];
	double raw[ROUNDS_MAX];
	double q[QUANTILES];
	uint32_t rounds;
	bool has_q;
	bool done;
	char error[600];
	char note[1000];
};

/* ---- for the cases ---- */

uint64_t bench_now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

uint64_t bench_n(const struct bench *b, uint64_t n)
{
	if (!b->quick) {
		return n;
	}
	return n > 100 ? n / 100 : 1;
}

void bench_sample(struct bench *b, uint64_t ns)
{
	if (b->n_samples == b->max_samples) {
		size_t max = b->max_samples ? 2 * b->max_samples : 4096;
		uint64_t *more;

		if (max > SAMPLES_MAX) {
			return;
		}
		more = realloc(b->sample, max * sizeof(*more));
		if (!more) {
			return; /* fewer samples, still true ones */
		}
		b->sample = more;
		b->max_samples = max;
	}
	b->sample[b->n_samples++] = ns;
}

int bench_fail(struct bench *b, const char *fmt, ...)
{
	va_list ap;

	b->failed = true;
	if (!b->result->error[0]) {
		va_start(ap, fmt);
		(void)vsnprintf(b->result->error, sizeof(b->result->error), fmt,
				ap);
		va_end(ap);
	}
	return -1;
}

static int set_env(const char *name, const char *value)
{
	return value ? setenv(name, value, 1) : unsetenv(name);
}

int bench_env_set(struct bench *b, struct bench_env *e, const char *name,
		  const char *value)
{
	const char *was = getenv(name);

	e->name = name;
	e->was = was ? strdup(was) : NULL;
	return (was && !e->was) || set_env(name, value) ?
		       bench_fail(b, "out of memory") :
		       0;
}

void bench_env_back(struct bench_env *e)
{
	(void)set_env(e->name, e->was);
	free(e->was);
	e->was = NULL;
}

int bench_fail_rc(struct bench *b, int rc, const char *call)
{
	const char *detail = mob_err_detail(rc);

	return bench_fail(b, "%s: %s", call,
			  *detail ? detail : mob_err_message(rc));
}

void bench_note(struct bench *b, const char *fmt, ...)
{
	size_t used = strlen(b->result->note);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(b->result->note + used, sizeof(b->result->note) - used,
			fmt, ap);
	va_end(ap);
}

/* ---- rounds, in the process of the case ---- */

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int compare_real(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median_of(double *v, uint32_t n)
{
	uint32_t half = n / 2;

	qsort(v, n, sizeof(*v), compare_real);
	return n % 2 ? v[half] : (v[half - 1] + v[half]) / 2;
}

/* One side of a round; samples it made are left in [*from, n_samples). */
static int one_side(struct bench *b, int (*side)(struct bench *, double *),
		    double *out_value, size_t *out_from)
{
	size_t from = b->n_samples;
	int rc = side(b, out_value);

	*out_from = from;
	if (!rc && b->n_samples > from) {
		size_t n = b->n_samples - from;

		qsort(b->sample + from, n, sizeof(*b->sample), compare_u64);
		from += n / 2;
		*out_value = (double)b->sample[from];
	}
	return rc;
}

static int one_round(struct bench *b)
{
	double ours = 0;
	double raw = 0;
	size_t from;
	int rc = 0;

	if (b->c->raw) {
		rc = one_side(b, b->c->raw, &raw, &from);
		b->n_samples = rc ? 0 : from;
	}
	if (!rc) {
		rc = one_side(b, b->c->ours, &ours, &from);
	}
	if (!rc && b->round > 0) {
		b->result->ours[b->round - 1] = ours;
		b->result->raw[b->round - 1] = raw;
	} else if (!rc) {
		b->n_samples = 0; /* warm-up */
	}
	return rc;
}

static void quantiles(struct bench *b)
{
	if (b->n_samples == 0) {
		return;
	}
	qsort(b->sample, b->n_samples, sizeof(*b->sample), compare_u64);
	for (int i = 0; i < QUANTILES; i++) {
		size_t at = (size_t)(quantile[i] * (double)b->n_samples);

		b->result->q[i] =
			(double)b->sample[at < b->n_samples ? at :
							      b->n_samples - 1];
	}
	b->result->has_q = true;
}

/* All of a case, in its own process; does not return. */
static void run_child(const struct bench_case *c, const struct bench_plan *plan,
		      struct bench_result *result)
{
	struct bench b = { .c = c,
			   .rounds = plan->rounds,
			   .quick = plan->quick,
			   .result = result };
	int rc;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)alarm(CASE_LIMIT_S);
	if (c->rounds_max && b.rounds > c->rounds_max) {
		b.rounds = c->rounds_max;
	}
	rc = c->setup ? c->setup(&b) : 0;
	for (b.round = 0; b.round <= b.rounds && !rc; b.round++) {
		b.last = b.round == b.rounds;
		cli_progress("%s: %u of %u", c->name, b.round, b.rounds);
		rc = one_round(&b);
	}
	cli_progress(NULL);
	if (c->teardown) {
		c->teardown(&b);
	}
	quantiles(&b);
	free(b.sample);
	result->rounds = b.rounds;
	result->done = rc == 0;
	_exit(rc ? 1 : 0);
}

/* ---- output ---- */

static const char *unit_name(enum bench_unit u)
{
	static const char *const name[] = {
		[BENCH_NS] = "ns",   [BENCH_RATE] = "1/s", [BENCH_MIB] = "MiB",
		[BENCH_BYTES] = "B", [BENCH_TIMES] = "x",
	};

	return name[u];
}

/* How many times worse than the raw primitive. */
static double ratio_of(const struct bench_case *c, double ours, double raw)
{
	return !c->raw ? NAN : c->unit == BENCH_RATE ? raw / ours : ours / raw;
}

static char *format_value(char buf[OUT_FORMAT_MAX], enum bench_unit unit,
			  double v)
{
	if (unit == BENCH_NS) {
		if (v < 100) {
			(void)snprintf(buf, OUT_FORMAT_MAX, "%.1f ns", v);
			return buf;
		}
		return out_format_ns(buf, (uint64_t)(v + 0.5));
	}
	if (unit == BENCH_RATE) {
		size_t n;

		(void)out_format_rate(buf, v);
		n = strlen(buf);
		(void)snprintf(buf + n, OUT_FORMAT_MAX - n, "/s");
		return buf;
	}
	(void)snprintf(buf, OUT_FORMAT_MAX, "%.2f %s", v, unit_name(unit));
	return buf;
}

static bool reached(const struct bench_case *c, double median, double ratio)
{
	if (c->reach == BENCH_ON_RATIO) {
		return ratio <= c->limit;
	}
	return c->unit == BENCH_RATE ? median >= c->limit : median <= c->limit;
}

static void print_header(void)
{
	(void)printf("%-20s %10s %10s %10s %10s %6s  %s\n", "CASE", "MEDIAN",
		     "MIN", "MAX", "RAW", "RATIO", "REACH");
}

static void print_reach(const struct bench_case *c, double median, double ratio)
{
	char buf[OUT_FORMAT_MAX];

	if (c->reach == BENCH_ON_RATIO) {
		(void)printf("<= %.4g", c->limit);
	} else {
		(void)printf("%s %s", c->unit == BENCH_RATE ? ">=" : "<=",
			     format_value(buf, c->unit, c->limit));
	}
	(void)printf(" %s\n", reached(c, median, ratio) ? "yes" : "NO");
}

struct stats {
	double median, min, max, raw, ratio;
};

static void print_row(const struct bench_case *c, const struct bench_result *r,
		      const struct stats *s)
{
	char a[OUT_FORMAT_MAX];
	char b[OUT_FORMAT_MAX];
	char d[OUT_FORMAT_MAX];

	(void)printf("%-20s %10s %10s %10s", c->name,
		     format_value(a, c->unit, s->median),
		     format_value(b, c->unit, s->min),
		     format_value(d, c->unit, s->max));
	if (c->raw) {
		(void)printf(" %10s %6.2f  ", format_value(a, c->unit, s->raw),
			     s->ratio);
	} else {
		(void)printf(" %10s %6s  ", "-", "-");
	}
	print_reach(c, s->median, s->ratio);
	if (r->has_q) {
		(void)printf("%-20s", "");
		for (int i = 0; i < QUANTILES; i++) {
			(void)printf("%s%s %s", i ? ", " : " ",
				     quantile_name[i],
				     out_format_ns(a, (uint64_t)r->q[i]));
		}
		(void)printf("\n");
	}
	if (r->note[0]) {
		cli_say("%s", r->note);
	}
}

static void json_pair(const char *key, double value)
{
	(void)printf(",\"%s\":", key);
	out_json_real(stdout, value);
}

static const char *machine(void)
{
	static char text[256];
	char line[256];
	char model[128] = "unknown processor";
	struct utsname u;
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "model name : %127[^\n]", model) == 1) {
			break;
		}
	}
	if (f) {
		(void)fclose(f); /* only read from */
	}
	(void)uname(&u); /* only fails for a bad pointer */
	(void)snprintf(text, sizeof(text),
		       "%.100s, %ld processors, %.20s %.60s", model,
		       sysconf(_SC_NPROCESSORS_ONLN), u.sysname, u.release);
	return text;
}

static void print_json(const struct bench_case *c, const struct bench_result *r,
		       const struct stats *s)
{
	(void)printf("{\"case\":\"%s\",\"unit\":\"%s\",\"better\":\"%s\"",
		     c->name, unit_name(c->unit),
		     c->unit == BENCH_RATE ? "higher" : "lower");
	json_pair("median", s->median);
	json_pair("min", s->min);
	json_pair("max", s->max);
	(void)printf(",\"rounds\":%u,\"raw\":", r->rounds);
	if (c->raw) {
		out_json_text(stdout, c->raw_name);
	} else {
		(void)fputs("null", stdout);
	}
	json_pair("raw_median", c->raw ? s->raw : NAN);
	json_pair("ratio", s->ratio);
	for (int i = 0; r->has_q && i < QUANTILES; i++) {
		json_pair(quantile_name[i], r->q[i]);
	}
	json_pair("reach", c->limit);
	(void)printf(",\"reach_of\":\"%s\",\"reached\":%s",
		     c->reach == BENCH_ON_RATIO ? "ratio" : "median",
		     reached(c, s->median, s->ratio) ? "true" : "false");
	(void)fputs(",\"machine\":", stdout);
	out_json_text(stdout, machine());
	(void)fputs(",\"commit\":", stdout);
	out_json_text(stdout, MOB_COMMIT);
	(void)fputs(",\"build\":", stdout);
	out_json_text(stdout, MOB_BUILD);
	(void)fputs("}\n", stdout);
	if (r->note[0]) {
		cli_say("%s", r->note);
	}
}

/* Was its limit reached? */
static bool print_result(const struct bench_case *c, struct bench_result *r,
			 bool json)
{
	struct stats s;

	s.median = median_of(r->ours, r->rounds); /* sorts */
	s.min = r->ours[0];
	s.max = r->ours[r->rounds - 1];
	s.raw = median_of(r->raw, r->rounds);
	s.ratio = ratio_of(c, s.median, s.raw);
	if (json) {
		print_json(c, r, &s);
	} else {
		print_row(c, r, &s);
	}
	(void)fflush(stdout); /* a failure shows at the end */
	return reached(c, s.median, s.ratio);
}

/* ---- the plan ---- */

/* Limits this process, and all that it starts, to n of its processors. */
static int limit_processors(uint32_t n)
{
	cpu_set_t all;
	cpu_set_t some;
	uint32_t taken = 0;

	if (n == 0) {
		return 0;
	}
	if (sched_getaffinity(0, sizeof(all), &all)) {
		return cli_fail(CLI_FAILED, NULL, "sched_getaffinity: %s",
				strerror(errno));
	}
	CPU_ZERO(&some);
	for (size_t i = 0; i < CPU_SETSIZE && taken < n; i++) {
		if (CPU_ISSET(i, &all)) {
			CPU_SET(i, &some);
			taken++;
		}
	}
	if (taken < n) {
		cli_say("%u processors are asked for, %u are there", n, taken);
	}
	if (sched_setaffinity(0, sizeof(some), &some)) {
		return cli_fail(CLI_FAILED, NULL, "sched_setaffinity: %s",
				strerror(errno));
	}
	return 0;
}

/* Runs one case in a child. Returns 0, or an exit code after saying why. */
static int run_case(const struct bench_case *c, const struct bench_plan *plan,
		    struct bench_result *r)
{
	int status = 0;
	pid_t pid;

	memset(r, 0, sizeof(*r));
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		run_child(c, plan, r);
	}
	if (pid < 0) {
		return cli_fail(CLI_FAILED, NULL, "fork: %s", strerror(errno));
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	if (WIFSIGNALED(status)) {
		return cli_fail(CLI_FAILED, NULL, "%s: %s", c->name,
				WTERMSIG(status) == SIGALRM ?
					"not done after 15 minutes" :
					strsignal(WTERMSIG(status)));
	}
	if (!r->done) {
		return cli_fail(CLI_FAILED, NULL, "%s: %s", c->name,
				r->error[0] ? r->error : "failed");
	}
	if (!print_result(c, r, plan->json) && plan->strict) {
		return cli_fail(CLI_FAILED, NULL,
				"%s: misses what it should reach", c->name);
	}
	return 0;
}

static int run_cases(const struct bench_plan *plan, struct bench_result *r)
{
	uint32_t matched = 0;
	int worst = 0;

	for (const struct bench_case *c = plan->cases; c->name; c++) {
		if (!plan->glob || cli_glob(plan->glob, c->name)) {
			int rc;

			if (matched++ == 0 && plan->header && !plan->json) {
				print_header();
			}
			rc = run_case(c, plan, r);
			worst = rc ? rc : worst;
		}
	}
	if (matched == 0) {
		return cli_fail(CLI_NOT_FOUND, "--list shows those there are",
				"no case matches '%s'", plan->glob);
	}
	return worst;
}

int bench_run(const struct bench_plan *plan)
{
	struct bench_result *r;
	int rc;

	if (plan->rounds == 0 || plan->rounds > ROUNDS_MAX) {
		return cli_fail(CLI_USAGE, NULL, "--rounds is 1 to %d",
				ROUNDS_MAX);
	}
	rc = limit_processors(plan->processors);
	if (rc) {
		return rc;
	}
	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED) {
		return cli_fail(CLI_FAILED, NULL, "mmap: %s", strerror(errno));
	}
	rc = run_cases(plan, r);
	(void)munmap(r, sizeof(*r));
	return rc;
}
