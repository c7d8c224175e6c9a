/* SPDX-License-Identifier: Apache-2.0 */
/* Where the processes of a case run, and the workers of its session. */
#define _GNU_SOURCE
#include "bench_proc.h"

#include <mobula/session.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int bench_pin(pid_t pid, unsigned nth)
{
	static cpu_set_t all;
	static bool known;
	cpu_set_t one;

	if (!known && sched_getaffinity(0, sizeof(all), &all)) {
		return -1;
	}
	known = true;
	CPU_ZERO(&one);
	for (unsigned i = 0; i < CPU_SETSIZE; i++) {
		if (CPU_ISSET(i, &all) && nth-- == 0) {
			CPU_SET(i, &one);
			return sched_setaffinity(pid, sizeof(one), &one);
		}
	}
	return 0;
}

/* The session whose driver this process is. */
struct look {
	char session[256];
	struct bench_workers *w;
	uint32_t busy;
};

static int look_session(const struct mob_session_info *i, void *arg)
{
	struct look *l = arg;

	if (i->driver_pid != (uint32_t)getpid()) {
		return 0;
	}
	(void)snprintf(l->session, sizeof(l->session), "%s", i->name);
	(void)snprintf(l->w->path, sizeof(l->w->path), "%s", i->path);
	return 1;
}

static int look_worker(const struct mob_worker_info *w, void *arg)
{
	struct look *l = arg;

	l->busy += w->state != MOB_WORKER_IDLE;
	if (l->w->n < BENCH_WORKERS_MAX) {
		l->w->pid[l->w->n++] = w->pid;
	}
	return 0;
}

/* Number behind the colon of a line of /proc. */
static uint64_t number_of(const char *line)
{
	const char *colon = strchr(line, ':');

	return colon ? strtoull(colon + 1, NULL, 10) : 0;
}

/* True for "7f12...-7f13... rw-p ...", which begins a mapping. */
static bool begins_mapping(const char *line)
{
	char *end;

	(void)strtoull(line, &end, 16);
	return end > line && *end == '-';
}

double bench_private_mib(uint32_t pid, const char *path)
{
	char line[4352];
	bool counted = true;
	uint64_t kib = 0;
	FILE *f;

	(void)snprintf(line, sizeof(line), "/proc/%u/smaps", pid);
	f = fopen(line, "re");
	if (!f) {
		return -1;
	}
	while (fgets(line, sizeof(line), f)) {
		if (begins_mapping(line)) {
			counted = !strstr(line, path);
		} else if (counted && strncmp(line, "Private_", 8) == 0) {
			kib += number_of(line);
		}
	}
	(void)fclose(f); /* only read from */
	return (double)kib / 1024;
}

unsigned bench_threads(uint32_t pid)
{
	char line[256];
	unsigned n = 0;
	FILE *f;

	(void)snprintf(line, sizeof(line), "/proc/%u/status", pid);
	f = fopen(line, "re");
	while (f && n == 0 && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "Threads:", 8) == 0) {
			n = (unsigned)number_of(line);
		}
	}
	if (f) {
		(void)fclose(f); /* only read from */
	}
	return n;
}

int bench_workers_idle(struct bench *b, struct bench_workers *out_workers)
{
	uint64_t end = bench_now() + UINT64_C(10000000000);
	struct look l = { .w = out_workers };
	struct mob_session *session;
	int rc;

	if (mob_session_each(look_session, &l) != 1) {
		return bench_fail(b, "the session is not listed");
	}
	rc = mob_session_open(l.session, &session);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_session_open");
	}
	do {
		l.w->n = 0;
		l.busy = 0;
		rc = mob_session_workers(session, look_worker, &l);
		(void)sched_yield();
	} while (rc == 0 && (l.busy || l.w->n == 0) && bench_now() < end);
	mob_session_close(session);
	if (rc < 0) {
		return bench_fail_rc(b, rc, "mob_session_workers");
	}
	return l.busy || l.w->n == 0 ? bench_fail(b, "no worker gets idle") : 0;
}
