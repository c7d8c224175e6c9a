/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of who has a role: of the reaper while it cleans up after others, of the
 * writer of the index while it writes, and of all processes at once, after which
 * somebody attaches again. A kill counts when the role's lock was the victim's: it
 * is stopped first, looked at, and killed as it is.
 *
 *   MOB_TEST_ROLE_KILLS=n MOB_TEST_SEED=n test_crash_roles
 */
#define _GNU_SOURCE

#include "store_fixture.h"

#define OBJECTS 60u
#define NAMES 8u
#define FAMILY 4

struct scene {
	char name[MOB_STORE_NAME_MAX + 1];
	mobi_a32 ready;
	uint64_t seed; /* of the child that is started next */
};

static struct scene *sc;
static uint64_t kills; /* of each role */
static uint64_t seed;

/* The moment to stop one: it may be at anything. */
static void some_time(uint64_t ns)
{
	uint64_t until = now_ns() + next_random(&seed) % ns;

	while (now_ns() < until) {
		(void)sched_yield();
	}
}

static void wait_ready(uint32_t n)
{
	while (mobi_load(&sc->ready) < n) {
		(void)sched_yield();
	}
}

/* Stops the child, kills it. Was the lock its? */
static bool kill_with(pid_t pid, const struct mobi_lock *lock)
{
	bool had;
	int status = 0;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (!WIFSTOPPED(status)) {
		fail_msg("the child ended by itself: %#x", (unsigned)status);
	}
	had = mobi_lock_pid(lock) == (uint32_t)pid;
	child_kill(pid);
	return had;
}

/* ---- the reaper ---- */

static int hold_much_and_die(void *arg)
{
	struct mob_store *s = child_open(arg);
	struct mob_ref r[OBJECTS];
	struct mob_ref outer;
	struct mob_cq *q;

	for (uint32_t i = 0; i < OBJECTS; i++) {
		r[i] = i % 8 ? put_filled(s, 10 + i * 97, i) : make_pending(s);
	}
	if (mob_object_put_refs(s, r + 1, 5, &outer) || mob_cq_open(s, &q) ||
	    mob_cq_add(q, r[0], 1) || mob_cq_add(q, r[8], 2)) {
		return 1;
	}
	(void)kill(getpid(), SIGKILL);
	return 2;
}

/* Is there before the other dies, so that it does not reap when it opens. */
static int reap_for_ever(void *arg)
{
	struct mob_store *s = child_open(arg);

	(void)mobi_fetch_add(&sc->ready, 1u);
	for (;;) {
		(void)mobi_reap(s);
	}
	return 0;
}

static void test_roles_reaper_killed_another_takes_over(void **state)
{
	struct mob_store *s = store_new(
		name_new(sc->name, sizeof(sc->name), "reaper"), 16 * MIB);
	struct mob_ref mine = put_filled(s, 3000, 9);
	struct counts was = counts_of(s);
	uint64_t me = clients_used(s);
	uint64_t tries = 0;
	uint64_t hits = 0;

	(void)state;
	while (hits < kills) {
		struct counts is;
		pid_t reaper;
		pid_t victim;

		mobi_store(&sc->ready, 0u);
		reaper = child_start(reap_for_ever, sc->name);
		wait_ready(1);
		victim = child_start(hold_much_and_die, sc->name);
		/* It is a zombie, which is dead to the store. */
		assert_int_equal(waitid(P_PID, (id_t)victim, NULL,
					WEXITED | WNOWAIT),
				 0);
		some_time(400000);
		hits += kill_with(reaper, &s->hdr->janitor);
		assert_int_equal(child_result(victim), -SIGKILL);
		reap_until(s, me);
		is = counts_of(s);
		assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
		assert_int_equal(counts_differ(was, is), 0);
		assert_int_equal(is.unhinted, 0);
		if (++tries > 200 * kills) {
			fail_msg("it is hardly ever the reaper");
		}
	}
	print_message("%" PRIu64 " reapers killed in %" PRIu64 " tries\n", hits,
		      tries);
	assert_ok(mob_object_release(s, mine));
	store_end(s);
}

/* ---- the writer of the index ---- */

static int write_for_ever(void *arg)
{
	struct mob_store *s = child_open(arg);

	(void)mobi_fetch_add(&sc->ready, 1u);
	for (;;) {
		struct mob_ref r[8];

		for (uint32_t i = 0; i < 8; i++) {
			r[i] = put_filled(s, 100, i);
		}
		if (mob_store_sync(s)) {
			return 1;
		}
		for (uint32_t i = 0; i < 8; i++) {
			(void)mob_object_release(s, r[i]);
		}
	}
	return 0;
}

static int count_row(const struct mob_object_info *info, void *arg)
{
	(void)info;
	++*(uint32_t *)arg;
	return 0;
}

static void test_roles_writer_of_the_index_killed_rows_are_right(void **state)
{
	struct mob_store *s = store_new(
		name_new(sc->name, sizeof(sc->name), "writer"), 16 * MIB);
	uint64_t me = clients_used(s);
	uint64_t tries = 0;
	uint64_t hits = 0;

	(void)state;
	while (hits < kills) {
		struct mob_ref mine = put_filled(s, 200, tries);
		uint32_t rows = 0;
		pid_t pid;

		mobi_store(&sc->ready, 0u);
		pid = child_start(write_for_ever, sc->name);
		wait_ready(1);
		some_time(1000000);
		hits += kill_with(pid, &s->cat_shared->writing);
		reap_until(s, me);
		/* What is there is found, and nothing else. */
		assert_ok(mob_store_sync(s));
		assert_ok(mob_store_list(s, count_row, &rows, NULL));
		assert_int_equal(rows, 1);
		assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
		assert_ok(mob_object_release(s, mine));
		if (++tries > 200 * kills) {
			fail_msg("it hardly ever writes");
		}
	}
	print_message("%" PRIu64 " writers killed in %" PRIu64 " tries\n", hits,
		      tries);
	assert_ok(mob_store_sync(s));
	store_end(s);
}

/* ---- all at once ---- */

static int do_anything(struct mob_store *s, uint64_t *random)
{
	uint64_t n = next_random(random) % 1000;
	struct mob_ref r;
	struct mob_view v;
	char name[16];
	int rc;

	(void)snprintf(name, sizeof(name), "n%u",
		       (unsigned)(next_random(random) % NAMES));
	switch (next_random(random) % 6) {
	case 0:
		rc = mob_name_remove(s, name);
		return rc == MOB_E_NOT_FOUND ? 0 : rc;
	case 1:
		(void)mobi_reap(s);
		return mob_store_sync(s);
	case 2:
		rc = mob_name_get(s, name, &r, NULL);
		if (rc == 0 && mob_object_get(s, r, 0, &v) == 0) {
			mob_view_release(s, &v);
		}
		rc = rc == 0 ? mob_object_release(s, r) : rc;
		return rc == MOB_E_NOT_FOUND ? 0 : rc;
	default:
		r = put_filled(s, 40 + n * 7, n);
		rc = mob_name_put(s, name, r, MOB_NAME_REPLACE, NULL);
		return rc < 0 ? rc : mob_object_release(s, r);
	}
}

static int live_for_ever(void *arg)
{
	uint64_t random = sc->seed;
	struct mob_store *s = child_open(arg);

	(void)mobi_fetch_add(&sc->ready, 1u);
	for (;;) {
		int rc = do_anything(s, &random);

		if (rc < 0) {
			(void)fprintf(stderr, "child: %s: %s\n",
				      mob_err_name(rc), mob_err_detail(rc));
			return 1;
		}
	}
	return 0;
}

static int look_at(const struct mob_name_info *info, void *arg)
{
	struct mob_store *s = arg;
	struct mob_view v;
	bool right = false;

	if (mob_object_get(s, info->ref, 0, &v)) {
		return -1;
	}
	for (uint64_t n = 0; n < 1000 && !right; n++) {
		right = v.size == 40 + n * 7 && filled(v.at, v.size, n);
	}
	mob_view_release(s, &v);
	return right ? 0 : -1;
}

/* What is there has a name, is whole, and is in the index. */
static void attach_again(void)
{
	struct mob_store *s;
	struct counts c;
	uint32_t rows = 0;

	assert_ok(mob_store_open(sc->name, &s));
	reap_until(s, MOBI_BIT(s->me));
	assert_ok(mob_store_sync(s));
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	assert_int_equal(mob_name_list(s, NULL, look_at, s), 0);
	c = counts_of(s);
	assert_true(c.objects <= NAMES);
	assert_int_equal(c.records, 0);
	assert_int_equal(c.edges, 0);
	assert_ok(mob_store_list(s, count_row, &rows, NULL));
	assert_int_equal(rows, c.objects);
	mob_store_close(s);
}

static void test_roles_all_killed_at_once_who_comes_finds_all(void **state)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;
	struct mob_store *s;
	uint64_t rounds = (kills + FAMILY - 1) / FAMILY;

	(void)state;
	opts.arena_bytes = 16 * MIB;
	assert_ok(mob_store_create(name_new(sc->name, sizeof(sc->name), "all"),
				   &opts, &s));
	mob_store_close(s);
	for (uint64_t i = 0; i < rounds; i++) {
		pid_t pid[FAMILY];

		mobi_store(&sc->ready, 0u);
		for (int k = 0; k < FAMILY; k++) {
			sc->seed = next_random(&seed);
			pid[k] = child_start(live_for_ever, sc->name);
			assert_int_equal(setpgid(pid[k], pid[0]), 0);
			/* It has read its seed. */
			wait_ready((uint32_t)k + 1);
		}
		some_time(4000000);
		assert_int_equal(kill(-pid[0], SIGKILL), 0);
		for (int k = 0; k < FAMILY; k++) {
			assert_int_equal(child_result(pid[k]), -SIGKILL);
		}
		attach_again();
	}
	print_message("%" PRIu64 " times all %d were killed\n", rounds, FAMILY);
	assert_ok(mob_store_remove(sc->name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roles_reaper_killed_another_takes_over),
		cmocka_unit_test(
			test_roles_writer_of_the_index_killed_rows_are_right),
		cmocka_unit_test(
			test_roles_all_killed_at_once_who_comes_finds_all),
	};

	sc = shared_memory(sizeof(*sc));
	kills = test_count("MOB_TEST_ROLE_KILLS", SANITIZED ? 30 : 1000, 30000);
	seed = test_seed();
	return cmocka_run_group_tests_name("crash.roles", tests, NULL, NULL);
}
