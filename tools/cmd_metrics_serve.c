/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob metrics --listen: HTTP/1.0 on a unix socket, one request at a time. It is
 * for a collector of the same user: the socket is for nobody else, and who is slow
 * is hung up on.
 */
#define _GNU_SOURCE
#include "cmd_metrics.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX 8192
#define PATIENCE_S 5

static volatile sig_atomic_t ended_by;

static void on_signal(int sig)
{
	ended_by = sig;
}

/* Without SA_RESTART: accept returns. */
static void catch_signals(void)
{
	struct sigaction a = { .sa_handler = on_signal };

	(void)sigemptyset(&a.sa_mask);
	(void)sigaction(SIGINT, &a, NULL);
	(void)sigaction(SIGTERM, &a, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* ---- the socket ---- */

/* What a server that was killed left is removed; one that answers is not. */
static bool is_left(const struct sockaddr_un *a)
{
	struct stat st;
	int fd;
	bool left;

	if (lstat(a->sun_path, &st) || !S_ISSOCK(st.st_mode)) {
		return false; /* a file of somebody's */
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	left = fd >= 0 && connect(fd, (const struct sockaddr *)a, sizeof(*a)) &&
	       errno == ECONNREFUSED;

	if (fd >= 0) {
		(void)close(fd);
	}
	return left;
}

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t was;
	int fd;
	int rc;

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return -1;
	}
	was = umask(0177);
	rc = bind(fd, (const struct sockaddr *)&a, sizeof(a));
	if (rc && errno == EADDRINUSE) {
		if (is_left(&a) && !unlink(path)) {
			rc = bind(fd, (const struct sockaddr *)&a, sizeof(a));
		} else {
			errno = EADDRINUSE;
		}
	}
	(void)umask(was);
	if (rc || listen(fd, 16)) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* ---- one request ---- */

/* Reads up to the empty line. False: hung up, too long, or too slow. */
static bool read_request(int fd, char *buf, size_t size)
{
	size_t n = 0;

	while (n + 1 < size) {
		ssize_t k = read(fd, buf + n, size - 1 - n);

		if (k <= 0) {
			return false;
		}
		n += (size_t)k;
		buf[n] = '\0';
		if (strstr(buf, "\r\n\r\n") || strstr(buf, "\n\n")) {
			return true;
		}
	}
	return false;
}

static void write_all(int fd, const char *at, size_t n)
{
	while (n) {
		ssize_t k = write(fd, at, n);

		if (k <= 0) {
			return;
		}
		at += k;
		n -= (size_t)k;
	}
}

static void answer(int fd, const char *status, const char *text, size_t len,
		   bool body)
{
	char head[256];
	int n = snprintf(head, sizeof(head),
			 "HTTP/1.0 %s\r\nContent-Type: text/plain; "
			 "version=0.0.4; charset=utf-8\r\n"
			 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
			 status, len);

	write_all(fd, head, (size_t)n);
	if (body) {
		write_all(fd, text, len);
	}
}

/* Does the request line name what there is? */
static const char *status_of(const char *request)
{
	const char *path = strchr(request, ' ');
	size_t len = path ? strcspn(path + 1, " ?\r\n") : 0;

	if (strncmp(request, "GET ", 4) != 0 &&
	    strncmp(request, "HEAD ", 5) != 0) {
		return "405 Method Not Allowed";
	}
	if ((len == 1 && path[1] == '/') ||
	    (len == 8 && !strncmp(path + 1, "/metrics", 8))) {
		return "200 OK";
	}
	return "404 Not Found";
}

static int serve_one(int fd, int (*text)(FILE *f, void *arg), void *arg)
{
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	char request[REQUEST_MAX];
	const char *status;
	char *buf = NULL;
	size_t len = 0;
	FILE *f;
	int rc;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
			 sizeof(patience));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
			 sizeof(patience));
	if (!read_request(fd, request, sizeof(request))) {
		return 0;
	}
	status = status_of(request);
	if (*status != '2') {
		answer(fd, status, "", 0, true);
		return 0;
	}
	f = open_memstream(&buf, &len);
	rc = f ? text(f, arg) : CLI_FAILED;
	if (f && fclose(f)) {
		rc = CLI_FAILED;
	}
	if (rc) {
		answer(fd, "503 Service Unavailable", "", 0, true);
	} else {
		answer(fd, status, buf, len, strncmp(request, "HEAD", 4) != 0);
	}
	free(buf);
	return rc;
}

int cmd_metrics_serve(const char *path, int (*text)(FILE *f, void *arg),
		      void *arg)
{
	int fd = listen_at(path);
	int rc = 0;

	if (fd < 0) {
		return cli_fail(CLI_FAILED, NULL, "%s: %s", path,
				strerror(errno));
	}
	catch_signals();
	cli_say("answers on %s", path);
	while (!ended_by && !rc) {
		int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (c < 0 && errno != EINTR && errno != ECONNABORTED) {
			rc = cli_fail(CLI_FAILED, NULL, "%s: %s", path,
				      strerror(errno));
		}
		if (c >= 0) {
			rc = serve_one(c, text, arg);
			(void)close(c);
		}
	}
	(void)close(fd);
	(void)unlink(path);
	return ended_by == SIGINT ? CLI_INTERRUPTED : rc;
}
