/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random SIGKILLs of workers and the daemon, workers stopped for a while, and
 * policies swapped, while trees, chains, fan-ins and nested tasks run, and while
 * the demo counts words: every result is right, and at the end nothing is left.
 * Then drivers that are killed under load: no process and no directory is left.
 * Only kills that hit a worker which runs or takes a task are counted.
 *
 *   MOB_TEST_SCHED_STORM_S=n   for so many seconds, twice
 *   MOB_TEST_DRIVERS=n         drivers killed
 */
#define _GNU_SOURCE
#include "live.h"

#include "demo_words.h"
#include "os_clock.h"
#include "os_run.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNS_PER_S 150000u /* at most, by far */
#define FOR_EVER MOB_OPTS(.retries = -1)

MOB_TASK(int64_t, g_add, int64_t, a, int64_t, b)
{
	live_once();
	return a + b;
}

MOB_TASK(int64_t, g_sum, mob_args, xs)
{
	int64_t sum = 0;

	live_once();
	for (size_t i = 0; i < xs.n; i++) {
		int64_t x;

		mob_args_get(xs, i, &x);
		sum += x;
	}
	return sum;
}

MOB_TASK(mob_i64s, g_row, int64_t, first, int64_t, n)
{
	int64_t *v = mob_new_of(mob_i64s, (size_t)n);

	live_once();
	for (int64_t i = 0; v && i < n; i++) {
		v[i] = first + i;
	}
	return mob_i64s_of(v, (size_t)n);
}

MOB_TASK(int64_t, g_sum_row, mob_i64s, v)
{
	int64_t sum = 0;

	live_once();
	for (size_t i = 0; i < v.n; i++) {
		sum += v.at[i];
	}
	return sum;
}

/* Waits inside for tasks of its own. */
MOB_TASK(int64_t, g_nest, int64_t, depth)
{
	mob_ref r[2];
	int64_t x[2] = { 0, 0 };

	live_once();
	if (depth == 0) {
		return 1;
	}
	for (int i = 0; i < 2; i++) {
		r[i] = mob_submit_with(FOR_EVER, g_nest, depth - 1);
	}
	mob_get_all(r, 2, x);
	return x[0] + x[1];
}

MOB_TASK_MANY(int64_t, g_many, int64_t, base)
{
	live_once();
	for (size_t i = 0; i < n_out; i++) {
		out[i] = base + (int64_t)i;
	}
}

/* Fails in its first attempts. */
MOB_TASK(int64_t, g_flaky, int64_t, a)
{
	live_once();
	if (mobi_context()->attempt < 2) {
		mob_fail(3, "not yet");
	}
	return a;
}

/* ---- work, each with its result ---- */

static mob_ref chain(int64_t n, int64_t *want)
{
	mob_ref r = mob_put(INT64_C(7));

	for (int64_t i = 0; i < n; i++) {
		mob_ref next = mob_submit_with(FOR_EVER, g_add, r, i);

		(void)mob_release(r); /* only the task needs it now */
		r = next;
	}
	*want = 7 + n * (n - 1) / 2;
	return r;
}

static mob_ref tree(int depth, int64_t x, int64_t *want)
{
	mob_ref r[4];
	mob_ref sum;

	*want = 0;
	for (int i = 0; i < 4; i++) {
		int64_t w = x + i;

		r[i] = depth ? tree(depth - 1, w, &w) : mob_put(w);
		*want += w;
	}
	sum = mob_submit_with(FOR_EVER, g_sum, mob_args_of(r, 4));
	for (int i = 0; i < 4; i++) {
		(void)mob_release(r[i]);
	}
	return sum;
}

/* One object, many readers, and all of them into one. */
static mob_ref fan(int64_t n, int64_t *want)
{
	mob_ref row = mob_submit_with(FOR_EVER, g_row, 1, n);
	mob_ref r[200];
	mob_ref sum;

	for (int i = 0; i < 200; i++) {
		r[i] = mob_submit_with(FOR_EVER, g_sum_row,
				       mob_slice(row, (uint64_t)i,
						 (uint64_t)(n - i)));
	}
	*want = 0;
	for (int64_t i = 0; i < 200; i++) {
		*want += n * (n + 1) / 2 - i * (i + 1) / 2;
	}
	sum = mob_submit_with(FOR_EVER, g_sum, mob_args_of(r, 200));
	for (int i = 0; i < 200; i++) {
		(void)mob_release(r[i]);
	}
	(void)mob_release(row);
	return sum;
}

static mob_ref many(int64_t *want)
{
	mob_ref r[150];
	mob_ref sum;

	(void)mob_submit_n_with(FOR_EVER, r, 150, g_many, 5);
	*want = 150 * 5 + 149 * 150 / 2;
	sum = mob_submit_with(FOR_EVER, g_sum, mob_args_of(r, 150));
	for (int i = 0; i < 150; i++) {
		(void)mob_release(r[i]);
	}
	return sum;
}

#define ROUND 24

static void one_round(uint64_t *seed, uint64_t *io_results)
{
	mob_ref r[ROUND];
	int64_t want[ROUND];
	bool cancelled[ROUND];

	for (int i = 0; i < ROUND; i++) {
		cancelled[i] = false;
		switch (live_random(seed) % 7) {
		case 5:
			r[i] = mob_submit_with(
				MOB_OPTS(.retries = -1, .retry_errors = 1,
					 .backoff_ns = i % 2 ? MOB_MS : 0),
				g_flaky, i);
			want[i] = i;
			break;
		case 6:
			r[i] = mob_submit_with(FOR_EVER, g_nest, 5);
			want[i] = 32;
			cancelled[i] = true;
			break;
		case 0:
			r[i] = chain(60, &want[i]);
			break;
		case 1:
			r[i] = tree(2, i, &want[i]);
			break;
		case 2:
			r[i] = fan(400, &want[i]);
			break;
		case 3:
			r[i] = many(&want[i]);
			break;
		default:
			r[i] = mob_submit_with(FOR_EVER, g_nest, 5);
			want[i] = 32;
			break;
		}
	}
	for (int i = 0; i < ROUND; i++) {
		if (cancelled[i]) {
			(void)mob_task_cancel(r[i], 0);
		}
	}
	for (int i = 0; i < ROUND; i++) {
		int64_t x;
		int rc = mob_take(r[i], &x);

		if (cancelled[i] && rc == MOB_E_CANCELLED) {
			mob_error_clear();
			continue;
		}
		if (rc || x != want[i]) {
			fail_msg("%d of a round: %s, %lld instead of %lld: %s",
				 i, mob_err_name(rc), (long long)x,
				 (long long)want[i], mob_error());
		}
		++*io_results;
	}
}

/* ---- the storm ---- */

struct storm {
	uint64_t seed;
	_Atomic uint32_t stop;
	uint32_t pause_us; /* between two events, at most */
	uint64_t kills;
	uint64_t daemons;
	uint64_t stops;
	uint64_t swaps;
};

/* Does the worker run a task, or is it about to? */
static bool is_busy(int pid)
{
	for (uint32_t i = 0; i < MOBI_PLACES; i++) {
		const struct mobi_place_shared *p = &mobi_rt.sched->place[i];
		uint32_t c = mobi_load(&p->client);

		if (c && c < MOBI_CLIENTS &&
		    mobi_rt.store->clients[c].proc.pid == (uint32_t)pid) {
			return mobi_load(&p->ann) || mobi_load(&p->blocked);
		}
	}
	return false;
}

static void kill_one(struct storm *s, int pid)
{
	bool busy = is_busy(pid);

	s->kills += kill(pid, SIGKILL) == 0 && busy;
}

/* A worker, stopped for a while; some are killed while they are. */
static void stop_one(struct storm *s, int pid)
{
	if (kill(pid, SIGSTOP)) {
		return;
	}
	s->stops++;
	mobi_pause_ns((int64_t)(live_random(&s->seed) % 30) * MOB_MS);
	if (live_random(&s->seed) % 4 == 0) {
		kill_one(s, pid);
	}
	(void)kill(pid, SIGCONT);
}

static void *rage(void *arg)
{
	static const char *const policy[] = { "ws", "fifo", "lifo" };
	struct storm *s = arg;

	while (!mobi_load(&s->stop)) {
		uint32_t n = live_workers();
		int pid =
			n ? live_worker((uint32_t)(live_random(&s->seed) % n)) :
			    0;

		mobi_pause_ns((int64_t)(live_random(&s->seed) % s->pause_us) *
			      (1000 * LIVE_SLOW));
		switch (live_random(&s->seed) % 12) {
		case 0:
			pid = live_daemon();
			if (pid && kill(pid, SIGKILL) == 0) {
				s->daemons++;
			}
			break;
		case 1:
			s->swaps += live_swap(policy[live_random(&s->seed) % 3],
					      false) == 0;
			break;
		case 2:
		case 3:
			if (pid) {
				stop_one(s, pid);
			}
			break;
		case 4:
			/* All at once. */
			for (uint32_t i = 0; i < n; i++) {
				pid = live_worker(i);
				if (pid) {
					kill_one(s, pid);
				}
			}
			if (live_random(&s->seed) % 2) {
				pid = live_daemon();
				s->daemons += pid && kill(pid, SIGKILL) == 0;
			}
			break;
		default:
			if (pid) {
				kill_one(s, pid);
			}
			break;
		}
	}
	return NULL;
}

/* Ends the storm; nothing is left of what ran in it. */
static void calm(struct storm *s, pthread_t t)
{
	mobi_store(&s->stop, 1u);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(live_audit(0), 0);
}

static void report(const struct storm *s, uint64_t results)
{
	print_message(
		"%llu results; %llu busy workers and %llu daemons killed, "
		"%llu workers stopped, %llu swaps; %llu retried, %llu "
		"finished for the dead, %llu bypasses, %llu ejections\n",
		(unsigned long long)results, (unsigned long long)s->kills,
		(unsigned long long)s->daemons, (unsigned long long)s->stops,
		(unsigned long long)s->swaps,
		(unsigned long long)mobi_load(&mobi_rt.sched->retried),
		(unsigned long long)mobi_load(&mobi_rt.sched->finished_for),
		(unsigned long long)mobi_load(&mobi_rt.sched->bypasses),
		(unsigned long long)live_ejections());
	if (live_ejections()) {
		print_message("last ejection: %s\n",
			      mobi_rt.sched->ejected_reason);
	}
}

static uint64_t storm_seconds(void)
{
	return test_count("MOB_TEST_SCHED_STORM_S", 15, 600);
}

static void test_storm_results_are_right_and_nothing_is_left(void **state)
{
	struct storm s = { .seed = live_seed("storm"), .pause_us = 8000 };
	uint64_t seed = s.seed + 1;
	uint64_t end;
	uint64_t results = 0;
	uint64_t marks;
	uint64_t twice;
	pthread_t t;

	(void)state;
	live_start(2);
	live_once_begin(storm_seconds() * RUNS_PER_S);
	assert_int_equal(pthread_create(&t, NULL, rage, &s), 0);
	end = mobi_now_ns() + storm_seconds() * (uint64_t)MOB_SEC;
	do {
		MOB_SCOPE
		{
			one_round(&seed, &results);
		}
	} while (mobi_now_ns() < end);
	calm(&s, t);
	report(&s, results);
	assert_true(s.kills > 0 && s.daemons > 0);
	marks = live_once_end(&twice);
	print_message("%llu runs, %llu of an attempt that had run\n",
		      (unsigned long long)marks, (unsigned long long)twice);
	assert_true(marks >= results);
	assert_int_equal(twice, 0);
	mob_shutdown();
}

/* ---- the demo's word count ---- */

#define WORDS_DIR "/usr/include/linux"

/* One count; fails the test if it is not the sequential one. */
static void count_words_once(const struct demo_files *files,
			     struct mob_ref *refs, const unsigned char *want,
			     size_t want_n)
{
	size_t tasks;
	mob_bytes out;
	int rc;

	demo_words_map(files, -1, refs);
	rc = mob_get(demo_words_reduce(refs, files->n_batches, -1, &tasks),
		     &out);
	if (rc || out.n != want_n || memcmp(out.at, want, want_n) != 0) {
		fail_msg("word count: %s: %s", mob_err_name(rc), mob_error());
	}
}

static void test_storm_demo_counts_words_right(void **state)
{
	struct storm s = { .seed = live_seed("words"), .pause_us = 20000 };
	struct demo_files files;
	struct mob_ref *refs;
	unsigned char *want;
	size_t want_n;
	uint64_t end;
	uint64_t results = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(demo_files_list(WORDS_DIR, &files), 0);
	assert_int_equal(demo_words_sequential(&files, &want, &want_n), 0);
	refs = calloc(files.n_batches, sizeof(*refs));
	assert_non_null(refs);
	live_start(2);
	assert_int_equal(pthread_create(&t, NULL, rage, &s), 0);
	end = mobi_now_ns() + storm_seconds() * (uint64_t)MOB_SEC;
	do {
		MOB_SCOPE
		{
			count_words_once(&files, refs, want, want_n);
		}
		results++;
	} while (mobi_now_ns() < end);
	calm(&s, t);
	report(&s, results);
	assert_true(s.kills > 0 && s.daemons > 0);
	mob_shutdown();
	free(refs);
	free(want);
	demo_files_free(&files);
}

/* ---- drivers that are killed ---- */

static int child_drives(const char *report)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	uint64_t seed = (uint64_t)getpid();
	uint64_t results = 0;
	struct demo_files files;
	struct mob_ref *refs;
	size_t tasks;
	FILE *f;

	o.workers = 2;
	o.store_bytes = 32 << 20;
	if (mob_init(&o)) {
		return 2;
	}
	f = fopen(report, "w");
	if (!f || fprintf(f, "%s\n", mobi_rt.store->path) < 0 || fclose(f)) {
		return 3;
	}
	if (demo_files_list(WORDS_DIR, &files)) {
		return 4;
	}
	refs = calloc(files.n_batches, sizeof(*refs));
	while (refs) {
		MOB_SCOPE
		{
			demo_words_map(&files, -1, refs);
			(void)mob_join(demo_words_reduce(refs, files.n_batches,
							 -1, &tasks));
			one_round(&seed, &results);
		}
	}
	return 5;
}

static bool read_path(void *arg)
{
	char *file = arg; /* and after its end, what is read */
	FILE *f = fopen(file, "r");
	bool done;

	if (!f) {
		return false;
	}
	done = fscanf(f, "%255s", file + 100) == 1 && strstr(file + 100, "mobul"
									 "a-");
	(void)fclose(f);
	return done;
}

static bool is_removed(void *arg)
{
	struct stat st;

	return stat(arg, &st) && errno == ENOENT;
}

/* The session is in the arguments of all its processes. */
static bool has_no_process(void *arg)
{
	const char *session = strrchr(arg, '/') + 1;
	DIR *d = opendir("/proc");
	struct dirent *e;
	bool none = true;

	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		char path[300];
		char text[600] = "";
		FILE *f;
		size_t n;

		(void)snprintf(path, sizeof(path), "/proc/%s/cmdline",
			       e->d_name);
		f = e->d_name[0] >= '0' && e->d_name[0] <= '9' ?
			    fopen(path, "r") :
			    NULL;
		if (!f) {
			continue;
		}
		n = fread(text, 1, sizeof(text) - 1, f);
		none &= !memmem(text, n, session, strlen(session));
		(void)fclose(f);
	}
	(void)closedir(d);
	return none;
}

static void test_storm_killed_driver_takes_all_with_it(void **state)
{
	uint64_t seed = live_seed("drivers");
	long n = (long)test_count("MOB_TEST_DRIVERS", 12, 1000);
	uint64_t worst = 0;

	(void)state;
	for (long i = 0; i < n; i++) {
		char file[400];
		uint64_t began;
		int pid;

		(void)snprintf(file, 100, "/dev/shm/test-storm-%d-%ld",
			       (int)getpid(), i);
		pid = live_spawn("drive", file);
		assert_true(live_await(read_path, file));
		mobi_pause_ns((int64_t)(live_random(&seed) % 50000) * 1000);
		assert_int_equal(unlink(file), 0);
		began = mobi_now_ns();
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(live_collect(pid), -SIGKILL);
		assert_true(live_await(is_removed, file + 100));
		assert_true(live_await(has_no_process, file + 100));
		began = mobi_now_ns() - began;
		worst = began > worst ? began : worst;
	}
	print_message("%ld drivers killed; all was gone within %llu ms\n", n,
		      (unsigned long long)(worst / MOB_MS));
}

/* What a test that failed left in the way of the next. */
static int leave(void **state)
{
	(void)state;
	mob_shutdown();
	mob_error_clear();
	return 0;
}

#define T(test) cmocka_unit_test_teardown(test, leave)

MOB_MAIN(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		T(test_storm_results_are_right_and_nothing_is_left),
		T(test_storm_demo_counts_words_right),
		T(test_storm_killed_driver_takes_all_with_it),
	};

	if (argc > 2 && !strcmp(argv[1], "drive")) {
		return child_drives(argv[2]);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
