/* SPDX-License-Identifier: Apache-2.0 */
/* What processes print. */
#define _GNU_SOURCE
#include "os_out.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Descriptors of ours are above what a program counts up to. */
#define HIDDEN_FD 700

int mobi_out_open(const char *path)
{
	return open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    0600);
}

int mobi_out_open_to_read(const char *path)
{
	return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

bool mobi_out_append(int fd, const void *at, size_t n)
{
	const char *p = at;

	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR) {
			continue;
		}
		if (w <= 0) {
			return false;
		}
		p += w;
		n -= (size_t)w;
	}
	return true;
}

ssize_t mobi_out_read(int fd, void *out, size_t n, uint64_t off)
{
	ssize_t r;

	do {
		r = pread(fd, out, n, (off_t)off);
	} while (r < 0 && errno == EINTR);
	return r;
}

uint64_t mobi_out_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
}

void mobi_out_punch(int fd, uint64_t end)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	end = end / page * page;
	if (end) {
		(void)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				0, (off_t)end);
	}
}

bool mobi_out_cut(int fd, uint64_t size)
{
	return ftruncate(fd, (off_t)size) == 0;
}

bool mobi_peek_open(struct mobi_peek *p, int fd, uint64_t size)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t in = size % page;
	void *at;

	if (!in) {
		return false;
	}
	/* In place of the one before, so that p is never without a page. */
	at = mmap(p->page, page, PROT_READ,
		  MAP_SHARED | (p->page ? MAP_FIXED : 0), fd,
		  (off_t)(size - in));
	if (at == MAP_FAILED) {
		return false;
	}
	p->page = at;
	p->at = (volatile const unsigned char *)at + in;
	return true;
}

void mobi_peek_close(struct mobi_peek *p)
{
	if (p->page) {
		(void)munmap(p->page, (size_t)sysconf(_SC_PAGESIZE));
	}
	p->page = NULL;
	p->at = NULL;
}

void mobi_stdout_by_line(void)
{
	(void)setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
}

void mobi_stdout_flush(void)
{
	if (__fpending(stdout)) {
		(void)fflush(stdout);
	}
}

int mobi_out_no_wait(int fd)
{
	struct stat st;
	char path[40];

	if (fstat(fd, &st)) {
		return -1;
	}
	/* Opened anew, as the flag is of what is open, not of the descriptor. A
	 * regular file makes nobody wait, and its offset is shared. */
	if (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

void mobi_out_no_sigpipe(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
}

ssize_t mobi_out_try(int fd, const void *at, size_t n)
{
	ssize_t w = send(fd, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (w < 0 && errno == ENOTSOCK) {
		w = write(fd, at, n);
	}
	if (w < 0 && (errno == EAGAIN || errno == EINTR)) {
		return 0;
	}
	return w;
}

void mobi_out_wait(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	(void)poll(&p, 1, timeout_ms);
}

bool mobi_fd_identity(int fd, struct mobi_fd_id *out)
{
	struct stat st;

	if (fstat(fd, &st)) {
		return false;
	}
	out->dev = st.st_dev;
	out->ino = st.st_ino;
	return true;
}

int mobi_fd_copy(int fd)
{
	int high = fcntl(fd, F_DUPFD_CLOEXEC, HIDDEN_FD);

	return high >= 0 ? high : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

void mobi_out_become(int out, int err)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)dup2(out >= 0 ? out : null, STDOUT_FILENO);
	(void)dup2(err >= 0 ? err : null, STDERR_FILENO);
	if (null > STDERR_FILENO) {
		(void)close(null);
	}
}

void mobi_fd_no_exec(int fd)
{
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

bool mobi_out_remove(const char *path)
{
	return unlink(path) == 0 || errno == ENOENT;
}
