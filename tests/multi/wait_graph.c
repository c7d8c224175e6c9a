/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs of tasks that wait for each other. */
#include "wait_graph.h"

#include "deadlock.h"
#include "os_run.h"

#include <mobula/cancel.h>
#include <mobula/stream.h>

#include <stdio.h>
#include <string.h>

struct live_ledger wg_ledger;

/* {kind 8, need 8, n 8, targets of 5 bits} */
#define WG_TARGETS_MAX 6u
uint64_t wg_plan(uint32_t kind, uint32_t need, uint32_t n,
		 const uint32_t *target)
{
	uint64_t w = kind | (uint64_t)need << 8 | (uint64_t)n << 16;

	for (uint32_t i = 0; i < n; i++) {
		w |= (uint64_t)target[i] << (24 + 5 * i);
	}
	return w;
}

/* ---- a node ---- */

mob_ref wg_ref_of(const char *path, uint64_t node)
{
	return (mob_ref){ .lo = live_ledger_get(path, WG_REFS + 2 * node),
			  .hi = live_ledger_get(path, WG_REFS + 2 * node + 1) };
}

void wg_await_word(const char *path, uint64_t word, uint64_t n)
{
	while (live_ledger_get(path, word) < n) {
		mobi_pause_ns(MOB_MS / 10);
	}
}

MOB_TASK(int64_t, d_sum, mob_args, args)
{
	int64_t sum = 0;

	for (size_t i = 0; i < args.n; i++) {
		int64_t x;

		mob_args_get(args, i, &x);
		sum += x;
	}
	return sum;
}

static int pop_some(const mob_ref *r, uint32_t n, uint32_t need)
{
	struct mob_queue *q;
	int rc = mob_queue_open(&q);

	for (uint32_t i = 0; i < n && rc >= 0; i++) {
		rc = mob_queue_add(q, r[i], i);
	}
	for (uint32_t i = 0; i < need && rc >= 0; i++) {
		mob_ref done;

		rc = mob_queue_pop(q, MOB_FOREVER, &done, NULL);
	}
	mob_queue_close(q);
	return rc;
}

static int get_timed(const char *path, mob_ref r)
{
	int64_t x;
	int rc;

	do {
		rc = mob_get_timeout(r, 2 * MOB_MS, &x);
		(void)live_ledger_add(path, WG_LOOPS);
	} while (rc == MOB_E_TIMEOUT);
	return rc;
}

static int get_with_token(mob_ref r)
{
	struct mob_cancel *token;
	int64_t x;
	int rc = mob_cancel_new(&token);

	if (rc >= 0) {
		(void)mob_cancel_use(token);
		rc = mob_get(r, &x);
		(void)mob_cancel_use(NULL);
		mob_cancel_free(token);
	}
	return rc;
}

static const char *name_of(char out[32], const char *what, uint64_t node)
{
	(void)snprintf(out, 32, "%s%u", what, (unsigned)node);
	return out;
}

static int await_named(const char *what, uint32_t node, bool stream)
{
	struct mob_store *s = mobi_rt.store;
	struct mob_view v;
	char name[32];
	mob_ref r;
	mob_ref item;
	int rc = mob_name_get(s, name_of(name, what, node), &r, NULL);

	if (rc < 0) {
		return rc;
	}
	if (stream) {
		rc = mob_stream_next(s, &r, MOB_FOREVER, &item);
		if (rc == 1) {
			(void)mob_object_release(s, item);
		}
	} else {
		rc = mob_object_get(s, r, MOB_FOREVER, &v);
		if (rc >= 0) {
			mob_view_release(s, &v);
		}
	}
	if (rc < 0) {
		/* Calls of the store leave nothing pending. */
		mob_fail(1, "%s", mob_err_detail(rc));
	}
	(void)mob_object_release(s, r);
	return rc;
}

static int do_plan(const char *path, uint64_t w)
{
	uint32_t need = (uint32_t)(w >> 8) & 255;
	uint32_t n = (uint32_t)(w >> 16) & 255;
	mob_ref r[WG_TARGETS_MAX];
	int64_t x[WG_TARGETS_MAX];
	int rc = 0;

	for (uint32_t i = 0; i < n; i++) {
		r[i] = wg_ref_of(path, w >> (24 + 5 * i) & 31);
	}
	switch ((enum wg_kind)(w & 255)) {
	case WG_GET:
		for (uint32_t i = 0; i < n && rc >= 0; i++) {
			rc = mob_get(r[i], &x[i]);
		}
		return rc;
	case WG_GET_ALL:
		return mob_get_all(r, n, x);
	case WG_WAIT:
		return mob_wait(r, n, need, MOB_FOREVER, NULL);
	case WG_QUEUE:
		return pop_some(r, n, need);
	case WG_ARGUMENT:
		return mob_get(mob_submit(d_sum, mob_args_of(r, n)), &x[0]);
	case WG_TIMED:
		return get_timed(path, r[0]);
	case WG_TOKEN:
		return get_with_token(r[0]);
	case WG_STREAM:
		return await_named("s", (uint32_t)(w >> 24) & 31, true);
	case WG_OBJECT:
		return await_named("o", (uint32_t)(w >> 24) & 31, false);
	case WG_STAND:
		wg_await_word(path, WG_FREE, 1);
		return 0;
	default:
		return 0;
	}
}

/* The wait itself ended in it, not what it waited for. */
bool wg_is_victim(int rc)
{
	return rc == MOB_E_DEADLOCK && !strstr(mob_error(), "(task d_");
}

MOB_TASK(int64_t, d_node, mob_str, path, uint64_t, node)
{
	(void)live_ledger_add(path, WG_BEGUN);
	wg_await_word(path, WG_GO, 1);
	for (uint64_t i = 0; i < WG_ROUNDS; i++) {
		int rc = do_plan(
			path,
			live_ledger_get(path, WG_PLAN + WG_ROUNDS * node + i));

		if (wg_is_victim(rc)) {
			(void)live_ledger_add(path, WG_VICTIMS);
		}
		if (rc < 0 && mob_error_code()) {
			return 0;
		}
	}
	(void)live_ledger_add(path, WG_DONE);
	return 1;
}

/* A node whose others are to come by a stream or an object that it makes. */
MOB_TASK(int64_t, d_maker, mob_str, path, uint64_t, node)
{
	struct mob_store *s = mobi_rt.store;
	struct mob_stream *stream;
	char name[32];
	mob_ref first;
	mob_ref object;
	void *at;
	int rc = mob_stream_create(s, NULL, &stream, &first);

	rc = rc < 0 ? rc :
		      mob_name_put(s, name_of(name, "s", node), first, 0, NULL);
	rc = rc < 0 ? rc : mob_object_create(s, 8, 0, &object, &at);
	rc = rc < 0 ?
		     rc :
		     mob_name_put(s, name_of(name, "o", node), object, 0, NULL);
	if (rc < 0) {
		mob_fail(1, "%s", mob_err_detail(rc));
		return 0;
	}
	(void)live_ledger_add(path, WG_MADE);
	wg_await_word(path, WG_GO, 1);
	rc = do_plan(path, live_ledger_get(path, WG_PLAN + WG_ROUNDS * node));
	if (wg_is_victim(rc)) {
		(void)live_ledger_add(path, WG_VICTIMS);
	}
	memset(at, 0, 8);
	rc = mob_object_seal(s, object);
	(void)mob_object_release(s, object);
	(void)mob_object_release(s, first);
	(void)mob_stream_end(stream);
	return rc >= 0;
}

/* ---- graphs ---- */

/* All nodes run when the first may wait: none is run inside the wait of another. */
void wg_submit(struct wg *g)
{
	for (uint32_t i = 0; i < WG_WORDS; i++) {
		wg_ledger.at[i] = 0;
	}
	for (uint32_t i = 0; i < g->n; i++) {
		g->result[i] = g->makers ?
				       mob_submit(d_maker, wg_ledger.path, i) :
				       mob_submit(d_node, wg_ledger.path, i);
		wg_ledger.at[WG_REFS + 2 * i] = g->result[i].lo;
		wg_ledger.at[WG_REFS + 2 * i + 1] = g->result[i].hi;
		for (uint32_t k = 0; k < WG_ROUNDS; k++) {
			wg_ledger.at[WG_PLAN + WG_ROUNDS * i + k] =
				g->plan[i][k];
		}
	}
	wg_await_word(wg_ledger.path, g->makers ? WG_MADE : WG_BEGUN, g->n);
	wg_ledger.at[WG_GO] = 1;
}

void wg_collect(struct wg *g)
{
	char name[32];

	assert_int_equal(mob_wait(g->result, g->n, g->n, MOB_FOREVER, NULL),
			 g->n);
	for (uint32_t i = 0; i < g->n; i++) {
		int64_t x;

		g->rc[i] = mob_get(g->result[i], &x);
		(void)snprintf(g->text[i], sizeof(g->text[i]), "%s",
			       mob_error());
		mob_error_clear();
	}
	for (uint32_t i = 0; g->makers && i < g->n; i++) {
		assert_int_equal(mob_name_remove(mobi_rt.store,
						 name_of(name, "s", i)),
				 0);
		assert_int_equal(mob_name_remove(mobi_rt.store,
						 name_of(name, "o", i)),
				 0);
	}
}

void wg_run(struct wg *g)
{
	wg_submit(g);
	wg_collect(g);
}

void wg_link_node(struct wg *g, uint32_t from, uint32_t kind, uint32_t to)
{
	g->plan[from][0] = wg_plan(kind, 1, 1, &to);
}

void wg_link_two(struct wg *g, uint32_t from, uint32_t kind, uint32_t need,
		 uint32_t a, uint32_t b)
{
	const uint32_t to[] = { a, b };

	g->plan[from][0] = wg_plan(kind, need, 2, to);
}

/* Each waits for the next, the last for the first. */
void wg_ring(struct wg *g, uint32_t n, uint32_t kind)
{
	memset(g, 0, sizeof(*g));
	g->n = n;
	for (uint32_t i = 0; i < n; i++) {
		wg_link_node(g, i, kind, (i + 1) % n);
	}
}

/* Workers that wait for ever, as they have published. */
uint32_t wg_sleepers(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		uint32_t c = mobi_load(&mobi_rt.sched->place[i].client);

		n += c && (mobi_load(&mobi_rt.sched->wait[c].seq) & 1);
	}
	return n;
}

bool wg_so_many_sleep(void *arg)
{
	return wg_sleepers() == *(const uint32_t *)arg;
}

/* So many sleep in the end, and none of them is in a deadlock. */
void wg_sleep_well(uint32_t n)
{
	char text[512];

	assert_true(live_await(wg_so_many_sleep, &n));
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		uint32_t c = mobi_load(&mobi_rt.sched->place[i].client);

		if (c &&
		    mobi_deadlock_text(mobi_rt.store, c, text, sizeof(text))) {
			fail_msg("%s", text);
		}
	}
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
	assert_int_equal(wg_sleepers(), n);
}

/* All went to the end. */
void wg_is_well(struct wg *g)
{
	wg_collect(g);
	assert_int_equal(wg_ledger.at[WG_VICTIMS], 0);
	assert_int_equal(wg_ledger.at[WG_DONE], g->n);
	for (uint32_t i = 0; i < g->n; i++) {
		assert_int_equal(g->rc[i], 0);
	}
}

uint32_t wg_worker_of(mob_ref r)
{
	const struct mob_store *s = mobi_rt.store;
	uint64_t producer =
		mobi_load(&s->slots[(uint32_t)r.lo % MOBI_SLOTS].producer);

	return MOBI_ROWNER(mobi_load(&s->recs[(uint32_t)producer - 1].word)) %
	       MOBI_CLIENTS;
}

bool wg_is_stopped(mob_ref r)
{
	return live_is_stopped(
		(int)mobi_rt.store->clients[wg_worker_of(r)].proc.pid);
}

/* ---- sessions ---- */

const struct live_session wg_four = {
	.workers = 4, .policy = "fifo", .ledger = &wg_ledger, .words = WG_WORDS
};

void wg_forget(void)
{
	for (uint32_t i = 0; i < WG_WORDS; i++) {
		wg_ledger.at[i] = 0;
	}
}

static int wg_open_with(int32_t workers, const char *resources)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;

	o.workers = workers;
	o.policy = "fifo";
	o.store_bytes = 64 << 20;
	o.resources = resources;
	if (mob_init(&o)) {
		fail_msg("mob_init: %s", mob_error());
	}
	live_ledger_open(&wg_ledger, WG_WORDS);
	return live_open(NULL);
}

int wg_open_many(void **state)
{
	(void)state;
	return wg_open_with(WG_NODES, NULL);
}

int wg_open_one(void **state)
{
	(void)state;
	return wg_open_with(1, NULL);
}

int wg_open_devices(void **state)
{
	(void)state;
	return wg_open_with(4, "gpu:2");
}

int wg_close_test(void **state)
{
	int rc = live_clean(state);

	live_ledger_close(&wg_ledger);
	mob_shutdown();
	return rc;
}
