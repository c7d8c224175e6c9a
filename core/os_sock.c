/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets in a session directory. */
#define _GNU_SOURCE
#include "os_sock.h"

#include "err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void mobi_sock_name(char *out, size_t size, const char *kind, uint32_t number)
{
	(void)snprintf(out, size, "%s-%u", kind, number);
}

static void address(struct sockaddr_un *a, int dirfd, const char *name)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	(void)snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s",
		       dirfd, name);
}

static int bound(int dirfd, const char *name, int type)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0) {
		return mobi_err_errno("socket(AF_UNIX)");
	}
	(void)unlinkat(dirfd, name, 0);
	address(&a, dirfd, name);
	if (bind(fd, (const struct sockaddr *)&a, sizeof(a))) {
		int rc = mobi_err_errno("bind of socket %s", name);

		(void)close(fd);
		return rc;
	}
	return fd;
}

int mobi_sock_open(int dirfd, const char *name)
{
	return bound(dirfd, name, SOCK_DGRAM);
}

int mobi_sock_pinger(void)
{
	int saved = errno;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	errno = saved;
	return fd;
}

void mobi_sock_ping(int dirfd, int fd, const char *name)
{
	struct sockaddr_un a;
	int saved = errno;

	if (fd >= 0) {
		address(&a, dirfd, name);
		/* A full queue is a ring already on its way. */
		(void)sendto(fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL,
			     (const struct sockaddr *)&a, sizeof(a));
	}
	errno = saved;
}

void mobi_sock_drain(int fd)
{
	char buf[64];
	int saved = errno;

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
	}
	errno = saved;
}

void mobi_sock_close(int fd)
{
	if (fd >= 0) {
		(void)close(fd);
	}
}

void mobi_sock_remove(int dirfd, const char *name)
{
	(void)unlinkat(dirfd, name, 0);
}

int mobi_sock_listen(int dirfd, const char *name)
{
	int fd = bound(dirfd, name, SOCK_SEQPACKET);

	if (fd >= 0 && listen(fd, 128)) {
		int rc = mobi_err_errno("listen on socket %s", name);

		(void)close(fd);
		return rc;
	}
	return fd;
}

int mobi_sock_connect(int dirfd, const char *name)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return mobi_err_errno("socket(AF_UNIX)");
	}
	address(&a, dirfd, name);
	if (connect(fd, (const struct sockaddr *)&a, sizeof(a))) {
		int rc = errno == ENOENT || errno == ECONNREFUSED ?
				 mobi_err(MOB_E_NOT_FOUND,
					  "nobody listens on socket %s", name) :
				 mobi_err_errno("connect to socket %s", name);

		(void)close(fd);
		return rc;
	}
	return fd;
}

int mobi_sock_signal(int fd, int sig)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETOWN, getpid()) ||
	    fcntl(fd, F_SETSIG, sig) ||
	    fcntl(fd, F_SETFL, flags | O_ASYNC | O_NONBLOCK)) {
		return mobi_err_errno("fcntl(F_SETSIG)");
	}
	return 0;
}
