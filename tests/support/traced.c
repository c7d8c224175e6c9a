/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "traced.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>

static int wait_stopped(int pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, __WALL), pid);
	return WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
}

/* The process, which is stopped in a system call, makes another. */
static void make_call(const struct traced *t, uint64_t nr, uint64_t a,
		      uint64_t b, uint64_t c)
{
	struct user_regs_struct was;
	struct user_regs_struct r;

	assert_int_equal(ptrace(PTRACE_GETREGS, t->pid, NULL, &was), 0);
	r = was;
	r.rip = t->syscall_at;
	r.rax = nr;
	r.orig_rax = UINT64_MAX; /* no restart of the call it was in */
	r.rdi = a;
	r.rsi = b;
	r.rdx = c;
	assert_int_equal(ptrace(PTRACE_SETREGS, t->pid, NULL, &r), 0);
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, t->pid, NULL, NULL), 0);
	assert_int_equal(wait_stopped(t->pid), SIGTRAP);
	assert_int_equal(ptrace(PTRACE_GETREGS, t->pid, NULL, &r), 0);
	assert_int_equal(r.rax, 0);
	assert_int_equal(ptrace(PTRACE_SETREGS, t->pid, NULL, &was), 0);
}

static void let_write(const struct traced *t, unsigned i, bool write)
{
	make_call(t, SYS_mprotect, t->range[i].from,
		  t->range[i].to - t->range[i].from,
		  write ? PROT_READ | PROT_WRITE : PROT_READ);
}

static void find_tables(struct traced *t)
{
	char path[64];
	char line[512];
	FILE *maps;

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	maps = fopen(path, "r");
	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		char mode[5];
		uint64_t from;
		uint64_t to;

		if (strstr(line, "/ctl\n") &&
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s", &from, &to,
			   mode) == 3 &&
		    mode[1] == 'w') {
			assert_true(t->n < TRACED_RANGES);
			t->range[t->n].from = from;
			t->range[t->n++].to = to;
		}
	}
	(void)fclose(maps);
	assert_true(t->n > 0);
}

static bool is_behind_syscall(int pid, const struct user_regs_struct *r)
{
	long text;

	errno = 0;
	text = ptrace(PTRACE_PEEKTEXT, pid, (void *)(uintptr_t)(r->rip - 2),
		      NULL);
	return !errno && (text & 0xffff) == 0x050f;
}

/* From where it was stopped outside of a system call, through the next one. */
static void run_to_syscall_end(int pid)
{
	int sig = 0;

	for (int stops = 0; stops < 2;) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL,
					(void *)(intptr_t)sig),
				 0);
		sig = wait_stopped(pid);
		if (sig == (SIGTRAP | 0x80)) {
			sig = 0;
			stops++;
		}
		assert_true(sig >= 0);
	}
}

struct traced traced_from_here(int pid)
{
	struct traced t = { .pid = pid };
	struct user_regs_struct r;

	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL,
				(void *)(intptr_t)PTRACE_O_TRACESYSGOOD),
			 0);
	assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &r), 0);
	while (!is_behind_syscall(pid, &r)) {
		run_to_syscall_end(pid);
		assert_int_equal(ptrace(PTRACE_GETREGS, pid, NULL, &r), 0);
	}
	t.syscall_at = r.rip - 2;
	find_tables(&t);
	for (unsigned i = 0; i < t.n; i++) {
		let_write(&t, i, false);
	}
	return t;
}

/* The write that was refused is made. */
static bool write_once(const struct traced *t)
{
	siginfo_t info;
	unsigned i = 0;
	uint64_t at;

	assert_int_equal(ptrace(PTRACE_GETSIGINFO, t->pid, NULL, &info), 0);
	at = (uintptr_t)info.si_addr;
	while (i < t->n && (at < t->range[i].from || at >= t->range[i].to)) {
		i++;
	}
	if (i == t->n) {
		return false; /* it crashes */
	}
	let_write(t, i, true);
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, t->pid, NULL, NULL), 0);
	assert_int_equal(wait_stopped(t->pid), SIGTRAP);
	let_write(t, i, false);
	return true;
}

static bool call_is_over(const struct traced *t)
{
	struct __ptrace_syscall_info info;

	assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, t->pid,
			   (void *)sizeof(info), &info) > 0);
	return info.op == PTRACE_SYSCALL_INFO_EXIT;
}

long traced_follow(const struct traced *t, long n, bool (*over)(void *arg),
		   void *arg)
{
	const struct timespec pause = { .tv_nsec = 20000 };
	long k = 0;
	int sig = 0;

	while (k < n) {
		int status;
		int pid;

		if (ptrace(PTRACE_SYSCALL, t->pid, NULL,
			   (void *)(intptr_t)sig)) {
			return -k - 1;
		}
		while ((pid = waitpid(t->pid, &status,
				      __WALL | (over ? WNOHANG : 0))) == 0) {
			if (over(arg)) {
				return k; /* it sleeps, or will soon */
			}
			(void)nanosleep(&pause, NULL);
		}
		if (pid != t->pid || !WIFSTOPPED(status)) {
			return -k - 1;
		}
		sig = WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80)) {
			sig = 0;
			k += call_is_over(t);
		} else if (sig == SIGSEGV && write_once(t)) {
			sig = 0;
			k++;
		} else if (sig == SIGSTOP) {
			sig = 0;
			if (!over) {
				return k; /* the end of the way */
			}
		}
	}
	return k;
}

void traced_kill(const struct traced *t)
{
	int status;

	assert_int_equal(kill(t->pid, SIGKILL), 0);
	do {
		assert_int_equal(waitpid(t->pid, &status, __WALL), t->pid);
	} while (!WIFSIGNALED(status) && !WIFEXITED(status));
}
