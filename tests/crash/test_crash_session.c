/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions whose processes die: their directories go at the next create, and
 * never one that is in use. Each test has a directory of its own.
 */
#define _GNU_SOURCE

#include "store_fixture.h"

#include "os_dir.h"
#include "scratch.h"

#include <dirent.h>
#include <sys/stat.h>

#define CREATORS 4
#define ROUNDS (SANITIZED ? 20 : 60)

struct shared {
	char dir[64];
	mobi_a32 go;
	mobi_a32 done;
	mobi_a32 winners;
	mobi_a32 broken;
};

static struct shared *sh;
static uint64_t seed;

static int dir_make(void **state)
{
	(void)state;
	sh = shared_memory(sizeof(*sh));
	return scratch_make(sh->dir, sizeof(sh->dir), "/dev/shm", "session") ?
		       0 :
		       -1;
}

static int dir_remove(void **state)
{
	(void)state;
	(void)mobi_dir_remove(sh->dir);
	return munmap(sh, sizeof(*sh));
}

static int create(const char *name, uint32_t flags, struct mob_store **out)
{
	struct mob_store_opts opts = MOB_STORE_OPTS_INIT;

	opts.dir = sh->dir;
	opts.flags = flags;
	opts.arena_bytes = MOB_STORE_MIN_BYTES;
	return mob_store_create(name, &opts, out);
}

static void path_of(char *out, size_t size, const char *name)
{
	(void)snprintf(out, size, "%s/mobula-%u/%s", sh->dir,
		       (unsigned)geteuid(), name);
}

static bool exists(const char *name)
{
	char path[256];
	struct stat st;

	path_of(path, sizeof(path), name);
	return stat(path, &st) == 0;
}

/* Entries of the user's directory. */
static int entries(void)
{
	char path[256];
	struct dirent *e;
	DIR *d;
	int n = 0;

	path_of(path, sizeof(path), "");
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		n += strcmp(e->d_name, ".") != 0 &&
		     strcmp(e->d_name, "..") != 0;
	}
	(void)closedir(d);
	return n;
}

static int create_and_die(void *arg)
{
	struct mob_store *s;

	if (create(arg, MOB_STORE_PRIVATE, &s) != 0) {
		return 1;
	}
	(void)kill(getpid(), SIGKILL);
	return 2;
}

static int create_lasting_and_die(void *arg)
{
	struct mob_store *s;

	if (create(arg, 0, &s) != 0) {
		return 1;
	}
	(void)kill(getpid(), SIGKILL);
	return 2;
}

static void die_with(int (*fn)(void *), const char *name)
{
	char buf[64];

	(void)snprintf(buf, sizeof(buf), "%s", name);
	assert_int_equal(child_result(child_start(fn, buf)), -SIGKILL);
}

static void test_abandoned_private_session_swept_at_next_create(void **state)
{
	struct mob_store *s;

	(void)state;
	die_with(create_and_die, "left");
	assert_true(exists("left"));
	assert_ok(create("other", MOB_STORE_PRIVATE, &s));
	assert_false(exists("left"));
	assert_true(exists("other"));
	mob_store_close(s);
	assert_int_equal(entries(), 0);
}

static void test_abandoned_name_can_be_created_again(void **state)
{
	struct mob_store *s;

	(void)state;
	die_with(create_and_die, "again");
	assert_ok(create("again", MOB_STORE_PRIVATE, &s));
	assert_ok(mob_object_release(s, put_filled(s, 100, 1)));
	mob_store_close(s);
	assert_int_equal(entries(), 0);
}

static void test_abandoned_lasting_session_stays_and_opens(void **state)
{
	char path[256];
	struct mob_store *s;
	struct mob_store *other;

	(void)state;
	die_with(create_lasting_and_die, "lasting");
	assert_ok(create("other", MOB_STORE_PRIVATE, &other));
	assert_true(exists("lasting"));
	assert_int_equal(create("lasting", 0, &s), MOB_E_EXISTS);
	path_of(path, sizeof(path), "lasting");
	assert_ok(mob_store_open(path, &s));
	/* Opening it has cleaned up after the dead one. */
	assert_int_equal(mobi_load(&s->hdr->reaps), 1);
	assert_int_equal(clients_used(s), MOBI_BIT(s->me));
	assert_ok(mob_object_release(s, put_filled(s, 100, 1)));
	assert_int_equal(mob_store_remove(path), MOB_E_BUSY);
	mob_store_close(s);
	assert_true(exists("lasting"));
	assert_ok(mob_store_remove(path));
	assert_false(exists("lasting"));
	assert_int_equal(mob_store_remove(path), MOB_E_NOT_FOUND);
	mob_store_close(other);
}

/* One of several that want the same name at the same time. */
static int creator(void *arg)
{
	struct mob_store *s = NULL;
	struct mob_store *again = NULL;
	char path[256];
	int rc;

	(void)arg;
	path_of(path, sizeof(path), "wanted");
	while (!mobi_load(&sh->go)) {
		(void)sched_yield();
	}
	rc = create("wanted", MOB_STORE_PRIVATE, &s);
	if (rc == 0) {
		struct mob_ref r;

		(void)mobi_fetch_add(&sh->winners, 1u);
		/* Everybody else finds this one under the name. */
		if (mob_object_put(s, "x", 1, MOB_TYPE_BYTES, &r) != 0 ||
		    mob_store_open(path, &again) != 0 ||
		    mob_object_state(again, r) != MOB_OBJECT_SEALED) {
			(void)mobi_fetch_add(&sh->broken, 1u);
		}
	} else if (rc != MOB_E_EXISTS) {
		(void)mobi_fetch_add(&sh->broken, 1u);
	}
	(void)mobi_fetch_add(&sh->done, 1u);
	while (mobi_load(&sh->done) < CREATORS) {
		(void)sched_yield();
	}
	mob_store_close(again);
	mob_store_close(s);
	return 0;
}

static void test_creators_of_one_name_exactly_one_wins(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		pid_t pid[CREATORS];

		if (round % 2) {
			die_with(create_and_die, "wanted");
		}
		mobi_store(&sh->go, 0u);
		mobi_store(&sh->done, 0u);
		mobi_store(&sh->winners, 0u);
		for (int i = 0; i < CREATORS; i++) {
			pid[i] = child_start(creator, NULL);
		}
		mobi_store(&sh->go, 1u);
		for (int i = 0; i < CREATORS; i++) {
			assert_int_equal(child_result(pid[i]), 0);
		}
		assert_int_equal(mobi_load(&sh->winners), 1);
		assert_int_equal(mobi_load(&sh->broken), 0);
		assert_false(exists("wanted"));
	}
}

/* Creates or opens, works a little, closes; for ever. */
static int come_and_go(void *arg)
{
	uint64_t random = now_ns() * 2654435761u | 1;
	char path[256];

	(void)arg;
	path_of(path, sizeof(path), "busy");
	while (!mobi_load(&sh->go)) {
		struct mob_store *s;
		struct mob_ref r;
		struct stat st;
		int rc = next_random(&random) % 2 ?
				 create("busy", MOB_STORE_PRIVATE, &s) :
				 mob_store_open(path, &s);

		if (rc < 0) {
			if (rc != MOB_E_EXISTS && rc != MOB_E_NOT_FOUND &&
			    rc != MOB_E_CLOSED) {
				(void)fprintf(stderr, "%s: %s\n",
					      mob_err_name(rc),
					      mob_err_detail(rc));
				(void)mobi_fetch_add(&sh->broken, 1u);
			}
			continue;
		}
		rc = mob_object_put(s, path, sizeof(path), MOB_TYPE_BYTES, &r);
		/* Nobody removes it as long as this one is attached. */
		if (rc < 0 || fstat(s->ctl_fd, &st) || st.st_nlink != 1) {
			(void)mobi_fetch_add(&sh->broken, 1u);
		}
		mob_store_close(s);
	}
	return 0;
}

static void test_sessions_killed_at_random_name_stays_usable(void **state)
{
	uint64_t kills = test_count("MOB_TEST_SESSION_KILLS",
				    SANITIZED ? 100 : 400, 20000);
	pid_t pid[CREATORS];
	struct mob_store *s;

	(void)state;
	for (int i = 0; i < CREATORS; i++) {
		pid[i] = child_start(come_and_go, NULL);
	}
	for (uint64_t k = 0; k < kills; k++) {
		uint64_t i = next_random(&seed) % CREATORS;
		struct timespec t = { 0, (long)(next_random(&seed) % 4000000) };

		(void)nanosleep(&t, NULL);
		child_kill(pid[i]);
		pid[i] = child_start(come_and_go, NULL);
	}
	mobi_store(&sh->go, 1u);
	for (int i = 0; i < CREATORS; i++) {
		assert_int_equal(child_result(pid[i]), 0);
	}
	assert_int_equal(mobi_load(&sh->broken), 0);
	assert_ok(create("busy", MOB_STORE_PRIVATE, &s));
	assert_int_equal(entries(), 1);
	assert_int_equal(mob_store_check(s, print_finding, NULL), 0);
	mob_store_close(s);
	assert_int_equal(entries(), 0);
	print_message("%" PRIu64 " kills\n", kills);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, dir_make, dir_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_abandoned_private_session_swept_at_next_create),
		TEST(test_abandoned_name_can_be_created_again),
		TEST(test_abandoned_lasting_session_stays_and_opens),
		TEST(test_creators_of_one_name_exactly_one_wins),
		TEST(test_sessions_killed_at_random_name_stays_usable),
	};

	seed = test_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
