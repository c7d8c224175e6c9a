/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: order, end, waiting, bounds, several readers, deaths. */
#define _GNU_SOURCE

#include "one_store.h"

#include <mobula/stream.h>

#define ITEMS (SANITIZED ? 500u : 5000u)

static struct mob_stream *w;
static struct mob_ref first;

static int put_number(struct mob_store *store, struct mob_stream *stream,
		      uint64_t x, int64_t timeout_ns)
{
	struct mob_ref r;
	int rc = mob_object_put(store, &x, sizeof(x), 1, &r);

	if (rc >= 0) {
		rc = mob_stream_put(stream, r, timeout_ns);
		(void)mob_object_release(store, r);
	}
	return rc;
}

static uint64_t number_of(struct mob_store *store, struct mob_ref item)
{
	struct mob_view v;
	uint64_t x = UINT64_MAX;

	if (mob_object_get(store, item, MOB_FOREVER, &v) == 0) {
		memcpy(&x, v.at, sizeof(x));
		mob_view_release(store, &v);
	}
	return x;
}

/* The next item is x. */
static void reads(struct mob_ref *node, uint64_t x)
{
	struct mob_ref item;

	assert_int_equal(mob_stream_next(s, node, 0, &item), 1);
	assert_int_equal(number_of(s, item), x);
	assert_ok(mob_object_release(s, item));
}

static void test_stream_items_in_order_then_the_end(void **state)
{
	struct mob_ref item = MOB_REF_NONE;
	struct mob_ref again;

	(void)state;
	assert_ok(mob_stream_create(s, NULL, &w, &first));
	assert_ok(mob_object_hold(s, first));
	again = first;
	assert_int_equal(mob_stream_next(s, &first, 0, &item), MOB_E_TIMEOUT);
	for (uint64_t i = 0; i < 100; i++) {
		assert_ok(put_number(s, w, i, 0));
	}
	for (uint64_t i = 0; i < 50; i++) {
		reads(&first, i);
	}
	assert_ok(mob_stream_end(w));
	for (uint64_t i = 50; i < 100; i++) {
		reads(&first, i);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(mob_stream_next(s, &first, MOB_FOREVER, &item),
				 0);
	}
	assert_true(mob_ref_is_none(item));
	assert_ok(mob_object_release(s, first));
	/* Who kept the first node reads all of it again, and any item. */
	assert_int_equal(mob_stream_item(s, again, 77, 0, &item), 1);
	assert_int_equal(number_of(s, item), 77);
	assert_ok(mob_object_release(s, item));
	assert_int_equal(mob_stream_item(s, again, 100, 0, &item), 0);
	for (uint64_t i = 0; i < 100; i++) {
		reads(&again, i);
	}
	assert_ok(mob_object_release(s, again));
}

static void test_stream_dropped_unread_frees_all(void **state)
{
	(void)state;
	assert_ok(mob_stream_create(s, NULL, &w, &first));
	for (uint64_t i = 0; i < ITEMS; i++) {
		assert_ok(put_number(s, w, i, 0));
	}
	assert_true(counts_of(s).objects > ITEMS);
	assert_ok(mob_object_release(s, first));
	/* But the node that is written next. */
	assert_int_equal(counts_of(s).objects, 1);
	assert_ok(put_number(s, w, 1, 0));
	assert_int_equal(counts_of(s).objects, 1);
	assert_ok(mob_stream_end(w));
}

static void test_stream_abandoned_cancelled(void **state)
{
	struct mob_ref item;

	(void)state;
	assert_ok(mob_stream_create(s, NULL, &w, &first));
	assert_ok(put_number(s, w, 7, 0));
	mob_stream_abandon(w);
	mob_stream_abandon(NULL);
	reads(&first, 7);
	assert_int_equal(mob_stream_next(s, &first, MOB_FOREVER, &item),
			 MOB_E_CANCELLED);
	assert_ok(mob_object_release(s, first));
}

static void test_stream_bound_of_items_and_bytes(void **state)
{
	struct mob_stream_opts opts = MOB_STREAM_OPTS_INIT;
	struct mob_ref big;

	(void)state;
	opts.max_items = 3;
	assert_ok(mob_stream_create(s, &opts, &w, &first));
	for (uint64_t i = 0; i < 3; i++) {
		assert_ok(put_number(s, w, i, 0));
	}
	assert_int_equal(put_number(s, w, 3, 0), MOB_E_TIMEOUT);
	assert_int_equal(put_number(s, w, 3, 2 * MOB_MS), MOB_E_TIMEOUT);
	/* Who would read is gone, or going. */
	mobi_store(&s->hdr->ending, 1u);
	assert_int_equal(put_number(s, w, 3, 10 * MOB_SEC), MOB_E_CLOSED);
	assert_int_equal(put_number(s, w, 3, 0), MOB_E_CLOSED);
	mobi_store(&s->hdr->ending, 0u);
	reads(&first, 0);
	assert_ok(put_number(s, w, 3, 0));
	assert_int_equal(put_number(s, w, 4, 0), MOB_E_TIMEOUT);
	assert_ok(mob_object_release(s, first));
	assert_ok(put_number(s, w, 5, 0));
	assert_ok(mob_stream_end(w));

	opts.max_items = 0;
	opts.max_bytes = 100;
	assert_ok(mob_stream_create(s, &opts, &w, &first));
	big = put_filled(s, 5000, 1);
	/* One always passes. */
	assert_ok(mob_stream_put(w, big, 0));
	assert_int_equal(put_number(s, w, 1, 0), MOB_E_TIMEOUT);
	assert_ok(mob_object_release(s, first));
	assert_ok(put_number(s, w, 1, 0));
	assert_ok(mob_object_release(s, big));
	assert_ok(mob_stream_end(w));
}

/* ---- other processes ---- */

static int follows(void *arg)
{
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_ref node = cell_wait(arg);
	struct mob_ref item;
	uint64_t n = 0;
	int rc = mob_object_hold(own, node);

	while (rc >= 0 &&
	       (rc = mob_stream_next(own, &node, MOB_FOREVER, &item)) == 1) {
		if (number_of(own, item) != n++ ||
		    mob_object_release(own, item) < 0) {
			return 1;
		}
	}
	mob_store_close(own);
	return rc == 0 && n == ITEMS ? 0 : 2;
}

/* Three readers of their own pace, a writer that is at most 10 ahead. */
static void test_stream_followed_by_several_processes(void **state)
{
	struct cell *cell = shared_memory(sizeof(*cell));
	struct mob_stream_opts opts = MOB_STREAM_OPTS_INIT;
	pid_t pid[3];

	(void)state;
	opts.max_items = 10;
	assert_ok(mob_stream_create(s, &opts, &w, &first));
	cell_set(cell, first);
	for (int i = 0; i < 3; i++) {
		pid[i] = child_start(follows, cell);
	}
	/* All of them hold the first node. */
	while (__builtin_popcountll(mobi_load(&slot_at(s, first)->hold)) < 4) {
		(void)sched_yield();
	}
	assert_ok(mob_object_release(s, first));
	for (uint64_t i = 0; i < ITEMS; i++) {
		assert_ok(put_number(s, w, i, MOB_FOREVER));
	}
	assert_ok(mob_stream_end(w));
	for (int i = 0; i < 3; i++) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

static int writes_and_dies(void *arg)
{
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_stream *mine;
	struct mob_ref head;

	if (mob_stream_create(own, NULL, &mine, &head) < 0) {
		return 1;
	}
	for (uint64_t i = 0; i < 5; i++) {
		if (put_number(own, mine, i, 0) < 0) {
			return 2;
		}
	}
	cell_set(arg, head);
	/* The reader has the first node. */
	while (__builtin_popcountll(mobi_load(&slot_at(own, head)->hold)) < 2) {
		(void)sched_yield();
	}
	(void)kill(getpid(), SIGKILL);
	return 3;
}

static void test_stream_of_a_dead_writer_lost_after_what_it_put(void **state)
{
	struct cell *cell = shared_memory(sizeof(*cell));
	pid_t pid = child_start(writes_and_dies, cell);
	struct mob_ref node = cell_wait(cell);
	struct mob_ref item;

	(void)state;
	assert_ok(mob_object_hold(s, node));
	assert_int_equal(child_result(pid), -SIGKILL);
	for (uint64_t i = 0; i < 5; i++) {
		reads(&node, i);
	}
	assert_int_equal(mob_stream_next(s, &node, MOB_FOREVER, &item),
			 MOB_E_LOST);
	assert_ok(mob_object_release(s, node));
	assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

static void test_stream_bad_arguments_told(void **state)
{
	struct mob_stream_opts opts = MOB_STREAM_OPTS_INIT;
	struct mob_ref item;
	struct mob_ref r = put_filled(s, 8, 1);
	struct mob_ref node = r;

	(void)state;
	opts.max_items = (UINT64_C(1) << 20) + 1;
	assert_int_equal(mob_stream_create(s, &opts, &w, &first), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "1048576"));
	assert_int_equal(mob_stream_next(s, &node, 0, &item), MOB_E_TYPE);
	assert_ok(mob_stream_create(s, NULL, &w, &first));
	assert_int_equal(mob_stream_put(w, r, -5), MOB_E_INVAL);
	assert_int_equal(mob_stream_put(w, MOB_REF_NONE, 0), MOB_E_BAD_REF);
	assert_ok(mob_stream_put(w, r, 0));
	assert_ok(mob_object_release(s, r));
	assert_ok(mob_stream_end(w));
	assert_ok(mob_object_release(s, first));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stream_items_in_order_then_the_end),
		TEST(test_stream_dropped_unread_frees_all),
		TEST(test_stream_abandoned_cancelled),
		TEST(test_stream_bound_of_items_and_bytes),
		TEST(test_stream_followed_by_several_processes),
		TEST(test_stream_of_a_dead_writer_lost_after_what_it_put),
		TEST(test_stream_bad_arguments_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
