/* SPDX-License-Identifier: Apache-2.0 */
/* The cases of `mob bench task` in libraries that run tasks in threads of one
 * process. Each is a table of what it can do; tasks.c has the cases. */
#ifndef MOBI_TASKS_H
#define MOBI_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What tasks of cases do; for the libraries to call. */
void peer_spin(uint64_t ns);

/* All but begin, end and inside are called by inside. What is NULL it cannot do. */
struct peer_tasks {
	/* Two threads: this one and another. False: it cannot be had. */
	bool (*begin)(void);
	void (*end)(void);
	/* Calls body where it may make tasks. */
	void (*inside)(void (*body)(void *arg), void *arg);
	/* Gives the other thread a task; this one neither runs it nor waits. */
	void (*give)(void (*task)(void *arg), void *arg);
	/* n tasks that write i to out[i], and waits for them. */
	void (*empty)(size_t n, int32_t *out);
	/* n tasks that call peer_spin(ns), and waits for them. */
	void (*spin)(size_t n, uint64_t ns);
	/* A task that makes one and waits for it, and so on; how many there were. */
	int64_t (*nested)(int32_t depth);
	/* A binary tree of tasks that wait for their two; how many there were. */
	int64_t (*tree)(int32_t depth);
	/* n tasks, each on the last; *out_ns is the time that is asked for (see
	 * README.md). Returns how many there were. */
	int64_t (*chain)(int32_t n, uint64_t *out_ns);
	/* Its waiting threads sleep at once; only task.sync is run then. */
	bool sleeps;
	/* In task.sync_hot the caller sleeps: the others need all processors. */
	bool caller_sleeps;
};

/* As peer_main, for the cases that ops has. */
int peer_tasks_main(int argc, char **argv, const struct peer_tasks *ops);

#endif /* MOBI_TASKS_H */
