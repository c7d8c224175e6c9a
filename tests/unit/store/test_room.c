/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for room in a full store. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <pthread.h>

#define HALF (6 * MIB)
#define CREATORS 4

static struct mob_store *s;

static int begin(void **state)
{
	(void)state;
	assert_int_equal(setenv("MOBULA_ROOM_WAIT_MS", "60000", 1), 0);
	s = store_new(NULL, 16 * MIB);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	store_end(s);
	assert_int_equal(unsetenv("MOBULA_ROOM_WAIT_MS"), 0);
	return 0;
}

static bool waits(uint32_t client)
{
	return mobi_load(&s->clients[client].room) != 0;
}

static uint32_t waiting(void)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		n += waits(i) && MOBI_STATE(mobi_load(&s->clients[i].word)) ==
					 MOBI_CLIENT_LIVE;
	}
	return n;
}

static void await_waiting(uint32_t n)
{
	while (waiting() != n) {
		(void)sched_yield();
	}
}

struct line {
	mobi_a32 got; /* how many have their object */
	mobi_a32 place[CREATORS];
	mobi_a32 go[CREATORS];
};

struct creator {
	struct line *line;
	uint32_t i;
};

/* Makes an object of half the store, notes its turn, lets it go when told. */
static int creates(void *arg)
{
	struct creator *c = arg;
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_ref r;
	void *at;

	if (mob_object_create(own, HALF, 1, &r, &at) < 0) {
		return 1;
	}
	mobi_store(&c->line->place[c->i],
		   mobi_fetch_add(&c->line->got, 1u) + 1);
	while (!mobi_load(&c->line->go[c->i])) {
		(void)sched_yield();
	}
	mob_store_close(own);
	return 0;
}

static void test_room_waiters_get_it_in_order_of_arrival(void **state)
{
	struct line *line = shared_memory(sizeof(*line));
	struct mob_ref a = put_filled(s, HALF, 1);
	struct mob_ref b = put_filled(s, HALF, 2);
	struct creator c[CREATORS];
	pid_t pid[CREATORS];

	(void)state;
	for (uint32_t i = 0; i < CREATORS; i++) {
		c[i] = (struct creator){ line, i };
		pid[i] = child_start(creates, &c[i]);
		await_waiting(i + 1);
	}
	/* One that is killed is not waited for. */
	child_kill(pid[1]);
	assert_ok(mob_object_release(s, a));
	while (mobi_load(&line->got) < 1) {
		(void)sched_yield();
	}
	assert_int_equal(mobi_load(&line->place[0]), 1);
	assert_ok(mob_object_release(s, b));
	while (mobi_load(&line->got) < 2) {
		mobi_reap(s);
		(void)sched_yield();
	}
	assert_int_equal(mobi_load(&line->place[2]), 2);
	mobi_store(&line->go[0], 1u);
	assert_int_equal(child_result(pid[0]), 0);
	while (mobi_load(&line->got) < 3) {
		(void)sched_yield();
	}
	assert_int_equal(mobi_load(&line->place[3]), 3);
	mobi_store(&line->go[2], 1u);
	mobi_store(&line->go[3], 1u);
	assert_int_equal(child_result(pid[2]), 0);
	assert_int_equal(child_result(pid[3]), 0);
	reap_until(s, MOBI_BIT(s->me));
	assert_int_equal(munmap(line, sizeof(*line)), 0);
}

/* One that is stopped keeps its place, but not those behind it for ever. */
static void test_room_behind_a_stopped_one_is_tried_at_the_end(void **state)
{
	struct line *line = shared_memory(sizeof(*line));
	struct mob_ref a = put_filled(s, HALF, 1);
	struct mob_ref b = put_filled(s, HALF, 2);
	struct creator c[2] = { { line, 0 }, { line, 1 } };
	pid_t stopped = child_start(creates, &c[0]);
	pid_t behind;

	(void)state;
	await_waiting(1);
	assert_int_equal(kill(stopped, SIGSTOP), 0);
	assert_int_equal(setenv("MOBULA_ROOM_WAIT_MS", "300", 1), 0);
	behind = child_start(creates, &c[1]);
	await_waiting(2);
	assert_ok(mob_object_release(s, a));
	mobi_store(&line->go[1], 1u);
	assert_int_equal(child_result(behind), 0);
	assert_int_equal(mobi_load(&line->place[1]), 1);
	assert_ok(mob_object_release(s, b));
	assert_int_equal(kill(stopped, SIGCONT), 0);
	mobi_store(&line->go[0], 1u);
	assert_int_equal(child_result(stopped), 0);
	reap_until(s, MOBI_BIT(s->me));
	assert_int_equal(munmap(line, sizeof(*line)), 0);
}

static struct mob_cancel *token;

static void *creates_in_vain(void *arg)
{
	struct mob_ref r;
	void *at;
	int *rc = arg;

	(void)mob_cancel_use(token);
	*rc = mob_object_create(s, HALF, 1, &r, &at);
	return NULL;
}

/* Nobody makes room in a session that has ended. */
static void test_room_wait_of_an_ended_session_closed(void **state)
{
	struct mob_ref a = put_filled(s, HALF, 1);
	struct mob_ref b = put_filled(s, HALF, 2);
	pthread_t thread;
	int rc = 0;

	(void)state;
	assert_ok(mob_cancel_new(&token));
	assert_int_equal(pthread_create(&thread, NULL, creates_in_vain, &rc),
			 0);
	await_waiting(1);
	mobi_store(&s->hdr->ending, 1u);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(rc, MOB_E_CLOSED);
	assert_int_equal(waiting(), 0);
	mobi_store(&s->hdr->ending, 0u);
	mob_cancel_free(token);
	assert_ok(mob_object_release(s, a));
	assert_ok(mob_object_release(s, b));
}

static void test_room_wait_cancelled_interrupted(void **state)
{
	struct mob_ref a = put_filled(s, HALF, 1);
	struct mob_ref b = put_filled(s, HALF, 2);
	pthread_t thread[3];
	int rc[3] = { 0, 0, 0 };

	(void)state;
	assert_ok(mob_cancel_new(&token));
	/* One has the ticket of the process, the others wait for it. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&thread[i], NULL,
						creates_in_vain, &rc[i]),
				 0);
	}
	await_waiting(1);
	mob_cancel(token);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(rc[i], MOB_E_INTERRUPTED);
	}
	assert_int_equal(waiting(), 0);
	mob_cancel_free(token);
	assert_ok(mob_object_release(s, a));
	assert_ok(mob_object_release(s, b));
}

static void test_room_wait_is_bounded(void **state)
{
	struct mob_ref a = put_filled(s, HALF, 1);
	struct mob_ref b = put_filled(s, HALF, 2);
	struct mob_ref r;
	void *at;

	(void)state;
	/* What never fits is not waited for. */
	assert_int_equal(mob_object_create(s, GIB, 1, &r, &at),
			 MOB_E_STORE_FULL);
	assert_int_equal(setenv("MOBULA_ROOM_WAIT_MS", "20", 1), 0);
	assert_int_equal(mob_object_create(s, HALF, 1, &r, &at),
			 MOB_E_STORE_FULL);
	assert_non_null(strstr(mob_err_detail(MOB_E_STORE_FULL), "no room"));
	assert_int_equal(waiting(), 0);
	assert_ok(mob_object_release(s, a));
	assert_ok(mob_object_release(s, b));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_room_waiters_get_it_in_order_of_arrival),
		TEST(test_room_behind_a_stopped_one_is_tried_at_the_end),
		TEST(test_room_wait_cancelled_interrupted),
		TEST(test_room_wait_of_an_ended_session_closed),
		TEST(test_room_wait_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
