/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 after every step of a sync of a durable store, and of a restore
 * (support/traced.h says what a step is). After a reboot the store is as it was at
 * one sync or the other, whole, and the next sync is as any.
 */
#define _GNU_SOURCE

#include "durable_fixture.h"
#include "traced.h"

#include <limits.h>

#include <sys/ptrace.h>

enum { SET = 4 };
static const uint64_t sizes[SET] = { 30, 1000, 5000, 20000 };

/* All names get objects of one number; the last has a ref of the one before it
 * inside. */
static int set_all(struct mob_store *s, uint64_t n)
{
	struct mob_ref outer;
	struct mob_ref r = MOB_REF_NONE;
	int rc = 0;

	for (int i = 0; i < SET && rc >= 0; i++) {
		char as[16];
		char at[20000];

		if (r.hi) {
			(void)mob_object_release(s, r);
		}
		(void)snprintf(as, sizeof(as), "set%d", i);
		fill(at, sizes[i], n + (uint64_t)i);
		rc = mob_object_put(s, at, sizes[i], MOB_TYPE_BYTES, &r);
		rc = rc < 0 ? rc :
			      mob_name_put(s, as, r, MOB_NAME_REPLACE, NULL);
	}
	rc = rc < 0 ? rc : mob_object_put_refs(s, &r, 1, &outer);
	rc = rc < 0 ? rc :
		      mob_name_put(s, "outer", outer, MOB_NAME_REPLACE, NULL);
	rc = rc < 0 ? rc : mob_object_release(s, outer);
	return rc < 0 ? rc : mob_object_release(s, r);
}

static bool is_number(struct mob_store *s, struct mob_ref r, int i, uint64_t n)
{
	struct mob_view v;
	bool is;

	assert_ok(mob_object_get(s, r, 0, &v));
	assert_int_equal(v.size, sizes[i]);
	is = filled(v.at, v.size, n + (uint64_t)i);
	mob_view_release(s, &v);
	return is;
}

/* Which of the two the set has; never a mixture. */
static uint64_t number_of_set(struct mob_store *s, uint64_t a, uint64_t b)
{
	struct mob_view v;
	struct mob_ref r;
	uint64_t n = 0;

	for (int i = 0; i < SET; i++) {
		char as[16];

		(void)snprintf(as, sizeof(as), "set%d", i);
		assert_ok(mob_name_get(s, as, &r, NULL));
		n = n ? n : is_number(s, r, i, a) ? a : b;
		assert_true(is_number(s, r, i, n));
		assert_ok(mob_object_release(s, r));
	}
	assert_ok(mob_name_get(s, "outer", &r, NULL));
	assert_ok(mob_object_get(s, r, 0, &v));
	assert_ok(mob_object_release(s, r));
	memcpy(&r, v.at, sizeof(r));
	assert_true(is_number(s, r, SET - 1, n));
	mob_view_release(s, &v);
	return n;
}

/* A traced child that does step after prepare; killed after n steps. How many it
 * did. */
static long kill_after(struct mob_store *(*prepare)(uint64_t),
		       int (*step)(struct mob_store *), uint64_t arg, long n)
{
	struct traced t;
	int status = 0;
	pid_t pid;
	long took;

	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct mob_store *s;

		child_begin();
		s = prepare(arg);
		(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		(void)raise(SIGSTOP);
		if (step(s) < 0) {
			_exit(3);
		}
		(void)raise(SIGSTOP);
		_exit(4);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status));
	t = traced_from_here(pid);
	took = traced_follow(&t, n, NULL, NULL);
	assert_true(took >= 0);
	traced_kill(&t);
	return took;
}

static struct mob_store *open_and_set(uint64_t n)
{
	struct mob_store *s = child_open(name);

	/* Once before: what only the first has to do is no part of it. */
	if (mob_store_sync(s) < 0 || set_all(s, n) < 0) {
		_exit(2);
	}
	return s;
}

static void
test_durable_sync_killed_anywhere_one_state_or_the_other(void **state)
{
	struct mob_store *s = create();
	uint64_t now = 100;
	uint64_t old = 0;
	uint64_t new = 0;
	long n = 0;
	long took;

	(void)state;
	assert_int_equal(set_all(s, now), 0);
	assert_ok(mob_store_sync(s));
	do {
		uint64_t is;

		took = kill_after(open_and_set, mob_store_sync, now + 10, n);
		reap_until(s, MOBI_BIT(s->me));
		assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
		if (n % 2) {
			/* All is there still: the next sync ends it. */
			assert_ok(mob_store_sync(s));
			reboot(s);
			s = restore();
			assert_int_equal(number_of_set(s, now + 10, now + 10),
					 now + 10);
			now += 10;
		} else {
			reboot(s);
			s = restore();
			is = number_of_set(s, now, now + 10);
			old += is == now;
			new += is != now;
			now = is;
		}
		n++;
	} while (took == n - 1);
	print_message("sync: killed after each of %ld steps; %" PRIu64
		      " times the old state, %" PRIu64 " the new\n",
		      n, old, new);
	assert_true(old > 0 && new > 0);
	mob_store_close(s);
}

/* What is traced has a store; the next create sweeps it. */
static struct mob_store *another(uint64_t n)
{
	char as[64];

	(void)n;
	return store_new(name_new(as, sizeof(as), "other"), 4 * MIB);
}

static int restore_it(struct mob_store *other)
{
	struct mob_store_opts o = durable_opts();
	struct mob_store *s = NULL;

	(void)other;
	return mob_store_restore(name, &o, NULL, NULL, &s);
}

static int unload_it(struct mob_store *other)
{
	(void)other;
	return mob_store_unload(name);
}

static int remove_it(struct mob_store *other)
{
	(void)other;
	return mob_store_remove(name);
}

static void test_durable_unload_killed_anywhere_all_is_there(void **state)
{
	struct mob_store *s = create();
	uint64_t now = 100;
	long n = 0;
	long took;

	(void)state;
	do {
		now += 10;
		assert_int_equal(set_all(s, now), 0);
		mob_store_close(s);
		took = kill_after(another, unload_it, 0, n);
		s = restore();
		assert_int_equal(number_of_set(s, now, now), now);
		n++;
	} while (took == n - 1);
	print_message("unload: killed after each of %ld steps\n", n);
	mob_store_close(s);
}

/* It is there as it was, or it is no store any more; never a part of one. */
static void test_durable_remove_killed_anywhere_all_or_nothing(void **state)
{
	struct mob_store *s = create();
	uint32_t whole = 0;
	uint32_t gone = 0;
	long n = 0;
	long took;

	(void)state;
	do {
		int rc;

		assert_int_equal(set_all(s, 1), 0);
		assert_ok(mob_store_sync(s));
		mob_store_close(s);
		took = kill_after(another, remove_it, 0, n);
		rc = try_restore(0, &s);
		if (rc >= 0) {
			assert_string_equal(lines, "");
			assert_int_equal(number_of_set(s, 1, 1), 1);
			mob_store_close(s);
			assert_ok(mob_store_remove(name));
			whole++;
		} else {
			/* What is left of the copy goes, too. */
			rc = mob_store_remove_copy(name, base);
			assert_true(rc == 0 || rc == MOB_E_NOT_FOUND);
			gone++;
		}
		s = create();
		n++;
	} while (took == n - 1);
	print_message("remove: killed after each of %ld steps; %u times it "
		      "was there, %u times gone\n",
		      n, whole, gone);
	assert_true(whole > 0 && gone > 0);
	mob_store_close(s);
}

/* Directories of sessions that are being built. */
static uint32_t half_built(const char *path)
{
	char user[4096];
	struct dirent *e;
	uint32_t n = 0;
	DIR *d;

	(void)snprintf(user, sizeof(user), "%.*s",
		       (int)(strrchr(path, '/') - path), path);
	d = opendir(user);
	assert_non_null(d);
	while ((e = readdir(d))) {
		n += strncmp(e->d_name, ".new-", 5) == 0;
	}
	(void)closedir(d);
	return n;
}

static void
test_durable_restore_killed_anywhere_the_next_one_works(void **state)
{
	struct mob_store *s = create();
	long n = 0;
	long took;

	(void)state;
	assert_int_equal(set_all(s, 1), 0);
	assert_ok(mob_store_sync(s));
	do {
		reboot(s);
		took = kill_after(another, restore_it, 0, n);
		s = restore();
		assert_int_equal(number_of_set(s, 1, 1), 1);
		/* It is the one that may sync. */
		assert_ok(mob_store_sync(s));
		assert_int_equal(half_built(s->path), 0);
		n++;
	} while (took == n - 1);
	print_message("restore: killed after each of %ld steps\n", n);
	mob_store_close(s);
}

static int begin_apart(void **state)
{
	(void)state;
	return begin_apart_in("/tmp");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_durable_sync_killed_anywhere_one_state_or_the_other,
			begin_apart, finish),
		cmocka_unit_test_setup_teardown(
			test_durable_restore_killed_anywhere_the_next_one_works,
			begin_apart, finish),
		cmocka_unit_test_setup_teardown(
			test_durable_unload_killed_anywhere_all_is_there,
			begin_apart, finish),
		cmocka_unit_test_setup_teardown(
			test_durable_remove_killed_anywhere_all_or_nothing,
			begin_apart, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
