/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that others of ours have started and left behind.
 *
 * A worker has a tag in its environment, and so has all that it starts, wherever
 * that puts itself: the environment with which a process began can be read from
 * outside. The value of the variable is a list, ',' between, of the tags of the
 * worker and of those around it, the innermost first.
 */
#ifndef MOBI_OS_STRAYS_H
#define MOBI_OS_STRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MOBI_ENV_WORKER "MOBULA_WORKER"
#define MOBI_TAGS_MAX 1024

/* The tags that a process began with; false: none, or it cannot be told. */
bool mobi_tags_of(int pid, char out[MOBI_TAGS_MAX]);
/* Kills every process of this user, but this one, that has a tag which begins so,
 * and of which spare (may be NULL) does not say true; and again, as they may be
 * starting others. How many. */
uint32_t mobi_tagged_kill(const char *begin,
			  bool (*spare)(int pid, const char *tags, void *arg),
			  void *arg);

/* Calls fn with each child of this process, of any of its threads, those that have
 * ended, too. False: the system does not tell. */
bool mobi_children_each(void (*fn)(int pid, void *arg), void *arg);
/* Kills it by a descriptor, so that it is no other by then. */
void mobi_kill_surely(int pid);

/* What the calling thread forks from now on is killed when this thread ends, and
 * so when the process is killed; also if that is at the moment of the fork. Not
 * what is started by posix_spawn, system or popen. */
void mobi_forks_die_with_me(void);

#endif /* MOBI_OS_STRAYS_H */
