/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `mob bench task` in libraries that run tasks in threads. */
#define _GNU_SOURCE
#include "tasks.h"

#include "bench_grain.h"
#include "peer.h"

#include <stdlib.h>
#include <string.h>

static const struct peer_tasks *ops;

/* A case at work, for what runs inside. */
struct job {
	struct bench *b;
	double *value;
	size_t n;
	uint64_t ns;
	int rc;
};

void peer_spin(uint64_t ns)
{
	bench_spin_for(ns);
}

static int setup(struct bench *b)
{
	b->state = calloc(BENCH_ASYNC, sizeof(int32_t));
	if (!b->state) {
		return bench_fail(b, "out of memory");
	}
	return ops->begin() ? 0 : bench_fail(b, "it does not start");
}

static void teardown(struct bench *b)
{
	ops->end();
	free(b->state);
}

static int run(struct bench *b, void (*body)(void *arg), double *out_value)
{
	struct job j = { .b = b, .value = out_value };

	ops->inside(body, &j);
	return j.rc;
}

/* ---- one task at a time ---- */

static void answer_asleep(void *word)
{
	raw_set(word, 1);
}

static void answer_hot(void *word)
{
	atomic_store((raw_word *)word, 1);
}

static void sync_n(struct job *j, uint32_t n, bool hot)
{
	static raw_word word;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t t = bench_now();

		atomic_store(&word, 0);
		ops->give(hot ? answer_hot : answer_asleep, &word);
		raw_wait_until(&word, 1, hot);
		if (i >= n / 10) {
			bench_sample(j->b, bench_now() - t);
		}
	}
}

static void sync_asleep_body(void *arg)
{
	struct job *j = arg;

	sync_n(j, (uint32_t)bench_n(j->b, BENCH_SYNCS), false);
}

static void sync_hot_body(void *arg)
{
	struct job *j = arg;

	sync_n(j, (uint32_t)bench_n(j->b, BENCH_SYNCS_HOT),
	       !ops->caller_sleeps);
}

static int sync_asleep(struct bench *b, double *out_value)
{
	return run(b, sync_asleep_body, out_value);
}

static int sync_hot(struct bench *b, double *out_value)
{
	return run(b, sync_hot_body, out_value);
}

/* ---- many ---- */

static void async_body(void *arg)
{
	struct job *j = arg;
	int32_t *out = j->b->state;
	size_t n = (size_t)bench_n(j->b, BENCH_ASYNC);
	uint64_t t;

	memset(out, 0, BENCH_ASYNC * sizeof(*out));
	t = bench_now();
	ops->empty(n, out);
	*j->value = (double)(bench_now() - t) / (double)n;
	for (size_t i = 0; i < n && !j->rc; i++) {
		if (out[i] != (int32_t)i) {
			j->rc = bench_fail(j->b, "task %zu did not run", i);
		}
	}
}

static int async(struct bench *b, double *out_value)
{
	return run(b, async_body, out_value);
}

static void spin_body(void *arg)
{
	struct job *j = arg;
	uint64_t t = bench_now();

	ops->spin(j->n, j->ns);
	*j->value = (double)(bench_now() - t);
}

static uint64_t spin_all(struct bench *b, size_t n, uint64_t ns)
{
	double took = 0;
	struct job j = { .b = b, .value = &took, .n = n, .ns = ns };

	ops->inside(spin_body, &j);
	return (uint64_t)took;
}

static int metg(struct bench *b, double *out_value)
{
	return bench_metg(b, spin_all, out_value);
}

/* ---- tasks that wait for tasks ---- */

static void count(struct job *j, int64_t got, int64_t want)
{
	if (got != want) {
		j->rc = bench_fail(j->b, "%lld tasks instead of %lld",
				   (long long)got, (long long)want);
	}
}

static void nested_body(void *arg)
{
	struct job *j = arg;
	uint64_t t = bench_now();
	int64_t got = ops->nested(BENCH_NESTED);

	*j->value = (double)(bench_now() - t);
	count(j, got, BENCH_NESTED);
}

static int nested(struct bench *b, double *out_value)
{
	return run(b, nested_body, out_value);
}

static void tree_body(void *arg)
{
	struct job *j = arg;
	int32_t depth = j->b->quick ? BENCH_TREE_QUICK : BENCH_TREE;
	int64_t n = BENCH_TREE_TASKS(depth);
	uint64_t t = bench_now();
	int64_t got = ops->tree(depth);

	*j->value = (double)(bench_now() - t) / (double)n;
	count(j, got, n);
}

static int tree(struct bench *b, double *out_value)
{
	return run(b, tree_body, out_value);
}

static void chain_body(void *arg)
{
	struct job *j = arg;
	int32_t n = (int32_t)bench_n(j->b, BENCH_CHAIN);
	uint64_t ns = 0;
	int64_t got = ops->chain(n, &ns);

	*j->value = (double)ns / n;
	count(j, got, n);
}

static int chain(struct bench *b, double *out_value)
{
	return run(b, chain_body, out_value);
}

/* ---- the table ---- */

#define CASE(name_, fn_)                                                       \
	((struct bench_case){ .name = "task." name_,                           \
			      .unit = BENCH_NS,                                \
			      .reach = BENCH_ON_VALUE,                         \
			      .setup = setup,                                  \
			      .ours = (fn_),                                   \
			      .teardown = teardown })

int peer_tasks_main(int argc, char **argv, const struct peer_tasks *peer)
{
	static struct bench_case cases[8];
	size_t n = 0;

	ops = peer;
	if (peer->sleeps) {
		cases[n] = CASE("sync", sync_asleep);
		return peer_main(argc, argv, cases);
	}
	if (peer->give) {
		cases[n++] = CASE("sync_hot", sync_hot);
	}
	cases[n++] = CASE("async", async);
	if (peer->nested) {
		cases[n++] = CASE("nested_10", nested);
	}
	if (peer->chain) {
		cases[n++] = CASE("chain", chain);
	}
	if (peer->tree) {
		cases[n++] = CASE("fanout_tree", tree);
	}
	cases[n] = CASE("metg", metg);
	return peer_main(argc, argv, cases);
}
