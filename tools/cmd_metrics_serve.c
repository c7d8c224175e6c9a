/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mob metrics --listen: HTTP/1.0 on a unix socket. It is for collectors of the same
 * user: the socket is for nobody else. One thread does it all; who is slow keeps
 * nobody waiting, and is hung up on.
 */
#define _GNU_SOURCE
#include "cmd_metrics.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 8192
/* Connections at a time; more wait in the queue of the socket. */
#define CONNS_MAX 32
/* For a whole request, and again for its answer. */
#define PATIENCE_MS 10000
/* Until the next try, where a connection cannot be taken for want of descriptors. */
#define PAUSE_MS 100

struct conn {
	int fd;
	int64_t until; /* then it is hung up on */
	size_t n;      /* bytes of the request that are here */
	char *out;     /* the answer; NULL: the request is not whole */
	size_t len;
	size_t sent;
	char in[REQUEST_MAX];
};

struct server {
	int (*text)(FILE *f, void *arg);
	void *arg;
	const char *name;
	bool away;     /* the last text failed */
	int64_t pause; /* nothing is taken until then */
	size_t n;
	struct conn *conn[CONNS_MAX];
};

static volatile sig_atomic_t ended_by;

static void on_signal(int sig)
{
	ended_by = sig;
}

/* They come while it polls, with the mask that is written to *out_mask. */
static void catch_signals(sigset_t *out_mask)
{
	struct sigaction a = { .sa_handler = on_signal };
	sigset_t held;

	(void)sigemptyset(&a.sa_mask);
	(void)sigemptyset(&held);
	(void)sigaddset(&held, SIGINT);
	(void)sigaddset(&held, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &held, out_mask);
	(void)sigdelset(out_mask, SIGINT);
	(void)sigdelset(out_mask, SIGTERM);
	(void)sigaction(SIGINT, &a, NULL);
	(void)sigaction(SIGTERM, &a, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
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
	if (rc || listen(fd, SOMAXCONN)) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* ---- one request ---- */

static bool is_whole(const struct conn *c)
{
	return strstr(c->in, "\r\n\r\n") || strstr(c->in, "\n\n");
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

static char *answer(const char *status, const char *text, size_t len, bool body,
		    size_t *out_len)
{
	char *out = NULL;
	FILE *f = open_memstream(&out, out_len);

	if (!f) {
		return NULL;
	}
	(void)fprintf(f,
		      "HTTP/1.0 %s\r\nContent-Type: text/plain; "
		      "version=0.0.4; charset=utf-8\r\n"
		      "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		      status, len);
	if (body) {
		(void)fwrite(text, 1, len, f);
	}
	if (fclose(f)) {
		free(out);
		return NULL;
	}
	return out;
}

/* Why there is nothing to tell now; said once, until it is over. */
static int write_reason(struct server *s, char *out, size_t size, int rc)
{
	const char *detail = mob_err_detail(rc);
	int n = snprintf(out, size, "%s: %s\n", s->name,
			 *detail ? detail : mob_err_message(rc));

	if (!s->away) {
		cli_say("%s: %s; answers 503 meanwhile", s->name,
			*detail ? detail : mob_err_message(rc));
	}
	s->away = true;
	return n < (int)size ? n : (int)size - 1;
}

/* A session that is not there now may be made again: it goes on. */
static char *answer_metrics(struct server *s, bool body, size_t *out_len)
{
	char reason[1024];
	char *buf = NULL;
	char *out;
	size_t len = 0;
	FILE *f = open_memstream(&buf, &len);
	int rc = f ? s->text(f, s->arg) : MOB_E_NOMEM;

	if (f && fclose(f) && rc >= 0) {
		rc = MOB_E_NOMEM;
	}
	if (rc < 0) {
		int n = write_reason(s, reason, sizeof(reason), rc);

		out = answer("503 Service Unavailable", reason, (size_t)n, body,
			     out_len);
	} else {
		if (s->away) {
			cli_say("%s: is there again", s->name);
		}
		s->away = false;
		out = answer("200 OK", buf, len, body, out_len);
	}
	free(buf);
	return out;
}

/* ---- connections ---- */

/* False: it is over. */
static bool read_some(struct server *s, struct conn *c)
{
	const char *status;
	ssize_t k = read(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n);

	if (k <= 0) {
		return k < 0 && (errno == EAGAIN || errno == EINTR);
	}
	c->n += (size_t)k;
	c->in[c->n] = '\0';
	if (!is_whole(c)) {
		return c->n + 1 < sizeof(c->in);
	}
	status = status_of(c->in);
	c->out = *status != '2' ? answer(status, "", 0, true, &c->len) :
				  answer_metrics(s, c->in[0] == 'G', &c->len);
	c->until = now_ms() + PATIENCE_MS;
	return c->out != NULL;
}

static bool write_some(struct conn *c)
{
	ssize_t k = write(c->fd, c->out + c->sent, c->len - c->sent);

	if (k < 0) {
		return errno == EAGAIN || errno == EINTR;
	}
	c->sent += (size_t)k;
	return c->sent < c->len;
}

static void hang_up(struct server *s, size_t i)
{
	struct conn *c = s->conn[i];

	s->conn[i] = s->conn[--s->n];
	s->pause = 0;
	(void)close(c->fd);
	free(c->out);
	free(c);
}

/* Takes one that waits. -1: never again. */
static int take(struct server *s, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c) {
		c->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	}
	if (c && c->fd >= 0) {
		c->until = now_ms() + PATIENCE_MS;
		s->conn[s->n++] = c;
		return 0;
	}
	free(c);
	switch (c ? errno : ENOMEM) {
	case EAGAIN:
	case EINTR:
	case ECONNABORTED:
		return 0;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
		s->pause = now_ms() + PAUSE_MS;
		return 0;
	default:
		return -1;
	}
}

/* Waits for something to do. polled[0] is the socket, then the connections. */
static void await(struct server *s, int fd, struct pollfd *polled,
		  const sigset_t *mask)
{
	bool takes = s->n < CONNS_MAX && now_ms() >= s->pause;
	int64_t until = takes || s->n == CONNS_MAX ? INT64_MAX : s->pause;
	struct timespec t = { 0 };

	polled[0] = (struct pollfd){ .fd = takes ? fd : -1, .events = POLLIN };
	for (size_t i = 0; i < s->n; i++) {
		struct conn *c = s->conn[i];

		polled[i + 1] = (struct pollfd){
			.fd = c->fd,
			.events = c->out ? POLLOUT : POLLIN,
		};
		until = c->until < until ? c->until : until;
	}
	if (until < INT64_MAX) {
		int64_t ms = until - now_ms();

		ms = ms < 0 ? 0 : ms;
		t.tv_sec = ms / 1000;
		t.tv_nsec = ms % 1000 * 1000000;
	}
	if (ppoll(polled, s->n + 1, until < INT64_MAX ? &t : NULL, mask) < 0) {
		for (size_t i = 0; i <= s->n; i++) {
			polled[i].revents = 0;
		}
	}
}

/* Until a signal. 0, or -1 and errno. */
static int serve(struct server *s, int fd, const sigset_t *mask)
{
	struct pollfd polled[CONNS_MAX + 1];

	while (!ended_by) {
		await(s, fd, polled, mask);
		/* From the last on: one that goes leaves its place to it. */
		for (size_t i = s->n; i-- > 0;) {
			struct conn *c = s->conn[i];
			bool on = true;

			if (polled[i + 1].revents) {
				on = c->out ? write_some(c) : read_some(s, c);
			}
			if (!on || now_ms() >= c->until) {
				hang_up(s, i);
			}
		}
		if (polled[0].revents && take(s, fd)) {
			return -1;
		}
	}
	return 0;
}

int cmd_metrics_serve(const char *path, const char *name,
		      int (*text)(FILE *f, void *arg), void *arg)
{
	struct server s = { .text = text, .arg = arg, .name = name };
	sigset_t mask;
	int fd = listen_at(path);
	int rc = 0;

	if (fd < 0) {
		return cli_fail(CLI_FAILED, NULL, "%s: %s", path,
				strerror(errno));
	}
	catch_signals(&mask);
	cli_say("answers on %s", path);
	if (serve(&s, fd, &mask)) {
		rc = cli_fail(CLI_FAILED, NULL, "%s: %s", path,
			      strerror(errno));
	}
	while (s.n) {
		hang_up(&s, 0);
	}
	(void)close(fd);
	(void)unlink(path);
	return ended_by == SIGINT ? CLI_INTERRUPTED : rc;
}
