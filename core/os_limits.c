/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of processes, and the memory that is a process's own. */
#define _GNU_SOURCE
#include "os_limits.h"

#include "conf.h"
#include "err.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct {
	const char *name;
	int what;
} names[MOBI_LIMITS_MAX] = {
	{ "as", RLIMIT_AS },         { "core", RLIMIT_CORE },
	{ "cpu", RLIMIT_CPU },       { "data", RLIMIT_DATA },
	{ "fsize", RLIMIT_FSIZE },   { "memlock", RLIMIT_MEMLOCK },
	{ "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC },
	{ "stack", RLIMIT_STACK },
};

static int bad(const char *text, const char *part)
{
	return mobi_err(MOB_E_INVAL,
			"limits of workers are '%s'; '%s' is none of as, core, "
			"cpu, data, fsize, memlock, nofile, nproc or stack, "
			"'=' "
			"and a number (K, M, G allowed) or none, each once",
			text, part);
}

static int parse_one(const char *text, char *part, struct mobi_limits *out)
{
	char *value = strchr(part, '=');

	if (value) {
		*value++ = '\0';
	}
	for (uint32_t i = 0; value && i < MOBI_LIMITS_MAX; i++) {
		if (strcmp(names[i].name, part) != 0) {
			continue;
		}
		for (uint32_t k = 0; k < out->n; k++) {
			if (out->what[k] == names[i].what) {
				return bad(text, part);
			}
		}
		out->what[out->n] = names[i].what;
		out->value[out->n] = UINT64_MAX;
		if (strcmp(value, "none") != 0 &&
		    mobi_conf_parse_bytes(value, &out->value[out->n]) < 0) {
			return bad(text, part);
		}
		out->n++;
		return 0;
	}
	return bad(text, part);
}

int mobi_limits_parse(const char *text, struct mobi_limits *out)
{
	char copy[256];
	char *rest = copy;
	char *part;
	int n = snprintf(copy, sizeof(copy), "%s", text);
	int rc = 0;

	memset(out, 0, sizeof(*out));
	if (n < 0 || (size_t)n >= sizeof(copy)) {
		return mobi_err(MOB_E_INVAL,
				"limits of workers have %d bytes; at most %zu",
				n, sizeof(copy) - 1);
	}
	while (rc >= 0 && (part = strsep(&rest, ",")) != NULL) {
		if (*part) {
			rc = parse_one(text, part, out);
		}
	}
	return rc;
}

void mobi_limits_set(const struct mobi_limits *l)
{
	for (uint32_t i = 0; i < l->n; i++) {
		struct rlimit now;
		struct rlimit want;

		want.rlim_cur = l->value[i] == UINT64_MAX ? RLIM_INFINITY :
							    l->value[i];
		want.rlim_max = want.rlim_cur;
		if (!setrlimit((__rlimit_resource_t)l->what[i], &want) ||
		    getrlimit((__rlimit_resource_t)l->what[i], &now)) {
			continue;
		}
		/* More than it may: as much as it may. */
		want.rlim_cur = now.rlim_max;
		want.rlim_max = now.rlim_max;
		(void)setrlimit((__rlimit_resource_t)l->what[i], &want);
	}
}

uint64_t mobi_own_bytes(int pid)
{
	char path[40];
	char buf[128];
	char *at = buf;
	uint64_t pages[3]; /* size, resident, of files */
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return 0;
	}
	n = read(fd, buf, sizeof(buf) - 1);
	(void)close(fd);
	buf[n > 0 ? n : 0] = '\0';
	for (int i = 0; i < 3; i++) {
		char *end;

		pages[i] = strtoull(at, &end, 10);
		if (end == at) {
			return 0;
		}
		at = end;
	}
	return pages[1] > pages[2] ?
		       (pages[1] - pages[2]) * (uint64_t)sysconf(_SC_PAGESIZE) :
		       0;
}

uint64_t mobi_machine_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES);

	return pages > 0 ? (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE) :
			   0;
}
