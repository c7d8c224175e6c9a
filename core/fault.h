/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failpoints: named places where a test makes a process die, stop or get an
 * error. Compiled in only with MOB_FAILPOINTS (dev, asan, tsan builds); in
 * release builds MOBI_FAULT is nothing.
 *
 *   MOBULA_FAULT="catalogue.commit=kill@3,arena.back_units=error@1+"
 *
 * action: kill (SIGKILL to self), stop (SIGSTOP), error (MOBI_FAULT_ERR is
 * true); @n the n-th time, @n+ from the n-th on, default @1. The variable is
 * read at the first failpoint that a process meets; a child of fork has what
 * its parent read, with the counts so far. A spec that does not parse aborts.
 */
#ifndef MOBI_FAULT_H
#define MOBI_FAULT_H

#include <stdbool.h>

#ifdef MOB_FAILPOINTS
bool mobi_fault_hit(const char *name);
/* Takes this spec from now on, whatever was read before. For tests, in a child
 * of fork above all; no other thread may be at a failpoint. */
void mobi_fault_arm(const char *spec);
#define MOBI_FAULT(name) ((void)mobi_fault_hit(name))
#define MOBI_FAULT_ERR(name) mobi_fault_hit(name)
#else
#define MOBI_FAULT(name) ((void)0)
#define MOBI_FAULT_ERR(name) false
#endif

#endif /* MOBI_FAULT_H */
