/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A graph that is recorded once and replayed: layers of tasks, each of which adds up
 * three results of the layer before, beside the same tasks submitted each time. And a
 * chain of stages with a state that a channel brings from run to run, several runs in
 * flight, beside the same with the state in the hands of the driver.
 */
#include "bench_replay.h"

#include "bench_session.h"

#include <mobula/mobula.h>

#include <string.h>

#define LAYERS 10u
#define WIDTH 100u
#define TASKS UINT64_C(1000) /* LAYERS * WIDTH */
#define REPLAYS 100u

MOB_TASK(uint64_t, bench_of_three, uint64_t, a, uint64_t, b, uint64_t, c)
{
	return a + b + c;
}

/* Of the process of the case. */
static struct mob_graph *graph;
static struct mob_ref input;
static struct mob_ref last[WIDTH];

/* Which of the layer before is argument i of task n. */
static uint32_t of(uint32_t n, uint32_t i)
{
	return (n * 7 + i * 31 + n / WIDTH * 13) % WIDTH;
}

/* Submits all of it; out: the last layer. */
static void submit_all(struct mob_ref first, struct mob_ref *out, bool release)
{
	struct mob_ref layer[2][WIDTH];

	for (uint32_t n = 0; n < TASKS; n++) {
		const struct mob_ref *from = layer[(n / WIDTH + 1) % 2];
		struct mob_ref *to = &layer[n / WIDTH % 2][n % WIDTH];

		if (n >= 2 * WIDTH && release) {
			(void)mob_release(*to);
		}
		*to = n < WIDTH ? mob_submit(bench_of_three, first, n, 1) :
				  mob_submit(bench_of_three, from[of(n, 0)],
					     from[of(n, 1)], from[of(n, 2)]);
	}
	for (uint32_t i = 0; i < WIDTH && release; i++) {
		(void)mob_release(layer[LAYERS % 2][i]);
	}
	memcpy(out, layer[(LAYERS + 1) % 2], sizeof(layer[0]));
}

static uint64_t want(uint64_t x)
{
	uint64_t layer[2][WIDTH];
	uint64_t sum = 0;

	for (uint32_t n = 0; n < TASKS; n++) {
		const uint64_t *from = layer[(n / WIDTH + 1) % 2];

		layer[n / WIDTH % 2][n % WIDTH] =
			n < WIDTH ? x + n + 1 :
				    from[of(n, 0)] + from[of(n, 1)] +
					    from[of(n, 2)];
	}
	for (uint32_t i = 0; i < WIDTH; i++) {
		sum += layer[(LAYERS + 1) % 2][i];
	}
	return sum;
}

int bench_replay_setup(struct bench *b)
{
	struct bench_session *s = bench_session_new(b);
	int rc = s ? bench_session_start(b, WIDTH) : -1;

	if (rc) {
		return rc;
	}
	if (mob_capture_begin(&graph)) {
		return bench_get_failed(b);
	}
	input = mob_graph_input(uint64_t);
	submit_all(input, last, false);
	return mob_capture_end(graph) ? bench_get_failed(b) : 0;
}

void bench_replay_teardown(struct bench *b)
{
	mob_graph_close(graph);
	graph = NULL;
	bench_session_end(b);
}

int bench_replay(struct bench *b, double *out_value)
{
	uint64_t n = bench_n(b, REPLAYS);
	uint64_t t = bench_now();

	for (uint64_t x = 0; x < n; x++) {
		uint64_t sum = 0;

		if (mob_graph_set(graph, input, &x) || mob_graph_run(graph)) {
			return bench_get_failed(b);
		}
		for (uint32_t i = 0; i < WIDTH; i++) {
			uint64_t y;

			if (mob_graph_get(graph, last[i], &y)) {
				return bench_get_failed(b);
			}
			sum += y;
		}
		if (sum != want(x)) {
			return bench_fail(b, "replay %u gives another sum",
					  (unsigned)x);
		}
	}
	*out_value = (double)(bench_now() - t) / (double)(n * TASKS);
	return 0;
}

int bench_replay_raw(struct bench *b, double *out_value)
{
	uint64_t n = bench_n(b, REPLAYS) / 10 + 1;
	uint64_t t = bench_now();

	for (uint64_t x = 0; x < n; x++) {
		struct mob_ref first = mob_put(x);
		struct mob_ref refs[WIDTH];
		uint64_t sum = 0;

		submit_all(first, refs, true);
		for (uint32_t i = 0; i < WIDTH; i++) {
			uint64_t y;

			if (mob_take(refs[i], &y)) {
				return bench_get_failed(b);
			}
			sum += y;
		}
		(void)mob_release(first);
		if (sum != want(x)) {
			return bench_fail(b, "run %u gives another sum",
					  (unsigned)x);
		}
	}
	*out_value = (double)(bench_now() - t) / (double)(n * TASKS);
	return 0;
}

/* ---- stages with a state ---- */

#define STAGES 20u
#define CHANNEL_RUNS 2000u
#define AHEAD 8u

static struct mob_ref state;
static struct mob_ref result;

static int record_stages(struct bench *b, bool channel)
{
	if (mob_capture_begin(&graph)) {
		return bench_get_failed(b);
	}
	input = mob_graph_input(uint64_t);
	if (channel) {
		(void)mob_graph_window(graph, AHEAD);
		state = mob_graph_channel(uint64_t);
	} else {
		state = mob_graph_input(uint64_t);
	}
	result = input;
	for (uint32_t i = 0; i < STAGES - 1; i++) {
		result = mob_submit(bench_of_three, result, i, 1);
	}
	result = mob_submit(bench_of_three, result, state, 1);
	if (channel) {
		(void)mob_graph_write(state, result);
	}
	return mob_capture_end(graph) ? bench_get_failed(b) : 0;
}

/* What the state is after n runs. */
static uint64_t want_state(uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t x = 0; x < n; x++) {
		sum += x + (STAGES - 1) * (STAGES - 2) / 2 + STAGES;
	}
	return sum;
}

static int end_stages(struct bench *b, uint64_t sum, uint64_t n, uint64_t t,
		      double *out_value)
{
	*out_value = (double)(bench_now() - t) / (double)(n * STAGES);
	mob_graph_close(graph);
	graph = NULL;
	return sum == want_state(n) ?
		       0 :
		       bench_fail(b, "%u runs give another sum", (unsigned)n);
}

int bench_channel_setup(struct bench *b)
{
	struct bench_session *s = bench_session_new(b);

	return s ? bench_session_start(b, WIDTH) : -1;
}

int bench_channel(struct bench *b, double *out_value)
{
	uint64_t n = bench_n(b, CHANNEL_RUNS);
	uint64_t sum = 0;
	uint64_t t;

	if (record_stages(b, true) || mob_graph_set(graph, state, &sum)) {
		return bench_get_failed(b);
	}
	t = bench_now();
	for (uint64_t x = 0; x < n + AHEAD; x++) {
		if (x >= AHEAD && mob_graph_wait(graph, MOB_FOREVER)) {
			return bench_get_failed(b);
		}
		if (x < n && (mob_graph_set(graph, input, &x) ||
			      mob_graph_start(graph))) {
			return bench_get_failed(b);
		}
	}
	if (mob_graph_get(graph, result, &sum)) {
		return bench_get_failed(b);
	}
	return end_stages(b, sum, n, t, out_value);
}

int bench_channel_raw(struct bench *b, double *out_value)
{
	uint64_t n = bench_n(b, CHANNEL_RUNS);
	uint64_t sum = 0;
	uint64_t t;

	if (record_stages(b, false)) {
		return -1;
	}
	t = bench_now();
	for (uint64_t x = 0; x < n; x++) {
		if (mob_graph_set(graph, input, &x) ||
		    mob_graph_set(graph, state, &sum) || mob_graph_run(graph) ||
		    mob_graph_get(graph, result, &sum)) {
			return bench_get_failed(b);
		}
	}
	return end_stages(b, sum, n, t, out_value);
}
