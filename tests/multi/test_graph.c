/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graphs that are recorded once and replayed: against the same graphs in plain C,
 * each node once in each run, all kinds of arguments, errors of nodes, and calls of
 * the library that make no sense.
 */
#include "live.h"

#include "graph.h"
#include "os_clock.h"
#include "os_run.h"

#include <stdlib.h>
#include <string.h>

#define WORDS 4096
static struct live_ledger ledger;

struct pair {
	uint64_t a;
	uint32_t b;
	uint32_t c[3];
};
MOB_STRUCT(pair);

MOB_TASK(uint64_t, g_mix, uint64_t, a, uint64_t, b)
{
	return (a ^ (b << 7 | b >> 57)) * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

MOB_TASK(uint64_t, g_seed, uint64_t, a)
{
	return a * 3 + 7;
}

MOB_TASK_N(g_two, (uint64_t, x, uint32_t, y), uint64_t, a, uint32_t, b)
{
	*x = a + b;
	*y = (uint32_t)(a >> 32) ^ b;
}

MOB_TASK(pair, g_pair, uint64_t, a, uint32_t, b, pair, p)
{
	struct pair out = { a + p.a, b ^ p.b, { b, p.c[0], p.c[1] } };

	return out;
}

MOB_TASK(uint64_t, g_fold, pair, p, uint64_t, a, uint64_t, b, uint64_t, c,
	 uint64_t, d, uint64_t, e, uint64_t, f, uint32_t, g)
{
	return p.a + p.b + p.c[0] + p.c[1] * 3 + p.c[2] * 5 + a * 7 + b * 11 +
	       c * 13 + d * 17 + e * 19 + f * 23 + g;
}

MOB_TASK(int64_t, g_count, mob_str, path, int64_t, i, int64_t, before)
{
	(void)live_ledger_add(path, (uint64_t)i);
	return before + 1;
}

/* The same, after a while. */
MOB_TASK(int64_t, g_takes, mob_str, path, int64_t, i, int64_t, ns, int64_t,
	 before)
{
	uint64_t end = mobi_now_ns() + (uint64_t)ns;

	while (mobi_now_ns() < end) {
	}
	(void)live_ledger_add(path, (uint64_t)i);
	return before + 1;
}

MOB_TASK(int64_t, g_fails_at, int64_t, x, int64_t, bad)
{
	if (x == bad) {
		mob_fail(42, "cannot do %d", (int)x);
	}
	return x * 2;
}

MOB_TASK(void, g_nothing, mob_str, path, int64_t, x)
{
	(void)live_ledger_add(path, (uint64_t)x);
}

MOB_TASK(double, g_sum, mob_f64s, v, mob_str, name, double, more)
{
	double sum = more + (double)strlen(name);

	for (size_t i = 0; i < v.n; i++) {
		sum += v.at[i];
	}
	return sum;
}

MOB_TASK(int64_t, g_reads_ref, mob_ref, r)
{
	int64_t x;

	(void)mob_get(r, &x);
	return x;
}

MOB_TASK(int64_t, g_tree, int64_t, depth)
{
	int64_t a = 0;
	int64_t b = 0;

	if (depth > 0) {
		mob_ref l = mob_submit(g_tree, depth - 1);
		mob_ref r = mob_submit(g_tree, depth - 1);

		(void)mob_get(l, &a);
		(void)mob_get(r, &b);
	}
	return a + b + 1;
}

/* Until as many as this have come. */
MOB_TASK(int64_t, g_meet, mob_str, path, int64_t, n, int64_t, before)
{
	(void)live_ledger_add(path, 0);
	while (live_ledger_get(path, 0) < (uint64_t)n &&
	       !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return before;
}

MOB_TASK(int64_t, g_slow, mob_str, path, int64_t, x)
{
	while (!live_ledger_get(path, 1) && !mob_task_cancelled()) {
		mobi_pause_ns(MOB_MS / 5);
	}
	return x;
}

MOB_TASK(mob_str, g_text, int64_t, x)
{
	(void)x;
	return "text";
}

MOB_TASK_STREAM(int64_t, g_yields, int64_t, x)
{
	mob_yield(x);
}

MOB_TASK(int64_t, g_list, mob_args, list)
{
	return (int64_t)list.n;
}

MOB_FUNCTION_TYPE(unary, uint64_t, uint64_t);
MOB_TASK(uint64_t, g_apply, unary, f, uint64_t, x)
{
	return f(x);
}

static struct mob_graph *begin(void)
{
	struct mob_graph *g;

	assert_int_equal(mob_capture_begin(&g), 0);
	return g;
}

static void run(struct mob_graph *g)
{
	if (mob_graph_run(g)) {
		fail_msg("mob_graph_run: %s", mob_error());
	}
}

/* ---- random graphs ---- */

#define NODES 60
#define INPUTS 4
#define VALUES (INPUTS + 2 * NODES)

/* What is known of a graph in plain C. */
struct model {
	struct {
		uint32_t what;
		uint32_t from[6]; /* of those before; beyond: constants */
		uint64_t given[6];
	} node[NODES];
	uint32_t n;
	struct mob_ref ref[NODES + INPUTS];
	struct mob_ref pair_ref[NODES + INPUTS]; /* of nodes that give one */
	struct mob_ref small[NODES + INPUTS];
	uint64_t value[NODES + INPUTS];
	struct pair pair[NODES + INPUTS];
	uint32_t low[NODES + INPUTS];
};

#define GIVEN UINT32_MAX

/* Argument i of node n, as a value or a ref. */
#define ARG(m, n, i)                                                           \
	((m)->node[n].from[i] == GIVEN ?                                       \
		 (struct mob_arg){ .value = &(m)->node[n].given[i] } :         \
		 (struct mob_arg){ .kind = MOB_ARG_REF,                        \
				   .ref = (m)->ref[(m)->node[n].from[i]] })

static void record_node(struct model *m, uint32_t n)
{
	static const struct pair none = { 1, 2, { 3, 4, 5 } };
	uint32_t at = n + INPUTS;
	uint32_t b = (uint32_t)m->node[n].given[0];
	struct mob_ref two[2];
	struct mob_arg args[8];
	struct mob_ref pair_ref;

	for (uint32_t i = 0; i < 6; i++) {
		args[i] = ARG(m, n, i);
	}
	switch (m->node[n].what) {
	case 0:
		assert_int_equal(mob_submit_raw(&g_mix_def, NULL, 2, args, 1,
						&m->ref[at]),
				 0);
		return;
	case 1:
		assert_int_equal(mob_submit_raw(&g_seed_def, NULL, 1, args, 1,
						&m->ref[at]),
				 0);
		return;
	case 2:
		args[1] = (struct mob_arg){ .value = &b };
		assert_int_equal(
			mob_submit_raw(&g_two_def, NULL, 2, args, 2, two), 0);
		m->ref[at] = two[0];
		m->small[at] = two[1];
		return;
	default:
		/* Two nodes: the second takes eight arguments. */
		args[1] = (struct mob_arg){ .value = &b };
		args[2] = (struct mob_arg){ .value = &none };
		assert_int_equal(mob_submit_raw(&g_pair_def, NULL, 3, args, 1,
						&pair_ref),
				 0);
		m->pair_ref[at] = pair_ref;
		args[0] = (struct mob_arg){ .kind = MOB_ARG_REF,
					    .ref = pair_ref };
		for (uint32_t i = 0; i < 6; i++) {
			args[1 + i] = ARG(m, n, i);
		}
		args[7] = (struct mob_arg){ .value = &b };
		assert_int_equal(mob_submit_raw(&g_fold_def, NULL, 8, args, 1,
						&m->ref[at]),
				 0);
	}
}

static void random_model(struct model *m, uint64_t *seed)
{
	memset(m, 0, sizeof(*m));
	m->n = 1 + (uint32_t)(live_random(seed) % NODES);
	for (uint32_t i = 0; i < INPUTS; i++) {
		m->ref[i] = mob_graph_input(uint64_t);
	}
	for (uint32_t n = 0; n < m->n; n++) {
		m->node[n].what = (uint32_t)(live_random(seed) % 4);
		for (uint32_t i = 0; i < 6; i++) {
			uint32_t some = n + INPUTS;
			uint64_t r = live_random(seed);

			/* Near ones, so that some graphs are deep. */
			some = r % 3 && some > 8 ? 8 : some;
			m->node[n].from[i] =
				r / 3 % 5 ? n + INPUTS - 1 -
						    (uint32_t)(r / 16 % some) :
					    GIVEN;
			m->node[n].given[i] = live_random(seed);
		}
		record_node(m, n);
	}
}

/* The same in plain C. */
static void compute(struct model *m)
{
	static const struct pair none = { 1, 2, { 3, 4, 5 } };

	for (uint32_t n = 0; n < m->n; n++) {
		uint32_t at = n + INPUTS;
		uint32_t b = (uint32_t)m->node[n].given[0];
		uint64_t v[6];

		for (uint32_t i = 0; i < 6; i++) {
			v[i] = m->node[n].from[i] == GIVEN ?
				       m->node[n].given[i] :
				       m->value[m->node[n].from[i]];
		}
		switch (m->node[n].what) {
		case 0:
			m->value[at] = g_mix(v[0], v[1]);
			break;
		case 1:
			m->value[at] = g_seed(v[0]);
			break;
		case 2:
			m->value[at] = v[0] + b;
			m->low[at] = (uint32_t)(v[0] >> 32) ^ b;
			break;
		default:
			m->pair[at] = g_pair(v[0], b, none);
			m->value[at] = g_fold(m->pair[at], v[0], v[1], v[2],
					      v[3], v[4], v[5], b);
		}
	}
}

static void compare(struct mob_graph *g, const struct model *m)
{
	for (uint32_t n = 0; n < m->n; n++) {
		uint32_t at = n + INPUTS;
		uint64_t x;
		uint32_t low;
		struct pair p;

		assert_int_equal(mob_graph_get(g, m->ref[at], &x), 0);
		assert_int_equal(x, m->value[at]);
		if (m->node[n].what == 2) {
			assert_int_equal(mob_graph_get(g, m->small[at], &low),
					 0);
			assert_int_equal(low, m->low[at]);
		} else if (m->node[n].what == 3) {
			assert_int_equal(mob_graph_get_as(pair, g,
							  m->pair_ref[at], &p),
					 0);
			assert_memory_equal(&p, &m->pair[at], sizeof(p));
		}
	}
}

static void test_graph_of_any_shape_is_as_in_plain_c(void **state)
{
	uint64_t graphs = test_count("MOB_TEST_GRAPHS", 2000 / LIVE_SLOW, 2000);
	uint64_t runs = test_count("MOB_TEST_RUNS", 4, 100);
	uint64_t seed = live_seed("graphs");
	struct model *m = malloc(sizeof(*m));

	(void)state;
	assert_non_null(m);
	for (uint64_t k = 0; k < graphs; k++) {
		struct mob_graph *g = begin();

		random_model(m, &seed);
		assert_int_equal(mob_capture_end(g), 0);
		for (uint64_t i = 0; i < runs; i++) {
			for (uint32_t n = 0; n < INPUTS; n++) {
				m->value[n] = live_random(&seed);
				assert_int_equal(mob_graph_set(g, m->ref[n],
							       &m->value[n]),
						 0);
			}
			run(g);
			compute(m);
			compare(g, m);
		}
		mob_graph_close(g);
	}
	free(m);
}

/* ---- each node once ---- */

/* Layers that need each other, so that many shapes of readiness come up. */
static void test_graph_calls_each_node_once_in_a_run(void **state)
{
	enum { LAYERS = 12, WIDTH = 80, RUNS = 30 };
	struct mob_graph *g;
	mob_ref r[LAYERS][WIDTH];
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	for (int k = 0; k < LAYERS; k++) {
		for (int i = 0; i < WIDTH; i++) {
			int64_t at = k * WIDTH + i;

			r[k][i] =
				k ? mob_submit(g_count, ledger.path, at,
					       r[k - 1][(i * 7 + k) % WIDTH]) :
				    mob_submit(g_count, ledger.path, at, 0);
		}
	}
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t run_i = 1; run_i <= RUNS; run_i++) {
		run(g);
		for (uint64_t i = 0; i < LAYERS * WIDTH; i++) {
			assert_int_equal(ledger.at[i], run_i);
		}
		for (int i = 0; i < WIDTH; i++) {
			assert_int_equal(mob_graph_get(g, r[LAYERS - 1][i], &x),
					 0);
			assert_int_equal(x, LAYERS);
		}
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* Nodes are taken out of the hand of one that is busy with another; it comes upon them
 * while they run, and after. */
static void test_graph_takes_nodes_from_a_runner_that_is_busy(void **state)
{
	enum { FAN = 60, RUNS = 20 };
	uint64_t seed = live_seed("busy");
	struct mob_graph *g;
	mob_ref first;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	first = mob_submit(g_fails_at, 1, -1);
	for (int64_t i = 0; i < FAN; i++) {
		int64_t ns = (int64_t)(live_random(&seed) % 400000);

		(void)mob_submit(g_takes, ledger.path, i, ns, first);
	}
	assert_int_equal(mob_capture_end(g), 0);
	for (uint64_t k = 1; k <= RUNS; k++) {
		run(g);
		for (uint64_t i = 0; i < FAN; i++) {
			assert_int_equal(ledger.at[i], k);
		}
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* Runs have numbers; after the last one nodes are as new. */
static void
test_graph_goes_on_when_the_numbers_of_runs_are_used_up(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	mob_ref out[100];

	(void)state;
	for (int i = 0; i < 100; i++) {
		out[i] = mob_submit(g_fails_at, i % 10 ? out[i - 1] : in, -1);
	}
	assert_int_equal(mob_capture_end(g), 0);
	g->run = UINT32_MAX - 3;
	mobi_graph_reset(g);
	for (int64_t x = 1; x < 8; x++) {
		int64_t y;

		assert_int_equal(mob_graph_set(g, in, &x), 0);
		run(g);
		assert_int_equal(mob_graph_get(g, out[99], &y), 0);
		assert_int_equal(y, x * 1024);
	}
	mob_graph_close(g);
}

/* ---- more than one worker ---- */

/* Both can run as soon as one node is done, and each waits for the other. */
static void test_graph_runs_nodes_at_the_same_time(void **state)
{
	struct mob_graph *g;
	mob_ref first;
	mob_ref a;
	mob_ref b;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	first = mob_submit(g_fails_at, 4, -1);
	a = mob_submit(g_meet, ledger.path, 2, first);
	b = mob_submit(g_meet, ledger.path, 2, first);
	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 20; i++) {
		ledger.at[0] = 0;
		run(g);
		assert_int_equal(mob_graph_get(g, a, &x), 0);
		assert_int_equal(x, 8);
		assert_int_equal(mob_graph_get(g, b, &x), 0);
		assert_int_equal(x, 8);
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* One of two workers is busy with something else for as long as the run takes. */
static void test_graph_does_not_wait_for_a_worker_that_is_busy(void **state)
{
	struct mob_graph *g;
	mob_ref busy;
	mob_ref out[50];
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	for (int i = 0; i < 50; i++) {
		out[i] = mob_submit(g_fails_at, i, -1);
	}
	assert_int_equal(mob_capture_end(g), 0);
	busy = mob_submit(g_slow, ledger.path, 3);
	for (int k = 0; k < 5; k++) {
		run(g);
		for (int i = 0; i < 50; i++) {
			assert_int_equal(mob_graph_get(g, out[i], &x), 0);
			assert_int_equal(x, i * 2);
		}
	}
	ledger.at[1] = 1;
	assert_int_equal(mob_get(busy, &x), 0);
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

/* ---- arguments ---- */

static void test_graph_takes_objects_and_values_of_any_size(void **state)
{
	double v[1000];
	struct mob_graph *g = NULL;
	mob_ref span;
	mob_ref later;
	mob_ref a;
	mob_ref b;
	mob_ref c;
	double sum = 0;
	double x;
	int64_t y;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	for (int i = 0; i < 1000; i++) {
		v[i] = i;
		sum += i;
	}
	MOB_SCOPE
	{
		span = mob_put(mob_f64s_of(v, 1000));
		later = mob_submit(g_slow, ledger.path, 5);
		g = begin();
		a = mob_submit(g_sum, span, "four", 1.0);
		b = mob_submit(g_sum, mob_f64s_of(v, 3), mob_put("seven.."), a);
		c = mob_submit(g_fails_at, later, -1);
		(void)mob_submit(g_reads_ref, later);
		(void)mob_submit(g_nothing, ledger.path, 7);
		assert_int_equal(mob_capture_end(g), 0);
	}
	/* The refs of the scope are gone: the graph has them. It waits for what is
	 * not there yet. */
	assert_int_equal(mob_graph_start(g), 0);
	assert_int_equal(mob_graph_wait(g, 20 * MOB_MS), MOB_E_TIMEOUT);
	assert_int_equal(ledger.at[7], 0);
	ledger.at[1] = 1;
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), 0);
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_equal(mob_graph_get(g, a, &x), 0);
		assert_true(x == sum + 5);
		assert_int_equal(mob_graph_get(g, b, &x), 0);
		assert_true(x == sum + 5 + 3 + 7);
		assert_int_equal(mob_graph_get(g, c, &y), 0);
		assert_int_equal(y, 10);
		assert_int_equal(ledger.at[7], i);
		run(g);
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static void test_graph_nodes_submit_and_wait(void **state)
{
	struct mob_graph *g = begin();
	mob_ref a = mob_submit(g_tree, 5);
	mob_ref b = mob_submit(g_tree, mob_submit(g_tree, 2));
	int64_t x;

	(void)state;
	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 5; i++) {
		run(g);
		assert_int_equal(mob_graph_get(g, a, &x), 0);
		assert_int_equal(x, 63);
		assert_int_equal(mob_graph_get(g, b, &x), 0);
		assert_int_equal(x, 255);
	}
	mob_graph_close(g);
}

/* A task may have a graph, too; and one without nodes has nothing to do. */
MOB_TASK(int64_t, g_has_graph, int64_t, x)
{
	struct mob_graph *g;
	mob_ref r;
	int64_t y = 0;

	if (mob_capture_begin(&g)) {
		return 0;
	}
	r = mob_submit(g_fails_at, mob_submit(g_fails_at, x, -1), -1);
	(void)mob_capture_end(g);
	for (int i = 0; i < 10; i++) {
		(void)mob_graph_run(g);
	}
	(void)mob_graph_get(g, r, &y);
	mob_graph_close(g);
	return y;
}

static void test_graph_in_a_task_and_an_empty_one(void **state)
{
	struct mob_graph *g = begin();
	int64_t x;

	(void)state;
	assert_int_equal(mob_capture_end(g), 0);
	run(g);
	run(g);
	mob_graph_close(g);
	mob_graph_close(NULL);
	assert_int_equal(mob_take(mob_submit(g_has_graph, 5), &x), 0);
	assert_int_equal(x, 20);
}

/* ---- errors ---- */

static void test_graph_error_of_a_node_ends_the_run(void **state)
{
	struct mob_graph *g;
	mob_ref in;
	mob_ref mid;
	mob_ref out;
	int64_t x;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	g = begin();
	in = mob_graph_input(int64_t);
	mid = mob_submit(g_fails_at, in, 4);
	out = mob_submit(g_count, ledger.path, 0, mid);
	assert_int_equal(mob_capture_end(g), 0);
	for (int64_t i = 0; i < 12; i++) {
		int64_t v = i % 6;

		ledger.at[0] = 0;
		assert_int_equal(mob_graph_set(g, in, &v), 0);
		if (v != 4) {
			run(g);
			assert_int_equal(mob_graph_get(g, out, &x), 0);
			assert_int_equal(x, v * 2 + 1);
			continue;
		}
		assert_int_equal(mob_graph_run(g), MOB_E_TASK);
		assert_int_equal(ledger.at[0], 0);
		assert_non_null(strstr(mob_error(), "g_fails_at"));
		live_pends(42, "cannot do 4");
		assert_int_equal(mob_graph_get(g, out, &x), MOB_E_STATE);
		live_pends(MOB_E_STATE, "last run has failed");
	}
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static void test_graph_error_of_an_object_is_that_of_the_run(void **state)
{
	mob_ref bad = mob_submit(g_fails_at, 3, 3);
	struct mob_graph *g = begin();

	(void)state;
	(void)mob_submit(g_fails_at, bad, -1);
	assert_int_equal(mob_capture_end(g), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mob_graph_run(g), MOB_E_TASK);
		live_pends(42, "cannot do 3");
	}
	mob_graph_close(g);
	/* Of the wrong type: only seen when it is there. */
	g = begin();
	(void)mob_submit(g_fails_at, mob_put(2.5), -1);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_run(g), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "double");
	mob_graph_close(g);
}

/* ---- bad input ---- */

/* The call is refused, and with it the capture. */
#define REFUSED(code, part, call)                                              \
	do {                                                                   \
		struct mob_graph *g_ = begin();                                \
		mob_ref in_ MOB_UNUSED = mob_graph_input(int64_t);             \
		mob_ref r_ = (call);                                           \
		assert_int_equal(mob_join(r_), code);                          \
		live_pends(code, part);                                        \
		assert_int_equal(mob_capture_end(g_), code);                   \
		live_pends(code, part);                                        \
		assert_int_equal(mob_graph_start(g_), MOB_E_STATE);            \
		live_pends(MOB_E_STATE, "capture of the graph has failed");    \
		mob_graph_close(g_);                                           \
	} while (0)

static void test_graph_bad_calls_are_refused_when_recorded(void **state)
{
	struct mob_graph *other = begin();
	mob_ref theirs = mob_graph_input(int64_t);
	mob_ref r;

	(void)state;
	assert_int_equal(mob_capture_end(other), 0);
	REFUSED(MOB_E_INVAL, "fixed size", mob_submit(g_text, 1));
	REFUSED(MOB_E_INVAL, "yields a stream", mob_submit(g_yields, 1));
	REFUSED(MOB_E_INVAL, "mob_args",
		mob_submit(g_list, mob_args_of(&in_, 1)));
	REFUSED(MOB_E_INVAL, "unary", mob_submit(g_apply, g_seed, 1));
	REFUSED(MOB_E_INVAL, "slice",
		mob_submit(g_sum, mob_slice(in_, 0, 1), "", 0));
	REFUSED(MOB_E_TYPE,
		"argument 1 of task g_sum: it is a mob_f64s, given a "
		"int64_t",
		mob_submit(g_sum, in_, "", 0));
	REFUSED(MOB_E_TYPE, "given a int64_t", mob_submit(g_seed, in_));
	REFUSED(MOB_E_BAD_REF, "of another capture",
		mob_submit(g_fails_at, theirs, 1));
	REFUSED(MOB_E_BAD_REF, "of a capture", mob_submit(g_reads_ref, in_));
	REFUSED(MOB_E_BAD_REF, "not one of session",
		mob_submit(g_fails_at, MOB_REF_NONE, 1));
	/* A node that would need itself: refs are of calls before only. */
	REFUSED(MOB_E_BAD_REF, "a graph has no cycles",
		(r = in_, r.lo++, mob_submit(g_fails_at, r, 1)));
	mob_graph_close(other);
}

static void test_graph_refs_of_a_capture_are_good_for_nothing_else(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	mob_ref out = mob_submit(g_fails_at, in, -1);
	struct mob_graph *second;
	int64_t x = 3;
	bool ready;

	(void)state;
	assert_int_equal(mob_get(out, &x), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "of a capture: use it in submits");
	assert_int_equal(mob_capture_begin(&second), MOB_E_STATE);
	live_pends(MOB_E_STATE, "records already");
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_capture_end first");
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_capture_end(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not record");
	assert_int_equal(mob_join(mob_submit(g_fails_at, in, -1)),
			 MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "of a capture");
	assert_int_equal(mob_wait(&out, 1, 1, 0, &ready), MOB_E_BAD_REF);
	mob_error_clear();
	assert_int_equal(mob_release(out), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "of a capture");
	assert_int_equal(mob_join(mob_graph_input(int64_t)), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not record");
	mob_graph_close(g);
	/* One that is given up while it records, and one of fixed size only. */
	g = begin();
	assert_int_equal(mob_join(mob_graph_input(mob_str)), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "no fixed size");
	(void)mob_submit(g_fails_at, mob_put(INT64_C(1)), 2);
	mob_graph_close(g);
	x = 0;
	assert_int_equal(mob_take(mob_submit(g_fails_at, 1, 2), &x), 0);
	assert_int_equal(x, 2);
}

static void test_graph_bad_sets_runs_and_gets_are_refused(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	mob_ref out;
	struct mob_graph *inner;
	int64_t x = 3;
	double d = 1;

	(void)state;
	live_ledger_open(&ledger, WORDS);
	out = mob_submit(g_slow, ledger.path, in);
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "input 1 (int64_t) of the graph was never set");
	assert_int_equal(mob_graph_set(g, in, &d), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "it is a int64_t, given a double");
	assert_int_equal(mob_graph_set(g, out, &x), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "only inputs and channels are set");
	assert_int_equal(mob_graph_set(g, mob_put(x), &x), MOB_E_BAD_REF);
	live_pends(MOB_E_BAD_REF, "not one of a capture");
	assert_int_equal(mob_graph_set(g, in, &x), 0);
	assert_int_equal(mob_graph_get(g, out, &d), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "given a double");
	assert_int_equal(mob_graph_get(g, out, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "has not run");
	assert_int_equal(x, 0);
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_STATE);
	live_pends(MOB_E_STATE, "does not run");
	inner = begin();
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "no part of a graph");
	mob_graph_close(inner);
	/* While it runs nothing of it changes. */
	assert_int_equal(mob_graph_start(g), 0);
	assert_int_equal(mob_graph_set(g, in, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "the graph runs");
	assert_int_equal(mob_graph_get(g, out, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "the graph runs");
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "the graph runs");
	assert_int_equal(mob_graph_wait(g, -5), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "timeout_ns is -5");
	assert_int_equal(mob_graph_wait(g, 0), MOB_E_TIMEOUT);
	ledger.at[1] = 1;
	assert_int_equal(mob_graph_wait(g, MOB_FOREVER), 0);
	assert_int_equal(mob_graph_get(g, out, &x), 0);
	assert_int_equal(x, 3);
	mob_graph_close(g);
	live_ledger_close(&ledger);
}

static void test_graph_of_a_session_that_has_ended(void **state)
{
	struct mob_graph *g = begin();
	mob_ref in = mob_graph_input(int64_t);
	int64_t x = 1;

	(void)state;
	(void)mob_submit(g_fails_at, in, -1);
	assert_int_equal(mob_capture_end(g), 0);
	mob_shutdown();
	live_start(2);
	assert_int_equal(mob_graph_set(g, in, &x), MOB_E_STATE);
	live_pends(MOB_E_STATE, "a session that has ended");
	assert_int_equal(mob_graph_start(g), MOB_E_STATE);
	live_pends(MOB_E_STATE, "a session that has ended");
	mob_graph_close(g);
	/* One that records when it ends. */
	g = begin();
	mob_shutdown();
	live_start(2);
	assert_int_equal(mob_take(mob_submit(g_fails_at, 1, 2), &x), 0);
	assert_int_equal(mob_capture_end(g), MOB_E_STATE);
	mob_error_clear();
	mob_graph_close(g);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_graph_of_any_shape_is_as_in_plain_c),
		T(test_graph_calls_each_node_once_in_a_run),
		T(test_graph_takes_nodes_from_a_runner_that_is_busy),
		T(test_graph_goes_on_when_the_numbers_of_runs_are_used_up),
		T(test_graph_runs_nodes_at_the_same_time),
		T(test_graph_does_not_wait_for_a_worker_that_is_busy),
		T(test_graph_takes_objects_and_values_of_any_size),
		T(test_graph_nodes_submit_and_wait),
		T(test_graph_in_a_task_and_an_empty_one),
		T(test_graph_error_of_a_node_ends_the_run),
		T(test_graph_error_of_an_object_is_that_of_the_run),
		T(test_graph_bad_calls_are_refused_when_recorded),
		T(test_graph_refs_of_a_capture_are_good_for_nothing_else),
		T(test_graph_bad_sets_runs_and_gets_are_refused),
	};
	const struct CMUnitTest alone[] = {
		cmocka_unit_test_setup_teardown(
			test_graph_of_a_session_that_has_ended, live_start_two,
			live_leave),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave) +
	       cmocka_run_group_tests(alone, NULL, NULL);
}
