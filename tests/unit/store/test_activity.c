/* SPDX-License-Identifier: Apache-2.0 */
/* What goes on: counters are exact, each process is told with what it has. */
#define _GNU_SOURCE

#include "store_fixture.h"

#include <mobula/memory.h>

#include <pthread.h>

#define THREADS 20
#define PUTS 500

static struct mob_store *s;
static char name[64];

static int begin(void **state)
{
	(void)state;
	s = store_new(name_new(name, sizeof(name), "activity"), 16 * MIB);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	store_end(s);
	return 0;
}

static struct mob_activity look(void)
{
	struct mob_activity a;

	assert_ok(mob_store_activity(s, &a));
	assert_int_equal(a.struct_size, sizeof(a));
	return a;
}

/* Of the process with this pid. */
static struct mob_process of(pid_t pid)
{
	struct mob_activity a = look();

	for (uint32_t i = 0; i < a.n_processes; i++) {
		if (a.process[i].pid == (uint32_t)pid) {
			return a.process[i];
		}
	}
	fail_msg("process %d is not attached", (int)pid);
	return a.process[0];
}

static void test_activity_counts(void **state)
{
	struct mob_activity before = look();
	struct mob_activity after;
	struct mob_ref r = put_filled(s, 1000, 1);
	struct mob_ref t = put_filled(s, 3, 2);
	struct mob_view v;

	(void)state;
	for (int i = 0; i < 7; i++) {
		assert_ok(mob_object_get(s, r, 0, &v));
		mob_view_release(s, &v);
	}
	assert_ok(mob_object_release(s, t));
	after = look();
	assert_int_equal(after.made - before.made, 2);
	assert_int_equal(after.freed - before.freed, 1);
	assert_int_equal(after.put_bytes - before.put_bytes, 1003);
	assert_int_equal(after.gets - before.gets, 7);
	assert_true(after.at_ns > before.at_ns);
	assert_ok(mob_object_release(s, r));
	assert_int_equal(look().freed - before.freed, 2);
}

/* The generations of a restored store begin anywhere. */
static void test_activity_of_a_restored_store(void **state)
{
	struct mob_ref r;

	(void)state;
	s->gen_base = 1000;
	for (int i = 0; i < 200; i++) {
		r = put_filled(s, 10, 1);
		assert_true(MOBI_GEN(r.lo) >= 1000);
		assert_int_equal(look().made, i + 1);
		assert_int_equal(look().freed, i);
		assert_ok(mob_object_release(s, r));
	}
	s->gen_base = 0;
}

static void test_activity_of_a_process(void **state)
{
	struct mob_ref r = put_filled(s, 100000, 1);
	struct mob_ref t = put_filled(s, 5, 1);
	uint64_t block = mobi_arena_block_bytes(s->arena,
						mobi_load(&slot_at(s, r)->loc));
	struct mob_process p;
	struct mob_view v;

	(void)state;
	p = of(getpid());
	assert_int_equal(p.number, s->me);
	assert_int_equal(p.state, MOB_PROCESS_RUNS);
	assert_true(strlen(p.command) > 0);
	assert_int_equal(p.made_objects, 2);
	assert_int_equal(p.made_bytes, block);
	assert_int_equal(p.held_objects, 2);
	assert_int_equal(p.held_bytes, block);
	assert_int_equal(p.viewed_bytes, 0);
	assert_int_equal(p.locks, 0);
	assert_int_equal(p.locked_objects, 0);
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_ok(mob_object_release(s, r)); /* a view keeps it, too */
	p = of(getpid());
	assert_int_equal(p.held_objects, 2);
	assert_int_equal(p.viewed_bytes, block);
	mob_view_release(s, &v);
	assert_int_equal(of(getpid()).held_objects, 1);
	assert_ok(mob_object_release(s, t));
}

static int hold_one(void *arg)
{
	struct mob_store *t = child_open(name);

	cell_set(arg, put_filled(t, 5000, 1));
	for (;;) {
		(void)pause();
	}
	return 0;
}

static void test_activity_of_the_stopped_and_the_dead(void **state)
{
	struct cell *c = shared_memory(sizeof(*c));
	pid_t child = child_start(hold_one, c);
	struct mob_ref r = cell_wait(c);
	struct mob_process p = of(child);

	(void)state;
	assert_int_equal(p.state, MOB_PROCESS_RUNS);
	assert_int_equal(p.held_objects, 1);
	assert_int_equal(p.made_objects, 1);
	assert_int_equal(p.put_bytes, 5000);
	assert_int_equal(kill(child, SIGSTOP), 0);
	while (of(child).state != MOB_PROCESS_STOPPED) {
		(void)sched_yield();
	}
	child_kill(child);
	assert_int_equal(of(child).state, MOB_PROCESS_DEAD);
	assert_int_equal(of(child).held_objects, 1);
	reap_until(s, MOBI_BIT(s->me));
	assert_int_equal(look().n_processes, 1);
	/* What it has done stays counted. */
	assert_int_equal(look().put_bytes, 5000);
	assert_int_equal(mob_object_state(s, r), MOB_OBJECT_GONE);
}

static int take_the_lock(void *arg)
{
	struct mob_store *t = child_open(name);

	if (mobi_lock_try(&t->hdr->janitor) < 0) {
		return 1;
	}
	cell_set(arg, put_filled(t, 8, 1));
	for (;;) {
		(void)pause();
	}
	return 0;
}

static void test_activity_of_a_lock(void **state)
{
	struct cell *c = shared_memory(sizeof(*c));
	pid_t child = child_start(take_the_lock, c);

	(void)state;
	(void)cell_wait(c);
	assert_int_equal(of(child).locks, MOB_LOCK_JANITOR);
	assert_int_equal(of(getpid()).locks, 0);
	child_kill(child);
	reap_until(s, MOBI_BIT(s->me));
}

static void *put_many(void *arg)
{
	for (int i = 0; i < PUTS; i++) {
		struct mob_ref r = put_filled(s, 10, 1);
		struct mob_view v;

		assert_ok(mob_object_get(s, r, 0, &v));
		mob_view_release(s, &v);
		assert_ok(mob_object_release(s, r));
	}
	return arg;
}

/* Threads beyond the rows share the last one, and lose nothing. */
static void test_activity_of_many_threads(void **state)
{
	struct mob_activity before = look();
	struct mob_activity after;
	pthread_t t[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&t[i], NULL, put_many, NULL),
				 0);
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
	}
	after = look();
	assert_int_equal(after.gets - before.gets, THREADS * PUTS);
	assert_int_equal(after.put_bytes - before.put_bytes,
			 THREADS * PUTS * 10);
	assert_int_equal(after.made - before.made, THREADS * PUTS);
	assert_int_equal(after.freed - before.freed, THREADS * PUTS);
}

/* A thread that uses two stores in turn counts for each. */
static void test_activity_of_two_stores(void **state)
{
	struct mob_store *first = s;
	struct mob_store *second = store_new(NULL, 16 * MIB);
	struct mob_activity a;

	(void)state;
	for (int i = 0; i < 20; i++) {
		struct mob_store *t = i % 2 ? second : first;
		struct mob_ref r = put_filled(t, 100, 1);

		assert_ok(mob_object_release(t, r));
	}
	assert_int_equal(look().put_bytes, 1000);
	assert_ok(mob_store_activity(second, &a));
	assert_int_equal(a.put_bytes, 1000);
	store_end(second);
}

static void test_activity_of_spilling(void **state)
{
	struct mob_store *t = store_new_spilling(8 * MIB);
	struct mob_activity a;
	struct mob_ref r[6];
	struct mob_view v;
	uint32_t files;

	(void)state;
	for (uint64_t i = 0; i < 6; i++) {
		r[i] = put_filled(t, 2 * MIB - 4096, i);
	}
	files = spill_files(t);
	assert_ok(mob_store_activity(t, &a));
	assert_int_equal(a.spills, files);
	assert_int_equal(a.restores, 0);
	for (uint64_t i = 0; i < 6; i++) {
		assert_ok(mob_object_get(t, r[i], MOB_FOREVER, &v));
		mob_view_release(t, &v);
	}
	assert_ok(mob_store_activity(t, &a));
	assert_true(a.restores > 0);
	assert_int_equal(a.spills - a.restores, spill_files(t));
	for (uint64_t i = 0; i < 6; i++) {
		assert_ok(mob_object_release(t, r[i]));
	}
	store_end(t);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, begin, finish)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_activity_counts),
		TEST(test_activity_of_a_restored_store),
		TEST(test_activity_of_a_process),
		TEST(test_activity_of_the_stopped_and_the_dead),
		TEST(test_activity_of_a_lock),
		TEST(test_activity_of_two_stores),
		TEST(test_activity_of_spilling),
		TEST(test_activity_of_many_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
