/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes of Linux, known by pid and start time.
 *
 * A process counts as dead only on proof: no process has the pid, or the one
 * that has it is a zombie or started at another time. Whatever hinders the
 * look (no /proc, a /proc of another pid name space, hidepid, no descriptor
 * left) leaves it alive.
 */
#define _GNU_SOURCE

#include "os_proc.h"

#include "err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum look { LOOK_ALIVE, LOOK_DEAD, LOOK_HIDDEN };

/*
 * Who this process is, per thread so that no lock is needed. Both the handler
 * and the comparison with getpid() drop it in a child: the first also where
 * the child gets the number of its parent in a new pid name space, the second
 * also where fork was not the C library's.
 */
static _Thread_local struct {
	struct mobi_proc proc;
	bool proc_fs_is_ours; /* /proc shows this pid name space */
	bool valid;
} me;

static pthread_once_t me_once = PTHREAD_ONCE_INIT;

static void me_forget(void)
{
	me.valid = false;
}

static void me_forget_in_children(void)
{
	MOB_ASSERT(pthread_atfork(NULL, NULL, me_forget) == 0);
}

/* Reads a small file as text. False if it cannot be read. */
static bool file_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0) {
		return false;
	}
	do {
		n = read(fd, buf + len, size - 1 - len);
		if (n > 0) {
			len += (size_t)n;
		}
	} while ((n > 0 && len < size - 1) || (n < 0 && errno == EINTR));
	(void)close(fd);
	buf[len] = '\0';
	return n >= 0 && len > 0;
}

/*
 * State, number of threads and start time from /proc/<pid>/stat: fields 3, 20
 * and 22. The name before them may hold blanks and parentheses.
 */
static bool stat_read(const char *path, char *out_state, long *out_threads,
		      uint64_t *out_start)
{
	char buf[1024];
	char *at = NULL;
	char *end = NULL;

	if (!file_read(path, buf, sizeof(buf))) {
		return false;
	}
	at = strrchr(buf, ')');
	if (!at || at[1] != ' ' || at[2] == '\0') {
		return false;
	}
	at += 2;
	*out_state = *at;
	for (int field = 3; field < 20; field++) {
		at = strchr(at, ' ');
		if (!at) {
			return false;
		}
		at++;
	}
	*out_threads = strtol(at, &end, 10);
	(void)strtol(end, &end, 10);
	at = end;
	*out_start = strtoull(at, &end, 10);
	return end != at;
}

static void me_learn(void)
{
	struct stat st;
	char link[16];
	char state = 0;
	long threads = 0;
	ssize_t n = readlink("/proc/self", link, sizeof(link) - 1);

	(void)pthread_once(&me_once, me_forget_in_children);
	memset(&me, 0, sizeof(me));
	me.proc.pid = (uint32_t)getpid();
	if (n > 0) {
		link[n] = '\0';
		me.proc_fs_is_ours = strtol(link, NULL, 10) == getpid();
	}
	if (!stat_read("/proc/self/stat", &state, &threads,
		       &me.proc.start_time)) {
		me.proc.start_time = 0;
	}
	if (stat("/proc/self/ns/pid", &st) == 0) {
		me.proc.pid_ns = st.st_ino;
	}
	me.valid = true;
}

struct mobi_proc mobi_proc_self(void)
{
	if (!me.valid || me.proc.pid != (uint32_t)getpid()) {
		me_learn();
	}
	return me.proc;
}

static bool pid_unused(int pid)
{
	return kill(pid, 0) != 0 && errno == ESRCH;
}

static enum look proc_look(int pid, uint64_t *out_start)
{
	char path[40];
	char state = 0;
	long threads = 0;
	uint64_t start = 0;

	(void)mobi_proc_self();
	if (pid_unused(pid)) {
		return LOOK_DEAD;
	}
	if (!me.proc_fs_is_ours) {
		return LOOK_HIDDEN;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!stat_read(path, &state, &threads, &start)) {
		return pid_unused(pid) ? LOOK_DEAD : LOOK_HIDDEN;
	}
	/* A first thread that has ended is a Z too while others go on. */
	if (state == 'X' || (state == 'Z' && threads <= 1)) {
		return LOOK_DEAD;
	}
	*out_start = start;
	return LOOK_ALIVE;
}

int mobi_proc_of(int pid, struct mobi_proc *out)
{
	uint64_t start = 0;
	enum look seen = pid > 0 ? proc_look(pid, &start) : LOOK_DEAD;

	if (seen == LOOK_DEAD) {
		return mobi_err(MOB_E_NOT_FOUND, "no process has the pid %d",
				pid);
	}
	*out = (struct mobi_proc){
		.start_time = start,
		.pid_ns = me.proc.pid_ns,
		.pid = (uint32_t)pid,
	};
	return 0;
}

static bool other_pid_ns(const struct mobi_proc *p)
{
	uint64_t ours = mobi_proc_self().pid_ns;

	return p->pid_ns != 0 && ours != 0 && p->pid_ns != ours;
}

bool mobi_proc_alive(const struct mobi_proc *p)
{
	uint64_t start = 0;

	if (p->pid == 0 || p->pid > INT_MAX) {
		return false;
	}
	if (other_pid_ns(p)) {
		return true;
	}
	switch (proc_look((int)p->pid, &start)) {
	case LOOK_DEAD:
		return false;
	case LOOK_HIDDEN:
		return true;
	default:
		return p->start_time == 0 || start == p->start_time;
	}
}

static int err_dead(const struct mobi_proc *p)
{
	return mobi_err(MOB_E_NOT_FOUND, "process %u is dead", p->pid);
}

int mobi_proc_pidfd(const struct mobi_proc *p)
{
	int fd;

	if (other_pid_ns(p)) {
		return mobi_err(MOB_E_UNSUPPORTED,
				"process %u is of another pid name space; it "
				"cannot be reached from this one",
				p->pid);
	}
	if (!mobi_proc_alive(p)) {
		return err_dead(p);
	}
	fd = (int)syscall(SYS_pidfd_open, (pid_t)p->pid, 0);
	/* EINVAL: the pid has become a thread of another process. */
	if (fd < 0 && (errno == ESRCH || errno == EINVAL)) {
		return err_dead(p);
	}
	if (fd < 0) {
		return mobi_err_errno("pidfd_open of process %u", p->pid);
	}
	/* If it still lives now, the descriptor is of no other. */
	if (!mobi_proc_alive(p)) {
		(void)close(fd);
		return err_dead(p);
	}
	return fd;
}

int mobi_proc_fd(const struct mobi_proc *p, int fd)
{
	int got = -1;
	int pidfd;

	if (other_pid_ns(p) || p->pid == 0 || p->pid > INT_MAX) {
		return -1;
	}
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)p->pid, 0);
	if (pidfd < 0) {
		return -1;
	}
	/* If it lives now, the pid was no other's before. */
	if (mobi_proc_alive(p)) {
		got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	}
	(void)close(pidfd);
	return got;
}

int mobi_proc_signal(const struct mobi_proc *p, int sig)
{
	int fd = mobi_proc_pidfd(p);
	int rc = 0;

	if (fd < 0) {
		return fd;
	}
	if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0) != 0) {
		rc = errno == ESRCH ? err_dead(p) :
				      mobi_err_errno("signal %d to process %u",
						     sig, p->pid);
	}
	(void)close(fd);
	return rc;
}

/* ---- how it is ---- */

static bool proc_stat(const struct mobi_proc *p, char *out_state,
		      long *out_threads, uint64_t *out_start)
{
	char path[40];

	if (!mobi_proc_alive(p) || !me.proc_fs_is_ours || other_pid_ns(p)) {
		return false;
	}
	(void)snprintf(path, sizeof(path), "/proc/%u/stat", p->pid);
	return stat_read(path, out_state, out_threads, out_start) &&
	       (p->start_time == 0 || *out_start == p->start_time);
}

bool mobi_proc_stopped(const struct mobi_proc *p)
{
	uint64_t start = 0;
	long threads = 0;
	char state = 0;

	return proc_stat(p, &state, &threads, &start) &&
	       (state == 'T' || state == 't');
}

void mobi_proc_command(const struct mobi_proc *p, char *out, size_t size)
{
	char path[40];
	char buf[64];

	out[0] = '\0';
	if (!mobi_proc_alive(p) || !me.proc_fs_is_ours || other_pid_ns(p)) {
		return;
	}
	(void)snprintf(path, sizeof(path), "/proc/%u/comm", p->pid);
	if (file_read(path, buf, sizeof(buf))) {
		buf[strcspn(buf, "\n")] = '\0';
		(void)snprintf(out, size, "%s", buf);
	}
}

uint64_t mobi_proc_age_ns(const struct mobi_proc *p)
{
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
	struct timespec now;
	uint64_t start = 0;
	uint64_t ns;
	long threads = 0;
	char state = 0;

	if (!proc_stat(p, &state, &threads, &start) ||
	    clock_gettime(CLOCK_BOOTTIME, &now) != 0) {
		return 0;
	}
	ns = (uint64_t)now.tv_sec * UINT64_C(1000000000) +
	     (uint64_t)now.tv_nsec;
	start = start / hz * UINT64_C(1000000000) +
		start % hz * UINT64_C(1000000000) / hz;
	return ns > start ? ns - start : 0;
}

uint32_t mobi_proc_threads(const struct mobi_proc *p)
{
	uint64_t start = 0;
	long threads = 0;
	char state = 0;

	return proc_stat(p, &state, &threads, &start) && threads > 0 ?
		       (uint32_t)threads :
		       0;
}

/* True if the line of smaps that begins a mapping names a file below dir. */
static bool maps_below(const char *line, const char *dir)
{
	const char *path = strchr(line, '/');
	size_t n = dir ? strlen(dir) : 0;

	return n && path && strncmp(path, dir, n) == 0 && path[n] == '/';
}

uint64_t mobi_proc_private_bytes(const struct mobi_proc *p, const char *except)
{
	char path[40];
	char *line = NULL;
	size_t room = 0;
	bool counts = true;
	uint64_t kib = 0;
	FILE *f;

	if (other_pid_ns(p)) {
		return 0;
	}
	(void)snprintf(path, sizeof(path), "/proc/%u/smaps", p->pid);
	f = fopen(path, "re");
	if (!f) {
		return 0;
	}
	while (getline(&line, &room, f) > 0) {
		const char *value = strchr(line, ':');

		/* A mapping begins with its address in lower case, the names
		 * of its counts with a capital. */
		if (line[0] < 'A' || line[0] > 'Z') {
			counts = !maps_below(line, except);
		} else if (counts && value &&
			   (strncmp(line, "Private_Clean:", 14) == 0 ||
			    strncmp(line, "Private_Dirty:", 14) == 0)) {
			kib += strtoull(value + 1, NULL, 10);
		}
	}
	free(line);
	(void)fclose(f);
	/* If it lives still, the pid was its own all the time. */
	return mobi_proc_alive(p) ? kib * 1024 : 0;
}

void mobi_boot_id(uint64_t out[2])
{
	char text[64];
	unsigned digits = 0;

	out[0] = 0;
	out[1] = 0;
	if (!file_read("/proc/sys/kernel/random/boot_id", text, sizeof(text))) {
		return;
	}
	for (const char *at = text; *at != '\0' && digits < 32; at++) {
		const char *hex = "0123456789abcdef";
		const char *digit = strchr(hex, *at);

		if (digit) {
			uint64_t *word = &out[digits / 16];

			*word = *word << 4 | (uint64_t)(digit - hex);
			digits++;
		}
	}
}
