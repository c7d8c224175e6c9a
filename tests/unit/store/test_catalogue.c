/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue within one process, and its children of fork. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalogue_fixture.h"

#include <mobula/err.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void drain(struct fixture *f)
{
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, NULL), 0);
}

static uint64_t rows(struct fixture *f)
{
	uint64_t n = 0;

	assert_int_equal(mobi_catalogue_rows(f->cat, &n), 0);
	return n;
}

static bool dirty(struct fixture *f, uint32_t slot)
{
	uint32_t chunk = slot / 64;

	return (mobi_load(&f->shared->leaf[chunk / 64]) &
		MOBI_BIT(chunk % 64)) != 0;
}

/* ---- opening ---- */

static void test_open_no_directory_not_found(void **state)
{
	struct fixture *f = *state;
	struct mobi_catalogue *c = NULL;

	assert_int_equal(mobi_catalogue_open(AT_FDCWD,
					     "/dev/shm/no-such-mob-cat",
					     f->shared, f->slots, 0, &c),
			 MOB_E_NOT_FOUND);
	assert_null(c);
	assert_non_null(strstr(mob_err_detail(MOB_E_NOT_FOUND), "no-such"));
}

static void test_open_garbage_corrupt(void **state)
{
	struct fixture *f = *state;
	char path[128];
	char junk[8192];
	FILE *file;

	memset(junk, 0x5a, sizeof(junk));
	(void)snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(junk, 1, sizeof(junk), file), sizeof(junk));
	assert_int_equal(fclose(file), 0);
	slot_make(f, 1);
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, NULL), MOB_E_CORRUPT);
	assert_true(dirty(f, 1));
}

static void test_open_twice_one_environment(void **state)
{
	struct fixture *f = *state;
	struct mobi_catalogue *second = fixture_open(f);
	pid_t pid;
	int status;

	assert_non_null(second);
	slot_make(f, 1);
	drain(f);
	assert_int_equal(mobi_catalogue_drain(second, 0, NULL), 0);
	mobi_catalogue_close(second);
	/* If closing it had dropped the locks, the child would make new ones
	 * over those that this process goes on using. */
	pid = fork();
	if (pid == 0) {
		struct mobi_catalogue *c = fixture_open(f);

		for (uint32_t n = 0; n < 20000; n++) {
			slot_step(f, 64 + n % 5000, n);
			if (n % 100 == 0 && mobi_catalogue_drain(c, 0, NULL)) {
				_exit(1);
			}
		}
		_exit(mobi_catalogue_drain(c, 0, NULL) ? 1 : 0);
	}
	assert_true(pid > 0);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		slot_step(f, 6000, 1);
		drain(f);
	}
	assert_int_equal(status, 0);
	drain(f);
	assert_int_equal(fixture_check(f, 8192), 0);
}

static void test_fork_child_refused_until_it_opens(void **state)
{
	struct fixture *f = *state;
	pid_t pid;
	int status;

	slot_make(f, 1);
	drain(f);
	pid = fork();
	if (pid == 0) {
		struct mobi_catalogue *c;
		uint64_t n = 0;

		if (mobi_catalogue_drain(f->cat, 0, NULL) != MOB_E_FORKED ||
		    mobi_catalogue_rows(f->cat, &n) != MOB_E_FORKED) {
			_exit(1);
		}
		c = fixture_open(f);
		slot_make(f, 2);
		if (!c || mobi_catalogue_drain(c, 0, NULL) ||
		    mobi_catalogue_rows(c, &n) || n != 2) {
			_exit(2);
		}
		mobi_catalogue_close(c);
		mobi_catalogue_close(f->cat);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rows(f), 2);
	slot_free(f, 1);
	drain(f);
	assert_equal_slots(f, 64);
}

/* In a pid name space of its own: with the pid that its parent has in that one's. */
static int child_of_the_same_pid(struct mobi_catalogue *c)
{
	if (getpid() != 1) {
		return 2;
	}
	return mobi_catalogue_drain(c, 0, NULL) == MOB_E_FORKED ? 0 : 3;
}

static int first_of_a_name_space(struct fixture *f)
{
	struct mobi_catalogue *c = fixture_open(f);
	pid_t pid;
	int status;

	if (!c || mobi_catalogue_drain(c, 0, NULL) ||
	    unshare(CLONE_NEWPID) != 0) {
		return 4;
	}
	pid = fork();
	if (pid == 0) {
		_exit(child_of_the_same_pid(c));
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		       WEXITSTATUS(status) :
		       5;
}

static void test_fork_child_of_the_same_pid_refused(void **state)
{
	struct fixture *f = *state;
	pid_t outer;
	int status;

	slot_make(f, 1);
	outer = fork();
	if (outer == 0) {
		pid_t pid;

		if (unshare(CLONE_NEWPID) != 0) {
			_exit(77);
		}
		pid = fork();
		if (pid == 0) {
			_exit(first_of_a_name_space(f));
		}
		if (waitpid(pid, &status, 0) != pid) {
			_exit(6);
		}
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 7);
	}
	assert_int_equal(waitpid(outer, &status, 0), outer);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		skip(); /* without the right to make name spaces */
	}
	assert_int_equal(status, 0);
}

/* ---- bits ---- */

static void test_touch_far_chunks_all_found(void **state)
{
	static const uint32_t at[] = { 0,
				       63,
				       64,
				       4095,
				       4096,
				       262143,
				       262144,
				       1000000,
				       MOBI_SLOTS - 64,
				       MOBI_SLOTS - 1 };
	struct fixture *f = *state;
	uint64_t n = 0;

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		slot_make(f, at[i]);
	}
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, &n), 0);
	assert_int_equal(n, sizeof(at) / sizeof(at[0]));
	assert_int_equal(rows(f), n);
	assert_int_equal(mobi_load(&f->shared->root), 0);
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, &n), 0);
	assert_int_equal(n, 0);
}

static void test_reset_marks_used_chunks_only(void **state)
{
	struct fixture *f = *state;

	for (uint32_t n = 0; n < 300 * 64; n++) {
		slot_make(f, n);
	}
	/* A killed sealer has marked none of them, or only below. */
	memset(f->shared, 0, sizeof(*f->shared));
	mobi_fetch_or(&f->shared->leaf[0], UINT64_C(1));
	assert_int_equal(fixture_check(f, 64), 1); /* no drain finds it */
	drain(f);
	assert_int_equal(rows(f), 0);
	mobi_catalogue_reset(f->shared, 299);
	drain(f);
	assert_int_equal(rows(f), 299 * 64);
	mobi_catalogue_reset(f->shared, 300);
	drain(f);
	assert_equal_slots(f, 300 * 64);
}

/* ---- what is recorded ---- */

static void test_drain_states_resolved_only(void **state)
{
	struct fixture *f = *state;

	slot_birth(f, 0);
	mobi_catalogue_touch(f->shared, 0);
	for (uint32_t n = 1; n <= 4; n++) {
		slot_birth(f, n);
		slot_resolve(f, n, MOBI_S_SEALED + n - 1);
	}
	slot_make(f, 5);
	mobi_store(&f->slots[5].word, MOBI_WORD(0, 2, 0, MOBI_S_FREEING));
	drain(f);
	assert_int_equal(rows(f), 4);
	assert_equal_slots(f, 64);
	assert_int_equal(fixture_check(f, 64), 0);
}

static void test_drain_young_left_for_later(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 9;

	slot_make(f, 0);
	slot_make(f, 1);
	/* Not older than a minute, whatever the machine does. */
	mobi_store(&f->slots[1].born_ms, fixture_now_ms(f));
	assert_int_equal(mobi_catalogue_drain(f->cat, 60000, &n), 0);
	/* The session is younger than a minute too. */
	assert_int_equal(n, 0);
	assert_true(dirty(f, 1));
	mobi_store(&f->slots[0].born_ms, (uint32_t)-70000);
	assert_int_equal(mobi_catalogue_drain(f->cat, 60000, &n), 0);
	assert_int_equal(n, 1);
	assert_true(dirty(f, 1));
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, &n), 0);
	assert_int_equal(n, 1);
	assert_false(dirty(f, 1));
	/* Once recorded it stays, also if it looks young. */
	mobi_catalogue_touch(f->shared, 1);
	assert_int_equal(mobi_catalogue_drain(f->cat, 60000, &n), 0);
	assert_int_equal(n, 0);
	assert_equal_slots(f, 64);
}

static void test_drain_reused_young_old_row_goes(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;

	slot_make(f, 7);
	drain(f);
	slot_free(f, 7);
	slot_make(f, 7);
	mobi_store(&f->slots[7].born_ms, fixture_now_ms(f));
	assert_int_equal(mobi_catalogue_drain(f->cat, 60000, &n), 0);
	assert_int_equal(rows(f), 0);
	assert_int_equal(mobi_load(&f->shared->indexed[7]), 0);
	drain(f);
	assert_equal_slots(f, 64);
}

static void test_drain_freed_row_and_mark_go(void **state)
{
	struct fixture *f = *state;

	for (uint32_t n = 0; n < 5000; n++) {
		slot_make(f, n);
	}
	drain(f);
	assert_int_equal(rows(f), 5000);
	for (uint32_t n = 0; n < 5000; n += 2) {
		assert_int_not_equal(mobi_load(&f->shared->indexed[n]), 0);
		slot_free(f, n);
	}
	drain(f);
	assert_equal_slots(f, 5000);
	for (uint32_t n = 0; n < 5000; n++) {
		assert_int_equal(!mobi_load(&f->shared->indexed[n]),
				 n % 2 == 0);
	}
}

static void test_drain_short_lived_costs_no_row(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 9;

	for (uint32_t i = 0; i < 1000; i++) {
		slot_make(f, i % 100);
		slot_free(f, i % 100);
	}
	assert_int_equal(mobi_catalogue_drain(f->cat, 0, &n), 0);
	assert_int_equal(n, 0);
}

static void test_drain_last_generations_recorded(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 4; i++) {
		mobi_store(&f->slots[i].word,
			   MOBI_WORD(UINT32_MAX - i, 0, 0, MOBI_S_FREE));
		slot_make(f, i);
	}
	drain(f);
	assert_equal_slots(f, 64);
	for (uint32_t i = 0; i < 4; i++) {
		slot_free(f, i);
	}
	mobi_store(&f->slots[0].word, MOBI_WORD(UINT32_MAX, 0, 0, MOBI_S_WORN));
	drain(f);
	assert_int_equal(rows(f), 0);
}

/* ---- errors on the way ---- */

static int drain_with_small_files(struct fixture *f, bool go_on)
{
	struct rlimit lim = { 256 << 10, RLIM_INFINITY };
	struct mobi_catalogue *c = fixture_open(f);
	int rc;

	(void)signal(SIGXFSZ, SIG_IGN);
	(void)setrlimit(RLIMIT_FSIZE, &lim);
	rc = mobi_catalogue_drain(c, 0, NULL);
	if (rc >= 0 || !mob_err_detail(rc)[0]) {
		return 1;
	}
	lim.rlim_cur = RLIM_INFINITY;
	(void)setrlimit(RLIMIT_FSIZE, &lim);
	return go_on && mobi_catalogue_drain(c, 0, NULL) ? 2 : 0;
}

static void no_space(struct fixture *f, bool go_on)
{
	pid_t pid;
	int status;

	for (uint32_t n = 0; n < 20000; n++) {
		slot_make(f, n);
	}
	pid = fork();
	if (pid == 0) {
		_exit(drain_with_small_files(f, go_on));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	if (go_on) {
		assert_int_equal(rows(f), 20000);
	} else {
		assert_true(rows(f) < 20000);
	}
	drain(f);
	assert_equal_slots(f, 20000);
	assert_int_equal(fixture_check(f, 20000), 0);
}

static void test_drain_no_space_same_process_goes_on(void **state)
{
	no_space(*state, true);
}

static void test_drain_no_space_other_process_heals(void **state)
{
	no_space(*state, false);
}

/* ---- listing ---- */

static int stop_at_third(const struct mob_object_info *info, void *arg)
{
	int *n = arg;

	(void)info;
	return ++*n == 3 ? 42 : 0;
}

static void test_list_callback_stops_it(void **state)
{
	struct fixture *f = *state;
	int n = 0;

	for (uint32_t i = 0; i < 10; i++) {
		slot_make(f, i);
	}
	drain(f);
	assert_int_equal(
		mobi_catalogue_list(f->cat, 77, stop_at_third, &n, NULL), 42);
	assert_int_equal(n, 3);
}

static int change_all(const struct mob_object_info *info, void *arg)
{
	struct tally *t = arg;

	if (t->rows++ % 512 == 0) {
		struct tally inner = { .f = t->f };

		slot_free(t->f, (uint32_t)info->ref.lo);
		t->wrong += mobi_catalogue_drain(t->f->cat, 0, NULL) != 0;
		t->wrong += mobi_catalogue_list(t->f->cat, 77, tally_row,
						&inner, NULL) != 0;
		t->wrong += inner.wrong;
	}
	return 0;
}

static void test_list_callback_uses_the_catalogue(void **state)
{
	struct fixture *f = *state;
	struct tally t = { .f = f };

	for (uint32_t i = 0; i < 3000; i++) {
		slot_make(f, 2 * i);
	}
	drain(f);
	assert_int_equal(mobi_catalogue_list(f->cat, 77, change_all, &t, NULL),
			 0);
	assert_int_equal(t.rows, 3000);
	assert_int_equal(t.wrong, 0);
	assert_int_equal(rows(f), 3000 - 6);
}

static void test_list_empty_and_batch_sizes(void **state)
{
	struct fixture *f = *state;
	uint32_t n = 0;

	assert_equal_slots(f, 64);
	for (uint32_t to = 1023; to <= 1025; to++) {
		for (; n < to; n++) {
			slot_make(f, n);
		}
		drain(f);
		assert_equal_slots(f, 2048);
	}
}

static void test_list_lag_counts_from_drain(void **state)
{
	struct fixture *f = *state;
	struct tally t = { .f = f };
	uint64_t lag = 0;
	uint64_t before;

	assert_int_equal(mobi_catalogue_list(f->cat, 77, tally_row, &t, &lag),
			 0);
	assert_true(lag >= 10000); /* never drained: the session's age */
	before = fixture_now_ms(f);
	assert_int_equal(mobi_catalogue_drain(f->cat, 3000, NULL), 0);
	assert_int_equal(mobi_catalogue_list(f->cat, 77, tally_row, &t, &lag),
			 0);
	assert_true(lag >= 3000);
	assert_true(lag <= 3001 + fixture_now_ms(f) - before);
	/* A later drain that asks for less does not make it worse. */
	drain(f);
	assert_int_equal(mobi_catalogue_drain(f->cat, 60000, NULL), 0);
	assert_int_equal(mobi_catalogue_list(f->cat, 77, tally_row, &t, &lag),
			 0);
	assert_true(lag <= 1 + fixture_now_ms(f) - before);
}

/* ---- check ---- */

static void test_check_each_fault_found(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 0; i < 128; i++) {
		slot_make(f, i);
	}
	drain(f);
	assert_int_equal(fixture_check(f, 128), 0);
	mobi_store(&f->slots[1].size, UINT64_C(5));
	assert_int_equal(fixture_check(f, 128), 1); /* differs */
	mobi_store(&f->slots[2].word, MOBI_WORD(1, 0, 0, MOBI_S_FREE));
	assert_int_equal(fixture_check(f, 128), 2); /* row too much */
	slot_birth(f, 130);
	mobi_store(&f->slots[130].word, MOBI_WORD(0, 0, 0, MOBI_S_SEALED));
	assert_int_equal(fixture_check(f, 192), 3); /* row missing */
	mobi_store(&f->shared->indexed[3], 0u);
	assert_int_equal(fixture_check(f, 192), 4); /* no mark */
	slot_make(f, 1000);
	drain(f);
	mobi_catalogue_reset(f->shared, 3);
	drain(f);
	assert_int_equal(fixture_check(f, 192), 1); /* beyond the used */
}

/* ---- oracle ---- */

static void test_random_operations_equal_slots(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = mobi_now_ns() | 1;
	const uint32_t used = 3000;

	(void)fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	for (int round = 0; round < 200; round++) {
		uint64_t ops = rnd(&seed) % 2000;

		for (uint64_t i = 0; i < ops; i++) {
			uint32_t n = (uint32_t)(rnd(&seed) % used);

			slot_step(f, n, (unsigned)rnd(&seed));
			if (rnd(&seed) % 4 == 0) {
				mobi_store(&f->slots[n].born_ms,
					   fixture_now_ms(f));
				mobi_catalogue_touch(f->shared, n);
			}
		}
		if (rnd(&seed) % 2) {
			assert_int_equal(mobi_catalogue_drain(f->cat, 5, NULL),
					 0);
			continue;
		}
		drain(f);
		assert_equal_slots(f, used);
		assert_int_equal(fixture_check(f, used), 0);
	}
}

/* ---- threads: one mapping, so that ThreadSanitizer sees it ---- */

struct crew {
	struct fixture *f;
	mobi_a32 stop;
	mobi_a32 failed;
};

static int any_row(const struct mob_object_info *info, void *arg)
{
	(void)arg;
	return info->state < MOB_OBJECT_SEALED;
}

static void *drainer(void *arg)
{
	struct crew *w = arg;

	while (!mobi_load(&w->stop)) {
		if (mobi_catalogue_drain(w->f->cat, 0, NULL)) {
			mobi_store(&w->failed, 1u);
		}
	}
	return NULL;
}

static void *lister(void *arg)
{
	struct crew *w = arg;

	while (!mobi_load(&w->stop)) {
		uint64_t n;

		if (mobi_catalogue_list(w->f->cat, 1, any_row, NULL, NULL) ||
		    mobi_catalogue_rows(w->f->cat, &n)) {
			mobi_store(&w->failed, 2u);
		}
	}
	return NULL;
}

static void test_threads_drain_and_list_equal_slots(void **state)
{
	struct fixture *f = *state;
	struct crew w = { .f = f };
	pthread_t t[3];
	uint64_t seed = mobi_now_ns() | 1;

	(void)fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
	assert_int_equal(pthread_create(&t[0], NULL, drainer, &w), 0);
	assert_int_equal(pthread_create(&t[1], NULL, drainer, &w), 0);
	assert_int_equal(pthread_create(&t[2], NULL, lister, &w), 0);
	for (int i = 0; i < 200000; i++) {
		slot_step(f, (uint32_t)(rnd(&seed) % 1000),
			  (unsigned)rnd(&seed));
	}
	mobi_store(&w.stop, 1u);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
	}
	assert_int_equal(mobi_load(&w.failed), 0);
	drain(f);
	assert_equal_slots(f, 1000);
	assert_int_equal(fixture_check(f, 1000), 0);
}

#define T(name)                                                                \
	cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_open_no_directory_not_found),
		T(test_open_garbage_corrupt),
		T(test_open_twice_one_environment),
		T(test_fork_child_refused_until_it_opens),
		T(test_fork_child_of_the_same_pid_refused),
		T(test_touch_far_chunks_all_found),
		T(test_reset_marks_used_chunks_only),
		T(test_drain_states_resolved_only),
		T(test_drain_young_left_for_later),
		T(test_drain_reused_young_old_row_goes),
		T(test_drain_freed_row_and_mark_go),
		T(test_drain_short_lived_costs_no_row),
		T(test_drain_last_generations_recorded),
		T(test_drain_no_space_same_process_goes_on),
		T(test_drain_no_space_other_process_heals),
		T(test_list_callback_stops_it),
		T(test_list_callback_uses_the_catalogue),
		T(test_list_empty_and_batch_sizes),
		T(test_list_lag_counts_from_drain),
		T(test_check_each_fault_found),
		T(test_random_operations_equal_slots),
		T(test_threads_drain_and_list_equal_slots),
	};

	return cmocka_run_group_tests_name("store.catalogue", tests, NULL,
					   NULL);
}
