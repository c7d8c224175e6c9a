/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cases of `mob bench task`. Each starts a private session of two workers,
 * which are `mob` started again; the raw primitive's second process is forked
 * before.
 */
#define _GNU_SOURCE
#include "bench.h"
#include "bench_ahead.h"
#include "bench_grain.h"
#include "bench_graph.h"
#include "bench_map.h"
#include "bench_proc.h"
#include "bench_raw.h"
#include "bench_record.h"
#include "bench_replay.h"
#include "bench_session.h"
#include "bench_stream.h"

#include <mobula/mobula.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define QUEUED 1000000u
#define WAITED 1000u
#define ARGS 10000u
#define RETURNS 3000u

/* ---- tasks ---- */

MOB_TASK(int32_t, bench_spin, int64_t, ns)
{
	bench_spin_for((uint64_t)ns);
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

/* ---- setup and teardown ---- */

static int setup_async(struct bench *b)
{
	return bench_session_new(b) ? bench_session_start(b, BENCH_ASYNC) : -1;
}

/* For cases that compare with a second process; spin as text, NULL: default. */
static int setup_sync_as(struct bench *b, const char *spin_ns)
{
	struct bench_session *s = bench_session_new(b);
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
	if (bench_session_start(b, 0) || bench_workers_idle(b, &workers)) {
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

/* ---- one task at a time ---- */

static int sync_n(struct bench *b, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		uint64_t t = bench_now();
		int32_t x;

		if (mob_take(bench_submit_one(), &x)) {
			return bench_get_failed(b);
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
	return sync_n(b, bench_n(b, BENCH_SYNCS));
}

static int sync_hot(struct bench *b, double *out_value)
{
	(void)out_value;
	return sync_n(b, bench_n(b, BENCH_SYNCS_HOT));
}

static int raw_parked(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;

	(void)out_value;
	return raw_ping_pong(b, &s->peer, false,
			     (uint32_t)bench_n(b, BENCH_SYNCS));
}

static int raw_spinning(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;

	(void)out_value;
	return raw_ping_pong(b, &s->peer, true,
			     (uint32_t)bench_n(b, BENCH_SYNCS_HOT));
}

/* ---- many tasks ---- */

static int async(struct bench *b, double *out_value)
{
	size_t n = (size_t)bench_n(b, BENCH_ASYNC);
	uint64_t t = bench_now();
	int rc;

	bench_submit_empty(b, n);
	rc = bench_take_all(b, n);
	*out_value = (double)(bench_now() - t) / (double)n;
	return rc;
}

static int setup_queued(struct bench *b)
{
	return bench_session_new(b) ? bench_session_start(b, QUEUED) : -1;
}

/* Both workers are kept busy while all are submitted; then they run. */
static int queued(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;
	size_t n = (size_t)bench_n(b, QUEUED);
	struct mob_ref busy[BENCH_WORKERS] = { { 0, 0 } };
	uint64_t t;
	int rc = 0;

	if (bench_gate_close(b, busy)) {
		return -1;
	}
	bench_submit_empty(b, n);
	t = bench_now();
	bench_gate_open(s);
	rc = bench_take_all(b, n);
	*out_value = (double)(bench_now() - t) / (double)n;
	return rc ? rc : bench_gate_drop(b, busy);
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
		rc = mob_queue_add(q, bench_submit_one(), i);
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
	struct bench_session *s = bench_session_new(b);

	if (!s || bench_session_start(b, ARGS)) {
		return -1;
	}
	for (size_t i = 0; i < ARGS; i++) {
		s->refs[i] = mob_put((int64_t)i);
	}
	return 0;
}

static int args(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;
	uint64_t t = bench_now();
	int64_t sum;

	if (mob_take(mob_submit(bench_sum, mob_args_of(s->refs, ARGS)), &sum)) {
		return bench_get_failed(b);
	}
	*out_value = (double)(bench_now() - t);
	if (sum != (int64_t)ARGS * (ARGS - 1) / 2) {
		return bench_fail(b, "the sum is wrong");
	}
	return 0;
}

static int setup_returns(struct bench *b)
{
	return bench_session_new(b) ? bench_session_start(b, RETURNS) : -1;
}

static int returns(struct bench *b, double *out_value)
{
	struct bench_session *s = b->state;
	uint64_t t = bench_now();

	/* A failure is in the refs. */
	(void)mob_submit_n(s->refs, RETURNS, bench_many);
	for (size_t i = 0; i < RETURNS; i++) {
		int64_t x;

		if (mob_take(s->refs[i], &x)) {
			return bench_get_failed(b);
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

	if (mob_take(mob_submit(bench_nested, BENCH_NESTED), &depth)) {
		return bench_get_failed(b);
	}
	*out_value = (double)(bench_now() - t);
	return depth == BENCH_NESTED ? 0 : bench_fail(b, "the result is wrong");
}

/* ---- granularity ---- */

static int setup_metg(struct bench *b)
{
	return bench_session_new(b) ? bench_session_start(b, BENCH_METG_TASKS) :
				      -1;
}

static uint64_t spin_all(struct bench *b, size_t n, uint64_t ns)
{
	struct bench_session *s = b->state;
	uint64_t t = bench_now();

	for (size_t i = 0; i < n; i++) {
		s->refs[i] = mob_submit(bench_spin, (int64_t)ns);
	}
	if (mob_get_all(s->refs, n, s->values)) {
		(void)bench_get_failed(b);
		return 0;
	}
	t = bench_now() - t;
	for (size_t i = 0; i < n; i++) {
		(void)mob_release(s->refs[i]);
	}
	return t;
}

static int metg(struct bench *b, double *out_value)
{
	return bench_metg(b, spin_all, out_value);
}

/* ---- start and memory ---- */

/* In a child: the time from mob_init to the first result. */
static void first_result(uint64_t *out_ns)
{
	struct mob_init_opts opts = MOB_INIT_OPTS_INIT;
	uint64_t t = bench_now();
	int32_t x;

	opts.workers = BENCH_WORKERS;
	if (mob_init(&opts) < 0 || mob_take(bench_submit_one(), &x)) {
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
	bench_submit_empty(b, 1000);
	if (bench_take_all(b, 1000) || bench_workers_idle(b, &w)) {
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
	{ "task.sync", "futex ping-pong", BENCH_NS, BENCH_ON_RATIO, 1.5,
	  setup_sync, sync_parked, raw_parked, bench_session_end, 0 },
	{ "task.sync_hot", "spinning ping-pong", BENCH_NS, BENCH_ON_RATIO, 4,
	  setup_sync_hot, sync_hot, raw_spinning, bench_session_end, 0 },
	{ "task.async", NULL, BENCH_NS, BENCH_ON_VALUE, 700, setup_async, async,
	  NULL, bench_session_end, 0 },
	{ "task.queued_1m", "task.async", BENCH_NS, BENCH_ON_RATIO, 1.2,
	  setup_queued, queued, async, bench_session_end, 0 },
	{ "task.wait_1k", NULL, BENCH_NS, BENCH_ON_VALUE, 1e6, setup_async,
	  waited, NULL, bench_session_end, 0 },
	{ "task.args_10k", NULL, BENCH_NS, BENCH_ON_VALUE, 5e6, setup_args,
	  args, NULL, bench_session_end, 0 },
	{ "task.returns_3k", NULL, BENCH_NS, BENCH_ON_VALUE, 2e6, setup_returns,
	  returns, NULL, bench_session_end, 0 },
	{ "task.nested_10", NULL, BENCH_NS, BENCH_ON_VALUE, 5e6, setup_async,
	  nested, NULL, bench_session_end, 0 },
	{ "task.spilled", "not read ahead", BENCH_NS, BENCH_ON_RATIO, 0.9,
	  bench_ahead_setup, bench_ahead, bench_ahead_raw, bench_ahead_teardown,
	  0 },
	{ "task.spilled_chain", "not read ahead", BENCH_NS, BENCH_ON_RATIO, 0.9,
	  bench_ahead_setup, bench_ahead_chain, bench_ahead_chain_raw,
	  bench_ahead_teardown, 0 },
	{ "task.spilled_fan_in", "not read ahead", BENCH_NS, BENCH_ON_RATIO,
	  1.5, bench_ahead_setup, bench_ahead_fan_in, bench_ahead_fan_in_raw,
	  bench_ahead_teardown, 0 },
	{ "task.chain", NULL, BENCH_NS, BENCH_ON_VALUE, 1e3, bench_graph_setup,
	  bench_chain, NULL, bench_session_end, 0 },
	{ "task.fanout_tree", NULL, BENCH_NS, BENCH_ON_VALUE, 2e3,
	  bench_graph_setup, bench_fanout, NULL, bench_session_end, 0 },
	{ "task.cancel_100k", NULL, BENCH_NS, BENCH_ON_VALUE, 50e6,
	  bench_graph_setup, bench_cancel, NULL, bench_session_end, 0 },
	{ "task.retry_storm", "plain tasks", BENCH_NS, BENCH_ON_RATIO, 3,
	  bench_graph_setup, bench_storm, bench_storm_raw, bench_session_end,
	  0 },
	{ "task.stream", NULL, BENCH_RATE, BENCH_ON_VALUE, 1e6, setup_async,
	  bench_stream, NULL, bench_session_end, 0 },
	{ "task.stream_task", NULL, BENCH_RATE, BENCH_ON_VALUE, 1e6,
	  setup_async, bench_stream_task, NULL, bench_session_end, 0 },
	{ "task.record_overhead", "not recorded", BENCH_NS, BENCH_ON_RATIO,
	  1.05, bench_record_setup, bench_record_on, bench_record_off,
	  bench_record_teardown, 0 },
	{ "task.map_1m", "a task each", BENCH_NS, BENCH_ON_RATIO, 0.5,
	  bench_map_setup, bench_map, bench_map_raw, bench_map_teardown, 0 },
	{ "task.fold_1m", "a task each", BENCH_NS, BENCH_ON_RATIO, 0.5,
	  bench_map_setup, bench_fold, bench_map_raw, bench_map_teardown, 0 },
	{ "task.for_1us", "half the turns", BENCH_NS, BENCH_ON_RATIO, 1.2,
	  bench_graph_setup, bench_for, bench_for_raw, bench_session_end, 0 },
	{ "task.replay", "a task each", BENCH_NS, BENCH_ON_VALUE, 300,
	  bench_replay_setup, bench_replay, bench_replay_raw,
	  bench_replay_teardown, 0 },
	{ "task.channel", "run by run", BENCH_NS, BENCH_ON_RATIO, 1,
	  bench_channel_setup, bench_channel, bench_channel_raw,
	  bench_replay_teardown, 0 },
	{ "task.metg", NULL, BENCH_NS, BENCH_ON_VALUE, 1.5e3, setup_metg, metg,
	  NULL, bench_session_end, 0 },
	{ "session.start", "fork + exec", BENCH_NS, BENCH_ON_VALUE, 20e6, NULL,
	  session_start, raw_start, NULL, 0 },
	{ "worker.memory", NULL, BENCH_MIB, BENCH_ON_VALUE, 3, setup_async,
	  memory, NULL, bench_session_end, 0 },
	{ 0 },
};
