/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random networks of tasks that yield to each other through bounded streams, some of
 * which are in a deadlock: what is told is what a simulation says.
 */
#include "wait_graph.h"

#include <string.h>

/* What a node does, one after the other, a byte each: {what 2, of which 3}. */
enum { OP_END, OP_YIELD, OP_READ, OP_GET };
#define OPS 8u
struct net {
	uint32_t n;
	uint32_t bound[WG_NODES];
	uint32_t reader[WG_NODES]; /* WG_NODES: nobody */
	uint8_t op[WG_NODES][OPS];
	mob_ref end[WG_NODES];
	bool keeps; /* the driver keeps what nobody reads while it waits */
};

static int do_op(const char *path, uint64_t op, mob_refs in)
{
	int64_t x;

	switch (op & 3) {
	case OP_YIELD:
		return mob_yield_as(int64_t, INT64_C(1));
	case OP_READ:
		return mob_next(in.at[op >> 2], &x);
	default:
		return mob_join(wg_ref_of(path, op >> 2));
	}
}

MOB_TASK_STREAM(int64_t, d_net, mob_str, path, uint64_t, node, mob_refs, in)
{
	uint64_t plan;

	(void)live_ledger_add(path, WG_BEGUN);
	wg_await_word(path, WG_GO, 1);
	plan = live_ledger_get(path, WG_PLAN + WG_ROUNDS * node);
	for (; plan & 255; plan >>= 8) {
		int rc = do_op(path, plan & 255, in);

		if (wg_is_victim(rc)) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		if (rc < 0) {
			return;
		}
	}
	(void)live_ledger_add(path, WG_DONE);
}

/* The place of stream j among those that its reader is given. */
static uint32_t place_of(const struct net *g, uint32_t j)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < j; i++) {
		at += g->reader[i] == g->reader[j];
	}
	return at;
}

static uint8_t draw_op(uint64_t *seed, const struct net *g, uint32_t i,
		       bool acyclic)
{
	uint32_t j = (uint32_t)(live_random(seed) % (acyclic ? i + 1 : g->n));
	uint32_t what = (uint32_t)(live_random(seed) % 8);

	if (what < 3 && g->reader[j] == i) {
		return (uint8_t)(OP_READ | place_of(g, j) << 2);
	}
	return what == 3 && j != i ? (uint8_t)(OP_GET | j << 2) : OP_YIELD;
}

/* A stream is read by a node behind its own, or by nobody. */
static void draw_net(uint64_t *seed, struct net *g, bool acyclic)
{
	memset(g, 0, sizeof(*g));
	g->n = 2 + (uint32_t)(live_random(seed) % (WG_NODES - 1));
	g->keeps = !WG_HAS_THREAD && live_random(seed) % 8 == 0;
	for (uint32_t j = 0; j < g->n; j++) {
		uint32_t behind = g->n - j - 1;

		g->bound[j] = 1 + (uint32_t)(live_random(seed) % 3);
		g->reader[j] = WG_NODES;
		if (behind && live_random(seed) % 5) {
			g->reader[j] = j + 1 +
				       (uint32_t)(live_random(seed) % behind);
		}
	}
	for (uint32_t i = 0; i < g->n; i++) {
		uint32_t n = (uint32_t)(live_random(seed) % (OPS + 1));

		for (uint32_t k = 0; k < n; k++) {
			g->op[i][k] = draw_op(seed, g, i, acyclic);
		}
	}
}

/* Pairs of which one reads some of what the other yields, and then waits for its end: it
 * may have made room, while the other still sleeps until half of its bound is free. */
static void draw_pairs(uint64_t *seed, struct net *g)
{
	memset(g, 0, sizeof(*g));
	g->n = 2 + 2 * (uint32_t)(live_random(seed) % (WG_NODES / 2));
	for (uint32_t j = 0; j < g->n; j += 2) {
		uint32_t i = j + 1;
		uint32_t yields = 5 + (uint32_t)(live_random(seed) % 4);
		uint32_t reads = 1 + (uint32_t)(live_random(seed) % 3);

		g->bound[i] = 1;
		g->reader[i] = WG_NODES;
		g->bound[j] = 4 + (uint32_t)(live_random(seed) % 3);
		g->reader[j] = i;
		memset(g->op[j], OP_YIELD, yields);
		memset(g->op[i], OP_READ, reads);
		g->op[i][reads] = (uint8_t)(OP_GET | j << 2);
	}
}

struct sim {
	uint32_t at[WG_NODES];
	uint32_t put[WG_NODES];
	uint32_t read[WG_NODES];
	bool over[WG_NODES];
};

/* Who reads it has all of the streams that it is given until it ends. */
static bool has_room(const struct net *g, const struct sim *m, uint32_t i)
{
	return (g->reader[i] == WG_NODES ? !g->keeps : m->over[g->reader[i]]) ||
	       m->put[i] - m->read[i] < g->bound[i];
}

static bool sim_step(const struct net *g, struct sim *m, uint32_t i)
{
	uint32_t op = m->at[i] < OPS ? g->op[i][m->at[i]] : 0;
	uint32_t j = op >> 2;
	bool able = true;

	switch (op & 3) {
	case OP_END:
		m->over[i] = true;
		break;
	case OP_YIELD:
		able = has_room(g, m, i);
		m->put[i] += able;
		break;
	case OP_READ:
		for (j = 0; g->reader[j] != i || place_of(g, j) != op >> 2;
		     j++) {
		}
		able = m->read[j] < m->put[j] || m->over[j];
		m->read[j] += m->read[j] < m->put[j];
		break;
	default:
		able = m->over[j];
	}
	m->at[i] += able;
	return able;
}

/* How many nodes can never go on: in whatever order they go, the same. */
static uint32_t stuck_nodes(const struct net *g)
{
	struct sim m = { { 0 }, { 0 }, { 0 }, { 0 } };
	uint32_t left = g->n;
	bool more = true;

	while (more) {
		more = false;
		for (uint32_t i = 0; i < g->n; i++) {
			while (!m.over[i] && sim_step(g, &m, i)) {
				more = true;
				left -= m.over[i];
			}
		}
	}
	return left;
}

static void submit_net(struct net *g, mob_ref in[WG_NODES])
{
	for (uint32_t i = 0; i < g->n; i++) {
		mob_ref r[WG_NODES];
		uint32_t n = 0;
		uint64_t plan = 0;

		for (uint32_t j = 0; j < i; j++) {
			if (g->reader[j] == i) {
				r[n++] = in[j];
			}
		}
		for (uint32_t k = OPS; k-- > 0;) {
			plan = plan << 8 | g->op[i][k];
		}
		in[i] = mob_submit_with(MOB_OPTS(.stream_items = g->bound[i]),
					d_net, wg_ledger.path, i,
					mob_refs_of(r, n));
		g->end[i] = mob_stream_result(in[i]);
		wg_ledger.at[WG_REFS + 2 * i] = g->end[i].lo;
		wg_ledger.at[WG_REFS + 2 * i + 1] = g->end[i].hi;
		wg_ledger.at[WG_PLAN + WG_ROUNDS * i] = plan;
	}
}

/* All, or what nobody reads. */
static void let_go(const struct net *g, const mob_ref in[WG_NODES], bool unread)
{
	for (uint32_t i = 0; i < g->n; i++) {
		if ((g->reader[i] == WG_NODES) == unread) {
			assert_int_equal(mob_release(in[i]), 0);
		}
	}
}

static void run_net(struct net *g)
{
	mob_ref in[WG_NODES];
	int rc;

	wg_forget();
	submit_net(g, in);
	let_go(g, in, false);
	if (!g->keeps) {
		let_go(g, in, true);
	}
	wg_await_word(wg_ledger.path, WG_BEGUN, g->n);
	wg_ledger.at[WG_GO] = 1;
	rc = mob_wait(g->end, g->n, g->n, MOB_FOREVER, NULL);
	if (rc < 0) {
		/* It was told to the driver, whose turn it is to let go. */
		assert_int_equal(rc, MOB_E_DEADLOCK);
		assert_true(g->keeps);
		mob_error_clear();
		wg_ledger.at[WG_VICTIMS]++;
		let_go(g, in, true);
		rc = mob_wait(g->end, g->n, g->n, MOB_FOREVER, NULL);
	}
	assert_int_equal(rc, g->n);
	for (uint32_t i = 0; i < g->n; i++) {
		(void)mob_join(g->end[i]); /* its error is read */
		mob_error_clear();
	}
}

/* There is an error if and only if there is a deadlock. */
static void test_semantics_10_random_networks_are_told_exactly(void **state)
{
	uint64_t seed = live_seed("networks");
	struct net g;
	int with = 0;

	(void)state;
	for (int i = 0; i < 200 / LIVE_SLOW; i++) {
		uint32_t stuck;

		if (i % 3) {
			draw_net(&seed, &g, i % 2);
		} else {
			draw_pairs(&seed, &g);
		}
		stuck = stuck_nodes(&g);
		if (WG_HAS_THREAD && stuck) {
			continue; /* whoever has not begun may read in it */
		}
		with += stuck != 0;
		MOB_SCOPE
		{
			run_net(&g);
			/* The driver may be one of them. */
			if (!stuck != !wg_ledger.at[WG_VICTIMS] ||
			    wg_ledger.at[WG_VICTIMS] > stuck + g.keeps) {
				fail_msg("network %d: %u nodes are stuck, %u "
					 "waits ended",
					 i, stuck,
					 (unsigned)wg_ledger.at[WG_VICTIMS]);
			}
		}
	}
	assert_true(LIVE_SLOW > 1 || (with > 10 && with < 190));
}

#define T(test)                                                                \
	cmocka_unit_test_setup_teardown(test, wg_open_many, wg_close_test)

MOB_MAIN(void)
{
	const struct CMUnitTest tests[] = {
		T(test_semantics_10_random_networks_are_told_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
