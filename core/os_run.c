/* SPDX-License-Identifier: Apache-2.0 */
/* Starting, watching and ending processes. */
#define _GNU_SOURCE
#include "os_run.h"

#include "err.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void mobi_yield(void)
{
	(void)sched_yield();
}

bool mobi_runnable(const char *path)
{
	return access(path, X_OK) == 0;
}

int mobi_self_path(char *out, size_t size)
{
	static const char gone[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", out, size - 1);

	if (n < 0) {
		return mobi_err_errno("cannot find the running program");
	}
	if ((size_t)n == size - 1) {
		return mobi_err(MOB_E_LIMIT,
				"the path of the running program is longer "
				"than %zu bytes",
				size - 2);
	}
	out[n] = '\0';
	/* So Linux calls a file that was replaced or removed meanwhile. */
	if ((size_t)n > strlen(gone) && !strcmp(out + n - strlen(gone), gone) &&
	    access(out, F_OK) != 0) {
		out[n - (ssize_t)strlen(gone)] = '\0';
	}
	return 0;
}

char **mobi_env_with(char *const env[])
{
	size_t have = 0;
	size_t more = 0;
	char **all;

	while (environ[have]) {
		have++;
	}
	while (env[more]) {
		more++;
	}
	all = calloc(have + more + 1, sizeof(*all));
	if (!all) {
		return NULL;
	}
	have = 0;
	for (char **e = environ; *e; e++) {
		bool replaced = false;

		for (size_t i = 0; i < more && !replaced; i++) {
			size_t n = (size_t)(strchr(env[i], '=') - env[i]) + 1;

			replaced = !strncmp(*e, env[i], n);
		}
		if (!replaced) {
			all[have++] = *e;
		}
	}
	memcpy(all + have, env, more * sizeof(*all));
	return all;
}

/* In the child: only calls that are safe after a fork of threads. */
static void become(const char *path, char *const argv[], char *const envp[],
		   const struct mobi_run_how *how)
{
	sigset_t none;

	for (int i = 0; i < 2; i++) {
		if (how->keep[i] >= 0) {
			(void)fcntl(how->keep[i], F_SETFD, 0);
		}
	}
	if (how->limits) {
		mobi_limits_set(how->limits);
	}
	if (how->out >= 0) {
		(void)dup2(how->out, STDOUT_FILENO);
	}
	if (how->err >= 0) {
		(void)dup2(how->err, STDERR_FILENO);
	}

	for (int sig = 1; sig < NSIG; sig++) {
		(void)signal(sig, SIG_DFL);
	}
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (how->apart) {
		(void)setsid();
	}
	if (how->group) {
		(void)setpgid(0, 0);
	}
	if (how->apart || how->group) {
		/* Who writes there is told when the last that reads has ended. */
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		if (null == STDIN_FILENO) { /* there was none */
			(void)fcntl(null, F_SETFD, 0);
		} else {
			(void)dup2(null, STDIN_FILENO);
		}
	}
	(void)execve(path, argv, envp);
	_exit(127);
}

int mobi_run(const char *path, char *const argv[], char *const env[],
	     const struct mobi_run_how *how)
{
	char **envp = mobi_env_with(env);
	pid_t pid;

	if (!envp) {
		return mobi_err(MOB_E_NOMEM, "out of memory");
	}
	pid = fork();
	if (pid == 0) {
		become(path, argv, envp, how);
	}
	free(envp);
	if (pid < 0) {
		return mobi_err_errno("cannot start a process");
	}
	return (int)pid;
}

int mobi_run_detached(const char *path, char *const argv[], char *const envp[],
		      const struct mobi_run_how *how)
{
	struct mobi_run_how apart = *how;
	int saved = errno;
	int status;
	pid_t pid;
	pid_t rc;

	apart.apart = true;
	pid = _Fork();
	if (pid == 0) {
		pid_t inner = _Fork();

		if (inner == 0) {
			become(path, argv, envp, &apart);
		}
		_exit(inner < 0 ? errno : 0);
	}
	if (pid < 0) {
		return MOB_E_SYS;
	}
	while ((rc = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
	}
	if (rc == pid && WIFEXITED(status) && WEXITSTATUS(status)) {
		errno = WEXITSTATUS(status); /* of the second fork */
		return MOB_E_SYS;
	}
	errno = saved;
	return 0;
}

int mobi_kill(int pid, int sig)
{
	return kill(pid, sig) ? mobi_err_errno("kill") : 0;
}

int mobi_child_dead(void)
{
	siginfo_t info = { 0 };

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 ?
		       (int)info.si_pid :
		       0;
}

int mobi_child_collect(int pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	return status;
}

bool mobi_has_children(void)
{
	siginfo_t info;

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void mobi_kill_group(int pid)
{
	if (pid > 1) {
		(void)kill(-pid, SIGKILL);
	}
}

void mobi_status_text(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status)) {
		(void)snprintf(out, size, "signal %d (%s)", WTERMSIG(status),
			       strsignal(WTERMSIG(status)));
	} else {
		(void)snprintf(out, size, "exit code %d", WEXITSTATUS(status));
	}
}

void mobi_status_split(int status, uint32_t *out_signal, uint32_t *out_code)
{
	bool by_signal = WIFSIGNALED(status);

	*out_signal = by_signal ? (uint32_t)WTERMSIG(status) : 0;
	*out_code = by_signal ? 0 : (uint32_t)WEXITSTATUS(status);
}

void mobi_adopt_orphans(void)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
}

void mobi_set_name(const char *name)
{
	(void)prctl(PR_SET_NAME, name);
}

int mobi_news_signal(void)
{
	return SIGRTMIN + 7;
}

void mobi_signal_unblock(int sig)
{
	sigset_t one;

	(void)sigemptyset(&one);
	(void)sigaddset(&one, sig);
	(void)pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

void mobi_on_signal(int sig, void (*fn)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = fn;
	sa.sa_flags = SA_RESTART;
	(void)sigaction(sig, &sa, NULL);
}

void mobi_on_end_signals(bool at_terminal, void (*fn)(int))
{
	static const int at_hand[] = { SIGINT, SIGHUP };
	struct sigaction was;

	mobi_on_signal(SIGTERM, fn);
	for (int i = 0; at_terminal && i < 2; i++) {
		if (!sigaction(at_hand[i], NULL, &was) &&
		    was.sa_handler != SIG_IGN) {
			mobi_on_signal(at_hand[i], fn);
		}
	}
}

void mobi_exit_now(int code)
{
	_exit(code);
}

void mobi_pause_ns(int64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000),
			      (long)(ns % 1000000000) };

	(void)nanosleep(&t, NULL);
}

/* ---- poll ---- */

int mobi_poll_new(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	return fd < 0 ? mobi_err_errno("epoll_create1") : fd;
}

int mobi_poll_add(int poll_fd, int fd, uint64_t tag)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = tag };

	return epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &ev) ?
		       mobi_err_errno("epoll_ctl") :
		       0;
}

void mobi_poll_remove(int poll_fd, int fd)
{
	(void)epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, NULL);
}

int mobi_poll_wait(int poll_fd, uint64_t *out_tags, int max, int timeout_ms)
{
	struct epoll_event ev[32];
	int n = epoll_wait(poll_fd, ev, max < 32 ? max : 32, timeout_ms);

	for (int i = 0; i < n; i++) {
		out_tags[i] = ev[i].data.u64;
	}
	return n < 0 ? 0 : n;
}

int mobi_sock_accept(int fd)
{
	int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return c < 0 ? mobi_err_errno("accept") : c;
}

int mobi_sock_peer(int fd)
{
	struct ucred u;
	socklen_t n = sizeof(u);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u, &n)) {
		return mobi_err_errno("getsockopt(SO_PEERCRED)");
	}
	if (u.uid != geteuid()) {
		return mobi_err(MOB_E_PERM, "a peer of user %u", u.uid);
	}
	return (int)u.pid;
}

int mobi_sock_read(int fd, void *out, size_t size)
{
	ssize_t n = recv(fd, out, size, MSG_DONTWAIT);

	if (n < 0) {
		return errno == EAGAIN || errno == EINTR ? MOB_E_AGAIN : 0;
	}
	return (int)n;
}

void mobi_sock_write(int fd, const void *at, size_t n)
{
	int saved = errno;

	if (fd >= 0) {
		(void)send(fd, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
	errno = saved;
}
