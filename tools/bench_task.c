/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench task`. Each starts a private session of two workers,
 * which are `mob` started again; the raw primitive's second process is forked
 * before.
 */
#define _GNU_SOURCE
#include "bench.h"
#include "bench_ahead.h"
#include "bench_proc.h"
#include "bench_raw.h"

#include <mobula/mobula.h>

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 2
#define SYNCS 2000u
#define SYNCS_HOT 20000u
#define ASYNC 100000u
#define QUEUED 1000000u
#define WAITED 1000u
#define ARGS 10000u
#define RETURNS 3000u
#define DEPTH 10

/* ---- tasks ---- */

MOB_TASK(int32_t, bench_empty, void)
{
	return 0;
}

MOB_TASK(int32_t, bench_spin, int64_t, ns)
{
	uint64_t end = bench_now() + (uint64_t)ns;

	while (bench_now() < end) {
	}
	return 0;
}

MOB_TASK(int64_t, bench_sum, mob_args, xs)
{
	int64_t sum = 0;

	for (size_t i = 0; i < xs.n; i++) {
		int64_t x;

		if (mob_args_get(xs, i, &x)) {
			return 0; /* the error is the task's */
		}
		sum += x;
	}
	return sum;
}

MOB_TASK_MANY(int64_t, bench_many, void)
{
	for (size_t i = 0; i < n_out; i++) {
		out[i] = (int64_t)i;
	}
}

MOB_TASK(int32_t, bench_nested, int32_t, depth)
{
	int32_t below = 0;

	if (depth <= 1) {
		return 1;
	}
	(void)mob_get(mob_submit(bench_nested, depth - 1), &below);
	return below + 1;
}

/* Keeps a worker busy until it is let go, without waiting in the library. */
struct gate {
	_Alignas(64) raw_word inside;
	_Alignas(64) raw_word open;
};

static struct gate *gate_map(const char *name, int flags)
{
	int fd = shm_open(name, O_RDWR | flags, 0600);
	void *at = MAP_FAILED;

	if (fd >= 0 && !(flags && ftruncate(fd, sizeof(struct gate)))) {
		at = mmap(NULL, sizeof(struct gate), PROT_READ | PROT_WRITE,
			  MAP_SHARED, fd, 0);
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	return at == MAP_FAILED ? NULL : at;
}

MOB_TASK(int32_t, bench_gate, mob_str, name)
{
	struct gate *gate = gate_map(name, 0);

	if (!gate) {
		mob_fail(errno, "%s: %s", name, strerror(errno));
		return 0;
	}
	(void)atomic_fetch_add(&gate->inside, 1);
	raw_wait_until(&gate->open, 1, false);
	(void)munmap(gate, sizeof(*gate));
	return 0;
}

/* ---- setup and teardown ---- */

struct state {
	struct raw_peer peer;
	struct mob_ref *refs;
	int32_t *values;
	size_t n_refs;
	struct gate *gate;
	bool started;
};

static struct state *state_new(struct bench *b)
{
	b->state = calloc(1, sizeof(struct state));
	if (!b->state) {
		(void)bench_fail(b, "out of memory");
	}
	return b->state;
}

static int start(struct bench *b, size_t n_refs)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	struct state *s = b->state;
	int rc;

	opts.workers = WORKERS;
	rc = mob_init(&opts);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_init");
	}
	s->started = true;
	s->n_refs = n_refs;
	s->refs = calloc(n_refs + 1, sizeof(*s->refs));
	s->values = calloc(n_refs + 1, sizeof(*s->values));
	return s->refs && s->values ? 0 : bench_fail(b, "out of memory");
}

static int setup_async(struct bench *b)
{
	return state_new(b) ? start(b, ASYNC) : -1;
}

/* For cases that compare with a second process; spin as text, NULL: default. */
static int setup_sync_as(struct bench *b, const char *spin_ns)
{
	struct state *s = state_new(b);
	struct bench_workers workers;

	if (!s) {
		return -1;
	}
	if (setenv("MOBULA_SPIN", spin_ns, 1)) {
		return bench_fail(b, "setenv: %s", strerror(errno));
	}
	if (raw_peer_start(&s->peer, NULL)) {
		return bench_fail(b, "fork: %s", strerror(errno));
	}
	if (start(b, 0) || bench_workers_idle(b, &workers)) {
		return -1;
	}
	/* Where the peer of the raw primitive is. */
	for (uint32_t i = 0; i < workers.n; i++) {
		if (bench_pin((pid_t)workers.pid[i], 1)) {
			return bench_fail(b, "sched_setaffinity: %s",
					  strerror(errno));
		}
	}
	return 0;
}

static int setup_sync(struct bench *b)
{
	return setup_sync_as(b, "0");
}

static int setup_sync_hot(struct bench *b)
{
	return setup_sync_as(b, "1000000");
}

static void open_gate(struct state *s)
{
	for (int i = 0; s->gate && i < WORKERS; i++) {
		raw_set(&s->gate->open, 1); /* wakes one each time */
	}
}

static void drop_gate(struct state *s)
{
	if (s->gate) {
		(void)munmap(s->gate, sizeof(*s->gate));
		s->gate = NULL;
	}
}

static void teardown(struct bench *b)
{
	struct state *s = b->state;

	if (!s) {
		return;
	}
	raw_peer_stop(&s->peer);
	open_gate(s);
	drop_gate(s);
	if (s->started) {
		mob_shutdown();
	}
	free(s->refs);
	free(s->values);
	free(s);
}

/* A get that failed. */
static int failed(struct bench *b)
{
	return bench_fail(b, "%s", mob_error());
}

/* ---- one task at a time ---- */

static int sync_n(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t t = bench_now();
		int32_t x;

		if (mob_take(mob_submit(bench_empty), &x)) {
			return failed(b);
		}
		if (i >= n / 10) {
			bench_sample(b, bench_now() - t);
		}
	}
	return 0;
}

static int sync_parked(struct bench *b, double *out_value)
{
	(void)out_value;
	return sync_n(b, bench_n(b, SYNCS));
}

static int sync_hot(struct bench *b, double *out_value)
{
	(void)out_value;
	return sync_n(b, bench_n(b, SYNCS_HOT));
}

static int raw_parked(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	(void)out_value;
	return raw_ping_pong(b, &s->peer, false, (uint32_t)bench_n(b, SYNCS));
}

static int raw_spinning(struct bench *b, double *out_value)
{
	struct state *s = b->state;

	(void)out_value;
	return raw_ping_pong(b, &s->peer, true,
			     (uint32_t)bench_n(b, SYNCS_HOT));
}

/* ---- many tasks ---- */

static int take_all(struct bench *b, size_t n)
{
	struct state *s = b->state;

	for (size_t i = 0; i < n; i++) {
		int32_t x;

		if (mob_take(s->refs[i], &x)) {
			return failed(b);
		}
	}
	return 0;
}

static void submit_all(struct bench *b, size_t n)
{
	struct state *s = b->state;

	for (size_t i = 0; i < n; i++) {
		s->refs[i] = mob_submit(bench_empty);
	}
}

static int async(struct bench *b, double *out_value)
{
	size_t n = (size_t)bench_n(b, ASYNC);
	uint64_t t = bench_now();
	int rc;

	submit_all(b, n);
	rc = take_all(b, n);
	*out_value = (double)(bench_now() - t) / (double)n;
	return rc;
}

static int setup_queued(struct bench *b)
{
	return state_new(b) ? start(b, QUEUED) : -1;
}

/* Sends every worker into the gate. Its name is gone when they are inside, so
 * that nothing is left behind whatever happens. */
static int close_gate(struct bench *b, struct mob_ref busy[WORKERS])
{
	struct state *s = b->state;
	char name[64];

	(void)snprintf(name, sizeof(name), "/mob-bench-%ld", (long)getpid());
	s->gate = gate_map(name, O_CREAT | O_EXCL);
	if (!s->gate) {
		return bench_fail(b, "%s: %s", name, strerror(errno));
	}
	for (int i = 0; i < WORKERS; i++) {
		busy[i] = mob_submit(bench_gate, name);
	}
	while (atomic_load(&s->gate->inside) < WORKERS) {
		(void)sched_yield();
	}
	(void)shm_unlink(name);
	return 0;
}

/* Both workers are kept busy while all are submitted; then they run. */
static int queued(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	size_t n = (size_t)bench_n(b, QUEUED);
	struct mob_ref busy[WORKERS] = { { 0, 0 } };
	uint64_t t;
	int rc = 0;

	if (close_gate(b, busy)) {
		return -1;
	}
	submit_all(b, n);
	t = bench_now();
	open_gate(s);
	rc = take_all(b, n);
	*out_value = (double)(bench_now() - t) / (double)n;
	for (int i = 0; i < WORKERS && !rc; i++) {
		int32_t x;

		rc = mob_take(busy[i], &x) ? failed(b) : 0;
	}
	drop_gate(s);
	return rc;
}

static int waited(struct bench *b, double *out_value)
{
	size_t n = (size_t)bench_n(b, WAITED);
	struct mob_queue *q;
	uint64_t t;
	int rc = mob_queue_open(&q);

	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_queue_open");
	}
	t = bench_now();
	for (size_t i = 0; i < n && rc >= 0; i++) {
		rc = mob_queue_add(q, mob_submit(bench_empty), i);
	}
	for (size_t i = 0; i < n && rc >= 0; i++) {
		struct mob_ref ref;
		int32_t x;

		rc = mob_queue_pop(q, MOB_FOREVER, &ref, NULL);
		if (rc > 0) {
			rc = mob_take(ref, &x);
		}
	}
	*out_value = (double)(bench_now() - t);
	mob_queue_close(q);
	return rc < 0 ? bench_fail_rc(b, rc, "mob_queue") : 0;
}

/* ---- wide tasks ---- */

static int setup_args(struct bench *b)
{
	struct state *s = state_new(b);

	if (!s || start(b, ARGS)) {
		return -1;
	}
	for (size_t i = 0; i < ARGS; i++) {
		s->refs[i] = mob_put((int64_t)i);
	}
	return 0;
}

static int args(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint64_t t = bench_now();
	int64_t sum;

	if (mob_take(mob_submit(bench_sum, mob_args_of(s->refs, ARGS)), &sum)) {
		return failed(b);
	}
	*out_value = (double)(bench_now() - t);
	if (sum != (int64_t)ARGS * (ARGS - 1) / 2) {
		return bench_fail(b, "the sum is wrong");
	}
	return 0;
}

static int setup_returns(struct bench *b)
{
	return state_new(b) ? start(b, RETURNS) : -1;
}

static int returns(struct bench *b, double *out_value)
{
	struct state *s = b->state;
	uint64_t t = bench_now();

	/* A failure is in the refs. */
	(void)mob_submit_n(s->refs, RETURNS, bench_many);
	for (size_t i = 0; i < RETURNS; i++) {
		int64_t x;

		if (mob_take(s->refs[i], &x)) {
			return failed(b);
		}
		if (x != (int64_t)i) {
			return bench_fail(b, "return %zu is wrong", i);
		}
	}
	*out_value = (double)(bench_now() - t);
	return 0;
}

static int nested(struct bench *b, double *out_value)
{
	uint64_t t = bench_now();
	int32_t depth;

	if (mob_take(mob_submit(bench_nested, DEPTH), &depth)) {
		return failed(b);
	}
	*out_value = (double)(bench_now() - t);
	return depth == DEPTH ? 0 : bench_fail(b, "the result is wrong");
}

/* ---- granularity ---- */

static const double metg_us[] = { 512, 128, 32,  16,   8,   5.6,  4,   2.8,
				  2,   1.4, 1.0, 0.71, 0.5, 0.35, 0.25 };
#define METG_STEPS (sizeof(metg_us) / sizeof(metg_us[0]))
/* Work of both workers together at one step. */
#define METG_WORK_NS 40e6

/* Part of the processors' time that n tasks of ns each use; negative if one
 * failed. */
static double efficiency(struct bench *b, double ns)
{
	struct state *s = b->state;
	size_t n = (size_t)bench_n(b, (uint64_t)(METG_WORK_NS / ns));
	uint64_t t = bench_now();

	n = n > s->n_refs ? s->n_refs : n;
	for (size_t i = 0; i < n; i++) {
		s->refs[i] = mob_submit(bench_spin, (int64_t)ns);
	}
	if (mob_get_all(s->refs, n, s->values)) {
		(void)failed(b);
		return -1;
	}
	t = bench_now() - t;
	for (size_t i = 0; i < n; i++) {
		(void)mob_release(s->refs[i]);
	}
	return (double)n * ns / (WORKERS * (double)t);
}

static int setup_metg(struct bench *b)
{
	return state_new(b) ? start(b, (size_t)(METG_WORK_NS / 250)) : -1;
}

/* The shortest task at which half of the time is work, between two steps. */
static int metg(struct bench *b, double *out_value)
{
	double longer = 0;
	double longer_e = 1;

	*out_value = 0;
	if (b->last) {
		bench_note(b, "task.metg curve:");
	}
	for (size_t i = 0; i < METG_STEPS; i++) {
		double ns = metg_us[i] * 1e3;
		double e = efficiency(b, ns);

		if (e < 0) {
			return -1;
		}
		if (b->last) {
			bench_note(b, " %g us %.0f %%%s", metg_us[i], e * 100,
				   i + 1 < METG_STEPS ? "," : "");
		}
		if (e < 0.5 && *out_value <= 0) {
			double part = (longer_e - 0.5) / (longer_e - e);

			*out_value = longer > 0 ?
					     longer * pow(ns / longer, part) :
					     ns;
		}
		longer = ns;
		longer_e = e;
	}
	if (*out_value <= 0) {
		*out_value = longer; /* every step was above a half */
	}
	return 0;
}

/* ---- start and memory ---- */

/* In a child: the time from mob_init to the first result. */
static void first_result(uint64_t *out_ns)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	uint64_t t = bench_now();
	int32_t x;

	opts.workers = WORKERS;
	if (mob_init(&opts) < 0 || mob_take(mob_submit(bench_empty), &x)) {
		_exit(1);
	}
	*out_ns = bench_now() - t;
	mob_shutdown();
	_exit(0);
}

static int session_start(struct bench *b, double *out_value)
{
	uint64_t *ns = mmap(NULL, sizeof(*ns), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;

	(void)out_value;
	if (ns == MAP_FAILED) {
		return bench_fail(b, "mmap: %s", strerror(errno));
	}
	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			first_result(ns);
		}
		if (pid < 0) {
			(void)munmap(ns, sizeof(*ns));
			return bench_fail(b, "fork: %s", strerror(errno));
		}
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
		}
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
			(void)munmap(ns, sizeof(*ns));
			return bench_fail(b, "a session did not start");
		}
		bench_sample(b, *ns);
	}
	(void)munmap(ns, sizeof(*ns));
	return 0;
}

static int raw_start(struct bench *b, double *out_value)
{
	(void)out_value;
	return raw_fork_exec(b, 3);
}

static int memory(struct bench *b, double *out_value)
{
	struct bench_workers w;
	unsigned threads = 0;

	/* Idle after work, not fresh from the start. */
	submit_all(b, 1000);
	if (take_all(b, 1000) || bench_workers_idle(b, &w)) {
		return -1;
	}
	*out_value = 0;
	for (uint32_t i = 0; i < w.n; i++) {
		double mib = bench_private_mib(w.pid[i], w.path);

		if (mib < 0) {
			return bench_fail(b, "/proc/%u/smaps: %s", w.pid[i],
					  strerror(errno));
		}
		*out_value = mib > *out_value ? mib : *out_value;
		if (bench_threads(w.pid[i]) > threads) {
			threads = bench_threads(w.pid[i]);
		}
	}
	if (b->last) {
		bench_note(b,
			   "worker.memory: %u threads a worker, at most 1 "
			   "is wanted",
			   threads);
	}
	return 0;
}

const struct bench_case bench_task_cases[] = {
	{ "task.sync", "futex ping-pong", BENCH_NS, BENCH_ON_RATIO, 1.8,
	  setup_sync, sync_parked, raw_parked, teardown, 0 },
	{ "task.sync_hot", "spinning ping-pong", BENCH_NS, BENCH_ON_RATIO, 6,
	  setup_sync_hot, sync_hot, raw_spinning, teardown, 0 },
	{ "task.async", NULL, BENCH_NS, BENCH_ON_VALUE, 1e3, setup_async, async,
	  NULL, teardown, 0 },
	{ "task.queued_1m", "task.async", BENCH_NS, BENCH_ON_RATIO, 1.5,
	  setup_queued, queued, async, teardown, 0 },
	{ "task.wait_1k", NULL, BENCH_NS, BENCH_ON_VALUE, 2e6, setup_async,
	  waited, NULL, teardown, 0 },
	{ "task.args_10k", NULL, BENCH_NS, BENCH_ON_VALUE, 10e6, setup_args,
	  args, NULL, teardown, 0 },
	{ "task.returns_3k", NULL, BENCH_NS, BENCH_ON_VALUE, 5e6, setup_returns,
	  returns, NULL, teardown, 0 },
	{ "task.nested_10", NULL, BENCH_NS, BENCH_ON_VALUE, 20e6, setup_async,
	  nested, NULL, teardown, 0 },
	{ "task.spilled", "not read ahead", BENCH_NS, BENCH_ON_RATIO, 0.9,
	  bench_ahead_setup, bench_ahead, bench_ahead_raw, bench_ahead_teardown,
	  0 },
	{ "task.spilled_chain", "not read ahead", BENCH_NS, BENCH_ON_RATIO, 0.9,
	  bench_ahead_setup, bench_ahead_chain, bench_ahead_chain_raw,
	  bench_ahead_teardown, 0 },
	{ "task.metg", NULL, BENCH_NS, BENCH_ON_VALUE, 3e3, setup_metg, metg,
	  NULL, teardown, 0 },
	{ "session.start", "fork + exec", BENCH_NS, BENCH_ON_VALUE, 30e6, NULL,
	  session_start, raw_start, NULL, 0 },
	{ "worker.memory", NULL, BENCH_MIB, BENCH_ON_VALUE, 3, setup_async,
	  memory, NULL, teardown, 0 },
	{ 0 },
};
