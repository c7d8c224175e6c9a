/* SPDX-License-Identifier: Apache-2.0 */
/* Completion queues: order, many, poll, several poppers, death. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <pthread.h>

#define MANY (SANITIZED ? 20000 : 100000)
#define POPPERS 4
#define POPS (SANITIZED ? 2000 : 20000)

static struct mob_store *s;
static struct mob_cq *q;

static int begin(void **state)
{
	(void)state;
	s = store_new(NULL, 16 * MIB);
	assert_ok(mob_cq_open(s, &q));
	return 0;
}

static int finish(void **state)
{
	(void)state;
	mob_cq_close(q);
	store_end(s);
	return 0;
}

/* The next entry has this number; its hold is given back. */
static void pops(uint64_t user)
{
	struct mob_cq_entry e = { MOB_REF_NONE, 0 };

	assert_int_equal(mob_cq_pop(q, 0, &e), 1);
	assert_int_equal(e.user, user);
	assert_ok(mob_object_release(s, e.ref));
}

static void empty(int rc)
{
	struct mob_cq_entry e = { MOB_REF_NONE, 99 };

	assert_int_equal(mob_cq_pop(q, 0, &e), rc);
	assert_int_equal(e.user, 99);
}

static void test_pop_nothing_outstanding_zero(void **state)
{
	struct mob_cq_entry e;
	struct mob_ref r = make_pending(s);

	(void)state;
	empty(0);
	assert_int_equal(mob_cq_pop(q, MOB_FOREVER, &e), 0);
	assert_ok(mob_cq_add(q, r, 1));
	assert_int_equal(mob_cq_outstanding(q), 1);
	empty(MOB_E_TIMEOUT);
	assert_int_equal(mob_cq_pop(q, 100000, &e), MOB_E_TIMEOUT);
	assert_ok(mob_object_seal(s, r));
	assert_int_equal(mob_cq_outstanding(q), 1);
	pops(1);
	assert_int_equal(mob_cq_outstanding(q), 0);
	empty(0);
	assert_ok(mob_object_release(s, r));
}

static void test_pop_in_order_of_completion(void **state)
{
	static struct mob_ref r[1000];
	uint32_t order[1000];
	uint64_t seed = now_ns() | 1;

	(void)state;
	print_message("seed %#" PRIx64 "\n", seed);
	for (uint32_t i = 0; i < 1000; i++) {
		r[i] = make_pending(s);
		order[i] = i;
		assert_ok(mob_cq_add(q, r[i], i));
	}
	for (uint32_t i = 999; i > 0; i--) {
		uint32_t k = (uint32_t)(next_random(&seed) % (i + 1));
		uint32_t t = order[i];

		order[i] = order[k];
		order[k] = t;
	}
	for (uint32_t i = 0; i < 1000; i++) {
		/* However it ends. */
		assert_ok(i % 3 ? mob_object_seal(s, r[order[i]]) :
				  mob_object_abort(s, r[order[i]]));
		if (i % 100 == 99) {
			for (uint32_t k = i - 99; k <= i; k++) {
				pops(order[k]);
			}
			empty(i == 999 ? 0 : MOB_E_TIMEOUT);
		}
	}
	for (uint32_t i = 0; i < 1000; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
}

static void test_add_resolved_pops_in_order_of_adding(void **state)
{
	struct mob_ref r[3];

	(void)state;
	for (uint64_t i = 0; i < 3; i++) {
		r[i] = put_filled(s, 8, i);
	}
	for (uint64_t i = 3; i-- > 0;) {
		assert_ok(mob_cq_add(q, r[i], i));
		/* The queue keeps it. */
		assert_ok(mob_object_release(s, r[i]));
		assert_int_equal(mob_object_state(s, r[i]), MOB_OBJECT_SEALED);
	}
	for (uint64_t i = 3; i-- > 0;) {
		pops(i);
		assert_int_equal(mob_object_state(s, r[i]), MOB_OBJECT_GONE);
	}
}

static void test_add_same_ref_often_pops_as_often(void **state)
{
	struct mob_ref r = make_pending(s);
	bool seen[200] = { false };

	(void)state;
	for (uint64_t i = 0; i < 200; i++) {
		assert_ok(mob_cq_add(q, r, i));
	}
	assert_ok(mob_object_seal(s, r));
	assert_ok(mob_object_release(s, r));
	for (int i = 0; i < 200; i++) {
		struct mob_cq_entry e;

		assert_int_equal(mob_cq_pop(q, 0, &e), 1);
		assert_true(mob_ref_equal(e.ref, r));
		assert_true(e.user < 200 && !seen[e.user]);
		seen[e.user] = true;
		assert_ok(mob_object_release(s, e.ref));
	}
	empty(0);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

static void test_add_gone_ref_bad_ref(void **state)
{
	struct mob_ref r = put_filled(s, 8, 1);

	(void)state;
	assert_ok(mob_object_release(s, r));
	assert_int_equal(mob_cq_add(q, r, 1), MOB_E_BAD_REF);
	assert_int_equal(mob_cq_outstanding(q), 0);
	empty(0);
}

static void test_many_outstanding(void **state)
{
	struct mob_ref *r = calloc(MANY, sizeof(*r));

	(void)state;
	assert_non_null(r);
	for (uint64_t i = 0; i < MANY; i++) {
		r[i] = make_pending(s);
		assert_ok(mob_cq_add(q, r[i], i));
	}
	assert_int_equal(mob_cq_outstanding(q), MANY);
	empty(MOB_E_TIMEOUT);
	for (uint64_t i = MANY; i-- > 0;) {
		assert_ok(mob_object_seal(s, r[i]));
	}
	for (uint64_t i = MANY; i-- > 0;) {
		pops(i);
		assert_ok(mob_object_release(s, r[i]));
	}
	empty(0);
	free(r);
}

static void test_edges_used_again_not_used_up(void **state)
{
	uint32_t used = 0;

	(void)state;
	for (uint64_t i = 0; i < 20000; i++) {
		struct mob_ref r = make_pending(s);

		assert_ok(mob_cq_add(q, r, i));
		assert_ok(mob_object_seal(s, r));
		assert_ok(mob_object_release(s, r));
		pops(i);
		if (i == 100) {
			used = (uint32_t)counts_of(s).chunks;
		}
	}
	assert_int_equal(counts_of(s).chunks, used);
}

static void test_close_with_entries_lets_them_go(void **state)
{
	struct mob_ref pending = make_pending(s);
	struct mob_ref sealed = put_filled(s, 5000, 1);
	struct mob_cq *own;

	(void)state;
	assert_ok(mob_cq_open(s, &own));
	assert_ok(mob_cq_add(own, pending, 1));
	assert_ok(mob_cq_add(own, sealed, 2));
	assert_ok(mob_object_release(s, sealed));
	mob_cq_close(own);
	mob_cq_close(NULL);
	assert_int_equal(mob_object_state(s, sealed), MOB_OBJECT_GONE);
	assert_ok(mob_object_seal(s, pending));
	assert_ok(mob_object_release(s, pending));
	assert_int_equal(mob_object_state(s, pending), MOB_OBJECT_GONE);
}

static void test_open_256_queues_limit(void **state)
{
	struct mob_cq *all[MOBI_CQS] = { NULL };
	struct mob_cq *more = NULL;

	(void)state;
	for (uint32_t i = 1; i < MOBI_CQS; i++) { /* one is open */
		assert_ok(mob_cq_open(s, &all[i]));
	}
	assert_int_equal(mob_cq_open(s, &more), MOB_E_LIMIT);
	assert_non_null(strstr(mob_err_detail(MOB_E_LIMIT), "256"));
	assert_null(more);
	mob_cq_close(all[100]);
	assert_ok(mob_cq_open(s, &all[100]));
	for (uint32_t i = 1; i < MOBI_CQS; i++) {
		mob_cq_close(all[i]);
	}
}

/* ---- poll ---- */

static bool readable(int fd, int ms)
{
	struct pollfd p = { fd, POLLIN, 0 };

	return poll(&p, 1, ms) == 1;
}

static void test_fd_readable_when_something_completes(void **state)
{
	struct mob_ref r[3];
	int fd;

	(void)state;
	for (uint64_t i = 0; i < 3; i++) {
		r[i] = make_pending(s);
		assert_ok(mob_cq_add(q, r[i], i));
	}
	/* What completed before the descriptor was asked for counts too. */
	assert_ok(mob_object_seal(s, r[0]));
	fd = mob_cq_fd(q);
	assert_ok(fd);
	assert_int_equal(mob_cq_fd(q), fd);
	assert_true(readable(fd, 10000));
	pops(0);
	empty(MOB_E_TIMEOUT);
	assert_false(readable(fd, 0));
	for (uint64_t i = 1; i < 3; i++) {
		assert_ok(mob_object_seal(s, r[i]));
		assert_true(readable(fd, 10000));
		pops(i);
		empty(i == 2 ? 0 : MOB_E_TIMEOUT);
		assert_false(readable(fd, 0));
	}
	for (int i = 0; i < 3; i++) {
		assert_ok(mob_object_release(s, r[i]));
	}
}

static int seal_in_turn(void *arg)
{
	struct cell *cell = arg;
	struct mob_store *own = child_open(mob_store_name(s));

	for (uint64_t i = 0; i < 500; i++) {
		struct mob_ref r;
		void *at;

		if (mob_object_create(own, 8, 1, &r, &at) != 0) {
			return 1;
		}
		cell_set(cell, r);
		while (mobi_load(&cell->hi)) {
			(void)sched_yield();
		}
		if (mob_object_seal(own, r) != 0 ||
		    mob_object_release(own, r) != 0) {
			return 2;
		}
	}
	mob_store_close(own);
	return 0;
}

/* The other seals after the add, or before: poll never misses it. */
static void test_fd_across_processes_no_completion_missed(void **state)
{
	struct cell *cell = shared_memory(sizeof(*cell));
	pid_t pid = child_start(seal_in_turn, cell);
	int fd = mob_cq_fd(q);

	(void)state;
	for (uint64_t i = 0; i < 500; i++) {
		struct mob_cq_entry e;
		int rc;

		assert_ok(mob_cq_add(q, cell_wait(cell), i));
		mobi_store(&cell->hi, UINT64_C(0));
		while ((rc = mob_cq_pop(q, 0, &e)) == MOB_E_TIMEOUT) {
			assert_true(readable(fd, (int)WATCHDOG_S * 1000));
		}
		assert_int_equal(rc, 1);
		assert_int_equal(e.user, i);
		assert_ok(mob_object_release(s, e.ref));
	}
	assert_int_equal(child_result(pid), 0);
	assert_int_equal(munmap(cell, sizeof(*cell)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

/* ---- several poppers ---- */

struct team {
	mobi_a64 sum;
	mobi_a64 n;
	mobi_a32 bad;
};

static void *pops_until_empty(void *arg)
{
	struct team *t = arg;
	struct mob_cq_entry e;
	int rc;

	while ((rc = mob_cq_pop(q, MOB_FOREVER, &e)) == 1) {
		(void)mobi_fetch_add(&t->sum, e.user);
		(void)mobi_fetch_add(&t->n, UINT64_C(1));
		if (mob_object_release(s, e.ref) != 0) {
			(void)mobi_fetch_add(&t->bad, 1u);
		}
	}
	if (rc != 0) {
		(void)mobi_fetch_add(&t->bad, 1u);
	}
	return NULL;
}

static void test_poppers_share_and_all_end(void **state)
{
	static struct mob_ref r[POPS];
	struct team t = { 0, 0, 0 };
	pthread_t thread[POPPERS];

	(void)state;
	for (uint64_t i = 0; i < POPS; i++) {
		r[i] = make_pending(s);
		assert_ok(mob_cq_add(q, r[i], i));
	}
	for (int i = 0; i < POPPERS; i++) {
		assert_int_equal(pthread_create(&thread[i], NULL,
						pops_until_empty, &t),
				 0);
	}
	for (uint64_t i = 0; i < POPS; i++) {
		assert_ok(mob_object_seal(s, r[i]));
		assert_ok(mob_object_release(s, r[i]));
	}
	/* Who pops the last wakes the others, who find nothing outstanding. */
	for (int i = 0; i < POPPERS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	}
	assert_int_equal(mobi_load(&t.bad), 0);
	assert_int_equal(mobi_load(&t.n), POPS);
	assert_int_equal(mobi_load(&t.sum), (uint64_t)POPS * (POPS - 1) / 2);
}

/* ---- death ---- */

static int has_a_queue_and_dies(void *arg)
{
	struct mob_ref *r = arg;
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_cq *mine;

	if (mob_cq_open(own, &mine) != 0 || mob_cq_add(mine, r[0], 1) != 0 ||
	    mob_cq_add(mine, r[1], 2) != 0 || mob_cq_fd(mine) < 0) {
		return 1;
	}
	(void)kill(getpid(), SIGKILL);
	return 2;
}

static void test_queue_of_a_killed_process_goes(void **state)
{
	struct mob_ref r[2] = { make_pending(s), put_filled(s, 5000, 1) };
	struct counts was = counts_of(s);

	(void)state;
	for (int i = 0; i < 5; i++) {
		assert_int_equal(
			child_result(child_start(has_a_queue_and_dies, r)),
			-SIGKILL);
		reap_until(s, MOBI_BIT(s->me));
		assert_int_equal(counts_differ(was, counts_of(s)), 0);
		assert_int_equal(mobi_load(&s->cqs[1].word) & 255, 0);
	}
	assert_ok(mob_object_seal(s, r[0]));
	assert_ok(mob_object_release(s, r[0]));
	assert_ok(mob_object_release(s, r[1]));
}

static int resolves_and_dies(void *arg)
{
	struct cell *cell = arg;
	struct mob_store *own = child_open(mob_store_name(s));
	struct mob_ref mine[2];
	void *at;

	for (int i = 0; i < 2; i++) {
		if (mob_object_create(own, 8, 1, &mine[i], &at) != 0) {
			return 1;
		}
		cell_set(&cell[i], mine[i]);
	}
	until_wanted(own, mine[1]);
	if (mob_object_seal(own, mine[1]) != 0) {
		return 2;
	}
	(void)kill(getpid(), SIGKILL);
	return 3;
}

/* The sleeping popper is the only one who can notice the death. */
static void test_pop_gets_what_the_dead_left_lost(void **state)
{
	struct cell *cell = shared_memory(2 * sizeof(*cell));
	struct mob_cq_entry e[2];
	struct mob_view v;
	pid_t pid = child_start(resolves_and_dies, cell);

	(void)state;
	assert_ok(mob_cq_add(q, cell_wait(&cell[0]), 0));
	assert_ok(mob_cq_add(q, cell_wait(&cell[1]), 1));
	assert_int_equal(mob_cq_pop(q, MOB_FOREVER, &e[0]), 1);
	assert_int_equal(mob_cq_pop(q, MOB_FOREVER, &e[1]), 1);
	assert_int_equal(e[0].user, 1);
	assert_int_equal(e[1].user, 0);
	assert_ok(mob_object_get(s, e[0].ref, 0, &v));
	mob_view_release(s, &v);
	assert_int_equal(mob_object_get(s, e[1].ref, 0, &v), MOB_E_LOST);
	assert_ok(mob_object_release(s, e[0].ref));
	assert_ok(mob_object_release(s, e[1].ref));
	assert_int_equal(child_result(pid), -SIGKILL);
	assert_int_equal(munmap(cell, 2 * sizeof(*cell)), 0);
	reap_until(s, MOBI_BIT(s->me));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_pop_nothing_outstanding_zero),
		TEST(test_pop_in_order_of_completion),
		TEST(test_add_resolved_pops_in_order_of_adding),
		TEST(test_add_same_ref_often_pops_as_often),
		TEST(test_add_gone_ref_bad_ref),
		TEST(test_many_outstanding),
		TEST(test_edges_used_again_not_used_up),
		TEST(test_close_with_entries_lets_them_go),
		TEST(test_open_256_queues_limit),
		TEST(test_fd_readable_when_something_completes),
		TEST(test_fd_across_processes_no_completion_missed),
		TEST(test_poppers_share_and_all_end),
		TEST(test_queue_of_a_killed_process_goes),
		TEST(test_pop_gets_what_the_dead_left_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
