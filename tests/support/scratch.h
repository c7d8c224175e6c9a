/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of a test, which leave nothing: they are named after the process that makes
 * them, and who makes the next one removes those whose process is gone, as it was killed.
 */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "os_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct scratch_sweep {
	const char *dir;
	char prefix[64];
};

static inline int scratch_sweep_one(const char *name, void *arg)
{
	const struct scratch_sweep *w = arg;
	size_t n = strlen(w->prefix);
	char path[512];
	struct stat st;
	char *end;
	long pid;

	if (strncmp(name, w->prefix, n) != 0) {
		return 0;
	}
	pid = strtol(name + n, &end, 10);
	(void)snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	if (pid > 0 && *end == '-' && kill((pid_t)pid, 0) < 0 &&
	    errno == ESRCH && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
	    st.st_uid == geteuid()) {
		(void)mobi_dir_remove(path);
	}
	return 0;
}

/* Makes dir/mob-WHAT-PID-XXXXXX. Returns out; NULL: it cannot be made. */
static inline char *scratch_make(char *out, size_t size, const char *dir,
				 const char *what)
{
	struct scratch_sweep w = { .dir = dir };
	int n;

	(void)snprintf(w.prefix, sizeof(w.prefix), "mob-%s-", what);
	(void)mobi_dir_each(dir, scratch_sweep_one, &w);
	n = snprintf(out, size, "%s/%s%ld-XXXXXX", dir, w.prefix,
		     (long)getpid());
	return n > 0 && (size_t)n < size ? mkdtemp(out) : NULL;
}

#endif /* SCRATCH_H */
