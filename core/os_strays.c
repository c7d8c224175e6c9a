/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that others of ours have started and left behind. */
#define _GNU_SOURCE
#include "os_strays.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 20

/* ---- tags ---- */

/* The value of the variable in the n bytes of entries at buf, or NULL. */
static const char *find_tags(const char *buf, size_t n)
{
	static const char name[] = MOBI_ENV_WORKER "=";

	for (size_t at = 0; at < n; at += strlen(buf + at) + 1) {
		if (!strncmp(buf + at, name, sizeof(name) - 1)) {
			return buf + at + sizeof(name) - 1;
		}
	}
	return NULL;
}

/* Reads all of a file of /proc; malloc'd, with a NUL behind. */
static char *read_all(const char *path, size_t *out_n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t room = 8192;
	size_t n = 0;
	char *buf = fd < 0 ? NULL : malloc(room);

	while (buf) {
		ssize_t r = read(fd, buf + n, room - 1 - n);
		char *more;

		if (r <= 0) {
			break;
		}
		n += (size_t)r;
		if (n < room - 1) {
			continue;
		}
		room *= 2;
		more = realloc(buf, room);
		if (!more) {
			free(buf);
		}
		buf = more;
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	if (buf) {
		buf[n] = '\0';
		*out_n = n;
	}
	return buf;
}

bool mobi_tags_of(int pid, char out[MOBI_TAGS_MAX])
{
	char path[40];
	size_t n = 0;
	const char *tags;
	char *buf;

	(void)snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	buf = read_all(path, &n);
	tags = buf ? find_tags(buf, n) : NULL;
	out[0] = '\0';
	if (tags) {
		(void)snprintf(out, MOBI_TAGS_MAX, "%s", tags);
	}
	free(buf);
	return out[0] != '\0';
}

/* Is a tag among tags that begins so? */
static bool tags_have(const char *tags, const char *begin)
{
	size_t n = strlen(begin);

	while (tags) {
		if (!strncmp(tags, begin, n)) {
			return true;
		}
		tags = strchr(tags, ',');
		tags = tags ? tags + 1 : NULL;
	}
	return false;
}

static int pidfd_of(int pid)
{
	return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

static bool kill_by(int fd)
{
	bool ok = fd >= 0 &&
		  syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;

	if (fd >= 0) {
		(void)close(fd);
	}
	return ok;
}

struct hunt {
	const char *begin;
	bool (*spare)(int pid, const char *tags, void *arg);
	void *arg;
};

/* First the descriptor, then the look: what is killed is what was looked at. */
static bool kill_if_tagged(int pid, const struct hunt *h)
{
	char tags[MOBI_TAGS_MAX];
	char path[40];
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) || st.st_uid != geteuid()) {
		return false;
	}
	fd = pidfd_of(pid);
	if (fd < 0 || !mobi_tags_of(pid, tags) || !tags_have(tags, h->begin) ||
	    (h->spare && h->spare(pid, tags, h->arg))) {
		if (fd >= 0) {
			(void)close(fd);
		}
		return false;
	}
	return kill_by(fd);
}

uint32_t mobi_tagged_kill(const char *begin,
			  bool (*spare)(int pid, const char *tags, void *arg),
			  void *arg)
{
	const struct hunt h = { begin, spare, arg };
	uint32_t sum = 0;

	/* The environment of one that has ended is empty. */
	for (int round = 0; round < ROUNDS; round++) {
		DIR *d = opendir("/proc");
		uint32_t n = 0;
		struct dirent *e;

		while (d && (e = readdir(d)) != NULL) {
			int pid = (int)strtol(e->d_name, NULL, 10);

			if (pid > 0 && pid != getpid()) {
				n += kill_if_tagged(pid, &h);
			}
		}
		if (d) {
			(void)closedir(d);
		}
		sum += n;
		if (!n) {
			break;
		}
	}
	return sum;
}

/* ---- children ---- */

static bool children_of_thread(const char *tid, void (*fn)(int pid, void *arg),
			       void *arg)
{
	char path[300];
	size_t n = 0;
	char *buf;
	char *at;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%s/children", tid);
	buf = read_all(path, &n);
	if (!buf) {
		return false;
	}
	at = buf;
	for (;;) {
		char *end;
		long pid = strtol(at, &end, 10);

		if (end == at) {
			break;
		}
		at = end;
		fn((int)pid, arg);
	}
	free(buf);
	return true;
}

bool mobi_children_each(void (*fn)(int pid, void *arg), void *arg)
{
	DIR *d = opendir("/proc/self/task");
	bool ok = d != NULL;
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.') {
			ok &= children_of_thread(e->d_name, fn, arg);
		}
	}
	if (d) {
		(void)closedir(d);
	}
	return ok;
}

void mobi_kill_surely(int pid)
{
	(void)kill_by(pidfd_of(pid));
}

/* ---- death with the parent ---- */

static pthread_t forker;
static pid_t forker_pid;

static void die_with_parent(void)
{
	/* What another thread forks would die with that thread, which may end
	 * long before the process. */
	if (!forker_pid || !pthread_equal(pthread_self(), forker)) {
		return;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != forker_pid) {
		_exit(127); /* it was killed before */
	}
	forker_pid = 0; /* children of this one are its own business */
}

void mobi_forks_die_with_me(void)
{
	static bool asked;

	forker = pthread_self();
	forker_pid = getpid();
	if (!asked) {
		asked = pthread_atfork(NULL, NULL, die_with_parent) == 0;
	}
}
