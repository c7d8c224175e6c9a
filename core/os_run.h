/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, watching and ending processes. */
#ifndef MOBI_OS_RUN_H
#define MOBI_OS_RUN_H

#include "os_limits.h"
#include "os_proc.h"

#include <mobula/export.h>

#include <stddef.h>

/* Lets another thread of this processor run. */
void mobi_yield(void);

/* May this file be executed? */
bool mobi_runnable(const char *path);
/* Path of the running executable. */
int mobi_self_path(char *out, size_t size);

/* How a process is started beside its arguments; negative: as this one has it. */
struct mobi_run_how {
	bool apart; /* it has a session (setsid) of its own */
	/* It has a process group of its own, and reads nothing: with the terminal
	 * of this one as its stdin a read would stop it. Not a session: Linux
	 * gives each its own share of the processors (autogroup), and processes
	 * that wake each other all the time lose a quarter by that. */
	bool group;
	int out; /* its stdout and stderr */
	int err;
	const struct mobi_limits *limits; /* NULL: as this one */
	int keep[2]; /* descriptors of this process that it gets, too */
};
#define MOBI_RUN_HOW_INIT                                                      \
	{                                                                      \
		.out = -1, .err = -1, .keep = { -1, -1 }                       \
	}
/*
 * Starts `path` with argv and, on top of the environment, the entries of env
 * (NULL at the end), with empty signal mask and default handlers. Returns its pid.
 */
int mobi_run(const char *path, char *const argv[], char *const env[],
	     const struct mobi_run_how *how);
/*
 * As mobi_run for a process that is not a child of this one: nobody has to wait
 * for it. It is apart. May be called in a signal handler (_Fork, execve).
 */
int mobi_run_detached(const char *path, char *const argv[], char *const envp[],
		      const struct mobi_run_how *how);
/* The environment of this process with entries added; malloc'd array, whose
 * added strings are those given. */
char **mobi_env_with(char *const env[]);

int mobi_kill(int pid, int sig);
/* A child that is dead and not collected: its pid, which nobody else gets until
 * then; 0: none. */
int mobi_child_dead(void);
/* Collects this dead child: its status. */
int mobi_child_collect(int pid);
/* Has this process a child, dead or alive? */
bool mobi_has_children(void);
/* Kills what is in the process group of a child that is not collected. */
void mobi_kill_group(int pid);
/* "signal 9 (Killed)" or "exit code 3". */
void mobi_status_text(int status, char *out, size_t size);

/* The signal that ended it, or 0 and its exit code. */
void mobi_status_split(int status, uint32_t *out_signal, uint32_t *out_code);

/* Orphans below this process become its children. */
void mobi_adopt_orphans(void);
/* Shown by ps. */
void mobi_set_name(const char *name);
/* Number of the signal by which a worker is told that the daemon is gone. */
int mobi_news_signal(void);
void mobi_signal_unblock(int sig);
void mobi_on_signal(int sig, void (*fn)(int sig));
/* fn for SIGTERM; of a process that somebody started at a terminal also for SIGINT and
 * SIGHUP, unless they are ignored. */
void mobi_on_end_signals(bool at_terminal, void (*fn)(int sig));
/* Without what exit does: in a forked child, that is its parent's. */
MOB_NORETURN void mobi_exit_now(int code);
void mobi_pause_ns(int64_t ns);

/* ---- poll ---- */
int mobi_poll_new(void);
int mobi_poll_add(int poll_fd, int fd, uint64_t tag);
void mobi_poll_remove(int poll_fd, int fd);
/* Up to max tags that are readable or hung up; 0 after timeout_ms. */
int mobi_poll_wait(int poll_fd, uint64_t *out_tags, int max, int timeout_ms);
int mobi_sock_accept(int fd);
/* Peer's pid of a connection. */
int mobi_sock_peer(int fd);
/* Reads one message without blocking: bytes, 0 at the end of the connection,
 * MOB_E_AGAIN. */
int mobi_sock_read(int fd, void *out, size_t size);
void mobi_sock_write(int fd, const void *at, size_t n);

#endif /* MOBI_OS_RUN_H */
