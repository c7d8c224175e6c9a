/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for objects, for one and for many: time-outs, order, other processes
 * that seal or die. */
#define _GNU_SOURCE

#include "one_store.h"

#include <pthread.h>
#include <sys/resource.h>

/* ---- get and time ---- */

static void test_get_bad_timeout_inval(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);
	struct mob_view v;
	struct mob_cq_entry e;
	struct mob_cq *q;
	bool ready;

	(void)state;
	assert_int_equal(mob_object_get(s, r, -2, &v), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "timeout_ns"));
	assert_int_equal(mob_object_wait(s, &r, 1, 1, -2, &ready), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "timeout_ns"));
	assert_ok(mob_cq_open(s, &q));
	assert_int_equal(mob_cq_pop(q, INT64_MIN, &e), MOB_E_INVAL);
	mob_cq_close(q);
	assert_ok(mob_object_release(s, r));
}

static int seals_later(void *arg)
{
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_ref mine;
	void *at;

	if (mob_object_create(own, 8, 1, &mine, &at) != 0) {
		return 1;
	}
	fill(at, 8, 8);
	cell_set(arg, mine);
	until_wanted(own, mine);
	if (mob_object_seal(own, mine) != 0) {
		return 2;
	}
	mob_store_close(own);
	return 0;
}

/* From another process, asleep, with each kind of time-out. */
static void test_get_wakes_at_seal_in_another_process(void **state)
{
	static const int64_t timeouts[] = { MOB_FOREVER, INT64_MAX,
					    1000 * MOB_SEC };

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct cell *cell = shared_memory(sizeof(*cell));
		struct mob_view v;
		pid_t pid = child_start(seals_later, cell);

		assert_ok(mob_object_get(s, cell_wait(cell), timeouts[i], &v));
		assert_true(filled(v.at, v.size, 8));
		mob_view_release(s, &v);
		assert_int_equal(child_result(pid), 0);
		assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	}
	reap_until(s, MOBI_BIT(s->me));
}

static int creates_and_dies(void *arg)
{
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_ref mine;
	void *at;

	if (mob_object_create(own, 8, 1, &mine, &at) != 0) {
		return 1;
	}
	cell_set(arg, mine);
	until_wanted(own, mine);
	(void)kill(getpid(), SIGKILL);
	return 2;
}

/* Nobody but the sleeper is there to notice the death. */
static void test_get_of_a_dead_creators_object_lost(void **state)
{
	struct cell *cell = shared_memory(sizeof(*cell));
	struct mob_view v;
	pid_t pid = child_start(creates_and_dies, cell);

	(void)state;
	assert_int_equal(mob_object_get(s, cell_wait(cell), MOB_FOREVER, &v),
			 MOB_E_LOST);
	assert_int_equal(child_result(pid), -SIGKILL);
	assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

/* An hour's worth of slices passes while a queue gives the object a thousand
 * edges, so that it is swept rarely: there is an edge to sleep on all the time. */
static void test_get_many_times_of_a_crowded_object_has_an_edge(void **state)
{
	struct mob_ref r = make_pending(s);
	struct mobi_seat *seat;
	struct mob_view v;
	struct mob_cq *q;
	uint32_t n_free = 0;

	(void)state;
	assert_ok(mob_cq_open(s, &q));
	for (uint64_t i = 0; i < 1000; i++) {
		assert_ok(mob_cq_add(q, r, i));
	}
	for (uint32_t i = 0; i < MOBI_EDGE_CHUNK; i++) {
		assert_int_equal(mob_object_get(s, r, MOB_MS / 10, &v),
				 MOB_E_TIMEOUT);
	}
	assert_int_equal(mob_object_get(s, r, MOB_MS, &v), MOB_E_TIMEOUT);
	seat = mobi_seat(s);
	for (uint32_t k = 0; k < MOBI_EDGE_CHUNK; k++) {
		uint32_t n = MOBI_EDGE_OF_CHUNK(seat->chunk - 1, k);

		n_free += MOBI_STATE(mobi_load(&mobi_edge_at(s, n)->word)) ==
			  MOBI_E_FREE;
	}
	assert_true(n_free > 0);
	mob_cq_close(q);
	assert_ok(mob_object_abort(s, r));
	assert_ok(mob_object_release(s, r));
}

/* Time-outs are shorter than the time after which a sleeper looks. */
static void test_poll_of_a_dead_creators_object_lost(void **state)
{
	struct cell *cell = shared_memory(sizeof(*cell));
	pid_t pid = child_start(creates_and_dies, cell);
	struct mob_ref r = cell_wait(cell);
	uint64_t end = now_ns() + WATCHDOG_S * UINT64_C(1000000000);
	struct mob_cq_entry e;
	struct mob_view v;
	struct mob_cq *q;
	int rc;

	(void)state;
	assert_ok(mob_cq_open(s, &q));
	assert_ok(mob_cq_add(q, r, 1)); /* which the child waits for */
	assert_int_equal(child_result(pid), -SIGKILL);
	do {
		rc = mob_cq_pop(q, 0, &e);
		assert_true(now_ns() < end);
	} while (rc == MOB_E_TIMEOUT);
	assert_int_equal(rc, 1);
	assert_int_equal(mob_object_get(s, e.ref, MOB_MS, &v), MOB_E_LOST);
	assert_ok(mob_object_release(s, e.ref));
	mob_cq_close(q);
	assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

/* What it says goes to a pipe. */
static int waits_with_a_wrong_spin(void *arg)
{
	const int *fd = arg;
	struct mob_store *own;
	struct mob_ref r;
	struct mob_view v;

	(void)setenv("MOBULA_SPIN", "12x", 1);
	own = child_open(mob_store_name(s));
	r = make_pending(own);
	if (dup2(fd[1], STDERR_FILENO) < 0 ||
	    mob_object_get(own, r, 1, &v) != MOB_E_TIMEOUT ||
	    mob_object_get(own, r, 1, &v) != MOB_E_TIMEOUT ||
	    mob_object_abort(own, r) != 0) {
		return 1;
	}
	mob_store_close(own);
	return 0;
}

static void test_get_with_a_wrong_spin_warns_once(void **state)
{
	char said[512];
	int fd[2];
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(child_result(child_start(waits_with_a_wrong_spin, fd)),
			 0);
	(void)close(fd[1]);
	n = read(fd[0], said, sizeof(said) - 1);
	assert_true(n > 0);
	said[n] = '\0';
	assert_non_null(strstr(said, "MOBULA_SPIN is '12x'"));
	assert_null(strstr(strstr(said, "MOBULA_SPIN") + 1, "MOBULA_SPIN"));
	(void)close(fd[0]);
	reap_until(s, MOBI_BIT(s->me));
}

/* ---- wait ---- */

static void test_wait_bad_arguments_inval(void **state)
{
	struct mob_ref r[3] = { put_filled(s, 8, 1), put_filled(s, 8, 2),
				MOB_REF_NONE };
	bool ready[3];

	(void)state;
	r[2] = r[0];
	assert_int_equal(mob_object_wait(s, r, 2, 0, 0, ready), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "n_ready"));
	assert_int_equal(mob_object_wait(s, r, 2, 3, 0, ready), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "n_ready"));
	assert_int_equal(mob_object_wait(s, r, 3, 1, 0, ready), MOB_E_INVAL);
	assert_non_null(strstr(mob_err_detail(MOB_E_INVAL), "refs"));
	assert_int_equal(mob_object_wait(s, r, 0, 0, 0, ready), 0);
	assert_ok(mob_object_release(s, r[0]));
	assert_int_equal(mob_object_wait(s, r, 2, 1, 0, ready), MOB_E_BAD_REF);
	assert_ok(mob_object_release(s, r[1]));
}

static void test_wait_order_kept_never_more_than_asked(void **state)
{
	struct mob_ref r[6];
	bool ready[6];

	(void)state;
	for (int i = 0; i < 6; i++) {
		r[i] = make_pending(s);
	}
	assert_int_equal(mob_object_wait(s, r, 6, 1, 0, ready), 0);
	assert_int_equal(mob_object_wait(s, r, 6, 6, 100000, ready), 0);
	assert_ok(mob_object_seal(s, r[4]));
	assert_ok(mob_object_abort(s, r[2])); /* an error counts as ready */
	assert_int_equal(mob_object_wait(s, r, 6, 3, 100000, ready), 2);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(ready[i], i == 4 || i == 2);
	}
	assert_ok(mob_object_seal(s, r[0]));
	assert_ok(mob_object_seal(s, r[1]));
	assert_int_equal(mob_object_wait(s, r, 6, 3, MOB_FOREVER, ready), 3);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(ready[i], i < 3);
	}
	assert_ok(mob_object_seal(s, r[3]));
	assert_ok(mob_object_seal(s, r[5]));
	assert_int_equal(mob_object_wait(s, r, 6, 6, INT64_MAX, ready), 6);
	for (int i = 0; i < 6; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
}

/* Neither polls nor waits with a time-out use anything up, as long as the
 * object is pending. */
static void test_wait_polled_thousands_of_times_no_growth(void **state)
{
	struct mob_ref r = make_pending(s);
	struct counts was;
	struct mob_view v;
	bool ready;

	(void)state;
	assert_int_equal(mob_object_get(s, r, 100, &v), MOB_E_TIMEOUT);
	assert_int_equal(mob_object_wait(s, &r, 1, 1, 100, &ready), 0);
	was = counts_of(s);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(mob_object_get(s, r, 100, &v), MOB_E_TIMEOUT);
		assert_int_equal(mob_object_wait(s, &r, 1, 1, 100, &ready), 0);
	}
	assert_int_equal(counts_differ(was, counts_of(s)), 0);
	assert_ok(mob_object_seal(s, r));
	assert_ok(mob_object_release(s, r));
}

/* ---- all, without a wake for each ---- */

#define MANY 400u

static struct mob_ref many[MANY];

static void *seals_one_by_one(void *arg)
{
	until_wanted(s, many[MANY - 1]);
	for (uint32_t i = 0; i < MANY; i++) {
		const struct timespec pause = { .tv_nsec = 50000 };

		if (mob_object_seal(s, many[i]) < 0) {
			return NULL;
		}
		(void)nanosleep(&pause, NULL);
	}
	return arg;
}

/* Who wants all sleeps until all are there: at most slices wake it before. */
static void test_wait_for_all_is_not_woken_for_each(void **state)
{
	bool ready[MANY];
	struct rusage before;
	struct rusage after;
	pthread_t thread;
	void *done = NULL;

	(void)state;
	for (uint32_t i = 0; i < MANY; i++) {
		many[i] = make_pending(s);
	}
	assert_int_equal(pthread_create(&thread, NULL, seals_one_by_one, s), 0);
	assert_int_equal(getrusage(RUSAGE_THREAD, &before), 0);
	assert_int_equal(
		mob_object_wait(s, many, MANY, MANY, MOB_FOREVER, ready), MANY);
	assert_int_equal(getrusage(RUSAGE_THREAD, &after), 0);
	assert_int_equal(pthread_join(thread, &done), 0);
	assert_ptr_equal(done, s);
	print_message("%ld sleeps\n", after.ru_nvcsw - before.ru_nvcsw);
	assert_true(after.ru_nvcsw - before.ru_nvcsw < MANY / 4);
	for (uint32_t i = 0; i < MANY; i++) {
		assert_true(ready[i]);
		assert_ok(mob_object_release(s, many[i]));
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: it is read at the first wait of this process. */
		TEST(test_get_with_a_wrong_spin_warns_once),
		TEST(test_get_bad_timeout_inval),
		TEST(test_get_wakes_at_seal_in_another_process),
		TEST(test_get_of_a_dead_creators_object_lost),
		TEST(test_get_many_times_of_a_crowded_object_has_an_edge),
		TEST(test_poll_of_a_dead_creators_object_lost),
		TEST(test_wait_bad_arguments_inval),
		TEST(test_wait_order_kept_never_more_than_asked),
		TEST(test_wait_polled_thousands_of_times_no_growth),
		TEST(test_wait_for_all_is_not_woken_for_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
