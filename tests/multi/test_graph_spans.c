/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings and spans as values of graphs: of any length up to what there is room for, from
 * node to node and from run to run, and while workers are killed.
 */
#include "channels.h"

#include <stdio.h>
#include <string.h>

#define ROOM 100u /* of values: 25 numbers, 99 characters */

struct point {
	double x;
	double y;
};
MOB_STRUCT(point);
MOB_ARRAY(points, point);

/* n numbers from x on. */
MOB_TASK(mob_i32s, p_range, int32_t, x, uint64_t, n)
{
	int32_t *at = mob_new_of(mob_i32s, n);

	for (uint64_t i = 0; at && i < n; i++) {
		at[i] = x + (int32_t)i;
	}
	return mob_i32s_of(at, at ? n : 0);
}

/* Those of both, the other way round; and how many. */
MOB_TASK_N(p_turn, (mob_i32s, all, uint64_t, n), mob_i32s, a, mob_i32s, b)
{
	int32_t *at = mob_new_of(mob_i32s, a.n + b.n);

	for (size_t i = 0; at && i < a.n + b.n; i++) {
		size_t k = a.n + b.n - 1 - i;

		at[i] = k < a.n ? a.at[k] : b.at[k - a.n];
	}
	*all = mob_i32s_of(at, at ? a.n + b.n : 0);
	*n = a.n + b.n;
}

MOB_TASK(mob_str, p_say, mob_str, what, mob_i32s, v, points, p)
{
	char *at = mob_new(200);
	long sum = 0;

	for (size_t i = 0; i < v.n; i++) {
		sum += v.at[i];
	}
	if (at) {
		(void)snprintf(at, 200, "%s %ld %g", what, sum,
			       p.n ? p.at[p.n - 1].y : -1.0);
	}
	return at;
}

/* The text, with one more letter; longer than `most` it begins anew. */
MOB_TASK(mob_str, p_grow, mob_str, path, mob_str, was, uint64_t, x, uint64_t,
	 most)
{
	size_t n = strlen(was);
	char *at = mob_new(n + 2);

	(void)live_ledger_add(path, CH_STARTED);
	for (size_t i = 1; i < n; i++) {
		if (was[i] != was[0] + (char)(i % 7)) {
			mob_fail(77, "torn");
		}
	}
	if (!at) {
		return "";
	}
	if (n >= most) {
		n = 0;
	}
	for (size_t i = 0; i <= n; i++) {
		at[i] = (char)('a' + (x % 13) + i % 7);
	}
	at[n + 1] = '\0';
	return at;
}

MOB_TASK(uint64_t, p_length, mob_str, s)
{
	return strlen(s);
}

MOB_TASK(mob_str, p_null, uint64_t, x)
{
	return x ? NULL : "some";
}

MOB_TASK(mob_refs, p_refs, uint64_t, x)
{
	(void)x;
	return (mob_refs){ NULL, 0 };
}

static struct mob_graph *begin_with_room(uint32_t window)
{
	struct mob_graph *g = ch_begin(window);

	assert_int_equal(mob_graph_room(g, ROOM), 0);
	return g;
}

/* ---- from node to node ---- */

struct shapes {
	struct mob_graph *g;
	mob_ref x;
	mob_ref n;
	mob_ref what;
	mob_ref some;
	mob_ref p;
	mob_ref all[2];
	mob_ref text;
};

static void record_shapes(struct shapes *t, uint32_t window)
{
	mob_ref range;

	t->g = begin_with_room(window);
	t->x = mob_graph_input(int32_t);
	t->n = mob_graph_input(uint64_t);
	t->what = mob_graph_input(mob_str);
	t->some = mob_graph_input(mob_i32s);
	t->p = mob_graph_input(points);
	range = mob_submit(p_range, t->x, t->n);
	(void)mob_submit_n(t->all, 2, p_turn, range, t->some);
	t->text = mob_submit(p_say, t->what, t->all[0], t->p);
	assert_int_equal(mob_capture_end(t->g), 0);
}

/* Run k, whose spans are of lengths that follow from it. */
static void start_shapes(struct shapes *t, uint64_t k)
{
	int32_t x = (int32_t)k;
	uint64_t n = k % 18;
	int32_t some[8] = { 1, 2, 3, 4, 5, 6, 7, x };
	mob_i32s v = mob_i32s_of(some, k % 8);
	point two[2] = { { 1, 2 }, { 3, (double)k } };
	points p = points_of(two, k % 3);
	mob_str what = k % 5 ? "the sum" : "";

	assert_int_equal(mob_graph_set(t->g, t->x, &x), 0);
	assert_int_equal(mob_graph_set(t->g, t->n, &n), 0);
	assert_int_equal(mob_graph_set(t->g, t->what, &what), 0);
	assert_int_equal(mob_graph_set(t->g, t->some, &v), 0);
	assert_int_equal(mob_graph_set_as(points, t->g, t->p, &p), 0);
	ch_start(t->g);
	/* It was copied. */
	memset(some, 0xff, sizeof(some));
	memset(two, 0xff, sizeof(two));
}

static void wait_shapes(struct shapes *t, uint64_t k)
{
	const double y[3] = { -1, 2, (double)k };
	char want[100];
	uint64_t n = k % 18;
	long sum = 0;
	mob_i32s all;
	uint64_t got;
	mob_str text;

	ch_wait(t->g);
	assert_int_equal(mob_graph_get(t->g, t->all[0], &all), 0);
	assert_int_equal(mob_graph_get(t->g, t->all[1], &got), 0);
	assert_int_equal(all.n, n + k % 8);
	assert_int_equal(got, all.n);
	for (size_t i = 0; i < all.n; i++) {
		size_t at = all.n - 1 - i;

		sum += all.at[i];
		assert_int_equal(all.at[i],
				 at < n ? (int)(k + at) : (int)(at - n + 1));
	}
	assert_int_equal(mob_graph_get(t->g, t->text, &text), 0);
	(void)snprintf(want, sizeof(want), "%s %ld %g", k % 5 ? "the sum" : "",
		       sum, y[k % 3]);
	assert_string_equal(text, want);
}

static void test_graph_spans_of_any_length(void **state)
{
	static const uint32_t windows[] = { 1, 3 };

	(void)state;
	for (size_t w = 0; w < 2; w++) {
		uint64_t window = windows[w];
		struct shapes t;

		record_shapes(&t, windows[w]);
		for (uint64_t k = 0; k < 300 + window; k++) {
			if (k >= window) {
				wait_shapes(&t, k - window);
			}
			if (k < 300) {
				start_shapes(&t, k);
			}
		}
		mob_graph_close(t.g);
		assert_int_equal(live_audit(0), 0);
	}
}

/* ---- from run to run ---- */

struct text {
	struct mob_graph *g;
	mob_ref in;
	mob_ref ch;
	mob_ref y;
	mob_ref before;
	char want[ROOM + 1];
	uint64_t length; /* of the run before */
};

static void record_text(struct text *t, uint32_t window, uint64_t most)
{
	mob_str first = "";

	memset(t, 0, sizeof(*t));
	t->g = begin_with_room(window);
	t->in = mob_graph_input(uint64_t);
	t->ch = mob_graph_channel(mob_str);
	t->y = mob_submit(p_grow, ch_ledger.path, t->ch, t->in, most);
	t->before = mob_submit(p_length, t->ch);
	assert_int_equal(mob_graph_write(t->ch, t->y), 0);
	assert_int_equal(mob_capture_end(t->g), 0);
	assert_int_equal(mob_graph_set(t->g, t->ch, &first), 0);
}

static void start_text(struct text *t, uint64_t x)
{
	assert_int_equal(mob_graph_set(t->g, t->in, &x), 0);
	ch_start(t->g);
}

static void wait_text(struct text *t, uint64_t x, uint64_t most)
{
	uint64_t n = t->length >= most ? 0 : t->length;
	uint64_t before;
	mob_str y;

	ch_wait(t->g);
	for (uint64_t i = 0; i <= n; i++) {
		t->want[i] = (char)('a' + (x % 13) + i % 7);
	}
	t->want[n + 1] = '\0';
	assert_int_equal(mob_graph_get(t->g, t->y, &y), 0);
	assert_string_equal(y, t->want);
	assert_int_equal(mob_graph_get(t->g, t->before, &before), 0);
	assert_int_equal(before, t->length);
	t->length = n + 1;
}

static void run_text(struct text *t, uint64_t window, uint64_t n, uint64_t most)
{
	for (uint64_t x = 0; x < n + window; x++) {
		if (x >= window) {
			wait_text(t, x - window, most);
		}
		if (x < n) {
			start_text(t, x);
		}
	}
}

static void test_graph_spans_in_channels(void **state)
{
	static const uint32_t windows[] = { 1, 2, 7 };

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS);
	for (size_t i = 0; i < 3; i++) {
		struct text t;
		mob_str two = "xy";

		record_text(&t, windows[i], ROOM - 1);
		run_text(&t, windows[i], 250, ROOM - 1);
		assert_int_equal(mob_graph_set(t.g, t.ch, &two), 0);
		t.length = 2;
		run_text(&t, windows[i], 50, ROOM - 1);
		mob_graph_close(t.g);
		assert_int_equal(live_audit(0), 0);
	}
	live_ledger_close(&ch_ledger);
}

/* ---- what is too large, and what is refused ---- */

/* The error of its node; the next run has it by the channel until that is set. */
static void test_graph_span_that_is_too_large_is_an_error(void **state)
{
	mob_str shorter = "a";
	struct text t;

	(void)state;
	live_ledger_open(&ch_ledger, CH_WORDS);
	record_text(&t, 1, 1000);
	for (int i = 0; i < 2; i++) {
		run_text(&t, 1, ROOM - 1 - t.length, 1000);
		for (int k = 0; k < 2; k++) {
			mob_str y;

			start_text(&t, 0);
			assert_int_equal(mob_graph_wait(t.g, MOB_FOREVER),
					 MOB_E_LIMIT);
			assert_non_null(strstr(mob_error(), "(task p_grow, "));
			live_pends(MOB_E_LIMIT, "result 1: a mob_str of 101 "
						"bytes; mob_graph_room allows "
						"100");
			assert_int_equal(mob_graph_get(t.g, t.y, &y),
					 MOB_E_STATE);
			assert_null(y);
			mob_error_clear();
		}
		assert_int_equal(mob_graph_set(t.g, t.ch, &shorter), 0);
		t.length = 1;
	}
	run_text(&t, 1, 5, 1000);
	mob_graph_close(t.g);
	live_ledger_close(&ch_ledger);
}

static void refuses(mob_ref r, struct mob_graph *g, const char *part)
{
	assert_int_equal(mob_join(r), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, part);
	mob_graph_close(g);
}

static void test_graph_spans_without_room_are_refused(void **state)
{
	struct mob_graph *g = ch_begin(1);

	(void)state;
	refuses(mob_submit(p_null, 0), g,
		"p_null returns a mob_str, which has no fixed size; call "
		"mob_graph_room before");
	g = ch_begin(1);
	refuses(mob_graph_input(mob_i32s), g, "call mob_graph_room before");
	g = begin_with_room(1);
	refuses(mob_submit(p_refs, 0), g, "returns a mob_refs");
	g = begin_with_room(1);
	refuses(mob_graph_channel(mob_refs), g, "no fixed size");
	g = begin_with_room(1);
	assert_int_equal(mob_graph_room(g, MOB_GRAPH_ROOM_MAX + 1ull),
			 MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "268435457 bytes; at most 268435456");
	assert_int_equal(mob_graph_room(g, 0), 0);
	refuses(mob_submit(p_null, 0), g, "no fixed size");
}

static void test_graph_spans_bad_sets_and_gets_are_refused(void **state)
{
	struct mob_graph *g = begin_with_room(1);
	mob_ref in = mob_graph_input(mob_str);
	mob_ref x = mob_graph_input(uint64_t);
	mob_ref n = mob_submit(p_length, in);
	mob_ref y = mob_submit(p_null, x);
	char text[ROOM + 1];
	mob_str s = text;
	mob_bytes b;
	uint64_t v = 0;

	(void)state;
	assert_int_equal(mob_capture_end(g), 0);
	assert_int_equal(mob_graph_room(g, 5), MOB_E_STATE);
	live_pends(MOB_E_STATE, "mob_graph_room: this thread does not record");
	memset(text, 'a', ROOM);
	text[ROOM - 1] = text[ROOM] = '\0';
	assert_int_equal(mob_graph_set(g, in, &s), 0);
	assert_int_equal(mob_graph_set(g, x, &v), 0);
	text[ROOM - 1] = 'a';
	assert_int_equal(mob_graph_set(g, in, &s), MOB_E_LIMIT);
	live_pends(MOB_E_LIMIT, "mob_graph_set: a mob_str of 101 bytes; "
				"mob_graph_room allows 100");
	s = NULL;
	assert_int_equal(mob_graph_set(g, in, &s), MOB_E_INVAL);
	live_pends(MOB_E_INVAL, "a string is NULL");
	/* As it was set before. */
	assert_int_equal(mob_graph_run(g), 0);
	assert_int_equal(mob_graph_get(g, n, &v), 0);
	assert_int_equal(v, ROOM - 1);
	assert_int_equal(mob_graph_get(g, in, &s), 0);
	assert_int_equal(strlen(s), ROOM - 1);
	assert_int_equal(mob_graph_get(g, y, &b), MOB_E_TYPE);
	live_pends(MOB_E_TYPE, "it is a mob_str, given a mob_bytes");
	assert_int_equal(mob_graph_get(g, y, &s), 0);
	assert_string_equal(s, "some");
	v = 1;
	assert_int_equal(mob_graph_set(g, x, &v), 0);
	assert_int_equal(mob_graph_run(g), MOB_E_INVAL);
	assert_non_null(strstr(mob_error(), "(task p_null, "));
	live_pends(MOB_E_INVAL, "a string is NULL");
	mob_graph_close(g);
}

/* ---- kills ---- */

static void runs_text(size_t i)
{
	enum { RUNS = 24, MOST = 30 };
	uint32_t window = 1 + (uint32_t)i % 3;
	struct text t;

	record_text(&t, window, MOST);
	run_text(&t, window, RUNS, MOST);
	assert_true(ch_ledger.at[CH_STARTED] <= UINT64_C(4) * RUNS);
	mob_graph_close(t.g);
}

/* Each worker dies when it passes a point the n-th time. */
static void test_graph_spans_survive_a_kill_at_each_step(void **state)
{
	static const char *const faults[] = {
		"graph.claimed=kill@7", "graph.result=kill@2",
		"graph.result=kill@4",  "graph.done=kill@7",
		"graph.later=kill@3",   "graph.reach=kill@3",
		"graph.over=kill@2",    "graph.left=kill@1",
	};
	const struct live_session session = { .workers = 2,
					      .ledger = &ch_ledger,
					      .words = CH_WORDS };

	(void)state;
	live_each_fault(&session, faults, sizeof(faults) / sizeof(faults[0]),
			runs_text);
}

#define T(test) cmocka_unit_test_setup_teardown(test, live_open, live_clean)
#define ALONE(test) cmocka_unit_test_teardown(test, live_leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_graph_spans_of_any_length),
		T(test_graph_spans_in_channels),
		T(test_graph_span_that_is_too_large_is_an_error),
		T(test_graph_spans_without_room_are_refused),
		T(test_graph_spans_bad_sets_and_gets_are_refused),
	};
	const struct CMUnitTest alone[] = {
		ALONE(test_graph_spans_survive_a_kill_at_each_step),
	};

	(void)argc;
	(void)argv;
	return cmocka_run_group_tests(alone, NULL, NULL) +
	       cmocka_run_group_tests(tests, live_start_two, live_leave);
}
