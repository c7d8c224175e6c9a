/* SPDX-License-Identifier: Apache-2.0 */
/* What a process was doing when a wrong access to memory ended it. */
#ifndef MOBI_OS_CRASH_H
#define MOBI_OS_CRASH_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Calls tell, in the signal handler, before SIGSEGV or SIGBUS ends the process as it
 * would have otherwise. addr: what was accessed. near_stack: close to the stack pointer,
 * so that the stack has most likely run over. On a stack of its own, which only the
 * calling thread has. Does nothing to a signal that has a handler or is ignored, as in
 * builds with sanitizers.
 */
void mobi_crash_watch(void (*tell)(uint64_t addr, bool near_stack));

#endif /* MOBI_OS_CRASH_H */
