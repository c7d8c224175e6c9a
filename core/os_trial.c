/* SPDX-License-Identifier: Apache-2.0 */
/* Running code that may crash or never return, in a child; see os_trial.h. */
#define _GNU_SOURCE
#include "os_trial.h"

#include "err.h"
#include "os_clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child of a process with threads may be born with a lock taken that nobody lets
 * go (the loader's, or a sanitizer's), and hangs without using its processor.
 * Then another is tried. */
#define TRIES 3
#define SLICE_NS UINT64_C(2000000000)
#define IDLE_SHARE 64

/* The child's last words: rc, then the text of its detail. */
static void child_main(int (*fn)(void *arg), void *arg, uint32_t cpu_s, int fd)
{
	static const int fatal[] = { SIGSEGV, SIGBUS,  SIGILL, SIGFPE,
				     SIGABRT, SIGXCPU, SIGTERM };
	struct rlimit cpu = { cpu_s, cpu_s + 1 };
	struct rlimit core = { 0, 0 };
	const char *detail;
	size_t n;
	int rc;

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		(void)signal(fatal[i], SIG_DFL);
	}
	(void)setrlimit(RLIMIT_CPU, &cpu);
	(void)setrlimit(RLIMIT_CORE, &core);
	rc = fn(arg);
	detail = mob_err_detail(rc);
	n = strlen(detail);
	if (write(fd, &rc, sizeof(rc)) != (ssize_t)sizeof(rc) ||
	    (n && write(fd, detail, n) != (ssize_t)n)) {
		_exit(2);
	}
	_exit(0);
}

enum heard { HEARD, TOO_LATE, STUCK };

struct ear {
	int fd;
	int pidfd; /* readable when the child has ended; -1: there is none */
	pid_t pid;
	uint64_t until_ns;
	uint64_t slice_ns;
	char said[sizeof(int) + sizeof(((struct mobi_trial_end *)0)->detail) -
		  1];
	size_t n;
};

/* False: there is nothing more for now. */
static bool hear(struct ear *e)
{
	ssize_t got = read(e->fd, e->said + e->n, sizeof(e->said) - e->n);

	e->n += got > 0 ? (size_t)got : 0;
	return got > 0 || (got < 0 && errno == EINTR);
}

/*
 * Until the child ends: its end of the pipe may be closed before, or be open in a
 * child of its own afterwards. STUCK: it has used next to no processor time for a
 * slice (a sanitizer's own thread uses some).
 */
static enum heard listen_to(struct ear *e)
{
	struct pollfd p[] = { { .fd = e->fd, .events = POLLIN },
			      { .fd = e->pidfd, .events = POLLIN } };
	uint64_t idle_ns = e->slice_ns / IDLE_SHARE;
	uint64_t looked_ns = mobi_now_ns();
	uint64_t cpu = UINT64_MAX; /* none read yet */

	e->n = 0;
	for (;;) {
		uint64_t now = mobi_now_ns();
		uint64_t left = e->until_ns - now;

		if (now >= e->until_ns) {
			return TOO_LATE;
		}
		left = left < e->slice_ns ? left : e->slice_ns;
		if (poll(p, 2, (int)(left / 1000000) + 1) <= 0) {
			uint64_t used = mobi_cpu_ns_of(e->pid);

			now = mobi_now_ns();
			if (now - looked_ns < e->slice_ns) {
				continue;
			}
			if (cpu != UINT64_MAX && used - cpu <= idle_ns &&
			    now < e->until_ns) {
				return STUCK;
			}
			cpu = used;
			looked_ns = now;
			continue;
		}
		if (p[1].revents) {
			while (hear(e)) {
			}
			return HEARD;
		}
		if (!hear(e)) {
			if (e->pidfd < 0) {
				return HEARD;
			}
			p[0].fd = -1; /* closed, or all of it is here */
		}
	}
}

static int judge(int status, bool in_time, const char *said, size_t n,
		 struct mobi_trial_end *out_end)
{
	size_t head = sizeof(out_end->rc);
	int rc = MOB_E_CRASHED;

	memset(out_end, 0, sizeof(*out_end));
	if (in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	    n >= head) {
		memcpy(&rc, said, head);
		rc = rc < 0 ? mobi_err(rc, "%.*s", (int)(n - head),
				       said + head) :
			      0;
	} else if (!in_time) {
		rc = mobi_err(MOB_E_TIMEOUT, "it did not return in its time");
	} else if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU ||
					   WTERMSIG(status) == SIGKILL)) {
		rc = mobi_err(MOB_E_TIMEOUT, "it did not return in its "
					     "processor time");
	} else if (WIFSIGNALED(status)) {
		rc = mobi_err(MOB_E_CRASHED, "it crashed with signal %d (%s)",
			      WTERMSIG(status), strsignal(WTERMSIG(status)));
	} else {
		rc = mobi_err(MOB_E_CRASHED, "it ended its process");
	}
	out_end->rc = rc;
	out_end->sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	if (rc < 0) {
		(void)strncpy(out_end->detail, mob_err_detail(rc),
			      sizeof(out_end->detail) - 1);
	}
	return rc;
}

/* One child. Returns STUCK, or an end in *out_end. */
static enum heard try_once(int (*fn)(void *arg), void *arg, uint32_t cpu_s,
			   struct ear *e, bool last,
			   struct mobi_trial_end *out_end)
{
	enum heard heard;
	int status = 0;
	int fd[2];

	memset(out_end, 0, sizeof(*out_end));
	if (pipe2(fd, O_CLOEXEC) < 0) {
		out_end->rc = mobi_err_errno("mobi_trial: pipe2");
		return HEARD;
	}
	e->pid = fork();
	if (e->pid < 0) {
		out_end->rc = mobi_err_errno("mobi_trial: fork");
		(void)close(fd[0]);
		(void)close(fd[1]);
		return HEARD;
	}
	if (e->pid == 0) {
		(void)close(fd[0]);
		child_main(fn, arg, cpu_s, fd[1]);
	}
	(void)close(fd[1]);
	e->fd = fd[0];
	e->pidfd = (int)syscall(SYS_pidfd_open, e->pid, 0);
	(void)fcntl(e->fd, F_SETFL, O_NONBLOCK);
	heard = listen_to(e);
	(void)close(fd[0]);
	if (e->pidfd >= 0) {
		(void)close(e->pidfd);
	}
	if (heard != HEARD) {
		(void)kill(e->pid, SIGKILL);
	}
	while (waitpid(e->pid, &status, 0) < 0 && errno == EINTR) {
	}
	if (heard != STUCK || last) {
		out_end->rc = judge(status, heard == HEARD, e->said, e->n,
				    out_end);
	}
	return heard;
}

int mobi_trial(int (*fn)(void *arg), void *arg, uint32_t cpu_s,
	       uint32_t wall_ms, struct mobi_trial_end *out_end)
{
	uint64_t wall_ns = wall_ms * UINT64_C(1000000);
	struct ear e = { .until_ns = mobi_now_ns() + wall_ns,
			 .slice_ns = wall_ns / 8 };

	e.slice_ns = e.slice_ns < SLICE_NS ? e.slice_ns : SLICE_NS;
	for (int tries = 1;
	     try_once(fn, arg, cpu_s, &e, tries == TRIES, out_end) == STUCK &&
	     tries < TRIES;
	     tries++) {
	}
	return out_end->rc;
}
