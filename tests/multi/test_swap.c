/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Swapping the policy below queued tasks, from within and from outside, and policies
 * that are refused.
 */
#include "inspect_fixture.h"

#include "os_run.h"

#include <pthread.h>

#define QUEUED 200

/* Takes one byte of the pipe. */
MOB_TASK(int64_t, square, mob_str, gate, int64_t, x)
{
	char c;
	int fd = open(gate, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &c, 1) != 1) {
		mob_fail(1, "no token");
	}
	(void)close(fd);
	return x * x;
}

/* Gives tokens whenever a swap was committed: so a worker comes and takes the
 * new generation over, and most tasks stay queued. */
struct feeder {
	struct mob_session *s;
	int fd;
	_Atomic int stop;
	int rc;
};

static void *feed(void *arg)
{
	struct feeder *f = arg;
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;
	uint64_t seen = 0;

	while (!mobi_load(&f->stop) && !f->rc) {
		f->rc = mob_session_stats(f->s, &st);
		if (!f->rc && st.swaps > seen) {
			seen = st.swaps;
			f->rc = write(f->fd, "xx", 2) == 2 ? 0 : -1;
		}
		mobi_pause_ns(MOB_MS / 5);
	}
	return NULL;
}

/* Workers that found their task at once have not placed the later ones. */
static bool all_but_two_wait(void *arg)
{
	struct mob_policy_info p = MOB_POLICY_INFO_INIT;

	return mob_session_policy(arg, &p) == 0 && p.running == 2 &&
	       p.ready + p.queued == QUEUED - 2;
}

static void check_policy(struct mob_session *s, const char *name,
			 uint64_t generation, uint64_t swaps)
{
	struct mob_policy_info p = MOB_POLICY_INFO_INIT;
	bool builtin = strcmp(name, "fifo") == 0;

	assert_int_equal(mob_session_policy(s, &p), 0);
	assert_string_equal(p.name, name);
	assert_string_equal(p.wanted, name);
	assert_int_equal(p.generation, generation);
	assert_int_equal(p.swaps, swaps);
	assert_int_equal(p.ejections, 0);
	assert_string_equal(p.last_ejected, "");
	assert_int_equal(p.flags, builtin ? MOB_POLICY_BUILTIN : 0);
	assert_int_equal(p.path[0] == 0, builtin);
}

static bool ran_all(void *arg)
{
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;

	return mob_session_stats(arg, &st) == 0 && st.tasks_run == QUEUED;
}

static void swap_through(struct mob_session *s)
{
	static const char *const order[] = { "lifo", "ws", "fifo" };
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;

	for (uint64_t i = 0; i < 3; i++) {
		uint64_t gen = 0;
		int rc = mob_policy_swap(s, order[i], &gen);

		if (rc < 0) {
			fail_msg("swap to %s: %s: %s", order[i],
				 mob_err_name(rc), mob_err_detail(rc));
		}
		assert_int_equal(gen, i + 2);
		check_policy(s, order[i], i + 2, i + 1);
		assert_int_equal(mob_session_stats(s, &st), 0);
		/* Who took the first one over has placed all. */
		assert_true(i == 0 || st.swap_queued >= QUEUED / 2);
		assert_true(st.swap_running > 0);
	}
}

static void test_swap_while_queued_all_results_right(void **state)
{
	struct gate g = gate_make("tokens");
	struct feeder f = { .fd = open(g.path, O_RDWR | O_CLOEXEC) };
	mob_ref refs[QUEUED];
	int64_t x[QUEUED];
	char tokens[QUEUED];
	pthread_t thread;
	struct mob_session *s;

	(void)state;
	assert_true(f.fd >= 0);
	live_start_with(2, "fifo");
	s = current();
	f.s = current();
	check_policy(s, "fifo", 1, 0);
	for (int64_t i = 0; i < QUEUED; i++) {
		refs[i] = mob_submit(square, (mob_str)g.path, i);
	}
	assert_true(live_await(all_but_two_wait, s));
	assert_int_equal(pthread_create(&thread, NULL, feed, &f), 0);
	swap_through(s);
	mobi_store(&f.stop, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(f.rc, 0);
	memset(tokens, 'x', sizeof(tokens));
	assert_int_equal(write(f.fd, tokens, sizeof(tokens)), sizeof(tokens));
	assert_int_equal(mob_get_all(refs, QUEUED, x), 0);
	for (int64_t i = 0; i < QUEUED; i++) {
		assert_int_equal(x[i], i * i);
	}
	/* Each once, and no more. */
	assert_true(live_await(ran_all, s));
	assert_int_equal(close(f.fd), 0);
	mob_session_close(f.s);
	mob_session_close(s);
	mob_shutdown();
}

static void refuse(struct mob_session *s, const char *policy, int rc,
		   const char *text)
{
	uint64_t gen = 77;

	assert_int_equal(mob_policy_swap(s, policy, &gen), rc);
	assert_int_equal(gen, 77);
	if (!strstr(mob_err_detail(rc), text)) {
		fail_msg("'%s' lacks '%s'", mob_err_detail(rc), text);
	}
	check_policy(s, "fifo", 1, 0);
}

static void test_swap_bad_policy_keeps_the_old(void **state)
{
	char path[96];
	struct mob_session *s;
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/sched_text.so", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(fputs("no plugin\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	live_start_with(1, "fifo");
	s = current();
	refuse(s, "nowhere", MOB_E_NOT_FOUND, "sched_nowhere.so");
	refuse(s, "/nowhere/sched_x.so", MOB_E_NOT_FOUND, "/nowhere");
	refuse(s, path, MOB_E_PLUGIN, "sched_text.so");
	refuse(s, BAD_CRASH, MOB_E_PLUGIN, "signal");
	refuse(s, "No Name", MOB_E_INVAL, "No Name");
	mob_session_close(s);
	mob_shutdown();
}

/* Seats that are not free, dead ones too. */
static uint32_t seats(void)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < MOBI_CLIENTS; i++) {
		n += MOBI_STATE(mobi_load(&mobi_rt.store->clients[i].word)) !=
		     MOBI_CLIENT_FREE;
	}
	return n;
}

static void test_swap_from_outside_leaves_no_seat(void **state)
{
	struct found f = { .driver_pid = (uint32_t)getpid() };
	struct mob_session *s;

	(void)state;
	live_start_with(2, "fifo");
	s = current();
	assert_true(live_await(runs, &f));
	for (uint64_t i = 0; i < 3; i++) {
		const char *name = i % 2 ? "fifo" : "lifo";

		assert_int_equal(live_collect(live_spawn(name, f.path)), 0);
		check_policy(s, name, i + 2, i + 1);
		assert_int_equal(seats(), 4);
	}
	mob_session_close(s);
	mob_shutdown();
}

/* Another process, which swaps and ends. */
static int swap_there(const char *policy, const char *path)
{
	struct mob_session *s;
	int rc = mob_session_open(path, &s);

	if (rc >= 0) {
		rc = mob_policy_swap(s, policy, NULL);
		mob_session_close(s);
	}
	if (rc < 0) {
		(void)fprintf(stderr, "swap: %s\n", mob_err_detail(rc));
	}
	return rc < 0;
}

static int child_main(char **argv)
{
	return swap_there(argv[1], argv[2]);
}

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_swap_while_queued_all_results_right),
		TEST(test_swap_bad_policy_keeps_the_old),
		TEST(test_swap_from_outside_leaves_no_seat),
	};

	return argc > 1 ? child_main(argv) :
			  cmocka_run_group_tests_name("multi.swap", tests,
						      group_open, group_close);
}
