/* SPDX-License-Identifier: Apache-2.0 */
/*
 * task.record_overhead: one of many empty tasks, with events recorded and without.
 * Whether they are is settled when a session is made, so each round makes one of
 * its own. The least of a few runs counts: what disturbs one only makes it longer,
 * and a twentieth is looked for.
 */
#define _GNU_SOURCE
#include "bench_record.h"

#include <mobula/mobula.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 2
#define TASKS 10000u
#define RUNS 50

MOB_TASK(int32_t, bench_recorded, void)
{
	return 0;
}

int bench_record_setup(struct bench *b)
{
	b->state = calloc(TASKS, sizeof(struct mob_ref));
	return b->state ? 0 : bench_fail(b, "out of memory");
}

void bench_record_teardown(struct bench *b)
{
	free(b->state);
}

static int run(struct bench *b, size_t n, double *out_ns)
{
	struct mob_ref *ref = b->state;
	uint64_t t = bench_now();

	for (size_t i = 0; i < n; i++) {
		ref[i] = mob_submit(bench_recorded);
	}
	for (size_t i = 0; i < n; i++) {
		int32_t x;

		if (mob_take(ref[i], &x)) {
			return bench_fail(b, "%s", mob_error());
		}
	}
	*out_ns = (double)(bench_now() - t) / (double)n;
	return 0;
}

/* events as text; NULL: as many as usual. */
static int measure(struct bench *b, const char *events, double *out_value)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	size_t n = (size_t)bench_n(b, TASKS);
	double ns = 0;
	int rc;

	if (events ? setenv("MOBULA_RECORD_EVENTS", events, 1) :
		     unsetenv("MOBULA_RECORD_EVENTS")) {
		return bench_fail(b, "setenv: %s", strerror(errno));
	}
	opts.workers = WORKERS;
	rc = mob_init(&opts);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_init");
	}
	rc = run(b, n, out_value); /* warms up */
	for (int i = 0; i < RUNS && !rc; i++) {
		rc = run(b, n, &ns);
		if (!rc && (i == 0 || ns < *out_value)) {
			*out_value = ns;
		}
	}
	mob_shutdown();
	return rc;
}

int bench_record_on(struct bench *b, double *out_value)
{
	return measure(b, NULL, out_value);
}

int bench_record_off(struct bench *b, double *out_value)
{
	return measure(b, "0", out_value);
}
