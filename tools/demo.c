/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob-demo: the main job of Mobula on real input. tools/demo builds and runs
 * it.
 *
 *   1. quicksort of 4,000,000 random integers as a tree of tasks
 *   2. word count of all files below a directory, map and tree reduce
 *   3. both under two policies, then a policy swapped while tasks wait and run
 *   4. a worker killed in the middle of a task of the word count
 *
 * Every result is checked. Exit status 0: all checks held; 1: one did not;
 * 2: usage.
 */
#define _GNU_SOURCE
#include "demo_sort.h"
#include "demo_words.h"

#include <mobula/session.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NUMBERS 4000000u
#define ROUNDS 7   /* that are timed */
#define RETRIES 3  /* as without options */
#define WARM_UPS 3 /* before them: each process maps the memory that it uses */
#define POLICY_A "ws"
#define POLICY_B "lifo"
#define QUEUED_MIN 100u

static double seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- the table ---- */

struct row {
	const char *run;
	char policy[32];
	uint64_t tasks;
	double time_s;
	double speed_up; /* 0: none */
	bool ok;
};
static struct row rows[16];
static size_t n_rows;

static void add_row(const char *run, const char *policy, uint64_t tasks,
		    double time_s, double speed_up, bool ok)
{
	struct row *r = &rows[n_rows++];

	r->run = run;
	(void)snprintf(r->policy, sizeof(r->policy), "%s", policy);
	r->tasks = tasks;
	r->time_s = time_s;
	r->speed_up = speed_up;
	r->ok = ok;
}

static int print_table(void)
{
	int bad = 0;

	printf("\n%-24s %-14s %8s %9s %9s  %s\n", "run", "policy", "tasks",
	       "time", "speed-up", "checked");
	for (size_t i = 0; i < n_rows; i++) {
		struct row *r = &rows[i];
		char up[16] = "-";
		char tasks[24] = "-";

		if (r->speed_up > 0) {
			(void)snprintf(up, sizeof(up), "%.2f", r->speed_up);
		}
		if (r->tasks) {
			(void)snprintf(tasks, sizeof(tasks), "%llu",
				       (unsigned long long)r->tasks);
		}
		printf("%-24s %-14s %8s %7.3f s %9s  %s\n", r->run, r->policy,
		       tasks, r->time_s, up, r->ok ? "yes" : "NO");
		bad += !r->ok;
	}
	return bad;
}

static void progress(const char *what)
{
	if (isatty(STDERR_FILENO)) {
		fprintf(stderr, "\r\033[K%s", what);
		(void)fflush(stderr);
	}
}

/* ---- input and what it should give ---- */

struct input {
	struct demo_files files;
	unsigned char *words; /* sequential dictionary */
	size_t words_n;
	double words_s;
	int32_t *numbers;
	int32_t *sorted;
	double sort_s;
};

static void input_free(struct input *in)
{
	demo_files_free(&in->files);
	free(in->words);
	free(in->numbers);
	free(in->sorted);
}

static int by_time(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static int by_value(const void *a, const void *b)
{
	int32_t x = *(const int32_t *)a;
	int32_t y = *(const int32_t *)b;

	return (x > y) - (x < y);
}

static int prepare_numbers(struct input *in)
{
	double t[ROUNDS] = { 0 };
	uint64_t seed = 88172645463325252u;
	int32_t *work = malloc(NUMBERS * sizeof(*work));

	in->numbers = malloc(NUMBERS * sizeof(*in->numbers));
	in->sorted = malloc(NUMBERS * sizeof(*in->sorted));
	if (!work || !in->numbers || !in->sorted) {
		free(work);
		return -1;
	}
	for (size_t i = 0; i < NUMBERS; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		in->numbers[i] = (int32_t)(seed % 1000000);
	}
	for (int i = -WARM_UPS; i < ROUNDS; i++) {
		double began;

		memcpy(work, in->numbers, NUMBERS * sizeof(*work));
		began = seconds();
		demo_sort_sequential(work, NUMBERS);
		if (i >= 0) {
			t[i] = seconds() - began;
		}
	}
	/* The check is another sort: the whole by the C library. */
	memcpy(in->sorted, in->numbers, NUMBERS * sizeof(*work));
	qsort(in->sorted, NUMBERS, sizeof(*work), by_value);
	qsort(t, ROUNDS, sizeof(*t), by_time);
	in->sort_s = t[ROUNDS / 2];
	add_row("quicksort, sequential", "-", 0, in->sort_s, 0,
		memcmp(work, in->sorted, NUMBERS * sizeof(*work)) == 0);
	free(work);
	return 0;
}

static int prepare(struct input *in, const char *dir)
{
	double began;

	if (demo_files_list(dir, &in->files)) {
		return -1;
	}
	if (!in->files.n) {
		fprintf(stderr,
			"mob-demo: no file below '%s' can be read; name "
			"another directory\n",
			dir);
		return -1;
	}
	printf("%s: %zu files, %.1f MB", dir, in->files.n / in->files.times,
	       (double)in->files.file_bytes / (double)in->files.times / 1e6);
	if (in->files.times > 1) {
		printf(", each counted %zu times, so that tasks queue up",
		       in->files.times);
	}
	if (in->files.unreadable) {
		printf(", %zu that cannot be read left out",
		       in->files.unreadable);
	}
	printf("\n");
	progress("counting words sequentially");
	began = seconds();
	if (demo_words_sequential(&in->files, &in->words, &in->words_n)) {
		fprintf(stderr, "mob-demo: cannot count the words of '%s'\n",
			dir);
		return -1;
	}
	in->words_s = seconds() - began;
	add_row("word count, sequential", "-", 0, in->words_s, 0, true);
	progress("sorting sequentially");
	return prepare_numbers(in);
}

/* ---- a session for each policy ---- */

static uint64_t tasks_run(struct mob_session *s)
{
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;

	return mob_session_stats(s, &st) ? 0 : st.tasks_run;
}

static struct mob_session *enter(const char *policy)
{
	struct mob_init_opts o = MOB_INIT_OPTS_INIT;
	struct mob_session *s = NULL;

	o.policy = policy;
	if (mob_init(&o) || mob_session_current(&s)) {
		fprintf(stderr, "mob-demo: cannot start a session: %s\n",
			mob_error());
		exit(1);
	}
	return s;
}

static void leave(struct mob_session *s)
{
	mob_session_close(s);
	mob_shutdown();
}

/* Is it the policy that was asked for that decided to the end? */
static bool decides(struct mob_session *s, const char *policy)
{
	struct mob_policy_info p = MOB_POLICY_INFO_INIT;

	if (mob_session_policy(s, &p) || strcmp(p.name, policy) != 0) {
		fprintf(stderr,
			"mob-demo: policy %s does not decide any "
			"more, see mob-policy(1)\n",
			policy);
		return false;
	}
	return true;
}

/* ---- 1: the tree of tasks ---- */

static void run_sort(const struct input *in, struct mob_session *s,
		     const char *policy)
{
	double t[ROUNDS] = { 0 };
	bool ok = true;
	uint64_t before = tasks_run(s);

	for (int i = -WARM_UPS; i < ROUNDS; i++) {
		MOB_SCOPE
		{
			double began = seconds();
			mob_i32s out;
			int rc = mob_get(demo_sort_submit(in->numbers, NUMBERS),
					 &out);

			if (i >= 0) {
				t[i] = seconds() - began;
			}
			if (rc || out.n != NUMBERS ||
			    memcmp(out.at, in->sorted,
				   NUMBERS * sizeof(*out.at)) != 0) {
				fprintf(stderr, "mob-demo: quicksort: %s\n",
					rc ? mob_error() : "not sorted");
				mob_error_clear();
				ok = false;
			}
		}
	}
	qsort(t, ROUNDS, sizeof(*t), by_time);
	ok &= decides(s, policy);
	add_row("quicksort, distributed", policy,
		(tasks_run(s) - before) / (ROUNDS + WARM_UPS), t[ROUNDS / 2],
		in->sort_s / t[ROUNDS / 2], ok);
}

/* ---- 2: map and reduce ---- */

/* Reduces what was mapped, and compares the one result that it sees. */
static bool reduce_and_check(const struct input *in, struct mob_ref *refs,
			     double *out_end)
{
	size_t tasks;
	mob_bytes out;
	struct mob_ref last = demo_words_reduce(refs, in->files.n_batches,
						RETRIES, &tasks);
	int rc = mob_get(last, &out);

	*out_end = seconds();
	if (rc) {
		fprintf(stderr, "mob-demo: word count: %s\n", mob_error());
		mob_error_clear();
		return false;
	}
	return out.n == in->words_n && memcmp(out.at, in->words, out.n) == 0;
}

static void run_words(const struct input *in, struct mob_session *s,
		      const char *policy)
{
	struct mob_ref *refs = calloc(in->files.n_batches, sizeof(*refs));
	uint64_t before = tasks_run(s);
	double began = seconds();
	double end = began;
	bool ok = false;

	MOB_SCOPE
	{
		demo_words_map(&in->files, RETRIES, refs);
		ok = reduce_and_check(in, refs, &end);
	}
	ok &= decides(s, policy);
	add_row("word count", policy, tasks_run(s) - before, end - began,
		in->words_s / (end - began), ok);
	free(refs);
}

/* ---- 3: a swap under load ---- */

/* Until enough tasks are in the queues of the policy. */
static void await_queue(struct mob_session *s)
{
	struct mob_policy_info p = MOB_POLICY_INFO_INIT;
	double until = seconds() + 1;

	while (mob_session_policy(s, &p) == 0 && p.queued < QUEUED_MIN &&
	       seconds() < until) {
	}
}

struct swapped {
	struct mob_session_stats st; /* at the commit */
	uint64_t generation;
	uint64_t tasks;
	double time_s;
	bool ok;
};

/* Maps, swaps from A to B while the tasks are queued, and reduces. */
static void swap_once(const struct input *in, struct mob_session *s,
		      struct mob_ref *refs, struct swapped *out)
{
	uint64_t before;
	double began;
	double end = 0;
	int rc;

	/* Both have been checked and loaded once: what follows is the commit
	 * alone. */
	rc = mob_policy_swap(s, POLICY_B, NULL);
	rc = rc ? rc : mob_policy_swap(s, POLICY_A, NULL);
	before = tasks_run(s);
	began = seconds();
	MOB_SCOPE
	{
		demo_words_map(&in->files, RETRIES, refs);
		await_queue(s);
		rc = rc ? rc : mob_policy_swap(s, POLICY_B, &out->generation);
		rc = rc ? rc : mob_session_stats(s, &out->st);
		if (rc) {
			fprintf(stderr, "mob-demo: swap: %s\n",
				mob_err_detail(rc));
		}
		out->ok = reduce_and_check(in, refs, &end);
	}
	out->ok &= !rc && decides(s, POLICY_B);
	out->tasks = tasks_run(s) - before;
	out->time_s = end - began;
}

static void run_swap(const struct input *in, struct mob_session *s)
{
	struct mob_ref *refs = calloc(in->files.n_batches, sizeof(*refs));
	struct swapped w;
	bool shows = false;

	/* A machine that is busy may let the queue run empty first: again. */
	for (int tries = 0; tries < 3 && !shows; tries++) {
		memset(&w, 0, sizeof(w));
		w.st = (struct mob_session_stats)MOB_SESSION_STATS_INIT;
		swap_once(in, s, refs, &w);
		shows = w.st.swap_queued >= QUEUED_MIN && w.st.swap_running;
	}
	printf("swap: %s -> %s, generation %llu, with %llu tasks queued and "
	       "%llu running\n",
	       POLICY_A, POLICY_B, (unsigned long long)w.generation,
	       (unsigned long long)w.st.swap_queued,
	       (unsigned long long)w.st.swap_running);
	if (!shows) {
		printf("swap: too few tasks were there for it to show "
		       "anything\n");
	}
	add_row("word count, swap", POLICY_A " -> " POLICY_B, w.tasks, w.time_s,
		in->words_s / w.time_s, w.ok && shows);
	free(refs);
}

/* ---- 4: a kill ---- */

static int find_victim(const struct mob_worker_info *w, void *arg)
{
	uint32_t *pid = arg;

	if (w->state == MOB_WORKER_RUNNING &&
	    strcmp(w->task_name, "count_words") == 0) {
		*pid = w->pid;
	}
	return *pid != 0;
}

/* Kills a worker while it runs a map task; true when a task was put back. */
static bool kill_one(struct mob_session *s)
{
	struct mob_session_stats st = MOB_SESSION_STATS_INIT;
	double until = seconds() + 10;

	while (seconds() < until) {
		uint32_t pid = 0;

		(void)mob_session_workers(s, find_victim, &pid);
		if (!pid) {
			continue;
		}
		(void)kill((pid_t)pid, SIGKILL);
		for (int i = 0; i < 1000; i++) {
			struct timespec ms = { 0, 1000000 };

			if (mob_session_stats(s, &st) == 0 && st.retried) {
				printf("kill: worker %u was killed by signal "
				       "%u in task %s, attempt %u; the task "
				       "was run again\n",
				       st.crash_pid, st.crash_signal,
				       st.crash_task, st.crash_attempt);
				return true;
			}
			if (st.finished_for_dead || kill((pid_t)pid, 0)) {
				break; /* it died between two tasks */
			}
			(void)nanosleep(&ms, NULL);
		}
	}
	return false;
}

static void run_kill(const struct input *in, struct mob_session *s)
{
	struct mob_ref *refs = calloc(in->files.n_batches, sizeof(*refs));
	uint64_t before = tasks_run(s);
	double began = seconds();
	double end = began;
	bool killed = false;
	bool ok = false;

	MOB_SCOPE
	{
		demo_words_map(&in->files, RETRIES, refs);
		killed = kill_one(s);
		ok = reduce_and_check(in, refs, &end);
	}
	if (!killed) {
		printf("kill: no worker could be killed inside a task\n");
	}
	add_row("word count, kill -9", POLICY_A, tasks_run(s) - before,
		end - began, in->words_s / (end - began), ok && killed);
	free(refs);
}

/* ---- */

static void run_all(const struct input *in)
{
	static const char *const policies[] = { POLICY_A, POLICY_B };
	struct mob_session *s;

	for (size_t i = 0; i < 2; i++) {
		s = enter(policies[i]);
		progress("quicksort, distributed");
		run_sort(in, s, policies[i]);
		progress("word count");
		run_words(in, s, policies[i]);
		leave(s);
	}
	s = enter(POLICY_A);
	progress("swap");
	run_swap(in, s);
	leave(s);
	s = enter(POLICY_A);
	progress("kill");
	run_kill(in, s);
	leave(s);
	progress("");
}

static int usage(FILE *to)
{
	fprintf(to, "usage: mob-demo [DIRECTORY]\n\n"
		    "Shows a tree of tasks, map and reduce over the files of "
		    "DIRECTORY (default\n/usr/include), a swap of the policy "
		    "under load and a kill; checks every result.\n");
	return to == stdout ? 0 : 2;
}

MOB_MAIN(int argc, char **argv)
{
	struct input in = { 0 };
	uint64_t words;
	uint64_t different;
	int bad;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		return usage(argc == 2 && strcmp(argv[1], "--help") == 0 ?
				     stdout :
				     stderr);
	}
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (prepare(&in, argc == 2 ? argv[1] : "/usr/include")) {
		input_free(&in);
		return 1;
	}
	demo_words_total(in.words, in.words_n, &words, &different);
	progress("");
	printf("%llu words, %llu different\n", (unsigned long long)words,
	       (unsigned long long)different);
	run_all(&in);
	bad = print_table();
	if (bad) {
		printf("\n%d checks failed\n", bad);
	}
	input_free(&in);
	return bad ? 1 : 0;
}
