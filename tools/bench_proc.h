/* SPDX-License-Identifier: Apache-2.0 */
/* Where the processes of a case run, and the workers of its session. */
#ifndef MOBI_BENCH_PROC_H
#define MOBI_BENCH_PROC_H

#include "bench.h"

#include <sys/types.h>

#define BENCH_WORKERS_MAX 8

struct bench_workers {
	char path[4096]; /* of the session's directory */
	uint32_t pid[BENCH_WORKERS_MAX];
	uint32_t n;
};

/*
 * Keeps a process (0: this one) on the nth of the processors that this one had
 * at the first call. A case that is compared with a raw primitive calls it for
 * both sides: a wake across processors costs ten times one on the same, and the
 * kernel would put the sides differently. With fewer processors nothing is done.
 * Returns 0, or -1 with errno set.
 */
int bench_pin(pid_t pid, unsigned nth);

/* Waits until all workers of this process's session are idle, at most 10 s.
 * Returns 0, or -1 after bench_fail. */
int bench_workers_idle(struct bench *b, struct bench_workers *out_workers);

/* Private memory of a process in MiB, without mappings of files below path; -1
 * with errno set. */
double bench_private_mib(uint32_t pid, const char *path);
/* 0 if it cannot be told. */
unsigned bench_threads(uint32_t pid);

#endif /* MOBI_BENCH_PROC_H */
