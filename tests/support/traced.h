/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a session, followed from one step that others can see to the
 * next: a write to the tables, or a system call. It is traced with the tables
 * write-protected, so that every write stops it.
 *
 * Between two such steps it changes only what is its own and what nobody looks
 * at yet (bytes of an object before the seal): a kill after each of them leaves
 * all that kills after every instruction could leave. Not seen are writes to the
 * lock file of LMDB.
 */
#ifndef TRACED_H
#define TRACED_H

#include <stdbool.h>
#include <stdint.h>

#define TRACED_RANGES 4

struct traced {
	int pid;
	uint64_t syscall_at; /* address of a system call instruction */
	unsigned n;          /* control segments that it has mapped */
	struct {
		uint64_t from;
		uint64_t to;
	} range[TRACED_RANGES];
};

/* Of a process that this one traces and that is stopped in a system call. Any
 * failure, here and below, fails the test; without x86-64 it is skipped. */
struct traced traced_from_here(int pid);

/* Lets it go on until n steps are done; until over(arg), which is asked while it
 * runs or sleeps; or, if over is NULL, until it stops itself by SIGSTOP. How many
 * steps were done; negative if it ended by itself. */
long traced_follow(const struct traced *t, long n, bool (*over)(void *arg),
		   void *arg);

/* Kills it, wherever it is, and collects it. */
void traced_kill(const struct traced *t);

#endif /* TRACED_H */
