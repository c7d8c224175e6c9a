/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE

#include "os_crash.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <ucontext.h>

/* A frame of up to so many bytes is touched above the stack pointer, and pushes and
 * probes go a little below it. */
#define ABOVE (UINT64_C(16) << 20)
#define BELOW (UINT64_C(1) << 16)

static void (*tell_fn)(enum mobi_fault_kind what, uint64_t addr);

static uint64_t stack_pointer(const void *context)
{
	const ucontext_t *c = context;

#if defined(__x86_64__)
	return (uint64_t)c->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
	return c->uc_mcontext.sp;
#else
	(void)c;
	return 0;
#endif
}

static enum mobi_fault_kind kind_of(int sig, int code, uint64_t addr,
				    uint64_t sp)
{
	if (sig == SIGBUS) {
		return MOBI_CRASH_NO_MEMORY;
	}
	/* Not of a page fault: the address is no canonical one, and not known. */
	if (code == SI_KERNEL) {
		return MOBI_CRASH_NOWHERE;
	}
	return sp && addr + BELOW >= sp && addr < sp + ABOVE ?
		       MOBI_CRASH_NEAR_STACK :
		       MOBI_CRASH_ADDRESS;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	uint64_t addr = (uint64_t)(uintptr_t)info->si_addr;

	/* One that was sent has no address. */
	if (info->si_code > 0) {
		tell_fn(kind_of(sig, info->si_code, addr,
				stack_pointer(context)),
			addr);
	}
	/* The access is made again, or the signal sent again, and ends it. */
	(void)signal(sig, SIG_DFL);
	if (info->si_code <= 0) {
		(void)raise(sig);
	}
}

static void watch(int sig)
{
	struct sigaction old;
	struct sigaction sa;

	if (sigaction(sig, NULL, &old) || (old.sa_flags & SA_SIGINFO) ||
	    old.sa_handler != SIG_DFL) {
		return;
	}
	memset(&sa, 0, sizeof(sa));
	sa.sa_sigaction = on_fault;
	sa.sa_flags = SA_SIGINFO | SA_ONSTACK;
	(void)sigaction(sig, &sa, NULL);
}

void mobi_crash_watch(void (*tell)(enum mobi_fault_kind what, uint64_t addr))
{
	static _Alignas(16) char space[32768];
	stack_t own = { .ss_sp = space, .ss_size = sizeof(space) };
	stack_t old;

	if (sigaltstack(NULL, &old) == 0 && (old.ss_flags & SS_DISABLE)) {
		(void)sigaltstack(&own, NULL);
	}
	tell_fn = tell;
	watch(SIGSEGV);
	watch(SIGBUS);
}
