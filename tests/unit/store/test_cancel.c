/* SPDX-License-Identifier: Apache-2.0 */
/* Cancellation tokens: waits that another thread ends. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <pthread.h>

#define ROUNDS (SANITIZED ? 300 : 3000)

static struct mob_store *s;
static struct mob_cancel *token;
static struct mob_ref pending[3];

static int begin(void **state)
{
	(void)state;
	s = store_new(NULL, 16 * MIB);
	assert_ok(mob_cancel_new(&token));
	for (int i = 0; i < 3; i++) {
		pending[i] = make_pending(s);
	}
	return 0;
}

static int finish(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		(void)mob_object_abort(s, pending[i]);
		assert_ok(mob_object_release(s, pending[i]));
	}
	mob_cancel_free(token);
	store_end(s);
	return 0;
}

/* ---- each kind of wait ---- */

static int get_one(void)
{
	struct mob_view v;
	int rc = mob_object_get(s, pending[0], MOB_FOREVER, &v);

	if (rc >= 0) {
		mob_view_release(s, &v);
	}
	return rc;
}

static int get_for_an_hour(void)
{
	struct mob_view v;

	return mob_object_get(s, pending[0], 3600 * MOB_SEC, &v);
}

static int wait_any(void)
{
	bool ready[3];

	return mob_object_wait(s, pending, 3, 1, MOB_FOREVER, ready);
}

static int wait_all(void)
{
	bool ready[3];

	return mob_object_wait(s, pending, 3, 3, MOB_FOREVER, ready);
}

static int pop(void)
{
	struct mob_cq_entry e;
	struct mob_cq *q;
	int rc = mob_cq_open(s, &q);

	if (rc >= 0) {
		rc = mob_cq_add(q, pending[0], 1);
	}
	if (rc >= 0) {
		rc = mob_cq_pop(q, MOB_FOREVER, &e);
	}
	mob_cq_close(q);
	return rc;
}

static int (*const waits[])(void) = { get_one, get_for_an_hour, wait_any,
				      wait_all, pop };
#define WAITS (sizeof(waits) / sizeof(*waits))

struct thread {
	pthread_t id;
	int (*wait)(void);
	bool uses;
	mobi_a32 ready;
	int rc;
};

static void *runs(void *arg)
{
	struct thread *t = arg;

	if (t->uses) {
		(void)mob_cancel_use(token);
	}
	mobi_store(&t->ready, 1u);
	t->rc = t->wait();
	return NULL;
}

static void thread_start(struct thread *t, int (*wait)(void), bool uses)
{
	*t = (struct thread){ .wait = wait, .uses = uses };
	assert_int_equal(pthread_create(&t->id, NULL, runs, t), 0);
	while (!mobi_load(&t->ready)) {
		(void)sched_yield();
	}
}

static int thread_end(struct thread *t)
{
	assert_int_equal(pthread_join(t->id, NULL), 0);
	return t->rc;
}

/* ---- tests ---- */

static void test_cancel_ends_every_kind_of_wait(void **state)
{
	(void)state;
	for (int asleep = 0; asleep < 2; asleep++) {
		struct thread t[WAITS];

		for (size_t i = 0; i < WAITS; i++) {
			thread_start(&t[i], waits[i], true);
		}
		if (asleep) {
			until_wanted(s, pending[0]);
		}
		mob_cancel(token);
		for (size_t i = 0; i < WAITS; i++) {
			assert_int_equal(thread_end(&t[i]), MOB_E_INTERRUPTED);
		}
		assert_true(mob_cancel_is_set(token));
		mob_cancel_reset(token);
		assert_false(mob_cancel_is_set(token));
	}
}

static void test_cancel_leaves_others_and_results_alone(void **state)
{
	struct mob_ref there = put_filled(s, 8, 1);
	struct thread other;
	struct mob_view v;

	(void)state;
	thread_start(&other, get_one, false);
	mob_cancel(token);
	/* A thread that uses it: what is there is given, a poll is a poll. */
	assert_null(mob_cancel_use(token));
	assert_ok(mob_object_get(s, there, MOB_FOREVER, &v));
	mob_view_release(s, &v);
	assert_int_equal(mob_object_get(s, pending[0], 0, &v), MOB_E_TIMEOUT);
	assert_int_equal(get_one(), MOB_E_INTERRUPTED);
	assert_non_null(strstr(mob_err_detail(MOB_E_INTERRUPTED), "token"));
	assert_ptr_equal(mob_cancel_use(NULL), token);
	/* Not interrupted, it gets what is sealed now. */
	assert_ok(mob_object_seal(s, pending[0]));
	assert_int_equal(thread_end(&other), 0);
	assert_ok(mob_object_release(s, there));
}

static void *cancels(void *arg)
{
	(void)arg;
	for (int i = 0; i < ROUNDS; i++) {
		mob_cancel(token);
		while (mob_cancel_is_set(token)) {
			(void)sched_yield();
		}
	}
	return NULL;
}

/* A cancel at any moment of a wait is not missed: the wait would not end. */
static void test_cancel_at_any_moment_is_seen(void **state)
{
	pthread_t id;

	(void)state;
	(void)mob_cancel_use(token);
	assert_int_equal(pthread_create(&id, NULL, cancels, NULL), 0);
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(waits[(size_t)i % WAITS](), MOB_E_INTERRUPTED);
		mob_cancel_reset(token);
	}
	assert_int_equal(pthread_join(id, NULL), 0);
	(void)mob_cancel_use(NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cancel_ends_every_kind_of_wait),
		TEST(test_cancel_leaves_others_and_results_alone),
		TEST(test_cancel_at_any_moment_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
