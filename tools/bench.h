/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame of the benchmarks.
 *
 * A case is measured in rounds that alternate with its raw primitive, on the
 * same processors. Each case runs in a forked process of its own, so that none
 * leaves anything behind for the next; peers that a case needs are forked by
 * its setup, before it opens a store.
 */
#ifndef MOBI_BENCH_H
#define MOBI_BENCH_H

#include <mobula/export.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench;

/* How values of a case are printed; JSON has them in this very unit. */
enum bench_unit {
	BENCH_NS,    /* "ns", lower is better */
	BENCH_RATE,  /* "1/s", higher is better */
	BENCH_MIB,   /* "MiB", lower is better */
	BENCH_BYTES, /* "B", lower is better */
	BENCH_TIMES  /* "x", lower is better */
};

/* What must be reached: the limit is of the ratio, or of the median in the
 * case's unit. */
enum bench_reach { BENCH_ON_VALUE, BENCH_ON_RATIO };

struct bench_case {
	const char *name;
	const char *raw_name; /* NULL: no raw primitive */
	enum bench_unit unit;
	enum bench_reach reach;
	double limit;
	/* All return 0, or nonzero after bench_fail. setup and teardown may be
	 * NULL. teardown is called after a setup that failed, too. */
	int (*setup)(struct bench *b);
	/* One round: writes the value, or calls bench_sample for each of many;
	 * then their median is the value. */
	int (*ours)(struct bench *b, double *out_value);
	int (*raw)(struct bench *b, double *out_value);
	void (*teardown)(struct bench *b);
	uint32_t rounds_max; /* 0: as asked for */
};

/* A case at work. */
struct bench {
	const struct bench_case *c;
	void *state;    /* the case's own */
	uint32_t round; /* 0 is not measured: it warms up */
	uint32_t rounds;
	bool quick; /* little work, to see that it runs */
	bool last;  /* the last round */
	bool failed;
	struct bench_result *result;
	uint64_t *sample; /* of the round and of those before */
	size_t n_samples;
	size_t max_samples;
};

/* CLOCK_MONOTONIC. */
uint64_t bench_now(void);
/* n, or a hundredth of it, at least 1, if only a try is wanted. */
uint64_t bench_n(const struct bench *b, uint64_t n);
/* Adds one latency to the round. */
void bench_sample(struct bench *b, uint64_t ns);
/* Says why the case cannot go on; returns -1. */
int bench_fail(struct bench *b, const char *fmt, ...) MOB_PRINTF(2, 3);
/* The same for a MOB_E_* of a call. */
int bench_fail_rc(struct bench *b, int rc, const char *call);
/* Sets a variable of the environment for as long as a case needs it; NULL: it has
 * none. Ends with env_back, also if it failed. */
struct bench_env {
	const char *name;
	char *was; /* malloc'd, or NULL */
};
int bench_env_set(struct bench *b, struct bench_env *e, const char *name,
		  const char *value);
void bench_env_back(struct bench_env *e);
/* A line about the case for people, shown under its row. */
void bench_note(struct bench *b, const char *fmt, ...) MOB_PRINTF(2, 3);

/* Tables of cases; each ends with a name of NULL. */
extern const struct bench_case bench_store_cases[];
extern const struct bench_case bench_task_cases[];

struct bench_plan {
	const struct bench_case *cases;
	const char *glob; /* NULL: all */
	uint32_t rounds;
	uint32_t processors; /* 0: all */
	bool json;
	bool quick;
	bool header;
	bool strict; /* a limit that is missed is a failure */
};

/* Runs the cases and prints them; an exit code of cli.h. */
int bench_run(const struct bench_plan *plan);

#endif /* MOBI_BENCH_H */
