/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 after every instruction.
 *
 * A child is stepped through an operation, one instruction at a time, and
 * killed after n of them; then the parent, another process of the session,
 * cleans up, and nothing may be wrong: mob_store_check is silent, the tables
 * hold what they held before, every free entry can be found, who waited goes
 * on. A system call is one step.
 *
 * A first child is stepped to the end to learn after which instructions the
 * tables are different from before: only there does a kill leave something
 * else. Kills are done in random order until the time for the operation is up.
 *
 *   test_crash_step [seconds [operation]]   seconds for each operation
 *   test_crash_step all [operation]         all of these
 *   test_crash_step every [operation]       after every instruction (hours)
 */
#define _GNU_SOURCE

#include "step_operations.h"

#include <sys/ptrace.h>

static double seconds = 2;
static bool every;
static const char *only;
static uint64_t seed;
static uint64_t total_kills;

/* ---- stepping ---- */

static void child_main(const struct operation *op, const char *name,
		       struct shared *sh)
{
	struct work w = { child_open(name),
			  sh,
			  { { 0, 0 } },
			  { NULL, 0, { 0, 0 }, 0, 0 },
			  NULL,
			  NULL };

	if (step_warm_up(&w) || op->prepare(&w)) {
		_exit(2);
	}
	(void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	(void)raise(SIGSTOP);
	if (op->step(&w)) {
		_exit(3);
	}
	(void)raise(SIGSTOP);
	_exit(4);
}

static int wait_stop(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status)) {
		fail_msg("the child ended: status %#x", (unsigned)status);
	}
	return WSTOPSIG(status);
}

/* One instruction; false if the operation is over. */
static bool step_one(pid_t pid)
{
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
	return wait_stop(pid) != SIGSTOP;
}

/* A child that is ready to be stepped. */
static pid_t start(struct work *w, const struct operation *op)
{
	pid_t pid;

	if (op->before) {
		op->before(w);
	}
	(void)fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		child_main(op, mob_store_name(w->s), w->sh);
	}
	assert_int_equal(wait_stop(pid), SIGSTOP);
	if (op->between) {
		op->between(w);
	}
	return pid;
}

/* Kills the child, cleans up, looks whether all is as before. */
static void finish(struct work *w, const struct operation *op, pid_t pid,
		   uint64_t clients, struct counts was, uint64_t n)
{
	struct counts is;

	child_kill(pid);
	reap_until(w->s, clients);
	if (op->after) {
		op->after(w);
	}
	is = counts_of(w->s);
	if (mob_store_check(w->s, print_finding, NULL) ||
	    counts_differ(was, is) || is.unhinted) {
		fail_msg("%s: killed after %" PRIu64 " instructions (%" PRIu64
			 " free entries are lost)",
			 op->name, n, is.unhinted);
	}
	total_kills++;
}

static void kill_after(struct work *w, const struct operation *op, uint64_t n)
{
	uint64_t clients = clients_used(w->s);
	struct counts was = counts_of(w->s);
	pid_t pid = start(w, op);

	for (uint64_t i = 0; i < n && step_one(pid); i++) {
	}
	finish(w, op, pid, clients, was, n);
}

/* ---- after which instructions the tables are different ---- */

#define PARTS 9

struct part {
	const void *at;
	size_t bytes;
	unsigned char *copy;
};

struct points {
	uint64_t *at;
	uint64_t n;
	uint64_t max;
	uint64_t steps; /* of the whole operation */
};

static void parts_of(const struct mob_store *s, struct part *p)
{
	uint32_t slots = mobi_pool_used(s, MOBI_POOL_SLOT);
	uint32_t recs = mobi_pool_used(s, MOBI_POOL_REC);
	uint32_t chunks = mobi_pool_used(s, MOBI_POOL_CHUNK);
	const struct part parts[PARTS] = {
		{ s->hdr, sizeof(*s->hdr), NULL },
		{ s->clients, MOBI_CLIENTS * sizeof(*s->clients), NULL },
		{ s->pool[0].shared, 3 * sizeof(*s->pool[0].shared), NULL },
		{ s->pool[0].group, (slots / 64 + 1) * 16, NULL },
		{ s->pool[2].group, (chunks / 64 + 1) * 16, NULL },
		{ s->cqs, 3 * sizeof(*s->cqs), NULL },
		{ s->slots, slots * sizeof(*s->slots), NULL },
		{ s->chunks, chunks * sizeof(*s->chunks), NULL },
		{ s->edges,
		  (size_t)chunks * MOBI_EDGE_CHUNK * sizeof(*s->edges), NULL },
	};

	assert_int_equal(recs, 0);
	for (int i = 0; i < PARTS; i++) {
		p[i] = parts[i];
		p[i].copy = malloc(p[i].bytes + 1);
		assert_non_null(p[i].copy);
		memcpy(p[i].copy, p[i].at, p[i].bytes);
	}
}

static bool parts_changed(struct part *p)
{
	bool changed = false;

	for (int i = 0; i < PARTS; i++) {
		if (memcmp(p[i].copy, p[i].at, p[i].bytes) != 0) {
			memcpy(p[i].copy, p[i].at, p[i].bytes);
			changed = true;
		}
	}
	return changed;
}

static void point_add(struct points *p, uint64_t n)
{
	if (p->n == p->max) {
		p->max = p->max ? 2 * p->max : 1024;
		p->at = realloc(p->at, p->max * sizeof(*p->at));
		assert_non_null(p->at);
	}
	p->at[p->n++] = n;
}

static struct points find_points(struct work *w, const struct operation *op)
{
	struct points points = { NULL, 0, 0, 0 };
	uint64_t clients = clients_used(w->s);
	struct counts was = counts_of(w->s);
	pid_t pid = start(w, op);
	struct part parts[PARTS];

	parts_of(w->s, parts);
	point_add(&points, 0);
	while (step_one(pid)) {
		points.steps++;
		if (every || parts_changed(parts)) {
			point_add(&points, points.steps);
		}
	}
	for (int i = 0; i < PARTS; i++) {
		free(parts[i].copy);
	}
	finish(w, op, pid, clients, was, points.steps);
	return points;
}

static void run_operation(struct work *w, const struct operation *op)
{
	uint64_t began = now_ns();
	struct points points = find_points(w, op);
	uint64_t left = points.n;
	double took = 0;

	while (left && (every || took < seconds)) {
		uint64_t i = next_random(&seed) % left;
		uint64_t n = points.at[i];

		points.at[i] = points.at[--left];
		kill_after(w, op, n);
		took = (double)(now_ns() - began) / 1e9;
	}
	print_message("%-22s %6" PRIu64 " instructions, killed after %" PRIu64
		      " of %" PRIu64 ", %.1f s\n",
		      op->name, points.steps, points.n - left, points.n, took);
	free(points.at);
}

static void test_step_killed_anywhere_nothing_left(void **state)
{
	struct mob_store *s = store_new(NULL, 16 * MIB);
	struct work w = { s,
			  shared_memory(sizeof(struct shared)),
			  { { 0, 0 } },
			  { NULL, 0, { 0, 0 }, 0, 0 },
			  NULL,
			  NULL };

	(void)state;
	step_begin(&w);
	for (size_t i = 0; i < step_operations_n; i++) {
		const struct operation *op = &step_operations[i];

		if (!only || strcmp(only, op->name) == 0) {
			run_operation(&w, op);
		}
	}
	step_end(&w);
	print_message("%" PRIu64 " kills\n", total_kills);
	store_end(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_step_killed_anywhere_nothing_left),
	};

	if (argc > 1) {
		every = strcmp(argv[1], "every") == 0;
		seconds = strcmp(argv[1], "all") == 0 ? 1e9 :
							strtod(argv[1], NULL);
	}
	only = argc > 2 ? argv[2] : NULL;
	seed = now_ns() | 1;
	print_message("seed %#" PRIx64 "\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
