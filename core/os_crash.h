/* SPDX-License-Identifier: Apache-2.0 */
/* What a process was doing when a wrong access to memory ended it. */
#ifndef MOBI_OS_CRASH_H
#define MOBI_OS_CRASH_H

#include <stdint.h>

enum mobi_fault_kind {
	MOBI_CRASH_ADDRESS = 1,
	MOBI_CRASH_NEAR_STACK =
		2, /* of the stack pointer: the stack has run over,
				      most likely */
	MOBI_CRASH_NOWHERE =
		3, /* what cannot be an address: which is not told */
	MOBI_CRASH_NO_MEMORY = 4 /* SIGBUS: nothing is behind the mapping */
};

/*
 * Calls tell, in the signal handler, before SIGSEGV or SIGBUS ends the process as it
 * would have otherwise, with what was accessed. On a stack of its own, which only the
 * calling thread has. Does nothing to a signal that has a handler or is ignored, as in
 * builds with sanitizers.
 */
void mobi_crash_watch(void (*tell)(enum mobi_fault_kind what, uint64_t addr));

#endif /* MOBI_OS_CRASH_H */
