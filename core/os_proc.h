/* SPDX-License-Identifier: Apache-2.0 */
/* Who a process is, and the proof that it is dead. */
#ifndef MOBI_OS_PROC_H
#define MOBI_OS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Names a process beyond the reuse of its pid: the start time is in clock
 * ticks since boot, pid_ns the inode of its pid name space. Kept in shared
 * memory as three words.
 */
struct mobi_proc {
	uint64_t start_time;
	uint64_t pid_ns;
	uint32_t pid;
	uint32_t reserved;
};

/* This process. Works after fork too (nothing is cached across it). */
struct mobi_proc mobi_proc_self(void);
/* Reads who has this pid now. 0, or MOB_E_NOT_FOUND: nobody, or a zombie. The
 * start time is 0 if it cannot be read (hidepid, no /proc of this name space):
 * such a process counts as alive as long as somebody has its pid. */
int mobi_proc_of(int pid, struct mobi_proc *out);
/*
 * False only if the process is certainly dead (or a zombie): nobody has its
 * pid, or somebody else has. A process of another pid name space, whose death
 * cannot be seen from here, counts as alive. A process whose first thread has
 * ended while others run is alive.
 */
bool mobi_proc_alive(const struct mobi_proc *p);
/* pidfd_open(2) if the pid is still that process; a descriptor (CLOEXEC) or a
 * negative MOB_E_NOT_FOUND if it is dead, MOB_E_UNSUPPORTED if it is of another
 * pid name space, MOB_E_SYS. */
int mobi_proc_pidfd(const struct mobi_proc *p);
/* A copy (CLOEXEC) of a descriptor of another process, by pidfd_getfd; -1: it has none,
 * or may not be asked. No error is recorded. Safe in a signal handler. */
int mobi_proc_fd(const struct mobi_proc *p, int fd);
/* pidfd_send_signal; errors as mobi_proc_pidfd, and MOB_E_PERM. */
int mobi_proc_signal(const struct mobi_proc *p, int sig);
/* How long it has lived, in steps of a clock tick; 0 if it cannot be told. */
uint64_t mobi_proc_age_ns(const struct mobi_proc *p);
/* How many threads it has; 0 if it cannot be told. */
uint32_t mobi_proc_threads(const struct mobi_proc *p);
/* By a signal or a debugger; false, too, if it is dead or that cannot be told. */
bool mobi_proc_stopped(const struct mobi_proc *p);
/* Its command as ps -o comm shows it, cut; empty if it cannot be told. */
void mobi_proc_command(const struct mobi_proc *p, char *out, size_t size);
/* Memory that is its own: pages that no other process maps, those of files
 * below the directory `except` (NULL: none) left out. 0 if it cannot be
 * told. */
uint64_t mobi_proc_private_bytes(const struct mobi_proc *p, const char *except);
/* The 128-bit id of this boot, two words; zeros if it cannot be read. */
void mobi_boot_id(uint64_t out[2]);
/* Number of processors this process may run on (affinity, cgroup quota rounded
 * up), at least 1. */
uint32_t mobi_cpu_count(void);

#endif /* MOBI_OS_PROC_H */
