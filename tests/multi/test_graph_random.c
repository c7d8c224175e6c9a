/* SPDX-License-Identifier: Apache-2.0 */
/* Random graphs that are recorded once and replayed: against the same in plain C. */
#include "graph_fixture.h"

#include <stdlib.h>
#include <string.h>

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

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_graph_of_any_shape_is_as_in_plain_c),
	};

	return cmocka_run_group_tests(tests, live_start_two, live_leave);
}
