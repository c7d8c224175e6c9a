/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 after every step of every operation that another process can see: a
 * write to the tables, or a system call (support/traced.h says why that is as
 * good as after every instruction).
 *
 * A child is followed through an operation and killed after n steps; then the
 * parent, another process of the session, cleans up, and nothing may be wrong:
 * mob_store_check is silent, the tables hold what they held before, every free
 * entry can be found, who waited goes on.
 *
 *   test_crash_step [operation]
 */
#define _GNU_SOURCE

#include "step_operations.h"
#include "traced.h"

#include <limits.h>

#include <sys/ptrace.h>

static const char *only;
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

/* Follows a child through the operation, kills it after n steps, cleans up,
 * looks whether all is as before. How many steps it did. */
static long kill_after(struct work *w, const struct operation *op, long n)
{
	uint64_t clients = clients_used(w->s);
	struct counts was = counts_of(w->s);
	struct traced t = traced_from_here(start(w, op));
	long took = traced_follow(&t, n, NULL, NULL);
	struct counts is;

	assert_true(took >= 0);
	traced_kill(&t);
	reap_until(w->s, clients);
	if (op->after) {
		op->after(w);
	}
	is = counts_of(w->s);
	if (mob_store_check(w->s, print_finding, NULL) ||
	    counts_differ(was, is) || is.unhinted || spill_files(w->s)) {
		fail_msg("%s: killed after %ld steps (%" PRIu64 " free entries "
			 "are lost, %u files left)",
			 op->name, n, is.unhinted, spill_files(w->s));
	}
	total_kills++;
	return took;
}

static void run_operation(struct work *w, const struct operation *op)
{
	uint64_t began = now_ns();
	long all = kill_after(w, op, LONG_MAX);
	long n = 0;

	/* The ways differ a little: until one is shorter than its point. */
	while (kill_after(w, op, n) == n) {
		n++;
	}
	print_message("%-22s %4ld steps, killed after each of %ld, %.1f s\n",
		      op->name, all, n, (double)(now_ns() - began) / 1e9);
}

static void test_step_killed_anywhere_nothing_left(void **state)
{
	struct mob_store *s = store_new_spilling(16 * MIB);
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

	only = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
